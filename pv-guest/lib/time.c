/* SPDX-License-Identifier: MIT */
/*
 * The clock and the timer.
 *
 * Next: event.c.
 */
#include <pv/time.h>

#include <stddef.h>

#include <xen/vcpu.h>

#include <pv/event.h>
#include <pv/start.h>

/* Changed with events off, or by the timer's event. */
static uint32_t ticks;
static void (*on_timer)(void);

/* Nanoseconds since the copy was made: the TSC's progress, shifted, times a 0.32 fixed-point
 * factor. 64 by 32 bits gives 96, so the product is made of two halves. */
static uint64_t scale(uint64_t delta, int shift, uint32_t factor)
{
    uint32_t low, high;

    delta = shift >= 0 ? delta << shift : delta >> -shift;
    low = delta;
    high = delta >> 32;
    return ((uint64_t)low * factor >> 32) + (uint64_t)high * factor;
}

/* The version is odd while the hypervisor writes, and different after it wrote: then read again. */
uint64_t time_now_on(unsigned int vcpu)
{
    volatile struct vcpu_time_info *info = &shared_info_page.vcpu_info[vcpu].time;
    uint32_t version;
    uint64_t now;

    do {
        version = info->version;
        __asm__ volatile("" ::: "memory");
        now = info->system_time +
              scale(read_tsc() - info->tsc_timestamp, info->tsc_shift, info->tsc_to_system_mul);
        __asm__ volatile("" ::: "memory");
    } while ((version & 1) || version != info->version);
    return now;
}

uint64_t time_now(void)
{
    return time_now_on(0);
}

/* wc_sec and wc_nsec are when system time began. */
uint64_t time_wallclock(void)
{
    volatile struct shared_info *info = shared();
    uint32_t version;
    uint64_t began;

    do {
        version = info->wc_version;
        __asm__ volatile("" ::: "memory");
        began = info->wc_sec * NS_PER_SEC + info->wc_nsec;
        __asm__ volatile("" ::: "memory");
    } while ((version & 1) || version != info->wc_version);
    return (began + time_now()) / NS_PER_SEC;
}

static void tick(evtchn_t port, void *data)
{
    (void)port;
    (void)data;
    ticks++;
    if (on_timer)
        on_timer();
}

uint32_t timer_count(void)
{
    return ticks;
}

void timer_set(uint64_t deadline, void (*function)(void))
{
    struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = deadline};

    on_timer = function;
    if (hv_vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer) != 0)
        panic("set_singleshot_timer refused");
}

void wait_until(uint64_t deadline)
{
    if (deadline != UINT64_MAX)
        timer_set(deadline, NULL);
    events_wait();
}

void sleep_until(uint64_t deadline)
{
    events_off();
    while (time_now() < deadline) {
        wait_until(deadline);
        events_off();
    }
    events_on();
}

/* A vcpu is born with a 100 Hz tick, for kernels of 2005; nobody here wants it. */
void time_init(void)
{
    hv_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL);
    if (event_bind_virq(VIRQ_TIMER, tick, NULL) < 0)
        panic("no timer event");
}
