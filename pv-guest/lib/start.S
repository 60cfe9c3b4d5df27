/* SPDX-License-Identifier: MIT */
/*
 * The first instructions of a guest, and the notes by which the domain's builder knows it.
 *
 * The builder starts the one vcpu in ring 1 with paging on, flat segments, events masked, ESI
 * pointing at start_info and ESP at the top of a page of boot stack. Nothing is left to do in
 * assembly but to move to a larger stack.
 *
 * Compiled once for each guest, with GUEST_NAME.
 *
 * Next: setup.c.
 */
#include <xen/elfnote.h>
#include <pv/layout.h>

/*
 * HV_START_LOW is left out on purpose: it tells Xen that the kernel copes with the hypervisor's
 * hole, and the M2P in it, beginning above 0xF5800000 where the machine is small.
 */

/* One note: name "Xen", a type from elfnote.h, and a value. */
.macro xen_note type, directive, value:vararg
    .pushsection .note.Xen, "a", @note
    .balign 4
    .long 2f - 1f, 4f - 3f, \type
1:  .asciz "Xen"
2:  .balign 4
3:  \directive \value
4:  .balign 4
    .popsection
.endm

    xen_note XEN_ELFNOTE_GUEST_OS, .asciz, GUEST_NAME
    xen_note XEN_ELFNOTE_LOADER, .asciz, "generic"
    xen_note XEN_ELFNOTE_XEN_VERSION, .asciz, "xen-3.0"
    xen_note XEN_ELFNOTE_VIRT_BASE, .long, VIRT_BASE
    xen_note XEN_ELFNOTE_PADDR_OFFSET, .long, 0
    xen_note XEN_ELFNOTE_ENTRY, .long, _start
    xen_note XEN_ELFNOTE_HYPERCALL_PAGE, .long, hypercall_page
    xen_note XEN_ELFNOTE_PAE_MODE, .asciz, "yes"
    xen_note XEN_ELFNOTE_FEATURES, .asciz, "pae_pgdir_above_4gb"
    /* A page-table entry holds a machine frame when its present bit (mask 1) is set (value 1). */
    xen_note XEN_ELFNOTE_L1_MFN_VALID, .quad, 1, 1

    .section .text.start, "ax"
    .globl _start
_start:
    cld
    movl %esp, %edx                 /* the boot stack: memory behind it is free */
    movl $stack_top, %esp
    xorl %ebp, %ebp                 /* the end of every backtrace */
    pushl %edx
    pushl %esi
    call setup                      /* setup(start_info, boot_esp); does not return */

    .section .text.hypercall_page, "ax"
    .balign PAGE_SIZE
    .globl hypercall_page
hypercall_page:
    .skip PAGE_SIZE, 0xcc           /* int3, until the builder writes the stubs */

    .section .bss.page_aligned, "aw", @nobits
    .balign PAGE_SIZE
    .globl stack_guard
stack_guard:                        /* setup.c unmaps it: an overflow faults, not corrupts */
    .skip PAGE_SIZE
    .skip STACK_SIZE
stack_top:

/* setup.c exchanges this page's frame for the one shared with the hypervisor. A page of its own,
 * since the structure is smaller: whatever else lay here would vanish. */
    .globl shared_info_page
shared_info_page:
    .skip PAGE_SIZE

    .section .rodata
    .globl guest_name
guest_name:
    .asciz GUEST_NAME

    .globl VIRT_BASE_LINKED
    .set VIRT_BASE_LINKED, VIRT_BASE

    .section .note.GNU-stack, "", @progbits
