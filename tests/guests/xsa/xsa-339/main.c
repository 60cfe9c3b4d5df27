/* SPDX-License-Identifier: MIT */
/*
 * XSA-339: the hypervisor entered with NT set.
 *
 * EFLAGS.NT makes IRET return to another task instead. Interrupts and exceptions clear it on the
 * way in, SYSENTER does not: Xen took the flag along to its own IRET, which faulted, and the
 * machine was gone. Any program in ring 3 could do that.
 *
 * This guest sets NT, then NT with AC and DF, in ring 1 and in ring 3, and goes into the
 * hypervisor by every door: hypercall, SYSENTER, its own system call, exceptions, an emulated
 * instruction, an event. The handlers of its own must run with NT clear, and everything must come
 * back.
 *
 * Run: qemu bochs
 */
#include "../../attack.h"

#include <pv/event.h>

#define EFLAGS_DF 0x00000400u
#define EFLAGS_NT 0x00004000u
#define EFLAGS_AC 0x00040000u

static uint32_t handler_flags;

static bool skip_two(struct trap_frame *frame)
{
    handler_flags = read_eflags();
    frame->eip += 2;
    frame->eflags &= ~(EFLAGS_NT | EFLAGS_AC | EFLAGS_DF);
    return true;
}

/* Code with these flags set; they are gone behind it. */
#define WITH_FLAGS(flags, code, ...)                                  \
    __asm__ volatile("pushfl; orl %[set], (%%esp); popfl\n" code "\n" \
                     "pushl $0x202; popfl\n"                          \
                     : __VA_ARGS__                                    \
                     : [set] "r"(flags), "b"(0)                       \
                     : "memory", "cc")

static void in_ring1(uint32_t flags)
{
    uint32_t eax = __HYPERVISOR_xen_version, ecx = 0;

    WITH_FLAGS(flags, "int $0x82", "+a"(eax), "+c"(ecx));
    tap_ok(eax >> 16 >= 3, "flags %06x: a hypercall", (unsigned int)flags);
    WITH_FLAGS(flags, "movl %%cr0, %%eax", "=a"(eax), "+c"(ecx));
    tap_ok(eax & 1, "flags %06x: an emulated instruction", (unsigned int)flags);

    trap_hook(VECTOR_UD, skip_two);
    handler_flags = EFLAGS_NT;
    WITH_FLAGS(flags, "ud2", "+a"(eax), "+c"(ecx));
    trap_hook(VECTOR_UD, NULL);
    tap_ok(!(handler_flags & EFLAGS_NT), "flags %06x: an exception, its handler without NT",
           (unsigned int)flags);
}

/*
 * This guest registers no callback for SYSENTER: #GP, or #UD where the processor has none. The frame
 * is as from ring 3, so it goes to the stack that stack_switch names.
 */
static void sysenter(void *argument)
{
    uint32_t flags = (uint32_t)argument, eax = 0, ecx = 0;

    WITH_FLAGS(flags, "sysenter", "+a"(eax), "+c"(ecx));
}

static void sysenter_ring1(uint32_t flags)
{
    static uint8_t stack[PAGE_SIZE] __attribute__((aligned(16)));
    struct trap_frame frame = {0};
    bool faulted;

    hv_stack_switch(FLAT_KERNEL_SS, (uint32_t)(stack + sizeof(stack)));
    faulted = catch_fault(sysenter, (void *)flags, &frame);
    __asm__ volatile("pushl $0x202; popfl" : : : "cc");
    tap_ok(faulted && (frame.vector == VECTOR_GP || frame.vector == VECTOR_UD),
           "flags %06x: SYSENTER gives %s", (unsigned int)flags, vector_name(frame.vector));
}

static void in_ring3(uint32_t flags)
{
    static const struct {
        const char *code, *what;
        uint32_t vector, other;
    } doors[] = {
        {"\x0f\x34", "SYSENTER", VECTOR_GP, VECTOR_UD},
        {"\xcd\x80", "a system call", VECTOR_SYSCALL, VECTOR_SYSCALL},
        {"\xcd\x82", "the hypercall's vector", VECTOR_GP, VECTOR_GP},
        {"\x0f\x0b", "ud2", VECTOR_UD, VECTOR_UD},
        {"\xfa\x90", "cli", VECTOR_GP, VECTOR_GP},
    };
    uint8_t *page = page_alloc();

    map_page((void *)USER_BASE, pte_make(linear_to_mfn(page), PAGE_USER));
    for (unsigned int i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
        struct trap_frame frame;

        memcpy(page, doors[i].code, 2);
        user_frame(&frame, USER_BASE, USER_BASE + PAGE_SIZE);
        frame.eflags |= flags;
        user_run(&frame);
        tap_ok(frame.vector == doors[i].vector || frame.vector == doors[i].other,
               "flags %06x, ring 3: %s gives %s", (unsigned int)flags, doors[i].what,
               vector_name(frame.vector));
    }
    map_page((void *)USER_BASE, 0);
    page_free(page);
}

static void in_event(uint32_t flags)
{
    int port = event_bind_ipi(NULL, NULL);
    struct evtchn_send send = {.port = port};
    uint32_t eax = __HYPERVISOR_event_channel_op, before = event_total();
    uint32_t ecx = (uint32_t)&send;

    __asm__ volatile("pushfl; orl %2, (%%esp); popfl\n"
                     "int $0x82\n"
                     "pushl $0x202; popfl\n"
                     : "+a"(eax), "+c"(ecx)
                     : "r"(flags), "b"(EVTCHNOP_send)
                     : "memory", "cc");
    tap_ok(eax == 0 && event_total() > before, "flags %06x: an event", (unsigned int)flags);
    event_close(port);
}

int main(void)
{
    static const uint32_t flags[] = {EFLAGS_NT, EFLAGS_NT | EFLAGS_AC,
                                     EFLAGS_NT | EFLAGS_AC | EFLAGS_DF};

    for (unsigned int i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        in_ring1(flags[i]);
        sysenter_ring1(flags[i]);
        in_ring3(flags[i]);
        in_event(flags[i]);
    }
    tap_audit();
    tap_done();
}
