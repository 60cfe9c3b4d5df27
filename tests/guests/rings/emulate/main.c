/* SPDX-License-Identifier: MIT */
/*
 * Emulate: what a kernel written for ring 0 can still do in ring 1.
 *
 * Privileged instructions are #GP in ring 1. The hypervisor carries the ABI's list of them out on
 * the guest's virtual processor, and leaves the others faults. Each case runs one instruction with
 * chosen registers, in ring 1 or ring 3, and looks at the state it stopped in: at the `int $0x80`
 * behind the instruction if it was carried out, at the instruction itself if it faulted.
 *
 *  - CR0 shows the virtual TS and lets nothing else be changed; CR2, CR3, CR4; CLTS; #NM
 *  - MSRs: a short list, #GP otherwise, and 0 for a kernel that has no #GP handler yet
 *  - CPUID by the forced prefix: the hypervisor's leaves, features hidden
 *  - ports against virtual IOPL, the guest's port bitmap and what the domain owns; IN, OUT, INS,
 *    OUTS in all sizes, repeated, both directions, faulting halfway
 *  - CLI and STI under virtual IOPL touch nothing; RDTSC under CR4.TSD; WBINVD; debug registers
 *  - where the instruction lies: across pages, in a segment with a base, single-stepped
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <xen/physdev.h>
#include <xen/version.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

/* --- running one instruction ------------------------------------------------------------------ */

/* Position-independent code and the system call behind it, which says it was got past. */
#define SNIPPET(name, text)                                                          \
    __asm__(".pushsection .rodata.snippets, \"a\"\n" #name ": " text "\nint $0x80\n" \
            ".popsection");                                                          \
    extern const char name[]

__asm__(".pushsection .rodata.snippets, \"a\"\nsnippets:\n.popsection");
extern const char snippets[], snippets_end[];

/* clang-format off */
SNIPPET(read_cr0, "movl %cr0, %eax");
SNIPPET(write_cr0, "movl %eax, %cr0");
SNIPPET(read_cr2, "movl %cr2, %eax");
SNIPPET(write_cr2, "movl %eax, %cr2");
SNIPPET(read_cr3, "movl %cr3, %esi");
SNIPPET(write_cr3, "movl %esi, %cr3");
SNIPPET(read_cr4, "movl %cr4, %ebx");
SNIPPET(write_cr4, "movl %ebx, %cr4");
SNIPPET(clear_ts, "clts");
SNIPPET(fpu, "fninit");
SNIPPET(read_msr, "rdmsr");
SNIPPET(write_msr, "wrmsr");
SNIPPET(read_tsc, "rdtsc");
SNIPPET(read_counter, "rdpmc");
SNIPPET(write_back, "wbinvd");
SNIPPET(clear_if, "cli");
SNIPPET(set_if, "sti");
SNIPPET(halt, "hlt");
SNIPPET(forced_cpuid, ".byte 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2");
SNIPPET(forced_rdtsc, ".byte 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0x31");
SNIPPET(forced_nothing, ".byte 0x0f, 0x0b, 'x', 'e', 'm', 0x0f, 0xa2");
SNIPPET(in_b, "inb %dx, %al");
SNIPPET(in_w, "inw %dx, %ax");
SNIPPET(in_l, "inl %dx, %eax");
SNIPPET(in_imm, "inb $0x21, %al");
SNIPPET(out_b, "outb %al, %dx");
SNIPPET(out_imm, "outb %al, $0x80");
SNIPPET(lock_in, ".byte 0xf0, 0xec");
SNIPPET(ins_b, "insb");
SNIPPET(ins_l, "insl");
SNIPPET(rep_ins_b, "rep insb");
SNIPPET(rep_ins_w, "rep insw");
SNIPPET(rep_ins_b_back, "std; rep insb; cld");
SNIPPET(rep_ins_b_16, ".byte 0x67; rep insb");
SNIPPET(rep_outs_b, "rep outsb");
SNIPPET(rep_outs_l, "rep outsl");
SNIPPET(outs_fs, "outsb %fs:(%esi), (%dx)");
SNIPPET(write_dr0, "movl %eax, %dr0");
SNIPPET(read_dr0, "movl %dr0, %ecx");
SNIPPET(write_dr7, "movl %eax, %dr7");
SNIPPET(read_dr7, "movl %dr7, %eax");
SNIPPET(read_dr6, "movl %dr6, %eax");
/* clang-format on */

__asm__(".pushsection .rodata.snippets, \"a\"\nsnippets_end:\n.popsection");

#define CODE_END (USER_BASE + 0x800) /* ring 3's page: the snippets, its stack at the end */
#define DATA ((volatile uint8_t *)(USER_BASE + PAGE_SIZE)) /* a page both rings may write */

/* Nothing comes back from here: the code ends in an exception. */
static void enter(void *argument)
{
    __asm__ volatile("pushl %1\n\t"
                     "movl %c2(%%eax), %%ecx\n\t"
                     "movl %c3(%%eax), %%edx\n\t"
                     "movl %c4(%%eax), %%ebx\n\t"
                     "movl %c5(%%eax), %%esi\n\t"
                     "movl %c6(%%eax), %%edi\n\t"
                     "movl %c7(%%eax), %%eax\n\t"
                     "ret"
                     :
                     : "a"(argument), "m"(((struct trap_frame *)argument)->eip),
                       "i"(offsetof(struct trap_frame, ecx)), "i"(offsetof(struct trap_frame, edx)),
                       "i"(offsetof(struct trap_frame, ebx)), "i"(offsetof(struct trap_frame, esi)),
                       "i"(offsetof(struct trap_frame, edi)), "i"(offsetof(struct trap_frame, eax))
                     : "memory");
}

/* Run a snippet with the registers of *f in a ring; *f is what it stopped in, esp and ss aside. */
static void run(int ring, const char *code, struct trap_frame *f)
{
    struct trap_frame in = *f;

    if (ring == 1) {
        in.eip = (uint32_t)code;
        catch_fault(enter, &in, f);
        return;
    }
    user_frame(f, USER_BASE + (code - snippets), USER_BASE + PAGE_SIZE);
    f->eax = in.eax;
    f->ecx = in.ecx;
    f->edx = in.edx;
    f->ebx = in.ebx;
    f->esi = in.esi;
    f->edi = in.edi;
    user_run(f);
}

static bool passed(const struct trap_frame *f)
{
    return f->vector == VECTOR_SYSCALL;
}

static bool ok_or_show(bool ok, const struct trap_frame *f, const char *what)
{
    if (!tap_ok(ok, "%s", what))
        frame_print(f);
    return ok;
}

/* It must be carried out. */
static struct trap_frame does(int ring, const char *code, struct trap_frame f, const char *what)
{
    run(ring, code, &f);
    ok_or_show(passed(&f), &f, what);
    return f;
}

/* It must be #GP(0), every register as it was. */
static void faults(int ring, const char *code, struct trap_frame in, const char *what)
{
    struct trap_frame f = in;

    run(ring, code, &f);
    ok_or_show(f.vector == VECTOR_GP && f.error == 0 && f.eax == in.eax && f.ecx == in.ecx &&
                   f.edx == in.edx && f.esi == in.esi && f.edi == in.edi,
               &f, what);
}

static const struct trap_frame nothing;

static bool is_64bit_hypervisor(void)
{
    xen_capabilities_info_t capabilities = "";

    hv_xen_version(XENVER_capabilities, capabilities);
    return strstr(capabilities, "x86_64") != NULL;
}

/* --- control registers ------------------------------------------------------------------------ */

#define CR0_TS 8u
#define CR0_PE_PG 0x80000001u
#define CR4_TSD 4u
#define CR4_DE 8u
#define CR4_PAE 0x20u

/* newlib's printf uses the FPU: nothing is printed while TS is set. */
static void test_cr0(void)
{
    struct trap_frame before = nothing, set = nothing, clear = nothing, nm = nothing, f = nothing;
    uint32_t cr0;

    hv_fpu_taskswitch(0);
    run(1, read_cr0, &before);
    hv_fpu_taskswitch(1);
    run(1, read_cr0, &set);
    run(1, clear_ts, &f);
    run(1, read_cr0, &clear);
    cr0 = before.eax;
    ok_or_show(passed(&before), &before, "mov from CR0");
    tap_is(cr0 & (CR0_PE_PG | CR0_TS), CR0_PE_PG, "CR0 shows PE and PG, not TS");
    tap_is(set.eax ^ cr0, CR0_TS, "fpu_taskswitch sets TS and nothing else");
    ok_or_show(passed(&f), &f, "clts");
    tap_is(clear.eax, cr0, "it cleared TS");

    f = (struct trap_frame){.eax = cr0 | CR0_TS};
    run(1, write_cr0, &f);
    run(1, fpu, &nm);
    clear = nothing;
    run(1, read_cr0, &clear);
    ok_or_show(passed(&f), &f, "mov to CR0 sets TS");
    tap_is(nm.vector, VECTOR_NM, "an FPU instruction is #NM then");
    tap_is(clear.eax, cr0, "#NM cleared TS");
    does(1, fpu, nothing, "the FPU instruction works");

    faults(1, write_cr0, (struct trap_frame){.eax = cr0 ^ 0x10000}, "mov to CR0 of another WP");
    faults(1, write_cr0, (struct trap_frame){.eax = cr0 & 0x7fffffff}, "mov to CR0 without PG");
    faults(3, read_cr0, nothing, "ring 3: mov from CR0");
    faults(3, clear_ts, nothing, "ring 3: clts");
}

static void test_cr2_cr3(void)
{
    uint32_t folded = xen_pfn_to_cr3(base_mfn());
    struct trap_frame f;

    does(1, write_cr2, (struct trap_frame){.eax = 0x12345678}, "mov to CR2");
    f = does(1, read_cr2, nothing, "mov from CR2");
    tap_is(f.eax, 0x12345678, "CR2 holds what was written");
    tap_is(fault_address(), 0x12345678, "and so does vcpu_info");
    f = does(1, read_cr3, nothing, "mov from CR3");
    tap_is(f.esi, folded, "CR3 is the level-3 table's frame, folded");
    does(1, write_cr3, (struct trap_frame){.esi = folded}, "mov to CR3 of the same");
    faults(1, write_cr3, (struct trap_frame){.esi = xen_pfn_to_cr3(va_to_mfn((void *)DATA))},
           "mov to CR3 of a page that is no table");
    faults(1, write_cr3, (struct trap_frame){.esi = xen_pfn_to_cr3(0xfffff)},
           "mov to CR3 of a frame that does not exist");
    faults(3, read_cr3, nothing, "ring 3: mov from CR3");
}

static void test_cr4(void)
{
    struct trap_frame f = does(1, read_cr4, nothing, "mov from CR4");
    uint32_t cr4 = f.ebx;

    tap_is(cr4 & CR4_PAE, CR4_PAE, "CR4 shows PAE");
    does(1, write_cr4, (struct trap_frame){.ebx = 0}, "mov to CR4 of 0");
    f = does(1, read_cr4, nothing, "mov from CR4 again");
    tap_is(f.ebx & CR4_PAE, CR4_PAE, "PAE is still there");

    does(1, write_cr4, (struct trap_frame){.ebx = cr4 | CR4_TSD}, "mov to CR4 sets TSD");
    does(1, read_tsc, nothing, "ring 1 reads the TSC under TSD");
    faults(3, read_tsc, nothing, "ring 3 does not");
    does(1, write_cr4, (struct trap_frame){.ebx = cr4 & ~CR4_TSD}, "mov to CR4 clears TSD");
    f = does(3, read_tsc, nothing, "ring 3 reads the TSC again");
    tap_ok(f.eax || f.edx, "the TSC is not zero");
    faults(3, write_cr4, (struct trap_frame){.ebx = cr4}, "ring 3: mov to CR4");
}

/* --- MSRs ------------------------------------------------------------------------------------- */

static void test_msrs(void)
{
    struct trap_frame f;

    f = does(1, read_msr, (struct trap_frame){.ecx = 0x1b}, "rdmsr APIC_BASE");
    tap_is(f.eax, 0xfee00900, "it is what a boot processor has");
    f = does(1, read_msr, (struct trap_frame){.ecx = 0xc0000080}, "rdmsr EFER");
    tap_is(f.eax & 0x500, 0, "no long mode in it");
    does(1, write_msr, (struct trap_frame){.ecx = 0xc0000080, .eax = f.eax, .edx = f.edx},
         "wrmsr EFER of the same");
    does(1, read_msr, (struct trap_frame){.ecx = 0x10}, "rdmsr TSC");
    does(1, read_msr, (struct trap_frame){.ecx = 0x277}, "rdmsr PAT");
    f = does(1, read_msr, (struct trap_frame){.ecx = 0x1d9, .eax = 1, .edx = 1}, "rdmsr DEBUGCTL");
    tap_ok(f.eax == 0 && f.edx == 0, "DEBUGCTL: nothing is on");
    f = does(1, read_msr, (struct trap_frame){.ecx = 0x179, .eax = 1, .edx = 1}, "rdmsr MCG_CAP");
    tap_ok(f.eax == 0 && f.edx == 0, "no machine-check banks");
    f = does(1, read_msr, (struct trap_frame){.ecx = 0xfe, .eax = 1, .edx = 1}, "rdmsr MTRR_CAP");
    tap_ok(f.eax == 0 && f.edx == 0, "no memory-type ranges");
    does(1, write_msr, (struct trap_frame){.ecx = 0x17a}, "wrmsr MCG_STATUS of zero");
    faults(1, write_msr, (struct trap_frame){.ecx = 0x17a, .eax = 1}, "wrmsr MCG_STATUS");
    faults(1, read_msr, (struct trap_frame){.ecx = 0x174, .eax = 1, .edx = 2}, "rdmsr SYSENTER_CS");
    faults(1, write_msr, (struct trap_frame){.ecx = 0x176, .eax = 0x1000}, "wrmsr SYSENTER_EIP");
    faults(1, write_msr, (struct trap_frame){.ecx = 0x1b, .eax = 0xfee00800}, "wrmsr APIC_BASE");
    faults(1, write_msr, (struct trap_frame){.ecx = 0x40000000, .eax = 0x1001},
           "wrmsr of a second hypercall page");
    faults(3, read_msr, (struct trap_frame){.ecx = 0x10}, "ring 3: rdmsr TSC");
    faults(3, write_msr, (struct trap_frame){.ecx = 0x10}, "ring 3: wrmsr TSC");
    faults(1, read_counter, nothing, "rdpmc: CPUID shows no counters");
}

/* A hypercall page by MSR, as CPUID leaf 0x40000002 offers: in a page of one's own, writable. */
static void test_hypercall_msr(void)
{
    uint8_t *page = page_alloc();
    uint64_t address = (uint64_t)linear_to_mfn(page) << PAGE_SHIFT;

    does(1, write_msr, (struct trap_frame){.ecx = 0x40000000, .eax = address, .edx = address >> 32},
         "wrmsr of a hypercall page");
    tap_is(memcmp(page + 17 * 32, hypercall_page[17], 12), 0, "it holds the same stub");
    address = (uint64_t)base_mfn() << PAGE_SHIFT;
    faults(1, write_msr,
           (struct trap_frame){.ecx = 0x40000000, .eax = address, .edx = address >> 32},
           "wrmsr of a page table as hypercall page");
}

/* Without a #GP handler a fault would be the end of the domain: an MSR that exists reads 0. */
static void test_msr_without_handler(void)
{
    uint32_t low = 1, high = 2;

    hv_set_trap_table(NULL);
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0x174));
    trap_init();
    tap_ok(low == 0 && high == 0, "rdmsr without a #GP handler reads 0");
}

/* --- CPUID ------------------------------------------------------------------------------------ */

static struct trap_frame cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct trap_frame f = {.eax = leaf, .ecx = subleaf};

    run(1, forced_cpuid, &f);
    return f;
}

static void test_cpuid(void)
{
    struct trap_frame f;

    f = does(1, forced_cpuid, (struct trap_frame){.eax = 0x40000000}, "forced cpuid");
    tap_ok(f.ebx == 0x566e6558 && f.ecx == 0x65584d4d && f.edx == 0x4d4d566e, "XenVMMXenVMM");
    tap_ok(f.eax >= 0x40000002 && f.eax < 0x40000100, "at least leaves 0 to 2");
    f = does(3, forced_cpuid, (struct trap_frame){.eax = 0x40000000}, "ring 3: forced cpuid");
    tap_is(f.ebx, 0x566e6558, "the same answer");
    f = cpuid(0x40000002, 0);
    tap_ok(f.eax == 1 && f.ebx == 0x40000000, "one hypercall page, by MSR 0x40000000");
    f = cpuid(1, 0);
    tap_is(f.ecx >> 31, 1, "leaf 1 shows a hypervisor");
    tap_is(f.edx & 0x2008 /* PGE, PSE */, 0, "leaf 1 hides PSE and PGE");
    tap_is(f.edx & 2, 0, "leaf 1 hides VME");
    if (!is_64bit_hypervisor())
        tap_is(f.edx & 0x800, 0, "leaf 1 hides SEP: int $0x80 is cheaper");
    tap_is(f.edx & 0x170, 0x170, "leaf 1 shows TSC, MSR, PAE, CX8");
    if (!is_64bit_hypervisor())
        tap_is(f.ecx & 0x1c200028, 0, "leaf 1 hides VMX, MONITOR, X2APIC, XSAVE, AVX");
    f = cpuid(0x80000001, 0);
    tap_is(f.edx & 0x20000000, 0, "leaf 0x80000001 hides long mode");
    if (!is_64bit_hypervisor())
        tap_is(f.edx & 0x100000, 0, "leaf 0x80000001 hides NX");
    f = cpuid(0x4fffffff, 0);
    tap_ok(!f.eax && !f.ebx && !f.ecx && !f.edx, "a leaf that is not there is zero");

    f = nothing;
    run(1, forced_rdtsc, &f);
    ok_or_show(f.vector == VECTOR_UD && f.eip == (uint32_t)forced_rdtsc, &f,
               "another instruction behind the prefix is #UD");
    f = nothing;
    run(1, forced_nothing, &f);
    tap_is(f.vector, VECTOR_UD, "another prefix is #UD");
}

/* --- ports ------------------------------------------------------------------------------------ */

#define FREE_PORT 0x80  /* the POST code's: written by nobody but us, and harmless */
#define PIC_PORT 0x21   /* the hypervisor's own */
#define CMOS_INDEX 0x70 /* a device the initial domain has */

static void set_iopl(unsigned int iopl)
{
    struct physdev_set_iopl op = {.iopl = iopl};

    hv_physdev_op(PHYSDEVOP_set_iopl, &op);
}

static void set_bitmap(uint8_t *bitmap, unsigned int ports)
{
    struct physdev_set_iobitmap op = {.nr_ports = ports};

    set_xen_guest_handle(op.bitmap, bitmap);
    hv_physdev_op(PHYSDEVOP_set_iobitmap, &op);
}

static struct trap_frame at_port(uint32_t port)
{
    return (struct trap_frame){.edx = port, .eax = 0x11223344};
}

static void test_iopl(void)
{
    uint8_t mask[2];

    set_iopl(0);
    faults(1, in_b, at_port(FREE_PORT), "IOPL 0: in");
    faults(1, out_b, at_port(FREE_PORT), "IOPL 0: out");
    faults(1, clear_if, nothing, "IOPL 0: cli");
    faults(1, set_if, nothing, "IOPL 0: sti");
    set_iopl(1);
    does(1, out_b, at_port(FREE_PORT), "IOPL 1: out");
    does(1, out_imm, nothing, "IOPL 1: out with an immediate");
    faults(3, in_b, at_port(FREE_PORT), "IOPL 1: in from ring 3");
    faults(3, clear_if, nothing, "IOPL 1: cli from ring 3");

    vcpu()->evtchn_upcall_mask = 0;
    __asm__ volatile("cli" ::: "memory");
    mask[0] = vcpu()->evtchn_upcall_mask;
    vcpu()->evtchn_upcall_mask = 1;
    __asm__ volatile("sti" ::: "memory");
    mask[1] = vcpu()->evtchn_upcall_mask;
    vcpu()->evtchn_upcall_mask = 0;
    tap_is(mask[0], 0, "IOPL 1: cli masks nothing");
    tap_is(mask[1], 1, "IOPL 1: sti unmasks nothing");
    faults(1, halt, nothing, "IOPL 1: hlt is a fault all the same");

    set_iopl(3);
    does(3, out_b, at_port(FREE_PORT), "IOPL 3: out from ring 3");
    does(3, clear_if, nothing, "IOPL 3: cli from ring 3");
    set_iopl(1);
}

static void test_sizes(void)
{
    struct trap_frame f;

    f = does(1, in_imm, at_port(0), "in of a port of the hypervisor's");
    tap_is(f.eax, 0x112233ff, "a byte of ones, the rest of eax untouched");
    f = does(1, in_b, at_port(PIC_PORT), "the same port in dx");
    tap_is(f.eax, 0x112233ff, "a byte of ones");
    f = does(1, in_w, at_port(0xa0), "two bytes");
    tap_is(f.eax, 0x1122ffff, "two bytes of ones");
    f = does(1, in_l, at_port(0xfffe), "four bytes, two of them beyond the last port");
    tap_is(f.eax >> 16, 0xffff, "ones where there is no port");
    f = nothing;
    f.edx = PIC_PORT;
    run(1, lock_in, &f);
    ok_or_show(!passed(&f), &f, "lock in is not carried out");

    if (is_initial_domain()) {
        does(1, out_b, (struct trap_frame){.edx = CMOS_INDEX, .eax = 0x0a}, "out to the clock");
        f = does(1, in_b, at_port(CMOS_INDEX + 1), "in from the clock");
        tap_ok((f.eax & 0x70) == 0x20, "its divider runs: it is the real one");
    }
}

static void test_bitmap(void)
{
    static uint8_t bitmap[0x2000];
    struct trap_frame f;

    set_iopl(0);
    memset(bitmap, 0xff, sizeof(bitmap));
    bitmap[PIC_PORT / 8] = (uint8_t) ~(1 << PIC_PORT % 8);
    set_bitmap(bitmap, 0x10000);
    f = does(1, in_b, at_port(PIC_PORT), "bitmap: in of an allowed port");
    tap_is(f.eax, 0x112233ff, "it is the hypervisor's, so all ones");
    does(3, in_b, at_port(PIC_PORT), "bitmap: ring 3 too");
    faults(1, in_b, at_port(PIC_PORT + 1), "bitmap: in of the next port");
    faults(1, in_w, at_port(PIC_PORT), "bitmap: two bytes, one of them allowed");
    faults(3, in_w, at_port(PIC_PORT - 1), "bitmap: the other one allowed");
    set_bitmap(bitmap, PIC_PORT);
    faults(1, in_b, at_port(PIC_PORT), "bitmap: in of a port behind its end");
    set_bitmap(bitmap, PIC_PORT + 1);
    does(1, in_b, at_port(PIC_PORT), "bitmap: in of its last port");
    set_bitmap((uint8_t *)0x1000, 0x10000);
    faults(1, in_b, at_port(PIC_PORT), "a bitmap that is not there");
    set_bitmap(NULL, 0);
    set_iopl(1);
}

/* --- ports and memory ------------------------------------------------------------------------- */

static struct trap_frame string(uint32_t port, uint32_t esi, uint32_t edi, uint32_t count)
{
    return (struct trap_frame){.edx = port, .esi = esi, .edi = edi, .ecx = count};
}

static bool all_are(volatile uint8_t *p, uint8_t value, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (p[i] != value)
            return false;
    }
    return true;
}

static void test_ins(void)
{
    uint32_t data = (uint32_t)DATA;
    struct trap_frame f;

    memset((void *)DATA, 0, PAGE_SIZE);
    f = does(1, ins_b, string(PIC_PORT, 0, data, 7), "insb");
    tap_ok(DATA[0] == 0xff && DATA[1] == 0 && f.edi == data + 1 && f.ecx == 7, "one byte");
    f = does(1, ins_l, string(0xa0, 0, data + 8, 7), "insl");
    tap_ok(DATA[8] == 0xff && DATA[9] == 0xff && f.edi == data + 12, "four bytes");
    f = does(1, rep_ins_b, string(PIC_PORT, 0, data + 16, 1000), "rep insb of 1000");
    tap_ok(all_are(DATA + 16, 0xff, 1000) && DATA[1016] == 0, "all of them, no more");
    tap_ok(f.edi == data + 1016 && f.ecx == 0, "edi behind the last, ecx used up");
    f = does(1, rep_ins_w, string(0xa0, 0, data + 2000, 0), "rep insw of none");
    tap_ok(DATA[2000] == 0 && f.edi == data + 2000, "none");
    f = does(1, rep_ins_b_back, string(PIC_PORT, 0, data + 2100, 100), "rep insb downwards");
    tap_ok(DATA[2000] == 0 && all_are(DATA + 2001, 0xff, 100) && DATA[2101] == 0, "100 bytes");
    tap_ok(f.edi == data + 2000 && f.ecx == 0, "edi before the first");
}

static void test_string_faults(void)
{
    uint32_t data = (uint32_t)DATA, end = data + PAGE_SIZE;
    struct trap_frame f;

    memset((void *)DATA, 0, PAGE_SIZE);
    f = string(PIC_PORT, 0, end - 10, 100);
    run(1, rep_ins_b, &f);
    ok_or_show(f.vector == VECTOR_PF && f.error == 2, &f, "rep insb into nothing is #PF, write");
    tap_is(fault_address(), end, "at the first missing byte");
    tap_ok(f.edi == end && f.ecx == 90 && f.eip == (uint32_t)rep_ins_b, "10 done, 90 to go");
    f = string(PIC_PORT, 0, end - 2, 1);
    run(1, ins_l, &f);
    tap_ok(f.vector == VECTOR_PF && fault_address() == end, "insl across the end: #PF there");
    f = string(FREE_PORT, end - 8, 0, 4);
    run(1, rep_outs_l, &f);
    tap_ok(f.vector == VECTOR_PF && f.error == 0 && fault_address() == end, "outsl: #PF, read");
    tap_ok(f.esi == end && f.ecx == 2, "2 done, 2 to go");
    f = string(PIC_PORT, 0, 0xfbc00000, 1);
    run(1, rep_ins_b, &f);
    ok_or_show(f.vector == VECTOR_GP || f.vector == VECTOR_PF, &f, "insb into the hypervisor");
    f = string(FREE_PORT, 0xfbc00000, 0, 1);
    run(1, rep_outs_b, &f);
    ok_or_show(f.vector == VECTOR_GP || f.vector == VECTOR_PF, &f, "outsb from the hypervisor");
}

/* A program with ports must not reach its kernel's memory by them. */
static void test_ring3_strings(void)
{
    static uint8_t secret[16];
    uint32_t data = (uint32_t)DATA;
    struct trap_frame f;

    set_iopl(3);
    memset((void *)DATA, 0, 16);
    does(3, rep_ins_b, string(PIC_PORT, 0, data, 16), "IOPL 3: ring 3's rep insb");
    tap_ok(all_are(DATA, 0xff, 16), "16 bytes");
    does(3, rep_outs_b, string(FREE_PORT, data, 0, 16), "IOPL 3: ring 3's rep outsb");
    if (!is_64bit_hypervisor()) {
        f = string(FREE_PORT, (uint32_t)secret, 0, 1);
        run(3, rep_outs_b, &f);
        ok_or_show(f.vector == VECTOR_PF && f.error == 5, &f, "ring 3's outsb from its kernel");
        f = string(PIC_PORT, 0, (uint32_t)secret, 1);
        run(3, rep_ins_b, &f);
        ok_or_show(f.vector == VECTOR_PF && f.error == 7, &f, "ring 3's insb into its kernel");
        tap_is(secret[0], 0, "nothing was written");
    }
    set_iopl(1);
}

static void test_string_segments(void)
{
    struct trap_frame f = string(FREE_PORT, (uint32_t)DATA, 0, 1);

    __asm__ volatile("movl %0, %%fs" : : "r"(0));
    run(1, outs_fs, &f);
    ok_or_show(f.vector == VECTOR_GP, &f, "outsb through a null fs");
    __asm__ volatile("movl %0, %%fs" : : "r"(FLAT_KERNEL_DS));
    f = string(FREE_PORT, (uint32_t)DATA, 0, 1);
    run(1, outs_fs, &f);
    ok_or_show(passed(&f) && f.esi == (uint32_t)DATA + 1, &f, "outsb through a good fs");
    /* With a 16-bit address size only di and cx count, and only they change. */
    f = string(PIC_PORT, 0, 0x12340000, 0xabcd0000);
    run(1, rep_ins_b_16, &f);
    ok_or_show(passed(&f) && f.edi == 0x12340000 && f.ecx == 0xabcd0000, &f, "16-bit: cx is 0");
}

/* --- the rest --------------------------------------------------------------------------------- */

static void test_debug_registers(void)
{
    struct trap_frame f;

    does(1, write_dr0, (struct trap_frame){.eax = 0x12345678}, "mov to DR0");
    f = does(1, read_dr0, nothing, "mov from DR0");
    tap_is(f.ecx, 0x12345678, "DR0 holds it");
    if (!is_64bit_hypervisor())
        faults(1, write_dr0, (struct trap_frame){.eax = 0xf6800000}, "DR0 of the hypervisor");
    faults(1, write_dr7, (struct trap_frame){.eax = 0x2000}, "DR7 with general detect");
    does(1, write_dr7, (struct trap_frame){.eax = 0}, "mov to DR7");
    f = does(1, read_dr7, nothing, "mov from DR7");
    tap_is(f.eax, 0x400, "its fixed bit is set");
    faults(3, read_dr7, nothing, "ring 3: mov from DR7");
    does(1, write_dr0, nothing, "DR0 back to 0");
}

/* TF stops behind each instruction, emulated ones too. */
static void test_single_step(void)
{
    struct trap_frame f;
    uint32_t eip = USER_BASE + (forced_cpuid - snippets);

    user_frame(&f, eip, USER_BASE + PAGE_SIZE);
    f.eax = 0x40000000;
    f.eflags |= EFLAGS_TF;
    user_run(&f);
    ok_or_show(f.vector == VECTOR_DB && f.eip == eip + 7 && f.ebx == 0x566e6558, &f,
               "a single step over a forced cpuid");
    f = does(1, read_dr6, nothing, "mov from DR6");
    tap_is(f.eax & 0x4000, 0x4000, "DR6 tells of a single step");
}

/* The last byte of one page and the first of the next, which is elsewhere in memory. */
static void test_across_pages(void)
{
    uint8_t *first = page_alloc(), *second = page_alloc();
    uint32_t va = WINDOW_END - 2 * PAGE_SIZE;
    struct trap_frame in = nothing, f = nothing;

    if (map_page((void *)va, pte_make(linear_to_mfn(first), PAGE_KERNEL)) ||
        map_page((void *)(va + PAGE_SIZE), pte_make(linear_to_mfn(second), PAGE_KERNEL)))
        panic("no two pages in the window");
    memcpy(first + PAGE_SIZE - 1, "\x0f", 1);
    memcpy(second, "\x20\xc0\xcd\x80", 4); /* mov %cr0, %eax; int $0x80 */
    in.eip = va + PAGE_SIZE - 1;
    catch_fault(enter, &in, &f);
    ok_or_show(passed(&f) && (f.eax & CR0_PE_PG) == CR0_PE_PG, &f, "an instruction on two pages");
    memcpy(first + PAGE_SIZE - 4, "\x0f\x0b\x78\x65", 4);
    memcpy(second, "\x6e\x0f\xa2\xcd\x80", 5);
    in = (struct trap_frame){.eip = va + PAGE_SIZE - 4, .eax = 0x40000000};
    catch_fault(enter, &in, &f);
    ok_or_show(passed(&f) && f.ebx == 0x566e6558, &f, "a forced cpuid on two pages");
    if (!is_64bit_hypervisor()) { /* Xen makes it a #PF, though UD2 itself was there */
        map_page((void *)(va + PAGE_SIZE), 0);
        catch_fault(enter, &in, &f);
        ok_or_show(f.vector == VECTOR_UD && f.eip == in.eip, &f, "its second page gone: #UD");
    }
    map_page((void *)(va + PAGE_SIZE), 0);
    map_page((void *)va, 0);
}

static void map_pages(void)
{
    void *code = page_alloc(), *data = page_alloc();

    if (snippets_end - snippets > CODE_END - USER_BASE ||
        map_page((void *)USER_BASE, pte_make(linear_to_mfn(code), PAGE_USER)) ||
        map_page((void *)DATA, pte_make(linear_to_mfn(data), PAGE_USER)))
        panic("no pages for ring 3");
    memcpy(code, snippets, snippets_end - snippets);
}

int main(void)
{
    map_pages();
    test_cr0();
    test_cr2_cr3();
    test_cr4();
    test_msrs();
    test_hypercall_msr();
    test_msr_without_handler();
    test_cpuid();
    test_iopl();
    test_sizes();
    test_bitmap();
    test_ins();
    test_string_faults();
    test_ring3_strings();
    test_string_segments();
    does(1, write_back, nothing, "wbinvd");
    faults(3, write_back, nothing, "ring 3: wbinvd");
    test_debug_registers();
    test_single_step();
    test_across_pages();
    tap_done();
}
