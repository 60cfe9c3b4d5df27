/* SPDX-License-Identifier: MIT */
/*
 * memory.c: the reservation: pages given back and taken again, exchanged, asked about.
 *
 * A page may be given back while something still maps it; its frame is then gone for this domain
 * when the last map is. The model calls it GONE at once, and a later populate gives it a new frame.
 *
 * Next: grants.c.
 */
#include "hostile.h"

#include <string.h>

#include <xen/memory.h>

#define MOST 8
#define EXTENT_SHIFT 6 /* bits of the command above this: extents done already */

static struct xen_memory_reservation reservation(xen_pfn_t *list, uint32_t count)
{
    struct xen_memory_reservation r = {.nr_extents = count, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, list);
    return r;
}

static void spoil_reservation(struct xen_memory_reservation *r, xen_pfn_t *list)
{
    switch (below(6)) {
    case 0:
        r->extent_order = once_in(2) ? below(12) : rnd();
        break;
    case 1:
        r->nr_extents = once_in(2) ? r->nr_extents + below(MOST) : rnd();
        break;
    case 2:
        r->domid = any_domid();
        break;
    case 3:
        r->mem_flags = rnd();
        break;
    case 4:
        set_xen_guest_handle(r->extent_start, bad_pointer());
        break;
    default:
        list[below(MOST)] = any_frame();
    }
}

/* --- giving back and taking ------------------------------------------------------------------- */

static bool any_private(const xen_pfn_t *list, uint32_t order)
{
    for (uint32_t i = 0; i < 2 * MOST; i++)
        for (uint32_t k = 0; k < (order < 12 ? 1u << order : 0); k++)
            if (list[i] && is_private(list[i] + k))
                return true;
    return false;
}

/* Every page of which the hypervisor may have taken a frame: its place in the linear map is given
 * up too, so that the frame really goes. */
static void forget(const xen_pfn_t *list, uint32_t count, uint32_t order)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < 1u << order; k++) {
            struct page *page = page_with_mfn(list[i] + k);

            if (!page)
                continue;
            mmuext_frame(MMUEXT_UNPIN_TABLE, page->mfn, DOMID_SELF);
            page->pinned = false;
            unmap_linear(page);
            page->role = GONE;
        }
    }
}

static enum outcome give_back(bool mutate)
{
    static xen_pfn_t list[2 * MOST];
    uint32_t count = 1 + below(3);
    struct xen_memory_reservation r = reservation(list, count);
    int rc;

    memset(list, 0, sizeof(list));
    for (uint32_t i = 0; i < count; i++) {
        struct page *page = once_in(2) ? leaf() : page_of(DATA);

        if (!page || page->role != DATA)
            return SKIPPED;
        list[i] = page->mfn;
        if (once_in(2)) {
            sweep(page->mfn);
            unmap_linear(page);
        }
    }
    if (mutate)
        spoil_reservation(&r, list);
    if (any_private(list, r.extent_order)) {
        forget(list, count, 0);
        return SKIPPED;
    }
    trace("  %lu extents of order %u from mfn %lx", r.nr_extents, r.extent_order, list[0]);
    rc = hv_memory_op(XENMEM_decrease_reservation, &r);
    forget(list, rc > 0 && rc < 2 * MOST ? (uint32_t)rc : count, mutate ? r.extent_order % 12 : 0);
    return rc > 0 ? DONE : REFUSED;
}

/* What is at a spoilt pointer is not known here. */
static bool all_claimable(const struct xen_memory_reservation *r, const xen_pfn_t *list)
{
    if (r->extent_start.p != list && pfns != ANY_PFNS)
        return false;
    for (uint32_t i = 0; i < 2 * MOST; i++)
        if (!may_claim(list[i]))
            return false;
    return true;
}

static struct page *gone_page(void)
{
    uint32_t start = rnd();

    for (uint32_t i = 0; i < ARENA; i++)
        if (arena[(start + i) % ARENA].role == GONE)
            return &arena[(start + i) % ARENA];
    return NULL;
}

static void adopt(struct page *page, uint32_t mfn)
{
    page->mfn = mfn;
    page->role = DATA;
    page->pinned = false;
    if (vcpus > 1) { /* another may have made a table of it by now */
        if (!make_writable(page) && !make_readonly(page))
            page->role = GONE;
        return;
    }
    if (!make_writable(page))
        violated("a fresh frame %lx cannot be mapped", (unsigned long)mfn);
    for (uint32_t i = 0; i < 512; i++)
        if (page->va[i])
            violated("a fresh frame %lx is not clean", (unsigned long)mfn);
}

static enum outcome take(bool mutate)
{
    static xen_pfn_t list[2 * MOST];
    struct page *page = gone_page();
    struct xen_memory_reservation r = reservation(list, 1);
    bool increase = mutate && once_in(4);
    uint32_t kept = 0;
    int rc;

    memset(list, 0xFF, sizeof(list)); /* a pfn that nobody can have */
    if (!page)
        return SKIPPED;
    list[0] = page->pfn;
    if (mutate)
        spoil_reservation(&r, list);
    trace("  %lu extents of order %u at pfn %lx", r.nr_extents, r.extent_order, list[0]);
    if (!increase && !all_claimable(&r, list))
        return SKIPPED;
    if (increase && r.nr_extents > 2 * MOST) /* it would write numbers behind the list */
        r.nr_extents = 2 * MOST;
    rc = hv_memory_op(increase ? XENMEM_increase_reservation : XENMEM_populate_physmap, &r);
    if (rc <= 0 || r.extent_start.p != list)
        return rc > 0 ? DONE : REFUSED;
    if (!increase && r.extent_order == 0 && (r.domid == DOMID_SELF || r.domid == own_domid)) {
        adopt(page, list[0]);
        kept = 1;
    }
    /* What came besides goes back at once. */
    r.nr_extents = rc;
    hv_memory_op(XENMEM_decrease_reservation | kept << EXTENT_SHIFT, &r);
    return DONE;
}

enum outcome op_balloon(bool mutate)
{
    return once_in(3) ? give_back(mutate) : take(mutate);
}

/* --- exchange --------------------------------------------------------------------------------- */

enum outcome op_exchange(bool mutate)
{
    static xen_pfn_t in[2 * MOST], out[2 * MOST];
    struct page *pages[4];
    uint32_t count = 1u << below(3);
    struct xen_memory_exchange x = {.in = reservation(in, count), .out = reservation(out, count)};
    bool fenced;
    int rc;

    memset(in, 0, sizeof(in));
    memset(out, 0xFF, sizeof(out));
    for (uint32_t i = 0; i < count; i++) {
        pages[i] = leaf();
        if (pages[i]->role != DATA)
            return SKIPPED;
        for (uint32_t k = 0; k < i; k++)
            if (pages[k] == pages[i])
                return SKIPPED;
    }
    for (uint32_t i = 0; i < count; i++) {
        in[i] = pages[i]->mfn;
        out[i] = pages[i]->pfn;
        sweep(in[i]);
        unmap_linear(pages[i]);
        pages[i]->role = GONE;
    }
    if (mutate) {
        spoil_reservation(once_in(2) ? &x.in : &x.out, once_in(2) ? in : out);
        if (once_in(6))
            x.nr_exchanged = rnd() & 7;
    }
    trace("  %lu extents from mfn %lx", x.in.nr_extents, in[0]);
    fenced = any_private(in, x.in.extent_order) || !all_claimable(&x.out, out);
    rc = fenced ? -1 : hv_memory_op(XENMEM_exchange, &x);
    for (uint32_t i = 0; i < count; i++) {
        if (rc == 0 && !mutate)
            adopt(pages[i], out[i]);
        else if (!is_private(in[i]) &&
                 hv_update_va_mapping(pages[i]->va, pte_make(in[i], PAGE_KERNEL), UVMF_INVLPG) ==
                     0) {
            pages[i]->mfn = in[i]; /* still there: it was not exchanged */
            pages[i]->role = DATA;
        }
    }
    return rc == 0 ? DONE : REFUSED;
}

/* --- questions -------------------------------------------------------------------------------- */

enum outcome op_memory_query(bool mutate)
{
    static uint64_t answer[64];
    static const unsigned int questions[] = {
        XENMEM_maximum_ram_page, XENMEM_current_reservation, XENMEM_maximum_reservation,
        XENMEM_maximum_gpfn,     XENMEM_machphys_mapping,
    };
    void *argument = answer;
    int rc;

    *(domid_t *)answer = mutate ? any_domid() : DOMID_SELF;
    if (mutate && once_in(4))
        argument = bad_pointer();
    rc = hv_memory_op(questions[below(sizeof(questions) / sizeof(questions[0]))], argument);
    return rc >= 0 ? DONE : REFUSED;
}
