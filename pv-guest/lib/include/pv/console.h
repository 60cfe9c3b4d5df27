/* SPDX-License-Identifier: MIT */
/*
 * The console: console_io for the initial domain, a ring in a shared page for every other.
 *
 * newlib's stdin, stdout and stderr are this console, so printf and getchar work as usual;
 * stdout is flushed at each newline and before input is awaited.
 *
 * Next: lib/console.c.
 */
#ifndef PV_CONSOLE_H
#define PV_CONSOLE_H

#include <stddef.h>

/* console.c */

/* Write size bytes; "\n" becomes what the other side expects. Waits while a ring is full. */
void console_write(const char *data, size_t size);

/* The next character typed, or -1 when there is none. */
int console_poll(void);

/* The next character, waiting for it with events on. Enter is '\n'. */
int console_getchar(void);

/*
 * Have console_getchar() call this, with events off, each time before it waits: for what comes in by
 * events and is too long for an event's function. NULL ends it.
 */
void console_on_wait(void (*function)(void));

/*
 * Read a line with echo; backspace, ^U (whole line) and ^C (gives an empty line) work. At most
 * size - 1 characters and a final 0 are stored, without the newline. Returns the length.
 */
size_t console_readline(char *line, size_t size);

#endif
