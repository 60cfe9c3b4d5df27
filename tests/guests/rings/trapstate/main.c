/* SPDX-License-Identifier: MIT */
/*
 * Trapstate: random states of the processor at every way into and out of the hypervisor.
 *
 * The hypervisor once called C with EFLAGS.DF set: a guest's `int $0x80` took the short way, its
 * IRET faulted on a kernel stack selector that was not present, and the copies that followed wrote
 * downwards over the hypervisor's stack, until it returned into the guest's own code. One case of
 * a kind: any way in, any fixup, and all that the guest leaves in flags, selectors, descriptors,
 * breakpoints and stacks.
 *
 * A life is a domain with a seed. It makes STEPS steps: everything the hypervisor keeps for the
 * vcpu is put right, then some of it spoilt (kernel stack, trap table, callbacks, descriptors,
 * breakpoints, assists), and a random context is entered by IRET or by the iret hypercall, in ring 1
 * or 3, where a few random instructions trap, call and load. Any exception, event, NMI or callback
 * leads to the next step. The guest may die of it: its stack takes no frame, or its handler cannot be
 * entered. But the hypervisor must go on, and no code of this guest may run in ring 0: every handler
 * asks cs which ring it is in, and so does the page that is mapped wherever else a jump may lead.
 *
 * Words on the command line: seed=N; steps=N; from=N, the first step to make; trace, each step is
 * announced on the hypervisor's console (debug builds); vm, IRET brings EFLAGS.VM, which QEMU
 * honours in ring 1 and a processor does not.
 *
 * Run: none (tests/system/test_trapstate.py starts it)
 *
 * Next: stubs.S, state.c, code.c.
 */
#include "trapstate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/page.h>
#include <pv/start.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#define STEPS 100
#define BUDGET 8 /* exceptions in a step that are returned from */

struct multicall_entry multicall_list[3];
bool allow_vm;

static uint32_t seed = 1, steps = STEPS, step, generator;
static bool trace;
static uint32_t causes[2]; /* what has ended a step so far, one bit each */

uint32_t rnd(void)
{
    generator ^= generator << 13;
    generator ^= generator >> 17;
    generator ^= generator << 5;
    return generator;
}

uint32_t below(uint32_t n)
{
    return (rnd() >> 4) % n;
}

bool chance(uint32_t n)
{
    return below(n) == 0;
}

/*
 * The same for what the guest will probably die of. Lives are wild, or calmer, by their seeds: a wild
 * one meets deadly states at once, a calm one comes to states that need others before them.
 */
bool deadly_chance(uint32_t n)
{
    static const uint8_t calm[] = {1, 4, 16, 64};

    return chance(n) && chance(calm[seed % 4]);
}

/* A step depends on the seed and its number alone, not on how the one before it ended. */
static void seed_step(void)
{
    generator = (seed * 2654435761u) ^ (step * 0x9e3779b9u) ^ 0x5bd1e995u;
    generator += !generator;
    for (int i = 0; i < 8; i++)
        rnd();
}

/* On the hypervisor's console, which debug builds open to every domain. */
static void say(const char *what)
{
    char line[100];
    int n = snprintf(line, sizeof(line), "trapstate: seed=%lu step %lu %s %08lx %lx\n",
                     (unsigned long)seed, (unsigned long)step, what, (unsigned long)causes[0],
                     (unsigned long)causes[1]);

    hv_console_io(CONSOLEIO_write, n, line);
}

/* The context that is entered, with room below for frames of what faults on the way there. */
static struct {
    uint8_t below[4096];
    struct launch launch;
    uint8_t above[64];
} context;

static void random_frame(struct launch *l)
{
    bool user = chance(2), odd = deadly_chance(8);

    l->eip = deadly_chance(16) ? random_handler() : CODE;
    l->cs = odd ? random_selector() : user ? FLAT_USER_CS : FLAT_KERNEL_CS;
    l->ss = deadly_chance(8) ? random_selector() : user ? FLAT_USER_SS : FLAT_KERNEL_SS;
    l->esp = deadly_chance(2) ? random_stack() : STACK + PAGE_SIZE;
    l->eflags = random_eflags();
}

static void random_segments(struct launch *l)
{
    l->ds = chance(4) ? random_selector() : FLAT_USER_DS;
    l->es = chance(4) ? random_selector() : FLAT_USER_DS;
    l->fs = chance(4) ? random_selector() : 0;
    l->gs = chance(4) ? random_selector() : 0;
}

/* A hypercall on the way that needs nothing but registers. */
static void random_call(struct launch *l)
{
    l->call_ebx = l->call_ecx = l->call_edx = l->call_esi = l->call_edi = 0;
    switch (below(4)) {
    case 0:
        l->call_eax = __HYPERVISOR_sched_op; /* yield */
        break;
    case 1:
        l->call_eax = __HYPERVISOR_vcpu_op;
        l->call_ebx = VCPUOP_send_nmi;
        break;
    case 2:
        l->call_eax = __HYPERVISOR_fpu_taskswitch;
        l->call_ebx = below(2);
        break;
    default:
        l->call_eax = __HYPERVISOR_xen_version;
    }
    if (chance(2))
        lose_segments(l);
}

/* The iret first, in the middle, or last of the list. */
static void random_multicall(void)
{
    uint32_t place = below(3);

    for (uint32_t i = 0; i < 3; i++)
        multicall_list[i].op = i == place ? __HYPERVISOR_iret : __HYPERVISOR_xen_version;
}

static void __attribute__((noreturn)) random_launch(void)
{
    struct launch *l = &context.launch;
    uint32_t *general = &l->edi, way = below(4);

    for (int i = 0; i < 8; i++)
        general[i] = random_value();
    random_frame(l);
    random_segments(l);
    random_call(l);
    random_multicall();
    if (way < 2 && !allow_vm)
        l->eflags &= ~EFLAGS_VM;
    *(volatile uint32_t *)SHARED = BUDGET;
    vcpu()->evtchn_upcall_mask = chance(2);
    vcpu()->evtchn_upcall_pending = chance(3);
    if (way < 2)
        launch_iret(l);
    if (way == 2)
        launch_hypercall(l);
    launch_multicall(l);
}

void next_step(uint32_t cause)
{
    vcpu()->evtchn_upcall_mask = 1;
    vcpu()->evtchn_upcall_pending = 0;
    causes[cause / 32] |= 1u << cause % 32;
    step++;
    seed_step();
    if (trace && step < steps)
        say("begins");
    state_restore(); /* before the last words, too: nothing spoilt may interrupt them */
    if (step >= steps) {
        say("causes");
        domain_shutdown(SHUTDOWN_poweroff);
    }
    random_code();
    state_disturb();
    random_launch();
}

static void read_words(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "seed=", 5) == 0)
            seed = strtoul(argv[i] + 5, NULL, 0);
        else if (strncmp(argv[i], "steps=", 6) == 0)
            steps = strtoul(argv[i] + 6, NULL, 0);
        else if (strncmp(argv[i], "from=", 5) == 0)
            step = strtoul(argv[i] + 5, NULL, 0) - 1;
        trace |= strcmp(argv[i], "trace") == 0;
        allow_vm |= strcmp(argv[i], "vm") == 0;
    }
}

int main(int argc, char **argv)
{
    read_words(argc, argv);
    vcpu()->evtchn_upcall_mask = 1;
    say("lives");
    state_init();
    next_step(CAUSE_START);
}
