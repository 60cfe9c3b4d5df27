/* SPDX-License-Identifier: MIT */
/*
 * build.h - from a configuration and files to a domain that could run.
 */
#ifndef DOM0_BUILD_H
#define DOM0_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "archive.h"

/*
 * Where things lie in the new domain's address space: addresses, all page aligned, in the order
 * guests rely on. The page at `base` is page 0 of the domain; everything from base to mapped_end
 * is mapped, as far as the domain has pages.
 */
struct layout {
    uint32_t base;
    uint32_t ramdisk; /* behind the kernel */
    uint32_t p2m;     /* the list of machine frames by page number */
    uint32_t start_info;
    uint32_t store; /* the ring pages */
    uint32_t console;
    uint32_t tables; /* page tables: the level-3 table, level-2, level-1 */
    uint32_t stack;  /* one page; the stack begins at its end */
    uint32_t mapped_end;
    uint32_t n_tables;
    uint32_t first_slot, n_level2; /* level-2 tables: for slots of 1 GiB from first_slot on ... */
    bool extra_level2;             /* ... and one for slot 3, where they end below it */
    uint32_t n_level1;
};

/* A built domain: paused, its pages filled, its ports waiting for us. */
struct built {
    uint16_t domid;
    uint32_t pages;
    uint32_t console_mfn, store_mfn;
    uint32_t console_port, store_port; /* numbers in the new domain */
};

/* layout.c */

/*
 * Lay out a domain of `pages` pages whose kernel occupies [base, kernel_end) with a ramdisk of so
 * many bytes. NULL, or why it does not fit. On NULL, l holds promises build.c depends on:
 *  1. the fields ascend in the order of the struct, each region ends where the next begins;
 *  2. stack + one page + 512 KiB <= mapped_end <= the hypervisor's start, and the domain has a page
 *     for every address below stack + one page;
 *  3. the tables cover [base, mapped_end) exactly.
 */
const char *layout_plan(struct layout *l, uint32_t base, uint32_t kernel_end, uint32_t ramdisk_size,
                        uint32_t pages);

/*
 * Fill in the 512 entries of the domain's page-table page number `index` (0 .. n_tables - 1); p2m
 * gives the frame of each of its pages.
 */
void layout_table(const struct layout *l, uint32_t index, const uint32_t *p2m, uint32_t pages,
                  uint64_t entries[512]);

/* build.c */

/*
 * Build a domain. NULL, and *out describes it; or why it cannot be built, and no trace is left.
 * ramdisk may be NULL. The words stay until the next call. This takes up to seconds: between() is
 * called every 64 KiB to 4 MiB of the work, to serve others. It must not build.
 */
const char *build_domain(const struct config *config, const struct file *kernel,
                         const struct file *ramdisk, void (*between)(void), struct built *out);

#endif
