/* SPDX-License-Identifier: MIT */
/*
 * XSA-317: what happens when the event channels are all in use.
 *
 * A 32-bit guest has 1024 ports in the old ABI. Xen's allocation reported the end of them in a way
 * a caller took for a port number, and wrote to the structure of a port that did not exist.
 *
 * This guest opens channels of each kind until it is refused. The refusal must be -ENOSPC from then
 * on and for every kind; every port given must be below 1024, and all can be closed and opened
 * again.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <pv/event.h>

#define PORTS 1024

static uint32_t opened[PORTS];
static domid_t self;

static long open_unbound(uint32_t *port)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = self};
    long rc = hv_event_channel_op(EVTCHNOP_alloc_unbound, &op);

    *port = op.port;
    return rc;
}

static long open_ipi(uint32_t *port)
{
    struct evtchn_bind_ipi op = {.vcpu = 0};
    long rc = hv_event_channel_op(EVTCHNOP_bind_ipi, &op);

    *port = op.port;
    return rc;
}

/* To an unbound port of one's own: takes a second port. */
static long open_interdomain(uint32_t *port)
{
    struct evtchn_bind_interdomain op = {.remote_dom = self, .remote_port = opened[0]};
    long rc = hv_event_channel_op(EVTCHNOP_bind_interdomain, &op);

    *port = op.local_port;
    return rc;
}

static long open_virq(uint32_t *port)
{
    struct evtchn_bind_virq op = {.virq = VIRQ_DEBUG, .vcpu = 0};
    long rc = hv_event_channel_op(EVTCHNOP_bind_virq, &op);

    *port = op.port;
    return rc;
}

static uint32_t fill(uint32_t *highest, long *error)
{
    uint32_t count = 0, port = 0;

    for (*highest = 0; count < PORTS; count++) {
        *error = (count & 1 ? open_ipi : open_unbound)(&port);
        if (*error)
            break;
        opened[count] = port;
        if (port > *highest)
            *highest = port;
    }
    return count;
}

static uint32_t close_all(uint32_t count)
{
    uint32_t failed = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct evtchn_close op = {.port = opened[i]};

        failed += hv_event_channel_op(EVTCHNOP_close, &op) != 0;
    }
    return failed;
}

int main(void)
{
    uint32_t highest, port, first = 0, count;
    long error;

    self = own_domid();
    for (int round = 1; round <= 2; round++) {
        count = fill(&highest, &error);
        if (round == 1)
            first = count;
        tap_ok(count > 900 && count < PORTS, "round %d: %u channels", round, (unsigned int)count);
        tap_is(count, first, "as many as in the first round");
        tap_ok(highest < PORTS, "the highest is %u", (unsigned int)highest);
        tap_is(error, -XEN_ENOSPC, "then there is no space");
        tap_is(open_unbound(&port), -XEN_ENOSPC, "not for an unbound one");
        tap_is(open_ipi(&port), -XEN_ENOSPC, "nor for one to oneself");
        tap_is(open_interdomain(&port), -XEN_ENOSPC, "nor for one to another");
        tap_is(open_virq(&port), -XEN_ENOSPC, "nor for a VIRQ");
        tap_is(close_all(count), 0, "all are closed");
    }
    tap_audit();
    tap_done();
}
