/* SPDX-License-Identifier: MIT */
/*
 * test_shadow_op.c: log-dirty mode where memory ends, at each frame in turn. What was allocated by
 * halves must not be run on later, and nothing may be left behind.
 *
 * mm/logdirty/domctl_shadow.c is compiled in here. Frames are numbers that are counted; nobody runs.
 *
 * flags: -DRINGLET_HOST -D__XEN_TOOLS__ -DDEBUG=1 -Wno-unused-function
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../mm/logdirty/domctl_shadow.c"

struct cpu cpus[MAX_CPUS];
_Thread_local struct cpu *host_cpu = &cpus[0];
_Thread_local struct vcpu *host_vcpu;
unsigned nr_cpus = 2;
uint32_t watched_domains;

static struct domain domain = {.id = 1}, caller;
static struct vcpu vcpu, calling_vcpu = {.domain = &caller};

/* Frames and small objects that are out, and how many more there may be. */
static unsigned frames, objects, left;

static pte_t page[L2_ENTRIES];
static unsigned filled;

static bool take(unsigned *out)
{
    if (!left)
        return false;
    left--;
    (*out)++;
    return true;
}

mfn_t alloc_frames_uncleared(unsigned order, unsigned bits)
{
    assert_int_equal(order, 0);
    assert_int_equal(bits, 32);
    return take(&frames) ? 0x1000 + frames : INVALID_MFN;
}

mfn_t alloc_frames(unsigned order, unsigned bits)
{
    return alloc_frames_uncleared(order, bits);
}

void free_frames(mfn_t mfn, unsigned order)
{
    assert_true(mfn && !order && frames);
    frames--;
}

void *xzalloc_bytes(size_t size)
{
    return take(&objects) ? calloc(1, size) : NULL;
}

void xfree(void *p)
{
    objects -= p != NULL;
    free(p);
}

void *map_frame(mfn_t mfn)
{
    assert_true(mfn);
    return page;
}

void unmap_frame(const void *va)
{
    assert_ptr_equal(va, page);
}

void hypervisor_l2_fill(pte_t *l2)
{
    assert_ptr_equal(l2, page);
    filled++;
}

void shadow_empty(struct shadow *s)
{
    s->used = 0;
}

static unsigned paused;

void domain_pause_sync(struct domain *d)
{
    assert_ptr_equal(d, &domain);
    paused++;
}

void domain_unpause(struct domain *d)
{
    assert_ptr_equal(d, &domain);
    paused--;
}

bool preempt_needed(void)
{
    return false;
}

void wait_for_cpus(void)
{
}

void mark_always_dirty(struct domain *d)
{
    assert_ptr_equal(d, &domain);
}

int report_leaf(struct dirty_log *log, unsigned leaf, uint8_t *guest, uint32_t bytes, bool clean)
{
    (void)log;
    (void)leaf;
    (void)guest;
    (void)bytes;
    (void)clean;
    return 0;
}

struct domain *find_domain(domid_t id)
{
    (void)id;
    return NULL;
}

void put_domain(struct domain *d)
{
    (void)d;
}

uint32_t clear_guest(void *guest, uint32_t n)
{
    (void)guest;
    (void)n;
    return 0;
}

static int shadow_op(unsigned op, uint32_t mb)
{
    struct xen_domctl request = {.u.shadow_op = {.op = op, .mb = mb}};
    int rc = domctl_shadow_op(&domain, &request);

    assert_int_equal(paused, 0);
    return rc;
}

/* All that a CPU needs to run on it. */
static void assert_whole(const struct shadow *s)
{
    assert_non_null(s);
    for (unsigned i = 0; i < L3_ENTRIES; i++)
        assert_int_not_equal(s->l2[i], 0);
    assert_true(s->nr_l1 >= SHADOW_L1S_LEAST);
    for (unsigned i = 0; i < s->nr_l1; i++)
        assert_int_not_equal(s->l1[i], 0);
}

static void assert_runs_and_ends(void)
{
    left = 1u << 20;
    filled = 0;
    assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0), 0);
    assert_int_equal(watched_domains, 1);
    for (unsigned i = 0; i < LOG_LEAVES; i++)
        assert_int_not_equal(domain.dirty_log->leaf[i], 0);
    for (unsigned i = 0; i < nr_cpus; i++)
        assert_whole(domain.dirty_log->shadow[i]);
    assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0), -EINVAL);
    assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_OFF, 0), 0);
    assert_int_equal(watched_domains, 0);
    assert_int_equal(frames + objects, 0);
}

/* What the mode takes, with the least there is. */
static unsigned needed(void)
{
    left = 1u << 20;
    assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0), 0);
    assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_OFF, 0), 0);
    return (1u << 20) - left;
}

/* ENABLE gives back what it has got. */
static void test_enable_without_memory(void **state)
{
    unsigned n = needed();

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        left = i;
        assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0), -ENOMEM);
        assert_int_equal(frames + objects, 0);
        assert_int_equal(watched_domains, 0);
        assert_null(domain.dirty_log);
    }
    assert_runs_and_ends();
}

/* SET_ALLOCATION keeps it. When there is memory again the mode can be switched on. */
static void test_allocation_without_memory(void **state)
{
    unsigned n = needed();

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        left = i;
        assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, 1), -ENOMEM);
        assert_runs_and_ends();
    }
}

/* While the mode is on it may fail too, and what there is stays enough to run on. */
static void test_more_while_on(void **state)
{
    (void)state;
    left = 1u << 20;
    assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0), 0);
    for (unsigned i = 0; i < 2 * SHADOW_L1S_MOST; i++) {
        left = i;
        shadow_op(XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, i % 2 ? 100 : 1);
        for (unsigned cpu = 0; cpu < nr_cpus; cpu++)
            assert_whole(domain.dirty_log->shadow[cpu]);
    }
    assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, 0), -EINVAL);
    assert_int_equal(shadow_op(XEN_DOMCTL_SHADOW_OP_OFF, 0), 0);
    assert_int_equal(frames + objects, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enable_without_memory),
        cmocka_unit_test(test_allocation_without_memory),
        cmocka_unit_test(test_more_while_on),
    };

    domain.vcpus[0] = &vcpu;
    host_vcpu = &calling_vcpu;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
