/* SPDX-License-Identifier: MIT */
/*
 * XSA-182: more rights by the fast path of an L2 or L3 update.
 *
 * Where an update changed flags but no frame, Xen wrote it unchecked if only "safe" flags changed,
 * and took RW for one of them. But a directory may name itself, read-only: a linear map. Make that
 * entry writable, and the directory is a page full of page-table entries that the guest writes as
 * it likes.
 *
 * This guest makes such an entry, to the directory itself and to another, then asks for RW, alone
 * and with changes of US, A, D and the free bits; then it writes through the linear map.
 *
 * Run: qemu
 */
#include "../../attack.h"

#define SLOT 5

static pte_t *directory, *other;

static void refused(pte_t val, const char *what)
{
    pte_t before = directory[SLOT];

    for (uint32_t form = 0; form <= MMU_PT_UPDATE_PRESERVE_AD; form += MMU_PT_UPDATE_PRESERVE_AD)
        tap_ok(write_entry(entry_of(directory, SLOT) | form, val) != 0 && directory[SLOT] == before,
               "%s is refused", what);
}

static void try_flags(pte_t entry, const char *whom)
{
    tap_is(write_entry(entry_of(directory, SLOT), entry), 0, "a read-only map of %s", whom);
    refused(entry | PTE_RW, "RW");
    refused((entry | PTE_RW) & ~PTE_US, "RW, with US taken away");
    refused((entry | PTE_RW) ^ PTE_A ^ PTE_D, "RW, with A and D turned");
    refused(entry | PTE_RW | 0xE00, "RW, with free bits");
    tap_is(write_entry(entry_of(directory, SLOT), entry ^ PTE_US), 0, "US alone may change");
    tap_is(write_entry(entry_of(directory, SLOT), entry), 0, "and change back");
}

/* The directory stands in slot 1 of the root: entry SLOT makes it its own page
 * table, and entry SLOT of that its own page. */
static void try_writing(void)
{
    volatile uint32_t *view = (uint32_t *)(0x40000000 + (SLOT << 21) + (SLOT << 12));
    pte_t *root = (pte_t *)start_info->pt_base;
    uint32_t word;

    tap_is(write_entry(entry_of(root, 1), pte_make(linear_to_mfn(directory), PTE_P)), 0,
           "the directory is used by the root");
    tap_ok(try_read(view, &word), "its entries can be read through itself");
    tap_ok(!try_write(view, 0xFFF), "and not written");
    tap_is(write_entry(entry_of(root, 1), 0), 0, "the root lets it go");
}

int main(void)
{
    directory = new_directory(0, 0);
    other = new_directory(0, 0);
    tap_is(pin(directory, MMUEXT_PIN_L2_TABLE), 0, "a directory is pinned");
    tap_is(pin(other, MMUEXT_PIN_L2_TABLE), 0, "and another");
    try_flags(pte_make(linear_to_mfn(directory), TABLE_FLAGS_RO), "itself");
    try_writing();
    tap_is(write_entry(entry_of(directory, SLOT), 0), 0, "the map of itself is taken away");
    try_flags(pte_make(linear_to_mfn(other), TABLE_FLAGS_RO), "another directory");
    tap_is(write_entry(entry_of(directory, SLOT), 0), 0, "the map of the other is taken away");
    tap_is(pin(other, MMUEXT_UNPIN_TABLE), 0, "the other is let go");
    tap_is(pin(directory, MMUEXT_UNPIN_TABLE), 0, "the directory is let go");
    tap_ok(make_writable(other) == 0 && make_writable(directory) == 0, "both are ordinary pages");
    tap_audit();
    tap_done();
}
