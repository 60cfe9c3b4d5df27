/* SPDX-License-Identifier: MIT */
/*
 * XSA-221: SCHEDOP_poll for a port that was never made.
 *
 * Ports come in groups, made when the first port of a group is. A poll names ports by number, and Xen's
 * asked whether a port is pending through the group's pointer: NULL, for a group that was never made. With
 * the FIFO ABI the event word, too, is on a page that the guest may not have given yet.
 *
 * This guest polls for every kind of port, first with the two-level ABI, then with FIFO's, without, with
 * and beyond its array: never made, made and closed, reserved, beyond the end, and all in a list with a
 * good one. Each such poll is refused; it does not wait.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/sched.h>

#include <pv/event.h>
#include <pv/time.h>

static int poll(evtchn_t *ports, unsigned int n, uint64_t timeout)
{
    struct sched_poll op = {.nr_ports = n, .timeout = timeout};

    set_xen_guest_handle(op.ports, ports);
    return hv_sched_op(SCHEDOP_poll, &op);
}

static evtchn_t new_port(void)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};

    return hv_event_channel_op(EVTCHNOP_alloc_unbound, &op) ? 0 : op.port;
}

static const evtchn_t never[] = {0,          500,        1000,      1023,   1024,     2047,
                                 2048,       4095,       4096,      8191,   32767,    65536,
                                 100000,     131071,     131072,    131073, 1u << 20, 1u << 30,
                                 0x7fffffff, 0x80000000, 0xffffffff};
#define NEVER (sizeof(never) / sizeof(never[0]))

/* Each alone, and behind and before a port that is there. */
static void test_never_made(const char *when)
{
    evtchn_t good = new_port(), list[3];
    uint32_t refused = 0;

    for (unsigned int i = 0; i < NEVER; i++) {
        list[0] = never[i];
        refused += poll(list, 1, time_now() + NS_PER_MS) == -XEN_EINVAL;
        list[0] = good;
        list[1] = never[i];
        refused += poll(list, 2, time_now() + NS_PER_MS) == -XEN_EINVAL;
        list[0] = never[i];
        list[1] = good;
        refused += poll(list, 2, time_now() + NS_PER_MS) == -XEN_EINVAL;
    }
    tap_ok(good != 0, "%s: a port", when);
    tap_is(refused, 3 * NEVER, "%s: a poll for a port that was never made is refused", when);
    tap_is(poll(&good, 1, time_now() + NS_PER_MS), 0, "%s: for a good one it waits", when);
    event_close(good);
    tap_is(poll(&good, 1, time_now() + NS_PER_MS), -XEN_EINVAL, "%s: for a closed one not", when);
}

/* A port whose event word has no page yet is there, and not pending. */
static void test_fifo(void)
{
    struct evtchn_init_control init = {.control_gfn = linear_to_mfn(page_alloc())};
    struct evtchn_expand_array expand = {.array_gfn = linear_to_mfn(page_alloc())};
    evtchn_t port;

    tap_is(hv_event_channel_op(EVTCHNOP_init_control, &init), 0, "FIFO queues");
    port = new_port();
    tap_is(poll(&port, 1, time_now() + NS_PER_MS), 0, "a poll for a port without an event word");
    test_never_made("no array");
    tap_is(hv_event_channel_op(EVTCHNOP_expand_array, &expand), 0, "an array of one page");
    test_never_made("an array");
}

int main(void)
{
    events_off();
    test_never_made("two levels");
    test_fifo();
    tap_audit();
    tap_done();
}
