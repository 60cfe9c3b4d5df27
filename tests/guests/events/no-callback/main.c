/* SPDX-License-Identifier: MIT */
/*
 * no-callback: an event is pending and not masked, and the guest has no event callback.
 *
 * On the way out to a guest the hypervisor pushes the upcall's frame and masks events. Once it looked
 * again after that whether events were pending, counting on the mask. A guest without a callback gets no
 * frame and no mask: that went round for ever, in ring 0 with interrupts off, and the processor was lost
 * to everybody. The trap-state fuzzer found it.
 *
 * This guest takes its callback away, has an event pending, and makes hypercalls, faults and yields. It
 * goes on each time, and with its callback back gets the event.
 *
 * Run: qemu bochs
 */
#include <stddef.h>
#include <stdint.h>

#include <xen/sched.h>
#include <xen/version.h>

#include <pv/event.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

extern void event_upcall(void), failsafe_upcall(void); /* pv-guest/lib */

static volatile uint32_t served;

static void serve(evtchn_t port, void *unused)
{
    (void)port;
    (void)unused;
    served++;
}

static void fault(void *unused)
{
    (void)unused;
    __asm__ volatile("ud2");
}

static int set_event_callback(void (*callback)(void))
{
    return hv_set_callbacks(FLAT_KERNEL_CS, callback, FLAT_KERNEL_CS, failsafe_upcall);
}

int main(void)
{
    int port = event_bind_ipi(serve, NULL);
    uint32_t faults = 0, calls = 0;

    events_off();
    tap_is(set_event_callback(NULL), 0, "no event callback");
    event_send(port);
    vcpu()->evtchn_upcall_mask = 0; /* events_on() would deliver what is pending by itself */
    for (int i = 0; i < 100; i++) {
        calls += hv_xen_version(XENVER_version, NULL) > 0;
        calls += hv_sched_op(SCHEDOP_yield, NULL) == 0;
        faults += catch_fault(fault, NULL, NULL);
    }
    vcpu()->evtchn_upcall_mask = 1;
    tap_is(calls, 200, "hypercalls return while an event is pending");
    tap_is(faults, 100, "so do faults");
    tap_is(served, 0, "nothing was told of it");
    set_event_callback(event_upcall);
    events_on();
    tap_is(served, 1, "with a callback it is");
    tap_done();
}
