/* SPDX-License-Identifier: MIT */
/*
 * What ring compression looks like from ring 1: selectors, descriptors, privilege.
 *
 * A kernel built for ring 0 runs one ring up. Its selectors name descriptors the hypervisor put
 * into the GDT, with DPL 1, and with limits that end below the hypervisor. Three kinds of
 * instructions show it: those that merely look (LAR, LSL, SGDT), which work in every ring; those
 * that need ring 0, which fault; and plain loads and stores, which the limit stops.
 *
 * Next: memory.c.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <pv/event.h>
#include <pv/layout.h>
#include <pv/number.h>
#include <pv/page.h>
#include <pv/trap.h>

#include "toy.h"

#define FLAT_RING0_CS 0xe008 /* by the ABI's order, before the flat ring-1 and ring-3 segments */

/* --- rings --------------------------------------------------------------------------------- */

/* LAR and LSL read a descriptor's access rights and limit; they clear ZF, without a fault, where
 * the privilege rules hide the descriptor (DPL below CPL). */
static bool load_access_rights(uint16_t selector, uint32_t *rights)
{
    bool visible;

    __asm__("lar %2, %1" : "=@ccz"(visible), "=r"(*rights) : "r"((uint32_t)selector), "1"(0));
    return visible;
}

static bool load_limit(uint16_t selector, uint32_t *limit)
{
    bool visible;

    __asm__("lsl %2, %1" : "=@ccz"(visible), "=r"(*limit) : "r"((uint32_t)selector), "1"(0));
    return visible;
}

/* Access rights as LAR leaves them: type in bits 8-11 (bit 11: code), S in 12, DPL in 13-14. */
static void show_selector(const char *name, uint16_t selector)
{
    uint32_t rights, limit;
    char decoded[40];

    selector_decode(selector, decoded, sizeof(decoded));
    printf("  %-12s 0x%04x  %s; ", name, selector, decoded);
    if (load_access_rights(selector, &rights) && load_limit(selector, &limit))
        printf("%s, DPL %u, limit 0x%08x\n", rights & 0x800 ? "code" : "data", rights >> 13 & 3,
               limit);
    else
        printf("hidden from ring %u\n", read_cs() & 3);
}

/* SGDT, SIDT, STR and SMSW store system state in any ring and trap in none: the reason why this
 * processor cannot be virtualised by trapping alone. */
static void show_unguarded_instructions(void)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) gdt, idt;
    uint16_t task;
    uint32_t machine_status;

    __asm__ volatile("sgdt %0" : "=m"(gdt));
    __asm__ volatile("sidt %0" : "=m"(idt));
    __asm__ volatile("str %0" : "=r"(task));
    __asm__ volatile("smsw %0" : "=r"(machine_status));
    printf("  sgdt: base 0x%08x limit 0x%04x; sidt: base 0x%08x limit 0x%04x\n", gdt.base,
           gdt.limit, idt.base, idt.limit);
    printf("  str: 0x%04x; smsw: 0x%08x  -- the machine's own values, with no trap\n", task,
           machine_status);
}

void command_rings(const char *argument)
{
    uint32_t flags = read_eflags();

    (void)argument;
    printf("CPL is %u: the low two bits of cs. Ring 0 is the hypervisor's.\n", read_cs() & 3);
    show_selector("cs", read_cs());
    show_selector("ss", read_ss());
    show_selector("ds", read_ds());
    show_selector("user code", FLAT_USER_CS);
    show_selector("user data", FLAT_USER_DS);
    show_selector("ring-0 code", FLAT_RING0_CS);
    printf("eflags 0x%08x: IF %u (the processor's, always 1 here), IOPL %u\n", flags,
           flags >> 9 & 1, flags >> 12 & 3);
    printf("Instructions that tell a ring-1 kernel the truth:\n");
    show_unguarded_instructions();
}

/* --- cli ----------------------------------------------------------------------------------- */

/*
 * walk 24: A guest's cli, watched faulting
 *
 * Claim: Here is everything at once. CPL is 1 and IOPL 0, so CLI is #GP with error code 0 (SDM vol.
 * 2, CLI). The gate of vector 13 leads to e008, the stack comes from the TSS, five words and the
 * error code are pushed (stops 10 and 11). The hypervisor looks at the instruction, finds that CLI is
 * the guest's to hear of, writes a bounce frame of four words below the toy's esp (stop 14), and
 * leaves by IRET (stop 22) to the toy's handler, in ring 1 again. To watch it: `make bochs-debug
 * SCRIPT=cli`, or `make gdb GUEST=toy` with `hbreak execute_cli`.
 * Without it: If CLI did not fault but was ignored, as POPF is, the kernel would believe that it
 * cannot be interrupted, and be wrong.
 * Shown by: tests/system/test_bochs_debug.py::test_cli_script,
 * tests/system/test_gdb.py::test_guest_cli, tests/system/test_toy.py::test_commands
 * Part: 2
 */
static void execute_cli(void *argument)
{
    (void)argument;
    __asm__ volatile("cli");
}

void command_cli(const char *argument)
{
    struct trap_frame frame;

    (void)argument;
    printf("cli in ring %u with IOPL %u:\n", read_cs() & 3, (read_eflags() & EFLAGS_IOPL) >> 12);
    if (!catch_fault(execute_cli, NULL, &frame)) {
        printf("no fault: the hypervisor emulated it, and did nothing\n");
        return;
    }
    frame_print(&frame);
    printf("The processor faulted into ring 0, and the hypervisor wrote this frame onto our\n"
           "stack. A PV kernel sets vcpu_info's event mask instead: one store, no trap.\n");
}

/* --- poke ---------------------------------------------------------------------------------- */

static uint32_t word;

static void read_word(void *address)
{
    word = *(volatile uint32_t *)address;
}

/* What was read is written back: on a machine that does not enforce limits another value would damage
 * whatever lives there. */
static void write_word(void *address)
{
    *(volatile uint32_t *)address = word;
}

/* Which of the processor's two checks said no: the segment's comes first, then the page's. */
static const char *refused_by(const struct trap_frame *frame)
{
    if (frame->vector == VECTOR_GP)
        return "by the limit of ds: the page tables were not asked";
    if (frame->vector != VECTOR_PF)
        return "by another check";
    return frame->error & 1 ? "by the page's rights: the segment allowed it"
                            : "as no page is there: the segment allowed it";
}

static void attempt(const char *verb, void (*access)(void *), uint32_t address)
{
    struct trap_frame frame;

    if (catch_fault(access, (void *)address, &frame)) {
        printf("%s 0x%08x: refused %s\n", verb, address, refused_by(&frame));
        frame_print(&frame);
    } else {
        printf("%s 0x%08x: no fault, the word is 0x%08x\n", verb, address, word);
    }
}

void command_poke(const char *argument)
{
    uint32_t address, limit = 0;
    struct trap_frame frame;

    if (!number_parse(argument, 0, UINT32_MAX, &address)) {
        printf("usage: poke ADDR, from 0 to 0xffffffff   (segments end at 0x%08x)\n", LIMIT_END);
        return;
    }
    if (load_limit(read_ds(), &limit) && address > limit)
        printf("0x%08x is beyond the limit of ds, 0x%08x\n", address, limit);
    word = 0;
    attempt("read", read_word, address);
    attempt("write", write_word, address);
    if (address < LIMIT_END)
        return;
    if (catch_fault(read_word, (void *)address, &frame) && frame.vector == VECTOR_GP)
        printf(
            "The limit keeps ring 1 out of there. Paging alone could not: to it, rings 0 to 2 are\n"
            "all supervisor.\n");
    else
        printf(
            "This machine does not check limits, so paging alone decided; to it, rings 0 to 2 are\n"
            "all supervisor, and what the hypervisor has mapped is open to ring 1.\n");
}
