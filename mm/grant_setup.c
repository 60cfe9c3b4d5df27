/* SPDX-License-Identifier: MIT */
/*
 * grant_setup.c: the grant table itself: its frames, and what its domain is told of them.
 *
 * A frame of the table is a heap page shared with the domain, writable: the guest maps it like a
 * page of its own. The table grows frame by frame when asked and never shrinks.
 *
 * Rules:
 *  1. DOMID_SELF or the caller's own number; another domain takes privilege
 *     (GNTST_permission_denied).
 *  2. setup_table tells the first nr_frames frames, growing the table to that; max_frames is the
 *     limit (GNTST_general_error). A frame_list outside the guest's addresses is -EFAULT, and no
 *     status is told; a list that cannot be written is GNTST_bad_virt_addr.
 *
 * Read next: mm/grant_table.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

/* --- Growing ---------------------------------------------------------------------------------- */

unsigned grant_entries_in(unsigned frames, unsigned version)
{
    return frames * (version == 1 ? GRANT_V1_PER_FRAME : GRANT_V2_PER_FRAME);
}

/* A page of the heap for d, shared with it. NULL: no memory, or none for d (H1, mm/xzalloc.c). */
static void *new_shared_page(struct domain *d)
{
    void *page = heap_allows(d, PAGE_SIZE) ? heap_alloc_pages(0) : NULL;

    if (page)
        share_heap_page(d, page, true);
    return page;
}

/*
 * Active entries and, in version 2, status words for this many frames of the table. gt->lock held.
 */
bool grant_provide(struct domain *d, unsigned version, unsigned frames)
{
    struct grant_table *gt = &d->grant;
    unsigned entries = grant_entries_in(frames, version);

    for (unsigned i = 0; i < DIV_ROUND_UP(entries, GRANT_V1_PER_FRAME); i++) {
        if (!gt->active[i])
            gt->active[i] = xzalloc_for_domain(d, GRANT_V1_PER_FRAME * sizeof(struct grant_active));
        if (!gt->active[i])
            return false;
    }
    for (unsigned i = 0; version == 2 && i < DIV_ROUND_UP(entries, GRANT_STATUS_PER_FRAME); i++) {
        if (gt->status[i])
            continue;
        gt->status[i] = new_shared_page(d);
        if (!gt->status[i])
            return false;
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

        if (!grant_provide(d, gt->version, gt->nr_frames + 1) || !(page = new_shared_page(d)))
            return false;
        gt->shared[gt->nr_frames++] = page;
        gt->nr_entries = grant_entries_in(gt->nr_frames, gt->version);
    }
    return true;
}

/* --- Telling the frames ----------------------------------------------------------------------- */

/* find_target_domain() in the words of GNTST_*. */
int16_t grant_find_target(domid_t id, struct domain **d)
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

    if (copy_from_guest(&op, guest, sizeof(op)) ||
        !guest_list_ok(op.frame_list.p, op.nr_frames, sizeof(mfns[0])))
        return -EFAULT;
    op.status = grant_find_target(op.dom, &d);
    if (!op.status) {
        spin_lock(&d->grant.lock);
        if (!grow(d, op.nr_frames))
            op.status = GNTST_general_error;
        for (uint32_t i = 0; !op.status && i < op.nr_frames; i++)
            mfns[i] = direct_mfn(d->grant.shared[i]);
        spin_unlock(&d->grant.lock);
        if (!op.status && copy_to_guest(op.frame_list.p, mfns, op.nr_frames * sizeof(mfns[0])))
            op.status = GNTST_bad_virt_addr;
        put_domain(d);
    }
    return copy_to_guest(&guest->status, &op.status, sizeof(op.status)) ? -EFAULT : 0;
}
GNTTABOP(setup_table, setup_table);

static long query_size(struct gnttab_query_size *guest)
{
    struct gnttab_query_size op;
    struct domain *d;

    if (copy_from_guest(&op, guest, sizeof(op)))
        return -EFAULT;
    op.status = grant_find_target(op.dom, &d);
    if (!op.status) {
        op.nr_frames = d->grant.nr_frames;
        op.max_nr_frames = d->grant.max_frames;
        put_domain(d);
    }
    return copy_to_guest(guest, &op, sizeof(op)) ? -EFAULT : 0;
}
GNTTABOP(query_size, query_size);

/* To the console, so for privileged callers only. */
static long dump_table(struct gnttab_dump_table *guest)
{
    struct gnttab_dump_table op;
    struct domain *d;

    if (copy_from_guest(&op, guest, sizeof(op)))
        return -EFAULT;
    op.status =
        current->domain->privileged ? grant_find_target(op.dom, &d) : GNTST_permission_denied;
    if (!op.status) {
        grant_table_dump(d);
        put_domain(d);
    }
    return copy_to_guest(&guest->status, &op.status, sizeof(op.status)) ? -EFAULT : 0;
}
GNTTABOP(dump_table, dump_table);

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
GNTTABOP(get_version, get_version);
