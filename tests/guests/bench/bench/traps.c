/* SPDX-License-Identifier: MIT */
/*
 * Exceptions, system calls, events, and instructions that the hypervisor emulates.
 *
 * Handlers are the ones of stubs.S, put into the trap table for one row each: the runtime's own
 * save every register, which would be counted.
 */
#include "bench.h"

#include <stddef.h>
#include <string.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/trap.h>
#include <xen/event_channel.h>
#include <xen/physdev.h>

#define SYSTEM_CALLS 100
#define MSR_EFER 0xc0000080
#define PORT 0x80 /* the POST code port: reading it changes nothing */

static void set_handler(uint8_t vector, uint8_t flags, void (*handler)(void))
{
    struct trap_info table[] = {
        {.vector = vector, .flags = flags, .cs = FLAT_KERNEL_CS, .address = HV_ARG(handler)},
        {.address = 0},
    };

    expect(hv_set_trap_table(table));
}

/* trap_init puts the runtime's whole table back. */
static void restore_handlers(void)
{
    trap_init();
}

/* --- a system call ------------------------------------------------------------------------- */

extern const char ring3_program[], ring3_program_end[];

/*
 * The handler is a plain IRET, behind one instruction where events are masked; the loop in ring 3 has
 * two beside the call. Neither is counted.
 */
uint32_t system_call_ticks(uint8_t flags)
{
    void *page = page_alloc();
    bool masked = flags & MASK_EVENTS;
    struct trap_frame frame;

    expect(map_page((void *)USER_BASE, pte_make(linear_to_mfn(page), PAGE_USER)));
    memcpy(page, ring3_program, ring3_program_end - ring3_program);
    user_frame(&frame, USER_BASE, USER_BASE + PAGE_SIZE);
    frame.ecx = SYSTEM_CALLS;
    set_handler(VECTOR_SYSCALL, flags, masked ? unmask_and_return : return_by_iret);
    user_run(&frame);
    expect(frame.vector == VECTOR_UD && frame.ecx == 0 ? 0 : -1);
    restore_handlers();
    expect(map_page((void *)USER_BASE, 0));
    page_free(page);
    return (frame.eax + SYSTEM_CALLS / 2) / SYSTEM_CALLS - 2 - masked;
}

/* --- exceptions ---------------------------------------------------------------------------- */

static void prepare_int3(void)
{
    set_handler(VECTOR_BP, 1, return_by_iret);
}

static void prepare_int3_hypercall(void)
{
    set_handler(VECTOR_BP, 1, return_by_hypercall);
}

static void int3(void)
{
    __asm__ volatile("int3" ::: "memory");
}

static void prepare_ud(void)
{
    set_handler(VECTOR_UD, 0, skip_ud2);
}

static void ud2(void)
{
    __asm__ volatile("ud2" ::: "memory");
}

static void *nowhere;

static void prepare_pf(void)
{
    nowhere = window_alloc(1);
    set_handler(VECTOR_PF, 0, skip_read);
}

static void read_nowhere(void)
{
    uint32_t value;

    __asm__ volatile("movl (%1), %0" : "=a"(value) : "c"(nowhere) : "memory");
}

static void finish_pf(void)
{
    restore_handlers();
    window_free(nowhere, 1);
}

/* --- events -------------------------------------------------------------------------------- */

/* For bare_upcall: vcpu_info's pending byte and selector, and the word with the port's bit. */
volatile void *bench_pending[3];
unsigned int bench_upcalls;
static int port;

static void prepare_event(void)
{
    port = event_bind_ipi(NULL, NULL);
    expect(port);
    bench_pending[0] = &vcpu()->evtchn_upcall_pending;
    bench_pending[1] = &vcpu()->evtchn_pending_sel;
    bench_pending[2] = &shared()->evtchn_pending[port / 32];
    bench_upcalls = 0;
    expect(hv_set_callbacks(FLAT_KERNEL_CS, bare_upcall, FLAT_KERNEL_CS, bare_failsafe));
}

static void send_event(void)
{
    struct evtchn_send send = {.port = port};

    expect(call2(__HYPERVISOR_event_channel_op, EVTCHNOP_send, HV_ARG(&send)));
}

static void finish_event(void)
{
    restore_handlers();
    expect(bench_upcalls > 0 ? 0 : -1);
    expect(event_close(port));
}

/* --- emulated instructions ----------------------------------------------------------------- */

static void read_cr0(void)
{
    uint32_t value;

    __asm__ volatile("movl %%cr0, %0" : "=r"(value)::"memory");
}

static void clts(void)
{
    __asm__ volatile("clts" ::: "memory");
}

static void rdmsr(void)
{
    __asm__ volatile("rdmsr" : : "c"(MSR_EFER) : "eax", "edx", "memory");
}

static void set_iopl(unsigned int level)
{
    struct physdev_set_iopl op = {.iopl = level};

    expect(hv_physdev_op(PHYSDEVOP_set_iopl, &op));
}

static void allow_ports(void)
{
    set_iopl(1);
}

static void forbid_ports(void)
{
    set_iopl(0);
}

static void inb(void)
{
    __asm__ volatile("inb %0, %%al" : : "i"(PORT) : "eax", "memory");
}

const struct operation trap_operations[] = {
    {"int3 ring 1, back with plain iret", 100, prepare_int3, int3, restore_handlers},
    {"int3 ring 1, back with the iret hypercall", 100, prepare_int3_hypercall, int3,
     restore_handlers},
    {"#PF read not-present, delivered, plain iret", 100, prepare_pf, read_nowhere, finish_pf},
    {"#UD delivered, plain iret", 100, prepare_ud, ud2, restore_handlers},
    {"event send to self + upcall + iret hypercall", 100, prepare_event, send_event, finish_event},
    {"mov cr0 emulated", 100, NULL, read_cr0, NULL},
    {"clts emulated", 100, NULL, clts, NULL},
    {"rdmsr emulated", 100, NULL, rdmsr, NULL},
    {"inb emulated", 100, allow_ports, inb, forbid_ports},
    {NULL, 0, NULL, NULL, NULL},
};
