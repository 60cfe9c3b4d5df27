/* SPDX-License-Identifier: MIT */
/*
 * test_timer.c: timers fire once, in order, not early and not late, and the device is always set in
 * time. A clock that moves when told plays the TSC; the heap is compared with a table searched from
 * end to end.
 *
 * units: xen/timer.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <ringlet/percpu.h>
#include <ringlet/time.h>

enum { TIMERS = 200 };

struct cpu cpus[MAX_CPUS];
_Thread_local struct cpu *host_cpu = &cpus[0];
unsigned nr_cpus = 1;
_Thread_local struct vcpu *host_vcpu;

static uint64_t clock_ns;
static void (*timer_softirq)(void);
static bool lock_held;

static struct timer timers[TIMERS];
static unsigned fired[TIMERS], nr_fired, order[TIMERS];

uint64_t now_ns(void)
{
    return clock_ns;
}

void softirq_register(enum softirq nr, void (*handler)(void))
{
    assert_int_equal(nr, SOFTIRQ_TIMER);
    timer_softirq = handler;
}

/* As the real device: what is past is done by softirq. */
void timerdev_program(uint64_t deadline)
{
    if (deadline <= clock_ns)
        raise_softirq(SOFTIRQ_TIMER);
    else
        host_cpu->timer_deadline = deadline;
}

void tlb_serve_request(void)
{
    abort();
}

void spin_wait(spinlock_t *l)
{
    (void)l;
    abort(); /* one CPU: nobody else will let go */
}

void spin_lock_check(spinlock_t *l)
{
    assert_false(lock_held);
    assert_int_equal(l->rank, RANK_TIMER);
    lock_held = true;
}

void spin_unlock_check(spinlock_t *l)
{
    assert_true(l->held && lock_held);
    lock_held = false;
}

void bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

static void run_softirqs(void)
{
    while (host_cpu->softirq_pending) {
        host_cpu->softirq_pending = 0;
        timer_softirq();
    }
}

/* Time passes; the device interrupts when it is due. */
static void advance_to(uint64_t when)
{
    while (host_cpu->timer_deadline <= when) {
        if (clock_ns < host_cpu->timer_deadline)
            clock_ns = host_cpu->timer_deadline;
        host_cpu->timer_deadline = ~0ull;
        raise_softirq(SOFTIRQ_TIMER);
        run_softirqs();
    }
    clock_ns = when;
}

static void note(void *arg)
{
    struct timer *t = arg;
    unsigned i = t - timers;

    assert_false(lock_held);
    assert_false(timer_active(t));
    assert_true(t->expires <= clock_ns);
    fired[i]++;
    if (nr_fired < TIMERS)
        order[nr_fired] = i;
    nr_fired++;
}

/* No timer before its parent, and every link has its counterpart. Returns the number of timers. */
static unsigned check_heap(const struct timer *t)
{
    unsigned n = 1;

    assert_true(t->active);
    for (const struct timer *c = t->child, *before = t; c; before = c, c = c->next) {
        assert_ptr_equal(c->prev, before);
        assert_true(c->expires >= t->expires);
        n += check_heap(c);
    }
    return n;
}

static void check_all(void)
{
    const struct timer *root = host_cpu->timers;
    unsigned active = 0;

    for (unsigned i = 0; i < TIMERS; i++) {
        active += timers[i].active;
        if (timers[i].active && !host_cpu->softirq_pending)
            assert_true(host_cpu->timer_deadline <= timers[i].expires);
    }
    assert_int_equal(root ? check_heap(root) : 0, active);
    if (root)
        assert_true(!root->prev && !root->next);
}

static int setup(void **state)
{
    (void)state;
    *host_cpu = (struct cpu){0};
    clock_ns = 1000;
    nr_fired = 0;
    timers_init_cpu(host_cpu);
    for (unsigned i = 0; i < TIMERS; i++) {
        timer_init(&timers[i], note, &timers[i]);
        fired[i] = 0;
    }
    return 0;
}

static void fire_in_order(void **state)
{
    static const unsigned at[] = {5000, 3000, 9000, 3000, 4000, 1500};
    static const unsigned expected[] = {5, 1, 3, 4, 0, 2};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
        timer_set(&timers[i], at[i]);
    advance_to(8999);
    assert_int_equal(nr_fired, 5);
    advance_to(9000);
    assert_int_equal(nr_fired, 6);
    assert_memory_equal(order, expected, sizeof(expected));
    assert_null(host_cpu->timers);
}

static void the_past_fires_at_once(void **state)
{
    (void)state;
    timer_set(&timers[0], 1);
    timer_set(&timers[1], 1000);
    assert_int_equal(nr_fired, 0);
    run_softirqs();
    assert_int_equal(nr_fired, 2);
}

/*
 * Moved timers fire at their last time only; the device may come early for the first and is set
 * again.
 */
static void setting_again_moves(void **state)
{
    (void)state;
    timer_set(&timers[0], 2000);
    timer_set(&timers[0], 6000);
    timer_set(&timers[1], 7000);
    timer_set(&timers[1], 3000);
    advance_to(3000);
    assert_int_equal(fired[0], 0);
    assert_int_equal(fired[1], 1);
    advance_to(10000);
    assert_int_equal(fired[0], 1);
    assert_int_equal(fired[1], 1);
}

static void stopped_stays_silent(void **state)
{
    (void)state;
    timer_stop(&timers[0]);
    timer_set(&timers[0], 2000);
    timer_set(&timers[1], 2500);
    timer_stop(&timers[0]);
    timer_stop(&timers[0]);
    advance_to(5000);
    assert_int_equal(fired[0], 0);
    assert_int_equal(fired[1], 1);
}

static void again(void *arg)
{
    nr_fired++;
    timer_set(arg, clock_ns + 100);
}

/* A function may set its own timer. */
static void periodic(void **state)
{
    (void)state;
    timer_init(&timers[0], again, &timers[0]);
    timer_set(&timers[0], 1100);
    advance_to(11000);
    assert_int_equal(nr_fired, 100);
}

static void stop_other(void *arg)
{
    timer_stop(arg);
}

static void one_function_stops_another(void **state)
{
    (void)state;
    timer_init(&timers[0], stop_other, &timers[1]);
    timer_set(&timers[0], 2000);
    timer_set(&timers[1], 2000);
    advance_to(3000);
    assert_int_equal(fired[1], 0);
}

/*
 * 200,000 random operations; after each the whole heap is checked, and what fired is what was due.
 */
static void against_a_table(void **state)
{
    uint64_t due[TIMERS] = {0}; /* 0: not set */
    unsigned expected[TIMERS] = {0};
    uint32_t seed = 1;

    (void)state;
    for (unsigned step = 0; step < 200000; step++) {
        unsigned i, what;

        seed = seed * 1664525 + 1013904223;
        i = (seed >> 8) % TIMERS;
        what = (seed >> 20) % 10;
        if (what < 6) {
            due[i] = clock_ns + (seed >> 16) % 5000;
            timer_set(&timers[i], due[i]);
        } else if (what < 8) {
            due[i] = 0;
            timer_stop(&timers[i]);
        } else {
            advance_to(clock_ns + (seed >> 16) % 500);
        }
        run_softirqs();
        for (unsigned j = 0; j < TIMERS; j++) {
            if (due[j] && due[j] <= clock_ns) {
                due[j] = 0;
                expected[j]++;
            }
        }
        if (step % 16 == 0)
            check_all();
        assert_memory_equal(fired, expected, sizeof(fired));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fire_in_order, setup),
        cmocka_unit_test_setup(the_past_fires_at_once, setup),
        cmocka_unit_test_setup(setting_again_moves, setup),
        cmocka_unit_test_setup(stopped_stays_silent, setup),
        cmocka_unit_test_setup(periodic, setup),
        cmocka_unit_test_setup(one_function_stops_another, setup),
        cmocka_unit_test_setup(against_a_table, setup),
    };

    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
