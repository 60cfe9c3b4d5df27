/* SPDX-License-Identifier: MIT */
/*
 * guest_access.h: the only way to touch a guest's memory by its own address.
 *
 * The hypervisor runs on the guest's page tables, so a guest pointer can be used as it is, once it is known to lie
 * below HYPERVISOR_START. It may still be unmapped or read-only: the access faults, the exception table (traps/extable.c)
 * leads to a fixup, and the function tells how much was not copied. CR0.WP makes ring 0 respect read-only pages,
 * so a guest cannot have its own page tables written through a pointer.
 */
#ifndef RINGLET_GUEST_ACCESS_H
#define RINGLET_GUEST_ACCESS_H

#include <ringlet/config.h>
#include <ringlet/types.h>

/* Does [p, p + n) lie in the guest's own part of the address space? Wraps are refused. */
static inline bool guest_range_ok(const void *p, uint32_t n)
{
    uint32_t start = (uint32_t)(uintptr_t)p;

    return start <= HYPERVISOR_START && n <= HYPERVISOR_START - start;
}

/* arch/i386/usercopy.S, usercopy.c. All return the number of bytes not copied: 0 is success. */
uint32_t copy_from_guest(void *dst, const void *guest, uint32_t n);
uint32_t copy_to_guest(void *guest, const void *src, uint32_t n);
uint32_t clear_guest(void *guest, uint32_t n);
/* The same without the range check: for ranges checked once by the caller. n is a multiple of 4. */
asmlinkage uint32_t raw_copy_words_from_guest(void *dst, const void *guest, uint32_t n);
asmlinkage uint32_t raw_copy_words_to_guest(void *guest, const void *src, uint32_t n);

/* Read one naturally sized value; false on a fault. Inline for the hot paths. */
static inline bool get_guest_u32(uint32_t *out, const void *guest)
{
    return guest_range_ok(guest, 4) && raw_copy_words_from_guest(out, guest, 4) == 0;
}

/* One element of a guest array: `array` is a guest pointer to elements of the type of *dst. */
#define copy_element_from_guest(dst, array, index) \
    (guest_range_ok((array), 0) && (index) < 0x40000000u / sizeof(*(dst)) \
         ? copy_from_guest((dst), (array) + (index), sizeof(*(dst))) : sizeof(*(dst)))
#define copy_element_to_guest(array, index, src) \
    (guest_range_ok((array), 0) && (index) < 0x40000000u / sizeof(*(src)) \
         ? copy_to_guest((array) + (index), (src), sizeof(*(src))) : sizeof(*(src)))

#endif
