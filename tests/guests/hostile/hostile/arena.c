/* SPDX-License-Identifier: MIT */
/*
 * arena.c: the pages the hostile guest plays with, what it believes of them, and the fence around
 * everything else.
 *
 * The arena's pages are mapped in the linear map, writable or, where they serve as tables, not. Two
 * more page tables of the guest's own map the playground, whose entries may say anything. The
 * fence: nothing is issued that could change a private frame or an entry that maps one. Private is
 * each frame of this domain that is not in the arena.
 *
 * Next: mmu.c.
 */
#include "hostile.h"

#include <string.h>

#include <xen/memory.h>

#include <pv/start.h>
#include <pv/trap.h>

#define FIRST_HYPERVISOR_SLOT ((HOLE_BASE - VIRT_BASE) >> 21)
#define PLAYGROUND_SLOT ((PLAYGROUND - VIRT_BASE) >> 21)
#define FREE_SLOT (PLAYGROUND_SLOT + PLAYGROUND_TABLES) /* slots for tables of the arena's */
#define LAST_SLOT (PLAYGROUND_SLOT + (PLAYGROUND_SIZE >> 21) - 1)

struct page arena[ARENA];
uint32_t playground_l1[PLAYGROUND_TABLES], root_l3, root_l2;
uint64_t *root_l2_va;
uint32_t pfns = ANY_PFNS;

static uint32_t ram_frames; /* frames of the machine */
static uint8_t *arena_pfns; /* 1 + index for pages of the arena, by pfn */

static uint32_t table_mfn(const void *va, int level)
{
    return pte_mfn(pte_read(va, level));
}

void arena_init(void)
{
    arena_pfns = page_alloc();
    for (uint32_t i = 0; i < ARENA; i++) {
        struct page *page = &arena[i];

        page->va = page_alloc();
        page->pfn = ((uint32_t)page->va - VIRT_BASE) >> PAGE_SHIFT;
        page->mfn = pfn_to_mfn(page->pfn);
        if (page->pfn >= PAGE_SIZE)
            panic("too much memory for the arena's index");
        arena_pfns[page->pfn] = i + 1;
    }
    for (uint32_t i = 0; i < PLAYGROUND_TABLES; i++) {
        void *va = (char *)PLAYGROUND + (i << 21);

        playground_l1[i] = pte_machine_address(va) >> PAGE_SHIFT;
    }
    root_l3 = base_mfn();
    root_l2 = table_mfn((void *)VIRT_BASE, 3);
    root_l2_va = pfn_to_linear(mfn_to_pfn(root_l2));
    ram_frames = hv_memory_op(XENMEM_maximum_ram_page, NULL);
}

struct page *page_of(enum role role)
{
    uint32_t start = rnd();

    for (uint32_t i = 0; i < ARENA - LEAVES; i++) {
        struct page *page = &arena[LEAVES + (start + i) % (ARENA - LEAVES)];

        if (page->role == role)
            return page;
    }
    return NULL;
}

struct page *leaf(void)
{
    return &arena[below(LEAVES)];
}

struct page *page_with_mfn(uint32_t mfn)
{
    for (struct page *page = arena; page < arena + ARENA; page++)
        if (page->role != GONE && page->mfn == mfn)
            return page;
    return NULL;
}

bool is_private(uint64_t mfn)
{
    uint32_t pfn;

    if (mfn == start_info->shared_info >> PAGE_SHIFT)
        return true;
    if (mfn >= ram_frames || page_with_mfn(mfn))
        return false;
    pfn = mfn_to_pfn(mfn);
    return pfn != UINT32_MAX && !(pfn < PAGE_SIZE && arena_pfns[pfn]);
}

/* --- the linear map --------------------------------------------------------------------------- */

static bool map_linear(struct page *page, pte_t pte)
{
    return hv_update_va_mapping(page->va, pte, UVMF_INVLPG) == 0;
}

bool make_writable(struct page *page)
{
    return page->role != GONE && map_linear(page, pte_make(page->mfn, PAGE_KERNEL));
}

bool make_readonly(struct page *page)
{
    return page->role != GONE && map_linear(page, pte_make(page->mfn, PAGE_KERNEL_RO));
}

bool unmap_linear(struct page *page)
{
    return map_linear(page, 0);
}

void sweep(uint32_t mfn)
{
    for (uint32_t i = 0; i < PLAYGROUND_TABLES; i++) {
        const pte_t *table = pfn_to_linear(mfn_to_pfn(playground_l1[i]));

        for (uint32_t slot = 0; slot < 512; slot++) {
            struct mmu_update drop = {.ptr = entry_at(playground_l1[i], slot)};

            if ((table[slot] & PTE_P) && pte_mfn(table[slot]) == mfn)
                hv_mmu_update(&drop, 1, NULL, DOMID_SELF);
        }
    }
}

static void clear_entry(uint64_t where)
{
    struct mmu_update r = {.ptr = where};

    hv_mmu_update(&r, 1, NULL, DOMID_SELF);
}

/* Frames the model lost sight of may be pinned, too, and hold tables of the arena. */
static void unpin_all(void)
{
    for (uint32_t mfn = 0; mfn < ram_frames; mfn++)
        if (!is_private(mfn))
            mmuext_frame(MMUEXT_UNPIN_TABLE, mfn, DOMID_SELF);
}

static uint32_t reclaim(void)
{
    uint32_t stuck = 0;

    for (struct page *page = arena; page < arena + ARENA; page++) {
        if (page->role == GONE)
            continue;
        mmuext_frame(MMUEXT_UNPIN_TABLE, page->mfn, DOMID_SELF);
        page->pinned = false;
    }
    for (struct page *page = arena; page < arena + ARENA; page++) {
        if (page->role == GONE)
            continue;
        if (make_writable(page))
            page->role = DATA;
        else if (make_readonly(page))
            stuck++;
        else
            page->role = GONE;
    }
    return stuck;
}

uint32_t arena_take_down(void)
{
    if (!back_to_root())
        violated("this guest's own root is refused");
    for (uint32_t slot = 0; slot < 3; slot++)
        clear_entry(entry_at(root_l3, slot));
    for (uint32_t slot = FREE_SLOT; slot <= LAST_SLOT; slot++)
        clear_entry(entry_at(root_l2, slot));
    for (uint32_t slot = 0; slot < 512 * PLAYGROUND_TABLES; slot++)
        clear_entry(entry_at(playground_l1[slot / 512], slot % 512));
    if (reclaim() == 0)
        return 0;
    unpin_all();
    return reclaim();
}

/* --- the fence -------------------------------------------------------------------------------- */

/* A value that gives nobody a way to private frames. The initial domain may map devices too: not
 * writable, for op_touch would write there. */
static bool harmless(pte_t val)
{
    uint64_t mfn = (val & PTE_FRAME) >> PAGE_SHIFT;

    if (!(val & PTE_P) || (mfn == root_l2 && !(val & PTE_RW)))
        return true;
    return !is_private(mfn) && !((val & PTE_RW) && mfn >= ram_frames && is_initial_domain());
}

/* The arena page whose place in the linear map this entry is. */
static struct page *linear_entry(uint32_t mfn, uint32_t slot)
{
    for (struct page *page = arena; page < arena + ARENA; page++) {
        if (((uint32_t)page->va >> PAGE_SHIFT) % 512 == slot && table_mfn(page->va, 2) == mfn)
            return page;
    }
    return NULL;
}

static bool is_playground_table(uint64_t mfn)
{
    for (uint32_t i = 0; i < PLAYGROUND_TABLES; i++)
        if (playground_l1[i] == mfn)
            return true;
    return false;
}

/* An arena page stays where it is in the linear map; only how it is mapped may change. */
static bool keeps_place(const struct page *page, pte_t val)
{
    return (val & PTE_P) && page->role != GONE && pte_mfn(val) == page->mfn;
}

static bool is_free_slot(uint32_t slot)
{
    return slot >= FREE_SLOT && slot <= LAST_SLOT;
}

/*
 * In an L3's first slots a copy of this guest's top directory would show all private pages a second
 * time, writable, at addresses where anything may be mapped.
 */
static bool shows_top_again(uint32_t slot, pte_t val)
{
    const struct page *page = (val & PTE_P) ? page_with_mfn(pte_mfn(val)) : NULL;

    return slot < 3 && page && page->role == TOP_L2;
}

bool may_claim(uint32_t pfn)
{
    return pfn < pfns || pfn >> 31;
}

bool may_write_entry(uint64_t ptr, pte_t val)
{
    uint64_t mfn = ptr >> PAGE_SHIFT;
    uint32_t slot = (ptr & (PAGE_SIZE - 1)) / sizeof(pte_t);
    const struct page *page;

    if ((ptr & 3) == MMU_MACHPHYS_UPDATE)
        return !is_private(mfn) && may_claim(val);
    if (!harmless(val))
        return false;
    if (mfn == root_l3)
        return slot < 3 && !shows_top_again(slot, val);
    if (mfn == root_l2)
        return is_free_slot(slot);
    if (is_playground_table(mfn))
        return true;
    if (is_private(mfn)) {
        page = linear_entry(mfn, slot);
        return page && keeps_place(page, val);
    }
    page = mfn < ram_frames ? page_with_mfn(mfn) : NULL;
    if (page && page->role == L3_TABLE)
        return !shows_top_again(slot, val);
    return !page || page->role != TOP_L2 || is_free_slot(slot) || slot >= FIRST_HYPERVISOR_SLOT;
}

bool may_map_at(uint32_t va, pte_t val)
{
    if (!harmless(val))
        return false;
    if (va < VIRT_BASE || va >= HOLE_BASE)
        return true;
    if (va >= PLAYGROUND && va < PLAYGROUND + PLAYGROUND_SIZE)
        return true;
    for (struct page *page = arena; page < arena + ARENA; page++)
        if ((va & PAGE_MASK) == (uint32_t)page->va)
            return keeps_place(page, val);
    return false;
}

/* An L3 whose top directory maps this guest as its own does. */
bool may_run_on(uint32_t l3)
{
    const struct page *root = page_with_mfn(l3), *top;
    const uint64_t ignore = PTE_A | PTE_D;

    if (l3 == root_l3)
        return true;
    if (vcpus > 1 && l3 < ram_frames) /* another might change it after we looked */
        return false;
    if (!root) /* a frame lost track of might be a good root of an older shape */
        return l3 >= ram_frames || (l3 >= 0x400 && l3 < 0x500);
    if (root->role != L3_TABLE)
        return false;
    top = page_with_mfn(pte_mfn(root->va[3]));
    if (!top || top->role != TOP_L2)
        return false;
    for (uint32_t slot = 0; slot < FIRST_HYPERVISOR_SLOT; slot++)
        if (!is_free_slot(slot) && ((top->va[slot] ^ root_l2_va[slot]) & ~ignore))
            return false;
    return true;
}

/* --- spoiling --------------------------------------------------------------------------------- */

uint64_t spoil_bits(uint64_t x, unsigned int bits)
{
    for (uint32_t n = 1 + below(2); n; n--)
        x ^= 1ull << below(bits);
    return x;
}

/* Its own, a neighbour's, the hypervisor's, a device's, or none at all. */
uint32_t any_frame(void)
{
    static const uint32_t devices[] = {0xA0, 0xB8, 0xF0, 0xE0000, 0xFEC00, 0xFEE00, 0xFFFFF};

    switch (below(8)) {
    case 0:
        return below(ram_frames);
    case 1:
        return 0x400 + below(0x200); /* the hypervisor is linked at 4 MiB */
    case 2:
        return devices[below(sizeof(devices) / sizeof(devices[0]))];
    case 3:
        return ram_frames + below(16) - 8;
    case 4:
        return rnd();
    default:
        return arena[below(ARENA)].mfn;
    }
}

pte_t spoil_entry(pte_t e)
{
    switch (below(4)) {
    case 0:
        return spoil_bits(e, 12);
    case 1:
        return spoil_bits(e, 64);
    case 2:
        return (e & ~PTE_FRAME) | (uint64_t)any_frame() << PAGE_SHIFT;
    default:
        return pte_make(arena[below(ARENA)].mfn, rnd() & 0xFFF);
    }
}

/* The guard page, the M2P, the hypervisor, the last byte and beyond: never a page of this guest's. */
void *foreign_pointer(void)
{
    static const uint32_t places[] = {HOLE_BASE,     HOLE_BASE + 0x1234, LIMIT_END,
                                      LIMIT_END - 4, 0xFC000000,         0xFFFFFFFC};

    return (void *)places[below(sizeof(places) / sizeof(places[0]))];
}

/* These, the playground, or where a directory of the arena's may map anything or nothing. */
void *bad_pointer(void)
{
    if (once_in(3))
        return (void *)(PLAYGROUND + 4096 + below(PLAYGROUND_SIZE - 8192) % 8);
    return once_in(4) ? (void *)(below(2) << PAGE_SHIFT) : foreign_pointer();
}

uint16_t any_domid(void)
{
    static const uint16_t special[] = {DOMID_SELF, DOMID_IO,      DOMID_XEN,
                                       DOMID_COW,  DOMID_INVALID, DOMID_IDLE};

    switch (below(4)) {
    case 0:
        return own_domid;
    case 1:
        return neighbour;
    case 2:
        return special[below(sizeof(special) / sizeof(special[0]))];
    default:
        return rnd();
    }
}
