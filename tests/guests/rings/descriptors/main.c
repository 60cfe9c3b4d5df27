/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: what a guest may put into its GDT and LDT, and what the processor then makes of it.
 *
 * Segments are all that keeps ring 1 from the hypervisor, so every descriptor is looked at before it
 * is installed: DPL 0 becomes 1, limits end before the hypervisor, system descriptors are refused
 * but for call gates that lead to ring 1 at most. What passes works as the manual says: a call gate
 * from ring 3 into ring 1, on the stack the TSS names; conforming code that runs in its caller's
 * ring; data that grows down. An LDT's pages are looked at when they are first used.
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

enum { ENTRIES = 512, SLOT = 9, GATE_SLOT = 10 };

#define SELECTOR(slot, rpl) ((slot) << 3 | (rpl))

/* Fields of the high word. */
#define PRESENT (1u << 15)
#define DPL(n) ((uint32_t)(n) << 13)
#define CODE (PRESENT | 0x1a00)       /* execute, read */
#define CONFORMING (PRESENT | 0x1e00) /* execute, read, conforming */
#define DATA (PRESENT | 0x1200)       /* read, write */
#define DATA_DOWN (PRESENT | 0x1600)  /* read, write, expand-down */
#define SYSTEM(type) (PRESENT | (type) << 8)
#define BITS32 0x00400000u
#define PAGES 0x00800000u

static uint64_t *gdt;
static volatile bool enforced; /* somebody checks limits here */

static uint64_t segment(uint32_t base, uint32_t limit, uint32_t bits)
{
    uint32_t low = base << 16 | (limit & 0xffff);
    uint32_t high = (base & 0xff000000) | (base >> 16 & 0xff) | (limit & 0xf0000) | bits;

    return (uint64_t)high << 32 | low;
}

static uint64_t gate(uint16_t selector, uint32_t offset, uint32_t bits, uint32_t parameters)
{
    uint32_t low = (uint32_t)selector << 16 | (offset & 0xffff);

    return (uint64_t)((offset & 0xffff0000) | bits | parameters) << 32 | low;
}

static int install(unsigned int slot, uint64_t descriptor)
{
    return hv_update_descriptor(((uint64_t)va_to_mfn(gdt) << PAGE_SHIFT) + slot * 8, descriptor);
}

static bool is_64bit_hypervisor(void)
{
    xen_capabilities_info_t capabilities = "";

    hv_xen_version(XENVER_capabilities, capabilities);
    return strstr(capabilities, "x86_64") != NULL;
}

static uint32_t access_rights(uint16_t selector)
{
    uint32_t rights = 0;

    __asm__("lar %1, %0" : "+r"(rights) : "r"((uint32_t)selector) : "cc");
    return rights;
}

static uint32_t limit(uint16_t selector)
{
    uint32_t last = 0;

    __asm__("lsl %1, %0" : "+r"(last) : "r"((uint32_t)selector) : "cc");
    return last;
}

/* --- what is installed -------------------------------------------------------------------------- */

static void accepted(uint64_t descriptor, uint32_t dpl, uint32_t last, const char *what)
{
    uint32_t rights;

    if (!tap_is(install(SLOT, descriptor), 0, "%s is installed", what))
        return;
    rights = access_rights(SELECTOR(SLOT, 1));
    tap_is(rights >> 13 & 3, dpl, "%s: DPL", what);
    if (!is_64bit_hypervisor())
        tap_is(limit(SELECTOR(SLOT, 1)), last, "%s: limit", what);
}

static void refused(uint64_t descriptor, const char *what)
{
    uint64_t before = gdt[SLOT];

    tap_ok(install(SLOT, descriptor) == -XEN_EINVAL && gdt[SLOT] == before, "%s: refused", what);
}

static void test_segments(void)
{
    const uint32_t flat = BITS32 | PAGES, end = LIMIT_END - 1;

    accepted(segment(0, 0xfffff, CODE | DPL(0) | flat), 1, end, "flat code for ring 0");
    accepted(segment(0, 0xfffff, DATA | DPL(0) | flat), 1, end, "flat data for ring 0");
    accepted(segment(0, 0xfffff, CONFORMING | DPL(0) | flat), 1, end, "conforming code for ring 0");
    accepted(segment(0, 0xfffff, DATA | DPL(3) | flat), 3, end, "flat data for ring 3");
    accepted(segment(0x1000, 0xfffff, DATA | DPL(3) | flat), 3, end - 0x1000, "data with a base");
    accepted(segment(0x1001, 0xfffff, DATA | DPL(3) | flat), 3, 0xf67fdfff, "an uneven base");
    accepted(segment(0, 0x12345, DATA | DPL(3) | BITS32), 3, 0x12345, "a limit in bytes");
    accepted(segment(0, 0x800, DATA | DPL(3) | flat), 3, 0x800fff, "a limit in pages");
    accepted(segment(0xf67ff000, 0xfffff, DATA | DPL(3) | flat), 3, 0xfff, "the last page");
    tap_is(install(SLOT, 0), 0, "an empty descriptor is installed");
    tap_is(install(SLOT, ~0ull & ~((uint64_t)PRESENT << 32)), 0, "anything that is not present");
    if (is_64bit_hypervisor())
        return;
    refused(segment(LIMIT_END, 0, DATA | DPL(3) | flat), "the hypervisor's first page");
    refused(segment(LIMIT_END - 1, 0, DATA | DPL(3) | flat), "a page that ends in it");
    refused(segment(0xffffffff, 0xfffff, DATA | DPL(3) | flat), "a base of -1");
    refused(segment(LIMIT_END - 0x100, 0x100, DATA | DPL(3) | BITS32), "a byte too many");
    refused(segment(LIMIT_END, 0xfffff, DATA_DOWN | DPL(3) | flat), "down from the hypervisor");
    refused(segment(LIMIT_END - 0xffff, 0, DATA_DOWN | DPL(3)), "16-bit, down, a byte too many");
}

static void test_system_types(void)
{
    refused(segment(0, 0x67, SYSTEM(1)), "a 16-bit TSS");
    refused(segment(0, 0xfff, SYSTEM(2)), "an LDT");
    refused(gate(FLAT_KERNEL_CS, 0, SYSTEM(4), 0), "a 16-bit call gate");
    refused(gate(FLAT_KERNEL_CS, 0, SYSTEM(5), 0), "a task gate");
    refused(segment(0, 0x67, SYSTEM(9)), "a TSS");
    refused(segment(0, 0x67, SYSTEM(11)), "a busy TSS");
    refused(gate(FLAT_KERNEL_CS, 0, SYSTEM(14), 0), "an interrupt gate");
    refused(gate(FLAT_KERNEL_CS, 0, SYSTEM(15), 0), "a trap gate");
    refused(gate(0xe008, 0, SYSTEM(12) | DPL(3), 0), "a call gate into ring 0");
    refused(gate(0xe009, 0, SYSTEM(12) | DPL(3), 0), "a call gate into ring 0, RPL 1");
    refused(gate(0xe040, 0, SYSTEM(12) | DPL(3), 0), "a call gate to the hypervisor's TSS");
    refused(gate(FLAT_KERNEL_CS, 0, SYSTEM(12) | DPL(3), 0x20), "a call gate with a reserved bit");
    tap_is(install(SLOT, SYSTEM(0)), 0, "type 0, which nothing can use");
    if (is_64bit_hypervisor()) /* there are no 32-bit call gates: Xen emulates them */
        return;
    tap_is(install(SLOT, gate(0xe018, 0, SYSTEM(12) | DPL(0), 0)), 0, "a call gate for ring 0");
    tap_ok((gdt[SLOT] >> 45 & 3) == 1 && (gdt[SLOT] >> 16 & 3) == 1, "its DPL and RPL are lifted");
}

/* --- what the processor makes of them ----------------------------------------------------------- */

/*
 * What the gates lead to: note where it runs, and return. As ring 3 may run it too (conforming), it
 * lies in ring 3's page, and touches nothing.
 */
__asm__(".pushsection .rodata\n"
        "gate_target: movl %cs, %ebx\n"
        "movl %ss, %ecx\n"
        "movl %esp, %edx\n"
        "movl 8(%esp), %esi\n" /* the first parameter, above eip and cs */
        "lret $4\n"
        "gate_target_end:\n"
        ".popsection\n");
extern const char gate_target[], gate_target_end[];

#define TARGET (USER_BASE + 0x100)
#define STACK (USER_BASE + PAGE_SIZE)

static void write_user_code(const uint8_t *code, uint32_t length)
{
    memcpy((void *)USER_BASE, code, length);
    memcpy((void *)TARGET, gate_target, gate_target_end - gate_target);
}

/* push $0x1234; lcall to selector:TARGET; int $0x80 - in ring 3 */
static struct trap_frame far_call(uint16_t selector, uint32_t offset)
{
    uint8_t code[] = {0x68, 0x34, 0x12, 0, 0, 0x9a, 0, 0, 0, 0, 0, 0, 0xcd, 0x80};
    struct trap_frame f;

    memcpy(code + 6, &offset, 4);
    memcpy(code + 10, &selector, 2);
    write_user_code(code, sizeof(code));
    user_frame(&f, USER_BASE, STACK);
    user_run(&f);
    return f;
}

static void test_call_gate(void)
{
    struct trap_frame f;

    install(GATE_SLOT, gate(FLAT_KERNEL_CS, TARGET, SYSTEM(12) | DPL(3), 1));
    f = far_call(SELECTOR(GATE_SLOT, 3), 0xdeadbeef);
    if (!tap_ok(f.vector == VECTOR_SYSCALL && f.esp == STACK, "a call gate from ring 3 and back"))
        frame_print(&f);
    tap_is(f.ebx & 0xffff, FLAT_KERNEL_CS, "it ran in ring 1");
    tap_is(f.ecx & 0xffff, read_ss(), "on the kernel's stack segment");
    tap_ok(f.edx > VIRT_BASE, "and the kernel's stack");
    tap_is(f.esi, 0x1234, "to which the parameter was copied");

    install(GATE_SLOT, gate(FLAT_KERNEL_CS, TARGET, SYSTEM(12) | DPL(1), 1));
    f = far_call(SELECTOR(GATE_SLOT, 3), 0);
    tap_ok(f.vector == VECTOR_GP && f.error == SELECTOR(GATE_SLOT, 0), "a gate with DPL 1: #GP");
    install(SLOT, segment(0, 0xfffff, CODE | DPL(3) | BITS32 | PAGES));
    install(GATE_SLOT, gate(SELECTOR(SLOT, 3), TARGET, SYSTEM(12) | DPL(3), 1));
    f = far_call(SELECTOR(GATE_SLOT, 3), 0);
    tap_ok(f.vector == VECTOR_SYSCALL && (f.ebx & 3) == 3 && f.esi == 0x1234,
           "a gate to ring 3 stays there");
    install(GATE_SLOT, gate(FLAT_KERNEL_CS, TARGET, (SYSTEM(12) | DPL(3)) & ~PRESENT, 1));
    f = far_call(SELECTOR(GATE_SLOT, 3), 0);
    tap_ok(f.vector == VECTOR_NP && f.error == SELECTOR(GATE_SLOT, 0), "a gate not present: #NP");
}

static void test_conforming(void)
{
    struct trap_frame f;

    install(SLOT, segment(0, 0xfffff, CONFORMING | DPL(0) | BITS32 | PAGES));
    f = far_call(SELECTOR(SLOT, 3), TARGET);
    tap_ok(f.vector == VECTOR_SYSCALL && (f.ebx & 0xffff) == SELECTOR(SLOT, 3),
           "conforming code of ring 0 runs in ring 3");
    install(SLOT, segment(0, 0xfffff, CODE | DPL(0) | BITS32 | PAGES));
    f = far_call(SELECTOR(SLOT, 3), TARGET);
    tap_ok(f.vector == VECTOR_GP && f.error == SELECTOR(SLOT, 0), "other code of ring 0: #GP");
}

/* mov %eax, %fs; mov %fs:(%ebx), %ecx; int $0x80 - in ring 3 */
static struct trap_frame read_through(uint16_t selector, uint32_t offset)
{
    static const uint8_t code[] = {0x8e, 0xe0, 0x64, 0x8b, 0x0b, 0xcd, 0x80};
    struct trap_frame f;

    write_user_code(code, sizeof(code));
    user_frame(&f, USER_BASE, STACK);
    f.eax = selector;
    f.ebx = offset;
    user_run(&f);
    return f;
}

static void limit_case(uint16_t selector, uint32_t offset, bool inside, const char *what)
{
    struct trap_frame f;

    if (!inside && !enforced) {
        tap_skip("no limits here", "%s", what);
        return;
    }
    f = read_through(selector, offset);
    if (!tap_ok(f.vector == (inside ? VECTOR_SYSCALL : VECTOR_GP) && (inside || f.error == 0), "%s",
                what))
        frame_print(&f);
}

static void test_limits(void)
{
    uint16_t selector = SELECTOR(SLOT, 3);
    struct trap_frame f;

    install(SLOT, segment(USER_BASE, 0xff, DATA | DPL(3) | BITS32));
    f = read_through(selector, 0xfd);
    enforced = f.vector == VECTOR_GP;
    tap_diag("segment limits are %s here", enforced ? "enforced" : "NOT enforced");
    limit_case(selector, 0xfc, true, "the last four bytes of a segment");
    limit_case(selector, 0xfd, false, "one byte further");
    install(SLOT, segment(USER_BASE, 0xff, DATA_DOWN | DPL(3)));
    limit_case(selector, 0x100, true, "expand-down: the first bytes above the limit");
    limit_case(selector, 0xff, false, "the byte at the limit");
    install(SLOT, segment(0, 0xfffff, DATA | DPL(1) | BITS32 | PAGES));
    f = read_through(selector, 0);
    tap_ok(f.vector == VECTOR_GP && f.error == SELECTOR(SLOT, 0), "data of ring 1 in ring 3: #GP");
    install(SLOT, segment(0, 0xfffff, (DATA | DPL(3) | BITS32 | PAGES) & ~PRESENT));
    f = read_through(selector, 0);
    tap_ok(f.vector == VECTOR_NP && f.error == SELECTOR(SLOT, 0), "data not present: #NP");
    f = read_through(SELECTOR(ENTRIES + 1, 3), 0);
    tap_ok(f.vector == VECTOR_GP, "a selector beyond the table: #GP");
}

/* --- the LDT ------------------------------------------------------------------------------------- */

#define LDT ((uint64_t *)(WINDOW_END - 0x200000))

static int set_ldt(const void *base, uint32_t entries)
{
    struct mmuext_op op = {.cmd = MMUEXT_SET_LDT};

    op.arg1.linear_addr = (uint32_t)base;
    op.arg2.nr_ents = entries;
    return hv_mmuext_op(&op, 1, NULL, DOMID_SELF);
}

static void map_ldt_page(unsigned int page, uint64_t first_entry, uint64_t flags)
{
    uint64_t *contents = page_alloc();

    contents[0] = first_entry;
    map_page(contents, pte_make(linear_to_mfn(contents), PAGE_KERNEL_RO));
    if (map_page(LDT + 512 * page, pte_make(linear_to_mfn(contents), flags)))
        panic("no page for the LDT");
}

#define LDT_SELECTOR(page) ((uint16_t)((page)*512 << 3 | 4 | 3))

static void test_ldt(void)
{
    const uint64_t flat = segment(0, 0xfffff, DATA | DPL(3) | BITS32 | PAGES);
    struct trap_frame f;

    map_ldt_page(0, flat, PAGE_KERNEL_RO);
    map_ldt_page(1, flat, PAGE_KERNEL_RO);
    map_ldt_page(2, gate(0xe008, 0, SYSTEM(12) | DPL(3), 0), PAGE_KERNEL_RO);
    tap_is(set_ldt(LDT + 1, 8), -XEN_EINVAL, "an LDT must begin a page");
    if (!is_64bit_hypervisor())
        tap_is(set_ldt((void *)0xf5800000, 8), -XEN_EINVAL, "it cannot lie in the hypervisor");
    tap_is(set_ldt(LDT, 8193), -XEN_EINVAL, "it cannot have more than 8192 entries");
    tap_is(set_ldt(LDT, 4 * 512), 0, "an LDT of four pages, the last one missing");
    f = read_through(LDT_SELECTOR(0), USER_BASE);
    tap_is(f.vector, VECTOR_SYSCALL, "its first page is used");
    f = read_through(LDT_SELECTOR(1), USER_BASE);
    tap_is(f.vector, VECTOR_SYSCALL, "its second page is used");
    f = read_through(LDT_SELECTOR(2), USER_BASE);
    tap_ok(f.vector == VECTOR_PF && fault_address() == (uint32_t)(LDT + 2 * 512),
           "its third, with a gate into ring 0, is a #PF there");
    f = read_through(LDT_SELECTOR(3), USER_BASE);
    tap_ok(f.vector == VECTOR_PF && fault_address() == (uint32_t)(LDT + 3 * 512),
           "its fourth, which is missing, is a #PF there");
    f = read_through(LDT_SELECTOR(4), USER_BASE);
    tap_ok(f.vector == VECTOR_GP && f.error == (LDT_SELECTOR(4) & ~3), "beyond its end: #GP");
    tap_ok(map_page(LDT, pte_make(va_to_mfn(LDT), PAGE_KERNEL)) != 0,
           "a page in use cannot be mapped writable");
    map_ldt_page(3, flat, PAGE_KERNEL_RO);
    f = read_through(LDT_SELECTOR(3), USER_BASE);
    tap_is(f.vector, VECTOR_SYSCALL, "the fourth page, once it is there");
    tap_is(set_ldt(NULL, 0), 0, "no LDT");
    f = read_through(LDT_SELECTOR(0), USER_BASE);
    tap_ok(f.vector == VECTOR_GP && f.error == (LDT_SELECTOR(0) & ~3), "its selectors are #GP");
    tap_ok(map_page(LDT, pte_make(va_to_mfn(LDT), PAGE_KERNEL)) == 0, "its page is free again");
}

/*
 * XSA-298: call gates from where no descriptors are. Xen emulated calls through gates for 32-bit
 * guests, and read the descriptor without a look at the LDT's limit: where the kernel had no LDT, or
 * a short one, a program could put gates of its choice there. Here the page behind a short LDT's
 * end holds a good gate, and a program calls through it.
 */
static void test_gates_beyond_the_ldt(void)
{
    const uint64_t good = gate(FLAT_KERNEL_CS, TARGET, SYSTEM(12) | DPL(3), 1);
    uint64_t *contents = page_alloc();
    struct trap_frame f;

    contents[0] = contents[1] = contents[511] = good;
    map_page(contents, pte_make(linear_to_mfn(contents), PAGE_KERNEL_RO));
    map_page(LDT, pte_make(linear_to_mfn(contents), PAGE_KERNEL_RO));
    tap_is(set_ldt(LDT, 1), 0, "an LDT of one entry, a call gate");
    f = far_call(LDT_SELECTOR(0), 0);
    tap_ok(f.vector == VECTOR_SYSCALL && f.esi == 0x1234, "it leads to ring 1 and back");
    f = far_call(LDT_SELECTOR(0) + 8, 0);
    tap_ok(f.vector == VECTOR_GP && f.error == 12, "the gate behind it: #GP");
    f = far_call(LDT_SELECTOR(1) - 8, 0);
    tap_ok(f.vector == VECTOR_GP && f.error == (511 << 3 | 4), "the last one of the page: #GP");
    tap_is(set_ldt(LDT, 0), 0, "no LDT");
    f = far_call(LDT_SELECTOR(0), 0);
    tap_ok(f.vector == VECTOR_GP && f.error == 4, "the first one: #GP");
}

int main(void)
{
    void *page = page_alloc();
    unsigned long mfn;

    if (map_page((void *)USER_BASE, pte_make(linear_to_mfn(page), PAGE_USER)))
        panic("no page for ring 3");
    gdt = page_alloc();
    mfn = va_to_mfn(gdt);
    if (map_page(gdt, pte_make(mfn, PAGE_KERNEL_RO)) || hv_set_gdt(&mfn, ENTRIES))
        panic("no GDT");
    test_segments();
    test_system_types();
    test_call_gate();
    test_conforming();
    test_limits();
    test_ldt();
    test_gates_beyond_the_ldt();
    tap_done();
}
