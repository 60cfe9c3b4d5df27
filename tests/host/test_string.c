/* SPDX-License-Identifier: MIT */
/*
 * test_string.c - the hypervisor's own string functions against the C library's, and its number
 * readers.
 *
 * The functions under test have the names of the C library's; the flags below rename them in this
 * program, where both live side by side.
 *
 * units: xen/string.c
 * flags: -Dmemcpy=hv_memcpy -Dmemmove=hv_memmove -Dmemset=hv_memset -Dmemcmp=hv_memcmp
 * flags: -Dstrlen=hv_strlen -Dstrcmp=hv_strcmp -Dstrncmp=hv_strncmp -Dstrchr=hv_strchr
 * flags: -Dstrlcpy=hv_strlcpy -fno-builtin
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <ringlet/lib.h>

void bug(const char *file, int line, const char *what)
{
    fail_msg("%s:%d: %s", file, line, what);
    abort();
}

/* Every offset and length a copy of words and bytes can get wrong, with guards on both sides. */
static void copies(void **state)
{
    uint8_t from[64], to[64];

    (void)state;
    for (unsigned i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i + 1);
    for (unsigned offset = 0; offset < 8; offset++) {
        for (unsigned n = 0; n < 20; n++) {
            for (unsigned i = 0; i < sizeof(to); i++)
                to[i] = 0xee;
            assert_ptr_equal(memcpy(to + 8, from + offset, n), to + 8);
            for (unsigned i = 0; i < sizeof(to); i++)
                assert_int_equal(to[i], i >= 8 && i < 8 + n ? from[offset + i - 8] : 0xee);
        }
    }
}

static void moves_overlapping(void **state)
{
    (void)state;
    for (unsigned to = 0; to < 12; to++) {
        for (unsigned from = 0; from < 12; from++) {
            uint8_t buf[32];

            for (unsigned i = 0; i < sizeof(buf); i++)
                buf[i] = (uint8_t)i;
            assert_ptr_equal(memmove(buf + to, buf + from, 17), buf + to);
            for (unsigned i = 0; i < sizeof(buf); i++)
                assert_int_equal(buf[i], i >= to && i < to + 17 ? i - to + from : i);
        }
    }
}

static void fills(void **state)
{
    (void)state;
    for (unsigned offset = 0; offset < 5; offset++) {
        for (unsigned n = 0; n < 20; n++) {
            uint8_t buf[32] = {0};

            memset(buf + offset, 0x1a5, n);
            for (unsigned i = 0; i < sizeof(buf); i++)
                assert_int_equal(buf[i], i >= offset && i < offset + n ? 0xa5 : 0);
        }
    }
}

static void compares(void **state)
{
    (void)state;
    assert_int_equal(memcmp("abc", "abc", 3), 0);
    assert_true(memcmp("ab\xff", "abc", 3) > 0);
    assert_true(memcmp("a", "b", 1) < 0);
    assert_int_equal(memcmp("a", "b", 0), 0);
    assert_int_equal(strcmp("", ""), 0);
    assert_true(strcmp("a", "") > 0);
    assert_true(strcmp("abc", "abd") < 0);
    assert_true(strcmp("\xff", "a") > 0);
    assert_int_equal(strncmp("abcd", "abce", 3), 0);
    assert_true(strncmp("abcd", "abce", 4) < 0);
    assert_int_equal(strncmp("ab", "ab", 9), 0);
    assert_int_equal(strlen(""), 0);
    assert_int_equal(strlen("12345"), 5);
}

static void finds_characters(void **state)
{
    const char *s = "a=b=c";

    (void)state;
    assert_ptr_equal(strchr(s, '='), s + 1);
    assert_ptr_equal(strchr(s, '\0'), s + 5);
    assert_null(strchr(s, 'x'));
}

static void copies_strings_that_do_not_fit(void **state)
{
    char buf[5] = "....";

    (void)state;
    assert_int_equal(strlcpy(buf, "ab", sizeof(buf)), 2);
    assert_string_equal(buf, "ab");
    assert_int_equal(strlcpy(buf, "abcdefgh", sizeof(buf)), 8);
    assert_string_equal(buf, "abcd");
    buf[0] = '!';
    assert_int_equal(strlcpy(buf, "xyz", 0), 3);
    assert_int_equal(buf[0], '!');
    assert_int_equal(strlcpy(buf, "xyz", 1), 3);
    assert_string_equal(buf, "");
}

static void expect_number(const char *s, unsigned long long value, unsigned used)
{
    const char *end;

    assert_true(parse_number(s, &end) == value);
    assert_int_equal(end - s, used);
}

static void reads_numbers(void **state)
{
    (void)state;
    expect_number("0", 0, 1);
    expect_number("1234,5", 1234, 4);
    expect_number("0x1F", 31, 4);
    expect_number("0xg", 0, 1);
    expect_number("0x", 0, 1);
    expect_number("017", 17, 3);
    expect_number("", 0, 0);
    expect_number("-1", 0, 0);
    expect_number("abc", 0, 0);
    expect_number("18446744073709551615", ~0ull, 20);
    expect_number("18446744073709551616x", ~0ull, 20);
    expect_number("99999999999999999999999", ~0ull, 23);
    expect_number("0xffffffffffffffff", ~0ull, 18);
    assert_true(parse_number("7", NULL) == 7);
}

static void expect_size(const char *s, unsigned long long value, unsigned used)
{
    const char *end;

    assert_true(parse_size(s, &end) == value);
    assert_int_equal(end - s, used);
}

static void reads_sizes(void **state)
{
    (void)state;
    expect_size("64M", 64ull << 20, 3);
    expect_size("64m,", 64ull << 20, 3);
    expect_size("2G", 2ull << 30, 2);
    expect_size("1T", 1ull << 40, 2);
    expect_size("100b", 100, 4);
    expect_size("16", 16 << 10, 2);
    expect_size("16k", 16 << 10, 3);
    expect_size("16x", 16 << 10, 2);
    expect_size("", 0, 0);
    expect_size("M", 0, 0);
    expect_size("18446744073709551615G", ~0ull, 21);
    expect_size("16777216T", ~0ull, 9);
    assert_true(parse_size("1M", NULL) == 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies),
        cmocka_unit_test(moves_overlapping),
        cmocka_unit_test(fills),
        cmocka_unit_test(compares),
        cmocka_unit_test(finds_characters),
        cmocka_unit_test(copies_strings_that_do_not_fit),
        cmocka_unit_test(reads_numbers),
        cmocka_unit_test(reads_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
