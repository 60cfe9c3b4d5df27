/* SPDX-License-Identifier: MIT */
/*
 * The FIFO ABI, the guest's half of it by hand: a control block, event words, and taking events off
 * a queue as the public header wants it (xen/event_channel.h; evtchn/fifo/fifo.c tells how the other
 * half works).
 */
#include <stdint.h>

#include <pv/page.h>

#include "events.h"

#define BIT(n) (1u << EVTCHN_FIFO_##n)
#define DEFAULT EVTCHN_FIFO_PRIORITY_DEFAULT

static volatile struct evtchn_fifo_control_block *control;
static volatile event_word_t *words;

static long init_control(uint64_t mfn, uint32_t offset, uint32_t vcpu_id)
{
    struct evtchn_init_control op = {.control_gfn = mfn, .offset = offset, .vcpu = vcpu_id};
    long rc = hv_event_channel_op(EVTCHNOP_init_control, &op);

    return rc ? rc : op.link_bits;
}

static long expand_array(uint64_t mfn)
{
    struct evtchn_expand_array op = {.array_gfn = mfn};

    return hv_event_channel_op(EVTCHNOP_expand_array, &op);
}

static long set_priority(evtchn_t port, uint32_t priority)
{
    struct evtchn_set_priority op = {.port = port, .priority = priority};

    return hv_event_channel_op(EVTCHNOP_set_priority, &op);
}

/* Take the first event off a queue. 0: it is empty. */
static evtchn_t take(unsigned int priority)
{
    evtchn_t port = control->head[priority];

    if (!port)
        return 0;
    control->head[priority] = words[port] & EVTCHN_FIFO_LINK_MASK;
    __atomic_fetch_and(&words[port], ~(BIT(LINKED) | BIT(PENDING) | EVTCHN_FIFO_LINK_MASK),
                       __ATOMIC_SEQ_CST);
    return port;
}

static void test_setup(void)
{
    uint32_t control_mfn, words_mfn;

    control = page_alloc();
    words = page_alloc();
    control_mfn = linear_to_mfn(control);
    words_mfn = linear_to_mfn(words);
    tap_is(set_priority(1, 3), -XEN_ENOSYS, "fifo: no priorities before");
    tap_is(expand_array(words_mfn), -XEN_EOPNOTSUPP, "fifo: no array before");
    tap_is(init_control(0xfffffff, 0, 0), -XEN_EINVAL, "fifo: a frame that is not");
    tap_is(init_control(base_mfn(), 0, 0), -XEN_EINVAL, "fifo: a page table");
    tap_is(init_control(control_mfn, 4, 0), -XEN_EINVAL, "fifo: not aligned");
    tap_is(init_control(control_mfn, 4096 - 64, 0), -XEN_EINVAL, "fifo: across the page's end");
    tap_is(init_control(control_mfn, 0, 31), -XEN_ENOENT, "fifo: no such vcpu");
    tap_is(init_control(control_mfn, 0, 0), EVTCHN_FIFO_LINK_BITS, "fifo: control block");
    tap_is(init_control(control_mfn, 0, 0), -XEN_EINVAL, "fifo: once is enough");
    tap_is(expand_array(base_mfn()), -XEN_EINVAL, "fifo: no page table as event array");
    tap_is(expand_array(words_mfn), 0, "fifo: event array");
    tap_is(set_priority(1, 16), -XEN_EINVAL, "fifo: 15 is the lowest priority");
    tap_is(set_priority(1, 3), 0, "fifo: priority of a port");
    set_priority(1, DEFAULT);
}

static void test_order(void)
{
    long a = bind_ipi(0), b = bind_ipi(0), c = bind_ipi(0);

    vcpu()->evtchn_upcall_pending = 0;
    control->ready = 0;
    send_event(b);
    tap_is(words[b], BIT(PENDING) | BIT(LINKED), "fifo: the word says pending and linked");
    tap_is(control->head[DEFAULT], b, "fifo: head of the default queue");
    tap_is(control->ready, 1u << DEFAULT, "fifo: that queue is ready");
    tap_is(vcpu()->evtchn_upcall_pending, 1, "fifo: an upcall is due");
    vcpu()->evtchn_upcall_pending = 0;
    send_event(a);
    send_event(b);
    send_event(c);
    tap_is(vcpu()->evtchn_upcall_pending, 0, "fifo: no second upcall for the same queue");
    tap_is(words[b] & EVTCHN_FIFO_LINK_MASK, a, "fifo: the first links to the second");
    tap_ok(take(DEFAULT) == (evtchn_t)b && take(DEFAULT) == (evtchn_t)a &&
               take(DEFAULT) == (evtchn_t)c && take(DEFAULT) == 0,
           "fifo: in the order they were sent");

    set_priority(a, 0);
    set_priority(b, 15);
    send_event(b);
    send_event(a);
    send_event(c);
    tap_ok(take(0) == (evtchn_t)a && take(DEFAULT) == (evtchn_t)c && take(15) == (evtchn_t)b,
           "fifo: a queue for each priority");

    words[a] |= BIT(MASKED);
    send_event(a);
    tap_is(words[a], BIT(MASKED) | BIT(PENDING), "fifo: masked: pending, not linked");
    tap_ok(unmask(a) == 0 && take(0) == (evtchn_t)a, "fifo: unmask queues it");
    send_event(c);
    close_port(c);
    tap_ok(bind_ipi(0) != c, "fifo: a port that is still linked is not given out");
    take(DEFAULT);
    tap_is(bind_ipi(0), c, "fifo: taken off, it is");
}

/* Each vcpu has queues of its own: a port that is moved is put on the other's the next time. */
static void test_second_vcpu(void)
{
    volatile struct evtchn_fifo_control_block *second = page_alloc();
    long port = bind_ipi(1), a, b;

    if (port < 0) {
        tap_skip("there is one vcpu", "fifo: queues of a second vcpu");
        return;
    }
    send_event(port);
    tap_ok(!(words[port] & BIT(LINKED)),
           "fifo: nowhere to queue for a vcpu without a control block");
    tap_is(init_control(linear_to_mfn(second), 0, 1), EVTCHN_FIFO_LINK_BITS,
           "fifo: control block of the second vcpu");
    send_event(port);
    tap_ok(second->head[DEFAULT] == (evtchn_t)port && second->ready == 1u << DEFAULT,
           "fifo: its IPI is queued there");
    second->head[DEFAULT] = 0;
    words[port] = 0;
    a = alloc_unbound(DOMID_SELF, DOMID_SELF);
    b = bind_interdomain(DOMID_SELF, a);
    take(DEFAULT); /* it was told of being connected */
    set_priority(b, 2);
    bind_vcpu(b, 1);
    send_event(a);
    tap_is(second->head[2], b, "fifo: a port moved to it is queued there");
    bind_vcpu(b, 0);
    send_event(a);
    tap_is(control->head[2], 0, "fifo: moved back, it stays on the queue it is on");
    second->head[2] = 0;
    words[b] = 0;
    send_event(a);
    tap_is(take(2), b, "fifo: taken off, it goes to the other");
    close_port(a);
    close_port(b);
    close_port(port);
}

static void test_many(void)
{
    long port;

    while ((port = bind_ipi(0)) > 0 && port < 2000)
        ;
    tap_is(port, 2000, "fifo: more than 1024 ports");
    tap_is(send_event(1900), 0, "fifo: a port without a word");
    tap_is(take(DEFAULT), 0, "fifo: waits");
    tap_is(expand_array(linear_to_mfn(page_alloc())), 0, "fifo: another page of words");
    tap_is(control->head[DEFAULT], 1900, "fifo: and comes with it");
    tap_is(reset(DOMID_SELF), 0, "fifo: reset");
    tap_is(set_priority(1, 3), -XEN_ENOSYS, "fifo: back at two levels");
    port = bind_ipi(0);
    shared_info_page.evtchn_pending[0] = 0;
    send_event(port);
    tap_is(shared()->evtchn_pending[0], 1ul << port, "fifo: a bit again");
}

void test_fifo(void)
{
    test_setup();
    test_order();
    test_second_vcpu();
    test_many();
}
