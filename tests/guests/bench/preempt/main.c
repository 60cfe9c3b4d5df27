/* SPDX-License-Identifier: MIT */
/*
 * How long a hypercall can hold the processor.
 *
 * The hypervisor runs with interrupts off, so the longest stretch between two looks at what waits
 * is the time every other vcpu and every timer may have to wait. A guest chooses that stretch: it
 * makes the longest hypercalls it can build. Here each of them runs with a timer set to go off at
 * one of STEPS moments of it, and the timer's event says how late it came. Under -icount shift=0 a
 * nanosecond is one guest instruction, so the figures are exact, and the same on every machine.
 *
 * The bound and the table are in docs/preemption.md.
 *
 * Run: qemu
 * Machine: mem=256 icount=shift=0,sleep=off timeout=300
 *
 * Next: tables.c, batches.c.
 */
#include "preempt.h"

#include <stddef.h>
#include <string.h>

#include <pv/event.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>

#define BOUND 1700000 /* docs/preemption.md */
#define ARM_TIME \
    3000 /* what arming takes at most: a timer nearer than that might be late already */

unsigned int failures;

static volatile uint64_t came; /* when the event was seen; 0: not yet */

static void on_timer(void)
{
    if (!came)
        came = time_now();
}

static uint64_t duration(const struct operation *op)
{
    uint64_t start = time_now(), took;

    op->run();
    took = time_now() - start;
    if (op->undo)
        op->undo();
    return took;
}

/* Run the operation with a timer `after` ns ahead; how late its event came. */
static uint64_t lateness(const struct operation *op, uint64_t after)
{
    uint64_t deadline = time_now() + after;

    came = 0;
    timer_set(deadline, on_timer);
    op->run();
    while (!came)
        ;
    if (op->undo)
        op->undo();
    return came < deadline ? 0 : came - deadline;
}

static void measure(const struct operation *op)
{
    uint64_t whole, worst = 0;

    failures = 0;
    if (op->prepare)
        op->prepare();
    whole = duration(op);
    for (unsigned int step = 0; step < op->steps; step++) {
        uint64_t late = lateness(op, ARM_TIME + whole * step / op->steps);

        if (late > worst)
            worst = late;
    }
    if (op->finish)
        op->finish();
    tap_ok(failures == 0 && worst < BOUND, "%s: %u of %u ticks%s", op->name, (unsigned int)worst,
           (unsigned int)whole, failures ? ", an operation failed" : "");
}

static void measure_all(const struct operation *op)
{
    for (; op->name; op++) {
        if (strstr(op->name, (const char *)start_info->cmd_line))
            measure(op);
    }
}

/* Turn for a while, in the guest: what the way from the timer to the handler takes. */
static void spin(void)
{
    for (volatile int i = 0; i < 20000; i++)
        ;
}

static const struct operation spinning[] = {
    {"no hypercall at all", 32, NULL, spin, NULL, NULL},
    {NULL, 0, NULL, NULL, NULL, NULL},
};

int main(void)
{
    uint64_t tsc = read_tsc(), ns = time_now();

    spin();
    tsc = read_tsc() - tsc;
    ns = time_now() - ns;
    tap_ok(tsc > ns - ns / 50 && tsc < ns + ns / 50, "a nanosecond is a tick: %u and %u",
           (unsigned int)ns, (unsigned int)tsc);
    measure_all(spinning);
    measure_all(table_operations);
    measure_all(batch_operations);
    tap_done();
}
