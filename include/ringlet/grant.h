/* SPDX-License-Identifier: MIT */
/*
 * grant.h: grant tables, by which one domain lets another map or copy some of its frames.
 *
 * Read next: mm/grant_table.c.
 */
#ifndef RINGLET_GRANT_H
#define RINGLET_GRANT_H

#include <ringlet/page.h>
#include <ringlet/spinlock.h>
#include <xen/grant_table.h>

struct domain;

#define GRANT_MAX_FRAMES 32
#define GRANT_MAX_MAPTRACK_FRAMES 256
#define GRANT_STATUS_FRAMES 4

struct grant_active; /* what the hypervisor knows of one entry in use: mm/grant_table.c */
struct grant_maptrack;

/* lock guards every field. Lower domid's table first where two are needed. */
struct grant_table {
    spinlock_t lock;
    unsigned version;    /* 1 or 2 */
    unsigned nr_frames;  /* frames of `shared` in use */
    unsigned max_frames;
    void *shared[GRANT_MAX_FRAMES]; /* heap pages shared with the domain */
    void *status[GRANT_STATUS_FRAMES];
    struct grant_active *active[GRANT_MAX_FRAMES];
    struct grant_maptrack *maptrack[GRANT_MAX_MAPTRACK_FRAMES];
    unsigned nr_maptrack_frames;
    unsigned max_maptrack_frames;
    uint32_t maptrack_free; /* first free handle */
};

/* mm/grant_table.c */
int grant_table_init(struct domain *d);
int grant_table_set_limits(struct domain *d, unsigned max_frames, unsigned max_maptrack_frames);
void grant_table_release_mappings(struct domain *d); /* drop what a dying domain has mapped from others */
void grant_table_destroy(struct domain *d);
void grant_table_dump(struct domain *d);

#endif
