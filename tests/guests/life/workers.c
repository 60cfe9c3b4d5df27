/* SPDX-License-Identifier: MIT */
/*
 * The other vcpus: each waits for its IPI, answers by one to vcpu 0, and waits again. A question
 * that is not answered has lost an event on its way: then vcpu 0 waits for ever.
 *
 * Next: peer.c.
 */
#include <string.h>

#include <pv/hypercall.h>
#include <pv/page.h>
#include <pv/start.h>
#include <xen/event_channel.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#include "life.h"

#define MAX_WORKERS 7
#define EFLAGS_INTERRUPTS 0x200

static struct worker {
    evtchn_t port; /* its IPI */
    volatile uint32_t asked, answered;
} workers[MAX_WORKERS];

static evtchn_t answer_port; /* vcpu 0's */
static unsigned int count;

/* Its upcalls stay masked and so does its port: what ends the wait is the poll itself. */
static void __attribute__((noreturn)) work(struct worker *w)
{
    evtchn_port_t port = w->port;
    struct sched_poll poll = {.nr_ports = 1};

    set_xen_guest_handle(poll.ports, &port);
    for (;;) {
        hv_sched_op(SCHEDOP_poll, &poll);
        __atomic_fetch_and(&shared_info_page.evtchn_pending[port / 32], ~(1ul << port % 32),
                           __ATOMIC_SEQ_CST);
        if (w->answered != w->asked) {
            w->answered = w->asked;
            event_send(answer_port);
        }
    }
}

/* A vcpu that starts in work(w), with a page for a stack: a return address that is never used. */
static int start(unsigned int vcpu_id, struct worker *w)
{
    static struct vcpu_guest_context c; /* 2.8 KiB */
    uint32_t *stack = (uint32_t *)((char *)page_alloc() + PAGE_SIZE) - 2;

    memset(&c, 0, sizeof(c));
    stack[1] = (uint32_t)w;
    c.flags = VGCF_in_kernel;
    c.user_regs.cs = FLAT_KERNEL_CS;
    c.user_regs.ss = c.user_regs.ds = c.user_regs.es = FLAT_KERNEL_DS;
    c.user_regs.fs = c.user_regs.gs = FLAT_KERNEL_DS;
    c.user_regs.eip = (uint32_t)work;
    c.user_regs.esp = (uint32_t)stack;
    c.user_regs.eflags = EFLAGS_INTERRUPTS;
    c.kernel_ss = FLAT_KERNEL_SS;
    c.kernel_sp = (uint32_t)stack;
    c.ctrlreg[3] = xen_pfn_to_cr3(base_mfn());
    return hv_vcpu_op(VCPUOP_initialise, vcpu_id, &c);
}

unsigned int workers_start(void)
{
    int port = event_bind_ipi(NULL, NULL);

    if (port < 0)
        panic("no port for answers");
    answer_port = port;
    for (; count < MAX_WORKERS; count++) {
        struct evtchn_bind_ipi op = {.vcpu = count + 1};

        if (hv_event_channel_op(EVTCHNOP_bind_ipi, &op) != 0)
            break; /* there is no such vcpu */
        workers[count].port = op.port;
        if (start(count + 1, &workers[count]) != 0 || hv_vcpu_op(VCPUOP_up, count + 1, NULL) != 0)
            panic("vcpu %u does not start", count + 1);
    }
    return count;
}

void worker_ask(unsigned int worker)
{
    struct worker *w = &workers[worker];

    w->asked++;
    event_send(w->port);
    for (events_off(); w->answered != w->asked; events_off())
        events_wait();
    events_on();
}
