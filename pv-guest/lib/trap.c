/* SPDX-License-Identifier: MIT */
/*
 * The trap table and what happens behind it: handlers, survivable faults, ring 3.
 *
 * An exception is offered, in this order, to the hook of its vector, to the exception table (one
 * instruction with a fixup address), to the running ring-3 program's caller, and to the innermost
 * catch_fault(). If nobody takes it, it is a bug and ends the domain with the frame on the
 * console.
 *
 * Next: event.c, for what is not an exception.
 */
#include <pv/trap.h>

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>

#include <offsets.h>

#define STUB_SIZE 16

_Static_assert(offsetof(struct trap_frame, vector) == 12 * 4, "four segments, then pusha");
_Static_assert(offsetof(struct trap_frame, eip) == 14 * 4, "then vector and error code");
_Static_assert(sizeof(struct trap_frame) == 19 * 4, "then the processor's five words");

extern char trap_stubs[EXCEPTIONS][STUB_SIZE], syscall_stub[];
extern void event_upcall(void), failsafe_upcall(void);
extern void user_enter(const struct trap_frame *frame) __attribute__((noreturn));

/* An instruction that may fault and where to go on when it does; guest.ld collects them. */
struct exception_entry {
    uint32_t eip, fixup;
};
extern const struct exception_entry exception_table[], exception_table_end[];

/* One catch_fault() in progress; they nest, innermost first. */
struct catcher {
    struct catcher *outer;
    struct trap_frame frame;
    jmp_buf resume;
};

/* All single-vcpu state: changed only by the code that runs on it, handlers included. */
static trap_handler hooks[EXCEPTIONS], syscall_hook;
static struct catcher *catcher;
static struct trap_frame *user_state; /* non-NULL while user_run() is active */
static jmp_buf user_return;

void trap_dispatch(struct trap_frame *frame);
void failsafe_report(uint32_t eip);

/* clang-format off */
static const char *const names[EXCEPTIONS] = {
    "#DE divide error", "#DB debug", "NMI", "#BP breakpoint", "#OF overflow", "#BR bound range",
    "#UD invalid opcode", "#NM no FPU", "#DF double fault", "#9 coprocessor overrun",
    "#TS invalid TSS", "#NP segment not present", "#SS stack segment", "#GP general protection",
    "#PF page fault", "#15", "#MF x87 error", "#AC alignment check", "#MC machine check",
    "#XM SIMD error",
};
/* clang-format on */

const char *vector_name(uint32_t vector)
{
    if (vector == VECTOR_SYSCALL)
        return "int $0x80";
    return vector < EXCEPTIONS && names[vector] ? names[vector] : "#?";
}

/* Same ring: nothing was pushed above eflags, so the frame's end is where the stack was. */
uint32_t frame_esp(const struct trap_frame *frame)
{
    return frame_from_user(frame) ? frame->esp : (uint32_t)&frame->esp;
}

void selector_decode(uint16_t selector, char *buffer, uint32_t size)
{
    snprintf(buffer, size, "index %u, %s, RPL %u", selector >> 3, selector & 4 ? "LDT" : "GDT",
             selector & 3);
}

static void print_page_fault(uint32_t error)
{
    const void *va = (const void *)fault_address();

    printf("  address %08x: %s by %s, page %s%s\n", fault_address(),
           error & 16  ? "instruction fetch"
           : error & 2 ? "write"
                       : "read",
           error & 4 ? "ring 3" : "supervisor (rings 0-2)", error & 1 ? "protected" : "not present",
           error & 8 ? ", reserved bit set" : "");
    printf("  its entries: level 3 %016llx, level 2 %016llx, level 1 %016llx\n", pte_read(va, 3),
           pte_read(va, 2), pte_read(va, 1));
}

/* An error code that names a selector: bit 0 external, bit 1 IDT, bit 2 LDT, then the index. */
static void print_selector_error(uint32_t error)
{
    if (error == 0)
        return;
    printf("  error code names %s entry %u%s\n",
           error & 2   ? "IDT"
           : error & 4 ? "LDT"
                       : "GDT",
           (error >> 3) & 0x1fff, error & 1 ? ", external event" : "");
}

/* The vectors with which the processor pushes an error code: SDM vol. 3, table 6-1. */
static bool has_error_code(uint32_t vector)
{
    return vector == VECTOR_DF || (vector >= VECTOR_TS && vector <= VECTOR_PF) ||
           vector == VECTOR_AC;
}

void frame_print(const struct trap_frame *frame)
{
    char cs[40];

    selector_decode(frame->cs, cs, sizeof(cs));
    printf("  %s", vector_name(frame->vector));
    if (has_error_code(frame->vector))
        printf(", error code %04x", frame->error);
    printf("\n");
    printf("  cs:eip %04x:%08x  (cs: %s)\n", frame->cs, frame->eip, cs);
    printf("  ss:esp %04x:%08x  eflags %08x  events %s\n",
           (frame_from_user(frame) ? frame->ss & 0xffff : read_ss()), frame_esp(frame),
           frame->eflags, frame->saved_upcall_mask ? "masked" : "on");
    printf("  eax %08x  ebx %08x  ecx %08x  edx %08x\n", frame->eax, frame->ebx, frame->ecx,
           frame->edx);
    printf("  esi %08x  edi %08x  ebp %08x\n", frame->esi, frame->edi, frame->ebp);
    printf("  ds %04x  es %04x  fs %04x  gs %04x\n", frame->ds & 0xffff, frame->es & 0xffff,
           frame->fs & 0xffff, frame->gs & 0xffff);
    if (frame->vector == VECTOR_PF)
        print_page_fault(frame->error);
    else if (frame->vector >= VECTOR_TS && frame->vector <= VECTOR_GP)
        print_selector_error(frame->error);
}

void trap_hook(uint32_t vector, trap_handler handler)
{
    if (vector == VECTOR_SYSCALL)
        syscall_hook = handler;
    else if (vector < EXCEPTIONS)
        hooks[vector] = handler;
    else
        panic("trap_hook: no vector %u", vector);
}

uint32_t fault_address(void)
{
    return vcpu()->arch.cr2;
}

bool trap_fixup(struct trap_frame *frame)
{
    const struct exception_entry *entry;

    if (frame_from_user(frame))
        return false;
    for (entry = exception_table; entry < exception_table_end; entry++) {
        if (entry->eip == frame->eip) {
            frame->eip = entry->fixup;
            return true;
        }
    }
    return false;
}

/*
 * Called by trap_entry.S. Leaving by longjmp abandons the frame; that is safe because a bounced
 * exception leaves nothing open in the processor or the hypervisor: returning from it is no more
 * than loading registers.
 */
void trap_dispatch(struct trap_frame *frame)
{
    trap_handler hook = frame->vector == VECTOR_SYSCALL ? syscall_hook : hooks[frame->vector];

    if ((hook && hook(frame)) || trap_fixup(frame))
        return;
    if (frame_from_user(frame) && user_state) {
        *user_state = *frame;
        user_state = NULL;
        longjmp(user_return, 1);
    }
    if (catcher) {
        /* A same-ring frame may end at the stack's last word: copy no more than there is. */
        memcpy(&catcher->frame, frame, offsetof(struct trap_frame, esp));
        catcher->frame.esp = frame_esp(frame);
        catcher->frame.ss = frame_from_user(frame) ? frame->ss : read_ss();
        longjmp(catcher->resume, 1);
    }
    printf("\nunexpected exception:\n");
    frame_print(frame);
    panic("%s at %08x", vector_name(frame->vector), frame->eip);
}

void failsafe_report(uint32_t eip)
{
    panic("failsafe callback: cannot return to eip %08x with its segment registers", eip);
}

bool catch_fault(void (*function)(void *), void *argument, struct trap_frame *frame)
{
    struct catcher here = {.outer = catcher};
    bool events = vcpu()->evtchn_upcall_mask == 0;
    volatile bool faulted = true;

    if (setjmp(here.resume) == 0) {
        catcher = &here;
        function(argument);
        faulted = false;
    }
    catcher = here.outer;
    if (!faulted)
        return false;
    events_restore(events);
    if (frame)
        *frame = here.frame;
    return true;
}

/* The instruction at label 1 is in the exception table: a fault there goes on at label 3. */
bool try_read(const volatile void *address, uint32_t *value)
{
    uint32_t word = 0;
    int failed;

    __asm__ volatile("1: movl (%2), %1\n"
                     "   xorl %0, %0\n"
                     "2:\n"
                     "   .pushsection .text.fixup, \"ax\"\n"
                     "3: movl $1, %0\n"
                     "   jmp 2b\n"
                     "   .popsection\n"
                     "   .pushsection .exception_table, \"a\"\n"
                     "   .long 1b, 3b\n"
                     "   .popsection"
                     : "=&r"(failed), "+r"(word)
                     : "r"(address)
                     : "memory", "cc");
    *value = word;
    return !failed;
}

bool try_write(volatile void *address, uint32_t value)
{
    int failed;

    __asm__ volatile("1: movl %1, (%2)\n"
                     "   xorl %0, %0\n"
                     "2:\n"
                     "   .pushsection .text.fixup, \"ax\"\n"
                     "3: movl $1, %0\n"
                     "   jmp 2b\n"
                     "   .popsection\n"
                     "   .pushsection .exception_table, \"a\"\n"
                     "   .long 1b, 3b\n"
                     "   .popsection"
                     : "=&r"(failed)
                     : "r"(value), "r"(address)
                     : "memory", "cc");
    return !failed;
}

void user_frame(struct trap_frame *frame, uint32_t eip, uint32_t esp)
{
    memset(frame, 0, sizeof(*frame));
    frame->ds = frame->es = frame->fs = frame->gs = FLAT_USER_DS;
    frame->cs = FLAT_USER_CS;
    frame->ss = FLAT_USER_SS;
    frame->eip = eip;
    frame->esp = esp;
    frame->eflags = EFLAGS_IF | 2; /* bit 1 is always 1 */
}

/*
 * stack_switch names the stack a trap out of ring 3 will use (the TSS's SS1:ESP1): here the rest
 * of the current one, below this function's own frame, which setjmp remembers.
 */
void user_run(struct trap_frame *frame)
{
    uint32_t esp;

    if (user_state)
        panic("user_run is not to be nested");
    user_state = frame;
    if (setjmp(user_return)) {
        /* The trap's stub reloaded DS and ES; FS and GS are still the program's. */
        __asm__ volatile("movw %w0, %%fs; movw %w0, %%gs" ::"r"(FLAT_KERNEL_DS));
        return;
    }
    __asm__ volatile("movl %%esp, %0" : "=r"(esp));
    if (hv_stack_switch(FLAT_KERNEL_SS, esp & ~15u) != 0)
        panic("stack_switch refused");
    user_enter(user_state);
}

static void set_gate(struct trap_info *gate, uint8_t vector, const char *stub)
{
    bool from_user = vector == VECTOR_BP || vector == VECTOR_OF || vector == VECTOR_SYSCALL;

    gate->vector = vector;
    gate->flags = from_user ? 3 : 0; /* DPL: who may raise it by an int instruction */
    gate->cs = FLAT_KERNEL_CS;
    gate->address = (unsigned long)stub;
}

/* The virtual IDT: vector 2 (NMI) has a callback of its own in this ABI and is left out. */
void trap_init(void)
{
    struct trap_info table[EXCEPTIONS + 1] = {0}; /* the last one stays zero: the end */
    int count = 0;

    for (int vector = 0; vector < EXCEPTIONS; vector++)
        if (vector != 2)
            set_gate(&table[count++], vector, trap_stubs[vector]);
    set_gate(&table[count], VECTOR_SYSCALL, syscall_stub);
    if (hv_set_trap_table(table) != 0)
        panic("set_trap_table refused");
    if (hv_set_callbacks(FLAT_KERNEL_CS, event_upcall, FLAT_KERNEL_CS, failsafe_upcall) != 0)
        panic("set_callbacks refused");
}
