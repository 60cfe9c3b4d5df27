/* SPDX-License-Identifier: MIT */
/*
 * XSA-214: a page that is given away and remembers what it was.
 *
 * GNTTABOP_transfer gives a frame to another domain for good. Xen let it keep the type it last had:
 * checked once as a page table for the giver, it was believed to be one for the receiver, whose
 * rules were different.
 *
 * This guest transfers frames to itself: pages in use as tables, pinned, mapped, granted, which
 * must all be refused with nothing lost; and a page that was a directory a moment before, with
 * contents no directory may have, which arrives as plain memory and is refused as a table.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/memory.h>

#include <pv/grant.h>

static domid_t self;
static volatile struct grant_entry_v1 *entries;

static void map_grant_table(void)
{
    xen_pfn_t frame = 0;
    struct gnttab_setup_table op = {.dom = DOMID_SELF, .nr_frames = 1};
    uint32_t mfn;

    set_xen_guest_handle(op.frame_list, &frame);
    if (hv_grant_table_op(GNTTABOP_setup_table, &op, 1) != 0 || op.status != GNTST_okay)
        panic("no grant table");
    mfn = frame;
    entries = map_frames(DOMID_SELF, &mfn, 1, true, NULL);
}

/* Through entry `ref`, which says under which pfn the frame is to appear. */
static int16_t transfer(uint32_t mfn, grant_ref_t ref, uint32_t pfn)
{
    struct gnttab_transfer op = {.mfn = mfn, .domid = self, .ref = ref};

    entries[ref].domid = self;
    entries[ref].frame = pfn;
    __sync_synchronize();
    entries[ref].flags = GTF_accept_transfer;
    if (hv_grant_table_op(GNTTABOP_transfer, &op, 1) != 0)
        panic("transfer fails as a whole");
    return op.status;
}

static void refused(uint32_t mfn, grant_ref_t ref, const char *what)
{
    int16_t status = transfer(mfn, ref, 0);

    tap_ok(status == GNTST_bad_page, "%s is not transferred (%d)", what, status);
    tap_is(entries[ref].flags, GTF_accept_transfer, "and its entry is as it was");
}

/*
 * XSA-284: Xen copied pages whose number has more than 32 bits into another one first, and did not
 * count that: it could not be given back. There are no such numbers here; what arrived can.
 */
static void give_back(uint32_t mfn, const void *va)
{
    struct xen_memory_domain me = {.domid = DOMID_SELF};
    xen_pfn_t frame = mfn;
    struct xen_memory_reservation r = {
        .extent_start.p = &frame, .nr_extents = 1, .domid = DOMID_SELF};
    long before = hv_memory_op(XENMEM_current_reservation, &me);

    hv_update_va_mapping(va, 0, UVMF_INVLPG);
    tap_is(hv_memory_op(XENMEM_decrease_reservation, &r), 1, "what arrived can be given back");
    tap_is(hv_memory_op(XENMEM_current_reservation, &me), before - 1, "and was counted");
}

int main(void)
{
    pte_t *table = page_alloc(), *was_table = new_directory(3, 0);
    uint32_t *mapped = page_alloc(), mfn, pfn;

    self = own_domid();
    map_grant_table();
    make_readonly(table);
    tap_is(pin(table, MMUEXT_PIN_L1_TABLE), 0, "a pinned page table");
    refused(linear_to_mfn(table), 20, "a pinned table");
    refused(base_mfn(), 21, "the root");
    refused(linear_to_mfn(mapped), 22, "a mapped page");
    refused(start_info->shared_info >> PAGE_SHIFT, 23, "the shared page");
    refused(linear_to_mfn((void *)start_info), 24, "a page in use");
    refused(0x400, 25, "the hypervisor");
    refused(0xB8, 26, "a device");
    refused(0xFFFFFFFF, 27, "no frame");

    mfn = linear_to_mfn(was_table);
    pfn = mfn_to_pfn(mfn);
    tap_ok(pin(was_table, MMUEXT_PIN_L2_TABLE) == 0 && pin(was_table, MMUEXT_UNPIN_TABLE) == 0,
           "a page that was a directory");
    tap_is(make_writable(was_table), 0, "is writable");
    was_table[3] = pte_make(0x400, TABLE_FLAGS);
    tap_is(hv_update_va_mapping(was_table, 0, UVMF_INVLPG), 0, "and mapped no more");
    tap_is(transfer(mfn, 30, pfn), GNTST_okay, "it is transferred");
    tap_is(entries[30].flags & (GTF_transfer_committed | GTF_transfer_completed),
           GTF_transfer_committed | GTF_transfer_completed, "and said to be complete");
    tap_is(entries[30].frame, mfn, "with its number");
    tap_is(hv_update_va_mapping(was_table, pte_make(mfn, PAGE_KERNEL_RO), UVMF_INVLPG), 0,
           "it can be mapped");
    tap_ok(was_table[3] == pte_make(0x400, TABLE_FLAGS), "its contents came with it");
    tap_ok(pin(was_table, MMUEXT_PIN_L2_TABLE) != 0, "it is checked before it is a directory");
    tap_ok(transfer(mfn, 30, pfn) != GNTST_okay, "an entry serves once");
    give_back(mfn, was_table);
    tap_audit();
    tap_done();
}
