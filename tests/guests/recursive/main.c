/* SPDX-License-Identifier: MIT */
/*
 * A page table that shows itself: the recursive map that BSD kernels live by.
 *
 * A kernel likes to find the entry of any address at a fixed place. It lets four slots of one
 * directory name the four directories themselves; the processor, walking there, takes directories
 * for page tables, and the page tables appear as pages of an 8 MiB window. Under this ABI the map
 * is read-only, and the directory with the hypervisor's entries may be in one root only and not be
 * named again; so the kernel keeps a shadow of it, pinned, with its own entries alone, and lets the
 * fourth slot name that.
 *
 * This guest builds such a tree as a second root, runs on it, reads entries through the window,
 * sees writes to it refused, and takes everything apart again.
 *
 * Run: qemu bochs
 */
#include <stdlib.h>

#include "../xsa-lib/attack.h"

#define WINDOW_DIRECTORY 2 /* the slot of the root whose directory has the window */
#define WINDOW_SLOT 508    /* first of four slots of that directory */
#define WINDOW ((WINDOW_DIRECTORY << 30) + (WINDOW_SLOT << 21))
#define KERNEL_SLOT (VIRT_BASE >> 30)

static pte_t *root, *directories[4], *shadow;
static uint32_t old_root;

static volatile const pte_t *window_entry(const volatile void *va)
{
    return (volatile const pte_t *)WINDOW + ((uint32_t)va >> PAGE_SHIFT);
}

static pte_t link_to(const pte_t *table)
{
    return pte_make(linear_to_mfn(table), PTE_P | PTE_A);
}

/* Fill root, directories and shadow, still ordinary pages; then map them read-only. */
static void build(void)
{
    const pte_t *kernel = directory_of(VIRT_BASE);

    root = page_alloc();
    shadow = page_alloc();
    for (int i = 0; i < 4; i++) {
        directories[i] = page_alloc();
        root[i] = pte_make(linear_to_mfn(directories[i]), PTE_P);
    }
    for (uint32_t slot = 0; slot < FIRST_HYPERVISOR_SLOT; slot++)
        shadow[slot] = directories[KERNEL_SLOT][slot] = kernel[slot];
    for (int i = 0; i < 3; i++)
        directories[WINDOW_DIRECTORY][WINDOW_SLOT + i] = link_to(directories[i]);
    for (int i = 0; i < 4; i++)
        make_readonly(directories[i]);
    make_readonly(shadow);
    make_readonly(root);
}

static uint64_t window_slot(int i)
{
    return entry_of(directories[WINDOW_DIRECTORY], WINDOW_SLOT + i);
}

static void test_refusals(void)
{
    tap_ok(write_entry(window_slot(3), link_to(shadow) | PTE_RW) < 0, "a writable link is refused");
    tap_ok(write_entry(window_slot(3), link_to(page_alloc())) < 0,
           "a link to a page that could be written is refused");
}

static void test_window(void)
{
    uint32_t *page = page_alloc();
    pte_t entry = pte_make(linear_to_mfn(page), PAGE_KERNEL_RO), bits = PTE_FRAME | PTE_RW | PTE_P;

    tap_ok((*window_entry(page) & bits) == (pte_read(page, 1) & bits),
           "an address's entry stands in the window");
    tap_is(hv_update_va_mapping(page, entry, UVMF_INVLPG), 0, "the entry is changed");
    tap_ok((*window_entry(page) & bits) == (entry & bits), "and the window shows it");
    tap_ok((*window_entry((void *)window_entry(page)) & PTE_FRAME) ==
               (pte_read(page, 2) & PTE_FRAME),
           "twice through the window is the directory");
    tap_ok(!try_write((void *)window_entry(page), 0), "the window cannot be written");
    tap_is(write_entry(((uint64_t)pte_mfn(pte_read(page, 2)) << PAGE_SHIFT) |
                           ((uint32_t)window_entry(page) & (PAGE_SIZE - 1)),
                       pte_make(linear_to_mfn(page), PAGE_KERNEL)),
           0, "an entry found in the window is changed by its machine address");
    hv_update_va_mapping(page, pte_make(linear_to_mfn(page), PAGE_KERNEL), UVMF_INVLPG);
    page[0] = 0x5e1f;
    tap_ok(page[0] == 0x5e1f, "and the page can be written again");
    page_free(page);
}

static void take_apart(void)
{
    tap_is(mmuext_frame(MMUEXT_NEW_BASEPTR, old_root, DOMID_SELF), 0, "back to the first root");
    tap_is(pin(root, MMUEXT_UNPIN_TABLE), 0, "the second root is unpinned");
    tap_is(pin(shadow, MMUEXT_UNPIN_TABLE), 0, "and the shadow");
    tap_ok(make_writable(root) == 0 && make_writable(shadow) == 0, "both are ordinary pages");
    for (int i = 0; i < 4; i++)
        tap_is(make_writable(directories[i]), 0, "and directory %d", i);
}

int main(void)
{
    old_root = base_mfn();
    /* The kernel's directory is copied: what printf needs has to be mapped by then. */
    free(malloc(64 * 1024));
    build();
    tap_is(pin(shadow, MMUEXT_PIN_L2_TABLE), 0, "the shadow is pinned");
    tap_is(pin(root, MMUEXT_PIN_L3_TABLE), 0,
           "a root whose directory names three, itself among them");
    tap_is(mmuext_frame(MMUEXT_NEW_BASEPTR, linear_to_mfn(root), DOMID_SELF), 0, "it is run on");
    test_refusals();
    tap_is(write_entry(window_slot(3), link_to(shadow)), 0, "the shadow completes the window");
    test_window();
    take_apart();
    tap_audit();
    tap_done();
}
