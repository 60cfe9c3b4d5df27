/* SPDX-License-Identifier: MIT */
/*
 * Hostile teardown: a domain that dies untidily.
 *
 * Ending a domain means undoing what its frames are to each other, in some order, while each undoing
 * may free others. A frame given back while it is pinned or mapped is the hard case: it belongs to
 * the domain still, but its last reference goes in the middle of the undoing, and the list of the
 * domain's frames changes under whoever walks it.
 *
 * This guest pins tables and directories that name each other, gives many of them back at once, as
 * well as pages that are mapped, and powers off. Where frames leak, or the walk loses its way, a few
 * such domains use up the machine (test_hostile.py makes many). As the initial domain it only shows
 * that giving back is allowed and that the counts are right.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/memory.h>

#define TABLES 2048 /* with a page of data for each: 17 MiB in all */

static pte_t *tables[TABLES], *directories[TABLES / 8];

static long give_back(const void *page)
{
    xen_pfn_t mfn = linear_to_mfn(page);
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &mfn);
    return hv_memory_op(XENMEM_decrease_reservation, &r);
}

/* The pages that tables map are given back first or last, and the tables between. */
int main(void)
{
    uint32_t pinned = 0, given = 0;

    for (int i = 0; i < TABLES; i++) {
        void *data = page_alloc();

        tables[i] = page_alloc();
        for (int k = 0; k < 512; k += 3)
            tables[i][k] = pte_make(linear_to_mfn(data), k & 1 ? PAGE_KERNEL : PAGE_KERNEL_RO);
        if (i % 2)
            given += give_back(data) == 1;
        make_readonly(tables[i]);
        pinned += pin(tables[i], MMUEXT_PIN_L1_TABLE) == 0;
    }
    for (int i = 0; i < TABLES / 8; i++) {
        directories[i] = page_alloc();
        for (int k = 0; k < 8; k++)
            directories[i][k * 5] = pte_make(linear_to_mfn(tables[i * 8 + k]), TABLE_FLAGS);
        make_readonly(directories[i]);
        pinned += pin(directories[i], MMUEXT_PIN_L2_TABLE) == 0;
    }
    for (int i = 0; i < TABLES; i++)
        if (i % 4)
            given += give_back(tables[i]) == 1;
    for (int i = 0; i < TABLES / 8; i++)
        given += give_back(directories[i]) == 1;
    tap_is(pinned, TABLES + TABLES / 8, "all tables and directories are pinned");
    tap_is(given, TABLES / 2 + TABLES * 3 / 4 + TABLES / 8, "many frames in use are given back");
    tap_ok(give_back(directories[0]) != 1, "but none twice");
    for (int i = 0; i < TABLES; i++) /* their last map but the pin's */
        hv_update_va_mapping(tables[i], 0, UVMF_INVLPG);
    tap_audit();
    tap_done();
}
