/* SPDX-License-Identifier: MIT */
/*
 * selftest.c: say at boot whether guests are contained on this machine. See selftest.S.
 */
#include <ringlet/domain.h>

asmlinkage bool ring1_read_faults(void);
extern uint8_t selftest_faulted[], selftest_passed[];

static void point_gate(struct gate *g, const uint8_t *handler)
{
    g->offset_low = (uintptr_t)handler;
    g->offset_high = (uintptr_t)handler >> 16;
}

/*
 * Boot CPU, after desc_init_cpu() and before any guest. Prints one line; the answer is kept for
 * `ring_compression`.
 */
bool ring_compression_enforced;

void ring_compression_selftest(void)
{
    struct gate *idt = this_cpu->idt;
    struct gate int3 = idt[TRAP_int3], gp = idt[TRAP_gp_fault], pf = idt[TRAP_page_fault];

    point_gate(&idt[TRAP_int3], selftest_passed);
    point_gate(&idt[TRAP_gp_fault], selftest_faulted);
    point_gate(&idt[TRAP_page_fault], selftest_passed);
    ring_compression_enforced = ring1_read_faults();
    idt[TRAP_int3] = int3;
    idt[TRAP_gp_fault] = gp;
    idt[TRAP_page_fault] = pf;

    if (ring_compression_enforced)
        printk("ring compression: enforced\n");
    else
        printk("WARNING: ring compression: this machine does not check segment limits; "
               "guests are NOT contained\n");
}
