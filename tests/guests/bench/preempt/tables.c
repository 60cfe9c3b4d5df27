/* SPDX-License-Identifier: MIT */
/*
 * Page tables: an L3 over four L2s over L1S full L1s, every entry of which maps one frame.
 *
 * Next: batches.c.
 */
#include "preempt.h"

#include <stddef.h>
#include <string.h>

#include <pv/page.h>

#define L1S 512
#define TOP_L2_LAST 427 /* the last slot of an L3's fourth L2 that is the guest's (0xF5800000) */

static pte_t *l3, *l2[4], *l1[L1S], *big_l2;
static void *frame;
static pte_t bad_entry; /* maps memory there is not */

static pte_t table_entry(const pte_t *table)
{
    return pte_make(linear_to_mfn(table), PTE_P | PTE_RW | PTE_US | PTE_A);
}

static void read_only(void *page)
{
    expect(map_page(page, pte_make(linear_to_mfn(page), PAGE_KERNEL_RO)), 0);
}

static void read_write(void *page)
{
    expect(map_page(page, pte_make(linear_to_mfn(page), PAGE_KERNEL)), 0);
}

static void prepare_l1s(pte_t flags)
{
    pte_t entry = pte_make(linear_to_mfn(frame), flags);

    for (int i = 0; i < L1S; i++) {
        for (int j = 0; j < 512; j++)
            l1[i][j] = entry;
        read_only(l1[i]);
    }
}

/* The whole tree; its tables are made once and filled again for each operation. */
static void prepare_tree(pte_t flags)
{
    if (!frame) {
        frame = page_alloc();
        bad_entry = pte_make(MACH2PHYS_NR_ENTRIES - 1, PTE_P);
        l3 = page_alloc();
        big_l2 = page_alloc();
        for (int i = 0; i < 4; i++)
            l2[i] = page_alloc();
        for (int i = 0; i < L1S; i++)
            l1[i] = page_alloc();
    }
    prepare_l1s(flags);
    memset(l3, 0, PAGE_SIZE);
    for (int i = 0; i < 4; i++) {
        memset(l2[i], 0, PAGE_SIZE);
        for (int j = 0; j < L1S / 4; j++)
            l2[i][j] = table_entry(l1[i * (L1S / 4) + j]);
        l3[i] = pte_make(linear_to_mfn(l2[i]), PTE_P);
    }
    for (int i = 0; i < 512; i++)
        big_l2[i] = i < L1S ? table_entry(l1[i]) : 0;
}

static void protect_tree(void)
{
    read_only(l3);
    read_only(big_l2);
    for (int i = 0; i < 4; i++)
        read_only(l2[i]);
}

static void prepare_full(void)
{
    prepare_tree(PAGE_KERNEL);
    protect_tree();
}

/* Entries with a cache attribute: each is checked the long way. */
static void prepare_uncached(void)
{
    prepare_tree(PAGE_KERNEL | PTE_PCD);
    protect_tree();
}

static void prepare_bad_l2(void)
{
    prepare_tree(PAGE_KERNEL);
    big_l2[511] = bad_entry;
    protect_tree();
}

static void prepare_bad_l3(void)
{
    prepare_tree(PAGE_KERNEL);
    l2[3][TOP_L2_LAST] = bad_entry;
    protect_tree();
}

static void finish_tree(void)
{
    read_write(l3);
    read_write(big_l2);
    for (int i = 0; i < 4; i++)
        read_write(l2[i]);
    for (int i = 0; i < L1S; i++)
        read_write(l1[i]);
}

/* --- pinning --------------------------------------------------------------------------------- */

static int pin(unsigned int cmd, const pte_t *table)
{
    return mmuext_frame(cmd, linear_to_mfn(table), DOMID_SELF);
}

static void pin_l3(void)
{
    expect(pin(MMUEXT_PIN_L3_TABLE, l3), 0);
}

static void unpin_l3(void)
{
    expect(pin(MMUEXT_UNPIN_TABLE, l3), 0);
}

static void prepare_pinned(void)
{
    prepare_full();
    pin_l3();
}

static void finish_pinned(void)
{
    unpin_l3();
    finish_tree();
}

static void pin_bad_l2(void)
{
    expect(pin(MMUEXT_PIN_L2_TABLE, big_l2), -XEN_EINVAL);
}

static void pin_bad_l3(void)
{
    expect(pin(MMUEXT_PIN_L3_TABLE, l3), -XEN_EINVAL);
}

static struct mmuext_op pins[2 * L1S];

static void prepare_pins(void)
{
    prepare_full();
    for (int i = 0; i < L1S; i++) {
        pins[2 * i].cmd = MMUEXT_PIN_L1_TABLE;
        pins[2 * i + 1].cmd = MMUEXT_UNPIN_TABLE;
        pins[2 * i].arg1.mfn = pins[2 * i + 1].arg1.mfn = linear_to_mfn(l1[i]);
    }
}

static void pin_l1s(void)
{
    expect(hv_mmuext_op(pins, 2 * L1S, NULL, DOMID_SELF), 0);
}

/* --- an L2 in use: each request lets one full L1 go and takes another ------------------------- */

static struct mmu_update swaps[2][L1S / 2];
static unsigned int turn;

static void prepare_swaps(void)
{
    prepare_full();
    read_write(big_l2);
    memset(big_l2, 0, PAGE_SIZE);
    read_only(big_l2);
    for (int i = 0; i < L1S / 2; i++) {
        swaps[0][i].ptr = swaps[1][i].ptr =
            ((uint64_t)linear_to_mfn(big_l2) << PAGE_SHIFT) + i * sizeof(pte_t);
        swaps[0][i].val = table_entry(l1[i]);
        swaps[1][i].val = table_entry(l1[i + L1S / 2]);
    }
    expect(pin(MMUEXT_PIN_L2_TABLE, big_l2), 0);
    expect(hv_mmu_update(swaps[0], L1S / 2, NULL, DOMID_SELF), 0);
    turn = 0;
}

static void swap_l1s(void)
{
    expect(hv_mmu_update(swaps[++turn & 1], L1S / 2, NULL, DOMID_SELF), 0);
}

static void finish_swaps(void)
{
    expect(pin(MMUEXT_UNPIN_TABLE, big_l2), 0);
    finish_tree();
}

/* --- a linear map: an L2 that only an entry of another holds ---------------------------------- */

static void pin_linear(void)
{
    expect(pin(MMUEXT_PIN_L2_TABLE, big_l2), 0);
    expect(pin(MMUEXT_PIN_L2_TABLE, l2[0]), 0);
    expect(pin(MMUEXT_UNPIN_TABLE, big_l2), 0);
}

static void unpin_linear(void)
{
    expect(pin(MMUEXT_UNPIN_TABLE, l2[0]), 0);
}

static void prepare_linear(void)
{
    prepare_tree(PAGE_KERNEL);
    memset(l2[0], 0, PAGE_SIZE);
    l2[0][0] = pte_make(linear_to_mfn(big_l2), PTE_P);
    protect_tree();
    pin_linear();
}

static void finish_linear(void)
{
    unpin_linear();
    finish_tree();
}

const struct operation table_operations[] = {
    {"pin an L3 of 512 full L1s", 32, prepare_full, pin_l3, unpin_l3, finish_tree},
    {"unpin it", 32, prepare_pinned, unpin_l3, pin_l3, finish_pinned},
    {"pin an L3 of 512 full L1s, uncached", 32, prepare_uncached, pin_l3, unpin_l3, finish_tree},
    {"pin an L2 of 511 full L1s, the last entry bad", 64, prepare_bad_l2, pin_bad_l2, NULL,
     finish_tree},
    {"pin an L3, the last entry of its last L2 bad", 64, prepare_bad_l3, pin_bad_l3, NULL,
     finish_tree},
    {"unpin an L2 whose entry holds another of 512 full L1s", 32, prepare_linear, unpin_linear,
     pin_linear, finish_linear},
    {"mmuext_op: pin and unpin 512 full L1s", 32, prepare_pins, pin_l1s, NULL, finish_tree},
    {"mmu_update: 256 full L1s for 256 others", 32, prepare_swaps, swap_l1s, NULL, finish_swaps},
    {NULL, 0, NULL, NULL, NULL, NULL},
};
