/* SPDX-License-Identifier: MIT */
/*
 * version.c: version 2 of a domain's grant table, and moving entries about in it.
 *
 * Changing the version needs every entry but the first GNTTAB_NR_RESERVED_ENTRIES to be unused
 * (-EBUSY). Those survive in the other form, pinned or not, for the control domain writes the first
 * two (console and xenstore) before the guest runs; going back to version 1 they must fit its 32-bit
 * frame numbers (-ERANGE), and no status frame may be mapped (-EBUSY). All other entries are cleared.
 *
 * Rules:
 *  1. get_status_frames: no more frames than there are (GNTST_general_error); version 1 has none.
 *     Its list is dealt with as setup_table's.
 *  2. set_version tells the version in force whatever it answers, -EINVAL included.
 *  3. swap_grant_ref: neither entry may be pinned (GNTST_eagain).
 *
 * Read next: mm/grant_setup.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

/* What both versions can say of an entry; `status` holds GTF_reading and GTF_writing. */
struct plain_entry {
    uint16_t flags, status;
    domid_t domid;
    uint32_t frame;
};

static bool is_pinned(const struct grant_table *gt, grant_ref_t ref)
{
    return grant_active_entry(gt, ref)->pins;
}

/* Save the reserved entries. -ERANGE: one of version 2 cannot be said in version 1. */
static int save_reserved(const struct grant_table *gt, struct plain_entry *saved)
{
    const uint16_t status_bits = GTF_reading | GTF_writing;

    for (grant_ref_t ref = 0; ref < GNTTAB_NR_RESERVED_ENTRIES; ref++) {
        void *header = grant_entry_header(gt, ref);
        struct plain_entry *s = &saved[ref];

        if (gt->version == 1) {
            struct grant_entry_v1 e = *(volatile struct grant_entry_v1 *)header;

            *s = (struct plain_entry){e.flags & ~status_bits, e.flags & status_bits, e.domid,
                                      e.frame};
        } else {
            union grant_entry_v2 e = *(volatile union grant_entry_v2 *)header;
            uint16_t type = e.hdr.flags & GTF_type_mask;

            if (type == GTF_transitive || (type == GTF_permit_access && e.full_page.frame >> 32))
                return -ERANGE;
            *s = (struct plain_entry){e.hdr.flags & ~status_bits, gt->status[0][ref], e.hdr.domid,
                                      e.full_page.frame};
        }
    }
    return 0;
}

static void restore_reserved(struct grant_table *gt, const struct plain_entry *saved)
{
    for (grant_ref_t ref = 0; ref < GNTTAB_NR_RESERVED_ENTRIES; ref++) {
        void *header = grant_entry_header(gt, ref);
        const struct plain_entry *s = &saved[ref];

        if (gt->version == 1) {
            *(struct grant_entry_v1 *)header = (struct grant_entry_v1){
                .flags = s->flags | s->status, .domid = s->domid, .frame = s->frame};
        } else {
            *(union grant_entry_v2 *)header = (union grant_entry_v2){
                .full_page = {.hdr = {.flags = s->flags, .domid = s->domid}, .frame = s->frame}};
            gt->status[0][ref] = s->status;
        }
    }
}

/*
 * Nobody maps a status frame, or has it granted, nor can until they are dropped. False: somebody
 * does, and nothing has changed. Or a guest could keep as many of the heap's pages as it has patience
 * to map.
 */
static bool claim_status_frames(const struct grant_table *gt)
{
    for (unsigned i = 0; i < GRANT_STATUS_FRAMES && gt->status[i]; i++) {
        if (claim_heap_page(gt->status[i]))
            continue;
        while (i--)
            unclaim_heap_page(gt->status[i]);
        return false;
    }
    return true;
}

static void drop_status_frames(struct domain *d)
{
    struct grant_table *gt = &d->grant;

    for (unsigned i = 0; i < GRANT_STATUS_FRAMES && gt->status[i]; i++) {
        unshare_heap_page(d, gt->status[i]);
        gt->status[i] = NULL;
    }
}

/* gt->lock held. Nothing has changed on an error. */
static int change_version(struct domain *d, unsigned version)
{
    struct plain_entry saved[GNTTAB_NR_RESERVED_ENTRIES];
    struct grant_table *gt = &d->grant;
    int rc;

    for (grant_ref_t ref = GNTTAB_NR_RESERVED_ENTRIES; ref < gt->nr_entries; ref++) {
        if (is_pinned(gt, ref))
            return -EBUSY;
    }
    if (gt->nr_frames) {
        rc = save_reserved(gt, saved);
        if (rc)
            return rc;
        if (!grant_provide(d, version, gt->nr_frames)) {
            if (version == 2)
                drop_status_frames(d);
            return -ENOMEM;
        }
    }
    if (version == 1) {
        if (!claim_status_frames(gt))
            return -EBUSY;
        drop_status_frames(d);
    }
    for (unsigned i = 0; i < gt->nr_frames; i++)
        memset(gt->shared[i], 0, PAGE_SIZE);
    gt->version = version;
    gt->nr_entries = grant_entries_in(gt->nr_frames, version);
    if (gt->nr_frames)
        restore_reserved(gt, saved);
    return 0;
}

static long set_version(struct gnttab_set_version *guest)
{
    struct domain *d = current->domain;
    struct gnttab_set_version op;
    long rc = 0;

    if (copy_from_guest(&op, guest, sizeof(op)))
        return -EFAULT;
    spin_lock(&d->grant.lock);
    if (op.version != 1 && op.version != 2)
        rc = -EINVAL;
    else if (d->grant.version != op.version)
        rc = change_version(d, op.version);
    op.version = d->grant.version;
    spin_unlock(&d->grant.lock);
    return copy_to_guest(guest, &op, sizeof(op)) ? -EFAULT : rc;
}
GNTTABOP(set_version, set_version);

static unsigned nr_status_frames(const struct grant_table *gt)
{
    return gt->version == 2 ? DIV_ROUND_UP(gt->nr_entries, GRANT_STATUS_PER_FRAME) : 0;
}

static long get_status_frames(struct gnttab_get_status_frames *guest)
{
    struct gnttab_get_status_frames op;
    uint64_t mfns[GRANT_STATUS_FRAMES];
    struct domain *d;

    if (copy_from_guest(&op, guest, sizeof(op)) ||
        !guest_list_ok(op.frame_list.p, op.nr_frames, sizeof(mfns[0])))
        return -EFAULT;
    op.status = grant_find_target(op.dom, &d);
    if (!op.status) {
        const struct grant_table *gt = &d->grant;

        spin_lock(&d->grant.lock);
        if (gt->closed || op.nr_frames > nr_status_frames(gt))
            op.status = GNTST_general_error;
        for (uint32_t i = 0; !op.status && i < op.nr_frames; i++)
            mfns[i] = direct_mfn(gt->status[i]);
        spin_unlock(&d->grant.lock);
        if (!op.status && copy_to_guest(op.frame_list.p, mfns, op.nr_frames * sizeof(mfns[0])))
            op.status = GNTST_bad_virt_addr;
        put_domain(d);
    }
    return copy_to_guest(&guest->status, &op.status, sizeof(op.status)) ? -EFAULT : 0;
}
GNTTABOP(get_status_frames, get_status_frames);

/* --- Swapping entries ------------------------------------------------------------------------- */

/* gt->lock held. */
static int16_t swap_entries(struct grant_table *gt, grant_ref_t a, grant_ref_t b)
{
    uint32_t size = gt->version == 1 ? sizeof(struct grant_entry_v1) : sizeof(union grant_entry_v2);
    uint8_t tmp[sizeof(union grant_entry_v2)];

    if (a >= gt->nr_entries || b >= gt->nr_entries)
        return GNTST_bad_gntref;
    if (a == b)
        return GNTST_okay;
    if (is_pinned(gt, a) || is_pinned(gt, b))
        return GNTST_eagain;
    /* Unused entries have no status bits, so version 2's status words stay as they are. */
    memcpy(tmp, grant_entry_header(gt, a), size);
    memcpy(grant_entry_header(gt, a), grant_entry_header(gt, b), size);
    memcpy(grant_entry_header(gt, b), tmp, size);
    return GNTST_okay;
}

/* Status tells of each; -EFAULT ends the list. */
static long grant_swap(void *guest_ops, uint32_t count)
{
    struct grant_table *gt = &current->domain->grant;
    struct gnttab_swap_grant_ref *ops = guest_ops;
    struct gnttab_swap_grant_ref op;

    for (uint32_t i = 0; i < count; i++) {
        if (copy_from_guest(&op, &ops[i], sizeof(op)))
            return -EFAULT;
        spin_lock(&gt->lock);
        op.status = swap_entries(gt, op.ref_a, op.ref_b);
        spin_unlock(&gt->lock);
        if (copy_to_guest(&ops[i].status, &op.status, sizeof(op.status)))
            return -EFAULT;
        if (i + 1 < count && preempt_needed())
            return i + 1;
    }
    return count;
}
GNTTABOP_LIST(swap_grant_ref, grant_swap);
