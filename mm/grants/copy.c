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
 *  5. Of several errors the first of these is told: the source's domain, the destination's, the
 *     source, the destination, then a copy beyond a page (GNTST_bad_copy_arg), then beyond what the
 *     grants cover.
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
        put_frame_and_type(mfn_frame(s->mfn));
    } else {
        put_frame(mfn_frame(s->mfn));
    }
}

static int16_t own_frame(struct side *s, xen_pfn_t mfn)
{
    struct domain *d = current->domain;

    if (mfn >= max_frame)
        return GNTST_bad_page;
    if (!get_frame(mfn_frame(mfn), d))
        return GNTST_bad_page;
    if (s->write && get_type(mfn_frame(mfn), FT_WRITABLE)) {
        put_frame(mfn_frame(mfn));
        return GNTST_general_error;
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

/* Pin the grant s->ref of s->granter. */
static int16_t granted_frame(struct side *s)
{
    struct grant_pin p = {.granter = s->granter,
                          .ref = s->ref,
                          .grantee = current->domain->id,
                          .write = s->write,
                          .copying = true};
    int16_t rc = grant_pin(&p);

    if (rc)
        return rc;
    if (p.transitive) {
        rc = follow(s, &p);
        if (rc)
            grant_unpin(p.granter, s->ref, s->write);
        return rc;
    }
    s->mfn = p.mfn;
    s->start = p.start;
    s->length = p.length;
    return GNTST_okay;
}

/* Begin with one side: the domain. s->granter, where it is by grant, is referenced. */
static int16_t side_find(struct side *s, const struct gnttab_copy_ptr *ptr, bool by_ref, bool write)
{
    s->granter = s->via = NULL;
    s->write = write;
    if (!by_ref)
        return ptr->domid == DOMID_SELF ? GNTST_okay : GNTST_permission_denied;
    s->ref = ptr->u.ref;
    s->granter = find_domain_or_self(ptr->domid);
    return s->granter ? GNTST_okay : GNTST_bad_domain;
}

/* Give up what side_find() has, when no frame is pinned. */
static void side_forget(const struct side *s)
{
    if (s->granter)
        put_domain(s->granter);
}

/* Pin the frame of a side that side_find() has begun with. On an error that is forgotten. */
static int16_t side_pin(struct side *s, const struct gnttab_copy_ptr *ptr)
{
    int16_t rc = s->granter ? granted_frame(s) : own_frame(s, ptr->u.gmfn);

    if (rc)
        side_forget(s);
    return rc;
}

/* Check and pin both sides. Nothing is held on an error. */
static int16_t sides_acquire(struct side *from, struct side *to, const struct gnttab_copy *op)
{
    int16_t rc = side_find(from, &op->source, op->flags & GNTCOPY_source_gref, false);

    if (rc)
        return rc;
    rc = side_find(to, &op->dest, op->flags & GNTCOPY_dest_gref, true);
    if (rc) {
        side_forget(from);
        return rc;
    }
    rc = side_pin(from, &op->source);
    if (rc) {
        side_forget(to);
        return rc;
    }
    rc = side_pin(to, &op->dest);
    if (rc)
        side_release(from);
    return rc;
}

static bool covers(const struct side *s, uint32_t offset, uint32_t len)
{
    return offset >= s->start && offset + len <= (uint32_t)s->start + s->length;
}

static int16_t copy_one(const struct gnttab_copy *op)
{
    uint32_t src_at = op->source.offset, dst_at = op->dest.offset, len = op->len;
    struct side from, to;
    const uint8_t *src;
    uint8_t *dst;
    int16_t rc = sides_acquire(&from, &to, op);

    if (rc)
        return rc;
    if (src_at + len > PAGE_SIZE || dst_at + len > PAGE_SIZE) {
        rc = GNTST_bad_copy_arg;
    } else if (!covers(&from, src_at, len) || !covers(&to, dst_at, len)) {
        rc = GNTST_general_error;
    } else {
        src = map_frame(from.mfn);
        dst = map_frame(to.mfn);
        memmove(dst + dst_at, src + src_at, len);
        unmap_written(dst);
        unmap_frame(src);
    }
    side_release(&to);
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
