/* SPDX-License-Identifier: MIT */
/*
 * Pagewrite-insns: which instructions may write a page-table entry.
 *
 * With VMASST_TYPE_writable_pagetables the hypervisor carries out a guest's write to a page table that
 * is mapped read-only. Ringlet knows the instructions that kernels use for it, and some more; the rest
 * is a page fault, by choice. docs/abi-coverage.md has the list, and this guest tries it.
 *
 * Each instruction that is carried out runs twice, on a copy of the entry in plain memory, where the
 * processor executes it, and on the entry. Memory, registers and flags must be the same afterwards.
 * One that is refused must fault and change nothing.
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#include "../../attack.h"

#define TARGET ((volatile uint32_t *)(WINDOW_END - 0x400000)) /* what the entry maps */
#define CF 0x001u
#define STATUS (CF | 0x004 | 0x040 | 0x080 | 0x800) /* AF is not defined by logical instructions */

/*
 * The text runs with edi at the entry, eax and edx its halves, ebx and ecx those of another good
 * entry. `name` is the label of the text.
 */
#define INSN(name, text)      \
    extern const char name[]; \
    __asm__(".pushsection .text\n" #name ": " text "\nret\n.popsection")

INSN(i_mov, "movl %ebx, (%edi)");
INSN(i_mov_byte, "movb %bl, (%edi)");
INSN(i_mov_word, "movw %bx, (%edi)");
INSN(i_mov_high, "movl %ecx, 4(%edi)");
INSN(i_mov_immediate, "movl $0, (%edi)");
INSN(i_mov_rep, ".byte 0xf3; movl %ebx, (%edi)");
INSN(i_mov_ss, "movl %ebx, %ss:(%edi)");
INSN(i_mov_sib, "xorl %esi, %esi; movl %ebx, (%edi,%esi,4)");
INSN(i_xchg, "xchgl %ebx, (%edi)");
INSN(i_xchg_byte, "xchgb %bl, (%edi)");
INSN(i_cmpxchg, "lock cmpxchgl %ebx, (%edi)");
INSN(i_cmpxchg_fails, "incl %eax; lock cmpxchgl %ebx, (%edi)");
INSN(i_cmpxchg_byte, "cmpxchgb %bl, (%edi)");
INSN(i_cmpxchg8b, "lock cmpxchg8b (%edi)");
INSN(i_cmpxchg8b_fails, "incl %edx; lock cmpxchg8b (%edi)");
INSN(i_xadd, "movl $0x200, %edx; lock xaddl %edx, (%edi)");
INSN(i_xadd_byte, "movb $0, %dl; xaddb %dl, (%edi)");
INSN(i_add, "addl $0x200, (%edi)");
INSN(i_or, "lock orl $0x200, (%edi)");
INSN(i_adc, "stc; adcl $0x1ff, (%edi)");
INSN(i_sbb, "stc; sbbl $0, (%edi)");
INSN(i_and, "lock andl $~0x20, (%edi)");
INSN(i_sub, "subl $1, (%edi)");
INSN(i_xor, "xorl $0x400, (%edi)");
INSN(i_or_register, "movl $0x200, %edx; orl %edx, (%edi)");
INSN(i_inc, "stc; lock incl 4(%edi)");
INSN(i_dec, "stc; decl (%edi)");
INSN(i_dec_byte, "decb (%edi)");
INSN(i_not, "lock notl 4(%edi)");
INSN(i_neg, "negl 4(%edi)");
INSN(i_bts, "lock btsl $9, (%edi)");
INSN(i_btr, "lock btrl $5, (%edi)");
INSN(i_btc, "btcl $10, (%edi)");
INSN(i_btr_beyond, "lock btrl $37, (%edi)"); /* 37 modulo 32: Accessed */
INSN(i_bts_register, "movl $9, %edx; btsl %edx, (%edi)");
INSN(i_btc_register, "movl $63, %edx; btcl %edx, (%edi)"); /* NX, in the upper half */
INSN(i_btr_negative, "leal 8(%edi), %edi; movl $-59, %edx; btrl %edx, (%edi)");

INSN(i_stos, "xchgl %eax, %ebx; stosl");
INSN(i_rep_stos, "xorl %eax, %eax; movl $2, %ecx; rep stosl");
INSN(i_movs, "pushl %ebx; movl %esp, %esi; movsl; popl %esi");
INSN(i_pop, "pushl %ebx; popl (%edi)");
INSN(i_shift, "shll $1, 4(%edi)");
INSN(i_rotate, "rorl $1, 4(%edi)");
INSN(i_shld, "shldl $1, %eax, 4(%edi)");
INSN(i_setcc, "stc; setc 4(%edi)");
INSN(i_movnti, "movnti %ebx, (%edi)");
INSN(i_mmx, "movl %ebx, -8(%esp); movl %ecx, -4(%esp); movq -8(%esp), %mm0; movq %mm0, (%edi)");
INSN(i_sse, "movl %ebx, -8(%esp); movl %ecx, -4(%esp); movq -8(%esp), %xmm0; movq %xmm0, (%edi)");
INSN(i_x87, "movl %ebx, -8(%esp); movl %ecx, -4(%esp); fildll -8(%esp); fistpll (%edi)");
INSN(i_mov_selector, "movw %es, (%edi)");
INSN(i_sldt, "sldtw 4(%edi)");
INSN(i_across, "movl %ebx, 6(%edi)");

enum { PRESENT, ABSENT }; /* what the entry is before: any entry that is not present is good */

static const struct row {
    const char *what, *text;
    uint32_t flags; /* those it defines */
    int start;
} carried_out[] =
    {
        {"mov of a register", i_mov, STATUS, PRESENT},
        {"mov of a byte", i_mov_byte, STATUS, PRESENT},
        {"mov of a word", i_mov_word, STATUS, ABSENT},
        {"mov to the upper half", i_mov_high, STATUS, PRESENT},
        {"mov of an immediate", i_mov_immediate, STATUS, PRESENT},
        {"mov with a rep prefix", i_mov_rep, STATUS, PRESENT},
        {"mov through ss", i_mov_ss, STATUS, PRESENT},
        {"mov by base and index", i_mov_sib, STATUS, PRESENT},
        {"xchg", i_xchg, STATUS, PRESENT},
        {"xchg of a byte", i_xchg_byte, STATUS, PRESENT},
        {"cmpxchg", i_cmpxchg, STATUS, PRESENT},
        {"cmpxchg that fails", i_cmpxchg_fails, STATUS, PRESENT},
        {"cmpxchg of a byte", i_cmpxchg_byte, STATUS, PRESENT},
        {"cmpxchg8b", i_cmpxchg8b, STATUS, PRESENT},
        {"cmpxchg8b that fails", i_cmpxchg8b_fails, STATUS, PRESENT},
        {"xadd", i_xadd, STATUS, PRESENT},
        {"xadd of a byte", i_xadd_byte, STATUS, PRESENT},
        {"add", i_add, STATUS, PRESENT},
        {"or", i_or, STATUS, PRESENT},
        {"adc", i_adc, STATUS, PRESENT},
        {"sbb", i_sbb, STATUS, PRESENT},
        {"and", i_and, STATUS, PRESENT},
        {"sub", i_sub, STATUS, PRESENT},
        {"xor", i_xor, STATUS, PRESENT},
        {"or of a register", i_or_register, STATUS, PRESENT},
        {"inc", i_inc, STATUS, ABSENT},
        {"dec", i_dec, STATUS, PRESENT},
        {"dec of a byte", i_dec_byte, STATUS, PRESENT},
        {"not", i_not, STATUS, ABSENT},
        {"neg", i_neg, STATUS, ABSENT},
        {"bts", i_bts, CF, PRESENT},
        {"btr", i_btr, CF, PRESENT},
        {"btc", i_btc, CF, PRESENT},
        {"btr of a bit beyond 31", i_btr_beyond, CF, PRESENT},
        {"bts by a register", i_bts_register, CF, PRESENT},
        {"btc by a register, beyond 31", i_btc_register, CF, ABSENT},
        {"btr by a register, negative", i_btr_negative, CF, PRESENT},
},
  refused[] = {
      {"stos", i_stos, 0, PRESENT},       {"rep stos", i_rep_stos, 0, PRESENT},
      {"movs", i_movs, 0, PRESENT},       {"pop", i_pop, 0, PRESENT},
      {"ror", i_rotate, 0, ABSENT},       {"shld", i_shld, 0, ABSENT},
      {"setcc", i_setcc, 0, ABSENT},      {"movnti", i_movnti, 0, PRESENT},
      {"movq of MMX", i_mmx, 0, PRESENT}, {"movq of SSE", i_sse, 0, PRESENT},
      {"fistp", i_x87, 0, PRESENT},       {"mov of a selector", i_mov_selector, 0, ABSENT},
      {"sldt", i_sldt, 0, ABSENT},        {"mov across two entries", i_across, 0, PRESENT},
};

struct state {
    uint32_t eax, ebx, ecx, edx, edi, flags;
    const char *text;
};

static volatile pte_t *entry;
static pte_t page_a, page_b;

static void run(void *arg)
{
    struct state *s = arg;
    uint32_t esi = (uint32_t)s->text;

    __asm__ volatile("pushl %%ebp; cmpl %%esi, %%esi; call *%%esi; pushfl; popl %%esi; popl %%ebp"
                     : "+a"(s->eax), "+b"(s->ebx), "+c"(s->ecx), "+d"(s->edx), "+D"(s->edi),
                       "+S"(esi)
                     :
                     : "memory", "cc");
    s->flags = esi;
}

static struct state before(const struct row *row, pte_t value, const volatile void *at)
{
    return (struct state){.eax = (uint32_t)value,
                          .edx = value >> 32,
                          .ebx = (uint32_t)page_b,
                          .ecx = page_b >> 32,
                          .edi = (uint32_t)at,
                          .text = row->text};
}

static pte_t prepare(const struct row *row)
{
    pte_t value = row->start == PRESENT ? page_a : page_a & ~(pte_t)PTE_P;

    if (hv_update_va_mapping(TARGET, value, UVMF_INVLPG))
        panic("entry %llx refused", (unsigned long long)value);
    return value;
}

static void test_carried_out(const struct row *row)
{
    static volatile pte_t copy;
    pte_t value = copy = prepare(row);
    struct state mine = before(row, value, &copy), theirs = before(row, value, entry);
    struct trap_frame frame;

    run(&mine);
    if (catch_fault(run, &theirs, &frame)) {
        tap_ok(false, "carried out: %s", row->what);
        frame_print(&frame);
        return;
    }
    tap_ok(*entry == copy && mine.eax == theirs.eax && mine.ebx == theirs.ebx &&
               mine.ecx == theirs.ecx && mine.edx == theirs.edx &&
               mine.edi - (uint32_t)&copy == theirs.edi - (uint32_t)entry &&
               !((mine.flags ^ theirs.flags) & row->flags),
           "carried out: %s", row->what);
}

static void test_refused(const struct row *row)
{
    pte_t value = prepare(row);
    struct state s = before(row, value, entry);
    struct trap_frame frame = {0};
    bool fault = catch_fault(run, &s, &frame);

    tap_ok(fault && frame.vector == VECTOR_PF && (frame.error & 3) == 3 && *entry == value,
           "refused: %s", row->what);
}

int main(void)
{
    uint64_t where = pte_machine_address((void *)TARGET);
    const pte_t flags = PAGE_KERNEL | PTE_A | PTE_D;

    page_a = pte_make(linear_to_mfn(page_alloc()), flags);
    page_b = pte_make(linear_to_mfn(page_alloc()), flags);
    entry = (volatile pte_t *)((uint8_t *)pfn_to_linear(mfn_to_pfn(where >> PAGE_SHIFT)) +
                               (where & (PAGE_SIZE - 1)));
    hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
    for (unsigned i = 0; i < sizeof(carried_out) / sizeof(*carried_out); i++)
        test_carried_out(&carried_out[i]);
    for (unsigned i = 0; i < sizeof(refused) / sizeof(*refused) && !is_64bit_hypervisor(); i++)
        test_refused(&refused[i]);
    tap_audit();
    tap_done();
}
