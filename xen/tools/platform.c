/* SPDX-License-Identifier: MIT */
/*
 * platform.c: the hypercall platform_op (xen/platform.h): the initial domain's hand on the machine.
 *
 * Of Xen's long list only the clock, the table of processors and the way to power off exist.
 * Firmware data is answered with "no such record": this hypervisor is started by GRUB or QEMU, does
 * not call the BIOS, and keeps none. The rest is -ENOSYS.
 */
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <xen/platform.h>
#include <xen/sched.h>

#define ACPI_S5 5 /* "soft off" */

/*
 * XENPF_settime32, XENPF_settime64: it was secs.nsecs (UTC) at system_time.
 *  1. nsecs is below 10^9 and the sum must not lie before 1970: -EINVAL. Every domain's wall clock
 *     follows at once.
 */
static long set_time(uint64_t secs, uint32_t nsecs, uint64_t system_time)
{
    if (nsecs >= NS_PER_SEC || secs > ~0ull / NS_PER_SEC - 1)
        return -EINVAL;
    if (system_time > secs * NS_PER_SEC + nsecs)
        return -EINVAL;
    set_wallclock(secs, nsecs, system_time);
    return 0;
}

/*
 * XENPF_firmware_info: a known kind of record that does not exist gives -ESRCH, which ends a
 * guest's search.
 */
static long firmware_info(const struct xenpf_firmware_info *info)
{
    switch (info->type) {
    case XEN_FW_DISK_INFO:
    case XEN_FW_DISK_MBR_SIGNATURE:
    case XEN_FW_VBEDDC_INFO:
    case XEN_FW_EFI_INFO:
    case XEN_FW_KBD_SHIFT_FLAGS:
        return -ESRCH;
    default:
        return -EINVAL;
    }
}

/*
 * XENPF_get_cpuinfo: one processor by number; a number without a processor is told by a flag, not
 * by an error, and its APIC and ACPI numbers stay as the caller had them.
 */
static long get_cpuinfo(struct xenpf_pcpuinfo *info)
{
    info->max_present = nr_cpus - 1;
    info->flags = XEN_PCPU_FLAGS_INVALID;
    if (info->xen_cpuid < nr_cpus) {
        info->flags = cpus[info->xen_cpuid].online ? XEN_PCPU_FLAGS_ONLINE : 0;
        info->apic_id = cpus[info->xen_cpuid].apic_id;
        info->acpi_id = info->xen_cpuid;
    }
    return 0;
}

/*
 * XENPF_enter_acpi_sleep: what an initial domain that interprets the ACPI tables does instead of the
 * write to PM1_CNT that puts the machine to sleep (ACPI 16.1). S5 is power-off, which happens
 * here the hypervisor's own way, whatever values the guest found: some kernels (Linux
 * 2.6.32 of the xen/stable branch) know no other. A code the guest gave before for its end
 * (SCHEDOP_shutdown_code) does not count: this is about the machine. There is no way back from a state that loses the
 * processors' or the memory's contents: S1 to S4 are -EOPNOTSUPP.
 */
static long enter_acpi_sleep(const struct xenpf_enter_acpi_sleep *sleep)
{
    if (sleep->flags || sleep->sleep_state < 1 || sleep->sleep_state > ACPI_S5)
        return -EINVAL;
    if (sleep->sleep_state != ACPI_S5)
        return -EOPNOTSUPP;
    machine_shutdown(SHUTDOWN_poweroff);
}

/* Do one operation; *answer becomes true when `op` holds something the guest is to see. */
static long platform_op(struct xen_platform_op *op, bool *answer)
{
    switch (op->cmd) {
    case XENPF_settime32:
        return set_time(op->u.settime32.secs, op->u.settime32.nsecs, op->u.settime32.system_time);
    case XENPF_settime64:
        if (op->u.settime64.mbz)
            return -EINVAL;
        return set_time(op->u.settime64.secs, op->u.settime64.nsecs, op->u.settime64.system_time);
    case XENPF_firmware_info:
        return firmware_info(&op->u.firmware_info);
    case XENPF_get_cpuinfo:
        *answer = true;
        return get_cpuinfo(&op->u.pcpu_info);
    case XENPF_enter_acpi_sleep:
        return enter_acpi_sleep(&op->u.enter_acpi_sleep);
    default:
        return -ENOSYS;
    }
}

asmlinkage long do_platform_op(void *guest_op)
{
    struct xen_platform_op op;
    bool answer = false;
    long rc;

    if (copy_from_guest(&op, guest_op, sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XENPF_INTERFACE_VERSION)
        return -EACCES;
    if (!current->domain->privileged)
        return -EPERM;
    rc = platform_op(&op, &answer);
    if (!rc && answer && copy_to_guest(guest_op, &op, sizeof(op)))
        rc = -EFAULT;
    return rc;
}
HYPERCALL(platform_op);
