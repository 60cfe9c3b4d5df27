/* SPDX-License-Identifier: MIT */
/*
 * fetch.c: read the instruction a guest faulted on, as the processor would read it.
 *
 * The processor tells where the instruction is, cs:eip, and not what it is. Its bytes are fetched
 * through the code segment in force and the guest's own pages. They may have changed since the
 * fault, and the second page of an instruction may be gone: then the fetch faults, and that is what
 * the guest hears of.
 *
 * Read next: traps/decode.c.
 */
#include <ringlet/domain.h>
#include <ringlet/emulate.h>
#include <ringlet/guest_access.h>
#include <ringlet/traps.h>

/*
 * The first PEEK_BYTES bytes from an instruction of the guest's kernel on, in a flat segment, the
 * ABI's or its own, all on one page: nearly always so. false: find them by fetch_insn(). The segment
 * ends above HYPERVISOR_START, so this is its limit check too.
 */
bool peek_insn(const struct cpu_user_regs *regs, uint32_t words[PEEK_BYTES / 4])
{
    return (regs->cs == FLAT_RING1_CS ||
            (in_guest_kernel(regs) && flat_segment(regs->cs, DESC_CODE | DESC_RW))) &&
           (regs->eip & (PAGE_SIZE - 1)) <= PAGE_SIZE - PEEK_BYTES &&
           regs->eip < HYPERVISOR_START &&
           get_guest_words(words, (const void *)(uintptr_t)regs->eip, PEEK_BYTES / 4);
}

/*
 * Copy up to n instruction bytes at a linear address; returns how many could be read. The common
 * case, 16 bytes on one page, is four words.
 */
static uint32_t fetch_bytes(uint8_t bytes[16], uint32_t linear, uint32_t n)
{
    const void *from = (const void *)(uintptr_t)linear;

    if (likely(n == 16 && guest_range_ok(from, 16)))
        return 16 - raw_copy_words_from_guest(bytes, from, 16);
    return n - copy_from_guest(bytes, from, n);
}

/* Where fetching may go on: the end of this page, and of the code segment. At most 16 bytes. */
static uint32_t fetchable(const struct segment *cs, uint32_t eip, uint32_t linear)
{
    uint32_t n = MIN(16u, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));

    return MIN(n - 1, cs->last - eip) + 1;
}

/*
 * An instruction that goes on behind the bytes read so far: the next page, if the segment reaches
 * it.
 */
static enum emulation fetch_rest(const struct segment *cs, const struct cpu_user_regs *regs,
                                 uint8_t bytes[16], uint32_t n, struct insn *in)
{
    uint32_t linear = cs->base + regs->eip + n, got;

    if (n >= MAX_INSN_LENGTH || cs->last - regs->eip < n)
        return EMULATION_REFUSED;
    got = fetch_bytes(bytes + n, linear, MIN(MAX_INSN_LENGTH - n, cs->last - regs->eip - n + 1));
    switch (decode_insn(in, bytes, n + got, cs->high & DESC_DB)) {
    case DECODE_OK:
        return EMULATION_DONE;
    case DECODE_INVALID:
        return EMULATION_REFUSED;
    default:
        if (cs->last - regs->eip < n + got)
            return EMULATION_REFUSED;
        inject_page_fault(linear + got, regs_ring(regs) == 3 ? 4 : 0);
        return EMULATION_HANDLED;
    }
}

/*
 * walk 36: Reading the instruction that faulted
 *
 * Claim: The processor tells where a fault was, and not which instruction it met. The bytes are
 * fetched through the guest's code segment and pages, at most 15 of them, and decoded. They may
 * have changed since the fault, by another vcpu: so only what was fetched here, once, is decoded,
 * checked and carried out. A page that is gone meanwhile is a page fault of the guest's.
 * Without it: An instruction that was checked is another one when it is carried out: with Xen's
 * full emulator that was an interrupt flag cleared for good (XSA-202).
 * Shown by: tests/guests/rings/emulate/main.c::test_across_pages, tests/guests/xsa/xsa-202/main.c::changer
 */
/*
 * Fetch and decode the instruction at cs:eip. EMULATION_REFUSED: it lies beyond its segment, cs is
 * no code segment now, or this is no instruction; EMULATION_HANDLED: a #PF, its page is not there
 * (it was when the processor read it).
 */
enum emulation fetch_insn(const struct cpu_user_regs *regs, struct insn *in)
{
    uint8_t bytes[16 + MAX_INSN_LENGTH];
    struct segment cs;
    uint32_t linear, n, got;

    if (!read_segment(regs->cs, &cs) || !(cs.high & DESC_CODE) || regs->eip > cs.last)
        return EMULATION_REFUSED;
    linear = cs.base + regs->eip;
    n = fetchable(&cs, regs->eip, linear);
    got = fetch_bytes(bytes, linear, n);
    switch (decode_insn(in, bytes, got, cs.high & DESC_DB)) {
    case DECODE_OK:
        return EMULATION_DONE;
    case DECODE_INVALID:
        return EMULATION_REFUSED;
    default:
        if (got == n)
            return fetch_rest(&cs, regs, bytes, n, in);
        inject_page_fault(linear + got, regs_ring(regs) == 3 ? 4 : 0);
        return EMULATION_HANDLED;
    }
}
