/* SPDX-License-Identifier: MIT */
/*
 * domctl_sched.c: control operations on the scheduler (xen/domctl.h): a domain's weight and cap, and
 * on which processors its vcpus may run.
 *
 * Parameters are those of Xen's credit scheduler, with its meaning and its bounds, as control
 * domains know them: to them that is what runs here.
 *
 * Read next: sched.c.
 */
#include <ringlet/domctl.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/sched.h>

/* ---- Sets of processors and nodes, as bitmaps of any length ------------------------------------ */

/* Read a bitmap; bits beyond 31 are left out: no processor has those numbers. */
static int read_bitmap(const struct xenctl_bitmap *map, uint32_t *bits)
{
    uint32_t bytes = MIN(DIV_ROUND_UP((uint64_t)map->nr_bits, 8), sizeof(*bits));

    *bits = 0;
    if (copy_from_guest(bits, map->bitmap.p, bytes))
        return -EFAULT;
    if (map->nr_bits < 32)
        *bits &= (1u << map->nr_bits) - 1;
    return 0;
}

/* Write a bitmap of the length the caller has room for. */
static int write_bitmap(const struct xenctl_bitmap *map, uint32_t bits)
{
    uint32_t bytes = DIV_ROUND_UP((uint64_t)map->nr_bits, 8);
    uint32_t known = MIN(bytes, sizeof(bits));

    if (copy_to_guest(map->bitmap.p, &bits, known))
        return -EFAULT;
    return clear_guest(map->bitmap.p + known, bytes - known) ? -EFAULT : 0;
}

/*
 * setvcpuaffinity: hard affinity is where the vcpu may run, and holds at least one processor that
 * is online: -EINVAL; -EBUSY while its guest has pinned it (SCHEDOP_pin_override). Soft affinity, a preference, is accepted and has no effect: the scheduler has
 * none. What holds in the end is returned in the bitmaps.
 */
static int domctl_setvcpuaffinity(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v = a->vcpu < d->max_vcpus ? d->vcpus[a->vcpu] : NULL;
    uint32_t hard, soft;
    int rc;

    if (a->vcpu >= d->max_vcpus)
        return -EINVAL;
    if (!v)
        return -ESRCH;
    if (!(a->flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)))
        return -EINVAL;
    hard = v->affinity & sched_cpus();
    if ((a->flags & XEN_VCPUAFFINITY_HARD) && (rc = read_bitmap(&a->cpumap_hard, &hard)))
        return rc;
    if ((a->flags & XEN_VCPUAFFINITY_SOFT) && (rc = read_bitmap(&a->cpumap_soft, &soft)))
        return rc;
    hard &= sched_cpus();
    if ((a->flags & XEN_VCPUAFFINITY_HARD) &&
        (rc = vcpu_set_affinity(v, hard == sched_cpus() ? ~0u : hard)))
        return rc;
    if ((a->flags & XEN_VCPUAFFINITY_HARD) && (rc = write_bitmap(&a->cpumap_hard, hard)))
        return rc;
    if ((a->flags & XEN_VCPUAFFINITY_SOFT) && (rc = write_bitmap(&a->cpumap_soft, soft & hard)))
        return rc;
    return 0;
}
DOMCTL(setvcpuaffinity, 0);

/* getvcpuaffinity: the soft affinity is every processor: no preference. */
static int domctl_getvcpuaffinity(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v = a->vcpu < d->max_vcpus ? d->vcpus[a->vcpu] : NULL;
    int rc = 0;

    if (a->vcpu >= d->max_vcpus)
        return -EINVAL;
    if (!v)
        return -ESRCH;
    if (a->flags & XEN_VCPUAFFINITY_HARD)
        rc = write_bitmap(&a->cpumap_hard, v->affinity & sched_cpus());
    if (!rc && (a->flags & XEN_VCPUAFFINITY_SOFT))
        rc = write_bitmap(&a->cpumap_soft, sched_cpus());
    return rc;
}
DOMCTL(getvcpuaffinity, 0);

/* All memory is one node, number 0. */
static int domctl_setnodeaffinity(struct domain *d, struct xen_domctl *op)
{
    uint32_t nodes;
    int rc = read_bitmap(&op->u.nodeaffinity.nodemap, &nodes);

    (void)d;
    if (rc)
        return rc;
    return nodes & 1 ? 0 : -EINVAL;
}
DOMCTL(setnodeaffinity, 0);

static int domctl_getnodeaffinity(struct domain *d, struct xen_domctl *op)
{
    (void)d;
    return write_bitmap(&op->u.nodeaffinity.nodemap, 1);
}
DOMCTL(getnodeaffinity, 0);

/*
 * scheduler_op, for the domain as a whole; vcpus have no parameters of their own.
 *  1. -EINVAL: another scheduler's number, or another operation.
 *  2. putinfo: a weight of 0 and a cap of 65535 leave what is set.
 */
static int domctl_scheduler_op(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_scheduler_op *s = &op->u.scheduler_op;
    struct xen_domctl_sched_credit *credit = &s->u.credit;

    if (s->sched_id != XEN_SCHEDULER_CREDIT)
        return -EINVAL;
    switch (s->cmd) {
    case XEN_DOMCTL_SCHEDOP_putinfo:
        sched_set_share(d, credit->weight ? credit->weight : d->weight,
                        credit->cap != UINT16_MAX ? credit->cap : d->cap);
        return 0;
    case XEN_DOMCTL_SCHEDOP_getinfo:
        credit->weight = d->weight;
        credit->cap = d->cap;
        return 0;
    default:
        return -EINVAL;
    }
}
DOMCTL(scheduler_op, DOMCTL_ANSWERS);
