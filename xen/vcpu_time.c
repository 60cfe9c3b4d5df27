/* SPDX-License-Identifier: MIT */
/*
 * vcpu_time.c: the time of a vcpu: how long it was in each run state, and its timers.
 *
 * Guests account by run states what they were not given ("stolen" time): a copy goes to the area
 * they registered whenever the vcpu is switched to or from. Of the timers, the periodic one ticks
 * only while its vcpu runs; the one-shot timer and the timeout of SCHEDOP_poll go off in any case,
 * on the CPU they were set on.
 *
 * Read next: xen/sched.c, which changes the run states; xen/vcpu_op.c, which sets the timers.
 */
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/sched.h>

#define PERIODIC_DEFAULT MILLISECS(10) /* what a guest of this ABI finds at its start */

/* ---- Run states ------------------------------------------------------------------------------ */

/*
 * Enter `state` (RUNSTATE_*) at system time `now`; the time since the last change goes to the state
 * it left. The clocks of two CPUs may differ a little: time does not go back here. runq_lock is
 * held.
 */
void vcpu_runstate_change(struct vcpu *v, int state, uint64_t now)
{
    struct vcpu_runstate_info *r = &v->runstate;

    if (now > r->state_entry_time) {
        r->time[r->state] += now - r->state_entry_time;
        r->state_entry_time = now;
    }
    r->state = state;
}

/* The run states as of now, for VCPUOP_get_runstate_info and accounting. */
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
    uint64_t now;

    spin_lock(&runq_lock);
    *out = v->runstate;
    now = now_ns();
    spin_unlock(&runq_lock);
    if (now > out->state_entry_time)
        out->time[out->state] += now - out->state_entry_time;
}

/*
 * Copy the run states to the area the guest registered. With VMASST_TYPE_runstate_update_flag,
 * XEN_RUNSTATE_UPDATE stands in state_entry_time while the rest is changing. An area that is not
 * mapped now is left as it is.
 */
void vcpu_copy_runstate(struct vcpu *v)
{
    struct vcpu_runstate_info *area = v->runstate_guest;
    struct vcpu_runstate_info r;

    if (likely(!area))
        return;
    r = v->runstate;
    if (!(v->domain->vm_assist & (1u << VMASST_TYPE_runstate_update_flag))) {
        copy_to_guest(area, &r, sizeof(r));
        return;
    }
    r.state_entry_time |= XEN_RUNSTATE_UPDATE;
    if (copy_to_guest(&area->state_entry_time, &r.state_entry_time, sizeof(r.state_entry_time)))
        return;
    copy_to_guest(area, &r, sizeof(r));
    r.state_entry_time &= ~XEN_RUNSTATE_UPDATE;
    copy_to_guest(&area->state_entry_time, &r.state_entry_time, sizeof(r.state_entry_time));
}

/* ---- Timers of a vcpu ------------------------------------------------------------------------ */

/*
 * The vcpu's periodic tick, while it runs: a vcpu that does not run gets none, and one when it runs
 * again.
 */
void vcpu_periodic_tick(struct vcpu *v)
{
    uint64_t now;
    bool due;

    if (!v->periodic_period)
        return;
    now = now_ns();
    spin_lock(&v->virq_lock);
    due = v->periodic_period && now >= v->periodic_last + v->periodic_period;
    if (due)
        v->periodic_last = now;
    if (v->periodic_period && v->running)
        timer_set(&v->periodic_timer, v->periodic_last + v->periodic_period);
    spin_unlock(&v->virq_lock);
    if (due)
        send_guest_virq(v, VIRQ_TIMER);
}

/* A tick every `period` ns from now on, 0: none. Any vcpu of the domain may ask that. */
void vcpu_set_period(struct vcpu *v, uint64_t period)
{
    spin_lock(&v->virq_lock);
    timer_stop(&v->periodic_timer);
    v->periodic_period = period;
    v->periodic_last = now_ns();
    if (period && v->running)
        timer_set(&v->periodic_timer, v->periodic_last + period);
    spin_unlock(&v->virq_lock);
}

static void periodic_timer_fn(void *v)
{
    vcpu_periodic_tick(v);
}

static void singleshot_timer_fn(void *v)
{
    send_guest_virq(v, VIRQ_TIMER);
}

static void poll_timer_fn(void *arg)
{
    struct vcpu *v = arg;

    if (v->wait & WAIT_POLLING)
        vcpu_unblock(v);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

void vcpu_time_init(struct vcpu *v)
{
    timer_init(&v->poll_timer, poll_timer_fn, v);
    timer_init(&v->singleshot_timer, singleshot_timer_fn, v);
    timer_init(&v->periodic_timer, periodic_timer_fn, v);
    v->periodic_period = PERIODIC_DEFAULT;
    v->runstate.state = RUNSTATE_offline;
    v->runstate.state_entry_time = now_ns();
}

/* The vcpu does not run any more: none of its timers goes off after this. */
void vcpu_time_stop(struct vcpu *v)
{
    timer_kill(&v->poll_timer);
    timer_kill(&v->singleshot_timer);
    timer_kill(&v->periodic_timer);
}
