/* SPDX-License-Identifier: MIT */
/*
 * Where exceptions, events and ring-3 programs enter the guest kernel, and how it returns.
 *
 * What lies on the stack when trap.c's C code runs, lowest address last (struct trap_frame, whose
 * offsets trap.c asserts):
 *
 *     ss                     | pushed only when ring 3 was interrupted: across rings the
 *     esp                    | processor (or the hypervisor) switches to the stack_switch stack
 *     eflags
 *     saved_upcall_mask:cs     bits 16-23 of the pushed CS, the hypervisor's addition
 *     eip
 *     error code               the processor's, or 0 pushed by the stub
 *     vector                   pushed by the stub; EVENT_VECTOR for the event upcall
 *     eax ecx edx ebx esp ebp esi edi     (pusha)
 *     ds es fs gs
 *  -> the frame's address, C's only argument
 *
 * A bounced exception leaves the vcpu's event mask alone (its trap-table entry does not ask for
 * more), so a plain iret ends it: in ring 1 with IOPL 0 that instruction takes CS, EIP and EFLAGS
 * but silently ignores IF, and the hypervisor is not involved at all.
 *
 * Next: trap.c, event.c.
 */
#define __ASSEMBLY__ /* of the public headers, the constants only */
#include <xen/xen.h>
#include <offsets.h>

#define EVENT_VECTOR -1

    .text

.macro save_frame
    pusha
    pushl %ds
    pushl %es
    pushl %fs
    pushl %gs
    movl $FLAT_KERNEL_DS, %eax      /* ring 3 may have loaded anything */
    movl %eax, %ds
    movl %eax, %es
    cld
    pushl %esp
.endm

.macro restore_frame
    addl $4, %esp
    popl %gs
    popl %fs
    popl %es
    popl %ds
    popa
    addl $8, %esp                   /* vector and error code */
.endm

/* --- exceptions ---------------------------------------------------------------------------- */

/* 32 stubs of 16 bytes, so that trap.c finds the one of a vector by arithmetic. Vector 15 is not
 * Intel's: Xen's notice about 4 GB segments, which has an error code. */
    .globl trap_stubs
    .balign 16
trap_stubs:
    .set number, 0
    .rept 32
    .balign 16
    .if !(number == 8 || (number >= 10 && number <= 15) || number == 17)
    pushl $0
    .endif
    pushl $number
    jmp trap_common
    .set number, number + 1
    .endr

/* int $0x80 from ring 3: a real gate, so the processor itself wrote this frame. */
    .globl syscall_stub
syscall_stub:
    pushl $0
    pushl $0x80

trap_common:
    save_frame
    call trap_dispatch
    restore_frame
    iret

/* --- events -------------------------------------------------------------------------------- */

/*
 * The upcall. The hypervisor calls it with the vcpu's mask set, so no second upcall comes until
 * the mask is clear again, and the saved mask in the frame is always 0.
 *
 * Leaving is delicate: "clear the mask, see that nothing is pending, iret" is three steps, and an
 * event that arrives between them starts a new upcall before this frame is gone. Once is
 * harmless, but a stream of events could pile up frames until the stack is full; kernels that do
 * it this way (Linux) recognise an interruption in those instructions and merge the two frames.
 * The iret hypercall does all three in one step, out of reach of any event, so it is used here:
 * it takes EAX (pushed by its stub) and the frame from the stack, and the mask from EFLAGS.IF,
 * which the hypervisor had set to the inverse of the saved mask.
 */
    .globl event_upcall
event_upcall:
    pushl $0
    pushl $EVENT_VECTOR
    save_frame
    call event_dispatch
    restore_frame
    jmp hypercall_page + __HYPERVISOR_iret * 32

/*
 * The failsafe callback: the hypervisor could not return to the guest because loading a segment
 * register faulted. It pushes DS, ES, FS, GS as they were, then EIP, CS, EFLAGS. Ring 3 holds no
 * segments of its own here, so this can only be a bug in this kernel.
 */
    .globl failsafe_upcall
failsafe_upcall:
    movl $FLAT_KERNEL_DS, %eax
    movl %eax, %ds
    movl %eax, %es
    pushl 16(%esp)
    call failsafe_report

/* --- ring 3 -------------------------------------------------------------------------------- */

/* user_enter(frame): load everything from *frame and go to ring 3. iret to an outer ring also
 * takes SS:ESP from the stack. */
    .globl user_enter
user_enter:
    movl 4(%esp), %esi
    subl $FRAME_SIZE, %esp
    movl %esp, %edi
    movl $FRAME_SIZE / 4, %ecx
    rep movsl
    subl $4, %esp                   /* where save_frame has C's argument */
    restore_frame
    iret

    .section .note.GNU-stack, "", @progbits
