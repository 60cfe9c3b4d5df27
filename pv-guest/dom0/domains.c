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

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>
#include <xen/sched.h>

#include "build.h"

enum { MAX_GUESTS = 64, RUN_MS = 5, FIRST_DELAY_MS = 1000, LONGEST_DELAY_MS = 64000 };

/* A guest that reboots after this long is built again without delay. */
#define SETTLED (60 * NS_PER_SEC)

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

static void tell_mistake(const char *file, unsigned int line, const char *why)
{
    if (line)
        notice("%s, line %u: %s", file, line, why);
    else
        notice("%s: %s", file, why);
}

static void add_config(const struct file *f)
{
    struct guest *g = &guests[guest_count];

    if (guest_count == MAX_GUESTS) {
        notice("%s: passed over, there are %d guests already", f->name, MAX_GUESTS);
        return;
    }
    g->mistaken = !config_parse(f->name, (const char *)f->data, f->size, &g->config, tell_mistake);
    if (!g->config.name[0])
        return;
    if (guest_find(g->config.name))
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

/* The empty nodes that libxl makes for a guest to write, and which belong to it. */
static const char *make_guest_nodes(struct guest *g, uint16_t domid)
{
    static const char *const paths[] = {
        "control/shutdown", /* guests answer by emptying it */
        "control/feature-poweroff",
        "control/feature-reboot",
        "control/feature-suspend",
        "control/sysrq",
        "device/suspend/event-channel",
        "data",
        "drivers",
        "feature",
        "attr",
        "error",
    };
    const char *error = NULL;

    for (unsigned int i = 0; i < sizeof paths / sizeof paths[0] && !error; i++)
        error = xs_set(g->store, paths[i], "", domid);
    return error;
}

static const char *set_number(struct guest *g, const char *path, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof text, "%" PRIu32, value);
    return xs_set(g->store, path, text, CONTROL_DOMAIN);
}

static const char *set_numbers(struct guest *g, const struct built *b)
{
    const struct {
        const char *path;
        uint32_t value;
    } nodes[] = {
        {"domid", b->domid},
        {"memory/static-max", b->pages * 4},
        {"memory/target", b->pages * 4},
        {"console/ring-ref", b->console_mfn},
        {"console/port", b->console_port},
        {"console/limit", 1048576}, /* libxl's; bytes of log that xenconsoled keeps */
        {"store/ring-ref", b->store_mfn},
        {"store/port", b->store_port},
        {"control/platform-feature-multiprocessor-suspend", 1},
        {"control/platform-feature-xs_reset_watches", 1},
    };
    const char *error = NULL;

    for (unsigned int i = 0; i < sizeof nodes / sizeof nodes[0] && !error; i++)
        error = set_number(g, nodes[i].path, nodes[i].value);
    return error;
}

/*
 * The nodes a guest finds in its home, as libxl writes them for a PV guest without devices. "vm"
 * names a directory elsewhere, by a UUID that we make of the domain's number; guests read the name
 * but not what is there.
 */
static const char *fill_home(struct guest *g, const struct built *b)
{
    char path[48];
    const char *error = xs_set(g->store, "name", g->config.name, CONTROL_DOMAIN);

    snprintf(path, sizeof path, "/vm/00000000-0000-0000-0000-%012x", b->domid);
    if (!error)
        error = xs_set(g->store, "vm", path, CONTROL_DOMAIN);
    if (!error)
        error = xs_set(g->store, "console/type", "xenconsoled", CONTROL_DOMAIN);
    if (!error)
        error = set_numbers(g, b);
    if (!error)
        error = make_guest_nodes(g, b->domid);
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

/* ---- Service ---------------------------------------------------------------------------------- */

/* Say once what a guest did to its rings. */
static void complain(const struct guest *g, const char *what, bool *told)
{
    if (what && !*told)
        notice("%s: %s; no longer served", g->config.name, what);
    *told = what != NULL;
}

/* Carry every console and connection a bounded way. True: some guest has more. */
static bool serve_rings(void)
{
    bool more = false;

    work = false; /* before looking: what comes meanwhile sets it again */
    for (unsigned int i = 0; i < guest_count; i++) {
        struct guest *g = &guests[i];

        if (!g->domid)
            continue;
        console_carry(&g->console);
        more |= xs_serve(g->store);
        complain(g, g->console.broken, &g->told_of_console);
        complain(g, xs_broken(g->store), &g->told_of_store);
    }
    return more;
}

/*
 * Between two steps of building a domain: serve the others, but neither bury nor build, which
 * waits for the main loop. So does whatever is left undone here.
 */
static void serve_between(void)
{
    if (serve_rings())
        work = true;
    prompt_between();
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
    if (g->mistaken)
        return "its configuration has mistakes, reported when the control domain started";
    g->rebuild_at = 0;
    why = find_files(g, &kernel, &ramdisk);
    if (!why)
        why = build_domain(&g->config, &kernel, g->config.ramdisk[0] ? &ramdisk : NULL,
                           serve_between, &b);
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
    bool waits = g->rebuild_at != 0;

    g->rebuild_at = 0;
    if (!g->domid)
        return waits ? "it is not built again" : "it does not run";
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
        if (guests[i].config.autostart && !guests[i].mistaken)
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

/*
 * Have a guest that asked for a reboot built again: at once if it ran for a while, otherwise after
 * a delay that doubles from time to time. Without it a guest that reboots as soon as it runs would
 * have us build all the time.
 */
static void schedule_rebuild(struct guest *g)
{
    uint64_t now = time_now();

    if (now - g->started >= SETTLED)
        g->delay_ms = 0;
    else
        g->delay_ms = g->delay_ms ? 2 * g->delay_ms : FIRST_DELAY_MS;
    if (g->delay_ms > LONGEST_DELAY_MS)
        g->delay_ms = LONGEST_DELAY_MS;
    g->rebuild_at = now + g->delay_ms * NS_PER_MS;
    if (g->delay_ms)
        notice("%s: built again in %" PRIu32 " s", g->config.name, g->delay_ms / 1000);
}

static void tell_and_bury(struct guest *g, const char *how, bool reboot)
{
    notice("%s: domain %u %s", g->config.name, g->domid, how);
    bury(g);
    if (reboot)
        schedule_rebuild(g);
}

/* Build one guest that is due. Not while a test decides what lives (domains_watcher). */
static void rebuild_due(void)
{
    uint64_t now = time_now();

    for (unsigned int i = 0; i < guest_count && !domains_watcher; i++)
        if (guests[i].rebuild_at && guests[i].rebuild_at <= now) {
            start(&guests[i]);
            return;
        }
}

uint64_t domains_due(void)
{
    uint64_t due = UINT64_MAX;

    for (unsigned int i = 0; i < guest_count && !domains_watcher; i++)
        if (guests[i].rebuild_at && guests[i].rebuild_at < due)
            due = guests[i].rebuild_at;
    return due;
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

bool domains_serve(void)
{
    bool more = serve_rings();

    if (domain_ended)
        reap_dead();
    rebuild_due();
    return more;
}

bool domains_pending(void)
{
    return work || domain_ended;
}

void domains_serve_until(uint64_t end)
{
    while (time_now() < end) {
        bool more = domains_serve();

        events_off();
        if (more || domains_pending())
            events_on();
        else
            wait_until(end < domains_due() ? end : domains_due());
    }
}

const char *guest_churn(struct guest *g)
{
    const char *why = guest_create(g);

    if (why)
        return why;
    domains_serve_until(time_now() + RUN_MS * NS_PER_MS);
    if (g->domid)
        return guest_destroy(g);
    g->rebuild_at = 0; /* it has ended by itself */
    return NULL;
}
