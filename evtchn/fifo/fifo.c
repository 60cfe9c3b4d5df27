/* SPDX-License-Identifier: MIT */
/*
 * fifo.c: the FIFO ABI: 2^17 ports, in order of arrival, with priorities. Public header:
 * xen/event_channel.h.
 *
 * Each port has an event word of 32 bits in pages the guest gives (the event array, 1024 words a
 * page):
 *
 *    31      30     29     28   27    17 16            0
 *   +-------+------+------+----+--------+---------------+
 *   |PENDING|MASKED|LINKED|BUSY|   0    |     LINK      |   LINK: the next port of the queue
 *   +-------+------+------+----+--------+---------------+
 *
 * Each vcpu has 16 queues, one a priority. The guest keeps their heads, in the control block it
 * gives; we keep their tails. To queue a port we set its LINKED and then the LINK of the tail's
 * word to it, or the head if the tail is not LINKED any more, which means that the guest has
 * emptied the queue. The guest takes a port off by clearing its LINKED and LINK at once. Both are
 * compare-and-exchange, so one of the two sees what the other did.
 *
 *   control block: ready (a bit a queue: it has become non-empty), head[16]
 *
 * PENDING and MASKED mean what they mean in the 2-level ABI. A port that is masked or LINKED is not
 * queued. BUSY is ours: a guest that meets it while unmasking leaves the word alone for a moment.
 *
 * The guest may write anything anywhere in these pages, at any time. Nothing we read there is used
 * but as bits: ports to link come from our own tails. What it can break is its own queues.
 *
 * The pages are mapped as they are needed: keeping them mapped would let 128 pages a domain use up
 * the global maps.
 */
#include "fifo.h"
#include <ringlet/bitops.h>
#include <ringlet/hypercall.h>
#include <ringlet/ports.h>
#include <ringlet/sched.h>
#include <ringlet/written.h>

#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(event_word_t))
#define MAX_PAGES (EVTCHN_FIFO_PORTS / WORDS_PER_PAGE)
#define LINKED (1u << EVTCHN_FIFO_LINKED)
#define BUSY (1u << EVTCHN_FIFO_BUSY)
#define LINK_TRIES 4

/* Frames hold FT_WRITABLE references. */
struct evtchn_fifo {
    unsigned nr_pages;
    mfn_t pages[MAX_PAGES];
};

static const struct evtchn_abi fifo_abi;

struct evtchn_fifo_vcpu {
    mfn_t control_mfn;
    uint32_t control_offset;
    evtchn_port_t
        tails[EVTCHN_FIFO_MAX_QUEUES]; /* 0: empty, or its last event was moved to another queue */
};

/*
 * The port's event word, to be unmapped by unmap_frame(); NULL while the guest has given no page
 * for it.
 */
static event_word_t *map_word(const struct evtchn_fifo *f, evtchn_port_t port)
{
    event_word_t *page;

    if (port / WORDS_PER_PAGE >= f->nr_pages)
        return NULL;
    page = map_frame(f->pages[port / WORDS_PER_PAGE]);
    return page + port % WORDS_PER_PAGE;
}

static bool word_bit(const struct domain *d, evtchn_port_t port, unsigned bit, bool without_word)
{
    event_word_t *word = map_word(d->evtchn.fifo, port);
    bool set;

    if (!word)
        return without_word;
    set = test_bit(bit, word);
    unmap_frame(word);
    return set;
}

static bool fifo_is_pending(const struct domain *d, evtchn_port_t port)
{
    return word_bit(d, port, EVTCHN_FIFO_PENDING, false);
}

static bool fifo_is_masked(const struct domain *d, evtchn_port_t port)
{
    return word_bit(d, port, EVTCHN_FIFO_MASKED, true);
}

static bool fifo_is_linked(const struct domain *d, evtchn_port_t port)
{
    return word_bit(d, port, EVTCHN_FIFO_LINKED, false);
}

static void fifo_clear_pending(struct domain *d, evtchn_port_t port)
{
    event_word_t *word;

    spin_lock(&d->fifo_lock);
    evtchn_at(d, port)->pending = false;
    word = map_word(d->evtchn.fifo, port);
    if (word) {
        test_and_clear_bit(EVTCHN_FIFO_PENDING, word);
        unmap_frame(word);
    }
    spin_unlock(&d->fifo_lock);
}

/* ---- Queues. fifo_lock is held. -------------------------------------------------------------- */

/*
 * Replace the word's LINK, if it is LINKED. 1: done; 0: it is not LINKED; -1: the guest changed it
 * meanwhile.
 */
static int try_link(event_word_t *word, event_word_t *seen, evtchn_port_t port)
{
    event_word_t wanted = (*seen & ~(BUSY | EVTCHN_FIFO_LINK_MASK)) | port;

    if (!(*seen & LINKED))
        return 0;
    return __atomic_compare_exchange_n(word, seen, wanted, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST)
               ? 1
               : -1;
}

/*
 * Make `port` follow the tail, whose word this is. False: the tail has left the queue. The guest
 * may mask and unmask the tail while we try; BUSY asks it to stop. One that does not listen loses
 * this event.
 */
static bool link_after(event_word_t *word, evtchn_port_t port)
{
    event_word_t seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    int done = try_link(word, &seen, port);

    if (done >= 0)
        return done;
    seen = __atomic_or_fetch(word, BUSY, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < LINK_TRIES && done < 0; i++)
        done = try_link(word, &seen, port);
    if (done <= 0)
        __atomic_fetch_and(word, ~BUSY, __ATOMIC_SEQ_CST);
    return done != 0;
}

/* Start a queue with `port`. True: it was announced as ready just now. */
static bool start_queue(const struct evtchn_fifo_vcpu *q, unsigned priority, evtchn_port_t port)
{
    void *page = map_frame(q->control_mfn);
    struct evtchn_fifo_control_block *control = page + q->control_offset;
    bool announced;

    __atomic_store_n(&control->head[priority], port, __ATOMIC_SEQ_CST);
    announced = !test_and_set_bit(priority, &control->ready);
    unmap_frame(page);
    return announced;
}

/*
 * Put a port that is neither masked nor linked at the end of the queue of its vcpu and priority.
 * True: the vcpu is to be told. If the port was the tail of the queue it was last on, that queue is
 * empty now: forget that tail before anything else, or the port would seem to follow itself, or
 * carry the next event of the old queue into the new one.
 */
static bool enqueue(struct domain *d, struct evtchn *e, evtchn_port_t port, event_word_t *word)
{
    struct vcpu *v = d->vcpus[e->vcpu], *last = d->vcpus[e->last_vcpu];
    struct evtchn_fifo_vcpu *q = v->fifo;
    unsigned priority = e->priority;
    bool linked = false;

    if (!q || test_and_set_bit(EVTCHN_FIFO_LINKED, word))
        return false;
    if (last && last->fifo && last->fifo->tails[e->last_priority] == port)
        last->fifo->tails[e->last_priority] = 0;
    e->last_vcpu = v->id;
    e->last_priority = priority;
    if (q->tails[priority]) {
        event_word_t *tail = map_word(d->evtchn.fifo, q->tails[priority]);

        linked = tail && link_after(tail, port);
        if (tail)
            unmap_frame(tail);
    }
    q->tails[priority] = port;
    return !linked && start_queue(q, priority, port);
}

/*
 * PENDING, and on a queue if it should be. True: the vcpu is to be told. *first: it was not pending
 * before.
 */
static bool set_pending_locked(struct domain *d, evtchn_port_t port, bool *first)
{
    struct evtchn *e = evtchn_at(d, port);
    event_word_t *word = map_word(d->evtchn.fifo, port);
    bool tell = false;

    if (!word) {
        *first = !e->pending;
        e->pending = true;
        return false;
    }
    *first = !test_and_set_bit(EVTCHN_FIFO_PENDING, word);
    if (!test_bit(EVTCHN_FIFO_MASKED, word) && !test_bit(EVTCHN_FIFO_LINKED, word))
        tell = enqueue(d, e, port, word);
    unmap_frame(word);
    return tell;
}

/*
 * From any domain, with that domain's evtchn_lock or none: so the domain may have left the FIFO ABI
 * a moment ago.
 */
static void fifo_set_pending(struct domain *d, evtchn_port_t port)
{
    struct vcpu *v = d->vcpus[evtchn_at(d, port)->vcpu];
    bool tell = false, first = false;

    spin_lock(&d->fifo_lock);
    if (d->evtchn.fifo)
        tell = set_pending_locked(d, port, &first);
    spin_unlock(&d->fifo_lock);
    if (tell)
        vcpu_mark_events_pending(v);
    if (first && unlikely(d->poll_mask))
        vcpu_poll_wake(d, port);
}

/* Unmask, then queue what had come. */
static void fifo_unmask(struct domain *d, evtchn_port_t port)
{
    event_word_t *word = map_word(d->evtchn.fifo, port);
    bool pending;

    if (!word)
        return;
    test_and_clear_bit(EVTCHN_FIFO_MASKED, word);
    pending = test_bit(EVTCHN_FIFO_PENDING, word);
    unmap_frame(word);
    if (pending)
        fifo_set_pending(d, port);
}

/* ---- Setting up and taking down -------------------------------------------------------------- */

static int get_page(struct domain *d, uint64_t mfn)
{
    return mfn >= max_frame || get_frame_and_type(mfn_frame(mfn), d, FT_WRITABLE) ? -EINVAL : 0;
}

/*
 * The first control block: switch the domain over. Ports pending in the 2-level ABI stay so, until
 * they get a word.
 */
static void switch_over(struct domain *d, struct evtchn_fifo *f)
{
    for (evtchn_port_t port = 1; port < d->evtchn.valid_ports; port++) {
        struct evtchn *e = evtchn_at(d, port);

        e->priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
        e->pending = d->evtchn.abi->is_pending(d, port);
    }
    d->evtchn.fifo = f;
    __atomic_store_n(&d->evtchn.abi, &fifo_abi, __ATOMIC_SEQ_CST);
}

/*
 * EVTCHNOP_init_control
 *  1. The control block must not cross a page boundary and is aligned to 8 bytes.
 *  2. Once per vcpu.
 *  3. The frame is the domain's, and writable.
 */
int fifo_init_control(struct domain *d, struct vcpu *v, uint64_t mfn, uint32_t offset)
{
    struct evtchn_fifo *f = d->evtchn.fifo;
    struct evtchn_fifo_vcpu *q;

    if (offset > PAGE_SIZE - sizeof(struct evtchn_fifo_control_block) || (offset & 7) || v->fifo)
        return -EINVAL;
    q = xzalloc_for_domain(d, sizeof(*q));
    if (q && !f)
        f = xzalloc_for_domain(d, sizeof(*f));
    if (!q || !f) {
        xfree_for_domain(d, q);
        return -ENOMEM;
    }
    if (get_page(d, mfn)) {
        xfree_for_domain(d, q);
        if (!d->evtchn.fifo)
            xfree_for_domain(d, f);
        return -EINVAL;
    }
    q->control_mfn = mfn;
    q->control_offset = offset;
    spin_lock(&d->fifo_lock);
    v->fifo = q;
    if (!d->evtchn.fifo)
        switch_over(d, f);
    spin_unlock(&d->fifo_lock);
    return 0;
}

/*
 * Forget that an event came while the guest had no word for the port. Was there one? fifo_lock: the
 * flag shares its byte with last_vcpu, which senders in other domains write with this lock alone.
 */
static bool take_early_event(struct domain *d, evtchn_port_t port)
{
    struct evtchn *e = evtchn_at(d, port);
    bool came;

    spin_lock(&d->fifo_lock);
    came = e->pending;
    e->pending = false;
    spin_unlock(&d->fifo_lock);
    return came;
}

/*
 * EVTCHNOP_expand_array: the next page of event words. What came for its ports before is pending
 * now.
 */
int fifo_expand_array(struct domain *d, uint64_t mfn)
{
    struct evtchn_fifo *f = d->evtchn.fifo;
    evtchn_port_t port = f->nr_pages * WORDS_PER_PAGE, end = port + WORDS_PER_PAGE;

    if (f->nr_pages == MAX_PAGES)
        return -ENOSPC;
    if (get_page(d, mfn))
        return -EINVAL;
    spin_lock(&d->fifo_lock);
    f->pages[f->nr_pages++] = mfn;
    spin_unlock(&d->fifo_lock);
    for (; port < end && port < d->evtchn.valid_ports; port++) {
        if (take_early_event(d, port))
            fifo_set_pending(d, port);
    }
    return 0;
}

/* The log has had the frame as dirty while it was ours (mark_always_dirty()), and this once more. */
static void let_go(mfn_t mfn)
{
    mark_dirty(mfn);
    put_frame_and_type(mfn_frame(mfn));
}

/* Back to the 2-level ABI: all pages are the guest's alone again. Every port is closed. */
static void fifo_destroy(struct domain *d)
{
    struct evtchn_fifo *f = d->evtchn.fifo;
    struct evtchn_fifo_vcpu *queues[MAX_VCPUS] = {0};
    struct vcpu *v;

    if (!f)
        return;
    spin_lock(&d->fifo_lock);
    __atomic_store_n(&d->evtchn.abi, &two_level_abi, __ATOMIC_SEQ_CST);
    d->evtchn.fifo = NULL;
    for_each_vcpu(d, v)
    {
        queues[v->id] = v->fifo;
        v->fifo = NULL;
    }
    spin_unlock(&d->fifo_lock);
    for (unsigned i = 0; i < MAX_VCPUS; i++) {
        if (queues[i])
            let_go(queues[i]->control_mfn);
        xfree_for_domain(d, queues[i]);
    }
    for (unsigned i = 0; i < f->nr_pages; i++)
        let_go(f->pages[i]);
    xfree_for_domain(d, f);
}

/* Every frame that a reference is held to, once for each: the audit compares (xen/debug/audit.c). */
static void fifo_visit_frames(const struct domain *d, void (*visit)(mfn_t mfn))
{
    const struct evtchn_fifo *f = d->evtchn.fifo;
    struct vcpu *v;

    for (unsigned i = 0; f && i < f->nr_pages; i++)
        visit(f->pages[i]);
    for_each_vcpu(d, v)
    {
        if (v->fifo)
            visit(v->fifo->control_mfn);
    }
}
DOMAIN_PART(fifo_part, .visit_frames = fifo_visit_frames);

static const struct evtchn_abi fifo_abi = {
    .ports = EVTCHN_FIFO_PORTS,
    .set_pending = fifo_set_pending,
    .clear_pending = fifo_clear_pending,
    .is_pending = fifo_is_pending,
    .is_masked = fifo_is_masked,
    .is_linked = fifo_is_linked,
    .unmask = fifo_unmask,
    .leave = fifo_destroy,
};

/* ---- The operations -------------------------------------------------------------------------- */

/* EVTCHNOP_init_control: the first one switches the domain to the FIFO ABI. */
static int init_control(struct evtchn_init_control *op)
{
    struct domain *d = current->domain;
    struct vcpu *v = op->vcpu < d->max_vcpus ? d->vcpus[op->vcpu] : NULL;
    int rc;

    op->link_bits = EVTCHN_FIFO_LINK_BITS;
    if (!v)
        return -ENOENT;
    spin_lock(&d->evtchn_lock);
    rc = fifo_init_control(d, v, op->control_gfn, op->offset);
    spin_unlock(&d->evtchn_lock);
    return rc;
}
EVTCHNOP(init_control, init_control, true);

static int expand_array(const struct evtchn_expand_array *op)
{
    struct domain *d = current->domain;
    int rc;

    spin_lock(&d->evtchn_lock);
    rc = d->evtchn.fifo ? fifo_expand_array(d, op->array_gfn) : -EOPNOTSUPP;
    spin_unlock(&d->evtchn_lock);
    return rc;
}
EVTCHNOP(expand_array, expand_array, false);

/*
 * Takes effect when the port is put on a queue the next time. The 2-level ABI has no priorities:
 * -ENOSYS.
 */
static int set_priority(const struct evtchn_set_priority *op)
{
    struct domain *d = current->domain;
    struct evtchn *e;
    int rc = 0;

    if (op->priority > EVTCHN_FIFO_PRIORITY_MIN)
        return -EINVAL;
    spin_lock(&d->evtchn_lock);
    e = evtchn_lookup(d, op->port);
    if (!e)
        rc = -EINVAL;
    else if (!d->evtchn.fifo)
        rc = -ENOSYS;
    else
        e->priority = op->priority;
    spin_unlock(&d->evtchn_lock);
    return rc;
}
EVTCHNOP(set_priority, set_priority, false);
