/* SPDX-License-Identifier: MIT */
/*
 * alloc.c: which frames of the machine are free, and handing them out in blocks of 2^order.
 *
 * A buddy allocator whose whole state is the frame table: the first frame of a free block carries
 * FC_FREE and the block's order, and links to the next free block of that order by frame number. A
 * block of order n starts at a multiple of 2^n; its buddy is the block whose number differs in bit
 * n alone. Two free buddies become one block of the next order, so memory that was cut up grows
 * together again when it is given back.
 *
 * Zones keep apart frames that differ in who can use them. Zone boundaries are the powers of two,
 * so that "below 2^bits" (devices that reach only so far, L3 tables without extended CR3) is
 * answered by a range of zones and never by a search; and the end of the direct map, below which
 * the hypervisor's own heap must live. Frame 0 is never handed out: that lets 0 end a list, and it
 * is why no block ever grows across a power of two, since the buddy beyond it would be the block
 * that starts at frame 0.
 *
 * Guests may not take the last of the low memory: `low_reserve` frames (an eighth of it, 4 MiB at
 * least, a quarter where even that would be more) stay for the hypervisor, or one guest's balloon
 * could keep others from being created.
 *
 * Every frame handed out is zero. A frame is cleared when it is freed; memory from before the boot,
 * which may hold anything, is marked FC_UNSCRUBBED and cleared when it is first handed out.
 *
 * Read next: mm/ownership.c (frames and their domains), mm/xzalloc.c (small objects).
 */
#include <ringlet/frame.h>
#include <ringlet/spinlock.h>

#define DIRECTMAP_FRAMES (DIRECTMAP_SIZE >> PAGE_SHIFT)
_Static_assert(DIRECTMAP_FRAMES % (1 << MAX_ORDER) == 0,
               "no block may cross the end of the direct map");
_Static_assert((DIRECTMAP_FRAMES & (DIRECTMAP_FRAMES - 1)) != 0,
               "a boundary of its own between zones");

/*
 * Zone z holds frames 2^z to 2^(z+1) - 1; the one with the end of the direct map in it is two
 * zones.
 */
#define LOW_ZONES 14
#define NR_ZONES 23
_Static_assert(DIRECTMAP_FRAMES > 1 << (LOW_ZONES - 1) && DIRECTMAP_FRAMES < 1 << LOW_ZONES,
               "LOW_ZONES");
_Static_assert(MAX_FRAMES == 1 << (NR_ZONES - 1), "NR_ZONES");

uint32_t max_frame;

/* heap_lock guards the free lists, the counters below, and the words of free frames. */
static spinlock_t heap_lock = SPINLOCK_INIT(RANK_HEAP);
static mfn_t free_list[NR_ZONES][MAX_ORDER + 1]; /* first frame of the first free block; 0: none */
static uint32_t nonempty[NR_ZONES];              /* bit n: free_list[zone][n] is not empty */
static uint32_t nr_free, nr_total;
static uint32_t low_free, low_total, low_reserve;
static uint32_t nr_free_below_4g;

static unsigned zone_of(mfn_t mfn)
{
    return 31 - __builtin_clz(mfn) + (mfn >= DIRECTMAP_FRAMES);
}

static void list_insert(mfn_t mfn, unsigned order, uint32_t flags)
{
    unsigned zone = zone_of(mfn);
    mfn_t first = free_list[zone][order];
    struct frame *f = mfn_frame(mfn);

    f->count_info = FC_FREE | flags;
    f->nr_done = order;
    f->prev = 0;
    f->next = first;
    if (first)
        mfn_frame(first)->prev = mfn;
    free_list[zone][order] = mfn;
    nonempty[zone] |= 1u << order;
}

/* Take a free block off its list. Returns its FC_UNSCRUBBED flag. */
static uint32_t list_remove(mfn_t mfn, unsigned order)
{
    unsigned zone = zone_of(mfn);
    struct frame *f = mfn_frame(mfn);
    uint32_t flags = f->count_info & FC_UNSCRUBBED;

    ASSERT((f->count_info & FC_FREE) && f->nr_done == order);
    if (f->next)
        mfn_frame(f->next)->prev = f->prev;
    if (f->prev)
        mfn_frame(f->prev)->next = f->next;
    else if (!(free_list[zone][order] = f->next))
        nonempty[zone] &= ~(1u << order);
    f->count_info = 0;
    f->nr_done = 0;
    f->next = f->prev = 0;
    return flags;
}

static void count_free(mfn_t mfn, int32_t n)
{
    nr_free += n;
    if (mfn < FRAMES_BELOW_4G)
        nr_free_below_4g += n;
    if (mfn < DIRECTMAP_FRAMES)
        low_free += n;
}

/*
 * walk 40: Free memory
 *
 * Claim: Free frames are kept in blocks of 2^n, and the whole state of that is in the frame table:
 * the first frame of a block has its order and the links of a list. A block's buddy differs from it
 * in one bit of the frame number, so whether the two can grow together again is one comparison.
 * Without it: Memory cut up by small requests would stay cut up, and a domain that needs larger
 * extents could not be built after a hundred others had lived and died.
 * Shown by: tests/host/test_alloc.c::test_random_blocks, tests/host/test_alloc.c::test_many_lives
 */
/* Put a block on the free lists, joined with its buddy as often as that is free. heap_lock held. */
static void insert_block(mfn_t mfn, unsigned order, uint32_t flags)
{
    count_free(mfn, 1 << order);
    while (order < MAX_ORDER) {
        mfn_t buddy = mfn ^ (1u << order);
        struct frame *b = &frame_table[buddy];

        if (buddy >= max_frame || !(b->count_info & FC_FREE) || b->nr_done != order ||
            (mfn < DIRECTMAP_FRAMES) != (buddy < DIRECTMAP_FRAMES))
            break;
        flags |= list_remove(buddy, order);
        mfn &= ~(1u << order);
        order++;
    }
    list_insert(mfn, order, flags);
}

/*
 * Cut the first large enough block of a zone down to `order`. 0 when there is none. heap_lock held.
 */
static mfn_t take_from_zone(unsigned zone, unsigned order, uint32_t *flags)
{
    uint32_t usable = nonempty[zone] & ~((1u << order) - 1);
    unsigned have;
    mfn_t mfn;

    if (!usable)
        return 0;
    have = __builtin_ctz(usable);
    mfn = free_list[zone][have];
    *flags = list_remove(mfn, have);
    while (have > order) {
        have--;
        list_insert(mfn + (1u << have), have, *flags);
    }
    count_free(mfn, -(1 << order));
    return mfn;
}

/*
 * From zone `top` downwards; of the low zones only what leaves `keep` frames there. INVALID_MFN:
 * nothing.
 */
static mfn_t take(int top, unsigned order, uint32_t keep, bool clean)
{
    uint32_t flags = 0;
    mfn_t mfn = 0;

    spin_lock(&heap_lock);
    for (int zone = top; zone >= 0 && !mfn; zone--) {
        if (zone < LOW_ZONES && low_free < keep + (1u << order))
            break;
        mfn = take_from_zone(zone, order, &flags);
    }
    spin_unlock(&heap_lock);
    if (!mfn)
        return INVALID_MFN;
    if (clean && (flags & FC_UNSCRUBBED)) {
        for (mfn_t i = 0; i < 1u << order; i++)
            clear_frame(mfn + i);
    }
    return mfn;
}

static mfn_t alloc_from(unsigned order, unsigned bits, bool clean)
{
    int top = NR_ZONES - 1;

    if (order > MAX_ORDER)
        return INVALID_MFN;
    if (bits && bits < PAGE_SHIFT + NR_ZONES - 1) {
        if (bits <= PAGE_SHIFT)
            return INVALID_MFN;
        top = zone_of((1u << (bits - PAGE_SHIFT)) - 1);
    }
    return take(top, order, low_reserve, clean);
}

/*
 * Allocate 2^order frames for a guest, below machine address 2^bits (0: anywhere), from the highest
 * memory that will do. The frames are zero, belong to nobody and have no references:
 * assign_frames() or free_frames() comes next. INVALID_MFN when there are none.
 */
mfn_t alloc_frames(unsigned order, unsigned bits)
{
    return alloc_from(order, bits, true);
}

/*
 * The same for the initial domain, at boot: the frames may hold what the machine's memory held
 * before. It is trusted with the whole machine, and clearing 16 GiB would take longer than the boot.
 */
mfn_t alloc_frames_uncleared(unsigned order, unsigned bits)
{
    return alloc_from(order, bits, false);
}

/*
 * walk 41: Cleared when freed
 *
 * Claim: A frame is cleared when it is given back, before anybody can ask for it, and its M2P entry
 * goes with it. What the machine's memory held before the boot is cleared when it is first handed
 * out. So every frame that a guest gets is zero, and no way of asking for memory has to think of
 * it.
 * Without it: The next owner reads what the last one wrote: keys, files, the hypervisor's own data
 * (XSA-100).
 * Shown by: tests/host/test_alloc.c::test_no_dirt, tests/guests/xsa/xsa-100/main.c::fill_all
 */
/*
 * Give back 2^order frames that nobody owns or refers to. They are cleared here, and have no pfn
 * any more.
 */
void free_frames(mfn_t mfn, unsigned order)
{
    ASSERT(order <= MAX_ORDER && mfn && !(mfn & ((1u << order) - 1)));
    for (mfn_t i = mfn; i < mfn + (1u << order); i++) {
        struct frame *f = mfn_frame(i);

        ASSERT(!(f->count_info & ~FC_UNSCRUBBED) && !(f->type_info & FT_COUNT));
        ASSERT(f->owner == OWNER_NONE);
        f->type_info = 0;
        f->nr_done = 0;
        f->next = f->prev = 0;
        m2p[i] = INVALID_M2P;
        clear_frame(i);
    }
    spin_lock(&heap_lock);
    insert_block(mfn, order, 0);
    spin_unlock(&heap_lock);
}

uint32_t free_frame_count(void)
{
    return nr_free;
}

/*
 * Of the free frames, those that guests may take: all but `low_reserve`. It is what control domains
 * are told is free, or their toolstacks would count on memory that no guest can have.
 */
uint32_t free_frame_count_for_guests(void)
{
    uint32_t n;

    spin_lock(&heap_lock);
    n = nr_free - MIN(low_free, low_reserve);
    spin_unlock(&heap_lock);
    return n;
}

/* Free frames of the low memory, from which the hypervisor's heap takes its pages. */
uint32_t free_heap_frame_count(void)
{
    return *(const volatile uint32_t *)&low_free;
}

uint32_t free_frame_count_below_4g(void)
{
    return nr_free_below_4g;
}

uint32_t total_frame_count(void)
{
    return nr_total;
}

/*
 * Pages for the hypervisor itself: direct-mapped, zero, counted FC_XEN so that no guest can take
 * them. NULL when there are none. They are given back by heap_free_pages(), or by
 * unshare_heap_page() once shared with a guest.
 */
void *heap_alloc_pages(unsigned order)
{
    mfn_t mfn = order <= MAX_ORDER ? take(LOW_ZONES - 1, order, 0, true) : INVALID_MFN;

    if (mfn == INVALID_MFN)
        return NULL;
    for (mfn_t i = mfn; i < mfn + (1u << order); i++) {
        struct frame *f = mfn_frame(i);

        f->owner = OWNER_XEN;
        f->type_info = FT_NONE;
        f->count_info = FC_XEN | FC_ALLOCATED | 1;
    }
    return direct_map((maddr_t)mfn << PAGE_SHIFT);
}

void heap_free_pages(void *va, unsigned order)
{
    mfn_t mfn = direct_mfn(va);

    for (mfn_t i = mfn; i < mfn + (1u << order); i++) {
        struct frame *f = mfn_frame(i);

        ASSERT(f->count_info == (FC_XEN | FC_ALLOCATED | 1) && f->owner == OWNER_XEN);
        f->count_info = 0;
        f->owner = OWNER_NONE;
    }
    free_frames(mfn, order);
}

/*
 * Boot: before any memory is known, every frame is the hypervisor's and none is free. What is not
 * memory at all is then named by frames_init_io(), and what is free by frames_init_add(). max_frame
 * and the tables must be set up.
 */
void frames_init(void)
{
    memset(free_list, 0, sizeof(free_list));
    memset(nonempty, 0, sizeof(nonempty));
    nr_free = nr_total = low_free = low_total = low_reserve = nr_free_below_4g = 0;
    for (mfn_t i = 0; i < max_frame; i++) {
        frame_table[i] =
            (struct frame){.count_info = FC_XEN | FC_ALLOCATED | 1, .owner = OWNER_XEN};
        m2p[i] = INVALID_M2P;
    }
}

/*
 * Frames [start, end) are devices or firmware: privileged domains may map them. They have no count,
 * so nobody can take a reference, not even in the name of DOMID_IO: a device is no page table.
 */
void frames_init_io(mfn_t start, mfn_t end)
{
    for (mfn_t i = start; i < end && i < max_frame; i++)
        frame_table[i] = (struct frame){.owner = OWNER_IO};
}

static void add_block(mfn_t mfn, unsigned order)
{
    uint32_t n = 1u << order;

    for (mfn_t i = mfn; i < mfn + n; i++)
        frame_table[i] = (struct frame){.owner = OWNER_NONE};
    spin_lock(&heap_lock);
    nr_total += n;
    if (mfn < DIRECTMAP_FRAMES)
        low_total += n;
    low_reserve = MIN(MAX(low_total / 8, (4u << 20) >> PAGE_SHIFT), low_total / 4);
    insert_block(mfn, order, FC_UNSCRUBBED);
    spin_unlock(&heap_lock);
}

/*
 * Frames [start, end) are free memory from now on: at boot, and later the pages only the boot
 * needed.
 */
void frames_init_add(mfn_t start, mfn_t end)
{
    end = MIN(end, max_frame);
    start = MAX(start, 1u);
    while (start < end) {
        unsigned order = MIN((unsigned)__builtin_ctz(start), MAX_ORDER);

        while ((1u << order) > end - start)
            order--;
        add_block(start, order);
        start += 1u << order;
    }
}
