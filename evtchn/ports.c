/* SPDX-License-Identifier: MIT */
/*
 * ports.c: the table of a domain's ports, and what every kind of port has in common: being
 * allocated, pending, freed.
 *
 * Ports come in buckets, allocated as the lowest free port moves up, and kept until the domain
 * ends: so a port number that was valid once stays safe to look up. Port 0 is reserved: 0 means "no
 * port" everywhere in the ABI.
 *
 * Read next: event_channel.c (the operations), two_level.c (how the guest learns of an
 * event).
 */
#include <ringlet/hypercall.h>
#include <ringlet/ports.h>
#include <ringlet/sched.h>

#define NR_BUCKETS (EVTCHN_FIFO_PORTS / EVTCHN_BUCKET)
_Static_assert(EVTCHN_FIFO_PORTS == EVTCHN_FIFO_NR_CHANNELS,
               "as many ports as an event word can link");

static unsigned port_limit(const struct domain *d)
{
    return MIN(d->evtchn.abi->ports, d->evtchn.max_port + 1);
}

/* One more bucket. New ports are free: state EVTCHN_FREE is zero. */
static int add_bucket(struct domain *d)
{
    struct evtchn_table *t = &d->evtchn;
    struct evtchn *bucket = xzalloc_for_domain(d, EVTCHN_BUCKET * sizeof(*bucket));

    if (!bucket)
        return -ENOMEM;
    for (unsigned i = 0; i < EVTCHN_BUCKET; i++)
        bucket[i].priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    t->buckets[t->valid_ports / EVTCHN_BUCKET] = bucket;
    __atomic_store_n(&t->valid_ports, t->valid_ports + EVTCHN_BUCKET, __ATOMIC_RELEASE);
    return 0;
}

/*
 * A port that is free but still linked into a queue of the FIFO ABI waits until the guest has taken
 * it off.
 */
static bool reusable(const struct domain *d, evtchn_port_t port)
{
    return evtchn_at(d, port)->state == EVTCHN_FREE && !d->evtchn.abi->is_linked(d, port);
}

/* More free ports than this are not looked at for one that may be used: to look takes a while. */
#define MOST_LINKED 4096

/*
 * The lowest port that is free, for a new channel. The caller sets its state. -EINVAL: the domain
 * is dying; -ENOSPC: all ports it may have are used, or MOST_LINKED are free and linked; -ENOMEM.
 */
int evtchn_alloc_port(struct domain *d)
{
    struct evtchn_table *t = &d->evtchn;
    unsigned limit = port_limit(d), linked = 0;
    evtchn_port_t port;

    if (d->state != DOMAIN_ALIVE)
        return -EINVAL;
    while (t->first_free < t->valid_ports && evtchn_at(d, t->first_free)->state != EVTCHN_FREE)
        t->first_free++;
    for (port = t->first_free; port < t->valid_ports && !reusable(d, port); port++)
        if (evtchn_at(d, port)->state == EVTCHN_FREE && ++linked == MOST_LINKED)
            return -ENOSPC;
    if (port >= limit)
        return -ENOSPC;
    if (port == t->valid_ports && add_bucket(d))
        return -ENOMEM;
    evtchn_at(d, port)->vcpu = 0;
    return port;
}

/* The port is nobody's from now on. An event still pending must not surprise its next user. */
void evtchn_free_port(struct domain *d, evtchn_port_t port)
{
    struct evtchn *e = evtchn_at(d, port);

    d->evtchn.abi->clear_pending(d, port);
    e->state = EVTCHN_FREE;
    e->vcpu = 0;
    e->priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    if (port < d->evtchn.first_free)
        d->evtchn.first_free = port;
}

bool evtchn_is_pending(const struct domain *d, evtchn_port_t port)
{
    return d->evtchn.abi->is_pending(d, port);
}

bool evtchn_is_masked(const struct domain *d, evtchn_port_t port)
{
    return d->evtchn.abi->is_masked(d, port);
}

void evtchn_unmask(struct domain *d, evtchn_port_t port)
{
    d->evtchn.abi->unmask(d, port);
}

/* Is this port pending? 1 or 0; -EINVAL for port 0, and for one that is free or was never made. */
int evtchn_port_poll(struct domain *d, evtchn_port_t port)
{
    const struct evtchn *e;
    int rc = -EINVAL;

    spin_lock(&d->evtchn_lock);
    e = evtchn_lookup(d, port);
    if (e && e->state > EVTCHN_RESERVED)
        rc = evtchn_is_pending(d, port);
    spin_unlock(&d->evtchn_lock);
    return rc;
}

/* For a new domain. Its ports are unlimited but by the ABI until evtchn_set_max_port(). -ENOMEM. */
int evtchn_init(struct domain *d)
{
    struct evtchn_table *t = &d->evtchn;

    spin_lock_init(&d->evtchn_lock, RANK_EVTCHN);
    spin_lock_init(&d->fifo_lock, RANK_FIFO);
    t->abi = &two_level_abi;
    t->max_port = EVTCHN_FIFO_PORTS - 1;
    t->first_free = 1;
    t->buckets = xzalloc_array(struct evtchn *, NR_BUCKETS);
    if (!t->buckets)
        return -ENOMEM;
    if (add_bucket(d)) {
        xfree(t->buckets);
        t->buckets = NULL;
        return -ENOMEM;
    }
    evtchn_at(d, 0)->state = EVTCHN_RESERVED;
    return 0;
}

/* The highest port the domain may use from now on; ports it has above that stay. */
int evtchn_set_max_port(struct domain *d, unsigned max_port)
{
    spin_lock(&d->evtchn_lock);
    d->evtchn.max_port = MIN(max_port, EVTCHN_FIFO_PORTS - 1);
    spin_unlock(&d->evtchn_lock);
    return 0;
}

/*
 * Free the table of a domain whose ports are all closed. It is dying, or was never complete: so no
 * port has been opened since evtchn_close_all() saw it. Going through up to 2^17 ports once more, here
 * where nothing can give way, would keep others from the CPU (XSA-344).
 */
void evtchn_destroy(struct domain *d)
{
    struct evtchn_table *t = &d->evtchn;

    if (!t->buckets)
        return;
    spin_lock(&d->evtchn_lock); /* evtchn_dump() */
    t->abi->leave(d);
    for (unsigned i = 0; i < t->valid_ports / EVTCHN_BUCKET; i++)
        xfree_for_domain(d, t->buckets[i]);
    xfree(t->buckets);
    *t = (struct evtchn_table){.abi = &two_level_abi};
    spin_unlock(&d->evtchn_lock);
}

/* Console key: the ports in use. */
void evtchn_dump(struct domain *d)
{
    static const char *const names[] = {"free", "reserved", "unbound", "interdomain",
                                        "pirq", "virq",     "ipi"};

    printk("d%u: event channels\n", d->id);
    spin_lock(&d->evtchn_lock); /* or the domain may leave the FIFO ABI, and its pages go */
    for (evtchn_port_t port = 1; port < d->evtchn.valid_ports; port++) {
        struct evtchn *e = evtchn_at(d, port);

        if (e->state == EVTCHN_FREE)
            continue;
        printk("  port %u v%u %s", port, e->vcpu, names[e->state]);
        if (e->state == EVTCHN_UNBOUND)
            printk(" d%u", e->u.unbound.remote);
        else if (e->state == EVTCHN_INTERDOMAIN)
            printk(" d%u:%u", e->u.interdomain.remote, e->u.interdomain.port);
        else
            printk(" %u", e->u.virq);
        printk("%s%s\n", evtchn_is_pending(d, port) ? " pending" : "",
               evtchn_is_masked(d, port) ? " masked" : "");
    }
    spin_unlock(&d->evtchn_lock);
}
