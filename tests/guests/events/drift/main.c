/* SPDX-License-Identifier: MIT */
/*
 * Drift: the clock beside the machine's other clocks, for a minute.
 *
 * System time is the TSC, measured once at boot against a slower clock. What was measured wrongly
 * then adds up for as long as the machine runs. This guest, the initial domain, lets a minute pass
 * and compares system time with two clocks that the hypervisor does not use for it: the ACPI timer,
 * 3,579,545 ticks a second, and the seconds of the battery-backed clock, whose date the wall clock
 * must show. Its vcpus then read the clock in turn, and none may be behind the one before it.
 *
 * The minute is one of virtual time: while the guest sleeps, the emulator skips to the next timer.
 *
 * Words on the command line: "turns" for the vcpus alone.
 *
 * Run: none (tests/system/test_drift.py: all clocks must be the machine's, none the host's)
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pv/event.h>
#include <pv/ports.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <pv/vcpu.h>
#include <xen/physdev.h>
#include <xen/sched.h>

#define PM_HZ 3579545
#define PM_MASK 0xffffff /* the counter has 24 bits, and wraps in 4.7 s */
#define MOST_PPM 100
#define TURNS 1000

static uint8_t cmos(uint8_t reg)
{
    outb(0x70, reg);
    return inb(0x71);
}

/* --- the ACPI timer -------------------------------------------------------------------------- */

/* The PIIX4's power management function keeps its ports' base in register 0x40. */
static uint32_t pm_port(void)
{
    outl(0xcf8, 0x80000000 | 1 << 11 | 3 << 8);
    if (inl(0xcfc) != 0x71138086)
        return 0;
    outl(0xcf8, 0x80000000 | 1 << 11 | 3 << 8 | 0x40);
    return (inl(0xcfc) & 0xffc0) + 8;
}

/* Both clocks at the same moment: the quickest of some readings. */
static uint32_t read_both(uint32_t port, uint64_t *now)
{
    uint64_t best = UINT64_MAX;
    uint32_t ticks = 0;

    *now = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t before = time_now();
        uint32_t read = inl(port) & PM_MASK;
        uint64_t took = time_now() - before;

        if (took < best) {
            best = took;
            *now = before + took / 2;
            ticks = read;
        }
    }
    return ticks;
}

static long parts_per_million(uint64_t is, uint64_t should)
{
    return ((int64_t)(is - should)) * 1000000 / (int64_t)should;
}

/* ---- the battery-backed clock: BCD seconds, minutes, hours; its day may end meanwhile */

static uint32_t cmos_seconds(void)
{
    static const uint8_t regs[] = {4, 2, 0};
    uint32_t seconds = 0;

    for (int i = 0; i < 3; i++) {
        uint8_t digits = cmos(regs[i]);

        seconds = seconds * 60 + (digits >> 4) * 10 + (digits & 15);
    }
    return seconds;
}

/* System time at which the next second begins, and that second of the day. */
static uint64_t next_second(uint32_t *second)
{
    uint8_t now = cmos(0);
    uint64_t at;

    while (cmos(0) == now)
        ;
    at = time_now();
    *second = cmos_seconds();
    return at;
}

/* The hypervisor does not wait for a second to begin when it reads the date: it may be one late. */
static bool date_agrees(uint32_t second)
{
    return (second - time_wallclock() % 86400 + 86400) % 86400 <= 1;
}

static void test_minute(void)
{
    uint32_t port = pm_port(), first, last, ticks, read;
    uint64_t start, now, second_start, second_end, all = 0;
    long ppm;

    second_start = next_second(&first);
    tap_ok(date_agrees(first), "the wall clock shows the CMOS's time");
    ticks = read_both(port, &start);
    do {
        sleep_ms(1000);
        read = read_both(port, &now);
        all += (read - ticks) & PM_MASK;
        ticks = read;
    } while (now < start + 60 * NS_PER_SEC);
    ppm = parts_per_million(now - start, all * NS_PER_SEC / PM_HZ);
    tap_ok(port && labs(ppm) < MOST_PPM, "a minute beside the ACPI timer: %ld parts in a million",
           ppm);
    second_end = next_second(&last);
    last += last < first ? 86400 : 0;
    ppm = parts_per_million(second_end - second_start, (last - first) * NS_PER_SEC);
    tap_ok(labs(ppm) < MOST_PPM, "%u s beside the battery-backed clock: %ld parts in a million",
           last - first, ppm);
    tap_ok(date_agrees(last), "the wall clock still shows it");
}

/* --- two vcpus ------------------------------------------------------------------------------- */

static volatile uint32_t turn; /* odd: vcpu 1's */
static volatile uint64_t latest;
static volatile bool backwards;

static void take_turns(void *data)
{
    unsigned int self = (unsigned int)data;

    while (turn < TURNS) {
        if (turn % 2 != self) {
            hv_sched_op(SCHEDOP_yield, NULL);
            continue;
        }
        uint64_t at = time_now_on(self);

        if (at < latest)
            backwards = true;
        latest = at;
        __atomic_fetch_add(&turn, 1, __ATOMIC_SEQ_CST);
    }
    while (self)
        hv_sched_op(SCHEDOP_poll, &(struct sched_poll){0});
}

static void test_vcpus(void)
{
    if (vcpu_start(1, take_turns, (void *)1) != 0) {
        tap_skip("there is one vcpu", "the clock on two vcpus");
        return;
    }
    take_turns((void *)0);
    tap_ok(!backwards, "the clock never goes back from one vcpu to the other, in %u turns", TURNS);
}

int main(int argc, char **argv)
{
    struct physdev_set_iopl iopl = {.iopl = 1};

    hv_physdev_op(PHYSDEVOP_set_iopl, &iopl);
    if (argc < 2 || strcmp(argv[1], "turns") != 0)
        test_minute();
    test_vcpus();
    tap_done();
}
