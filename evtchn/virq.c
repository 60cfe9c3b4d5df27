/* SPDX-License-Identifier: MIT */
/*
 * virq.c: events the hypervisor itself sends: virtual IRQs (timer, console, a domain's end).
 *
 * A VIRQ is bound to a port of the vcpu it is for; global ones to a port of vcpu 0, from where
 * EVTCHNOP_bind_vcpu may move them. v->virq_port tells the port. It is kept under a lock of its
 * own, low in the order, so that a VIRQ can be sent from nearly anywhere, and never to a port that
 * was closed meanwhile and means something else now.
 */
#include <ringlet/ports.h>

/* Which VIRQs are one a domain and not one a vcpu: the list in xen/xen.h. */
bool virq_is_global(unsigned virq)
{
    switch (virq) {
    case VIRQ_TIMER:
    case VIRQ_DEBUG:
    case VIRQ_XENOPROF:
    case VIRQ_XENPMU:
        return false;
    default:
        return true;
    }
}

/*
 * walk 47: Interrupts without a device
 *
 * Claim: What a machine tells by an interrupt line, the hypervisor tells by a virtual IRQ, bound to
 * a port: time, console input, the end of a domain. The port is read and the event set under one
 * small lock, low in the order, so that a timer may send from nearly anywhere.
 * Without it: The port could be closed and opened for something else in between: the disk's handler
 * would be called for the timer.
 * Shown by: tests/host/test_evtchn.c::virqs, tests/guests/events/events/main.c::test_virqs
 */
void send_guest_virq(struct vcpu *v, unsigned virq)
{
    evtchn_port_t port;

    ASSERT(virq < NR_VIRQS);
    spin_lock(&v->virq_lock);
    port = v->virq_port[virq];
    if (port)
        evtchn_set_pending(v->domain, evtchn_at(v->domain, port), port);
    spin_unlock(&v->virq_lock);
}

void send_global_virq(struct domain *d, unsigned virq)
{
    ASSERT(virq_is_global(virq));
    if (d->vcpus[0])
        send_guest_virq(d->vcpus[0], virq);
}

void send_initial_domain_virq(unsigned virq)
{
    if (initial_domain)
        send_global_virq(initial_domain, virq);
}

/*
 * The VIRQ's port is being closed. Global ones may notify another vcpu by now, but are kept with
 * vcpu 0.
 */
static void virq_unbind(struct domain *d, const struct evtchn *e, evtchn_port_t port)
{
    struct vcpu *v = d->vcpus[virq_is_global(e->u.virq) ? 0 : e->vcpu];

    spin_lock(&v->virq_lock);
    ASSERT(v->virq_port[e->u.virq] == port);
    v->virq_port[e->u.virq] = 0;
    spin_unlock(&v->virq_lock);
}
EVENT_SOURCE(EVTCHN_VIRQ, virq_unbind);
