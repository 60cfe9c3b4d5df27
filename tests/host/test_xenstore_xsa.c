/* SPDX-License-Identifier: MIT */
/*
 * test_xenstore_xsa.c - Xen's security advisories about xenstore, retold against the control
 * domain's server. Each test is named after the advisory and tells what went wrong there.
 *
 * Memory is measured, not estimated: the address sanitizer says how much is allocated. Allocations
 * can be made to fail one after the other (malloc and calloc are wrapped by the linker).
 *
 * units: tests/host/xenstore_guest.c pv-guest/dom0/store.c pv-guest/dom0/xenstore.c
 * flags: -Ipv-guest/lib/include -D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__ -Wl,--wrap=malloc,--wrap=calloc
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "xenstore_guest.h"

/* What docs/control-domain.md promises: a guest holds less than this of our memory. */
enum { MOST_MEMORY = 256 << 10 };

/* Of the address sanitizer's run-time library, whose header gcc does not bring. */
size_t __sanitizer_get_current_allocated_bytes(void);

/* ---- Allocations that fail ------------------------------------------------------------------- */

static int allocations_left = -1; /* then they fail; -1: they do not */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

static bool fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

/* ---- What the tests share -------------------------------------------------------------------- */

static void fill_home(uint16_t domid)
{
    assert_null(xs_set(client, "name", "toy", CONTROL_DOMAIN));
    assert_null(xs_set(client, "control/shutdown", "", domid));
}

static int setup(void **state)
{
    (void)state;
    guest_open(DOMID);
    fill_home(DOMID);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    allocations_left = -1;
    guest_close(DOMID);
    return 0;
}

static unsigned int count_nodes(const struct node *n)
{
    unsigned int count = 0;

    for (; n; n = n->next)
        count += 1 + count_nodes(n->children);
    return count;
}

static unsigned int depth_of(const struct node *n)
{
    unsigned int deepest = 0;

    for (; n; n = n->next) {
        unsigned int depth = 1 + depth_of(n->children);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

/* A watch or write whose first string is `first` and, up to `length` bytes, 'p'; then `second`. */
static size_t long_request(char *request, const char *first, size_t length, const char *second)
{
    memset(request, 'p', length);
    memcpy(request, first, strlen(first));
    request[length] = 0;
    memcpy(request + length + 1, second, strlen(second) + 1);
    return length + 1 + strlen(second) + 1;
}

/* Create nodes until that is refused; how many there were. */
static int create_nodes(uint32_t tx)
{
    char path[32];
    int made = 0;

    for (;; made++) {
        int n = snprintf(path, sizeof path, "data/n%d", made);
        send(XS_WRITE, tx, path, n + 1);
        if (header.type == XS_ERROR)
            break;
        assert_true(made < 1000);
    }
    assert_string_equal(body, "ENOSPC");
    return made;
}

/* ---- The advisories -------------------------------------------------------------------------- */

/* oxenstored served rings in impossible states, and could be kept busy without end. */
static void xsa_38(void **state)
{
    (void)state;
    ring->rsp_cons = 0x80000000;
    ring->req_prod = 0x80000000;
    assert_false(xs_serve(client));
    assert_non_null(xs_broken(client));
    assert_int_equal(ring->req_cons, 0);
}

/* A watch told a guest of nodes it may not read, so of what other guests do. */
static void xsa_115(void **state)
{
    static const char *const paths[] = {"/",
                                        "/local",
                                        "/local/domain",
                                        "/local/domain/6",
                                        "/local/domain/6/data",
                                        "/local/domain/0",
                                        "/vm",
                                        "@releaseDomain",
                                        "@introduceDomain",
                                        "data"};
    char request[64];

    (void)state;
    for (unsigned int i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        int n = snprintf(request, sizeof request, "%s%ct", paths[i], 0);
        expect(XS_WATCH, 0, request, n + 1, Z("OK"));
        expect_event(request, n + 1);
    }
    guest_open(6);
    fill_home(6);
    expect(XS_WRITE, 0, S("data/a\0x"), Z("OK"));
    assert_null(xs_set(client, "control/shutdown", "poweroff", 6));
    guest_close(6);
    guest_use(DOMID);
    silence();
    expect_error(XS_READ, 0, Z("/local/domain/6/name"), "EACCES");
}

/* Transactions failed without end where another domain went on writing. */
static void xsa_206(void **state)
{
    (void)state;
    guest_open(6);
    fill_home(6);
    guest_use(DOMID);
    uint32_t tx = start_transaction();
    expect(XS_WRITE, tx, S("data/a\0x"), Z("OK"));
    guest_use(6);
    for (int i = 0; i < 100; i++)
        expect(XS_WRITE, 0, S("data/a\0y"), Z("OK"));
    guest_use(DOMID);
    expect(XS_TRANSACTION_END, tx, Z("T"), Z("OK"));
    guest_close(6);
}

/* A new domain, or one with the number of one that is gone, could use the old one's nodes. */
static void old_nodes(void)
{
    expect(XS_WRITE, 0, S("data/secret\0x"), Z("OK"));
    expect(XS_WATCH, 0, Z("data\0t"), Z("OK"));
    expect_event(Z("data\0t"));
    uint32_t tx = start_transaction();
    guest_close(DOMID);
    guest_open(DOMID);
    fill_home(DOMID);
    expect_error(XS_READ, 0, Z("data/secret"), "ENOENT");
    expect_error(XS_READ, tx, Z("name"), "ENOENT");
    expect(XS_WRITE, 0, S("data/secret\0y"), Z("OK"));
    expect(XS_GET_PERMS, 0, Z("data/secret"), S("n5\0"));
    silence();
}

static void xsa_322(void **state)
{
    (void)state;
    old_nodes();
}

static void xsa_417(void **state)
{
    (void)state;
    old_nodes();
    /* And no guest can give others rights to its nodes, which would outlive them. */
    expect_error(XS_SET_PERMS, 0, Z("data/secret\0n5\0b6"), "ENOSYS");
}

/* The length of a path was checked before "/local/domain/N/" was put in front. */
static void xsa_323(void **state)
{
    static char request[4096];

    (void)state;
    size_t n = long_request(request, "data/", XENSTORE_REL_PATH_MAX, "t");
    expect(XS_WATCH, 0, request, n, Z("OK"));
    expect_event(request, n);
    expect(XS_WRITE, 0, request, n, Z("OK"));
    expect_event(request, n);
    expect(XS_RM, 0, request, XENSTORE_REL_PATH_MAX + 1, Z("OK"));
    expect_event(request, n);
    n = long_request(request, "data/", XENSTORE_REL_PATH_MAX + 1, "t");
    expect_error(XS_WATCH, 0, request, n, "EINVAL");
    expect_error(XS_WRITE, 0, request, n, "EINVAL");
    n = long_request(request, "/local/domain/5/", XENSTORE_REL_PATH_MAX + 16, "t");
    expect(XS_WRITE, 0, request, n, Z("OK"));
    n = long_request(request, "/local/domain/5/", XENSTORE_REL_PATH_MAX + 17, "t");
    expect_error(XS_WRITE, 0, request, n, "EINVAL");
    n = long_request(request, "/local/domain/6/", XENSTORE_ABS_PATH_MAX + 1, "t");
    expect_error(XS_WATCH, 0, request, n, "EINVAL");
}

/* An event that does not fit a message, since path and token are long, brought xenstored down. */
static void xsa_324(void **state)
{
    static char request[4096], token[2100];

    (void)state;
    memset(token, 't', sizeof token - 1);
    size_t n = long_request(request, "data", 4096 - sizeof token - 1, token);
    assert_int_equal(n, 4096);
    expect(XS_WATCH, 0, request, n, Z("OK"));
    expect_event(request, n); /* this one fits exactly */
    expect_error(XS_READ, 0, request, 4096 - sizeof token, "ENOENT");
    request[4096 - sizeof token - 1] = '/';
    request[4096 - sizeof token] = 'x';
    request[4096 - sizeof token + 1] = 0;
    expect(XS_WRITE, 0, request, 4096 - sizeof token + 2, Z("OK"));
    silence(); /* and this one is left out */
    assert_null(xs_broken(client));
    expect(XS_READ, 0, Z("name"), S("toy"));
}

/* A guest wrote nonsense into its ring page, and xenstored did not notice that the guest died. */
static void xsa_325(void **state)
{
    (void)state;
    expect(XS_WATCH, 0, Z("data\0t"), Z("OK"));
    expect_event(Z("data\0t"));
    start_transaction();
    memset(ring, 0xff, sizeof *ring);
    assert_false(xs_serve(client));
    assert_null(xs_set(client, "control/shutdown", "poweroff", DOMID));
    assert_string_equal(store_find(xs_home(client), "control/shutdown")->value, "poweroff");
    /* teardown() closes it, and the leak checker sees that nothing stays. */
}

/* Watches of any length: as many as are taken. */
static void hold_watches(void)
{
    static char request[4096];
    char number[16];

    for (int i = 0; i < 200; i++) {
        snprintf(number, sizeof number, "%d", i);
        send(XS_WATCH, 0, request, long_request(request, "a/", 2040, number));
        if (header.type == XS_ERROR)
            break;
        receive();
    }
    assert_string_equal(body, "E2BIG");
}

/* Values of the largest size, then names, then copies of all that in transactions. */
static void hold_nodes(void)
{
    static char request[4096];
    uint32_t tx[16], n = 0;
    char path[16];

    for (n = 0; n < 16; n++) {
        send(XS_TRANSACTION_START, 0, Z(""));
        if (header.type == XS_ERROR)
            break;
        tx[n] = atoi(body);
    }
    assert_int_equal(n, 10);
    for (uint32_t t = 0; t <= n; t++) {
        uint32_t id = t < n ? tx[t] : 0;

        for (int i = 0; i < 8; i++) {
            snprintf(path, sizeof path, "big/%d", i);
            size_t at = snprintf(request, sizeof request, "%s%c", path, 0);
            memset(request + at, 'v', 2048);
            send(XS_WRITE, id, request, at + 2048);
        }
        create_nodes(id);
    }
    while (send(XS_TRANSACTION_START, 0, Z("")), header.type != XS_ERROR)
        ;
}

/* Guests had xenstored allocate until nothing was left: watches, nodes, transactions, replies. */
static void xsa_326(void **state)
{
    static char request[1024];

    (void)state;
    guest_close(DOMID);
    size_t before = __sanitizer_get_current_allocated_bytes();
    guest_open(DOMID);
    fill_home(DOMID);
    hold_nodes();
    hold_watches();
    /* Requests whose replies nobody reads. */
    memset(request, 'x', sizeof request);
    for (int i = 0; i < 100 && ring->req_prod - ring->req_cons < 512; i++) {
        struct xsd_sockmsg h = {.type = XS_READ, .len = 500};

        put(&h, sizeof h);
        put(request, 500);
        xs_serve(client);
    }
    size_t held = __sanitizer_get_current_allocated_bytes() - before;
    print_message("a guest holds %zu bytes\n", held);
    assert_in_range(held, 64 << 10, MOST_MEMORY);
    assert_null(xs_set(client, "control/shutdown", "poweroff", DOMID));
}

/* The same one by one: watches alone, nodes alone. */
static void xsa_326_watches_alone(void **state)
{
    size_t before = __sanitizer_get_current_allocated_bytes();

    (void)state;
    hold_watches();
    assert_in_range(__sanitizer_get_current_allocated_bytes() - before, 64 << 10, 160 << 10);
    expect(XS_RESET_WATCHES, 0, S(""), Z("OK"));
    assert_int_equal(__sanitizer_get_current_allocated_bytes(), before); /* XSA-330 */
}

/* Begin a transaction that changes 240 paths, each told to as many long watches as are taken. */
static uint32_t costly_transaction(void)
{
    static char token[2000];
    char path[16], request[2100];
    uint32_t tx = start_transaction();
    int n;

    memset(token, 't', sizeof token - 1);
    for (int i = 0; i < 30; i++) {
        n = snprintf(request, sizeof request, "a%c%d%s", 0, i, token);
        expect(XS_WATCH, 0, request, n + 1, Z("OK"));
        expect_event(request, n + 1);
    }
    for (int i = 0; i < 240; i++) {
        n = snprintf(path, sizeof path, "a/%d", i);
        expect(XS_WRITE, tx, path, n + 1, Z("OK"));
    }
    return tx;
}

/*
 * The end of one transaction had the server format an event for each watch and each write, 131,072
 * of them, after the guest had been given up for not reading them. Every path is told once, and
 * nothing after the guest is given up.
 */
static clock_t end_costly_transaction(void)
{
    struct xsd_sockmsg h = {.type = XS_TRANSACTION_END, .len = 2};

    h.tx_id = costly_transaction();
    put(&h, sizeof h);
    put("T", 2);
    clock_t begin = clock();
    while (xs_serve(client))
        ;
    return clock() - begin;
}

/* The quickest of five, since other programs on this machine slow some of them down. */
static void costly_end(void **state)
{
    clock_t quickest = CLOCKS_PER_SEC;

    (void)state;
    for (int i = 0; i < 5; i++) {
        guest_close(DOMID);
        guest_open(DOMID);
        clock_t ticks = end_costly_transaction();
        assert_string_equal(xs_broken(client), "does not read its replies and events");
        quickest = ticks < quickest ? ticks : quickest;
    }
    print_message("the end took %ld us of processor time\n", quickest * (1000000 / CLOCKS_PER_SEC));
    assert_in_range(quickest, 0, CLOCKS_PER_SEC / 2500);
}

static void each_path_once(void **state)
{
    (void)state;
    expect(XS_WATCH, 0, Z("a\0t"), Z("OK"));
    expect_event(Z("a\0t"));
    uint32_t tx = start_transaction();
    for (int i = 0; i < 3000; i++)
        expect(XS_WRITE, tx, S("a\0v"), Z("OK"));
    expect(XS_WRITE, tx, S("a/b\0v"), Z("OK"));
    expect(XS_TRANSACTION_END, tx, Z("T"), Z("OK"));
    expect_event(Z("a\0t"));
    expect_event(Z("a/b\0t"));
    silence();
}

/* Requests that create nodes, values, watches and copies. */
static const struct {
    uint32_t type;
    const char *data;
    size_t size;
} growing[] = {
    {XS_WRITE, S("data/a/b/c/d\0value")},
    {XS_MKDIR, Z("data/a/b/c/d")},
    {XS_WRITE, S("control/shutdown\0value")},
    {XS_TRANSACTION_START, Z("")},
    {XS_WATCH, Z("data\0token")},
};

/*
 * Each request of these with its first, second, ... allocation failing: ENOMEM, nothing half made,
 * nothing leaked.
 */
static void failing_allocations(void)
{
    for (unsigned int i = 0; i < sizeof growing / sizeof growing[0]; i++)
        for (int good = 0;; good++) {
            unsigned int nodes = count_nodes(xs_home(client));
            size_t before = __sanitizer_get_current_allocated_bytes();

            allocations_left = good;
            send(growing[i].type, 0, growing[i].data, growing[i].size);
            bool failed = allocations_left < 0;
            allocations_left = -1;
            if (!failed)
                break; /* it needed no more */
            assert_int_equal(header.type, XS_ERROR);
            assert_string_equal(body, "ENOMEM");
            assert_int_equal(count_nodes(xs_home(client)), nodes);
            assert_int_equal(__sanitizer_get_current_allocated_bytes(), before);
        }
    expect_event(Z("data\0token")); /* of the watch that was set in the end */
    expect(XS_RESET_WATCHES, 0, S(""), Z("OK"));
}

/* An error while a node was created left a wrong pointer, which was used. */
static void xsa_414(void **state)
{
    (void)state;
    failing_allocations();
    expect(XS_READ, 0, Z("name"), S("toy"));
}

/* Nodes that a failed request had made stayed behind, without a parent that names them. */
static void xsa_415(void **state)
{
    (void)state;
    failing_allocations();
    expect(XS_RM, 0, Z("data"), Z("OK"));
    expect_error(XS_READ, 0, Z("data/a"), "ENOENT");
    /* A request over quota leaves no parents either. */
    create_nodes(0);
    expect(XS_RM, 0, Z("data/n0"), Z("OK"));
    unsigned int nodes = count_nodes(xs_home(client));
    expect_error(XS_WRITE, 0, S("p/q/r\0v"), "ENOSPC");
    assert_int_equal(count_nodes(xs_home(client)), nodes);
}

/* Memory for a request was not freed when the request failed. */
static void xsa_416(void **state)
{
    size_t before = __sanitizer_get_current_allocated_bytes();

    (void)state;
    for (uint32_t type = 0; type < XS_TYPE_COUNT + 2; type++)
        for (int i = 0; i < 20; i++) {
            send(type, 77, Z("no such\0thing"));
            assert_true(header.type == XS_ERROR || type == XS_RESET_WATCHES);
            send(type, 0, Z("/local/domain/6/data\0"));
            if (type == XS_WATCH && header.type == XS_WATCH)
                receive(); /* the one event that every watch brings */
        }
    expect(XS_RESET_WATCHES, 0, S(""), Z("OK"));
    assert_int_equal(__sanitizer_get_current_allocated_bytes(), before);
}

/* A tree as deep as paths allow was walked recursively, and the stack ended. */
static void xsa_418(void **state)
{
    char deep[201];

    (void)state;
    for (int i = 0; i < 200; i += 2)
        memcpy(deep + i, "d/", 2);
    for (int levels = 1; levels < 100; levels++) {
        deep[2 * levels - 1] = 0;
        send(XS_MKDIR, 0, deep, 2 * levels);
        deep[2 * levels - 1] = '/';
    }
    assert_int_equal(depth_of(xs_home(client)), 33); /* the home, and 32 levels below */
    start_transaction();
    expect(XS_RM, 0, Z("d"), Z("OK"));
}

/* Guests gave each other nodes, and had more than their quotas. */
static void xsa_419(void **state)
{
    (void)state;
    guest_open(6);
    fill_home(6);
    guest_use(DOMID);
    int made = create_nodes(0);
    expect_error(XS_SET_PERMS, 0, Z("data/n0\0n6"), "ENOSYS");
    guest_use(6);
    expect_error(XS_WRITE, 0, S("/local/domain/5/data/more\0v"), "EACCES");
    expect_error(XS_RM, 0, Z("/local/domain/5/data/n0"), "EACCES");
    assert_int_equal(create_nodes(0), made);
    guest_close(6);
}

/* Numbers of 32 bits were cut to 31. */
static void xsa_420(void **state)
{
    struct xsd_sockmsg h = {.type = XS_READ, .req_id = 0xffffffff, .len = 5};

    (void)state;
    uint32_t tx = start_transaction();
    expect_error(XS_READ, tx | 0x80000000, Z("name"), "ENOENT");
    expect_error(XS_READ, tx | 0x40000000, Z("name"), "ENOENT");
    expect(XS_READ, tx, Z("name"), S("toy"));
    put(&h, sizeof h);
    put("name", 5);
    xs_serve(client);
    receive();
    assert_int_equal(header.req_id, 0xffffffff);
    h.len = 0x80000005;
    put(&h, sizeof h);
    xs_serve(client);
    assert_string_equal(xs_broken(client), "sends a message too long");
}

/* Nodes made in several transactions were counted by none of them. */
static void xsa_421(void **state)
{
    uint32_t tx[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        tx[i] = start_transaction();
    for (int i = 0; i < 3; i++)
        assert_in_range(create_nodes(tx[i]), 100, 256);
    expect(XS_TRANSACTION_END, tx[0], Z("T"), Z("OK"));
    expect_error(XS_TRANSACTION_END, tx[1], Z("T"), "EAGAIN");
    expect_error(XS_TRANSACTION_END, tx[2], Z("T"), "EAGAIN");
    create_nodes(0);
    assert_int_equal(count_nodes(xs_home(client)), 256 + 3); /* and the control domain's own */
}

/* A guest changed who owns a node (352), or used the root without permission (353). */
static void xsa_352_353(void **state)
{
    static const uint32_t types[] = {XS_READ, XS_DIRECTORY, XS_GET_PERMS, XS_MKDIR, XS_RM};

    (void)state;
    expect_error(XS_SET_PERMS, 0, Z("control/shutdown\0n6"), "ENOSYS");
    expect_error(XS_SET_PERMS, 0, Z("/\0n5"), "ENOSYS");
    for (unsigned int i = 0; i < sizeof types / sizeof types[0]; i++)
        expect_error(types[i], 0, Z("/"), "EACCES");
    expect_error(XS_WRITE, 0, S("/\0v"), "EACCES");
    expect_error(XS_WRITE, 0, S("/new\0v"), "EACCES");
    expect(XS_GET_PERMS, 0, Z("control/shutdown"), S("n5\0"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(xsa_38),     TEST(xsa_115),        TEST(xsa_206),
        TEST(xsa_322),    TEST(xsa_323),        TEST(xsa_324),
        TEST(xsa_325),    TEST(xsa_326),        TEST(xsa_326_watches_alone),
        TEST(costly_end), TEST(each_path_once), TEST(xsa_352_353),
        TEST(xsa_414),    TEST(xsa_415),        TEST(xsa_416),
        TEST(xsa_417),    TEST(xsa_418),        TEST(xsa_419),
        TEST(xsa_420),    TEST(xsa_421),
    };

    return cmocka_run_group_tests_name("xenstore_xsa", tests, NULL, NULL);
}
