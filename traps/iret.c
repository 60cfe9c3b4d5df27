/* SPDX-License-Identifier: MIT */
/*
 * iret.c: HYPERVISOR_iret: return from a bounce frame and set the upcall mask in one step, which a
 * plain IRET in ring 1 cannot do: it ignores IF there (SDM vol. 2, IRET: IF changes only if CPL <=
 * IOPL).
 *
 * The stub of the hypercall page pushes eax and is jumped to, so the guest's stack holds
 *
 *      esp -> eax   eip   cs   eflags   [esp   ss]      the last two only for a return to ring 3
 *
 * EFLAGS.IF becomes the inverse of the upcall mask; what the high half of the cs slot says is not
 * looked at (4.2 do_iret). EFLAGS.IOPL counts for guests with the architecture's meaning of it
 * alone (VMASST_TYPE_architectural_iopl): the frames of all others show the real one, which is 0.
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/traps.h>

/*
 * walk 23: IRET that ignores IF
 *
 * Claim: IRET and POPF change IF only if CPL <= IOPL, and IOPL only at CPL 0 (SDM vol. 2). In ring
 * 1 with IOPL 0 both execute without a fault and leave IF as it was. They do not trap, so nobody
 * could emulate them: here the architecture cannot be virtualised, and a guest must know. Its
 * interrupt flag is a byte in shared memory instead, and where flag and return must change in one
 * step, it makes this hypercall. What it brings is not trusted: ring 0 and virtual-8086 mode end
 * the domain, other flags are sanitised.
 * Without it: With a plain IRET alone a kernel would return from an interrupt with its events still
 * masked, or clear the mask one instruction early and be interrupted on a stack it is leaving.
 * Shown by: tests/guests/rings/rings/main.c::test_popf, tests/system/test_labs.py::test_lab_6
 */
asmlinkage long do_iret(void)
{
    struct vcpu *v = current;
    struct cpu_user_regs *regs = guest_regs();
    const uint32_t *stack = (const uint32_t *)regs->esp;
    uint32_t w[4], outer[2];

    if (!guest_range_ok(stack, 16) || !get_guest_words4(w, stack))
        goto bad_stack;
    if ((w[2] & 3) == 0 || (w[3] & EFLAGS_VM)) {
        domain_crash(v->domain, "iret to ring 0 or virtual-8086 mode: cs %04x eflags %08x",
                     w[2] & 0xffff, w[3]);
        return 0;
    }
    if ((w[2] & 3) != 1) {
        if (copy_from_guest(outer, stack + 4, sizeof(outer)))
            goto bad_stack;
        regs->esp = outer[0];
        regs->ss = outer[1];
    } else {
        regs->esp += 16;
    }
    regs->eip = w[1];
    regs->cs = w[2];
    regs->eflags = sanitise_eflags(w[3]);
    if (v->domain->vm_assist & (1u << VMASST_TYPE_architectural_iopl))
        v->iopl = w[3] >> 12 & 3;
    v->nmi_masked = false;
    nmi_recheck(v);
    v->info->evtchn_upcall_mask = !(w[3] & EFLAGS_IF);
    /*
     * entry.S stores what we return into eax; a multicall that holds the iret returns it in its
     * turn.
     */
    this_cpu->iret_eax = w[0];
    return w[0];

bad_stack:
    domain_crash(v->domain, "iret: the stack at %08x cannot be read", regs->esp);
    return 0;
}
HYPERCALL(iret);
