/* SPDX-License-Identifier: MIT */
/*
 * bitops.h: single bits in arrays of words that a guest, or another CPU, may change at any moment.
 * Each operation is one locked instruction, and a full barrier. Bit n is bit n % 32 of word n / 32.
 */
#ifndef RINGLET_BITOPS_H
#define RINGLET_BITOPS_H

#include <ringlet/types.h>

static inline bool test_bit(unsigned n, const volatile void *words)
{
    return ((const volatile uint32_t *)words)[n / 32] >> (n % 32) & 1;
}

/* The value before. */
static inline bool test_and_set_bit(unsigned n, volatile void *words)
{
    uint32_t bit = 1u << (n % 32);

    return __atomic_fetch_or((volatile uint32_t *)words + n / 32, bit, __ATOMIC_SEQ_CST) & bit;
}

static inline bool test_and_clear_bit(unsigned n, volatile void *words)
{
    uint32_t bit = 1u << (n % 32);

    return __atomic_fetch_and((volatile uint32_t *)words + n / 32, ~bit, __ATOMIC_SEQ_CST) & bit;
}

#endif
