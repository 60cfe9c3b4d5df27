/* SPDX-License-Identifier: MIT */
/*
 * panic.c: the hypervisor's own faults: say everything that helps, then stop or start again.
 *
 * Everything is read through the exception table (raw_copy_words_from_guest on our own addresses),
 * because in a panic no pointer can be trusted. The backtrace has no frame pointers to walk (the
 * compiler uses ebp as any other register), so it scans the stack for return addresses: words that
 * point into the text, right behind a call instruction. Addresses left over from earlier calls are
 * shown too; the reader tells them apart by their sense.
 *
 * Read next: tools/symtab (where the names come from), traps/traps.c (who calls).
 */
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/traps.h>

/*
 * The symbol table that tools/symtab links into the image: addresses ascend, names start at their
 * offsets.
 */
extern const uint32_t symtab_count, symtab_addrs[], symtab_nameoffs[];
extern const char symtab_names[];

/* arch/i386/ringlet.lds.S */
extern const char text_start[], text_end[];

#define CODE_BYTES_BEFORE 16
#define CODE_BYTES 32
#define STACK_WORDS 64
#define BACKTRACE_DEPTH 32

static bool in_text(uint32_t address)
{
    return address >= (uint32_t)text_start && address < (uint32_t)text_end;
}

static bool read_word(uint32_t *value, uint32_t address)
{
    return raw_copy_words_from_guest(value, (const void *)address, 4) == 0;
}

static bool read_byte(uint8_t *value, uint32_t address)
{
    uint32_t word;

    if (!read_word(&word, address & ~3u))
        return false;
    *value = word >> (address & 3) * 8;
    return true;
}

/*
 * The same where a guest chose the address: it must not lead to hypervisor memory, or to a device
 * mapped there.
 */
static bool read_byte_below(uint8_t *value, uint32_t address, uint32_t end)
{
    return address < end && read_byte(value, address);
}

/* The function that `address` lies in: the last one that starts at or before it. */
static void print_symbol(uint32_t address)
{
    uint32_t low = 0, high = symtab_count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (symtab_addrs[middle] <= address)
            low = middle;
        else
            high = middle;
    }
    if (symtab_count && symtab_addrs[low] <= address)
        printk("    [%08x] %s+0x%x\n", address, symtab_names + symtab_nameoffs[low],
               address - symtab_addrs[low]);
    else
        printk("    [%08x]\n", address);
}

/*
 * Does a call instruction end at `address`? E8 and four bytes, or FF with 2 in bits 3 to 5 of its
 * second byte, which takes two to seven bytes (SDM vol. 2, CALL).
 */
static bool follows_call(uint32_t address)
{
    uint8_t opcode, modrm;

    if (!in_text(address - 7))
        return false;
    if (read_byte(&opcode, address - 5) && opcode == 0xe8)
        return true;
    for (uint32_t length = 2; length <= 7; length++)
        if (read_byte(&opcode, address - length) && opcode == 0xff &&
            read_byte(&modrm, address - length + 1) && (modrm >> 3 & 7) == 2)
            return true;
    return false;
}

/* The end of the stack that esp is on: stacks are aligned to their size. */
static uint32_t stack_end(uint32_t esp)
{
    return (esp | (STACK_SIZE - 1)) + 1;
}

static void show_backtrace(uint32_t eip, uint32_t esp)
{
    unsigned depth = 0;
    uint32_t word;

    printk("Calls, the innermost first:\n");
    if (eip)
        print_symbol(eip);
    for (uint32_t at = esp & ~3u; at != stack_end(esp) && depth < BACKTRACE_DEPTH; at += 4) {
        if (!read_word(&word, at))
            return;
        if (in_text(word) && follows_call(word)) {
            print_symbol(word);
            depth++;
        }
    }
}

/*
 * The bytes around eip, as far as they lie below `end`; the one the processor stopped at stands in
 * brackets.
 */
static void show_code(uint32_t eip, uint32_t end)
{
    uint8_t byte;

    printk("Code:");
    for (uint32_t at = eip - CODE_BYTES_BEFORE; at != eip - CODE_BYTES_BEFORE + CODE_BYTES; at++) {
        if (!read_byte_below(&byte, at, end))
            printk(at == eip ? " <-->" : " --");
        else
            printk(at == eip ? " <%02x>" : " %02x", byte);
    }
    printk("\n");
}

static void show_stack(uint32_t esp)
{
    uint32_t word;

    printk("Stack from %08x:", esp);
    for (unsigned i = 0; i < STACK_WORDS; i++) {
        if (!read_word(&word, (esp & ~3u) + 4 * i))
            break;
        printk("%s%08x", i % 8 ? " " : "\n    ", word);
    }
    printk("\n");
}

/*
 * esp of a frame: the processor pushes ss:esp only when the privilege level changes; within ring 0,
 * esp was here. A double fault pushes no frame at all: its registers are from a TSS, esp as well.
 */
static uint32_t frame_esp(const struct cpu_user_regs *regs)
{
    if (regs_from_guest(regs) || regs->entry_vector == TRAP_double_fault)
        return regs->esp;
    return (uint32_t)&regs->esp;
}

static void show_frame(const struct cpu_user_regs *regs)
{
    printk("eip %04x:%08x  eflags %08x  ring %u", regs->cs, regs->eip, regs->eflags,
           regs_ring(regs));
    if (regs->entry_vector != NO_VECTOR)
        printk("  vector %u  error %04x", regs->entry_vector, regs->error_code);
    printk("\neax %08x  ebx %08x  ecx %08x  edx %08x\n", regs->eax, regs->ebx, regs->ecx,
           regs->edx);
    printk("esi %08x  edi %08x  ebp %08x  esp %08x\n", regs->esi, regs->edi, regs->ebp,
           frame_esp(regs));
    if (regs_from_guest(regs))
        printk("ds %04x  es %04x  fs %04x  gs %04x  ss %04x\n", regs->ds, regs->es, regs->fs,
               regs->gs, regs->ss);
}

/*
 * Print saved registers, of a guest or of the hypervisor, with the control registers and the code.
 * A guest's addresses are read on the page tables that are loaded: its own, when it is the one that
 * runs.
 */
void show_registers(const struct cpu_user_regs *regs)
{
    show_frame(regs);
    printk("cr0 %08x  cr2 %08x  cr3 %08x  cr4 %08x\n", read_cr0(), read_cr2(), read_cr3(),
           read_cr4());
    show_code(regs->eip, regs_from_guest(regs) ? HYPERVISOR_START : ~0u);
    if (!regs_from_guest(regs))
        show_stack(frame_esp(regs));
}

/* Boot again, or stay here where the message can be read. */
static noreturn void stop_machine(void)
{
    if (options.noreboot) {
        printk("noreboot is set: the machine stays halted\n");
        machine_halt();
    }
    printk("Rebooting\n");
    machine_reboot();
}

/* True the first time. A fault while reporting a fault must end somewhere. */
static bool begin_panic(void)
{
    static bool panicking; /* one CPU wins the exchange below; the others stop */

    local_irq_disable();
    if (__atomic_exchange_n(&panicking, true, __ATOMIC_SEQ_CST))
        return false;
    console_flush_sync();
    stop_other_cpus();
    return true;
}

static bool guest_runs(void)
{
    const struct vcpu *v = current;

    return v && v->domain && v->domain != &idle_domain;
}

static void print_who(void)
{
    const struct vcpu *v = current;

    printk("CPU %u", this_cpu ? this_cpu->id : 0);
    if (guest_runs())
        printk(", running vcpu %u of domain %u", v->id, v->domain->id);
    else if (v && v->domain)
        printk(", idle");
    printk("\n");
}

/* All that is known, where regs are the hypervisor's or those of the guest that runs. */
static noreturn void report(const struct cpu_user_regs *regs)
{
    struct cpu_user_regs *guest = guest_regs();

    print_who();
    show_registers(regs);
    /* At a call, eip is the return address, and lies on the stack as well. */
    show_backtrace(regs->entry_vector == NO_VECTOR ? 0 : regs->eip, frame_esp(regs));
    if (guest_runs() && regs != guest && regs_from_guest(guest)) {
        if (regs->entry_vector != TRAP_double_fault)
            sync_vcpu_regs(current);
        printk("The guest's registers:\n");
        show_frame(guest);
    }
    stop_machine();
}

/*
 * The hypervisor cannot go on. Says why, where, and stops. panic() in entry.S calls this with the
 * registers at its call, and where its arguments lie: one behind the other on the stack, which is
 * what a va_list of this ABI points at.
 */
asmlinkage noreturn void do_panic(const struct cpu_user_regs *regs, const char **args)
{
    if (!begin_panic())
        machine_halt();
    printk("\nPanic: ");
    vprintk(args[0], (va_list)(args + 1));
    printk("\n");
    report(regs);
}

/* A BUG_ON or ASSERT was true. */
void bug(const char *file, int line, const char *what)
{
    panic("%s:%d: %s", file, line, what);
}

/* An exception in the hypervisor that nothing catches; regs is the frame it left. */
void fatal_trap(const struct cpu_user_regs *regs, const char *what)
{
    if (!begin_panic())
        machine_halt();
    printk("\nPanic: %s\n", what);
    report(regs);
}
