/* SPDX-License-Identifier: MIT */
/*
 * c_state.c: debug builds check, each time assembly enters C, the state that C counts on
 * (include/ringlet/enter_c.h, EN1 to EN5), and that the stack has room for what is to come.
 *
 * A fault there would not show where it is: with DF set the machine fails some calls later, in
 * whatever the compiler made a string instruction of, and only for a guest that sets the flag.
 *
 * Read next: arch/i386/entry.S.
 */
#ifndef NDEBUG
#include <ringlet/arch.h>
#include <ringlet/desc.h>
#include <ringlet/percpu.h>

/* EN1 to EN4: flags that are clear whenever C is entered. */
#define C_FLAGS_CLEAR \
    (EFLAGS_TF | EFLAGS_IF | EFLAGS_DF | EFLAGS_IOPL | EFLAGS_NT | EFLAGS_VM | EFLAGS_AC)

/*
 * What an exception in the middle of C needs: its frame, and what handles it. Less room than that
 * below the point where C is entered means that entries have piled up.
 */
#define STACK_RESERVE 1024

asmlinkage void check_c_state(void);

/* Called by CALL_C alone. */
asmlinkage void check_c_state(void)
{
    uint32_t eflags, ds, es, ss, esp;

    __asm__ volatile("pushfl\n\tpopl %0\n\t"
                     "movl %%ds, %1\n\tmovl %%es, %2\n\tmovl %%ss, %3\n\tmovl %%esp, %4"
                     : "=r"(eflags), "=r"(ds), "=r"(es), "=r"(ss), "=r"(esp));
    if (likely(!(eflags & C_FLAGS_CLEAR) && (uint16_t)ds == HYPERVISOR_DS &&
               (uint16_t)es == HYPERVISOR_DS && (uint16_t)ss == HYPERVISOR_DS &&
               (esp & (STACK_SIZE - 1)) >= STACK_RESERVE))
        return;
    panic("C was entered with eflags %08x, ds %04x, es %04x, ss %04x, esp %08x", eflags,
          ds & 0xffff, es & 0xffff, ss & 0xffff, esp);
}
#endif
