/* SPDX-License-Identifier: MIT */
/*
 * Sysenter: the one way into ring 0 that has no gate.
 *
 * SYSENTER asks nobody: from any ring the processor goes to ring 0 with cs, eip and esp from MSRs,
 * pushes nothing, and clears IF and VM alone. The hypervisor makes of it a call of the kernel's
 * registered callback, with the frame that 32-bit guests have always had for it: as from ring 3,
 * cs 3, eip and esp 0, because nobody knows where it came from; or #GP, if there is no callback.
 *
 * What a hostile program can bring along is tried here: TF, which traps on the first instruction in
 * ring 0; NT, which makes the next IRET there a task switch (XSA-339); AC and DF; a stack pointer
 * into the hypervisor, or none; a watched word whose #DB waits behind MOV SS (CVE-2018-8897).
 *
 * Run: qemu bochs
 */
#include <cpuid.h>
#include <stdint.h>
#include <string.h>

#include <xen/callback.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define EFLAGS_DF 0x00000400u
#define EFLAGS_NT 0x00004000u
#define EFLAGS_RF 0x00010000u
#define EFLAGS_AC 0x00040000u
#define SEP (1u << 11) /* CPUID leaf 1, EDX */

/* pv-guest/lib: pushes vector 0x80 and goes to the hook of it. */
extern const char syscall_stub[];

static uint8_t *code; /* ring 3's page, at USER_BASE */

/* What the handler found. */
static unsigned int calls, debugs;
static struct trap_frame seen;
static uint32_t handler_flags;
static uint8_t handler_mask;

static bool note_call(struct trap_frame *frame)
{
    calls++;
    seen = *frame;
    handler_flags = read_eflags();
    handler_mask = vcpu()->evtchn_upcall_mask;
    vcpu()->evtchn_upcall_mask = 0;
    return false;
}

static bool note_debug(struct trap_frame *frame)
{
    debugs++;
    frame->eflags = (frame->eflags & ~EFLAGS_TF) | EFLAGS_RF;
    return true;
}

static int set_callback(uint16_t type, uint16_t cs, const char *eip, uint16_t flags)
{
    struct callback_register r = {
        .type = type, .flags = flags, .address = {cs, (unsigned long)eip}};

    return hypercall(__HYPERVISOR_callback_op, CALLBACKOP_register, (uint32_t)&r, 0, 0, 0);
}

/* SYSENTER in ring 3 with these flags and stack pointer. */
static struct trap_frame from_ring3(uint32_t flags, uint32_t esp)
{
    struct trap_frame f;

    memcpy(code, "\x0f\x34\x0f\x0b", 4); /* sysenter; ud2 */
    calls = debugs = 0;
    user_frame(&f, USER_BASE, esp);
    f.eflags |= flags;
    f.ebx = 0xb0b0;
    f.ebp = 0xebeb;
    user_run(&f);
    return f;
}

static bool is_sysenter_frame(const struct trap_frame *f)
{
    return f->cs == 3 && f->eip == 0 && f->ss == FLAT_USER_SS && f->esp == 0 && f->ebx == 0xb0b0 &&
           f->ebp == 0xebeb;
}

static void check(bool ok, const struct trap_frame *f, const char *what)
{
    if (!tap_ok(ok, "%s", what))
        frame_print(f);
}

static void test_without_callback(void)
{
    struct trap_frame f = from_ring3(0, USER_BASE + PAGE_SIZE);

    check(f.vector == VECTOR_GP && f.error == 0 && is_sysenter_frame(&f), &f,
          "no callback: #GP(0)");
    f = from_ring3(EFLAGS_NT | EFLAGS_TF | EFLAGS_AC | EFLAGS_DF, 0);
    check(f.vector == VECTOR_GP && f.error == 0 && is_sysenter_frame(&f), &f,
          "no callback, NT TF AC DF: #GP(0)");
    tap_is(debugs, 0, "no single step of the hypervisor is shown");
}

static void test_register(void)
{
    tap_is(set_callback(CALLBACKTYPE_sysenter, 0xe008, syscall_stub, 0), -XEN_EINVAL,
           "a callback in the hypervisor's own segment: -EINVAL");
    tap_is(set_callback(CALLBACKTYPE_sysenter, FLAT_KERNEL_CS, syscall_stub, 0), 0,
           "a callback is registered");
}

static void test_flags(void)
{
    static const struct {
        uint32_t set;
        const char *name;
    } cases[] = {{0, "no flag"},
                 {EFLAGS_NT, "NT"},
                 {EFLAGS_TF, "TF"},
                 {EFLAGS_AC | EFLAGS_DF, "AC, DF"},
                 {EFLAGS_NT | EFLAGS_TF | EFLAGS_AC | EFLAGS_DF, "NT, TF, AC, DF"}};

    for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t watched = EFLAGS_TF | EFLAGS_AC | EFLAGS_DF | EFLAGS_IF;
        struct trap_frame f = from_ring3(cases[i].set, USER_BASE + PAGE_SIZE);

        tap_diag("%s set:", cases[i].name);
        check(f.vector == VECTOR_SYSCALL && calls == 1 && is_sysenter_frame(&f), &f,
              "the callback is called, with its frame");
        tap_is(f.eflags & watched, (cases[i].set | EFLAGS_IF) & watched, "the frame has the flags");
        tap_is(handler_flags & (EFLAGS_NT | EFLAGS_TF), 0, "the callback runs without NT and TF");
        tap_is(debugs, 0, "no single step of the hypervisor is shown");
    }
}

static void test_stacks(void)
{
    static const uint32_t stacks[] = {0, 2, 0xffffffff, LIMIT_END, 0xfbc00000, HOLE_BASE};

    for (unsigned int i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++) {
        struct trap_frame f = from_ring3(0, stacks[i]);

        tap_ok(calls == 1 && is_sysenter_frame(&f), "esp %08x changes nothing", stacks[i]);
    }
}

static void test_mask(void)
{
    struct trap_frame f = from_ring3(0, 0);

    tap_is(handler_mask, 0, "events are on in the callback");
    set_callback(CALLBACKTYPE_sysenter, FLAT_KERNEL_CS, syscall_stub, CALLBACKF_mask_events);
    f = from_ring3(0, 0);
    tap_ok(calls == 1 && handler_mask == 1, "CALLBACKF_mask_events: they are off");
    tap_ok(f.saved_upcall_mask == 0 && (f.eflags & EFLAGS_IF), "the frame says they were on");
    set_callback(CALLBACKTYPE_sysenter, FLAT_KERNEL_CS, syscall_stub, 0);
    f = from_ring3(0, 0);
    tap_ok(calls == 1 && handler_mask == 0, "registered without the flag: on again");
}

static void sysenter(void *flags)
{
    __asm__ volatile("pushl %0; popfl; sysenter" : : "r"(flags));
}

/* Ring 1 gets no other frame: it lies on the stack that stack_switch named. */
static void test_ring1(void)
{
    static const uint32_t flags[] = {0x202, 0x202 | EFLAGS_NT | EFLAGS_TF | EFLAGS_AC};
    uint8_t *stack = page_alloc();

    for (unsigned int i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        hv_stack_switch(FLAT_KERNEL_SS, (uint32_t)stack + PAGE_SIZE);
        calls = 0;
        tap_ok(catch_fault(sysenter, (void *)flags[i], NULL) && calls == 1,
               "ring 1, flags %06x: the callback is called", flags[i]);
        tap_ok(seen.cs == 3 && seen.eip == 0 && seen.esp == 0, "its frame is as from ring 3");
        __asm__ volatile("pushl $0x202; popfl; cld" : : : "cc");
    }
    page_free(stack);
}

/* The #DB that MOV SS delays is met by the first instruction in ring 0. */
static void test_mov_ss(void)
{
    struct trap_frame f;

    memcpy(code + 0x800, "\x33\xe0", 2); /* FLAT_USER_SS */
    hv_set_debugreg(0, USER_BASE + 0x800);
    hv_set_debugreg(7, 1 | 3u << 16 | 1u << 18); /* two bytes, read or written */
    for (int tf = 0; tf < 2; tf++) {
        memcpy(code, "\x8e\x15\x00\x08\x40\x00\x0f\x34", 8); /* mov 0x400800, %ss; sysenter */
        calls = debugs = 0;
        user_frame(&f, USER_BASE, USER_BASE + PAGE_SIZE);
        f.eflags |= tf ? EFLAGS_TF : 0;
        user_run(&f);
        tap_ok(f.vector == VECTOR_SYSCALL && calls == 1, "mov to ss of a watched word, sysenter%s",
               tf ? ", single-stepped" : "");
    }
    hv_set_debugreg(7, 0);
}

int main(void)
{
    uint32_t eax, ebx, ecx, edx;

    __cpuid(1, eax, ebx, ecx, edx);
    if (!(edx & SEP)) {
        tap_skip("this processor has none", "SYSENTER");
        tap_done();
    }
    code = page_alloc();
    if (map_page((void *)USER_BASE, pte_make(linear_to_mfn(code), PAGE_USER)))
        panic("no page for ring 3");
    trap_hook(VECTOR_SYSCALL, note_call);
    trap_hook(VECTOR_DB, note_debug);
    test_without_callback();
    test_register();
    test_flags();
    test_stacks();
    test_mask();
    test_ring1();
    test_mov_ss();
    tap_done();
}
