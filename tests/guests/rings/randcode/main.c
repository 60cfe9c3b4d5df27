/* SPDX-License-Identifier: MIT */
/*
 * Randcode: random bytes executed as instructions, in ring 3 and in ring 1.
 *
 * One instruction at a time, single-stepped, with random registers that like to point where it
 * hurts. Each runs in ring 3 first; what that showed to be harmless to this kernel itself (its
 * stack pointer, its memory) runs in ring 1 too, where privileged instructions reach the
 * hypervisor's emulation. Whatever they do, this guest must hear of each as the exception it is,
 * and the hypervisor and the other guests must not notice: tests/system/test_randcode.py has a
 * neighbour watch.
 *
 * Words on the command line: seed=N, count=N instructions, iopl=N (virtual IOPL; not for a domain
 * that has devices). The same seed gives the same instructions.
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/physdev.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define EFLAGS_RF 0x10000u
#define LONGEST 15

/* Ring 3's part, which ring 1 uses too: code, data, and a stack with room for handlers below. */
#define CODE ((uint8_t *)(USER_BASE + 0x800))
#define DATA (USER_BASE + PAGE_SIZE)
#define STACK_PAGES 4
#define STACK_TOP (DATA + (1 + STACK_PAGES) * PAGE_SIZE - 1024)
#define END (DATA + (1 + STACK_PAGES) * PAGE_SIZE)

static uint32_t state = 1;

static uint32_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

/* --- what to execute -------------------------------------------------------------------------- */

/* Opcodes that deserve more than their share: privileged, emulated, or about segments. */
static const uint8_t favourites[][2] = {
    {0x0f, 0x00}, {0x0f, 0x01}, {0x0f, 0x02}, {0x0f, 0x05}, {0x0f, 0x06}, {0x0f, 0x09},
    {0x0f, 0x0b}, {0x0f, 0x20}, {0x0f, 0x21}, {0x0f, 0x22}, {0x0f, 0x23}, {0x0f, 0x30},
    {0x0f, 0x31}, {0x0f, 0x32}, {0x0f, 0x33}, {0x0f, 0x34}, {0x0f, 0x35}, {0x0f, 0xa2},
    {0x0f, 0xae}, {0x0f, 0xc7}, {0x6c, 0x6c}, {0x6e, 0x6f}, {0xe4, 0x21}, {0xe6, 0x80},
    {0xec, 0xed}, {0xee, 0xef}, {0xf3, 0x6c}, {0x66, 0x6f}, {0x9a, 0x00}, {0xea, 0x00},
    {0xcd, 0x80}, {0xcd, 0x20}, {0xcf, 0xcf}, {0xcb, 0xca}, {0xf4, 0xfa}, {0x8e, 0xd8},
    {0x64, 0xa1}, {0x65, 0x8b}, {0x36, 0x89}, {0x2e, 0x8b}, {0xf1, 0xcc}, {0x9d, 0x9c},
};

/* QEMU 7.2 aborts on LOCK BT (BTS, BTR, BTC) of a register, which is #UD: no LOCK with those. */
static void spare_emulator(uint8_t code[LONGEST])
{
    for (unsigned int i = 0; i + 1 < LONGEST; i++) {
        if (code[i] == 0x0f && ((code[i + 1] & 0xe7) == 0xa3 || code[i + 1] == 0xba)) {
            for (unsigned int j = 0; j < i; j++)
                code[j] = code[j] == 0xf0 ? 0x3e : code[j];
        }
    }
}

static void random_code(uint8_t code[LONGEST])
{
    unsigned int at = 0;

    for (unsigned int i = 0; i < LONGEST; i++)
        code[i] = rnd() >> 8;
    if ((rnd() & 3) == 0)
        return;
    if ((rnd() & 7) == 0)
        code[at++] = "\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3"[rnd() % 11];
    if (rnd() & 1)
        memcpy(code + at, favourites[rnd() % (sizeof(favourites) / 2)], 2);
    else if (rnd() & 1)
        code[at] = 0x0f;
    if ((rnd() & 31) == 0)
        memcpy(code, "\x0f\x0b\x78\x65\x6e\x0f\xa2", 7 - (rnd() & 1)); /* forced cpuid, or nearly */
}

static uint32_t random_value(void)
{
    switch (rnd() & 7) {
    case 0:
        return rnd();
    case 1:
        return rnd() % 64;
    case 2:
        return HOLE_BASE + rnd() % 0x2000000; /* the M2P and the hypervisor */
    case 3:
        return -(rnd() % 64);
    case 4:
        return (rnd() & 0xfff8) | (rnd() & 7); /* a selector, a port, an MSR */
    case 5:
        return 0xc0000000 + (rnd() & 0x1ffff); /* MSRs of AMD's; this kernel */
    default:
        return DATA + rnd() % (2 * PAGE_SIZE);
    }
}

static bool is_string(const uint8_t *code)
{
    for (unsigned int i = 0; i < 5; i++) {
        if ((code[i] & 0xfc) == 0x6c || (code[i] & 0xf4) == 0xa4)
            return true;
    }
    return false;
}

static void random_registers(const uint8_t *code, struct trap_frame *f)
{
    f->eax = random_value();
    f->ebx = random_value();
    f->ecx = random_value();
    f->edx = random_value();
    f->esi = random_value();
    f->edi = random_value();
    f->ebp = random_value();
    if (is_string(code)) {
        f->ecx &= 0x1fff;                        /* in case it is repeated */
        f->edi = DATA + rnd() % (2 * PAGE_SIZE); /* INS in ring 1 writes, where ring 3 may not */
    }
}

/* --- running it --------------------------------------------------------------------------------- */

static volatile bool running; /* random code is what was interrupted */

/* Breakpoints that random code set may hit this kernel, too: step over them. */
static bool debug_trap(struct trap_frame *frame)
{
    if (running)
        return false;
    frame->eflags = (frame->eflags | EFLAGS_RF) & ~EFLAGS_TF;
    return true;
}

/* Random code may set TS: #NM has cleared it, and its own FPU instruction goes on. */
static bool no_fpu(struct trap_frame *frame)
{
    (void)frame;
    return true;
}

/* On the scratch stack, by an IRET that sets TF: #DB comes behind the next instruction. */
static void enter(void *argument)
{
    __asm__ volatile("movl %c1(%%eax), %%esp\n\t"
                     "pushl %c2(%%eax)\n\t"
                     "pushl %%cs\n\t"
                     "pushl %c3(%%eax)\n\t"
                     "movl %c4(%%eax), %%ecx\n\t"
                     "movl %c5(%%eax), %%edx\n\t"
                     "movl %c6(%%eax), %%ebx\n\t"
                     "movl %c7(%%eax), %%esi\n\t"
                     "movl %c8(%%eax), %%edi\n\t"
                     "movl %c9(%%eax), %%ebp\n\t"
                     "movl %c10(%%eax), %%eax\n\t"
                     "iret"
                     :
                     : "a"(argument), "i"(offsetof(struct trap_frame, esp)),
                       "i"(offsetof(struct trap_frame, eflags)),
                       "i"(offsetof(struct trap_frame, eip)), "i"(offsetof(struct trap_frame, ecx)),
                       "i"(offsetof(struct trap_frame, edx)), "i"(offsetof(struct trap_frame, ebx)),
                       "i"(offsetof(struct trap_frame, esi)), "i"(offsetof(struct trap_frame, edi)),
                       "i"(offsetof(struct trap_frame, ebp)), "i"(offsetof(struct trap_frame, eax))
                     : "memory");
}

/* The FPU may be left with exceptions unmasked and pending: this kernel's printf would meet them. */
static void finish(void)
{
    static const uint32_t mxcsr = 0x1f80;

    __asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
    running = false;
}

static void prepare(const uint8_t *code, struct trap_frame *f, const struct trap_frame *registers)
{
    memset(CODE - 0x400, 0xcc, 0x800);
    memcpy(CODE, code, LONGEST);
    memset((void *)STACK_TOP, 0, END - STACK_TOP); /* what a far return finds is refused */
    user_frame(f, (uint32_t)CODE, STACK_TOP);
    f->eax = registers->eax;
    f->ebx = registers->ebx;
    f->ecx = registers->ecx;
    f->edx = registers->edx;
    f->esi = registers->esi;
    f->edi = registers->edi;
    f->ebp = registers->ebp;
    f->eflags |= EFLAGS_TF | (registers->eflags & 0x8d5);
}

static void run_ring3(const uint8_t *code, struct trap_frame *f, const struct trap_frame *registers)
{
    prepare(code, f, registers);
    running = true;
    user_run(f);
    finish();
}

static void run_ring1(const uint8_t *code, struct trap_frame *f, const struct trap_frame *registers)
{
    struct trap_frame in;

    prepare(code, &in, registers);
    running = true;
    catch_fault(enter, &in, f);
    finish();
    hv_set_debugreg(7, 0);
}

static bool contains(const uint8_t *code, uint8_t first, uint8_t mask, uint8_t second)
{
    for (unsigned int i = 0; i + 1 < LONGEST; i++) {
        if (code[i] == first && (code[i + 1] & mask) == second)
            return true;
    }
    return false;
}

/*
 * May ring 1 execute it without ruining this kernel? Ring 3 showed what becomes of esp and which
 * memory it wants: where it had a page fault, ring 1 must have it too. Hypercalls have a test of
 * their own (hostile); what loads esp once it is allowed to (MOV from CRn, LSS) is left out.
 */
static bool fit_for_ring1(const uint8_t *code, const struct trap_frame *f, uint32_t cr2)
{
    if (contains(code, 0xcd, 0xff, 0x82) || contains(code, 0x0f, 0xff, 0xb2))
        return false;
    for (unsigned int i = 0; i + 2 < LONGEST; i++) {
        if (code[i] == 0x0f && (code[i + 1] & 0xfc) == 0x20 && (code[i + 2] & 7) == 4)
            return false;
    }
    if (f->vector == VECTOR_PF)
        return cr2 < VIRT_BASE || (cr2 >= WINDOW_END && cr2 < HOLE_BASE);
    return f->esp - (STACK_TOP - 64) < 128;
}

/* --- the test ------------------------------------------------------------------------------------ */

static uint32_t tried[2], stepped[2]; /* ring 3, ring 1 */

static void one(void)
{
    struct trap_frame registers = {0}, f;
    uint8_t code[LONGEST];

    random_code(code);
    spare_emulator(code);
    random_registers(code, &registers);
    registers.eflags = rnd();
    run_ring3(code, &f, &registers);
    tried[0]++;
    stepped[0] += f.vector == VECTOR_DB;
    if (!fit_for_ring1(code, &f, fault_address()))
        return;
    run_ring1(code, &f, &registers);
    tried[1]++;
    stepped[1] += f.vector == VECTOR_DB;
}

static void map_pages(void)
{
    for (uint32_t va = USER_BASE; va < END; va += PAGE_SIZE) {
        if (map_page((void *)va, pte_make(linear_to_mfn(page_alloc()), PAGE_USER)))
            panic("no pages for ring 3");
    }
}

static uint32_t word(int argc, char **argv, const char *name, uint32_t otherwise)
{
    size_t length = strlen(name);

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, length) == 0)
            return strtoul(argv[i] + length, NULL, 0);
    }
    return otherwise;
}

int main(int argc, char **argv)
{
    uint32_t count = word(argc, argv, "count=", 50000);
    uint32_t version = hv_xen_version(0, NULL);
    struct physdev_set_iopl iopl = {.iopl = word(argc, argv, "iopl=", 0)};

    state = word(argc, argv, "seed=", 20221122);
    hv_physdev_op(PHYSDEVOP_set_iopl, &iopl);
    map_pages();
    trap_hook(VECTOR_DB, debug_trap);
    trap_hook(VECTOR_NM, no_fpu);
    for (uint32_t i = 0; i < count; i++) {
        one();
        if (i % 100000 == 99999)
            tap_diag("%u of %u", i + 1, count);
    }
    tap_ok(tried[0] == count, "ring 3: %u instructions, %u of them ran to their end", tried[0],
           stepped[0]);
    tap_ok(tried[1] > count / 4, "ring 1: %u instructions, %u of them ran to their end", tried[1],
           stepped[1]);
    tap_ok(hv_xen_version(0, NULL) == (int)version, "the hypervisor answers as before");
    tap_done();
}
