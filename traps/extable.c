/* SPDX-License-Identifier: MIT */
/*
 * extable.c: ring-0 instructions that are allowed to fault, and where to go on when they do.
 *
 * Each such instruction puts a pair (its address, its fixup's address) into the section .extable. A
 * fault of the hypervisor at any other address is a bug of the hypervisor. The pairs are sorted
 * once at boot.
 */
#include <ringlet/lib.h>
#include <ringlet/traps.h>

struct extable_entry {
    uint32_t insn, fixup;
};

extern struct extable_entry extable_start[], extable_end[];

/*
 * The table is a few dozen entries: insertion sort. Boot only; the section is writable until W^X is
 * set up.
 */
void extable_sort(void)
{
    for (struct extable_entry *e = extable_start + 1; e < extable_end; e++) {
        struct extable_entry x = *e, *p = e;

        for (; p > extable_start && p[-1].insn > x.insn; p--)
            *p = p[-1];
        *p = x;
    }
}

/* The fixup for a fault at eip, or 0. */
uint32_t search_exception_table(uint32_t eip)
{
    const struct extable_entry *low = extable_start, *high = extable_end;

    while (low < high) {
        const struct extable_entry *mid = low + (high - low) / 2;

        if (mid->insn == eip)
            return mid->fixup;
        if (mid->insn < eip)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}
