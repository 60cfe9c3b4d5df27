/* SPDX-License-Identifier: MIT */
/*
 * XSA-382: more frame numbers of a grant table than there is room for.
 *
 * A guest asks for the frames of its table, or of version 2's status words, as a list in its
 * memory. For 32-bit guests Xen put the list together in a page of its own first, checked how many
 * there are against eight times the room there, and wrote beyond it.
 *
 * This guest lets its table grow as far as it goes and asks for every number of frames: as many as
 * there are come, each another one, and nothing is written before or behind the list; a number too
 * many, or one whose product overflows, is refused with nothing written at all. The list ends where
 * memory ends, so that a write behind it faults.
 *
 * Run: qemu
 */
#include "../../attack.h"

#include <xen/grant_table.h>

#define PATTERN 0x5EE5EE5Eu
#define WORDS (PAGE_SIZE / sizeof(uint32_t))

static uint32_t *page; /* before a hole */

static int ask(unsigned int cmd, uint32_t n, void *list, int16_t *status)
{
    struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = n, .frame_list.p = list};
    struct gnttab_get_status_frames get = {.dom = DOMID_SELF, .nr_frames = n, .frame_list.p = list};
    bool is_setup = cmd == GNTTABOP_setup_table;
    int rc = hv_grant_table_op(cmd, is_setup ? (void *)&setup : (void *)&get, 1);

    *status = is_setup ? setup.status : get.status;
    return rc;
}

/* Ask for n frames, each `words` long, to the page's end. Are these what is written, all different? */
static bool told(unsigned int cmd, uint32_t n, uint32_t words)
{
    uint32_t *list = page + WORDS - n * words;
    int16_t status;

    for (uint32_t i = 0; i < WORDS; i++)
        page[i] = PATTERN;
    if (ask(cmd, n, list, &status) != 0 || status != GNTST_okay)
        return false;
    for (uint32_t *p = page; p < list; p++)
        if (*p != PATTERN)
            return false;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < i; j++)
            if (list[i * words] == list[j * words])
                return false;
    return true;
}

/* n frames are too many: an error, and nothing is written. */
static bool untold(unsigned int cmd, uint32_t n)
{
    int16_t status;
    int rc;

    for (uint32_t i = 0; i < WORDS; i++)
        page[i] = PATTERN;
    rc = ask(cmd, n, page, &status);
    for (uint32_t i = 0; i < WORDS; i++)
        if (page[i] != PATTERN)
            return false;
    return rc == -XEN_EFAULT || (rc == 0 && status < 0);
}

/* Every number up to the most, and many beyond. */
static void every(unsigned int cmd, uint32_t words, uint32_t most, const char *what)
{
    uint32_t good = 0, bad = 0;

    for (uint32_t n = 0; n <= most; n++)
        good += told(cmd, n, words);
    tap_is(good, most + 1, "%s: 0 to %u", what, (unsigned int)most);
    for (uint32_t n = most + 1; n <= 9 * most; n++)
        bad += untold(cmd, n);
    tap_is(bad, 8 * most, "%s: not more", what);
    for (unsigned int bit = 16; bit < 32; bit++)
        tap_ok(untold(cmd, 1u << bit) && untold(cmd, (1u << bit) + 1) &&
                   untold(cmd, (1u << bit) - 1),
               "%s: nor 2^%u", what, bit);
}

int main(void)
{
    struct gnttab_query_size size = {.dom = DOMID_SELF};
    struct gnttab_set_version version = {.version = 2};
    uint32_t frames, status_frames = 0;
    char *window = window_alloc(2);
    int16_t status;

    page = (uint32_t *)window;
    if (map_page(window, pte_make(linear_to_mfn(page_alloc()), PAGE_KERNEL)) != 0)
        panic("no page before a hole");
    tap_is(hv_grant_table_op(GNTTABOP_set_version, &version, 1), 0, "version 2");
    hv_grant_table_op(GNTTABOP_query_size, &size, 1);
    frames = size.max_nr_frames;
    every(GNTTABOP_setup_table, 1, frames, "frames of the table");
    while (ask(GNTTABOP_get_status_frames, status_frames + 1, page, &status) == 0 &&
           status == GNTST_okay)
        status_frames++;
    tap_ok(status_frames > 0 && status_frames <= frames, "%u frames have %u status frames",
           (unsigned int)frames, (unsigned int)status_frames);
    every(GNTTABOP_get_status_frames, 2, status_frames, "frames of status words");
    tap_audit();
    tap_done();
}
