/* SPDX-License-Identifier: MIT */
/*
 * XSA-240: a chain of linear maps.
 *
 * A directory may name another directory as if it were a page table, read-only. Xen let that other
 * name a third, and so on without end; when the last reference went, each undid the next, and the
 * hypervisor's stack was not as long as the chain.
 *
 * This guest tries to build chains: forwards, backwards, from an end that has already a link, and
 * a pair that name each other. A single link is fine; the second one of a chain is refused.
 *
 * Run: qemu
 */
#include "../../attack.h"

#define LINKS 8

static pte_t *chain[LINKS];

static int link(uint32_t from, uint32_t to)
{
    return write_entry(entry_of(chain[from], 100),
                       pte_make(linear_to_mfn(chain[to]), TABLE_FLAGS_RO));
}

static int unlink(uint32_t from)
{
    return write_entry(entry_of(chain[from], 100), 0);
}

/* How many links of a whole chain are allowed, tried in this order. */
static uint32_t try_chain(bool backwards)
{
    uint32_t longest = 0, length = 0;

    for (uint32_t i = 0; i + 1 < LINKS; i++) {
        uint32_t from = backwards ? LINKS - 2 - i : i;

        length = link(from, from + 1) == 0 ? length + 1 : 0;
        if (length > longest)
            longest = length;
    }
    for (uint32_t i = 0; i < LINKS; i++)
        unlink(i);
    return longest;
}

static void remake(void)
{
    for (uint32_t i = 0; i < LINKS; i++) {
        pin(chain[i], MMUEXT_UNPIN_TABLE);
        if (pin(chain[i], MMUEXT_PIN_L2_TABLE) != 0)
            panic("directory %u is not pinned again", (unsigned int)i);
    }
}

int main(void)
{
    for (uint32_t i = 0; i < LINKS; i++) {
        chain[i] = new_directory(0, 0);
        if (!tap_ok(pin(chain[i], MMUEXT_PIN_L2_TABLE) == 0, "directory %u is pinned",
                    (unsigned int)i))
            tap_done();
    }
    tap_is(link(0, 1), 0, "one link is allowed");
    tap_ok(link(1, 2) != 0, "the next is refused: its directory is linked to");
    tap_ok(link(2, 0) != 0, "so is one in front: its target has a link");
    tap_ok(link(1, 0) != 0, "so is the way back");
    tap_is(write_entry(entry_of(chain[0], 101), pte_make(linear_to_mfn(chain[0]), TABLE_FLAGS_RO)),
           0, "a directory may name itself besides");
    tap_is(write_entry(entry_of(chain[0], 101), 0), 0, "and stop doing so");
    tap_is(unlink(0), 0, "the link is taken away");
    remake();
    tap_ok(try_chain(false) <= 1, "no chain is built forwards");
    remake();
    tap_ok(try_chain(true) <= 1, "no chain is built backwards");
    remake();
    for (uint32_t i = 0; i < LINKS; i++)
        tap_ok(pin(chain[i], MMUEXT_UNPIN_TABLE) == 0 && make_writable(chain[i]) == 0,
               "directory %u is an ordinary page", (unsigned int)i);
    tap_audit();
    tap_done();
}
