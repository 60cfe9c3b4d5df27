/* SPDX-License-Identifier: MIT */
/*
 * reboot.c: how a PC is started again, and how it is switched off.
 *
 * Reset has three ways that grew with the PC: the keyboard controller's pin (command 0xFE to port
 * 0x64), the chipset's reset control register (port 0xCF9), and a triple fault, which no processor
 * survives. Power off has one, ACPI's: find the root pointer in low memory, from there the FADT,
 * which names the port PM1a_CNT, and the DSDT, whose object \_S5_ names the value to write there.
 * The DSDT is a program for an interpreter we do not have; but \_S5_ is a constant package, which
 * can be read off its bytes. The firmware's tables are checked like a guest's: every length is
 * compared before it is used.
 *
 * Emulators without ACPI tables have ports of their own, tried last.
 *
 * References: ACPI 6.3, 5.2.5 (RSDP), 5.2.7 (RSDT), 5.2.9 (FADT), 4.8.3.2 (PM1 control), 20.2 (AML
 * encoding).
 */
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/page.h>

#define SCI_EN 0x0001u /* PM1 control: the chipset is in ACPI mode */
#define SLP_EN 0x2000u /* PM1 control: go to the sleep state named by SLP_TYP */
#define SLP_TYP_SHIFT 10
#define MAX_TABLE (1u << 20) /* longer tables are taken for damaged */
#define WAIT_POLLS 1000000

struct table_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[18];
    uint32_t creator, creator_revision;
} __packed;
_Static_assert(sizeof(struct table_header) == 36, "ACPI 6.3, table 5-29");

void machine_halt(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* Wait until the keyboard controller takes a command (bit 1 of its status: input buffer full). */
static void wait_keyboard_controller(void)
{
    for (unsigned i = 0; i < WAIT_POLLS && (inb(0x64) & 2); i++)
        ;
}

/*
 * An empty IDT: the breakpoint cannot be delivered, nor the double fault that causes, and the
 * processor resets.
 */
static void triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint32_t base;
    } __packed no_idt = {0, 0};

    __asm__ volatile("lidt %0; int3" : : "m"(no_idt));
}

/*
 * A write to a port is answered within microseconds by a chipset, but QEMU ends a machine from
 * another thread, which may have to wait for its turn: let it happen.
 */
static void linger(void)
{
    for (unsigned i = 0; i < 300000; i++)
        inb(0x80);
}

/*
 * The chipset's hard reset comes first. The keyboard controller's resets only the processor, and
 * firmware that finds its MSRs locked already may fault (Bochs's does).
 */
void machine_reboot(void)
{
    local_irq_disable();
    outb(0xcf9, 0x02); /* hard reset chosen ... */
    outb(0xcf9, 0x06); /* ... and triggered by bit 2 rising */
    linger();
    wait_keyboard_controller();
    outb(0x64, 0xfe);
    linger();
    triple_fault();
    machine_halt();
}

/* Copy n bytes of physical memory, which need not be below the end of the direct map. */
static void read_physical(void *dst, maddr_t from, uint32_t n)
{
    char *d = dst;

    while (n) {
        uint32_t offset = from & (PAGE_SIZE - 1), part = MIN(n, PAGE_SIZE - offset);
        const char *page = map_frame(from >> PAGE_SHIFT);

        memcpy(d, page + offset, part);
        unmap_frame(page);
        d += part;
        from += part;
        n -= part;
    }
}

static uint32_t read_physical_u32(maddr_t from)
{
    uint32_t v;

    read_physical(&v, from, sizeof(v));
    return v;
}

static bool checksum_ok(maddr_t from, uint32_t n)
{
    uint8_t sum = 0, byte;

    while (n--) {
        read_physical(&byte, from++, 1);
        sum += byte;
    }
    return sum == 0;
}

/*
 * The physical address of the RSDT, found through the 20-byte root pointer on a 16-byte boundary;
 * 0: none.
 */
static uint32_t find_rsdt(uint32_t start, uint32_t end)
{
    char signature[8];

    for (uint32_t at = start & ~15u; at + 20 <= end; at += 16) {
        read_physical(signature, at, sizeof(signature));
        if (!memcmp(signature, "RSD PTR ", 8) && checksum_ok(at, 20))
            return read_physical_u32(at + 16);
    }
    return 0;
}

/* Is there a sound table with this signature? Fills in its length. */
static bool table_ok(uint32_t at, const char *signature, uint32_t *length)
{
    struct table_header h;

    read_physical(&h, at, sizeof(h));
    *length = h.length;
    return !memcmp(h.signature, signature, 4) && h.length >= sizeof(h) && h.length <= MAX_TABLE &&
           checksum_ok(at, h.length);
}

/* The FADT ("FACP") among the tables the RSDT lists, long enough to hold PM1b_CNT; 0: none. */
static uint32_t find_fadt(uint32_t rsdt)
{
    uint32_t length, fadt_length;

    if (!rsdt || !table_ok(rsdt, "RSDT", &length))
        return 0;
    for (uint32_t at = 36; at + 4 <= length; at += 4) {
        uint32_t table = read_physical_u32(rsdt + at);

        if (table_ok(table, "FACP", &fadt_length) && fadt_length >= 72)
            return table;
    }
    return 0;
}

/*
 * Look for the bytes of Name (\_S5_, Package () {...}) in a DSDT: '_S5_', PackageOp 0x12, the
 * package's length in one to four bytes (the top two bits of the first say how many follow), the
 * number of elements, then the first element: the value for PM1a's SLP_TYP, as a constant 0 or 1,
 * or behind BytePrefix 0x0A.
 */
static bool find_s5_type(uint32_t dsdt, unsigned *type)
{
    uint8_t b[12] = {0};
    uint32_t length;

    if (!table_ok(dsdt, "DSDT", &length))
        return false;
    for (uint32_t at = 36; at + 8 <= length; at++) {
        unsigned i;

        read_physical(b, dsdt + at, MIN(length - at, sizeof(b)));
        if (memcmp(b, "_S5_\x12", 5))
            continue;
        i = 5 + 1 + (b[5] >> 6) + 1; /* behind the length and the count */
        if (b[i] == 0x0a)
            i++;
        *type = b[i] & 7;
        return true;
    }
    return false;
}

/*
 * Many chipsets obey PM1 control only in ACPI mode, which the firmware enters when asked through a
 * port.
 */
static void enable_acpi_mode(uint32_t fadt, uint16_t pm1a)
{
    uint32_t smi_command = read_physical_u32(fadt + 48);
    uint8_t enable = read_physical_u32(fadt + 52) & 0xff;

    if ((inw(pm1a) & SCI_EN) || !smi_command || smi_command > 0xffff || !enable)
        return;
    outb((uint16_t)smi_command, enable);
    for (unsigned i = 0; i < WAIT_POLLS && !(inw(pm1a) & SCI_EN); i++)
        ;
}

static void acpi_power_off(void)
{
    uint32_t ebda = 0, rsdt, fadt, pm1a, pm1b;
    unsigned type;

    /*
     * The first KiB of the extended BIOS data area (its segment stands at 0x40E), then the BIOS
     * itself.
     */
    read_physical(&ebda, 0x40e, 2);
    ebda <<= 4;
    rsdt = ebda >= 0x80000 && ebda < 0xa0000 ? find_rsdt(ebda, ebda + 1024) : 0;
    if (!rsdt)
        rsdt = find_rsdt(0xe0000, 0x100000);
    fadt = find_fadt(rsdt);
    if (!fadt)
        return;
    pm1a = read_physical_u32(fadt + 64);
    pm1b = read_physical_u32(fadt + 68);
    if (!pm1a || pm1a > 0xffff || !find_s5_type(read_physical_u32(fadt + 40), &type))
        return;
    enable_acpi_mode(fadt, (uint16_t)pm1a);
    outw((uint16_t)pm1a, type << SLP_TYP_SHIFT | SLP_EN);
    if (pm1b && pm1b <= 0xffff)
        outw((uint16_t)pm1b, type << SLP_TYP_SHIFT | SLP_EN);
    linger();
}

void machine_power_off(void)
{
    local_irq_disable();
    acpi_power_off();
    /*
     * Bochs listens on port 0x8900 for this word, QEMU's isa-debug-exit on port 0xf4: its status is
     * 1 then.
     */
    for (const char *s = "Shutdown"; *s; s++)
        outb(0x8900, *s);
    outb(0xf4, 0);
    printk("Power off failed: it is safe to switch the machine off\n");
    machine_halt();
}
