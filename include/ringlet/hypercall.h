/* SPDX-License-Identifier: MIT */
/*
 * hypercall.h: the operations a guest may ask for, and how a long one is continued.
 *
 * All take the ABI's arguments in the order ebx, ecx, edx, esi, edi and return a result or -Exxx in
 * eax. Pointers are guest addresses: copy_from_guest and copy_to_guest only.
 */
#ifndef RINGLET_HYPERCALL_H
#define RINGLET_HYPERCALL_H

#include <ringlet/module.h>
#include <ringlet/types.h>
#include <xen/xen.h>

/* The public errno.h holds only XEN_ERRNO(name, value) lines. */
enum {
#define XEN_ERRNO(name, value) name = value,
#include <xen/errno.h>
    ERESTART = 85, /* internal: work remains, call again; never shown to a guest */
};

/*
 * The Xen release whose ABI and behaviour are followed: xen_version and CPUID leaf 0x40000001 tell
 * guests.
 */
#define ABI_VERSION (4 << 16 | 17)

/*
 * Continuation: a handler that has done part of its work arranges for the same hypercall to be
 * issued again with these arguments and returns the value this gives. The guest's eip is moved back
 * to its `int $0x82`, so interrupts, events and the scheduler get their turn in between; inside a
 * multicall the entry is rewritten instead. Only registers are changed: the guest sees ordinary
 * re-execution. hypercall/continuation.c
 */
long hypercall_continue(unsigned op, unsigned nr_args, ...);

/* hypercall/table.c */
void hypercalls_init(void);
long call_hypercall(unsigned op, const uint32_t args[6]);
void write_hypercall_page(void *page);
#define NR_HYPERCALLS 64

/* hypercall/multicall.c */
asmlinkage long do_multicall(void *guest_calls, uint32_t nr);

/* mm/mmu_update.c, mm/va_mapping.c, mm/mmuext.c */
asmlinkage long do_mmu_update(void *guest_reqs, uint32_t count, uint32_t *guest_done,
                              uint32_t foreigndom);
asmlinkage long do_update_va_mapping(uint32_t va, uint32_t val_lo, uint32_t val_hi, uint32_t flags);
asmlinkage long do_update_va_mapping_otherdomain(uint32_t va, uint32_t val_lo, uint32_t val_hi,
                                                 uint32_t flags, uint32_t domid);
asmlinkage long do_mmuext_op(void *guest_ops, uint32_t count, uint32_t *guest_done,
                             uint32_t foreigndom);

/* mm/memory_op.c, mm/grant_table.c */
asmlinkage long do_memory_op(uint32_t cmd, void *guest_arg);
asmlinkage long do_grant_table_op(uint32_t cmd, void *guest_ops, uint32_t count);

/* mm/descriptor_tables.c */
asmlinkage long do_set_gdt(const uint32_t *guest_frames, uint32_t entries);
asmlinkage long do_update_descriptor(uint32_t pa_lo, uint32_t pa_hi, uint32_t desc_lo,
                                     uint32_t desc_hi);

/* traps/callbacks.c, traps/iret.c, traps/debugreg.c */
asmlinkage long do_set_trap_table(const struct trap_info *guest_traps);
asmlinkage long do_stack_switch(uint32_t ss, uint32_t esp);
asmlinkage long do_set_callbacks(uint32_t event_cs, uint32_t event_eip, uint32_t failsafe_cs,
                                 uint32_t failsafe_eip);
asmlinkage long do_callback_op(int cmd, const void *guest_arg);
asmlinkage long do_nmi_op(uint32_t cmd, const void *guest_arg);
asmlinkage long do_iret(void);
asmlinkage long do_fpu_taskswitch(int set);
asmlinkage long do_set_debugreg(uint32_t reg, uint32_t value);
asmlinkage long do_get_debugreg(uint32_t reg);

/* evtchn/event_channel.c */
asmlinkage long do_event_channel_op(int cmd, void *guest_arg);
asmlinkage long do_event_channel_op_compat(void *guest_op);

/* hypercall/compat */
asmlinkage long do_sched_op_compat(int cmd, uint32_t arg);

/*
 * xen/sched_op.c, xen/vcpu_op.c, xen/version.c, xen/console_io.c, xen/domctl.c, xen/tools/sysctl.c,
 * xen/physdev.c, hypercall/compat/physdev_op.c
 */
asmlinkage long do_sched_op(int cmd, void *guest_arg);
asmlinkage long do_set_timer_op(uint32_t lo, uint32_t hi);
asmlinkage long do_vcpu_op(int cmd, unsigned vcpuid, void *guest_arg);
asmlinkage long do_vm_assist(uint32_t cmd, uint32_t type);
uint32_t valid_vm_assists(void); /* as bits */
asmlinkage long do_xen_version(int cmd, void *guest_arg);
asmlinkage long do_console_io(uint32_t cmd, uint32_t count, char *guest_buffer);
asmlinkage long do_domctl(void *guest_domctl);
asmlinkage long do_sysctl(void *guest_sysctl);
asmlinkage long do_physdev_op(int cmd, void *guest_arg);
asmlinkage long do_physdev_op_compat(void *guest_op);
asmlinkage long do_platform_op(void *guest_op);

/*
 * PHYSDEVOP(name, fn, initial_only): fn() carries out PHYSDEVOP_name; its argument is the guest
 * address of the operation's structure. Where it is the initial domain's alone, others get -EPERM.
 */
struct physdevop_record {
    int cmd;
    bool initial_only;
    long (*fn)(void *guest_arg);
};
MODULE_RECORDS(struct physdevop_record, physdevop);
#define PHYSDEVOP(name, function, initial)                                                       \
    MODULE_RECORD(struct physdevop_record, physdevop, physdevop_##name, .cmd = PHYSDEVOP_##name, \
                  .initial_only = (initial), .fn = function)

#endif
