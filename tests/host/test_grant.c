/* SPDX-License-Identifier: MIT */
/*
 * test_grant.c: grant tables, from the operations guests call, with the real frame types and the
 * audit behind them.
 *
 * Domain 1 grants, domain 2 maps. After each test both die, the audit must find nothing, and memory
 * must be as before.
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

enum { FRAMES = 0x2000, VA = 0x5000 };

static struct domain *granter, *mapper;
static mfn_t l1, l2; /* the mapper's address space */
static uint32_t before;
static struct grant_entry_v1 *table; /* the granter's, as the guest sees it */

/* Where the guest keeps its arguments. */
static union {
    struct gnttab_map_grant_ref map[40];
    struct gnttab_unmap_grant_ref unmap[40];
    struct gnttab_unmap_and_replace replace[4];
    struct gnttab_copy copy[4];
    struct gnttab_transfer transfer[4];
    struct gnttab_setup_table setup;
    struct gnttab_query_size size;
    struct gnttab_set_version set_version;
    struct gnttab_get_version get_version;
    struct gnttab_get_status_frames status;
    struct gnttab_swap_grant_ref swap;
    struct gnttab_dump_table dump;
} *const g = (void *)GUEST_MEMORY;
static xen_pfn_t *const list = (void *)(GUEST_MEMORY + 0x8000);

static int setup_frames(struct domain *d, unsigned n)
{
    machine_run(d);
    g->setup = (struct gnttab_setup_table){.dom = DOMID_SELF, .nr_frames = n, .frame_list = {list}};
    assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, g, 1), 0);
    return g->setup.status;
}

static int start(void **state)
{
    (void)state;
    machine_init(FRAMES);
    before = free_frame_count();
    granter = machine_domain(1, 200);
    mapper = machine_domain(2, 200);
    grant_table_init(granter);
    grant_table_init(mapper);
    assert_int_equal(setup_frames(granter, 1), GNTST_okay);
    table = map_frame(list[0]);
    unmap_frame(table);
    machine_run(mapper);
    l2 = machine_address_space(mapper, &l1);
    /*
     * The table under construction has a reference that nothing the audit knows of holds: the
     * vcpu's root stands in.
     */
    return 0;
}

/* The audit finds all in order, but for the L2 that this test holds by hand. */
static void check(void)
{
    mapper->vcpus[0]->old_table = l2;
    assert_int_equal(audit_frames(), 0);
    mapper->vcpus[0]->old_table = INVALID_MFN;
    assert_int_equal(seen.maps_held, 0);
}

static int end(void **state)
{
    (void)state;
    check();
    machine_drop_table(l2);
    machine_kill(mapper);
    machine_kill(granter);
    assert_int_equal(seen.domains_freed, 2);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(free_frame_count(), before);
    return 0;
}

/* The granter offers a fresh frame as entry `ref` and gets its number. */
static mfn_t offer(grant_ref_t ref, uint16_t flags)
{
    mfn_t mfn = alloc_domain_frames(granter, 0, 0);

    table[ref] =
        (struct grant_entry_v1){.flags = GTF_permit_access | flags, .domid = 2, .frame = mfn};
    return mfn;
}

static int map_at(uint64_t addr, grant_ref_t ref, uint32_t flags, grant_handle_t *handle)
{
    machine_run(mapper);
    g->map[0] = (struct gnttab_map_grant_ref){
        .host_addr = addr, .flags = flags, .ref = ref, .dom = 1, .status = 99, .handle = 77};
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, g, 1), 0);
    if (handle)
        *handle = g->map[0].handle;
    return g->map[0].status;
}

static int unmap_at(uint64_t addr, uint64_t bus, grant_handle_t handle)
{
    machine_run(mapper);
    g->unmap[0] = (struct gnttab_unmap_grant_ref){
        .host_addr = addr, .dev_bus_addr = bus, .handle = handle, .status = 99};
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, g, 1), 0);
    return g->unmap[0].status;
}

static uint32_t types_of(mfn_t mfn)
{
    return mfn_frame(mfn)->type_info & FT_COUNT;
}

static void test_map_and_unmap(void **state)
{
    mfn_t mfn = offer(20, 0);
    grant_handle_t h;
    pte_t e;

    (void)state;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map | GNTMAP_application_map | (5 << 16), &h),
                     GNTST_okay);
    assert_int_equal(g->map[0].dev_bus_addr, (uint64_t)mfn << PAGE_SHIFT);
    assert_int_equal(table[20].flags, GTF_permit_access | GTF_reading | GTF_writing);
    e = machine_pte(l1, VA >> 12);
    assert_int_equal(pte_mfn(e), mfn);
    assert_int_equal(e & 0xFFF, PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | 5 << 9);
    assert_true(e & PTE_NX);
    assert_int_equal(types_of(mfn), 2);
    check();
    assert_int_equal(unmap_at(VA + 0x1000, 0, h), GNTST_general_error);
    assert_int_equal(unmap_at(VA, 0, h + 1), GNTST_bad_handle);
    assert_int_equal(unmap_at(VA, 0, 0xFFFFFFFF), GNTST_bad_handle);
    seen.flushes = 0;
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
    assert_true(seen.flushes >= 1);
    assert_int_equal(machine_pte(l1, VA >> 12), 0);
    assert_int_equal(table[20].flags, GTF_permit_access);
    assert_int_equal(types_of(mfn), 0);
    assert_int_equal(unmap_at(VA, 0, h), GNTST_bad_handle);
}

static void test_readonly(void **state)
{
    mfn_t mfn = offer(20, GTF_readonly);
    grant_handle_t h, w;

    (void)state;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, NULL), GNTST_general_error);
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map | GNTMAP_readonly, &h), GNTST_okay);
    assert_int_equal(table[20].flags, GTF_permit_access | GTF_readonly | GTF_reading);
    assert_false(machine_pte(l1, VA >> 12) & PTE_RW);
    assert_int_equal(types_of(mfn), 0);
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);

    /* A handle to a writable map takes no read-only entry away, nor the other way round. */
    offer(21, 0);
    assert_int_equal(map_at(VA, 21, GNTMAP_host_map | GNTMAP_readonly, &h), GNTST_okay);
    assert_int_equal(map_at(VA + 0x1000, 21, GNTMAP_host_map, &w), GNTST_okay);
    assert_int_equal(table[21].flags, GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(unmap_at(VA, 0, w), GNTST_general_error);
    assert_int_equal(unmap_at(VA + 0x1000, 0, h), GNTST_general_error);
    check();
    assert_int_equal(unmap_at(VA + 0x1000, 0, w), GNTST_okay);
    assert_int_equal(table[21].flags, GTF_permit_access | GTF_reading);
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
    assert_int_equal(table[21].flags, GTF_permit_access);
}

static void test_refused(void **state)
{
    mfn_t mfn = offer(20, 0);

    (void)state;
    assert_int_equal(map_at(VA, 512, GNTMAP_host_map, NULL), GNTST_bad_gntref);
    assert_int_equal(map_at(VA, 0xFFFFFFFF, GNTMAP_host_map, NULL), GNTST_bad_gntref);
    assert_int_equal(map_at(VA, 20, GNTMAP_readonly, NULL), GNTST_bad_gntref);
    assert_int_equal(map_at(VA, 21, GNTMAP_host_map, NULL), GNTST_general_error); /* GTF_invalid */
    table[20].domid = 3;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, NULL), GNTST_general_error);
    table[20].domid = 2;
    table[20].flags = GTF_accept_transfer;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, NULL), GNTST_general_error);
    table[20].flags = GTF_permit_access;
    table[20].frame = FRAMES + 1;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, NULL), GNTST_bad_page);
    table[20].frame = 0xFFFFFFFF;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, NULL), GNTST_bad_page);
    table[20].frame = l1; /* the mapper's own */
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, NULL), GNTST_bad_page);
    table[20].frame = mfn;
    assert_int_equal(map_at(0x200000, 20, GNTMAP_host_map, NULL),
                     GNTST_general_error); /* no table */
    assert_int_equal(map_at(HYPERVISOR_START, 20, GNTMAP_host_map, NULL), GNTST_general_error);
    assert_int_equal(map_at(1ull << 32, 20, GNTMAP_host_map, NULL), GNTST_general_error);
    g->map[0].dom = 7;
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, g, 1), 0);
    assert_int_equal(g->map[0].status, GNTST_bad_domain);
    assert_int_equal(table[20].flags, GTF_permit_access);
    assert_int_equal(mfn_frame(mfn)->count_info, FC_ALLOCATED | 1);
    /* A page table of the granter's may be read, not written. */
    assert_int_equal(get_frame_and_type(mfn_frame(mfn), granter, FT_L1), 0);
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, NULL), GNTST_general_error);
    assert_int_equal(table[20].flags, GTF_permit_access);
    put_frame_and_type(mfn_frame(mfn));
}

static void test_contains_pte(void **state)
{
    mfn_t mfn = offer(20, 0);
    uint64_t at = ((uint64_t)l1 << PAGE_SHIFT) + 100 * 8;
    const uint32_t flags = GNTMAP_host_map | GNTMAP_contains_pte;
    grant_handle_t h;

    (void)state;
    assert_int_equal(map_at(at + 4, 20, flags, NULL), GNTST_general_error);
    assert_int_equal(map_at((uint64_t)l2 << PAGE_SHIFT, 20, flags, NULL), GNTST_general_error);
    assert_int_equal(map_at((uint64_t)mfn << PAGE_SHIFT, 20, flags, NULL), GNTST_general_error);
    assert_int_equal(map_at(~7ull, 20, flags, NULL), GNTST_general_error);
    assert_int_equal(map_at(at, 20, flags, &h), GNTST_okay);
    assert_int_equal(pte_mfn(machine_pte(l1, 100)), mfn);
    check();
    assert_int_equal(unmap_at(at, 0, h), GNTST_okay);
    assert_int_equal(machine_pte(l1, 100), 0);
}

static void test_device_map(void **state)
{
    mfn_t mfn = offer(20, 0);
    uint64_t bus = (uint64_t)mfn << PAGE_SHIFT;
    grant_handle_t h;

    (void)state;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map | GNTMAP_device_map, &h), GNTST_okay);
    assert_int_equal(types_of(mfn), 2);
    assert_int_equal(unmap_at(0, bus + 4096, h), GNTST_bad_dev_addr);
    assert_int_equal(unmap_at(0, 0, h), GNTST_okay); /* nothing named, nothing done */
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
    assert_int_equal(table[20].flags & GTF_writing, GTF_writing);
    check();
    assert_int_equal(unmap_at(0, bus, h), GNTST_okay);
    assert_int_equal(table[20].flags, GTF_permit_access);
    assert_int_equal(unmap_at(0, bus, h), GNTST_bad_handle);
    assert_int_equal(map_at(VA, 20, GNTMAP_device_map | GNTMAP_readonly, &h), GNTST_okay);
    assert_int_equal(unmap_at(VA, bus, h), GNTST_okay);
    assert_int_equal(table[20].flags, GTF_permit_access);
    /* A handle of no device map does not look at the bus address. */
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, &h), GNTST_okay);
    assert_int_equal(unmap_at(VA, bus + 4096, h), GNTST_okay);
    assert_int_equal(table[20].flags, GTF_permit_access);
}

/*
 * XSA-380: handles that were used once and are free hold nobody up when their domain dies. Xen
 * went through all that had ever been made in one go.
 */
static void test_unused_handles_are_interruptible(void **state)
{
    unsigned restarts = 0;
    grant_handle_t h;
    int rc;

    (void)state;
    offer(20, 0);
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, &h), GNTST_okay);
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
    assert_int_equal(mapper->grant.nr_maptrack_frames, 1);
    preempt_after = 1;
    preempt_stays = true;
    while ((rc = grant_table_release_mappings(mapper)) == -ERESTART)
        restarts++;
    preempt_after = 0;
    preempt_stays = false;
    assert_int_equal(rc, 0);
    assert_int_equal(restarts, GRANT_MAPTRACK_PER_FRAME / 32);
}

/*
 * What the granter writes into a live entry has no effect; what it frees stays until the mapper
 * lets go.
 */
static void test_hostile_granter(void **state)
{
    mfn_t mfn = offer(20, 0);
    mfn_t other = alloc_domain_frames(granter, 0, 0);
    grant_handle_t h, h2;

    (void)state;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, &h), GNTST_okay);
    table[20].frame = other;
    assert_int_equal(map_at(VA + 0x1000, 20, GNTMAP_host_map, &h2), GNTST_okay);
    assert_int_equal(pte_mfn(machine_pte(l1, (VA >> 12) + 1)), mfn);
    table[20] = (struct grant_entry_v1){0};
    /* It is a writable page now and can be no page table. */
    assert_int_equal(get_frame_and_type(mfn_frame(mfn), granter, FT_L1), -EINVAL);
    assert_false(steal_frame(granter, mfn_frame(mfn)));
    assert_true(release_extent(granter, mfn, 0));
    assert_ptr_equal(frame_owner(mfn_frame(mfn)), granter);
    check();
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
    assert_ptr_equal(frame_owner(mfn_frame(mfn)), granter);
    assert_int_equal(unmap_at(VA + 0x1000, 0, h2), GNTST_okay);
    assert_int_equal(mfn_frame(mfn)->owner, OWNER_NONE);
    assert_int_equal(table[20].flags, 0);
}

/*
 * The mapper overwrites the entry by other means: its references go, the pin stays until the handle
 * is used.
 */
static void test_hostile_mapper(void **state)
{
    mfn_t mfn = offer(20, 0);
    grant_handle_t h;
    pte_t *p;

    (void)state;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, &h), GNTST_okay);
    p = map_frame(l1);
    assert_int_equal(mod_l1_entry(&p[VA >> 12], 0, mapper, mapper, false), 0);
    /* The foreign frame cannot be mapped that way, nor the entry copied. */
    assert_int_equal(mod_l1_entry(&p[9], make_pte(mfn, PTE_P), mapper, mapper, false), -EBUSY);
    unmap_frame(p);
    assert_int_equal(types_of(mfn), 1);
    check();
    assert_int_equal(unmap_at(VA, 0, h), GNTST_general_error);
    assert_int_equal(table[20].flags & GTF_writing, GTF_writing);
    /* What remains goes when the domain dies (end). */
}

/*
 * Flags of an entry that maps another domain's frame may change by any way: it keeps its references.
 * The right to write and the memory type are no such flags, and another frame must be allowed.
 */
static void test_flags_alone(void **state)
{
    mfn_t mfn = offer(20, 0);
    grant_handle_t h;
    pte_t *p, e;

    (void)state;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map | GNTMAP_readonly, &h), GNTST_okay);
    p = (pte_t *)map_frame(l1) + (VA >> 12);
    e = *p;
    assert_int_equal(mod_l1_entry_if(p, e, e, mapper), 0);
    assert_int_equal(mod_l1_entry_if(p, e, e & ~PTE_A, mapper), 0);
    assert_int_equal(mod_l1_entry_if(p, e, e, mapper), -EAGAIN); /* the processor was quicker */
    assert_true(*p == (e & ~PTE_A));
    assert_int_equal(mod_l1_entry(p, e & ~(PTE_A | PTE_US | PTE_NX), mapper, mapper, true), 0);
    assert_int_equal(mod_l1_entry(p, e, mapper, mapper, false), 0);
    assert_int_equal(mod_l1_entry_if(p, e, e | PTE_RW, mapper), -EBUSY);
    assert_int_equal(mod_l1_entry(p, e | PTE_RW, mapper, mapper, false), -EBUSY);
    assert_int_equal(mod_l1_entry_if(p, e, e | PTE_PCD, mapper), -EINVAL);
    assert_int_equal(mod_l1_entry(p, e | PTE_PCD, mapper, mapper, false), -EINVAL);
    assert_int_equal(mod_l1_entry_if(p, e, e + PAGE_SIZE, mapper), -EBUSY);
    assert_true(*p == e);
    unmap_frame(p);
    assert_int_equal(types_of(mfn), 0);
    check();
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
    assert_int_equal(table[20].flags, GTF_permit_access);
}

static void test_granter_dies_first(void **state)
{
    mfn_t mfn = offer(20, 0);
    grant_handle_t h;

    (void)state;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, &h), GNTST_okay);
    machine_kill(granter);
    assert_int_equal(seen.domains_freed, 0);
    assert_ptr_equal(frame_owner(mfn_frame(mfn)), granter);
    assert_int_equal(map_at(VA + 0x1000, 20, GNTMAP_host_map, NULL), GNTST_bad_domain);
    check();
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
    assert_int_equal(seen.domains_freed, 1);
    check();
    granter = machine_domain(1, 10);
    grant_table_init(granter);
    seen.domains_freed = 0;
}

static void test_mapper_dies_first(void **state)
{
    struct domain *dead = mapper;
    grant_handle_t h;

    (void)state;
    offer(20, 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(map_at(VA + (i << 12), 20, GNTMAP_host_map, &h), GNTST_okay);
    machine_drop_table(l2);
    preempt_after = 1;
    machine_kill(dead);
    assert_int_equal(seen.domains_freed, 1);
    assert_int_equal(table[20].flags, GTF_permit_access);
    seen.domains_freed = 0;
    host_vcpu = granter->vcpus[0];
    mapper = machine_domain(2, 10);
    grant_table_init(mapper);
    l2 = machine_address_space(mapper, &l1);
}

static void test_batches(void **state)
{
    (void)state;
    machine_run(mapper);
    for (unsigned i = 0; i < 40; i++) {
        offer(20 + i, 0);
        g->map[i] = (struct gnttab_map_grant_ref){
            .host_addr = VA + (i << 12), .flags = GNTMAP_host_map, .ref = 20 + i, .dom = 1};
    }
    preempt_after = 3;
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, g, 40), -ERESTART);
    assert_int_equal(seen.continued[0], GNTTABOP_map_grant_ref);
    assert_int_equal(seen.continued[1], (uintptr_t)&g->map[3]);
    assert_int_equal(seen.continued[2], 37);
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, &g->map[3], 37), 0);
    check();
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(g->map[i].status, GNTST_okay);
        ((struct gnttab_unmap_grant_ref *)(GUEST_MEMORY + 0x4000))[i] =
            (struct gnttab_unmap_grant_ref){.host_addr = VA + (i << 12),
                                            .handle = g->map[i].handle};
    }
    seen.flushes = 0;
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, GUEST_MEMORY + 0x4000, 40), 0);
    assert_int_equal(seen.flushes, 3); /* 16, 16, 8 */
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(table[20 + i].flags, GTF_permit_access);
    /* One handle twice in one batch. */
    map_at(VA, 20, GNTMAP_host_map, NULL);
    g->unmap[1] = g->unmap[0] =
        (struct gnttab_unmap_grant_ref){.host_addr = VA, .handle = g->map[0].handle};
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, g, 2), 0);
    assert_int_equal(g->unmap[0].status, GNTST_okay);
    assert_int_equal(g->unmap[1].status, GNTST_bad_handle);
}

static void test_bad_lists(void **state)
{
    (void)state;
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, NULL, 1), -EFAULT);
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_grant_ref, NULL, 1), -EFAULT);
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_and_replace, NULL, 1), -EFAULT);
    assert_int_equal(do_grant_table_op(GNTTABOP_copy, NULL, 1), -EFAULT);
    assert_int_equal(do_grant_table_op(GNTTABOP_transfer, NULL, 1), -EFAULT);
    for (unsigned op = GNTTABOP_setup_table; op <= GNTTABOP_swap_grant_ref; op++)
        assert_int_equal(do_grant_table_op(op, NULL, 1), -EFAULT);
    assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, g, 2), -EINVAL);
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, g, 0x80000000), -EINVAL);
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, g, 0x7FFFFFFF), -EFAULT);
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, g, 0), 0);
    assert_int_equal(do_grant_table_op(GNTTABOP_cache_flush, g, 1), -EOPNOTSUPP);
    assert_int_equal(do_grant_table_op(13, g, 1), -ENOSYS);
    assert_int_equal(do_grant_table_op(0xFFFFFFFF, g, 1), -ENOSYS);
    /* Arguments in read-only memory: done, and told that the answer could not be written. */
    memset(GUEST_MEMORY + GUEST_MEMORY_SIZE / 2, 0, 64);
    for (unsigned op = GNTTABOP_map_grant_ref; op <= GNTTABOP_swap_grant_ref; op++) {
        if (op != GNTTABOP_set_version && op != GNTTABOP_get_version)
            assert_int_equal(do_grant_table_op(op, GUEST_MEMORY + GUEST_MEMORY_SIZE / 2, 1),
                             -EFAULT);
    }
}

static void test_replace(void **state)
{
    mfn_t mfn = offer(20, 0), own = alloc_domain_frames(mapper, 0, 0);
    grant_handle_t h;
    pte_t *p;

    (void)state;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, &h), GNTST_okay);
    p = map_frame(l1);
    assert_int_equal(mod_l1_entry(&p[50], make_pte(own, PTE_P | PTE_RW), mapper, mapper, false), 0);
    unmap_frame(p);
    g->replace[0] = (struct gnttab_unmap_and_replace){.host_addr = VA, .new_addr = VA, .handle = h};
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_and_replace, g, 1), 0);
    assert_int_equal(g->replace[0].status, GNTST_general_error);
    g->replace[0].new_addr = 0x200000;
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_and_replace, g, 1), 0);
    assert_int_equal(g->replace[0].status, GNTST_general_error);
    g->replace[0].new_addr = 50 << 12;
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_and_replace, g, 1), 0);
    assert_int_equal(g->replace[0].status, GNTST_okay);
    assert_int_equal(pte_mfn(machine_pte(l1, VA >> 12)), own);
    assert_int_equal(machine_pte(l1, 50), 0);
    assert_int_equal(table[20].flags, GTF_permit_access);
    assert_int_equal(types_of(mfn), 0);
    check();
    /* Without a new address it is an unmap. */
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, &h), GNTST_okay);
    g->replace[0] = (struct gnttab_unmap_and_replace){.host_addr = VA, .handle = h};
    assert_int_equal(do_grant_table_op(GNTTABOP_unmap_and_replace, g, 1), 0);
    assert_int_equal(g->replace[0].status, GNTST_okay);
    assert_int_equal(machine_pte(l1, VA >> 12), 0);
}

static int copy(struct gnttab_copy op)
{
    machine_run(mapper);
    g->copy[0] = op;
    assert_int_equal(do_grant_table_op(GNTTABOP_copy, g, 1), 0);
    return g->copy[0].status;
}

static void test_copy(void **state)
{
    mfn_t mfn = offer(20, 0), own = alloc_domain_frames(mapper, 0, 0);
    char *there = map_frame(mfn), *here = map_frame(own);
    struct gnttab_copy op = {.source = {.u.ref = 20, .domid = 1, .offset = 10},
                             .dest = {.u.gmfn = own, .domid = DOMID_SELF, .offset = 4090},
                             .len = 6,
                             .flags = GNTCOPY_source_gref};

    (void)state;
    unmap_frame(here);
    unmap_frame(there);
    strcpy(there + 10, "hello");
    assert_int_equal(copy(op), GNTST_okay);
    assert_string_equal(here + 4090, "hello");
    assert_int_equal(table[20].flags, GTF_permit_access);
    op.len = 7;
    assert_int_equal(copy(op), GNTST_bad_copy_arg);
    op.len = 0;
    assert_int_equal(copy(op), GNTST_okay);
    op.len = 6;
    op.dest.domid = 1;
    assert_int_equal(copy(op), GNTST_permission_denied);
    op.dest.domid = DOMID_SELF;
    op.dest.u.gmfn = l1; /* a page table may not be written */
    op.dest.offset = 0;
    assert_int_equal(copy(op), GNTST_general_error);
    op.dest.u.gmfn = mfn;
    assert_int_equal(copy(op), GNTST_bad_page);
    op.dest.u.gmfn = FRAMES;
    assert_int_equal(copy(op), GNTST_bad_page);
    op.source.domid = 9;
    assert_int_equal(copy(op), GNTST_bad_domain);
    op.source.domid = 1;
    op.source.u.ref = 600;
    assert_int_equal(copy(op), GNTST_bad_gntref);
    /* To the granter, unless the grant is read-only. */
    op = (struct gnttab_copy){.source = {.u.gmfn = own, .domid = DOMID_SELF},
                              .dest = {.u.ref = 20, .domid = 1},
                              .len = 4096,
                              .flags = GNTCOPY_dest_gref};
    strcpy(here, "back");
    assert_int_equal(copy(op), GNTST_okay);
    assert_string_equal(there, "back");
    table[20].flags |= GTF_readonly;
    assert_int_equal(copy(op), GNTST_general_error);
    assert_int_equal(table[20].flags, GTF_permit_access | GTF_readonly);
    check();
}

static void test_transfer(void **state)
{
    mfn_t mine = alloc_domain_frames(mapper, 0, 0), another = alloc_domain_frames(mapper, 0, 0);
    char *p = map_frame(mine);
    uint32_t held;

    (void)state;
    strcpy(p, "gift");
    unmap_frame(p);
    machine_run(mapper);
    table[30] = (struct grant_entry_v1){.flags = GTF_accept_transfer, .domid = 2, .frame = 0x123};
    g->transfer[0] = (struct gnttab_transfer){.mfn = mine, .domid = 1, .ref = 30};
    assert_int_equal(do_grant_table_op(GNTTABOP_transfer, g, 1), 0);
    assert_int_equal(g->transfer[0].status, GNTST_okay);
    assert_int_equal(table[30].flags,
                     GTF_accept_transfer | GTF_transfer_committed | GTF_transfer_completed);
    assert_int_equal(table[30].frame, mine);
    assert_int_equal(m2p[mine], 0x123);
    assert_ptr_equal(frame_owner(mfn_frame(mine)), granter);
    assert_string_equal(p, "gift");
    check();
    /* Not the caller's, in use, or no frame at all: nothing changes. */
    do_grant_table_op(GNTTABOP_transfer, g, 1);
    assert_int_equal(g->transfer[0].status, GNTST_bad_page);
    g->transfer[0].mfn = l1;
    do_grant_table_op(GNTTABOP_transfer, g, 1);
    assert_int_equal(g->transfer[0].status, GNTST_bad_page);
    g->transfer[0].mfn = ~0ul;
    do_grant_table_op(GNTTABOP_transfer, g, 1);
    assert_int_equal(g->transfer[0].status, GNTST_bad_page);
    /* The entry has had its frame: the frame is lost. */
    held = mapper->tot_pages;
    g->transfer[0].mfn = another;
    do_grant_table_op(GNTTABOP_transfer, g, 1);
    assert_int_equal(g->transfer[0].status, GNTST_general_error);
    assert_int_equal(mapper->tot_pages, held - 1);
    assert_int_equal(mfn_frame(another)->owner, OWNER_NONE);
    /* The receiver is full: its entry is as before. */
    another = alloc_domain_frames(mapper, 0, 0);
    granter->max_pages = granter->tot_pages;
    table[31] = (struct grant_entry_v1){.flags = GTF_accept_transfer, .domid = 2};
    g->transfer[0] = (struct gnttab_transfer){.mfn = another, .domid = 1, .ref = 31};
    do_grant_table_op(GNTTABOP_transfer, g, 1);
    assert_int_equal(g->transfer[0].status, GNTST_general_error);
    assert_int_equal(table[31].flags, GTF_accept_transfer);
    another = alloc_domain_frames(mapper, 0, 0);
    g->transfer[0] = (struct gnttab_transfer){.mfn = another, .domid = 55, .ref = 31};
    do_grant_table_op(GNTTABOP_transfer, g, 1);
    assert_int_equal(g->transfer[0].status, GNTST_bad_domain);
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(setup_frames(granter, 33), GNTST_general_error);
    assert_int_equal(setup_frames(granter, 32), GNTST_okay);
    assert_int_equal(granter->heap_pages, 32);
    assert_int_equal(list[31], direct_mfn(granter->grant.shared[31]));
    assert_int_equal(setup_frames(granter, 1), GNTST_okay);
    g->size = (struct gnttab_query_size){.dom = DOMID_SELF};
    assert_int_equal(do_grant_table_op(GNTTABOP_query_size, g, 1), 0);
    assert_int_equal(g->size.nr_frames, 32);
    assert_int_equal(g->size.max_nr_frames, 32);
    /* Another's table takes privilege. */
    g->size.dom = 2;
    assert_int_equal(do_grant_table_op(GNTTABOP_query_size, g, 1), 0);
    assert_int_equal(g->size.status, GNTST_permission_denied);
    g->dump.dom = 2;
    assert_int_equal(do_grant_table_op(GNTTABOP_dump_table, g, 1), 0);
    assert_int_equal(g->dump.status, GNTST_permission_denied);
    granter->privileged = true;
    g->size = (struct gnttab_query_size){.dom = 2};
    assert_int_equal(do_grant_table_op(GNTTABOP_query_size, g, 1), 0);
    assert_int_equal(g->size.status, GNTST_okay);
    g->size.dom = 12;
    assert_int_equal(do_grant_table_op(GNTTABOP_query_size, g, 1), 0);
    assert_int_equal(g->size.status, GNTST_bad_domain);
    assert_int_equal(grant_table_set_limits(granter, 31, 200), -EBUSY);
    assert_int_equal(grant_table_set_limits(granter, 1000, 0), 0);
    assert_int_equal(granter->grant.max_frames, 32);
    assert_int_equal(grant_table_set_limits(mapper, 1, 0), 0);
    offer(400, 0);
    assert_int_equal(map_at(VA, 400, GNTMAP_host_map, NULL), GNTST_no_space);
}

/* Back to version 1: only when every frame number fits it. */
static void return_to_version_1(union grant_entry_v2 *v2, mfn_t full)
{
    v2[2].full_page.hdr.flags = GTF_permit_access;
    v2[2].full_page.frame = 1ull << 40;
    g->set_version.version = 1;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), -ERANGE);
    v2[2].full_page.frame = 5;
    /* Not while the guest has a status frame mapped: it would keep it. */
    assert_true(get_frame(mfn_frame(direct_mfn(granter->grant.status[0])), granter));
    g->set_version.version = 1;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), -EBUSY);
    assert_int_equal(g->set_version.version, 2);
    put_frame(mfn_frame(direct_mfn(granter->grant.status[0])));
    g->set_version.version = 1;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), 0);
    assert_int_equal(table[2].frame, 5);
    assert_int_equal(table[0].frame, full);
    assert_null(granter->grant.status[0]);
    g->status.nr_frames = 1;
    assert_int_equal(do_grant_table_op(GNTTABOP_get_status_frames, g, 1), 0);
    assert_int_equal(g->status.status, GNTST_general_error);
}

/* What another vcpu does between two instructions of ours. */
static struct frame *grabbed;

static void grab_status_frame(const spinlock_t *l)
{
    struct frame *f = mfn_frame(direct_mfn(granter->grant.status[0]));

    if (l->rank == RANK_HEAP && !grabbed && get_frame(f, granter))
        grabbed = f;
}

/*
 * A status frame that is mapped while the table goes back to version 1 is seen to be in use: or the
 * guest keeps a page of the heap with each try.
 */
static void test_status_frame_race(void **state)
{
    (void)state;
    machine_run(granter);
    g->set_version.version = 2;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), 0);
    assert_int_equal(setup_frames(granter, 2), GNTST_okay); /* version 1 needs more of the heap */
    machine_on_unlock = grab_status_frame;
    g->set_version.version = 1;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), -EBUSY);
    machine_on_unlock = NULL;
    put_frame(grabbed);
    g->set_version.version = 1;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), 0);
    assert_int_equal(granter->heap_pages, 2);
}

static void *taken;

static void take_first_frame(const spinlock_t *l)
{
    if (l == &granter->grant.lock) {
        taken = granter->grant.shared[0];
        granter->grant.shared[0] = NULL;
    }
}

/* The list is told as it was under the lock: the table may be gone behind it. */
static void test_list_under_lock(void **state)
{
    (void)state;
    machine_on_unlock = take_first_frame;
    assert_int_equal(setup_frames(granter, 1), GNTST_okay);
    machine_on_unlock = NULL;
    granter->grant.shared[0] = taken;
    assert_int_equal(list[0], direct_mfn(taken));
}

static void test_set_version(void **state)
{
    union grant_entry_v2 *v2 = (void *)table;
    mfn_t mfn = offer(1, 0), full = alloc_domain_frames(granter, 0, 0);
    grant_handle_t h, k;

    (void)state;
    table[0] = (struct grant_entry_v1){
        .flags = GTF_permit_access | GTF_readonly, .domid = 2, .frame = full};
    offer(8, 0);
    assert_int_equal(map_at(VA, 8, GNTMAP_host_map, &k), GNTST_okay);
    assert_int_equal(map_at(VA + 4096, 1, GNTMAP_host_map, &h), GNTST_okay);
    machine_run(granter);
    g->set_version.version = 2;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), -EBUSY);
    assert_int_equal(g->set_version.version, 1);
    assert_int_equal(unmap_at(VA, 0, k), GNTST_okay);

    machine_run(granter);
    g->set_version.version = 3;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), -EINVAL);
    g->set_version.version = 2;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), 0);
    assert_int_equal(g->set_version.version, 2);
    assert_int_equal(v2[0].hdr.flags, GTF_permit_access | GTF_readonly);
    assert_int_equal(v2[0].full_page.frame, full);
    assert_int_equal(v2[1].hdr.flags, GTF_permit_access);
    assert_int_equal(granter->grant.status[0][1], GTF_reading | GTF_writing);
    assert_int_equal(v2[8].hdr.flags, 0);
    g->get_version.dom = DOMID_SELF;
    assert_int_equal(do_grant_table_op(GNTTABOP_get_version, g, 1), 0);
    assert_int_equal(g->get_version.version, 2);
    g->get_version.dom = 2;
    assert_int_equal(do_grant_table_op(GNTTABOP_get_version, g, 1), -EPERM);

    /* The console's grant, still mapped, goes. */
    assert_int_equal(unmap_at(VA + 4096, 0, h), GNTST_okay);
    assert_int_equal(granter->grant.status[0][1], 0);
    assert_int_equal(types_of(mfn), 0);
    machine_run(granter);
    g->status = (struct gnttab_get_status_frames){
        .nr_frames = 1, .dom = DOMID_SELF, .frame_list = {(uint64_t *)list}};
    assert_int_equal(do_grant_table_op(GNTTABOP_get_status_frames, g, 1), 0);
    assert_int_equal(g->status.status, GNTST_okay);
    assert_int_equal(list[0], direct_mfn(granter->grant.status[0]));
    g->status.nr_frames = 2;
    assert_int_equal(do_grant_table_op(GNTTABOP_get_status_frames, g, 1), 0);
    assert_int_equal(g->status.status, GNTST_general_error);

    return_to_version_1(v2, full);
}

static void use_version_2(struct domain *d)
{
    machine_run(d);
    g->set_version.version = 2;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), 0);
}

static void test_version_2(void **state)
{
    union grant_entry_v2 *v2 = (void *)table;
    mfn_t mfn = alloc_domain_frames(granter, 0, 0), own = alloc_domain_frames(mapper, 0, 0);
    struct gnttab_copy op = {.source = {.u.ref = 21, .domid = 1, .offset = 100},
                             .dest = {.u.gmfn = own, .domid = DOMID_SELF},
                             .len = 50,
                             .flags = GNTCOPY_source_gref};
    grant_handle_t h;

    (void)state;
    use_version_2(granter);
    assert_int_equal(map_at(VA, 256, GNTMAP_host_map, NULL), GNTST_bad_gntref);
    v2[20].full_page.hdr.domid = 2;
    v2[20].full_page.frame = mfn;
    v2[20].full_page.hdr.flags = GTF_permit_access;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, &h), GNTST_okay);
    assert_int_equal(v2[20].hdr.flags, GTF_permit_access);
    assert_int_equal(granter->grant.status[0][20], GTF_reading | GTF_writing);
    check();
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
    assert_int_equal(granter->grant.status[0][20], 0);
    v2[20].full_page.frame = 1ull << 32 | mfn;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, &h), GNTST_bad_page);
    assert_int_equal(granter->grant.status[0][20], 0);

    /* A part of a page: to be copied, within its bounds, and not mapped. */
    v2[21].sub_page.hdr.domid = 2;
    v2[21].sub_page.frame = mfn;
    v2[21].sub_page.page_off = 100;
    v2[21].sub_page.length = 50;
    v2[21].sub_page.hdr.flags = GTF_permit_access | GTF_sub_page;
    assert_int_equal(map_at(VA, 21, GNTMAP_host_map, &h), GNTST_general_error);
    assert_int_equal(copy(op), GNTST_okay);
    op.len = 51;
    assert_int_equal(copy(op), GNTST_general_error);
    op.len = 1;
    op.source.offset = 99;
    assert_int_equal(copy(op), GNTST_general_error);
    v2[21].sub_page.page_off = 4000;
    v2[21].sub_page.length = 97;
    op.source.offset = 4000;
    assert_int_equal(copy(op), GNTST_general_error);
    assert_int_equal(granter->grant.status[0][21], 0);
}

static void test_transitive(void **state)
{
    union grant_entry_v2 *v2 = (void *)table;
    struct domain *third = machine_domain(3, 10);
    struct grant_entry_v1 *origin;
    mfn_t mfn, own = alloc_domain_frames(mapper, 0, 0);
    struct gnttab_copy op = {.source = {.u.ref = 22, .domid = 1},
                             .dest = {.u.gmfn = own, .domid = DOMID_SELF},
                             .len = 8,
                             .flags = GNTCOPY_source_gref};

    (void)state;
    grant_table_init(third);
    assert_int_equal(setup_frames(third, 1), GNTST_okay);
    origin = direct_map((maddr_t)list[0] << PAGE_SHIFT);
    mfn = alloc_domain_frames(third, 0, 0);
    strcpy(direct_map((maddr_t)mfn << PAGE_SHIFT), "origin");
    origin[40] = (struct grant_entry_v1){.flags = GTF_permit_access, .domid = 1, .frame = mfn};
    use_version_2(granter);
    v2[22].transitive.hdr.domid = 2;
    v2[22].transitive.trans_domid = 3;
    v2[22].transitive.gref = 40;
    v2[22].transitive.hdr.flags = GTF_transitive;
    assert_int_equal(copy(op), GNTST_okay);
    assert_string_equal(direct_map((maddr_t)own << PAGE_SHIFT), "origin");
    assert_int_equal(granter->grant.status[0][22], 0);
    assert_int_equal(origin[40].flags, GTF_permit_access);
    assert_int_equal(map_at(VA, 22, GNTMAP_host_map, NULL), GNTST_general_error);
    origin[40].domid = 2; /* granted to the mapper, not to the one in between */
    assert_int_equal(copy(op), GNTST_general_error);
    v2[22].transitive.trans_domid = 1;
    assert_int_equal(copy(op), GNTST_general_error);
    v2[22].transitive.trans_domid = 44;
    assert_int_equal(copy(op), GNTST_general_error);
    assert_int_equal(granter->grant.status[0][22], 0);
    check();
    machine_kill(third);
    seen.domains_freed--;
}

static void test_swap(void **state)
{
    mfn_t a = offer(10, 0), b = offer(11, GTF_readonly);
    grant_handle_t h;

    (void)state;
    machine_run(granter);
    g->swap = (struct gnttab_swap_grant_ref){.ref_a = 10, .ref_b = 11};
    assert_int_equal(do_grant_table_op(GNTTABOP_swap_grant_ref, g, 1), 0);
    assert_int_equal(g->swap.status, GNTST_okay);
    assert_int_equal(table[10].frame, b);
    assert_int_equal(table[11].frame, a);
    /* A list: there and back, and one that cannot be. */
    for (unsigned i = 0; i < 3; i++)
        (&g->swap)[i] = (struct gnttab_swap_grant_ref){.ref_a = 10, .ref_b = i < 2 ? 11 : 512};
    assert_int_equal(do_grant_table_op(GNTTABOP_swap_grant_ref, g, 3), 0);
    assert_int_equal((&g->swap)[1].status, GNTST_okay);
    assert_int_equal((&g->swap)[2].status, GNTST_bad_gntref);
    assert_int_equal(table[10].frame, b);
    assert_int_equal(map_at(VA, 11, GNTMAP_host_map, &h), GNTST_okay);
    machine_run(granter);
    g->swap = (struct gnttab_swap_grant_ref){.ref_a = 10, .ref_b = 11};
    assert_int_equal(do_grant_table_op(GNTTABOP_swap_grant_ref, g, 1), 0);
    assert_int_equal(g->swap.status, GNTST_eagain);
    g->swap = (struct gnttab_swap_grant_ref){.ref_a = 10, .ref_b = 512};
    assert_int_equal(do_grant_table_op(GNTTABOP_swap_grant_ref, g, 1), 0);
    assert_int_equal(g->swap.status, GNTST_bad_gntref);
    g->swap = (struct gnttab_swap_grant_ref){.ref_a = 11, .ref_b = 11};
    assert_int_equal(do_grant_table_op(GNTTABOP_swap_grant_ref, g, 1), 0);
    assert_int_equal(g->swap.status, GNTST_okay);
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
}

static void test_out_of_memory(void **state)
{
    static void *held[FRAMES];
    unsigned n = 0;

    (void)state;
    offer(20, 0);
    offer(0, 0);
    while ((held[n] = heap_alloc_pages(0)))
        n++;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map, NULL), GNTST_no_space);
    assert_int_equal(setup_frames(granter, 2), GNTST_general_error);
    g->set_version.version = 2;
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), -ENOMEM);
    assert_int_equal(g->set_version.version, 1);
    assert_int_equal(table[20].flags, GTF_permit_access);
    while (n)
        heap_free_pages(held[--n], 0);
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map | GNTMAP_readonly, NULL), GNTST_okay);
}

/*
 * A mapper and a granter that want all they may have, where the heap is short: they leave as much as
 * they take.
 */
static void test_heap_is_shared(void **state)
{
    enum { LEFT = 48 };
    static void *held[FRAMES];
    unsigned n = 0, mapped = 0;

    (void)state;
    offer(20, 0);
    offer(0, 0);
    while (free_heap_frame_count() > LEFT)
        held[n++] = heap_alloc_pages(0);
    while (map_at(VA, 20, GNTMAP_device_map | GNTMAP_readonly, NULL) == GNTST_okay)
        mapped++;
    assert_true(mapped > 0 && free_heap_frame_count() >= LEFT / 2 - 1);
    for (unsigned frames = 2; setup_frames(granter, frames) == GNTST_okay; frames++)
        assert_in_range(frames, 2, GRANT_MAX_FRAMES - 1);
    assert_true(free_heap_frame_count() >= LEFT / 4 - 2);
    while (n)
        heap_free_pages(held[--n], 0);
}

/* Counts that are full refuse one more. */
static void test_full_counts(void **state)
{
    mfn_t mfn = offer(20, 0);
    struct frame *f = mfn_frame(mfn);
    struct grant_active *a;
    grant_handle_t h;
    uint32_t count;

    (void)state;
    assert_int_equal(map_at(VA, 20, GNTMAP_host_map | GNTMAP_readonly, &h), GNTST_okay);
    a = grant_active_entry(&granter->grant, 20);
    a->readers = UINT16_MAX;
    assert_int_equal(map_at(VA + 4096, 20, GNTMAP_host_map | GNTMAP_readonly, NULL),
                     GNTST_general_error);
    a->readers = UINT16_MAX - 1;
    assert_int_equal(
        map_at(VA + 4096, 20, GNTMAP_host_map | GNTMAP_device_map | GNTMAP_readonly, NULL),
        GNTST_general_error);
    a->readers = 1;
    count = f->count_info;
    f->count_info |= FT_COUNT;
    assert_int_equal(map_at(VA + 4096, 20, GNTMAP_host_map | GNTMAP_readonly, NULL),
                     GNTST_general_error);
    f->count_info = count;
    assert_int_equal(unmap_at(VA, 0, h), GNTST_okay);
}

/* An entry in use for one domain is not for another, whatever its owner writes there meanwhile. */
static void test_two_grantees(void **state)
{
    struct domain *third = machine_domain(3, 10);
    grant_handle_t h;

    (void)state;
    grant_table_init(third);
    offer(20, 0);
    assert_int_equal(map_at(VA, 20, GNTMAP_device_map, &h), GNTST_okay);
    table[20].domid = 3;
    machine_run(third);
    g->map[0] = (struct gnttab_map_grant_ref){.flags = GNTMAP_device_map, .ref = 20, .dom = 1};
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, g, 1), 0);
    assert_int_equal(g->map[0].status, GNTST_general_error);
    assert_int_equal(unmap_at(0, (uint64_t)table[20].frame << 12, h), GNTST_okay);
    machine_run(third);
    g->map[0] = (struct gnttab_map_grant_ref){.flags = GNTMAP_device_map, .ref = 20, .dom = 1};
    assert_int_equal(do_grant_table_op(GNTTABOP_map_grant_ref, g, 1), 0);
    assert_int_equal(g->map[0].status, GNTST_okay);
    machine_kill(third);
    assert_int_equal(table[20].flags, GTF_permit_access);
    seen.domains_freed--;
}

static void test_answers_that_do_not_arrive(void **state)
{
    (void)state;
    machine_run(granter);
    g->setup = (struct gnttab_setup_table){.dom = DOMID_SELF, .nr_frames = 1};
    assert_int_equal(do_grant_table_op(GNTTABOP_setup_table, g, 1), 0);
    assert_int_equal(g->setup.status, GNTST_bad_virt_addr);
    g->get_version.dom = 99;
    assert_int_equal(do_grant_table_op(GNTTABOP_get_version, g, 1), -ESRCH);
    g->status = (struct gnttab_get_status_frames){.dom = 2};
    assert_int_equal(do_grant_table_op(GNTTABOP_get_status_frames, g, 1), 0);
    assert_int_equal(g->status.status, GNTST_permission_denied);
    use_version_2(granter);
    assert_int_equal(do_grant_table_op(GNTTABOP_set_version, g, 1), 0); /* again */
    g->status = (struct gnttab_get_status_frames){.dom = DOMID_SELF, .nr_frames = 1};
    assert_int_equal(do_grant_table_op(GNTTABOP_get_status_frames, g, 1), 0);
    assert_int_equal(g->status.status, GNTST_bad_virt_addr);
    granter->privileged = true;
    g->dump.dom = DOMID_SELF;
    assert_int_equal(do_grant_table_op(GNTTABOP_dump_table, g, 1), 0);
    assert_int_equal(g->dump.status, GNTST_okay);
    /* A domain without a table yet may choose its version, too. */
    use_version_2(mapper);
    assert_int_equal(setup_frames(mapper, 1), GNTST_okay);
    assert_non_null(mapper->grant.status[0]);
}

static void test_transfer_version_2(void **state)
{
    union grant_entry_v2 *v2 = (void *)table;
    mfn_t mine = alloc_domain_frames(mapper, 0, 0);

    (void)state;
    use_version_2(granter);
    v2[30].full_page.hdr.domid = 2;
    v2[30].full_page.frame = 0x1234;
    v2[30].full_page.hdr.flags = GTF_accept_transfer;
    machine_run(mapper);
    g->transfer[0] = (struct gnttab_transfer){.mfn = mine, .domid = 1, .ref = 30};
    g->transfer[1] = (struct gnttab_transfer){.mfn = mine, .domid = 1, .ref = 30};
    preempt_after = 1;
    assert_int_equal(do_grant_table_op(GNTTABOP_transfer, g, 2), -ERESTART);
    assert_int_equal(g->transfer[0].status, GNTST_okay);
    assert_int_equal(v2[30].full_page.frame, mine);
    assert_int_equal(m2p[mine], 0x1234);
    assert_int_equal(v2[30].hdr.flags,
                     GTF_accept_transfer | GTF_transfer_committed | GTF_transfer_completed);
    g->transfer[0].mfn = alloc_domain_frames(mapper, 0, 0);
    g->transfer[0].ref = 256;
    do_grant_table_op(GNTTABOP_transfer, g, 1);
    assert_int_equal(g->transfer[0].status, GNTST_general_error);
}

/* Random use and abuse by both sides, the audit behind each thousand steps. */
static void test_storm(void **state)
{
    grant_handle_t handles[64] = {0};
    mfn_t frames[16];
    (void)state;
    for (unsigned i = 0; i < 16; i++)
        frames[i] = offer(20 + i, 0);
    for (unsigned step = 0; step < 30000; step++) {
        uint64_t va = machine_random(64) << 12;
        unsigned i = machine_random(16);

        switch (machine_random(8)) {
        case 0:
            table[20 + i].flags ^= 1u << machine_random(9);
            break;
        case 1:
            table[20 + i] = (struct grant_entry_v1){.flags = GTF_permit_access,
                                                    .domid = 1 + machine_random(3),
                                                    .frame = frames[machine_random(16)]};
            break;
        case 2:
        case 3:
        case 4:
            map_at(va, 20 + i, machine_random(8), &handles[machine_random(64)]);
            break;
        case 5: {
            pte_t *p = map_frame(l1);

            mod_l1_entry(&p[machine_random(64)], make_pte(frames[i], machine_random(4)), mapper,
                         machine_random(2) ? mapper : granter, false);
            unmap_frame(p);
            break;
        }
        default:
            unmap_at(machine_random(4) ? va : 0, machine_random(4) ? 0 : (uint64_t)frames[i] << 12,
                     handles[machine_random(64)]);
            break;
        }
        if (step % 1000 == 0)
            check();
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        T(test_map_and_unmap),
        T(test_readonly),
        T(test_refused),
        T(test_contains_pte),
        T(test_device_map),
        T(test_unused_handles_are_interruptible),
        T(test_hostile_granter),
        T(test_hostile_mapper),
        T(test_flags_alone),
        T(test_granter_dies_first),
        T(test_mapper_dies_first),
        T(test_batches),
        T(test_bad_lists),
        T(test_replace),
        T(test_copy),
        T(test_transfer),
        T(test_sizes),
        T(test_set_version),
        T(test_status_frame_race),
        T(test_list_under_lock),
        T(test_version_2),
        T(test_transitive),
        T(test_swap),
        T(test_heap_is_shared),
        T(test_out_of_memory),
        T(test_full_counts),
        T(test_two_grantees),
        T(test_answers_that_do_not_arrive),
        T(test_transfer_version_2),
        T(test_storm),
    };

    return cmocka_run_group_tests_name("grant", tests, NULL, NULL);
}
