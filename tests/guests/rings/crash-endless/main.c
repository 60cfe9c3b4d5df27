/* SPDX-License-Identifier: MIT */
/*
 * Crash, endless fault: a page-fault handler that itself lies on a missing page.
 *
 * The hypervisor bounces the first fault to the handler, whose first instruction cannot be
 * fetched, so it bounces that fault too, one frame further down the stack, thousands of times,
 * until the stack's guard page stops it. A processor would call this a double fault at once. The
 * guest must die alone, and the domains beside it must get their share of the processor all the
 * while.
 *
 * With the word `forever` the frames overwrite nothing: the handler returns to the instruction
 * that faulted, which faults again. That never ends by itself and is no crash; only a destroy or
 * the end of the machine stops it.
 *
 * Run: none (it dies; a system test watches it)
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <pv/hypercall.h>
#include <pv/trap.h>

#define MISSING 0x1000

static bool handle_nothing(struct trap_frame *frame)
{
    (void)frame;
    return true;
}

int main(int argc, char **argv)
{
    static const struct trap_info table[] = {
        {.vector = VECTOR_PF, .cs = FLAT_KERNEL_CS, .address = MISSING},
        {0},
    };
    bool forever = argc > 1 && strcmp(argv[1], "forever") == 0;

    printf("crash-endless: a fault %s\n", forever ? "again and again" : "in the fault handler");
    if (forever)
        trap_hook(VECTOR_PF, handle_nothing);
    else
        hv_set_trap_table(table);
    __asm__ volatile("movl %0, %%eax" ::"m"(*(char *)MISSING) : "eax");
    printf("crash-endless: still alive\n");
    return 1;
}
