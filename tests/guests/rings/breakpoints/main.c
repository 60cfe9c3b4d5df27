/* SPDX-License-Identifier: MIT */
/*
 * Breakpoints: the debug registers of a vcpu, in the real processor.
 *
 * DR0 to DR3 are one set for all rings. A guest's are loaded while it runs, as far as they cannot
 * hurt: no address of the hypervisor's, no general detect, no breakpoints on ports (those the
 * hypervisor looks at itself when it emulates IN and OUT). A guest may still watch a word that the
 * hypervisor then touches on its behalf, in ring 0: nothing may come of that but a note in DR6. One
 * way of it was a hole in many kernels (CVE-2018-8897): MOV SS delays the breakpoint its own operand
 * meets until after the next instruction, and if that is INT, the #DB arrives in ring 0.
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <string.h>

#include <xen/physdev.h>
#include <xen/version.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define EFLAGS_RF 0x10000u
#define CR4_DE 8u

/* DR7: enable breakpoint n, and what it stops on. */
#define ENABLE(n) (1u << (2 * (n)))
#define ON_EXECUTION(n) ENABLE(n)
#define ON_WRITE(n, length) (ENABLE(n) | (1u | ((length)-1) << 2) << (16 + 4 * (n)))
#define ON_ACCESS(n, length) (ENABLE(n) | (3u | ((length)-1) << 2) << (16 + 4 * (n)))
#define ON_PORT(n, length) (ENABLE(n) | (2u | ((length)-1) << 2) << (16 + 4 * (n)))

static volatile uint32_t watched[4] __attribute__((aligned(16)));

/* --- what #DB tells --------------------------------------------------------------------------- */

static volatile unsigned int hits;
static struct trap_frame last;
static uint32_t last_dr6;

static bool debug_trap(struct trap_frame *frame)
{
    hits++;
    last = *frame;
    last_dr6 = hv_get_debugreg(6);
    hv_set_debugreg(6, 0);
    frame->eflags |= EFLAGS_RF; /* step over an execution breakpoint */
    frame->eflags &= ~EFLAGS_TF;
    return true;
}

static void arm(uint32_t address, uint32_t dr7)
{
    hits = 0;
    hv_set_debugreg(7, 0);
    hv_set_debugreg(6, 0);
    hv_set_debugreg(0, address);
    hv_set_debugreg(7, dr7);
}

static void disarm(void)
{
    hv_set_debugreg(7, 0);
}

/* --- registers -------------------------------------------------------------------------------- */

static bool is_64bit_hypervisor(void)
{
    xen_capabilities_info_t capabilities = "";

    hv_xen_version(XENVER_capabilities, capabilities);
    return strstr(capabilities, "x86_64") != NULL;
}

static void test_values(void)
{
    for (int i = 0; i < 4; i++) {
        tap_is(hv_set_debugreg(i, 0x1000 * i + 4), 0, "DR%d is set", i);
        tap_is(hv_get_debugreg(i), 0x1000 * i + 4, "DR%d is read", i);
    }
    tap_is(hv_set_debugreg(7, 0x20ff), -XEN_EPERM, "DR7 with general detect: -EPERM");
    tap_is(hv_set_debugreg(7, ON_PORT(0, 1)), -XEN_EPERM,
           "a port breakpoint without CR4.DE: -EPERM");
    tap_is(hv_get_debugreg(7), 0x400, "DR7 is as it was");
    tap_is(hv_set_debugreg(7, 0), 0, "DR7 is cleared");
    tap_is(hv_set_debugreg(8, 0), -XEN_ENODEV, "DR8: -ENODEV");
    tap_is(hv_get_debugreg(8), -XEN_ENODEV, "DR8 is not read either");
    tap_is(hv_set_debugreg(5, 0), 0, "DR5 is DR7");
    tap_is(hv_get_debugreg(4), hv_get_debugreg(6), "DR4 is DR6");
    if (is_64bit_hypervisor())
        return;
    tap_is(hv_set_debugreg(0, 0xf5800000), -XEN_EPERM, "an address of the hypervisor's: -EPERM");
    tap_is(hv_set_debugreg(7, ON_WRITE(1, 3)), -XEN_EPERM, "an undefined length: -EPERM");
}

/* --- breakpoints in this kernel --------------------------------------------------------------- */

static void __attribute__((noinline)) function(void)
{
    __asm__ volatile("nop");
}

static void test_kernel(void)
{
    uint32_t value;

    arm((uint32_t)function, ON_EXECUTION(0));
    function();
    disarm();
    tap_ok(hits == 1 && last.eip == (uint32_t)function, "execution stops before the instruction");
    tap_is(last_dr6 & 0xf, 1, "DR6 names breakpoint 0");

    arm((uint32_t)&watched[1], ON_WRITE(0, 4));
    watched[0] = 1;
    value = watched[1];
    tap_is(hits, 0, "neither a write beside it nor a read stops");
    watched[1] = value + 1;
    tap_is(hits, 1, "a write does");
    *((volatile uint8_t *)&watched[1] + 3) = 0;
    tap_is(hits, 2, "to its last byte too");
    disarm();
    watched[1] = 5;
    tap_is(hits, 2, "nothing once it is disabled");

    arm((uint32_t)&watched[2], ON_ACCESS(0, 4));
    value = watched[2];
    tap_is(hits, 1, "a read stops where reads are asked for");
    disarm();
}

static void test_ring3(void)
{
    uint8_t *page = page_alloc();
    struct trap_frame f;

    /* inc 0x400100; int $0x80 */
    memcpy(page, "\xff\x05\x00\x01\x40\x00\xcd\x80", 8);
    if (map_page((void *)USER_BASE, pte_make(linear_to_mfn(page), PAGE_USER)))
        panic("no page for ring 3");
    arm(USER_BASE + 0x100, ON_WRITE(0, 4));
    user_frame(&f, USER_BASE, USER_BASE + PAGE_SIZE);
    user_run(&f);
    disarm();
    tap_is(hits, 1, "ring 3: a write stops");
    tap_ok(last.eip == USER_BASE + 6 && frame_from_user(&last), "behind the instruction");
    tap_is(f.vector, VECTOR_SYSCALL, "and ring 3 goes on");

    user_frame(&f, USER_BASE, USER_BASE + PAGE_SIZE);
    f.eflags |= EFLAGS_TF;
    hits = 0;
    user_run(&f);
    tap_ok(hits == 1 && last.eip == USER_BASE + 6, "ring 3: a single step");
    tap_is(last_dr6 & 0x400f, 0x4000, "DR6 names it");
}

/* --- breakpoints that are met in ring 0 -------------------------------------------------------- */

/* The hypervisor reads a hypercall's argument: the word is watched, the access is not this kernel's. */
static void test_hypercall_argument(void)
{
    static struct xen_feature_info info;

    info.submap_idx = 0;
    arm((uint32_t)&info.submap_idx, ON_ACCESS(0, 4));
    tap_is(hv_xen_version(XENVER_get_features, &info), 0, "a hypercall whose argument is watched");
    disarm();
    tap_is(hits, 0, "it does not stop this kernel");
    arm((uint32_t)&watched[0], ON_WRITE(0, 4));
    watched[0] = 1;
    disarm();
    tap_is(hits, 1, "a breakpoint after it works as before");
}

/* CVE-2018-8897: the delayed #DB arrives at the first instruction in ring 0. */
static void test_mov_ss(void)
{
    static volatile uint32_t selector;
    long result;

    selector = read_ss();
    arm((uint32_t)&selector, ON_ACCESS(0, 4));
    __asm__ volatile("movw %1, %%ss\n\t"
                     "int $0x82"
                     : "=a"(result)
                     : "m"(selector), "0"(__HYPERVISOR_xen_version), "b"(XENVER_version), "c"(0)
                     : "memory");
    disarm();
    tap_is(result, hv_xen_version(XENVER_version, NULL), "mov to ss of a watched word, int $0x82");
    arm((uint32_t)&selector, ON_ACCESS(0, 4));
    __asm__ volatile("movw %0, %%ss\n\t"
                     "int $0x80"
                     :
                     : "m"(selector)
                     : "memory");
    disarm();
    tap_ok(true, "the same with int $0x80, which enters ring 1");
    arm((uint32_t)&watched[0], ON_WRITE(0, 4));
    watched[0] = 2;
    disarm();
    tap_is(hits, 1, "a breakpoint after it works as before");
}

static bool ignore_system_call(struct trap_frame *frame)
{
    (void)frame;
    return true;
}

/* --- ports --------------------------------------------------------------------------------------- */

static void set_de(bool on)
{
    uint32_t cr4;

    __asm__ volatile("movl %%cr4, %0" : "=r"(cr4));
    cr4 = on ? cr4 | CR4_DE : cr4 & ~CR4_DE;
    __asm__ volatile("movl %0, %%cr4" : : "r"(cr4));
}

static void test_ports(void)
{
    struct physdev_set_iopl iopl = {.iopl = 1};
    uint32_t after;

    hv_physdev_op(PHYSDEVOP_set_iopl, &iopl);
    set_de(true);
    tap_is((int)hv_get_debugreg(4), -XEN_ENODEV, "with CR4.DE there is no DR4");
    arm(0x80, ON_PORT(0, 1));
    tap_is(hv_get_debugreg(7), 0x400 | ON_PORT(0, 1), "DR7 shows a port breakpoint");
    __asm__ volatile("outb %%al, $0x81" : : "a"(0));
    tap_is(hits, 0, "another port does not stop");
    __asm__ volatile("movl $1f, %0\n\toutb %%al, $0x80\n1:" : "=&r"(after) : "a"(0));
    tap_is(hits, 1, "its port does");
    tap_ok(last.eip == after && (last_dr6 & 0xf) == 1, "behind the instruction, DR6 says which");
    __asm__ volatile("outw %%ax, $0x7f" : : "a"(0));
    tap_is(hits, 2, "so does an access that only touches it");
    disarm();
    set_de(false);
}

int main(void)
{
    trap_hook(VECTOR_DB, debug_trap);
    trap_hook(VECTOR_SYSCALL, ignore_system_call);
    test_values();
    test_kernel();
    test_hypercall_argument();
    test_mov_ss();
    test_ports();
    trap_hook(VECTOR_SYSCALL, NULL);
    test_ring3();
    tap_done();
}
