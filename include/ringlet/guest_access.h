/* SPDX-License-Identifier: MIT */
/*
 * guest_access.h: the only way to touch a guest's memory by its own address.
 *
 * The hypervisor runs on the guest's page tables, so a guest pointer can be used as it is, once it
 * is known to lie below HYPERVISOR_START. It may still be unmapped or read-only: the access faults,
 * the exception table (traps/extable.c) leads to a fixup, and the function tells how much was not
 * copied. CR0.WP makes ring 0 respect read-only pages, so a guest cannot have its own page tables
 * written through a pointer.
 */
#ifndef RINGLET_GUEST_ACCESS_H
#define RINGLET_GUEST_ACCESS_H

#include <ringlet/config.h>
#include <ringlet/types.h>

/*
 * walk 17: A pointer of the guest's
 *
 * Claim: A guest's pointer is used as it is, once it is known to lie below HYPERVISOR_START from
 * its first byte to its last. The comparison is written so that nothing in it wraps: the length is
 * bounded before it is subtracted. Unmapped and read-only pages need no check here, since the
 * access faults (the stop before).
 * Without it: The hypervisor's own segments have no limit, so a pointer into its data would be
 * followed: a hypercall's result would go wherever the guest wants, which was XSA-212.
 * Shown by: tests/guests/xsa/xsa-212/main.c::refused,
 * tests/system/test_hostile.py::test_hostile_neighbour
 */
/* Does [p, p + n) lie in the guest's own part of the address space? Wraps are refused. */
static inline bool guest_range_ok(const void *p, uint32_t n)
{
    uint32_t start = (uint32_t)(uintptr_t)p;

    return n <= HYPERVISOR_START && start <= HYPERVISOR_START - n;
}

/* Does a list of n elements, `size` bytes each, lie there? */
static inline bool guest_list_ok(const void *list, uint32_t n, uint32_t size)
{
    return n <= HYPERVISOR_START / size && guest_range_ok(list, n * size);
}

/* arch/i386/usercopy.S, usercopy.c. All return the number of bytes not copied: 0 is success. */
uint32_t copy_from_guest(void *dst, const void *guest, uint32_t n);
uint32_t copy_to_guest(void *guest, const void *src, uint32_t n);
uint32_t clear_guest(void *guest, uint32_t n);
/* The same without the range check: for ranges checked once by the caller. n is a multiple of 4. */
asmlinkage uint32_t raw_copy_words_from_guest(void *dst, const void *guest, uint32_t n);
asmlinkage uint32_t raw_copy_words_to_guest(void *guest, const void *src, uint32_t n);
asmlinkage uint32_t raw_copy_bytes(void *dst, const void *src, uint32_t n);
asmlinkage uint32_t raw_clear_bytes(void *dst, uint32_t n);

/* Read one naturally sized value; false on a fault. Inline for the hot paths. */
static inline bool get_guest_u32(uint32_t *out, const void *guest)
{
    uint32_t value;

    if (!guest_range_ok(guest, 4))
        return false;
#ifdef __i386__
    __asm__ goto("1: movl (%1), %0\n\t"
                 ".pushsection .extable, \"a\"\n\t"
                 ".long 1b, %l2\n\t"
                 ".popsection"
                 : "=r"(value)
                 : "r"(guest)
                 : "memory"
                 : fault);
    *out = value;
    return true;
fault:
    return false;
#else
    if (raw_copy_words_from_guest(&value, guest, 4))
        return false;
    *out = value;
    return true;
#endif
}

/*
 * `n` words, a constant, for the hottest loops: plain loads and stores, each with its entry in the
 * exception table. The range was checked. False on a fault.
 */
static inline __attribute__((always_inline)) bool get_guest_words(void *dst, const void *guest,
                                                                  unsigned n)
{
#ifdef __i386__
    const uint32_t *from = guest;
    uint32_t *to = dst;

#pragma GCC unroll 8
    for (unsigned i = 0; i < n; i++) {
        uint32_t w;

        __asm__ goto("1: movl %1, %0\n\t"
                     ".pushsection .extable, \"a\"\n\t"
                     ".long 1b, %l2\n\t"
                     ".popsection"
                     : "=r"(w)
                     : "m"(from[i])
                     : "memory"
                     : fault);
        to[i] = w;
    }
    return true;
fault:
    return false;
#else
    return raw_copy_words_from_guest(dst, guest, n * 4) == 0;
#endif
}

static inline __attribute__((always_inline)) bool put_guest_words(void *guest, const void *src,
                                                                  unsigned n)
{
#ifdef __i386__
    const uint32_t *from = src;
    uint32_t *to = guest;

#pragma GCC unroll 8
    for (unsigned i = 0; i < n; i++)
        __asm__ goto("1: movl %1, %0\n\t"
                     ".pushsection .extable, \"a\"\n\t"
                     ".long 1b, %l2\n\t"
                     ".popsection"
                     :
                     : "m"(to[i]), "r"(from[i])
                     : "memory"
                     : fault);
    return true;
fault:
    return false;
#else
    return raw_copy_words_to_guest(guest, src, n * 4) == 0;
#endif
}

/* Four words (16 bytes): one request of mmu_update. */
static inline bool get_guest_words4(void *dst, const void *guest)
{
    return get_guest_words(dst, guest, 4);
}

/* One element of a guest array: `array` is a guest pointer to elements of the type of *dst. */
#define copy_element_from_guest(dst, array, index)                        \
    (guest_range_ok((array), 0) && (index) < 0x40000000u / sizeof(*(dst)) \
         ? copy_from_guest((dst), (array) + (index), sizeof(*(dst)))      \
         : sizeof(*(dst)))
#define copy_element_to_guest(array, index, src)                          \
    (guest_range_ok((array), 0) && (index) < 0x40000000u / sizeof(*(src)) \
         ? copy_to_guest((array) + (index), (src), sizeof(*(src)))        \
         : sizeof(*(src)))

#endif
