/* SPDX-License-Identifier: MIT */
/*
 * physdev_op.c: physdev_op as it was before Xen 3.2: one argument, a struct holding the command and
 * its argument.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <xen/physdev.h>

/* Operations that came later are unknown here. */
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
HYPERCALL(physdev_op_compat);
