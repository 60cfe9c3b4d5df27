/* SPDX-License-Identifier: MIT */
/*
 * Hostile: a guest that does everything to its memory that a guest may ask for, and much that it
 * may not.
 *
 * A seeded generator issues operations on page tables, reservation, grants, descriptor tables and
 * events. Half of them are meant to succeed: the guest keeps a model of its frames, and builds L1s,
 * L2s, L3s, linear maps, descriptor pages and grants to itself out of an arena of pages, runs on
 * the roots it built, and takes everything down again. The other half is spoilt first: bits of
 * addresses flipped, flags that are not the guest's, frames of others, of the hypervisor, of
 * devices, counts and pointers that lie.
 *
 * What must hold, whatever the sequence:
 *  - the hypervisor neither panics nor fails an assertion;
 *  - every so many operations an audit recomputes all counts of all frames and finds no difference;
 *  - operations that must be refused in any state are refused (op_forbidden), and a page that
 *    reads as a page table cannot be written through any address (op_touch);
 *  - `done` counts are below the count asked for exactly when the answer is an error.
 *
 * With vcpus=N, up to four, the other vcpus issue at the same time whatever needs no model and raises
 * no unexpected exception (several.c), on the same pages.
 *
 * The guest survives itself, since nothing it issues names its private area: code, data, stack, and
 * the tables that map them. A spoilt operation that would is not issued.
 *
 * Words on the command line: seed=N ops=N audit=N (operations between audits), seconds=N (end then,
 * with fewer operations), neighbour=N (a domain to pester), pester=1 (it runs this guest too: each
 * maps, copies by and transfers to the other's grants), vcpus=N, pfns=N (the frames' own numbers stay
 * below N), trace=N (show operations from number N on). The same seed and memory give one vcpu the
 * same operations: an operation's number in a report leads back to it by trace=.
 *
 * A million by hand:
 *     QEMU_MEM=256 timeout 600 tools/run-qemu -kernel build/ringlet.elf \
 *         -append 'console=com1 dom0_mem=64M' -initrd 'build/guests/hostile.elf ops=1000000 seed=7'
 *
 * Run: none (test_hostile.py starts it, with seeds)
 *
 * Next: hostile.h, arena.c.
 */
#include "hostile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/event_channel.h>
#include <xen/sched.h>

#include <pv/event.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <pv/trap.h>

#define AUDIT_HYPERCALL 55 /* __HYPERVISOR_arch_7: counts that do not add up, in debug builds */

uint16_t own_domid, neighbour = 1;
unsigned int vcpus = 1;
bool pester;

static uint32_t seed = 1, state, operations = 100000, audit_every = 1000, trace_from = UINT32_MAX;
static uint64_t deadline = UINT64_MAX;
static uint32_t number; /* of the operation being done, from 1 */

struct kind {
    const char *name;
    operation run;
    uint32_t weight;
    uint32_t good, good_done, spoilt, spoilt_done;
};

static struct kind kinds[] = {
    {.name = "mmu_update", .run = op_mmu_update, .weight = 28},
    {.name = "update_va_mapping", .run = op_va_mapping, .weight = 16},
    {.name = "pin, building a table", .run = op_build, .weight = 8},
    {.name = "unpin, dropping a table", .run = op_destroy, .weight = 5},
    {.name = "mmuext_op", .run = op_mmuext, .weight = 8},
    {.name = "new base pointer", .run = op_new_root, .weight = 2},
    {.name = "reads and writes", .run = op_touch, .weight = 8},
    {.name = "what is forbidden", .run = op_forbidden, .weight = 4},
    {.name = "reservation", .run = op_balloon, .weight = 5},
    {.name = "exchange", .run = op_exchange, .weight = 2},
    {.name = "memory queries", .run = op_memory_query, .weight = 1},
    {.name = "grant entries", .run = op_grant_entry, .weight = 5},
    {.name = "grant map", .run = op_grant_map, .weight = 6},
    {.name = "grant unmap", .run = op_grant_unmap, .weight = 5},
    {.name = "grant copy", .run = op_grant_copy, .weight = 3},
    {.name = "grant transfer", .run = op_grant_transfer, .weight = 2},
    {.name = "grant table setup", .run = op_grant_setup, .weight = 2},
    {.name = "set_gdt", .run = op_gdt, .weight = 3},
    {.name = "set_ldt, LDT loads", .run = op_ldt, .weight = 3},
    {.name = "update_descriptor", .run = op_descriptor, .weight = 3},
    {.name = "event channels", .run = op_event, .weight = 3},
    {.name = "trap table", .run = op_traps, .weight = 1},
    {.name = "vcpu_op", .run = op_vcpu, .weight = 2},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/*
 * Marsaglia's xorshift: any state but zero comes back only after all others. Several vcpus that take
 * numbers at once may take the same, but never zero, as no step makes it.
 */
uint32_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

void violated(const char *format, ...)
{
    char what[160];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    back_to_root();
    tap_ok(false, "seed %lu, operation %lu: %s", (unsigned long)seed, (unsigned long)number, what);
    tap_done();
}

void trace(const char *format, ...)
{
    va_list arguments;

    if (number < trace_from || vcpus > 1)
        return;
    printf("# %lu: ", (unsigned long)number);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

static void read_words(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        uint32_t n = value ? strtoul(value + 1, NULL, 0) : 0;

        if (strncmp(argv[i], "seed=", 5) == 0)
            seed = n;
        else if (strncmp(argv[i], "ops=", 4) == 0)
            operations = n;
        else if (strncmp(argv[i], "audit=", 6) == 0)
            audit_every = n;
        else if (strncmp(argv[i], "neighbour=", 10) == 0)
            neighbour = n;
        else if (strncmp(argv[i], "pester=", 7) == 0)
            pester = n;
        else if (strncmp(argv[i], "vcpus=", 6) == 0)
            vcpus = n;
        else if (strncmp(argv[i], "seconds=", 8) == 0)
            deadline = time_now() + n * NS_PER_SEC;
        else if (strncmp(argv[i], "pfns=", 5) == 0)
            pfns = n;
        else if (strncmp(argv[i], "trace=", 6) == 0)
            trace_from = n;
        else
            tap_diag("unknown word %s", argv[i]);
    }
    state = (seed + 1) * 2654435761u; /* not zero for any seed but one */
    if (state == 0)
        state = 1;
}

/* A domain is not told its number, but an unbound channel to oneself shows it. */
static void find_own_domid(void)
{
    struct evtchn_alloc_unbound alloc = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
    struct evtchn_status status = {.dom = DOMID_SELF};
    struct evtchn_close close;

    if (hv_event_channel_op(EVTCHNOP_alloc_unbound, &alloc) != 0)
        panic("no event channel");
    status.port = close.port = alloc.port;
    if (hv_event_channel_op(EVTCHNOP_status, &status) == 0)
        own_domid = status.u.unbound.dom;
    hv_event_channel_op(EVTCHNOP_close, &close);
}

/* The number of differences; negative where the hypervisor has no such call. */
static long audit(void)
{
    return hypercall(AUDIT_HYPERCALL, 0, 0, 0, 0, 0);
}

struct attempt {
    const struct kind *kind;
    bool spoil;
    enum outcome outcome;
};

static void attempt(void *data)
{
    struct attempt *a = data;

    a->outcome = a->kind->run(a->spoil);
}

/* A page that the model has as writable may not be so any more, when other vcpus are at work. */
static enum outcome run(const struct kind *kind, bool spoil)
{
    struct attempt a = {kind, spoil, REFUSED};

    if (vcpus > 1)
        catch_fault(attempt, &a, NULL);
    else
        attempt(&a);
    return a.outcome;
}

/* One operation that is really issued: what the fence holds back does not count. */
static enum outcome try_one(uint32_t total_weight)
{
    uint32_t pick = below(total_weight);
    struct kind *kind = kinds;
    bool spoil = rnd() & 1;
    enum outcome outcome;

    while (pick >= kind->weight)
        pick -= kind++->weight;
    trace("%s%s", kind->name, spoil ? ", spoilt" : "");
    outcome = run(kind, spoil);
    if (outcome == SKIPPED)
        return outcome;
    if (spoil) {
        kind->spoilt++;
        kind->spoilt_done += outcome == DONE;
    } else {
        kind->good++;
        kind->good_done += outcome == DONE;
    }
    return outcome;
}

static void report(void)
{
    uint32_t good = 0, done = 0;

    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
        tap_diag("%-24s %7lu of %7lu good ones done, %7lu of %7lu spoilt ones", kind->name,
                 (unsigned long)kind->good_done, (unsigned long)kind->good,
                 (unsigned long)kind->spoilt_done, (unsigned long)kind->spoilt);
        good += kind->good;
        done += kind->good_done;
    }
    if (vcpus == 1)
        tap_ok(done >= good / 2, "the model holds: most of the good operations succeed");
    else
        several_report();
}

/* Let go of all that was built; the pages that are tables still, for reasons unknown. */
static uint32_t take_down(void)
{
    uint32_t stuck;

    several_rest();
    others_take_down();
    grants_take_down();
    stuck = arena_take_down();
    several_go_on();
    return stuck;
}

int main(int argc, char **argv)
{
    uint32_t total_weight = 0, audits = 0, stuck = 0;
    long differences = 0;

    read_words(argc, argv);
    tap_diag("seed %lu, %lu operations", (unsigned long)seed, (unsigned long)operations);
    find_own_domid();
    arena_init();
    grants_init();
    several_start();
    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++)
        total_weight += kind->weight;

    for (number = 1; number <= operations; number++) {
        while (try_one(total_weight) == SKIPPED)
            ;
        if (time_now() > deadline)
            operations = number;
        if (number % audit_every != 0 && number != operations)
            continue;
        differences = audit();
        audits++;
        if (differences > 0)
            violated("the audit finds %ld differences", differences);
        if (once_in(4) || number == operations)
            stuck = take_down();
    }
    tap_is(stuck, 0, "with everything taken down, no page is left in use as a table");
    tap_ok(true, "%lu operations survived", (unsigned long)operations);
    if (differences < 0)
        tap_skip("no audit in this hypervisor", "%lu audits", (unsigned long)audits);
    else
        tap_ok(true, "%lu audits found no difference", (unsigned long)audits);
    report();
    tap_done();
}
