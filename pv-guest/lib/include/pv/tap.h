/* SPDX-License-Identifier: MIT */
/*
 * TAP, the Test Anything Protocol, for test guests: "ok 3 - name" on the console, one line a
 * case, the plan "1..N" first or last. tap_done() ends the domain.
 */
#ifndef PV_TAP_H
#define PV_TAP_H

#include <stdbool.h>

/* tap.c */

void tap_plan(int count);

/* One case: its truth is answered, so that a failure can be explained with tap_diag. */
bool tap_ok(bool passed, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A case passed over: "ok N - name # SKIP reason". */
void tap_skip(const char *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As tap_ok(got == expected), which explains itself. */
bool tap_is(long got, long expected, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A comment line: "# ...". */
void tap_diag(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Print the plan if nobody did, and a summary; power off. */
void tap_done(void) __attribute__((noreturn));

#endif
