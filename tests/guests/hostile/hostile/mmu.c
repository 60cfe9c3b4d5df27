/* SPDX-License-Identifier: MIT */
/*
 * mmu.c: page tables: single entries, whole tables, roots, and the memory behind them.
 *
 * Next: memory.c.
 */
#include "hostile.h"

#include <stddef.h>
#include <string.h>

#include <pv/start.h>
#include <pv/trap.h>

#define MOST 32
#define TABLE_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)
#define FIRST_HYPERVISOR_SLOT ((HOLE_BASE - VIRT_BASE) >> 21)
#define FREE_SLOT (((PLAYGROUND - VIRT_BASE) >> 21) + PLAYGROUND_TABLES)

/* --- entries of each level -------------------------------------------------------------------- */

static pte_t leaf_entry(void)
{
    const struct page *page = once_in(4) ? &arena[below(ARENA)] : leaf();
    uint64_t flags = PTE_P | (rnd() & (PTE_US | PTE_A | PTE_D | 0xE00));

    if (page->role == GONE || once_in(5))
        return 0;
    return pte_make(page->mfn, flags | (page < arena + LEAVES ? rnd() & PTE_RW : 0));
}

/* An L1, or a directory, its own or a top one among them, as a read-only linear map. */
static pte_t directory_entry(void)
{
    if (once_in(24))
        return pte_make(root_l2, TABLE_FLAGS & ~PTE_RW);

    const struct page *page = page_of(!once_in(6) ? L1_TABLE : once_in(3) ? TOP_L2 : L2_TABLE);

    if (!page || once_in(5))
        return 0;
    return pte_make(page->mfn, page->role == L1_TABLE ? TABLE_FLAGS : TABLE_FLAGS & ~PTE_RW);
}

static pte_t root_entry(void)
{
    const struct page *page = page_of(L2_TABLE);

    return page && !once_in(4) ? pte_make(page->mfn, PTE_P) : 0;
}

/* --- mmu_update ------------------------------------------------------------------------------- */

static void directory_request(struct mmu_update *r)
{
    const struct page *page = page_of(once_in(3) ? TOP_L2 : L2_TABLE);

    if (!page || page->role == TOP_L2)
        r->ptr = entry_at(page ? page->mfn : root_l2, FREE_SLOT + below(2));
    else
        r->ptr = entry_at(page->mfn, below(512));
    r->val = directory_entry();
}

static void compose(struct mmu_update *r)
{
    const struct page *page;

    switch (below(10)) {
    case 0:
    case 1:
        directory_request(r);
        break;
    case 2:
        page = page_of(L3_TABLE);
        r->ptr = entry_at(page && !once_in(3) ? page->mfn : root_l3, below(3));
        r->val = root_entry();
        break;
    case 3:
        page = leaf();
        r->ptr = entry_at(page->mfn, 0) | MMU_MACHPHYS_UPDATE;
        r->val = page->pfn;
        return;
    case 4:
        r->ptr = entry_at(leaf()->mfn, below(512));
        r->val = rnd();
        break;
    default:
        page = page_of(L1_TABLE);
        r->ptr = entry_at(page && once_in(2) ? page->mfn : playground_l1[below(2)], below(512));
        r->val = leaf_entry();
        break;
    }
    if (once_in(4))
        r->ptr |= MMU_PT_UPDATE_PRESERVE_AD;
}

static void spoil_request(struct mmu_update *r)
{
    switch (below(5)) {
    case 0:
        r->ptr = spoil_bits(r->ptr, once_in(2) ? 12 : 34);
        break;
    case 1:
        r->ptr = entry_at(any_frame(), below(512)) | below(4);
        break;
    default:
        r->val = spoil_entry(r->val);
    }
}

static void check_done(const char *what, int rc, uint32_t done, uint32_t count)
{
    if (rc == 0 ? done != count : done >= count && count != 0)
        violated("%s answers %d with %lu of %lu done", what, rc, (unsigned long)done,
                 (unsigned long)count);
}

enum outcome op_mmu_update(bool mutate)
{
    uint32_t count = 1 + below(once_in(8) ? MOST : 4), spoilt = below(count), domid = DOMID_SELF;
    /* Twice as many as used: a count that lies a little finds zeroes behind. */
    struct mmu_update requests[2 * MOST] = {0}, *list = requests;
    unsigned int done = 0;
    bool lies = false;
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        compose(&list[i]);
        if (mutate && i == spoilt)
            spoil_request(&list[i]);
        if (!may_write_entry(list[i].ptr, list[i].val))
            return SKIPPED;
        trace("  ptr %llx val %llx", list[i].ptr, list[i].val);
    }
    if (mutate && once_in(6))
        domid = any_domid() | (once_in(3) ? (uint32_t)any_domid() << 16 : 0);
    if (mutate && once_in(16)) {
        /* Not at linear 0: where a linear map shows this guest's own L1 there, two of its entries are
         * a good request, to overwrite the first one's frame. */
        list = foreign_pointer();
        lies = true;
    }
    if (mutate && once_in(16)) {
        count = once_in(2) ? count + below(MOST) : 0x10000000u << below(4);
        lies = true;
    }
    rc = hv_mmu_update(list, count, mutate && once_in(16) ? bad_pointer() : &done, domid);
    if (!mutate && !lies)
        check_done("mmu_update", rc, done, count);
    return rc == 0 ? DONE : REFUSED;
}

/* --- update_va_mapping ------------------------------------------------------------------------ */

static const uint32_t flush_flags[] = {
    UVMF_NONE,   UVMF_INVLPG, UVMF_TLB_FLUSH, UVMF_INVLPG | UVMF_ALL, UVMF_TLB_FLUSH | UVMF_ALL,
    UVMF_INVLPG,
};

static uint32_t some_va(void)
{
    const struct page *page = &arena[below(ARENA)];

    if (once_in(6) && page->role != GONE)
        return (uint32_t)page->va;
    if (once_in(6))
        return rnd() % VIRT_BASE; /* through directories of the arena, if there are any */
    return PLAYGROUND + (below(PLAYGROUND_SIZE >> PAGE_SHIFT) << PAGE_SHIFT);
}

enum outcome op_va_mapping(bool mutate)
{
    uint32_t va = some_va(), flags = flush_flags[below(6)];
    const struct page *page = NULL;
    pte_t val = leaf_entry();
    int rc;

    if (va >= VIRT_BASE && va < PLAYGROUND)
        page = &arena[0];
    for (; page && page < arena + ARENA; page++)
        if ((uint32_t)page->va == va)
            val = pte_make(page->mfn, page->role == DATA ? PAGE_KERNEL : PAGE_KERNEL_RO);
    if (mutate) {
        if (once_in(2))
            val = spoil_entry(val);
        if (once_in(4))
            va = spoil_bits(va, 32);
        if (once_in(8))
            flags = once_in(2) ? rnd() & 7 : (uint32_t)bad_pointer() | UVMF_INVLPG;
    }
    if (!may_map_at(va, val))
        return SKIPPED;
    trace("  va %lx val %llx flags %lx", (unsigned long)va, val, (unsigned long)flags);
    if (mutate && once_in(6))
        rc = hv_update_va_mapping_otherdomain((void *)va, val, flags, any_domid());
    else
        rc = hv_update_va_mapping((void *)va, val, flags);
    return rc == 0 ? DONE : REFUSED;
}

/* --- whole tables ----------------------------------------------------------------------------- */

static void fill(struct page *page, enum role role)
{
    uint32_t density = below(4) * 16;

    memset(page->va, 0, PAGE_SIZE);
    switch (role) {
    case L1_TABLE:
        for (uint32_t i = 0; i < 512; i++)
            page->va[i] = below(64) < density ? leaf_entry() : 0;
        break;
    case L2_TABLE:
        for (uint32_t i = 0; i < density / 4; i++)
            page->va[below(512)] = directory_entry();
        if (once_in(4))
            page->va[below(512)] = pte_make(page->mfn, TABLE_FLAGS & ~PTE_RW);
        break;
    case TOP_L2:
        memcpy(page->va, root_l2_va, PAGE_SIZE);
        break;
    default: /* a root: the top directory must be nobody else's, or the root will be refused */
        for (uint32_t i = 0; i < 3; i++)
            page->va[i] = root_entry();
        page->va[3] = pte_make(page_of(TOP_L2)->mfn, PTE_P);
    }
}

static int pin(const struct page *page, unsigned int cmd)
{
    return mmuext_frame(cmd, page->mfn, DOMID_SELF);
}

static const unsigned int pin_command[] = {
    [L1_TABLE] = MMUEXT_PIN_L1_TABLE,
    [L2_TABLE] = MMUEXT_PIN_L2_TABLE,
    [L3_TABLE] = MMUEXT_PIN_L3_TABLE,
};

/* One bad entry makes the table bad. */
static bool spoil_table(struct page *page, enum role role)
{
    uint32_t slot = below(role == L3_TABLE ? 4 : role == TOP_L2 ? FIRST_HYPERVISOR_SLOT : 512);

    if (role == TOP_L2)
        slot = FREE_SLOT + below(2);
    page->va[slot] = spoil_entry(page->va[slot] ? page->va[slot] : leaf_entry());
    return may_write_entry(entry_at(page->mfn, slot), page->va[slot]);
}

enum outcome op_build(bool mutate)
{
    static const enum role roles[] = {L1_TABLE, L1_TABLE, L1_TABLE, L2_TABLE,
                                      L2_TABLE, TOP_L2,   L3_TABLE};
    enum role role = roles[below(sizeof(roles) / sizeof(roles[0]))];
    struct page *page = page_of(DATA);
    int rc = 0;

    if (!page || (role == L3_TABLE && !page_of(TOP_L2)))
        return SKIPPED;
    trace("  mfn %lx becomes a table of kind %d", (unsigned long)page->mfn, role);
    sweep(page->mfn);
    if (!make_writable(page))
        return SKIPPED;
    page->role = role; /* the fence looks at it */
    fill(page, role);
    if (mutate && !spoil_table(page, role)) {
        memset(page->va, 0, PAGE_SIZE);
        page->role = DATA;
        return SKIPPED;
    }
    if (!make_readonly(page))
        violated("a frame of one's own is not mapped read-only");
    if (role != TOP_L2 && !once_in(4)) /* else it is checked when something names it */
        rc = pin(page, pin_command[role]);
    page->pinned = rc == 0 && role != TOP_L2;
    if (rc != 0 && make_writable(page))
        page->role = DATA;
    return rc == 0 ? DONE : REFUSED;
}

enum outcome op_destroy(bool mutate)
{
    struct page *page = page_of(L1_TABLE + below(4));
    int rc;

    if (mutate) {
        uint32_t mfn = any_frame();

        if (is_private(mfn))
            return SKIPPED;
        page = page_with_mfn(mfn);
        rc = mmuext_frame(MMUEXT_UNPIN_TABLE, mfn, once_in(4) ? any_domid() : DOMID_SELF);
        if (rc == 0 && page)
            page->pinned = false;
        return rc == 0 ? DONE : REFUSED;
    }
    if (!page)
        return SKIPPED;
    trace("  mfn %lx, a table of kind %d, is unpinned", (unsigned long)page->mfn, page->role);
    rc = pin(page, MMUEXT_UNPIN_TABLE);
    page->pinned = false;
    /* Others may name it still; then it remains a table, and the model keeps it as one. */
    if (make_writable(page)) {
        page->role = DATA;
        return DONE;
    }
    return rc == 0 ? DONE : SKIPPED;
}

/* --- mmuext_op -------------------------------------------------------------------------------- */

static void compose_ext(struct mmuext_op *op)
{
    static const unsigned int harmless[] = {
        MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_INVLPG_LOCAL, MMUEXT_TLB_FLUSH_MULTI, MMUEXT_INVLPG_MULTI,
        MMUEXT_TLB_FLUSH_ALL,   MMUEXT_INVLPG_ALL,   MMUEXT_CLEAR_PAGE,      MMUEXT_COPY_PAGE,
    };
    static unsigned long masks[] = {1, 2, 4, 8, 15, ~0ul};

    op->cmd = harmless[below(sizeof(harmless) / sizeof(harmless[0]))];
    if (op->cmd == MMUEXT_CLEAR_PAGE || op->cmd == MMUEXT_COPY_PAGE)
        op->arg1.mfn = leaf()->mfn;
    else
        op->arg1.linear_addr = some_va();
    if (op->cmd == MMUEXT_COPY_PAGE)
        op->arg2.src_mfn = arena[below(ARENA)].mfn;
    else
        set_xen_guest_handle(op->arg2.vcpumask, &masks[below(vcpus > 1 ? 6 : 1)]);
}

static void spoil_ext(struct mmuext_op *op)
{
    switch (below(4)) {
    case 0:
        op->cmd = below(24);
        break;
    case 1:
        op->arg1.mfn = any_frame();
        break;
    case 2:
        op->arg2.src_mfn = once_in(2) ? any_frame() : (uint32_t)bad_pointer();
        break;
    default:
        op->cmd = MMUEXT_PIN_L1_TABLE + below(4);
        op->arg1.mfn = any_frame();
    }
}

/* Whatever the answer: no private frame is overwritten, and the root stays a good one. */
static bool may_do(const struct mmuext_op *op)
{
    bool writes = op->cmd == MMUEXT_CLEAR_PAGE || op->cmd == MMUEXT_COPY_PAGE;

    if (op->cmd == MMUEXT_NEW_BASEPTR)
        return may_run_on(op->arg1.mfn);
    return !(writes && is_private(op->arg1.mfn));
}

enum outcome op_mmuext(bool mutate)
{
    struct mmuext_op ops[16] = {0}, *list = ops;
    uint32_t count = 1 + below(4), spoilt = below(count), done = 0;
    int rc;

    for (uint32_t i = 0; i < 16; i++)
        ops[i].cmd = MMUEXT_TLB_FLUSH_LOCAL;
    for (uint32_t i = 0; i < count; i++) {
        compose_ext(&ops[i]);
        if (mutate && i == spoilt)
            spoil_ext(&ops[i]);
        if (!may_do(&ops[i]))
            return SKIPPED;
        trace("  cmd %u arg1 %lx arg2 %x", ops[i].cmd, ops[i].arg1.linear_addr,
              ops[i].arg2.nr_ents);
    }
    if (mutate && once_in(16))
        list = bad_pointer();
    if (mutate && once_in(16))
        count = once_in(2) ? count + below(8) : 0x8000000u << below(5);
    rc = hv_mmuext_op(list, count, mutate && once_in(16) ? bad_pointer() : (void *)&done,
                      mutate && once_in(6) ? any_domid() : DOMID_SELF);
    if (!mutate)
        check_done("mmuext_op", rc, done, count);
    return rc == 0 ? DONE : REFUSED;
}

bool back_to_root(void)
{
    return mmuext_frame(MMUEXT_NEW_BASEPTR, root_l3, DOMID_SELF) == 0;
}

enum outcome op_new_root(bool mutate)
{
    const struct page *page = page_of(L3_TABLE);
    uint32_t mfn = mutate ? any_frame() : once_in(2) || !page ? root_l3 : page->mfn;
    int rc;

    if (!may_run_on(mfn))
        return SKIPPED;
    trace("  mfn %lx", (unsigned long)mfn);
    rc = mmuext_frame(MMUEXT_NEW_BASEPTR, mfn, DOMID_SELF);
    if (mfn == root_l3 && rc != 0)
        violated("this guest's own root is refused: %d", rc);
    return rc == 0 ? DONE : REFUSED;
}

/* --- memory ----------------------------------------------------------------------------------- */

/*
 * Write through some address. What is written would be a page-table entry of the worst kind: where
 * a stale translation still leads into a page table, the next audit finds it there.
 */
enum outcome op_touch(bool mutate)
{
    uint32_t va = PLAYGROUND + (below(PLAYGROUND_SIZE >> PAGE_SHIFT) << PAGE_SHIFT), word;
    uint32_t *place = (uint32_t *)(va + below(512) * 8);
    const struct page *page;
    pte_t pte;

    if (va >= PLAYGROUND + (PLAYGROUND_TABLES << 21)) /* other roots may differ there */
        return try_read(place, &word) ? DONE : REFUSED;
    pte = pte_read((void *)va, 1);
    page = pte & PTE_P ? page_with_mfn(pte_mfn(pte)) : NULL;
    if (!page)
        return SKIPPED;
    if (!mutate || !(pte & PTE_RW))
        return try_read(place, &word) ? DONE : REFUSED;
    return try_write(place, pte_make(0x400, PAGE_KERNEL)) ? DONE : REFUSED;
}

/*
 * What may never succeed, in no state: a writable map of one's own tables or of a page the
 * hypervisor only shows, entries of the hypervisor's, large pages, another's frame.
 */
enum outcome op_forbidden(bool mutate)
{
    uint64_t slot = entry_at(playground_l1[below(2)], below(512));
    struct mmu_update r = {.ptr = slot};
    const char *what = "";

    (void)mutate;
    switch (below(7)) {
    case 0:
        what = "a writable map of its own root";
        r.val = pte_make(root_l3, PAGE_KERNEL);
        break;
    case 1:
        what = "a writable map of its own page table";
        r.val = pte_make(playground_l1[below(2)], PAGE_KERNEL);
        break;
    case 2:
        what = "the hypervisor's frame";
        r.val = pte_make(0x400 + below(16), PTE_P | (rnd() & PTE_RW));
        break;
    case 3:
        what = "a large page";
        r.ptr = entry_at(root_l2, FREE_SLOT + below(2));
        r.val = pte_make(leaf()->mfn & ~511u, PTE_P | PTE_PS | (rnd() & PTE_RW));
        break;
    case 4:
        what = "an entry of the hypervisor's slots";
        r.ptr = entry_at(root_l2, FIRST_HYPERVISOR_SLOT + below(512 - FIRST_HYPERVISOR_SLOT));
        break;
    case 5:
        what = "a new top directory in a live root";
        r.ptr = entry_at(root_l3, 3);
        break;
    default:
        what = "a writable directory in a directory";
        r.ptr = entry_at(root_l2, FREE_SLOT + below(2));
        r.val = pte_make(root_l2, TABLE_FLAGS);
        break;
    }
    back_to_root(); /* so that the guest's own tables are in use */
    trace("  %s: ptr %llx val %llx", what, r.ptr, r.val);
    if (hv_mmu_update(&r, 1, NULL, DOMID_SELF) == 0)
        violated("allowed: %s", what);
    return REFUSED;
}
