/* SPDX-License-Identifier: MIT */
/*
 * asm-offsets.c: structure offsets for assembly, taken from the C types so that neither can drift
 * from the other. Compiled to assembly only; the Makefile turns each .ascii line into a #define.
 */
#include <ringlet/crossings.h>
#include <ringlet/domain.h>
#include <ringlet/hypercall.h>
#include <ringlet/percpu.h>

#define DEFINE(name, value) __asm__ volatile(".ascii \"->" #name " %0\"" : : "i"(value))

void asm_offsets(void);
void asm_offsets(void)
{
    DEFINE(UREGS_ebx, offsetof(struct cpu_user_regs, ebx));
    DEFINE(UREGS_ecx, offsetof(struct cpu_user_regs, ecx));
    DEFINE(UREGS_edx, offsetof(struct cpu_user_regs, edx));
    DEFINE(UREGS_esi, offsetof(struct cpu_user_regs, esi));
    DEFINE(UREGS_edi, offsetof(struct cpu_user_regs, edi));
    DEFINE(UREGS_ebp, offsetof(struct cpu_user_regs, ebp));
    DEFINE(UREGS_eax, offsetof(struct cpu_user_regs, eax));
    DEFINE(UREGS_error_code, offsetof(struct cpu_user_regs, error_code));
    DEFINE(UREGS_entry_vector, offsetof(struct cpu_user_regs, entry_vector));
    DEFINE(UREGS_eip, offsetof(struct cpu_user_regs, eip));
    DEFINE(UREGS_cs, offsetof(struct cpu_user_regs, cs));
    DEFINE(UREGS_eflags, offsetof(struct cpu_user_regs, eflags));
    DEFINE(UREGS_esp, offsetof(struct cpu_user_regs, esp));
    DEFINE(UREGS_ss, offsetof(struct cpu_user_regs, ss));
    DEFINE(UREGS_es, offsetof(struct cpu_user_regs, es));
    DEFINE(UREGS_ds, offsetof(struct cpu_user_regs, ds));
    DEFINE(UREGS_fs, offsetof(struct cpu_user_regs, fs));
    DEFINE(UREGS_gs, offsetof(struct cpu_user_regs, gs));
    DEFINE(CROSSING_on, offsetof(struct crossing_hooks, on));
    DEFINE(CROSSING_hypercall, offsetof(struct crossing_hooks, hypercall));
    DEFINE(CROSSING_trap, offsetof(struct crossing_hooks, trap));
    DEFINE(CROSSING_leave, offsetof(struct crossing_hooks, leave));
    DEFINE(CPUINFO_SIZE, sizeof(struct cpu_info));
    DEFINE(CPUINFO_current, offsetof(struct cpu_info, vcpu));
    DEFINE(CPUINFO_cpu, offsetof(struct cpu_info, cpu));
    DEFINE(CPU_softirq_pending, offsetof(struct cpu, softirq_pending));
    DEFINE(VCPU_info, offsetof(struct vcpu, info));
    DEFINE(VCPU_domain, offsetof(struct vcpu, domain));
    DEFINE(VCPU_kernel_ss, offsetof(struct vcpu, kernel_ss));
    DEFINE(VCPU_kernel_sp, offsetof(struct vcpu, kernel_sp));
    DEFINE(VCPU_int80_cs, offsetof(struct vcpu, traps[SYSCALL_VECTOR].cs));
    DEFINE(VCPU_int80_address, offsetof(struct vcpu, traps[SYSCALL_VECTOR].address));
    DEFINE(DOMAIN_vm_assist, offsetof(struct domain, vm_assist));
    DEFINE(ARCHITECTURAL_IOPL, 1u << VMASST_TYPE_architectural_iopl);
    DEFINE(VCPUINFO_pending, offsetof(struct vcpu_info, evtchn_upcall_pending));
    DEFINE(VCPUINFO_mask, offsetof(struct vcpu_info, evtchn_upcall_mask));
    DEFINE(NR_HYPERCALLS, NR_HYPERCALLS);
    DEFINE(VCPU_debugreg7, offsetof(struct vcpu, debugreg[7]));
}
