/* SPDX-License-Identifier: MIT */
/*
 * XSA-316: a grant that cannot be mapped, and a status that is no error.
 *
 * Each element of GNTTABOP_map_grant_ref has a status: 0, or a negative GNTST_*. Brackets in the wrong
 * place made Xen write 1 where the granting entry did not allow the map, which Linux takes for success:
 * its backends went on with a handle and an address that nobody had filled.
 *
 * This guest has itself refused in every way an entry, a reference, a domain or an address can be bad.
 * Each status is negative, nothing is mapped, the entry's bits in use stay clear; then the same request
 * without its fault is carried out.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <pv/grant.h>

#define REF 100
#define NOBODY 77
#define FOREIGN_FRAME 0x400 /* memory from 4 MiB on: the hypervisor's image */

static volatile struct grant_entry_v1 *entries;
static uint32_t mfn;
static char *window;
static domid_t self;

static void set_entry(uint16_t flags, domid_t domid, uint32_t frame)
{
    entries[REF].flags = 0;
    entries[REF].domid = domid;
    entries[REF].frame = frame;
    entries[REF].flags = flags;
}

static struct gnttab_map_grant_ref request(void)
{
    return (struct gnttab_map_grant_ref){.host_addr = (uint32_t)window,
                                         .flags = GNTMAP_host_map,
                                         .ref = REF,
                                         .dom = self,
                                         .status = 1,
                                         .handle = 0x5ee};
}

/* Twice in one list: no element may hide behind another. */
static void refused(struct gnttab_map_grant_ref op, const char *what)
{
    struct gnttab_map_grant_ref list[2] = {op, op};
    int rc = hv_grant_table_op(GNTTABOP_map_grant_ref, list, 2);

    if (!tap_ok(rc == 0 && list[0].status < 0 && list[1].status < 0, "refused: %s", what))
        tap_diag("%d, status %d and %d", rc, list[0].status, list[1].status);
    tap_ok(!(pte_read(window, 1) & PTE_P), "nothing is mapped");
    tap_is(entries[REF].flags & (GTF_reading | GTF_writing), 0, "the entry is not in use");
}

static void entry_refused(uint16_t flags, domid_t domid, uint32_t frame, uint32_t map_flags,
                          const char *what)
{
    struct gnttab_map_grant_ref op = request();

    op.flags = map_flags;
    set_entry(flags, domid, frame);
    refused(op, what);
}

static void test_entries(void)
{
    const uint32_t rw = GNTMAP_host_map, ro = GNTMAP_host_map | GNTMAP_readonly;

    entry_refused(0, self, mfn, rw, "an entry that is not in use");
    entry_refused(0, self, mfn, ro, "the same, read-only");
    entry_refused(GTF_accept_transfer, self, mfn, rw, "an entry for a transfer");
    entry_refused(GTF_type_mask, self, mfn, rw, "a type that does not exist in version 1");
    entry_refused(GTF_permit_access, NOBODY, mfn, rw, "an entry for another domain");
    entry_refused(GTF_permit_access, DOMID_IO, mfn, ro, "an entry for a domain that is none");
    entry_refused(GTF_permit_access | GTF_readonly, self, mfn, rw, "read-only, mapped writable");
    entry_refused(GTF_permit_access, self, 0xffffffff, rw, "a frame beyond all memory");
    entry_refused(GTF_permit_access, self, FOREIGN_FRAME, rw, "a frame of the hypervisor's");
    entry_refused(GTF_permit_access, self, base_mfn(), rw, "a page table, mapped writable");
    entry_refused(GTF_permit_access, self, mfn, 0, "no way to map it");
    entry_refused(GTF_permit_access, self, mfn, GNTMAP_host_map | GNTMAP_contains_pte | 0x8000,
                  "a PTE that does not exist");
}

static void test_requests(void)
{
    struct gnttab_map_grant_ref op = request();

    set_entry(GTF_permit_access, self, mfn);
    op.dom = NOBODY;
    refused(op, "a domain that does not exist");
    op = request();
    op.ref = 0x7fffffff;
    refused(op, "a reference beyond the table");
    op.ref = 0xffffffff;
    refused(op, "the last number as a reference");
    op = request();
    op.host_addr = LIMIT_END;
    refused(op, "an address of the hypervisor's");
    op.host_addr = 1ULL << 32;
    refused(op, "an address of more than 32 bits");
    op.host_addr = 0x80000000;
    refused(op, "an address without a page table");
}

int main(void)
{
    xen_pfn_t frame;
    struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = 1};
    struct gnttab_map_grant_ref op;
    struct gnttab_unmap_grant_ref unmap;

    set_xen_guest_handle(setup.frame_list, &frame);
    if (hv_grant_table_op(GNTTABOP_setup_table, &setup, 1) || setup.status)
        panic("no grant table");
    entries = map_frames(DOMID_SELF, (uint32_t *)&frame, 1, true, NULL);
    mfn = linear_to_mfn(page_alloc());
    self = own_domid();
    window = window_alloc(1);
    pte_machine_address(window);
    test_entries();
    test_requests();
    op = request();
    tap_ok(!hv_grant_table_op(GNTTABOP_map_grant_ref, &op, 1) && op.status == GNTST_okay,
           "without a fault it is mapped");
    unmap = (struct gnttab_unmap_grant_ref){.host_addr = op.host_addr, .handle = op.handle};
    tap_ok(!hv_grant_table_op(GNTTABOP_unmap_grant_ref, &unmap, 1) && unmap.status == GNTST_okay,
           "and unmapped");
    tap_ok(!hv_grant_table_op(GNTTABOP_unmap_grant_ref, &unmap, 1) && unmap.status < 0,
           "once: the second time is an error");
    entries[REF].flags = 0;
    tap_audit();
    tap_done();
}
