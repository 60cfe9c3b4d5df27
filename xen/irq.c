/* SPDX-License-Identifier: MIT */
/*
 * irq.c: who gets the interrupts of the machine's lines.
 *
 * A line is the hypervisor's own (irq_register: the console's UART), or the initial domain's, whose
 * drivers do the rest: it maps the line to a PIRQ number, binds the PIRQ to an event channel, and
 * each interrupt makes that port pending. Other domains have no lines: what they know of a device
 * comes from the initial domain's drivers.
 *
 * A level-triggered line asks until the device is satisfied, and only the guest's driver can satisfy
 * it. So the line is masked when its interrupt is sent on, and unmasked when the guest says that it
 * is done (PHYSDEVOP_eoi); if the device still asks then, or another one on the same line does, the
 * next interrupt comes at once. Without the mask it would come at once anyway, for ever, and the
 * guest would never run. An edge is over when it has been seen: it needs no mask, and one that comes
 * while the event is pending is told by the same event.
 *
 * Invariants, under irq_lock:
 *  I1  lines[l].pirq == p (not 0) exactly when pirqs[p].line == l: both directions agree.
 *  I2  a line is open (not masked) exactly when it has a handler, or has a PIRQ with a port and is
 *      not `waiting`. It has never both: a PIRQ of a line with a handler has no port.
 *  I3  a `waiting` line is level-triggered and bound: its guest owes an EOI.
 *
 * Read next: xen/physdev.c (the hypercall), evtchn/event_channel.c (EVTCHNOP_bind_pirq),
 * arch/i386/ioapic.c and pic.c (the controllers).
 */
#include <ringlet/bitops.h>
#include <ringlet/hypercall.h>
#include <ringlet/irq.h>
#include <ringlet/mm.h>
#include <ringlet/ports.h>

#define NO_LINE (-1)

/*
 * irq_lock: all of this file's data, and the controller's registers. Of the rank of VIRQs' locks:
 * like them it guards the port an event goes to, and is never held together with one.
 */
static spinlock_t irq_lock = SPINLOCK_INIT(RANK_VIRQ);
static const struct irq_controller *controller; /* boot constant */

static struct line {
    void (*handler)(void); /* the hypervisor's own line */
    unsigned pirq;         /* 0: none */
    bool waiting;          /* masked until PHYSDEVOP_eoi */
} lines[NR_LINES];

static struct pirq {
    int line; /* NO_LINE: this number is free */
    evtchn_port_t port;
} pirqs[NR_PIRQS];

/* Does this line exist, with devices wired to it? */
static bool line_exists(int line)
{
    if (line < 0 || (unsigned)line >= controller->lines)
        return false;
    return line >= 32 || !(controller->reserved >> line & 1);
}

static void connect_pirq(int line, int pirq)
{
    lines[line].pirq = (unsigned)pirq;
    pirqs[pirq].line = line;
}

/*
 * Take this controller; its lines are masked. The ISA bus's lines have the PIRQs of their own
 * numbers from the start: kernels bind those unasked. Boot only.
 */
void irq_init(const struct irq_controller *c)
{
    controller = c;
    memset(lines, 0, sizeof(lines));
    for (int pirq = 0; pirq < NR_PIRQS; pirq++)
        pirqs[pirq] = (struct pirq){.line = NO_LINE};
    for (int line = 1; line < NR_ISA_IRQS; line++)
        if (line_exists(line))
            connect_pirq(line, line);
    log_message(LOG_INFO, "Interrupts: %s, %u lines\n", c->name, c->lines);
}

/*
 * The PC's IRQ `isa_irq` is the hypervisor's: `handler` is called for each interrupt, with
 * interrupts off and no lock held. Boot only.
 */
void irq_register(unsigned isa_irq, void (*handler)(void))
{
    unsigned line = controller->line_of_isa(isa_irq);

    ASSERT(isa_irq < NR_ISA_IRQS && line < NR_LINES);
    spin_lock(&irq_lock);
    lines[line].handler = handler;
    controller->unmask(line);
    spin_unlock(&irq_lock);
}

/* Send a line's interrupt to the initial domain. A line nobody listens to is closed. */
static void send_to_guest(unsigned line)
{
    struct line *l = &lines[line];
    const struct pirq *p = &pirqs[l->pirq];
    struct domain *d = initial_domain;

    if (!l->pirq || !p->port) {
        controller->mask(line);
        return;
    }
    if (controller->is_level(line)) {
        controller->mask(line);
        l->waiting = true;
    }
    evtchn_set_pending(d, evtchn_at(d, p->port), p->port);
}

/*
 * An interrupt with a vector that is no other's. It stays "in service" in the controller until ack(),
 * so that a level-triggered line is masked, or its device satisfied, before it can interrupt again.
 */
void irq_interrupt(unsigned vector)
{
    unsigned line = vector - controller->vector_base;
    void (*handler)(void);

    if (line >= controller->lines || !controller->pending(line))
        return;
    spin_lock(&irq_lock);
    handler = lines[line].handler;
    if (!handler)
        send_to_guest(line);
    spin_unlock(&irq_lock);
    if (handler)
        handler();
    controller->ack(line);
}

/* ---- PIRQs ----------------------------------------------------------------------------------- */

/* A free number, from the highest down: the low ones are lines' own. -ENOSPC. */
int pirq_free_number(void)
{
    int pirq;

    spin_lock(&irq_lock);
    for (pirq = NR_PIRQS - 1; pirq > 0 && pirqs[pirq].line != NO_LINE; pirq--)
        ;
    spin_unlock(&irq_lock);
    return pirq ? pirq : -ENOSPC;
}

/*
 * Let `pirq` be `line`; negative: whatever number fits. Returns the number.
 *  1. -EINVAL: no such line, or no such number. 0 is no PIRQ.
 *  2. -EEXIST: the line or the number is already mapped otherwise. The same again succeeds.
 * The hypervisor's own lines can be mapped: it is binding that is refused.
 */
int pirq_map(int line, int pirq)
{
    int rc;

    if (!line_exists(line) || line == 0 || pirq == 0 || pirq >= NR_PIRQS)
        return -EINVAL;
    spin_lock(&irq_lock);
    if (pirq < 0)
        pirq = lines[line].pirq ? (int)lines[line].pirq : line;
    rc = pirq;
    if (lines[line].pirq ? lines[line].pirq != (unsigned)pirq : pirqs[pirq].line != NO_LINE)
        rc = -EEXIST;
    else
        connect_pirq(line, pirq);
    spin_unlock(&irq_lock);
    return rc;
}

/* No more interrupts for this PIRQ's guest. irq_lock is held. */
static void silence(struct pirq *p)
{
    if (p->port) {
        controller->mask((unsigned)p->line);
        lines[p->line].waiting = false;
        p->port = 0;
    }
}

/*
 * The number is free again. A port still bound to it stays, and stays silent. -EINVAL: not mapped.
 */
long pirq_unmap(int pirq)
{
    long rc = -EINVAL;

    if (pirq <= 0 || pirq >= NR_PIRQS)
        return rc;
    spin_lock(&irq_lock);
    if (pirqs[pirq].line != NO_LINE) {
        silence(&pirqs[pirq]);
        lines[pirqs[pirq].line].pirq = 0;
        pirqs[pirq].line = NO_LINE;
        rc = 0;
    }
    spin_unlock(&irq_lock);
    return rc;
}

/* Tell the guest by its page whether the PIRQ needs PHYSDEVOP_eoi. irq_lock is held. */
static void note_eoi_needed(unsigned pirq)
{
    uint32_t *map = initial_domain->evtchn.pirq_eoi_map;

    if (!map)
        return;
    if (controller->is_level((unsigned)pirqs[pirq].line))
        test_and_set_bit(pirq, map);
    else
        test_and_clear_bit(pirq, map);
}

/*
 * Send the PIRQ's interrupts to this port of the initial domain's, from now on. evtchn_lock is held.
 * -EINVAL: not mapped; -EEXIST: it has a port; -EBUSY: the line is the hypervisor's.
 */
int pirq_bind(unsigned pirq, evtchn_port_t port)
{
    struct pirq *p = &pirqs[pirq];
    int rc = 0;

    spin_lock(&irq_lock);
    if (p->line == NO_LINE) {
        rc = -EINVAL;
    } else if (p->port) {
        rc = -EEXIST;
    } else if (lines[p->line].handler) {
        rc = -EBUSY;
    } else {
        p->port = port;
        note_eoi_needed(pirq);
        controller->unmask((unsigned)p->line);
    }
    spin_unlock(&irq_lock);
    return rc;
}

/* The port is being closed. The PIRQ may have been unmapped, and mapped and bound anew. */
void pirq_unbind(unsigned pirq, evtchn_port_t port)
{
    struct pirq *p = &pirqs[pirq];

    spin_lock(&irq_lock);
    if (p->port == port)
        silence(p);
    spin_unlock(&irq_lock);
}

/* The guest has dealt with the interrupt. irq_lock is held. */
static void end_interrupt(struct line *l, unsigned line)
{
    if (l->waiting) {
        l->waiting = false;
        controller->unmask(line);
    }
}

/* PHYSDEVOP_eoi, from the initial domain. -EINVAL: no such PIRQ. Not due: nothing happens. */
long pirq_eoi(unsigned pirq)
{
    struct domain *d = initial_domain;
    long rc = -EINVAL;

    if (pirq >= NR_PIRQS)
        return rc;
    spin_lock(&d->evtchn_lock);
    spin_lock(&irq_lock);
    if (pirqs[pirq].line != NO_LINE) {
        if (d->evtchn.pirq_auto_unmask && pirqs[pirq].port)
            evtchn_unmask(d, pirqs[pirq].port);
        end_interrupt(&lines[pirqs[pirq].line], (unsigned)pirqs[pirq].line);
        rc = 0;
    }
    spin_unlock(&irq_lock);
    spin_unlock(&d->evtchn_lock);
    return rc;
}

/*
 * How a line is wired, as the guest read it in the firmware's tables.
 *  1. -EINVAL: no such line.
 *  2. -EEXIST: in use. Its mode stays; a guest that asks again lives with this answer.
 */
long irq_set_mode(unsigned line, bool level, bool active_low)
{
    long rc = 0;

    if (line >= controller->lines || !line_exists((int)line))
        return -EINVAL;
    spin_lock(&irq_lock);
    if (lines[line].handler || (lines[line].pirq && pirqs[lines[line].pirq].port))
        rc = -EEXIST;
    else
        controller->set_mode(line, level, active_low);
    spin_unlock(&irq_lock);
    return rc;
}

/*
 * The initial domain's page with a bit for each PIRQ; the reference to its frame, writable, becomes
 * ours. -EBUSY: there is one; -ENOMEM: it cannot be mapped.
 */
long pirq_set_eoi_map(struct domain *d, mfn_t mfn, bool unmask)
{
    uint32_t *map = map_global(mfn);
    bool taken;

    if (!map)
        return -ENOMEM;
    spin_lock(&irq_lock);
    taken = d->evtchn.pirq_eoi_map != NULL;
    if (!taken) {
        d->evtchn.pirq_eoi_map = map;
        d->evtchn.pirq_eoi_mfn = mfn;
        d->evtchn.pirq_auto_unmask = unmask;
        for (unsigned pirq = 0; pirq < NR_PIRQS; pirq++)
            if (pirqs[pirq].line != NO_LINE)
                note_eoi_needed(pirq);
    }
    spin_unlock(&irq_lock);
    if (taken)
        unmap_global(map);
    return taken ? -EBUSY : 0;
}

/* The guest looks at an IO-APIC's register. -EINVAL: no such one. */
long irq_read_ioapic(uint32_t address, uint32_t reg, uint32_t *value)
{
    long rc;

    spin_lock(&irq_lock);
    rc = ioapic_read(address, reg, value);
    spin_unlock(&irq_lock);
    return rc;
}
