/* SPDX-License-Identifier: MIT */
/*
 * machine.h: a machine and a few domains for host tests of the memory mechanisms.
 *
 * machine.c plays everything the units under test reach for outside mm/: memory, the frame table,
 * the processor's flushes, domains, guest copies. A test starts with machine_init(); what the
 * hypervisor does to the outside is counted in `seen`.
 */
#ifndef TEST_MACHINE_H
#define TEST_MACHINE_H

#include <ringlet/domain.h>
#include <ringlet/frame.h>
#include <ringlet/mm.h>

/* Frames below this have contents, some of them above 4 GiB; the frame table may be larger. */
#define MACHINE_MEMORY_FRAMES 0x100800u

struct machine_seen {
    unsigned flushes, cleared, domains_freed, crashes, continuations, maps_held;
    uint32_t continued[4]; /* arguments of the last hypercall_continue() */
};
extern struct machine_seen seen;

/* Called, if set, when a lock is about to be dropped. */
extern void (*machine_on_unlock)(const spinlock_t *l);

/*
 * preempt_needed() says yes once, at this many calls from now; 0: never. With preempt_stays it goes
 * on saying so, as it does until somebody has dealt with what is pending.
 */
extern unsigned preempt_after;
extern bool preempt_stays;

/* A machine with `frames` frames of memory (frame 0 never usable), all free. */
void machine_init(uint32_t frames);
/* 0 to n - 1; the same sequence in each run of a test that begins with machine_init(). */
uint32_t machine_random(uint32_t n);
/*
 * A live domain that may own max_pages; it has one vcpu, which becomes current when there is none.
 */
struct domain *machine_domain(domid_t id, uint32_t max_pages);
/* From here on the hypervisor acts for this domain. */
void machine_run(struct domain *d);
/* Drop the table's reference of a domain. */
void machine_forget(struct domain *d);
/* End a domain as xen/domain.c does: its pages, its shared pages, the table's reference. */
void machine_kill(struct domain *d);

/*
 * What guests may point at: everything else faults. It lies below 4 GiB, where guest_range_ok()
 * believes it. The first half may be written, the second is read-only to guests.
 */
#define GUEST_MEMORY ((uint8_t *)0x10000000)
#define GUEST_MEMORY_SIZE 0x100000

/* An empty L1 page table of d's, in use (it has a type reference) until machine_drop_table(). */
mfn_t machine_l1(struct domain *d);
/*
 * The same, and it maps linear addresses 0 to 2 MiB of whoever runs now. machine_drop_table() the
 * L2 then.
 */
mfn_t machine_address_space(struct domain *d, mfn_t *l1);
void machine_drop_table(mfn_t table);
pte_t machine_pte(mfn_t table, unsigned index);

/*
 * machine_cpu.c. machine_cpu_init() comes after machine_init(). machine_switch() is machine_run()
 * on the domain's own page tables. machine_domain_kill() is xen/domain.c's domain_kill(), by
 * mm/teardown.c: 0, or -ERESTART to be called again.
 */
void machine_cpu_init(void);
void machine_switch(struct domain *d);
long machine_domain_kill(struct domain *d);

#endif
