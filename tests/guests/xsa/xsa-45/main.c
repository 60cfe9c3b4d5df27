/* SPDX-License-Identifier: MIT */
/*
 * XSA-45: page-table operations that nobody can interrupt.
 *
 * Checking a root means checking every table below it, and letting it go means undoing them: half a
 * million entries and more. Xen did it in one piece, for seconds, while no other domain ran and no
 * interrupt was served. (Interrupting it was then done wrongly more than once: XSA-299 is next.)
 *
 * This guest builds an L3 with three directories of 128 full page tables each, pins it, unpins it,
 * and has it refused for its last entry, with a timer that wants to be served every millisecond. The timer's events must come during
 * both, no gap may be long, and the tables must be whole afterwards.
 *
 * Time is counted in instructions here (QEMU's -icount), so that a busy host does not matter. One
 * thing is known to take long and is held to a bound of its own: undoing what was checked of a
 * table that turns out bad.
 *
 * Run: qemu
 * Machine: mem=256 icount=shift=0,sleep=off
 */
#include "../../attack.h"

#include <pv/event.h>
#include <pv/time.h>

#define TABLES 128 /* below each of three directories */
#define PERIOD NS_PER_MS
#define LONGEST (PERIOD + NS_PER_MS / 2)
#define LONGEST_UNDOING (10 * NS_PER_MS)

static volatile uint32_t served;
static volatile uint64_t latest, longest;

static void serve(void)
{
    uint64_t now = time_now();

    if (now - latest > longest)
        longest = now - latest;
    latest = now;
    served++;
    timer_set(now + PERIOD, serve);
}

static void *full_table(uint32_t data_mfn)
{
    pte_t *table = page_alloc();

    for (int i = 0; i < 512; i++)
        table[i] = pte_make(data_mfn, PAGE_KERNEL);
    if (make_readonly(table) != 0)
        panic("a page of one's own cannot be mapped read-only");
    return table;
}

/* A root like the running one in slot 3's place must have a top directory of its own. */
static pte_t *build(void)
{
    uint32_t data_mfn = linear_to_mfn(page_alloc());
    pte_t *root = page_alloc(), *top = page_alloc();

    memcpy(top, directory_of(VIRT_BASE), PAGE_SIZE);
    make_readonly(top);
    for (int slot = 0; slot < 3; slot++) {
        pte_t *directory = page_alloc();

        for (int i = 0; i < TABLES; i++)
            directory[i * 4] = pte_make(linear_to_mfn(full_table(data_mfn)), TABLE_FLAGS);
        make_readonly(directory);
        root[slot] = pte_make(linear_to_mfn(directory), PTE_P);
    }
    root[3] = pte_make(linear_to_mfn(top), PTE_P);
    make_readonly(root);
    return root;
}

static void timed(pte_t *root, unsigned int cmd, bool allowed, const char *what)
{
    uint64_t start = time_now(), took;
    uint32_t before = served;
    int rc;

    latest = start;
    longest = 0;
    timer_set(start + PERIOD, serve);
    rc = pin(root, cmd);
    took = time_now() - start;
    timer_set(UINT64_MAX / 2, NULL);
    tap_is(rc == 0, allowed, "%s", what);
    tap_diag("%llu us, served %u times, the longest wait %llu us", took / 1000,
             (unsigned int)(served - before), longest / 1000);
    if (took < 4 * PERIOD)
        tap_skip("it was over at once", "events are served meanwhile");
    else
        tap_ok(served - before >= took / (4 * PERIOD), "events are served meanwhile");
    tap_ok(longest < (allowed ? LONGEST : LONGEST_UNDOING), "and none waits long");
}

int main(void)
{
    pte_t *root = build();

    for (int round = 1; round <= 3; round++) {
        timed(root, MMUEXT_PIN_L3_TABLE, true, "a large root is pinned");
        tap_ok(make_writable(root) != 0, "and is a table");
        timed(root, MMUEXT_UNPIN_TABLE, true, "it is unpinned");
        tap_is(make_writable(root), 0, "and is a page");
        tap_is(make_readonly(root), 0, "ready for another round");
    }
    /* All is good until the last entry of all; then all has to be undone. */
    make_writable(root);
    root[3] = pte_make(0x400, PTE_P);
    make_readonly(root);
    timed(root, MMUEXT_PIN_L3_TABLE, false, "a large root with one bad entry is refused");
    tap_is(make_writable(root), 0, "and is a page");
    tap_audit();
    tap_done();
}
