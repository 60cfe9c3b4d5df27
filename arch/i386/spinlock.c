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

/*
 * Read, do not exchange, while it is held: readers share the cache line. And do not wait blindly:
 * the holder may itself be waiting for this CPU to flush its TLB (see cpu_relax()).
 */
void spin_wait(spinlock_t *l)
{
    do {
        while (l->held)
            cpu_relax();
    } while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE));
}

/* A lock that was never initialised has no bit and forbids nothing. */
void spin_lock_check(spinlock_t *l)
{
    struct cpu *c = this_cpu;

    ASSERT(l->bit && !(c->locks_held & l->forbids));
    c->locks_held |= l->bit;
    c->lock_depth[l->rank]++;
}

void spin_unlock_check(spinlock_t *l)
{
    struct cpu *c = this_cpu;

    ASSERT(l->held && (c->locks_held & l->bit));
    if (--c->lock_depth[l->rank] == 0)
        c->locks_held ^= l->bit;
}
