/* SPDX-License-Identifier: MIT */
/*
 * string.c: the handful of C library functions the hypervisor leans on.
 *
 * Why our own: ring 0 here has no C library (no FPU state, no SSE, no errno, no locale), and the
 * compiler itself calls memcpy, memset, memmove and memcmp for structure copies even in
 * freestanding code. The processor has string instructions for the first three: REP repeats one as
 * often as ecx says, forwards while EFLAGS.DF is clear, which the i386 calling convention and our
 * entry path promise (SDM vol. 1, 7.3.9). Host tests compile this file as well.
 *
 * Read next: printk.c.
 */
/* The functions themselves, not what the compiler makes of calls to them. */
#define STRING_FUNCTIONS
#include <ringlet/lib.h>

/*
 * Or the compiler recognises the loops below and replaces them with calls to the very functions
 * they implement.
 */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

/*
 * Copy n bytes; the areas must not overlap. Four bytes at a time: a copy counts its words, not its
 * bytes.
 */
void *memcpy(void *dst, const void *src, size_t n)
{
    void *d = dst;
    size_t words = n / 4, rest = n % 4;

    __asm__ volatile("rep movsl" : "+D"(d), "+S"(src), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(rest) : : "memory");
    return dst;
}

/*
 * Copy n bytes; the areas may overlap: from the end downwards (DF set) when dst lies inside the
 * source.
 */
void *memmove(void *dst, const void *src, size_t n)
{
    char *d = (char *)dst + n - 1;
    const char *s = (const char *)src + n - 1;

    if (n == 0 || (uintptr_t)dst - (uintptr_t)src >= n)
        return memcpy(dst, src, n);
    __asm__ volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    return dst;
}

/* Fill n bytes with the low byte of c. */
void *memset(void *dst, int c, size_t n)
{
    void *d = dst;
    size_t words = n / 4, rest = n % 4;
    uint32_t pattern = (uint8_t)c * 0x01010101u;

    __asm__ volatile("rep stosl" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(pattern) : "memory");
    return dst;
}

/* Negative, zero or positive as a sorts before, with or after b; bytes count as unsigned. */
int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return x[i] - y[i];
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    while (s[n])
        n++;
    return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i])
            return (uint8_t)a[i] - (uint8_t)b[i];
        if (!a[i])
            return 0;
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

/* The first c in s (the final NUL counts as a character), or NULL. */
char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)(uintptr_t)s;
        if (!*s)
            return NULL;
    }
}

/*
 * Copy as much of src as fits into size bytes, always ending it; returns strlen(src), so truncation
 * can be seen.
 */
size_t strlcpy(char *dst, const char *src, size_t size)
{
    size_t n = strlen(src);

    if (size) {
        size_t fit = MIN(n, size - 1);

        memcpy(dst, src, fit);
        dst[fit] = '\0';
    }
    return n;
}

/* The value of a digit in some base, or a number no base reaches. */
static unsigned digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'z')
        return (c | 32) - 'a' + 10;
    return ~0u;
}

/*
 * Read an unsigned number: hexadecimal after 0x, else decimal. *end (if wanted) points behind the
 * last digit, at s when there was none. A number too large becomes the largest there is: callers
 * compare with a limit anyway.
 */
unsigned long long parse_number(const char *s, const char **end)
{
    unsigned long long value = 0;
    unsigned base = 10;

    if (s[0] == '0' && (s[1] | 32) == 'x' && digit_value(s[2]) < 16) {
        base = 16;
        s += 2;
    }
    for (; digit_value(*s) < base; s++) {
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit_value(*s), &value)) {
            while (digit_value(*s) < base)
                s++;
            value = ~0ull;
            break;
        }
    }
    if (end)
        *end = s;
    return value;
}

/*
 * Read an amount of memory; the result is in bytes. B, K, M, G or T may follow, and as on Xen's
 * command line a bare number means KiB. An amount too large becomes the largest there is.
 */
unsigned long long parse_size(const char *s, const char **end)
{
    static const char units[] = "bkmgt";
    const char *rest, *unit;
    unsigned long long value = parse_number(s, &rest);
    unsigned shift = 10;

    if (rest != s && *rest && (unit = strchr(units, *rest | 32))) {
        shift = 10 * (unit - units);
        rest++;
    }
    if (end)
        *end = rest;
    return value > (~0ull >> shift) ? ~0ull : value << shift;
}
