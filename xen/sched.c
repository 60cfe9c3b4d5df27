/* SPDX-License-Identifier: MIT */
/*
 * sched.c: which vcpu runs on which CPU, and for how long.
 *
 * Fairness by virtual time. Each vcpu has a `vtime` that advances while it runs, at a speed of 256
 * by its domain's weight; of those that are ready, the one with the smallest runs next: whoever had
 * least so far. A vcpu that runs while others wait gives way after a time slice. So vcpus that
 * never block get shares as their weights are. As in Xen's credit scheduler the weight is that of
 * each vcpu: a domain with more vcpus gets more.
 *
 * One queue for all CPUs, in order of vtime, equals in order of arrival, under one lock. Every CPU
 * takes the first that may run on it: the shares are exact over the whole machine without anything
 * having to be balanced, and there is one place where a vcpu can wait. The price is that all CPUs
 * meet at one lock, which they hold for some hundred instructions; for the few CPUs of MAX_CPUS
 * that is little. With many, queues of their own and stealing would take its place.
 *
 * How far apart vtimes may be. What a CPU hands out now has the vtime of the vcpu it runs or would
 * take next: the CPU's own `vtime` is the greatest so far, and the queue's the greatest of all CPUs
 * and vcpus that may run everywhere. Whoever is behind by more than CREDIT when it wakes is moved
 * forward to that distance. So a vcpu that slept runs at once when it wakes (low latency for those
 * that wait for events and do little), yet cannot save up a long sleep and then keep a CPU from the
 * others. The same for a vcpu that was kept behind by a cap. One that was kept behind by a weight
 * of more than one CPU, or by a crowd on the only CPU it was allowed, is moved forward to LAG when
 * it gets a CPU: weights on several CPUs need some play. Vcpus not allowed on every CPU are
 * measured by the CPU's vtime, so that those who share it keep their order.
 *
 * A vcpu that wakes goes to an idle CPU, the one it ran on last if that is idle; else it preempts
 * the one with the greatest vtime, when it is behind that by PREEMPT_MARGIN: two busy vcpus do not
 * switch at every event they send each other.
 *
 * Waking costs others time: the interrupt, the switch to the one that wakes and the one back, when it
 * sleeps again, come out of the time of whoever ran. So each wake advances vtime by WAKE_COST, a
 * little more than that takes: who does nothing but wake up gets no more than its share either.
 *
 * A cap is a domain's budget of CPU time for each PERIOD. When it is used up the domain is parked:
 * its vcpus stay in the queue and are passed over until the period ends. What was used too much is
 * taken from the next budget, so the cap is exact in the long run.
 *
 * Switching happens on the way out to the guest only, in schedule(), the handler of
 * SOFTIRQ_SCHEDULE; everything else here moves vcpus on and off the queue and raises it. Where no
 * vcpu is ready the CPU's idle vcpu runs.
 *
 * Invariants, under runq_lock:
 *  SC1 a vcpu is queued exactly when it is runnable and not `running`, except inside the functions
 *      here, and until vcpu_sleep() comes for one that has just been paused or taken down.
 *  SC2 `running` is set from when a CPU takes the vcpu until its registers are saved
 *      (sched_context_saved), which is after the CPU has taken another; only then can a second CPU
 *      take it. cpu.runs is the one that runs or is being switched to. It may have become not
 *      runnable, or not allowed there: then SCHEDULE is pending on that CPU.
 *  SC3 while a vcpu of a domain that is not parked waits, one of the CPUs it may run on has its
 *      slice timer active or SCHEDULE pending; a CPU that runs a vcpu of a capped domain too.
 *  SC4 runstate.time[] plus the time since state_entry_time adds up to the vcpu's age.
 *  SC5 a domain is parked only if it has a cap, and then its cap timer is active.
 *
 * The race of block and wake: SCHEDOP_block sets WAIT_BLOCKED, then looks for a pending event; a
 * sender makes the event pending, then looks for WAIT_BLOCKED. Both use locked instructions, so at
 * least one of them sees the other. Who clears WAIT_BLOCKED then takes runq_lock in vcpu_wake(). It
 * finds the vcpu queued or `running`, and then whoever ends that looks again, or it queues it.
 * tests/models/sched.pml checks this in all its interleavings.
 *
 * Read next: xen/sched_op.c (what guests ask for), arch/i386/switch.c (context_switch).
 */
#include <ringlet/domain.h>
#include <ringlet/hypercall.h>
#include <ringlet/sched.h>

#define SLICE MILLISECS(10)
#define CREDIT MILLISECS(5)
#define LAG MILLISECS(40)
#define WAKE_COST MICROSECS(5)
#define PREEMPT_MARGIN MICROSECS(500)
#define PERIOD MILLISECS(30)
#define RATE_SHIFT 16

/* The run queue, and all that is marked with it in struct vcpu, domain and cpu. */
spinlock_t runq_lock = SPINLOCK_INIT(RANK_RUNQ);
static struct vcpu *runq_head, *runq_tail;
static uint64_t runq_vtime; /* as cpu.vtime, of all CPUs, by the vcpus that may run everywhere */
static uint32_t runq_cpus;  /* CPUs that schedule */

static struct timer slice_timers[MAX_CPUS];

/* ---- The run queue: in order of vtime. runq_lock is held, from here to "Waking". -------------- */

static void enqueue(struct vcpu *v)
{
    struct vcpu *after = runq_tail;

    ASSERT(!v->queued && !v->running);
    while (after && after->vtime > v->vtime)
        after = after->runq_prev;
    v->runq_prev = after;
    v->runq_next = after ? after->runq_next : runq_head;
    if (v->runq_next)
        v->runq_next->runq_prev = v;
    else
        runq_tail = v;
    if (after)
        after->runq_next = v;
    else
        runq_head = v;
    v->queued = true;
}

static void dequeue(struct vcpu *v)
{
    ASSERT(v->queued);
    if (v->runq_prev)
        v->runq_prev->runq_next = v->runq_next;
    else
        runq_head = v->runq_next;
    if (v->runq_next)
        v->runq_next->runq_prev = v->runq_prev;
    else
        runq_tail = v->runq_prev;
    v->runq_next = v->runq_prev = NULL;
    v->queued = false;
}

static inline uint32_t cpu_bit(const struct cpu *c)
{
    return 1u << c->id;
}

static inline bool allowed(const struct vcpu *v, const struct cpu *c)
{
    return (v->affinity & cpu_bit(c)) && !v->domain->parked;
}

/* The first in the queue that may run on `c`, or NULL. */
static struct vcpu *first_for(const struct cpu *c)
{
    struct vcpu *v = runq_head;

    while (v && !allowed(v, c))
        v = v->runq_next;
    return v;
}

/* ---- Caps ------------------------------------------------------------------------------------ */

static int64_t quota(const struct domain *d)
{
    return d->cap * (PERIOD / 100);
}

/* A period has ended: a new budget, less what was overdrawn. */
static void refill(struct domain *d, uint64_t now)
{
    int64_t whole = quota(d);

    if (now < d->period_end)
        return;
    d->budget = MIN(d->budget + whole, whole);
    d->period_end += PERIOD;
    if (d->period_end > now)
        return;
    /* It was idle for longer than a period. */
    d->budget = whole;
    d->period_end = now + PERIOD;
}

/* The CPUs that run d's vcpus shall decide anew. */
static void reschedule(const struct domain *d)
{
    for (uint32_t mask = runq_cpus; mask; mask &= mask - 1) {
        struct cpu *c = &cpus[__builtin_ctz(mask)];

        if (c->runs->domain == d)
            raise_softirq_on(c, SOFTIRQ_SCHEDULE);
    }
}

/* The capped domain `d` has run for `ran` ns. Without a budget it is stopped wherever it runs. */
static void charge_cap(struct domain *d, uint64_t ran, uint64_t now)
{
    d->budget -= ran;
    refill(d, now);
    if (d->budget > 0 || d->parked)
        return;
    d->parked = true;
    timer_set(&d->cap_timer, d->period_end);
    reschedule(d);
}

/* ---- Virtual time ---------------------------------------------------------------------------- */

/* The virtual time that weighs `ran` ns of a vcpu of d's. */
static uint64_t weigh(const struct domain *d, uint64_t ran)
{
    if (d->vtime_rate == 1u << RATE_SHIFT)
        return ran;
    return (ran >> RATE_SHIFT) * d->vtime_rate +
           ((ran & ((1u << RATE_SHIFT) - 1)) * d->vtime_rate >> RATE_SHIFT);
}

/* The virtual time that `v` is measured by on CPU `c`. */
static inline uint64_t *measure(const struct vcpu *v, struct cpu *c)
{
    return runq_cpus & ~v->affinity ? &c->vtime : &runq_vtime;
}

/* `v` runs on `c`, or is the next to: that is how far virtual time is. */
static void advance(struct cpu *c, const struct vcpu *v)
{
    uint64_t *m = measure(v, c);

    if (v->vtime > c->vtime)
        c->vtime = v->vtime;
    if (v->vtime > *m)
        *m = v->vtime;
}

/* `v` shall not be further behind than `most`. It is not queued. */
static void limit_lag(struct vcpu *v, struct cpu *c, uint64_t most)
{
    uint64_t m = *measure(v, c);

    if (v->vtime + most < m)
        v->vtime = m - most;
}

/* Charge what runs on `c` for its time up to `now`, and bring virtual time up. */
static void charge(struct cpu *c, uint64_t now)
{
    struct vcpu *v = c->runs, *first;
    uint64_t ran = now - c->charged_at;

    if ((int64_t)ran <= 0) /* CPUs' clocks differ a little */
        return;
    c->charged_at = now;
    if (v == c->idle) {
        c->idle_ns += ran;
    } else {
        v->vtime += weigh(v->domain, ran);
        if (unlikely(v->domain->cap))
            charge_cap(v->domain, ran, now);
    }
    first = first_for(c);
    if (v == c->idle || (first && first->vtime < v->vtime))
        v = first;
    if (v)
        advance(c, v);
}

/*
 * Bring all CPUs up to `now`: before a vcpu comes to wait that did not, and what ran unchallenged
 * for long seems to have run ahead of it.
 */
static void charge_all(uint64_t now)
{
    for (uint32_t mask = runq_cpus; mask; mask &= mask - 1)
        charge(&cpus[__builtin_ctz(mask)], now);
}

/* ---- Finding a CPU --------------------------------------------------------------------------- */

/*
 * Of the CPUs that `v` may run on and that are not offered to another: an idle one, its last if
 * that is idle; else where the greatest vtime runs. NULL: all are offered.
 */
static struct cpu *cheapest_cpu(const struct vcpu *v)
{
    struct cpu *last = v->processor, *best = NULL;
    uint32_t mask = v->affinity & runq_cpus;

    if ((mask & cpu_bit(last)) && last->runs == last->idle && !last->offered)
        return last;
    for (; mask; mask &= mask - 1) {
        struct cpu *c = &cpus[__builtin_ctz(mask)];

        if (c->offered)
            continue;
        if (c->runs == c->idle)
            return c;
        if (!best || c->runs->vtime > best->runs->vtime)
            best = c;
    }
    return best;
}

/*
 * `v` has come to wait in the queue, or more CPUs may take it than before: one of them shall, at
 * once or when its slice ends. One that is offered to another already will look at the queue
 * anyway. (SC3) All CPUs have been charged.
 */
static void find_cpu(struct vcpu *v)
{
    struct cpu *c = v->domain->parked ? NULL : cheapest_cpu(v);

    if (!c)
        return;
    if (c->runs == c->idle || v->vtime + PREEMPT_MARGIN < c->runs->vtime) {
        c->offered = v;
        raise_softirq_on(c, SOFTIRQ_SCHEDULE);
    } else if (!timer_active(c->slice_timer)) {
        timer_set(c->slice_timer, c->slice_end);
    }
}

/* `c` has decided. Did it take another than it was offered to, that one may need another CPU. */
static void offer_again(struct cpu *c)
{
    const struct vcpu *offered = c->offered;
    struct vcpu *v = runq_head;

    c->offered = NULL;
    if (!offered || offered == c->runs)
        return;
    while (v && v != offered)
        v = v->runq_next;
    if (v)
        find_cpu(v);
}

/* ---- Waking and sleeping --------------------------------------------------------------------- */

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

/* `v` is neither queued nor running: its state is what it waits for. */
static void stay_waiting(struct vcpu *v)
{
    if (v->runstate.state != waiting_state(v))
        vcpu_runstate_change(v, waiting_state(v), now_ns());
}

/*
 * walk 50: Which vcpu runs next
 *
 * Claim: Every vcpu has a virtual time, which advances while it runs, slower the greater its
 * weight; of those that are ready the one with the smallest runs. One that slept is far behind, and
 * would keep the processor from all others: so it is moved forward to at most 5 ms behind, which
 * lets it run at once and no longer. Each wake costs a little virtual time besides, as much as the
 * switches cost whoever ran.
 * Without it: A guest that sleeps and wakes ten thousand times a second would take more than its
 * share; one that slept for an hour would then run for an hour.
 * Shown by: tests/host/test_sched.c::a_sleeper_wakes_at_once,
 * tests/host/test_sched.c::waking_often_is_no_way_to_get_more,
 * tests/system/test_sched.py::test_weights
 */
/* Something that kept `v` from running may be gone: queue it if it is runnable. */
void vcpu_wake(struct vcpu *v)
{
    uint64_t now;

    spin_lock(&runq_lock);
    if (!v->running && !v->queued) {
        if (vcpu_runnable(v)) {
            now = now_ns();
            charge_all(now);
            limit_lag(v, v->processor, CREDIT);
            v->vtime += weigh(v->domain, WAKE_COST);
            vcpu_runstate_change(v, RUNSTATE_runnable, now);
            enqueue(v);
            find_cpu(v);
        } else {
            stay_waiting(v);
        }
    }
    spin_unlock(&runq_lock);
}

/*
 * Something keeps `v` from running from now on. If it runs on another CPU it stops at its next way
 * out.
 */
void vcpu_sleep(struct vcpu *v)
{
    spin_lock(&runq_lock);
    if (v->queued && !vcpu_runnable(v)) {
        dequeue(v);
        stay_waiting(v);
    }
    if (v->running)
        raise_softirq_on(v->processor, SOFTIRQ_SCHEDULE);
    spin_unlock(&runq_lock);
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
    while (__atomic_load_n(&v->running, __ATOMIC_ACQUIRE)) {
        gather_here(); /* v may be waiting for this CPU */
        cpu_relax();
    }
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

/*
 * walk 51: Say it, then look
 *
 * Claim: A guest that has nothing to do blocks until an event comes. It may come just now, from
 * another processor. So the vcpu first says that it is blocked and then looks for an event; the
 * sender sets the event and then looks for vcpus that are blocked. Both are locked instructions, so
 * at least one of the two sees the other.
 * Without it: Looked first and said afterwards, an event between the two would find nobody to wake,
 * and the vcpu would sleep until something else happens.
 * Shown by: tests/host/test_sched.c::a_pending_event_forbids_blocking,
 * tests/host/test_sched.c::an_event_on_the_way_out_is_not_lost,
 * tests/guests/events/wakes/main.c::play_round
 */
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
    uint32_t waits = v->wait;

    if (!(waits & (WAIT_BLOCKED | WAIT_POLLING)))
        return;
    /*
     * First the timer and poll_mask, then the wait: if v was woken meanwhile and polls again, it is
     * this new poll that ends early. The other way round it would lose its timeout or its events.
     */
    if (waits & WAIT_POLLING) {
        timer_stop(&v->poll_timer);
        __atomic_fetch_and(&v->domain->poll_mask, ~(1u << v->id), __ATOMIC_SEQ_CST);
    }
    __atomic_fetch_and(&v->wait, ~(WAIT_BLOCKED | WAIT_POLLING), __ATOMIC_SEQ_CST);
    vcpu_wake(v);
}

/* Let the next in the queue run, if there is one: the caller's turn comes right after. */
void vcpu_yield(void)
{
    struct cpu *c = this_cpu;
    struct vcpu *first;

    if (!*(struct vcpu *volatile *)&runq_head)
        return;
    spin_lock(&runq_lock);
    charge(c, now_ns());
    first = first_for(c);
    if (first && c->runs->vtime < first->vtime)
        c->runs->vtime = first->vtime;
    spin_unlock(&runq_lock);
    if (first)
        raise_softirq(SOFTIRQ_SCHEDULE);
}

/* ---- Shares and places ----------------------------------------------------------------------- */

/* The domain has a budget again: its vcpus are not passed over any more. runq_lock is held. */
static void unpark(struct domain *d, uint64_t now)
{
    struct vcpu *v;

    charge_all(now);
    d->parked = false;
    for_each_vcpu(d, v)
    {
        if (v->queued) {
            dequeue(v);
            limit_lag(v, v->processor, CREDIT);
            enqueue(v);
            find_cpu(v);
        }
    }
}

static void cap_timer_fn(void *arg)
{
    struct domain *d = arg;
    uint64_t now = now_ns();

    spin_lock(&runq_lock);
    refill(d, now);
    if (d->parked) {
        if (d->budget > 0)
            unpark(d, now);
        else
            timer_set(&d->cap_timer, d->period_end);
    }
    spin_unlock(&runq_lock);
}

/*
 * `weight`: 1 to 65535, each vcpu's share is as that; 256 to begin with. `cap`: at most that many
 * hundredths of one CPU for the domain's vcpus together; 0: no limit.
 */
void sched_set_share(struct domain *d, uint16_t weight, uint16_t cap)
{
    uint64_t now = now_ns();

    ASSERT(weight);
    spin_lock(&runq_lock);
    charge_all(now);
    reschedule(d);
    d->weight = weight;
    d->vtime_rate = ((uint32_t)SCHED_WEIGHT_DEFAULT << RATE_SHIFT) / weight;
    d->cap = cap;
    d->budget = quota(d);
    d->period_end = now + PERIOD;
    unpark(d, now);
    spin_unlock(&runq_lock);
}

/* runq_lock is held. */
static void set_affinity(struct vcpu *v, uint32_t mask)
{
    ASSERT(mask & runq_cpus);
    charge_all(now_ns());
    v->affinity = mask;
    if (v->running && !allowed(v, v->processor))
        raise_softirq_on(v->processor, SOFTIRQ_SCHEDULE);
    if (v->queued)
        find_cpu(v);
}

/*
 * `v` may run on the CPUs of `mask` from now on. -EINVAL: none of them is there; -EBUSY: the guest
 * has pinned it for now.
 */
int vcpu_set_affinity(struct vcpu *v, uint32_t mask)
{
    int rc = 0;

    spin_lock(&runq_lock);
    if (!(mask & runq_cpus))
        rc = -EINVAL;
    else if (v->affinity_saved)
        rc = -EBUSY;
    else
        set_affinity(v, mask);
    spin_unlock(&runq_lock);
    return rc;
}

/*
 * Pin `v` to one CPU for a while, or undo that (pcpu < 0). See pin_override() in sched_op.c. The
 * override and the affinity it covers belong together: runq_lock.
 */
int vcpu_pin_override(struct vcpu *v, int pcpu)
{
    uint32_t mask;
    int rc = -EINVAL;

    spin_lock(&runq_lock);
    if (pcpu < 0)
        mask = v->affinity_saved;
    else
        mask = pcpu < MAX_CPUS ? runq_cpus & 1u << pcpu : 0;
    if (mask && pcpu >= 0 && v->affinity_saved)
        rc = -EBUSY;
    else if (mask)
        rc = 0;
    if (!rc) {
        v->affinity_saved = pcpu < 0 ? 0 : v->affinity;
        set_affinity(v, mask);
    }
    spin_unlock(&runq_lock);
    return rc;
}

/* ---- Switching ------------------------------------------------------------------------------- */

/* The new vcpu's address space is loaded: bring what its guest sees up to date. */
void vcpu_switched_in(struct vcpu *v)
{
    if (v == this_cpu->idle)
        return;
    update_vcpu_time(v);
    vcpu_copy_runstate(v);
    vcpu_periodic_tick(v);
}

/*
 * The CPU goes on with c->runs for a slice, or as long as its domain's budget lasts; without a
 * timer, when nobody waits for this CPU. prev_waits: one more than the queue knows. (SC3)
 */
static void start_slice(struct cpu *c, bool prev_waits, uint64_t now)
{
    const struct domain *d = c->runs->domain;
    uint64_t slice = SLICE;

    if (unlikely(d->cap) && d->budget < (int64_t)slice)
        slice = d->budget;
    c->slice_end = now + slice;
    if (prev_waits || d->cap || first_for(c))
        timer_set(c->slice_timer, c->slice_end);
    else
        timer_stop(c->slice_timer);
}

/* Choose the vcpu that runs next and make the CPU's books say so. runq_lock is held. */
static struct vcpu *pick_next(struct cpu *c, struct vcpu *prev, uint64_t now)
{
    struct vcpu *next;
    bool prev_ready;

    ASSERT(c->runs == prev && prev->running);
    charge(c, now);
    prev_ready = prev != c->idle && vcpu_runnable(prev) && allowed(prev, c);
    next = first_for(c);
    if (prev_ready && (!next || prev->vtime < next->vtime))
        next = prev;
    else if (next)
        dequeue(next);
    else
        next = c->idle;
    c->runs = next;
    if (next != c->idle)
        limit_lag(next, c, LAG);
    start_slice(c, prev_ready && prev != next, now);
    offer_again(c);
    if (next == prev)
        return next;
    vcpu_runstate_change(
        prev, prev == c->idle || vcpu_runnable(prev) ? RUNSTATE_runnable : waiting_state(prev),
        now);
    vcpu_runstate_change(next, RUNSTATE_running, now);
    ASSERT(!next->running);
    next->processor = c; /* before `running`: vcpu_kick() reads them without the lock */
    next->running = true;
    return next;
}

/* The handler of SOFTIRQ_SCHEDULE. Does not return when another vcpu gets the CPU. */
static void schedule(void)
{
    struct cpu *c = this_cpu;
    struct vcpu *prev = current, *next;

    spin_lock(&runq_lock);
    next = pick_next(c, prev, now_ns());
    spin_unlock(&runq_lock);
    if (next == prev)
        return;
    if (prev != c->idle) {
        timer_stop(&prev->periodic_timer);
        vcpu_copy_runstate(prev);
    }
    context_switch(prev, next);
}

/*
 * walk 52: Not before its registers are saved
 *
 * Claim: A processor that takes another vcpu has the old one's registers still in its hands. Until
 * they are saved the old one counts as running, and no other processor may take it. When they are,
 * it is looked at again: it may have been woken meanwhile.
 * Without it: Two processors would run the same vcpu, the second with registers of a moment ago.
 * Shown by: tests/host/test_sched.c::nobody_runs_half_a_vcpu,
 * tests/host/test_sched.c::pausing_waits_for_the_other_cpu
 */
/*
 * context_switch() has saved the registers of `prev`: from here on another CPU may run it. What
 * happened to it meanwhile, vcpu_wake() left to us, as it was `running`.
 */
void sched_context_saved(struct vcpu *prev)
{
    struct cpu *c = this_cpu;

    spin_lock(&runq_lock);
    ASSERT(prev->running && c->runs != prev);
    __atomic_store_n(&prev->running, false, __ATOMIC_RELEASE); /* see vcpu_sleep_sync() */
    if (prev != c->idle) {
        if (!vcpu_runnable(prev)) {
            stay_waiting(prev);
        } else {
            if (prev->runstate.state != RUNSTATE_runnable)
                vcpu_runstate_change(prev, RUNSTATE_runnable, now_ns());
            if (runq_cpus == cpu_bit(c)) { /* one CPU alone has just decided */
                enqueue(prev);
            } else {
                charge_all(now_ns());
                enqueue(prev);
                find_cpu(prev);
            }
        }
    }
    spin_unlock(&runq_lock);
}

static void slice_timer_fn(void *c)
{
    raise_softirq_on(c, SOFTIRQ_SCHEDULE);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

/* c->idle is set, initialised by sched_init_vcpu(), and what the CPU runs. */
void sched_init_cpu(struct cpu *c)
{
    ASSERT(c->idle);
    c->runs = c->idle;
    c->idle->processor = c;
    c->idle->running = true;
    c->charged_at = now_ns();
    c->slice_timer = &slice_timers[c->id];
    timer_init(c->slice_timer, slice_timer_fn, c);
    softirq_register(SOFTIRQ_SCHEDULE, schedule);
    spin_lock(&runq_lock);
    vcpu_runstate_change(c->idle, RUNSTATE_running, c->charged_at);
    runq_cpus |= cpu_bit(c);
    spin_unlock(&runq_lock);
}

/* The CPUs that vcpus can run on, a bit each. */
uint32_t sched_cpus(void)
{
    return runq_cpus;
}

/* A new domain, without vcpus. */
void sched_init_domain(struct domain *d)
{
    timer_init(&d->cap_timer, cap_timer_fn, d);
    sched_set_share(d, SCHED_WEIGHT_DEFAULT, 0);
}

/* A new vcpu, not on any queue; its creator has set `wait`, and wakes it when it may run. */
void sched_init_vcpu(struct vcpu *v)
{
    v->processor = this_cpu;
    v->affinity = ~0u;
    spin_lock_init(&v->virq_lock, RANK_VIRQ);
    vcpu_time_init(v);
}

/* The vcpu is paused for good and does not run. Nothing here refers to it afterwards. */
void sched_destroy_vcpu(struct vcpu *v)
{
    ASSERT(!v->running && !v->queued);
    vcpu_time_stop(v);
}

/* The domain's vcpus are gone from here. */
void sched_destroy_domain(struct domain *d)
{
    timer_kill(&d->cap_timer);
}

/*
 * Console key: what runs, what waits, what each vcpu has used. Takes no lock: it must work when
 * things are stuck.
 */
void sched_dump(void)
{
    static const char *const names[] = {"running", "runnable", "blocked", "offline"};
    struct vcpu *v;

    for (unsigned i = 0; i < nr_cpus; i++)
        printk("CPU%u runs d%uv%u, idle %u ms\n", i, cpus[i].runs->domain->id, cpus[i].runs->id,
               (unsigned)(cpus[i].idle_ns / 1000000));
    for (v = runq_head; v; v = v->runq_next)
        printk("  waits: d%uv%u%s\n", v->domain->id, v->id, v->domain->parked ? " (capped)" : "");
    for (struct domain *d = domain_list; d; d = d->next)
        for_each_vcpu(d, v)
            printk("d%uv%u %s wait %x pause %d+%d ran %u ms\n", d->id, v->id,
                   names[v->runstate.state], v->wait, v->pause_count, d->pause_count,
                   (unsigned)(v->runstate.time[RUNSTATE_running] / 1000000));
}
