/* SPDX-License-Identifier: MIT */
/*
 * Load: a domain that works, waits, or makes a nuisance of itself, for the tests of the scheduler.
 *
 * The first word on its command line says which:
 *
 *   spin [MS]   works without end, and tells for each window of MS milliseconds of system time
 *               (1000 unless given) what share of a processor it got, by its work and by its run
 *               states. Windows of all domains begin together, so the shares of one window can be
 *               compared.
 *   nap N       sleeps for 2 to 7 ms at a time, N times, and tells how late it woke up: half, 99 %
 *               and all of the times it was no later than that.
 *   timers      sets a timer 2 us ahead and sleeps, without end
 *   events      sends itself events, and takes them
 *   doorbell    sends events to the control domain by its console's port
 *   hypercalls  makes the longest hypercall it can: pins and unpins a full page table
 *   faults      runs into an undefined instruction
 *   yields      gives the processor away
 *   memory      takes all the memory it may, then goes on asking
 *   flips       lets a page become a page table and ordinary memory again
 *   eoimap      names its page for PIRQs (PHYSDEVOP_pirq_eoi_gmfn) again, which is refused
 *
 * The unit of work is a loop of a fixed number of instructions. Under -icount, time is instructions
 * too: what the loop took most of the first times is what it costs, and what it cost altogether, of
 * the time that passed, is the share. What is told goes to the hypervisor's log, so that no other domain
 * has to carry it: "(d3) load: window 7: 2499 2501".
 *
 * Run: none (test_sched.py and test_storms.py start it)
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>
#include <pv/trap.h>

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...)
{
    char line[160];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    hv_console_io(CONSOLEIO_write, strlen(line), line);
}

/* --- work ------------------------------------------------------------------------------------ */

/* Two instructions a turn, whatever the compiler. */
static void work(void)
{
    uint32_t turns = 2500;

    __asm__ volatile("1: decl %0\n\tjnz 1b" : "+r"(turns) : : "cc");
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* What a unit of work costs, ns: the median, as some are interrupted. */
static uint32_t work_cost(void)
{
    static uint32_t took[101];
    uint64_t last = time_now();

    for (int i = 0; i < 101; i++) {
        work();
        took[i] = time_now() - last;
        last += took[i];
    }
    qsort(took, 101, sizeof *took, compare);
    return took[50];
}

static uint64_t time_run(void)
{
    struct vcpu_runstate_info r;

    hv_vcpu_op(VCPUOP_get_runstate_info, 0, &r);
    return r.time[RUNSTATE_running];
}

static void spin(uint64_t window)
{
    uint64_t cost = work_cost(), done = 0, now = time_now(), end = (now / window + 1) * window;
    uint64_t ran = time_run(), ran_before = ran;

    for (;; done++) {
        work();
        now = time_now();
        if (now < end)
            continue;
        ran = time_run();
        tell("load: window %lu: %lu %lu\n", (unsigned long)(end / window),
             (unsigned long)(done * cost * 10000 / window),
             (unsigned long)((ran - ran_before) * 10000 / window));
        done = 0;
        ran_before = ran;
        end = (now / window + 1) * window;
    }
}

/* --- waking up ------------------------------------------------------------------------------- */

static void nap(uint32_t times)
{
    uint32_t *late = malloc(times * sizeof *late), seed = 1;

    for (uint32_t i = 0; i < times; i++) {
        uint64_t deadline;

        seed = seed * 1664525 + 1013904223;
        deadline = time_now() + 2 * NS_PER_MS + seed % (5 * NS_PER_MS);
        sleep_until(deadline);
        late[i] = time_now() - deadline;
    }
    qsort(late, times, sizeof *late, compare);
    tell("load: late by ns: %lu %lu %lu\n", (unsigned long)late[times / 2],
         (unsigned long)late[times * 99 / 100], (unsigned long)late[times - 1]);
}

/* --- nuisances ------------------------------------------------------------------------------- */

static void storm_timers(void)
{
    for (;;) {
        events_off();
        wait_until(time_now() + 2000);
    }
}

static void storm_events(void)
{
    int port = event_bind_ipi(NULL, NULL);

    for (;;)
        event_send(port);
}

static void storm_doorbell(void)
{
    for (;;)
        event_send(start_info->console.domU.evtchn);
}

static void storm_hypercalls(void)
{
    pte_t *table = page_alloc(), entry = pte_make(linear_to_mfn(page_alloc()), PAGE_KERNEL);
    struct mmuext_op ops[2] = {{.cmd = MMUEXT_PIN_L1_TABLE}, {.cmd = MMUEXT_UNPIN_TABLE}};

    for (int i = 0; i < 512; i++)
        table[i] = entry;
    map_page(table, pte_make(linear_to_mfn(table), PAGE_KERNEL_RO));
    ops[0].arg1.mfn = ops[1].arg1.mfn = linear_to_mfn(table);
    for (;;)
        if (hv_mmuext_op(ops, 2, NULL, DOMID_SELF))
            panic("cannot pin");
}

/* The instruction is passed over. */
static bool skip_ud2(struct trap_frame *frame)
{
    frame->eip += 2;
    return true;
}

static void storm_faults(void)
{
    trap_hook(VECTOR_UD, skip_ud2);
    for (;;)
        __asm__ volatile("ud2");
}

static void storm_yields(void)
{
    for (;;)
        hv_sched_op(SCHEDOP_yield, NULL);
}

static void storm_memory(void)
{
    struct xen_memory_reservation request = {.nr_extents = 1, .domid = DOMID_SELF};
    xen_pfn_t frame;
    uint32_t got = 0;

    set_xen_guest_handle(request.extent_start, &frame);
    for (;;) {
        if (hv_memory_op(XENMEM_increase_reservation, &request) == 1)
            got++;
        else if (got) {
            tell("load: took %lu frames\n", (unsigned long)got);
            got = 0;
        }
    }
}

/* Each turn changes the type of a frame twice: before that, stale translations of it must go. */
static void storm_flips(void)
{
    void *page = page_alloc();
    uint32_t mfn = linear_to_mfn(page);

    for (;;) {
        if (map_page(page, pte_make(mfn, PAGE_KERNEL_RO)) ||
            mmuext_frame(MMUEXT_PIN_L1_TABLE, mfn, DOMID_SELF) ||
            mmuext_frame(MMUEXT_UNPIN_TABLE, mfn, DOMID_SELF) ||
            map_page(page, pte_make(mfn, PAGE_KERNEL)))
            panic("a page does not become a table, or not memory again");
    }
}

/* The page is taken once; a map and an unmap of it each time would flush every processor. */
static void storm_eoimap(void)
{
    struct physdev_pirq_eoi_gmfn op = {.gmfn = linear_to_mfn(page_alloc())};

    if (hv_physdev_op(PHYSDEVOP_pirq_eoi_gmfn_v2, &op))
        panic("the page for PIRQs is refused");
    while (hv_physdev_op(PHYSDEVOP_pirq_eoi_gmfn_v2, &op) == -XEN_EBUSY)
        ;
    panic("the page for PIRQs is taken twice");
}

static const struct {
    const char *name;
    void (*run)(void);
} nuisances[] = {
    {"timers", storm_timers}, {"events", storm_events},         {"doorbell", storm_doorbell},
    {"faults", storm_faults}, {"hypercalls", storm_hypercalls}, {"yields", storm_yields},
    {"memory", storm_memory}, {"flips", storm_flips},           {"eoimap", storm_eoimap},
};

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    uint32_t number = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000;

    for (size_t i = 0; i < sizeof nuisances / sizeof nuisances[0]; i++) {
        if (!strcmp(what, nuisances[i].name))
            nuisances[i].run();
    }
    if (!strcmp(what, "spin"))
        spin(number * NS_PER_MS);
    else if (!strcmp(what, "nap"))
        nap(number);
    else
        panic("what to do? %s", what);
    return 0;
}
