/* SPDX-License-Identifier: MIT */
/*
 * divide.c: 64-bit division, which the compiler calls as a function on this processor.
 *
 * Why not libgcc's: the whole hypervisor is built with -mregparm=3, and a library built without it
 * finds its arguments in the wrong places.
 */
#include <ringlet/types.h>

uint64_t __udivdi3(uint64_t n, uint64_t d);
uint64_t __umoddi3(uint64_t n, uint64_t d);
uint64_t __udivmoddi4(uint64_t n, uint64_t d, uint64_t *r);
int64_t __divdi3(int64_t n, int64_t d);

/*
 * n / d and the remainder, for a divisor of 32 bits: two DIVs, the first one's remainder above the
 * second's dividend.
 */
static uint64_t divide_by_32(uint64_t n, uint32_t d, uint64_t *remainder)
{
    uint32_t high = n >> 32, low = n, q_high = high / d, q_low, r = high % d;

    /* r < d, so the quotient fits 32 bits and DIV cannot overflow. */
    __asm__("divl %4" : "=a"(q_low), "=d"(r) : "0"(low), "1"(r), "rm"(d) : "cc");
    *remainder = r;
    return (uint64_t)q_high << 32 | q_low;
}

/*
 * A divisor of more than 32 bits is rare: one bit of the quotient at a time, of which the upper 32
 * are zero.
 */
static uint64_t divide(uint64_t n, uint64_t d, uint64_t *remainder)
{
    uint64_t q = 0, r = n >> 32;

    if (!(d >> 32))
        return divide_by_32(n, d, remainder);
    for (int bit = 31; bit >= 0; bit--) {
        bool carry = r >> 63;

        r = r << 1 | (n >> bit & 1);
        q <<= 1;
        if (carry || r >= d) {
            r -= d;
            q |= 1;
        }
    }
    *remainder = r;
    return q;
}

uint64_t __udivdi3(uint64_t n, uint64_t d)
{
    uint64_t r;

    return divide(n, d, &r);
}

uint64_t __umoddi3(uint64_t n, uint64_t d)
{
    uint64_t r;

    divide(n, d, &r);
    return r;
}

uint64_t __udivmoddi4(uint64_t n, uint64_t d, uint64_t *r)
{
    return divide(n, d, r);
}

/* C rounds towards zero: divide the magnitudes, then apply the sign. */
int64_t __divdi3(int64_t n, int64_t d)
{
    uint64_t r,
        q = divide(n < 0 ? -(uint64_t)n : (uint64_t)n, d < 0 ? -(uint64_t)d : (uint64_t)d, &r);

    return (n < 0) != (d < 0) ? -q : q;
}
