/* SPDX-License-Identifier: MIT */
/*
 * operand.c: from a segment and an offset to a linear address, and from there to the guest's
 * memory.
 *
 * The processor checks each access against the descriptor it cached when the segment register was
 * loaded. Its cache cannot be read, so emulation looks the selector up in the tables in force. A
 * guest that changed a descriptor without reloading gets the new one: its own affair, because no
 * descriptor that could reach the hypervisor is ever in these tables (traps/descriptor.c), and
 * every copy is range-checked again (guest_access.h).
 *
 * Read next: traps/descriptor.c, traps/ioports.c (the user of memory operands).
 */
#include <ringlet/emulate.h>
#include <ringlet/guest_access.h>
#include <ringlet/mm.h>
#include <ringlet/traps.h>

/* Page-fault error code. SDM vol. 3, 4.7. */
#define PF_PRESENT 1
#define PF_WRITE 2
#define PF_USER 4

/*
 * The selector in a segment register of the code that was interrupted; fs and gs are still in the
 * processor.
 */
uint16_t segment_selector(const struct cpu_user_regs *regs, unsigned segment)
{
    uint16_t selector;

    switch (segment) {
    case SEG_ES:
        return regs->es;
    case SEG_CS:
        return regs->cs;
    case SEG_SS:
        return regs->ss;
    case SEG_DS:
        return regs->ds;
    case SEG_FS:
        __asm__ volatile("movw %%fs, %0" : "=rm"(selector));
        return selector;
    default:
        __asm__ volatile("movw %%gs, %0" : "=rm"(selector));
        return selector;
    }
}

/*
 * The entry a selector names, in this CPU's window onto the guest's GDT or LDT; NULL where the
 * table has none. The guest cannot write it (the frames are typed FT_SEG), but another vcpu may
 * have it changed: read it once.
 */
struct desc *guest_descriptor(uint16_t selector)
{
    struct vcpu *v = current;
    unsigned index = selector >> 3;

    if (!(selector & 4)) {
        if (index >= v->gdt_entries && index < FIRST_RESERVED_SELECTOR >> 3)
            return NULL;
        return (struct desc *)GDT_WINDOW(this_cpu->id) + index;
    }
    if (index >= v->ldt_entries)
        return NULL;
    if (v->ldt_frames[index >> 9] == INVALID_MFN && !fault_in_ldt_page(index * 8))
        return NULL;
    return (struct desc *)LDT_WINDOW(this_cpu->id) + index;
}

/* The ABI's flat segments, which most guests use: what the table holds for them. */
static const struct segment flat_code = {0, 0, GUEST_SEGMENT_END - 1,
                                         DESC_P | DESC_S | DESC_CODE | DESC_RW | DESC_DB | DESC_G};
static const struct segment flat_data = {0, 0, GUEST_SEGMENT_END - 1,
                                         DESC_P | DESC_S | DESC_RW | DESC_DB | DESC_G};

/*
 * Base and reach of a code or data segment. false: null, out of the table, not present, or a system
 * segment.
 */
bool read_segment(uint16_t selector, struct segment *s)
{
    const volatile struct desc *d;
    uint32_t low, limit;

    if (likely(selector == FLAT_RING1_DS || selector == FLAT_RING1_CS)) {
        *s = selector == FLAT_RING1_DS ? flat_data : flat_code;
        return true;
    }
    if (!(selector & ~3) || !(d = guest_descriptor(selector)))
        return false;
    low = d->a;
    s->high = d->b;
    if ((s->high & (DESC_P | DESC_S)) != (DESC_P | DESC_S))
        return false;
    s->base = low >> 16 | (s->high & 0xff) << 16 | (s->high & 0xff000000);
    limit = (low & 0xffff) | (s->high & 0xf0000);
    if (s->high & DESC_G)
        limit = limit << 12 | 0xfff;
    if ((s->high & (DESC_CODE | DESC_EXPAND_DOWN)) != DESC_EXPAND_DOWN) {
        s->first = 0;
        s->last = limit;
        return true;
    }
    /* Expand-down: everything above the limit. SDM vol. 3, 5.3. */
    s->first = limit + 1;
    s->last = s->high & DESC_DB ? 0xffffffff : 0xffff;
    if (limit == 0xffffffff) {
        s->first = 1;
        s->last = 0;
    }
    return true;
}

/* The limit check. false: #GP, or #SS for the stack segment. */
bool segment_linear(const struct segment *s, uint32_t offset, uint32_t size, uint32_t *linear)
{
    if (offset < s->first || offset > s->last || s->last - offset < size - 1)
        return false;
    *linear = s->base + offset;
    return true;
}

/* The entry at `index` of a page table; 0 where the table is no frame of ours to read. */
static pte_t table_entry(mfn_t table, unsigned index)
{
    pte_t *entries, e;

    if (table >= max_frame)
        return 0;
    entries = map_frame(table);
    e = entries[index];
    unmap_frame(entries);
    return e;
}

/*
 * What the guest's page tables allow at an address: PTE_P | PTE_RW | PTE_US as all levels together
 * grant them. mm_lock is held.
 */
static pte_t page_rights(struct vcpu *v, uint32_t address)
{
    pte_t e, rights;

    rights = e = table_entry(v->l3_frame, l3_index(address));
    rights |= PTE_RW | PTE_US; /* an L3 entry has no such bits */
    if (e & PTE_P) {
        e = table_entry(pte_mfn(e), l2_index(address));
        rights &= e;
    }
    if (rights & PTE_P)
        rights &= table_entry(pte_mfn(e), l1_index(address));
    return rights;
}

static bool page_allows(uint32_t address, bool write)
{
    pte_t needed = PTE_P | PTE_US | (write ? PTE_RW : 0);

    return (page_rights(current, address) & needed) == needed;
}

/*
 * The page fault for an operand that could not be copied, at the address the processor would
 * report: the operand's, or where it reaches the second page if that is the one missing.
 */
static void inject_access_fault(const struct cpu_user_regs *regs, uint32_t linear, uint32_t size,
                                bool write)
{
    pte_t needed = PTE_P | (write ? PTE_RW : 0) | (in_guest_kernel(regs) ? 0 : PTE_US), rights;
    unsigned code = (write ? PF_WRITE : 0) | (regs_ring(regs) == 3 ? PF_USER : 0);

    spin_lock(&current->domain->mm_lock);
    rights = page_rights(current, linear);
    if ((rights & needed) == needed) {
        linear = (linear + size - 1) & ~(PAGE_SIZE - 1u);
        rights = page_rights(current, linear);
    }
    spin_unlock(&current->domain->mm_lock);
    inject_page_fault(linear, code | (rights & PTE_P ? PF_PRESENT : 0));
}

/* May ring 3 touch an operand of up to 4 bytes, which may lie on two pages? mm_lock is held. */
static bool pages_allow(uint32_t linear, uint32_t size, bool write)
{
    uint32_t last = linear + size - 1;

    return page_allows(linear, write) &&
           (!((linear ^ last) & ~(PAGE_SIZE - 1u)) || page_allows(last, write));
}

static bool copy_operand(uint32_t linear, void *data, uint32_t size, bool write)
{
    void *guest = (void *)(uintptr_t)linear;

    return !(write ? copy_to_guest(guest, data, size) : copy_from_guest(data, guest, size));
}

/*
 * Ring 0 copies with the rights of the kernel, which are ring 1's as well. For ring 3 the user bits
 * have to be looked at here: a program with port permissions must not read its kernel's memory by
 * OUTS. Look and copy are one step, under mm_lock, or another vcpu could make the page the kernel's
 * in between; a copy that faults there has its fixup and takes no lock.
 */
static bool access_operand(const struct cpu_user_regs *regs, uint32_t linear, void *data,
                           uint32_t size, bool write)
{
    struct domain *d = current->domain;
    bool done;

    if (in_guest_kernel(regs)) {
        done = copy_operand(linear, data, size, write);
    } else {
        spin_lock(&d->mm_lock);
        done = pages_allow(linear, size, write) && copy_operand(linear, data, size, write);
        spin_unlock(&d->mm_lock);
    }
    if (!done)
        inject_access_fault(regs, linear, size, write);
    return done;
}

/* Read an operand of up to 4 bytes. false: a page fault was injected. */
bool read_operand(const struct cpu_user_regs *regs, uint32_t linear, void *to, uint32_t size)
{
    return access_operand(regs, linear, to, size, false);
}

/* Write an operand of up to 4 bytes. false: a page fault was injected. */
bool write_operand(const struct cpu_user_regs *regs, uint32_t linear, const void *from,
                   uint32_t size)
{
    return access_operand(regs, linear, (void *)(uintptr_t)from, size, true);
}
