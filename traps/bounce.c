/* SPDX-License-Identifier: MIT */
/*
 * bounce.c: hand an exception or an event to the guest kernel in ring 1.
 *
 * The frame is the one the processor itself would push on entry to ring 1, on the guest's own
 * stack:
 *
 *      from ring 3 (stack: kernel_ss:kernel_sp)        from ring 1 (stack: where it is)
 *
 *      ss                                              eflags
 *      esp                                             saved upcall mask << 16 | cs
 *      eflags                                          eip
 *      saved upcall mask << 16 | cs                    error code, for vectors that have one
 *      eip
 *      error code, for vectors that have one
 *
 * The same ring pushes no ss:esp, as in the processor (SDM vol. 3, figure 6-4). The real IF is
 * always set while a guest runs; what the guest thinks of as IF is its evtchn_upcall_mask, so the
 * pushed EFLAGS shows IF as the inverse of the mask. Guests' kernel stacks are taken to be flat, as
 * Xen 4.17 takes them.
 *
 * A guest that has no handler, or whose stack cannot take the frame, is ended: there is nobody to
 * tell.
 *
 * Read next: iret.c (the way back).
 */
#include <ringlet/arch.h>
#include <ringlet/guest_access.h>
#include <ringlet/mm.h>
#include <ringlet/traps.h>

/* Words of the longest frame: ss, esp, eflags, cs, eip and an error code, or four selectors. */
#define MAX_FRAME_WORDS 9

/* Where the guest is to go on. */
struct target {
    uint32_t cs, eip;
};

/* Nothing can be told to a guest whose stack takes no frame. */
static noinline bool stack_fault(struct vcpu *v, const struct cpu_user_regs *regs, const void *sp)
{
    domain_crash(v->domain, "no room for a frame on the guest's stack at %04x:%p",
                 regs_ring(regs) != 1 ? v->kernel_ss : regs->ss, sp);
    return false;
}

/*
 * The IOPL that a frame shows: the real one is always 0, and so it is shown, but to a guest that
 * asked for the architecture's meaning of it.
 */
static inline uint32_t shown_iopl(const struct vcpu *v)
{
    if (likely(!(v->domain->vm_assist & (1u << VMASST_TYPE_architectural_iopl))))
        return 0;
    return v->iopl << 12;
}

/*
 * walk 14: The bounce frame: same ring and across rings
 *
 * Claim: An exception enters ring 0 first, though it may be the guest's own affair. Then the
 * hypervisor plays processor: it writes the frame that a real gate to ring 1 would have pushed.
 * From ring 3 the ring changes, so the frame goes to the kernel's stack and holds ss:esp; from ring
 * 1 it does not, so the frame goes below the interrupted esp and holds three words (SDM vol. 3,
 * figure 6-4). Two words tell of the guest's virtual interrupt flag: EFLAGS.IF shows the inverse of
 * the event mask, and bits 16-23 of the cs slot hold the mask itself.
 * Without it: A frame with ss:esp in the same ring would shift every word the handler reads, and
 * its IRET, which pops no ss:esp without a change of ring, would leave two words on the stack.
 * Shown by: tests/system/test_gdb.py::test_guest_cli,
 * tests/system/test_bochs_debug.py::test_cli_script,
 * tests/system/test_bochs_debug.py::test_syscall_script
 */
/*
 * Push the frame, below it `n` words of `extra` (the first one lowest), and make the registers
 * continue at `to`. Flags that would disturb the handler are cleared as by a real gate: TF, NT, RF,
 * VM. The words are written one by one, straight to the guest: this is the way of every page fault.
 */
static inline __attribute__((always_inline)) bool enter_guest(struct vcpu *v,
                                                              struct cpu_user_regs *regs,
                                                              struct target to,
                                                              const uint32_t *extra, unsigned n)
{
    uint32_t mask = v->info->evtchn_upcall_mask, eflags = regs->eflags;
    bool inner = regs_ring(regs) != 1;
    uint32_t *sp = (uint32_t *)(inner ? v->kernel_sp : regs->esp);
    uint32_t frame[3] = {regs->eip, mask << 16 | regs->cs,
                         (mask ? eflags & ~EFLAGS_IF : eflags) | shown_iopl(v)};

    if (unlikely(!guest_range_ok(sp - MAX_FRAME_WORDS, MAX_FRAME_WORDS * sizeof(*sp))))
        return stack_fault(v, regs, sp);
    if (inner) {
        uint32_t outer[2] = {regs->esp, regs->ss};

        sp -= 2;
        if (unlikely(!put_guest_words(sp, outer, 2)))
            return stack_fault(v, regs, sp);
    }
    sp -= 3 + n;
    if (unlikely(!put_guest_words(sp + n, frame, 3) || !put_guest_words(sp, extra, n)))
        return stack_fault(v, regs, sp);
    if (inner)
        regs->ss = v->kernel_ss;
    regs->esp = (uint32_t)sp;
    regs->cs = to.cs;
    regs->eip = to.eip;
    regs->eflags = eflags & ~(EFLAGS_TF | EFLAGS_NT | EFLAGS_RF | EFLAGS_VM);
    return true;
}

static noinline void no_handler(struct vcpu *v, unsigned vector, int error_code)
{
    domain_crash(v->domain, "no handler for vector %u (error code %x) at %04x:%08x", vector,
                 error_code, guest_regs()->cs, guest_regs()->eip);
}

static inline __attribute__((always_inline)) void bounce(unsigned vector, int error_code,
                                                         unsigned words)
{
    struct vcpu *v = current;
    const struct trap_info *t = &v->traps[vector];
    struct target to = {t->cs, t->address};
    uint32_t error = error_code;

    if (unlikely(!to.eip))
        no_handler(v, vector, error_code);
    else if (enter_guest(v, guest_regs(), to, &error, words) && TI_GET_IF(t))
        v->info->evtchn_upcall_mask = 1;
}

/* An exception; error_code is NO_ERROR_CODE for vectors without one. */
void inject_exception(unsigned vector, int error_code)
{
    if (error_code == NO_ERROR_CODE)
        bounce(vector, 0, 0);
    else
        bounce(vector, error_code, 1);
}

/* A page fault at a linear address of the guest's. */
void inject_page_fault(uint32_t address, unsigned error_code)
{
    current->info->arch.cr2 = address;
    bounce(TRAP_page_fault, error_code, 1);
}

/*
 * `int n`: the caller has checked that the guest lets this ring call the vector, and advanced eip.
 */
void inject_software_interrupt(unsigned vector)
{
    bounce(vector, 0, 0);
}

/* An NMI, by traps/nmi.c. */
void bounce_nmi(void)
{
    struct vcpu *v = current;

    enter_guest(v, guest_regs(), (struct target){v->nmi_cs, v->nmi_eip}, NULL, 0);
}

/*
 * SYSENTER. Its frame is as from ring 3, wherever it came from, on the kernel's stack: see
 * entry.S. A guest without a callback gets #GP.
 */
void inject_sysenter(struct cpu_user_regs *regs)
{
    struct vcpu *v = current;
    struct target to = {v->sysenter_cs, v->sysenter_eip};

    if (!to.eip)
        inject_exception(TRAP_gp_fault, 0);
    else if (enter_guest(v, regs, to, NULL, 0) && v->sysenter_masks_events)
        v->info->evtchn_upcall_mask = 1;
}

/*
 * Events are pending and not masked, and the vcpu is about to go back to the guest: enter its event
 * callback first, with events masked. Called from entry.S. A guest without a callback is left
 * alone.
 */
asmlinkage void deliver_pending_events(void)
{
    struct vcpu *v = current;
    struct target to = {v->event_cs, v->event_eip};

    if (to.eip && enter_guest(v, guest_regs(), to, NULL, 0))
        v->info->evtchn_upcall_mask = 1;
}

/*
 * The guest cannot be returned to: a data segment selector would not load, or IRET faulted. It is
 * told through its failsafe callback, whose frame has the four data segment selectors below the
 * usual one, ds lowest; they are null on entry. Called from entry.S and from a vcpu switch.
 */
asmlinkage void deliver_failsafe(uint32_t ds, uint32_t es, uint32_t fs, uint32_t gs)
{
    struct vcpu *v = current;
    struct cpu_user_regs *regs = guest_regs();
    const uint32_t selectors[4] = {ds & 0xffff, es & 0xffff, fs & 0xffff, gs & 0xffff};
    struct target to = {v->failsafe_cs, v->failsafe_eip};

    /*
     * Returning to the callback itself failed: trying again would go on for as long as the guest's
     * stack lasts.
     */
    if (!to.eip || (regs->eip == to.eip && regs->cs == to.cs)) {
        domain_crash(v->domain,
                     "cannot return to the guest at %04x:%08x, ss %04x, ds %04x, es %04x", regs->cs,
                     regs->eip, regs->ss, ds, es);
        return;
    }
    if (!enter_guest(v, regs, to, selectors, 4))
        return;
    regs->ds = regs->es = 0;
    __asm__ volatile("movl %0, %%fs\n\tmovl %0, %%gs" : : "r"(0));
    if (v->failsafe_masks_events)
        v->info->evtchn_upcall_mask = 1;
}
