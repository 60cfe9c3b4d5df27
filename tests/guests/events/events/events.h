/* SPDX-License-Identifier: MIT */
/*
 * events.h: what the files of this guest share: every event channel operation as a call that
 * answers the port or the error, and the bits of a port.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <pv/event.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <xen/event_channel.h>

#define NOBODY 77 /* a domain that does not exist */

/* main.c: the port, or a negative errno */
long alloc_unbound(domid_t dom, domid_t remote);
long bind_interdomain(domid_t remote, evtchn_t port);
long bind_virq(uint32_t virq, uint32_t vcpu);
long bind_ipi(uint32_t vcpu);
long close_port(evtchn_t port);
long send_event(evtchn_t port);
long unmask(evtchn_t port);
long reset(domid_t dom);
long bind_vcpu(evtchn_t port, uint32_t vcpu);

/* fifo.c */
void test_fifo(void);

#endif
