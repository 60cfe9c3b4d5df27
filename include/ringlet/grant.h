/* SPDX-License-Identifier: MIT */
/*
 * grant.h: grant tables, by which one domain lets another map or copy some of its frames.
 *
 * The granting domain writes entries into frames it shares with the hypervisor (`shared`); the
 * hypervisor marks there what is in use, and keeps what it may rely on in `active`, out of the
 * guest's reach. The mapping domain's side is a handle: the index of a maptrack entry.
 *
 *   mapper's maptrack entry ---> granter's active entry ---> frame
 *   mapper's page-table entry ----------------------------> frame
 *
 * Invariants (recomputed by xen/debug/audit.c):
 *  G1  An active entry with pins != 0 ("pinned") holds one general reference to its
 *      frame; with writers > 0, one FT_WRITABLE reference besides. So a granted frame in use is
 *      neither freed nor made a page table.
 *  G2  A maptrack entry in use holds a reference to the granting domain, and one reader or writer
 *      of the active entry for each of GNTMAP_host_map and GNTMAP_device_map in its flags.
 *  G3  A page-table entry made by a grant map holds its own references, as every entry does, and
 *      they go when the entry goes, by whatever way. Grant maps are the only way to map another
 *      domain's frame without privilege, an existing one cannot be copied or made writable, and
 *      unmapping takes away exactly one entry as writable as the handle. So there are never more
 *      entries than handles: when the last reader (writer) is gone, and with it the bit the granter
 *      sees, no entry (no writable entry) is left, nor a translation in a TLB.
 *
 * Read next: mm/grant_table.c.
 */
#ifndef RINGLET_GRANT_H
#define RINGLET_GRANT_H

#include <ringlet/module.h>
#include <ringlet/page.h>
#include <ringlet/spinlock.h>
#include <xen/grant_table.h>

struct domain;

#define GRANT_MAX_FRAMES 32
#define GRANT_MAX_MAPTRACK_FRAMES 256
#define GRANT_STATUS_FRAMES 4
#define GRANT_V1_PER_FRAME (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define GRANT_V2_PER_FRAME (PAGE_SIZE / sizeof(union grant_entry_v2))
#define GRANT_STATUS_PER_FRAME (PAGE_SIZE / sizeof(grant_status_t))
_Static_assert(GRANT_STATUS_FRAMES *GRANT_STATUS_PER_FRAME >= GRANT_MAX_FRAMES * GRANT_V2_PER_FRAME,
               "a status word for each version 2 entry");

/* One entry that is pinned: what it said when it was pinned first. `lock` of the granter. */
struct grant_active {
    mfn_t mfn; /* INVALID_MFN for a transitive grant */
    union {
        struct {
            uint16_t readers; /* pins that only read */
            uint16_t writers;
        };
        uint32_t pins; /* zero: not pinned */
    };
    domid_t domid;          /* who pins it */
    uint16_t start, length; /* bytes of the frame it covers; less than a page: copy only */
    uint16_t unused;
};

/* One handle. Free: flags == 0, and `ref` is the next free handle. `lock` of the mapper. */
struct grant_maptrack {
    struct domain *granter; /* referenced */
    grant_ref_t ref;
    mfn_t mfn;
    uint16_t flags; /* GNTMAP_host_map, _device_map: what is mapped; GNTMAP_readonly */
    uint16_t busy;  /* an unmap is at work on it */
};
#define GRANT_MAPTRACK_PER_FRAME (PAGE_SIZE / sizeof(struct grant_maptrack))
#define GRANT_NO_HANDLE 0xFFFFFFFFu

/* lock guards every field. No two domains' locks are held at once. */
struct grant_table {
    spinlock_t lock;
    unsigned version;    /* 1 or 2 */
    unsigned nr_frames;  /* frames of `shared` in use */
    unsigned nr_entries; /* entries in those */
    unsigned max_frames;
    bool closed; /* the domain is dying: no shared frames any more, nothing can be pinned */
    void *shared[GRANT_MAX_FRAMES];                /* heap pages shared with the domain */
    grant_status_t *status[GRANT_STATUS_FRAMES];   /* version 2 only, the same */
    struct grant_active *active[GRANT_MAX_FRAMES]; /* GRANT_V1_PER_FRAME entries each */
    struct grant_maptrack *maptrack[GRANT_MAX_MAPTRACK_FRAMES];
    unsigned nr_maptrack_frames;
    unsigned max_maptrack_frames;
    uint32_t maptrack_free; /* first free handle; GRANT_NO_HANDLE: none */
    uint32_t release_cursor;
};

/* mm/grant_table.c */
int grant_table_init(struct domain *d);
/* Numbers beyond the GRANT_MAX_* are cut down to them. -EBUSY when more is in use already. */
int grant_table_set_limits(struct domain *d, unsigned max_frames, unsigned max_maptrack_frames);
void grant_table_close(struct domain *d); /* a dying domain: give up the frames shared with it */
/* the last reference to the domain is gone: free what is left */
void grant_table_destroy(struct domain *d);
void grant_table_dump(struct domain *d);

/*
 * Pin entry `ref` of domain d's table for the domain numbered `grantee`. GNTST_okay or an error.
 * `copying`: sub-page grants will do; *start and *length tell the bytes granted.
 */
struct grant_pin {
    struct domain *granter; /* in */
    grant_ref_t ref;        /* in */
    domid_t grantee;        /* in */
    bool write, copying;    /* in */
    mfn_t mfn;              /* out */
    uint16_t start, length; /* out */
    bool transitive;        /* out: mfn is not set, the grant is another one, in another domain: */
    domid_t via_domid;
    grant_ref_t via_ref;
};
int16_t grant_pin(struct grant_pin *p);
void grant_unpin(struct domain *granter, grant_ref_t ref, bool write);
struct grant_active *grant_active_entry(const struct grant_table *gt, grant_ref_t ref);
uint16_t *grant_entry_header(const struct grant_table *gt, grant_ref_t ref);

/* mm/grant_setup.c: what setting a table up and changing its version have in common */
/* How many entries that many frames of the table hold. */
unsigned grant_entries_in(unsigned frames, unsigned version);
bool grant_provide(struct domain *d, unsigned version, unsigned frames);
int16_t grant_find_target(domid_t id, struct domain **d);

/*
 * GNTTABOP(name, fn): fn(guest_op) carries out GNTTABOP_name, which takes one structure; 0 or -Exxx.
 * GNTTABOP_LIST(name, fn): fn(guest_ops, count) carries out GNTTABOP_name on elements [0, count), until
 * others want the processor, and returns how many were done, or -EFAULT.
 */
struct gnttabop_record {
    uint32_t cmd;
    uint32_t size; /* of a list's element */
    long (*one)(void *guest_op);
    long (*list)(void *guest_ops, uint32_t count); /* or NULL */
};
MODULE_RECORDS(struct gnttabop_record, gnttabop);
#define GNTTABOP(name, fn)                                                                   \
    MODULE_RECORD(struct gnttabop_record, gnttabop, gnttabop_##name, .cmd = GNTTABOP_##name, \
                  .one = (long (*)(void *))fn)
#define GNTTABOP_LIST(name, fn)                                                              \
    MODULE_RECORD(struct gnttabop_record, gnttabop, gnttabop_##name, .cmd = GNTTABOP_##name, \
                  .size = sizeof(struct gnttab_##name), .list = fn)

/* mm/grant_map.c */
/* drop what a dying domain has mapped; 0 or -ERESTART */
int grant_table_release_mappings(struct domain *d);

#endif
