/* SPDX-License-Identifier: MIT */
/*
 * Event channels: what a PV guest has in place of interrupts.
 *
 * An event is a bit in the shared page: pending, gated by a mask bit of its port and by the mask
 * byte of the vcpu. When a bit gets through, the hypervisor sets the vcpu's mask and calls the
 * upcall handler, which looks for set bits and calls the port's function. Functions run with
 * events off and return soon; they may send, mask, and bind, but not wait. They interrupt the rest
 * of the guest anywhere, in the middle of malloc or printf too, so they use neither unless the
 * guest has events off wherever it matters.
 *
 * Next: lib/event.c, lib/trap_entry.S (the upcall).
 */
#ifndef PV_EVENT_H
#define PV_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include <pv/hypercall.h>

typedef uint32_t evtchn_t; /* a local port; 0 is never valid */

typedef void (*event_handler)(evtchn_t port, void *data);

/* event.c */

/* Each binds a port, names its function (NULL: the event only ends a wait), unmasks it, and
 * answers the port, or a negative errno. */
int event_bind_virq(unsigned int virq, event_handler handler, void *data);
int event_bind_interdomain(domid_t remote, evtchn_t remote_port, event_handler handler, void *data);
int event_alloc_unbound(domid_t remote, event_handler handler, void *data);
int event_bind_ipi(event_handler handler, void *data);

/* A port somebody else made for this domain (the console's, xenstore's). */
void event_attach(evtchn_t port, event_handler handler, void *data);

/* Close a port of this domain; its function is forgotten. 0 or a negative errno. */
int event_close(evtchn_t port);

/* Send through a port: 0 or a negative errno. */
int event_send(evtchn_t port);

void event_mask(evtchn_t port);
void event_unmask(evtchn_t port);

/* The vcpu's mask, the PV form of cli and sti. events_off answers what events_restore wants:
 * whether they were on. Turning events on serves what is pending. */
bool events_off(void);
void events_on(void);
void events_restore(bool were_on);

/*
 * Sleep until an event is served. Call with events off, after checking that there is nothing to
 * do: the hypervisor turns them on and sleeps in one step, so nothing is lost between. Events are
 * on afterwards.
 *
 *     events_off();
 *     while (!condition) {
 *         events_wait();
 *         events_off();
 *     }
 *     events_on();
 */
void events_wait(void);

/* How many events each port and all ports have delivered. */
uint32_t event_count(evtchn_t port);
uint32_t event_total(void);

#endif
