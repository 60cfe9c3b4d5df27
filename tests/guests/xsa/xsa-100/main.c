/* SPDX-License-Identifier: MIT */
/*
 * XSA-100: pages given to a guest with what somebody else had written there.
 *
 * A page that goes back to the hypervisor and out again must not carry what it held: another domain's
 * secrets, or the hypervisor's own. Xen cleared what it took from a domain, but not what it had used
 * itself.
 *
 * This guest takes pages in every way there is (populate_physmap and exchange, single pages and larger
 * extents) and looks at each byte before anything else writes there. It gives them back full of a
 * pattern, as data, as page tables and as descriptor tables, and takes others. It ends with all its free
 * memory full of that pattern: in test_xsa.py it runs twice, and the second life must not find what the
 * first left.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/memory.h>

#define PAGES 256
#define ROUNDS 8
#define MOST_OWN 2048 /* of the pages it was built with, as many are looked at */
#define PATTERN 0x5ec2e75eu

static uint32_t pfns[PAGES];
static uint32_t dirty, seen;

static bool is_zero(const volatile void *page)
{
    const volatile uint32_t *word = page;
    uint32_t bits = 0;

    for (uint32_t i = 0; i < PAGE_SIZE / 4; i++)
        bits |= word[i];
    return bits == 0;
}

static void fill(void *page)
{
    for (uint32_t i = 0; i < PAGE_SIZE / 4; i++)
        ((uint32_t *)page)[i] = PATTERN;
}

static long reservation_op(unsigned int op, xen_pfn_t *list, uint32_t n, uint32_t order)
{
    struct xen_memory_reservation r = {
        .extent_start.p = list, .nr_extents = n, .extent_order = order, .domid = DOMID_SELF};

    return hv_memory_op(op, &r);
}

/* Every page of the pool, unmapped and given back. Some were a page table or an LDT a moment ago. */
static void give_back(void)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        void *page = pfn_to_linear(pfns[i]);
        xen_pfn_t mfn = linear_to_mfn(page);

        fill(page);
        if (i % 3 == 1) { /* entries that are not present: what they hold is free */
            for (uint32_t e = 0; e < 512; e++)
                ((uint64_t *)page)[e] = (uint64_t)PATTERN << 32 | (PATTERN & ~1u);
            make_readonly(page);
            if (pin(page, MMUEXT_PIN_L1_TABLE) || pin(page, MMUEXT_UNPIN_TABLE))
                panic("a table cannot be pinned");
        }
        hv_update_va_mapping(page, 0, UVMF_INVLPG);
        if (reservation_op(XENMEM_decrease_reservation, &mfn, 1, 0) != 1)
            panic("a page cannot be given back");
    }
}

/* `order`: the extents' size. Each page is looked at and mapped where it was. */
static void take(uint32_t order)
{
    for (uint32_t i = 0; i < PAGES; i += 1u << order) {
        xen_pfn_t list = pfns[i];

        if (reservation_op(XENMEM_populate_physmap, &list, 1, order) != 1)
            panic("no memory of order %lu", (unsigned long)order);
        for (uint32_t j = 0; j < 1u << order; j++) {
            void *page = pfn_to_linear(pfns[i] + j);

            if (hv_update_va_mapping(page, pte_make(list + j, PAGE_KERNEL), UVMF_INVLPG))
                panic("a new page cannot be mapped");
            ((unsigned long *)start_info->mfn_list)[pfns[i] + j] = list + j;
            dirty += !is_zero(page);
            seen++;
        }
    }
}

static void exchange_one(uint32_t pfn)
{
    void *page = pfn_to_linear(pfn);
    xen_pfn_t in = linear_to_mfn(page), out = pfn;
    struct xen_memory_exchange x = {
        .in = {.extent_start.p = &in, .nr_extents = 1, .domid = DOMID_SELF},
        .out = {.extent_start.p = &out, .nr_extents = 1, .domid = DOMID_SELF}};

    fill(page);
    hv_update_va_mapping(page, 0, UVMF_INVLPG);
    if (hv_memory_op(XENMEM_exchange, &x) ||
        hv_update_va_mapping(page, pte_make(out, PAGE_KERNEL), UVMF_INVLPG))
        panic("a page cannot be exchanged");
    ((unsigned long *)start_info->mfn_list)[pfn] = out;
    dirty += !is_zero(page);
    seen++;
}

/* What this domain was built with and has not touched yet. */
static void look_at_own(uint32_t pfn)
{
    uint32_t end = pfn + MOST_OWN < pages_total() ? pfn + MOST_OWN : pages_total();

    for (; pfn < end; pfn++) {
        uint32_t mfn = pfn_to_mfn(pfn);
        void *page = map_frames(DOMID_SELF, &mfn, 1, false, NULL);

        if (!page)
            panic("a page of one's own cannot be mapped");
        dirty += !is_zero(page);
        seen++;
        unmap_frames(page, 1);
    }
}

static void fill_all(void)
{
    while (pages_free() > 4)
        fill(page_alloc());
}

int main(void)
{
    uint8_t *first = page_alloc();

    for (uint32_t i = 0; i < PAGES; i++)
        pfns[i] = (((uint32_t)first - VIRT_BASE) >> PAGE_SHIFT) + 1 + i;
    for (uint32_t i = 0; i < PAGES; i++)
        if (page_alloc() != pfn_to_linear(pfns[i]))
            panic("the first pages do not lie in a row");
    look_at_own(pfns[PAGES - 1] + 64); /* those before may be page tables already */
    tap_ok(dirty == 0 && seen > 1024, "the %lu pages it begins with are empty",
           (unsigned long)seen);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        give_back();
        take(round % 2 ? 0 : 2);
    }
    tap_is(dirty, 0, "pages it was given later, too (%lu)", (unsigned long)seen);
    for (uint32_t i = 0; i < PAGES; i++)
        exchange_one(pfns[i]);
    tap_is(dirty, 0, "and those of an exchange (%lu)", (unsigned long)seen);
    tap_audit();
    fill_all();
    tap_done();
}
