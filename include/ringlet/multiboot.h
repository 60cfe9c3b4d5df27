/* SPDX-License-Identifier: MIT */
/*
 * multiboot.h: what a Multiboot 1 loader leaves in memory (Multiboot Specification 0.6.96, 3.3).
 *
 * Read next: xen/multiboot.c.
 */
#ifndef RINGLET_MULTIBOOT_H
#define RINGLET_MULTIBOOT_H

#include <ringlet/domain.h>
#include <ringlet/types.h>

#define MULTIBOOT_LOADER_MAGIC 0x2BADB002u

/* Bits of multiboot_info.flags: which fields are there. */
#define MULTIBOOT_MEMORY (1u << 0)
#define MULTIBOOT_CMDLINE (1u << 2)
#define MULTIBOOT_MODULES (1u << 3)
#define MULTIBOOT_MEMORY_MAP (1u << 6)
#define MULTIBOOT_LOADER_NAME (1u << 9)

struct multiboot_info {
    uint32_t flags;
    uint32_t mem_lower, mem_upper; /* KiB from 0 and from 1 MiB */
    uint32_t boot_device;
    uint32_t cmdline;
    uint32_t mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr;
    uint32_t config_table;
    uint32_t loader_name;
};

struct multiboot_module {
    uint32_t start, end; /* physical; end is one past the last byte */
    uint32_t string;
    uint32_t reserved;
};

/* `size` does not count itself. */
struct multiboot_mmap_entry {
    uint32_t size;
    uint64_t addr, length;
    uint32_t type;
} __packed;

#define MAX_BOOT_MODULES 8

/* xen/multiboot.c */
extern struct boot_module boot_modules[MAX_BOOT_MODULES];
extern unsigned nr_boot_modules;
void multiboot_read(uint32_t magic, const struct multiboot_info *mbi);

/* xen/memory.c */
void *boot_memory_find(uint64_t size);
void memory_init(void);
void memory_release_boot(void);

#endif
