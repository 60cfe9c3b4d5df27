/* SPDX-License-Identifier: MIT */
/*
 * What each operation costs.
 *
 * Under QEMU's -icount shift=0 the time-stamp counter advances by one for every guest instruction,
 * so a count is exact and the same on every machine: it says how many instructions the hypervisor
 * and its guest need for an operation. `make bench` prints the counts beside those of real Xen.
 * Counts are not time: a CR3 load and an addition are one tick each.
 *
 * Every operation is checked too: a row is "ok" when each of its calls succeeded.
 *
 * Run: qemu
 * Machine: mem=256 icount=shift=0,sleep=off
 *
 * Next: calls.c, memory.c, traps.c.
 */
#include "bench.h"

#include <stddef.h>
#include <string.h>

#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>

#define ROUNDS 5

unsigned int failures;

static void nothing(void)
{
}

static uint64_t ticks(void (*run)(void), unsigned int repeat)
{
    uint64_t start = read_tsc();

    for (unsigned int i = 0; i < repeat; i++)
        run();
    return read_tsc() - start;
}

/*
 * The fewest of several rounds: a round may have been interrupted by the hypervisor's own timers.
 */
static uint64_t fewest_ticks(void (*run)(void), unsigned int repeat)
{
    uint64_t best = UINT64_MAX;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t count = ticks(run, repeat);

        if (count < best)
            best = count;
    }
    return best;
}

static void measure(const struct operation *op)
{
    failures = 0;
    if (op->prepare)
        op->prepare();
    uint64_t loop = fewest_ticks(nothing, op->repeat);
    uint64_t all = fewest_ticks(op->run, op->repeat);
    if (op->finish)
        op->finish();
    tap_ok(failures == 0, "%s: %u ticks", op->name,
           (unsigned int)((all - loop + op->repeat / 2) / op->repeat));
}

/* The command line, if any, is part of the name of what to measure; nothing else runs then. */
static int wanted(const char *name)
{
    return strstr(name, (const char *)start_info->cmd_line) != NULL;
}

static void measure_all(const struct operation *op)
{
    for (; op->name; op++) {
        if (wanted(op->name))
            measure(op);
    }
}

static void measure_system_call(const char *name, uint8_t flags)
{
    uint32_t count;

    if (!wanted(name))
        return;
    failures = 0;
    count = system_call_ticks(flags);
    tap_ok(failures == 0, "%s: %u ticks", name, (unsigned int)count);
}

int main(void)
{
    measure_all(call_operations);
    measure_system_call("int 0x80, ring 3 to ring 1", 3);
    measure_system_call("int 0x80, events masked", 3 | MASK_EVENTS);
    measure_all(trap_operations);
    measure_all(memory_operations);
    tap_done();
}
