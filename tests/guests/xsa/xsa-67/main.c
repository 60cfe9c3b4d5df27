/* SPDX-License-Identifier: MIT */
/*
 * XSA-67: OUTS through FS or GS, with a base that was never read.
 *
 * OUTS in a guest's kernel is emulated: the hypervisor reads the memory operand itself. Xen forgot to
 * read the segment's base where the prefix named FS or GS, and took what was on its stack: the address
 * said something of the hypervisor's memory, and the byte came from anywhere.
 *
 * Here ES, FS and GS get segments with a base and a limit of their own. The operand must be the byte at
 * base plus offset: an unmapped one's page fault names that address, an offset beyond the limit is #GP,
 * and in the initial domain the byte arrives at a port that can be read back.
 *
 * Run: qemu bochs
 */
#include "../../attack.h"

#include <xen/physdev.h>

#define PIC_MASK 0xa1 /* the initial domain's shadow of it: what is written is read back */
#define SLOT_MAPPED 9
#define SLOT_EMPTY 10
#define SELECTOR(slot) ((slot) << 3 | 1)
#define LIMIT 0xffu

static uint8_t *data;
static uint64_t *gdt;

static uint64_t segment(uint32_t base, uint32_t limit)
{
    uint32_t low = base << 16 | (limit & 0xffff);
    uint32_t high = (base & 0xff000000) | (base >> 16 & 0xff) | (limit & 0xf0000) | 0x0040b200;

    return (uint64_t)high << 32 | low;
}

struct outs {
    uint32_t esi;
    uint16_t selector;
};

/* The segment register is put back behind it, or by catch_fault(). */
#define OUTS(seg)                                                                    \
    static void outs_##seg(void *arg)                                                \
    {                                                                                \
        const struct outs *o = arg;                                                  \
                                                                                     \
        __asm__ volatile("movw %%" #seg ", %%bx; movw %1, %%" #seg "; outsb %%" #seg \
                         ":(%%esi), (%%dx); movw %%bx, %%" #seg                      \
                         :                                                           \
                         : "S"(o->esi), "r"(o->selector), "d"(PIC_MASK)              \
                         : "ebx", "memory");                                         \
    }
OUTS(es)
OUTS(fs)
OUTS(gs)

static uint8_t port_byte(void)
{
    uint8_t byte;

    __asm__ volatile("inb %1, %0" : "=a"(byte) : "i"(PIC_MASK));
    return byte;
}

static bool in_kernel(uint16_t selector)
{
    return selector == FLAT_KERNEL_DS || selector == 0;
}

static void test_segment(void (*run)(void *), const char *name)
{
    struct outs o = {0x40, SELECTOR(SLOT_MAPPED)};
    struct trap_frame f = {0};
    uint16_t es;

    data[0x40] = 0x5a;
    tap_ok(!catch_fault(run, &o, &f), "outsb through %s", name);
    if (is_initial_domain())
        tap_is(port_byte(), 0x5a, "%s: the byte at base plus offset", name);
    o.esi = LIMIT + 1;
    tap_ok(catch_fault(run, &o, &f) && f.vector == VECTOR_GP, "%s: #GP beyond the limit", name);
    o = (struct outs){0x123, SELECTOR(SLOT_EMPTY)};
    tap_ok(catch_fault(run, &o, &f) && f.vector == VECTOR_PF, "%s: #PF where nothing is", name);
    tap_is(fault_address(), QUIET_VA + 0x123, "%s: at base plus offset", name);
    o = (struct outs){0x40, 0};
    tap_ok(catch_fault(run, &o, &f) && f.vector == VECTOR_GP, "%s: #GP if it is null", name);
    __asm__ volatile("movw %%es, %0" : "=r"(es));
    tap_ok(in_kernel(es), "the kernel goes on with its own segments");
}

int main(void)
{
    struct physdev_set_iopl iopl = {.iopl = 1};
    unsigned long frame;

    data = page_alloc();
    gdt = page_alloc();
    gdt[SLOT_MAPPED] = segment((uint32_t)data, LIMIT);
    gdt[SLOT_EMPTY] = segment(QUIET_VA, 0xfff);
    frame = linear_to_mfn(gdt);
    if (make_readonly(gdt) || hv_set_gdt(&frame, 512) || hv_physdev_op(PHYSDEVOP_set_iopl, &iopl))
        panic("no descriptors or no ports");
    test_segment(outs_es, "es");
    test_segment(outs_fs, "fs");
    test_segment(outs_gs, "gs");
    tap_done();
}
