/* SPDX-License-Identifier: MIT */
/*
 * domctl_access.c: control operations on a domain's frames, and on what of the machine it may touch
 * (xen/domctl.h).
 *
 * Read next: hypercall/table.c (write_hypercall_page), traps/ioports.c (who asks the port bitmap),
 * mm/entries.c (device memory).
 */
#include <ringlet/domctl.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/written.h>

#define NR_PORTS 65536u

/* The frame's structure with a reference, if d owns it. */
static struct frame *get_domain_frame(struct domain *d, uint64_t mfn)
{
    if (mfn >= max_frame || !get_frame(mfn_frame((mfn_t)mfn), d))
        return NULL;
    return mfn_frame((mfn_t)mfn);
}

/*
 * hypercall_init: fills one frame of the domain with hypercall stubs.
 *  1. -EINVAL: not the domain's frame. -EPERM: in use as a page or descriptor table, which must not
 *     be overwritten.
 */
static int domctl_hypercall_init(struct domain *d, struct xen_domctl *op)
{
    struct frame *f = get_domain_frame(d, op->u.hypercall_init.gmfn);
    void *page;

    if (!f)
        return -EINVAL;
    if (get_type(f, FT_WRITABLE)) {
        put_frame(f);
        return -EPERM;
    }
    page = map_frame(frame_mfn(f));
    write_hypercall_page(page);
    unmap_written(page);
    put_frame_and_type(f);
    return 0;
}
DOMCTL(hypercall_init, 0);

/* What a frame is, in the codes of xen/domctl.h. Types change under our feet; it is a snapshot. */
static uint32_t frame_info(struct domain *d, uint32_t mfn)
{
    struct frame *f = get_domain_frame(d, mfn);
    uint32_t type_info, code = XEN_DOMCTL_PFINFO_NOTAB;

    if (!f)
        return XEN_DOMCTL_PFINFO_XTAB;
    type_info = f->type_info;
    if (f->count_info & FC_XEN)
        code = XEN_DOMCTL_PFINFO_XTAB;
    else if ((type_info & FT_TYPE) == FT_L1)
        code = XEN_DOMCTL_PFINFO_L1TAB;
    else if ((type_info & FT_TYPE) == FT_L2)
        code = XEN_DOMCTL_PFINFO_L2TAB;
    else if ((type_info & FT_TYPE) == FT_L3)
        code = XEN_DOMCTL_PFINFO_L3TAB;
    if (code != XEN_DOMCTL_PFINFO_XTAB) {
        if (type_info & FT_PINNED)
            code |= XEN_DOMCTL_PFINFO_LPINTAB;
        else if (!(type_info & FT_VALIDATED))
            code = XEN_DOMCTL_PFINFO_NOTAB;
    }
    put_frame(f);
    return code;
}

/*
 * getpageframeinfo3: replaces each frame number of an array by what the frame is.
 *  1. At most 1024 at once: -E2BIG.
 */
static int domctl_getpageframeinfo3(struct domain *d, struct xen_domctl *op)
{
    xen_pfn_t *array = op->u.getpageframeinfo3.array.p;
    uint32_t value;

    if (op->u.getpageframeinfo3.num > 1024)
        return -E2BIG;
    for (unsigned i = 0; i < (uint32_t)op->u.getpageframeinfo3.num; i++) {
        if (copy_from_guest(&value, array + i, sizeof(value)))
            return -EFAULT;
        value = frame_info(d, value);
        if (copy_to_guest(array + i, &value, sizeof(value)))
            return -EFAULT;
    }
    return 0;
}
DOMCTL(getpageframeinfo3, 0);

/*
 * iomem_permission: which frames that are not memory the domain may map. Maps it has stay.
 *  1. The range is not empty and does not wrap: -EINVAL.
 *  2. A caller gives and takes only what it has itself: -EPERM.
 */
static int domctl_iomem_permission(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_iomem_permission *p = &op->u.iomem_permission;
    uint64_t first = p->first_mfn, last = first + p->nr_mfns - 1;
    struct domain *caller = current->domain;
    bool own;
    int rc;

    if (last < first)
        return -EINVAL;
    spin_lock(&caller->mm_lock);
    own = ranges_hold(&caller->iomem, first, last);
    spin_unlock(&caller->mm_lock);
    if (!own)
        return -EPERM;
    spin_lock(&d->mm_lock);
    rc = ranges_change(&d->iomem, first, last, p->allow_access);
    spin_unlock(&d->mm_lock);
    return rc;
}
DOMCTL(iomem_permission, 0);

/* Does the bitmap (NULL: empty) hold all of these ports? */
static bool ports_allowed(const uint8_t *ports, uint32_t first, uint32_t n)
{
    for (uint32_t port = first; ports && port < first + n; port++)
        if (!(ports[port / 8] & 1u << port % 8))
            return false;
    return ports != NULL;
}

/*
 * ioport_permission
 *  1. The range is not empty and ends at port 65535 at the latest: -EINVAL.
 *  2. A caller gives and takes only what it has itself: -EPERM.
 */
static int domctl_ioport_permission(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_ioport_permission *p = &op->u.ioport_permission;
    uint32_t first = p->first_port, n = p->nr_ports;

    if (!n || first >= NR_PORTS || n > NR_PORTS - first)
        return -EINVAL;
    if (!ports_allowed(current->domain->ioports, first, n))
        return -EPERM;
    if (!d->ioports && !p->allow_access)
        return 0;
    if (!d->ioports && !(d->ioports = xzalloc_bytes(NR_PORTS / 8)))
        return -ENOMEM;
    for (uint32_t port = first; port < first + n; port++) {
        if (p->allow_access)
            d->ioports[port / 8] |= 1u << port % 8;
        else
            d->ioports[port / 8] &= ~(1u << port % 8);
    }
    return 0;
}
DOMCTL(ioport_permission, 0);
