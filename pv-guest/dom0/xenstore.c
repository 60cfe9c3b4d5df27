/* SPDX-License-Identifier: MIT */
/*
 * xenstore.c - xenstore on the wire: requests and events of a domain, over a ring in a shared page.
 *
 * A request is a header {type, req_id, tx_id, len} and len bytes, mostly strings ending in NUL; the
 * reply repeats type and req_id. Besides, a domain that set a watch receives WATCH_EVENT messages:
 * once when the watch is set, then whenever something at or below its path changed. Both ways go
 * through two byte rings of 1 KiB in one page (xen/io/xs_wire.h), so messages come in pieces.
 *
 * This is the part of xenstore that guests without devices use. Each sees its own home only,
 * /local/domain/N (store.c); what lies elsewhere answers EACCES, operations for the control
 * domain's tools too, and unknown ones ENOSYS.
 *
 * A transaction works on a copy of the home, which becomes the home when it ends, unless the home
 * changed meanwhile: then EAGAIN, and the guest tries again.
 *
 * A guest chooses how much it asks for, so everything that grows with its requests has a limit:
 * the memory held for it (MAX_MEMORY, counted over its home, its transactions' copies and its
 * watches), the bytes that wait for it to be read (OUT_ROOM), the paths that one transaction may
 * change (MAX_CHANGES), and the requests carried out before other domains get their turn
 * (REQUESTS_PER_TURN). Together the control domain gives a guest less than 256 KiB, which
 * tests/host/test_xenstore_xsa.c measures (XSA-326).
 *
 * The page belongs to the guest: it may write any index at any time. Our own two indices are kept
 * here and only written to the page, the guest's are read once and checked before use, a message
 * is copied whole before it is looked at. A guest that breaks the rules is no longer served.
 *
 * Next: domains.c, which opens a connection for each domain.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/event.h>
#include <xen/io/xs_wire.h>

#include "store.h"

enum {
    MAX_REPLY = sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX,
    OUT_ROOM = 8 * MAX_REPLY,
    MAX_WATCHES = 128,     /* as many as xenstored allows */
    MAX_TRANSACTIONS = 10, /* as many as xenstored allows */
    MAX_MEMORY = 128 << 10,
    MAX_CHANGES = 2048, /* bytes of paths a transaction may change, each counted once */
    REQUESTS_PER_TURN = 8
};

struct watch {
    struct watch *next;
    const char *rel; /* path in the home, inside given; NULL: elsewhere, it never fires again */
    bool above;      /* it is on a directory that holds the home, such as "/"; rel is "" */
    char *token;     /* both inside given's block */
    char given[];    /* the path as the guest wrote it, which is how it wants to read it */
};

struct transaction {
    uint32_t id; /* 0: unused */
    struct node *home;
    uint32_t generation; /* of the client, when it began */
    uint32_t changes;    /* since then, in the copy */
    size_t changed_bytes;
    char changed[MAX_CHANGES]; /* paths, each with its NUL */
};

struct xs_client {
    uint16_t domid;
    uint32_t port;
    struct xenstore_domain_interface *ring;
    uint32_t req_cons, rsp_prod; /* ours; the page only gets copies */
    const char *broken;
    struct node *home;
    uint32_t generation; /* counts changes of the home */
    uint32_t last_transaction;
    struct transaction transactions[MAX_TRANSACTIONS];
    struct watch *watches;
    unsigned int watch_count;
    size_t watch_memory;
    char home_name[32]; /* "/local/domain/N" */
    size_t in_bytes;    /* of the message being received */
    union {
        struct xsd_sockmsg header;
        char bytes[MAX_REPLY + 1]; /* and a NUL of ours */
    } in;
    size_t out_start, out_bytes;
    char out[OUT_ROOM]; /* bytes waiting for room in the ring, in a circle */
};

/* A request being answered. */
struct request {
    struct xs_client *client;
    struct transaction *tx; /* NULL outside of one */
    struct node *home;      /* what it works on: the client's, or the transaction's copy */
    char *body;             /* len bytes and a NUL of ours */
    size_t len;
    const char *changed;       /* a path in the home: watches hear of it when the reply is out */
    struct watch *new_watch;   /* fires once */
    struct transaction *ended; /* and kept: its changes are to be heard of */
    size_t reply_bytes;
    char reply[XENSTORE_PAYLOAD_MAX];
};

/* ---- Out: replies and events ----------------------------------------------------------------- */

static void give_up(struct xs_client *c, uint32_t code, const char *why)
{
    if (!c->broken) {
        c->broken = why;
        c->ring->error = code;
    }
}

static size_t out_room(const struct xs_client *c)
{
    return OUT_ROOM - c->out_bytes;
}

/* The caller has made sure of the room. */
static void queue_bytes(struct xs_client *c, const void *data, size_t size)
{
    const char *from = data;

    while (size) {
        size_t at = (c->out_start + c->out_bytes) % OUT_ROOM;
        size_t piece = OUT_ROOM - at < size ? OUT_ROOM - at : size;

        memcpy(c->out + at, from, piece);
        c->out_bytes += piece;
        from += piece;
        size -= piece;
    }
}

/* Queue the header of a message, if there is room for all of it; otherwise give the guest up. */
static bool queue_header(struct xs_client *c, const struct xsd_sockmsg *header)
{
    if (c->broken)
        return false;
    if (sizeof *header + header->len > out_room(c)) {
        give_up(c, XENSTORE_ERROR_COMM, "does not read its replies and events");
        return false;
    }
    queue_bytes(c, header, sizeof *header);
    return true;
}

static void queue_message(struct xs_client *c, const struct xsd_sockmsg *header, const char *body)
{
    if (queue_header(c, header))
        queue_bytes(c, body, header->len);
}

/*
 * WATCH_EVENT carries two strings: the path that changed, which is `suffix` below the path that
 * was watched, and the watch's token. A message that would be too long is left out, as xenstored
 * does (XSA-324): the guest chose a path and a token that do not fit.
 */
static void queue_event(struct xs_client *c, const struct watch *w, const char *suffix)
{
    const char *path = w->above && *suffix ? c->home_name : w->given;
    size_t path_size = strlen(path), suffix_size = strlen(suffix), token_size = strlen(w->token);
    size_t size = path_size + (suffix_size != 0) + suffix_size + 1 + token_size + 1;
    struct xsd_sockmsg header = {.type = XS_WATCH_EVENT, .len = size};

    if (size > XENSTORE_PAYLOAD_MAX || !queue_header(c, &header))
        return;
    queue_bytes(c, path, path_size);
    queue_bytes(c, "/", suffix_size != 0);
    queue_bytes(c, suffix, suffix_size + 1);
    queue_bytes(c, w->token, token_size + 1);
}

/* What follows `above` in `path` when path is at or below it, else NULL. */
static const char *below(const char *path, const char *above)
{
    size_t n = strlen(above);

    if (n == 0)
        return path;
    if (strncmp(path, above, n) != 0 || (path[n] && path[n] != '/'))
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}

/*
 * Something changed at `path`: tell watches above it and, since it may be gone, below it. A guest
 * that has been given up hears nothing more, and no work is done for it.
 */
static void fire(struct xs_client *c, const char *path)
{
    for (struct watch *w = c->watches; w && !c->broken; w = w->next) {
        const char *suffix = w->rel ? below(path, w->rel) : NULL;

        if (!suffix && w->rel && below(w->rel, path))
            suffix = "";
        if (suffix)
            queue_event(c, w, suffix);
    }
}

static void changed(struct xs_client *c, const char *path)
{
    c->generation++;
    fire(c, path);
}

/* ---- Paths ----------------------------------------------------------------------------------- */

/*
 * Whether a path follows xenstore's grammar (docs/misc/xenstore.txt). Relative paths have up to
 * XENSTORE_REL_PATH_MAX characters, and absolute ones as many below "/local/domain/N/".
 */
static bool valid_path(const struct xs_client *c, const char *path)
{
    size_t n = strlen(path), most = XENSTORE_REL_PATH_MAX;
    static const char also[] = "-/_@";

    if (path[0] == '/' && below(path, c->home_name))
        most += strlen(c->home_name) + 1;
    if (n == 0 || n > most || path[0] == '@')
        return false;
    for (size_t i = 0; i < n; i++) {
        char lower = path[i] | 0x20;

        if (!(lower >= 'a' && lower <= 'z') && !(path[i] >= '0' && path[i] <= '9') &&
            !strchr(also, path[i]))
            return false;
        if (path[i] == '/' && path[i + 1] == '/')
            return false;
    }
    return n == 1 || path[n - 1] != '/';
}

/* Where in its home a guest's path points; NULL: it points elsewhere. */
static const char *home_path(const struct xs_client *c, const char *path)
{
    if (path[0] != '/')
        return path[0] == '@' ? NULL : path;
    return below(path, c->home_name);
}

/* How many strings, each with its NUL, the request's body holds; bytes after the last do not count. */
static unsigned int count_strings(const struct request *r)
{
    unsigned int n = 0;

    for (size_t i = 0; i < r->len; i++)
        n += r->body[i] == 0;
    return n;
}

/* Whether the body is one string and nothing else. */
static bool one_string(const struct request *r)
{
    return r->len && memchr(r->body, 0, r->len) == r->body + r->len - 1;
}

/* The body's first string as a path in the home. */
static const char *first_path(const struct request *r, const char **rel)
{
    if (!count_strings(r) || !valid_path(r->client, r->body))
        return "EINVAL";
    *rel = home_path(r->client, r->body);
    return *rel ? NULL : "EACCES";
}

/* The path of a request that consists of a path. */
static const char *only_path(const struct request *r, const char **rel)
{
    return one_string(r) ? first_path(r, rel) : "EINVAL";
}

/* The string after the first; there must be one. */
static const char *second_string(const struct request *r)
{
    return r->body + strlen(r->body) + 1;
}

/* ---- The guest's share of our memory --------------------------------------------------------- */

/*
 * Whether so many bytes more may be held for the guest. What one request adds otherwise, the nodes
 * of one path and a value, is smaller than a message and may go beyond the limit once.
 */
static bool may_hold(const struct xs_client *c, size_t more)
{
    size_t held = store_memory(c->home) + c->watch_memory + more;

    for (int i = 0; i < MAX_TRANSACTIONS; i++)
        if (c->transactions[i].id)
            held += store_memory(c->transactions[i].home);
    return held <= MAX_MEMORY;
}

/* ---- The operations: NULL, or the error's name ----------------------------------------------- */

static const char *reply_with(struct request *r, const void *data, size_t size)
{
    if (size > sizeof r->reply - r->reply_bytes)
        return "E2BIG";
    if (size) /* data of an empty value is NULL, which memcpy may not be given */
        memcpy(r->reply + r->reply_bytes, data, size);
    r->reply_bytes += size;
    return NULL;
}

static const char *reply_ok(struct request *r)
{
    return reply_with(r, "OK", 3);
}

static const char *find_node(struct request *r, const char *rel, struct node **n)
{
    *n = store_find(r->home, rel);
    return *n ? NULL : "ENOENT";
}

static const char *find(struct request *r, struct node **n)
{
    const char *rel;
    const char *error = only_path(r, &rel);

    return error ? error : find_node(r, rel, n);
}

static const char *op_read(struct request *r)
{
    struct node *n;
    const char *error = find(r, &n);

    return error ? error : reply_with(r, n->value, n->size);
}

static const char *op_directory(struct request *r)
{
    struct node *n;
    const char *error = find(r, &n);

    for (n = error ? NULL : n->children; n && !error; n = n->next)
        error = reply_with(r, n->name, strlen(n->name) + 1);
    return error;
}

/*
 * A piece of a directory that is too long for one reply: the number of the home's version, so that
 * the guest notices a change between two pieces, then the names from byte `offset` of the whole
 * list on, and an empty name after the last.
 */
static const char *op_directory_part(struct request *r)
{
    struct node *n;
    const char *rel;
    char text[16];
    const char *error = count_strings(r) == 2 ? first_path(r, &rel) : "EINVAL";

    if (!error)
        error = find_node(r, rel, &n);
    if (error)
        return error;
    uint32_t version = r->tx ? r->tx->generation + r->tx->changes : r->client->generation;
    error = reply_with(r, text, snprintf(text, sizeof text, "%" PRIu32, version) + 1);
    size_t offset = strtoul(second_string(r), NULL, 10), at = 0;
    for (n = n->children; n && !error; at += strlen(n->name) + 1, n = n->next) {
        if (at < offset)
            continue;
        if (strlen(n->name) + 2 > sizeof r->reply - r->reply_bytes)
            return NULL;
        error = reply_with(r, n->name, strlen(n->name) + 1);
    }
    return error ? error : reply_with(r, "", 1);
}

/* "n5": domain 5 owns it and may all; "n0" "r5": domain 0 owns it, others nothing, 5 reads. */
static const char *op_get_perms(struct request *r)
{
    struct node *n;
    char text[16];
    const char *error = find(r, &n);

    if (error)
        return error;
    int size = snprintf(text, sizeof text, "n%u", n->owner);
    error = reply_with(r, text, size + 1);
    if (!error && n->owner != r->client->domid) {
        size = snprintf(text, sizeof text, "r%u", r->client->domid);
        error = reply_with(r, text, size + 1);
    }
    return error;
}

/* Whether a transaction's list of changed paths has this one. */
static bool is_noted(const struct transaction *tx, const char *rel)
{
    for (size_t i = 0; i < tx->changed_bytes; i += strlen(tx->changed + i) + 1)
        if (strcmp(tx->changed + i, rel) == 0)
            return true;
    return false;
}

/* Whether a transaction's list has room for a path; outside of one nothing is listed. */
static bool may_change(const struct request *r, const char *rel)
{
    return !r->tx || is_noted(r->tx, rel) || strlen(rel) + 1 <= MAX_CHANGES - r->tx->changed_bytes;
}

/* A change made in a transaction is heard of when that ends well, once a path. */
static const char *note_change(struct request *r, const char *rel)
{
    struct transaction *tx = r->tx;

    if (!tx) {
        r->changed = rel;
        return reply_ok(r);
    }
    tx->changes++;
    if (!is_noted(tx, rel)) {
        strcpy(tx->changed + tx->changed_bytes, rel); /* may_change() found the room */
        tx->changed_bytes += strlen(rel) + 1;
    }
    return reply_ok(r);
}

/* The path, then the value without a NUL. */
static const char *op_write(struct request *r)
{
    const char *rel;
    const char *error = first_path(r, &rel);

    if (!error && (!may_change(r, rel) || !may_hold(r->client, 0)))
        error = "ENOSPC";
    if (!error) {
        size_t at = strlen(r->body) + 1;
        error = store_write(r->home, rel, r->body + at, r->len - at, r->client->domid);
    }
    return error ? error : note_change(r, rel);
}

static const char *op_mkdir(struct request *r)
{
    const char *rel;
    const char *error = only_path(r, &rel);
    const struct node *old = error ? NULL : store_find(r->home, rel);

    if (old) /* it stays as it is, and nothing changes */
        return old->owner == r->client->domid ? reply_ok(r) : "EACCES";
    if (!error && (!may_change(r, rel) || !may_hold(r->client, 0)))
        error = "ENOSPC";
    if (!error)
        error = store_mkdir(r->home, rel, r->client->domid);
    return error ? error : note_change(r, rel);
}

static const char *op_rm(struct request *r)
{
    const char *rel;
    const char *error = only_path(r, &rel);

    if (!error && !may_change(r, rel))
        error = "ENOSPC";
    bool there = !error && store_find(r->home, rel);
    if (!error)
        error = store_remove(r->home, rel, r->client->domid);
    if (error)
        return error;
    return there ? note_change(r, rel) : reply_ok(r);
}

/* Whether two paths name the same: one may be relative and the other absolute. */
static bool same_path(const struct xs_client *c, const struct watch *w, const char *path)
{
    const char *rel = home_path(c, path);

    return w->rel && !w->above && rel ? strcmp(w->rel, rel) == 0 : strcmp(w->given, path) == 0;
}

static struct watch **watch_link(struct xs_client *c, const char *path, const char *token)
{
    struct watch **link = &c->watches;

    while (*link && (!same_path(c, *link, path) || strcmp((*link)->token, token) != 0))
        link = &(*link)->next;
    return link;
}

/* "@releaseDomain" and its like are watched as well as paths. */
static bool may_be_watched(const struct xs_client *c, const char *path)
{
    return path[0] == '@' ? strlen(path) <= XENSTORE_REL_PATH_MAX : valid_path(c, path);
}

/* What a watch costs, besides the allocator's own few bytes. */
static size_t watch_size(const char *path, const char *token)
{
    return sizeof(struct watch) + strlen(path) + 1 + strlen(token) + 1;
}

static struct watch *new_watch(const struct xs_client *c, const char *path, const char *token)
{
    struct watch *w = malloc(watch_size(path, token));

    if (!w)
        return NULL;
    strcpy(w->given, path);
    w->token = strcpy(w->given + strlen(path) + 1, token);
    w->rel = home_path(c, w->given);
    w->above = !w->rel && path[0] == '/' && (!path[1] || below(c->home_name, path));
    if (w->above)
        w->rel = "";
    w->next = NULL;
    return w;
}

/* Any path may be watched; outside the home there is nothing that a guest may hear of (XSA-115). */
static const char *op_watch(struct request *r)
{
    struct xs_client *c = r->client;

    if (count_strings(r) != 2 || !may_be_watched(c, r->body))
        return "EINVAL";
    const char *token = second_string(r);
    struct watch **link = watch_link(c, r->body, token);
    if (*link)
        return "EEXIST";
    if (c->watch_count == MAX_WATCHES || !may_hold(c, watch_size(r->body, token)))
        return "E2BIG";
    *link = new_watch(c, r->body, token);
    if (!*link)
        return "ENOMEM";
    c->watch_count++;
    c->watch_memory += watch_size(r->body, token);
    r->new_watch = *link;
    return reply_ok(r);
}

static void drop_watch(struct xs_client *c, struct watch **link)
{
    struct watch *w = *link;

    *link = w->next;
    c->watch_count--;
    c->watch_memory -= watch_size(w->given, w->token);
    free(w);
}

static const char *op_unwatch(struct request *r)
{
    if (count_strings(r) != 2)
        return "EINVAL";
    struct watch **link = watch_link(r->client, r->body, second_string(r));
    if (!*link)
        return "ENOENT";
    drop_watch(r->client, link);
    return reply_ok(r);
}

static struct transaction *find_transaction(struct xs_client *c, uint32_t id)
{
    for (int i = 0; i < MAX_TRANSACTIONS; i++)
        if (c->transactions[i].id == id)
            return &c->transactions[i];
    return NULL;
}

static void end_transaction(struct transaction *tx)
{
    store_free(tx->home);
    tx->home = NULL;
    tx->id = 0;
    tx->changes = tx->changed_bytes = 0;
}

/* A guest that starts anew has neither watches nor transactions, as xenstored has it. */
static const char *op_reset_watches(struct request *r)
{
    struct xs_client *c = r->client;

    while (c->watches)
        drop_watch(c, &c->watches);
    for (int i = 0; i < MAX_TRANSACTIONS; i++)
        end_transaction(&c->transactions[i]);
    return reply_ok(r);
}

static const char *op_transaction_start(struct request *r)
{
    struct xs_client *c = r->client;
    struct transaction *tx = find_transaction(c, 0);
    char text[16];

    if (r->tx)
        return "EBUSY";
    if (!tx || !may_hold(c, store_memory(c->home)))
        return "ENOSPC";
    tx->home = store_copy(c->home);
    if (!tx->home)
        return "ENOMEM";
    do
        c->last_transaction++;
    while (c->last_transaction == 0 || find_transaction(c, c->last_transaction));
    tx->id = c->last_transaction;
    tx->generation = c->generation;
    return reply_with(r, text, snprintf(text, sizeof text, "%u", (unsigned int)tx->id) + 1);
}

/* "T" keeps the changes, "F" forgets them. */
static const char *op_transaction_end(struct request *r)
{
    struct xs_client *c = r->client;
    bool keep = strcmp(r->body, "T") == 0;

    if (!one_string(r) || (!keep && strcmp(r->body, "F") != 0))
        return "EINVAL";
    if (!r->tx)
        return "ENOENT";
    if (keep && r->tx->changed_bytes && r->tx->generation != c->generation) {
        end_transaction(r->tx);
        return "EAGAIN";
    }
    if (keep && r->tx->changed_bytes) {
        struct node *old = c->home;

        c->home = r->tx->home;
        r->tx->home = old;
        r->ended = r->tx; /* answer_request fires its changes and frees what is left */
    } else {
        end_transaction(r->tx);
    }
    return reply_ok(r);
}

static const char *own_number(struct request *r, unsigned long *domid)
{
    char *end;

    if (!one_string(r))
        return "EINVAL";
    *domid = strtoul(r->body, &end, 10);
    return end == r->body || *end || *domid > UINT16_MAX ? "EINVAL" : NULL;
}

static const char *op_get_domain_path(struct request *r)
{
    unsigned long domid;
    char text[32];
    const char *error = own_number(r, &domid);

    return error ? error
                 : reply_with(r, text, snprintf(text, sizeof text, "/local/domain/%lu", domid) + 1);
}

/* These belong to the control domain, which calls functions instead. */
static const char *op_not_yours(struct request *r)
{
    (void)r;
    return "EACCES";
}

/* What an operation does with the header's transaction number; WATCH and UNWATCH ignore it. */
enum tx_use { IN_TX, NO_TX };

static const struct {
    const char *(*run)(struct request *);
    enum tx_use tx;
} operations[] = {
    [XS_CONTROL] = {op_not_yours, NO_TX},
    [XS_DIRECTORY] = {op_directory, IN_TX},
    [XS_DIRECTORY_PART] = {op_directory_part, IN_TX},
    [XS_READ] = {op_read, IN_TX},
    [XS_GET_PERMS] = {op_get_perms, IN_TX},
    [XS_WATCH] = {op_watch, NO_TX},
    [XS_UNWATCH] = {op_unwatch, NO_TX},
    [XS_TRANSACTION_START] = {op_transaction_start, IN_TX},
    [XS_TRANSACTION_END] = {op_transaction_end, IN_TX},
    [XS_INTRODUCE] = {op_not_yours, NO_TX},
    [XS_RELEASE] = {op_not_yours, NO_TX},
    [XS_GET_DOMAIN_PATH] = {op_get_domain_path, IN_TX},
    [XS_WRITE] = {op_write, IN_TX},
    [XS_MKDIR] = {op_mkdir, IN_TX},
    [XS_RM] = {op_rm, IN_TX},
    [XS_IS_DOMAIN_INTRODUCED] = {op_not_yours, NO_TX},
    [XS_RESUME] = {op_not_yours, NO_TX},
    [XS_SET_TARGET] = {op_not_yours, NO_TX},
    [XS_RESET_WATCHES] = {op_reset_watches, IN_TX},
};

/* ---- One request ----------------------------------------------------------------------------- */

static const char *perform(struct request *r, uint32_t type, uint32_t tx_id)
{
    if (type >= sizeof operations / sizeof operations[0] || !operations[type].run)
        return "ENOSYS";
    r->home = r->client->home;
    if (tx_id && operations[type].tx == IN_TX) {
        r->tx = find_transaction(r->client, tx_id);
        if (!r->tx)
            return "ENOENT";
        r->home = r->tx->home;
    }
    return operations[type].run(r);
}

/* The events that follow the reply. */
static void tell_watches(struct request *r)
{
    struct xs_client *c = r->client;

    if (r->new_watch)
        queue_event(c, r->new_watch, "");
    if (r->changed)
        changed(c, r->changed);
    if (r->ended) {
        const char *path = r->ended->changed, *end = path + r->ended->changed_bytes;

        for (; path < end && !c->broken; path += strlen(path) + 1)
            changed(c, path);
        end_transaction(r->ended);
    }
}

static void answer_request(struct xs_client *c)
{
    static struct request r; /* 4 KiB; only the main loop serves */
    struct xsd_sockmsg header = c->in.header;

    memset(&r, 0, offsetof(struct request, reply));
    r.client = c;
    r.body = c->in.bytes + sizeof header;
    r.len = header.len;
    r.body[r.len] = 0;
    const char *error = perform(&r, header.type, header.tx_id);
    if (error) {
        header.type = XS_ERROR;
        header.len = strlen(error) + 1;
        queue_message(c, &header, error);
    } else {
        header.len = r.reply_bytes;
        queue_message(c, &header, r.reply);
        tell_watches(&r);
    }
}

/* ---- The ring -------------------------------------------------------------------------------- */

static uint32_t read_index(const uint32_t *index)
{
    uint32_t value = *(const volatile uint32_t *)index;

    __sync_synchronize(); /* what the index vouches for is read or written after it */
    return value;
}

static void write_index(uint32_t *index, uint32_t value)
{
    __sync_synchronize();
    *(volatile uint32_t *)index = value;
}

/* Move waiting bytes into the ring; true when any moved. */
static bool flush(struct xs_client *c)
{
    uint32_t used = c->rsp_prod - read_index(&c->ring->rsp_cons);
    size_t moved = 0;

    if (used > XENSTORE_RING_SIZE) {
        give_up(c, XENSTORE_ERROR_RINGIDX, "has an impossible index in its response ring");
        return false;
    }
    for (; c->out_bytes && used < XENSTORE_RING_SIZE; used++, moved++) {
        c->ring->rsp[MASK_XENSTORE_IDX(c->rsp_prod++)] = c->out[c->out_start];
        c->out_start = (c->out_start + 1) % OUT_ROOM;
        c->out_bytes--;
    }
    write_index(&c->ring->rsp_prod, c->rsp_prod);
    return moved != 0;
}

/* Take bytes of the message at hand until `want` are there; true when they are. */
static bool receive(struct xs_client *c, size_t want, bool *moved)
{
    uint32_t ready = read_index(&c->ring->req_prod) - c->req_cons;

    if (ready > XENSTORE_RING_SIZE) {
        give_up(c, XENSTORE_ERROR_RINGIDX, "has an impossible index in its request ring");
        return false;
    }
    for (; ready && c->in_bytes < want; ready--, *moved = true)
        c->in.bytes[c->in_bytes++] = c->ring->req[MASK_XENSTORE_IDX(c->req_cons++)];
    write_index(&c->ring->req_cons, c->req_cons);
    return c->in_bytes >= want;
}

/* A whole message is in c->in. */
static bool receive_message(struct xs_client *c, bool *moved)
{
    if (!receive(c, sizeof c->in.header, moved))
        return false;
    if (c->in.header.len > XENSTORE_PAYLOAD_MAX) {
        give_up(c, XENSTORE_ERROR_PROTO, "sends a message too long");
        return false;
    }
    return receive(c, sizeof c->in.header + c->in.header.len, moved);
}

/*
 * A request is read only while the longest reply fits: a guest that does not read its replies
 * stops being served, and only events it asked for can overflow.
 */
bool xs_serve(struct xs_client *c)
{
    bool moved = false;
    int turns;

    for (turns = 0; turns < REQUESTS_PER_TURN && !c->broken; turns++) {
        moved |= flush(c);
        if (c->broken || out_room(c) < MAX_REPLY || !receive_message(c, &moved))
            break;
        c->in_bytes = 0;
        answer_request(c);
    }
    if (!c->broken)
        moved |= flush(c);
    if (moved)
        event_send(c->port);
    return turns == REQUESTS_PER_TURN && !c->broken;
}

struct xs_client *xs_open(uint16_t domid, struct xenstore_domain_interface *ring, uint32_t port)
{
    struct xs_client *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->home = store_new();
    if (!c->home) {
        free(c);
        return NULL;
    }
    c->domid = domid;
    snprintf(c->home_name, sizeof c->home_name, "/local/domain/%u", domid);
    c->port = port;
    c->ring = ring;
    return c;
}

void xs_close(struct xs_client *c)
{
    for (int i = 0; i < MAX_TRANSACTIONS; i++)
        end_transaction(&c->transactions[i]);
    while (c->watches)
        drop_watch(c, &c->watches);
    store_free(c->home);
    free(c);
}

const char *xs_set(struct xs_client *c, const char *path, const char *value, uint16_t owner)
{
    size_t size = value ? strlen(value) : 0;
    const char *error = store_write(c->home, path, value, size, CONTROL_DOMAIN);

    if (error)
        return error;
    store_find(c->home, path)->owner = owner;
    changed(c, path);
    return NULL;
}

struct node *xs_home(struct xs_client *c)
{
    return c->home;
}

const char *xs_broken(const struct xs_client *c)
{
    return c->broken;
}
