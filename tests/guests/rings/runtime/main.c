/* SPDX-License-Identifier: MIT */
/*
 * The guests' runtime: does pv-guest/lib keep its promises on this hypervisor?
 *
 * Every other test guest leans on this library, so a fault in it, or in the few services of the
 * hypervisor it is made of, should show here first and by name: memory beyond the builder's map,
 * maps that have to be refused, every way to survive an exception, events in both rings, the
 * clock, the timer, and a grant mapped by its own owner.
 *
 * Run: qemu bochs
 * Machine: mem=256
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/event.h>
#include <pv/grant.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <pv/trap.h>

/* --- memory -------------------------------------------------------------------------------- */

#define HEAP_BLOCKS 12
#define HEAP_BLOCK (1024 * 1024)

/* More than any builder maps at the start, so that the linear map has to grow. */
static void test_heap(void)
{
    uint8_t *blocks[HEAP_BLOCKS];
    bool intact = true;

    for (int i = 0; i < HEAP_BLOCKS; i++) {
        blocks[i] = malloc(HEAP_BLOCK);
        if (!tap_ok(blocks[i] != NULL, "malloc of megabyte %d", i + 1))
            return;
        memset(blocks[i], i + 1, HEAP_BLOCK);
    }
    for (int i = 0; i < HEAP_BLOCKS; i++) {
        for (int byte = 0; byte < HEAP_BLOCK; byte += 1009)
            intact &= blocks[i][byte] == i + 1;
        free(blocks[i]);
    }
    tap_ok(intact, "every block holds what was written");
}

static void test_pages(void)
{
    uint32_t before = pages_free();
    uint32_t *one = page_alloc(), *other = page_alloc();
    uint32_t mfn = linear_to_mfn(one);

    tap_ok(one != other && one[0] == 0 && one[1023] == 0, "two zeroed pages");
    tap_is(mfn_to_pfn(mfn), ((uint32_t)one - VIRT_BASE) >> PAGE_SHIFT, "M2P and p2m agree");
    tap_is(va_to_mfn(one), mfn, "the page table names the same frame");
    page_free(one);
    page_free(other);
    tap_is(pages_free(), before, "both pages are free again");
}

/*
 * A guest may open one page of the builder's map to ring 3 by its L1 entry alone: then the
 * directory above it must let ring 3 in, and the L1 entries must not.
 */
static void test_start_of_day_tables(void)
{
    const pte_t *l3 = (const pte_t *)start_info->pt_base;
    pte_t top = l3[VIRT_BASE >> 30];
    const pte_t *l2 = (const pte_t *)(VIRT_BASE + mfn_to_pfn(pte_mfn(top)) * PAGE_SIZE);
    pte_t directory = l2[VIRT_BASE >> 21 & 511];
    const pte_t *l1 = (const pte_t *)(VIRT_BASE + mfn_to_pfn(pte_mfn(directory)) * PAGE_SIZE);

    tap_ok((directory & (PAGE_USER)) == PAGE_USER, "the directory at the start lets ring 3 in");
    tap_ok((l1[16] & (PTE_P | PTE_US)) == PTE_P, "the pages at the start do not");
}

static void test_maps(void)
{
    uint32_t *page = page_alloc(), *alias, word;
    uint32_t mfn = linear_to_mfn(page), bad = 0xfffffff0, table = base_mfn();
    int error;

    alias = map_frames(DOMID_SELF, &mfn, 1, true, &error);
    tap_is(error, 0, "a second map of one's own frame");
    page[7] = 0x1234;
    tap_ok(alias && alias[7] == 0x1234, "the same memory at two addresses");
    unmap_frames(alias, 1);
    tap_ok(!try_read(alias, &word), "gone after the unmap");

    alias = map_frames(DOMID_SELF, &mfn, 1, false, &error);
    tap_ok(try_read(alias, &word) && !try_write(alias, 0), "a read-only map reads only");
    unmap_frames(alias, 1);

    alias = map_frames(DOMID_SELF, &bad, 1, false, &error);
    tap_ok(!alias && error < 0, "a frame no machine has is refused: %d", error);
    alias = map_frames(DOMID_SELF, &table, 1, true, &error);
    tap_ok(!alias && error < 0, "a page table is not mapped writable: %d", error);
    alias = map_frames(DOMID_SELF, &table, 1, false, &error);
    tap_is(error, 0, "a page table may be mapped read-only");
    unmap_frames(alias, 1);
    page_free(page);
}

/* --- exceptions ---------------------------------------------------------------------------- */

static void divide_by_zero(void *argument)
{
    (void)argument;
    __asm__ volatile("xorl %%ecx, %%ecx; divl %%ecx" ::: "eax", "ecx", "edx", "cc");
}

static void undefined_opcode(void *argument)
{
    (void)argument;
    __asm__ volatile("ud2");
}

static void breakpoint(void *argument)
{
    (void)argument;
    __asm__ volatile("int3");
}

static void halt(void *argument)
{
    (void)argument;
    __asm__ volatile("hlt");
}

static void unmapped_read(void *argument)
{
    (void)*(volatile uint32_t *)argument;
}

/* A jump to nowhere leaves nothing of the function to return to. */
static void wild_jump(void *argument)
{
    __asm__ volatile("jmp *%0" ::"r"(argument));
}

static void expect_fault(void (*function)(void *), void *argument, uint32_t vector)
{
    struct trap_frame frame = {0};
    bool faulted = catch_fault(function, argument, &frame);

    if (tap_ok(faulted && frame.vector == vector && (frame.cs & 3) == 1, "%s is caught",
               vector_name(vector)))
        return;
    tap_diag(faulted ? "got this instead:" : "no fault");
    if (faulted)
        frame_print(&frame);
}

static bool step_over(struct trap_frame *frame)
{
    frame->eip += 2; /* ud2 is two bytes long */
    frame->eax = 0x600d;
    return true;
}

/* EFLAGS and the upcall mask that the latest frame brought. */
static uint32_t frame_eflags;
static uint8_t frame_mask;

static bool note_flags(struct trap_frame *frame)
{
    frame_eflags = frame->eflags;
    frame_mask = frame->saved_upcall_mask;
    return step_over(frame);
}

/* A frame shows the guest's virtual IF twice: the mask itself, and EFLAGS.IF as its inverse. */
static void test_frame_flags(void)
{
    uint32_t eax;
    bool were;

    trap_hook(VECTOR_UD, note_flags);
    were = events_off();
    __asm__ volatile("ud2" : "=a"(eax));
    tap_ok(frame_mask == 1 && !(frame_eflags & 0x200), "events off: mask 1 and IF 0 in the frame");
    events_on();
    __asm__ volatile("ud2" : "=a"(eax));
    tap_ok(frame_mask == 0 && (frame_eflags & 0x200), "events on: mask 0 and IF 1 in the frame");
    events_restore(were);
    trap_hook(VECTOR_UD, NULL);
}

static void nest(void *argument)
{
    *(bool *)argument = catch_fault(undefined_opcode, NULL, NULL);
    undefined_opcode(NULL);
}

static void test_exceptions(void)
{
    void *nowhere = window_alloc(1);
    bool inner = false;
    uint32_t eax;

    expect_fault(divide_by_zero, NULL, VECTOR_DE);
    expect_fault(undefined_opcode, NULL, VECTOR_UD);
    expect_fault(breakpoint, NULL, VECTOR_BP);
    expect_fault(halt, NULL, VECTOR_GP);
    expect_fault(unmapped_read, nowhere, VECTOR_PF);
    tap_is(fault_address(), (uint32_t)nowhere, "the faulting address is reported");
    expect_fault(wild_jump, nowhere, VECTOR_PF);
    tap_ok(catch_fault(nest, &inner, NULL) && inner, "catches nest");

    trap_hook(VECTOR_UD, step_over);
    __asm__ volatile("ud2" : "=a"(eax));
    trap_hook(VECTOR_UD, NULL);
    tap_is(eax, 0x600d, "a hook changes the frame and returns into it");
    test_frame_flags();
    window_free(nowhere, 1);
}

/* --- events and time ----------------------------------------------------------------------- */

static void count_event(evtchn_t port, void *data)
{
    (void)port;
    ++*(uint32_t *)data;
}

static void test_events(void)
{
    volatile uint32_t count = 0;
    int port = event_bind_ipi(count_event, (void *)&count);

    if (!tap_ok(port > 0, "an event channel to oneself"))
        return;
    event_send(port);
    tap_is(count, 1, "sent with events on: delivered at once");
    events_off();
    event_send(port);
    event_send(port);
    tap_is(count, 1, "sent twice with events off: held back");
    events_on();
    tap_is(count, 2, "events on: delivered, once");
    event_mask(port);
    event_send(port);
    tap_is(count, 2, "sent to a masked port: held back");
    event_unmask(port);
    tap_is(count, 3, "unmasked: delivered");
    event_close(port);
    tap_ok(event_send(port) < 0, "a closed port is refused");
}

static void test_time(void)
{
    uint64_t start = time_now(), now = start, last = start;
    uint32_t ticks = timer_count();
    bool monotonic = true;

    sleep_ms(50);
    tap_ok(time_now() - start >= 50 * NS_PER_MS, "a sleep of 50 ms is no shorter");
    tap_ok(timer_count() > ticks, "the timer's event came");
    for (int i = 0; i < 10000; i++, last = now) {
        now = time_now();
        monotonic &= now >= last;
    }
    tap_ok(monotonic, "the clock never runs backwards");
    start = time_now();
    sleep_until(start - NS_PER_MS);
    tap_ok(time_now() - start < 40 * NS_PER_MS, "a deadline in the past does not wait");
}

/* --- hypercalls ---------------------------------------------------------------------------- */

static long call_number(uint32_t number)
{
    uint32_t ebx = 0, ecx = 0, edx = 0, esi = 0, edi = 0;
    long result = (long)number;

    __asm__ volatile("int $0x82"
                     : "+a"(result), "+b"(ebx), "+c"(ecx), "+d"(edx), "+S"(esi), "+D"(edi)
                     :
                     : "memory");
    return result;
}

/* A stub is `mov $number, %eax; int $0x82; ret`, but for iret, which is jumped to. */
static void test_hypercall_page(void)
{
    static const uint32_t unknown[] = {11, 27, 34,  38,         49,         54,
                                       63, 64, 127, 0x7fffffff, 0x80000000, 0xfffffffe};
    bool stubs = true, refused = true;

    for (uint32_t n = 0; n < 64; n++) {
        uint8_t stub[8] = {0xb8, n, 0, 0, 0, 0xcd, 0x82, 0xc3};

        if (n != __HYPERVISOR_iret)
            stubs &= memcmp(hypercall_page[n], stub, sizeof(stub)) == 0;
    }
    tap_ok(stubs, "the hypercall page has a stub for each of 64 numbers");
    tap_ok(memcmp(hypercall_page[__HYPERVISOR_iret], "\x50\xb8\x17\0\0\0\xcd\x82", 8) == 0,
           "iret's pushes eax and does not return");
    for (uint32_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        refused &= call_number(unknown[i]) == -XEN_ENOSYS;
    tap_ok(refused, "numbers that are no hypercall: -ENOSYS");
}

/* --- ring 3 -------------------------------------------------------------------------------- */

/* A loop that ends when the kernel writes to its page, then a system call. EBX, ESI, EDI and EBP
 * have to survive the events that interrupt it. */
__asm__(".pushsection .rodata\n"
        "waiting_program:\n"
        "    cmpl $0, 0x800(%edx)\n"
        "    je waiting_program\n"
        "    int $0x80\n"
        "waiting_program_end:\n"
        ".popsection");
extern const char waiting_program[], waiting_program_end[];

/* Called for the timer, which is armed before ring 3 starts: by then the processor is in there. */
static volatile uint32_t *user_flag;

static void release_user(void)
{
    *user_flag = 1;
}

static void test_user(void)
{
    char *page = page_alloc();
    struct trap_frame frame;
    uint32_t ticks = timer_count();

    map_page((void *)USER_BASE, pte_make(linear_to_mfn(page), PAGE_USER));
    memcpy(page, waiting_program, waiting_program_end - waiting_program);
    user_flag = (uint32_t *)(page + 0x800);
    user_frame(&frame, USER_BASE, USER_BASE + PAGE_SIZE);
    frame.edx = USER_BASE;
    frame.ebx = 0xb0b0;
    frame.esi = 0x5151;
    frame.edi = 0xd1d1;
    frame.ebp = 0xebeb;

    timer_set(time_now() + 20 * NS_PER_MS, release_user);
    user_run(&frame);
    tap_is(timer_count() - ticks, 1, "one event found the processor in ring 3");
    tap_is(frame.vector, VECTOR_SYSCALL, "ring 3 ran until its int $0x80");
    tap_ok(frame.ebx == 0xb0b0 && frame.esi == 0x5151 && frame.edi == 0xd1d1 && frame.ebp == 0xebeb,
           "its registers are what they were");
    tap_is(frame.cs, FLAT_USER_CS, "and so is its code segment");
    map_page((void *)USER_BASE, 0);
    page_free(page);
}

/* --- grants -------------------------------------------------------------------------------- */

static void test_grants(void)
{
    uint32_t *page = page_alloc();
    struct grant_map map;
    int ref;

    if (!is_initial_domain()) {
        tap_skip("only the initial domain knows its number", "a grant to oneself");
        page_free(page);
        return;
    }
    ref = grant_access(0, linear_to_mfn(page), true);
    tap_ok(ref > 0, "a grant to oneself: reference %d", ref);
    tap_is(grant_map(0, ref, true, &map), 0, "mapped");
    ((volatile uint32_t *)map.va)[3] = 77;
    tap_is(page[3], 77, "the grant's map reaches the page");
    tap_ok(!grant_end(ref), "it cannot be taken back while mapped");
    tap_is(grant_unmap(&map), 0, "unmapped");
    tap_ok(grant_end(ref), "and taken back");
    page_free(page);
}

int main(void)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld %zu %p", 1ll << 40, sizeof(text), (void *)0x1000);
    tap_ok(strcmp(text, "1099511627776 32 0x1000") == 0, "printf: %s", text);
    test_start_of_day_tables();
    test_pages();
    test_maps();
    test_heap();
    test_exceptions();
    test_events();
    test_time();
    test_hypercall_page();
    test_user();
    test_grants();
    tap_done();
}
