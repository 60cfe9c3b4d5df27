/* SPDX-License-Identifier: MIT */
/*
 * head.S: from the loader's 32-bit flat world into paged C code.
 *
 * The loader (GRUB, or QEMU's -kernel) follows the Multiboot 1 specification: it finds the header
 * below in the first 8 KiB of the file, loads the ELF segments at their physical addresses and
 * jumps to the entry in protected mode with paging off, eax = 0x2BADB002 and ebx = the physical
 * address of its information structure.
 *
 * This section is linked where it is loaded (virtual == physical). It builds the idle page tables:
 * every 2 MiB below HYPERVISOR_START mapped to the same physical address (so the loader's
 * structures and modules can be read where they lie), and the direct map at DIRECTMAP_START, where
 * all other code is linked. Then it turns on PAE paging and jumps.
 *
 * Read next: xen/main.c.
 */
#include <ringlet/arch.h>
#include <ringlet/asm-offsets.h>
#include <ringlet/config.h>
#include <ringlet/enter_c.h>

#define MULTIBOOT_MAGIC 0x1BADB002
#define MULTIBOOT_FLAGS 0x00000003 /* modules page-aligned; memory map wanted */

#define PHYS(symbol) ((symbol) - DIRECTMAP_START)
#define PDE_LARGE 0xE3 /* present, writable, accessed, dirty, 2 MiB */

        .section .boot, "awx", @progbits
        .align 4
        .long MULTIBOOT_MAGIC
        .long MULTIBOOT_FLAGS
        .long -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

        .globl _start
_start:
        cli
        cld
        movl %eax, %ebp                 /* the loader's magic number */
        movl %ebx, %esi                 /* its information structure */

        /* Without PAE nothing of this ABI can run: CPUID leaf 1, edx bit 6. */
        movl $1, %eax
        cpuid
        testl $(1 << 6), %edx
        jz no_pae

        /*
         * Identity map: L2 entry i maps 2 MiB page i. The four L2 pages are one array of 2048
         * entries.
         */
        movl $PHYS(idle_l2), %edi
        movl $PDE_LARGE, %eax
        movl $(HYPERVISOR_START >> SUPERPAGE_SHIFT), %ecx
1:      movl %eax, (%edi)
        movl $0, 4(%edi)
        addl $8, %edi
        addl $(1 << SUPERPAGE_SHIFT), %eax
        loop 1b

        /* Direct map: the same, from physical 0, at DIRECTMAP_START. */
        movl $(PHYS(idle_l2) + (DIRECTMAP_START >> SUPERPAGE_SHIFT) * 8), %edi
        movl $PDE_LARGE, %eax
        movl $(DIRECTMAP_SIZE >> SUPERPAGE_SHIFT), %ecx
1:      movl %eax, (%edi)
        movl $0, 4(%edi)
        addl $8, %edi
        addl $(1 << SUPERPAGE_SHIFT), %eax
        loop 1b

        /*
         * The L3: four entries of 1 GiB, each naming an L2 page. In PAE only "present" may be set
         * besides the address.
         */
        movl $PHYS(idle_l3), %edi
        movl $(PHYS(idle_l2) + 1), %eax
        movl $4, %ecx
1:      movl %eax, (%edi)
        movl $0, 4(%edi)
        addl $8, %edi
        addl $PAGE_SIZE, %eax
        loop 1b

        movl $paged, %edi

        /*
         * walk 02: Ring 0 respects read-only pages
         *
         * Claim: Paging is turned on here, once for each processor, and with it CR0.WP: without WP,
         * ring 0 writes to read-only pages without a fault (SDM vol. 3, 4.6). The hypervisor runs
         * on the guest's page tables and writes results to addresses that the guest chose, and a
         * guest's page tables are mapped to it read-only. With WP such a write faults in ring 0 as
         * it would in ring 1, and the hypercall fails with -EFAULT.
         * Without it: A guest would name its own page table as the place for a hypercall's result,
         * and the hypervisor would write an entry there that nobody checked.
         * Shown by: tests/system/test_hostile.py::test_hostile_initial_domain,
         * tests/system/test_boot.py::test_smallest_processor
         * Code: 5 paragraphs
         */
        /*
         * Here every processor comes by, the others from trampoline.S: turn paging on and go to edi.
         */
        .globl enable_paging
enable_paging:
        movl %cr4, %eax
        orl $CR4_PAE, %eax
        movl %eax, %cr4
        movl $PHYS(idle_l3), %eax
        movl %eax, %cr3
        /*
         * WP: ring 0 respects read-only pages too. It is what keeps copies to a guest out of its
         * page tables.
         */
        movl %cr0, %eax
        andl $~(CR0_EM | CR0_TS | CR0_NW | CR0_CD), %eax
        orl $(CR0_PG | CR0_WP | CR0_NE | CR0_MP), %eax
        movl %eax, %cr0
        jmp *%edi

        /* Nothing is set up to print with: say it on the first serial port, blindly, and stop. */
no_pae:
        movl $no_pae_text, %esi
        movw $0x3f8, %dx
1:      lodsb
        testb %al, %al
        jz 2f
        outb %al, %dx
        jmp 1b
2:      hlt
        jmp 2b
no_pae_text:
        .asciz "Ringlet: this processor has no PAE.\r\n"

        .text
        /*
         * Now at the linked address. Give the first CPU its stack (see percpu.h) and never return.
         */
paged:
        movl $(boot_stack + STACK_SIZE - CPUINFO_SIZE), %esp
        pushl %esi
        pushl %ebp
        CALL_C_AT_BOOT start_hypervisor
        ud2

        .section .bss.page_aligned, "aw", @nobits
        .balign STACK_SIZE
        .globl boot_stack
boot_stack:
        .fill STACK_SIZE
        .balign PAGE_SIZE
        .globl idle_l2
idle_l2:
        .fill 4 * PAGE_SIZE
        .globl idle_l3
idle_l3:
        .fill 32
