/* SPDX-License-Identifier: MIT */
/*
 * machine.c: the world around mm/ for host tests. Memory is one reserved range of the test's address space, guest
 * pointers are its own pointers, and time stands still. Locks check their ranks as the real ones do.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "machine.h"
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>

struct frame *frame_table;
uint32_t *m2p;
struct domain *domain_list;
struct domain *domain_slots[NR_DOMAIN_SLOTS];
struct domain *initial_domain;
struct cpu cpus[MAX_CPUS];
unsigned nr_cpus = 1;
struct cpu *host_cpu = &cpus[0];
struct vcpu *host_vcpu;
struct machine_seen seen;
unsigned preempt_after;

static char *memory;
static uint32_t ranks_held;

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
    return direct_map((maddr_t)mfn << PAGE_SHIFT);
}

void unmap_frame(const void *va)
{
    BUG_ON((const char *)va < memory);
}

void clear_frame(mfn_t mfn)
{
    seen.cleared++;
    if (mfn < MACHINE_MEMORY_FRAMES)
        memset(map_frame(mfn), 0, PAGE_SIZE);
}

void copy_frame(mfn_t dst, mfn_t src)
{
    memcpy(map_frame(dst), map_frame(src), PAGE_SIZE);
}

void machine_init(uint32_t frames)
{
    if (!memory) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        size_t size = (size_t)MACHINE_MEMORY_FRAMES << PAGE_SHIFT;

        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
        frame_table = mmap(NULL, MAX_FRAMES * sizeof(struct frame), PROT_READ | PROT_WRITE, flags,
                           -1, 0);
        m2p = mmap(NULL, MAX_FRAMES * sizeof(*m2p), PROT_READ | PROT_WRITE, flags, -1, 0);
    }
    max_frame = frames;
    memset(domain_slots, 0, sizeof(domain_slots));
    memset(&seen, 0, sizeof(seen));
    host_vcpu = NULL;
    preempt_after = 0;
    frames_init();
    frames_init_add(0, frames);
}

/* ---- domains -------------------------------------------------------------------------------- */

struct domain *machine_domain(domid_t id, uint32_t max_pages)
{
    struct domain *d = calloc(1, sizeof(*d));
    struct vcpu *v = aligned_alloc(16, sizeof(*v));

    memset(v, 0, sizeof(*v));
    v->domain = d;
    v->l3_frame = INVALID_MFN;
    v->info_mfn = INVALID_MFN;
    d->id = id;
    d->slot = id & 1023;
    d->refs = 1;
    d->max_pages = max_pages;
    d->max_vcpus = 1;
    d->vcpus[0] = v;
    spin_lock_init(&d->page_lock, RANK_PAGES);
    spin_lock_init(&d->mm_lock, RANK_MM);
    domain_slots[d->slot] = d;
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
    domain_slots[d->slot] = NULL;
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

void put_domain(struct domain *d)
{
    BUG_ON(d->refs == 0);
    if (--d->refs)
        return;
    BUG_ON(d->tot_pages || d->heap_pages || d->page_list);
    seen.domains_freed++;
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

uint64_t tlb_clock_now(void)
{
    return 1;
}

bool preempt_needed(void)
{
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

void spin_lock_check(spinlock_t *l)
{
    BUG_ON(l->held || !l->rank || ranks_held >> l->rank);
    ranks_held |= 1u << l->rank;
}

void spin_unlock_check(spinlock_t *l)
{
    BUG_ON(!l->held);
    ranks_held &= ~(1u << l->rank);
}

/* ---- guest memory and messages -------------------------------------------------------------- */

uint32_t copy_from_guest(void *dst, const void *guest, uint32_t n)
{
    if (!guest)
        return n;
    memcpy(dst, guest, n);
    return 0;
}

uint32_t copy_to_guest(void *guest, const void *src, uint32_t n)
{
    if (!guest)
        return n;
    memcpy(guest, src, n);
    return 0;
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
