/* SPDX-License-Identifier: MIT */
/*
 * sched.h: which vcpu runs. Read next: xen/sched.c.
 */
#ifndef RINGLET_SCHED_H
#define RINGLET_SCHED_H

#include <ringlet/domain.h>

#define SCHED_WEIGHT_DEFAULT 256 /* Xen's */

/* xen/sched.c */
extern spinlock_t runq_lock;
void sched_init_cpu(struct cpu *c);
uint32_t sched_cpus(void);
void sched_init_domain(struct domain *d);
void sched_destroy_domain(struct domain *d);
void sched_set_share(struct domain *d, uint16_t weight, uint16_t cap);
int vcpu_set_affinity(struct vcpu *v, uint32_t mask);
int vcpu_pin_override(struct vcpu *v, int pcpu);
void sched_init_vcpu(struct vcpu *v);
void sched_destroy_vcpu(struct vcpu *v);
void vcpu_wake(struct vcpu *v);  /* put it on a run queue if nothing keeps it from running */
void vcpu_sleep(struct vcpu *v); /* take it off; if it runs here, at the next return to a guest */
void vcpu_pause(struct vcpu *v);
/* These also wait until v's registers are in struct vcpu and no CPU uses its tables. Not current. */
void vcpu_sleep_sync(struct vcpu *v);
void vcpu_pause_sync(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);
void vcpu_unblock(struct vcpu *v); /* an event came: ends SCHEDOP_block and SCHEDOP_poll */
void vcpu_block(void);
void vcpu_yield(void);
bool vcpu_runnable(const struct vcpu *v);
/*
 * context_switch() calls this once all of prev's state is in struct vcpu and this CPU has left its
 * page tables. Only from now on may another CPU run prev, or prev be taken apart.
 */
void sched_context_saved(struct vcpu *prev);
/* context_switch() calls this once v's address space is loaded */
void vcpu_switched_in(struct vcpu *v);
void sched_dump(void);

/* xen/vcpu_time.c */
void vcpu_time_init(struct vcpu *v);
void vcpu_time_stop(struct vcpu *v);
void vcpu_runstate_change(struct vcpu *v, int state, uint64_t now);
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
void vcpu_copy_runstate(struct vcpu *v); /* to the registered area; v's address space is loaded */
void vcpu_periodic_tick(struct vcpu *v);
void vcpu_set_period(struct vcpu *v, uint64_t period);

/* Has the vcpu an event, or an NMI, that it would take now? */
static inline bool vcpu_event_deliverable(const struct vcpu *v)
{
    const volatile struct vcpu_info *info = v->info;

    return (info->evtchn_upcall_pending && !info->evtchn_upcall_mask) ||
           (v->nmi_pending && !v->nmi_masked);
}

/* Something for v to see on its way out has been written: end its wait, or get it out of its guest. */
static inline void vcpu_kick(struct vcpu *v)
{
    if (v->wait & (WAIT_BLOCKED | WAIT_POLLING))
        vcpu_unblock(v);
    else if (v != current && v->running && v->processor != this_cpu)
        send_ipi(v->processor);
}

/*
 * Some port this vcpu is notified of is pending: it gets an upcall as soon as it takes one. A vcpu
 * that another CPU is just switching to looks after `running` was set; one that masks upcalls looks
 * again when it unmasks, but with no barrier in between: it is told all the same.
 */
static inline void vcpu_mark_events_pending(struct vcpu *v)
{
    if (!__atomic_exchange_n(&v->info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST))
        vcpu_kick(v);
}

/* xen/sched_op.c */
/* a port became pending: end polls for it */
void vcpu_poll_wake(struct domain *d, evtchn_port_t port);
void watchdogs_init(struct domain *d);
void watchdogs_kill(struct domain *d);

#endif
