/* SPDX-License-Identifier: MIT */
/*
 * Exceptions as a ring-1 kernel sees them: frames, handlers, survivable faults, and ring 3.
 *
 * The hypervisor owns the IDT. It receives an exception in ring 0 and, when it is the guest's
 * own, "bounces" it: it writes onto the guest's stack what the processor would have pushed, and
 * resumes the guest at the handler its trap table names. Three ways to meet an exception here:
 *
 *  - trap_hook() names a function for a vector;
 *  - catch_fault() calls a function and survives what it does;
 *  - user_run() runs ring-3 code until it traps.
 *
 * An exception none of them takes prints the frame and crashes the domain.
 *
 * Next: lib/trap_entry.S (the stubs), lib/trap.c.
 */
#ifndef PV_TRAP_H
#define PV_TRAP_H

#include <stdbool.h>
#include <stdint.h>

#include <pv/hypercall.h>

#define VECTOR_DE 0  /* divide error */
#define VECTOR_DB 1  /* debug */
#define VECTOR_BP 3  /* breakpoint, int3 */
#define VECTOR_OF 4  /* overflow, into */
#define VECTOR_BR 5  /* bound range */
#define VECTOR_UD 6  /* invalid opcode */
#define VECTOR_NM 7  /* device not available: CR0.TS was set */
#define VECTOR_DF 8  /* double fault */
#define VECTOR_TS 10 /* invalid TSS */
#define VECTOR_NP 11 /* segment not present */
#define VECTOR_SS 12 /* stack segment */
#define VECTOR_GP 13 /* general protection */
#define VECTOR_PF 14 /* page fault */
#define VECTOR_MF 16 /* x87 error */
#define VECTOR_AC 17 /* alignment check */
#define VECTOR_SYSCALL 0x80

#define EFLAGS_TF 0x00000100
#define EFLAGS_IF 0x00000200
#define EFLAGS_IOPL 0x00003000

/*
 * The saved state of interrupted code. trap_entry.S draws it as it lies on the stack. esp and ss
 * were pushed only if the code ran in another ring (user_run's ring 3): a same-ring frame ends
 * at eflags, and the interrupted ESP is frame_esp().
 */
struct trap_frame {
    uint32_t gs, fs, es, ds;
    uint32_t edi, esi, ebp, pusha_esp, ebx, edx, ecx, eax;
    uint32_t vector;
    uint32_t error; /* 0 where the processor pushes none */
    uint32_t eip;
    uint16_t cs;
    uint8_t saved_upcall_mask; /* vcpu_info's mask when it happened: the hypervisor's addition */
    uint8_t pad;
    uint32_t eflags;
    uint32_t esp;
    uint32_t ss;
};

static inline bool frame_from_user(const struct trap_frame *frame)
{
    return (frame->cs & 3) == 3;
}

/* trap.c */

/* ESP of the interrupted code, whatever ring it ran in. */
uint32_t frame_esp(const struct trap_frame *frame);

/* Print every register of a frame, its selectors and error code decoded. */
void frame_print(const struct trap_frame *frame);

/* "#GP general protection"; a vector without a name gives "#?". */
const char *vector_name(uint32_t vector);

/*
 * A handler returns true when the interrupted code may go on with the (possibly changed) frame,
 * false to pass the exception on. It runs on the kernel stack with events as they were.
 */
typedef bool (*trap_handler)(struct trap_frame *frame);

#define EXCEPTIONS 32 /* vectors */

/* Name the handler of a vector (0-31, or VECTOR_SYSCALL); NULL takes it away. */
void trap_hook(uint32_t vector, trap_handler handler);

/* Go on at the fixup of the instruction that raised this, as try_read()'s. False: it has none. */
bool trap_fixup(struct trap_frame *frame);

/* The linear address of the latest page fault, from vcpu_info: reading CR2 itself is privileged. */
uint32_t fault_address(void);

/*
 * Call function(argument). If it runs to its end the answer is false. If it raises an exception
 * no hook takes, the rest of it is abandoned, the answer is true, and *frame (which may be NULL)
 * says what happened. Calls may nest. Works for a wild jump too: nothing of the abandoned code's
 * state is needed to come back, as long as the stack holds.
 */
bool catch_fault(void (*function)(void *), void *argument, struct trap_frame *frame);

/* Read or write one word; false when that faulted. */
bool try_read(const volatile void *address, uint32_t *value);
bool try_write(volatile void *address, uint32_t value);

/*
 * Run in ring 3 what *frame says (eip, esp, general registers, eflags; user_frame() fills in the
 * rest) until it raises an exception or uses int $0x80. *frame then holds the state it stopped
 * in, frame->vector and frame->error say why; call again to go on. Events are served meanwhile.
 * Not to be nested.
 */
void user_run(struct trap_frame *frame);

/* A fresh ring-3 frame: flat user selectors, interrupts on, registers zero. */
void user_frame(struct trap_frame *frame, uint32_t eip, uint32_t esp);

/* What a selector's bits say, as text: "index 7171, GDT, RPL 1". */
void selector_decode(uint16_t selector, char *buffer, uint32_t size);

static inline uint16_t read_cs(void)
{
    uint16_t selector;

    __asm__ volatile("mov %%cs, %0" : "=r"(selector));
    return selector;
}

static inline uint16_t read_ss(void)
{
    uint16_t selector;

    __asm__ volatile("mov %%ss, %0" : "=r"(selector));
    return selector;
}

static inline uint16_t read_ds(void)
{
    uint16_t selector;

    __asm__ volatile("mov %%ds, %0" : "=r"(selector));
    return selector;
}

static inline uint32_t read_eflags(void)
{
    uint32_t flags;

    __asm__ volatile("pushfl; popl %0" : "=r"(flags));
    return flags;
}

#endif
