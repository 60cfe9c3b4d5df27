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
 *
 * The way out is also where nothing is half done: who needs the whole machine to stand still for a
 * look, as the audit does, has all CPUs gather here.
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
 * walk 49: Work that waits for the way out
 *
 * Claim: Interrupts are off while the hypervisor runs. What an interrupt wants done, or one
 * processor of another, is a bit that the way out looks at. Long operations open a window of one
 * instruction for interrupts between their steps, and see whether a bit is set; then they give way
 * (stop 19). Nothing in the hypervisor is ever interrupted where it did not ask.
 * Without it: Either every data structure would need protection against interrupts, or a long
 * hypercall would hold up timers and other guests.
 * Shown by: tests/guests/bench/preempt/main.c::measure_all, tests/guests/bench/preempt/main.c::on_timer
 */
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

/* ---- Gathering ------------------------------------------------------------------------------- */

/*
 * One CPU at a time gathers the others. The next one can begin only when all have left: one that
 * misses the end of a gathering would be counted in two.
 */
static enum { NO_GATHERING, GATHERING, LEAVING } state; /* atomic */
static unsigned gathered; /* how many of the others stand still; atomic */

static bool is_gathering(void)
{
    return __atomic_load_n(&state, __ATOMIC_SEQ_CST) == GATHERING;
}

/* Stand still while there is a gathering; or, not `to_the_end`, until this CPU shall switch vcpus. */
static void stand_still(bool to_the_end)
{
    const volatile uint32_t *pending = &this_cpu->softirq_pending;

    __atomic_fetch_add(&gathered, 1, __ATOMIC_SEQ_CST);
    while (is_gathering() && (to_the_end || !(*pending >> SOFTIRQ_SCHEDULE & 1)))
        cpu_relax();
    __atomic_fetch_sub(&gathered, 1, __ATOMIC_SEQ_CST);
}

/*
 * Wait with the others. But not for one that waits for a vcpu of this CPU's to stop: then let
 * SCHEDULE go first and come again.
 */
static void join(void)
{
    if (!is_gathering())
        return;
    stand_still(false);
    if (is_gathering())
        raise_softirq(SOFTIRQ_GATHER);
}

/*
 * Wait with the others in the middle of a wait for a vcpu to stop, with nothing else half done and
 * domctl_lock alone held, which nobody waits for. The vcpu may be the one that gathers: it stops
 * only when that is over. And another may stop meanwhile, so this CPU does not go on before.
 */
void gather_here(void)
{
    if (unlikely(is_gathering()))
        stand_still(true);
}

/*
 * Return when no other CPU runs a guest or is in the middle of anything but switching vcpus; they
 * wait for release_cpus(). The caller holds no lock, and nothing of its own is half done.
 */
void gather_cpus(void)
{
    while (!__sync_bool_compare_and_swap(&state, NO_GATHERING, GATHERING)) {
        gather_here();
        cpu_relax();
    }
    for (unsigned i = 0; i < nr_cpus; i++)
        if (&cpus[i] != this_cpu)
            raise_softirq_on(&cpus[i], SOFTIRQ_GATHER);
    while (__atomic_load_n(&gathered, __ATOMIC_SEQ_CST) != nr_cpus - 1)
        cpu_relax();
}

void release_cpus(void)
{
    __atomic_store_n(&state, LEAVING, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&gathered, __ATOMIC_SEQ_CST))
        cpu_relax();
    __atomic_store_n(&state, NO_GATHERING, __ATOMIC_SEQ_CST);
}

void softirq_init(void)
{
    softirq_register(SOFTIRQ_GATHER, join);
}
