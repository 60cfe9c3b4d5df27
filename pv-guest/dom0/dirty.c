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

static int turn(const struct guest *g, bool on)
{
    uint32_t pages = 0;
    struct log_counts counts;
    int error = domctl_log(g->domid, on ? LOG_ON : LOG_OFF, NULL, &pages, &counts);

    if (!error)
        printf("%s: its writes are %slogged\n", g->config.name, on ? "" : "not ");
    return error;
}

/* On, two looks, off, over and over, while the guest runs in between. */
static int turns(const struct guest *g, uint32_t rounds)
{
    uint32_t pages = 0, done;
    struct log_counts counts;
    int error = 0;

    for (done = 0; done < rounds && !error && g->domid; done++) {
        error = domctl_log(g->domid, LOG_ON, NULL, &pages, &counts);
        for (unsigned int i = 0; i < 2 && !error; i++) {
            domains_serve_until(time_now() + 3 * NS_PER_MS);
            if (g->domid)
                error = tell(g, i ? LOG_PEEK : LOG_CLEAN, true);
            /* It has written at a page number so high that there is no room for it: its own affair. */
            if (error == -XEN_ENOMEM)
                error = 0;
        }
        if (!error && g->domid)
            error = domctl_log(g->domid, LOG_OFF, NULL, &pages, &counts);
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
static int verify(const struct guest *g, uint32_t rounds)
{
    uint32_t pages, done, wrong = 0, told = 0, lost = 0;
    struct log_counts counts;
    bool on = false;
    int error = 0;

    for (done = 0; done < rounds && !error && g->domid; done++) {
        domctl_pause(g->domid);
        pages = MOST_PAGES;
        error = domctl_log(g->domid, on ? LOG_CLEAN : LOG_ON, bitmap, &pages, &counts);
        if (!error)
            wrong += compare_all(g, !on);
        told += on ? counts.dirty : 0;
        on = true;
        if (error == -XEN_ENOMEM) {
            error = domctl_log(g->domid, LOG_OFF, NULL, &pages, &counts);
            on = false;
            lost++;
        }
        domctl_unpause(g->domid);
        domains_serve_until(time_now() + NS_PER_MS / 4);
    }
    printf("%s: %" PRIu32 " rounds, %" PRIu32 " pages told, %" PRIu32 " not told, %" PRIu32
           " logs lost\n",
           g->config.name, done, told, wrong, lost);
    return error || !on || !g->domid ? error : domctl_log(g->domid, LOG_OFF, NULL, &pages, &counts);
}

void dirty_command(const struct guest *g, const char *word)
{
    uint32_t rounds = strtoul(word, NULL, 10);
    int error = 0;

    if (rounds)
        error = turns(g, rounds);
    else if (strncmp(word, "verify=", 7) == 0)
        error = verify(g, strtoul(word + 7, NULL, 10));
    else if (strcmp(word, "peek") == 0)
        error = tell(g, LOG_PEEK, false);
    else if (strcmp(word, "clean") == 0)
        error = tell(g, LOG_CLEAN, false);
    else if (strcmp(word, "on") == 0 || strcmp(word, "off") == 0)
        error = turn(g, strcmp(word, "on") == 0);
    else
        printf("on, off, peek, clean, a number or verify=N\n");
    if (error)
        printf("%s: the hypervisor refuses: %d\n", g->config.name, error);
}
