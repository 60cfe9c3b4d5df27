/* SPDX-License-Identifier: MIT */
/*
 * test_alloc.c: the frame allocator and frames' ownership: nothing lost, nothing twice, nothing
 * dirty.
 *
 * units: mm/alloc.c mm/ownership.c mm/xzalloc.c tests/host/machine.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine.h"
#include <ringlet/hypercall.h>

enum { FRAMES = 0x5000 }; /* 80 MiB: the low zones, and a high one without contents */

/* put_frame as mm/types.c has it, without types: this test's frames have none. */
void put_frame(struct frame *f)
{
    if (((f->count_info -= 1) & FC_COUNT) == 0)
        frame_release(f);
}

static void release(mfn_t mfn)
{
    struct frame *f = mfn_frame(mfn);

    f->count_info &= ~FC_ALLOCATED;
    put_frame(f);
}

static void test_everything_once_and_back(void **state)
{
    static uint8_t have[FRAMES];
    uint32_t n = 0, before;
    mfn_t mfn;

    (void)state;
    machine_init(FRAMES);
    before = free_frame_count();
    assert_int_equal(before, FRAMES - 1);
    assert_int_equal(total_frame_count(), before);
    memset(have, 0, sizeof(have));
    while ((mfn = alloc_frames(0, 0)) != INVALID_MFN) {
        assert_in_range(mfn, 1, FRAMES - 1);
        assert_int_equal(have[mfn]++, 0);
        n++;
    }
    /* An eighth of the 56 MiB of low memory stays for the hypervisor. */
    assert_int_equal(before - n, (56 << 8) / 8 - 1);
    for (mfn = 1; mfn < FRAMES; mfn++) {
        if (have[mfn])
            free_frames(mfn, 0);
    }
    assert_int_equal(free_frame_count(), before);
    /* All grown together again: the largest blocks are there. */
    for (n = 0; alloc_frames(MAX_ORDER, 0) != INVALID_MFN; n++)
        ;
    assert_int_equal(n, FRAMES / 1024 - 1 - 1);
}

static void test_limits(void **state)
{
    (void)state;
    machine_init(FRAMES);
    for (unsigned bits = 13; bits < 27; bits++) {
        mfn_t mfn = alloc_frames(0, bits);

        assert_true(mfn < 1u << (bits - 12));
        /* The highest zone that will do. */
        assert_true(mfn >= 1u << (bits - 13) || bits > 26);
        free_frames(mfn, 0);
    }
    assert_int_equal(alloc_frames(0, 12), INVALID_MFN);
    assert_int_equal(alloc_frames(0, 1), INVALID_MFN);
    assert_int_equal(alloc_frames(10, 22), INVALID_MFN);
    assert_int_equal(alloc_frames(MAX_ORDER + 1, 0), INVALID_MFN);
    assert_true(alloc_frames(0, 0) >= 0x4000);
    assert_true(alloc_frames(0, 200) >= 0x4000);
}

static void test_random_blocks(void **state)
{
    static struct {
        mfn_t mfn;
        unsigned order;
    } held[600];
    static uint8_t have[FRAMES];
    uint32_t before, n = 0;

    (void)state;
    machine_init(FRAMES);
    memset(have, 0, sizeof(have));
    before = free_frame_count();
    for (unsigned step = 0; step < 100000; step++) {
        unsigned i = machine_random(600);

        if (held[i].mfn) {
            memset(have + held[i].mfn, 0, 1u << held[i].order);
            free_frames(held[i].mfn, held[i].order);
            n -= 1u << held[i].order;
            held[i].mfn = 0;
        } else {
            unsigned order = machine_random(4) ? machine_random(3) : machine_random(MAX_ORDER + 1);
            mfn_t mfn = alloc_frames(order, machine_random(3) ? 0 : 24);

            if (mfn == INVALID_MFN)
                continue;
            assert_int_equal(mfn & ((1u << order) - 1), 0);
            for (mfn_t f = mfn; f < mfn + (1u << order); f++)
                assert_int_equal(have[f]++, 0);
            held[i].mfn = mfn;
            held[i].order = order;
            n += 1u << order;
        }
        assert_int_equal(free_frame_count(), before - n);
    }
    for (unsigned i = 0; i < 600; i++) {
        if (held[i].mfn)
            free_frames(held[i].mfn, held[i].order);
        held[i].mfn = 0;
    }
    assert_int_equal(free_frame_count(), before);
}

static void test_no_dirt(void **state)
{
    char *p, *q;

    (void)state;
    machine_init(0x800);
    /* Memory of before the boot is cleared when it is first handed out. */
    memset(direct_map(PAGE_SIZE), 0xAA, (0x800 - 1) << PAGE_SHIFT);
    p = heap_alloc_pages(2);
    for (unsigned i = 0; i < 4 * PAGE_SIZE; i++)
        assert_int_equal(p[i], 0);
    memset(p, 0x55, 4 * PAGE_SIZE);
    heap_free_pages(p, 2);
    q = heap_alloc_pages(2);
    for (unsigned i = 0; i < 4 * PAGE_SIZE; i++)
        assert_int_equal(q[i], 0);
    heap_free_pages(q, 2);
    assert_null(heap_alloc_pages(MAX_ORDER + 1));
}

static void test_assign_and_release(void **state)
{
    struct domain *d;
    mfn_t a, b;
    uint32_t before;

    (void)state;
    machine_init(FRAMES);
    before = free_frame_count();
    d = machine_domain(5, 9);
    a = alloc_domain_frames(d, 3, 0);
    assert_int_not_equal(a, INVALID_MFN);
    assert_int_equal(d->tot_pages, 8);
    assert_int_equal(d->refs, 2);
    assert_int_equal(alloc_domain_frames(d, 1, 0), INVALID_MFN); /* 10 of 9 */
    b = alloc_domain_frames(d, 0, 0);
    assert_int_equal(d->tot_pages, 9);
    assert_int_equal(d->refs, 2);
    assert_int_equal(free_frame_count(), before - 9);
    m2p[b] = 77;
    release(b);
    assert_int_equal(m2p[b], INVALID_M2P);
    assert_int_equal(d->tot_pages, 8);
    assert_ptr_equal(frame_owner(mfn_frame(a)), d);
    d->state = DOMAIN_DYING;
    b = alloc_frames(0, 0);
    assert_int_equal(assign_frames(d, b, 0), -EINVAL);
    free_frames(b, 0);
    machine_forget(d);
    assert_int_equal(seen.domains_freed, 0);
    domain_slots[5] = d; /* frames still lead to it */
    for (mfn_t i = a; i < a + 8; i++)
        release(i);
    assert_int_equal(seen.domains_freed, 1);
    assert_true(seen.flushes >= 9);
    assert_int_equal(free_frame_count(), before);
}

static void test_steal(void **state)
{
    struct domain *d, *e;
    struct frame *f;
    mfn_t a;

    (void)state;
    machine_init(FRAMES);
    d = machine_domain(1, 10);
    e = machine_domain(2, 10);
    a = alloc_domain_frames(d, 0, 0);
    f = mfn_frame(a);
    assert_false(steal_frame(e, f));
    f->count_info++;
    assert_false(steal_frame(d, f)); /* in use */
    f->count_info--;
    assert_true(steal_frame(d, f));
    assert_int_equal(f->count_info, 0);
    assert_int_equal(d->tot_pages, 0);
    assert_int_equal(d->refs, 1);
    assert_false(steal_frame(d, f));
    assert_int_equal(assign_frames(e, a, 0), 0);
    assert_ptr_equal(frame_owner(f), e);
    release(a);
    machine_forget(d);
    machine_forget(e);
    assert_int_equal(seen.domains_freed, 2);
}

static void test_shared_heap_pages(void **state)
{
    struct domain *d;
    struct frame *f;
    void *w, *r;
    uint32_t before;

    (void)state;
    machine_init(FRAMES);
    before = free_frame_count();
    d = machine_domain(1, 0);
    w = heap_alloc_pages(0);
    r = heap_alloc_pages(0);
    share_heap_page(d, w, true);
    share_heap_page(d, r, false);
    assert_int_equal(d->heap_pages, 2);
    assert_int_equal(d->refs, 2);
    f = mfn_frame(direct_mfn(w));
    assert_int_equal(frame_type(f), FT_WRITABLE);
    assert_int_equal(f->type_info & FT_COUNT, 1);
    assert_int_equal(frame_type(mfn_frame(direct_mfn(r))), FT_NONE);
    assert_int_equal(mfn_frame(direct_mfn(r))->type_info & FT_COUNT, 1);
    assert_false(steal_frame(d, f));
    f->count_info++; /* the guest maps it */
    unshare_heap_page(d, w);
    assert_int_equal(d->heap_pages, 2);
    put_frame(f);
    assert_int_equal(d->heap_pages, 1);
    unshare_heap_page(d, r);
    assert_int_equal(d->refs, 1);
    machine_forget(d);
    assert_int_equal(free_frame_count(), before);
}

static void test_small_objects(void **state)
{
    static struct {
        uint8_t *p;
        size_t n;
    } held[2000];
    uint32_t before;

    (void)state;
    machine_init(0x3000);
    before = free_frame_count();
    for (unsigned step = 0; step < 200000; step++) {
        unsigned i = machine_random(2000);
        size_t n = machine_random(20) ? machine_random(2100) : machine_random(40000);

        if (held[i].p) {
            for (size_t k = 0; k < held[i].n; k++)
                assert_int_equal(held[i].p[k], (uint8_t)i);
            xfree(held[i].p);
            held[i].p = NULL;
            continue;
        }
        held[i].p = xzalloc_bytes(n);
        held[i].n = n;
        if (!held[i].p)
            continue;
        assert_int_equal((uintptr_t)held[i].p % 16, 0);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(held[i].p[k], 0);
        memset(held[i].p, i, n);
    }
    for (unsigned i = 0; i < 2000; i++) {
        xfree(held[i].p);
        held[i].p = NULL;
    }
    xfree(NULL);
    assert_int_equal(free_frame_count(), before);
    assert_null(xzalloc_bytes((4 << 20) + 1));
}

/* As many frames as are told to be for guests can be had by them, and then none is. */
static void test_frames_for_guests(void **state)
{
    static mfn_t held[0x4000];
    uint32_t n = 0, told;
    void *page;

    (void)state;
    machine_init(0x400);
    told = free_frame_count_for_guests();
    assert_true(told < free_frame_count());
    while ((held[n] = alloc_frames(0, 0)) != INVALID_MFN)
        n++;
    assert_int_equal(n, told);
    assert_int_equal(free_frame_count_for_guests(), 0);
    page = heap_alloc_pages(0); /* the hypervisor's own part */
    assert_non_null(page);
    assert_int_equal(free_frame_count_for_guests(), 0);
    heap_free_pages(page, 0);
    while (n--)
        free_frames(held[n], 0);
    assert_int_equal(free_frame_count_for_guests(), told);
}

/* The heap runs dry: every allocation says so, and all comes back. */
static void test_exhaustion(void **state)
{
    static void *held[0x4000];
    unsigned n = 0;
    uint32_t before;

    (void)state;
    machine_init(0x400);
    before = free_frame_count();
    while ((held[n] = heap_alloc_pages(0)))
        n++;
    assert_int_equal(n, before);
    assert_int_equal(free_frame_count(), 0);
    assert_null(xzalloc_bytes(16));
    assert_null(xzalloc_bytes(5000));
    assert_int_equal(alloc_frames(0, 0), INVALID_MFN);
    while (n--)
        heap_free_pages(held[n], 0);
    assert_int_equal(free_frame_count(), before);
}

/* Ten thousand domains live and die; memory is as before. */
static void test_many_lives(void **state)
{
    uint32_t before;

    (void)state;
    machine_init(0x4800);
    before = free_frame_count();
    for (unsigned round = 0; round < 10000; round++) {
        struct domain *d = machine_domain(1 + round % 900, 100);
        void *shared = heap_alloc_pages(0);

        share_heap_page(d, shared, true);
        for (unsigned i = 0; i < 12; i++)
            alloc_domain_frames(d, machine_random(4), machine_random(2) ? 0 : 24);
        d->state = DOMAIN_DYING;
        while (d->page_list)
            release(d->page_list);
        unshare_heap_page(d, shared);
        machine_forget(d);
        assert_int_equal(free_frame_count(), before);
    }
    assert_int_equal(seen.domains_freed, 10000);
}

/* Take objects of one size for d until it is refused; how many. */
static unsigned take_all(struct domain *d, void **held, size_t size)
{
    unsigned n = 0;

    while ((held[n] = xzalloc_for_domain(d, size)))
        n++;
    return n;
}

/*
 * Domains that want all of the heap, one after the other: each leaves as much as it has, so another
 * one still gets some. Shared pages count as well. A privileged domain may have the rest.
 */
static void test_greedy_domains(void **state)
{
    enum { GREEDY = 6, SIZE = 2000 };
    static void *held[GREEDY + 2][0x1000];
    struct domain *d[GREEDY], *late, *control;
    unsigned n[GREEDY], rest;
    uint32_t before;
    void *shared;

    (void)state;
    machine_init(0x800);
    late = machine_domain(50, 100);
    control = machine_domain(51, 100);
    control->privileged = true;
    before = free_frame_count();
    for (unsigned i = 0; i < GREEDY; i++) {
        d[i] = machine_domain(1 + i, 100);
        n[i] = take_all(d[i], held[i], SIZE);
        assert_true(n[i] > 0);
        assert_int_equal(d[i]->heap_bytes, n[i] * 2032); /* the size of its class */
        /* but for the page that the last one began, and what its size was rounded up by */
        assert_true(d[i]->heap_bytes <= (free_heap_frame_count() + 2) * PAGE_SIZE);
        assert_true(heap_allows(late, PAGE_SIZE));
    }
    assert_true(take_all(late, held[GREEDY], PAGE_SIZE) > 0);
    for (unsigned i = 0; held[GREEDY][i]; i++)
        xfree_for_domain(late, held[GREEDY][i]);
    shared = heap_alloc_pages(0);
    share_heap_page(late, shared, true);
    rest = free_heap_frame_count();
    assert_true(heap_allows(late, (rest - 1) * PAGE_SIZE));
    assert_false(heap_allows(late, rest * PAGE_SIZE));
    unshare_heap_page(late, shared);
    assert_int_equal(take_all(control, held[GREEDY + 1], PAGE_SIZE), rest + 1);
    for (unsigned i = 0; i <= rest; i++)
        xfree_for_domain(control, held[GREEDY + 1][i]);
    for (unsigned i = 0; i < GREEDY; i++) {
        for (unsigned k = 0; held[i][k]; k++)
            xfree_for_domain(d[i], held[i][k]);
        assert_int_equal(d[i]->heap_bytes, 0);
        machine_forget(d[i]);
    }
    assert_int_equal(free_frame_count(), before);
    assert_int_equal(control->heap_bytes + late->heap_bytes, 0);
    machine_forget(control);
    machine_forget(late);
}

static void test_holes(void **state)
{
    (void)state;
    machine_init(FRAMES);
    frames_init();
    frames_init_io(0xA0, 0x100);
    assert_int_equal(mfn_frame(0xA0)->owner, OWNER_IO);
    assert_int_equal(mfn_frame(0x9F)->owner, OWNER_XEN);
    assert_int_equal(mfn_frame(0x100)->owner, OWNER_XEN);
    assert_false(mfn_frame(0x100)->count_info == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_once_and_back),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_greedy_domains),
        cmocka_unit_test(test_random_blocks),
        cmocka_unit_test(test_no_dirt),
        cmocka_unit_test(test_assign_and_release),
        cmocka_unit_test(test_steal),
        cmocka_unit_test(test_shared_heap_pages),
        cmocka_unit_test(test_small_objects),
        cmocka_unit_test(test_frames_for_guests),
        cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_many_lives),
        cmocka_unit_test(test_holes),
    };

    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
