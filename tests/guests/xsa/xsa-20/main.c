/* SPDX-License-Identifier: MIT */
/*
 * XSA-20: a timer's period so large that adding it to the time wraps.
 *
 * The next tick of a vcpu's periodic timer is the last one plus the period. Xen took any period: with
 * one near 2^64 the next tick lay in the past, was due at once, was set again for the past, and so on,
 * on a processor that never came back from its timers. The other timers are also set to numbers of the
 * guest's: the one-shot timer, set_timer_op, the timeout of SCHEDOP_poll.
 *
 * This guest sets each of them to numbers around every place where an addition, a subtraction or a sign
 * could go wrong. A period is refused or kept; a far deadline brings no event; and after each, a timer
 * of ordinary length goes off once, in time.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/event.h>
#include <pv/time.h>

#define PERIOD_MAX (UINT64_MAX >> 2)
#define A_FEW \
    5 /* events of 10 ms that would be one, or none, on a machine with nothing else to do */

static const uint64_t numbers[] = {UINT64_MAX,
                                   UINT64_MAX - 1,
                                   UINT64_MAX - 999999999,
                                   1ULL << 63 | 1,
                                   1ULL << 63,
                                   (1ULL << 63) - 1,
                                   (1ULL << 62) + 1,
                                   1ULL << 62,
                                   PERIOD_MAX,
                                   1ULL << 61,
                                   1ULL << 50,
                                   0xffffffff00000000ULL,
                                   0x00000001ffffffffULL * 1000};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static volatile uint32_t served;

static void serve(void)
{
    served++;
}

static int set_period(uint64_t ns)
{
    struct vcpu_set_periodic_timer op = {.period_ns = ns};

    return hv_vcpu_op(VCPUOP_set_periodic_timer, 0, &op);
}

static int set_singleshot(uint64_t ns, uint32_t flags)
{
    struct vcpu_set_singleshot_timer op = {.timeout_abs_ns = ns, .flags = flags};

    return hv_vcpu_op(VCPUOP_set_singleshot_timer, 0, &op);
}

/* The processor is still shared out: 10 ms pass, with no more than a few events. */
static bool quiet(void)
{
    uint32_t before = timer_count();
    uint64_t end = time_now() + 10 * NS_PER_MS;

    while (time_now() < end)
        hv_sched_op(SCHEDOP_yield, NULL);
    return timer_count() - before <= A_FEW;
}

/* A timer of ordinary length goes off, and not before its time. */
static bool timers_work(void)
{
    uint64_t deadline = time_now() + NS_PER_MS;

    served = 0;
    timer_set(deadline, serve);
    while (!served)
        hv_sched_op(SCHEDOP_yield, NULL);
    return served == 1 && time_now() >= deadline;
}

static void test_periods(void)
{
    int right = 0, silent = 0;

    for (unsigned int i = 0; i < NUMBERS; i++) {
        right += set_period(numbers[i]) == (numbers[i] > PERIOD_MAX ? -XEN_EINVAL : 0);
        silent += quiet() && timers_work();
    }
    tap_is(right, NUMBERS, "a period beyond 2^62 is refused, others are taken");
    tap_is(silent, NUMBERS, "none of them ticks, and other timers go on");
    tap_is(set_period(0), -XEN_EINVAL, "no period of 0");
    tap_is(set_period(NS_PER_MS - 1), -XEN_EINVAL, "nor of less than a millisecond");
    tap_is(hv_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0, "the periodic timer is stopped");
}

static void test_singleshot(void)
{
    int taken = 0, silent = 0;

    for (unsigned int i = 0; i < NUMBERS; i++) {
        taken += set_singleshot(numbers[i], 0) == 0;
        taken += set_singleshot(numbers[i], VCPU_SSHOTTMR_future) == 0;
        silent += quiet() && timers_work();
    }
    tap_is(taken, 2 * NUMBERS, "the one-shot timer takes any time");
    tap_is(silent, NUMBERS, "which brings no storm of events, and other timers go on");
    tap_is(set_singleshot(0, VCPU_SSHOTTMR_future), -XEN_ETIME, "a time in the future is not past");
}

static void test_timer_op(void)
{
    int taken = 0, silent = 0;

    for (unsigned int i = 0; i < NUMBERS; i++) {
        taken += hypercall(__HYPERVISOR_set_timer_op, (uint32_t)numbers[i], numbers[i] >> 32, 0, 0,
                           0) == 0;
        silent += quiet() && timers_work();
    }
    tap_is(taken, NUMBERS, "set_timer_op takes any time");
    tap_is(silent, NUMBERS, "which brings no storm of events, and other timers go on");
}

/* A poll ends by its timeout or, at the latest, by the event of a timer of 1 ms. */
static void test_poll(void)
{
    int done = 0;

    for (unsigned int i = 0; i < NUMBERS; i++) {
        struct sched_poll poll = {.timeout = numbers[i]};

        served = 0;
        timer_set(time_now() + NS_PER_MS, serve);
        while (!served)
            done += hv_sched_op(SCHEDOP_poll, &poll) != 0;
    }
    tap_is(done, 0, "SCHEDOP_poll takes any timeout");
    tap_ok(quiet() && timers_work(), "and other timers go on");
}

int main(void)
{
    test_periods();
    test_singleshot();
    test_timer_op();
    test_poll();
    tap_done();
}
