/* SPDX-License-Identifier: MIT */
/*
 * A program in ring 3, and its kernel.
 *
 * Ring 3 is the one ring paging knows: a page without the US bit is out of its reach, so this
 * kernel in ring 1 is protected from its programs as it would be in ring 0. `int $0x80` goes
 * through a real gate straight to ring 1; the hypervisor has no part in a system call. Everything
 * else the program does wrong faults into ring 0 first and is bounced from there.
 *
 * Next: program.S, the program; then calls.c.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <pv/console.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/trap.h>

#include "toy.h"

#define USER_CODE ((char *)USER_BASE)
#define USER_STACK ((char *)USER_BASE + PAGE_SIZE)

/* The system calls: number in eax, arguments in ebx and ecx. */
enum { CALL_EXIT, CALL_WRITE };

extern const char user_program[], user_program_end[];

/* A fresh page at va with US set, in every table above it too. */
static void *map_user_page(const void *va)
{
    void *page = page_alloc();

    if (map_page(va, pte_make(linear_to_mfn(page), PAGE_USER)) != 0)
        panic("cannot map %p for ring 3", va);
    return page;
}

static void unmap_user_page(const void *va, void *page)
{
    if (map_page(va, 0) != 0)
        panic("cannot unmap %p", va);
    page_free(page);
}

/* Text from ring 3: only what lies in the program's own page. */
static void system_write(uint32_t address, uint32_t length)
{
    if (address < USER_BASE || length > PAGE_SIZE || address - USER_BASE > PAGE_SIZE - length) {
        printf("  write of %u bytes at 0x%08x refused\n", length, address);
        return;
    }
    printf("  the program writes: ");
    fflush(stdout);
    console_write((const char *)address, length);
}

/* False when the program is over. */
static bool system_call(struct trap_frame *frame)
{
    printf("int $0x80 with eax %u: from cs 0x%04x (ring %u), ss:esp 0x%04x:0x%08x, eip 0x%08x\n",
           frame->eax, frame->cs, frame->cs & 3, frame->ss & 0xffff, frame->esp, frame->eip);
    if (frame->eax == CALL_WRITE)
        system_write(frame->ebx, frame->ecx);
    else if (frame->eax != CALL_EXIT)
        frame->eax = -1;
    return frame->eax != CALL_EXIT;
}

/* Every instruction in program.S that is meant to fault is two bytes long: step over it. */
static void survive_fault(struct trap_frame *frame)
{
    printf("The program faulted:\n");
    frame_print(frame);
    printf("  going on behind the instruction\n");
    frame->eip += 2;
}

void command_user(const char *argument)
{
    void *code = map_user_page(USER_CODE);
    void *stack = map_user_page(USER_STACK);
    struct trap_frame frame;
    bool alive = true;

    (void)argument;
    memcpy(code, user_program, user_program_end - user_program);
    user_frame(&frame, USER_BASE, USER_BASE + 2 * PAGE_SIZE);
    printf("Leaving ring %u by iret for ring 3, cs 0x%04x, eip 0x%08x\n", read_cs() & 3, frame.cs,
           frame.eip);
    while (alive) {
        user_run(&frame);
        if (frame.vector == VECTOR_SYSCALL)
            alive = system_call(&frame);
        else
            survive_fault(&frame);
    }
    printf("The program is over; we are in ring %u again.\n", read_cs() & 3);
    unmap_user_page(USER_CODE, code);
    unmap_user_page(USER_STACK, stack);
}
