/* SPDX-License-Identifier: MIT */
/*
 * msr.c: the model-specific registers a guest's kernel may read and write.
 *
 * The list is short on purpose: what kernels of this ABI read while they boot (and what those reads
 * are good for), and no register that tells of other guests or changes the machine. Everything else
 * is #GP, which is what a processor answers for an MSR it does not have, and what kernels are
 * prepared for.
 *
 * Read next: traps/cpuid.c, which must not promise what is refused here. SDM vol. 4.
 */
#include <ringlet/arch.h>
#include <ringlet/emulate.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

#define MSR_TSC 0x10
#define MSR_UCODE_REV 0x8b
#define MSR_MTRR_CAP 0xfe
#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MISC_ENABLE 0x1a0
#define MSR_DEBUGCTL 0x1d9
#define MSR_PAT 0x277
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_AMD_HWCR 0xc0010015
#define MSR_AMD_INT_PENDING 0xc0010055
#define MSR_AMD_DE_CFG 0xc0011029
#define MSR_XEN_HYPERCALL_PAGE 0x40000000 /* CPUID leaf 0x40000002 says so */

#define APIC_BASE_DEFAULT 0xfee00000u
#define APIC_BASE_ENABLE 0x800u
#define APIC_BASE_BOOT_CPU 0x100u

/* IA32_MISC_ENABLE: no performance monitoring, no MONITOR, no tracing for guests. */
#define MISC_PERFMON (1u << 7)
#define MISC_BTS_UNAVAILABLE (1u << 11)
#define MISC_PEBS_UNAVAILABLE (1u << 12)
#define MISC_MONITOR (1u << 18)

#define DE_CFG_LFENCE_SERIALISING 2u

static bool is_amd(void)
{
    return cpu_features.vendor[0] == 0x68747541; /* "Auth" enticAMD */
}

static bool read_misc_enable(uint64_t *value)
{
    if (!rdmsr_safe(MSR_MISC_ENABLE, value))
        return false;
    *value &= ~(uint64_t)(MISC_PERFMON | MISC_MONITOR);
    *value |= MISC_BTS_UNAVAILABLE | MISC_PEBS_UNAVAILABLE;
    return true;
}

/* Registers of AMD processors that kernels look at for errata. */
static bool read_amd(uint32_t msr, uint64_t *value)
{
    *value = 0;
    if (!is_amd())
        return false;
    if (msr == MSR_AMD_DE_CFG && rdmsr_safe(msr, value))
        *value &= DE_CFG_LFENCE_SERIALISING;
    return true;
}

/* The value v's RDMSR yields. false: #GP. */
bool guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    switch (msr) {
    case MSR_TSC:
        *value = rdtsc();
        return true;
    /* there is no APIC behind it: what a kernel expects to find before it asks the hypervisor */
    case MSR_APIC_BASE:
        *value = APIC_BASE_DEFAULT | APIC_BASE_ENABLE | (v->id ? 0 : APIC_BASE_BOOT_CPU);
        return true;
    case MSR_UCODE_REV:
        *value = 0;
        return !v->domain->privileged || rdmsr_safe(msr, value);
    case MSR_MISC_ENABLE:
        return read_misc_enable(value);
    case MSR_PAT: /* what the PWT, PCD and PAT bits of the guest's own entries mean */
        return rdmsr_safe(msr, value);
    case MSR_EFER:
        *value = nx_bit ? EFER_NXE : 0;
        return true;
    case MSR_AMD_HWCR:
    case MSR_AMD_INT_PENDING:
    case MSR_AMD_DE_CFG:
        return read_amd(msr, value);
    case MSR_DEBUGCTL: /* no branch records or traps for guests: nothing is on */
    case MSR_XEN_HYPERCALL_PAGE:
    /* where CPUID does not trap, a kernel sees these features: no banks, no ranges, all off */
    case MSR_MCG_CAP:
    case MSR_MCG_STATUS:
    case MSR_MTRR_CAP:
    case MSR_MTRR_DEF_TYPE:
        *value = 0;
        return true;
    default:
        return false;
    }
}

/*
 * Fill a page of the domain's own with hypercall stubs. The low bits of the address choose one
 * page: there is only 0.
 */
static bool write_guest_hypercall_page(struct domain *d, uint64_t address)
{
    uint64_t mfn = address >> PAGE_SHIFT;
    void *page;

    if ((address & (PAGE_SIZE - 1)) || mfn >= max_frame)
        return false;
    if (get_frame_and_type(mfn_frame(mfn), d, FT_WRITABLE))
        return false;
    page = map_frame(mfn);
    write_hypercall_page(page);
    unmap_written(page);
    put_frame_and_type(mfn_frame(mfn));
    return true;
}

/*
 * WRMSR. Registers the guest cannot change accept the value they have, so that a kernel may restore
 * what it read. false: #GP.
 */
bool guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t now;

    switch (msr) {
    case MSR_UCODE_REV: /* Intel: written with 0 before CPUID refreshes it, so as to be read */
        return !is_amd() && value == 0;
    case MSR_AMD_HWCR:
        return is_amd();
    case MSR_APIC_BASE:
    case MSR_MISC_ENABLE:
    case MSR_PAT:
    case MSR_EFER:
    case MSR_DEBUGCTL:
    case MSR_MCG_STATUS:
    case MSR_MTRR_DEF_TYPE:
    case MSR_AMD_DE_CFG:
        return guest_rdmsr(v, msr, &now) && value == now;
    case MSR_XEN_HYPERCALL_PAGE:
        return write_guest_hypercall_page(v->domain, value);
    default:
        return false;
    }
}
