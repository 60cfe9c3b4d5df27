/* SPDX-License-Identifier: MIT */
/*
 * grant_setup.c: the grant table itself: its frames, its version, and moving entries about in it.
 *
 * A frame of the table is a heap page shared with the domain, writable: the guest maps it like a
 * page of its own. The table grows frame by frame when asked and never shrinks.
 *
 * Changing the version needs every entry but the first GNTTAB_NR_RESERVED_ENTRIES to be unused
 * (-EBUSY). Those survive in the other form, pinned or not, for the control domain writes the first
 * two (console and xenstore) before the guest runs; going back to version 1 they must fit its 32-bit
 * frame numbers (-ERANGE), and no status frame may be mapped (-EBUSY). All other entries are cleared.
 *
 * Rules:
 *  1. DOMID_SELF or the caller's own number; another domain takes privilege
 *     (GNTST_permission_denied).
 *  2. setup_table tells the first nr_frames frames, growing the table to that; max_frames is the
 *     limit (GNTST_general_error).
 *  3. get_status_frames: version 2 only; no more frames than there are (GNTST_general_error).
 *  4. swap_grant_ref: neither entry may be pinned (GNTST_eagain).
 *
 * Read next: mm/grant_table.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

/* --- Growing ---------------------------------------------------------------------------------- */

static unsigned entries_in(unsigned frames, unsigned version)
{
    return frames * (version == 1 ? GRANT_V1_PER_FRAME : GRANT_V2_PER_FRAME);
}

/*
 * Active entries and, in version 2, status words for this many frames of the table. gt->lock held.
 */
static bool provide(struct domain *d, unsigned version, unsigned frames)
{
    struct grant_table *gt = &d->grant;
    unsigned entries = entries_in(frames, version);

    for (unsigned i = 0; i < DIV_ROUND_UP(entries, GRANT_V1_PER_FRAME); i++) {
        if (!gt->active[i])
            gt->active[i] = xzalloc_array(struct grant_active, GRANT_V1_PER_FRAME);
        if (!gt->active[i])
            return false;
    }
    for (unsigned i = 0; version == 2 && i < DIV_ROUND_UP(entries, GRANT_STATUS_PER_FRAME); i++) {
        if (gt->status[i])
            continue;
        gt->status[i] = heap_alloc_pages(0);
        if (!gt->status[i])
            return false;
        share_heap_page(d, gt->status[i], true);
    }
    return true;
}

/*
 * At least `frames` frames. What was added before an error stays: it is the guest's to use.
 * gt->lock held.
 */
static bool grow(struct domain *d, unsigned frames)
{
    struct grant_table *gt = &d->grant;

    if (gt->closed || frames > gt->max_frames)
        return false;
    while (gt->nr_frames < frames) {
        void *page;

        if (!provide(d, gt->version, gt->nr_frames + 1) || !(page = heap_alloc_pages(0)))
            return false;
        share_heap_page(d, page, true);
        gt->shared[gt->nr_frames++] = page;
        gt->nr_entries = entries_in(gt->nr_frames, gt->version);
    }
    return true;
}

/* --- Telling the frames ----------------------------------------------------------------------- */

/* find_target_domain() in the words of GNTST_*. */
static int16_t find_target(domid_t id, struct domain **d)
{
    switch (find_target_domain(id, d)) {
    case 0:
        return GNTST_okay;
    case -EPERM:
        return GNTST_permission_denied;
    default:
        return GNTST_bad_domain;
    }
}

static long setup_table(struct gnttab_setup_table *guest)
{
    xen_pfn_t mfns[GRANT_MAX_FRAMES];
    struct gnttab_setup_table op;
    struct domain *d;
    long rc = 0;

    if (copy_from_guest(&op, guest, sizeof(op)))
        return -EFAULT;
    op.status = find_target(op.dom, &d);
    if (!op.status) {
        spin_lock(&d->grant.lock);
        if (!grow(d, op.nr_frames))
            op.status = GNTST_general_error;
        for (uint32_t i = 0; !op.status && i < op.nr_frames; i++)
            mfns[i] = direct_mfn(d->grant.shared[i]);
        spin_unlock(&d->grant.lock);
        if (!op.status && copy_to_guest(op.frame_list.p, mfns, op.nr_frames * sizeof(mfns[0])))
            rc = -EFAULT;
        put_domain(d);
    }
    return copy_to_guest(&guest->status, &op.status, sizeof(op.status)) ? -EFAULT : rc;
}

static long get_status_frames(struct gnttab_get_status_frames *guest)
{
    struct gnttab_get_status_frames op;
    uint64_t mfns[GRANT_STATUS_FRAMES];
    struct domain *d;
    long rc = 0;

    if (copy_from_guest(&op, guest, sizeof(op)))
        return -EFAULT;
    op.status = find_target(op.dom, &d);
    if (!op.status) {
        const struct grant_table *gt = &d->grant;

        spin_lock(&d->grant.lock);
        if (gt->version != 2 || gt->closed ||
            op.nr_frames > DIV_ROUND_UP(gt->nr_entries, GRANT_STATUS_PER_FRAME))
            op.status = GNTST_general_error;
        for (uint32_t i = 0; !op.status && i < op.nr_frames; i++)
            mfns[i] = direct_mfn(gt->status[i]);
        spin_unlock(&d->grant.lock);
        if (!op.status && copy_to_guest(op.frame_list.p, mfns, op.nr_frames * sizeof(mfns[0])))
            rc = -EFAULT;
        put_domain(d);
    }
    return copy_to_guest(&guest->status, &op.status, sizeof(op.status)) ? -EFAULT : rc;
}

static long query_size(struct gnttab_query_size *guest)
{
    struct gnttab_query_size op;
    struct domain *d;

    if (copy_from_guest(&op, guest, sizeof(op)))
        return -EFAULT;
    op.status = find_target(op.dom, &d);
    if (!op.status) {
        op.nr_frames = d->grant.nr_frames;
        op.max_nr_frames = d->grant.max_frames;
        put_domain(d);
    }
    return copy_to_guest(guest, &op, sizeof(op)) ? -EFAULT : 0;
}

/* To the console, so for privileged callers only. */
static long dump_table(struct gnttab_dump_table *guest)
{
    struct gnttab_dump_table op;
    struct domain *d;

    if (copy_from_guest(&op, guest, sizeof(op)))
        return -EFAULT;
    op.status = current->domain->privileged ? find_target(op.dom, &d) : GNTST_permission_denied;
    if (!op.status) {
        grant_table_dump(d);
        put_domain(d);
    }
    return copy_to_guest(&guest->status, &op.status, sizeof(op.status)) ? -EFAULT : 0;
}

/* --- Version ---------------------------------------------------------------------------------- */

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
        if (!provide(d, version, gt->nr_frames)) {
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
    gt->nr_entries = entries_in(gt->nr_frames, version);
    if (gt->nr_frames)
        restore_reserved(gt, saved);
    return 0;
}

/* The version in force is told in any case. */
static long set_version(struct gnttab_set_version *guest)
{
    struct domain *d = current->domain;
    struct gnttab_set_version op;
    long rc = 0;

    if (copy_from_guest(&op, guest, sizeof(op)))
        return -EFAULT;
    if (op.version != 1 && op.version != 2)
        return -EINVAL;
    spin_lock(&d->grant.lock);
    if (d->grant.version != op.version)
        rc = change_version(d, op.version);
    op.version = d->grant.version;
    spin_unlock(&d->grant.lock);
    return copy_to_guest(guest, &op, sizeof(op)) ? -EFAULT : rc;
}

static long get_version(struct gnttab_get_version *guest)
{
    struct gnttab_get_version op;
    struct domain *d;
    int rc;

    if (copy_from_guest(&op, guest, sizeof(op)))
        return -EFAULT;
    rc = find_target_domain(op.dom, &d);
    if (rc)
        return rc;
    op.version = d->grant.version;
    put_domain(d);
    return copy_to_guest(&guest->version, &op.version, sizeof(op.version)) ? -EFAULT : 0;
}

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
long grant_swap(void *guest_ops, uint32_t count)
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

/* The operations that take one structure. */
long grant_setup_op(unsigned op, void *guest_op)
{
    switch (op) {
    case GNTTABOP_setup_table:
        return setup_table(guest_op);
    case GNTTABOP_dump_table:
        return dump_table(guest_op);
    case GNTTABOP_query_size:
        return query_size(guest_op);
    case GNTTABOP_set_version:
        return set_version(guest_op);
    case GNTTABOP_get_status_frames:
        return get_status_frames(guest_op);
    default:
        return get_version(guest_op);
    }
}
