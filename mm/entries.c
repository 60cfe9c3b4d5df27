/* SPDX-License-Identifier: MIT */
/*
 * entries.c: what one entry of an L2 or L3 may say, and the references it holds while it stands.
 *
 *   L2 entry   a general and a FT_L1 reference to the page table, in a top L2 perhaps in common with
 *              others (struct common_l1); naming another L2 (linear map, read-only): a general one
 *              and one of its L2 type; naming its own table: none
 *   L3 entry   a general and a FT_L2 reference to the page directory, in slot 3 FT_L2 | FT_TOP
 *
 * An entry is checked and its references taken before it is written; the old entry's references go
 * after. L1 entries are l1.c's.
 *
 * Read next: types.c, baseptr.c.
 */
#include <ringlet/arch.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

/*
 * Replace a live entry, keeping the Accessed and Dirty bits the processor may be setting right now
 * if asked.
 */
static inline void write_entry(pte_t *p, pte_t old, pte_t e, bool preserve_ad)
{
    if (!preserve_ad) {
        pte_write(p, e);
        return;
    }
    for (;;) {
        pte_t seen = pte_cmpxchg(p, old, e | (old & (PTE_A | PTE_D)));

        if (seen == old)
            return;
        old = seen;
    }
}

/*
 * `f`, an L2 whose owner's mm_lock is held, is about to be named by a linear map: F9. The CPUs that
 * run on it go over to copies first, for its entries for the hypervisor are what they stand on. One
 * that is being validated is run on by none, and will find the flag.
 */
static void make_bare(struct frame *f)
{
    pte_t *table;

    if ((f->type_info & (FT_TOP | FT_BARE)) != FT_TOP)
        return;
    __atomic_fetch_or(&f->type_info, FT_BARE, __ATOMIC_SEQ_CST);
    if (!(f->type_info & FT_VALIDATED))
        return;
    reload_l3_users(frame_owner(f), INVALID_MFN);
    table = map_frame(frame_mfn(f));
    hypervisor_l2_clear(table);
    unmap_written(table);
}

/*
 * walk 29: A table as its own table
 *
 * Claim: Kernels like to see their page tables as an array: a directory entry that names a
 * directory, so that the processor takes an L2 for an L1. It is safe only read-only, and only one
 * level deep: an L2 that names another is named by none, or undoing one table would recurse along a
 * chain as long as the guest likes (XSA-240). And since ring 1 is supervisor, the hypervisor's own
 * entries in that L2 would be readable pages; so they are taken out, and processors walk copies.
 * Without it: A chain of directories overflows the hypervisor's stack when its end is let go; a
 * view of the hypervisor's directory shows the guest its page tables.
 * Shown by: tests/host/test_types.c::test_linear_maps, tests/host/test_types.c::test_linear_top,
 * tests/guests/paging/recursive/main.c::test_window, tests/guests/xsa/xsa-240/main.c::link
 */
/*
 * A linear map: `table` (an L2) names another L2 as if it were an L1, so that the guest can read
 * its page tables through linear addresses. Safe only read-only, only one level deep (F8), and if
 * the hypervisor's entries are not in it (F9).
 */
static int get_linear_l2(pte_t e, struct frame *table, struct frame *f)
{
    uint32_t x;

    if (e & PTE_RW)
        return -EINVAL;
    if (f == table) {
        make_bare(f);
        return 0;
    }
    if ((table->type_info & FT_LINKED) || !get_frame(f, frame_owner(table)))
        return -EINVAL;
    x = f->type_info;
    do {
        if ((x & FT_TYPE) != FT_L2 || !(x & FT_VALIDATED) || (x & FT_LINKER) ||
            (x & FT_COUNT) == FT_COUNT) {
            put_frame(f);
            return -EINVAL;
        }
    } while (!__atomic_compare_exchange_n(&f->type_info, &x, (x + 1) | FT_LINKED, false,
                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    __atomic_fetch_or(&table->type_info, FT_LINKER, __ATOMIC_SEQ_CST);
    make_bare(f);
    return 0;
}

/* What the slot of the L2 `table` may have in common with other top L2s. NULL: it is none. */
static struct common_l1 *common_l1_of(const struct frame *table, unsigned slot)
{
    return table->type_info & FT_TOP ? &frame_owner(table)->common_l1s[slot] : NULL;
}

/* A reference to the L1 f was just taken for an entry in slot `c`: may it be held there? C2. */
static bool can_be_common(const struct common_l1 *c, const struct frame *f)
{
    uint32_t x = f->type_info;

    return !c->users && (x & FT_COUNT) == (x & FT_PINNED ? 2 : 1) && frame_mfn(f) < FRAMES_BELOW_4G;
}

/* Check an entry of the L2 `table` and take its references. Large pages are refused: -EINVAL. */
int get_l2_entry(pte_t e, struct frame *table, unsigned slot)
{
    struct common_l1 *c = common_l1_of(table, slot);
    uint64_t mfn = pte_frame64(e);
    struct frame *f;
    int rc;

    if (!(e & PTE_P))
        return 0;
    if ((e & ~(FREE_BITS | nx_bit | PTE_ADDR)) || !frame_is_memory(mfn))
        return -EINVAL;
    if (c && is_common_l1(e, c)) {
        c->users++;
        return 0;
    }
    f = &frame_table[mfn];
    if (frame_type(f) == FT_L2 && (f->type_info & FT_COUNT))
        return get_linear_l2(e, table, f);
    rc = get_frame_and_type(f, frame_owner(table), FT_L1);
    if (!rc && c && can_be_common(c, f))
        *c = (struct common_l1){.entry = mfn << PAGE_SHIFT | PTE_P, .users = 1};
    return rc;
}

/*
 * 0; with `preemptible`, -ERESTART where it takes long (a linear map's L2 that nothing else holds):
 * the entry keeps its reference.
 */
int put_l2_entry(pte_t e, struct frame *table, unsigned slot, bool preemptible)
{
    struct common_l1 *c = common_l1_of(table, slot);
    struct frame *f;

    if (!(e & PTE_P))
        return 0;
    f = mfn_frame(pte_mfn(e));
    tlb_stamp(frame_owner(table));
    if (c && is_common_l1(e, c)) {
        if (--c->users)
            return 0;
        c->entry = 0;
    }
    if (f == table)
        return 0;
    if (preemptible)
        return put_frame_and_type_preemptible(f);
    put_frame_and_type(f);
    return 0;
}

/* Replace an entry of the validated L2 `table` in all places where it is walked. */
static void write_l2_entry(pte_t *pl2, pte_t old, pte_t e, const struct frame *table,
                           bool preserve_ad)
{
    write_entry(pl2, old, e, preserve_ad);
    if (unlikely(table->type_info & FT_BARE))
        reload_l3_users(frame_owner(table), INVALID_MFN);
}

/*
 * Write an entry of a validated L2. -EPERM for the hypervisor's slots, -EINVAL, or -ERESTART:
 * nothing changed.
 */
int mod_l2_entry(pte_t *pl2, pte_t e, struct frame *table, struct vcpu *v, bool preserve_ad)
{
    unsigned slot = ((uintptr_t)pl2 & (PAGE_SIZE - 1)) / sizeof(pte_t);
    pte_t old = *pl2;
    int rc;

    if ((table->type_info & FT_TOP) && slot >= L2_FIRST_HYPERVISOR_SLOT)
        return -EPERM;
    if ((e & PTE_P) && !((old ^ e) & (PTE_ADDR | PTE_P | PTE_RW))) {
        if (e & ~(FREE_BITS | nx_bit | PTE_ADDR))
            return -EINVAL;
        write_l2_entry(pl2, old, e, table, preserve_ad);
        return 0;
    }
    rc = get_l2_entry(e, table, slot);
    if (rc)
        return rc;
    write_l2_entry(pl2, old, e, table, preserve_ad && (e & PTE_P));
    if (put_l2_entry(old, table, slot, true))
        v->old_table = pte_mfn(old);
    return 0;
}

/* Check entry `slot` of the L3 `table` and take its references. */
int get_l3_entry(pte_t e, struct frame *table, unsigned slot, bool preemptible)
{
    uint64_t mfn = pte_frame64(e);
    uint32_t type = slot == 3 ? FT_L2 | FT_TOP : FT_L2;
    struct frame *f;
    int rc;

    if (!(e & PTE_P))
        return 0;
    if ((e & ~(FREE_BITS | PTE_ADDR)) || !frame_is_memory(mfn))
        return -EINVAL;
    f = &frame_table[mfn];
    if (preemptible)
        rc = get_frame_and_type_preemptible(f, frame_owner(table), type);
    else
        rc = get_frame_and_type(f, frame_owner(table), type);
    if (!rc && slot == 3 && (f->type_info & FT_COUNT) != 1) {
        /*
         * Another L3 has it in its slot 3 already. That holds the type, so this cannot be the last
         * reference.
         */
        put_frame_and_type(f);
        rc = -EINVAL;
    }
    return rc;
}

/* Preemptible: 0, or -ERESTART with the reference still held. */
int put_l3_entry(pte_t e, bool preemptible)
{
    if (!(e & PTE_P))
        return 0;
    if (preemptible)
        return put_frame_and_type_preemptible(mfn_frame(pte_mfn(e)));
    put_frame_and_type(mfn_frame(pte_mfn(e)));
    return 0;
}

/*
 * Write an entry of a validated L3, on behalf of `v`. Slot 3 is fixed while the L3 is in use, slots
 * beyond do not exist: -EINVAL. The old directory may take long to undo: it is left in
 * v->old_table, which the caller finishes.
 */
int mod_l3_entry(pte_t *pl3, pte_t e, struct frame *table, struct vcpu *v)
{
    unsigned slot = ((uintptr_t)pl3 & (PAGE_SIZE - 1)) / sizeof(pte_t);
    pte_t old = *pl3;
    int rc;

    ASSERT(v->old_table == INVALID_MFN);
    if (slot >= 3)
        return -EINVAL;
    if ((e & PTE_P) && !((old ^ e) & (PTE_ADDR | PTE_P))) {
        if (e & ~(FREE_BITS | PTE_ADDR))
            return -EINVAL;
        pte_write(pl3, e);
        return 0;
    }
    rc = undo_later(v, pte_mfn(e), get_l3_entry(e, table, slot, true));
    if (rc)
        return rc;
    pte_write(pl3, e);
    reload_l3_users(frame_owner(table), frame_mfn(table));
    tlb_stamp(frame_owner(table));
    if (put_l3_entry(old, true))
        v->old_table = pte_mfn(old);
    return 0;
}
