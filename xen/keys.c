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
#include <ringlet/sched.h>

#define NR_KEYS 128

/* Boot only: filled by key_register() before input is enabled. */
static struct {
    const char *what;
    void (*fn)(void);
} keys[NR_KEYS];

/* Have fn called when `key` is typed; `what` is its line in the list. A key is registered once. */
void key_register(char key, const char *what, void (*fn)(void))
{
    uint8_t k = (uint8_t)key;

    BUG_ON(k >= NR_KEYS || keys[k].fn);
    keys[k].what = what;
    keys[k].fn = fn;
}

/* Do what a key stands for; other characters are ignored. */
void key_handle(char key)
{
    uint8_t k = (uint8_t)key;

    if (k < NR_KEYS && keys[k].fn)
        keys[k].fn();
}

static void list_keys(void)
{
    for (unsigned k = 0; k < NR_KEYS; k++)
        if (keys[k].fn)
            printk(" %c  %s\n", (char)k, keys[k].what);
}

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

static void dump_events(void)
{
    for_each_domain(evtchn_dump);
}

static void dump_grants(void)
{
    for_each_domain(grant_table_dump);
}

static void dump_memory(void)
{
    printk("Memory: %u of %u frames free\n", free_frame_count(), total_frame_count());
}

static void dump_time(void)
{
    uint64_t now = now_ns();

    printk("System time %llu.%09u s, TSC %llu kHz\n", now / NS_PER_SEC,
           (uint32_t)(now % NS_PER_SEC), tsc_khz());
}

static void audit(void)
{
    printk("Audit of the frame table: %u differences\n", audit_frames());
}

/* Boot: the keys that belong to no one else. */
void __init keys_init(void)
{
    softirq_register(SOFTIRQ_REGISTERS, dump_registers);
    key_register('h', "list of keys", list_keys);
    key_register('d', "registers of what runs on each CPU", dump_all_registers);
    key_register('q', "domains and their vcpus", dump_domains);
    key_register('e', "event channels", dump_events);
    key_register('g', "grant tables", dump_grants);
    key_register('m', "free memory", dump_memory);
    key_register('t', "time", dump_time);
    key_register('r', "run queues", sched_dump);
    key_register('a', "audit of the frame table", audit);
    key_register('R', "reboot the machine", machine_reboot);
}
