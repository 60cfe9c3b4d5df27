/* SPDX-License-Identifier: MIT */
/*
 * Several vcpus: brought up, put to work on one sum, and what became of their time.
 *
 * A vcpu is a set of registers that the hypervisor puts onto a processor when one is free; no BIOS
 * and no APIC is in between. One hypercall says where it begins and on which page tables and stack,
 * another lets it go. All share the memory and the event channels; each has a mask, an upcall and a
 * timer of its own. Where two vcpus write the same word, a lock keeps them apart, and `lock`-ed
 * instructions make the lock, as on any machine with several processors.
 *
 * The first vcpu has this kernel's console, traps and upcalls. The others sleep until they are
 * called by an event (an IPI: a port whose two ends are vcpus of one domain), count primes for as
 * long as there is something to count, and call back.
 *
 * Next: back to pv-guest/lib, vcpu.c.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/number.h>
#include <pv/start.h>
#include <pv/time.h>
#include <pv/vcpu.h>

#include "toy.h"

#define MAX_VCPUS 4
#define NUMBERS 200000
#define PIECE 1000
#define PRIMES 17984 /* among them, as number theory has it */

static struct {
    evtchn_t port; /* calls this vcpu */
    uint32_t pieces, primes;
} vcpus[MAX_VCPUS];
static unsigned int vcpu_count;

/* What all of them share, and the lock that guards it. */
static uint32_t lock;
static uint32_t next_number, total, at_work;

/* --- the work ------------------------------------------------------------------------------ */

/* The exchange reads and writes in one step that no other vcpu can fall into. Who has the lock may
 * be without a processor just now: giving ours away beats turning round and round. */
static void lock_take(void)
{
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        hv_sched_op(SCHEDOP_yield, NULL);
}

static void lock_release(void)
{
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

static bool is_prime(uint32_t n)
{
    for (uint32_t divisor = 2; divisor * divisor <= n; divisor++)
        if (n % divisor == 0)
            return false;
    return n >= 2;
}

/* Hand in the primes of the last piece, and take the next. False: nothing is left. */
static bool next_piece(unsigned int self, uint32_t found, uint32_t *first)
{
    lock_take();
    total += found;
    *first = next_number;
    next_number += PIECE;
    lock_release();
    vcpus[self].primes += found;
    return *first < NUMBERS;
}

static void count_primes(unsigned int self)
{
    uint32_t first, found = 0;

    while (next_piece(self, found, &first)) {
        found = 0;
        for (uint32_t n = first; n < first + PIECE; n++)
            found += is_prime(n);
        vcpus[self].pieces++;
    }
    lock_take();
    at_work--;
    lock_release();
}

/* Where another vcpu begins. It is called for one thing only; a call it did not get yet stays
 * pending, so it cannot come too early either. */
static void other_vcpu(void *number)
{
    unsigned int self = (unsigned int)number;

    for (;;) {
        vcpu_wait(vcpus[self].port);
        count_primes(self);
        event_send(vcpus[0].port);
    }
}

/* --- the commands -------------------------------------------------------------------------- */

/* The domain may have more than MAX_VCPUS; those stay down. */
unsigned int start_vcpus(void)
{
    int port = event_bind_ipi(NULL, NULL);

    for (; port >= 0 && vcpu_count < MAX_VCPUS; port = vcpu_bind_ipi(vcpu_count)) {
        vcpus[vcpu_count].port = port;
        if (vcpu_count > 0 && vcpu_start(vcpu_count, other_vcpu, (void *)vcpu_count) != 0)
            break;
        vcpu_count++;
    }
    return vcpu_count;
}

/* Each wait ends with the call of somebody who is done; who was the last, the count tells. */
static void work_together(unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        vcpus[i].pieces = vcpus[i].primes = 0;
    next_number = total = 0;
    at_work = count;
    for (unsigned int i = 1; i < count; i++)
        event_send(vcpus[i].port);
    count_primes(0);
    for (events_off(); *(volatile uint32_t *)&at_work > 0; events_off())
        events_wait();
    events_on();
}

void command_primes(const char *argument)
{
    uint32_t count = vcpu_count;
    uint64_t start = time_now();

    if (*argument && !number_parse(argument, 1, vcpu_count, &count)) {
        printf("usage: primes [N], from 1 to %u vcpus\n", vcpu_count);
        return;
    }
    work_together(count);
    for (unsigned int i = 0; i < count; i++)
        printf("  vcpu %u counted %u primes in %u pieces\n", i, vcpus[i].primes, vcpus[i].pieces);
    printf("%u primes below %u, %s, in %llu us on %u vcpus\n", total, NUMBERS,
           total == PRIMES ? "as it should be" : "WHICH IS WRONG", (time_now() - start) / 1000,
           count);
}

void command_vcpus(const char *argument)
{
    static const char *const names[] = {"running", "ready", "blocked", "offline"};

    (void)argument;
    printf("  vcpu  now        ran ms   ready ms  blocked ms  offline ms\n");
    for (unsigned int i = 0; i < vcpu_count; i++) {
        struct vcpu_runstate_info info;

        if (hv_vcpu_op(VCPUOP_get_runstate_info, i, &info) != 0)
            panic("vcpu %u has no run states", i);
        printf("  %4u  %-8s", i, names[info.state & 3]);
        for (int state = RUNSTATE_running; state <= RUNSTATE_offline; state++)
            printf("%11llu", info.time[state] / NS_PER_MS);
        printf("\n");
    }
    printf("Ready is when a vcpu could run and has no processor: others use them.\n");
}
