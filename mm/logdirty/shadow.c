/* SPDX-License-Identifier: MIT */
/*
 * shadow.c: a domain in log-dirty mode runs on shadows of its page tables.
 *
 * To see what a guest writes, its pages must be read-only until they are written. But a PV guest's
 * page tables are its own: it reads them, and finds there what it wrote, and the Accessed and Dirty
 * bits. Taking RW out of its entries would be seen, and take work to undo. So the processor is given
 * other tables, and the guest's are left as they are.
 *
 * Those other tables are a TLB, and nothing else: one that each CPU has for itself, that is large,
 * and that is filled by this file instead of by the processor. It begins empty. On a page fault the
 * guest's tables are walked as the processor would (SDM vol. 3, 4.4): if they allow the access,
 * Accessed and Dirty are set in them as the processor would, and the translation is put into the
 * shadow; the instruction starts over. If they do not, the fault is the guest's, as ever. Writing is
 * put into the shadow only where the frame is in the log: a first write faults, and is noted.
 *
 *      c->l3 ---> guest's L2 ---> guest's L1 ---> frame       walked here, and by mm/walk.c
 *                                                   ^
 *      c->shadow_l3 ---> 4 shadow L2s ---> shadow L1         walked by the processor (CR3)
 *
 * Why that is safe and right needs no new argument. Software that takes a right out of a page table
 * flushes TLBs before it relies on that, be it the guest or this hypervisor (tlb.c, T1 to T4), since
 * the processor may remember the old entry for as long as it likes. So may we, if we forget when the
 * processor does. Therefore:
 *  SH1 Whatever flushes the TLB of a CPU empties its shadow first (tlb_switch_root()), and what
 *      flushes one page clears its entry (tlb_flush_one_local()).
 *  SH2 Between reading a guest's entry and writing the shadow's no request for a flush is served: no
 *      lock is waited for, and interrupts are off.
 *  SH3 A shadow L1 serves another 2 MiB only after a flush: the processor caches L2 entries too.
 *  SH4 A shadow entry allows no more than the guest's entries did: RW and US only where the L2's and
 *      the L1's have them, NX where one has.
 * None of those who change a guest's entries need know of shadows, a guest that breaks the rules of
 * TLBs fools itself as on a bare machine, and no lock is needed: a CPU's shadow is its own.
 *
 * It is filled anew after each switch of address spaces, which costs. So with a faulting entry its
 * neighbours go in that have Accessed set already, as a processor may read ahead.
 *
 * Read next: mm/logdirty/dirty_log.c.
 */
#include <ringlet/arch.h>
#include "dirty_log.h"
#include <ringlet/domain.h>
#include <ringlet/mm.h>

/* Page-fault error code: SDM vol. 3, figure 4-12. */
#define PF_PRESENT 0x01u
#define PF_WRITE 0x02u
#define PF_USER 0x04u
#define PF_RESERVED 0x08u
#define PF_FETCH 0x10u

#define CACHE_BITS (PTE_PWT | PTE_PCD | PTE_PAT)
#define NEIGHBOURS 16

/* ---- The shadow as a TLB --------------------------------------------------------------------- */

/* This CPU is about to run a vcpu of d's, or none (NULL). The next load of CR3 makes it so. */
static void shadow_switch(const struct domain *d)
{
    struct cpu *c = this_cpu;
    struct shadow *s = d && d->dirty_log && d->dirty_log->on ? d->dirty_log->shadow[c->id] : NULL;

    for (unsigned i = 0; s && i < L3_ENTRIES; i++)
        c->shadow_l3[i] = make_pte(s->l2[i], PTE_P);
    c->shadow = s;
    c->guest_root = direct_maddr(s ? c->shadow_l3 : c->l3);
}

/* Forget all translations. DL4 */
void shadow_empty(struct shadow *s)
{
    for (; s->used; s->used--) {
        unsigned slot = s->slot[s->used - 1];
        pte_t *l2 = map_frame(s->l2[slot / L2_ENTRIES]);

        pte_write(&l2[slot % L2_ENTRIES], 0);
        unmap_frame(l2);
    }
}

/* The same for the tables this CPU runs on. The caller loads CR3 (SH1, SH3). */
static void shadow_flush(void)
{
    if (this_cpu->shadow)
        shadow_empty(this_cpu->shadow);
}

/* Forget one. The caller does INVLPG. */
static void shadow_flush_one(uint32_t va)
{
    const struct shadow *s = this_cpu->shadow;
    const pte_t *l2;
    pte_t e, *l1;

    if (!s || va >= HYPERVISOR_START)
        return;
    l2 = map_frame(s->l2[l3_index(va)]);
    e = l2[l2_index(va)];
    unmap_frame(l2);
    if (!(e & PTE_P))
        return;
    l1 = map_frame(pte_mfn(e));
    pte_write(&l1[l1_index(va)], 0);
    unmap_frame(l1);
}

/* The shadow L1 for an address, mapped; an empty one where there was none. NULL: all are in use. */
static pte_t *map_shadow_l1(struct shadow *s, uint32_t va)
{
    pte_t *l2 = map_frame(s->l2[l3_index(va)]), e = l2[l2_index(va)];

    if (!(e & PTE_P) && s->used < s->nr_l1) {
        e = make_pte(s->l1[s->used], PTE_P | PTE_RW | PTE_US | PTE_A);
        clear_frame(pte_mfn(e));
        s->slot[s->used++] = va >> SUPERPAGE_SHIFT;
        pte_write(&l2[l2_index(va)], e);
    }
    unmap_frame(l2);
    return e & PTE_P ? map_frame(pte_mfn(e)) : NULL;
}

/* ---- Filling it ------------------------------------------------------------------------------ */

/* The guest's entries for an address, and its L1, or what a linear map makes one. */
struct walk {
    pte_t e2, e1;
    pte_t *l2, *l1; /* mapped; NULL: there is none */
};

static void walk_end(const struct walk *w)
{
    if (w->l1)
        unmap_frame(w->l1);
    if (w->l2)
        unmap_frame(w->l2);
}

/*
 * Tables are read without mm_lock, which whoever faults may hold: like the processor's own walks,
 * this one is over before a table that it passes can become something else (SH2).
 */
static void walk(struct walk *w, uint32_t va)
{
    pte_t e3 = this_cpu->l3[l3_index(va)];

    *w = (struct walk){.l2 = NULL};
    if (!(e3 & PTE_P))
        return;
    w->l2 = map_frame(pte_mfn(e3));
    w->e2 = pte_read(&w->l2[l2_index(va)]);
    if (!(w->e2 & PTE_P))
        return;
    w->l1 = map_frame(pte_mfn(w->e2));
    w->e1 = pte_read(&w->l1[l1_index(va)]);
}

/* Do both entries, which are present, allow the access? CR0.WP is set: ring 0 obeys RW too. */
static bool allows(const struct walk *w, uint32_t error_code)
{
    pte_t both = w->e2 & w->e1;

    return (!(error_code & PF_WRITE) || (both & PTE_RW)) &&
           (!(error_code & PF_USER) || (both & PTE_US)) &&
           (!(error_code & PF_FETCH) || !((w->e2 | w->e1) & PTE_NX));
}

/*
 * Set Accessed, or Dirty too, in the guest's entry `e`. False: it has changed. The table is written
 * by this, as by the processor, and its frame in the log.
 */
static bool set_bits(pte_t *p, pte_t e, pte_t bits)
{
    if ((e & bits) == bits)
        return true;
    if (pte_cmpxchg(p, e, e | bits) != e)
        return false;
    note_dirty(mapped_mfn(p));
    return true;
}

/*
 * What the shadow gets for an L1 entry below the L2 entry e2. Without a write it is writable only if
 * a write would change nothing, neither a Dirty bit nor the log.
 */
static pte_t shadow_entry(pte_t e2, pte_t e1, bool write)
{
    pte_t e =
        (e1 & (PTE_ADDR | PTE_P | CACHE_BITS)) | (e1 & e2 & PTE_US) | ((e1 | e2) & PTE_NX) | PTE_A;

    if (!(e1 & e2 & PTE_RW))
        return e;
    if (write ||
        ((e1 & PTE_D) && pte_frame64(e1) < max_frame && is_dirty(current->domain, pte_mfn(e1))))
        e |= PTE_RW | PTE_D;
    return e;
}

static void fill(struct shadow *s, const struct walk *w, uint32_t va, bool write)
{
    pte_t *shadow = map_shadow_l1(s, va);
    unsigned i = l1_index(va), first = i & ~(NEIGHBOURS - 1u);

    if (!shadow) {
        /* Begin anew, and with the walk too: this flush is younger than what was read (SH2). */
        tlb_flush_local();
        return;
    }
    pte_write(&shadow[i], shadow_entry(w->e2, w->e1, write));
    for (unsigned k = first; k < first + NEIGHBOURS; k++) {
        pte_t e = shadow[k] & PTE_P ? 0 : pte_read(&w->l1[k]);

        if ((e & (PTE_P | PTE_A)) == (PTE_P | PTE_A))
            pte_write(&shadow[k], shadow_entry(w->e2, e, false));
    }
    unmap_frame(shadow);
}

/*
 * A page fault at `va`, of the guest or of the hypervisor at a guest's address, while some domain is
 * logged. True: try again, it was the shadow's, or an entry is just changing. False: it is a fault
 * by the guest's own tables too, and the error code says now what it would be by these.
 */
static bool shadow_fault(uint32_t va, struct cpu_user_regs *regs)
{
    struct shadow *s = this_cpu->shadow;
    uint32_t error_code = regs->error_code;
    bool write = error_code & PF_WRITE, mine;
    struct walk w;

    if (!s || va >= HYPERVISOR_START || (error_code & PF_RESERVED))
        return false;
    walk(&w, va);
    mine = (w.e1 & PTE_P) && allows(&w, error_code);
    if (!mine) {
        regs->error_code = (error_code & ~PF_PRESENT) | (w.e1 & PTE_P ? PF_PRESENT : 0);
    } else if (set_bits(&w.l2[l2_index(va)], w.e2, PTE_A) &&
               set_bits(&w.l1[l1_index(va)], w.e1, write ? PTE_A | PTE_D : PTE_A)) {
        if (write)
            note_dirty(pte_frame64(w.e1) < max_frame ? pte_mfn(w.e1) : INVALID_MFN);
        __atomic_fetch_add(&current->domain->dirty_log->fault_count, 1, __ATOMIC_SEQ_CST);
        fill(s, &w, va, write);
    }
    walk_end(&w);
    return mine;
}

WATCH_PART(shadow_part, .written = note_dirty, .pfn_written = note_pfn_dirty,
           .switch_to = shadow_switch, .flush = shadow_flush, .flush_one = shadow_flush_one,
           .page_fault = shadow_fault);
