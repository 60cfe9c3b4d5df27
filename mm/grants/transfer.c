/* SPDX-License-Identifier: MIT */
/*
 * transfer.c: GNTTABOP_transfer: a domain gives a frame away for good, to one that said it
 * would take it.
 *
 * Rules (public grant_table.h):
 *  1. The frame must be the caller's and unused: its only reference the allocation. GNTST_bad_page
 *     otherwise, and nothing has changed. After any other error the frame is gone all the same:
 *     cleared and free.
 *  2. The receiver's entry must accept a transfer from the caller, and not have had one. It is
 *     committed first, with the frame still in hand; then the frame changes hands; then its number
 *     is written and the entry says completed. The receiver may spin between the two.
 *  3. The receiver's limit holds: GNTST_general_error, and the entry is as before.
 *  4. The entry's frame field said at which pfn the receiver will have it: the M2P is set so.
 *
 * The frame is not cleared: giving contents is the purpose.
 *
 * Read next: mm/ownership.c (steal_frame).
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

#define MAX_TRIES 5

/* Rule 2: the entry of `to` accepts a frame from `from`; commit it. The receiver's lock is held. */
static bool commit(struct grant_table *gt, grant_ref_t ref, domid_t from)
{
    uint32_t *word, x;

    if (gt->closed || ref >= gt->nr_entries)
        return false;
    word = (uint32_t *)grant_entry_header(gt, ref); /* flags, domid */
    x = __atomic_load_n(word, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < MAX_TRIES; i++) {
        if ((uint16_t)x != GTF_accept_transfer || x >> 16 != from)
            return false;
        if (__atomic_compare_exchange_n(word, &x, x | GTF_transfer_committed, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return true;
    }
    return false;
}

/* The frame field of the entry, as a pfn; in version 2 it has 64 bits, of which a pfn needs 32. */
static uint32_t *frame_field(const struct grant_table *gt, grant_ref_t ref)
{
    uint16_t *header = grant_entry_header(gt, ref);

    if (gt->version == 1)
        return &((struct grant_entry_v1 *)header)->frame;
    return (uint32_t *)&((union grant_entry_v2 *)header)->full_page.frame;
}

static void complete(struct grant_table *gt, grant_ref_t ref, mfn_t mfn)
{
    uint32_t *field = frame_field(gt, ref);

    if (gt->version == 2)
        field[1] = 0;
    __atomic_store_n(field, mfn, __ATOMIC_RELEASE);
    __atomic_fetch_or(grant_entry_header(gt, ref), GTF_transfer_completed, __ATOMIC_SEQ_CST);
}

/* Give the frame, which is in hand, to the receiver. False: it is still in hand. */
static bool hand_over(struct domain *to, grant_ref_t ref, mfn_t mfn)
{
    struct grant_table *gt = &to->grant;
    uint32_t pfn;
    bool done;

    spin_lock(&gt->lock);
    done = commit(gt, ref, current->domain->id);
    if (done) {
        m2p[mfn] = pfn = __atomic_load_n(frame_field(gt, ref), __ATOMIC_RELAXED);
        done = assign_frames(to, mfn, 0) == 0;
        if (done) {
            mark_pfn_dirty(to, pfn);
            complete(gt, ref, mfn);
        } else {
            __atomic_fetch_and(grant_entry_header(gt, ref), (uint16_t)~GTF_transfer_committed,
                               __ATOMIC_SEQ_CST);
        }
    }
    spin_unlock(&gt->lock);
    return done;
}

static int16_t transfer_one(const struct gnttab_transfer *op)
{
    struct domain *to;
    int16_t rc = GNTST_okay;

    if (op->mfn >= max_frame || !steal_frame(current->domain, mfn_frame(op->mfn)))
        return GNTST_bad_page;
    to = find_domain(op->domid);
    if (!to)
        rc = GNTST_bad_domain;
    else if (!hand_over(to, op->ref, op->mfn))
        rc = GNTST_general_error;
    if (rc)
        free_frames(op->mfn, 0);
    if (to)
        put_domain(to);
    return rc;
}

static long grant_transfer(void *guest_ops, uint32_t count)
{
    struct gnttab_transfer *ops = guest_ops;
    struct gnttab_transfer op;

    for (uint32_t i = 0; i < count; i++) {
        if (copy_from_guest(&op, &ops[i], sizeof(op)))
            return -EFAULT;
        op.status = transfer_one(&op);
        if (copy_to_guest(&ops[i].status, &op.status, sizeof(op.status)))
            return -EFAULT;
        if (i + 1 < count && preempt_needed())
            return i + 1;
    }
    return count;
}
GNTTABOP_LIST(transfer, grant_transfer);
