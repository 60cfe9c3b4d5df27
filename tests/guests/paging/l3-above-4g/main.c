/* SPDX-License-Identifier: MIT */
/*
 * L3 above 4 GiB: a page-table root where 32 bits of CR3 do not reach.
 *
 * This ABI folds CR3, so a guest can name a root anywhere; but old kernels put a plain machine
 * address there, and those must be kept from roots above 4 GiB. A kernel says in its ELF notes what
 * it is. "yes" in the note PAE_MODE means extended-cr3 to Xen's libelf (public elfnote.h); only in
 * the older string does it mean what it says. This guest's note says "yes": its roots may lie above
 * 4 GiB, pae_pgdir_above_4gb is offered, and both go away with VMASST_TYPE_pae_extended_cr3. The
 * root it was started on lies low all the same: PV-GRUB says "yes", too, and needs that.
 *
 * Needs a machine with memory above 4 GiB, of which it gets some.
 *
 * Run: none
 */
#include "../../attack.h"

#include <xen/features.h>

#define FRAMES_BELOW_4G 0x100000u

/* A page of this guest's above 4 GiB, which lies behind the linear map; mapped at `at`. */
static uint32_t map_high_page(void *at)
{
    const uint32_t *p2m = (const uint32_t *)start_info->mfn_list;

    for (uint32_t pfn = (LINEAR_END - VIRT_BASE) >> PAGE_SHIFT; pfn < start_info->nr_pages; pfn++)
        if (p2m[pfn] >= FRAMES_BELOW_4G && !map_page(at, pte_make(p2m[pfn], PAGE_KERNEL)))
            return p2m[pfn];
    panic("no page above 4 GiB");
}

/* Asked anew: has_feature() remembers what was said at the start. */
static bool offered(void)
{
    struct xen_feature_info info = {.submap_idx = 0};

    return !hv_xen_version(XENVER_get_features, &info) &&
           (info.submap & 1u << XENFEAT_pae_pgdir_above_4gb);
}

static int pin_root(uint32_t mfn)
{
    return mmuext_frame(MMUEXT_PIN_L3_TABLE, mfn, DOMID_SELF);
}

static int unpin(uint32_t mfn)
{
    return mmuext_frame(MMUEXT_UNPIN_TABLE, mfn, DOMID_SELF);
}

int main(void)
{
    pte_t *root = window_alloc(1), *directory = new_directory(0, 0);
    uint32_t mfn = map_high_page(root);

    memset(root, 0, PAGE_SIZE);
    root[3] = pte_make(linear_to_mfn(directory), PTE_P);
    if (hv_update_va_mapping(root, pte_make(mfn, PAGE_KERNEL_RO), UVMF_INVLPG))
        panic("the root cannot be mapped read-only");
    if (is_64bit_hypervisor())
        tap_skip("it may put it anywhere", "the first root is low");
    else
        tap_ok(linear_to_mfn((void *)start_info->pt_base) < FRAMES_BELOW_4G,
               "the first root is low");
    tap_ok(offered(), "roots above 4 GiB are offered");
    tap_is(pin_root(mfn), 0, "a root in frame 0x%x", (unsigned int)mfn);
    tap_is(unpin(mfn), 0, "and unpinned");

    tap_is(hv_vm_assist(VMASST_CMD_disable, VMASST_TYPE_pae_extended_cr3), 0, "no, thank you");
    tap_ok(!offered(), "then they are not offered");
    if (is_64bit_hypervisor())
        tap_skip("its long mode has roots of its own", "a root above 4 GiB is refused");
    else
        tap_is(pin_root(mfn), -XEN_EINVAL, "a root above 4 GiB is refused");
    tap_is(hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_pae_extended_cr3), 0, "yes, please");
    tap_ok(offered(), "offered again");
    tap_is(pin_root(mfn), 0, "a root above 4 GiB");
    tap_is(unpin(mfn), 0, "and unpinned");
    tap_audit();
    tap_done();
}
