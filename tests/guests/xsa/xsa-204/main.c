/* SPDX-License-Identifier: MIT */
/*
 * XSA-204: single steps that land in the wrong place.
 *
 * With EFLAGS.TF set the processor raises #DB after each instruction; the instructions that enter a
 * kernel are the special case, for the flag must stay behind with the caller. Xen, emulating such
 * an instruction, let the step strike on the other side, in a kernel that did not expect it.
 *
 * This guest single-steps through everything that goes into the hypervisor and comes back:
 * a hypercall by its vector, an emulated instruction, the forced-emulation prefix, an exception of
 * its own, its own int $0x80 out of ring 3. Each #DB must come to this guest, from the ring and the
 * place the flag was set in, and never be lost.
 *
 * Run: qemu bochs
 */
#include "../../attack.h"

#define MOST 32

static uint32_t steps[MOST], count;
static uint32_t wrong_ring;

static bool step(struct trap_frame *frame)
{
    if ((frame->cs & 3) != 1)
        wrong_ring++;
    if (count < MOST)
        steps[count++] = frame->eip;
    return true;
}

static bool skip_ud2(struct trap_frame *frame)
{
    frame->eip += 2;
    return true;
}

/* TF is set by the POPF; the first #DB comes after the instruction behind it. */
#define STEPPED(code)                        \
    "pushfl; orl $0x100, (%%esp); popfl\n"   \
    "nop\n" code "\n"                        \
    "1: nop\n"                               \
    "pushfl; andl $~0x100, (%%esp); popfl\n" \
    "movl $1b, %0\n"

static bool stepped_on(uint32_t eip)
{
    for (uint32_t i = 0; i < count; i++)
        if (steps[i] == eip)
            return true;
    return false;
}

static void judge(uint32_t behind, const char *what)
{
    tap_ok(count > 1 && count < 16, "%s: %u steps", what, (unsigned int)count);
    tap_ok(stepped_on(behind) || stepped_on(behind + 1), "%s: one right behind it", what);
    tap_is(wrong_ring, 0, "%s: all of them in ring 1", what);
    count = wrong_ring = 0;
}

static void step_hypercall(void)
{
    uint32_t behind, eax = __HYPERVISOR_xen_version;

    __asm__ volatile(STEPPED("int $0x82") : "=&r"(behind), "+a"(eax) : "b"(0), "c"(0) : "memory");
    judge(behind, "a hypercall");
    tap_ok(eax >> 16 >= 3, "and its answer is right");
}

static void step_emulated(void)
{
    uint32_t behind, cr0;

    __asm__ volatile(STEPPED("movl %%cr0, %1") : "=&r"(behind), "=&r"(cr0));
    judge(behind, "an emulated instruction");
}

static void step_forced(void)
{
    uint32_t behind, eax = 1, ebx, ecx, edx;

    __asm__ volatile(STEPPED("ud2a; .ascii \"xen\"; cpuid")
                     : "=&r"(behind), "+a"(eax), "=&b"(ebx), "=&c"(ecx), "=&d"(edx));
    judge(behind, "a forced emulation");
}

static void step_exception(void)
{
    uint32_t behind;

    trap_hook(VECTOR_UD, skip_ud2);
    __asm__ volatile(STEPPED("ud2") : "=&r"(behind));
    trap_hook(VECTOR_UD, NULL);
    judge(behind, "an exception");
}

/* Ring 3: nop, int $0x80. The step is behind the nop; the system call's own is not in ring 1. */
static void step_user(void)
{
    uint8_t *page = page_alloc();
    struct trap_frame frame;

    map_page((void *)USER_BASE, pte_make(linear_to_mfn(page), PAGE_USER));
    memcpy(page, "\x90\xcd\x80", 3);
    user_frame(&frame, USER_BASE, USER_BASE + PAGE_SIZE);
    frame.eflags |= EFLAGS_TF;
    trap_hook(VECTOR_DB, NULL);
    user_run(&frame);
    tap_ok(frame.vector == VECTOR_DB && frame_from_user(&frame) && frame.eip == USER_BASE + 1,
           "a program in ring 3 is stepped");
    user_run(&frame);
    tap_ok(frame.vector == VECTOR_SYSCALL && frame.eip == USER_BASE + 3, "its system call comes");
    tap_ok(!(read_eflags() & EFLAGS_TF), "and the kernel is not stepped");
    map_page((void *)USER_BASE, 0);
}

int main(void)
{
    trap_hook(VECTOR_DB, step);
    step_hypercall();
    step_emulated();
    if (is_64bit_hypervisor())
        tap_skip("a 64-bit hypervisor", "a forced emulation");
    else
        step_forced();
    step_exception();
    step_user();
    tap_audit();
    tap_done();
}
