/* SPDX-License-Identifier: MIT */
/*
 * Crash, no traps: an exception in a guest that has no trap table.
 *
 * Nothing tells the hypervisor where to bounce the exception to, so this guest cannot go on. It
 * must die alone, with a reason, its registers and its stack on the console, and whoever built it
 * must be able to build it again.
 *
 * The word on the command line chooses the exception: `ud2` (the default), `page` (a page fault)
 * or `privileged` (hlt).
 *
 * Run: none (it dies; a system test watches it)
 */
#include <stdio.h>
#include <string.h>

#include <pv/hypercall.h>

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "ud2";

    printf("crash-notraps: %s without a trap table\n", how);
    hv_set_trap_table(NULL);
    if (strcmp(how, "page") == 0)
        __asm__ volatile("movl 0x1000, %%eax" ::: "eax");
    else if (strcmp(how, "privileged") == 0)
        __asm__ volatile("hlt");
    else
        __asm__ volatile("ud2");
    printf("crash-notraps: still alive\n");
    return 1;
}
