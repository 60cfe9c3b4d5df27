/* SPDX-License-Identifier: MIT */
/*
 * irq.c: interrupts of the machine's lines.
 *
 * A line is the hypervisor's own (irq_register: the timer, the console's UART), or a guest's, whose
 * drivers do the rest. Guests' lines are the affair of a module, evtchn/pirq, which GUEST_LINES()
 * makes known; without it a line that is not the hypervisor's stays masked.
 *
 * Read next: evtchn/pirq/pirq.c (guests' lines), pic.c and ioapic/ioapic.c (the controllers).
 */
#include <ringlet/irq.h>

spinlock_t irq_lock = SPINLOCK_INIT(RANK_VIRQ);
const struct irq_controller *irq_controller; /* boot constant */
static void (*handlers[NR_LINES])(void);     /* of the hypervisor's own lines; irq_lock */

/* Does this line exist, with devices wired to it? */
bool irq_line_exists(int line)
{
    if (line < 0 || (unsigned)line >= irq_controller->lines)
        return false;
    return line >= 32 || !(irq_controller->reserved >> line & 1);
}

/* Is this line the hypervisor's own? irq_lock is held. */
bool irq_line_is_own(unsigned line)
{
    return handlers[line] != NULL;
}

/* Take this controller; its lines are masked. Boot only. */
void irq_init(const struct irq_controller *c)
{
    irq_controller = c;
    memset(handlers, 0, sizeof(handlers));
    log_message(LOG_INFO, "Interrupts: %s, %u lines\n", c->name, c->lines);
}

/*
 * The PC's IRQ `isa_irq` is the hypervisor's: `handler` is called for each interrupt, with
 * interrupts off and no lock held. Boot only.
 */
void irq_register(unsigned isa_irq, void (*handler)(void))
{
    unsigned line = irq_controller->line_of_isa(isa_irq);

    ASSERT(isa_irq < NR_ISA_IRQS && line < NR_LINES);
    spin_lock(&irq_lock);
    handlers[line] = handler;
    irq_controller->unmask(line);
    spin_unlock(&irq_lock);
}

/* An interrupt on a line that is not the hypervisor's own. irq_lock is held. */
static void send_to_guest(unsigned line)
{
    const struct guest_lines_record *guests = __start_module_guest_lines;

    if (guests < __stop_module_guest_lines)
        guests->interrupt(line);
    else
        irq_controller->mask(line);
}

/*
 * An interrupt with a vector that is no other's. It stays "in service" in the controller until ack(),
 * so that a level-triggered line is masked, or its device satisfied, before it can interrupt again.
 */
void irq_interrupt(unsigned vector)
{
    unsigned line = vector - irq_controller->vector_base;
    void (*handler)(void);

    if (line >= irq_controller->lines || !irq_controller->pending(line))
        return;
    spin_lock(&irq_lock);
    handler = handlers[line];
    if (!handler)
        send_to_guest(line);
    spin_unlock(&irq_lock);
    if (handler)
        handler();
    irq_controller->ack(line);
}
