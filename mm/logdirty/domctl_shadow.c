/* SPDX-License-Identifier: MIT */
/*
 * domctl_shadow.c: the control operation shadow_op (xen/domctl.h): log-dirty mode.
 *
 * Of what Xen's operation offers, PV domains have this one mode. What each sub-operation answers:
 *
 *   ENABLE_LOGDIRTY, ENABLE with mode bit LOG_DIRTY   -EINVAL: on already. -ENOMEM
 *   OFF                 always 0. All memory that the mode took is free again.
 *   CLEAN, PEEK         the log as a bitmap, a bit a pfn, of `pages` bits, which is cut down to what
 *                       there can be; a null handle: only count. CLEAN clears what it tells. -EINVAL:
 *                       unknown mode bits. -EFAULT. -ENOMEM: the guest wrote at a pfn for which
 *                       there is no room. -EBUSY: another caller's is not finished. The mode may be
 *                       off: nothing is dirty then.
 *   GET_ALLOCATION      MiB that shadows and log have, rounded up
 *   SET_ALLOCATION      what they shall have, within limits; what they have then. -EINVAL: 0 while
 *                       the mode is on. -ENOMEM
 *   others              -EINVAL
 *
 *  1. The domain is not the caller's own, and has a vcpu: -EINVAL. It is dying: 0, and nothing done.
 *  2. A vcpu comes back to its CPU with an empty shadow. So that a write after CLEAN is seen, the
 *     domain need only be paused while bits are cleared.
 *
 * Read next: mm/logdirty/dirty_log.h (DL1 to DL4), mm/logdirty/dirty_log.c, mm/logdirty/shadow.c.
 */
#include "dirty_log.h"
#include <ringlet/domctl.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>

#define PAGES_PER_MIB (1u << (20 - PAGE_SHIFT))

/* ---- Memory ---------------------------------------------------------------------------------- */

/* After so many frames cleared or freed, see whether others wait. */
#define PREEMPT_EVERY 16

static unsigned pages_with(unsigned nr_l1)
{
    return LOG_LEAVES + nr_cpus * (L3_ENTRIES + nr_l1);
}

/* L1s for each CPU, out of so many pages in all. */
static unsigned l1s_within(unsigned pages)
{
    unsigned fixed = pages_with(0), each = pages > fixed ? (pages - fixed) / nr_cpus : 0;

    return MIN(MAX(each, SHADOW_L1S_LEAST), SHADOW_L1S_MOST);
}

static uint32_t allocation_mib(const struct domain *d)
{
    unsigned nr_l1 = d->dirty_log && d->dirty_log->shadow[0] ? d->dirty_log->shadow[0]->nr_l1 : 0;

    return d->dirty_log ? DIV_ROUND_UP(pages_with(nr_l1), PAGES_PER_MIB) : 0;
}

/*
 * QEMU 7.2's qemu-system-i386 does not walk page tables above 4 GiB. False: there is no frame, and
 * *mfn is 0.
 */
static bool new_frame(mfn_t *mfn, bool cleared)
{
    *mfn = cleared ? alloc_frames(0, 32) : alloc_frames_uncleared(0, 32);
    if (*mfn != INVALID_MFN)
        return true;
    *mfn = 0;
    return false;
}

static void free_frame(mfn_t *mfn)
{
    if (*mfn)
        free_frames(*mfn, 0);
    *mfn = 0;
}

/* One CPU's L1s become n. No vcpu of the domain runs, or the mode is off. False: no memory. */
static bool resize_shadow(struct shadow *s, unsigned n)
{
    shadow_empty(s);
    while (s->nr_l1 > n)
        free_frame(&s->l1[--s->nr_l1]);
    while (s->nr_l1 < n) {
        if (!new_frame(&s->l1[s->nr_l1], false))
            return false;
        s->nr_l1++;
    }
    return true;
}

static void free_shadow(struct shadow **s)
{
    if (!*s)
        return;
    resize_shadow(*s, 0);
    for (unsigned i = 0; i < L3_ENTRIES; i++)
        free_frame(&(*s)->l2[i]);
    xfree(*s);
    *s = NULL;
}

/* A CPU's directories, the last with the hypervisor's entries, and no L1 yet. NULL: out of memory. */
static struct shadow *new_shadow(void)
{
    struct shadow *s = xzalloc(struct shadow);
    pte_t *top;

    for (unsigned i = 0; s && i < L3_ENTRIES; i++) {
        if (!new_frame(&s->l2[i], true))
            free_shadow(&s);
    }
    if (!s)
        return NULL;
    top = map_frame(s->l2[L3_ENTRIES - 1]);
    hypervisor_l2_fill(top);
    unmap_frame(top);
    return s;
}

/*
 * Give d a log with so many L1s a CPU, or change one. 0; -ERESTART: call again; -ENOMEM: it has got
 * what there was.
 */
static int allocate(struct domain *d, unsigned nr_l1)
{
    struct dirty_log *log = d->dirty_log;

    if (!log)
        log = d->dirty_log = xzalloc(struct dirty_log);
    if (!log)
        return -ENOMEM;
    for (unsigned i = 0; i < LOG_LEAVES; i++) {
        if (log->leaf[i])
            continue;
        if (!new_frame(&log->leaf[i], true))
            return -ENOMEM;
        if (i % PREEMPT_EVERY == 0 && preempt_needed())
            return -ERESTART;
    }
    for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
        if (!log->shadow[cpu])
            log->shadow[cpu] = new_shadow();
        if (!log->shadow[cpu] || !resize_shadow(log->shadow[cpu], nr_l1))
            return -ENOMEM;
        if (preempt_needed())
            return -ERESTART;
    }
    return 0;
}

/* The log is off: free what it has. 0 or -ERESTART. */
static int free_log(struct domain *d)
{
    struct dirty_log *log = d->dirty_log;

    for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
        free_shadow(&log->shadow[cpu]);
        if (preempt_needed())
            return -ERESTART;
    }
    for (unsigned i = 0; i < LOG_LEAVES; i++) {
        free_frame(&log->leaf[i]);
        if (i % PREEMPT_EVERY == 0 && preempt_needed())
            return -ERESTART;
    }
    d->dirty_log = NULL;
    wait_for_cpus(); /* DL1 */
    xfree(log);
    return 0;
}

/* ---- On and off ------------------------------------------------------------------------------ */

/*
 * Who is writing to a frame of d's at this moment, and has seen that nobody is logged, is done when
 * each CPU has been waited for: the first round copies all memory, and copies that too.
 */
static int enable(struct domain *d)
{
    unsigned nr_l1 = SHADOW_L1S_LEAST;
    int rc;

    if (d->dirty_log && d->dirty_log->on)
        return -EINVAL;
    if (d->dirty_log && d->dirty_log->shadow[0])
        nr_l1 = MAX(nr_l1, d->dirty_log->shadow[0]->nr_l1);
    rc = allocate(d, nr_l1);
    if (rc == -ENOMEM) {
        while (d->dirty_log && free_log(d) == -ERESTART)
            ;
    }
    if (rc)
        return rc;
    domain_pause_sync(d);
    d->dirty_log->on = true;
    __atomic_fetch_add(&watched_domains, 1, __ATOMIC_SEQ_CST);
    wait_for_cpus();
    domain_unpause(d);
    return 0;
}

/* 0, or -ERESTART: call again. No vcpu of d's is on a CPU. */
static int dirty_log_end(struct domain *d)
{
    struct dirty_log *log = d->dirty_log;

    d->log_report.next = 0;
    if (!log)
        return 0;
    if (log->on) {
        log->on = false;
        __atomic_fetch_sub(&watched_domains, 1, __ATOMIC_SEQ_CST);
        wait_for_cpus(); /* DL1 */
    }
    return free_log(d);
}
DOMAIN_PART(dirty_log_part, .dying = dirty_log_end);

static int disable(struct domain *d)
{
    int rc;

    domain_pause_sync(d);
    rc = dirty_log_end(d);
    domain_unpause(d);
    return rc;
}

static int set_allocation(struct domain *d, struct xen_domctl_shadow_op *sc)
{
    bool on = d->dirty_log && d->dirty_log->on;
    int rc;

    if (!sc->mb)
        return on ? -EINVAL : disable(d);
    domain_pause_sync(d);
    rc = allocate(d, l1s_within(MIN(sc->mb, 1u << 12) * PAGES_PER_MIB));
    domain_unpause(d);
    sc->mb = allocation_mib(d);
    return rc;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* Another is in the middle of asking. One whose domain has ended meanwhile will not go on. */
static bool is_busy(struct domain *d, unsigned op)
{
    struct log_report *r = &d->log_report;
    struct domain *caller;

    if (!r->next || (r->domid == current->domain->id && r->vcpu == current->id && r->op == op))
        return false;
    caller = find_domain(r->domid);
    if (!caller)
        r->next = 0;
    else
        put_domain(caller);
    return caller != NULL;
}

static void begin_report(struct domain *d, const struct xen_domctl_shadow_op *sc)
{
    struct dirty_log *log = d->dirty_log;
    struct log_report *r = &d->log_report;

    *r = (struct log_report){.op = sc->op, .domid = current->domain->id, .vcpu = current->id};
    if (!log || !log->on)
        return;
    mark_always_dirty(d);
    r->dirty_count = log->dirty_count;
    r->fault_count = log->fault_count;
    if (sc->op == XEN_DOMCTL_SHADOW_OP_CLEAN)
        __atomic_fetch_sub(&log->fault_count, r->fault_count, __ATOMIC_SEQ_CST);
}

/* The part of the bitmap that one leaf holds. */
static int report_part(struct dirty_log *log, unsigned leaf, const struct xen_domctl_shadow_op *sc)
{
    uint32_t pages = MIN((uint32_t)sc->pages - leaf * PFNS_PER_LEAF, (uint32_t)PFNS_PER_LEAF);
    uint8_t *guest = sc->dirty_bitmap.p;

    if (guest)
        guest += leaf * PAGE_SIZE;
    if (log && log->on)
        return report_leaf(log, leaf, guest, DIV_ROUND_UP(pages, 8),
                           sc->op == XEN_DOMCTL_SHADOW_OP_CLEAN);
    return guest && clear_guest(guest, DIV_ROUND_UP(pages, 8)) ? -EFAULT : 0;
}

/*
 * CLEAN and PEEK, a leaf at a time. Between parts the domain may run: what it writes then is told by
 * a later part, or stays for the next time.
 */
static int report(struct domain *d, struct xen_domctl_shadow_op *sc)
{
    struct dirty_log *log = d->dirty_log;
    struct log_report *r = &d->log_report;
    uint64_t asked = sc->pages;
    int rc = 0;

    if (sc->mode & ~XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL)
        return -EINVAL;
    sc->pages = MIN(sc->pages, (uint64_t)LOG_PFNS);
    domain_pause_sync(d);
    if (!r->next)
        begin_report(d, sc);
    if (log && log->lost)
        rc = -ENOMEM;
    while (!rc && r->next * PFNS_PER_LEAF < sc->pages) {
        rc = report_part(log, r->next, sc);
        r->next++;
        if (!rc && r->next * PFNS_PER_LEAF < sc->pages && preempt_needed())
            rc = -ERESTART;
    }
    domain_unpause(d);
    if (rc != -ERESTART)
        r->next = 0;
    if (rc)
        sc->pages = asked;
    sc->stats.fault_count = r->fault_count;
    sc->stats.dirty_count = r->dirty_count;
    return rc;
}

static int domctl_shadow_op(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_shadow_op *sc = &op->u.shadow_op;

    if (d->state != DOMAIN_ALIVE)
        return 0;
    if (!d->vcpus[0])
        return -EINVAL;
    if (sc->op == XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION) {
        sc->mb = allocation_mib(d);
        return 0;
    }
    if (is_busy(d, sc->op))
        return -EBUSY;
    switch (sc->op) {
    case XEN_DOMCTL_SHADOW_OP_OFF:
        return disable(d);
    case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY:
        return enable(d);
    case XEN_DOMCTL_SHADOW_OP_ENABLE:
        return (sc->mode & XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY) ? enable(d) : -EINVAL;
    case XEN_DOMCTL_SHADOW_OP_CLEAN:
    case XEN_DOMCTL_SHADOW_OP_PEEK:
        return report(d, sc);
    case XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION:
        return set_allocation(d, sc);
    default:
        return -EINVAL;
    }
}
DOMCTL(shadow_op, DOMCTL_ANSWERS | DOMCTL_ANSWERS_ERRORS | DOMCTL_NOT_SELF);
