/* SPDX-License-Identifier: MIT */
/*
 * XSA-287: a frame taken from its owner while another processor takes a reference.
 *
 * Frames change owner at a moment when nobody refers to them. Xen's XENMEM_exchange looked at the
 * count and took the frame away in two steps: a reference taken in between, by another processor,
 * was one to a frame that was soon somebody else's. Memory leaked, and page tables could be written.
 *
 * Here one vcpu trades a frame for another, over and over; the other does all that takes references
 * to the frame at that moment: maps it, writes to it, clears it, pins it as a page table. Either the
 * trade is refused, or what the other does; nothing is left behind, and no page is lost or won.
 *
 * Run: qemu
 * Machine: smp=2 mem=128 timeout=120
 */
#include "../../attack.h"

#include <xen/memory.h>
#include <xen/vcpu.h>

#include <pv/time.h>
#include <pv/vcpu.h>

#define TRADES 20000
#define LONGEST (20 * NS_PER_SEC)

static volatile uint32_t mfn; /* the frame that is traded; nothing maps it for good */
static volatile uint32_t uses[4], refused[4];
static volatile bool stop, stopped;
static uint32_t *window;

/* One way to take references to the frame and to let them go; false: it was refused. */
static bool use(unsigned int how, uint32_t frame)
{
    switch (how) {
    case 0:
        if (hv_update_va_mapping(window, pte_make(frame, PAGE_KERNEL), UVMF_INVLPG))
            return false;
        window[0] = 0; /* stays empty: it may be pinned */
        return !hv_update_va_mapping(window, 0, UVMF_INVLPG);
    case 1:
        if (hv_update_va_mapping(window, pte_make(frame, PAGE_KERNEL_RO), UVMF_INVLPG))
            return false;
        return !hv_update_va_mapping(window, 0, UVMF_INVLPG);
    case 2:
        return !mmuext_frame(MMUEXT_CLEAR_PAGE, frame, DOMID_SELF);
    default:
        return !mmuext_frame(MMUEXT_PIN_L1_TABLE, frame, DOMID_SELF) &&
               !mmuext_frame(MMUEXT_UNPIN_TABLE, frame, DOMID_SELF);
    }
}

static void user(void *unused)
{
    (void)unused;
    for (unsigned int i = 0; !stop; i++) {
        if (use(i % 4, mfn))
            uses[i % 4]++;
        else
            refused[i % 4]++;
    }
    stopped = true;
    for (;;)
        hv_vcpu_op(VCPUOP_down, 1, NULL);
}

/* 0: mfn is another frame now. */
static int trade(uint32_t pfn)
{
    xen_pfn_t in = mfn, out = pfn;
    struct xen_memory_exchange x = {
        .in = {.extent_start.p = &in, .nr_extents = 1, .domid = DOMID_SELF},
        .out = {.extent_start.p = &out, .nr_extents = 1, .domid = DOMID_SELF}};
    int rc = hv_memory_op(XENMEM_exchange, &x);

    if (!rc)
        mfn = out;
    return rc;
}

static long reservation(void)
{
    struct xen_memory_domain self = {.domid = DOMID_SELF};

    return hv_memory_op(XENMEM_current_reservation, &self);
}

int main(void)
{
    void *page = page_alloc();
    uint32_t pfn = ((uint32_t)page - VIRT_BASE) >> PAGE_SHIFT, traded = 0, kept = 0, strange = 0;
    long before;
    uint64_t end = time_now() + LONGEST;

    window = window_alloc(1);
    pte_machine_address(window);
    mfn = linear_to_mfn(page);
    hv_update_va_mapping(page, 0, UVMF_INVLPG);
    if (vcpu_start(1, user, NULL))
        panic("there is no second vcpu");
    before = reservation();
    while (traded < TRADES && time_now() < end) {
        int rc = trade(pfn);

        traded += rc == 0;
        kept += rc == -XEN_EINVAL;
        strange += rc != 0 && rc != -XEN_EINVAL;
    }
    stop = true;
    while (!stopped)
        sleep_ms(1);
    tap_diag("%u trades, %u refused; uses %u %u %u %u, refused %u %u %u %u", (unsigned int)traded,
             (unsigned int)kept, (unsigned int)uses[0], (unsigned int)uses[1],
             (unsigned int)uses[2], (unsigned int)uses[3], (unsigned int)refused[0],
             (unsigned int)refused[1], (unsigned int)refused[2], (unsigned int)refused[3]);
    tap_ok(traded > 100, "frames were traded");
    tap_ok(uses[0] && uses[1] && uses[2] && uses[3], "and used meanwhile, in each way");
    tap_is(strange, 0, "a trade is done or refused, and nothing else");
    tap_is(reservation(), before, "no page is lost or won");
    tap_is(trade(pfn), 0, "the last frame is free of all references");
    tap_is(hv_update_va_mapping(page, pte_make(mfn, PAGE_KERNEL), UVMF_INVLPG), 0, "and mapped");
    tap_audit();
    tap_done();
}
