/* SPDX-License-Identifier: MIT */
/*
 * descriptor_tables.c: a guest's GDT and LDT: whole frames of type FT_SEG, each entry checked
 * (traps/descriptor.c), mapped read-only at most by the guest, so that a descriptor changes only
 * through update_descriptor.
 *
 * The GDT's frames are shown in the running CPU's window by each switch. The LDT's are shown when
 * first used: the processor faults on the window, and fault_in_ldt_page() takes the reference then,
 * as in Xen.
 */
#include <ringlet/arch.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

#define MAX_LDT_ENTRIES 8192

/*
 * All 512 descriptors of the page are ones a guest may have; some are adjusted in place. 0 or
 * -EINVAL.
 */
int validate_descriptor_page(struct frame *f)
{
    struct desc *table = map_frame(frame_mfn(f));
    int rc = 0;

    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*table) && !rc; i++) {
        if (!check_descriptor(&table[i]))
            rc = -EINVAL;
    }
    unmap_frame(table);
    return rc;
}

/* Give up the references to these frames, which no processor's window may show any more. */
static void put_gdt_frames(const mfn_t *frames, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        put_frame_and_type(mfn_frame(frames[i]));
}

/* Take references to n frames as descriptor pages of d's: all of them, or none and -EINVAL. */
static int get_gdt_frames(struct domain *d, const mfn_t *frames, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (frames[i] >= max_frame || get_frame_and_type(mfn_frame(frames[i]), d, FT_SEG)) {
            put_gdt_frames(frames, i);
            return -EINVAL;
        }
    }
    return 0;
}

/*
 * walk 35: Descriptor tables are a type, too
 *
 * Claim: A guest's GDT is up to 14 of its own frames, of a type that excludes writable, each
 * descriptor checked (stop 6) when the type is taken. The order here is that of all changes of
 * tables: references to the new frames, then the window that the processor reads, then the old
 * references. The processor may load a descriptor from the window at any instruction, so a frame
 * keeps its reference for as long as it is shown.
 * Without it: A frame that is still shown and already writable would let the guest put a descriptor
 * with DPL 0 into its GDT with a plain MOV.
 * Shown by: tests/host/test_types.c::test_descriptor_tables,
 * tests/guests/rings/descriptors/main.c::test_ldt
 */
/*
 * Make n frames v's GDT, the references to them with them, and give up those it had. In this order:
 * references to the new frames, window, old references. The processor may load a descriptor from
 * what the window shows at any moment, so a frame must not be retyped, and written by the guest,
 * while it is shown.
 */
static void replace_gdt(struct vcpu *v, const mfn_t *frames, unsigned n, unsigned entries)
{
    unsigned nr_old = DIV_ROUND_UP(v->gdt_entries, 512);
    mfn_t old[GUEST_GDT_PAGES];

    memcpy(old, v->gdt_frames, nr_old * sizeof(*old));
    for (unsigned i = 0; i < n; i++)
        v->gdt_frames[i] = frames[i];
    v->gdt_entries = entries;
    if (v == current)
        map_gdt_window(v->gdt_frames, n);
    put_gdt_frames(old, nr_old);
}

/*
 * Make `entries` descriptors in these frames v's GDT. v is current or not running, its domain's
 * mm_lock held. -EINVAL: too many entries, a frame that is not the domain's, or one in use as
 * something else, or with a descriptor that is not allowed; nothing has changed then.
 */
int set_gdt(struct vcpu *v, const mfn_t *frames, unsigned entries)
{
    unsigned n = DIV_ROUND_UP(entries, 512);

    if (entries > FIRST_RESERVED_GDT_ENTRY || get_gdt_frames(v->domain, frames, n))
        return -EINVAL;
    replace_gdt(v, frames, n, entries);
    return 0;
}

/* v is not running, or ends: give its GDT frames up. */
void destroy_gdt(struct vcpu *v)
{
    replace_gdt(v, NULL, 0, 0);
}

/* HYPERVISOR_set_gdt: a list of frames, and how many descriptors they hold in all. */
asmlinkage long do_set_gdt(const uint32_t *guest_frames, uint32_t entries)
{
    struct vcpu *v = current;
    mfn_t frames[GUEST_GDT_PAGES];
    int rc;

    if (entries > FIRST_RESERVED_GDT_ENTRY)
        return -EINVAL;
    if (copy_from_guest(frames, guest_frames, DIV_ROUND_UP(entries, 512) * sizeof(mfn_t)))
        return -EFAULT;
    spin_lock(&v->domain->mm_lock);
    rc = set_gdt(v, frames, entries);
    spin_unlock(&v->domain->mm_lock);
    return rc;
}
HYPERCALL(set_gdt);

/*
 * Forget the LDT pages mapped so far, keeping base and size: they fault in again when used. v is
 * current or not running.
 */
void invalidate_ldt(struct vcpu *v)
{
    if (v == current)
        unmap_ldt_window();
    for (unsigned i = 0; i < GUEST_LDT_PAGES; i++) {
        if (v->ldt_frames[i] != INVALID_MFN) {
            put_frame_and_type(mfn_frame(v->ldt_frames[i]));
            v->ldt_frames[i] = INVALID_MFN;
        }
    }
}

/*
 * Load this CPU's LDT register for v: a system descriptor of type 2 over this CPU's LDT window (SDM
 * vol. 3, 3.5.1).
 */
void load_guest_ldt(struct vcpu *v)
{
    struct cpu *c = this_cpu;
    struct desc *d = &c->gdt[(LDT_SELECTOR - FIRST_RESERVED_SELECTOR) >> 3];
    uint32_t base = LDT_WINDOW(c->id), limit = v->ldt_entries * 8 - 1;

    if (!v->ldt_entries) {
        load_ldt_register(0);
        return;
    }
    for (unsigned i = 0; i < GUEST_LDT_PAGES; i++) {
        if (v->ldt_frames[i] != INVALID_MFN)
            map_ldt_page(i, v->ldt_frames[i]);
    }
    d->a = base << 16 | (limit & 0xffff);
    d->b = (base & 0xff000000) | DESC_P | 2 << 8 | (base >> 16 & 0xff);
    load_ldt_register(LDT_SELECTOR);
}

/*
 * MMUEXT_SET_LDT. The base must be page-aligned and the guest's own; -EINVAL otherwise. Where there
 * are no entries it is not looked at, as in Xen since 4.7. v is current or not running.
 */
int set_ldt(struct vcpu *v, uint32_t base, uint32_t entries)
{
    if (!entries)
        base = 0;
    if (entries > MAX_LDT_ENTRIES || (base & (PAGE_SIZE - 1)) ||
        !guest_range_ok((void *)(uintptr_t)base, entries * sizeof(struct desc)))
        return -EINVAL;
    if (v->ldt_base == base && v->ldt_entries == entries)
        return 0;
    invalidate_ldt(v);
    v->ldt_base = base;
    v->ldt_entries = entries;
    if (v == current)
        load_guest_ldt(v);
    return 0;
}

/*
 * The processor faulted at `offset` in the LDT window while loading a selector: map the frame that
 * the guest's own tables show at that place of its LDT, if it can be a descriptor page. false: the
 * fault is the guest's to hear of.
 */
bool fault_in_ldt_page(uint32_t offset)
{
    struct vcpu *v = current;
    unsigned page = offset >> PAGE_SHIFT;
    uint64_t mfn;
    pte_t e;
    bool ok = false;

    if (page >= DIV_ROUND_UP(v->ldt_entries, 512) || v->ldt_frames[page] != INVALID_MFN)
        return false;
    spin_lock(&v->domain->mm_lock);
    e = guest_l1_entry(v, v->ldt_base + page * PAGE_SIZE);
    mfn = pte_frame64(e);
    if ((e & PTE_P) && mfn < max_frame && !get_frame_and_type(mfn_frame(mfn), v->domain, FT_SEG)) {
        v->ldt_frames[page] = mfn;
        map_ldt_page(page, mfn);
        ok = true;
    }
    spin_unlock(&v->domain->mm_lock);
    return ok;
}

/*
 * HYPERVISOR_update_descriptor: write one descriptor at a machine address. The frame is a
 * descriptor table, or one that could be written anyway. -EINVAL: misaligned, not the domain's
 * frame, a table of another kind, or a descriptor not allowed.
 */
asmlinkage long do_update_descriptor(uint32_t pa_lo, uint32_t pa_hi, uint32_t desc_lo,
                                     uint32_t desc_hi)
{
    struct domain *d = current->domain;
    uint64_t pa = (uint64_t)pa_hi << 32 | pa_lo, mfn = pa >> PAGE_SHIFT;
    struct desc desc = {desc_lo, desc_hi};
    struct frame *f;
    uint8_t *va;
    int rc;

    if ((pa & 7) || mfn >= max_frame || !get_frame(mfn_frame(mfn), d))
        return -EINVAL;
    f = mfn_frame(mfn);
    spin_lock(&d->mm_lock);
    rc = check_descriptor(&desc) ? get_type(f, frame_type(f) == FT_SEG ? FT_SEG : FT_WRITABLE)
                                 : -EINVAL;
    if (!rc) {
        va = map_frame(mfn);
        pte_write((uint64_t *)(va + (pa & (PAGE_SIZE - 1))), (uint64_t)desc.b << 32 | desc.a);
        unmap_written(va);
        put_type(f);
    }
    spin_unlock(&d->mm_lock);
    put_frame(f);
    return rc;
}
HYPERCALL(update_descriptor);
