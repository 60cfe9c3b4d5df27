/* SPDX-License-Identifier: MIT */
/*
 * test_types.c: the page-type machine, rule by rule: F1 to F10 of frame.h, linear maps, slot 3, work
 * that is interrupted, continued or given up, descriptor tables, and the end of domains.
 *
 * One domain builds page tables by hypercalls as a kernel would; after each test it is killed, the
 * audit must find nothing, and memory must be as before. tests/fuzz/fuzz_types.c does the same at
 * random.
 *
 * units: mm/grant_table.c mm/grant_map.c mm/grant_setup.c
 * units: mm/grants/copy.c mm/grants/transfer.c mm/grants/version.c
 * units: mm/memory_op.c mm/reservation.c mm/exchange/exchange.c mm/memory_map.c
 * units: xen/ranges.c mm/types.c mm/entries.c mm/l1.c mm/l2_table.c mm/walk.c mm/baseptr.c
 * units: mm/mmu_update.c
 * units: mm/va_mapping.c mm/mmuext.c mm/descriptor_tables.c mm/teardown.c xen/debug/audit.c
 * units: mm/alloc.c mm/ownership.c mm/xzalloc.c traps/descriptor.c
 * units: tests/host/machine.c tests/host/machine_mm.c tests/host/machine_cpu.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1 -DFLAT_RING1_CS=0xe019
 * flags: -DFLAT_RING1_SS=0xe021 -DFLAT_RING3_SS=0xe033
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine.h"
#include <ringlet/arch.h>
#include <ringlet/hypercall.h>
#include <xen/memory.h>

enum { FRAMES = 0x800, IO = 0x7f0, MAX_PAGES = 600 };
#define ROW (PTE_P | PTE_RW)

static struct domain *control, *d;
static uint32_t before;
static mfn_t page, l1, l2, top, l3; /* an address space; none of it in use yet */

static union {
    struct mmu_update updates[200];
    struct mmuext_op ext[20];
    uint32_t gdt[GUEST_GDT_PAGES];
    struct xen_memory_reservation r;
    uint32_t words[16];
} *const g = (void *)GUEST_MEMORY;
static uint32_t *const done = (uint32_t *)(GUEST_MEMORY + 0x8000);
static void *const nowhere = (void *)0x20000000;
static void *const read_only = GUEST_MEMORY + GUEST_MEMORY_SIZE / 2;

static mfn_t fresh(void)
{
    mfn_t mfn = alloc_domain_frames(d, 0, 0);

    assert_int_not_equal(mfn, INVALID_MFN);
    return mfn;
}

static struct domain *new_domain(domid_t id)
{
    struct domain *n = machine_domain(id, MAX_PAGES);

    grant_table_init(n);
    return n;
}

static long update_as(mfn_t table, unsigned index, pte_t e, unsigned how, uint32_t foreign)
{
    g->updates[0].ptr = ((uint64_t)table << PAGE_SHIFT) + index * 8 + how;
    g->updates[0].val = e;
    return do_mmu_update(g->updates, 1, done, foreign);
}

static long update(mfn_t table, unsigned index, pte_t e)
{
    return update_as(table, index, e, MMU_NORMAL_PT_UPDATE, DOMID_SELF);
}

static long ext_as(unsigned cmd, uint64_t arg1, uint64_t arg2, uint32_t foreign)
{
    g->ext[0].cmd = cmd;
    g->ext[0].arg1.mfn = arg1;
    g->ext[0].arg2.src_mfn = arg2;
    return do_mmuext_op(g->ext, 1, done, foreign);
}

static long ext(unsigned cmd, uint64_t arg1)
{
    return ext_as(cmd, arg1, 0, DOMID_SELF);
}

static long unpin(mfn_t mfn)
{
    return ext(MMUEXT_UNPIN_TABLE, mfn);
}

static uint32_t type_of(mfn_t mfn)
{
    return mfn_frame(mfn)->type_info;
}

static uint32_t types(mfn_t mfn)
{
    return type_of(mfn) & FT_COUNT;
}

static uint32_t counts(mfn_t mfn)
{
    return mfn_frame(mfn)->count_info & FC_COUNT;
}

/* An interrupted call, issued again as the guest's int $0x82 does. */
static long again(long (*call)(void *, uint32_t, uint32_t *, uint32_t))
{
    return call((void *)(uintptr_t)seen.continued[0], seen.continued[1],
                (uint32_t *)(uintptr_t)seen.continued[2], seen.continued[3]);
}

static int start(void **state)
{
    (void)state;
    machine_init(FRAMES);
    frames_init();
    frames_init_add(1, IO);
    frames_init_io(IO, FRAMES);
    machine_cpu_init();
    preempt_stays = true;
    before = free_frame_count();
    control = new_domain(0);
    control->privileged = true;
    assert_int_equal(
        ranges_change(&control->iomem, 0, cpu_features.address_mask >> PAGE_SHIFT, true), 0);
    d = new_domain(3);
    machine_switch(d);
    page = fresh();
    l1 = fresh();
    l2 = fresh();
    top = fresh();
    l3 = fresh();
    assert_int_equal(update(l1, 0, make_pte(page, ROW)), 0);
    assert_int_equal(update(l1, 1, make_pte(l1, PTE_P)), 0);
    assert_int_equal(update(l2, 0, make_pte(l1, ROW)), 0);
    assert_int_equal(update(l3, 0, make_pte(l2, PTE_P)), 0);
    assert_int_equal(update(l3, 3, make_pte(top, PTE_P)), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    preempt_after = 0;
    assert_int_equal(seen.maps_held, 0);
    assert_int_equal(audit_frames(), 0);
    machine_switch(control);
    if (d)
        assert_int_equal(machine_domain_kill(d), 0);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(machine_domain_kill(control), 0);
    assert_null(domain_list);
    assert_int_equal(free_frame_count(), before);
    return 0;
}

/* --- F1 to F5 --------------------------------------------------------------------------------- */

static void test_references(void **state)
{
    struct frame *f = mfn_frame(page);

    (void)state;
    assert_false(get_frame(mfn_frame(1), d)); /* free */
    assert_false(get_frame(f, control));
    assert_true(get_frame(f, d));
    assert_int_equal(counts(page), 2);
    f->count_info |= FC_COUNT; /* full */
    assert_false(get_frame(f, d));
    assert_int_equal(get_frame_and_type(f, d, FT_WRITABLE), -EINVAL);
    f->count_info = FC_ALLOCATED | 2;
    put_frame(f);
    assert_int_equal(get_frame_and_type(f, d, FT_WRITABLE), 0);
    f->type_info |= FT_COUNT;
    assert_int_equal(get_type(f, FT_WRITABLE), -EINVAL);
    assert_int_equal(ext(MMUEXT_CLEAR_PAGE, page), -EINVAL);
    f->type_info = FT_WRITABLE | FT_VALIDATED | 1;
    put_frame_and_type(f);
    assert_int_equal(types(page), 0);
}

/* A frame is a table or writable, never both; it changes at count zero. */
static void test_one_type(void **state)
{
    (void)state;
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), 0);
    assert_int_equal(types(page), 1);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, page), -EINVAL);
    assert_int_equal(update(l1, 5, make_pte(l1, ROW)), -EBUSY);
    assert_int_equal(ext(MMUEXT_CLEAR_PAGE, l1), -EINVAL);
    assert_int_equal(ext_as(MMUEXT_COPY_PAGE, l1, page, DOMID_SELF), -EINVAL);
    assert_int_equal(update(l1, 0, make_pte(page, PTE_P)), 0);
    assert_int_equal(types(page), 0);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, page), 0);
    assert_int_equal(update(l1, 0, make_pte(page, ROW)), -EBUSY);
    assert_int_equal(unpin(page), 0);
    assert_int_equal(update(l1, 0, make_pte(page, ROW)), 0);
    assert_int_equal(unpin(l1), 0);
    assert_int_equal(types(page), 0);
    assert_int_equal(counts(page), 1);
}

static void test_pins(void **state)
{
    (void)state;
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), 0);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), -EINVAL);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l2), -EINVAL);
    assert_int_equal(types(l2), 1);
    assert_int_equal(types(l1), 1);
    assert_int_equal(unpin(l1), -EINVAL);
    assert_int_equal(unpin(FRAMES), -EINVAL);
    assert_int_equal(unpin(1), -EINVAL);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, FRAMES), -EINVAL);
    assert_int_equal(ext(MMUEXT_PIN_L4_TABLE, l3), -EINVAL);
    assert_int_equal(unpin(l2), 0);
    assert_int_equal(types(l1), 0);
    assert_int_equal(unpin(l2), -EINVAL);
}

/* One bad entry, and nothing is held of all the good ones before it. */
static void test_bad_entry(void **state)
{
    static const uint64_t bad[] = {PTE_PWT, PTE_PCD, PTE_PAT, PTE_G, 1ull << 52, 1ull << 45};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(update(l1, 511, make_pte(page, PTE_P | bad[i])), 0);
        assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), bad[i] & PTE_ADDR ? -EPERM : -EINVAL);
        assert_int_equal(types(page), 0);
        assert_int_equal(counts(page), 1);
        assert_int_equal(counts(l1), 1);
    }
    assert_int_equal(update(l1, 511, make_pte(IO, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), -EPERM);
    assert_int_equal(update(l1, 511, make_pte(1, PTE_P)), 0); /* free memory */
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), -EBUSY);
    assert_int_equal(update(l1, 511, 0), 0);
    assert_int_equal(update(l2, 300, make_pte(page, ROW | PTE_PSE)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), -EINVAL);
    assert_int_equal(update(l2, 300, make_pte(FRAMES + 1, ROW)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), -EINVAL);
    assert_int_equal(types(l1), 0);
    assert_int_equal(update(l2, 300, 0), 0);
    assert_int_equal(update(l3, 1, make_pte(l2, PTE_P | PTE_PWT)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3), -EINVAL);
    assert_int_equal(update(l3, 1, make_pte(IO, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3), -EINVAL);
    assert_int_equal(types(l2), 0);
}

/* --- F6: interrupted -------------------------------------------------------------------------- */

static mfn_t l1s[64];

/* Tables each of its own, for one in use already is soon done with. */
static void fill_l2(void)
{
    l1s[0] = l1;
    for (unsigned i = 1; i < 64; i++) {
        l1s[i] = fresh();
        assert_int_equal(update(l2, i, make_pte(l1s[i], ROW)), 0);
    }
}

static unsigned l1s_in_use(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < 64; i++)
        n += types(l1s[i]);
    return n;
}

/* The entries of a directory that name L1s in use, and gaps of all lengths between them. */
static void test_usual_l2_entries(void **state)
{
    mfn_t other_l2 = fresh(), other_l3;
    unsigned used, counted, n;

    (void)state;
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    n = used = types(l1);
    counted = counts(l1);
    for (unsigned i = 0, gap = 0; i < 512; i += ++gap, n++)
        assert_int_equal(update(other_l2, i, make_pte(l1, i % 3 ? ROW : PTE_P)), 0);
    preempt_after = 1; /* never asked */
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, other_l2), 0);
    assert_int_equal(types(l1), n);
    assert_int_equal(counts(l1), counted + n - used);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), 0);
    assert_int_equal(unpin(other_l2), 0);
    assert_int_equal(types(l1), used + 1);
    assert_int_equal(counts(l1), counted + 1);
    preempt_after = 0;

    /* One that is bad behind them, and one that needs a closer look between them. */
    assert_int_equal(update(other_l2, 511, make_pte(page, ROW | PTE_PSE)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, other_l2), -EINVAL);
    assert_int_equal(types(l1), used + 1);
    assert_int_equal(update(other_l2, 511, make_pte(other_l2, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, other_l2), 0);
    assert_int_equal(unpin(other_l2), 0);
    assert_int_equal(types(l1), used + 1);

    /* In an L3 an L1 in use is none of the usual. */
    other_l3 = fresh();
    assert_int_equal(update(other_l3, 1, make_pte(l1, PTE_P)), 0);
    assert_int_equal(update(other_l3, 3, make_pte(fresh(), PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, other_l3), -EINVAL);
    assert_int_equal(types(l1), used + 1);
}

static void test_continued(void **state)
{
    unsigned slices = 1;

    (void)state;
    fill_l2();
    preempt_after = 1;
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3), -ERESTART);
    assert_true(type_of(l2) & FT_PARTIAL);
    assert_true(type_of(l3) & FT_PARTIAL);
    assert_int_equal(mfn_frame(l2)->nr_done, 8);
    assert_int_equal(l1s_in_use(), 8);
    assert_int_equal(audit_frames(), 0);
    for (preempt_after = 1; again(do_mmuext_op) == -ERESTART; preempt_after = 1) {
        assert_int_equal(audit_frames(), 0);
        slices++;
    }
    assert_int_equal(slices, 8);
    assert_int_equal(type_of(l3), FT_L3 | FT_PINNED | FT_VALIDATED | 1);
    assert_int_equal(l1s_in_use(), 64);
    assert_int_equal(*done, 1);

    /* Undone in slices, too; meanwhile nobody else has the table. */
    preempt_after = 1;
    assert_int_equal(unpin(l3), -ERESTART);
    assert_int_equal(current->old_table, l3);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(update(page, 0, 0), -ERESTART);
    preempt_after = 0;
    assert_int_equal(again(do_mmu_update), 0);
    assert_int_equal(current->old_table, INVALID_MFN);
    assert_int_equal(l1s_in_use() | types(l2) | types(l3) | types(top), 0);
}

/* What one call leaves half checked another may finish, whatever it wants it for, or nobody. */
static void test_taken_over_and_given_up(void **state)
{
    (void)state;
    fill_l2();
    preempt_after = 2;
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), -ERESTART);
    assert_int_equal(mfn_frame(l2)->nr_done, 16);
    assert_int_equal(update(l1, 3, make_pte(l2, ROW)), -EBUSY);
    assert_int_equal(update(l2, 3, 0), -EINVAL);
    preempt_after = 0;
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    assert_int_equal(type_of(l2), FT_L2 | FT_VALIDATED | 1);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), 0);
    assert_int_equal(type_of(l2), FT_L2 | FT_VALIDATED | FT_PINNED | 2);

    /* A bad entry behind the good ones, seen by the one who continues. */
    assert_int_equal(unpin(l2), 0);
    assert_int_equal(update(l3, 0, 0), 0);
    assert_int_equal(types(l1), 0);
    assert_int_equal(update(l2, 100, make_pte(page, ROW | PTE_PSE)), 0);
    preempt_after = 2;
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), -ERESTART);
    preempt_after = 0;
    assert_int_equal(again(do_mmuext_op), -EINVAL);
    assert_int_equal(l1s_in_use() | types(l2), 0);
    assert_int_equal(counts(l2), 1);

    /* Given up for good: the end of the domain clears it away. */
    preempt_after = 2;
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), -ERESTART);
    assert_true(type_of(l2) & FT_PARTIAL);
}

/* The last frame that was put into the log when it was no table. */
static const struct frame *noted;

void note_frame_written(struct frame *f)
{
    if (!(f->type_info & FT_VALIDATED))
        noted = f;
}

/* Whoever saves the domain is told of a table that is half undone: it is none any more. */
static void test_half_undone_is_in_the_log(void **state)
{
    (void)state;
    fill_l2();
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), 0);
    watched_domains = 1;
    noted = NULL;
    preempt_after = 1;
    assert_int_equal(unpin(l2), -ERESTART);
    assert_ptr_equal(noted, mfn_frame(l2));
    preempt_after = 0;
    noted = NULL;
    assert_int_equal(again(do_mmuext_op), 0);
    assert_ptr_equal(noted, mfn_frame(l2));
    watched_domains = 0;
}

/* A table that is being undone is nobody's: who wants it must wait. */
static void test_being_undone(void **state)
{
    mfn_t other = fresh();

    (void)state;
    fill_l2();
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), 0);
    preempt_after = 1;
    assert_int_equal(unpin(l2), -ERESTART);
    preempt_after = 0;
    assert_int_equal(update(other, 0, make_pte(l2, PTE_P)), 0); /* finishes it first */
    assert_int_equal(types(l2), 0);

    /* Who wants the table goes on with it, whoever began, and has it the next time. */
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), 0);
    preempt_after = 1;
    assert_int_equal(unpin(l2), -ERESTART);
    preempt_after = 0;
    assert_int_equal(counts(l2), 2);
    assert_int_equal(get_frame_and_type_preemptible(mfn_frame(l2), d, FT_L2), -ERESTART);
    assert_int_equal(current->old_table, INVALID_MFN);
    assert_int_equal(counts(l2), 1);
    assert_int_equal(get_frame_and_type_preemptible(mfn_frame(l2), d, FT_L2), 0);
    put_frame_and_type(mfn_frame(l2));

    /* The same behind an L3 entry that is replaced. */
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    preempt_after = 1;
    assert_int_equal(update(l3, 0, 0), -ERESTART);
    assert_int_equal(*done, 1);
    assert_int_equal(current->old_table, l2);
    assert_int_equal(audit_frames(), 0);
    preempt_after = 0;
    assert_int_equal(again(do_mmu_update), 0);
    assert_int_equal(*done, 1);
    assert_int_equal(types(l2), 0);
}

/* --- F7: slot 3 ------------------------------------------------------------------------------- */

static void test_slot_3(void **state)
{
    mfn_t l3b = fresh(), empty = fresh();
    const pte_t *entries = direct_map((maddr_t)top << PAGE_SHIFT);

    (void)state;
    assert_int_equal(update(l3b, 0, make_pte(l2, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3b), -EINVAL); /* none */
    assert_int_equal(update(l3b, 3, make_pte(l2, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3b), -EINVAL); /* slots 0 and 3 */
    assert_int_equal(update(top, L2_FIRST_HYPERVISOR_SLOT, make_pte(1, ROW | PTE_PSE)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3), 0); /* skipped and overwritten */
    assert_int_equal(pte_mfn(entries[L2_FIRST_HYPERVISOR_SLOT]) & 0xfff, 0);
    assert_int_equal(type_of(top), FT_L2 | FT_TOP | FT_VALIDATED | 1);
    assert_int_equal(update(l3b, 3, make_pte(top, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3b), -EINVAL); /* another L3's */
    assert_int_equal(types(top), 1);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, top), -EINVAL);
    assert_int_equal(update(l3, 3, 0), -EINVAL);
    assert_int_equal(update(l3, 3, make_pte(empty, PTE_P)), -EINVAL);
    assert_int_equal(update(l3, 4, 0), -EINVAL);
    assert_int_equal(update(l3, 0, make_pte(top, PTE_P)), -EINVAL);
    assert_int_equal(update(l3, 0, make_pte(l2, PTE_P | PTE_PWT)), -EINVAL);
    assert_int_equal(update(l3, 0, make_pte(l2, PTE_P | PTE_A)), 0);
    assert_int_equal(update(l3, 1, make_pte(empty, PTE_P)), 0);
    assert_int_equal(update(top, L2_FIRST_HYPERVISOR_SLOT, 0), -EPERM);
    assert_int_equal(update(top, L2_FIRST_HYPERVISOR_SLOT - 1, make_pte(l1, ROW)), 0);
    assert_int_equal(unpin(l3), 0);
    assert_int_equal(type_of(top) & (FT_TOP | FT_COUNT), 0);
}

/* An L3 above 4 GiB is for those who can say so in CR3. */
static void test_high_l3(void **state)
{
    mfn_t high = 0x100003;

    (void)state;
    max_frame = 0x100010;
    frames_init_io(FRAMES, 0x100000);
    frames_init_add(0x100000, max_frame);
    before += 16;
    do {
        high = alloc_frames(0, 0);
        assert_int_equal(assign_frames(d, high, 0), 0);
    } while (high < 0x100000);
    assert_int_equal(update(high, 3, make_pte(top, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, high), -EINVAL);
    assert_int_equal(types(top), 0);
    d->l3_above_4g = true;
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, high), 0);
    assert_int_equal(type_of(high), FT_L3 | FT_PINNED | FT_VALIDATED | 1);
}

/* --- F10: what top L2s have in common --------------------------------------------------------- */

static mfn_t kernel[40]; /* L1s that each top L2 names from slot 100 on */

/* The entries that name what the slot has in common. */
static unsigned users(unsigned slot)
{
    return d->common_l1s[slot].users;
}

/* A directory and an L3 for it; the directory names all of kernel[]. The L3. */
static mfn_t process(mfn_t directory)
{
    mfn_t root = fresh();

    for (unsigned i = 0; i < ARRAY_SIZE(kernel); i++)
        assert_int_equal(update(directory, 100 + i, make_pte(kernel[i], i & 1 ? ROW : PTE_P)), 0);
    assert_int_equal(update(root, 3, make_pte(directory, PTE_P)), 0);
    return root;
}

static void two_processes(mfn_t directories[2], mfn_t roots[2])
{
    for (unsigned i = 0; i < ARRAY_SIZE(kernel); i++)
        kernel[i] = fresh();
    for (unsigned i = 0; i < 2; i++) {
        directories[i] = fresh();
        roots[i] = process(directories[i]);
    }
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, kernel[7]), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[0]), 0);
}

/* However many directories name an L1, it is held once, and let go with the last of them. */
static void test_common_l1s(void **state)
{
    mfn_t directories[2], roots[2];

    (void)state;
    two_processes(directories, roots);
    preempt_after = 1; /* never asked: there is nothing but what is common */
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), 0);
    preempt_after = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(kernel); i++) {
        assert_int_equal(users(100 + i), 2);
        assert_int_equal(types(kernel[i]), i == 7 ? 2 : 1);
    }
    assert_int_equal(audit_frames(), 0);

    /* Flags are each entry's own, and checked. */
    assert_int_equal(update(directories[1], 100, make_pte(kernel[0], ROW | PTE_NX)), 0);
    assert_int_equal(update(directories[1], 101, make_pte(kernel[1], PTE_P | PTE_PWT)), -EINVAL);
    assert_int_equal(update(directories[1], 101, make_pte(kernel[1], ROW | 1ull << 52)), -EINVAL);
    assert_int_equal(users(100), 2);

    /* One names something else, then the other one does. */
    assert_int_equal(update(directories[0], 100, make_pte(l1, ROW)), 0);
    assert_int_equal(users(100), 1);
    assert_int_equal(types(l1), 1);
    assert_int_equal(update(directories[1], 100, 0), 0);
    assert_int_equal(users(100), 0);
    assert_int_equal(types(kernel[0]), 0);
    assert_int_equal(ext(MMUEXT_CLEAR_PAGE, kernel[0]), 0);
    assert_int_equal(audit_frames(), 0);

    assert_int_equal(unpin(roots[0]), 0);
    assert_int_equal(types(l1), 0);
    assert_int_equal(users(101), 1);
    assert_int_equal(types(kernel[1]), 1);
    assert_int_equal(unpin(roots[1]), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(kernel); i++) {
        assert_int_equal(users(100 + i), 0);
        assert_int_equal(types(kernel[i]), i == 7);
        assert_int_equal(counts(kernel[i]), i == 7 ? 2 : 1);
    }
}

/* C3: entries are counted out four at a time, but not where one is the last user of its slot. */
static void test_last_in_a_run(void **state)
{
    mfn_t directories[2], roots[2];

    (void)state;
    two_processes(directories, roots);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), 0);
    /* The first of the last four: as they are tried from the end, it has each place among four. */
    assert_int_equal(update(directories[1], 100 + ARRAY_SIZE(kernel) - 4, 0), 0);
    assert_int_equal(unpin(roots[0]), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(kernel); i++) {
        unsigned left = i != ARRAY_SIZE(kernel) - 4;

        assert_int_equal(users(100 + i), left);
        assert_int_equal(types(kernel[i]), left + (i == 7));
    }
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(unpin(roots[1]), 0);
}

/* C1 to C3: directories come and go in any order; nothing is forgotten and nothing left. */
static void test_many_directories(void **state)
{
    mfn_t directories[5], roots[5];
    bool pinned[5] = {0};
    uint32_t most = 0;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(kernel); i++)
        kernel[i] = fresh();
    for (unsigned k = 0; k < 5; k++) {
        directories[k] = fresh();
        roots[k] = process(directories[k]);
    }
    for (unsigned round = 0; round < 3000; round++) {
        unsigned k = machine_random(5), i = machine_random(ARRAY_SIZE(kernel));
        unsigned first = machine_random(8) ? i : 0;

        if (machine_random(4)) {
            assert_int_equal(pinned[k] ? unpin(roots[k]) : ext(MMUEXT_PIN_L3_TABLE, roots[k]), 0);
            pinned[k] = !pinned[k];
        } else if (machine_random(4)) {
            for (i = first; i < ARRAY_SIZE(kernel); i++)
                assert_int_equal(update(directories[k], 100 + i, make_pte(kernel[i], ROW)), 0);
        } else {
            assert_int_equal(update(directories[k], 100 + i, 0), 0);
        }
        most = MAX(most, users(100));
        assert_int_equal(audit_frames(), 0);
    }
    assert_true(most >= 3);
    for (unsigned k = 0; k < 5; k++)
        assert_int_equal(pinned[k] ? unpin(roots[k]) : 0, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(kernel); i++)
        assert_int_equal(users(100 + i) | types(kernel[i]), 0);
}

/* A directory whose checking, or undoing, stops behind what is common. */
static void test_common_interrupted(void **state)
{
    mfn_t directories[2], roots[2], own[40];

    (void)state;
    two_processes(directories, roots);
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        assert_int_equal(update(directories[1], 200 + i, make_pte(own[i] = fresh(), ROW)), 0);
    preempt_after = 1;
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), -ERESTART);
    assert_int_equal(type_of(directories[1]) & FT_PARTIAL, FT_PARTIAL);
    assert_int_equal(mfn_frame(directories[1])->nr_done, 208);
    assert_int_equal(users(100), 2);
    assert_int_equal(audit_frames(), 0);
    /* The other leaves meanwhile. */
    preempt_after = 0;
    assert_int_equal(unpin(roots[0]), 0);
    assert_int_equal(users(100), 1);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[0]), 0);
    assert_int_equal(users(100), 2);

    preempt_after = 1;
    assert_int_equal(unpin(roots[1]), -ERESTART);
    assert_int_equal(users(100), 2);
    assert_int_equal(audit_frames(), 0);
    preempt_after = 0;
    assert_int_equal(again(do_mmuext_op), 0);
    assert_int_equal(type_of(directories[1]), FT_L2);
    assert_int_equal(users(100), 1);
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        assert_int_equal(types(own[i]), 0);
    assert_int_equal(audit_frames(), 0);

    /* A bad entry behind what is common: counted in for a while, and out again. */
    assert_int_equal(update(directories[1], 239, make_pte(page, ROW | PTE_PWT)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), -EINVAL);
    assert_int_equal(users(100), 1);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(unpin(roots[0]), 0);
    assert_int_equal(users(100), 0);
}

/* A table is undone wherever something is in it. */
static void test_sparse(void **state)
{
    mfn_t directory = fresh(), table = fresh(), target = fresh();
    uint32_t held = counts(target);

    (void)state;
    assert_int_equal(update(table, 70, make_pte(target, PTE_P)), 0);
    assert_int_equal(update(directory, 130, make_pte(table, ROW)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, directory), 0);
    for (unsigned i = 0; i < L1_ENTRIES; i += 37) {
        assert_int_equal(update(table, i, make_pte(target, PTE_P)), 0);
        assert_int_equal(update(directory, i, make_pte(table, ROW)), 0);
        assert_int_equal(audit_frames(), 0);
    }
    assert_int_equal(unpin(directory), 0);
    assert_int_equal(counts(target), held);
    assert_int_equal(types(table) | types(directory), 0);
    assert_int_equal(audit_frames(), 0);

    /* A single slot in common, far from everything else. */
    for (unsigned i = 0; i < 2; i++) {
        mfn_t root = fresh(), top_l2 = fresh();

        assert_int_equal(update(top_l2, 300, make_pte(table, ROW)), 0);
        assert_int_equal(update(root, 3, make_pte(top_l2, PTE_P)), 0);
        assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, root), 0);
    }
    assert_int_equal(users(300), 2);
    assert_int_equal(audit_frames(), 0);
}

/* The same where what is common goes up to the last slot of the guest's. */
static void test_common_to_the_end(void **state)
{
    const unsigned first = L2_FIRST_HYPERVISOR_SLOT - 4;
    mfn_t directories[2], roots[2], last[4];

    (void)state;
    two_processes(directories, roots);
    assert_int_equal(unpin(roots[0]), 0);
    for (unsigned i = 0; i < 4; i++) {
        last[i] = fresh();
        for (unsigned k = 0; k < 2; k++)
            assert_int_equal(update(directories[k], first + i, make_pte(last[i], ROW)), 0);
    }
    for (unsigned k = 0; k < 2; k++)
        assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[k]), 0);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(update(directories[1], first + 3, 0), 0);
    for (unsigned k = 0; k < 2; k++)
        assert_int_equal(unpin(roots[k]), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(users(first + i) | types(last[i]), 0);
    assert_int_equal(audit_frames(), 0);
}

/* C2: an L1 that another entry holds already does not become common, in no slot and no table. */
static void test_not_common(void **state)
{
    mfn_t directories[2], roots[2];

    (void)state;
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, l2), 0);
    two_processes(directories, roots);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(update(directories[i], 200, make_pte(l1, ROW)), 0);        /* l2's */
        assert_int_equal(update(directories[i], 201, make_pte(kernel[3], ROW)), 0); /* slot 103's */
    }
    assert_int_equal(users(200) | users(201), 0);
    assert_int_equal(types(l1), 2);
    assert_int_equal(types(kernel[3]), 2);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), 0);
    assert_int_equal(users(200) | users(201), 0);
    assert_int_equal(types(l1), 3);
    assert_int_equal(types(kernel[3]), 3);

    /* A slot has one L1 in common, and who names another holds that himself. */
    assert_int_equal(update(directories[1], 105, make_pte(kernel[4], ROW)), 0);
    assert_int_equal(users(105), 1);
    assert_int_equal(types(kernel[4]), 2);
    assert_int_equal(audit_frames(), 0);

    /* The first to go takes with it what is its own, and no more. */
    assert_int_equal(unpin(roots[0]), 0);
    assert_int_equal(types(kernel[5]), 0);
    assert_int_equal(types(kernel[4]), 2);
    assert_int_equal(types(kernel[3]), 2);
    assert_int_equal(types(l1), 2);
    assert_int_equal(unpin(roots[1]), 0);
    assert_int_equal(types(l1), 1);
    assert_int_equal(types(kernel[3]) | types(kernel[4]), 0);
}

/* Directories that do not become valid, or are stopped on the way, count only what they hold. */
static void test_common_and_bad(void **state)
{
    static const uint64_t bad[] = {PTE_PWT, PTE_PSE, PTE_G, 1ull << 52, 1ull << 45};
    mfn_t directories[2], roots[2];

    (void)state;
    two_processes(directories, roots);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(update(directories[1], 123, make_pte(kernel[23], ROW | bad[i])), 0);
        assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), -EINVAL);
        assert_int_equal(users(100), 1);
        assert_int_equal(users(123), 1);
        assert_int_equal(audit_frames(), 0);
    }
    /* An empty slot has nothing in common with an entry for frame 0, whose flags may look like it. */
    assert_int_equal(update(directories[1], 123, PTE_P), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), -EINVAL);
    assert_int_equal(update(directories[1], 300, PTE_P), 0);
    assert_int_equal(update(directories[1], 123, make_pte(kernel[23], ROW)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), -EINVAL);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(update(directories[1], 300 + i, make_pte(fresh(), ROW)), 0);
    preempt_after = 1;
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, roots[1]), -ERESTART);
    assert_int_equal(users(100), 2);
    assert_int_equal(users(307), 1);
    assert_int_equal(users(308), 0);
    assert_int_equal(audit_frames(), 0);
    preempt_after = 0;
    assert_int_equal(again(do_mmuext_op), 0);
    assert_int_equal(users(363), 1);
    preempt_after = 1;
    assert_int_equal(unpin(roots[1]), -ERESTART);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(users(363), 0);
    preempt_after = 0;
    assert_int_equal(again(do_mmuext_op), 0);
    assert_int_equal(users(100), 1);
}

/* Above 4 GiB nothing is common, however much the lower half of an entry looks like it. */
static void test_common_below_4g(void **state)
{
    mfn_t kernel_l1 = fresh(), high = 0x100000 + kernel_l1, directory = fresh(), other = fresh();

    (void)state;
    max_frame = high + 1;
    frames_init_io(FRAMES, high);
    frames_init_add(high, high + 1);
    before++;
    while (alloc_frames(0, 0) != high)
        before--;
    assert_int_equal(assign_frames(d, high, 0), 0);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, kernel_l1), 0);
    assert_int_equal(update(directory, 9, make_pte(kernel_l1, ROW)), 0);
    assert_int_equal(update(directory, 10, make_pte(high, ROW)), 0);
    assert_int_equal(update(other, 3, make_pte(directory, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, other), 0);
    assert_int_equal(users(9), 1);
    assert_int_equal(users(10), 0);
    assert_int_equal(types(high), 1);
    assert_int_equal(update(top, 9, make_pte(high, ROW)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3), 0);
    assert_int_equal(users(9), 1);
    assert_int_equal(types(high), 2);
    assert_int_equal(unpin(l3), 0);
    assert_int_equal(users(9), 1);
    assert_int_equal(types(high), 1);
    assert_int_equal(types(kernel_l1), 2);
}

/* --- F8: linear maps -------------------------------------------------------------------------- */

static void test_linear_maps(void **state)
{
    mfn_t a = fresh(), b = fresh();

    (void)state;
    assert_int_equal(update(l2, 1, make_pte(l2, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    assert_int_equal(types(l2), 1); /* itself: no reference */
    assert_int_equal(update(l2, 2, make_pte(l2, ROW)), -EINVAL);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, a), 0);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, b), 0);
    assert_int_equal(update(l2, 2, make_pte(a, ROW)), -EINVAL);
    assert_int_equal(update(l2, 2, make_pte(a, PTE_P)), 0);
    assert_true((type_of(l2) & FT_LINKER) && (type_of(a) & FT_LINKED));
    assert_int_equal(types(a), 2);
    assert_int_equal(update(b, 0, make_pte(l2, PTE_P)), -EINVAL); /* a chain, either way */
    assert_int_equal(update(a, 0, make_pte(b, PTE_P)), -EINVAL);
    assert_int_equal(update(b, 0, make_pte(a, PTE_P)), 0);
    /* Through the map the tables can be read, not written. */
    assert_int_equal(do_update_va_mapping(2 << 21, page << 12 | 3, 0, 0), -EINVAL);
    assert_int_equal(unpin(a), 0);
    assert_int_equal(types(a), 2);
    assert_int_equal(update(l2, 2, 0), 0);
    assert_int_equal(update(b, 0, 0), 0);
    assert_int_equal(types(a), 0);
    mfn_frame(b)->type_info |= FT_COUNT; /* full */
    assert_int_equal(update(l2, 2, make_pte(b, PTE_P)), -EINVAL);
    mfn_frame(b)->type_info = FT_L2 | FT_PINNED | FT_VALIDATED | 1;
}

static bool all_zero(const pte_t *entries, unsigned n)
{
    while (n && !entries[n - 1])
        n--;
    return !n;
}

/* F9: what a linear map names has none of the hypervisor's entries. */
static void test_linear_top(void **state)
{
    const pte_t *hyper = direct_map(((maddr_t)top << PAGE_SHIFT) + 8 * L2_FIRST_HYPERVISOR_SLOT);
    const unsigned n = L2_ENTRIES - L2_FIRST_HYPERVISOR_SLOT;

    (void)state;
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    assert_int_equal(update(l2, 3, make_pte(top, ROW)), -EINVAL);
    assert_int_equal(update(top, 5, make_pte(top, ROW)), -EINVAL);
    assert_false(all_zero(hyper, n));
    assert_int_equal(update(l2, 3, make_pte(top, PTE_P)), 0); /* another's */
    assert_true(all_zero(hyper, n));
    assert_int_equal(type_of(top), FT_L2 | FT_TOP | FT_BARE | FT_LINKED | FT_VALIDATED | 2);
    assert_int_equal(update(top, L2_FIRST_HYPERVISOR_SLOT, 0), -EPERM);
    assert_int_equal(update(top, 6, make_pte(l2, PTE_P)), -EINVAL); /* F8 */
    assert_int_equal(update(top, 5, make_pte(top, PTE_P)), 0);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(update(l2, 3, 0), 0);
    assert_int_equal(types(top), 1);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3), 0);
    assert_true(all_zero(hyper, n)); /* it stays so, while it is in use */
}

/* The same for one that names itself when it is validated, and has names of others as well. */
static void test_linear_top_validated(void **state)
{
    const pte_t *entries = direct_map((maddr_t)top << PAGE_SHIFT);
    mfn_t running = fresh();

    (void)state;
    assert_int_equal(update(running, 3, make_pte(fresh(), PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, running), 0);
    assert_int_equal(update(top, L2_FIRST_HYPERVISOR_SLOT, make_pte(page, ROW)), 0);
    assert_int_equal(update(top, 5, make_pte(top, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3), 0);
    assert_int_equal(type_of(top), FT_L2 | FT_TOP | FT_BARE | FT_VALIDATED | 1);
    assert_true(
        all_zero(&entries[L2_FIRST_HYPERVISOR_SLOT], L2_ENTRIES - L2_FIRST_HYPERVISOR_SLOT));
    assert_int_equal(update(top, 6, make_pte(l2, PTE_P)), 0);
    assert_true(type_of(top) & FT_LINKER);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(unpin(l3), 0);
    assert_int_equal(type_of(top) & (FT_TOP | FT_BARE | FT_COUNT), 0);
    assert_int_equal(update(top, 5, 0) | update(top, 6, 0), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3), 0);
    assert_int_equal(type_of(top), FT_L2 | FT_TOP | FT_VALIDATED | 1);
    assert_int_not_equal(entries[L2_FIRST_HYPERVISOR_SLOT], 0);
}

/* --- mmu_update ------------------------------------------------------------------------------- */

static void test_updates(void **state)
{
    pte_t *entry = direct_map(((maddr_t)l1 << PAGE_SHIFT) + 64);

    (void)state;
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), 0);
    assert_int_equal(update(l1, 8, make_pte(page, ROW)), 0);
    *entry |= PTE_A | PTE_D; /* the processor */
    assert_int_equal(update_as(l1, 8, make_pte(page, PTE_P), MMU_PT_UPDATE_PRESERVE_AD, DOMID_SELF),
                     0);
    assert_int_equal(*entry, make_pte(page, PTE_P | PTE_A | PTE_D));
    assert_int_equal(update(l1, 8, make_pte(page, PTE_P | PTE_NX)), 0);
    assert_int_equal(update(l1, 8, make_pte(page, PTE_P | PTE_PWT)), -EINVAL);
    assert_int_equal(update(l1, 8, make_pte(page, PTE_P | PTE_AVAIL)), 0);
    assert_int_equal(update(FRAMES, 0, 0), -EINVAL);
    assert_int_equal(update(IO, 0, 0), -EINVAL);
    g->updates[0].ptr = ~7ull;
    assert_int_equal(do_mmu_update(g->updates, 1, NULL, DOMID_SELF), -EINVAL);
    for (unsigned i = 0; i < 12; i++) { /* whatever a batch has for "no table yet" */
        g->updates[0].ptr =
            (i & 4 ? 0xFFFFFFFFull : 0) << 32 | (i & 8 ? 0xFFFFF000 : 0) | (i & 3) * 8;
        g->updates[0].val = 0;
        assert_int_equal(do_mmu_update(g->updates, 1, NULL, DOMID_SELF), -EINVAL);
        g->updates[1] = g->updates[0];
        g->updates[0].ptr = ((uint64_t)l1 << PAGE_SHIFT) + 16;
        assert_int_equal(do_mmu_update(g->updates, 2, NULL, DOMID_SELF), -EINVAL);
    }
    assert_int_equal(update_as(page, 0, 77, MMU_MACHPHYS_UPDATE, DOMID_SELF), 0);
    assert_int_equal(m2p[page], 77);
    assert_int_equal(update_as(1, 0, 77, MMU_MACHPHYS_UPDATE, DOMID_SELF), -EINVAL);
    assert_int_equal(update_as(FRAMES, 0, 77, MMU_MACHPHYS_UPDATE, DOMID_SELF), -EINVAL);

    /* How many were done is told, where it can be. */
    g->updates[0].ptr = (uint64_t)page << PAGE_SHIFT;
    g->updates[1].ptr = (uint64_t)FRAMES << PAGE_SHIFT;
    assert_int_equal(do_mmu_update(g->updates, 2, done, DOMID_SELF), -EINVAL);
    assert_int_equal(*done, 1);
    assert_int_equal(do_mmu_update(g->updates, 1, read_only, DOMID_SELF), 0);
    assert_int_equal(do_mmu_update(nowhere, 1, done, DOMID_SELF), -EFAULT);
    assert_int_equal(do_mmu_update(g->updates, 0x7fffffff, done, DOMID_SELF), -EFAULT);
    assert_int_equal(do_mmu_update((void *)0xf57ffff8, 1, done, DOMID_SELF), -EFAULT);
    assert_int_equal(do_mmu_update(g->updates, 0x80000001, nowhere, DOMID_SELF), 0);
    assert_int_equal(do_mmu_update(g->updates, 0, (void *)0xf5800000, DOMID_SELF), 0);
}

/* L2 entries that keep their table need no new references, but good flags. */
static void test_flags_of_tables(void **state)
{
    (void)state;
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    assert_int_equal(update(l2, 0, make_pte(l1, ROW | PTE_US)), 0);
    assert_int_equal(update_as(l2, 0, make_pte(l1, ROW), MMU_PT_UPDATE_PRESERVE_AD, DOMID_SELF), 0);
    assert_int_equal(update(l2, 0, make_pte(l1, ROW | PTE_PSE)), -EINVAL);
    assert_int_equal(update(l2, 0, make_pte(page, ROW)), -EINVAL);
    assert_int_equal(update_as(l2, 0, 0, MMU_PT_UPDATE_PRESERVE_AD, DOMID_SELF), 0);
    assert_int_equal(types(l1), 0);
    assert_int_equal(update(l2, 0, make_pte(l1, ROW)), 0);
}

static void test_long_batch(void **state)
{
    (void)state;
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), 0);
    for (unsigned i = 0; i < 200; i++) {
        g->updates[i].ptr = ((uint64_t)(i % 50 == 49 ? l1 : page) << PAGE_SHIFT) + (i + 8) * 8;
        g->updates[i].val = i % 50 == 49 ? make_pte(page, PTE_P) : i;
    }
    assert_int_equal(update(l1, 0, 0), 0);
    preempt_after = 2;
    g->updates[0].ptr = ((uint64_t)page << PAGE_SHIFT) + 64;
    g->updates[0].val = 0;
    assert_int_equal(do_mmu_update(g->updates, 200, done, DOMID_SELF), -ERESTART);
    assert_in_range(*done, 1, 199);
    preempt_after = 0;
    assert_int_equal(again(do_mmu_update), 0);
    assert_int_equal(*done, 200);
    assert_int_equal(counts(page), 5);
}

/* Writes to ordinary memory, one after another, and in the same call its first use as a table. */
static void test_plain_batch(void **state)
{
    static const struct {
        bool to_l2;
        unsigned index, how;
    } requests[] = {
        {false, 0, MMU_NORMAL_PT_UPDATE},
        {false, 70, MMU_PT_UPDATE_PRESERVE_AD},
        {false, 1, 3},
        {false, 2, MMU_NORMAL_PT_UPDATE},
        {true, 9, MMU_NORMAL_PT_UPDATE},
        {false, 3, MMU_NORMAL_PT_UPDATE},
    };
    mfn_t table = fresh(), directory = fresh(), last = fresh();
    uint32_t held;
    const pte_t *entries = direct_map((maddr_t)table << PAGE_SHIFT);

    (void)state;
    /* It was writable once, and nothing maps it now. */
    assert_int_equal(update(l1, 100, make_pte(table, ROW)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), 0);
    assert_int_equal(ext(MMUEXT_PIN_L2_TABLE, directory), 0);
    assert_int_equal(update(l1, 100, 0), 0);
    held = counts(page);
    for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
        maddr_t at = (maddr_t)(requests[i].to_l2 ? directory : table) << PAGE_SHIFT;

        g->updates[i].ptr = at + requests[i].index * 8 + requests[i].how;
        g->updates[i].val = make_pte(requests[i].to_l2 ? table : page, PTE_P);
    }
    assert_int_equal(do_mmu_update(g->updates, ARRAY_SIZE(requests), done, DOMID_SELF), 0);
    assert_int_equal(*done, ARRAY_SIZE(requests));
    assert_int_equal(type_of(table), FT_L1 | FT_VALIDATED | 1);
    for (unsigned i = 0; i < ARRAY_SIZE(requests); i++)
        if (!requests[i].to_l2)
            assert_int_equal(entries[requests[i].index], make_pte(page, PTE_P));
    assert_int_equal(counts(page), held + 5);
    assert_int_equal(audit_frames(), 0);

    /* Nothing is held of a frame once the call has ended. */
    assert_int_equal(update(last, 5, 7), 0);
    assert_int_equal(counts(last), 1);
    assert_int_equal(types(last), 0);

    /* The same address but for its upper half is another frame. */
    g->updates[0].ptr = (maddr_t)last << PAGE_SHIFT;
    g->updates[1].ptr = g->updates[0].ptr + 8 + (1ull << 40);
    assert_int_equal(do_mmu_update(g->updates, 2, done, DOMID_SELF), -EINVAL);
    assert_int_equal(*done, 1);
}

/* What was a table is mapped writable: where it was mapped read-only, and in another's place. */
static void test_writable_again(void **state)
{
    mfn_t table = fresh();

    (void)state;
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(update(l1, 100, 0) | update(l1, 101, 0), 0);
        assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, table) | unpin(table), 0);
        assert_int_equal(frame_type(mfn_frame(table)), FT_L1);
        assert_int_equal(update(l1, 100, make_pte(i ? table : page, PTE_P)), 0);
        assert_int_equal(update(l1, 100, make_pte(table, ROW)), 0);
        assert_int_equal(type_of(table), FT_WRITABLE | FT_VALIDATED | 1);
        assert_int_equal(audit_frames(), 0);
    }
    /* Not while it is one. */
    assert_int_equal(update(l1, 100, make_pte(table, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, table), 0);
    assert_int_equal(update(l1, 100, make_pte(table, ROW)), -EBUSY);
    assert_int_equal(update(l1, 100, make_pte(table, ROW | PTE_PWT)), -EINVAL);
    assert_int_equal(audit_frames(), 0);
}

static void test_foreign(void **state)
{
    const uint32_t own = (DOMID_SELF & 0xffff), theirs = (3u + 1) << 16 | 3u;
    mfn_t mine;

    (void)state;
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), 0);
    assert_int_equal(update_as(l1, 9, 0, 0, 3), -ESRCH); /* one's own number */
    assert_int_equal(update_as(l1, 9, 0, 0, 0), -EPERM);
    assert_int_equal(update_as(l1, 9, 0, 0, 1u << 16 | own), -EPERM);
    assert_int_equal(update_as(l1, 9, 0, 0, DOMID_IO), -EPERM);
    machine_switch(control);
    assert_int_equal(update_as(l1, 9, 0, 0, 4u), -ESRCH);
    assert_int_equal(update_as(l1, 9, make_pte(page, ROW), 0, theirs), 0);
    mine = alloc_domain_frames(control, 0, 0);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, mine), 0);
    assert_int_equal(update_as(mine, 0, make_pte(page, ROW), 0, 3), 0);
    assert_int_equal(update_as(mine, 1, make_pte(page, ROW), 0, own), -EBUSY);
    assert_int_equal(update_as(mine, 2, make_pte(IO, ROW | PTE_PCD), 0, DOMID_IO), 0);
    assert_int_equal(update_as(mine, 3, make_pte(IO + 100, ROW), 0, own), 0);
    assert_int_equal(update_as(mine, 3, 1ull << 40 | ROW, 0, own), -EPERM);
    keep_device(IO + 9); /* an interrupt controller */
    assert_int_equal(update_as(mine, 4, make_pte(IO + 9, ROW), 0, DOMID_IO), -EPERM);
    assert_int_equal(update_as(mine, 4, make_pte(IO + 8, ROW), 0, DOMID_IO), 0);
    assert_int_equal(ext_as(MMUEXT_PIN_L2_TABLE, l2, 0, 3), 0);
    assert_int_equal(ext_as(MMUEXT_UNPIN_TABLE, l2, 0, 3), 0);
    assert_int_equal(ext_as(MMUEXT_NEW_BASEPTR, l3, 0, 3), -EPERM);
    assert_int_equal(ext_as(MMUEXT_CLEAR_PAGE, page, 0, 9), -ESRCH);
    /* The dead domain waits for its last frame. */
    assert_int_equal(machine_domain_kill(d), 0);
    assert_int_equal(seen.domains_freed, 0);
    assert_int_equal(d->tot_pages, 1);
    assert_int_equal(audit_frames(), 0);
    assert_int_equal(update_as(mine, 0, 0, 0, own), 0);
    assert_int_equal(seen.domains_freed, 1);
    d = NULL;
}

/* --- update_va_mapping ------------------------------------------------------------------------ */

static void test_va_mapping(void **state)
{
    const uint32_t low = page << 12 | 3;
    uint32_t *bitmap = g->words;

    (void)state;
    assert_int_equal(do_update_va_mapping(0x5000, low, 0, 0), -EINVAL); /* no root yet */
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    assert_int_equal(do_update_va_mapping(0x5000, low, 0, 0), 0);
    assert_int_equal(types(page), 2);
    assert_int_equal(do_update_va_mapping(0x5000, low, 0x80000000, UVMF_INVLPG | UVMF_LOCAL), 0);
    assert_int_equal(do_update_va_mapping(0x5000, l1 << 12 | 3, 0, 0), -EBUSY);
    assert_int_equal(do_update_va_mapping(0x200000, low, 0, 0), -EINVAL);
    assert_int_equal(do_update_va_mapping(0x40000000, low, 0, 0), -EINVAL);
    assert_int_equal(do_update_va_mapping(HYPERVISOR_START, low, 0, 0), -EINVAL);
    assert_int_equal(do_update_va_mapping(0x5000, low, 0, UVMF_TLB_FLUSH | UVMF_LOCAL), 0);
    assert_int_equal(do_update_va_mapping(0x5000, low, 0, UVMF_TLB_FLUSH | UVMF_ALL), 0);
    assert_int_equal(do_update_va_mapping(0x5000, low, 0, 3), -EINVAL);
    assert_int_equal(do_update_va_mapping(0x5000, low, 0, UVMF_ALL), 0); /* UVMF_NONE */
    *bitmap = 1;
    d->vcpus[0]->running = true;
    d->vcpus[0]->processor = this_cpu;
    assert_int_equal(do_update_va_mapping(0x5000, low, 0, UVMF_INVLPG | (uintptr_t)bitmap), 0);
    assert_int_equal(do_update_va_mapping(0x5000, low, 0, UVMF_INVLPG | (uintptr_t)nowhere),
                     -EFAULT);
    assert_int_equal(do_update_va_mapping_otherdomain(0x5000, 0, 0, 0, 3), -ESRCH);
    assert_int_equal(do_update_va_mapping_otherdomain(0x5000, 0, 0, 0, DOMID_SELF), 0);
    assert_int_equal(do_update_va_mapping_otherdomain(0x6000, low, 0, 1, DOMID_SELF), 0);
    assert_int_equal(do_update_va_mapping_otherdomain(0x200000, low, 0, 1, DOMID_SELF), -EINVAL);
    assert_int_equal(types(page), 2);
    assert_int_equal(guest_l1_entry(current, 0x6000), make_pte(page, ROW));
    assert_int_equal(guest_l1_entry(current, 0x80000000), 0);
}

/* --- mmuext_op -------------------------------------------------------------------------------- */

static void test_ext_ops(void **state)
{
    static const unsigned flushes[] = {MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_INVLPG_LOCAL,
                                       MMUEXT_TLB_FLUSH_ALL, MMUEXT_INVLPG_ALL};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(flushes); i++) {
        seen.flushes = 0;
        assert_int_equal(ext(flushes[i], 0x5000), 0);
        assert_int_equal(seen.flushes, 1);
    }
    g->words[15] = 1;
    assert_int_equal(ext_as(MMUEXT_TLB_FLUSH_MULTI, 0, (uintptr_t)&g->words[15], DOMID_SELF), 0);
    assert_int_equal(ext_as(MMUEXT_INVLPG_MULTI, 0, (uintptr_t)&g->words[15], DOMID_SELF), 0);
    assert_int_equal(ext_as(MMUEXT_INVLPG_MULTI, 0, (uintptr_t)nowhere, DOMID_SELF), -EINVAL);
    assert_int_equal(ext(MMUEXT_FLUSH_CACHE, 0), -EACCES);
    assert_int_equal(ranges_change(&d->iomem, 0xb8, 0xb8, true), 0);
    assert_int_equal(ext(MMUEXT_FLUSH_CACHE_GLOBAL, 0), 0);
    ranges_clear(&d->iomem);
    assert_int_equal(ext(MMUEXT_MARK_SUPER, page), -EOPNOTSUPP);
    assert_int_equal(ext(MMUEXT_UNMARK_SUPER, page), -EOPNOTSUPP);
    assert_int_equal(ext(99, 0), -ENOSYS);
    assert_int_equal(update(page, 3, 0x1234), 0);
    assert_int_equal(ext_as(MMUEXT_COPY_PAGE, l1, page, DOMID_SELF), 0);
    assert_int_equal(machine_pte(l1, 3), 0x1234);
    assert_int_equal(ext(MMUEXT_CLEAR_PAGE, l1), 0);
    assert_int_equal(machine_pte(l1, 3), 0);
    assert_int_equal(ext(MMUEXT_CLEAR_PAGE, FRAMES), -EINVAL);
    assert_int_equal(ext_as(MMUEXT_COPY_PAGE, l1, FRAMES, DOMID_SELF), -EINVAL);
    assert_int_equal(ext_as(MMUEXT_COPY_PAGE, l1, 1, DOMID_SELF), -EINVAL);
    for (unsigned i = 0; i < 20; i++)
        g->ext[i].cmd = MMUEXT_TLB_FLUSH_LOCAL;
    preempt_after = 2;
    assert_int_equal(do_mmuext_op(g->ext, 20, done, DOMID_SELF), -ERESTART);
    assert_int_equal(*done, 15);
    assert_int_equal(again(do_mmuext_op), 0);
    assert_int_equal(*done, 20);
    assert_int_equal(do_mmuext_op(nowhere, 1, done, DOMID_SELF), -EFAULT);
    assert_int_equal(do_mmuext_op(g->ext, 0x7fffffff, done, DOMID_SELF), -EFAULT);
    assert_int_equal(do_mmuext_op((void *)0xf57ffff8, 1, done, DOMID_SELF), -EFAULT);
    assert_int_equal(do_mmuext_op(g->ext, 1, read_only, DOMID_SELF), 0);
}

static void test_roots(void **state)
{
    mfn_t top2 = fresh(), l3b = fresh();

    (void)state;
    assert_int_equal(update(l3b, 3, make_pte(top2, PTE_P)), 0);
    assert_int_equal(update(l3b, 0, make_pte(l2, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, FRAMES), -EINVAL);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l2), -EINVAL);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    assert_int_equal(types(l3), 1);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3b), 0);
    assert_int_equal(types(l3), 0);
    fill_l2();
    assert_int_equal(update(l3b, 0, 0), 0);
    assert_int_equal(update(l3b, 0, make_pte(l2, PTE_P)), 0);
    assert_int_equal(update(l3, 0, 0), 0);
    preempt_after = 1; /* the old root is undone in slices */
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), -ERESTART);
    assert_int_equal(current->l3_frame, l3);
    assert_int_equal(current->old_table, l3b);
    assert_int_equal(audit_frames(), 0);
    preempt_after = 0;
    assert_int_equal(again(do_mmuext_op), 0);
    assert_int_equal(types(l2), 0);
}

/* --- Descriptor tables ------------------------------------------------------------------------ */

static void test_descriptor_tables(void **state)
{
    mfn_t gdt = fresh(), bad = fresh();
    const uint64_t pa = (uint64_t)gdt << PAGE_SHIFT;

    (void)state;
    assert_int_equal(update(bad, 7, 0x00ce9a000000ffff), 0); /* base low, limit far: cut */
    assert_int_equal(update(bad, 8, 0x0000890000000000), 0); /* a TSS */
    g->gdt[0] = gdt;
    g->gdt[1] = bad;
    assert_int_equal(do_set_gdt(g->gdt, 1024), -EINVAL);
    assert_int_equal(types(gdt), 0);
    g->gdt[1] = FRAMES;
    assert_int_equal(do_set_gdt(g->gdt, 1024), -EINVAL);
    assert_int_equal(do_set_gdt(g->gdt, 512), 0);
    assert_int_equal(type_of(gdt), FT_SEG | FT_VALIDATED | 1);
    assert_int_equal(do_set_gdt(g->gdt, 7169), -EINVAL);
    assert_int_equal(do_set_gdt(nowhere, 512), -EFAULT);
    assert_int_equal(set_gdt(current, g->gdt, 7169), -EINVAL);
    assert_int_equal(update(gdt, 0, 0), -EINVAL); /* not by this door */
    assert_int_equal(do_update_descriptor(pa + 8, 0, 0xffff, 0x00cfbb00), 0);
    assert_int_equal(do_update_descriptor(pa + 8, 0, 0, 0x00008900), -EINVAL);
    assert_int_equal(do_update_descriptor(pa + 4, 0, 0, 0), -EINVAL);
    assert_int_equal(do_update_descriptor(0, 0x100, 0, 0), -EINVAL);
    assert_int_equal(do_update_descriptor(1 << 12, 0, 0, 0), -EINVAL);
    assert_int_equal(do_update_descriptor((uint64_t)page << 12, 0, 0, 0), 0);
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, l1), 0);
    assert_int_equal(do_update_descriptor((uint64_t)l1 << 12, 0, 0, 0), -EINVAL);
    assert_int_equal(update(l1, 20, make_pte(gdt, ROW)), -EBUSY);
    assert_int_equal(update(l1, 20, make_pte(gdt, PTE_P)), 0);
    assert_int_equal(do_set_gdt(g->gdt, 0), 0);
    assert_int_equal(types(gdt), 0);
    destroy_gdt(d->vcpus[0]);
    machine_switch(control);
    g->gdt[0] = gdt;
    assert_int_equal(set_gdt(d->vcpus[0], g->gdt, 512), 0); /* as the control domain does */
}

static void test_ldt(void **state)
{
    mfn_t table = fresh();

    (void)state;
    assert_int_equal(update(l1, 6, make_pte(table, PTE_P)), 0);
    assert_int_equal(update(l1, 7, make_pte(page, ROW)), 0);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    assert_int_equal(ext_as(MMUEXT_SET_LDT, 0x6000, 8193, DOMID_SELF), -EINVAL);
    assert_int_equal(ext_as(MMUEXT_SET_LDT, 0x6008, 1, DOMID_SELF), -EINVAL);
    assert_int_equal(ext_as(MMUEXT_SET_LDT, 0xf57ff000, 513, DOMID_SELF), -EINVAL);
    assert_int_equal(ext_as(MMUEXT_SET_LDT, 0x6000, 1500, DOMID_SELF), 0);
    assert_true(fault_in_ldt_page(0x10));
    assert_int_equal(types(table), 1);
    assert_false(fault_in_ldt_page(0x10));   /* mapped: the fault is the guest's */
    assert_false(fault_in_ldt_page(0x1010)); /* a writable page */
    assert_false(fault_in_ldt_page(0x2010)); /* nothing there */
    assert_false(fault_in_ldt_page(0x3010)); /* beyond */
    assert_int_equal(update(l1, 30, make_pte(table, ROW)), -EBUSY);
    load_guest_ldt(current);
    assert_int_equal(ext_as(MMUEXT_SET_LDT, 0x6000, 1500, DOMID_SELF), 0); /* the same */
    assert_int_equal(types(table), 1);
    assert_int_equal(ext_as(MMUEXT_SET_LDT, 0, 0, DOMID_SELF), 0);
    assert_int_equal(types(table), 0);
    assert_int_equal(ext_as(MMUEXT_SET_LDT, 0x6000, 600, DOMID_SELF), 0);
    assert_true(fault_in_ldt_page(0)); /* for teardown */
}

/* --- The end ---------------------------------------------------------------------------------- */

static long give_back(mfn_t mfn)
{
    xen_pfn_t *list = (xen_pfn_t *)(GUEST_MEMORY + 0x9000);

    list[0] = mfn;
    g->r = (struct xen_memory_reservation){
        .extent_start = {list}, .nr_extents = 1, .domid = DOMID_SELF};
    return do_memory_op(XENMEM_decrease_reservation, &g->r);
}

/* Frames given back while pinned leave in the middle of the teardown: the rest is found all the same. */
static void test_given_back_while_pinned(void **state)
{
    mfn_t tables[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        tables[i] = fresh();
        assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, tables[i]), 0);
    }
    for (unsigned i = 0; i < 8; i += 2)
        assert_int_equal(give_back(tables[i]), 1);
    assert_int_equal(give_back(tables[0]), 0);
    assert_int_equal(d->tot_pages, 13);
    assert_int_equal(counts(tables[0]), 1);
}

/* The control domain can neither pin a table of a domain that is going, nor write one (found by fuzzing). */
static void test_nothing_new_for_the_dying(void **state)
{
    mfn_t frames[40];

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        frames[i] = fresh();
    machine_switch(control);
    preempt_after = 1;
    assert_int_equal(machine_domain_kill(d), -ERESTART);
    preempt_after = 0;
    assert_int_equal(d->teardown_phase, 3);
    assert_int_equal(ext_as(MMUEXT_PIN_L1_TABLE, l1, 0, 3), -EINVAL);
    assert_int_equal(ext_as(MMUEXT_PIN_L1_TABLE, frames[0], 0, 3), -EINVAL);
    assert_int_equal(update_as(l1, 0, 0, 0, 4u << 16 | 3), -ESRCH);
    assert_int_equal(machine_domain_kill(d), 0);
    assert_int_equal(seen.domains_freed, 1);
    d = NULL;
}

/* Interrupted wherever it can be, with everything a domain can hold. */
static void test_teardown_in_slices(void **state)
{
    unsigned slices = 0;
    mfn_t gdt = fresh(), many[130];

    (void)state;
    fill_l2();
    assert_int_equal(update(l2, 70, make_pte(l2, PTE_P)), 0);
    assert_int_equal(ext(MMUEXT_PIN_L3_TABLE, l3), 0);
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    g->gdt[0] = gdt;
    assert_int_equal(do_set_gdt(g->gdt, 512), 0);
    for (unsigned i = 0; i < 130; i++)
        many[i] = fresh();
    assert_int_equal(ext(MMUEXT_PIN_L1_TABLE, many[3]), 0);
    assert_int_equal(give_back(many[3]), 1);
    machine_switch(control);
    for (preempt_after = 1; machine_domain_kill(d) == -ERESTART; preempt_after = 1) {
        assert_int_equal(audit_frames(), 0);
        assert_true(++slices < 1000);
    }
    assert_true(slices > 10);
    assert_int_equal(seen.domains_freed, 1);
    d = NULL;
}

/* A registered vcpu_info, and a root given up in slices. */
static void test_vcpu_holds(void **state)
{
    (void)state;
    fill_l2();
    assert_int_equal(ext(MMUEXT_NEW_BASEPTR, l3), 0);
    assert_int_equal(get_frame_and_type(mfn_frame(page), d, FT_WRITABLE), 0);
    current->info_mfn = page;
    preempt_after = 1;
    assert_int_equal(drop_guest_cr3(current), -ERESTART);
    assert_int_equal(audit_frames(), 0);
    preempt_after = 1;
    assert_int_equal(finish_any_old_table(current), -ERESTART);
    preempt_after = 0;
    assert_int_equal(finish_any_old_table(current), 0);
    assert_int_equal(drop_guest_cr3(current), 0);
}

static void build_and_use(unsigned round)
{
    mfn_t t[5];

    for (unsigned i = 0; i < 5; i++)
        t[i] = fresh();
    update(t[0], round % 512, make_pte(t[4], ROW));
    update(t[1], round % 400, make_pte(t[0], ROW));
    update(t[2], 0, make_pte(t[1], PTE_P));
    update(t[2], 3, make_pte(t[3], PTE_P));
    assert_int_equal(ext(round & 1 ? MMUEXT_PIN_L3_TABLE : MMUEXT_NEW_BASEPTR, t[2]), 0);
    if (round & 2)
        assert_int_equal(give_back(t[round % 5]), 1);
    preempt_after = round & 4 ? 1 : 0;
    ext(MMUEXT_PIN_L2_TABLE, t[1]); /* done, or refused, or never finished */
    preempt_after = 0;
}

static void test_ten_thousand_lives(void **state)
{
    uint32_t free;

    (void)state;
    machine_switch(control);
    assert_int_equal(machine_domain_kill(d), 0);
    free = free_frame_count();
    for (unsigned round = 0; round < 10000; round++) {
        d = new_domain(1 + round % 900);
        machine_switch(d);
        build_and_use(round);
        machine_switch(control);
        preempt_after = round % 3;
        while (machine_domain_kill(d) == -ERESTART)
            preempt_after = round % 5;
        preempt_after = 0;
        assert_int_equal(free_frame_count(), free);
    }
    assert_int_equal(seen.domains_freed, 10001);
    d = NULL;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        T(test_references),
        T(test_one_type),
        T(test_pins),
        T(test_bad_entry),
        T(test_usual_l2_entries),
        T(test_continued),
        T(test_taken_over_and_given_up),
        T(test_half_undone_is_in_the_log),
        T(test_being_undone),
        T(test_slot_3),
        T(test_high_l3),
        T(test_common_l1s),
        T(test_last_in_a_run),
        T(test_many_directories),
        T(test_common_interrupted),
        T(test_sparse),
        T(test_common_to_the_end),
        T(test_not_common),
        T(test_common_and_bad),
        T(test_common_below_4g),
        T(test_linear_maps),
        T(test_linear_top),
        T(test_linear_top_validated),
        T(test_updates),
        T(test_flags_of_tables),
        T(test_long_batch),
        T(test_plain_batch),
        T(test_writable_again),
        T(test_foreign),
        T(test_va_mapping),
        T(test_ext_ops),
        T(test_roots),
        T(test_descriptor_tables),
        T(test_ldt),
        T(test_given_back_while_pinned),
        T(test_nothing_new_for_the_dying),
        T(test_teardown_in_slices),
        T(test_vcpu_holds),
        T(test_ten_thousand_lives),
    };

    return cmocka_run_group_tests_name("types", tests, NULL, NULL);
}
