/* SPDX-License-Identifier: MIT */
/*
 * console.c - carry a guest's console: a page with a ring for each direction, and an event channel.
 *
 * The guest owns the page and may write anything into it at any time. So an index of the guest's
 * is read once and its distance from ours is checked; ours are kept here and copied to the page; a
 * guest that moves an index out of range loses its console, not the control domain its mind.
 *
 * Next: prompt.c, which shows the log and types.
 */
#include "console.h"

#include <string.h>

#include <pv/event.h>
#include <xen/io/console.h>

void console_connect(struct console *c, struct xencons_interface *ring, uint32_t port)
{
    c->ring = ring;
    c->port = port;
    c->broken = NULL;
    c->out_cons = c->in_prod = 0;
    c->written = c->shown = 0;
}

void console_disconnect(struct console *c)
{
    c->ring = NULL;
}

void console_carry(struct console *c)
{
    if (!c->ring || c->broken)
        return;
    uint32_t prod = *(volatile uint32_t *)&c->ring->out_prod;
    __sync_synchronize(); /* the bytes the index vouches for are read after it */
    if (prod == c->out_cons)
        return;
    if (prod - c->out_cons > sizeof c->ring->out) {
        c->broken = "has an impossible index in its console ring";
        return;
    }
    while (c->out_cons != prod) {
        c->log[c->written++ % CONSOLE_LOG] =
            c->ring->out[MASK_XENCONS_IDX(c->out_cons, c->ring->out)];
        c->out_cons++;
    }
    __sync_synchronize(); /* ... and before they are given back */
    *(volatile uint32_t *)&c->ring->out_cons = c->out_cons;
    event_send(c->port);
}

size_t console_take(struct console *c, char *to, size_t room)
{
    if (c->written - c->shown > CONSOLE_LOG)
        c->shown = c->written - CONSOLE_LOG;
    size_t start = c->shown % CONSOLE_LOG;
    size_t n = c->written - c->shown;
    if (n > CONSOLE_LOG - start)
        n = CONSOLE_LOG - start;
    if (n > room)
        n = room;
    memcpy(to, c->log + start, n);
    c->shown += n;
    return n;
}

void console_again(struct console *c)
{
    c->shown = c->written > CONSOLE_LOG ? c->written - CONSOLE_LOG : 0;
}

bool console_type(struct console *c, char byte)
{
    if (!c->ring || c->broken)
        return false;
    uint32_t cons = *(volatile uint32_t *)&c->ring->in_cons;
    __sync_synchronize();
    if (c->in_prod - cons >= sizeof c->ring->in)
        return false;
    c->ring->in[MASK_XENCONS_IDX(c->in_prod, c->ring->in)] = byte;
    __sync_synchronize(); /* the byte before the index that announces it */
    *(volatile uint32_t *)&c->ring->in_prod = ++c->in_prod;
    event_send(c->port);
    return true;
}
