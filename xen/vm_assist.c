/* SPDX-License-Identifier: MIT */
/*
 * vm_assist.c: a guest switches on or off what the hypervisor does beyond the plain ABI. Public
 * header: xen/xen.h, VMASST_*. The bits are read where they matter: mm/ptwr.c,
 * mm/baseptr.c, xen/sched.c, and in the modules that register an assist.
 */
#include <ringlet/domain.h>
#include <ringlet/emulate.h>
#include <ringlet/hypercall.h>

/* The assists a guest may ask for (VMASST_TYPE_* of xen/xen.h), as bits. */
uint32_t valid_vm_assists(void)
{
    uint32_t valid = 1u << VMASST_TYPE_writable_pagetables | 1u << VMASST_TYPE_pae_extended_cr3 |
                     1u << VMASST_TYPE_architectural_iopl | 1u << VMASST_TYPE_runstate_update_flag;
    const struct segment_assist *assist;

    for_each_record(segment_assist, assist) valid |=
        1u << assist->enabled_by | 1u << assist->option;
    return valid;
}

/* -EINVAL: no such assist; -ENOSYS: no such command. */
asmlinkage long do_vm_assist(uint32_t cmd, uint32_t type)
{
    struct domain *d = current->domain;

    if (cmd != VMASST_CMD_enable && cmd != VMASST_CMD_disable)
        return -ENOSYS;
    if (type >= 32 || !(valid_vm_assists() & (1u << type)))
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
