/* SPDX-License-Identifier: MIT */
/*
 * test_ptwr.c: a page-table write that is emulated does what the processor would have done.
 *
 * Random instructions of every form mm/ptwr.c knows run twice: here, on this machine's processor,
 * on a word of memory; and through emulate_pagetable_write() on the same word playing a page-table
 * entry. Memory, registers and flags must agree. These encodings mean the same in 64-bit code.
 * What surrounds the file (page tables, segments, the door mod_l1_entry()) is played below.
 *
 * units: traps/decode.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DNDEBUG -DFLAT_RING1_DS=0xe021
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "../../mm/ptwr.c"

enum { TABLE_MFN = 5, FRAMES = 16 };

static struct frame frames[FRAMES];
struct frame *frame_table = frames;
uint32_t *m2p, max_frame = FRAMES;
static struct domain domain;
static struct vcpu vcpu;
_Thread_local struct vcpu *host_vcpu = &vcpu;
_Thread_local struct cpu *host_cpu;

static pte_t *table;  /* the page table's contents, below 4 GiB */
static uint8_t *code; /* an executable page */
static unsigned code_length;
static pte_t guest_entry; /* the guest's mapping of its page table */
static int door_answer;
static pte_t refused; /* the value the door refused last */
static pte_t
    hardware_sets; /* bits the processor sets between the reading of an entry and its writing */
static unsigned stepped;

static uint32_t rnd(void)
{
    return (uint32_t)random() << 16 ^ random();
}

/* --- what ptwr.c calls --- */

enum emulation fetch_insn(const struct cpu_user_regs *regs, struct insn *in)
{
    (void)regs;
    return decode_insn(in, code, code_length, true) == DECODE_OK ? EMULATION_DONE
                                                                 : EMULATION_REFUSED;
}

static bool may_peek; /* the short way is open */

bool peek_insn(const struct cpu_user_regs *regs, uint32_t words[PEEK_BYTES / 4])
{
    assert_true(regs->cs == 0xe019);
    memcpy(words, code, PEEK_BYTES);
    return may_peek;
}

void trap_after_insn(const struct cpu_user_regs *regs, uint32_t breakpoints)
{
    (void)regs;
    (void)breakpoints;
    stepped++;
}

bool has_breakpoints(const struct vcpu *v)
{
    return v->debugreg[7] & 0xff;
}

uint16_t segment_selector(const struct cpu_user_regs *regs, unsigned segment)
{
    return segment == SEG_ES ? regs->es : regs->ds;
}

/* Every segment of this host is flat. */
bool flat_segment(uint16_t selector, uint32_t kind)
{
    (void)selector;
    (void)kind;
    return true;
}

bool read_segment(uint16_t selector, struct segment *s)
{
    *s = (struct segment){.last = GUEST_SEGMENT_END - 1, .high = DESC_P | DESC_S | DESC_RW};
    return selector == 0xe021;
}

bool segment_linear(const struct segment *s, uint32_t offset, uint32_t size, uint32_t *linear)
{
    *linear = offset;
    return offset <= s->last && size;
}

pte_t guest_l1_entry(const struct vcpu *v, uint32_t va)
{
    assert_ptr_equal(v, &vcpu);
    assert_int_equal(va & ~0xfffu, (uint32_t)(uintptr_t)table & ~0xfffu);
    return guest_entry;
}

void spin_wait(spinlock_t *l)
{
    (void)l;
    abort();
}

void *map_frame(mfn_t mfn)
{
    assert_int_equal(mfn, TABLE_MFN);
    return table;
}

void unmap_frame(const void *va)
{
    assert_true(((uintptr_t)va & ~(uintptr_t)0xfff) == (uintptr_t)table);
}

int mod_l1_entry(pte_t *pl1, pte_t e, struct domain *pt_owner, struct domain *owner, bool keep_ad)
{
    assert_true(pt_owner == &domain && owner == &domain);
    if (door_answer && (e & PTE_P)) {
        refused = e;
        return door_answer;
    }
    *pl1 = hardware_sets | (keep_ad ? e | (*pl1 & (PTE_A | PTE_D)) : e);
    return 0;
}

int mod_l1_entry_if(pte_t *pl1, pte_t old, pte_t e, struct domain *d)
{
    assert_true(d == &domain);
    assert_true(*pl1 == old);
    if (door_answer && (e & PTE_P)) {
        refused = e;
        return door_answer;
    }
    if (hardware_sets & ~*pl1) {
        *pl1 |= hardware_sets;
        return -EAGAIN;
    }
    *pl1 = e;
    return 0;
}

/* The few instructions before that door know no frames here, for entries name frames beyond the end. */
uint32_t tlb_clock;
uint32_t watched_domains;

void note_mapped_written(const void *va)
{
    (void)va;
    abort(); /* while nobody is logged */
}
void tlb_stamp_anew(struct domain *d)
{
    (void)d;
}

void put_l1_entry(pte_t e, struct domain *pt_owner)
{
    (void)e;
    (void)pt_owner;
}

void put_type(struct frame *f)
{
    (void)f;
    abort();
}

void put_frame(struct frame *f)
{
    (void)f;
    abort();
}

/* --- the processor --- */

struct processor {
    uint64_t eax, ecx, edx, ebx, esi, edi, flags;
};

/* Load these registers, execute the bytes in `code`, store the registers. */
static void execute(struct processor *p)
{
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\t" /* the red zone */
                     "pushq %%rbp\n\t"
                     "pushq %0\n\t"
                     "movq %1, %%rbp\n\t"
                     "movq 0(%0), %%rax\n\t"
                     "movq 8(%0), %%rcx\n\t"
                     "movq 16(%0), %%rdx\n\t"
                     "movq 24(%0), %%rbx\n\t"
                     "movq 32(%0), %%rsi\n\t"
                     "movq 40(%0), %%rdi\n\t"
                     "pushq 48(%0)\n\t"
                     "popfq\n\t"
                     "call *%%rbp\n\t"
                     "popq %%r8\n\t"
                     "movq %%rax, 0(%%r8)\n\t"
                     "movq %%rcx, 8(%%r8)\n\t"
                     "movq %%rdx, 16(%%r8)\n\t"
                     "movq %%rbx, 24(%%r8)\n\t"
                     "movq %%rsi, 32(%%r8)\n\t"
                     "movq %%rdi, 40(%%r8)\n\t"
                     "pushfq\n\t"
                     "popq 48(%%r8)\n\t"
                     "cld\n\t"
                     "popq %%rbp\n\t"
                     "leaq 128(%%rsp), %%rsp\n\t"
                     :
                     : "r"(p), "r"(code)
                     : "rax", "rcx", "rdx", "rbx", "rsi", "rdi", "r8", "cc", "memory");
}

/* --- both, side by side --- */

static void put(uint8_t byte)
{
    code[code_length++] = byte;
}

static void put_immediate(unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        put(rnd());
}

static void reset(void)
{
    domain = (struct domain){.slot = 3, .vm_assist = 1u << VMASST_TYPE_writable_pagetables};
    vcpu.domain = &domain;
    vcpu.debugreg[7] = 0;
    spin_lock_init(&domain.mm_lock, RANK_MM);
    memset(frames, 0, sizeof(frames));
    frames[TABLE_MFN].type_info = FT_L1 | FT_VALIDATED | 1;
    frames[TABLE_MFN].owner = 3;
    guest_entry = make_pte(TABLE_MFN, PTE_P | PTE_US | PTE_A);
    door_answer = 0;
    memset(code, 0xc3, 2 * PEEK_BYTES);
    code_length = 0;
    stepped = 0;
    may_peek = rnd() & 1;
}

static struct cpu_user_regs random_regs(uint32_t address)
{
    struct cpu_user_regs regs = {.cs = 0xe019, .ds = 0xe021, .error_code = 3, .eip = 0x1000};

    regs.eax = rnd();
    regs.ecx = rnd();
    regs.edx = rnd();
    regs.ebx = rnd();
    regs.esi = rnd();
    regs.edi = address;
    regs.eflags = 0x202 | (rnd() & FLAGS_ARITHMETIC);
    return regs;
}

static bool emulate(uint32_t address, struct cpu_user_regs *regs)
{
    return emulate_pagetable_write(address, regs);
}

/*
 * Run the instruction in `code` both ways on a random entry at byte `offset`. `flags` are the ones
 * it defines.
 */
static void run_both(unsigned offset, uint32_t flags, bool may_match)
{
    uint32_t address = (uint32_t)(uintptr_t)table + 8 * (rnd() % 512) + offset;
    pte_t *entry = (pte_t *)(uintptr_t)(address & ~7u), before, after;
    struct cpu_user_regs regs = random_regs(address);
    struct processor p;

    *entry = (uint64_t)rnd() << 32 | rnd();
    if (may_match && rnd() & 1) { /* so that compare-and-exchange finds what it looks for */
        memcpy(&regs.eax, (void *)(uintptr_t)address, offset ? 1 : 4);
        regs.edx = *entry >> 32;
    }
    before = *entry;
    p = (struct processor){regs.eax, regs.ecx, regs.edx, regs.ebx, regs.esi, regs.edi, regs.eflags};
    code[code_length] = 0xc3;
    execute(&p);
    after = *entry;
    *entry = before;

    assert_true(emulate(address, &regs));
    assert_int_equal(stepped, 0);
    assert_true(*entry == after);
    assert_true(regs.eax == p.eax && regs.ecx == p.ecx && regs.edx == p.edx);
    assert_true(regs.ebx == p.ebx && regs.esi == p.esi && regs.edi == p.edi);
    assert_true(((regs.eflags ^ p.flags) & flags) == 0);
    assert_int_equal(regs.eip, 0x1000 + code_length);
}

/* ModRM for (%edi) and a register; esp and ebp are the test's own. */
static uint8_t to_edi(unsigned reg)
{
    return reg << 3 | 7;
}

static unsigned any_register(unsigned size)
{
    static const uint8_t dwords[] = {0, 1, 2, 3, 6};

    return size == 1 ? rnd() % 8 : dwords[rnd() % sizeof(dwords)];
}

static unsigned random_size(void)
{
    static const uint8_t sizes[] = {1, 2, 4};

    return sizes[rnd() % 3];
}

static unsigned random_offset(unsigned size)
{
    return rnd() % (9 - size);
}

/* Prefixes of an instruction of that size, and its opcode: bit 0 clear means bytes. */
static void begin(unsigned size, bool lock, unsigned escape, uint8_t opcode)
{
    reset();
    if (lock)
        put(0xf0);
    if (size == 2)
        put(0x66);
    if (escape)
        put(escape);
    put(size == 1 ? opcode & ~1 : opcode);
}

enum { ROUNDS = 20000 };

static void test_stores(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned size = random_size();

        begin(size, false, 0, i & 1 ? 0x89 : 0xc7);
        put(to_edi(i & 1 ? any_register(size) : 0));
        if (!(i & 1))
            put_immediate(size);
        run_both(random_offset(size), FLAGS_ARITHMETIC, false);
    }
}

static void test_alu(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned size = random_size(), op = rnd() % 7, form = rnd() % 3;
        bool logic = op == ALU_AND || op == ALU_OR || op == ALU_XOR;

        if (form == 0) {
            begin(size, rnd() & 1, 0, op << 3 | 1);
            put(to_edi(any_register(size)));
        } else {
            begin(size, rnd() & 1, 0, form == 1 || size == 1 ? 0x81 : 0x83);
            put(to_edi(op));
            put_immediate(form == 1 ? size : 1);
        }
        run_both(random_offset(size), FLAGS_ARITHMETIC & ~(logic ? FLAG_AF : 0), false);
    }
}

static void test_exchange(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned size = random_size();

        if (i & 1)
            begin(size, rnd() & 1, 0x0f, 0xb1);
        else
            begin(size, rnd() & 1, 0, 0x87);
        put(to_edi(any_register(size)));
        run_both(random_offset(size), FLAGS_ARITHMETIC, i & 1);
    }
}

/* INC, DEC, NOT, NEG, XADD */
static void test_one_operand(void **state)
{
    static const struct {
        uint8_t opcode, reg;
    } forms[] = {{0xff, 0}, {0xff, 1}, {0xf7, 2}, {0xf7, 3}};

    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned size = random_size(), form = i % 5;

        if (form == 4) {
            begin(size, rnd() & 1, 0x0f, 0xc1);
            put(to_edi(any_register(size)));
        } else {
            begin(size, rnd() & 1, 0, forms[form].opcode);
            put(to_edi(forms[form].reg));
        }
        run_both(random_offset(size), FLAGS_ARITHMETIC, false);
    }
}

static void test_compare_exchange_8(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        begin(4, rnd() & 1, 0x0f, 0xc7);
        put(to_edi(1));
        run_both(0, FLAGS_ARITHMETIC, true);
    }
}

static void test_bits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned size = rnd() & 1 ? 2 : 4;

        begin(size, rnd() & 1, 0x0f, 0xba | 1);
        code[code_length - 1] = 0xba;
        put(to_edi(5 + rnd() % 3));
        put_immediate(1);
        run_both(random_offset(size), FLAG_CF | FLAG_ZF, false);
    }
}

/* With a register the bit may lie in another word than the operand's first. */
static void test_bit_strings(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t base = (uint32_t)(uintptr_t)table + 2048, bit = rnd() % 16384 - 8192;
        uint32_t address = base + ((int32_t)bit >> 5) * 4;
        pte_t *entry = (pte_t *)(uintptr_t)(address & ~7u), before = (uint64_t)rnd() << 32 | rnd();
        struct cpu_user_regs regs;
        static const uint8_t opcodes[] = {0xab, 0xb3, 0xbb};
        uint8_t opcode = opcodes[rnd() % 3];
        unsigned shift = bit & 31, at = 8 * (address & 4) + shift;

        reset();
        put(0x0f);
        put(opcode);
        put(to_edi(REG_EDX));
        regs = random_regs(base);
        regs.edx = bit;
        *entry = before;
        assert_true(emulate(address, &regs));
        assert_int_equal(regs.eflags & FLAG_CF, before >> at & 1);
        assert_true(*entry == (opcode == 0xab   ? before | 1ull << at
                               : opcode == 0xb3 ? before & ~(1ull << at)
                                                : before ^ 1ull << at));
    }
}

/* Both ways round the decoder, a guest that single-steps is told. */
static void test_single_step(void **state)
{
    uint32_t address = (uint32_t)(uintptr_t)table;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct cpu_user_regs regs;

        begin(4, false, 0, 0x89);
        put(to_edi(REG_EAX));
        regs = random_regs(address);
        regs.eflags |= EFLAGS_TF;
        assert_true(emulate(address, &regs));
        assert_int_equal(stepped, 1);
    }
}

static void put_word(uint32_t word)
{
    for (unsigned i = 0; i < 4; i++)
        put(word >> 8 * i);
}

/* movl $value, displacement(%edi), with or without the byte for a displacement of 0 */
static void put_store(uint32_t value, uint8_t displacement, bool long_form)
{
    put(0xc7);
    put(to_edi(0) | (displacement || long_form ? 0x40 : 0));
    if (displacement || long_form)
        put(displacement);
    put_word(value);
}

/* P2: both halves cleared, the upper one perhaps read between. */
static void test_cleared_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        bool load = rnd() & 1;

        reset();
        may_peek = true;
        put_store(rnd() & ~1u, 0, false);
        if (load) {
            put(0x8b);
            put(to_edi(any_register(4)) | 0x40);
            put(4);
        }
        put_store(rnd(), 4, false);
        run_both(0, 0, false);
    }
}

/* How many bytes of these instructions are carried out at the fault of the first. */
static void carried_out(unsigned offset, uint32_t eflags, unsigned length)
{
    uint32_t address = (uint32_t)(uintptr_t)table;
    struct cpu_user_regs regs = random_regs(address);

    may_peek = true;
    table[0] = 0x8000000112345067;
    regs.eflags |= eflags;
    assert_true(emulate(address + offset, &regs));
    assert_int_equal(regs.eip, 0x1000 + length);
}

static void test_not_at_once(void **state)
{
    (void)state;
    reset();
    put_store(0, 0, false);
    put_store(0, 4, false);
    carried_out(0, 0, 13);
    carried_out(0, EFLAGS_TF, 6);
    vcpu.debugreg[7] = 1;
    carried_out(0, 0, 6);
    reset();
    put_store(1, 0, false); /* present */
    put_store(0, 4, false);
    carried_out(0, 0, 6);
    reset();
    put_store(0, 4, false); /* begun with the upper half */
    put_store(0, 4, false);
    carried_out(4, 0, 7);
    reset();
    put_store(0, 0, false);
    put_store(0, 8, false); /* another entry */
    carried_out(0, 0, 6);
    reset();
    put_store(0, 0, true);
    put(0x8b);
    put(to_edi(REG_EDX) | 0x40);
    put(4);
    put_store(0, 4, false); /* its last byte was not fetched */
    carried_out(0, 0, 10);
    assert_true(table[0] == 0x8000000100000000);
    reset();
    put_store(0, 0, false);
    put(0x8b);
    put(to_edi(REG_EDI) | 0x40); /* edi names another place from now on */
    put(4);
    put_store(0, 4, false);
    carried_out(0, 0, 9);
    reset();
    put_store(0, 0, false);
    put_store(1, 4, false);
    door_answer = -1; /* an entry without P is never refused */
    carried_out(0, 0, 13);
}

/* P1: the upper half of a present entry, written first. */
static void test_upper_half_first(void **state)
{
    uint32_t address = (uint32_t)(uintptr_t)table;
    struct cpu_user_regs regs;

    (void)state;
    begin(4, false, 0, 0x89);
    put(to_edi(REG_EAX));
    table[0] = 0x0000000112345067;
    door_answer = -1;
    regs = random_regs(address + 4);
    regs.eax = 0x80000000;
    assert_true(emulate(address + 4, &regs));
    assert_true(refused == 0x8000000012345067);
    assert_true(table[0] == 0x8000000012345066);

    /* Not for the lower half, nor for an instruction that read the entry. */
    regs = random_regs(address);
    regs.eax = 0x55555067;
    assert_false(emulate(address, &regs));
    assert_true(table[0] == 0x8000000012345066);
    begin(4, false, 0, 0x87);
    put(to_edi(REG_EAX));
    door_answer = -1;
    table[0] = 0x0000000112345067;
    regs = random_regs(address + 4);
    struct cpu_user_regs same = regs;
    assert_false(emulate(address + 4, &regs));
    assert_memory_equal(&regs, &same, sizeof(regs));
    assert_true(table[0] == 0x0000000112345067);
}

/* Accessed and Dirty that come between: an instruction that reads the entry has seen them. */
static void test_dirty_meanwhile(void **state)
{
    uint32_t address = (uint32_t)(uintptr_t)table;
    struct cpu_user_regs regs;

    (void)state;
    hardware_sets = PTE_A | PTE_D;
    begin(4, true, 0x0f, 0xba); /* LOCK BTR of Accessed: Dirty stays, CF was Accessed */
    put(to_edi(6));
    put(5);
    table[0] = 0x12345007;
    regs = random_regs(address);
    regs.eflags &= ~1u;
    assert_true(emulate(address, &regs));
    assert_true(table[0] == 0x12345047);
    assert_int_equal(regs.eflags & 1, 1);

    begin(4, false, 0, 0x87); /* XCHG gets what it replaces */
    put(to_edi(REG_EAX));
    table[0] = 0x12345007;
    regs = random_regs(address);
    regs.eax = 0;
    assert_true(emulate(address, &regs));
    assert_int_equal(regs.eax, 0x12345067);
    assert_true(table[0] == 0);

    begin(4, false, 0, 0x89); /* a store to the upper half leaves the lower */
    put(to_edi(REG_EAX));
    table[0] = 0x12345007;
    regs = random_regs(address + 4);
    regs.eax = 0x80000000;
    assert_true(emulate(address + 4, &regs));
    assert_true(table[0] == 0x8000000012345067);
    hardware_sets = 0;
}

/* What must stay the guest's own page fault, registers and memory untouched. */
static void refused_as(const char *why, uint32_t address, struct cpu_user_regs regs)
{
    struct cpu_user_regs before = regs;
    pte_t entry = table[0];

    if (emulate(address, &regs))
        fail_msg("%s was emulated", why);
    assert_memory_equal(&regs, &before, sizeof(regs));
    assert_true(table[0] == entry);
    assert_int_equal(stepped, 0);
}

static void store_at(uint32_t address, struct cpu_user_regs *regs)
{
    begin(4, false, 0, 0x89);
    put(to_edi(REG_EAX));
    *regs = random_regs(address);
}

static void test_refusals(void **state)
{
    uint32_t address = (uint32_t)(uintptr_t)table;
    struct cpu_user_regs regs;

    (void)state;
    table[0] = 0x12345067;
    store_at(address, &regs);
    domain.vm_assist = 0;
    refused_as("a guest without the assist", address, regs);
    store_at(address, &regs);
    regs.cs = 0xe02b;
    refused_as("ring 3", address, regs);
    store_at(address, &regs);
    regs.error_code = 2;
    refused_as("a page that is not there", address, regs);
    store_at(address + 6, &regs);
    refused_as("a write across two entries", address + 6, regs);
    store_at(address, &regs);
    refused_as("an instruction that writes elsewhere", address + 4, regs);
    store_at(address, &regs);
    guest_entry |= PTE_RW;
    refused_as("a writable mapping", address, regs);
    store_at(address, &regs);
    guest_entry = make_pte(FRAMES, PTE_P);
    refused_as("a frame that does not exist", address, regs);
    store_at(address, &regs);
    frames[TABLE_MFN].owner = 4;
    refused_as("another domain's page table", address, regs);
    static const uint32_t types[] = {FT_L2 | FT_VALIDATED | 1, FT_L1 | FT_VALIDATED, FT_L1 | 1,
                                     FT_SEG | FT_VALIDATED | 1, FT_WRITABLE | FT_VALIDATED | 1};
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        store_at(address, &regs);
        frames[TABLE_MFN].type_info = types[i];
        refused_as("a frame that is no L1 in use", address, regs);
    }
}

static void test_other_instructions(void **state)
{
    static const uint8_t others[][4] = {
        {0x8b, 0x07},             /* a read */
        {0x39, 0x07},             /* CMP reads too */
        {0x80, 0x3f, 0x00},       /* CMP with an immediate */
        {0xf0, 0x89, 0x07},       /* LOCK MOV is no instruction */
        {0xd1, 0x27},             /* SHL */
        {0xab},                   /* STOS */
        {0x0f, 0x7f, 0x07},       /* MOVQ */
        {0x0f, 0xba, 0x27, 0x01}, /* BT reads */
    };
    static const uint8_t lengths[] = {2, 2, 3, 3, 2, 1, 3, 4};
    uint32_t address = (uint32_t)(uintptr_t)table;

    (void)state;
    table[0] = 0x12345067;
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        reset();
        memcpy(code, others[i], lengths[i]);
        code_length = lengths[i];
        struct cpu_user_regs regs = random_regs(address);
        regs.es = 0xe021;
        refused_as("another instruction", address, regs);
    }
}

static int set_up(void **state)
{
    int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT;

    (void)state;
    table = mmap(NULL, 4096, prot, flags, -1, 0);
    code = mmap(NULL, 4096, prot | PROT_EXEC, flags, -1, 0);
    return table == MAP_FAILED || code == MAP_FAILED;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stores),
        cmocka_unit_test(test_alu),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_one_operand),
        cmocka_unit_test(test_compare_exchange_8),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_bit_strings),
        cmocka_unit_test(test_single_step),
        cmocka_unit_test(test_cleared_at_once),
        cmocka_unit_test(test_not_at_once),
        cmocka_unit_test(test_upper_half_first),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_other_instructions),
        cmocka_unit_test(test_dirty_meanwhile),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
