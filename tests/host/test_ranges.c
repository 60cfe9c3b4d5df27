/* SPDX-License-Identifier: MIT */
/*
 * test_ranges.c: sets that come in ranges, against a byte for each number.
 *
 * units: xen/ranges.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <ringlet/frame.h>
#include <ringlet/hypercall.h>
#include <ringlet/ranges.h>

enum { NUMBERS = 64, CHANGES = 20000 };

static bool no_memory;

void *xzalloc_bytes(size_t n)
{
    return no_memory ? NULL : calloc(1, n);
}

void xfree(void *p)
{
    free(p);
}

static void edges(void **state)
{
    struct ranges r = {0};

    (void)state;
    assert_false(ranges_hold(&r, 0, 0));
    assert_int_equal(ranges_change(&r, 5, 9, false), 0);
    assert_int_equal(r.n, 0);
    assert_int_equal(ranges_change(&r, 5, 9, true), 0);
    assert_int_equal(ranges_change(&r, 10, 20, true), 0);
    assert_int_equal(r.n, 2);
    assert_true(ranges_hold(&r, 5, 20));
    assert_false(ranges_hold(&r, 4, 5));
    assert_false(ranges_hold(&r, 20, 21));
    assert_int_equal(ranges_change(&r, 7, 7, false), 0);
    assert_true(ranges_hold(&r, 5, 6));
    assert_false(ranges_hold(&r, 6, 8));
    assert_true(ranges_hold(&r, 8, 20));
    assert_int_equal(ranges_change(&r, 0, UINT64_MAX - 2, true), 0);
    assert_int_equal(r.n, 2);
    assert_true(ranges_hold(&r, 0, UINT64_MAX - 2));
    ranges_clear(&r);
    no_memory = true;
    assert_int_equal(ranges_change(&r, 1, 2, true), -ENOMEM);
    no_memory = false;
    assert_false(ranges_hold(&r, 1, 2));
}

static void random_changes(void **state)
{
    bool model[NUMBERS] = {false};
    struct ranges r = {0};

    (void)state;
    srand(1);
    for (unsigned i = 0; i < CHANGES; i++) {
        unsigned first = rand() % NUMBERS, last = first + rand() % (NUMBERS - first);
        bool in = rand() & 1, all = true;

        for (unsigned n = first; n <= last; n++)
            all = all && model[n];
        assert_int_equal(ranges_hold(&r, first, last), all);
        if (rand() % 4)
            last = first + rand() % (last - first + 1);
        assert_int_equal(ranges_change(&r, first, last, in), 0);
        for (unsigned n = first; n <= last; n++)
            model[n] = in;
        assert_int_equal(r.n % 2, 0);
        for (unsigned n = 1; n < r.n; n++)
            assert_true(r.bounds[n - 1] < r.bounds[n]);
    }
    ranges_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(edges), cmocka_unit_test(random_changes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
