/* SPDX-License-Identifier: MIT */
/*
 * test_memory_op.c: reservations, exchange and memory maps, from the hypercall, with the audit
 * behind each test.
 *
 * units: mm/grant_table.c mm/grant_map.c mm/grant_setup.c
 * units: mm/grants/copy.c mm/grants/transfer.c mm/grants/version.c
 * units: mm/memory_op.c mm/reservation.c mm/exchange/exchange.c mm/memory_map.c
 * units: xen/ranges.c mm/types.c mm/entries.c mm/l1.c mm/l2_table.c mm/walk.c xen/debug/audit.c
 * units: mm/alloc.c mm/ownership.c mm/xzalloc.c
 * units: tests/host/machine.c tests/host/machine_mm.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine.h"
#include <ringlet/hypercall.h>
#include <xen/memory.h>

enum { FRAMES = 0x4000, MAX_PAGES = 2000 };

static struct domain *control, *guest;
static uint32_t before;

static union {
    struct xen_memory_reservation r;
    struct xen_memory_exchange x;
    struct xen_memory_domain who;
    struct xen_machphys_mfn_list mfns;
    struct xen_machphys_mapping mapping;
    struct xen_memory_map map;
    struct xen_foreign_memory_map set;
    struct xen_add_to_physmap add;
} *const g = (void *)GUEST_MEMORY;
static xen_pfn_t *const list = (void *)(GUEST_MEMORY + 0x1000);
static xen_pfn_t *const list2 = (void *)(GUEST_MEMORY + 0x8000);

static int start(void **state)
{
    (void)state;
    machine_init(FRAMES);
    before = free_frame_count();
    control = machine_domain(0, 100);
    control->privileged = true;
    guest = machine_domain(4, MAX_PAGES);
    grant_table_init(control);
    grant_table_init(guest);
    guest->shared_info = calloc(1, sizeof(*guest->shared_info));
    machine_run(guest);
    return 0;
}

static int end(void **state)
{
    (void)state;
    machine_on_unlock = NULL;
    assert_int_equal(audit_frames(), 0);
    free(guest->shared_info);
    xfree(guest->memory_map);
    machine_kill(guest);
    machine_kill(control);
    assert_int_equal(seen.domains_freed, 2);
    assert_int_equal(free_frame_count(), before);
    return 0;
}

static long reserve(unsigned op, domid_t domid, unsigned n, unsigned order, unsigned flags)
{
    g->r = (struct xen_memory_reservation){.extent_start = {list},
                                           .nr_extents = n,
                                           .extent_order = order,
                                           .mem_flags = flags,
                                           .domid = domid};
    return do_memory_op(op, g);
}

static void test_populate(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        list[i] = 1000 + i;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 100, 0, 0), 100);
    assert_int_equal(guest->tot_pages, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(m2p[list[i]], 1000 + i);
        assert_ptr_equal(frame_owner(mfn_frame(list[i])), guest);
    }
    list[0] = 5000;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1, 9, 0), 1);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(m2p[list[0] + i], 5000 + i);
    /* The limit, and only as far as that: 2000 - 612. */
    for (unsigned i = 0; i < 1500; i++)
        list[i] = i;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1500, 0, 0), 1388);
    assert_int_equal(guest->tot_pages, MAX_PAGES);
    assert_int_equal(list[1388], 1388); /* untouched */
}

static void test_bad_extents(void **state)
{
    (void)state;
    list[0] = 0;
    assert_int_equal(do_memory_op(XENMEM_populate_physmap, NULL), 0);
    assert_int_equal(do_memory_op(XENMEM_populate_physmap | 7 << 6, NULL), 7);
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1, 10, 0), 0);
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1, 0x80000000, 0), 0);
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 0, 0, 0), 0);
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 0xFFFFFFFF, 0, 0), 0);
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1, 0, XENMEMF_address_bits(12)),
                     0);
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1, 0, XENMEMF_populate_on_demand),
                     0);
    assert_int_equal(reserve(XENMEM_populate_physmap, 0, 1, 0, 0), 0); /* no power over it */
    assert_int_equal(reserve(XENMEM_populate_physmap, 77, 1, 0, 0), 0);
    list[0] = 0xFFFFFFFF; /* no pfn */
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1, 0, 0), 0);
    list[0] = 0xFFFFFF00;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1, 9, 0), 0);
    /* A list that can be read and not written, one that can be neither. */
    g->r = (struct xen_memory_reservation){
        .extent_start = {(xen_pfn_t *)(GUEST_MEMORY + GUEST_MEMORY_SIZE / 2)},
        .nr_extents = 2,
        .domid = DOMID_SELF};
    assert_int_equal(do_memory_op(XENMEM_populate_physmap, g), 0);
    assert_int_equal(do_memory_op(XENMEM_increase_reservation, g), 0);
    g->r.extent_start.p = NULL;
    assert_int_equal(do_memory_op(XENMEM_populate_physmap, g), 0);
    assert_int_equal(do_memory_op(XENMEM_decrease_reservation, g), 0);
    assert_int_equal(guest->tot_pages, 0);
    assert_int_equal(free_frame_count(), before);
}

static void test_increase_and_decrease(void **state)
{
    xen_pfn_t kept;

    (void)state;
    assert_int_equal(
        reserve(XENMEM_increase_reservation, DOMID_SELF, 8, 3, XENMEMF_address_bits(24)), 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(list[i] % 8, 0);
        assert_true(list[i] + 8 <= 1u << 12);
    }
    assert_int_equal(guest->tot_pages, 64);
    g->r.extent_start.p = NULL; /* where they are need not be told */
    assert_int_equal(do_memory_op(XENMEM_increase_reservation, g), 8);
    assert_int_equal(guest->tot_pages, 128);

    kept = list[2];
    list[5] = list[4]; /* given back twice */
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 8, 3, 0), 5);
    assert_int_equal(guest->tot_pages, 128 - 40);
    assert_int_equal(mfn_frame(kept)->owner, OWNER_NONE);
    list[0] = FRAMES;
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 1, 0, 0), 0);
    list[0] = FRAMES - 1;
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 1, 3, 0), 0);
    list[0] = ~0ul;
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 1, 0, 0), 0);
    list[0] = kept; /* free */
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 1, 0, 0), 0);
}

/* What is in use stays till it is let go; what is the hypervisor's cannot be given back. */
static void test_decrease_in_use(void **state)
{
    void *shared = heap_alloc_pages(0);
    mfn_t l1 = machine_l1(guest);

    (void)state;
    share_heap_page(guest, shared, true);
    list[0] = direct_mfn(shared);
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 1, 0, 0), 0);
    unshare_heap_page(guest, shared);
    list[0] = l1;
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 1, 0, 0), 1);
    assert_int_equal(guest->tot_pages, 1);
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 1, 0, 0), 0);
    machine_drop_table(l1);
    assert_int_equal(guest->tot_pages, 0);
}

static void test_extents_are_whole(void **state)
{
    xen_pfn_t first;

    (void)state;
    assert_int_equal(reserve(XENMEM_increase_reservation, DOMID_SELF, 1, 2, 0), 1);
    first = list[0];
    list[0] = first + 2;
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 1, 0, 0), 1);
    list[0] = first;
    assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, 1, 2, 0), 0);
    assert_int_equal(guest->tot_pages, 3);
}

static void test_preemption(void **state)
{
    long rc;

    (void)state;
    for (unsigned i = 0; i < 50; i++)
        list[i] = i;
    preempt_after = 20;
    rc = reserve(XENMEM_populate_physmap, DOMID_SELF, 50, 0, 0);
    assert_int_equal(rc, -ERESTART);
    assert_int_equal(seen.continued[0], XENMEM_populate_physmap | 20 << 6);
    assert_int_equal(guest->tot_pages, 20);
    assert_int_equal(do_memory_op(seen.continued[0], g), 50);
    assert_int_equal(guest->tot_pages, 50);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(m2p[list[i]], i);
}

static void test_control_domain_builds(void **state)
{
    (void)state;
    machine_run(control);
    list[0] = 0;
    assert_int_equal(reserve(XENMEM_populate_physmap, 4, 1, 10, 0), 1);
    assert_int_equal(guest->tot_pages, 1024);
    assert_int_equal(control->tot_pages, 0);
    assert_int_equal(reserve(XENMEM_populate_physmap, 4, 1, 11, 0), 0);
    list[0] = 0;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1, 10, 0), 0); /* its limit */
    guest->state = DOMAIN_DYING;
    assert_int_equal(reserve(XENMEM_populate_physmap, 4, 1, 0, 0), 0);
    guest->state = DOMAIN_ALIVE;
}

static long exchange(unsigned nr_in, unsigned in_order, unsigned nr_out, unsigned out_order,
                     unsigned bits)
{
    g->x = (struct xen_memory_exchange){.in = {.extent_start = {list},
                                               .nr_extents = nr_in,
                                               .extent_order = in_order,
                                               .domid = DOMID_SELF},
                                        .out = {.extent_start = {list2},
                                                .nr_extents = nr_out,
                                                .extent_order = out_order,
                                                .mem_flags = XENMEMF_address_bits(bits),
                                                .domid = DOMID_SELF}};
    return do_memory_op(XENMEM_exchange, g);
}

/* Sixteen single frames for one piece below 16 MiB, and back; the M2P follows. */
static void test_exchange(void **state)
{
    xen_pfn_t old[16];

    (void)state;
    for (unsigned i = 0; i < 16; i++)
        list[i] = 100 + i;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 16, 0, 0), 16);
    memcpy(old, list, sizeof(old));
    list2[0] = 100;
    assert_int_equal(exchange(16, 0, 1, 4, 24), 0);
    assert_int_equal(g->x.nr_exchanged, 16);
    assert_true(list2[0] + 16 <= 4096 && list2[0] % 16 == 0);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(m2p[list2[0] + i], 100 + i);
        assert_int_equal(mfn_frame(old[i])->owner, OWNER_NONE);
        assert_int_equal(m2p[old[i]], INVALID_M2P);
    }
    assert_int_equal(guest->tot_pages, 16);
    assert_int_equal(audit_frames(), 0);

    list[0] = list2[0];
    for (unsigned i = 0; i < 16; i++)
        list2[i] = 200 + i;
    assert_int_equal(exchange(1, 4, 16, 0, 0), 0);
    assert_int_equal(g->x.nr_exchanged, 1);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(m2p[list2[i]], 200 + i);
    assert_int_equal(guest->tot_pages, 16);
}

/*
 * When the lock is dropped another vcpu may give the frame back, and it may be another domain's
 * before the next instruction here: its M2P entry must stand already.
 */
static void m2p_stands(const spinlock_t *l)
{
    if (l == &guest->page_lock && guest->page_list)
        assert_int_not_equal(m2p[guest->page_list], INVALID_M2P);
}

static void test_m2p_before_owner(void **state)
{
    (void)state;
    machine_on_unlock = m2p_stands;
    for (unsigned i = 0; i < 16; i++)
        list[i] = 100 + i;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 16, 0, 0), 16);
    list2[0] = 200;
    assert_int_equal(exchange(16, 0, 1, 4, 0), 0);
}

static void test_exchange_refused(void **state)
{
    uint32_t used;
    mfn_t l1;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        list[i] = i;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 8, 0, 0), 8);
    used = free_frame_count();
    list2[0] = 0;
    assert_int_equal(do_memory_op(XENMEM_exchange, NULL), -EFAULT);
    assert_int_equal(exchange(8, 0, 1, 10, 0), -EPERM);
    assert_int_equal(exchange(8, 0, 1, 4, 0), -EINVAL); /* not the same number */
    assert_int_equal(exchange(8, 0, 1, 3, 12), -EINVAL);
    assert_int_equal(exchange(0x80000001, 1, 1, 1, 0), -EINVAL); /* wraps */
    g->x.in.extent_order = 0;
    g->x.in.domid = 4;
    assert_int_equal(do_memory_op(XENMEM_exchange, g), -EINVAL);
    assert_int_equal(exchange(8, 0, 1, 3, 13), -ENOMEM);
    assert_int_equal(g->x.nr_exchanged, 0);
    list2[0] = 0xFFFFFFFF;
    assert_int_equal(exchange(8, 0, 1, 3, 0), -EINVAL);
    list2[0] = 0;
    g->x.nr_exchanged = 9;
    assert_int_equal(do_memory_op(XENMEM_exchange, g), -EINVAL);
    /* The last of eight is in use: all stay, with pfns and contents. */
    l1 = machine_l1(guest);
    m2p[l1] = 55;
    used = free_frame_count();
    list[7] = l1;
    strcpy(direct_map((maddr_t)list[0] << PAGE_SHIFT), "kept");
    assert_int_equal(exchange(8, 0, 1, 3, 0), -EINVAL);
    assert_int_equal(free_frame_count(), used);
    assert_int_equal(guest->tot_pages, 9);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(m2p[list[i]], i);
    assert_string_equal(direct_map((maddr_t)list[0] << PAGE_SHIFT), "kept");
    machine_drop_table(l1);
    list[7] = FRAMES + 5;
    assert_int_equal(exchange(8, 0, 1, 3, 0), -EINVAL);
    /* Lists that cannot be read or written. */
    exchange(8, 0, 1, 3, 0);
    g->x.nr_exchanged = 0;
    g->x.out.extent_start.p = (xen_pfn_t *)(GUEST_MEMORY + GUEST_MEMORY_SIZE / 2);
    assert_int_equal(do_memory_op(XENMEM_exchange, g), -EFAULT);
    g->x.out.extent_start.p = list2;
    g->x.in.extent_start.p = NULL;
    assert_int_equal(do_memory_op(XENMEM_exchange, g), -EFAULT);
    assert_int_equal(guest->tot_pages, 9);
    g->x.in.domid = g->x.out.domid = 0;
    assert_int_equal(do_memory_op(XENMEM_exchange, g), -EPERM);
    g->x.in.domid = g->x.out.domid = 99;
    assert_int_equal(do_memory_op(XENMEM_exchange, g), -ESRCH);
}

/* The control domain lowered the limit: trading what one has goes on working, taking more does not. */
static void test_exchange_above_limit(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        list[i] = i;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 8, 0, 0), 8);
    guest->max_pages = 4;
    list2[0] = 0;
    assert_int_equal(exchange(8, 0, 1, 3, 0), 0);
    assert_int_equal(guest->tot_pages, 8);
    list[0] = 100;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 1, 0, 0), 0);
    /* A dying domain loses what is in hand. */
    guest->state = DOMAIN_DYING;
    list[0] = list2[0];
    for (unsigned i = 0; i < 8; i++)
        list2[i] = i;
    assert_int_equal(exchange(1, 3, 8, 0, 0), -EINVAL);
    assert_int_equal(guest->tot_pages, 0);
    assert_int_equal(guest->refs, 1);
}

static void test_exchange_in_parts(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++)
        list[i] = i;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 12, 0, 0), 12);
    for (unsigned i = 0; i < 3; i++)
        list2[i] = 4 * i;
    preempt_after = 2;
    assert_int_equal(exchange(12, 0, 3, 2, 0), -ERESTART);
    assert_int_equal(g->x.nr_exchanged, 8);
    assert_int_equal(do_memory_op(XENMEM_exchange, g), 0);
    assert_int_equal(g->x.nr_exchanged, 12);
    assert_int_equal(guest->tot_pages, 12);
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(m2p[list2[i / 4] + i % 4], i);
    /* The second of two chunks fails: the first is done and told. */
    for (unsigned i = 0; i < 8; i++)
        list[i] = list2[i / 4] + i % 4;
    list[6] = 0;
    assert_int_equal(exchange(8, 0, 2, 2, 0), -EINVAL);
    assert_int_equal(g->x.nr_exchanged, 4);
    assert_int_equal(guest->tot_pages, 12);
}

static void test_questions(void **state)
{
    (void)state;
    assert_int_equal(do_memory_op(XENMEM_maximum_ram_page, NULL), FRAMES);
    assert_int_equal(do_memory_op(XENMEM_current_reservation, NULL), -EFAULT);
    g->who.domid = DOMID_SELF;
    assert_int_equal(do_memory_op(XENMEM_current_reservation, g), 0);
    assert_int_equal(do_memory_op(XENMEM_maximum_reservation, g), MAX_PAGES);
    guest->shared_info->arch.max_pfn = 77;
    assert_int_equal(do_memory_op(XENMEM_maximum_gpfn, g), 76);
    g->who.domid = 0;
    assert_int_equal(do_memory_op(XENMEM_maximum_reservation, g), -EPERM);
    g->who.domid = 50;
    assert_int_equal(do_memory_op(XENMEM_maximum_reservation, g), -ESRCH);
    g->who.domid = DOMID_IO;
    assert_int_equal(do_memory_op(XENMEM_maximum_reservation, g), -ESRCH);
    machine_run(control);
    g->who.domid = 4;
    assert_int_equal(do_memory_op(XENMEM_maximum_reservation, g), MAX_PAGES);
    g->add.domid = DOMID_SELF;
    assert_int_equal(do_memory_op(XENMEM_add_to_physmap, g), -EACCES);
    g->add.domid = 51;
    assert_int_equal(do_memory_op(XENMEM_remove_from_physmap, g), -ESRCH);
    assert_int_equal(do_memory_op(XENMEM_add_to_physmap_batch, NULL), -EFAULT);
    assert_int_equal(do_memory_op(XENMEM_claim_pages, g), -ENOSYS);
    assert_int_equal(do_memory_op(63, g), -ENOSYS);
    assert_int_equal(do_memory_op(XENMEM_get_sharing_freed_pages, NULL), 0);
}

static void test_m2p(void **state)
{
    (void)state;
    assert_int_equal(do_memory_op(XENMEM_machphys_mapping, g), 0);
    assert_int_equal(g->mapping.v_start, 0xF5800000);
    assert_int_equal(g->mapping.v_end, 0xF6800000);
    assert_int_equal(g->mapping.max_mfn, 0x3FFFFF);
    assert_int_equal(do_memory_op(XENMEM_machphys_mapping, NULL), -EFAULT);
    g->mfns = (struct xen_machphys_mfn_list){.max_extents = 10, .extent_start = {list}};
    assert_int_equal(do_memory_op(XENMEM_machphys_mfn_list, g), 0);
    assert_int_equal(g->mfns.nr_extents, 1);
    assert_int_equal(list[0], 0x8000);
    g->mfns.extent_start.p = NULL;
    assert_int_equal(do_memory_op(XENMEM_machphys_mfn_list, g), -EFAULT);
    assert_int_equal(do_memory_op(XENMEM_machphys_mfn_list, NULL), -EFAULT);
}

static void test_memory_maps(void **state)
{
    struct e820_entry *map = (void *)list;

    (void)state;
    assert_int_equal(do_memory_op(XENMEM_memory_map, g), -ENOSYS);
    assert_int_equal(do_memory_op(XENMEM_machine_memory_map, g), -EPERM);
    machine_run(control);
    map[0] = (struct e820_entry){0, 0x8000000, E820_RAM};
    map[1] = (struct e820_entry){0x8000000, 0x1000, 2};
    g->set =
        (struct xen_foreign_memory_map){.domid = 4, .map = {.nr_entries = 129, .buffer = {list}}};
    assert_int_equal(do_memory_op(XENMEM_set_memory_map, g), -EINVAL);
    g->set.map.nr_entries = 2;
    assert_int_equal(do_memory_op(XENMEM_set_memory_map, g), 0);
    g->set.map.buffer.p = NULL;
    assert_int_equal(do_memory_op(XENMEM_set_memory_map, g), -EFAULT);
    g->set.domid = 9;
    assert_int_equal(do_memory_op(XENMEM_set_memory_map, g), -ESRCH);
    assert_int_equal(do_memory_op(XENMEM_set_memory_map, NULL), -EFAULT);

    boot_memory_map_entries = 2;
    boot_memory_map[1] = (struct e820_entry){1, 2, 3};
    g->map = (struct xen_memory_map){.nr_entries = 0};
    assert_int_equal(do_memory_op(XENMEM_machine_memory_map, g), 0);
    assert_int_equal(g->map.nr_entries, 2);
    g->map = (struct xen_memory_map){.nr_entries = 1, .buffer = {list}};
    assert_int_equal(do_memory_op(XENMEM_machine_memory_map, g), -EINVAL);
    g->map.nr_entries = 20;
    assert_int_equal(do_memory_op(XENMEM_machine_memory_map, g), 0);
    assert_int_equal(g->map.nr_entries, 2);
    assert_int_equal(map[1].type, 3);

    machine_run(guest);
    g->set = (struct xen_foreign_memory_map){.domid = 0};
    assert_int_equal(do_memory_op(XENMEM_set_memory_map, g), -EPERM);
    g->map = (struct xen_memory_map){.nr_entries = 1, .buffer = {list}};
    assert_int_equal(do_memory_op(XENMEM_memory_map, g), 0);
    assert_int_equal(g->map.nr_entries, 1);
    assert_int_equal(map[0].size, 0x8000000);
    assert_int_equal(map[1].type, 3);
    g->map.nr_entries = 100;
    assert_int_equal(do_memory_op(XENMEM_memory_map, g), 0);
    assert_int_equal(g->map.nr_entries, 2);
    assert_int_equal(map[1].addr, 0x8000000);
    g->map.buffer.p = NULL;
    assert_int_equal(do_memory_op(XENMEM_memory_map, g), -EFAULT);
    assert_int_equal(do_memory_op(XENMEM_memory_map, NULL), -EFAULT);
}

/* Down and up again, in random order and sizes: the limit holds, nothing is lost. */
static void test_balloon(void **state)
{
    static xen_pfn_t have[MAX_PAGES];
    unsigned n = 0;

    (void)state;
    for (unsigned step = 0; step < 3000; step++) {
        unsigned want = 1 + machine_random(64), done;

        if (machine_random(2)) {
            for (unsigned i = 0; i < want; i++)
                list[i] = n + i;
            done = reserve(XENMEM_populate_physmap, DOMID_SELF, want, 0, 0);
            assert_int_equal(done, MIN(want, MAX_PAGES - n));
            memcpy(have + n, list, done * sizeof(*list));
            n += done;
        } else {
            done = MIN(want, n);
            for (unsigned i = 0; i < done; i++)
                list[i] = have[--n];
            assert_int_equal(reserve(XENMEM_decrease_reservation, DOMID_SELF, done, 0, 0), done);
        }
        assert_int_equal(guest->tot_pages, n);
        assert_int_equal(free_frame_count(), before - n);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        T(test_populate),
        T(test_bad_extents),
        T(test_increase_and_decrease),
        T(test_decrease_in_use),
        T(test_extents_are_whole),
        T(test_preemption),
        T(test_exchange),
        T(test_control_domain_builds),
        T(test_m2p_before_owner),
        T(test_exchange_refused),
        T(test_questions),
        T(test_exchange_in_parts),
        T(test_exchange_above_limit),
        T(test_m2p),
        T(test_memory_maps),
        T(test_balloon),
    };

    return cmocka_run_group_tests_name("memory_op", tests, NULL, NULL);
}
