/* SPDX-License-Identifier: MIT */
/*
 * XSA-318: a list of grant operations that is interrupted, and called done.
 *
 * GNTTABOP_copy takes a list, each element with a status of its own. Where an element had to be
 * tried once more Xen answered 0, as if all had been done: elements behind it kept the status that
 * the guest had left there, and nothing was copied.
 *
 * This guest has long lists carried out while a timer wants to be served all the time, so that the
 * hypercall is interrupted and continued at many places. Each status is preset; afterwards each is
 * written, and what it says has happened: bytes copied, entries mapped, unmapped, swapped.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <pv/event.h>
#include <pv/grant.h>
#include <pv/time.h>

#define COUNT 128 /* Xen lets an entry be mapped 255 times */
#define ROUNDS 40
#define PRESET 0x5EE

static struct gnttab_copy copies[COUNT];
static struct gnttab_map_grant_ref maps[COUNT];
static struct gnttab_unmap_grant_ref unmaps[COUNT];
static struct gnttab_swap_grant_ref swaps[COUNT];
static uint32_t interruptions;
static volatile bool busy;

/* The next event comes while the next list is carried out. */
static void serve(void)
{
    interruptions += busy;
    timer_set(time_now() + 20000, serve);
}

static int list(unsigned int cmd, void *ops)
{
    int rc;

    busy = true;
    rc = hv_grant_table_op(cmd, ops, COUNT);
    busy = false;
    return rc;
}

/* COUNT pieces of a page, backwards, into another. */
static bool copy(const uint8_t *from, uint8_t *to, grant_ref_t ref)
{
    uint32_t len = PAGE_SIZE / COUNT;
    bool good;

    memset(to, 0, PAGE_SIZE);
    for (uint32_t i = 0; i < COUNT; i++)
        copies[i] =
            (struct gnttab_copy){.source = {.u.ref = ref, .domid = DOMID_SELF, .offset = i * len},
                                 .dest = {.u.gmfn = linear_to_mfn(to),
                                          .domid = DOMID_SELF,
                                          .offset = (COUNT - 1 - i) * len},
                                 .len = len,
                                 .flags = GNTCOPY_source_gref,
                                 .status = PRESET};
    good = list(GNTTABOP_copy, copies) == 0;
    for (uint32_t i = 0; i < COUNT; i++)
        good &= copies[i].status == GNTST_okay &&
                !memcmp(from + i * len, to + (COUNT - 1 - i) * len, len);
    return good;
}

/* One grant COUNT times at different addresses, and away again. */
static bool map_and_unmap(domid_t self, grant_ref_t ref, char *window, const void *page)
{
    bool good;

    for (uint32_t i = 0; i < COUNT; i++)
        maps[i] = (struct gnttab_map_grant_ref){.host_addr = (uint32_t)window + i * PAGE_SIZE,
                                                .flags = GNTMAP_host_map,
                                                .ref = ref,
                                                .dom = self,
                                                .status = PRESET};
    good = list(GNTTABOP_map_grant_ref, maps) == 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        good &= maps[i].status == GNTST_okay && !memcmp(window + i * PAGE_SIZE, page, 16);
        unmaps[i] = (struct gnttab_unmap_grant_ref){
            .host_addr = maps[i].host_addr, .handle = maps[i].handle, .status = PRESET};
    }
    good &= list(GNTTABOP_unmap_grant_ref, unmaps) == 0;
    for (uint32_t i = 0; i < COUNT; i++)
        good &= unmaps[i].status == GNTST_okay && !(pte_read(window + i * PAGE_SIZE, 1) & PTE_P);
    return good;
}

/* Entries swapped in a chain: an even number of times, so that all are back. */
static bool swap(void)
{
    bool good;

    for (uint32_t i = 0; i < COUNT; i++)
        swaps[i] = (struct gnttab_swap_grant_ref){.ref_a = 200, .ref_b = 201, .status = PRESET};
    good = list(GNTTABOP_swap_grant_ref, swaps) == 0;
    for (uint32_t i = 0; i < COUNT; i++)
        good &= swaps[i].status == GNTST_okay;
    return good;
}

int main(void)
{
    uint8_t *from = page_alloc(), *to = page_alloc();
    uint32_t copied = 0, mapped = 0, swapped = 0;
    char *window = window_alloc(COUNT);
    domid_t self = own_domid();
    int ref = grant_access(self, linear_to_mfn(from), true);

    for (uint32_t i = 0; i < PAGE_SIZE; i++)
        from[i] = i * 7 + i / 256;
    for (uint32_t i = 0; i < COUNT; i++)
        pte_machine_address(window + i * PAGE_SIZE);
    timer_set(time_now(), serve);
    for (int i = 0; i < ROUNDS; i++) {
        copied += copy(from, to, ref);
        mapped += map_and_unmap(self, ref, window, from);
        swapped += swap();
    }
    timer_set(UINT64_MAX / 2, NULL);
    tap_is(copied, ROUNDS, "each list of copies is done to its end");
    tap_is(mapped, ROUNDS, "each list of maps and unmaps");
    tap_is(swapped, ROUNDS, "each list of swaps");
    tap_ok(interruptions > ROUNDS / 4, "they were interrupted (%u times)",
           (unsigned int)interruptions);
    tap_ok(grant_end(ref), "nothing holds the grant");
    tap_audit();
    tap_done();
}
