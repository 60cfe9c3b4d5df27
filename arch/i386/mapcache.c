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

/*
 * walk 33: Any frame, a few at a time
 *
 * Claim: The machine has up to 16 GiB of memory and the hypervisor 168 MiB of addresses. The first
 * 56 MiB of memory are always mapped; any other frame is shown in one of 256 slots of this
 * processor's window, and stays shown until the slot is needed, so that working on the same tables
 * again costs a comparison. No other processor uses these slots, so a change needs one INVLPG and
 * no message.
 * Without it: Page tables above 56 MiB could not be read at all, or each look would cost a flush on
 * all processors.
 * Shown by: tests/system/test_boot.py::test_sixteen_gib,
 * tests/system/test_boot.py::test_page_tables_above_4_gib
 */
/*
 * map_frame() found another frame in the slot. At most a handful of maps are held at once, so a
 * free slot is near; a full turn means someone leaks them.
 */
void *map_frame_slow(mfn_t mfn)
{
    struct cpu *c = this_cpu;
    unsigned slot = mfn % MAPCACHE_SLOTS;

    for (unsigned i = 0; i < MAPCACHE_SLOTS; i++, slot = (slot + 1) % MAPCACHE_SLOTS) {
        uint32_t va = c->window_start + slot * PAGE_SIZE;

        if (c->map_users[slot])
            continue;
        c->map_tag[slot] = mfn;
        c->map_users[slot] = 1;
        pte_write(&c->window[slot], make_pte(mfn, PTE_HYPERVISOR | nx_bit | global_bit));
        invlpg(va);
        return (void *)va;
    }
    panic("map cache: all slots in use");
}

const void *glance_frame_slow(mfn_t mfn)
{
    const void *p = map_frame(mfn);

    unmap_frame(p);
    return p;
}

/* The frame that map_frame() shows at this address. */
mfn_t mapped_mfn(const void *va)
{
    const struct cpu *c = this_cpu;
    uint32_t slot = ((uintptr_t)va - c->window_start) >> PAGE_SHIFT;

    return slot < MAPCACHE_SLOTS ? c->map_tag[slot] : direct_mfn(va);
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
