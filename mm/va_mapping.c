/* SPDX-License-Identifier: MIT */
/*
 * va_mapping.c: HYPERVISOR_update_va_mapping: write the L1 entry that maps a linear address, and
 * flush (xen/xen.h).
 *
 *  1. The address must have a page table: -EINVAL otherwise, or when the value is not acceptable.
 *  2. Flags bits 0-1 say what to flush: nothing, the whole TLB, one page; the rest says whose: this
 *     vcpu's, all of the domain's, or a pointer to a bitmap of vcpus.
 *  3. The _otherdomain form maps a frame of another domain: privileged callers.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/sched.h>

/*
 * The CPUs on which the vcpus of the bitmap at guest address `bitmap` run, as a CPU mask. -EFAULT
 * when it cannot be read. A domain has at most 32 vcpus here: one word tells all, of which only
 * max_vcpus bits need to be there.
 */
int vcpu_bitmap_to_cpus(const struct domain *d, const void *bitmap, uint32_t *cpus_out)
{
    uint32_t vcpus = 0;

    if (copy_from_guest(&vcpus, bitmap, DIV_ROUND_UP(d->max_vcpus, 8)))
        return -EFAULT;
    *cpus_out = 0;
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        if ((vcpus & (1u << i)) && d->vcpus[i] && d->vcpus[i]->running)
            *cpus_out |= 1u << d->vcpus[i]->processor->id;
    }
    return 0;
}

static int flush_as_told(uint32_t va, uint32_t flags)
{
    struct domain *d = current->domain;
    const void *bitmap = (const void *)(flags & ~UVMF_FLUSHTYPE_MASK);
    uint32_t mask = 0;
    int rc;

    switch (flags & UVMF_FLUSHTYPE_MASK) {
    case UVMF_NONE:
        return 0;
    case UVMF_TLB_FLUSH:
    case UVMF_INVLPG:
        break;
    default:
        return -EINVAL;
    }
    if ((uintptr_t)bitmap == UVMF_LOCAL) {
        mask = 1u << this_cpu->id;
    } else if ((uintptr_t)bitmap == UVMF_ALL) {
        mask = d->dirty_cpus;
    } else {
        rc = vcpu_bitmap_to_cpus(d, bitmap, &mask);
        if (rc)
            return rc;
    }
    if ((flags & UVMF_FLUSHTYPE_MASK) == UVMF_TLB_FLUSH)
        tlb_flush_mask(mask);
    else
        tlb_flush_one_mask(mask, va);
    return 0;
}

/* The running domain's entry for `va` is to be `e`, mapping a frame of owner's. */
static int update_one_va(uint32_t va, pte_t e, struct domain *owner)
{
    struct domain *d = current->domain;
    int rc = -EINVAL;
    mfn_t l1;
    pte_t *p;

    spin_lock(&d->mm_lock);
    /* An L2 that names an L2 (linear map) leads here too: that one is not written this way. */
    if (likely(guest_l1(va, &l1)) && likely(frame_type(mfn_frame(l1)) == FT_L1)) {
        p = (pte_t *)map_frame(l1) + l1_index(va);
        rc = mod_l1_entry(p, e, d, owner, false);
        unmap_written(p);
    }
    spin_unlock(&d->mm_lock);
    return rc;
}

asmlinkage long do_update_va_mapping(uint32_t va, uint32_t val_lo, uint32_t val_hi, uint32_t flags)
{
    int rc = update_one_va(va, (pte_t)val_hi << 32 | val_lo, current->domain);

    if (rc || !flags)
        return rc;
    /* The usual flush needs no bitmap. */
    if (likely(flags == (UVMF_INVLPG | UVMF_LOCAL))) {
        tlb_flush_one_local(va);
        return 0;
    }
    return flush_as_told(va, flags);
}
HYPERCALL(update_va_mapping);

asmlinkage long do_update_va_mapping_otherdomain(uint32_t va, uint32_t val_lo, uint32_t val_hi,
                                                 uint32_t flags, uint32_t domid)
{
    struct domain *owner;
    int rc = get_foreign_domain(domid, &owner);

    if (rc)
        return rc;
    rc = update_one_va(va, (pte_t)val_hi << 32 | val_lo, owner);
    put_domain(owner);
    return rc || !flags ? rc : flush_as_told(va, flags);
}
HYPERCALL(update_va_mapping_otherdomain);
