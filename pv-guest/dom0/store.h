/* SPDX-License-Identifier: MIT */
/*
 * store.h - the tree of names and values a guest sees in xenstore below its home, and its server.
 *
 * Each domain has a tree of its own, /local/domain/N; paths here are relative to it, "" being the
 * home itself. A node belongs to the domain that made it: the guest may read everything in its
 * home, change what it made, and add to what is there. Errors are the words the protocol sends:
 * "ENOENT", "EACCES", ...; NULL is success.
 */
#ifndef DOM0_STORE_H
#define DOM0_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONTROL_DOMAIN = 0 };

struct node {
    struct node *next; /* its brothers, in the order they were made */
    struct node *children;
    uint16_t owner; /* the domain that made it */
    uint32_t size;  /* of the value */
    char *value;    /* size bytes and a NUL; NULL when size is 0 */
    char name[];
};

/* store.c */

/* An empty home; NULL when memory is out. */
struct node *store_new(void);
/* The same nodes once more; NULL when memory is out. */
struct node *store_copy(const struct node *home);
void store_free(struct node *home);
/* Bytes that the nodes take, the allocator's own included. */
size_t store_memory(const struct node *home);

/* The node at path, or NULL. */
struct node *store_find(struct node *home, const char *path);

/* Set a value; nodes above it are made as needed. `who` acts, CONTROL_DOMAIN may everything. */
const char *store_write(struct node *home, const char *path, const void *value, size_t size,
                        uint16_t who);
/* Make a node without a value; one that exists stays as it is. */
const char *store_mkdir(struct node *home, const char *path, uint16_t who);
/* Remove a node with all below it. */
const char *store_remove(struct node *home, const char *path, uint16_t who);

/* xenstore.c */

struct xenstore_domain_interface;
struct xs_client;

/*
 * Serve a domain over its ring, a page shared with it; the port tells it that something was put
 * there. NULL when memory is out. The ring must stay mapped until xs_close.
 */
struct xs_client *xs_open(uint16_t domid, struct xenstore_domain_interface *ring, uint32_t port);
void xs_close(struct xs_client *client);

/* Carry what can be carried. True: there is more to do although nothing new may come. */
bool xs_serve(struct xs_client *client);

/* Set a node of the domain's home for the control domain, or make it the guest's (value NULL: an
 * empty one); watches fire. */
const char *xs_set(struct xs_client *client, const char *path, const char *value, uint16_t owner);

/* The home, to be listed. */
struct node *xs_home(struct xs_client *client);

/* Why the connection was given up, or NULL while it works. */
const char *xs_broken(const struct xs_client *client);

#endif
