/* SPDX-License-Identifier: MIT */
/*
 * Log-dirty: a guest that writes the pages it says, in every way there is to write a page.
 *
 * It has an arena of 64 pages. For each command typed it writes some of them, reads others, and
 * prints which were written: the control domain's log of its writes, read before and after, must
 * name exactly those of the arena. The ways: from ring 1 and from ring 3, by a second mapping, by a
 * hypercall that answers into a buffer, through grants (mapped, copied by frame and by reference,
 * transferred), as a page table (by each way to change an entry, and by the processor that sets
 * Accessed and Dirty), by operations on whole pages, and from other vcpus.
 *
 * And nothing of what it sees may tell it that it is logged: entries it reads through its own
 * mapping of a page table are those it wrote, with the Accessed and Dirty bits a processor sets.
 *
 * The first word of its command line is its domain's number, for the grants to itself.
 *
 * Run: none (tests/system/test_logdirty.py types the commands)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/console.h>
#include <pv/event.h>
#include <pv/grant.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/trap.h>
#include <pv/vcpu.h>
#include <xen/version.h>
#include <xen/vcpu.h>

enum {
    ARENA = 64,
    USER_CODE = 6,
    USER_DATA = 7,
    TABLE = 24,
    SHOWN = 26, /* mapped by TABLE */
    VCPUS = 40, /* one page each, from the second vcpu on */
    ASKED = 44, /* counters: calls of and answers by the other vcpus */
    INFO = 48,  /* the second vcpu's vcpu_info */
    MAX_VCPUS = 4,
};

static char arena[ARENA][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

/* An L1 of our own, TABLE, maps SHOWN at its first entry's address. */
#define SHOWN_AT 0xE8000000u

static uint16_t own_domid;
static unsigned int vcpus = 1;
static char *window; /* an address with a page table, for a second mapping */

/* The pages that have been written since the command was typed. */
static bool written[ARENA];

static volatile char *write_page(unsigned int page)
{
    written[page] = true;
    return arena[page];
}

static int failures;

static void check(bool good, const char *what)
{
    if (!good) {
        printf("WRONG: %s\n", what);
        failures++;
    }
}

/* ---- Writes ---------------------------------------------------------------------------------- */

static void by_kernel(void)
{
    for (unsigned int i = 0; i < 6; i += 2)
        (void)*(volatile char *)arena[i];
    write_page(1)[0]++;
    write_page(3)[PAGE_SIZE - 1]++;
    write_page(5)[77]++;
    __asm__ volatile("lock addl $1, (%0)" : : "r"(write_page(5)) : "memory");
}

/* movl %eax, (%edx); int $0x80 */
static const char user_program[] = {'\x89', '\x02', '\xcd', '\x80'};

static void by_user(void)
{
    char *data = (char *)USER_BASE + PAGE_SIZE;
    struct trap_frame frame;

    memcpy((char *)write_page(USER_CODE), user_program, sizeof(user_program));
    map_page((void *)USER_BASE, pte_make(linear_to_mfn(arena[USER_CODE]), PAGE_USER));
    map_page(data, pte_make(linear_to_mfn(arena[USER_DATA]), PAGE_USER));
    user_frame(&frame, USER_BASE, USER_BASE + PAGE_SIZE);
    frame.edx = (uint32_t)data + 8;
    frame.eax++;
    user_run(&frame);
    check(frame.vector == VECTOR_SYSCALL, "ring 3 does not reach its system call");
    write_page(USER_DATA);
    map_page((void *)USER_BASE, 0);
    map_page(data, 0);
}

static void by_alias(void)
{
    map_page(window, pte_make(linear_to_mfn(arena[9]), PTE_P | PTE_RW));
    (void)*(volatile char *)window;
    map_page(window, pte_make(linear_to_mfn(arena[10]), PTE_P | PTE_RW));
    *(volatile char *)window = 1;
    write_page(10);
    map_page(window, 0);
}

/* Answers of hypercalls; the last lies on two pages. */
static void by_hypercall(void)
{
    check(hv_xen_version(XENVER_extraversion, (char *)write_page(11)) == 0, "extraversion");
    check(hv_xen_version(XENVER_capabilities, (char *)write_page(15) + PAGE_SIZE - 4) == 0,
          "capabilities");
    write_page(16);
    (void)*(volatile char *)arena[12];
}

static void by_grants(void)
{
    struct gnttab_copy copy = {.source.domid = DOMID_SELF, .dest.domid = DOMID_SELF, .len = 16};
    struct grant_map map;
    int ref = grant_access(own_domid, linear_to_mfn(arena[18]), true);

    copy.source.u.gmfn = linear_to_mfn(arena[17]);
    copy.dest.u.gmfn = linear_to_mfn(write_page(19));
    check(hv_grant_table_op(GNTTABOP_copy, &copy, 1) == 0 && !copy.status, "copy to a frame");
    copy.dest.u.ref = ref;
    copy.dest.domid = own_domid;
    copy.flags = GNTCOPY_dest_gref;
    check(hv_grant_table_op(GNTTABOP_copy, &copy, 1) == 0 && !copy.status, "copy to a grant");
    write_page(18);
    check(grant_end(ref), "the grant ends");

    ref = grant_access(own_domid, linear_to_mfn(arena[20]), true);
    check(grant_map(own_domid, ref, true, &map) == 0, "grant map");
    *(volatile char *)map.va = 1;
    write_page(20);
    check(grant_unmap(&map) == 0 && grant_end(ref), "grant unmap");
    ref = grant_access(own_domid, linear_to_mfn(arena[21]), false);
    check(grant_map(own_domid, ref, false, &map) == 0, "grant map to read");
    (void)*(volatile char *)map.va;
    check(grant_unmap(&map) == 0 && grant_end(ref), "grant unmap of what was read");
}

static void by_page_operations(void)
{
    struct mmuext_op op = {.cmd = MMUEXT_CLEAR_PAGE};

    op.arg1.mfn = linear_to_mfn(write_page(28));
    check(hv_mmuext_op(&op, 1, NULL, DOMID_SELF) == 0, "clear a page");
    op.cmd = MMUEXT_COPY_PAGE;
    op.arg1.mfn = linear_to_mfn(write_page(30));
    op.arg2.src_mfn = linear_to_mfn(arena[29]);
    check(hv_mmuext_op(&op, 1, NULL, DOMID_SELF) == 0, "copy a page");
    check(hv_update_descriptor((uint64_t)linear_to_mfn(write_page(32)) << PAGE_SHIFT, 0) == 0,
          "write a descriptor");
    struct mmu_update m = {.ptr = (uint64_t)linear_to_mfn(arena[34]) << PAGE_SHIFT |
                                  MMU_NORMAL_PT_UPDATE};
    write_page(34);
    check(hv_mmu_update(&m, 1, NULL, DOMID_SELF) == 0, "write a word");
}

/* A page that is given to oneself as what it was: with what it holds it is new to its receiver. */
static void by_transfer(void)
{
    static volatile struct grant_entry_v1 *entries;
    struct gnttab_transfer t = {.mfn = linear_to_mfn(arena[36]), .domid = own_domid, .ref = 100};
    struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = 1};
    xen_pfn_t frame;

    set_xen_guest_handle(setup.frame_list, &frame);
    if (!entries && hv_grant_table_op(GNTTABOP_setup_table, &setup, 1) == 0)
        entries = map_frames(DOMID_SELF, (uint32_t *)&frame, 1, true, NULL);
    entries[t.ref].domid = own_domid;
    entries[t.ref].frame = mfn_to_pfn(t.mfn);
    entries[t.ref].flags = GTF_accept_transfer;
    map_page(arena[36], 0);
    check(hv_grant_table_op(GNTTABOP_transfer, &t, 1) == 0 && !t.status, "a transfer to oneself");
    check(map_page(arena[36], pte_make(t.mfn, PAGE_KERNEL)) == 0, "the page is back");
    entries[t.ref].flags = 0;
    write_page(36);
}

/* ---- A page table ---------------------------------------------------------------------------- */

static volatile uint64_t *const table = (uint64_t *)arena[TABLE];

static pte_t shown(uint64_t flags)
{
    return pte_make(linear_to_mfn(arena[SHOWN]), PTE_P | PTE_RW | flags);
}

/* Its directory's entry is the hypervisor's to write. */
static void make_table(void)
{
    memset(arena[TABLE], 0, PAGE_SIZE);
    table[0] = shown(0);
    write_page(TABLE);
    check(install_table((void *)SHOWN_AT, arena[TABLE], 2), "a table");
}

/* A page table is saved with its pin: where it is one already, nothing else changes. */
static void pin_table(void)
{
    check(mmuext_frame(MMUEXT_PIN_L1_TABLE, linear_to_mfn(arena[TABLE]), DOMID_SELF) == 0, "a pin");
    write_page(TABLE);
}

static void unpin_table(void)
{
    check(mmuext_frame(MMUEXT_UNPIN_TABLE, linear_to_mfn(arena[TABLE]), DOMID_SELF) == 0, "unpin");
    write_page(TABLE);
}

/* All marks of the page's use are gone, and no translation is left that would be used without. */
static void set_shown(uint64_t flags)
{
    check(hv_update_va_mapping((void *)SHOWN_AT, shown(flags), UVMF_INVLPG | UVMF_LOCAL) == 0,
          "update_va_mapping");
    write_page(TABLE);
}

static void by_mmu_update(void)
{
    struct mmu_update m = {.ptr = pte_machine_address((void *)(SHOWN_AT + PAGE_SIZE))};

    check(hv_mmu_update(&m, 1, NULL, DOMID_SELF) == 0, "mmu_update");
    write_page(TABLE);
}

static void by_va_mapping(void)
{
    set_shown(0);
}

/* Entry 2 is not present, and becomes something else that is not. */
static void by_table_write(void)
{
    hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
    ((volatile uint32_t *)table)[4] += 2;
    write_page(TABLE);
}

static void read_shown(void)
{
    set_shown(PTE_A);
    (void)*(volatile char *)SHOWN_AT;
    check(table[0] == shown(PTE_A), "reading changes an entry that was accessed");
}

/* The table was written before; here it is by the processor alone. */
static void accessed(void)
{
    (void)*(volatile char *)SHOWN_AT;
    check(table[0] == shown(PTE_A), "reading sets Accessed, and nothing else");
    write_page(TABLE);
}

static void dirtied(void)
{
    *(volatile char *)SHOWN_AT = 1;
    check(table[0] == shown(PTE_A | PTE_D), "writing sets Dirty");
    write_page(SHOWN);
    write_page(TABLE);
}

/* Not a bit changes but in the page itself. */
static void write_again(void)
{
    *(volatile char *)SHOWN_AT = 2;
    check(table[0] == shown(PTE_A | PTE_D), "writing again changes the entry");
    write_page(SHOWN);
}

/* The page beside it was written by its other address, but not by this one. */
static void beside(void)
{
    volatile char *at = (volatile char *)SHOWN_AT;
    pte_t second = pte_make(linear_to_mfn(arena[SHOWN + 1]), PTE_P | PTE_RW | PTE_A);

    write_page(SHOWN + 1)[0]++;
    hv_update_va_mapping((void *)(SHOWN_AT + PAGE_SIZE), second, UVMF_TLB_FLUSH | UVMF_LOCAL);
    write_page(TABLE);
    (void)at[0];
    (void)at[PAGE_SIZE];
    check(table[1] == second, "reading sets Dirty");
    at[PAGE_SIZE] = 1;
    check(table[1] == (second | PTE_D), "writing a page that is dirty by another entry");
}

static void write_shown(void *unused)
{
    (void)unused;
    *(volatile char *)SHOWN_AT = 1;
}

/* Error codes tell what the guest's own tables say: SDM vol. 3, figure 4-12. */
static void faults(void)
{
    struct trap_frame frame;

    hv_update_va_mapping((void *)SHOWN_AT, shown(PTE_A) & ~PTE_RW, UVMF_TLB_FLUSH | UVMF_LOCAL);
    check(catch_fault(write_shown, NULL, &frame) && frame.vector == VECTOR_PF, "no page fault");
    check(frame.error == 3 && fault_address() == SHOWN_AT, "the fault of a read-only page");
    hv_update_va_mapping((void *)SHOWN_AT, 0, UVMF_NONE);
    check(catch_fault(write_shown, NULL, &frame) && frame.error == 2, "the fault of no page");
    write_page(TABLE);
}

static void protected(void)
{
    pte_t read_only = shown(PTE_A | PTE_D) & ~PTE_RW;

    check(hv_update_va_mapping((void *)SHOWN_AT, read_only, UVMF_INVLPG | UVMF_LOCAL) == 0, "RO");
    write_page(TABLE);
    check(!try_write((uint32_t *)SHOWN_AT, 1), "a read-only page is written");
    check(table[0] == read_only, "its entry changes");
    check(hv_xen_version(XENVER_extraversion, (void *)SHOWN_AT) < 0, "nor by a hypercall");
}

/* Take the page away, show another one, take its rights, all with flushes as one owes. */
static void replaced(void)
{
    volatile uint32_t *at = (volatile uint32_t *)SHOWN_AT;
    uint32_t word;

    *(volatile uint32_t *)write_page(SHOWN) = 0x1111;
    *(volatile uint32_t *)write_page(SHOWN + 1) = 0x2222;
    set_shown(0);
    check(*at == 0x1111, "the first page");
    hv_update_va_mapping((void *)SHOWN_AT, pte_make(linear_to_mfn(arena[SHOWN + 1]), PTE_P),
                         UVMF_INVLPG | UVMF_LOCAL);
    check(*at == 0x2222, "the second page");
    hv_update_va_mapping((void *)SHOWN_AT, 0, UVMF_TLB_FLUSH | UVMF_LOCAL);
    check(!try_read((void *)SHOWN_AT, &word), "no page");
    set_shown(0);
    check(*at == 0x1111, "the first page again");
    *at = 0x3333;
    check(*(volatile uint32_t *)arena[SHOWN] == 0x3333, "it is the page itself");
}

/* ---- Other vcpus ----------------------------------------------------------------------------- */

static evtchn_t call[MAX_VCPUS];

struct counters {
    volatile uint32_t asked, answered[MAX_VCPUS];
};

static void other_vcpu(void *data)
{
    unsigned int id = (uintptr_t)data;
    struct counters *c = (struct counters *)arena[ASKED];

    for (;;) {
        if (c->answered[id] == c->asked) {
            vcpu_wait(call[id]);
            continue;
        }
        (void)*(volatile char *)arena[VCPUS + id + 10];
        arena[VCPUS + id][id] = 1;
        c->answered[id] = c->asked;
    }
}

static void by_vcpus(void)
{
    struct counters *c = (struct counters *)write_page(ASKED);

    c->asked++;
    for (unsigned int i = 1; i < vcpus; i++)
        event_send(call[i]);
    for (unsigned int i = 1; i < vcpus; i++) {
        while (c->answered[i] != c->asked)
            __asm__ volatile("pause");
        write_page(VCPUS + i);
    }
}

static void start_vcpus(void)
{
    struct vcpu_register_vcpu_info info = {.mfn = linear_to_mfn(arena[INFO])};

    for (; vcpus < MAX_VCPUS; vcpus++) {
        int port = vcpu_bind_ipi(vcpus);

        if (port < 0)
            break;
        call[vcpus] = port;
        if (vcpus == 1)
            check(hv_vcpu_op(VCPUOP_register_vcpu_info, 1, &info) == 0, "register_vcpu_info");
        check(vcpu_start(vcpus, other_vcpu, (void *)(uintptr_t)vcpus) == 0, "a vcpu starts");
    }
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void nothing(void)
{
}

static const struct {
    const char *name;
    void (*run)(void);
} commands[] = {
    {"nothing", nothing},
    {"kernel", by_kernel},
    {"user", by_user},
    {"alias", by_alias},
    {"hypercall", by_hypercall},
    {"grants", by_grants},
    {"operations", by_page_operations},
    {"transfer", by_transfer},
    {"table", make_table},
    {"pin", pin_table},
    {"unpin", unpin_table},
    {"mmu_update", by_mmu_update},
    {"va_mapping", by_va_mapping},
    {"table_write", by_table_write},
    {"read_shown", read_shown},
    {"va_mapping", by_va_mapping},
    {"accessed", accessed},
    {"dirtied", dirtied},
    {"write_again", write_again},
    {"beside", beside},
    {"protected", protected},
    {"faults", faults},
    {"replaced", replaced},
    {"vcpus", by_vcpus},
    {"kernel", by_kernel},
};

/* A frame the hypervisor writes by itself is written in each round. */
static void run(unsigned int i)
{
    memset(written, 0, sizeof(written));
    if (vcpus > 1)
        written[INFO] = true;
    commands[i].run();
    printf("%s wrote", commands[i].name);
    for (unsigned int page = 0; page < ARENA; page++)
        if (written[page])
            printf(" %u", ((uintptr_t)arena[page] - VIRT_BASE) >> PAGE_SHIFT);
    printf("; %d wrong\n", failures);
}

int main(int argc, char **argv)
{
    char line[16];

    own_domid = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    window = window_alloc(1);
    map_page(window, 0);
    start_vcpus();
    printf("%u vcpus; arena at page %u, %u commands\n", vcpus,
           ((uintptr_t)arena - VIRT_BASE) >> PAGE_SHIFT, sizeof(commands) / sizeof(commands[0]));
    for (;;) {
        printf("number> ");
        console_readline(line, sizeof(line));
        unsigned long i = strtoul(line, NULL, 10);
        if (line[0] && i < sizeof(commands) / sizeof(commands[0]))
            run(i);
    }
}
