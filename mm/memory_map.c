/* SPDX-License-Identifier: MIT */
/*
 * memory_map.c: what memory_op tells about memory: the machine's map, a guest's own map, and where
 * the M2P is.
 *
 * A memory map is a list in the form of the BIOS call INT 0x15 EAX=0xE820. The machine's is for the
 * initial domain, which must know where devices may lie. Another guest's is what the control domain
 * set for it; Linux takes -ENOSYS as "one piece, as large as nr_pages and a little more".
 *
 * Read next: mm/memory_op.c.
 */
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <xen/memory.h>

/*
 * The frames of the M2P in steps of 2 MiB, as a list a tool can map (read-only, as frames of
 * DOMID_XEN).
 */
long machphys_mfn_list(void *guest_arg)
{
    struct xen_machphys_mfn_list *guest = guest_arg;
    struct xen_machphys_mfn_list x;
    uint32_t bytes = max_frame * sizeof(uint32_t);

    if (copy_from_guest(&x, guest, sizeof(x)))
        return -EFAULT;
    x.nr_extents = MIN(x.max_extents, DIV_ROUND_UP(bytes, 1u << SUPERPAGE_SHIFT));
    for (uint32_t i = 0; i < x.nr_extents; i++) {
        xen_pfn_t mfn = paging_table_maddr(M2P_START + (i << SUPERPAGE_SHIFT)) >> PAGE_SHIFT;

        if (copy_element_to_guest(x.extent_start.p, i, &mfn))
            return -EFAULT;
    }
    return copy_to_guest(&guest->nr_extents, &x.nr_extents, sizeof(x.nr_extents)) ? -EFAULT : 0;
}

long machphys_mapping(void *guest_arg)
{
    const struct xen_machphys_mapping x = {
        .v_start = M2P_RO_START, .v_end = GUEST_SEGMENT_END, .max_mfn = MAX_FRAMES - 1};

    return copy_to_guest(guest_arg, &x, sizeof(x)) ? -EFAULT : 0;
}

/* Line i of the domain's map; false behind the last one. */
static bool memory_map_line(struct domain *d, unsigned i, struct e820_entry *out)
{
    bool there;

    spin_lock(&d->page_lock);
    there = i < d->memory_map_entries;
    if (there)
        *out = d->memory_map[i];
    spin_unlock(&d->page_lock);
    return there;
}

long get_memory_map(void *guest_arg)
{
    struct domain *d = current->domain;
    struct xen_memory_map map;
    struct e820_entry line;
    unsigned i;

    if (!d->memory_map_entries)
        return -ENOSYS;
    if (copy_from_guest(&map, guest_arg, sizeof(map)))
        return -EFAULT;
    for (i = 0; i < map.nr_entries && memory_map_line(d, i, &line); i++) {
        if (copy_to_guest((struct e820_entry *)map.buffer.p + i, &line, sizeof(line)))
            return -EFAULT;
    }
    map.nr_entries = i;
    return copy_to_guest(guest_arg, &map, sizeof(map)) ? -EFAULT : 0;
}

/*
 * A NULL buffer asks for the number of lines only; a buffer too small for all of them is -EINVAL.
 */
long get_machine_memory_map(void *guest_arg)
{
    uint32_t bytes = boot_memory_map_entries * sizeof(boot_memory_map[0]);
    struct xen_memory_map map;

    if (!current->domain->privileged)
        return -EPERM;
    if (copy_from_guest(&map, guest_arg, sizeof(map)))
        return -EFAULT;
    if (map.buffer.p) {
        if (map.nr_entries < boot_memory_map_entries)
            return -EINVAL;
        if (copy_to_guest(map.buffer.p, boot_memory_map, bytes))
            return -EFAULT;
    }
    map.nr_entries = boot_memory_map_entries;
    return copy_to_guest(guest_arg, &map, sizeof(map)) ? -EFAULT : 0;
}

/* Replace the map a guest will be told. -EINVAL for more lines than any machine's map has. */
long set_memory_map(void *guest_arg)
{
    struct xen_foreign_memory_map x;
    struct e820_entry *new = NULL, *old;
    uint32_t bytes;
    struct domain *d;
    int rc;

    if (copy_from_guest(&x, guest_arg, sizeof(x)))
        return -EFAULT;
    if (x.map.nr_entries > E820_MAX_ENTRIES)
        return -EINVAL;
    rc = find_target_domain(x.domid, &d);
    if (rc)
        return rc;
    bytes = x.map.nr_entries * sizeof(*new);
    if (bytes && !(new = xzalloc_bytes(bytes)))
        rc = -ENOMEM;
    else if (bytes && copy_from_guest(new, x.map.buffer.p, bytes))
        rc = -EFAULT;
    if (rc) {
        xfree(new);
        put_domain(d);
        return rc;
    }
    spin_lock(&d->page_lock);
    old = d->memory_map;
    d->memory_map = new;
    d->memory_map_entries = x.map.nr_entries;
    spin_unlock(&d->page_lock);
    xfree(old);
    put_domain(d);
    return 0;
}
