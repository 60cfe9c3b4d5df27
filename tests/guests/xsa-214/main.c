/* SPDX-License-Identifier: MIT */
/*
 * XSA-214: a frame given away by a grant transfer must not keep the type it had.
 *
 * A frame that was a descriptor table was checked, entry by entry, when it became one, and is not
 * checked again while it keeps that type. Xen's GNTTABOP_transfer forgot to take the type away: the
 * new owner could map the frame writable, write any descriptor, and use the frame as an already
 * checked LDT, a gate into ring 0 included.
 *
 * The guest transfers a frame that has just been a GDT to itself, writes a descriptor there that
 * no guest may have (a call gate to the hypervisor's code segment), and tries to use the frame as a
 * GDT and as an LDT.
 *
 * Run: qemu bochs
 * Machine: mem=256
 */
#include <stdint.h>
#include <string.h>

#include <xen/grant_table.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define REF 20

/* A call gate, DPL 3, to offset 0 of selector 0xe008: the hypervisor's flat code segment. */
#define GATE_LOW 0xe0080000u
#define GATE_HIGH 0x0000ec00u

static volatile struct grant_entry_v1 *grant_entries(void)
{
    xen_pfn_t frame = 0;
    struct gnttab_setup_table s = {.dom = DOMID_SELF, .nr_frames = 1};
    uint32_t mfn;

    set_xen_guest_handle(s.frame_list, &frame);
    if (hv_grant_table_op(GNTTABOP_setup_table, &s, 1) || s.status)
        panic("no grant table");
    mfn = frame;
    return map_frames(DOMID_SELF, &mfn, 1, true, NULL);
}

/* Does the processor find a call gate behind selector 0xf (the LDT's second entry)? */
static void look(void *found)
{
    bool valid;

    __asm__ volatile("lar %1, %%eax" : "=@ccz"(valid) : "r"(0xf) : "eax");
    *(bool *)found = valid;
}

int main(void)
{
    volatile struct grant_entry_v1 *table = grant_entries();
    uint64_t *page = page_alloc();
    uint32_t mfn = linear_to_mfn(page);
    unsigned long frame = mfn;
    struct gnttab_transfer t = {.mfn = mfn, .domid = 0, .ref = REF};
    struct mmuext_op ldt = {.cmd = MMUEXT_SET_LDT};
    bool found = false;

    /* Make it a checked descriptor page: map it read-only, use it as LDT, let the LDT go. */
    map_page(page, pte_make(mfn, PAGE_KERNEL_RO));
    ldt.arg1.linear_addr = (uint32_t)page;
    ldt.arg2.nr_ents = 512;
    tap_is(hv_mmuext_op(&ldt, 1, NULL, DOMID_SELF), 0, "an LDT");
    catch_fault(look, &found, NULL); /* the processor reads it */
    ldt.arg2.nr_ents = 0;
    tap_is(hv_mmuext_op(&ldt, 1, NULL, DOMID_SELF), 0, "and none any more");
    map_page(page, 0);

    table[REF].domid = 0;
    table[REF].frame = mfn_to_pfn(mfn);
    table[REF].flags = GTF_accept_transfer;
    tap_is(hv_grant_table_op(GNTTABOP_transfer, &t, 1), 0, "the frame transferred to its owner");
    tap_is(t.status, GNTST_okay, "with success");
    tap_is(map_page(page, pte_make(mfn, PAGE_KERNEL)), 0, "it may be written now");
    page[1] = (uint64_t)GATE_HIGH << 32 | GATE_LOW;
    map_page(page, pte_make(mfn, PAGE_KERNEL_RO));

    frame = mfn;
    tap_is(hv_set_gdt(&frame, 512), -XEN_EINVAL, "it is checked anew as a GDT, and refused");
    ldt.arg2.nr_ents = 512;
    hv_mmuext_op(&ldt, 1, NULL, DOMID_SELF);
    found = false;
    catch_fault(look, &found, NULL);
    tap_ok(!found, "as an LDT, the processor finds no gate there");
    ldt.arg2.nr_ents = 0;
    hv_mmuext_op(&ldt, 1, NULL, DOMID_SELF);
    tap_done();
}
