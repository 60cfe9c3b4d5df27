/* SPDX-License-Identifier: MIT */
/*
 * ipi.c: interrupts from one CPU to another. SDM vol. 3, 11.6 (the interrupt command register).
 *
 * There is one vector and it carries no message: what is wanted stands in the other CPU's struct cpu
 * (softirq_pending, flush_requested) or in a vcpu_info, written before the interrupt is sent. The
 * interrupt only makes a CPU that runs a guest, or sleeps in HLT, come by the places where these are
 * looked at. So none is lost when several become one, and a late one does no harm.
 *
 * Read next: tlb.c, xen/softirq.c.
 */
#include <ringlet/apic.h>
#include <ringlet/console.h>
#include <ringlet/desc.h>
#include <ringlet/percpu.h>

/*
 * The write of the low word sends; a local APIC takes one command at a time. Interrupts are off, so
 * nothing comes between the two words.
 */
static void send(const struct cpu *c, uint32_t command)
{
    while (apic_read(APIC_ICR_LOW) & APIC_ICR_BUSY)
        __builtin_ia32_pause();
    apic_write(APIC_ICR_HIGH, c->apic_id << 24);
    apic_write(APIC_ICR_LOW, command);
}

void send_ipi(const struct cpu *c)
{
    send(c, APIC_ICR_FIXED | IPI_VECTOR);
}

/* Reset it: it waits for a STARTUP then. */
void send_init(const struct cpu *c)
{
    send(c, APIC_ICR_INIT);
}

/* Let it begin in real mode at the start of this page, below 1 MiB. */
void send_startup(const struct cpu *c, unsigned page)
{
    send(c, APIC_ICR_STARTUP | page);
}

/* 1: every CPU that takes an NMI is to stop. */
static bool stopping;
static unsigned stopped; /* how many have; atomic */

/* So often it is looked whether they have: some tenths of a second, for one that never will. */
#define STOP_LOOKS (1u << 24)

/*
 * Stop the other CPUs where they are: the machine is about to end, or the hypervisor has lost its
 * way. An NMI reaches them also where interrupts are off. On return they stand still, but for one
 * whose NMI handler was where it lost its way.
 *
 * It is sent to the CPUs that were started, one by one. The others still wait in the firmware without
 * an IDT, where an NMI is a triple fault, which resets the machine.
 */
void stop_other_cpus(void)
{
    __atomic_store_n(&stopping, true, __ATOMIC_SEQ_CST);
    if (nr_cpus == 1)
        return;
    for (struct cpu *c = cpus; c < cpus + nr_cpus; c++)
        if (c != this_cpu)
            send(c, APIC_ICR_NMI);
    for (unsigned i = 0; i < STOP_LOOKS; i++) {
        if (__atomic_load_n(&stopped, __ATOMIC_SEQ_CST) >= nr_cpus - 1)
            return;
        __builtin_ia32_pause(); /* not cpu_relax(): what the others asked for is past serving */
    }
}

/* An NMI came: does it mean this? */
void stop_if_told(void)
{
    if (!__atomic_load_n(&stopping, __ATOMIC_SEQ_CST))
        return;
    __atomic_fetch_add(&stopped, 1, __ATOMIC_SEQ_CST);
    machine_halt();
}

/* Softirqs and events are looked at on the way out. */
void ipi_interrupt(void)
{
    apic_eoi();
    if (this_cpu->flush_requested)
        tlb_serve_request();
}
