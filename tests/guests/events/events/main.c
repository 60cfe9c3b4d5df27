/* SPDX-License-Identifier: MIT */
/*
 * Event channels: every operation with what it answers, to the last error code, and how a pending
 * port becomes an upcall.
 *
 * A guest cannot see the hypervisor's books, only what it answers and which bits it sets in the
 * shared page. This guest, the initial domain, makes every kind of channel with itself, sends with
 * the vcpu's mask set and looks which of the bits moved: pending[port], the selector,
 * upcall_pending. fifo.c does the same with the FIFO ABI. The answers were compared with Xen
 * 4.17's: all of them are the same there.
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <stdio.h>

#include <pv/time.h>
#include <xen/sched.h>

#include "events.h"

long alloc_unbound(domid_t dom, domid_t remote)
{
    struct evtchn_alloc_unbound op = {.dom = dom, .remote_dom = remote};
    long rc = hv_event_channel_op(EVTCHNOP_alloc_unbound, &op);

    return rc ? rc : (long)op.port;
}

long bind_interdomain(domid_t remote, evtchn_t port)
{
    struct evtchn_bind_interdomain op = {.remote_dom = remote, .remote_port = port};
    long rc = hv_event_channel_op(EVTCHNOP_bind_interdomain, &op);

    return rc ? rc : (long)op.local_port;
}

long bind_virq(uint32_t virq, uint32_t vcpu)
{
    struct evtchn_bind_virq op = {.virq = virq, .vcpu = vcpu};
    long rc = hv_event_channel_op(EVTCHNOP_bind_virq, &op);

    return rc ? rc : (long)op.port;
}

long bind_ipi(uint32_t vcpu)
{
    struct evtchn_bind_ipi op = {.vcpu = vcpu};
    long rc = hv_event_channel_op(EVTCHNOP_bind_ipi, &op);

    return rc ? rc : (long)op.port;
}

static long bind_pirq(uint32_t pirq)
{
    struct evtchn_bind_pirq op = {.pirq = pirq};
    long rc = hv_event_channel_op(EVTCHNOP_bind_pirq, &op);

    return rc ? rc : (long)op.port;
}

long close_port(evtchn_t port)
{
    struct evtchn_close op = {.port = port};

    return hv_event_channel_op(EVTCHNOP_close, &op);
}

long send_event(evtchn_t port)
{
    struct evtchn_send op = {.port = port};

    return hv_event_channel_op(EVTCHNOP_send, &op);
}

long unmask(evtchn_t port)
{
    struct evtchn_unmask op = {.port = port};

    return hv_event_channel_op(EVTCHNOP_unmask, &op);
}

long reset(domid_t dom)
{
    struct evtchn_reset op = {.dom = dom};

    return hv_event_channel_op(EVTCHNOP_reset, &op);
}

long bind_vcpu(evtchn_t port, uint32_t vcpu)
{
    struct evtchn_bind_vcpu op = {.port = port, .vcpu = vcpu};

    return hv_event_channel_op(EVTCHNOP_bind_vcpu, &op);
}

static struct evtchn_status status;

static long get_status(domid_t dom, evtchn_t port)
{
    status = (struct evtchn_status){.dom = dom, .port = port};
    return hv_event_channel_op(EVTCHNOP_status, &status);
}

static bool pending(evtchn_t port)
{
    return shared()->evtchn_pending[port / 32] >> port % 32 & 1;
}

static void set_mask(evtchn_t port, bool masked)
{
    if (masked)
        shared()->evtchn_mask[port / 32] |= 1ul << port % 32;
    else
        shared()->evtchn_mask[port / 32] &= ~(1ul << port % 32);
}

/* Forget everything that was announced. */
static void settle(void)
{
    vcpu()->evtchn_upcall_pending = 0;
    shared_info_page.vcpu_info[0].evtchn_pending_sel = 0;
    for (unsigned int i = 0; i < 32; i++)
        shared_info_page.evtchn_pending[i] = 0;
}

/* --- answers ------------------------------------------------------------------------------- */

static void test_errors(void)
{
    static const evtchn_t bad[] = {0, 900, 1024, 131072, 0xffffffff};

    tap_is(hv_event_channel_op(99, &status), -XEN_ENOSYS, "unknown operation");
    tap_is(hv_event_channel_op(EVTCHNOP_send, (void *)0xfffff000), -XEN_EFAULT,
           "send: bad pointer");
    tap_is(hv_event_channel_op(EVTCHNOP_status, (void *)0xfffff000), -XEN_EFAULT,
           "status: bad pointer");
    tap_is(alloc_unbound(NOBODY, DOMID_SELF), -XEN_ESRCH, "alloc_unbound for nobody");
    tap_is(bind_interdomain(NOBODY, 1), -XEN_ESRCH, "bind_interdomain to nobody");
    tap_is(bind_interdomain(DOMID_SELF, 900), -XEN_EINVAL, "bind_interdomain to a free port");
    tap_is(bind_virq(NR_VIRQS, 0), -XEN_EINVAL, "bind_virq: no such VIRQ");
    tap_is(bind_virq(VIRQ_DOM_EXC, 1), -XEN_EINVAL, "bind_virq: a global one, not on vcpu 0");
    tap_is(bind_virq(VIRQ_DEBUG, 31), -XEN_ENOENT, "bind_virq: no such vcpu");
    tap_is(bind_ipi(31), -XEN_ENOENT, "bind_ipi: no such vcpu");
    tap_is(bind_pirq(100000), -XEN_EINVAL, "bind_pirq: no such PIRQ");
    tap_is(get_status(NOBODY, 1), -XEN_ESRCH, "status of nobody's port");
    tap_is(reset(NOBODY), -XEN_ESRCH, "reset of nobody");
    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tap_is(send_event(bad[i]), -XEN_EINVAL, "send through port %#lx", (unsigned long)bad[i]);
        tap_is(close_port(bad[i]), -XEN_EINVAL, "close port %#lx", (unsigned long)bad[i]);
        tap_is(bind_vcpu(bad[i], 0), -XEN_EINVAL, "bind port %#lx to a vcpu",
               (unsigned long)bad[i]);
    }
    tap_is(bind_vcpu(1, 31), -XEN_ENOENT, "bind a port to a vcpu that is not");
    tap_is(get_status(DOMID_SELF, 131072), -XEN_EINVAL, "status of a port that cannot be");
    tap_is(get_status(DOMID_SELF, 0), 0, "port 0 has a status");
    tap_is(status.status, EVTCHNSTAT_closed, "and is closed");
}

static void test_channel(void)
{
    long a, b;

    a = alloc_unbound(DOMID_SELF, DOMID_SELF);
    tap_ok(a > 0, "alloc_unbound: port %ld", a);
    get_status(DOMID_SELF, a);
    tap_ok(status.status == EVTCHNSTAT_unbound && status.u.unbound.dom == 0, "it waits for us");
    tap_is(send_event(a), 0, "sending into the void is no error");
    settle();
    b = bind_interdomain(DOMID_SELF, a);
    tap_ok(b > 0 && b != a, "bind_interdomain: port %ld", b);
    tap_ok(pending(b) && !pending(a), "the new end is pending at once, the other is not");
    tap_ok(vcpu()->evtchn_upcall_pending == (shared()->evtchn_mask[b / 32] >> b % 32 & 1 ? 0 : 1),
           "announced unless masked");
    tap_is(bind_interdomain(DOMID_SELF, a), -XEN_EINVAL, "one end takes one partner");
    get_status(DOMID_SELF, a);
    tap_ok(status.status == EVTCHNSTAT_interdomain && status.u.interdomain.port == (evtchn_t)b,
           "both ends know each other");
    settle();
    tap_is(send_event(a), 0, "send");
    tap_ok(pending(b) && !pending(a), "the other end is pending");
    tap_is(bind_vcpu(a, 0), 0, "an interdomain port may be bound to a vcpu");
    tap_is(close_port(b), 0, "close one end");
    get_status(DOMID_SELF, a);
    tap_is(status.status, EVTCHNSTAT_unbound, "the other waits again");
    tap_ok(!pending(b), "a closed port is not pending");
    tap_is(close_port(a), 0, "close the other");
    get_status(DOMID_SELF, a);
    tap_is(status.status, EVTCHNSTAT_closed, "closed");
}

static void test_virqs(void)
{
    long debug = bind_virq(VIRQ_DEBUG, 0), global = bind_virq(VIRQ_ARGO, 0), ipi = bind_ipi(0);

    tap_ok(debug > 0 && global > 0 && ipi > 0, "a VIRQ of the vcpu, a global one, an IPI");
    tap_is(bind_virq(VIRQ_DEBUG, 0), -XEN_EEXIST, "a VIRQ is bound once");
    tap_is(send_event(debug), -XEN_EINVAL, "a VIRQ cannot be sent");
    tap_is(bind_vcpu(debug, 0), -XEN_EINVAL, "a vcpu's own VIRQ cannot be moved");
    tap_is(bind_vcpu(ipi, 0), -XEN_EINVAL, "an IPI cannot be moved");
    tap_is(bind_vcpu(global, 0), 0, "a global VIRQ can");
    get_status(DOMID_SELF, debug);
    tap_ok(status.status == EVTCHNSTAT_virq && status.u.virq == VIRQ_DEBUG,
           "status tells the VIRQ");
    get_status(DOMID_SELF, ipi);
    tap_is(status.status, EVTCHNSTAT_ipi, "and the IPI");
    settle();
    tap_ok(send_event(ipi) == 0 && pending(ipi), "an IPI can be sent");
    tap_is(close_port(debug), 0, "close the VIRQ");
    tap_is(bind_virq(VIRQ_DEBUG, 0), debug, "and bind it again: the lowest free port");
    close_port(debug);
    close_port(global);
    close_port(ipi);
}

/* --- bits ---------------------------------------------------------------------------------- */

static void test_bits(void)
{
    long ipi = bind_ipi(0);

    set_mask(ipi, false);
    settle();
    send_event(ipi);
    tap_ok(pending(ipi), "sent: pending");
    tap_is(vcpu()->evtchn_pending_sel, 1ul << ipi / 32, "its word is selected");
    tap_is(vcpu()->evtchn_upcall_pending, 1, "an upcall is due");
    vcpu()->evtchn_upcall_pending = 0;
    shared_info_page.vcpu_info[0].evtchn_pending_sel = 0;
    send_event(ipi);
    tap_ok(!vcpu()->evtchn_upcall_pending && !vcpu()->evtchn_pending_sel,
           "pending already: not announced again");
    settle();
    shared_info_page.vcpu_info[0].evtchn_pending_sel = 1ul << ipi / 32;
    send_event(ipi);
    tap_ok(pending(ipi) && !vcpu()->evtchn_upcall_pending, "selected already: no second upcall");

    set_mask(ipi, true);
    settle();
    send_event(ipi);
    tap_ok(pending(ipi), "masked: pending all the same");
    tap_ok(!vcpu()->evtchn_upcall_pending && !vcpu()->evtchn_pending_sel, "and nothing more");
    tap_is(unmask(ipi), 0, "unmask");
    tap_ok(vcpu()->evtchn_upcall_pending && vcpu()->evtchn_pending_sel == 1ul << ipi / 32,
           "now it is announced");
    settle();
    set_mask(ipi, true);
    unmask(ipi);
    tap_ok(!vcpu()->evtchn_upcall_pending && !(shared()->evtchn_mask[ipi / 32] >> ipi % 32 & 1),
           "unmasked with nothing pending: silence");
    close_port(ipi);
}

/* --- another vcpu, where there is one --------------------------------------------------------- */

static bool selected(unsigned int vcpu_id, evtchn_port_t port)
{
    volatile struct vcpu_info *info = &shared_info_page.vcpu_info[vcpu_id];
    bool is = info->evtchn_pending_sel >> port / 32 & 1 && info->evtchn_upcall_pending;

    info->evtchn_pending_sel = 0;
    info->evtchn_upcall_pending = 0;
    return is;
}

static void test_second_vcpu(void)
{
    long timer = bind_virq(VIRQ_DEBUG, 1), ipi = bind_ipi(1), a, b;

    if (ipi < 0) {
        tap_skip("there is one vcpu", "events of a second vcpu");
        return;
    }
    tap_ok(timer > 0, "a VIRQ of the second vcpu");
    tap_is(bind_vcpu(timer, 0), -XEN_EINVAL, "it cannot be moved");
    tap_is(bind_vcpu(ipi, 0), -XEN_EINVAL, "nor can its IPI");
    set_mask(ipi, false);
    settle();
    selected(1, ipi);
    send_event(ipi);
    tap_ok(selected(1, ipi) && !selected(0, ipi), "its IPI is announced to it alone");
    a = alloc_unbound(DOMID_SELF, DOMID_SELF);
    b = bind_interdomain(DOMID_SELF, a);
    set_mask(b, false);
    for (unsigned int i = 0; i < 4; i++) {
        unsigned int to = (i + 1) % 2;

        tap_is(bind_vcpu(b, to), 0, "move a port to vcpu %u", to);
        get_status(DOMID_SELF, b);
        tap_is(status.vcpu, to, "status tells");
        settle();
        selected(1, b);
        send_event(a);
        tap_ok(selected(to, b) && !selected(1 - to, b), "vcpu %u hears of it", to);
    }
    bind_vcpu(b, 1);
    set_mask(b, true);
    settle();
    send_event(a);
    tap_ok(!selected(1, b) && !selected(0, b), "masked: nobody hears");
    unmask(b);
    tap_ok(selected(1, b) && !selected(0, b), "unmasked: the right one does");
    close_port(timer);
    close_port(ipi);
    close_port(a);
    close_port(b);
}

/* --- waiting for a port --------------------------------------------------------------------- */

static long poll(evtchn_t *ports, unsigned int n, uint64_t timeout)
{
    struct sched_poll op = {.nr_ports = n, .timeout = timeout};

    set_xen_guest_handle(op.ports, ports);
    return hv_sched_op(SCHEDOP_poll, &op);
}

static void test_poll(void)
{
    evtchn_t ports[2] = {bind_ipi(0), 131072};
    uint64_t start, took;

    set_mask(ports[0], true);
    settle();
    tap_is(poll(ports, 2, 1), -XEN_EINVAL, "poll: a port that cannot be");
    tap_is(poll(ports, 129, 1), -XEN_EINVAL, "poll: too many ports");
    tap_is(poll((void *)0xfffff000, 1, 1), -XEN_EFAULT, "poll: bad pointer");
    send_event(ports[0]);
    tap_is(poll(ports, 1, 0), 0, "a masked port that is pending ends a poll");
    settle();
    start = time_now();
    tap_is(poll(ports, 1, start + 20 * NS_PER_MS), 0, "poll with a timeout");
    took = time_now() - start;
    tap_ok(took >= 20 * NS_PER_MS && took < 200 * NS_PER_MS, "it ends in time: %lu us",
           (unsigned long)(took / 1000));
    tap_is(poll(ports, 1, -2ULL), 0, "poll until before the beginning");
    close_port(ports[0]);
}

/* --- the old number, the end of ports, starting over ------------------------------------------ */

static void test_compat(void)
{
    struct evtchn_op op = {.cmd = EVTCHNOP_bind_ipi};

    tap_is(hypercall(__HYPERVISOR_event_channel_op_compat, HV_ARG(&op), 0, 0, 0, 0), 0,
           "the hypercall of 2005");
    tap_ok(op.u.bind_ipi.port > 0, "answers in place: port %lu", (unsigned long)op.u.bind_ipi.port);
    op.u.close.port = op.u.bind_ipi.port;
    op.cmd = EVTCHNOP_close;
    tap_is(hypercall(__HYPERVISOR_event_channel_op_compat, HV_ARG(&op), 0, 0, 0, 0), 0,
           "and closes");
    op.cmd = EVTCHNOP_set_priority;
    tap_is(hypercall(__HYPERVISOR_event_channel_op_compat, HV_ARG(&op), 0, 0, 0, 0), -XEN_ENOSYS,
           "what came later is unknown to it");
}

static void test_limits(void)
{
    long port, last = 0;

    while ((port = bind_ipi(0)) > 0)
        last = port;
    tap_is(port, -XEN_ENOSPC, "no more ports");
    tap_is(last, 1023, "after 1023");
    tap_is(reset(DOMID_SELF), 0, "reset closes them all");
    get_status(DOMID_SELF, last);
    tap_is(status.status, EVTCHNSTAT_closed, "the last one too");
    tap_is(bind_virq(VIRQ_TIMER, 0), 1, "and even the timer's: its port is the first again");
}

int main(void)
{
    events_off();
    test_errors();
    test_channel();
    test_virqs();
    test_bits();
    test_second_vcpu();
    test_poll();
    test_compat();
    test_limits();
    test_fifo();
    tap_done();
}
