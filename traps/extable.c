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

/*
 * walk 16: Faults that are expected
 *
 * Claim: The hypervisor touches what guests control: their memory, their selectors, model-specific
 * registers. Each instruction that may fault there has a pair in a table, its own address and that
 * of its fixup. The fault handler looks eip up; what is in the table goes on at its fixup, which
 * makes an error of it. A fault at any other address of the hypervisor is a bug and ends in
 * panic().
 * Without it: Either every pointer of a guest's would have to be walked through its page tables
 * first, and another of its vcpus could change them behind the check, or an unmapped argument would
 * end the machine.
 * Shown by: tests/guests/rings/failsafe/main.c::test_data_segment,
 * tests/guests/rings/emulate/main.c::test_msrs,
 * tests/system/test_console.py::test_fault_in_the_hypervisor
 */
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
