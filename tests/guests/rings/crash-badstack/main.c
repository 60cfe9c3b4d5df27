/* SPDX-License-Identifier: MIT */
/*
 * Crash, bad stack: an exception while ESP points where no frame can be written.
 *
 * The hypervisor writes the bounce frame with the guest's own rights, below the guest's ESP. Where
 * it may not, there is nobody to tell: the guest must die alone, with a reason, its registers and
 * its stack, and the hypervisor must neither fault nor write where the guest could not have.
 *
 * The word on the command line chooses the stack:
 *   unmapped    a page that is not there (the default)
 *   hypervisor  the hypervisor's own memory
 *   m2p         the read-only M2P
 *   pagetable   this guest's level-3 table, mapped read-only
 *   wrap        8, so that the frame would wrap around to the top of memory
 *   recursion   this guest's own stack, used up by frames of more than a page
 *   ring3       kernel stack for ring 3 (stack_switch) unmapped, then an exception in ring 3
 *
 * Run: none (it dies; a system test watches it)
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/trap.h>

static uint32_t stack_named(const char *name)
{
    if (strcmp(name, "hypervisor") == 0)
        return LIMIT_END + 0x100000;
    if (strcmp(name, "m2p") == 0)
        return HOLE_BASE + PAGE_SIZE;
    if (strcmp(name, "pagetable") == 0)
        return start_info->pt_base + PAGE_SIZE;
    if (strcmp(name, "wrap") == 0)
        return 8;
    return 0x2000;
}

/* Ring 3 at an address that is not there faults at once; its stack does not matter. */
static void fault_in_ring3(void)
{
    hv_stack_switch(FLAT_KERNEL_SS, 0x2000);
    __asm__ volatile(
        "pushl %0; pushl $0; pushl $0x202; pushl %1; pushl $0x3000; iret" ::"i"(FLAT_USER_SS),
        "i"(FLAT_USER_CS));
}

extern const char stack_guard[];

/* The guard page below the stack must stop it, although each frame is larger than that page. */
static uint32_t recurse(uint32_t depth)
{
    volatile uint32_t locals[1500];

    locals[0] = depth;
    if (depth == UINT32_MAX)
        return 0;
    return recurse(depth + 1) + locals[0];
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "unmapped";

    printf("crash-badstack: an exception on a bad stack: %s\n", which);
    if (strcmp(which, "recursion") == 0) {
        printf("crash-badstack: the guard page is at %p\n", (const void *)stack_guard);
        return recurse(0);
    }
    if (strcmp(which, "ring3") == 0)
        fault_in_ring3();
    __asm__ volatile("movl %0, %%esp; ud2" ::"r"(stack_named(which)));
    __builtin_unreachable();
}
