/* SPDX-License-Identifier: MIT */
/*
 * physdev.c: the hypercall physdev_op (xen/physdev.h), and its operations on I/O privilege. Those on
 * physical interrupts are a module's, evtchn/pirq.
 *
 * I/O privilege is virtual: a guest's ring 1 always runs with EFLAGS.IOPL 0, so each IN or OUT
 * faults into the emulator (traps/emulate.c), which asks the numbers kept here whether the guest's
 * kernel lets that code at ports at all, and the domain's own bitmap whether the port may be
 * touched.
 *
 * Read next: evtchn/pirq/physdev.c.
 */
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <xen/physdev.h>

/*
 * PHYSDEVOP_set_iopl
 *  1. iopl is 0 to 3; -EINVAL otherwise. It binds the calling vcpu alone.
 *  2. Rings below or equal to it may ask for ports. Which ports they get is the domain's
 *     permissions' affair.
 */
static long set_iopl(void *guest_arg)
{
    struct physdev_set_iopl op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.iopl > 3)
        return -EINVAL;
    current->iopl = op.iopl;
    return 0;
}
PHYSDEVOP(set_iopl, set_iopl, false);

/*
 * PHYSDEVOP_set_iobitmap
 *  1. A clear bit lets ring 3 at that port. Ports from nr_ports on are closed; at most 65536 exist:
 *     -EINVAL.
 *  2. The bitmap stays in the guest's memory and is read at each access; only its address is kept,
 *     and must lie in the guest's part of the address space.
 */
static long set_iobitmap(void *guest_arg)
{
    struct physdev_set_iobitmap op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.nr_ports > 65536 || !guest_range_ok(op.bitmap.p, 65536 / 8))
        return -EINVAL;
    current->iobmp_guest = op.bitmap.p;
    current->iobmp_ports = op.nr_ports;
    return 0;
}
PHYSDEVOP(set_iobitmap, set_iobitmap, false);

asmlinkage long do_physdev_op(int cmd, void *guest_arg)
{
    const struct physdevop_record *r;

    for_each_record(physdevop, r)
    {
        if (r->cmd == cmd)
            return r->initial_only && !current->domain->initial ? -EPERM : r->fn(guest_arg);
    }
    return -ENOSYS;
}
HYPERCALL(physdev_op);
