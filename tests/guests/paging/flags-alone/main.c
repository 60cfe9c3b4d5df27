/* SPDX-License-Identifier: MIT */
/*
 * Flags-alone: an entry changes its flags and goes on mapping the same frame.
 *
 * A kernel clears Accessed when it looks for pages to reclaim, and compares and exchanges an entry
 * that another processor may have changed meanwhile. Ringlet used to ask again whether the frame may
 * be mapped, although the entry holds its references already. For a frame of another domain the answer
 * was no: the kernel got a page fault that it could not expect, and a Linux control domain with four
 * vcpus died in munmap.
 *
 * This guest maps its own page, a page of another domain (writable and read-only), a page granted to it
 * and a device's registers. It changes flags by mmu_update, with and without PRESERVE_AD, by
 * update_va_mapping, and by instructions on a writable page table; a comparison that fails must
 * change nothing and return the entry. What needs a new reference is still refused: the right to write,
 * another frame, another memory type. All answers are those of Xen 4.17.
 *
 * Run: qemu bochs
 */
#define __XEN_TOOLS__ 1
#include "../../attack.h"
#include "../../domctl.h"

#include <xen/memory.h>

#include <stdio.h>

#include <pv/grant.h>

#define SCREEN 0xb8 /* a frame of device registers */
#define BIT_RW 1
#define BIT_ACCESSED 5
#define BIT_FREE 9

static const char *kind;
static volatile char *va;     /* what the entry maps */
static volatile pte_t *entry; /* that entry, in a read-only mapping of its table */
static uint64_t where;        /* its machine address */

/* --- instructions; each is carried out by the hypervisor --------------------------------------- */

static void set_bit(void *bit)
{
    __asm__ volatile("lock btsl %1, %0" : "+m"(*(volatile uint32_t *)entry) : "r"(bit) : "cc");
}

static void clear_bit(void *bit)
{
    __asm__ volatile("lock btrl %1, %0" : "+m"(*(volatile uint32_t *)entry) : "r"(bit) : "cc");
}

static void store_low(void *value)
{
    *(volatile uint32_t *)entry = (uint32_t)value;
}

static void store_high(void *value)
{
    ((volatile uint32_t *)entry)[1] = (uint32_t)value;
}

struct exchange {
    pte_t expected, desired, seen;
};

static void compare_exchange(void *arg)
{
    struct exchange *x = arg;

    x->seen = __sync_val_compare_and_swap(entry, x->expected, x->desired);
}

/* Does the instruction work, and is the entry this afterwards, but for Accessed and Dirty? */
static void works(void (*instruction)(void *), void *operand, pte_t after, const char *what)
{
    struct trap_frame frame;
    bool fault = catch_fault(instruction, operand, &frame);

    if (!tap_ok(!fault && *entry == after, "%s: %s", kind, what))
        printf("# entry %llx, not %llx\n", (unsigned long long)*entry, (unsigned long long)after);
}

static void faults(void (*instruction)(void *), void *operand, const char *what)
{
    struct trap_frame frame = {0};
    pte_t before = *entry;
    bool fault = catch_fault(instruction, operand, &frame);

    tap_ok(fault && frame.vector == VECTOR_PF && frame.error == 3 && *entry == before,
           "%s: refused: %s", kind, what);
}

/* --- each way ---------------------------------------------------------------------------------- */

static void by_instructions(pte_t full)
{
    struct exchange x = {.expected = full ^ 1ull << 62, .desired = 0};

    works(compare_exchange, &x, full, "cmpxchg8b with a wrong edx");
    tap_ok(x.seen == full, "%s: which returns the entry", kind);
    x = (struct exchange){.expected = full ^ PTE_A, .desired = full ^ PTE_A};
    works(compare_exchange, &x, full, "cmpxchg8b with a wrong eax");
    works(clear_bit, (void *)BIT_ACCESSED, full & ~PTE_A, "lock btr of Accessed");
    works(set_bit, (void *)BIT_ACCESSED, full, "lock bts of Accessed");
    works(set_bit, (void *)BIT_FREE, full | 1 << BIT_FREE, "lock bts of a free bit");
    works(store_low, (void *)(uint32_t)full, full, "mov to the lower half");
    works(store_high, (void *)(uint32_t)(full >> 32), full, "mov to the upper half, as it is");
    x = (struct exchange){.expected = full, .desired = full & ~(PTE_A | PTE_D)};
    works(compare_exchange, &x, full & ~(PTE_A | PTE_D), "cmpxchg8b of Accessed and Dirty");
}

static void by_hypercalls(pte_t full)
{
    tap_is(write_entry(where, full & ~PTE_A), 0, "%s: mmu_update of Accessed", kind);
    tap_ok(*entry == (full & ~PTE_A), "%s: it is clear", kind);
    tap_is(
        write_entry(where | MMU_PT_UPDATE_PRESERVE_AD, (full & ~(PTE_A | PTE_D)) | 1 << BIT_FREE),
        0, "%s: mmu_update, preserving both", kind);
    tap_ok(*entry == ((full & ~PTE_A) | 1 << BIT_FREE), "%s: Dirty stays, Accessed is not set",
           kind);
    tap_is(hv_update_va_mapping(va, full, UVMF_INVLPG), 0, "%s: update_va_mapping", kind);
    tap_ok(*entry == full, "%s: as it was", kind);
}

/* What takes a reference is asked about still; `own` frames alone may be had. */
static void more_than_flags(pte_t full, bool own, bool write)
{
    struct exchange x = {.expected = full, .desired = full ^ PTE_PCD};

    if (own)
        return;
    if (!write) {
        faults(set_bit, (void *)BIT_RW, "lock bts of RW");
        tap_ok(write_entry(where, full | PTE_RW) < 0, "%s: refused: mmu_update of RW", kind);
    }
    faults(compare_exchange, &x, "cmpxchg8b of the memory type");
    tap_ok(write_entry(where, full ^ PTE_PCD) < 0, "%s: refused: mmu_update of it", kind);
}

static void each_way(const char *name, volatile void *mapping, bool own, bool write)
{
    uint64_t mask = PAGE_SIZE - 1;
    pte_t full;

    kind = name;
    va = mapping;
    where = pte_machine_address((void *)va);
    entry = (volatile pte_t *)((uint8_t *)pfn_to_linear(mfn_to_pfn(where >> PAGE_SHIFT)) +
                               (where & mask));
    set_bit((void *)BIT_ACCESSED);
    full = *entry | PTE_A | PTE_D;
    store_low((void *)(uint32_t)full);
    by_instructions(full);
    by_hypercalls(full);
    more_than_flags(full, own, write);
    works(store_low, NULL, full & ~0xffffffffull, "mov of 0 to the lower half");
    tap_is(write_entry(where, 0), 0, "%s: gone", kind);
}

/* --- what is mapped ---------------------------------------------------------------------------- */

/* A domain that has one page and never runs. Its number, and the page's frame. */
static domid_t make_domain(uint32_t *mfn)
{
    struct xen_domctl_createdomain *c = &ctl.u.createdomain;
    xen_pfn_t extent = 0;
    struct xen_memory_reservation r = {.nr_extents = 1};

    c->max_vcpus = 1;
    c->max_evtchn_port = 1023;
    c->max_grant_frames = 4;
    c->max_maptrack_frames = 4;
    c->grant_opts = XEN_DOMCTL_GRANT_version(1);
    tap_is(domctl(XEN_DOMCTL_createdomain, 0), 0, "another domain");
    r.domid = ctl.domain;
    ctl.u.address_size.size = 32;
    tap_is(domctl(XEN_DOMCTL_set_address_size, r.domid), 0, "of 32 bits");
    ctl.u.max_mem.max_memkb = 1024;
    tap_is(domctl(XEN_DOMCTL_max_mem, r.domid), 0, "that may have memory");
    set_xen_guest_handle(r.extent_start, &extent);
    tap_is(hv_memory_op(XENMEM_populate_physmap, &r), 1, "has a page");
    *mfn = extent;
    return r.domid;
}

static void foreign(void)
{
    uint32_t mfn;
    domid_t id = make_domain(&mfn);

    each_way("another domain's page", map_frames(id, &mfn, 1, true, NULL), false, true);
    each_way("the same, read-only", map_frames(id, &mfn, 1, false, NULL), false, false);
    tap_is(domctl(XEN_DOMCTL_destroydomain, id), 0, "the other domain ends");
}

static void granted(void)
{
    void *page = page_alloc();
    struct grant_map map;
    int ref = grant_access(own_domid(), linear_to_mfn(page), true);

    tap_is(grant_map(own_domid(), ref, true, &map), 0, "a grant is mapped");
    each_way("a granted page", map.va, true, true);
}

int main(void)
{
    uint32_t screen = SCREEN, own = linear_to_mfn(page_alloc());

    hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
    each_way("a page of its own", map_frames(DOMID_SELF, &own, 1, true, NULL), true, true);
    each_way("device registers", map_frames(DOMID_IO, &screen, 1, true, NULL), true, true);
    granted();
    foreign();
    tap_audit();
    tap_done();
}
