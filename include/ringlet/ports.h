/* SPDX-License-Identifier: MIT */
/*
 * ports.h: what the files of evtchn/ share: finding a port's struct evtchn, and the two ABIs by
 * which a guest learns that a port is pending.
 *
 *   two_level.c  bitmaps in shared_info: 1024 ports, a bit each; the ABI every guest starts with.
 *   fifo.c       an event word a port, linked into queues by priority, in pages the guest gives:
 *                2^17 ports.
 *
 * Read next: evtchn/event_channel.c.
 */
#ifndef RINGLET_PORTS_H
#define RINGLET_PORTS_H

#include <ringlet/domain.h>
#include <ringlet/evtchn.h>

/* The port must be valid: below evtchn.valid_ports, which only grows while the domain lives. */
static inline struct evtchn *evtchn_at(const struct domain *d, evtchn_port_t port)
{
    return &d->evtchn.buckets[port / EVTCHN_BUCKET][port % EVTCHN_BUCKET];
}

/* A port number from a guest; NULL: there is no such port. */
static inline struct evtchn *evtchn_lookup(const struct domain *d, evtchn_port_t port)
{
    return port < d->evtchn.valid_ports ? evtchn_at(d, port) : NULL;
}

/* evtchn/ports.c. evtchn_lock of the domain is held. */
int evtchn_alloc_port(struct domain *d);
void evtchn_free_port(struct domain *d, evtchn_port_t port);
bool evtchn_is_pending(const struct domain *d, evtchn_port_t port);
bool evtchn_is_masked(const struct domain *d, evtchn_port_t port);
void evtchn_unmask(struct domain *d, evtchn_port_t port);

/* evtchn/virq.c. evtchn_lock is held. */
void virq_unbind(struct domain *d, const struct evtchn *e, evtchn_port_t port);
bool virq_is_global(unsigned virq);

/* evtchn/two_level.c. `v` is the vcpu the port notifies. */
void two_level_set_pending(struct domain *d, struct vcpu *v, evtchn_port_t port);
void two_level_clear_pending(struct domain *d, evtchn_port_t port);
bool two_level_is_pending(const struct domain *d, evtchn_port_t port);
bool two_level_is_masked(const struct domain *d, evtchn_port_t port);
void two_level_unmask(struct domain *d, struct vcpu *v, evtchn_port_t port);

/* evtchn/fifo.c. evtchn_lock is held, but for fifo_set_pending(), which takes fifo_lock itself. */
int fifo_init_control(struct domain *d, struct vcpu *v, uint64_t mfn, uint32_t offset);
int fifo_expand_array(struct domain *d, uint64_t mfn);
void fifo_destroy(struct domain *d);
void fifo_set_pending(struct domain *d, evtchn_port_t port);
void fifo_clear_pending(struct domain *d, evtchn_port_t port);
bool fifo_is_pending(const struct domain *d, evtchn_port_t port);
bool fifo_is_masked(const struct domain *d, evtchn_port_t port);
bool fifo_is_linked(const struct domain *d, evtchn_port_t port);
void fifo_unmask(struct domain *d, evtchn_port_t port);
void fifo_visit_frames(const struct domain *d, void (*visit)(mfn_t mfn));

/*
 * Make a port pending: `e` is d's port `port`. The lock that keeps the port what it is, of either
 * end (event_channel.c, E1) or of a VIRQ, is held.
 */
static inline void evtchn_set_pending(struct domain *d, const struct evtchn *e, evtchn_port_t port)
{
    if (unlikely(d->evtchn.fifo))
        fifo_set_pending(d, port);
    else
        two_level_set_pending(d, d->vcpus[e->vcpu], port);
}

#endif
