/* SPDX-License-Identifier: MIT */
/*
 * XSA-212: memory_exchange writes where nobody checked.
 *
 * The list for the new frames was checked from its beginning, but written from nr_exchanged on, a
 * number that the guest gives: a list that begins in the guest's memory was written far outside it,
 * in the hypervisor. What is written is a frame number, chosen among many: that is enough.
 *
 * This guest asks for exchanges whose lists begin in its memory and lie elsewhere, with
 * nr_exchanged leading there: into the M2P, into the hypervisor, around the end of the address
 * space. None may succeed, and no frame may change hands.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/memory.h>

#define COUNT 0x40000000u

static xen_pfn_t own_list[4];

static long exchange(uint32_t in, uint32_t out, uint32_t count, uint32_t done, uint32_t *told)
{
    struct xen_memory_exchange x = {
        .in = {.nr_extents = count, .domid = DOMID_SELF},
        .out = {.nr_extents = count, .domid = DOMID_SELF},
        .nr_exchanged = done,
    };
    long rc;

    set_xen_guest_handle(x.in.extent_start, (void *)in);
    set_xen_guest_handle(x.out.extent_start, (void *)out);
    rc = hv_memory_op(XENMEM_exchange, &x);
    *told = x.nr_exchanged;
    return rc;
}

/* Element `done` of a list at `from` is at `target`. */
static uint32_t elements(uint32_t from, uint32_t target)
{
    return (target - from) / sizeof(xen_pfn_t);
}

static void refused(const char *what, uint32_t in, uint32_t out, uint32_t count, uint32_t done)
{
    uint32_t told;
    long rc = exchange(in, out, count, done, &told);

    tap_ok(rc < 0, "%s is refused (%ld)", what, rc);
    tap_is(told, done, "and none is said to be exchanged");
}

int main(void)
{
    static const uint32_t targets[] = {HOLE_BASE,  HOLE_BASE + 0x1000, LIMIT_END,
                                       0xF7800000, 0xFBC00000,         0xFFFFF000};
    uint32_t *page = page_alloc(), mfn = linear_to_mfn(page), here = (uint32_t)own_list, told;
    long before = hv_memory_op(XENMEM_current_reservation, &(domid_t){DOMID_SELF});

    /* The frame to give must be mapped nowhere. */
    own_list[0] = mfn;
    if (hv_update_va_mapping(page, 0, UVMF_INVLPG) != 0)
        panic("cannot unmap one's own page");
    for (unsigned int i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        uint32_t t = targets[i];

        tap_diag("the list at %08x", t);
        refused("a list for frames there", here, t, 1, 0);
        refused("nr_exchanged leading there", here, here, COUNT - 1, elements(here, t));
        refused("a list to read from there", t + (t < LIMIT_END ? 0x1000000 : 0), here, 1, 0);
    }
    refused("a list that wraps around", here, here, COUNT - 1, elements(here, here - 64));
    refused("more done than there are", here, here, 1, 2);
    refused("a list of all addresses", here, here, 0xFFFFFFFF, 0xFFFFFFFE);
    tap_is(hv_memory_op(XENMEM_current_reservation, &(domid_t){DOMID_SELF}), before,
           "as many pages as before");

    /* Written right, it works: nothing was refused for other reasons. */
    own_list[0] = mfn;
    own_list[1] = mfn_to_pfn(mfn);
    tap_is(exchange(here, (uint32_t)&own_list[1], 1, 0, &told), 0, "an exchange as it should be");
    tap_is(told, 1, "one extent was exchanged");
    tap_ok(own_list[1] != mfn, "for another frame");
    tap_audit();
    tap_done();
}
