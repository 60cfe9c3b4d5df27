/* SPDX-License-Identifier: MIT */
/*
 * XSA-185: an L3 that names itself.
 *
 * Xen's code for linear maps of page tables served every level, the top one of 32-bit guests too.
 * But an L3 in PAE is no table of tables like the others: its entries have no RW bit, so an L3 that
 * names itself as its own directory is writable through that map, and whoever can write his
 * page tables owns the machine.
 *
 * This guest puts its root, and another L3, into slots of an L3: live, by update, and prepared
 * before a pin. All must be refused. An L3 must not stand in an L2 either.
 *
 * Run: qemu
 */
#include "../../attack.h"

static void refused(int rc, const char *what)
{
    tap_ok(rc != 0, "%s is refused (%d)", what, rc);
}

int main(void)
{
    pte_t *root = (pte_t *)start_info->pt_base, *directory, *prepared = page_alloc();
    pte_t self = pte_make(base_mfn(), PTE_P);

    pte_machine_address((void *)QUIET_VA);
    directory = directory_of(QUIET_VA);
    for (uint32_t slot = 0; slot < 4; slot++)
        refused(write_entry(entry_of(root, slot), self), "the root in a slot of itself");
    refused(write_entry(entry_of(root, 1), self | PTE_RW), "the same, writable");
    refused(write_entry(entry_of(directory, 400), pte_make(base_mfn(), TABLE_FLAGS_RO)),
            "the root in a directory, read-only");
    refused(write_entry(entry_of(directory, 400), pte_make(base_mfn(), TABLE_FLAGS)),
            "the root in a directory, writable");

    prepared[0] = pte_make(linear_to_mfn(prepared), PTE_P);
    prepared[3] = root[3];
    tap_is(make_readonly(prepared), 0, "a page that says it is its own directory");
    refused(pin(prepared, MMUEXT_PIN_L3_TABLE), "its pin");
    refused(mmuext_frame(MMUEXT_NEW_BASEPTR, linear_to_mfn(prepared), DOMID_SELF),
            "its use as the root");
    tap_is(make_writable(prepared), 0, "it is an ordinary page still");
    prepared[0] = self;
    tap_is(make_readonly(prepared), 0, "a page that names the live root as directory");
    refused(pin(prepared, MMUEXT_PIN_L3_TABLE), "its pin");
    tap_audit();
    tap_done();
}
