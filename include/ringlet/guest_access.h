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
asmlinkage uint32_t raw_copy_bytes(void *dst, const void *src, uint32_t n);
asmlinkage uint32_t raw_clear_bytes(void *dst, uint32_t n);

/* Read one naturally sized value; false on a fault. Inline for the hot paths. */
static inline bool get_guest_u32(uint32_t *out, const void *guest)
{
    return guest_range_ok(guest, 4) && raw_copy_words_from_guest(out, guest, 4) == 0;
}

/*
 * Four words (16 bytes) from a guest, for the hottest loop there is (mmu_update): plain loads, each with its entry in the
 * exception table. The range was checked. False on a fault.
 */
static inline bool get_guest_words4(void *dst, const void *guest)
{
#ifdef __i386__
    uint32_t *d = dst, bad = 0, w;

#define LOAD_WORD(off)                                                       \
    __asm__ volatile("1: movl " #off "(%2), %0\n"                            \
                     "2:\n\t"                                                \
                     ".pushsection .text.fixup, \"ax\"\n"                    \
                     "3: movl $1, %1\n\txorl %0, %0\n\tjmp 2b\n\t"          \
                     ".popsection\n\t"                                       \
                     ".pushsection .extable, \"a\"\n\t"                      \
                     ".long 1b, 3b\n\t"                                      \
                     ".popsection"                                           \
                     : "=&r"(w), "+r"(bad) : "r"(guest) : "memory");          \
    d[off / 4] = w
    LOAD_WORD(0);
    LOAD_WORD(4);
    LOAD_WORD(8);
    LOAD_WORD(12);
#undef LOAD_WORD
    return !bad;
#else
    return raw_copy_words_from_guest(dst, guest, 16) == 0;
#endif
}

/* One element of a guest array: `array` is a guest pointer to elements of the type of *dst. */
#define copy_element_from_guest(dst, array, index) \
    (guest_range_ok((array), 0) && (index) < 0x40000000u / sizeof(*(dst)) \
         ? copy_from_guest((dst), (array) + (index), sizeof(*(dst))) : sizeof(*(dst)))
#define copy_element_to_guest(array, index, src) \
    (guest_range_ok((array), 0) && (index) < 0x40000000u / sizeof(*(src)) \
         ? copy_to_guest((array) + (index), (src), sizeof(*(src))) : sizeof(*(src)))

#endif
