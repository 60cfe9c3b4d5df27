/* SPDX-License-Identifier: MIT */
/*
 * reservation.c: a guest takes more memory, or gives some back: increase_reservation,
 * decrease_reservation, populate_physmap.
 *
 * All three walk a list of extents (2^order frames each) and return how many they did: an error is
 * a short count, never a negative number. An extent is done whole or not at all.
 *
 * Rules, for each extent:
 *  1. increase:  allocate; write its first mfn to the list. The M2P is left to the guest
 *                (MMU_MACHPHYS_UPDATE).
 *  2. populate:  the list holds the first pfn; allocate; set the M2P of all its frames; write the
 *                first mfn to the list.
 *  3. decrease:  the list holds the first mfn; every frame must be the domain's and not given back
 *                before. The frame is free when nothing refers to it any more: a frame still mapped
 *                stays the guest's till then.
 *  4. Extents are at most 2^9 frames for ordinary guests, 2^MAX_ORDER for privileged ones.
 *  5. max_pages is never exceeded; the reserve of low memory is never touched (mm/alloc.c).
 *
 * Read next: mm/exchange/exchange.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <xen/memory.h>

#define MEMOP_EXTENT_SHIFT 6
#define GUEST_MAX_ORDER 9

struct extents {
    struct domain *domain;
    xen_pfn_t *list; /* the guest's; NULL allowed for increase */
    unsigned order;
    unsigned bits; /* machine addresses below 2^bits; 0: any */
};

unsigned max_extent_order(void)
{
    return current->domain->privileged ? MAX_ORDER : GUEST_MAX_ORDER;
}

/*
 * Take a reference to each of n frames of the domain, all still allocated to it. False (and no
 * references) if not.
 */
static bool get_extent(struct domain *d, mfn_t mfn, uint32_t n)
{
    uint32_t i;

    if (mfn >= max_frame || n > max_frame - mfn)
        return false;
    for (i = 0; i < n; i++) {
        struct frame *f = mfn_frame(mfn + i);

        if (!get_frame(f, d))
            break;
        if ((f->count_info & (FC_ALLOCATED | FC_XEN)) != FC_ALLOCATED) {
            put_frame(f);
            break;
        }
    }
    if (i == n)
        return true;
    while (i--)
        put_frame(mfn_frame(mfn + i));
    return false;
}

/*
 * walk 43: Giving memory back
 *
 * Claim: A guest's balloon gives frames back. Its own reference to each, the one for being
 * allocated, is a bit that only one processor can clear; a frame that is still mapped, pinned or
 * granted stays the guest's until those references go, and is free with the last of them.
 * References to all frames of the extent are taken first: it is given back whole or not at all.
 * Without it: Two vcpus that give the same frame back would drop two references where one was held,
 * and the frame would be free while a page table names it.
 * Shown by: tests/host/test_memory_op.c::test_decrease_in_use,
 * tests/host/test_memory_op.c::test_extents_are_whole, tests/guests/paging/reservation/main.c::test_in_use
 */
/*
 * The domain gives 2^order frames back: its allocation references go, and each frame with its last
 * reference. False, and nothing changed, unless all of them are the domain's to give.
 */
bool release_extent(struct domain *d, mfn_t mfn, unsigned order)
{
    uint32_t n = 1u << order;

    if (!get_extent(d, mfn, n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        struct frame *f = mfn_frame(mfn + i);

        /* Another vcpu may do the same at the same time: only one clears the bit. */
        if (__atomic_fetch_and(&f->count_info, ~FC_ALLOCATED, __ATOMIC_SEQ_CST) & FC_ALLOCATED)
            put_frame(f);
        put_frame(f);
    }
    return true;
}

static bool increase(const struct extents *e, uint32_t index)
{
    mfn_t mfn = alloc_domain_frames(e->domain, e->order, e->bits);
    xen_pfn_t out = mfn;

    if (mfn == INVALID_MFN)
        return false;
    if (e->list && copy_element_to_guest(e->list, index, &out)) {
        release_extent(e->domain, mfn, e->order);
        return false;
    }
    return true;
}

static bool populate(const struct extents *e, uint32_t index)
{
    xen_pfn_t pfn, out;
    mfn_t mfn;

    if (copy_element_from_guest(&pfn, e->list, index))
        return false;
    if (pfn > INVALID_M2P - (1u << e->order))
        return false;
    mfn = alloc_frames_in_hand(e->order, e->bits);
    if (mfn == INVALID_MFN)
        return false;
    for (uint32_t i = 0; i < 1u << e->order; i++)
        m2p[mfn + i] = pfn + i;
    if (assign_frames(e->domain, mfn, e->order)) {
        free_frames(mfn, e->order);
        return false;
    }
    for (uint32_t i = 0; i < 1u << e->order; i++)
        mark_pfn_dirty(e->domain, pfn + i);
    out = mfn;
    if (copy_element_to_guest(e->list, index, &out)) {
        release_extent(e->domain, mfn, e->order);
        return false;
    }
    return true;
}

static bool decrease(const struct extents *e, uint32_t index)
{
    xen_pfn_t mfn;

    if (copy_element_from_guest(&mfn, e->list, index))
        return false;
    return mfn < max_frame && release_extent(e->domain, mfn, e->order);
}

/* Fill *e from the guest's words; false when they make no sense. No reference is taken then. */
static bool extents_check(struct extents *e, const struct xen_memory_reservation *r, uint32_t start)
{
    e->list = r->extent_start.p;
    e->order = r->extent_order;
    e->bits = XENMEMF_get_address_bits(r->mem_flags);
    if (r->nr_extents > UINT32_MAX >> MEMOP_EXTENT_SHIFT || start >= r->nr_extents)
        return false;
    if (e->order > max_extent_order() || (e->bits && e->bits <= PAGE_SHIFT))
        return false;
    if (!guest_list_ok(e->list, r->nr_extents, sizeof(*e->list)))
        return false;
    return !(r->mem_flags & XENMEMF_populate_on_demand);
}

/*
 * The list from extent `start` on, until one fails, all are done, or others want the processor.
 * Returns the number of extents done, counting from the first: `start` as well for a domain that
 * does not exist or that the caller has no power over.
 */
long memory_reservation_op(unsigned op, uint32_t start, void *guest_arg)
{
    bool (*const one)(const struct extents *, uint32_t) =
        op == XENMEM_increase_reservation   ? increase
        : op == XENMEM_decrease_reservation ? decrease
                                            : populate;
    struct xen_memory_reservation r;
    struct extents e;
    uint32_t i = start;

    if (copy_from_guest(&r, guest_arg, sizeof(r)) || !extents_check(&e, &r, start) ||
        find_target_domain(r.domid, &e.domain))
        return start;
    while (i < r.nr_extents && one(&e, i)) {
        i++;
        if (i < r.nr_extents && preempt_needed()) {
            put_domain(e.domain);
            return hypercall_continue(__HYPERVISOR_memory_op, 2, op | i << MEMOP_EXTENT_SHIFT,
                                      guest_arg);
        }
    }
    put_domain(e.domain);
    return i;
}
