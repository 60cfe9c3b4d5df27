/* SPDX-License-Identifier: MIT */
/*
 * domctl.c: the hypercall domctl (xen/domctl.h), by which the control domain builds, runs, looks at
 * and ends domains.
 *
 * One request structure, one command, one domain. This file checks what all commands have in common
 * and looks the rest up in a table; the commands themselves are in domctl_domain.c, domctl_vcpu.c,
 * domctl_sched.c, domctl_shadow.c and domctl_access.c. A command that is not in the table is answered with -ENOSYS;
 * docs/abi-coverage.md lists them.
 *
 * Read next: domctl_domain.c.
 */
#include <ringlet/domctl.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>

_Static_assert(offsetof(struct xen_domctl, u) == 16 && sizeof(struct xen_domctl) == 144,
               "the request's layout is part of the ABI");

/* One control operation at a time: none has to fear another one half done. */
static spinlock_t domctl_lock = SPINLOCK_INIT(RANK_DOMCTL);

/* What a command wants of the dispatcher. */
#define ANSWERS 0x1   /* the request is copied back to the caller when it succeeded */
#define NOT_SELF 0x2  /* pauses its domain, so a caller may not name its own: -EINVAL */
#define NO_DOMAIN 0x4 /* the domain named need not exist; d is NULL then */

static const struct command {
    int (*fn)(struct domain *d, struct xen_domctl *op);
    unsigned flags;
} commands[] = {
    [XEN_DOMCTL_createdomain] = {domctl_createdomain, ANSWERS | NO_DOMAIN},
    [XEN_DOMCTL_destroydomain] = {domctl_destroydomain, NOT_SELF},
    [XEN_DOMCTL_pausedomain] = {domctl_pausedomain, NOT_SELF},
    [XEN_DOMCTL_unpausedomain] = {domctl_unpausedomain, 0},
    [XEN_DOMCTL_resumedomain] = {domctl_resumedomain, NOT_SELF},
    [XEN_DOMCTL_getdomaininfo] = {domctl_getdomaininfo, ANSWERS | NO_DOMAIN},
    [XEN_DOMCTL_max_mem] = {domctl_max_mem, 0},
    [XEN_DOMCTL_max_vcpus] = {domctl_max_vcpus, NOT_SELF},
    [XEN_DOMCTL_setvcpucontext] = {domctl_setvcpucontext, NOT_SELF},
    [XEN_DOMCTL_getvcpucontext] = {domctl_getvcpucontext, ANSWERS},
    [XEN_DOMCTL_getvcpuinfo] = {domctl_getvcpuinfo, ANSWERS},
    [XEN_DOMCTL_setvcpuaffinity] = {domctl_setvcpuaffinity, 0},
    [XEN_DOMCTL_getvcpuaffinity] = {domctl_getvcpuaffinity, 0},
    [XEN_DOMCTL_setnodeaffinity] = {domctl_setnodeaffinity, 0},
    [XEN_DOMCTL_getnodeaffinity] = {domctl_getnodeaffinity, 0},
    [XEN_DOMCTL_scheduler_op] = {domctl_scheduler_op, ANSWERS},
    [XEN_DOMCTL_sendtrigger] = {domctl_sendtrigger, 0},
    [XEN_DOMCTL_setdomainhandle] = {domctl_setdomainhandle, 0},
    [XEN_DOMCTL_setdebugging] = {domctl_setdebugging, NOT_SELF},
    [XEN_DOMCTL_settimeoffset] = {domctl_settimeoffset, 0},
    [XEN_DOMCTL_set_address_size] = {domctl_set_address_size, 0},
    [XEN_DOMCTL_get_address_size] = {domctl_get_address_size, ANSWERS},
    [XEN_DOMCTL_settscinfo] = {domctl_settscinfo, NOT_SELF},
    [XEN_DOMCTL_gettscinfo] = {domctl_gettscinfo, ANSWERS},
    [XEN_DOMCTL_hypercall_init] = {domctl_hypercall_init, 0},
    [XEN_DOMCTL_shadow_op] = {domctl_shadow_op, ANSWERS | NOT_SELF},
    [XEN_DOMCTL_getpageframeinfo3] = {domctl_getpageframeinfo3, 0},
    [XEN_DOMCTL_iomem_permission] = {domctl_iomem_permission, 0},
    [XEN_DOMCTL_ioport_permission] = {domctl_ioport_permission, 0},
    [XEN_DOMCTL_irq_permission] = {domctl_irq_permission, 0},
};

static const struct command *find_command(uint32_t cmd)
{
    if (cmd >= ARRAY_SIZE(commands) || !commands[cmd].fn)
        return NULL;
    return &commands[cmd];
}

/* Find the domain that is named, and do the command. */
static int perform(const struct command *c, struct xen_domctl *op)
{
    struct domain *d = op->cmd == XEN_DOMCTL_createdomain ? NULL : find_domain(op->domain);
    int rc;

    if (!d && !(c->flags & NO_DOMAIN))
        return -ESRCH;
    if (d == current->domain && (c->flags & NOT_SELF))
        rc = -EINVAL;
    else
        rc = c->fn(d, op);
    if (d)
        put_domain(d);
    return rc;
}

/*
 * Rules for every command
 *  1. interface_version is the one of the headers this was built with: -EACCES. The structures
 *     change with it.
 *  2. Only privileged domains: -EPERM.
 *  3. A command that does not exist here gives -ENOSYS, a domain that does not exist -ESRCH.
 *  4. Long work is done in parts: the caller's request is issued again, unchanged, until it is
 *     finished.
 */
asmlinkage long do_domctl(void *guest_domctl)
{
    struct xen_domctl op;
    const struct command *c;
    long rc;

    if (copy_from_guest(&op, guest_domctl, sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
        return -EACCES;
    if (!current->domain->privileged)
        return -EPERM;
    c = find_command(op.cmd);
    if (!c)
        return -ENOSYS;
    if (!spin_trylock(&domctl_lock))
        return hypercall_continue(__HYPERVISOR_domctl, 1, guest_domctl);
    rc = perform(c, &op);
    spin_unlock(&domctl_lock);
    if (rc == -ERESTART)
        return hypercall_continue(__HYPERVISOR_domctl, 1, guest_domctl);
    if (!rc && (c->flags & ANSWERS) && copy_to_guest(guest_domctl, &op, sizeof(op)))
        rc = -EFAULT;
    return rc;
}
HYPERCALL(domctl);
