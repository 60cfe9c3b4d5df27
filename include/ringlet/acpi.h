/* SPDX-License-Identifier: MIT */
/*
 * acpi.h: the firmware's tables, read where they lie. They are checked like a guest's words: every
 * length before it is used, every sum.
 *
 * Read next: arch/i386/acpi.c.
 */
#ifndef RINGLET_ACPI_H
#define RINGLET_ACPI_H

#include <ringlet/types.h>

#define ACPI_HEADER_SIZE 36 /* what every table begins with; ACPI 6.3, table 5-29 */
#define MADT_ENTRY_SIZE 12  /* as much of an entry as anybody asks for */

/* arch/i386/acpi.c */
void read_physical(void *dst, maddr_t from, uint32_t n);
uint32_t read_physical_u32(maddr_t from);
bool physical_checksum_ok(maddr_t from, uint32_t n);
uint32_t find_in_bios(const char *signature, uint32_t length, uint32_t size);
uint32_t acpi_find_table(const char *signature, uint32_t *length);
void acpi_for_each_madt_entry(void (*fn)(const uint8_t *entry));
bool acpi_table_ok(uint32_t at, const char *signature, uint32_t *length);

#endif
