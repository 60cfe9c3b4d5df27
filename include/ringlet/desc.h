/* SPDX-License-Identifier: MIT */
/*
 * desc.h: segment descriptors, gates, the TSS, and the selectors of the GDT's reserved page.
 *
 * A selector is index << 3 | TI << 2 | RPL. Entries 0 to 7167 of every GDT are the guest's (14 pages); the page from
 * entry 7168 (selector 0xe000) is ours. The ABI fixes the flat guest selectors there
 * (xen/arch-x86/xen-x86_32.h). SDM vol. 3, 3.4.5 (segment descriptors), 6.11 (gates), 7.2 (TSS).
 * Assembly includes the selectors.
 */
#ifndef RINGLET_DESC_H
#define RINGLET_DESC_H

/*
 * walk 03: Three rings for two
 *
 * Claim: A kernel is written for ring 0, its programs for ring 3. Ring compression moves the kernel
 * up: the hypervisor takes ring 0, the guest's kernel runs in ring 1, its programs stay in ring 3,
 * and ring 2 is left empty. Which ring code runs in is nothing but the low two bits of cs, the CPL
 * (SDM vol. 3, 5.5), so "giving a guest a ring" is giving it selectors: the ABI fixes e019 and e021
 * for flat code and data in ring 1, e02b and e033 for ring 3, and the hypervisor keeps e008 and
 * e010 for itself.
 * Without it: Two kernels in ring 0 would each own the machine: either could load CR3, the IDT or
 * the other's memory, and no check of ours would ever run.
 * Shown by: tests/system/test_gdb.py::test_first_hypercall,
 * tests/system/test_bochs_debug.py::test_first_crossing
 */
#define HYPERVISOR_CS 0xe008
#define HYPERVISOR_DS 0xe010
#define LDT_SELECTOR 0xe038
#define TSS_SELECTOR 0xe040
#define DF_TSS_SELECTOR 0xe048
#define FIRST_RESERVED_SELECTOR 0xe000

#define TRAP_divide_error 0
#define TRAP_debug 1
#define TRAP_nmi 2
#define TRAP_int3 3
#define TRAP_overflow 4
#define TRAP_bounds 5
#define TRAP_invalid_op 6
#define TRAP_no_device 7
#define TRAP_double_fault 8
#define TRAP_copro_seg 9
#define TRAP_invalid_tss 10
#define TRAP_no_segment 11
#define TRAP_stack_error 12
#define TRAP_gp_fault 13
#define TRAP_page_fault 14
#define TRAP_spurious_int 15
#define TRAP_copro_error 16
#define TRAP_alignment_check 17
#define TRAP_machine_check 18
#define TRAP_simd_error 19

/* Not the processor's: what entry.S writes into the frame of a SYSENTER, which has no vector. */
#define TRAP_sysenter 0x100
#define NO_VECTOR 0xffff /* and for registers saved by no entry at all */

#define SYSCALL_VECTOR 0x80 /* of guests that mask events on the way: entry.S, int80_entry */
#define HYPERCALL_VECTOR 0x82
#define TIMER_VECTOR 0xf0
#define IPI_VECTOR 0xf1
#define SPURIOUS_VECTOR 0xff
#define LINE_VECTOR_BASE 0x90 /* lines of IO-APICs, up to PIC_VECTOR_BASE */
#define PIC_VECTOR_BASE 0xe0  /* IRQ 0-15 at 0xe0-0xef */
#define NR_LINES (PIC_VECTOR_BASE - LINE_VECTOR_BASE)

#define EFLAGS_CF 0x00000001
#define EFLAGS_TF 0x00000100
#define EFLAGS_IF 0x00000200
#define EFLAGS_DF 0x00000400
#define EFLAGS_IOPL 0x00003000
#define EFLAGS_NT 0x00004000
#define EFLAGS_RF 0x00010000
#define EFLAGS_VM 0x00020000
#define EFLAGS_AC 0x00040000
#define EFLAGS_VIF 0x00080000
#define EFLAGS_VIP 0x00100000
#define EFLAGS_ID 0x00200000

#ifndef __ASSEMBLY__
#include <ringlet/page.h>

/*
 * Segment or system descriptor. b holds the high half: base 31:24, G, D, AVL, limit 19:16, P, DPL,
 * S, type, base 23:16.
 */
struct desc {
    uint32_t a, b;
};
#define DESC_P (1u << 15)
#define DESC_DPL_SHIFT 13
#define DESC_DPL (3u << DESC_DPL_SHIFT)
#define DESC_S (1u << 12)
#define DESC_TYPE (15u << 8)
#define DESC_CODE (1u << 11)        /* S=1: code segment */
#define DESC_EXPAND_DOWN (1u << 10) /* data: expand-down; code: conforming */
#define DESC_CONFORMING (1u << 10)
#define DESC_RW (1u << 9)
#define DESC_ACCESSED (1u << 8)
#define DESC_G (1u << 23)
#define DESC_DB (1u << 22)
#define DESC_L (1u << 21)
#define DESC_AVL (1u << 20)

static inline uint32_t desc_base(const struct desc *d)
{
    return d->a >> 16 | (d->b & 0xff) << 16 | (d->b & 0xff000000);
}

static inline uint32_t desc_limit(const struct desc *d)
{
    return (d->a & 0xffff) | (d->b & 0xf0000);
}

static inline void set_desc_limit(struct desc *d, uint32_t limit)
{
    d->a = (d->a & 0xffff0000) | (limit & 0xffff);
    d->b = (d->b & ~0xf0000u) | (limit & 0xf0000);
}

static inline bool is_expand_down(const struct desc *d)
{
    return (d->b & (DESC_CODE | DESC_EXPAND_DOWN)) == DESC_EXPAND_DOWN;
}

/* Interrupt (type 14) or trap (15) gate, or task gate (5). */
struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t zero;
    uint8_t type; /* P, DPL, type */
    uint16_t offset_high;
} __packed;

/*
 * 32-bit TSS: the processor reads ss0:esp0 on entry to ring 0 and ss1:esp1 on `int $0x80` straight
 * to ring 1.
 */
struct tss {
    uint32_t link;
    uint32_t esp0, ss0;
    uint32_t esp1, ss1;
    uint32_t esp2, ss2;
    uint32_t cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, iomap;
};
_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3, figure 7-2");

struct vcpu;

/* arch/i386/desc.c */
void desc_init_cpu(unsigned cpu);
void set_int80_gate(const struct vcpu *v);

/* traps/descriptor.c: what a guest may put into its GDT and LDT */
bool check_descriptor(struct desc *d);
bool widest_limit(uint32_t base, bool expand_down, uint32_t *limit);
bool fixup_guest_code_selector(uint16_t *sel);
bool fixup_guest_stack_selector(uint16_t *sel);
#endif

#endif
