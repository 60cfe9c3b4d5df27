/* SPDX-License-Identifier: MIT */
/*
 * Ping-pong with another guest: a page of the first one's, granted to the second, holds two
 * counters, and each step is an event. Every event is counted: one that does not come, though the
 * other side is there and has taken its step, was lost. Then this side waits for ever, and
 * prints no more.
 *
 * Both sides know port and grant without being told: they are the first that a new guest gets.
 *
 * Next: main.c.
 */
#include <pv/grant.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>
#include <xen/event_channel.h>

#include "life.h"

#define FIRST_PORT 4 /* behind console, xenstore and timer */
#define FIRST_GRANT 8
#define PATIENCE (50 * NS_PER_MS)
#define TRIES 20

static volatile struct {
    uint32_t ping, pong;
} * page;
static evtchn_t port;
static uint32_t seen; /* events taken */
static bool is_first, gone = true;

/* The first offers, the second connects as soon as there is something to connect to. */
void peer_open(uint16_t peer, bool first)
{
    struct grant_map map;
    int rc = -1;

    is_first = first;
    if (first) {
        page = page_alloc();
        rc = event_alloc_unbound(peer, NULL, NULL);
        if (rc != FIRST_PORT || grant_access(peer, linear_to_mfn(page), true) != FIRST_GRANT)
            panic("the first port or grant is another: port %d", rc);
    } else {
        for (int i = 0; i < TRIES && grant_map(peer, FIRST_GRANT, true, &map) != 0; i++)
            sleep_ms(5);
        rc = event_bind_interdomain(peer, FIRST_PORT, NULL, NULL);
        page = map.va;
    }
    gone = rc < 0 || !page;
    port = rc;
}

bool peer_gone(void)
{
    return gone;
}

static bool connected(void)
{
    struct evtchn_status status = {.dom = DOMID_SELF, .port = port};

    return hv_event_channel_op(EVTCHNOP_status, &status) == 0 &&
           status.status == EVTCHNSTAT_interdomain;
}

/* One event more than `seen`, or false: the other side is not there. */
static bool take_event(void)
{
    for (events_off(); event_count(port) == seen; events_off()) {
        wait_until(time_now() + PATIENCE);
        if (event_count(port) == seen && !connected())
            return false;
    }
    events_on();
    seen++;
    return true;
}

/* The first asks and waits for the answer. */
static void ask(void)
{
    page->ping++;
    event_send(port);
    gone = !take_event();
    if (!gone && page->pong != page->ping)
        panic("the answer's event came without the answer");
}

/* The second's first event tells that it is connected; each later one is a question. */
static void answer(void)
{
    gone = !take_event();
    if (!gone && page->pong != page->ping) {
        page->pong = page->ping;
        event_send(port);
    }
}

/* Block until there is one event more than `seen`. */
static void await_event(void)
{
    for (events_off(); event_count(port) == seen; events_off())
        events_wait();
    events_on();
    seen++;
}

/* The first's n round trips in ticks of the time-stamp counter; the second answers for ever. */
uint64_t peer_measure(uint32_t n)
{
    uint64_t start;

    if (!is_first) {
        for (;;) {
            await_event();
            event_send(port);
        }
    }
    await_event(); /* the answer to being connected to */
    start = read_tsc();
    for (uint32_t i = 0; i < n; i++) {
        event_send(port);
        await_event();
    }
    return read_tsc() - start;
}

void peer_round(void)
{
    if (!is_first)
        answer();
    else if (connected())
        ask();
}

uint32_t peer_events(void)
{
    return seen;
}
