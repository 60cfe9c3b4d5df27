/* SPDX-License-Identifier: MIT */
/*
 * traps.c: what becomes of each exception and interrupt. entry.S calls do_trap() for every vector
 * but the hypercall's.
 *
 * Three questions decide. Is it an interrupt of the machine? Then it is ours. Did it come from ring
 * 0? Then it is a bug of ours, unless the exception table expected it. Otherwise it is the guest's:
 * some faults stand for something we do on its behalf (a privileged instruction, a write to a page
 * table); all others are bounced to it.
 *
 * Read next: bounce.c, emulate.c.
 */
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/desc.h>
#include <ringlet/domain.h>
#include <ringlet/irq.h>
#include <ringlet/mm.h>
#include <ringlet/time.h>
#include <ringlet/traps.h>
#include <ringlet/written.h>

/* Page-fault error code: SDM vol. 3, figure 4-12. */
#define PF_PRESENT 0x1
#define PF_WRITE 0x2
/* Error codes of segment faults: SDM vol. 3, figure 6-7. */
#define ERROR_EXT 0x1
#define ERROR_IDT 0x2

/* arch/i386/entry.S */
extern const uint8_t sysenter_entry[], sysenter_flags_saved[];

/* What is no exception. */
static noinline void interrupt(struct cpu_user_regs *regs)
{
    switch (regs->entry_vector) {
    case TIMER_VECTOR:
        timer_interrupt();
        break;
    case IPI_VECTOR:
        ipi_interrupt();
        break;
    case TRAP_sysenter:
        inject_sysenter(regs);
        break;
    case SYSCALL_VECTOR:
        inject_software_interrupt(SYSCALL_VECTOR);
        break;
    default:
        irq_interrupt(regs->entry_vector);
    }
}

/*
 * A fault in ring 0. Loading a selector of a guest's LDT may need the page shown first, and an
 * access to a guest's memory an entry in its shadow; other expected faults have a fixup.
 */
static void hypervisor_fault(struct cpu_user_regs *regs)
{
    uint32_t fixup, cr2 = read_cr2(), ldt = LDT_WINDOW(this_cpu->id);

    if (regs->entry_vector == TRAP_page_fault) {
        if (cr2 - ldt < GUEST_LDT_PAGES * PAGE_SIZE && fault_in_ldt_page(cr2 - ldt))
            return;
        if (anybody_watched() && watch_page_fault(cr2, regs))
            return;
    }
    fixup = search_exception_table(regs->eip);
    if (!fixup)
        fatal_trap(regs, "unexpected fault in the hypervisor");
    regs->eip = fixup;
}

/*
 * A guest's SYSENTER brings its TF into ring 0 (entry.S). The flag is left alone until the stub has
 * saved it. true: that was it.
 */
static bool stepped_into_sysenter(struct cpu_user_regs *regs)
{
    if (regs->eip == (uint32_t)sysenter_flags_saved)
        regs->eflags &= ~EFLAGS_TF;
    return regs->eip == (uint32_t)sysenter_flags_saved || regs->eip == (uint32_t)sysenter_entry;
}

/*
 * A guest's watchpoint can be hit by our own accesses to its memory. It is the guest's breakpoint,
 * but not its instruction: note it in DR6 and go on.
 */
static void debug_in_ring0(struct cpu_user_regs *regs)
{
    uint32_t dr6 = take_dr6();

    if (!stepped_into_sysenter(regs) && !(dr6 & 0xf))
        fatal_trap(regs, "debug exception in the hypervisor");
    current->debugreg[6] |= dr6 & 0xf;
    regs->eflags |= EFLAGS_RF;
}

/*
 * An NMI comes anywhere, also where this CPU holds console_lock, or any other: it may take none, and
 * so say nothing.
 */
static void nmi(void)
{
    stop_if_told();
    console_note_nmi();
}

static noinline void ring0_trap(struct cpu_user_regs *regs)
{
    switch (regs->entry_vector) {
    case TRAP_debug:
        debug_in_ring0(regs);
        break;
    case TRAP_nmi:
        nmi();
        break;
    case TRAP_machine_check:
        fatal_trap(regs, "machine check");
    default:
        hypervisor_fault(regs);
    }
}

/* The #PF is at an address of ours. */
static noinline void fault_beyond_guest(uint32_t cr2, struct cpu_user_regs *regs)
{
    uint32_t offset = cr2 - LDT_WINDOW(this_cpu->id);

    /*
     * The processor was reading a descriptor: show the page, or tell the guest at which of its own
     * addresses.
     */
    if (offset < GUEST_LDT_PAGES * PAGE_SIZE) {
        if (fault_in_ldt_page(offset))
            return;
        cr2 = current->ldt_base + offset;
    }
    inject_page_fault(cr2, regs->error_code);
}

/* A write to a present page of the guest's: one of its page tables? */
static noinline void write_fault(uint32_t cr2, struct cpu_user_regs *regs)
{
    if (!emulate_pagetable_write(cr2, regs))
        inject_page_fault(cr2, regs->error_code);
}

static inline void sort_page_fault(uint32_t cr2, struct cpu_user_regs *regs)
{
    if (unlikely(cr2 >= HYPERVISOR_START))
        fault_beyond_guest(cr2, regs);
    else if (regs->error_code == (PF_PRESENT | PF_WRITE))
        write_fault(cr2, regs);
    else
        inject_page_fault(cr2, regs->error_code);
}

/* Perhaps the entry is missing in the shadow only. */
static noinline void watched_page_fault(uint32_t cr2, struct cpu_user_regs *regs)
{
    if (!watch_page_fault(cr2, regs))
        sort_page_fault(cr2, regs);
}

/* #PF from a guest: each way is a jump, for most of Linux's faults come here. */
static inline void guest_page_fault(struct cpu_user_regs *regs)
{
    uint32_t cr2 = read_cr2();

    if (anybody_watched())
        watched_page_fault(cr2, regs);
    else
        sort_page_fault(cr2, regs);
}

/*
 * walk 15: A virtual IDT
 *
 * Claim: The guest has an IDT of its own, as a table of (vector, DPL, cs, address) it gave us; the
 * real one never leads to it. So INT n from a guest meets a real gate with DPL 0 and arrives as
 * #GP, whose error code names the vector and has the IDT bit set (SDM vol. 3, figure 6-7). Then the
 * guest's DPL decides, by the processor's rule, and eip moves behind the two bytes, because INT n
 * is a trap and #GP a fault. An error code of 0 is more often a privileged instruction, which may
 * be carried out for the guest.
 * Without it: A program in ring 3 could call its kernel's page-fault handler with INT 14.
 * Shown by: tests/guests/rings/rings/main.c::test_gates, tests/guests/rings/runtime/main.c::test_exceptions
 */
/*
 * #GP from a guest. With the IDT bit, it was `int n` through a gate the ring may not use: all of
 * ours. Its own trap table decides whether it may. An error code of 0 is often a privileged
 * instruction.
 */
static void guest_general_protection(struct cpu_user_regs *regs)
{
    struct vcpu *v = current;
    unsigned error = regs->error_code;

    if ((error & (ERROR_IDT | ERROR_EXT)) == ERROR_IDT) {
        const struct trap_info *t = &v->traps[(error >> 3) & 0xff];

        if (t->address && TI_GET_DPL(t) >= regs_ring(regs)) {
            regs->eip += 2; /* CD nn */
            inject_software_interrupt(error >> 3 & 0xff);
            return;
        }
    } else if (!error) {
        if (emulate_privileged(regs))
            return;
    }
    inject_exception(TRAP_gp_fault, error);
}

/*
 * #NM: the FPU's registers are somebody else's, or the guest itself set (virtual) CR0.TS and wants
 * to know.
 */
static void guest_no_device(void)
{
    struct vcpu *v = current;

    fpu_restore(v);
    if (v->cr0_ts) {
        v->cr0_ts = 0;
        inject_exception(TRAP_no_device, NO_ERROR_CODE);
    }
}

static void guest_debug(void)
{
    current->debugreg[6] |= take_dr6();
    inject_exception(TRAP_debug, NO_ERROR_CODE);
}

static noinline void guest_trap(struct cpu_user_regs *regs)
{
    switch (regs->entry_vector) {
    case TRAP_gp_fault:
        guest_general_protection(regs);
        break;
    case TRAP_no_device:
        guest_no_device();
        break;
    case TRAP_invalid_op:
        if (!emulate_forced_cpuid(regs))
            inject_exception(TRAP_invalid_op, NO_ERROR_CODE);
        break;
    case TRAP_debug:
        guest_debug();
        break;
    case TRAP_nmi:
        nmi();
        break;
    case TRAP_machine_check:
        fatal_trap(regs, "machine check");
    case TRAP_stack_error:
        if (regs->error_code || !emulate_stack_fault(regs))
            inject_exception(TRAP_stack_error, regs->error_code);
        break;
    case TRAP_invalid_tss:
    case TRAP_no_segment:
    case TRAP_alignment_check:
        inject_exception(regs->entry_vector, regs->error_code);
        break;
    default:
        inject_exception(regs->entry_vector, NO_ERROR_CODE);
    }
}

/* Every vector but the hypercall's. `regs` is the frame entry.S drew. Interrupts are off. */
asmlinkage void do_trap(struct cpu_user_regs *regs)
{
    /* The most frequent one first. */
    if (likely(regs->entry_vector == TRAP_page_fault && regs_from_guest(regs)))
        guest_page_fault(regs);
    else if (regs->entry_vector >= 32)
        interrupt(regs);
    else if (regs_from_guest(regs))
        guest_trap(regs);
    else
        ring0_trap(regs);
}
