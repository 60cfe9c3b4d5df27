/* SPDX-License-Identifier: MIT */
/*
 * NMI: the machine's, between any two instructions of the hypervisor.
 *
 * Ring 0 runs with interrupts off, but an NMI comes all the same: also before ds and es, which hold
 * the guest's selectors, have been saved, or after they have been loaded for the way out. Its handler
 * loads ring 0's, and who leaves those in the registers gives the guest null selectors: IRET clears
 * what the outer ring may not use. And it comes while the hypervisor prints and holds the console's
 * lock: who prints in its handler waits for ever.
 *
 * This guest, the initial domain, goes into ring 0 and back for some seconds, by hypercall, by a
 * privileged instruction, and by its program's int $0x80, looks at ds and es behind each, and prints.
 *
 * Run: none (tests/system/test_nmi.py sends the NMIs)
 */
#include <stdint.h>
#include <string.h>

#include <xen/version.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <pv/trap.h>

#define SECONDS 8
#define TURNS 200

/* Do `insn` so often; how often ds or es was another behind it. */
#define COUNT_CHANGES(insn)                                                                        \
    ({                                                                                             \
        uint32_t left_ = TURNS, bad_ = 0;                                                          \
                                                                                                   \
        __asm__ volatile("1: movl %2, %%eax\n\t" insn "\n\t"                                       \
                         "movl %%ds, %%eax\n\tmovl %%es, %%ecx\n\t"                                \
                         "cmpw %w4, %%ax\n\tjne 2f\n\t"                                            \
                         "cmpw %w4, %%cx\n\tje 3f\n"                                               \
                         "2: incl %1\n\t"                                                          \
                         "movl %4, %%ds\n\tmovl %4, %%es\n"                                        \
                         "3: decl %0\n\tjnz 1b"                                                    \
                         : "+D"(left_), "+S"(bad_)                                                 \
                         : "i"(__HYPERVISOR_xen_version), "b"(XENVER_version), "d"(FLAT_KERNEL_DS) \
                         : "eax", "ecx", "memory", "cc");                                          \
        bad_;                                                                                      \
    })

/* int $0x80 in ring 3: its frame says what ds and es were. */
static uint32_t changes_in_program(void)
{
    struct trap_frame f;
    uint32_t bad = 0;

    for (unsigned int i = 0; i < TURNS / 10; i++) {
        user_frame(&f, USER_BASE, USER_BASE + PAGE_SIZE - 16);
        user_run(&f);
        bad += f.vector != VECTOR_SYSCALL || (f.ds & 0xffff) != FLAT_USER_DS ||
               (f.es & 0xffff) != FLAT_USER_DS;
    }
    return bad;
}

int main(void)
{
    uint32_t rounds = 0, hypercalls = 0, instructions = 0, programs = 0;
    uint64_t end = time_now() + SECONDS * NS_PER_SEC;
    uint8_t *code = page_alloc();

    memcpy(code, "\xcd\x80", 2);
    if (map_page((void *)USER_BASE, pte_make(linear_to_mfn(code), PAGE_USER)))
        panic("no page for ring 3");
    tap_diag("begin");
    while (time_now() < end) {
        hypercalls += COUNT_CHANGES("int $0x82");
        instructions += COUNT_CHANGES("movl %%cr0, %%eax");
        programs += changes_in_program();
        if (rounds++ % 16 == 0)
            tap_diag("round %u", rounds);
    }
    tap_is(hypercalls, 0, "ds and es after a hypercall");
    tap_is(instructions, 0, "after a privileged instruction");
    tap_is(programs, 0, "in a program's int $0x80");
    tap_done();
}
