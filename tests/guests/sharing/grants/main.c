/* SPDX-License-Identifier: MIT */
/*
 * Grants to oneself: every grant-table operation, by a domain that is both sides.
 *
 * The initial domain grants pages to itself, maps them by address and by page-table entry, reads
 * the status bits the hypervisor sets, copies by reference and by frame, moves a page through a
 * transfer, swaps entries, changes to version 2 and back with its first eight entries intact, and
 * asks for things it may not have. A page granted for writing and mapped can be no page table; a
 * read-only map cannot be written through. Error codes are those of Xen 4.17.
 *
 * Read next: mm/grant_table.c, mm/grant_map.c, mm/grants/copy.c.
 *
 * Run: qemu bochs
 * Machine: mem=256
 */
#include "../../attack.h"

#include <stdint.h>
#include <string.h>

#include <xen/grant_table.h>
#include <xen/version.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define FREE 40 /* the first entry this test uses */

static volatile struct grant_entry_v1 *table;
static volatile union grant_entry_v2 *table2;
static volatile char *window; /* two pages of addresses for maps, page tables present */

static int op1(unsigned int op, void *arg)
{
    return hv_grant_table_op(op, arg, 1);
}

static void setup(void)
{
    xen_pfn_t frame = 0;
    uint32_t mfn;
    struct gnttab_setup_table s = {.dom = DOMID_SELF, .nr_frames = 1};
    struct gnttab_query_size size = {.dom = DOMID_SELF};

    set_xen_guest_handle(s.frame_list, &frame);
    tap_is(op1(GNTTABOP_setup_table, &s), 0, "setup_table");
    tap_is(s.status, GNTST_okay, "gives a frame");
    mfn = frame;
    table = map_frames(DOMID_SELF, &mfn, 1, true, NULL);
    table2 = (volatile union grant_entry_v2 *)table;
    tap_ok(table != NULL, "that can be mapped, writable");
    tap_is(op1(GNTTABOP_query_size, &size), 0, "query_size");
    tap_ok(size.status == GNTST_okay && size.nr_frames >= 1 && size.max_nr_frames >= size.nr_frames,
           "%u of %u frames", size.nr_frames, size.max_nr_frames);
    s.nr_frames = size.max_nr_frames + 1;
    tap_is(op1(GNTTABOP_setup_table, &s), 0, "setup_table of one too many");
    tap_is(s.status, GNTST_general_error, "is an error");
    s = (struct gnttab_setup_table){.dom = 999};
    op1(GNTTABOP_setup_table, &s);
    tap_is(s.status, GNTST_bad_domain, "so is nobody's table");
    window = window_alloc(2);
    pte_machine_address(window); /* makes the tables above */
}

static void offer(grant_ref_t ref, const volatile void *page, uint16_t flags)
{
    table[ref].domid = 0;
    table[ref].frame = linear_to_mfn(page);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    table[ref].flags = GTF_permit_access | flags;
}

static int map(grant_ref_t ref, uint64_t at, uint32_t flags, grant_handle_t *handle)
{
    struct gnttab_map_grant_ref m = {.host_addr = at, .flags = flags, .ref = ref, .dom = 0};

    op1(GNTTABOP_map_grant_ref, &m);
    *handle = m.handle;
    return m.status;
}

static int unmap(uint64_t at, uint64_t bus, grant_handle_t handle)
{
    struct gnttab_unmap_grant_ref u = {.host_addr = at, .dev_bus_addr = bus, .handle = handle};

    op1(GNTTABOP_unmap_grant_ref, &u);
    return u.status;
}

static void test_map(void)
{
    uint32_t *page = page_alloc();
    grant_handle_t handle, second;
    uint64_t at = (uint32_t)window;
    pte_t pte;

    offer(FREE, page, 0);
    tap_is(map(FREE, at, GNTMAP_host_map | 3 << _GNTMAP_guest_avail0, &handle), GNTST_okay,
           "mapped");
    tap_is(table[FREE].flags, GTF_permit_access | GTF_reading | GTF_writing, "the entry shows it");
    *(volatile uint32_t *)window = 0x1234;
    tap_is(page[0], 0x1234, "both sides see one page");
    pte = pte_read(window, 1);
    tap_ok((pte & PTE_RW) && (pte >> 9 & 7) == 3, "the entry has the guest's bits");
    tap_is(mmuext_frame(MMUEXT_PIN_L1_TABLE, linear_to_mfn(page), DOMID_SELF), -XEN_EINVAL,
           "a page mapped so is no page table");
    tap_is(unmap(at + PAGE_SIZE, 0, handle), GNTST_general_error, "nothing to unmap there");
    tap_is(unmap(at, 0, 12345), GNTST_bad_handle, "no such handle");
    tap_is(map(FREE, at + PAGE_SIZE, GNTMAP_host_map | GNTMAP_readonly, &second), GNTST_okay,
           "mapped again, to read");
    tap_ok(!(pte_read(window + PAGE_SIZE, 1) & PTE_RW), "the entry is read-only");
    tap_is(unmap(at, 0, handle), GNTST_okay, "unmapped");
    tap_is(pte_read(window, 1), 0, "the entry is empty");
    tap_is(table[FREE].flags, GTF_permit_access | GTF_reading, "a reader remains");
    tap_is(unmap(at, 0, handle), GNTST_bad_handle, "the handle is gone");
    tap_is(unmap(at + PAGE_SIZE, 0, second), GNTST_okay, "unmapped");
    tap_is(table[FREE].flags, GTF_permit_access, "nobody remains");
    page_free(page);
}

static void test_pte_and_device(void)
{
    uint32_t *page = page_alloc();
    grant_handle_t handle;
    uint64_t at = pte_machine_address(window), bus = (uint64_t)linear_to_mfn(page) << PAGE_SHIFT;

    offer(FREE, page, 0);
    tap_is(map(FREE, at, GNTMAP_host_map | GNTMAP_contains_pte, &handle), GNTST_okay,
           "mapped by the entry's machine address");
    *(volatile uint32_t *)window = 77;
    tap_is(page[0], 77, "the page is there");
    tap_is(unmap(at, 0, handle), GNTST_okay, "unmapped by it");
    tap_is(map(FREE, bus, GNTMAP_host_map | GNTMAP_contains_pte, &handle), GNTST_general_error,
           "an entry outside page tables");
    tap_is(map(FREE, (uint32_t)window, GNTMAP_host_map | GNTMAP_device_map, &handle), GNTST_okay,
           "for processor and devices");
    tap_is(unmap((uint32_t)window, 0, handle), GNTST_okay, "the processor's map goes");
    tap_is(table[FREE].flags & GTF_writing, GTF_writing, "the devices' stays");
    tap_is(unmap(0, bus, handle), GNTST_okay, "and goes");
    tap_is(table[FREE].flags, GTF_permit_access, "nobody remains");
    page_free(page);
}

static void test_refused(void)
{
    uint32_t *page = page_alloc();
    grant_handle_t handle;
    uint64_t at = (uint32_t)window;
    struct gnttab_map_grant_ref m = {.host_addr = at, .flags = GNTMAP_host_map, .ref = FREE};

    offer(FREE, page, GTF_readonly);
    tap_is(map(FREE, at, GNTMAP_host_map, &handle), GNTST_general_error, "read-only, to write");
    tap_is(map(FREE + 1, at, GNTMAP_host_map, &handle), GNTST_general_error, "an unused entry");
    tap_is(map(FREE, at, 0, &handle), GNTST_bad_gntref, "for nobody");
    table[FREE].domid = 7;
    tap_is(map(FREE, at, GNTMAP_host_map | GNTMAP_readonly, &handle), GNTST_general_error,
           "another's grant");
    offer(FREE, page, 0);
    table[FREE].frame = 0xFFFFFF;
    tap_ok(map(FREE, at, GNTMAP_host_map, &handle) < 0, "no such frame");
    tap_is(table[FREE].flags, GTF_permit_access, "the entry is as before");
    tap_ok(map(1 << 20, at, GNTMAP_host_map, &handle) < 0, "beyond the table");
    m.dom = 999;
    op1(GNTTABOP_map_grant_ref, &m);
    tap_is(m.status, GNTST_bad_domain, "no such domain");
    tap_is(hv_grant_table_op(GNTTABOP_map_grant_ref, (void *)8, 1), -XEN_EFAULT, "no such list");
    tap_is(hv_grant_table_op(GNTTABOP_map_grant_ref, &m, 0), 0, "an empty list");
    tap_is(hv_grant_table_op(GNTTABOP_query_size, &m, 2), -XEN_EINVAL, "two of what must be one");
    tap_is(hv_grant_table_op(100, &m, 1), -XEN_ENOSYS, "no such operation");
    page_free(page);
}

static void test_copy(void)
{
    char *there = page_alloc(), *here = page_alloc();
    struct gnttab_copy c = {.source = {.u.ref = FREE, .domid = 0, .offset = 4000},
                            .dest = {.u.gmfn = linear_to_mfn(here), .domid = DOMID_SELF},
                            .len = 96,
                            .flags = GNTCOPY_source_gref};

    offer(FREE, there, GTF_readonly);
    strcpy(there + 4000, "through the hypervisor");
    tap_is(op1(GNTTABOP_copy, &c), 0, "copy");
    tap_is(c.status, GNTST_okay, "from a grant");
    tap_ok(strcmp(here, "through the hypervisor") == 0, "arrived: %s", here);
    c.len = 97;
    op1(GNTTABOP_copy, &c);
    tap_is(c.status, GNTST_bad_copy_arg, "beyond the page");
    c.len = 96;
    c.dest.domid = 0;
    op1(GNTTABOP_copy, &c);
    tap_is(c.status, GNTST_permission_denied, "a frame by a domain's number");
    c.dest.domid = DOMID_SELF;
    c.dest.u.gmfn = base_mfn();
    op1(GNTTABOP_copy, &c);
    tap_ok(c.status < 0, "onto a page table: %d", c.status);
    c = (struct gnttab_copy){.source = {.u.gmfn = linear_to_mfn(here), .domid = DOMID_SELF},
                             .dest = {.u.ref = FREE, .domid = 0},
                             .len = 10,
                             .flags = GNTCOPY_dest_gref};
    op1(GNTTABOP_copy, &c);
    tap_is(c.status, GNTST_general_error, "to a read-only grant");
    tap_is(table[FREE].flags, GTF_permit_access | GTF_readonly, "the entry is as before");
    page_free(here);
    page_free(there);
}

/* Through a transfer to itself a page changes its pfn: from page's to that of an unused one. */
static void test_transfer(void)
{
    uint32_t *page = page_alloc(), *target = page_alloc();
    uint32_t mfn = linear_to_mfn(page), pfn = mfn_to_pfn(mfn);
    uint32_t target_mfn = linear_to_mfn(target);
    struct gnttab_transfer t = {.mfn = target_mfn, .domid = 0, .ref = FREE};

    page[0] = 0xF00D;
    table[FREE].domid = 0;
    table[FREE].frame = pfn;
    table[FREE].flags = GTF_accept_transfer;
    tap_is(op1(GNTTABOP_transfer, &t), 0, "transfer of a page in use");
    tap_is(t.status, GNTST_bad_page, "is refused");
    tap_is(table[FREE].flags, GTF_accept_transfer, "and the entry is as before");
    map_page(page, 0);
    t.mfn = mfn;
    tap_is(op1(GNTTABOP_transfer, &t), 0, "transfer");
    tap_is(t.status, GNTST_okay, "of one that is not");
    tap_is(table[FREE].flags, GTF_accept_transfer | GTF_transfer_committed | GTF_transfer_completed,
           "completed");
    tap_is(table[FREE].frame, mfn, "the entry names the frame");
    tap_is(mfn_to_pfn(mfn), pfn, "the M2P its pfn");
    map_page(page, pte_make(mfn, PAGE_KERNEL));
    tap_is(page[0], 0xF00D, "its contents came along");
    table[FREE].flags = 0;
    page_free(page);
    page_free(target);
}

static void test_swap(void)
{
    uint32_t *a = page_alloc(), *b = page_alloc();
    struct gnttab_swap_grant_ref s = {.ref_a = FREE, .ref_b = FREE + 1};
    grant_handle_t handle;

    offer(FREE, a, 0);
    offer(FREE + 1, b, GTF_readonly);
    tap_is(op1(GNTTABOP_swap_grant_ref, &s), 0, "swap");
    tap_ok(s.status == GNTST_okay && table[FREE].frame == linear_to_mfn(b) &&
               table[FREE + 1].frame == linear_to_mfn(a),
           "two entries");
    map(FREE + 1, (uint32_t)window, GNTMAP_host_map, &handle);
    op1(GNTTABOP_swap_grant_ref, &s);
    tap_is(s.status, GNTST_eagain, "not while one is mapped");
    unmap((uint32_t)window, 0, handle);
    table[FREE].flags = table[FREE + 1].flags = 0;
    page_free(a);
    page_free(b);
}

/* A grant of a part of a page: for copies alone. */
static void test_sub_page(char *page, char *here)
{
    struct gnttab_copy c = {.source = {.u.ref = FREE, .domid = 0, .offset = 100},
                            .dest = {.u.gmfn = linear_to_mfn(here), .domid = DOMID_SELF},
                            .len = 10,
                            .flags = GNTCOPY_source_gref};
    grant_handle_t handle;

    table2[FREE].sub_page.hdr.domid = 0;
    table2[FREE].sub_page.page_off = 100;
    table2[FREE].sub_page.length = 10;
    table2[FREE].sub_page.frame = linear_to_mfn(page);
    table2[FREE].sub_page.hdr.flags = GTF_permit_access | GTF_sub_page;
    tap_is(map(FREE, (uint32_t)window, GNTMAP_host_map, &handle), GNTST_general_error,
           "a part of a page cannot be mapped");
    strcpy(page + 100, "a part");
    op1(GNTTABOP_copy, &c);
    tap_ok(c.status == GNTST_okay && strcmp(here, "a part") == 0, "but copied: %s", here);
    c.len = 11;
    op1(GNTTABOP_copy, &c);
    tap_is(c.status, GNTST_general_error, "within its bounds");
    table2[FREE].hdr.flags = 0;
}

static void test_version_2(void)
{
    char *page = page_alloc(), *here = page_alloc();
    struct gnttab_set_version v = {.version = 2};
    struct gnttab_get_version g = {.dom = DOMID_SELF};
    struct gnttab_get_status_frames st = {.nr_frames = 1, .dom = DOMID_SELF};
    volatile grant_status_t *status;
    grant_handle_t handle;
    uint64_t frame;
    uint32_t mfn;

    offer(2, page, GTF_readonly);
    offer(FREE, page, 0);
    map(FREE, (uint32_t)window, GNTMAP_host_map, &handle);
    tap_is(op1(GNTTABOP_set_version, &v), -XEN_EBUSY, "no new version while entries are in use");
    unmap((uint32_t)window, 0, handle);
    v.version = 3;
    tap_is(op1(GNTTABOP_set_version, &v), -XEN_EINVAL, "no version 3");
    v.version = 2;
    tap_is(op1(GNTTABOP_set_version, &v), 0, "version 2");
    op1(GNTTABOP_get_version, &g);
    tap_is(g.version, 2, "is in force");
    tap_ok(table2[2].hdr.flags == (GTF_permit_access | GTF_readonly) &&
               table2[2].full_page.frame == linear_to_mfn(page),
           "the third entry is there in its new form");
    tap_is(table2[FREE].hdr.flags, 0, "others are not");
    set_xen_guest_handle(st.frame_list, &frame);
    op1(GNTTABOP_get_status_frames, &st);
    tap_is(st.status, GNTST_okay, "there is a status frame");
    mfn = frame;
    status = map_frames(DOMID_SELF, &mfn, 1, false, NULL);
    map(2, (uint32_t)window, GNTMAP_host_map | GNTMAP_readonly, &handle);
    tap_is(status[2], GTF_reading, "where a map shows");
    unmap((uint32_t)window, 0, handle);
    tap_is(status[2], 0, "and its end");

    test_sub_page(page, here);
    unmap_frames((void *)status, 1);
    v.version = 1;
    tap_is(op1(GNTTABOP_set_version, &v), 0, "version 1 again");
    tap_ok(table[2].flags == (GTF_permit_access | GTF_readonly) &&
               table[2].frame == linear_to_mfn(page),
           "the third entry is there in its old form");
    table[2].flags = 0;
    page_free(page);
    page_free(here);
}

/* More maps of one page than a frame of handles has; Xen allows 128 of each kind for one entry. */
static void test_many(void)
{
    enum { MANY = 300 };
    static struct gnttab_map_grant_ref m[MANY];
    static struct gnttab_unmap_grant_ref u[MANY];
    char *at = window_alloc(MANY);
    uint32_t *page = page_alloc();
    bool good = true;

    for (int i = 0; i < 3; i++)
        offer(FREE + i, page, 0);
    for (int i = 0; i < MANY; i++) {
        pte_machine_address(at + i * PAGE_SIZE);
        m[i] =
            (struct gnttab_map_grant_ref){.host_addr = (uint32_t)at + i * PAGE_SIZE,
                                          .flags = GNTMAP_host_map | (i % 2 ? GNTMAP_readonly : 0),
                                          .ref = FREE + i % 3,
                                          .dom = 0};
    }
    tap_is(hv_grant_table_op(GNTTABOP_map_grant_ref, m, MANY), 0, "%d maps at once", MANY);
    for (int i = 0; i < MANY; i++) {
        good &= m[i].status == GNTST_okay;
        page[0] = i;
        good = good && *(volatile uint32_t *)(at + i * PAGE_SIZE) == (uint32_t)i;
        u[i] = (struct gnttab_unmap_grant_ref){.host_addr = m[i].host_addr, .handle = m[i].handle};
    }
    tap_ok(good, "each shows the page");
    tap_is(hv_grant_table_op(GNTTABOP_unmap_grant_ref, u, MANY), 0, "%d unmaps at once", MANY);
    for (int i = 0; i < MANY; i++)
        good &= u[i].status == GNTST_okay && pte_read(at + i * PAGE_SIZE, 1) == 0;
    for (int i = 0; i < 3; i++) {
        good &= table[FREE + i].flags == GTF_permit_access;
        table[FREE + i].flags = 0;
    }
    tap_ok(good, "nothing is left");
    window_free(at, MANY);
    page_free(page);
}

int main(void)
{
    setup();
    test_map();
    test_pte_and_device();
    test_refused();
    test_copy();
    test_transfer();
    test_swap();
    test_version_2();
    test_many();
    tap_audit();
    tap_done();
}
