/* SPDX-License-Identifier: MIT */
/*
 * test_printk.c - the hypervisor's formatter against the C library's, and which messages are let
 * through.
 *
 * units: xen/printk.c
 * flags: -Dsnprintf=hv_snprintf -Dvsnprintf=hv_vsnprintf -fno-builtin -Wno-format-overflow
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ringlet/console.h>
#include <ringlet/time.h>

struct boot_options options;

/* What reached the console, and the time the rationing goes by. */
static char console[4096];
static size_t console_length;
static uint64_t now;

void console_message(const char *s, size_t n)
{
    assert_true(console_length + n < sizeof(console));
    memcpy(console + console_length, s, n);
    console_length += n;
    console[console_length] = '\0';
}

uint64_t now_ns(void)
{
    return now;
}

void bug(const char *file, int line, const char *what)
{
    fail_msg("%s:%d: %s", file, line, what);
    abort();
}

static int clear(void **state)
{
    (void)state;
    console_length = 0;
    console[0] = '\0';
    return 0;
}

#define EXPECT(text, ...)                                \
    do {                                                 \
        char buf[200];                                   \
        int n = snprintf(buf, sizeof(buf), __VA_ARGS__); \
        assert_string_equal(buf, text);                  \
        assert_int_equal(n, strlen(text));               \
    } while (0)

static void formats_numbers(void **state)
{
    (void)state;
    EXPECT("0 -1 2147483647 -2147483648", "%d %i %d %d", 0, -1, INT32_MAX, INT32_MIN);
    EXPECT("4294967295 deadbeef DEADBEEF", "%u %x %X", ~0u, 0xdeadbeef, 0xdeadbeef);
    EXPECT("18446744073709551615 ffffffffffffffff", "%llu %llx", ~0ull, ~0ull);
    EXPECT("-9223372036854775808", "%lld", (long long)INT64_MIN);
    EXPECT("12345678901234567890", "%llu", 12345678901234567890ull);
    EXPECT("10000000000000000000", "%llu", 10000000000000000000ull);
    EXPECT("4294967296 65536 65535", "%llu %u %u", 1ull << 32, 65536u, 65535u);
    EXPECT("-5 7 ff", "%ld %lu %lx", -5l, 7ul, 255ul);
    EXPECT("123", "%zu", (size_t)123);
    EXPECT("0x1f 0X1F", "%#x %#X", 31, 31);
}

static void pads(void **state)
{
    (void)state;
    EXPECT("[   42]", "[%5d]", 42);
    EXPECT("[42   ]", "[%-5d]", 42);
    EXPECT("[00042]", "[%05d]", 42);
    EXPECT("[-0042]", "[%05d]", -42);
    EXPECT("[  -42]", "[%5d]", -42);
    EXPECT("[0x001f]", "[%#06x]", 31);
    EXPECT("[123456]", "[%3d]", 123456);
    EXPECT("[  x]", "[%3c]", 'x');
    EXPECT("[x  ]", "[%-3c]", 'x');
    EXPECT("[    7]", "[%*d]", 5, 7);
    EXPECT("[7    ]", "[%*d]", -5, 7);
}

static void formats_strings(void **state)
{
    char unterminated[3] = {'a', 'b', 'c'};
    const char *none = NULL;

    (void)state;
    EXPECT("", "%s", "");
    EXPECT("[  abc]", "[%5s]", "abc");
    EXPECT("[abc  ]", "[%-5s]", "abc");
    EXPECT("[ab]", "[%.2s]", "abc");
    EXPECT("[   ab]", "[%5.2s]", "abc");
    EXPECT("[abc]", "[%.*s]", 3, unterminated);
    EXPECT("[]", "[%.0s]", "abc");
    EXPECT("[(null)]", "[%s]", none);
    EXPECT("100%", "100%%");
    EXPECT("", "%s", "");
}

static void formats_pointers(void **state)
{
    char buf[40], expected[40];
    size_t digits = 2 * sizeof(void *);

    (void)state;
    for (size_t i = 0; i < digits; i++)
        expected[i] = '0';
    memcpy(expected + digits - 4, "1a2b", 5);
    snprintf(buf, sizeof(buf), "%p", (void *)0x1a2b);
    assert_string_equal(buf, expected);
}

static void cuts_what_does_not_fit(void **state)
{
    char buf[8];

    (void)state;
    memset(buf, '!', sizeof(buf));
    assert_int_equal(snprintf(buf, 4, "%s", "abcdef"), 6);
    assert_memory_equal(buf, "abc\0!!!!", 8);
    assert_int_equal(snprintf(buf, 1, "%d", 12345), 5);
    assert_int_equal(buf[0], '\0');
    buf[0] = '?';
    assert_int_equal(snprintf(buf, 0, "%d", 12), 2);
    assert_int_equal(buf[0], '?');
    assert_int_equal(snprintf(buf, 4, "%s", "abc"), 3);
    assert_string_equal(buf, "abc");
}

/* The format is ours, so these are slips, not attacks; they must show and not run off the end. */
static void survives_bad_formats(void **state)
{
    char buf[40];
    const char *unknown = "a%qb", *open = "a%", *open_width = "a%5";

    (void)state;
    snprintf(buf, sizeof(buf), unknown);
    assert_string_equal(buf, "a%qb");
    snprintf(buf, sizeof(buf), open);
    assert_string_equal(buf, "a");
    snprintf(buf, sizeof(buf), open_width);
    assert_string_equal(buf, "a");
}

static void long_messages_are_cut(void **state)
{
    char text[400];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    printk("%s", text);
    assert_int_equal(console_length, 255);
}

static void levels_decide(void **state)
{
    (void)state;
    options.loglvl = LOG_WARNING;
    log_message(LOG_ERR, "e");
    log_message(LOG_WARNING, "w");
    log_message(LOG_INFO, "i");
    options.loglvl = LOG_NONE;
    log_message(LOG_ERR, "E");
    printk("p");
    assert_string_equal(console, "ewp");
}

static void guests_are_rationed(void **state)
{
    (void)state;
    options.guest_loglvl = LOG_INFO;
    options.guest_loglvl_unrationed = LOG_ERR;
    for (unsigned i = 0; i < 1000; i++)
        guest_log(LOG_WARNING, "w");
    guest_log(LOG_DEBUG, "d");
    assert_int_equal(console_length, 200);
    guest_log(LOG_ERR, "e");
    assert_int_equal(console_length, 201);

    clear(NULL);
    now += NS_PER_SEC;
    for (unsigned i = 0; i < 1000; i++)
        guest_log(LOG_WARNING, "w");
    assert_non_null(strstr(console, "800 messages"));
    assert_int_equal(strlen(strchr(console, '\n') + 1), 50);

    clear(NULL);
    now += 3600 * NS_PER_SEC;
    for (unsigned i = 0; i < 1000; i++)
        guest_log(LOG_WARNING, "w");
    assert_int_equal(strlen(strchr(console, '\n') + 1), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_numbers),
        cmocka_unit_test(pads),
        cmocka_unit_test(formats_strings),
        cmocka_unit_test(formats_pointers),
        cmocka_unit_test(cuts_what_does_not_fit),
        cmocka_unit_test(survives_bad_formats),
        cmocka_unit_test_setup(long_messages_are_cut, clear),
        cmocka_unit_test_setup(levels_decide, clear),
        cmocka_unit_test_setup(guests_are_rationed, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
