/* SPDX-License-Identifier: MIT */
/*
 * Syscall: int $0x80 of a kernel that wants events masked on the way.
 *
 * A real gate cannot mask events, so this system call enters ring 0, where a stub in assembly writes
 * the frame that bounce() writes for every other vector. So its frame is compared with what it must
 * be, word by word and register by register, in each case the stub knows and in each it leaves to
 * bounce(): events masked already, a virtual IOPL to be shown, ring 1 for the caller. A watched word
 * of the kernel's stack brings a #DB in the middle of it.
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <string.h>

#include <xen/physdev.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define EFLAGS_DF 0x00000400u
#define EFLAGS_NT 0x00004000u
#define EFLAGS_RF 0x00010000u
#define EFLAGS_AC 0x00040000u
#define TRAP_DPL3 3
#define TRAP_MASKS_EVENTS 4

/* pv-guest/lib: pushes vector 0x80 and goes to the hook of it. */
extern const char syscall_stub[];

static unsigned int calls, debugs;
static struct trap_frame seen;
static struct trap_frame *seen_at;
static uint32_t handler_flags;
static uint8_t handler_mask;

static bool note_call(struct trap_frame *frame)
{
    calls++;
    seen = *frame;
    seen_at = frame;
    handler_flags = read_eflags();
    handler_mask = vcpu()->evtchn_upcall_mask;
    vcpu()->evtchn_upcall_mask = 0;
    return !frame_from_user(frame);
}

static bool note_debug(struct trap_frame *frame)
{
    debugs++;
    frame->eflags = (frame->eflags & ~EFLAGS_TF) | EFLAGS_RF;
    return true;
}

static void set_gate(uint8_t flags)
{
    struct trap_info table[2] = {{VECTOR_SYSCALL, flags, FLAT_KERNEL_CS, (uint32_t)syscall_stub}};

    tap_is(hv_set_trap_table(table), 0, "vector 80 with flags %u", flags);
}

/* int $0x80 in ring 3 with these flags set. */
static struct trap_frame from_ring3(uint32_t set)
{
    struct trap_frame f;

    calls = debugs = 0;
    user_frame(&f, USER_BASE, USER_BASE + PAGE_SIZE - 16);
    f.eflags |= set;
    f.eax = 0xa0a0;
    f.ebx = 0xb0b0;
    f.ecx = 0xc0c0;
    f.edx = 0xd0d0;
    f.esi = 0x5151;
    f.edi = 0xd1d1;
    f.ebp = 0xebeb;
    user_run(&f);
    return f;
}

static bool frame_is_right(const struct trap_frame *f, uint32_t flags)
{
    uint32_t told = EFLAGS_IF | EFLAGS_TF | EFLAGS_DF | EFLAGS_NT | EFLAGS_AC | EFLAGS_IOPL;

    return calls == 1 && f->vector == VECTOR_SYSCALL && f->cs == FLAT_USER_CS &&
           f->ss == FLAT_USER_SS && f->eip == USER_BASE + 2 &&
           f->esp == USER_BASE + PAGE_SIZE - 16 && (f->eflags & told) == flags &&
           f->saved_upcall_mask == !(flags & EFLAGS_IF) && f->eax == 0xa0a0 && f->ebx == 0xb0b0 &&
           f->ecx == 0xc0c0 && f->edx == 0xd0d0 && f->esi == 0x5151 && f->edi == 0xd1d1 &&
           f->ebp == 0xebeb && (f->ds & 0xffff) == FLAT_USER_DS && (f->es & 0xffff) == FLAT_USER_DS;
}

static void check(bool ok, const struct trap_frame *f, const char *what)
{
    if (!tap_ok(ok, "%s", what))
        frame_print(f);
}

static void test_frame(void)
{
    static const uint32_t flags[] = {0, EFLAGS_TF, EFLAGS_NT, EFLAGS_AC | EFLAGS_DF,
                                     EFLAGS_TF | EFLAGS_NT | EFLAGS_AC | EFLAGS_DF};

    for (unsigned int i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        struct trap_frame f = from_ring3(flags[i]);

        tap_diag("flags %06x:", flags[i]);
        check(frame_is_right(&f, flags[i] | EFLAGS_IF), &f, "the frame is right");
        tap_is(handler_mask, 1, "events are off in the handler");
        tap_is(handler_flags & (EFLAGS_NT | EFLAGS_TF), 0, "and NT and TF");
    }
}

static void test_masked(void)
{
    struct trap_frame f;

    vcpu()->evtchn_upcall_mask = 1; /* the plain IRET to ring 3 leaves it alone */
    f = from_ring3(0);
    check(frame_is_right(&f, 0), &f, "events were off: the frame says so");
    tap_is(handler_mask, 1, "and they stay so");
}

static void test_iopl(void)
{
    struct physdev_set_iopl iopl = {.iopl = 1};
    struct trap_frame f;

    hv_physdev_op(PHYSDEVOP_set_iopl, &iopl);
    f = from_ring3(0);
    check(frame_is_right(&f, EFLAGS_IF), &f, "virtual IOPL 1 is not shown");
    hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_architectural_iopl, 0, 0, 0);
    f = from_ring3(0);
    check(frame_is_right(&f, EFLAGS_IF | 1 << 12), &f, "it is to a guest that asked for it");
    hypercall(__HYPERVISOR_vm_assist, VMASST_CMD_disable, VMASST_TYPE_architectural_iopl, 0, 0, 0);
    iopl.iopl = 0;
    hv_physdev_op(PHYSDEVOP_set_iopl, &iopl);
}

/* The hypervisor's own write to a watched word is a #DB in ring 0, in the middle of the stub. */
static void test_watched_stack(void)
{
    struct trap_frame f = from_ring3(0);

    hv_set_debugreg(0, (uint32_t)&seen_at->eflags);
    hv_set_debugreg(7, 1 | 1u << 16 | 3u << 18); /* four bytes, written */
    f = from_ring3(0);
    hv_set_debugreg(7, 0);
    check(frame_is_right(&f, EFLAGS_IF), &f, "the frame is right on a watched stack");
}

static void test_ring1(void)
{
    calls = 0;
    __asm__ volatile("int $0x80" : : : "memory");
    tap_is(calls, 1, "from ring 1 it calls the handler");
    tap_ok(seen.cs == FLAT_KERNEL_CS && (seen.eflags & EFLAGS_IF) && handler_mask == 1,
           "with a frame of the same ring");
}

int main(void)
{
    struct trap_frame f;
    uint8_t *code = page_alloc();

    memcpy(code, "\xcd\x80\x0f\x0b", 4); /* int $0x80; ud2 */
    if (map_page((void *)USER_BASE, pte_make(linear_to_mfn(code), PAGE_USER)))
        panic("no page for ring 3");
    trap_hook(VECTOR_SYSCALL, note_call);
    trap_hook(VECTOR_DB, note_debug);
    set_gate(TRAP_DPL3 | TRAP_MASKS_EVENTS);
    test_frame();
    test_masked();
    test_iopl();
    test_watched_stack();
    test_ring1();
    set_gate(1 | TRAP_MASKS_EVENTS);
    f = from_ring3(0);
    check(calls == 0 && f.vector == VECTOR_GP && f.error == VECTOR_SYSCALL * 8 + 2, &f,
          "DPL 1: not for ring 3, #GP");
    set_gate(TRAP_DPL3);
    f = from_ring3(0);
    check(frame_is_right(&f, EFLAGS_IF) && handler_mask == 0, &f,
          "a gate that masks nothing leaves events on");
    tap_done();
}
