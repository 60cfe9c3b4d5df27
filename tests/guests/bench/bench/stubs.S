/* SPDX-License-Identifier: MIT */
/*
 * The shortest handlers there can be, so that what is counted is the hypervisor's work.
 *
 * A bounce within ring 1 pushes no SS:ESP. What a handler finds, lowest address last:
 *
 *     eflags                   IF is the inverse of the event mask at the time
 *     mask:cs                  the event mask in bits 16-23
 *     eip
 *  -> error code               for #PF only
 *
 * Next: traps.c.
 */
#define __ASSEMBLY__ /* of the public headers, the constants only */
#include <xen/xen.h>

    .text
    .globl return_by_iret
return_by_iret:
    iret

/* IRET does not give the mask back that was set on the way in: byte 1 of the first vcpu_info. */
    .globl unmask_and_return
unmask_and_return:
    movb $0, shared_info_page + 1
    iret

    .globl return_by_hypercall
return_by_hypercall:
    jmp hypercall_page + __HYPERVISOR_iret * 32

/* Both instructions that are meant to fault are two bytes long. */
    .globl skip_ud2
skip_ud2:
    addl $2, (%esp)
    iret

    .globl skip_read
skip_read:
    addl $4, %esp                   /* the error code */
    addl $2, (%esp)
    iret

/* Take every event there is and return with events on again. bench_pending are the addresses of
 * the three levels of bits for the one port that is used: see traps.c. */
    .globl bare_upcall
bare_upcall:
    pushl %eax
    movl bench_pending, %eax
    movb $0, (%eax)
    movl bench_pending + 4, %eax
    movl $0, (%eax)
    movl bench_pending + 8, %eax
    movl $0, (%eax)
    incl bench_upcalls
    popl %eax
    jmp hypercall_page + __HYPERVISOR_iret * 32

/* Nothing here has segments that fail to load. */
    .globl bare_failsafe
bare_failsafe:
    ud2

/* The ring-3 program: ECX system calls, counted by the time-stamp counter, then the end. */
    .section .rodata
    .globl ring3_program, ring3_program_end
ring3_program:
    rdtsc
    movl %eax, %esi
1:  int $0x80
    decl %ecx
    jnz 1b
    rdtsc
    subl %esi, %eax
    ud2
ring3_program_end:

    .section .note.GNU-stack, "", @progbits
