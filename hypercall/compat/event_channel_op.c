/* SPDX-License-Identifier: MIT */
/*
 * compat.c: event_channel_op as it was before Xen 3.0.3: one argument, a struct holding the command
 * and its argument.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <xen/event_channel.h>

/* Operations that came later are unknown here. */
asmlinkage long do_event_channel_op_compat(void *guest_op)
{
    struct evtchn_op *op = guest_op;
    uint32_t cmd;

    if (!guest_range_ok(op, sizeof(*op)) || copy_from_guest(&cmd, &op->cmd, sizeof(cmd)))
        return -EFAULT;
    if (cmd > EVTCHNOP_unmask)
        return -ENOSYS;
    return do_event_channel_op(cmd, &op->u);
}
HYPERCALL(event_channel_op_compat);
