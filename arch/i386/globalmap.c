/* SPDX-License-Identifier: MIT */
/*
 * globalmap.c: mappings of single frames at addresses that are valid on every CPU, until they are
 * undone: a guest's vcpu_info and its page of PIRQ bits, which the hypervisor writes from anywhere.
 *
 * Frames of the direct map are there already and take no slot. For the others there are
 * GLOBALMAP_PAGES slots, and guests cause them to be taken: as with the heap (H1, mm/xzalloc.c), a
 * domain may not hold more of them than are left for all others, unless it is privileged. So
 * however many domains are greedy, another one still gets some.
 *
 * Read next: mapcache.c, for the mappings of one CPU.
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>

/*
 * Its entries have no G bit, so that an ordinary flush of another CPU is enough. paging_init() points
 * the hypervisor's directory at it.
 */
pte_t globalmap_l1[GLOBALMAP_PAGES] __aligned(PAGE_SIZE);

/* Guards globalmap_l1, nr_taken, and every domain's global_maps. */
static spinlock_t globalmap_lock = SPINLOCK_INIT(RANK_HEAP);
static unsigned nr_taken;

/* globalmap_lock is held. */
static bool may_take_slot(const struct domain *d)
{
    return d->privileged || d->global_maps < GLOBALMAP_PAGES - nr_taken;
}

/* globalmap_lock is held. NULL: all slots are taken. */
static void *take_slot(mfn_t mfn)
{
    for (unsigned i = 0; i < GLOBALMAP_PAGES; i++) {
        if (globalmap_l1[i])
            continue;
        pte_write(&globalmap_l1[i], make_pte(mfn, PTE_HYPERVISOR | nx_bit));
        nr_taken++;
        return (void *)(uintptr_t)(GLOBALMAP_START + i * PAGE_SIZE);
    }
    return NULL;
}

/*
 * Map a frame for d at an address valid on every CPU until unmap_global(). The caller holds what
 * keeps the frame. NULL when no slot is left, or none for d.
 */
void *map_global(struct domain *d, mfn_t mfn)
{
    void *va = NULL;

    if (mfn < DIRECTMAP_SIZE >> PAGE_SHIFT)
        return direct_map((maddr_t)mfn << PAGE_SHIFT);
    spin_lock(&globalmap_lock);
    if (may_take_slot(d))
        va = take_slot(mfn);
    if (va)
        d->global_maps++;
    spin_unlock(&globalmap_lock);
    return va;
}

/* Undo map_global() for the same domain. No CPU uses the address any more. */
void unmap_global(struct domain *d, const void *va)
{
    uint32_t addr = (uintptr_t)va & ~(PAGE_SIZE - 1);

    if (addr < GLOBALMAP_START)
        return;
    spin_lock(&globalmap_lock);
    pte_write(&globalmap_l1[(addr - GLOBALMAP_START) >> PAGE_SHIFT], 0);
    nr_taken--;
    d->global_maps--;
    tlb_flush_all();
    spin_unlock(&globalmap_lock);
}
