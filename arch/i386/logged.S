/* SPDX-License-Identifier: MIT */
/*
 * logged.S: the way from the hottest paths to what is done for a logged domain.
 *
 * A call that is hardly ever made costs even where it is not: the compiler keeps what is needed
 * behind it out of the registers that a C function may change, and saves others for that. So
 * IF_LOGGED() (dirty_log.h) calls these instead, which change no register and take their one
 * argument from the stack:
 *
 *      argument
 *      return address
 *      eax, ecx, edx          (the others are the C function's to keep)
 *
 * Read next: mm/dirty_log.c, mm/shadow.c.
 */
        .macro keep_registers function
        .globl saving_\function
saving_\function:
        pushl %eax
        pushl %ecx
        pushl %edx
        movl 16(%esp), %eax
        call \function
        popl %edx
        popl %ecx
        popl %eax
        ret $4
        .endm

        .text
        keep_registers note_frame_dirty
        keep_registers note_mapped_dirty
        keep_registers shadow_flush
        keep_registers shadow_flush_one
