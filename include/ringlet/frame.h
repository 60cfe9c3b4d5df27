/* SPDX-License-Identifier: MIT */
/*
 * frame.h: what the hypervisor knows of every page of machine memory.
 *
 * Direct paging lets a guest write its own page tables, so safety rests on two counts per frame:
 *
 *   count  how many references keep the frame from being freed: one for being allocated to its
 *          owner, one for every page-table entry, pin, CR3, descriptor table, grant or foreign map
 *          that uses it.
 *   type   what the frame is used *as* by those references that care: a page table of some level, a
 *          descriptor table, or ordinary writable memory. A frame has one type at a time, and
 *          changes it only when its type count is zero. So a frame that is a page table cannot also
 *          be mapped writable: a guest can never write an entry that was not checked.
 *
 * Read next: mm/types.c (the machine that moves frames between types).
 */
#ifndef RINGLET_FRAME_H
#define RINGLET_FRAME_H

#include <ringlet/lib.h>
#include <ringlet/page.h>

struct domain;

/*
 * Invariants (ASSERTed in mm/types.c, recomputed from scratch by xen/debug/audit.c):
 *  F1  count == 0 exactly when the frame is free, or in hand: allocated and not yet assigned, or
 *      stolen from its owner. Such a frame has no type count and no owner, and nobody can take a
 *      reference to it.
 *  F2  FC_ALLOCATED is set exactly while the owner holds its allocation reference, and then count
 *      >= 1.
 *  F3  every type reference comes with a general reference: type count <= count.
 *  F4  FT_PINNED holds exactly one type reference; so pinned implies type count >= 1 and a
 *      page-table type.
 *  F5  FT_VALIDATED with a page-table type means: every entry was checked and holds the references
 *      it needs. It is set only while type count >= 1, except for writable, which needs no
 *      checking.
 *  F6  FT_PARTIAL: validation stopped after `nr_done` entries to let others run. The entries below
 *      nr_done hold their references, the others none. The frame itself keeps one general and one
 *      type reference, which whoever continues takes over. Neither FT_VALIDATED nor FT_PARTIAL with
 *      a type count: the table is being validated or undone right now. If that undoing was
 *      interrupted, a vcpu's `old_table` names the table and owns its last reference; that vcpu
 *      goes on with it, or whoever asks for the type meanwhile.
 *  F7  FT_TOP goes with FT_L2 alone: this L2 stands in slot 3 of one L3 and no other L3 names it.
 *      Its entries from L2_FIRST_HYPERVISOR_SLOT up are the hypervisor's, or, with FT_BARE, zero.
 *      FT_BARE goes with FT_TOP alone.
 *  F8  FT_LINKER and FT_LINKED never stand together, so undoing one table undoes at most one more
 *      through a linear map (a chain of them would exhaust the stack: XSA-240).
 *  F9  An L2 that a linear map names shows none of the hypervisor's entries: if FT_TOP then
 *      FT_BARE. No CPU walks a bare L2 in slot 3; it walks a copy of its own with the hypervisor's
 *      entries, made when it loads CR3 and again when an entry of the bare L2 changes.
 *  F10 Entries of a domain's top L2s may hold their references in common: struct common_l1.
 * Words three and four (list links, owner, nr_done) change only under the owner's page_lock, or
 * heap_lock when free; words one and two change by atomic operations only.
 */
struct frame {
    union {
        struct {
            uint32_t count_info; /* FC_* and the number of references */
            uint32_t type_info;  /* FT_* and the number of type references */
        };
        uint64_t refs; /* both at once, for cmpxchg8b */
    };
    uint32_t next : 22;  /* frame number of the next in the owner's list, or free list; 0 ends it */
    uint32_t owner : 10; /* slot of the owning domain (domain_slot); OWNER_NONE when free */
    union {
        /* FT_PARTIAL and unfinished undoing: entries that hold references; free: order of the block */
        uint32_t nr_done : 10;
        struct {
            uint32_t : 10;
            uint32_t prev : 22;
        };
    };
} __aligned(8);
_Static_assert(sizeof(struct frame) == 16,
               "the frame table's address range counts on 16 bytes a frame");

/*
 * What one slot of all top L2s of a domain have in common. The kernel's part of the address space is
 * the same in every process: slot for slot their top L2s name the same L1s, hundreds of them. Those
 * entries hold no references of their own: one general and one FT_L1 reference are held here for
 * all that name the L1 in this slot, whatever their flags. So an entry's content tells who holds its
 * references, and a new directory takes them by counting itself in.
 *  C1  `users` is the number of entries that do so, in directories that are validated, or below
 *      nr_done (F5, F6). Where it is zero, so is `entry`, and nothing is held.
 *  C2  An L1 becomes common only with the first entry that names it: there is no type reference to
 *      it but that one's and its pin's. So no other entry that C1 would count from then on holds
 *      references of its own, and no L1 is common in two slots.
 *  C3  The references go with the last user: for the guest an L1 is in use as long as an entry names
 *      it, and no longer.
 * Under the domain's mm_lock. Upper halves of frame addresses are zero here.
 */
struct common_l1 {
    uint32_t entry; /* address and present bit, as in an entry's lower half */
    uint32_t users;
};

#define FC_ALLOCATED 0x80000000u /* the owner's own reference is held */
/* from the hypervisor's heap: direct-mapped, never handed back by a guest */
#define FC_XEN 0x40000000u
#define FC_FREE 0x20000000u       /* head of a free block of 1 << nr_done frames */
#define FC_UNSCRUBBED 0x10000000u /* with FC_FREE: not cleared since the machine started */
#define FC_COUNT 0x03FFFFFFu

#define FT_TYPE 0xE0000000u
#define FT_NONE 0x00000000u
#define FT_L1 0x20000000u
#define FT_L2 0x40000000u
#define FT_L3 0x60000000u
#define FT_SEG 0xA0000000u /* GDT or LDT */
#define FT_WRITABLE 0xE0000000u
#define FT_PINNED 0x10000000u
#define FT_VALIDATED 0x08000000u
#define FT_PARTIAL 0x04000000u
#define FT_TOP 0x02000000u
/* this L2 has had an entry naming another L2 (a linear map) since it was validated */
#define FT_LINKER 0x01000000u
/* this L2 has been named by another L2's entry since it was validated */
#define FT_LINKED 0x00800000u
/* this top L2 has been named as a linear map, by another L2's entry or its own (F9) */
#define FT_BARE 0x00400000u
#define FT_COUNT 0x001FFFFFu
/* What two references must agree on. */
#define FT_TYPE_AND_TOP (FT_TYPE | FT_TOP)

#define OWNER_NONE 1023u
#define OWNER_XEN (0x7FF2u & 1023u) /* DOMID_XEN's slot */
#define OWNER_IO (0x7FF1u & 1023u)  /* DOMID_IO's slot */

/*
 * The frame table and its size: frames from 0 to max_frame - 1 have an entry. Boot constants.
 * mm/alloc.c
 */
extern uint32_t max_frame;
#ifdef RINGLET_HOST
extern struct frame *frame_table;
extern uint32_t *m2p;
#else
#define frame_table ((struct frame *)FRAME_TABLE_START)
#define m2p ((uint32_t *)M2P_START)
#endif

static inline struct frame *mfn_frame(mfn_t mfn)
{
    ASSERT(mfn < max_frame);
    return &frame_table[mfn];
}

static inline mfn_t frame_mfn(const struct frame *f)
{
    return f - frame_table;
}

/* f->owner, for the hottest paths: gcc reads a bit-field in more pieces than one. */
static inline uint32_t owner_slot(const struct frame *f)
{
    return ((const volatile uint32_t *)f)[2] >> 22;
}

static inline uint32_t frame_type(const struct frame *f)
{
    return f->type_info & FT_TYPE;
}

/*
 * m2p[mfn] is the pfn the owner gave the frame, INVALID_M2P where none. Guests read it through the
 * alias.
 */
#define INVALID_M2P 0xFFFFFFFFu

/*
 * mm/alloc.c: frames for domains and for the hypervisor, all handed out zeroed.
 * Units: order n is 2^n frames. `bits` limits machine addresses to 2^bits bytes (0: no limit).
 * Where a frame number is returned, INVALID_MFN means that there was none.
 */
#define MAX_ORDER 10
#define FRAMES_BELOW_4G (1u << (32 - PAGE_SHIFT))
void frames_init(void);                       /* all frames are the hypervisor's (OWNER_XEN) */
void frames_init_io(mfn_t start, mfn_t end);  /* these are no memory (OWNER_IO) */
void frames_init_add(mfn_t start, mfn_t end); /* these are free memory */
mfn_t alloc_frames(unsigned order, unsigned bits);
mfn_t alloc_frames_uncleared(unsigned order, unsigned bits);
void free_frames(mfn_t mfn, unsigned order);
uint32_t free_frame_count(void);
uint32_t free_frame_count_for_guests(void);
uint32_t free_heap_frame_count(void);
uint32_t free_frame_count_below_4g(void);
uint32_t total_frame_count(void);
void *heap_alloc_pages(unsigned order);
void heap_free_pages(void *va, unsigned order);

/* mm/ownership.c */
int assign_frames(struct domain *d, mfn_t mfn, unsigned order);
mfn_t alloc_frames_in_hand(unsigned order, unsigned bits);
mfn_t alloc_domain_frames(struct domain *d, unsigned order, unsigned bits);
void frame_release(struct frame *f);
bool steal_frame(struct domain *d, struct frame *f);
bool steal_for_exchange(struct domain *d, struct frame *f);
bool assign_in_exchange(struct domain *d, mfn_t mfn, unsigned order);
void share_heap_page(struct domain *d, void *va, bool writable);
void unshare_heap_page(struct domain *d, void *va);
bool claim_heap_page(void *va);
void unclaim_heap_page(void *va);

/* mm/xzalloc.c: small objects, zeroed, aligned to 16 */
void *xzalloc_bytes(size_t size);
void xfree(void *p);
/* The same for what a guest makes the hypervisor keep: H1 in mm/xzalloc.c. d is charged for it. */
bool heap_allows(const struct domain *d, size_t size);
void *xzalloc_for_domain(struct domain *d, size_t size);
void xfree_for_domain(struct domain *d, void *p);
#define xzalloc(type) ((type *)xzalloc_bytes(sizeof(type)))
#define xzalloc_array(type, n) ((type *)xzalloc_bytes(sizeof(type) * (n)))

/* mm/types.c: references and types */
bool get_frame(struct frame *f, const struct domain *d);
void put_frame(struct frame *f);
int get_type(struct frame *f, uint32_t type);
void put_type(struct frame *f);
int put_type_preemptible(struct frame *f);
int get_type_preemptible(struct frame *f, uint32_t type);
int get_frame_and_type(struct frame *f, struct domain *d, uint32_t type);
int get_frame_and_type_preemptible(struct frame *f, struct domain *d, uint32_t type);
void put_frame_and_type(struct frame *f);
int put_frame_and_type_preemptible(struct frame *f);

#endif
