/* SPDX-License-Identifier: MIT */
/*
 * softirq.c: work put off until the next return to a guest.
 *
 * An interrupt handler does only what the device needs and raises a softirq; so does code that
 * wants another vcpu to run, as switching is only possible where nothing of the old vcpu is left on
 * the stack. The way out (arch/i386/entry.S) calls do_softirq() as long as a bit is set.
 *
 * The SCHEDULE softirq may switch to another vcpu and never come back here: the bits still set are
 * then seen on that vcpu's way out, of the same CPU.
 */
#include <ringlet/arch.h>
#include <ringlet/percpu.h>

/* Set at boot only. */
static void (*handlers[NR_SOFTIRQS])(void);

void softirq_register(enum softirq nr, void (*handler)(void))
{
    handlers[nr] = handler;
}

/* Run what is pending on this CPU, lowest number first. Interrupts are off. */
asmlinkage void do_softirq(void)
{
    struct cpu *c = this_cpu;

    while (c->softirq_pending) {
        unsigned nr = __builtin_ctz(c->softirq_pending);

        __atomic_fetch_and(&c->softirq_pending, ~(1u << nr), __ATOMIC_SEQ_CST);
        if (handlers[nr])
            handlers[nr]();
    }
}

/*
 * Long operations call this between steps. STI takes effect after the instruction that follows it
 * (SDM vol. 2, STI), so it needs that NOP for interrupts to come in at all before CLI.
 */
bool preempt_needed(void)
{
#ifndef RINGLET_HOST
    __asm__ volatile("sti; nop; cli" ::: "memory");
#endif
    return *(volatile uint32_t *)&this_cpu->softirq_pending != 0;
}
