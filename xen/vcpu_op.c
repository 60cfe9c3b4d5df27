/* SPDX-License-Identifier: MIT */
/*
 * vcpu_op.c: a domain's own control of its vcpus: bring them up and down, their timers, and where
 * in its memory the guest wants to find what we tell it. Public header: xen/vcpu.h.
 *
 * Read next: xen/sched.c (run states, timers), evtchn/event_channel.c (what vcpu_info carries).
 */
#include <ringlet/domain.h>
#include <ringlet/evtchn.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/sched.h>
#include <xen/sched.h>

#define PERIOD_MIN MILLISECS(1)
#define PERIOD_MAX (~0ull >> 2)
#define FAR_FUTURE (1ull << 50) /* 13 days */
#define FAR_FUTURE_INSTEAD MILLISECS(100)

/* ---- Up and down ----------------------------------------------------------------------------- */

/*
 * VCPUOP_initialise: the context is too big for the stack. What was checked of a root that turned out
 * bad is undone before the guest hears of it, for it may reuse the frames at once. That can take long:
 * mmuext_op goes on with it.
 */
static long initialise(struct vcpu *v, const void *guest_arg)
{
    struct vcpu_guest_context *c;
    long rc;

    c = xzalloc(struct vcpu_guest_context);
    if (!c)
        return -ENOMEM;
    rc = copy_from_guest(c, guest_arg, sizeof(*c)) ? -EFAULT : finish_any_old_table(current);
    if (!rc) {
        spin_lock(&v->domain->mm_lock);
        rc = v->initialised ? -EEXIST : finish_old_table(v);
        if (!rc)
            rc = set_vcpu_context(v, c);
        spin_unlock(&v->domain->mm_lock);
    }
    xfree(c);
    if (rc == -ERESTART)
        return hypercall_continue(__HYPERVISOR_vcpu_op, 3, VCPUOP_initialise, v->id, guest_arg);
    return rc ? finish_table_call(__HYPERVISOR_mmuext_op, rc) : 0;
}

static long up(struct vcpu *v)
{
    if (!v->initialised)
        return -EINVAL;
    if (__atomic_fetch_and(&v->wait, ~WAIT_DOWN, __ATOMIC_SEQ_CST) & WAIT_DOWN)
        vcpu_wake(v);
    return 0;
}

static bool another_is_up(const struct vcpu * not )
{
    struct vcpu *v;

    for_each_vcpu(not ->domain, v) if (v != not &&!(v->wait & WAIT_DOWN)) return true;
    return false;
}

/*
 * VCPUOP_down: a domain whose last vcpu goes down has powered off. First down, then the look for
 * others: of two that go at once, at least one sees the other (tests/models/ending.pml). Who finds
 * nobody stays up, for a domain that is resumed after all.
 */
static long down(struct vcpu *v)
{
    __atomic_fetch_or(&v->wait, WAIT_DOWN, __ATOMIC_SEQ_CST);
    if (another_is_up(v)) {
        vcpu_sleep(v);
        return 0;
    }
    domain_shutdown(v->domain, SHUTDOWN_poweroff);
    return up(v);
}

/* ---- Timers ---------------------------------------------------------------------------------- */

static long set_periodic_timer(struct vcpu *v, const void *guest_arg)
{
    struct vcpu_set_periodic_timer op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.period_ns < PERIOD_MIN || op.period_ns > PERIOD_MAX)
        return -EINVAL;
    vcpu_set_period(v, op.period_ns);
    return 0;
}

static long stop_periodic_timer(struct vcpu *v)
{
    vcpu_set_period(v, 0);
    return 0;
}

/* Only for the calling vcpu. -ETIME: it asked for a time in the future, and the time is past. */
static long set_singleshot_timer(struct vcpu *v, const void *guest_arg)
{
    struct vcpu_set_singleshot_timer op;

    if (v != current)
        return -EINVAL;
    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if ((op.flags & VCPU_SSHOTTMR_future) && op.timeout_abs_ns < now_ns())
        return -ETIME;
    timer_set(&v->singleshot_timer, guest_deadline(op.timeout_abs_ns));
    return 0;
}

static long stop_singleshot_timer(struct vcpu *v)
{
    if (v != current)
        return -EINVAL;
    timer_stop(&v->singleshot_timer);
    return 0;
}

static bool is_far_off(uint64_t timeout)
{
    return (int64_t)timeout < 0 || (int64_t)(timeout - now_ns()) >= (int64_t)FAR_FUTURE;
}

/*
 * set_timer_op: the same timer, older interface. Zero stops it; a time that is past fires at once.
 * Some kernels mean "none" by a time that is negative or far away, and rely on a tick all the same:
 * they get one soon.
 */
asmlinkage long do_set_timer_op(uint32_t lo, uint32_t hi)
{
    struct vcpu *v = current;
    uint64_t timeout = (uint64_t)hi << 32 | lo;

    if (timeout == 0)
        timer_stop(&v->singleshot_timer);
    else if (unlikely(timeout >= FAR_FUTURE) && is_far_off(timeout))
        timer_set(&v->singleshot_timer, now_ns() + FAR_FUTURE_INSTEAD);
    else
        timer_set(&v->singleshot_timer, timeout);
    return 0;
}
HYPERCALL(set_timer_op);

/* ---- Areas in the guest's memory ------------------------------------------------------------- */

static long get_runstate_info(struct vcpu *v, void *guest_arg)
{
    struct vcpu_runstate_info info;

    vcpu_runstate_get(v, &info);
    return copy_to_guest(guest_arg, &info, sizeof(info)) ? -EFAULT : 0;
}

/*
 * VCPUOP_register_runstate_memory_area: an address in v's address space, written whenever v is
 * switched to or from. The first copy is made at once, through the caller's address space. Only the
 * range is checked: what is not mapped when it comes to writing is not written.
 */
static long register_runstate_area(struct vcpu *v, const void *guest_arg)
{
    struct vcpu_register_runstate_memory_area op;
    struct vcpu_runstate_info now;

    if (copy_from_guest(&op, guest_arg, sizeof(op)) || !guest_range_ok(op.addr.v, sizeof(now)))
        return -EFAULT;
    v->runstate_guest = op.addr.v;
    if (v == current) {
        vcpu_copy_runstate(v);
    } else if (op.addr.v) {
        vcpu_runstate_get(v, &now);
        copy_to_guest(op.addr.v, &now, sizeof(now));
    }
    return 0;
}

/* VCPUOP_register_vcpu_time_memory_area: the same for vcpu_time_info. */
static long register_time_area(struct vcpu *v, const void *guest_arg)
{
    struct vcpu_register_time_memory_area op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)) ||
        !guest_range_ok(op.addr.v, sizeof(struct vcpu_time_info)))
        return -EFAULT;
    v->time_info_guest = op.addr.v;
    if (v == current)
        update_vcpu_time(v);
    return 0;
}

/*
 * Map frame `mfn` of the domain for good, with the references that keep it the domain's and
 * writable.
 */
static long map_info_frame(struct domain *d, uint64_t mfn, void **page)
{
    if (mfn >= max_frame || get_frame_and_type(mfn_frame(mfn), d, FT_WRITABLE))
        return -EINVAL;
    *page = map_global(d, mfn);
    if (!*page) {
        put_frame_and_type(mfn_frame(mfn));
        return -ENOMEM;
    }
    return 0;
}

/*
 * v is current or not on a CPU; mm_lock is held. Who sends an event now writes to the old place or
 * the new one; its port's bit stands already.
 */
static long move_info(struct vcpu *v, uint64_t mfn, uint32_t offset)
{
    struct vcpu_info *info;
    void *page;
    long rc = map_info_frame(v->domain, mfn, &page);

    if (rc)
        return rc;
    info = page + offset;
    *info = *v->info;
    __atomic_store_n(&v->info, info, __ATOMIC_SEQ_CST);
    v->info_mfn = mfn;
    evtchn_move_vcpu_info(v);
    update_vcpu_time(v);
    return 0;
}

/*
 * VCPUOP_register_vcpu_info: from now on vcpu_info lies in a frame of the guest's choice.
 *  1. It is aligned as the structure is and does not cross a page boundary: -ENXIO.
 *  2. Once per vcpu only.
 *  3. The vcpu is the caller, or down: nobody else may be using the old place.
 *  4. What stood in the old place is carried over, and the guest gets an upcall to look at every
 *     port: an event that came while it moved is not lost.
 */
static long register_info(struct vcpu *v, const void *guest_arg)
{
    struct vcpu_register_vcpu_info op;
    long rc;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.offset % __alignof__(struct vcpu_info) ||
        op.offset > PAGE_SIZE - sizeof(struct vcpu_info))
        return -ENXIO;
    spin_lock(&v->domain->mm_lock);
    rc = v->info_mfn == INVALID_MFN && (v == current || (v->wait & WAIT_DOWN)) ? 0 : -EINVAL;
    if (!rc)
        rc = v != current && v->running ? -ERESTART : move_info(v, op.mfn, op.offset);
    spin_unlock(&v->domain->mm_lock);
    if (rc == -ERESTART) /* it went down a moment ago and is still on its CPU */
        rc = hypercall_continue(__HYPERVISOR_vcpu_op, 3, VCPUOP_register_vcpu_info, v->id,
                                guest_arg);
    return rc;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static long send_nmi(struct vcpu *v, const void *guest_arg)
{
    if (guest_arg)
        return -EINVAL;
    send_guest_trap_nmi(v);
    return 0;
}

/*
 * VCPUOP_get_physid: only for a vcpu of the initial domain that can run on one CPU only. APIC and
 * ACPI numbers agree here.
 */
static long get_physid(struct vcpu *v, void *guest_arg)
{
    struct vcpu_get_physid op;
    uint64_t id = v->processor->apic_id;
    uint32_t possible = v->affinity & ((1u << nr_cpus) - 1);

    if (!v->domain->initial || (possible & (possible - 1)))
        return -EINVAL;
    op.phys_id = id | id << 32;
    return copy_to_guest(guest_arg, &op, sizeof(op)) ? -EFAULT : 0;
}

/* -ENOENT: the domain has no such vcpu. */
asmlinkage long do_vcpu_op(int cmd, unsigned vcpuid, void *guest_arg)
{
    struct domain *d = current->domain;
    struct vcpu *v = vcpuid < d->max_vcpus ? d->vcpus[vcpuid] : NULL;

    if (!v)
        return -ENOENT;
    switch (cmd) {
    case VCPUOP_initialise:
        return initialise(v, guest_arg);
    case VCPUOP_up:
        return up(v);
    case VCPUOP_down:
        return down(v);
    case VCPUOP_is_up:
        return !(v->wait & WAIT_DOWN);
    case VCPUOP_get_runstate_info:
        return get_runstate_info(v, guest_arg);
    case VCPUOP_register_runstate_memory_area:
        return register_runstate_area(v, guest_arg);
    case VCPUOP_set_periodic_timer:
        return set_periodic_timer(v, guest_arg);
    case VCPUOP_stop_periodic_timer:
        return stop_periodic_timer(v);
    case VCPUOP_set_singleshot_timer:
        return set_singleshot_timer(v, guest_arg);
    case VCPUOP_stop_singleshot_timer:
        return stop_singleshot_timer(v);
    case VCPUOP_register_vcpu_info:
        return register_info(v, guest_arg);
    case VCPUOP_send_nmi:
        return send_nmi(v, guest_arg);
    case VCPUOP_get_physid:
        return get_physid(v, guest_arg);
    case VCPUOP_register_vcpu_time_memory_area:
        return register_time_area(v, guest_arg);
    default:
        return -ENOSYS;
    }
}
HYPERCALL(vcpu_op);
