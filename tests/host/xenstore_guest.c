/* SPDX-License-Identifier: MIT */
/*
 * xenstore_guest.c - the guest's side of xenstore's rings, for test_xenstore.c and
 * test_xenstore_xsa.c.
 */
#include "xenstore_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pv/event.h>

struct xenstore_domain_interface *ring;
struct xs_client *client;
unsigned int events_sent;
struct xsd_sockmsg header;
char body[XENSTORE_PAYLOAD_MAX + 1];

static struct {
    struct xenstore_domain_interface *ring;
    struct xs_client *client;
} guests[GUESTS];

/* The only thing the server asks of the runtime. */
int event_send(evtchn_t port)
{
    assert_int_equal(port, PORT);
    events_sent++;
    return 0;
}

void guest_use(uint16_t domid)
{
    ring = guests[domid].ring;
    client = guests[domid].client;
}

void guest_open(uint16_t domid)
{
    guests[domid].ring = calloc(1, sizeof *ring);
    assert_non_null(guests[domid].ring);
    guests[domid].client = xs_open(domid, guests[domid].ring, PORT);
    assert_non_null(guests[domid].client);
    guest_use(domid);
}

void guest_close(uint16_t domid)
{
    xs_close(guests[domid].client);
    free(guests[domid].ring);
    guests[domid].client = NULL;
    guests[domid].ring = NULL;
}

void put(const void *data, size_t size)
{
    const char *from = data;

    for (size_t i = 0; i < size; i++) {
        while (ring->req_prod - ring->req_cons == XENSTORE_RING_SIZE)
            xs_serve(client);
        ring->req[MASK_XENSTORE_IDX(ring->req_prod)] = from[i];
        ring->req_prod++;
    }
}

static void get(void *data, size_t size)
{
    char *to = data;

    for (size_t i = 0; i < size; i++) {
        if (ring->rsp_cons == ring->rsp_prod)
            xs_serve(client);
        assert_int_not_equal(ring->rsp_cons, ring->rsp_prod);
        to[i] = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons)];
        ring->rsp_cons++;
    }
}

void receive(void)
{
    get(&header, sizeof header);
    assert_in_range(header.len, 0, XENSTORE_PAYLOAD_MAX);
    get(body, header.len);
    body[header.len] = 0;
}

void silence(void)
{
    xs_serve(client);
    assert_int_equal(ring->rsp_cons, ring->rsp_prod);
}

void send(uint32_t type, uint32_t tx, const void *data, size_t size)
{
    static uint32_t serial;
    struct xsd_sockmsg h = {.type = type, .req_id = ++serial, .tx_id = tx, .len = size};

    put(&h, sizeof h);
    put(data, size);
    xs_serve(client);
    receive();
    assert_int_equal(header.req_id, serial);
    assert_int_equal(header.tx_id, tx);
    assert_true(header.type == type || header.type == XS_ERROR);
}

void expect(uint32_t type, uint32_t tx, const char *data, size_t size, const char *answer,
            size_t answer_size)
{
    send(type, tx, data, size);
    assert_int_equal(header.type, type);
    assert_int_equal(header.len, answer_size);
    assert_memory_equal(body, answer, answer_size);
}

void expect_error(uint32_t type, uint32_t tx, const char *data, size_t size, const char *error)
{
    send(type, tx, data, size);
    assert_int_equal(header.type, XS_ERROR);
    assert_string_equal(body, error);
}

void expect_event(const char *both, size_t size)
{
    receive();
    assert_int_equal(header.type, XS_WATCH_EVENT);
    assert_int_equal(header.req_id, 0);
    assert_int_equal(header.len, size);
    assert_memory_equal(body, both, size);
}

uint32_t start_transaction(void)
{
    send(XS_TRANSACTION_START, 0, Z(""));
    assert_int_equal(header.type, XS_TRANSACTION_START);
    return atoi(body);
}
