/* SPDX-License-Identifier: MIT */
/*
 * Other vcpus than the first. The runtime is vcpu 0's: what runs on another one makes no use of it
 * but of hypercalls, has its events masked, and handles no traps.
 */
#ifndef PV_VCPU_H
#define PV_VCPU_H

#include <pv/event.h>

/*
 * Start a vcpu in entry(data), which must not return, with a page for a stack and our page tables.
 * 0, or a negative number of xen/errno.h; -XEN_ENOENT: there is no such vcpu.
 */
int vcpu_start(unsigned int id, void (*entry)(void *data), void *data);

/*
 * A port by which any vcpu can call vcpu `id` (event_send); it stays masked. The port, or a negative
 * number of xen/errno.h; -XEN_ENOENT: there is no such vcpu.
 */
int vcpu_bind_ipi(unsigned int id);

/* On another vcpu than the first: sleep until its port is called. It may return without a call. */
void vcpu_wait(evtchn_t port);

#endif
