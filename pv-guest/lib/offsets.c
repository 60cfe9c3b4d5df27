/* SPDX-License-Identifier: MIT */
/*
 * Structure offsets for assembly. Compiled to assembly text only; guest.mk turns each line
 * "->NAME $VALUE" of it into a #define in offsets.h.
 */
#include <stddef.h>

#include <pv/trap.h>

#define DEFINE(name, value) __asm__ volatile("\n->" #name " %0" : : "i"(value))

void offsets(void);

void offsets(void)
{
    DEFINE(FRAME_VECTOR, offsetof(struct trap_frame, vector));
    DEFINE(FRAME_EIP, offsetof(struct trap_frame, eip));
    DEFINE(FRAME_SIZE, sizeof(struct trap_frame));
}
