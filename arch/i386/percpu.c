/* SPDX-License-Identifier: MIT */
/*
 * percpu.c: the storage behind this_cpu. See percpu.h.
 */
#include <ringlet/percpu.h>

struct cpu cpus[MAX_CPUS];
unsigned nr_cpus = 1;

/*
 * Lay a CPU's state out before any C code there uses this_cpu or current: `info` is the top of its
 * stack, `idle` becomes current.
 */
void percpu_init(struct cpu *c, struct cpu_info *info, struct vcpu *idle)
{
    c->id = c - cpus;
    c->idle = idle;
    spin_lock_init(&c->timer_lock, RANK_TIMER);
    info->cpu = c;
    info->vcpu = idle;
}
