/* SPDX-License-Identifier: MIT */
/*
 * page.h: PAE page-table entries and the ways to reach a frame.
 *
 * PAE (SDM vol. 3, 4.4) has three levels: L3 (the page-directory-pointer table: 4 entries of 1
 * GiB), L2 (page directories: 512 entries of 2 MiB) and L1 (page tables: 512 entries of 4 KiB). All
 * entries are 64 bits wide: the frame number from bit 12 up, flags below, no-execute in bit 63.
 *
 * The processor may set Accessed and Dirty bits in a live entry at any moment, and reads an entry
 * while we write it: a live entry is changed with one 8-byte write (cmpxchg8b), or not-present half
 * first.
 */
#ifndef RINGLET_PAGE_H
#define RINGLET_PAGE_H

#include <ringlet/config.h>
#include <ringlet/types.h>

typedef uint64_t pte_t;

#define PTE_P 0x001ull     /* present */
#define PTE_RW 0x002ull    /* writable */
#define PTE_US 0x004ull    /* ring 3 may */
#define PTE_PWT 0x008ull   /* write-through */
#define PTE_PCD 0x010ull   /* cache disabled */
#define PTE_A 0x020ull     /* accessed */
#define PTE_D 0x040ull     /* dirty */
#define PTE_PSE 0x080ull   /* L2: 2 MiB page */
#define PTE_PAT 0x080ull   /* L1: page attribute table */
#define PTE_G 0x100ull     /* global: survives a CR3 load */
#define PTE_AVAIL 0xE00ull /* three bits the processor ignores */
#define PTE_NX (1ull << 63)

/* Bits 12 to 51 hold the frame; what the processor does not implement must be zero. */
#define PTE_ADDR 0x000FFFFFFFFFF000ull

/*
 * Supervisor data of the hypervisor itself; code leaves out NX. `nx_bit` and `global_bit` are what
 * the processor has.
 */
#define PTE_HYPERVISOR (PTE_P | PTE_RW | PTE_A | PTE_D)

#define L1_ENTRIES 512
#define L2_ENTRIES 512
#define L3_ENTRIES 4

/* The slots of the top L2 (L3 slot 3) that belong to the hypervisor: HYPERVISOR_START and up. */
#define L2_FIRST_HYPERVISOR_SLOT ((HYPERVISOR_START - 0xC0000000u) >> SUPERPAGE_SHIFT)

static inline unsigned l1_index(uint32_t va)
{
    return (va >> 12) & 511;
}

static inline unsigned l2_index(uint32_t va)
{
    return (va >> 21) & 511;
}

static inline unsigned l3_index(uint32_t va)
{
    return va >> 30;
}

/*
 * Frames have at most 22 bits here, yet a guest may write any 40: compare in 64 bits before
 * narrowing.
 */
static inline uint64_t pte_frame64(pte_t e)
{
    return (e & PTE_ADDR) >> PAGE_SHIFT;
}

static inline mfn_t pte_mfn(pte_t e)
{
    return (mfn_t)((e & PTE_ADDR) >> PAGE_SHIFT);
}

static inline pte_t make_pte(mfn_t mfn, uint64_t flags)
{
    return ((pte_t)mfn << PAGE_SHIFT) | flags;
}

/* Write an entry that may be live, in one piece: i386 has no plain 8-byte store but CMPXCHG8B. */
static inline void pte_write(pte_t *p, pte_t e)
{
#ifdef __i386__
    pte_t old = *p;

    __asm__ volatile("1: lock cmpxchg8b %0\n\tjne 1b"
                     : "+m"(*p), "+A"(old)
                     : "b"((uint32_t)e), "c"((uint32_t)(e >> 32))
                     : "memory", "cc");
#else
    __atomic_store_n(p, e, __ATOMIC_SEQ_CST);
#endif
}

/* Read an entry that another CPU may be writing: both halves from the same moment. */
static inline pte_t pte_read(pte_t *p)
{
    return __sync_val_compare_and_swap(p, 0, 0);
}

/* Replace `old` by `e` if it still stands there. Returns what was found. Compiles to cmpxchg8b. */
static inline pte_t pte_cmpxchg(pte_t *p, pte_t old, pte_t e)
{
    return __sync_val_compare_and_swap(p, old, e);
}

#ifdef RINGLET_HOST
/* Host tests supply these over an array that plays the machine's memory. */
void *direct_map(maddr_t ma);
maddr_t direct_maddr(const void *va);
#else
static inline void *direct_map(maddr_t ma)
{
    return (void *)(uintptr_t)(DIRECTMAP_START + (uint32_t)ma);
}

static inline maddr_t direct_maddr(const void *va)
{
    return (uintptr_t)va - DIRECTMAP_START;
}
#endif

static inline mfn_t direct_mfn(const void *va)
{
    return direct_maddr(va) >> PAGE_SHIFT;
}

struct domain;

/* arch/i386/paging.c */
extern uint64_t nx_bit;     /* PTE_NX where the processor has it and EFER.NXE is on, else 0 */
extern uint64_t global_bit; /* PTE_G where CR4.PGE is on, else 0 */
void paging_init(void);
void paging_map_table(uint32_t va, maddr_t ma, uint32_t size, bool writable);
maddr_t paging_table_maddr(uint32_t va);
void paging_drop_identity_map(void);
void paging_map_fixed(uint32_t va, maddr_t ma, uint64_t flags);
void hypervisor_l2_fill(pte_t *l2);
void hypervisor_l2_clear(pte_t *l2);
void install_guest_l3(const pte_t *l3, uint32_t flush);
void install_idle_l3(void);
void map_gdt_window(const mfn_t *frames, unsigned n);
void map_ldt_page(unsigned page, mfn_t mfn);
void unmap_ldt_window(void);

/* arch/i386/globalmap.c */
extern pte_t globalmap_l1[];
void *map_global(struct domain *d, mfn_t mfn);
void unmap_global(struct domain *d, const void *va);

/* arch/i386/mapcache.c; the short ways are in percpu.h */
void *map_frame_slow(mfn_t mfn);
const void *glance_frame_slow(mfn_t mfn);
#ifdef RINGLET_HOST
void *map_frame(mfn_t mfn);
void unmap_frame(const void *va);
#define glance_frame(mfn) direct_map((maddr_t)(mfn) << PAGE_SHIFT)
#endif
mfn_t mapped_mfn(const void *va);
void clear_frame(mfn_t mfn);
void copy_frame(mfn_t dst, mfn_t src);

/*
 * The TLB clock: every flush on any CPU advances it and is stamped with it, so "has this CPU
 * flushed since X was unmapped" is one comparison (see `tlb_stale` in domain.h). arch/i386/tlb.c
 */
extern uint32_t tlb_clock; /* changes by atomic addition only */

/*
 * The number of a flush that is about to happen: taken before anything that others change is read
 * (T2, tlb.c).
 */
static inline uint32_t tlb_next_flush(void)
{
    return __atomic_add_fetch(&tlb_clock, 1, __ATOMIC_SEQ_CST);
}

void tlb_switch_root(maddr_t l3, uint32_t flush);
void tlb_flush_local(void);
void tlb_flush_one_local(uint32_t va);
void tlb_flush_domain(struct domain *d);
void tlb_flush_if_stale(struct domain *d);
void tlb_flush_mask(uint32_t cpus);
void tlb_flush_copies(uint32_t cpus);
void tlb_flush_one_mask(uint32_t cpus, uint32_t va);
void tlb_flush_all(void);

#endif
