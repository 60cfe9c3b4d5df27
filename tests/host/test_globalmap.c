/* SPDX-License-Identifier: MIT */
/*
 * test_globalmap.c: the slots of the global maps, and that greedy domains leave some to the others.
 *
 * units: arch/i386/globalmap.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ringlet/arch.h>
#include <ringlet/domain.h>

#define HIGH_FRAME (DIRECTMAP_SIZE >> PAGE_SHIFT)
enum { GREEDY = 9 };

uint64_t nx_bit = PTE_NX;
_Thread_local struct cpu *host_cpu;
static unsigned flushes;
static struct domain greedy[GREEDY], late, control = {.privileged = true};

void bug(const char *file, int line, const char *what)
{
    fail_msg("%s:%d: %s", file, line, what);
    abort();
}

void *direct_map(maddr_t ma)
{
    return (void *)(uintptr_t)(DIRECTMAP_START + (uint32_t)ma);
}

void tlb_flush_all(void)
{
    flushes++;
}

void spin_lock_check(spinlock_t *l)
{
    (void)l;
}

void spin_unlock_check(spinlock_t *l)
{
    (void)l;
}

void spin_wait(spinlock_t *l)
{
    (void)l;
    fail_msg("a lock is taken twice");
}

/* How many slots d gets before it is refused. */
static unsigned take_all(struct domain *d)
{
    unsigned n = 0;

    while (map_global(d, HIGH_FRAME + n))
        n++;
    return n;
}

static void give_back(struct domain *d, unsigned slot, unsigned n)
{
    for (; n--; slot++)
        unmap_global(d, (void *)(uintptr_t)(GLOBALMAP_START + slot * PAGE_SIZE));
}

static void direct_map_takes_no_slot(void **state)
{
    void *p = map_global(&late, HIGH_FRAME - 1);

    (void)state;
    assert_ptr_equal(p, direct_map((maddr_t)(HIGH_FRAME - 1) << PAGE_SHIFT));
    assert_int_equal(late.global_maps, 0);
    unmap_global(&late, p);
    assert_int_equal(flushes, 0);
}

/* A domain that wants all gets half, the next a quarter: none ever takes the last. */
static void greedy_domains_leave_some(void **state)
{
    unsigned n[GREEDY], left = GLOBALMAP_PAGES, first = 0;
    void *p;

    (void)state;
    for (unsigned i = 0; i < GREEDY; i++) {
        n[i] = take_all(&greedy[i]);
        assert_int_equal(n[i], greedy[i].global_maps);
        assert_true(n[i] > 0 && n[i] <= left - n[i]);
        left -= n[i];
    }
    p = map_global(&late, HIGH_FRAME);
    assert_non_null(p);
    unmap_global(&late, p + 8);
    for (unsigned i = 0; i < GREEDY; i++) {
        give_back(&greedy[i], first, n[i]);
        assert_int_equal(greedy[i].global_maps, 0);
        first += n[i];
    }
    assert_int_equal(take_all(&greedy[1]), GLOBALMAP_PAGES / 2);
    give_back(&greedy[1], 0, GLOBALMAP_PAGES / 2);
}

static void the_control_domain_may_have_all(void **state)
{
    (void)state;
    assert_int_equal(take_all(&control), GLOBALMAP_PAGES);
    assert_null(map_global(&late, HIGH_FRAME));
    give_back(&control, 0, GLOBALMAP_PAGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(direct_map_takes_no_slot),
                                       cmocka_unit_test(greedy_domains_leave_some),
                                       cmocka_unit_test(the_control_domain_may_have_all)};

    return cmocka_run_group_tests_name("globalmap", tests, NULL, NULL);
}
