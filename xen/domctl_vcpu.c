/* SPDX-License-Identifier: MIT */
/*
 * domctl_vcpu.c: control operations on vcpus (xen/domctl.h): their state, and on which processors
 * they may run.
 *
 * Read next: context.c, sched.c.
 */
#include <ringlet/domctl.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/sched.h>

static struct vcpu *find_vcpu(const struct domain *d, uint32_t id)
{
    return id < d->max_vcpus ? d->vcpus[id] : NULL;
}

/*
 * max_vcpus: makes the vcpus, all of them down. The number must be the one createdomain was given:
 * -EINVAL. A second call makes those that the first had no memory for: -ENOMEM.
 */
int domctl_max_vcpus(struct domain *d, struct xen_domctl *op)
{
    int rc = 0;

    if (op->u.max_vcpus.max != d->max_vcpus || d->state != DOMAIN_ALIVE)
        return -EINVAL;
    domain_pause(d);
    for (unsigned i = 0; i < d->max_vcpus && !rc; i++)
        if (!d->vcpus[i] && !vcpu_create(d, i))
            rc = -ENOMEM;
    domain_unpause(d);
    return rc;
}

/*
 * The vcpu goes down before anything is taken from it, and cannot be taken up again: this may need
 * several calls, and the domain runs in between.
 */
static int reset_vcpu(struct vcpu *v)
{
    int rc;

    domain_pause(v->domain);
    __atomic_fetch_or(&v->wait, WAIT_DOWN, __ATOMIC_SEQ_CST);
    v->initialised = false;
    rc = vcpu_reset(v);
    domain_unpause(v->domain);
    return rc;
}

/*
 * setvcpucontext: a NULL context takes the vcpu back to the state it was created in. Otherwise see
 * set_vcpu_context(); -EINVAL: no such vcpu, -EFAULT: the context cannot be read.
 */
int domctl_setvcpucontext(struct domain *d, struct xen_domctl *op)
{
    const void *guest = op->u.vcpucontext.ctxt.p;
    struct vcpu *v = find_vcpu(d, op->u.vcpucontext.vcpu);
    struct vcpu_guest_context *c;
    int rc;

    if (!v)
        return -EINVAL;
    if (!guest)
        return reset_vcpu(v);
    c = xzalloc(struct vcpu_guest_context);
    if (!c)
        return -ENOMEM;
    rc = copy_from_guest(c, guest, sizeof(*c)) ? -EFAULT : 0;
    if (!rc) {
        domain_pause(d);
        rc = set_vcpu_context(v, c);
        domain_unpause(d);
    }
    xfree(c);
    return rc;
}

/*
 * getvcpucontext: -ENODATA when the vcpu never had one; -EINVAL for the caller itself, which is
 * running.
 */
int domctl_getvcpucontext(struct domain *d, struct xen_domctl *op)
{
    struct vcpu *v = find_vcpu(d, op->u.vcpucontext.vcpu);
    struct vcpu_guest_context *c;
    int rc;

    if (!v || v == current)
        return -EINVAL;
    if (!v->initialised)
        return -ENODATA;
    c = xzalloc(struct vcpu_guest_context);
    if (!c)
        return -ENOMEM;
    vcpu_pause(v);
    get_vcpu_context(v, c);
    vcpu_unpause(v);
    rc = copy_to_guest(op->u.vcpucontext.ctxt.p, c, sizeof(*c)) ? -EFAULT : 0;
    xfree(c);
    return rc;
}

int domctl_getvcpuinfo(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getvcpuinfo *info = &op->u.getvcpuinfo;
    struct vcpu_runstate_info r;
    struct vcpu *v = find_vcpu(d, info->vcpu);

    if (info->vcpu >= d->max_vcpus)
        return -EINVAL;
    if (!v)
        return -ESRCH;
    vcpu_runstate_get(v, &r);
    info->online = !(v->wait & WAIT_DOWN);
    info->blocked = !!(v->wait & (WAIT_BLOCKED | WAIT_POLLING));
    info->running = v->running;
    info->cpu_time = r.time[RUNSTATE_running];
    info->cpu = v->processor->id;
    return 0;
}

/*
 * --- Sets of processors and nodes, as bitmaps of any length
 * ----------------------------------------------------
 */

static uint32_t online_cpus(void)
{
    return (1u << nr_cpus) - 1;
}

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
 * is online: -EINVAL. Soft affinity, a preference, is accepted and has no effect: the scheduler has
 * none. What holds in the end is returned in the bitmaps.
 */
int domctl_setvcpuaffinity(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v = find_vcpu(d, a->vcpu);
    uint32_t hard, soft;
    int rc;

    if (a->vcpu >= d->max_vcpus)
        return -EINVAL;
    if (!v)
        return -ESRCH;
    if (!(a->flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)))
        return -EINVAL;
    hard = v->affinity & online_cpus();
    if ((a->flags & XEN_VCPUAFFINITY_HARD) && (rc = read_bitmap(&a->cpumap_hard, &hard)))
        return rc;
    if ((a->flags & XEN_VCPUAFFINITY_SOFT) && (rc = read_bitmap(&a->cpumap_soft, &soft)))
        return rc;
    hard &= online_cpus();
    if (!hard)
        return -EINVAL;
    v->affinity = hard;
    if ((a->flags & XEN_VCPUAFFINITY_HARD) && (rc = write_bitmap(&a->cpumap_hard, hard)))
        return rc;
    if ((a->flags & XEN_VCPUAFFINITY_SOFT) && (rc = write_bitmap(&a->cpumap_soft, soft & hard)))
        return rc;
    return 0;
}

/* getvcpuaffinity: the soft affinity is every processor: no preference. */
int domctl_getvcpuaffinity(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v = find_vcpu(d, a->vcpu);
    int rc = 0;

    if (a->vcpu >= d->max_vcpus)
        return -EINVAL;
    if (!v)
        return -ESRCH;
    if (a->flags & XEN_VCPUAFFINITY_HARD)
        rc = write_bitmap(&a->cpumap_hard, v->affinity & online_cpus());
    if (!rc && (a->flags & XEN_VCPUAFFINITY_SOFT))
        rc = write_bitmap(&a->cpumap_soft, online_cpus());
    return rc;
}

/* All memory is one node, number 0. */
int domctl_setnodeaffinity(struct domain *d, struct xen_domctl *op)
{
    uint32_t nodes;
    int rc = read_bitmap(&op->u.nodeaffinity.nodemap, &nodes);

    (void)d;
    if (rc)
        return rc;
    return nodes & 1 ? 0 : -EINVAL;
}

int domctl_getnodeaffinity(struct domain *d, struct xen_domctl *op)
{
    (void)d;
    return write_bitmap(&op->u.nodeaffinity.nodemap, 1);
}

/*
 * scheduler_op sets the parameters of one of Xen's schedulers, by its number. Ours is none of
 * those.
 */
int domctl_scheduler_op(struct domain *d, struct xen_domctl *op)
{
    (void)d;
    (void)op;
    return -EINVAL;
}

/*
 * sendtrigger: an NMI, which the guest takes by the callback it registered. The other triggers are
 * for HVM guests.
 */
int domctl_sendtrigger(struct domain *d, struct xen_domctl *op)
{
    struct vcpu *v = find_vcpu(d, op->u.sendtrigger.vcpu);

    if (!v)
        return -ESRCH;
    if (op->u.sendtrigger.trigger != XEN_DOMCTL_SENDTRIGGER_NMI)
        return -ENOSYS;
    send_guest_trap_nmi(v);
    return 0;
}
