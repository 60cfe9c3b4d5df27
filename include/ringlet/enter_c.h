/* SPDX-License-Identifier: MIT */
/*
 * enter_c.h: the state in which assembly hands the processor to C.
 *
 * A guest chooses most of EFLAGS, and ds and es, and neither a gate nor SYSENTER puts all of that
 * right: DF, AC and ID survive every gate, and NT and TF survive SYSENTER. A ring-0 instruction that
 * faults goes on at its fixup with the flags it faulted with, which may be a guest's too. C code
 * compiled for this ABI counts on
 *
 *   EN1 DF clear: the compiler copies structures with REP MOVS. With DF set those copies run
 *       downwards, over the hypervisor's own stack, and a guest runs its code in ring 0.
 *   EN2 NT clear: with NT set the next IRET in ring 0 is a task switch.
 *   EN3 AC, TF, VM and IOPL clear: an access is not checked for alignment, no instruction is
 *       single-stepped.
 *   EN4 IF clear: interrupts come only where the code asks for them (preempt_needed(), idle_loop()).
 *   EN5 ds and es hold HYPERVISOR_DS. cs and ss do so already: the gate and the TSS, or SYSENTER,
 *       loaded them. fs and gs stay the guest's: nothing here uses them.
 *
 * CALL_C is the only way from assembly into C, and it sets all of this, whatever the path before it
 * knew: every gate, every fixup, the way out, the task gate. tools/check-entry, part of `make lint`,
 * finds a call or a jump that goes round it. Debug builds check EN1 to EN5 behind it (arch/i386/
 * c_state.c).
 *
 * Assembly only, which clang-format does not know.
 */
/* clang-format off */
#ifndef RINGLET_ENTER_C_H
#define RINGLET_ENTER_C_H
#ifdef __ASSEMBLY__

#include <ringlet/desc.h>

        /* EN1 to EN4. Bit 1 of EFLAGS is always set, and so every flag that exists is now clear. */
        .macro SET_C_FLAGS
        pushl $0
        popfl
        .endm

        /*
         * EN1 to EN5. Clobbers ecx. The processor checks nothing here: HYPERVISOR_DS is ours in every
         * GDT (desc.h).
         */
        .macro SET_C_STATE
        SET_C_FLAGS
        movl $HYPERVISOR_DS, %ecx
        movl %ecx, %ds
        movl %ecx, %es
        .endm

        /*
         * walk 13: One way into C
         *
         * Claim: A gate loads cs and ss, and clears TF, NT and, as these are interrupt gates, IF.
         * It leaves the guest's DF, AC, ds and es as they are. C code counts on all of them: the
         * compiler copies structures by REP MOVS, upwards, through ds and es. So every path from
         * assembly into C passes this macro, whatever came before it: gates, SYSENTER, exception
         * fixups, the way out. `make lint` finds a call in the entry code that does not.
         * Without it: A guest that makes a hypercall with DF set has a copy in ring 0 run
         * downwards, over the hypervisor's stack, and can have its own code run there.
         * Shown by: tests/system/test_entry.py::test_entry_state,
         * tests/system/test_entry.py::test_int80_direction_flag,
         * tests/system/test_entry.py::test_lint_finds_a_way_round_call_c
         * Code: 1 paragraphs
         */
        /*
         * Call a C function, or `*` and where its address is. Arguments are on the stack. Clobbers
         * ecx before the call.
         */
        .macro CALL_C function:vararg
        SET_C_STATE
#ifndef NDEBUG
        pushl %eax
        pushl %edx
        call check_c_state
        popl %edx
        popl %eax
#endif
        call \function
        .endm

        /*
         * The same for the boot, when HYPERVISOR_DS is in no table yet and the loader's flat segments
         * serve, and for panic(), which has to work then.
         */
        .macro CALL_C_AT_BOOT function
        SET_C_FLAGS
        call \function
        .endm

#endif
#endif
