/* SPDX-License-Identifier: MIT */
/*
 * The linear address space of a guest on this library, one line a region.
 *
 * Constants only, so that assembly and the linker script can include it. The hypervisor's part
 * (0xF5800000 and up) is fixed by the ABI; everything below is the guest's own choice.
 *
 * Next: page.h, which fills these regions.
 */
#ifndef PV_LAYOUT_H
#define PV_LAYOUT_H

#define PAGE_SHIFT 12
#define PAGE_SIZE (1 << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

#define USER_BASE 0x00400000  /* ring-3 programs; address 0 is never mapped */
#define VIRT_BASE 0xC0000000  /* the linear map: pseudo-physical page N is at VIRT_BASE + N * 4K */
#define LINEAR_END 0xD0000000 /* ... so a guest uses at most 256 MiB of its memory directly */
#define HEAP_BASE 0xD0000000  /* malloc's memory, grown by sbrk */
#define HEAP_END 0xE0000000
#define WINDOW_BASE 0xE0000000 /* maps made at run time: frames of other domains, grants */
#define WINDOW_END 0xF0000000
#define HOLE_BASE 0xF5800000 /* the hypervisor: 16 MiB of M2P one may read ... */
#define LIMIT_END 0xF6800000 /* ... and from here on, memory no guest segment reaches */

#define STACK_SIZE (64 * 1024) /* the kernel stack, with a guard page below it */

#endif
