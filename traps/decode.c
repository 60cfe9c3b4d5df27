/* SPDX-License-Identifier: MIT */
/*
 * decode.c: take one IA-32 instruction apart (decode.h says into what).
 *
 * Two tables, one entry an opcode, say what follows the opcode (ModRM, immediates) and what becomes
 * of the memory operand; the order of the tables is that of the SDM's opcode maps (vol. 2, appendix
 * A), 16 to a row. Opcodes whose ModRM.reg chooses among instructions ("groups") are put right by
 * refine_group().
 *
 * Left out, and DECODE_INVALID: VEX, EVEX and XOP encodings (AVX needs XSAVE, which guests are not
 * given), VMREAD and VMWRITE, the test registers. All of them are #UD to a guest, and no caller
 * emulates from #UD by this decoder. An opcode not defined by any processor may decode: callers
 * compare opcodes exactly.
 *
 * The decoder is pure: bytes in, struct out. tests/fuzz/fuzz_decode.c compares it with a
 * disassembler.
 *
 * Read next: traps/operand.c.
 */
#include <ringlet/decode.h>
#include <xen/xen.h>

/* An opcode's attributes. */
/* clang-format off */
#define N 0x0000 /* nothing follows */
#define M 0x0001 /* ModRM */
/* Immediate. */
#define IMM 0x000e
#define IB 0x0002  /* a byte */
#define IZ 0x0004  /* operand size */
#define IW 0x0006  /* two bytes */
#define IWB 0x0008 /* two bytes and a byte: ENTER */
#define FAR 0x000a /* operand size and a selector */
#define IS 0x000c  /* a byte, sign-extended */
/* Access to the memory operand. */
#define ACC_SHIFT 4
#define R (ACCESS_READ << ACC_SHIFT)
#define W (ACCESS_WRITE << ACC_SHIFT)
#define U (R | W)
/* Its size. */
#define SIZE_SHIFT 6
#define B (1 << SIZE_SHIFT)  /* byte */
#define S (2 << SIZE_SHIFT)  /* 2 bytes */
#define D (3 << SIZE_SHIFT)  /* 4 bytes */
#define Q (4 << SIZE_SHIFT)  /* 8 bytes */
#define V (5 << SIZE_SHIFT)  /* operand size */
#define P (6 << SIZE_SHIFT)  /* far pointer */
#define V2 (7 << SIZE_SHIFT) /* twice the operand size: BOUND */
#define SIZE_MASK (7 << SIZE_SHIFT)
/* Where it lies, if not where ModRM says. */
#define WHERE 0x0e00
#define SRC 0x0200   /* ds:esi, segment may be overridden */
#define DST 0x0400   /* es:edi, it may not */
#define MOFFS 0x0600 /* an address of address size follows */
#define XLAT 0x0800  /* ds:ebx + al */
#define EDI 0x0a00   /* ds:edi, segment may be overridden: MASKMOVQ */
/* Kinds of opcode. */
#define KIND 0xf000
#define PFX 0x1000 /* prefix */
#define ESC 0x2000 /* another map follows */
#define GRP 0x3000 /* see refine_group() */
#define REGS 0x4000 /* ModRM.mod is ignored: both operands are registers */
#define BITS 0x5000 /* bit string */
#define X 0xf000   /* invalid */

static const uint16_t one_byte_map[256] = {
    /* 00 */ M|U|B, M|U|V, M|R|B, M|R|V, IB, IZ, N, N, M|U|B, M|U|V, M|R|B, M|R|V, IB, IZ, N, ESC,
    /* 10 */ M|U|B, M|U|V, M|R|B, M|R|V, IB, IZ, N, N, M|U|B, M|U|V, M|R|B, M|R|V, IB, IZ, N, N,
    /* 20 */ M|U|B, M|U|V, M|R|B, M|R|V, IB, IZ, PFX, N, M|U|B, M|U|V, M|R|B, M|R|V, IB, IZ, PFX, N,
    /* 30 */ M|U|B, M|U|V, M|R|B, M|R|V, IB, IZ, PFX, N, M|R|B, M|R|V, M|R|B, M|R|V, IB, IZ, PFX, N,
    /* 40 */ N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    /* 50 */ N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    /* 60 */ N, N, GRP|M|R|V2, M|U|S, PFX, PFX, PFX, PFX, IZ, M|R|V|IZ, IS, M|R|V|IS, DST|W|B, DST|W|V, SRC|R|B, SRC|R|V,
    /* 70 */ IS, IS, IS, IS, IS, IS, IS, IS, IS, IS, IS, IS, IS, IS, IS, IS,
    /* 80 */ GRP|M|U|B|IB, GRP|M|U|V|IZ, GRP|M|U|B|IB, GRP|M|U|V|IS, M|R|B, M|R|V, M|U|B, M|U|V,
             M|W|B, M|W|V, M|R|B, M|R|V, M|W|S, GRP|M, M|R|S, GRP|M|W|V,
    /* 90 */ N, N, N, N, N, N, N, N, N, N, FAR, N, N, N, N, N,
    /* a0 */ MOFFS|R|B, MOFFS|R|V, MOFFS|W|B, MOFFS|W|V, SRC|R|B, SRC|R|V, SRC|R|B, SRC|R|V,
             IB, IZ, DST|W|B, DST|W|V, SRC|R|B, SRC|R|V, DST|R|B, DST|R|V,
    /* b0 */ IB, IB, IB, IB, IB, IB, IB, IB, IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ,
    /* c0 */ M|U|B|IB, M|U|V|IB, IW, N, GRP|M|R|P, GRP|M|R|P, M|W|B|IB, M|W|V|IZ, IWB, N, IW, N, N, IB, N, N,
    /* d0 */ M|U|B, M|U|V, M|U|B, M|U|V, IB, IB, N, XLAT|R|B, M|R, GRP|M, M|R, GRP|M, M|R, GRP|M, M|R, GRP|M,
    /* e0 */ IS, IS, IS, IS, IB, IB, IB, IB, IZ, IZ, FAR, IS, N, N, N, N,
    /* f0 */ PFX, N, PFX, PFX, N, N, GRP|M|B, GRP|M|V, N, N, N, N, N, N, GRP|M|U|B, GRP|M|V,
};

static const uint16_t map_0f[256] = {
    /* 00 */ GRP|M|S, GRP|M, M|R|S, M|R|S, X, N, N, N, N, N, X, N, X, M, N, M|R|IB,
    /* 10 */ M|R, M|W, M|R, M|W, M|R, M|R, M|R, M|W, M, M, M, M, M, M, M, M,
    /* 20 */ REGS|M, REGS|M, REGS|M, REGS|M, X, X, X, X, M|R, M|W, M|R, M|W, M|R, M|R, M|R, M|R,
    /* 30 */ N, N, N, N, N, N, X, N, ESC, X, ESC, X, X, X, X, X,
    /* 40 */ M|R|V, M|R|V, M|R|V, M|R|V, M|R|V, M|R|V, M|R|V, M|R|V,
             M|R|V, M|R|V, M|R|V, M|R|V, M|R|V, M|R|V, M|R|V, M|R|V,
    /* 50 */ M, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R,
    /* 60 */ M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R,
    /* 70 */ M|R|IB, M|IB, M|IB, M|IB, M|R, M|R, M|R, N, X, X, X, X, M|R, M|R, GRP|M, M|W,
    /* 80 */ IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ, IZ,
    /* 90 */ M|W|B, M|W|B, M|W|B, M|W|B, M|W|B, M|W|B, M|W|B, M|W|B,
             M|W|B, M|W|B, M|W|B, M|W|B, M|W|B, M|W|B, M|W|B, M|W|B,
    /* a0 */ N, N, N, BITS|M|R|V, M|U|V|IB, M|U|V, X, X, N, N, N, BITS|M|U|V, M|U|V|IB, M|U|V, GRP|M, M|R|V,
    /* b0 */ M|U|B, M|U|V, M|R|P, BITS|M|U|V, M|R|P, M|R|P, M|R|B, M|R|S,
             M|R|V, M, GRP|M|U|V|IB, BITS|M|U|V, M|R|V, M|R|V, M|R|B, M|R|S,
    /* c0 */ M|U|B, M|U|V, M|R|IB, M|W|D, M|R|S|IB, M|IB, M|R|IB, GRP|M, N, N, N, N, N, N, N, N,
    /* d0 */ M|R, M|R, M|R, M|R, M|R, M|R, M|W, M, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R,
    /* e0 */ M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|W, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M|R,
    /* f0 */ M|R, M|R, M|R, M|R, M|R, M|R, M|R, EDI|M|W, M|R, M|R, M|R, M|R, M|R, M|R, M|R, M,
};

/* clang-format on */

/*
 * x87: bit n set, if the memory form with ModRM.reg n writes; opcodes d8 to df. SDM vol. 2, tables
 *
 */
static const uint8_t x87_writes[8] = {0x00, 0xcc, 0x00, 0x8e, 0x00, 0xce, 0x00, 0xce};

/* The bytes not yet looked at. */
struct cursor {
    const uint8_t *at, *end;
    bool truncated;
};

static uint32_t take(struct cursor *c, unsigned bytes)
{
    const uint8_t *at = c->at;

    if ((unsigned)(c->end - at) < bytes) {
        c->truncated = true;
        c->at = c->end;
        return 0;
    }
    c->at = at + bytes;
    if (bytes == 1)
        return at[0];
    if (bytes == 2)
        return at[0] | at[1] << 8;
    return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}

static void decode_prefix(struct insn *in, uint8_t byte, bool code32)
{
    static const uint8_t other_size[2] = {4, 2};

    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        in->segment = (byte >> 3) & 3; /* ES, CS, SS, DS */
        in->segment_override = true;
        break;
    case 0x64:
    case 0x65:
        in->segment = byte & 7; /* FS, GS */
        in->segment_override = true;
        break;
    case 0x66:
        in->operand_size = other_size[code32];
        break;
    case 0x67:
        in->address_size = other_size[code32];
        break;
    case 0xf0:
        in->lock = true;
        break;
    default:
        in->rep = byte;
    }
}

/* 0F group opcodes: the attributes that ModRM.reg (and the form, register or memory) decide. */
static uint16_t refine_group_0f(const struct insn *in, uint16_t attr)
{
    static const uint16_t group6[8] = {W, W, R, R, R, R, X, X};
    static const uint16_t group7[8] = {W, W, R, R, W | S, R, R | S, N};
    static const uint16_t group9[8] = {X, U | Q, X, R, W, W, R, W};
    static const uint16_t group15[8] = {W, R, R | D, W | D, U, R, W, R};

    switch (in->opcode) {
    case 0x00:
        return attr | group6[in->reg];
    case 0x01:
        return attr | (in->reg == 5 && in->rep == 0xf3 ? U | Q : group7[in->reg]); /* RSTORSSP */
    case 0x7e:
        return attr | (in->rep == 0xf3 ? R : W);
    case 0xae:
        return attr | group15[in->reg];
    case 0xba:
        return in->reg < 4 ? X : in->reg == 4 ? attr & ~W : attr;
    case 0xc7:
        return attr | group9[in->reg];
    default:
        return X;
    }
}

static uint16_t refine_group(const struct insn *in, uint16_t attr)
{
    static const uint16_t group3[8] = {R, R, U, U, R, R, R, R}; /* 0, 1: TEST, with an immediate */
    static const uint16_t group5[8] = {U, U, R, R, R, R, R, X};

    if (in->map == MAP_0F)
        return refine_group_0f(in, attr);
    switch (in->opcode) {
    case 0x62:
    case 0xc4:
    case 0xc5: /* with a register these are EVEX and VEX prefixes */
    case 0x8d: /* LEA: an address is computed, nothing is touched */
        return in->mod == 3 ? X : attr;
    case 0x80 ... 0x83:
        return in->reg == 7 ? attr & ~W : attr; /* CMP */
    case 0x8f:
        return in->reg ? X : attr; /* else XOP */
    case 0xd9:
    case 0xdb:
    case 0xdd:
    case 0xdf:
        return attr | ((x87_writes[in->opcode & 7] >> in->reg) & 1 ? W : R);
    case 0xf6:
        return attr | group3[in->reg] | (in->reg < 2 ? IB : 0);
    case 0xf7:
        return attr | group3[in->reg] | (in->reg < 2 ? IZ : 0);
    case 0xfe:
        return in->reg < 2 ? attr : X;
    case 0xff:
        if (in->reg == 3 || in->reg == 5)
            return in->mod == 3 ? X : (attr & ~SIZE_MASK) | R | P;
        return attr | group5[in->reg];
    default:
        return X;
    }
}

static uint16_t map_0f38_attributes(const struct insn *in)
{
    /* MOVBE and MOVDIRI store; F2 makes CRC32 of the same opcode. */
    bool store = (in->opcode == 0xf1 && in->rep != 0xf2) || in->opcode == 0xf9;

    return M | (store ? W : R);
}

static uint16_t map_0f3a_attributes(const struct insn *in)
{
    return M | IB | (in->opcode >= 0x14 && in->opcode <= 0x17 ? W : R); /* PEXTRx, EXTRACTPS */
}

/* ModRM with 16-bit addresses: eight fixed sums. SDM vol. 2, table 2-1. */
static void decode_modrm16(struct insn *in, struct cursor *c)
{
    static const uint8_t bases[8] = {REG_EBX, REG_EBX, REG_EBP, REG_EBP,
                                     REG_ESI, REG_EDI, REG_EBP, REG_EBX};
    static const uint8_t indexes[8] = {REG_ESI,  REG_EDI,  REG_ESI,  REG_EDI,
                                       REG_NONE, REG_NONE, REG_NONE, REG_NONE};

    if (in->mod == 0 && in->rm == 6) {
        in->displacement = take(c, 2);
        return;
    }
    in->base = bases[in->rm];
    in->index = indexes[in->rm];
    if (in->mod == 1)
        in->displacement = (uint32_t)(int8_t)take(c, 1);
    else if (in->mod == 2)
        in->displacement = take(c, 2);
}

/* ModRM and SIB with 32-bit addresses. SDM vol. 2, tables 2-2 and 2-3. */
static void decode_modrm32(struct insn *in, struct cursor *c)
{
    unsigned base = in->rm;

    if (base == REG_ESP) {
        uint32_t sib = take(c, 1);

        base = sib & 7;
        if (((sib >> 3) & 7) != REG_ESP)
            in->index = (sib >> 3) & 7;
        in->scale = 1 << (sib >> 6);
    }
    if (in->mod == 0 && base == REG_EBP) {
        in->displacement = take(c, 4);
        return;
    }
    in->base = base;
    if (in->mod == 1)
        in->displacement = (uint32_t)(int8_t)take(c, 1);
    else if (in->mod == 2)
        in->displacement = take(c, 4);
}

static void decode_modrm(struct insn *in, struct cursor *c)
{
    if (in->mod == 3)
        return;
    in->memory = true;
    if (in->address_size == 4)
        decode_modrm32(in, c);
    else
        decode_modrm16(in, c);
    if (!in->segment_override && (in->base == REG_EBP || in->base == REG_ESP))
        in->segment = SEG_SS;
}

/* Memory operands that no ModRM describes. */
static void decode_implicit_operand(struct insn *in, uint16_t where, struct cursor *c)
{
    in->memory = true;
    switch (where) {
    case SRC:
        in->base = REG_ESI;
        break;
    case DST:
        in->base = REG_EDI;
        in->segment = SEG_ES;
        break;
    case MOFFS:
        in->displacement = take(c, in->address_size);
        break;
    case XLAT:
        in->base = REG_EBX;
        break; /* insn_offset() adds al */
    default:
        in->base = REG_EDI;
    }
}

static void decode_immediate(struct insn *in, uint16_t kind, struct cursor *c)
{
    switch (kind) {
    case IB:
        in->immediate = take(c, 1);
        break;
    case IS:
        in->immediate = (uint32_t)(int8_t)take(c, 1);
        break;
    case IW:
        in->immediate = take(c, 2);
        break;
    case IZ:
        in->immediate = take(c, in->operand_size);
        break;
    case IWB:
        in->immediate = take(c, 2);
        in->immediate2 = take(c, 1);
        break;
    case FAR:
        in->immediate = take(c, in->operand_size);
        in->immediate2 = take(c, 2);
        break;
    }
}

static uint8_t operand_bytes(const struct insn *in, uint16_t attr)
{
    static const uint8_t fixed[5] = {0, 1, 2, 4, 8};

    switch (attr & SIZE_MASK) {
    case V:
        return in->operand_size;
    case P:
        return in->operand_size + 2;
    case V2:
        return in->operand_size * 2;
    default:
        return fixed[(attr & SIZE_MASK) >> SIZE_SHIFT];
    }
}

/* Prefixes and opcode. Returns the opcode's attributes. */
static uint16_t decode_opcode(struct insn *in, struct cursor *c, const uint8_t *start, bool code32)
{
    uint16_t attr;

    for (;;) {
        in->opcode = take(c, 1);
        attr = one_byte_map[in->opcode];
        if (likely((attr & KIND) != PFX))
            break;
        decode_prefix(in, in->opcode, code32);
    }
    in->prefix_length = c->at - start - 1;
    if ((attr & KIND) != ESC)
        return attr;
    in->map = MAP_0F;
    in->opcode = take(c, 1);
    attr = map_0f[in->opcode];
    if ((attr & KIND) != ESC)
        return attr;
    in->map = in->opcode == 0x38 ? MAP_0F38 : MAP_0F3A;
    in->opcode = take(c, 1);
    return in->map == MAP_0F38 ? map_0f38_attributes(in) : map_0f3a_attributes(in);
}

/* Everything behind the opcode. */
static bool decode_operands(struct insn *in, uint16_t attr, struct cursor *c)
{
    if (attr & M) {
        uint32_t modrm = take(c, 1);

        in->mod = modrm >> 6;
        in->reg = (modrm >> 3) & 7;
        in->rm = modrm & 7;
        if ((attr & KIND) == GRP)
            attr = refine_group(in, attr & ~KIND);
        else if ((attr & KIND) == REGS)
            in->mod = 3;
        if ((attr & KIND) == X)
            return false;
        in->bit_string = (attr & KIND) == BITS;
        decode_modrm(in, c);
    }
    if (attr & WHERE)
        decode_implicit_operand(in, attr & WHERE, c);
    if (attr & IMM)
        decode_immediate(in, attr & IMM, c);
    if (in->memory) {
        in->access = (attr >> ACC_SHIFT) & 3;
        in->size = operand_bytes(in, attr);
    }
    return true;
}

/* An instruction of nothing but its defaults. */
static inline void clear_insn(struct insn *in, uint8_t size)
{
    *in = (struct insn){.operand_size = size,
                        .address_size = size,
                        .mod = 3,
                        .segment = SEG_DS,
                        .base = REG_NONE,
                        .index = REG_NONE,
                        .scale = 1};
}

enum decode_result decode_insn(struct insn *in, const uint8_t *bytes, unsigned n, bool code32)
{
    struct cursor c = {.at = bytes, .end = bytes + MIN(n, MAX_INSN_LENGTH)};
    uint16_t attr;
    bool valid;

    if (code32)
        clear_insn(in, 4);
    else
        clear_insn(in, 2);
    attr = decode_opcode(in, &c, bytes, code32);
    valid = (attr & KIND) != X && decode_operands(in, attr, &c);
    in->length = c.at - bytes;
    if (c.truncated)
        return n < MAX_INSN_LENGTH ? DECODE_TRUNCATED : DECODE_INVALID;
    return valid ? DECODE_OK : DECODE_INVALID;
}

/* ModRM's order, which is not the order in which registers are saved. */
const uint8_t insn_register_offset[8] = {
    offsetof(struct cpu_user_regs, eax), offsetof(struct cpu_user_regs, ecx),
    offsetof(struct cpu_user_regs, edx), offsetof(struct cpu_user_regs, ebx),
    offsetof(struct cpu_user_regs, esp), offsetof(struct cpu_user_regs, ebp),
    offsetof(struct cpu_user_regs, esi), offsetof(struct cpu_user_regs, edi),
};

static uint32_t register_value(const struct cpu_user_regs *regs, unsigned nr)
{
    return nr == REG_NONE ? 0 : *insn_register((struct cpu_user_regs *)regs, nr);
}

uint32_t insn_read_register(const struct cpu_user_regs *regs, unsigned nr, unsigned size)
{
    if (size == 4)
        return register_value(regs, nr);
    if (size == 2)
        return register_value(regs, nr) & 0xffff;
    return (register_value(regs, nr & 3) >> (nr & 4 ? 8 : 0)) & 0xff;
}

void insn_write_register(struct cpu_user_regs *regs, unsigned nr, unsigned size, uint32_t value)
{
    uint32_t *r = insn_register(regs, size == 1 ? nr & 3 : nr);

    if (size == 4)
        *r = value;
    else if (size == 2)
        *r = (*r & ~0xffffu) | (value & 0xffff);
    else if (nr & 4)
        *r = (*r & ~0xff00u) | (value & 0xff) << 8;
    else
        *r = (*r & ~0xffu) | (value & 0xff);
}

/*
 * BT with a register counts bits from the operand's address in either direction. SDM vol. 2,
 * 3.1.1.9.
 */
static uint32_t bit_string_displacement(const struct insn *in, const struct cpu_user_regs *regs)
{
    int32_t bit;

    if (in->operand_size == 4)
        return (uint32_t)((int32_t)register_value(regs, in->reg) >> 5) * 4;
    bit = (int16_t)register_value(regs, in->reg);
    return (uint32_t)(bit >> 4) * 2;
}

uint32_t insn_offset(const struct insn *in, const struct cpu_user_regs *regs)
{
    uint32_t offset = register_value(regs, in->base) + register_value(regs, in->index) * in->scale +
                      in->displacement;

    if (in->map == MAP_ONE_BYTE && in->opcode == 0xd7)
        offset += regs->eax & 0xff;
    if (in->bit_string)
        offset += bit_string_displacement(in, regs);
    return in->address_size == 4 ? offset : offset & 0xffff;
}
