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
