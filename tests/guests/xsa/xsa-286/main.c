/* SPDX-License-Identifier: MIT */
/*
 * XSA-286: a page table found through a stale translation.
 *
 * To update the entry for a linear address, Xen went through its linear map of the tables in use.
 * That map is itself a translation, cached in the TLB: after the guest exchanged a page table it
 * could still show the old one, and update_va_mapping wrote into a frame that was no page table any
 * more, or believed the entry it found there.
 *
 * This guest exchanges the page table of an address, without a flush, and updates the address at
 * once: the entry must go into the new table, not the old one, whose page is by then writable.
 * Then the same with a directory.
 *
 * Run: qemu
 */
#include "../../attack.h"

#define SLOT ((QUIET_VA - VIRT_BASE) >> 21)
#define LOW_VA 0x40000000u /* slot 1 of the root, entry 0 of its directory, entry 0 of the table */

static pte_t *table[2], *directories[2];
static uint32_t data_mfn;

static void make_tables(void)
{
    for (int i = 0; i < 2; i++) {
        table[i] = page_alloc();
        tap_is(make_readonly(table[i]), 0, "page table %d", i);
        directories[i] = new_directory(0, pte_make(linear_to_mfn(table[i]), TABLE_FLAGS));
    }
}

static int update(uint32_t va, uint64_t flags)
{
    return hv_update_va_mapping((void *)va, pte_make(data_mfn, flags), UVMF_NONE);
}

/* The table in the quiet slot changes from table[0] to table[1]; table[0] becomes a page again. */
static void try_tables(void)
{
    uint64_t place = entry_of(directory_of(QUIET_VA), SLOT);
    uint32_t word;

    tap_is(write_entry(place, pte_make(linear_to_mfn(table[0]), TABLE_FLAGS)), 0,
           "table 0 is used");
    tap_is(update(QUIET_VA, PAGE_KERNEL), 0, "an entry in it");
    tap_ok(try_read((void *)QUIET_VA, &word), "the address is mapped");
    tap_is(write_entry(place, pte_make(linear_to_mfn(table[1]), TABLE_FLAGS)), 0,
           "table 1 takes its place, without a flush");
    tap_is(update(QUIET_VA, PAGE_KERNEL_RO), 0, "an entry at the same address");
    tap_ok((table[1][0] & PTE_FRAME) == pte_make(data_mfn, 0), "table 1 has it");
    tap_ok(!(table[1][0] & PTE_RW) && (table[0][0] & PTE_RW), "and table 0 has what it had");
    tap_is(make_writable(table[0]), 0, "table 0 is an ordinary page");
    table[0][1] = pte_make(0x400, PAGE_KERNEL);
    tap_is(update(QUIET_VA + PAGE_SIZE, PAGE_KERNEL), 0, "a second entry");
    tap_ok((table[1][1] & PTE_FRAME) == pte_make(data_mfn, 0), "goes to table 1");
    tap_ok(table[0][1] == pte_make(0x400, PAGE_KERNEL), "and not to the page that was table 0");
    tap_ok(try_read((void *)(QUIET_VA + PAGE_SIZE), &word), "and the second address is mapped");
    tap_is(write_entry(place, 0), 0, "the slot is empty again");
    memset(table[0], 0, PAGE_SIZE);
    tap_is(make_readonly(table[0]), 0, "table 0 is to be a table again");
}

/* The same a level higher: the root changes directories. */
static void try_directories(void)
{
    uint64_t place = entry_of((void *)start_info->pt_base, 1);

    for (int round = 0; round < 4; round++) {
        int now = round & 1;
        pte_t other = table[!now][0];

        tap_is(write_entry(place, pte_make(linear_to_mfn(directories[now]), PTE_P)), 0,
               "directory %d is used", now);
        tap_is(update(LOW_VA, round & 2 ? PAGE_KERNEL_RO : PAGE_KERNEL), 0, "an entry below it");
        tap_ok((table[now][0] & PTE_FRAME) == pte_make(data_mfn, 0) &&
                   !(table[now][0] & PTE_RW) == !!(round & 2),
               "is in its table");
        tap_ok(table[!now][0] == other, "and not in the other");
    }
    tap_is(write_entry(place, 0), 0, "the root lets them go");
}

int main(void)
{
    pte_machine_address((void *)(QUIET_VA + 0x200000));
    data_mfn = linear_to_mfn(page_alloc());
    make_tables();
    try_tables();
    tap_audit();
    try_directories();
    tap_audit();
    tap_done();
}
