/* SPDX-License-Identifier: MIT */
/*
 * Grant tables, version 1: eight bytes an entry, one page of them.
 *
 * Next: map.c, for the other way to map foreign frames.
 */
#include <pv/grant.h>

#include <stddef.h>

#include <pv/page.h>
#include <pv/start.h>

#define ENTRIES (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define FIRST_FREE GNTTAB_NR_RESERVED_ENTRIES

/* The page shared with the hypervisor; entries are ours to write until the other side uses them.
 * Single vcpu. */
static volatile struct grant_entry_v1 *table;

static volatile struct grant_entry_v1 *grant_table(void)
{
    xen_pfn_t frame;
    struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = 1};

    if (table)
        return table;
    set_xen_guest_handle(setup.frame_list, &frame);
    if (hv_grant_table_op(GNTTABOP_setup_table, &setup, 1) != 0 || setup.status != GNTST_okay)
        panic("no grant table: status %d", setup.status);
    table = map_frames(DOMID_SELF, (uint32_t *)&frame, 1, true, NULL);
    if (!table)
        panic("the grant table's frame %lx cannot be mapped", frame);
    return table;
}

/* Flags last: they make the entry valid, and the hypervisor may read it at any moment. */
int grant_access(domid_t domid, uint32_t mfn, bool writable)
{
    volatile struct grant_entry_v1 *entries = grant_table();

    for (grant_ref_t ref = FIRST_FREE; ref < ENTRIES; ref++) {
        if (entries[ref].flags != 0)
            continue;
        entries[ref].domid = domid;
        entries[ref].frame = mfn;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        entries[ref].flags = GTF_permit_access | (writable ? 0 : GTF_readonly);
        return ref;
    }
    return -XEN_ENOSPC;
}

/* The hypervisor sets the reading and writing bits in the same word when the other side maps it,
 * so taking it back is a compare-and-exchange. */
bool grant_end(grant_ref_t ref)
{
    volatile struct grant_entry_v1 *entry = &grant_table()[ref];
    uint16_t flags = entry->flags;

    do {
        if (flags & (GTF_reading | GTF_writing))
            return false;
    } while (!__atomic_compare_exchange_n(&entry->flags, &flags, 0, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    return true;
}

/*
 * Grant statuses are small negative numbers of their own; all that matter here mean "not allowed".
 */
int grant_map(domid_t domid, grant_ref_t ref, bool writable, struct grant_map *map)
{
    struct gnttab_map_grant_ref op = {
        .flags = GNTMAP_host_map | (writable ? 0 : GNTMAP_readonly),
        .ref = ref,
        .dom = domid,
    };

    map->va = window_alloc(1);
    if (!map->va)
        return -XEN_ENOMEM;
    pte_machine_address(map->va); /* the table must exist: the hypervisor fills in its entry */
    op.host_addr = (uint32_t)map->va;
    if (hv_grant_table_op(GNTTABOP_map_grant_ref, &op, 1) != 0 || op.status != GNTST_okay) {
        window_free(map->va, 1);
        map->va = NULL;
        return -XEN_EPERM;
    }
    map->handle = op.handle;
    return 0;
}

int grant_unmap(struct grant_map *map)
{
    struct gnttab_unmap_grant_ref op = {.host_addr = (uint32_t)map->va, .handle = map->handle};

    if (hv_grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1) != 0 || op.status != GNTST_okay)
        return -XEN_EINVAL;
    window_free(map->va, 1);
    map->va = NULL;
    return 0;
}
