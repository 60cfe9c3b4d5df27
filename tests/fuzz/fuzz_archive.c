/* SPDX-License-Identifier: MIT */
/*
 * fuzz_archive.c - the control domain's ramdisk, with anything in it.
 *
 * The input is taken for an archive, and each file found for a configuration; so is the whole
 * input. Checked: every file lies inside the archive, the walk ends, what is accepted is within
 * bounds.
 *
 * units: pv-guest/dom0/cpio.c pv-guest/dom0/config.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../pv-guest/dom0/archive.h"

#define CHECK(x) ((x) ? (void)0 : abort())

static void on_mistake(const char *file, unsigned int line, const char *why)
{
    (void)file;
    (void)line;
    CHECK(why);
}

static void check_config(const char *name, const void *text, size_t size)
{
    struct config c;

    if (!config_parse(name, text, size, &c, on_mistake))
        return;
    CHECK(c.kernel[0] && memchr(c.kernel, 0, sizeof c.kernel));
    CHECK(memchr(c.ramdisk, 0, sizeof c.ramdisk));
    CHECK(memchr(c.cmdline, 0, sizeof c.cmdline));
    CHECK(c.name[0] && memchr(c.name, 0, sizeof c.name));
    CHECK(c.memory >= 1 && c.memory <= 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t offset = 0, before = 0;
    struct file f;

    while (cpio_next(data, size, &offset, &f) > 0) {
        CHECK(offset > before && offset <= size);
        CHECK((const uint8_t *)f.name > data && f.data <= data + size);
        CHECK(f.size <= (size_t)(data + size - f.data));
        check_config(f.name, f.data, f.size);
        before = offset;
    }
    check_config("whole.cfg", data, size);
    return 0;
}
