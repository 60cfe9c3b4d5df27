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

#define MAX_FRAME_WORDS 10

/* The words of a frame, pushed from the end of the array downwards. */
struct frame_words {
    uint32_t w[MAX_FRAME_WORDS];
    unsigned first;
};

static inline void push(struct frame_words *f, uint32_t value)
{
    f->w[--f->first] = value;
}

/*
 * walk 11: The bounce frame: same ring and across rings
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
/* What the processor pushes by itself, in its order; returns the stack pointer it pushes at. */
static inline uint32_t push_return_frame(struct frame_words *f, const struct vcpu *v,
                                         const struct cpu_user_regs *regs)
{
    uint8_t mask = v->info->evtchn_upcall_mask;
    uint32_t esp = regs->esp;

    f->first = MAX_FRAME_WORDS;
    if (regs_ring(regs) != 1) {
        push(f, regs->ss);
        push(f, regs->esp);
        esp = v->kernel_sp;
    }
    push(f, (regs->eflags & ~EFLAGS_IF) | (mask ? 0 : EFLAGS_IF));
    push(f, (uint32_t)mask << 16 | regs->cs);
    push(f, regs->eip);
    return esp;
}

/*
 * Write the frame below `esp` and make the registers continue at cs:eip in ring 1. Flags that would
 * disturb the handler are cleared as by a real gate: TF, NT, RF, VM.
 */
static bool enter_guest_handler(struct vcpu *v, struct cpu_user_regs *regs,
                                const struct frame_words *f, uint32_t esp, uint32_t cs,
                                uint32_t eip)
{
    uint32_t bytes = (MAX_FRAME_WORDS - f->first) * 4;

    esp -= bytes;
    if (!guest_range_ok((void *)esp, bytes) ||
        raw_copy_words_to_guest((void *)esp, &f->w[f->first], bytes)) {
        domain_crash(v->domain, "no room for a frame on the guest's stack at %04x:%08x",
                     regs_ring(regs) != 1 ? v->kernel_ss : regs->ss, esp);
        return false;
    }
    if (regs_ring(regs) != 1)
        regs->ss = v->kernel_ss;
    regs->esp = esp;
    regs->cs = cs;
    regs->eip = eip;
    regs->eflags &= ~(EFLAGS_TF | EFLAGS_NT | EFLAGS_RF | EFLAGS_VM);
    return true;
}

static void bounce(unsigned vector, int error_code)
{
    struct vcpu *v = current;
    struct cpu_user_regs *regs = guest_regs();
    const struct trap_info *t = &v->traps[vector];
    struct frame_words f;
    uint32_t esp;

    if (unlikely(!t->address)) {
        domain_crash(v->domain, "no handler for vector %u (error code %x) at %04x:%08x", vector,
                     error_code, regs->cs, regs->eip);
        return;
    }
    esp = push_return_frame(&f, v, regs);
    if (error_code != NO_ERROR_CODE)
        push(&f, error_code);
    if (enter_guest_handler(v, regs, &f, esp, t->cs, t->address) && TI_GET_IF(t))
        v->info->evtchn_upcall_mask = 1;
}

/* An exception; error_code is NO_ERROR_CODE for vectors without one. */
void inject_exception(unsigned vector, int error_code)
{
    bounce(vector, error_code);
}

/* A page fault at a linear address of the guest's. */
void inject_page_fault(uint32_t address, unsigned error_code)
{
    current->info->arch.cr2 = address;
    bounce(TRAP_page_fault, error_code);
}

/*
 * `int n`: the caller has checked that the guest lets this ring call the vector, and advanced eip.
 */
void inject_software_interrupt(unsigned vector)
{
    bounce(vector, NO_ERROR_CODE);
}

/* An NMI, by traps/nmi.c. */
void bounce_nmi(void)
{
    struct vcpu *v = current;
    struct cpu_user_regs *regs = guest_regs();
    struct frame_words f;
    uint32_t esp = push_return_frame(&f, v, regs);

    enter_guest_handler(v, regs, &f, esp, v->nmi_cs, v->nmi_eip);
}

/*
 * Events are pending and not masked, and the vcpu is about to go back to the guest: enter its event
 * callback first, with events masked. Called from entry.S. A guest without a callback is left
 * alone.
 */
asmlinkage void deliver_pending_events(void)
{
    struct vcpu *v = current;
    struct cpu_user_regs *regs = guest_regs();
    struct frame_words f;
    uint32_t esp;

    if (!v->event_eip)
        return;
    esp = push_return_frame(&f, v, regs);
    if (enter_guest_handler(v, regs, &f, esp, v->event_cs, v->event_eip))
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
    struct frame_words f;
    uint32_t esp;

    /*
     * Returning to the callback itself failed: trying again would go on for as long as the guest's
     * stack lasts.
     */
    if (!v->failsafe_eip || (regs->eip == v->failsafe_eip && regs->cs == v->failsafe_cs)) {
        domain_crash(v->domain,
                     "cannot return to the guest at %04x:%08x, ss %04x, ds %04x, es %04x", regs->cs,
                     regs->eip, regs->ss, ds, es);
        return;
    }
    esp = push_return_frame(&f, v, regs);
    push(&f, gs & 0xffff);
    push(&f, fs & 0xffff);
    push(&f, es & 0xffff);
    push(&f, ds & 0xffff);
    if (!enter_guest_handler(v, regs, &f, esp, v->failsafe_cs, v->failsafe_eip))
        return;
    regs->ds = regs->es = 0;
    __asm__ volatile("movl %0, %%fs\n\tmovl %0, %%gs" : : "r"(0));
    if (v->failsafe_masks_events)
        v->info->evtchn_upcall_mask = 1;
}
