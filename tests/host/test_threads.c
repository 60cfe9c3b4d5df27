/* SPDX-License-Identifier: MIT */
/*
 * test_threads.c: the scheduler, timers and event channels on several CPUs at once, each a thread,
 * under ThreadSanitizer.
 *
 * Six vcpus of two domains, one with the 2-level ABI and one with FIFO, send events to one another,
 * mask, unmask, poll, block, yield and set timers at random; one of them is also the controller,
 * which pauses, pins and weighs the others. Whichever CPU runs a vcpu executes the next steps of
 * its guest.
 *
 * What must hold
 *  - no event is lost: in the end every receiver has seen the last of each sender;
 *  - a vcpu is run by one CPU at a time, and what one CPU wrote for it the next one sees: a guest's
 *    own state here, and its registers, are plain memory, so ThreadSanitizer reports anything else;
 *  - nothing else is touched without a lock, an atomic operation or, said so deliberately, as
 *    volatile.
 *
 * units: xen/sched.c xen/vcpu_time.c xen/sched_op.c xen/timer.c evtchn/two_level.c evtchn/fifo/fifo.c
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1 -fno-sanitize=all -fsanitize=thread
 * flags: -fno-pie -no-pie -D_GNU_SOURCE --param tsan-distinguish-volatile=1 -pthread
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../evtchn/fifo/fifo.h"
#include <ringlet/bitops.h>
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/ports.h>
#include <ringlet/sched.h>
#include <xen/sched.h>

enum { CPUS = 3, DOMAINS = 2, VCPUS = 3, GUESTS = DOMAINS * VCPUS, SENDS = 20000 };
enum {
    PORTS = 8,
    TIMER_PORT = PORTS - 1
}; /* of each vcpu; port s + 1 is for events from guest s */

struct cpu cpus[MAX_CPUS];
unsigned nr_cpus = CPUS;
_Thread_local struct cpu *host_cpu;
_Thread_local struct vcpu *host_vcpu;
struct domain *domain_list;

/* What a guest keeps; touched by the CPU that runs it only. */
struct guest {
    struct vcpu *v;
    uint32_t seed;
    unsigned sends_left;
    uint32_t seen[GUESTS];
    event_word_t fifo_head[EVTCHN_FIFO_MAX_QUEUES];
    evtchn_port_t polled[PORTS - 1]; /* not on the stack, which lies beyond what guests may name */
};

static struct domain domains[DOMAINS], idle_domain_of_test;
static struct vcpu vcpus[DOMAINS][VCPUS], idles[CPUS];
static struct vcpu_info idle_info;
static struct shared_info shared[DOMAINS];
static struct guest guests[GUESTS];
static uint32_t sent[GUESTS][GUESTS]; /* [to][from], atomic */
static unsigned working;              /* guests that have something left to send, atomic */
static bool finished;                 /* atomic */
static uint8_t pages[8][PAGE_SIZE] __aligned(PAGE_SIZE);
static struct evtchn ports[DOMAINS][EVTCHN_BUCKET], *buckets[DOMAINS][1];
static struct frame frames[8];
struct frame *frame_table = frames;
uint32_t max_frame = 8;

static void (*handlers[NR_SOFTIRQS])(void);
static _Thread_local jmp_buf back_to_cpu;
static _Thread_local unsigned locks;

/* ---- the world: volatile accesses are deliberate --------------------------------------------- */

#define MARKED(size)                           \
    void __tsan_volatile_read##size(void *p);  \
    void __tsan_volatile_write##size(void *p); \
    void __tsan_volatile_read##size(void *p)   \
    {                                          \
        (void)p;                               \
    }                                          \
    void __tsan_volatile_write##size(void *p)  \
    {                                          \
        (void)p;                               \
    }
MARKED(1)
MARKED(2)
MARKED(4)
MARKED(8)

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "halt_on_error=1";
}

void bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

void softirq_register(enum softirq nr, void (*handler)(void))
{
    handlers[nr] = handler;
}

void timerdev_program(uint64_t deadline)
{
    host_cpu->timer_deadline = deadline;
}

/* CPUs look at their softirqs after every step. */
void send_ipi(const struct cpu *c)
{
    (void)c;
}

void tlb_serve_request(void)
{
}

void spin_wait(spinlock_t *l)
{
    do {
        while (l->held)
            sched_yield();
    } while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE));
}

void spin_lock_check(spinlock_t *l)
{
    BUG_ON(!l->rank || locks >> l->rank);
    locks |= 1u << l->rank;
}

void spin_unlock_check(spinlock_t *l)
{
    locks &= ~(1u << l->rank);
}

void printk(const char *fmt, ...)
{
    (void)fmt;
}

uint32_t copy_from_guest(void *dst, const void *guest, uint32_t n)
{
    memcpy(dst, guest, n);
    return 0;
}

uint32_t copy_to_guest(void *guest, const void *src, uint32_t n)
{
    memcpy(guest, src, n);
    return 0;
}

struct domain *find_domain(domid_t id)
{
    return &domains[id];
}

void put_domain(struct domain *d)
{
    (void)d;
}

void domain_shutdown(struct domain *d, unsigned reason)
{
    (void)d;
    (void)reason;
    BUG_ON(true);
}

void update_vcpu_time(struct vcpu *v)
{
    (void)v;
}

void *map_frame(mfn_t mfn)
{
    return pages[mfn];
}

void unmap_frame(const void *va)
{
    (void)va;
}

int get_frame_and_type(struct frame *f, struct domain *d, uint32_t type)
{
    (void)f;
    (void)d;
    (void)type;
    return 0;
}

/* Nobody gathers the CPUs here. */
void gather_here(void)
{
}

uint32_t watched_domains;

void note_written(mfn_t mfn)
{
    (void)mfn;
    abort(); /* while nobody is logged */
}

void put_frame_and_type(struct frame *f)
{
    (void)f;
}

void *xzalloc_for_domain(struct domain *d, size_t size)
{
    (void)d;
    return calloc(1, size);
}

void xfree_for_domain(struct domain *d, void *p)
{
    (void)d;
    free(p);
}

int evtchn_port_poll(struct domain *d, evtchn_port_t port)
{
    return port < d->evtchn.valid_ports ? d->evtchn.abi->is_pending(d, port) : -EINVAL;
}

static evtchn_port_t port_of(const struct vcpu *v, unsigned n)
{
    return v->id * 32 + n;
}

static void set_pending(struct vcpu *v, unsigned n)
{
    evtchn_port_t port = port_of(v, n);

    evtchn_set_pending(v->domain, evtchn_at(v->domain, port), port);
}

void send_guest_virq(struct vcpu *v, unsigned virq)
{
    (void)virq;
    set_pending(v, TIMER_PORT);
}

/* ---- a guest's steps ------------------------------------------------------------------------- */

static unsigned below(struct guest *g, unsigned n)
{
    g->seed = g->seed * 1664525 + 1013904223;
    return (uint64_t)g->seed * n >> 32;
}

/* The port's PENDING has been cleared just now. */
static void see(struct guest *g, evtchn_port_t port)
{
    unsigned from = port % 32 - 1;

    if (from < GUESTS)
        g->seen[from] = __atomic_load_n(&sent[g - guests][from], __ATOMIC_SEQ_CST);
}

static void serve_two_level(struct guest *g, struct vcpu_info *info)
{
    struct shared_info *s = g->v->domain->shared_info;
    xen_ulong_t words = __atomic_exchange_n(&info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);

    for (unsigned port = port_of(g->v, 0); words && port < port_of(g->v, PORTS); port++)
        if (test_bit(port, s->evtchn_pending) && !test_bit(port, s->evtchn_mask) &&
            test_and_clear_bit(port, s->evtchn_pending))
            see(g, port);
}

static struct evtchn_fifo_control_block *control_block(const struct vcpu *v)
{
    return (void *)pages[1 + v->id];
}

static event_word_t *event_word(evtchn_port_t port)
{
    return (event_word_t *)pages[5] + port;
}

/* Take `port` off its queue: clear LINKED and LINK at once. What follows it; 0: nothing. */
static evtchn_port_t unlink_port(evtchn_port_t port)
{
    event_word_t *word = event_word(port), old = *(volatile event_word_t *)word, new;

    do
        new = old & ~(1u << EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK);
    while (
        !__atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return old & EVTCHN_FIFO_LINK_MASK;
}

/* One event off queue `q`; see the comment of struct evtchn_fifo_control_block. */
static void consume(struct guest *g, struct evtchn_fifo_control_block *c, unsigned q)
{
    evtchn_port_t port = g->fifo_head[q];

    if (!port)
        port = __atomic_load_n(&c->head[q], __ATOMIC_SEQ_CST);
    g->fifo_head[q] = unlink_port(port);
    if (test_bit(EVTCHN_FIFO_PENDING, event_word(port)) &&
        !test_bit(EVTCHN_FIFO_MASKED, event_word(port)) &&
        test_and_clear_bit(EVTCHN_FIFO_PENDING, event_word(port)))
        see(g, port);
}

static void serve_fifo(struct guest *g)
{
    struct evtchn_fifo_control_block *c = control_block(g->v);
    uint32_t ready = __atomic_exchange_n(&c->ready, 0, __ATOMIC_SEQ_CST);

    while (ready) {
        unsigned q = __builtin_ctz(ready);

        consume(g, c, q);
        if (!g->fifo_head[q])
            ready &= ~(1u << q);
        ready |= __atomic_exchange_n(&c->ready, 0, __ATOMIC_SEQ_CST);
    }
}

/* The upcall. */
static void serve(struct guest *g)
{
    struct vcpu_info *info = g->v->info;

    *(volatile uint8_t *)&info->evtchn_upcall_mask = 1;
    while (__atomic_exchange_n(&info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST)) {
        if (g->v->domain->evtchn.fifo)
            serve_fifo(g);
        else
            serve_two_level(g, info);
    }
    *(volatile uint8_t *)&info->evtchn_upcall_mask = 0;
}

static bool has_upcall(const struct guest *g)
{
    return *(volatile uint8_t *)&g->v->info->evtchn_upcall_pending;
}

static void send_some(struct guest *g)
{
    unsigned me = g - guests, to = below(g, GUESTS);

    if (!g->sends_left)
        return;
    __atomic_fetch_add(&sent[to][me], 1, __ATOMIC_SEQ_CST);
    set_pending(guests[to].v, me + 1);
    if (--g->sends_left == 0)
        __atomic_fetch_sub(&working, 1, __ATOMIC_SEQ_CST);
}

static void mask_and_unmask(struct guest *g)
{
    struct domain *d = g->v->domain;
    evtchn_port_t port = port_of(g->v, 1 + below(g, GUESTS));

    if (d->evtchn.fifo) {
        test_and_set_bit(EVTCHN_FIFO_MASKED, event_word(port));
        sched_yield();
        d->evtchn.abi->unmask(d, port);
    } else {
        test_and_set_bit(port, d->shared_info->evtchn_mask);
        sched_yield();
        d->evtchn.abi->unmask(d, port);
    }
}

/* Poll one port for a while, or all for ever, without upcalls. */
static void poll(struct guest *g)
{
    struct sched_poll op = {.nr_ports = PORTS - 1};

    for (unsigned i = 0; i < PORTS - 1; i++)
        g->polled[i] = port_of(g->v, i + 1);
    op.ports.p = g->polled;
    if (below(g, 2)) {
        op.nr_ports = 1;
        op.timeout = now_ns() + MICROSECS(200);
    }
    *(volatile uint8_t *)&g->v->info->evtchn_upcall_mask = 1;
    BUG_ON(do_sched_op(SCHEDOP_poll, &op));
}

static void block(struct guest *g)
{
    *(volatile uint8_t *)&g->v->info->evtchn_upcall_mask = 1;
    if (has_upcall(g))
        serve(g);
    else
        do_sched_op(SCHEDOP_block, NULL);
}

/* What the control domain does to another vcpu; one domctl at a time. */
static void control(struct guest *g)
{
    struct guest *other = &guests[1 + below(g, GUESTS - 1)];

    switch (below(g, 3)) {
    case 0:
        vcpu_pause_sync(other->v);
        other->v->regs.ebx++; /* as DOMCTL_setvcpucontext */
        vcpu_unpause(other->v);
        break;
    case 1:
        BUG_ON(vcpu_set_affinity(other->v, 1 + below(g, (1u << CPUS) - 1)));
        break;
    default:
        sched_set_share(other->v->domain, 100 + below(g, 400), below(g, 3) * 100);
    }
}

/* Who has something to send yet does not wait for events alone: nobody might send any. */
static void guest_step(struct guest *g)
{
    BUG_ON(g->v != current);
    if (has_upcall(g)) {
        serve(g);
        return;
    }
    if (g->sends_left)
        timer_set(&g->v->singleshot_timer, now_ns() + below(g, MICROSECS(300)));
    switch (below(g, 12)) {
    case 0:
        block(g);
        break;
    case 1:
        poll(g);
        break;
    case 2:
        mask_and_unmask(g);
        break;
    case 3:
        do_sched_op(SCHEDOP_yield, NULL);
        break;
    case 4:
        if (g == guests)
            control(g);
        break;
    default:
        if (g->sends_left)
            send_some(g);
        else
            block(g);
    }
}

/* ---- the CPUs -------------------------------------------------------------------------------- */

/* The registers of a vcpu go where the next CPU finds them. */
void context_switch(struct vcpu *from, struct vcpu *to)
{
    BUG_ON(from != host_vcpu || locks);
    from->regs.eax++;
    sched_context_saved(from);
    host_vcpu = to;
    to->regs.eax++;
    vcpu_switched_in(to);
    longjmp(back_to_cpu, 1);
}

static void run_softirqs(void)
{
    uint32_t pending;

    setjmp(back_to_cpu);
    while ((pending = *(volatile uint32_t *)&host_cpu->softirq_pending)) {
        unsigned nr = __builtin_ctz(pending);

        __atomic_fetch_and(&host_cpu->softirq_pending, ~(1u << nr), __ATOMIC_SEQ_CST);
        handlers[nr]();
    }
    BUG_ON(locks);
}

static void *cpu_thread(void *c)
{
    host_cpu = c;
    host_vcpu = host_cpu->idle;
    while (!__atomic_load_n(&finished, __ATOMIC_SEQ_CST)) {
        if (host_cpu->timer_deadline <= now_ns()) {
            host_cpu->timer_deadline = ~0ull;
            raise_softirq(SOFTIRQ_TIMER);
        }
        run_softirqs();
        if (host_vcpu == host_cpu->idle)
            sched_yield();
        else
            guest_step(&guests[host_vcpu->domain->id * VCPUS + host_vcpu->id]);
    }
    return NULL;
}

static void make_cpu(unsigned i)
{
    cpus[i].id = i;
    cpus[i].idle = &idles[i];
    idles[i].domain = &idle_domain_of_test;
    idles[i].info = &idle_info;
    host_cpu = &cpus[i];
    sched_init_vcpu(&idles[i]);
    timers_init_cpu(&cpus[i]);
    sched_init_cpu(&cpus[i]);
}

static void make_vcpu(struct domain *d, unsigned i)
{
    struct vcpu *v = &vcpus[d->id][i];
    struct guest *g = &guests[d->id * VCPUS + i];

    d->vcpus[i] = v;
    v->domain = d;
    v->id = i;
    v->info = &d->shared_info->vcpu_info[i];
    v->wait = WAIT_DOWN;
    sched_init_vcpu(v);
    v->periodic_period = MICROSECS(700);
    *g = (struct guest){.v = v, .seed = g - guests + 1, .sends_left = SENDS};
    for (unsigned n = 0; n < PORTS; n++)
        ports[d->id][port_of(v, n)].vcpu = ports[d->id][port_of(v, n)].last_vcpu = i;
}

static void make_domain(unsigned id)
{
    struct domain *d = &domains[id];

    d->id = id;
    d->max_vcpus = VCPUS;
    d->shared_info = &shared[id];
    d->evtchn.abi = &two_level_abi;
    d->evtchn.buckets = buckets[id];
    d->evtchn.valid_ports = EVTCHN_BUCKET;
    buckets[id][0] = ports[id];
    spin_lock_init(&d->fifo_lock, RANK_FIFO);
    sched_init_domain(d);
    for (unsigned i = 0; i < VCPUS; i++)
        make_vcpu(d, i);
}

static void make_machine(void)
{
    for (unsigned i = 0; i < CPUS; i++)
        make_cpu(i);
    host_cpu = &cpus[0];
    host_vcpu = &idles[0];
    for (unsigned i = 0; i < DOMAINS; i++)
        make_domain(i);
    for (unsigned i = 0; i < VCPUS; i++)
        BUG_ON(fifo_init_control(&domains[1], &vcpus[1][i], 1 + i, 0));
    BUG_ON(fifo_expand_array(&domains[1], 5));
    working = GUESTS;
    for (unsigned i = 0; i < GUESTS; i++) {
        guests[i].v->wait = 0;
        vcpu_wake(guests[i].v);
    }
}

/* Everything has been sent; give the receivers time, then stop the CPUs. */
static void wait_for_the_end(void)
{
    uint64_t last = now_ns() + 120 * NS_PER_SEC;

    while (__atomic_load_n(&working, __ATOMIC_SEQ_CST)) {
        if (now_ns() > last)
            bug(__FILE__, __LINE__, "the guests have come to a halt");
        usleep(1000);
    }
    usleep(500000);
    __atomic_store_n(&finished, true, __ATOMIC_SEQ_CST);
}

static void no_event_is_lost(void **state)
{
    pthread_t threads[CPUS];

    (void)state;
    make_machine();
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, cpu_thread, &cpus[i]), 0);
    wait_for_the_end();
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned to = 0; to < GUESTS; to++)
        for (unsigned from = 0; from < GUESTS; from++)
            assert_int_equal(guests[to].seen[from], sent[to][from]);
}

/* ---- the event array grows while others send ------------------------------------------------- */

enum { GROWTHS = 5000, EARLY_PORT = 5 };
static struct domain growing;
static struct vcpu grower;
static bool has_grown; /* atomic */
static pthread_barrier_t round_begins, round_ends;

/* Another domain, whose sends write to the port's state at any time with fifo_lock alone. */
static void *sender_thread(void *c)
{
    host_cpu = c;
    host_vcpu = host_cpu->idle;
    for (unsigned round = 0; round < GROWTHS; round++) {
        pthread_barrier_wait(&round_begins);
        while (!__atomic_load_n(&has_grown, __ATOMIC_RELAXED)) {
            growing.evtchn.abi->set_pending(&growing, EARLY_PORT);
            growing.evtchn.abi->clear_pending(&growing, EARLY_PORT);
        }
        pthread_barrier_wait(&round_ends);
    }
    return NULL;
}

static void make_growing_domain(void)
{
    static struct evtchn *bucket;

    bucket = calloc(EVTCHN_BUCKET, sizeof(*bucket));
    growing.max_vcpus = 1;
    growing.vcpus[0] = &grower;
    growing.shared_info = &shared[0];
    growing.evtchn.abi = &two_level_abi;
    growing.evtchn.buckets = &bucket;
    growing.evtchn.valid_ports = EVTCHN_BUCKET;
    spin_lock_init(&growing.fifo_lock, RANK_FIFO);
    grower.domain = &growing;
    grower.info = &idle_info;
    idle_info.evtchn_upcall_pending = 1; /* nobody is to be woken */
}

/* Growing the array and sending write the same byte of struct evtchn at the same time. */
static void an_array_grows_while_others_send(void **state)
{
    pthread_t sender;

    (void)state;
    make_growing_domain();
    pthread_barrier_init(&round_begins, NULL, 2);
    pthread_barrier_init(&round_ends, NULL, 2);
    host_cpu = &cpus[0];
    host_vcpu = &idles[0];
    assert_int_equal(pthread_create(&sender, NULL, sender_thread, &cpus[1]), 0);
    for (unsigned round = 0; round < GROWTHS; round++) {
        memset(pages[6], 0, PAGE_SIZE);
        assert_int_equal(fifo_init_control(&growing, &grower, 7, 0), 0);
        __atomic_store_n(&has_grown, false, __ATOMIC_SEQ_CST);
        pthread_barrier_wait(&round_begins);
        assert_int_equal(fifo_expand_array(&growing, 6), 0);
        __atomic_store_n(&has_grown, true, __ATOMIC_RELAXED);
        pthread_barrier_wait(&round_ends);
        growing.evtchn.abi->leave(&growing);
    }
    assert_int_equal(pthread_join(sender, NULL), 0);
    free(growing.evtchn.buckets[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_event_is_lost),
                                       cmocka_unit_test(an_array_grows_while_others_send)};

    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
