/* SPDX-License-Identifier: MIT */
/*
 * What the files of this guest share.
 */
#ifndef PREEMPT_H
#define PREEMPT_H

#include <stdint.h>

/*
 * One hypercall to be measured: run() makes it, undo() makes it possible again. Both are called
 * steps + 1 times between prepare() and finish(); each but run() may be NULL.
 */
struct operation {
    const char *name;
    unsigned int steps;
    void (*prepare)(void);
    void (*run)(void);
    void (*undo)(void);
    void (*finish)(void);
};

/* Calls whose answer was not the expected one. */
extern unsigned int failures;

static inline void expect(long got, long wanted)
{
    failures += got != wanted;
}

extern const struct operation table_operations[], batch_operations[];

#endif
