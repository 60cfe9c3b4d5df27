/* SPDX-License-Identifier: MIT */
/*
 * teardown.c: take back the memory of a domain that ends.
 *
 * Its vcpus do not run any more. First everything that holds references from outside its page
 * tables goes: roots, descriptor tables, grants. Then, frame by frame, pins and interrupted
 * validations are undone, after which no frame is a page table any more and so none is mapped by
 * another. Last, the allocation references go: a frame nobody else maps is scrubbed and freed by
 * that; one that another domain still maps follows when that map goes, and the domain's structure
 * with it.
 *
 * Called again and again while it returns -ERESTART; the phase and a cursor tell how far it came.
 */
#include <ringlet/grant.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/sched.h>

enum phase { PHASE_VCPUS, PHASE_GRANTS, PHASE_TYPES, PHASE_FRAMES, PHASE_DONE };

static int release_vcpus(struct domain *d)
{
    struct vcpu *v;
    int rc;

    for_each_vcpu(d, v)
    {
        rc = finish_any_old_table(v);
        if (rc)
            return rc;
        spin_lock(&d->mm_lock);
        rc = drop_guest_cr3(v);
        if (!rc) {
            destroy_gdt(v);
            invalidate_ldt(v);
            v->ldt_entries = 0;
        }
        spin_unlock(&d->mm_lock);
        if (rc)
            return rc;
        vcpu_unmap_info(v);
    }
    return 0;
}

/* Undo the pin, and an interrupted validation, of one frame. */
static int release_type(struct domain *d, struct frame *f)
{
    uint32_t x = f->type_info;
    int rc;

    if (x & FT_PARTIAL) {
        /*
         * As if it had been validated that far and were now let go: the frame's own references are
         * taken over.
         */
        __atomic_fetch_and(&f->type_info, ~FT_PARTIAL, __ATOMIC_SEQ_CST);
        d->teardown_table = frame_mfn(f);
    } else if (x & FT_PINNED) {
        __atomic_fetch_and(&f->type_info, ~FT_PINNED, __ATOMIC_SEQ_CST);
        d->teardown_table = frame_mfn(f);
    }
    if (d->teardown_table == INVALID_MFN)
        return 0;
    rc = put_frame_and_type_preemptible(mfn_frame(d->teardown_table));
    if (!rc)
        d->teardown_table = INVALID_MFN;
    return rc;
}

/*
 * The frame behind f in the domain's list (f NULL: the first), with a reference. NULL: none left.
 */
static struct frame *get_next_frame(struct domain *d, const struct frame *f)
{
    struct frame *next = NULL;
    mfn_t mfn;

    spin_lock(&d->page_lock);
    for (mfn = f ? f->next : d->page_list; mfn && !next; mfn = mfn_frame(mfn)->next) {
        if (get_frame(mfn_frame(mfn), d))
            next = mfn_frame(mfn);
    }
    spin_unlock(&d->page_lock);
    return next;
}

static void advance_cursor(struct domain *d, struct frame *f)
{
    struct frame *next = get_next_frame(d, f);

    d->teardown_cursor = next ? frame_mfn(next) : 0;
    if (f)
        put_frame(f);
}

/*
 * mm_lock is held, here and in release_type(): what a controller on another CPU began before the
 * domain was dying is finished, and it begins nothing more.
 *
 * Any frame may leave the list in this phase: one given back while it was in use has its last
 * reference in a pin or in a table. The one at the cursor cannot, for the cursor holds a reference.
 */
static int release_types(struct domain *d)
{
    unsigned n = 0;
    int rc;

    if (d->teardown_table != INVALID_MFN) {
        rc = put_frame_and_type_preemptible(mfn_frame(d->teardown_table));
        if (rc)
            return rc;
        d->teardown_table = INVALID_MFN;
    }
    while (d->teardown_cursor) {
        struct frame *f = mfn_frame(d->teardown_cursor);

        rc = release_type(d, f);
        if (rc)
            return rc;
        advance_cursor(d, f);
        if (++n % 64 == 0 && preempt_needed())
            return -ERESTART;
    }
    return 0;
}

/*
 * Frames that others still map stay in the list without FC_ALLOCATED and are passed over; they may
 * leave it at any moment, so here too the one at the cursor is referenced.
 */
static int release_frames(struct domain *d)
{
    unsigned n = 0;

    while (d->teardown_cursor) {
        struct frame *f = mfn_frame(d->teardown_cursor);

        if (__atomic_fetch_and(&f->count_info, ~FC_ALLOCATED, __ATOMIC_SEQ_CST) & FC_ALLOCATED)
            put_frame(f);
        advance_cursor(d, f);
        if (++n % 16 == 0 && preempt_needed())
            return -ERESTART;
    }
    return 0;
}

/*
 * walk 44: Taking a dead domain's memory back
 *
 * Claim: The vcpus run no more. First go the references from outside the page tables: roots,
 * descriptor tables, grants; then pins and interrupted validations, after which no frame is a page
 * table and none maps another; last the references for being allocated. Each phase keeps a cursor
 * and gives way, for a domain may have a million frames. What another domain still maps stays, with
 * its owner, until that map goes.
 * Without it: The control domain and all others on its processor would stand still for as long as a
 * large domain takes to end; in another order a table would be freed while its entries still hold
 * references.
 * Shown by: tests/host/test_types.c::test_teardown_in_slices,
 * tests/system/test_hostile.py::test_untidy_deaths
 */
/*
 * 0 when all is done, -ERESTART to be called again. The domain is dying and none of its vcpus runs.
 */
int relinquish_memory(struct domain *d)
{
    int rc = 0;

    switch (d->teardown_phase) {
    case PHASE_VCPUS:
        rc = release_vcpus(d);
        if (rc)
            return rc;
        d->teardown_phase = PHASE_GRANTS;
        /* fall through */
    case PHASE_GRANTS:
        grant_table_close(d);
        rc = grant_table_release_mappings(d);
        if (rc)
            return rc;
        advance_cursor(d, NULL);
        d->teardown_phase = PHASE_TYPES;
        /* fall through */
    case PHASE_TYPES:
        spin_lock(&d->mm_lock);
        rc = release_types(d);
        spin_unlock(&d->mm_lock);
        if (rc)
            return rc;
        advance_cursor(d, NULL);
        d->teardown_phase = PHASE_FRAMES;
        /* fall through */
    case PHASE_FRAMES:
        rc = release_frames(d);
        if (rc)
            return rc;
        d->teardown_phase = PHASE_DONE;
    }
    return 0;
}
