/* SPDX-License-Identifier: MIT */
/*
 * machine_cpu.c: what the page-table and descriptor-table hypercalls ask of the processor, for host
 * tests that link mm/baseptr.c, mm/mmuext.c or mm/descriptor_tables.c. See machine.h.
 */
#include <string.h>

#include "machine.h"
#include <ringlet/arch.h>
#include <ringlet/hypercall.h>

struct domain io_domain = {.id = DOMID_IO, .slot = OWNER_IO, .refs = 1};

static struct desc reserved_gdt[512];

static bool holds_descriptors(mfn_t mfn)
{
    const struct frame *f = mfn_frame(mfn);

    return frame_type(f) == FT_SEG && (f->type_info & FT_COUNT);
}

/* What this CPU's window shows of the GDT. */
static mfn_t shown[GUEST_GDT_PAGES];
static unsigned nr_shown;

/*
 * What the window shows must be descriptor pages when it is shown, and until it is not any
 * more: the processor may load a descriptor at any moment.
 */
void map_gdt_window(const mfn_t *frames, unsigned n)
{
    for (unsigned i = 0; i < nr_shown; i++)
        BUG_ON(!holds_descriptors(shown[i]));
    for (nr_shown = 0; nr_shown < n; nr_shown++) {
        BUG_ON(!holds_descriptors(frames[nr_shown]));
        shown[nr_shown] = frames[nr_shown];
    }
}

void machine_cpu_init(void)
{
    nr_shown = 0;
    spin_lock_init(&io_domain.mm_lock, RANK_MM);
    this_cpu->gdt = reserved_gdt;
    memset(this_cpu->l3, 0, sizeof(this_cpu->l3));
}

void machine_switch(struct domain *d)
{
    machine_run(d);
    map_gdt_window(current->gdt_frames, DIV_ROUND_UP(current->gdt_entries, 512));
    memset(this_cpu->l3, 0, sizeof(this_cpu->l3));
    if (current->l3_frame != INVALID_MFN)
        reload_l3(current);
}

long machine_domain_kill(struct domain *d)
{
    int rc;

    d->state = DOMAIN_DYING;
    rc = relinquish_memory(d);
    if (rc)
        return rc;
    d->state = DOMAIN_DEAD;
    ranges_clear(&d->iomem);
    put_domain(d);
    return 0;
}

void install_guest_l3(const pte_t *l3, uint32_t flush)
{
    (void)flush;
    memcpy(this_cpu->l3, l3, sizeof(this_cpu->l3));
}

void map_ldt_page(unsigned page, mfn_t mfn)
{
    BUG_ON(page >= GUEST_LDT_PAGES || frame_type(mfn_frame(mfn)) != FT_SEG);
}

void unmap_ldt_window(void)
{
}

void load_ldt_register(uint16_t selector)
{
    BUG_ON(selector && selector != LDT_SELECTOR);
}

void write_back_caches(void)
{
    seen.flushes++;
}

void tlb_flush_copies(uint32_t mask)
{
    (void)mask;
}

void tlb_flush_mask(uint32_t mask)
{
    (void)mask;
    seen.flushes++;
}

void tlb_flush_one_mask(uint32_t mask, uint32_t va)
{
    (void)mask;
    (void)va;
    seen.flushes++;
}

void vcpu_unmap_info(struct vcpu *v)
{
    if (v->info_mfn != INVALID_MFN)
        put_frame_and_type(mfn_frame(v->info_mfn));
    v->info_mfn = INVALID_MFN;
}
