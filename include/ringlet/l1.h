/* SPDX-License-Identifier: MIT */
/*
 * l1.h: the usual entry of an L1, in a few instructions.
 *
 * A fork writes tens of L1 entries, and checking a table reads 512, so what happens for each is the
 * cost of direct paging. The usual entry maps a frame of the domain's own, below 4 GiB, with plain
 * flags: its lower half tells all. For it the checks of get_l1_entry() are done here on 32-bit
 * halves, each of them, in the order that costs least; every other entry goes the long way.
 *
 * Read next: mm/l1_table.c, mm/entries.c (the long way).
 */
#ifndef RINGLET_L1_H
#define RINGLET_L1_H

#include <ringlet/mm.h>

/* Lower halves of flags: on 64-bit constants the compiler would work with pairs of registers. */
#define LOW_P 0x001u
#define LOW_RW 0x002u
/* Flags that no domain, or not every domain, may set: PWT, PCD, PAT, G. */
#define LOW_NOT_PLAIN 0x198u
#define LOW_FRAME 0xFFFFF000u

_Static_assert(LOW_P == PTE_P && LOW_RW == PTE_RW, "page.h");
_Static_assert(LOW_NOT_PLAIN == (PTE_PWT | PTE_PCD | PTE_PAT | PTE_G), "page.h");

/* The halves of an entry, as the processor's 32-bit registers hold them. */
static inline uint32_t *halves(pte_t *p)
{
    return (uint32_t *)p;
}

/* The frame that a lower half names, if it is memory of d's, else NULL. The upper half is zero. */
static inline struct frame *own_frame(uint32_t low, const struct domain *d)
{
    uint32_t mfn = low >> PAGE_SHIFT;
    struct frame *f = &frame_table[mfn];

    return likely(mfn < max_frame && owner_slot(f) == d->slot) ? f : NULL;
}

/* Take the references of a present entry whose upper half is zero. False: go the long way. */
static inline bool get_l1_fast(uint32_t low, const struct domain *d)
{
    struct frame *f = own_frame(low, d);

    if (unlikely(!f || (low & LOW_NOT_PLAIN)))
        return false;
    return (low & LOW_RW) ? get_writable_fast(f, d) : get_frame_fast(f, d);
}

/* Drop them. The caller has stamped d (tlb_stale). False: go the long way. */
static inline bool put_l1_fast(uint32_t low, const struct domain *d)
{
    struct frame *f = own_frame(low, d);

    if (unlikely(!f))
        return false;
    return (low & LOW_RW) ? put_writable_fast(f) : put_frame_fast(f);
}

/*
 * The same for an entry of an L2 of d's, mm_lock held, that names an L1 of d's: one that is in use
 * as such already, or stays so. A kernel's part of every new directory is made of these.
 */
static inline bool get_l2_fast(uint32_t low, const struct domain *d)
{
    uint32_t mfn = low >> PAGE_SHIFT;

    return likely(!(low & LOW_NOT_PLAIN)) && likely(mfn < max_frame) &&
           get_table_fast(&frame_table[mfn], d, FT_L1);
}

/* What a validated entry names is a frame of its owner's; a linear map's is no L1. */
static inline bool put_l2_fast(uint32_t low)
{
    return put_table_fast(&frame_table[low >> PAGE_SHIFT], FT_L1);
}

/*
 * Is none of the n entries from p on present? n is a constant. Tables are mostly empty, and are
 * searched for what is in them at an instruction and a bit an entry.
 */
static inline __attribute__((always_inline)) bool none_of(unsigned n, const pte_t *p)
{
    const uint32_t *w = (const uint32_t *)p;
    uint32_t any = 0;

#pragma GCC unroll 32
    for (unsigned i = 0; i < n; i++)
        any |= w[2 * i];
    return !(any & LOW_P);
}

/* Accessed and Dirty, which the processor may be setting at this moment. */
#define LOW_AD 0x060u
_Static_assert(LOW_AD == (PTE_A | PTE_D), "page.h");

/*
 * Replace a lower half, `old` when last seen; with preserve_ad, keep its Accessed and Dirty bits. By
 * a locked instruction in any case: the stamp that follows must not be older (tlb.c, T1).
 */
static inline __attribute__((always_inline)) void replace_low(uint32_t *p, uint32_t old,
                                                              uint32_t low, bool preserve_ad)
{
    if (!preserve_ad) {
        __atomic_exchange_n(p, low, __ATOMIC_SEQ_CST);
        return;
    }
    while (!__atomic_compare_exchange_n(p, &old, low | (old & LOW_AD), false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
        ;
}

/*
 * An entry goes on mapping the same frame, but writable from now on, or no more: the general
 * reference stays, the type's is taken before or dropped after. False: go the long way.
 */
static inline __attribute__((always_inline)) bool change_rw(uint32_t *p, uint32_t old, uint32_t low,
                                                            struct domain *d, bool preserve_ad)
{
    struct frame *f = own_frame(low, d);

    if (unlikely(!f) || ((low & LOW_RW) && unlikely(!get_writable_type_fast(f))))
        return false;
    replace_low(p, old, low, preserve_ad);
    if (!(low & LOW_RW)) {
        tlb_stamp(d);
        put_writable_type(f);
    }
    return true;
}

/*
 * Write an entry of `table`, a validated L1 of d's, whose mm_lock is held, to map another of d's own
 * frames or none. False: this is not the usual case, and nothing has changed.
 *
 * The upper halves of the old and the new entry are zero, so one 32-bit store replaces the entry; the
 * processor reads it whole or not at all. Nothing is mapped here, and no flush waited for, before it is
 * written: a glance of the table will do.
 */
static inline __attribute__((always_inline)) bool mod_l1_fast(pte_t *pl1, const struct frame *table,
                                                              uint32_t low, uint32_t high,
                                                              struct domain *d, bool preserve_ad)
{
    uint32_t *p = halves(pl1), old = p[0];

    if (unlikely(high | p[1]))
        return false;
    if (low & LOW_P) {
        if (unlikely(low & LOW_NOT_PLAIN))
            return false;
        if (!(old & LOW_P)) {
            if (unlikely(!is_used(table, pl1)) || unlikely(!get_l1_fast(low, d)))
                return false;
            replace_low(p, old, low, preserve_ad);
            return true;
        }
        if (!((old ^ low) & LOW_FRAME)) {
            if ((old ^ low) & LOW_RW)
                return change_rw(p, old, low, d, preserve_ad);
            replace_low(p, old, low, preserve_ad);
            return true;
        }
        if (unlikely(!get_l1_fast(low, d)))
            return false;
    }
    replace_low(p, old, low, preserve_ad && (low & LOW_P));
    if (old & LOW_P) {
        tlb_stamp(d);
        if (unlikely(!put_l1_fast(old, d)))
            put_l1_entry(old, d);
    }
    return true;
}

#endif
