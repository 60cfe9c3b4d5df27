/* SPDX-License-Identifier: MIT */
/*
 * l1_table.c: whole L1 tables, and the general way to write one entry.
 *
 * Read next: l1.h (the usual entry), entries.c.
 */
#include <ringlet/hypercall.h>
#include <ringlet/l1.h>

/*
 * The first entry from p on that may be present, or the end. Tables are mostly empty, so four
 * entries are looked at together.
 */
static inline pte_t *skip_empty(pte_t *p, const pte_t *end)
{
    while (p + 4 <= end && !((halves(p)[0] | halves(p)[2] | halves(p)[4] | halves(p)[6]) & LOW_P))
        p += 4;
    return p;
}

/*
 * Check the 512 entries of a table of d's and take their references. 0; or the error of the
 * first bad one, with none taken.
 */
int get_l1_table(pte_t *table, struct domain *d)
{
    pte_t *end = table + L1_ENTRIES;
    int rc;

    for (pte_t *p = skip_empty(table, end); p < end; p++) {
        uint32_t low = halves(p)[0];

        if (!(low & LOW_P)) {
            p = skip_empty(p + 1, end) - 1;
            continue;
        }
        if (likely(!halves(p)[1]) && likely(get_l1_fast(low, d)))
            continue;
        rc = get_l1_entry(*p, d, d);
        if (rc) {
            put_l1_table(table, p - table, d);
            return rc;
        }
    }
    return 0;
}

/* Drop the references of the first n entries of a table of d's. */
void put_l1_table(pte_t *table, unsigned n, struct domain *d)
{
    pte_t *end = table + n;

    tlb_stamp(d);
    for (pte_t *p = skip_empty(table, end); p < end; p++) {
        uint32_t low = halves(p)[0];

        if (!(low & LOW_P)) {
            p = skip_empty(p + 1, end) - 1;
            continue;
        }
        if (unlikely(halves(p)[1]) || unlikely(!put_l1_fast(low, d)))
            put_l1_entry(*p, d);
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

    if (owner == pt_owner && !preserve_ad && mod_l1_fast(pl1, e, e >> 32, pt_owner, false))
        return 0;
    rc = get_l1_entry(e, pt_owner, owner);
    if (rc)
        return rc;
    replace_entry(pl1, e, preserve_ad && (e & PTE_P));
    put_l1_entry(old, pt_owner);
    return 0;
}
