/* SPDX-License-Identifier: MIT */
/*
 * Trace: a consumer of the ring trace, honest and not.
 *
 * The hypervisor writes each crossing between rings into a buffer that its control domain may map
 * (sysctl tbuf_op, xen/trace.h). This guest sizes the buffer, maps what describes it and the buffer,
 * makes crossings that it knows, and reads them back: a hypercall, a page fault, more of them than
 * the buffer holds without a reader, and many times round its end with one. Then it spoils what the
 * two share: the hypervisor must stop tracing rather than believe it.
 *
 * Run: qemu
 * Machine: mem=64
 */
#define __XEN_TOOLS__ 1
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/sysctl.h>
#include <xen/trace.h>
#include <xen/version.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

/* What the hypervisor calls its own records. Seven words; the second is why, or what came of it. */
#define ENTER 0x00204001
#define LEAVE 0x00204002
#define BOUNCED 0x100

#define BUFFER_PAGES 1
#define DATA_SIZE (BUFFER_PAGES * PAGE_SIZE - sizeof(struct t_buf))
#define HYPERCALL_WHY(op) (0x82u << 16 | (op))

static struct xen_sysctl sys;
static volatile struct t_buf *buffer;

static int tbuf_op(uint32_t cmd)
{
    sys.cmd = XEN_SYSCTL_tbuf_op;
    sys.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    sys.u.tbuf_op.cmd = cmd;
    return hv_sysctl(&sys);
}

static int set_size(uint32_t pages)
{
    sys.u.tbuf_op.size = pages;
    return tbuf_op(XEN_SYSCTL_TBUFOP_set_size);
}

static int set_events(uint32_t mask)
{
    sys.u.tbuf_op.evt_mask = mask;
    return tbuf_op(XEN_SYSCTL_TBUFOP_set_evt_mask);
}

static int set_cpus(uint8_t mask)
{
    sys.u.tbuf_op.cpu_mask.nr_bits = 8;
    set_xen_guest_handle(sys.u.tbuf_op.cpu_mask.bitmap, &mask);
    return tbuf_op(XEN_SYSCTL_TBUFOP_set_cpu_mask);
}

static void trace(bool on)
{
    if (tbuf_op(on ? XEN_SYSCTL_TBUFOP_enable : XEN_SYSCTL_TBUFOP_disable))
        tap_ok(false, "the trace goes %s", on ? "on" : "off");
}

/* --- a consumer ---------------------------------------------------------------------------------- */

struct record {
    uint32_t event, n;
    uint64_t tsc; /* 0: none */
    uint32_t extra[TRACE_EXTRA_MAX];
};

/* The oldest record, but for those that only fill the end. false: there is none. */
static bool next_record(struct record *r)
{
    for (;;) {
        uint32_t cons = buffer->cons;
        const uint32_t *at = (const uint32_t *)((char *)(buffer + 1) + cons % DATA_SIZE);
        bool timed = TRC_HD_INCLUDES_CYCLE_COUNT(at[0]);

        if (cons == buffer->prod)
            return false;
        memset(r, 0, sizeof(*r));
        r->event = TRC_HD_TO_EVENT(at[0]);
        r->n = TRC_HD_EXTRA(at[0]);
        if (timed)
            r->tsc = (uint64_t)at[2] << 32 | at[1];
        memcpy(r->extra, at + 1 + 2 * timed, 4 * r->n);
        buffer->cons = (cons + 4 * (1 + 2 * timed + r->n)) % (2 * DATA_SIZE);
        if (r->event != TRC_TRACE_WRAP_BUFFER)
            return true;
    }
}

/* Go on to the record of an event with this cause; false: there is none. */
static bool find_record(struct record *r, uint32_t event, uint32_t why)
{
    while (next_record(r))
        if (r->event == event && r->extra[1] == why)
            return true;
    return false;
}

static void discard(void)
{
    buffer->cons = buffer->prod;
}

/* --- the cases ----------------------------------------------------------------------------------- */

static void sizes(void)
{
    tap_is(tbuf_op(XEN_SYSCTL_TBUFOP_get_info), 0, "get_info without buffers");
    tap_is(sys.u.tbuf_op.size, 0, "there are none");
    tap_is(tbuf_op(XEN_SYSCTL_TBUFOP_enable), -XEN_EINVAL, "enable without buffers");
    tap_is(set_size(0), -XEN_EINVAL, "buffers of no page");
    tap_is(set_size(1u << 20), -XEN_EINVAL, "buffers of a million pages");
    tap_is(tbuf_op(99), -XEN_EINVAL, "no such command");
    tap_is(set_size(BUFFER_PAGES), 0, "a buffer of a page");
    tap_is(set_size(BUFFER_PAGES + 1), -XEN_EINVAL, "another size later");
    tap_is(set_size(BUFFER_PAGES), 0, "the same size again");
}

static void map_buffer(void)
{
    const struct t_info *info;
    uint32_t mfn, *frames;
    int error;

    tap_is(tbuf_op(XEN_SYSCTL_TBUFOP_get_info), 0, "get_info");
    tap_is(sys.u.tbuf_op.size, PAGE_SIZE, "t_info has a page");
    mfn = sys.u.tbuf_op.buffer_mfn;
    tap_ok(!map_frames(DOMID_SELF, &mfn, 1, true, &error), "t_info cannot be mapped writable");
    info = map_frames(DOMID_SELF, &mfn, 1, false, &error);
    if (!tap_ok(info, "t_info can be mapped"))
        tap_done();
    tap_is(info->tbuf_size, BUFFER_PAGES, "it tells the size");
    frames = (uint32_t *)info + info->mfn_offset[0];
    buffer = map_frames(DOMID_SELF, frames, BUFFER_PAGES, true, &error);
    if (!tap_ok(buffer, "the buffer can be mapped"))
        tap_done();
    tap_ok(!buffer->cons && !buffer->prod, "it is empty");
}

static void one_hypercall(void)
{
    struct record in, args, out;
    char extra[16];

    trace(true);
    hv_xen_version(XENVER_extraversion, extra);
    trace(false);
    tap_ok(find_record(&in, ENTER, HYPERCALL_WHY(__HYPERVISOR_xen_version)),
           "a hypercall enters ring 0");
    tap_ok(in.n == 7 && in.extra[0] >> 24 == 1 && in.tsc, "from ring 1, at a time");
    tap_is(in.extra[3] & 0xffff, read_cs(), "its cs");
    tap_ok(next_record(&args) && args.event == TRC_PV_HYPERCALL_V2 && args.n == 6,
           "its arguments follow");
    tap_is(args.extra[0] & 0xfffff, __HYPERVISOR_xen_version, "of that hypercall");
    tap_is(args.extra[2], (uint32_t)extra, "the second argument");
    tap_ok(next_record(&out) && out.event == LEAVE && out.extra[0] >> 24 == 1, "back to ring 1");
    tap_ok(out.extra[2] == in.extra[2] && out.tsc > in.tsc, "the same eip, later");
    tap_is(out.extra[6], 0, "its result");
    discard();
}

static void read_nothing(void *where)
{
    (void)*(volatile uint32_t *)where;
}

static void one_fault(void)
{
    struct record in, out;
    void *hole = window_alloc(1);

    trace(true);
    catch_fault(read_nothing, hole, NULL);
    trace(false);
    tap_ok(find_record(&in, ENTER, 14 << 16), "a read of nothing is #PF");
    tap_is(in.extra[6], (uint32_t)hole, "at its address");
    tap_ok(next_record(&out) && out.event == LEAVE, "and leaves ring 0");
    tap_is(out.extra[1], BOUNCED | 14, "by a bounce");
    window_free(hole, 1);
    discard();
}

/* Rounds of calls, each read before the next, several times round the buffer. */
static void rounds(void)
{
    struct record r;
    uint32_t calls = 0, entered = 0, left = 0, others = 0, turns = 0, before = 0;

    trace(true);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 15; i++, calls++)
            hv_xen_version(XENVER_version, NULL);
        while (next_record(&r)) {
            if (r.event == ENTER && r.extra[1] == HYPERCALL_WHY(__HYPERVISOR_xen_version))
                entered++;
            left += r.event == LEAVE;
            others += r.event == TRC_LOST_RECORDS;
            turns += buffer->cons < before;
            before = buffer->cons;
        }
    }
    trace(false);
    tap_is(entered, calls, "read in time, every call is there");
    tap_ok(left >= calls, "and every return");
    tap_is(others, 0, "nothing is lost");
    tap_ok(turns >= 5, "it went round its end %u times", turns);
    discard();
}

static void overflow(void)
{
    struct record r;
    uint32_t kept = 0, lost = 0;

    trace(true);
    for (int i = 0; i < 500; i++)
        hv_xen_version(XENVER_version, NULL);
    for (; next_record(&r); kept++)
        ;
    hv_xen_version(XENVER_version, NULL);
    trace(false);
    while (next_record(&r) && !lost)
        if (r.event == TRC_LOST_RECORDS)
            lost = r.extra[0];
    tap_ok(kept > 50 && kept < DATA_SIZE / 28, "unread, the buffer keeps what it has: %u", kept);
    /* Three records a call; enable's way out, and perhaps the timer's interrupts besides. */
    tap_ok(kept + lost >= 1500 && kept + lost < 1600, "and says how many it lost: %u", lost);
    discard();
}

static bool anything_traced(void)
{
    struct record r;
    bool found;

    trace(true);
    hv_xen_version(XENVER_version, NULL);
    trace(false);
    found = find_record(&r, ENTER, HYPERCALL_WHY(__HYPERVISOR_xen_version));
    discard();
    return found;
}

static void masks(void)
{
    set_events(TRC_SCHED);
    tap_ok(!anything_traced(), "another class of events: nothing");
    set_events(TRC_PV_SUBCALL);
    tap_ok(!anything_traced(), "another subclass: nothing");
    set_events(TRC_ALL);
    set_cpus(0);
    tap_ok(!anything_traced(), "no CPU: nothing");
    set_cpus(0xff);
    tap_ok(anything_traced(), "all of them: something");
}

/* Offsets that no buffer has: the hypervisor stops, and goes on when asked after a repair. */
static void spoil(void)
{
    static const uint32_t bad[] = {1, 2 * DATA_SIZE, ~3u, 0x80000000};
    uint32_t good = buffer->prod;
    bool stopped = true;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        trace(true);
        discard();
        good = buffer->prod;
        buffer->cons = bad[i];
        hv_xen_version(XENVER_version, NULL);
        buffer->cons = good;
        hv_xen_version(XENVER_version, NULL);
        stopped = stopped && buffer->prod == good;
    }
    tap_ok(stopped, "an offset that is none ends the trace");
    buffer->prod = 0x12345;
    trace(true);
    hv_xen_version(XENVER_version, NULL);
    trace(false);
    tap_ok(buffer->prod < 2 * DATA_SIZE && buffer->prod != 0x12345 && buffer->prod != good,
           "a false prod is put right by the next record");
    discard();
    tap_ok(anything_traced(), "as before");
}

int main(void)
{
    sizes();
    map_buffer();
    one_hypercall();
    one_fault();
    rounds();
    overflow();
    masks();
    spoil();
    tap_done();
}
