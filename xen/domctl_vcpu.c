/* SPDX-License-Identifier: MIT */
/*
 * domctl_vcpu.c: control operations on vcpus (xen/domctl.h): their state.
 *
 * Read next: context.c, domctl_sched.c.
 */
#include <ringlet/domctl.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/sched.h>

static struct vcpu *find_vcpu(const struct domain *d, uint32_t id)
{
    return id < d->max_vcpus ? d->vcpus[id] : NULL;
}

/*
 * max_vcpus: makes the vcpus, all of them down. The number must be the one createdomain was given:
 * -EINVAL. A second call makes those that the first had no memory for: -ENOMEM.
 */
static int domctl_max_vcpus(struct domain *d, struct xen_domctl *op)
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
DOMCTL(max_vcpus, DOMCTL_NOT_SELF);

/*
 * The vcpu goes down before anything is taken from it, and cannot be taken up again: this may need
 * several calls, and the domain runs in between.
 */
static int reset_vcpu(struct vcpu *v)
{
    struct domain *d = v->domain;
    int rc;

    domain_pause_sync(d);
    __atomic_fetch_or(&v->wait, WAIT_DOWN, __ATOMIC_SEQ_CST);
    v->initialised = false;
    rc = finish_any_old_table(v);
    if (!rc) {
        spin_lock(&d->mm_lock);
        rc = vcpu_reset(v);
        spin_unlock(&d->mm_lock);
    }
    domain_unpause(d);
    return rc;
}

/*
 * setvcpucontext: a NULL context takes the vcpu back to the state it was created in. Otherwise see
 * set_vcpu_context(); -EINVAL: no such vcpu, -EFAULT: the context cannot be read.
 */
static int domctl_setvcpucontext(struct domain *d, struct xen_domctl *op)
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
        domain_pause_sync(d);
        rc = finish_any_old_table(v);
        if (!rc)
            rc = finish_any_old_table(current);
        if (!rc) {
            spin_lock(&d->mm_lock);
            rc = set_vcpu_context(v, c);
            spin_unlock(&d->mm_lock);
        }
        domain_unpause(d);
    }
    xfree(c);
    return rc;
}
DOMCTL(setvcpucontext, DOMCTL_NOT_SELF);

/*
 * getvcpucontext: -ENODATA when the vcpu never had one; -EINVAL for the caller itself, which is
 * running.
 */
static int domctl_getvcpucontext(struct domain *d, struct xen_domctl *op)
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
    vcpu_pause_sync(v);
    get_vcpu_context(v, c);
    vcpu_unpause(v);
    rc = copy_to_guest(op->u.vcpucontext.ctxt.p, c, sizeof(*c)) ? -EFAULT : 0;
    xfree(c);
    return rc;
}
DOMCTL(getvcpucontext, DOMCTL_ANSWERS);

static int domctl_getvcpuinfo(struct domain *d, struct xen_domctl *op)
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
DOMCTL(getvcpuinfo, DOMCTL_ANSWERS);

/*
 * sendtrigger: an NMI, which the guest takes by the callback it registered. The other triggers are
 * for HVM guests.
 */
static int domctl_sendtrigger(struct domain *d, struct xen_domctl *op)
{
    struct vcpu *v = find_vcpu(d, op->u.sendtrigger.vcpu);

    if (!v)
        return -ESRCH;
    if (op->u.sendtrigger.trigger != XEN_DOMCTL_SENDTRIGGER_NMI)
        return -ENOSYS;
    send_guest_trap_nmi(v);
    return 0;
}
DOMCTL(sendtrigger, 0);
