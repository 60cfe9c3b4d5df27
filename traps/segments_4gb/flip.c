/* SPDX-License-Identifier: MIT */
/*
 * flip.c: the other form of a data segment: expand-down for expand-up, and back, at the same base.
 *
 * Read next: traps/descriptor.c (rule D2 and widest_limit()), segments_4gb.c (the caller). Tested by
 * tests/host/test_descriptor.c.
 */
#include "flip.h"

/* Does a page-granular segment with this limit have `offset`? */
static bool form_reaches(bool expand_down, uint32_t limit, uint32_t offset)
{
    bool within = offset >> PAGE_SHIFT <= limit;

    return expand_down ? !within : within;
}

/*
 * Turn an expand-up data segment into an expand-down one at the same
 * base, or back, so that it has `offset`. false, and nothing changed: it is no 32-bit,
 * page-granular data segment; it has the offset already; the other form would not have it either.
 *
 * Why this cannot open the hypervisor: the new limit comes from widest_limit(), by whose comment it
 * keeps D2 in either form for every base; nothing else changes but the expand-down bit. Why it does
 * not widen what the guest meant to be narrow: only a limit that already is the widest of its form
 * is touched, as it is when a larger one was cut.
 */
bool flip_descriptor(struct desc *d, uint32_t offset)
{
    const uint32_t wanted = DESC_P | DESC_S | DESC_G | DESC_DB;
    uint32_t limit = desc_limit(d), widest, other;
    bool down = is_expand_down(d);

    if ((d->b & (wanted | DESC_CODE)) != wanted)
        return false;
    if (!widest_limit(desc_base(d), down, &widest) || limit != widest ||
        !widest_limit(desc_base(d), !down, &other))
        return false;
    if (form_reaches(down, limit, offset) || !form_reaches(!down, other, offset))
        return false;
    set_desc_limit(d, other);
    d->b ^= DESC_EXPAND_DOWN;
    return true;
}
