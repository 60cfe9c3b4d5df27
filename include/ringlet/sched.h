/* SPDX-License-Identifier: MIT */
/*
 * sched.h: which vcpu runs. Read next: xen/sched.c.
 */
#ifndef RINGLET_SCHED_H
#define RINGLET_SCHED_H

#include <ringlet/domain.h>

/* xen/sched.c */
void sched_init_cpu(struct cpu *c);
void sched_init_vcpu(struct vcpu *v);
void sched_destroy_vcpu(struct vcpu *v);
void vcpu_wake(struct vcpu *v);  /* put it on a run queue if nothing keeps it from running */
void vcpu_sleep(struct vcpu *v); /* take it off; if it runs here, at the next return to a guest */
void vcpu_pause(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);
void vcpu_unblock(struct vcpu *v); /* an event came: ends SCHEDOP_block and SCHEDOP_poll */
void vcpu_block(void);
void vcpu_yield(void);
void vcpu_runstate_change(struct vcpu *v, int state, uint64_t now);
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
/* The same, and wait until v's registers are in struct vcpu and no CPU uses its tables. Not current. */
void vcpu_sleep_sync(struct vcpu *v);
void vcpu_pause_sync(struct vcpu *v);
/*
 * context_switch() calls this once all of prev's state is in struct vcpu and this CPU has left its
 * page tables. Only from now on may another CPU run prev, or prev be taken apart.
 */
void sched_context_saved(struct vcpu *prev);
bool vcpu_runnable(const struct vcpu *v);
/* context_switch() calls this once v's address space is loaded */
void vcpu_switched_in(struct vcpu *v);
void vcpu_copy_runstate(struct vcpu *v); /* to the registered area; v's address space is loaded */
void sched_dump(void);

/* Has the vcpu an event, or an NMI, that it would take now? */
static inline bool vcpu_event_deliverable(const struct vcpu *v)
{
    const volatile struct vcpu_info *info = v->info;

    return (info->evtchn_upcall_pending && !info->evtchn_upcall_mask) ||
           (v->nmi_pending && !v->nmi_masked);
}

/* Some port this vcpu is notified of is pending: it gets an upcall as soon as it takes one. */
static inline void vcpu_mark_events_pending(struct vcpu *v)
{
    if (!__atomic_exchange_n(&v->info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST) &&
        (v->wait & (WAIT_BLOCKED | WAIT_POLLING)))
        vcpu_unblock(v);
}

/* xen/sched_op.c */
/* a port became pending: end polls for it */
void vcpu_poll_wake(struct domain *d, evtchn_port_t port);

#endif
