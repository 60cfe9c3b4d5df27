/* SPDX-License-Identifier: MIT */
/*
 * reboot.c: how a PC is started again, and how it is switched off.
 *
 * Reset has three ways that grew with the PC: the keyboard controller's pin (command 0xFE to port
 * 0x64), the chipset's reset control register (port 0xCF9), and a triple fault, which no processor
 * survives. Power off has one, ACPI's: the FADT names the port PM1a_CNT, and the DSDT, whose object
 * \_S5_ names the value to write there. The DSDT is a program for an interpreter we do not have;
 * but \_S5_ is a constant package, which can be read off its bytes.
 *
 * Emulators without ACPI tables have ports of their own, tried last.
 *
 * References: ACPI 6.3, 5.2.9 (FADT), 4.8.3.2 (PM1 control), 20.2 (AML encoding).
 *
 * Read next: acpi.c (how the tables are found).
 */
#include <ringlet/acpi.h>
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/page.h>

#define SCI_EN 0x0001u /* PM1 control: the chipset is in ACPI mode */
#define SLP_EN 0x2000u /* PM1 control: go to the sleep state named by SLP_TYP */
#define SLP_TYP_SHIFT 10
#define FADT_NEEDED 72 /* bytes up to the end of PM1b_CNT */
#define WAIT_POLLS 1000000

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

    if (!acpi_table_ok(dsdt, "DSDT", &length))
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
    uint32_t length, fadt = acpi_find_table("FACP", &length), pm1a, pm1b;
    unsigned type;

    if (!fadt || length < FADT_NEEDED)
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
