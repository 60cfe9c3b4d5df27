/* SPDX-License-Identifier: MIT */
/*
 * The image: .boot runs at its physical address with paging off, everything else in the direct map,
 * so that linked address = physical address + DIRECTMAP_START. Physical memory is used from
 * LOAD_ADDRESS up. The ELF entry is physical and lies in .boot, whose virtual and physical
 * addresses agree, as both loaders want. In the file nothing is aligned to pages (--nmagic): loaders
 * copy segments, they do not map them.
 */
#include <ringlet/config.h>
#undef i386 /* the compiler predefines it as 1 */

/* The records of one kind that files have registered: include/ringlet/module.h. */
#define RECORDS(kind)                   \
    . = ALIGN(4);                       \
    __start_module_##kind = .;          \
    KEEP(*(module_##kind))              \
    __stop_module_##kind = .;

OUTPUT_FORMAT("elf32-i386")
OUTPUT_ARCH(i386)
ENTRY(_start)

PHDRS
{
    boot PT_LOAD FLAGS(7);
    text PT_LOAD FLAGS(5);
    rodata PT_LOAD FLAGS(4);
    data PT_LOAD FLAGS(6);
    bss PT_LOAD FLAGS(6);
}

SECTIONS
{
    . = LOAD_ADDRESS;
    image_start_physical = .;
    .boot : { KEEP(*(.boot)) } :boot

    . = ALIGN(PAGE_SIZE);
    . += DIRECTMAP_START;
    text_start = .;
    .text : AT(ADDR(.text) - DIRECTMAP_START) { *(.text .text.* .init.text) } :text
    text_end = .;

    . = ALIGN(PAGE_SIZE);
    .rodata : AT(ADDR(.rodata) - DIRECTMAP_START) {
        . = ALIGN(4);
        extable_start = .;
        KEEP(*(.extable))
        extable_end = .;
        RECORDS(boot_step)
        RECORDS(key)
        RECORDS(console_device)
        RECORDS(wall_clock)
        RECORDS(irq_controller)
        RECORDS(hypercall)
        RECORDS(domctl)
        RECORDS(sysctl)
        RECORDS(memory_op)
        RECORDS(segment_assist)
        RECORDS(gnttabop)
        RECORDS(evtchnop)
        RECORDS(event_source)
        RECORDS(guest_lines)
        RECORDS(physdevop)
        RECORDS(domain_part)
        RECORDS(watch_part)
        *(.rodata .rodata.* .note.*)
        *(.symtab_names)
    } :rodata

    . = ALIGN(PAGE_SIZE);
    .data : AT(ADDR(.data) - DIRECTMAP_START) { *(.data .data.* .init.data) } :data
    .bss : AT(ADDR(.bss) - DIRECTMAP_START) { *(.bss.page_aligned) *(.bss .bss.* COMMON) } :bss
    . = ALIGN(PAGE_SIZE);
    image_end = .;

    /DISCARD/ : { *(.comment) *(.eh_frame) *(.note.GNU-stack) *(.note.gnu.*) }
}
