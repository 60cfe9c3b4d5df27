/* SPDX-License-Identifier: MIT */
/*
 * sched.c: which vcpu runs on a CPU, and for how long.
 *
 * Fairness by virtual time. Each vcpu has a `vtime` that advances while it runs; of those that are
 * ready, the one with the smallest runs next: whoever had least so far. The run queue is kept in
 * that order, equals in order of arrival. A vcpu that runs while others wait gives way after a time
 * slice. So vcpus that never block get equal shares, each in turn; a domain's weight would be the
 * speed at which its vcpus' vtime advances.
 *
 * A vcpu that slept has fallen behind. It is moved forward to at most CREDIT before those that are
 * ready, so it runs at once when it wakes (low latency for those that wait for events and do
 * little), yet cannot save up a long sleep and then keep the CPU from the others. It preempts only
 * when it is behind the running one by PREEMPT_MARGIN, so that two busy vcpus do not switch at
 * every event they send each other.
 *
 * Switching happens on the way out to the guest only, in schedule(), the handler of
 * SOFTIRQ_SCHEDULE; everything else here moves vcpus on and off the queue and raises it. Where no
 * vcpu is ready the CPU's idle vcpu runs.
 *
 * Invariants, under processor->runq_lock:
 *  S1  a vcpu is queued exactly when it is runnable and not running, except inside the functions
 *      here.
 *  S2  processor->runs is the one vcpu with `running` set. It may have become not runnable: then
 *      SCHEDULE is pending.
 *  S3  the slice timer is active whenever a vcpu waits behind a running one, or SCHEDULE is
 *      pending.
 *  S4  runstate.time[] plus the time since state_entry_time adds up to the vcpu's age.
 *
 * The race of block and wake: SCHEDOP_block sets WAIT_BLOCKED, then looks for a pending event; a
 * sender makes the event pending, then looks for WAIT_BLOCKED. Both use locked instructions, so at
 * least one of them sees the other.
 *
 * Read next: xen/sched_op.c (what guests ask for), arch/i386/switch.c (context_switch).
 */
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/sched.h>

#define SLICE MILLISECS(10)
#define CREDIT MILLISECS(5)
#define PREEMPT_MARGIN MICROSECS(500)
#define PERIODIC_DEFAULT MILLISECS(10) /* what a guest of this ABI finds at its start */

/* Per CPU. */
static struct timer slice_timers[MAX_CPUS];

/* ---- Run states ------------------------------------------------------------------------------ */

/*
 * Enter `state` (RUNSTATE_*) at system time `now`; the time since the last change goes to the state
 * it left.
 */
void vcpu_runstate_change(struct vcpu *v, int state, uint64_t now)
{
    struct vcpu_runstate_info *r = &v->runstate;

    r->time[r->state] += now - r->state_entry_time;
    r->state_entry_time = now;
    r->state = state;
}

/* The run states as of now, for VCPUOP_get_runstate_info and accounting. */
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
    spin_lock(&v->processor->runq_lock);
    *out = v->runstate;
    spin_unlock(&v->processor->runq_lock);
    out->time[out->state] += now_ns() - out->state_entry_time;
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

/* ---- The run queue: in order of vtime. runq_lock is held. ------------------------------------ */

static void enqueue(struct cpu *c, struct vcpu *v)
{
    struct vcpu *after = c->runq_tail;

    ASSERT(!v->queued && v != c->idle);
    while (after && after->vtime > v->vtime)
        after = after->runq_prev;
    v->runq_prev = after;
    v->runq_next = after ? after->runq_next : c->runq_head;
    if (v->runq_next)
        v->runq_next->runq_prev = v;
    else
        c->runq_tail = v;
    if (after)
        after->runq_next = v;
    else
        c->runq_head = v;
    v->queued = true;
}

static void dequeue(struct cpu *c, struct vcpu *v)
{
    ASSERT(v->queued);
    if (v->runq_prev)
        v->runq_prev->runq_next = v->runq_next;
    else
        c->runq_head = v->runq_next;
    if (v->runq_next)
        v->runq_next->runq_prev = v->runq_prev;
    else
        c->runq_tail = v->runq_prev;
    v->runq_next = v->runq_prev = NULL;
    v->queued = false;
}

/*
 * Charge the running vcpu for its time up to `now`, and bring the CPU's virtual time up to the
 * smallest that is ready.
 */
static void charge(struct cpu *c, uint64_t now)
{
    uint64_t ran = now - c->charged_at, least;

    c->charged_at = now;
    if (c->runs == c->idle) {
        c->idle_ns += ran;
        if (!c->runq_head)
            return;
        least = c->runq_head->vtime;
    } else {
        c->runs->vtime += ran;
        least = c->runs->vtime;
        if (c->runq_head && c->runq_head->vtime < least)
            least = c->runq_head->vtime;
    }
    if (least > c->vtime)
        c->vtime = least;
}

/* ---- Who may run ----------------------------------------------------------------------------- */

bool vcpu_runnable(const struct vcpu *v)
{
    const struct domain *d = v->domain;

    return !(v->wait | v->pause_count | d->pause_count | d->crashed);
}

/*
 * The state of a vcpu that neither runs nor is ready: blocked, where it waits for an event; else
 * offline.
 */
static int waiting_state(const struct vcpu *v)
{
    return v->wait & (WAIT_BLOCKED | WAIT_POLLING) ? RUNSTATE_blocked : RUNSTATE_offline;
}

/* Put `v`, which has become runnable, on the queue. True: it should run before what runs now. */
static bool make_ready(struct cpu *c, struct vcpu *v, uint64_t now)
{
    charge(c, now);
    if (v->vtime + CREDIT < c->vtime)
        v->vtime = c->vtime - CREDIT;
    vcpu_runstate_change(v, RUNSTATE_runnable, now);
    enqueue(c, v);
    return c->runs == c->idle || v->vtime + PREEMPT_MARGIN < c->runs->vtime;
}

/* Something that kept `v` from running may be gone: queue it if it is runnable. */
void vcpu_wake(struct vcpu *v)
{
    struct cpu *c = v->processor;
    bool preempt = false, wait = false;

    spin_lock(&c->runq_lock);
    if (!v->running && !v->queued) {
        if (vcpu_runnable(v)) {
            preempt = make_ready(c, v, now_ns());
            wait = !preempt;
        } else if (v->runstate.state != waiting_state(v)) {
            vcpu_runstate_change(v, waiting_state(v), now_ns());
        }
    }
    spin_unlock(&c->runq_lock);
    /* The slice timer is set by its own CPU: another one is made to pass through schedule(). */
    if (preempt || (wait && c != this_cpu))
        raise_softirq_on(c, SOFTIRQ_SCHEDULE);
    else if (wait && !timer_active(c->slice_timer))
        timer_set(c->slice_timer, c->slice_end);
}

/*
 * Something keeps `v` from running from now on. If it runs on another CPU it stops at its next way
 * out.
 */
void vcpu_sleep(struct vcpu *v)
{
    struct cpu *c = v->processor;

    spin_lock(&c->runq_lock);
    if (v->queued && !vcpu_runnable(v)) {
        dequeue(c, v);
        vcpu_runstate_change(v, waiting_state(v), now_ns());
    }
    if (v->running)
        raise_softirq_on(c, SOFTIRQ_SCHEDULE);
    spin_unlock(&c->runq_lock);
}

void vcpu_pause(struct vcpu *v)
{
    __atomic_fetch_add(&v->pause_count, 1, __ATOMIC_SEQ_CST);
    vcpu_sleep(v);
}

void vcpu_sleep_sync(struct vcpu *v)
{
    ASSERT(v != current);
    vcpu_sleep(v);
    while (*(volatile bool *)&v->running)
        cpu_relax();
}

void vcpu_pause_sync(struct vcpu *v)
{
    __atomic_fetch_add(&v->pause_count, 1, __ATOMIC_SEQ_CST);
    vcpu_sleep_sync(v);
}

void vcpu_unpause(struct vcpu *v)
{
    ASSERT(v->pause_count > 0);
    if (__atomic_sub_fetch(&v->pause_count, 1, __ATOMIC_SEQ_CST) == 0)
        vcpu_wake(v);
}

/* Stop running until an event is deliverable; at once, if one is. The way out switches. */
void vcpu_block(void)
{
    struct vcpu *v = current;

    __atomic_fetch_or(&v->wait, WAIT_BLOCKED, __ATOMIC_SEQ_CST);
    if (vcpu_event_deliverable(v))
        __atomic_fetch_and(&v->wait, ~WAIT_BLOCKED, __ATOMIC_SEQ_CST);
    else
        raise_softirq(SOFTIRQ_SCHEDULE);
}

/* End whatever event `v` waits for. */
void vcpu_unblock(struct vcpu *v)
{
    uint32_t was;

    if (!(v->wait & (WAIT_BLOCKED | WAIT_POLLING)))
        return;
    was = __atomic_fetch_and(&v->wait, ~(WAIT_BLOCKED | WAIT_POLLING), __ATOMIC_SEQ_CST);
    if (was & WAIT_POLLING) {
        __atomic_fetch_and(&v->domain->poll_mask, ~(1u << v->id), __ATOMIC_SEQ_CST);
        timer_stop(&v->poll_timer);
    }
    vcpu_wake(v);
}

/* Let the next in the queue run, if there is one: the caller's turn comes right after. */
void vcpu_yield(void)
{
    struct cpu *c = this_cpu;

    if (!c->runq_head)
        return;
    spin_lock(&c->runq_lock);
    charge(c, now_ns());
    if (c->runq_head && c->runs->vtime < c->runq_head->vtime)
        c->runs->vtime = c->runq_head->vtime;
    spin_unlock(&c->runq_lock);
    raise_softirq(SOFTIRQ_SCHEDULE);
}

/* ---- Timers of a vcpu ------------------------------------------------------------------------ */

/*
 * The vcpu's periodic tick, while it runs: a vcpu that does not run gets none, and one when it runs
 * again.
 */
static void periodic_tick(struct vcpu *v)
{
    uint64_t now, next;

    if (!v->periodic_period)
        return;
    now = now_ns();
    next = v->periodic_last + v->periodic_period;
    if (now >= next) {
        v->periodic_last = now;
        next = now + v->periodic_period;
        send_guest_virq(v, VIRQ_TIMER);
    }
    timer_set(&v->periodic_timer, next);
}

static void periodic_timer_fn(void *v)
{
    periodic_tick(v);
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

/* ---- Switching ------------------------------------------------------------------------------- */

/* The new vcpu's address space is loaded: bring what its guest sees up to date. */
void vcpu_switched_in(struct vcpu *v)
{
    if (v == this_cpu->idle)
        return;
    update_vcpu_time(v);
    vcpu_copy_runstate(v);
    periodic_tick(v);
}

/* Choose the vcpu that runs next and make the CPU's books say so. */
static struct vcpu *pick_next(struct cpu *c, struct vcpu *prev, uint64_t now)
{
    struct vcpu *next;

    charge(c, now);
    if (prev != c->idle && vcpu_runnable(prev))
        enqueue(c, prev);
    next = c->runq_head ? c->runq_head : c->idle;
    if (next != c->idle)
        dequeue(c, next);
    c->runs = next;
    c->slice_end = now + SLICE;
    if (next == prev)
        return next;
    vcpu_runstate_change(
        prev, prev->queued || prev == c->idle ? RUNSTATE_runnable : waiting_state(prev), now);
    vcpu_runstate_change(next, RUNSTATE_running, now);
    next->running = true;
    return next;
}

/* S1, S2: prev is nobody's until here. What happened meanwhile to a vcpu that was running is seen now. */
void sched_context_saved(struct vcpu *prev)
{
    struct cpu *c = prev->processor;

    spin_lock(&c->runq_lock);
    prev->running = false;
    spin_unlock(&c->runq_lock);
    if (prev != c->idle)
        vcpu_wake(prev);
}

/* The handler of SOFTIRQ_SCHEDULE. Does not return when another vcpu gets the CPU. */
static void schedule(void)
{
    struct cpu *c = this_cpu;
    struct vcpu *prev = current, *next;
    bool others_wait;

    spin_lock(&c->runq_lock);
    next = pick_next(c, prev, now_ns());
    others_wait = c->runq_head != NULL;
    spin_unlock(&c->runq_lock);

    if (others_wait)
        timer_set(c->slice_timer, c->slice_end);
    else
        timer_stop(c->slice_timer);
    if (next == prev)
        return;
    if (prev != c->idle) {
        timer_stop(&prev->periodic_timer);
        vcpu_copy_runstate(prev);
    }
    context_switch(prev, next);
}

static void slice_timer_fn(void *unused)
{
    (void)unused;
    raise_softirq(SOFTIRQ_SCHEDULE);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

/* c->idle is set, initialised by sched_init_vcpu(), and what the CPU runs. */
void sched_init_cpu(struct cpu *c)
{
    ASSERT(c->idle);
    spin_lock_init(&c->runq_lock, RANK_RUNQ);
    c->runq_head = c->runq_tail = NULL;
    c->runs = c->idle;
    c->idle->processor = c;
    c->idle->running = true;
    c->charged_at = now_ns();
    vcpu_runstate_change(c->idle, RUNSTATE_running, c->charged_at);
    c->slice_timer = &slice_timers[c->id];
    timer_init(c->slice_timer, slice_timer_fn, NULL);
    softirq_register(SOFTIRQ_SCHEDULE, schedule);
}

/* A new vcpu, not on any queue; its creator has set `wait`, and wakes it when it may run. */
void sched_init_vcpu(struct vcpu *v)
{
    v->processor = this_cpu;
    v->affinity = ~0u;
    spin_lock_init(&v->virq_lock, RANK_VIRQ);
    timer_init(&v->poll_timer, poll_timer_fn, v);
    timer_init(&v->singleshot_timer, singleshot_timer_fn, v);
    timer_init(&v->periodic_timer, periodic_timer_fn, v);
    v->periodic_period = PERIODIC_DEFAULT;
    v->runstate.state = RUNSTATE_offline;
    v->runstate.state_entry_time = now_ns();
}

/* The vcpu is paused for good and does not run. Nothing here refers to it afterwards. */
void sched_destroy_vcpu(struct vcpu *v)
{
    ASSERT(!v->running);
    timer_stop(&v->poll_timer);
    timer_stop(&v->singleshot_timer);
    timer_stop(&v->periodic_timer);
    spin_lock(&v->processor->runq_lock);
    if (v->queued)
        dequeue(v->processor, v);
    spin_unlock(&v->processor->runq_lock);
}

/*
 * Console key: what runs, what waits, what each vcpu has used. Takes no lock: it must work when
 * things are stuck.
 */
void sched_dump(void)
{
    static const char *const names[] = {"running", "runnable", "blocked", "offline"};
    struct vcpu *v;

    for (unsigned i = 0; i < nr_cpus; i++) {
        printk("CPU%u runs d%uv%u, idle %u ms\n", i, cpus[i].runs->domain->id, cpus[i].runs->id,
               (unsigned)(cpus[i].idle_ns / 1000000));
        for (v = cpus[i].runq_head; v; v = v->runq_next)
            printk("  waits: d%uv%u\n", v->domain->id, v->id);
    }
    for (struct domain *d = domain_list; d; d = d->next)
        for_each_vcpu(d, v)
            printk("d%uv%u %s wait %x pause %d+%d ran %u ms\n", d->id, v->id,
                   names[v->runstate.state], v->wait, v->pause_count, d->pause_count,
                   (unsigned)(v->runstate.time[RUNSTATE_running] / 1000000));
}
