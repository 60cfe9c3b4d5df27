/* SPDX-License-Identifier: MIT */
/*
 * machine.h: a machine and a few domains for host tests of the memory mechanisms.
 *
 * machine.c plays everything the units under test reach for outside mm/: memory, the frame table, the processor's
 * flushes, domains, guest copies. A test starts with machine_init(); what the hypervisor does to the outside is
 * counted in `seen`.
 */
#ifndef TEST_MACHINE_H
#define TEST_MACHINE_H

#include <ringlet/domain.h>
#include <ringlet/frame.h>
#include <ringlet/mm.h>

/* Frames below this have contents; the frame table may be larger. */
#define MACHINE_MEMORY_FRAMES 0x4000u

struct machine_seen {
    unsigned flushes, cleared, domains_freed, crashes, continuations;
    uint32_t continued[4]; /* arguments of the last hypercall_continue() */
};
extern struct machine_seen seen;

/* preempt_needed() says yes once after this many calls; 0: never. */
extern unsigned preempt_after;

/* A machine with `frames` frames of memory (frame 0 never usable), all free. */
void machine_init(uint32_t frames);
/* A live domain that may own max_pages; it has one vcpu, which becomes current when there is none. */
struct domain *machine_domain(domid_t id, uint32_t max_pages);
/* From here on the hypervisor acts for this domain. */
void machine_run(struct domain *d);
/* Drop the table's reference of a domain. */
void machine_forget(struct domain *d);

#endif
