/* SPDX-License-Identifier: MIT */
/*
 * mapcache.c: reaching any frame of memory, a few at a time.
 *
 * Only the first 56 MiB of memory are always mapped. Other frames are shown in this CPU's window:
 * slot mfn % 256 first, the following ones if that is in use. An unused slot keeps its mapping, so
 * working on the same page tables again and again costs a comparison. No other CPU ever sees the
 * slots, so replacing one needs a local INVLPG only.
 *
 * map_tag[i] is the frame slot i shows, map_users[i] the map_frame() calls not yet undone; a slot
 * with users stays.
 */
#include <ringlet/arch.h>
#include <ringlet/percpu.h>

#define SLOT_ADDRESS(c, slot) ((void *)(WINDOW_START((c)->id) + (slot)*PAGE_SIZE))

static noinline void *map_frame_slow(struct cpu *c, mfn_t mfn)
{
    unsigned slot = mfn % MAPCACHE_SLOTS;

    /*
     * At most a handful of maps are held at once, so a free slot is near; a full turn means someone
     * leaks them.
     */
    for (unsigned i = 0; i < MAPCACHE_SLOTS; i++, slot = (slot + 1) % MAPCACHE_SLOTS) {
        if (c->map_users[slot])
            continue;
        c->map_tag[slot] = mfn;
        c->map_users[slot] = 1;
        pte_write(&c->window[slot], make_pte(mfn, PTE_HYPERVISOR | nx_bit | global_bit));
        invlpg((uintptr_t)SLOT_ADDRESS(c, slot));
        return SLOT_ADDRESS(c, slot);
    }
    panic("map cache: all slots in use");
}

/* The frame's contents at an address of this CPU's, until unmap_frame(). Maps nest. */
void *map_frame(mfn_t mfn)
{
    struct cpu *c = this_cpu;
    unsigned slot = mfn % MAPCACHE_SLOTS;

    if (mfn < DIRECTMAP_SIZE >> PAGE_SHIFT)
        return direct_map((maddr_t)mfn << PAGE_SHIFT);
    if (likely(c->map_tag[slot] == mfn)) {
        c->map_users[slot]++;
        return SLOT_ADDRESS(c, slot);
    }
    return map_frame_slow(c, mfn);
}

/* Undo one map_frame(); any address within the page will do. */
void unmap_frame(const void *va)
{
    struct cpu *c = this_cpu;
    uint32_t slot = ((uintptr_t)va - WINDOW_START(c->id)) >> PAGE_SHIFT;

    if (slot < MAPCACHE_SLOTS) {
        ASSERT(c->map_users[slot] > 0);
        c->map_users[slot]--;
    }
}

void clear_frame(mfn_t mfn)
{
    void *p = map_frame(mfn);

    memset(p, 0, PAGE_SIZE);
    unmap_frame(p);
}

void copy_frame(mfn_t dst, mfn_t src)
{
    void *d = map_frame(dst);
    const void *s = map_frame(src);

    memcpy(d, s, PAGE_SIZE);
    unmap_frame(s);
    unmap_frame(d);
}
