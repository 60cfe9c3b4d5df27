/* SPDX-License-Identifier: MIT */
/*
 * test_xenstore.c - xenstore as a guest sees it: requests and events through the two byte rings.
 *
 * The test plays the guest: it writes requests into the ring, lets the server run, and reads what
 * comes back. A guest that breaks the rules must lose its connection and nothing else.
 *
 * units: tests/host/xenstore_guest.c pv-guest/dom0/store.c pv-guest/dom0/xenstore.c
 * flags: -Ipv-guest/lib/include -D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "xenstore_guest.h"

static int setup(void **state)
{
    (void)state;
    guest_open(DOMID);
    assert_null(xs_set(client, "name", "toy", CONTROL_DOMAIN));
    assert_null(xs_set(client, "control/shutdown", "", DOMID));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_close(DOMID);
    return 0;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void reading(void **state)
{
    (void)state;
    expect(XS_READ, 0, Z("name"), S("toy"));
    expect(XS_READ, 0, Z("/local/domain/5/name"), S("toy"));
    expect(XS_READ, 0, Z("control/shutdown"), S(""));
    expect(XS_DIRECTORY, 0, Z("/local/domain/5"), S("name\0control\0"));
    expect(XS_DIRECTORY, 0, Z("control"), S("shutdown\0"));
    expect(XS_GET_PERMS, 0, Z("name"), S("n0\0r5\0"));
    expect(XS_GET_PERMS, 0, Z("control/shutdown"), S("n5\0"));
    expect(XS_GET_DOMAIN_PATH, 0, Z("5"), S("/local/domain/5\0"));
    expect_error(XS_DIRECTORY, 0, Z("device/vbd"), "ENOENT"); /* PV-GRUB's question */
    expect_error(XS_READ, 0, Z("/local/domain/50/name"), "EACCES");
    expect_error(XS_READ, 0, Z("/local/domain/0/name"), "EACCES");
    expect_error(XS_READ, 0, S("name"), "EINVAL"); /* no NUL */
    expect_error(XS_READ, 0, Z(""), "EINVAL");
    expect_error(XS_READ, 0, Z("a//b"), "EINVAL");
    expect_error(XS_READ, 0, Z("a/"), "EINVAL");
    expect_error(XS_READ, 0, Z("a b"), "EINVAL");
    expect_error(XS_GET_DOMAIN_PATH, 0, Z("5x"), "EINVAL");
    expect_error(XS_INTRODUCE, 0,
                 Z("6\0"
                   "1\0"
                   "1"),
                 "EACCES");
    expect_error(XS_CONTROL, 0, S(""), "EACCES");
    expect_error(9999, 0, S(""), "ENOSYS");
    silence();
}

static void writing(void **state)
{
    (void)state;
    expect(XS_WRITE, 0, S("data/a/b\0value"), Z("OK"));
    expect(XS_READ, 0, Z("data/a/b"), S("value"));
    expect(XS_READ, 0, Z("data/a"), S(""));
    expect(XS_MKDIR, 0, Z("data/dir"), Z("OK"));
    expect(XS_DIRECTORY, 0, Z("data"), S("a\0dir\0"));
    expect(XS_RM, 0, Z("data/a"), Z("OK"));
    expect_error(XS_READ, 0, Z("data/a/b"), "ENOENT");
    expect(XS_RM, 0, Z("data/a"), Z("OK"));
    expect_error(XS_RM, 0, Z("no/such"), "ENOENT");
    expect_error(XS_RM, 0, Z("/local/domain/5"), "EACCES"); /* the control domain's */
    expect_error(XS_MKDIR, 0, Z("name"), "EACCES");
    expect_error(XS_WRITE, 0, S("name\0grub"), "EACCES");
    expect_error(XS_RM, 0, Z("control"), "EACCES"); /* the control domain made it */
    expect(XS_WRITE, 0, S("control/feature-poweroff\0001"), Z("OK"));
    expect_error(XS_WRITE, 0, S("/local/domain/0/x\0y"), "EACCES");
    expect_error(XS_WRITE, 0, S("/tool\0y"), "EACCES");
    expect(XS_READ, 0, Z("name"), S("toy"));
}

static void quotas(void **state)
{
    char path[64], value[2100];
    int made = 0;

    (void)state;
    memset(value, 'v', sizeof value);
    memcpy(value, "data/big", 9);
    expect_error(XS_WRITE, 0, value, 9 + 2049, "ENOSPC");
    expect(XS_WRITE, 0, value, 9 + 2048, Z("OK"));
    do {
        int n = snprintf(path, sizeof path, "data/n%d", made++);
        send(XS_WRITE, 0, path, n + 1);
    } while (header.type == XS_WRITE && made < 1000);
    assert_string_equal(body, "ENOSPC");
    assert_in_range(made, 200, 256);
    expect(XS_RM, 0, Z("data"), Z("OK"));
    expect(XS_WRITE, 0, S("data/again\0x"), Z("OK"));
    /* Deeper than anything recursing over it should have to go. */
    char deep[201];
    for (int i = 0; i < 200; i += 2)
        memcpy(deep + i, "d/", 2);
    deep[199] = 0;
    expect_error(XS_WRITE, 0, deep, 200, "EINVAL");
}

static void watching(void **state)
{
    (void)state;
    expect(XS_WATCH, 0, Z("control/shutdown\0token"), Z("OK"));
    expect_event(Z("control/shutdown\0token"));
    expect_error(XS_WATCH, 0, Z("control/shutdown\0token"), "EEXIST");
    expect(XS_WATCH, 0, Z("/local/domain/5/data\0t2"), Z("OK"));
    expect_event(Z("/local/domain/5/data\0t2"));
    silence();
    assert_null(xs_set(client, "control/shutdown", "poweroff", DOMID));
    xs_serve(client);
    expect_event(Z("control/shutdown\0token"));
    expect(XS_WRITE, 0, S("data/a/b\0x"), Z("OK"));
    expect_event(Z("/local/domain/5/data/a/b\0t2"));
    expect(XS_WRITE, 0, S("database\0x"), Z("OK"));
    silence();
    expect(XS_RM, 0, Z("data"), Z("OK"));
    expect_event(Z("/local/domain/5/data\0t2"));
    expect(XS_UNWATCH, 0, Z("/local/domain/5/data\0t2"), Z("OK"));
    expect_error(XS_UNWATCH, 0, Z("/local/domain/5/data\0t2"), "ENOENT");
    expect(XS_WRITE, 0, S("data/a\0x"), Z("OK"));
    silence();
    /* Elsewhere: told once that the watch stands, then never. */
    expect(XS_WATCH, 0, Z("@releaseDomain\0t"), Z("OK"));
    expect_event(Z("@releaseDomain\0t"));
    expect(XS_WATCH, 0, Z("/local/domain/6\0t"), Z("OK"));
    expect_event(Z("/local/domain/6\0t"));
    expect_error(XS_WATCH, 0, Z("path"), "EINVAL");
    /* One path by two names: one watch. */
    expect(XS_WATCH, 0, Z("data\0t3"), Z("OK"));
    expect_event(Z("data\0t3"));
    expect_error(XS_WATCH, 0, Z("/local/domain/5/data\0t3"), "EEXIST");
    expect(XS_UNWATCH, 0, Z("/local/domain/5/data\0t3"), Z("OK"));
    /* From above: events name the whole path. */
    expect(XS_WATCH, 0, Z("/local\0t"), Z("OK"));
    expect_event(Z("/local\0t"));
    expect(XS_WRITE, 0, S("data/b\0x"), Z("OK"));
    expect_event(Z("/local/domain/5/data/b\0t"));
    expect(XS_RESET_WATCHES, 0, S(""), Z("OK"));
    assert_null(xs_set(client, "control/shutdown", "", DOMID));
    silence();
}

/* A watch below what is removed hears of it too. */
static void watching_what_goes_with_its_parent(void **state)
{
    (void)state;
    expect(XS_WRITE, 0, S("data/a/b\0x"), Z("OK"));
    expect(XS_WATCH, 0, Z("data/a/b\0t"), Z("OK"));
    expect_event(Z("data/a/b\0t"));
    expect(XS_RM, 0, Z("data"), Z("OK"));
    expect_event(Z("data/a/b\0t"));
    silence();
}

static void transactions(void **state)
{
    (void)state;
    uint32_t tx = start_transaction();
    expect(XS_WATCH, 0, Z("data\0t"), Z("OK"));
    expect_event(Z("data\0t"));
    expect(XS_WRITE, tx,
           S("data/a\0"
             "1"),
           Z("OK"));
    expect(XS_READ, tx, Z("data/a"), S("1"));
    expect_error(XS_READ, 0, Z("data/a"), "ENOENT");
    expect(XS_TRANSACTION_END, tx, Z("T"), Z("OK"));
    expect_event(Z("data/a\0t"));
    expect(XS_READ, 0, Z("data/a"), S("1"));
    expect_error(XS_READ, tx, Z("data/a"), "ENOENT"); /* it is over */

    tx = start_transaction();
    expect(XS_WRITE, tx,
           S("data/a\0"
             "2"),
           Z("OK"));
    expect(XS_TRANSACTION_END, tx, Z("F"), Z("OK"));
    expect(XS_READ, 0, Z("data/a"), S("1"));

    tx = start_transaction();
    expect(XS_WRITE, tx,
           S("data/a\0"
             "3"),
           Z("OK"));
    assert_null(xs_set(client, "name", "other", CONTROL_DOMAIN));
    expect_error(XS_TRANSACTION_END, tx, Z("T"), "EAGAIN");
    expect(XS_READ, 0, Z("data/a"), S("1"));
    expect(XS_READ, 0, Z("name"), S("other"));

    for (int i = 0; i < 10; i++)
        tx = start_transaction();
    expect_error(XS_TRANSACTION_START, 0, Z(""), "ENOSPC");
    expect_error(XS_TRANSACTION_START, tx, Z(""), "EBUSY");
    expect_error(XS_TRANSACTION_END, tx, Z("X"), "EINVAL");
    expect_error(XS_TRANSACTION_END, 0, Z("T"), "ENOENT");
    expect_error(XS_READ, tx + 1, Z("name"), "ENOENT");
    expect(XS_WATCH, tx + 1, Z("data\0w"), Z("OK")); /* no part of any transaction */
    expect_event(Z("data\0w"));
    expect(XS_RESET_WATCHES, 0, S(""), Z("OK"));
    expect_error(XS_READ, tx, Z("name"), "ENOENT"); /* it ends transactions too */
    silence();
}

/* Messages longer than the ring come in pieces, both ways. */
static void long_messages(void **state)
{
    static char request[XENSTORE_PAYLOAD_MAX];

    (void)state;
    memset(request, 'x', sizeof request);
    request[sizeof request - 1] = 0;
    expect_error(XS_READ, 0, request, sizeof request, "EINVAL");
    for (int i = 0; i < 30; i++) {
        int n = snprintf(request, sizeof request, "data/%060d%d", 0, i);
        expect(XS_WRITE, 0, request, n + 1, Z("OK"));
    }
    send(XS_DIRECTORY, 0, Z("data"));
    assert_true(header.len > XENSTORE_RING_SIZE);
    for (int i = 30; i < 100; i++) {
        int n = snprintf(request, sizeof request, "data/%060d%d", 0, i);
        expect(XS_WRITE, 0, request, n + 1, Z("OK"));
    }
    expect_error(XS_DIRECTORY, 0, Z("data"), "E2BIG"); /* XSA-72: not an answer of any length */
}

/* A directory too long for one message, in pieces; a change in between is noticed. */
static void directory_in_pieces(void **state)
{
    char request[128], version[16];
    unsigned int names = 0, pieces = 0, offset = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        int n = snprintf(request, sizeof request, "data/%060d%d", 0, i);
        expect(XS_WRITE, 0, request, n + 1, Z("OK"));
    }
    for (bool end = false; !end; pieces++) {
        int n = snprintf(request, sizeof request, "data%c%u", 0, offset);
        send(XS_DIRECTORY_PART, 0, request, n + 1);
        assert_int_equal(header.type, XS_DIRECTORY_PART);
        if (pieces)
            assert_string_equal(body, version);
        snprintf(version, sizeof version, "%.15s", body);
        for (unsigned int at = strlen(body) + 1; at < header.len; at += strlen(body + at) + 1) {
            end = !body[at];
            names += !end;
            offset += end ? 0 : strlen(body + at) + 1;
        }
    }
    assert_int_equal(names, 100);
    assert_int_equal(pieces, 2);
    expect(XS_RM, 0, Z("data/x"), Z("OK")); /* it is not there: no change */
    send(XS_DIRECTORY_PART, 0, Z("data\0000"));
    assert_string_equal(body, version);
    expect(XS_WRITE, 0, S("data/x\0"), Z("OK"));
    send(XS_DIRECTORY_PART, 0, Z("data\0000"));
    assert_string_not_equal(body, version);
    expect(XS_DIRECTORY_PART, 0, Z("control/shutdown\0001000000"), body, strlen(body) + 2);
    expect_error(XS_DIRECTORY_PART, 0, Z("data"), "EINVAL");
    expect_error(XS_DIRECTORY_PART, 0, Z("nothing\0000"), "ENOENT");
}

/* As many strings as the request has, no more and no fewer. */
static void strings_in_requests(void **state)
{
    static const uint32_t one[] = {XS_READ, XS_DIRECTORY, XS_GET_PERMS, XS_MKDIR, XS_RM};

    (void)state;
    for (unsigned int i = 0; i < sizeof one / sizeof one[0]; i++) {
        expect_error(one[i], 0, Z("name\0more"), "EINVAL");
        expect_error(one[i], 0, S("name\0more"), "EINVAL");
        expect_error(one[i], 0, S("name"), "EINVAL");
        expect_error(one[i], 0, S(""), "EINVAL");
        expect_error(one[i], 0, Z("@name"), "EINVAL");
    }
    expect_error(XS_GET_DOMAIN_PATH, 0, Z("5\0"), "EINVAL");
    expect_error(XS_TRANSACTION_END, 0, Z("T\0"), "EINVAL");
    expect_error(XS_WATCH, 0, Z("data\0a\0b"), "EINVAL");
    expect_error(XS_WATCH, 0, S("data\0a"), "EINVAL");
    expect_error(XS_UNWATCH, 0, Z("data\0a\0b"), "EINVAL");
    expect_error(XS_WRITE, 0, S("data/a"), "EINVAL");
    expect(XS_WRITE, 0, Z("data/a\0b\0c"), Z("OK")); /* a value may hold anything */
    expect(XS_READ, 0, Z("data/a"), Z("b\0c"));
    silence();
}

static void no_event_without_news(void **state)
{
    (void)state;
    silence();
    unsigned int before = events_sent;
    assert_false(xs_serve(client));
    assert_int_equal(events_sent, before);
}

static void broken(const char *why, uint32_t code)
{
    xs_serve(client);
    assert_string_equal(xs_broken(client), why);
    assert_int_equal(ring->error, code);
    assert_false(xs_serve(client));
}

static void impossible_request_index(void **state)
{
    (void)state;
    ring->req_prod = XENSTORE_RING_SIZE + 1;
    broken("has an impossible index in its request ring", XENSTORE_ERROR_RINGIDX);
}

static void impossible_response_index(void **state)
{
    (void)state;
    ring->rsp_cons = 1;
    broken("has an impossible index in its response ring", XENSTORE_ERROR_RINGIDX);
}

static void message_too_long(void **state)
{
    struct xsd_sockmsg h = {.type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1};

    (void)state;
    put(&h, sizeof h);
    broken("sends a message too long", XENSTORE_ERROR_PROTO);
}

/* Our own indices in the page are the guest's to overwrite, and change nothing. */
static void indices_of_ours_overwritten(void **state)
{
    struct xsd_sockmsg h = {.type = XS_READ, .req_id = 1, .len = 5};

    (void)state;
    ring->req_cons = 0x12345678;
    ring->rsp_prod = 0x9ABCDEF0;
    memcpy(ring->req, &h, sizeof h);
    memcpy(ring->req + sizeof h, "name", 5);
    ring->req_prod = sizeof h + 5;
    xs_serve(client);
    assert_null(xs_broken(client));
    assert_int_equal(ring->req_cons, sizeof h + 5);
    assert_int_equal(ring->rsp_prod, sizeof h + 3);
}

/* Watches and changes without end, nothing read: the guest loses its connection, we no memory. */
static void events_nobody_reads(void **state)
{
    char request[1024];

    (void)state;
    for (int i = 0; i < 40; i++) { /* tokens of 1000 bytes make long events */
        memset(request, 't', sizeof request);
        int n = snprintf(request, sizeof request, "data%c%d", 0, i);
        request[n] = 't';
        request[sizeof request - 1] = 0;
        expect(XS_WATCH, 0, request, sizeof request, Z("OK"));
        expect_event(request, sizeof request);
    }
    assert_null(xs_set(client, "data", "x", CONTROL_DOMAIN));
    broken("does not read its replies and events", XENSTORE_ERROR_COMM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reading, setup, teardown),
        cmocka_unit_test_setup_teardown(writing, setup, teardown),
        cmocka_unit_test_setup_teardown(quotas, setup, teardown),
        cmocka_unit_test_setup_teardown(watching, setup, teardown),
        cmocka_unit_test_setup_teardown(watching_what_goes_with_its_parent, setup, teardown),
        cmocka_unit_test_setup_teardown(transactions, setup, teardown),
        cmocka_unit_test_setup_teardown(long_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(directory_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(strings_in_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(no_event_without_news, setup, teardown),
        cmocka_unit_test_setup_teardown(impossible_request_index, setup, teardown),
        cmocka_unit_test_setup_teardown(impossible_response_index, setup, teardown),
        cmocka_unit_test_setup_teardown(message_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(indices_of_ours_overwritten, setup, teardown),
        cmocka_unit_test_setup_teardown(events_nobody_reads, setup, teardown),
    };

    return cmocka_run_group_tests_name("xenstore", tests, NULL, NULL);
}
