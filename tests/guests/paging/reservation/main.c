/* SPDX-License-Identifier: MIT */
/*
 * Memory taken and given back: memory_op, as the initial domain sees it.
 *
 * A guest balloons down and up again and its limit holds; a frame given back while it is still
 * mapped stays the guest's until the map goes; frames are traded for contiguous ones below an
 * address limit; a trade that fails halfway leaves everything as it was, with nr_exchanged telling
 * how far it came. New frames are empty, and the M2P says what the guest asked for. Then the
 * questions: limits, memory maps, where the M2P lies. Every answer is the one Xen 4.17 gives to the
 * same calls; only that frames come back empty to the one who gave them is Ringlet's own.
 *
 * Read next: mm/memory_op.c, mm/reservation.c, mm/exchange/exchange.c.
 *
 * Run: qemu bochs
 * Machine: mem=256
 */
#include "../../attack.h"

#include <stdint.h>
#include <string.h>

#include <xen/memory.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>

#define M2P ((volatile uint32_t *)HOLE_BASE)

static xen_pfn_t list[64], list2[64];

static long reservation(unsigned int op, unsigned int count, unsigned int order, unsigned int flags)
{
    struct xen_memory_reservation r = {
        .nr_extents = count, .extent_order = order, .mem_flags = flags, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, list);
    return hv_memory_op(op, &r);
}

static long current_pages(void)
{
    struct xen_memory_domain self = {.domid = DOMID_SELF};

    return hv_memory_op(XENMEM_current_reservation, &self);
}

/* A page of the linear map loses its frame, which goes into list[i]; its pfn is the answer. */
static uint32_t detach(void *page, unsigned int i)
{
    uint32_t mfn = linear_to_mfn(page);

    list[i] = mfn;
    map_page(page, 0);
    return mfn_to_pfn(mfn);
}

/* The page at pfn gets this frame. */
static void *attach(uint32_t pfn, uint32_t mfn)
{
    ((uint32_t *)start_info->mfn_list)[pfn] = mfn;
    map_page(pfn_to_linear(pfn), pte_make(mfn, PAGE_KERNEL));
    return pfn_to_linear(pfn);
}

static bool is_empty(const void *page)
{
    for (int i = 0; i < PAGE_SIZE / 4; i++) {
        if (((const uint32_t *)page)[i])
            return false;
    }
    return true;
}

static void test_balloon(void)
{
    long before = current_pages();
    uint32_t pfns[16];
    bool right = true;

    for (int i = 0; i < 16; i++) {
        uint8_t *page = page_alloc();

        memset(page, 0xA5, PAGE_SIZE);
        pfns[i] = detach(page, i);
    }
    tap_is(reservation(XENMEM_decrease_reservation, 16, 0, 0), 16, "16 frames given back");
    tap_is(current_pages(), before - 16, "the reservation shows it");
    tap_is(reservation(XENMEM_decrease_reservation, 16, 0, 0), 0, "they cannot be given twice");
    for (int i = 0; i < 16; i++)
        list[i] = pfns[i];
    tap_is(reservation(XENMEM_populate_physmap, 16, 0, 0), 16, "16 frames taken");
    tap_is(current_pages(), before, "the reservation is as before");
    for (int i = 0; i < 16; i++)
        right &= M2P[list[i]] == pfns[i];
    tap_ok(right, "the M2P names their pfns");
    right = true;
    for (int i = 0; i < 16; i++)
        right &= is_empty(attach(pfns[i], list[i]));
    tap_ok(right, "and they are empty");
    for (int i = 0; i < 16; i++)
        page_free(pfn_to_linear(pfns[i]));
}

static void test_in_use(void)
{
    long before = current_pages();
    uint32_t *page = page_alloc(), pfn = mfn_to_pfn(linear_to_mfn(page));

    list[0] = linear_to_mfn(page);
    page[0] = 0x600D;
    tap_is(reservation(XENMEM_decrease_reservation, 1, 0, 0), 1, "a mapped frame given back");
    tap_is(page[0], 0x600D, "it is still there");
    tap_is(current_pages(), before, "and still counted");
    map_page(page, 0);
    tap_is(current_pages(), before - 1, "gone with its last map");
    list[0] = pfn;
    tap_is(reservation(XENMEM_populate_physmap, 1, 0, 0), 1, "another in its place");
    page_free(attach(pfn, list[0]));

    list[0] = 0xFFFFFFF0;
    tap_is(reservation(XENMEM_decrease_reservation, 1, 0, 0), 0, "no such frame");
    list[0] = 0;
    tap_is(reservation(XENMEM_populate_physmap, 1, 30, 0), 0, "no such order");
}

/* Fill the trade: 16 single frames for one piece of 16 below 4 GiB. */
static struct xen_memory_exchange trade(unsigned int in, unsigned int in_order, unsigned int out,
                                        unsigned int out_order)
{
    struct xen_memory_exchange x = {
        .in = {.nr_extents = in, .extent_order = in_order, .domid = DOMID_SELF},
        .out = {.nr_extents = out,
                .extent_order = out_order,
                .mem_flags = XENMEMF_address_bits(32),
                .domid = DOMID_SELF}};

    set_xen_guest_handle(x.in.extent_start, list);
    set_xen_guest_handle(x.out.extent_start, list2);
    return x;
}

static void test_exchange(void)
{
    struct xen_memory_exchange x = trade(16, 0, 1, 4);
    long before = current_pages();
    bool right = true;
    uint32_t pfns[16];

    for (int i = 0; i < 16; i++)
        pfns[i] = detach(page_alloc(), i);
    list2[0] = 0x10000; /* the piece's first pfn: far beyond what is used */
    tap_is(hv_memory_op(XENMEM_exchange, &x), 0, "16 frames for one piece");
    tap_is(x.nr_exchanged, 16, "all of them");
    tap_ok(list2[0] % 16 == 0 && list2[0] + 16 <= 0x100000, "it is aligned, and below 4 GiB");
    for (unsigned int i = 0; i < 16; i++)
        right &= M2P[list2[0] + i] == 0x10000 + i;
    tap_ok(right, "the M2P names its pfns");
    tap_is(current_pages(), before, "the reservation is as before");

    x = trade(1, 4, 16, 0);
    list[0] = list2[0];
    for (int i = 0; i < 16; i++)
        list2[i] = pfns[i];
    tap_is(hv_memory_op(XENMEM_exchange, &x), 0, "and back");
    right = true;
    for (int i = 0; i < 16; i++) {
        right &= M2P[list2[i]] == pfns[i] && is_empty(attach(pfns[i], list2[i]));
        page_free(pfn_to_linear(pfns[i]));
    }
    tap_ok(right, "single again, and empty");
}

static void test_exchange_refused(void)
{
    struct xen_memory_exchange x = trade(4, 0, 1, 2);
    uint32_t pfns[4];
    uint32_t *used;

    tap_is(hv_memory_op(XENMEM_exchange, (void *)8), -XEN_EFAULT, "arguments that are not there");
    x = trade(4, 0, 1, 1);
    tap_is(hv_memory_op(XENMEM_exchange, &x), -XEN_EINVAL, "unequal numbers");
    x = trade(1, 25, 1, 25);
    tap_is(hv_memory_op(XENMEM_exchange, &x), -XEN_EPERM, "an order beyond the limit");
    x = trade(4, 0, 1, 2);
    x.nr_exchanged = 5;
    tap_is(hv_memory_op(XENMEM_exchange, &x), -XEN_EINVAL, "more done than asked");
    x = trade(4, 0, 1, 2);
    x.out.domid = 5;
    tap_is(hv_memory_op(XENMEM_exchange, &x), -XEN_EINVAL, "two domains");

    /* Three free to go and one still mapped: nothing happens to any. */
    for (int i = 0; i < 3; i++) {
        uint32_t *page = page_alloc();

        *page = 0xBEEF + i;
        pfns[i] = detach(page, i);
    }
    used = page_alloc();
    *used = 0xCAFE;
    list[3] = linear_to_mfn(used);
    list2[0] = 0x10000;
    x = trade(4, 0, 1, 2);
    tap_is(hv_memory_op(XENMEM_exchange, &x), -XEN_EINVAL, "one frame in use");
    tap_is(x.nr_exchanged, 0, "none exchanged");
    for (int i = 0; i < 3; i++) {
        uint32_t *page = attach(pfns[i], list[i]);

        tap_ok(*page == 0xBEEFu + i && M2P[list[i]] == pfns[i], "frame %d is as it was", i);
        page_free(page);
    }
    tap_is(*used, 0xCAFE, "so is the one in use");
    page_free(used);
}

static void test_questions(void)
{
    static char buffer[128 * 20];
    struct xen_memory_domain who = {.domid = 1234};
    struct xen_machphys_mapping m2p;
    struct xen_add_to_physmap add = {.domid = DOMID_SELF};
    struct xen_memory_map map = {.nr_entries = 128};
    xen_pfn_t extents[2];
    struct xen_machphys_mfn_list frames = {.max_extents = 2};

    tap_ok(hv_memory_op(XENMEM_maximum_ram_page, NULL) > 0x1000, "there is memory");
    tap_is(hv_memory_op(XENMEM_current_reservation, &who), -XEN_ESRCH, "no such domain");
    tap_is(hv_memory_op(XENMEM_current_reservation, (void *)8), -XEN_EFAULT, "no such address");
    tap_is(hv_memory_op(XENMEM_machphys_mapping, &m2p), 0, "the M2P lies somewhere:");
    tap_is(m2p.v_start, HOLE_BASE, "at the beginning of the hole");
    set_xen_guest_handle(frames.extent_start, extents);
    tap_is(hv_memory_op(XENMEM_machphys_mfn_list, &frames), 0, "and in some frames:");
    tap_ok(frames.nr_extents >= 1 && extents[0], "%u pieces", frames.nr_extents);
    set_xen_guest_handle(map.buffer, buffer);
    tap_is(hv_memory_op(XENMEM_machine_memory_map, &map), 0, "the machine's memory map");
    tap_ok(map.nr_entries > 1 && map.nr_entries < 128, "has %u lines", map.nr_entries);
    map.nr_entries = 1;
    tap_is(hv_memory_op(XENMEM_machine_memory_map, &map), -XEN_EINVAL, "which one cannot hold");
    tap_is(hv_memory_op(XENMEM_add_to_physmap, &add), -XEN_EACCES, "no physmap to add to");
    tap_is(hv_memory_op(63, NULL), -XEN_ENOSYS, "no such operation");
}

int main(void)
{
    test_balloon();
    test_in_use();
    test_exchange();
    test_exchange_refused();
    test_questions();
    tap_audit();
    tap_done();
}
