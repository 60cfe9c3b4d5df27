/* SPDX-License-Identifier: MIT */
/*
 * Hostile view: the hypervisor's memory seen through a linear map.
 *
 * The directory in slot 3 of a root holds, in its last slots, the hypervisor's own entries. A
 * linear map makes a directory a page table: entry N, which maps 2 MiB in its place, maps one page
 * in the other. So a directory that names the top one, or the top one naming itself, maps pages of
 * the hypervisor among the guest's addresses, where no segment limit protects them: read-only, but
 * the hypervisor's page tables, heap and the memory of other domains begin there.
 *
 * Whether such a map is allowed or not, nothing of it may show more than the M2P, which guests may
 * read.
 *
 * Run: qemu
 */
#include "../../attack.h"

#define SLOT 300
#define FIRST_SECRET ((LIMIT_END - VIRT_BASE) >> 21)

/* Pages that can be read where entries of the hypervisor would show. */
static uint32_t readable(uint32_t view)
{
    uint32_t count = 0, word;

    for (uint32_t entry = FIRST_SECRET; entry < 512; entry++)
        if (try_read((void *)(view + (entry << PAGE_SHIFT)), &word))
            count++;
    return count;
}

int main(void)
{
    pte_t *root = (pte_t *)start_info->pt_base, *top = directory_of(VIRT_BASE);
    pte_t *directory = new_directory(0, 0), map = pte_make(linear_to_mfn(top), TABLE_FLAGS_RO);
    int rc;

    tap_is(write_entry(entry_of(root, 1), pte_make(linear_to_mfn(directory), PTE_P)), 0,
           "a directory in slot 1 of the root");
    rc = write_entry(entry_of(directory, SLOT), map);
    tap_diag("a map of the top directory in another is %s (%d)", rc ? "refused" : "allowed", rc);
    tap_is(readable(0x40000000 + (SLOT << 21)), 0, "no page of the hypervisor shows in it");
    if (rc == 0)
        tap_is(write_entry(entry_of(directory, SLOT), 0), 0, "it is taken away");

    rc = write_entry(entry_of(top, SLOT), map);
    tap_diag("a map of the top directory in itself is %s (%d)", rc ? "refused" : "allowed", rc);
    tap_is(readable(VIRT_BASE + (SLOT << 21)), 0, "no page of the hypervisor shows in it");
    if (rc == 0)
        tap_is(write_entry(entry_of(top, SLOT), 0), 0, "it is taken away");
    tap_is(write_entry(entry_of(root, 1), 0), 0, "the directory is taken out of the root");
    tap_audit();
    tap_done();
}
