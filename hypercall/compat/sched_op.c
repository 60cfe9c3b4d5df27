/* SPDX-License-Identifier: MIT */
/*
 * sched_op.c: sched_op as it was before Xen 3.0.2: the reason of a shutdown is an immediate argument,
 * and there are three commands.
 */
#include <ringlet/domain.h>
#include <ringlet/hypercall.h>
#include <xen/sched.h>

asmlinkage long do_sched_op_compat(int cmd, uint32_t arg)
{
    switch (cmd) {
    case SCHEDOP_yield:
    case SCHEDOP_block:
        return do_sched_op(cmd, NULL);
    case SCHEDOP_shutdown:
        domain_shutdown(current->domain, arg & 0xff);
        return 0;
    default:
        return -ENOSYS;
    }
}
HYPERCALL(sched_op_compat);
