/* SPDX-License-Identifier: MIT */
/*
 * XSA-296: VCPUOP_initialise that takes long.
 *
 * A vcpu's context names its page tables, and checking a root that nobody has used yet means
 * checking all tables below it. The hypercall gives way meanwhile and is continued; where Xen put
 * the continuation together it stumbled over its own arguments, and stopped the machine.
 *
 * This guest builds a root with many full tables, not pinned, and has a vcpu initialised on it with a
 * timer that wants to be served all the time. The hypercall is interrupted, ends well, and the vcpu
 * runs on these tables. A second root has a bad entry at its end: it is refused after as many
 * interruptions, and its pages can be used again. As the initial domain it has the same refused for
 * a domain that it builds (XEN_DOMCTL_setvcpucontext).
 *
 * Run: qemu
 * Machine: mem=256 cmdline=dom0_max_vcpus=2
 */
#define __XEN_TOOLS__ 1
#include "../../attack.h"
#include "../../domctl.h"

#include <xen/memory.h>
#include <xen/vcpu.h>

#include <pv/event.h>
#include <pv/time.h>

#define TABLES 96 /* in each of two directories; an ordinary domain here has 16 MiB */
#define MIRROR 0x40000000u

static uint32_t interruptions;
static volatile bool busy;
static volatile uint32_t seen;
static uint32_t stack[1024];

static void serve(void)
{
    interruptions += busy;
    timer_set(time_now() + 20000, serve);
}

/* The new vcpu: it sees its own tables, tells so, and goes down. */
static void second(void)
{
    seen = *(volatile uint32_t *)MIRROR;
    for (;;)
        hv_vcpu_op(VCPUOP_down, 1, NULL);
}

static pte_t *full_table(uint32_t data_mfn)
{
    pte_t *table = page_alloc();

    for (int i = 0; i < 512; i++)
        table[i] = pte_make(data_mfn, PAGE_KERNEL);
    make_readonly(table);
    return table;
}

/* Slot 1 and 2 show the data page over and over; slot 3 is as here, so that code and stack are there. */
static pte_t *build(uint32_t data_mfn, pte_t last)
{
    pte_t *root = page_alloc(), *top = page_alloc();

    memcpy(top, directory_of(VIRT_BASE), PAGE_SIZE);
    make_readonly(top);
    for (int slot = 1; slot < 3; slot++) {
        pte_t *directory = page_alloc();

        for (int i = 0; i < TABLES; i++)
            directory[i * 5] = pte_make(linear_to_mfn(full_table(data_mfn)), TABLE_FLAGS);
        if (slot == 2)
            directory[511] = last;
        make_readonly(directory);
        root[slot] = pte_make(linear_to_mfn(directory), PTE_P);
    }
    root[3] = pte_make(linear_to_mfn(top), PTE_P);
    make_readonly(root);
    return root;
}

static void set_context(struct vcpu_guest_context *c, uint32_t root_mfn)
{
    memset(c, 0, sizeof(*c));
    c->flags = VGCF_in_kernel;
    c->user_regs.cs = FLAT_KERNEL_CS;
    c->user_regs.ss = c->user_regs.ds = c->user_regs.es = FLAT_KERNEL_DS;
    c->user_regs.fs = c->user_regs.gs = FLAT_KERNEL_DS;
    c->user_regs.eip = (uint32_t)second;
    c->user_regs.esp = c->kernel_sp = (uint32_t)(stack + 1020);
    c->kernel_ss = FLAT_KERNEL_SS;
    c->event_callback_cs = c->failsafe_callback_cs = FLAT_KERNEL_CS;
    c->ctrlreg[3] = xen_pfn_to_cr3(root_mfn);
}

static int initialise(const pte_t *root)
{
    static struct vcpu_guest_context c;
    int rc;

    set_context(&c, linear_to_mfn(root));
    interruptions = 0;
    busy = true;
    rc = hv_vcpu_op(VCPUOP_initialise, 1, &c);
    busy = false;
    return rc;
}

/* --- The same for another domain ---------------------------------------------------------------- */

enum { DATA, ROOT, TOP, DIRECTORY, FIRST_TABLE, FRAMES = FIRST_TABLE + 2 * TABLES };

static uint32_t frames[FRAMES];

/* A domain with a vcpu and FRAMES frames. */
static domid_t make_domain(void)
{
    struct xen_memory_reservation r = {.extent_start.p = (xen_pfn_t *)frames, .nr_extents = FRAMES};

    ctl.u.createdomain =
        (struct xen_domctl_createdomain){.max_vcpus = 1,
                                         .max_evtchn_port = 1023,
                                         .max_grant_frames = 4,
                                         .max_maptrack_frames = 4,
                                         .grant_opts = XEN_DOMCTL_GRANT_version(1)};
    if (domctl(XEN_DOMCTL_createdomain, 0))
        panic("no domain");
    r.domid = ctl.domain;
    ctl.u.address_size.size = 32;
    domctl(XEN_DOMCTL_set_address_size, r.domid);
    ctl.u.max_vcpus.max = 1;
    domctl(XEN_DOMCTL_max_vcpus, r.domid);
    ctl.u.max_mem.max_memkb = FRAMES * 4;
    domctl(XEN_DOMCTL_max_mem, r.domid);
    for (uint32_t i = 0; i < FRAMES; i++)
        frames[i] = i;
    if (hv_memory_op(XENMEM_populate_physmap, &r) != FRAMES)
        panic("no memory for a domain");
    return r.domid;
}

/* A root of many full tables, and a bad entry at the end. */
static void fill(pte_t *page)
{
    pte_t *directory = page + DIRECTORY * 512;

    for (int i = FIRST_TABLE; i < FRAMES; i++) {
        directory[i - FIRST_TABLE] = pte_make(frames[i], TABLE_FLAGS);
        for (int k = 0; k < 512; k++)
            page[i * 512 + k] = pte_make(frames[DATA], PAGE_KERNEL);
    }
    directory[511] = pte_make(frames[DATA], TABLE_FLAGS);
    page[ROOT * 512] = pte_make(frames[DIRECTORY], PTE_P);
    page[ROOT * 512 + 3] = pte_make(frames[TOP], PTE_P);
}

static void refuse_another_domain(void)
{
    static struct vcpu_guest_context c;
    domid_t id = make_domain();
    pte_t *page = map_frames(id, frames, FRAMES, true, NULL);
    int rc;

    fill(page);
    unmap_frames(page, FRAMES);
    set_context(&c, frames[ROOT]);
    ctl.u.vcpucontext.vcpu = 0;
    set_xen_guest_handle(ctl.u.vcpucontext.ctxt, &c);
    interruptions = 0;
    busy = true;
    rc = domctl(XEN_DOMCTL_setvcpucontext, id);
    busy = false;
    tap_ok(rc < 0, "another domain's bad root is refused (%d)", rc);
    tap_ok(interruptions > 0, "after %u interruptions", (unsigned int)interruptions);
    page = map_frames(id, &frames[ROOT], 1, true, NULL);
    tap_ok(page != NULL, "it is a page");
    if (page)
        unmap_frames(page, 1);
    domctl(XEN_DOMCTL_destroydomain, id);
}

int main(void)
{
    uint32_t *data = page_alloc();
    pte_t *bad = build(linear_to_mfn(data), pte_make(linear_to_mfn(data), TABLE_FLAGS));
    pte_t *good = build(linear_to_mfn(data), 0);

    data[0] = 0x5ee5ee;
    timer_set(time_now(), serve);
    tap_ok(initialise(bad) < 0, "a root with a bad entry is refused");
    tap_ok(interruptions > 0, "after %u interruptions", (unsigned int)interruptions);
    tap_is(make_writable(bad), 0, "it is a page");
    tap_is(initialise(good), 0, "a vcpu on a good root");
    tap_ok(interruptions > 0, "after %u interruptions", (unsigned int)interruptions);
    tap_ok(make_writable(good) != 0, "it is a table");
    tap_is(initialise(good), -XEN_EEXIST, "once only");
    tap_is(hv_vcpu_op(VCPUOP_up, 1, NULL), 0, "the vcpu goes up");
    for (int i = 0; i < 1000 && !seen; i++)
        sleep_ms(1);
    tap_is(seen, data[0], "and sees the root's pages");
    if (is_initial_domain())
        refuse_another_domain();
    timer_set(UINT64_MAX / 2, NULL);
    tap_audit();
    tap_done();
}
