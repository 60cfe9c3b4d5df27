/* SPDX-License-Identifier: MIT */
/*
 * ports.h: what the files of evtchn/ share: finding a port's struct evtchn, and the two ABIs by
 * which a guest learns that a port is pending.
 *
 *   two_level.c  bitmaps in shared_info: 1024 ports, a bit each; the ABI every guest starts with.
 *   fifo/        an event word a port, linked into queues by priority, in pages the guest gives:
 *                2^17 ports. A module.
 *
 * Read next: evtchn/event_channel.c.
 */
#ifndef RINGLET_PORTS_H
#define RINGLET_PORTS_H

#include <ringlet/domain.h>
#include <ringlet/evtchn.h>
#include <ringlet/module.h>

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

/* evtchn/virq.c */
bool virq_is_global(unsigned virq);

/* evtchn/two_level.c: its struct evtchn_abi, and the hot operation. `v` is notified by the port. */
extern const struct evtchn_abi two_level_abi;
void two_level_set_pending(struct domain *d, struct vcpu *v, evtchn_port_t port);

/*
 * Make a port pending: `e` is d's port `port`. The lock that keeps the port what it is, of either
 * end (event_channel.c, EV1) or of a VIRQ, is held.
 */
static inline void evtchn_set_pending(struct domain *d, const struct evtchn *e, evtchn_port_t port)
{
    const struct evtchn_abi *abi = d->evtchn.abi;

    if (likely(abi == &two_level_abi))
        two_level_set_pending(d, d->vcpus[e->vcpu], port);
    else
        abi->set_pending(d, port);
}

/*
 * EVTCHNOP(name, fn, answers): fn(op) carries out EVTCHNOP_name on the hypervisor's copy of the
 * guest's struct evtchn_name, which is copied back after success where it `answers`. 0 or -Exxx;
 * -ERESTART: call again.
 */
struct evtchnop_record {
    int cmd;
    unsigned size;
    bool answers;
    int (*fn)(void *op);
};
MODULE_RECORDS(struct evtchnop_record, evtchnop);
#define EVTCHNOP(name, function, copied_back)                                                 \
    _Static_assert(sizeof(struct evtchn_##name) <= EVTCHNOP_MAX_SIZE, "copied to the stack"); \
    MODULE_RECORD(struct evtchnop_record, evtchnop, evtchnop_##name, .cmd = EVTCHNOP_##name,  \
                  .size = sizeof(struct evtchn_##name), .answers = (copied_back),             \
                  .fn = (int (*)(void *))function)
#define EVTCHNOP_MAX_SIZE 32

/*
 * EVENT_SOURCE(state, fn): fn(d, e, port) is called when d's port, which is in this state, is being
 * closed: afterwards nothing sends to it any more. evtchn_lock is held.
 */
struct event_source {
    enum evtchn_state state;
    void (*unbind)(struct domain *d, const struct evtchn *e, evtchn_port_t port);
};
MODULE_RECORDS(struct event_source, event_source);
#define EVENT_SOURCE(of_state, function)                                                         \
    MODULE_RECORD(struct event_source, event_source, event_source_##function, .state = of_state, \
                  .unbind = function)

#endif
