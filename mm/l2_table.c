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
    for (p++; p + 32 <= end && none_of(32, p); p += 32)
        ;
    while (p < end && !is_present(p))
        p++;
    return p;
}

/*
 * p is behind an empty entry: behind the next one downwards that is not, or `start`, where `start`
 * is a table whose F11 says `used`.
 */
static const pte_t *skip_empty_down(const pte_t *p, const pte_t *start, uint32_t used)
{
    unsigned group = (--p - start) / USED_ENTRIES;

    if (!(used >> group & 1)) {
        used &= (1u << group) - 1;
        if (!used)
            return start;
        p = start + (32 - __builtin_clz(used)) * USED_ENTRIES;
    }
    for (; p - 16 >= start && none_of(16, p - 16); p -= 16)
        ;
    while (p > start && !is_present(p - 1))
        p--;
    return p;
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
            p = skip_empty_down(p, table, used);
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

/* Count a run of them in from slot i on. The first slot behind it. */
static unsigned count_common(const pte_t *table, unsigned i, struct domain *d)
{
    const pte_t *p = table + i, *last = table + L2_FIRST_HYPERVISOR_SLOT - 4;
    struct common_l1 *c = d->common_l1s + i;

    for (; p <= last && four_are_common((const uint32_t *)p, c); p += 4, c += 4) {
        c[0].users++;
        c[1].users++;
        c[2].users++;
        c[3].users++;
    }
    return p - table;
}

/* The opposite, downwards from slot i - 1, where each has other users. The last slot of the run. */
static unsigned uncount_common(const pte_t *table, unsigned i, struct domain *d)
{
    const pte_t *p = table + i, *first = table + 4;
    struct common_l1 *c = d->common_l1s + i;

    for (; p >= first && four_are_common((const uint32_t *)(p - 4), c - 4); p -= 4) {
        c -= 4;
        if (c[0].users == 1 || c[1].users == 1 || c[2].users == 1 || c[3].users == 1)
            break;
        c[0].users--;
        c[1].users--;
        c[2].users--;
        c[3].users--;
    }
    return p - table;
}

/*
 * get_usual_l2_entries() for a top L2 of d's. An L1 that its slot may have in common from now on is
 * not passed over (C2).
 */
unsigned get_usual_top_entries(const pte_t *table, unsigned i, struct domain *d)
{
    const unsigned n = L2_FIRST_HYPERVISOR_SLOT;

    while ((i = count_common(table, i, d)) < n) {
        const uint32_t *e = (const uint32_t *)&table[i];
        struct common_l1 *c = &d->common_l1s[i];

        if (!(e[0] & LOW_P)) {
            i = skip_empty(&table[i], table + n) - table;
            continue;
        }
        if (e[1] || !c->users)
            break;
        if (!((e[0] ^ c->entry) & (LOW_FRAME | LOW_NOT_PLAIN)))
            c->users++;
        else if (!get_l2_fast(e[0], d))
            break;
        i++;
    }
    return i;
}

/* put_usual_l2_entries() for a top L2 of d's. The last user is not passed over (C3). */
unsigned put_usual_top_entries(const pte_t *table, unsigned i, struct domain *d)
{
    while ((i = uncount_common(table, i, d))) {
        struct common_l1 *c = &d->common_l1s[i - 1];
        pte_t e = table[i - 1];

        if (!(e & PTE_P)) {
            i = skip_empty_down(&table[i], table, ALL_USED) - table;
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
