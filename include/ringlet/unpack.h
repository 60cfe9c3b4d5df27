/* SPDX-License-Identifier: MIT */
/*
 * unpack.h - the ELF kernel inside a bzImage, or inside a gzip file.
 *
 * Shared, as elfload.h is: the hypervisor unpacks the initial domain's kernel, the control domain
 * those of the others. Nothing is allocated: the caller brings the memory. The file may be hostile.
 * Read xen/unpack/unpack.c next.
 */
#ifndef RINGLET_UNPACK_H
#define RINGLET_UNPACK_H

#include <stddef.h>
#include <stdint.h>

/*
 * A packed kernel inside a larger file: data[0..size) lies in the file. `unpacked` is the length
 * that the packer left in the last four bytes; nothing says that it is true, or that there is so
 * much memory.
 */
struct packed_kernel {
    const uint8_t *data; /* NULL: the file is not packed */
    size_t size;
    uint32_t unpacked;
};

/*
 * What the decoder needs for itself, in bytes, besides the dictionary of an xz or lzma file. The
 * dictionary's size is the packer's choice: 32 MiB for kernels, 64 MiB at most with xz -9.
 */
#define UNPACK_WORK (256u << 10)

#define UNPACK_STEP (64u << 10)

/* xen/unpack/unpack.c */

/*
 * Is there a packed kernel in image[0..size)? Returns NULL and fills *p; or says in words why it
 * cannot be unpacked.
 */
const char *packed_kernel_find(const void *image, size_t size, struct packed_kernel *p);

/*
 * Unpack what packed_kernel_find() found to out[0..p->unpacked), with work[0..work_size) for the
 * decoder; the three areas do not overlap. between() is called after every UNPACK_STEP bytes, so
 * that the caller can serve others meanwhile; it may be NULL. Returns NULL when all of `out` is
 * written, else the reason in words.
 */
const char *packed_kernel_unpack(const struct packed_kernel *p, void *out, void *work,
                                 size_t work_size, void (*between)(void));

#endif
