/* SPDX-License-Identifier: MIT */
/*
 * grant_table.c: the granting side: entries that a guest writes, read once, checked, and pinned
 * while in use.
 *
 * The table lies in memory the guest can write at any moment, so an entry is believed only in the
 * instant its status bits are set: version 1 has flags, domid and status in one word, exchanged in
 * one step; version 2 keeps the status in a frame of its own, so there the status is set first and
 * the entry read again behind it. What was read goes into the active entry, and is what counts
 * until the last pin goes: a guest that changes a live entry changes nothing.
 *
 * GTF_reading and GTF_writing tell the guest what it may not take back yet. They are set by the
 * first reader or writer and cleared by the last.
 *
 * Read next: mm/grant_map.c (the mapping side), mm/grants/copy.c, mm/grants/transfer.c,
 * mm/grant_setup.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

/* How often a version 1 entry may change under us before its domain is told off. */
#define MAX_TRIES 5

struct grant_active *grant_active_entry(const struct grant_table *gt, grant_ref_t ref)
{
    return &gt->active[ref / GRANT_V1_PER_FRAME][ref % GRANT_V1_PER_FRAME];
}

static struct grant_entry_v1 *entry_v1(const struct grant_table *gt, grant_ref_t ref)
{
    return (struct grant_entry_v1 *)gt->shared[ref / GRANT_V1_PER_FRAME] + ref % GRANT_V1_PER_FRAME;
}

static union grant_entry_v2 *entry_v2(const struct grant_table *gt, grant_ref_t ref)
{
    return (union grant_entry_v2 *)gt->shared[ref / GRANT_V2_PER_FRAME] + ref % GRANT_V2_PER_FRAME;
}

/* The flags of an entry; domid follows them in both versions. */
uint16_t *grant_entry_header(const struct grant_table *gt, grant_ref_t ref)
{
    return gt->version == 1 ? &entry_v1(gt, ref)->flags : &entry_v2(gt, ref)->hdr.flags;
}

/* Where the status bits of an entry are. */
static uint16_t *status_word(const struct grant_table *gt, grant_ref_t ref)
{
    if (gt->version == 1)
        return &entry_v1(gt, ref)->flags;
    return &gt->status[ref / GRANT_STATUS_PER_FRAME][ref % GRANT_STATUS_PER_FRAME];
}

/* --- Marking an entry as in use --------------------------------------------------------------- */

/* Does an entry that begins with these flags and domid allow what is asked? */
static int16_t check_header(uint32_t header, const struct grant_pin *p, unsigned version)
{
    uint16_t flags = header, type = flags & GTF_type_mask;

    if ((domid_t)(header >> 16) != p->grantee)
        return GNTST_general_error;
    if (p->write && (flags & GTF_readonly))
        return GNTST_general_error;
    if (type == GTF_permit_access)
        return version == 2 && (flags & GTF_sub_page) && !p->copying ? GNTST_general_error
                                                                     : GNTST_okay;
    return version == 2 && type == GTF_transitive && p->copying ? GNTST_okay : GNTST_general_error;
}

/*
 * walk 62: A grant is read in one instant
 *
 * Claim: A domain lets another map one of its frames by an entry in a table that it can write at
 * any moment. So the hypervisor believes an entry only in the instant in which it marks it: flags,
 * grantee and mark are one word, exchanged in one step, if the word is still what was checked. A
 * granter that changes its entry without end is given up after five tries.
 * Without it: The granter could change the grantee or the right to write after the check and before
 * the mark; or keep the hypervisor in this loop.
 * Shown by: tests/host/test_grant.c::test_hostile_granter, tests/guests/sharing/grants/main.c::test_refused
 */
static int16_t mark_v1(struct grant_entry_v1 *e, const struct grant_pin *p, uint16_t bits,
                       uint32_t *header)
{
    uint32_t *word = (uint32_t *)e; /* flags, domid */
    uint32_t x = __atomic_load_n(word, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < MAX_TRIES; i++) {
        int16_t rc = check_header(x, p, 1);

        if (rc)
            return rc;
        if (__atomic_compare_exchange_n(word, &x, x | bits, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            *header = x;
            return GNTST_okay;
        }
    }
    return GNTST_general_error;
}

static int16_t mark_v2(const struct grant_table *gt, const struct grant_pin *p, uint16_t bits,
                       uint32_t *header)
{
    const uint32_t *word = (const uint32_t *)entry_v2(gt, p->ref);
    uint16_t before, *status = status_word(gt, p->ref);
    int16_t rc = check_header(__atomic_load_n(word, __ATOMIC_RELAXED), p, 2);

    if (rc)
        return rc;
    before = __atomic_fetch_or(status, bits, __ATOMIC_SEQ_CST);
    *header = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    rc = check_header(*header, p, 2);
    if (rc)
        __atomic_fetch_and(status, (uint16_t) ~(bits & ~before), __ATOMIC_SEQ_CST);
    return rc;
}

/* Set the status bits if the entry allows it; *header is what it said in that instant. */
static int16_t mark(const struct grant_table *gt, const struct grant_pin *p, uint32_t *header)
{
    uint16_t bits = p->write ? GTF_reading | GTF_writing : GTF_reading;

    if (gt->version == 1)
        return mark_v1(entry_v1(gt, p->ref), p, bits, header);
    return mark_v2(gt, p, bits, header);
}

/* Clear the status bits for which there are no pins left. */
static void unmark(const struct grant_table *gt, grant_ref_t ref, const struct grant_active *a)
{
    uint16_t bits = 0;

    if (!a->writers)
        bits |= GTF_writing;
    if (!a->pins)
        bits |= GTF_reading;
    if (bits && !gt->closed)
        __atomic_fetch_and(status_word(gt, ref), (uint16_t)~bits, __ATOMIC_SEQ_CST);
}

/* --- Pins ------------------------------------------------------------------------------------- */

/* Version 2: read what kind of grant it is into the active entry. 64-bit frame numbers that do not exist become
 * max_frame. */
static int16_t read_v2(const union grant_entry_v2 *e, uint32_t header, struct grant_active *a)
{
    const volatile union grant_entry_v2 *v = e;
    uint64_t frame;

    if ((header & GTF_type_mask) == GTF_transitive) {
        a->mfn = INVALID_MFN;
        return GNTST_okay;
    }
    frame = header & GTF_sub_page ? v->sub_page.frame : v->full_page.frame;
    a->mfn = MIN(frame, max_frame);
    if (header & GTF_sub_page) {
        a->start = v->sub_page.page_off;
        a->length = v->sub_page.length;
        if (a->start >= PAGE_SIZE || a->length > PAGE_SIZE - a->start)
            return GNTST_general_error;
    }
    return GNTST_okay;
}

/* The first pin of an entry: remember what it says. */
static int16_t read_entry(const struct grant_pin *p, const struct grant_table *gt, uint32_t header,
                          struct grant_active *a)
{
    a->domid = p->grantee;
    a->start = 0;
    a->length = PAGE_SIZE;
    if (gt->version == 2)
        return read_v2(entry_v2(gt, p->ref), header, a);
    a->mfn = MIN(__atomic_load_n(&entry_v1(gt, p->ref)->frame, __ATOMIC_RELAXED), max_frame);
    return GNTST_okay;
}

/*
 * Where a transitive grant leads. Read anew for each pin: whoever follows it pins the other entry
 * for himself.
 */
static int16_t read_transitive(const struct grant_table *gt, uint32_t header, struct grant_pin *p)
{
    const volatile union grant_entry_v2 *e = entry_v2(gt, p->ref);

    p->transitive = (header & GTF_type_mask) == GTF_transitive;
    p->via_domid = e->transitive.trans_domid;
    p->via_ref = e->transitive.gref;
    return p->transitive ? GNTST_okay : GNTST_general_error;
}

/* The references of G1: the first pin's, and the first writer's. */
static int16_t hold_frame(mfn_t mfn, const struct grant_pin *p, bool first)
{
    struct frame *f;

    if (mfn >= max_frame)
        return GNTST_bad_page;
    f = mfn_frame(mfn);
    if (first && !get_frame(f, p->granter))
        return GNTST_bad_page;
    if (p->write && get_type(f, FT_WRITABLE)) {
        if (first)
            put_frame(f);
        return GNTST_general_error;
    }
    return GNTST_okay;
}

/*
 * Entry and counts are in order and the status bits are set: take the references. Nothing is held
 * on an error.
 */
static int16_t pin_frame(struct grant_pin *p, const struct grant_table *gt, uint32_t header,
                         struct grant_active *a)
{
    bool first = !a->pins;
    int16_t rc = first ? read_entry(p, gt, header, a) : GNTST_okay;

    if (unlikely(rc))
        return rc;
    if (unlikely(a->mfn == INVALID_MFN))
        return read_transitive(gt, header, p);
    return hold_frame(a->mfn, p, first);
}

/*
 * walk 63: A pin keeps what was granted
 *
 * Claim: What the entry said when it was first used is copied to where the granter cannot write,
 * and counts until the last user is gone. The first pin takes a reference to the frame, the first
 * writer a writable type besides: while it is granted and in use the frame is neither freed nor
 * made a page table. Counters are compared with their limit before they go up.
 * Without it: The granter would give the frame back, or make a page table of it, while its
 * neighbour has it mapped writable.
 * Shown by: tests/host/test_grant.c::test_hostile_granter,
 * tests/host/test_grant.c::test_full_counts, tests/guests/sharing/grants/main.c::test_map
 */
static int16_t pin_locked(struct grant_pin *p, const struct grant_table *gt)
{
    struct grant_active *a;
    uint16_t *count;
    uint32_t header = 0;
    int16_t rc;

    if (gt->closed)
        return GNTST_bad_domain;
    if (p->ref >= gt->nr_entries)
        return GNTST_bad_gntref;
    a = grant_active_entry(gt, p->ref);
    count = p->write ? &a->writers : &a->readers;
    if (*count == UINT16_MAX)
        return GNTST_general_error;
    if (a->pins) {
        if (a->domid != p->grantee)
            return GNTST_general_error;
        if (!p->copying && (a->mfn == INVALID_MFN || a->length < PAGE_SIZE))
            return GNTST_general_error;
    }
    /*
     * A pinned entry is marked already, unless this is its first writer. A transitive one is read
     * every time.
     */
    if (!a->pins || (p->write && !a->writers) || a->mfn == INVALID_MFN) {
        rc = mark(gt, p, &header);
        if (!rc)
            rc = pin_frame(p, gt, header, a);
        if (rc) {
            unmark(gt, p->ref, a);
            return rc;
        }
    }
    ++*count;
    p->mfn = a->mfn;
    p->start = a->start;
    p->length = a->length;
    return GNTST_okay;
}

/* See grant.h. The caller has a reference to p->granter. */
int16_t grant_pin(struct grant_pin *p)
{
    struct grant_table *gt = &p->granter->grant;
    int16_t rc;

    p->transitive = false;
    spin_lock(&gt->lock);
    rc = pin_locked(p, gt);
    spin_unlock(&gt->lock);
    return rc;
}

/*
 * Give up what the last pin, or the last writer, held (G1). The owner's log has had the frame as
 * dirty while there were writers (mark_always_dirty()), and this once more.
 */
static void let_go(struct frame *f, bool last, bool last_writer)
{
    if (last_writer)
        mark_frame_dirty(f);
    if (last_writer)
        put_type(f);
    if (last)
        put_frame(f);
}

/* Undo one grant_pin(). What the pin allowed to be mapped is unmapped and flushed from all TLBs. */
void grant_unpin(struct domain *granter, grant_ref_t ref, bool write)
{
    struct grant_table *gt = &granter->grant;
    struct grant_active *a;
    uint16_t *count;
    bool last, last_writer;

    spin_lock(&gt->lock);
    a = grant_active_entry(gt, ref);
    count = write ? &a->writers : &a->readers;
    ASSERT(*count);
    --*count;
    last = !a->pins;
    last_writer = write && !a->writers;
    unmark(gt, ref, a);
    if ((last || last_writer) && a->mfn != INVALID_MFN)
        let_go(mfn_frame(a->mfn), last, last_writer);
    spin_unlock(&gt->lock);
}

/* --- A domain's table ------------------------------------------------------------------------- */

int grant_table_init(struct domain *d)
{
    struct grant_table *gt = &d->grant;

    memset(gt, 0, sizeof(*gt));
    spin_lock_init(&gt->lock, RANK_GRANT);
    gt->version = 1;
    gt->max_frames = GRANT_MAX_FRAMES;
    gt->max_maptrack_frames = GRANT_MAX_MAPTRACK_FRAMES;
    gt->maptrack_free = GRANT_NO_HANDLE;
    return 0;
}

int grant_table_set_limits(struct domain *d, unsigned max_frames, unsigned max_maptrack_frames)
{
    struct grant_table *gt = &d->grant;
    int rc = -EBUSY;

    max_frames = MIN(max_frames, (unsigned)GRANT_MAX_FRAMES);
    max_maptrack_frames = MIN(max_maptrack_frames, (unsigned)GRANT_MAX_MAPTRACK_FRAMES);
    spin_lock(&gt->lock);
    if (gt->nr_frames <= max_frames && gt->nr_maptrack_frames <= max_maptrack_frames) {
        gt->max_frames = max_frames;
        gt->max_maptrack_frames = max_maptrack_frames;
        rc = 0;
    }
    spin_unlock(&gt->lock);
    return rc;
}

/*
 * The domain is dying: nothing can be pinned any more, and the frames of the table are the guest's
 * last references to give up. Entries pinned by others stay pinned till those let go.
 */
void grant_table_close(struct domain *d)
{
    struct grant_table *gt = &d->grant;

    spin_lock(&gt->lock);
    gt->closed = true;
    for (unsigned i = 0; i < GRANT_MAX_FRAMES && gt->shared[i]; i++) {
        unshare_heap_page(d, gt->shared[i]);
        gt->shared[i] = NULL;
    }
    for (unsigned i = 0; i < GRANT_STATUS_FRAMES && gt->status[i]; i++) {
        unshare_heap_page(d, gt->status[i]);
        gt->status[i] = NULL;
    }
    spin_unlock(&gt->lock);
}

/*
 * Every maptrack entry refers to its granter's domain: when that has no references left, nothing
 * here is pinned.
 */
void grant_table_destroy(struct domain *d)
{
    struct grant_table *gt = &d->grant;

    for (unsigned i = 0; i < GRANT_MAX_FRAMES; i++)
        xfree_for_domain(d, gt->active[i]);
    for (unsigned i = 0; i < gt->nr_maptrack_frames; i++)
        xfree_for_domain(d, gt->maptrack[i]);
    memset(gt->active, 0, sizeof(gt->active));
    gt->nr_maptrack_frames = 0;
}

/* Console key: entries in use. */
void grant_table_dump(struct domain *d)
{
    const struct grant_table *gt = &d->grant;

    printk("d%u: grant table version %u, %u of %u frames, %u of %u maptrack frames\n", d->id,
           gt->version, gt->nr_frames, gt->max_frames, gt->nr_maptrack_frames,
           gt->max_maptrack_frames);
    for (grant_ref_t ref = 0; ref < gt->nr_entries; ref++) {
        const struct grant_active *a = grant_active_entry(gt, ref);

        if (a->pins)
            printk("  ref %u: frame %x to d%u, %u readers, %u writers\n", ref, a->mfn, a->domid,
                   a->readers, a->writers);
    }
}

/* --- The hypercall ---------------------------------------------------------------------------- */

static const struct gnttabop_record *find_op(uint32_t cmd)
{
    const struct gnttabop_record *r;

    for_each_record(gnttabop, r)
    {
        if (r->cmd == cmd)
            return r;
    }
    return NULL;
}

static long do_list(const struct gnttabop_record *r, uint8_t *guest_ops, uint32_t count)
{
    long done;

    if (count > HYPERVISOR_START / r->size || !guest_range_ok(guest_ops, count * r->size))
        return -EFAULT;
    done = r->list(guest_ops, count);
    if (done < 0 || (uint32_t)done == count)
        return done < 0 ? done : 0;
    return hypercall_continue(__HYPERVISOR_grant_table_op, 3, r->cmd, guest_ops + done * r->size,
                              count - (uint32_t)done);
}

/*
 * -EINVAL: a count the operation does not take; -EFAULT: the list cannot be read or written;
 * -ENOSYS. Everything else is told in the status of each element (GNTST_*), and the call returns 0.
 */
asmlinkage long do_grant_table_op(uint32_t cmd, void *guest_ops, uint32_t count)
{
    const struct gnttabop_record *r;

    if ((int32_t)count < 0)
        return -EINVAL;
    if (cmd == GNTTABOP_cache_flush)
        return -EOPNOTSUPP; /* x86 caches are coherent */
    r = find_op(cmd);
    if (!r)
        return -ENOSYS;
    if (r->list)
        return do_list(r, guest_ops, count);
    return count == 1 ? r->one(guest_ops) : -EINVAL;
}
HYPERCALL(grant_table_op);
