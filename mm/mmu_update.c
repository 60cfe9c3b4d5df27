/* SPDX-License-Identifier: MIT */
/*
 * mmu_update.c: HYPERVISOR_mmu_update, the guest's way to write its page tables (xen/xen.h).
 *
 *  1. Each request names a machine address and a value; the address's low two bits are the command.
 *  2. MMU_NORMAL_PT_UPDATE and MMU_PT_UPDATE_PRESERVE_AD write one page-table entry. What the frame
 *     is used as decides how the value is checked; a frame in no use as a table is just written.
 *  3. MMU_MACHPHYS_UPDATE sets the M2P entry of a frame.
 *  4. `foreigndom` bits 0-15 name the domain whose frames are mapped, bits 16-31, less one, the
 *     domain whose tables are written (0: the caller). Another domain needs a privileged caller;
 *     one's own number is an error.
 *  5. Requests are done in order until one fails; *done tells how many were. Nothing of a failed
 *     one has happened.
 *
 * Most of the cost of a Linux fork is here, and most batches write one table over and over: the
 * table's frame stays referenced and mapped from one request to the next.
 *
 * Read next: entries.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/l1.h>
#include <ringlet/sched.h>

#define PREEMPT_EVERY 64

/* The table that the last request wrote. `page` is its machine address; NO_PAGE: none. */
struct table_map {
    uint32_t page_low, page_high;
    struct frame *frame; /* referenced */
    uint8_t *va;
};
#define NO_PAGE 0xFFFFFFFFu

static void table_unmap(struct table_map *t)
{
    if (t->page_high != NO_PAGE) {
        unmap_frame(t->va);
        put_frame(t->frame);
        t->page_high = NO_PAGE;
    }
}

static int table_map(struct table_map *t, uint32_t low, uint32_t high, struct domain *pt_owner)
{
    uint32_t page = low & ~(PAGE_SIZE - 1), mfn = low >> PAGE_SHIFT | high << (32 - PAGE_SHIFT);

    if (t->page_low == page && t->page_high == high)
        return 0;
    table_unmap(t);
    if (high >> PAGE_SHIFT || mfn >= max_frame || !get_frame(mfn_frame(mfn), pt_owner))
        return -EINVAL;
    t->page_low = page;
    t->page_high = high;
    t->frame = mfn_frame(mfn);
    t->va = map_frame(mfn);
    return 0;
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

static int update_entry(struct table_map *t, uint64_t ptr, pte_t val, struct domain *pt_owner,
                        struct domain *owner)
{
    bool preserve_ad = (ptr & 3) == MMU_PT_UPDATE_PRESERVE_AD;
    pte_t *p = (pte_t *)(t->va + (ptr & (PAGE_SIZE - sizeof(pte_t))));
    uint32_t x = t->frame->type_info;

    if (!(x & FT_COUNT) || (x & FT_TYPE) == FT_WRITABLE || (x & FT_TYPE) == FT_NONE)
        return write_plain(t->frame, p, val);
    if (!(x & FT_VALIDATED))
        return -EINVAL;
    switch (x & FT_TYPE) {
    case FT_L1:
        return mod_l1_entry(p, val, pt_owner, owner, preserve_ad);
    case FT_L2:
        return mod_l2_entry(p, val, t->frame, current, preserve_ad);
    case FT_L3:
        return mod_l3_entry(p, val, t->frame, current);
    default:
        return -EINVAL; /* descriptor tables are written by update_descriptor */
    }
}

static int update_machphys(uint64_t ptr, uint64_t val, struct domain *owner)
{
    uint64_t mfn = ptr >> PAGE_SHIFT;

    if (mfn >= max_frame || !get_frame(mfn_frame(mfn), owner))
        return -EINVAL;
    m2p[mfn] = val;
    put_frame(mfn_frame(mfn));
    return 0;
}

/*
 * The usual request: another entry of the L1 that the last one wrote, naming a frame of the same
 * domain. False: not that, and nothing was done. A frame's type may have changed since the last
 * request, so it is looked at each time; the reference that table_map() took keeps it the owner's.
 */
static inline __attribute__((always_inline)) bool update_same_l1(const uint32_t req[4],
                                                                 const struct table_map *t,
                                                                 struct domain *pt_owner,
                                                                 uint32_t command)
{
    /* The same page, and the low bits are this command and an aligned entry. */
    if (((req[0] ^ t->page_low ^ command) & ~(PAGE_SIZE - sizeof(pte_t))) || req[1] != t->page_high)
        return false;
    if ((t->frame->type_info & (FT_TYPE | FT_VALIDATED)) != (FT_L1 | FT_VALIDATED))
        return false;
    return mod_l1_fast((pte_t *)(t->va + (req[0] & (PAGE_SIZE - sizeof(pte_t)))), req[2], req[3],
                       pt_owner, command == MMU_PT_UPDATE_PRESERVE_AD);
}

/* Both kinds of it, once its table is mapped. */
static bool update_own_l1(const uint32_t req[4], const struct table_map *t, struct domain *pt_owner)
{
    if ((req[0] & 3) == MMU_PT_UPDATE_PRESERVE_AD)
        return update_same_l1(req, t, pt_owner, MMU_PT_UPDATE_PRESERVE_AD);
    return update_same_l1(req, t, pt_owner, MMU_NORMAL_PT_UPDATE);
}

#define DONE_AND_GIVE_WAY 1

/* Requests of every kind. What was usual but for its table is done as such once that is mapped. */
static noinline int any_update(const uint32_t w[4], struct table_map *t, struct domain *pt_owner,
                               struct domain *owner)
{
    uint64_t ptr = (uint64_t)w[1] << 32 | w[0], val = (uint64_t)w[3] << 32 | w[2];
    int rc;

    switch (w[0] & 3) {
    case MMU_NORMAL_PT_UPDATE:
    case MMU_PT_UPDATE_PRESERVE_AD:
    case MMU_PT_UPDATE_NO_TRANSLATE: /* no guest here has frame numbers to translate */
        rc = finish_old_table(current);
        if (!rc)
            rc = table_map(t, w[0], w[1], pt_owner);
        if (rc || (owner == pt_owner && update_own_l1(w, t, pt_owner)))
            return rc;
        rc = update_entry(t, ptr, val, pt_owner, owner);
        /* An L2's may have let a full L1 go and taken another: a thousand checks in one. */
        if (!rc && frame_type(t->frame) != FT_L1 && preempt_needed())
            rc = DONE_AND_GIVE_WAY;
        return rc;
    case MMU_MACHPHYS_UPDATE:
        return update_machphys(ptr, val, owner);
    default:
        return -ENOSYS;
    }
}

/*
 * The domain a request's foreign part names, with a reference: 0 in *out's place of failure is
 * -ESRCH (no such domain, or the caller's own number) or -EPERM (not privileged).
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
    if (!current->domain->privileged)
        return -EPERM;
    *out = find_domain(id);
    return *out ? 0 : -ESRCH;
}

static int get_update_domains(uint32_t foreigndom, struct domain **pt_owner, struct domain **owner)
{
    uint32_t pt = foreigndom >> 16;
    int rc = get_foreign_domain(pt ? pt - 1 : DOMID_SELF, pt_owner);

    if (rc)
        return rc;
    /* A table left half checked in a dying domain would stay so: nobody looks for those any more. */
    rc = (*pt_owner)->state == DOMAIN_ALIVE ? get_foreign_domain(foreigndom & 0xffff, owner)
                                            : -ESRCH;
    if (rc)
        put_domain(*pt_owner);
    return rc;
}

/*
 * Do requests [0, count); *done counts them. -ERESTART: preempted before request *done. A table
 * that the last request let go is undone before the guest hears of success: it may reuse the frame
 * at once.
 */
static int do_updates(const struct mmu_update *reqs, uint32_t count, uint32_t *done,
                      struct domain *pt_owner, struct domain *owner)
{
    struct table_map t = {.page_high = NO_PAGE};
    bool same_owner = owner == pt_owner;
    uint32_t i, w[4];
    int rc = 0;

    spin_lock(&pt_owner->mm_lock);
    for (i = 0; i < count; i++) {
        if (i % PREEMPT_EVERY == PREEMPT_EVERY - 1 && preempt_needed()) {
            rc = -ERESTART;
            break;
        }
        if (unlikely(!get_guest_words4(w, &reqs[i]))) {
            rc = -EFAULT;
            break;
        }
        if (likely(same_owner && update_same_l1(w, &t, pt_owner, MMU_NORMAL_PT_UPDATE)))
            continue;
        rc = any_update(w, &t, pt_owner, owner);
        if (rc)
            break;
    }
    if (rc == DONE_AND_GIVE_WAY) {
        rc = -ERESTART;
        i++;
    }
    *done = i;
    table_unmap(&t);
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

asmlinkage long do_mmu_update(void *guest_reqs, uint32_t count, uint32_t *guest_done,
                              uint32_t foreigndom)
{
    const struct mmu_update *reqs = guest_reqs;
    bool continued = count & CONTINUED, own = foreigndom == DOMID_SELF;
    struct domain *pt_owner = current->domain, *owner = pt_owner;
    uint32_t done = 0;
    int rc;

    if (unlikely(count == CONTINUED))
        return finish_table_call(__HYPERVISOR_mmu_update, (long)guest_reqs);
    count &= ~CONTINUED;
    if (count > HYPERVISOR_START / sizeof(*reqs) || !guest_range_ok(reqs, count * sizeof(*reqs)))
        return -EFAULT;
    /* A domain that runs needs no reference to stay. */
    if (unlikely(!own)) {
        rc = get_update_domains(foreigndom, &pt_owner, &owner);
        if (rc)
            return rc;
    }
    rc = do_updates(reqs, count, &done, pt_owner, owner);
    if (unlikely(!own)) {
        put_domain(owner);
        put_domain(pt_owner);
    }
    report_done(guest_done, done, continued);
    if (likely(!rc))
        return 0;
    if (rc == -ERESTART && done < count)
        return hypercall_continue(__HYPERVISOR_mmu_update, 4, &reqs[done],
                                  (count - done) | CONTINUED, guest_done, foreigndom);
    return finish_table_call(__HYPERVISOR_mmu_update, rc);
}
