/* SPDX-License-Identifier: MIT */
/*
 * walk.c: from a linear address to the L1 entry that maps it.
 *
 * The tables are read where they lie, through map_frame(), and not through a linear map of
 * themselves: such a map is itself cached in the TLB and may show a table that the guest has just
 * replaced (XSA-286).
 */
#include <ringlet/mm.h>

/* Validated entries name frames below 2^22, so these halves hold all of the frame number. */
static inline mfn_t table_mfn(const uint32_t e[2])
{
    return e[0] >> PAGE_SHIFT | e[1] << (32 - PAGE_SHIFT);
}

/*
 * The entry for `va` in the tables the running vcpu v uses, or NULL where there is none or va is
 * the hypervisor's. The L1's frame goes to *l1_mfn. The caller holds the domain's mm_lock and calls
 * unmap_frame() on the result.
 */
pte_t *map_guest_l1(const struct vcpu *v, uint32_t va, mfn_t *l1_mfn)
{
    const uint32_t *l3e = (const uint32_t *)&this_cpu->l3[l3_index(va)];
    uint32_t l2e[2];
    pte_t *l2;

    ASSERT(v == current);
    if (va >= HYPERVISOR_START || !(l3e[0] & PTE_P))
        return NULL;
    l2 = map_frame(table_mfn(l3e));
    memcpy(l2e, &l2[l2_index(va)], sizeof(l2e));
    unmap_frame(l2);
    if ((l2e[0] & (uint32_t)(PTE_P | PTE_PSE)) != PTE_P)
        return NULL;
    *l1_mfn = table_mfn(l2e);
    return (pte_t *)map_frame(*l1_mfn) + l1_index(va);
}

/* A copy of that entry; 0 where there is none. */
pte_t guest_l1_entry(const struct vcpu *v, uint32_t va)
{
    mfn_t mfn;
    pte_t e = 0, *p = map_guest_l1(v, va, &mfn);

    if (p) {
        e = *p;
        unmap_frame(p);
    }
    return e;
}
