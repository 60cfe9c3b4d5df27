/* SPDX-License-Identifier: MIT */
/*
 * Irqs: the machine's interrupts, from the initial domain's side.
 *
 * The interrupt controllers are the hypervisor's; a kernel asks for a line by map_pirq, says how it
 * is wired by setup_gsi, and binds it to an event channel. Two devices that every PC emulator has
 * make the interrupts here: the clock chip's periodic one, an edge; and the drive with the CD,
 * which holds its line from the end of a command until its status is read, a level. What is shown:
 *
 *  - each edge becomes an event, also while the one before is being served
 *  - a level is one event, and no more until PHYSDEVOP_eoi; one that is still there then is another
 *  - a closed port's line is silent, and the next to bind it hears it again
 *  - the page of pirq_eoi_gmfn tells levels from edges; wrong numbers get the errors they should
 *  - a kernel from before these operations (NetBSD's) chooses numbers of its own, writes them into
 *    the IO-APIC's entries, and ends interrupts by opening their ports and saying so
 *  - the controllers' own registers can be neither mapped nor reached through ports; the mask
 *    registers of the PICs, which kernels look for, are a shadow
 *  - started as another domain, by the control domain: no line, no port
 *  - with "devices" in the command line: a disk is read and written, bytes go out and come in by a
 *    serial port, all by interrupts
 *  - and with "given" in its command line, one that has been given the clock chip, the drive and
 *    the screen: they work as for the initial domain, and nothing else does
 *
 * Run: qemu qemu-iso bochs
 */
#include <stdio.h>
#include <string.h>

#include <xen/event_channel.h>
#include <xen/physdev.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/ports.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>

#define RTC_LINE 8
#define UART_LINE 4
#define IDENTIFY_PACKET 0xa1
#define STATUS_BUSY 0x80
#define STATUS_DATA 0x08

/* --- the hypercalls --------------------------------------------------------------------------- */

static long map_pirq(domid_t domid, int type, int line, int *pirq)
{
    struct physdev_map_pirq op = {.domid = domid, .type = type, .index = line, .pirq = *pirq};
    long rc = hv_physdev_op(PHYSDEVOP_map_pirq, &op);

    *pirq = op.pirq;
    return rc;
}

static long map_line(int line, int pirq)
{
    return map_pirq(DOMID_SELF, MAP_PIRQ_TYPE_GSI, line, &pirq);
}

static long unmap_pirq(int pirq)
{
    struct physdev_unmap_pirq op = {.domid = DOMID_SELF, .pirq = pirq};

    return hv_physdev_op(PHYSDEVOP_unmap_pirq, &op);
}

static long setup_gsi(int line, bool level, bool low)
{
    struct physdev_setup_gsi op = {.gsi = line, .triggering = level, .polarity = low};

    return hv_physdev_op(PHYSDEVOP_setup_gsi, &op);
}

static long eoi(uint32_t pirq)
{
    struct physdev_eoi op = {.irq = pirq};

    return hv_physdev_op(PHYSDEVOP_eoi, &op);
}

static long query(uint32_t pirq, uint32_t *flags)
{
    struct physdev_irq_status_query op = {.irq = pirq};
    long rc = hv_physdev_op(PHYSDEVOP_irq_status_query, &op);

    *flags = op.flags;
    return rc;
}

static long eoi_page(uint32_t mfn)
{
    struct physdev_pirq_eoi_gmfn op = {.gmfn = mfn};

    return hv_physdev_op(PHYSDEVOP_pirq_eoi_gmfn_v2, &op);
}

static long read_ioapic(uint32_t address, uint32_t reg, uint32_t *value)
{
    struct physdev_apic op = {.apic_physbase = address, .reg = reg};
    long rc = hv_physdev_op(PHYSDEVOP_apic_read, &op);

    *value = op.value;
    return rc;
}

static long bind(uint32_t pirq, event_handler handler)
{
    struct evtchn_bind_pirq op = {.pirq = pirq, .flags = BIND_PIRQ__WILL_SHARE};
    long rc = hv_event_channel_op(EVTCHNOP_bind_pirq, &op);

    if (rc)
        return rc;
    event_attach(op.port, handler, NULL);
    return (long)op.port;
}

/* --- the clock chip --------------------------------------------------------------------------- */

static volatile unsigned int ticks;

static uint8_t rtc_read(uint8_t reg)
{
    outb(0x70, reg);
    return inb(0x71);
}

static void rtc_write(uint8_t reg, uint8_t value)
{
    outb(0x70, reg);
    outb(0x71, value);
}

/* 1024 interrupts a second, or none. */
static void rtc_periodic(bool on)
{
    rtc_write(0x0a, (rtc_read(0x0a) & 0xf0) | 6);
    rtc_write(0x0b, (rtc_read(0x0b) & 0x8f) | (on ? 0x40 : 0));
    rtc_read(0x0c);
}

/* Register C lets the line go: an edge is possible again. */
static void tick(evtchn_t port, void *data)
{
    (void)port;
    (void)data;
    ticks++;
    rtc_read(0x0c);
    eoi(RTC_LINE);
}

static bool wait_for_ticks(unsigned int n)
{
    uint64_t end = time_now() + 5 * NS_PER_SEC;

    while (ticks < n && time_now() < end)
        sleep_ms(1);
    return ticks >= n;
}

static void test_edges(void)
{
    unsigned int before;
    long port;

    tap_is(map_line(RTC_LINE, RTC_LINE), 0, "map the clock chip's line");
    tap_is(map_line(RTC_LINE, RTC_LINE), 0, "map it again");
    port = bind(RTC_LINE, tick);
    tap_ok(port > 0, "bind it");
    tap_is(bind(RTC_LINE, tick), -XEN_EEXIST, "bind it again");
    tap_is(setup_gsi(RTC_LINE, true, true), -XEN_EEXIST, "change the wiring of a line in use");
    rtc_periodic(true);
    tap_ok(wait_for_ticks(20), "twenty ticks");
    tap_is(event_close((evtchn_t)port), 0, "close the port");
    before = ticks;
    sleep_ms(20);
    tap_is(ticks, before, "no more of them");
    rtc_read(0x0c);
    tap_ok(bind(RTC_LINE, tick) > 0, "bind it anew");
    tap_ok(wait_for_ticks(before + 5), "more ticks");
    rtc_periodic(false);
}

/* --- the drive -------------------------------------------------------------------------------- */

static struct {
    unsigned int base, line;
    volatile unsigned int events;
} drive;

static void wait_ready(unsigned int base)
{
    for (unsigned int i = 0; i < 100000 && (inb(base + 0x206) & STATUS_BUSY); i++)
        ;
}

/* Have the drive fill its buffer, after which it raises its line. False: there is no drive. */
static bool identify(unsigned int base)
{
    outb(base + 6, 0xa0);
    outb(base + 0x206, 0);
    wait_ready(base);
    outb(base + 7, IDENTIFY_PACKET);
    for (unsigned int i = 0; i < 10000; i++) {
        uint8_t status = inb(base + 0x206); /* leaves the line as it is */

        if (status == 0xff || status == 0)
            return false;
        if (!(status & STATUS_BUSY))
            return status & STATUS_DATA;
    }
    return false;
}

/* Reading the status lets the line go. */
static void satisfy_drive(void)
{
    for (unsigned int i = 0; i < 256; i++)
        inw(drive.base);
    inb(drive.base + 7);
}

static bool find_drive(void)
{
    static const struct {
        unsigned int base, line;
    } channels[] = {{0x1f0, 14}, {0x170, 15}};

    for (unsigned int i = 0; i < 2; i++) {
        if (identify(channels[i].base)) {
            drive.base = channels[i].base;
            drive.line = channels[i].line;
            satisfy_drive();
            return true;
        }
    }
    return false;
}

static void drive_event(evtchn_t port, void *data)
{
    (void)port;
    (void)data;
    drive.events++;
}

static unsigned int drive_events(void)
{
    unsigned int n;

    sleep_ms(5);
    n = drive.events;
    drive.events = 0;
    return n;
}

static void test_levels(void)
{
    uint32_t *page = page_alloc();
    long port;

    if (!find_drive()) {
        tap_skip("no drive answers", "levels");
        return;
    }
    tap_diag("drive at port %x, line %u", drive.base, drive.line);
    map_line((int)drive.line, (int)drive.line);
    tap_is(setup_gsi((int)drive.line, true, false), 0, "make its line a level");
    tap_is(eoi_page(linear_to_mfn(page)), 0, "name a page for the bits of PIRQs that need an EOI");
    tap_is(eoi_page(linear_to_mfn(page)), -XEN_EBUSY, "name it again");
    port = bind(drive.line, drive_event);
    tap_ok(port > 0, "bind it");
    tap_ok(page[0] >> drive.line & 1, "the level's bit is set");
    tap_ok(!(page[0] >> RTC_LINE & 1), "the edge's is not");

    identify(drive.base);
    tap_is(drive_events(), 1, "a level, one event");
    tap_is(drive_events(), 0, "and no more while it is not ended");
    tap_is(eoi(drive.line), 0, "end it, the level still there");
    tap_is(drive_events(), 1, "it comes again");
    satisfy_drive();
    tap_is(eoi(drive.line), 0, "end it, the drive satisfied");
    tap_is(drive_events(), 0, "silence");

    identify(drive.base);
    tap_is(event_close((evtchn_t)port), 0, "close the port with a level there");
    satisfy_drive();
    drive_events();
    tap_is(eoi(drive.line), 0, "end nothing");
    tap_ok(bind(drive.line, drive_event) > 0, "bind it anew");
    tap_is(drive_events(), 0, "nothing left over");
    identify(drive.base);
    tap_is(drive_events(), 1, "and the next is heard");
    satisfy_drive();
    tap_is(eoi(drive.line), 0, "end it");
    tap_is(unmap_pirq((int)drive.line), 0, "unmap a bound line");
    identify(drive.base);
    tap_is(drive_events(), 0, "it is silent");
    satisfy_drive();
    tap_is(bind(drive.line, drive_event), -XEN_EPERM, "what is not mapped cannot be bound");
}

#define OLD_NUMBER 200
#define ENTRY_LEVEL 0x8000u

/* A command that has no argument, or whose argument stands in `op`. */
static long old_physdev_op(uint32_t cmd, struct physdev_op *op)
{
    op->cmd = cmd;
    return hypercall(__HYPERVISOR_physdev_op_compat, HV_ARG(op), 0, 0, 0, 0);
}

static long write_entry(unsigned int line, uint32_t value)
{
    struct physdev_op op = {
        .u.apic_op = {.apic_physbase = 0xfec00000, .reg = 0x10 + 2 * line, .value = value}};

    return old_physdev_op(PHYSDEVOP_apic_write, &op);
}

/* The drive's line is not mapped when this begins. */
static void test_old_kernels(void)
{
    struct physdev_op op = {.u.irq_op.irq = OLD_NUMBER};
    uint32_t id;

    if (!drive.base || read_ioapic(0xfec00000, 0, &id)) {
        tap_skip("no drive, or no IO-APIC", "an old kernel's interrupts");
        return;
    }
    tap_is(old_physdev_op(PHYSDEVOP_alloc_irq_vector, &op), 0,
           "a vector for a number of one's own");
    tap_is((long)op.u.irq_op.vector, OLD_NUMBER, "which is that number");
    tap_is(write_entry(drive.line, ENTRY_LEVEL), 0, "an entry without a vector");
    tap_is(bind(OLD_NUMBER, NULL), -XEN_EPERM, "maps nothing");
    tap_is(write_entry(drive.line, ENTRY_LEVEL | OLD_NUMBER), 0, "one with the number");
    tap_is(write_entry(3, OLD_NUMBER), 0, "and another line's, which it is too late for");
    tap_ok(bind(OLD_NUMBER, drive_event) > 0, "bind the number");
    drive_events();
    identify(drive.base);
    tap_is(drive_events(), 1, "the drive is heard");
    tap_is(drive_events(), 0, "once");
    tap_is(old_physdev_op(PHYSDEVOP_IRQ_UNMASK_NOTIFY, &op), 0, "all open ports are done");
    tap_is(drive_events(), 1, "it comes again");
    satisfy_drive();
    tap_is(old_physdev_op(PHYSDEVOP_IRQ_UNMASK_NOTIFY, &op), 0, "done, the drive satisfied");
    tap_is(drive_events(), 0, "silence");
}

/* --- a disk and a serial port: "devices" ------------------------------------------------------- */

#define DISK 0x1f0
#define DISK_LINE 14
#define SECTOR 512
#define READ_SECTORS 0x20
#define WRITE_SECTORS 0x30
#define COM2 0x2f8
#define COM2_LINE 3

/* The disk's interrupts come one a sector, and so does each answer to them. */
static bool disk_interrupt(void)
{
    uint64_t end = time_now() + NS_PER_SEC;

    while (!drive.events && time_now() < end)
        sleep_ms(1);
    if (!drive.events)
        return false;
    drive.events--;
    return !(inb(DISK + 7) & STATUS_BUSY) && eoi(DISK_LINE) == 0;
}

static void disk_command(uint8_t command, uint32_t sector, uint8_t count)
{
    outb(DISK + 6, 0xe0 | (sector >> 24 & 0xf));
    outb(DISK + 2, count);
    outb(DISK + 3, sector);
    outb(DISK + 4, sector >> 8);
    outb(DISK + 5, sector >> 16);
    outb(DISK + 7, command);
}

static bool disk_read(uint32_t sector, uint16_t *to, unsigned int count)
{
    disk_command(READ_SECTORS, sector, count);
    for (; count; count--) {
        if (!disk_interrupt())
            return false;
        for (unsigned int i = 0; i < SECTOR / 2; i++)
            *to++ = inw(DISK);
    }
    return true;
}

/* The first sector is taken without an interrupt; one follows when it is on the disk. */
static bool disk_write(uint32_t sector, const uint16_t *from)
{
    disk_command(WRITE_SECTORS, sector, 1);
    for (unsigned int i = 0; i < 100000 && !(inb(DISK + 0x206) & STATUS_DATA); i++)
        ;
    for (unsigned int i = 0; i < SECTOR / 2; i++)
        outw(DISK, from[i]);
    return disk_interrupt();
}

static void test_disk(void)
{
    static uint16_t written[SECTOR / 2], read[8 * SECTOR / 2];

    tap_ok(bind(DISK_LINE, drive_event) > 0, "bind the disk's line");
    outb(DISK + 0x206, 0);
    tap_ok(disk_read(0, read, 8), "read eight sectors, an interrupt for each");
    tap_ok(memcmp(read + 7 * SECTOR / 2, "Ringlet's disk", 14) == 0,
           "the last is what it should be");
    for (unsigned int i = 0; i < SECTOR / 2; i++)
        written[i] = 0x1234 + 77 * i;
    tap_ok(disk_write(3, written), "write one");
    tap_ok(disk_read(3, read, 1) && memcmp(read, written, SECTOR) == 0, "and read it back");
    tap_is(drive.events, 0, "no interrupt too many");
}

static struct {
    const char *to_send;
    char received[64];
    volatile unsigned int n;
} serial;

/* Both directions: a byte has come, or there is room for one. Ends when the chip wants nothing. */
static void serial_event(evtchn_t port, void *data)
{
    (void)port;
    (void)data;
    while (!(inb(COM2 + 2) & 1)) {
        if (inb(COM2 + 5) & 1)
            serial.received[serial.n++ % sizeof(serial.received)] = inb(COM2);
        else if (*serial.to_send)
            outb(COM2, *serial.to_send++);
        else
            outb(COM2 + 1, 1);
    }
    eoi(COM2_LINE);
}

/* The chip's loop sends to itself what is sent: every byte takes two interrupts. */
static void test_serial(void)
{
    static const char text[] = "sent through the loop of COM2, one byte after the other";
    uint64_t end = time_now() + 5 * NS_PER_SEC;

    serial.to_send = text;
    tap_is(map_line(COM2_LINE, COM2_LINE), 0, "map the second serial port's line");
    tap_ok(bind(COM2_LINE, serial_event) > 0, "bind it");
    outb(COM2 + 4, 0x18); /* loop, and OUT2, which lets interrupts out */
    outb(COM2 + 1, 3);
    while (serial.n < sizeof(text) - 1 && time_now() < end)
        sleep_ms(1);
    tap_ok(serial.n == sizeof(text) - 1 && memcmp(serial.received, text, serial.n) == 0,
           "%u bytes went around", serial.n);
}

/* --- wrong and forbidden ---------------------------------------------------------------------- */

static void test_errors(void)
{
    struct physdev_dbgp_op usb = {.op = PHYSDEVOP_DBGP_RESET_DONE};
    uint32_t flags;
    int pirq = -1;

    tap_is(map_line(1000, 1000), -XEN_EINVAL, "map no line");
    tap_is(map_line(-1, 3), -XEN_EINVAL, "map a negative line");
    tap_is(map_line(3, 100000), -XEN_EINVAL, "map to no number");
    tap_is(map_line(3, 3), 0, "map a line");
    tap_is(map_line(3, 5), -XEN_EEXIST, "map it to another number");
    tap_is(map_pirq(DOMID_SELF, MAP_PIRQ_TYPE_GSI, 3, &pirq), 0, "map it to any");
    tap_is(pirq, 3, "which is its own");
    tap_is(map_pirq(1234, MAP_PIRQ_TYPE_GSI, 3, &pirq), -XEN_ESRCH, "map for no domain");
    tap_is(map_pirq(DOMID_SELF, 77, 3, &pirq), -XEN_EINVAL, "map an unknown kind");
    tap_is(unmap_pirq(200), -XEN_EINVAL, "unmap what is not mapped");
    tap_is(unmap_pirq(-1), -XEN_EINVAL, "unmap a negative number");
    tap_is(eoi(100000), -XEN_EINVAL, "end no PIRQ");
    tap_is(query(100000, &flags), -XEN_EINVAL, "ask for no PIRQ");
    tap_is(query(RTC_LINE, &flags), 0, "ask for the clock chip's");
    tap_is(setup_gsi(1000, true, true), -XEN_EINVAL, "wire no line");
    tap_is(eoi_page(~0u), -XEN_EINVAL, "a page nobody has");
    tap_is(bind(UART_LINE, NULL), -XEN_EBUSY, "bind the line of the hypervisor's console");
    tap_is(hv_physdev_op(PHYSDEVOP_dbgp_op, &usb), 0, "tell of a USB controller's reset");
    tap_is(hv_physdev_op(PHYSDEVOP_map_pirq, (void *)0xfffffff0), -XEN_EFAULT, "map from nowhere");
    tap_is(hv_physdev_op(PHYSDEVOP_eoi, (void *)0xfffffff0), -XEN_EFAULT, "end from nowhere");
}

static void test_controllers(void)
{
    uint32_t value, local_apic = 0xfee00, io_apic = 0xfec00;
    long rc = read_ioapic(0xfec00000, 1, &value);
    int error = 0;

    if (rc == 0) {
        tap_ok((value >> 16 & 0xff) >= 15, "the IO-APIC has 16 lines or more");
        tap_ok(!map_frames(DOMID_IO, &io_apic, 1, true, &error), "its registers cannot be mapped");
        tap_ok(!map_frames(DOMID_IO, &local_apic, 1, false, &error), "nor the local APIC's");
    } else {
        tap_is(rc, -XEN_EINVAL, "no IO-APIC");
    }
    tap_is(read_ioapic(0x12345000, 1, &value), -XEN_EINVAL, "no IO-APIC elsewhere");
    outb(0x21, 0xfb);
    outb(0xa1, 0x5a);
    tap_is(inb(0x21), 0xfb, "the first PIC's mask register reads as written");
    tap_is(inb(0xa1), 0x5a, "and the second's");
    outb(0x20, 0x20);
    tap_is(inb(0x20), 0xff, "there is nothing behind them");
    outb(0x21, 0);
    sleep_ms(2);
    tap_ok(true, "and the clock still runs");
}

static void test_pci(void)
{
    uint32_t id;

    __asm__ volatile("outl %0, %w1" : : "a"(0x80000000u), "d"(0xcf8));
    id = inl(0xcfc);
    tap_ok(id != 0xffffffff, "the PCI bus answers: host bridge %04x:%04x", id & 0xffff, id >> 16);
}

/* Whether a frame of the machine's device memory can be mapped; if so, it is read. */
static int map_device(uint32_t mfn)
{
    int error = 0;
    volatile uint16_t *p = map_frames(DOMID_IO, &mfn, 1, true, &error);

    if (!p)
        return error;
    (void)p[0];
    unmap_frames((void *)p, 1);
    return 0;
}

/* In a domain that is not the machine's. */
static void test_unprivileged(void)
{
    struct physdev_apic apic = {.apic_physbase = 0xfec00000, .reg = 0x20, .value = 0x10000};
    struct physdev_get_free_pirq free = {.type = MAP_PIRQ_TYPE_GSI};
    struct physdev_irq vector = {.irq = 14};
    struct physdev_pci_device_add pci = {.bus = 0};
    struct physdev_dbgp_op usb = {.op = PHYSDEVOP_DBGP_RESET_DONE};
    uint32_t value;
    int pirq = 14;

    tap_is(map_line(14, 14), -XEN_EPERM, "map a line");
    tap_is(map_pirq(0, MAP_PIRQ_TYPE_GSI, 14, &pirq), -XEN_EPERM, "map one for the initial domain");
    tap_is(unmap_pirq(14), -XEN_EPERM, "unmap one");
    tap_is(setup_gsi(14, true, true), -XEN_EPERM, "wire one");
    tap_is(bind(14, NULL), -XEN_EPERM, "bind one");
    tap_is(eoi(14), -XEN_EINVAL, "end one");
    tap_is(read_ioapic(0xfec00000, 1, &value), -XEN_EPERM, "read the IO-APIC");
    tap_is(hv_physdev_op(PHYSDEVOP_apic_write, &apic), -XEN_EPERM, "write it");
    tap_is(hv_physdev_op(PHYSDEVOP_get_free_pirq, &free), -XEN_EPERM, "ask for a free number");
    tap_is(hv_physdev_op(PHYSDEVOP_alloc_irq_vector, &vector), -XEN_EPERM, "ask for a vector");
    tap_is(hv_physdev_op(PHYSDEVOP_pci_device_add, &pci), -XEN_EPERM, "tell of a device");
    tap_is(hv_physdev_op(PHYSDEVOP_dbgp_op, &usb), -XEN_EPERM, "tell of a reset");
    tap_is(map_device(0xb8), -XEN_EPERM, "map the screen");
    outb(0x21, 0);
    tap_is(inb(0x21), 0xff, "no PIC");
    tap_is(inb(0x71), 0xff, "no clock chip");
    tap_is(inb(0x1f7), 0xff, "no drive");
    __asm__ volatile("outl %0, %w1" : : "a"(0x80000000u), "d"(0xcf8));
    tap_is((long)inl(0xcfc), -1, "no PCI bus");
}

/* In a domain that was given the clock chip (ports and line), the drives, and frame 0xb8. */
static void test_given(void)
{
    long port;

    tap_is(map_device(0xb8), 0, "map the screen");
    tap_is(map_device(0xb9), -XEN_EPERM, "map the frame behind");
    tap_is(map_line(RTC_LINE, RTC_LINE), -XEN_EPERM, "map a line: the control domain's affair");
    tap_is(bind(UART_LINE, NULL), -XEN_EPERM, "bind a line that was not given");
    tap_is(inb(0x60), 0xff, "a port that was not given");
    port = bind(RTC_LINE, tick);
    tap_ok(port > 0, "bind the clock chip's line");
    rtc_periodic(true);
    tap_ok(wait_for_ticks(20), "twenty ticks");
    rtc_periodic(false);
    tap_is(event_close((evtchn_t)port), 0, "close the port");
    tap_ok(find_drive(), "a drive answers");
    tap_ok(bind(drive.line, drive_event) > 0, "bind its line");
    drive_events();
    identify(drive.base);
    tap_ok(drive_events() > 0, "its interrupt comes");
    satisfy_drive();
    tap_is(eoi(drive.line), 0, "end it");
}

int main(int argc, char **argv)
{
    struct physdev_set_iopl iopl = {.iopl = 1};

    hv_physdev_op(PHYSDEVOP_set_iopl, &iopl);
    if (argc > 1 && strcmp(argv[1], "given") == 0) {
        test_given();
    } else if (argc > 1 && strcmp(argv[1], "devices") == 0) {
        test_disk();
        test_serial();
    } else if (is_initial_domain()) {
        test_errors();
        test_controllers();
        test_pci();
        test_edges();
        test_levels();
        test_old_kernels();
    } else {
        test_unprivileged();
    }
    tap_done();
}
