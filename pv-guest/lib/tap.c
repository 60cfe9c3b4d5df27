/* SPDX-License-Identifier: MIT */
/*
 * TAP on the console. Next: the test guests, tests/guests/GROUP/NAME/main.c.
 */
#include <pv/tap.h>

#include <stdarg.h>
#include <stdio.h>

#include <xen/sched.h>

#include <pv/start.h>

static int planned, run, failed;

void tap_plan(int count)
{
    planned = count;
    printf("1..%d\n", count);
}

static void report(bool passed, const char *format, va_list arguments)
{
    run++;
    failed += !passed;
    printf("%s %d - ", passed ? "ok" : "not ok", run);
    vprintf(format, arguments);
}

bool tap_ok(bool passed, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report(passed, format, arguments);
    va_end(arguments);
    printf("\n");
    return passed;
}

void tap_skip(const char *reason, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report(true, format, arguments);
    va_end(arguments);
    printf(" # SKIP %s\n", reason);
}

bool tap_is(long got, long expected, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report(got == expected, format, arguments);
    va_end(arguments);
    printf("\n");
    if (got != expected)
        tap_diag("got %ld (%#lx), expected %ld (%#lx)", got, got, expected, expected);
    return got == expected;
}

void tap_diag(const char *format, ...)
{
    va_list arguments;

    printf("# ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

void tap_done(void)
{
    if (planned == 0)
        tap_plan(run);
    else if (planned != run)
        tap_diag("planned %d cases, ran %d", planned, run);
    tap_diag("%d passed, %d failed", run - failed, failed);
    domain_shutdown(SHUTDOWN_poweroff);
}
