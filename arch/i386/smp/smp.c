/* SPDX-License-Identifier: MIT */
/*
 * smp.c: starting the other processors, and stopping them.
 *
 * At power-on one processor runs the firmware, the loader and us; the others ("application
 * processors") wait. ACPI's MADT lists the local APICs of all. Each is woken by messages between the
 * APICs: INIT resets it into waiting for a STARTUP, which tells it where to begin (trampoline.S);
 * processors may miss the first STARTUP, so others follow (SDM vol. 3, 9.4.4.1). One is
 * started at a time, on a stack of its own, with its struct cpu filled in; it ends as its idle vcpu.
 * One that does not come is sent back to waiting by another INIT, reported, and left out: CPU
 * numbers have no gaps.
 *
 * Devices' interrupts all go to the first CPU (ioapic.c): the initial domain's drivers are woken
 * wherever they run by an event.
 *
 * References: SDM vol. 3, 9.4 (multiprocessor initialisation), 11.6 (interrupt command register);
 * ACPI 6.3, 5.2.12.2.
 *
 * Read next: trampoline.S, ipi.c, tlb.c.
 */
#include <ringlet/acpi.h>
#include <ringlet/apic.h>
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/module.h>
#include <ringlet/sched.h>
#include <ringlet/time.h>

/*
 * Where the trampoline stands while processors start: memory in every PC, and below 1 MiB nothing is
 * ours. What was there is put back: the firmware or the initial domain may know it.
 */
#define TRAMPOLINE 0x8000u
#define INIT_WAIT MILLISECS(10)
#define STARTUP_WAIT MILLISECS(20)
#define STARTUPS 50

#define MADT_LOCAL_APIC 0
#define LAPIC_ENABLED 1u

extern const uint8_t ap_trampoline[], ap_trampoline_end[]; /* physical addresses */
uint8_t *ap_stack;                                         /* of the CPU that is being started */

asmlinkage noreturn void start_secondary(void);

/* Boot only: the APICs that the firmware names, but this CPU's. */
static uint8_t found[255];
static unsigned nr_found;

static void note_processor(const uint8_t *e)
{
    if (e[0] == MADT_LOCAL_APIC && e[1] >= 8 && (e[4] & LAPIC_ENABLED) &&
        e[3] != this_cpu->apic_id && nr_found < ARRAY_SIZE(found))
        found[nr_found++] = e[3];
}

static void delay(uint64_t ns)
{
    uint64_t end = now_ns() + ns;

    while (now_ns() < end)
        cpu_relax();
}

/* A CPU's stack, struct cpu and idle vcpu, as percpu.h draws them. false: no memory. */
static bool prepare(struct cpu *c, unsigned apic_id)
{
    uint8_t *stack = heap_alloc_pages(STACK_SHIFT - PAGE_SHIFT);
    struct vcpu *idle = idle_vcpu_create();

    if (!stack || !idle) {
        if (stack)
            heap_free_pages(stack, STACK_SHIFT - PAGE_SHIFT);
        xfree(idle);
        return false;
    }
    ap_stack = stack + STACK_SIZE - sizeof(struct cpu_info);
    percpu_init(c, (struct cpu_info *)ap_stack, idle);
    c->apic_id = apic_id;
    return true;
}

/* Nobody came: forget what prepare() made. */
static void forget(struct cpu *c)
{
    heap_free_pages(ap_stack + sizeof(struct cpu_info) - STACK_SIZE, STACK_SHIFT - PAGE_SHIFT);
    xfree(c->idle);
}

static bool wait_online(const struct cpu *c, uint64_t ns)
{
    uint64_t end = now_ns() + ns;

    while (!__atomic_load_n(&c->online, __ATOMIC_ACQUIRE)) {
        if (now_ns() >= end)
            return false;
        tsc_sync_serve();
        cpu_relax();
    }
    return true;
}

/*
 * INIT, and STARTUPs until it is there. A processor that has started ignores them; an emulated one,
 * on a busy machine, may not even have seen the INIT when the first one comes.
 */
static bool start(const struct cpu *c)
{
    send_init(c);
    delay(INIT_WAIT);
    for (unsigned i = 0; i < STARTUPS; i++) {
        send_startup(c, TRAMPOLINE >> PAGE_SHIFT);
        if (wait_online(c, STARTUP_WAIT))
            return true;
    }
    send_init(c);
    return false;
}

static void start_all(void)
{
    for (unsigned i = 0; i < nr_found && nr_cpus < options.max_cpus; i++) {
        struct cpu *c = &cpus[nr_cpus];

        c->id = nr_cpus;
        if (!prepare(c, found[i]))
            break;
        if (start(c)) {
            nr_cpus++;
            continue;
        }
        printk("The processor with APIC %u does not start: left out\n", found[i]);
        forget(c);
    }
}

/*
 * Start the other processors that the firmware names, MAX_CPUS or `maxcpus=` in all. The identity
 * map of the boot is still there, and no domain. Boot CPU.
 */
static void __init smp_init(void)
{
    uint32_t size = ap_trampoline_end - ap_trampoline;
    uint8_t *page, kept[128];

    ASSERT(size <= sizeof(kept));
    if (!timerdev_is_local())
        return;
    acpi_for_each_madt_entry(note_processor);
    page = direct_map(TRAMPOLINE);
    memcpy(kept, page, size);
    memcpy(page, ap_trampoline, size);
    start_all();
    memcpy(page, kept, size);
    printk("CPUs: %u of %u in use\n", nr_cpus, nr_found + 1);
}
BOOT_STEP(BOOT_PROCESSORS, smp_init);

/* The second half of trampoline.S: as start_hypervisor() does it for the first CPU. */
asmlinkage noreturn void start_secondary(void)
{
    struct cpu *c = this_cpu;

    cpu_init(); /* first: only now may this CPU meet entries with NX */
    desc_init_cpu(c->id);
    apic_init_cpu();
    tsc_sync();
    timerdev_init_cpu();
    timers_init_cpu(c);
    sched_init_cpu(c);
    time_init_cpu();
    __atomic_store_n(&c->online, true, __ATOMIC_RELEASE);
    reset_stack_and_call(idle_loop);
}
