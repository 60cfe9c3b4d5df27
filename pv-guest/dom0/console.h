/* SPDX-License-Identifier: MIT */
/*
 * console.h - the other end of a guest's console.
 */
#ifndef DOM0_CONSOLE_H
#define DOM0_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONSOLE_LOG = 16384 };

struct xencons_interface;

/*
 * What a guest prints goes into a log that keeps the latest CONSOLE_LOG bytes, also after the
 * guest's death. Byte number n of all it ever printed is log[n % CONSOLE_LOG].
 * Invariant: shown <= written, and what is to be shown is the last min(written - shown,
 * CONSOLE_LOG) bytes.
 */
struct console {
    struct xencons_interface *ring; /* NULL: not connected */
    uint32_t port;
    uint32_t out_cons, in_prod; /* ours; the ring's page only gets copies */
    const char *broken;         /* what the guest did to its ring, or NULL */
    uint64_t written, shown;
    char log[CONSOLE_LOG];
};

/* console.c */

void console_connect(struct console *c, struct xencons_interface *ring, uint32_t port);
void console_disconnect(struct console *c);

/* Move what the guest printed from the ring into the log. */
void console_carry(struct console *c);

/*
 * Hand out what was not shown yet, in one piece of at most `room` bytes; 0 when there is nothing.
 */
size_t console_take(struct console *c, char *to, size_t room);

/* All that is in the log counts as not shown. */
void console_again(struct console *c);

/* A character typed for the guest; false when it has no room for it. */
bool console_type(struct console *c, char byte);

#endif
