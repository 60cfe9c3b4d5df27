/* SPDX-License-Identifier: MIT */
/*
 * memory_op.c: the memory_op hypercall: who may ask for what, and the questions with short answers.
 *
 * The operation is in the low 6 bits of `cmd`. The bits above are ours: where a long list of
 * extents was interrupted, the hypercall is issued again with the number of extents done so far
 * there (MEMOP_EXTENT_SHIFT). A guest may put any number there itself; it only skips its own work.
 *
 * A domain may name itself (DOMID_SELF, or its own number); naming another takes privilege.
 *
 * Numbers and structures: public memory.h. Not implemented (-ENOSYS): operations of translated
 * guests (access, paging, sharing, populate-on-demand targets), NUMA, claims, acquire_resource.
 * docs/ lists them.
 *
 * Read next: mm/reservation.c, mm/exchange/exchange.c, mm/memory_map.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <xen/memory.h>

#define MEMOP_EXTENT_SHIFT 6
#define MEMOP_CMD_MASK ((1u << MEMOP_EXTENT_SHIFT) - 1)

/*
 * find_domain_or_self() for a caller that must have power over the domain. -ESRCH, -EPERM or 0 and
 * a reference.
 */
int find_target_domain(domid_t id, struct domain **out)
{
    struct domain *d = find_domain_or_self(id);

    if (!d)
        return -ESRCH;
    if (d != current->domain && !current->domain->privileged) {
        put_domain(d);
        return -EPERM;
    }
    *out = d;
    return 0;
}

static long max_gpfn(uint32_t max_pfn)
{
    return max_pfn ? (long)MIN(max_pfn - 1, (uint32_t)INT32_MAX) : 0;
}

static long query_reservation(unsigned op, const void *guest_arg)
{
    struct xen_memory_domain who;
    struct domain *d;
    long rc;

    if (copy_from_guest(&who, guest_arg, sizeof(who)))
        return -EFAULT;
    rc = find_target_domain(who.domid, &d);
    if (rc)
        return rc;
    switch (op) {
    case XENMEM_current_reservation:
        rc = d->tot_pages;
        break;
    case XENMEM_maximum_reservation:
        rc = d->max_pages;
        break;
    default:
        /*
         * The guest itself keeps this number, one above its highest pfn; where it is 0, as in a
         * domain that is being built, the answer is 0, no error. A dying one has no shared_info any
         * more.
         */
        rc = d->state == DOMAIN_ALIVE ? max_gpfn(d->shared_info->arch.max_pfn) : -ESRCH;
        break;
    }
    put_domain(d);
    return rc;
}

/*
 * Guests of this ABI keep their own pfn-to-mfn list: nothing here to map into. Xen's answer is
 * -EACCES, too.
 */
static long refuse_physmap(const void *guest_arg)
{
    struct domain *d;
    domid_t id;
    int rc;

    /* All structures of this family begin with the domain. */
    if (copy_from_guest(&id, guest_arg, sizeof(id)))
        return -EFAULT;
    rc = find_target_domain(id, &d);
    if (rc)
        return rc;
    put_domain(d);
    return -EACCES;
}

/* An operation that a module carries out. */
static long module_op(unsigned op, void *guest_arg)
{
    const struct memory_op_record *r;

    for_each_record(memory_op, r)
    {
        if (r->op == op)
            return r->fn(guest_arg);
    }
    return -ENOSYS;
}

asmlinkage long do_memory_op(uint32_t cmd, void *guest_arg)
{
    unsigned op = cmd & MEMOP_CMD_MASK;

    switch (op) {
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
        return memory_reservation_op(op, cmd >> MEMOP_EXTENT_SHIFT, guest_arg);
    case XENMEM_maximum_ram_page:
        return max_frame;
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn:
        return query_reservation(op, guest_arg);
    case XENMEM_machphys_mfn_list:
    case XENMEM_machphys_compat_mfn_list:
        return machphys_mfn_list(guest_arg);
    case XENMEM_machphys_mapping:
        return machphys_mapping(guest_arg);
    case XENMEM_memory_map:
        return get_memory_map(guest_arg);
    case XENMEM_set_memory_map:
        return set_memory_map(guest_arg);
    case XENMEM_machine_memory_map:
        return get_machine_memory_map(guest_arg);
    case XENMEM_add_to_physmap:
    case XENMEM_add_to_physmap_batch:
    case XENMEM_remove_from_physmap:
        return refuse_physmap(guest_arg);
    case XENMEM_get_sharing_freed_pages:
    case XENMEM_get_sharing_shared_pages:
        return 0; /* nothing is ever shared that way */
    default:
        return module_op(op, guest_arg);
    }
}
HYPERCALL(memory_op);
