/* SPDX-License-Identifier: MIT */
/*
 * Grants: sharing single pages with another domain by reference number.
 *
 * The owner writes an entry (who may map which frame) into its grant table, which the hypervisor
 * shares with it, and tells the other domain the number; the other maps it with a hypercall. The
 * first eight entries are reserved by convention (0 console, 1 xenstore).
 *
 * Next: lib/grant.c.
 */
#ifndef PV_GRANT_H
#define PV_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include <pv/hypercall.h>
#include <xen/grant_table.h>

/* grant.c */

/* Let domid map a page of this domain. A reference, or -ENOSPC. */
int grant_access(domid_t domid, uint32_t mfn, bool writable);

/* Take the permission back; false while the other side has it mapped. */
bool grant_end(grant_ref_t ref);

struct grant_map {
    void *va;
    grant_handle_t handle;
};

/* Map a reference of another domain into the window: 0, or a negative errno with nothing mapped. */
int grant_map(domid_t domid, grant_ref_t ref, bool writable, struct grant_map *map);
int grant_unmap(struct grant_map *map);

#endif
