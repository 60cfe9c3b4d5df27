/* SPDX-License-Identifier: MIT */
/*
 * XSA-340: a port that another processor sees before it is there.
 *
 * The table of event channels grows while it is used. Xen made a new part of it known to the other
 * processors by a number that said how many ports there are; nothing made them see the part's contents
 * before the number, so an operation on a port just made could follow a pointer that was not there
 * yet.
 *
 * Here one vcpu opens channels by the ten thousand, in the FIFO ABI, so that the table grows all the
 * time; the other does everything that can be done with a port to those at the end of the table and a
 * little beyond. Each answer is that the port is there, or that it is not. At the end every channel is
 * what it was made to be.
 *
 * Run: qemu
 * Machine: smp=2 mem=128 timeout=120
 */
#include "../../attack.h"

#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/time.h>
#include <pv/vcpu.h>

#define PORTS 20000
#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(event_word_t))
#define BUCKET 128 /* ports that the table grows by */
#define LONGEST (20 * NS_PER_SEC)

static volatile uint32_t frontier; /* the port opened last */
static volatile uint32_t there, not_there, strange, rounds;
static volatile bool stop, stopped;
static uint32_t next_page; /* of the event array: its first port */

/* One operation on a port that may just have been made. */
static int use(uint32_t how, uint32_t port)
{
    struct evtchn_status status = {.dom = DOMID_SELF, .port = port};
    struct evtchn_send send = {.port = port};
    struct evtchn_unmask unmask = {.port = port};
    struct evtchn_set_priority priority = {.port = port, .priority = port & 15};
    struct evtchn_bind_vcpu bind = {.port = port, .vcpu = 0};

    switch (how) {
    case 0:
        return hv_event_channel_op(EVTCHNOP_status, &status);
    case 1:
        return hv_event_channel_op(EVTCHNOP_unmask, &unmask);
    case 2:
        return hv_event_channel_op(EVTCHNOP_set_priority, &priority);
    case 3:
        return hv_event_channel_op(EVTCHNOP_bind_vcpu, &bind);
    default: /* the one that is made for speed */
        return hv_event_channel_op(EVTCHNOP_send, &send);
    }
}

static void user(void *unused)
{
    (void)unused;
    for (uint32_t n = 0; !stop; n++) {
        int rc = use(n % 8, frontier + n % (BUCKET + 2));

        there += rc == 0;
        not_there += rc == -XEN_EINVAL;
        strange += rc != 0 && rc != -XEN_EINVAL;
        rounds++;
    }
    stopped = true;
    for (;;)
        hv_vcpu_op(VCPUOP_down, 1, NULL);
}

static void go_fifo(void)
{
    struct evtchn_init_control op = {.control_gfn = linear_to_mfn(page_alloc())};

    if (hv_event_channel_op(EVTCHNOP_init_control, &op))
        panic("no FIFO ABI");
}

/* Event words for the ports up to this one. */
static void grow_array(uint32_t port)
{
    while (next_page <= port) {
        struct evtchn_expand_array op = {.array_gfn = linear_to_mfn(page_alloc())};

        if (hv_event_channel_op(EVTCHNOP_expand_array, &op))
            panic("the event array does not grow");
        next_page += WORDS_PER_PAGE;
    }
}

static int open_channel(void)
{
    struct evtchn_bind_ipi op = {.vcpu = 0};
    int rc;

    grow_array(frontier + 2 * BUCKET);
    rc = hv_event_channel_op(EVTCHNOP_bind_ipi, &op);
    if (!rc)
        frontier = op.port;
    return rc;
}

/* How many ports above `first` are no IPI to vcpu 0. */
static uint32_t wrong_ports(uint32_t first)
{
    uint32_t wrong = 0;

    for (uint32_t port = first; port <= frontier; port++) {
        struct evtchn_status status = {.dom = DOMID_SELF, .port = port};

        wrong += hv_event_channel_op(EVTCHNOP_status, &status) != 0 ||
                 status.status != EVTCHNSTAT_ipi || status.vcpu != 0;
    }
    return wrong;
}

int main(void)
{
    uint64_t end = time_now() + LONGEST;
    uint32_t opened = 0, first;
    int rc = 0;

    go_fifo();
    if (vcpu_start(1, user, NULL))
        panic("there is no second vcpu");
    rc = open_channel();
    first = frontier;
    for (; !rc && opened < PORTS && time_now() < end; opened++)
        rc = open_channel();
    stop = true;
    while (!stopped)
        hv_sched_op(SCHEDOP_yield, NULL);
    tap_diag("%u channels, %u uses: %u there, %u not", (unsigned int)opened, (unsigned int)rounds,
             (unsigned int)there, (unsigned int)not_there);
    /* an ordinary domain may have 1023 */
    tap_ok((rc == 0 || rc == -XEN_ENOSPC) && opened > 5 * BUCKET, "channels were opened");
    tap_ok(there > 0 && not_there > 0, "and ports at the end of the table used meanwhile");
    tap_is(strange, 0, "a port is there or is not");
    tap_is(wrong_ports(first), 0, "each channel is what it was made to be");
    tap_audit();
    tap_done();
}
