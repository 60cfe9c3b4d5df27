/* SPDX-License-Identifier: MIT */
/*
 * pirq.c: interrupts of the machine's lines that guests have. A module.
 *
 * A line that is not the hypervisor's own (arch/i386/irq.c) is one domain's, whose drivers do the
 * rest. A domain knows lines by numbers of its own, PIRQs, which the initial domain chooses
 * for itself and for the domains it gives devices to (PHYSDEVOP_map_pirq); it may use those that it
 * has been permitted (XEN_DOMCTL_irq_permission; the initial domain: all). It binds a PIRQ to an
 * event channel, and each interrupt makes that port pending.
 *
 * A level-triggered line asks until the device is satisfied, and only the guest's driver can satisfy
 * it. So the line is masked when its interrupt is sent on, and unmasked when the guest says that it
 * is done (PHYSDEVOP_eoi); if the device still asks then, or another one on the same line does, the
 * next interrupt comes at once. Without the mask it would come at once anyway, for ever, and the
 * guest would never run. An edge is over when it has been seen: it needs no mask, and one that comes
 * while the event is pending is told by the same event.
 *
 * Invariants, under irq_lock:
 *  I1  no two PIRQs of a domain have the same line.
 *  I2  lines[l].guest is the domain, lines[l].port the port that hear of it: exactly then that
 *      domain's PIRQ for l has this port. No PIRQ of another domain, nor of a line that is the
 *      hypervisor's own, has one.
 *  I3  a line is open (not masked) exactly when it is the hypervisor's own, or has a guest and is
 *      not `waiting`.
 *  I4  a `waiting` line is level-triggered and has a guest, which owes an EOI.
 *
 * Read next: physdev.c (the hypercall), arch/i386/irq.c (the hypervisor's own lines).
 */
#include "pirq.h"
#include <ringlet/bitops.h>
#include <ringlet/domctl.h>
#include <ringlet/hypercall.h>
#include <ringlet/irq.h>
#include <ringlet/mm.h>
#include <ringlet/ports.h>

static struct line {
    struct domain *guest; /* the domain that hears of its interrupts; NULL: none */
    evtchn_port_t port;   /* ... through this port */
    bool waiting;         /* masked until PHYSDEVOP_eoi */
} lines[NR_LINES];        /* irq_lock */

/* A PIRQ of one domain. */
struct pirq {
    unsigned line;      /* 0: the number is free; line 0 is the timer's, never a guest's */
    evtchn_port_t port; /* 0: not bound */
    bool given;         /* an ISA line's own number, which nobody has asked for: it gives way */
};

/* The number under which d knows this line; 0: none. irq_lock is held. */
static unsigned pirq_of_line(const struct domain *d, unsigned line)
{
    unsigned pirq = NR_PIRQS - 1;

    while (pirq && d->pirqs[pirq].line != line)
        pirq--;
    return pirq;
}

/* The PIRQ with this number, a guest's; NULL: there is none. irq_lock is held. */
static struct pirq *find_pirq(const struct domain *d, unsigned pirq)
{
    return pirq < NR_PIRQS && d->pirqs && d->pirqs[pirq].line ? &d->pirqs[pirq] : NULL;
}

/* A table of PIRQs for d, if it has none. -ENOMEM. */
static int make_pirqs(struct domain *d)
{
    struct pirq *none = NULL, *pirqs = NULL;

    if (!d->pirqs)
        pirqs = xzalloc_for_domain(d, NR_PIRQS * sizeof(*pirqs));
    if (pirqs && !__atomic_compare_exchange_n(&d->pirqs, &none, pirqs, false, __ATOMIC_SEQ_CST,
                                              __ATOMIC_SEQ_CST))
        xfree_for_domain(d, pirqs);
    return d->pirqs ? 0 : -ENOMEM;
}

/*
 * All lines are the initial domain's. The ISA bus's have the PIRQs of their own numbers from the
 * start: kernels bind those unasked. Boot only; -ENOMEM.
 */
int pirq_give_machine(struct domain *d)
{
    if (make_pirqs(d))
        return -ENOMEM;
    memset(d->irqs, 0xff, sizeof(d->irqs));
    for (int line = 1; line < NR_ISA_IRQS; line++)
        if (irq_line_exists(line))
            d->pirqs[line] = (struct pirq){.line = (unsigned)line, .given = true};
    return 0;
}

/* Send a line's interrupt to its guest. A line that has none is masked. irq_lock is held. */
static void send_to_guest(unsigned line)
{
    struct line *l = &lines[line];

    if (!l->guest) {
        irq_controller->mask(line);
        return;
    }
    if (irq_controller->is_level(line)) {
        irq_controller->mask(line);
        l->waiting = true;
    }
    evtchn_set_pending(l->guest, evtchn_at(l->guest, l->port), l->port);
}

GUEST_LINES(send_to_guest);

/* ---- PIRQs ----------------------------------------------------------------------------------- */

/* A number that is free in d, from the highest down: the low ones are lines' own. -ENOSPC. */
int pirq_free_number(const struct domain *d)
{
    int pirq;

    spin_lock(&irq_lock);
    for (pirq = NR_PIRQS - 1; pirq > 0 && find_pirq(d, (unsigned)pirq); pirq--)
        ;
    spin_unlock(&irq_lock);
    return pirq ? pirq : -ENOSPC;
}

/* Has a line this number because somebody wants it so? irq_lock is held. */
static bool is_taken(const struct pirq *p)
{
    return p->line && (!p->given || p->port);
}

/*
 * Let d's `pirq` be `line`; negative: whatever number fits. Returns the number.
 *  1. -EINVAL: no such line, or no such number. 0 is no PIRQ.
 *  2. -EEXIST: the line or the number is already mapped otherwise. The same again succeeds. What
 *     pirq_give_machine() mapped gives way, unless it is bound: kernels that program the IO-APIC
 *     themselves choose other numbers.
 *  3. -ENOMEM.
 * Lines that d is not permitted, and the hypervisor's own, can be mapped: it is binding that is
 * refused.
 */
int pirq_map(struct domain *d, int line, int pirq)
{
    unsigned known;

    if (!irq_line_exists(line) || line == 0 || pirq == 0 || pirq >= NR_PIRQS)
        return -EINVAL;
    if (make_pirqs(d))
        return -ENOMEM;
    spin_lock(&irq_lock);
    known = pirq_of_line(d, (unsigned)line);
    if (pirq < 0)
        pirq = known ? (int)known : line;
    if (known != (unsigned)pirq && (is_taken(&d->pirqs[known]) || is_taken(&d->pirqs[pirq]))) {
        pirq = -EEXIST;
    } else {
        d->pirqs[known].line = 0;
        d->pirqs[pirq].line = (unsigned)line;
        d->pirqs[pirq].given = false;
    }
    spin_unlock(&irq_lock);
    return pirq;
}

/* No more interrupts for this PIRQ's guest. irq_lock is held. */
static void silence(struct pirq *p)
{
    struct line *l = &lines[p->line];

    if (p->port) {
        irq_controller->mask(p->line);
        l->waiting = false;
        l->guest = NULL;
        p->port = 0;
    }
}

/*
 * The number is free again. A port still bound to it stays, and stays silent. -EINVAL: not mapped.
 */
long pirq_unmap(struct domain *d, int pirq)
{
    struct pirq *p;

    spin_lock(&irq_lock);
    p = find_pirq(d, (unsigned)pirq);
    if (p) {
        silence(p);
        p->line = 0;
    }
    spin_unlock(&irq_lock);
    return p ? 0 : -EINVAL;
}

/* Tell the guest by its page whether the PIRQ needs PHYSDEVOP_eoi. irq_lock is held. */
static void note_eoi_needed(struct domain *d, unsigned pirq)
{
    uint32_t *map = d->evtchn.pirq_eoi_map;

    if (!map)
        return;
    if (irq_controller->is_level(d->pirqs[pirq].line))
        test_and_set_bit(pirq, map);
    else
        test_and_clear_bit(pirq, map);
}

/*
 * XEN_DOMCTL_irq_permission: may d bind the line that the caller knows as `pirq`? What is bound
 * stays so. -EINVAL: not a number; -EPERM: the caller has no such PIRQ, or may not bind it itself.
 */
int pirq_permit(const struct domain *caller, unsigned pirq, struct domain *d, bool allow)
{
    struct pirq *p;
    int rc = -EPERM;

    if (pirq >= NR_PIRQS)
        return -EINVAL;
    spin_lock(&irq_lock);
    p = find_pirq(caller, pirq);
    if (p && test_bit(p->line, caller->irqs)) {
        if (allow)
            test_and_set_bit(p->line, d->irqs);
        else
            test_and_clear_bit(p->line, d->irqs);
        rc = 0;
    }
    spin_unlock(&irq_lock);
    return rc;
}

static int domctl_irq_permission(struct domain *d, struct xen_domctl *op)
{
    return pirq_permit(current->domain, op->u.irq_permission.pirq, d,
                       op->u.irq_permission.allow_access);
}
DOMCTL(irq_permission, 0);

/* Why a PIRQ cannot be bound: the list at pirq_bind(). irq_lock is held. */
static int refusal(const struct domain *d, const struct pirq *p)
{
    if (!p || !test_bit(p->line, d->irqs))
        return -EPERM;
    if (p->port)
        return -EEXIST;
    return irq_line_is_own(p->line) || lines[p->line].guest ? -EBUSY : 0;
}

/*
 * Send the PIRQ's interrupts to this port of d's, from now on. evtchn_lock is held.
 *  1. -EPERM: not mapped, or d is not permitted the line.
 *  2. -EEXIST: it has a port. -EBUSY: the line is the hypervisor's, or bound by another domain.
 */
static int pirq_bind(struct domain *d, unsigned pirq, evtchn_port_t port)
{
    struct pirq *p;
    int rc;

    spin_lock(&irq_lock);
    p = find_pirq(d, pirq);
    rc = refusal(d, p);
    if (!rc) {
        p->port = port;
        lines[p->line].guest = d;
        lines[p->line].port = port;
        note_eoi_needed(d, pirq);
        irq_controller->unmask(p->line);
    }
    spin_unlock(&irq_lock);
    return rc;
}

/*
 * EVTCHNOP_bind_pirq. Interrupts may come from the moment the line is bound: the port is made first.
 * BIND_PIRQ__WILL_SHARE changes nothing: no line is shared between domains. -EINVAL: not a PIRQ's
 * number; else as pirq_bind() has it.
 */
static int bind_pirq(struct evtchn_bind_pirq *op)
{
    struct domain *d = current->domain;
    struct evtchn *e;
    int port, rc;

    if (op->pirq >= NR_PIRQS)
        return -EINVAL;
    spin_lock(&d->evtchn_lock);
    rc = port = evtchn_alloc_port(d);
    if (port >= 0) {
        e = evtchn_at(d, port);
        e->state = EVTCHN_PIRQ;
        e->u.pirq = op->pirq;
        rc = pirq_bind(d, op->pirq, port);
        if (rc)
            e->state = EVTCHN_FREE;
        else
            op->port = port;
    }
    spin_unlock(&d->evtchn_lock);
    return rc;
}
EVTCHNOP(bind_pirq, bind_pirq, true);

/* The port is being closed. The PIRQ may have been unmapped, and mapped and bound anew. */
static void pirq_unbind(struct domain *d, const struct evtchn *e, evtchn_port_t port)
{
    struct pirq *p = &d->pirqs[e->u.pirq];

    spin_lock(&irq_lock);
    if (p->port == port)
        silence(p);
    spin_unlock(&irq_lock);
}
EVENT_SOURCE(EVTCHN_PIRQ, pirq_unbind);

/* The guest has dealt with the interrupt. Not due: nothing happens. irq_lock is held. */
static void end_interrupt(const struct pirq *p)
{
    struct line *l = &lines[p->line];

    if (l->waiting)
        irq_controller->unmask(p->line);
    l->waiting = false;
}

/*
 * PHYSDEVOP_eoi: d has dealt with the interrupt. -EINVAL: no such PIRQ. Not due, or not d's to end:
 * nothing happens.
 */
long pirq_eoi(struct domain *d, unsigned pirq)
{
    struct pirq *p;

    spin_lock(&d->evtchn_lock);
    spin_lock(&irq_lock);
    p = find_pirq(d, pirq);
    if (p && p->port) {
        if (d->evtchn.pirq_auto_unmask)
            evtchn_unmask(d, p->port);
        end_interrupt(p);
    }
    spin_unlock(&irq_lock);
    spin_unlock(&d->evtchn_lock);
    return p ? 0 : -EINVAL;
}

/*
 * PHYSDEVOP_IRQ_UNMASK_NOTIFY, from before PHYSDEVOP_eoi: d has dealt with all interrupts whose
 * ports it keeps open.
 */
long pirq_eoi_unmasked(struct domain *d)
{
    spin_lock(&d->evtchn_lock);
    spin_lock(&irq_lock);
    for (unsigned pirq = 1; d->pirqs && pirq < NR_PIRQS; pirq++)
        if (d->pirqs[pirq].port && !evtchn_is_masked(d, d->pirqs[pirq].port))
            end_interrupt(&d->pirqs[pirq]);
    spin_unlock(&irq_lock);
    spin_unlock(&d->evtchn_lock);
    return 0;
}

/*
 * How a line is wired, as the guest read it in the firmware's tables.
 *  1. -EINVAL: no such line.
 *  2. -EEXIST: in use. Its mode stays; a guest that asks again lives with this answer.
 */
long pirq_set_mode(unsigned line, bool level, bool active_low)
{
    long rc = 0;

    if (line >= NR_LINES || !irq_line_exists((int)line))
        return -EINVAL;
    spin_lock(&irq_lock);
    if (irq_line_is_own(line) || lines[line].guest)
        rc = -EEXIST;
    else
        irq_controller->set_mode(line, level, active_low);
    spin_unlock(&irq_lock);
    return rc;
}

/*
 * d's page with a bit for each PIRQ; the reference to its frame, writable, becomes ours. -EBUSY:
 * there is one; -ENOMEM: it cannot be mapped.
 */
long pirq_set_eoi_map(struct domain *d, mfn_t mfn, bool unmask)
{
    uint32_t *map;
    bool taken;

    /*
     * The map and its undoing make all CPUs flush: a domain that has its page gets its answer without.
     */
    if (__atomic_load_n(&d->evtchn.pirq_eoi_map, __ATOMIC_ACQUIRE))
        return -EBUSY;
    map = map_global(d, mfn);
    if (!map)
        return -ENOMEM;
    spin_lock(&irq_lock);
    taken = d->evtchn.pirq_eoi_map != NULL;
    if (!taken) {
        d->evtchn.pirq_eoi_map = map;
        d->evtchn.pirq_eoi_mfn = mfn;
        d->evtchn.pirq_auto_unmask = unmask;
        for (unsigned pirq = 0; pirq < NR_PIRQS; pirq++)
            if (find_pirq(d, pirq))
                note_eoi_needed(d, pirq);
    }
    spin_unlock(&irq_lock);
    if (taken)
        unmap_global(d, map);
    return taken ? -EBUSY : 0;
}

/* The guest looks at an IO-APIC's register. -EINVAL: no such one. */
long pirq_read_ioapic(uint32_t address, uint32_t reg, uint32_t *value)
{
    long rc;

    if (!irq_controller->read_register)
        return -EINVAL;
    spin_lock(&irq_lock);
    rc = irq_controller->read_register(address, reg, value);
    spin_unlock(&irq_lock);
    return rc;
}

/* The line of an IO-APIC's pin; -EINVAL: there is none. */
int pirq_line_of_pin(uint32_t address, uint32_t pin)
{
    return irq_controller->line_of_pin ? irq_controller->line_of_pin(address, pin) : -EINVAL;
}

/* ---- A domain's life -------------------------------------------------------------------------- */

/* d's ports are closed and its vcpus stopped: let go of its page, if it has named one. */
static int pirq_dying(struct domain *d)
{
    if (!d->evtchn.pirq_eoi_map)
        return 0;
    unmap_global(d, d->evtchn.pirq_eoi_map);
    put_frame_and_type(mfn_frame(d->evtchn.pirq_eoi_mfn));
    d->evtchn.pirq_eoi_map = NULL;
    d->evtchn.pirq_eoi_mfn = 0;
    return 0;
}

static void pirq_free(struct domain *d)
{
    xfree_for_domain(d, d->pirqs);
}

static void pirq_visit_frames(const struct domain *d, void (*visit)(mfn_t mfn))
{
    if (d->evtchn.pirq_eoi_mfn)
        visit(d->evtchn.pirq_eoi_mfn);
}
DOMAIN_PART(pirq_part, .initial = pirq_give_machine, .dying = pirq_dying, .free = pirq_free,
            .visit_frames = pirq_visit_frames);
