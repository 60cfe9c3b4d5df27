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
 * Read next: apic.c (what lies between the PIC and the processor), timerdev.c.
 */
#include <ringlet/apic.h>
#include <ringlet/arch.h>
#include <ringlet/desc.h>
#include <ringlet/lib.h>

#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA 0xa1

#define ICW1_INIT_ICW4 0x11
#define ICW4_8086 0x01
#define OCW2_EOI 0x20
#define OCW3_READ_ISR 0x0b
#define CASCADE_IRQ 2

/* Boot CPU only: the PICs are wired to it. */
static uint16_t masked = 0xffff & ~(1u << CASCADE_IRQ);
static void (*handlers[16])(void);

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
}

void pic_mask(unsigned irq)
{
    ASSERT(irq < 16);
    masked |= 1u << irq;
    write_masks();
}

void pic_unmask(unsigned irq)
{
    ASSERT(irq < 16);
    masked &= ~(1u << irq);
    write_masks();
}

/* Call `handler` for every interrupt of this line, and let the line through. */
void pic_register(unsigned irq, void (*handler)(void))
{
    ASSERT(irq < 16);
    handlers[irq] = handler;
    pic_unmask(irq);
}

static bool in_service(unsigned irq)
{
    uint16_t port = irq < 8 ? PIC1_COMMAND : PIC2_COMMAND;

    outb(port, OCW3_READ_ISR);
    return inb(port) & (1u << (irq & 7));
}

void pic_interrupt(unsigned irq)
{
    ASSERT(irq < 16);
    if ((irq & 7) == 7 && !in_service(irq)) {
        if (irq == 15)
            outb(PIC1_COMMAND, OCW2_EOI); /* the cascade line is in service in the first PIC */
        return;
    }
    if (irq >= 8)
        outb(PIC2_COMMAND, OCW2_EOI);
    outb(PIC1_COMMAND, OCW2_EOI);
    if (handlers[irq])
        handlers[irq]();
    else
        pic_mask(irq);
}
