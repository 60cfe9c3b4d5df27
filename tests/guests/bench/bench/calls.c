/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls that touch no page table: the way in and out, multicalls, timers, the scheduler,
 * grants, descriptors.
 *
 * Next: memory.c.
 */
#include "bench.h"

#include <stddef.h>

#include <pv/grant.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>
#include <xen/grant_table.h>
#include <xen/sched.h>
#include <xen/version.h>

static void null_call(void)
{
    expect(call1(__HYPERVISOR_xen_version, XENVER_version));
}

static struct multicall_entry calls[16];

static void prepare_multicall(void)
{
    for (int i = 0; i < 16; i++) {
        calls[i].op = __HYPERVISOR_xen_version;
        calls[i].args[0] = XENVER_version;
    }
}

static void multicall(void)
{
    expect(call2(__HYPERVISOR_multicall, HV_ARG(calls), 16));
}

static void finish_multicall(void)
{
    for (int i = 0; i < 16; i++)
        expect(calls[i].result);
}

static void yield(void)
{
    expect(call1(__HYPERVISOR_sched_op, SCHEDOP_yield));
}

/* An hour ahead: it never fires. */
static void set_timer(void)
{
    uint64_t deadline = 3600 * NS_PER_SEC;

    expect(call2(__HYPERVISOR_set_timer_op, (uint32_t)deadline, deadline >> 32));
}

static void cancel_timer(void)
{
    expect(hv_set_timer_op(0));
}

static void fpu_taskswitch(void)
{
    expect(call1(__HYPERVISOR_fpu_taskswitch, 1));
    expect(call1(__HYPERVISOR_fpu_taskswitch, 0));
}

/* --- grants -------------------------------------------------------------------------------- */

static void *pages[2];
static int reference;
static struct gnttab_map_grant_ref map;
static struct gnttab_copy copy;

static void prepare_grants(void)
{
    pages[0] = page_alloc();
    pages[1] = page_alloc();
    reference = grant_access(0, linear_to_mfn(pages[0]), true);
    expect(reference);
    map.host_addr = (uint32_t)window_alloc(1);
    pte_machine_address((void *)(uint32_t)map.host_addr);
    map.flags = GNTMAP_host_map;
    map.ref = reference;
    map.dom = 0;
}

static void map_and_unmap(void)
{
    struct gnttab_unmap_grant_ref unmap = {.host_addr = map.host_addr};

    expect(hv_grant_table_op(GNTTABOP_map_grant_ref, &map, 1));
    expect(map.status);
    unmap.handle = map.handle;
    expect(hv_grant_table_op(GNTTABOP_unmap_grant_ref, &unmap, 1));
    expect(unmap.status);
}

static void finish_grants(void)
{
    expect(grant_end(reference) ? 0 : -1);
    window_free((void *)(uint32_t)map.host_addr, 1);
    page_free(pages[0]);
    page_free(pages[1]);
}

static void prepare_copy(unsigned int length)
{
    prepare_grants();
    copy.source.u.ref = reference;
    copy.source.domid = 0;
    copy.source.offset = 0;
    copy.dest.u.gmfn = linear_to_mfn(pages[1]);
    copy.dest.domid = DOMID_SELF;
    copy.dest.offset = 0;
    copy.len = length;
    copy.flags = GNTCOPY_source_gref;
}

static void prepare_copy_4096(void)
{
    prepare_copy(4096);
}

static void prepare_copy_16(void)
{
    prepare_copy(16);
}

static void grant_copy(void)
{
    expect(hv_grant_table_op(GNTTABOP_copy, &copy, 1));
    expect(copy.status);
}

/* --- descriptors --------------------------------------------------------------------------- */

#define FLAT_DATA_RING1 0x00cfb2000000ffffULL

static uint32_t *gdt;
static uint64_t descriptor_address;

/* A page of the GDT is read-only to its guest as page tables are. */
static void prepare_descriptor(void)
{
    unsigned long mfn;

    gdt = page_alloc();
    mfn = linear_to_mfn(gdt);
    descriptor_address = (uint64_t)mfn << PAGE_SHIFT;
    expect(map_page(gdt, pte_make(mfn, PAGE_KERNEL_RO)));
    expect(hv_set_gdt(&mfn, 512));
}

static void update_descriptor(void)
{
    expect(hv_update_descriptor(descriptor_address + 8, FLAT_DATA_RING1));
}

static void finish_descriptor(void)
{
    expect(hv_set_gdt(NULL, 0));
    expect(map_page(gdt, pte_make(descriptor_address >> PAGE_SHIFT, PAGE_KERNEL)));
    page_free(gdt);
}

const struct operation call_operations[] = {
    {"null hypercall (xen_version)", 200, NULL, null_call, NULL},
    {"multicall of 16", 50, prepare_multicall, multicall, finish_multicall},
    {"sched_op yield, alone", 100, NULL, yield, NULL},
    {"set_timer_op", 100, NULL, set_timer, cancel_timer},
    {"fpu_taskswitch set + clear", 100, NULL, fpu_taskswitch, NULL},
    {"update_descriptor", 100, prepare_descriptor, update_descriptor, finish_descriptor},
    {"grant map + unmap", 50, prepare_grants, map_and_unmap, finish_grants},
    {"grant copy 4096", 50, prepare_copy_4096, grant_copy, finish_grants},
    {"grant copy 16", 50, prepare_copy_16, grant_copy, finish_grants},
    {NULL, 0, NULL, NULL, NULL},
};
