/* SPDX-License-Identifier: MIT */
/*
 * records.h: what the ring trace writes of each crossing between rings.
 *
 * Buffers and records have the public format (xen/trace.h: struct t_info, t_buf, t_rec), so that a
 * consumer of Xen's finds its way about. The crossings themselves are a subclass of TRC_PV that Xen
 * does not use. Each has seven words:
 *
 *   word  ENTER: into ring 0             LEAVE: out of ring 0           SWITCH: to another vcpu
 *   0     the vcpu, and the ring left    the vcpu, and the ring entered the vcpu that stops
 *   1     vector << 16 | error code      what came of it (TRACE_*)      what came of it
 *   2     eip                            eip                            eip
 *   3     ss << 16 | cs                  the same                       the same
 *   4     eflags                         eflags                         eflags
 *   5     esp                            esp                            esp
 *   6     see below                      eax                            the vcpu that goes on
 *
 * A vcpu is domain | vcpu << 16 | ring << 24. For a hypercall the error code's place holds its
 * number. Word 6 of ENTER is CR2 for #PF, the instruction's first bytes for #GP and #UD, and for a
 * hypercall the word at the guest's esp: the stub's return address, which is in the caller. Behind
 * the ENTER of a hypercall comes a TRC_PV_HYPERCALL_V2 with five arguments.
 *
 * Read next: trace.c, and tools/trace, which draws it.
 */
#ifndef TRACE_RECORDS_H
#define TRACE_RECORDS_H

#define TRC_RINGS 0x00204000 /* subclass 4 of TRC_PV */
#define TRC_RINGS_ENTER (TRC_RINGS + 1)
#define TRC_RINGS_LEAVE (TRC_RINGS + 2)
#define TRC_RINGS_SWITCH (TRC_RINGS + 3)

/* What came of an entry: bits, with a vector below them for TRACE_BOUNCED. */
#define TRACE_BOUNCED 0x100   /* to the guest's handler of the vector */
#define TRACE_BEHIND 0x200    /* on behind the instruction, which was carried out for the guest */
#define TRACE_AGAIN 0x400     /* the same instruction again, the cause of the fault removed */
#define TRACE_UPCALL 0x800    /* to the event callback, last of all */
#define TRACE_FAILSAFE 0x1000 /* to the failsafe callback */
#define TRACE_IRET 0x2000     /* where the iret hypercall's frame said */
#define TRACE_FIXUP 0x4000    /* in ring 0: where the exception table says (traps/extable.c) */

#endif
