/* SPDX-License-Identifier: MIT */
/*
 * The page tables: reading them directly, changing them through the hypervisor.
 *
 * PAE: CR3 -> level 3 (4 entries of 1 GiB) -> level 2 (512 of 2 MiB) -> level 1 (512 of 4 KiB).
 * Tables are pages of this domain, so the linear map shows them, read-only. Entries hold machine
 * frames; the M2P leads from an entry to the page it names.
 *
 * Next: map.c.
 */
#include <pv/page.h>

#include <pv/start.h>

/* An intermediate entry lets everything through; the level-1 entry decides. A level-3 entry has
 * no such bits at all: in PAE they are reserved. */
#define TABLE_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)

static int index_of(const volatile void *va, int level)
{
    static const int shift[] = {0, 12, 21, 30};

    return (uint32_t)va >> shift[level] & (level == 3 ? 3 : 511);
}

/* The table an entry points to, where the linear map shows it; NULL if there is none. */
static pte_t *table_of(pte_t entry)
{
    uint32_t pfn = entry & PTE_P ? mfn_to_pfn(pte_mfn(entry)) : UINT32_MAX;

    return pfn == UINT32_MAX ? NULL : pfn_to_linear(pfn);
}

/* The table of this level that covers va, or NULL. */
static pte_t *table_for(const volatile void *va, int level)
{
    pte_t *table = (pte_t *)start_info->pt_base;

    for (int above = 3; table && above > level; above--)
        table = table_of(table[index_of(va, above)]);
    return table;
}

pte_t pte_read(const volatile void *va, int level)
{
    const pte_t *table = table_for(va, level);

    return table ? table[index_of(va, level)] : 0;
}

uint32_t va_to_mfn(const volatile void *va)
{
    pte_t pte = pte_read(va, 1);

    return pte & PTE_P ? pte_mfn(pte) : INVALID_MFN;
}

uint32_t base_mfn(void)
{
    return linear_to_mfn((void *)start_info->pt_base);
}

int mmuext_frame(unsigned int cmd, uint32_t mfn, domid_t domid)
{
    struct mmuext_op op = {.cmd = cmd, .arg1.mfn = mfn};

    return hv_mmuext_op(&op, 1, NULL, domid);
}

static uint64_t entry_address(const pte_t *table, const volatile void *va, int level)
{
    return ((uint64_t)linear_to_mfn(table) << PAGE_SHIFT) + index_of(va, level) * sizeof(pte_t);
}

/*
 * Make `page`, filled with entries, the table below the entry of `level` that covers va. The page
 * must be mapped nowhere writable when the hypervisor accepts it as a table: that is the whole
 * point of direct paging, and the reason for the first call.
 */
bool install_table(const volatile void *va, void *page, int level)
{
    uint32_t mfn = linear_to_mfn(page);
    struct mmu_update request = {
        .ptr = entry_address(table_for(va, level), va, level) | MMU_NORMAL_PT_UPDATE,
        .val = pte_make(mfn, level == 3 ? PTE_P : TABLE_FLAGS),
    };

    if (hv_update_va_mapping(page, pte_make(mfn, PAGE_KERNEL_RO), UVMF_INVLPG) != 0)
        return false;
    return hv_mmu_update(&request, 1, NULL, DOMID_SELF) == 0;
}

uint64_t pte_machine_address(const volatile void *va)
{
    for (int level = 3; level > 1; level--) {
        if (!(pte_read(va, level) & PTE_P) && !install_table(va, page_alloc(), level))
            panic("no level-%d page table for %p", level - 1, va);
    }
    return entry_address(table_for(va, 1), va, 1);
}

int map_page(const volatile void *va, pte_t pte)
{
    pte_machine_address(va);
    return hv_update_va_mapping(va, pte, UVMF_INVLPG);
}
