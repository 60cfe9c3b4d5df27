/* SPDX-License-Identifier: MIT */
/*
 * types.h: the integer types and the few macros every file uses.
 *
 * mfn_t is a machine frame number (a page of real memory), maddr_t a machine address in bytes: 36
 * bits or more with PAE. A guest's own numbering of its memory (pfn) is plain uint32_t and never
 * used to reach memory here.
 */
#ifndef RINGLET_TYPES_H
#define RINGLET_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t mfn_t;
typedef uint64_t maddr_t;

#define INVALID_MFN (~(mfn_t)0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define DIV_ROUND_UP(a, b) (((a) + (b)-1) / (b))
#define ROUND_UP(a, b) (DIV_ROUND_UP(a, b) * (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __used __attribute__((used))
#define noinline __attribute__((noinline))
#define noreturn __attribute__((noreturn))
#define __printf(a, b) __attribute__((format(printf, a, b)))

/* Boot-only code and data, kept together at the end of its section. */
#define __init __attribute__((section(".init.text")))
#define __initdata __attribute__((section(".init.data")))

/*
 * C functions that assembly calls take all arguments on the stack, in the order of the hypercall
 * ABI's registers; all other functions take the first three in registers (-mregparm=3). Host tests
 * build for other machines.
 */
#ifdef __i386__
#define asmlinkage __attribute__((regparm(0)))
#else
#define asmlinkage
#endif

#endif
