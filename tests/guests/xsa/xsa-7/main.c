/* SPDX-License-Identifier: MIT */
/*
 * XSA-7: a return to a place the processor refuses.
 *
 * On 64-bit processors SYSRET faults on a bad address while still in ring 0, but already with the
 * guest's stack: the guest chose both, and ran in ring 0. 32-bit Xen has no SYSRET, but the same
 * shape: the iret hypercall loads CS, EIP, EFLAGS, SS and ESP from the guest's stack, and a fault
 * while it does must never be handled as anything but the guest's own.
 *
 * Without words, this guest returns with EFLAGS it may not have (IOPL, VIF, NT, RF), which must be
 * ignored, and with a stack it cannot be read from. A word names a frame a guest may die of, but
 * nobody else: a selector of ring 0, a null one, one beyond the table, virtual-8086 mode, an address
 * in the hypervisor (test_xsa.py tries each as an ordinary domain).
 *
 * Run: qemu bochs
 */
#include "../../attack.h"

#include <stdlib.h>

#define EFLAGS_NT 0x00004000u
#define EFLAGS_RF 0x00010000u
#define EFLAGS_VM 0x00020000u
#define EFLAGS_VIF 0x00080000u
#define EFLAGS_ID 0x00200000u

/* EAX, EIP, CS, EFLAGS, ESP, SS: what the hypercall finds on the stack. */
struct iret_frame {
    uint32_t eax, eip, cs, eflags, esp, ss;
};

/* Come back at label 1 with this EFLAGS; what they are then. */
static uint32_t return_with(uint32_t eflags)
{
    uint32_t now = 0, eax = __HYPERVISOR_iret;

    __asm__ volatile("pushl %2\n"
                     "pushl %%cs\n"
                     "pushl $1f\n"
                     "pushl $0\n"
                     "int $0x82\n"
                     "ud2\n"
                     "1: pushfl\n"
                     "popl %0\n"
                     "pushl $0x202\n"
                     "popfl\n"
                     : "=r"(now), "+a"(eax)
                     : "r"(eflags)
                     : "memory", "cc");
    return now;
}

static void bad_flags(uint32_t flags, const char *what)
{
    uint32_t now = return_with(flags | EFLAGS_IF | 2);

    tap_ok(!(now & flags), "%s is not to be had (%08x)", what, (unsigned int)now);
}

static void return_from_nowhere(void *esp)
{
    __asm__ volatile("movl %0, %%esp\n int $0x82\n ud2" : : "r"(esp), "a"(__HYPERVISOR_iret));
}

static void return_by(const struct iret_frame *frame)
{
    __asm__ volatile("movl %0, %%esp\n int $0x82\n ud2" : : "r"(frame), "a"(__HYPERVISOR_iret));
}

static void end_here(void)
{
    tap_ok(true, "the frame was put right and returned to");
    tap_done();
}

static void deadly(const char *word)
{
    static char stack[4096];
    static struct iret_frame frame;

    frame = (struct iret_frame){
        .eip = (uint32_t)end_here,
        .cs = FLAT_KERNEL_CS,
        .eflags = 0x202,
        .esp = (uint32_t)stack + sizeof(stack) - 64,
        .ss = FLAT_KERNEL_SS,
    };
    if (strcmp(word, "cs0") == 0)
        frame.cs = 0xe008;
    else if (strcmp(word, "cs-null") == 0)
        frame.cs = 0;
    else if (strcmp(word, "cs-null3") == 0)
        frame.cs = 3;
    else if (strcmp(word, "cs-far") == 0)
        frame.cs = 0xfffb;
    else if (strcmp(word, "cs-data") == 0)
        frame.cs = FLAT_USER_DS;
    else if (strcmp(word, "ss0") == 0)
        frame.cs = FLAT_USER_CS, frame.ss = 0xe010;
    else if (strcmp(word, "ss-null") == 0)
        frame.cs = FLAT_USER_CS, frame.ss = 0;
    else if (strcmp(word, "ss-ring1") == 0)
        frame.cs = FLAT_USER_CS, frame.ss = FLAT_KERNEL_SS;
    else if (strcmp(word, "vm") == 0)
        frame.eflags |= EFLAGS_VM;
    else if (strcmp(word, "eip") == 0)
        frame.eip = 0xFBC00000;
    else if (strcmp(word, "esp") == 0)
        return_from_nowhere((void *)0xFBC00000);
    else if (strcmp(word, "esp-end") == 0)
        return_from_nowhere((void *)0xFFFFFFF8);
    return_by(&frame);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        deadly(argv[1]);
    bad_flags(EFLAGS_IOPL, "IOPL 3");
    bad_flags(0x1000, "IOPL 1");
    bad_flags(EFLAGS_RF, "RF");
    bad_flags(EFLAGS_VIF, "VIF");
    tap_ok(return_with(EFLAGS_ID | EFLAGS_IF | 2) & EFLAGS_ID, "ID, which is the guest's, is kept");
    return_with(EFLAGS_NT | EFLAGS_IF | 2);
    tap_ok(true, "NT does no harm");
    tap_audit();
    tap_done();
}
