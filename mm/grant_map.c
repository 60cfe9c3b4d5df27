/* SPDX-License-Identifier: MIT */
/*
 * grant_map.c: the mapping side: map_grant_ref, unmap_grant_ref, unmap_and_replace, and what a
 * dying domain had mapped.
 *
 * Mapping pins the entry (mm/grant_table.c), writes a page-table entry that the guest names, and
 * answers with a handle. The page-table entry is named by a linear address of the running address
 * space, or, with GNTMAP_contains_pte, by the machine address of the entry. It must lie in a
 * validated L1 of the caller's.
 *
 * Unmapping in the other direction: the entry goes first, then the translation out of every TLB the
 * domain may have used, then the pin and with it the bit the granter sees. In any other order the
 * mapper could still write a page that its owner has taken back. A batch flushes once: entries of
 * all its elements go, one flush, then all pins.
 *
 * Locks, one after the other and never nested: the mapper's grant lock (handles), the granter's
 * (pins), the mapper's mm_lock (page tables). A handle being mapped has no flags yet, one being
 * unmapped none any more: nobody else touches it.
 *
 * Read next: grant.h (G1 to G3).
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

#define MAP_BITS (GNTMAP_host_map | GNTMAP_device_map)
#define UNMAP_BATCH 16

/* --- Handles ---------------------------------------------------------------------------------- */

static struct grant_maptrack *maptrack_entry(const struct grant_table *gt, uint32_t handle)
{
    if (handle >= gt->nr_maptrack_frames * GRANT_MAPTRACK_PER_FRAME)
        return NULL;
    return &gt->maptrack[handle / GRANT_MAPTRACK_PER_FRAME][handle % GRANT_MAPTRACK_PER_FRAME];
}

/* Onto the list of free handles. gt->lock held. */
static void put_handle(struct grant_table *gt, struct grant_maptrack *m, uint32_t handle)
{
    m->granter = NULL;
    m->ref = gt->maptrack_free;
    gt->maptrack_free = handle;
}

static void free_handle(struct grant_table *gt, uint32_t handle)
{
    spin_lock(&gt->lock);
    put_handle(gt, maptrack_entry(gt, handle), handle);
    spin_unlock(&gt->lock);
}

static bool grow_maptrack(struct domain *d)
{
    struct grant_table *gt = &d->grant;
    uint32_t first = gt->nr_maptrack_frames * GRANT_MAPTRACK_PER_FRAME;
    struct grant_maptrack *page;

    if (gt->nr_maptrack_frames == gt->max_maptrack_frames)
        return false;
    page = xzalloc_for_domain(d, PAGE_SIZE);
    if (!page)
        return false;
    gt->maptrack[gt->nr_maptrack_frames++] = page;
    for (uint32_t i = GRANT_MAPTRACK_PER_FRAME; i--;)
        put_handle(gt, &page[i], first + i);
    return true;
}

/* A handle of d's own that is not in use. GRANT_NO_HANDLE: all are, or there is no memory for d. */
static uint32_t alloc_handle(struct domain *d)
{
    struct grant_table *gt = &d->grant;
    uint32_t handle = GRANT_NO_HANDLE;

    spin_lock(&gt->lock);
    if (gt->maptrack_free != GRANT_NO_HANDLE || grow_maptrack(d)) {
        handle = gt->maptrack_free;
        gt->maptrack_free = maptrack_entry(gt, handle)->ref;
    }
    spin_unlock(&gt->lock);
    return handle;
}

/* --- Page-table entries ----------------------------------------------------------------------- */

static bool is_valid_l1(const struct frame *f)
{
    return (f->type_info & (FT_TYPE | FT_VALIDATED)) == (FT_L1 | FT_VALIDATED) &&
           (f->type_info & FT_COUNT);
}

/* The L1 entry at a machine address, in a table of d's. */
static pte_t *map_pte_at(struct domain *d, uint64_t ma)
{
    uint64_t mfn = ma >> PAGE_SHIFT;
    struct frame *f;
    bool good;

    if ((ma & (sizeof(pte_t) - 1)) || mfn >= max_frame || !get_frame(mfn_frame(mfn), d))
        return NULL;
    f = mfn_frame(mfn);
    good = is_valid_l1(f);
    put_frame(f); /* a table in use has other references, and mm_lock keeps it in use */
    return good ? map_frame(mfn) + (ma & (PAGE_SIZE - 1)) : NULL;
}

/*
 * The L1 entry the guest means by host_addr. mm_lock held; unmap_frame() the result. NULL: there is
 * none.
 */
static pte_t *map_host_pte(struct domain *d, uint64_t host_addr, bool contains_pte)
{
    mfn_t l1;
    pte_t *p;

    if (contains_pte)
        return map_pte_at(d, host_addr);
    if (host_addr >> 32)
        return NULL;
    p = map_guest_l1(current, host_addr, &l1);
    if (p && !is_valid_l1(mfn_frame(l1))) {
        unmap_frame(p); /* a linear map: the "L1" is a page directory */
        p = NULL;
    }
    return p;
}

static pte_t grant_pte(mfn_t mfn, uint32_t flags)
{
    uint64_t bits = PTE_P | PTE_A | PTE_D | nx_bit;

    if (!(flags & GNTMAP_readonly))
        bits |= PTE_RW;
    if (flags & GNTMAP_application_map)
        bits |= PTE_US;
    /* Three bits the processor ignores, for the guest's own use. */
    bits |= (uint64_t)(flags >> _GNTMAP_guest_avail0) << 9 & PTE_AVAIL;
    return make_pte(mfn, bits);
}

/*
 * The references an entry holds (G3). The pin holds both kinds already, so the type is fixed and
 * neither count can reach zero meanwhile: plain additions will do, as long as they do not overflow
 * (the room left is for other CPUs that look at the same moment). The general reference goes up
 * first and down last (F3).
 */
static bool get_entry_references(struct frame *f, bool write)
{
    if (unlikely((f->count_info & FC_COUNT) > FT_COUNT - MAX_CPUS))
        return false;
    __atomic_fetch_add(&f->count_info, 1, __ATOMIC_SEQ_CST);
    if (write)
        __atomic_fetch_add(&f->type_info, 1, __ATOMIC_SEQ_CST);
    return true;
}

/*
 * Drop them. The TLBs are flushed before the pin goes, so the frame's owner need not be told that
 * translations may live on (tlb_stale).
 */
static void put_entry_references(struct frame *f, bool write)
{
    if (write)
        __atomic_fetch_sub(&f->type_info, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_sub(&f->count_info, 1, __ATOMIC_SEQ_CST);
}

static int16_t map_host(struct domain *d, uint64_t host_addr, uint32_t flags, mfn_t mfn)
{
    int16_t rc = GNTST_general_error;
    pte_t *p;

    spin_lock(&d->mm_lock);
    p = map_host_pte(d, host_addr, flags & GNTMAP_contains_pte);
    if (p) {
        if (get_entry_references(mfn_frame(mfn), !(flags & GNTMAP_readonly))) {
            set_l1_entry(p, grant_pte(mfn, flags), d);
            rc = GNTST_okay;
        }
        unmap_written(p);
    }
    spin_unlock(&d->mm_lock);
    return rc;
}

/*
 * Move the entry at `addr` to *p, references and all; those of *p are the caller's then. mm_lock
 * held.
 */
static bool move_entry(struct domain *d, uint64_t addr, pte_t *p)
{
    pte_t *from = map_host_pte(d, addr, false);

    if (!from)
        return false;
    if (from != p)
        pte_write(p, take_l1_entry(from));
    unmap_written(from);
    return from != p;
}

/*
 * Take away the entry of a mapping: it must map this frame, and be as writable as the handle, or
 * the bookkeeping would come apart (G3). The entry at new_addr takes its place, if that is not 0
 * (unmap_and_replace).
 */
static int16_t unmap_host(struct domain *d, uint64_t host_addr, const struct grant_maptrack *m,
                          uint64_t new_addr)
{
    bool contains_pte = m->flags & GNTMAP_contains_pte, write = !(m->flags & GNTMAP_readonly);
    bool good = false;
    pte_t *p, e;

    spin_lock(&d->mm_lock);
    p = map_host_pte(d, host_addr, contains_pte);
    if (p) {
        e = *p;
        good = (e & PTE_P) && pte_frame64(e) == m->mfn && !!(e & PTE_RW) == write;
        if (good && new_addr)
            good = !contains_pte && move_entry(d, new_addr, p);
        else if (good)
            take_l1_entry(p);
        if (good)
            put_entry_references(mfn_frame(m->mfn), write);
        unmap_written(p);
    }
    spin_unlock(&d->mm_lock);
    return good ? GNTST_okay : GNTST_general_error;
}

/* --- Map -------------------------------------------------------------------------------------- */

static void unpin_each(struct domain *granter, grant_ref_t ref, uint32_t map_bits, bool write)
{
    for (; map_bits; map_bits &= map_bits - 1)
        grant_unpin(granter, ref, write);
}

/*
 * One pin for each of host and device map, then the page-table entry. *mfn: the frame. Nothing is
 * held on an error.
 */
static int16_t pin_and_map(const struct gnttab_map_grant_ref *op, struct domain *granter,
                           mfn_t *mfn)
{
    struct domain *d = current->domain;
    struct grant_pin p = {.granter = granter,
                          .ref = op->ref,
                          .grantee = d->id,
                          .write = !(op->flags & GNTMAP_readonly)};
    int16_t rc = grant_pin(&p);

    if (rc)
        return rc;
    if ((op->flags & MAP_BITS) == MAP_BITS && (rc = grant_pin(&p))) {
        grant_unpin(granter, op->ref, p.write);
        return rc;
    }
    *mfn = p.mfn;
    if (op->flags & GNTMAP_host_map)
        rc = map_host(d, op->host_addr, op->flags, p.mfn);
    if (rc)
        unpin_each(granter, op->ref, op->flags & MAP_BITS, p.write);
    return rc;
}

static int16_t map_one(struct gnttab_map_grant_ref *op)
{
    struct grant_table *gt = &current->domain->grant;
    struct grant_maptrack *m;
    struct domain *granter;
    uint32_t handle;
    mfn_t mfn = 0;
    int16_t rc;

    if (!(op->flags & MAP_BITS))
        return GNTST_bad_gntref;
    granter = find_domain(op->dom);
    if (!granter)
        return GNTST_bad_domain;
    handle = alloc_handle(current->domain);
    rc = handle == GRANT_NO_HANDLE ? GNTST_no_space : pin_and_map(op, granter, &mfn);
    if (rc) {
        if (handle != GRANT_NO_HANDLE)
            free_handle(gt, handle);
        put_domain(granter);
        return rc;
    }
    m = maptrack_entry(gt, handle);
    m->granter = granter; /* the reference is the entry's now */
    m->ref = op->ref;
    m->mfn = mfn;
    m->busy = 0;
    /* Last: the handle is good from here on. */
    __atomic_store_n(&m->flags, op->flags & (MAP_BITS | GNTMAP_readonly | GNTMAP_contains_pte),
                     __ATOMIC_RELEASE);
    op->handle = handle;
    op->dev_bus_addr = (uint64_t)mfn << PAGE_SHIFT;
    return GNTST_okay;
}

/*
 * The structure is 8 words; its input is in the first 5, status in the high half of the last of
 * these, then output.
 */
_Static_assert(sizeof(struct gnttab_map_grant_ref) == 32 &&
                   offsetof(struct gnttab_map_grant_ref, dom) == 16,
               "words below");
#define MAP_IN_WORDS 5
#define MAP_OUT_WORD 4

/* Handle and address are the guest's as they were where nothing was mapped. */
static long grant_map(void *guest_ops, uint32_t count)
{
    struct gnttab_map_grant_ref *ops = guest_ops;
    struct gnttab_map_grant_ref op;

    op.handle = 0;
    op.dev_bus_addr = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *out = (uint32_t *)&ops[i] + MAP_OUT_WORD, *words = (uint32_t *)&op + MAP_OUT_WORD;

        if (!get_guest_words(&op, &ops[i], MAP_IN_WORDS))
            return -EFAULT;
        op.status = map_one(&op);
        if (!put_guest_words(out, words, 1) ||
            (!op.status && !put_guest_words(out + 1, words + 1, 8 - MAP_OUT_WORD - 1)))
            return -EFAULT;
        if (i + 1 < count && preempt_needed())
            return i + 1;
    }
    return count;
}
GNTTABOP_LIST(map_grant_ref, grant_map);

/* --- Unmap ------------------------------------------------------------------------------------ */

/* An element of a batch between its two halves: the entry is gone, the pins remain. */
struct unmapping {
    struct grant_maptrack *m;
    uint32_t handle;
    uint32_t dropped; /* MAP_BITS whose pins are to go; 0: nothing to do */
};

/*
 * Claim from the handle what the operation names. While it is claimed nothing of the entry changes
 * but flags and busy. NULL: the handle is not in use.
 */
static struct grant_maptrack *claim(struct grant_table *gt, uint32_t handle, uint32_t *wanted)
{
    struct grant_maptrack *m;

    spin_lock(&gt->lock);
    m = maptrack_entry(gt, handle);
    if (m && (m->flags & MAP_BITS)) {
        *wanted &= m->flags;
        m->flags &= ~*wanted;
        m->busy++;
    } else {
        m = NULL;
    }
    spin_unlock(&gt->lock);
    return m;
}

/*
 * The claim ends; `restored` bits go back to the handle. The handle is free when nothing is left of
 * it.
 */
static void unclaim(struct grant_table *gt, struct grant_maptrack *m, uint32_t handle,
                    uint32_t restored)
{
    struct domain *granter = NULL;

    spin_lock(&gt->lock);
    m->flags |= restored;
    if (--m->busy == 0 && !(m->flags & MAP_BITS)) {
        granter = m->granter;
        m->flags = 0;
        put_handle(gt, m, handle);
    }
    spin_unlock(&gt->lock);
    if (granter)
        put_domain(granter);
}

/* First half of an unmap: check, and take the page-table entry away. */
static int16_t unmap_begin(struct unmapping *u, uint64_t host_addr, uint64_t bus_addr,
                           uint64_t new_addr)
{
    struct domain *d = current->domain;
    uint32_t wanted = (host_addr ? GNTMAP_host_map : 0) | (bus_addr ? GNTMAP_device_map : 0);
    int16_t rc = GNTST_okay;

    u->dropped = 0;
    u->m = claim(&d->grant, u->handle, &wanted);
    if (!u->m)
        return GNTST_bad_handle;
    if ((wanted & GNTMAP_device_map) && bus_addr != (uint64_t)u->m->mfn << PAGE_SHIFT)
        rc = GNTST_bad_dev_addr;
    else if (wanted & GNTMAP_host_map)
        rc = unmap_host(d, host_addr, u->m, new_addr);
    if (rc || !wanted)
        unclaim(&d->grant, u->m, u->handle, wanted);
    else
        u->dropped = wanted;
    return rc;
}

/*
 * walk 64: Unmapping backwards
 *
 * Claim: Mapping is pin, then page-table entry. Unmapping goes the other way: the entry goes first,
 * then the translation out of every TLB the domain may have used, then the pin, and with it the
 * mark that the granter looks at. A batch of entries shares one flush.
 * Without it: The granter sees its page free and uses it for something else, while the mapper still
 * writes it through the TLB.
 * Shown by: tests/host/test_grant.c::test_batches, tests/host/test_grant.c::test_map_and_unmap,
 * tests/guests/xsa/xsa-234/main.c::refused
 */
/* Second half, for a whole batch: flush, then let the granters have their frames back. */
static void unmap_end(const struct unmapping *u, unsigned n)
{
    struct domain *d = current->domain;
    bool flush = false;

    for (unsigned i = 0; i < n; i++)
        flush |= u[i].dropped & GNTMAP_host_map;
    if (flush)
        tlb_flush_domain(d);
    for (unsigned i = 0; i < n; i++) {
        const struct grant_maptrack *m = u[i].m;

        if (!u[i].dropped)
            continue;
        unpin_each(m->granter, m->ref, u[i].dropped, !(m->flags & GNTMAP_readonly));
        unclaim(&d->grant, u[i].m, u[i].handle, 0);
    }
}

/*
 * A batch of unmap operations: `one` does the first half of ops[i] and writes its status; -EFAULT
 * ends the batch, but what was begun is finished.
 */
static inline long unmap_list(void *guest_ops, uint32_t count,
                              int (*one)(void *guest_ops, uint32_t i, struct unmapping *u))
{
    struct unmapping batch[UNMAP_BATCH];
    uint32_t done = 0;

    while (done < count) {
        unsigned n = 0;
        int rc = 0;

        while (n < UNMAP_BATCH && done + n < count && !rc) {
            batch[n].dropped = 0;
            rc = one(guest_ops, done + n, &batch[n]);
            n++;
        }
        unmap_end(batch, n);
        if (rc)
            return rc;
        done += n;
        if (done < count && preempt_needed())
            break;
    }
    return done;
}

/* Both structures have 6 words; status is in the last. */
_Static_assert(offsetof(struct gnttab_unmap_grant_ref, status) == 20, "UNMAP_STATUS_WORD");
_Static_assert(offsetof(struct gnttab_unmap_and_replace, status) == 20, "UNMAP_STATUS_WORD");
#define UNMAP_STATUS_WORD 5

static int unmap_one(void *guest_ops, uint32_t i, struct unmapping *u)
{
    struct gnttab_unmap_grant_ref *guest = (struct gnttab_unmap_grant_ref *)guest_ops + i;
    struct gnttab_unmap_grant_ref op;
    uint32_t status;

    if (!get_guest_words(&op, guest, UNMAP_STATUS_WORD))
        return -EFAULT;
    u->handle = op.handle;
    status = (uint16_t)unmap_begin(u, op.host_addr, op.dev_bus_addr, 0);
    return put_guest_words((uint32_t *)guest + UNMAP_STATUS_WORD, &status, 1) ? 0 : -EFAULT;
}

static int replace_one(void *guest_ops, uint32_t i, struct unmapping *u)
{
    struct gnttab_unmap_and_replace *guest = (struct gnttab_unmap_and_replace *)guest_ops + i;
    struct gnttab_unmap_and_replace op;
    uint32_t status;

    if (!get_guest_words(&op, guest, UNMAP_STATUS_WORD))
        return -EFAULT;
    u->handle = op.handle;
    status = (uint16_t)unmap_begin(u, op.host_addr, 0, op.new_addr);
    return put_guest_words((uint32_t *)guest + UNMAP_STATUS_WORD, &status, 1) ? 0 : -EFAULT;
}

static long grant_unmap(void *guest_ops, uint32_t count)
{
    return unmap_list(guest_ops, count, unmap_one);
}
GNTTABOP_LIST(unmap_grant_ref, grant_unmap);

static long grant_unmap_and_replace(void *guest_ops, uint32_t count)
{
    return unmap_list(guest_ops, count, replace_one);
}
GNTTABOP_LIST(unmap_and_replace, grant_unmap_and_replace);

/*
 * walk 65: When the mapper dies
 *
 * Claim: A domain that ends had perhaps mapped frames of others. Its handles say which: each pin is
 * dropped, and with the last one the granter's mark. The other way round, a granter that dies
 * stays, as a structure and as the owner of the frame, until the mapper lets go. Handles not in use
 * are counted as work too, or a large empty table would hold the processor (XSA-380).
 * Without it: Each backend that crashes would leave its guests' pages pinned for ever.
 * Shown by: tests/host/test_grant.c::test_mapper_dies_first,
 * tests/host/test_grant.c::test_granter_dies_first,
 * tests/host/test_grant.c::test_unused_handles_are_interruptible
 */
/*
 * A dying domain's handles, all of them. Its vcpus do not run again, so entries that still stand in
 * its page tables are out of reach; their own references go with the tables.
 */
int grant_table_release_mappings(struct domain *d)
{
    struct grant_table *gt = &d->grant;
    struct grant_maptrack *m;

    for (; (m = maptrack_entry(gt, gt->release_cursor)); gt->release_cursor++) {
        if (m->flags & MAP_BITS) {
            unpin_each(m->granter, m->ref, m->flags & MAP_BITS, !(m->flags & GNTMAP_readonly));
            put_domain(m->granter);
            m->granter = NULL;
            m->flags = 0;
        }
        /* Entries that are not in use take their time, too (XSA-380). */
        if (gt->release_cursor % 32 == 31 && preempt_needed()) {
            gt->release_cursor++;
            return -ERESTART;
        }
    }
    return 0;
}
