/* SPDX-License-Identifier: MIT */
/*
 * Numbers typed at a prompt. strtoul() takes "abc" for 0, "1x" for 1 and "-1" for the largest
 * number, and a command that goes on with these does what nobody asked for.
 */
#include <pv/number.h>

#include <string.h>

/* The value of a digit; `base` or more for any other character. */
static uint32_t digit(char c, uint32_t base)
{
    char lower = c | 0x20;

    if (c >= '0' && c <= '9')
        return c - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10u : base;
}

bool number_parse(const char *text, uint32_t least, uint32_t most, uint32_t *value)
{
    uint32_t base = text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10;
    const char *at = base == 16 ? text + 2 : text;
    const char *first = at;
    uint64_t n = 0;

    for (; digit(*at, base) < base; at++) {
        n = n * base + digit(*at, base);
        if (n > most)
            return false;
    }
    if (at == first || n < least || at[strspn(at, " \t")])
        return false;
    *value = n;
    return true;
}
