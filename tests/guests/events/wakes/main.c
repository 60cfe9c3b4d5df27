/* SPDX-License-Identifier: MIT */
/*
 * Wakes: a sleeping vcpu wakes up, whatever wakes it, wherever it sleeps.
 *
 * In each round the first vcpu calls the others. Each wakes, arms one timer, a few milliseconds
 * ahead or in the past, in one of the ways there are, sleeps until it goes off, and calls back. The
 * way is random, and so is how it sleeps: by SCHEDOP_block with an upcall, as Linux does, or by
 * SCHEDOP_poll for a port or a time. In between it sets timers anew or stops them, gives way, spins.
 *
 * A CPU has no other timer, and nobody sends anything else: a wake-up that is lost is not made good
 * by the next interrupt. The vcpu then sleeps on, and the first one tells after five seconds what it
 * waits for. With a processor for each vcpu, those five seconds are what a machine may be late.
 *
 * Words on the command line: the number of seconds, 15 without.
 *
 * Run: qemu
 * Machine: smp=4 mem=128 timeout=120
 */
#include <stdint.h>
#include <stdlib.h>

#include <xen/event_channel.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <pv/vcpu.h>

#define MAX_VCPUS 4
#define PATIENCE (5 * NS_PER_SEC)

enum step { ASLEEP, CALLED, ARMED, DONE };

static struct worker {
    unsigned int id;
    uint32_t stack; /* the page of its stack */
    evtchn_t call, timer;
    volatile uint32_t round, heard; /* the round it is called for, and the one it knows of */
    volatile enum step step;
    volatile bool came[2]; /* by upcall: the call, the timer */
    unsigned int way;
    uint64_t worst; /* lateness, ns */
} workers[MAX_VCPUS];

static unsigned int count = 1;
static evtchn_t back; /* calls vcpu 0 */

void upcall_stub(void);
void on_upcall(void);

/* --- a worker's events ------------------------------------------------------------------------ */

static uint32_t stack_page(void)
{
    return (uint32_t)__builtin_frame_address(0) & PAGE_MASK;
}

static volatile struct vcpu_info *info_of(const struct worker *w)
{
    return &shared_info_page.vcpu_info[w->id];
}

/* Take the port's bit; whether it was set. */
static bool take(evtchn_t port)
{
    unsigned long bit = 1ul << port % 32;

    return __atomic_fetch_and(&shared_info_page.evtchn_pending[port / 32], ~bit, __ATOMIC_SEQ_CST) &
           bit;
}

static bool is_pending(evtchn_t port)
{
    return shared()->evtchn_pending[port / 32] >> port % 32 & 1;
}

static bool is_masked(evtchn_t port)
{
    return shared()->evtchn_mask[port / 32] >> port % 32 & 1;
}

/* On the stack of the vcpu that it is for, its events masked. */
void on_upcall(void)
{
    struct worker *w = workers;

    while (w->stack != stack_page())
        w++;
    while (info_of(w)->evtchn_upcall_pending) {
        info_of(w)->evtchn_upcall_pending = 0;
        __atomic_exchange_n(&shared_info_page.vcpu_info[w->id].evtchn_pending_sel, 0,
                            __ATOMIC_SEQ_CST);
        if (!is_masked(w->call) && take(w->call))
            w->came[0] = true;
        if (!is_masked(w->timer) && take(w->timer))
            w->came[1] = true;
    }
}

/* Sleep until the port's upcall has come: look with events masked, and block, which unmasks them. */
static void block_for(struct worker *w, evtchn_t port)
{
    volatile bool *came = &w->came[port == w->timer];

    event_unmask(port);
    while (!*came) {
        hv_sched_op(SCHEDOP_block, NULL);
        info_of(w)->evtchn_upcall_mask = 1;
    }
    event_mask(port);
    *came = false;
}

/* Sleep until the port, which is masked, is pending, or that time has come; 0: without a limit. */
static void poll_for(evtchn_t port, uint64_t timeout)
{
    evtchn_port_t p = port;
    struct sched_poll op = {.nr_ports = 1, .timeout = timeout};

    set_xen_guest_handle(op.ports, &p);
    hv_sched_op(SCHEDOP_poll, &op);
}

/* --- ways to sleep ---------------------------------------------------------------------------- */

static uint32_t next_random(struct worker *w)
{
    static uint32_t states[MAX_VCPUS] = {1, 22, 333, 4444};

    states[w->id] = states[w->id] * 1664525 + 1013904223;
    return states[w->id] >> 8;
}

static void set_singleshot(const struct worker *w, uint64_t deadline)
{
    struct vcpu_set_singleshot_timer op = {.timeout_abs_ns = deadline};

    if (hv_vcpu_op(VCPUOP_set_singleshot_timer, w->id, &op))
        panic("no timer for vcpu %u", w->id);
}

static void spin_us(const struct worker *w, uint32_t us)
{
    for (uint64_t end = time_now_on(w->id) + us * 1000ull; time_now_on(w->id) < end;)
        ;
}

/* What happens on the way: nothing, another time first, a timer that is stopped, a pause. */
static void detour(struct worker *w)
{
    switch (next_random(w) % 6) {
    case 0:
        set_singleshot(w, time_now_on(w->id) + NS_PER_SEC);
        break;
    case 1:
        set_singleshot(w, time_now_on(w->id) + 100000);
        hv_vcpu_op(VCPUOP_stop_singleshot_timer, w->id, NULL);
        take(w->timer); /* it may have gone off before */
        break;
    case 2:
        hv_sched_op(SCHEDOP_yield, NULL);
        break;
    case 3:
        spin_us(w, next_random(w) % 300);
        break;
    default:
        break;
    }
}

/* The tick that vcpus are born with, or a timer stopped while it went off elsewhere, wakes too early. */
static void sleep_until_timer(struct worker *w)
{
    uint64_t deadline, now;

    detour(w);
    w->way = next_random(w) % 5;
    deadline = time_now_on(w->id) + (next_random(w) % 3 ? next_random(w) % 3000 * 1000 : 0) + 1;
    w->step = ARMED;
    if (w->way < 2)
        set_singleshot(w, deadline);
    else if (w->way < 4)
        hv_set_timer_op(deadline);
    if (w->way == 3)
        spin_us(w, next_random(w) % 3000); /* it may go off while we run */
    do {
        if (w->way % 2 == 0 && w->way != 4)
            block_for(w, w->timer);
        else
            poll_for(w->timer, w->way == 4 ? deadline : 0);
        take(w->timer);
        now = time_now_on(w->id);
    } while (now < deadline);
    if (now - deadline > w->worst)
        w->worst = now - deadline;
    hv_vcpu_op(VCPUOP_stop_singleshot_timer, w->id, NULL); /* what a detour left */
}

static void work(void *data)
{
    struct worker *w = data;

    w->stack = stack_page();
    if (hv_set_callbacks(FLAT_KERNEL_CS, upcall_stub, FLAT_KERNEL_CS, upcall_stub) != 0 ||
        hv_vcpu_op(VCPUOP_stop_periodic_timer, w->id, NULL) != 0)
        panic("vcpu %u cannot be prepared", w->id);
    for (;;) {
        if (next_random(w) % 2)
            block_for(w, w->call);
        else
            poll_for(w->call, 0);
        take(w->call);
        if (w->heard == w->round)
            continue;
        w->heard = w->round;
        w->step = CALLED;
        sleep_until_timer(w);
        w->step = DONE;
        event_send(back);
    }
}

/* --- the first vcpu --------------------------------------------------------------------------- */

static bool start_worker(unsigned int id)
{
    struct worker *w = &workers[id];
    struct evtchn_bind_virq op = {.virq = VIRQ_TIMER, .vcpu = id};
    int call = vcpu_bind_ipi(id);

    if (call < 0)
        return false;
    if (hv_event_channel_op(EVTCHNOP_bind_virq, &op) != 0)
        panic("no timer events for vcpu %u", id);
    w->id = id;
    w->call = call;
    w->timer = op.port;
    if (vcpu_start(id, work, w) != 0)
        panic("vcpu %u does not start", id);
    return true;
}

static bool all_done(void)
{
    for (unsigned int i = 1; i < count; i++)
        if (workers[i].step != DONE)
            return false;
    return true;
}

static bool play_round(uint32_t round)
{
    uint64_t deadline = time_now() + PATIENCE;

    for (unsigned int i = 1; i < count; i++) {
        workers[i].step = ASLEEP;
        workers[i].round = round;
        event_send(workers[i].call);
    }
    while (!all_done() && time_now() < deadline) {
        poll_for(back, deadline);
        take(back);
    }
    return all_done();
}

static void tell_stuck(uint32_t round)
{
    static const char *const what[] = {"was not woken by its call", "does not arm its timer",
                                       "was not woken by its timer", "is done"};

    for (unsigned int i = 1; i < count; i++) {
        const struct worker *w = &workers[i];
        struct vcpu_runstate_info r = {0};

        hv_vcpu_op(VCPUOP_get_runstate_info, i, &r);
        tap_diag("round %u: vcpu %u %s (way %u), run state %d", round, i, what[w->step], w->way,
                 r.state);
        tap_diag("  call pending %d masked %d, timer %d %d, upcall %u %u", is_pending(w->call),
                 is_masked(w->call), is_pending(w->timer), is_masked(w->timer),
                 info_of(w)->evtchn_upcall_pending, info_of(w)->evtchn_upcall_mask);
    }
}

int main(int argc, char **argv)
{
    uint64_t end = time_now() + (argc > 1 ? strtoul(argv[1], NULL, 0) : 15) * NS_PER_SEC;
    uint32_t rounds = 0;
    bool good = true;

    events_off(); /* its upcall would take the other vcpus' events: all ports share their words */
    back = vcpu_bind_ipi(0);
    while (count < MAX_VCPUS && start_worker(count))
        count++;
    tap_ok(count > 1, "%u vcpus sleep and wake", count - 1);
    while (good && time_now() < end)
        good = play_round(++rounds);
    if (!good)
        tell_stuck(rounds);
    tap_ok(good, "nobody sleeps on, in %u rounds", rounds);
    for (unsigned int i = 1; i < count; i++)
        tap_diag("vcpu %u woke %u us late at worst", i, (uint32_t)(workers[i].worst / 1000));
    tap_done();
}
