/* SPDX-License-Identifier: MIT */
/*
 * code.c: a few random instructions: those that trap, call, return, load segments and change flags.
 *
 * The same code runs in ring 1 and in ring 3. It writes through registers only where random_value()
 * points: never into this guest's own data.
 */
#include "trapstate.h"

#include <string.h>

#include <pv/page.h>
#include <xen/vcpu.h>

#define ENTRIES(array) (sizeof(array) / sizeof((array)[0]))

static uint8_t *at;

static void bytes(const char *code, uint32_t n)
{
    memcpy(at, code, n);
    at += n;
}

static void word(uint32_t value)
{
    memcpy(at, &value, sizeof(value));
    at += sizeof(value);
}

/* mov $value, %reg: 0 eax, 1 ecx, 2 edx, 3 ebx, 4 esp, 5 ebp, 6 esi, 7 edi */
static void load(uint8_t reg, uint32_t value)
{
    *at++ = 0xb8 + reg;
    word(value);
}

uint32_t random_value(void)
{
    switch (below(8)) {
    case 0:
        return rnd();
    case 1:
        return random_selector();
    case 2:
        return random_handler();
    case 3:
    case 4:
        return random_stack();
    case 5:
        return below(64);
    default:
        return SHARED + 64 + below(1024);
    }
}

/* Once in four times each of CF to OF, IOPL, NT, RF, AC, VIF, VIP, ID; more rarely TF and VM. */
uint32_t random_eflags(void)
{
    uint32_t rare = (chance(8) ? EFLAGS_TF : 0) | (chance(64) ? EFLAGS_VM : 0);

    return (rnd() & rnd() & 0x003d7cd5) | rare | (chance(8) ? 0 : EFLAGS_IF) | 2;
}

/* Not VM: QEMU's IRET in ring 1 honours it. */
static uint32_t pushed_eflags(void)
{
    return random_eflags() & (allow_vm ? ~0u : ~EFLAGS_VM);
}

/* --- groups of instructions --------------------------------------------------------------------- */

static void flags(void)
{
    switch (below(4)) {
    case 0:
        *at++ = 0xfd; /* std */
        break;
    case 1:
        *at++ = 0xfc; /* cld */
        break;
    default:
        *at++ = 0x68; /* push $flags; popf */
        word(random_eflags());
        *at++ = 0x9d;
    }
}

/* mov $selector, %eax; mov %eax, %es, (cs: #UD), %ss, %ds, %fs, %gs */
static void load_segment(void)
{
    load(0, random_selector());
    bytes("\x8e", 1);
    *at++ = 0xc0 | below(6) << 3;
}

static void load_stack(void)
{
    load(0, chance(2) ? random_selector() : chance(2) ? FLAT_KERNEL_SS : FLAT_USER_SS);
    bytes("\x8e\xd0", 2);
    load(4, random_stack());
}

/* The instruction behind MOV SS holds back a #DB: it then comes in ring 0. */
static void interrupt_in_shadow(void)
{
    load(0, chance(2) ? FLAT_KERNEL_SS : FLAT_USER_SS);
    bytes(chance(2) ? "\x8e\xd0" : "\x50\x17", 2); /* mov %eax, %ss; or push %eax, pop %ss */
}

static void interrupt(void)
{
    static const uint8_t vectors[] = {0x80, 0x80, 0x80, 0x82, 0x82, HOME_VECTOR, 3, 4, 14, 2, 8, 1};

    *at++ = 0xcd;
    *at++ = chance(4) ? below(256) : vectors[below(ENTRIES(vectors))];
}

static void exception(void)
{
    static const struct {
        const char *code;
        uint8_t length;
    } ways[] = {{"\xcc", 1},                         /* int3 */
                {"\xf1", 1},                         /* int1 */
                {"\x68\x02\x0a\x00\x00\x9d\xce", 7}, /* OF set, into */
                {"\x62\x05\x40\x00\x40\x00", 6},     /* bound %eax, SHARED + 64 */
                {"\x0f\x34", 2},                     /* sysenter */
                {"\x0f\x0b", 2},                     /* ud2 */
                {"\x0f\x0bxen\x0f\xa2", 7},          /* forced cpuid */
                {"\x31\xc9\xf7\xf1", 4},             /* xor %ecx, %ecx; div %ecx */
                {"\xa1\x41\x00\x40\x00", 5},         /* mov SHARED + 65, %eax: #AC */
                {"\xdb\xe3", 2},                     /* fninit */
                {"\x0f\x05", 2}};                    /* syscall */
    uint32_t i = below(ENTRIES(ways));

    bytes(ways[i].code, ways[i].length);
}

static void privileged(void)
{
    static const char codes[][3] = {"\xfa",         "\xfb",         "\xf4",         "\x0f\x06",
                                    "\xec",         "\xee",         "\x0f\x09",     "\x0f\x32",
                                    "\x0f\x30",     "\x0f\x20\xc0", "\x0f\x22\xc0", "\x0f\x21\xf8",
                                    "\x0f\x23\xf8", "\x0f\x00\xc0", "\x0f\x01\xe0", "\x0f\x00\xd0"};
    uint32_t i = below(ENTRIES(codes));

    for (int n = 0; n < 3 && (n == 0 || codes[i][n]); n++)
        *at++ = codes[i][n];
}

/* Far calls, jumps and returns; IRET from a frame just pushed; with a 16-bit operand, too. */
static void far_transfer(void)
{
    uint32_t way = below(4);

    if (way < 2) {
        *at++ = way ? 0x9a : 0xea; /* lcall, ljmp */
        word(random_handler());
        bytes("\0\0", 2);
        uint16_t selector = random_selector();
        memcpy(at - 2, &selector, 2);
        return;
    }
    if (way == 2) {
        *at++ = 0x68;
        word(pushed_eflags());
    }
    *at++ = 0x68;
    word(random_selector());
    *at++ = 0x68;
    word(random_handler());
    if (chance(8))
        *at++ = 0x66;
    *at++ = way == 2 ? 0xcf : 0xcb;
}

/* Push, pop, PUSHA, PUSH and POP of segments, ENTER: on whatever stack this is. */
static void use_stack(void)
{
    static const char *const codes[] = {"\x50",     "\x58",     "\x60",     "\x61",
                                        "\x1e\x07", "\x0f\xa0", "\x0f\xa1", "\xc8\x10\x01\x01",
                                        "\x9c",     "\x06\x1f"};
    const char *code = codes[below(ENTRIES(codes))];

    bytes(code, strlen(code));
}

/* mov %eax, seg:(address), and back */
static void access_memory(void)
{
    *at++ = "\x26\x36\x3e\x64\x65\x2e"[below(6)];
    *at++ = chance(2) ? 0xa1 : 0xa3;
    word(chance(2) ? random_stack() : SHARED + 64 + below(1024));
}

static void hypercall_in(void)
{
    static const uint8_t numbers[] = {__HYPERVISOR_iret,
                                      __HYPERVISOR_iret,
                                      __HYPERVISOR_set_trap_table,
                                      __HYPERVISOR_stack_switch,
                                      __HYPERVISOR_set_callbacks,
                                      __HYPERVISOR_fpu_taskswitch,
                                      __HYPERVISOR_xen_version,
                                      __HYPERVISOR_set_debugreg,
                                      __HYPERVISOR_update_descriptor,
                                      __HYPERVISOR_multicall,
                                      __HYPERVISOR_callback_op,
                                      __HYPERVISOR_vm_assist,
                                      __HYPERVISOR_sched_op,
                                      __HYPERVISOR_console_io,
                                      __HYPERVISOR_set_gdt,
                                      __HYPERVISOR_vcpu_op,
                                      __HYPERVISOR_set_segment_base,
                                      200};
    uint32_t number = numbers[below(ENTRIES(numbers))];

    for (uint8_t reg = 1; reg < 8; reg++)
        if (reg != 4 && reg != 5)
            load(reg, random_value());
    if (number == __HYPERVISOR_sched_op)
        load(3, 0); /* yield */
    if (number == __HYPERVISOR_vcpu_op) {
        load(3, VCPUOP_send_nmi);
        load(1, 0);
    }
    if (number == __HYPERVISOR_stack_switch)
        load(3, random_selector());
    load(0, number);
    bytes("\xcd\x82", 2);
}

/* LAR, LSL, VERR, VERW, STR, SLDT, SGDT of whatever AX holds or memory takes. */
static void ask_segments(void)
{
    static const char codes[][3] = {"\x0f\x02\xc0", "\x0f\x03\xc0", "\x0f\x00\xe0", "\x0f\x00\xe8",
                                    "\x0f\x00\xc8"};

    load(0, random_selector());
    bytes(codes[below(ENTRIES(codes))], 3);
}

void random_code(void)
{
    static void (*const groups[])(void) = {
        flags,         flags,        load_segment,        load_stack,
        interrupt,     interrupt,    interrupt_in_shadow, exception,
        exception,     privileged,   far_transfer,        use_stack,
        access_memory, hypercall_in, ask_segments};

    at = (uint8_t *)CODE;
    memset(at, 0xcc, PAGE_SIZE);
    for (uint32_t n = 1 + below(6); n; n--)
        groups[below(ENTRIES(groups))]();
    interrupt();
    bytes("\x0f\x0b", 2);
}
