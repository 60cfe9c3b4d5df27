/* SPDX-License-Identifier: MIT */
/*
 * test_unpack.c - bzImages as Linux's makefiles pack them, and damaged ones, through xen/unpack/unpack.c.
 *
 * The kernel is this very program: machine code, as the x86 filter wants it. It is packed by the
 * tools that pack kernels, with their options. Reads on: tests/fuzz/fuzz_unpack.c.
 *
 * units: xen/unpack/unpack.c build/unpack/host.a
 * flags: -isystem build/unpack/source/zlib -isystem build/unpack/source/xz-utils/src/liblzma/api -DZ_SOLO
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <ringlet/unpack.h>

enum { SETUP = 5 * 512, HEADER = 256, WORK = (64 << 20) + UNPACK_WORK };

/* As Linux's scripts call them, and as people do. */
static const char *const packers[] = {
    "gzip -n -9",
    "xz --check=crc32 --x86 --lzma2=,dict=32MiB",
    "xz -9e",
    "xz --format=lzma -9",
};
enum { GZIP, XZ_LINUX, XZ_CRC64, LZMA, PACKERS };

static uint8_t *elf, *file;
static size_t elf_size, file_size;

/* What `command` writes when it reads this program. */
static uint8_t *output_of(const char *command, size_t *size)
{
    char line[256];
    FILE *pipe;
    uint8_t *data = NULL;
    size_t n;

    snprintf(line, sizeof line, "%s </proc/%d/exe", command, getpid());
    pipe = popen(line, "r");
    assert_non_null(pipe);
    *size = 0;
    do {
        data = realloc(data, *size + 65536);
        n = fread(data + *size, 1, 65536, pipe);
        *size += n;
    } while (n);
    assert_int_equal(pclose(pipe), 0);
    return data;
}

static void put(size_t at, uint32_t value, size_t bytes)
{
    memcpy(file + at, &value, bytes);
}

/* A bzImage: gzip itself leaves the kernel's length at the end, for the others the makefiles do. */
static void make_image(unsigned packer)
{
    size_t size;
    uint8_t *packed = output_of(packers[packer], &size);

    free(file);
    file_size = SETUP + HEADER + size + (packer == GZIP ? 0 : 4);
    file = calloc(1, file_size);
    put(0x1f1, 4, 1);
    memcpy(file + 0x202, "HdrS", 4);
    put(0x206, 0x20d, 2);
    put(0x248, HEADER, 4);
    put(0x24c, (uint32_t)(file_size - SETUP - HEADER), 4);
    memcpy(file + SETUP + HEADER, packed, size);
    put(file_size - 4, (uint32_t)elf_size, 4);
    free(packed);
}

static unsigned int steps;

static void count_step(void)
{
    steps++;
}

/* Find and unpack, in areas of exactly the right size: ASan sees a step outside. */
static const char *unpack(size_t work_size)
{
    struct packed_kernel p;
    const char *why = packed_kernel_find(file, file_size, &p);
    uint8_t *out, *work;

    if (why)
        return why;
    assert_non_null(p.data);
    out = malloc(p.unpacked);
    work = malloc(work_size);
    steps = 0;
    why = packed_kernel_unpack(&p, out, work, work_size, count_step);
    if (!why) {
        assert_in_range(steps, elf_size / UNPACK_STEP, elf_size / UNPACK_STEP + 2);
        assert_int_equal(p.unpacked, elf_size);
        assert_memory_equal(out, elf, elf_size);
    }
    free(work);
    free(out);
    return why;
}

static void assert_refused(const char *expected)
{
    const char *why = unpack(WORK);

    assert_non_null(why);
    assert_string_equal(why, expected);
}

static void test_every_packer(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PACKERS; i++) {
        make_image(i);
        assert_null(unpack(WORK));
    }
}

static void test_gzip_without_setup_code(void **state)
{
    (void)state;
    free(file);
    file = output_of(packers[GZIP], &file_size);
    assert_null(unpack(WORK));
}

static void test_not_packed(void **state)
{
    struct packed_kernel p;

    (void)state;
    assert_null(packed_kernel_find(elf, elf_size, &p));
    assert_null(p.data);
    assert_null(packed_kernel_find(elf, 0, &p));
    assert_null(p.data);
}

/* Field by field, each at the first value that is wrong. */
static void test_header(void **state)
{
    (void)state;
    make_image(GZIP);
    put(0x24c, (uint32_t)(file_size - SETUP - HEADER + 1), 4);
    assert_refused("truncated bzImage");
    put(0x24c, 17, 4);
    assert_refused("truncated bzImage");
    make_image(GZIP);
    put(0x248, 0xffffff00u, 4);
    assert_refused("truncated bzImage");
    put(0x248, HEADER + 1, 4);
    put(0x24c, 1000, 4);
    assert_refused("bzImage packed by an unknown packer: only gzip, xz and lzma are unpacked here");
    make_image(GZIP);
    put(0x206, 0x207, 2);
    assert_refused("bzImage from before Linux 2.6.26, which does not say where its kernel is");
    make_image(GZIP);
    put(0x1f1, 0, 1); /* stands for 4 */
    assert_null(unpack(WORK));
    file_size = 2048;
    assert_refused("truncated bzImage");
}

/* Packers that Linux knows and this file does not are called by their names. */
static void test_other_packers(void **state)
{
    static const char *const others[][2] = {{"bzip2", "BZh91A"},
                                            {"lzo", "\x89LZO\0\r\n"},
                                            {"lz4", "\x02!L\x18\0\0"},
                                            {"zstd", "(\xb5/\xfd\0\0"}};
    char reason[80];

    (void)state;
    make_image(GZIP);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        memcpy(file + SETUP + HEADER, others[i][1], 6);
        snprintf(reason, sizeof reason,
                 "bzImage packed by %s: only gzip, xz and lzma are unpacked here", others[i][0]);
        assert_refused(reason);
    }
}

static void test_wrong_length(void **state)
{
    (void)state;
    for (unsigned i = GZIP + 1; i < PACKERS; i++) {
        make_image(i);
        put(file_size - 4, (uint32_t)elf_size - 1, 4);
        assert_refused("packed kernel not as long as its last four bytes say");
        put(file_size - 4, (uint32_t)elf_size + 1, 4);
        assert_refused("packed kernel not as long as its last four bytes say");
        put(file_size - 4, 0, 4);
        assert_refused("packed kernel not as long as its last four bytes say");
    }
}

static void test_little_memory(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PACKERS; i++) {
        make_image(i);
        assert_string_equal(unpack(1024), "too little memory to unpack it");
        if (i != GZIP)
            assert_string_equal(unpack(1 << 20), "too little memory to unpack it");
    }
    make_image(XZ_LINUX);
    assert_null(unpack((32 << 20) + UNPACK_WORK));
    make_image(GZIP);
    assert_null(unpack(UNPACK_WORK));
}

/* Cut anywhere: never an answer. */
static void test_truncated(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PACKERS; i++) {
        make_image(i);
        for (size_t left = 18; left < file_size - SETUP - HEADER; left += 1 + left / 4) {
            uint32_t kept;

            put(0x24c, (uint32_t)left, 4);
            memcpy(&kept, file + SETUP + HEADER + left - 4, 4);
            put(SETUP + HEADER + left - 4, (uint32_t)elf_size, 4);
            assert_non_null(unpack(WORK));
            put(SETUP + HEADER + left - 4, kept, 4);
        }
    }
}

/* A changed bit is noticed, but by lzma, which has no check sum. */
static void test_damaged(void **state)
{
    (void)state;
    for (unsigned i = 0; i < XZ_CRC64; i++) {
        make_image(i);
        for (size_t at = SETUP + HEADER + 12; at < file_size - 40; at += file_size / 40) {
            file[at] ^= 0x10;
            assert_non_null(unpack(WORK));
            file[at] ^= 0x10;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_packer),  cmocka_unit_test(test_gzip_without_setup_code),
        cmocka_unit_test(test_not_packed),    cmocka_unit_test(test_header),
        cmocka_unit_test(test_other_packers), cmocka_unit_test(test_wrong_length),
        cmocka_unit_test(test_little_memory), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),
    };

    elf = output_of("cat", &elf_size);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
