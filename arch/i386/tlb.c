/* SPDX-License-Identifier: MIT */
/*
 * tlb.c: translations the processor remembers, and when it must forget them.
 *
 * A guest may remove a mapping and not flush; until it does, the TLB still lets it write the page.
 * That is its own affair until the page becomes something else: a page table, or another domain's
 * memory. So whenever a mapping of a domain's frame goes away the domain is stamped with the TLB
 * clock (tlb_stale), every full flush advances the clock and stamps the CPU with it (tlb_flushed),
 * and before a frame changes its type or owner, each CPU whose last flush is not younger than the
 * stamp is flushed. One stamp a domain instead of one a frame: the frame table stays at 16 bytes,
 * and a batch of retyped frames still flushes once.
 *
 * The clock wraps, and is compared by signed difference: a stamp more than 2^31 flushes old may
 * cause one flush too many, never one too few, because every CPU that runs guests flushes at each
 * switch of address space.
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>

/* Changes by atomic addition only. */
uint32_t tlb_clock = 1;

/*
 * Load CR3: everything but global entries, which are ours and do not change, is forgotten (SDM vol.
 * 3, 4.10.4.1).
 */
void tlb_switch_root(maddr_t l3)
{
    write_cr3((uint32_t)l3);
    this_cpu->tlb_flushed = __atomic_add_fetch(&tlb_clock, 1, __ATOMIC_SEQ_CST);
}

void tlb_flush_local(void)
{
    tlb_switch_root(read_cr3());
}

void tlb_flush_one_local(uint32_t va)
{
    invlpg(va);
}

/* Do what another CPU waits for. Takes no lock: it is called while waiting for one. */
void tlb_serve_request(void)
{
    __atomic_store_n(&this_cpu->flush_requested, false, __ATOMIC_SEQ_CST);
    tlb_flush_local();
}

/* Flush the CPUs in the mask (bit n: CPU n). */
void tlb_flush_mask(uint32_t cpus)
{
    if (cpus & (1u << this_cpu->id))
        tlb_flush_local();
}

void tlb_flush_one_mask(uint32_t cpus, uint32_t va)
{
    if (cpus & (1u << this_cpu->id))
        tlb_flush_one_local(va);
}

/* All CPUs that may hold translations of the domain. */
void tlb_flush_domain(struct domain *d)
{
    tlb_flush_mask(d->dirty_cpus);
}

/*
 * Flush those CPUs that may still hold a translation which was removed from the domain's memory.
 * Needed before a frame of the domain changes type or owner. The mapping may have been another
 * domain's (foreign and grant maps), so all CPUs count.
 */
void tlb_flush_if_stale(struct domain *d)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < nr_cpus; i++) {
        if (cpus[i].online && (int32_t)(cpus[i].tlb_flushed - d->tlb_stale) <= 0)
            mask |= 1u << i;
    }
    if (mask)
        tlb_flush_mask(mask);
}
