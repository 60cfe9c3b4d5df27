/* SPDX-License-Identifier: MIT */
/*
 * descriptor.c: what a guest may put into its descriptor tables, and which selectors it may name.
 *
 * This is where ring compression is enforced. Page tables cannot tell ring 1 from ring 0, so the
 * only thing between a guest's kernel and the hypervisor is that no descriptor it can load reaches
 * an address from GUEST_SEGMENT_END up, and none lets it run in ring 0:
 *
 *   D1  a present code or data segment has DPL 1 or more. DPL 0 is lifted to 1 rather than refused:
 *       kernels written for ring 0 hand those over.
 *   D2  the linear addresses of a present code or data segment, base + every valid offset modulo 4
 *       GiB, all lie below GUEST_SEGMENT_END. Page-granular limits are cut down to that;
 *       byte-granular ones cannot be what a flat segment wants, and are refused when they reach too
 *       far.
 *   D3  the only system descriptor is the 32-bit call gate, DPL 1 or more, and it does not lead
 *       into the hypervisor's segments. A target in the guest's own tables cannot be ring 0 by D1.
 *
 * A descriptor that is not present cannot be loaded and may hold anything: the present bit is the
 * processor's only to read. SDM vol. 3, 3.4.5 (descriptors), 5.3 (limits, expand-down), 5.8.3 (call
 * gates).
 *
 * Read next: mm/descriptor_tables.c (who calls this). Tested by
 * tests/host/test_descriptor.c, which enumerates what a segment reaches.
 */
#include <ringlet/desc.h>
#include <xen/xen.h>

#define TYPE_CALL_GATE (12u << 8)
#define CALL_GATE_RESERVED 0xe0u /* bits 5 to 7 of the high word */

/*
 * walk 07: Limits are cut
 *
 * Claim: A segment's addresses are base + offset modulo 4 GiB, so the limit that is safe depends on
 * the base, and an expand-down segment turns the valid offsets upside down (SDM vol. 3, 5.3). The
 * widest harmless limit is computed for both kinds and a larger one is cut down to it in silence.
 * The guest can read the cut limit with LSL; it cannot write it back.
 * Without it: A segment based at f6000000 with the "same" limit as the flat one would begin in the
 * guest and end in the hypervisor; one with a high base wraps around to low addresses, which is
 * what thread-local storage wants and why the 4 GB assist exists (traps/segments_4gb/).
 * Shown by: tests/host/test_descriptor.c::test_corners, tests/host/test_descriptor.c::test_random,
 * tests/guests/rings/rings/main.c::test_limits
 */
/*
 * The widest page-granular limit for a segment at `base` that keeps D2. false: there is none.
 *
 * Expand-up, valid offsets 0 to (limit << 12 | 0xfff): the highest address is
 * base + (limit + 1) * 4096 - 1, so (limit + 1) * 4096 <= GUEST_SEGMENT_END - base.
 *
 * Expand-down, 32-bit, valid offsets (limit + 1) * 4096 to 4 GiB - 1: the addresses run from
 * base + (limit + 1) * 4096 up to base + 4 GiB - 1, that is base - 1. They must begin past the end
 * of the address space, having jumped over the hypervisor: (limit + 1) * 4096 >= 4 GiB - base, for
 * which (4 GiB - 1 - base) >> 12 is the least limit. And base - 1 must be the guest's; we ask for
 * base <= HYPERVISOR_START, because an access at the last offset may run on past 4 GiB on some
 * processors (SDM vol. 3, 5.3) and so touch addresses from base up, which are harmless there: the
 * M2P alias. With base 0 nothing remains: the limit is 0xfffff, "no offset".
 */
bool widest_limit(uint32_t base, bool expand_down, uint32_t *limit)
{
    if (expand_down) {
        *limit = ~base >> PAGE_SHIFT;
        return base <= HYPERVISOR_START;
    }
    if (base > GUEST_SEGMENT_END - PAGE_SIZE)
        return false;
    *limit = (GUEST_SEGMENT_END - base) / PAGE_SIZE - 1;
    return true;
}

/*
 * D2 for a segment whose valid offsets are few enough to be counted in bytes: 0 or any to `last`.
 */
static bool bytes_in_reach(uint32_t base, uint32_t last)
{
    return base < GUEST_SEGMENT_END && last < GUEST_SEGMENT_END - base;
}

/* Make d keep D2, or say that it cannot. */
static bool limit_segment(struct desc *d)
{
    bool expand_down = is_expand_down(d);
    uint32_t base = desc_base(d), limit = desc_limit(d), widest;

    /* A 16-bit expand-down segment ends at offset 0xffff, whatever its limit. */
    if (expand_down && !(d->b & DESC_DB))
        return bytes_in_reach(base, 0xffff);
    if (!(d->b & DESC_G))
        return !expand_down && bytes_in_reach(base, limit);
    if (!widest_limit(base, expand_down, &widest))
        return false;
    if (expand_down ? limit < widest : limit > widest)
        set_desc_limit(d, widest);
    return true;
}

static bool check_call_gate(struct desc *d)
{
    uint16_t selector = d->a >> 16;

    if ((d->b & DESC_TYPE) != TYPE_CALL_GATE || (d->b & CALL_GATE_RESERVED))
        return false;
    if (!fixup_guest_code_selector(&selector))
        return false;
    d->a = (d->a & 0xffff) | (uint32_t)selector << 16;
    return true;
}

/*
 * walk 06: DPL 0 never stands
 *
 * Claim: Guests bring descriptors of their own: a GDT of up to 14 pages, LDTs, entries for
 * thread-local storage. Each is checked before the processor can see it, and again whenever one is
 * written. A present code or data segment with DPL 0 becomes DPL 1: kernels written for ring 0 hand
 * those over in good faith, and refusing them would refuse Linux. Gates are worse than segments,
 * since a gate changes the ring: only call gates that lead to ring 1 or above pass, TSSs and task
 * gates never.
 * Without it: One code segment with DPL 0 is enough: a far call through a call gate to it, and the
 * guest is the hypervisor.
 * Shown by: tests/host/test_descriptor.c::test_flat, tests/host/test_descriptor.c::test_random,
 * tests/host/test_descriptor.c::test_call_gates
 */
/*
 * May a guest have this descriptor in its GDT or LDT? What can be put right is put right in place;
 * the caller installs the result. false: refused. The rules are D1 to D3 above.
 */
bool check_descriptor(struct desc *d)
{
    struct desc checked = *d;

    if (!(d->b & DESC_P))
        return true;
    if (!(checked.b & DESC_DPL))
        checked.b |= 1u << DESC_DPL_SHIFT;
    if (checked.b & DESC_S) {
        if (!limit_segment(&checked))
            return false;
    } else if (checked.b & DESC_TYPE) {
        /* System type 0 is reserved: using it faults, so it may stay. */
        if (!check_call_gate(&checked))
            return false;
    }
    *d = checked;
    return true;
}

static uint16_t lift_rpl(uint16_t selector)
{
    return selector & 3 ? selector : selector | 1;
}

/*
 * A code selector for a trap table, a callback or a call gate: RPL 0 becomes 1. false: it names one
 * of the reserved entries of the GDT, and not the flat kernel code segment.
 */
bool fixup_guest_code_selector(uint16_t *sel)
{
    *sel = lift_rpl(*sel);
    return (*sel & 4) || *sel < FIRST_RESERVED_SELECTOR || *sel == FLAT_RING1_CS;
}

/* A stack selector likewise; the reserved entries hold two data segments that guests may use. */
bool fixup_guest_stack_selector(uint16_t *sel)
{
    *sel = lift_rpl(*sel);
    return (*sel & 4) || *sel < FIRST_RESERVED_SELECTOR || *sel == FLAT_RING1_SS ||
           *sel == FLAT_RING3_SS;
}
