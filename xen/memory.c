/* SPDX-License-Identifier: MIT */
/*
 * memory.c: from the machine's memory map to a frame table and free frames.
 *
 *  1. The highest address of RAM, at most 16 GiB, fixes max_frame.
 *  2. M2P and frame table are placed in RAM below 4 GiB that nothing else uses, and mapped with
 *     large pages.
 *  3. Every frame begins as the hypervisor's; what is no RAM becomes the I/O owner's, and what is
 *     RAM and not used by the image, the modules or the tables becomes free.
 *
 * The modules' memory is free once the initial domain is built. The first MiB is left to the
 * initial domain as I/O: BIOS tables, VGA and option ROMs live there.
 */
#include <ringlet/arch.h>
#include <ringlet/mm.h>
#include <ringlet/multiboot.h>

#define SUPERPAGE (1u << SUPERPAGE_SHIFT)
#define LOW_MEMORY 0x100000ull

struct range {
    uint64_t start, end;
};

/* Boot only. Memory in use: the image, the modules, the tables. */
static struct range used[MAX_BOOT_MODULES + 4];
static unsigned nr_used;

extern uint8_t image_start_physical[], image_end[];

static void mark_used(uint64_t start, uint64_t end)
{
    ASSERT(nr_used < ARRAY_SIZE(used));
    used[nr_used++] = (struct range){start, end};
}

/* The used range that overlaps [start, end), or NULL. */
static const struct range *overlapping(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < nr_used; i++) {
        if (start < used[i].end && used[i].start < end)
            return &used[i];
    }
    return NULL;
}

/*
 * The highest 2 MiB-aligned place for `size` bytes in one RAM range, clear of what is used. The
 * boot's identity map must reach it, so it ends below HYPERVISOR_START as a linear address, which
 * all RAM below the usual PCI hole does. 0: none.
 */
static uint64_t place_in(const struct e820_entry *e, uint64_t size)
{
    uint64_t end = MIN(e->addr + e->size, (uint64_t)HYPERVISOR_START), start;
    const struct range *r;

    while (end >= size && end - size >= MAX(e->addr, LOW_MEMORY)) {
        start = (end - size) & ~(uint64_t)(SUPERPAGE - 1);
        if (start < MAX(e->addr, LOW_MEMORY))
            return 0;
        r = overlapping(start, start + size);
        if (!r)
            return start;
        end = r->start;
    }
    return 0;
}

static uint64_t find_place(uint64_t size)
{
    uint64_t best = 0;

    for (unsigned i = 0; i < boot_memory_map_entries; i++) {
        if (boot_memory_map[i].type == E820_RAM)
            best = MAX(best, place_in(&boot_memory_map[i], size));
    }
    return best;
}

/* Take `size` bytes for a table. */
static maddr_t take_boot_memory(uint32_t size)
{
    uint64_t place = find_place(size);

    if (!place)
        panic("no room for %u KiB of frame tables below 4 GiB", size >> 10);
    mark_used(place, place + size);
    return place;
}

static void mark_loaded(void)
{
    nr_used = 0;
    mark_used((uintptr_t)image_start_physical, direct_maddr(image_end));
    for (unsigned i = 0; i < nr_boot_modules; i++)
        mark_used((uintptr_t)boot_modules[i].start & ~(PAGE_SIZE - 1),
                  ROUND_UP((uintptr_t)boot_modules[i].start + boot_modules[i].size, PAGE_SIZE));
}

/*
 * Boot, before memory_init(): where `size` bytes are free, clear of image and modules; NULL where
 * there are none. They stay free, but for what becomes a module.
 */
void *boot_memory_find(uint64_t size)
{
    mark_loaded();
    return (void *)(uintptr_t)find_place(size);
}

/* What the processor has no address for is not there, whatever the firmware's map says. */
static void find_max_frame(void)
{
    uint64_t top = 0, limit = 1ull << cpu_features.address_bits;

    for (unsigned i = 0; i < boot_memory_map_entries; i++) {
        if (boot_memory_map[i].type == E820_RAM)
            top = MAX(top, boot_memory_map[i].addr + boot_memory_map[i].size);
    }
    max_frame = MIN(MIN(top, limit) >> PAGE_SHIFT, MAX_FRAMES);
}

static void map_tables(void)
{
    uint32_t m2p_size = ROUND_UP(max_frame * sizeof(uint32_t), SUPERPAGE);
    uint32_t frames_size = ROUND_UP(max_frame * sizeof(struct frame), SUPERPAGE);
    maddr_t m2p_at = take_boot_memory(m2p_size), frames_at = take_boot_memory(frames_size);

    paging_map_table(M2P_START, m2p_at, m2p_size, true);
    paging_map_table(M2P_RO_START, m2p_at, m2p_size, false);
    paging_map_table(FRAME_TABLE_START, frames_at, frames_size, true);
    tlb_flush_local();
    memset((void *)M2P_START, 0xff, m2p_size);
    memset((void *)FRAME_TABLE_START, 0, frames_size);
}

/*
 * Everything that no RAM range covers is I/O: one bit of walking, since ranges are few but in any
 * order.
 */
static void mark_io(void)
{
    uint64_t at = 0, end = (uint64_t)max_frame << PAGE_SHIFT;

    frames_init_io(0, LOW_MEMORY >> PAGE_SHIFT);
    while (at < end) {
        uint64_t next = end, covered = 0;

        for (unsigned i = 0; i < boot_memory_map_entries; i++) {
            const struct e820_entry *e = &boot_memory_map[i];

            if (e->type != E820_RAM)
                continue;
            if (e->addr <= at && at < e->addr + e->size)
                covered = MAX(covered, e->addr + e->size);
            else if (e->addr > at)
                next = MIN(next, e->addr);
        }
        if (!covered)
            frames_init_io(DIV_ROUND_UP(at, PAGE_SIZE), next >> PAGE_SHIFT);
        at = covered ? covered : next;
    }
}

/* Free the whole frames of [start, end) that are not used. */
static void free_range(uint64_t start, uint64_t end)
{
    const struct range *r;

    start = MAX(start, LOW_MEMORY);
    while (start < end) {
        uint64_t stop = end;

        for (unsigned i = 0; i < nr_used; i++) {
            if (used[i].start > start)
                stop = MIN(stop, used[i].start);
        }
        r = overlapping(start, start + 1);
        if (!r)
            frames_init_add(DIV_ROUND_UP(start, PAGE_SIZE), stop >> PAGE_SHIFT);
        start = r ? r->end : stop;
    }
}

/* Boot: after paging_init(), before anything is allocated. */
void memory_init(void)
{
    find_max_frame();
    mark_loaded();
    map_tables();
    frames_init();
    mark_io();
    for (unsigned i = 0; i < boot_memory_map_entries; i++) {
        const struct e820_entry *e = &boot_memory_map[i];

        if (e->type == E820_RAM)
            free_range(e->addr, MIN(e->addr + e->size, (uint64_t)max_frame << PAGE_SHIFT));
    }
    printk("memory: %u MiB free of %u MiB; frame table %u KiB\n", free_frame_count() >> 8,
           max_frame >> 8, max_frame * (uint32_t)sizeof(struct frame) >> 10);
}

/* The initial domain is built: the modules' memory is not needed any more. */
void memory_release_boot(void)
{
    for (unsigned i = 0; i < nr_boot_modules; i++) {
        uint32_t start = (uintptr_t)boot_modules[i].start, end = start + boot_modules[i].size;

        frames_init_add(start >> PAGE_SHIFT, DIV_ROUND_UP(end, PAGE_SIZE));
    }
    nr_boot_modules = 0;
}
