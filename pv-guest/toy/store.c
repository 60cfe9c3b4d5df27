/* SPDX-License-Identifier: MIT */
/*
 * xenstore: how the control domain asks this one to end.
 *
 * xenstore is a tree of names and values that the control domain keeps. Requests and answers are
 * bytes in two rings of one shared page, which the builder names in start_info; an event says that
 * something was put there. A message is a header (its type, and how much text follows) and text.
 *
 * A domain cannot be told to end, as a machine can by its power button: it is asked, by a word in the
 * node control/shutdown. The toy watches that node. The watch's event makes it read the node; a
 * word there makes it empty the node, which says that the word was understood; and the answer to
 * that makes it do what was asked. The initial domain has no store, and nobody to ask it.
 *
 * Next: vcpus.c.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <xen/io/xs_wire.h>
#include <xen/sched.h>

#include <pv/console.h>
#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>

#include "toy.h"

#define NODE "control/shutdown"
#define REQUEST_SIZE 64 /* no request of ours is larger, header included */
#define TEXT_SIZE 16    /* of an answer; the words we know are shorter */

static volatile struct xenstore_domain_interface *ring;

/* What is arriving, and how many of its bytes have. Text beyond TEXT_SIZE is counted alone. */
static struct {
    struct xsd_sockmsg header;
    char text[TEXT_SIZE];
} message;
static uint32_t arrived;

static char wish[TEXT_SIZE]; /* what was asked, from the time the node is being emptied */

/* --- the rings ----------------------------------------------------------------------------- */

static bool request_fits(void)
{
    return ring->req_prod - ring->req_cons <= XENSTORE_RING_SIZE - REQUEST_SIZE;
}

static void put(const void *data, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        ring->req[MASK_XENSTORE_IDX(ring->req_prod + i)] = ((const char *)data)[i];
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the bytes before the index that announces them */
    ring->req_prod += size;
}

/* `text` holds its strings one behind the other. */
static void request(uint32_t type, const char *text, uint32_t size)
{
    struct xsd_sockmsg header = {.type = type, .len = size};

    put(&header, sizeof(header));
    put(text, size);
    event_send(start_info->store_evtchn);
}

/* Take bytes until a message is whole. False: the rest of it has not arrived. */
static bool receive(void)
{
    while (arrived < sizeof(message.header) ||
           arrived < sizeof(message.header) + message.header.len) {
        if (ring->rsp_cons == ring->rsp_prod)
            return false;
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the index before the byte it announces */
        if (arrived < sizeof(message))
            ((char *)&message)[arrived] = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons)];
        arrived++;
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the byte before its place is given back */
        ring->rsp_cons++;
    }
    message.text[message.header.len < TEXT_SIZE ? message.header.len : TEXT_SIZE - 1] = '\0';
    arrived = 0;
    return true;
}

/* --- what is asked ------------------------------------------------------------------------- */

/*
 * The answer is 0 in a domain that was built again from what was saved of this one, elsewhere or
 * later: with other machine frames, which this kernel's tables do not name. It is 1 where the domain
 * just goes on. The third argument tells a tool that saves it where start_info is.
 */
static void suspend(void)
{
    struct sched_shutdown how = {.reason = SHUTDOWN_suspend};

    if (hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, HV_ARG(&how), va_to_mfn(start_info), 0,
                  0) != 1)
        panic("the toy can be suspended, but not moved");
    printf("suspend: going on in the same domain\n");
}

static void obey(void)
{
    printf("\nxenstore asks: %s\n", wish);
    if (strcmp(wish, "poweroff") == 0 || strcmp(wish, "halt") == 0)
        domain_shutdown(SHUTDOWN_poweroff);
    else if (strcmp(wish, "reboot") == 0)
        domain_shutdown(SHUTDOWN_reboot);
    else if (strcmp(wish, "suspend") == 0)
        suspend();
    else
        printf("the toy does not know how\n");
}

/* Whatever is read while the node is being emptied is the same word once more. */
static void react(void)
{
    switch (message.header.type) {
    case XS_WATCH_EVENT:
        request(XS_READ, NODE, sizeof(NODE));
        break;
    case XS_READ:
        if (wish[0] || !message.text[0])
            break;
        strcpy(wish, message.text);
        request(XS_WRITE, NODE, sizeof(NODE)); /* and no value behind the path's end */
        break;
    case XS_WRITE:
        if (wish[0])
            obey();
        wish[0] = '\0';
        break;
    }
}

/* While the prompt waits for a key: no command of the toy's is in the middle of something then. */
static void serve(void)
{
    uint32_t before = ring->rsp_cons;

    while (request_fits() && receive())
        react();
    if (ring->rsp_cons != before)
        event_send(start_info->store_evtchn); /* there is room for answers again */
}

/* A watch's first event comes at once, for what stood there before. */
void start_store(void)
{
    static const char *const features[] = {"poweroff", "reboot", "suspend"};
    static const char watch[] = NODE "\0toy"; /* the path, and a token of ours */
    char text[REQUEST_SIZE - sizeof(struct xsd_sockmsg)];

    if (is_initial_domain() || start_info->store_evtchn == 0)
        return;
    ring = pfn_to_linear(mfn_to_pfn(start_info->store_mfn));
    event_attach(start_info->store_evtchn, NULL, NULL);
    for (unsigned int i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        int size = snprintf(text, sizeof(text), "control/feature-%s%c1", features[i], 0);

        request(XS_WRITE, text, size);
    }
    request(XS_WATCH, watch, sizeof(watch));
    console_on_wait(serve);
}
