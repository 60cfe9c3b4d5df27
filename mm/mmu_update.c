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
 * And most calls are of a single request for one's own L1: those take a way of their own,
 * usual_update().
 *
 * Read next: entries.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/l1.h>
#include <ringlet/sched.h>

#define PREEMPT_EVERY 64

/*
 * Requests of one call. Between them `va` shows the L1 of pt_owner's that the last one wrote, NULL:
 * none. It stays an L1 of pt_owner's until an L2 or L3 is written: what was one goes only under
 * mm_lock, which is held. So it needs no reference. Or `plain` shows the ordinary memory of
 * pt_owner's that it wrote, and both references of a writable mapping are held. `page` is the
 * machine address of either, `frame` its frame.
 */
struct batch {
    uint32_t page_low, page_high;
    uint8_t *va, *plain;
    struct frame *frame;
    struct domain *pt_owner, *owner;
};

static noinline void plain_unmap(struct batch *b)
{
    unmap_written(b->plain);
    b->plain = NULL;
    if (unlikely(!put_writable_fast(b->frame)))
        put_frame_and_type(b->frame);
}

static inline void table_unmap(struct batch *b)
{
    if (b->plain)
        plain_unmap(b);
    if (!b->va)
        return;
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

/*
 * The same where the frame, of d's, is writable already: as a root of page tables is that Linux is
 * still building. False: it is not, and nothing was done.
 */
static noinline bool write_plain_fast(const struct mmu_update *req, uint32_t where,
                                      const struct domain *d)
{
    mfn_t mfn = where >> PAGE_SHIFT;
    struct frame *f = mfn_frame(mfn);
    uint32_t value[2];
    pte_t *p;

    if (!get_guest_words(value, &req->val, 2) || owner_slot(f) != d->slot ||
        !get_writable_fast(f, d))
        return false;
    p = (pte_t *)((uint8_t *)map_frame(mfn) + (where & (PAGE_SIZE - sizeof(pte_t))));
    pte_write(p, (uint64_t)value[1] << 32 | value[0]);
    unmap_written(p);
    if (unlikely(!put_writable_fast(f)))
        put_frame_and_type(f);
    return true;
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
 * The usual request: another entry of the L1 that the last one wrote, naming a frame of the same
 * domain. False: not that, and nothing was done.
 */
static inline __attribute__((always_inline)) bool update_same_l1(const struct batch *b,
                                                                 const uint32_t w[4])
{
    /* What is left are the low bits: an aligned entry's are the command. */
    uint32_t differ = (w[0] ^ b->page_low) & ~(PAGE_SIZE - sizeof(pte_t));
    pte_t *p;

    if (w[1] != b->page_high || unlikely(!b->va))
        return false;
    p = (pte_t *)(b->va + (w[0] & (PAGE_SIZE - sizeof(pte_t))));
    if (likely(differ == MMU_NORMAL_PT_UPDATE))
        return mod_l1_fast(p, b->frame, w[2], w[3], b->pt_owner, false);
    return differ == MMU_PT_UPDATE_PRESERVE_AD &&
           mod_l1_fast(p, b->frame, w[2], w[3], b->pt_owner, true);
}

/* Another write to the ordinary memory that the last one wrote. False: not that. */
static inline bool update_same_plain(const struct batch *b, const uint32_t w[4])
{
    uint32_t differ = (w[0] ^ b->page_low) & ~(PAGE_SIZE - sizeof(pte_t));

    if (!b->plain || w[1] != b->page_high || (differ & ~MMU_PT_UPDATE_PRESERVE_AD))
        return false;
    pte_write((pte_t *)(b->plain + (w[0] & (PAGE_SIZE - sizeof(pte_t)))),
              (uint64_t)w[3] << 32 | w[2]);
    return true;
}

/*
 * Requests of every kind. What was usual but for its table is done as such once that is mapped. The
 * map stays for the next request where that may be a usual one.
 */
static noinline int any_update(struct batch *b, uint32_t low, uint32_t high, uint32_t val_low,
                               uint32_t val_high)
{
    bool preserve_ad = (low & 3) == MMU_PT_UPDATE_PRESERVE_AD;
    uint32_t offset = low & (PAGE_SIZE - sizeof(pte_t));
    mfn_t mfn = low >> PAGE_SHIFT | high << (32 - PAGE_SHIFT);
    pte_t *p, val = (uint64_t)val_high << 32 | val_low;
    struct frame *f;
    bool is_l1;
    int rc;

    if (unlikely((low & 3) == MMU_MACHPHYS_UPDATE))
        return update_machphys((uint64_t)high << 32 | low, val, b->owner);
    /* MMU_PT_UPDATE_NO_TRANSLATE is the fourth: no guest here has frame numbers to translate. */
    if ((low & ~(PAGE_SIZE - 1)) != b->page_low || high != b->page_high || !b->va) {
        table_unmap(b);
        rc = finish_old_table(current);
        if (unlikely(rc))
            return rc;
        if (unlikely(high >> PAGE_SHIFT || mfn >= max_frame))
            return -EINVAL;
        f = mfn_frame(mfn);
        is_l1 = is_own_l1(f, b->pt_owner);
        if (!is_l1 && (owner_slot(f) != b->pt_owner->slot || !get_writable_fast(f, b->pt_owner)))
            return update_other(b, mfn, offset, val, preserve_ad);
        b->page_low = low & ~(PAGE_SIZE - 1);
        b->page_high = high;
        b->frame = f;
        if (!is_l1) {
            b->plain = map_frame(mfn);
            pte_write((pte_t *)(b->plain + offset), val);
            return 0;
        }
        b->va = map_frame(mfn);
    }
    p = (pte_t *)(b->va + offset);
    if (unlikely(b->owner != b->pt_owner)) {
        rc = mod_l1_entry(p, val, b->pt_owner, b->owner, preserve_ad);
        table_unmap(b);
        return rc;
    }
    if (likely(mod_l1_fast(p, b->frame, val_low, val_high, b->pt_owner, preserve_ad)))
        return 0;
    return mod_l1_entry(p, val, b->pt_owner, b->pt_owner, preserve_ad);
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
        if (likely(update_same_l1(&b, w)) || update_same_plain(&b, w))
            continue;
        rc = any_update(&b, w[0], w[1], w[2], w[3]);
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
 * A single request of the running domain's for its own L1 that is a usual one in all, or for its
 * ordinary memory: it is done here. False: it is not, and nothing was done or told.
 */
static inline bool usual_update(const struct mmu_update *req)
{
    struct vcpu *v = current;
    struct domain *d = v->domain;
    uint32_t where[2], value[2], mfn;
    bool did = false;
    uint8_t *table;

    if (unlikely(v->old_table != INVALID_MFN) || unlikely(!guest_range_ok(req, sizeof(*req))))
        return false;
    spin_lock(&d->mm_lock);
    /* The low bits are MMU_NORMAL_PT_UPDATE or MMU_PT_UPDATE_PRESERVE_AD. */
    if (likely(get_guest_words(where, &req->ptr, 2)) && likely(!where[1]) &&
        likely(!(where[0] & 5)) && likely((mfn = where[0] >> PAGE_SHIFT) < max_frame)) {
        if (unlikely(!is_own_l1(mfn_frame(mfn), d))) {
            did = write_plain_fast(req, where[0], d);
        } else if (likely(get_guest_words(value, &req->val, 2))) {
            /*
             * A glance is enough: see mod_l1_fast(). It comes after the last access to the guest's
             * memory, which may fault, and map other frames (mm/logdirty/shadow.c).
             */
            table = (uint8_t *)glance_frame(mfn);
            did = mod_l1_fast((pte_t *)(table + (where[0] & (PAGE_SIZE - sizeof(pte_t)))),
                              mfn_frame(mfn), value[0], value[1], d,
                              where[0] & MMU_PT_UPDATE_PRESERVE_AD);
            if (likely(did))
                mark_dirty(mfn);
        }
    }
    spin_unlock(&d->mm_lock);
    return did;
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

/* Calls of every kind. */
static noinline long any_updates(const struct mmu_update *reqs, uint32_t count,
                                 uint32_t *guest_done, uint32_t foreigndom)
{
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

asmlinkage long do_mmu_update(void *guest_reqs, uint32_t count, uint32_t *guest_done,
                              uint32_t foreigndom)
{
    if (unlikely(count != 1) || unlikely(foreigndom != DOMID_SELF))
        return any_updates(guest_reqs, count, guest_done, foreigndom);
    if (unlikely(!usual_update(guest_reqs)))
        return any_updates(guest_reqs, 1, guest_done, DOMID_SELF);
    if (guest_done)
        report_done(guest_done, 1, false);
    return 0;
}
HYPERCALL(mmu_update);
