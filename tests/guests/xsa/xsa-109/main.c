/* SPDX-License-Identifier: MIT */
/*
 * XSA-109: page-table operations in the name of a domain they make no sense for.
 *
 * Xen let a domain that may act for another use mmu_update and mmuext_op on it without asking what
 * kind of domain it was; for one without page tables of this kind the function to call was a null
 * pointer, and the hypervisor died. There is only one kind of domain here, but there are numbers
 * that name none: DOMID_IO, DOMID_XEN, DOMID_COW and the rest.
 *
 * This guest asks for every mmuext_op, and for an mmu_update of each kind, in the name of each of
 * them, on frames of its own, on the hypervisor's and on devices'. All but flushes must be refused,
 * and afterwards all counts must add up.
 *
 * Run: qemu
 */
#include "../../attack.h"

static const domid_t names[] = {DOMID_IO, DOMID_XEN, DOMID_COW, DOMID_INVALID, DOMID_IDLE, 0x7FE0};
static void *page;

static uint32_t frame(unsigned int which)
{
    const uint32_t frames[] = {0, 0xA0, 0xF0, 0x400, 0xFEE00, linear_to_mfn(page)};

    return frames[which];
}
#define FRAMES 6

static bool is_flush(unsigned int cmd)
{
    return (cmd >= MMUEXT_TLB_FLUSH_LOCAL && cmd <= MMUEXT_INVLPG_ALL) ||
           cmd == MMUEXT_FLUSH_CACHE || cmd == MMUEXT_FLUSH_CACHE_GLOBAL;
}

static void try_mmuext(domid_t name)
{
    uint32_t allowed = 0, first = 0;

    for (unsigned int cmd = 0; cmd < 24; cmd++) {
        for (unsigned int which = 0; which < FRAMES && !is_flush(cmd); which++) {
            struct mmuext_op op = {.cmd = cmd, .arg1.mfn = frame(which), .arg2.src_mfn = 0};

            if (hv_mmuext_op(&op, 1, NULL, name) == 0 && allowed++ == 0)
                first = cmd << 24 | frame(which);
        }
    }
    if (!tap_is(allowed, 0, "no mmuext_op on behalf of %04x", name))
        tap_diag("first: command %u on frame %x", first >> 24, first & 0xFFFFFF);
}

/* The table's owner is in the upper half, plus one. A device may have its M2P entry set by whoever
 * may use it: nothing depends on that. */
static void try_updates(domid_t name)
{
    uint32_t allowed = 0;

    for (unsigned int which = 0; which < FRAMES; which++) {
        for (unsigned int cmd = 0; cmd < 4; cmd++) {
            struct mmu_update r = {
                .ptr = ((uint64_t)frame(which) << PAGE_SHIFT) | cmd,
                .val = pte_make(linear_to_mfn(page), PAGE_KERNEL),
            };

            if (cmd != MMU_MACHPHYS_UPDATE)
                allowed += hv_mmu_update(&r, 1, NULL, (name + 1u) << 16 | DOMID_SELF) == 0;
        }
    }
    tap_is(allowed, 0, "no page table of %04x's is written", name);
}

int main(void)
{
    page = page_alloc();
    for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        try_mmuext(names[i]);
        try_updates(names[i]);
    }
    tap_audit();
    tap_done();
}
