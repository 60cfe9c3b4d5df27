/* SPDX-License-Identifier: MIT */
/*
 * test_sched.c: the scheduler's promises, on CPUs whose time moves when told: shares as the weights
 * are, caps that hold, quick waking, no share for sleepers to save up, affinity, run states that
 * add up to the time that passed, nothing lost in pausing and blocking.
 *
 * The CPUs of the test are a loop: run the softirqs of each until none is left, then let the
 * current vcpus do something for a while, or let time jump to the next timer where only idle vcpus
 * run. context_switch() comes back to the loop by longjmp, as the real one comes back at the bottom
 * of an empty stack. Between a switch and the saving of the registers other CPUs may do something:
 * `in_the_gap`. Real threads: test_threads.c.
 *
 * units: xen/sched.c xen/vcpu_time.c xen/sched_op.c hypercall/compat/sched_op.c xen/timer.c
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
_Thread_local struct cpu *host_cpu = &cpus[0];
_Thread_local struct vcpu *host_vcpu;
struct domain *domain_list;

static struct domain domains[DOMAINS], idle_domain_of_test;
static struct vcpu vcpus[DOMAINS][VCPUS], idles[MAX_CPUS];
static struct vcpu *const idle = &idles[0];
static struct vcpu_info infos[DOMAINS][VCPUS], idle_info;
static bool pending[PORTS];

static uint64_t clock_ns;
static void (*handlers[NR_SOFTIRQS])(void);
static jmp_buf back_to_cpu[MAX_CPUS];
static struct vcpu *runs_on[MAX_CPUS];
static void (*in_the_gap)(struct vcpu *leaving);
static unsigned locks, switches, timer_virqs, shutdowns, last_reason;

/* ---- the world around the scheduler ---------------------------------------------------------- */

uint64_t now_ns(void)
{
    return clock_ns;
}

/* Nobody gathers the CPUs here. */
void gather_here(void)
{
}

/* The other CPU looks at its softirqs anyway. */
void send_ipi(const struct cpu *c)
{
    assert_in_range(c->id, 0, nr_cpus - 1);
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
    assert_true(from->running && to->running);
    switches++;
    if (in_the_gap)
        in_the_gap(from);
    sched_context_saved(from);
    assert_false(from->running);
    host_vcpu = to;
    vcpu_switched_in(to);
    longjmp(back_to_cpu[host_cpu->id], 1);
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

int evtchn_port_poll(struct domain *d, evtchn_port_t port)
{
    (void)d;
    return port < PORTS ? pending[port] : -EINVAL;
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

void spin_wait(spinlock_t *l)
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

/* ---- the CPUs -------------------------------------------------------------------------------- */

/* This thread plays CPU `i` from here on. */
static void on_cpu(unsigned i)
{
    runs_on[host_cpu->id] = host_vcpu;
    host_cpu = &cpus[i];
    host_vcpu = runs_on[i];
}

static bool is_idle(const struct vcpu *v)
{
    return v->domain == &idle_domain_of_test;
}

/* SC3 of xen/sched.c: somebody will look at the queue for `v`. */
static bool is_provided_for(const struct vcpu *v)
{
    for (unsigned i = 0; i < nr_cpus; i++)
        if ((v->affinity & 1u << i) && (timer_active(cpus[i].slice_timer) ||
                                        (cpus[i].softirq_pending & 1u << SOFTIRQ_SCHEDULE)))
            return true;
    return timer_active(&v->domain->cap_timer);
}

/* The queue from its first, if that is `v`, is in order; how long it is. */
static unsigned queue_length(struct vcpu *v)
{
    unsigned length = 0;

    if (!v->queued || v->runq_prev)
        return 0;
    for (struct vcpu *before = NULL; v; before = v, v = v->runq_next) {
        assert_ptr_equal(v->runq_prev, before);
        assert_true(!before || before->vtime <= v->vtime);
        length++;
    }
    return length;
}

static void check_vcpu(struct vcpu *v)
{
    assert_int_equal(vcpu_runnable(v), v->running || v->queued);
    assert_false(v->running && v->queued);
    assert_int_equal(v->running, v->runstate.state == RUNSTATE_running);
    assert_int_equal(v->queued, v->runstate.state == RUNSTATE_runnable);
    if (v->queued)
        assert_true(is_provided_for(v));
    if (v->running)
        assert_true(v->processor->runs == v && (v->affinity & 1u << v->processor->id));
}

/* SC1 to SC3 and SC5 of xen/sched.c, where no CPU has anything to do but run guests. */
static void check(void)
{
    unsigned queued = 0, running = 0, in_order = 0;

    runs_on[host_cpu->id] = host_vcpu;
    for (unsigned d = 0; d < DOMAINS; d++) {
        assert_true(!domains[d].parked || (domains[d].cap && timer_active(&domains[d].cap_timer)));
        for (unsigned i = 0; i < VCPUS; i++) {
            check_vcpu(&vcpus[d][i]);
            queued += vcpus[d][i].queued;
            running += vcpus[d][i].running;
            in_order += queue_length(&vcpus[d][i]);
        }
    }
    assert_int_equal(queued, in_order);
    for (unsigned i = 0; i < nr_cpus; i++) {
        running += idles[i].running;
        assert_true(runs_on[i]->running && cpus[i].runs == runs_on[i]);
        for (unsigned d = 0; d < DOMAINS && is_idle(runs_on[i]); d++)
            for (unsigned j = 0; j < VCPUS; j++)
                assert_false(vcpus[d][j].queued && (vcpus[d][j].affinity & 1u << i) &&
                             !domains[d].parked);
    }
    assert_int_equal(running, nr_cpus);
}

static void run_softirqs(void);

/* cpu_relax() comes here if flush_requested is set: while this CPU waits the others go on. */
void tlb_serve_request(void)
{
    unsigned here = host_cpu->id;

    for (unsigned i = 0; i < nr_cpus; i++) {
        if (i != here) {
            on_cpu(i);
            run_softirqs();
        }
    }
    on_cpu(here);
}

/* The way out of this CPU. */
static void run_softirqs(void)
{
    setjmp(back_to_cpu[host_cpu->id]);
    while (host_cpu->softirq_pending) {
        unsigned nr = __builtin_ctz(host_cpu->softirq_pending);

        host_cpu->softirq_pending &= ~(1u << nr);
        handlers[nr]();
    }
    assert_int_equal(locks, 0);
}

/* All CPUs return to their guests. This thread plays the CPU it played before. */
static void exit_to_guest(void)
{
    unsigned here = host_cpu->id;
    bool again = true;

    while (again) {
        again = false;
        for (unsigned i = 0; i < nr_cpus; i++) {
            on_cpu(i);
            again |= host_cpu->softirq_pending;
            run_softirqs();
        }
    }
    on_cpu(here);
    check();
}

/* What runs goes on for `ns`, or until a timer device interrupts. */
static void go_on(uint64_t ns)
{
    uint64_t until;

    exit_to_guest();
    until = clock_ns + ns;
    for (unsigned i = 0; i < nr_cpus; i++)
        until = MIN(until, cpus[i].timer_deadline);
    clock_ns = MAX(clock_ns, until);
    for (unsigned i = 0; i < nr_cpus; i++) {
        if (cpus[i].timer_deadline > clock_ns)
            continue;
        cpus[i].timer_deadline = ~0ull;
        raise_softirq_on(&cpus[i], SOFTIRQ_TIMER);
    }
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

static void start_cpu(unsigned i)
{
    cpus[i] = (struct cpu){.id = i, .idle = &idles[i]};
    memset(&idles[i], 0, sizeof(idles[i]));
    idles[i].domain = &idle_domain_of_test;
    idles[i].info = &idle_info;
    runs_on[i] = &idles[i];
    sched_init_vcpu(&idles[i]);
    timers_init_cpu(&cpus[i]);
    sched_init_cpu(&cpus[i]);
}

/* A machine of `n` CPUs. The scheduler forgets no CPU: tests with more come after those with less. */
static void setup_cpus(unsigned n)
{
    memset(domains, 0, sizeof(domains));
    memset(vcpus, 0, sizeof(vcpus));
    memset(infos, 0, sizeof(infos));
    memset(pending, 0, sizeof(pending));
    clock_ns = 1000000;
    in_the_gap = NULL;
    locks = switches = timer_virqs = shutdowns = 0;
    nr_cpus = n;
    for (unsigned i = 0; i < n; i++)
        start_cpu(i);
    host_cpu = &cpus[0];
    host_vcpu = idle;
    for (unsigned d = 0; d < DOMAINS; d++) {
        domains[d].id = d;
        domains[d].max_vcpus = VCPUS;
        domains[d].shutdown_code = SHUTDOWN_CODE_NONE;
        sched_init_domain(&domains[d]);
        watchdogs_init(&domains[d]);
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
}

static int setup(void **state)
{
    (void)state;
    setup_cpus(1);
    return 0;
}

static int setup2(void **state)
{
    (void)state;
    setup_cpus(2);
    return 0;
}

static int setup4(void **state)
{
    (void)state;
    setup_cpus(4);
    return 0;
}

/* Whatever happened, every vcpu's run states add up to its age. All end. */
static int teardown(void **state)
{
    (void)state;
    for (unsigned d = 0; d < DOMAINS; d++) {
        for (unsigned i = 0; i < VCPUS; i++) {
            struct vcpu_runstate_info r;

            vcpu_runstate_get(&vcpus[d][i], &r);
            assert_int_equal(r.time[0] + r.time[1] + r.time[2] + r.time[3], clock_ns - 1000000);
            vcpu_pause(&vcpus[d][i]);
        }
    }
    exit_to_guest();
    for (unsigned d = 0; d < DOMAINS; d++) {
        for (unsigned i = 0; i < VCPUS; i++)
            sched_destroy_vcpu(&vcpus[d][i]);
        sched_destroy_domain(&domains[d]);
        watchdogs_kill(&domains[d]);
    }
    return 0;
}

/* ---- shares ---------------------------------------------------------------------------------- */

static void idle_when_nothing_runs(void **state)
{
    (void)state;
    spin_for(MILLISECS(100));
    assert_ptr_equal(host_vcpu, idle);
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

/* ---- weights and caps ------------------------------------------------------------------------ */

/* `percent` hundredths of one CPU over `ns`, within 1 % of the share. */
static void assert_share(uint64_t ran_for, unsigned percent, uint64_t ns)
{
    uint64_t expected = ns / 100 * percent;

    assert_in_range(ran_for, expected - expected / 100, expected + expected / 100);
}

static void shares_are_as_the_weights(void **state)
{
    (void)state;
    for (unsigned d = 0; d < 3; d++) {
        sched_set_share(&domains[d], 100u << d, 0);
        up(first(d));
    }
    spin_for(MILLISECS(14000));
    for (unsigned d = 0; d < 3; d++)
        assert_in_range(ran(first(d)), MILLISECS(1980) << d, MILLISECS(2020) << d);
}

/* From 1 to 65535, and the light one is not forgotten. */
static void weights_far_apart(void **state)
{
    (void)state;
    sched_set_share(&domains[0], 1, 0);
    sched_set_share(&domains[1], 65535, 0);
    sched_set_share(&domains[2], 655, 0);
    for (unsigned d = 0; d < 3; d++)
        up(first(d));
    spin_for(MILLISECS(5000000));
    assert_in_range(ran(first(0)), MILLISECS(60), MILLISECS(90));
    assert_in_range(ran(first(2)), MILLISECS(49000), MILLISECS(50000));
}

/* As in Xen's credit scheduler. */
static void a_weight_is_that_of_each_vcpu(void **state)
{
    (void)state;
    up(&vcpus[0][0]);
    up(&vcpus[0][1]);
    up(first(1));
    spin_for(MILLISECS(9000));
    assert_share(ran(first(1)), 33, MILLISECS(9090));
    assert_share(ran(&vcpus[0][1]), 33, MILLISECS(9090));
}

static void caps_hold(void **state)
{
    (void)state;
    sched_set_share(&domains[0], 256, 10);
    sched_set_share(&domains[1], 1024, 33);
    for (unsigned d = 0; d < 3; d++)
        up(first(d));
    spin_for(MILLISECS(9000));
    assert_share(ran(first(0)), 10, MILLISECS(9000));
    assert_share(ran(first(1)), 33, MILLISECS(9000));
    assert_share(ran(first(2)), 57, MILLISECS(9000));
}

/* An idle CPU is no reason to exceed a cap; two vcpus share it. One that is lifted is lifted now. */
static void a_cap_is_the_domains(void **state)
{
    uint64_t before;

    (void)state;
    sched_set_share(&domains[0], 256, 20);
    up(&vcpus[0][0]);
    up(&vcpus[0][1]);
    spin_for(MILLISECS(9000));
    assert_share(ran(&vcpus[0][0]) + ran(&vcpus[0][1]), 20, MILLISECS(9000));
    assert_share(ran(&vcpus[0][0]), 10, MILLISECS(9000));
    while (!domains[0].parked)
        go_on(MILLISECS(1));
    sched_set_share(&domains[0], 256, 0);
    before = ran(&vcpus[0][0]) + ran(&vcpus[0][1]);
    spin_for(MILLISECS(900));
    assert_int_equal(ran(&vcpus[0][0]) + ran(&vcpus[0][1]) - before, MILLISECS(900));
}

/* What was not used of a budget is gone: a cap holds over any two periods. */
static void no_budget_is_saved_up(void **state)
{
    uint64_t before;

    (void)state;
    sched_set_share(&domains[0], 256, 10);
    spin_for(MILLISECS(5000));
    up(first(0));
    spin_for(MILLISECS(300));
    assert_in_range(ran(first(0)), MILLISECS(30), MILLISECS(33));
    vcpu_pause(first(0));
    spin_for(MILLISECS(700));
    before = ran(first(0));
    vcpu_unpause(first(0));
    spin_for(MILLISECS(60));
    assert_in_range(ran(first(0)) - before, MILLISECS(6), MILLISECS(9));
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
    assert_ptr_equal(host_vcpu, idle);
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
    assert_ptr_equal(host_vcpu, idle);
    vcpu_poll_wake(&domains[0], 5);
    exit_to_guest();
    assert_ptr_equal(host_vcpu, idle);
    while (host_vcpu == idle)
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
    assert_ptr_equal(host_vcpu, idle);
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
    assert_ptr_equal(host_vcpu, idle);
    assert_int_equal(do_sched_op(99, NULL), -ENOSYS);
    assert_int_equal(do_sched_op_compat(SCHEDOP_poll, 0), -ENOSYS);
}

static void pin_override(void **state)
{
    struct sched_pin_override op = {.pcpu = 0};

    (void)state;
    up(first(0));
    exit_to_guest();
    assert_int_equal(do_sched_op(SCHEDOP_pin_override, &op), -EPERM);
    domains[0].initial = true;
    assert_int_equal(do_sched_op(SCHEDOP_pin_override, NULL), -EFAULT);
    op.pcpu = -1;
    assert_int_equal(do_sched_op(SCHEDOP_pin_override, &op), -EINVAL);
    op.pcpu = MAX_CPUS;
    assert_int_equal(do_sched_op(SCHEDOP_pin_override, &op), -EINVAL);
    op.pcpu = nr_cpus - 1;
    assert_int_equal(do_sched_op(SCHEDOP_pin_override, &op), 0);
    assert_int_equal(do_sched_op(SCHEDOP_pin_override, &op), -EBUSY);
    exit_to_guest();
    assert_int_equal(first(0)->processor->id, nr_cpus - 1);
    on_cpu(nr_cpus - 1);
    op.pcpu = -2;
    assert_int_equal(do_sched_op(SCHEDOP_pin_override, &op), 0);
    assert_int_equal(first(0)->affinity, ~0u);
    assert_int_equal(do_sched_op(SCHEDOP_pin_override, &op), -EINVAL);
    exit_to_guest();
}

/* ---- several CPUs ---------------------------------------------------------------------------- */

static void three_spinners_on_two_cpus(void **state)
{
    (void)state;
    for (unsigned d = 0; d < 3; d++)
        up(first(d));
    spin_for(MILLISECS(9000));
    for (unsigned d = 0; d < 3; d++)
        assert_in_range(ran(first(d)), MILLISECS(5950), MILLISECS(6050));
}

static void weights_on_two_cpus(void **state)
{
    (void)state;
    sched_set_share(&domains[0], 768, 0);
    sched_set_share(&domains[1], 512, 0);
    for (unsigned d = 0; d < 4; d++)
        up(first(d));
    spin_for(MILLISECS(7000));
    assert_share(ran(first(0)), 86, MILLISECS(7000));
    assert_share(ran(first(1)), 57, MILLISECS(7000));
    assert_share(ran(first(2)), 28, MILLISECS(7140));
}

/*
 * A vcpu cannot run on two CPUs, whatever its weight. What it could not use is neither owed to it
 * later nor to the one that joins.
 */
static void a_weight_of_more_than_a_cpu(void **state)
{
    uint64_t before[5];

    (void)state;
    sched_set_share(&domains[0], 2048, 0);
    sched_set_share(&domains[3], 2048, 0);
    for (unsigned d = 0; d < 3; d++)
        up(first(d));
    spin_for(MILLISECS(20000));
    assert_share(ran(first(0)), 100, MILLISECS(20000));
    assert_share(ran(first(1)), 50, MILLISECS(20000));
    up(first(3));
    spin_for(MILLISECS(2000));
    for (unsigned d = 0; d < 4; d++)
        before[d] = ran(first(d));
    spin_for(MILLISECS(3000));
    for (unsigned d = 0; d < 4; d += 3)
        assert_in_range(ran(first(d)) - before[d], MILLISECS(2600), MILLISECS(2730));
    for (unsigned d = 1; d < 3; d++)
        assert_in_range(ran(first(d)) - before[d], MILLISECS(310), MILLISECS(370));
}

/* Those who are pinned share that CPU by weight; the rest goes to who may run elsewhere. */
static void pinned_to_one_of_two(void **state)
{
    uint64_t before;

    (void)state;
    sched_set_share(&domains[1], 512, 0);
    for (unsigned d = 0; d < 2; d++) {
        vcpu_set_affinity(first(d), 2);
        up(first(d));
    }
    up(first(2));
    spin_for(MILLISECS(9000));
    assert_share(ran(first(0)), 33, MILLISECS(9090));
    assert_share(ran(first(1)), 66, MILLISECS(9090));
    assert_share(ran(first(2)), 100, MILLISECS(9000));
    /* Let off, they are not owed what they did not get on the crowded one. */
    vcpu_set_affinity(first(0), 3);
    vcpu_set_affinity(first(1), 3);
    spin_for(MILLISECS(200));
    before = ran(first(2));
    spin_for(MILLISECS(1000));
    assert_in_range(ran(first(2)) - before, MILLISECS(480), MILLISECS(520));
}

static void an_idle_cpu_is_taken(void **state)
{
    (void)state;
    up(first(0));
    up(first(1));
    exit_to_guest();
    assert_true(first(0)->running && first(1)->running);
    for (unsigned i = 0; i < 10; i++) {
        struct cpu *was = first(i & 1)->processor;

        vcpu_pause(first(i & 1));
        go_on(MILLISECS(1));
        vcpu_unpause(first(i & 1));
        exit_to_guest();
        assert_ptr_equal(first(i & 1)->processor, was);
        assert_true(first(0)->running && first(1)->running);
    }
}

/* A vcpu that is pushed away by one that may run nowhere else moves to the idle CPU. */
static void who_can_move_moves(void **state)
{
    struct cpu *c;

    (void)state;
    up(first(0));
    exit_to_guest();
    c = first(0)->processor;
    vcpu_set_affinity(first(1), 1u << c->id);
    go_on(MILLISECS(100));
    up(first(1));
    go_on(MILLISECS(15));
    assert_true(first(0)->running && first(1)->running && first(1)->processor == c);
}

static void affinity_of_one_that_runs(void **state)
{
    (void)state;
    up(first(0));
    exit_to_guest();
    for (unsigned i = 0; i < 8; i++) {
        vcpu_set_affinity(first(0), 1u << (i & 1));
        exit_to_guest();
        assert_true(first(0)->running && first(0)->processor == &cpus[i & 1]);
    }
}

static void a_cap_over_two_cpus(void **state)
{
    (void)state;
    sched_set_share(&domains[0], 256, 50);
    sched_set_share(&domains[1], 256, 30);
    for (unsigned d = 0; d < 2; d++)
        for (unsigned i = 0; i < VCPUS; i++)
            up(&vcpus[d][i]);
    spin_for(MILLISECS(9000));
    assert_share(ran(&vcpus[0][0]) + ran(&vcpus[0][1]), 50, MILLISECS(9000));
    assert_share(ran(&vcpus[1][0]) + ran(&vcpus[1][1]), 30, MILLISECS(9000));
}

/* The other CPU has its way out, and an event comes, before the registers are saved. */
static void others_go_on(struct vcpu *leaving)
{
    unsigned here = host_cpu->id;

    in_the_gap = NULL;
    vcpu_unblock(leaving);
    assert_true(leaving->running && !leaving->queued);
    on_cpu(1 - here);
    raise_softirq(SOFTIRQ_SCHEDULE);
    run_softirqs();
    assert_true(is_idle(host_vcpu));
    on_cpu(here);
}

/* A vcpu whose registers are not saved yet runs nowhere else, and is not forgotten. */
static void nobody_runs_half_a_vcpu(void **state)
{
    struct vcpu *v = first(0);

    (void)state;
    up(v);
    exit_to_guest();
    on_cpu(v->processor->id);
    do_sched_op(SCHEDOP_block, NULL);
    in_the_gap = others_go_on;
    exit_to_guest();
    assert_null(in_the_gap);
    assert_true(v->running);
}

static void pausing_waits_for_the_other_cpu(void **state)
{
    struct vcpu *v = first(0);

    (void)state;
    up(v);
    up(first(1));
    exit_to_guest();
    on_cpu(first(1)->processor->id);
    host_cpu->flush_requested = true;
    vcpu_pause_sync(v);
    assert_false(v->running || v->queued);
    assert_int_equal(v->runstate.state, RUNSTATE_offline);
    vcpu_pause_sync(v);
    vcpu_unpause(v);
    vcpu_unpause(v);
    exit_to_guest();
    assert_true(v->running);
}

/* ---- everything at random -------------------------------------------------------------------- */

static uint32_t seed;

static unsigned below(unsigned n)
{
    seed = seed * 1664525 + 1013904223;
    return (uint64_t)seed * n >> 32;
}

/* Something happens to the vcpu that runs on this CPU: it does it. */
static void guest_step(void)
{
    if (is_idle(host_vcpu))
        return;
    switch (below(3)) {
    case 0:
        do_sched_op(SCHEDOP_yield, NULL);
        break;
    case 1:
        host_vcpu->info->evtchn_upcall_pending = 0;
        do_sched_op(SCHEDOP_block, NULL);
        break;
    default:
        host_vcpu->info->evtchn_upcall_pending = 0;
        poll_ports(NULL, 0, below(2) ? clock_ns + below(MILLISECS(20)) : 0);
    }
}

/* Somebody does something to `v`; *pauses: how often we paused it. */
static void control_step(struct vcpu *v, unsigned *pauses)
{
    static const uint16_t weights[] = {64, 256, 256, 1000}, caps[] = {0, 0, 0, 40, 150};

    switch (below(8)) {
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
        vcpu_set_affinity(v, 1 + below((1u << nr_cpus) - 1));
        break;
    default:
        sched_set_share(v->domain, weights[below(4)], caps[below(5)]);
    }
}

static unsigned paused[DOMAINS][VCPUS];

static void any_control_step(struct vcpu *unused)
{
    unsigned d = below(DOMAINS), i = below(VCPUS);

    (void)unused;
    control_step(&vcpus[d][i], &paused[d][i]);
}

static void random_life(void **state)
{
    (void)state;
    memset(paused, 0, sizeof(paused));
    seed = 7;
    in_the_gap = nr_cpus > 1 ? any_control_step : NULL; /* alone, nobody can come between */
    for (unsigned step = 0; step < 300000; step++) {
        on_cpu(below(nr_cpus));
        switch (below(4)) {
        case 0:
            guest_step();
            break;
        case 1:
        case 2:
            any_control_step(NULL);
            break;
        default:
            go_on(below(MILLISECS(3)));
        }
        if (below(2))
            exit_to_guest();
    }
    in_the_gap = NULL;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST2(f) cmocka_unit_test_setup_teardown(f, setup2, teardown)
#define TEST4(f) cmocka_unit_test_setup_teardown(f, setup4, teardown)
    const struct CMUnitTest tests[] = {
        TEST(idle_when_nothing_runs),
        TEST(alone_is_left_alone),
        TEST(spinners_share_equally),
        TEST(a_late_comer_gets_its_share_from_now_on),
        TEST(the_one_that_was_alone_is_not_punished),
        TEST(shares_are_as_the_weights),
        TEST(weights_far_apart),
        TEST(a_weight_is_that_of_each_vcpu),
        TEST(caps_hold),
        TEST(a_cap_is_the_domains),
        TEST(no_budget_is_saved_up),
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
        TEST(pin_override),
        TEST(random_life),
        TEST2(pin_override),
        TEST2(three_spinners_on_two_cpus),
        TEST2(weights_on_two_cpus),
        TEST2(a_weight_of_more_than_a_cpu),
        TEST2(pinned_to_one_of_two),
        TEST2(an_idle_cpu_is_taken),
        TEST2(who_can_move_moves),
        TEST2(affinity_of_one_that_runs),
        TEST2(a_cap_over_two_cpus),
        TEST2(pausing_waits_for_the_other_cpu),
        TEST2(nobody_runs_half_a_vcpu),
        TEST2(random_life),
        TEST4(random_life),
    };

    return cmocka_run_group_tests_name("sched", tests, NULL, NULL);
}
