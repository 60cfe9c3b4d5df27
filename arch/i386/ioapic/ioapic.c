/* SPDX-License-Identifier: MIT */
/*
 * ioapic.c: the IO-APICs, which take the devices' interrupt lines of newer PCs and send each as a
 * vector of its own to a processor's local APIC.
 *
 * Each input ("pin") has a 64-bit redirection entry: the vector, how the line is wired (edge or
 * level, active high or low), a mask bit, and the local APIC it goes to: always the boot CPU's here.
 * Registers are reached through two words of memory: write a number to the first, then the second
 * is that register. Intel 82093AA data sheet, 3.0.
 *
 * How many there are, where, and how the ISA bus's sixteen IRQs are wired to them, the firmware
 * tells: in ACPI's MADT, or, before ACPI, in the MultiProcessor configuration table. Lines are
 * counted through all IO-APICs; the MADT gives each one's first line, the MP table counts them in
 * its own order. ISA lines are edge-triggered and active high, PCI lines level-triggered and active
 * low, unless the tables say otherwise. A line has one mode, whoever shares it.
 *
 * References: ACPI 6.3, 5.2.12 (MADT); Intel MultiProcessor Specification 1.4, chapter 4.
 *
 * Read next: arch/i386/irq.c (who gets a line's interrupts), acpi.c (finding tables).
 */
#include <ringlet/acpi.h>
#include <ringlet/apic.h>
#include <ringlet/arch.h>
#include <ringlet/hypercall.h>
#include <ringlet/irq.h>
#include <ringlet/mm.h>
#include <ringlet/percpu.h>

#define MAX_IOAPICS 8
#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define IOAPIC_VERSION 0x01
#define IOAPIC_ENTRY(pin) (0x10 + 2 * (pin))
#define ENTRY_LOW 0x02000u /* active low */
#define ENTRY_LEVEL 0x08000u
#define ENTRY_MASKED 0x10000u

/* MADT. */
#define MADT_IOAPIC 1
#define MADT_OVERRIDE 2
/* MP table: the processor's entry has 20 bytes, all others have 8. */
#define MP_HEADER_SIZE 44
#define MP_PROCESSOR 0
#define MP_BUS 1
#define MP_IOAPIC 2
#define MP_INTERRUPT 3
#define MP_TYPE_INT 0
#define MP_IMCR 0x80 /* second feature byte: PICs and APIC share the processor's pin by a switch */

/* The same in both tables: bits 0-1 polarity, 2-3 trigger; 0 is the bus's custom. */
#define FLAGS_POLARITY(f) ((f)&3)
#define FLAGS_TRIGGER(f) ((f) >> 2 & 3)
#define FLAG_ACTIVE_LOW 3
#define FLAG_LEVEL 3

/* Boot constants, but for the entries' modes (irq_lock). */
static struct ioapic {
    uint32_t address; /* physical */
    uint8_t id;
    unsigned first_line, pins;
} ioapics[MAX_IOAPICS];
static struct irq_controller ioapic_controller;
static unsigned nr_ioapics;
static unsigned isa_lines[NR_ISA_IRQS];
static uint32_t entries[NR_LINES]; /* low words of the redirection entries */
static uint64_t pci_buses[4];      /* MP table: which bus numbers are PCI buses */

/* ---- Registers ------------------------------------------------------------------------------- */

/* IO-APIC i has the fixed page behind the local APIC's; it may begin anywhere in it. */
static volatile uint32_t *registers(unsigned i, unsigned reg)
{
    return (volatile uint32_t *)(FIXMAP_START + (1 + i) * PAGE_SIZE +
                                 (ioapics[i].address & (PAGE_SIZE - 1)) + reg);
}

static uint32_t read_register(unsigned i, unsigned reg)
{
    *registers(i, REG_SELECT) = reg;
    return *registers(i, REG_WINDOW);
}

static void write_register(unsigned i, unsigned reg, uint32_t value)
{
    *registers(i, REG_SELECT) = reg;
    *registers(i, REG_WINDOW) = value;
}

/* The IO-APIC with this line, or nr_ioapics. */
static unsigned ioapic_of(unsigned line)
{
    unsigned i = 0;

    while (i < nr_ioapics && line - ioapics[i].first_line >= ioapics[i].pins)
        i++;
    return i;
}

/* Write the low word of a line's entry as entries[] has it. Lines in a gap have no entry. */
static void write_entry(unsigned line)
{
    unsigned i = ioapic_of(line);

    if (i < nr_ioapics)
        write_register(i, IOAPIC_ENTRY(line - ioapics[i].first_line), entries[line]);
}

/* ---- What the tables say --------------------------------------------------------------------- */

static bool add_ioapic(uint32_t address, uint8_t id, uint32_t first_line)
{
    struct ioapic *a = &ioapics[nr_ioapics];

    if (nr_ioapics == MAX_IOAPICS || !address || first_line >= NR_LINES)
        return false;
    *a = (struct ioapic){.address = address, .id = id, .first_line = first_line};
    paging_map_fixed(FIXMAP_START + (1 + nr_ioapics) * PAGE_SIZE, address & ~(PAGE_SIZE - 1),
                     PTE_PCD);
    keep_device(address >> PAGE_SHIFT);
    a->pins = (read_register(nr_ioapics, IOAPIC_VERSION) >> 16 & 0xff) + 1;
    a->pins = MIN(a->pins, NR_LINES - first_line);
    ioapic_controller.lines = MAX(ioapic_controller.lines, first_line + a->pins);
    nr_ioapics++;
    return true;
}

/* A line's wiring, by the tables' flags; where they leave it to the bus, as ISA or PCI have it. */
static void set_wiring(unsigned line, unsigned flags, bool pci)
{
    bool low = FLAGS_POLARITY(flags) ? FLAGS_POLARITY(flags) == FLAG_ACTIVE_LOW : pci;
    bool level = FLAGS_TRIGGER(flags) ? FLAGS_TRIGGER(flags) == FLAG_LEVEL : pci;

    if (line < NR_LINES)
        ioapic_controller.set_mode(line, level, low);
}

/* Before the tables are read: IRQ n is line n, the ISA bus's sixteen lines are as ISA has them. */
static void set_customs(void)
{
    for (unsigned line = 0; line < NR_LINES; line++) {
        entries[line] = ENTRY_MASKED | (LINE_VECTOR_BASE + line);
        set_wiring(line, 0, line >= NR_ISA_IRQS);
    }
    for (unsigned irq = 0; irq < NR_ISA_IRQS; irq++)
        isa_lines[irq] = irq;
}

static void madt_entry(const uint8_t *e)
{
    uint32_t word1, word2;

    memcpy(&word1, e + 4, 4);
    memcpy(&word2, e + 8, 4);
    if (e[0] == MADT_IOAPIC && e[1] >= 12) {
        add_ioapic(word1, e[2], word2);
    } else if (e[0] == MADT_OVERRIDE && e[1] >= 10 && e[3] < NR_ISA_IRQS && word1 < NR_LINES) {
        isa_lines[e[3]] = word1;
        set_wiring(word1, word2 & 0xffff, false);
    }
}

static bool read_madt(void)
{
    acpi_for_each_madt_entry(madt_entry);
    return nr_ioapics > 0;
}

static void mp_interrupt(const uint8_t *e)
{
    uint8_t bus = e[4], irq = e[5];
    bool pci = pci_buses[bus / 64] >> (bus % 64) & 1;

    for (unsigned i = 0; i < nr_ioapics; i++) {
        unsigned line = ioapics[i].first_line + e[7];

        if (ioapics[i].id != e[6] || e[7] >= ioapics[i].pins || e[1] != MP_TYPE_INT)
            continue;
        set_wiring(line, e[2], pci);
        if (!pci && irq < NR_ISA_IRQS)
            isa_lines[irq] = line;
    }
}

/* Buses come before IO-APICs, and these before interrupts: the specification demands that order. */
static void mp_entry(const uint8_t *e)
{
    uint32_t address;

    memcpy(&address, e + 4, 4);
    if (e[0] == MP_BUS && !memcmp(e + 2, "PCI", 3))
        pci_buses[e[1] / 64] |= 1ull << (e[1] % 64);
    else if (e[0] == MP_IOAPIC && (e[3] & 1))
        add_ioapic(address, e[1], ioapic_controller.lines);
    else if (e[0] == MP_INTERRUPT)
        mp_interrupt(e);
}

static bool read_mp_table(void)
{
    uint32_t pointer = find_in_bios("_MP_", 4, 16), table, length, at;
    uint8_t e[8];
    char signature[4];

    table = pointer ? read_physical_u32(pointer + 4) : 0;
    if (!table)
        return false;
    read_physical(signature, table, 4);
    length = read_physical_u32(table + 4) & 0xffff;
    if (memcmp(signature, "PCMP", 4) || length < MP_HEADER_SIZE ||
        !physical_checksum_ok(table, length))
        return false;
    for (at = MP_HEADER_SIZE; at + 8 <= length; at += e[0] == MP_PROCESSOR ? 20 : 8) {
        read_physical(e, table + at, sizeof(e));
        mp_entry(e);
    }
    if (nr_ioapics && (read_physical_u32(pointer + 12) & MP_IMCR)) {
        outb(0x22, 0x70); /* throw the switch: interrupts come through the APIC */
        outb(0x23, 0x01);
    }
    return nr_ioapics > 0;
}

/*
 * Find the IO-APICs and mask all their lines. The boot CPU's local APIC is on. Boot only.
 */
static bool ioapic_init(void)
{
    set_customs();
    if (!read_madt() && !read_mp_table())
        return false;
    for (unsigned i = 0; i < nr_ioapics; i++) {
        for (unsigned pin = 0; pin < ioapics[i].pins; pin++) {
            write_entry(ioapics[i].first_line + pin);
            write_register(i, IOAPIC_ENTRY(pin) + 1, this_cpu->apic_id << 24);
        }
        log_message(LOG_INFO, "IO-APIC %u at %08x: lines %u to %u\n", i, ioapics[i].address,
                    ioapics[i].first_line, ioapics[i].first_line + ioapics[i].pins - 1);
    }
    return true;
}

/* ---- As irq.c sees it ------------------------------------------------------------------------ */

static void mask(unsigned line)
{
    entries[line] |= ENTRY_MASKED;
    write_entry(line);
}

static void unmask(unsigned line)
{
    entries[line] &= ~ENTRY_MASKED;
    write_entry(line);
}

static bool pending(unsigned line)
{
    (void)line;
    return true;
}

static void ack(unsigned line)
{
    (void)line;
    apic_eoi();
}

static void set_mode(unsigned line, bool level, bool active_low)
{
    entries[line] &= ~(ENTRY_LEVEL | ENTRY_LOW);
    entries[line] |= (level ? ENTRY_LEVEL : 0) | (active_low ? ENTRY_LOW : 0);
    write_entry(line);
}

static bool is_level(unsigned line)
{
    return entries[line] & ENTRY_LEVEL;
}

static unsigned line_of_isa(unsigned irq)
{
    return isa_lines[irq];
}

/* ---- As the initial domain sees it ----------------------------------------------------------- */

static int find_ioapic(uint32_t address)
{
    for (unsigned i = 0; i < nr_ioapics; i++)
        if (ioapics[i].address == address)
            return (int)i;
    return -EINVAL;
}

/* The register of the IO-APIC at this physical address; -EINVAL: there is none. irq_lock is held. */
static int ioapic_read(uint32_t address, uint32_t reg, uint32_t *value)
{
    int i = find_ioapic(address);

    if (i < 0 || reg >= IOAPIC_ENTRY(ioapics[i].pins))
        return -EINVAL;
    *value = read_register((unsigned)i, reg);
    return 0;
}

/* The line of a pin; -EINVAL: there is none. */
static int ioapic_line(uint32_t address, uint32_t pin)
{
    int i = find_ioapic(address);

    if (i < 0 || pin >= ioapics[i].pins)
        return -EINVAL;
    return (int)(ioapics[i].first_line + pin);
}

/* `lines` is counted up while the tables are read. Line 0 is where the PICs' output is wired. */
static struct irq_controller ioapic_controller = {
    .name = "IO-APIC",
    .vector_base = LINE_VECTOR_BASE,
    .reserved = 1u << 0,
    .mask = mask,
    .unmask = unmask,
    .pending = pending,
    .ack = ack,
    .set_mode = set_mode,
    .is_level = is_level,
    .line_of_isa = line_of_isa,
    .init = ioapic_init,
    .read_register = ioapic_read,
    .line_of_pin = ioapic_line,
};
IRQ_CONTROLLER(ioapic_controller);
