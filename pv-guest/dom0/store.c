/* SPDX-License-Identifier: MIT */
/*
 * store.c - the nodes of one domain's xenstore home: find, write, remove, copy.
 *
 * A tree of malloc'ed nodes, brothers linked in a list: homes have dozens of nodes, not thousands,
 * and the limits below keep it so whatever a guest does. They hold for the nodes the guest owns:
 * number, bytes, size of a value, depth (tree walks recurse).
 *
 * Next: xenstore.c, which puts this on the wire.
 */
#include "store.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_NODES = 256,
    MAX_BYTES = 16384, /* of names and values */
    MAX_VALUE = 2048,
    MAX_DEPTH = 32,
    ALLOCATION = 16 /* what malloc adds to an allocation, at most */
};

struct usage {
    unsigned int nodes, bytes;
};

/* What `who` owns in and beside this node. */
static void add_usage(const struct node *n, uint16_t who, struct usage *u)
{
    for (; n; n = n->next) {
        if (n->owner == who) {
            u->nodes++;
            u->bytes += strlen(n->name) + n->size;
        }
        add_usage(n->children, who, u);
    }
}

/* Whether `who` may add so many nodes and bytes. */
static bool within_quota(const struct node *home, uint16_t who, unsigned int nodes, size_t bytes)
{
    struct usage u = {0, 0};

    if (who == CONTROL_DOMAIN)
        return true;
    add_usage(home, who, &u);
    return u.nodes + nodes <= MAX_NODES && u.bytes + bytes <= MAX_BYTES;
}

static struct node *new_node(const char *name, size_t length, uint16_t owner)
{
    struct node *n = malloc(sizeof *n + length + 1);

    if (!n)
        return NULL;
    memset(n, 0, sizeof *n);
    n->owner = owner;
    memcpy(n->name, name, length);
    n->name[length] = 0;
    return n;
}

struct node *store_new(void)
{
    return new_node("", 0, CONTROL_DOMAIN);
}

void store_free(struct node *n)
{
    while (n) {
        struct node *next = n->next;

        store_free(n->children);
        free(n->value);
        free(n);
        n = next;
    }
}

size_t store_memory(const struct node *n)
{
    size_t bytes = 0;

    for (; n; n = n->next)
        bytes += sizeof *n + strlen(n->name) + 1 + ALLOCATION +
                 (n->size ? n->size + 1 + ALLOCATION : 0) + store_memory(n->children);
    return bytes;
}

/* A copy of a value for a node; NULL for an empty one. False: memory is out. */
static bool copy_value(const void *value, size_t size, char **copy)
{
    *copy = NULL;
    if (!size)
        return true;
    *copy = malloc(size + 1);
    if (!*copy)
        return false;
    memcpy(*copy, value, size);
    (*copy)[size] = 0;
    return true;
}

struct node *store_copy(const struct node *from)
{
    struct node *first = NULL, **link = &first;

    for (; from; from = from->next) {
        struct node *n = new_node(from->name, strlen(from->name), from->owner);

        if (n) {
            *link = n;
            link = &n->next;
            if (from->children)
                n->children = store_copy(from->children);
        }
        if (!n || !copy_value(from->value, from->size, &n->value) ||
            (from->children && !n->children)) {
            store_free(first);
            return NULL;
        }
        n->size = from->size;
    }
    return first;
}

/* The child called name[0..length), or the empty link behind the last child. */
static struct node **child_link(struct node *n, const char *name, size_t length)
{
    struct node **link = &n->children;

    while (*link && (strlen((*link)->name) != length || memcmp((*link)->name, name, length) != 0))
        link = &(*link)->next;
    return link;
}

static size_t first_length(const char *path)
{
    return strcspn(path, "/");
}

static const char *rest(const char *path)
{
    path += first_length(path);
    return *path ? path + 1 : path;
}

struct node *store_find(struct node *n, const char *path)
{
    for (; n && *path; path = rest(path))
        n = *child_link(n, path, first_length(path));
    return n;
}

/* How many nodes of the path are missing, and the bytes of their names; *depth counts all. */
static unsigned int missing(struct node *n, const char *path, size_t *bytes, unsigned int *depth)
{
    unsigned int count = 0;

    *bytes = *depth = 0;
    for (; *path; path = rest(path), ++*depth) {
        size_t length = first_length(path);

        if (n)
            n = *child_link(n, path, length);
        if (!n) {
            count++;
            *bytes += length;
        }
    }
    return count;
}

/*
 * Make the missing nodes of path, all or none: the chain is built apart and hung in when it is
 * whole. *last is the node at path.
 */
static const char *make_path(struct node *home, const char *path, uint16_t who, struct node **last)
{
    struct node *n = home, *chain = NULL, **hook = NULL, **end = &chain;

    for (; *path; path = rest(path)) {
        size_t length = first_length(path);

        if (!hook) {
            struct node **link = child_link(n, path, length);

            if (*link) {
                n = *link;
                continue;
            }
            hook = link;
        }
        n = *end = new_node(path, length, who);
        if (!n) {
            store_free(chain);
            return "ENOMEM";
        }
        end = &n->children;
    }
    if (hook)
        *hook = chain;
    *last = n;
    return NULL;
}

/* Everything `who` must satisfy to have a value of `size` at path. */
static const char *may_write(struct node *home, const char *path, size_t size, uint16_t who)
{
    struct node *old = store_find(home, path);
    unsigned int depth;
    size_t bytes;
    unsigned int nodes = missing(home, path, &bytes, &depth);

    if (old && who != CONTROL_DOMAIN && old->owner != who)
        return "EACCES";
    if (depth > MAX_DEPTH)
        return "EINVAL";
    if (size > MAX_VALUE)
        return "ENOSPC";
    return within_quota(home, who, nodes, bytes + size - (old ? old->size : 0)) ? NULL : "ENOSPC";
}

/* The value is copied first: when memory ends, no node has been made without it. */
const char *store_write(struct node *home, const char *path, const void *value, size_t size,
                        uint16_t who)
{
    const char *error = may_write(home, path, size, who);
    struct node *n;
    char *copy;

    if (error)
        return error;
    if (!copy_value(value, size, &copy))
        return "ENOMEM";
    error = make_path(home, path, who, &n);
    if (error) {
        free(copy);
        return error;
    }
    free(n->value);
    n->value = copy;
    n->size = size;
    return NULL;
}

const char *store_mkdir(struct node *home, const char *path, uint16_t who)
{
    struct node *n;

    if (store_find(home, path))
        return NULL;
    const char *error = may_write(home, path, 0, who);
    return error ? error : make_path(home, path, who, &n);
}

/* Whether this node and all below belong to `who`. */
static bool owns_all(const struct node *n, uint16_t who)
{
    if (n->owner != who)
        return false;
    for (n = n->children; n; n = n->next)
        if (!owns_all(n, who))
            return false;
    return true;
}

/* Removing what is not there succeeds if the node above it exists: so the protocol has it. */
const char *store_remove(struct node *home, const char *path, uint16_t who)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    struct node *n = home;

    if (!*path) /* the home itself, which is the control domain's */
        return who == CONTROL_DOMAIN ? "EINVAL" : "EACCES";
    for (; path < name && n; path = rest(path))
        n = *child_link(n, path, first_length(path));
    if (!n)
        return "ENOENT";
    struct node **link = child_link(n, name, strlen(name));
    struct node *gone = *link;
    if (!gone)
        return NULL;
    if (who != CONTROL_DOMAIN && !owns_all(gone, who))
        return "EACCES";
    *link = gone->next;
    gone->next = NULL;
    store_free(gone);
    return NULL;
}
