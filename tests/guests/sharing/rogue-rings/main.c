/* SPDX-License-Identifier: MIT */
/*
 * rogue-rings - a guest that breaks the rules of the pages it shares with the control domain.
 *
 * Console and xenstore are rings in pages of the guest's own: nothing stops it from writing any
 * index into them, a message of any length, or requests without end. Only a backend that checks
 * what it reads survives that. The command line says which rule to break:
 *
 *     console    an output index beyond the ring
 *     request    a xenstore request index beyond the ring
 *     response   a xenstore response index nobody could have
 *     long       a xenstore request of 1 MiB
 *     flood      requests and events without end, and no answer read
 *
 * The guest says what it is about to do, does it, and lives on: that the control domain and other
 * guests live on too is for tests/system/test_rogue.py, which starts it, to see.
 *
 * Run: none
 */
#include <stdio.h>
#include <string.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

static struct xenstore_domain_interface *store(void)
{
    return pfn_to_linear(mfn_to_pfn(start_info->store_mfn));
}

static struct xencons_interface *console(void)
{
    return pfn_to_linear(mfn_to_pfn(start_info->console.domU.mfn));
}

static void break_console(void)
{
    console()->out_prod += 100000;
    event_send(start_info->console.domU.evtchn);
}

static void break_request(void)
{
    store()->req_prod = 0x80000000;
}

static void break_response(void)
{
    store()->rsp_cons = 0x80000000;
}

static void put(const void *data, uint32_t size)
{
    struct xenstore_domain_interface *ring = store();
    const char *from = data;

    for (uint32_t i = 0; i < size; i++)
        ring->req[MASK_XENSTORE_IDX(ring->req_prod + i)] = from[i];
    __sync_synchronize(); /* the bytes before the index that announces them */
    ring->req_prod += size;
}

static void break_length(void)
{
    struct xsd_sockmsg header = {.type = XS_READ, .len = 1 << 20};

    put(&header, sizeof header);
}

static void flood(void)
{
    struct xsd_sockmsg header = {.type = XS_READ, .len = 5};
    volatile struct xenstore_domain_interface *ring = store();

    for (;;) {
        if (ring->req_prod - ring->req_cons <= XENSTORE_RING_SIZE - sizeof header - 5) {
            put(&header, sizeof header);
            put("name", 5);
        }
        event_send(start_info->store_evtchn);
        event_send(start_info->console.domU.evtchn);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} deeds[] = {
    {"console", break_console}, {"request", break_request}, {"response", break_response},
    {"long", break_length},     {"flood", flood},
};

int main(int argc, char **argv)
{
    for (unsigned int i = 0; argc > 1 && i < sizeof deeds / sizeof deeds[0]; i++) {
        if (strcmp(argv[1], deeds[i].name) != 0)
            continue;
        printf("breaking: %s\n", argv[1]);
        deeds[i].run();
        event_send(start_info->store_evtchn);
        for (;;)
            sleep_ms(1000);
    }
    printf("usage: rogue-rings console | request | response | long | flood\n");
    return 1;
}
