/* SPDX-License-Identifier: MIT */
/*
 * model_types.c: every count from scratch. See model_types.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_types.h"
#include <ringlet/grant.h>

/* What guides the fuzzer is where mm/ goes, not where the model goes. */
#ifdef __clang__
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)
#endif

enum { DOMAINS = 4, GRANTS = 16 };

/* What the model says of one frame. */
struct modelled {
    uint32_t general, count, type; /* type: FT_TYPE and FT_TOP, where count is not zero */
    bool visited, interrupted;     /* interrupted: an unfinished piece of work owns a reference */
    bool linker, linked;           /* an L2 that names, or is named by, another */
    uint8_t tops;                  /* L3s that have it in slot 3 */
    uint16_t links;                /* other L2s' entries that name it */
};

static struct modelled model[MODEL_FRAMES], trial[MODEL_FRAMES];
static uint32_t pinned[MODEL_FRAMES]; /* FT_*; 0: not */
static bool trusted[DOMAINS];
/* Entries of top L2s that name what their slot has in common. */
static uint32_t common_users[DOMAINS][L2_FIRST_HYPERVISOR_SLOT];
/* Entries that a domain has for frames of others, less its handles for them: all, and writable. */
static int foreign[DOMAINS][MODEL_FRAMES][2];

#define MUST(x) ((x) ? (void)0 : wrong(#x, __LINE__, mfn))

static noreturn void wrong(const char *what, int line, mfn_t mfn)
{
    fprintf(stderr, "model_types.c:%d: frame %x: not %s\n", line, mfn, what);
    if (mfn < MODEL_FRAMES) {
        const struct frame *f = mfn_frame(mfn);
        const struct modelled *m = &model[mfn];

        fprintf(stderr, "frame: count %08x type %08x owner %u done %u\n", f->count_info,
                f->type_info, f->owner, f->nr_done);
        fprintf(stderr, "model: general %u count %u type %08x pin %08x\n", m->general, m->count,
                m->type, pinned[mfn]);
    }
    abort();
}

static const pte_t *table_of(mfn_t mfn)
{
    return direct_map((maddr_t)mfn << PAGE_SHIFT);
}

static bool is_table(uint32_t type)
{
    return (type & FT_TYPE) == FT_L1 || (type & FT_TYPE) == FT_L2 || (type & FT_TYPE) == FT_L3;
}

static unsigned entries_of(uint32_t type)
{
    if ((type & FT_TYPE) == FT_L3)
        return 4;
    return type & FT_TOP ? L2_FIRST_HYPERVISOR_SLOT : 512;
}

/* --- From scratch ----------------------------------------------------------------------------- */

static void visit(mfn_t mfn);

/* A reference that cares what the frame is used as. */
static void typed(mfn_t mfn, uint32_t type)
{
    struct modelled *m = &model[mfn];

    MUST(mfn < MODEL_FRAMES);
    MUST(!m->count || m->type == type);
    m->general++;
    m->count++;
    m->type = type;
    if (is_table(type) && !m->visited) {
        m->visited = true;
        visit(mfn);
    }
}

/* A table that somebody has begun to validate or to undo: its own words tell what as. */
static void interrupted(mfn_t mfn)
{
    const struct frame *f = mfn_frame(mfn);

    MUST(is_table(f->type_info));
    model[mfn].interrupted = true;
    typed(mfn, f->type_info & FT_TYPE_AND_TOP);
}

static bool may_have_hardware(const struct domain *d)
{
    return d->iomem.n;
}

static void l1_entry(mfn_t mfn, pte_t e)
{
    const struct domain *d = frame_owner(mfn_frame(mfn));
    uint64_t target = pte_frame64(e), plain = 0xE67 | PTE_NX | PTE_ADDR;
    const struct frame *f;

    MUST(!(e & ~(plain | (may_have_hardware(d) ? 0x98 : 0))));
    if (target >= MODEL_IO_START) {
        MUST(may_have_hardware(d));
        return;
    }
    f = mfn_frame(target);
    if (f->owner != d->slot) {
        foreign[d->slot][target][0]++;
        foreign[d->slot][target][1] += !!(e & PTE_RW);
    }
    if (e & PTE_RW)
        typed(target, FT_WRITABLE);
    else
        model[target].general++;
}

/* A top L2's entry. What is common is told by the hypervisor, but counted here. true: it is. */
static bool common_entry(mfn_t mfn, unsigned slot, pte_t e)
{
    const struct domain *d = frame_owner(mfn_frame(mfn));
    const struct common_l1 *c = &d->common_l1s[slot];

    if (!c->users || pte_frame64(e) != c->entry >> PAGE_SHIFT)
        return false;
    if (!common_users[d->slot][slot]++)
        typed(pte_mfn(e), FT_L1);
    return true;
}

static void l2_entry(mfn_t mfn, pte_t e)
{
    uint64_t target = pte_frame64(e);

    MUST(!(e & ~(0xE67 | PTE_NX | PTE_ADDR)) && target < MODEL_IO_START);
    MUST(mfn_frame(target)->owner == mfn_frame(mfn)->owner);
    /* The one thing that contents do not tell: whether the L2 meant is used as one. */
    if (frame_type(mfn_frame(target)) != FT_L2) {
        typed(target, FT_L1);
        return;
    }
    MUST(!(e & PTE_RW));
    MUST((mfn_frame(target)->type_info & (FT_TOP | FT_BARE)) != FT_TOP);
    if (target == mfn)
        return;
    model[mfn].linker = model[target].linked = true;
    model[target].links++;
    typed(target, mfn_frame(target)->type_info & FT_TYPE_AND_TOP);
}

static void l3_entry(mfn_t mfn, unsigned slot, pte_t e)
{
    uint64_t target = pte_frame64(e);

    MUST(!(e & ~(0xE67 | PTE_ADDR)) && target < MODEL_IO_START);
    MUST(mfn_frame(target)->owner == mfn_frame(mfn)->owner);
    model[target].tops += slot == 3;
    typed(target, slot == 3 ? FT_L2 | FT_TOP : FT_L2);
}

/* Every reference that the entries of a table hold. */
static void visit(mfn_t mfn)
{
    const struct frame *f = mfn_frame(mfn);
    const pte_t *table = table_of(mfn);
    uint32_t type = model[mfn].type;
    unsigned n = f->type_info & FT_VALIDATED ? entries_of(type) : f->nr_done;

    MUST(n <= entries_of(type));
    for (unsigned i = 0; i < n; i++) {
        if (!(table[i] & PTE_P))
            continue;
        if ((type & FT_TYPE) == FT_L1)
            l1_entry(mfn, table[i]);
        else if ((type & FT_TYPE) == FT_L3)
            l3_entry(mfn, i, table[i]);
        else if (!(type & FT_TOP) || !common_entry(mfn, i, table[i]))
            l2_entry(mfn, table[i]);
        /* An interrupted undoing may have gone one level down. */
        if (!(f->type_info & FT_VALIDATED) && i == n - 1 && (type & FT_TYPE) != FT_L1)
            model[pte_mfn(table[i])].interrupted = true;
    }
    if (!(type & FT_TOP) || !(f->type_info & FT_VALIDATED))
        return;
    for (unsigned i = L2_FIRST_HYPERVISOR_SLOT; i < L2_ENTRIES; i++) {
        if (f->type_info & FT_BARE)
            MUST(!table[i]);
        else
            MUST(pte_mfn(table[i] & ((pte_t)1 << 40) - 1) == 0 && (table[i] & PTE_G));
    }
}

static void page_list(const struct domain *d)
{
    mfn_t before = 0, mfn = d->page_list;
    uint32_t n = 0;

    for (; mfn; before = mfn, mfn = mfn_frame(mfn)->next, n++) {
        MUST(mfn < MODEL_FRAMES && n < MODEL_FRAMES);
        MUST(mfn_frame(mfn)->owner == d->slot && mfn_frame(mfn)->prev == before);
        MUST(!(mfn_frame(mfn)->count_info & FC_XEN));
    }
    MUST(n == d->tot_pages && (d->state != DOMAIN_ALIVE || n <= d->max_pages));
}

static void vcpu_holds(const struct vcpu *v)
{
    if (v->l3_frame != INVALID_MFN)
        typed(v->l3_frame, FT_L3);
    if (v->old_table != INVALID_MFN)
        interrupted(v->old_table);
    if (v->info_mfn != INVALID_MFN)
        typed(v->info_mfn, FT_WRITABLE);
    for (unsigned i = 0; i < DIV_ROUND_UP(v->gdt_entries, 512); i++)
        typed(v->gdt_frames[i], FT_SEG);
    for (unsigned i = 0; i < GUEST_LDT_PAGES; i++) {
        if (v->ldt_frames[i] != INVALID_MFN)
            typed(v->ldt_frames[i], FT_SEG);
    }
}

/* A handle's pins, counted for the granter's entry. */
static uint16_t pins[DOMAINS][GRANTS][2];

static void handles(const struct domain *d)
{
    const struct grant_table *gt = &d->grant;

    for (uint32_t h = 0; h < gt->nr_maptrack_frames * GRANT_MAPTRACK_PER_FRAME; h++) {
        const struct grant_maptrack *m =
            &gt->maptrack[h / GRANT_MAPTRACK_PER_FRAME][h % GRANT_MAPTRACK_PER_FRAME];
        bool write = !(m->flags & GNTMAP_readonly);

        if (m->flags & GNTMAP_host_map) {
            foreign[d->slot][m->mfn][0]--;
            foreign[d->slot][m->mfn][1] -= write;
            pins[m->granter->slot][m->ref][write]++;
        }
        if (m->flags & GNTMAP_device_map)
            pins[m->granter->slot][m->ref][write]++;
    }
}

static void grants(const struct domain *d)
{
    /* Nothing beyond the entries that fuzz_types.c names is ever pinned. */
    for (unsigned ref = 0; d->grant.active[0] && ref < GRANTS; ref++) {
        const struct grant_active *a = grant_active_entry(&d->grant, ref);
        const uint16_t *want = pins[d->slot][ref];
        mfn_t mfn = a->mfn;

        MUST(a->readers == want[0] && a->writers == want[1]);
        if (!a->pins || a->mfn == INVALID_MFN)
            continue;
        if (a->writers)
            typed(a->mfn, FT_WRITABLE);
        else
            model[a->mfn].general++;
    }
}

static void allocations_and_pins(void)
{
    for (mfn_t mfn = 0; mfn < MODEL_IO_START; mfn++) {
        const struct frame *f = mfn_frame(mfn);
        const struct domain *d = frame_owner(f);

        /* A dying domain's pins go one by one, without being asked. */
        if (!d || (d->state != DOMAIN_ALIVE && !(f->type_info & FT_PINNED)))
            pinned[mfn] = 0;
        if ((f->count_info & FC_ALLOCATED) && (f->count_info & FC_XEN) && d)
            typed(mfn, FT_WRITABLE);
        else if (f->count_info & FC_ALLOCATED)
            model[mfn].general++;
        if (pinned[mfn])
            typed(mfn, pinned[mfn]);
        if (f->type_info & FT_PARTIAL)
            interrupted(mfn);
    }
}

static void recompute(void)
{
    memset(model, 0, sizeof(model));
    memset(foreign, 0, sizeof(foreign));
    memset(pins, 0, sizeof(pins));
    memset(common_users, 0, sizeof(common_users));
    allocations_and_pins();
    for (const struct domain *d = domain_list; d; d = d->next)
        handles(d);
    for (const struct domain *d = domain_list; d; d = d->next) {
        mfn_t mfn = d->teardown_table;

        page_list(d);
        if (mfn != INVALID_MFN)
            interrupted(mfn);
        if (d->teardown_cursor)
            model[d->teardown_cursor].general++;
        for (unsigned i = 0; i < d->max_vcpus; i++)
            vcpu_holds(d->vcpus[i]);
        grants(d);
    }
}

/* --- Comparing -------------------------------------------------------------------------------- */

static void check_unused(mfn_t mfn, const struct frame *f)
{
    MUST(f->owner == OWNER_NONE && !(f->type_info & ~FT_TYPE));
    MUST(!(f->count_info & (FC_ALLOCATED | FC_XEN)) && !pinned[mfn]);
}

/* F1 to F10, but for C1. */
static void check_frame(mfn_t mfn)
{
    const struct frame *f = mfn_frame(mfn);
    const struct modelled *m = &model[mfn];
    uint32_t x = f->type_info;

    MUST((f->count_info & FC_COUNT) == m->general);
    MUST((x & FT_COUNT) == m->count && m->count <= m->general);
    if (!m->general) {
        check_unused(mfn, f);
        return;
    }
    MUST(!m->count || (x & FT_TYPE_AND_TOP) == m->type);
    MUST(!(x & FT_PINNED) == !pinned[mfn]);
    MUST(m->count || !(x & (FT_PINNED | FT_PARTIAL | FT_TOP | FT_LINKER | FT_LINKED | FT_BARE)));
    if (!m->count)
        return;
    MUST(!(x & FT_BARE) || (x & FT_TOP));
    MUST(!(x & FT_PARTIAL) || !(x & FT_VALIDATED));
    MUST((x & FT_VALIDATED) || (m->interrupted && m->count == 1));
    MUST(!(m->linker && m->linked) && !((x & FT_LINKER) && (x & FT_LINKED)));
    MUST(!m->linker || (x & FT_LINKER));
    MUST(!m->linked || (x & FT_LINKED));
    MUST(m->tops <= 1 && m->count >= m->tops);
    MUST(!(x & FT_TOP) || m->interrupted ||
         m->count == m->tops + m->links + !!pinned[mfn] + !!(x & FT_PARTIAL));
}

/* C1 */
static void check_common(const struct domain *d)
{
    for (unsigned i = 0; i < L2_FIRST_HYPERVISOR_SLOT; i++) {
        const struct common_l1 *c = &d->common_l1s[i];
        mfn_t mfn = c->entry >> PAGE_SHIFT;

        MUST(c->users == common_users[d->slot][i]);
        MUST(!c->entry == !c->users);
    }
}

/* G3: no entry for another's frame but by a handle. */
static void check_foreign(const struct domain *d)
{
    for (mfn_t mfn = 0; mfn < MODEL_IO_START; mfn++)
        MUST(foreign[d->slot][mfn][0] <= 0 && foreign[d->slot][mfn][1] <= 0);
}

void model_check(void)
{
    recompute();
    for (mfn_t mfn = 0; mfn < MODEL_IO_START; mfn++)
        check_frame(mfn);
    for (const struct domain *d = domain_list; d; d = d->next) {
        check_common(d);
        if (!d->privileged && !trusted[d->slot])
            check_foreign(d);
    }
}

void model_reset(void)
{
    memset(pinned, 0, sizeof(pinned));
    memset(trusted, 0, sizeof(trusted));
}

void model_pin(mfn_t mfn, uint32_t type)
{
    MUST(!pinned[mfn]);
    pinned[mfn] = type;
}

void model_unpin(mfn_t mfn)
{
    MUST(pinned[mfn]);
    pinned[mfn] = 0;
}

bool model_is_pinned(mfn_t mfn)
{
    return mfn < MODEL_FRAMES && pinned[mfn];
}

void model_trust(const struct domain *d)
{
    if (d->slot < DOMAINS)
        trusted[d->slot] = true;
}

uint32_t model_type_count(mfn_t mfn)
{
    return model[mfn].count;
}

uint32_t model_type(mfn_t mfn)
{
    return model[mfn].type;
}

/* --- Trying ----------------------------------------------------------------------------------- */

static enum verdict try_get(uint64_t mfn, const struct domain *d, uint32_t type);

bool may_reach(uint64_t mfn, const struct domain *d)
{
    return mfn < MODEL_IO_START && frame_table[mfn].owner == d->slot && model[mfn].general;
}

static enum verdict try_l1(pte_t e, const struct domain *d, const struct domain *owner)
{
    uint64_t mfn = pte_frame64(e);

    if (!(e & PTE_P))
        return YES;
    if (e & ~(0xE67 | PTE_NX | PTE_ADDR | (may_have_hardware(d) ? 0x98 : 0)))
        return NO;
    if (mfn >= MODEL_IO_START)
        return may_have_hardware(d) && mfn < 1 << 24 ? YES : NO;
    if (e & PTE_RW)
        return try_get(mfn, owner, FT_WRITABLE);
    return may_reach(mfn, owner) ? YES : NO;
}

static enum verdict try_l2(pte_t e, mfn_t table, const struct domain *d)
{
    uint64_t mfn = pte_frame64(e);
    struct modelled *m = &trial[mfn < MODEL_FRAMES ? mfn : 0];

    if (!(e & PTE_P))
        return YES;
    if ((e & ~(0xE67 | PTE_NX | PTE_ADDR)) || mfn >= MODEL_IO_START)
        return NO;
    if (!m->count || (m->type & FT_TYPE) != FT_L2)
        return try_get(mfn, d, FT_L1);
    if (e & PTE_RW)
        return NO;
    if (mfn == table)
        return YES;
    if (trial[table].linked || m->linker)
        return NO;
    trial[table].linker = m->linked = true;
    return try_get(mfn, d, m->type);
}

static enum verdict try_l3(pte_t e, unsigned slot, const struct domain *d)
{
    enum verdict v;

    if (!(e & PTE_P))
        return YES;
    if (e & ~(0xE67 | PTE_ADDR))
        return NO;
    v = try_get(pte_frame64(e), d, slot == 3 ? FT_L2 | FT_TOP : FT_L2);
    if (v == YES && slot == 3 && trial[pte_frame64(e)].count != 1)
        return trial[pte_frame64(e)].tops ? NO : UNSURE;
    return v;
}

static enum verdict try_segments(mfn_t mfn)
{
    const pte_t *table = table_of(mfn);

    for (unsigned i = 0; i < 512; i++) {
        struct desc desc = {table[i], table[i] >> 32};

        if (!check_descriptor(&desc))
            return NO;
    }
    return YES;
}

static enum verdict try_table(mfn_t mfn, const struct domain *d, uint32_t type)
{
    const pte_t *table = table_of(mfn);
    enum verdict v = YES;

    if (type == FT_SEG)
        return try_segments(mfn);
    if (type == FT_L3 && !(table[3] & PTE_P))
        return NO;
    for (unsigned i = 0; i < entries_of(type) && v == YES; i++) {
        if (type == FT_L1)
            v = try_l1(table[i], d, d);
        else if (type == FT_L3)
            v = try_l3(table[i], i, d);
        else
            v = try_l2(table[i], mfn, d);
    }
    return v;
}

static enum verdict try_get(uint64_t mfn, const struct domain *d, uint32_t type)
{
    struct modelled *m;

    if (!may_reach(mfn, d))
        return NO;
    m = &trial[mfn];
    if (m->count && (m->type != type))
        return NO;
    if (m->count && m->interrupted)
        return UNSURE;
    m->type = type;
    if (m->count++ || type == FT_WRITABLE)
        return YES;
    return try_table(mfn, d, type);
}

static void try_begin(void)
{
    memcpy(trial, model, sizeof(trial));
    /* Whether a table was once linked is history, not contents. */
    for (mfn_t mfn = 0; mfn < MODEL_FRAMES; mfn++) {
        trial[mfn].linker = mfn_frame(mfn)->type_info & FT_LINKER;
        trial[mfn].linked = mfn_frame(mfn)->type_info & FT_LINKED;
    }
}

enum verdict may_get(mfn_t mfn, const struct domain *d, uint32_t type)
{
    try_begin();
    return try_get(mfn, d, type);
}

/* An entry that stays but for bits that say nothing of the frame. */
static bool only_flags(pte_t old, pte_t e, uint64_t identity)
{
    return (e & PTE_P) && !((old ^ e) & (identity | PTE_P));
}

static enum verdict write_l1(pte_t old, pte_t e, const struct domain *d, const struct domain *owner)
{
    uint64_t mfn = pte_frame64(old);

    /* Nothing is said of flags that change on a map of another's frame. */
    if (only_flags(old, e, PTE_ADDR | PTE_RW) && mfn < MODEL_IO_START &&
        mfn_frame(mfn)->owner != owner->slot)
        return UNSURE;
    return try_l1(e, d, owner);
}

enum verdict may_write_entry(mfn_t table, unsigned index, pte_t e, const struct domain *d,
                             const struct domain *owner)
{
    const struct modelled *m = &model[table];
    pte_t old = table_of(table)[index];

    try_begin();
    if (!m->count || m->type == FT_WRITABLE)
        return YES;
    if (m->interrupted)
        return UNSURE;
    switch (m->type & FT_TYPE) {
    case FT_L1:
        return write_l1(old, e, d, owner);
    case FT_L2:
        if ((m->type & FT_TOP) && index >= L2_FIRST_HYPERVISOR_SLOT)
            return NO;
        if (only_flags(old, e, PTE_ADDR | PTE_RW))
            return e & ~(0xE67 | PTE_NX | PTE_ADDR) ? NO : YES;
        return try_l2(e, table, d);
    case FT_L3:
        if (index >= 3)
            return NO;
        if (only_flags(old, e, PTE_ADDR))
            return e & ~(0xE67 | PTE_ADDR) ? NO : YES;
        return try_l3(e, index, d);
    default:
        return NO;
    }
}

#ifdef __clang__
#pragma clang attribute pop
#endif
