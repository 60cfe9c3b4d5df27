/* SPDX-License-Identifier: MIT */
/*
 * copy.c: GNTTABOP_copy: the hypervisor copies up to a page between two frames, neither of
 * which the caller needs to map. Each side is a grant to the caller, or a frame of its own.
 *
 * Rules:
 *  1. Neither side may cross the end of its page, nor of the part that a sub-page grant covers.
 *  2. A frame by number must be the caller's own (DOMID_SELF); the destination must be writable
 *     memory.
 *  3. A transitive grant leads to a grant that a third domain made to the granter. One step only.
 *  4. Both sides are pinned before a byte is copied, so status bits show the copy to the granters
 *     while it lasts.
 *
 * Read next: mm/grant_table.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

/* One side of a copy. What is pinned is released by side_release(). */
struct side {
    struct domain *granter; /* referenced; NULL: a frame of the caller's own */
    grant_ref_t ref;
    struct domain
        *via; /* the domain a transitive grant leads to, referenced; NULL: not transitive */
    grant_ref_t via_ref;
    bool write;
    mfn_t mfn;
    uint16_t start, length;
};

static void side_release(struct side *s)
{
    if (s->via) {
        grant_unpin(s->via, s->via_ref, s->write);
        put_domain(s->via);
    }
    if (s->granter) {
        grant_unpin(s->granter, s->ref, s->write);
        put_domain(s->granter);
    } else if (s->write) {
        if (!put_writable_fast(mfn_frame(s->mfn)))
            put_frame_and_type(mfn_frame(s->mfn));
    } else {
        put_frame(mfn_frame(s->mfn));
    }
}

static int16_t own_frame(struct side *s, xen_pfn_t mfn, domid_t domid)
{
    struct domain *d = current->domain;

    if (domid != DOMID_SELF)
        return GNTST_permission_denied;
    if (mfn >= max_frame)
        return GNTST_bad_page;
    if (!s->write || !get_writable_fast(mfn_frame(mfn), d)) {
        if (!get_frame(mfn_frame(mfn), d))
            return GNTST_bad_page;
        if (s->write && get_type(mfn_frame(mfn), FT_WRITABLE)) {
            put_frame(mfn_frame(mfn));
            return GNTST_general_error;
        }
    }
    s->mfn = mfn;
    s->start = 0;
    s->length = PAGE_SIZE;
    return GNTST_okay;
}

/* Rule 3: pin the grant that the transitive one names. */
static int16_t follow(struct side *s, const struct grant_pin *from)
{
    struct grant_pin p = {
        .ref = from->via_ref, .grantee = from->granter->id, .write = s->write, .copying = true};
    int16_t rc;

    p.granter = find_domain(from->via_domid);
    if (!p.granter)
        return GNTST_general_error;
    rc = p.granter == from->granter ? GNTST_general_error : grant_pin(&p);
    if (!rc && p.transitive) {
        grant_unpin(p.granter, p.ref, p.write);
        rc = GNTST_general_error;
    }
    if (rc) {
        put_domain(p.granter);
        return rc;
    }
    s->via = p.granter;
    s->via_ref = p.ref;
    s->mfn = p.mfn;
    s->start = p.start;
    s->length = p.length;
    return GNTST_okay;
}

static int16_t granted_frame(struct side *s, grant_ref_t ref, domid_t domid)
{
    struct grant_pin p = {
        .ref = ref, .grantee = current->domain->id, .write = s->write, .copying = true};
    int16_t rc;

    p.granter = find_domain_or_self(domid);
    if (!p.granter)
        return GNTST_bad_domain;
    rc = grant_pin(&p);
    if (!rc && p.transitive) {
        rc = follow(s, &p);
        if (rc)
            grant_unpin(p.granter, ref, s->write);
    } else {
        s->mfn = p.mfn;
        s->start = p.start;
        s->length = p.length;
    }
    if (rc) {
        put_domain(p.granter);
        return rc;
    }
    s->granter = p.granter;
    s->ref = ref;
    return GNTST_okay;
}

/* Check and pin one side. Nothing is held on an error. */
static int16_t side_acquire(struct side *s, const struct gnttab_copy_ptr *ptr, uint16_t len,
                            bool by_ref)
{
    int16_t rc;

    s->granter = s->via = NULL;
    rc = by_ref ? granted_frame(s, ptr->u.ref, ptr->domid) : own_frame(s, ptr->u.gmfn, ptr->domid);
    if (!rc && (ptr->offset < s->start || ptr->offset + len > s->start + s->length)) {
        side_release(s);
        rc = GNTST_general_error;
    }
    return rc;
}

static int16_t copy_one(const struct gnttab_copy *op)
{
    struct side from, to;
    const uint8_t *src;
    uint8_t *dst;
    int16_t rc;

    if (op->source.offset + op->len > PAGE_SIZE || op->dest.offset + op->len > PAGE_SIZE)
        return GNTST_bad_copy_arg;
    from.write = false;
    to.write = true;
    rc = side_acquire(&from, &op->source, op->len, op->flags & GNTCOPY_source_gref);
    if (rc)
        return rc;
    rc = side_acquire(&to, &op->dest, op->len, op->flags & GNTCOPY_dest_gref);
    if (!rc) {
        src = map_frame(from.mfn);
        dst = map_frame(to.mfn);
        memmove(dst + op->dest.offset, src + op->source.offset, op->len);
        unmap_written(dst);
        unmap_frame(src);
        side_release(&to);
    }
    side_release(&from);
    return rc;
}

/* Six words: the input in the first five, status in the last. */
#define COPY_STATUS_WORD (offsetof(struct gnttab_copy, status) / 4)

static long grant_copy(void *guest_ops, uint32_t count)
{
    struct gnttab_copy *ops = guest_ops;
    struct gnttab_copy op;
    uint32_t status;

    for (uint32_t i = 0; i < count; i++) {
        if (!get_guest_words(&op, &ops[i], COPY_STATUS_WORD))
            return -EFAULT;
        status = (uint16_t)copy_one(&op);
        if (!put_guest_words((uint32_t *)&ops[i] + COPY_STATUS_WORD, &status, 1))
            return -EFAULT;
        if (i + 1 < count && preempt_needed())
            return i + 1;
    }
    return count;
}
GNTTABOP_LIST(copy, grant_copy);
