/* SPDX-License-Identifier: MIT */
/*
 * Time: the clock the hypervisor keeps, read without a hypercall, and one timer.
 *
 * The clock is vcpu_info's copy of system time at a past TSC value plus a multiplier; the timer
 * is the vcpu's singleshot timer, which arrives as VIRQ_TIMER.
 *
 * Next: lib/time.c.
 */
#ifndef PV_TIME_H
#define PV_TIME_H

#include <stdint.h>

#define NS_PER_MS 1000000ULL
#define NS_PER_SEC 1000000000ULL

/* time.c */

/* Nanoseconds since the machine started, as the first vcpu has it, and any: each reads its own. */
uint64_t time_now(void);
uint64_t time_now_on(unsigned int vcpu);

/* Seconds since 1970, by the wall clock in shared_info. */
uint64_t time_wallclock(void);

static inline uint64_t read_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return ((uint64_t)high << 32) | low;
}

/* Arm the one timer: VIRQ_TIMER comes when the clock passes deadline (ns; at once if it has), and
 * function, unless NULL, is called as an event handler. sleep and wait use the same timer. */
void timer_set(uint64_t deadline, void (*function)(void));

/* Sleep until the clock passes deadline (ns). Events are served meanwhile; called with events
 * on. */
void sleep_until(uint64_t deadline);

static inline void sleep_ms(uint32_t ms)
{
    sleep_until(time_now() + ms * NS_PER_MS);
}

/*
 * One wait for a main loop: sleep until some event is served or deadline passes. Call with events
 * off after finding nothing to do, as events_wait(); events are on afterwards. UINT64_MAX: no
 * deadline.
 */
void wait_until(uint64_t deadline);

/* VIRQ_TIMER events so far. */
uint32_t timer_count(void);

#endif
