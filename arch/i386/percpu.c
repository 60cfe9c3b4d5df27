/* SPDX-License-Identifier: MIT */
/*
 * percpu.c: the storage behind this_cpu. See percpu.h.
 */
#include <ringlet/percpu.h>

struct cpu cpus[MAX_CPUS];
unsigned nr_cpus = 1;

/*
 * Lay the boot CPU's state out before any C code uses this_cpu or current. `idle` becomes current.
 */
void percpu_init_boot_cpu(struct vcpu *idle)
{
    struct cpu_info *info = get_cpu_info();
    struct cpu *c = &cpus[0];

    c->id = 0;
    c->idle = idle;
    c->online = true;
    spin_lock_init(&c->timer_lock, RANK_TIMER);
    info->cpu = c;
    info->vcpu = idle;
}
