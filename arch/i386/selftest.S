/* SPDX-License-Identifier: MIT */
/*
 * selftest.S: does this machine contain its guests?
 *
 * Everything rests on the processor checking segment limits: page tables do not tell ring 1 from
 * ring 0. QEMU's TCG does not check them. So before any guest runs, try it: go to ring 1 with the
 * flat guest segments and read one word beyond their end. A processor raises #GP (the limit of ds);
 * one that does not lets the read through and reaches the INT3.
 *
 * bool ring1_read_faults(void): runs with a temporary IDT made by selftest.c whose gates 3, 13 and
 * 14 lead here.
 */
#include <ringlet/config.h>
#include <ringlet/desc.h>
#include <ringlet/enter_c.h>
#include <xen/arch-x86/xen-x86_32.h>

        /*
         * walk 09: Ask the machine, do not trust it
         *
         * Claim: Everything so far is worth as much as the machine's checking of limits. Real
         * processors check, Bochs does, QEMU's TCG and long mode do not. So at boot, before any
         * guest, a few instructions go to ring 1 with the guest's own selectors and read one word
         * behind their end. #GP: guests are contained. If the read goes through, INT3 says so, and
         * the boot line warns. This IRET is the first change of ring of every boot.
         * Without it: Ringlet would promise a containment that nobody provides.
         * Shown by: tests/system/test_boot.py::test_self_test_tells_the_truth,
         * tests/system/test_bochs_debug.py::test_first_crossing
         * Code: 2 paragraphs
         */
        /*
         * Linked where it is loaded, so that its identity-mapped address lies below the guest's
         * limit.
         */
        .section .boot, "awx", @progbits
selftest_ring1:
        movl $FLAT_RING1_DS, %eax
        movl %eax, %ds
        movl DIRECTMAP_START, %eax
        int3
        .fill 64
selftest_ring1_stack:

        .text
        .globl ring1_read_faults
ring1_read_faults:
        pushl %ebx
        pushl %esi
        pushl %edi
        pushl %ebp
        movl %esp, selftest_esp
        /*
         * IRET to an outer ring pops eip, cs, eflags, esp, ss:
         */
        pushl $FLAT_RING1_SS
        pushl $selftest_ring1_stack
        pushl $2                        /* eflags: IF clear, IOPL 0 */
        pushl $FLAT_RING1_CS
        pushl $selftest_ring1
        iret

        .globl selftest_faulted, selftest_passed
selftest_faulted:
        movl $1, %eax
        jmp 1f
selftest_passed:
        xorl %eax, %eax
        /*
         * The processor entered at the top of the stack (esp0); go back to where ring1_read_faults
         * left off.
         */
1:      SET_C_STATE
        movl selftest_esp, %esp
        popl %ebp
        popl %edi
        popl %esi
        popl %ebx
        ret

        .section .bss
        .balign 4
selftest_esp:
        .fill 4
