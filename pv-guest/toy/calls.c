/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor as a service: events for interrupts, its clock, and hypercalls.
 *
 * Next: pv-guest/lib's event.c and time.c, or store.c.
 */
#include <stdint.h>
#include <stdio.h>

#include <xen/version.h>

#include <pv/event.h>
#include <pv/layout.h>
#include <pv/start.h>
#include <pv/time.h>

#include "toy.h"

#define MEASURED_CALLS 1000

/* --- event --------------------------------------------------------------------------------- */

static void on_event(evtchn_t port, void *data)
{
    (void)data;
    printf("  upcall: port %u, the vcpu's mask is %u in here\n", port, vcpu()->evtchn_upcall_mask);
}

static void show_event_state(const char *when, evtchn_t port)
{
    printf("  %s: pending[%u] %lu, upcall_pending %u, upcall_mask %u\n", when, port,
           shared()->evtchn_pending[port / 32] >> port % 32 & 1, vcpu()->evtchn_upcall_pending,
           vcpu()->evtchn_upcall_mask);
}

/* Both ends of an interdomain channel may lie in one domain: send into one, it arrives at the
 * other. A port that was just bound is raised once, in case the other end sent before. */
void command_event(const char *argument)
{
    int near, far;

    (void)argument;
    printf("Binding a channel to ourselves; the hypervisor raises the new port once:\n");
    near = event_alloc_unbound(DOMID_SELF, NULL, NULL);
    far = near < 0 ? near : event_bind_interdomain(DOMID_SELF, near, on_event, NULL);
    if (far < 0)
        panic("no event channel: error %d", far);
    printf("Ports %d and %d are its two ends.\n", near, far);
    events_off();
    show_event_state("masked", far);
    printf("Sending through port %d with the vcpu's mask set, then clearing the mask:\n", near);
    event_send(near);
    show_event_state("sent", far);
    events_on();
    show_event_state("unmasked", far);
    event_close(far);
    event_close(near);
}

/* --- tick ---------------------------------------------------------------------------------- */

void command_tick(const char *argument)
{
    uint64_t start = time_now(), deadline = start;
    volatile struct vcpu_time_info *info = &vcpu()->time;

    (void)argument;
    printf("The clock: tsc * %u / 2^32, shifted by %d; version %u of this copy\n",
           info->tsc_to_system_mul, info->tsc_shift, info->version);
    for (int i = 1; i <= 5; i++) {
        uint64_t now;

        deadline += 100 * NS_PER_MS;
        sleep_until(deadline);
        now = time_now();
        printf("  tick %d at %llu us, %llu us late; VIRQ_TIMER came %u times so far\n", i,
               (now - start) / 1000, (now - deadline) / 1000, timer_count());
    }
}

/* --- hypercall ----------------------------------------------------------------------------- */

static void show_stub(void)
{
    const unsigned char *stub = (unsigned char *)hypercall_page[__HYPERVISOR_xen_version];

    printf("The stub of hypercall %d at %p, which the builder wrote:", __HYPERVISOR_xen_version,
           stub);
    for (int i = 0; i < 10; i++)
        printf(" %02x", stub[i]);
    printf("\n");
}

static void show_cost(void)
{
    uint64_t start = read_tsc();

    for (int i = 0; i < MEASURED_CALLS; i++)
        hv_xen_version(XENVER_version, NULL);
    printf("%d of them took %llu TSC ticks each, ring 1 to ring 0 and back\n", MEASURED_CALLS,
           (read_tsc() - start) / MEASURED_CALLS);
}

void command_hypercall(const char *argument)
{
    int version = hv_xen_version(XENVER_version, NULL);
    xen_extraversion_t extra = "";
    xen_capabilities_info_t capabilities = "";
    struct xen_platform_parameters platform = {0};

    (void)argument;
    show_stub();
    hv_xen_version(XENVER_extraversion, extra);
    hv_xen_version(XENVER_capabilities, capabilities);
    hv_xen_version(XENVER_platform_parameters, &platform);
    printf("xen_version: %d.%d%s, capabilities: %s\n", version >> 16, version & 0xffff, extra,
           capabilities);
    printf("The hypervisor's part of the address space begins at 0x%08lx, with the table of frame\n"
           "numbers that guests may read; their segments end behind it, at 0x%08x\n",
           platform.virt_start, LIMIT_END);
    show_cost();
}
