/* SPDX-License-Identifier: MIT */
/*
 * multicall.c: HYPERVISOR_multicall: several hypercalls for one crossing into ring 0 (xen/xen.h).
 *
 *  1. Each entry's result is written back to it. The multicall itself fails only where an entry
 *     cannot be read or written.
 *  2. An entry that gives way is written back with its new arguments, and the multicall continues
 *     from it.
 *  3. `iret` is carried out and ends the multicall: what follows would run in the context returned
 *     to. So would an error: whether its result could be written is not told.
 *  4. A multicall within a multicall is refused: -EINVAL.
 */
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/sched.h>

/* Entries between two looks at what waits; after a memory_op, which may clear 4 MiB, at once. */
#define PREEMPT_EVERY 8

#define ENDS 1 /* not an error: the entry was the last to run */

/*
 * walk 20: Many calls for one crossing
 *
 * Claim: A list of hypercalls costs one crossing of the rings. Each entry is read once, into the
 * hypervisor's memory, and carried out from there; its result is written back. An entry that gives
 * way is written back with its new arguments. An iret ends the list: what follows would run with a
 * kernel's rights in the context that iret returned to.
 * Without it: An entry read twice could be changed by another vcpu after it was checked. Entries
 * behind an iret into ring 3 were carried out as the kernel's (XSA-213).
 * Shown by: tests/guests/xsa/xsa-213/main.c::iret_to_self, tests/guests/xsa/xsa-213/main.c::iret_to_user,
 * tests/guests/hostile/out-args/main.c::multicall
 */
/* On CPU c, this one: not asked for again in each entry. */
static int run_entry(struct cpu *c, struct multicall_entry *e, struct multicall_entry *guest)
{
    uint32_t result;

    if (!get_guest_words4(e, guest) || !get_guest_words4(&e->args[2], &guest->args[2]))
        return -EFAULT;
    c->multicall_continued = false;
    result = call_hypercall(e->op, (const uint32_t *)e->args);
    if (unlikely(c->multicall_continued))
        return copy_to_guest(guest, e, sizeof(*e)) ? -EFAULT : -ERESTART;
    if (!put_guest_words(&guest->result, &result, 1) && e->op != __HYPERVISOR_iret)
        return -EFAULT;
    return unlikely(e->op == __HYPERVISOR_iret) ? ENDS : 0;
}

asmlinkage long do_multicall(void *guest_calls, uint32_t nr)
{
    struct cpu *c = this_cpu;
    struct multicall_entry *calls = guest_calls, entry;
    const struct domain *d = current->domain;
    long rc = 0;
    uint32_t i;

    if (c->multicall)
        return -EINVAL;
    if (nr > HYPERVISOR_START / sizeof(entry) || !guest_range_ok(calls, nr * sizeof(entry)))
        return -EFAULT;
    c->multicall = &entry;
    for (i = 0; i < nr && !rc; i++) {
        if (unlikely(i % PREEMPT_EVERY == PREEMPT_EVERY - 1) && preempt_needed()) {
            rc = -ERESTART;
            break;
        }
        rc = run_entry(c, &entry, &calls[i]);
        if (rc)
            break;
        if (unlikely(d->crashed))
            break;
        if (unlikely(entry.op == __HYPERVISOR_memory_op) && preempt_needed())
            rc = -ERESTART;
    }
    c->multicall = NULL;
    if (rc == ENDS)
        return c->iret_eax;
    if (rc == -ERESTART)
        return hypercall_continue(__HYPERVISOR_multicall, 2, &calls[i], nr - i);
    return rc;
}
HYPERCALL(multicall);
