/* SPDX-License-Identifier: MIT */
/*
 * config.h: where everything lies in linear memory, and the sizes that follow.
 *
 * Guests of the xen-3.0-x86_32p ABI own the addresses from 0 to HYPERVISOR_START; the hypervisor
 * keeps the rest, in every address space, in the last entries of each guest's top page directory
 * (L2 slot 3). Paging cannot hide that part from ring 1 (rings 0 to 2 are all "supervisor" to the
 * page tables), so no guest segment reaches beyond GUEST_SEGMENT_LIMIT. Assembly includes this file
 * too: constants only.
 *
 *   from        to          size     what                                     guest may
 *   00000000    F57FFFFF             the guest: user (ring 3), kernel (ring 1) own it
 *   F5800000    F67FFFFF    16 MiB   M2P table, read-only alias                read it
 *   F6800000    F77FFFFF    16 MiB   M2P table, writable                       nothing
 *   F7800000    FB7FFFFF    64 MiB   frame table: 16 bytes x 4M frames         nothing
 *   FB800000    FEFFFFFF    56 MiB   direct map of physical 0 to 56 MiB        nothing
 *   FF000000    FF3FFFFF     4 MiB   global maps (map_global)                  nothing
 *   FF400000    FFBFFFFF     8 MiB   per-CPU windows: map cache, GDT, LDT      nothing
 *   FFC00000    FFFFFFFF     4 MiB   fixed maps: local APIC, IO-APIC           nothing
 *
 * Read next: page.h (page-table entries), arch/i386/paging.c (who builds this map).
 */
#ifndef RINGLET_CONFIG_H
#define RINGLET_CONFIG_H

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096
#define SUPERPAGE_SHIFT 21

/*
 * walk 01: One map for everybody
 *
 * Claim: Every guest's address space is the same above 0xF5800000: there the hypervisor lives, in
 * rings 0 of all guests at once. Below is the guest's own, kernel and programs. Two constants say
 * where the border is: HYPERVISOR_START is the end of the guest's own addresses, and
 * GUEST_SEGMENT_END, 16 MiB above, is the end of what its segments reach. Between them lies the
 * read-only alias of the M2P table (machine frame to the guest's own number), the only part of the
 * hypervisor that a guest kernel may read.
 * Without it: A hypervisor in an address space of its own would have to switch page tables, and so
 * flush the TLB, at every hypercall, exception and interrupt.
 * Shown by: tests/system/test_gdb.py::test_pagewalk, tests/guests/rings/rings/main.c::test_sweep
 * Code: 2 paragraphs
 */
/*
 * The ABI's HYPERVISOR_VIRT_START: what XENVER_platform_parameters tells, and the end of the
 * guest's own addresses.
 */
#define HYPERVISOR_START 0xF5800000
#define M2P_RO_START 0xF5800000
#define M2P_START 0xF6800000
#define FRAME_TABLE_START 0xF7800000
#define DIRECTMAP_START 0xFB800000
#define GLOBALMAP_START 0xFF000000
#define PERCPU_WINDOWS_START 0xFF400000
#define FIXMAP_START 0xFFC00000

/* Every guest segment ends here: the M2P alias is the last thing a guest may see. */
#define GUEST_SEGMENT_END 0xF6800000

#define DIRECTMAP_SIZE (GLOBALMAP_START - DIRECTMAP_START)
#define GLOBALMAP_PAGES ((PERCPU_WINDOWS_START - GLOBALMAP_START) / PAGE_SIZE)

/* Frames beyond 16 GiB have no M2P entry and are left unused. */
#define MAX_FRAMES 0x400000
#define MAX_CPUS 4

/*
 * One window a CPU, 2 MiB, so one page of L1 entries: 256 slots of map cache, 15 pages of GDT (14
 * of the guest's frames, then our own) and 16 pages of LDT. A CPU writes only its own window's
 * entries, so none of them ever needs a remote flush.
 */
#define MAPCACHE_SLOTS 256
#define WINDOW_GDT_SLOT 256
#define GUEST_GDT_PAGES 14
#define WINDOW_LDT_SLOT 272
#define GUEST_LDT_PAGES 16
#define WINDOW_SLOTS 512
#define WINDOW_START(cpu) (PERCPU_WINDOWS_START + (cpu)*WINDOW_SLOTS * PAGE_SIZE)
#define GDT_WINDOW(cpu) (WINDOW_START(cpu) + WINDOW_GDT_SLOT * PAGE_SIZE)
#define LDT_WINDOW(cpu) (WINDOW_START(cpu) + WINDOW_LDT_SLOT * PAGE_SIZE)

/*
 * The hypervisor's stack of one CPU, aligned to its own size so that `esp & ~(STACK_SIZE - 1)`
 * finds its base.
 */
#define STACK_SHIFT 13
#define STACK_SIZE (1 << STACK_SHIFT)

/* Where the image is linked: above GRUB's own code at 1 MiB. */
#define LOAD_ADDRESS 0x400000

#endif
