/* SPDX-License-Identifier: MIT */
/*
 * callbacks.c: where a guest kernel wants to be entered: its trap table, its stack, its event,
 * failsafe and other callbacks.
 *
 * Every code selector is checked when it is registered: it can never be one of the hypervisor's own
 * (traps/descriptor.c), so no gate or frame made from it leads into ring 0.
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/sched.h>
#include <ringlet/traps.h>
#include <xen/callback.h>
#include <xen/nmi.h>

/*
 * HYPERVISOR_set_trap_table: entries up to one with address 0 (xen/arch-x86/xen.h). A null pointer
 * clears the table. Entries before a bad one stay set. A long list continues where it was.
 */
asmlinkage long do_set_trap_table(const struct trap_info *guest_traps)
{
    struct vcpu *v = current;
    struct trap_info t;
    long rc = 0;

    if (!guest_traps) {
        memset(v->traps, 0, sizeof(v->traps));
        set_int80_gate(v);
        return 0;
    }
    for (unsigned n = 1;; n++, guest_traps++) {
        if (copy_from_guest(&t, guest_traps, sizeof(t))) {
            rc = -EFAULT;
            break;
        }
        if (!t.address)
            break;
        if (!fixup_guest_code_selector(&t.cs)) {
            rc = -EINVAL;
            break;
        }
        v->traps[t.vector] = t;
        if (n % 128 == 0 && preempt_needed()) {
            rc = hypercall_continue(__HYPERVISOR_set_trap_table, 1, guest_traps + 1);
            break;
        }
    }
    set_int80_gate(v);
    return rc;
}
HYPERCALL(set_trap_table);

static noinline long set_kernel_stack(uint16_t sel, uint32_t esp)
{
    struct vcpu *v = current;

    if (!fixup_guest_stack_selector(&sel))
        return -EINVAL;
    v->kernel_ss = this_cpu->tss.ss1 = sel;
    v->kernel_sp = this_cpu->tss.esp1 = esp;
    return 0;
}

/*
 * HYPERVISOR_stack_switch: the stack for entries from ring 3, also by the direct gate of `int
 * $0x80`. A kernel changes esp at each switch of processes, and ss never (RPL 0 stands for 1).
 */
asmlinkage long do_stack_switch(uint32_t ss, uint32_t esp)
{
    struct cpu_info *here = get_cpu_info();

    if (unlikely((ss & 2) || ((ss | 1) & 0xffff) != here->vcpu->kernel_ss))
        return set_kernel_stack(ss, esp);
    here->vcpu->kernel_sp = here->cpu->tss.esp1 = esp;
    return 0;
}
HYPERCALL(stack_switch);

static int set_entry_point(uint32_t *cs_out, uint32_t *eip_out, uint32_t cs, uint32_t eip)
{
    uint16_t sel = cs;

    if (!fixup_guest_code_selector(&sel))
        return -EINVAL;
    *cs_out = sel;
    *eip_out = eip;
    return 0;
}

/* HYPERVISOR_set_callbacks: the old form of callback_op, both at once. */
asmlinkage long do_set_callbacks(uint32_t event_cs, uint32_t event_eip, uint32_t failsafe_cs,
                                 uint32_t failsafe_eip)
{
    struct vcpu *v = current;
    uint16_t sel = failsafe_cs;

    if (!fixup_guest_code_selector(&sel) ||
        set_entry_point(&v->event_cs, &v->event_eip, event_cs, event_eip))
        return -EINVAL;
    return set_entry_point(&v->failsafe_cs, &v->failsafe_eip, failsafe_cs, failsafe_eip);
}
HYPERCALL(set_callbacks);

static int register_callback(const struct callback_register *r)
{
    struct vcpu *v = current;
    bool mask = r->flags & CALLBACKF_mask_events;
    uint32_t cs = r->address.cs, eip = r->address.eip;
    int rc;

    switch (r->type) {
    case CALLBACKTYPE_event:
        return set_entry_point(&v->event_cs, &v->event_eip, cs, eip);
    case CALLBACKTYPE_failsafe:
        rc = set_entry_point(&v->failsafe_cs, &v->failsafe_eip, cs, eip);
        if (!rc)
            v->failsafe_masks_events = mask;
        return rc;
    case CALLBACKTYPE_sysenter:
    case CALLBACKTYPE_sysenter_deprecated:
        rc = set_entry_point(&v->sysenter_cs, &v->sysenter_eip, cs, eip);
        if (!rc)
            v->sysenter_masks_events = mask;
        return rc;
    case CALLBACKTYPE_syscall32:
        /*
         * 32-bit processors' SYSCALL is AMD's alone and off: newer guests insist on an answer of 0
         */
        return 0;
    case CALLBACKTYPE_nmi:
        return set_entry_point(&v->nmi_cs, &v->nmi_eip, cs, eip);
    default:
        return -ENOSYS;
    }
}

static int unregister_callback(uint16_t type)
{
    struct vcpu *v = current;

    switch (type) {
    case CALLBACKTYPE_event:
    case CALLBACKTYPE_failsafe:
    case CALLBACKTYPE_syscall32:
    case CALLBACKTYPE_sysenter:
    case CALLBACKTYPE_sysenter_deprecated:
        return -EINVAL; /* as in Xen: a kernel cannot do without them */
    case CALLBACKTYPE_nmi:
        v->nmi_eip = 0;
        return 0;
    default:
        return -ENOSYS;
    }
}

/* HYPERVISOR_callback_op (xen/callback.h). */
asmlinkage long do_callback_op(int cmd, const void *guest_arg)
{
    struct callback_register r;
    struct callback_unregister u;

    switch (cmd) {
    case CALLBACKOP_register:
        return copy_from_guest(&r, guest_arg, sizeof(r)) ? -EFAULT : register_callback(&r);
    case CALLBACKOP_unregister:
        return copy_from_guest(&u, guest_arg, sizeof(u)) ? -EFAULT : unregister_callback(u.type);
    default:
        return -ENOSYS;
    }
}
HYPERCALL(callback_op);

/* HYPERVISOR_nmi_op (xen/nmi.h): NMIs go to the first vcpu. */
asmlinkage long do_nmi_op(uint32_t cmd, const void *guest_arg)
{
    struct vcpu *v = current;
    struct xennmi_callback cb;

    switch (cmd) {
    case XENNMI_register_callback:
        if (copy_from_guest(&cb, guest_arg, sizeof(cb)))
            return -EFAULT;
        if (v->id != 0)
            return -EINVAL;
        v->nmi_cs = FLAT_RING1_CS;
        v->nmi_eip = cb.handler_address;
        return 0;
    case XENNMI_unregister_callback:
        v->nmi_eip = 0;
        return 0;
    default:
        return -ENOSYS;
    }
}
HYPERCALL(nmi_op);

/*
 * HYPERVISOR_fpu_taskswitch: the guest's CR0.TS. Clear, FPU instructions run (ours is set all the
 * same while the registers are not this vcpu's, and #NM then loads them silently); set, they fault
 * to the guest.
 */
asmlinkage long do_fpu_taskswitch(int set)
{
    struct vcpu *v = current;

    if (set) {
        v->cr0_ts = CR0_TS;
        stts();
    } else {
        v->cr0_ts = 0;
        if (this_cpu->fpu_owner == v)
            clts();
    }
    return 0;
}
HYPERCALL(fpu_taskswitch);
