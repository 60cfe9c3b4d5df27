/* SPDX-License-Identifier: MIT */
/*
 * test_evtchn.c: event channels: every operation and its errors, how a pending port reaches the
 * guest in both ABIs, and that a guest which writes what it likes into the shared pages hurts
 * itself only.
 *
 * Three domains: 0 is privileged and initial, 1 and 2 are not. The test plays the guests: it reads
 * and writes shared_info and event words as they would.
 *
 * units: evtchn/event_channel.c evtchn/ports.c evtchn/two_level.c evtchn/fifo/fifo.c evtchn/virq.c
 * units: hypercall/compat/event_channel_op.c arch/i386/irq.c evtchn/pirq/pirq.c mm/alloc.c mm/ownership.c mm/xzalloc.c tests/host/machine.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine.h"
#include <ringlet/bitops.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include "../../evtchn/pirq/pirq.h"
#include <ringlet/irq.h>
#include <ringlet/ports.h>
#include <ringlet/sched.h>

enum { DOMAINS = 3, VCPUS = 2, BAD_FRAME = 99, FRAMES = 0x2000 };

static struct domain *dom[DOMAINS];
static void *const arg = GUEST_MEMORY; /* where guests put an operation */
static unsigned woken[DOMAINS][VCPUS], polls_woken, references;
static uint32_t free_at_start;

/* ---- the world ------------------------------------------------------------------------------- */

void vcpu_unblock(struct vcpu *v)
{
    woken[v->domain->id][v->id]++;
}

void send_ipi(const struct cpu *c)
{
    fail_msg("one CPU here: an interrupt to CPU %u", c->id);
}

void vcpu_poll_wake(struct domain *d, evtchn_port_t port)
{
    (void)d;
    (void)port;
    polls_woken++;
}

/* Frames 100 and up are every domain's own. */
int get_frame_and_type(struct frame *f, struct domain *d, uint32_t type)
{
    (void)d;
    assert_int_equal(type, FT_WRITABLE);
    if (frame_mfn(f) <= BAD_FRAME)
        return -EINVAL;
    references++;
    return 0;
}

void put_frame_and_type(struct frame *f)
{
    (void)f;
    assert_true(references > 0);
    references--;
}

void put_frame(struct frame *f)
{
    (void)f;
}

/*
 * An interrupt controller of 24 lines: 5 is level-triggered, 0 has nothing wired to it. Line n comes
 * in as vector n + 100.
 */
enum { LEVEL_LINE = 5, EDGE_LINE = 14, OWN_LINE = 4, LINES = 24, VECTORS = 100 };
static bool line_open[LINES], line_level[LINES];
static unsigned acks, own_interrupts;

static void line_mask(unsigned line)
{
    line_open[line] = false;
}

static void line_unmask(unsigned line)
{
    line_open[line] = true;
}

static bool line_pending(unsigned line)
{
    return line != 7;
}

static void line_ack(unsigned line)
{
    (void)line;
    acks++;
}

static void line_set_mode(unsigned line, bool level, bool active_low)
{
    (void)active_low;
    assert_false(line_open[line]);
    line_level[line] = level;
}

static bool line_is_level(unsigned line)
{
    return line_level[line];
}

static unsigned line_of_isa(unsigned irq)
{
    return irq;
}

static const struct irq_controller controller = {
    .name = "test",
    .lines = LINES,
    .vector_base = VECTORS,
    .reserved = 1,
    .mask = line_mask,
    .unmask = line_unmask,
    .pending = line_pending,
    .ack = line_ack,
    .set_mode = line_set_mode,
    .is_level = line_is_level,
    .line_of_isa = line_of_isa,
};

int ioapic_read(uint32_t address, uint32_t reg, uint32_t *value)
{
    (void)address;
    (void)reg;
    (void)value;
    return -EINVAL;
}

static void own_interrupt(void)
{
    own_interrupts++;
}

static void interrupt_on(unsigned line)
{
    assert_true(line_open[line]);
    irq_interrupt(VECTORS + line);
}

void *map_global(struct domain *d, mfn_t mfn)
{
    (void)d;
    return map_frame(mfn);
}

void unmap_global(struct domain *d, const void *va)
{
    (void)d;
    unmap_frame(va);
}

void log_message(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

static long op_in(int cmd, void *op, size_t size)
{
    long rc;

    memcpy(arg, op, size);
    rc = do_event_channel_op(cmd, arg);
    memcpy(op, arg, size);
    return rc;
}
#define OP(cmd, op) op_in(EVTCHNOP_##cmd, op, sizeof(*(op)))

static void run(unsigned d, unsigned v)
{
    host_vcpu = dom[d]->vcpus[v];
}

static struct shared_info *shared(unsigned d)
{
    return dom[d]->shared_info;
}

static struct vcpu_info *info(unsigned d, unsigned v)
{
    return dom[d]->vcpus[v]->info;
}

/* The guest takes its upcall: everything announced is as if it had been looked at. */
static void take_upcall(unsigned d, unsigned v)
{
    info(d, v)->evtchn_upcall_pending = 0;
    info(d, v)->evtchn_pending_sel = 0;
    woken[d][v] = 0;
}

static bool pending(unsigned d, evtchn_port_t port)
{
    return test_bit(port, shared(d)->evtchn_pending);
}

static bool consume(unsigned d, evtchn_port_t port)
{
    return test_and_clear_bit(port, shared(d)->evtchn_pending);
}

static int setup(void **state)
{
    (void)state;
    machine_init(FRAMES);
    memset(woken, 0, sizeof(woken));
    polls_woken = 0;
    free_at_start = free_frame_count();
    for (unsigned i = 0; i < DOMAINS; i++) {
        struct domain *d = dom[i] = machine_domain(i, 100);

        d->shared_info = calloc(1, PAGE_SIZE);
        d->max_vcpus = VCPUS;
        d->vcpus[1] = aligned_alloc(16, sizeof(struct vcpu));
        memcpy(d->vcpus[1], d->vcpus[0], sizeof(struct vcpu));
        for (unsigned v = 0; v < VCPUS; v++) {
            d->vcpus[v]->id = v;
            d->vcpus[v]->wait = WAIT_BLOCKED; /* so that every wake-up is counted */
            d->vcpus[v]->info = &d->shared_info->vcpu_info[v];
            spin_lock_init(&d->vcpus[v]->virq_lock, RANK_VIRQ);
        }
        assert_int_equal(evtchn_init(d), 0);
    }
    dom[0]->privileged = dom[0]->initial = true;
    initial_domain = dom[0];
    memset(line_open, 0, sizeof(line_open));
    irq_init(&controller);
    assert_int_equal(pirq_give_machine(dom[0]), 0);
    run(0, 0);
    return 0;
}

/* Every table, page and reference is given back. */
static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DOMAINS; i++)
        while (evtchn_close_all(dom[i]))
            ;
    for (unsigned i = 0; i < DOMAINS; i++) {
        evtchn_destroy(dom[i]);
        assert_int_equal(dom[i]->refs, 1);
        free(dom[i]->shared_info);
        free(dom[i]->vcpus[1]);
        xfree(dom[i]->pirqs);
        machine_forget(dom[i]);
    }
    assert_int_equal(references, 0);
    assert_int_equal(seen.maps_held, 0);
    assert_int_equal(free_frame_count(), free_at_start);
    return 0;
}

/* ---- shorthands ------------------------------------------------------------------------------ */

static long alloc_unbound_in(domid_t d, domid_t remote)
{
    struct evtchn_alloc_unbound op = {.dom = d, .remote_dom = remote};
    long rc = OP(alloc_unbound, &op);

    return rc ? rc : (long)op.port;
}

static long bind_to(domid_t remote, evtchn_port_t port)
{
    struct evtchn_bind_interdomain op = {.remote_dom = remote, .remote_port = port};
    long rc = OP(bind_interdomain, &op);

    return rc ? rc : (long)op.local_port;
}

static long bind_virq_on(uint32_t virq, uint32_t vcpu)
{
    struct evtchn_bind_virq op = {.virq = virq, .vcpu = vcpu};
    long rc = OP(bind_virq, &op);

    return rc ? rc : (long)op.port;
}

static long bind_ipi_on(uint32_t vcpu)
{
    struct evtchn_bind_ipi op = {.vcpu = vcpu};
    long rc = OP(bind_ipi, &op);

    return rc ? rc : (long)op.port;
}

static long bind_pirq_nr(uint32_t pirq)
{
    struct evtchn_bind_pirq op = {.pirq = pirq};
    long rc = OP(bind_pirq, &op);

    return rc ? rc : (long)op.port;
}

static long send(evtchn_port_t port)
{
    struct evtchn_send op = {.port = port};

    return OP(send, &op);
}

static long close_port(evtchn_port_t port)
{
    struct evtchn_close op = {.port = port};

    return OP(close, &op);
}

static long unmask(evtchn_port_t port)
{
    struct evtchn_unmask op = {.port = port};

    return OP(unmask, &op);
}

static long bind_port_to_vcpu(evtchn_port_t port, uint32_t vcpu)
{
    struct evtchn_bind_vcpu op = {.port = port, .vcpu = vcpu};

    return OP(bind_vcpu, &op);
}

static long status_of(domid_t d, evtchn_port_t port, struct evtchn_status *op)
{
    *op = (struct evtchn_status){.dom = d, .port = port};
    return OP(status, op);
}

static uint32_t state_of(domid_t d, evtchn_port_t port)
{
    struct evtchn_status op;

    assert_int_equal(status_of(d, port, &op), 0);
    return op.status;
}

/* A channel between domain 1 and domain 2; domain 1 is current afterwards. */
static void connect(evtchn_port_t *one, evtchn_port_t *two)
{
    run(2, 0);
    *two = alloc_unbound_in(DOMID_SELF, 1);
    run(1, 0);
    *one = bind_to(2, *two);
    assert_true((int)*one > 0 && (int)*two > 0);
    consume(1, *one);
    take_upcall(1, 0);
}

/* ---- operations and their errors ------------------------------------------------------------- */

static void ports_are_given_lowest_first(void **state)
{
    (void)state;
    run(1, 0);
    for (long i = 1; i <= 300; i++)
        assert_int_equal(bind_ipi_on(0), i);
    assert_int_equal(close_port(7), 0);
    assert_int_equal(close_port(200), 0);
    assert_int_equal(bind_ipi_on(0), 7);
    assert_int_equal(bind_ipi_on(0), 200);
    assert_int_equal(bind_ipi_on(0), 301);
}

static void there_is_an_end_of_ports(void **state)
{
    (void)state;
    run(1, 0);
    evtchn_set_max_port(dom[1], 10);
    for (long i = 1; i <= 10; i++)
        assert_int_equal(bind_ipi_on(0), i);
    assert_int_equal(bind_ipi_on(0), -ENOSPC);
    evtchn_set_max_port(dom[1], ~0u);
    for (long i = 11; i < EVTCHN_2L_PORTS; i++)
        assert_int_equal(bind_ipi_on(0), i);
    assert_int_equal(bind_ipi_on(0), -ENOSPC);
    assert_int_equal(alloc_unbound_in(DOMID_SELF, 0), -ENOSPC);
    assert_int_equal(bind_virq_on(VIRQ_TIMER, 0), -ENOSPC);
    assert_int_equal(dom[1]->vcpus[0]->virq_port[VIRQ_TIMER], 0);
    dom[1]->state = DOMAIN_DYING;
    close_port(5);
    assert_int_equal(bind_ipi_on(0), -EINVAL);
    dom[1]->state = DOMAIN_ALIVE;
}

/* All memory there is for one more group of ports. The first word of each piece leads to the next. */
static void *taken;

static void take_all_memory(void)
{
    void *piece;

    while ((piece = xzalloc_array(struct evtchn, EVTCHN_BUCKET))) {
        *(void **)piece = taken;
        taken = piece;
    }
}

static void give_all_memory_back(void)
{
    while (taken) {
        void *piece = taken;

        taken = *(void **)piece;
        xfree(piece);
    }
}

/*
 * XSA-47: the table of ports cannot grow for want of memory. The operation fails and leaves nothing
 * behind, neither a pointer to what was given back nor a port that counts; with memory it goes on.
 */
static void ports_without_memory(void **state)
{
    struct evtchn_status st;
    long last;

    (void)state;
    run(1, 0);
    for (last = 1; last < EVTCHN_BUCKET - 1; last++)
        assert_int_equal(bind_ipi_on(0), last);
    assert_int_equal(bind_ipi_on(0), last);
    take_all_memory();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bind_ipi_on(0), -ENOMEM);
        assert_int_equal(alloc_unbound_in(DOMID_SELF, 0), -ENOMEM);
        assert_int_equal(bind_virq_on(VIRQ_TIMER, 0), -ENOMEM);
        assert_int_equal(bind_to(DOMID_SELF, 1), -ENOMEM);
        assert_int_equal(dom[1]->vcpus[0]->virq_port[VIRQ_TIMER], 0);
        assert_int_equal(status_of(1, EVTCHN_BUCKET, &st), -EINVAL);
        assert_int_equal(send(EVTCHN_BUCKET), -EINVAL);
        assert_int_equal(evtchn_port_poll(dom[1], EVTCHN_BUCKET), -EINVAL);
    }
    give_all_memory_back();
    assert_int_equal(bind_ipi_on(0), EVTCHN_BUCKET);
    assert_int_equal(evtchn_port_poll(dom[1], EVTCHN_BUCKET), 0);
}

static void only_the_privileged_act_for_others(void **state)
{
    struct evtchn_status st;
    struct evtchn_reset reset = {.dom = 2};

    (void)state;
    run(1, 0);
    assert_int_equal(alloc_unbound_in(2, DOMID_SELF), -EPERM);
    assert_int_equal(alloc_unbound_in(77, DOMID_SELF), -ESRCH);
    assert_int_equal(status_of(2, 1, &st), -EPERM);
    assert_int_equal(OP(reset, &reset), -EPERM);
    assert_true(alloc_unbound_in(1, 2) > 0);
    run(0, 0);
    assert_true(alloc_unbound_in(2, DOMID_SELF) > 0);
    assert_int_equal(status_of(2, 1, &st), 0);
    assert_int_equal(st.status, EVTCHNSTAT_unbound);
    assert_int_equal(st.u.unbound.dom, 0);
    assert_int_equal(OP(reset, &reset), -EINVAL);
    dom[2]->controller_pause_count = 1;
    assert_int_equal(OP(reset, &reset), 0);
    assert_int_equal(state_of(2, 1), EVTCHNSTAT_closed);
    assert_int_equal(status_of(77, 1, &st), -ESRCH);
}

static void bad_arguments(void **state)
{
    struct evtchn_status st;

    (void)state;
    run(1, 0);
    for (int cmd = 0; cmd <= EVTCHNOP_set_priority; cmd++)
        assert_int_equal(
            do_event_channel_op(cmd, (void *)(uintptr_t)(cmd == EVTCHNOP_send ? 0xfffffff0 : 0)),
            -EFAULT);
    assert_int_equal(do_event_channel_op(14, arg), -ENOSYS);
    assert_int_equal(do_event_channel_op(-1, arg), -ENOSYS);
    assert_int_equal(bind_to(77, 1), -ESRCH);
    assert_int_equal(bind_to(2, 1), -EINVAL);
    assert_int_equal(bind_to(2, 1u << 31), -EINVAL);
    assert_int_equal(bind_virq_on(NR_VIRQS, 0), -EINVAL);
    assert_int_equal(bind_virq_on(VIRQ_CONSOLE, 1), -EINVAL);
    assert_int_equal(bind_virq_on(VIRQ_TIMER, VCPUS), -ENOENT);
    assert_int_equal(bind_ipi_on(VCPUS), -ENOENT);
    assert_int_equal(bind_ipi_on(~0u), -ENOENT);
    assert_int_equal(bind_pirq_nr(4), -EPERM);
    for (unsigned i = 0; i < 4; i++) {
        static const evtchn_port_t ports[] = {0, 5, EVTCHN_BUCKET, ~0u};

        assert_int_equal(send(ports[i]), -EINVAL);
        assert_int_equal(close_port(ports[i]), -EINVAL);
        assert_int_equal(bind_port_to_vcpu(ports[i], 0), -EINVAL);
    }
    assert_int_equal(bind_port_to_vcpu(1, VCPUS), -ENOENT);
    assert_int_equal(unmask(EVTCHN_BUCKET), -EINVAL);
    assert_int_equal(status_of(DOMID_SELF, EVTCHN_BUCKET, &st), -EINVAL);
    assert_int_equal(state_of(DOMID_SELF, 0), EVTCHNSTAT_closed);
}

static void an_interdomain_channel(void **state)
{
    struct evtchn_status st;
    evtchn_port_t one, two;

    (void)state;
    run(2, 0);
    two = alloc_unbound_in(DOMID_SELF, 1);
    assert_int_equal(send(two), 0);
    run(0, 0);
    assert_int_equal(bind_to(2, two), -EINVAL);
    run(1, 0);
    one = bind_to(2, two);
    assert_true(pending(1, one));
    assert_int_equal(info(1, 0)->evtchn_upcall_pending, 1);
    assert_int_equal(woken[1][0], 1);
    assert_int_equal(bind_to(2, two), -EINVAL);

    assert_int_equal(send(one), 0);
    assert_true(pending(2, two));
    assert_int_equal(status_of(DOMID_SELF, one, &st), 0);
    assert_int_equal(st.status, EVTCHNSTAT_interdomain);
    assert_int_equal(st.u.interdomain.dom, 2);
    assert_int_equal(st.u.interdomain.port, two);

    assert_int_equal(close_port(one), 0);
    assert_false(pending(1, one));
    assert_int_equal(state_of(DOMID_SELF, one), EVTCHNSTAT_closed);
    run(2, 0);
    assert_int_equal(status_of(DOMID_SELF, two, &st), 0);
    assert_int_equal(st.status, EVTCHNSTAT_unbound);
    assert_int_equal(st.u.unbound.dom, 1);
    run(1, 0);
    assert_true(bind_to(2, two) > 0);
}

static void loopback(void **state)
{
    long a, b;

    (void)state;
    run(1, 0);
    a = alloc_unbound_in(DOMID_SELF, DOMID_SELF);
    b = bind_to(DOMID_SELF, a);
    assert_true(b > 0 && b != a);
    assert_int_equal(send(b), 0);
    assert_true(pending(1, a));
    assert_int_equal(close_port(a), 0);
    assert_int_equal(state_of(DOMID_SELF, b), EVTCHNSTAT_unbound);
    assert_int_equal(close_port(b), 0);
}

static void virqs(void **state)
{
    struct evtchn_status st;
    long timer, timer1, console;

    (void)state;
    run(0, 0);
    timer = bind_virq_on(VIRQ_TIMER, 0);
    timer1 = bind_virq_on(VIRQ_TIMER, 1);
    console = bind_virq_on(VIRQ_CONSOLE, 0);
    assert_true(timer > 0 && timer1 > 0 && console > 0);
    assert_int_equal(bind_virq_on(VIRQ_TIMER, 1), -EEXIST);
    send_guest_virq(dom[0]->vcpus[1], VIRQ_TIMER);
    assert_true(pending(0, timer1) && !pending(0, timer));
    assert_int_equal(info(0, 1)->evtchn_upcall_pending, 1);
    assert_int_equal(info(0, 0)->evtchn_upcall_pending, 0);
    assert_int_equal(status_of(DOMID_SELF, timer1, &st), 0);
    assert_int_equal(st.status, EVTCHNSTAT_virq);
    assert_int_equal(st.u.virq, VIRQ_TIMER);
    assert_int_equal(st.vcpu, 1);

    assert_int_equal(send(timer), -EINVAL);
    assert_int_equal(bind_port_to_vcpu(timer, 1), -EINVAL);
    assert_int_equal(bind_port_to_vcpu(console, 1), 0);
    take_upcall(0, 1);
    send_initial_domain_virq(VIRQ_CONSOLE);
    assert_true(pending(0, console));
    assert_int_equal(woken[0][1], 1);
    assert_int_equal(woken[0][0], 0);

    assert_int_equal(close_port(console), 0);
    consume(0, console);
    send_initial_domain_virq(VIRQ_CONSOLE);
    assert_false(pending(0, console));
    assert_true(bind_virq_on(VIRQ_CONSOLE, 0) > 0);
    send_guest_virq(dom[1]->vcpus[0], VIRQ_DEBUG);
}

/* An edge is told and forgotten; the line stays open. */
static void pirq_edges(void **state)
{
    long port;

    (void)state;
    run(0, 0);
    assert_false(line_open[EDGE_LINE]);
    port = bind_pirq_nr(EDGE_LINE);
    assert_true(port > 0);
    assert_int_equal(bind_pirq_nr(EDGE_LINE), -EEXIST);
    assert_int_equal(bind_pirq_nr(0), -EPERM);
    assert_int_equal(bind_pirq_nr(16), -EPERM);
    assert_int_equal(bind_pirq_nr(NR_PIRQS), -EINVAL);
    acks = 0;
    interrupt_on(EDGE_LINE);
    assert_true(consume(0, port));
    assert_int_equal(acks, 1);
    interrupt_on(EDGE_LINE);
    assert_true(consume(0, port));
    assert_int_equal(pirq_eoi(dom[0], EDGE_LINE), 0);
    assert_true(line_open[EDGE_LINE]);
    assert_int_equal(state_of(DOMID_SELF, port), EVTCHNSTAT_pirq);
    assert_int_equal(close_port(port), 0);
    assert_false(line_open[EDGE_LINE]);
    assert_true(bind_pirq_nr(EDGE_LINE) > 0);
}

/* A level stays masked until the guest has said that it is done; without a listener, for good. */
static void pirq_levels(void **state)
{
    mfn_t frame = alloc_frames(0, 0);
    long port;

    (void)state;
    run(0, 0);
    assert_int_equal(pirq_set_mode(LEVEL_LINE, true, true), 0);
    port = bind_pirq_nr(LEVEL_LINE);
    assert_int_equal(pirq_set_mode(LEVEL_LINE, false, false), -EEXIST);
    assert_int_equal(pirq_set_eoi_map(dom[0], frame, false), 0);
    assert_int_equal(pirq_set_eoi_map(dom[0], frame, false), -EBUSY);
    assert_true(test_bit(LEVEL_LINE, dom[0]->evtchn.pirq_eoi_map));
    assert_false(test_bit(EDGE_LINE, dom[0]->evtchn.pirq_eoi_map));
    interrupt_on(LEVEL_LINE);
    assert_false(line_open[LEVEL_LINE]);
    assert_true(consume(0, port));
    assert_int_equal(pirq_eoi(dom[0], LEVEL_LINE), 0);
    interrupt_on(LEVEL_LINE);
    assert_int_equal(close_port(port), 0);
    assert_int_equal(pirq_eoi(dom[0], LEVEL_LINE), 0);
    assert_false(line_open[LEVEL_LINE]);
    port = bind_pirq_nr(LEVEL_LINE);
    assert_true(line_open[LEVEL_LINE]);
    assert_int_equal(pirq_unmap(dom[0], LEVEL_LINE), 0);
    assert_false(line_open[LEVEL_LINE]);
    assert_int_equal(pirq_eoi(dom[0], LEVEL_LINE), -EINVAL);
    irq_interrupt(VECTORS + LEVEL_LINE);
    assert_false(pending(0, port));
    assert_int_equal(close_port(port), 0);
    unmap_global(dom[0], dom[0]->evtchn.pirq_eoi_map);
    free_frames(frame, 0);
}

/* Numbers are the guest's choice, lines the machine's; the hypervisor's own line is not to be had. */
static void pirq_numbers(void **state)
{
    long port;

    (void)state;
    run(0, 0);
    assert_int_equal(pirq_map(dom[0], 17, 17), 17);
    assert_int_equal(pirq_map(dom[0], 17, 17), 17);
    assert_int_equal(pirq_map(dom[0], 17, -1), 17);
    assert_int_equal(pirq_map(dom[0], 17, 18), -EEXIST);
    assert_int_equal(pirq_map(dom[0], 18, 17), -EEXIST);
    assert_int_equal(pirq_map(dom[0], 18, 200), 200);
    assert_int_equal(pirq_map(dom[0], LINES, 30), -EINVAL);
    assert_int_equal(pirq_map(dom[0], -1, 30), -EINVAL);
    assert_int_equal(pirq_map(dom[0], 19, NR_PIRQS), -EINVAL);
    assert_int_equal(pirq_map(dom[0], 0, 0), -EINVAL);
    port = bind_pirq_nr(200);
    interrupt_on(18);
    assert_true(consume(0, port));
    assert_true(pirq_free_number(dom[0]) > 0);
    assert_int_equal(pirq_map(dom[0], EDGE_LINE, LEVEL_LINE), LEVEL_LINE);
    assert_int_equal(bind_pirq_nr(EDGE_LINE), -EPERM);
    assert_int_equal(pirq_map(dom[0], LEVEL_LINE, LEVEL_LINE), -EEXIST);
    assert_int_equal(pirq_map(dom[0], 3, 201), 201);
    assert_true(bind_pirq_nr(6) > 0);
    assert_int_equal(pirq_map(dom[0], 6, 202), -EEXIST);
    assert_int_equal(pirq_eoi(dom[0], ~0u), -EINVAL);
    assert_int_equal(pirq_set_mode(LINES, true, true), -EINVAL);

    irq_register(OWN_LINE, own_interrupt);
    assert_int_equal(bind_pirq_nr(OWN_LINE), -EBUSY);
    interrupt_on(OWN_LINE);
    assert_int_equal(own_interrupts, 1);
    assert_int_equal(pirq_unmap(dom[0], OWN_LINE), 0);
    assert_true(line_open[OWN_LINE]);
    acks = 0;
    irq_interrupt(VECTORS + 7);
    irq_interrupt(VECTORS + LINES);
    assert_int_equal(acks, 0);
}

/* A line the initial domain gives to another: refused before, nobody else's after, free at the end. */
static void pirq_delegation(void **state)
{
    long port;

    (void)state;
    run(1, 0);
    assert_int_equal(bind_pirq_nr(EDGE_LINE), -EPERM);
    assert_int_equal(pirq_permit(dom[1], EDGE_LINE, dom[1], true), -EPERM);
    assert_int_equal(pirq_eoi(dom[1], EDGE_LINE), -EINVAL);
    assert_int_equal(pirq_permit(dom[0], NR_PIRQS, dom[1], true), -EINVAL);
    assert_int_equal(pirq_permit(dom[0], 16, dom[1], true), -EPERM);
    assert_int_equal(pirq_permit(dom[0], EDGE_LINE, dom[1], true), 0);
    assert_int_equal(bind_pirq_nr(200), -EPERM);
    assert_int_equal(pirq_map(dom[1], EDGE_LINE, 200), 200);
    assert_int_equal(pirq_map(dom[1], LEVEL_LINE, LEVEL_LINE), LEVEL_LINE);
    assert_int_equal(bind_pirq_nr(LEVEL_LINE), -EPERM);
    port = bind_pirq_nr(200);
    assert_true(port > 0);
    interrupt_on(EDGE_LINE);
    assert_true(consume(1, port));
    run(0, 0);
    assert_int_equal(bind_pirq_nr(EDGE_LINE), -EBUSY);
    assert_int_equal(pirq_set_mode(EDGE_LINE, true, true), -EEXIST);
    run(1, 0);
    assert_int_equal(close_port(port), 0);
    assert_false(line_open[EDGE_LINE]);
    run(0, 0);
    assert_true(bind_pirq_nr(EDGE_LINE) > 0);
    run(1, 0);
    assert_int_equal(bind_pirq_nr(200), -EBUSY);
    assert_int_equal(pirq_permit(dom[0], EDGE_LINE, dom[1], false), 0);
    assert_int_equal(bind_pirq_nr(200), -EPERM);
}

static void ipis(void **state)
{
    long port;

    (void)state;
    run(1, 0);
    port = bind_ipi_on(1);
    assert_int_equal(send(port), 0);
    assert_true(pending(1, port));
    assert_int_equal(woken[1][1], 1);
    assert_int_equal(bind_port_to_vcpu(port, 0), -EINVAL);
    assert_int_equal(state_of(DOMID_SELF, port), EVTCHNSTAT_ipi);
}

static void the_old_hypercall(void **state)
{
    struct evtchn_op *op = arg;

    (void)state;
    run(1, 0);
    *op = (struct evtchn_op){.cmd = EVTCHNOP_alloc_unbound};
    op->u.alloc_unbound.dom = op->u.alloc_unbound.remote_dom = DOMID_SELF;
    assert_int_equal(do_event_channel_op_compat(op), 0);
    assert_int_equal(op->u.alloc_unbound.port, 1);
    op->cmd = EVTCHNOP_send;
    op->u.send.port = 1;
    assert_int_equal(do_event_channel_op_compat(op), 0);
    op->cmd = EVTCHNOP_reset;
    assert_int_equal(do_event_channel_op_compat(op), -ENOSYS);
    assert_int_equal(do_event_channel_op_compat((void *)(uintptr_t)0xfffffff8), -EFAULT);
}

/* ---- the 2-level ABI ------------------------------------------------------------------------- */

static void pending_is_announced_once(void **state)
{
    evtchn_port_t one, two;

    (void)state;
    connect(&one, &two);
    send(one);
    send(one);
    assert_int_equal(woken[2][0], 1);
    assert_int_equal(info(2, 0)->evtchn_pending_sel, 1u << two / 32);
    info(2, 0)->evtchn_upcall_pending = 0;
    send(one);
    assert_int_equal(info(2, 0)->evtchn_upcall_pending, 0);
    take_upcall(2, 0);
    consume(2, two);
    send(one);
    assert_int_equal(info(2, 0)->evtchn_upcall_pending, 1);
    assert_int_equal(woken[2][0], 1);
}

static void masked_ports_wait_for_unmask(void **state)
{
    evtchn_port_t one, two;

    (void)state;
    connect(&one, &two);
    test_and_set_bit(two, shared(2)->evtchn_mask);
    dom[2]->poll_mask = 1;
    send(one);
    assert_true(pending(2, two));
    assert_int_equal(polls_woken, 1);
    assert_int_equal(info(2, 0)->evtchn_pending_sel | info(2, 0)->evtchn_upcall_pending, 0);
    run(2, 0);
    assert_int_equal(unmask(two), 0);
    assert_int_equal(info(2, 0)->evtchn_pending_sel, 1u << two / 32);
    assert_int_equal(woken[2][0], 1);
    take_upcall(2, 0);
    assert_int_equal(unmask(two), 0);
    assert_int_equal(woken[2][0], 0);
}

static void moving_vcpu_info_loses_nothing(void **state)
{
    struct vcpu_info elsewhere = {0};

    (void)state;
    dom[1]->vcpus[0]->info = &elsewhere;
    evtchn_move_vcpu_info(dom[1]->vcpus[0]);
    assert_int_equal(elsewhere.evtchn_upcall_pending, 1);
    assert_int_equal((uint32_t)elsewhere.evtchn_pending_sel, ~0u);
    dom[1]->vcpus[0]->info = &shared(1)->vcpu_info[0];
}

static void no_priorities_without_fifo(void **state)
{
    struct evtchn_set_priority op = {.port = 1, .priority = 16};
    struct evtchn_expand_array expand = {.array_gfn = 100};

    (void)state;
    run(1, 0);
    assert_int_equal(OP(set_priority, &op), -EINVAL);
    op.priority = 3;
    assert_int_equal(OP(set_priority, &op), -ENOSYS);
    op.port = ~0u;
    assert_int_equal(OP(set_priority, &op), -EINVAL);
    assert_int_equal(OP(expand_array, &expand), -EOPNOTSUPP);
}

/* ---- the FIFO ABI: the test is the guest's side of it ---------------------------------------- */

enum { CONTROL = 100, ARRAY = 110 }; /* frames */

static long init_control(uint64_t mfn, uint32_t offset, uint32_t vcpu)
{
    struct evtchn_init_control op = {.control_gfn = mfn, .offset = offset, .vcpu = vcpu};
    long rc = OP(init_control, &op);

    if (!rc)
        assert_int_equal(op.link_bits, EVTCHN_FIFO_LINK_BITS);
    return rc;
}

static long expand(uint64_t mfn)
{
    struct evtchn_expand_array op = {.array_gfn = mfn};

    return OP(expand_array, &op);
}

static long set_priority(evtchn_port_t port, uint32_t priority)
{
    struct evtchn_set_priority op = {.port = port, .priority = priority};

    return OP(set_priority, &op);
}

static struct evtchn_fifo_control_block *control(unsigned vcpu)
{
    return direct_map((maddr_t)(CONTROL + vcpu) << PAGE_SHIFT);
}

static event_word_t *word(evtchn_port_t port)
{
    return (event_word_t *)direct_map((maddr_t)(ARRAY + port / 1024) << PAGE_SHIFT) + port % 1024;
}

/* Domain 1 goes over to the FIFO ABI; it is current. */
static void go_fifo(unsigned array_pages)
{
    run(1, 0);
    for (unsigned v = 0; v < VCPUS; v++) {
        clear_frame(CONTROL + v);
        assert_int_equal(init_control(CONTROL + v, 0, v), 0);
    }
    for (unsigned i = 0; i < array_pages; i++) {
        clear_frame(ARRAY + i);
        assert_int_equal(expand(ARRAY + i), 0);
    }
}

/*
 * What the guest does to take the next event of a queue: unlink the head, clear PENDING. 0: the
 * queue is empty.
 */
static evtchn_port_t take(unsigned vcpu, unsigned priority)
{
    uint32_t *head = &control(vcpu)->head[priority];
    evtchn_port_t port = *head;
    event_word_t *w;

    if (!port)
        return 0;
    w = word(port);
    assert_true(*w & 1u << EVTCHN_FIFO_LINKED);
    *head = *w & EVTCHN_FIFO_LINK_MASK;
    *w &= ~(1u << EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK);
    *w &= ~(1u << EVTCHN_FIFO_PENDING);
    return port;
}

static void fifo_setup_is_checked(void **state)
{
    (void)state;
    run(1, 0);
    assert_int_equal(init_control(BAD_FRAME, 0, 0), -EINVAL);
    assert_int_equal(init_control(1ull << 40, 0, 0), -EINVAL);
    assert_int_equal(init_control(CONTROL, PAGE_SIZE - 71, 0), -EINVAL);
    assert_int_equal(init_control(CONTROL, 4, 0), -EINVAL);
    assert_int_equal(init_control(CONTROL, 0, VCPUS), -ENOENT);
    assert_null(dom[1]->evtchn.fifo);
    assert_int_equal(init_control(CONTROL, PAGE_SIZE - 72, 0), 0);
    assert_int_equal(init_control(CONTROL, 0, 0), -EINVAL);
    assert_int_equal(expand(BAD_FRAME), -EINVAL);
    for (unsigned i = 0; i < 128; i++)
        assert_int_equal(expand(ARRAY + i), 0);
    assert_int_equal(expand(ARRAY), -ENOSPC);
    assert_int_equal(references, 129);
}

static void fifo_order(void **state)
{
    evtchn_port_t p[5];

    (void)state;
    go_fifo(1);
    for (unsigned i = 0; i < 5; i++)
        p[i] = bind_ipi_on(0);
    take_upcall(1, 0);
    send(p[3]);
    assert_int_equal(control(0)->ready, 1u << EVTCHN_FIFO_PRIORITY_DEFAULT);
    assert_int_equal(info(1, 0)->evtchn_upcall_pending, 1);
    assert_int_equal(woken[1][0], 1);
    send(p[1]);
    send(p[3]);
    send(p[4]);
    assert_int_equal(woken[1][0], 1);
    assert_int_equal(take(0, 7), p[3]);
    send(p[3]);
    assert_int_equal(take(0, 7), p[1]);
    assert_int_equal(take(0, 7), p[4]);
    assert_int_equal(take(0, 7), p[3]);
    assert_int_equal(take(0, 7), 0);

    control(0)->ready = 0;
    take_upcall(1, 0);
    send(p[3]);
    assert_int_equal(take(0, 7), p[3]);
    assert_int_equal(woken[1][0], 1);
}

static void fifo_priorities_and_vcpus(void **state)
{
    evtchn_port_t a, b;

    (void)state;
    go_fifo(1);
    a = alloc_unbound_in(DOMID_SELF, 1);
    b = bind_to(1, a);
    assert_int_equal(take(0, 7), b);
    assert_int_equal(set_priority(a, 2), 0);
    assert_int_equal(set_priority(a, 16), -EINVAL);
    send(b);
    assert_int_equal(take(0, 7), 0);
    assert_int_equal(take(0, 2), a);
    assert_int_equal(bind_port_to_vcpu(a, 1), 0);
    send(b);
    assert_int_equal(control(1)->ready, 1u << 2);
    assert_int_equal(take(0, 2), 0);
    assert_int_equal(take(1, 2), a);
    send(a);
    assert_int_equal(take(0, 7), b);
}

/* A port that is its old queue's tail moves to another queue: the old queue must not lead there. */
static void a_tail_changes_its_queue(void **state)
{
    evtchn_port_t a, b, c;

    (void)state;
    go_fifo(1);
    a = bind_ipi_on(0);
    b = bind_ipi_on(0);
    c = bind_ipi_on(0);
    send(a);
    assert_int_equal(take(0, 7), a);
    set_priority(a, 1);
    send(a);
    send(b);
    send(c);
    assert_int_equal(take(0, 7), b);
    assert_int_equal(take(0, 7), c);
    assert_int_equal(take(0, 7), 0);
    assert_int_equal(take(0, 1), a);
    assert_int_equal(take(0, 1), 0);
}

static void fifo_masking(void **state)
{
    evtchn_port_t p;

    (void)state;
    go_fifo(1);
    p = bind_ipi_on(0);
    *word(p) = 1u << EVTCHN_FIFO_MASKED;
    dom[1]->poll_mask = 1;
    send(p);
    assert_int_equal(polls_woken, 1);
    assert_int_equal(*word(p), 1u << EVTCHN_FIFO_MASKED | 1u << EVTCHN_FIFO_PENDING);
    assert_int_equal(take(0, 7), 0);
    assert_int_equal(unmask(p), 0);
    assert_int_equal(take(0, 7), p);
    assert_int_equal(unmask(p), 0);
    assert_int_equal(take(0, 7), 0);
}

/* Events of before the switch, and for ports beyond the array, come when their words do. */
static void events_wait_for_their_word(void **state)
{
    evtchn_port_t p;

    (void)state;
    run(1, 0);
    p = bind_ipi_on(0);
    send(p);
    go_fifo(0);
    assert_int_equal(bind_ipi_on(0), p + 1);
    send(p + 1);
    clear_frame(ARRAY);
    assert_int_equal(expand(ARRAY), 0);
    assert_int_equal(take(0, 7), p);
    assert_int_equal(take(0, 7), p + 1);
    assert_int_equal(take(0, 7), 0);
}

static void fifo_has_more_ports(void **state)
{
    long p = 0;

    (void)state;
    go_fifo(2);
    while (p < 2000)
        p = bind_ipi_on(0);
    send(1999);
    send(3);
    assert_int_equal(take(0, 7), 1999);
    assert_int_equal(take(0, 7), 3);
    while ((p = bind_ipi_on(0)) > 0)
        ;
    assert_int_equal(p, -ENOSPC);
    assert_int_equal(send(EVTCHN_FIFO_PORTS - 1), 0);
}

/* A closed port that the guest has not unlinked is not given out again. */
static void a_linked_port_is_not_free(void **state)
{
    evtchn_port_t p;

    (void)state;
    go_fifo(1);
    p = bind_ipi_on(0);
    send(p);
    assert_int_equal(close_port(p), 0);
    assert_int_equal(bind_ipi_on(0), p + 1);
    assert_int_equal(take(0, 7), p);
    assert_int_equal(bind_ipi_on(0), p);
}

/*
 * A guest can say of all its ports that they are linked. A search does not go through 131,072 of
 * them.
 */
static void too_many_linked_ports(void **state)
{
    enum { PORTS = 4200 };

    (void)state;
    go_fifo(5);
    while (bind_ipi_on(0) < PORTS)
        ;
    for (evtchn_port_t p = 1; p <= PORTS; p++) {
        assert_int_equal(close_port(p), 0);
        *word(p) |= 1u << EVTCHN_FIFO_LINKED;
    }
    assert_int_equal(bind_ipi_on(0), -ENOSPC);
    *word(4000) = 0;
    assert_int_equal(bind_ipi_on(0), 4000);
}

/* Where the heap is short, ports end before it does: others need some, too. */
static void ports_leave_memory_to_others(void **state)
{
    enum { LEFT = 24 };
    static void *held[FRAMES];
    evtchn_port_t port, last = 0;
    unsigned n = 0;

    (void)state;
    go_fifo(5);
    while (free_heap_frame_count() > LEFT)
        held[n++] = heap_alloc_pages(0);
    while ((int)(port = bind_ipi_on(0)) > 0)
        last = port;
    assert_int_equal((int)port, -ENOMEM);
    assert_true(last >= EVTCHN_BUCKET);
    assert_true(free_heap_frame_count() >= LEFT / 2 - 2);
    while (n)
        heap_free_pages(held[--n], 0);
    assert_int_equal(bind_ipi_on(0), last + 1);
}

/* mm/logdirty/dirty_log.c's, which is not linked: the frames marked, while anybody is logged. */
uint32_t watched_domains;
static unsigned nr_marked;

void note_written(mfn_t mfn)
{
    assert_true(mfn == ARRAY || mfn == ARRAY + 1 || mfn - CONTROL < VCPUS);
    assert_int_not_equal(references, 0);
    nr_marked++;
}

/*
 * Words and control blocks are written for the guest until it resets. From then on nobody knows that
 * they were its queues: the log has to be told now.
 */
static void reset_marks_what_was_written(void **state)
{
    struct evtchn_reset op = {.dom = DOMID_SELF};

    (void)state;
    go_fifo(2);
    watched_domains = 1;
    nr_marked = 0;
    assert_int_equal(OP(reset, &op), 0);
    watched_domains = 0;
    assert_int_equal(nr_marked, VCPUS + 2);
    assert_int_equal(references, 0);
}

static void reset_goes_back_to_two_levels(void **state)
{
    struct evtchn_reset op = {.dom = DOMID_SELF};
    long p = 0;

    (void)state;
    go_fifo(2);
    while (p < 1500)
        p = bind_ipi_on(0);
    preempt_after = 3;
    assert_int_equal(OP(reset, &op), -ERESTART);
    assert_int_equal(seen.continuations, 1);
    assert_int_equal(OP(reset, &op), 0);
    assert_null(dom[1]->evtchn.fifo);
    assert_int_equal(references, 0);
    assert_int_equal(send(1400), -EINVAL);
    assert_int_equal(unmask(1400), 0);
    for (p = 1; p < EVTCHN_2L_PORTS; p++)
        assert_int_equal(bind_ipi_on(0), p);
    assert_int_equal(bind_ipi_on(0), -ENOSPC);
    send(700);
    assert_true(pending(1, 700));
    go_fifo(1);
}

static unsigned locked; /* times that a lock has been let go */

static void count_unlock(const spinlock_t *l)
{
    (void)l;
    locked++;
}

/*
 * XSA-344: a domain may have 2^17 ports, and Xen closed them in one go when it reset its event channels
 * or ended. Here every step of either is a few dozen ports, and what follows the last step does not
 * go through them again.
 */
static void ports_are_closed_in_steps(void **state)
{
    struct evtchn_reset op = {.dom = DOMID_SELF};
    enum { PORTS = 5000, A_STEP = 3 * 32 };
    unsigned steps = 0;
    long rc;

    (void)state;
    go_fifo(5);
    while (bind_ipi_on(0) < PORTS)
        ;
    preempt_stays = true;
    machine_on_unlock = count_unlock;
    do {
        preempt_after = 1;
        locked = 0;
        rc = OP(reset, &op);
        assert_true(locked <= A_STEP);
        steps++;
    } while (rc == -ERESTART);
    assert_int_equal(rc, 0);
    assert_true(steps >= PORTS / 32);
    go_fifo(5);
    while (bind_ipi_on(0) < PORTS)
        ;
    dom[1]->state = DOMAIN_DYING;
    do {
        preempt_after = 1;
        locked = 0;
        rc = evtchn_close_all(dom[1]);
        assert_true(locked <= A_STEP);
    } while (rc == -ERESTART);
    preempt_after = 0;
    preempt_stays = false;
    locked = 0;
    evtchn_destroy(dom[1]);
    assert_true(locked <= A_STEP); /* the slabs' locks, once a bucket, are among them */
    machine_on_unlock = NULL;
    assert_int_equal(evtchn_init(dom[1]), 0);
    dom[1]->state = DOMAIN_ALIVE;
}

/*
 * Ports that are opened behind the reset's back, while it gives way, stay open. Those that the 2-level
 * ABI has no bit for are never pending: the bit would lie behind shared_info's.
 */
static void ports_opened_during_a_reset(void **state)
{
    struct evtchn_reset op = {.dom = DOMID_SELF};
    long p = 0;

    (void)state;
    go_fifo(2);
    while (p < 1500)
        p = bind_ipi_on(0);
    preempt_after = 40;
    assert_int_equal(OP(reset, &op), -ERESTART);
    for (p = 0; p < 1100;)
        p = bind_ipi_on(0);
    assert_int_equal(OP(reset, &op), 0);
    assert_null(dom[1]->evtchn.fifo);
    assert_int_equal(state_of(DOMID_SELF, 1100), EVTCHNSTAT_ipi);
    assert_int_equal(send(1100), 0);
    assert_false(test_bit(1100 - EVTCHN_2L_PORTS, shared(1)->evtchn_mask));
    assert_int_equal(send(1000), 0);
    assert_true(pending(1, 1000));
}

/*
 * The guest scribbles over words and control blocks while ports come and go. Nothing but its own
 * queues may suffer.
 */
static void a_guest_that_scribbles(void **state)
{
    uint32_t seed = 3;

    (void)state;
    go_fifo(1);
    for (unsigned i = 0; i < 200; i++)
        bind_ipi_on(i % VCPUS);
    for (unsigned step = 0; step < 200000; step++) {
        seed = seed * 1664525 + 1013904223;
        switch (seed >> 8 & 7) {
        case 0:
            *word(seed >> 12 & 255) = seed * 2654435761u;
            break;
        case 1:
            control(seed >> 12 & 1)->head[seed >> 16 & 15] = seed;
            control(seed >> 12 & 1)->ready = seed >> 7;
            break;
        case 2:
            close_port(seed >> 12 & 255);
            break;
        case 3:
            bind_ipi_on(seed >> 12 & 1);
            break;
        case 4:
            set_priority(seed >> 12 & 255, seed >> 20 & 15);
            break;
        case 5:
            unmask(seed >> 12 & 255);
            break;
        default:
            send(seed >> 12 & 255);
        }
    }
}

/* ---- random life of three domains ------------------------------------------------------------ */

static void check_invariants(void)
{
    for (unsigned i = 0; i < DOMAINS; i++) {
        struct domain *d = dom[i];

        for (evtchn_port_t port = 1; port < d->evtchn.valid_ports; port++) {
            struct evtchn *e = evtchn_at(d, port);

            assert_true(e->state != EVTCHN_FREE || port >= d->evtchn.first_free);
            assert_true(e->vcpu < VCPUS);
            if (e->state == EVTCHN_INTERDOMAIN) {
                struct evtchn *re = evtchn_at(dom[e->u.interdomain.remote], e->u.interdomain.port);

                assert_int_equal(re->state, EVTCHN_INTERDOMAIN);
                assert_int_equal(re->u.interdomain.remote, i);
                assert_int_equal(re->u.interdomain.port, port);
            } else if (e->state == EVTCHN_VIRQ) {
                assert_int_equal(
                    d->vcpus[virq_is_global(e->u.virq) ? 0 : e->vcpu]->virq_port[e->u.virq], port);
            }
        }
        for (unsigned v = 0; v < VCPUS; v++)
            for (unsigned virq = 0; virq < NR_VIRQS; virq++)
                if (d->vcpus[v]->virq_port[virq])
                    assert_int_equal(evtchn_at(d, d->vcpus[v]->virq_port[virq])->state,
                                     EVTCHN_VIRQ);
    }
}

static void random_life(void **state)
{
    struct evtchn_reset reset = {.dom = DOMID_SELF};
    uint32_t seed = 11;

    (void)state;
    for (unsigned step = 0; step < 200000; step++) {
        unsigned a, b, port;

        seed = seed * 1664525 + 1013904223;
        a = (seed >> 8) % DOMAINS;
        b = (seed >> 11) % DOMAINS;
        port = (seed >> 14) % 64;
        run(a, 0);
        switch ((seed >> 20) % 16) {
        case 0:
        case 1:
            alloc_unbound_in(a, b);
            break;
        case 2:
        case 3:
        case 4:
            bind_to(b, port);
            break;
        case 5:
            bind_virq_on(port % NR_VIRQS, port % VCPUS);
            break;
        case 6:
            bind_ipi_on(port % VCPUS);
            break;
        case 7:
            bind_port_to_vcpu(port, (seed >> 4) % VCPUS);
            break;
        case 8:
            if (step % 1024 == 0)
                assert_int_equal(OP(reset, &reset), 0);
            break;
        case 9:
        case 10:
        case 11:
            close_port(port);
            break;
        default:
            send(port);
        }
        if (step % 64 == 0)
            check_invariants();
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(ports_are_given_lowest_first),
        TEST(ports_without_memory),
        TEST(there_is_an_end_of_ports),
        TEST(only_the_privileged_act_for_others),
        TEST(bad_arguments),
        TEST(an_interdomain_channel),
        TEST(loopback),
        TEST(virqs),
        TEST(pirq_edges),
        TEST(pirq_levels),
        TEST(pirq_numbers),
        TEST(pirq_delegation),
        TEST(ipis),
        TEST(the_old_hypercall),
        TEST(pending_is_announced_once),
        TEST(masked_ports_wait_for_unmask),
        TEST(moving_vcpu_info_loses_nothing),
        TEST(no_priorities_without_fifo),
        TEST(fifo_setup_is_checked),
        TEST(fifo_order),
        TEST(fifo_priorities_and_vcpus),
        TEST(a_tail_changes_its_queue),
        TEST(fifo_masking),
        TEST(events_wait_for_their_word),
        TEST(fifo_has_more_ports),
        TEST(a_linked_port_is_not_free),
        TEST(too_many_linked_ports),
        TEST(ports_leave_memory_to_others),
        TEST(reset_marks_what_was_written),
        TEST(reset_goes_back_to_two_levels),
        TEST(ports_are_closed_in_steps),
        TEST(ports_opened_during_a_reset),
        TEST(a_guest_that_scribbles),
        TEST(random_life),
    };

    return cmocka_run_group_tests_name("evtchn", tests, NULL, NULL);
}
