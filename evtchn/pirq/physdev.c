/* SPDX-License-Identifier: MIT */
/*
 * physdev.c: the operations of physdev_op (xen/physdev.h) on physical interrupts. A module.
 *
 * The interrupt controllers are the hypervisor's; the initial domain, which has the interpreter for
 * ACPI's tables, says here how lines are wired, and which it or another domain is to use (pirq.c).
 * What is known and absent (MSIs) says so with an error that is not -ENOSYS, which would make Linux
 * try the old number of this hypercall instead. docs/abi-coverage.md lists it.
 *
 * Read next: pirq.c, xen/physdev.c (I/O privilege).
 */
#include "pirq.h"
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <xen/physdev.h>

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
PHYSDEVOP(irq_status_query, irq_status_query, false);

/* PHYSDEVOP_eoi: the interrupt has been dealt with. -EINVAL: no such PIRQ. */
static long eoi(void *guest_arg)
{
    struct physdev_eoi op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    return pirq_eoi(current->domain, op.irq);
}
PHYSDEVOP(eoi, eoi, false);

/* PHYSDEVOP_IRQ_UNMASK_NOTIFY, from before PHYSDEVOP_eoi. */
static long irq_unmask_notify(void *guest_arg)
{
    (void)guest_arg;
    return pirq_eoi_unmasked(current->domain);
}
PHYSDEVOP(IRQ_UNMASK_NOTIFY, irq_unmask_notify, false);

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

static long pirq_eoi_gmfn_v1(void *guest_arg)
{
    return pirq_eoi_gmfn(guest_arg, true);
}
PHYSDEVOP(pirq_eoi_gmfn_v1, pirq_eoi_gmfn_v1, false);

static long pirq_eoi_gmfn_v2(void *guest_arg)
{
    return pirq_eoi_gmfn(guest_arg, false);
}
PHYSDEVOP(pirq_eoi_gmfn_v2, pirq_eoi_gmfn_v2, false);

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

static long map_pirq_op(void *guest_arg)
{
    return map_or_unmap_pirq(PHYSDEVOP_map_pirq, guest_arg);
}
PHYSDEVOP(map_pirq, map_pirq_op, true);

static long unmap_pirq_op(void *guest_arg)
{
    return map_or_unmap_pirq(PHYSDEVOP_unmap_pirq, guest_arg);
}
PHYSDEVOP(unmap_pirq, unmap_pirq_op, true);

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
PHYSDEVOP(get_free_pirq, get_free_pirq, true);

/* PHYSDEVOP_setup_gsi: how a line is wired. -EEXIST, -EINVAL: pirq_set_mode(). */
static long setup_gsi(void *guest_arg)
{
    struct physdev_setup_gsi op;

    if (copy_from_guest(&op, guest_arg, sizeof(op)))
        return -EFAULT;
    if (op.gsi < 0)
        return -EINVAL;
    return pirq_set_mode((unsigned)op.gsi, op.triggering != 0, op.polarity != 0);
}
PHYSDEVOP(setup_gsi, setup_gsi, true);

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
PHYSDEVOP(alloc_irq_vector, alloc_irq_vector, true);

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
    rc = pirq_read_ioapic((uint32_t)op.apic_physbase, op.reg, &value);
    if (rc)
        return rc;
    op.value = value;
    return copy_to_guest(guest_arg, &op, sizeof(op)) ? -EFAULT : 0;
}
PHYSDEVOP(apic_read, apic_read, true);

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
    line = pirq_line_of_pin((uint32_t)op.apic_physbase, 0);
    if (line < 0)
        return line;
    if (op.reg < 0x10 || (op.reg & 1))
        return 0;
    line = pirq_line_of_pin((uint32_t)op.apic_physbase, (op.reg - 0x10) / 2);
    if (line < 0)
        return line;
    if (!ENTRY_VECTOR(op.value) ||
        pirq_set_mode((unsigned)line, ENTRY_LEVEL(op.value), ENTRY_LOW(op.value)))
        return 0;
    pirq = pirq_map(current->domain, line, ENTRY_VECTOR(op.value));
    return pirq == -EEXIST ? 0 : MIN(pirq, 0);
}
PHYSDEVOP(apic_write, apic_write, true);

/*
 * What the initial domain found on the PCI bus, memory it reserved for that bus's registers, a USB
 * controller it resets (Xen may print to one's debug port): nothing here depends on it.
 */
static long told(void *guest_arg)
{
    (void)guest_arg;
    return 0;
}
PHYSDEVOP(manage_pci_add, told, true);
PHYSDEVOP(manage_pci_remove, told, true);
PHYSDEVOP(manage_pci_add_ext, told, true);
PHYSDEVOP(pci_device_add, told, true);
PHYSDEVOP(pci_device_remove, told, true);
PHYSDEVOP(pci_mmcfg_reserved, told, true);
PHYSDEVOP(dbgp_op, told, true);

/* MSIs: known, and absent. */
static long no_msi(void *guest_arg)
{
    (void)guest_arg;
    return -ENODEV;
}
PHYSDEVOP(restore_msi, no_msi, false);
PHYSDEVOP(restore_msi_ext, no_msi, false);
PHYSDEVOP(prepare_msix, no_msi, false);
PHYSDEVOP(release_msix, no_msi, false);
