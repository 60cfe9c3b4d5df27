/* SPDX-License-Identifier: MIT */
/*
 * test_audit.c: does the audit see what it is there to see? One thing is bent at a time, the audit
 * must complain, the thing is put right, and the audit must be content.
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

enum { FRAMES = 0x2000 };

static struct domain *d;
static mfn_t page, other, l1, l2, top, kernel, l3, gdt, info;

static mfn_t fresh(void)
{
    return alloc_domain_frames(d, 0, 0);
}

static pte_t *table_of(mfn_t mfn)
{
    return direct_map((maddr_t)mfn << PAGE_SHIFT);
}

/* A guest as it runs: a root, its tables with all kinds of entries, a GDT, a registered page. */
static int start(void **state)
{
    struct vcpu *v;

    (void)state;
    machine_init(FRAMES);
    d = machine_domain(3, 100);
    grant_table_init(d);
    v = d->vcpus[0];
    page = fresh();
    other = fresh();
    l1 = fresh();
    l2 = fresh();
    top = fresh();
    kernel = fresh();
    l3 = fresh();
    gdt = fresh();
    info = fresh();
    table_of(l1)[0] = make_pte(page, PTE_P | PTE_RW);
    table_of(l1)[1] = make_pte(page, PTE_P);
    table_of(l1)[2] = make_pte(l1, PTE_P);
    table_of(l2)[0] = make_pte(l1, PTE_P | PTE_RW);
    table_of(l2)[1] = make_pte(l2, PTE_P); /* a linear map of itself */
    table_of(top)[0] = make_pte(top, PTE_P);
    table_of(top)[7] = make_pte(kernel, PTE_P | PTE_RW);
    table_of(l3)[0] = make_pte(l2, PTE_P);
    table_of(l3)[3] = make_pte(top, PTE_P);
    assert_int_equal(get_frame_and_type(mfn_frame(l3), d, FT_L3), 0);
    v->l3_frame = l3;
    assert_int_equal(get_frame_and_type(mfn_frame(gdt), d, FT_SEG), 0);
    v->gdt_frames[0] = gdt;
    v->gdt_entries = 10;
    assert_int_equal(get_frame_and_type(mfn_frame(info), d, FT_WRITABLE), 0);
    v->info_mfn = info;
    assert_int_equal(audit_frames(), 0);
    return 0;
}

static int end(void **state)
{
    struct vcpu *v = d->vcpus[0];
    uint32_t free = free_frame_count();

    (void)state;
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(free_frame_count(), free);
    put_frame_and_type(mfn_frame(v->l3_frame));
    put_frame_and_type(mfn_frame(gdt));
    put_frame_and_type(mfn_frame(info));
    machine_kill(d);
    assert_int_equal(seen.domains_freed, 1);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(free_frame_count(), FRAMES - 1);
    return 0;
}

/* `what` becomes `bad` for one audit, which must notice. */
#define BENT(what, bad)                          \
    do {                                         \
        __typeof__((what) + 0) good = (what);    \
        what = (bad);                            \
        assert_int_not_equal(audit_frames(), 0); \
        what = good;                             \
        assert_int_equal(audit_frames(), 0);     \
    } while (0)

static void test_counts(void **state)
{
    struct frame *f = mfn_frame(page), *t = mfn_frame(l1);

    (void)state;
    BENT(f->count_info, f->count_info + 1);
    BENT(f->count_info, f->count_info - 1);
    BENT(f->type_info, f->type_info + 1);
    BENT(t->count_info, t->count_info + 1);
    BENT(t->type_info, t->type_info - 1);
    BENT(mfn_frame(other)->count_info, FC_ALLOCATED);
    BENT(mfn_frame(other)->count_info, 1);
    BENT(mfn_frame(l3)->type_info, mfn_frame(l3)->type_info + 1);
    BENT(mfn_frame(gdt)->type_info, mfn_frame(gdt)->type_info - 1);
    BENT(mfn_frame(info)->count_info, mfn_frame(info)->count_info + 1);
}

static void test_flags(void **state)
{
    struct frame *f = mfn_frame(page), *t = mfn_frame(l2);

    (void)state;
    BENT(f->type_info, f->type_info | FT_PINNED);
    BENT(f->type_info, f->type_info & ~FT_VALIDATED);
    BENT(f->type_info, f->type_info | FT_TOP);
    BENT(t->type_info, t->type_info | FT_PINNED); /* without its reference */
    BENT(t->type_info, t->type_info | FT_PARTIAL);
    BENT(t->type_info, t->type_info | FT_LINKER | FT_LINKED);
    BENT(t->type_info, t->type_info | FT_BARE);
    BENT(mfn_frame(top)->type_info, mfn_frame(top)->type_info & ~FT_BARE);
}

static void test_entries(void **state)
{
    (void)state;
    BENT(table_of(l1)[0], 0);
    BENT(table_of(l1)[0], make_pte(page, PTE_P));
    BENT(table_of(l1)[1], make_pte(page, PTE_P | PTE_RW));
    BENT(table_of(l1)[2], make_pte(l1, PTE_P | PTE_RW)); /* a page table, writable */
    BENT(table_of(l1)[3], make_pte(other, PTE_P | PTE_RW));
    BENT(table_of(l2)[0], make_pte(page, PTE_P | PTE_RW)); /* a data page as page table */
    BENT(table_of(l2)[1], make_pte(l2, PTE_P | PTE_RW));
    BENT(table_of(l2)[2], make_pte(FRAMES + 7, PTE_P));
    BENT(table_of(l2)[3], make_pte(top, PTE_P)); /* another directory, without its reference */
    BENT(table_of(l3)[1], make_pte(l1, PTE_P));
    BENT(table_of(top)[7], 0);
    BENT(d->common_l1s[7].users, 2);
    BENT(d->common_l1s[7].users, 0);
    BENT(d->common_l1s[7].entry, 0);
    BENT(d->common_l1s[8].entry, make_pte(l1, PTE_P));
    BENT(table_of(l3)[0], 0);
}

static void test_lists(void **state)
{
    (void)state;
    BENT(d->tot_pages, d->tot_pages + 1);
    BENT(d->heap_pages, 1);
    BENT(d->page_list, mfn_frame(d->page_list)->next);
    BENT(d->page_list, 0);
    BENT(mfn_frame(other)->owner, 4);
    BENT(mfn_frame(page)->prev, 0);
    /* A ring in the list. */
    BENT(mfn_frame(page)->next, d->page_list);
}

static void test_vcpus(void **state)
{
    struct vcpu *v = d->vcpus[0];

    (void)state;
    BENT(v->l3_frame, INVALID_MFN);
    BENT(v->l3_frame, l2);
    BENT(v->info_mfn, other);
    BENT(v->gdt_entries, 0);
    BENT(v->gdt_entries, 513);
    BENT(v->ldt_frames[2], gdt);
    BENT(v->old_table, other);
    BENT(d->teardown_table, l1);
}

/* The lowest blocks, from which nothing is allocated while there are others: 1, and 2 to 3. */
static void test_free_memory(void **state)
{
    (void)state;
    BENT(mfn_frame(1)->nr_done, 1);
    BENT(mfn_frame(3)->owner, 3);
    BENT(mfn_frame(3)->type_info, 1);
    BENT(mfn_frame(3)->count_info, 1);
}

static void test_grants(void **state)
{
    struct grant_active *a;

    (void)state;
    d->grant.active[0] = a = xzalloc_array(struct grant_active, GRANT_V1_PER_FRAME);
    a[9].mfn = other;
    BENT(a[9].readers, 1);
    a[9].mfn = page;
    BENT(a[9].writers, 1);
    a[9].mfn = INVALID_MFN; /* a transitive grant holds no frame */
    a[9].readers = 1;
    assert_int_equal(audit_frames(), 0);
    a[9].readers = 0;
}

/* What is interrupted is in order: the part that is done counts, and who owns the rest is known. */
static void test_half_done(void **state)
{
    mfn_t half = fresh();
    struct frame *f = mfn_frame(half);

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        table_of(half)[i] = make_pte(fresh(), PTE_P);
    preempt_after = 2;
    assert_int_equal(get_frame_and_type_preemptible(f, d, FT_L2), -85);
    assert_true(f->type_info & FT_PARTIAL);
    assert_int_equal(audit_frames(), 0);
    BENT(f->nr_done, f->nr_done - 1);
    preempt_after = 0;
    assert_int_equal(get_frame_and_type_preemptible(f, d, FT_L2), 0);
    preempt_after = 1;
    assert_int_equal(put_frame_and_type_preemptible(f), -85);
    d->vcpus[0]->old_table = half;
    assert_int_equal(audit_frames(), 0);
    d->vcpus[0]->old_table = INVALID_MFN;
    preempt_after = 0;
    assert_int_equal(put_frame_and_type_preemptible(f), 0);
}

static void test_no_memory(void **state)
{
    static void *held[FRAMES];
    unsigned n = 0;

    (void)state;
    while ((held[n] = heap_alloc_pages(0)))
        n++;
    assert_int_equal(audit_frames(), 1);
    while (n)
        heap_free_pages(held[--n], 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        T(test_counts),      T(test_flags),  T(test_entries),   T(test_lists),     T(test_vcpus),
        T(test_free_memory), T(test_grants), T(test_half_done), T(test_no_memory),
    };

    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
