/* SPDX-License-Identifier: MIT */
/*
 * domains.c - the guests: their configurations, connecting a built domain, serving it, burying it.
 *
 * Event handlers only set a flag: the rings are served by the main loop, one guest after the other,
 * so that nothing here runs twice at once and a guest that floods its channel costs no more than
 * a flag that is set already.
 *
 * A domain that ends (powers off, crashes, is destroyed) stays until we let go of its two pages.
 * The hypervisor raises VIRQ_DOM_EXC; we look at each domain, say how it ended, empty its console
 * into the log, unmap, destroy, and build it again if it asked for a reboot.
 *
 * Next: prompt.c.
 */
#include "domains.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>
#include <xen/sched.h>

#include "build.h"

enum { MAX_GUESTS = 64, RUN_MS = 5 };

static const void *archive;
static size_t archive_size;
static struct guest guests[MAX_GUESTS];
static unsigned int guest_count;
static volatile bool work;         /* an event came */
static volatile bool domain_ended; /* VIRQ_DOM_EXC came */
void (*domains_watcher)(struct guest *g, unsigned int reason);

static void on_ring_event(evtchn_t port, void *data)
{
    (void)port;
    (void)data;
    work = true;
}

static void on_domain_ended(evtchn_t port, void *data)
{
    on_ring_event(port, data);
    domain_ended = true;
}

/* ---- Configurations -------------------------------------------------------------------------- */

static bool is_config(const char *name)
{
    size_t n = strlen(name);

    return n > 4 && strcmp(name + n - 4, ".cfg") == 0;
}

static void add_config(const struct file *f)
{
    struct guest *g = &guests[guest_count];
    unsigned int line;

    if (guest_count == MAX_GUESTS) {
        notice("%s: passed over, there are %d guests already", f->name, MAX_GUESTS);
        return;
    }
    const char *why = config_parse(f->name, (const char *)f->data, f->size, &g->config, &line);
    if (why)
        notice("%s, line %u: %s", f->name, line, why);
    else if (guest_find(g->config.name))
        notice("%s: there is a guest %s already", f->name, g->config.name);
    else
        guest_count++;
}

void domains_init(const void *ramdisk, size_t size)
{
    size_t offset = 0;
    struct file f;
    int more;

    archive = ramdisk;
    archive_size = size;
    while ((more = cpio_next(archive, size, &offset, &f)) > 0)
        if (is_config(f.name))
            add_config(&f);
    if (more < 0)
        notice("the ramdisk is no newc cpio archive from byte %u on", (unsigned int)offset);
    if (event_bind_virq(VIRQ_DOM_EXC, on_domain_ended, NULL) < 0)
        panic("no event for ended domains: is this the initial domain?");
}

struct guest *guest_at(unsigned int i)
{
    return i < guest_count ? &guests[i] : NULL;
}

struct guest *guest_find(const char *name)
{
    char *end;
    unsigned long domid = strtoul(name, &end, 10);

    for (unsigned int i = 0; i < guest_count; i++)
        if (strcmp(guests[i].config.name, name) == 0 ||
            (end != name && !*end && domid && guests[i].domid == domid))
            return &guests[i];
    return NULL;
}

/* ---- A domain's connections ------------------------------------------------------------------ */

/* Undo connect() as far as it came. */
static void disconnect(struct guest *g)
{
    console_disconnect(&g->console);
    if (g->store)
        xs_close(g->store);
    if (g->console_port)
        event_close(g->console_port);
    if (g->store_port)
        event_close(g->store_port);
    if (g->console_page)
        unmap_frames(g->console_page, 1);
    if (g->store_page)
        unmap_frames(g->store_page, 1);
    g->store = NULL;
    g->console_port = g->store_port = 0;
    g->console_page = g->store_page = NULL;
}

static bool bind(uint16_t domid, uint32_t remote, uint32_t *local)
{
    int port = event_bind_interdomain(domid, remote, on_ring_event, NULL);

    *local = port > 0 ? port : 0;
    return port > 0;
}

/* The nodes a guest finds in its home, as libxl writes them for one without devices. */
static const char *fill_home(struct guest *g, const struct built *b)
{
    char text[5][16];
    snprintf(text[0], sizeof text[0], "%u", b->domid);
    snprintf(text[1], sizeof text[1], "%u", b->pages * 4);
    snprintf(text[2], sizeof text[2], "%u", b->console_mfn);
    snprintf(text[3], sizeof text[3], "%u", b->console_port);
    snprintf(text[4], sizeof text[4], "%u", b->store_port);
    const struct {
        const char *path, *value;
        uint16_t owner;
    } nodes[] = {
        {"name", g->config.name, CONTROL_DOMAIN},
        {"domid", text[0], CONTROL_DOMAIN},
        {"memory/static-max", text[1], CONTROL_DOMAIN},
        {"memory/target", text[1], CONTROL_DOMAIN},
        {"console/type", "xenconsoled", CONTROL_DOMAIN},
        {"console/ring-ref", text[2], CONTROL_DOMAIN},
        {"console/port", text[3], CONTROL_DOMAIN},
        {"store/port", text[4], CONTROL_DOMAIN},
        {"control/shutdown", "", b->domid}, /* guests answer by emptying it */
    };
    const char *error = NULL;
    char path[24];

    for (unsigned int i = 0; i < sizeof nodes / sizeof nodes[0] && !error; i++)
        error = xs_set(g->store, nodes[i].path, nodes[i].value, nodes[i].owner);
    for (unsigned int i = 0; i < g->config.vcpus && !error; i++) {
        snprintf(path, sizeof path, "cpu/%u/availability", i);
        error = xs_set(g->store, path, "online", CONTROL_DOMAIN);
    }
    return error;
}

static const char *connect(struct guest *g, const struct built *b)
{
    int error;

    g->console_page = map_frames(b->domid, &b->console_mfn, 1, true, &error);
    g->store_page = map_frames(b->domid, &b->store_mfn, 1, true, &error);
    if (!g->console_page || !g->store_page)
        return "cannot map its rings";
    if (!bind(b->domid, b->console_port, &g->console_port) ||
        !bind(b->domid, b->store_port, &g->store_port))
        return "cannot bind its event channels";
    console_connect(&g->console, g->console_page, g->console_port);
    g->store = xs_open(b->domid, g->store_page, g->store_port);
    if (!g->store || fill_home(g, b))
        return "the control domain is out of memory";
    g->told_of_console = g->told_of_store = false;
    return NULL;
}

/* ---- Life and death -------------------------------------------------------------------------- */

static const char *find_files(const struct guest *g, struct file *kernel, struct file *ramdisk)
{
    static char why[96];
    const char *missing = NULL;

    if (!cpio_find(archive, archive_size, g->config.kernel, kernel))
        missing = g->config.kernel;
    else if (g->config.ramdisk[0] && !cpio_find(archive, archive_size, g->config.ramdisk, ramdisk))
        missing = g->config.ramdisk;
    if (!missing)
        return NULL;
    snprintf(why, sizeof why, "no file %s in the archive", missing);
    return why;
}

static const char *give_share(uint16_t domid, const struct config *c)
{
    unsigned int weight = c->weight, cap = c->cap;

    if (!weight && !cap)
        return NULL;
    return domctl_share(domid, &weight, &cap) ? "the hypervisor refuses its weight or cap" : NULL;
}

const char *guest_create(struct guest *g)
{
    struct file kernel, ramdisk;
    struct built b;
    const char *why;

    if (g->domid)
        return "it runs already";
    why = find_files(g, &kernel, &ramdisk);
    if (!why)
        why = build_domain(&g->config, &kernel, g->config.ramdisk[0] ? &ramdisk : NULL, &b);
    if (why)
        return why;
    why = connect(g, &b);
    if (!why)
        why = give_share(b.domid, &g->config);
    if (!why && domctl_unpause(b.domid) != 0)
        why = "it cannot be started";
    if (why) {
        disconnect(g);
        domctl_destroy(b.domid);
        return why;
    }
    g->domid = b.domid;
    g->started = time_now();
    return NULL;
}

/* Let go of a domain and end it; its last words go into the log. */
static int bury(struct guest *g)
{
    uint16_t domid = g->domid;

    console_carry(&g->console);
    disconnect(g);
    g->domid = 0;
    g->suspended = false;
    return domctl_destroy(domid);
}

const char *guest_destroy(struct guest *g)
{
    if (!g->domid)
        return "it does not run";
    return bury(g) ? "the hypervisor does not destroy it" : NULL;
}

static void start(struct guest *g)
{
    const char *why = guest_create(g);

    if (why)
        notice("%s: %s", g->config.name, why);
    else
        notice("%s: domain %u, %u MiB", g->config.name, g->domid, g->config.memory);
}

void domains_autostart(void)
{
    for (unsigned int i = 0; i < guest_count; i++)
        if (guests[i].config.autostart)
            start(&guests[i]);
}

const char *shutdown_word(unsigned int reason)
{
    static const char *const words[] = {
        [SHUTDOWN_poweroff] = "powered off",     [SHUTDOWN_reboot] = "rebooted",
        [SHUTDOWN_suspend] = "suspended",        [SHUTDOWN_crash] = "crashed",
        [SHUTDOWN_watchdog] = "hung (watchdog)", [SHUTDOWN_soft_reset] = "reset",
    };

    return reason < sizeof words / sizeof words[0] ? words[reason] : "ended";
}

/* A guest that asks for a reboot at once would be rebuilt without end. */
static void tell_and_bury(struct guest *g, const char *how, bool reboot)
{
    bool too_fast = time_now() - g->started < NS_PER_SEC;

    notice("%s: domain %u %s", g->config.name, g->domid, how);
    bury(g);
    if (reboot && too_fast)
        notice("%s: reboots too fast, not built again", g->config.name);
    else if (reboot)
        start(g);
}

static void reap(struct guest *g)
{
    struct domain_info info;
    int error = domctl_info(g->domid, &info);

    if (!error && !info.shutdown && !info.dying)
        return;
    if (domains_watcher) {
        bury(g);
        domains_watcher(g, info.shutdown_reason);
    } else if (error || !info.shutdown) {
        tell_and_bury(g, "is gone", false);
    } else if (info.shutdown_reason != SHUTDOWN_suspend) {
        tell_and_bury(g, shutdown_word(info.shutdown_reason),
                      info.shutdown_reason == SHUTDOWN_reboot);
    } else if (!g->suspended) {
        g->suspended = true;
        notice("%s: domain %u suspended", g->config.name, g->domid);
    }
}

const char *guest_resume(struct guest *g)
{
    if (!g->suspended)
        return "it is not suspended";
    g->suspended = false;
    return domctl_resume(g->domid) ? "the hypervisor refuses" : NULL;
}

static void reap_dead(void)
{
    domain_ended = false; /* before looking: one that ends behind our back sets it again */
    for (unsigned int i = 0; i < guest_count; i++)
        if (guests[i].domid)
            reap(&guests[i]);
}

/* Say once what a guest did to its rings. */
static void complain(const struct guest *g, const char *what, bool *told)
{
    if (what && !*told)
        notice("%s: %s; no longer served", g->config.name, what);
    *told = what != NULL;
}

bool domains_serve(void)
{
    bool more = false;

    work = false;
    for (unsigned int i = 0; i < guest_count; i++) {
        struct guest *g = &guests[i];

        if (!g->domid)
            continue;
        console_carry(&g->console);
        more |= xs_serve(g->store);
        complain(g, g->console.broken, &g->told_of_console);
        complain(g, xs_broken(g->store), &g->told_of_store);
    }
    if (domain_ended)
        reap_dead();
    return more;
}

bool domains_pending(void)
{
    return work;
}

void domains_serve_until(uint64_t end)
{
    while (time_now() < end) {
        bool more = domains_serve();

        events_off();
        if (more || work)
            events_on();
        else
            wait_until(end);
    }
}

const char *guest_churn(struct guest *g)
{
    const char *why = guest_create(g);

    if (why)
        return why;
    domains_serve_until(time_now() + RUN_MS * NS_PER_MS);
    /* It may have ended by itself. */
    return g->domid ? guest_destroy(g) : NULL;
}
