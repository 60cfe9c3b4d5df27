/* SPDX-License-Identifier: MIT */
/*
 * domctl_domain.c: control operations on a domain as a whole (xen/domctl.h): made, paused,
 * described, ended.
 *
 * Read next: domain.c (what they act on), domctl_vcpu.c.
 */
#include <ringlet/domctl.h>
#include <ringlet/hypercall.h>
#include <ringlet/sched.h>

/* tsc_mode of XEN_DOMCTL_{get,set}tscinfo: the default, and "RDTSC is never emulated". */
#define TSC_MODE_DEFAULT 0
#define TSC_MODE_NATIVE 2

/*
 * Slots of the reserved ids (DOMID_SELF, DOMID_IO, ...): a domain in one of them would own their
 * frames.
 */
#define FIRST_RESERVED_SLOT (DOMID_FIRST_RESERVED & (NR_DOMAIN_SLOTS - 1))

/*
 * Flags a PV domain may have: it may serve xenstore; out-of-sync shadows are an option of shadow
 * page tables.
 */
#define FLAGS_VALID (XEN_DOMCTL_CDF_xs_domain | XEN_DOMCTL_CDF_oos_off)

static bool id_free(domid_t id)
{
    unsigned slot = id & (NR_DOMAIN_SLOTS - 1);

    return slot < FIRST_RESERVED_SLOT && !domain_slots[slot];
}

/*
 * The id asked for, if it names one, else the next free one behind the last given. 0: none.
 * domctl_lock is held.
 */
static int choose_id(domid_t asked, domid_t *id)
{
    static domid_t last; /* domctl_lock */

    if (asked > 0 && asked < DOMID_FIRST_RESERVED) {
        *id = asked;
        return id_free(asked) ? 0 : -EEXIST;
    }
    for (unsigned tries = 0; tries < DOMID_FIRST_RESERVED; tries++) {
        last = last < DOMID_FIRST_RESERVED - 1 ? last + 1 : 1;
        if (id_free(last)) {
            *id = last;
            return 0;
        }
    }
    return -ENOMEM;
}

static int check_config(const struct xen_domctl_createdomain *c)
{
    if (c->flags & ~FLAGS_VALID)
        return -EINVAL;
    if (c->max_vcpus < 1 || c->max_vcpus > MAX_VCPUS)
        return -EINVAL;
    if (c->iommu_opts || c->vmtrace_size || c->cpupool_id || c->arch.emulation_flags)
        return -EINVAL;
    if (c->grant_opts & ~XEN_DOMCTL_GRANT_version_mask)
        return -EINVAL;
    if (c->arch.misc_flags & ~XEN_X86_MISC_FLAGS_MAX)
        return -EINVAL;
    return 0;
}

/* What a new domain has besides frames and vcpus. A negative limit asks for the most there is. */
static int configure(struct domain *d, const struct xen_domctl_createdomain *c)
{
    unsigned frames = c->max_grant_frames < 0 ? GRANT_MAX_FRAMES : c->max_grant_frames;
    unsigned maptrack =
        c->max_maptrack_frames < 0 ? GRANT_MAX_MAPTRACK_FRAMES : c->max_maptrack_frames;
    int rc = grant_table_set_limits(d, frames, maptrack);

    if (!rc)
        rc = evtchn_set_max_port(d, c->max_evtchn_port);
    if (rc)
        return rc;
    memcpy(d->handle, c->handle, sizeof(d->handle));
    d->ssidref = c->ssidref;
    return 0;
}

/*
 * createdomain
 *  1. domain 0 or an id from DOMID_FIRST_RESERVED up asks for any free id; another one must be
 *     free: -EEXIST.
 *  2. Only PV domains, 1 to MAX_VCPUS vcpus, without an IOMMU or tracing: -EINVAL. Limits above
 *     ours are cut.
 *  3. The domain starts paused, with no memory and no vcpus; its id is returned in the request.
 */
static int domctl_createdomain(struct domain *unused, struct xen_domctl *op)
{
    const struct xen_domctl_createdomain *c = &op->u.createdomain;
    int rc = check_config(c);
    struct domain *d;
    domid_t id;

    (void)unused;
    if (!rc)
        rc = choose_id(op->domain, &id);
    if (rc)
        return rc;
    d = domain_create(id, false, c->max_vcpus);
    if (!d)
        return -ENOMEM;
    rc = configure(d, c);
    if (rc) {
        while (domain_kill(d) == -ERESTART)
            ; /* it owns nothing yet: done at once */
        return rc;
    }
    op->domain = id;
    return 0;
}
DOMCTL(createdomain, DOMCTL_ANSWERS | DOMCTL_NO_DOMAIN);

/*
 * destroydomain: gives back all the domain has. The domain stays, without a name that works, until
 * the last frame that others have mapped is unmapped.
 */
static int domctl_destroydomain(struct domain *d, struct xen_domctl *op)
{
    (void)op;
    return domain_kill(d);
}
DOMCTL(destroydomain, DOMCTL_NOT_SELF);

static int domctl_pausedomain(struct domain *d, struct xen_domctl *op)
{
    (void)op;
    return domain_pause_by_controller(d);
}
DOMCTL(pausedomain, DOMCTL_NOT_SELF);

static int domctl_unpausedomain(struct domain *d, struct xen_domctl *op)
{
    (void)op;
    return domain_unpause_by_controller(d);
}
DOMCTL(unpausedomain, 0);

/* resumedomain: a domain that shut itself down to be saved goes on as if nothing had been. */
static int domctl_resumedomain(struct domain *d, struct xen_domctl *op)
{
    (void)op;
    domain_resume(d);
    return 0;
}
DOMCTL(resumedomain, DOMCTL_NOT_SELF);

/*
 * The vcpus' part of the description: blocked only if all that are online are, running if any is.
 */
static void sum_up_vcpus(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    bool running = false, blocked = true;
    struct vcpu_runstate_info r;
    struct vcpu *v;

    for_each_vcpu(d, v)
    {
        vcpu_runstate_get(v, &r);
        info->cpu_time += r.time[RUNSTATE_running];
        info->max_vcpu_id = v->id;
        if (v->wait & WAIT_DOWN)
            continue;
        info->nr_online_vcpus++;
        running |= v->running;
        blocked &= !!(v->wait & (WAIT_BLOCKED | WAIT_POLLING));
    }
    if (!info->nr_online_vcpus)
        return;
    if (running)
        info->flags |= XEN_DOMINF_running;
    if (blocked)
        info->flags |= XEN_DOMINF_blocked;
}

/* Fill in everything there is to say about d, for domctl and sysctl. */
void get_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    memset(info, 0, sizeof(*info));
    info->domain = d->id;
    info->max_vcpu_id = XEN_INVALID_MAX_VCPU_ID;
    info->cpu_time = d->cpu_time;
    sum_up_vcpus(d, info);
    if (d->state == DOMAIN_DEAD)
        info->flags |= XEN_DOMINF_dying;
    if (d->shut_down)
        info->flags |= XEN_DOMINF_shutdown;
    if (d->controller_pause_count > 0)
        info->flags |= XEN_DOMINF_paused;
    if (d->debugger_attached)
        info->flags |= XEN_DOMINF_debugged;
    info->flags |= (d->shutdown_code & XEN_DOMINF_shutdownmask) << XEN_DOMINF_shutdownshift;
    info->tot_pages = d->tot_pages;
    info->max_pages = d->max_pages;
    info->shared_info_frame = d->shared_info ? direct_mfn(d->shared_info) : INVALID_MFN;
    info->ssidref = d->ssidref;
    memcpy(info->handle, d->handle, sizeof(info->handle));
    info->gpaddr_bits = 32 + 4; /* what a PAE guest's page tables can name of the memory there is */
}

/*
 * getdomaininfo: describes the domain named, or the next above it when there is none: callers
 * compare the id returned. -ESRCH: none above either. -EINVAL: not an id.
 */
static int domctl_getdomaininfo(struct domain *d, struct xen_domctl *op)
{
    struct domain *next = d;

    if (!next && op->domain >= DOMID_FIRST_RESERVED)
        return -EINVAL;
    spin_lock(&domlist_lock);
    for (struct domain *e = domain_list; e && !next; e = e->next)
        if (e->id >= op->domain)
            next = e;
    if (next)
        get_domain_info(next, &op->u.getdomaininfo);
    spin_unlock(&domlist_lock);
    if (!next)
        return -ESRCH;
    op->domain = op->u.getdomaininfo.domain;
    return 0;
}
DOMCTL(getdomaininfo, DOMCTL_ANSWERS | DOMCTL_NO_DOMAIN);

/* max_mem: the domain may own this many KiB. It may own more already: then it gets no more. */
static int domctl_max_mem(struct domain *d, struct xen_domctl *op)
{
    uint64_t pages = op->u.max_mem.max_memkb >> (PAGE_SHIFT - 10);

    spin_lock(&d->page_lock);
    d->max_pages = MIN(pages, (uint64_t)UINT32_MAX);
    spin_unlock(&d->page_lock);
    return 0;
}
DOMCTL(max_mem, 0);

static int domctl_setdomainhandle(struct domain *d, struct xen_domctl *op)
{
    memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
    return 0;
}
DOMCTL(setdomainhandle, 0);

static int domctl_setdebugging(struct domain *d, struct xen_domctl *op)
{
    domain_pause(d);
    d->debugger_attached = op->u.setdebugging.enable;
    domain_unpause(d);
    return 0;
}
DOMCTL(setdebugging, DOMCTL_NOT_SELF);

static int domctl_settimeoffset(struct domain *d, struct xen_domctl *op)
{
    d->time_offset = op->u.settimeoffset.time_offset_seconds;
    update_wallclock(d);
    return 0;
}
DOMCTL(settimeoffset, 0);

/* set_address_size: there is one kind of domain. -EINVAL for any other. */
static int domctl_set_address_size(struct domain *d, struct xen_domctl *op)
{
    (void)d;
    return op->u.address_size.size == 32 ? 0 : -EINVAL;
}
DOMCTL(set_address_size, 0);

static int domctl_get_address_size(struct domain *d, struct xen_domctl *op)
{
    (void)d;
    op->u.address_size.size = 32;
    return 0;
}
DOMCTL(get_address_size, DOMCTL_ANSWERS);

/*
 * settscinfo: guests read the processor's own TSC; modes that would emulate it are refused with
 * -EOPNOTSUPP.
 */
static int domctl_settscinfo(struct domain *d, struct xen_domctl *op)
{
    uint32_t mode = op->u.tsc_info.tsc_mode;

    (void)d;
    return mode == TSC_MODE_DEFAULT || mode == TSC_MODE_NATIVE ? 0 : -EOPNOTSUPP;
}
DOMCTL(settscinfo, DOMCTL_NOT_SELF);

static int domctl_gettscinfo(struct domain *d, struct xen_domctl *op)
{
    (void)d;
    op->u.tsc_info.tsc_mode = TSC_MODE_NATIVE;
    op->u.tsc_info.gtsc_khz = tsc_khz();
    op->u.tsc_info.incarnation = 0;
    op->u.tsc_info.elapsed_nsec = 0;
    return 0;
}
DOMCTL(gettscinfo, DOMCTL_ANSWERS);
