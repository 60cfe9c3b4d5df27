/* SPDX-License-Identifier: MIT */
/*
 * mmuext.c: HYPERVISOR_mmuext_op: pins, roots, flushes, LDTs (xen/xen.h).
 *
 *  1. MMUEXT_PIN_Ln_TABLE checks a table and keeps it checked though nothing uses it: one general
 *     and one type reference and FT_PINNED. Pinning twice is -EINVAL. MMUEXT_UNPIN_TABLE undoes it.
 *  2. MMUEXT_NEW_BASEPTR makes an L3 the root of the calling vcpu's address space.
 *  3. Flushes: this vcpu's CPU, those of a bitmap of vcpus, or all the domain ran on.
 *  4. MMUEXT_SET_LDT: a page-aligned linear address and a number of entries, at most 8192.
 *  5. MMUEXT_CLEAR_PAGE and COPY_PAGE work on frames of the domain `foreigndom` that may be
 *     written.
 *  6. Operations are done in order until one fails; *done counts them. It is not written where
 *     none was looked at: a list outside the guest's addresses, a domain unknown or not the
 *     caller's to act on. Long ones continue where they were.
 */
#include <ringlet/arch.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/sched.h>

/*
 * walk 30: A pin
 *
 * Claim: Checking a table of 512 entries, or a tree of 2048 tables, is work. A pin is a reference
 * that nothing but the guest's word holds: the table stays checked while no processor uses it, and
 * switching to it is then a matter of counting. Pinning twice is an error, so one bit is enough to
 * remember it. A domain that is dying gets none: its pins have been looked for already.
 * Without it: Each switch of processes would check all page tables of the process anew.
 * Shown by: tests/host/test_types.c::test_pins,
 * tests/host/test_types.c::test_nothing_new_for_the_dying
 */
/* A dying domain's pins have been looked for already: another one would never be undone. */
static int pin_table(uint32_t mfn, uint32_t type, struct domain *owner)
{
    struct frame *f;
    uint32_t x;
    int rc;

    if (mfn >= max_frame || owner->state != DOMAIN_ALIVE)
        return -EINVAL;
    f = mfn_frame(mfn);
    rc = undo_later(current, mfn, get_frame_and_type_preemptible(f, owner, type));
    if (rc)
        return rc;
    x = __atomic_fetch_or(&f->type_info, FT_PINNED, __ATOMIC_SEQ_CST);
    if (x & FT_PINNED) {
        put_frame_and_type(f); /* the pin holds another: not the last */
        return -EINVAL;
    }
    mark_dirty(mfn); /* tables are saved with their pins */
    return 0;
}

static int unpin_table(uint32_t mfn, struct domain *owner)
{
    struct vcpu *v = current;
    struct frame *f;
    uint32_t x;

    if (mfn >= max_frame || !get_frame(mfn_frame(mfn), owner))
        return -EINVAL;
    f = mfn_frame(mfn);
    x = __atomic_fetch_and(&f->type_info, ~FT_PINNED, __ATOMIC_SEQ_CST);
    put_frame(f);
    if (!(x & FT_PINNED))
        return -EINVAL;
    mark_dirty(mfn);
    v->old_table = mfn; /* it owns the pin's references now */
    finish_old_table(v);
    return 0;
}

/* A frame of d's that may be written now, referenced so. NULL: not so. */
static struct frame *get_writable(uint32_t mfn, struct domain *d)
{
    if (mfn >= max_frame || get_frame_and_type(mfn_frame(mfn), d, FT_WRITABLE))
        return NULL;
    return mfn_frame(mfn);
}

static int clear_page(uint32_t mfn, struct domain *owner)
{
    struct frame *f = get_writable(mfn, owner);

    if (!f)
        return -EINVAL;
    clear_frame(mfn);
    mark_dirty(mfn);
    put_frame_and_type(f);
    return 0;
}

static int copy_page(uint32_t dst, uint32_t src, struct domain *owner)
{
    struct frame *to;

    if (src >= max_frame || !get_frame(mfn_frame(src), owner))
        return -EINVAL;
    to = get_writable(dst, owner);
    if (to) {
        copy_frame(dst, src);
        mark_dirty(dst);
        put_frame_and_type(to);
    }
    put_frame(mfn_frame(src));
    return to ? 0 : -EINVAL;
}

static int flush_multi(const struct mmuext_op *op, struct domain *d)
{
    uint32_t mask;

    if (vcpu_bitmap_to_cpus(d, op->arg2.vcpumask.p, &mask))
        return -EINVAL;
    if (op->cmd == MMUEXT_TLB_FLUSH_MULTI)
        tlb_flush_mask(mask);
    else
        tlb_flush_one_mask(mask, op->arg1.linear_addr);
    return 0;
}

static int pin_op(const struct mmuext_op *op, struct domain *owner)
{
    switch (op->cmd) {
    case MMUEXT_PIN_L1_TABLE:
        return pin_table(op->arg1.mfn, FT_L1, owner);
    case MMUEXT_PIN_L2_TABLE:
        return pin_table(op->arg1.mfn, FT_L2, owner);
    case MMUEXT_PIN_L3_TABLE:
        return pin_table(op->arg1.mfn, FT_L3, owner);
    default:
        return unpin_table(op->arg1.mfn, owner);
    }
}

/*
 * Flushing the caches is for those who drive devices; for others it would only slow everybody down.
 */
static int flush_cache(struct domain *d, unsigned cmd)
{
    if (!d->iomem.n && !d->ioports)
        return cmd == MMUEXT_FLUSH_CACHE ? -EACCES : -EINVAL;
    write_back_caches();
    return 0;
}

/*
 * One operation, but those that name frames of `owner` only where that makes sense. mm_lock of
 * `owner` is held.
 */
static int one_op(const struct mmuext_op *op, struct domain *owner)
{
    struct vcpu *v = current;
    struct domain *d = v->domain;

    if (op->cmd >= MMUEXT_NEW_BASEPTR && op->cmd <= MMUEXT_SET_LDT && owner != d)
        return -EPERM;
    switch (op->cmd) {
    case MMUEXT_PIN_L1_TABLE:
    case MMUEXT_PIN_L2_TABLE:
    case MMUEXT_PIN_L3_TABLE:
    case MMUEXT_UNPIN_TABLE:
        return pin_op(op, owner);
    case MMUEXT_PIN_L4_TABLE:
    case MMUEXT_NEW_USER_BASEPTR:
        return -EINVAL; /* 64-bit guests' */
    case MMUEXT_NEW_BASEPTR:
        return new_guest_cr3(v, op->arg1.mfn);
    case MMUEXT_TLB_FLUSH_LOCAL:
        tlb_flush_local();
        return 0;
    case MMUEXT_INVLPG_LOCAL:
        tlb_flush_one_local(op->arg1.linear_addr);
        return 0;
    case MMUEXT_TLB_FLUSH_MULTI:
    case MMUEXT_INVLPG_MULTI:
        return flush_multi(op, d);
    case MMUEXT_TLB_FLUSH_ALL:
        tlb_flush_domain(d);
        return 0;
    case MMUEXT_INVLPG_ALL:
        tlb_flush_one_mask(d->dirty_cpus, op->arg1.linear_addr);
        return 0;
    case MMUEXT_FLUSH_CACHE:
    case MMUEXT_FLUSH_CACHE_GLOBAL:
        return flush_cache(d, op->cmd);
    case MMUEXT_SET_LDT:
        return set_ldt(v, op->arg1.linear_addr, op->arg2.nr_ents);
    case MMUEXT_CLEAR_PAGE:
        return clear_page(op->arg1.mfn, owner);
    case MMUEXT_COPY_PAGE:
        return copy_page(op->arg1.mfn, op->arg2.src_mfn, owner);
    case MMUEXT_MARK_SUPER:
    case MMUEXT_UNMARK_SUPER:
        return -EOPNOTSUPP;
    default:
        return -ENOSYS;
    }
}

static int do_ops(const struct mmuext_op *ops, uint32_t count, uint32_t *done, struct domain *owner)
{
    struct mmuext_op op;
    int rc = 0;

    spin_lock(&owner->mm_lock);
    for (*done = 0; *done < count; (*done)++) {
        rc = finish_old_table(current);
        if (!rc && *done % 8 == 7 && preempt_needed())
            rc = -ERESTART;
        if (!rc && !get_guest_words(&op, &ops[*done], sizeof(op) / 4))
            rc = -EFAULT;
        if (!rc)
            rc = one_op(&op, owner);
        if (rc)
            break;
    }
    if (!rc)
        rc = finish_old_table(current);
    spin_unlock(&owner->mm_lock);
    return rc;
}

asmlinkage long do_mmuext_op(void *guest_ops, uint32_t count, uint32_t *guest_done,
                             uint32_t foreigndom)
{
    const struct mmuext_op *ops = guest_ops;
    bool continued = count & CONTINUED, own = foreigndom == DOMID_SELF;
    struct domain *owner = current->domain;
    uint32_t done = 0;
    int rc;

    if (count == CONTINUED)
        return finish_table_call(__HYPERVISOR_mmuext_op, (long)ops);
    if (unlikely(current->old_table != INVALID_MFN) && finish_any_old_table(current))
        return hypercall_continue(__HYPERVISOR_mmuext_op, 4, ops, count, guest_done, foreigndom);
    count &= ~CONTINUED;
    if (count > HYPERVISOR_START / sizeof(*ops) || !guest_range_ok(ops, count * sizeof(*ops)))
        return -EFAULT;
    rc = own ? 0 : get_foreign_domain(foreigndom, &owner);
    if (rc)
        return rc;
    rc = do_ops(ops, count, &done, owner);
    if (!own)
        put_domain(owner);

    report_done(guest_done, done, continued);
    if (rc == -ERESTART && done < count)
        return hypercall_continue(__HYPERVISOR_mmuext_op, 4, &ops[done], (count - done) | CONTINUED,
                                  guest_done, foreigndom);
    return rc ? finish_table_call(__HYPERVISOR_mmuext_op, rc) : 0;
}

HYPERCALL(mmuext_op);
