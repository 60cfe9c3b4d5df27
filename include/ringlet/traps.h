/* SPDX-License-Identifier: MIT */
/*
 * traps.h: exceptions, and their way into a guest.
 *
 * The processor always enters ring 0 first (but for `int $0x80`, see set_int80_gate). What is the
 * guest's own affair is "bounced": the frame the processor would have pushed is written on the
 * guest's ring-1 stack, and the saved registers are changed so that our IRET lands in the guest's
 * handler.
 */
#ifndef RINGLET_TRAPS_H
#define RINGLET_TRAPS_H

#include <ringlet/types.h>
#include <xen/xen.h>

struct vcpu;
struct cpu_user_regs;

/* The ring the saved registers came from. */
static inline unsigned regs_ring(const struct cpu_user_regs *regs)
{
    return regs->cs & 3;
}

static inline bool regs_from_guest(const struct cpu_user_regs *regs)
{
    return regs_ring(regs) != 0;
}

/*
 * traps/bounce.c. These act on the running vcpu's guest_regs(). Where the guest has no handler, or
 * its stack cannot take the frame, the domain is ended with the reason printed.
 */
#define NO_ERROR_CODE (-1)
void inject_exception(unsigned vector, int error_code);
void inject_page_fault(uint32_t address, unsigned error_code);
/* int n whose DPL was checked; eip already advanced */
void inject_software_interrupt(unsigned vector);
void bounce_nmi(void);
void inject_sysenter(struct cpu_user_regs *regs);
asmlinkage void deliver_pending_events(void);
asmlinkage void deliver_failsafe(uint32_t ds, uint32_t es, uint32_t fs, uint32_t gs);

/* traps/nmi.c */
void nmi_recheck(const struct vcpu *v);

/* traps/traps.c */
asmlinkage void do_trap(struct cpu_user_regs *regs);

/* traps/extable.c */
uint32_t search_exception_table(uint32_t eip);
void extable_sort(void);

/*
 * traps/emulate.c: privileged instructions. Called for #GP with error code 0 from ring 1 or 3
 * (emulate_privileged) and for #UD (emulate_forced_cpuid). `regs` are the running vcpu's. Returns
 * true when the instruction was carried out and eip advanced, or when another exception was
 * injected instead; false: the caller injects the original one.
 */
bool emulate_privileged(struct cpu_user_regs *regs);
bool emulate_stack_fault(struct cpu_user_regs *regs);
bool emulate_forced_cpuid(struct cpu_user_regs *regs);
/* eax, ebx, ecx, edx as a PV guest sees them */
void guest_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* traps/debugreg.c */
long set_debugreg(struct vcpu *v, unsigned reg, uint32_t value);
bool debugreg_values_ok(const unsigned long dr[8]);
void load_debug_registers(const struct vcpu *v); /* only if v uses them */
void unload_debug_registers(const struct vcpu *v);
bool has_breakpoints(const struct vcpu *v);
uint32_t take_dr6(void);
void debug_registers_init(void);

/*
 * mm/ptwr.c: a write to a page table mapped read-only, on behalf of a guest with
 * writable_pagetables. true: done.
 */
bool emulate_pagetable_write(uint32_t address, struct cpu_user_regs *regs);

#endif
