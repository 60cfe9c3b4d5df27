/* SPDX-License-Identifier: MIT */
/*
 * physdev.c: the hypercall physdev_op (xen/physdev.h): I/O privilege, and physical interrupts.
 *
 * I/O privilege is virtual: a guest's ring 1 always runs with EFLAGS.IOPL 0, so each IN or OUT
 * faults into the emulator (traps/emulate.c), which asks the numbers kept here whether the guest's
 * kernel lets that code at ports at all, and the domain's own bitmap whether the port may be
 * touched. Interrupt routing stays with the hypervisor: the operations on interrupt controllers and
 * MSIs are absent, and say so with an error that is not -ENOSYS, which would make Linux try the old
 * number of this hypercall instead. docs/abi-coverage.md lists them.
 *
 * Read next: evtchn/event_channel.c (EVTCHNOP_bind_pirq).
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
static long set_iopl(const void *guest_arg)
{
    struct physdev_set_iopl op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.iopl > 3)
        return -EINVAL;
    current->iopl = op.iopl;
    return 0;
}

/*
 * PHYSDEVOP_set_iobitmap
 *  1. A clear bit lets ring 3 at that port. Ports from nr_ports on are closed; at most 65536 exist:
 *     -EINVAL.
 *  2. The bitmap stays in the guest's memory and is read at each access; only its address is kept,
 *     and must lie in the guest's part of the address space.
 */
static long set_iobitmap(const void *guest_arg)
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

/*
 * PHYSDEVOP_irq_status_query: no interrupt is shared here, and a guest's handler must always end
 * with PHYSDEVOP_eoi.
 */
static long irq_status_query(void *guest_arg)
{
    struct physdev_irq_status_query op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.irq >= NR_PIRQS)
        return -EINVAL;
    op.flags = XENIRQSTAT_needs_eoi;
    return copy_to_guest(guest_arg, &op, sizeof(op)) ? -EFAULT : 0;
}

/*
 * PHYSDEVOP_alloc_irq_vector: vectors are the hypervisor's affair; the interrupt's own number
 * stands for one.
 */
static long alloc_irq_vector(void *guest_arg)
{
    struct physdev_irq op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (!current->domain->privileged)
        return -EPERM;
    op.vector = op.irq;
    return copy_to_guest(guest_arg, &op, sizeof(op)) ? -EFAULT : 0;
}

/*
 * Operations of Xen's that are known and absent. The errors are ones that Xen gives and guests live
 * with.
 */
static long absent(int cmd)
{
    switch (cmd) {
    case PHYSDEVOP_pirq_eoi_gmfn_v1:
    case PHYSDEVOP_pirq_eoi_gmfn_v2:
    case PHYSDEVOP_eoi:
    case PHYSDEVOP_map_pirq:
    case PHYSDEVOP_unmap_pirq:
    case PHYSDEVOP_setup_gsi:
    case PHYSDEVOP_get_free_pirq:
        return -EINVAL;
    case PHYSDEVOP_apic_read:
    case PHYSDEVOP_apic_write:
    case PHYSDEVOP_pci_mmcfg_reserved:
        return -EPERM;
    case PHYSDEVOP_manage_pci_add:
    case PHYSDEVOP_manage_pci_remove:
    case PHYSDEVOP_manage_pci_add_ext:
    case PHYSDEVOP_pci_device_add:
    case PHYSDEVOP_pci_device_remove:
    case PHYSDEVOP_restore_msi:
    case PHYSDEVOP_restore_msi_ext:
    case PHYSDEVOP_prepare_msix:
    case PHYSDEVOP_release_msix:
        return -ENODEV;
    default:
        return -ENOSYS;
    }
}

asmlinkage long do_physdev_op(int cmd, void *guest_arg)
{
    switch (cmd) {
    case PHYSDEVOP_set_iopl:
        return set_iopl(guest_arg);
    case PHYSDEVOP_set_iobitmap:
        return set_iobitmap(guest_arg);
    case PHYSDEVOP_irq_status_query:
        return irq_status_query(guest_arg);
    case PHYSDEVOP_alloc_irq_vector:
        return alloc_irq_vector(guest_arg);
    default:
        return absent(cmd);
    }
}

/*
 * The hypercall of before Xen 3.2: the command stands in the first word of the argument, its
 * structure behind it. Only the commands of that time come this way.
 */
asmlinkage long do_physdev_op_compat(void *guest_op)
{
    uint32_t cmd;

    if (copy_from_guest(&cmd, guest_op, sizeof(cmd)))
        return -EFAULT;
    switch (cmd) {
    case PHYSDEVOP_IRQ_UNMASK_NOTIFY:
        return do_physdev_op(PHYSDEVOP_IRQ_UNMASK_NOTIFY, NULL);
    case PHYSDEVOP_irq_status_query:
    case PHYSDEVOP_set_iopl:
    case PHYSDEVOP_set_iobitmap:
    case PHYSDEVOP_apic_read:
    case PHYSDEVOP_apic_write:
    case PHYSDEVOP_alloc_irq_vector:
        return do_physdev_op(cmd, (char *)guest_op + offsetof(struct physdev_op, u));
    default:
        return -EINVAL;
    }
}
