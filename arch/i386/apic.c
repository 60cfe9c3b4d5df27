/* SPDX-License-Identifier: MIT */
/*
 * apic.c: the local APIC, the interrupt controller inside each processor. SDM vol. 3, chapter 11.
 *
 * We use it for its timer and leave the devices' lines with the PICs: LINT0 in ExtINT mode makes
 * the processor fetch the vector from the PIC, as if there were no APIC between ("virtual wire",
 * Intel MultiProcessor Specification 3.6.2.2). Such interrupts are acknowledged at the PIC; those
 * of the APIC itself with a write to APIC_EOI.
 *
 * Read next: timerdev.c.
 */
#include <ringlet/apic.h>
#include <ringlet/arch.h>
#include <ringlet/desc.h>
#include <ringlet/mm.h>
#include <ringlet/percpu.h>

#define APIC_BASE_ENABLE 0x800u

/*
 * Find the boot CPU's APIC and map its registers: once, for all CPUs, as each finds its own at the
 * same address.
 */
bool apic_init(void)
{
    uint64_t base;

    if (!cpu_features.apic)
        return false;
    base = rdmsr(MSR_APIC_BASE);
    if (!(base & APIC_BASE_ENABLE))
        return false; /* off in the firmware's setup */
    paging_map_fixed(FIXMAP_START, base & cpu_features.address_mask,
                     PTE_HYPERVISOR | PTE_PCD | nx_bit);
    keep_device((base & cpu_features.address_mask) >> PAGE_SHIFT);
    apic_init_cpu();
    return true;
}

/*
 * This CPU's APIC: on, nothing held back by priority, PIC and NMI lines through, timer and errors
 * silent.
 */
void apic_init_cpu(void)
{
    apic_write(APIC_SPURIOUS, APIC_SPURIOUS_ENABLE | SPURIOUS_VECTOR);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
    apic_write(APIC_LVT_ERROR, APIC_LVT_MASKED);
    apic_write(APIC_LVT_LINT0, this_cpu->id == 0 ? APIC_LVT_EXTINT : APIC_LVT_MASKED);
    apic_write(APIC_LVT_LINT1, APIC_LVT_NMI);
    this_cpu->apic_id = apic_read(APIC_ID) >> 24;
}
