/* SPDX-License-Identifier: MIT */
/*
 * hostile.h: what the parts of the hostile guest share: its generator, its arena, and the record of
 * each kind of operation.
 *
 * Next: main.c (the story), arena.c (the model), mmu.c, memory.c, grants.c, others.c.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>
#include <stdint.h>

#include <pv/page.h>

/* --- main.c: chance, and the end ------------------------------------------------------------- */

/* The next number of the seeded sequence; one below n; true once in n. */
uint32_t rnd(void);
static inline uint32_t below(uint32_t n)
{
    return rnd() % n;
}
static inline bool once_in(uint32_t n)
{
    return below(n) == 0;
}

/* The hypervisor did what it must never do: say so, with seed and operation, and end. */
void violated(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Show an operation about to be done, if told to trace. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * One kind of operation. `mutate`: spoil it before it is issued. The answer says whether the
 * hypervisor carried it out; SKIPPED where nothing was asked of it.
 */
enum outcome { REFUSED, DONE, SKIPPED };
typedef enum outcome (*operation)(bool mutate);

extern bool pester;                   /* the neighbour is one of us: share grants with it */
extern uint16_t own_domid, neighbour; /* the neighbour's number from the command line */

/* The vcpus at work; where there are several, the model is a belief about a moment that is past. */
extern unsigned int vcpus;

/* --- arena.c: the frames this guest plays with ------------------------------------------------ */

#define ARENA 160
#define LEAVES 64 /* the first pages are only ever data; the rest become tables too */

/* What the model thinks a page is. GONE: given back, with no frame. */
enum role { DATA, L1_TABLE, L2_TABLE, TOP_L2, L3_TABLE, SEGMENTS, GONE };

struct page {
    uint32_t mfn, pfn; /* with several vcpus, only the first gives frames back and takes others */
    uint64_t *va;      /* its place in the linear map */
    enum role role;
    bool pinned;
};
extern struct page arena[ARENA];

/* Linear addresses whose entries may say anything: the first 4 MiB through tables of their own, the
 * second through tables from the arena. */
#define PLAYGROUND 0xE8000000u
#define PLAYGROUND_SIZE 0x800000u
#define PLAYGROUND_TABLES 2

extern uint32_t playground_l1[PLAYGROUND_TABLES]; /* frames */
extern uint32_t root_l3, root_l2;                 /* the frames of this guest's own tables */
extern uint64_t *root_l2_va;

void arena_init(void);

/* Unpin and unmap everything; the number of pages that cannot be mapped writable after that. */
uint32_t arena_take_down(void);

/* A page of this role at random; NULL: there is none. Leaves are DATA, or GONE. */
struct page *page_of(enum role role);
struct page *leaf(void);
struct page *page_with_mfn(uint32_t mfn);

/* A frame of this guest outside the arena: code, stack, tables, shared_info. */
bool is_private(uint64_t mfn);

/* Map the page in the linear map; false when the hypervisor refuses. */
bool make_writable(struct page *page);
bool make_readonly(struct page *page);
bool unmap_linear(struct page *page);

/* Drop every playground entry that maps the frame. */
void sweep(uint32_t mfn);

/* Machine address of entry `index` of a table. */
static inline uint64_t entry_at(uint32_t mfn, uint32_t index)
{
    return ((uint64_t)mfn << PAGE_SHIFT) + index * sizeof(pte_t);
}

/*
 * May a frame of this guest's have this pfn? One below `pfns`, or a number that means none. A page
 * whose number is above those of all memory loses the log of writes (test_logdirty.py).
 */
#define ANY_PFNS UINT32_MAX
extern uint32_t pfns;
bool may_claim(uint32_t pfn);

/* Is this write survivable: does it leave the private area alone, whatever the answer? */
bool may_write_entry(uint64_t ptr, pte_t val);
bool may_map_at(uint32_t va, pte_t val);
bool may_run_on(uint32_t l3);

/* Spoil a number, a frame, an entry, a guest pointer, a domain number. */
uint64_t spoil_bits(uint64_t x, unsigned int bits);
uint32_t any_frame(void);
pte_t spoil_entry(pte_t e);
void *bad_pointer(void);
void *foreign_pointer(void); /* at what this guest never wrote: for requests the fence cannot see */
uint16_t any_domid(void);

/* --- the kinds of operation ------------------------------------------------------------------- */

/* several.c: the other vcpus; at rest they do nothing and use no descriptor tables of the arena's */
void several_start(void);
void several_rest(void);
void several_go_on(void);
void several_report(void);
bool may_fault(void); /* anywhere: on the first vcpu only */

/* mmu.c */
enum outcome op_mmu_update(bool mutate);
enum outcome op_va_mapping(bool mutate);
enum outcome op_build(bool mutate);
enum outcome op_destroy(bool mutate);
enum outcome op_mmuext(bool mutate);
enum outcome op_new_root(bool mutate);
enum outcome op_touch(bool mutate);
enum outcome op_forbidden(bool mutate);
bool back_to_root(void);

/* memory.c */
enum outcome op_balloon(bool mutate);
enum outcome op_exchange(bool mutate);
enum outcome op_memory_query(bool mutate);

/* grants.c */
void grants_init(void);
void grants_take_down(void);
enum outcome op_grant_entry(bool mutate);
enum outcome op_grant_map(bool mutate);
enum outcome op_grant_unmap(bool mutate);
enum outcome op_grant_copy(bool mutate);
enum outcome op_grant_transfer(bool mutate);
enum outcome op_grant_setup(bool mutate);

/* others.c */
void others_take_down(void);
enum outcome op_gdt(bool mutate);
enum outcome op_ldt(bool mutate);
enum outcome op_descriptor(bool mutate);
enum outcome op_event(bool mutate);
enum outcome op_traps(bool mutate);
enum outcome op_vcpu(bool mutate);

#endif
