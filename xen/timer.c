/* SPDX-License-Identifier: MIT */
/*
 * timer.c: things to be done at a given time: a heap of timers on each CPU, and the softirq that
 * runs them.
 *
 * The heap is a pairing heap: a tree in which no timer expires before its parent, so the root is
 * the next to expire. Two heaps are melded by hanging the later root under the earlier one: one
 * comparison. Setting a timer melds the heap with a heap of one; taking the root away melds its
 * children in pairs, then all pairs. All links are in struct timer itself. A heap in an array would
 * have to grow when a domain is created, and growing can fail, while setting a timer must not:
 * there would be no good answer to give a guest. Cost: set O(1), remove O(log n) amortised
 * (Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", 1986), and most removals are of timers
 * set a moment ago.
 *
 * Links: `child` is the first child. Children are chained by `next`; `prev` of the first child is
 * its parent, of the others the sibling before. A root has neither `next` nor `prev`.
 *
 * A timer is in the heap of the CPU that set it last, and its function is called there. Whoever sets
 * or stops it may do so on any CPU; when two do at once, one of them was the later.
 *
 * The timer device is set when a timer becomes the next to expire, and left alone when that timer
 * goes: then it interrupts early, and the softirq sets it to what is next.
 *
 * Read next: arch/i386/timerdev.c.
 */
#include <ringlet/percpu.h>
#include <ringlet/time.h>

/* Two roots into one. Of equal expiry, `a` stays on top. */
static inline struct timer *meld(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->expires < a->expires) {
        struct timer *earlier = b;

        b = a;
        a = earlier;
    }
    b->prev = a;
    b->next = a->child;
    if (b->next)
        b->next->prev = b;
    a->child = b;
    return a;
}

/*
 * The children of a timer that goes away, melded into one heap: in pairs from the left, then the
 * pairs from the right.
 */
static struct timer *meld_children(struct timer *first)
{
    struct timer *pairs = NULL, *root = NULL;

    while (first) {
        struct timer *a = first, *b = a->next, *pair;

        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        struct timer *pair = pairs;

        pairs = pair->next;
        pair->next = NULL;
        root = meld(root, pair);
    }
    return root;
}

/* Take `t` out of the heap it is in. The CPU's timer_lock is held. */
static void heap_remove(struct cpu *c, struct timer *t)
{
    if (c->timers == t) {
        c->timers = meld_children(t->child);
    } else {
        if (t->prev->child == t)
            t->prev->child = t->next;
        else
            t->prev->next = t->next;
        if (t->next)
            t->next->prev = t->prev;
        if (t->child)
            c->timers = meld(c->timers, meld_children(t->child));
    }
    t->child = t->next = t->prev = NULL;
    t->active = false;
}

void timer_init(struct timer *t, void (*fn)(void *), void *arg)
{
    *t = (struct timer){.fn = fn, .arg = arg, .cpu = this_cpu};
}

/* A timer's fields, `cpu` too, are guarded by the timer_lock of its `cpu`: take that one. */
static struct cpu *lock_timer(struct timer *t)
{
    for (;;) {
        struct cpu *c = *(struct cpu *volatile *)&t->cpu;

        spin_lock(&c->timer_lock);
        if (likely(t->cpu == c))
            return c;
        spin_unlock(&c->timer_lock);
    }
}

/* The same, with the timer in no heap, and this CPU its own. */
static struct cpu *lock_timer_here(struct timer *t)
{
    struct cpu *c;

    while (unlikely((c = lock_timer(t)) != this_cpu)) {
        if (t->active)
            heap_remove(c, t);
        t->cpu = this_cpu;
        spin_unlock(&c->timer_lock);
    }
    if (t->active)
        heap_remove(c, t);
    return c;
}

void timer_stop(struct timer *t)
{
    struct cpu *c;

    if (!t->active)
        return;
    c = lock_timer(t);
    if (t->active)
        heap_remove(c, t);
    spin_unlock(&c->timer_lock);
}

/*
 * Stop it for good: it will not be set again, and its function runs nowhere any more. What the
 * function may wait for, the caller must not hold.
 */
void timer_kill(struct timer *t)
{
    struct cpu *c = lock_timer(t);

    if (t->active)
        heap_remove(c, t);
    t->killed = true;
    spin_unlock(&c->timer_lock);
    for (unsigned i = 0; i < nr_cpus; i++)
        while (*(struct timer *volatile *)&cpus[i].timer_running == t)
            cpu_relax();
}

/* Call t->fn once, on this CPU, at system time `expires` (ns) or soon after. */
void timer_set(struct timer *t, uint64_t expires)
{
    struct cpu *c = lock_timer_here(t);
    bool next = false;

    if (likely(!t->killed)) {
        t->expires = expires;
        t->active = true;
        c->timers = meld(c->timers, t);
        next = c->timers == t;
    }
    spin_unlock(&c->timer_lock);
    if (next && expires < c->timer_deadline)
        timerdev_program(expires);
}

/*
 * walk 48: Time
 *
 * Claim: Each processor has a heap of timers and a one-shot device set to the first of them. The
 * interrupt does nothing but raise this softirq. It calls what is due, with no lock held, and sets
 * the device for what is not. The time is read once, so that functions which set their own timers
 * again cannot keep the loop going.
 * Without it: A guest's periodic timer of a nanosecond would hold the processor for ever.
 * Shown by: tests/host/test_timer.c::against_a_table, tests/host/test_timer.c::periodic,
 * tests/guests/xsa/xsa-20/main.c::test_periods
 */
/*
 * Run what is due, and set the device for what is not. Functions are called with no lock held and
 * may set timers, their own too, but to a time in the future: `now` is read once, so this ends.
 */
static void timer_softirq(void)
{
    struct cpu *c = this_cpu;
    uint64_t now = now_ns(), deadline = ~0ull;
    struct timer *t;

    spin_lock(&c->timer_lock);
    while ((t = c->timers) && t->expires <= now) {
        heap_remove(c, t);
        c->timer_running = t;
        spin_unlock(&c->timer_lock);
        t->fn(t->arg);
        __atomic_store_n(&c->timer_running, NULL, __ATOMIC_RELEASE);
        spin_lock(&c->timer_lock);
    }
    if (t)
        deadline = t->expires;
    spin_unlock(&c->timer_lock);
    if (deadline < c->timer_deadline)
        timerdev_program(deadline);
}

void timers_init_cpu(struct cpu *c)
{
    c->timers = NULL;
    c->timer_deadline = ~0ull;
    spin_lock_init(&c->timer_lock, RANK_TIMER);
    softirq_register(SOFTIRQ_TIMER, timer_softirq);
}
