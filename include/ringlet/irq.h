/* SPDX-License-Identifier: MIT */
/*
 * irq.h: interrupt lines of devices. A line is an input of the machine's interrupt controller: 0 to
 * 15 of the two PICs, or the inputs of all IO-APICs, counted as ACPI counts them ("global system
 * interrupts").
 *
 * Read next: arch/i386/irq.c, pic.c and ioapic/ioapic.c (the controllers), evtchn/pirq/pirq.c (how
 * guests have lines).
 */
#ifndef RINGLET_IRQ_H
#define RINGLET_IRQ_H

#include <ringlet/desc.h>
#include <ringlet/evtchn.h>
#include <ringlet/module.h>
#include <ringlet/page.h>
#include <ringlet/spinlock.h>

#define NR_ISA_IRQS 16

/*
 * One kind of interrupt controller. `line` is always below `lines`; irq_lock is held, but for
 * ack(), which only the CPU that took the interrupt calls.
 */
struct irq_controller {
    const char *name;
    unsigned lines;
    unsigned vector_base; /* line n interrupts as vector vector_base + n */
    uint32_t reserved;    /* lines, one bit each of the first 32, that no device is wired to */
    void (*mask)(unsigned line);
    void (*unmask)(unsigned line);
    bool (*pending)(unsigned line); /* false: the interrupt was spurious, nothing is to be done */
    void (*ack)(unsigned line);     /* the interrupt has been taken: others may come */
    void (*set_mode)(unsigned line, bool level, bool active_low); /* the line is masked */
    bool (*is_level)(unsigned line);
    unsigned (*line_of_isa)(unsigned irq); /* where the PC's IRQ 0 to 15 is wired to */
    bool (*init)(void);                    /* boot; false: none found, or none that can be used */
    /* Of an IO-APIC at this physical address, for the initial domain; NULL or -EINVAL: there is none. */
    int (*read_register)(uint32_t address, uint32_t reg, uint32_t *value);
    int (*line_of_pin)(uint32_t address, uint32_t pin);
};

/* arch/i386/pic.c */
extern const struct irq_controller pic_controller;

/*
 * IRQ_CONTROLLER(c): a controller to be used instead of the PICs where this machine has it and a
 * local APIC. Boot only.
 */
struct irq_controller_record {
    struct irq_controller *controller;
};
MODULE_RECORDS(struct irq_controller_record, irq_controller);
#define IRQ_CONTROLLER(name)                                                           \
    MODULE_RECORD(struct irq_controller_record, irq_controller, irq_controller_##name, \
                  .controller = &(name))

/*
 * GUEST_LINES(fn): fn(line) is called for an interrupt on a line that is not the hypervisor's own,
 * with irq_lock held. There is one such function, or none: then the line is masked.
 */
struct guest_lines_record {
    void (*interrupt)(unsigned line);
};
MODULE_RECORDS(struct guest_lines_record, guest_lines);
#define GUEST_LINES(function) \
    MODULE_RECORD(struct guest_lines_record, guest_lines, guest_lines_record, .interrupt = function)

/*
 * arch/i386/irq.c. irq_lock: the controller's registers, which line is the hypervisor's own, which a
 * domain's, and domains' PIRQs. Of the rank of VIRQs' locks: like them it guards the port an event
 * goes to, and is never held together with one.
 */
extern spinlock_t irq_lock;
extern const struct irq_controller *irq_controller;
void irq_init(const struct irq_controller *c);
void irq_register(unsigned isa_irq, void (*handler)(void));
void irq_interrupt(unsigned vector);
bool irq_line_exists(int line);
bool irq_line_is_own(unsigned line);

#endif
