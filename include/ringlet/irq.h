/* SPDX-License-Identifier: MIT */
/*
 * irq.h: interrupt lines of devices, and physical IRQs, the names under which domains know them.
 *
 *   line   an input of the machine's interrupt controller: 0 to 15 of the two PICs, or the inputs
 *          of all IO-APICs, counted as ACPI counts them ("global system interrupts")
 *   PIRQ   a number a line has in one domain, by PHYSDEVOP_map_pirq; most often the line's own
 *
 * Read next: xen/irq.c (who gets an interrupt), arch/i386/ioapic/ioapic.c and pic.c (the controllers).
 */
#ifndef RINGLET_IRQ_H
#define RINGLET_IRQ_H

#include <ringlet/desc.h>
#include <ringlet/evtchn.h>
#include <ringlet/module.h>
#include <ringlet/page.h>

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

/* xen/irq.c: the hypervisor's own side */
void irq_init(const struct irq_controller *c);
void irq_register(unsigned isa_irq, void (*handler)(void));
void irq_interrupt(unsigned vector);

/* xen/irq.c: domains' PIRQs. Numbers are a guest's; errors as the function says. */
int irq_give_machine(struct domain *d);
int pirq_map(struct domain *d, int line, int pirq);
long pirq_unmap(struct domain *d, int pirq);
int pirq_free_number(const struct domain *d);
int pirq_permit(const struct domain *caller, unsigned pirq, struct domain *d, bool allow);
int pirq_bind(struct domain *d, unsigned pirq, evtchn_port_t port);
void pirq_unbind(struct domain *d, unsigned pirq, evtchn_port_t port);
long pirq_eoi(struct domain *d, unsigned pirq);
long pirq_eoi_unmasked(struct domain *d);
long irq_set_mode(unsigned line, bool level, bool active_low);
long pirq_set_eoi_map(struct domain *d, mfn_t mfn, bool auto_unmask);
void pirq_drop_eoi_map(struct domain *d);
long irq_read_ioapic(uint32_t address, uint32_t reg, uint32_t *value);
int irq_line_of_pin(uint32_t address, uint32_t pin);

#endif
