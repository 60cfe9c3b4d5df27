/* SPDX-License-Identifier: MIT */
/*
 * dirty_log.h: which frames of a domain were written since somebody last asked (log-dirty mode).
 *
 * Who moves a running domain to another machine copies its memory, then what was written meanwhile,
 * and so on until little is left. Writes come from two sides:
 *
 *   the guest's own     are seen because its vcpus run on shadows of its page tables, where a frame
 *                       is writable only once it is in the log: mm/logdirty/shadow.c
 *   the hypervisor's    to a frame by its number are told here by who makes them, as the frame is
 *                       unmapped: unmap_written(), mark_dirty(). (Those to a guest's address go
 *                       through the shadows like the guest's.)
 *
 * One write is in no log: Accessed, which the processor sets in a descriptor that is loaded. Where it
 * is lost, the next load sets it.
 *
 * Invariants:
 *  DL1 d->dirty_log and its frames come and go under domctl_lock. While `on` is set it changes, and
 *      its frames go, only with none of d's vcpus on a CPU; and after `on` was cleared no CPU looks
 *      at them any more before they are freed (wait_for_cpus()).
 *  DL2 dirty_count is the number of bits set in the leaves.
 *  DL3 A write by the hypervisor is marked after it is done: whoever clears the log in between reads
 *      the frame's new contents, or finds the mark in the next round.
 *  DL4 A struct shadow belongs to its CPU while that runs a vcpu of the domain, else to whoever
 *      holds domctl_lock with the domain paused. used <= nr_l1; l1[0..used) are named by the
 *      entries slot[0..used) of the l2s, and by nothing else.
 *
 * Read next: mm/logdirty/dirty_log.c, mm/logdirty/shadow.c, mm/logdirty/domctl_shadow.c (the operations).
 */
#ifndef RINGLET_DIRTY_LOG_H
#define RINGLET_DIRTY_LOG_H

#include <ringlet/config.h>
#include <ringlet/lib.h>
#include <ringlet/page.h>
#include <ringlet/percpu.h>
#include <ringlet/written.h>

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
    uint32_t dirty_count;            /* DL2; atomic */
    uint32_t fault_count;            /* page faults that only the shadows caused; atomic */
    mfn_t leaf[LOG_LEAVES];          /* 0: not allocated yet */
    struct shadow *shadow[MAX_CPUS]; /* NULL: not yet */
};

/* mm/logdirty/dirty_log.c */
void note_dirty(mfn_t mfn);
bool is_dirty(const struct domain *d, mfn_t mfn);
void note_pfn_dirty(struct domain *d, uint32_t pfn);
void mark_always_dirty(struct domain *d);
int report_leaf(struct dirty_log *log, unsigned leaf, uint8_t *guest, uint32_t bytes, bool clean);

/* mm/logdirty/shadow.c */
void shadow_empty(struct shadow *s);

#endif
