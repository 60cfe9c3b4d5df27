/* SPDX-License-Identifier: MIT */
/*
 * test_cmdline.c - boot command lines as people write them for Xen, and as nobody should.
 *
 * The hypervisor's string functions are renamed, as in test_string.c.
 *
 * units: xen/cmdline.c xen/string.c
 * flags: -Dmemcpy=hv_memcpy -Dmemmove=hv_memmove -Dmemset=hv_memset -Dmemcmp=hv_memcmp
 * flags: -Dstrlen=hv_strlen -Dstrcmp=hv_strcmp -Dstrncmp=hv_strncmp -Dstrchr=hv_strchr
 * flags: -Dstrlcpy=hv_strlcpy
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ringlet/console.h>

static char said[4096];

void printk(const char *fmt, ...)
{
    va_list args;
    size_t n = strlen(said);

    va_start(args, fmt);
    vsnprintf(said + n, sizeof(said) - n, fmt, args);
    va_end(args);
}

void bug(const char *file, int line, const char *what)
{
    fail_msg("%s:%d: %s", file, line, what);
    abort();
}

static struct boot_options defaults;

static void parse(const char *s)
{
    options = defaults;
    said[0] = '\0';
    cmdline_parse(s);
}

static void empty(void **state)
{
    (void)state;
    parse("");
    assert_string_equal(said, "");
    assert_memory_equal(&options, &defaults, sizeof(options));
    parse("   \t ");
    assert_string_equal(said, "");
}

static void usual(void **state)
{
    (void)state;
    parse("console=com1 com1=38400 loglvl=all guest_loglvl=all noreboot sync_console dom0_mem=128M "
          "dom0_max_vcpus=2 guest_audit tbuf_size=256 tevt_mask=0xffff000");
    assert_string_equal(said, "");
    assert_true(options.console_serial && !options.console_vga);
    assert_int_equal(options.com1_baud, 38400);
    assert_int_equal(options.com1_port, 0x3f8);
    assert_int_equal(options.loglvl, LOG_DEBUG);
    assert_int_equal(options.guest_loglvl, LOG_DEBUG);
    assert_int_equal(options.guest_loglvl_unrationed, LOG_DEBUG);
    assert_true(options.noreboot && options.sync_console && options.guest_audit);
    assert_true(options.dom0_mem == 128 << 20);
    assert_int_equal(options.dom0_max_vcpus, 2);
    assert_int_equal(options.tbuf_size, 256);
    assert_int_equal(options.tevt_mask, 0xffff000);
}

static void consoles(void **state)
{
    (void)state;
    parse("console=vga,com1");
    assert_true(options.console_serial && options.console_vga);
    parse("console=vga");
    assert_true(!options.console_serial && options.console_vga);
    parse("console=none");
    assert_true(!options.console_serial && !options.console_vga);
    assert_string_equal(said, "");
    parse("console=com1,com2");
    assert_true(options.console_serial && !options.console_vga);
    parse("console_to_ring");
    assert_string_equal(said, "");
    assert_true(options.console_to_ring);
}

/* A value of which any part makes no sense is reported, once, and changes nothing. */
static void bad_values_change_nothing(void **state)
{
    static const char *const bad[] = {
        "console=com12",    "console=",           "console=com3,com2",
        "com1=fast",        "com1=9600,8n1,0",    "com1=9600,8n1,0x10000",
        "com1=9600x",       "com1=automatic",     "com1=9600,8n1,0x2f8x",
        "loglvl=none/loud", "loglvl=none/error/", "guest_loglvl=error/",
        "dom0_mem=1G,2Q",   "dom0_mem=min:1G,",   "dom0_mem=1G,max:-",
        "maxcpus=1x",       "dom0_max_vcpus=2x",  "tbuf_size=8x",
        "tevt_mask=0x1g",   "console_to_ring=1",  "noreboot=1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        parse(bad[i]);
        assert_non_null(strstr(said, bad[i]));
        assert_string_equal(strchr(said, '\n'), "\n");
        assert_memory_equal(&options, &defaults, offsetof(struct boot_options, cmdline));
    }
}

static void com1(void **state)
{
    (void)state;
    parse("com1=9600,8n1,0x2f8,3");
    assert_string_equal(said, "");
    assert_int_equal(options.com1_baud, 9600);
    assert_int_equal(options.com1_port, 0x2f8);
    parse("com1=115200/1843200,8n1");
    assert_string_equal(said, "");
    assert_int_equal(options.com1_baud, 115200);
    parse("com1=auto");
    assert_string_equal(said, "");
    parse("com1=0");
    assert_non_null(strstr(said, "bad value"));
    parse("com1=fast");
    assert_non_null(strstr(said, "bad value"));
    parse("com1=9600,8n1,0x10000");
    assert_non_null(strstr(said, "bad value"));
    assert_int_equal(options.com1_port, 0x3f8);
}

static void levels(void **state)
{
    (void)state;
    parse("loglvl=none guest_loglvl=warning/info");
    assert_string_equal(said, "");
    assert_int_equal(options.loglvl, LOG_NONE);
    assert_int_equal(options.guest_loglvl_unrationed, LOG_WARNING);
    assert_int_equal(options.guest_loglvl, LOG_INFO);
    parse("loglvl=error/debug");
    assert_int_equal(options.loglvl, LOG_DEBUG);
    parse("guest_loglvl=info/error");
    assert_int_equal(options.guest_loglvl, LOG_INFO);
    parse("loglvl=loud");
    assert_non_null(strstr(said, "bad value"));
    parse("loglvl=info/");
    assert_non_null(strstr(said, "bad value"));
    parse("loglvl=info/debug/all");
    assert_non_null(strstr(said, "bad value"));
}

static void dom0_mem(void **state)
{
    (void)state;
    parse("dom0_mem=65536");
    assert_true(options.dom0_mem == 64 << 20);
    parse("dom0_mem=min:32M,512M,max:1G");
    assert_string_equal(said, "");
    assert_true(options.dom0_mem == 512 << 20);
    assert_true(options.dom0_mem_min == 32 << 20 && options.dom0_mem_max == 1 << 30);
    parse("dom0_mem=max:64M");
    assert_true(options.dom0_mem == 0 && options.dom0_mem_max == 64 << 20);
    parse("dom0_mem=-64M,min:-1G");
    assert_string_equal(said, "");
    assert_true(options.dom0_mem == -(64 << 20) && options.dom0_mem_min == -(1 << 30));
    parse("dom0_mem=99999999999T");
    assert_true(options.dom0_mem == INT64_MAX);
    parse("dom0_mem=-");
    assert_non_null(strstr(said, "bad value"));
    parse("dom0_mem=--1M");
    assert_non_null(strstr(said, "bad value"));
    parse("dom0_mem=");
    assert_non_null(strstr(said, "bad value"));
    parse("dom0_mem=64M,");
    assert_non_null(strstr(said, "bad value"));
    parse("dom0_mem=64Q");
    assert_non_null(strstr(said, "bad value"));
}

static void unknown_words(void **state)
{
    (void)state;
    parse("ucode=scan noreboot=1 nonsense dom0_max_vcpus=0 tbuf_size=2000 tevt_mask=x");
    assert_non_null(strstr(said, "\"ucode=scan\""));
    assert_non_null(strstr(said, "\"noreboot=1\""));
    assert_non_null(strstr(said, "\"nonsense\""));
    assert_non_null(strstr(said, "\"dom0_max_vcpus=0\""));
    assert_non_null(strstr(said, "\"tbuf_size=2000\""));
    assert_non_null(strstr(said, "\"tevt_mask=x\""));
    assert_false(options.noreboot);
}

static void too_long(void **state)
{
    char line[3000];

    (void)state;
    memset(line, 'a', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    parse(line);
    assert_int_equal(strlen(options.cmdline), sizeof(options.cmdline) - 1);
    assert_non_null(strstr(said, "cut after 1023"));

    memset(line, 'x', 500);
    memcpy(line + 500, " noreboot", 10);
    parse(line);
    assert_true(options.noreboot);
    assert_string_equal(options.cmdline, line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),
        cmocka_unit_test(usual),
        cmocka_unit_test(consoles),
        cmocka_unit_test(com1),
        cmocka_unit_test(levels),
        cmocka_unit_test(dom0_mem),
        cmocka_unit_test(unknown_words),
        cmocka_unit_test(too_long),
        cmocka_unit_test(bad_values_change_nothing),
    };

    defaults = options;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
