/* SPDX-License-Identifier: MIT */
/*
 * several.c: the other vcpus of the hostile guest. Each issues operations as fast as it can, on the
 * same pages, ports, grants and descriptor tables, while the first one goes on, takes them down and
 * lets them come up again.
 *
 * They keep to what needs no true model. What the fence holds back is the same for all: the private
 * frames never change. What they must not do is to give frames back, take or exchange them, so that
 * one vcpu knows whose they are. An exception that no fixup expects ends an operation, as it does on
 * the first vcpu, and is told of at the end.
 *
 * Next: main.c again.
 */
#include "hostile.h"

#include <setjmp.h>
#include <stddef.h>

#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <pv/trap.h>
#include <pv/vcpu.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#define MAX_VCPUS 4

static const operation operations[] = {
    op_mmu_update,  op_mmu_update, op_va_mapping,   op_va_mapping,  op_mmuext,      op_mmuext,
    op_destroy,     op_forbidden,  op_memory_query, op_grant_map,   op_grant_unmap, op_grant_copy,
    op_grant_setup, op_gdt,        op_ldt,          op_descriptor,  op_event,       op_traps,
    op_vcpu,        op_touch,      op_touch,        op_grant_entry, op_grant_entry,
};

static struct other {
    uint32_t stack; /* the page of its stack */
    uint32_t issued, done;
    uint32_t faults, vector, eip, address; /* exceptions that nothing expected, and the first one */
    jmp_buf again;
    volatile bool rests;
} others[MAX_VCPUS];

static volatile bool rest;

static uint32_t stack_page(void)
{
    return (uint32_t)__builtin_frame_address(0) & PAGE_MASK;
}

bool may_fault(void)
{
    for (unsigned int i = 1; i < vcpus; i++)
        if (others[i].stack == stack_page())
            return false;
    return true;
}

/*
 * catch_fault() is the first vcpu's: another one that went on there would do so on the first one's
 * stack. Another one goes on in its own loop, with its next operation.
 */
static bool unexpected(struct trap_frame *frame)
{
    struct other *self = others;

    if (may_fault())
        return false;
    if (trap_fixup(frame))
        return true;
    while (self->stack != stack_page())
        self++;
    if (!self->faults++) {
        self->vector = frame->vector;
        self->eip = frame->eip;
        self->address = shared_info_page.vcpu_info[self - others].arch.cr2;
    }
    longjmp(self->again, 1);
}

static void work(void *data)
{
    struct other *self = data;

    trap_init(); /* a vcpu has a trap table of its own */
    self->stack = stack_page();
    setjmp(self->again);
    for (;;) {
        operation next = operations[below(sizeof(operations) / sizeof(operations[0]))];
        enum outcome outcome;

        if (rest) {
            others_take_down();
            for (self->rests = true; rest;) {
                /* Asleep: a CPU that runs no guest need not be waited for at each flush. */
                struct sched_poll nap = {.timeout = time_now_on(self - others) + NS_PER_MS};

                hv_sched_op(SCHEDOP_poll, &nap);
            }
            self->rests = false;
        }
        outcome = next(rnd() & 1);
        self->issued += outcome != SKIPPED;
        self->done += outcome == DONE;
    }
}

void several_start(void)
{
    if (vcpus > MAX_VCPUS)
        vcpus = MAX_VCPUS;
    for (uint32_t vector = 0; vcpus > 1 && vector < EXCEPTIONS; vector++)
        trap_hook(vector, unexpected);
    for (unsigned int i = 1; i < vcpus; i++)
        if (vcpu_start(i, work, &others[i]) != 0)
            panic("vcpu %u does not start", i);
    for (unsigned int i = 1; i < vcpus; i++)
        while (*(volatile uint32_t *)&others[i].stack == 0)
            hv_sched_op(SCHEDOP_yield, NULL);
}

void several_rest(void)
{
    rest = true;
    for (unsigned int i = 1; i < vcpus; i++) {
        if (hv_vcpu_op(VCPUOP_up, i, NULL) != 0)
            panic("vcpu %u does not come up", i);
        while (!others[i].rests)
            hv_sched_op(SCHEDOP_yield, NULL);
    }
}

void several_go_on(void)
{
    rest = false;
    for (unsigned int i = 1; i < vcpus; i++)
        while (others[i].rests)
            hv_sched_op(SCHEDOP_yield, NULL);
}

void several_report(void)
{
    for (unsigned int i = 1; i < vcpus; i++) {
        const struct other *o = &others[i];

        if (o->faults)
            tap_diag("vcpu %u met %lu exceptions, first %s at %08lx, cr2 %08lx", i,
                     (unsigned long)o->faults, vector_name(o->vector), (unsigned long)o->eip,
                     (unsigned long)o->address);
        tap_ok(o->done > 10, "vcpu %u issued %lu operations; %lu were done", i,
               (unsigned long)o->issued, (unsigned long)o->done);
    }
}
