/* SPDX-License-Identifier: MIT */
/*
 * The ring-3 program of the toy's `user` command. user.c copies it to a page of its own, so it
 * is position-independent.
 */
    .section .rodata
    .globl user_program, user_program_end
user_program:
    call 1f
1:  popl %esi                       /* where we are */

    movl $1, %eax                   /* write(text) */
    leal hello - 1b(%esi), %ebx
    movl $hello_end - hello, %ecx
    int $0x80

    movl $0xc0000000, %eax
    movl (%eax), %eax               /* the kernel's memory: #PF, protected; two bytes */

    in $0x80, %al                   /* a port: #GP; two bytes */

    xorl %eax, %eax                 /* exit */
    int $0x80

hello:
    .ascii "hello from ring 3\n"
hello_end:
user_program_end:

    .section .note.GNU-stack, "", @progbits
