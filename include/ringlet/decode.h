/* SPDX-License-Identifier: MIT */
/*
 * decode.h: one IA-32 instruction, taken apart.
 *
 * The hypervisor meets guest instructions in three places: privileged ones (traps/emulate.c),
 * writes to page tables (mm/ptwr.c) and accesses beyond a truncated segment (traps/segments_4gb/).
 * Each asks the same questions: how long, which opcode, which memory operand. The answers come from
 * here; what they mean is the caller's affair.
 *
 * Read next: traps/decode.c (the tables), emulate.h (from an operand to a linear address).
 */
#ifndef RINGLET_DECODE_H
#define RINGLET_DECODE_H

#include <ringlet/types.h>

struct cpu_user_regs;

#define MAX_INSN_LENGTH 15 /* a longer one is #GP: SDM vol. 2, 2.3.11 */

/* Segment registers as ModRM.reg numbers them. */
enum segment_register { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

/* General registers as ModRM numbers them. */
enum { REG_EAX, REG_ECX, REG_EDX, REG_EBX, REG_ESP, REG_EBP, REG_ESI, REG_EDI, REG_NONE };

/* Opcode maps: one byte, 0F, 0F 38, 0F 3A. SDM vol. 2, appendix A. */
enum opcode_map { MAP_ONE_BYTE, MAP_0F, MAP_0F38, MAP_0F3A };

/* What the instruction does to its memory operand. */
#define ACCESS_NONE 0
#define ACCESS_READ 1
#define ACCESS_WRITE 2

/* The order of the fields lets the compiler set each line's four by one store. */
struct insn {
    uint8_t length;        /* bytes, prefixes included */
    uint8_t prefix_length; /* bytes before the opcode (the 0F of a longer opcode is no prefix) */
    uint8_t map;           /* enum opcode_map */
    uint8_t opcode;        /* last byte of the opcode */

    uint8_t rep; /* 0xf2, 0xf3 or 0 */
    bool lock;
    bool segment_override;
    bool bit_string; /* BT and its kin with a register: the bit number moves the address */

    uint8_t operand_size; /* 2 or 4: the operand-size attribute, whatever the opcode makes of it */
    uint8_t address_size; /* 2 or 4 */
    uint8_t mod, reg;     /* ModRM; mod is 3 where the opcode has none */
    uint8_t rm;
    /*
     * The memory operand, if `memory`: segment:base + index * scale + displacement. For string
     * instructions it is the one whose segment an override changes, or es:edi if there is no other.
     */
    bool memory;
    uint8_t access; /* ACCESS_READ | ACCESS_WRITE */
    uint8_t size;   /* bytes; 0: not told (x87, MMX, SSE, system structures) */

    uint8_t segment;
    uint8_t base, index; /* REG_*, REG_NONE */
    uint8_t scale;       /* 1, 2, 4, 8 */
    uint32_t displacement;
    uint32_t immediate;  /* sign-extended if the instruction does so with a byte */
    uint32_t immediate2; /* ENTER's second, the selector of a far pointer */
};

enum decode_result {
    DECODE_OK,
    DECODE_INVALID,   /* no instruction, or one of those left out (see decode.c) */
    DECODE_TRUNCATED, /* ends after the bytes given */
};

/*
 * traps/decode.c. Touches no guest memory: `bytes` holds `n` bytes; code32 is the D bit of the code
 * segment.
 */
enum decode_result decode_insn(struct insn *in, const uint8_t *bytes, unsigned n, bool code32);
/* The memory operand's offset in its segment. */
uint32_t insn_offset(const struct insn *in, const struct cpu_user_regs *regs);
extern const uint8_t insn_register_offset[8];
static inline uint32_t *insn_register(struct cpu_user_regs *regs, unsigned nr)
{
    return (uint32_t *)((char *)regs + insn_register_offset[nr & 7]);
}
/* `size` is 1, 2 or 4 bytes; byte registers 4 to 7 are ah, ch, dh, bh. */
uint32_t insn_read_register(const struct cpu_user_regs *regs, unsigned nr, unsigned size);
void insn_write_register(struct cpu_user_regs *regs, unsigned nr, unsigned size, uint32_t value);

#endif
