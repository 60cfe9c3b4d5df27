/* SPDX-License-Identifier: MIT */
/*
 * lives.c - many short lives, each with a seed of its own, for guests that try to break out.
 *
 * Every guest of the archive that does not start by itself is built with the word "seed=N" behind
 * those of its configuration, N counting up from the first seed. It ends by itself, crashes, or is
 * destroyed when it has run for LIFE_MS; then it is built again with the next seed, until so many
 * have lived. As many live at the same time as there are such guests. In the end as much memory must
 * be free as before, and the hypervisor's audit (its key 'a') is asked for.
 *
 * The line printed at each end names the seed: `lives SEED 1` lives that life once more. What the
 * hypervisor says last before a panic is about one of the lives that began and did not end.
 *
 * Next: soak.c, whose guests are disturbed from here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <pv/time.h>
#include <xen/sched.h>

#include "domains.h"

enum { LIFE_MS = 1000, REASONS = 8, MAX_LIVING = 16 };

static struct living {
    struct guest *g;
    char words[sizeof((struct config *)0)->cmdline]; /* of its configuration */
    uint32_t seed;
} all[MAX_LIVING];

static unsigned int n;
static uint32_t endings[REASONS], destroyed;

static void tell(const struct living *l, const char *how)
{
    printf("%s: life %" PRIu32 " %s\n", l->g->config.name, l->seed, how);
}

/* domains_watcher: a guest ended by itself or crashed. */
static void ended(struct guest *g, unsigned int reason)
{
    endings[reason < REASONS ? reason : REASONS - 1]++;
    for (unsigned int i = 0; i < n; i++)
        if (all[i].g == g)
            tell(&all[i], shutdown_word(reason));
}

static const char *begin(struct living *l, uint32_t seed)
{
    l->seed = seed;
    snprintf(l->g->config.cmdline, sizeof l->g->config.cmdline, "%s seed=%" PRIu32, l->words, seed);
    return guest_create(l->g);
}

/* Its time is up. */
static void end_old(struct living *l)
{
    if (!l->g->domid || time_now() - l->g->started < LIFE_MS * NS_PER_MS)
        return;
    if (!guest_destroy(l->g)) {
        destroyed++;
        tell(l, "destroyed");
    }
}

static void collect(void)
{
    struct guest *g;

    n = 0;
    for (unsigned int i = 0; (g = guest_at(i)) && n < MAX_LIVING; i++) {
        if (g->domid || g->config.autostart)
            continue;
        all[n].g = g;
        memcpy(all[n].words, g->config.cmdline, sizeof all[n].words);
        n++;
    }
}

/* Put the configurations back as they were read. */
static void restore(void)
{
    for (unsigned int i = 0; i < n; i++)
        memcpy(all[i].g->config.cmdline, all[i].words, sizeof all[i].words);
}

/* How many were begun is *done. NULL, or why the next one could not be built. */
static const char *live(uint32_t seed, uint32_t most, uint32_t *done)
{
    const char *why = NULL;
    bool any = true;

    for (*done = 0; any || (*done < most && !why);) {
        any = false;
        for (unsigned int i = 0; i < n; i++) {
            end_old(&all[i]);
            if (!all[i].g->domid && *done < most && !why) {
                why = begin(&all[i], seed + *done);
                *done += !why;
            }
            any |= all[i].g->domid != 0;
        }
        domains_serve_until(time_now() + NS_PER_MS);
    }
    return why;
}

void lives(uint32_t seed, uint32_t most)
{
    uint32_t before = host_free_pages(), done;
    const char *why;

    collect();
    if (!n) {
        printf("no guest that does not run\n");
        return;
    }
    memset(endings, 0, sizeof endings);
    destroyed = 0;
    domains_watcher = ended;
    why = live(seed, most, &done);
    domains_watcher = NULL;
    restore();
    debug_key('a');
    printf("lives %" PRIu32 ": %" PRIu32 " lives%s%s: %" PRIu32 " powered off, %" PRIu32
           " crashed, %" PRIu32 " destroyed; free before: %" PRIu32 ", after: %" PRIu32 " pages\n",
           seed, done, why ? ", then " : "", why ? why : "", endings[SHUTDOWN_poweroff],
           endings[SHUTDOWN_crash], destroyed, before, host_free_pages());
}
