/* SPDX-License-Identifier: MIT */
/*
 * machine.c: the world around mm/ for host tests. Memory is one reserved range of the test's
 * address space, guest pointers are its own pointers, and time stands still. Locks check their
 * ranks as the real ones do.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "machine.h"
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/ports.h>

struct frame *frame_table;
uint32_t *m2p;
struct domain *domain_list;
struct domain *domain_slots[NR_DOMAIN_SLOTS];
struct domain *initial_domain;
struct boot_options options;
struct cpu cpus[MAX_CPUS];
unsigned nr_cpus = 1;
_Thread_local struct cpu *host_cpu = &cpus[0];
_Thread_local struct vcpu *host_vcpu;
struct machine_seen seen;
unsigned preempt_after;
bool preempt_stays;
uint64_t nx_bit = PTE_NX;
uint32_t tlb_clock = 1;
__attribute__((weak)) uint32_t watched_domains; /* unless mm/logdirty/dirty_log.c is linked */
struct cpu_features cpu_features = {.nx = true, .address_bits = 36, .address_mask = 0xFFFFFF000};
struct e820_entry boot_memory_map[E820_MAX_ENTRIES];
unsigned boot_memory_map_entries;

static char *memory;
static uint32_t ranks_held, seed;

/* ---- memory --------------------------------------------------------------------------------- */

void *direct_map(maddr_t ma)
{
    BUG_ON(ma >= (maddr_t)MACHINE_MEMORY_FRAMES << PAGE_SHIFT);
    return memory + ma;
}

maddr_t direct_maddr(const void *va)
{
    return (const char *)va - memory;
}

void *map_frame(mfn_t mfn)
{
    seen.maps_held++;
    return direct_map((maddr_t)mfn << PAGE_SHIFT);
}

void unmap_frame(const void *va)
{
    BUG_ON((const char *)va < memory || !seen.maps_held);
    seen.maps_held--;
}

mfn_t mapped_mfn(const void *va)
{
    return direct_mfn(va);
}

__attribute__((weak)) void note_written(mfn_t mfn)
{
    (void)mfn;
}

__attribute__((weak)) void note_mapped_written(const void *va)
{
    (void)va;
}

__attribute__((weak)) void note_frame_written(struct frame *f)
{
    (void)f;
}

__attribute__((weak)) void note_pfn_written(struct domain *d, uint32_t pfn)
{
    (void)d;
    (void)pfn;
}

void clear_frame(mfn_t mfn)
{
    seen.cleared++;
    if (mfn < MACHINE_MEMORY_FRAMES)
        memset(direct_map((maddr_t)mfn << PAGE_SHIFT), 0, PAGE_SIZE);
}

void copy_frame(mfn_t dst, mfn_t src)
{
    memcpy(direct_map((maddr_t)dst << PAGE_SHIFT), direct_map((maddr_t)src << PAGE_SHIFT),
           PAGE_SIZE);
}

void machine_init(uint32_t frames)
{
    if (!memory) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        size_t size = (size_t)MACHINE_MEMORY_FRAMES << PAGE_SHIFT;

        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
        frame_table =
            mmap(NULL, MAX_FRAMES * sizeof(struct frame), PROT_READ | PROT_WRITE, flags, -1, 0);
        m2p = mmap(NULL, MAX_FRAMES * sizeof(*m2p), PROT_READ | PROT_WRITE, flags, -1, 0);
        BUG_ON(mmap(GUEST_MEMORY, GUEST_MEMORY_SIZE, PROT_READ | PROT_WRITE,
                    flags | MAP_FIXED_NOREPLACE, -1, 0) != GUEST_MEMORY);
    }
    max_frame = frames;
    memset(domain_slots, 0, sizeof(domain_slots));
    memset(&seen, 0, sizeof(seen));
    host_vcpu = NULL;
    domain_list = NULL;
    preempt_after = 0;
    preempt_stays = false;
    seed = 1;
    frames_init();
    frames_init_add(0, frames);
}

uint32_t machine_random(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* ---- domains -------------------------------------------------------------------------------- */

struct domain *machine_domain(domid_t id, uint32_t max_pages)
{
    struct domain *d = calloc(1, sizeof(*d));
    struct vcpu *v = aligned_alloc(16, sizeof(*v));

    memset(v, 0, sizeof(*v));
    v->domain = d;
    v->l3_frame = INVALID_MFN;
    v->info_mfn = v->old_table = INVALID_MFN;
    memset(v->ldt_frames, 0xff, sizeof(v->ldt_frames));
    d->id = id;
    d->slot = id & 1023;
    d->refs = 1;
    d->max_pages = max_pages;
    d->max_vcpus = 1;
    d->teardown_table = INVALID_MFN;
    d->vcpus[0] = v;
    spin_lock_init(&d->page_lock, RANK_PAGES);
    spin_lock_init(&d->mm_lock, RANK_MM);
    domain_slots[d->slot] = d;
    d->next = domain_list;
    domain_list = d;
    if (!host_vcpu)
        host_vcpu = v;
    return d;
}

void machine_run(struct domain *d)
{
    host_vcpu = d->vcpus[0];
}

void machine_forget(struct domain *d)
{
    put_domain(d);
}

struct domain *find_domain(domid_t id)
{
    struct domain *d = id < DOMID_FIRST_RESERVED ? domain_slots[id & 1023] : NULL;

    if (!d || d->id != id)
        return NULL;
    get_domain(d);
    return d;
}

struct domain *find_domain_or_self(domid_t id)
{
    return find_domain(id == DOMID_SELF ? current->domain->id : id);
}

/* Not every test links mm/grant_table.c. */
void grant_table_destroy(struct domain *d) __attribute__((weak));
static void (*const destroy_grants)(struct domain *) = grant_table_destroy;

void put_domain(struct domain *d)
{
    BUG_ON(d->refs == 0);
    if (--d->refs)
        return;
    BUG_ON(d->tot_pages || d->heap_pages || d->page_list);
    seen.domains_freed++;
    domain_slots[d->slot] = NULL;
    for (struct domain **p = &domain_list; *p; p = &(*p)->next) {
        if (*p == d) {
            *p = d->next;
            break;
        }
    }
    if (destroy_grants)
        destroy_grants(d);
    if (host_vcpu == d->vcpus[0])
        host_vcpu = NULL;
    free(d->vcpus[0]);
    free(d);
}

void domain_crash(struct domain *d, const char *why, ...)
{
    (void)why;
    d->crashed = true;
    seen.crashes++;
}

/* ---- processor ------------------------------------------------------------------------------ */

void gather_cpus(void)
{
}

void release_cpus(void)
{
}

void tlb_serve_request(void)
{
    abort(); /* one CPU: nobody asks */
}

void tlb_stamp_anew(struct domain *d)
{
    d->tlb_stale = tlb_clock;
}

void tlb_stamp_foreign(struct domain *owner, const struct domain *mapper)
{
    (void)mapper;
    owner->tlb_stale = tlb_clock;
}

void tlb_flush_if_stale(struct domain *d)
{
    (void)d;
    seen.flushes++;
}

void tlb_flush_domain(struct domain *d)
{
    tlb_flush_if_stale(d);
}

void tlb_flush_local(void)
{
    seen.flushes++;
}

void tlb_flush_one_local(uint32_t va)
{
    (void)va;
    seen.flushes++;
}

/* Where a test links mm/baseptr.c or mm/descriptor_tables.c, those have the real ones. */
__attribute__((weak)) void reload_l3_users(const struct domain *d, mfn_t l3)
{
    (void)d;
    (void)l3;
}

/* Tests without mm/baseptr.c have no vcpu that leaves a table half undone. */
__attribute__((weak)) void finish_old_tables_of(struct domain *d)
{
    (void)d;
}

/* Entries that no guest could have: whoever takes them for a guest's will be noticed. */
void hypervisor_l2_fill(pte_t *l2)
{
    for (unsigned i = L2_FIRST_HYPERVISOR_SLOT; i < L2_ENTRIES; i++)
        l2[i] = make_pte(0, PTE_HYPERVISOR | PTE_G) | (pte_t)i << 40;
}

void hypervisor_l2_clear(pte_t *l2)
{
    memset(&l2[L2_FIRST_HYPERVISOR_SLOT], 0,
           (L2_ENTRIES - L2_FIRST_HYPERVISOR_SLOT) * sizeof(pte_t));
}

__attribute__((weak)) int validate_descriptor_page(struct frame *f)
{
    (void)f;
    return 0;
}

maddr_t paging_table_maddr(uint32_t va)
{
    return 0x8000000 + (va - M2P_START);
}

bool preempt_needed(void)
{
    if (preempt_after == 1 && preempt_stays)
        return true;
    return preempt_after && --preempt_after == 0;
}

long hypercall_continue(unsigned op, unsigned nr_args, ...)
{
    va_list args;

    (void)op;
    va_start(args, nr_args);
    for (unsigned i = 0; i < nr_args; i++)
        seen.continued[i] = va_arg(args, uint32_t);
    va_end(args);
    seen.continuations++;
    return -ERESTART;
}

void (*machine_on_unlock)(const spinlock_t *l);

void spin_wait(spinlock_t *l)
{
    (void)l;
    abort(); /* one CPU: nobody else will let go */
}

void spin_lock_check(spinlock_t *l)
{
    /* Two domains' event locks may be held at once. */
    BUG_ON(l->held || !l->rank || ranks_held >> l->rank >> (l->rank == RANK_EVTCHN));
    ranks_held |= 1u << l->rank;
}

void spin_unlock_check(spinlock_t *l)
{
    BUG_ON(!l->held);
    ranks_held &= ~(1u << l->rank);
    if (machine_on_unlock)
        machine_on_unlock(l);
}

/* ---- guest memory and messages -------------------------------------------------------------- */

static bool guest_may(const void *p, uint32_t n, uint32_t size)
{
    uintptr_t off = (uintptr_t)p - (uintptr_t)GUEST_MEMORY;

    return (uintptr_t)p >= (uintptr_t)GUEST_MEMORY && off <= size && n <= size - off;
}

uint32_t copy_from_guest(void *dst, const void *guest, uint32_t n)
{
    if (!guest_may(guest, n, GUEST_MEMORY_SIZE))
        return n;
    memcpy(dst, guest, n);
    return 0;
}

uint32_t copy_to_guest(void *guest, const void *src, uint32_t n)
{
    if (!guest_may(guest, n, GUEST_MEMORY_SIZE / 2))
        return n;
    memcpy(guest, src, n);
    return 0;
}

uint32_t raw_copy_words_from_guest(void *dst, const void *guest, uint32_t n)
{
    return copy_from_guest(dst, guest, n);
}

uint32_t raw_copy_words_to_guest(void *guest, const void *src, uint32_t n)
{
    return copy_to_guest(guest, src, n);
}

void printk(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
}

void guest_log(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}
