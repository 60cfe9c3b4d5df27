/* SPDX-License-Identifier: MIT */
/*
 * written.h: telling a module that watches a domain's memory what the hypervisor writes there.
 *
 * The hypervisor writes to a guest's frames in two ways: at a guest's address, which goes through the
 * tables the guest runs on, and to a frame by its number, in a transient mapping. Only the second kind
 * is told here, by the code that writes, after the write is done. While no domain is watched it costs
 * a comparison.
 *
 * Read next: mm/written.c, mm/logdirty/dirty_log.h (the module that watches).
 */
#ifndef RINGLET_WRITTEN_H
#define RINGLET_WRITTEN_H

#include <ringlet/module.h>
#include <ringlet/page.h>
#include <ringlet/percpu.h>

struct cpu_user_regs;
struct domain;
struct frame;

/*
 * WATCH_PART(name, ...): a module that runs watched domains on page tables of its own, to see what
 * they write. Its functions are called while watched_domains is not 0, and every one is there.
 */
struct watch_part {
    void (*written)(mfn_t mfn);                          /* the frame, of any owner, was written */
    void (*pfn_written)(struct domain *d, uint32_t pfn); /* d has another frame at this pfn */
    void (*switch_to)(const struct domain *d); /* this CPU is about to run d; NULL: idle */
    void (*flush)(void);                       /* before the TLB of this CPU is flushed */
    void (*flush_one)(uint32_t va);            /* before one page of it is */
    bool (*page_fault)(uint32_t va, struct cpu_user_regs *regs); /* true: try again */
};
MODULE_RECORDS(struct watch_part, watch_part);
#define WATCH_PART(name, ...) MODULE_RECORD(struct watch_part, watch_part, name, __VA_ARGS__)

/* mm/written.c */
/* How many domains are watched; atomic. The module that watches counts. */
extern uint32_t watched_domains;
void note_written(mfn_t mfn);
void note_frame_written(struct frame *f);
void note_mapped_written(const void *va);
void note_pfn_written(struct domain *d, uint32_t pfn);
void watch_switch_to(const struct domain *d);
void watch_flush(void);
void watch_flush_one(uint32_t va);
bool watch_page_fault(uint32_t va, struct cpu_user_regs *regs);

static inline bool anybody_watched(void)
{
    return unlikely(*(volatile uint32_t *)&watched_domains);
}

/* The frame, to which the caller holds a reference, has been written. */
static inline void mark_dirty(mfn_t mfn)
{
    if (anybody_watched())
        note_written(mfn);
}

/* The same, where it is the frame's structure that is at hand. */
static inline void mark_frame_dirty(struct frame *f)
{
    if (anybody_watched())
        note_frame_written(f);
}

/* The same for what d has at a pfn. */
static inline void mark_pfn_dirty(struct domain *d, uint32_t pfn)
{
    if (anybody_watched())
        note_pfn_written(d, pfn);
}

/* unmap_frame() of a transient mapping through which the frame was written. */
static inline void unmap_written(const void *va)
{
    if (anybody_watched())
        note_mapped_written(va);
    unmap_frame(va);
}

#endif
