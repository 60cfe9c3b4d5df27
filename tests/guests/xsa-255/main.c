/* SPDX-License-Identifier: MIT */
/*
 * XSA-255: going back to grant table version 1 must not free a frame the guest still maps.
 *
 * Version 2 has status frames, shared with the guest. Xen freed them on the way back to version 1
 * without looking whether the guest had them mapped: the guest kept a writable view of memory that
 * became something else, the hypervisor's own included. The change may be refused while they are
 * mapped, as Xen does since; Ringlet lets the frame go when its last mapping goes.
 *
 * Run: qemu bochs
 * Machine: mem=256
 */
#include <stdint.h>
#include <string.h>

#include <xen/grant_table.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>

#define ROUNDS 8

static int set_version(uint32_t version)
{
    struct gnttab_set_version v = {.version = version};

    return hv_grant_table_op(GNTTABOP_set_version, &v, 1);
}

static uint32_t status_frame(void)
{
    uint64_t frame = 0;
    struct gnttab_get_status_frames s = {.nr_frames = 1, .dom = DOMID_SELF};

    set_xen_guest_handle(s.frame_list, &frame);
    if (hv_grant_table_op(GNTTABOP_get_status_frames, &s, 1) || s.status)
        panic("no status frame");
    return frame;
}

static void setup(void)
{
    xen_pfn_t frame;
    struct gnttab_setup_table s = {.dom = DOMID_SELF, .nr_frames = 1};

    set_xen_guest_handle(s.frame_list, &frame);
    tap_is(hv_grant_table_op(GNTTABOP_setup_table, &s, 1), 0, "a grant table");
}

/* Everything the hypervisor allocates from now on would show in the kept mapping. */
static bool stays(const volatile uint32_t *kept, uint32_t value)
{
    for (int i = 0; i < PAGE_SIZE / 4; i++) {
        if (kept[i] != value)
            return false;
    }
    return true;
}

int main(void)
{
    uint32_t mfn;
    volatile uint32_t *kept;
    int rc;

    setup();
    tap_is(set_version(2), 0, "version 2");
    mfn = status_frame();
    kept = map_frames(DOMID_SELF, &mfn, 1, true, NULL);
    tap_ok(kept != NULL, "its status frame, mapped");
    rc = set_version(1);
    tap_ok(rc == 0 || rc == -XEN_EBUSY, "back to version 1: %d", rc);
    if (rc == 0) {
        for (int i = 0; i < PAGE_SIZE / 4; i++)
            kept[i] = 0x5AFE0000;
        for (int i = 0; i < ROUNDS; i++) {
            if (set_version(2) || status_frame() == mfn || set_version(1))
                tap_ok(false, "the frame came back while it was mapped");
        }
        tap_ok(stays(kept, 0x5AFE0000), "nobody else uses the frame");
    }
    unmap_frames((void *)kept, 1);
    tap_is(set_version(2), 0, "version 2 again");
    tap_is(set_version(1), 0, "and back with nothing mapped");
    tap_is(map_page(window_alloc(1), pte_make(mfn, PAGE_KERNEL)), -XEN_EINVAL,
           "the frame is not the guest's any more");
    tap_done();
}
