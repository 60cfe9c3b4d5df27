/* SPDX-License-Identifier: MIT */
/*
 * XSA-234: unmapping a grant must take away the entry that was made by mapping it, or none.
 *
 * Xen compared only the frame number of the page-table entry that the guest named for the unmap:
 * not whether the entry was present, nor whether it was as writable as the mapping. So a guest could
 * name another entry, or one that maps nothing, have the grant's references dropped, and keep a
 * writable mapping nobody knew of any more. The other side of the coin (XSA-224) is an entry
 * that the guest overwrote by itself: its references went then, and may not go again.
 *
 * Run: qemu bochs
 * Machine: mem=256
 */
#include <stdint.h>

#include <xen/grant_table.h>

#include <pv/grant.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>

static grant_ref_t ref;

static int map(const char *at, uint32_t flags, grant_handle_t *handle)
{
    struct gnttab_map_grant_ref m = {
        .host_addr = (uint32_t)at, .flags = GNTMAP_host_map | flags, .ref = ref, .dom = 0};

    hv_grant_table_op(GNTTABOP_map_grant_ref, &m, 1);
    *handle = m.handle;
    return m.status;
}

static int unmap(const char *at, grant_handle_t handle)
{
    struct gnttab_unmap_grant_ref u = {.host_addr = (uint32_t)at, .handle = handle};

    hv_grant_table_op(GNTTABOP_unmap_grant_ref, &u, 1);
    return u.status;
}

int main(void)
{
    uint32_t *page = page_alloc(), mfn = linear_to_mfn(page);
    char *at = window_alloc(3);
    grant_handle_t writer, reader;
    bool ended;

    pte_machine_address(at);
    ref = grant_access(0, mfn, true);
    tap_is(map(at, 0, &writer), GNTST_okay, "mapped to write");
    tap_is(map(at + PAGE_SIZE, GNTMAP_readonly, &reader), GNTST_okay, "and to read");

    tap_is(unmap(at + PAGE_SIZE, writer), GNTST_general_error, "the writer is not where it reads");
    tap_is(unmap(at, reader), GNTST_general_error, "nor the reader where it writes");
    tap_ok(pte_read(at, 1) && pte_read(at + PAGE_SIZE, 1), "both entries stand");

    /* An entry that names the frame, but is not present. */
    tap_is(map_page(at + 2 * PAGE_SIZE, pte_make(mfn, PTE_RW)), 0, "a number in an empty entry");
    tap_is(unmap(at + 2 * PAGE_SIZE, writer), GNTST_general_error, "unmaps nothing");
    map_page(at + 2 * PAGE_SIZE, 0);
    ended = grant_end(ref);
    tap_ok(!ended, "the grant is in use all the while");

    tap_is(unmap(at + PAGE_SIZE, reader), GNTST_okay, "the reader goes");
    tap_ok(!grant_end(ref), "the writer is in use");
    tap_is(unmap(at, writer), GNTST_okay, "and goes");
    tap_ok(!(pte_read(at, 1) & PTE_P), "nothing is mapped");
    tap_ok(grant_end(ref), "and the grant is over");
    tap_is(mmuext_frame(MMUEXT_PIN_L1_TABLE, mfn, DOMID_SELF), -XEN_EINVAL,
           "mapped in the linear map it is no page table");
    map_page(page, pte_make(mfn, PAGE_KERNEL_RO));
    page_free(page);
    tap_done();
}
