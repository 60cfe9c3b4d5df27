/* SPDX-License-Identifier: MIT */
/*
 * dirty.c - which pages of a guest were written, as whoever moves a running domain asks.
 *
 * Next: prompt.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/time.h>
#include <xen/errno.h>

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

void dirty_command(const struct guest *g, const char *word)
{
    uint32_t rounds = strtoul(word, NULL, 10);
    int error = 0;

    if (rounds)
        error = turns(g, rounds);
    else if (strcmp(word, "peek") == 0)
        error = tell(g, LOG_PEEK, false);
    else if (strcmp(word, "clean") == 0)
        error = tell(g, LOG_CLEAN, false);
    else if (strcmp(word, "on") == 0 || strcmp(word, "off") == 0)
        error = turn(g, strcmp(word, "on") == 0);
    else
        printf("on, off, peek, clean or a number\n");
    if (error)
        printf("%s: the hypervisor refuses: %d\n", g->config.name, error);
}
