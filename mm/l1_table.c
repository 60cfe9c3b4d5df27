/* SPDX-License-Identifier: MIT */
/*
 * l1_table.c: whole L1 tables, and the general way to write an L1 entry.
 *
 * Read next: l1.h (the usual entry), l2_table.c, entries.c.
 */
#include <ringlet/hypercall.h>
#include <ringlet/l1.h>

/* Drop the references of the entries from p up to `end` of a table of d's, which is stamped. */
static void put_l1_entries(pte_t *p, const pte_t *end, struct domain *d)
{
    for (; p < end; p++) {
        uint32_t low = halves(p)[0];

        if ((low & LOW_P) && (unlikely(halves(p)[1]) || unlikely(!put_l1_fast(low, d))))
            put_l1_entry(*p, d);
    }
}

/* Drop those of a whole table, whose F11 says `used`. */
void put_l1_table(pte_t *table, uint32_t used, struct domain *d)
{
    tlb_stamp(d);
    for (; used; used &= used - 1) {
        pte_t *group = table + __builtin_ctz(used) * USED_ENTRIES;

        for (pte_t *p = group; p < group + USED_ENTRIES; p += 16) {
            if (!none_of(16, p))
                put_l1_entries(p, p + 16, d);
        }
    }
}

/*
 * Check the entries from p up to `end`, a multiple of 8, of a table of d's and take their
 * references. The first bad one, its error in *rc, or `end`.
 */
static noinline pte_t *get_l1_entries(pte_t *p, pte_t *end, struct domain *d, int *rc)
{
    for (; p < end; p += 8) {
        if (none_of(8, p))
            continue;
        for (pte_t *q = p; q < p + 8; q++) {
            uint32_t low = halves(q)[0];

            if (!(low & LOW_P) || (likely(!halves(q)[1]) && likely(get_l1_fast(low, d))))
                continue;
            *rc = get_l1_entry(*q, d, d);
            if (*rc)
                return q;
        }
    }
    return p;
}

/*
 * Check the 512 entries of a table of d's and take their references. 0, with F11's word in *used; or
 * the error of the first bad one, with none taken.
 */
int get_l1_table(pte_t *table, uint32_t *used, struct domain *d)
{
    int rc = 0;

    *used = 0;
    for (pte_t *run = table; run < table + L1_ENTRIES; run += 32) {
        pte_t *stop;

        if (none_of(32, run))
            continue;
        stop = get_l1_entries(run, run + 32, d, &rc);
        if (rc) {
            tlb_stamp(d);
            put_l1_entries(table, stop, d);
            return rc;
        }
        *used |= 1u << (run - table) / USED_ENTRIES;
    }
    return 0;
}

/* `entry` of f, a validated L1 or L2, is going to be `e`: F11. Its owner's mm_lock is held. */
void note_used(struct frame *f, const pte_t *entry, pte_t e)
{
    struct domain *d = frame_owner(f);

    if (!(e & PTE_P) || is_used(f, entry))
        return;
    spin_lock(&d->page_lock);
    f->used |= 1u << used_group(entry);
    spin_unlock(&d->page_lock);
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
 * An entry goes on mapping the same frame of d's, but writable from now on, and the frame was
 * something else before: a page table that was let go. False: it is another case, or may not be.
 */
bool make_writable(uint32_t *p, uint32_t low, uint32_t high, struct domain *d)
{
    uint32_t old = p[0];
    struct frame *f;

    if (((old ^ low) & (LOW_FRAME | LOW_P | LOW_RW)) != LOW_RW ||
        (low & (LOW_P | LOW_RW | LOW_NOT_PLAIN)) != (LOW_P | LOW_RW) || (high | p[1]))
        return false;
    f = own_frame(low, d);
    if (!f || get_type(f, FT_WRITABLE))
        return false;
    replace_low(p, old, low, false);
    return true;
}

/*
 * Write `e` into an entry of a validated L1 of pt_owner's, mapping a frame of owner's. pt_owner's
 * mm_lock is held. 0, or get_l1_entry()'s error with nothing changed.
 */
int mod_l1_entry(pte_t *pl1, pte_t e, struct domain *pt_owner, struct domain *owner,
                 bool preserve_ad)
{
    struct frame *table;
    pte_t old = *pl1;
    int rc;

    if (keeps_l1_references(old, e, pt_owner)) {
        replace_entry(pl1, e, preserve_ad);
        return 0;
    }
    if (owner == pt_owner && !preserve_ad && make_writable(halves(pl1), e, e >> 32, owner))
        return 0;
    table = mfn_frame(mapped_mfn(pl1));
    note_used(table, pl1, e);
    if (owner == pt_owner && mod_l1_fast(pl1, table, e, e >> 32, pt_owner, preserve_ad))
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
 * -EAGAIN: the processor has set Accessed or Dirty in it meanwhile. An instruction that leaves the
 * entry as it is, as a comparison that fails does, is never refused, whatever the entry maps.
 */
int mod_l1_entry_if(pte_t *pl1, pte_t old, pte_t e, struct domain *d)
{
    bool keeps = old == e || keeps_l1_references(old, e, d);
    int rc = keeps ? 0 : get_l1_entry(e, d, d);

    if (rc)
        return rc;
    note_used(mfn_frame(mapped_mfn(pl1)), pl1, e);
    if (pte_cmpxchg(pl1, old, e) != old) {
        if (!keeps)
            put_l1_entry(e, d);
        return -EAGAIN;
    }
    if (!keeps)
        put_l1_entry(old, d);
    return 0;
}
