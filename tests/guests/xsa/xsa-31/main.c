/* SPDX-License-Identifier: MIT */
/*
 * XSA-31: extents of 2^order frames, with an order that nobody checked.
 *
 * XENMEM_decrease_reservation, populate_physmap and exchange take lists of extents. Xen looked at the
 * order too late, or only at one of the two of an exchange: a loop of 2^31 steps ran without a break,
 * and a shift by more than 31 made an extent of nothing, or of anything.
 *
 * This guest asks each operation for every order there is room for, with lists of one extent and of as
 * many as can be named. Each is refused at once: nothing done, nothing lost, no time spent.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/memory.h>

#include <pv/time.h>

#define MANY 0x03ffffff /* extents: the most that leave room for the continuation's count */
#define LONGEST (200 * NS_PER_MS)

static xen_pfn_t list[2];
static uint64_t longest;

static long timed(unsigned int op, void *arg)
{
    uint64_t start = time_now();
    long rc = hv_memory_op(op, arg);

    if (time_now() - start > longest)
        longest = time_now() - start;
    return rc;
}

/* 20 and more: a GiB and up, which no domain of these tests has. */
static uint32_t order(unsigned int i)
{
    static const uint32_t large[] = {0x7f,       0x80,       0xff,       0x100,     0x7fffffff,
                                     0x80000000, 0x80000001, 0xffffffe0, 0xffffffff};

    return i < 45 ? 20 + i : large[i - 45];
}
#define ORDERS 54u

static void test_reservation(unsigned int op, const char *what)
{
    uint32_t refused = 0;

    for (unsigned int i = 0; i < ORDERS; i++) {
        for (uint32_t n = 1; n; n = n == 1 ? MANY : 0) {
            struct xen_memory_reservation r = {.extent_start.p = list,
                                               .nr_extents = n,
                                               .extent_order = order(i),
                                               .domid = DOMID_SELF};

            list[0] = list[1] = op == XENMEM_decrease_reservation ? pfn_to_mfn(4) : 4;
            refused += timed(op, &r) == 0;
        }
    }
    tap_is(refused, 2 * ORDERS, "%s: each order is refused, whatever the list", what);
}

static void test_exchange(bool in_order)
{
    uint32_t refused = 0, done = 0;

    for (unsigned int i = 0; i < ORDERS; i++) {
        xen_pfn_t in = linear_to_mfn(list), out = 4;
        struct xen_memory_exchange x = {
            .in = {.extent_start.p = &in, .nr_extents = 1, .domid = DOMID_SELF},
            .out = {.extent_start.p = &out, .nr_extents = 1, .domid = DOMID_SELF}};

        if (in_order)
            x.in.extent_order = order(i);
        else
            x.out.extent_order = order(i);
        refused += timed(XENMEM_exchange, &x) < 0;
        done += x.nr_exchanged;
    }
    tap_is(refused, ORDERS, "exchange: each order %s is refused", in_order ? "in" : "out");
    tap_is(done, 0, "and nothing is done");
}

static long reservation(void)
{
    struct xen_memory_domain self = {.domid = DOMID_SELF};

    return hv_memory_op(XENMEM_current_reservation, &self);
}

int main(void)
{
    long before = reservation();

    test_reservation(XENMEM_increase_reservation, "increase");
    test_reservation(XENMEM_decrease_reservation, "decrease");
    test_reservation(XENMEM_populate_physmap, "populate");
    test_exchange(true);
    test_exchange(false);
    tap_is(reservation(), before, "no page is lost or won");
    tap_ok(longest < LONGEST, "each answer came at once");
    tap_diag("the slowest after %llu us", longest / 1000);
    tap_audit();
    tap_done();
}
