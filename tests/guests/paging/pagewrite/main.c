/* SPDX-License-Identifier: MIT */
/*
 * Pagewrite: a guest writes its own page-table entries with plain instructions.
 *
 * Page tables are mapped read-only in their guest. With VMASST_TYPE_writable_pagetables the
 * hypervisor carries such a write out, if the entry it makes is one the guest could have asked for;
 * without it, and for everything else, the write is a page fault. Kernels count on this where a
 * hypercall would be in the way: munmap (MOV of both halves), fork (LOCK AND of one byte), SMP's
 * atomic exchange (CMPXCHG8B).
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <string.h>

#include <xen/version.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define FOREIGN_FRAME 0x400 /* memory from 4 MiB on: the hypervisor's image */
#define TARGET ((volatile uint32_t *)(WINDOW_END - 0x400000)) /* what the entry maps */

static volatile pte_t *entry;   /* TARGET's entry, in its read-only page table */
static uint32_t page_a, page_b; /* frames to map there: each begins with its own number */

static void invalidate(void)
{
    struct mmuext_op op = {.cmd = MMUEXT_INVLPG_LOCAL};

    op.arg1.linear_addr = (uint32_t)TARGET;
    hv_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

/* What is to be found at TARGET now: 0xdead if nothing. */
static uint32_t seen(void)
{
    uint32_t value;

    invalidate();
    return try_read(TARGET, &value) ? value : 0xdead;
}

/* Xen's: it gives its initial domain more. */
static bool is_64bit_hypervisor(void)
{
    xen_capabilities_info_t capabilities = "";

    hv_xen_version(XENVER_capabilities, capabilities);
    return strstr(capabilities, "x86_64") != NULL;
}

static void map(pte_t pte)
{
    if (hv_update_va_mapping(TARGET, pte, UVMF_INVLPG))
        panic("entry %llx refused", pte);
}

/* --- instructions ------------------------------------------------------------------------------ */

static void store_low(void *value)
{
    *(volatile uint32_t *)entry = (uint32_t)value;
}

static void store_high(void *value)
{
    ((volatile uint32_t *)entry)[1] = (uint32_t)value;
}

static void store_immediate(void *unused)
{
    (void)unused;
    __asm__ volatile("movl $0, %0" : "=m"(*(volatile uint32_t *)entry));
}

static void store_word(void *value)
{
    __asm__ volatile("movw %w1, %0" : "=m"(*(volatile uint16_t *)entry) : "r"(value));
}

static void and_byte(void *mask)
{
    __asm__ volatile("lock andb %b1, %0" : "+m"(*(volatile uint8_t *)entry) : "q"(mask) : "cc");
}

static void clear_bit(void *bit)
{
    __asm__ volatile("lock btrl %1, %0" : "+m"(*(volatile uint32_t *)entry) : "r"(bit) : "cc");
}

static void exchange_low(void *value)
{
    __asm__ volatile("xchgl %1, %0" : "+m"(*(volatile uint32_t *)entry), "+r"(value));
}

static void store_across(void *value)
{
    __asm__ volatile("movl %1, 6(%0)" : : "r"(entry), "r"(value) : "memory");
}

static void store_string(void *value)
{
    __asm__ volatile("stosl" : : "a"(value), "D"(entry) : "memory");
}

/* --- carried out ------------------------------------------------------------------------------- */

static bool works(void (*instruction)(void *), uint32_t operand)
{
    struct trap_frame frame;

    if (!catch_fault(instruction, (void *)operand, &frame))
        return true;
    frame_print(&frame);
    return false;
}

static void test_halves(void)
{
    pte_t b = pte_make(page_b, PAGE_KERNEL);

    map(pte_make(page_a, PAGE_KERNEL));
    tap_is(seen(), page_a, "the entry maps page A");
    tap_ok(works(store_low, 0), "mov to the lower half: 0");
    tap_is(seen(), 0xdead, "nothing is mapped");
    tap_ok(works(store_high, b >> 32), "mov to the upper half");
    tap_ok(works(store_low, b), "mov to the lower half");
    tap_is(seen(), page_b, "page B is mapped");
    tap_ok(works(store_immediate, 0), "mov of an immediate");
    tap_ok(*entry >> 32 == b >> 32 && (uint32_t)*entry == 0, "only its half is changed");
    tap_ok(works(store_low, pte_make(page_a, PAGE_KERNEL)), "mov from nothing to page A");
    tap_is(seen(), page_a, "page A is mapped");
    tap_ok(works(store_low, b), "mov from one page to another");
    tap_is(seen(), page_b, "page B is mapped again");
}

static void test_read_modify_write(void)
{
    pte_t a = pte_make(page_a, PAGE_KERNEL), b = pte_make(page_b, PAGE_KERNEL), old;
    bool done;

    map(a);
    tap_ok(works(and_byte, 0xfd), "lock and of one byte takes RW away");
    tap_is(try_write(TARGET, 1), false, "the page cannot be written");
    tap_is(seen(), page_a, "but read");
    tap_ok(works(store_word, (uint16_t)a), "mov of two bytes gives it back");
    invalidate();
    tap_is(try_write(TARGET, page_a), true, "the page can be written");
    tap_ok(works(clear_bit, 0), "lock btr of the present bit");
    tap_is(seen(), 0xdead, "nothing is mapped");
    map(a);
    tap_ok(works(exchange_low, (uint32_t)b), "xchg of the lower half");
    tap_is(seen(), page_b, "page B is mapped");

    old = *entry;
    done = __sync_bool_compare_and_swap(entry, old, a);
    tap_ok(done && *entry == a, "cmpxchg8b that matches");
    tap_is(seen(), page_a, "page A is mapped");
    old = __sync_val_compare_and_swap(entry, b, 0);
    tap_ok(old == a && *entry == a, "cmpxchg8b that does not: the old value, unchanged");
    tap_ok(__sync_lock_test_and_set((volatile uint32_t *)entry, 0) == (uint32_t)a, "xchg's answer");
}

/* The half with the present bit should come last, but some write the other way round. */
static void test_wrong_order(void)
{
    map(pte_make(page_a, PAGE_KERNEL));
    tap_ok(works(store_high, 0x100000), "mov of an upper half that makes a bad entry");
    tap_is(*entry & PTE_P, 0, "it is not present now");
    tap_is(*entry >> 32, 0x100000, "and has that upper half");
    tap_is(seen(), 0xdead, "nothing is mapped");
    tap_ok(works(store_high, 0), "mov of a good upper half");
    tap_ok(works(store_low, pte_make(page_b, PAGE_KERNEL)), "then of the lower");
    tap_is(seen(), page_b, "page B is mapped");
}

/* --- refused ----------------------------------------------------------------------------------- */

/* It must be the guest's page fault: a write to a present page, and nothing changed. */
static void faults(void (*instruction)(void *), uint32_t operand, const char *what)
{
    struct trap_frame frame = {0};
    pte_t before = *entry;

    catch_fault(instruction, (void *)operand, &frame);
    if (!tap_ok(frame.vector == VECTOR_PF && frame.error == 3 && *entry == before, "%s", what))
        frame_print(&frame);
}

static void test_refusals(void)
{
    uint32_t table = va_to_mfn(entry), root = base_mfn();

    map(pte_make(page_a, PAGE_KERNEL));
    faults(store_low, pte_make(table, PAGE_KERNEL), "a page table, writable");
    faults(store_low, pte_make(root, PAGE_KERNEL), "the level-3 table, writable");
    tap_ok(works(store_low, pte_make(table, PAGE_KERNEL_RO)), "a page table, read-only: fine");
    faults(store_low, pte_make(table, PAGE_KERNEL), "and now writable");
    map(pte_make(page_a, PAGE_KERNEL));
    faults(store_low, pte_make(FOREIGN_FRAME, PAGE_KERNEL), "a frame of the hypervisor's");
    faults(store_low, pte_make(FOREIGN_FRAME, PAGE_KERNEL_RO), "the same, read-only");
    faults(store_across, 0, "a write across two entries");
    if (is_64bit_hypervisor())
        return;
    faults(store_low, pte_make(page_b, PAGE_KERNEL) | 0x100, "a global page, not for guests");
    faults(store_string, 0, "stosl, with which nobody writes page tables");
    hv_vm_assist(VMASST_CMD_disable, VMASST_TYPE_writable_pagetables);
    faults(store_low, 0, "without the assist");
    hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
    tap_ok(works(store_low, 0), "with it");
}

static void test_higher_levels(void)
{
    uint32_t root = base_mfn();
    volatile pte_t *l3 = pfn_to_linear(mfn_to_pfn(root));
    volatile pte_t *l2 = pfn_to_linear(mfn_to_pfn(pte_mfn(l3[3])));
    volatile pte_t *l1_entry = entry;

    entry = &l3[0];
    faults(store_low, 0, "a write to the level-3 table");
    entry = &l2[0];
    faults(store_low, 0, "a write to a level-2 table");
    entry = l1_entry;
}

/* Ring 3 cannot write a page table, whatever its mapping says. */
static void test_ring3(void)
{
    uint8_t *code = page_alloc();
    uint32_t table = USER_BASE + PAGE_SIZE;
    struct trap_frame frame;

    memcpy(code, "\x89\x03\xcd\x80", 4); /* mov %eax, (%ebx); int $0x80 */
    if (map_page((void *)USER_BASE, pte_make(linear_to_mfn(code), PAGE_USER)) ||
        map_page((void *)table, pte_make(va_to_mfn(entry), PAGE_USER_RO)))
        panic("no pages for ring 3");
    user_frame(&frame, USER_BASE, USER_BASE + PAGE_SIZE);
    frame.ebx = table + ((uint32_t)entry & (PAGE_SIZE - 1));
    user_run(&frame);
    tap_ok(frame.vector == VECTOR_PF && frame.error == 7, "ring 3: #PF");
}

int main(void)
{
    uint32_t *a = page_alloc(), *b = page_alloc();
    uint64_t address = pte_machine_address(TARGET);

    page_a = *a = linear_to_mfn(a);
    page_b = *b = linear_to_mfn(b);
    entry = (volatile pte_t *)((uint8_t *)pfn_to_linear(mfn_to_pfn(address >> PAGE_SHIFT)) +
                               (address & (PAGE_SIZE - 1)));
    map(0);
    if (!is_64bit_hypervisor())
        faults(store_low, 0, "before the assist is asked for");
    hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
    test_halves();
    test_read_modify_write();
    if (!is_64bit_hypervisor())
        test_wrong_order();
    test_refusals();
    test_higher_levels();
    test_ring3();
    tap_done();
}
