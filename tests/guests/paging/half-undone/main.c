/* SPDX-License-Identifier: MIT */
/*
 * A vcpu goes down in the middle of undoing a table, and another one wants that table.
 *
 * Undoing an L2 of many full L1s takes so long that the hypervisor gives way in the middle of it. Here
 * the vcpu that undoes one is taken down just then, and need never come up again; who pins the same L2
 * then has to get it all the same. If it had to wait for the other, this guest would hang.
 *
 * Run: qemu bochs
 * Machine: smp=2 mem=128 timeout=120
 */
#include <pv/time.h>
#include <pv/vcpu.h>
#include <xen/vcpu.h>

#include "../../attack.h"

enum { ROUNDS = 100, L1S = 128, PATIENCE_MS = 5000 };

static pte_t *l2;
static volatile uint32_t asked, begun, finished; /* numbers of rounds */
static volatile int unpinned;                    /* the hypercall's answer */

static void build(void)
{
    pte_t entry = pte_make(linear_to_mfn(page_alloc()), PAGE_KERNEL);

    l2 = page_alloc();
    for (unsigned int i = 0; i < L1S; i++) {
        pte_t *l1 = page_alloc();

        for (unsigned int k = 0; k < 512; k++)
            l1[k] = entry;
        if (make_readonly(l1) != 0)
            panic("a page of one's own cannot be made read-only");
        l2[i] = pte_make(linear_to_mfn(l1), TABLE_FLAGS);
    }
    if (make_readonly(l2) != 0 || pin(l2, MMUEXT_PIN_L2_TABLE) != 0)
        panic("the table cannot be pinned");
}

static void undo(void *unused)
{
    (void)unused;
    for (;;) {
        while (begun == asked)
            __asm__ volatile("pause");
        begun = asked;
        unpinned = pin(l2, MMUEXT_UNPIN_TABLE);
        finished = asked;
    }
}

static void stuck(void)
{
    tap_ok(false, "a table that a vcpu left half undone can be pinned");
    tap_done();
}

/* A busy host may let vcpu 1's processor stand still for longer than any wait. */
static void wait_until_down(void)
{
    struct vcpu_runstate_info r;

    do
        sleep_ms(1);
    while (hv_vcpu_op(VCPUOP_get_runstate_info, 1, &r) == 0 && r.state == RUNSTATE_running);
}

/* True if vcpu 1 was still at it when it went down. */
static bool one_round(uint32_t round)
{
    bool caught;
    int rc;

    asked = round;
    while (begun != round)
        __asm__ volatile("pause");
    for (volatile uint32_t i = 0; i < round * 50; i++)
        ;
    hv_vcpu_op(VCPUOP_down, 1, NULL);
    wait_until_down();
    timer_set(time_now() + PATIENCE_MS * NS_PER_MS, stuck);
    rc = pin(l2, MMUEXT_PIN_L2_TABLE);
    caught = finished != round && rc == 0;
    hv_vcpu_op(VCPUOP_up, 1, NULL);
    while (finished != round)
        __asm__ volatile("pause");
    if (unpinned != 0)
        panic("round %lu: unpinned: %d", (unsigned long)round, unpinned);
    if (rc == -XEN_EINVAL) /* pinned still: vcpu 1 went down before it asked */
        rc = pin(l2, MMUEXT_PIN_L2_TABLE);
    if (rc != 0)
        panic("round %lu: pinned: %d", (unsigned long)round, rc);
    return caught;
}

int main(void)
{
    uint32_t caught = 0;

    build();
    if (vcpu_start(1, undo, NULL) != 0)
        panic("vcpu 1 does not start");
    for (uint32_t round = 1; round <= ROUNDS; round++)
        caught += one_round(round);
    tap_ok(caught > 0, "a table that a vcpu left half undone can be pinned: %lu of %d rounds",
           (unsigned long)caught, ROUNDS);
    tap_audit();
    tap_done();
}
