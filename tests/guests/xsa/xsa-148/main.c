/* SPDX-License-Identifier: MIT */
/*
 * XSA-148: a large page by way of the fast path of an L2 update.
 *
 * An L2 entry with the PSE bit maps 2 MiB at once, whatever they hold. Xen refused such entries
 * when it checked them, but when an update left frame and presence as they were it skipped the
 * checks, and PSE (and RW) went through: a guest could turn the entry for one of its page tables
 * into a writable window over 2 MiB of machine memory, and had the machine.
 *
 * This guest sets PSE on a live L2 entry by mmu_update in both forms, alone and with others; in an
 * empty slot; on an entry prepared while not present; and inside a directory it then pins. Each
 * must be refused, and the entry must be as it was.
 *
 * Run: qemu
 */
#include "../../attack.h"

#define SLOT ((QUIET_VA - VIRT_BASE) >> 21)

static pte_t *directory;

static void refused(pte_t val, uint32_t form, const char *what)
{
    pte_t before = directory[SLOT];

    tap_ok(write_entry(entry_of(directory, SLOT) | form, val) != 0, "%s is refused%s", what,
           form ? ", preserving A and D" : "");
    tap_ok(directory[SLOT] == before, "and the entry is as it was");
}

static void try_live(pte_t entry)
{
    for (uint32_t form = 0; form <= MMU_PT_UPDATE_PRESERVE_AD; form += MMU_PT_UPDATE_PRESERVE_AD) {
        refused(entry | PTE_PS, form, "PSE on a live entry");
        refused((entry & ~PTE_RW) | PTE_PS, form, "PSE, with RW taken away");
        refused((entry ^ PTE_A ^ PTE_D) | PTE_PS, form, "PSE, with A and D turned");
    }
}

int main(void)
{
    uint32_t page_mfn = linear_to_mfn(page_alloc()), base = page_mfn & ~511u;
    pte_t *pinned, live;

    pte_machine_address((void *)QUIET_VA); /* makes an L1 for it */
    directory = directory_of(QUIET_VA);
    live = directory[SLOT];
    try_live(live);
    tap_is(write_entry(entry_of(directory, SLOT), 0), 0, "the entry is taken away");
    refused(pte_make(base, TABLE_FLAGS | PTE_PS), 0, "PSE in an empty slot");
    refused(pte_make(base, TABLE_FLAGS_RO | PTE_PS), 0, "PSE read-only in an empty slot");
    refused(pte_make(pte_mfn(live), TABLE_FLAGS | PTE_PS), 0, "PSE over a page table's frame");
    tap_is(write_entry(entry_of(directory, SLOT), pte_make(base, PTE_PS | PTE_RW)), 0,
           "PSE without presence means nothing");
    refused(pte_make(base, TABLE_FLAGS | PTE_PS), 0, "presence for it");
    tap_is(write_entry(entry_of(directory, SLOT), live), 0, "the page table comes back");

    pinned = new_directory(7, pte_make(base, TABLE_FLAGS | PTE_PS));
    tap_ok(pin(pinned, MMUEXT_PIN_L2_TABLE) != 0, "a directory with a large page is not pinned");
    tap_is(make_writable(pinned), 0, "and is an ordinary page after that");
    tap_audit();
    tap_done();
}
