/* SPDX-License-Identifier: MIT */
/*
 * Vectors: all 256 of a guest's virtual IDT, from ring 1 and ring 3.
 *
 * `int n` in a guest meets a real gate it may not use, and the hypervisor plays the processor with
 * the guest's own table: the entry's DPL decides who may call it, its interrupt-gate flag whether
 * events are masked on the way, and the frame is that of a gate, ss:esp only where the ring changes.
 * Three vectors are special: 3 and 4, whose instructions the processor checks against the real gate,
 * which everybody may use, and 0x80, which goes straight to ring 1.
 *
 * Then every exception a guest can cause by itself, with its error code; exceptions inside handlers;
 * the NMI, which is none of these and has a callback of its own; and virtual-8086 mode, which is
 * never entered.
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <string.h>

#include <xen/callback.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define EFLAGS_VM 0x00020000u
#define VECTOR_XM 19 /* SIMD error */

static uint8_t *code; /* ring 3's page, at USER_BASE */

/* --- a trap table of our own ------------------------------------------------------------------ */

/* What the latest `int n` pushed, and the event mask its handler found. */
struct arrival {
    uint32_t vector, eip, cs, eflags, esp, ss, mask;
} arrival;
volatile uint8_t *arrival_mask;

/*
 * 256 stubs of 16 bytes: each notes its arrival, clears the event mask and returns. ds is flat in
 * both rings.
 */
__asm__(".pushsection .text\n"
        ".balign 16\n"
        "arrival_stubs:\n"
        ".set number, 0\n"
        ".rept 256\n"
        ".balign 16\n"
        "pushl $number\n"
        "jmp arrive\n"
        ".set number, number + 1\n"
        ".endr\n"
        "arrive:\n"
        "pushl %eax\n"
        "movl 4(%esp), %eax; movl %eax, arrival\n"
        "movl 8(%esp), %eax; movl %eax, arrival + 4\n"
        "movl 12(%esp), %eax; movl %eax, arrival + 8\n"
        "movl 16(%esp), %eax; movl %eax, arrival + 12\n"
        "movl 20(%esp), %eax; movl %eax, arrival + 16\n"
        "movl 24(%esp), %eax; movl %eax, arrival + 20\n"
        "movl arrival_mask, %eax\n"
        "movzbl (%eax), %eax; movl %eax, arrival + 24\n"
        "movl arrival_mask, %eax; movb $0, (%eax)\n"
        "popl %eax\n"
        "addl $4, %esp\n"
        "iret\n"
        ".popsection");
extern const char arrival_stubs[256][16];

static void set_vector(unsigned int vector, unsigned int flags)
{
    struct trap_info table[2] = {{.vector = vector,
                                  .flags = flags,
                                  .cs = FLAT_KERNEL_CS,
                                  .address = (unsigned long)arrival_stubs[vector]}};

    if (hv_set_trap_table(table) != 0)
        panic("vector %u: set_trap_table refused", vector);
    arrival.vector = ~0u;
    arrival.mask = ~0u;
}

/* int n, written anew for each n, in ring 1. */
static void call_vector(void *address)
{
    __asm__ volatile("call *%0" : : "r"(address) : "memory", "cc", "eax", "ecx", "edx");
}

/*
 * `int n` in a ring, at `code`, behind it what ends the run. false: an exception, in *f; its eip is
 * that of the instruction if it was refused.
 */
static bool int_n(int ring, unsigned int n, struct trap_frame *f)
{
    uint8_t end = n == 0x80 ? 0x0b : 0x80; /* ud2 or int $0x80 */

    memcpy(code, (uint8_t[]){0xcd, n, n == 0x80 ? 0x0f : 0xcd, end, 0xc3}, 5);
    if (ring == 1) {
        memcpy(code + 2, "\xc3", 1);
        return !catch_fault(call_vector, (void *)USER_BASE, f);
    }
    user_frame(f, USER_BASE, USER_BASE + PAGE_SIZE);
    user_run(f);
    return f->eip >= USER_BASE + 2;
}

static bool arrived(int ring, unsigned int n, unsigned int flags)
{
    bool masked = flags & 4;

    if (arrival.vector != n || arrival.eip != USER_BASE + 2 || arrival.mask != masked ||
        (arrival.cs & 0xffff) != (ring == 1 ? FLAT_KERNEL_CS : FLAT_USER_CS) ||
        (arrival.eflags & (EFLAGS_IF | EFLAGS_IOPL)) != EFLAGS_IF)
        return false;
    return ring == 1 ||
           ((arrival.ss & 0xffff) == FLAT_USER_SS && arrival.esp == USER_BASE + PAGE_SIZE);
}

/* Only #GP says no, and its own handler must be there to say it. */
static bool refused(unsigned int n, const struct trap_frame *f)
{
    return arrival.vector == ~0u && f->vector == VECTOR_GP && f->error == n * 8 + 2 &&
           f->eip == USER_BASE;
}

static bool is_64bit_hypervisor(void)
{
    xen_capabilities_info_t capabilities = "";

    hv_xen_version(XENVER_capabilities, capabilities);
    return strstr(capabilities, "x86_64") != NULL;
}

/* Every vector with this DPL and flag, called from this ring. */
static void test_vectors(int ring, unsigned int flags)
{
    bool may = (int)(flags & 3) >= ring;
    unsigned int first_bad = 256;
    struct trap_frame f = {0};

    if (is_64bit_hypervisor() && !may) { /* QEMU 7.2 gets the error code wrong in 64-bit mode */
        tap_skip("a 64-bit hypervisor", "ring %d: int 0 to 255 with DPL %u", ring, flags & 3);
        return;
    }
    for (unsigned int n = 0; n < 256; n++) {
        bool everybodys = n == VECTOR_BP || n == VECTOR_OF, came;

        if ((n == 0x82 && ring == 1) || (n == VECTOR_GP && !may))
            continue;
        set_vector(n, flags);
        int_n(ring, n, &f);
        came = may || everybodys ? arrived(ring, n, flags) : refused(n, &f);
        trap_init();
        if (!came && first_bad == 256) {
            first_bad = n;
            tap_diag("int %#x: vector %x eip %08x cs %08x eflags %08x mask %u", n, arrival.vector,
                     arrival.eip, arrival.cs, arrival.eflags, arrival.mask);
            frame_print(&f);
        }
    }
    tap_is(first_bad, 256, "ring %d: int 0 to 255 with DPL %u, %s: %s", ring, flags & 3,
           flags & 4 ? "masking events" : "events on", may ? "delivered" : "#GP");
}

static void test_absent(int ring)
{
    struct trap_frame f = {0};

    hv_set_trap_table(NULL);
    trap_init();
    arrival.vector = ~0u;
    int_n(ring, 0x21, &f);
    tap_ok(refused(0x21, &f), "ring %d: a vector without an entry: #GP", ring);
}

/* --- exceptions ------------------------------------------------------------------------------- */

/* Position-independent code, run in ring 1 where it is and in ring 3 as a copy. */
#define SNIPPET(name, text)                                               \
    __asm__(".pushsection .rodata.snippets, \"a\"\n" #name ": " text "\n" \
            "int $0x80\n" #name "_end:\n.popsection");                    \
    extern const char name[], name##_end[]

/* clang-format off */
SNIPPET(divide, "xorl %ecx, %ecx; divl %ecx");
SNIPPET(icebp, ".byte 0xf1");
SNIPPET(breakpoint, "int3");
SNIPPET(overflow, "movb $0x7f, %al; addb $1, %al; into");
SNIPPET(bounds, "pushl $2; pushl $1; movl $3, %eax; boundl %eax, (%esp)");
SNIPPET(undefined, "ud2");
SNIPPET(not_present, "movl $0x43, %eax; movl %eax, %fs");
SNIPPET(bad_stack, "movl $0x43, %eax; movl %eax, %ss");
SNIPPET(bad_kernel_stack, "movl $0x49, %eax; movl %eax, %ss");
SNIPPET(beyond_table, "movl $0x8b, %eax; movl %eax, %fs");
SNIPPET(unmapped, "movl 0x1000, %eax");
SNIPPET(fpu_error, "fninit; pushl $0x37b; fldcw (%esp); fld1; fldz; fdivrp; fwait");
SNIPPET(misaligned, "pushfl; orl $0x40000, (%esp); popfl; movl 1(%esp), %eax");
SNIPPET(simd_error, "pushl $0x1d80; ldmxcsr (%esp); xorps %xmm0, %xmm0; pushl $0x3f800000; "
                    "movss (%esp), %xmm1; divss %xmm0, %xmm1");
SNIPPET(stop, "hlt");
/* clang-format on */

struct exception {
    const char *name, *code, *end;
    uint32_t vector, error;
    enum { ALWAYS, RING1, RING3, PROCESSOR } when; /* PROCESSOR: not with QEMU's TCG */
};

/* clang-format off */
#define CODE(name) #name, name, name##_end
static const struct exception exceptions[] = {
    {CODE(divide), VECTOR_DE, 0, ALWAYS},
    {CODE(icebp), VECTOR_DB, 0, PROCESSOR},
    {CODE(breakpoint), VECTOR_BP, 0, ALWAYS},
    {CODE(overflow), VECTOR_OF, 0, ALWAYS},
    {CODE(bounds), VECTOR_BR, 0, ALWAYS},
    {CODE(undefined), VECTOR_UD, 0, ALWAYS},
    {CODE(not_present), VECTOR_NP, 0x40, ALWAYS},
    {CODE(bad_stack), VECTOR_SS, 0x40, RING3},
    {CODE(bad_kernel_stack), VECTOR_SS, 0x48, RING1},
    {CODE(beyond_table), VECTOR_GP, 0x88, ALWAYS},
    {CODE(unmapped), VECTOR_PF, 0, ALWAYS},
    {CODE(fpu_error), VECTOR_MF, 0, ALWAYS},
    {CODE(misaligned), VECTOR_AC, 0, PROCESSOR},
    {CODE(simd_error), VECTOR_XM, 0, PROCESSOR},
    {CODE(stop), VECTOR_GP, 0, ALWAYS},
};
/* clang-format on */

static bool limits_checked; /* a processor, or Bochs, which leaves nothing out */

/* A GDT with data segments that are not present, 8 with DPL 3 and 9 with DPL 1; it ends at 16. */
static void make_gdt(void)
{
    uint64_t *gdt = page_alloc();
    unsigned long mfn = va_to_mfn(gdt);

    gdt[8] = 0x00cf72000000ffffull;
    gdt[9] = 0x00cf32000000ffffull;
    if (map_page(gdt, pte_make(mfn, PAGE_KERNEL_RO)) || hv_set_gdt(&mfn, 16))
        panic("no GDT");
}

static void test_exception(int ring, const struct exception *e)
{
    uint32_t error = e->vector == VECTOR_PF && ring == 3 ? 4 : e->error;
    bool exempt = e->vector == VECTOR_AC && ring == 1; /* only ring 3's accesses are checked */
    struct trap_frame f = {0};

    if ((ring == 3 && e->when == RING1) || (ring == 1 && e->when == RING3))
        return;
    if (!limits_checked && e->when == PROCESSOR) {
        tap_skip("QEMU raises none", "ring %d: %s", ring, e->name);
        return;
    }
    memcpy(code, e->code, e->end - e->code);
    if (ring == 1) {
        catch_fault(call_vector, (void *)USER_BASE, &f);
    } else {
        user_frame(&f, USER_BASE, USER_BASE + PAGE_SIZE - 64);
        user_run(&f);
    }
    __asm__ volatile("fninit; pushl $0x202; popfl" : : : "memory", "cc");
    if (e->vector == VECTOR_XM)
        __asm__ volatile("pushl $0x1f80; ldmxcsr (%%esp); addl $4, %%esp" : : : "memory");
    if (exempt)
        tap_is(f.vector, VECTOR_SYSCALL, "ring 1: %s is no exception there", e->name);
    else if (!tap_ok(f.vector == e->vector && f.error == error && (f.cs & 3) == (uint32_t)ring,
                     "ring %d: %s is %s, error code %04x", ring, e->name, vector_name(e->vector),
                     error))
        frame_print(&f);
}

static void test_exceptions(void)
{
    uint32_t word;

    limits_checked = !is_64bit_hypervisor() && !try_read((void *)LIMIT_END, &word);
    make_gdt();
    for (int ring = 1; ring <= 3; ring += 2)
        for (unsigned int i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
            test_exception(ring, &exceptions[i]);
}

/* --- handlers that fault themselves ----------------------------------------------------------- */

static unsigned int depth, deepest;

static bool deeper(struct trap_frame *frame)
{
    if (++depth > deepest)
        deepest = depth;
    if (depth < 8)
        __asm__ volatile("ud2");
    depth--;
    frame->eip += 2;
    return true;
}

static bool fault_in_handler(struct trap_frame *frame)
{
    uint32_t word;

    if (!try_read((void *)0x1000, &word))
        frame->eax = 0x600d;
    frame->eip += 2;
    return true;
}

static void test_nested(void)
{
    struct trap_frame f;
    uint32_t eax = 0;

    trap_hook(VECTOR_UD, deeper);
    __asm__ volatile("ud2");
    tap_ok(deepest == 8 && depth == 0, "eight exceptions, each in the handler of the last");
    trap_hook(VECTOR_UD, fault_in_handler);
    __asm__ volatile("ud2" : "+a"(eax));
    tap_is(eax, 0x600d, "a page fault in a handler, in ring 1");
    memcpy(code, "\x0f\x0b\xcd\x80", 4);
    user_frame(&f, USER_BASE, USER_BASE + PAGE_SIZE);
    user_run(&f);
    tap_ok(f.vector == VECTOR_SYSCALL && f.eax == 0x600d, "in a handler for ring 3");
    trap_hook(VECTOR_UD, NULL);
}

/* --- NMI -------------------------------------------------------------------------------------- */

/* Counts, looks at the mask, and ends by the iret hypercall, which lets the next NMI in. */
volatile uint32_t nmis, nmi_cs;
volatile uint8_t nmi_mask;
__asm__(".pushsection .text\n"
        "nmi_callback:\n"
        "pushl %eax\n"
        "incl %ss:nmis\n"
        "movl 8(%esp), %eax; movl %eax, %ss:nmi_cs\n"
        "movl %ss:arrival_mask, %eax; movb %ss:(%eax), %al; movb %al, %ss:nmi_mask\n"
        "cmpl $1, %ss:nmis; jne 1f\n"
        "movl $24, %eax; pushl %ebx; pushl %ecx; pushl %edx\n" /* vcpu_op: another to itself */
        "movl $11, %ebx; xorl %ecx, %ecx; xorl %edx, %edx; int $0x82\n"
        "movl %ss:nmis, %eax; movl %eax, %ss:nmis_inside\n"
        "popl %edx; popl %ecx; popl %ebx\n"
        "1: popl %eax\n"
        "jmp hypercall_page + 23 * 32\n"
        ".popsection");
extern const char nmi_callback[];
volatile uint32_t nmis_inside;

static void test_nmi(void)
{
    struct callback_register r = {.type = CALLBACKTYPE_nmi,
                                  .address = {FLAT_KERNEL_CS, (unsigned long)nmi_callback}};
    struct callback_unregister u = {.type = CALLBACKTYPE_nmi};

    tap_is(hv_callback_op(CALLBACKOP_register, &r), 0, "an NMI callback");
    events_off();
    tap_is(hv_vcpu_op(VCPUOP_send_nmi, 0, NULL), 0, "an NMI to oneself, and one from its handler");
    tap_is(nmis_inside, 1, "NMIs do not nest");
    tap_is(nmis, 2, "the second came at the end of the first");
    tap_ok(nmi_mask == 1 && nmi_cs == (FLAT_KERNEL_CS | 1u << 16),
           "the event mask does not matter");
    events_on();
    tap_is(hv_callback_op(CALLBACKOP_unregister, &u), 0, "no callback");
    hv_vcpu_op(VCPUOP_send_nmi, 0, NULL);
    tap_is(nmis, 2, "an NMI then is held back");
}

/* --- virtual-8086 mode ------------------------------------------------------------------------ */

static void test_vm86(void)
{
    uint32_t flags;

    if (limits_checked) {
        __asm__ volatile("pushfl; orl %1, (%%esp); pushl %%cs; pushl $1f; iret\n1: pushfl; popl %0"
                         : "=r"(flags)
                         : "i"(EFLAGS_VM)
                         : "memory", "cc");
        tap_is(flags & EFLAGS_VM, 0, "ring 1: iret does not set VM");
    } else {
        tap_skip("QEMU's IRET enters it from any ring", "ring 1: iret does not set VM");
    }
    __asm__ volatile("pushfl; orl %1, (%%esp); popfl; pushfl; popl %0"
                     : "=r"(flags)
                     : "i"(EFLAGS_VM)
                     : "memory", "cc");
    tap_is(flags & EFLAGS_VM, 0, "ring 1: popf does not set VM");
}

int main(void)
{
    code = page_alloc();
    if (map_page((void *)USER_BASE, pte_make(linear_to_mfn(code), PAGE_USER)))
        panic("no page for ring 3");
    arrival_mask = &vcpu()->evtchn_upcall_mask;
    for (int ring = 1; ring <= 3; ring += 2) {
        for (unsigned int flags = 0; flags < 8; flags++)
            if ((flags & 3) != 2)
                test_vectors(ring, flags);
        test_absent(ring);
    }
    test_exceptions();
    test_nested();
    test_nmi();
    test_vm86();
    tap_done();
}
