/* SPDX-License-Identifier: MIT */
/*
 * event_channel.c: the operations on event channels. Public header: xen/event_channel.h, which
 * tells what each does.
 *
 * A port is free, or one end of a channel, or bound to a source of events:
 *
 *   free         --alloc_unbound-------------------------> unbound
 *   unbound      --the other domain's bind_interdomain---> interdomain
 *   interdomain  --the other domain's close--------------> unbound
 *   free         --bind_virq, bind_ipi, bind_pirq--------> virq, ipi, pirq
 *   any          --close---------------------------------> free
 *
 * Invariants, under evtchn_lock of the domain(s):
 *  EV1 an interdomain port's remote domain is in the table of domains, and its remote port is
 *      interdomain and points back. To change either end takes both locks; so one lock is enough to
 *      use the other end.
 *  EV2 a port that is virq, and only such a port, is in a vcpu's virq_port[]; a port that PIRQs are
 *      sent to (pirq/pirq.c) is pirq.
 *  EV3 a port's `vcpu` is the number of a vcpu that exists.
 *
 * Read next: ports.c, two_level.c, virq.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/ports.h>

#define CLOSE_BATCH 32 /* ports closed between two looks at whether others want the CPU */

static void lock_two(struct domain *a, struct domain *b)
{
    spin_lock(a->id <= b->id ? &a->evtchn_lock : &b->evtchn_lock);
    if (a != b)
        spin_lock(a->id <= b->id ? &b->evtchn_lock : &a->evtchn_lock);
}

static void unlock_two(struct domain *a, struct domain *b)
{
    spin_unlock(&a->evtchn_lock);
    if (a != b)
        spin_unlock(&b->evtchn_lock);
}

/* EV1: the domain at the other end. */
static struct domain *remote_domain(const struct evtchn *e)
{
    struct domain *d = domain_slots[e->u.interdomain.remote % NR_DOMAIN_SLOTS];

    ASSERT(d && d->id == e->u.interdomain.remote);
    return d;
}

static struct vcpu *find_vcpu(struct domain *d, uint32_t id)
{
    return id < d->max_vcpus ? d->vcpus[id] : NULL;
}

/* May the caller act for domain d? */
static bool may_control(const struct domain *d)
{
    return d == current->domain || current->domain->privileged;
}

/* ---- Making channels ------------------------------------------------------------------------- */

static int alloc_unbound(struct evtchn_alloc_unbound *op)
{
    struct domain *d = find_domain_or_self(op->dom);
    int port;

    if (!d)
        return -ESRCH;
    spin_lock(&d->evtchn_lock);
    port = may_control(d) ? evtchn_alloc_port(d) : -EPERM;
    if (port >= 0) {
        struct evtchn *e = evtchn_at(d, port);

        e->state = EVTCHN_UNBOUND;
        e->u.unbound.remote = op->remote_dom == DOMID_SELF ? current->domain->id : op->remote_dom;
        op->port = port;
    }
    spin_unlock(&d->evtchn_lock);
    put_domain(d);
    return MIN(port, 0);
}
EVTCHNOP(alloc_unbound, alloc_unbound, true);

/*
 * walk 46: A channel has two ends
 *
 * Claim: One domain opens a port for another and tells it the number, by xenstore for instance; the
 * other connects. The port must wait for exactly this domain. Both locks are held, in the order of
 * the domains' numbers, and after that both ends name each other for as long as the channel stands:
 * that is why sending needs one lock. The new port is pending at once, since the other side may
 * have sent before.
 * Without it: A domain could connect with a port that was opened for its neighbour, and pass for
 * it.
 * Shown by: tests/host/test_evtchn.c::an_interdomain_channel,
 * tests/guests/events/events/main.c::test_channel
 */
/*
 * Connect a new port of `d` with `remote_port` of `rd`, which must wait for d. Both locks are held.
 * The new port becomes pending at once: the other side may have sent before there was anybody to
 * send to.
 */
static int connect(struct domain *d, struct domain *rd, evtchn_port_t remote_port)
{
    struct evtchn *e, *re = evtchn_lookup(rd, remote_port);
    int port;

    port = evtchn_alloc_port(d);
    if (port < 0)
        return port;
    if (!re || re->state != EVTCHN_UNBOUND || re->u.unbound.remote != d->id)
        return -EINVAL;
    e = evtchn_at(d, port);
    e->u.interdomain.remote = rd->id;
    e->u.interdomain.port = remote_port;
    e->state = EVTCHN_INTERDOMAIN;
    re->u.interdomain.remote = d->id;
    re->u.interdomain.port = port;
    re->state = EVTCHN_INTERDOMAIN;
    evtchn_set_pending(d, e, port);
    return port;
}

static int bind_interdomain(struct evtchn_bind_interdomain *op)
{
    struct domain *d = current->domain, *rd = find_domain_or_self(op->remote_dom);
    int port;

    if (!rd)
        return -ESRCH;
    lock_two(d, rd);
    port = connect(d, rd, op->remote_port);
    unlock_two(d, rd);
    put_domain(rd);
    if (port < 0)
        return port;
    op->local_port = port;
    return 0;
}
EVTCHNOP(bind_interdomain, bind_interdomain, true);

static int bind_virq(struct evtchn_bind_virq *op)
{
    struct domain *d = current->domain;
    struct vcpu *v;
    int port;

    if (op->virq >= NR_VIRQS || (virq_is_global(op->virq) && op->vcpu != 0))
        return -EINVAL;
    v = find_vcpu(d, op->vcpu);
    if (!v)
        return -ENOENT;
    spin_lock(&d->evtchn_lock);
    port = v->virq_port[op->virq] ? -EEXIST : evtchn_alloc_port(d);
    if (port >= 0) {
        struct evtchn *e = evtchn_at(d, port);

        e->state = EVTCHN_VIRQ;
        e->vcpu = op->vcpu;
        e->u.virq = op->virq;
        op->port = port;
        spin_lock(&v->virq_lock);
        v->virq_port[op->virq] = port;
        spin_unlock(&v->virq_lock);
    }
    spin_unlock(&d->evtchn_lock);
    return MIN(port, 0);
}
EVTCHNOP(bind_virq, bind_virq, true);

static int bind_ipi(struct evtchn_bind_ipi *op)
{
    struct domain *d = current->domain;
    int port;

    if (!find_vcpu(d, op->vcpu))
        return -ENOENT;
    spin_lock(&d->evtchn_lock);
    port = evtchn_alloc_port(d);
    if (port >= 0) {
        struct evtchn *e = evtchn_at(d, port);

        e->state = EVTCHN_IPI;
        e->vcpu = op->vcpu;
        op->port = port;
    }
    spin_unlock(&d->evtchn_lock);
    return MIN(port, 0);
}
EVTCHNOP(bind_ipi, bind_ipi, true);

/* ---- Closing --------------------------------------------------------------------------------- */

/* What sends to this port of d's stops doing so. evtchn_lock is held. */
static void unbind_source(struct domain *d, const struct evtchn *e, evtchn_port_t port)
{
    const struct event_source *source;

    for_each_record(event_source, source)
    {
        if (source->state == e->state)
            source->unbind(d, e, port);
    }
}

/* Close a port whose other end, if it has one, is in rd. The locks needed are held. */
static void close_locked(struct domain *d, struct evtchn *e, evtchn_port_t port, struct domain *rd)
{
    if (e->state == EVTCHN_INTERDOMAIN) {
        struct evtchn *re = evtchn_at(rd, e->u.interdomain.port);

        ASSERT(re->state == EVTCHN_INTERDOMAIN && re->u.interdomain.port == port);
        re->state = EVTCHN_UNBOUND;
        re->u.unbound.remote = d->id;
    } else {
        unbind_source(d, e, port);
    }
    evtchn_free_port(d, port);
}

/*
 * Close a port of d. The other end of a channel is known only under d's lock, and both locks may
 * have to be taken in the other order: then drop ours, take both, and see whether the channel is
 * still the same. -EINVAL: nothing to close.
 */
int evtchn_close(struct domain *d, evtchn_port_t port)
{
    struct domain *rd = d, *wanted;
    struct evtchn *e;

    for (;;) {
        lock_two(d, rd);
        e = evtchn_lookup(d, port);
        if (!e || e->state == EVTCHN_FREE || e->state == EVTCHN_RESERVED) {
            unlock_two(d, rd);
            if (rd != d)
                put_domain(rd);
            return -EINVAL;
        }
        wanted = e->state == EVTCHN_INTERDOMAIN ? remote_domain(e) : d;
        if (wanted == rd || wanted == d)
            break;
        get_domain(wanted);
        unlock_two(d, rd);
        if (rd != d)
            put_domain(rd);
        rd = wanted;
    }
    close_locked(d, e, port, wanted);
    unlock_two(d, rd);
    if (rd != d)
        put_domain(rd);
    return 0;
}

static int close(const struct evtchn_close *op)
{
    return evtchn_close(current->domain, op->port);
}
EVTCHNOP(close, close, false);

/*
 * Close all ports of d, with a look now and then at whether something else must be done first: then
 * -ERESTART.
 */
int evtchn_close_all(struct domain *d)
{
    struct evtchn_table *t = &d->evtchn;

    while (t->next_close < t->valid_ports) {
        evtchn_close(d, t->next_close++);
        if (t->next_close % CLOSE_BATCH == 0 && preempt_needed())
            return -ERESTART;
    }
    t->next_close = 0;
    return 0;
}

/*
 * EVTCHNOP_reset. Another domain's ports are closed only while a controller has it paused: it could
 * not tell what became of them. A domain that resets itself is back at the 2-level ABI. -ERESTART:
 * call again.
 */
int evtchn_reset(struct domain *d)
{
    int rc;

    if (d != current->domain && !d->controller_pause_count)
        return -EINVAL;
    rc = evtchn_close_all(d);
    if (rc == 0 && d == current->domain) {
        spin_lock(&d->evtchn_lock);
        d->evtchn.abi->leave(d);
        spin_unlock(&d->evtchn_lock);
    }
    return rc;
}

static int reset(const struct evtchn_reset *op)
{
    struct domain *d = find_domain_or_self(op->dom);
    int rc;

    if (!d)
        return -ESRCH;
    rc = may_control(d) ? evtchn_reset(d) : -EPERM;
    put_domain(d);
    return rc;
}
EVTCHNOP(reset, reset, false);

/* ---- Using channels -------------------------------------------------------------------------- */

/*
 * EVTCHNOP_send. A port without a partner swallows what is sent; ports that only receive cannot be
 * sent to: -EINVAL. Our own lock is enough to use the other end (EV1).
 */
int evtchn_send(struct domain *d, evtchn_port_t port)
{
    struct evtchn *e;
    int rc = 0;

    spin_lock(&d->evtchn_lock);
    e = evtchn_lookup(d, port);
    if (likely(e && e->state == EVTCHN_INTERDOMAIN)) {
        struct domain *rd = remote_domain(e);
        evtchn_port_t remote = e->u.interdomain.port;

        evtchn_set_pending(rd, evtchn_at(rd, remote), remote);
    } else if (e && e->state == EVTCHN_IPI) {
        evtchn_set_pending(d, e, port);
    } else if (!e || e->state != EVTCHN_UNBOUND) {
        rc = -EINVAL;
    }
    spin_unlock(&d->evtchn_lock);
    return rc;
}

static int unmask(const struct evtchn_unmask *op)
{
    struct domain *d = current->domain;
    int rc = -EINVAL;

    spin_lock(&d->evtchn_lock);
    if (evtchn_lookup(d, op->port)) {
        evtchn_unmask(d, op->port);
        rc = 0;
    }
    spin_unlock(&d->evtchn_lock);
    return rc;
}
EVTCHNOP(unmask, unmask, false);

static void fill_status(const struct evtchn *e, struct evtchn_status *op)
{
    static const uint8_t status[] = {
        [EVTCHN_FREE] = EVTCHNSTAT_closed,     [EVTCHN_RESERVED] = EVTCHNSTAT_closed,
        [EVTCHN_UNBOUND] = EVTCHNSTAT_unbound, [EVTCHN_INTERDOMAIN] = EVTCHNSTAT_interdomain,
        [EVTCHN_PIRQ] = EVTCHNSTAT_pirq,       [EVTCHN_VIRQ] = EVTCHNSTAT_virq,
        [EVTCHN_IPI] = EVTCHNSTAT_ipi,
    };

    op->status = status[e->state];
    op->vcpu = e->vcpu;
    switch (e->state) {
    case EVTCHN_UNBOUND:
        op->u.unbound.dom = e->u.unbound.remote;
        break;
    case EVTCHN_INTERDOMAIN:
        op->u.interdomain.dom = e->u.interdomain.remote;
        op->u.interdomain.port = e->u.interdomain.port;
        break;
    case EVTCHN_PIRQ:
        op->u.pirq = e->u.pirq;
        break;
    case EVTCHN_VIRQ:
        op->u.virq = e->u.virq;
        break;
    }
}

static int status(struct evtchn_status *op)
{
    struct domain *d = find_domain_or_self(op->dom);
    struct evtchn *e;
    int rc = 0;

    if (!d)
        return -ESRCH;
    spin_lock(&d->evtchn_lock);
    e = evtchn_lookup(d, op->port);
    if (!may_control(d))
        rc = -EPERM;
    else if (!e)
        rc = -EINVAL;
    else
        fill_status(e, op);
    spin_unlock(&d->evtchn_lock);
    put_domain(d);
    return rc;
}
EVTCHNOP(status, status, true);

/* IPIs and VIRQs of one vcpu belong to that vcpu for good. */
static int bind_vcpu(const struct evtchn_bind_vcpu *op)
{
    struct domain *d = current->domain;
    struct evtchn *e;
    int rc = 0;

    if (!find_vcpu(d, op->vcpu))
        return -ENOENT;
    spin_lock(&d->evtchn_lock);
    e = evtchn_lookup(d, op->port);
    switch (e ? e->state : EVTCHN_FREE) {
    case EVTCHN_VIRQ:
        if (!virq_is_global(e->u.virq)) {
            rc = -EINVAL;
            break;
        }
        /* fallthrough */
    case EVTCHN_UNBOUND:
    case EVTCHN_INTERDOMAIN:
    case EVTCHN_PIRQ:
        e->vcpu = op->vcpu;
        break;
    default:
        rc = -EINVAL;
    }
    spin_unlock(&d->evtchn_lock);
    return rc;
}
EVTCHNOP(bind_vcpu, bind_vcpu, false);

/* ---- The hypercalls -------------------------------------------------------------------------- */

static const struct evtchnop_record *find_op(int cmd)
{
    const struct evtchnop_record *r;

    for_each_record(evtchnop, r)
    {
        if (r->cmd == cmd)
            return r;
    }
    return NULL;
}

/* All operations but the hot one. */
static noinline long copy_and_operate(int cmd, void *guest_arg)
{
    const struct evtchnop_record *r = find_op(cmd);
    uint32_t op[EVTCHNOP_MAX_SIZE / 4];
    int rc;

    if (!r)
        return -ENOSYS;
    if (copy_from_guest(op, guest_arg, r->size))
        return -EFAULT;
    rc = r->fn(op);
    if (rc == -ERESTART)
        return hypercall_continue(__HYPERVISOR_event_channel_op, 2, cmd, guest_arg);
    if (rc == 0 && r->answers && copy_to_guest(guest_arg, op, r->size))
        return -EFAULT;
    return rc;
}

asmlinkage long do_event_channel_op(int cmd, void *guest_arg)
{
    evtchn_port_t port;

    if (unlikely(cmd != EVTCHNOP_send))
        return copy_and_operate(cmd, guest_arg);
    if (!get_guest_u32(&port, guest_arg))
        return -EFAULT;
    return evtchn_send(current->domain, port);
}
HYPERCALL(event_channel_op);
