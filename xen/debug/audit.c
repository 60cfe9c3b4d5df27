/* SPDX-License-Identifier: MIT */
/*
 * audit.c: recompute what every frame's counts must be from everything that refers to frames, and
 * compare.
 *
 * The counts in the frame table are kept by thousands of small steps. Here they are derived once
 * more, slowly and from the other side: every page list, page table, pin, root, descriptor table,
 * registered page, event page and grant is visited, and each reference it should hold is written
 * down. A frame whose counts then differ has been forgotten or counted twice somewhere, and that is
 * how one guest gets at another's memory. So this is what the hostile tests run after each batch.
 *
 * Beyond counts: frames are on the page list of their owner and on no other, tot_pages and
 * heap_pages are right, writable entries point to writable frames and table entries to tables of
 * the level below, what top L2s have in common is counted right, free blocks add up, and F1 to F10.
 *
 * The sums are in scratch frames, 12 bytes for each frame audited, allocated only where there is
 * something to write down. Runs with interrupts off, from a console key or a test's hypercall: one
 * at a time, and nothing may change meanwhile, so with more CPUs the others must be stopped.
 *
 * Read next: frame.h (F1 to F10), grant.h (G1 to G3).
 */
#include <ringlet/console.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/ports.h>

struct sums {
    uint32_t general, type;
    uint32_t common; /* an L1's: entries that name it and hold nothing of their own (C1) */
};
#define SUMS_PER_FRAME (PAGE_SIZE / sizeof(struct sums))

/* One audit's state. */
static struct {
    mfn_t *scratch; /* scratch frame for each SUMS_PER_FRAME frames; 0: all its sums are zero */
    unsigned scratch_order;
    unsigned differences;
    uint32_t owned[NR_DOMAIN_SLOTS], heap[NR_DOMAIN_SLOTS]; /* frames found with this owner */
} audit;

/* --- Finding something ------------------------------------------------------------------------ */

/* Note a difference; the first is printed. */
static void differ(mfn_t mfn, const char *what)
{
    const struct frame *f;

    if (audit.differences++)
        return;
    if (mfn >= max_frame) {
        printk("audit: %s\n", what);
        return;
    }
    f = mfn_frame(mfn);
    printk("audit: frame %x, owner slot %u, count %08x, type %08x, %u entries: %s\n", mfn, f->owner,
           f->count_info, f->type_info, f->nr_done, what);
}

static void compare(mfn_t mfn, const struct sums *want)
{
    const struct frame *f = mfn_frame(mfn);

    if ((f->count_info & FC_COUNT) == want->general && (f->type_info & FT_COUNT) == want->type)
        return;
    differ(mfn, "counts differ");
    if (audit.differences == 1)
        printk("audit: expected count %u, type count %u\n", want->general, want->type);
}

/* --- Sums ------------------------------------------------------------------------------------- */

static bool sums_init(void)
{
    uint32_t bytes = DIV_ROUND_UP(max_frame, SUMS_PER_FRAME) * sizeof(mfn_t);

    for (audit.scratch_order = 0; (uint32_t)PAGE_SIZE << audit.scratch_order < bytes;
         audit.scratch_order++)
        ;
    audit.differences = 0;
    memset(audit.owned, 0, sizeof(audit.owned));
    memset(audit.heap, 0, sizeof(audit.heap));
    audit.scratch = heap_alloc_pages(audit.scratch_order);
    return audit.scratch != NULL;
}

static void sums_free(void)
{
    for (uint32_t i = 0; i < DIV_ROUND_UP(max_frame, SUMS_PER_FRAME); i++) {
        if (audit.scratch[i])
            free_frames(audit.scratch[i], 0);
    }
    heap_free_pages(audit.scratch, audit.scratch_order);
}

static struct sums sums_of(mfn_t mfn)
{
    struct sums sums = {0}, *page;

    if (audit.scratch[mfn / SUMS_PER_FRAME]) {
        page = map_frame(audit.scratch[mfn / SUMS_PER_FRAME]);
        sums = page[mfn % SUMS_PER_FRAME];
        unmap_frame(page);
    }
    return sums;
}

/* Something holds this many references to a frame, or so many entries have one in common. */
static void add(mfn_t mfn, uint32_t general, uint32_t type, uint32_t common)
{
    mfn_t *scratch = &audit.scratch[mfn / SUMS_PER_FRAME];
    struct sums *page;

    if (mfn >= max_frame) {
        differ(mfn, "a reference to a frame that does not exist");
        return;
    }
    if (!*scratch) {
        mfn_t new = alloc_frames(0, 0);

        if (new == INVALID_MFN) {
            differ(INVALID_MFN, "no memory for the audit");
            return;
        }
        *scratch = new;
    }
    page = map_frame(*scratch);
    page[mfn % SUMS_PER_FRAME].general += general;
    page[mfn % SUMS_PER_FRAME].type += type;
    page[mfn % SUMS_PER_FRAME].common += common;
    unmap_frame(page);
}

static void holds(mfn_t mfn, uint32_t general, uint32_t type)
{
    add(mfn, general, type, 0);
}

/* A general and a type reference, if there is a frame at all; the frame must have that type. */
static void holds_as(mfn_t mfn, uint32_t type)
{
    if (mfn == INVALID_MFN)
        return;
    holds(mfn, 1, 1);
    if (mfn < max_frame && frame_type(mfn_frame(mfn)) != type)
        differ(mfn, "used as something else than its type says");
}

/* --- Page tables ------------------------------------------------------------------------------ */

static bool is_page_table(const struct frame *f)
{
    return frame_type(f) >= FT_L1 && frame_type(f) <= FT_L3 && (f->type_info & FT_COUNT);
}

static void audit_l1_entry(mfn_t table, pte_t e, unsigned slot)
{
    uint64_t mfn = pte_frame64(e);

    (void)table;
    (void)slot;
    if (mfn >= max_frame || mfn_frame(mfn)->owner == OWNER_IO)
        return;
    if (e & PTE_RW)
        holds_as(mfn, FT_WRITABLE);
    else
        holds(mfn, 1, 0);
}

/* An L2's entry names an L1, or, as a linear map, an L2: itself without references, or another. */
static void audit_l2_entry(mfn_t table, pte_t e, unsigned slot)
{
    const struct frame *f = mfn_frame(table);
    mfn_t mfn = pte_mfn(e);
    bool linear = mfn < max_frame && frame_type(mfn_frame(mfn)) == FT_L2 && !(e & PTE_RW);

    if ((f->type_info & FT_TOP) && is_common_l1(e, &frame_owner(f)->common_l1s[slot])) {
        add(mfn, 0, 0, 1);
        return;
    }
    if (linear && (mfn_frame(mfn)->type_info & (FT_TOP | FT_BARE)) == FT_TOP)
        differ(mfn, "a linear map of the hypervisor's entries (F9)");
    if (mfn == table) {
        if (e & PTE_RW)
            differ(table, "a writable map of itself");
        return;
    }
    holds_as(mfn, linear ? FT_L2 : FT_L1);
}

static void audit_l3_entry(mfn_t table, pte_t e, unsigned slot)
{
    (void)table;
    (void)slot;
    holds_as(pte_mfn(e), FT_L2);
}

static void audit_table(mfn_t mfn, const struct frame *f)
{
    bool whole = f->type_info & FT_VALIDATED;
    const pte_t *table = map_frame(mfn);
    void (*entry)(mfn_t, pte_t, unsigned);
    unsigned n;

    switch (frame_type(f)) {
    case FT_L1:
        entry = audit_l1_entry;
        n = L1_ENTRIES;
        break;
    case FT_L2:
        entry = audit_l2_entry;
        n = f->type_info & FT_TOP ? L2_FIRST_HYPERVISOR_SLOT : L2_ENTRIES;
        break;
    default:
        entry = audit_l3_entry;
        n = L3_ENTRIES;
        break;
    }
    if (!whole)
        n = f->nr_done;
    for (unsigned i = 0; i < n; i++) {
        if (table[i] & PTE_P)
            entry(mfn, table[i], i);
    }
    unmap_frame(table);
}

/* --- Frames ----------------------------------------------------------------------------------- */

static void audit_flags(mfn_t mfn, const struct frame *f)
{
    uint32_t x = f->type_info;

    if ((f->count_info & FC_ALLOCATED) && !(f->count_info & FC_COUNT))
        differ(mfn, "allocated without a reference (F2)");
    if ((x & FT_PINNED) && !is_page_table(f))
        differ(mfn, "pinned, but no page table (F4)");
    if ((x & FT_PARTIAL) && (x & FT_VALIDATED))
        differ(mfn, "both validated and partly so (F6)");
    if ((x & (FT_TOP | FT_BARE)) && (x & FT_TYPE_AND_TOP) != (FT_L2 | FT_TOP))
        differ(mfn, "a flag of top L2s on something else (F7)");
    if ((x & FT_LINKER) && (x & FT_LINKED))
        differ(mfn, "a chain of linear maps (F8)");
    if ((x & FT_COUNT) && frame_type(f) == FT_WRITABLE && !(x & FT_VALIDATED))
        differ(mfn, "writable, but not validated (F5)");
}

/* What the frame's own words say it holds of itself, and, for a table, what it holds of others. */
static void audit_frame(mfn_t mfn)
{
    const struct frame *f = mfn_frame(mfn);

    if (f->owner == OWNER_IO || !(f->count_info & FC_COUNT)) {
        if (f->owner != OWNER_IO && (f->type_info & FT_COUNT || f->owner != OWNER_NONE))
            differ(mfn, "no references, but a type or an owner (F1)");
        return;
    }
    audit_flags(mfn, f);
    if (f->count_info & FC_ALLOCATED)
        holds(mfn, 1, (f->count_info & FC_XEN) && f->owner != OWNER_XEN);
    if (f->type_info & FT_PINNED)
        holds(mfn, 1, 1);
    if (f->type_info & FT_PARTIAL)
        holds(mfn, 1, 1);
    if (f->count_info & FC_XEN)
        audit.heap[f->owner]++;
    else
        audit.owned[f->owner]++;
    if (is_page_table(f))
        audit_table(mfn, f);
}

/* Free blocks: their heads say how long they are. */
static void audit_free(void)
{
    uint32_t free = 0;

    for (mfn_t mfn = 0; mfn < max_frame; mfn++) {
        if (mfn_frame(mfn)->count_info & FC_FREE)
            free += 1u << mfn_frame(mfn)->nr_done;
    }
    if (free != free_frame_count())
        differ(INVALID_MFN, "free blocks do not add up to the free count");
}

/* --- Domains ---------------------------------------------------------------------------------- */

static void audit_vcpu(const struct vcpu *v)
{
    holds_as(v->l3_frame, FT_L3);
    if (v->old_table != INVALID_MFN)
        holds(v->old_table, 1, 1);
    holds_as(v->info_mfn, FT_WRITABLE);
    for (unsigned i = 0; i < DIV_ROUND_UP(v->gdt_entries, 512); i++)
        holds_as(v->gdt_frames[i], FT_SEG);
    for (unsigned i = 0; i < GUEST_LDT_PAGES; i++)
        holds_as(v->ldt_frames[i], FT_SEG);
}

static void audit_grants(const struct domain *d)
{
    for (unsigned i = 0; i < GRANT_MAX_FRAMES; i++) {
        const struct grant_active *a = d->grant.active[i];

        for (unsigned k = 0; a && k < GRANT_V1_PER_FRAME; k++) {
            if ((a[k].readers | a[k].writers) && a[k].mfn != INVALID_MFN)
                holds(a[k].mfn, 1, a[k].writers != 0);
        }
    }
}

/* After the frames. An L1 is common in one slot (C2), so its sum is that slot's. */
static void audit_common_l1s(const struct domain *d)
{
    for (unsigned i = 0; i < L2_FIRST_HYPERVISOR_SLOT; i++) {
        const struct common_l1 *c = &d->common_l1s[i];
        mfn_t mfn = c->entry >> PAGE_SHIFT;

        if (!c->users && !c->entry)
            continue;
        holds_as(mfn, FT_L1);
        if (mfn >= max_frame || sums_of(mfn).common != c->users)
            differ(mfn, "not named by as many entries in common as are counted (C1)");
    }
}

static void holds_writable(mfn_t mfn)
{
    holds_as(mfn, FT_WRITABLE);
}

static void audit_page_list(const struct domain *d)
{
    uint32_t n = 0, before = 0;

    for (mfn_t mfn = d->page_list; mfn; mfn = mfn_frame(mfn)->next) {
        const struct frame *f = mfn_frame(mfn);

        if (f->owner != d->slot || f->prev != before || (f->count_info & FC_XEN)) {
            differ(mfn, "on the page list of another, or linked wrongly");
            return;
        }
        before = mfn;
        if (++n > max_frame)
            break;
    }
    if (n != d->tot_pages)
        differ(d->page_list, "the page list is not tot_pages long");
}

static void audit_domain(struct domain *d)
{
    const struct domain_part *part;
    struct vcpu *v;

    audit_page_list(d);
    if (d->tot_pages != audit.owned[d->slot])
        differ(d->page_list, "tot_pages is not the number of frames owned");
    if (d->heap_pages != audit.heap[d->slot])
        differ(INVALID_MFN, "heap_pages is not the number of heap pages shared");
    audit_common_l1s(d);
    if (d->teardown_table != INVALID_MFN)
        holds(d->teardown_table, 1, 1);
    if (d->teardown_cursor)
        holds(d->teardown_cursor, 1, 0);
    for_each_vcpu(d, v) audit_vcpu(v);
    audit_grants(d);
    for_each_record(domain_part, part)
    {
        if (part->visit_frames)
            part->visit_frames(d, holds_writable);
    }
}

static unsigned recompute(void)
{
    if (!sums_init()) {
        printk("audit: no memory\n");
        return 1;
    }
    for (mfn_t mfn = 0; mfn < max_frame; mfn++)
        audit_frame(mfn);
    for (struct domain *d = domain_list; d; d = d->next)
        audit_domain(d);
    for (mfn_t mfn = 0; mfn < max_frame; mfn++) {
        struct sums want = sums_of(mfn);

        if (mfn_frame(mfn)->owner != OWNER_IO)
            compare(mfn, &want);
    }
    audit_free();
    sums_free();
    return audit.differences;
}

/* The number of differences; 0 is as it must be. All CPUs stand still meanwhile. No lock is held. */
unsigned audit_frames(void)
{
    unsigned differences;

    gather_cpus();
    differences = recompute();
    release_cpus();
    return differences;
}

#ifndef NDEBUG
/*
 * Debug builds only, for tests: recompute the counts of every frame. Returns how many differ. The
 * number is one of those that the ABI leaves to each architecture and x86 does not use.
 *
 * All CPUs stand still for as long as it takes to visit the whole memory, and the caller pays for
 * one of them. So it serves privileged domains, which can type the key as well; others get -EPERM
 * unless the command line says `guest_audit`, as tests do.
 */
static asmlinkage long do_arch_7(void)
{
    if (!current->domain->privileged && !options.guest_audit)
        return -EPERM;
    return audit_frames();
}
HYPERCALL(arch_7);
#endif
