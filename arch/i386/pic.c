/* SPDX-License-Identifier: MIT */
/*
 * pic.c: the two 8259A interrupt controllers, which take the 16 interrupt lines of the PC.
 *
 * After reset the first PIC sends its lines as vectors 8 to 15: the processor's own exceptions. So
 * the PICs are moved to PIC_VECTOR_BASE, and all lines masked but the second PIC's, which hangs on
 * line 2 of the first. Each interrupt stays "in service" and holds back lower ones until it is
 * acknowledged (EOI). 8259A data sheet: ICW1-4, OCW1-3.
 *
 * A line that goes away before the processor asks for the vector shows up as the PIC's lowest line,
 * 7 or 15, without being in service: such a spurious interrupt must not be acknowledged.
 *
 * Where there is an IO-APIC (ioapic.c), all lines stay masked here.
 *
 * Read next: apic.c (what lies between the PIC and the processor), irq.c (who gets a line's
 * interrupts).
 */
#include <ringlet/apic.h>
#include <ringlet/arch.h>
#include <ringlet/irq.h>

#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA 0xa1

#define ICW1_INIT_ICW4 0x11
#define ICW4_8086 0x01
#define OCW2_EOI 0x20
#define OCW3_READ_ISR 0x0b
#define CASCADE_IRQ 2
#define ELCR1 0x4d0
#define ELCR2 0x4d1
#define ELCR_NONE 0xffff /* reads so where there is none: every line is edge-triggered */

/*
 * irq_lock: the lines that are masked, and those that are level-triggered as the edge/level control
 * registers (ELCR, of the chipset; they came with the EISA bus) have it.
 */
static uint16_t level_triggered;
static uint16_t masked = 0xffff & ~(1u << CASCADE_IRQ);

static void write_masks(void)
{
    outb(PIC1_DATA, masked & 0xff);
    outb(PIC2_DATA, masked >> 8);
}

/*
 * The four initialisation words, in the order the chip counts them: start, vector base, wiring,
 * mode.
 */
void pic_init(void)
{
    outb(PIC1_COMMAND, ICW1_INIT_ICW4);
    outb(PIC2_COMMAND, ICW1_INIT_ICW4);
    outb(PIC1_DATA, PIC_VECTOR_BASE);
    outb(PIC2_DATA, PIC_VECTOR_BASE + 8);
    outb(PIC1_DATA, 1u << CASCADE_IRQ);
    outb(PIC2_DATA, CASCADE_IRQ);
    outb(PIC1_DATA, ICW4_8086);
    outb(PIC2_DATA, ICW4_8086);
    write_masks();
    level_triggered = inb(ELCR1) | inb(ELCR2) << 8;
    if (level_triggered == ELCR_NONE)
        level_triggered = 0;
}

static void mask(unsigned irq)
{
    masked |= 1u << irq;
    write_masks();
}

static void unmask(unsigned irq)
{
    masked &= ~(1u << irq);
    write_masks();
}

static bool in_service(unsigned irq)
{
    uint16_t port = irq < 8 ? PIC1_COMMAND : PIC2_COMMAND;

    outb(port, OCW3_READ_ISR);
    return inb(port) & (1u << (irq & 7));
}

/* False for a spurious interrupt, which needs no more than the cascade's EOI. */
static bool pending(unsigned irq)
{
    if ((irq & 7) != 7 || in_service(irq))
        return true;
    if (irq == 15)
        outb(PIC1_COMMAND, OCW2_EOI); /* the cascade line is in service in the first PIC */
    return false;
}

static void ack(unsigned irq)
{
    if (irq >= 8)
        outb(PIC2_COMMAND, OCW2_EOI);
    outb(PIC1_COMMAND, OCW2_EOI);
}

/* A PIC knows no polarity: level-triggered lines are active low at the device's pin. */
static void set_mode(unsigned irq, bool level, bool active_low)
{
    (void)active_low;
    level_triggered = (level_triggered & ~(1u << irq)) | (unsigned)level << irq;
    outb(ELCR1, level_triggered & 0xff);
    outb(ELCR2, level_triggered >> 8);
}

static bool is_level(unsigned irq)
{
    return level_triggered >> irq & 1;
}

static unsigned line_of_isa(unsigned irq)
{
    return irq;
}

const struct irq_controller pic_controller = {
    .name = "PIC",
    .lines = NR_ISA_IRQS,
    .vector_base = PIC_VECTOR_BASE,
    .reserved = 1u << CASCADE_IRQ,
    .mask = mask,
    .unmask = unmask,
    .pending = pending,
    .ack = ack,
    .set_mode = set_mode,
    .is_level = is_level,
    .line_of_isa = line_of_isa,
};
