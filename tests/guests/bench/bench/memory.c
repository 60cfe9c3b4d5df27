/* SPDX-License-Identifier: MIT */
/*
 * Page tables: each way to change one entry or many, pinning, and a new base pointer.
 *
 * Next: traps.c.
 */
#include "bench.h"

#include <stddef.h>
#include <string.h>

#include <pv/page.h>
#include <pv/start.h>

#define MOST 128 /* entries in one mmu_update */

static char *target; /* MOST pages of unmapped addresses in the window, in one table */
static void *frame_a, *frame_b;
static pte_t entry[2]; /* maps of the two frames, put there in turn */
static unsigned int turn;

static void prepare_entries(void)
{
    target = window_alloc(MOST);
    frame_a = page_alloc();
    frame_b = page_alloc();
    entry[0] = pte_make(linear_to_mfn(frame_a), PAGE_KERNEL);
    entry[1] = pte_make(linear_to_mfn(frame_b), PAGE_KERNEL);
    for (int i = 0; i < MOST; i++)
        expect(map_page(target + i * PAGE_SIZE, entry[0]));
}

static void finish_entries(void)
{
    for (int i = 0; i < MOST; i++)
        expect(map_page(target + i * PAGE_SIZE, 0));
    page_free(frame_a);
    page_free(frame_b);
    window_free(target, MOST);
}

static void update_va_mapping(void)
{
    expect(hv_update_va_mapping(target, entry[++turn & 1], UVMF_INVLPG));
}

/* --- mmu_update ---------------------------------------------------------------------------- */

static struct mmu_update requests[2][MOST];

static void prepare_updates(void)
{
    prepare_entries();
    for (int i = 0; i < MOST; i++) {
        for (int which = 0; which < 2; which++) {
            requests[which][i].ptr = pte_machine_address(target + i * PAGE_SIZE);
            requests[which][i].val = entry[which];
        }
    }
}

static void mmu_update_1(void)
{
    expect(hv_mmu_update(requests[++turn & 1], 1, NULL, DOMID_SELF));
}

static void mmu_update_32(void)
{
    expect(hv_mmu_update(requests[++turn & 1], 32, NULL, DOMID_SELF));
}

static void mmu_update_128(void)
{
    expect(hv_mmu_update(requests[++turn & 1], 128, NULL, DOMID_SELF));
}

/* --- a store to a page table: the hypervisor emulates it ------------------------------------- */

static volatile uint32_t *low_word;

static void prepare_store(void)
{
    prepare_entries();
    expect(hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables));
    low_word = pfn_to_linear(mfn_to_pfn(pte_machine_address(target) >> PAGE_SHIFT));
    low_word += (pte_machine_address(target) & (PAGE_SIZE - 1)) / sizeof(*low_word);
}

static void store(void)
{
    *low_word = entry[++turn & 1];
}

static void finish_store(void)
{
    expect((pte_read(target, 1) & PTE_FRAME) == (entry[turn & 1] & PTE_FRAME) ? 0 : -1);
    finish_entries();
}

/* --- pinning ------------------------------------------------------------------------------- */

static pte_t *table;
static uint32_t table_mfn;

/* A page that nothing maps writable, as a table has to be. */
static void make_table(pte_t first)
{
    table = page_alloc();
    table_mfn = linear_to_mfn(table);
    for (int i = 0; i < 512; i++)
        table[i] = first;
    expect(map_page(table, pte_make(table_mfn, PAGE_KERNEL_RO)));
}

static void free_table(pte_t *page)
{
    expect(map_page(page, pte_make(linear_to_mfn(page), PAGE_KERNEL)));
    memset(page, 0, PAGE_SIZE);
    page_free(page);
}

static void prepare_full_l1(void)
{
    frame_a = page_alloc();
    make_table(pte_make(linear_to_mfn(frame_a), PAGE_KERNEL));
}

static void prepare_empty_l1(void)
{
    frame_a = page_alloc();
    make_table(0);
}

static void finish_l1(void)
{
    free_table(table);
    page_free(frame_a);
}

static void pin_and_unpin_l1(void)
{
    expect(mmuext_frame(MMUEXT_PIN_L1_TABLE, table_mfn, DOMID_SELF));
    expect(mmuext_frame(MMUEXT_UNPIN_TABLE, table_mfn, DOMID_SELF));
}

/*
 * A second address space: a level-3 table whose last entry has a level-2 table of its own, as the
 * hypervisor demands, with all the level-1 tables of the kernel below it.
 */
static pte_t *l2, *l3;
static uint32_t l3_mfn;

static void prepare_l3(void)
{
    pte_t *kernel_l2 = pfn_to_linear(mfn_to_pfn(pte_mfn(pte_read((void *)VIRT_BASE, 3))));

    l2 = page_alloc();
    l3 = page_alloc();
    l3_mfn = linear_to_mfn(l3);
    memcpy(l2, kernel_l2, PAGE_SIZE);
    l3[3] = pte_make(linear_to_mfn(l2), PTE_P);
    expect(map_page(l2, pte_make(linear_to_mfn(l2), PAGE_KERNEL_RO)));
    expect(map_page(l3, pte_make(l3_mfn, PAGE_KERNEL_RO)));
}

static void finish_l3(void)
{
    free_table(l3);
    free_table(l2);
}

static void pin_and_unpin_l3(void)
{
    expect(mmuext_frame(MMUEXT_PIN_L3_TABLE, l3_mfn, DOMID_SELF));
    expect(mmuext_frame(MMUEXT_UNPIN_TABLE, l3_mfn, DOMID_SELF));
}

static void prepare_bases(void)
{
    prepare_l3();
    expect(mmuext_frame(MMUEXT_PIN_L3_TABLE, l3_mfn, DOMID_SELF));
}

static void new_base(void)
{
    expect(mmuext_frame(MMUEXT_NEW_BASEPTR, ++turn & 1 ? l3_mfn : base_mfn(), DOMID_SELF));
}

static void finish_bases(void)
{
    expect(mmuext_frame(MMUEXT_NEW_BASEPTR, base_mfn(), DOMID_SELF));
    expect(mmuext_frame(MMUEXT_UNPIN_TABLE, l3_mfn, DOMID_SELF));
    finish_l3();
}

const struct operation memory_operations[] = {
    {"update_va_mapping + INVLPG, frame A to B", 100, prepare_entries, update_va_mapping,
     finish_entries},
    {"mmu_update x1", 100, prepare_updates, mmu_update_1, finish_entries},
    {"mmu_update x32", 20, prepare_updates, mmu_update_32, finish_entries},
    {"mmu_update x128", 10, prepare_updates, mmu_update_128, finish_entries},
    {"PTE write emulation", 100, prepare_store, store, finish_store},
    {"pin + unpin an L1 with 512 RW entries", 10, prepare_full_l1, pin_and_unpin_l1, finish_l1},
    {"pin + unpin an empty L1", 10, prepare_empty_l1, pin_and_unpin_l1, finish_l1},
    {"pin + unpin an L3", 10, prepare_l3, pin_and_unpin_l3, finish_l3},
    {"new base pointer, two L3s in turn", 100, prepare_bases, new_base, finish_bases},
    {NULL, 0, NULL, NULL, NULL},
};
