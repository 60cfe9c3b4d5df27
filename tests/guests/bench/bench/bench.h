/* SPDX-License-Identifier: MIT */
/*
 * What the files of this guest share: the list of operations, and how one that fails says so.
 *
 * Next: main.c.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

#include <pv/hypercall.h>

/* One row of the table. prepare and finish may be NULL; run is what is counted. */
struct operation {
    const char *name;
    unsigned int repeat; /* runs in a round */
    void (*prepare)(void);
    void (*run)(void);
    void (*finish)(void);
};

/* main.c */

/* Counts an answer below zero as a failure of the operation that runs now. */
extern unsigned int failures;
static inline void expect(long answer)
{
    failures += answer < 0;
}

/* A hypercall with no more instructions than it needs: the runtime's wrappers fill in five
 * arguments, which is a third of the shortest calls. */
static inline long call1(unsigned int number, unsigned long a)
{
    long result;

    __asm__ volatile("call hypercall_page + %c2"
                     : "=a"(result), "+b"(a)
                     : "i"(number * 32)
                     : "memory", "cc");
    return result;
}

static inline long call2(unsigned int number, unsigned long a, unsigned long b)
{
    long result;

    __asm__ volatile("call hypercall_page + %c3"
                     : "=a"(result), "+b"(a), "+c"(b)
                     : "i"(number * 32)
                     : "memory", "cc");
    return result;
}

/* calls.c, memory.c, traps.c: rows, ended by one without a name */
extern const struct operation call_operations[];
extern const struct operation memory_operations[];
extern const struct operation trap_operations[];

#define MASK_EVENTS 4 /* trap_info's flag that TI_SET_IF sets: delivery masks events */

/*
 * traps.c: ticks of one system call from ring 3, counted there; `flags` of int $0x80's entry in the
 * trap table: the DPL, and MASK_EVENTS.
 */
uint32_t system_call_ticks(uint8_t flags);

/* stubs.S: handlers that do nothing but return; their frames are drawn there */
void return_by_iret(void);
void unmask_and_return(void);
void return_by_hypercall(void);
void skip_ud2(void);
void skip_read(void);
void bare_upcall(void);
void bare_failsafe(void);

#endif
