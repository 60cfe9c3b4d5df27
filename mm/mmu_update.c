/* SPDX-License-Identifier: MIT */
/*
 * mmu_update.c: HYPERVISOR_mmu_update, the guest's way to write its page tables (xen/xen.h).
 *
 *  1. Each request names a machine address and a value; the address's low two bits are the command.
 *  2. MMU_NORMAL_PT_UPDATE and MMU_PT_UPDATE_PRESERVE_AD write one page-table entry. What the frame
 *     is used as decides how the value is checked; a frame in no use as a table is just written.
 *  3. MMU_MACHPHYS_UPDATE sets the M2P entry of a frame.
 *  4. `foreigndom` bits 0-15 name the domain whose frames are mapped, bits 16-31, less one, the
 *     domain whose tables are written (0: the caller). Another domain needs a privileged caller.
 *     The caller's own number does for the tables, but not for the frames: -ESRCH.
 *  5. Requests are done in order until one fails; *done tells how many were. Nothing of a failed
 *     one has happened. *done is written as well where the domain of bits 0-15 is unknown or the
 *     caller has no power over either: 0 were done, and Linux reads how many without a look at
 *     the error. It is not written where the list lies outside the guest's addresses (-EFAULT),
 *     nor where the domain of bits 16-31 is unknown (-ESRCH).
 *
 * Most batches write one table over and over: its frame stays mapped from one request to the next.
 *
 * Read next: l1.c, entries.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/sched.h>

#define PREEMPT_EVERY 64

/*
 * Requests of one call. Between them `va` shows the L1 of pt_owner's that the last one wrote, at
 * machine address page_high:page_low; NULL: none. It stays an L1 of pt_owner's until an L2 or L3 is
 * written: a table loses its type only under mm_lock, which is held. So it needs no reference.
 */
struct batch {
    uint32_t page_low, page_high;
    uint8_t *va;
    struct domain *pt_owner, *owner;
};

static void table_unmap(struct batch *b)
{
    if (b->va)
        unmap_written(b->va);
    b->va = NULL;
}

/*
 * Is this a validated L1 of d's, whose mm_lock is held? Its type is looked at again behind the
 * owner: another domain's L1 that becomes d's memory at this moment is none any more.
 */
static inline bool is_own_l1(const volatile struct frame *f, const struct domain *d)
{
    const uint32_t mask = FT_TYPE | FT_VALIDATED;

    return likely((f->type_info & mask) == L1_TYPE) &&
           likely(owner_slot((const struct frame *)f) == d->slot) &&
           likely((f->type_info & mask) == L1_TYPE);
}

/* The frame is no page table: an ordinary write of 8 bytes, as a writable mapping would allow. */
static int write_plain(struct frame *f, pte_t *p, pte_t val)
{
    int rc = get_type(f, FT_WRITABLE);

    if (rc)
        return rc;
    pte_write(p, val);
    put_type(f);
    return 0;
}

#define DONE_AND_GIVE_WAY 1

/* Write to a frame of pt_owner's that is no validated L1. */
static noinline int update_other(const struct batch *b, mfn_t mfn, uint32_t offset, pte_t val,
                                 bool preserve_ad)
{
    struct frame *f = mfn_frame(mfn);
    int rc = -EINVAL; /* descriptor tables are written by update_descriptor */
    uint32_t x;
    pte_t *p;

    if (!get_frame(f, b->pt_owner))
        return rc;
    p = (pte_t *)((uint8_t *)map_frame(mfn) + offset);
    x = f->type_info;
    if (!(x & FT_COUNT) || (x & FT_TYPE) == FT_WRITABLE || (x & FT_TYPE) == FT_NONE)
        rc = write_plain(f, p, val);
    else if ((x & (FT_TYPE | FT_VALIDATED)) == (FT_L2 | FT_VALIDATED))
        rc = mod_l2_entry(p, val, f, current, preserve_ad);
    else if ((x & (FT_TYPE | FT_VALIDATED)) == (FT_L3 | FT_VALIDATED))
        rc = mod_l3_entry(p, val, f, current);
    unmap_written(p);
    put_frame(f);
    /* An L2's may have let a full L1 go and taken another: a thousand checks in one. */
    return !rc && preempt_needed() ? DONE_AND_GIVE_WAY : rc;
}

static int update_machphys(uint64_t ptr, uint64_t val, struct domain *owner)
{
    uint64_t mfn = ptr >> PAGE_SHIFT;

    if (mfn >= max_frame || !get_frame(mfn_frame(mfn), owner))
        return -EINVAL;
    m2p[mfn] = val;
    mark_dirty(mfn);
    put_frame(mfn_frame(mfn));
    return 0;
}

/*
 * Show the table that a request names, in place of the last one's, if it is an L1 of pt_owner's.
 * Anything else is written by update_other(), and *done says so.
 */
static noinline int show_table(struct batch *b, uint64_t ptr, pte_t val, bool *done)
{
    uint64_t mfn = ptr >> PAGE_SHIFT;
    int rc;

    table_unmap(b);
    rc = finish_old_table(current);
    if (rc)
        return rc;
    if (mfn >= max_frame)
        return -EINVAL;
    if (!is_own_l1(mfn_frame(mfn), b->pt_owner)) {
        *done = true;
        return update_other(b, mfn, ptr & (PAGE_SIZE - sizeof(pte_t)), val,
                            (ptr & 3) == MMU_PT_UPDATE_PRESERVE_AD);
    }
    b->page_low = ptr & ~(PAGE_SIZE - 1);
    b->page_high = ptr >> 32;
    b->va = map_frame(mfn);
    return 0;
}

/*
 * One request: w[0] and w[1] are the machine address of the entry or word of 8 bytes, whose low bits
 * are the command; w[2] and w[3] its new value. MMU_PT_UPDATE_NO_TRANSLATE is the plain command: no
 * guest here has frame numbers to translate.
 */
static inline int update(struct batch *b, const uint32_t w[4])
{
    uint64_t ptr = (uint64_t)w[1] << 32 | w[0], val = (uint64_t)w[3] << 32 | w[2];
    bool done = false;
    int rc;

    if (unlikely((w[0] & 3) == MMU_MACHPHYS_UPDATE))
        return update_machphys(ptr, val, b->owner);
    if (unlikely(!b->va) || unlikely((w[0] & ~(PAGE_SIZE - 1)) != b->page_low) ||
        unlikely(w[1] != b->page_high)) {
        rc = show_table(b, ptr, val, &done);
        if (rc || done)
            return rc;
    }
    return mod_l1_entry((pte_t *)(b->va + (w[0] & (PAGE_SIZE - sizeof(pte_t)))), val, b->pt_owner,
                        b->owner, (w[0] & 3) == MMU_PT_UPDATE_PRESERVE_AD);
}

/*
 * Look up the domain whose frames a request names, and take a reference. Returns 0 and sets *out,
 * or -ESRCH: no such domain, or the caller's own number; or -EPERM: the caller has no power over it.
 */
int get_foreign_domain(domid_t id, struct domain **out)
{
    if (id == DOMID_SELF) {
        *out = current->domain;
        get_domain(*out);
        return 0;
    }
    if (id == current->domain->id)
        return -ESRCH;
    if (id == DOMID_IO) {
        if (!current->domain->iomem.n)
            return -EPERM;
        *out = &io_domain;
        get_domain(*out);
        return 0;
    }
    *out = find_domain(id);
    if (!*out)
        return -ESRCH;
    if (current->domain->privileged)
        return 0;
    put_domain(*out);
    return -EPERM;
}

/* The domain whose tables are written (rule 4), with a reference. NULL: there is none. */
static struct domain *get_table_owner(uint32_t foreigndom)
{
    uint32_t pt = foreigndom >> 16;

    if (pt)
        return find_domain(pt - 1);
    get_domain(current->domain);
    return current->domain;
}

/*
 * Do requests [0, count); *done counts them. -ERESTART: preempted before request *done. A table
 * that the last request let go is undone before the guest hears of success: it may reuse the frame
 * at once.
 */
static int do_updates(const struct mmu_update *reqs, uint32_t count, uint32_t *done,
                      struct domain *pt_owner, struct domain *owner)
{
    struct batch b = {.pt_owner = pt_owner, .owner = owner};
    const struct mmu_update *r, *end = reqs + count, *pause = reqs + PREEMPT_EVERY;
    int rc = 0;

    spin_lock(&pt_owner->mm_lock);
    /* A table left half checked in a dying domain would stay so: nobody looks for those any more. */
    if (unlikely(pt_owner->state != DOMAIN_ALIVE)) {
        rc = -ESRCH;
        end = reqs;
    }
    for (r = reqs; r < end; r++) {
        uint32_t w[4];

        if (unlikely(r == pause)) {
            if (preempt_needed()) {
                rc = -ERESTART;
                break;
            }
            pause += PREEMPT_EVERY;
        }
        if (unlikely(!get_guest_words4(w, r))) {
            rc = -EFAULT;
            break;
        }
        rc = update(&b, w);
        if (unlikely(rc))
            break;
    }
    if (rc == DONE_AND_GIVE_WAY) {
        rc = -ERESTART;
        r++;
    }
    *done = r - reqs;
    table_unmap(&b);
    if (!rc)
        rc = finish_old_table(current);
    spin_unlock(&pt_owner->mm_lock);
    return rc;
}

/*
 * Tell the guest how many requests were done, those of earlier parts of a continued call included.
 * Where that cannot be written it is not told: what was done is done.
 */
void report_done(uint32_t *guest_done, uint32_t done, bool continued)
{
    uint32_t before = 0;

    if (!guest_done || !guest_range_ok(guest_done, sizeof(done)))
        return;
    if (continued && !get_guest_words(&before, guest_done, 1))
        return;
    done += before;
    put_guest_words(guest_done, &done, 1);
}

/*
 * Requests that name domains. -ESRCH with *told false: *done is not for the guest to see (rule 5).
 */
static int do_foreign_updates(const struct mmu_update *reqs, uint32_t count, uint32_t *done,
                              uint32_t foreigndom, bool *told)
{
    struct domain *pt_owner = get_table_owner(foreigndom), *owner;
    int rc;

    *told = pt_owner != NULL;
    if (!pt_owner)
        return -ESRCH;
    rc = get_foreign_domain(foreigndom & 0xffff, &owner);
    if (rc) {
        put_domain(pt_owner);
        return rc;
    }
    if (pt_owner != current->domain && !current->domain->privileged)
        rc = -EPERM;
    else
        rc = do_updates(reqs, count, done, pt_owner, owner);
    put_domain(owner);
    put_domain(pt_owner);
    return rc;
}

asmlinkage long do_mmu_update(void *guest_reqs, uint32_t count, uint32_t *guest_done,
                              uint32_t foreigndom)
{
    const struct mmu_update *reqs = guest_reqs;
    bool continued = count & CONTINUED, told = true;
    struct domain *d = current->domain;
    uint32_t done = 0;
    int rc;

    if (unlikely(count == CONTINUED))
        return finish_table_call(__HYPERVISOR_mmu_update, (long)reqs);
    if (unlikely(current->old_table != INVALID_MFN) && finish_any_old_table(current))
        return hypercall_continue(__HYPERVISOR_mmu_update, 4, reqs, count, guest_done, foreigndom);
    count &= ~CONTINUED;
    if (count > HYPERVISOR_START / sizeof(*reqs) || !guest_range_ok(reqs, count * sizeof(*reqs)))
        return -EFAULT;
    if (likely(foreigndom == DOMID_SELF)) /* a domain that runs needs no reference to stay */
        rc = do_updates(reqs, count, &done, d, d);
    else
        rc = do_foreign_updates(reqs, count, &done, foreigndom, &told);
    if (likely(told))
        report_done(guest_done, done, continued);
    if (likely(!rc))
        return 0;
    if (rc == -ERESTART && done < count)
        return hypercall_continue(__HYPERVISOR_mmu_update, 4, &reqs[done],
                                  (count - done) | CONTINUED, guest_done, foreigndom);
    return finish_table_call(__HYPERVISOR_mmu_update, rc);
}

HYPERCALL(mmu_update);
