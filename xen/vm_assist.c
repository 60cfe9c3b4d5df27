/* SPDX-License-Identifier: MIT */
/*
 * vm_assist.c: a guest switches on or off what the hypervisor does beyond the plain ABI. Public
 * header: xen/xen.h, VMASST_*. The bits are read where they matter: traps/segments_4gb.c,
 * mm/ptwr.c, mm/baseptr.c, xen/sched.c.
 */
#include <ringlet/domain.h>
#include <ringlet/hypercall.h>

/* -EINVAL: no such assist; -ENOSYS: no such command. */
asmlinkage long do_vm_assist(uint32_t cmd, uint32_t type)
{
    struct domain *d = current->domain;

    if (cmd != VMASST_CMD_enable && cmd != VMASST_CMD_disable)
        return -ENOSYS;
    if (type >= 32 || !(VM_ASSIST_VALID & (1u << type)))
        return -EINVAL;
    if (cmd == VMASST_CMD_enable)
        __atomic_fetch_or(&d->vm_assist, 1u << type, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&d->vm_assist, ~(1u << type), __ATOMIC_SEQ_CST);
    if (type == VMASST_TYPE_pae_extended_cr3)
        d->l3_above_4g = cmd == VMASST_CMD_enable;
    return 0;
}
HYPERCALL(vm_assist);
