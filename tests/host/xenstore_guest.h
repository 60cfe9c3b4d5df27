/* SPDX-License-Identifier: MIT */
/*
 * xenstore_guest.h - guests for the tests of the control domain's xenstore server.
 *
 * A test opens a guest or several, each with a ring page of its own, writes requests into the ring
 * of the one that guest_use() chose, lets the server run, and reads what comes back.
 */
#ifndef XENSTORE_GUEST_H
#define XENSTORE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

#include "../../pv-guest/dom0/store.h"

enum { DOMID = 5, GUESTS = 8, PORT = 7 };

/* The guest in use. */
extern struct xenstore_domain_interface *ring;
extern struct xs_client *client;

extern unsigned int events_sent; /* by the server, to any guest */

/* The message that was received last; body ends in a NUL that is not part of it. */
extern struct xsd_sockmsg header;
extern char body[XENSTORE_PAYLOAD_MAX + 1];

/* xenstore_guest.c */

/* Connect a guest, domid below GUESTS, and use it; or end its connection. */
void guest_open(uint16_t domid);
void guest_close(uint16_t domid);
void guest_use(uint16_t domid);

/* Bytes into the ring; the server runs when the ring is full. */
void put(const void *data, size_t size);
/* The next message. */
void receive(void);
/* The server has nothing for the guest to read. */
void silence(void);

/* A request; its reply is in header and body afterwards, and fits the request. */
void send(uint32_t type, uint32_t tx, const void *data, size_t size);
/* A request whose reply is `answer`, of so many bytes. */
void expect(uint32_t type, uint32_t tx, const char *data, size_t size, const char *answer,
            size_t answer_size);
void expect_error(uint32_t type, uint32_t tx, const char *data, size_t size, const char *error);
/* A WATCH_EVENT with these two strings. */
void expect_event(const char *both, size_t size);
/* The number of a transaction that was just begun. */
uint32_t start_transaction(void);

/* String literals with the NULs in them: S("a\0b") is "a", NUL, "b", and Z adds the last NUL. */
#define S(s) s, sizeof(s) - 1
#define Z(s) s, sizeof(s)

#endif
