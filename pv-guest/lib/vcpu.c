/* SPDX-License-Identifier: MIT */
/*
 * Other vcpus: the state one starts with, as a control domain sets that of the first, and its waits
 * for a call.
 *
 * Next: start.S, which is where the first vcpu starts.
 */
#include <pv/vcpu.h>

#include <string.h>

#include <pv/page.h>
#include <pv/start.h>
#include <xen/event_channel.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#define EFLAGS_INTERRUPTS 0x200

int vcpu_start(unsigned int id, void (*entry)(void *data), void *data)
{
    static struct vcpu_guest_context c; /* 2.8 KiB */
    uint32_t *page = page_alloc(), *stack = page + PAGE_SIZE / sizeof(*page) - 2;
    int error;

    memset(&c, 0, sizeof(c));
    stack[1] = (uint32_t)data; /* above the return address, which nobody uses */
    c.flags = VGCF_in_kernel;
    c.user_regs.cs = FLAT_KERNEL_CS;
    c.user_regs.ss = c.user_regs.ds = c.user_regs.es = FLAT_KERNEL_DS;
    c.user_regs.fs = c.user_regs.gs = FLAT_KERNEL_DS;
    c.user_regs.eip = (uint32_t)entry;
    c.user_regs.esp = (uint32_t)stack;
    c.user_regs.eflags = EFLAGS_INTERRUPTS;
    c.kernel_ss = FLAT_KERNEL_SS;
    c.kernel_sp = (uint32_t)stack;
    c.ctrlreg[3] = xen_pfn_to_cr3(base_mfn());
    error = hv_vcpu_op(VCPUOP_initialise, id, &c);
    if (error)
        page_free(page);
    return error ? error : hv_vcpu_op(VCPUOP_up, id, NULL);
}

int vcpu_bind_ipi(unsigned int id)
{
    struct evtchn_bind_ipi op = {.vcpu = id};
    int error = hv_event_channel_op(EVTCHNOP_bind_ipi, &op);

    return error ? error : (int)op.port;
}

/* The port is masked, so nothing is called: its pending bit ends the poll, and is ours to clear. */
void vcpu_wait(evtchn_t port)
{
    struct sched_poll poll = {.nr_ports = 1};

    set_xen_guest_handle(poll.ports, &port);
    hv_sched_op(SCHEDOP_poll, &poll);
    __atomic_fetch_and(&shared_info_page.evtchn_pending[port / 32], ~(1ul << port % 32),
                       __ATOMIC_SEQ_CST);
}
