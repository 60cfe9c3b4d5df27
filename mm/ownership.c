/* SPDX-License-Identifier: MIT */
/*
 * ownership.c: how a frame comes into a domain's hands and how it leaves them.
 *
 * A frame goes alloc_frames() -> assign_frames() -> (references come and go) -> put_frame() of the
 * last one -> frame_release() -> free. Between allocation and assignment, and again between
 * steal_frame() and the next assignment, it is "in hand": no owner, no count, so get_frame() fails
 * and nobody can begin to use it.
 *
 * What makes reuse safe, in order: the last reference is gone, so no page table maps the frame; a
 * processor may still hold a translation in its TLB, so those that may are flushed; then the
 * contents are cleared; then the frame is free. Miss the flush, and the old owner writes into the
 * new owner's memory; miss the clearing, and the new owner reads the old one's.
 *
 * A domain structure lives as long as it owns a frame: one domain reference is held while tot_pages
 * + heap_pages > 0.
 *
 * Read next: mm/types.c (references), mm/memory_op.c (guests asking for frames).
 */
#include <ringlet/domain.h>
#include <ringlet/frame.h>
#include <ringlet/hypercall.h>

static void list_add(struct domain *d, mfn_t mfn, struct frame *f)
{
    f->prev = 0;
    f->next = d->page_list;
    if (d->page_list)
        mfn_frame(d->page_list)->prev = mfn;
    d->page_list = mfn;
}

static void list_del(struct domain *d, struct frame *f)
{
    if (f->next)
        mfn_frame(f->next)->prev = f->prev;
    if (f->prev)
        mfn_frame(f->prev)->next = f->next;
    else
        d->page_list = f->next;
    f->next = f->prev = 0;
}

static bool owns_nothing(const struct domain *d)
{
    return d->tot_pages + d->heap_pages == 0;
}

/* The frames' own part of changing hands. page_lock held. */
static void own(struct domain *d, mfn_t mfn, uint32_t n)
{
    for (mfn_t i = mfn; i < mfn + n; i++) {
        struct frame *f = mfn_frame(i);

        ASSERT(f->count_info == 0 && f->owner == OWNER_NONE);
        list_add(d, i, f);
        f->owner = d->slot;
        f->type_info = FT_NONE;
        /* Last: from here on get_frame() succeeds. */
        __atomic_store_n(&f->count_info, FC_ALLOCATED | 1, __ATOMIC_RELEASE);
    }
}

/*
 * Give 2^order frames that are in hand to `d`, each with its allocation reference. -EINVAL when the
 * domain is dying, -ENOMEM when it would own more than max_pages; the frames stay in hand then. The
 * M2P is the caller's business, and to be written before: another vcpu can give an assigned frame
 * back at once, and then the entry is the next owner's.
 */
int assign_frames(struct domain *d, mfn_t mfn, unsigned order)
{
    uint32_t n = 1u << order;
    int rc = 0;

    spin_lock(&d->page_lock);
    if (d->state != DOMAIN_ALIVE) {
        rc = -EINVAL;
    } else if (d->tot_pages >= d->max_pages || n > d->max_pages - d->tot_pages) {
        rc = -ENOMEM;
    } else {
        if (owns_nothing(d))
            get_domain(d);
        d->tot_pages += n;
        own(d, mfn, n);
    }
    spin_unlock(&d->page_lock);
    return rc;
}

/*
 * The same for frames that replace stolen ones (steal_for_exchange()), which tot_pages still
 * counts: the limit is not asked again, for it may have been lowered meanwhile. When the domain is
 * dying the frames are freed instead, and counted no longer. Returns whether they were assigned.
 */
bool assign_in_exchange(struct domain *d, mfn_t mfn, unsigned order)
{
    bool alive, last = false;

    spin_lock(&d->page_lock);
    alive = d->state == DOMAIN_ALIVE;
    if (alive) {
        own(d, mfn, 1u << order);
    } else {
        d->tot_pages -= 1u << order;
        last = owns_nothing(d);
    }
    spin_unlock(&d->page_lock);
    if (!alive)
        free_frames(mfn, order);
    if (last)
        put_domain(d);
    return alive;
}

/* What of the memory below 4 GiB is left to those who ask for it, while there is other memory. */
#define KEPT_BELOW_4G ((128u << 20) >> PAGE_SHIFT)

/*
 * Frames for a domain, in hand. INVALID_MFN when there is no memory. Who has no wish (bits is 0)
 * gets memory below 4 GiB first, because kernels that say plain "yes" to PAE can have an L3 only
 * there. (QEMU 7.2's qemu-system-i386 also fails to walk page tables that lie above.) The last of
 * it goes last: every new domain needs some for its first L3, and the initial domain for its
 * devices.
 */
mfn_t alloc_frames_in_hand(unsigned order, unsigned bits)
{
    mfn_t mfn = INVALID_MFN;

    if (!bits && free_frame_count_below_4g() > KEPT_BELOW_4G)
        mfn = alloc_frames(order, 32);
    return mfn == INVALID_MFN ? alloc_frames(order, bits) : mfn;
}

/* The same, and assigned. INVALID_MFN also when the domain may not have them. */
mfn_t alloc_domain_frames(struct domain *d, unsigned order, unsigned bits)
{
    mfn_t mfn = alloc_frames_in_hand(order, bits);

    if (mfn != INVALID_MFN && assign_frames(d, mfn, order)) {
        free_frames(mfn, order);
        mfn = INVALID_MFN;
    }
    return mfn;
}

/*
 * Take a frame without references out of its owner's accounts; it is in hand then. page_lock held.
 */
static void disown(struct domain *d, struct frame *f)
{
    ASSERT((f->count_info & FC_COUNT) == 0 && (f->type_info & FT_COUNT) == 0);
    if (f->count_info & FC_XEN) {
        d->heap_pages--;
    } else {
        list_del(d, f);
        d->tot_pages--;
    }
    f->count_info = 0;
    f->type_info = FT_NONE;
    f->nr_done = 0;
    f->owner = OWNER_NONE;
}

/*
 * walk 42: The end of a frame's life
 *
 * Claim: The last reference to a frame is gone, so no page table maps it. A TLB may still: those
 * that could are flushed first. Then the frame leaves its owner's list and account, is cleared and
 * is free. The order is the whole point of this function. A domain's structure lives as long as it
 * owns one frame, and this may have been the last one.
 * Without it: Free before the flush, and the old owner writes into the new owner's memory through a
 * stale translation.
 * Shown by: tests/host/test_alloc.c::test_assign_and_release,
 * tests/host/test_tlb.c::test_a_foreign_mapping
 */
/*
 * The last reference to a domain's frame is gone (put_frame() calls this): back to the free memory,
 * and the domain's structure with it if this was its last one.
 */
void frame_release(struct frame *f)
{
    struct domain *d = frame_owner(f);
    bool last;

    ASSERT(d && !(f->count_info & FC_ALLOCATED));
    /* While d counts the frame: after that another CPU's frame may be its last, and end d. */
    tlb_flush_if_stale(d);
    spin_lock(&d->page_lock);
    disown(d, f);
    last = owns_nothing(d);
    spin_unlock(&d->page_lock);
    free_frames(frame_mfn(f), 0);
    if (last)
        put_domain(d);
}

/*
 * Take from `d` a frame that nothing uses: its only reference is the allocation. Owners change only
 * under page_lock, so with that held the check of the owner and the exchange are one step.
 */
static bool take_away(struct domain *d, struct frame *f)
{
    uint32_t unused = FC_ALLOCATED | 1;

    if (f->owner != d->slot || !__atomic_compare_exchange_n(&f->count_info, &unused, 0, false,
                                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return false;
    disown(d, f);
    return true;
}

/*
 * Take an unused frame away for good. True when it is now in hand, with all TLBs clean of it,
 * contents and M2P entry untouched; false when it is in use, not the domain's, or the hypervisor's.
 */
bool steal_frame(struct domain *d, struct frame *f)
{
    bool last = false, stolen;

    spin_lock(&d->page_lock);
    stolen = take_away(d, f);
    if (stolen)
        last = owns_nothing(d);
    spin_unlock(&d->page_lock);
    if (stolen)
        tlb_flush_if_stale(d);
    if (last)
        put_domain(d);
    return stolen;
}

/*
 * The same, but tot_pages goes on counting the frame, so that nobody else can fill its place: for
 * each such frame one goes to assign_in_exchange().
 */
bool steal_for_exchange(struct domain *d, struct frame *f)
{
    bool stolen;

    spin_lock(&d->page_lock);
    stolen = take_away(d, f);
    if (stolen)
        d->tot_pages++;
    spin_unlock(&d->page_lock);
    if (stolen)
        tlb_flush_if_stale(d);
    return stolen;
}

/*
 * Let `d` map a heap page (its shared_info, its grant table), writable or not. The one type
 * reference taken here is never returned while the page is shared, so the type is fixed: a guest
 * can map the page, but not make a page table of it, nor map a read-only one writable. FC_XEN keeps
 * it out of decrease_reservation, transfer and page_list.
 */
void share_heap_page(struct domain *d, void *va, bool writable)
{
    mfn_t mfn = direct_mfn(va);
    struct frame *f = mfn_frame(mfn);

    ASSERT(f->count_info == (FC_XEN | FC_ALLOCATED | 1) && f->owner == OWNER_XEN);
    spin_lock(&d->page_lock);
    if (owns_nothing(d))
        get_domain(d);
    d->heap_pages++;
    m2p[mfn] = INVALID_M2P;
    f->type_info = (writable ? FT_WRITABLE : FT_NONE) | FT_VALIDATED | 1;
    f->owner = d->slot;
    spin_unlock(&d->page_lock);
}

/*
 * The hypervisor is done with a shared page. It goes back to the heap now, or when the guests that
 * still map it let go; the caller must not touch it again, nor free it.
 */
void unshare_heap_page(struct domain *d, void *va)
{
    struct frame *f = mfn_frame(direct_mfn(va));

    ASSERT(f->owner == d->slot && (f->count_info & FC_XEN));
    ASSERT((f->type_info & FT_COUNT) >= 1);
    __atomic_fetch_sub(&f->type_info, 1, __ATOMIC_SEQ_CST);
    if (!(f->count_info & FC_ALLOCATED)) { /* claimed */
        frame_release(f);
        return;
    }
    __atomic_fetch_and(&f->count_info, ~FC_ALLOCATED, __ATOMIC_SEQ_CST);
    put_frame(f);
}

/*
 * If no guest refers to a shared page, by a map or otherwise, none can from now on, until it is
 * unshared or unclaimed. False: one does.
 */
bool claim_heap_page(void *va)
{
    uint32_t unused = FC_XEN | FC_ALLOCATED | 1;

    return __atomic_compare_exchange_n(&mfn_frame(direct_mfn(va))->count_info, &unused, FC_XEN,
                                       false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void unclaim_heap_page(void *va)
{
    __atomic_store_n(&mfn_frame(direct_mfn(va))->count_info, FC_XEN | FC_ALLOCATED | 1,
                     __ATOMIC_SEQ_CST);
}
