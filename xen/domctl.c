/* SPDX-License-Identifier: MIT */
/*
 * domctl.c: the hypercall domctl (xen/domctl.h), by which the control domain builds, runs, looks at
 * and ends domains.
 *
 * One request structure, one command, one domain. This file checks what all commands have in common
 * and finds the command's function among those that registered themselves by DOMCTL() (domctl.h):
 * domctl_*.c here, and in modules. A command that nobody registered is answered with -ENOSYS;
 * docs/abi-coverage.md lists them.
 *
 * Read next: domctl_domain.c.
 */
#include <ringlet/domctl.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

_Static_assert(offsetof(struct xen_domctl, u) == 16 && sizeof(struct xen_domctl) == 144,
               "the request's layout is part of the ABI");

/* One control operation at a time: none has to fear another one half done. */
static spinlock_t domctl_lock = SPINLOCK_INIT(RANK_DOMCTL);

static const struct domctl_record *find_command(uint32_t cmd)
{
    const struct domctl_record *r;

    for_each_record(domctl, r)
    {
        if (r->cmd == cmd)
            return r;
    }
    return NULL;
}

/*
 * walk 55: A domain is made by requests
 *
 * Claim: The control domain makes, fills, starts and ends others by one hypercall with some dozens
 * of commands. What all have in common is checked in this file, in this order: the version of the
 * interface, the caller's privilege, the command, the domain. The domain is held by a reference for
 * as long as the command works on it.
 * Without it: A domain destroyed by one processor while another sets its vcpus up would leave the
 * second one at work in freed memory.
 * Shown by: tests/guests/life/control/main.c::mistakes, tests/guests/life/control/main.c::bad_domains,
 * tests/guests/xsa/xsa-149/main.c::life
 */
/* Find the domain that is named, and do the command. */
static int perform(const struct domctl_record *c, struct xen_domctl *op)
{
    struct domain *d = op->cmd == XEN_DOMCTL_createdomain ? NULL : find_domain(op->domain);
    int rc;

    if (!d && !(c->flags & DOMCTL_NO_DOMAIN))
        return -ESRCH;
    if (d == current->domain && (c->flags & DOMCTL_NOT_SELF))
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
    const struct domctl_record *c;
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
    if ((c->flags & (rc ? DOMCTL_ANSWERS_ERRORS : DOMCTL_ANSWERS)) &&
        copy_to_guest(guest_domctl, &op, sizeof(op)))
        rc = -EFAULT;
    /* A root that setvcpucontext refused is undone first; where that takes long mmuext_op goes on. */
    return rc ? finish_table_call(__HYPERVISOR_mmuext_op, rc) : 0;
}
HYPERCALL(domctl);
