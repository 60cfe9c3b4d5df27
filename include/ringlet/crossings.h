/* SPDX-License-Identifier: MIT */
/*
 * crossings.h: hooks for a module that records each crossing between rings.
 *
 * The ways in and out (arch/i386/entry.S) and the switch from one vcpu to another look at `on`; while
 * it is clear, a crossing pays a comparison and a jump for the hooks. `int $0x80` from ring 3 and
 * IRET from ring 1 do not enter ring 0, so no hook sees them.
 *
 * A module sets all the functions before the first domain runs, and never again; it may set and clear
 * `on` at any time. A crossing that has seen it set calls its hook although another CPU has cleared
 * it meanwhile.
 *
 * Read next: xen/trace/trace.c, the module.
 */
#ifndef RINGLET_CROSSINGS_H
#define RINGLET_CROSSINGS_H

#include <ringlet/lib.h>

struct cpu_user_regs;
struct vcpu;

/* arch/i386/switch.c. All are called on the CPU that crosses, with interrupts off. */
extern struct crossing_hooks {
    uint8_t on;
    /* A hypercall, before its number is looked at. */
    asmlinkage void (*hypercall)(void);
    /* In place of do_trap(), which it calls: an exception or an interrupt, from any ring. */
    asmlinkage void (*trap)(struct cpu_user_regs *regs);
    /* Everything is done, and the IRET to the guest is next. */
    asmlinkage void (*leave)(void);
    /* `from` is current still, and its registers are in guest_regs(). */
    void (*switched)(const struct vcpu *from, const struct vcpu *to);
} crossing_hooks;

#endif
