/* SPDX-License-Identifier: MIT */
/*
 * l2_table.c: what is usual in L2s, many entries at a time. The rest is looked at one by one
 * (entries.c).
 *
 * Read next: frame.h (struct common_l1), types.c.
 */
#include <ringlet/l1.h>

static inline bool is_present(const pte_t *p)
{
    return *(const uint32_t *)p & LOW_P;
}

/* p is an empty entry: the next one that is not, or `end`. */
static const pte_t *skip_empty(const pte_t *p, const pte_t *end)
{
    for (; p + 32 <= end && none_of(32, p); p += 32)
        ;
    for (; p + 8 <= end && none_of(8, p); p += 8)
        ;
    while (p < end && !is_present(p))
        p++;
    return p;
}

/*
 * The entries of a table from i up are done, and its F11 says `used`: the index behind the next one
 * downwards that is not empty, or `floor`.
 */
static unsigned skip_empty_down(const pte_t *table, unsigned i, unsigned floor, uint32_t used)
{
    while (i > floor) {
        uint32_t below = used & ((2u << (i - 1) / USED_ENTRIES) - 1);
        unsigned end = below ? (32 - __builtin_clz(below)) * USED_ENTRIES : 0, start;

        if (end <= floor)
            break;
        i = MIN(i, end);
        start = MAX(end - USED_ENTRIES, floor);
        for (; i >= start + 16 && none_of(16, table + i - 16); i -= 16)
            ;
        for (; i >= start + 4 && none_of(4, table + i - 4); i -= 4)
            ;
        for (; i > start; i--)
            if (is_present(table + i - 1))
                return i;
    }
    return floor;
}

/*
 * Take the references of the entries of an L2 of d's, not a top one, from i on, up to the first one
 * that needs a closer look: its index, or L2_ENTRIES. The entries that are passed over are empty, or
 * name L1s in use and go into *used (F11).
 */
unsigned get_usual_l2_entries(const pte_t *table, unsigned i, uint32_t *used,
                              const struct domain *d)
{
    const pte_t *p = table + i, *end = table + L2_ENTRIES;

    while (p < end) {
        uint32_t low = ((const uint32_t *)p)[0];

        if (low & LOW_P) {
            if (unlikely(((const uint32_t *)p)[1]) || unlikely(!get_l2_fast(low, d)))
                break;
            *used |= 1u << used_group(p);
            p++;
        } else {
            p = skip_empty(p, end);
        }
    }
    return p - table;
}

/* Drop those of the entries below i, downwards to the first one that needs more: its index + 1, or 0. */
unsigned put_usual_l2_entries(const pte_t *table, unsigned i, uint32_t used)
{
    const pte_t *p = table + i;

    while (p > table) {
        uint32_t low = ((const uint32_t *)p)[-2];

        if (low & LOW_P) {
            if (unlikely(((const uint32_t *)p)[-1]) || unlikely(!put_l2_fast(low)))
                break;
            p--;
        } else {
            p = table + skip_empty_down(table, p - table, 0, used);
        }
    }
    return p - table;
}

/* Does the entry of a top L2 name the L1 that others name in the same slot? C1. */
bool is_common_l1(pte_t e, const struct common_l1 *c)
{
    return c->users && (e & (PTE_ADDR | PTE_P)) == c->entry;
}

/*
 * Are four entries of a top L2, side by side, all common with others', with flags that need no other
 * check? They come in long runs, so one decision for four.
 */
static inline __attribute__((always_inline)) bool four_are_common(const uint32_t *e,
                                                                  const struct common_l1 *c)
{
    uint32_t e0 = e[0], e1 = e[2], e2 = e[4], e3 = e[6];

    if (!(e0 & e1 & e2 & e3 & LOW_P))
        return false;
    e0 = (e0 ^ c[0].entry) | (e1 ^ c[1].entry) | (e2 ^ c[2].entry) | (e3 ^ c[3].entry);
    return !(e0 & (LOW_FRAME | LOW_NOT_PLAIN | LOW_P)) && !(e[1] | e[3] | e[5] | e[7]);
}

/* Count those from slot i on in, up to slot n. The first slot that is none. */
static unsigned count_common(const pte_t *table, unsigned i, unsigned n, struct domain *d)
{
    struct common_l1 *c = d->common_l1s + i;

    for (; i + 4 <= n && four_are_common((const uint32_t *)&table[i], c); i += 4, c += 4) {
        c[0].users++;
        c[1].users++;
        c[2].users++;
        c[3].users++;
    }
    return i;
}

/* The opposite, downwards from slot i - 1 to `floor`, where each has other users. */
static unsigned uncount_common(const pte_t *table, unsigned i, unsigned floor, struct domain *d)
{
    struct common_l1 *c = d->common_l1s + i;

    for (; i >= floor + 4 && four_are_common((const uint32_t *)&table[i - 4], c - 4); i -= 4) {
        c -= 4;
        if (c[0].users == 1 || c[1].users == 1 || c[2].users == 1 || c[3].users == 1)
            break;
        c[0].users--;
        c[1].users--;
        c[2].users--;
        c[3].users--;
    }
    return i;
}

/* The bits of F11 for entries i to n - 1. */
static uint32_t used_range(unsigned i, unsigned n)
{
    return i < n ? (2u << (n - 1) / USED_ENTRIES) - (1u << i / USED_ENTRIES) : 0;
}

/* A shorter one is not worth it. A fuzzer's are. */
#ifndef RUN_MIN
#define RUN_MIN 32
#endif

/* Slots from to i - 1, in which the top L2 f has just been counted, are the run if there is none: C4. */
static void begin_run(unsigned from, unsigned i, struct frame *f)
{
    struct common_run *run = &frame_owner(f)->common_run;

    if (run->users || i - from < RUN_MIN)
        return;
    *run = (struct common_run){.first = from, .n = i - from, .users = 1};
    __atomic_fetch_or(&f->type_info, FT_IN_RUN, __ATOMIC_SEQ_CST);
}

/*
 * get_usual_l2_entries() for the top L2 f, up to slot n. An L1 that its slot may have in common
 * from now on is not passed over (C2).
 */
static unsigned get_top_range(const pte_t *table, unsigned i, unsigned n, uint32_t *used,
                              struct frame *f)
{
    struct domain *d = frame_owner(f);

    for (;;) {
        const uint32_t *e;
        struct common_l1 *c;
        unsigned from = i;

        i = count_common(table, i, n, d);
        *used |= used_range(from, i);
        begin_run(from, i, f);
        if (i >= n)
            return i;
        e = (const uint32_t *)&table[i];
        c = &d->common_l1s[i];
        if (!(e[0] & LOW_P)) {
            i = skip_empty(&table[i], table + n) - table;
            continue;
        }
        if (e[1] || !c->users)
            return i;
        if (!((e[0] ^ c->entry) & (LOW_FRAME | LOW_NOT_PLAIN)))
            c->users++;
        else if (!get_l2_fast(e[0], d))
            return i;
        *used |= used_range(i, i + 1);
        i++;
    }
}

/* put_usual_l2_entries() for a top L2 of d's, down to slot `floor`. The last user is not passed over (C3). */
static unsigned put_top_range(const pte_t *table, unsigned i, unsigned floor, uint32_t used,
                              struct domain *d)
{
    while ((i = uncount_common(table, i, floor, d)) > floor) {
        struct common_l1 *c = &d->common_l1s[i - 1];
        pte_t e = table[i - 1];

        if (!(e & PTE_P)) {
            i = skip_empty_down(table, i, floor, used);
            continue;
        }
        if (is_common_l1(e, c)) {
            if (c->users == 1)
                break;
            c->users--;
        } else if (e >> 32 || !put_l2_fast(e)) {
            break;
        }
        i--;
    }
    return i;
}

/* --- Runs: C4 --------------------------------------------------------------------------------- */

/* Does the table name all that the run has in common, with flags that need no other check? */
static bool matches_run(const pte_t *table, const struct domain *d)
{
    const struct common_run *run = &d->common_run;
    const struct common_l1 *c = &d->common_l1s[run->first], *end = c + run->n;
    const uint32_t *e = (const uint32_t *)&table[run->first];
    uint32_t differ = 0;
    uint32_t high = 0;

#pragma GCC unroll 8
    for (; c < end; c++, e += 2) {
        differ |= e[0] ^ c->entry;
        high |= e[1];
    }
    return !(differ & (LOW_FRAME | LOW_NOT_PLAIN | LOW_P)) && !high;
}

/* From slot i on, go over what is usual in the top L2 f; see get_usual_l2_entries(). */
unsigned get_usual_top_entries(const pte_t *table, unsigned i, uint32_t *used, struct frame *f)
{
    struct domain *d = frame_owner(f);
    struct common_run *run = &d->common_run;

    if (run->users && i <= run->first) {
        i = get_top_range(table, i, run->first, used, f);
        if (i < run->first)
            return i;
        if (matches_run(table, d)) {
            run->users++;
            __atomic_fetch_or(&f->type_info, FT_IN_RUN, __ATOMIC_SEQ_CST);
            *used |= used_range(i, i + run->n);
            i += run->n;
        }
    }
    return get_top_range(table, i, L2_FIRST_HYPERVISOR_SLOT, used, f);
}

/* Downwards from slot i - 1; see put_usual_l2_entries(). The run is left as a whole. */
unsigned put_usual_top_entries(const pte_t *table, unsigned i, uint32_t used, struct frame *f)
{
    struct domain *d = frame_owner(f);
    struct common_run *run = &d->common_run;

    if (f->type_info & FT_IN_RUN) {
        i = put_top_range(table, i, run->first + run->n, used, d);
        if (i > run->first + run->n)
            return i;
        if (run->users > 1) {
            run->users--;
            i = run->first;
            __atomic_fetch_and(&f->type_info, ~FT_IN_RUN, __ATOMIC_SEQ_CST);
        } else {
            leave_run(f);
        }
    }
    return put_top_range(table, i, 0, used, d);
}

/* The top L2 f, which counts in the run, counts in each of its slots from now on. */
void leave_run(struct frame *f)
{
    struct domain *d = frame_owner(f);
    struct common_run *run = &d->common_run;

    ASSERT((f->type_info & FT_TOP) && run->users);
    __atomic_fetch_and(&f->type_info, ~FT_IN_RUN, __ATOMIC_SEQ_CST);
    if (!--run->users) {
        run->n = 0;
        return;
    }
    for (unsigned i = run->first; i < run->first + run->n; i++)
        d->common_l1s[i].users++;
}
