/* SPDX-License-Identifier: MIT */
/*
 * XSA-327: a vcpu_info that is not aligned.
 *
 * VCPUOP_register_vcpu_info moves a vcpu's event flags into a page of the guest's, which the hypervisor
 * changes by atomic instructions from then on. Xen did not ask for alignment: an access across two cache
 * lines is slow for the whole machine, and on Arm it was the hypervisor's own fault.
 *
 * This guest tries each offset that is not aligned, those across the page's end, and some far beyond it.
 * All must be refused, and after them an aligned one must be accepted: none was half done.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/vcpu.h>

#include <pv/event.h>

static long register_at(uint32_t mfn, uint32_t offset)
{
    struct vcpu_register_vcpu_info op = {.mfn = mfn, .offset = offset};

    return hv_vcpu_op(VCPUOP_register_vcpu_info, 0, &op);
}

int main(void)
{
    uint32_t mfn = linear_to_mfn(page_alloc());
    unsigned int taken = 0;

    events_off(); /* the library would not find them in their new place */

    for (uint32_t offset = 1; offset < PAGE_SIZE; offset++)
        if (offset % _Alignof(struct vcpu_info) || offset + sizeof(struct vcpu_info) > PAGE_SIZE)
            taken += register_at(mfn, offset) == 0;
    tap_is(taken, 0, "no offset that is not aligned, or leaves the page, is taken");
    tap_ok(register_at(mfn, PAGE_SIZE) < 0, "nor the next page");
    tap_ok(register_at(mfn, 0xffffffc0) < 0, "nor an offset that wraps");
    tap_is(register_at(mfn, PAGE_SIZE - sizeof(struct vcpu_info)), 0, "the last aligned one is");
    tap_audit();
    tap_done();
}
