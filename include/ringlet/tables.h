/* SPDX-License-Identifier: MIT */
/*
 * tables.h: going through the entries of a page table.
 *
 * An entry has 64 bits, and what matters of most is in the lower 32: flags and a frame below 4 GiB.
 * On 64-bit constants the compiler would work with pairs of registers.
 *
 * Read next: mm/l1.c, mm/l2_table.c.
 */
#ifndef RINGLET_TABLES_H
#define RINGLET_TABLES_H

#include <ringlet/page.h>

#define LOW_P 0x001u
#define LOW_RW 0x002u
/* Flags that no domain, or not every domain, may set: PWT, PCD, PAT, G. */
#define LOW_NOT_PLAIN 0x198u
#define LOW_FRAME 0xFFFFF000u
#define LOW_AD 0x060u

_Static_assert(LOW_P == PTE_P && LOW_RW == PTE_RW, "page.h");
_Static_assert(LOW_AD == (PTE_A | PTE_D), "page.h");
_Static_assert(LOW_NOT_PLAIN == (PTE_PWT | PTE_PCD | PTE_PAT | PTE_G), "page.h");

/*
 * Is none of the n entries from p on present? n is a constant. Tables are mostly empty, and are
 * searched for what is in them at an instruction and a bit an entry.
 */
static inline __attribute__((always_inline)) bool none_of(unsigned n, const pte_t *p)
{
    const uint32_t *w = (const uint32_t *)p;
    uint32_t any = 0;

#pragma GCC unroll 32
    for (unsigned i = 0; i < n; i++)
        any |= w[2 * i];
    return !(any & LOW_P);
}

#endif
