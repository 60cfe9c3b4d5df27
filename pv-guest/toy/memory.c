/* SPDX-License-Identifier: MIT */
/*
 * Memory with direct paging: the kernel reads the tables the processor uses, sees machine frame
 * numbers in them, and has every change checked.
 *
 * Next: user.c.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/trap.h>

#include "toy.h"

static char *hole; /* the address fill_hole() watches; set while command_fault runs */

/* --- fault --------------------------------------------------------------------------------- */

/* The #PF handler: put a page under the address and let the instruction run again. */
static bool fill_hole(struct trap_frame *frame)
{
    char *page;

    if ((fault_address() & PAGE_MASK) != (uint32_t)hole)
        return false;
    printf("In the handler. The frame the hypervisor bounced to ring 1:\n");
    frame_print(frame);
    page = page_alloc();
    strcpy(page, "memory from nowhere");
    printf("  mapping pfn 0x%x (mfn 0x%x) there and returning with iret\n",
           mfn_to_pfn(linear_to_mfn(page)), linear_to_mfn(page));
    return map_page(hole, pte_make(linear_to_mfn(page), PAGE_KERNEL)) == 0;
}

void command_fault(const char *argument)
{
    uint32_t mfn;

    (void)argument;
    hole = window_alloc(1);
    if (!hole)
        panic("the window is full");
    trap_hook(VECTOR_PF, fill_hole);
    printf("Reading %p, where nothing is mapped.\n", hole);
    printf("The read went through after all and found: \"%s\"\n", hole);
    trap_hook(VECTOR_PF, NULL);

    mfn = va_to_mfn(hole);
    if (map_page(hole, 0) != 0)
        panic("cannot unmap %p", hole);
    page_free(pfn_to_linear(mfn_to_pfn(mfn)));
    window_free(hole, 1);
}

/* --- map ----------------------------------------------------------------------------------- */

static void show_walk(const void *va)
{
    printf("  walk of %p: level 3 %016llx, level 2 %016llx, level 1 %016llx\n", va, pte_read(va, 3),
           pte_read(va, 2), pte_read(va, 1));
}

/* A page table mapped writable would let this kernel write any entry, unchecked. */
static void try_writable_page_table(void *va)
{
    int error = map_page(va, pte_make(base_mfn(), PAGE_KERNEL));

    printf("Mapping our level-3 table (mfn 0x%x) writable: %s (%d)\n", base_mfn(),
           error ? "refused" : "ALLOWED", error);
    error = map_page(va, pte_make(base_mfn(), PAGE_KERNEL_RO));
    printf("Mapping it read-only: %s (%d)\n", error ? "refused" : "allowed", error);
    if (map_page(va, 0) != 0)
        panic("cannot unmap %p", va);
}

void command_map(const char *argument)
{
    char *page = page_alloc();
    uint32_t mfn = linear_to_mfn(page);
    char *second = map_frames(DOMID_SELF, &mfn, 1, true, NULL);

    (void)argument;
    if (!second)
        panic("cannot map one's own page");
    printf("pfn 0x%x is machine frame 0x%x: the p2m says so, and the M2P agrees\n", mfn_to_pfn(mfn),
           mfn);
    show_walk(page);
    show_walk(second);
    strcpy(page, "one frame, two addresses");
    printf("  written at %p, read at %p: \"%s\"\n", page, second, second);
    unmap_frames(second, 1);
    page_free(page);

    second = window_alloc(1);
    if (!second)
        panic("the window is full");
    try_writable_page_table(second);
    window_free(second, 1);
}
