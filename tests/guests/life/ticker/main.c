/* SPDX-License-Identifier: MIT */
/*
 * Ticker: the quiet domain beside a misbehaving one.
 *
 * It prints a line with the time every 100 ms, for as long as it lives. Whatever another domain
 * does, crash or loop or attack, these lines must go on coming.
 *
 * Words on the command line: the period in milliseconds, then the number of lines, after which it
 * powers off.
 *
 * Run: none (it has no end of its own; system tests watch it)
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <pv/time.h>

int main(int argc, char **argv)
{
    uint32_t period = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
    uint32_t lines = argc > 2 ? strtoul(argv[2], NULL, 0) : UINT32_MAX;
    uint64_t start = time_now(), deadline = start;

    for (uint32_t line = 1; line <= lines; line++) {
        deadline += period * NS_PER_MS;
        sleep_until(deadline);
        printf("ticker: %u at %llu ms\n", line, (time_now() - start) / NS_PER_MS);
    }
    return 0;
}
