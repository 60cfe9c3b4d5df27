/* SPDX-License-Identifier: MIT */
/*
 * test_sched.c: the scheduler's promises, on one CPU whose time moves when told: equal shares,
 * quick waking, no share for sleepers to save up, run states that add up to the time that passed,
 * nothing lost in pausing and blocking.
 *
 * The CPU of the test is a loop: run softirqs, then let the current vcpu do something for a while,
 * or let time jump to the next timer where the idle vcpu runs. context_switch() comes back to the
 * loop by longjmp, as the real one comes back at the bottom of an empty stack.
 *
 * units: xen/sched.c xen/sched_op.c xen/timer.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1 -fno-pie -no-pie
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/sched.h>
#include <xen/sched.h>

enum { DOMAINS = 6, VCPUS = 2, PORTS = 64 };

struct cpu cpus[MAX_CPUS];
unsigned nr_cpus = 1;
struct cpu *host_cpu = &cpus[0];
struct vcpu *host_vcpu;
struct domain *domain_list;

static struct domain domains[DOMAINS], idle_domain_of_test;
static struct vcpu vcpus[DOMAINS][VCPUS], idle;
static struct vcpu_info infos[DOMAINS][VCPUS], idle_info;
static bool pending[PORTS];

static uint64_t clock_ns;
static void (*handlers[NR_SOFTIRQS])(void);
static jmp_buf back_to_cpu;
static unsigned locks, switches, timer_virqs, shutdowns, last_reason;

/* ---- the world around the scheduler ---------------------------------------------------------- */

uint64_t now_ns(void)
{
    return clock_ns;
}

void send_ipi(const struct cpu *c)
{
    fail_msg("one CPU here: an interrupt to CPU %u", c->id);
}

void tlb_serve_request(void)
{
    fail();
}

void softirq_register(enum softirq nr, void (*handler)(void))
{
    handlers[nr] = handler;
}

void timerdev_program(uint64_t deadline)
{
    if (deadline <= clock_ns)
        raise_softirq(SOFTIRQ_TIMER);
    else
        host_cpu->timer_deadline = deadline;
}

void context_switch(struct vcpu *from, struct vcpu *to)
{
    assert_ptr_equal(from, host_vcpu);
    assert_int_equal(locks, 0);
    assert_true(from->running);
    assert_true(to->running);
    switches++;
    host_vcpu = to;
    sched_context_saved(from);
    assert_false(from->running);
    vcpu_switched_in(to);
    longjmp(back_to_cpu, 1);
}

void update_vcpu_time(struct vcpu *v)
{
    assert_ptr_equal(v, host_vcpu);
}

void send_guest_virq(struct vcpu *v, unsigned virq)
{
    assert_int_equal(virq, VIRQ_TIMER);
    timer_virqs++;
    v->info->evtchn_upcall_pending = 1;
    vcpu_unblock(v);
}

bool evtchn_port_valid(struct domain *d, evtchn_port_t port)
{
    (void)d;
    return port < PORTS;
}

bool evtchn_port_pending(struct domain *d, evtchn_port_t port)
{
    (void)d;
    return pending[port];
}

struct domain *find_domain(domid_t id)
{
    return id < DOMAINS ? &domains[id] : NULL;
}

void put_domain(struct domain *d)
{
    (void)d;
}

void domain_shutdown(struct domain *d, unsigned reason)
{
    struct vcpu *v;

    shutdowns++;
    last_reason = reason;
    d->pause_count++;
    for_each_vcpu(d, v) vcpu_sleep(v);
}

void spin_wait(const spinlock_t *l)
{
    (void)l;
    abort(); /* one CPU: nobody else will let go */
}

void spin_lock_check(spinlock_t *l)
{
    assert_false(locks >> l->rank);
    locks |= 1u << l->rank;
}

void spin_unlock_check(spinlock_t *l)
{
    assert_true(l->held);
    locks &= ~(1u << l->rank);
}

uint32_t copy_from_guest(void *dst, const void *guest, uint32_t n)
{
    if (!guest)
        return n;
    memcpy(dst, guest, n);
    return 0;
}

uint32_t copy_to_guest(void *guest, const void *src, uint32_t n)
{
    memcpy(guest, src, n);
    return 0;
}

void printk(const char *fmt, ...)
{
    (void)fmt;
}

void bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

/* ---- the CPU --------------------------------------------------------------------------------- */

/* S1 to S3 of xen/sched.c, and that the queue is in order. */
static void check(void)
{
    struct cpu *c = host_cpu;
    unsigned queued = 0, running = 0;

    for (struct vcpu *v = c->runq_head, *before = NULL; v; before = v, v = v->runq_next) {
        assert_ptr_equal(v->runq_prev, before);
        assert_true(v->queued && !v->running && vcpu_runnable(v));
        assert_int_equal(v->runstate.state, RUNSTATE_runnable);
        if (before)
            assert_true(before->vtime <= v->vtime);
        queued++;
    }
    for (unsigned d = 0; d < DOMAINS; d++) {
        for (unsigned i = 0; i < VCPUS; i++) {
            struct vcpu *v = &vcpus[d][i];

            running += v->running;
            queued -= v->queued;
            assert_int_equal(vcpu_runnable(v), v->running || v->queued);
            assert_int_equal(v->running, v->runstate.state == RUNSTATE_running);
        }
    }
    assert_int_equal(queued, 0);
    assert_int_equal(running + idle.running, 1);
    assert_ptr_equal(c->runs, host_vcpu);
    assert_true(host_vcpu->running);
    if (c->runq_head)
        assert_true(host_vcpu != &idle && timer_active(c->slice_timer));
}

static void exit_to_guest(void)
{
    setjmp(back_to_cpu);
    while (host_cpu->softirq_pending) {
        unsigned nr = __builtin_ctz(host_cpu->softirq_pending);

        host_cpu->softirq_pending &= ~(1u << nr);
        handlers[nr]();
    }
    assert_int_equal(locks, 0);
    check();
}

/* The current vcpu, or the idle one, goes on for `ns`, or until the timer device interrupts. */
static void go_on(uint64_t ns)
{
    uint64_t until = clock_ns + ns;

    exit_to_guest();
    if (host_cpu->timer_deadline > until) {
        clock_ns = until;
        return;
    }
    if (host_cpu->timer_deadline > clock_ns)
        clock_ns = host_cpu->timer_deadline;
    host_cpu->timer_deadline = ~0ull;
    raise_softirq(SOFTIRQ_TIMER);
    exit_to_guest();
}

/* All vcpus that run just spin. */
static void spin_for(uint64_t ns)
{
    uint64_t end = clock_ns + ns;

    while (clock_ns < end)
        go_on(end - clock_ns);
    exit_to_guest();
}

static uint64_t ran(struct vcpu *v)
{
    struct vcpu_runstate_info r;

    vcpu_runstate_get(v, &r);
    return r.time[RUNSTATE_running];
}

static void up(struct vcpu *v)
{
    v->wait &= ~WAIT_DOWN;
    vcpu_wake(v);
}

static struct vcpu *first(unsigned d)
{
    return &vcpus[d][0];
}

static int setup(void **state)
{
    (void)state;
    memset(domains, 0, sizeof(domains));
    memset(vcpus, 0, sizeof(vcpus));
    memset(infos, 0, sizeof(infos));
    memset(pending, 0, sizeof(pending));
    *host_cpu = (struct cpu){.idle = &idle};
    clock_ns = 1000000;
    locks = switches = timer_virqs = shutdowns = 0;
    memset(&idle, 0, sizeof(idle));
    idle.domain = &idle_domain_of_test;
    idle.info = &idle_info;
    sched_init_vcpu(&idle);
    timers_init_cpu(host_cpu);
    sched_init_cpu(host_cpu);
    host_vcpu = &idle;
    for (unsigned d = 0; d < DOMAINS; d++) {
        domains[d].id = d;
        domains[d].max_vcpus = VCPUS;
        domains[d].shutdown_code = SHUTDOWN_CODE_NONE;
        for (unsigned i = 0; i < VCPUS; i++) {
            struct vcpu *v = &vcpus[d][i];

            domains[d].vcpus[i] = v;
            v->domain = &domains[d];
            v->id = i;
            v->info = &infos[d][i];
            v->wait = WAIT_DOWN;
            sched_init_vcpu(v);
            v->periodic_period = 0;
        }
    }
    return 0;
}

/* Whatever happened, every vcpu's run states add up to its age. */
static int teardown(void **state)
{
    (void)state;
    for (unsigned d = 0; d < DOMAINS; d++) {
        struct vcpu_runstate_info r;

        vcpu_runstate_get(first(d), &r);
        assert_int_equal(r.time[0] + r.time[1] + r.time[2] + r.time[3], clock_ns - 1000000);
    }
    return 0;
}

/* ---- shares ---------------------------------------------------------------------------------- */

static void idle_when_nothing_runs(void **state)
{
    (void)state;
    spin_for(MILLISECS(100));
    assert_ptr_equal(host_vcpu, &idle);
    assert_int_equal(switches, 0);
    up(first(0));
    exit_to_guest();
    assert_ptr_equal(host_vcpu, first(0));
    assert_int_equal(host_cpu->idle_ns, MILLISECS(100));
}

static void alone_is_left_alone(void **state)
{
    (void)state;
    up(first(0));
    spin_for(MILLISECS(1000));
    assert_int_equal(switches, 1);
    assert_int_equal(ran(first(0)), MILLISECS(1000));
    assert_false(timer_active(host_cpu->slice_timer));
}

static void spinners_share_equally(void **state)
{
    (void)state;
    for (unsigned d = 0; d < 5; d++)
        up(first(d));
    spin_for(MILLISECS(10000));
    for (unsigned d = 0; d < 5; d++)
        assert_in_range(ran(first(d)), MILLISECS(1990), MILLISECS(2010));
    assert_in_range(switches, 900, 1100);
}

/* One that comes late is owed nothing for the time before. */
static void a_late_comer_gets_its_share_from_now_on(void **state)
{
    uint64_t before;

    (void)state;
    up(first(0));
    up(first(1));
    spin_for(MILLISECS(5000));
    before = ran(first(0));
    up(first(2));
    spin_for(MILLISECS(300));
    assert_in_range(ran(first(0)) - before, MILLISECS(90), MILLISECS(110));
    assert_in_range(ran(first(2)), MILLISECS(90), MILLISECS(112));
}

/* After 20 s alone, a spinner that is joined is not behind for the next 20. */
static void the_one_that_was_alone_is_not_punished(void **state)
{
    (void)state;
    up(first(0));
    spin_for(MILLISECS(20000));
    up(first(1));
    spin_for(MILLISECS(1000));
    assert_in_range(ran(first(1)), MILLISECS(490), MILLISECS(515));
}

/* ---- waking ---------------------------------------------------------------------------------- */

static void wait_for_timer(struct vcpu *v, uint64_t when)
{
    assert_ptr_equal(v, current);
    timer_set(&v->singleshot_timer, when);
    v->info->evtchn_upcall_pending = 0;
    assert_int_equal(do_sched_op(SCHEDOP_block, NULL), 0);
}

/*
 * A vcpu that works 100 us every 5 ms beside three spinners runs the moment its timer fires, once
 * the share it had at the start, as a spinner, is used up.
 */
static void a_sleeper_wakes_at_once(void **state)
{
    struct vcpu *v = first(0);
    uint64_t due;

    (void)state;
    for (unsigned d = 0; d < 4; d++)
        up(first(d));
    while (host_vcpu != v)
        go_on(MILLISECS(1));
    for (unsigned i = 0; i < 1000; i++) {
        due = clock_ns + MILLISECS(5);
        wait_for_timer(v, due);
        while (exit_to_guest(), host_vcpu != v)
            go_on(MILLISECS(20));
        if (i >= 20)
            assert_int_equal(clock_ns, due);
        go_on(MICROSECS(100));
        assert_ptr_equal(host_vcpu, v);
    }
}

/*
 * Two domains that wake one another all the time are worth two, not more: a third keeps its share.
 */
static void waking_often_is_no_way_to_get_more(void **state)
{
    unsigned awake = 0;

    (void)state;
    for (unsigned d = 0; d < 3; d++)
        up(first(d));
    exit_to_guest();
    for (unsigned i = 0; i < 200000; i++) {
        go_on(MICROSECS(50));
        if (host_vcpu == first(0) || host_vcpu == first(1)) {
            awake = host_vcpu == first(0);
            first(awake)->info->evtchn_upcall_pending = 1;
            vcpu_unblock(first(awake));
            host_vcpu->info->evtchn_upcall_pending = 0;
            do_sched_op(SCHEDOP_block, NULL);
        }
    }
    exit_to_guest();
    assert_true(ran(first(2)) >= clock_ns / 3 - MILLISECS(20));
}

/* ---- block, yield, poll, pause --------------------------------------------------------------- */

static void a_pending_event_forbids_blocking(void **state)
{
    struct vcpu *v = first(0);

    (void)state;
    up(v);
    exit_to_guest();
    v->info->evtchn_upcall_mask = 1;
    v->info->evtchn_upcall_pending = 1;
    do_sched_op(SCHEDOP_block, NULL);
    assert_int_equal(v->info->evtchn_upcall_mask, 0);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, v);

    v->info->evtchn_upcall_pending = 0;
    do_sched_op_compat(SCHEDOP_block, 0);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, &idle);
    assert_int_equal(v->runstate.state, RUNSTATE_blocked);
}

/* The event comes after the vcpu said that it blocks, and before it left the CPU. */
static void an_event_on_the_way_out_is_not_lost(void **state)
{
    struct vcpu *v = first(0);

    (void)state;
    up(v);
    up(first(1));
    exit_to_guest();
    while (host_vcpu != v)
        go_on(MILLISECS(1));
    do_sched_op(SCHEDOP_block, NULL);
    v->info->evtchn_upcall_pending = 1;
    vcpu_unblock(v);
    exit_to_guest();
    assert_true(v->running || v->queued);
}

static void yield_lets_the_next_run(void **state)
{
    (void)state;
    up(first(0));
    exit_to_guest();
    do_sched_op(SCHEDOP_yield, NULL);
    assert_int_equal(host_cpu->softirq_pending, 0);

    up(first(1));
    up(first(2));
    exit_to_guest();
    for (unsigned i = 0; i < 30; i++) {
        struct vcpu *v = host_vcpu;

        do_sched_op(SCHEDOP_yield, NULL);
        go_on(MICROSECS(10));
        assert_ptr_not_equal(host_vcpu, v);
    }
}

static long poll_ports(evtchn_port_t *ports, unsigned n, uint64_t timeout)
{
    struct sched_poll op = {.nr_ports = n, .timeout = timeout};

    op.ports.p = ports;
    return do_sched_op(SCHEDOP_poll, &op);
}

static void polling(void **state)
{
    static evtchn_port_t ports[] = {3, 5, PORTS};
    struct vcpu *v = first(0);
    uint64_t start;

    (void)state;
    up(v);
    exit_to_guest();
    v->info->evtchn_upcall_mask = 1;
    assert_int_equal(poll_ports(ports, 3, 0), -EINVAL);
    assert_int_equal(poll_ports(ports, 129, 0), -EINVAL);
    assert_int_equal(do_sched_op(SCHEDOP_poll, NULL), -EFAULT);
    pending[5] = true;
    assert_int_equal(poll_ports(ports, 2, 0), 0);
    assert_int_equal(v->wait | domains[0].poll_mask | host_cpu->softirq_pending, 0);

    pending[5] = false;
    start = clock_ns;
    assert_int_equal(poll_ports(ports, 1, clock_ns + MILLISECS(3)), 0);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, &idle);
    vcpu_poll_wake(&domains[0], 5);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, &idle);
    while (host_vcpu == &idle)
        go_on(MILLISECS(50));
    assert_int_equal(clock_ns - start, MILLISECS(3));

    poll_ports(ports, 1, clock_ns + MILLISECS(3));
    exit_to_guest();
    vcpu_poll_wake(&domains[0], 3);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, v);
    assert_false(timer_active(&v->poll_timer));

    poll_ports(ports, 2, 0);
    exit_to_guest();
    vcpu_poll_wake(&domains[0], 9);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, v);
}

static void pauses_are_counted(void **state)
{
    struct vcpu *v = first(0);

    (void)state;
    up(v);
    exit_to_guest();
    vcpu_pause(v);
    vcpu_pause(v);
    exit_to_guest();
    assert_int_equal(v->runstate.state, RUNSTATE_offline);
    vcpu_unpause(v);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, &idle);
    vcpu_unpause(v);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, v);

    do_sched_op(SCHEDOP_block, NULL);
    exit_to_guest();
    vcpu_pause(v);
    assert_int_equal(v->runstate.state, RUNSTATE_blocked);
    v->info->evtchn_upcall_pending = 1;
    vcpu_unblock(v);
    exit_to_guest();
    assert_int_equal(v->runstate.state, RUNSTATE_offline);
    vcpu_unpause(v);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, v);
}

/* The tick comes while the vcpu runs, and once when it runs again. */
static void periodic_ticks(void **state)
{
    struct vcpu *v = first(0);

    (void)state;
    v->periodic_period = MILLISECS(10);
    up(v);
    for (unsigned i = 0; i < 100; i++)
        spin_for(MILLISECS(1));
    assert_in_range(timer_virqs, 10, 11);
    timer_virqs = 0;
    vcpu_pause(v);
    spin_for(MILLISECS(1000));
    assert_int_equal(timer_virqs, 0);
    vcpu_unpause(v);
    exit_to_guest();
    assert_int_equal(timer_virqs, 1);
}

/* ---- the guest's copy of its run states ------------------------------------------------------ */

static void the_guest_sees_its_run_states(void **state)
{
    static struct vcpu_runstate_info area;
    struct vcpu *v = first(0);

    (void)state;
    v->runstate_guest = &area;
    up(v);
    up(first(1));
    spin_for(MILLISECS(100));
    while (host_vcpu != v)
        go_on(MILLISECS(1));
    assert_int_equal(area.state, RUNSTATE_running);
    assert_in_range(area.time[RUNSTATE_running], MILLISECS(35), MILLISECS(65));
    domains[0].vm_assist = 1u << VMASST_TYPE_runstate_update_flag;
    while (host_vcpu == v)
        go_on(MILLISECS(1));
    assert_int_equal(area.state, RUNSTATE_runnable);
    assert_int_equal(area.state_entry_time, v->runstate.state_entry_time);
}

/* ---- shutting down --------------------------------------------------------------------------- */

static void watchdogs(void **state)
{
    struct sched_watchdog op = {.id = 0, .timeout = 2};

    (void)state;
    up(first(0));
    exit_to_guest();
    assert_int_equal(do_sched_op(SCHEDOP_watchdog, &op), 1);
    assert_int_equal(do_sched_op(SCHEDOP_watchdog, &op), 2);
    assert_int_equal(do_sched_op(SCHEDOP_watchdog, &op), -ENOSPC);
    op.id = 3;
    assert_int_equal(do_sched_op(SCHEDOP_watchdog, &op), -EINVAL);
    op = (struct sched_watchdog){.id = 2, .timeout = 0};
    assert_int_equal(do_sched_op(SCHEDOP_watchdog, &op), 0);
    assert_int_equal(do_sched_op(SCHEDOP_watchdog, &op), -EINVAL);
    spin_for(MILLISECS(1500));
    op = (struct sched_watchdog){.id = 1, .timeout = 2};
    assert_int_equal(do_sched_op(SCHEDOP_watchdog, &op), 0);
    spin_for(MILLISECS(1999));
    assert_int_equal(shutdowns, 0);
    spin_for(MILLISECS(2));
    assert_int_equal(shutdowns, 1);
    assert_int_equal(last_reason, SHUTDOWN_watchdog);
}

static void shutdown_of_oneself_and_of_others(void **state)
{
    struct sched_shutdown op = {.reason = SHUTDOWN_suspend};
    struct sched_remote_shutdown remote = {.domain_id = 1, .reason = SHUTDOWN_crash};

    (void)state;
    up(first(0));
    up(first(1));
    exit_to_guest();
    while (host_vcpu != first(0))
        go_on(MILLISECS(1));
    assert_int_equal(do_sched_op(SCHEDOP_remote_shutdown, &remote), -EPERM);
    domains[0].privileged = true;
    assert_int_equal(do_sched_op(SCHEDOP_remote_shutdown, &remote), 0);
    assert_int_equal(last_reason, SHUTDOWN_crash);
    remote.domain_id = 77;
    assert_int_equal(do_sched_op(SCHEDOP_remote_shutdown, &remote), -ESRCH);
    assert_int_equal(do_sched_op(SCHEDOP_shutdown_code, &op), 0);
    assert_int_equal(domains[0].shutdown_code, SHUTDOWN_suspend);
    op.reason = SHUTDOWN_crash;
    assert_int_equal(do_sched_op(SCHEDOP_shutdown_code, &op), 0);
    assert_int_equal(domains[0].shutdown_code, SHUTDOWN_suspend);
    op.reason = SHUTDOWN_poweroff;
    assert_int_equal(do_sched_op(SCHEDOP_shutdown, &op), 0);
    assert_int_equal(last_reason, SHUTDOWN_poweroff);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, &idle);
    assert_int_equal(do_sched_op(99, NULL), -ENOSYS);
    assert_int_equal(do_sched_op_compat(SCHEDOP_poll, 0), -ENOSYS);
}

/* ---- everything at random -------------------------------------------------------------------- */

static void random_life(void **state)
{
    unsigned paused[DOMAINS][VCPUS] = {0};
    uint32_t seed = 7;

    (void)state;
    for (unsigned step = 0; step < 300000; step++) {
        struct vcpu *v;
        unsigned *pauses;

        seed = seed * 1664525 + 1013904223;
        v = &vcpus[(seed >> 8) % DOMAINS][(seed >> 12) % VCPUS];
        pauses = &paused[v->domain->id][v->id];
        switch ((seed >> 16) % 10) {
        case 0:
            up(v);
            break;
        case 1:
            v->wait |= WAIT_DOWN;
            vcpu_sleep(v);
            break;
        case 2:
            vcpu_pause(v);
            ++*pauses;
            break;
        case 3:
        case 4:
            if (*pauses) {
                --*pauses;
                vcpu_unpause(v);
            }
            break;
        case 5:
            v->info->evtchn_upcall_pending = 1;
            vcpu_unblock(v);
            break;
        case 6:
            if (host_vcpu != &idle) {
                host_vcpu->info->evtchn_upcall_pending = 0;
                do_sched_op(SCHEDOP_block, NULL);
            }
            break;
        case 7:
            if (host_vcpu != &idle)
                do_sched_op(SCHEDOP_yield, NULL);
            break;
        default:
            go_on((seed >> 4) % MILLISECS(3));
        }
        exit_to_guest();
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(idle_when_nothing_runs),
        TEST(alone_is_left_alone),
        TEST(spinners_share_equally),
        TEST(a_late_comer_gets_its_share_from_now_on),
        TEST(the_one_that_was_alone_is_not_punished),
        TEST(a_sleeper_wakes_at_once),
        TEST(waking_often_is_no_way_to_get_more),
        TEST(a_pending_event_forbids_blocking),
        TEST(an_event_on_the_way_out_is_not_lost),
        TEST(yield_lets_the_next_run),
        TEST(polling),
        TEST(pauses_are_counted),
        TEST(periodic_ticks),
        TEST(the_guest_sees_its_run_states),
        TEST(watchdogs),
        TEST(shutdown_of_oneself_and_of_others),
        TEST(random_life),
    };

    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
