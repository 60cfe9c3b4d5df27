/* SPDX-License-Identifier: MIT */
/*
 * ptwr.c: writable page tables. A guest writes an entry of its own L1 with a plain MOV, and it
 * works.
 *
 * A page table is mapped read-only in its guest, so the MOV faults. A guest that asked for it
 * (VMASST_TYPE_writable_pagetables) gets the write carried out here: the instruction is fetched and
 * decoded, the entry's new value is computed as the instruction would have, and then goes through
 * mod_l1_entry(), the door every other update goes through. The guest's own mapping stays read-only
 * throughout, so nothing unchecked is ever in a page table.
 *
 * Entries are 64 bits and a 32-bit guest mostly writes them by halves. Each half-write makes a
 * whole entry, which must be acceptable by itself, with one exception (P1).
 *
 * An entry is mostly cleared: its lower half, then, perhaps read before, its upper half. Those two or
 * three instructions are carried out at once, which saves the second fault (P2).
 *
 * P1  When a MOV of the upper half makes a present entry that is not acceptable, it is written as
 *     not present: the guest is on its way from one present entry to another and began at the wrong
 *     end, the lower half with the present bit follows.
 * P2  Behind a store that leaves the entry not present, a MOV from its upper half and a MOV to it
 *     are carried out too, if they come next: just as if the second one's fault had been taken. Not
 *     when the guest wants to hear of each instruction, by TF or a breakpoint.
 *
 * docs/abi-coverage.md has the list of these instructions; tests/guests/paging/pagewrite-insns tries
 * them.
 *
 * Read next: mm/entries.c (what an entry may say), traps/decode.c.
 */
#include <ringlet/emulate.h>
#include <ringlet/tables.h>
#include <ringlet/mm.h>
#include <ringlet/traps.h>

/* Page-fault error code: present, write; not user, not reserved bits, no fetch. SDM vol. 3, 4.7. */
#define KERNEL_WRITE_PROTECTED 3
#define PF_MASK 0x1f

#define FLAG_CF 0x001u
#define FLAG_PF 0x004u
#define FLAG_AF 0x010u
#define FLAG_ZF 0x040u
#define FLAG_SF 0x080u
#define FLAG_OF 0x800u
#define FLAGS_ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* ALU operations as opcode bits 5:3, and ModRM.reg of opcodes 80 to 83, number them. */
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

/*
 * An instruction's outcome, computed from the operand's old value; nothing of it is visible until
 * committed.
 */
struct outcome {
    uint64_t value; /* the operand afterwards */
    bool plain;     /* a MOV: nothing else to commit; P1 */
    uint8_t reg;    /* register to change, REG_NONE: none */
    uint32_t reg_value;
    bool edx_eax; /* CMPXCHG8B failed: both take the operand */
    uint32_t eflags;
};

/* Result and flags of an ALU operation on `size` bytes. SDM vol. 1, 3.4.3.1. */
static uint32_t alu(unsigned op, uint32_t a, uint32_t b, unsigned size, uint32_t *eflags)
{
    uint32_t mask = 0xffffffffu >> (32 - 8 * size), sign = (mask >> 1) + 1, r, flags = 0;
    uint32_t carry = (op == ALU_ADC || op == ALU_SBB) && (*eflags & FLAG_CF);

    switch (op) {
    case ALU_ADD:
    case ALU_ADC:
        r = (a + b + carry) & mask;
        flags = ((uint64_t)a + b + carry > mask ? FLAG_CF : 0) |
                ((a ^ r) & (b ^ r) & sign ? FLAG_OF : 0) | ((a ^ b ^ r) & FLAG_AF);
        break;
    case ALU_SUB:
    case ALU_SBB:
    case ALU_CMP:
        r = (a - b - carry) & mask;
        flags = (a < (uint64_t)b + carry ? FLAG_CF : 0) | ((a ^ b) & (a ^ r) & sign ? FLAG_OF : 0) |
                ((a ^ b ^ r) & FLAG_AF);
        break;
    case ALU_OR:
        r = a | b;
        break;
    case ALU_AND:
        r = a & b;
        break;
    default:
        r = a ^ b;
    }
    flags |=
        (r ? 0 : FLAG_ZF) | (r & sign ? FLAG_SF : 0) | (__builtin_parity(r & 0xff) ? 0 : FLAG_PF);
    *eflags = (*eflags & ~FLAGS_ARITHMETIC) | flags;
    return r;
}

/*
 * BTS, BTR, BTC (ModRM.reg 5, 6, 7 of opcode 0F BA): one bit of the operand, its old value to CF.
 */
static void change_bit(struct outcome *o, uint32_t old, unsigned op, unsigned bit)
{
    uint32_t mask = 1u << bit;

    o->eflags = (o->eflags & ~FLAG_CF) | (old & mask ? FLAG_CF : 0);
    o->value = op == 5 ? old | mask : op == 6 ? old & ~mask : old ^ mask;
}

/* INC and DEC, ModRM.reg 0 and 1 of opcodes FE and FF: they leave CF. */
static bool compute_step(struct outcome *o, const struct insn *in, uint32_t old)
{
    uint32_t carry = o->eflags & FLAG_CF;

    if (in->reg > 1)
        return false;
    o->value = alu(in->reg ? ALU_SUB : ALU_ADD, old, 1, in->size, &o->eflags);
    o->eflags = (o->eflags & ~FLAG_CF) | carry;
    return true;
}

/* NOT and NEG, ModRM.reg 2 and 3 of opcodes F6 and F7: NOT leaves the flags. */
static bool compute_unary(struct outcome *o, const struct insn *in, uint32_t old)
{
    if (in->reg == 2)
        o->value = ~old;
    else if (in->reg == 3)
        o->value = alu(ALU_SUB, 0, old, in->size, &o->eflags);
    return in->reg == 2 || in->reg == 3;
}

static void exchange_add(struct outcome *o, const struct cpu_user_regs *regs, const struct insn *in,
                         uint32_t old)
{
    o->value = alu(ALU_ADD, old, insn_read_register(regs, in->reg, in->size), in->size, &o->eflags);
    o->reg = in->reg;
    o->reg_value = old;
}

static void compare_exchange(struct outcome *o, const struct cpu_user_regs *regs,
                             const struct insn *in, uint32_t old)
{
    uint32_t accumulator = insn_read_register(regs, REG_EAX, in->size);

    alu(ALU_CMP, accumulator, old, in->size, &o->eflags);
    if (accumulator == old) {
        o->value = insn_read_register(regs, in->reg, in->size);
    } else {
        o->value = old;
        o->reg = REG_EAX;
        o->reg_value = old;
    }
}

static void compare_exchange_8(struct outcome *o, const struct cpu_user_regs *regs, uint64_t old)
{
    bool equal = old == ((uint64_t)regs->edx << 32 | regs->eax);

    o->value = equal ? (uint64_t)regs->ecx << 32 | regs->ebx : old;
    o->edx_eax = !equal;
    o->eflags = (o->eflags & ~FLAG_ZF) | (equal ? FLAG_ZF : 0);
}

static bool compute_0f(struct outcome *o, const struct cpu_user_regs *regs, const struct insn *in,
                       uint64_t old)
{
    unsigned bits = in->size * 8 - 1;

    switch (in->opcode) {
    case 0xab: /* BTS, BTR, BTC: opcode bits 5:3 are ModRM.reg of 0F BA */
    case 0xb3:
    case 0xbb:
        change_bit(o, old, (in->opcode >> 3) & 7, insn_read_register(regs, in->reg, 4) & bits);
        return true;
    case 0xba:
        change_bit(o, old, in->reg, in->immediate & bits);
        return in->reg >= 5;
    case 0xb0:
    case 0xb1:
        compare_exchange(o, regs, in, old);
        return true;
    case 0xc0:
    case 0xc1:
        exchange_add(o, regs, in, old);
        return true;
    case 0xc7:
        compare_exchange_8(o, regs, old);
        return in->reg == 1;
    default:
        return false;
    }
}

static bool compute_alu(struct outcome *o, const struct insn *in, unsigned op, uint32_t old,
                        uint32_t operand)
{
    uint32_t mask = 0xffffffffu >> (32 - 8 * in->size);

    if (op == ALU_CMP)
        return false;
    o->value = alu(op, old, operand & mask, in->size, &o->eflags);
    return true;
}

static bool compute_store(struct outcome *o, uint32_t value)
{
    o->plain = true;
    o->value = value;
    return true;
}

/*
 * What the instruction makes of the operand's old value. false: not an instruction for page tables.
 */
static bool compute(struct outcome *o, const struct cpu_user_regs *regs, const struct insn *in,
                    uint64_t old)
{
    *o = (struct outcome){.reg = REG_NONE, .eflags = regs->eflags};
    if (in->map == MAP_0F)
        return compute_0f(o, regs, in, old);
    switch (in->opcode) {
    case 0x88:
    case 0x89:
        return !in->lock && compute_store(o, insn_read_register(regs, in->reg, in->size));
    case 0xa2:
    case 0xa3:
        return !in->lock && compute_store(o, insn_read_register(regs, REG_EAX, in->size));
    case 0xc6:
    case 0xc7:
        return !in->lock && in->reg == 0 && compute_store(o, in->immediate);
    case 0x86:
    case 0x87:
        o->value = insn_read_register(regs, in->reg, in->size);
        o->reg = in->reg;
        o->reg_value = old;
        return true;
    case 0x80:
    case 0x81:
    case 0x83:
        return compute_alu(o, in, in->reg, old, in->immediate);
    case 0xf6:
    case 0xf7:
        return compute_unary(o, in, old);
    case 0xfe:
    case 0xff:
        return compute_step(o, in, old);
    default:
        if ((in->opcode & 0xc6) || in->opcode >= 0x38)
            return false;
        /* 00, 01, 08, 09, ... 30, 31: ALU operation to memory */
        return compute_alu(o, in, in->opcode >> 3, old,
                           insn_read_register(regs, in->reg, in->size));
    }
}

/*
 * The frame that `address` shows read-only, if it is an L1 of d's in use; else INVALID_MFN. mm_lock
 * is held.
 */
static inline mfn_t page_table_at(const struct vcpu *v, uint32_t address)
{
    pte_t e = guest_l1_entry(v, address);
    uint32_t low = (uint32_t)e, high = e >> 32, type;
    mfn_t mfn = low >> PAGE_SHIFT | high << (32 - PAGE_SHIFT);

    if ((low & (uint32_t)(PTE_P | PTE_RW)) != PTE_P ||
        (high & (uint32_t)(PTE_ADDR >> 32) & ~0xfffu) || mfn >= max_frame)
        return INVALID_MFN;
    type = mfn_frame(mfn)->type_info;
    return (type & (FT_TYPE | FT_VALIDATED)) == L1_TYPE && (type & FT_COUNT) &&
                   owner_slot(mfn_frame(mfn)) == v->domain->slot
               ? mfn
               : INVALID_MFN;
}

/* An entry as the bytes an operand covers. */
union entry {
    pte_t all;
    uint8_t bytes[8];
    uint32_t words[2];
};

static uint64_t operand_of(const union entry *e, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    if (likely(size == 4 && !(offset & 3)))
        return e->words[offset >> 2];
    memcpy(&value, &e->bytes[offset], size);
    return value;
}

static void set_operand(union entry *e, unsigned offset, unsigned size, uint64_t value)
{
    if (likely(size == 4 && !(offset & 3)))
        e->words[offset >> 2] = (uint32_t)value;
    else
        memcpy(&e->bytes[offset], &value, size);
}

/*
 * Carry the instruction out on the entry `pl1`, whose bytes from `offset` on are its operand. Other
 * vcpus are kept off by mm_lock, but not their processors, which set Accessed and Dirty: then all
 * that was computed from the old value is computed again.
 */
static bool update_entry(struct cpu_user_regs *regs, const struct insn *in, pte_t *pl1,
                         unsigned offset)
{
    struct domain *d = current->domain;
    union entry old, new;
    struct outcome o;
    int rc;

    do {
        old.all = new.all = *pl1;
        if (!compute(&o, regs, in, operand_of(&old, offset, in->size)))
            return false;
        set_operand(&new, offset, in->size, o.value);
        rc = mod_l1_entry_if(pl1, old.all, new.all, d);
        if (unlikely(rc) && rc != -EAGAIN && o.plain && in->size == 4 && offset == 4 &&
            (new.all &PTE_P)) /* P1 */
            rc = mod_l1_entry_if(pl1, old.all, new.all & ~PTE_P, d);
    } while (rc == -EAGAIN);
    if (unlikely(rc))
        return false;
    if (o.plain)
        return true;
    if (o.reg != REG_NONE)
        insn_write_register(regs, o.reg, in->size, o.reg_value);
    if (o.edx_eax) {
        regs->eax = old.words[0];
        regs->edx = old.words[1];
    }
    regs->eflags = o.eflags;
    return true;
}

/*
 * walk 39: A store to a page table
 *
 * Claim: Kernels write page-table entries with MOV. The table is mapped read-only, so the MOV
 * faults, and for a guest that asked for writable page tables the store is carried out here: the
 * new entry is computed as the instruction would have made it and goes through the same check as a
 * hypercall's. The guest's mapping stays read-only throughout. First the instruction must be what
 * the fault says: a write, of no more than one entry, through a segment that allows it, at the very
 * address that faulted.
 * Without it: An instruction exchanged after the fault would be carried out on an entry that the
 * fault did not name; a table made writable for a moment would be written by the guest's other
 * vcpus, unchecked.
 * Shown by: tests/guests/paging/pagewrite/main.c::test_halves,
 * tests/guests/paging/pagewrite/main.c::test_refusals, tests/host/test_ptwr.c::test_refusals
 */
/* Is `address` the first byte of what the instruction writes, within one entry? */
static bool writes_entry_at(const struct cpu_user_regs *regs, const struct insn *in,
                            uint32_t address)
{
    struct segment s;
    uint32_t linear;

    return in->memory && (in->access & ACCESS_WRITE) && in->size && (address & 7) + in->size <= 8 &&
           read_segment(segment_selector(regs, in->segment), &s) &&
           (s.high & (DESC_CODE | DESC_RW)) == DESC_RW &&
           segment_linear(&s, insn_offset(in, regs), in->size, &linear) && linear == address;
}

/*
 * The entry at `address` if that is in a page table of the guest's, which is *table then, mapped,
 * mm_lock held until unlock_entry(); NULL otherwise.
 */
static inline pte_t *lock_entry(struct vcpu *v, uint32_t address, mfn_t *table)
{
    spin_lock(&v->domain->mm_lock);
    *table = page_table_at(v, address);
    if (likely(*table != INVALID_MFN))
        return (pte_t *)map_frame(*table) + (address & (PAGE_SIZE - 1)) / sizeof(pte_t);
    spin_unlock(&v->domain->mm_lock);
    return NULL;
}

static void unlock_entry(struct vcpu *v, pte_t *entry)
{
    unmap_written(entry);
    spin_unlock(&v->domain->mm_lock);
}

/* Any instruction compute() knows. */
static enum emulation emulate_any_write(uint32_t address, struct cpu_user_regs *regs)
{
    struct vcpu *v = current;
    enum emulation result;
    struct insn in;
    pte_t *entry;
    mfn_t table;

    result = fetch_insn(regs, &in);
    if (result != EMULATION_DONE)
        return result;
    if (!writes_entry_at(regs, &in, address) || !(entry = lock_entry(v, address, &table)))
        return EMULATION_REFUSED;
    if (!update_entry(regs, &in, entry, address & 7))
        result = EMULATION_REFUSED;
    unlock_entry(v, entry);
    if (result == EMULATION_DONE)
        retire_insn(regs, in.length);
    return result;
}

/* A store of an instruction that needs no decoder, see simple_store(). */
struct store {
    uint32_t value, length;
};

/*
 * Is the operand of this instruction the aligned word at `address`, with one register and at most a
 * byte for its address? ds is flat. The length without an immediate, 0: not so.
 */
static inline unsigned simple_operand(struct cpu_user_regs *regs, const uint8_t *bytes,
                                      uint32_t address)
{
    unsigned mod = bytes[1] >> 6, rm = bytes[1] & 7;
    uint32_t displacement = mod ? (uint32_t)(int8_t)bytes[2] : 0;

    if (mod > 1 || rm == REG_ESP || rm == REG_EBP || (address & 3) ||
        *insn_register(regs, rm) + displacement != address)
        return 0;
    return 2 + mod;
}

/*
 * MOV of a register (89) or a word (C7 /0) there: what compilers make of a write to a page table.
 * false: another one, or not at `address`.
 */
static inline bool simple_store(struct cpu_user_regs *regs, const uint8_t *bytes, uint32_t address,
                                struct store *store)
{
    unsigned reg = (bytes[1] >> 3) & 7;

    store->length = simple_operand(regs, bytes, address);
    if (!store->length)
        return false;
    if (bytes[0] == 0x89) {
        store->value = *insn_register(regs, reg);
        return true;
    }
    memcpy(&store->value, bytes + store->length, 4);
    store->length += 4;
    return bytes[0] == 0xc7 && reg == 0;
}

/* Store the half of the entry that `address` names. */
static bool store_half(struct domain *d, pte_t *entry, unsigned half, uint32_t value)
{
    union entry new = {.all = *entry};
    int rc;

    new.words[half] = value;
    /* A store to the upper half leaves Accessed and Dirty as they are, or become just now. */
    rc = mod_l1_entry(entry, new.all, d, d, half == 1);
    if (unlikely(rc) && half == 1 && (new.all &PTE_P)) /* P1 */
        rc = mod_l1_entry(entry, new.all & ~PTE_P, d, d, false);
    return rc == 0;
}

/*
 * P2: the lower half of `entry`, which is at `address` for the guest, has just been cleared by an
 * instruction before these bytes. Without the present bit an entry may have any upper half. The
 * length of the instructions carried out.
 */
static inline unsigned store_upper_half(struct cpu_user_regs *regs, const uint8_t *bytes,
                                        const uint8_t *end, uint32_t address, pte_t *entry)
{
    const uint8_t *p = bytes;
    struct store store;
    unsigned length;

    if (p[0] == 0x8b && (length = simple_operand(regs, p, address + 4))) {
        *insn_register(regs, (p[1] >> 3) & 7) = ((uint32_t *)entry)[1];
        p += length;
    }
    if (simple_store(regs, p, address + 4, &store) && p + store.length <= end) {
        __atomic_store_n(&((uint32_t *)entry)[1], store.value, __ATOMIC_RELAXED);
        p += store.length;
    }
    return p - bytes;
}

/* Carry out that store, and what P2 lets follow. */
static inline bool carry_out(struct cpu_user_regs *regs, const uint8_t *bytes, uint32_t address,
                             struct store store)
{
    struct vcpu *v = current;
    mfn_t table;
    pte_t *entry = lock_entry(v, address, &table);
    bool done;

    if (!entry)
        return false;
    done = store_half(v->domain, entry, (address >> 2) & 1, store.value);
    if (done && !(address & 4) && !(store.value & LOW_P) && !(regs->eflags & EFLAGS_TF) &&
        likely(!has_breakpoints(v)))
        store.length +=
            store_upper_half(regs, bytes + store.length, bytes + PEEK_BYTES, address, entry);
    unlock_entry(v, entry);
    if (done)
        retire_insn(regs, store.length);
    return done;
}

/*
 * A page fault of the running vcpu at `address`, whose error code is in regs. true: it was a write
 * to one of its page tables, and is done (or its code page was gone, and that #PF injected). false:
 * the fault is the guest's.
 */
bool emulate_pagetable_write(uint32_t address, struct cpu_user_regs *regs)
{
    uint32_t words[PEEK_BYTES / 4 + 2]; /* the last two are read sometimes, and not used then */
    struct store store;

    words[PEEK_BYTES / 4] = words[PEEK_BYTES / 4 + 1] = 0;
    if (!(current->domain->vm_assist & (1u << VMASST_TYPE_writable_pagetables)) ||
        !in_guest_kernel(regs) || (regs->error_code & PF_MASK) != KERNEL_WRITE_PROTECTED)
        return false;
    if (!likely(peek_insn(regs, words)) ||
        !(regs->ds == FLAT_RING1_DS || flat_segment(regs->ds, DESC_RW)) ||
        !simple_store(regs, (const uint8_t *)words, address, &store))
        return emulate_any_write(address, regs) != EMULATION_REFUSED;
    return carry_out(regs, (const uint8_t *)words, address, store);
}
