/* SPDX-License-Identifier: MIT */
/*
 * l1_table.c: entries of an L1, the ones guests write all day.
 *
 * A fork writes tens of entries, and checking a table reads 512, so what happens for each is the cost of direct
 * paging. The usual entry maps a frame of the domain's own, below 4 GiB, with plain flags: its lower half tells all. For it the
 * checks of get_l1_entry() are done here on 32-bit halves, each of them, in the order that costs least; every
 * other entry goes there.
 *
 * Read next: entries.c.
 */
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

/* Bits of an entry's lower half that no domain, or not every domain, may set: leave them to get_l1_entry(). */
#define NOT_PLAIN ((uint32_t)(PTE_PWT | PTE_PCD | PTE_PAT | PTE_G))

/* The halves of an entry, as the processor's 32-bit registers hold them. */
static inline uint32_t *halves(pte_t *p)
{
    return (uint32_t *)p;
}

/* The frame that an entry with these flags names, if it is memory of d's below 4 GiB, else NULL. */
static inline struct frame *plain_frame(uint32_t low, uint32_t high, const struct domain *d)
{
    uint32_t mfn = low >> PAGE_SHIFT;
    struct frame *f = &frame_table[mfn];

    if (unlikely(high || mfn >= max_frame || f->owner != d->slot))
        return NULL;
    return f;
}

/* Take the references of a present entry. */
static inline int get_entry(uint32_t low, uint32_t high, struct domain *pt_owner,
                            struct domain *owner)
{
    struct frame *f = plain_frame(low, high, owner);

    if (likely(f && !(low & NOT_PLAIN)) &&
        ((low & PTE_RW) ? get_writable_fast(f, owner) : get_frame_fast(f, owner)))
        return 0;
    return get_l1_entry((pte_t)high << 32 | low, pt_owner, owner);
}

/* Drop the references of a present entry that stood in a table of d's. The caller stamps d itself (tlb_stale). */
static inline void put_entry(uint32_t low, uint32_t high, struct domain *d)
{
    struct frame *f = plain_frame(low, high, d);

    if (likely(f) && ((low & PTE_RW) ? put_writable_fast(f) : put_frame_fast(f)))
        return;
    put_l1_entry((pte_t)high << 32 | low, d);
}

/*
 * Check the 512 entries of a table of d's and take their references. 0; or -EINVAL with none taken.
 */
int get_l1_table(pte_t *table, struct domain *d)
{
    for (pte_t *p = table; p < table + L1_ENTRIES; p++) {
        uint32_t low = halves(p)[0];
        int rc;

        /* Tables are mostly empty: look at four entries at once. */
        while (!(low & PTE_P) && !((uintptr_t)p & 31) && p + 4 < table + L1_ENTRIES &&
               !((halves(p)[2] | halves(p)[4] | halves(p)[6]) & PTE_P)) {
            p += 4;
            low = halves(p)[0];
        }
        if (!(low & PTE_P))
            continue;
        rc = get_entry(low, halves(p)[1], d, d);
        if (unlikely(rc)) {
            put_l1_table(table, p - table, d);
            return rc;
        }
    }
    return 0;
}

/* Drop the references of the first n entries of a table of d's. */
void put_l1_table(pte_t *table, unsigned n, struct domain *d)
{
    d->tlb_stale = tlb_clock;
    for (pte_t *p = table; p < table + n; p++) {
        uint32_t low = halves(p)[0];

        while (!(low & PTE_P) && !((uintptr_t)p & 31) && p + 4 < table + n &&
               !((halves(p)[2] | halves(p)[4] | halves(p)[6]) & PTE_P)) {
            p += 4;
            low = halves(p)[0];
        }
        if (low & PTE_P)
            put_entry(low, halves(p)[1], d);
    }
}

/* Replace a live entry and keep the Accessed and Dirty bits the processor may be setting right now. */
static noinline void write_preserving_ad(pte_t *p, pte_t e)
{
    pte_t old = *p;

    for (;;) {
        pte_t seen = pte_cmpxchg(p, old, e | (old & (PTE_A | PTE_D)));

        if (seen == old)
            return;
        old = seen;
    }
}

/*
 * Replace a live entry. Where the upper half stays the same one 32-bit store will do, which the processor reads whole or not
 * at all.
 */
static inline void write_entry(pte_t *p, uint32_t low, uint32_t high, bool preserve_ad)
{
    if (unlikely(preserve_ad))
        write_preserving_ad(p, (pte_t)high << 32 | low);
    else if (likely(halves(p)[1] == high))
        __atomic_store_n(halves(p), low, __ATOMIC_RELEASE);
    else
        pte_write(p, (pte_t)high << 32 | low);
}

/*
 * Write `e` into an entry of a validated L1 of pt_owner's, mapping a frame of owner's. pt_owner's mm_lock is held. 0, or -EINVAL
 * with nothing changed.
 */
int mod_l1_entry(pte_t *pl1, pte_t e, struct domain *pt_owner, struct domain *owner,
                 bool preserve_ad)
{
    uint32_t low = e, high = e >> 32, old_low = halves(pl1)[0], old_high = halves(pl1)[1];
    int rc;

    if (!(low & PTE_P)) {
        write_entry(pl1, low, high, false);
    } else if (!((old_low ^ low) & ~(uint32_t)(FREE_L1_BITS & ~(PTE_P | PTE_RW))) &&
               old_high == high) {
        /* The same frame, just as writable, with other free bits: the references stay as they are. */
        write_entry(pl1, low, high, preserve_ad);
        pt_owner->tlb_stale = tlb_clock;
        return 0;
    } else {
        rc = get_entry(low, high, pt_owner, owner);
        if (unlikely(rc))
            return rc;
        write_entry(pl1, low, high, preserve_ad);
    }
    if (old_low & PTE_P) {
        pt_owner->tlb_stale = tlb_clock;
        put_entry(old_low, old_high, pt_owner);
    }
    return 0;
}
