/* SPDX-License-Identifier: MIT */
/*
 * l1_table.c: whole L1 tables, and the general way to write an L1 entry.
 *
 * Read next: l1.h (the usual entry), l2_table.c, entries.c.
 */
#include <ringlet/hypercall.h>
#include <ringlet/l1.h>

/*
 * Check the 512 entries of a table of d's and take their references. 0; or the error of the
 * first bad one, with none taken.
 */
int get_l1_table(pte_t *table, struct domain *d)
{
    int rc;

    for (pte_t *group = table; group < table + L1_ENTRIES; group += 16) {
        if (none_of_16(group))
            continue;
        for (pte_t *p = group; p < group + 16; p++) {
            uint32_t low = halves(p)[0];

            if (!(low & LOW_P) || (likely(!halves(p)[1]) && likely(get_l1_fast(low, d))))
                continue;
            rc = get_l1_entry(*p, d, d);
            if (rc) {
                put_l1_table(table, p - table, d);
                return rc;
            }
        }
    }
    return 0;
}

/* Drop the references of the first n entries of a table of d's. */
void put_l1_table(pte_t *table, unsigned n, struct domain *d)
{
    pte_t *end = table + n;

    tlb_stamp(d);
    for (pte_t *group = table; group < end; group += 16) {
        if (none_of_16(group))
            continue;
        for (pte_t *p = group, *last = MIN(group + 15, end - 1); p <= last; p++) {
            uint32_t low = halves(p)[0];

            if ((low & LOW_P) && (unlikely(halves(p)[1]) || unlikely(!put_l1_fast(low, d))))
                put_l1_entry(*p, d);
        }
    }
}

/*
 * Replace a live entry. With preserve_ad the Accessed and Dirty bits, which the processor may be
 * setting right now, are kept.
 */
static void replace_entry(pte_t *p, pte_t e, bool preserve_ad)
{
    pte_t old = *p, seen;

    for (;; old = seen) {
        seen = pte_cmpxchg(p, old, preserve_ad ? e | (old & (PTE_A | PTE_D)) : e);
        if (seen == old)
            return;
    }
}

/*
 * Write `e` into an entry of a validated L1 of pt_owner's, mapping a frame of owner's. pt_owner's
 * mm_lock is held. 0, or get_l1_entry()'s error with nothing changed.
 */
int mod_l1_entry(pte_t *pl1, pte_t e, struct domain *pt_owner, struct domain *owner,
                 bool preserve_ad)
{
    pte_t old = *pl1;
    int rc;

    if (owner == pt_owner && mod_l1_fast(pl1, e, e >> 32, pt_owner, preserve_ad))
        return 0;
    rc = get_l1_entry(e, pt_owner, owner);
    if (rc)
        return rc;
    replace_entry(pl1, e, preserve_ad && (e & PTE_P));
    put_l1_entry(old, pt_owner);
    return 0;
}

/*
 * The same for d's own tables and frames, as LOCK CMPXCHG8B would: only if `old` still stands there.
 * -EAGAIN: the processor has set Accessed or Dirty in it meanwhile.
 */
int mod_l1_entry_if(pte_t *pl1, pte_t old, pte_t e, struct domain *d)
{
    int rc = get_l1_entry(e, d, d);

    if (rc)
        return rc;
    if (pte_cmpxchg(pl1, old, e) != old) {
        put_l1_entry(e, d);
        return -EAGAIN;
    }
    put_l1_entry(old, d);
    return 0;
}
