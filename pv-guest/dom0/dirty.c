/* SPDX-License-Identifier: MIT */
/*
 * dirty.c - which pages of a guest were written, as whoever moves a running domain asks.
 *
 * Next: prompt.c.
 */
#define __XEN_TOOLS__ 1 /* xen/domctl.h refuses to be read without */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/number.h>
#include <pv/page.h>
#include <pv/time.h>
#include <xen/domctl.h>
#include <xen/errno.h>
#include <xen/memory.h>

#include "domains.h"

enum { MOST_PAGES = 1 << 20 };

static uint8_t bitmap[MOST_PAGES / 8];

static bool is_set(uint32_t page)
{
    return bitmap[page / 8] >> page % 8 & 1;
}

/* "3 7-9" */
static void print_set(uint32_t pages)
{
    for (uint32_t first = 0; first < pages; first++) {
        uint32_t last = first;

        if (!is_set(first))
            continue;
        while (last + 1 < pages && is_set(last + 1))
            last++;
        printf(last > first ? " %" PRIu32 "-%" PRIu32 : " %" PRIu32, first, last);
        first = last;
    }
}

static int tell(const struct guest *g, enum log_op op, bool quiet)
{
    uint32_t pages = MOST_PAGES;
    struct log_counts counts;

    memset(bitmap, 0xff, sizeof bitmap);
    int error = domctl_log(g->domid, op, bitmap, &pages, &counts);
    if (error || quiet)
        return error;
    printf("%s: %" PRIu32 " pages dirty, %" PRIu32 " faults:", g->config.name, counts.dirty,
           counts.faults);
    print_set(pages);
    printf("\n");
    return 0;
}

/* Whether its writes are logged. The hypervisor tells nobody: a look at no log finds nothing dirty. */
static bool is_logged(const struct guest *g)
{
    return g->domid && g->logged == g->domid;
}

/* Log its writes, or no more. */
static int set_log(struct guest *g, bool on)
{
    uint32_t pages = 0;
    struct log_counts counts;
    int error = domctl_log(g->domid, on ? LOG_ON : LOG_OFF, NULL, &pages, &counts);

    if (!error)
        g->logged = on ? g->domid : 0;
    return error;
}

static int turn(struct guest *g, bool on)
{
    int error = set_log(g, on);

    if (!error)
        printf("%s: its writes are %slogged\n", g->config.name, on ? "" : "not ");
    return error;
}

/* On, two looks, off, over and over, while the guest runs in between. */
static int turns(struct guest *g, uint32_t rounds)
{
    uint32_t done;
    int error = 0;

    for (done = 0; done < rounds && !error && g->domid; done += !error) {
        error = set_log(g, true);
        for (unsigned int i = 0; i < 2 && !error; i++) {
            domains_serve_until(time_now() + 3 * NS_PER_MS);
            if (g->domid)
                error = tell(g, i ? LOG_PEEK : LOG_CLEAN, true);
            /* It has written at a page number so high that there is no room for it: its own affair. */
            if (error == -XEN_ENOMEM)
                error = 0;
        }
        if (!error && g->domid)
            error = set_log(g, false);
        domains_serve_until(time_now() + 2 * NS_PER_MS);
    }
    printf("%s: logged %" PRIu32 " times\n", g->config.name, done);
    return error;
}

/* ---- Is what the log leaves out as it was? --------------------------------------------------- */

enum { MOST_FRAMES = 1 << 17, BATCH = 1024, NOT_ITS_OWN = 0xfU << 28 };

/* Each frame of the guest's when we last looked: what it was, and its contents. */
static struct seen {
    uint32_t pfn, type, hash[2];
} seen[MOST_FRAMES];

/*
 * Of a page that is no table the bit is passed over that would be Accessed in a descriptor: the
 * processor's own writes of that are in no log.
 */
static void look_at(struct seen *s, const uint32_t *page)
{
    uint32_t accessed = s->type & ~XEN_DOMCTL_PFINFO_LPINTAB ? 0 : 0x100;

    s->hash[0] = s->hash[1] = 0;
    for (unsigned int i = 0; i < PAGE_SIZE / sizeof *page; i++) {
        s->hash[0] = s->hash[0] * 31 + (page[i] & ~(i % 2 ? accessed : 0));
        s->hash[1] += s->hash[0];
    }
}

/* The two rings are written by us. False: the frame has changed, and the log does not say so. */
static bool compare(const struct guest *g, uint32_t mfn, uint32_t type, bool first)
{
    struct seen now = {.pfn = ((const uint32_t *)HOLE_BASE)[mfn], .type = type}, was = seen[mfn];
    const uint32_t *page;

    seen[mfn].pfn = UINT32_MAX;
    if (type == NOT_ITS_OWN || now.pfn >= MOST_PAGES || mfn == va_to_mfn(g->console_page) ||
        mfn == va_to_mfn(g->store_page) || !(page = map_frames(g->domid, &mfn, 1, false, NULL)))
        return true;
    look_at(&now, page);
    unmap_frames((void *)page, 1);
    seen[mfn] = now;
    if (first || is_set(now.pfn) || memcmp(&now, &was, sizeof now) == 0)
        return true;
    printf("page %" PRIu32 ", frame %" PRIx32 ": it was page %" PRIu32 ", type %" PRIx32
           " was %" PRIx32 "\n",
           now.pfn, mfn, was.pfn, now.type, was.type);
    return false;
}

static uint32_t compare_all(const struct guest *g, bool first)
{
    uint32_t frames = hv_memory_op(XENMEM_maximum_ram_page, NULL), types[BATCH], wrong = 0;

    for (uint32_t mfn = 0; mfn < frames && mfn < MOST_FRAMES; mfn += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++)
            types[i] = mfn + i;
        if (domctl_frames(g->domid, types, BATCH))
            break;
        for (uint32_t i = 0; i < BATCH; i++)
            wrong += !compare(g, mfn + i, types[i], first);
    }
    return wrong;
}

/*
 * Let the guest run again and again, and look at all of its memory: what the log does not name is as
 * it was. A log that has lost a page is begun anew.
 */
static int verify(struct guest *g, uint32_t rounds)
{
    uint32_t pages, done, wrong = 0, told = 0, lost = 0;
    struct log_counts counts;
    bool on = false;
    int error = 0;

    for (done = 0; done < rounds && !error && g->domid; done++) {
        domctl_pause(g->domid);
        pages = MOST_PAGES;
        error = domctl_log(g->domid, on ? LOG_CLEAN : LOG_ON, bitmap, &pages, &counts);
        if (!error) {
            g->logged = g->domid;
            wrong += compare_all(g, !on);
        }
        told += on ? counts.dirty : 0;
        on = true;
        if (error == -XEN_ENOMEM) {
            error = set_log(g, false);
            on = false;
            lost++;
        }
        domctl_unpause(g->domid);
        domains_serve_until(time_now() + NS_PER_MS / 4);
    }
    printf("%s: %" PRIu32 " rounds, %" PRIu32 " pages told, %" PRIu32 " not told, %" PRIu32
           " logs lost\n",
           g->config.name, done, told, wrong, lost);
    return error || !on || !g->domid ? error : set_log(g, false);
}

static int peek(struct guest *g, uint32_t unused)
{
    (void)unused;
    return tell(g, LOG_PEEK, false);
}

static int clean(struct guest *g, uint32_t unused)
{
    (void)unused;
    return tell(g, LOG_CLEAN, false);
}

static int turn_on(struct guest *g, uint32_t unused)
{
    (void)unused;
    return turn(g, true);
}

static int turn_off(struct guest *g, uint32_t unused)
{
    (void)unused;
    return turn(g, false);
}

/* The words, and whether the log must be on when they are given. A number follows the last two. */
static const struct dirty_word {
    const char *word;
    int (*run)(struct guest *g, uint32_t rounds);
    bool logged;
} words[] = {
    {"on", turn_on, false}, {"off", turn_off, true},    {"peek", peek, true},
    {"clean", clean, true}, {"verify=", verify, false}, {"", turns, false},
};

/* The entry of what was typed, and its number; NULL: there is none. */
static const struct dirty_word *find_word(const char *typed, uint32_t *rounds)
{
    for (const struct dirty_word *w = words; w < words + sizeof words / sizeof words[0]; w++) {
        size_t n = strlen(w->word);
        bool number = n == 0 || w->word[n - 1] == '=';

        if (number ? strncmp(typed, w->word, n) == 0 && number_parse(typed + n, 1, 1000000, rounds)
                   : strcmp(typed, w->word) == 0)
            return w;
    }
    return NULL;
}

void dirty_command(struct guest *g, const char *word)
{
    uint32_t rounds = 0;
    const struct dirty_word *w = find_word(word, &rounds);
    bool logged = is_logged(g);

    if (!w) {
        printf("logdirty takes on, off, peek, clean, N or verify=N, with N from 1 to 1000000\n");
    } else if (w->logged && !logged) {
        printf("%s: its writes are not logged; \"logdirty %s on\" has them logged\n",
               g->config.name, g->config.name);
    } else if (!w->logged && logged) {
        printf("%s: its writes are logged already; \"logdirty %s off\" ends that\n", g->config.name,
               g->config.name);
    } else {
        int error = w->run(g, rounds);
        if (error)
            printf("%s: the hypervisor refuses: error %d\n", g->config.name, error);
    }
}
