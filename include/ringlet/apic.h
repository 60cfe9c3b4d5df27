/* SPDX-License-Identifier: MIT */
/*
 * apic.h: the interrupt controllers. IO-APICs, or else the 8259 PICs, take the devices' lines; the
 * local APIC takes what they pass on (the PICs through its LINT0 pin, "ExtINT"), its own timer, and
 * messages between CPUs.
 *
 * Read next: arch/i386/pic.c, arch/i386/apic.c, arch/i386/timerdev.c.
 */
#ifndef RINGLET_APIC_H
#define RINGLET_APIC_H

#include <ringlet/config.h>
#include <ringlet/types.h>

/* Registers of the local APIC, as offsets into its page. SDM vol. 3, table 11-1. */
#define APIC_ID 0x020
#define APIC_TPR 0x080
#define APIC_EOI 0x0b0
#define APIC_SPURIOUS 0x0f0
#define APIC_ICR_LOW 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_LVT_ERROR 0x370
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3e0

#define APIC_SPURIOUS_ENABLE 0x100u
#define APIC_LVT_MASKED 0x10000u
#define APIC_LVT_NMI 0x400u
#define APIC_LVT_EXTINT 0x700u

/* The interrupt command register, low word: SDM vol. 3, figure 11-12. */
#define APIC_ICR_FIXED 0x04000u /* delivery mode 0; level "assert", as for all but one */
#define APIC_ICR_BUSY 0x01000u
#define APIC_ICR_NMI 0x04400u
#define APIC_ICR_INIT 0x04500u
#define APIC_ICR_STARTUP 0x04600u

/* The page stands at FIXMAP_START, uncached; apic_init() puts it there. */
static inline uint32_t apic_read(unsigned reg)
{
    return *(volatile uint32_t *)(uintptr_t)(FIXMAP_START + reg);
}

static inline void apic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)(FIXMAP_START + reg) = value;
}

static inline void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

struct cpu;

/* arch/i386/apic.c */
bool apic_init(void); /* false: there is none */
void apic_init_cpu(void);

/* arch/i386/ipi.c */
void send_init(const struct cpu *c);
void send_startup(const struct cpu *c, unsigned page);

/* arch/i386/pic.c; the rest of it is struct irq_controller of irq.h */
void pic_init(void);

#endif
