/* SPDX-License-Identifier: MIT */
/*
 * Every hypercall as a typed inline function.
 *
 * The hypercall page, which the domain's builder filled in, holds 128 stubs of 32 bytes: the
 * number goes into EAX, up to five arguments into EBX, ECX, EDX, ESI, EDI, and the answer comes
 * back in EAX: zero or a count, or a negative number from xen/errno.h. 64-bit arguments travel as
 * two words, low one first. Hypervisors may clobber the argument registers (debug builds of Xen
 * did), so the assembly says they change.
 *
 * Two traps of the public headers are dealt with here. Without __XEN_INTERFACE_VERSION__ the
 * numbers of sched_op, event_channel_op and physdev_op silently become the ones of 2005; guest.mk
 * defines it. And the headers use the fixed-width types without including them.
 *
 * The struct arguments of domctl and sysctl need __XEN_TOOLS__ defined before any header; the
 * wrappers take a void pointer, so that only the file that builds them pays for it.
 *
 * Next: start.h.
 */
#ifndef PV_HYPERCALL_H
#define PV_HYPERCALL_H

#include <stdint.h>

#include <xen/xen.h>
#include <xen/errno.h>

#if __XEN_INTERFACE_VERSION__ < 0x00030205
#error "__XEN_INTERFACE_VERSION__ is missing or old: hypercall numbers would be the legacy ones"
#endif

extern char hypercall_page[128][32];

/* One call of the stub for `number`. Up to five arguments; the answer is EAX. */
static inline long hypercall(unsigned int number, unsigned long a, unsigned long b, unsigned long c,
                             unsigned long d, unsigned long e)
{
    long result;

    __asm__ volatile("call *%6"
                     : "=a"(result), "+b"(a), "+c"(b), "+d"(c), "+S"(d), "+D"(e)
                     : "0"(hypercall_page[number])
                     : "memory", "cc");
    return result;
}

#define HV_ARG(x) ((unsigned long)(x))

static inline int hv_set_trap_table(const struct trap_info *table)
{
    return hypercall(__HYPERVISOR_set_trap_table, HV_ARG(table), 0, 0, 0, 0);
}

/* done may be NULL; domid: DOMID_SELF, or the frame's owner in bits 0-15 and the page-table
 * owner + 1 in bits 16-31. */
static inline int hv_mmu_update(struct mmu_update *req, unsigned int count, unsigned int *done,
                                uint32_t domid)
{
    return hypercall(__HYPERVISOR_mmu_update, HV_ARG(req), count, HV_ARG(done), domid, 0);
}

static inline int hv_set_gdt(unsigned long *frames, unsigned int entries)
{
    return hypercall(__HYPERVISOR_set_gdt, HV_ARG(frames), entries, 0, 0, 0);
}

static inline int hv_stack_switch(uint32_t ss, uint32_t esp)
{
    return hypercall(__HYPERVISOR_stack_switch, ss, esp, 0, 0, 0);
}

static inline int hv_set_callbacks(uint32_t event_cs, void (*event)(void), uint32_t failsafe_cs,
                                   void (*failsafe)(void))
{
    return hypercall(__HYPERVISOR_set_callbacks, event_cs, HV_ARG(event), failsafe_cs,
                     HV_ARG(failsafe), 0);
}

static inline int hv_fpu_taskswitch(int set)
{
    return hypercall(__HYPERVISOR_fpu_taskswitch, set, 0, 0, 0, 0);
}

static inline int hv_platform_op(void *op)
{
    return hypercall(__HYPERVISOR_platform_op, HV_ARG(op), 0, 0, 0, 0);
}

static inline int hv_set_debugreg(int reg, uint32_t value)
{
    return hypercall(__HYPERVISOR_set_debugreg, reg, value, 0, 0, 0);
}

static inline uint32_t hv_get_debugreg(int reg)
{
    return hypercall(__HYPERVISOR_get_debugreg, reg, 0, 0, 0, 0);
}

/* maddr: machine address of the 8-byte descriptor in a GDT or LDT frame. */
static inline int hv_update_descriptor(uint64_t maddr, uint64_t descriptor)
{
    return hypercall(__HYPERVISOR_update_descriptor, (uint32_t)maddr, maddr >> 32,
                     (uint32_t)descriptor, descriptor >> 32, 0);
}

static inline int hv_memory_op(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_memory_op, cmd, HV_ARG(arg), 0, 0, 0);
}

static inline int hv_multicall(struct multicall_entry *calls, unsigned int count)
{
    return hypercall(__HYPERVISOR_multicall, HV_ARG(calls), count, 0, 0, 0);
}

static inline int hv_update_va_mapping(const volatile void *va, uint64_t pte, uint32_t flags)
{
    return hypercall(__HYPERVISOR_update_va_mapping, HV_ARG(va), (uint32_t)pte, pte >> 32, flags,
                     0);
}

/* As above for a frame of domain domid; the page table is one's own. */
static inline int hv_update_va_mapping_otherdomain(const volatile void *va, uint64_t pte,
                                                   uint32_t flags, domid_t domid)
{
    return hypercall(__HYPERVISOR_update_va_mapping_otherdomain, HV_ARG(va), (uint32_t)pte,
                     pte >> 32, flags, domid);
}

/* deadline: system time in nanoseconds; 0 cancels. */
static inline int hv_set_timer_op(uint64_t deadline)
{
    return hypercall(__HYPERVISOR_set_timer_op, (uint32_t)deadline, deadline >> 32, 0, 0, 0);
}

static inline int hv_xen_version(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_xen_version, cmd, HV_ARG(arg), 0, 0, 0);
}

/* CONSOLEIO_write, CONSOLEIO_read: count bytes at buffer; the initial domain's console. */
static inline int hv_console_io(unsigned int cmd, unsigned int count, const char *buffer)
{
    return hypercall(__HYPERVISOR_console_io, cmd, count, HV_ARG(buffer), 0, 0);
}

static inline int hv_grant_table_op(unsigned int cmd, void *ops, unsigned int count)
{
    return hypercall(__HYPERVISOR_grant_table_op, cmd, HV_ARG(ops), count, 0, 0);
}

static inline int hv_vm_assist(unsigned int cmd, unsigned int type)
{
    return hypercall(__HYPERVISOR_vm_assist, cmd, type, 0, 0, 0);
}

static inline int hv_vcpu_op(unsigned int cmd, unsigned int vcpu, void *arg)
{
    return hypercall(__HYPERVISOR_vcpu_op, cmd, vcpu, HV_ARG(arg), 0, 0);
}

/* domid as in hv_mmu_update. */
static inline int hv_mmuext_op(struct mmuext_op *ops, unsigned int count, unsigned int *done,
                               uint32_t domid)
{
    return hypercall(__HYPERVISOR_mmuext_op, HV_ARG(ops), count, HV_ARG(done), domid, 0);
}

static inline int hv_sched_op(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_sched_op, cmd, HV_ARG(arg), 0, 0, 0);
}

static inline int hv_callback_op(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_callback_op, cmd, HV_ARG(arg), 0, 0, 0);
}

static inline int hv_event_channel_op(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_event_channel_op, cmd, HV_ARG(arg), 0, 0, 0);
}

static inline int hv_physdev_op(unsigned int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_physdev_op, cmd, HV_ARG(arg), 0, 0, 0);
}

static inline int hv_sysctl(void *op)
{
    return hypercall(__HYPERVISOR_sysctl, HV_ARG(op), 0, 0, 0, 0);
}

static inline int hv_domctl(void *op)
{
    return hypercall(__HYPERVISOR_domctl, HV_ARG(op), 0, 0, 0, 0);
}

#endif
