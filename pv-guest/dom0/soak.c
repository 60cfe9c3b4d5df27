/* SPDX-License-Identifier: MIT */
/*
 * soak.c - domains come and go at random, by the thousand; what they leave behind is counted.
 *
 * Every guest of the archive that does not start by itself is built, served, paused, crashed and
 * destroyed, whatever it is doing. Neighbours in the archive are peers: the first to be built is
 * told the number that the other will have ("peer=N first"), and the other the number of the first
 * ("peer=N second"); tests/guests/life/life connects with its peer by channels and grants, counts every
 * event, and prints while it gets those it waits for. In the end nobody lives, and as much memory
 * must be free as before; the hypervisor's audit (its key 'a') is asked for now and then.
 *
 * The same seed makes the same decisions, but what guests do in between depends on time.
 *
 * Next: domains.c.
 */
#define _GNU_SOURCE 1 /* memmem */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/time.h>
#include <xen/sched.h>

#include "domains.h"

enum { FIRST_ID = 100, LAST_ID = 1000, AUDIT_EVERY = 100, REASONS = 8, MAX_SOAKED = 32 };

#define PATIENCE (20 * NS_PER_SEC)

static struct soaked {
    struct guest *g;
    char words[sizeof((struct config *)0)->cmdline]; /* of its configuration */
    uint16_t partner;                                /* the number its peer has or will have */
    bool paused, logged;
    bool promised; /* the peer was told the number in `promise` */
    uint16_t promise;
} all[MAX_SOAKED];

static unsigned int n;
static uint32_t state, endings[REASONS], panics, stuck, destroyed, events;
static uint16_t last_id;

static uint32_t random_below(uint32_t most)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % most;
}

static uint16_t next_id(void)
{
    last_id = last_id < LAST_ID ? last_id + 1 : FIRST_ID;
    return last_id;
}

/* What stands behind these words in what a guest printed; NULL: it did not print them. */
static const char *find_words(const struct guest *g, const char *words)
{
    const char *at = memmem(g->console.log, sizeof g->console.log - 1, words, strlen(words));

    return at ? at + strlen(words) : NULL;
}

/* A guest's last words tell what it did, and whether it found something wrong. */
static void ended(struct guest *g, unsigned int reason)
{
    const char *number = find_words(g, "events of its peer: ");

    endings[reason < REASONS ? reason : REASONS - 1]++;
    events += number ? strtoul(number, NULL, 10) : 0;
    if (find_words(g, "panic:")) {
        panics++;
        printf("%s: panic; its last words: %.*s\n", g->config.name,
               (int)(g->console.written < 400 ? g->console.written : 400), g->console.log);
    }
}

static const char *build(struct soaked *s, struct soaked *peer)
{
    bool second = s->promised && peer->g->domid;

    s->g->config.domid = second ? s->promise : next_id();
    s->promised = false;
    s->paused = s->logged = false;
    if (!second) {
        peer->promise = next_id();
        peer->promised = true;
    }
    snprintf(s->g->config.cmdline, sizeof s->g->config.cmdline, "%s seed=%" PRIu32 " peer=%u %s",
             s->words, random_below(1000000), second ? peer->g->domid : peer->promise,
             second ? "second" : "first");
    memset(s->g->console.log, 0, sizeof s->g->console.log);
    s->g->console.written = s->g->console.shown = 0;
    return guest_create(s->g);
}

static void set_paused(struct soaked *s, bool pause)
{
    if (s->g->domid && s->paused != pause &&
        !(pause ? domctl_pause(s->g->domid) : domctl_unpause(s->g->domid)))
        s->paused = pause;
}

/*
 * A guest that has come to its work goes on printing, if only its peer is not paused. One that does
 * not has waited in vain for an event.
 */
static void check_progress(struct soaked *s, struct soaked *peer)
{
    uint64_t printed = s->g->console.written, end = time_now() + PATIENCE;

    if (!find_words(s->g, "other vcpus"))
        return;
    set_paused(s, false);
    set_paused(peer, false);
    while (s->g->domid && s->g->console.written == printed && time_now() < end)
        domains_serve_until(time_now() + NS_PER_MS);
    if (s->g->domid && s->g->console.written == printed) {
        printf("%s does not go on\n", s->g->config.name);
        stuck++;
    }
}

/* Begin to log its writes; then ask which, or end it. */
static void turn_log(struct soaked *s)
{
    static uint8_t bitmap[1024 / 8];
    uint32_t pages = 8 * sizeof bitmap;
    struct log_counts counts;
    enum log_op op = !s->logged ? LOG_ON : random_below(3) ? LOG_CLEAN : LOG_OFF;

    if (domctl_log(s->g->domid, op, bitmap, &pages, &counts) == 0)
        s->logged = op != LOG_OFF;
}

static void destroy(struct soaked *s)
{
    if (s->g->domid && !guest_destroy(s->g))
        destroyed++;
}

/* Something happens to a guest that runs; most often nothing does. */
static void disturb(struct soaked *s, struct soaked *peer)
{
    switch (random_below(16)) {
    case 0:
        domain_crash(s->g->domid);
        break;
    case 1:
        destroy(s);
        break;
    case 2:
        check_progress(s, peer);
        destroy(s);
        break;
    case 3:
    case 4:
    case 5:
        set_paused(s, !s->paused);
        break;
    case 6:
    case 7:
    case 8:
        turn_log(s);
        break;
    }
}

static void collect(void)
{
    struct guest *g;

    n = 0;
    for (unsigned int i = 0; (g = guest_at(i)) && n < MAX_SOAKED; i++) {
        if (g->domid || g->config.autostart || g->mistaken || g->rebuild_at)
            continue;
        memset(&all[n], 0, sizeof all[n]);
        all[n].g = g;
        memcpy(all[n].words, g->config.cmdline, sizeof all[n].words);
        n++;
    }
    n &= ~1u; /* everybody has a peer */
}

static void finish(void)
{
    for (unsigned int i = 0; i < n; i++)
        check_progress(&all[i], &all[i ^ 1]);
    for (unsigned int i = 0; i < n; i++)
        destroy(&all[i]);
    domains_serve_until(time_now() + 20 * NS_PER_MS);
}

static const char *live(uint32_t lives, uint32_t *done)
{
    const char *why = NULL;

    for (*done = 0; *done < lives && !why;) {
        unsigned int i = random_below(n);

        if (all[i].g->domid) {
            disturb(&all[i], &all[i ^ 1]);
        } else {
            why = build(&all[i], &all[i ^ 1]);
            if (++*done % AUDIT_EVERY == 0)
                debug_key('a');
        }
        domains_serve_until(time_now() + random_below(random_below(16) ? 4 : 50) * NS_PER_MS);
    }
    finish();
    return why;
}

void soak(uint32_t seed, uint32_t lives)
{
    const char *why;
    uint32_t before, done;

    state = seed;
    last_id = FIRST_ID;
    collect();
    if (!n) {
        printf("soak needs two guests that do not run and whose configurations do not say "
               "autostart=yes\n");
        return;
    }
    domains_watcher = ended;
    /* Not counted: the hypervisor keeps some of what it allocates on first use. */
    why = live(2 * n, &done);
    before = host_free_pages();
    memset(endings, 0, sizeof endings);
    stuck = destroyed = panics = events = 0;
    if (!why)
        why = live(lives, &done);
    domains_watcher = NULL;
    for (unsigned int i = 0; i < n; i++) {
        memcpy(all[i].g->config.cmdline, all[i].words, sizeof all[i].words);
        all[i].g->config.domid = 0;
    }
    debug_key('a');
    printf("soak %" PRIu32 ": %" PRIu32 " lives%s%s: %" PRIu32 " powered off, %" PRIu32
           " rebooted, %" PRIu32 " suspended, %" PRIu32 " crashed, %" PRIu32 " destroyed; %" PRIu32
           " hung, %" PRIu32 " stuck, %" PRIu32 " panicked; %" PRIu32
           " events between peers; free before: %" PRIu32 ", after: %" PRIu32 " pages\n",
           seed, done, why ? ", then " : "", why ? why : "", endings[SHUTDOWN_poweroff],
           endings[SHUTDOWN_reboot], endings[SHUTDOWN_suspend], endings[SHUTDOWN_crash], destroyed,
           endings[SHUTDOWN_watchdog], stuck, panics, events, before, host_free_pages());
}
