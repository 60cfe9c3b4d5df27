/* SPDX-License-Identifier: MIT */
/*
 * state.c: what the hypervisor keeps for a vcpu, put right and spoilt: kernel stack, trap table,
 * callbacks, descriptor tables, breakpoints, assists; and the memory that stray pointers meet.
 *
 * Next: code.c.
 */
#include "trapstate.h"

#include <stddef.h>
#include <string.h>

#include <xen/callback.h>
#include <xen/physdev.h>

#include <pv/page.h>
#include <pv/start.h>

#define GDT_SLOTS 16
#define LDT_SLOTS 16
#define TABLE_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)
#define SLOTS_2M 512
#define ENTRIES(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t *gdt, *ldt;

/* Every entry leads to the probe page: a page table for many places at once. */
static uint64_t *probe_table;

/* --- memory ------------------------------------------------------------------------------------ */

static void *readonly_page(void)
{
    void *page = page_alloc();

    if (map_page(page, pte_make(linear_to_mfn(page), PAGE_KERNEL_RO)) != 0)
        panic("a page cannot be made read-only");
    return page;
}

/* One in eight places of 2 MiB stays empty, so that page faults of both kinds come. */
static uint64_t probe_entry(uint32_t index)
{
    return index % 8 == 5 ? 0 : pte_make(linear_to_mfn(probe_table), TABLE_FLAGS);
}

static void make_probe_table(void)
{
    probe_table = page_alloc();
    for (int i = 0; i < 512; i++)
        probe_table[i] = pte_make(linear_to_mfn(probe_page), PAGE_USER_RO);
    if (map_page(probe_table, pte_make(linear_to_mfn(probe_table), PAGE_KERNEL_RO)) != 0)
        panic("the probe's table cannot be made read-only");
}

/* The first three GiB, but for the 2 MiB that hold SHARED and its neighbours. */
static void map_probe_low(void)
{
    for (uint32_t top = 0; top < 3; top++) {
        uint64_t *table = page_alloc();

        for (uint32_t i = 0; i < SLOTS_2M; i++)
            if (top || i != SHARED >> 21)
                table[i] = probe_entry(i);
        if (!install_table((void *)(top << 30), table, 3))
            panic("no page tables for the probe");
    }
}

/* And what the guest's library leaves free above it. */
static void map_probe_high(void)
{
    uint64_t directory = pte_mfn(pte_read((void *)WINDOW_BASE, 3));

    for (uint32_t va = WINDOW_BASE; va < HOLE_BASE - (1 << 21); va += 1 << 21) {
        struct mmu_update request = {.ptr = directory << PAGE_SHIFT | (va >> 21 & 511) << 3,
                                     .val = probe_entry(va >> 21)};

        if (hv_mmu_update(&request, 1, NULL, DOMID_SELF) != 0)
            panic("no probe at %p", (void *)va);
    }
}

static void map_at(uint32_t va, uint64_t flags)
{
    if (map_page((void *)va, pte_make(linear_to_mfn(page_alloc()), flags)) != 0)
        panic("no page at %p", (void *)va);
}

void state_init(void)
{
    make_probe_table();
    map_probe_low();
    map_probe_high();
    map_at(SHARED, PAGE_USER);
    map_at(CODE, PAGE_USER);
    map_at(STACK, PAGE_USER);
    map_at(STACK_READONLY, PAGE_USER_RO);
    map_at(STACK_KERNEL, PAGE_KERNEL);
    gdt = readonly_page();
    ldt = readonly_page();
    memset((void *)shared()->evtchn_mask, 0xff, sizeof(shared()->evtchn_mask));
}

/* --- random values ------------------------------------------------------------------------------ */

uint32_t random_stack(void)
{
    static const uint32_t tops[] = {STACK + PAGE_SIZE,
                                    STACK + PAGE_SIZE,
                                    STACK + 24,
                                    STACK + 16,
                                    STACK + 4,
                                    STACK_READONLY + 512,
                                    STACK_UNMAPPED,
                                    STACK_KERNEL,
                                    STACK_KERNEL + 8,
                                    HOLE_BASE,
                                    HOLE_BASE + 64,
                                    LIMIT_END,
                                    0xFBC00000,
                                    0xFFFFFFFC,
                                    0,
                                    20,
                                    0x80000000,
                                    WINDOW_BASE,
                                    0x10000};

    switch (below(16)) {
    case 0:
        return rnd();
    case 1:
        return tops[below(ENTRIES(tops))] + below(64) - 32;
    case 2:
        return (uint32_t)probe_table + 256; /* a page table */
    case 3:
        return (uint32_t)gdt + 128;
    case 4:
        return STACK_KERNEL + PAGE_SIZE;
    default:
        return tops[below(ENTRIES(tops))] + (chance(8) ? below(4) : 0);
    }
}

uint32_t random_handler(void)
{
    static const char *const handlers[] = {iret_stub,         iret_error_stub,      iret_stub,
                                           iret_call_stub,    iret_call_error_stub, nested_stub,
                                           failsafe_iret_stub};

    switch (below(16)) {
    case 0:
        return CODE + below(64);
    case 1:
        return rnd();
    case 2:
        return LIMIT_END - 16 + below(32);
    case 3:
        return 0xFBC00000 + below(0x1000);
    case 4:
        return 0;
    case 5:
        return STACK_UNMAPPED;
    default:
        return chance(2) ? (uint32_t)stubs[CAUSE_HOME]
                         : (uint32_t)handlers[below(ENTRIES(handlers))];
    }
}

static uint32_t own_selector(void)
{
    return chance(2) ? below(GDT_SLOTS) << 3 | below(4) : below(LDT_SLOTS) << 3 | 4 | below(4);
}

uint32_t random_selector(void)
{
    static const uint16_t known[] = {
        FLAT_KERNEL_CS, FLAT_KERNEL_DS, FLAT_USER_CS, FLAT_USER_DS, 0,      1,      2,      3,
        0xe008,         0xe010,         0xe009,       0xe038,       0xe040, 0xe048, 0xfff9, 0x3fff};

    if (chance(16))
        return rnd() & 0xffff;
    return chance(2) ? own_selector() : known[below(ENTRIES(known))];
}

static uint64_t call_gate(void)
{
    uint32_t to = random_handler();
    uint32_t selector = chance(2) ? FLAT_KERNEL_CS : random_selector();

    return (uint64_t)(to & 0xffff0000) << 32 |
           (uint64_t)(0x8c00 | below(4) << 13 | below(4)) << 32 | selector << 16 | (to & 0xffff);
}

uint64_t random_descriptor(void)
{
    uint32_t low = 0xffff, high = 0x000f0000 | 1u << 12 | below(16) << 8 | below(4) << 13;

    if (chance(8))
        return call_gate();
    if (chance(16))
        return (uint64_t)rnd() << 32 | rnd();
    high |= chance(8) ? 0 : 1u << 15; /* present */
    high |= chance(4) ? 0 : 1u << 22; /* 32-bit */
    high |= chance(8) ? 0 : 1u << 23; /* in pages */
    if (chance(8))
        high ^= 1u << 12; /* a system segment */
    if (chance(8))
        high ^= 0x000f0000;
    if (chance(8))
        low = rnd();
    return (uint64_t)high << 32 | low;
}

/* Flat data or code that can be loaded: rings 1 to 3. */
static uint64_t good_descriptor(bool code)
{
    return (uint64_t)(0x00cf9200 | (1 + below(3)) << 13 | (code ? 0x800 : 0)) << 32 | 0xffff;
}

static uint64_t slot_address(const uint64_t *table, uint32_t slot)
{
    return ((uint64_t)linear_to_mfn(table) << PAGE_SHIFT) + slot * sizeof(*table);
}

uint64_t random_slot(void)
{
    return chance(2) ? slot_address(gdt, below(GDT_SLOTS)) : slot_address(ldt, below(LDT_SLOTS));
}

/* --- putting right ------------------------------------------------------------------------------ */

static void set_trap(struct trap_info *t, uint32_t vector, uint32_t dpl, uint32_t cause)
{
    *t = (struct trap_info){vector, dpl, FLAT_KERNEL_CS, (uint32_t)stubs[cause]};
}

static void restore_traps(void)
{
    static struct trap_info table[32 + 3];

    for (uint32_t i = 0; i < 32; i++)
        set_trap(&table[i], i, i == 3 || i == 4 ? 3 : 0, i);
    set_trap(&table[32], HOME_VECTOR, 3, CAUSE_HOME);
    set_trap(&table[33], 0x80, 3, CAUSE_SYSCALL);
    hv_set_trap_table(NULL);
    hv_set_trap_table(table);
}

static void set_callback(uint16_t type, uint16_t flags, uint32_t cs, uint32_t eip)
{
    struct callback_register r = {.type = type, .flags = flags, .address = {cs, eip}};

    hv_callback_op(CALLBACKOP_register, &r);
}

static const struct {
    uint16_t type;
    uint8_t cause;
} callbacks[] = {{CALLBACKTYPE_event, CAUSE_EVENT},
                 {CALLBACKTYPE_failsafe, CAUSE_FAILSAFE},
                 {CALLBACKTYPE_nmi, CAUSE_NMI},
                 {CALLBACKTYPE_sysenter, CAUSE_SYSENTER}};

static void restore_callbacks(void)
{
    for (size_t i = 0; i < ENTRIES(callbacks); i++)
        set_callback(callbacks[i].type, 0, FLAT_KERNEL_CS, (uint32_t)stubs[callbacks[i].cause]);
}

static void set_ldt(const void *base, uint32_t entries)
{
    struct mmuext_op op = {
        .cmd = MMUEXT_SET_LDT, .arg1.linear_addr = (uint32_t)base, .arg2.nr_ents = entries};

    hv_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

static void set_iopl(uint32_t iopl)
{
    struct physdev_set_iopl op = {.iopl = iopl};

    hv_physdev_op(PHYSDEVOP_set_iopl, &op);
}

/* The iret hypercall, to the next instruction: NMIs are no longer masked. */
static void unmask_nmi(void)
{
    uint32_t eax = __HYPERVISOR_iret;

    __asm__ volatile("pushl $2; pushl %%cs; pushl $1f; pushl $0; int $0x82; 1:"
                     : "+a"(eax)
                     :
                     : "memory", "cc");
    vcpu()->evtchn_upcall_mask = 1;
}

static const uint8_t assists[] = {VMASST_TYPE_4gb_segments, VMASST_TYPE_4gb_segments_notify,
                                  VMASST_TYPE_writable_pagetables, VMASST_TYPE_architectural_iopl};

void state_restore(void)
{
    unsigned long frame = linear_to_mfn(gdt);

    restore_traps();
    restore_callbacks();
    hv_stack_switch(FLAT_KERNEL_SS, STACK + PAGE_SIZE);
    hv_set_gdt(&frame, 512);
    set_ldt(ldt, LDT_SLOTS);
    for (size_t i = 0; i < ENTRIES(assists); i++)
        hv_vm_assist(VMASST_CMD_disable, assists[i]);
    set_iopl(0);
    hv_fpu_taskswitch(0);
    unmask_nmi();
}

/* --- spoiling ----------------------------------------------------------------------------------- */

static void disturb_descriptors(void)
{
    for (uint32_t n = below(8); n; n--) {
        uint64_t d = chance(2) ? good_descriptor(chance(2)) : random_descriptor();

        hv_update_descriptor(random_slot(), d);
    }
}

static void disturb_tables(void)
{
    unsigned long frame = linear_to_mfn(gdt);

    if (chance(16))
        hv_set_gdt(&frame, below(GDT_SLOTS));
    if (chance(8))
        set_ldt(ldt, below(4) ? below(LDT_SLOTS) : 0);
    if (chance(16))
        set_ldt((void *)STACK_UNMAPPED, 8192); /* pages that cannot be shown */
}

static uint32_t handler_selector(void)
{
    return chance(3) ? random_selector() : FLAT_KERNEL_CS;
}

static void disturb_traps(void)
{
    static const uint8_t vectors[] = {0, 1, 3, 4, 5, 6, 10, 11, 12, 13, 14, 17, 0x80, 0x80, 0x82};
    static struct trap_info table[8];
    uint32_t n = below(ENTRIES(table));

    for (uint32_t i = 0; i < n; i++) {
        uint8_t vector = vectors[below(ENTRIES(vectors))];

        table[i] = (struct trap_info){vector, below(8), handler_selector(), random_handler()};
        if (vector == 0x80 && chance(2))
            table[i].flags |= 3;
        table[i].address += !table[i].address; /* 0 ends the list */
    }
    memset(&table[n], 0, sizeof(table[n]));
    hv_set_trap_table(table);
}

static void disturb_callbacks(void)
{
    uint32_t i = below(ENTRIES(callbacks));

    set_callback(callbacks[i].type, below(2), handler_selector(), random_handler());
}

/* Where the hypervisor writes frames, where code runs, and where the words for it lie. */
static uint32_t watched_address(void)
{
    switch (below(4)) {
    case 0:
        return CODE + below(32);
    case 1:
        return (uint32_t)stubs[below(NR_STUBS)];
    case 2:
        return (random_stack() - 4 * below(10)) & ~3u;
    default:
        return STACK + PAGE_SIZE - 4 * below(16);
    }
}

static void disturb_breakpoints(void)
{
    uint32_t dr7 = 0x400;

    for (int i = 0; i < 4; i++) {
        uint32_t length = chance(2) ? 3 : below(4), kind = below(4);

        hv_set_debugreg(i, watched_address());
        if (kind == 0)
            length = 0;
        if (chance(2))
            dr7 |= 1u << (2 * i + below(2)) | (kind | length << 2) << (16 + 4 * i);
    }
    hv_set_debugreg(7, dr7);
}

void state_disturb(void)
{
    disturb_descriptors();
    disturb_tables();
    if (deadly_chance(2))
        hv_stack_switch(chance(2) ? random_selector() : FLAT_KERNEL_SS,
                        chance(2) ? random_stack() : STACK + PAGE_SIZE);
    if (deadly_chance(2))
        disturb_traps();
    if (deadly_chance(3))
        disturb_callbacks();
    if (chance(4))
        set_iopl(below(4));
    if (chance(4))
        hv_vm_assist(VMASST_CMD_enable, assists[below(ENTRIES(assists))]);
    if (chance(4))
        disturb_breakpoints();
}

void lose_segments(struct launch *l)
{
    bool local = chance(2);
    uint32_t slot = 1 + below(8), selector = slot << 3 | (local ? 4 : 0) | 1;
    uint64_t where = slot_address(local ? ldt : gdt, slot);
    uint64_t later = chance(2) ? 0 : random_descriptor();
    uint32_t *segments = &l->gs;

    hv_update_descriptor(where, good_descriptor(false));
    for (int i = 0; i < 4; i++)
        segments[i] = chance(2) ? selector : segments[i];
    l->call_eax = __HYPERVISOR_update_descriptor;
    l->call_ebx = (uint32_t)where;
    l->call_ecx = where >> 32;
    l->call_edx = (uint32_t)later;
    l->call_esi = later >> 32;
}
