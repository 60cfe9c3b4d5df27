/* SPDX-License-Identifier: MIT */
/*
 * Memory as a PV guest has it: pseudo-physical pages, machine frames, and page tables it may read
 * but not write.
 *
 *   pfn   pseudo-physical page number: this domain's own, 0 .. nr_pages-1, no holes
 *   mfn   machine frame number: what a page-table entry holds
 *   va    linear address; page pfn is at VIRT_BASE + pfn * 4K once the linear map covers it
 *
 * The hypervisor gives a table pfn -> mfn (mfn_list) and a read-only table mfn -> pfn (the M2P at
 * MACH2PHYS_VIRT_START). A frame used as page table is mapped read-only everywhere; entries are
 * changed by update_va_mapping (by address) and mmu_update (by the entry's machine address), each
 * checked before it counts.
 *
 * Next: lib/memory.c (pages), lib/pagetable.c (tables), lib/map.c (other domains' frames).
 */
#ifndef PV_PAGE_H
#define PV_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pv/hypercall.h>
#include <pv/layout.h>

typedef uint64_t pte_t;

#define PTE_P (1ULL << 0)  /* present */
#define PTE_RW (1ULL << 1) /* writable */
#define PTE_US (1ULL << 2) /* ring 3 may use it; rings 0-2 are all "supervisor" to paging */
#define PTE_PWT (1ULL << 3)
#define PTE_PCD (1ULL << 4)
#define PTE_A (1ULL << 5) /* accessed: set by the processor */
#define PTE_D (1ULL << 6) /* dirty: set by the processor */
#define PTE_PS (1ULL << 7)
#define PTE_FRAME 0x000FFFFFFFFFF000ULL

#define PAGE_KERNEL (PTE_P | PTE_RW | PTE_A | PTE_D)
#define PAGE_KERNEL_RO (PTE_P | PTE_A)
#define PAGE_USER (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)
#define PAGE_USER_RO (PTE_P | PTE_US | PTE_A)

#define INVALID_MFN UINT32_MAX

static inline pte_t pte_make(uint32_t mfn, uint64_t flags)
{
    return ((pte_t)mfn << PAGE_SHIFT) | flags;
}

static inline uint32_t pte_mfn(pte_t pte)
{
    return (pte & PTE_FRAME) >> PAGE_SHIFT;
}

/* memory.c */

/* Translations. The first and third panic on a page this domain does not have; mfn_to_pfn
 * answers UINT32_MAX for a frame that is no page of this domain. */
uint32_t pfn_to_mfn(uint32_t pfn);
uint32_t mfn_to_pfn(uint32_t mfn);
uint32_t linear_to_mfn(const volatile void *va);
static inline void *pfn_to_linear(uint32_t pfn)
{
    return (void *)(VIRT_BASE + (pfn << PAGE_SHIFT));
}

/* One zeroed page of this domain, in the linear map; panics when there is none left. */
void *page_alloc(void);
void page_free(void *page);

/* Pages this domain has, and pages nobody uses. */
uint32_t pages_total(void);
uint32_t pages_free(void);

/* pagetable.c */

/* The entry that maps va, at level 1 (4 KiB), 2 or 3; 0 where a table above it is missing. */
pte_t pte_read(const volatile void *va, int level);

/* Machine address of the level-1 entry for va, for mmu_update and grant maps; the tables above it
 * are made when missing. */
uint64_t pte_machine_address(const volatile void *va);

/* Put pte (0 to unmap) at va, tables made when missing. 0, or the hypervisor's error. */
int map_page(const volatile void *va, pte_t pte);

/* Make a page, already filled with entries, the table below the entry of this level (3 or 2) that
 * covers va. The page becomes read-only. False when the hypervisor refuses an entry. */
bool install_table(const volatile void *va, void *page, int level);

/* The machine frame mapped at any va; INVALID_MFN where nothing is. */
uint32_t va_to_mfn(const volatile void *va);

/* CR3 in machine frames: the level-3 table in use. */
uint32_t base_mfn(void);

/* One mmuext_op with just a frame: MMUEXT_PIN_L1_TABLE, _UNPIN_TABLE, _NEW_BASEPTR ... */
int mmuext_frame(unsigned int cmd, uint32_t mfn, domid_t domid);

/* map.c: the window */

/* Reserve count pages of unmapped linear addresses in the window, or give them back. NULL: none
 * so large is left. */
void *window_alloc(uint32_t count);
void window_free(void *va, uint32_t count);

/*
 * Map count frames of domain domid (DOMID_SELF for one's own, DOMID_IO for devices) at consecutive
 * addresses. Returns NULL and sets *error (may be NULL) to the negative errno when the hypervisor
 * refuses one; nothing stays mapped then. The map holds a reference to each frame.
 */
void *map_frames(domid_t domid, const uint32_t *mfns, uint32_t count, bool writable, int *error);
void unmap_frames(void *va, uint32_t count);

#endif
