/* SPDX-License-Identifier: MIT */
/*
 * layout.c - where a new domain's first pages lie, and the page tables that map them.
 *
 * A PV kernel wakes up with paging on, in an address space its builder made: a run of pages from
 * virt_base upwards, page N of the domain at virt_base + N * 4 KiB. Kernels take the order for
 * granted (kernel, ramdisk, phys-to-machine list, start_info, xenstore's and the console's ring,
 * page tables, stack) and use the memory behind the stack, at least 512 KiB and up to the next
 * 4 MiB, before they can map more.
 *
 * The tables map themselves, so their number depends on where they end. Adding tables can only move
 * the end up, and one level-1 table covers 2 MiB: a few rounds settle it.
 *
 * No hypercalls here: the host's tests compile this file as it is. Next: build.c.
 */
#include <string.h>

#include <ringlet/elfload.h>

#include "build.h"

enum { PAGE = 4096, SPARE = 512 * 1024, LEVEL1_SPAN = 1 << 21, LEVEL2_SHIFT = 30, ENTRIES = 512 };

#define LEVEL2_SPAN (1u << LEVEL2_SHIFT)

/* libxc's bits. Level-3 entries of PAE have no RW, A or D: the processor reserves these bits. */
#define P 0x001u
#define RW 0x002u
#define US 0x004u
#define A 0x020u
#define D 0x040u

static uint64_t round_up(uint64_t n, uint32_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* The tables that [base, end) needs; a present level-3 slot 3 is part of the ABI. */
static void count_tables(struct layout *l, uint64_t end)
{
    uint32_t last = end - 1;

    l->first_slot = l->base >> LEVEL2_SHIFT;
    l->n_level2 = (last >> LEVEL2_SHIFT) - l->first_slot + 1;
    l->extra_level2 = last >> LEVEL2_SHIFT != 3;
    l->n_level1 = last / LEVEL1_SPAN - l->base / LEVEL1_SPAN + 1;
    l->n_tables = 1 + l->n_level2 + l->extra_level2 + l->n_level1;
}

/* The end of the mapping, given the number of tables; 0 when the address space is too small. */
static uint64_t end_with(uint64_t tables, uint32_t n)
{
    uint64_t needed = tables + ((uint64_t)n + 1) * PAGE + SPARE;
    uint64_t end = round_up(needed, 4 << 20);

    if (needed > ELF_HV_START)
        return 0;
    return end < ELF_HV_START ? end : ELF_HV_START;
}

const char *layout_plan(struct layout *l, uint32_t base, uint32_t kernel_end, uint32_t ramdisk_size,
                        uint32_t pages)
{
    memset(l, 0, sizeof *l);
    l->base = base;
    uint64_t ramdisk = round_up(kernel_end, PAGE);
    uint64_t p2m = round_up(ramdisk + ramdisk_size, PAGE);
    uint64_t start_info = round_up(p2m + (uint64_t)pages * 4, PAGE);
    uint64_t tables = start_info + 3 * PAGE, end;
    uint32_t n;

    do {
        n = l->n_tables;
        end = end_with(tables, n);
        if (!end)
            return "does not fit below the hypervisor, 0xf5800000";
        count_tables(l, end);
    } while (l->n_tables != n);
    if (tables + (n + 1ull) * PAGE - base > (uint64_t)pages * PAGE)
        return "does not fit into the domain's memory";
    l->ramdisk = ramdisk;
    l->p2m = p2m;
    l->start_info = start_info;
    l->store = start_info + PAGE;
    l->console = start_info + 2 * PAGE;
    l->tables = tables;
    l->stack = tables + n * PAGE;
    l->mapped_end = end;
    return NULL;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static uint64_t table_entry(const struct layout *l, uint32_t index, const uint32_t *p2m,
                            uint32_t bits)
{
    return (uint64_t)p2m[(l->tables - l->base) / PAGE + index] * PAGE | bits;
}

static void level3(const struct layout *l, const uint32_t *p2m, uint64_t *entries)
{
    for (uint32_t i = 0; i < l->n_level2; i++)
        entries[l->first_slot + i] = table_entry(l, 1 + i, p2m, P);
    if (l->extra_level2)
        entries[3] = table_entry(l, 1 + l->n_level2, p2m, P);
}

/* The level-2 table of the 1 GiB from `start` on. */
static void level2(const struct layout *l, uint32_t start, const uint32_t *p2m, uint64_t *entries)
{
    uint32_t first = l->base / LEVEL1_SPAN, behind = l->n_tables - l->n_level1;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t span = start / LEVEL1_SPAN + i;

        if (span >= first && span - first < l->n_level1)
            entries[i] = table_entry(l, behind + span - first, p2m, P | RW | US | A | D);
    }
}

/*
 * The level-1 table of the 2 MiB from `start` on. A page that is a page table is mapped read-only:
 * a frame has one type at a time, and pinning gives these another than "writable".
 */
static void level1(const struct layout *l, uint32_t start, const uint32_t *p2m, uint32_t pages,
                   uint64_t *entries)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t va = start + i * PAGE;
        uint32_t pfn = (va - l->base) / PAGE;
        bool is_table = va >= l->tables && va < l->stack;

        if (va >= l->base && va < l->mapped_end && pfn < pages)
            entries[i] = (uint64_t)p2m[pfn] * PAGE | (is_table ? P | A : P | RW | A);
    }
}

void layout_table(const struct layout *l, uint32_t index, const uint32_t *p2m, uint32_t pages,
                  uint64_t entries[512])
{
    uint32_t first_level1 = l->n_tables - l->n_level1;

    memset(entries, 0, ENTRIES * sizeof *entries);
    if (index == 0)
        level3(l, p2m, entries);
    else if (index <= l->n_level2)
        level2(l, (l->first_slot + index - 1) * LEVEL2_SPAN, p2m, entries);
    else if (index >= first_level1)
        level1(l, (l->base / LEVEL1_SPAN + index - first_level1) * LEVEL1_SPAN, p2m, pages,
               entries);
}
