/* SPDX-License-Identifier: MIT */
/*
 * The window: linear addresses for frames that are not this domain's pages.
 *
 * A frame of another domain is mapped by an ordinary page-table update that names its owner; the
 * hypervisor checks that this domain may (it controls the other, or was granted the frame).
 *
 * Next: grant.c, which maps by reference instead.
 */
#include <pv/page.h>

#include <pv/start.h>

#define WINDOW_PAGES ((WINDOW_END - WINDOW_BASE) >> PAGE_SHIFT)
#define BATCH 64

/* One bit a page, set when reserved; single vcpu. */
static uint32_t reserved[WINDOW_PAGES / 32];

static bool is_reserved(uint32_t page)
{
    return reserved[page / 32] >> page % 32 & 1;
}

static void mark(uint32_t first, uint32_t count, bool set)
{
    for (uint32_t page = first; page < first + count; page++) {
        if (set)
            reserved[page / 32] |= 1u << page % 32;
        else
            reserved[page / 32] &= ~(1u << page % 32);
    }
}

void *window_alloc(uint32_t count)
{
    uint32_t run = 0;

    for (uint32_t page = 0; count > 0 && page < WINDOW_PAGES; page++) {
        run = is_reserved(page) ? 0 : run + 1;
        if (run == count) {
            mark(page + 1 - count, count, true);
            return (char *)WINDOW_BASE + ((page + 1 - count) << PAGE_SHIFT);
        }
    }
    return NULL;
}

void window_free(void *va, uint32_t count)
{
    mark(((uint32_t)va - WINDOW_BASE) >> PAGE_SHIFT, count, false);
}

/* Write up to BATCH consecutive entries: frames of domid, or zero where mfns is NULL. */
static int set_entries(char *va, domid_t domid, const uint32_t *mfns, uint32_t count,
                       uint64_t flags)
{
    struct mmu_update requests[BATCH];

    for (uint32_t i = 0; i < count; i++) {
        requests[i].ptr = pte_machine_address(va + i * PAGE_SIZE) | MMU_NORMAL_PT_UPDATE;
        requests[i].val = mfns ? pte_make(mfns[i], flags) : 0;
    }
    return hv_mmu_update(requests, count, NULL, domid);
}

static int set_range(char *va, domid_t domid, const uint32_t *mfns, uint32_t count, uint64_t flags)
{
    for (uint32_t done = 0; done < count; done += BATCH) {
        uint32_t batch = count - done < BATCH ? count - done : BATCH;
        int error =
            set_entries(va + done * PAGE_SIZE, domid, mfns ? mfns + done : NULL, batch, flags);

        if (error)
            return error;
    }
    return 0;
}

void *map_frames(domid_t domid, const uint32_t *mfns, uint32_t count, bool writable, int *error)
{
    void *va = window_alloc(count);
    int result = va ? set_range(va, domid, mfns, count, writable ? PAGE_KERNEL : PAGE_KERNEL_RO)
                    : -XEN_ENOMEM;

    if (error)
        *error = result;
    if (result == 0)
        return va;
    if (va)
        unmap_frames(va, count);
    return NULL;
}

/* mmu_update flushes nothing by itself, and the addresses are about to be used for other frames:
 * a stale TLB entry would reach the old one. */
void unmap_frames(void *va, uint32_t count)
{
    struct mmuext_op flush = {.cmd = MMUEXT_TLB_FLUSH_LOCAL};

    if (set_range(va, DOMID_SELF, NULL, count, 0) != 0 ||
        hv_mmuext_op(&flush, 1, NULL, DOMID_SELF) != 0)
        panic("cannot unmap %u pages at %p", count, va);
    window_free(va, count);
}
