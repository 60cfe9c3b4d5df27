/* SPDX-License-Identifier: MIT */
/*
 * emulate.h: what the emulating files share: fetching a guest's instruction, reaching its operands,
 * and the parts of the virtual processor (ports, MSRs, debug registers) that privileged
 * instructions act on.
 *
 * All of it acts on the vcpu that runs, for code that ran in the ring and segments of `regs`. Where
 * a function says it "injects", the exception the processor would have raised is on its way to the
 * guest, eip still at the instruction.
 *
 * Read next: traps/emulate.c.
 */
#ifndef RINGLET_EMULATE_H
#define RINGLET_EMULATE_H

#include <ringlet/decode.h>
#include <ringlet/desc.h>
#include <ringlet/module.h>
#include <ringlet/percpu.h>
#include <xen/xen.h>

struct domain;
struct vcpu;

/* What came of an attempt. */
enum emulation {
    EMULATION_DONE,    /* carried out; the caller steps over it (retire_insn) */
    EMULATION_REFUSED, /* nothing changed: the original exception stands */
    /* eip is as it should be: another exception was injected, or the instruction is to go on */
    EMULATION_HANDLED,
};

/* Ring 1 is the guest's kernel; ring 2 is nobody's and has no more rights than ring 3. */
static inline bool in_guest_kernel(const struct cpu_user_regs *regs)
{
    return (regs->cs & 3) == 1;
}

/*
 * traps/operand.c: segment:offset to linear addresses, and guest memory with the rights of the code
 * that ran.
 */
struct segment {
    uint32_t base;
    uint32_t first, last; /* valid offsets, both included; first > last: none */
    uint32_t high;        /* second word of the descriptor: DESC_* */
};
uint16_t segment_selector(const struct cpu_user_regs *regs, unsigned segment);
struct desc *guest_descriptor(uint16_t selector);
bool read_segment(uint16_t selector, struct segment *s);
bool segment_linear(const struct segment *s, uint32_t offset, uint32_t size, uint32_t *linear);
bool read_operand(const struct cpu_user_regs *regs, uint32_t linear, void *to, uint32_t size);
bool write_operand(const struct cpu_user_regs *regs, uint32_t linear, const void *from,
                   uint32_t size);

#ifdef RINGLET_HOST
bool flat_segment(uint16_t selector, uint32_t kind);
#else
/*
 * Is this a flat segment as every kernel's cs and ds are: 32-bit, base 0, cut at GUEST_SEGMENT_END,
 * and of that kind (DESC_CODE | DESC_RW or DESC_RW)? Its descriptor is read where the processor
 * would read it, in this CPU's GDT window; where a guest has no GDT page it reads as zeros, which is
 * no segment. The accessed bit, the DPL and the bit for software do not matter.
 */
static inline bool flat_segment(uint16_t selector, uint32_t kind)
{
    const uint32_t limit = (GUEST_SEGMENT_END >> PAGE_SHIFT) - 1;
    const volatile struct desc *d =
        (const struct desc *)(this_cpu->window_start + WINDOW_GDT_SLOT * PAGE_SIZE +
                              (selector & ~7u));

    return !(selector & 4) && selector < (GUEST_GDT_PAGES + 1) * PAGE_SIZE &&
           d->a == (limit & 0xffff) &&
           (d->b & ~(DESC_ACCESSED | DESC_DPL | DESC_AVL)) ==
               ((limit & 0xf0000) | DESC_P | DESC_S | DESC_G | DESC_DB | kind);
}
#endif

/* traps/fetch.c */
#define PEEK_BYTES 16
bool peek_insn(const struct cpu_user_regs *regs, uint32_t words[PEEK_BYTES / 4]);
enum emulation fetch_insn(const struct cpu_user_regs *regs, struct insn *in);

/* traps/emulate.c */
void trap_after_insn(const struct cpu_user_regs *regs, uint32_t breakpoints);
uint32_t guest_cr4_visible(uint32_t value);
void load_guest_cr4(const struct vcpu *v);

/* An instruction is done: step over it. */
static inline void retire_insn(struct cpu_user_regs *regs, uint32_t length)
{
    regs->eip += length;
    regs->eflags &= ~EFLAGS_RF;
    if (unlikely(regs->eflags & EFLAGS_TF))
        trap_after_insn(regs, 0);
}

/*
 * SEGMENT_ASSIST(name, ...): an assist (VMASST_TYPE_*) that lets a guest reach more through a segment
 * than its descriptor says. fault() is called for a domain that has `enabled_by` on, with #GP or #SS
 * and error code 0 at an instruction that is none of the privileged ones. true: the guest goes on at
 * eip; false: the fault is the guest's to hear of. `option` is another assist, that fault() reads.
 */
struct segment_assist {
    unsigned enabled_by, option;
    bool (*fault)(struct cpu_user_regs *regs, const struct insn *in);
};
MODULE_RECORDS(struct segment_assist, segment_assist);
#define SEGMENT_ASSIST(name, ...) \
    MODULE_RECORD(struct segment_assist, segment_assist, name, __VA_ARGS__)

/* traps/ioports.c */
bool may_use_iopl(const struct vcpu *v, const struct cpu_user_regs *regs);
enum emulation emulate_string_io(struct cpu_user_regs *regs, const struct insn *in);
enum emulation emulate_in_out(struct cpu_user_regs *regs, unsigned opcode, unsigned port,
                              unsigned size, uint32_t length);

/* traps/msr.c: false is #GP */
bool guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);

/* traps/debugreg.c: 0 or -Exxx; the DR6 bits of the vcpu's own I/O breakpoints on these ports */
long get_debugreg(const struct vcpu *v, unsigned reg, uint32_t *value);
uint32_t io_breakpoint_hits(const struct vcpu *v, unsigned port, unsigned size);

#endif
