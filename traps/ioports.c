/* SPDX-License-Identifier: MIT */
/*
 * ioports.c: IN, OUT, INS and OUTS.
 *
 * The real EFLAGS.IOPL is always 0 and the TSS has no port bitmap, so every port access of a guest
 * faults. Two questions then decide, as on a processor and its bus:
 *
 *   May this code use ports at all?  The guest's own rule: its virtual IOPL (PHYSDEVOP_set_iopl)
 *       covers the ring, or its port bitmap (PHYSDEVOP_set_iobitmap) has the ports' bits clear. If
 *       not: #GP, as SDM vol. 1, 18.5 has it.
 *   Does the port answer?  The domain's `ioports` say which ports of the machine are its own. The
 *       others are empty bus: reads give all ones, writes are lost. Kernels probe for devices and
 *       rely on that; a fault kills them.
 *
 * A few ports are the hypervisor's own, whoever asks: the interrupt controllers (of which the initial
 * domain sees a shadow), the timer that drives the scheduler, its serial port. The timer chip's channel 2 (the speaker's, which kernels
 * calibrate clocks with) is not among them.
 *
 * Read next: traps/operand.c (the memory side of INS and OUTS).
 */
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/domain.h>
#include <ringlet/emulate.h>
#include <ringlet/guest_access.h>
#include <ringlet/traps.h>

#define PIT_CONTROL 0x43
#define PIC1_MASK 0x21
#define PIC2_MASK 0xa1
#define PORT_B 0x61 /* bits 0 and 1: channel 2's gate, the speaker */

/*
 * Elements of a repeated instruction carried out before others are asked whether they want the
 * processor.
 */
#define REP_BATCH 64

/*
 * Does the virtual IOPL cover the ring? The kernel counts as ring 1, or as ring 0 if it asked for
 * the architecture's meaning of IOPL (VMASST_TYPE_architectural_iopl).
 */
bool may_use_iopl(const struct vcpu *v, const struct cpu_user_regs *regs)
{
    unsigned ring = 3;

    if (in_guest_kernel(regs))
        ring = v->domain->vm_assist & (1u << VMASST_TYPE_architectural_iopl) ? 0 : 1;
    return ring <= v->iopl;
}

static bool bitmap_allows(const struct vcpu *v, unsigned port, unsigned size)
{
    uint8_t bytes[2] = {0xff, 0xff};
    uint32_t mask = ((1u << size) - 1) << (port & 7);

    if (port + size > v->iobmp_ports)
        return false;
    /* A bitmap may end within these two bytes: what cannot be read stays all ones. */
    if (copy_from_guest(&bytes[0], v->iobmp_guest + (port >> 3), 1))
        return false;
    if (mask > 0xff && copy_from_guest(&bytes[1], v->iobmp_guest + (port >> 3) + 1, 1))
        return false;
    return !((bytes[0] | (unsigned)bytes[1] << 8) & mask);
}

static bool may_use_ports(const struct vcpu *v, const struct cpu_user_regs *regs, unsigned port,
                          unsigned size)
{
    return may_use_iopl(v, regs) || bitmap_allows(v, port, size);
}

static bool domain_has_port(const struct domain *d, unsigned port)
{
    return port < 0x10000 && (d->ioports[port >> 3] >> (port & 7)) & 1;
}

/* Ports no guest may touch. */
static bool hypervisor_port(unsigned port)
{
    switch (port) {
    case 0x20:
    case 0x21:
    case 0xa0:
    case 0xa1: /* interrupt controllers */
    case 0x4d0:
    case 0x4d1: /* and their edge/level control */
    case 0x40:
    case 0x41: /* timer, channels 0 and 1 */
        return true;
    default:
        return options.console_serial && port - options.com1_port < 8;
    }
}

/*
 * The PICs are the hypervisor's, but kernels look for them by writing to a mask register what they
 * then read back, and without PICs Linux has no ISA interrupts unless ACPI tells of them. So a
 * domain that has these ports has mask registers, all masked, and nothing behind them.
 */
static uint8_t *pic_open_lines(struct domain *d, unsigned port)
{
    if (port != PIC1_MASK && port != PIC2_MASK)
        return NULL;
    return &d->pic_open_lines[port == PIC2_MASK];
}

/* Ports a guest may use in part. */
static bool filtered_port(unsigned port)
{
    return port == PIT_CONTROL || port == PORT_B;
}

static uint8_t read_byte(struct domain *d, unsigned port)
{
    if (!domain_has_port(d, port))
        return 0xff;
    if (hypervisor_port(port))
        return pic_open_lines(d, port) ? ~*pic_open_lines(d, port) : 0xff;
    return inb(port);
}

/*
 * The control word's upper two bits choose the channel, or read several back at once (3): only
 * those for channel 2 alone pass. Of port B only the two bits of channel 2 are written.
 */
static void write_byte(struct domain *d, unsigned port, uint8_t value)
{
    if (!domain_has_port(d, port))
        return;
    if (hypervisor_port(port)) {
        if (pic_open_lines(d, port))
            *pic_open_lines(d, port) = ~value;
        return;
    }
    if (port == PIT_CONTROL && value >> 6 != 2 && (value & 0xce) != 0xc8)
        return;
    if (port == PORT_B)
        value = (value & 3) | (inb(PORT_B) & ~3u);
    outb(port, value);
}

/*
 * An access of more than a byte goes to the bus as one only if all of its bytes are the domain's,
 * without exception.
 */
static bool plain_access(const struct domain *d, unsigned port, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        if (!domain_has_port(d, port + i) || hypervisor_port(port + i) || filtered_port(port + i))
            return false;
    }
    return true;
}

static uint32_t port_read(struct domain *d, unsigned port, unsigned size)
{
    uint32_t value = 0;

    if (!d->ioports)
        return size == 4 ? 0xffffffff : (1u << (8 * size)) - 1;
    if (plain_access(d, port, size))
        return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)read_byte(d, port + i) << (8 * i);
    return value;
}

static void port_write(struct domain *d, unsigned port, unsigned size, uint32_t value)
{
    if (!d->ioports)
        return;
    if (!plain_access(d, port, size)) {
        for (unsigned i = 0; i < size; i++)
            write_byte(d, port + i, value >> (8 * i));
    } else if (size == 1) {
        outb(port, value);
    } else if (size == 2) {
        outw(port, value);
    } else {
        outl(port, value);
    }
}

/* One element of INS or OUTS: its memory operand, then the port. */
static enum emulation string_element(struct cpu_user_regs *regs, const struct insn *in,
                                     const struct segment *s, unsigned port)
{
    struct domain *d = current->domain;
    uint32_t linear, data = 0;

    if (!segment_linear(s, insn_offset(in, regs), in->size, &linear)) {
        inject_exception(in->segment == SEG_SS ? TRAP_stack_error : TRAP_gp_fault, 0);
        return EMULATION_HANDLED;
    }
    if (in->access == ACCESS_WRITE) {
        data = port_read(d, port, in->size);
        return write_operand(regs, linear, &data, in->size) ? EMULATION_DONE : EMULATION_HANDLED;
    }
    if (!read_operand(regs, linear, &data, in->size))
        return EMULATION_HANDLED;
    port_write(d, port, in->size, data);
    return EMULATION_DONE;
}

/* Data is written to a writable data segment, and read from any that is not execute-only. */
static bool segment_allows(const struct segment *s, uint8_t access)
{
    if (access == ACCESS_WRITE)
        return (s->high & (DESC_CODE | DESC_RW)) == DESC_RW;
    return (s->high & (DESC_CODE | DESC_RW)) != DESC_CODE;
}

/* Count or pointer register, as wide as the address size. */
static void add_to_register(struct cpu_user_regs *regs, const struct insn *in, unsigned nr,
                            uint32_t n)
{
    insn_write_register(regs, nr, in->address_size,
                        insn_read_register(regs, nr, in->address_size) + n);
}

/*
 * The vcpu's I/O breakpoints are looked at behind the access: real ones would stop the
 * hypervisor's, so they are never loaded (traps/debugreg.c). SDM vol. 3, 17.2.5.
 */
static inline enum emulation io_done(struct cpu_user_regs *regs, unsigned port, unsigned size,
                                     uint32_t length)
{
    uint32_t hits = io_breakpoint_hits(current, port, size);

    if (likely(!hits))
        return EMULATION_DONE;
    regs->eip += length;
    trap_after_insn(regs, hits);
    return EMULATION_HANDLED;
}

/*
 * INS and OUTS (6C to 6F), once or repeated. Registers advance with each element, so a fault
 * halfway, or others that want the processor, leave a state from which the same instruction goes
 * on: eip stays until the count is used up. EMULATION_REFUSED: #GP.
 */
enum emulation emulate_string_io(struct cpu_user_regs *regs, const struct insn *in)
{
    uint32_t step = regs->eflags & EFLAGS_DF ? -in->size : in->size, count = 1;
    unsigned port = regs->edx & 0xffff;
    struct segment s;

    if (!may_use_ports(current, regs, port, in->size))
        return EMULATION_REFUSED;
    if (in->rep)
        count = insn_read_register(regs, REG_ECX, in->address_size);
    if (!count)
        return EMULATION_DONE;
    if (!read_segment(segment_selector(regs, in->segment), &s) || !segment_allows(&s, in->access))
        return EMULATION_REFUSED;
    for (uint32_t done = 0; done < MIN(count, REP_BATCH); done++) {
        if (string_element(regs, in, &s, port) != EMULATION_DONE)
            return EMULATION_HANDLED;
        add_to_register(regs, in, in->base, step);
        if (in->rep)
            add_to_register(regs, in, REG_ECX, -1);
    }
    /* The rest another time: eip stays, so it is the same instruction. */
    return count > REP_BATCH ? EMULATION_HANDLED : io_done(regs, port, in->size, in->length);
}

/* IN and OUT (opcodes E4 to E7, EC to EF): `size` bytes. EMULATION_REFUSED: #GP. */
enum emulation emulate_in_out(struct cpu_user_regs *regs, unsigned opcode, unsigned port,
                              unsigned size, uint32_t length)
{
    const struct vcpu *v = current;

    if (unlikely(!may_use_ports(v, regs, port, size)))
        return EMULATION_REFUSED;
    if (opcode & 2)
        port_write(v->domain, port, size, regs->eax);
    else
        insn_write_register(regs, REG_EAX, size, port_read(v->domain, port, size));
    return io_done(regs, port, size, length);
}
