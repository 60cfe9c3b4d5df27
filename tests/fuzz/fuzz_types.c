/* SPDX-License-Identifier: MIT */
/*
 * fuzz_types.c: up to four domains do anything to memory, and every count is right after each step.
 *
 * The input is a list of operations: one byte what (low five bits) and when preempt_needed() begins
 * to say yes (high three bits, 0 to 3: never), one byte who (low two bits: the domain), then operands.
 * A byte that names a frame is an index into the frames some domain was given, so that most numbers
 * mean something; a few mean frames that nobody may have. Interrupted hypercalls are continued by
 * an operation of their own, if ever: whatever comes between is what an upcall handler could do.
 *
 * After each operation the model (model_types.c) derives all counts from scratch and compares, now
 * and then the hypervisor's own audit must agree, and the answer is what the model says where it does. In the
 * end all domains die: every frame comes back, once and clean.
 *
 * units: mm/grant_table.c mm/grant_map.c mm/grant_setup.c
 * units: mm/grants/copy.c mm/grants/transfer.c mm/grants/version.c
 * units: mm/memory_op.c mm/reservation.c mm/exchange/exchange.c mm/memory_map.c
 * units: xen/ranges.c mm/types.c mm/entries.c mm/l1.c mm/l2_table.c mm/walk.c mm/baseptr.c
 * units: mm/mmu_update.c
 * units: mm/va_mapping.c mm/mmuext.c mm/descriptor_tables.c mm/teardown.c xen/debug/audit.c
 * units: mm/alloc.c mm/ownership.c mm/xzalloc.c traps/descriptor.c
 * units: tests/host/machine.c tests/host/machine_mm.c tests/host/machine_cpu.c
 * units: tests/fuzz/model_types.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1 -DFLAT_RING1_CS=0xe019
 * flags: -DFLAT_RING1_SS=0xe021 -DFLAT_RING3_SS=0xe033
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../host/machine.h"
#include "model_types.h"
#include <ringlet/arch.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <xen/memory.h>

enum { DOMAINS = 4, PAGES = 24, MAX_PAGES = 40, STEPS = 200 };

#define CHECK(x) ((x) ? (void)0 : failed(#x, __LINE__))

static const uint8_t *in;
static size_t left;
static struct domain *domains[DOMAINS]; /* NULL: none of this number is alive */
static struct domain *dying[DOMAINS];
static mfn_t pages[DOMAINS][PAGES]; /* frames this domain was given once */
static uint32_t all_free;
static bool quiet; /* no preemption in this operation: the answer can be foretold */

/* A hypercall that each domain may continue. */
static struct pending {
    unsigned op; /* __HYPERVISOR_*; 0: none */
    uint32_t args[4];
} pending[DOMAINS];

/* Arguments lie here, a page for each domain, where a pending call of its own finds them again. */
static union arguments {
    struct mmu_update updates[140];
    struct mmuext_op ext[2];
    uint32_t gdt[GUEST_GDT_PAGES];
    struct {
        struct xen_memory_reservation r;
        xen_pfn_t list[8];
    } reserve;
    struct {
        struct xen_memory_exchange x;
        xen_pfn_t in[8], out[8];
    } exchange;
    struct gnttab_map_grant_ref map[2];
    struct gnttab_unmap_grant_ref unmap[2];
    struct gnttab_unmap_and_replace replace;
    struct gnttab_transfer transfer;
    struct gnttab_copy copy;
    struct gnttab_setup_table setup;
    struct gnttab_set_version version;
} * a;
_Static_assert(sizeof(union arguments) <= PAGE_SIZE, "a page for each domain");

static noreturn void failed(const char *what, int line)
{
    fprintf(stderr, "fuzz_types.c:%d: not %s\n", line, what);
    abort();
}

/* --- The input -------------------------------------------------------------------------------- */

static uint8_t byte(void)
{
    if (!left)
        return 0;
    left--;
    return *in++;
}

static struct domain *me(void)
{
    return current->domain;
}

/* High two bits: whose; the rest: which of his, or something no guest should have. */
static mfn_t a_frame(void)
{
    uint8_t b = byte(), i = b & 63;

    switch (i) {
    case 63:
        return INVALID_MFN;
    case 62:
        return MODEL_FRAMES + 3;
    case 61:
        return MODEL_IO_START + 5;
    case 60:
        return b >> 6; /* 0 is never given to anybody; the first others are free, or the heap's */
    case 59:
        return domains[b >> 6] && domains[b >> 6]->grant.shared[0]
                   ? direct_mfn(domains[b >> 6]->grant.shared[0])
                   : 0;
    default:
        return pages[b >> 6][i % PAGES];
    }
}

/* Mostly plain flags, sometimes any. */
static pte_t an_entry(void)
{
    static const uint64_t usual[] = {0,
                                     PTE_P,
                                     PTE_P | PTE_RW,
                                     PTE_P | PTE_RW | PTE_US,
                                     PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D,
                                     PTE_P | PTE_NX,
                                     PTE_P | PTE_RW | PTE_NX | PTE_A,
                                     PTE_P | PTE_US | PTE_AVAIL};
    mfn_t mfn = a_frame();
    uint8_t b = byte();
    uint64_t flags = b < 192 ? usual[b & 7] : PTE_P | (uint64_t)(b & 63) << 3 | (b & 2);

    if (b == 255)
        flags |= (uint64_t)byte() << 48;
    return mfn == INVALID_MFN ? PTE_ADDR | flags : make_pte(mfn, flags);
}

/* Entries cluster where rules change: the start, around 8, the hypervisor's slots, the end. */
static unsigned an_index(void)
{
    uint8_t b = byte();

    return b < 16 ? b : b < 32 ? L2_FIRST_HYPERVISOR_SLOT - 8 + (b & 15) : b * 2;
}

static uint32_t a_foreign_domain(uint8_t b)
{
    return b < 192 ? DOMID_SELF : b == 255 ? DOMID_IO : (b & 7) % 6;
}

/* Whose frames a DOMID names in an operation of the current domain; NULL: refused. */
static const struct domain *foreign(uint32_t id)
{
    if (id == DOMID_SELF)
        return me();
    if (id == DOMID_IO)
        return me()->iomem.n ? &io_domain : NULL;
    if (!me()->privileged || id == me()->id || id >= DOMAINS)
        return NULL;
    return domain_slots[id];
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void expect(long rc, enum verdict v)
{
    if (quiet && v != UNSURE && rc != -ERESTART)
        CHECK((rc == 0) == (v == YES));
}

static enum verdict both(bool possible, enum verdict v)
{
    return possible ? v : NO;
}

/* What hypercall_continue() noted: this domain goes on with that. */
static long interrupted(long rc, unsigned op, unsigned nr_args)
{
    struct pending *p = &pending[me()->slot];

    CHECK(rc != -ERESTART || nr_args);
    p->op = rc == -ERESTART ? op : 0;
    memcpy(p->args, seen.continued, sizeof(p->args));
    return rc;
}

/* --- Page tables ------------------------------------------------------------------------------ */

static void update_entry(unsigned how)
{
    mfn_t table = a_frame();
    unsigned index = an_index();
    pte_t e = an_entry();
    uint8_t b = byte();
    uint32_t pt = how == 2 ? a_foreign_domain(byte()) : DOMID_SELF;
    uint32_t own = how == 2 ? a_foreign_domain(b) : DOMID_SELF;
    /* the caller's own number does for the tables, not for the frames (mmu_update.c, rule 4) */
    const struct domain *pt_owner = pt == me()->id ? me() : foreign(pt), *owner = foreign(own);
    uint32_t *done = (uint32_t *)&a->updates[139];
    enum verdict v = NO;
    long rc;

    if (pt_owner && owner && pt_owner->state == DOMAIN_ALIVE && may_reach(table, pt_owner))
        v = may_write_entry(table, index, e, pt_owner, owner);
    if (pt_owner && owner && pt_owner != owner && me()->privileged)
        model_trust(pt_owner);
    a->updates[0].ptr = ((uint64_t)table << PAGE_SHIFT) + index * 8 +
                        (how == 1 ? MMU_PT_UPDATE_PRESERVE_AD : MMU_NORMAL_PT_UPDATE);
    a->updates[0].val = e;
    rc = do_mmu_update(a->updates, 1, done, pt == DOMID_SELF ? own : (pt + 1) << 16 | own);
    expect(rc, v);
    CHECK(rc != 0 || *done == 1);
    interrupted(rc, __HYPERVISOR_mmu_update, 4);
}

/* Many requests, so that the call is preempted between them. */
static void update_many(void)
{
    mfn_t table = a_frame();
    unsigned index = an_index();
    pte_t e = an_entry();

    for (unsigned i = 0; i < 130; i++) {
        a->updates[i].ptr = ((uint64_t)table << PAGE_SHIFT) + (index + i) % 512 * 8;
        a->updates[i].val = e;
    }
    interrupted(do_mmu_update(a->updates, 130, (uint32_t *)&a->updates[139], DOMID_SELF),
                __HYPERVISOR_mmu_update, 4);
}

static void update_machphys(void)
{
    mfn_t mfn = a_frame();
    uint32_t id = a_foreign_domain(byte());
    const struct domain *owner = foreign(id);
    long rc;

    a->updates[0].ptr = ((uint64_t)mfn << PAGE_SHIFT) | MMU_MACHPHYS_UPDATE;
    a->updates[0].val = byte();
    rc = do_mmu_update(a->updates, 1, NULL, id);
    expect(rc, both(owner && may_reach(mfn, owner), YES));
    CHECK(rc || m2p[mfn] == a->updates[0].val);
}

static uint32_t an_address(void)
{
    uint8_t b = byte();

    return (uint32_t)(b >> 6) << 30 | (b >> 3 & 7) << SUPERPAGE_SHIFT | (b & 7) << PAGE_SHIFT;
}

static void update_va(bool other)
{
    uint32_t va = an_address(), id = other ? a_foreign_domain(byte()) : DOMID_SELF;
    static const uint32_t flush[] = {0, UVMF_INVLPG | UVMF_LOCAL, UVMF_TLB_FLUSH | UVMF_ALL, 3};
    uint32_t flags = flush[byte() & 3];
    pte_t e = an_entry(), *p;
    const struct domain *owner = foreign(id);
    enum verdict v = NO;
    mfn_t l1;
    long rc;

    p = map_guest_l1(current, va, &l1);
    if (p) {
        unmap_frame(p);
        if (owner && (model_type(l1) & FT_TYPE) == FT_L1)
            v = may_write_entry(l1, l1_index(va), e, me(), owner);
        if (owner && owner != me())
            model_trust(me());
    }
    if (other)
        rc = do_update_va_mapping_otherdomain(va, e, e >> 32, flags, id);
    else
        rc = do_update_va_mapping(va, e, e >> 32, flags);
    expect(rc, flags == 3 && v == YES ? NO : v);
}

static void ext_op(unsigned cmd, mfn_t mfn, uint32_t arg2, uint32_t foreigndom)
{
    memset(a->ext, 0, sizeof(a->ext));
    a->ext[0].cmd = cmd;
    a->ext[0].arg1.mfn = mfn;
    if (cmd == MMUEXT_COPY_PAGE)
        a->ext[0].arg2.src_mfn = arg2;
    else
        a->ext[0].arg2.nr_ents = arg2;
    interrupted(do_mmuext_op(a->ext, 1, NULL, foreigndom), __HYPERVISOR_mmuext_op, 4);
}

/* Did the call end, and how? A pin begun in one step may be made in another. */
static void note_pin(const struct mmuext_op *op, long rc)
{
    static const uint32_t types[] = {[MMUEXT_PIN_L1_TABLE] = FT_L1,
                                     [MMUEXT_PIN_L2_TABLE] = FT_L2,
                                     [MMUEXT_PIN_L3_TABLE] = FT_L3};
    mfn_t mfn = op->arg1.mfn;

    if (op->cmd <= MMUEXT_PIN_L3_TABLE && rc == 0)
        model_pin(mfn, types[op->cmd]);
    if (op->cmd == MMUEXT_UNPIN_TABLE && model_is_pinned(mfn) &&
        !(mfn_frame(mfn)->type_info & FT_PINNED))
        model_unpin(mfn);
}

static void pin(void)
{
    uint8_t b = byte();
    unsigned cmd = MMUEXT_PIN_L1_TABLE + b % 3;
    mfn_t mfn = a_frame();
    uint32_t id = a_foreign_domain(b);
    const struct domain *owner = foreign(id);
    enum verdict v = NO;
    long rc;

    if (owner && owner->state == DOMAIN_ALIVE && !model_is_pinned(mfn))
        v = may_get(mfn, owner, FT_L1 + (b % 3) * (FT_L2 - FT_L1));
    memset(a->ext, 0, sizeof(a->ext));
    a->ext[0].cmd = cmd;
    a->ext[0].arg1.mfn = mfn;
    rc = do_mmuext_op(a->ext, 1, NULL, id);
    expect(rc, v);
    note_pin(a->ext, rc);
    interrupted(rc, __HYPERVISOR_mmuext_op, 4);
}

static void unpin(void)
{
    mfn_t mfn = a_frame();
    uint32_t id = a_foreign_domain(byte());
    const struct domain *owner = foreign(id);
    bool was = owner && may_reach(mfn, owner) && model_is_pinned(mfn);
    long rc;

    memset(a->ext, 0, sizeof(a->ext));
    a->ext[0].cmd = MMUEXT_UNPIN_TABLE;
    a->ext[0].arg1.mfn = mfn;
    rc = do_mmuext_op(a->ext, 1, NULL, id);
    expect(rc, was ? YES : NO);
    note_pin(a->ext, rc);
    /* What is left to undo needs no second unpin. */
    interrupted(rc, __HYPERVISOR_mmuext_op, 4);
}

static void new_base(void)
{
    mfn_t mfn = a_frame();
    enum verdict v = mfn == current->l3_frame ? YES : may_get(mfn, me(), FT_L3);
    long rc;

    memset(a->ext, 0, sizeof(a->ext));
    a->ext[0].cmd = MMUEXT_NEW_BASEPTR;
    a->ext[0].arg1.mfn = mfn;
    rc = do_mmuext_op(a->ext, 1, NULL, DOMID_SELF);
    expect(rc, v);
    CHECK(rc || current->l3_frame == mfn);
    interrupted(rc, __HYPERVISOR_mmuext_op, 4);
}

static void page_op(void)
{
    uint8_t b = byte();
    unsigned cmd = b & 1 ? MMUEXT_CLEAR_PAGE : MMUEXT_COPY_PAGE;
    mfn_t dst = a_frame(), src = a_frame();
    uint32_t id = a_foreign_domain(b);
    const struct domain *owner = foreign(id);
    enum verdict v = NO;

    if (owner && (cmd == MMUEXT_CLEAR_PAGE || may_reach(src, owner)))
        v = may_get(dst, owner, FT_WRITABLE);
    memset(a->ext, 0, sizeof(a->ext));
    a->ext[0].cmd = cmd;
    a->ext[0].arg1.mfn = dst;
    a->ext[0].arg2.src_mfn = src;
    expect(do_mmuext_op(a->ext, 1, NULL, id), v);
}

/* Every other operation of mmuext_op, with any argument. */
static void any_ext(void)
{
    unsigned cmd = byte() % 24;

    if (cmd <= MMUEXT_NEW_BASEPTR || cmd == MMUEXT_UNPIN_TABLE)
        return;
    ext_op(cmd, cmd == MMUEXT_SET_LDT ? an_address() : a_frame(), byte() * 64u, DOMID_SELF);
}

/* --- Descriptor tables ------------------------------------------------------------------------ */

static void gdt(void)
{
    unsigned n = byte() % 4;
    enum verdict v = YES;

    for (unsigned i = 0; i < n; i++) {
        a->gdt[i] = a_frame();
        v = v == YES ? may_get(a->gdt[i], me(), FT_SEG) : v;
    }
    expect(do_set_gdt(a->gdt, n * 512), v);
}

static void ldt(void)
{
    ext_op(MMUEXT_SET_LDT, an_address(), byte() * 16, DOMID_SELF);
    fault_in_ldt_page((uint32_t)byte() << 9);
}

static void descriptor(void)
{
    static const uint32_t high[] = {0, 0x00cfbb00, 0x00cffb00, 0x00009200, 0xffffffff, 0x0000ec00};
    mfn_t mfn = a_frame();
    uint64_t pa = ((uint64_t)mfn << PAGE_SHIFT) + an_index() * 8;
    struct desc desc = {0x0000ffff, high[byte() % 6]}, checked = desc;
    enum verdict v = NO;

    if (check_descriptor(&checked) && may_reach(mfn, me()))
        v = may_get(mfn, me(), model_type(mfn) == FT_SEG ? FT_SEG : FT_WRITABLE);
    if (v == NO && !model_type_count(mfn % MODEL_FRAMES))
        v = UNSURE; /* a frame that was a descriptor table last is tried as one again */
    expect(do_update_descriptor(pa, pa >> 32, desc.a, desc.b), v);
}

/* --- Reservations ----------------------------------------------------------------------------- */

static mfn_t *place_of_page(unsigned i)
{
    return &pages[me()->slot][i % PAGES];
}

static void check_clean(mfn_t mfn)
{
    static const uint8_t zeros[PAGE_SIZE];

    CHECK(!memcmp(direct_map((maddr_t)mfn << PAGE_SHIFT), zeros, PAGE_SIZE));
}

static void reserve(unsigned op)
{
    uint8_t b = byte(), at = byte();
    unsigned n = 1 + (b & 3), order = b >> 7;
    long done;

    for (unsigned i = 0; i < n; i++)
        a->reserve.list[i] = op == XENMEM_decrease_reservation ? a_frame() : 100 + i;
    a->reserve.r = (struct xen_memory_reservation){.extent_start = {a->reserve.list},
                                                   .nr_extents = n,
                                                   .extent_order = order,
                                                   .domid = a_foreign_domain(b & 0x40 ? at : 0)};
    done = do_memory_op(op, &a->reserve.r);
    for (unsigned i = 0; op != XENMEM_decrease_reservation && (long)i < done; i++) {
        *place_of_page(at + i) = a->reserve.list[i];
        check_clean(a->reserve.list[i]);
    }
    interrupted(done, __HYPERVISOR_memory_op, 2);
}

static void exchange(void)
{
    uint8_t b = byte(), at = byte();
    unsigned n = 1 + (b & 1), big = b >> 1 & 1;
    long rc;

    for (unsigned i = 0; i < n << big; i++)
        a->exchange.in[i] = a_frame();
    for (unsigned i = 0; i < n; i++)
        a->exchange.out[i] = 300 + i;
    a->exchange.x = (struct xen_memory_exchange){
        .in = {{a->exchange.in}, n << big, 0, 0, DOMID_SELF},
        .out = {{a->exchange.out}, n, big, 0, DOMID_SELF},
    };
    rc = do_memory_op(XENMEM_exchange, &a->exchange.x);
    for (unsigned i = 0; rc == 0 && i < n; i++)
        *place_of_page(at + i) = a->exchange.out[i];
    interrupted(rc, __HYPERVISOR_memory_op, 2);
}

/* --- Grants ----------------------------------------------------------------------------------- */

static void grant_setup(void)
{
    uint8_t b = byte();

    if (b & 1) {
        a->version = (struct gnttab_set_version){.version = 1 + (b >> 1 & 1)};
        do_grant_table_op(GNTTABOP_set_version, a, 1);
        return;
    }
    a->setup = (struct gnttab_setup_table){
        .dom = DOMID_SELF, .nr_frames = 1, .frame_list = {(xen_pfn_t *)(&a->setup + 1)}};
    do_grant_table_op(GNTTABOP_setup_table, a, 1);
}

/* The guest writes an entry of its table: sixteen of them are used. */
static void grant_entry(void)
{
    static const uint16_t flags[] = {GTF_permit_access, GTF_permit_access | GTF_readonly,
                                     GTF_accept_transfer, GTF_invalid};
    struct grant_table *gt = &me()->grant;
    grant_ref_t ref = byte() % 16;
    uint8_t b = byte();
    mfn_t mfn = a_frame();
    uint16_t flag = flags[b & 3];

    if (!gt->shared[0])
        return;
    if (gt->version == 1) {
        struct grant_entry_v1 *e = (struct grant_entry_v1 *)gt->shared[0] + ref;

        *e = (struct grant_entry_v1){flag | (e->flags & (GTF_reading | GTF_writing)), b >> 6, mfn};
    } else {
        union grant_entry_v2 *e = (union grant_entry_v2 *)gt->shared[0] + ref;

        e->hdr.domid = b >> 6;
        e->full_page.frame = mfn;
        e->hdr.flags = b & 32 ? GTF_transitive : flag;
        if (b & 32)
            e->transitive.trans_domid = b >> 2 & 3;
    }
}

static uint64_t a_host_address(uint8_t b)
{
    return b & 64 ? ((uint64_t)a_frame() << PAGE_SHIFT) + an_index() * 8 : an_address();
}

static void grant_map_op(void)
{
    uint8_t b = byte(), flags = b & 3 ? b & 7 : GNTMAP_host_map;

    a->map[0] = (struct gnttab_map_grant_ref){.host_addr = a_host_address(b),
                                              .flags = flags | (b & 64 ? GNTMAP_contains_pte : 0) |
                                                       (b & 16 ? GNTMAP_application_map : 0),
                                              .ref = byte() % 16,
                                              .dom = byte() % 5};
    do_grant_table_op(GNTTABOP_map_grant_ref, a, 1);
}

static void grant_unmap_op(void)
{
    uint8_t b = byte();
    uint64_t addr = a_host_address(b);
    uint32_t handle = byte() % 24;

    if (b & 128) {
        a->replace = (struct gnttab_unmap_and_replace){
            .host_addr = addr, .new_addr = an_address(), .handle = handle};
        do_grant_table_op(GNTTABOP_unmap_and_replace, a, 1);
        return;
    }
    a->unmap[0] = (struct gnttab_unmap_grant_ref){.host_addr = b & 1 ? 0 : addr,
                                                  .dev_bus_addr =
                                                      b & 2 ? (uint64_t)a_frame() << PAGE_SHIFT : 0,
                                                  .handle = handle};
    do_grant_table_op(GNTTABOP_unmap_grant_ref, a, 1);
}

static void grant_transfer_op(void)
{
    uint8_t b = byte();
    mfn_t mfn = a_frame();

    a->transfer = (struct gnttab_transfer){.mfn = mfn, .domid = b % 5, .ref = byte() % 16};
    do_grant_table_op(GNTTABOP_transfer, a, 1);
    if (a->transfer.status == GNTST_okay)
        pages[b % 5][byte() % PAGES] = mfn;
}

static void grant_copy_op(void)
{
    uint8_t b = byte();
    struct gnttab_copy_ptr *side[2] = {&a->copy.source, &a->copy.dest};

    memset(&a->copy, 0, sizeof(a->copy));
    a->copy.flags = b & 3;
    a->copy.len = b << 4;
    for (unsigned i = 0; i < 2; i++) {
        side[i]->offset = byte();
        if (b & (GNTCOPY_source_gref << i)) {
            side[i]->domid = byte() % 5;
            side[i]->u.ref = byte() % 16;
        } else {
            side[i]->domid = DOMID_SELF;
            side[i]->u.gmfn = a_frame();
        }
    }
    do_grant_table_op(GNTTABOP_copy, a, 1);
}

/* --- Time passes ------------------------------------------------------------------------------ */

/* The guest stores into memory it has mapped writable: no entry there may ever be believed. */
static void store(void)
{
    mfn_t mfn = a_frame();
    unsigned index = an_index();
    pte_t e = an_entry();

    if (may_reach(mfn, me()) && model_type_count(mfn) && model_type(mfn) == FT_WRITABLE &&
        !(mfn_frame(mfn)->count_info & FC_XEN))
        ((pte_t *)direct_map((maddr_t)mfn << PAGE_SHIFT))[index] = e;
}

/* Go on with what was interrupted; the arguments may have been overwritten since: the guest's risk. */
static void go_on(void)
{
    struct pending p = pending[me()->slot];
    void *list = (void *)(uintptr_t)p.args[0];
    struct mmuext_op op = {.cmd = ~0u};
    long rc;

    pending[me()->slot].op = 0;
    switch (p.op) {
    case __HYPERVISOR_mmu_update:
        rc = do_mmu_update(list, p.args[1], (void *)(uintptr_t)p.args[2], p.args[3]);
        break;
    case __HYPERVISOR_mmuext_op:
        if (p.args[1] & 1)
            copy_from_guest(&op, list, sizeof(op));
        rc = do_mmuext_op(list, p.args[1], (void *)(uintptr_t)p.args[2], p.args[3]);
        if (op.cmd != ~0u)
            note_pin(&op, rc);
        break;
    case __HYPERVISOR_memory_op:
        rc = do_memory_op(p.args[0], (void *)(uintptr_t)p.args[1]);
        break;
    default:
        return;
    }
    interrupted(rc, p.op, 4);
}

static void create(unsigned i)
{
    struct domain *d;

    if (domain_slots[i])
        return;
    d = machine_domain(i, MAX_PAGES);
    d->privileged = i == 0;
    if (d->privileged)
        ranges_change(&d->iomem, 0, cpu_features.address_mask >> PAGE_SHIFT, true);
    d->max_pages = MAX_PAGES;
    grant_table_init(d);
    domains[i] = d;
    pending[i].op = 0;
    for (unsigned k = 0; k < PAGES; k++) {
        mfn_t mfn = alloc_domain_frames(d, 0, 0);

        if (mfn == INVALID_MFN)
            break;
        check_clean(mfn);
        pages[i][k] = mfn;
    }
}

/* A step of a death. The first domain does it, and lives. */
static void kill(unsigned i)
{
    if (!i)
        return;
    machine_switch(domains[0]);
    if (domains[i]) {
        dying[i] = domains[i];
        domains[i] = NULL;
    }
    if (dying[i] && machine_domain_kill(dying[i]) == 0)
        dying[i] = NULL;
}

/* A whole address space of the domain's first pages, as a kernel begins with. */
static void build(void)
{
    const mfn_t *p = pages[me()->slot];
    const struct {
        unsigned table, index, page;
        uint64_t flags;
    } plan[] = {
        {3, 0, 10, PTE_P | PTE_RW}, {3, 1, 11, PTE_P | PTE_RW}, {3, 2, 3, PTE_P},
        {1, 0, 3, PTE_P | PTE_RW},  {1, 1, 1, PTE_P},           {2, 0, 3, PTE_P},
        {0, 0, 1, PTE_P},           {0, 3, 2, PTE_P},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(plan); i++) {
        a->updates[i].ptr = ((uint64_t)p[plan[i].table] << PAGE_SHIFT) + plan[i].index * 8;
        a->updates[i].val = make_pte(p[plan[i].page], plan[i].flags);
    }
    do_mmu_update(a->updates, ARRAY_SIZE(plan), NULL, DOMID_SELF);
    ext_op(MMUEXT_NEW_BASEPTR, p[0], 0, DOMID_SELF);
}

/* --- Steps ------------------------------------------------------------------------------------ */

static void update_normal(void)
{
    update_entry(0);
}

static void update_keeping_ad(void)
{
    update_entry(1);
}

static void update_foreign(void)
{
    update_entry(2);
}

static void update_own_va(void)
{
    update_va(false);
}

static void update_va_for_other(void)
{
    update_va(true);
}

static void populate(void)
{
    reserve(XENMEM_populate_physmap);
}

static void decrease(void)
{
    reserve(XENMEM_decrease_reservation);
}

static void increase(void)
{
    reserve(XENMEM_increase_reservation);
}

static void kill_one(void)
{
    kill(byte() % DOMAINS);
}

static void create_one(void)
{
    create(byte() % DOMAINS);
}

/* The corpus knows these by number: add at the end. */
static void (*const operations[])(void) = {
    update_normal,
    update_keeping_ad,
    update_foreign,
    update_machphys,
    pin,
    unpin,
    new_base,
    update_own_va,
    update_va_for_other,
    gdt,
    ldt,
    descriptor,
    page_op,
    populate,
    decrease,
    exchange,
    grant_entry,
    grant_map_op,
    grant_unmap_op,
    grant_transfer_op,
    grant_copy_op,
    go_on,
    go_on,
    kill_one,
    create_one,
    build,
    update_many,
    grant_setup,
    store,
    any_ext,
    increase,
    go_on,
};
_Static_assert(ARRAY_SIZE(operations) == 32, "five bits");

static void step(void)
{
    uint8_t op = byte(), who = byte() % DOMAINS, when = op >> 5;

    if (!domains[who])
        who = 0;
    machine_switch(domains[who]);
    a = (union arguments *)(GUEST_MEMORY + who * PAGE_SIZE);
    quiet = when < 4;
    preempt_after = quiet ? 0 : when < 7 ? when - 3u : byte();
    operations[op & 31]();
    preempt_after = 0;
    CHECK(seen.maps_held == 0);
    model_check();
    if (left % 16 == 0)
        CHECK(audit_frames() == 0);
}

/* Everybody dies, the first domain last, with nobody to be interrupted by. */
static void end(void)
{
    for (unsigned i = 1; i < DOMAINS; i++)
        kill(i);
    model_check();
    CHECK(audit_frames() == 0);
    CHECK(machine_domain_kill(domains[0]) == 0);
    CHECK(!domain_list);
    CHECK(free_frame_count() == all_free);
    for (mfn_t mfn = 1; mfn < MODEL_IO_START; mfn++)
        check_clean(mfn);
    model_check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = data;
    left = size;
    machine_init(MODEL_FRAMES);
    frames_init();
    frames_init_add(1, MODEL_IO_START);
    frames_init_io(MODEL_IO_START, MODEL_FRAMES);
    machine_cpu_init();
    preempt_stays = true;
    model_reset();
    all_free = free_frame_count();
    memset(domains, 0, sizeof(domains));
    memset(dying, 0, sizeof(dying));
    memset(pages, 0, sizeof(pages));
    memset(GUEST_MEMORY, 0, DOMAINS * PAGE_SIZE);
    for (unsigned i = 0; i < DOMAINS; i++)
        create(i);
    model_check();
    for (unsigned i = 0; i < STEPS && left; i++)
        step();
    end();
    return 0;
}
