/* SPDX-License-Identifier: MIT */
/*
 * keys.c: one-letter commands to the hypervisor, typed on its console or sent by sysctl debug_keys.
 *
 * Any file may register a key; those with no better home are here. A handler runs from a softirq,
 * with no lock held, and only prints: a running system survives being looked at (R is the
 * exception, and says so).
 *
 * Read next: console.c (how input gets here).
 */
#include <ringlet/console.h>
#include <ringlet/domain.h>
#include <ringlet/mm.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/sched.h>
#include <ringlet/sysctl.h>

static void list_keys(void)
{
    const struct key_record *k;

    for_each_record(key, k)
    {
        printk(" %c  %s\n", k->key, k->help);
    }
}
KEY('h', list_keys, "list of keys");

/* A softirq on each CPU in turn, so that they do not talk at once. One that is stuck ends the list. */
static void dump_registers(void)
{
    struct vcpu *v = current;

    if (v->domain == &idle_domain) {
        printk("CPU %u is idle\n", this_cpu->id);
    } else {
        printk("CPU %u runs vcpu %u of domain %u\n", this_cpu->id, v->id, v->domain->id);
        show_registers(guest_regs());
    }
    if (this_cpu->id + 1 < nr_cpus)
        raise_softirq_on(this_cpu + 1, SOFTIRQ_REGISTERS);
}

static void dump_all_registers(void)
{
    raise_softirq_on(&cpus[0], SOFTIRQ_REGISTERS);
}
KEY('d', dump_all_registers, "registers of what runs on each CPU");

static void dump_vcpu(const struct vcpu *v)
{
    printk("  vcpu %u: %s, wait %x, paused %d, cpu %u, upcall pending %u mask %u, L3 %x\n", v->id,
           v->running ? "running" : "not running", v->wait, v->pause_count, v->processor->id,
           v->info->evtchn_upcall_pending, v->info->evtchn_upcall_mask, v->l3_frame);
}

static void dump_domain(struct domain *d)
{
    static const char *const states[] = {"alive", "dying", "dead", "new"};
    struct vcpu *v;

    printk("Domain %u: %s%s%s, references %u, pages %u of %u, paused %d\n", d->id, states[d->state],
           d->privileged ? ", privileged" : "", d->crashed ? ", crashed" : "", d->refs,
           d->tot_pages, d->max_pages, d->pause_count);
    if (d->shut_down)
        printk("  shut down, reason %u\n", d->shutdown_code);
    for_each_vcpu(d, v) dump_vcpu(v);
}

static void for_each_domain(void (*fn)(struct domain *d))
{
    spin_lock(&domlist_lock);
    for (struct domain *d = domain_list; d; d = d->next)
        fn(d);
    spin_unlock(&domlist_lock);
}

static void dump_domains(void)
{
    for_each_domain(dump_domain);
}
KEY('q', dump_domains, "domains and their vcpus");

static void dump_events(void)
{
    for_each_domain(evtchn_dump);
}
KEY('e', dump_events, "event channels");

static void dump_grants(void)
{
    for_each_domain(grant_table_dump);
}
KEY('g', dump_grants, "grant tables");

static void dump_memory(void)
{
    printk("Memory: %u of %u frames free\n", free_frame_count(), total_frame_count());
}
KEY('m', dump_memory, "free memory");

static void dump_time(void)
{
    uint64_t now = now_ns();

    printk("System time %llu.%09u s, TSC %llu kHz\n", now / NS_PER_SEC,
           (uint32_t)(now % NS_PER_SEC), tsc_khz());
}
KEY('t', dump_time, "time");

static void audit(void)
{
    printk("Audit of the frame table: %u differences\n", audit_frames());
}
KEY('a', audit, "audit of the frame table");

/* debug_keys: as if typed on the console while the hypervisor has it. */
static int sysctl_debug_keys(struct xen_sysctl *op)
{
    char key;

    for (uint32_t i = 0; i < op->u.debug_keys.nr_keys; i++) {
        if (copy_from_guest(&key, op->u.debug_keys.keys.p + i, 1))
            return -EFAULT;
        key_handle(key);
    }
    return 0;
}
SYSCTL(debug_keys);
KEY('r', sched_dump, "run queues");

static void reboot(void)
{
    printk("Key R: rebooting the machine\n");
    machine_reboot();
}
KEY('R', reboot, "reboot the machine");

static void __init keys_init(void)
{
    softirq_register(SOFTIRQ_REGISTERS, dump_registers);
}
BOOT_STEP(BOOT_SERVICES, keys_init);
