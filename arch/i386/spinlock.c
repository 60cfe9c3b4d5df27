/* SPDX-License-Identifier: MIT */
/*
 * spinlock.c: debug builds check that locks are taken in the order of spinlock.h.
 *
 * Each CPU keeps one bit for every rank it holds. Taking a lock of a rank at or below the highest
 * held could, with two CPUs, end in each waiting for the other; it is reported on the first CPU that
 * tries, however rarely they would meet. What a lock forbids is worked out when it is initialised, as
 * these checks stand in every hot path of a debug build.
 */
#include <ringlet/percpu.h>
#include <ringlet/spinlock.h>

/* A lock that was never initialised has no rank and forbids nothing. */
void spin_lock_check(spinlock_t *l)
{
    struct cpu *c = this_cpu;

    ASSERT(l->rank && !(c->locks_held & l->forbids));
    c->locks_held |= 1u << l->rank;
    c->lock_depth[l->rank]++;
}

void spin_unlock_check(spinlock_t *l)
{
    struct cpu *c = this_cpu;
    unsigned rank = l->rank;

    ASSERT(l->held && c->lock_depth[rank]);
    if (--c->lock_depth[rank] == 0)
        c->locks_held &= ~(1u << rank);
}
