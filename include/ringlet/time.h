/* SPDX-License-Identifier: MIT */
/*
 * time.h: system time in nanoseconds since boot, and timers.
 *
 * System time is the TSC scaled by a factor measured at boot (or read from the platform); guests
 * compute the same number from vcpu_time_info (xen/xen.h). A timer calls its function once, at or
 * after `expires`, on the CPU it was set on, from the timer softirq with no lock held.
 */
#ifndef RINGLET_TIME_H
#define RINGLET_TIME_H

#include <ringlet/module.h>
#include <ringlet/types.h>

#define NS_PER_SEC 1000000000ull
#define MILLISECS(n) ((uint64_t)(n)*1000000ull)
#define MICROSECS(n) ((uint64_t)(n)*1000ull)

struct cpu;
struct vcpu;
struct domain;

struct timer {
    uint64_t expires; /* system time, ns */
    void (*fn)(void *arg);
    void *arg;
    struct cpu *cpu; /* whose heap it is in, or was last */
    volatile bool active;
    bool killed;
    struct timer *child, *next, *prev; /* the heap's links, see xen/timer.c */
};

/*
 * xen/timer.c. Setting a timer cannot fail, moves it when it was active, and puts it on the calling
 * CPU; a time that is past makes it fire before the next return to a guest (a timer's own function
 * must not ask for that). timer_stop() does not wait for a function that has been called already;
 * timer_kill() does, before a timer's memory goes.
 */
void timers_init_cpu(struct cpu *c);
void timer_init(struct timer *t, void (*fn)(void *), void *arg);
void timer_set(struct timer *t, uint64_t expires);
void timer_stop(struct timer *t);
void timer_kill(struct timer *t);
static inline bool timer_active(const struct timer *t)
{
    return t->active;
}

/* A time that a guest gives is signed: what is negative is past. */
static inline uint64_t guest_deadline(uint64_t ns)
{
    return (int64_t)ns < 0 ? 0 : ns;
}

/*
 * xen/time.c. time_init() measures the TSC and reads the CMOS clock; everything else needs it done.
 */
uint64_t now_ns(void);
uint64_t tsc_to_ns(uint64_t tsc);
uint64_t tsc_khz(void);
void time_init(void);
void time_init_cpu(void);
void tsc_sync(void);       /* a CPU that starts: how far is its TSC from the boot CPU's? */
void tsc_sync_serve(void); /* the boot CPU, again and again meanwhile */
void update_vcpu_time(struct vcpu *v);
void update_wallclock(struct domain *d);
void set_wallclock(uint64_t secs, uint32_t nsecs, uint64_t system_time);
uint64_t wallclock_ns(void);

/*
 * arch/i386/timerdev.c: the one-shot interrupt source of this CPU. timerdev_init() also sets up the
 * PIC and the local APIC; it needs time_init() done.
 */
void timerdev_init(void);
void timerdev_init_cpu(void);
bool timerdev_is_local(void);
void timerdev_program(uint64_t deadline); /* system time, ns */
void timer_interrupt(void);               /* TIMER_VECTOR */
uint64_t timerdev_calibrate_tsc(void);    /* Hz */

/* WALL_CLOCK(fn): fn() reads the machine's clock, in seconds since 1970-01-01 00:00:00 UTC. Boot only. */
struct wall_clock {
    uint64_t (*seconds)(void);
};
MODULE_RECORDS(struct wall_clock, wall_clock);
#define WALL_CLOCK(fn) MODULE_RECORD(struct wall_clock, wall_clock, wall_clock_##fn, .seconds = fn)

#endif
