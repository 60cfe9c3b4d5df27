/* SPDX-License-Identifier: MIT */
/*
 * serial.c: the 16550 UART behind COM1.
 *
 * Eight registers from the base port (National Semiconductor PC16550D, section 8; "DLAB" is bit 7
 * of LCR and turns the first two into the divisor of 115200 baud):
 *
 *   0 RBR/THR  received, to be sent      4 MCR  modem control: DTR, RTS; OUT2: interrupt line
 *   1 IER      interrupts wanted         5 LSR  status: bit 0 data ready, bit 5 transmitter empty
 *   2 IIR/FCR  FIFO control              7 SCR  a byte of memory, nothing else
 *   3 LCR      8 bits, no parity, DLAB
 *
 * Sending is polled: the message is on the wire when the call returns, also when the next thing is
 * a triple fault. Receiving is by interrupt (IRQ 4), so that typing does not need polling.
 *
 * Every wait is bounded. A transmitter that does not become empty in that time is stuck: the other
 * side has stopped reading (a terminal nobody looks at, a full pipe behind an emulator's port).
 * Characters are dropped while it is stuck, at one look each, and go out again as soon as it takes
 * them; receiving does not stop. Without a UART the ports read as all ones.
 *
 * Read next: xen/console.c.
 */
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/irq.h>

enum {
    THR = 0,
    RBR = 0,
    DLL = 0,
    IER = 1,
    DLM = 1,
    IIR = 2,
    FCR = 2,
    LCR = 3,
    MCR = 4,
    LSR = 5,
    SCR = 7
};

#define IER_RECEIVED 0x01
#define FCR_ENABLE_AND_CLEAR \
    0xc7 /* FIFO on, both emptied, interrupt at 14 bytes or after a pause */
#define IIR_FIFO 0xc0
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define MCR_DTR_RTS_OUT2 0x0b
#define LSR_READY 0x01
#define LSR_EMPTY 0x20
#define LSR_NO_UART 0xff /* what a port without a device reads as */
#define FIFO_SIZE 16

/*
 * A character takes 33 ms at 300 baud, 16 of them half a second; reading a port takes a microsecond
 * or less.
 */
#define SEND_POLLS 1000000

/* Guarded by console_lock. */
static uint16_t base;      /* 0: no UART */
static unsigned fifo_size; /* characters that fit once the transmitter is empty */
static unsigned fifo_room;
static bool stuck; /* the last wait for the transmitter was in vain */

/*
 * Program the UART at `port` for `baud`, 8 data bits, no parity. A missing UART is found out and
 * left alone.
 */
void serial_init(uint16_t port, uint32_t baud)
{
    uint32_t divisor = baud ? 115200 / baud : 1;

    outb(port + SCR, 0x5a);
    if (inb(port + SCR) != 0x5a)
        return;
    divisor = MAX(divisor, 1u);
    outb(port + IER, 0);
    outb(port + LCR, LCR_DLAB | LCR_8N1);
    outb(port + DLL, divisor & 0xff);
    outb(port + DLM, divisor >> 8 & 0xff);
    outb(port + LCR, LCR_8N1);
    outb(port + FCR, FCR_ENABLE_AND_CLEAR);
    fifo_size = (inb(port + IIR) & IIR_FIFO) == IIR_FIFO ? FIFO_SIZE : 1;
    fifo_room = 0;
    outb(port + MCR, MCR_DTR_RTS_OUT2);
    base = port;
}

/*
 * Wait until the transmitter is empty, and note whether it is stuck. A stuck one is looked at once:
 * waiting again for each character would hold a CPU, and console_lock with it, for as long as
 * anything is printed.
 */
static void wait_for_room(void)
{
    unsigned polls = stuck ? 1 : SEND_POLLS;

    while (polls && !(inb(base + LSR) & LSR_EMPTY))
        polls--;
    stuck = polls == 0;
    if (!stuck)
        fifo_room = fifo_size;
}

/* Send one character; waits until the UART takes it. Dropped while the UART is stuck. */
void serial_putc(char c)
{
    if (!base)
        return;
    if (!fifo_room)
        wait_for_room();
    if (!fifo_room)
        return;
    fifo_room--;
    outb(base + THR, c);
}

/*
 * The next character received, or -1. A UART that has disappeared gives nothing, not an endless
 * stream of 0xff.
 */
int serial_getc(void)
{
    uint8_t status = base ? inb(base + LSR) : 0;

    if (!(status & LSR_READY) || status == LSR_NO_UART)
        return -1;
    return inb(base + RBR);
}

/*
 * Ask for an interrupt when something is received. The PC's ports at x2F8 and x2E8 use IRQ 3, the
 * others IRQ 4.
 */
void serial_irq_enable(void)
{
    if (!base)
        return;
    irq_register(base == 0x2f8 || base == 0x2e8 ? 3 : 4, console_input_interrupt);
    outb(base + IER, IER_RECEIVED);
}
