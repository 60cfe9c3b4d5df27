/* SPDX-License-Identifier: MIT */
/*
 * continuation.c: give way in the middle of a long hypercall.
 *
 * The registers are changed so that the guest will execute the same `int $0x82` again, with
 * arguments that say where to go on. In between, interrupts, events and other vcpus run; the guest
 * sees a hypercall that took long. Inside a multicall the entry is rewritten instead, and the
 * multicall continues (multicall.c).
 */
#include <stdarg.h>

#include <ringlet/domain.h>
#include <ringlet/hypercall.h>

/* Length of `int $0x82`: CD 82. */
#define INT_LENGTH 2

/*
 * walk 19: A hypercall that takes long is called again
 *
 * Claim: The hypervisor runs with interrupts off, has one stack for each processor, and cannot be
 * interrupted in the middle. So a long operation asks between its steps whether something waits,
 * and if so moves the guest's eip back over `int $0x82`, with arguments that say where to go on.
 * Interrupts, events and other vcpus have their turn, then the guest executes the same instruction
 * again. It sees a hypercall that took long.
 * Without it: A guest could keep a processor for as long as its longest list, and every timer and
 * every other guest on that processor would wait.
 * Shown by: tests/guests/bench/preempt/main.c::measure_all, tests/host/test_memory_op.c::test_preemption
 */
/*
 * Returns what the handler returns: entry.S stores it into eax, which must then hold the number
 * again.
 */
long hypercall_continue(unsigned op, unsigned nr_args, ...)
{
    struct cpu *c = this_cpu;
    struct cpu_user_regs *regs = guest_regs();
    uint32_t args[6];
    va_list ap;

    ASSERT(nr_args <= ARRAY_SIZE(args));
    va_start(ap, nr_args);
    for (unsigned i = 0; i < nr_args; i++)
        args[i] = va_arg(ap, uint32_t);
    va_end(ap);

    if (c->multicall) {
        c->multicall->op = op;
        memcpy(c->multicall->args, args, nr_args * sizeof(args[0]));
        c->multicall_continued = true;
        return op;
    }
    /* ebx, ecx, edx, esi, edi, ebp are the first six fields, in the order of the arguments. */
    memcpy(&regs->ebx, args, nr_args * sizeof(args[0]));
    regs->eip -= INT_LENGTH;
    return op;
}
