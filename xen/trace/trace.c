/* SPDX-License-Identifier: MIT */
/*
 * trace.c, a module: the ring trace: what crossed between the rings, when, and why.
 *
 * A guest's life is a chain of crossings: down into ring 0 by a gate, up again by an IRET. Each is
 * one record (records.h) in a ring buffer of the CPU, which the initial domain may map, or a
 * debugger read from outside. While the trace is off a crossing pays two instructions for it, a
 * comparison and a jump in entry.S; what is told of a crossing is found out here, from registers
 * before and after, so that the mechanisms themselves know nothing of it.
 *
 * Buffers, as the public format has it: offsets `cons` and `prod` run from 0 to twice the size of
 * the data, so that full and empty differ. A record never goes round the end: a TRC_TRACE_WRAP_BUFFER
 * fills the rest. A full buffer loses new records, and tells how many when there is room again.
 *
 *  TR1 Only its own CPU writes a buffer, with interrupts off.
 *  TR2 The consumer may write `cons`, so nothing it says is believed beyond where its own next
 *      record is: `prod` is kept here as well, and a bad `cons` ends the trace.
 *
 * Read next: ringlet/crossings.h and arch/i386/entry.S (the hooks).
 */
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/crossings.h>
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/sysctl.h>
#include <ringlet/traps.h>
#include <xen/trace.h>
#include "records.h"

#define WORD sizeof(uint32_t)
#define CROSSING_WORDS TRACE_EXTRA_MAX
#define RECORD_MAX ((3 + TRACE_EXTRA_MAX) * WORD)
#define LOST_WORDS 4
#define MAX_PAGES (1u << MAX_ORDER)
/* What the key uses where no size was given. */
#define DEFAULT_PAGES 64
#define KEY_SHOWS 16

/* Per-CPU. */
struct trace_cpu {
    struct t_buf *buf; /* `pages` pages; NULL: none yet */
    uint32_t prod;     /* TR2: buf->prod, unread by the consumer's mistakes */
    uint32_t lost;     /* records since the buffer was full */
    uint64_t lost_since;
    bool writing; /* a fault, or an NMI, that comes meanwhile is not recorded */
    /* Where the guest stood when ring 0 was entered, or went on in do_trap(); what came of it. */
    uint32_t eip, esp, outcome;
};
static struct trace_cpu trace_cpus[MAX_CPUS];

/* Changes to the next four, trace_root and crossing_hooks.on; crossings read them without it. */
static spinlock_t trace_lock = SPINLOCK_INIT(RANK_DOMCTL);
static uint32_t pages, data_size; /* of one buffer; 0 until there are buffers, then constant */
static uint32_t event_mask = TRC_ALL;
static uint32_t cpu_mask = ~0u;

/* Where a debugger finds everything: tools/trace reads it from the machine's memory by its symbol. */
struct trace_root {
    struct t_info *info;
    uint32_t info_size; /* bytes */
    uint32_t tsc_khz;
};
extern struct trace_root trace_root;
struct trace_root trace_root;

/* ---- The buffer ------------------------------------------------------------------------------ */

static uint8_t *data_of(const struct trace_cpu *t)
{
    return (uint8_t *)(t->buf + 1);
}

static uint32_t advance(uint32_t offset, uint32_t by)
{
    offset += by;
    return offset >= 2 * data_size ? offset - 2 * data_size : offset;
}

static uint32_t position(uint32_t offset)
{
    return offset >= data_size ? offset - data_size : offset;
}

/* Bytes not yet consumed; more than there can be if the consumer's offset is nonsense. */
static uint32_t bytes_used(const struct trace_cpu *t)
{
    uint32_t cons = __atomic_load_n(&t->buf->cons, __ATOMIC_ACQUIRE);

    if (cons % WORD || cons >= 2 * data_size)
        return ~0u;
    return t->prod >= cons ? t->prod - cons : t->prod + 2 * data_size - cons;
}

/* `words` starts with the record's own; the caller has seen that it fits, here and in whole. */
static void append(struct trace_cpu *t, const void *words, uint32_t size)
{
    memcpy(data_of(t) + position(t->prod), words, size);
    t->prod = advance(t->prod, size);
    /* The record before the offset that gives it away. */
    __atomic_store_n(&t->buf->prod, t->prod, __ATOMIC_RELEASE);
}

/* One record, behind what fills the end of the data if it would not fit there. */
static void put_record(struct trace_cpu *t, uint32_t event, uint64_t tsc, const uint32_t *extra,
                       uint32_t n)
{
    uint32_t record[3 + TRACE_EXTRA_MAX] = {event | n << TRACE_EXTRA_SHIFT}, words = 1;
    uint32_t left = data_size - position(t->prod);

    if (tsc) {
        record[0] |= TRC_HD_CYCLE_FLAG;
        record[1] = (uint32_t)tsc;
        record[2] = tsc >> 32;
        words = 3;
    }
    memcpy(record + words, extra, n * WORD);
    words += n;
    if (left < words * WORD) {
        uint32_t fill[3 + TRACE_EXTRA_MAX] = {TRC_TRACE_WRAP_BUFFER}, rest = left / WORD - 1;

        if (rest > TRACE_EXTRA_MAX) {
            fill[0] |= TRC_HD_CYCLE_FLAG;
            rest -= 2;
        }
        fill[0] |= rest << TRACE_EXTRA_SHIFT;
        append(t, fill, left);
    }
    append(t, record, words * WORD);
}

/* Does the mask ask for this event? Class and subclass must both be in it (xen/trace.h). */
static bool wanted(uint32_t event)
{
    uint32_t both = event_mask & event;

    return (both >> TRC_CLS_SHIFT) && ((both >> TRC_SUBCLS_SHIFT) & 0xf);
}

/* A record, or one more lost. `tsc` 0: without the time. */
static void write_record(struct trace_cpu *t, uint32_t event, uint64_t tsc, const uint32_t *extra,
                         uint32_t n)
{
    uint32_t used, lost[LOST_WORDS];

    if (!crossing_hooks.on || !wanted(event))
        return;
    used = bytes_used(t);
    if (unlikely(used > data_size)) {
        crossing_hooks.on = 0;
        log_message(LOG_WARNING, "trace: offset %x of CPU %u's buffer is none: off\n", t->buf->cons,
                    this_cpu->id);
        return;
    }
    /* The largest record, what fills the end before it, and the lost records' own. */
    if (data_size - used < 3 * RECORD_MAX) {
        if (!t->lost++)
            t->lost_since = tsc;
        return;
    }
    if (t->lost) {
        lost[0] = t->lost;
        lost[1] = current->domain->id | current->id << 16;
        lost[2] = (uint32_t)t->lost_since;
        lost[3] = t->lost_since >> 32;
        t->lost = 0;
        put_record(t, TRC_LOST_RECORDS, tsc, lost, LOST_WORDS);
    }
    put_record(t, event, tsc, extra, n);
}

/* ---- Crossings ------------------------------------------------------------------------------- */

/* This CPU's state, if it is to write now. */
static struct trace_cpu *begin_record(void)
{
    struct trace_cpu *t = &trace_cpus[this_cpu->id];

    if (!(cpu_mask & 1u << this_cpu->id) || t->writing)
        return NULL;
    t->writing = true;
    return t;
}

static uint32_t vcpu_word(const struct vcpu *v, const struct cpu_user_regs *regs)
{
    return v->domain->id | v->id << 16 | regs_ring(regs) << 24;
}

static void write_crossing(struct trace_cpu *t, uint32_t event, const struct cpu_user_regs *regs,
                           uint32_t cause, uint32_t last)
{
    bool same_ring = !regs_from_guest(regs);
    const uint32_t words[CROSSING_WORDS] = {
        vcpu_word(current, regs),
        cause,
        regs->eip,
        /* An exception in ring 0 pushes no ss:esp: its stack was where the frame ends. */
        (same_ring ? HYPERVISOR_DS : regs->ss) << 16 | regs->cs,
        regs->eflags,
        same_ring ? (uint32_t)&regs->esp : regs->esp,
        last,
    };

    write_record(t, event, rdtsc(), words, CROSSING_WORDS);
}

static void remember(struct trace_cpu *t, const struct cpu_user_regs *regs, uint32_t outcome)
{
    t->eip = regs->eip;
    t->esp = regs->esp;
    t->outcome = outcome;
}

/* What word 6 says of an exception. The guest's code may be gone meanwhile: then 0. */
static uint32_t detail_of(const struct cpu_user_regs *regs)
{
    uint32_t bytes = 0;

    switch (regs->entry_vector) {
    case TRAP_page_fault:
        return read_cr2();
    case TRAP_gp_fault:
    case TRAP_invalid_op:
        if (regs_from_guest(regs))
            get_guest_u32(&bytes, (const void *)regs->eip);
        return bytes;
    default:
        return 0;
    }
}

static asmlinkage void trace_hypercall(void)
{
    const struct cpu_user_regs *regs = guest_regs();
    uint32_t cause = HYPERCALL_VECTOR << 16 | (regs->eax & 0xffff), top = 0;
    const uint32_t args[] = {(regs->eax & ~TRC_PV_HYPERCALL_V2_ARG_MASK) |
                                 TRC_PV_HYPERCALL_V2_ARG_32(0) | TRC_PV_HYPERCALL_V2_ARG_32(1) |
                                 TRC_PV_HYPERCALL_V2_ARG_32(2) | TRC_PV_HYPERCALL_V2_ARG_32(3) |
                                 TRC_PV_HYPERCALL_V2_ARG_32(4),
                             regs->ebx,
                             regs->ecx,
                             regs->edx,
                             regs->esi,
                             regs->edi};
    struct trace_cpu *t = begin_record();

    if (!t)
        return;
    get_guest_u32(&top, (const void *)regs->esp);
    remember(t, regs, regs->eax == __HYPERVISOR_iret ? TRACE_IRET : 0);
    write_crossing(t, TRC_RINGS_ENTER, regs, cause, top);
    write_record(t, TRC_PV_HYPERCALL_V2, 0, args, ARRAY_SIZE(args));
    t->writing = false;
}

static bool at_handler(const struct cpu_user_regs *regs, unsigned vector)
{
    const struct trap_info *handler = &current->traps[vector];

    return handler->address && regs->eip == handler->address && regs->cs == handler->cs;
}

/*
 * What do_trap() did, from where the guest is to go on. `regs` are the guest's, after; the first
 * guess at the handler is the vector it came by, or that which INT n named.
 */
static uint32_t trap_outcome(const struct trace_cpu *t, const struct cpu_user_regs *regs,
                             unsigned vector, unsigned error)
{
    if (regs->eip == t->eip && regs->esp == t->esp)
        return TRACE_AGAIN;
    if (vector == TRAP_gp_fault && (error & 2))
        vector = error >> 3 & 0xff;
    if (vector <= 0xff && at_handler(regs, vector))
        return TRACE_BOUNCED | vector;
    for (vector = 0; vector < 32; vector++)
        if (at_handler(regs, vector))
            return TRACE_BOUNCED | vector;
    return TRACE_BEHIND;
}

/* A record before do_trap() and, in ring 0, whose way out is its own, one behind. */
static asmlinkage void trace_trap(struct cpu_user_regs *regs)
{
    unsigned vector = regs->entry_vector, error = regs->error_code;
    bool from_guest = regs_from_guest(regs);
    uint32_t eip = regs->eip;
    struct trace_cpu *t = begin_record();

    if (t) {
        uint32_t detail = detail_of(regs);

        if (from_guest)
            remember(t, regs, 0);
        write_crossing(t, TRC_RINGS_ENTER, regs, vector << 16 | error, detail);
        t->writing = false;
    }
    do_trap(regs);
    if (!(t = begin_record()))
        return;
    if (from_guest)
        remember(t, regs, trap_outcome(t, regs, vector, error));
    else
        write_crossing(t, TRC_RINGS_LEAVE, regs, regs->eip == eip ? TRACE_AGAIN : TRACE_FIXUP,
                       regs->eax);
    t->writing = false;
}

/* A callback entered since `t` last looked has moved eip there, and pushed a frame. */
static uint32_t leave_outcome(const struct trace_cpu *t, const struct vcpu *v,
                              const struct cpu_user_regs *regs)
{
    if (regs->eip != t->eip || regs->esp != t->esp) {
        if (regs->eip == v->event_eip && regs->cs == v->event_cs)
            return t->outcome | TRACE_UPCALL;
        if (regs->eip == v->failsafe_eip && regs->cs == v->failsafe_cs)
            return t->outcome | TRACE_FAILSAFE;
    }
    return t->outcome;
}

static asmlinkage void trace_leave(void)
{
    const struct cpu_user_regs *regs = guest_regs();
    struct trace_cpu *t = begin_record();

    if (!t)
        return;
    write_crossing(t, TRC_RINGS_LEAVE, regs, leave_outcome(t, current, regs), regs->eax);
    remember(t, regs, 0);
    t->writing = false;
}

static void trace_switch(const struct vcpu *from, const struct vcpu *to)
{
    struct trace_cpu *t = begin_record();

    if (!t)
        return;
    write_crossing(t, TRC_RINGS_SWITCH, guest_regs(), leave_outcome(t, from, guest_regs()),
                   vcpu_word(to, &to->regs));
    remember(t, &to->regs, 0);
    t->writing = false;
}

/* ---- Control --------------------------------------------------------------------------------- */

/* `n` pages in a row, no more: what the order has too many goes back. */
static void *alloc_pages(uint32_t n)
{
    unsigned order = n > 1 ? 32 - __builtin_clz(n - 1) : 0;
    uint8_t *p = heap_alloc_pages(order);

    if (p)
        for (uint32_t i = n; i < 1u << order; i++)
            heap_free_pages(p + i * PAGE_SIZE, 0);
    return p;
}

static void free_pages(void *p, uint32_t n)
{
    for (uint32_t i = 0; p && i < n; i++)
        heap_free_pages((uint8_t *)p + i * PAGE_SIZE, 0);
}

/* The initial domain may map these, as frames of its own. */
static void share_pages(void *p, uint32_t n, bool writable)
{
    for (uint32_t i = 0; i < n; i++)
        share_heap_page(initial_domain, (uint8_t *)p + i * PAGE_SIZE, writable);
}

/* The head of t_info: for each CPU, at which word of it the list of its buffer's frames stands. */
static void describe_buffers(struct t_info *info, uint32_t n)
{
    uint32_t word = DIV_ROUND_UP(sizeof(*info) + nr_cpus * sizeof(uint16_t), WORD);

    info->tbuf_size = (uint16_t)n;
    for (unsigned cpu = 0; cpu < nr_cpus; cpu++, word += n) {
        info->mfn_offset[cpu] = (uint16_t)word;
        for (uint32_t i = 0; i < n; i++)
            ((uint32_t *)info)[word + i] = direct_mfn(trace_cpus[cpu].buf) + i;
    }
}

/*
 * A buffer of n pages for each CPU. Once there are buffers they stay: -EINVAL for another size;
 * -ENOMEM.
 */
static int set_size(uint32_t n)
{
    uint32_t info_pages = DIV_ROUND_UP((1 + nr_cpus * (n + 1)) * WORD, PAGE_SIZE);
    struct t_info *info;
    unsigned cpu = 0;

    if (!n || n > MAX_PAGES || pages)
        return n && n == pages ? 0 : -EINVAL;
    info = alloc_pages(info_pages);
    while (info && cpu < nr_cpus && (trace_cpus[cpu].buf = alloc_pages(n)))
        cpu++;
    if (!info || cpu < nr_cpus) {
        while (cpu--)
            free_pages(trace_cpus[cpu].buf, n);
        free_pages(info, info_pages);
        return -ENOMEM;
    }
    describe_buffers(info, n);
    share_pages(info, info_pages, false);
    for (cpu = 0; cpu < nr_cpus; cpu++)
        share_pages(trace_cpus[cpu].buf, n, true);
    trace_root = (struct trace_root){info, info_pages * PAGE_SIZE, (uint32_t)tsc_khz()};
    pages = n;
    data_size = n * PAGE_SIZE - sizeof(struct t_buf);
    return 0;
}

static int set_cpu_mask(const struct xenctl_bitmap *map)
{
    uint32_t mask = 0, bytes = MIN(DIV_ROUND_UP(map->nr_bits, 8), sizeof(mask));

    if (copy_from_guest(&mask, map->bitmap.p, bytes))
        return -EFAULT;
    if (map->nr_bits < 32)
        mask &= (1u << map->nr_bits) - 1;
    cpu_mask = mask;
    return 0;
}

/*
 * XEN_SYSCTL_tbuf_op (xen/sysctl.h), for a privileged caller.
 *
 *  1. get_info: the frame where t_info begins, its size in bytes (0: no buffers yet), the mask.
 *  2. set_size takes pages of one buffer, once; -EINVAL for none, too many, or another size later.
 *  3. enable without buffers: -EINVAL. An unknown command: -EINVAL.
 */
static int control(struct xen_sysctl_tbuf_op *op)
{
    switch (op->cmd) {
    case XEN_SYSCTL_TBUFOP_get_info:
        op->evt_mask = event_mask;
        op->buffer_mfn = pages ? direct_mfn(trace_root.info) : 0;
        op->size = trace_root.info_size;
        return 0;
    case XEN_SYSCTL_TBUFOP_set_cpu_mask:
        return set_cpu_mask(&op->cpu_mask);
    case XEN_SYSCTL_TBUFOP_set_evt_mask:
        event_mask = op->evt_mask;
        return 0;
    case XEN_SYSCTL_TBUFOP_set_size:
        return set_size(op->size);
    case XEN_SYSCTL_TBUFOP_enable:
        crossing_hooks.on = pages != 0;
        return pages ? 0 : -EINVAL;
    case XEN_SYSCTL_TBUFOP_disable:
        crossing_hooks.on = 0;
        return 0;
    default:
        return -EINVAL;
    }
}

static int sysctl_tbuf_op(struct xen_sysctl *op)
{
    int rc;

    spin_lock(&trace_lock);
    rc = control(&op->u.tbuf_op);
    spin_unlock(&trace_lock);
    return rc;
}
SYSCTL(tbuf_op);

/* ---- The console's key ----------------------------------------------------------------------- */

static uint32_t record_size(uint32_t header)
{
    return (1 + (TRC_HD_INCLUDES_CYCLE_COUNT(header) ? 2 : 0) + TRC_HD_EXTRA(header)) * WORD;
}

static void print_record(const uint32_t *r)
{
    static const char *const names[] = {"enter", "leave", "switch"};
    uint32_t event = TRC_HD_TO_EVENT(r[0]);

    if (event < TRC_RINGS_ENTER || event > TRC_RINGS_SWITCH)
        return;
    printk("%llu %s d%uv%u ring %u, %x, %04x:%08x, %08x\n", (uint64_t)r[2] << 32 | r[1],
           names[event - TRC_RINGS_ENTER], r[3] & 0xffff, r[3] >> 16 & 0xff, r[3] >> 24, r[4],
           r[6] & 0xffff, r[5], r[9]);
}

/*
 * The newest records of a buffer. They have no way back, so go through all of them. The consumer may
 * have moved `cons` to where no record begins: nothing outside the data is read all the same.
 */
static void print_newest(const struct trace_cpu *t)
{
    uint32_t start[KEY_SHOWS], n = 0, used = bytes_used(t), at;

    if (used > data_size)
        return;
    at = advance(t->prod, 2 * data_size - used); /* `cons`, as it was when it was checked */
    while (used) {
        uint32_t size = record_size(*(uint32_t *)(data_of(t) + position(at)));

        if (position(at) + RECORD_MAX <= data_size) /* as long as any record */
            start[n++ % KEY_SHOWS] = position(at);
        at = advance(at, size);
        used = size < used ? used - size : 0;
    }
    for (uint32_t i = n > KEY_SHOWS ? n - KEY_SHOWS : 0; i < n; i++)
        print_record((const uint32_t *)(data_of(t) + start[i % KEY_SHOWS]));
}

static void start(void)
{
    if (!pages && set_size(DEFAULT_PAGES)) {
        printk("trace: no memory for buffers\n");
        return;
    }
    for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
        trace_cpus[cpu].buf->cons = trace_cpus[cpu].prod;
        trace_cpus[cpu].lost = 0;
    }
    crossing_hooks.on = 1;
    printk("trace on: %u pages a CPU\n", pages);
}

static void stop(void)
{
    crossing_hooks.on = 0;
    for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
        printk("trace off: CPU %u has %u bytes, lost %u records\n", cpu,
               bytes_used(&trace_cpus[cpu]), trace_cpus[cpu].lost);
        print_newest(&trace_cpus[cpu]);
    }
}

/* On, with empty buffers; off, with what they hold. */
static void toggle(void)
{
    spin_lock(&trace_lock);
    if (crossing_hooks.on)
        stop();
    else
        start();
    spin_unlock(&trace_lock);
}
KEY('T', toggle, "ring trace on; off, and its newest records");

/*
 * Boot, when the initial domain exists: tbuf_size= gives buffers, and tevt_mask= besides starts the
 * trace, as in Xen.
 */
static void __init start_at_boot(void)
{
    if (!options.tbuf_size)
        return;
    if (set_size(options.tbuf_size)) {
        printk("trace: no buffers of %u pages\n", options.tbuf_size);
        return;
    }
    if (options.tevt_mask) {
        event_mask = options.tevt_mask;
        crossing_hooks.on = 1;
    }
    printk("trace: %s, %u pages a CPU\n", crossing_hooks.on ? "on" : "off", pages);
}
BOOT_STEP(BOOT_INITIAL_DOMAIN, start_at_boot);

static void __init trace_init(void)
{
    crossing_hooks.hypercall = trace_hypercall;
    crossing_hooks.trap = trace_trap;
    crossing_hooks.leave = trace_leave;
    crossing_hooks.switched = trace_switch;
}
BOOT_STEP(BOOT_SERVICES, trace_init);
