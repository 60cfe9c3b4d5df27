/* SPDX-License-Identifier: MIT */
/*
 * l1.c: L1 entries: what one may say, what it holds, and the one way to write it.
 *
 * Every write to an entry of a validated L1 is made here, for mmu_update, update_va_mapping, the
 * emulated write of a page table (ptwr.c) and grants; pinning takes the references of a whole table.
 * The order is the same for all, and stands in write_entry():
 *
 *   1. the new value has been read from the guest once, by the caller
 *   2. all of it is checked, and the references that it needs are taken
 *   3. the entry is replaced, by a locked instruction
 *   4. the references of the entry that stood there are dropped, behind a stamp for the TLBs
 *
 * A refusal leaves everything as it was. If the old references were dropped first, the old frame could
 * become a page table or another domain's memory while the entry still maps it. If the new ones were
 * taken last, the new frame could.
 *
 *  E1  A present entry of a validated L1 holds references by what it says: one general, and, where it
 *      is writable, one FT_WRITABLE. So a page table, which is never FT_WRITABLE (frame.h), is never
 *      mapped writable. Frames that are no memory have no counts, and entries for granted frames hold
 *      what the grant gave them (grant.h, G3).
 *  E2  An entry that keeps its frame, RW and its memory type keeps its references, and nothing is
 *      asked about the frame: its owner may be another domain that let it be mapped. These flags are
 *      few and listed one by one. Xen once took too many for harmless (XSA-182).
 *      One that keeps a frame of its own domain's and changes RW keeps the general reference: the
 *      FT_WRITABLE one is taken before, or dropped after.
 *  E3  The entry is replaced by a locked instruction before tlb_stamp(), or a CPU could walk the old
 *      entry after the stamp, and keep the translation (tlb.c, T1; XSA-401 was such a race).
 *  E4  Accessed and Dirty are the processor's to set at any moment. So what is dropped is what stood
 *      there when it was replaced, and a new value that was computed from the old is written only if
 *      that has not changed.
 *
 * The owner of the table holds its mm_lock throughout.
 *
 * Read next: entries.c (L2s and L3s), types.c (who checks whole tables).
 */
#include <ringlet/arch.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/tables.h>

/* --- Frames that are no memory ----------------------------------------------------------------- */

#define CACHE_BITS (PTE_PWT | PTE_PCD | PTE_PAT)
#define MAX_OWN_DEVICES 16

/* Bits a guest may set: the memory type is for domains that may use devices. */
static inline uint64_t allowed_bits(const struct domain *d)
{
    return FREE_BITS | nx_bit | PTE_ADDR | (d->iomem.n ? CACHE_BITS : 0);
}

/*
 * Frames of device registers that are the hypervisor's own: a guest that can write to an interrupt
 * controller can take over the machine. Written at boot only.
 */
static mfn_t own_devices[MAX_OWN_DEVICES];
static unsigned nr_own_devices;

void keep_device(mfn_t mfn)
{
    ASSERT(nr_own_devices < MAX_OWN_DEVICES);
    own_devices[nr_own_devices++] = mfn;
}

static bool is_own_device(uint64_t mfn)
{
    for (unsigned i = 0; i < nr_own_devices; i++)
        if (own_devices[i] == mfn)
            return true;
    return false;
}

/* --- Entries as the processor's registers hold them -------------------------------------------- */

struct entry {
    uint32_t low, high;
};

static inline struct entry halves(pte_t e)
{
    return (struct entry){(uint32_t)e, e >> 32};
}

static inline pte_t whole(struct entry e)
{
    return (pte_t)e.high << 32 | e.low;
}

/* --- The usual frame --------------------------------------------------------------------------- */

/*
 * Nearly every entry maps ordinary memory of its domain's own, below 4 GiB, and its frame is mapped
 * already, or was last: then its counts are small numbers beside two flags, and both change in one
 * compare-and-swap. Whatever else is the case, these answer false, and the general functions of
 * types.c decide. (A frame that is no memory has counts of zero.)
 */
#define PLAIN_COUNT (FC_ALLOCATED | 1)
#define PLAIN_TYPE (FT_WRITABLE | FT_VALIDATED)

/* The frame that an entry names, if it is d's and below 4 GiB, else NULL. */
static inline struct frame *usual_frame(struct entry e, const struct domain *d)
{
    uint32_t mfn = e.low >> PAGE_SHIFT;
    struct frame *f = &frame_table[mfn];

    return likely(!e.high) && likely(mfn < max_frame) && likely(owner_slot(f) == d->slot) ? f
                                                                                          : NULL;
}

/*
 * A reference was just taken to a frame that was d's when the counts were read. Only now can its
 * owner no longer change: was it given up meanwhile, and its counts came to be the same in other
 * hands? False: yes, and what was taken is given back.
 */
static inline bool still_owned(struct frame *f, const struct domain *d, bool writable)
{
    if (likely(owner_slot(f) == d->slot))
        return true;
    if (writable)
        put_type(f);
    put_frame(f);
    return false;
}

static inline bool get_usual(struct frame *f, const struct domain *d, bool writable)
{
    uint32_t count = f->count_info, type = f->type_info;

    if (unlikely(count - PLAIN_COUNT >= FC_COUNT - 1))
        return false;
    if (!writable)
        return __sync_bool_compare_and_swap(&f->count_info, count, count + 1) &&
               still_owned(f, d, false);
    if (unlikely(type - PLAIN_TYPE >= FT_COUNT))
        return false;
    return exchange_halves(&f->refs, count, type, count + 1, type + 1) && still_owned(f, d, true);
}

static inline bool put_usual(struct frame *f, bool writable)
{
    uint32_t count = f->count_info, type = f->type_info;

    if (unlikely(count - PLAIN_COUNT - 1 >= FC_COUNT))
        return false;
    if (!writable)
        return __sync_bool_compare_and_swap(&f->count_info, count, count - 1);
    ASSERT(type & FT_COUNT);
    return exchange_halves(&f->refs, count, type, count - 1, type - 1);
}

/* --- References -------------------------------------------------------------------------------- */

/*
 * walk 27: What an L1 entry may say
 *
 * Claim: A present entry may have the flags the ABI leaves to the guest and no others: not the
 * global bit, and cache attributes only for a domain that drives devices. It names memory of the
 * right owner, and takes a general reference, or, if it is writable, a writable type reference as
 * well. That the frame is no page table is then no extra check: a page table has another type, so
 * the reference is refused. Device registers have no counts; a list says which domain may map them.
 * Without it: Without the reference of a read-only entry a frame could be freed while a guest still
 * reads it: the next owner's secrets. Without the type, see the stop before.
 * Shown by: tests/guests/paging/mmu-errors/main.c::test_updates, tests/host/test_types.c::test_one_type,
 * tests/guests/xsa/xsa-316/main.c::test_entries
 */
static noinline int get_any(pte_t e, struct domain *pt_owner, struct domain *owner)
{
    uint64_t mfn = pte_frame64(e);
    struct frame *f;

    if (e & ~allowed_bits(pt_owner))
        return -EINVAL;
    if (!frame_is_memory(mfn))
        return ranges_hold(&pt_owner->iomem, mfn, mfn) && !is_own_device(mfn) ? 0 : -EPERM;
    f = &frame_table[mfn];
    if (!(e & PTE_RW))
        return get_frame(f, owner) ? 0 : -EBUSY;
    return get_frame_and_type(f, owner, FT_WRITABLE) ? -EBUSY : 0;
}

/*
 * Check an entry of a table of pt_owner's, that is to map a frame of owner's, and take its references.
 *  1. -EINVAL: bits it may not have.
 *  2. -EPERM: no memory, and not a device's frame that pt_owner may map.
 *  3. -EBUSY: not owner's, or to be written and a table of some kind.
 */
static inline int get_entry(struct entry e, struct domain *pt_owner, struct domain *owner)
{
    struct frame *f;

    if (!(e.low & LOW_P))
        return 0;
    f = usual_frame(e, owner);
    if (likely(f != NULL) && likely(!(e.low & LOW_NOT_PLAIN)) &&
        likely(get_usual(f, owner, e.low & LOW_RW)))
        return 0;
    return get_any(whole(e), pt_owner, owner);
}

static noinline void put_any(pte_t e, struct domain *pt_owner)
{
    uint64_t mfn = pte_frame64(e);
    struct frame *f;

    if (!frame_is_memory(mfn))
        return;
    f = &frame_table[mfn];
    if (f->owner != pt_owner->slot) {
        tlb_stamp_foreign(frame_owner(f), pt_owner);
        if (e & PTE_RW)
            mark_frame_dirty(f);
    }
    if (e & PTE_RW)
        put_frame_and_type(f);
    else
        put_frame(f);
}

/*
 * An entry is gone from a table of pt_owner's, who has been stamped since (E3): drop its references.
 */
static inline void put_entry(struct entry e, struct domain *pt_owner)
{
    struct frame *f;

    if (!(e.low & LOW_P))
        return;
    f = usual_frame(e, pt_owner);
    if (unlikely(!f) || unlikely(!put_usual(f, e.low & LOW_RW)))
        put_any(whole(e), pt_owner);
}

/* E2. Also where nothing changes at all, whatever the domain may have been forbidden since. */
static inline bool keeps_references(struct entry old, struct entry e, const struct domain *pt_owner)
{
    const uint32_t light = PTE_US | PTE_A | PTE_D | PTE_AVAIL;
    uint32_t low = old.low ^ e.low, high = old.high ^ e.high;

    if (low & ~light)
        return false;
    return !(low | high) || ((old.low & LOW_P) && !(high & ~(uint32_t)(nx_bit >> 32)) &&
                             !(whole(e) & ~allowed_bits(pt_owner)));
}

/* --- Writing one entry ------------------------------------------------------------------------- */

enum write_how {
    SET,
    KEEP_AD, /* a present entry keeps Accessed and Dirty as they are */
    IF_SAME, /* only if *old still stands there */
};

/* E4: *old is what stood there in the end. False: nothing is written (IF_SAME). */
static inline bool replace(pte_t *p, struct entry *old, struct entry e, enum write_how how)
{
    uint32_t keep = how == KEEP_AD && (e.low & LOW_P) ? LOW_AD : 0;

    while (unlikely(
        !exchange_halves((uint64_t *)p, old->low, old->high, e.low | (old->low & keep), e.high))) {
        if (how == IF_SAME)
            return false;
        *old = halves(*p);
    }
    return true;
}

/* The frame of pt_owner's that the entry goes on mapping with another RW (E2). NULL: another case. */
static inline struct frame *keeps_frame(struct entry old, struct entry e,
                                        const struct domain *pt_owner)
{
    if (((old.low ^ e.low) & (LOW_FRAME | LOW_P | LOW_RW)) != LOW_RW || !(e.low & LOW_P) ||
        old.high || (e.low & LOW_NOT_PLAIN))
        return NULL;
    return usual_frame(e, pt_owner);
}

/*
 * Take or drop the FT_WRITABLE reference alone. Dropping the last one undoes nothing, unlike a table's,
 * so a subtraction is enough.
 */
static inline bool get_right(struct frame *f)
{
    uint32_t type = f->type_info;

    return (likely(type - PLAIN_TYPE < FT_COUNT) &&
            __sync_bool_compare_and_swap(&f->type_info, type, type + 1)) ||
           !get_type(f, FT_WRITABLE);
}

static inline void put_right(struct frame *f)
{
    ASSERT(frame_type(f) == FT_WRITABLE && (f->type_info & FT_COUNT));
    __atomic_fetch_sub(&f->type_info, 1, __ATOMIC_SEQ_CST);
}

static inline __attribute__((always_inline)) int change_right(pte_t *p, struct entry old,
                                                              struct entry e, struct frame *f,
                                                              struct domain *pt_owner,
                                                              enum write_how how)
{
    bool more = e.low & LOW_RW;

    if (more && !get_right(f))
        return -EBUSY;
    if (unlikely(!replace(p, &old, e, how))) {
        if (more)
            put_right(f);
        return -EAGAIN;
    }
    if (!more) {
        tlb_stamp(pt_owner);
        put_right(f);
    }
    return 0;
}

/*
 * walk 28: Check all, take the new, write, drop the old
 *
 * Claim: Every way to an L1 entry ends in this function. The new value is checked in full and its
 * references are taken while the old entry still stands; then one locked instruction exchanges the
 * two; then the references of the old one go, after the domain was stamped, so that no processor
 * keeps the old translation once the frame becomes something else. An entry that goes on mapping the
 * same frame with the same rights keeps its references: its owner may be another domain, which need
 * not be asked again.
 * Without it: Dropped before the exchange, the old frame could be made a page table while the entry
 * still maps it writable. Stamped before the exchange, a processor could read the old entry after
 * its flush, and write to the frame of the next owner.
 * Shown by: tests/host/test_l1.c::test_changed_meanwhile, tests/host/test_l1.c::test_stamps,
 * tests/guests/xsa/xsa-217/main.c::round
 */
static inline __attribute__((always_inline)) int write_entry(pte_t *p, struct entry old,
                                                             struct entry e,
                                                             struct domain *pt_owner,
                                                             struct domain *owner,
                                                             enum write_how how)
{
    bool keeps = keeps_references(old, e, pt_owner);
    struct frame *f = keeps || owner != pt_owner ? NULL : keeps_frame(old, e, pt_owner);
    int rc;

    if (f != NULL)
        return change_right(p, old, e, f, pt_owner, how);
    rc = keeps ? 0 : get_entry(e, pt_owner, owner);
    if (unlikely(rc))
        return rc;
    if (unlikely(!replace(p, &old, e, how))) {
        rc = -EAGAIN;
        old = e;
    }
    if (!keeps) {
        tlb_stamp(pt_owner);
        put_entry(old, pt_owner);
    }
    return rc;
}

/*
 * Write `e` into an entry of a validated L1 of pt_owner's, mapping a frame of owner's; with
 * preserve_ad, but for Accessed and Dirty. 0, or get_entry()'s error.
 */
int mod_l1_entry(pte_t *pl1, pte_t e, struct domain *pt_owner, struct domain *owner,
                 bool preserve_ad)
{
    return preserve_ad ? write_entry(pl1, halves(*pl1), halves(e), pt_owner, owner, KEEP_AD)
                       : write_entry(pl1, halves(*pl1), halves(e), pt_owner, owner, SET);
}

/*
 * The same for d's own tables and frames, as LOCK CMPXCHG8B would: only if `old` still stands there.
 * -EAGAIN: the processor has set Accessed or Dirty in it meanwhile. An instruction that leaves the
 * entry as it is, as a comparison that fails does, is never refused, whatever the entry maps.
 */
int mod_l1_entry_if(pte_t *pl1, pte_t old, pte_t e, struct domain *d)
{
    return write_entry(pl1, halves(old), halves(e), d, d, IF_SAME);
}

/* Write `e`, whose references are the caller's (a grant's), into an entry of a table of d's. */
void set_l1_entry(pte_t *pl1, pte_t e, struct domain *d)
{
    struct entry old = halves(*pl1);

    replace(pl1, &old, halves(e), SET);
    tlb_stamp(d);
    put_entry(old, d);
}

/* Take the entry away. What it was; its references are the caller's to drop, or to put elsewhere. */
pte_t take_l1_entry(pte_t *pl1)
{
    struct entry old = halves(*pl1);

    replace(pl1, &old, (struct entry){0, 0}, SET);
    return whole(old);
}

/* --- Whole tables ------------------------------------------------------------------------------ */

/* Drop the references of the entries from p up to `end` of a table of d's, who has been stamped. */
static void put_entries(const pte_t *p, const pte_t *end, struct domain *d)
{
    for (; p < end; p++)
        put_entry(halves(*p), d);
}

/* Drop those of a whole table, which is no longer one. Tables are mostly empty. */
void put_l1_table(const pte_t *table, struct domain *d)
{
    tlb_stamp(d);
    for (const pte_t *p = table; p < table + L1_ENTRIES; p += 32)
        if (!none_of(32, p))
            put_entries(p, p + 32, d);
}

/*
 * Check the 512 entries of a table of d's and take their references. 0, or the error of the first bad
 * one, with none taken.
 */
int get_l1_table(const pte_t *table, struct domain *d)
{
    for (const pte_t *p = table; p < table + L1_ENTRIES; p += 8) {
        if (none_of(8, p))
            continue;
        for (const pte_t *q = p; q < p + 8; q++) {
            int rc = get_entry(halves(*q), d, d);

            if (unlikely(rc)) {
                tlb_stamp(d);
                put_entries(table, q, d);
                return rc;
            }
        }
    }
    return 0;
}
