/* SPDX-License-Identifier: MIT */
/*
 * cpuid.c: the processor a PV guest is told it has.
 *
 * CPUID itself cannot be intercepted: a guest that runs it plainly sees the machine. Kernels of
 * this ABI ask by the forced-emulation prefix instead (traps/emulate.c) and get what is here: the
 * machine's answer, less what they cannot use in ring 1 or what the hypervisor does not switch
 * between vcpus, plus the hypervisor's own leaves.
 *
 * Each mask lists what is shown; what is not listed is hidden, new features of future processors
 * included.
 *
 * Read next: traps/msr.c. SDM vol. 2, CPUID; xen/arch-x86/cpuid.h for the leaves from 0x40000000.
 */
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/domain.h>
#include <ringlet/hypercall.h>
#include <ringlet/traps.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/version.h>

enum { EAX, EBX, ECX, EDX };

#define BIT(n) (1u << (n))

#define MAX_BASIC_LEAF 0xdu
#define MAX_EXTENDED_LEAF 0x80000008u
#define HYPERVISOR_LEAF 0x40000000u

/*
 * Leaf 1, EDX: FPU, DE, TSC, MSR, PAE, CX8, APIC, CMOV, PAT, CLFLUSH, MMX, FXSR, SSE, SSE2, SS.
 * Hidden among others: VME (no vm86 in ring 1), PSE and PSE36 (large pages are not validated), PGE
 * (the bit belongs to the hypervisor), MTRR, MCE, MCA (the machine's, not the guest's), HTT (each
 * vcpu is a package of its own). SEP is hidden though SYSENTER works: a kernel that sees it would
 * prefer it, and a bounce costs more than the direct gate of int $0x80 (a getppid of Linux 4.19:
 * 372 instructions by SYSENTER, 343 by int $0x80).
 */
#define LEAF1_EDX                                                                                 \
    (BIT(0) | BIT(2) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(9) | BIT(15) | BIT(16) | BIT(19) | \
     BIT(23) | BIT(24) | BIT(25) | BIT(26) | BIT(27))
#define LEAF1_EDX_ACPI BIT(22)
/*
 * Leaf 1, ECX: SSE3, PCLMULQDQ, SSSE3, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, RDRAND. Hidden
 * among others: MONITOR, VMX, SMX, EST, PCID, X2APIC, TSC deadline, XSAVE and all that needs it
 * (AVX, FMA, F16C): FXSAVE switches no more.
 */
#define LEAF1_ECX \
    (BIT(0) | BIT(1) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) | BIT(30))
#define LEAF1_ECX_HYPERVISOR BIT(31)
/*
 * Leaf 7.0, EBX: FDP_EXCPTN_ONLY, ERMS, no FPU CS/DS, RDSEED, ADX, CLFLUSHOPT, CLWB, SHA; EDX: fast
 * short REP MOVS.
 */
#define LEAF7_EBX (BIT(6) | BIT(9) | BIT(13) | BIT(18) | BIT(19) | BIT(23) | BIT(24) | BIT(29))
#define LEAF7_EDX BIT(4)
/*
 * Leaf 0x80000001, EDX: MMXEXT, 3DNOWEXT, 3DNOW, and AMD's copies of leaf 1. Not SYSCALL, LM, 1 GiB,
 * RDTSCP; and NX only by the word guest_nx: it may be used all the same, but a Linux built with
 * CONFIG_DEBUG_WX that sees it walks its own page tables at the end of its boot, the hypervisor's
 * entries in the top L2 too, and does not survive following those to L1 tables that are not its own.
 */
#define EXT1_EDX (BIT(22) | BIT(30) | BIT(31))
#define EXT1_EDX_NX BIT(20)
#define EXT1_EDX_COPIES                                                                            \
    (BIT(24) | BIT(23) | BIT(16) | BIT(15) | BIT(9) | BIT(8) | BIT(6) | BIT(5) | BIT(4) | BIT(2) | \
     BIT(0))
/* ECX: LAHF, ABM, SSE4A, misaligned SSE, PREFETCHW. Not SVM. */
#define EXT1_ECX (BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(8))

static void zero(uint32_t out[4])
{
    out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
}

/* Features. The APIC id is the vcpu's number; one logical processor a package. */
static void leaf_1(const struct vcpu *v, uint32_t out[4])
{
    uint32_t edx = LEAF1_EDX;

    if (v->domain->initial)
        edx |= LEAF1_EDX_ACPI;
    out[EBX] = (out[EBX] & 0xffff) | BIT(16) | v->id << 24;
    out[ECX] = (out[ECX] & LEAF1_ECX) | LEAF1_ECX_HYPERVISOR;
    out[EDX] &= edx;
}

/*
 * Caches: shared by nobody, one core a package. SDM: EAX 25:14 and 31:26 count sharers and cores,
 * less one.
 */
static void leaf_4(uint32_t subleaf, uint32_t out[4])
{
    cpuid(4, subleaf, out);
    out[EAX] &= 0x3fff;
}

static void leaf_7(uint32_t subleaf, uint32_t out[4])
{
    if (subleaf) {
        zero(out);
        return;
    }
    out[EAX] = 0;
    out[EBX] &= LEAF7_EBX;
    out[ECX] = 0;
    out[EDX] &= LEAF7_EDX;
}

static void basic_leaf(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    uint32_t highest[4];

    cpuid(0, 0, highest);
    if (leaf > MIN(highest[EAX], MAX_BASIC_LEAF)) {
        zero(out);
        return;
    }
    cpuid(leaf, subleaf, out);
    switch (leaf) {
    case 0:
        out[EAX] = MIN(out[EAX], MAX_BASIC_LEAF);
        break;
    case 1:
        leaf_1(v, out);
        break;
    case 2: /* cache descriptors */
        break;
    case 4:
        leaf_4(subleaf, out);
        break;
    case 7:
        leaf_7(subleaf, out);
        break;
    default: /* serial number, MWAIT, power, counters, topology, XSAVE: nothing of these */
        zero(out);
    }
}

static void extended_leaf(uint32_t leaf, uint32_t out[4])
{
    uint32_t highest[4];

    cpuid(0x80000000, 0, highest);
    if (leaf > MIN(highest[EAX], MAX_EXTENDED_LEAF)) {
        zero(out);
        return;
    }
    cpuid(leaf, 0, out);
    switch (leaf) {
    case 0x80000000:
        out[EAX] = MIN(out[EAX], MAX_EXTENDED_LEAF);
        break;
    case 0x80000001:
        out[EBX] = 0;
        out[ECX] &= EXT1_ECX;
        out[EDX] &= EXT1_EDX | EXT1_EDX_COPIES | (nx_bit && options.guest_nx ? EXT1_EDX_NX : 0);
        break;
    case 0x80000007: /* of power management, only whether the TSC runs at one speed */
        out[EAX] = out[EBX] = out[ECX] = 0;
        out[EDX] &= BIT(8);
        break;
    case 0x80000008:
        out[EAX] &= 0xffff;
        out[EBX] = out[ECX] = out[EDX] = 0;
        break;
    default: /* 2 to 4: the name; 5 and 6: caches */
        break;
    }
}

/* How many bits the highest machine address has: guests choose grant table formats by it. */
static unsigned machine_address_bits(void)
{
    unsigned bits = PAGE_SHIFT;

    while ((max_frame - 1) >> (bits - PAGE_SHIFT))
        bits++;
    return bits;
}

static void time_leaf(const struct vcpu *v, uint32_t subleaf, uint32_t out[4])
{
    switch (subleaf) {
    case 0: /* the TSC is the machine's; tsc_mode 0 */
        out[ECX] = (uint32_t)tsc_khz();
        break;
    case 1: /* offset 0, then the factor of vcpu_time_info */
        out[ECX] = v->info->time.tsc_to_system_mul;
        out[EDX] = (uint32_t)v->info->time.tsc_shift;
        break;
    case 2:
        out[EAX] = (uint32_t)tsc_khz();
        break;
    }
}

static void hypervisor_leaf(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    zero(out);
    switch (leaf - HYPERVISOR_LEAF) {
    case 0:
        out[EAX] = HYPERVISOR_LEAF + XEN_CPUID_MAX_NUM_LEAVES;
        out[EBX] = XEN_CPUID_SIGNATURE_EBX;
        out[ECX] = XEN_CPUID_SIGNATURE_ECX;
        out[EDX] = XEN_CPUID_SIGNATURE_EDX;
        break;
    case 1:
        out[EAX] = ABI_VERSION;
        break;
    case 2: /* one hypercall page, written through MSR 0x40000000 (traps/msr.c) */
        out[EAX] = 1;
        out[EBX] = HYPERVISOR_LEAF;
        out[ECX] = XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD;
        break;
    case 3:
        time_leaf(v, subleaf, out);
        break;
    case 5:
        out[EBX] = machine_address_bits();
        break;
    }
}

/*
 * eax, ebx, ecx, edx of CPUID with `leaf` in eax and `subleaf` in ecx, for the vcpu that runs.
 * Unknown leaves are zero.
 */
void guest_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    if (leaf >= 0x80000000)
        extended_leaf(leaf, out);
    else if (leaf >= HYPERVISOR_LEAF)
        hypervisor_leaf(current, leaf, subleaf, out);
    else
        basic_leaf(current, leaf, subleaf, out);
}
