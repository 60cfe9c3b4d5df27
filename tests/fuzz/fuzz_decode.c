/* SPDX-License-Identifier: MIT */
/*
 * fuzz_decode.c - decode anything, as Zydis does.
 *
 * Zydis (Debian's libzydis) is a disassembler whose tables come from the manuals by another way
 * than ours. Whatever it takes for an instruction without VEX, EVEX or XOP, traps/decode.c must
 * take too, with the same length, sizes, immediate and memory operand. What it refuses, ours may
 * accept, as long as it stays within the bytes given. Byte 0 chooses 16- or 32-bit code; the
 * rest is a run of instructions.
 *
 * units: traps/decode.c
 * flags: -D__XEN_TOOLS__ -lZydis
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>
#include <ringlet/decode.h>

static ZydisDecodedInstruction zi;
static ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
static const uint8_t *current_bytes;

/* Stop with the instruction, and what of it differs. */
static void differ(const struct insn *in, const char *what)
{
    fprintf(stderr, "%s differs:", what);
    for (unsigned i = 0; i < zi.length; i++)
        fprintf(stderr, " %02x", current_bytes[i]);
    fprintf(stderr, "  %s (ours: map %d opcode %02x length %d memory %d access %d size %d)\n",
            ZydisMnemonicGetString(zi.mnemonic), in->map, in->opcode, in->length, in->memory,
            in->access, in->size);
    abort();
}

#define SAME(x, what)         \
    do {                      \
        if (!(x))             \
            differ(in, what); \
    } while (0)

static unsigned register_number(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE ? REG_NONE : (unsigned)ZydisRegisterGetId(reg);
}

static int same_place(const struct insn *in, const ZydisDecodedOperand *op)
{
    uint64_t mask = in->address_size == 4 ? 0xffffffff : 0xffff;

    return op->type == ZYDIS_OPERAND_TYPE_MEMORY && register_number(op->mem.base) == in->base &&
           register_number(op->mem.index) == in->index &&
           (in->index == REG_NONE || op->mem.scale == in->scale) &&
           (((uint64_t)op->mem.disp.value ^ in->displacement) & mask) == 0 &&
           (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN ||
            (unsigned)ZydisRegisterGetId(op->mem.segment) == in->segment);
}

static unsigned actions_to_access(const ZydisDecodedOperand *op)
{
    unsigned access = 0;

    if (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
        return ACCESS_NONE;
    if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
        access |= ACCESS_READ;
    if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
        access |= ACCESS_WRITE;
    return access;
}

/* Instructions of which the two tables say the same in different words. */
static int access_is_a_matter_of_taste(const struct insn *in)
{
    if (in->map == MAP_0F && (in->opcode == 0x0d || (in->opcode >= 0x18 && in->opcode <= 0x1f)))
        return 1; /* hints and wide NOPs touch nothing as far as a fault goes */
    if (in->map == MAP_0F && in->opcode == 0x01 && in->reg == 7)
        return 1; /* INVLPG */
    if (in->map == MAP_0F && in->opcode == 0xae)
        return 1; /* FXSAVE and kin */
    if (in->map == MAP_0F && (in->opcode == 0xb9 || in->opcode == 0xff || in->opcode == 0xc7))
        return 1; /* UD0, UD1; XSAVES, VMPTRLD and kin */
    if (zi.mnemonic == ZYDIS_MNEMONIC_WRSSD || zi.mnemonic == ZYDIS_MNEMONIC_WRUSSD)
        return 1; /* shadow stacks, which guests are not given */
    return in->map == MAP_0F38 && (in->opcode >= 0x80 && in->opcode <= 0x82);
}

static void compare_memory(const struct insn *in)
{
    const ZydisDecodedOperand *found = NULL;
    unsigned explicit_operands = 0;

    for (unsigned i = 0; i < zi.operand_count; i++) {
        const ZydisDecodedOperand *op = &operands[i];

        if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        if (op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
            explicit_operands++;
        if (in->memory && !found && same_place(in, op))
            found = op;
    }
    SAME(in->memory || !explicit_operands, "presence of a memory operand");
    if (!in->memory)
        return;
    SAME(found, "memory operand");
    if (access_is_a_matter_of_taste(in))
        return;
    SAME(actions_to_access(found) == in->access, "access");
    SAME(!in->size || found->size == in->size * 8u, "size");
}

static void compare_immediate(const struct insn *in)
{
    const ZydisDecodedOperand *op = NULL;
    uint64_t mask;

    for (unsigned i = 0; i < zi.operand_count && !op; i++) {
        if (operands[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
            operands[i].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
            op = &operands[i];
    }
    if (!op)
        return;
    mask = op->size >= 32 ? 0xffffffff : (1u << op->size) - 1;
    SAME(((op->imm.value.u ^ in->immediate) & mask) == 0, "immediate");
}

static int left_out(void)
{
    if (zi.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        zi.encoding != ZYDIS_INSTRUCTION_ENCODING_3DNOW)
        return 1;
    if (zi.meta.isa_set == ZYDIS_ISA_SET_MPX)
        return 1; /* gone from processors; a wide NOP without it */
    if (zi.opcode_map != ZYDIS_OPCODE_MAP_0F)
        return 0;
    switch (zi.opcode) {
    case 0x24:
    case 0x26: /* test registers */
    case 0x78:
    case 0x79: /* VMREAD, VMWRITE, EXTRQ, INSERTQ */
    case 0xa6:
    case 0xa7: /* PadLock */
        return 1;
    default:
        return 0;
    }
}

static void compare(const struct insn *in)
{
    SAME(in->length == zi.length, "length");
    SAME(in->prefix_length == zi.raw.prefix_count, "prefixes");
    SAME(!in->memory || in->address_size * 8 == zi.address_width, "address size");
    SAME(in->opcode == zi.opcode || zi.encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW, "opcode");
    SAME(in->lock == !!(zi.attributes & ZYDIS_ATTRIB_HAS_LOCK), "lock");
    if (zi.attributes & ZYDIS_ATTRIB_HAS_MODRM) {
        SAME(in->reg == zi.raw.modrm.reg && in->rm == zi.raw.modrm.rm, "ModRM");
    }
    compare_memory(in);
    compare_immediate(in);
}

/* One instruction at the start of these bytes; the number of bytes to go on after. */
static unsigned decode_both(const ZydisDecoder *decoder, const uint8_t *bytes, size_t size,
                            int code32)
{
    ZydisDecoderContext context;
    enum decode_result result;
    struct insn in;

    current_bytes = bytes;
    result = decode_insn(&in, bytes, size, code32);
    if (in.length > size || in.length > MAX_INSN_LENGTH)
        abort();
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, &context, bytes, size, &zi)))
        return 1;
    if (left_out())
        return zi.length;
    if (!ZYAN_SUCCESS(
            ZydisDecoderDecodeOperands(decoder, &context, &zi, operands, zi.operand_count)))
        return zi.length;
    if (result != DECODE_OK)
        differ(&in, "validity");
    compare(&in);
    return zi.length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int code32 = size && !(data[0] & 1);
    ZydisDecoder decoder;

    ZydisDecoderInit(&decoder, code32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
                     code32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
    for (size_t at = 1; at < size;)
        at += decode_both(&decoder, data + at, size - at, code32);
    return 0;
}
