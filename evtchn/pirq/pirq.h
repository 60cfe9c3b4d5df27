/* SPDX-License-Identifier: MIT */
/*
 * pirq.h: physical IRQs, the names under which domains know interrupt lines: a PIRQ is a number a
 * line has in one domain, by PHYSDEVOP_map_pirq; most often the line's own.
 *
 * Read next: pirq.c.
 */
#ifndef RINGLET_PIRQ_H
#define RINGLET_PIRQ_H

#include <ringlet/domain.h>
#include <ringlet/page.h>

/* PIRQs a domain may name: more than lines, since it chooses the numbers. */
#define NR_PIRQS 256

/* pirq.c. Numbers are a guest's; errors as the function says. */
int pirq_give_machine(struct domain *d);
int pirq_map(struct domain *d, int line, int pirq);
long pirq_unmap(struct domain *d, int pirq);
int pirq_free_number(const struct domain *d);
int pirq_permit(const struct domain *caller, unsigned pirq, struct domain *d, bool allow);
long pirq_eoi(struct domain *d, unsigned pirq);
long pirq_eoi_unmasked(struct domain *d);
long pirq_set_mode(unsigned line, bool level, bool active_low);
long pirq_set_eoi_map(struct domain *d, mfn_t mfn, bool auto_unmask);
long pirq_read_ioapic(uint32_t address, uint32_t reg, uint32_t *value);
int pirq_line_of_pin(uint32_t address, uint32_t pin);

#endif
