/* SPDX-License-Identifier: MIT */
/*
 * time.c: what time is it? System time is nanoseconds since boot, the same for the hypervisor and
 * every guest; the wall clock is the date at which it began.
 *
 * A guest computes system time itself, from the TSC and four numbers in its vcpu_time_info
 * (xen/xen.h): the TSC at some moment, the system time of that moment, and the factor between TSC
 * ticks and nanoseconds, a fraction mul * 2^shift / 2^32.
 *
 * That moment, the base, has to move: some guests keep the time since it in 32 bits, and it would
 * overflow after 4.29 s. But two bases must not round differently, or time could step back by a
 * nanosecond from one to the next. So a base is always a multiple of 2^30 scaled ticks (about half
 * a second to one second) from the boot, and mul a multiple of 4: its system time is then a whole
 * number of nanoseconds, and every later reading is the same from this base as from any other. The
 * factor is good to one part in 2^29.
 *
 * Where the TSCs of two CPUs differ, each CPU takes the difference off first: system time is counted
 * in the boot CPU's ticks everywhere, and a vcpu's base is in the ticks of the CPU that runs it.
 *
 * A guest may read while we write, on another CPU. So the numbers are guarded by a version: odd
 * while they are being written, another even number afterwards. A reader tries again when it saw an
 * odd version, or two different ones.
 *
 * Read next: arch/i386/timerdev.c (measuring the TSC), xen/timer.c.
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/time.h>

/* One base to the next, in scaled ticks: the TSC shifted by tsc_shift. */
#define BASE_SHIFT 30

/* Boot constants. ns = ((tsc - tsc_start) << tsc_shift) * tsc_mul >> 32 */
static uint64_t tsc_hz, tsc_start;
static uint32_t tsc_mul;
static int8_t tsc_shift;

/* Unix time at system time 0, ns. Read and written as one, by atomic operations. */
static uint64_t wall_start;

#define barrier() __asm__ volatile("" ::: "memory")

static inline uint64_t scale(uint64_t tsc)
{
    uint64_t delta = tsc - tsc_start;

    return tsc_shift >= 0 ? delta << tsc_shift : delta >> -tsc_shift;
}

/* The product has 96 bits; its upper 64 are the result, exactly as guests compute it. */
uint64_t tsc_to_ns(uint64_t tsc)
{
    uint64_t scaled = scale(tsc);

    return (scaled >> 32) * tsc_mul + (((scaled & 0xffffffff) * tsc_mul) >> 32);
}

uint64_t now_ns(void)
{
    return tsc_to_ns(rdtsc() - this_cpu->tsc_offset);
}

uint64_t tsc_khz(void)
{
    return tsc_hz / 1000;
}

/* Choose the shift that leaves the multiplier's top bit set: all its 32 bits count then. */
static void set_tsc_frequency(uint64_t hz)
{
    uint64_t scaled = hz;

    tsc_hz = hz;
    tsc_shift = 0;
    while (scaled > 2 * NS_PER_SEC) {
        scaled >>= 1;
        tsc_shift--;
    }
    while (scaled <= NS_PER_SEC) {
        scaled <<= 1;
        tsc_shift++;
    }
    tsc_mul = ((NS_PER_SEC << 32) / scaled) & ~3u;
}

/* Seconds since 1970 by the machine's clock; 0 where no module reads one. */
static uint64_t read_wall_clock(void)
{
    const struct wall_clock *clock;

    for_each_record(wall_clock, clock)
    {
        return clock->seconds();
    }
    return 0;
}

void time_init(void)
{
    set_tsc_frequency(timerdev_calibrate_tsc());
    tsc_start = rdtsc();
    wall_start = read_wall_clock() * NS_PER_SEC - now_ns();
    log_message(LOG_INFO, "TSC: %u kHz\n", (uint32_t)tsc_khz());
}

/* ---- The TSCs of several CPUs --------------------------------------------------------------- */

#define SYNC_ROUNDS 16

/* One CPU starts at a time, so there is one conversation: `asked` counts up, `answered` follows. */
static volatile struct {
    unsigned asked, answered;
    uint64_t tsc; /* the boot CPU's, of when it answered */
} sync;

void tsc_sync_serve(void)
{
    unsigned asked = sync.asked;

    if (asked != sync.answered) {
        sync.tsc = rdtsc();
        barrier();
        sync.answered = asked;
    }
}

/*
 * The processors of one machine are reset together and their TSCs run alike, if nobody has written
 * to one. To see, ask the boot CPU for its TSC: the answer was read between our asking and our
 * hearing of it. The quickest of some rounds tells best. Only a difference that this cannot explain
 * is one; then what is left of it is at most half of that round's time.
 */
void tsc_sync(void)
{
    struct cpu *c = this_cpu;
    uint64_t best = ~0ull;
    int64_t offset = 0;

    for (unsigned i = 0; i < SYNC_ROUNDS; i++) {
        uint64_t start = rdtsc(), took;

        sync.asked++;
        while (sync.answered != sync.asked)
            cpu_relax();
        took = rdtsc() - start;
        if (took < best) {
            best = took;
            offset = (int64_t)(start + took / 2 - sync.tsc);
        }
    }
    if (offset > (int64_t)best || offset < -(int64_t)best) {
        c->tsc_offset = offset;
        printk("CPU %u: its TSC is %lld ticks off\n", c->id, offset);
    }
}

struct time_base {
    uint64_t tsc, ns;
};

/* The last base not after now, in this CPU's TSC. */
static struct time_base current_base(void)
{
    int64_t offset = this_cpu->tsc_offset;
    uint64_t ticks = scale(rdtsc() - offset) >> BASE_SHIFT << BASE_SHIFT;
    struct time_base b;

    b.tsc = tsc_start + offset + (tsc_shift >= 0 ? ticks >> tsc_shift : ticks << -tsc_shift);
    b.ns = (ticks >> 32) * tsc_mul + (((ticks & 0xffffffff) * tsc_mul) >> 32);
    return b;
}

static bool time_is_current(const volatile struct vcpu_time_info *t, const struct time_base *b)
{
    return t->tsc_to_system_mul == tsc_mul && t->tsc_timestamp == b->tsc &&
           t->tsc_shift == tsc_shift && t->system_time == b->ns && !(t->version & 1);
}

/*
 * Give v's guest the numbers to compute system time from, in its vcpu_info and, when v's address
 * space is loaded, in the copy it registered. v is current, or does not run. The guest may have written anything there.
 */
void update_vcpu_time(struct vcpu *v)
{
    volatile struct vcpu_time_info *t = &v->info->time;
    struct time_base base = current_base();
    uint32_t version = t->version | 1;

    if (!time_is_current(t, &base)) {
        t->version = version;
        barrier();
        t->tsc_timestamp = base.tsc;
        t->system_time = base.ns;
        t->tsc_to_system_mul = tsc_mul;
        t->tsc_shift = tsc_shift;
        t->flags = 0;
        barrier();
        t->version = version + 1;
    }
    if (unlikely(v->time_info_guest) && v == current) {
        struct vcpu_time_info copy = v->info->time;

        copy_to_guest(v->time_info_guest, &copy, sizeof(copy));
    }
}

/* A vcpu that runs on and on is never switched in: move its base from time to time. */
static struct timer base_timers[MAX_CPUS];

static void base_timer_fn(void *unused)
{
    (void)unused;
    if (current != this_cpu->idle)
        update_vcpu_time(current);
    timer_set(&base_timers[this_cpu->id], now_ns() + MILLISECS(500));
}

/* Boot of each CPU, once timers can be set. */
void time_init_cpu(void)
{
    struct timer *t = &base_timers[this_cpu->id];

    timer_init(t, base_timer_fn, NULL);
    timer_set(t, now_ns() + MILLISECS(500));
}

/* Unix time, ns. */
uint64_t wallclock_ns(void)
{
    return __sync_val_compare_and_swap(&wall_start, 0, 0) + now_ns();
}

static spinlock_t wallclock_lock = SPINLOCK_INIT(RANK_WALLCLOCK);

/* Write the wall clock's start, moved by the domain's own offset, to its shared_info. */
void update_wallclock(struct domain *d)
{
    struct shared_info *s = d->shared_info; /* NULL: it is dead */
    uint64_t start = __sync_val_compare_and_swap(&wall_start, 0, 0);
    uint64_t seconds = start / NS_PER_SEC + d->time_offset;
    volatile uint32_t *wc_version = &s->wc_version;
    uint32_t version;

    if (!s)
        return;
    spin_lock(&wallclock_lock);
    version = *wc_version | 1;
    *wc_version = version;
    barrier();
    s->wc_sec = (uint32_t)seconds;
    s->arch.wc_sec_hi = seconds >> 32;
    s->wc_nsec = start % NS_PER_SEC;
    barrier();
    *wc_version = version + 1;
    spin_unlock(&wallclock_lock);
}

/* The date was `secs` seconds and `nsecs` ns since 1970 at that system time. For every domain. */
void set_wallclock(uint64_t secs, uint32_t nsecs, uint64_t system_time)
{
    uint64_t start = secs * NS_PER_SEC + nsecs - system_time;

    uint64_t old;

    do
        old = wall_start;
    while (!__sync_bool_compare_and_swap(&wall_start, old, start));
    spin_lock(&domlist_lock);
    for (struct domain *d = domain_list; d; d = d->next)
        update_wallclock(d);
    spin_unlock(&domlist_lock);
}
