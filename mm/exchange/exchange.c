/* SPDX-License-Identifier: MIT */
/*
 * exchange.c: XENMEM_exchange: a guest trades frames for others, contiguous or at lower addresses,
 * so that a device can reach them. Linux's initial domain makes its bounce buffers this way.
 *
 * Rules (public memory.h, and what Xen adds):
 *  1. in.domid == out.domid, and both lists name the same number of frames, in extents of 2^order
 *     each. Both lie in the guest's part of the address space (-EFAULT).
 *  2. A chunk is the smallest unit with whole extents on both sides: 2^max(in.order, out.order)
 *     frames. Chunks are exchanged one after the other, each whole or not at all; nr_exchanged
 *     counts in-extents of done chunks, and starts with a whole number of them (-EINVAL).
 *  3. A frame given must be unused: its only reference is the allocation (-EINVAL otherwise).
 *     Contents are lost.
 *  4. out.extent_start holds pfns and receives mfns; the M2P is set.
 *  5. -EPERM for extents larger than the caller may have, -ENOMEM when there is no such memory,
 *     -ESRCH, -EFAULT.
 *
 * For one chunk: allocate the new frames first, then take the old ones away, then assign. tot_pages
 * counts the old ones until the new ones are there, so the limit holds, whatever other vcpus do.
 * Only a domain that begins to die meanwhile loses what is in hand.
 *
 * Frames in hand are linked through frame.next, which is the holder's while nobody owns them.
 *
 * Read next: mm/ownership.c (steal_frame).
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <xen/memory.h>

struct trade {
    struct domain *domain;
    const xen_pfn_t *in_list;
    xen_pfn_t *out_list;
    unsigned in_order, out_order, chunk_order;
    unsigned bits;
};

/* A stack of extents in hand; 0 ends it. */
static void push(mfn_t *stack, mfn_t mfn)
{
    mfn_frame(mfn)->next = *stack;
    *stack = mfn;
}

static mfn_t pop(mfn_t *stack)
{
    mfn_t mfn = *stack;
    struct frame *f;

    if (mfn) {
        f = mfn_frame(mfn);
        *stack = f->next;
        f->next = 0;
    }
    return mfn;
}

static void free_stack(mfn_t *stack, unsigned order)
{
    mfn_t mfn;

    while ((mfn = pop(stack)))
        free_frames(mfn, order);
}

/* The old frames of a chunk, taken from the domain one by one onto the stack. */
static int take_old(const struct trade *t, uint32_t chunk, mfn_t *stack)
{
    unsigned extents = 1u << (t->chunk_order - t->in_order);

    for (unsigned j = 0; j < extents; j++) {
        xen_pfn_t mfn;

        if (copy_element_from_guest(&mfn, t->in_list, chunk * extents + j))
            return -EFAULT;
        for (uint32_t k = 0; k < 1u << t->in_order; k++) {
            if (mfn >= max_frame || k >= max_frame - mfn ||
                !steal_for_exchange(t->domain, mfn_frame(mfn + k)))
                return -EINVAL;
            push(stack, mfn + k);
        }
    }
    return 0;
}

/* The new extents of a chunk, the last one of the list on top of the stack. */
static int make_new(const struct trade *t, mfn_t *stack)
{
    for (unsigned j = 0; j < 1u << (t->chunk_order - t->out_order); j++) {
        mfn_t mfn = alloc_frames(t->out_order, t->bits);

        if (mfn == INVALID_MFN)
            return -ENOMEM;
        push(stack, mfn);
    }
    return 0;
}

/* Give the domain its old frames back; they kept contents and M2P. */
static void return_old(const struct trade *t, mfn_t *stack)
{
    mfn_t mfn;

    while ((mfn = pop(stack)))
        assign_in_exchange(t->domain, mfn, 0);
}

/*
 * One new extent goes to the domain at the pfn its list says, and the list gets the mfn. The list
 * was good a moment ago; if it is not any more, the guest has its frames but was not told which.
 */
static int give_new(const struct trade *t, uint32_t index, mfn_t mfn)
{
    xen_pfn_t pfn = INVALID_M2P, out = mfn;
    int rc = 0;

    if (copy_element_from_guest(&pfn, t->out_list, index) ||
        copy_element_to_guest(t->out_list, index, &out))
        rc = -EFAULT;
    for (uint32_t k = 0; !rc && k < 1u << t->out_order; k++)
        m2p[mfn + k] = pfn + k;
    if (!assign_in_exchange(t->domain, mfn, t->out_order))
        return -EINVAL;
    for (uint32_t k = 0; !rc && k < 1u << t->out_order; k++)
        mark_pfn_dirty(t->domain, pfn + k);
    return rc;
}

/* Can the whole out-list of this chunk be read and written? Asked before anything is taken away. */
static int check_out_list(const struct trade *t, uint32_t chunk)
{
    unsigned extents = 1u << (t->chunk_order - t->out_order);

    for (unsigned j = 0; j < extents; j++) {
        xen_pfn_t pfn;

        if (copy_element_from_guest(&pfn, t->out_list, chunk * extents + j) ||
            copy_element_to_guest(t->out_list, chunk * extents + j, &pfn))
            return -EFAULT;
        if (pfn > INVALID_M2P - (1u << t->out_order))
            return -EINVAL;
    }
    return 0;
}

static int exchange_chunk(const struct trade *t, uint32_t chunk)
{
    unsigned extents = 1u << (t->chunk_order - t->out_order);
    mfn_t old = 0, new = 0;
    int rc = check_out_list(t, chunk);

    if (!rc)
        rc = make_new(t, &new);
    if (!rc)
        rc = take_old(t, chunk, &old);
    if (rc) {
        free_stack(&new, t->out_order);
        return_old(t, &old);
        return rc;
    }
    free_stack(&old, 0);
    for (unsigned j = extents; j--;) {
        int failed = give_new(t, chunk * extents + j, pop(&new));

        rc = rc ? rc : failed;
    }
    return rc;
}

/* Rules 1, 2 and 5: everything that can be said from the arguments alone. */
static int exchange_check(struct trade *t, const struct xen_memory_exchange *x)
{
    uint32_t in = x->in.nr_extents, out = x->out.nr_extents;

    if (MAX(x->in.extent_order, x->out.extent_order) > max_extent_order())
        return -EPERM;
    t->in_list = x->in.extent_start.p;
    t->out_list = x->out.extent_start.p;
    t->in_order = x->in.extent_order;
    t->out_order = x->out.extent_order;
    t->chunk_order = MAX(t->in_order, t->out_order);
    t->bits = XENMEMF_get_address_bits(x->out.mem_flags);
    if (x->nr_exchanged > in || in > UINT32_MAX >> t->in_order ||
        out > UINT32_MAX >> t->out_order || in << t->in_order != out << t->out_order ||
        x->in.domid != x->out.domid)
        return -EINVAL;
    if ((t->bits && t->bits <= PAGE_SHIFT) ||
        ((in | x->nr_exchanged) << t->in_order) & ((1u << t->chunk_order) - 1))
        return -EINVAL;
    return guest_list_ok(t->in_list, in, sizeof(*t->in_list)) &&
                   guest_list_ok(t->out_list, out, sizeof(*t->out_list))
               ? 0
               : -EFAULT;
}

/*
 * 0 when all was exchanged; nr_exchanged in the guest's structure tells how far it came in any
 * case.
 */
static long memory_exchange(void *guest_arg)
{
    struct xen_memory_exchange *guest = guest_arg;
    struct xen_memory_exchange x;
    struct trade t;
    unsigned shift;
    uint32_t chunk, first;
    long rc;

    if (copy_from_guest(&x, guest, sizeof(x)))
        return -EFAULT;
    rc = exchange_check(&t, &x);
    if (rc)
        return rc;
    rc = find_target_domain(x.in.domid, &t.domain);
    if (rc)
        return rc;
    shift = t.chunk_order - t.in_order;
    for (chunk = first = x.nr_exchanged >> shift; chunk < x.in.nr_extents >> shift; chunk++) {
        if (chunk != first && preempt_needed()) {
            rc = -ERESTART;
            break;
        }
        rc = exchange_chunk(&t, chunk);
        if (rc)
            break;
    }
    put_domain(t.domain);
    x.nr_exchanged = chunk << shift;
    if (copy_to_guest(&guest->nr_exchanged, &x.nr_exchanged, sizeof(x.nr_exchanged)))
        return -EFAULT;
    return rc == -ERESTART
               ? hypercall_continue(__HYPERVISOR_memory_op, 2, XENMEM_exchange, guest_arg)
               : rc;
}
MEMORY_OP(exchange, memory_exchange);
