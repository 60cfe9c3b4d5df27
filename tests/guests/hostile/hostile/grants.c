/* SPDX-License-Identifier: MIT */
/*
 * grants.c: grants to oneself and to a neighbour: entries written at any moment, mapped, unmapped,
 * copied through and transferred, in both versions of the table.
 *
 * Next: others.c.
 */
#include "hostile.h"

#include <string.h>

#include <xen/grant_table.h>

#include <pv/trap.h>

#define FIRST GNTTAB_NR_RESERVED_ENTRIES
#define REFS 64
#define HANDLES 64

/* A handle this guest holds, and where its map is. */
struct held {
    grant_handle_t handle;
    uint64_t where; /* 0: free */
    uint32_t flags;
};

static struct held held[HANDLES];
static union {
    struct grant_entry_v1 v1[PAGE_SIZE / sizeof(struct grant_entry_v1)];
    union grant_entry_v2 v2[PAGE_SIZE / sizeof(union grant_entry_v2)];
} * table;
static uint32_t version = 1;

void grants_init(void)
{
    xen_pfn_t frame;
    struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = 1};
    uint32_t mfn;

    set_xen_guest_handle(setup.frame_list, &frame);
    if (hv_grant_table_op(GNTTABOP_setup_table, &setup, 1) != 0 || setup.status != GNTST_okay)
        violated("no grant table: %d", setup.status);
    mfn = frame;
    table = map_frames(DOMID_SELF, &mfn, 1, true, NULL);
    if (!table)
        violated("the grant table cannot be mapped");
}

/* Whose grant it is: one's own, or, with pester=1, the neighbour's too, which it may have granted. */
static uint16_t granter(void)
{
    return pester && once_in(2) ? neighbour : own_domid;
}

static uint32_t some_ref(void)
{
    return FIRST + below(REFS);
}

/* The domain's own frames; entries are overwritten whether in use or not. */
enum outcome op_grant_entry(bool mutate)
{
    const struct page *page = once_in(4) ? &arena[below(ARENA)] : leaf();
    uint32_t ref = some_ref(), mfn = mutate ? any_frame() : page->mfn;
    uint16_t flags = GTF_permit_access | (once_in(3) ? GTF_readonly : 0);
    uint16_t domid = once_in(4) ? neighbour : granter();

    if (!mutate && page->role == GONE)
        return SKIPPED;
    if (is_private(mfn))
        return SKIPPED;
    if (mutate && once_in(2)) {
        flags = rnd();
        domid = any_domid();
    }
    trace("  ref %lu: flags %x mfn %lx", (unsigned long)ref, flags, (unsigned long)mfn);
    if (version == 1) {
        table->v1[ref].domid = domid;
        table->v1[ref].frame = mfn;
        table->v1[ref].flags = flags;
    } else {
        table->v2[ref].full_page.frame = mfn;
        if (mutate && once_in(2))
            table->v2[ref].full_page.frame |= (uint64_t)rnd() << 32;
        table->v2[ref].hdr.domid = domid;
        table->v2[ref].hdr.flags = flags;
    }
    return DONE;
}

/* --- map and unmap ---------------------------------------------------------------------------- */

static struct held *free_handle(void)
{
    for (uint32_t i = 0; i < HANDLES; i++)
        if (held[i].where == 0)
            return &held[i];
    return NULL;
}

static uint64_t some_place(uint32_t *flags)
{
    const struct page *page = page_of(L1_TABLE);

    if (page && once_in(3)) {
        *flags |= GNTMAP_contains_pte;
        return entry_at(page->mfn, below(512));
    }
    return PLAYGROUND + (below(PLAYGROUND_TABLES << 9) << PAGE_SHIFT);
}

/* A map writes the entry: it must be one that anything may be written to. */
static bool may_map(uint64_t where, uint32_t flags)
{
    if (flags & GNTMAP_contains_pte)
        return where >> 32 || may_write_entry(where, 0);
    return where >> 32 || may_map_at(where, 0);
}

enum outcome op_grant_map(bool mutate)
{
    struct gnttab_map_grant_ref op = {
        .flags = GNTMAP_host_map | (once_in(3) ? GNTMAP_readonly : 0),
        .ref = some_ref(),
        .dom = granter(),
    };
    struct held *slot = free_handle();
    void *argument = &op;

    op.host_addr = some_place(&op.flags);
    if (!slot)
        return SKIPPED;
    if (mutate) {
        switch (below(5)) {
        case 0:
            op.flags = rnd() & 0x7FFFF;
            break;
        case 1:
            op.ref = once_in(2) ? below(1024) : rnd();
            break;
        case 2:
            op.dom = any_domid();
            break;
        case 3:
            op.host_addr = spoil_bits(op.host_addr, 40);
            break;
        default:
            op.host_addr = once_in(2) ? entry_at(any_frame(), below(512)) : (uint32_t)bad_pointer();
            op.flags |= GNTMAP_contains_pte;
        }
        if (once_in(32))
            argument = bad_pointer();
    }
    if (!may_map(op.host_addr, op.flags))
        return SKIPPED;
    trace("  ref %u at %llx, flags %x", op.ref, op.host_addr, op.flags);
    op.status = GNTST_general_error;
    if (hv_grant_table_op(GNTTABOP_map_grant_ref, argument, 1) != 0 || op.status != GNTST_okay)
        return REFUSED;
    *slot = (struct held){op.handle, op.host_addr ? op.host_addr : 1, op.flags};
    return DONE;
}

static struct held *some_handle(void)
{
    uint32_t start = rnd();

    for (uint32_t i = 0; i < HANDLES; i++)
        if (held[(start + i) % HANDLES].where)
            return &held[(start + i) % HANDLES];
    return NULL;
}

static enum outcome replace(struct held *slot, bool mutate)
{
    struct gnttab_unmap_and_replace op = {
        .host_addr = slot->where,
        .new_addr = PLAYGROUND + (below(PLAYGROUND_TABLES << 9) << PAGE_SHIFT),
        .handle = slot->handle,
    };

    if (mutate)
        op.new_addr = spoil_bits(op.new_addr, 40);
    if (!may_map(op.host_addr, 0) || !may_map(op.new_addr, 0))
        return SKIPPED;
    if (hv_grant_table_op(GNTTABOP_unmap_and_replace, &op, 1) != 0 || op.status != GNTST_okay)
        return REFUSED;
    slot->where = 0;
    return DONE;
}

/* An entry that was overwritten meanwhile is refused; the handle then waits for its entry. */
enum outcome op_grant_unmap(bool mutate)
{
    struct held *slot = some_handle();
    struct gnttab_unmap_grant_ref op;

    if (!slot)
        return SKIPPED;
    if (once_in(5) && !(slot->flags & GNTMAP_contains_pte))
        return replace(slot, mutate);
    op = (struct gnttab_unmap_grant_ref){.host_addr = slot->where, .handle = slot->handle};
    if (mutate && once_in(2))
        op.handle = once_in(2) ? slot->handle + below(4) : rnd();
    else if (mutate)
        op.host_addr = once_in(2) ? 0 : spoil_bits(op.host_addr, 40);
    if (mutate && once_in(4))
        op.dev_bus_addr = entry_at(any_frame(), 0);
    if (op.host_addr && !may_map(op.host_addr, slot->flags))
        return SKIPPED;
    trace("  handle %u at %llx", op.handle, op.host_addr);
    if (hv_grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1) != 0 || op.status != GNTST_okay)
        return REFUSED;
    for (uint32_t i = 0; i < HANDLES; i++)
        if (held[i].where && held[i].handle == op.handle)
            held[i].where = 0;
    return DONE;
}

/* Maps whose entry was overwritten stay; they hold their frames as writable memory at most. */
void grants_take_down(void)
{
    for (struct held *slot = held; slot < held + HANDLES; slot++) {
        struct gnttab_unmap_grant_ref op = {.host_addr = slot->where, .handle = slot->handle};

        if (slot->where && may_map(slot->where, slot->flags))
            hv_grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1);
        slot->where = 0;
    }
}

/* --- copy and transfer ------------------------------------------------------------------------ */

static void some_side(struct gnttab_copy *op, struct gnttab_copy_ptr *side, uint16_t by_ref)
{
    side->domid = DOMID_SELF;
    if (once_in(2)) {
        side->u.gmfn = leaf()->mfn;
    } else {
        side->u.ref = some_ref();
        side->domid = granter();
        op->flags |= by_ref;
    }
    side->offset = below(PAGE_SIZE - 64);
}

enum outcome op_grant_copy(bool mutate)
{
    struct gnttab_copy op = {.len = 1 + below(64)};

    some_side(&op, &op.source, GNTCOPY_source_gref);
    some_side(&op, &op.dest, GNTCOPY_dest_gref);
    if (mutate) {
        struct gnttab_copy_ptr *side = once_in(2) ? &op.source : &op.dest;

        switch (below(4)) {
        case 0:
            side->u.gmfn = any_frame();
            break;
        case 1:
            side->domid = any_domid();
            break;
        case 2:
            side->offset = rnd();
            op.len = rnd();
            break;
        default:
            op.flags = rnd();
        }
    }
    if (!(op.flags & GNTCOPY_dest_gref) && is_private(op.dest.u.gmfn))
        return SKIPPED;
    if (hv_grant_table_op(GNTTABOP_copy, &op, 1) != 0 || op.status != GNTST_okay)
        return REFUSED;
    return DONE;
}

/* To itself: the frame comes back under the same pfn. After a refusal it may be gone all the
 * same. A neighbour takes it by a reference that it opened for itself or for us. */
enum outcome op_grant_transfer(bool mutate)
{
    struct page *page = leaf();
    uint32_t ref = some_ref();
    struct gnttab_transfer op = {.mfn = page->mfn, .domid = granter(), .ref = ref};

    if (page->role != DATA || version != 1)
        return SKIPPED;
    table->v1[ref].flags = 0;
    table->v1[ref].domid = granter();
    table->v1[ref].frame = page->pfn;
    table->v1[ref].flags = GTF_accept_transfer;
    if (!mutate || once_in(2)) {
        sweep(page->mfn);
        unmap_linear(page);
    }
    if (mutate && once_in(2))
        op.mfn = any_frame();
    else if (mutate)
        op.ref = rnd();
    if (is_private(op.mfn))
        op.mfn = page->mfn;
    trace("  mfn %lx by ref %u", op.mfn, op.ref);
    hv_grant_table_op(GNTTABOP_transfer, &op, 1);
    for (struct page *other = arena; other < arena + ARENA; other++) {
        if (other->role == GONE || (other != page && other->mfn != op.mfn))
            continue;
        if (other->role == DATA && !make_writable(other) && !make_readonly(other))
            other->role = GONE;
    }
    return op.status == GNTST_okay ? DONE : REFUSED;
}

/* --- the table itself ------------------------------------------------------------------------- */

static enum outcome change_version(bool mutate)
{
    struct gnttab_set_version op = {.version = mutate ? below(4) : 3 - version};
    int rc;

    if (vcpus > 1 && !once_in(16)) /* it ends all grants: several vcpus at it would leave none */
        return SKIPPED;
    rc = hv_grant_table_op(GNTTABOP_set_version, &op, 1);

    if (rc == 0)
        version = op.version;
    return rc == 0 ? DONE : REFUSED;
}

enum outcome op_grant_setup(bool mutate)
{
    static uint64_t frames[64];
    struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = 1 + below(2)};
    struct gnttab_get_status_frames status = {.dom = DOMID_SELF, .nr_frames = 1};
    struct gnttab_swap_grant_ref swap = {.ref_a = some_ref(), .ref_b = some_ref()};

    if (mutate) {
        setup.nr_frames = status.nr_frames = once_in(2) ? below(64) : rnd();
        setup.dom = status.dom = any_domid();
        swap.ref_a = rnd();
    }
    set_xen_guest_handle(setup.frame_list, mutate && once_in(4) ? bad_pointer() : frames);
    set_xen_guest_handle(status.frame_list, mutate && once_in(4) ? bad_pointer() : frames);
    switch (below(4)) {
    case 0:
        return hv_grant_table_op(GNTTABOP_setup_table, &setup, 1) == 0 && setup.status == GNTST_okay
                   ? DONE
                   : REFUSED;
    case 1:
        return hv_grant_table_op(GNTTABOP_get_status_frames, &status, 1) == 0 &&
                       status.status == GNTST_okay
                   ? DONE
                   : REFUSED;
    case 2:
        return hv_grant_table_op(GNTTABOP_swap_grant_ref, &swap, 1) == 0 &&
                       swap.status == GNTST_okay
                   ? DONE
                   : REFUSED;
    default:
        return change_version(mutate);
    }
}
