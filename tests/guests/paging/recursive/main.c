/* SPDX-License-Identifier: MIT */
/*
 * A page table that shows itself: the recursive map that BSD kernels live by.
 *
 * A kernel likes to find the entry of any address at a fixed place. It lets four slots of one
 * directory name the four directories themselves; the processor, walking there, takes directories
 * for page tables, and the page tables appear as pages of an 8 MiB window. Under this ABI the map
 * is read-only. For the directory with the hypervisor's entries NetBSD names a shadow in the fourth
 * slot, another directory with its own entries alone; FreeBSD names the directory itself, and Ringlet
 * then sees to it that it shows nothing of the hypervisor's.
 *
 * This guest builds such a tree as a second root, runs on it, reads entries through the window of
 * either kind, and through a directory that names itself, sees writes to it refused, and takes
 * everything apart again. In between, while the directory is named, one vcpu changes its entries
 * and another reads what they map: at once, whether it was waiting, running or idle.
 *
 * Run: qemu bochs
 * Machine: smp=2
 */
#include <stdlib.h>

#include <pv/time.h>
#include <pv/vcpu.h>
#include <xen/sched.h>

#include "../../attack.h"

#define WINDOW_DIRECTORY 2 /* the slot of the root whose directory has the window */
#define WINDOW_SLOT 508    /* first of four slots of that directory */
#define WINDOW ((WINDOW_DIRECTORY << 30) + (WINDOW_SLOT << 21))
#define KERNEL_SLOT (VIRT_BASE >> 30)
#define QUIET_SLOT ((QUIET_VA - VIRT_BASE) >> 21) /* of the kernel's directory */
#define SELF_SLOT (QUIET_SLOT + 1)
#define ROUNDS 300

static pte_t *root, *directories[4], *shadow;
static uint32_t old_root;
static volatile uint32_t asked, answered, was_read;

static volatile const pte_t *window_entry(const volatile void *va)
{
    return (volatile const pte_t *)WINDOW + ((uint32_t)va >> PAGE_SHIFT);
}

static pte_t link_to(const pte_t *table)
{
    return pte_make(linear_to_mfn(table), PTE_P | PTE_A);
}

/* Fill root, directories and shadow, still ordinary pages; then map them read-only. */
static void build(void)
{
    const pte_t *kernel = directory_of(VIRT_BASE);

    root = page_alloc();
    shadow = page_alloc();
    for (int i = 0; i < 4; i++) {
        directories[i] = page_alloc();
        root[i] = pte_make(linear_to_mfn(directories[i]), PTE_P);
    }
    for (uint32_t slot = 0; slot < FIRST_HYPERVISOR_SLOT; slot++)
        shadow[slot] = directories[KERNEL_SLOT][slot] = kernel[slot];
    for (int i = 0; i < 3; i++)
        directories[WINDOW_DIRECTORY][WINDOW_SLOT + i] = link_to(directories[i]);
    for (int i = 0; i < 4; i++)
        make_readonly(directories[i]);
    make_readonly(shadow);
    make_readonly(root);
}

static uint64_t window_slot(int i)
{
    return entry_of(directories[WINDOW_DIRECTORY], WINDOW_SLOT + i);
}

static void test_refusals(void)
{
    tap_ok(write_entry(window_slot(3), link_to(shadow) | PTE_RW) < 0, "a writable link is refused");
    tap_ok(write_entry(window_slot(3), link_to(page_alloc())) < 0,
           "a link to a page that could be written is refused");
}

static void test_window(void)
{
    uint32_t *page = page_alloc();
    pte_t entry = pte_make(linear_to_mfn(page), PAGE_KERNEL_RO), bits = PTE_FRAME | PTE_RW | PTE_P;

    tap_ok((*window_entry(page) & bits) == (pte_read(page, 1) & bits),
           "an address's entry stands in the window");
    tap_is(hv_update_va_mapping(page, entry, UVMF_INVLPG), 0, "the entry is changed");
    tap_ok((*window_entry(page) & bits) == (entry & bits), "and the window shows it");
    tap_ok((*window_entry((void *)window_entry(page)) & PTE_FRAME) ==
               (pte_read(page, 2) & PTE_FRAME),
           "twice through the window is the directory");
    tap_ok(!try_write((void *)window_entry(page), 0), "the window cannot be written");
    tap_is(write_entry(((uint64_t)pte_mfn(pte_read(page, 2)) << PAGE_SHIFT) |
                           ((uint32_t)window_entry(page) & (PAGE_SIZE - 1)),
                       pte_make(linear_to_mfn(page), PAGE_KERNEL)),
           0, "an entry found in the window is changed by its machine address");
    hv_update_va_mapping(page, pte_make(linear_to_mfn(page), PAGE_KERNEL), UVMF_INVLPG);
    page[0] = 0x5e1f;
    tap_ok(page[0] == 0x5e1f, "and the page can be written again");
    page_free(page);
}

/* What maps va, level 2: the entry that the window shows for va's entry in it. */
static volatile const pte_t *window_directory_entry(const volatile void *va)
{
    return window_entry(window_entry(va));
}

static void test_top(void)
{
    const pte_t *top = directories[KERNEL_SLOT],
                *self = (const pte_t *)(VIRT_BASE + (SELF_SLOT << 21));
    unsigned int different = 0, shown = 0;
    uint32_t word;

    tap_is(write_entry(window_slot(3), link_to(top)), 0, "the kernel's directory, in its place");
    test_window();
    tap_is(write_entry(entry_of(top, SELF_SLOT), link_to(top)), 0, "and named by itself");
    for (uint32_t slot = 0; slot < FIRST_HYPERVISOR_SLOT; slot++) {
        const char *va = (const char *)VIRT_BASE + (slot << 21);

        different += *window_directory_entry(va) != top[slot];
        if (top[slot])
            different += ((const pte_t *)(WINDOW + (3 << 21)))[slot * 512] != self[slot * 512];
    }
    tap_is(different, 0, "its entries and its tables' are the same, whichever way they are read");
    for (uint32_t slot = FIRST_HYPERVISOR_SLOT; slot < 512; slot++) {
        shown += try_read((void *)window_entry((const char *)VIRT_BASE + (slot << 21)), &word);
        shown += try_read((void *)&self[slot * 512], &word);
    }
    tap_is(shown, 0, "no page of the hypervisor shows");
    tap_ok(!try_write((void *)self, 0), "nothing can be written so");
}

static void sleep_a_little(void)
{
    struct sched_poll poll = {.timeout = time_now() + 20000};

    hv_sched_op(SCHEDOP_poll, &poll);
}

/* The other vcpu: reads where it is told to. It waits for that running, and every other time idle. */
static void reader(void *data)
{
    (void)data;
    if (mmuext_frame(MMUEXT_NEW_BASEPTR, linear_to_mfn(root), DOMID_SELF))
        panic("no root of one's own");
    for (uint32_t round = 1;; round++) {
        while (asked != round) {
            if (round % 2)
                sleep_a_little();
        }
        if (round > ROUNDS)
            break;
        was_read = *(volatile uint32_t *)QUIET_VA;
        __atomic_store_n(&answered, round, __ATOMIC_SEQ_CST);
    }
    mmuext_frame(MMUEXT_NEW_BASEPTR, old_root, DOMID_SELF);
    __atomic_store_n(&answered, ROUNDS + 1, __ATOMIC_SEQ_CST);
    for (;;)
        hv_sched_op(SCHEDOP_block, NULL);
}

static void ask(uint32_t round)
{
    __atomic_store_n(&asked, round, __ATOMIC_SEQ_CST);
    while (answered != round)
        hv_sched_op(SCHEDOP_yield, NULL);
}

static void test_changes(void)
{
    uint64_t where = entry_of(directories[KERNEL_SLOT], QUIET_SLOT);
    unsigned int own = 0, others = 0;
    pte_t *tables[2];

    for (int i = 0; i < 2; i++) {
        uint32_t *page = page_alloc();

        page[0] = i + 1;
        tables[i] = new_directory(0, pte_make(linear_to_mfn(page), PAGE_KERNEL));
    }
    if (vcpu_start(1, reader, NULL))
        panic("there is no second vcpu");
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        if (write_entry(where, pte_make(linear_to_mfn(tables[i % 2]), TABLE_FLAGS)))
            panic("no table of one's own");
        own += *(volatile uint32_t *)QUIET_VA != i % 2 + 1;
        ask(i);
        others += was_read != i % 2 + 1;
        write_entry(where, 0);
        mmuext_frame(MMUEXT_TLB_FLUSH_ALL, 0, DOMID_SELF);
    }
    tap_is(own, 0, "this one sees each of %d changes of the directory", ROUNDS);
    tap_is(others, 0, "and so does the other");
    ask(ROUNDS + 1);
}

static void take_apart(void)
{
    tap_is(write_entry(entry_of(directories[KERNEL_SLOT], SELF_SLOT), 0), 0,
           "the directory names itself no more");
    tap_is(mmuext_frame(MMUEXT_NEW_BASEPTR, old_root, DOMID_SELF), 0, "back to the first root");
    tap_is(pin(root, MMUEXT_UNPIN_TABLE), 0, "the second root is unpinned");
    tap_is(pin(shadow, MMUEXT_UNPIN_TABLE), 0, "and the shadow");
    tap_ok(make_writable(root) == 0 && make_writable(shadow) == 0, "both are ordinary pages");
    for (int i = 0; i < 4; i++)
        tap_is(make_writable(directories[i]), 0, "and directory %d", i);
}

int main(void)
{
    old_root = base_mfn();
    /* The kernel's directory is copied: what printf needs has to be mapped by then. */
    free(malloc(64 * 1024));
    build();
    tap_is(pin(shadow, MMUEXT_PIN_L2_TABLE), 0, "the shadow is pinned");
    tap_is(pin(root, MMUEXT_PIN_L3_TABLE), 0,
           "a root whose directory names three, itself among them");
    tap_is(mmuext_frame(MMUEXT_NEW_BASEPTR, linear_to_mfn(root), DOMID_SELF), 0, "it is run on");
    test_refusals();
    tap_is(write_entry(window_slot(3), link_to(shadow)), 0, "the shadow completes the window");
    test_window();
    test_top();
    test_changes();
    take_apart();
    tap_audit();
    tap_done();
}
