/* SPDX-License-Identifier: MIT */
/*
 * The upcall of the vcpus under test: on_upcall() with every register kept. The hypervisor masked
 * events on the way here; the iret hypercall unmasks them in one step with the return.
 */
#define __ASSEMBLY__
#include <xen/xen.h>

    .text
    .globl upcall_stub
upcall_stub:
    pusha
    cld
    call on_upcall
    popa
    jmp hypercall_page + __HYPERVISOR_iret * 32

    .section .note.GNU-stack, "", @progbits
