/* SPDX-License-Identifier: MIT */
/*
 * test_archive.c - the control domain's ramdisk: cpio archives and guests' configurations.
 *
 * units: pv-guest/dom0/cpio.c pv-guest/dom0/config.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../pv-guest/dom0/archive.h"

/* ---- cpio ------------------------------------------------------------------------------------ */

static char archive[4096];
static size_t size;

static void add(const char *name, unsigned mode, const char *data)
{
    size += sprintf(archive + size, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1,
                    mode, 0, 0, 1, 0, (unsigned)strlen(data), 0, 0, 0, 0,
                    (unsigned)strlen(name) + 1, 0);
    size += sprintf(archive + size, "%s", name) + 1;
    size = (size + 3) & ~3ul;
    size += sprintf(archive + size, "%s", data);
    size = (size + 3) & ~3ul;
}

static void make_archive(void)
{
    memset(archive, 0, sizeof archive);
    size = 0;
    add(".", 040755, "");
    add("./a.cfg", 0100644, "kernel=a");
    add("dir", 040755, "");
    add("dir/b", 0100644, "twelve bytes");
    add("empty", 0100644, "");
    add("TRAILER!!!", 0, "");
}

/* From a heap copy of exactly that size, for the address sanitizer's eyes. */
static int count_files(size_t n)
{
    char *copy = malloc(n ? n : 1);
    size_t offset = 0;
    struct file f;
    int files = 0, result;

    memcpy(copy, archive, n);
    while ((result = cpio_next(copy, n, &offset, &f)) > 0) {
        assert_true(f.data + f.size <= (uint8_t *)copy + n);
        files++;
    }
    free(copy);
    return result < 0 ? result : files;
}

static void files_are_found(void **state)
{
    struct file f;

    (void)state;
    make_archive();
    assert_int_equal(count_files(size), 3);
    assert_true(cpio_find(archive, size, "a.cfg", &f));
    assert_int_equal(f.size, 8);
    assert_memory_equal(f.data, "kernel=a", 8);
    assert_true(cpio_find(archive, size, "dir/b", &f));
    assert_memory_equal(f.data, "twelve bytes", 12);
    assert_true(cpio_find(archive, size, "empty", &f));
    assert_int_equal(f.size, 0);
    assert_false(cpio_find(archive, size, "dir", &f));
    assert_false(cpio_find(archive, size, "none", &f));
    assert_int_equal(count_files(0), 0);
}

static void damaged_archives(void **state)
{
    (void)state;
    make_archive();
    for (size_t n = 1; n < size; n++)
        count_files(n); /* any answer, no step outside */
    assert_int_equal(count_files(109), -1);
    archive[0] = 'x';
    assert_int_equal(count_files(size), -1);
    make_archive();
    memcpy(archive + 6 + 8 * 6, "FFFFFFFF", 8); /* a file as long as can be */
    assert_int_equal(count_files(size), -1);
    make_archive();
    memcpy(archive + 6 + 8 * 11, "FFFFFFFF", 8); /* a name as long */
    assert_int_equal(count_files(size), -1);
    make_archive();
    memcpy(archive + 6 + 8 * 11, "00000000", 8);
    assert_int_equal(count_files(size), -1);
    make_archive();
    archive[6 + 8 * 6] = 'g';
    assert_int_equal(count_files(size), -1);
}

/* ---- Configurations -------------------------------------------------------------------------- */

static struct config c;
static unsigned int line; /* of the first mistake */
static unsigned int mistake_count;
static const char *first_mistake;

static void on_mistake(const char *file, unsigned int at, const char *why)
{
    assert_non_null(file);
    if (mistake_count++)
        return;
    first_mistake = why;
    line = at;
}

/* NULL, or the first mistake. */
static const char *parse_file(const char *file, const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    size_t n = strlen(text);

    memcpy(copy, text, n);
    first_mistake = NULL;
    mistake_count = 0;
    bool good = config_parse(file, copy, n, &c, on_mistake);
    assert_int_equal(good, mistake_count == 0);
    free(copy);
    return first_mistake;
}

static const char *parse(const char *text)
{
    return parse_file("guests/toy.cfg", text);
}

static void whole_config(void **state)
{
    (void)state;
    assert_null(parse("# comment\n\n  kernel = toy.elf\r\nramdisk=toy.img\nmemory = 64\n"
                      "extra = \"a=1 b\"\nname = 'web-1'\nautostart=yes\nvcpus = 4\n"
                      "ioports = 70-71 3F6\nirqs = \"8 14-15\"\niomem=b8"));
    assert_int_equal(c.vcpus, 4);
    assert_int_equal(c.ioports.n, 2);
    assert_int_equal(c.ioports.range[0].first, 0x70);
    assert_int_equal(c.ioports.range[0].last, 0x71);
    assert_int_equal(c.ioports.range[1].first, 0x3f6);
    assert_int_equal(c.ioports.range[1].last, 0x3f6);
    assert_int_equal(c.irqs.n, 2);
    assert_int_equal(c.irqs.range[1].last, 15);
    assert_int_equal(c.iomem.range[0].last, 0xb8);
    assert_string_equal(c.kernel, "toy.elf");
    assert_string_equal(c.ramdisk, "toy.img");
    assert_string_equal(c.cmdline, "a=1 b");
    assert_string_equal(c.name, "web-1");
    assert_int_equal(c.memory, 64);
    assert_true(c.autostart);
}

static void defaults(void **state)
{
    (void)state;
    assert_null(parse("kernel=k"));
    assert_string_equal(c.name, "toy");
    assert_string_equal(c.ramdisk, "");
    assert_string_equal(c.cmdline, "");
    assert_int_equal(c.memory, 32);
    assert_int_equal(c.vcpus, 1);
    assert_int_equal(c.ioports.n + c.irqs.n + c.iomem.n, 0);
    assert_false(c.autostart);
}

#define RANGES "expected numbers or ranges of them, such as 70-71"

static void mistakes(void **state)
{
    static const struct {
        const char *text, *why;
        unsigned int line;
    } bad[] = {
        {"", "no kernel given", 0},
        {"kernel=k\nmemry=4", "unknown key", 2},
        {"\n\nkernel", "expected key = value", 3},
        {"memory=", "memory is 1 to 4096 MiB", 1},
        {"memory=0", "memory is 1 to 4096 MiB", 1},
        {"memory=64M", "memory is 1 to 4096 MiB", 1},
        {"memory=99999999999999999999", "memory is 1 to 4096 MiB", 1},
        {"vcpus=33", "a guest has 1 to 32 vcpus", 1},
        {"ioports=70-", RANGES, 1},
        {"ioports=71-70", RANGES, 1},
        {"ioports=10000", RANGES, 1},
        {"irqs=a", RANGES, 1},
        {"iomem=1 2 3 4 5 6 7 8 9", "too many ranges", 1},
        {"autostart=perhaps", "say yes or no", 1},
        {"name=1st", "a name begins with a letter (numbers are domains)", 1},
        {"name=", "a name begins with a letter (numbers are domains)", 1},
        {"name=a b", "a name is made of letters, digits, '-', '_' and '.'", 1},
        {"name=a234567890123456789012345678901234567890", "value too long", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_string_equal(parse(bad[i].text), bad[i].why);
        assert_int_equal(line, bad[i].line);
    }
    assert_string_equal(parse_file("9.cfg", "kernel=k"),
                        "a name begins with a letter (numbers are domains)");
    /* Each mistake of a file is reported, not the first alone. */
    assert_string_equal(parse("memory=x\nvcpus=0\nkernel=k\nkernal=k\nname=9"),
                        "memory is 1 to 4096 MiB");
    assert_int_equal(mistake_count, 4);
    assert_string_equal(c.name, "toy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_found), cmocka_unit_test(damaged_archives),
        cmocka_unit_test(whole_config),    cmocka_unit_test(defaults),
        cmocka_unit_test(mistakes),
    };

    return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
