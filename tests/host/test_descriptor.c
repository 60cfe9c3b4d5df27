/* SPDX-License-Identifier: MIT */
/*
 * test_descriptor.c: no descriptor a guest may have reaches the hypervisor.
 *
 * The model beside it is slow and plain: an offset is valid or not by the manual's words (SDM
 * vol. 3, 5.3), and for every page from GUEST_SEGMENT_END to the end of the address space the
 * model asks, byte by byte at its ends, whether some valid offset leads there. The valid offsets
 * of a segment are one run, so a run that reaches into a page holds one of its ends, or begins
 * or ends inside it: those bytes are asked about too.
 *
 * units: traps/descriptor.c traps/segments_4gb/flip.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DFLAT_RING1_CS=0xe019 -DFLAT_RING1_SS=0xe021
 * flags: -DFLAT_RING3_SS=0xe033
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../traps/segments_4gb/flip.h"

#define G DESC_G
#define DB DESC_DB
#define CODE_SEGMENT (DESC_P | DESC_S | DESC_CODE | DESC_RW)
#define DATA_SEGMENT (DESC_P | DESC_S | DESC_RW)
#define DOWN (DATA_SEGMENT | DESC_EXPAND_DOWN)
#define DPL(n) ((n) << DESC_DPL_SHIFT)

static struct desc make(uint32_t base, uint32_t limit, uint32_t bits)
{
    struct desc d = {base << 16 | (limit & 0xffff),
                     (base & 0xff000000) | (base >> 16 & 0xff) | (limit & 0xf0000) | bits};
    return d;
}

static uint32_t base_of(const struct desc *d)
{
    return d->a >> 16 | (d->b & 0xff) << 16 | (d->b & 0xff000000);
}

static uint32_t limit_of(const struct desc *d)
{
    return (d->a & 0xffff) | (d->b & 0xf0000);
}

/* --- the model --- */

static bool offset_valid(const struct desc *d, uint32_t offset)
{
    uint64_t limit = limit_of(d);

    if (d->b & DESC_G)
        limit = limit * 4096 + 4095;
    if (!(d->b & DESC_CODE) && (d->b & DESC_EXPAND_DOWN))
        return offset > limit && (d->b & DESC_DB || offset <= 0xffff);
    return offset <= limit;
}

static bool reaches_address(const struct desc *d, uint32_t linear)
{
    return linear >= GUEST_SEGMENT_END && offset_valid(d, linear - base_of(d));
}

static bool reaches_hypervisor(const struct desc *d)
{
    uint32_t limit = limit_of(d), bytes = d->b & DESC_G ? limit << 12 | 0xfff : limit;
    const uint32_t ends[] = {0, bytes, bytes + 1, 0xffff, 0x10000, 0xffffffff};

    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint32_t offset = ends[i] + delta;

            if (offset_valid(d, offset) && reaches_address(d, base_of(d) + offset))
                return true;
        }
    }
    for (uint64_t page = GUEST_SEGMENT_END; page < 1ull << 32; page += 4096) {
        if (reaches_address(d, page) || reaches_address(d, page + 4095))
            return true;
    }
    return false;
}

/* --- what check_descriptor() owes --- */

static void check_segment(struct desc original)
{
    struct desc d = original;
    bool expand_down = !(d.b & DESC_CODE) && (d.b & DESC_EXPAND_DOWN), ok = check_descriptor(&d);
    const uint32_t limit_bits = 0xf0000;

    if (!ok) {
        assert_true(d.a == original.a && d.b == original.b);
        /* What harms nobody is refused only for an expand-down base among the hypervisor's. */
        assert_true(reaches_hypervisor(&d) ||
                    (expand_down && base_of(&d) >= HYPERVISOR_START - 0xffff));
        return;
    }
    assert_false(reaches_hypervisor(&d));
    assert_true(d.b & DESC_DPL);
    if (original.b & DESC_DPL)
        assert_true((d.b & DESC_DPL) == (original.b & DESC_DPL));
    assert_true(base_of(&d) == base_of(&original));
    assert_true(((d.b ^ original.b) & ~(limit_bits | DESC_DPL)) == 0);
    if (limit_of(&d) == limit_of(&original))
        return;
    /* Cut, so it was needed, and no more than was needed. */
    assert_true(reaches_hypervisor(&original));
    d = make(base_of(&d), limit_of(&d) + (expand_down ? -1 : 1), original.b & ~0xff0f00ffu);
    d.b = (original.b & ~(limit_bits)) | (limit_of(&d) & limit_bits);
    assert_true(reaches_hypervisor(&d));
}

static const uint32_t bases[] = {
    0,          1,          0xfff,      0x1000,     0x1001,     0x12345678, 0x80000000,
    0xbfffffff, 0xc0000000, 0xf5800000, 0xf57fffff, 0xf5800001, 0xf67fefff, 0xf67ff000,
    0xf67ff001, 0xf67fffff, 0xf6800000, 0xf6800001, 0xf6810000, 0xfffff000, 0xffffffff,
};
static const uint32_t limits[] = {
    0,       1,       0xffe,   0xfff,   0x1000,  0xfffe,  0xffff,  0x10000, 0x7ffff,
    0x80000, 0x9ffff, 0xf57ff, 0xf5800, 0xf67fe, 0xf67ff, 0xf6800, 0xffffe, 0xfffff,
};

static void test_corners(void **state)
{
    static const uint32_t kinds[] = {CODE_SEGMENT, CODE_SEGMENT | DESC_CONFORMING, DATA_SEGMENT,
                                     DOWN};

    (void)state;
    for (unsigned b = 0; b < ARRAY_SIZE(bases); b++)
        for (unsigned l = 0; l < ARRAY_SIZE(limits); l++)
            for (unsigned k = 0; k < ARRAY_SIZE(kinds); k++)
                for (unsigned f = 0; f < 4; f++)
                    check_segment(make(bases[b], limits[l],
                                       kinds[k] | (f & 1 ? G : 0) | (f & 2 ? DB : 0) | DPL(f)));
}

static void test_random(void **state)
{
    (void)state;
    srandom(1);
    for (unsigned i = 0; i < 5000; i++) {
        uint32_t a = (uint32_t)random() << 1 ^ random(), b = (uint32_t)random() << 1 ^ random();

        check_segment((struct desc){a, b | DESC_P | DESC_S});
    }
}

static void test_flat(void **state)
{
    struct desc d = make(0, 0xfffff, CODE_SEGMENT | G | DB | DPL(0));

    (void)state;
    assert_true(check_descriptor(&d));
    assert_true(limit_of(&d) == 0xf67ff);
    assert_true((d.b & DESC_DPL) == DPL(1));
}

static void test_not_present_is_anything(void **state)
{
    struct desc d = {0xdeadbeef, 0xffff7fff & ~DESC_P}, before = d;

    (void)state;
    assert_true(check_descriptor(&d));
    assert_true(d.a == before.a && d.b == before.b);
}

/* --- flips for 4 GiB segments --- */

static void flip_both_ways(uint32_t base)
{
    struct desc up = make(base, 0xfffff, DATA_SEGMENT | G | DB | DPL(3)), d;

    if (!check_descriptor(&up))
        return;
    for (unsigned i = 0; i < 64; i++) {
        uint32_t offset = i < 32 ? -(1u << i) : i < 48 ? 1u << (i - 32) : (uint32_t)random() << 1;

        d = up;
        if (!flip_descriptor(&d, offset))
            continue;
        assert_false(offset_valid(&up, offset));
        assert_true(offset_valid(&d, offset));
        assert_false(reaches_hypervisor(&d));
        assert_true(base_of(&d) == base);
        /*
         * What came out is what a guest could have installed itself, and goes back to what it was.
         */
        struct desc again = d;
        assert_true(check_descriptor(&again));
        assert_true(again.a == d.a && again.b == d.b);
        assert_false(flip_descriptor(&d, offset));
        assert_true(flip_descriptor(&d, 0));
        assert_true(d.a == up.a && d.b == up.b);
    }
}

static void test_flips(void **state)
{
    struct desc d;

    (void)state;
    for (unsigned b = 0; b < ARRAY_SIZE(bases); b++)
        flip_both_ways(bases[b]);
    for (unsigned i = 0; i < 100; i++)
        flip_both_ways((uint32_t)random() << 1 ^ random());

    /* glibc's case. */
    d = make(0xb7fc1940, 0xfffff, DATA_SEGMENT | G | DB | DPL(3));
    assert_true(check_descriptor(&d));
    assert_true(flip_descriptor(&d, -8));
    assert_true(d.b & DESC_EXPAND_DOWN);
    /*
     * A flat segment has nothing below its base; one the guest made small stays small; code stays.
     */
    d = make(0, 0xfffff, DATA_SEGMENT | G | DB | DPL(1));
    assert_true(check_descriptor(&d));
    assert_false(flip_descriptor(&d, 0xfffffff8));
    d = make(0xb7fc1940, 0x10, DATA_SEGMENT | G | DB | DPL(3));
    assert_false(flip_descriptor(&d, -8));
    d = make(0xb7fc1940, 0xfffff, CODE_SEGMENT | G | DB | DPL(3));
    assert_true(check_descriptor(&d));
    assert_false(flip_descriptor(&d, -8));
}

/* --- system descriptors and selectors --- */

static struct desc gate(uint16_t selector, uint32_t type, uint32_t dpl)
{
    struct desc d = {(uint32_t)selector << 16 | 0x5678, 0x12340000 | DESC_P | DPL(dpl) | type << 8};
    return d;
}

static void test_call_gates(void **state)
{
    struct desc d = gate(0x0060, 12, 0);

    (void)state;
    assert_true(check_descriptor(&d));
    assert_int_equal(d.a >> 16, 0x0061);
    assert_true((d.b & DESC_DPL) == DPL(1));
    d = gate(0x000f, 12, 3); /* LDT, ring 3 */
    assert_true(check_descriptor(&d));
    assert_int_equal(d.a >> 16, 0x000f);
    d = gate(0xe018, 12, 3); /* the flat kernel segment, RPL 0 */
    assert_true(check_descriptor(&d));
    assert_int_equal(d.a >> 16, 0xe019);
    static const uint16_t refused[] = {0xe008, 0xe009, 0xe010, 0xe02b, 0xe01b, 0xe048, 0xfff8};
    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
        d = gate(refused[i], 12, 3);
        assert_false(check_descriptor(&d));
    }
    d = gate(0x0061, 12, 1);
    d.b |= 0x20; /* a reserved bit */
    assert_false(check_descriptor(&d));
}

static void test_system_types(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < 16; type++) {
        struct desc d = gate(0x0061, type, 1);

        assert_int_equal(check_descriptor(&d), type == 0 || type == 12);
    }
}

static void test_selectors(void **state)
{
    (void)state;
    for (uint32_t sel = 0; sel < 0x10000; sel++) {
        bool reserved = !(sel & 4) && sel >= 0xe000;
        uint16_t code = sel, stack = sel, lifted = sel & 3 ? sel : sel | 1;

        assert_int_equal(fixup_guest_code_selector(&code), !reserved || lifted == 0xe019);
        assert_int_equal(fixup_guest_stack_selector(&stack),
                         !reserved || lifted == 0xe021 || lifted == 0xe033);
        assert_int_equal(code, lifted);
        assert_int_equal(stack, lifted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corners),      cmocka_unit_test(test_random),
        cmocka_unit_test(test_flat),         cmocka_unit_test(test_not_present_is_anything),
        cmocka_unit_test(test_flips),        cmocka_unit_test(test_call_gates),
        cmocka_unit_test(test_system_types), cmocka_unit_test(test_selectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
