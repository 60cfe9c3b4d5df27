/* SPDX-License-Identifier: MIT */
/*
 * The console, both kinds.
 *
 * The initial domain writes with the console_io hypercall, and VIRQ_CONSOLE says when there is
 * input. Every other domain shares a page (xen/io/console.h) and an event channel with whoever
 * carries its console: two rings of bytes with free-running indices, each written by one side.
 *
 * Next: syscalls.c, which puts newlib's stdio on top.
 */
#include <pv/console.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <xen/io/console.h>
#include <xen/sched.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>

#define CTRL(letter) ((letter)&0x1f)
#define DELETE 0x7f

static volatile struct xencons_interface *ring(void)
{
    uint32_t pfn = mfn_to_pfn(start_info->console.domU.mfn);

    return pfn == UINT32_MAX ? NULL : pfn_to_linear(pfn);
}

/* --- output -------------------------------------------------------------------------------- */

/* The ring is full: poke the other side and sleep until it answers, without serving events, since
 * the caller may have them off. The timeout covers an answer that came in between. */
static void wait_for_space(void)
{
    evtchn_t port = start_info->console.domU.evtchn;
    struct sched_poll poll = {.nr_ports = 1, .timeout = time_now() + 10 * NS_PER_MS};

    event_send(port);
    set_xen_guest_handle(poll.ports, &port);
    hv_sched_op(SCHEDOP_poll, &poll);
}

static void ring_put(volatile struct xencons_interface *page, char byte)
{
    while (page->out_prod - page->out_cons >= sizeof(page->out))
        wait_for_space();
    page->out[MASK_XENCONS_IDX(page->out_prod, page->out)] = byte;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the byte before the index that announces it */
    page->out_prod++;
}

void console_write(const char *data, size_t size)
{
    volatile struct xencons_interface *page;

    if (is_initial_domain()) {
        hv_console_io(CONSOLEIO_write, size, data);
        return;
    }
    page = ring();
    if (!page || start_info->console.domU.evtchn == 0)
        return;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n')
            ring_put(page, '\r');
        ring_put(page, data[i]);
    }
    event_send(start_info->console.domU.evtchn);
}

/* --- input --------------------------------------------------------------------------------- */

static int ring_get(void)
{
    volatile struct xencons_interface *page = ring();
    unsigned char byte;

    if (!page || page->in_cons == page->in_prod)
        return -1;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the index before the byte it announces */
    byte = page->in[MASK_XENCONS_IDX(page->in_cons, page->in)];
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    page->in_cons++;
    event_send(start_info->console.domU.evtchn);
    return byte;
}

int console_poll(void)
{
    char byte;

    if (!is_initial_domain())
        return ring_get();
    return hv_console_io(CONSOLEIO_read, 1, &byte) == 1 ? (unsigned char)byte : -1;
}

static void (*before_wait)(void);

void console_on_wait(void (*function)(void))
{
    before_wait = function;
}

/* Terminals send CR for Enter. */
int console_getchar(void)
{
    int byte;

    fflush(stdout);
    events_off();
    while ((byte = console_poll()) < 0) {
        if (before_wait)
            before_wait();
        events_wait();
        events_off();
    }
    events_on();
    return byte == '\r' ? '\n' : byte;
}

static void erase(size_t count)
{
    while (count-- > 0)
        console_write("\b \b", 3);
}

size_t console_readline(char *line, size_t size)
{
    size_t length = 0;

    for (;;) {
        char byte = console_getchar();

        if (byte == '\n' || byte == CTRL('C')) {
            console_write("\n", 1);
            length = byte == '\n' ? length : 0;
            line[length] = 0;
            return length;
        } else if (byte == '\b' || byte == DELETE) {
            erase(length > 0);
            length -= length > 0;
        } else if (byte == CTRL('U')) {
            erase(length);
            length = 0;
        } else if (byte >= ' ' && length + 1 < size) {
            console_write(&byte, 1);
            line[length++] = byte;
        }
    }
}

/* The event only ends a wait: whoever wants input looks for it. */
void console_init(void)
{
    if (!is_initial_domain())
        event_attach(start_info->console.domU.evtchn, NULL, NULL);
    else if (event_bind_virq(VIRQ_CONSOLE, NULL, NULL) < 0)
        panic("no console event");
}
