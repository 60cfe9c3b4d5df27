/* SPDX-License-Identifier: MIT */
/*
 * XSA-227 and XSA-224: where a grant map writes, and what its unmap drops.
 *
 * A grant can be mapped by the machine address of a page-table entry. Xen did not ask whether that
 * address is aligned: the entry was written across two others, and its upper half could make a writable
 * mapping of any frame. XSA-224: a grant mapped for the processor and for devices has two pins and one
 * handle; unmaps of one half at a time, in either order and repeated, dropped too many or too few.
 *
 * This guest maps by each unaligned address around an entry, and by addresses at the ends of the table
 * and beyond memory. Then it maps for both and unmaps by halves, again and again; after each the grant
 * must be in use exactly as long as a half is left.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <pv/grant.h>

static domid_t self;
static int ref;

static int16_t map(uint64_t address, uint32_t flags, grant_handle_t *handle, uint64_t *bus)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = address, .flags = flags, .ref = ref, .dom = self};

    if (hv_grant_table_op(GNTTABOP_map_grant_ref, &op, 1) != 0)
        return GNTST_general_error - 100;
    *handle = op.handle;
    *bus = op.dev_bus_addr;
    return op.status;
}

static int16_t unmap(uint64_t address, uint64_t bus, grant_handle_t handle)
{
    struct gnttab_unmap_grant_ref op = {
        .host_addr = address, .dev_bus_addr = bus, .handle = handle};

    if (hv_grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1) != 0)
        return GNTST_general_error - 100;
    return op.status;
}

static void unaligned(const void *window)
{
    const uint32_t flags = GNTMAP_host_map | GNTMAP_contains_pte;
    uint64_t entry = pte_machine_address((void *)window), bus;
    grant_handle_t handle;
    unsigned int taken = 0;

    for (int by = -7; by <= 7; by++)
        if (by && map(entry + by, flags, &handle, &bus) == GNTST_okay)
            taken++;
    tap_is(taken, 0, "no unaligned entry is written");
    tap_ok(map((entry | (PAGE_SIZE - 1)) - 3, flags, &handle, &bus) < 0,
           "nor one across the table's end");
    tap_ok(map(~7ull, flags, &handle, &bus) < 0, "nor one beyond memory");
    tap_is(pte_read(window, 1), 0, "the entry is empty still");
    tap_is(map(entry, flags, &handle, &bus), GNTST_okay, "an aligned one is");
    tap_ok(unmap(entry + 4, 0, handle) < 0, "and not unmapped by another address");
    tap_is(unmap(entry, 0, handle), GNTST_okay, "but by its own");
}

/* Both halves, the processor's first or the devices' first; each half once more in between. */
static bool by_halves(const void *window, uint32_t readonly, bool devices_first)
{
    uint64_t va = (uint32_t)window, bus;
    grant_handle_t handle;
    bool good;

    if (map(va, GNTMAP_host_map | GNTMAP_device_map | readonly, &handle, &bus) != GNTST_okay)
        return false;
    good = unmap(devices_first ? 0 : va, devices_first ? bus : 0, handle) == GNTST_okay;
    unmap(devices_first ? 0 : va, devices_first ? bus : 0, handle); /* it is gone already */
    good = good && !grant_end(ref);
    good = good && unmap(devices_first ? va : 0, devices_first ? 0 : bus, handle) == GNTST_okay;
    good = good && unmap(va, bus, handle) < 0;
    return good && pte_read(window, 1) == 0;
}

int main(void)
{
    void *page = page_alloc(), *window = window_alloc(1);
    unsigned int bad = 0;

    self = own_domid();
    ref = grant_access(self, linear_to_mfn(page), true);
    pte_machine_address(window);
    unaligned(window);
    for (unsigned int i = 0; i < 200; i++)
        bad += !by_halves(window, i & 1 ? GNTMAP_readonly : 0, i & 2);
    tap_is(bad, 0, "maps for processor and devices end by halves");
    tap_audit();
    tap_ok(grant_end(ref), "the grant is free");
    tap_is(make_readonly(page), 0, "nothing is left of it:");
    tap_is(pin(page, MMUEXT_PIN_L1_TABLE), 0, "the page may be a page table");
    tap_audit();
    tap_done();
}
