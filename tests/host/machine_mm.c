/* SPDX-License-Identifier: MIT */
/*
 * machine_mm.c: page tables and ends of domains, for host tests that link mm/types.c and
 * mm/entries.c. See machine.h.
 */
#include <string.h>

#include "machine.h"
#include <ringlet/hypercall.h>

mfn_t machine_l1(struct domain *d)
{
    mfn_t mfn = alloc_domain_frames(d, 0, 0);

    BUG_ON(mfn == INVALID_MFN || get_frame_and_type(mfn_frame(mfn), d, FT_L1));
    return mfn;
}

mfn_t machine_address_space(struct domain *d, mfn_t *l1)
{
    mfn_t l2 = alloc_domain_frames(d, 0, 0);
    pte_t *table;

    *l1 = alloc_domain_frames(d, 0, 0);
    BUG_ON(l2 == INVALID_MFN || *l1 == INVALID_MFN);
    table = map_frame(l2);
    table[0] = make_pte(*l1, PTE_P | PTE_RW | PTE_US);
    unmap_frame(table);
    BUG_ON(get_frame_and_type(mfn_frame(l2), d, FT_L2));
    memset(this_cpu->l3, 0, sizeof(this_cpu->l3));
    this_cpu->l3[0] = make_pte(l2, PTE_P);
    return l2;
}

void machine_drop_table(mfn_t table)
{
    put_frame_and_type(mfn_frame(table));
}

pte_t machine_pte(mfn_t table, unsigned index)
{
    const pte_t *p = map_frame(table);
    pte_t e = p[index];

    unmap_frame(p);
    return e;
}

void machine_kill(struct domain *d)
{
    mfn_t mfn, next;

    d->state = DOMAIN_DYING;
    grant_table_close(d);
    while (grant_table_release_mappings(d))
        ;
    for (mfn = d->page_list; mfn; mfn = next) {
        struct frame *f = mfn_frame(mfn);

        next = f->next;
        if (__atomic_fetch_and(&f->count_info, ~FC_ALLOCATED, __ATOMIC_SEQ_CST) & FC_ALLOCATED)
            put_frame(f);
    }
    put_domain(d);
}
