/* SPDX-License-Identifier: MIT */
/*
 * desc.c: the GDT's reserved page, the IDT and the TSS of each CPU.
 *
 * Ring compression begins here. The flat segments the ABI gives to guests have DPL 1 and 3 and end
 * at GUEST_SEGMENT_END; only HYPERVISOR_CS and HYPERVISOR_DS, with DPL 0, span all 4 GiB. Ring 1
 * cannot load a DPL-0 selector (#GP), and through its own segments it cannot name an address of
 * ours.
 *
 * A selector, bit by bit, 0xe019:  1110000000011 0 01  = index 7171 (our page's fourth entry), TI 0 (GDT), RPL 1.
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>

#define GATE_INTERRUPT 0x8e /* present, 32-bit interrupt gate: clears IF */
#define GATE_TASK 0x85
#define GATE_DPL(n) ((n) << 5)

asmlinkage noreturn void double_fault(void); /* entry.S calls it */
extern const uint32_t trap_stubs[256];
extern uint8_t hypercall_entry[], int80_entry[], sysenter_entry[], double_fault_entry[];
extern uint8_t idle_l3[];

static struct desc gdt_pages[MAX_CPUS][PAGE_SIZE / sizeof(struct desc)] __aligned(PAGE_SIZE);
static struct gate idts[MAX_CPUS][256] __aligned(8);
static struct tss double_fault_tss[MAX_CPUS];
static uint8_t double_fault_stacks[MAX_CPUS][STACK_SIZE] __aligned(STACK_SIZE);

/*
 * walk 04: A selector, bit by bit
 *
 * Claim: A selector is not an address but a request: 13 bits of index into a table, one bit to say
 * which table (TI: 0 the GDT, 1 the LDT), two bits of RPL (SDM vol. 3, 3.4.2). e019 is
 * 1110000000011 0 01: entry 7171, GDT, RPL 1. Entries 0 to 7167 fill 14 pages, which are frames of
 * the guest's own; the 15th page, from selector e000 on, is ours and the same for every guest. The
 * guest's table can be replaced under it without moving the selectors we depend on.
 * Without it: If the guest's entries and ours shared a page, either the guest could not have frames
 * of its own as a GDT, or it could write the descriptors that hold it.
 * Shown by: tests/system/test_gdb.py::test_first_hypercall, tests/guests/rings/rings/main.c::test_tables
 */
/* Index of a reserved selector within our page. */
static unsigned reserved_index(uint16_t selector)
{
    return (selector - FIRST_RESERVED_SELECTOR) >> 3;
}

/*
 * walk 05: A descriptor: who may load it, how far it reaches
 *
 * Claim: Eight bytes hold two fences. DPL says who may load the descriptor: a data segment loads
 * only if DPL >= max(CPL, RPL), code only at its own DPL (SDM vol. 3, 5.6 and 5.8). The limit says
 * which offsets exist, and it is checked at every access, before paging is asked. Guests get base
 * 0, G = 1 and f67ff in the limit field, the number of the last page: the last byte they can name
 * is f67fffff.
 * Without it: With the usual fffff in the limit field the segment spans all 4 GiB, and the
 * hypervisor with it.
 * Shown by: tests/guests/rings/rings/main.c::test_limit_values, tests/guests/rings/rings/main.c::test_loads
 */
/* Code or data, base 0, 32-bit, page-granular: limit is the number of the last page. */
static struct desc flat_segment(unsigned dpl, bool code, uint32_t last_page)
{
    struct desc d;

    d.a = last_page & 0xffff;
    d.b = DESC_P | dpl << DESC_DPL_SHIFT | DESC_S | DESC_RW | DESC_ACCESSED | DESC_G | DESC_DB |
          (code ? DESC_CODE : 0) | (last_page & 0xf0000);
    return d;
}

/* Available 32-bit TSS (type 9), byte-granular. */
static struct desc tss_descriptor(const struct tss *tss)
{
    uint32_t base = (uintptr_t)tss;
    struct desc d;

    d.a = base << 16 | (sizeof(*tss) - 1);
    d.b = (base & 0xff000000) | DESC_P | 9 << 8 | (base >> 16 & 0xff);
    return d;
}

static void set_gate(struct gate *g, uint32_t offset, uint16_t selector, uint8_t type)
{
    g->offset_low = offset;
    g->selector = selector;
    g->zero = 0;
    g->type = type;
    g->offset_high = offset >> 16;
}

/*
 * walk 11: The gate with DPL 1
 *
 * Claim: A gate's DPL is checked only for INT n, INT3 and INTO, never for exceptions and
 * interrupts: CPL <= DPL or #GP (SDM vol. 3, 6.12.1.1). One gate has DPL 1, vector 0x82,
 * so that kernels can call and programs cannot: ring 3 gets #GP with the error code 0x82 * 8 + 2 =
 * 0x412. INT3 and INTO are for every ring, and so is INT 0x80 while a guest runs that wants it so
 * (stop 21). All others have DPL 0, so that no guest can pretend an exception to the hypervisor that
 * did not happen.
 * Without it: A hypercall gate with DPL 3 lets every program change its kernel's page tables: no
 * system call would be between them.
 * Shown by: tests/guests/rings/rings/main.c::test_gates, tests/system/test_labs.py::test_lab_4
 * Part: 2
 */
/*
 * The IDT. Gates have DPL 0, so that `int n` in a guest is a #GP which we bounce by the guest's own
 * rules; INT3 and INTO have DPL 3 because the processor checks it for these one-byte instructions
 * too; the hypercall gate has DPL 1: kernels only. Vector 8 is a task gate: a double fault most
 * often means the stack is unusable.
 */
static void fill_idt(struct gate *idt)
{
    for (unsigned i = 0; i < 256; i++)
        set_gate(&idt[i], trap_stubs[i], HYPERVISOR_CS, GATE_INTERRUPT);
    idt[TRAP_int3].type |= GATE_DPL(3);
    idt[TRAP_overflow].type |= GATE_DPL(3);
    set_gate(&idt[TRAP_double_fault], 0, DF_TSS_SELECTOR, GATE_TASK);
    set_gate(&idt[HYPERCALL_VECTOR], (uint32_t)hypercall_entry, HYPERVISOR_CS,
             GATE_INTERRUPT | GATE_DPL(1));
}

/*
 * The processor could not push a frame, so it put the registers into the TSS and went on with ours
 * (SDM vol. 3, 7.3). The ordinary stack's pointer may be anything; the top of that stack, where
 * cpu_info is, has still this CPU's and the guest's state.
 */
asmlinkage noreturn void double_fault(void)
{
    struct cpu_info *here = get_cpu_info();
    const struct tss *t = &here->cpu->tss;
    const struct cpu_user_regs regs = {.ebx = t->ebx,
                                       .ecx = t->ecx,
                                       .edx = t->edx,
                                       .esi = t->esi,
                                       .edi = t->edi,
                                       .ebp = t->ebp,
                                       .eax = t->eax,
                                       .eip = t->eip,
                                       .cs = t->cs,
                                       .eflags = t->eflags,
                                       .esp = t->esp,
                                       .ss = t->ss,
                                       .entry_vector = TRAP_double_fault};

    *here = *(const struct cpu_info *)(t->esp0 - offsetof(struct cpu_info, guest_regs.es));
    here->guest_regs.fs = t->fs;
    here->guest_regs.gs = t->gs;
    fatal_trap(&regs, "double fault: the stack is not to be trusted");
}

/*
 * walk 10: The way in: a stack the guest cannot choose
 *
 * Claim: On the way to an inner ring the processor takes the stack from the TSS: ss0:esp0 for ring
 * 0, ss1:esp1 for ring 1 (SDM vol. 3, 6.12.1 and 7.2.1). esp0 never changes here: each entry from a
 * guest pushes ss, esp, eflags, cs, eip to the same five words near the top of this CPU's stack:
 * they are eip to ss of a struct cpu_user_regs, whose es to gs above them the stubs fill in. ss1:esp1 is what the guest asked for
 * (HYPERVISOR_stack_switch), and the I/O bitmap lies beyond the limit, so that ports fault.
 * Without it: If ring 0 went on with the guest's esp, the guest would choose where the hypervisor
 * writes.
 * Shown by: tests/system/test_bochs_debug.py::test_cli_script,
 * tests/system/test_bochs_debug.py::test_crossings_script
 * Part: 2
 */
static void init_tss(unsigned cpu)
{
    struct tss *t = &cpus[cpu].tss, *df = &double_fault_tss[cpu];
    struct cpu_info *df_info = (struct cpu_info *)(double_fault_stacks[cpu] + STACK_SIZE) - 1;

    t->ss0 = HYPERVISOR_DS;
    t->esp0 = (uintptr_t)&get_cpu_info()->guest_regs.es;
    t->iomap = sizeof(*t); /* beyond the limit: every port access above the real IOPL (0) faults */

    df_info->cpu = &cpus[cpu];
    df->esp = (uintptr_t)df_info;
    df->eip = (uintptr_t)double_fault_entry;
    df->cs = HYPERVISOR_CS;
    df->ss = df->ds = df->es = HYPERVISOR_DS;
    df->eflags = 2;
    df->cr3 = direct_maddr(idle_l3);
    df->iomap = sizeof(*df);
}

/*
 * Where SYSENTER leads, in every ring: to our stub, on this CPU's stack, below the two words that
 * the stub fills in itself (entry.S). cs comes from the MSR, ss is the descriptor behind it.
 */
static void init_sysenter(void)
{
    _Static_assert(HYPERVISOR_DS == HYPERVISOR_CS + 8, "SDM vol. 2, SYSENTER");
    if (!cpu_features.sep)
        return;
    wrmsr(MSR_SYSENTER_CS, HYPERVISOR_CS);
    wrmsr(MSR_SYSENTER_ESP, (uintptr_t)&guest_regs()->esp);
    wrmsr(MSR_SYSENTER_EIP, (uintptr_t)sysenter_entry);
}

/*
 * Build this CPU's tables and load them. The GDT register points at this CPU's window: 14 pages of
 * whatever guest runs, then our page, whose entries every guest sees at the same selectors. SDM
 * vol. 3, 2.4.
 */
void desc_init_cpu(unsigned cpu)
{
    struct cpu *c = &cpus[cpu];
    struct desc *gdt = gdt_pages[cpu];
    struct {
        uint16_t limit;
        uint32_t base;
    } __packed gdtr, idtr;

    c->gdt = gdt;
    c->idt = idts[cpu];
    init_tss(cpu);
    init_sysenter();
    gdt[reserved_index(HYPERVISOR_CS)] = flat_segment(0, true, 0xfffff);
    gdt[reserved_index(HYPERVISOR_DS)] = flat_segment(0, false, 0xfffff);
    gdt[reserved_index(FLAT_RING1_CS)] =
        flat_segment(1, true, (GUEST_SEGMENT_END >> PAGE_SHIFT) - 1);
    gdt[reserved_index(FLAT_RING1_DS)] =
        flat_segment(1, false, (GUEST_SEGMENT_END >> PAGE_SHIFT) - 1);
    gdt[reserved_index(FLAT_RING3_CS)] =
        flat_segment(3, true, (GUEST_SEGMENT_END >> PAGE_SHIFT) - 1);
    gdt[reserved_index(FLAT_RING3_DS)] =
        flat_segment(3, false, (GUEST_SEGMENT_END >> PAGE_SHIFT) - 1);
    gdt[reserved_index(TSS_SELECTOR)] = tss_descriptor(&c->tss);
    gdt[reserved_index(DF_TSS_SELECTOR)] = tss_descriptor(&double_fault_tss[cpu]);
    fill_idt(c->idt);

    pte_write(&c->window[WINDOW_GDT_SLOT + GUEST_GDT_PAGES],
              make_pte(direct_mfn(gdt), PTE_HYPERVISOR | nx_bit));
    map_gdt_window(NULL, 0);

    gdtr.limit = (GUEST_GDT_PAGES + 1) * PAGE_SIZE - 1;
    gdtr.base = GDT_WINDOW(cpu);
    idtr.limit = sizeof(idts[cpu]) - 1;
    idtr.base = (uintptr_t)c->idt;
    __asm__ volatile("lgdt %0\n\t"
                     "lidt %1\n\t"
                     "ljmp %2, $1f\n"
                     "1: movl %3, %%ds\n\t"
                     "movl %3, %%es\n\t"
                     "movl %3, %%ss\n\t"
                     "movl %4, %%fs\n\t"
                     "movl %4, %%gs\n\t"
                     "lldt %w4\n\t"
                     "ltr %w5"
                     :
                     : "m"(gdtr), "m"(idtr), "i"(HYPERVISOR_CS), "r"(HYPERVISOR_DS), "r"(0),
                       "r"(TSS_SELECTOR)
                     : "memory");
}

/*
 * walk 21: The one gate that passes us by
 *
 * Claim: A system call need not be our affair: from ring 3 to ring 1 the processor can go by
 * itself, if the real IDT has a gate with DPL 3 to the guest's handler. Its descriptor has DPL 1,
 * so the processor takes ss1:esp1 from the TSS. Vector 0x80 belongs to the vcpu that runs; the gate
 * is replaced at each switch. It is safe because the selector has RPL 1 and names no descriptor
 * with DPL 0: there is none but ours, and those were refused when the table was set. What a real
 * gate cannot do is set the event mask; a guest that asks for it goes a short way through ring 0.
 * Without it: Every system call would cost an entry into ring 0 and a bounce: 280 instructions on
 * Xen 4.17, instead of 2.
 * Shown by: tests/system/test_bochs_debug.py::test_syscall_script,
 * tests/system/test_labs.py::test_lab_5
 * Part: 2
 */
/*
 * `int $0x80` without the hypervisor: if the guest's trap table lets ring 3 call vector 0x80 and
 * does not ask for events to be masked on the way (a real gate cannot do that), put a gate into the
 * real IDT that leads straight to the guest's handler in ring 1; the processor takes the stack from
 * ss1:esp1. The selector was checked when the table was set: never one of the hypervisor's, so the
 * gate cannot lead into ring 0. Who wants events masked gets a short way through ring 0 (entry.S).
 * Otherwise `int $0x80` faults and is bounced like any vector.
 */
void set_int80_gate(const struct vcpu *v)
{
    const struct trap_info *t = &v->traps[0x80];
    struct gate *g = &this_cpu->idt[0x80];

    if (t->address && TI_GET_DPL(t) == 3 && (t->cs & 3) == 1 && !TI_GET_IF(t))
        set_gate(g, t->address, t->cs, 0x8f | GATE_DPL(3)); /* a trap gate: IF stays on */
    else if (t->address && TI_GET_DPL(t) == 3 && (t->cs & 3) == 1)
        set_gate(g, (uint32_t)int80_entry, HYPERVISOR_CS, GATE_INTERRUPT | GATE_DPL(3));
    else
        set_gate(g, trap_stubs[0x80], HYPERVISOR_CS, GATE_INTERRUPT);
}
