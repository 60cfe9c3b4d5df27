/* SPDX-License-Identifier: MIT */
/*
 * fuzz_unpack.c - feed anything to xen/unpack/unpack.c and the decoders behind it.
 *
 * The input is tried twice: as a whole file, for the bzImage's header, and as the payload of a sound
 * bzImage, for the decoders, which then run in areas of exactly the size they were told, so that
 * the sanitizers see any step outside. The decoders are built to overlook the check sums of xz's
 * headers (decoders.mk), or hardly an input would get behind these.
 *
 * units: xen/unpack/unpack.c build/unpack/fuzz.a
 * flags: -isystem build/unpack/source/zlib -isystem build/unpack/source/xz-utils/src/liblzma/api -DZ_SOLO
 */
#include <stdlib.h>
#include <string.h>

#include <ringlet/unpack.h>

enum { MAX_UNPACKED = 1 << 20, WORK = 2 << 20, SETUP = 2 * 512, HEADER = 64 };

static void unpack(const uint8_t *file, size_t size)
{
    struct packed_kernel p;
    uint8_t *out, *work;

    if (packed_kernel_find(file, size, &p) || !p.data || p.unpacked > MAX_UNPACKED)
        return;
    if (p.data < file || p.size > size || p.data > file + size - p.size)
        abort();
    out = malloc(p.unpacked);
    work = malloc(WORK);
    packed_kernel_unpack(&p, out, work, WORK, NULL);
    free(work);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *file = calloc(1, SETUP + HEADER + size);

    unpack(data, size);
    file[0x1f1] = 1;
    memcpy(file + 0x202, "HdrS\x0d\x02", 6);
    file[0x248] = HEADER;
    memcpy(file + 0x24c, (uint32_t[]){(uint32_t)size}, 4);
    memcpy(file + SETUP + HEADER, data, size);
    unpack(file, SETUP + HEADER + size);
    free(file);
    return 0;
}
