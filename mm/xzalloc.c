/* SPDX-License-Identifier: MIT */
/*
 * xzalloc.c: memory for the hypervisor's own objects, out of its heap pages.
 *
 * Small objects of like size share a page (a slab): a header, then the objects, the free ones
 * linked through their first word. Anything larger has whole pages. The frame table remembers what
 * a page is used for in nr_done, and links the slabs that have room through next and prev, so
 * freeing needs no size and no search: the header makes a small object's address never
 * page-aligned, and a large one's always is. An empty slab goes back to the heap at once, so that
 * memory is equal before and after a domain's life.
 *
 * The sizes are those that fill a page well: 4080 bytes are 255, 127, 63, 31, 15, 7, 4, 3, 2
 * objects.
 *
 * H1  What a guest makes the hypervisor keep (grant tables, event channels, maptrack) is charged to
 *     its domain, and a domain may not hold more of the heap than is left for all others. So n
 *     greedy domains leave at least 1/(n + 1) of what they found, and none of them can have the
 *     last page. Privileged domains are not limited: the machine depends on them. What a control
 *     domain asks for on another's behalf (the domain, its vcpus) is not charged either.
 *
 * Read next: mm/alloc.c.
 */
#include <ringlet/domain.h>
#include <ringlet/frame.h>
#include <ringlet/spinlock.h>

struct slab {
    void *free;
    uint16_t used;
    uint16_t class;
};
_Static_assert(sizeof(struct slab) <= 16, "objects are aligned to 16 behind the header");
#define SLAB_HEADER ROUND_UP(sizeof(struct slab), 16)

static const uint16_t class_size[] = {16, 32, 64, 128, 256, 576, 1008, 1360, 2032};
#define NR_CLASSES ARRAY_SIZE(class_size)

/*
 * slab_lock guards `partial`, every slab's header and free objects, and its frame's next, prev and
 * nr_done.
 */
static spinlock_t slab_lock = SPINLOCK_INIT(RANK_HEAP);
static mfn_t partial[NR_CLASSES]; /* first slab with a free object; 0: none */

static unsigned objects_in(unsigned class)
{
    return (PAGE_SIZE - SLAB_HEADER) / class_size[class];
}

static struct slab *slab_of(mfn_t mfn)
{
    return direct_map((maddr_t)mfn << PAGE_SHIFT);
}

static void partial_add(mfn_t mfn, unsigned class)
{
    struct frame *f = mfn_frame(mfn);

    f->prev = 0;
    f->next = partial[class];
    if (f->next)
        mfn_frame(f->next)->prev = mfn;
    partial[class] = mfn;
}

static void partial_del(mfn_t mfn, unsigned class)
{
    struct frame *f = mfn_frame(mfn);

    if (f->next)
        mfn_frame(f->next)->prev = f->prev;
    if (f->prev)
        mfn_frame(f->prev)->next = f->next;
    else
        partial[class] = f->next;
    f->next = f->prev = 0;
}

/* A new slab of `class`, all its objects free; on no list yet. NULL when there is no memory. */
static struct slab *slab_create(unsigned class)
{
    struct slab *s = heap_alloc_pages(0);
    char *object;

    if (!s)
        return NULL;
    s->class = class;
    object = (char *)s + SLAB_HEADER;
    for (unsigned i = 0; i < objects_in(class); i++, object += class_size[class]) {
        *(void **)object = s->free;
        s->free = object;
    }
    return s;
}

static void *slab_take(struct slab *s)
{
    void *object = s->free;

    s->free = *(void **)object;
    if (++s->used == objects_in(s->class))
        partial_del(direct_mfn(s), s->class);
    return object;
}

static void *alloc_small(unsigned class)
{
    struct slab *s;
    void *object;

    spin_lock(&slab_lock);
    if (!partial[class]) {
        /*
         * The heap's lock has the same rank: let go of ours meanwhile. Another CPU's new slab does
         * no harm.
         */
        spin_unlock(&slab_lock);
        s = slab_create(class);
        if (!s)
            return NULL;
        spin_lock(&slab_lock);
        partial_add(direct_mfn(s), class);
    }
    object = slab_take(slab_of(partial[class]));
    spin_unlock(&slab_lock);
    return object;
}

/* `size` bytes, zero, aligned to 16. NULL when there is no memory or `size` is beyond 4 MiB. */
void *xzalloc_bytes(size_t size)
{
    unsigned order = 0;
    void *p;

    for (unsigned class = 0; class < NR_CLASSES; class ++) {
        if (size <= class_size[class]) {
            p = alloc_small(class);
            return p ? memset(p, 0, size) : NULL;
        }
    }
    while (order <= MAX_ORDER && size > (size_t)PAGE_SIZE << order)
        order++;
    p = heap_alloc_pages(order);
    if (p)
        mfn_frame(direct_mfn(p))->nr_done = order;
    return p;
}

static void free_small(struct slab *s, void *object)
{
    unsigned class = s->class;
    bool empty;

    spin_lock(&slab_lock);
    if (s->used == objects_in(class))
        partial_add(direct_mfn(s), class);
    *(void **)object = s->free;
    s->free = object;
    empty = --s->used == 0;
    if (empty)
        partial_del(direct_mfn(s), class);
    spin_unlock(&slab_lock);
    if (empty)
        heap_free_pages(s, 0);
}

/* Free what xzalloc_bytes() gave; NULL is allowed. */
void xfree(void *p)
{
    uintptr_t page = (uintptr_t)p & ~(uintptr_t)(PAGE_SIZE - 1);

    if (!p)
        return;
    if ((uintptr_t)p == page)
        heap_free_pages(p, mfn_frame(direct_mfn(p))->nr_done);
    else
        free_small((struct slab *)page, p);
}

/* --- On behalf of a guest --------------------------------------------------------------------- */

/* How much of the heap an object of xzalloc_bytes() takes. */
static uint32_t size_of_object(const void *p)
{
    uintptr_t page = (uintptr_t)p & ~(uintptr_t)(PAGE_SIZE - 1);

    if ((uintptr_t)p == page)
        return PAGE_SIZE << mfn_frame(direct_mfn(p))->nr_done;
    return class_size[((const struct slab *)page)->class];
}

/*
 * May the hypervisor keep `size` more bytes for d (H1)? Of several vcpus that ask at once each may
 * get what one of them could have.
 */
bool heap_allows(const struct domain *d, size_t size)
{
    uint32_t held = *(const volatile uint32_t *)&d->heap_bytes + d->heap_pages * PAGE_SIZE;

    return d->privileged || held + size <= free_heap_frame_count() * PAGE_SIZE;
}

/* xzalloc_bytes() for what d's guest caused. NULL: no memory, or none for d (H1). */
void *xzalloc_for_domain(struct domain *d, size_t size)
{
    void *p = heap_allows(d, size) ? xzalloc_bytes(size) : NULL;

    if (p)
        __atomic_fetch_add(&d->heap_bytes, size_of_object(p), __ATOMIC_RELAXED);
    return p;
}

/* Free what xzalloc_for_domain() gave for d; NULL is allowed. */
void xfree_for_domain(struct domain *d, void *p)
{
    if (p)
        __atomic_fetch_sub(&d->heap_bytes, size_of_object(p), __ATOMIC_RELAXED);
    xfree(p);
}
