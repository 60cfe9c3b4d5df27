/* SPDX-License-Identifier: MIT */
/*
 * The other vcpus: each waits for its IPI, answers by one to vcpu 0, and waits again. A question
 * that is not answered has lost an event on its way: then vcpu 0 waits for ever.
 *
 * Next: peer.c.
 */
#include <stddef.h>

#include <pv/hypercall.h>
#include <pv/start.h>
#include <pv/vcpu.h>
#include <xen/event_channel.h>
#include <xen/sched.h>

#include "life.h"

#define MAX_WORKERS 7

static struct worker {
    evtchn_t port; /* its IPI */
    volatile uint32_t asked, answered;
} workers[MAX_WORKERS];

static evtchn_t answer_port; /* vcpu 0's */
static unsigned int count;

/* Its upcalls stay masked and so does its port: what ends the wait is the poll itself. */
static void work(void *data)
{
    struct worker *w = data;
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
        if (vcpu_start(count + 1, work, &workers[count]) != 0)
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
