/* SPDX-License-Identifier: MIT */
/*
 * left-behind: what one vcpu leaves in the processor, and what one event leaves in a vcpu.
 *
 * DR6 was loaded for a vcpu that had breakpoints on and stayed there when the next one ran, which
 * found the other's bits in its own DR6 at its next #DB. Two vcpus of this domain take turns on one
 * processor, the second with every bit of DR6 set; the first steps through an instruction now and
 * then and must find the single step in DR6 and nothing else.
 *
 * An NMI for a vcpu without an NMI callback stayed pending for ever, and a vcpu with an event to take
 * does not block: every SCHEDOP_poll came back at once. It must be lost instead, as in Xen.
 *
 * Run: qemu bochs
 * Machine: mem=64 cmdline=dom0_max_vcpus=2
 */
#include <stddef.h>
#include <stdint.h>

#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/hypercall.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <pv/trap.h>
#include <pv/vcpu.h>

#define DR6_REASONS 0xe00fu
#define DR6_SINGLE_STEP 0x4000u
#define TURNS 50

static volatile uint32_t other_turns, other_dr6;
static uint32_t dr6, steps;

static void never_called(void)
{
}

/* The other vcpu: a breakpoint that it never meets, and all of DR6 set. */
static void other(void *unused)
{
    (void)unused;
    hv_set_debugreg(0, (uint32_t)never_called);
    hv_set_debugreg(6, DR6_REASONS);
    hv_set_debugreg(7, 1);
    for (;;) {
        other_dr6 = hv_get_debugreg(6);
        other_turns++;
        hv_sched_op(SCHEDOP_yield, NULL);
    }
}

static bool debug_trap(struct trap_frame *frame)
{
    dr6 = hv_get_debugreg(6);
    steps++;
    frame->eflags &= ~EFLAGS_TF;
    return true;
}

static void step(void)
{
    __asm__ volatile("pushfl\n\torl %0, (%%esp)\n\tpopfl\n\tnop"
                     :
                     : "i"(EFLAGS_TF)
                     : "memory", "cc");
}

static void test_dr6(void)
{
    uint32_t strange = 0;

    trap_hook(VECTOR_DB, debug_trap);
    tap_is(vcpu_start(1, other, NULL), 0, "a second vcpu on the same processor");
    for (unsigned int i = 0; i < TURNS; i++) {
        uint32_t before = other_turns;

        while (other_turns == before)
            hv_sched_op(SCHEDOP_yield, NULL);
        hv_set_debugreg(6, 0);
        step();
        strange |= dr6 & DR6_REASONS & ~DR6_SINGLE_STEP;
    }
    tap_is(steps, TURNS, "each single step is a #DB");
    tap_is(strange, 0, "DR6 has nothing of the other vcpu's");
    tap_is(dr6 & DR6_SINGLE_STEP, DR6_SINGLE_STEP, "DR6 names the single step");
    tap_is(other_dr6 & DR6_REASONS, DR6_REASONS, "the other's DR6 is what it wrote");
    hv_set_debugreg(6, 1);
    step();
    tap_is(dr6 & DR6_REASONS, DR6_SINGLE_STEP | 1, "a bit stays until the guest clears it");
}

static void test_nmi(void)
{
    struct sched_poll poll = {.timeout = time_now() + 50 * NS_PER_MS};

    hv_vcpu_op(VCPUOP_down, 1, NULL);
    tap_is(hv_vcpu_op(VCPUOP_send_nmi, 0, NULL), 0, "an NMI for a vcpu without a callback");
    hv_sched_op(SCHEDOP_poll, &poll);
    tap_ok(time_now() >= poll.timeout, "it does not keep the vcpu from blocking");
}

int main(void)
{
    test_dr6();
    test_nmi();
    tap_done();
}
