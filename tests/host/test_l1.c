/* SPDX-License-Identifier: MIT */
/*
 * test_l1.c: the one writer of L1 entries, rule by rule: E1 to E4 of mm/l1.c.
 *
 * A domain has one L1 in use and a few frames. Each test writes entries by the functions that
 * hypercalls and the emulator use, counts references, and ends with an audit. What is written when
 * the processor sets Accessed at the wrong moment, and what is stamped, no guest can show exactly.
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

#include <cmocka.h>

#include "machine.h"

#define RO PTE_P
#define ROW (PTE_P | PTE_RW)

static struct domain *d;
static mfn_t table, one, two;
static pte_t *entry;

static uint32_t counts(mfn_t mfn)
{
    return mfn_frame(mfn)->count_info & FC_COUNT;
}

static uint32_t types(mfn_t mfn)
{
    return mfn_frame(mfn)->type_info & FT_COUNT;
}

static void expect(mfn_t mfn, uint32_t mappings, uint32_t writable)
{
    assert_int_equal(counts(mfn), 1 + mappings);
    assert_int_equal(types(mfn), writable);
}

static int start(void **state)
{
    (void)state;
    machine_init(0x800);
    d = machine_domain(1, 100);
    grant_table_init(d);
    machine_run(d);
    table = machine_l1(d);
    one = alloc_domain_frames(d, 0, 0);
    two = alloc_domain_frames(d, 0, 0);
    entry = (pte_t *)map_frame(table) + 7;
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(mod_l1_entry(entry, 0, d, d, false), 0);
    unmap_frame(entry);
    expect(one, 0, 0);
    expect(two, 0, 0);
    machine_drop_table(table);
    machine_kill(d);
    return 0;
}

static int set(pte_t e)
{
    return mod_l1_entry(entry, e, d, d, false);
}

/* E1: what an entry says is what it holds, from whichever entry it came. */
static void test_references(void **state)
{
    const pte_t ways[] = {0,
                          make_pte(one, RO),
                          make_pte(one, ROW),
                          make_pte(two, RO),
                          make_pte(two, ROW | PTE_US),
                          make_pte(one, RO | PTE_A)};

    (void)state;
    for (unsigned from = 0; from < ARRAY_SIZE(ways); from++) {
        for (unsigned to = 0; to < ARRAY_SIZE(ways); to++) {
            bool first = pte_mfn(ways[to]) == one && (ways[to] & PTE_P);
            bool writable = (ways[to] & PTE_RW) != 0, present = (ways[to] & PTE_P) != 0;

            assert_int_equal(set(ways[from]), 0);
            assert_int_equal(set(ways[to]), 0);
            assert_true(*entry == ways[to]);
            expect(one, first, first && writable);
            expect(two, present && !first, present && !first && writable);
        }
    }
}

/* E4: the entry has changed since it was looked at. Nothing is written, and nothing held more. */
static void test_changed_meanwhile(void **state)
{
    static const uint64_t rights[] = {RO, ROW};

    (void)state;
    for (unsigned from = 0; from < 2; from++) {
        for (unsigned to = 0; to < 2; to++) {
            pte_t seen = make_pte(one, rights[from]), now = seen | PTE_A;

            assert_int_equal(set(now), 0);
            assert_int_equal(mod_l1_entry_if(entry, seen, make_pte(two, rights[to]), d), -EAGAIN);
            assert_int_equal(mod_l1_entry_if(entry, seen, make_pte(one, rights[to]), d), -EAGAIN);
            assert_int_equal(mod_l1_entry_if(entry, seen, 0, d), -EAGAIN);
            assert_true(*entry == now);
            expect(one, 1, from);
            expect(two, 0, 0);
            assert_int_equal(mod_l1_entry_if(entry, now, make_pte(two, rights[to]), d), 0);
            expect(one, 0, 0);
            expect(two, 1, to);
        }
    }
}

/* Accessed and Dirty stay where the caller wants them kept, and the entry is present. */
static void test_accessed_and_dirty(void **state)
{
    (void)state;
    assert_int_equal(set(make_pte(one, ROW | PTE_A | PTE_D)), 0);
    assert_int_equal(mod_l1_entry(entry, make_pte(one, RO), d, d, true), 0);
    assert_true(*entry == make_pte(one, RO | PTE_A | PTE_D));
    assert_int_equal(mod_l1_entry(entry, make_pte(two, RO), d, d, true), 0);
    assert_true(*entry == make_pte(two, RO | PTE_A | PTE_D));
    assert_int_equal(mod_l1_entry(entry, 0, d, d, true), 0);
    assert_true(*entry == 0);
}

/* E3: whatever takes a translation away stamps the domain. */
static void test_stamps(void **state)
{
    static const struct {
        uint64_t from, to;
        bool other; /* another frame */
    } changes[] = {
        {ROW, RO, false}, {ROW, 0, false}, {RO, 0, false}, {RO, RO, true}, {ROW, ROW, true}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
        pte_t to = changes[i].to ? make_pte(changes[i].other ? two : one, changes[i].to) : 0;

        for (unsigned how = 0; how < 3; how++) {
            assert_int_equal(set(make_pte(one, changes[i].from)), 0);
            tlb_clock++;
            if (how == 2)
                assert_int_equal(mod_l1_entry_if(entry, *entry, to, d), 0);
            else
                assert_int_equal(mod_l1_entry(entry, to, d, d, how), 0);
            assert_int_equal(d->tlb_stale, tlb_clock);
        }
    }
    assert_int_equal(set(make_pte(one, RO)), 0);
    tlb_clock++;
    set_l1_entry(entry, 0, d);
    assert_int_equal(d->tlb_stale, tlb_clock);
}

/* A refusal leaves the entry and all counts as they were. */
static void test_refusals(void **state)
{
    struct domain *other = machine_domain(2, 10);
    mfn_t foreign = alloc_domain_frames(other, 0, 0);
    const struct {
        pte_t e;
        int error;
    } bad[] = {{make_pte(two, RO | PTE_PWT), -EINVAL}, {make_pte(two, RO | PTE_G), -EINVAL},
               {make_pte(foreign, RO), -EBUSY},        {make_pte(table, ROW), -EBUSY},
               {make_pte(max_frame, RO), -EPERM},      {make_pte(one, ROW | PTE_PCD), -EINVAL}};

    (void)state;
    grant_table_init(other);
    assert_int_equal(set(make_pte(one, RO)), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(set(bad[i].e), bad[i].error);
        assert_int_equal(mod_l1_entry(entry, bad[i].e, d, d, true), bad[i].error);
        assert_int_equal(mod_l1_entry_if(entry, *entry, bad[i].e, d), bad[i].error);
        assert_true(*entry == make_pte(one, RO));
        expect(one, 1, 0);
        expect(two, 0, 0);
        expect(foreign, 0, 0);
    }
    machine_kill(other);
}

/* An entry whose references are the caller's comes, and goes with them. */
static void test_set_and_take(void **state)
{
    (void)state;
    assert_int_equal(set(make_pte(one, ROW)), 0);
    assert_true(get_frame(mfn_frame(two), d));
    set_l1_entry(entry, make_pte(two, RO), d);
    expect(one, 0, 0);
    expect(two, 1, 0);
    assert_true(take_l1_entry(entry) == make_pte(two, RO));
    assert_true(*entry == 0);
    expect(two, 1, 0);
    put_frame(mfn_frame(two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_references, start, end),
        cmocka_unit_test_setup_teardown(test_changed_meanwhile, start, end),
        cmocka_unit_test_setup_teardown(test_accessed_and_dirty, start, end),
        cmocka_unit_test_setup_teardown(test_stamps, start, end),
        cmocka_unit_test_setup_teardown(test_refusals, start, end),
        cmocka_unit_test_setup_teardown(test_set_and_take, start, end),
    };

    return cmocka_run_group_tests_name("l1", tests, NULL, NULL);
}
