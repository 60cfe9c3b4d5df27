/* SPDX-License-Identifier: MIT */
/*
 * usercopy.c: copying to and from a guest. See guest_access.h for why this is safe.
 */
#include <ringlet/guest_access.h>

/* The bytes not copied; 0 is success. Whole words first, then the odd bytes. */
static uint32_t copy_checked(void *dst, const void *src, uint32_t n)
{
    uint32_t words = n & ~3u, left = raw_copy_words_from_guest(dst, src, words);

    if (left)
        return left + (n & 3);
    return (n & 3) ? raw_copy_bytes((char *)dst + words, (const char *)src + words, n & 3) : 0;
}

uint32_t copy_from_guest(void *dst, const void *guest, uint32_t n)
{
    return guest_range_ok(guest, n) ? copy_checked(dst, guest, n) : n;
}

uint32_t copy_to_guest(void *guest, const void *src, uint32_t n)
{
    return guest_range_ok(guest, n) ? copy_checked(guest, src, n) : n;
}

uint32_t clear_guest(void *guest, uint32_t n)
{
    return guest_range_ok(guest, n) ? raw_clear_bytes(guest, n) : n;
}
