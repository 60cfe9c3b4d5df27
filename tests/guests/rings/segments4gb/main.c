/* SPDX-License-Identifier: MIT */
/*
 * Segments of 4 GiB: glibc's thread-local data, at negative offsets from %gs.
 *
 * A guest's segments end before the hypervisor, so `%gs:-8` is beyond the limit and #GP. With
 * VMASST_TYPE_4gb_segments the hypervisor turns the descriptor expand-down (and back), and the
 * instruction starts over; with 4gb_segments_notify it tells so by trap 15.
 *
 * Hundreds of encodings run twice: through %gs (or %fs), whose base is in the middle of a page, at
 * offsets on both sides of it in turn, so that every access needs a flip; and through %ds at the
 * same linear address. Memory, registers and flags must come out the same. All of it in ring 1 and
 * ring 3, through the GDT and the LDT, with and without notification.
 *
 * Bochs and processors check limits. QEMU's TCG does not: there this only shows that nothing is
 * disturbed.
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

#define CODE ((volatile uint8_t *)USER_BASE)      /* one instruction and int $0x80 */
#define DATA ((uint8_t *)(USER_BASE + PAGE_SIZE)) /* what it works on */
#define MIDDLE (USER_BASE + PAGE_SIZE + 0x801)    /* the segments' base: not aligned, even */
#define TLS_INDEX 6
#define GDT_SELECTOR (TLS_INDEX << 3 | 3)
#define LDT_SELECTOR (TLS_INDEX << 3 | 4 | 3)

#define VECTOR_NOTIFY 15

/* Segment of data, 4 GiB from `base`, DPL 3. */
static uint64_t tls_descriptor(uint32_t base, uint32_t limit)
{
    uint32_t low = base << 16 | (limit & 0xffff);
    uint32_t high = (base & 0xff000000) | 0x00c0f200 | (limit & 0xf0000) | (base >> 16 & 0xff);

    return (uint64_t)high << 32 | low;
}

/* --- the encodings ---------------------------------------------------------------------------- */

/* The operand is [address]; other registers hold constants. `imm`: bytes behind the operand. */
struct form {
    const char *name;
    uint8_t length, bytes[4]; /* prefixes but the segment's, and the opcode */
    int8_t reg;               /* ModRM.reg; NO_MODRM: an instruction without */
    uint8_t imm;
    uint32_t skip; /* flags it leaves undefined, MEMORY: what it writes */
};

#define NO_MODRM (-1)
#define AF 0x10
#define ARITHMETIC 0x8d5
#define MEMORY 0x80000000

static const struct form forms[] = {
    {"mov r32, m", 1, {0x8b}, 0, 0, 0},
    {"mov m, r32", 1, {0x89}, 2, 0, 0},
    {"mov r16, m", 2, {0x66, 0x8b}, 0, 0, 0},
    {"mov m, r16", 2, {0x66, 0x89}, 2, 0, 0},
    {"mov r8, m", 1, {0x8a}, 4, 0, 0},
    {"mov m, r8", 1, {0x88}, 2, 0, 0},
    {"mov m, imm8", 1, {0xc6}, 0, 1, 0},
    {"mov m, imm32", 1, {0xc7}, 0, 4, 0},
    {"mov m, imm16", 2, {0x66, 0xc7}, 0, 2, 0},
    {"mov m, sreg", 1, {0x8c}, 3, 0, 0},
    {"add m, r32", 1, {0x01}, 2, 0, 0},
    {"add r32, m", 1, {0x03}, 2, 0, 0},
    {"or m, r32", 1, {0x09}, 2, 0, AF},
    {"adc m, r8", 1, {0x10}, 2, 0, 0},
    {"sbb r16, m", 2, {0x66, 0x1b}, 2, 0, 0},
    {"and m, imm32", 1, {0x81}, 4, 4, AF},
    {"sub m, imm8", 1, {0x83}, 5, 1, 0},
    {"xor m, imm8", 1, {0x80}, 6, 1, AF},
    {"cmp m, imm16", 2, {0x66, 0x81}, 7, 2, 0},
    {"cmp r32, m", 1, {0x3b}, 2, 0, 0},
    {"lock add m, r32", 2, {0xf0, 0x01}, 2, 0, 0},
    {"lock xadd m, r32", 3, {0xf0, 0x0f, 0xc1}, 2, 0, 0},
    {"lock cmpxchg m, r32", 3, {0xf0, 0x0f, 0xb1}, 2, 0, 0},
    {"cmpxchg m, r8", 2, {0x0f, 0xb0}, 2, 0, 0},
    {"lock cmpxchg8b m", 3, {0xf0, 0x0f, 0xc7}, 1, 0, 0},
    {"xchg m, r32", 1, {0x87}, 2, 0, 0},
    {"test m, r32", 1, {0x85}, 2, 0, AF},
    {"test m, imm8", 1, {0xf6}, 0, 1, AF},
    {"test m, imm32", 1, {0xf7}, 0, 4, AF},
    {"not m", 1, {0xf7}, 2, 0, 0},
    {"neg m", 1, {0xf6}, 3, 0, 0},
    {"mul m", 1, {0xf7}, 4, 0, ARITHMETIC & ~0x801},
    {"imul r32, m", 2, {0x0f, 0xaf}, 2, 0, ARITHMETIC & ~0x801},
    {"imul r32, m, imm8", 1, {0x6b}, 2, 1, ARITHMETIC & ~0x801},
    {"imul r32, m, imm32", 1, {0x69}, 2, 4, ARITHMETIC & ~0x801},
    {"inc m", 1, {0xff}, 0, 0, 0},
    {"dec m", 1, {0xfe}, 1, 0, 0},
    {"rol m, 1", 1, {0xd1}, 0, 0, 0},
    {"shl m, imm8", 1, {0xc1}, 4, 1, AF | 0x800},
    {"sar m, cl", 1, {0xd2}, 7, 0, AF | 0x800},
    {"shld m, r32, imm8", 2, {0x0f, 0xa4}, 2, 1, AF | 0x800},
    {"shrd m, r32, cl", 2, {0x0f, 0xad}, 2, 0, AF | 0x800},
    {"movzx r32, m8", 2, {0x0f, 0xb6}, 2, 0, 0},
    {"movzx r32, m16", 2, {0x0f, 0xb7}, 2, 0, 0},
    {"movsx r32, m8", 2, {0x0f, 0xbe}, 2, 0, 0},
    {"cmovne r32, m", 2, {0x0f, 0x45}, 2, 0, 0},
    {"setc m", 2, {0x0f, 0x92}, 0, 0, 0},
    {"bt m, r32", 2, {0x0f, 0xa3}, 2, 0, ARITHMETIC & ~1},
    {"lock bts m, r32", 3, {0xf0, 0x0f, 0xab}, 2, 0, ARITHMETIC & ~1},
    {"btr m, imm8", 2, {0x0f, 0xba}, 6, 1, ARITHMETIC & ~1},
    {"bsf r32, m", 2, {0x0f, 0xbc}, 2, 0, ARITHMETIC & ~0x40},
    {"bsr r32, m", 2, {0x0f, 0xbd}, 2, 0, ARITHMETIC & ~0x40},
    {"push m", 1, {0xff}, 6, 0, 0},
    {"pop m", 1, {0x8f}, 0, 0, 0},
    {"fld m32", 1, {0xd9}, 0, 0, 0},
    {"fst m64", 1, {0xdd}, 2, 0, 0},
    {"fild m64", 1, {0xdf}, 5, 0, 0},
    {"fnstcw m", 1, {0xd9}, 7, 0, 0},
    {"fnsave m", 1, {0xdd}, 6, 0, MEMORY}, /* it stores addresses */
    {"movd mm, m", 2, {0x0f, 0x6e}, 2, 0, 0},
    {"movq m, mm", 2, {0x0f, 0x7f}, 2, 0, 0},
    {"paddb mm, m", 2, {0x0f, 0xfc}, 2, 0, 0},
    {"pshufw mm, m, imm8", 2, {0x0f, 0x70}, 2, 1, 0},
    {"movups xmm, m", 2, {0x0f, 0x10}, 2, 0, 0},
    {"movups m, xmm", 2, {0x0f, 0x11}, 2, 0, 0},
    {"movss xmm, m", 3, {0xf3, 0x0f, 0x10}, 2, 0, 0},
    {"movdqu m, xmm", 3, {0xf3, 0x0f, 0x7f}, 2, 0, 0},
    {"addsd xmm, m", 3, {0xf2, 0x0f, 0x58}, 2, 0, 0},
    {"movnti m, r32", 2, {0x0f, 0xc3}, 2, 0, 0},
    {"stmxcsr m", 2, {0x0f, 0xae}, 3, 0, 0},
    {"mov al, moffs", 1, {0xa0}, NO_MODRM, 0, 0},
    {"mov eax, moffs", 1, {0xa1}, NO_MODRM, 0, 0},
    {"mov moffs, al", 1, {0xa2}, NO_MODRM, 0, 0},
    {"mov moffs, ax", 2, {0x66, 0xa3}, NO_MODRM, 0, 0},
};

/* How the address is made: the ways of ModRM and SIB, from registers that add up to it. */
enum mode {
    BASE_DISP8, /* disp8(%ebx) */
    BASE,
    BASE_DISP32,
    DISP32,
    SIB_INDEX,   /* (%ebx, %esi, 4) */
    SIB_DISP8,   /* disp8(%ebx, %esi, 8) */
    SIB_NO_BASE, /* disp32(, %esi, 2) */
    SIB_NO_INDEX,
    MODES
};

static unsigned int emit_at;

static void emit(uint8_t byte)
{
    CODE[emit_at++] = byte;
}

static void emit_word(uint32_t word, unsigned int bytes)
{
    while (bytes--) {
        emit(word);
        word >>= 8;
    }
}

/* ModRM, SIB and displacement for `address`, and the registers that go with them. */
static void emit_operand(enum mode mode, unsigned int reg, uint32_t address, struct trap_frame *f)
{
    f->esi = 5;
    switch (mode) {
    case BASE_DISP8:
        emit(0x43 | reg << 3);
        emit(0xf0);
        f->ebx = address + 16;
        break;
    case BASE:
        emit(0x03 | reg << 3);
        f->ebx = address;
        break;
    case BASE_DISP32:
        emit(0x83 | reg << 3);
        emit_word(0x12345678, 4);
        f->ebx = address - 0x12345678;
        break;
    case DISP32:
        emit(0x05 | reg << 3);
        emit_word(address, 4);
        break;
    case SIB_INDEX:
        emit_word(0xb304 | reg << 3, 2);
        f->ebx = address - 20;
        break;
    case SIB_DISP8:
        emit_word(0xf344 | reg << 3, 2);
        emit(0x7f);
        f->ebx = address - 40 - 127;
        break;
    case SIB_NO_BASE:
        emit_word(0x7504 | reg << 3, 2);
        emit_word(address - 10, 4);
        break;
    default:
        emit_word(0x2304 | reg << 3, 2);
        f->ebx = address;
    }
}

/* --- running one ------------------------------------------------------------------------------ */

static void enter(void *argument)
{
    __asm__ volatile("pushl %1\n\t"
                     "pushl %c2(%%eax)\n\t"
                     "popfl\n\t"
                     "movl %c3(%%eax), %%ecx\n\t"
                     "movl %c4(%%eax), %%edx\n\t"
                     "movl %c5(%%eax), %%ebx\n\t"
                     "movl %c6(%%eax), %%esi\n\t"
                     "movl %c7(%%eax), %%edi\n\t"
                     "movl %c8(%%eax), %%eax\n\t"
                     "ret"
                     :
                     : "a"(argument), "m"(((struct trap_frame *)argument)->eip),
                       "i"(offsetof(struct trap_frame, eflags)),
                       "i"(offsetof(struct trap_frame, ecx)), "i"(offsetof(struct trap_frame, edx)),
                       "i"(offsetof(struct trap_frame, ebx)), "i"(offsetof(struct trap_frame, esi)),
                       "i"(offsetof(struct trap_frame, edi)), "i"(offsetof(struct trap_frame, eax))
                     : "memory");
}

static void execute(int ring, struct trap_frame *f)
{
    struct trap_frame in = *f;

    emit_word(0x80cd, 2); /* int $0x80 */
    in.eip = USER_BASE;
    in.eflags = 0x203;
    if (ring == 1) {
        catch_fault(enter, &in, f);
        return;
    }
    user_frame(f, USER_BASE, USER_BASE + PAGE_SIZE);
    f->eax = in.eax;
    f->ecx = in.ecx;
    f->edx = in.edx;
    f->ebx = in.ebx;
    f->esi = in.esi;
    f->edi = in.edi;
    f->eflags |= 1;
    f->fs = in.fs;
    f->gs = in.gs;
    user_run(f);
}

static uint8_t segment_prefix; /* 0x64: fs, 0x65: gs */
static uint16_t segment_selector;

static void load_segment(void)
{
    if (segment_prefix == 0x65)
        __asm__ volatile("movl %0, %%gs" : : "r"((uint32_t)segment_selector));
    else
        __asm__ volatile("movl %0, %%fs" : : "r"((uint32_t)segment_selector));
}

/*
 * Data, constants in registers, code: through the segment at `offset`, or through ds where that
 * leads.
 */
static struct trap_frame attempt(int ring, const struct form *form, enum mode mode, uint32_t offset,
                                 bool through_ds)
{
    struct trap_frame f = {.eax = 0x01020304, .ecx = 3, .edx = 0x1d, .edi = 0xdddddddd};
    uint32_t address = through_ds ? MIDDLE + offset : offset;

    for (unsigned int i = 0; i < PAGE_SIZE; i++)
        DATA[i] = i * 7 + (i >> 8);
    f.fs = f.gs = FLAT_USER_DS;
    if (segment_prefix == 0x65)
        f.gs = segment_selector;
    else
        f.fs = segment_selector;
    emit_at = 0;
    if (!through_ds)
        emit(segment_prefix);
    for (unsigned int i = 0; i < form->length; i++)
        emit(form->bytes[i]);
    if (form->reg == NO_MODRM)
        emit_word(address, 4);
    else
        emit_operand(mode, form->reg, address, &f);
    emit_word(0xc1b2a305, form->imm);
    execute(ring, &f);
    return f;
}

static unsigned int notifications, prefix_sum;

static bool count_notification(struct trap_frame *frame)
{
    notifications++;
    prefix_sum += frame->error;
    return true;
}

static bool same(const struct form *form, const struct trap_frame *a, const struct trap_frame *b)
{
    uint32_t flags = ARITHMETIC & ~form->skip;

    return a->vector == VECTOR_SYSCALL && b->vector == VECTOR_SYSCALL && a->eax == b->eax &&
           a->ecx == b->ecx && a->edx == b->edx && a->edi == b->edi && a->esi == b->esi &&
           ((a->eflags ^ b->eflags) & flags) == 0;
}

/* One instruction, one way of addressing, on one side of the base. */
static bool one_encoding(int ring, const struct form *form, enum mode mode, uint32_t offset)
{
    static uint8_t expected[PAGE_SIZE];
    struct trap_frame plain, f;

    plain = attempt(ring, form, mode, offset, true);
    memcpy(expected, DATA, PAGE_SIZE);
    f = attempt(ring, form, mode, offset, false);
    if (same(form, &f, &plain) && (form->skip & MEMORY || memcmp(expected, DATA, PAGE_SIZE) == 0))
        return true;
    tap_diag("%s, addressing mode %d, offset %d, prefix %02x: %s", form->name, mode, (int)offset,
             segment_prefix, vector_name(f.vector));
    return false;
}

/* Above and below the base in turn: every access finds the descriptor in the other form. */
static void test_form(int ring, const struct form *form)
{
    static const int32_t offsets[] = {-200, 100, -0x120, 0x120, -16, 0};
    unsigned int bad = 0, run = 0;

    for (int mode = 0; mode < MODES; mode++) {
        if (form->reg == NO_MODRM && mode != DISP32)
            continue;
        for (unsigned int i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
            /* FNSAVE writes 108 bytes: an operand across the base is in neither form. */
            int32_t offset = form->skip & MEMORY && offsets[i] < 0 ? offsets[i] - 108 : offsets[i];

            run++;
            if (!one_encoding(ring, form, mode, offset))
                bad++;
        }
    }
    tap_ok(bad == 0, "ring %d, %cs, %s: %s, %u encodings", ring, segment_prefix == 0x65 ? 'g' : 'f',
           segment_selector & 4 ? "LDT" : "GDT", form->name, run);
}

static void test_forms(int ring)
{
    load_segment();
    for (unsigned int i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        test_form(ring, &forms[i]);
}

/* --- string instructions ---------------------------------------------------------------------- */

/* What the source is, an override may say; the destination is es:edi. */
static void test_string(int ring, const char *name, const char *bytes, unsigned int length,
                        uint32_t count)
{
    struct trap_frame plain = {0}, f = {0};
    static uint8_t expected[PAGE_SIZE];

    for (int through_ds = 1; through_ds >= 0; through_ds--) {
        f = (struct trap_frame){.ecx = count, .edi = (uint32_t)DATA + 0x100, .eax = 0x55};
        f.esi = through_ds ? MIDDLE - 0x300 : (uint32_t)-0x300;
        f.ebx = f.esi; /* XLAT */
        f.fs = f.gs = segment_selector;
        for (unsigned int i = 0; i < PAGE_SIZE; i++)
            DATA[i] = i * 3;
        emit_at = 0;
        if (!through_ds)
            emit(segment_prefix);
        for (unsigned int i = 0; i < length; i++)
            emit(bytes[i]);
        execute(ring, &f);
        if (through_ds) {
            plain = f;
            plain.esi -= MIDDLE;
            memcpy(expected, DATA, PAGE_SIZE);
        }
    }
    if (!tap_ok(f.vector == VECTOR_SYSCALL && f.eax == plain.eax && f.ecx == plain.ecx &&
                    f.esi == plain.esi && f.edi == plain.edi &&
                    memcmp(expected, DATA, PAGE_SIZE) == 0,
                "ring %d: %s", ring, name))
        frame_print(&f);
}

static void test_strings(int ring)
{
    load_segment();
    test_string(ring, "lodsb", "\xac", 1, 1);
    test_string(ring, "lodsl", "\xad", 1, 1);
    test_string(ring, "movsb", "\xa4", 1, 1);
    test_string(ring, "rep movsl", "\xf3\xa5", 2, 100);
    test_string(ring, "repe cmpsb", "\xf3\xa6", 2, 10);
    test_string(ring, "xlat", "\xd7", 1, 1);
}

/* --- what must stay a fault ------------------------------------------------------------------- */

static bool enforced; /* somebody checks limits here */

static uint16_t read_through(uint32_t offset, struct trap_frame *f)
{
    *f = (struct trap_frame){.ebx = offset};
    emit_at = 0;
    emit(segment_prefix);
    emit_word(0x038b, 2); /* movl (%ebx), %eax */
    load_segment();
    execute(1, f);
    return f->vector;
}

static void must_fault(uint32_t offset, const char *what)
{
    struct trap_frame f;

    if (!enforced) {
        tap_skip("no limits here", "%s", what);
        return;
    }
    read_through(offset, &f);
    if (!tap_ok(f.vector == VECTOR_GP && f.error == 0, "%s", what))
        frame_print(&f);
}

static void assist(bool on, unsigned int type)
{
    hv_vm_assist(on ? VMASST_CMD_enable : VMASST_CMD_disable, type);
}

static uint64_t *gdt;
static void *data_page;

static void set_descriptor(uint64_t descriptor)
{
    uint64_t address = ((uint64_t)va_to_mfn(gdt) << PAGE_SHIFT) + TLS_INDEX * 8;

    if (hv_update_descriptor(address, descriptor))
        panic("descriptor %llx refused", descriptor);
}

static void test_faults(void)
{
    set_descriptor(tls_descriptor(MIDDLE, 0xfffff));
    assist(false, VMASST_TYPE_4gb_segments);
    must_fault(-8, "without the assist, %gs:-8 is #GP");
    assist(true, VMASST_TYPE_4gb_segments);
    must_fault(LIMIT_END - MIDDLE, "the hypervisor's first byte is #GP");
    must_fault(0xfb800000 - MIDDLE, "its direct map is #GP");
    must_fault(-2, "an operand on both sides of the base is #GP");
    set_descriptor(tls_descriptor(MIDDLE, 0x10));
    must_fault(-8, "a segment that was made small stays small");
    set_descriptor(tls_descriptor(0, 0xfffff));
    must_fault(0xfffffff0, "a flat segment has nothing below its base");
    set_descriptor(tls_descriptor(MIDDLE, 0xfffff) & ~(1ull << 55)); /* byte granular */
    must_fault(-8, "a segment counted in bytes is not turned");
    set_descriptor(tls_descriptor(MIDDLE, 0xfffff));
}

/* The guest can see in its table what was done. */
static void test_descriptor_seen(void)
{
    struct trap_frame f;
    uint64_t before = gdt[TLS_INDEX];

    if (!enforced) {
        tap_skip("no limits here", "the descriptor shows the flip");
        return;
    }
    memcpy((void *)(MIDDLE - 8), "\x78\x56\x34\x12", 4);
    read_through(-8, &f);
    tap_ok(f.vector == VECTOR_SYSCALL && f.eax == 0x12345678, "-8 is read");
    tap_ok(gdt[TLS_INDEX] >> 42 & 1, "which makes the descriptor expand-down");
    read_through(8, &f);
    tap_ok(f.vector == VECTOR_SYSCALL && !(gdt[TLS_INDEX] >> 42 & 1), "8 makes it expand-up");
    tap_ok(!((gdt[TLS_INDEX] ^ before) & ~(1ull << 40)), "as it was, but for the accessed bit");
}

static void test_notification(void)
{
    struct trap_frame f;

    trap_hook(VECTOR_NOTIFY, count_notification);
    notifications = 0;
    read_through(-8, &f);
    tap_is(notifications, 0, "no notification unless asked for");
    read_through(8, &f);
    assist(true, VMASST_TYPE_4gb_segments_notify);
    prefix_sum = 0;
    read_through(-8, &f);
    if (!enforced) {
        tap_skip("no limits here", "notifications");
        return;
    }
    tap_ok(f.vector == VECTOR_SYSCALL && notifications == 1, "one notification a flip");
    tap_is(prefix_sum, 1, "its error code is the number of prefix bytes");
    test_form(1, &forms[0]);
    tap_ok(notifications > 10, "%u notifications since", notifications);
    assist(false, VMASST_TYPE_4gb_segments_notify);
}

/* fs and gs name one descriptor: turned for one, it is another for the other. */
static void use_both(void *argument)
{
    __asm__ volatile("movl %0, %%fs\n\tmovl %0, %%gs\n\t"
                     "movl $40, %%ecx\n" /* some below are emulated, then it is turned */
                     "1: movl %%gs:-8, %%eax\n\tloop 1b\n\t"
                     "addl $1, %%fs:-8\n\t"
                     "addl $1, %%fs:8\n\t"
                     "addl $1, %%gs:8"
                     :
                     : "r"((uint32_t)segment_selector)
                     : "eax", "ecx", "memory");
    (void)argument;
}

static void test_two_registers(void)
{
    struct trap_frame f = {0};

    memset(DATA, 0, PAGE_SIZE);
    tap_ok(!catch_fault(use_both, NULL, &f), "fs and gs with one descriptor");
    tap_is(*(uint32_t *)(MIDDLE - 8), 1, "below it");
    tap_is(*(uint32_t *)(MIDDLE + 8), 2, "and above");
}

/* A register that reaches what it is to reach: another reason for #GP is not taken for its form. */
static void misaligned(void *argument)
{
    __asm__ volatile("movl %0, %%gs\n\tmovaps %%gs:8, %%xmm0" : : "r"((uint32_t)segment_selector));
    (void)argument;
}

static void test_another_reason(void)
{
    struct trap_frame f = {0};

    if (!enforced) {
        tap_skip("no limits here", "a misaligned MOVAPS");
        return;
    }
    tap_ok(catch_fault(misaligned, NULL, &f) && f.vector == VECTOR_GP,
           "a misaligned MOVAPS is #GP");
    map_page(DATA, 0);
    tap_ok(catch_fault(misaligned, NULL, &f) && f.vector == VECTOR_GP, "where no page is, too");
    map_page(DATA, pte_make(linear_to_mfn(data_page), PAGE_USER));
}

/* --- the tables ------------------------------------------------------------------------------- */

static void set_up_tables(void)
{
    unsigned long mfn;
    struct mmuext_op op = {.cmd = MMUEXT_SET_LDT};
    uint64_t *ldt = page_alloc();

    gdt = page_alloc();
    gdt[TLS_INDEX] = ldt[TLS_INDEX] = tls_descriptor(MIDDLE, 0xfffff);
    mfn = va_to_mfn(gdt);
    if (map_page(gdt, pte_make(mfn, PAGE_KERNEL_RO)) || hv_set_gdt(&mfn, 512))
        panic("no GDT");
    if (map_page(ldt, pte_make(va_to_mfn(ldt), PAGE_KERNEL_RO)))
        panic("no page for the LDT");
    op.arg1.linear_addr = (uint32_t)ldt;
    op.arg2.nr_ents = 512;
    if (hv_mmuext_op(&op, 1, NULL, DOMID_SELF))
        panic("no LDT");
}

static void map_pages(void)
{
    void *code = page_alloc();

    data_page = page_alloc();

    if (map_page((void *)USER_BASE, pte_make(linear_to_mfn(code), PAGE_USER)) ||
        map_page(DATA, pte_make(linear_to_mfn(data_page), PAGE_USER)))
        panic("no pages for ring 3");
}

static void probe(void)
{
    struct trap_frame f;

    read_through(-8, &f);
    enforced = f.vector == VECTOR_GP;
    tap_diag("segment limits are %s here", enforced ? "enforced" : "NOT enforced");
}

int main(void)
{
    map_pages();
    set_up_tables();
    segment_prefix = 0x65;
    segment_selector = GDT_SELECTOR;
    probe();
    test_faults();
    test_descriptor_seen();
    test_notification();
    test_two_registers();
    test_another_reason();
    for (int ring = 1; ring <= 3; ring += 2) {
        segment_prefix = 0x65;
        segment_selector = GDT_SELECTOR;
        test_forms(ring);
        test_strings(ring);
        segment_prefix = 0x64;
        segment_selector = LDT_SELECTOR;
        test_forms(ring);
        test_strings(ring);
    }
    tap_done();
}
