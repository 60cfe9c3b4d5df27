/* SPDX-License-Identifier: MIT */
/*
 * Life: a domain as the control domain's `soak` makes them by the thousand, and one that ends as it
 * is told.
 *
 * It brings up all vcpus it has, connects with another of its kind, and then does what a kernel
 * does, in random order: asks its other vcpus, plays ping-pong with its peer, makes page tables and
 * takes them down, sleeps, opens and closes channels. Now and then it ends: powers off, reboots,
 * crashes. The control domain pauses, crashes and destroys it in the middle of whatever it does.
 *
 * It waits for every event it is owed, without a limit, and prints a dot now and then: one that stops
 * printing has lost an event, and the control domain counts it. A watchdog of the hypervisor's runs
 * beside, and is set back with each step.
 *
 * Words on the command line: peer=N and first or second (the domain at the other end), seed=N,
 * measure=N (it plays N rounds with its peer, tells how long they took, and sleeps), forever (it
 * does not end by itself), end=N (it ends at once with reason N of xen/sched.h, 4 by
 * hanging until the watchdog ends it; if it goes on behind that it says so), soft-off (as the
 * initial domain it powers the machine off by ACPI's word for it), down (all its vcpus go
 * down at once).
 *
 * Run: none (tests/system/test_life.py, test_boot.py, test_soak.py and tools/bench start it)
 *
 * Next: life.h, workers.c, peer.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/console.h>
#include <pv/hypercall.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>
#include <xen/event_channel.h>
#include <xen/platform.h>
#include <xen/sched.h>

#include "life.h"

#define WATCHDOG_SECONDS 600

static uint32_t seed = 1;
static unsigned int workers;
static bool forever;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* The first call starts the watchdog, others set it back. */
static void watch(uint32_t seconds)
{
    static struct sched_watchdog watchdog;

    watchdog.timeout = seconds;
    int rc = hv_sched_op(SCHEDOP_watchdog, &watchdog);
    if (rc < 0)
        panic("no watchdog: %d", rc);
    if (!watchdog.id)
        watchdog.id = rc;
}

/* A page becomes a page table, is pinned and let go. */
static void make_table(void)
{
    uint64_t *table = page_alloc();
    uint32_t mfn = linear_to_mfn(table);

    memset(table, 0, PAGE_SIZE);
    for (unsigned int i = random_below(512); i < 512; i += 1 + random_below(64))
        table[i] = pte_make(base_mfn(), PTE_P);
    if (map_page(table, pte_make(mfn, PAGE_KERNEL_RO)) != 0 ||
        mmuext_frame(MMUEXT_PIN_L1_TABLE, mfn, DOMID_SELF) != 0 ||
        mmuext_frame(MMUEXT_UNPIN_TABLE, mfn, DOMID_SELF) != 0 ||
        map_page(table, pte_make(mfn, PAGE_KERNEL)) != 0)
        panic("a table is refused");
    memset(table, 0, PAGE_SIZE);
    page_free(table);
}

static void make_channels(void)
{
    int ports[8];

    for (unsigned int i = 0; i < 8; i++)
        ports[i] = event_alloc_unbound(random_below(1000), NULL, NULL);
    for (unsigned int i = 0; i < 8; i++)
        event_close(ports[i]);
}

static void end(unsigned int reason)
{
    struct sched_shutdown op = {.reason = reason};

    printf("ends with reason %u, events of its peer: %u\n", reason, peer_events());
    if (reason == SHUTDOWN_watchdog) {
        watch(1);
        events_off();
        for (;;)
            ;
    }
    int rc = hv_sched_op(SCHEDOP_shutdown, &op);
    printf("goes on: %d\n", rc);
}

/* The end of an initial domain that interprets the ACPI tables: the whole machine goes to S5. */
static void soft_off(void)
{
    struct xen_platform_op op = {.cmd = XENPF_enter_acpi_sleep,
                                 .interface_version = XENPF_INTERFACE_VERSION,
                                 .u.enter_acpi_sleep = {.sleep_state = 5}};
    printf("soft off: %d\n", hv_platform_op(&op));
    end(SHUTDOWN_crash);
}

static void step(void)
{
    switch (random_below(8)) {
    case 0:
        if (random_below(4) == 0)
            make_table();
        break;
    case 1:
        make_channels();
        break;
    case 2:
        sleep_ms(random_below(4));
        break;
    case 3:
        if (!forever && random_below(100) == 0)
            end(random_below(2) ? SHUTDOWN_poweroff : 1 + random_below(3));
        break;
    case 4:
    case 5:
        if (workers)
            worker_ask(random_below(workers));
        break;
    default:
        if (!peer_gone())
            peer_round();
    }
    if (random_below(32) == 0)
        console_write(".", 1);
    watch(WATCHDOG_SECONDS);
}

static uint32_t number(const char *word, const char *name)
{
    size_t n = strlen(name);

    return strncmp(word, name, n) == 0 ? strtoul(word + n, NULL, 10) : 0;
}

/* For tools/bench by the hypervisor's console, and by this guest's own for a Xen that has no other. */
static void measure(uint32_t rounds)
{
    char line[80];
    uint64_t ticks = peer_measure(rounds);
    int n = snprintf(line, sizeof(line), "%u round trips: %llu ticks\n", rounds, ticks);

    hv_console_io(CONSOLEIO_write, n, line);
    console_write(line, n);
    events_off();
    for (;;)
        hv_sched_op(SCHEDOP_poll, &(struct sched_poll){0});
}

int main(int argc, char **argv)
{
    uint32_t peer = 0, rounds = 0;
    bool down = false;

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "end=", 4) == 0) {
            end(number(argv[i], "end="));
            return 0;
        }
        if (strcmp(argv[i], "soft-off") == 0)
            soft_off();
        seed ^= number(argv[i], "seed=");
        peer |= number(argv[i], "peer=");
        rounds |= number(argv[i], "measure=");
        forever |= strcmp(argv[i], "forever") == 0;
        down |= strcmp(argv[i], "down") == 0;
    }
    if (peer)
        peer_open(peer, strcmp(argv[argc - 1], "first") == 0);
    if (rounds)
        measure(rounds);
    workers = workers_start();
    printf("%u other vcpus\n", workers);
    if (down)
        workers_down();
    for (;;)
        step();
}
