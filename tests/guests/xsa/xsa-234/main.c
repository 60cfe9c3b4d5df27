/* SPDX-License-Identifier: MIT */
/*
 * XSA-234: an unmap that takes away another map's entry.
 *
 * A grant map writes an entry and answers with a handle; the unmap names both. Xen checked that the
 * entry names the same frame, but neither that it was present nor that it was as writable as the
 * handle: with a read-only and a writable map of one frame, the references could be dropped the
 * wrong way round, and a writable entry outlived the writable reference.
 *
 * This guest maps a page of its own twice, read-only and writable, and unmaps each handle with the
 * other's entry, with an entry that is not present, with one made by hand, with no entry, and with
 * one in another address. All must be refused, and the right way must still work.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <pv/grant.h>

static domid_t self;

static int16_t unmap(uint64_t address, grant_handle_t handle)
{
    struct gnttab_unmap_grant_ref op = {.host_addr = address, .handle = handle};

    if (hv_grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1) != 0)
        return GNTST_general_error - 100;
    return op.status;
}

static void refused(const void *va, grant_handle_t handle, const char *what)
{
    tap_ok(unmap((uint32_t)va, handle) < 0, "unmapping %s is refused", what);
}

int main(void)
{
    uint32_t *page = page_alloc(), mfn = linear_to_mfn(page);
    struct grant_map readonly, writable;
    char *window = window_alloc(2);
    int ref;

    self = own_domid();
    ref = grant_access(self, mfn, true);
    tap_is(grant_map(self, ref, false, &readonly), 0, "a read-only map");
    tap_is(grant_map(self, ref, true, &writable), 0, "and a writable one of the same page");

    refused(writable.va, readonly.handle, "the read-only handle by the writable entry");
    refused(readonly.va, writable.handle, "the writable handle by the read-only entry");
    refused(window, writable.handle, "by an entry that is empty");
    tap_is(map_page(window, pte_make(mfn, PTE_RW)), 0, "an entry with the frame, not present");
    refused(window, writable.handle, "by that");
    refused(window, readonly.handle, "the other by that");
    tap_is(map_page(window, 0), 0, "it is taken away");
    refused(page + PAGE_SIZE / 4, writable.handle, "by an entry of another page");
    refused((void *)0x80000000, writable.handle, "where there is no page table");
    refused((void *)HOLE_BASE, writable.handle, "in the M2P");
    refused((void *)0xFC000000, writable.handle, "in the hypervisor");
    tap_ok(unmap((uint32_t)writable.va, 0x7FFFFFFF) < 0, "a handle that does not exist is refused");
    tap_ok(unmap((uint32_t)writable.va, (grant_handle_t)-1) < 0, "so is the last number");
    tap_ok(!grant_end(ref), "the grant is still in use");
    tap_audit();

    page[0] = 1;
    ((volatile uint32_t *)writable.va)[0] = 2;
    tap_is(page[0], 2, "the writable map writes");
    tap_is(grant_unmap(&writable), 0, "it is unmapped as it should be");
    tap_ok(!grant_end(ref), "the read-only one holds the grant");
    tap_is(grant_unmap(&readonly), 0, "and is unmapped");
    tap_ok(grant_end(ref), "the grant is free");
    refused(window, readonly.handle, "a handle a second time");
    tap_is(make_readonly(page), 0, "nothing writable is left of the page:");
    tap_is(pin(page, MMUEXT_PIN_L1_TABLE) == 0 || page[0] == 2, 1, "it may be a page table");
    tap_audit();
    tap_done();
}
