/* SPDX-License-Identifier: MIT */
/*
 * l2_table.c: what is usual in L2s, many entries at a time. The rest is looked at one by one
 * (entries.c).
 *
 * Read next: frame.h (struct common_l1), types.c.
 */
#include <ringlet/mm.h>
#include <ringlet/tables.h>

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

/* The entries of a table from i up are done: the index behind the next one down that is present, or 0. */
static unsigned skip_empty_down(const pte_t *table, unsigned i)
{
    for (; i >= 32 && none_of(32, table + i - 32); i -= 32)
        ;
    for (; i >= 8 && none_of(8, table + i - 8); i -= 8)
        ;
    while (i && !is_present(table + i - 1))
        i--;
    return i;
}

/*
 * The references of an entry of an L2 of d's, mm_lock held, that names an L1 of d's: one that is in
 * use as such already, or stays so. A kernel's part of every new directory is made of these. False: it
 * is another case.
 */
static inline bool get_l2_fast(uint32_t low, const struct domain *d)
{
    uint32_t mfn = low >> PAGE_SHIFT;

    return likely(!(low & LOW_NOT_PLAIN)) && likely(mfn < max_frame) &&
           get_table_fast(&frame_table[mfn], d, FT_L1);
}

/* What a validated entry names is a frame of its owner's; a linear map's is no L1. */
static inline bool put_l2_fast(uint32_t low)
{
    return put_table_fast(&frame_table[low >> PAGE_SHIFT], FT_L1);
}

/*
 * Take the references of the entries of an L2 of d's, not a top one, from i on, up to the first one
 * that needs a closer look: its index, or L2_ENTRIES. The entries that are passed over are empty, or
 * name L1s in use.
 */
unsigned get_usual_l2_entries(const pte_t *table, unsigned i, const struct domain *d)
{
    const pte_t *p = table + i, *end = table + L2_ENTRIES;

    while (p < end) {
        uint32_t low = ((const uint32_t *)p)[0];

        if (low & LOW_P) {
            if (unlikely(((const uint32_t *)p)[1]) || unlikely(!get_l2_fast(low, d)))
                break;
            p++;
        } else {
            p = skip_empty(p, end);
        }
    }
    return p - table;
}

/* Drop those of the entries below i, downwards to the first one that needs more: its index + 1, or 0. */
unsigned put_usual_l2_entries(const pte_t *table, unsigned i)
{
    const pte_t *p = table + i;

    while (p > table) {
        uint32_t low = ((const uint32_t *)p)[-2];

        if (low & LOW_P) {
            if (unlikely(((const uint32_t *)p)[-1]) || unlikely(!put_l2_fast(low)))
                break;
            p--;
        } else {
            p = table + skip_empty_down(table, p - table);
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

/* The opposite, downwards from slot i - 1, where each has other users. */
static unsigned uncount_common(const pte_t *table, unsigned i, struct domain *d)
{
    struct common_l1 *c = d->common_l1s + i;

    for (; i >= 4 && four_are_common((const uint32_t *)&table[i - 4], c - 4); i -= 4) {
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

/*
 * get_usual_l2_entries() for the top L2 f. An L1 that its slot may have in common from now on is not
 * passed over (C2).
 */
unsigned get_usual_top_entries(const pte_t *table, unsigned i, struct frame *f)
{
    const unsigned n = L2_FIRST_HYPERVISOR_SLOT;
    struct domain *d = frame_owner(f);

    while ((i = count_common(table, i, n, d)) < n) {
        const uint32_t *e = (const uint32_t *)&table[i];
        struct common_l1 *c = &d->common_l1s[i];

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
        i++;
    }
    return i;
}

/* put_usual_l2_entries() for the top L2 f. The last user is not passed over (C3). */
unsigned put_usual_top_entries(const pte_t *table, unsigned i, struct frame *f)
{
    struct domain *d = frame_owner(f);

    while ((i = uncount_common(table, i, d))) {
        struct common_l1 *c = &d->common_l1s[i - 1];
        pte_t e = table[i - 1];

        if (!(e & PTE_P)) {
            i = skip_empty_down(table, i);
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
