/* SPDX-License-Identifier: MIT */
/*
 * mm.h: what the memory mechanisms offer one another: page-table entries checked and counted.
 *
 * Read next: frame.h (the types), mm/types.c, mm/entries.c.
 */
#ifndef RINGLET_MM_H
#define RINGLET_MM_H

#include <ringlet/module.h>
#include <ringlet/domain.h>
#include <ringlet/frame.h>
#include <ringlet/hypercall.h>
#include <ringlet/written.h>

/* What the ABI leaves to the guest in an entry: P, RW, US, A, D and three bits the processor ignores. */
#define FREE_BITS (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_AVAIL)

/* Memory has a frame-table entry and an owner other than OWNER_IO; that never changes for a frame. */
static inline bool frame_is_memory(uint64_t mfn)
{
    return mfn < max_frame && frame_table[mfn].owner != OWNER_IO;
}

/*
 * mm/l1.c: entries of validated L1s. `e` is the new value as the guest wrote it, `pt_owner` the domain
 * whose table it is, which holds its mm_lock, `frame_owner` the domain whose frame it may map (differs
 * for foreign maps). 0 or -Exxx; on an error nothing has changed.
 */
int mod_l1_entry(pte_t *pl1, pte_t e, struct domain *pt_owner, struct domain *frame_owner,
                 bool preserve_ad);
int mod_l1_entry_if(pte_t *pl1, pte_t old, pte_t e, struct domain *d);
void set_l1_entry(pte_t *pl1, pte_t e, struct domain *d);
pte_t take_l1_entry(pte_t *pl1);
int get_l1_table(const pte_t *table, struct domain *d);
void put_l1_table(const pte_t *table, struct domain *d);
void keep_device(mfn_t mfn); /* registers no guest may map; boot only */

/* mm/entries.c: the same for L2s and L3s. */
int get_l2_entry(pte_t e, struct frame *table, unsigned slot);
int put_l2_entry(pte_t e, struct frame *table, unsigned slot, bool preemptible);
int get_l3_entry(pte_t e, struct frame *table, unsigned slot, bool preemptible);
int put_l3_entry(pte_t e, bool preemptible);
int mod_l2_entry(pte_t *pl2, pte_t e, struct frame *table, struct vcpu *v, bool preserve_ad);
int mod_l3_entry(pte_t *pl3, pte_t e, struct frame *table, struct vcpu *v);

/*
 * Replace 8 bytes at once if they still are `low` and `high`: an entry, or the two counts of a frame.
 * In halves, and with the processor's own flag deciding: gcc is clumsy with 64 bits.
 */
static inline __attribute__((always_inline)) bool exchange_halves(uint64_t *p, uint32_t low,
                                                                  uint32_t high, uint32_t new_low,
                                                                  uint32_t new_high)
{
#ifdef __i386__
    __asm__ goto("lock cmpxchg8b %0\n\tjne %l[changed]"
                 : "+m"(*p), "+a"(low), "+d"(high)
                 : "b"(new_low), "c"(new_high)
                 : "memory", "cc"
                 : changed);
    return true;
changed:
    return false;
#else
    return __sync_bool_compare_and_swap(p, (uint64_t)high << 32 | low,
                                        (uint64_t)new_high << 32 | new_low);
#endif
}

/* The type of an L1 in use. */
#define L1_TYPE (FT_L1 | FT_VALIDATED)

/* Of these bits a table in use has its type and FT_VALIDATED, unless its count is half full. */
#define TABLE_MASK (~(FT_PINNED | FT_COUNT >> 1))
#define COUNT_HALF_FULL (FC_COUNT & ~(FC_COUNT >> 1))

/*
 * Both references to a table that is validated as FT_L1 or FT_L3 already, and so in use (F5).
 * mm_lock is held: a table of d's stays one until it is let go, so it is enough that the frame is
 * d's after its type was seen. False: take the long way.
 */
static inline __attribute__((always_inline)) bool get_table_fast(struct frame *f,
                                                                 const struct domain *d,
                                                                 uint32_t as)
{
    uint32_t count = f->count_info, type = f->type_info;

    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (unlikely((type & TABLE_MASK) != (as | FT_VALIDATED)) || unlikely(count & COUNT_HALF_FULL) ||
        unlikely(owner_slot(f) != d->slot))
        return false;
    return exchange_halves(&f->refs, count, type, count + 1, type + 1);
}

/* Drop both, where the type's is not the last. */
static inline __attribute__((always_inline)) bool put_table_fast(struct frame *f, uint32_t as)
{
    uint32_t count = f->count_info, type = f->type_info;

    return likely((type & ~FT_PINNED) - (as | FT_VALIDATED | 2) < FT_COUNT - 1) &&
           exchange_halves(&f->refs, count, type, count - 1, type - 1);
}

/* mm/l2_table.c */
bool is_common_l1(pte_t e, const struct common_l1 *c);
unsigned get_usual_l2_entries(const pte_t *table, unsigned i, const struct domain *d);
unsigned put_usual_l2_entries(const pte_t *table, unsigned i);
unsigned get_usual_top_entries(const pte_t *table, unsigned i, struct frame *f);
unsigned put_usual_top_entries(const pte_t *table, unsigned i, struct frame *f);

/* mm/mmu_update.c */
int get_foreign_domain(domid_t id, struct domain **out);
void report_done(uint32_t *guest_done, uint32_t done, bool continued);

/* mm/va_mapping.c */
int vcpu_bitmap_to_cpus(const struct domain *d, const void *bitmap, uint32_t *cpus_out);

/*
 * mm/walk.c: the L1 entry that maps `va` on the running page tables. NULL when there is none;
 * unmap_frame() the result.
 */
pte_t *map_guest_l1(const struct vcpu *v, uint32_t va, mfn_t *l1_mfn);
pte_t guest_l1_entry(const struct vcpu *v, uint32_t va); /* 0 when not mapped */

/* Validated entries name frames below 2^22, so these halves hold all of the frame number. */
static inline mfn_t table_mfn(const uint32_t e[2])
{
    return e[0] >> PAGE_SHIFT | e[1] << (32 - PAGE_SHIFT);
}

/* The L1 that maps `va` on this CPU's tables. mm_lock is held: the entry is read twice. False: none. */
static inline bool guest_l1(uint32_t va, mfn_t *l1)
{
    const uint32_t *l3e = (const uint32_t *)&this_cpu->l3[l3_index(va)];
    const uint32_t *l2e;

    if (va >= HYPERVISOR_START || !(l3e[0] & PTE_P))
        return false;
    l2e = (const uint32_t *)((const pte_t *)glance_frame(table_mfn(l3e)) + l2_index(va));
    *l1 = table_mfn(l2e);
    return (l2e[0] & (uint32_t)(PTE_P | PTE_PSE)) == PTE_P;
}

/* mm/baseptr.c: the root of a vcpu's address space */
int new_guest_cr3(struct vcpu *v, mfn_t l3);
int drop_guest_cr3(struct vcpu *v);
void reload_l3(struct vcpu *v);
void reload_l3_users(const struct domain *d, mfn_t l3);
int finish_old_table_now(struct vcpu *v);
int finish_any_old_table(struct vcpu *v);
void finish_old_tables_of(struct domain *d);
long finish_table_call(unsigned op, long result);

/*
 * In the count of mmu_update and mmuext_op: this call continues an earlier one, whose requests done
 * so far are in *done. Alone: only old_table is left to be undone, and the first argument is what
 * the call returns then.
 */
#define CONTINUED 0x80000000u

/*
 * After get_type_preemptible() of table `mfn` said rc: where that found it bad and could not undo
 * it in one go, v does so before its next change of page tables. v->old_table is free. The error
 * for the guest, or 0.
 */
static inline int undo_later(struct vcpu *v, mfn_t mfn, int rc)
{
    if (likely(rc != -EAGAIN))
        return rc;
    v->old_table = mfn;
    return -EINVAL;
}

/*
 * Finish what an earlier request of the same hypercall had to leave half undone, whose tables' owner
 * has its mm_lock held. 0, or -ERESTART: still not done.
 */
static inline int finish_old_table(struct vcpu *v)
{
    return likely(v->old_table == INVALID_MFN) ? 0 : finish_old_table_now(v);
}

/* mm/descriptor_tables.c */
int validate_descriptor_page(struct frame *f);
int set_gdt(struct vcpu *v, const mfn_t *frames, unsigned entries);
void destroy_gdt(struct vcpu *v);
int set_ldt(struct vcpu *v, uint32_t base, uint32_t entries);
bool fault_in_ldt_page(uint32_t offset); /* a #PF in this CPU's LDT window: true when now mapped */
void invalidate_ldt(struct vcpu *v);
void load_guest_ldt(struct vcpu *v);

/*
 * mm/reservation.c, memory_map.c: the operations behind memory_op. `guest_arg` is the
 * guest's pointer to the structure of the public memory.h; results are what the hypercall returns.
 */
long memory_reservation_op(unsigned op, uint32_t start, void *guest_arg);
long machphys_mfn_list(void *guest_arg);
long machphys_mapping(void *guest_arg);
long get_memory_map(void *guest_arg);
long get_machine_memory_map(void *guest_arg);
long set_memory_map(void *guest_arg);
int find_target_domain(domid_t id, struct domain **out); /* mm/memory_op.c */
unsigned max_extent_order(void); /* the largest extent the caller may ask for */
bool release_extent(struct domain *d, mfn_t mfn, unsigned order);

/* MEMORY_OP(name, fn): fn(guest_arg), of a module, carries out XENMEM_name. */
struct memory_op_record {
    unsigned op;
    long (*fn)(void *guest_arg);
};
MODULE_RECORDS(struct memory_op_record, memory_op);
#define MEMORY_OP(name, function)                                                            \
    MODULE_RECORD(struct memory_op_record, memory_op, memory_op_##name, .op = XENMEM_##name, \
                  .fn = function)

/* One line of a memory map, as the BIOS call INT 0x15 EAX=0xE820 gives it. */
struct e820_entry {
    uint64_t addr, size;
    uint32_t type; /* E820_RAM or not memory */
} __packed;
#define E820_RAM 1u
#define E820_MAX_ENTRIES 128

/* xen/main.c: the machine's own memory map, from the boot loader. Does not change after boot. */
extern struct e820_entry boot_memory_map[E820_MAX_ENTRIES];
extern unsigned boot_memory_map_entries;

/* mm/teardown.c: take a dying domain's memory back. 0 when done, -ERESTART to be called again. */
int relinquish_memory(struct domain *d);

/* xen/debug/audit.c: recompute every count; the number of differences found, the first one printed. */
unsigned audit_frames(void);

#endif
