/* SPDX-License-Identifier: MIT */
/*
 * walk.c: from a linear address to the L1 entry that maps it.
 *
 * The tables are read where they lie, through map_frame(), and not through a linear map of
 * themselves: such a map is itself cached in the TLB and may show a table that the guest has just
 * replaced (XSA-286).
 */
#include <ringlet/mm.h>

/*
 * walk 32: Walking by hand
 *
 * Claim: To change the entry that maps a linear address the hypervisor walks the guest's tables
 * from the root it recorded for the vcpu, reading each where it lies in memory, under the domain's
 * mm_lock. It does not use a linear map of the tables: that map is a translation too, cached in the
 * TLB, and may still show a table that the guest has just replaced.
 * Without it: update_va_mapping would write into a frame that is no page table any more (XSA-286).
 * Shown by: tests/guests/xsa/xsa-286/main.c::try_tables, tests/guests/xsa/xsa-286/main.c::try_directories,
 * tests/host/test_types.c::test_va_mapping
 */
/*
 * The entry for `va` in the tables the running vcpu v uses, or NULL where there is none or va is
 * the hypervisor's. The L1's frame goes to *l1_mfn. The caller holds the domain's mm_lock and calls
 * unmap_frame() on the result.
 */
pte_t *map_guest_l1(const struct vcpu *v, uint32_t va, mfn_t *l1_mfn)
{
    ASSERT(v == current);
    (void)v;
    return likely(guest_l1(va, l1_mfn)) ? (pte_t *)map_frame(*l1_mfn) + l1_index(va) : NULL;
}

/* A copy of that entry; 0 where there is none. */
pte_t guest_l1_entry(const struct vcpu *v, uint32_t va)
{
    mfn_t mfn;

    ASSERT(v == current);
    (void)v;
    return likely(guest_l1(va, &mfn)) ? ((const pte_t *)glance_frame(mfn))[l1_index(va)] : 0;
}
