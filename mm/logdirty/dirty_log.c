/* SPDX-License-Identifier: MIT */
/*
 * dirty_log.c: the log itself: a bit for each pfn whose frame was written.
 *
 * Like the log of Xen it goes by pfn, the guest's own number of a frame, because that is what stays
 * when a domain moves to another machine: the M2P tells it. A frame without one (shared_info, a
 * grant table) is not the guest's memory and is not noted.
 *
 * All of it is allocated before the mode is on: writes are marked deep inside, under any lock, where
 * nothing can be allocated.
 *
 * Read next: mm/logdirty/shadow.c, which sees the guest's own writes.
 */
#include "dirty_log.h"
#include <ringlet/grant.h>
#include <ringlet/hypercall.h>
#include <ringlet/guest_access.h>
#include <ringlet/mm.h>
#include <ringlet/ports.h>

/* Where bit `pfn` is, mapped. The log is on, or no vcpu of the domain runs. */
static uint32_t *map_word(const struct dirty_log *log, uint32_t pfn)
{
    uint32_t *leaf = map_frame(log->leaf[pfn / PFNS_PER_LEAF]);

    return leaf + pfn % PFNS_PER_LEAF / 32;
}

/* What is at `pfn` is to be copied again. Any CPU, any lock held. */
void note_pfn_dirty(struct domain *d, uint32_t pfn)
{
    struct dirty_log *log = d->dirty_log;
    uint32_t *word, bit = 1u << pfn % 32;

    if (!log || !log->on || pfn >> 31) /* INVALID_M2P, and what Linux marks as foreign */
        return;
    if (pfn >= LOG_PFNS) {
        log->lost = true;
        return;
    }
    word = map_word(log, pfn);
    if (!(__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST) & bit))
        __atomic_fetch_add(&log->dirty_count, 1, __ATOMIC_SEQ_CST);
    unmap_frame(word);
}

/* Read once: the frame's owner may change it between a check and a use. */
static uint32_t pfn_of(mfn_t mfn)
{
    return *(const volatile uint32_t *)&m2p[mfn];
}

/* mark_dirty(), where some domain is logged. Frames that are no memory have no log. */
void note_dirty(mfn_t mfn)
{
    struct domain *d = mfn < max_frame ? frame_owner(mfn_frame(mfn)) : NULL;

    if (d)
        note_pfn_dirty(d, pfn_of(mfn));
}

/* Is d's log on, and this frame d's and in it already, so that writing it needs no new mark? */
bool is_dirty(const struct domain *d, mfn_t mfn)
{
    const struct dirty_log *log = d->dirty_log;
    uint32_t pfn = pfn_of(mfn), *word;
    bool dirty;

    if (owner_slot(mfn_frame(mfn)) != d->slot || pfn >= LOG_PFNS)
        return false;
    word = map_word(log, pfn);
    dirty = *word >> pfn % 32 & 1;
    unmap_frame(word);
    return dirty;
}

/*
 * Frames that others than the guest may write at any moment are dirty whenever somebody asks: those
 * granted to a domain that has them mapped writable, and those in which the hypervisor sets bits for
 * the guest: registered vcpu_infos, queues of the FIFO ABI, the map of PIRQs.
 */
void mark_always_dirty(struct domain *d)
{
    const struct domain_part *part;
    struct vcpu *v;

    spin_lock(&d->grant.lock);
    for (unsigned i = 0; i < GRANT_MAX_FRAMES; i++) {
        const struct grant_active *a = d->grant.active[i];

        for (unsigned k = 0; a && k < GRANT_V1_PER_FRAME; k++) {
            if (a[k].writers && a[k].mfn != INVALID_MFN)
                note_dirty(a[k].mfn);
        }
    }
    spin_unlock(&d->grant.lock);
    for_each_vcpu(d, v)
    {
        if (v->info_mfn != INVALID_MFN)
            note_dirty(v->info_mfn);
    }
    for_each_record(domain_part, part)
    {
        if (part->visit_frames)
            part->visit_frames(d, note_dirty);
    }
}

/* ---- Telling --------------------------------------------------------------------------------- */

/* So many words go through the stack at a time. */
#define CHUNK_WORDS 64

static uint32_t count_bits(uint32_t w)
{
    uint32_t n = 0;

    for (; w; w &= w - 1)
        n++;
    return n;
}

/*
 * The first `bytes` of them. Other domains' CPUs may be setting bits: what is copied and what is
 * cleared must be the same.
 */
static void take_words(struct dirty_log *log, uint32_t *from, uint32_t *to, uint32_t bytes,
                       bool clean)
{
    for (unsigned i = 0; 4 * i < bytes; i++) {
        uint32_t left = bytes - 4 * i, mask = left < 4 ? (1u << 8 * left) - 1 : ~0u;

        to[i] = from[i] & mask;
        if (clean && to[i]) {
            to[i] = __atomic_fetch_and(&from[i], ~mask, __ATOMIC_SEQ_CST) & mask;
            __atomic_fetch_sub(&log->dirty_count, count_bits(to[i]), __ATOMIC_SEQ_CST);
        }
    }
}

/* They could not be handed over: as if they had not been taken. */
static void put_back(struct dirty_log *log, uint32_t *words, const uint32_t *taken, uint32_t bytes)
{
    for (unsigned i = 0; 4 * i < bytes; i++) {
        uint32_t before = __atomic_fetch_or(&words[i], taken[i], __ATOMIC_SEQ_CST);

        __atomic_fetch_add(&log->dirty_count, count_bits(taken[i] & ~before), __ATOMIC_SEQ_CST);
    }
}

/*
 * Copy the first `bytes` of a leaf to the caller's memory (NULL: nowhere), and clear them if told.
 * -EFAULT: the caller's memory is not there; what could not be copied is not cleared.
 */
int report_leaf(struct dirty_log *log, unsigned leaf, uint8_t *guest, uint32_t bytes, bool clean)
{
    uint32_t chunk[CHUNK_WORDS], *words = map_frame(log->leaf[leaf]);
    int rc = 0;

    for (uint32_t at = 0; at < bytes && !rc; at += sizeof(chunk)) {
        uint32_t n = MIN(bytes - at, (uint32_t)sizeof(chunk));

        take_words(log, words + at / 4, chunk, n, clean);
        if (guest && copy_to_guest(guest + at, chunk, n)) {
            rc = -EFAULT;
            if (clean)
                put_back(log, words + at / 4, chunk, n);
        }
    }
    unmap_frame(words);
    return rc;
}
