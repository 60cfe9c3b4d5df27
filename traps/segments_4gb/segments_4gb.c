/* SPDX-License-Identifier: MIT */
/*
 * segments_4gb.c, a module: VMASST_TYPE_4gb_segments: a segment of 4 GiB for guests that are given less.
 *
 * glibc keeps thread-local data below the address that %gs's base holds, and reads it as %gs:-8 and
 * the like: with a limit of 4 GiB, base + 0xfffffff8 wraps around to just below base. Our limits
 * end before the hypervisor (traps/descriptor.c), so such an access is a #GP. No single descriptor
 * can grant both what lies above base and what lies below it without everything in between, so they
 * are granted in turn:
 *
 *      expand-up      offsets 0 .. GUEST_SEGMENT_END - base - 1      from base up
 *      expand-down    offsets 4 GiB - base .. 4 GiB - 1              below base
 *
 * On a #GP or #SS for an offset that only the other form has, the descriptor is turned into that
 * form in the guest's table, the segment register is loaded again, and the instruction starts over.
 * The guest may ask to hear of it, because it is slow (VMASST_TYPE_4gb_segments_notify): then trap
 * 15 is delivered, with the number of prefix bytes as error code.
 *
 * Two registers may name one descriptor, of one vcpu or of two: turned for one of them, the other
 * still has the old form. Then it is loaded again, if it is fs or gs; the others are with each return
 * to the guest.
 *
 * flip.c says why no flip can open the hypervisor, nor widen what was meant narrow.
 *
 * Read next: traps/descriptor.c, traps/emulate.c (the caller). Emulators without limit checks never come here; Bochs and
 * processors do.
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>
#include <ringlet/emulate.h>
#include <ringlet/traps.h>
#include <ringlet/written.h>

#include "flip.h"

/* Behind an instruction with label 1: %0 becomes 0 if it faults. */
#define CLEAR_IF_FAULTS                  \
    "\n2:\n\t"                           \
    ".pushsection .text.fixup, \"ax\"\n" \
    "3: xorl %0, %0\n\tjmp 2b\n\t"       \
    ".popsection\n\t"                    \
    ".pushsection .extable, \"a\"\n\t"   \
    ".long 1b, 3b\n\t"                   \
    ".popsection"

/* Load a segment register; `ok` becomes 0 if that faults. */
#define LOAD_SEGMENT(register, selector, ok)                   \
    __asm__ volatile("1: movl %1, %%" register CLEAR_IF_FAULTS \
                     : "+&r"(ok)                               \
                     : "r"((uint32_t)(selector)))

/*
 * Have the processor read the changed descriptor. It still holds the guest's fs and gs; the others
 * are loaded again on the way out. false: the load faulted.
 */
static bool reload_segment(unsigned segment, uint16_t selector)
{
    uint32_t ok = 1;

    if (segment == SEG_FS)
        LOAD_SEGMENT("fs", selector, ok);
    else if (segment == SEG_GS)
        LOAD_SEGMENT("gs", selector, ok);
    return ok;
}

/* Read a byte through a segment register; `ok` becomes 0 if that faults. */
#define READ_THROUGH(register, offset, ok)                               \
    __asm__ volatile("1: movb %%" register ":(%1), %%al" CLEAR_IF_FAULTS \
                     : "+&r"(ok)                                         \
                     : "r"(offset)                                       \
                     : "eax", "memory")

/*
 * Does fs or gs, as the processor holds it, end before this offset, which `s`, its descriptor in the
 * table, has? It is tried: a #PF is a yes to the limit, and tells itself by CR2.
 */
static bool is_outdated(unsigned segment, const struct segment *s, uint32_t offset)
{
    uint32_t ok = 1, linear;

    if ((segment != SEG_FS && segment != SEG_GS) || !segment_linear(s, offset, 1, &linear))
        return false;
    write_cr2(~linear);
    if (segment == SEG_FS)
        READ_THROUGH("fs", offset, ok);
    else
        READ_THROUGH("gs", offset, ok);
    return !ok && read_cr2() == ~linear;
}

/* One atomic write, and only if no other vcpu had the entry changed meanwhile. */
static bool replace_descriptor(struct desc *entry, struct desc old, struct desc new)
{
    uint64_t expected = (uint64_t)old.b << 32 | old.a;

    return __sync_bool_compare_and_swap((uint64_t *)entry, expected,
                                        (uint64_t) new.b << 32 | new.a);
}

/*
 * Tell the guest, if it wants to know and has a handler. eip is at the instruction, which starts
 * over after it.
 */
static void notify(const struct insn *in)
{
    const struct vcpu *v = current;

    if (v->domain->vm_assist & (1u << VMASST_TYPE_4gb_segments_notify) &&
        v->traps[TRAP_spurious_int].address)
        inject_exception(TRAP_spurious_int, in->prefix_length);
}

/* #GP or #SS with error code 0 at this instruction. true: it can start over. */
static bool segment_fault(struct cpu_user_regs *regs, const struct insn *in)
{
    struct desc *entry, old, changed;
    struct segment segment;
    uint16_t selector;

    if (!in->memory || !in->access)
        return false;
    selector = segment_selector(regs, in->segment);
    /* The reserved entries are everybody's: they are not changed for one guest. */
    if (!(selector & ~3) || (!(selector & 4) && selector >= FIRST_RESERVED_SELECTOR))
        return false;
    entry = guest_descriptor(selector);
    if (!entry)
        return false;
    changed = old = *entry;
    if (!read_segment(selector, &segment))
        return false;
    if (!flip_descriptor(&changed, insn_offset(in, regs)))
        return is_outdated(in->segment, &segment, insn_offset(in, regs)) &&
               reload_segment(in->segment, selector);
    if (!replace_descriptor(entry, old, changed))
        return true; /* another vcpu turned it: try again */
    mark_dirty((selector & 4 ? current->ldt_frames : current->gdt_frames)[selector >> 12]);
    if (!reload_segment(in->segment, selector))
        return false;
    notify(in);
    return true;
}

SEGMENT_ASSIST(segments_4gb, .fault = segment_fault, .enabled_by = VMASST_TYPE_4gb_segments,
               .option = VMASST_TYPE_4gb_segments_notify);
