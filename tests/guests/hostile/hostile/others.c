/* SPDX-License-Identifier: MIT */
/*
 * others.c: descriptor tables, event channels, the trap table, vcpu_op.
 *
 * Next: several.c.
 */
#include "hostile.h"

#include <xen/event_channel.h>
#include <xen/vcpu.h>

#include <pv/event.h>
#include <pv/start.h>
#include <pv/trap.h>

#define PORTS 32
#define FLAT_DATA_DPL1 0x00CFB2000000FFFFull
#define FLAT_CODE_DPL3 0x00CFFA000000FFFFull

static uint32_t ports[PORTS]; /* channels opened here; 0: none */

/* --- descriptors ------------------------------------------------------------------------------ */

static uint64_t descriptor(bool mutate)
{
    static const uint64_t good[] = {0, FLAT_DATA_DPL1, FLAT_CODE_DPL3, 0x00CFF2000000FFFFull,
                                    0x0040B2000000FFFFull};
    uint64_t d = good[below(sizeof(good) / sizeof(good[0]))];

    if (!mutate)
        return d;
    return once_in(2) ? spoil_bits(d, 64) : (uint64_t)rnd() << 32 | rnd();
}

/* A page of descriptors; it stays one until a GDT or LDT lets it go and it is mapped again. */
static struct page *descriptor_page(bool mutate)
{
    struct page *page = page_of(SEGMENTS);

    if (page && (!once_in(3) || !may_fault()))
        return page;
    page = may_fault() ? page_of(DATA) : NULL;
    if (!page)
        return NULL;
    sweep(page->mfn);
    if (!make_writable(page))
        return NULL;
    for (uint32_t i = 0; i < 512; i++)
        page->va[i] = descriptor(false);
    if (mutate)
        page->va[below(512)] = descriptor(true);
    if (!make_readonly(page))
        return NULL;
    page->role = SEGMENTS;
    return page;
}

static void drop_descriptor_page(void)
{
    struct page *page = page_of(SEGMENTS);

    if (page && make_writable(page))
        page->role = DATA;
}

enum outcome op_gdt(bool mutate)
{
    unsigned long frames[16] = {0};
    uint32_t pages = below(3), entries = pages * 512;

    for (uint32_t i = 0; i < pages; i++) {
        const struct page *page = descriptor_page(mutate);

        if (!page)
            return SKIPPED;
        frames[i] = page->mfn;
    }
    if (mutate && once_in(2))
        frames[below(3)] = any_frame();
    if (mutate && once_in(2))
        entries = once_in(2) ? below(9000) : rnd();
    if (!pages)
        drop_descriptor_page();
    trace("  %lu entries from mfn %lx", (unsigned long)entries, frames[0]);
    return hv_set_gdt(mutate && once_in(8) ? bad_pointer() : frames, entries) == 0 ? DONE : REFUSED;
}

/* Loading a selector of the LDT is what makes the hypervisor look at its page. */
static bool load_fs(uint16_t selector)
{
    int failed;

    __asm__ volatile("1: movw %w1, %%fs\n"
                     "   xorl %0, %0\n"
                     "2:\n"
                     "   .pushsection .text.fixup, \"ax\"\n"
                     "3: movl $1, %0\n"
                     "   jmp 2b\n"
                     "   .popsection\n"
                     "   .pushsection .exception_table, \"a\"\n"
                     "   .long 1b, 3b\n"
                     "   .popsection\n"
                     : "=&r"(failed)
                     : "r"((uint32_t)selector)
                     : "memory", "cc");
    __asm__ volatile("movw %w0, %%fs" : : "r"(FLAT_KERNEL_DS));
    return !failed;
}

enum outcome op_ldt(bool mutate)
{
    struct mmuext_op op = {.cmd = MMUEXT_SET_LDT};
    const struct page *page = descriptor_page(mutate);

    if (!page)
        return SKIPPED;
    if (once_in(2))
        return load_fs(below(1024) << 3 | 4 | (mutate ? below(4) : 1)) ? DONE : REFUSED;
    op.arg1.linear_addr = (unsigned long)page->va;
    op.arg2.nr_ents = once_in(4) ? 0 : 512 * (1 + below(2));
    if (mutate) {
        op.arg1.linear_addr = once_in(2) ? (unsigned long)bad_pointer() & PAGE_MASK
                                         : PLAYGROUND + (below(512) << PAGE_SHIFT);
        op.arg2.nr_ents = once_in(2) ? below(8193) : rnd();
    }
    trace("  %lx, %u entries", op.arg1.linear_addr, op.arg2.nr_ents);
    return hv_mmuext_op(&op, 1, NULL, DOMID_SELF) == 0 ? DONE : REFUSED;
}

enum outcome op_descriptor(bool mutate)
{
    const struct page *page = descriptor_page(false);
    uint64_t where;

    if (!page)
        return SKIPPED;
    where = entry_at(page->mfn, below(512));
    if (mutate && once_in(2))
        where = once_in(2) ? spoil_bits(where, 34) : entry_at(any_frame(), below(512));
    /* Where the frame is a page table it must be refused; a private one is not tried. */
    if (is_private(where >> PAGE_SHIFT))
        return SKIPPED;
    return hv_update_descriptor(where, descriptor(mutate)) == 0 ? DONE : REFUSED;
}

/* --- events ----------------------------------------------------------------------------------- */

static enum outcome open_port(bool mutate, uint32_t *port)
{
    struct evtchn_alloc_unbound unbound = {.dom = mutate ? any_domid() : DOMID_SELF,
                                           .remote_dom = once_in(2) ? neighbour : own_domid};
    struct evtchn_bind_ipi ipi = {.vcpu = mutate ? rnd() : below(vcpus)};
    struct evtchn_bind_interdomain inter = {.remote_dom = mutate ? any_domid() : own_domid,
                                            .remote_port = ports[below(PORTS)]};

    switch (below(3)) {
    case 0:
        if (hv_event_channel_op(EVTCHNOP_alloc_unbound, &unbound) != 0)
            return REFUSED;
        if (unbound.dom == DOMID_SELF || unbound.dom == own_domid)
            *port = unbound.port;
        return DONE;
    case 1:
        if (hv_event_channel_op(EVTCHNOP_bind_ipi, &ipi) != 0)
            return REFUSED;
        *port = ipi.port;
        return DONE;
    default:
        if (mutate && once_in(2))
            inter.remote_port = once_in(2) ? below(64) : rnd();
        if (hv_event_channel_op(EVTCHNOP_bind_interdomain, &inter) != 0)
            return REFUSED;
        *port = inter.local_port;
        return DONE;
    }
}

/* Ports the guest did not open here are the console's and the timer's: left alone. */
enum outcome op_event(bool mutate)
{
    uint32_t *port = &ports[below(PORTS)], other = mutate ? 4096 + below(1 << 20) : *port;
    struct evtchn_close close = {.port = other};
    struct evtchn_send send = {.port = other};
    struct evtchn_unmask unmask = {.port = other};
    struct evtchn_status status = {.dom = mutate ? any_domid() : DOMID_SELF, .port = other};

    if (*port == 0)
        return open_port(mutate, port);
    switch (below(4)) {
    case 0:
        if (hv_event_channel_op(EVTCHNOP_close, &close) != 0)
            return REFUSED;
        *port = 0;
        return DONE;
    case 1:
        return hv_event_channel_op(EVTCHNOP_send, &send) == 0 ? DONE : REFUSED;
    case 2:
        return hv_event_channel_op(EVTCHNOP_unmask, &unmask) == 0 ? DONE : REFUSED;
    default:
        return hv_event_channel_op(EVTCHNOP_status, &status) == 0 ? DONE : REFUSED;
    }
}

/* --- traps and vcpus -------------------------------------------------------------------------- */

/* Vectors nothing raises here; a good table has a good selector, a spoilt one any. */
enum outcome op_traps(bool mutate)
{
    struct trap_info trap[3] = {
        {.vector = 0x90 + below(16), .flags = 3, .cs = FLAT_KERNEL_CS, .address = rnd()},
        {.vector = 0xA0 + below(16), .flags = 7, .cs = FLAT_KERNEL_CS, .address = rnd()},
    };

    if (mutate) {
        trap[below(2)].cs = rnd();
        trap[0].flags = rnd();
    }
    /* NULL would clear the whole table, as it may. */
    return hv_set_trap_table(mutate && once_in(4) ? (void *)LIMIT_END : trap) == 0 ? DONE : REFUSED;
}

enum outcome op_vcpu(bool mutate)
{
    static struct vcpu_runstate_info runstate;
    static struct vcpu_time_info time;
    struct vcpu_register_runstate_memory_area area;
    struct vcpu_register_time_memory_area clock;
    uint32_t vcpu = mutate ? once_in(2) ? below(64) : rnd() : below(vcpus);
    /* An area the hypervisor writes to at any time: its own range, or nowhere. */
    void *bad = (char *)LIMIT_END + (rnd() & 0xFFFFF);

    set_xen_guest_handle(area.addr.h, mutate ? bad : (void *)&runstate);
    set_xen_guest_handle(clock.addr.h, mutate ? bad : (void *)&time);
    if (once_in(2) && vcpus > 1 && may_fault()) /* the first stays up, and wakes the others */
        return hv_vcpu_op(once_in(2) ? VCPUOP_down : VCPUOP_up, 1 + below(vcpus - 1), NULL) == 0
                   ? DONE
                   : REFUSED;
    switch (below(4)) {
    case 0:
        return hv_vcpu_op(VCPUOP_is_up, vcpu, NULL) >= 0 ? DONE : REFUSED;
    case 1:
        return hv_vcpu_op(VCPUOP_get_runstate_info, vcpu, mutate ? bad_pointer() : &runstate) == 0
                   ? DONE
                   : REFUSED;
    case 2:
        return hv_vcpu_op(VCPUOP_register_runstate_memory_area, vcpu, &area) == 0 ? DONE : REFUSED;
    default:
        return hv_vcpu_op(VCPUOP_register_vcpu_time_memory_area, vcpu, &clock) == 0 ? DONE
                                                                                    : REFUSED;
    }
}

/* No descriptor table of the arena's is in use any more. */
void others_take_down(void)
{
    struct mmuext_op no_ldt = {.cmd = MMUEXT_SET_LDT};

    hv_set_gdt(NULL, 0);
    hv_mmuext_op(&no_ldt, 1, NULL, DOMID_SELF);
}
