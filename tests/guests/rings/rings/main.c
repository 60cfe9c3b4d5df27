/* SPDX-License-Identifier: MIT */
/*
 * Rings: what a guest kernel in ring 1 and a program in ring 3 must not be able to do.
 *
 * A hostile guest has the whole instruction set. Each case here is one forbidden instruction, run
 * once in ring 1 and once in ring 3, and the fault it must give: vector, error code, and the
 * address of the instruction itself, all learned through this guest's trap table. If the processor
 * or the hypervisor let one through, the snippet reaches its `int $0x80` and the case fails.
 *
 * Three fences are tried:
 *  - segment limits: reading, writing, jumping and calling at and beyond 0xF6800000, hypervisor
 *    text included, through every segment register;
 *  - descriptor privilege: loading ring-0 segments, far transfers into them, gates with DPL 0;
 *  - privileged instructions: lgdt, lidt, ltr, mov cr3, cli, hlt, in, out and the like.
 *
 * Limits hold only where somebody checks them: processors and Bochs do, QEMU's TCG does not, and
 * a 64-bit hypervisor does not need them. One read beyond the limit tells. Without them ring 1 is
 * not contained and its cases are skipped, while ring 3 meets paging and gets #PF.
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <xen/version.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define RING0_CS 0xe008 /* the ABI's flat selectors begin at 0xe008: ring 0, then ring 1, ring 3 */
#define RING0_DS 0xe010

/* --- snippets ------------------------------------------------------------------------------ */

/*
 * One forbidden instruction, position-independent, with its operand in EAX: `prepare`, then the
 * instruction itself at NAME_at, then the system call that says nothing stopped it. Ring 1 runs it
 * where it is; ring 3 runs a copy of them all at USER_BASE.
 */
#define SNIPPET(name, prepare, instruction)                                        \
    __asm__(".pushsection .rodata.snippets, \"a\"\n" #name ": " prepare "\n" #name \
            "_at: " instruction "\n"                                               \
            "int $0x80\n"                                                          \
            ".popsection");                                                        \
    extern const char name[], name##_at[]

__asm__(".pushsection .rodata.snippets, \"a\"\nsnippets:\n.popsection");
extern const char snippets[], snippets_end[];

/* clang-format off */
SNIPPET(read_via_ds, "", "movl (%eax), %ecx");
SNIPPET(read_via_cs, "", "movl %cs:(%eax), %ecx");
SNIPPET(read_via_ss, "", "movl %ss:(%eax), %ecx");
SNIPPET(read_via_user_ds, "movl $0xe033, %ecx; movl %ecx, %fs", "movl %fs:(%eax), %ecx");
SNIPPET(read_string, "movl %eax, %esi", "lodsl");
SNIPPET(write_via_ds, "", "movl %ecx, (%eax)");
SNIPPET(write_string, "movl %eax, %edi", "stosl");
SNIPPET(jump, "", "jmp *%eax");
SNIPPET(call, "", "call *%eax");
SNIPPET(return_near, "pushl %eax", "ret");

SNIPPET(load_ds, "", "movl %eax, %ds");
SNIPPET(load_es, "", "movl %eax, %es");
SNIPPET(load_fs, "", "movl %eax, %fs");
SNIPPET(load_gs, "", "movl %eax, %gs");
SNIPPET(load_ss, "", "movl %eax, %ss");
SNIPPET(pop_ds, "pushl %eax", "popl %ds");
SNIPPET(far_jump, "", "ljmp *(%eax)");
SNIPPET(far_call, "", "lcall *(%eax)");
SNIPPET(far_return, "pushl %eax; pushl $0", "lret");
SNIPPET(interrupt_return, "pushfl; pushl %eax; pushl $0", "iret");
SNIPPET(interrupt_page_fault, "", "int $14");
SNIPPET(interrupt_absent, "", "int $0x21");
SNIPPET(interrupt_hypercall, "", "int $0x82");

SNIPPET(load_gdt, "", "lgdt (%eax)");
SNIPPET(load_idt, "", "lidt (%eax)");
SNIPPET(load_task, "", "ltr %ax");
SNIPPET(load_ldt, "", "lldt %ax");
SNIPPET(write_cr3, "", "movl %eax, %cr3");
SNIPPET(read_cr3, "", "movl %cr3, %ecx");
SNIPPET(write_cr0, "", "movl %eax, %cr0");
SNIPPET(write_cr4, "", "movl %eax, %cr4");
SNIPPET(write_dr7, "", "movl %eax, %dr7");
SNIPPET(load_status, "", "lmsw %ax");
SNIPPET(clear_ts, "", "clts");
SNIPPET(clear_if, "", "cli");
SNIPPET(set_if, "", "sti");
SNIPPET(halt, "", "hlt");
SNIPPET(in_port, "", "inb $0x80, %al");
SNIPPET(in_dx, "movl $0x3f8, %edx", "inb %dx, %al");
SNIPPET(out_port, "", "outb %al, $0x80");
SNIPPET(out_string, "movl $0x80, %edx; movl %eax, %esi", "outsb");
SNIPPET(read_msr, "movl $0x1b, %ecx", "rdmsr");
SNIPPET(write_msr, "movl $0x174, %ecx; xorl %edx, %edx", "wrmsr");
SNIPPET(invalidate_page, "", "invlpg (%eax)");
SNIPPET(invalidate_caches, "", "invd");
SNIPPET(write_back_caches, "", "wbinvd");
/* clang-format on */

__asm__(".pushsection .rodata.snippets, \"a\"\nsnippets_end:\n.popsection");

#define CODE(name) #name, name, name##_at

/* --- running one in either ring ------------------------------------------------------------- */

/* Ring 3's page: the snippets, then far pointers, then its stack growing down from the end. */
#define FAR_POINTERS ((volatile struct far_pointer *)(USER_BASE + 0xc00))

struct far_pointer {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed));

struct attempt {
    const char *code;
    uint32_t operand;
};

static uint32_t user_address(const char *code)
{
    return USER_BASE + (code - snippets);
}

/* Nothing comes back from here: the snippet faults, or ends in int $0x80, which is caught too. */
static void run_ring1(void *argument)
{
    const struct attempt *attempt = argument;

    __asm__ volatile("jmp *%%ecx" ::"a"(attempt->operand), "c"(attempt->code));
}

static void run(int ring, const char *code, uint32_t operand, struct trap_frame *frame)
{
    struct attempt attempt = {code, operand};

    if (ring == 1) {
        catch_fault(run_ring1, &attempt, frame);
        return;
    }
    user_frame(frame, user_address(code), USER_BASE + PAGE_SIZE);
    frame->eax = operand;
    user_run(frame);
}

/* What a snippet gave must be this vector and error code, at the instruction itself. */
static void expect(int ring, const char *name, const char *code, const char *at, uint32_t operand,
                   uint32_t vector, uint32_t error)
{
    struct trap_frame frame = {0};
    uint32_t eip = ring == 1 ? (uint32_t)at : user_address(at);

    run(ring, code, operand, &frame);
    if (tap_ok(frame.vector == vector && frame.error == error && frame.eip == eip,
               "ring %d: %s %08x gives %s, error %04x", ring, name, operand, vector_name(vector),
               error))
        return;
    if (frame.vector == VECTOR_SYSCALL) {
        tap_diag("nothing stopped it");
        return;
    }
    tap_diag("got this at %08x instead:", eip);
    frame_print(&frame);
}

/* --- segment limits -------------------------------------------------------------------------- */

static bool contained; /* set once, by probe(): somebody checks segment limits here */

static void probe(void)
{
    struct trap_frame frame = {0};

    run(1, read_via_ds, LIMIT_END, &frame);
    contained = frame.vector == VECTOR_GP;
    tap_diag("segment limits are %s here", contained ? "enforced" : "NOT enforced");
}

/* A page fault is what ring 3 gets where the limit does not come first. */
static void expect_limit(int ring, const char *name, const char *code, const char *at,
                         uint32_t operand, uint32_t vector)
{
    struct trap_frame frame = {0};

    if (contained) {
        expect(ring, name, code, at, operand, vector, 0);
    } else if (ring == 1) {
        tap_skip("not contained", "ring 1: %s %08x", name, operand);
    } else {
        run(ring, code, operand, &frame);
        if (!tap_ok(frame.vector == VECTOR_PF, "ring 3: %s %08x gives #PF", name, operand))
            frame_print(&frame);
    }
}

struct limit_case {
    const char *name, *code, *at;
    uint32_t vector;
};

static const struct limit_case limit_cases[] = {
    {CODE(read_via_ds), VECTOR_GP},  {CODE(read_via_cs), VECTOR_GP},
    {CODE(read_via_ss), VECTOR_SS},  {CODE(read_via_user_ds), VECTOR_GP},
    {CODE(read_string), VECTOR_GP},  {CODE(write_via_ds), VECTOR_GP},
    {CODE(write_string), VECTOR_GP}, {CODE(jump), VECTOR_GP},
    {CODE(call), VECTOR_GP},         {CODE(return_near), VECTOR_GP},
};

/* The first byte beyond, the hypervisor's half-way, the last word of all. */
static void test_limits(int ring)
{
    static const uint32_t addresses[] = {LIMIT_END, 0xFBC00000, 0xFFFFFFFC};

    for (unsigned int i = 0; i < sizeof(limit_cases) / sizeof(limit_cases[0]); i++)
        for (unsigned int j = 0; j < sizeof(addresses) / sizeof(addresses[0]); j++)
            expect_limit(ring, limit_cases[i].name, limit_cases[i].code, limit_cases[i].at,
                         addresses[j], limit_cases[i].vector);
    expect_limit(ring, "a read that only ends beyond it:", read_via_ds, read_via_ds_at,
                 LIMIT_END - 2, VECTOR_GP);
    expect_limit(ring, "a read that wraps around:", read_via_ds, read_via_ds_at, 0xFFFFFFFE,
                 VECTOR_GP);
}

/* SIDT and SGDT work in every ring: the tables' addresses are no secret, their contents are. */
static void test_tables(int ring)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) gdt, idt;

    __asm__ volatile("sgdt %0; sidt %1" : "=m"(gdt), "=m"(idt));
    expect_limit(ring, "the GDT: read_via_ds", read_via_ds, read_via_ds_at, gdt.base, VECTOR_GP);
    expect_limit(ring, "the GDT: write_via_ds", write_via_ds, write_via_ds_at, gdt.base, VECTOR_GP);
    expect_limit(ring, "the IDT: read_via_ds", read_via_ds, read_via_ds_at, idt.base, VECTOR_GP);
    expect_limit(ring, "the IDT: write_via_ds", write_via_ds, write_via_ds_at, idt.base, VECTOR_GP);
}

/* Every `step` bytes from the limit to the top of memory: wherever the hypervisor's text and data
 * lie, they are among these. */
static void test_sweep(int ring, uint32_t step)
{
    struct trap_frame frame = {0};
    uint32_t address = LIMIT_END, bad = 0;

    if (!contained) {
        tap_skip("not contained", "ring %d: every %u KiB from %08x up", ring, step / 1024, address);
        return;
    }
    for (; address >= LIMIT_END; address += step) {
        run(ring, read_via_ds, address, &frame);
        if (frame.vector != VECTOR_GP && bad == 0)
            bad = address;
    }
    if (!tap_ok(bad == 0, "ring %d: reading every %u KiB from %08x up gives #GP", ring, step / 1024,
                LIMIT_END))
        tap_diag("first exception: %08x", bad);
}

static bool is_64bit_hypervisor(void)
{
    xen_capabilities_info_t capabilities = "";

    hv_xen_version(XENVER_capabilities, capabilities);
    return strstr(capabilities, "x86_64") != NULL;
}

/* LSL tells the limit that is in force, even where nobody checks it. */
static void test_limit_values(void)
{
    static const uint16_t selectors[] = {FLAT_KERNEL_CS, FLAT_KERNEL_DS, FLAT_USER_CS,
                                         FLAT_USER_DS};

    for (unsigned int i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
        uint32_t limit = 0;

        __asm__("lsl %1, %0" : "+r"(limit) : "r"((uint32_t)selectors[i]) : "cc");
        if (is_64bit_hypervisor())
            tap_skip("a 64-bit hypervisor", "selector %04x ends at %08x", selectors[i], limit);
        else
            tap_is(limit, LIMIT_END - 1, "selector %04x ends at %08x", selectors[i], limit);
    }
}

/* --- descriptor privilege -------------------------------------------------------------------- */

struct privilege_case {
    const char *name, *code, *at;
    uint16_t selector;
};

/* The error code is the selector without its RPL. */
static const struct privilege_case load_cases[] = {
    {CODE(load_ds), RING0_DS},    {CODE(load_es), RING0_DS},
    {CODE(load_fs), RING0_DS},    {CODE(load_gs), RING0_DS},
    {CODE(load_ss), RING0_DS},    {CODE(pop_ds), RING0_DS},
    {CODE(load_ds), RING0_CS},    {CODE(load_ss), FLAT_KERNEL_CS},
    {CODE(far_return), RING0_CS}, {CODE(interrupt_return), RING0_CS},
};

static void test_loads(int ring)
{
    for (unsigned int i = 0; i < sizeof(load_cases) / sizeof(load_cases[0]); i++) {
        const struct privilege_case *c = &load_cases[i];

        expect(ring, c->name, c->code, c->at, c->selector, VECTOR_GP, c->selector & ~3);
    }
    /* RPL 3 asks for less, not for more: still no. */
    expect(ring, "load_ds with RPL 3", load_ds, load_ds_at, RING0_DS | 3, VECTOR_GP, RING0_DS);
}

static void test_far_transfer(int ring, const char *what, uint16_t selector, uint32_t offset)
{
    char name[64];

    FAR_POINTERS[0].selector = selector;
    FAR_POINTERS[0].offset = offset;
    snprintf(name, sizeof(name), "far jump to %s %04x:", what, selector);
    expect(ring, name, far_jump, far_jump_at, (uint32_t)FAR_POINTERS, VECTOR_GP, selector & ~3);
    snprintf(name, sizeof(name), "far call to %s %04x:", what, selector);
    expect(ring, name, far_call, far_call_at, (uint32_t)FAR_POINTERS, VECTOR_GP, selector & ~3);
}

/* A jump to a TSS would be a task switch, registers, CR3 and all. */
static void test_transfers(int ring)
{
    uint16_t task;

    __asm__("str %0" : "=r"(task));
    test_far_transfer(ring, "ring-0 code", RING0_CS, 0xFBC00000);
    test_far_transfer(ring, "ring-0 code, RPL 3,", RING0_CS | 3, 0xFBC00000);
    test_far_transfer(ring, "ring-0 data", RING0_DS, 0);
    test_far_transfer(ring, "the TSS", task, 0);
    if (ring == 3)
        test_far_transfer(ring, "ring-1 code", FLAT_KERNEL_CS, VIRT_BASE);
}

/* An error code of vector * 8 + 2 names an IDT entry. (QEMU 7.2 gets it wrong in 64-bit mode.) */
static void test_gates(int ring)
{
    if (is_64bit_hypervisor()) {
        tap_skip("a 64-bit hypervisor", "ring %d: gates with DPL 0", ring);
        return;
    }
    expect(ring, CODE(interrupt_page_fault), 0, VECTOR_GP, 14 * 8 + 2);
    expect(ring, CODE(interrupt_absent), 0, VECTOR_GP, 0x21 * 8 + 2);
    if (ring == 3)
        expect(ring, CODE(interrupt_hypercall), 0, VECTOR_GP, 0x82 * 8 + 2);
}

/* --- privileged instructions ------------------------------------------------------------------ */

struct instruction_case {
    const char *name, *code, *at;
    uint32_t operand;
    bool ring1_too; /* false: in ring 1 the hypervisor emulates it, as the ABI promises */
};

static const struct instruction_case instruction_cases[] = {
    {CODE(load_gdt), (uint32_t)FAR_POINTERS, true},
    {CODE(load_idt), (uint32_t)FAR_POINTERS, true},
    {CODE(load_task), 0xe040, true},
    {CODE(load_ldt), 0, true},
    {CODE(write_cr3), 0x1000, true}, /* emulated, but frame 1 is no level-3 table */
    {CODE(read_cr3), 0, false},
    {CODE(write_cr0), 0, true}, /* emulated, but only TS may change */
    {CODE(write_cr4), 0, false},
    {CODE(write_dr7), 0, false},
    {CODE(load_status), 0, true},
    {CODE(clear_ts), 0, false},
    {CODE(clear_if), 0, true},
    {CODE(set_if), 0, true},
    {CODE(halt), 0, true},
    {CODE(in_port), 0, true},
    {CODE(in_dx), 0, true},
    {CODE(out_port), 0, true},
    {CODE(out_string), USER_BASE, true},
    {CODE(read_msr), 0, false},
    {CODE(write_msr), 0, false},
    {CODE(invalidate_page), USER_BASE, true},
    {CODE(invalidate_caches), 0, true},
    {CODE(write_back_caches), 0, false},
};

static void test_instructions(int ring)
{
    for (unsigned int i = 0; i < sizeof(instruction_cases) / sizeof(instruction_cases[0]); i++) {
        const struct instruction_case *c = &instruction_cases[i];

        if (ring == 3 || c->ring1_too)
            expect(ring, c->name, c->code, c->at, c->operand, VECTOR_GP, 0);
    }
}

/* POPF does not fault in ring 1: it leaves IF and IOPL as they are, silently. */
static void test_popf(void)
{
    uint32_t before = read_eflags(), after;

    __asm__ volatile("pushl %1; popfl; pushfl; popl %0"
                     : "=r"(after)
                     : "r"((before & ~EFLAGS_IF) | EFLAGS_IOPL)
                     : "memory", "cc");
    tap_is(after & (EFLAGS_IF | EFLAGS_IOPL), before & (EFLAGS_IF | EFLAGS_IOPL),
           "ring 1: popf changes neither IF nor IOPL");
}

static void map_user_page(void)
{
    void *page = page_alloc();

    if (snippets_end - snippets > 0xc00 ||
        map_page((void *)USER_BASE, pte_make(linear_to_mfn(page), PAGE_USER)) != 0)
        panic("no page for ring 3");
    memcpy(page, snippets, snippets_end - snippets);
}

int main(void)
{
    map_user_page();
    probe();
    test_limit_values();
    for (int ring = 1; ring <= 3; ring += 2) {
        test_limits(ring);
        test_tables(ring);
        test_sweep(ring, ring == 1 ? PAGE_SIZE : 16 * PAGE_SIZE);
        test_loads(ring);
        test_transfers(ring);
        test_gates(ring);
        test_instructions(ring);
    }
    test_popf();
    tap_done();
}
