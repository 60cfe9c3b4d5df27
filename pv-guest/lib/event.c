/* SPDX-License-Identifier: MIT */
/*
 * Event channels, the two-level form: 1024 ports, a word of selectors above 32 words of bits.
 *
 * The hypervisor sets pending[port], then (if the port is not masked) the bit of its word in
 * evtchn_pending_sel, then evtchn_upcall_pending, and calls if the vcpu's mask is clear. The guest
 * takes them back in the opposite order, so that an event arriving in between is seen again
 * rather than lost.
 *
 * Next: trap_entry.S (the upcall's way in and out), time.c and console.c as users.
 */
#include <pv/event.h>

#include <stddef.h>

#include <xen/event_channel.h>
#include <xen/sched.h>
#include <xen/version.h>

#include <pv/start.h>
#include <pv/trap.h>

#define WORDS 32
#define PORTS (WORDS * 32)

struct port {
    event_handler handler;
    void *data;
    uint32_t count;
};

/* Changed with events off, or by binding before the port is unmasked. */
static struct port ports[PORTS];
static uint32_t total;

void event_dispatch(struct trap_frame *frame);

static inline void compiler_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/* --- delivery ------------------------------------------------------------------------------ */

static void deliver(evtchn_t number)
{
    struct port *port = &ports[number];

    __atomic_fetch_and(&shared_info_page.evtchn_pending[number / 32], ~(1ul << number % 32),
                       __ATOMIC_SEQ_CST);
    port->count++;
    total++;
    if (port->handler)
        port->handler(number, port->data);
}

/* Called by trap_entry.S with the vcpu's mask set. */
void event_dispatch(struct trap_frame *frame)
{
    (void)frame;
    while (vcpu()->evtchn_upcall_pending) {
        unsigned long words;

        vcpu()->evtchn_upcall_pending = 0;
        words = __atomic_exchange_n(&shared_info_page.vcpu_info[0].evtchn_pending_sel, 0,
                                    __ATOMIC_SEQ_CST);
        while (words) {
            unsigned int word = __builtin_ctzl(words);
            unsigned long bits;

            words &= words - 1;
            while ((bits = shared()->evtchn_pending[word] & ~shared()->evtchn_mask[word]) != 0)
                deliver(word * 32 + __builtin_ctzl(bits));
        }
    }
}

bool events_off(void)
{
    bool were_on = vcpu()->evtchn_upcall_mask == 0;

    vcpu()->evtchn_upcall_mask = 1;
    compiler_barrier();
    return were_on;
}

/* Clearing the mask calls nobody: an event that arrived meanwhile would wait for the next one.
 * Any hypercall delivers it on its way back, so the cheapest one is made. */
void events_on(void)
{
    compiler_barrier();
    vcpu()->evtchn_upcall_mask = 0;
    compiler_barrier();
    if (vcpu()->evtchn_upcall_pending)
        hv_xen_version(XENVER_version, NULL);
}

void events_restore(bool were_on)
{
    if (were_on)
        events_on();
    else
        events_off();
}

void events_wait(void)
{
    hv_sched_op(SCHEDOP_block, NULL);
}

/* --- ports --------------------------------------------------------------------------------- */

void event_mask(evtchn_t port)
{
    __atomic_fetch_or(&shared_info_page.evtchn_mask[port / 32], 1ul << port % 32, __ATOMIC_SEQ_CST);
}

/* A port that became pending while masked set no selector bit: the hypervisor looks again. */
void event_unmask(evtchn_t port)
{
    struct evtchn_unmask op = {.port = port};

    hv_event_channel_op(EVTCHNOP_unmask, &op);
}

void event_attach(evtchn_t port, event_handler handler, void *data)
{
    if (port >= PORTS)
        panic("event port %u is out of range", port);
    event_mask(port);
    ports[port].handler = handler;
    ports[port].data = data;
    ports[port].count = 0;
    event_unmask(port);
}

/* Finish a binding: pass the error on, or make the port ready. */
static int bound(int error, evtchn_t port, event_handler handler, void *data)
{
    if (error)
        return error;
    event_attach(port, handler, data);
    return port;
}

int event_bind_virq(unsigned int virq, event_handler handler, void *data)
{
    struct evtchn_bind_virq op = {.virq = virq, .vcpu = 0};
    int error = hv_event_channel_op(EVTCHNOP_bind_virq, &op);

    return bound(error, op.port, handler, data);
}

int event_bind_interdomain(domid_t remote, evtchn_t remote_port, event_handler handler, void *data)
{
    struct evtchn_bind_interdomain op = {.remote_dom = remote, .remote_port = remote_port};
    int error = hv_event_channel_op(EVTCHNOP_bind_interdomain, &op);

    return bound(error, op.local_port, handler, data);
}

int event_alloc_unbound(domid_t remote, event_handler handler, void *data)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = remote};
    int error = hv_event_channel_op(EVTCHNOP_alloc_unbound, &op);

    return bound(error, op.port, handler, data);
}

int event_bind_ipi(event_handler handler, void *data)
{
    struct evtchn_bind_ipi op = {.vcpu = 0};
    int error = hv_event_channel_op(EVTCHNOP_bind_ipi, &op);

    return bound(error, op.port, handler, data);
}

int event_close(evtchn_t port)
{
    struct evtchn_close op = {.port = port};

    if (port >= PORTS)
        return -XEN_EINVAL;
    event_mask(port);
    ports[port].handler = NULL;
    return hv_event_channel_op(EVTCHNOP_close, &op);
}

int event_send(evtchn_t port)
{
    struct evtchn_send op = {.port = port};

    return hv_event_channel_op(EVTCHNOP_send, &op);
}

uint32_t event_count(evtchn_t port)
{
    return port < PORTS ? ports[port].count : 0;
}

uint32_t event_total(void)
{
    return total;
}

/* Every port starts masked: what nobody bound does not call. */
void event_init(void)
{
    for (int word = 0; word < WORDS; word++)
        shared_info_page.evtchn_mask[word] = ~0ul;
}
