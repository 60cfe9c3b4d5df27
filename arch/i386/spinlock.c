/* SPDX-License-Identifier: MIT */
/*
 * spinlock.c: debug builds check that locks are taken in the order of spinlock.h.
 *
 * Each CPU keeps one bit for every rank it holds. Taking a lock of a rank at or below the highest
 * held could, with two CPUs, end in each waiting for the other; it is reported on the first CPU
 * that tries, however rarely they would meet. Two locks of the same rank (two domains' event locks)
 * are taken lower domid first by the one function that does so, which is why an equal rank is
 * allowed where `rank_may_nest` says so.
 */
#include <ringlet/percpu.h>
#include <ringlet/spinlock.h>

static bool rank_may_nest(unsigned rank)
{
    return rank == RANK_EVTCHN || rank == RANK_GRANT || rank == RANK_MM;
}

void spin_lock_check(spinlock_t *l)
{
    struct cpu *c = this_cpu;
    uint32_t at_or_above = ~((1u << l->rank) - 1);

    ASSERT(l->rank > 0 && l->rank < RANK_MAX);
    if (rank_may_nest(l->rank))
        at_or_above &= ~(1u << l->rank);
    ASSERT(!(c->locks_held & at_or_above));
    c->locks_held |= 1u << l->rank;
    c->lock_depth[l->rank]++;
}

void spin_unlock_check(spinlock_t *l)
{
    struct cpu *c = this_cpu;

    ASSERT(l->held && c->lock_depth[l->rank] > 0);
    if (--c->lock_depth[l->rank] == 0)
        c->locks_held &= ~(1u << l->rank);
}
