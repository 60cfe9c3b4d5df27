/* SPDX-License-Identifier: MIT */
/*
 * stubs.S: handlers that work in whatever state they are entered, and the way into a random state.
 *
 * A handler is entered with any data segments, any stack segment, any flags, in the ring its code
 * selector names. It trusts its own code segment only, and asks it first which ring this is: ring 0
 * would mean that the hypervisor ran guest code, and stops the machine with a message on the serial
 * port. Ring 1 loads a stack of its own and goes on with the next step. Rings 2 and 3 call
 * HOME_VECTOR, through the hypervisor, to come to ring 1.
 *
 * Next: main.c.
 */
#define __ASSEMBLY__
#include <xen/xen.h>
#include <pv/layout.h>
#include "trapstate.h"

    .text

/*
 * "Panic: ..." on the first serial port, with no memory access and no stack. The test harness ends
 * a test at such a line.
 */
.macro put_char c
9:  movw $0x3fd, %dx
    inb %dx, %al
    testb $0x20, %al
    jz 9b
    movw $0x3f8, %dx
    movb $\c, %al
    outb %al, %dx
.endm
.macro shout
    .irp c, 13, 10, 'P', 'a', 'n', 'i', 'c', ':', ' ', 'g', 'u', 'e', 's', 't', ' ', 'c', 'o', 'd', \
        'e', ' ', 'i', 'n', ' ', 'r', 'i', 'n', 'g', ' ', '0', 13, 10
    put_char \c
    .endr
8:  cli
    hlt
    jmp 8b
.endm

shout_in_ring0:
    shout

/* No register is changed; flags are. */
.macro probe
    pushl %eax
    movl %cs, %eax
    testb $3, %al
    popl %eax
    jz shout_in_ring0
.endm

/* stubs[cause]: the end of a step. */
    .globl stubs
    .balign 32
stubs:
    .set number, 0
    .rept NR_STUBS
    .balign 32
    movl $number, %ecx
    movl %cs, %eax
    testb $3, %al
    jz shout_in_ring0
    jmp recover
    .set number, number + 1
    .endr

recover:
    testb $2, %al
    jnz go_home
    movl $FLAT_KERNEL_SS, %eax
    movl %eax, %ss
    movl $recover_top, %esp
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    pushl $2
    popfl
    pushl %ecx
    movl $__HYPERVISOR_set_debugreg, %eax   /* no breakpoint any more */
    movl $7, %ebx
    xorl %ecx, %ecx
    int $0x82
    call next_step
go_home:
    int $HOME_VECTOR
    ud2

/*
 * Handlers that return, while SHARED allows it: an exception that comes back for ever must not use
 * up the life's time. FLAT_USER_DS can be loaded in every ring.
 */
.macro spend
    probe
    pushl %ds
    pushl $FLAT_USER_DS
    popl %ds
    decl SHARED
    popl %ds
    js stubs + CAUSE_HOME * 32
.endm

/*
 * Not with EFLAGS.VM, which the stack may hold by chance: QEMU's IRET in ring 1 honours it, and no
 * hypervisor survives a trap from virtual-8086 mode that it has not asked for.
 */
.macro iret_without_vm
    andl $~(1 << 17), 8(%esp)
    iret
.endm

    .globl iret_error_stub, iret_stub
iret_error_stub:
    addl $4, %esp
iret_stub:
    spend
    iret_without_vm

    .globl iret_call_error_stub, iret_call_stub
iret_call_error_stub:
    addl $4, %esp
iret_call_stub:
    spend
    pushl %eax
    movl $__HYPERVISOR_iret, %eax
    int $0x82
    ud2

    .globl failsafe_iret_stub
failsafe_iret_stub:
    spend
    addl $16, %esp
    iret_without_vm

    .globl nested_stub
nested_stub:
    spend
    ud2

/*
 * launch_*(l): segments, a hypercall, registers, and away by the frame: with IRET, the iret
 * hypercall, or that in a multicall. What faults on the way ends the step as well.
 */
.macro load_launch
    movl 4(%esp), %esp
    popl %gs
    popl %fs
    popl %es
    popl %ds
    popl %eax
    popl %ebx
    popl %ecx
    popl %edx
    popl %esi
    popl %edi
    int $0x82
    popal
.endm

    .globl launch_iret, launch_hypercall, launch_multicall
launch_iret:
    load_launch
    iret
launch_hypercall:
    load_launch
    pushl %eax
    movl $__HYPERVISOR_iret, %eax
    int $0x82
    ud2
launch_multicall:
    load_launch
    pushl %eax
    movl $__HYPERVISOR_multicall, %eax
    movl $multicall_list, %ebx
    movl $3, %ecx
    int $0x82
    ud2

/*
 * A page that is mapped wherever this guest has nothing else: wherever a stray jump leads, it slides
 * to the question in which ring this is.
 */
    .section .data.probe, "aw"
    .balign PAGE_SIZE
    .globl probe_page
probe_page:
    .fill PAGE_SIZE - (2f - 1f), 1, 0x90
1:  movl %cs, %eax
    testb $3, %al
    jz 3f
    ud2
3:  shout
    .balign 4, 0x90
2:

    .bss
    .balign 16
    .skip 16384
recover_top:

    .section .note.GNU-stack, "", @progbits
