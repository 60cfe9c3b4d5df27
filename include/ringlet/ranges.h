/* SPDX-License-Identifier: MIT */
/*
 * ranges.h: a set of numbers that comes in ranges, such as the frames of devices a domain may map.
 *
 * Read next: xen/ranges.c.
 */
#ifndef RINGLET_RANGES_H
#define RINGLET_RANGES_H

#include <ringlet/lib.h>

/* All zeros is the empty set. Its owner's lock guards it. */
struct ranges {
    uint64_t *bounds; /* ascending: the numbers at which the set begins or ends */
    unsigned n;       /* how many: even */
    unsigned room;    /* for how many there is memory */
};

/* xen/ranges.c */
bool ranges_hold(const struct ranges *r, uint64_t first, uint64_t last);
int ranges_change(struct ranges *r, uint64_t first, uint64_t last, bool in);
void ranges_clear(struct ranges *r);

#endif
