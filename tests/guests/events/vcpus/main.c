/* SPDX-License-Identifier: MIT */
/*
 * Vcpus: four of them on fewer processors, and what each is told of its time.
 *
 * Three turn without end and one sleeps most of the time. The run states of each must add up to the
 * time that passed, and what all of them ran to the time of the processors there are. Then the first
 * pins itself to a processor and lets go again, as only the initial domain may.
 *
 * Words on the command line: the number of processors.
 *
 * Run: none (test_sched.py starts it, with four vcpus)
 */
#include <stdlib.h>

#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <pv/vcpu.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

enum { VCPUS = 4, SLEEPER = 3 };

/* A vcpu's run states, and when they were asked for, at the earliest and at the latest. */
struct sample {
    struct vcpu_runstate_info r;
    uint64_t from, to;
};

static struct sample before[VCPUS], after[VCPUS];

static void turn(void *unused)
{
    (void)unused;
    for (;;)
        ;
}

static void nap(void *unused)
{
    (void)unused;
    for (;;) {
        struct sched_poll op = {.timeout = time_now() + NS_PER_MS};

        hv_sched_op(SCHEDOP_poll, &op);
    }
}

static void spin_ms(uint32_t ms)
{
    for (uint64_t end = time_now() + ms * NS_PER_MS; time_now() < end;)
        ;
}

static void take(struct sample *samples)
{
    for (unsigned int i = 0; i < VCPUS; i++) {
        samples[i].from = time_now();
        if (hv_vcpu_op(VCPUOP_get_runstate_info, i, &samples[i].r))
            panic("vcpu %u has no run states", i);
        samples[i].to = time_now();
    }
}

static uint64_t in_state(unsigned int vcpu, int state)
{
    return after[vcpu].r.time[state] - before[vcpu].r.time[state];
}

static void test_sums(unsigned int processors)
{
    uint64_t all = 0, most = after[VCPUS - 1].to - before[0].from, ran;

    for (unsigned int i = 0; i < VCPUS; i++) {
        uint64_t sum = 0;

        for (int state = 0; state < 4; state++)
            sum += in_state(i, state);
        all += in_state(i, RUNSTATE_running);
        tap_ok(sum >= after[i].from - before[i].to && sum <= after[i].to - before[i].from,
               "the states of vcpu %u add up: %lu us ran, %lu waited, %lu slept", i,
               (unsigned long)(in_state(i, RUNSTATE_running) / 1000),
               (unsigned long)(in_state(i, RUNSTATE_runnable) / 1000),
               (unsigned long)(in_state(i, RUNSTATE_blocked) / 1000));
    }
    tap_ok(in_state(SLEEPER, RUNSTATE_blocked) > most / 20, "one sleeps");
    ran = all / processors;
    tap_ok(ran > most - most / 50 && ran < most + most / 100,
           "together they ran for %lu of %lu us on each processor", (unsigned long)(ran / 1000),
           (unsigned long)(most / 1000));
}

static int pin(int32_t processor)
{
    struct sched_pin_override op = {.pcpu = processor};

    return hv_sched_op(SCHEDOP_pin_override, &op);
}

static void test_pinning(unsigned int processors)
{
    struct vcpu_get_physid id = {.phys_id = ~0ull};

    tap_is(pin(-1), -XEN_EINVAL, "nothing to undo");
    tap_is(pin(processors), -XEN_EINVAL, "no such processor");
    tap_is(pin(processors - 1), 0, "pinned to the last processor");
    tap_is(pin(0), -XEN_EBUSY, "not twice");
    hv_sched_op(SCHEDOP_yield, NULL);
    tap_is(hv_vcpu_op(VCPUOP_get_physid, 0, &id), 0, "a pinned vcpu is told its processor");
    tap_is((uint32_t)id.phys_id, processors - 1, "the last one");
    tap_is(pin(-1), 0, "let go");
    tap_is(hv_vcpu_op(VCPUOP_get_physid, 0, &id), processors > 1 ? -XEN_EINVAL : 0,
           "which processor, is told only where there is one");
}

int main(int argc, char **argv)
{
    unsigned int processors = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;

    for (unsigned int i = 1; i < VCPUS; i++)
        tap_is(vcpu_start(i, i == SLEEPER ? nap : turn, NULL), 0, "start vcpu %u", i);
    spin_ms(50);
    take(before);
    spin_ms(400);
    take(after);
    test_sums(processors);
    test_pinning(processors);
    tap_done();
}
