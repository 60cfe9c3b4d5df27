/* SPDX-License-Identifier: MIT */
/*
 * arch.h: the processor: control registers, ports, MSRs, and what CPUID said at boot. SDM vol. 3,
 * 2.5 and vol. 4.
 */
#ifndef RINGLET_ARCH_H
#define RINGLET_ARCH_H

#define CR0_PE 0x00000001u
#define CR0_MP 0x00000002u
#define CR0_EM 0x00000004u
#define CR0_TS 0x00000008u
#define CR0_ET 0x00000010u
#define CR0_NE 0x00000020u
#define CR0_WP 0x00010000u
#define CR0_AM 0x00040000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u

#define CR4_VME 0x0001u
#define CR4_PVI 0x0002u
#define CR4_TSD 0x0004u
#define CR4_DE 0x0008u
#define CR4_PSE 0x0010u
#define CR4_PAE 0x0020u
#define CR4_MCE 0x0040u
#define CR4_PGE 0x0080u
#define CR4_PCE 0x0100u
#define CR4_OSFXSR 0x0200u
#define CR4_OSXMMEXCPT 0x0400u

#define MSR_APIC_BASE 0x1b
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_EFER 0xc0000080
#define EFER_NXE 0x800u

#ifndef __ASSEMBLY__
#include <ringlet/types.h>

/* What this machine's processors have; filled once at boot by cpu_detect(). arch/i386/cpu.c */
struct cpu_features {
    bool nx, pge, fxsr, sse, sep, apic, mce;
    uint32_t vendor[3];
    unsigned address_bits; /* physical */
    uint64_t address_mask; /* PTE_ADDR bits that exist */
};
extern struct cpu_features cpu_features;
void cpu_detect(void);
void cpu_init(void); /* control registers and MSRs of this CPU */

static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint32_t read_cr0(void)
{
    uint32_t v;
    __asm__ volatile("movl %%cr0, %0" : "=r"(v));
    return v;
}

static inline void write_cr0(uint32_t v)
{
    __asm__ volatile("movl %0, %%cr0" : : "r"(v) : "memory");
}

static inline uint32_t read_cr2(void)
{
    uint32_t v;
    __asm__ volatile("movl %%cr2, %0" : "=r"(v));
    return v;
}

static inline void write_cr2(uint32_t v)
{
    __asm__ volatile("movl %0, %%cr2" : : "r"(v) : "memory");
}

static inline uint32_t read_cr3(void)
{
    uint32_t v;
    __asm__ volatile("movl %%cr3, %0" : "=r"(v));
    return v;
}

static inline void write_cr3(uint32_t v)
{
    __asm__ volatile("movl %0, %%cr3" : : "r"(v) : "memory");
}

static inline uint32_t read_cr4(void)
{
    uint32_t v;
    __asm__ volatile("movl %%cr4, %0" : "=r"(v));
    return v;
}

static inline void write_cr4(uint32_t v)
{
    __asm__ volatile("movl %0, %%cr4" : : "r"(v) : "memory");
}

static inline void clts(void)
{
    __asm__ volatile("clts");
}

static inline void stts(void)
{
    write_cr0(read_cr0() | CR0_TS);
}

static inline void invlpg(uint32_t va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}

static inline uint64_t rdtsc(void)
{
    uint64_t v;
    __asm__ volatile("rdtsc" : "=A"(v));
    return v;
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint64_t v;
    __asm__ volatile("rdmsr" : "=A"(v) : "c"(msr));
    return v;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "A"(v));
}

/* Read an MSR that may not exist: the #GP is caught. False then. arch/i386/usercopy.S */
asmlinkage bool rdmsr_safe(uint32_t msr, uint64_t *value);

/* What the memory mechanisms ask of the processor; host tests have none to ask. */
#ifdef RINGLET_HOST
void load_ldt_register(uint16_t selector);
void write_back_caches(void);
#else
/* LLDT: use the LDT of this descriptor of the GDT; 0: there is none. */
static inline void load_ldt_register(uint16_t selector)
{
    __asm__ volatile("lldt %w0" : : "r"(selector));
}

static inline void write_back_caches(void)
{
    __asm__ volatile("wbinvd" ::: "memory");
}
#endif

static inline void local_irq_enable(void)
{
    __asm__ volatile("sti" ::: "memory");
}

static inline void local_irq_disable(void)
{
    __asm__ volatile("cli" ::: "memory");
}

#endif
#endif
