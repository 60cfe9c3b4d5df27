/* SPDX-License-Identifier: MIT */
/*
 * fuzz_xenstore.c - a guest that does anything to its xenstore page, and a server that must live.
 *
 * The input is a list of the guest's deeds, one byte what, then its operands:
 *
 *   0 TYPE TX LEN bytes   a well-formed request, put into the ring as far as it has room
 *   1 LEN bytes           bytes without form
 *   2 WHERE 4 bytes       one of the six words behind the rings set to anything
 *   3                     everything read that there is to read
 *   4                     the control domain asks it to shut down
 *
 * and after each the server runs. Checked: it touches nothing outside the page and its memory (the
 * sanitizers), its responses never overrun the ring, what a guest can make it keep is bounded, and
 * all of it is freed at the end (the leak checker).
 *
 * units: pv-guest/dom0/store.c pv-guest/dom0/xenstore.c
 * flags: -Ipv-guest/lib/include -D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pv/event.h>
#include <xen/io/xs_wire.h>

#include "../../pv-guest/dom0/store.h"

#define CHECK(x) ((x) ? (void)0 : abort())

enum { DOMID = 5, MOST_NODES = 300 };

int event_send(evtchn_t port)
{
    CHECK(port == 1);
    return 0;
}

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t next(struct input *in)
{
    if (!in->size)
        return 0;
    in->size--;
    return *in->data++;
}

static void put(struct xenstore_domain_interface *ring, const void *data, size_t size)
{
    const uint8_t *from = data;

    for (size_t i = 0; i < size; i++)
        ring->req[MASK_XENSTORE_IDX(ring->req_prod + i)] = from[i];
    ring->req_prod += size;
}

static void put_input(struct xenstore_domain_interface *ring, struct input *in, size_t size)
{
    size = size < in->size ? size : in->size;
    put(ring, in->data, size);
    in->data += size;
    in->size -= size;
}

static void request(struct xenstore_domain_interface *ring, struct input *in)
{
    struct xsd_sockmsg h = {.type = next(in) % (XS_TYPE_COUNT + 1), .req_id = 1};

    h.tx_id = next(in);
    h.len = next(in);
    put(ring, &h, sizeof h);
    put_input(ring, in, h.len);
}

static unsigned int count(const struct node *n)
{
    unsigned int sum = 0;

    for (; n; n = n->next)
        sum += 1 + count(n->children);
    return sum;
}

static void deed(struct xenstore_domain_interface *ring, struct xs_client *client, struct input *in)
{
    uint32_t value;

    switch (next(in) % 5) {
    case 0:
        request(ring, in);
        break;
    case 1:
        put_input(ring, in, next(in));
        break;
    case 2:
        value = next(in) % 6;
        for (int i = 0; i < 4; i++)
            ((uint8_t *)(&ring->req_cons + value))[i] = next(in);
        break;
    case 3:
        ring->rsp_cons = ring->rsp_prod;
        break;
    default:
        xs_set(client, "control/shutdown", "poweroff", DOMID);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct xenstore_domain_interface *ring = calloc(1, sizeof *ring);
    struct xs_client *client = xs_open(DOMID, ring, 1);
    int deeds = 0;

    xs_set(client, "name", "fuzz", CONTROL_DOMAIN);
    xs_set(client, "control/shutdown", "", DOMID);
    while (in.size && deeds++ < 2000) {
        deed(ring, client, &in);
        uint32_t cons = ring->rsp_cons;
        while (xs_serve(client))
            ;
        CHECK(xs_broken(client) || ring->rsp_prod - cons <= XENSTORE_RING_SIZE);
        CHECK(count(xs_home(client)) <= MOST_NODES);
    }
    xs_close(client);
    free(ring);
    return 0;
}
