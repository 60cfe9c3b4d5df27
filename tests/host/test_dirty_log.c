/* SPDX-License-Identifier: MIT */
/*
 * test_dirty_log.c: the log of written frames. What is told is cleared and nothing else; what cannot
 * be told stays; each page counts once.
 *
 * mm/logdirty/dirty_log.c is compiled in here. The log's frames are arrays of the test's.
 *
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1 -Wno-unused-function
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../mm/logdirty/dirty_log.c"

enum { FRAMES = 8, MINE = 3 };

struct cpu cpus[MAX_CPUS];
_Thread_local struct cpu *host_cpu = &cpus[0];
_Thread_local struct vcpu *host_vcpu;
uint32_t max_frame = FRAMES;
struct frame *frame_table;
uint32_t *m2p;
struct domain *domain_slots[NR_DOMAIN_SLOTS];

static struct frame frames[FRAMES];
static uint32_t pfns[FRAMES];
static uint32_t leaf[PAGE_SIZE / 4];
static struct dirty_log dirty_log = {.on = true, .leaf = {1}};
static struct domain domain = {.slot = 5, .dirty_log = &dirty_log};
static uint8_t guest[PAGE_SIZE];
static uint32_t room; /* bytes of the guest's memory that are there */

void *map_frame(mfn_t mfn)
{
    assert_int_equal(mfn, 1);
    return leaf;
}

void unmap_frame(const void *va)
{
    assert_true((const uint8_t *)va - (const uint8_t *)leaf < (long)sizeof(leaf));
}

mfn_t mapped_mfn(const void *va)
{
    (void)va;
    return MINE;
}

uint32_t copy_to_guest(void *to, const void *from, uint32_t n)
{
    if ((uint8_t *)to + n > guest + room)
        return n;
    memcpy(to, from, n);
    return 0;
}

/* No lock is taken by what is tested. */
void spin_wait(spinlock_t *l)
{
    (void)l;
    abort();
}

void spin_lock_check(spinlock_t *l)
{
    (void)l;
    abort();
}

void spin_unlock_check(spinlock_t *l)
{
    (void)l;
    abort();
}

void bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

static int begin(void **state)
{
    (void)state;
    memset(leaf, 0, sizeof(leaf));
    memset(guest, 0xee, sizeof(guest));
    dirty_log.dirty_count = 0;
    dirty_log.lost = false;
    room = sizeof(guest);
    frame_table = frames;
    m2p = pfns;
    domain_slots[5] = &domain;
    for (unsigned i = 0; i < FRAMES; i++)
        frames[i].owner = i == MINE ? 5 : OWNER_NONE;
    pfns[MINE] = 40;
    note_pfn_dirty(&domain, 3);
    note_pfn_dirty(&domain, 9);
    note_dirty(MINE);
    note_dirty(MINE);
    note_dirty(MINE + 1); /* nobody's */
    note_dirty(FRAMES);   /* none */
    assert_int_equal(dirty_log.dirty_count, 3);
    return 0;
}

static void test_clears_what_it_tells(void **state)
{
    (void)state;
    assert_int_equal(report_leaf(&dirty_log, 0, guest, 1, true), 0);
    assert_int_equal(guest[0], 1 << 3);
    assert_int_equal(guest[1], 0xee);
    assert_int_equal(dirty_log.dirty_count, 2);
    assert_int_equal(report_leaf(&dirty_log, 0, guest, 6, true), 0);
    assert_memory_equal(guest, "\0\2\0\0\0\1\xee", 7);
    assert_int_equal(dirty_log.dirty_count, 0);
    assert_false(is_dirty(&domain, MINE));
}

static void test_peek_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(report_leaf(&dirty_log, 0, guest, PAGE_SIZE, false), 0);
    assert_int_equal(report_leaf(&dirty_log, 0, NULL, PAGE_SIZE, false), 0);
    assert_memory_equal(guest, leaf, PAGE_SIZE);
    assert_int_equal(dirty_log.dirty_count, 3);
    assert_true(is_dirty(&domain, MINE));
}

static void test_no_room_to_tell(void **state)
{
    (void)state;
    room = 4;
    assert_int_equal(report_leaf(&dirty_log, 0, guest, 6, true), -EFAULT);
    assert_int_equal(dirty_log.dirty_count, 3);
    assert_int_equal(leaf[0], 1 << 3 | 1 << 9);
    assert_int_equal(leaf[1], 1 << 8);
}

static void test_strange_pfns(void **state)
{
    (void)state;
    pfns[MINE] = INVALID_M2P;
    note_dirty(MINE);
    assert_false(dirty_log.lost);
    assert_false(is_dirty(&domain, MINE));
    pfns[MINE] = LOG_PFNS;
    note_dirty(MINE);
    assert_true(dirty_log.lost);
    assert_false(is_dirty(&domain, MINE));
    assert_int_equal(dirty_log.dirty_count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_clears_what_it_tells, begin),
        cmocka_unit_test_setup(test_peek_changes_nothing, begin),
        cmocka_unit_test_setup(test_no_room_to_tell, begin),
        cmocka_unit_test_setup(test_strange_pfns, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
