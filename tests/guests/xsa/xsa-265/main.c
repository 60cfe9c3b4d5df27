/* SPDX-License-Identifier: MIT */
/*
 * XSA-265: a debug exception in ring 0 for a reason that the guest has forged.
 *
 * A guest's breakpoint on its own memory is met in ring 0 when the hypervisor reads or writes there.
 * Xen then asked DR6 why, and stopped the machine where it named "general detect": a bit that a guest
 * can set itself, since no processor ever clears DR6.
 *
 * This guest sets each bit of DR6, watches memory that the hypervisor is then asked to read and to write
 * (a hypercall's argument, its own vcpu_info, a trap's frame), and lets MOV SS carry a breakpoint into
 * every way into the hypervisor. Nothing of it may be fatal; DR6 tells it afterwards what was met, and
 * what it had set itself.
 *
 * Run: qemu bochs
 */
#include "../../attack.h"

#include <xen/sched.h>

#define ENABLE(n) (1u << (2 * (n)))
#define ON_WRITE(n) (ENABLE(n) | 0xdu << (16 + 4 * (n)))
#define ON_ACCESS(n) (ENABLE(n) | 0xfu << (16 + 4 * (n)))
#define REASONS 0xe00fu

static volatile uint32_t watched, selector;
static uint32_t hits;

static bool debug_trap(struct trap_frame *frame)
{
    hits++;
    frame->eflags = (frame->eflags | 0x10000) & ~EFLAGS_TF;
    return true;
}

static bool ignore(struct trap_frame *frame)
{
    (void)frame;
    return true;
}

static void arm(volatile const void *address, uint32_t dr7, uint32_t dr6)
{
    hits = 0;
    hv_set_debugreg(7, 0);
    hv_set_debugreg(0, (uint32_t)address);
    hv_set_debugreg(6, dr6);
    hv_set_debugreg(7, dr7);
}

/* The hypervisor reads and writes the guest's memory, with this DR6. */
static bool copies(uint32_t dr6)
{
    static struct xen_feature_info info;
    bool good;

    info.submap_idx = 0;
    arm(&info.submap_idx, ON_ACCESS(0), dr6);
    good = hv_xen_version(XENVER_get_features, &info) == 0;
    good &= (hv_get_debugreg(6) & REASONS & ~1u) == (dr6 & REASONS & ~1u);
    arm(&info.submap, ON_WRITE(0), dr6);
    good &= hv_xen_version(XENVER_get_features, &info) == 0;
    arm(&shared()->vcpu_info[0].arch.cr2, ON_ACCESS(0), dr6);
    hv_sched_op(SCHEDOP_yield, NULL);
    hv_set_debugreg(7, 0);
    return good;
}

static void test_copies(void)
{
    uint32_t good = copies(0) + copies(~0u);

    for (int bit = 0; bit < 32; bit++)
        good += copies(1u << bit);
    tap_is(good, 34, "memory is watched that the hypervisor copies, whatever DR6 holds");
}

/* The breakpoint that MOV SS meets comes behind the next instruction: in ring 0. */
#define WAY(name, text)                                          \
    static void name(void *unused)                               \
    {                                                            \
        uint32_t eax = __HYPERVISOR_xen_version;                 \
                                                                 \
        (void)unused;                                            \
        __asm__ volatile("movw %1, %%ss\n\t" text                \
                         : "+a"(eax)                             \
                         : "m"(selector), "b"(0), "c"(0), "d"(0) \
                         : "memory", "cc");                      \
    }
WAY(by_hypercall, "int $0x82")
WAY(by_syscall, "int $0x80")
WAY(by_int3, "int3")
WAY(by_int1, ".byte 0xf1")
WAY(by_ud2, "ud2")
WAY(by_missing_vector, "int $0x99")
WAY(by_privileged, "hlt")
WAY(by_page_fault, "movl 0, %%eax")
WAY(by_int_db, "int $1")

static void (*const ways[])(void *) = {by_hypercall,  by_syscall,    by_int3,
                                       by_int1,       by_ud2,        by_missing_vector,
                                       by_privileged, by_page_fault, by_int_db};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void test_ways_in(void)
{
    for (unsigned int i = 0; i < WAYS; i++) {
        for (uint32_t dr6 = 0; dr6 <= 0x2000; dr6 += 0x2000) {
            struct trap_frame f = {.vector = 999};

            arm(&selector, ON_ACCESS(0), dr6 ? ~0u : 0);
            catch_fault(ways[i], NULL, &f);
            hv_set_debugreg(7, 0);
        }
    }
    tap_ok(true, "a watched MOV SS before each way in");
}

int main(void)
{
    selector = read_ss();
    trap_hook(VECTOR_DB, debug_trap);
    trap_hook(VECTOR_SYSCALL, ignore);
    test_copies();
    test_ways_in();
    arm(&watched, ON_WRITE(0), 0);
    watched = 1;
    hv_set_debugreg(7, 0);
    tap_is(hits, 1, "breakpoints work as before");
    tap_is(hv_get_debugreg(6) & 0xf, 1, "and DR6 tells of this one alone");
    tap_done();
}
