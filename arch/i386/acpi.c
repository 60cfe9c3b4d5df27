/* SPDX-License-Identifier: MIT */
/*
 * acpi.c: finding the firmware's tables.
 *
 * A BIOS leaves pointers to its tables where everybody looks: on a 16-byte boundary in the first KiB
 * of the extended BIOS data area (EBDA), in the last KiB of base memory, or in the BIOS itself, from
 * 0xE0000 on. Each begins with a signature and sums up to zero. "RSD PTR " leads to ACPI's RSDT,
 * which lists the other tables; "_MP_" to the older MultiProcessor configuration table.
 *
 * References: ACPI 6.3, 5.2.5 (RSDP), 5.2.7 (RSDT); Intel MultiProcessor Specification 1.4, 4.1.
 *
 * Read next: reboot.c (FADT), ioapic.c (MADT, MP table), smp.c (MADT).
 */
#include <ringlet/acpi.h>
#include <ringlet/lib.h>
#include <ringlet/percpu.h>

#define MADT_FIRST_ENTRY 44  /* ACPI 6.3, table 5-43 */
#define MAX_TABLE (1u << 20) /* longer tables are taken for damaged */
#define EBDA_SEGMENT 0x40e   /* BIOS data area: where the EBDA begins, in paragraphs */
#define BASE_MEMORY_KIB 0x413

struct table_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[18];
    uint32_t creator, creator_revision;
} __packed;
_Static_assert(sizeof(struct table_header) == ACPI_HEADER_SIZE, "ACPI 6.3, table 5-29");

/* Copy n bytes of physical memory, which need not be below the end of the direct map. */
void read_physical(void *dst, maddr_t from, uint32_t n)
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

uint32_t read_physical_u32(maddr_t from)
{
    uint32_t v;

    read_physical(&v, from, sizeof(v));
    return v;
}

bool physical_checksum_ok(maddr_t from, uint32_t n)
{
    uint8_t sum = 0, byte;

    while (n--) {
        read_physical(&byte, from++, 1);
        sum += byte;
    }
    return sum == 0;
}

/* In [start, end): a structure of `size` bytes that begins with `n` characters of signature. */
static uint32_t find_between(uint32_t start, uint32_t end, const char *signature, uint32_t n,
                             uint32_t size)
{
    char found[8];

    for (uint32_t at = start & ~15u; at + size <= end; at += 16) {
        read_physical(found, at, n);
        if (!memcmp(found, signature, n) && physical_checksum_ok(at, size))
            return at;
    }
    return 0;
}

/*
 * The physical address of a structure of the BIOS, `size` bytes long; its signature has `length`
 * characters, eight at most. 0: there is none.
 */
uint32_t find_in_bios(const char *signature, uint32_t length, uint32_t size)
{
    uint32_t ebda = 0, base_kib = 0, at = 0;

    read_physical(&ebda, EBDA_SEGMENT, 2);
    read_physical(&base_kib, BASE_MEMORY_KIB, 2);
    ebda <<= 4;
    if (ebda >= 0x80000 && ebda < 0xa0000)
        at = find_between(ebda, ebda + 1024, signature, length, size);
    if (!at && base_kib >= 512 && base_kib <= 640)
        at = find_between((base_kib - 1) << 10, base_kib << 10, signature, length, size);
    return at ? at : find_between(0xe0000, 0x100000, signature, length, size);
}

/* Is there a sound table with this signature? Fills in its length. */
bool acpi_table_ok(uint32_t at, const char *signature, uint32_t *length)
{
    struct table_header h;

    read_physical(&h, at, sizeof(h));
    *length = h.length;
    return !memcmp(h.signature, signature, 4) && h.length >= sizeof(h) && h.length <= MAX_TABLE &&
           physical_checksum_ok(at, h.length);
}

/* The physical address of the first sound table of this name that the RSDT lists; 0: none. */
uint32_t acpi_find_table(const char *signature, uint32_t *length)
{
    uint32_t rsdp = find_in_bios("RSD PTR ", 8, 20), rsdt, rsdt_length;

    if (!rsdp)
        return 0;
    rsdt = read_physical_u32(rsdp + 16);
    if (!rsdt || !acpi_table_ok(rsdt, "RSDT", &rsdt_length))
        return 0;
    for (uint32_t at = ACPI_HEADER_SIZE; at + 4 <= rsdt_length; at += 4) {
        uint32_t table = read_physical_u32(rsdt + at);

        if (acpi_table_ok(table, signature, length))
            return table;
    }
    return 0;
}

/*
 * Call fn for each entry of the MADT ("APIC"), which tells of local and IO-APICs: the first
 * MADT_ENTRY_SIZE bytes of it, zeros where it is shorter. Byte 0 is its type, byte 1 its length.
 */
void acpi_for_each_madt_entry(void (*fn)(const uint8_t *entry))
{
    uint8_t e[MADT_ENTRY_SIZE];
    uint32_t length, madt = acpi_find_table("APIC", &length);

    for (uint32_t at = MADT_FIRST_ENTRY; madt && at + 2 <= length; at += e[1]) {
        memset(e, 0, sizeof(e));
        read_physical(e, madt + at, MIN(length - at, sizeof(e)));
        if (e[1] < 2 || e[1] > length - at)
            break;
        fn(e);
    }
}
