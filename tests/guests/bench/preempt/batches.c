/* SPDX-License-Identifier: MIT */
/*
 * Batches: thousands of requests, extents, entries or bytes in one hypercall.
 *
 * Next: docs/preemption.md.
 */
#include "preempt.h"

#include <stddef.h>
#include <string.h>

#include <pv/event.h>
#include <pv/grant.h>
#include <pv/page.h>
#include <pv/start.h>
#include <xen/grant_table.h>
#include <xen/memory.h>

#define CALLS 2048
#define GRANTS 256

static char *window; /* addresses of one L1 */
static void *frames[2];
static pte_t entries[2];
static unsigned int turn;

static void prepare_window(void)
{
    window = window_alloc(GRANTS);
    for (int i = 0; i < 2; i++) {
        frames[i] = page_alloc();
        entries[i] = pte_make(linear_to_mfn(frames[i]), PAGE_KERNEL);
    }
    for (int i = 0; i < GRANTS; i++)
        expect(map_page(window + i * PAGE_SIZE, entries[0]), 0);
    turn = 0;
}

static void finish_window(void)
{
    for (int i = 0; i < GRANTS; i++)
        expect(map_page(window + i * PAGE_SIZE, 0), 0);
    window_free(window, GRANTS);
    page_free(frames[0]);
    page_free(frames[1]);
}

/* --- page-table entries ---------------------------------------------------------------------- */

static struct mmu_update updates[2][CALLS];

static void prepare_updates(void)
{
    prepare_window();
    for (int i = 0; i < CALLS; i++) {
        for (int which = 0; which < 2; which++) {
            updates[which][i].ptr = pte_machine_address(window + i % GRANTS * PAGE_SIZE);
            updates[which][i].val = entries[(which + i / GRANTS) & 1];
        }
    }
}

static void update_entries(void)
{
    expect(hv_mmu_update(updates[++turn & 1], CALLS, NULL, DOMID_SELF), 0);
}

static void update_one(void)
{
    expect(hv_update_va_mapping(window, entries[++turn & 1], UVMF_TLB_FLUSH | UVMF_ALL), 0);
}

/* --- multicalls ------------------------------------------------------------------------------ */

static struct multicall_entry calls[CALLS];

static void prepare_calls(void)
{
    prepare_window();
    for (int i = 0; i < CALLS; i++) {
        calls[i].op = __HYPERVISOR_update_va_mapping;
        calls[i].args[0] = HV_ARG(window + i % GRANTS * PAGE_SIZE);
        calls[i].args[1] = (uint32_t)entries[i / GRANTS & 1];
        calls[i].args[2] = entries[i / GRANTS & 1] >> 32;
        calls[i].args[3] = UVMF_TLB_FLUSH | UVMF_ALL;
    }
}

static void make_calls(void)
{
    expect(hv_multicall(calls, CALLS), 0);
}

static void finish_calls(void)
{
    for (int i = 0; i < CALLS; i++)
        expect(calls[i].result, 0);
    finish_window();
}

/* --- memory ---------------------------------------------------------------------------------- */

static xen_pfn_t extents[1024];
static struct xen_memory_reservation reservation;

static void prepare_extents(unsigned int count, unsigned int order)
{
    reservation.nr_extents = count;
    reservation.extent_order = order;
    reservation.domid = DOMID_SELF;
    set_xen_guest_handle(reservation.extent_start, extents);
}

static void decrease(void)
{
    expect(hv_memory_op(XENMEM_decrease_reservation, &reservation), reservation.nr_extents);
}

static void increase(void)
{
    expect(hv_memory_op(XENMEM_increase_reservation, &reservation), reservation.nr_extents);
}

static void prepare_small(void)
{
    prepare_extents(512, 0);
}

static void prepare_large(void)
{
    prepare_extents(1, 10);
}

static void prepare_large_taken(void)
{
    prepare_large();
    increase();
}

static struct xen_memory_reservation one_extent[16];

/* The same extent, taken and given back each by a call of its own in a multicall. */
static void prepare_large_calls(void)
{
    for (int i = 0; i < 16; i++) {
        prepare_extents(1, 10);
        one_extent[i] = reservation;
        set_xen_guest_handle(one_extent[i].extent_start, extents + i / 2);
        calls[i].op = __HYPERVISOR_memory_op;
        calls[i].args[0] = i & 1 ? XENMEM_decrease_reservation : XENMEM_increase_reservation;
        calls[i].args[1] = HV_ARG(&one_extent[i]);
    }
}

static void make_large_calls(void)
{
    expect(hv_multicall(calls, 16), 0);
    for (int i = 0; i < 16; i++)
        expect(calls[i].result, 1);
}

static struct mmuext_op clears[CALLS];

static void prepare_clears(void)
{
    prepare_window();
    for (int i = 0; i < CALLS; i++) {
        clears[i].cmd = i & 1 ? MMUEXT_COPY_PAGE : MMUEXT_CLEAR_PAGE;
        clears[i].arg1.mfn = linear_to_mfn(frames[0]);
        clears[i].arg2.src_mfn = linear_to_mfn(frames[1]);
    }
}

static void clear_pages(void)
{
    expect(hv_mmuext_op(clears, CALLS, NULL, DOMID_SELF), 0);
}

/* --- grants ---------------------------------------------------------------------------------- */

static int reference;
static struct gnttab_map_grant_ref maps[GRANTS];
static struct gnttab_unmap_grant_ref unmaps[GRANTS];
static struct gnttab_copy copies[GRANTS];

static void prepare_grants(void)
{
    prepare_window();
    reference = grant_access(0, linear_to_mfn(frames[0]), true);
    expect(reference > 0, true);
    for (int i = 0; i < GRANTS; i++) {
        expect(map_page(window + i * PAGE_SIZE, 0), 0);
        maps[i].host_addr = HV_ARG(window + i * PAGE_SIZE);
        maps[i].flags = GNTMAP_host_map;
        maps[i].ref = copies[i].source.u.ref = reference;
        maps[i].dom = copies[i].source.domid = 0;
        copies[i].dest.u.gmfn = linear_to_mfn(frames[1]);
        copies[i].dest.domid = DOMID_SELF;
        copies[i].len = PAGE_SIZE;
        copies[i].flags = GNTCOPY_source_gref;
    }
}

static void map_grants(void)
{
    expect(hv_grant_table_op(GNTTABOP_map_grant_ref, maps, GRANTS), 0);
}

static void unmap_grants(void)
{
    for (int i = 0; i < GRANTS; i++) {
        expect(maps[i].status, 0);
        unmaps[i].host_addr = maps[i].host_addr;
        unmaps[i].handle = maps[i].handle;
    }
    expect(hv_grant_table_op(GNTTABOP_unmap_grant_ref, unmaps, GRANTS), 0);
}

static void copy_grants(void)
{
    expect(hv_grant_table_op(GNTTABOP_copy, copies, GRANTS), 0);
    for (int i = 0; i < GRANTS; i++)
        expect(copies[i].status, 0);
}

static void prepare_grants_mapped(void)
{
    prepare_grants();
    map_grants();
}

static void finish_grants(void)
{
    expect(grant_end(reference), true);
    finish_window();
}

static void finish_grants_mapped(void)
{
    unmap_grants();
    finish_grants();
}

/* --- the rest -------------------------------------------------------------------------------- */

static char text[2048];

static void prepare_text(void)
{
    for (unsigned int i = 0; i < sizeof text; i++)
        text[i] = i % 64 == 63 ? '\n' : i % 64 == 0 ? '#' : '.';
}

static void print_text(void)
{
    expect(hv_console_io(CONSOLEIO_write, sizeof text, text), 0);
}

static struct trap_info traps[CALLS + 1];

/* Vector 0x90 again and again; the last entry, all zero, ends the list. */
static void prepare_traps(void)
{
    for (int i = 0; i < CALLS; i++)
        traps[i] = (struct trap_info){0x90, 0, FLAT_KERNEL_CS, HV_ARG(prepare_traps)};
}

static void set_traps(void)
{
    expect(hv_set_trap_table(traps), 0);
}

const struct operation batch_operations[] = {
    {"mmu_update of 2048 entries", 32, prepare_updates, update_entries, NULL, finish_window},
    {"update_va_mapping with a flush", 8, prepare_window, update_one, NULL, finish_window},
    {"multicall of 2048 update_va_mapping", 32, prepare_calls, make_calls, NULL, finish_calls},
    {"increase_reservation, 512 frames", 32, prepare_small, increase, decrease, NULL},
    {"increase_reservation, 1024 frames at once", 64, prepare_large, increase, decrease, NULL},
    {"decrease_reservation, 1024 frames at once", 64, prepare_large_taken, decrease, increase,
     decrease},
    {"multicall of 16 memory_op of 1024 frames", 64, prepare_large_calls, make_large_calls, NULL,
     NULL},
    {"mmuext_op: 2048 pages cleared and copied", 64, prepare_clears, clear_pages, NULL,
     finish_window},
    {"grant map of 256", 32, prepare_grants, map_grants, unmap_grants, finish_grants},
    {"grant unmap of 256", 32, prepare_grants_mapped, unmap_grants, map_grants,
     finish_grants_mapped},
    {"grant copy of 256 pages", 64, prepare_grants, copy_grants, NULL, finish_grants},
    {"console_io of 2048 bytes", 8, prepare_text, print_text, NULL, NULL},
    {"set_trap_table of 2048", 32, prepare_traps, set_traps, NULL, NULL},
    {NULL, 0, NULL, NULL, NULL, NULL},
};
