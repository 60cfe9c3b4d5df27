/* SPDX-License-Identifier: MIT */
/* The smallest program: exit(0). bench.c runs it to count what exec costs without a C library. */
        .text
        .globl _start
_start: movl    $1, %eax                /* exit */
        xorl    %ebx, %ebx
        int     $0x80
        .section .note.GNU-stack, "", @progbits
