/* SPDX-License-Identifier: MIT */
/*
 * test_layout.c - the control domain's plan of a new domain, by its promises
 * (pv-guest/dom0/build.h).
 *
 * The tables are walked as the processor would: what they map must be exactly the pages of the
 * plan, the tables themselves read-only. Frames are numbered backwards, so that a page number taken
 * for a frame number shows.
 *
 * units: pv-guest/dom0/layout.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ringlet/elfload.h>

#include "../../pv-guest/dom0/build.h"

enum { PAGE = 4096, MIB = 1 << 20, TOP_FRAME = 0x200000 };

static struct layout l;
static uint32_t *p2m;
static uint64_t (*tables)[512];
static uint32_t n_pages;

static uint64_t *table_at(uint64_t frame)
{
    uint32_t pfn = TOP_FRAME - frame, first = (l.tables - l.base) / PAGE;

    assert_in_range(pfn, first, first + l.n_tables - 1);
    return tables[pfn - first];
}

/* The level-1 entry for va, or 0. */
static uint64_t walk(uint32_t va)
{
    uint64_t entry = tables[0][va >> 30];

    if (!(entry & 1))
        return 0;
    assert_int_equal(entry & 0xFFF, 1);
    entry = table_at(entry >> 12)[va >> 21 & 511];
    return entry & 1 ? table_at(entry >> 12)[va >> 12 & 511] : 0;
}

static void check_order(uint32_t kernel_end, uint32_t ramdisk_size)
{
    assert_true(l.ramdisk >= kernel_end && l.ramdisk - kernel_end < PAGE);
    assert_true(l.p2m >= l.ramdisk + ramdisk_size);
    assert_true(l.start_info >= l.p2m + n_pages * 4);
    assert_int_equal(l.store, l.start_info + PAGE);
    assert_int_equal(l.console, l.store + PAGE);
    assert_int_equal(l.tables, l.console + PAGE);
    assert_int_equal(l.stack, l.tables + l.n_tables * PAGE);
    assert_true(l.mapped_end >= l.stack + PAGE + 512 * 1024);
    assert_true(l.mapped_end <= ELF_HV_START);
    assert_true(l.mapped_end % (4 * MIB) == 0);
    assert_true((l.stack + PAGE - l.base) / PAGE <= n_pages);
}

static void check_tables(void)
{
    assert_true(tables[0][3] & 1); /* slot 3 is part of the ABI */
    for (uint32_t va = l.base & ~0x1FFFFFu; va < l.mapped_end; va += PAGE) {
        uint32_t pfn = (va - l.base) / PAGE;
        uint64_t entry = walk(va);

        if (va < l.base || pfn >= n_pages) {
            assert_int_equal(entry, 0);
            continue;
        }
        assert_int_equal(entry >> 12, TOP_FRAME - pfn);
        assert_int_equal(entry & 3, va >= l.tables && va < l.stack ? 1 : 3);
    }
    assert_int_equal(walk(l.mapped_end), 0);
    assert_int_equal(walk((l.base & ~0x1FFFFFu) - PAGE), 0);
}

static void plan(uint32_t base, uint32_t kernel_end, uint32_t ramdisk_size, uint32_t mib)
{
    n_pages = mib * (MIB / PAGE);
    assert_null(layout_plan(&l, base, kernel_end, ramdisk_size, n_pages));
    check_order(kernel_end, ramdisk_size);
    p2m = malloc(n_pages * sizeof *p2m);
    for (uint32_t i = 0; i < n_pages; i++)
        p2m[i] = TOP_FRAME - i;
    tables = malloc(l.n_tables * sizeof *tables);
    for (uint32_t i = 0; i < l.n_tables; i++)
        layout_table(&l, i, p2m, n_pages, tables[i]);
    check_tables();
    free(tables);
    free(p2m);
}

static void linux_like(void **state)
{
    (void)state;
    plan(0xC0000000, 0xC1500123, 3 * MIB + 17, 128);
    assert_int_equal(l.n_level2, 1);
    assert_false(l.extra_level2);
}

/* PV-GRUB's base is 0: it gets a second level-2 table, for the hypervisor's slot. */
static void pv_grub_like(void **state)
{
    (void)state;
    plan(0, 0x5810C4, 0, 64);
    assert_int_equal(l.n_level2, 1);
    assert_true(l.extra_level2);
    assert_int_equal(l.mapped_end, 8 * MIB);
}

static void smallest(void **state)
{
    (void)state;
    plan(0xC0000000, 0xC0001000, 0, 1);
}

/* Spare memory just missing under the 4 MiB line: the mapping grows by a whole 4 MiB. */
static void spare_is_kept(void **state)
{
    (void)state;
    for (uint32_t kernel = 3 * MIB; kernel < 4 * MIB; kernel += PAGE)
        plan(0xC0000000, 0xC0000000 + kernel, 0, 16);
}

static void across_a_gigabyte(void **state)
{
    (void)state;
    plan(0x3FE00000, 0x3FE01000, 6 * MIB, 16);
    assert_int_equal(l.n_level2, 2);
    plan(0xBFF00000, 0xC0001000, 0, 16);
    assert_int_equal(l.n_level2, 2);
    assert_false(l.extra_level2);
}

static void base_inside_two_mib(void **state)
{
    (void)state;
    plan(0xC0101000, 0xC0200000, 0, 16);
}

static void at_the_hypervisor(void **state)
{
    (void)state;
    plan(0xF5400000, 0xF5401000, 0, 16);
    assert_int_equal(l.mapped_end, ELF_HV_START);
    assert_string_equal(layout_plan(&l, 0xF5700000, 0xF5790000, 0, 4096),
                        "does not fit below the hypervisor, 0xf5800000");
}

static void refused(void **state)
{
    (void)state;
    assert_string_equal(layout_plan(&l, 0xC0000000, 0xC0F00000, 2 * MIB, 4096),
                        "does not fit into the domain's memory");
    assert_string_equal(layout_plan(&l, 0xC0000000, 0xC0100000, UINT32_MAX, 4096),
                        "does not fit below the hypervisor, 0xf5800000");
    assert_non_null(layout_plan(&l, 0, ELF_HV_START, 0, 1 << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linux_like),        cmocka_unit_test(pv_grub_like),
        cmocka_unit_test(smallest),          cmocka_unit_test(spare_is_kept),
        cmocka_unit_test(across_a_gigabyte), cmocka_unit_test(base_inside_two_mib),
        cmocka_unit_test(at_the_hypervisor), cmocka_unit_test(refused),
    };

    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
