/* SPDX-License-Identifier: MIT */
/*
 * physdev.c: the hypercall physdev_op (xen/physdev.h): I/O privilege, and physical interrupts.
 *
 * I/O privilege is virtual: a guest's ring 1 always runs with EFLAGS.IOPL 0, so each IN or OUT
 * faults into the emulator (traps/emulate.c), which asks the numbers kept here whether the guest's
 * kernel lets that code at ports at all, and the domain's own bitmap whether the port may be
 * touched.
 *
 * The interrupt controllers are the hypervisor's; the initial domain, which has the interpreter for
 * ACPI's tables, says here how lines are wired, and which it or another domain is to use (xen/irq.c). What
 * is known and absent (MSIs) says so with an error that is not -ENOSYS, which would make Linux try
 * the old number of this hypercall instead. docs/abi-coverage.md lists it.
 *
 * Read next: xen/irq.c, evtchn/event_channel.c (EVTCHNOP_bind_pirq).
 */
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/irq.h>
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
 * PHYSDEVOP_irq_status_query: flags for a PIRQ. As in Xen, a guest that has not registered a page
 * to look it up (pirq_eoi_gmfn) is told to end every interrupt with PHYSDEVOP_eoi; no line is shared
 * between domains.
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

/* ---- Physical interrupts ---------------------------------------------------------------------- */

/* PHYSDEVOP_eoi: the interrupt has been dealt with. -EINVAL: no such PIRQ. */
static long eoi(void *guest_arg)
{
    struct physdev_eoi op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    return pirq_eoi(current->domain, op.irq);
}

/*
 * PHYSDEVOP_pirq_eoi_gmfn_v1, _v2: a page in which a bit says of each PIRQ whether it needs
 * PHYSDEVOP_eoi.
 *  1. The frame is the caller's, and memory it may write: -EINVAL. It stays so until the domain ends.
 *  2. Once only: -EBUSY.
 *  3. With _v1, PHYSDEVOP_eoi unmasks the event channel as well.
 */
static long pirq_eoi_gmfn(void *guest_arg, bool unmask)
{
    struct physdev_pirq_eoi_gmfn op;
    struct frame *f;
    long rc;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.gmfn >= max_frame)
        return -EINVAL;
    f = mfn_frame(op.gmfn);
    if (get_frame_and_type(f, current->domain, FT_WRITABLE))
        return -EINVAL;
    rc = pirq_set_eoi_map(current->domain, op.gmfn, unmask);
    if (rc)
        put_frame_and_type(f);
    return rc;
}

/* ---- Lines: the initial domain's alone -------------------------------------------------------- */

/*
 * PHYSDEVOP_map_pirq for d: gives a line ("GSI") a PIRQ number, the caller's or, where that is
 * negative, one of ours.
 *  1. MSIs are -EPERM, as in a Xen told not to use them: drivers go back to lines. Other kinds:
 *     -EINVAL.
 *  2. Else as pirq_map() has it.
 */
static long map_pirq(struct domain *d, struct physdev_map_pirq *op)
{
    int pirq;

    if (op->type == MAP_PIRQ_TYPE_MSI || op->type == MAP_PIRQ_TYPE_MSI_SEG ||
        op->type == MAP_PIRQ_TYPE_MULTI_MSI)
        return -EPERM;
    if (op->type != MAP_PIRQ_TYPE_GSI)
        return -EINVAL;
    pirq = pirq_map(d, op->index, op->pirq);
    op->pirq = pirq;
    return MIN(pirq, 0);
}

/*
 * PHYSDEVOP_map_pirq and PHYSDEVOP_unmap_pirq: for the caller, or for a domain that is to drive a
 * device. -ESRCH: no such domain. unmap_pirq gives -EINVAL where nothing is mapped.
 */
static long map_or_unmap_pirq(int cmd, void *guest_arg)
{
    union {
        struct physdev_map_pirq map;
        struct physdev_unmap_pirq unmap;
    } op;
    unsigned size = cmd == PHYSDEVOP_map_pirq ? sizeof(op.map) : sizeof(op.unmap);
    struct domain *d;
    long rc;

    _Static_assert(offsetof(struct physdev_map_pirq, domid) == 0 &&
                       offsetof(struct physdev_unmap_pirq, domid) == 0,
                   "both name the domain first");
    if (copy_from_guest(&op, guest_arg, size))
        return -EFAULT;
    d = find_domain_or_self(op.map.domid);
    if (!d)
        return -ESRCH;
    rc = cmd == PHYSDEVOP_map_pirq ? map_pirq(d, &op.map) : pirq_unmap(d, op.unmap.pirq);
    put_domain(d);
    if (!rc && cmd == PHYSDEVOP_map_pirq && copy_to_guest(guest_arg, &op, size))
        return -EFAULT;
    return rc;
}

/* PHYSDEVOP_get_free_pirq: a number that is not mapped: -ENOSPC. It is not set aside. */
static long get_free_pirq(void *guest_arg)
{
    struct physdev_get_free_pirq op;
    int pirq;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    pirq = pirq_free_number(current->domain);
    if (pirq < 0)
        return pirq;
    op.pirq = (uint32_t)pirq;
    return copy_to_guest(guest_arg, &op, sizeof(op)) ? -EFAULT : 0;
}

/* PHYSDEVOP_setup_gsi: how a line is wired. -EEXIST, -EINVAL: irq_set_mode(). */
static long setup_gsi(void *guest_arg)
{
    struct physdev_setup_gsi op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.gsi < 0)
        return -EINVAL;
    return irq_set_mode((unsigned)op.gsi, op.triggering != 0, op.polarity != 0);
}

/*
 * PHYSDEVOP_alloc_irq_vector: vectors are the hypervisor's affair. The number that the kernel chose
 * stands for one; PHYSDEVOP_apic_write says which line is to have it.
 */
static long alloc_irq_vector(void *guest_arg)
{
    struct physdev_irq op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    op.vector = op.irq;
    return copy_to_guest(guest_arg, &op, sizeof(op)) ? -EFAULT : 0;
}

/* PHYSDEVOP_apic_read: a register of the IO-APIC at this physical address; -EINVAL: none there. */
static long apic_read(void *guest_arg)
{
    struct physdev_apic op;
    uint32_t value;
    long rc;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.apic_physbase != (uint32_t)op.apic_physbase)
        return -EINVAL;
    rc = irq_read_ioapic((uint32_t)op.apic_physbase, op.reg, &value);
    if (rc)
        return rc;
    op.value = value;
    return copy_to_guest(guest_arg, &op, sizeof(op)) ? -EFAULT : 0;
}

#define ENTRY_VECTOR(low) ((low)&0xff)
#define ENTRY_LOW(low) ((low) >> 13 & 1)
#define ENTRY_LEVEL(low) ((low) >> 15 & 1)

/*
 * PHYSDEVOP_apic_write: what kernels before PHYSDEVOP_setup_gsi did instead. The low half of a
 * redirection entry says how the line is wired, and its "vector" which PIRQ it is to be (0: none
 * yet); where the interrupt goes, and whether it is masked, remains ours. All other registers swallow
 * what is written, and so does the entry of a line that is in use or has another number: to kernels
 * this is a register, and an error in it fatal.
 */
static long apic_write(void *guest_arg)
{
    struct physdev_apic op;
    int line, pirq;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.apic_physbase != (uint32_t)op.apic_physbase)
        return -EINVAL;
    line = irq_line_of_pin((uint32_t)op.apic_physbase, 0);
    if (line < 0)
        return line;
    if (op.reg < 0x10 || (op.reg & 1))
        return 0;
    line = irq_line_of_pin((uint32_t)op.apic_physbase, (op.reg - 0x10) / 2);
    if (line < 0)
        return line;
    if (!ENTRY_VECTOR(op.value) ||
        irq_set_mode((unsigned)line, ENTRY_LEVEL(op.value), ENTRY_LOW(op.value)))
        return 0;
    pirq = pirq_map(current->domain, line, ENTRY_VECTOR(op.value));
    return pirq == -EEXIST ? 0 : MIN(pirq, 0);
}

/*
 * What the initial domain found on the PCI bus, memory it reserved for that bus's registers, a USB
 * controller it resets (Xen may print to one's debug port): nothing here depends on it.
 */
static long told(void)
{
    return 0;
}

/* Operations on the machine's interrupts, for the one domain that has it. */
static long machine_op(int cmd, void *guest_arg)
{
    if (!current->domain->initial)
        return -EPERM;
    switch (cmd) {
    case PHYSDEVOP_map_pirq:
    case PHYSDEVOP_unmap_pirq:
        return map_or_unmap_pirq(cmd, guest_arg);
    case PHYSDEVOP_get_free_pirq:
        return get_free_pirq(guest_arg);
    case PHYSDEVOP_setup_gsi:
        return setup_gsi(guest_arg);
    case PHYSDEVOP_alloc_irq_vector:
        return alloc_irq_vector(guest_arg);
    case PHYSDEVOP_apic_read:
        return apic_read(guest_arg);
    case PHYSDEVOP_apic_write:
        return apic_write(guest_arg);
    default:
        return told();
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
    case PHYSDEVOP_eoi:
        return eoi(guest_arg);
    case PHYSDEVOP_IRQ_UNMASK_NOTIFY:
        return pirq_eoi_unmasked(current->domain);
    case PHYSDEVOP_pirq_eoi_gmfn_v1:
    case PHYSDEVOP_pirq_eoi_gmfn_v2:
        return pirq_eoi_gmfn(guest_arg, cmd == PHYSDEVOP_pirq_eoi_gmfn_v1);
    case PHYSDEVOP_map_pirq:
    case PHYSDEVOP_unmap_pirq:
    case PHYSDEVOP_get_free_pirq:
    case PHYSDEVOP_setup_gsi:
    case PHYSDEVOP_alloc_irq_vector:
    case PHYSDEVOP_apic_read:
    case PHYSDEVOP_apic_write:
    case PHYSDEVOP_manage_pci_add:
    case PHYSDEVOP_manage_pci_remove:
    case PHYSDEVOP_manage_pci_add_ext:
    case PHYSDEVOP_pci_device_add:
    case PHYSDEVOP_pci_device_remove:
    case PHYSDEVOP_pci_mmcfg_reserved:
    case PHYSDEVOP_dbgp_op:
        return machine_op(cmd, guest_arg);
    case PHYSDEVOP_restore_msi:
    case PHYSDEVOP_restore_msi_ext:
    case PHYSDEVOP_prepare_msix:
    case PHYSDEVOP_release_msix:
        return -ENODEV;
    default:
        return -ENOSYS;
    }
}
HYPERCALL(physdev_op);

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
HYPERCALL(physdev_op_compat);
