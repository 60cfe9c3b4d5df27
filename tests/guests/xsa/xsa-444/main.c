/* SPDX-License-Identifier: MIT */
/*
 * XSA-444: breakpoints on the descriptors in use, by address masks that nobody reset.
 *
 * AMD's DR masks (MSRs, CPUID's DBEXT) make a breakpoint cover more than its four bytes. A guest could
 * leave them set, or cover the hypervisor's memory with a breakpoint beside it: one on the GDT is met
 * while a debug exception is being delivered, which meets it again, for ever (XSA-156).
 *
 * Here there are no masks for guests: CPUID does not tell of them, and their MSRs fault. No breakpoint
 * reaches the hypervisor's memory, where the descriptors lie that the processor reads: none is accepted
 * there, and one on the guest's own page of descriptors is not met when they are loaded.
 *
 * Run: qemu bochs
 */
#include "../../attack.h"

#include <xen/vcpu.h>

#define DR7_ACCESS_4 0x000f0001u /* breakpoint 0: four bytes, read or written */
#define DBEXT (1u << 26)
#define HYPERVISOR_START 0xF5800000u
#define SLOT 9

static const uint32_t masks[] = {0xc0011019, 0xc001101a, 0xc001101b, 0xc0011027};
static uint32_t hits;

static bool debug_trap(struct trap_frame *frame)
{
    hits++;
    frame->eflags |= 0x10000;
    return true;
}

static void read_msr(void *msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
}

static void write_msr(void *msr)
{
    __asm__ volatile("wrmsr" : : "a"(0xfff), "d"(0), "c"(msr));
}

static void test_masks(void)
{
    uint32_t eax = 0x80000001, ebx, ecx = 0, edx;

    __asm__ volatile(".byte 0x0f, 0x0b, 'x', 'e', 'n'; cpuid"
                     : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    tap_is(ecx & DBEXT, 0, "CPUID tells of no masks");
    for (int i = 0; i < 4; i++) {
        tap_ok(catch_fault(read_msr, (void *)masks[i], NULL), "mask %d is not read", i);
        tap_ok(catch_fault(write_msr, (void *)masks[i], NULL), "nor written");
    }
}

static void move_to_dr0(void *address)
{
    __asm__ volatile("movl %0, %%db0" : : "r"(address));
}

/* The 64-bit hypervisor lies elsewhere. */
static void test_addresses(void)
{
    uint32_t refused = 0, asked = 0;

    if (is_64bit_hypervisor())
        return;
    for (uint64_t va = HYPERVISOR_START; va < 1ULL << 32; va += 0x8ff4, asked++)
        refused += hv_set_debugreg(asked % 4, (uint32_t)va) == -XEN_EPERM &&
                   catch_fault(move_to_dr0, (void *)(uint32_t)va, NULL);
    tap_is(refused, asked, "no breakpoint in the hypervisor, in any register");
    tap_is(hv_set_debugreg(0, HYPERVISOR_START - 1), 0, "one that ends before it");
    tap_is(hv_set_debugreg(0, 0xffffffff), -XEN_EPERM, "none at the end of all addresses");
}

/* The page of descriptors is watched; the processor reads them at another address. */
static void test_descriptors(void)
{
    uint64_t *gdt = page_alloc();
    unsigned long frame = linear_to_mfn(gdt);
    uint32_t selector = SLOT << 3 | 1;

    gdt[SLOT] = 0x00cfb2000000ffffULL;
    if (make_readonly(gdt) || hv_set_gdt(&frame, 512))
        panic("no descriptors");
    hv_set_debugreg(0, (uint32_t)&gdt[SLOT]);
    hv_set_debugreg(7, DR7_ACCESS_4);
    __asm__ volatile("movl %0, %%fs; movl %1, %%fs" : : "r"(selector), "r"(0));
    tap_is(hits, 0, "a descriptor is loaded: a breakpoint on our page is not met");

    (void)*(volatile uint32_t *)&gdt[SLOT];
    tap_is(hits, 1, "it is when we read there");
    hv_set_debugreg(7, 0);
}

int main(void)
{
    trap_hook(VECTOR_DB, debug_trap);
    test_masks();
    test_addresses();
    test_descriptors();
    tap_done();
}
