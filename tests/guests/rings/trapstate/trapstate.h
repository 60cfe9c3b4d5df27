/* SPDX-License-Identifier: MIT */
/*
 * trapstate.h: what the files of the trap-state fuzzer share. Read main.c first.
 */
#ifndef TRAPSTATE_H
#define TRAPSTATE_H

/*
 * Memory of the guest that rings 1 and 3 reach, one page each unless it says more. stubs.S counts
 * down in the first.
 */
#define SHARED 0x00400000      /* read and write */
#define CODE 0x00401000        /* read and write: the random code */
#define STACK_BELOW 0x00403000 /* nothing is mapped here, */
#define STACK 0x00404000       /* read and write, */
#define STACK_READONLY 0x00405000
#define STACK_UNMAPPED 0x00406000
#define STACK_KERNEL 0x00407000 /* read and write, not for ring 3 */

/* The vector a handler in ring 2 or 3 calls to come back to ring 1, and stubs of exceptions. */
#define HOME_VECTOR 0x21
#define NR_STUBS 64

/* Causes other than vectors, as next_step() counts them. */
#define CAUSE_HOME 32
#define CAUSE_SYSCALL 33
#define CAUSE_EVENT 34
#define CAUSE_FAILSAFE 35
#define CAUSE_NMI 36
#define CAUSE_SYSENTER 37
#define CAUSE_START 38

#ifndef __ASSEMBLY__
#include <stdbool.h>
#include <stdint.h>

#define EFLAGS_TF 0x00000100u
#define EFLAGS_IF 0x00000200u
#define EFLAGS_VM 0x00020000u

/* What launch_*() loads, in this order: the stack pointer is its address. */
struct launch {
    uint32_t gs, fs, es, ds;
    uint32_t call_eax, call_ebx, call_ecx, call_edx, call_esi, call_edi; /* a hypercall */
    uint32_t edi, esi, ebp, unused, ebx, edx, ecx, eax;
    uint32_t eip, cs, eflags, esp, ss;
};

/* stubs.S */

extern const char stubs[NR_STUBS][32];
extern const char iret_stub[], iret_error_stub[], iret_call_stub[], iret_call_error_stub[],
    nested_stub[], failsafe_iret_stub[];
extern const uint8_t probe_page[];
void launch_iret(const struct launch *l) __attribute__((noreturn));
void launch_hypercall(const struct launch *l) __attribute__((noreturn));
void launch_multicall(const struct launch *l) __attribute__((noreturn));

/* main.c */

/* The generator, started again for each step from the life's seed and the step's number. */
uint32_t rnd(void);
uint32_t below(uint32_t n);
/* True once in n times. */
bool chance(uint32_t n);
bool deadly_chance(uint32_t n);
/* Called by stubs.S on a fresh stack, in ring 1, when something ended the step before. */
void next_step(uint32_t cause) __attribute__((noreturn));
extern bool allow_vm;

/* state.c */

void state_init(void);
/* Put everything the hypervisor keeps for this vcpu into a state in which handlers work. */
void state_restore(void);
/* Spoil some of it. */
void state_disturb(void);
/* Load data segments in l and have its hypercall take their descriptors away. */
void lose_segments(struct launch *l);
uint32_t random_selector(void);
uint32_t random_handler(void);
uint32_t random_stack(void);
uint64_t random_descriptor(void);
/* Machine address of an entry of our GDT or LDT. */
uint64_t random_slot(void);

/* code.c */

/* Write a few random instructions to CODE. */
void random_code(void);
uint32_t random_value(void);
uint32_t random_eflags(void);
#endif

#endif
