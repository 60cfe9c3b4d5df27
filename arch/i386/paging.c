/* SPDX-License-Identifier: MIT */
/*
 * paging.c: the hypervisor's own part of every address space, and the few ways to change it.
 *
 * head.S made the idle page tables (idle_l3, idle_l2). paging_init() completes their last 84
 * directory entries, from HYPERVISOR_START up, once and for all: they never change again, so the
 * copies in every guest's top L2 stay true. What does change (map cache, descriptor tables, global
 * maps) changes in the L1 pages below them.
 *
 * Read next: mapcache.c, tlb.c.
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>

#define SUPERPAGE_SIZE (1u << SUPERPAGE_SHIFT)

extern pte_t idle_l2[4 * L2_ENTRIES], idle_l3[L3_ENTRIES];

uint64_t nx_bit, global_bit;

static pte_t window_l1[MAX_CPUS][L1_ENTRIES] __aligned(PAGE_SIZE);
static pte_t fixmap_l1[2 * L1_ENTRIES] __aligned(PAGE_SIZE);
/*
 * Read as null descriptors wherever a guest has no GDT page: loading such a selector is a plain #GP
 * to it. Never written, and yet not const: constants take room in the image.
 */
static uint8_t zero_page[PAGE_SIZE] __aligned(PAGE_SIZE);

static void point_l2_at(uint32_t va, const pte_t *l1, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        idle_l2[(va >> SUPERPAGE_SHIFT) + i] =
            make_pte(direct_mfn(l1) + i, PTE_P | PTE_RW | PTE_A | PTE_D);
}

/*
 * Set up what later code relies on: NX and global bits, the L1 pages of the windows, global and
 * fixed maps. Boot CPU, before desc_init_cpu(). The directory entries of M2P and frame table are
 * added by paging_map_table().
 */
void paging_init(void)
{
    nx_bit = cpu_features.nx ? PTE_NX : 0;
    global_bit = cpu_features.pge ? PTE_G : 0;
    for (unsigned i = 0; i < MAX_CPUS; i++) {
        point_l2_at(WINDOW_START(i), window_l1[i], 1);
        cpus[i].window = window_l1[i];
        cpus[i].window_start = WINDOW_START(i);
        cpus[i].guest_root = direct_maddr(cpus[i].l3);
        memset(cpus[i].map_tag, 0xff, sizeof(cpus[i].map_tag));
    }
    point_l2_at(GLOBALMAP_START, globalmap_l1, GLOBALMAP_PAGES / L1_ENTRIES);
    point_l2_at(FIXMAP_START, fixmap_l1, 2);
    for (uint32_t va = DIRECTMAP_START; va < GLOBALMAP_START; va += SUPERPAGE_SIZE)
        idle_l2[va >> SUPERPAGE_SHIFT] |= global_bit;
    write_cr3(read_cr3());
}

/*
 * Map `size` bytes of 2 MiB-aligned machine memory at `va` with large pages: boot only, for the M2P
 * and the frame table. `writable` false is the guests' alias of the M2P: still a supervisor page,
 * ring 1 reads it, ring 3 cannot.
 */
void paging_map_table(uint32_t va, maddr_t ma, uint32_t size, bool writable)
{
    uint64_t flags =
        PTE_P | PTE_A | PTE_PSE | global_bit | nx_bit | (writable ? PTE_RW | PTE_D : 0);

    for (uint32_t off = 0; off < size; off += SUPERPAGE_SIZE)
        idle_l2[(va + off) >> SUPERPAGE_SHIFT] = (ma + off) | flags;
}

/* Machine address of the 2 MiB that paging_map_table() put at `va`; 0: nothing. */
maddr_t paging_table_maddr(uint32_t va)
{
    pte_t e = idle_l2[va >> SUPERPAGE_SHIFT];

    return (e & PTE_P) ? e & PTE_ADDR : 0;
}

/* Map one page of device registers at a fixed address, uncached. Boot only. */
void paging_map_fixed(uint32_t va, maddr_t ma, uint64_t flags)
{
    ASSERT(va >= FIXMAP_START);
    fixmap_l1[(va - FIXMAP_START) >> PAGE_SHIFT] =
        (ma & PTE_ADDR) | PTE_HYPERVISOR | nx_bit | global_bit | flags;
    invlpg(va);
}

/*
 * Once the initial domain is built, nothing below HYPERVISOR_START is ours: a stray pointer shall
 * fault.
 */
void paging_drop_identity_map(void)
{
    memset(idle_l2, 0, (HYPERVISOR_START >> SUPERPAGE_SHIFT) * sizeof(pte_t));
    tlb_flush_all();
}

/*
 * walk 08: Why paging cannot help against ring 1
 *
 * Claim: A page-table entry has one bit for privilege, U/S, and it knows two classes: user is ring
 * 3, supervisor is rings 0, 1 and 2 together (SDM vol. 3, 5.11.2). The hypervisor has to be mapped
 * in every guest's address space, because an exception enters ring 0 without changing CR3. So the
 * guest's top L2 gets our entries, without the user bit: ring 3 meets a page fault there, and ring
 * 1 meets nothing at all but its segment's limit.
 * Without it: Leave the hypervisor out of the guest's page tables and the first exception cannot
 * fetch its handler, then not the double fault's, and the machine resets.
 * Shown by: tests/system/test_bochs_debug.py::test_limit_script,
 * tests/system/test_labs.py::test_lab_3
 * Part: 1
 */
/* Write the hypervisor's directory entries into a top L2 that is being validated. */
void hypervisor_l2_fill(pte_t *l2)
{
    memcpy(&l2[L2_FIRST_HYPERVISOR_SLOT], &idle_l2[3 * L2_ENTRIES + L2_FIRST_HYPERVISOR_SLOT],
           (L2_ENTRIES - L2_FIRST_HYPERVISOR_SLOT) * sizeof(pte_t));
}

/* Take them out of a top L2 that no CPU walks in slot 3 any more, or never did: it becomes bare. */
void hypervisor_l2_clear(pte_t *l2)
{
    memset(&l2[L2_FIRST_HYPERVISOR_SLOT], 0,
           (L2_ENTRIES - L2_FIRST_HYPERVISOR_SLOT) * sizeof(pte_t));
}

/*
 * A linear map shows an L2's entries as if they were an L1's: a page each. Of the hypervisor's
 * entries that would be the first page of every 2 MiB of its memory, and of its own L1s; and as most
 * of them are global, translations of guest addresses that outlive the switch to another guest. So a
 * top L2 with a linear map has none of them (F9, frame.h), and each CPU that runs on one walks this
 * instead: the guest's entries, copied, and the hypervisor's.
 */
static pte_t whole_top[MAX_CPUS][L2_ENTRIES] __aligned(PAGE_SIZE);

/*
 * Others may be writing the bare L2; who does will have this CPU copy again (reload_l3_users()), so
 * an entry changes once at most meanwhile: if its upper half is the same before and after its lower
 * half is read, both are of one moment. The processor walks page tables whenever it likes, and half
 * an entry may stand in the copy: the caller has left it, for the idle page tables.
 */
static pte_t complete_top(const struct cpu *c, mfn_t bare)
{
    uint32_t *to = (uint32_t *)whole_top[c->id];
    const volatile uint32_t *from = map_frame(bare);

    for (unsigned i = 0; i < 2 * L2_FIRST_HYPERVISOR_SLOT; i += 2) {
        do {
            to[i + 1] = from[i + 1];
            to[i] = from[i];
        } while (unlikely(to[i + 1] != from[i + 1]));
    }
    unmap_frame((const void *)from);
    hypervisor_l2_fill(whole_top[c->id]);
    return make_pte(direct_mfn(to), PTE_P);
}

/* The processor looks at our copy only when CR3 is loaded, so in halves. */
static inline void copy_l3(struct cpu *c, const pte_t *l3)
{
    const uint32_t *from = (const uint32_t *)l3;
    uint32_t *to = (uint32_t *)c->l3;

#pragma GCC unroll 4
    for (unsigned i = 0; i < 2 * L3_ENTRIES; i += 2) {
        to[i] = from[i] & ((uint32_t)PTE_ADDR | 1);
        to[i + 1] = from[i + 1]; /* of an entry without P nothing else is looked at */
    }
}

/* An emulator may look at it at every walk, and would meet the bare L2: this CPU leaves it first. */
static noinline void install_with_bare_top(const pte_t *l3, uint32_t flush)
{
    struct cpu *c = this_cpu;

    write_cr3((uint32_t)direct_maddr(idle_l3));
    copy_l3(c, l3);
    c->l3[3] = complete_top(c, pte_mfn(c->l3[3]));
    tlb_switch_root(c->guest_root, flush);
}

/*
 * Run on the address space whose validated L3 has these entries. The processor reads the four
 * entries when CR3 is loaded and refuses reserved bits (1, 2, 5-8) that the ABI lets a guest set,
 * so it is given this CPU's own copy with just the frame and P; that also lets the guest's L3 lie
 * above 4 GiB, where CR3 cannot reach. Flushes the TLB; `flush` is from tlb_next_flush().
 */
void install_guest_l3(const pte_t *l3, uint32_t flush)
{
    struct cpu *c = this_cpu;

    if (unlikely(mfn_frame(pte_mfn(l3[3]))->type_info & FT_BARE)) {
        install_with_bare_top(l3, flush);
        return;
    }
    copy_l3(c, l3);
    tlb_switch_root(c->guest_root, flush);
}

void install_idle_l3(void)
{
    tlb_switch_root(direct_maddr(idle_l3), tlb_next_flush());
    __atomic_store_n(&this_cpu->guest_tables, false, __ATOMIC_RELEASE);
}

/* Show the frames of a guest's GDT in this CPU's window; pages from n up read as zeros. */
void map_gdt_window(const mfn_t *frames, unsigned n)
{
    struct cpu *c = this_cpu;
    pte_t none = make_pte(direct_mfn(zero_page), PTE_P | PTE_A | nx_bit);

    for (unsigned i = 0; i < GUEST_GDT_PAGES; i++) {
        pte_t e = i < n ? make_pte(frames[i], PTE_HYPERVISOR | nx_bit) : none;

        if (c->window[WINDOW_GDT_SLOT + i] != e) {
            pte_write(&c->window[WINDOW_GDT_SLOT + i], e);
            invlpg(GDT_WINDOW(c->id) + i * PAGE_SIZE);
        }
    }
}

/* Show one page of the running guest's LDT. */
void map_ldt_page(unsigned page, mfn_t mfn)
{
    struct cpu *c = this_cpu;

    ASSERT(page < GUEST_LDT_PAGES);
    pte_write(&c->window[WINDOW_LDT_SLOT + page], make_pte(mfn, PTE_HYPERVISOR | nx_bit));
}

/* Hide all LDT pages: the next use of a selector in them faults (mm/descriptor_tables.c). */
void unmap_ldt_window(void)
{
    struct cpu *c = this_cpu;

    for (unsigned i = 0; i < GUEST_LDT_PAGES; i++) {
        if (c->window[WINDOW_LDT_SLOT + i]) {
            pte_write(&c->window[WINDOW_LDT_SLOT + i], 0);
            invlpg(LDT_WINDOW(c->id) + i * PAGE_SIZE);
        }
    }
}
