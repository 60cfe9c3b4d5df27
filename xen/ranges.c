/* SPDX-License-Identifier: MIT */
/*
 * ranges.c: a set of numbers as the list of its bounds: [b0, b1), [b2, b3), ... A number is in the
 * set when an odd count of bounds lie at or below it. So adding and taking away are one operation:
 * the bounds between the ends go, and at each end one is put where the set changes there.
 *
 * Read next: domctl_access.c, mm/entries.c (who asks).
 */
#include <ringlet/frame.h>
#include <ringlet/hypercall.h>
#include <ringlet/ranges.h>

/* How many bounds lie below `number`. */
static unsigned bounds_below(const struct ranges *r, uint64_t number)
{
    unsigned i = 0;

    while (i < r->n && r->bounds[i] < number)
        i++;
    return i;
}

/* Are all of first to last in the set? first <= last. 2^64 - 1 never is. */
bool ranges_hold(const struct ranges *r, uint64_t first, uint64_t last)
{
    unsigned i = bounds_below(r, first + 1);

    return (i & 1) && r->bounds[i] > last;
}

/* A change puts in two bounds at most. */
static int make_room(struct ranges *r)
{
    unsigned room = r->n + 8;
    uint64_t *bounds;

    if (r->n + 2 <= r->room)
        return 0;
    bounds = xzalloc_array(uint64_t, room);
    if (!bounds)
        return -ENOMEM;
    if (r->n)
        memcpy(bounds, r->bounds, r->n * sizeof(*bounds));
    xfree(r->bounds);
    r->bounds = bounds;
    r->room = room;
    return 0;
}

/*
 * Put all of first to last into the set (`in`) or take them out. first <= last < 2^64 - 1. -ENOMEM:
 * nothing has changed.
 */
int ranges_change(struct ranges *r, uint64_t first, uint64_t last, bool in)
{
    unsigned from, to, put = 0;
    uint64_t ends[2];

    if (make_room(r))
        return -ENOMEM;
    from = bounds_below(r, first);
    to = bounds_below(r, last + 2);
    if ((from & 1) != in)
        ends[put++] = first;
    if ((to & 1) != in)
        ends[put++] = last + 1;
    memmove(r->bounds + from + put, r->bounds + to, (r->n - to) * sizeof(*r->bounds));
    memcpy(r->bounds + from, ends, put * sizeof(*ends));
    r->n += put - (to - from);
    return 0;
}

void ranges_clear(struct ranges *r)
{
    xfree(r->bounds);
    *r = (struct ranges){0};
}
