/* SPDX-License-Identifier: MIT */
/*
 * int80-direction-flag: a guest's direction flag reaches the hypervisor's C code.
 *
 * The short way of `int $0x80` (arch/i386/entry.S, int80_entry) writes the kernel's frame in
 * assembly and returns to the guest without ever entering C, so it left DF alone. Its IRET faults
 * when kernel_ss names a descriptor that is gone. The fault's handler cleared DF for itself, but its
 * own IRET put the flags back for the fixup, and the fixup called C with DF set. There the compiler
 * copies a structure with REP MOVS: it ran downwards over the hypervisor's stack, the return address
 * came from an array the guest had filled, and the guest's code ran in ring 0.
 *
 * Here a program with DF set makes a system call to a kernel whose stack segment is not present. The
 * domain must be ended, with the selectors it had in the reason, and no other domain may notice.
 *
 * Words: ss        kernel_ss is not present: nothing can be told to the guest, it is ended (default)
 *        cs        the handler's code segment is not present, and there is no failsafe callback
 *        nodf      the same without DF
 *
 * Run: none (tests/system/test_entry.py)
 */
#include <stdio.h>
#include <string.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/trap.h>

#define EFLAGS_DF 0x00000400u
#define BAD_SELECTOR (5 << 3 | 1) /* nothing is there: no GDT was ever set */

extern const char syscall_stub[]; /* pv-guest/lib */
extern void event_upcall(void);

static void map_program(void)
{
    uint8_t *code = page_alloc();
    static const uint8_t program[] = {
        0xb8, 0x33, 0xe0, 0x00, 0x00, /* mov $FLAT_USER_DS, %eax */
        0x8e, 0xd8, 0x8e, 0xc0,       /* mov %eax, %ds; mov %eax, %es */
        0xcd, 0x80, 0xeb, 0xfe,       /* int $0x80; jmp . */
    };

    memcpy(code, program, sizeof(program));
    if (map_page((void *)USER_BASE, pte_make(linear_to_mfn(code), PAGE_USER)))
        panic("no page for ring 3");
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    bool bad_cs = has_word(argc, argv, "cs");
    struct trap_info table[2] = {
        {VECTOR_SYSCALL, 3 | 4, bad_cs ? BAD_SELECTOR : FLAT_KERNEL_CS, (uint32_t)syscall_stub}};
    struct trap_frame f;

    map_program();
    /* No failsafe callback: what cannot be told to the guest ends it. */
    if (hv_set_callbacks(FLAT_KERNEL_CS, event_upcall, FLAT_KERNEL_CS, NULL))
        panic("no callbacks");
    if (hv_set_trap_table(table))
        panic("no trap table");
    if (!bad_cs && hv_stack_switch(BAD_SELECTOR, (uint32_t)__builtin_frame_address(0) - 256))
        panic("no stack");
    user_frame(&f, USER_BASE, USER_BASE + PAGE_SIZE - 16);
    if (!has_word(argc, argv, "nodf"))
        f.eflags |= EFLAGS_DF;
    /* Straight to ring 3: user_run() would set another kernel stack. */
    __asm__ volatile("pushl %0; pushl %1; pushl %2; pushl %3; pushl %4; iret"
                     :
                     : "i"(FLAT_USER_SS), "r"(f.esp), "r"(f.eflags), "i"(FLAT_USER_CS), "r"(f.eip));
    __builtin_unreachable();
}
