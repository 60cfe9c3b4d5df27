/* SPDX-License-Identifier: MIT */
/*
 * cpu.c: what the processor offers (CPUID) and how we set it up (control registers, MSRs).
 */
#include <ringlet/arch.h>
#include <ringlet/desc.h>
#include <ringlet/lib.h>
#include <ringlet/traps.h>

struct cpu_features cpu_features;

/*
 * Fill cpu_features from CPUID (SDM vol. 2, CPUID). Boot CPU, once, before paging_init() uses nx
 * and pge.
 */
void cpu_detect(void)
{
    struct cpu_features *f = &cpu_features;
    uint32_t r[4], max_extended;
    bool pse36;

    cpuid(0, 0, r);
    f->vendor[0] = r[1];
    f->vendor[1] = r[3];
    f->vendor[2] = r[2];
    cpuid(1, 0, r);
    f->mce = r[3] & (1u << 7);
    f->apic = r[3] & (1u << 9);
    f->sep = r[3] & (1u << 11);
    f->pge = r[3] & (1u << 13);
    pse36 = r[3] & (1u << 17);
    f->fxsr = r[3] & (1u << 24);
    f->sse = r[3] & (1u << 25);

    cpuid(0x80000000, 0, r);
    max_extended = r[0];
    if (max_extended >= 0x80000001) {
        cpuid(0x80000001, 0, r);
        f->nx = r[3] & (1u << 20);
    }
    /*
     * Without leaf 0x80000008: PSE-36 tells of 36 physical address bits. PAE alone does not: QEMU's
     * qemu32 has it and faults on a higher bit as on a reserved one.
     */
    f->address_bits = pse36 ? 36 : 32;
    if (max_extended >= 0x80000008) {
        cpuid(0x80000008, 0, r);
        f->address_bits = r[0] & 0xff;
    }
    f->address_mask = PTE_ADDR & ((1ull << f->address_bits) - 1);
    BUG_ON(!f->fxsr);
}

/*
 * Set this CPU up. CR4: PAE is on already; PGE lets the hypervisor's own mappings survive a guest's
 * CR3 load; OSFXSR and OSXMMEXCPT let guests use SSE. TSD stays clear: guests read the TSC
 * directly. With MCE a machine check is an exception, and not the end without a word. CR0.AM is a
 * kernel's usual setting: programs that set EFLAGS.AC get #AC, rings 0 to 2 never. CR0.TS is set so that the first FPU instruction of a guest faults and loads its state
 * (arch/i386/switch.c).
 */
void cpu_init(void)
{
    uint32_t cr4 = CR4_PAE | CR4_PSE | CR4_OSFXSR;

    if (cpu_features.mce)
        cr4 |= CR4_MCE;
    if (cpu_features.pge)
        cr4 |= CR4_PGE;
    if (cpu_features.sse)
        cr4 |= CR4_OSXMMEXCPT;
    write_cr4(cr4);
    debug_registers_init();
    if (cpu_features.nx)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    write_cr0((read_cr0() | CR0_NE | CR0_MP | CR0_WP | CR0_AM | CR0_TS) & ~CR0_EM);
}
