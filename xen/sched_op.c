/* SPDX-License-Identifier: MIT */
/*
 * sched_op.c: what guests ask of the scheduler: yield, block, poll, shut down, watchdogs. Public
 * header: xen/sched.h.
 *
 * Read next: xen/sched.c.
 */
#include <ringlet/domain.h>
#include <ringlet/evtchn.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/sched.h>
#include <xen/sched.h>

#define MAX_POLL_PORTS 128
#define NR_WATCHDOGS ARRAY_SIZE(((struct domain *)0)->watchdog)

/*
 * SCHEDOP_block. The guest blocks with events masked, after it has found nothing to do; unmasking,
 * looking for an event and blocking are one step for it, so that no event falls between.
 */
static long block(void)
{
    *(volatile uint8_t *)&current->info->evtchn_upcall_mask = 0;
    vcpu_block();
    return 0;
}

/* ---- SCHEDOP_poll ---------------------------------------------------------------------------- */

/*
 * A port of `d` became pending: end the polls for it, masked or not. A vcpu that polls several
 * ports is woken by any port of its domain, and looks again.
 */
void vcpu_poll_wake(struct domain *d, evtchn_port_t port)
{
    uint32_t polling = __atomic_load_n(&d->poll_mask, __ATOMIC_SEQ_CST);

    for (; polling; polling &= polling - 1) {
        struct vcpu *v = d->vcpus[__builtin_ctz(polling)];

        if (v->poll_port == 0 || v->poll_port == port)
            vcpu_unblock(v);
    }
}

/*
 * Is one of the guest's `nr` ports pending? 1, 0, -EFAULT, or -EINVAL for a port that is not in use.
 */
static int any_port_pending(struct vcpu *v, const evtchn_port_t *ports, unsigned nr,
                            evtchn_port_t *last)
{
    int rc = 0;

    for (unsigned i = 0; i < nr && !rc; i++) {
        if (copy_element_from_guest(last, ports, i))
            return -EFAULT;
        rc = evtchn_port_poll(v->domain, *last);
    }
    return rc;
}

static void end_poll(struct vcpu *v)
{
    __atomic_fetch_and(&v->domain->poll_mask, ~(1u << v->id), __ATOMIC_SEQ_CST);
    __atomic_fetch_and(&v->wait, ~WAIT_POLLING, __ATOMIC_SEQ_CST);
}

/*
 * SCHEDOP_poll: as in vcpu_block(), say that we wait, then look, so that no event falls between.
 * Answers 0 whatever ended the wait; a timeout is an absolute system time in ns, 0: none.
 */
static long poll(const void *guest_arg)
{
    struct sched_poll op;
    struct vcpu *v = current;
    evtchn_port_t port = 0;
    int found;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.nr_ports > MAX_POLL_PORTS)
        return -EINVAL;
    v->poll_port = 0;
    __atomic_fetch_or(&v->wait, WAIT_POLLING, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&v->domain->poll_mask, 1u << v->id, __ATOMIC_SEQ_CST);
    found = vcpu_event_deliverable(v) ? 1 : any_port_pending(v, op.ports.p, op.nr_ports, &port);
    if (found) {
        end_poll(v);
        return found < 0 ? found : 0;
    }
    if (op.nr_ports == 1)
        v->poll_port = port;
    if (op.timeout)
        timer_set(&v->poll_timer, guest_deadline(op.timeout));
    raise_softirq(SOFTIRQ_SCHEDULE);
    return 0;
}

/* ---- Shutting down --------------------------------------------------------------------------- */

/* The reason is not judged: it is for the control domain to read. Only its low byte counts. */
static long shutdown(const void *guest_arg)
{
    struct sched_shutdown op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    domain_shutdown(current->domain, op.reason & 0xff);
    return 0;
}

static long remote_shutdown(const void *guest_arg)
{
    struct sched_remote_shutdown op;
    struct domain *d;
    long rc = 0;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    d = find_domain(op.domain_id);
    if (!d)
        return -ESRCH;
    if (current->domain->privileged)
        domain_shutdown(d, op.reason & 0xff);
    else
        rc = -EPERM;
    put_domain(d);
    return rc;
}

/* Latch the code that a later shutdown reports; the first one stays. */
static long shutdown_code(const void *guest_arg)
{
    struct domain *d = current->domain;
    struct sched_shutdown op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (d->shutdown_code == SHUTDOWN_CODE_NONE)
        d->shutdown_code = op.reason & 0xff;
    return 0;
}

/* ---- Watchdogs ------------------------------------------------------------------------------- */

static void watchdog_fn(void *arg)
{
    struct domain *d = arg;

    if (d->state != DOMAIN_ALIVE || d->shut_down)
        return;
    printk("d%u: watchdog ran out\n", d->id);
    domain_shutdown(d, SHUTDOWN_watchdog);
}

void watchdogs_init(struct domain *d)
{
    for (unsigned i = 0; i < NR_WATCHDOGS; i++)
        timer_init(&d->watchdog[i], watchdog_fn, d);
}

/* None of them goes off any more. */
void watchdogs_kill(struct domain *d)
{
    for (unsigned i = 0; i < NR_WATCHDOGS; i++)
        timer_kill(&d->watchdog[i]);
}

static long watchdog_new(struct domain *d, uint64_t expires)
{
    for (unsigned i = 0; i < NR_WATCHDOGS; i++) {
        if (__atomic_exchange_n(&d->watchdog_used[i], true, __ATOMIC_SEQ_CST))
            continue;
        timer_set(&d->watchdog[i], expires);
        return i + 1;
    }
    return -ENOSPC;
}

/*
 * SCHEDOP_watchdog: id 0 makes one and answers its id; else set anew (timeout in seconds), or with
 * timeout 0 end it.
 */
static long watchdog(const void *guest_arg)
{
    struct sched_watchdog op;
    struct domain *d = current->domain;
    uint64_t expires;
    unsigned i;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    expires = now_ns() + op.timeout * NS_PER_SEC;
    if (op.id == 0)
        return watchdog_new(d, expires);
    i = op.id - 1;
    if (i >= NR_WATCHDOGS || !d->watchdog_used[i])
        return -EINVAL;
    if (op.timeout) {
        timer_set(&d->watchdog[i], expires);
    } else {
        timer_stop(&d->watchdog[i]);
        d->watchdog_used[i] = false;
    }
    return 0;
}

/* ---- The hypercalls -------------------------------------------------------------------------- */

/*
 * SCHEDOP_pin_override, for the initial domain only: the caller runs on CPU `pcpu` alone until it
 * undoes that by a negative number. -EBUSY: it is overridden already; -EINVAL: there is no such CPU,
 * or nothing to undo.
 */
static long pin_override(const void *guest_arg)
{
    struct sched_pin_override op;
    struct vcpu *v = current;

    if (!v->domain->initial)
        return -EPERM;
    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    return vcpu_pin_override(v, op.pcpu);
}

asmlinkage long do_sched_op(int cmd, void *guest_arg)
{
    switch (cmd) {
    case SCHEDOP_yield:
        vcpu_yield();
        return 0;
    case SCHEDOP_block:
        return block();
    case SCHEDOP_poll:
        return poll(guest_arg);
    case SCHEDOP_shutdown:
        return shutdown(guest_arg);
    case SCHEDOP_remote_shutdown:
        return remote_shutdown(guest_arg);
    case SCHEDOP_shutdown_code:
        return shutdown_code(guest_arg);
    case SCHEDOP_watchdog:
        return watchdog(guest_arg);
    case SCHEDOP_pin_override:
        return pin_override(guest_arg);
    default:
        return -ENOSYS;
    }
}
HYPERCALL(sched_op);
