/* SPDX-License-Identifier: MIT */
/*
 * XSA-255: status frames of a grant table that stay mapped when they are gone.
 *
 * Version 2 of the grant table keeps the status bits in frames of their own, which the guest may
 * map. Going back to version 1, Xen freed them without asking whether they were still mapped: the
 * guest kept a window on memory that was soon somebody else's, the hypervisor's included.
 *
 * This guest maps the status frame and changes the version back and forth. While the map stands,
 * the way back must be refused, or the frame must stay the guest's: what is written there must
 * show nowhere else. And however often this is done, the hypervisor must not run out of memory.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/grant_table.h>

#define ROUNDS 2000

static int set_version(uint32_t version)
{
    struct gnttab_set_version op = {.version = version};

    return hv_grant_table_op(GNTTABOP_set_version, &op, 1);
}

static uint32_t setup(void)
{
    xen_pfn_t frame = 0;
    struct gnttab_setup_table op = {.dom = DOMID_SELF, .nr_frames = 1};

    set_xen_guest_handle(op.frame_list, &frame);
    if (hv_grant_table_op(GNTTABOP_setup_table, &op, 1) != 0 || op.status != GNTST_okay)
        panic("no grant table");
    return frame;
}

static uint32_t status_frame(int16_t *status)
{
    uint64_t frame = 0;
    struct gnttab_get_status_frames op = {.dom = DOMID_SELF, .nr_frames = 1};

    set_xen_guest_handle(op.frame_list, &frame);
    if (hv_grant_table_op(GNTTABOP_get_status_frames, &op, 1) != 0)
        panic("get_status_frames fails");
    *status = op.status;
    return frame;
}

/* Each round maps the status frame anew and leaves the map where it is, as long as it is let. */
static uint32_t hoard(char *window)
{
    uint32_t kept = 0;
    int16_t status;

    for (; kept < ROUNDS && set_version(2) == 0; kept++) {
        uint32_t mfn = status_frame(&status);

        if (status != GNTST_okay ||
            map_page(window + kept * PAGE_SIZE, pte_make(mfn, PAGE_KERNEL)) != 0)
            break;
        if (set_version(1) != 0)
            break;
    }
    return kept;
}

int main(void)
{
    volatile uint32_t *map;
    uint32_t mfn;
    int16_t status;
    int back;

    setup();
    status_frame(&status);
    tap_is(status, GNTST_general_error, "no status frames in version 1");
    if (!tap_is(set_version(2), 0, "version 2"))
        tap_done();
    mfn = status_frame(&status);
    tap_is(status, GNTST_okay, "a status frame");
    map = map_frames(DOMID_SELF, &mfn, 1, true, NULL);
    if (!tap_ok(map != NULL, "it is mapped"))
        tap_done();
    back = set_version(1);
    tap_diag("back to version 1 with the map: %d", back);
    tap_ok(back == -XEN_EBUSY, "the way back is refused while the frame is mapped");
    map[0] = 0x12345678;
    tap_audit();
    unmap_frames((void *)map, 1);
    if (back != 0)
        tap_is(set_version(1), 0, "without the map the way is free");
    status_frame(&status);
    tap_is(status, GNTST_general_error, "and the status frames are gone");
    tap_ok(map_frames(DOMID_SELF, &mfn, 1, true, NULL) == NULL, "the frame is not this domain's");
    tap_ok(hoard(window_alloc(ROUNDS)) <= 1, "frames of old tables cannot be hoarded");
    tap_audit();
    tap_done();
}
