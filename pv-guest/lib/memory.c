/* SPDX-License-Identifier: MIT */
/*
 * Pages of this domain: translations, the linear map, and the page allocator.
 *
 * The builder maps the kernel, its own data and at least 512 KiB behind them. More of the linear
 * map is made when it runs out, one page table (2 MiB) at a time: the table is filled while it is
 * still an ordinary page, then made read-only, then hooked into its level-2 table, at which
 * moment the hypervisor checks all 512 entries at once.
 *
 * Next: pagetable.c.
 */
#include <pv/page.h>

#include <string.h>

#include <pv/start.h>
#include <pv/trap.h>

#define L1_ENTRIES 512
#define L1_SPAN (L1_ENTRIES * PAGE_SIZE)

/* Free pages that were in use once, linked through their first word; single vcpu. */
struct free_page {
    struct free_page *next;
};
static struct free_page *free_list;
static uint32_t free_list_length;

/* Pages [fresh_pfn, mapped_pfn) are mapped and were never used; from mapped_pfn on, no page is
 * in the linear map yet. */
static uint32_t fresh_pfn, mapped_pfn;

static const unsigned long *p2m(void)
{
    return (const unsigned long *)start_info->mfn_list;
}

uint32_t pfn_to_mfn(uint32_t pfn)
{
    if (pfn >= start_info->nr_pages)
        panic("pfn %x is beyond this domain's memory", pfn);
    return p2m()[pfn];
}

/* The M2P names a page for every frame, other domains' too: believe it only if the p2m agrees.
 * Reading it may fault where the machine has no memory. */
uint32_t mfn_to_pfn(uint32_t mfn)
{
    uint32_t pfn;

    if (mfn >= MACH2PHYS_NR_ENTRIES || !try_read(&machine_to_phys_mapping[mfn], &pfn))
        return UINT32_MAX;
    return pfn < start_info->nr_pages && p2m()[pfn] == mfn ? pfn : UINT32_MAX;
}

uint32_t linear_to_mfn(const volatile void *va)
{
    uint32_t address = (uint32_t)va;

    if (address < VIRT_BASE || address >= LINEAR_END)
        panic("%08x is not in the linear map", address);
    return pfn_to_mfn((address - VIRT_BASE) >> PAGE_SHIFT);
}

static uint32_t last_linear_pfn(void)
{
    uint32_t limit = (LINEAR_END - VIRT_BASE) >> PAGE_SHIFT;

    return start_info->nr_pages < limit ? start_info->nr_pages : limit;
}

/* Entries for one table's worth of pages, starting at a multiple of 512. */
static void fill_table(pte_t *table, uint32_t pfn)
{
    for (int i = 0; i < L1_ENTRIES; i++, pfn++) {
        if (pfn < last_linear_pfn() && p2m()[pfn] != INVALID_MFN)
            table[i] = pte_make(p2m()[pfn], PAGE_KERNEL);
    }
}

/* Map the next 2 MiB, or what the last builder-made table still has room for. Uses one page. */
static bool extend_linear_map(void)
{
    void *table;

    if (mapped_pfn >= last_linear_pfn())
        return false;
    if (mapped_pfn % L1_ENTRIES != 0) {
        if (map_page(pfn_to_linear(mapped_pfn), pte_make(p2m()[mapped_pfn], PAGE_KERNEL)) != 0)
            return false;
        mapped_pfn++;
        return true;
    }
    table = memset(pfn_to_linear(fresh_pfn++), 0, PAGE_SIZE);
    fill_table(table, mapped_pfn);
    if (!install_table(pfn_to_linear(mapped_pfn), table, 2))
        return false;
    mapped_pfn += L1_ENTRIES;
    if (mapped_pfn > last_linear_pfn())
        mapped_pfn = last_linear_pfn();
    return true;
}

void *page_alloc(void)
{
    void *page;

    if (free_list) {
        page = free_list;
        free_list = free_list->next;
        free_list_length--;
        return memset(page, 0, PAGE_SIZE);
    }
    /* The last mapped page is kept for the next page table. */
    if (fresh_pfn + 1 >= mapped_pfn && !extend_linear_map() && fresh_pfn >= mapped_pfn)
        panic("out of memory: all %lu pages are in use", start_info->nr_pages);
    return memset(pfn_to_linear(fresh_pfn++), 0, PAGE_SIZE);
}

void page_free(void *page)
{
    struct free_page *entry = page;

    entry->next = free_list;
    free_list = entry;
    free_list_length++;
}

uint32_t pages_total(void)
{
    return start_info->nr_pages;
}

uint32_t pages_free(void)
{
    return free_list_length + last_linear_pfn() - fresh_pfn;
}

void memory_init(uint32_t first_free)
{
    fresh_pfn = (first_free - VIRT_BASE) >> PAGE_SHIFT;
    mapped_pfn = fresh_pfn;
    while (mapped_pfn < last_linear_pfn() && (pte_read(pfn_to_linear(mapped_pfn), 1) & PTE_P))
        mapped_pfn++;
    if (mapped_pfn - fresh_pfn < 4)
        panic("the builder left no free page mapped");
}
