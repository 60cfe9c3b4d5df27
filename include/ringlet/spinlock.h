/* SPDX-License-Identifier: MIT */
/*
 * spinlock.h: mutual exclusion between CPUs, and the one order in which locks may be taken.
 *
 * Hypervisor code runs with interrupts off from entry to exit, so a lock also keeps its holder from
 * being interrupted. A lock lists the fields it guards where it is declared. A CPU may take a lock
 * only of a rank above every rank it holds; debug builds check it. The ranks, in the order of
 * taking:
 */
#ifndef RINGLET_SPINLOCK_H
#define RINGLET_SPINLOCK_H

#include <ringlet/lib.h>

enum lock_rank {
    RANK_DOMCTL = 1, /* domctl_lock: one control operation at a time */
    RANK_DOMLIST,    /* domlist_lock: the table of domains */
    RANK_MM,         /* domain.mm_lock: page tables, descriptor tables of one domain */
    RANK_GRANT,      /* domain.grant.lock: grant and maptrack tables of one domain */
    RANK_EVTCHN,     /* domain.evtchn_lock: ports of one domain (two domains: lower domid first) */
    RANK_PAGES,      /* domain.page_lock: the list of a domain's frames, tot_pages, max_pages */
    RANK_HEAP,       /* heap_lock: free frames */
    RANK_VIRQ,       /* vcpu.virq_lock, irq_lock of irq.c: the ports that VIRQs and PIRQs go to */
    RANK_FIFO,       /* domain.fifo_lock: event queues of one domain */
    RANK_RUNQ,       /* runq_lock: the run queue, what runs where, vcpus' run states */
    RANK_TIMER,      /* cpu.timer_lock: the heap of timers of one CPU */
    RANK_WALLCLOCK,  /* wallclock_lock of time.c: the wall clock in shared_infos */
    RANK_LINE,       /* line_lock of console_io.c: domain.line, domain.line_length */
    RANK_CONSOLE,    /* console_lock: output and input rings of the console */
    RANK_MAX
};

/*
 * Locks of these ranks may be held two at a time: those of two domains, the lower domid's first, by
 * the one function of each mechanism that does so.
 */
#define RANKS_THAT_NEST (1u << RANK_MM | 1u << RANK_GRANT | 1u << RANK_EVTCHN)

typedef struct spinlock {
    volatile uint8_t held;
    uint8_t rank;     /* enum lock_rank */
    uint16_t bit;     /* 1 << rank */
    uint16_t forbids; /* ranks, one bit each, of which no lock may be held when this one is taken */
} spinlock_t;
_Static_assert(RANK_MAX <= 16, "a bit of `forbids` for each rank");

#define SPINLOCK_INIT(r)                                                \
    {                                                                   \
        .rank = (r), .bit = 1u << (r),                                  \
        .forbids = 0xffff & -(1u << (r)) & ~(1u << (r)&RANKS_THAT_NEST) \
    }

static inline void spin_lock_init(spinlock_t *l, enum lock_rank rank)
{
    *l = (spinlock_t)SPINLOCK_INIT(rank);
}

/* arch/i386/spinlock.c: the debug half, which knows the ranks this CPU holds, and waiting */
void spin_lock_check(spinlock_t *l);
void spin_unlock_check(spinlock_t *l);
/* Wait for a lock that another CPU has, and take it. */
void spin_wait(spinlock_t *l);

static inline void spin_lock(spinlock_t *l)
{
#ifndef NDEBUG
    spin_lock_check(l);
#endif
    if (unlikely(__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)))
        spin_wait(l);
}

/* Take the lock if it is free. */
static inline bool spin_trylock(spinlock_t *l)
{
    if (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE))
        return false;
#ifndef NDEBUG
    spin_lock_check(l);
#endif
    return true;
}

static inline void spin_unlock(spinlock_t *l)
{
#ifndef NDEBUG
    spin_unlock_check(l);
#endif
    __atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

static inline bool spin_is_locked(const spinlock_t *l)
{
    return l->held;
}

#endif
