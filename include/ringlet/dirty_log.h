/* SPDX-License-Identifier: MIT */
/*
 * dirty_log.h: which frames of a domain were written since somebody last asked (log-dirty mode).
 *
 * Who moves a running domain to another machine copies its memory, then what was written meanwhile,
 * and so on until little is left. Writes come from two sides:
 *
 *   the guest's own     are seen because its vcpus run on shadows of its page tables, where a frame
 *                       is writable only once it is in the log: mm/shadow.c
 *   the hypervisor's    to a frame by its number are told here by who makes them, as the frame is
 *                       unmapped: unmap_written(), mark_dirty(). (Those to a guest's address go
 *                       through the shadows like the guest's.)
 *
 * One write is in no log: Accessed, which the processor sets in a descriptor that is loaded. Where it
 * is lost, the next load sets it.
 *
 * Invariants:
 *  D1  d->dirty_log and its frames come and go under domctl_lock. While `on` is set it changes, and
 *      its frames go, only with none of d's vcpus on a CPU; and after `on` was cleared no CPU looks
 *      at them any more before they are freed (wait_for_cpus()).
 *  D2  dirty_count is the number of bits set in the leaves.
 *  D3  A write by the hypervisor is marked after it is done: whoever clears the log in between reads
 *      the frame's new contents, or finds the mark in the next round.
 *  D4  A struct shadow belongs to its CPU while that runs a vcpu of the domain, else to whoever
 *      holds domctl_lock with the domain paused. used <= nr_l1; l1[0..used) are named by the
 *      entries slot[0..used) of the l2s, and by nothing else.
 *
 * Read next: mm/dirty_log.c, mm/shadow.c, xen/domctl_shadow.c (the operations).
 */
#ifndef RINGLET_DIRTY_LOG_H
#define RINGLET_DIRTY_LOG_H

#include <ringlet/config.h>
#include <ringlet/lib.h>
#include <ringlet/page.h>
#include <ringlet/percpu.h>

struct domain;
struct frame;

/*
 * One bit a pfn, in frames of their own. Pfns are the guest's to choose; there is room for as many
 * as the M2P has frames.
 */
#define PFNS_PER_LEAF (8 * PAGE_SIZE)
#define LOG_LEAVES (MAX_FRAMES / PFNS_PER_LEAF)
#define LOG_PFNS MAX_FRAMES

/*
 * L1s of a CPU's shadow, 2 MiB of addresses each. One instruction touches fewer pages than the
 * least number: it can always be finished. More than the most is never worth its memory.
 */
#define SHADOW_L1S_LEAST 64
#define SHADOW_L1S_MOST 256

struct shadow {
    mfn_t l2[L3_ENTRIES];
    unsigned nr_l1, used;
    mfn_t l1[SHADOW_L1S_MOST];
    uint16_t slot[SHADOW_L1S_MOST]; /* address / 2 MiB */
};

struct dirty_log {
    volatile bool on;
    volatile bool lost;              /* a pfn was too high to be noted. Only ever set while on */
    uint32_t dirty_count;            /* D2; atomic */
    uint32_t fault_count;            /* page faults that only the shadows caused; atomic */
    mfn_t leaf[LOG_LEAVES];          /* 0: not allocated yet */
    struct shadow *shadow[MAX_CPUS]; /* NULL: not yet */
};

/* mm/dirty_log.c */

/* How many domains are in log-dirty mode; atomic. The one thing others look at: mostly it is 0. */
extern uint32_t logged_domains;

void note_dirty(mfn_t mfn);
void note_mapped_dirty(const void *va);
void note_frame_dirty(struct frame *f);
bool is_dirty(const struct domain *d, mfn_t mfn);
void note_pfn_dirty(struct domain *d, uint32_t pfn);
void mark_always_dirty(struct domain *d);
int report_leaf(struct dirty_log *log, unsigned leaf, uint8_t *guest, uint32_t bytes, bool clean);

/* Two instructions, which gcc would make three. */
static inline __attribute__((always_inline)) bool anybody_logged(void)
{
#ifdef RINGLET_HOST
    return logged_domains;
#else
    __asm__ goto("cmpl $0, %0\n\tjne %l1" : : "m"(logged_domains) : "cc" : yes);
    return false;
yes:
    return true;
#endif
}

/*
 * function(argument) if any domain is logged: two instructions where none is. The function is one of
 * arch/i386/logged.S.
 */
#ifdef RINGLET_HOST
#define IF_LOGGED(function, argument) \
    do {                              \
        if (unlikely(logged_domains)) \
            function(argument);       \
    } while (0)
#else
#define IF_LOGGED(function, argument)                               \
    __asm__ volatile("cmpl $0, %0\n\tjne 2f\n1:\n\t"                \
                     ".pushsection .text.fixup, \"ax\"\n"           \
                     "2: pushl %1\n\tcall saving_" #function "\n\t" \
                     "jmp 1b\n\t"                                   \
                     ".popsection"                                  \
                     :                                              \
                     : "m"(logged_domains), "ri"(argument)          \
                     : "memory", "cc")
#endif

/* The frame, to which the caller holds a reference, has been written: its owner's log shall say so. */
static inline void mark_dirty(mfn_t mfn)
{
    if (unlikely(anybody_logged()))
        note_dirty(mfn);
}

/* The same, where it is the frame's structure that is at hand. */
static inline void mark_frame_dirty(struct frame *f)
{
    IF_LOGGED(note_frame_dirty, f);
}

/* The same for what d has at a pfn. */
static inline void mark_pfn_dirty(struct domain *d, uint32_t pfn)
{
    if (unlikely(anybody_logged()))
        note_pfn_dirty(d, pfn);
}

/* unmap_frame() for one who wrote to the frame. */
static inline void unmap_written(const void *va)
{
    IF_LOGGED(note_mapped_dirty, va);
    unmap_frame(va);
}

/* mm/shadow.c */
void shadow_switch(const struct domain *d);
void shadow_empty(struct shadow *s);
void shadow_flush(uint32_t unused);
void shadow_flush_one(uint32_t va);
bool shadow_fault(uint32_t va, struct cpu_user_regs *regs);

/* xen/domctl_shadow.c: a dying domain's log. 0, or -ERESTART to be called again */
int dirty_log_end(struct domain *d);

#endif
