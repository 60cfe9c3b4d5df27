/* SPDX-License-Identifier: MIT */
/*
 * The other vcpus: each waits for its IPI, answers by one to vcpu 0, and waits again. A question
 * that is not answered has lost an event on its way: then vcpu 0 waits for ever.
 *
 * Next: peer.c.
 */
#include <stddef.h>

#include <pv/start.h>
#include <pv/vcpu.h>
#include <xen/vcpu.h>

#include "life.h"

#define MAX_WORKERS 7

static struct worker {
    evtchn_t port; /* its IPI */
    volatile uint32_t asked, answered;
} workers[MAX_WORKERS];

static evtchn_t answer_port; /* vcpu 0's */
static unsigned int count;

/* The vcpus shall go down together, and these are about to. */
static volatile bool all_leave;
static volatile uint32_t leaving;

static void __attribute__((noreturn)) go_down(unsigned int self)
{
    __atomic_fetch_add(&leaving, 1, __ATOMIC_SEQ_CST);
    while (leaving != count + 1)
        ;
    for (;;)
        hv_vcpu_op(VCPUOP_down, self, NULL);
}

static void work(void *data)
{
    struct worker *w = data;

    for (;;) {
        vcpu_wait(w->port);
        if (all_leave)
            go_down(w - workers + 1);
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
        int call = vcpu_bind_ipi(count + 1);

        if (call < 0)
            break; /* there is no such vcpu */
        workers[count].port = call;
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

void workers_down(void)
{
    all_leave = true;
    for (unsigned int i = 0; i < count; i++)
        event_send(workers[i].port);
    go_down(0);
}
