/* SPDX-License-Identifier: MIT */
/*
 * emulate.c: privileged instructions that a guest kernel runs in ring 1 and the processor refuses
 * with #GP.
 *
 * A kernel written for ring 0 reads CR0, sets TS, asks for an MSR or a port. In ring 1 each of
 * these is a general protection fault, and the hypervisor carries the instruction out on the
 * guest's virtual processor instead. What is emulated is the ABI's list; everything else (HLT,
 * INVLPG, LMSW, LGDT, LIDT, LLDT, LTR, INVD, a MOV to a CR that does not exist) stays the #GP it
 * is. So does RDPMC: CPUID shows a guest no counters. CLI and STI with virtual IOPL do nothing:
 * POPF in ring 1 silently ignores IF, so a mask that followed CLI could never be relied on to come
 * off again; a guest masks events in its vcpu_info. SMSW, SGDT, SIDT and STR never fault and show
 * the real machine.
 *
 * The guest is hostile: its bytes may change between the fault and our look at them. So only what
 * was fetched here, once, is decoded, checked in full and acted on; that the processor refused
 * something similar is no argument.
 *
 * Read next: traps/fetch.c, traps/ioports.c, traps/msr.c, traps/cpuid.c.
 */
#include <ringlet/arch.h>
#include <ringlet/emulate.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/traps.h>

#define DR6_SINGLE_STEP 0x4000u

/* What a guest may change in CR4, and what it sees set there because the hypervisor set it. */
#define CR4_GUEST (CR4_TSD | CR4_DE)
#define CR4_VISIBLE (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)

/*
 * A guest that single-steps (EFLAGS.TF) expects a #DB behind each instruction, emulated ones too;
 * so does one whose breakpoints (bits of DR6) it met. SDM vol. 3, 17.3.1.4.
 */
void trap_after_insn(const struct cpu_user_regs *regs, uint32_t breakpoints)
{
    if (regs->eflags & EFLAGS_TF)
        breakpoints |= DR6_SINGLE_STEP;
    current->debugreg[6] |= breakpoints;
    inject_exception(TRAP_debug, NO_ERROR_CODE);
}

/*
 * CR4 as the guest sees it after writing `value`: the bits it may set, where the processor has them
 * (all have TSD and DE since the Pentium), and those the hypervisor set.
 */
uint32_t guest_cr4_visible(uint32_t value)
{
    return (value & CR4_GUEST) | (read_cr4() & CR4_VISIBLE);
}

/*
 * Bring the processor's TSD and DE in line with what v set. For a vcpu switch, and after a write.
 */
void load_guest_cr4(const struct vcpu *v)
{
    uint32_t now = read_cr4(), wanted = (now & ~CR4_GUEST) | (v->cr4 & CR4_GUEST);

    if (now != wanted)
        write_cr4(wanted);
}

static bool read_cr(struct vcpu *v, unsigned nr, uint32_t *value)
{
    switch (nr) {
    case 0:
        *value = (read_cr0() & ~CR0_TS) | v->cr0_ts;
        return true;
    case 2:
        *value = v->info->arch.cr2;
        return true;
    case 3:
        *value = xen_pfn_to_cr3(v->l3_frame);
        return true;
    case 4:
        *value = guest_cr4_visible(v->cr4);
        return true;
    default:
        return false;
    }
}

/*
 * A new root may take long to validate: then the guest executes the same MOV again, others having
 * had their turn.
 */
static enum emulation write_guest_cr3(struct vcpu *v, uint32_t value)
{
    int rc = finish_any_old_table(v);

    if (!rc) {
        spin_lock(&v->domain->mm_lock);
        rc = new_guest_cr3(v, xen_cr3_to_pfn(value));
        spin_unlock(&v->domain->mm_lock);
    }
    if (rc == -ERESTART)
        return EMULATION_HANDLED;
    return rc ? EMULATION_REFUSED : EMULATION_DONE;
}

/*
 * walk 37: A control register that is not there
 *
 * Claim: A kernel in ring 1 that writes CR0 or CR3 gets #GP, and the hypervisor carries the write
 * out on the guest's virtual processor. Of CR0 a guest has TS alone; another bit is refused, and
 * the #GP is then the guest's to hear of. CR3 names a frame, which must be a root of the guest's
 * own, checked like any other: the instruction is another spelling of a hypercall and takes the
 * same way.
 * Without it: A MOV to CR3 taken as it is would let a guest run on page tables of its own making;
 * paging switched off in CR0 would end the machine.
 * Shown by: tests/guests/rings/emulate/main.c::test_cr0, tests/guests/rings/emulate/main.c::test_cr2_cr3,
 * tests/guests/rings/emulate/main.c::test_cr4
 */
/*
 * CR0 offers TS alone: a write that would change any other bit is refused. CR3 is folded
 * (xen/arch-x86/xen-x86_32.h).
 */
static enum emulation write_cr(struct vcpu *v, unsigned nr, uint32_t value)
{
    switch (nr) {
    case 0:
        if ((value ^ read_cr0()) & ~CR0_TS)
            return EMULATION_REFUSED;
        do_fpu_taskswitch(!!(value & CR0_TS));
        return EMULATION_DONE;
    case 2:
        v->info->arch.cr2 = value;
        return EMULATION_DONE;
    case 3:
        return write_guest_cr3(v, value);
    case 4:
        v->cr4 = guest_cr4_visible(value);
        load_guest_cr4(v);
        return EMULATION_DONE;
    default:
        return EMULATION_REFUSED;
    }
}

/*
 * A debug register that does not exist is #UD, a value that may not be is #GP. SDM vol. 2, MOV DRn.
 */
static enum emulation debugreg_result(long rc)
{
    if (rc == -ENODEV) {
        inject_exception(TRAP_invalid_op, NO_ERROR_CODE);
        return EMULATION_HANDLED;
    }
    return rc ? EMULATION_REFUSED : EMULATION_DONE;
}

/*
 * RDMSR. Some kernels read MSRs before they have a #GP handler, where the fault would be the end of
 * them: an MSR that exists then reads as 0 (xen/arch-x86/xen.h says so at set_trap_table).
 */
static bool emulate_rdmsr(struct vcpu *v, struct cpu_user_regs *regs)
{
    uint64_t value;

    if (!guest_rdmsr(v, regs->ecx, &value)) {
        if (v->traps[TRAP_gp_fault].address || !rdmsr_safe(regs->ecx, &value))
            return false;
        value = 0;
    }
    regs->eax = (uint32_t)value;
    regs->edx = value >> 32;
    return true;
}

/*
 * CR4.TSD, which the guest set, stops its programs from reading the TSC; its kernel may, as in ring
 * 0.
 */
static void emulate_rdtsc(struct cpu_user_regs *regs)
{
    uint64_t tsc = rdtsc();

    regs->eax = (uint32_t)tsc;
    regs->edx = tsc >> 32;
}

/*
 * WBINVD changes nothing a program can see but the time it takes. A domain that drives devices gets
 * it; for the others it is an instruction that does nothing.
 */
static void emulate_wbinvd(const struct domain *d)
{
    if (d->privileged)
        __asm__ volatile("wbinvd" ::: "memory");
}

static enum emulation done_if(bool ok)
{
    return ok ? EMULATION_DONE : EMULATION_REFUSED;
}

/* Opcodes 0F xx, in the guest's kernel. */
static enum emulation emulate_0f(struct cpu_user_regs *regs, unsigned opcode, unsigned reg,
                                 unsigned rm)
{
    struct vcpu *v = current;
    uint32_t value = 0;
    long rc;

    switch (opcode) {
    case 0x06: /* CLTS */
        do_fpu_taskswitch(0);
        return EMULATION_DONE;
    case 0x09: /* WBINVD */
        emulate_wbinvd(v->domain);
        return EMULATION_DONE;
    case 0x20: /* MOV r32, CRn */
        return done_if(read_cr(v, reg, insn_register(regs, rm)));
    case 0x21: /* MOV r32, DRn */
        rc = get_debugreg(v, reg, &value);
        if (!rc)
            *insn_register(regs, rm) = value;
        return debugreg_result(rc);
    case 0x22: /* MOV CRn, r32 */
        return write_cr(v, reg, *insn_register(regs, rm));
    case 0x23: /* MOV DRn, r32 */
        return debugreg_result(set_debugreg(v, reg, *insn_register(regs, rm)));
    case 0x30:
        return done_if(guest_wrmsr(v, regs->ecx, (uint64_t)regs->edx << 32 | regs->eax));
    case 0x31:
        emulate_rdtsc(regs);
        return EMULATION_DONE;
    case 0x32:
        return done_if(emulate_rdmsr(v, regs));
    default:
        return EMULATION_REFUSED;
    }
}

/*
 * walk 38: The list of what is emulated
 *
 * Claim: The emulator is a list of what may be done and not of what may not: control and debug
 * registers, MSRs, RDTSC, WBINVD, CLTS, ports, CLI and STI under the virtual IOPL. Everything else
 * stays the #GP that it is, and the guest's handler gets it. A LOCK prefix is refused, and what
 * needs a kernel's rights is done only for cs with RPL 1.
 * Without it: An emulator that carries out any instruction carries out those that segments and
 * rings were to forbid.
 * Shown by: tests/guests/rings/rings/main.c::test_instructions, tests/guests/rings/emulate/main.c::test_iopl,
 * tests/system/test_randcode.py::test_random_code
 */
static enum emulation emulate_insn(struct cpu_user_regs *regs, const struct insn *in)
{
    unsigned size = in->opcode & 1 ? in->operand_size : 1;

    if (in->lock)
        return EMULATION_REFUSED;
    if (in->map == MAP_0F)
        return in_guest_kernel(regs) ? emulate_0f(regs, in->opcode, in->reg, in->rm)
                                     : EMULATION_REFUSED;
    if (in->map != MAP_ONE_BYTE)
        return EMULATION_REFUSED;
    switch (in->opcode) {
    case 0x6c ... 0x6f:
        return emulate_string_io(regs, in);
    case 0xe4 ... 0xe7:
        return emulate_in_out(regs, in->opcode, in->immediate, size, in->length);
    case 0xec ... 0xef:
        return emulate_in_out(regs, in->opcode, regs->edx & 0xffff, size, in->length);
    case 0xfa: /* CLI */
    case 0xfb: /* STI */
        return done_if(may_use_iopl(current, regs));
    default:
        return EMULATION_REFUSED;
    }
}

/* The assist for segments that the running domain has on; NULL: none. */
static const struct segment_assist *segment_assist_on(void)
{
    const struct segment_assist *assist;

    for_each_record(segment_assist, assist) if (current->domain->vm_assist &
                                                (1u << assist->enabled_by)) return assist;
    return NULL;
}

/* #GP with error code 0 in the running vcpu. false: the fault is the guest's to hear of. */
bool emulate_privileged(struct cpu_user_regs *regs)
{
    const struct segment_assist *assist = segment_assist_on();
    struct insn in;
    enum emulation result = fetch_insn(regs, &in);

    if (result != EMULATION_DONE)
        return result == EMULATION_HANDLED;
    result = emulate_insn(regs, &in);
    if (result == EMULATION_REFUSED)
        return assist && assist->fault(regs, &in);
    if (result == EMULATION_DONE)
        retire_insn(regs, in.length);
    return true;
}

/* #SS with error code 0 in the running vcpu. false: the fault is the guest's to hear of. */
bool emulate_stack_fault(struct cpu_user_regs *regs)
{
    const struct segment_assist *assist = segment_assist_on();
    struct insn in;
    enum emulation fetched;

    if (!assist)
        return false;
    fetched = fetch_insn(regs, &in);
    if (fetched != EMULATION_DONE)
        return fetched == EMULATION_HANDLED;
    return assist->fault(regs, &in);
}

/*
 * CPUID never faults, so a guest that wants the virtual answer says `ud2; .ascii "xen"; cpuid`
 * (XEN_CPUID in xen/arch-x86/xen.h), in any ring. Nothing else may follow the prefix. Most #UDs are
 * no such thing, so the first word decides.
 */
#define PREFIX_FIRST 0x65780b0fu /* 0f 0b 'x' 'e' */
#define PREFIX_LENGTH 7

static bool fetch_prefix(const struct cpu_user_regs *regs)
{
    static const uint8_t rest[3] = {'n', 0x0f, 0xa2};
    struct segment cs;
    uint32_t linear, words[PEEK_BYTES / 4];

    if (unlikely(!peek_insn(regs, words))) {
        if (!read_segment(regs->cs, &cs) || !(cs.high & DESC_CODE) ||
            !segment_linear(&cs, regs->eip, PREFIX_LENGTH, &linear) ||
            copy_from_guest(words, (const void *)(uintptr_t)linear, PREFIX_LENGTH))
            return false;
    }
    return words[0] == PREFIX_FIRST && !memcmp(&words[1], rest, sizeof(rest));
}

bool emulate_forced_cpuid(struct cpu_user_regs *regs)
{
    uint32_t result[4];

    if (likely(!fetch_prefix(regs)))
        return false;
    guest_cpuid(regs->eax, regs->ecx, result);
    regs->eax = result[0];
    regs->ebx = result[1];
    regs->ecx = result[2];
    regs->edx = result[3];
    retire_insn(regs, PREFIX_LENGTH);
    return true;
}
