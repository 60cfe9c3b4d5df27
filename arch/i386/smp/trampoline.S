/* SPDX-License-Identifier: MIT */
/*
 * trampoline.S: an application processor's first instructions.
 *
 * A STARTUP interrupt with vector VV makes a processor that waits after INIT begin at physical VV000
 * in real mode, as an 8086 would: 16-bit code, cs = VV00, paging and protection off (SDM vol. 3, 9.4
 * and 11.6). So this code has to lie below 1 MiB; smp.c copies it to a page there. It is the only
 * 16-bit code of the hypervisor, and no more of it than brings the processor to where the loader
 * left the first one:
 *
 *   real mode                  protected mode, no paging        paging
 *   cs:ip = VV00:0000          cs = 8, flat, at physical        at the linked addresses
 *   +---------------------+    +-----------------------+        +----------------------+
 *   | ds = cs             |    | ds, es, ss = 16, flat |        | ap_paged:            |
 *   | load a flat GDT     | -> | enable_paging, the    |   ->   | esp = its own stack  |
 *   | CR0.PE = 1, ljmp 8: |    | loader's way (head.S) |        | start_secondary()    |
 *   +---------------------+    +-----------------------+        +----------------------+
 *
 * The far jump names an address in .boot, which is linked where it is loaded, and so does the GDT's
 * register: the copied code has nothing that depends on its page, but for ds.
 *
 * Read next: smp.c.
 */
#include <ringlet/arch.h>
#include <ringlet/config.h>
#include <ringlet/enter_c.h>

#define BOOT_CS 8
#define BOOT_DS 16

        .section .boot, "awx", @progbits
        .code16
        .globl ap_trampoline, ap_trampoline_end
ap_trampoline:
        cli
        movw %cs, %ax
        movw %ax, %ds
        lgdtl ap_gdtr - ap_trampoline
        movl %cr0, %eax
        orl $CR0_PE, %eax
        movl %eax, %cr0
        ljmpl $BOOT_CS, $ap_protected
ap_gdtr:
        .word boot_gdt_end - boot_gdt - 1
        .long boot_gdt
ap_trampoline_end:

        .code32
ap_protected:
        cld
        movl $BOOT_DS, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl $ap_paged, %edi
        jmp enable_paging

        /* Base 0, limit 4 GiB, DPL 0, accessed: code that may be read, data that may be written. */
        .balign 8
boot_gdt:
        .quad 0
        .quad 0x00cf9b000000ffff
        .quad 0x00cf93000000ffff
boot_gdt_end:

        .text
ap_paged:
        movl ap_stack, %esp
        CALL_C_AT_BOOT start_secondary
        ud2
