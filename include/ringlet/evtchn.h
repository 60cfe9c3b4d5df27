/* SPDX-License-Identifier: MIT */
/*
 * evtchn.h: event channels, the guest's interrupts. A port is a number in one domain; what it
 * stands for (another domain's port, a virtual IRQ, an IPI, a physical IRQ) is kept here, out of
 * the guest's reach.
 *
 * Read next: evtchn/event_channel.c.
 */
#ifndef RINGLET_EVTCHN_H
#define RINGLET_EVTCHN_H

#include <ringlet/lib.h>
#include <xen/event_channel.h>
#include <xen/xen.h>

struct domain;
struct vcpu;

enum evtchn_state {
    EVTCHN_FREE,
    EVTCHN_RESERVED, /* port 0; those after it are in use */
    EVTCHN_UNBOUND,
    EVTCHN_INTERDOMAIN,
    EVTCHN_PIRQ,
    EVTCHN_VIRQ,
    EVTCHN_IPI
};

struct evtchn {
    uint8_t state : 4;    /* enum evtchn_state */
    uint8_t priority : 4; /* FIFO ABI: 0, highest, to 15 */
    uint8_t vcpu;         /* vcpu that is notified */
    /* FIFO ABI only; all three under fifo_lock, which senders take without evtchn_lock */
    uint8_t last_priority; /* the queue it was last put on: of this priority ... */
    uint8_t last_vcpu : 7; /* ... and this vcpu */
    uint8_t pending : 1;   /* came while the guest had no event word for it */
    union {
        struct {
            domid_t remote;
        } unbound;
        struct {
            domid_t remote;
            evtchn_port_t port;
        } interdomain;
        uint32_t virq;
        uint32_t pirq;
    } u;
};
_Static_assert(sizeof(struct evtchn) == 12, "two buckets to a page");
_Static_assert(XEN_LEGACY_MAX_VCPUS <= 128, "last_vcpu has seven bits");

/*
 * Ports come in buckets, allocated when first used. The 2-level ABI of x86_32 has 32 x 32 ports,
 * FIFO 2^17.
 */
#define EVTCHN_BUCKET 128
#define EVTCHN_2L_PORTS 1024
#define EVTCHN_FIFO_PORTS (1u << 17)

/*
 * How a guest learns that a port is pending. A domain begins with the 2-level ABI (two_level.c); a
 * module may bring another one and switch a domain over. evtchn_lock is held, but for set_pending(),
 * which is called with the lock that evtchn_set_pending() names: so the domain may just have gone
 * back to the 2-level ABI.
 */
struct evtchn_abi {
    unsigned ports; /* how many it can name */
    void (*set_pending)(struct domain *d, evtchn_port_t port);
    void (*clear_pending)(struct domain *d, evtchn_port_t port);
    bool (*is_pending)(const struct domain *d, evtchn_port_t port);
    bool (*is_masked)(const struct domain *d, evtchn_port_t port);
    bool (*is_linked)(const struct domain *d,
                      evtchn_port_t port); /* a free port not to be reused yet */
    void (*unmask)(struct domain *d, evtchn_port_t port);
    void (*leave)(struct domain *d); /* every port is closed: back to the 2-level ABI */
};

struct evtchn_fifo;
struct evtchn_table {
    struct evtchn **buckets; /* array of EVTCHN_FIFO_PORTS / EVTCHN_BUCKET pointers */
    unsigned valid_ports;    /* ports 0 to valid_ports - 1 have a struct evtchn */
    unsigned max_port;       /* the highest port this domain may use */
    unsigned first_free;     /* no port below is free */
    unsigned next_close;     /* where closing all ports goes on */
    const struct evtchn_abi *volatile abi;
    struct evtchn_fifo *fifo; /* evtchn/fifo's; fifo_lock */
    /*
     * evtchn/pirq, irq_lock: the page that PHYSDEVOP_pirq_eoi_gmfn named (NULL: none), its frame (0:
     * none), and whether PHYSDEVOP_eoi unmasks the port, too.
     */
    uint32_t *pirq_eoi_map;
    uint32_t pirq_eoi_mfn;
    bool pirq_auto_unmask;
};

/*
 * evtchn/event_channel.c. Ports and domids from guests are checked inside. Errors: -Exxx of
 * xen/errno.h.
 */
int evtchn_init(struct domain *d);
int evtchn_close_all(struct domain *d); /* -ERESTART: call again */
void evtchn_destroy(struct domain *d);  /* every port is closed: frees the table */
int evtchn_set_max_port(struct domain *d, unsigned max_port);
int evtchn_send(struct domain *d, evtchn_port_t port);
int evtchn_close(struct domain *d, evtchn_port_t port);
int evtchn_reset(struct domain *d);
int evtchn_port_poll(struct domain *d, evtchn_port_t port); /* 1, 0, -EINVAL: no such port */
void send_guest_virq(struct vcpu *v, unsigned virq);        /* a per-vcpu VIRQ (timer, debug) */
void send_global_virq(struct domain *d, unsigned virq);     /* a global VIRQ of one domain */
/* console, domain exception: to whom they are bound */
void send_initial_domain_virq(unsigned virq);
/* after the vcpu_info moved: redeliver what may have been missed */
void evtchn_move_vcpu_info(struct vcpu *v);
void evtchn_dump(struct domain *d); /* console key */

#endif
