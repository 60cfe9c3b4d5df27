/* SPDX-License-Identifier: MIT */
/*
 * types.c: the machine that moves frames between types. See frame.h for the invariants F1 to F10.
 *
 * A reference is taken with compare-and-swap on the frame's own words, so two CPUs or two domains
 * may race for a frame without a lock; one wins. Types that need checking (page tables) are checked
 * by the one who takes the first type reference, under the mm_lock of the domain that owns the
 * table.
 *
 * Long work gives way: validating or undoing an L2 or L3 returns -ERESTART between entries when
 * preempt_needed() says so. An interrupted validation waits in the frame (FT_PARTIAL) for whoever
 * asks for the type again; an interrupted undoing is owned by the caller, who keeps it in its
 * vcpu's old_table, where whoever asks for the type finds it. So is that of a table found bad after
 * many good entries: -EAGAIN says so.
 *
 * Read next: entries.c (what one entry of each level needs).
 */
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/sched.h>

static bool is_page_table(uint32_t type)
{
    return (type & FT_TYPE) >= FT_L1 && (type & FT_TYPE) <= FT_L3;
}

/* --- General references ----------------------------------------------------------------------- */

/*
 * walk 25: A reference, and only to one's own
 *
 * Claim: Direct paging means that a guest writes real machine addresses into page tables that the
 * processor walks. Safety rests on two counts in each frame's record (frame.h): how many references
 * keep it from being freed, and what it is used as. Whatever uses a frame begins here: the count
 * goes up only if it is not zero (the frame is not free) and the frame is owned by the domain that
 * is meant. The owner is compared again once the reference is held, for only then can it no longer
 * change.
 * Without it: Between the check and the reference the frame could be freed and given to another
 * domain, and the guest would hold a mapping of memory that is not its own.
 * Shown by: tests/host/test_types.c::test_references,
 * tests/system/test_hostile.py::test_hostile_pair
 */
/*
 * Take a reference if d owns the frame. False: free, another's, or the count is full. The owner is
 * looked at again once the reference is held, for only then can it no longer change.
 */
bool get_frame(struct frame *f, const struct domain *d)
{
    uint32_t x = f->count_info;

    do {
        if (unlikely(!(x & FC_COUNT) || (x & FC_COUNT) == FC_COUNT || f->owner != d->slot))
            return false;
    } while (!__atomic_compare_exchange_n(&f->count_info, &x, x + 1, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    if (likely(f->owner == d->slot))
        return true;
    put_frame(f);
    return false;
}

/* Drop a reference; the last one frees the frame. */
void put_frame(struct frame *f)
{
    uint32_t x = __atomic_sub_fetch(&f->count_info, 1, __ATOMIC_SEQ_CST);

    ASSERT((x & FC_COUNT) != FC_COUNT);
    if (unlikely(!(x & FC_COUNT)))
        frame_release(f);
}

/* --- Tables: validate and undo all entries ---------------------------------------------------- */

static unsigned table_entries(uint32_t type)
{
    if ((type & FT_TYPE) == FT_L3)
        return L3_ENTRIES;
    return (type & FT_TOP) ? L2_FIRST_HYPERVISOR_SLOT : L2_ENTRIES;
}

/*
 * Drop the references of entry i. An L2 that it names can take long: -ERESTART then, with the
 * entry's reference kept.
 */
static int undo_entry(struct frame *f, uint32_t type, const pte_t *table, unsigned i,
                      bool preemptible)
{
    if ((type & FT_TYPE) == FT_L3)
        return put_l3_entry(table[i], preemptible);
    return put_l2_entry(table[i], f, i, preemptible);
}

/*
 * After so many entries that took or gave back more than counts, see whether others wait: each may
 * have been a whole table.
 */
#define PREEMPT_EVERY 8

/* nr_done shares a word with the page list's links, which other CPUs change. */
static void set_nr_done(struct frame *f, unsigned n)
{
    struct domain *d = frame_owner(f);

    if (f->nr_done == n)
        return;
    spin_lock(&d->page_lock);
    f->nr_done = n;
    spin_unlock(&d->page_lock);
}

/*
 * Undo entries i - 1 down to 0 of an L2 or L3, which was whole if `type` has FT_VALIDATED. -ERESTART:
 * stopped, f->nr_done tells where.
 */
static int undo_table(struct frame *f, uint32_t type, unsigned i, bool preemptible)
{
    pte_t *table = map_frame(frame_mfn(f));
    struct domain *d = frame_owner(f);
    unsigned undone = 0;
    int rc = 0;

    tlb_stamp(d);
    while (!rc) {
        if (type & FT_TOP)
            i = put_usual_top_entries(table, i, f);
        else if ((type & FT_TYPE) == FT_L2)
            i = put_usual_l2_entries(table, i);
        if (!i || (rc = undo_entry(f, type, table, i - 1, preemptible)))
            break;
        i--;
        if (preemptible && ++undone % PREEMPT_EVERY == 0 && preempt_needed())
            rc = -ERESTART;
    }
    if (rc)
        set_nr_done(f, i);
    unmap_frame(table);
    return rc;
}

static int get_entry(struct frame *f, uint32_t type, pte_t e, unsigned i, bool preemptible)
{
    if ((type & FT_TYPE) == FT_L3)
        return get_l3_entry(e, f, i, preemptible);
    return get_l2_entry(e, f, i);
}

/*
 * An L3 is good only as a whole: slot 3 present, its L2 named by no other L3 (its hypervisor
 * entries belong to one address space in this ABI), and below 4 GiB unless the guest can name it in
 * CR3 (VMASST_TYPE_pae_extended_cr3).
 */
static int check_l3(struct frame *f, const pte_t *table)
{
    if (frame_mfn(f) >= 0x100000 && !frame_owner(f)->l3_above_4g)
        return -EINVAL;
    if (!(table[3] & PTE_P))
        return -EINVAL;
    return 0;
}

/* An L1 is short enough to be checked, or undone, in one go. */
static int validate_l1(struct frame *f)
{
    pte_t *table = map_frame(frame_mfn(f));
    int rc = get_l1_table(table, frame_owner(f));

    unmap_frame(table);
    return rc;
}

static void undo_l1(struct frame *f)
{
    pte_t *table = map_frame(frame_mfn(f));

    put_l1_table(table, frame_owner(f));
    unmap_frame(table);
}

/*
 * An entry is bad: drop what the ones below it hold. `rc`, or -EAGAIN when that is not finished.
 * The bad entry itself may be an L2 whose undoing is unfinished, which is then this table's to
 * finish.
 */
static int undo_bad_table(struct frame *f, uint32_t type, int rc, bool preemptible)
{
    if (rc == -EAGAIN)
        set_nr_done(f, f->nr_done + 1);
    else if (!undo_table(f, type, f->nr_done, preemptible))
        return rc;
    ASSERT(preemptible);
    return -EAGAIN;
}

/*
 * Check entries of an L2 or L3 from i up and take their references. 0: all good. -ERESTART:
 * interrupted, f->nr_done tells where. Another error: an entry is bad; all references are dropped
 * again, or, with -EAGAIN, those from nr_done on.
 */
static int validate_table(struct frame *f, uint32_t type, unsigned i, bool preemptible)
{
    pte_t *table = map_frame(frame_mfn(f));
    struct domain *d = frame_owner(f);
    unsigned n = table_entries(type), taken = 0;
    int rc = 0;

    if ((type & FT_TYPE) == FT_L3)
        rc = check_l3(f, table);
    while (!rc) {
        if (type & FT_TOP)
            i = get_usual_top_entries(table, i, f);
        else if ((type & FT_TYPE) == FT_L2)
            i = get_usual_l2_entries(table, i, d);
        if (i >= n || (rc = get_entry(f, type, table[i], i, preemptible)))
            break;
        i++;
        if (preemptible && ++taken % PREEMPT_EVERY == 0 && preempt_needed())
            rc = -ERESTART;
    }
    if (rc)
        set_nr_done(f, i);
    if (!rc && (type & FT_TOP))
        (f->type_info & FT_BARE ? hypervisor_l2_clear : hypervisor_l2_fill)(table);
    unmap_frame(table);
    return rc && rc != -ERESTART ? undo_bad_table(f, type, rc, preemptible) : rc;
}

/* --- Type references -------------------------------------------------------------------------- */

/*
 * walk 26: A type changes at count zero
 *
 * Claim: A frame is a page table of some level, a descriptor table, or writable memory, and never
 * two of these. While the type count is above zero the type stands; when it is zero the first
 * reference may choose a new one, by compare-and-exchange, so that one of several processors wins.
 * Before the new life begins, translations of the old one are flushed from every TLB that may hold
 * them. Flushing before the exchange would not do: the frame could be retyped and back in between
 * (ABA; XSA-401).
 * Without it: A page that is a page table and mapped writable at the same time ends everything: the
 * guest writes an entry that nobody has checked, and maps the hypervisor.
 * Shown by: tests/host/test_types.c::test_one_type, tests/host/test_tlb.c::test_a_removed_mapping
 */
/*
 * The frame's type count is zero: make it `type` with a count of one. A frame that was something
 * else may still be reachable by translations of its old life, so stale ones are flushed before the
 * new one begins: that is, before it is FT_VALIDATED, for until then nobody else can have it. (Not
 * before the exchange either: it could live its old life once more in between, and look the same:
 * XSA-401.)
 */
static int first_type_reference(struct frame *f, uint32_t x, uint32_t type)
{
    struct domain *owner = frame_owner(f);

    if (!__atomic_compare_exchange_n(&f->type_info, &x, type | 1, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return -ERESTART;
    if ((x & FT_TYPE) != (type & FT_TYPE) && owner)
        tlb_flush_if_stale(owner);
    return 0;
}

/* An L2's or L3's entries below `done` hold their references already. */
static int validate_frame(struct frame *f, uint32_t type, unsigned done, bool preemptible)
{
    int rc;

    if (type == FT_SEG)
        rc = validate_descriptor_page(f);
    else if (type == FT_L1)
        rc = validate_l1(f);
    else
        rc = validate_table(f, type, done, preemptible);

    if (!rc) {
        __atomic_fetch_or(&f->type_info, FT_VALIDATED, __ATOMIC_SEQ_CST);
    } else if (rc == -ERESTART) {
        __atomic_fetch_or(&f->type_info, FT_PARTIAL, __ATOMIC_SEQ_CST);
    } else if (rc != -EAGAIN) {
        /* Back to no type: nothing refers to this frame as one. */
        __atomic_store_n(&f->type_info, FT_NONE, __ATOMIC_SEQ_CST);
    }
    mark_frame_dirty(f); /* descriptors are adjusted, and tables are saved as such */
    return rc;
}

static int get_type_common(struct frame *f, uint32_t type, bool preemptible)
{
    uint32_t x;

    for (;;) {
        x = f->type_info;
        if (!(x & FT_COUNT)) {
            if (type == FT_WRITABLE && (x & FT_TYPE) == FT_WRITABLE) {
                if (__atomic_compare_exchange_n(&f->type_info, &x, x + 1, false, __ATOMIC_SEQ_CST,
                                                __ATOMIC_SEQ_CST))
                    return 0;
                continue;
            }
            if (first_type_reference(f, x, type))
                continue;
            if (type == FT_WRITABLE) {
                __atomic_fetch_or(&f->type_info, FT_VALIDATED, __ATOMIC_SEQ_CST);
                return 0;
            }
            return validate_frame(f, type, 0, preemptible);
        }
        if ((x & FT_TYPE_AND_TOP) != type || (x & FT_COUNT) == FT_COUNT)
            return -EINVAL;
        if (x & FT_VALIDATED) {
            if (__atomic_compare_exchange_n(&f->type_info, &x, x + 1, false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST))
                return 0;
        } else if (x & FT_PARTIAL) {
            /* Take over the interrupted validation, its type reference and its general one. */
            if (!__atomic_compare_exchange_n(&f->type_info, &x, x & ~FT_PARTIAL, false,
                                             __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                continue;
            put_frame(f);
            return validate_frame(f, type, f->nr_done, preemptible);
        } else if (type == FT_WRITABLE) {
            cpu_relax(); /* another CPU waits for the flush, and takes no lock meanwhile */
        } else {
            /* A descriptor page that is just validated, or a table that a vcpu left half undone. */
            if (is_page_table(type))
                finish_old_tables_of(frame_owner(f));
            return -ERESTART;
        }
    }
}

/*
 * Take a type reference to a frame on which the caller holds a general one. 0; -EINVAL: in use as
 * something else, or not good as that; -ERESTART: try again later. The preemptible form may return
 * -ERESTART with work half done, and then the frame keeps the caller's general reference (F6). Its
 * -EAGAIN means that the table is bad and its undoing unfinished: the caller owns both references,
 * as after put_type_preemptible()'s -ERESTART (see undo_later(), mm.h).
 */
int get_type(struct frame *f, uint32_t type)
{
    return get_type_common(f, type, false);
}

int get_type_preemptible(struct frame *f, uint32_t type)
{
    return get_type_common(f, type, true);
}

static int put_type_common(struct frame *f, bool preemptible)
{
    uint32_t x, nx;
    int rc = 0;

    do {
        x = f->type_info;
        nx = x - 1;
        ASSERT(x & FT_COUNT);
        /*
         * The last reference to a page table: undo it first, and let nobody else have it meanwhile.
         */
        if (!(nx & FT_COUNT) && is_page_table(x))
            nx = x & ~FT_VALIDATED;
        /* A page of descriptors is checked again by its next user. */
        else if (!(nx & FT_COUNT) && (x & FT_TYPE) == FT_SEG)
            nx &= ~FT_VALIDATED;
    } while (!__atomic_compare_exchange_n(&f->type_info, &x, nx, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));

    if ((nx & FT_COUNT) && !((x & FT_COUNT) == 1 && is_page_table(x)))
        return 0;
    if (!is_page_table(x))
        return 0;
    ASSERT(!(x & (FT_PINNED | FT_PARTIAL)));
    if ((x & FT_TYPE) == FT_L1)
        undo_l1(f);
    else
        rc = undo_table(f, x, x & FT_VALIDATED ? table_entries(x) : f->nr_done, preemptible);
    if (!rc) {
        tlb_stamp(frame_owner(f));
        __atomic_store_n(&f->type_info, x & FT_TYPE, __ATOMIC_SEQ_CST);
    }
    /* Whoever saves the domain saves it as no table from now on, or while it is half undone. */
    mark_frame_dirty(f);
    return rc;
}

/* Drop a type reference; the last one of a table drops what its entries hold. */
void put_type(struct frame *f)
{
    int rc = put_type_common(f, false);

    ASSERT(!rc);
}

/*
 * The same, but -ERESTART when it takes long: the caller still owns the reference and calls again.
 */
int put_type_preemptible(struct frame *f)
{
    return put_type_common(f, true);
}

int get_frame_and_type(struct frame *f, struct domain *d, uint32_t type)
{
    int rc;

    if (!get_frame(f, d))
        return -EINVAL;
    rc = get_type(f, type);
    if (rc)
        put_frame(f);
    return rc;
}

/*
 * General and type reference at once, preemptibly. -ERESTART comes in two kinds, and the caller
 * need not tell them apart: when the validation was interrupted here the frame keeps the references
 * (F6); when another vcpu works on it there are none.
 */
int get_frame_and_type_preemptible(struct frame *f, struct domain *d, uint32_t type)
{
    int rc;

    if (!get_frame(f, d))
        return -EINVAL;
    rc = get_type_preemptible(f, type);
    if (rc && rc != -EAGAIN && !(rc == -ERESTART && (f->type_info & FT_PARTIAL)))
        put_frame(f);
    return rc;
}

void put_frame_and_type(struct frame *f)
{
    put_type(f);
    put_frame(f);
}

int put_frame_and_type_preemptible(struct frame *f)
{
    int rc = put_type_preemptible(f);

    if (!rc)
        put_frame(f);
    return rc;
}
