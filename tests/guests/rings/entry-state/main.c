/* SPDX-License-Identifier: MIT */
/*
 * entry-state: every way into the hypervisor, with every way out of it that fails, under every flag
 * that a guest can set.
 *
 * The hypervisor once called C with the guest's EFLAGS.DF (int80-direction-flag): an instruction on
 * the way out had faulted, and the code that mends it ran with the flags of the fault. trapstate
 * looks for such states at random. This guest goes through them in order.
 *
 * A case is a way in, a fault on the way out and a pattern of flags; the guest's code is entered by
 * IRET or by the iret hypercall. Lives 1 to 16, one for each way in, survive all their cases: these
 * end in a handler, or, where that cannot be entered, in the failsafe callback. Which one is checked.
 * Every further life is one case that must end the domain: it asks for EFLAGS.VM (life 17), its kernel
 * stack takes no frame, or its handler cannot be entered and there is no failsafe callback. Debug
 * builds of the hypervisor check the state in which C is reached (arch/i386/c_state.c).
 *
 * Words: seed=N, the life; tests/system/test_entry.py counts them.
 *
 * Run: none (tests/system/test_entry.py)
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/callback.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/trap.h>

#define CODE USER_BASE
#define STACK_UNMAPPED (USER_BASE + 2 * PAGE_SIZE)
#define STACK (USER_BASE + 3 * PAGE_SIZE)
#define STACK_READONLY (USER_BASE + 4 * PAGE_SIZE)

#define LOST_SLOT 2 /* of our GDT: a data segment that goes away during a hypercall */
#define LOST (LOST_SLOT << 3 | 1)
#define NOTHING (5 << 3) /* of our GDT as well: never filled */
#define GOOD_DATA 0x00cff2000000ffffull
#define FLAG_TF EFLAGS_TF
#define FLAG_VM 0x00020000u

/* Causes other than vectors. */
enum { EVENT = 32, FAILSAFE, NMI, SYSENTER, SYSCALL, CAUSES };

#define ENTRIES(array) (sizeof(array) / sizeof((array)[0]))

/* DF, NT, AC, TF, RF and IOPL 3, each alone; the first pattern is all of them. */
static const uint32_t flags[] = {0x57500, 0, 0x400, 0x4000, 0x40000, 0x100, 0x10000, 0x3000};

/* How the guest leaves its code, and what then tells that it has worked. */
static const struct way {
    const char *name;
    uint8_t code[8];
    uint8_t cause, user; /* ring 3 */
} ways[] = {
    {"int 0x80", {0xcd, 0x80}, SYSCALL, 1},
    {"int3", {0xcc}, VECTOR_BP, 1},
    {"ud2", {0x0f, 0x0b}, VECTOR_UD, 1},
    {"int 0x82 in ring 3", {0xcd, 0x82}, VECTOR_GP, 1},
    {"page fault",
     {0xa0, STACK_UNMAPPED & 0xff, STACK_UNMAPPED >> 8 & 0xff, STACK_UNMAPPED >> 16, 0},
     VECTOR_PF,
     1},
    {"sysenter", {0x0f, 0x34}, SYSENTER, 1},
    {"event", {0xeb, 0xfe}, EVENT, 1},
    {"iret, cs", {0xeb, 0xfe}, FAILSAFE, 1},
    {"iret, ss", {0xeb, 0xfe}, FAILSAFE, 1},
    {"iret, ds", {0xeb, 0xfe}, FAILSAFE, 1},
    {"int3 in ring 1", {0xcc}, VECTOR_BP, 0},
    {"page fault in ring 1",
     {0xa0, STACK_UNMAPPED & 0xff, STACK_UNMAPPED >> 8 & 0xff, STACK_UNMAPPED >> 16, 0},
     VECTOR_PF,
     0},
    {"sysenter in ring 1", {0x0f, 0x34}, SYSENTER, 0},
    {"hypercall", {0xcd, 0x82, 0xcc}, VECTOR_BP, 0},
    {"hypercall, ds", {0xcd, 0x82, 0xcc}, FAILSAFE, 0},
    {"NMI", {0xcd, 0x82, 0xcc}, NMI, 0},
};
#define LIFE_VM (ENTRIES(ways) + 1)
enum { W_INT80, W_EVENT = 6, W_IRET_CS, W_IRET_SS, W_IRET_DS, NR_USER_WAYS, W_CALL_DS = 14, W_NMI };

/* What fails on the way out. */
enum {
    NOTHING_FAILS,
    HANDLER_CS,
    SURVIVED,
    NO_FAILSAFE = SURVIVED,
    SS_GONE,
    SS_RING3,
    NO_STACK,
    STACK_RO,
    NR_FAULTS
};

/* What launch_*() loads. The frame of a hypercall begins with eax, that of IRET with eip. */
struct launch {
    uint32_t es, ds, edi, esi, ebp, unused, ebx, edx, ecx, eax;
    uint32_t call_eax, eip, cs, eflags, esp, ss;
};

void launch_iret(const struct launch *l) __attribute__((noreturn));
void launch_hypercall(const struct launch *l) __attribute__((noreturn));
void landed(uint32_t cause) __attribute__((noreturn));
extern const char landings[CAUSES][16];

/* clang-format off */
__asm__(".text\n"
        "    .balign 16\n"
        "landings:\n"
        "    .set cause, 0\n"
        "    .rept 37\n"
        "    .balign 16\n"
        "    movl $cause, %ecx\n"
        "    jmp land\n"
        "    .set cause, cause + 1\n"
        "    .endr\n"
        /* Ring 0 must never come here: there, this is the hypervisor's own invalid opcode. */
        "land:\n"
        "    movl %cs, %eax\n"
        "    testb $3, %al\n"
        "    jnz 1f\n"
        "    ud2\n"
        "1:  movl %ss:(kernel_ss), %eax\n"
        "    movl %eax, %ss\n"
        "    movl $landing_stack + 8192, %esp\n"
        "    movl %eax, %ds\n"
        "    movl %eax, %es\n"
        "    pushl $2\n"
        "    popfl\n"
        "    pushl %ecx\n"
        "    call landed\n"
        "launch_hypercall:\n"
        "    movl 4(%esp), %esp\n"
        "    popl %es\n"
        "    popl %ds\n"
        "    popal\n"
        "    pushl %ss:(iret_number)\n"
        "    popl %eax\n"
        "    int $0x82\n"
        "    ud2\n"
        "launch_iret:\n"
        "    movl 4(%esp), %esp\n"
        "    popl %es\n"
        "    popl %ds\n"
        "    popal\n"
        "    leal 4(%esp), %esp\n"
        "    iret\n");
/* clang-format on */

uint32_t kernel_ss = FLAT_KERNEL_SS, iret_number = __HYPERVISOR_iret;
uint8_t landing_stack[8192] __attribute__((aligned(16)));

static uint32_t life = 1, way, fault, pattern, hypercall_iret, cases;
static uint64_t *gdt;
static struct {
    uint8_t below[4096];
    struct launch launch;
    uint8_t above[64];
} context;

/* On the hypervisor's console, which debug builds open to every domain. */
static void say(const char *what, uint32_t cause)
{
    char line[160];
    int n = snprintf(
        line, sizeof(line), "entry-state: life %lu: %s, fault %lu, flags %lx, iret %lu: %s %lu\n",
        (unsigned long)life, ways[way].name, (unsigned long)fault, (unsigned long)flags[pattern],
        (unsigned long)hypercall_iret, what, (unsigned long)cause);

    hv_console_io(CONSOLEIO_write, n, line);
}

static uint64_t lost_slot(void)
{
    return ((uint64_t)linear_to_mfn(gdt) << PAGE_SHIFT) + LOST_SLOT * sizeof(*gdt);
}

static void set_callback(uint16_t type, uint32_t cause, uint32_t cs)
{
    struct callback_register r = {.type = type,
                                  .address = {cs, cause ? (uint32_t)landings[cause] : 0}};

    if (hv_callback_op(CALLBACKOP_register, &r))
        panic("no callback %u", type);
}

static void set_handlers(void)
{
    static struct trap_info table[21];
    uint32_t cs = fault == HANDLER_CS || fault == NO_FAILSAFE ? NOTHING | 1 : FLAT_KERNEL_CS;
    uint32_t n = 0;

    for (uint32_t vector = 0; vector < 20; vector++)
        if (vector != 2)
            table[n++] = (struct trap_info){vector, vector == VECTOR_BP ? 3 : 0, cs,
                                            (uint32_t)landings[vector]};
    table[n] = (struct trap_info){VECTOR_SYSCALL, 3 | 4, cs, (uint32_t)landings[SYSCALL]};
    if (hv_set_trap_table(table))
        panic("no trap table");
    set_callback(CALLBACKTYPE_event, EVENT, cs);
    set_callback(CALLBACKTYPE_nmi, NMI, cs);
    set_callback(CALLBACKTYPE_sysenter, SYSENTER, cs);
    set_callback(CALLBACKTYPE_failsafe, fault == NO_FAILSAFE ? 0 : FAILSAFE, FLAT_KERNEL_CS);
}

static void set_stack(void)
{
    static const struct {
        uint32_t ss, esp;
    } stacks[NR_FAULTS] = {[NOTHING_FAILS] = {FLAT_KERNEL_SS, STACK + PAGE_SIZE},
                           [HANDLER_CS] = {FLAT_KERNEL_SS, STACK + PAGE_SIZE},
                           [NO_FAILSAFE] = {FLAT_KERNEL_SS, STACK + PAGE_SIZE},
                           [SS_GONE] = {NOTHING | 1, STACK + PAGE_SIZE},
                           [SS_RING3] = {FLAT_USER_SS, STACK + PAGE_SIZE},
                           [NO_STACK] = {FLAT_KERNEL_SS, STACK_UNMAPPED + 64},
                           [STACK_RO] = {FLAT_KERNEL_SS, STACK_READONLY + 512}};

    if (hv_stack_switch(stacks[fault].ss, stacks[fault].esp))
        panic("no stack");
}

/* update_descriptor empties LOST, on the way to the iret of a multicall or in ring 1. */
static struct multicall_entry list[2];

static void set_list(struct launch *l)
{
    list[0].op = __HYPERVISOR_update_descriptor;
    list[0].args[0] = (uint32_t)lost_slot();
    list[0].args[1] = lost_slot() >> 32;
    list[0].args[2] = list[0].args[3] = 0;
    list[1].op = __HYPERVISOR_iret;
    l->ebx = (uint32_t)list;
    l->ecx = ENTRIES(list);
}

static void set_call(struct launch *l)
{
    iret_number = way == W_IRET_DS ? __HYPERVISOR_multicall : __HYPERVISOR_iret;
    if (way == W_IRET_DS)
        set_list(l);
    l->eax = __HYPERVISOR_xen_version; /* its command 0 needs nothing else */
    if (way == W_NMI) {
        l->eax = __HYPERVISOR_vcpu_op;
        l->ebx = VCPUOP_send_nmi;
    }
    if (way == W_CALL_DS) {
        l->eax = __HYPERVISOR_update_descriptor;
        l->ebx = (uint32_t)lost_slot();
        l->ecx = lost_slot() >> 32;
    }
}

/* IRET neither takes events' mask nor unmasks NMIs, and its own faults never reach the hypervisor's. */
static bool needs_hypercall(void)
{
    return (way >= W_EVENT && way <= W_IRET_DS) || way == W_NMI;
}

static void __attribute__((noreturn)) run_case(void)
{
    struct launch *l = &context.launch;
    bool user = ways[way].user;

    set_handlers();
    set_stack();
    hv_update_descriptor(lost_slot(), GOOD_DATA);
    memcpy((void *)CODE, ways[way].code, sizeof(ways[way].code));
    memset(l, 0, sizeof(*l));
    set_call(l);
    l->ds = l->es = way == W_CALL_DS || way == W_IRET_DS ? LOST : FLAT_USER_DS;
    l->eip = CODE;
    l->cs = way == W_IRET_CS ? NOTHING | 3 : user ? FLAT_USER_CS : FLAT_KERNEL_CS;
    l->ss = way == W_IRET_SS ? NOTHING | 3 : user ? FLAT_USER_SS : FLAT_KERNEL_SS;
    l->esp = STACK + PAGE_SIZE / 2;
    l->eflags = flags[pattern] | (life == LIFE_VM ? FLAG_VM : 0) | 2;
    /*
     * The hypercall takes the upcall mask to be from IF. Events are on for an event, and for int $0x80,
     * whose short way (int80_entry) is not taken while they are masked.
     */
    l->eflags |= way == W_EVENT || way == W_INT80 ? EFLAGS_IF : 0;
    vcpu()->evtchn_upcall_mask = way != W_INT80;
    vcpu()->evtchn_upcall_pending = way == W_EVENT;
    if (!hypercall_iret)
        launch_iret(l);
    l->call_eax = l->eax;
    launch_hypercall(l);
}

/* The next case that is survived: flags first, then faults, then ways into the guest. */
static bool next_case(void)
{
    if (++pattern < ENTRIES(flags))
        return true;
    pattern = 0;
    if (++fault < SURVIVED)
        return true;
    fault = 0;
    return ++hypercall_iret < 2;
}

/* TF may trap after the return to the guest, before anything else does. */
static void check(uint32_t cause)
{
    uint32_t expected = fault == HANDLER_CS ? FAILSAFE : ways[way].cause;

    if (cause == expected || (cause == VECTOR_DB && (flags[pattern] & FLAG_TF)))
        return;
    say("unexpected cause", cause);
    domain_shutdown(SHUTDOWN_reboot);
}

void landed(uint32_t cause)
{
    vcpu()->evtchn_upcall_mask = 1;
    vcpu()->evtchn_upcall_pending = 0;
    check(cause);
    cases++;
    if (life >= LIFE_VM) {
        say("survived, cause", cause);
        domain_shutdown(SHUTDOWN_reboot);
    }
    if (next_case())
        run_case();
    fault = pattern = 0;
    say("all cases end as they should:", cases);
    domain_shutdown(SHUTDOWN_poweroff);
}

static void map_at(uint32_t va, uint64_t page_flags)
{
    if (map_page((void *)va, pte_make(linear_to_mfn(page_alloc()), page_flags)))
        panic("no page");
}

static void set_up(void)
{
    unsigned long frame;

    map_at(CODE, PAGE_USER);
    map_at(STACK, PAGE_USER);
    map_at(STACK_READONLY, PAGE_USER_RO);
    memset((void *)shared()->evtchn_mask, 0xff, sizeof(shared()->evtchn_mask));
    gdt = page_alloc();
    frame = linear_to_mfn(gdt);
    if (map_page(gdt, pte_make(frame, PAGE_KERNEL_RO)) || hv_set_gdt(&frame, 16))
        panic("no GDT");
}

/* The one case of a life that ends by it. */
static void choose_deadly(uint32_t number)
{
    const uint32_t faults = NR_FAULTS - SURVIVED;

    fault = SURVIVED + number % faults;
    way = number / faults % NR_USER_WAYS;
    pattern = number / faults / NR_USER_WAYS % ENTRIES(flags);
    hypercall_iret = needs_hypercall();
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "seed=", 5) == 0)
            life = strtoul(argv[i] + 5, NULL, 0);
    set_up();
    if (life < LIFE_VM) {
        way = life - 1;
        hypercall_iret = needs_hypercall();
    } else if (life == LIFE_VM) {
        hypercall_iret = 1;
    } else {
        choose_deadly(life - LIFE_VM - 1);
    }
    run_case();
}
