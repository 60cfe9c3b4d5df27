/* SPDX-License-Identifier: MIT */
/*
 * test_tlb.c: the TLB clock, when it wraps above all. A CPU that runs one guest for a long time, or a domain
 * that loses no mapping for a long time, must not be taken for one that has just flushed; nor must
 * anybody wait for a flush that has been.
 *
 * tlb.c is compiled in here, with CR3 a variable. An IPI is taken at once by the CPU it goes to.
 *
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1 -Wno-unused-function
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <ringlet/arch.h>
#include <ringlet/domain.h>
#include <ringlet/mm.h>

static uint32_t cr3;
static unsigned flushes[MAX_CPUS];

#define write_cr3(value) (cr3 = (value), flushes[this_cpu->id]++)
#define read_cr3() cr3
#define invlpg(va) ((void)(va))
#include "../../arch/i386/tlb.c"

struct cpu cpus[MAX_CPUS];
_Thread_local struct cpu *host_cpu = &cpus[0];
_Thread_local struct vcpu *host_vcpu;
unsigned nr_cpus = 3;

static struct domain domain;

static void play(unsigned cpu)
{
    host_cpu = &cpus[cpu];
}

static unsigned copies[MAX_CPUS];
static bool cpu_2_flushes; /* while CPU 1 is interrupted */

void send_ipi(const struct cpu *c)
{
    struct cpu *sender = this_cpu;

    play(c->id);
    tlb_serve_request();
    if (c->id == 1 && cpu_2_flushes) {
        play(2);
        tlb_flush_local();
    }
    host_cpu = sender;
}

uint32_t watched_domains;
static unsigned emptied, emptied_before_cr3, forgotten;

void watch_flush(void)
{
    emptied++;
    emptied_before_cr3 = flushes[this_cpu->id];
}

void watch_flush_one(uint32_t va)
{
    (void)va;
    forgotten++;
}

void reload_l3(struct vcpu *v)
{
    (void)v;
    copies[this_cpu->id]++;
    tlb_switch_root(read_cr3(), tlb_next_flush());
}

/* All CPUs have flushed when the clock showed `start`, and run guests. */
static int begin(uint32_t start)
{
    tlb_clock = start - 2;
    domain.tlb_stale = start - 2;
    domain.foreign_cpus = 0;
    domain.dirty_cpus = 3;
    for (unsigned i = 0; i < nr_cpus; i++) {
        cpus[i] = (struct cpu){.id = i, .guest_tables = true};
        play(i);
        reload_l3(NULL);
    }
    play(0);
    memset(flushes, 0, sizeof(flushes));
    memset(copies, 0, sizeof(copies));
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return begin(1000);
}

/* CPU 0 flushes so often; all but the last few times, and those at multiples of 2^16, are left out. */
static void flush_often(uint64_t times)
{
    for (uint64_t done = 0; done < times;) {
        uint64_t skip = 0xffff - (tlb_clock & 0xffff);

        skip = MIN(skip, times - done - 1);
        tlb_clock += (uint32_t)skip;
        tlb_flush_local();
        done += skip + 1;
    }
}

static void test_a_removed_mapping(void **state)
{
    (void)state;
    flush_often(10);
    tlb_stamp(&domain);
    tlb_flush_if_stale(&domain);
    assert_int_equal(flushes[1], 1);
    tlb_flush_if_stale(&domain);
    assert_int_equal(flushes[1], 1);
}

/* Nobody but the domain's own CPUs pays for what it removed and freed. */
static void test_only_its_own_cpus(void **state)
{
    (void)state;
    flush_often(10);
    domain.dirty_cpus = 5;
    tlb_stamp(&domain);
    tlb_flush_if_stale(&domain);
    assert_int_equal(flushes[1], 0);
    assert_int_equal(flushes[2], 1);
}

/* Another domain, on CPU 2, has removed its mapping of the domain's memory, and runs elsewhere now. */
static void test_a_foreign_mapping(void **state)
{
    struct domain mapper = {.dirty_cpus = 4};

    (void)state;
    flush_often(10);
    domain.dirty_cpus = 1;
    tlb_stamp_foreign(&domain, &mapper);
    mapper.dirty_cpus = 2;
    tlb_flush_if_stale(&domain);
    assert_int_equal(flushes[1], 0);
    assert_int_equal(flushes[2], 1);
    /* Told once: what is removed later concerns CPU 2 no more. */
    flush_often(10);
    tlb_stamp(&domain);
    tlb_flush_if_stale(&domain);
    assert_int_equal(flushes[2], 1);
    tlb_stamp_foreign(&domain, &mapper);
    tlb_flush_if_stale(&domain);
    assert_int_equal(flushes[1], 1);
}

/* CPU 1 runs a guest that spins, while its sibling on CPU 0 flushes until the clock has gone round. */
static void test_a_cpu_that_never_flushes(void **state)
{
    static const uint64_t times[] = {0x7fffffff, 0x80000000, 0x80000001, 0xc0000000, 0x100000001};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
        begin(1000);
        flush_often(times[i]);
        flushes[1] = 0;
        tlb_stamp(&domain);
        tlb_flush_if_stale(&domain);
        assert_int_equal(flushes[1], 1);
    }
}

/* A sleeping CPU is waited for, where all are meant. */
static void test_an_idle_cpu(void **state)
{
    (void)state;
    cpus[1].guest_tables = false;
    flush_often(0x80000001);
    flushes[1] = 0;
    wait_for_cpus();
    assert_int_equal(flushes[1], 1);
}

/* A domain has lost no mapping for so long; then a frame of it is freed: nobody waits. */
static void test_an_old_stamp(void **state)
{
    (void)state;
    tlb_stamp(&domain);
    flush_often(0x80000001);
    flushes[0] = flushes[1] = 0;
    tlb_flush_if_stale(&domain);
    assert_true(flushes[1] <= 1);
}

/* ... or loses one, which is stamped anew and flushed. */
static void test_an_old_stamp_renewed(void **state)
{
    static const uint64_t times[] = {0x80000001, 0x80000100, 0xc0000001, 0xfffffff0};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
        begin(1000);
        tlb_stamp(&domain);
        flush_often(times[i]);
        flushes[1] = 0;
        tlb_stamp(&domain);
        assert_int_equal(domain.tlb_stale, tlb_clock);
        tlb_flush_if_stale(&domain);
        assert_int_equal(flushes[1], 1);
    }
}

/* SH1 of mm/logdirty/shadow.c: a shadow is emptied before CR3 is loaded, whoever asks for the flush. */
static void test_shadows_are_flushed_too(void **state)
{
    (void)state;
    emptied = forgotten = 0;
    tlb_flush_local();
    tlb_flush_one_local(0x1000);
    assert_int_equal(emptied + forgotten, 0);
    watched_domains = 1;
    flushes[0] = 0;
    tlb_flush_local();
    assert_int_equal(emptied, 1);
    assert_int_equal(emptied_before_cr3, 0);
    tlb_flush_mask(3);
    assert_int_equal(emptied, 3);
    tlb_flush_one_local(0x1000);
    assert_int_equal(forgotten, 1);
    assert_int_equal(emptied, 3);
    watched_domains = 0;
}

/*
 * CPU 0 has changed an L3, and CPU 2 flushes for a reason of its own while CPU 1 is told: that copies
 * nothing, so it is told too.
 */
static void test_a_flush_is_no_copy(void **state)
{
    (void)state;
    cpu_2_flushes = true;
    tlb_flush_copies(7);
    cpu_2_flushes = false;
    assert_int_equal(copies[1], 1);
    assert_int_equal(copies[2], 1);
    assert_int_equal(copies[0], 0);
    tlb_flush_mask(6);
    assert_int_equal(copies[2], 2);
}

/* A CPU that slept while the clock went round begins to run a guest: it has copied nothing yet. */
static void test_a_copy_after_a_long_sleep(void **state)
{
    (void)state;
    cpus[1].guest_tables = false;
    flush_often(0x80000001);
    cpus[1].guest_tables = true;
    tlb_flush_copies(2);
    assert_int_equal(copies[1], 1);
}

/* A CPU goes round all alone, by flushes that copy nothing, before an L3 that it runs on changes. */
static void test_a_copy_after_many_flushes(void **state)
{
    static const uint64_t times[] = {0x7fffffff, 0x80000000, 0x80000001, 0xc0000000, 0x100000001};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
        begin(1000);
        flush_often(times[i]);
        copies[0] = 0;
        play(1);
        tlb_flush_copies(1);
        assert_int_equal(copies[0], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_removed_mapping, setup),
        cmocka_unit_test_setup(test_only_its_own_cpus, setup),
        cmocka_unit_test_setup(test_a_foreign_mapping, setup),
        cmocka_unit_test_setup(test_a_cpu_that_never_flushes, setup),
        cmocka_unit_test_setup(test_an_idle_cpu, setup),
        cmocka_unit_test_setup(test_an_old_stamp, setup),
        cmocka_unit_test_setup(test_an_old_stamp_renewed, setup),
        cmocka_unit_test_setup(test_shadows_are_flushed_too, setup),
        cmocka_unit_test_setup(test_a_flush_is_no_copy, setup),
        cmocka_unit_test_setup(test_a_copy_after_a_long_sleep, setup),
        cmocka_unit_test_setup(test_a_copy_after_many_flushes, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
