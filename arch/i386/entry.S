/* SPDX-License-Identifier: MIT */
/*
 * entry.S: the door between rings. Every entry into ring 0 and every way back to a guest passes
 * here.
 *
 * An interrupt, exception or `int $0x82` from ring 1 or 3 makes the processor load ss:esp from the
 * TSS (ss0:esp0, which points into struct cpu_info at the top of this CPU's stack) and push the
 * frame below. The stub adds what completes a struct cpu_user_regs, the public ABI's register set
 * (xen/arch-x86/xen-x86_32.h):
 *
 *      top of stack
 *      +---------------------------+
 *      | cpu, current              |  struct cpu_info
 *   64 | gs, fs                    |  not saved on entry: they stay in the processor until a vcpu switch
 *   56 | ds, es                    |  saved by the stub when it came from a guest
 *   48 | ss                        |  <- esp0. Pushed by the processor, when it came from ring 1 or 3 ...
 *   44 | esp                       |
 *   40 | eflags                    |  ... and these always
 *   36 | cs                        |
 *   32 | eip                       |
 *   28 | vector << 16 | error code |  pushed by the processor for some exceptions, else by the stub
 *   24 | eax                       |  pushed by the stub
 *   20 | ebp, 16 edi, 12 esi       |
 *    8 | edx, 4 ecx, 0 ebx         |  <- esp in C code: a struct cpu_user_regs *
 *      +---------------------------+
 *
 * An exception in ring 0 itself pushes no ss:esp: its frame lies further down and ends at eflags.
 *
 * Gates are interrupt gates: interrupts are off from the first instruction to the IRET. Flags, ds
 * and es are still the guest's: until CALL_C (enter_c.h) has set what C counts on, which every way
 * into C passes, memory is reached through ss alone, which the processor loaded from the TSS.
 *
 * Read next: traps/traps.c (what becomes of an exception), hypercall/table.c.
 */
#include <ringlet/arch.h>
#include <ringlet/asm-offsets.h>
#include <ringlet/config.h>
#include <ringlet/desc.h>
#include <ringlet/enter_c.h>
#include <xen/xen.h>

/* If the instruction at `insn` faults in ring 0, go on at `fixup` (traps/extable.c). */
#define EXTABLE(insn, fixup)            \
        .pushsection .extable, "a";     \
        .long insn, fixup;              \
        .popsection

        .macro PUSH_REGISTERS
        pushl %eax
        pushl %ebp
        pushl %edi
        pushl %esi
        pushl %edx
        pushl %ecx
        pushl %ebx
        .endm

        .macro POP_REGISTERS
        popl %ebx
        popl %ecx
        popl %edx
        popl %esi
        popl %edi
        popl %ebp
        popl %eax
        .endm

        .text

/*
 * walk 12: A hypercall
 *
 * Claim: The guest's registers complete the frame the processor began, and C is called through a
 * table. Two things are not to be trusted: the number, compared with the table's size as unsigned,
 * and ds and es, which still hold the guest's selectors, so that a memory access through them would
 * be checked against the guest's limit. cs and ss are ours already: the gate and the TSS loaded
 * them.
 * Without it: With the guest's ds, the hypervisor's first store to its own data is #GP in ring 0,
 * or, if the segment has another base, lands somewhere else.
 * Shown by: tests/system/test_bochs_debug.py::test_crossings_script,
 * tests/system/test_gdb.py::test_first_hypercall
 */
/*
 * int $0x82 from ring 1: eax = number, ebx, ecx, edx, esi, edi, ebp = arguments. The gate's DPL is
 * 1, so ring 3 gets #GP instead. The C function gets copies of the arguments on the stack in its
 * own order (asmlinkage); only eax is changed for the guest.
 */
        .align 16
        .globl hypercall_entry
hypercall_entry:
        pushl $(HYPERCALL_VECTOR << 16)
        PUSH_REGISTERS
        movw %es, UREGS_es(%esp)
        movw %ds, UREGS_ds(%esp)
        pushl %ebp
        pushl %edi
        pushl %esi
        pushl %edx
        pushl %ecx
        pushl %ebx
        cmpb $0, %ss:crossing_hooks + CROSSING_on
        jne hypercall_traced
.Lhypercall:
        cmpl $NR_HYPERCALLS, %eax
        jae no_such_hypercall
.Lcall:
        CALL_C *hypercall_table(, %eax, 4)
        addl $24, %esp
        movl %eax, UREGS_eax(%esp)

/*
 * walk 22: The way out
 *
 * Claim: There is one way back to a guest, and everything that came up while ring 0 ran is looked
 * at here, with interrupts off up to the IRET: softirqs, and then events, if the guest does not
 * mask them. An event is bounced like an exception, so a guest that sends one to itself is in its
 * handler before the next instruction after the hypercall.
 * Without it: An event that comes between the last look and the IRET would wait for the next entry
 * into ring 0, perhaps a timer tick away: a lost wake-up.
 * Shown by: tests/guests/rings/runtime/main.c::test_events
 * Code: 2 paragraphs
 */
/*
 * The way out. esp points at guest_regs. Anything that came up goes first: softirqs (which may
 * switch to another vcpu and never come back here), then pending events, which put an upcall frame
 * on the guest's stack.
 */
        .globl return_to_guest
return_to_guest:
        movl CPUINFO_cpu(%esp), %eax
        cmpl $0, CPU_softirq_pending(%eax)
        jne run_softirqs
        movl CPUINFO_current(%esp), %eax
        movl VCPU_info(%eax), %eax
        cmpb $0, VCPUINFO_mask(%eax)
        jne restore_guest
        cmpb $0, VCPUINFO_pending(%eax)
        jne upcall

        /*
         * Loading ds or es faults if the guest's descriptor is gone; IRET faults if cs, ss or eip
         * cannot be returned to. The exception table turns each into the guest's failsafe callback.
         */
restore_guest:
        cmpb $0, crossing_hooks + CROSSING_on
        jne leave_traced
load_ds: movw UREGS_ds(%esp), %ds
load_es: movw UREGS_es(%esp), %es
        POP_REGISTERS
        addl $4, %esp
        .globl iret_to_guest
iret_to_guest:
        iret
        EXTABLE(load_ds, bad_data_segment)
        EXTABLE(load_es, bad_data_segment)
        EXTABLE(iret_to_guest, bad_iret)

run_softirqs:
        CALL_C do_softirq
        jmp return_to_guest

        /*
         * The frame may find no room on the guest's stack, which crashes the domain, and its vcpu must
         * not go on: so softirqs are looked at again. Events are not. They may be pending and unmasked
         * still: the guest has no callback, or another of its vcpus clears the mask as often as it is
         * set. To look again would then go round for ever, with interrupts off. An event that comes
         * from now on brings an interrupt, which is taken behind the IRET.
         */
upcall:
        CALL_C deliver_pending_events
frame_pushed:
        movl CPUINFO_cpu(%esp), %eax
        cmpl $0, CPU_softirq_pending(%eax)
        jne run_softirqs
        jmp restore_guest

        /*
         * The fault came in ring 0 on this same stack, below eip; all general registers are the
         * guest's again and esp points at eip. Rebuild the frame as it was and let C decide.
         */
bad_iret:
        subl $4, %esp
        PUSH_REGISTERS
bad_data_segment:
        movl %gs, %ecx
        pushl %ecx
        movl %fs, %ecx
        pushl %ecx
        movzwl 8 + UREGS_es(%esp), %ecx
        pushl %ecx
        movzwl 12 + UREGS_ds(%esp), %ecx
        pushl %ecx
        CALL_C deliver_failsafe
        addl $16, %esp
        jmp frame_pushed

/*
 * All other vectors. The processor pushes an error code for vectors 8, 10-14 and 17 (SDM vol. 3,
 * table 6-1); the stub pushes a zero for the others, so that every frame has the same shape.
 */
        .align 16
common_trap:
        PUSH_REGISTERS
        testb $3, UREGS_cs(%esp)
        jz trap_in_ring0
        movw %es, UREGS_es(%esp)
        movw %ds, UREGS_ds(%esp)
trap_from_guest:
        pushl %esp
        cmpb $0, %ss:crossing_hooks + CROSSING_on
        jne trap_traced
        CALL_C do_trap
        addl $4, %esp
        jmp return_to_guest

        /*
         * The interrupted code is hypervisor code: no events, no softirqs, straight back. Its ds and
         * es are ours, but for a few instructions on the way in and out, where they are the guest's,
         * and may be anything. An NMI comes there too, and a #DB that MOV SS has held back (SDM vol. 3,
         * 6.8.3); so both are put back as they were. Left ours, they would be null in the guest: IRET
         * clears what an outer ring may not use. A descriptor that is gone meanwhile ends so.
         *
         *      esp ->  the registers' address  for C
         *              ds, es                  as they were
         *              struct cpu_user_regs, up to eflags
         */
trap_in_ring0:
        pushl %es
        pushl %ds
        leal 8(%esp), %ecx
        pushl %ecx
        cmpb $0, %ss:crossing_hooks + CROSSING_on
        jne trap_in_ring0_traced
        CALL_C do_trap
leave_ring0:
        addl $4, %esp
pop_ds: popl %ds
pop_es: popl %es
1:      POP_REGISTERS
        addl $4, %esp
        iret
        EXTABLE(pop_ds, 2f)
        EXTABLE(pop_es, 3f)
2:      addl $4, %esp
        jmp pop_es
3:      addl $4, %esp
        jmp 1b

        /* One way into C for all numbers: behind those of the table is a hole for the others. */
no_such_hypercall:
        movl $NR_HYPERCALLS, %eax
        jmp .Lcall

/*
 * The same ways while a module records crossings (ringlet/crossings.h).
 */
hypercall_traced:
        pushl %eax
        CALL_C *crossing_hooks + CROSSING_hypercall
        popl %eax
        jmp .Lhypercall
trap_traced:
        CALL_C *crossing_hooks + CROSSING_trap
        addl $4, %esp
        jmp return_to_guest
trap_in_ring0_traced:
        CALL_C *crossing_hooks + CROSSING_trap
        jmp leave_ring0
leave_traced:
        CALL_C *crossing_hooks + CROSSING_leave
        jmp load_ds

/*
 * SYSENTER, from any ring: the processor loads cs, eip and esp from MSRs and pushes nothing, so where
 * it came from is not known (SDM vol. 2, SYSENTER). IF is clear, every other flag is still the
 * guest's, NT too, until CALL_C; TF traps once before the first instruction here and once before
 * the second, where traps/traps.c clears it.
 *
 *      MSR_SYSENTER_ESP points here ->  esp    0                 \
 *                                       eflags the guest's, IF on |  what Xen 4.17 shows a
 *                                       cs     3, null in ring 3  |  32-bit guest
 *                                       eip    0                  |
 *      and above it                     ss     flat, ring 3      /
 */
        .align 16
        .globl sysenter_entry, sysenter_flags_saved
sysenter_entry:
        pushfl
sysenter_flags_saved:
        orl $EFLAGS_IF, (%esp)
        movl $0, 4(%esp)
        movl $FLAT_RING3_SS, 8(%esp)
        pushl $3
        pushl $0
        pushl $(TRAP_sysenter << 16)
        jmp common_trap

/*
 * int $0x80 of a guest whose trap table lets ring 3 call it and wants events masked on the way, as
 * Linux's does: set_int80_gate() makes this the gate. What bounce() would do for a program's usual
 * system call is done here in a quarter of the instructions: the same frame on the kernel's stack,
 * from the same fields. Everything else goes the long way, which is traps.c's: another ring than 3,
 * events masked already, a virtual IOPL to be shown, the trace, a stack that does not take the frame.
 *
 * Three registers are enough, pushed as PUSH_REGISTERS begins. Our own data and the guest's stack
 * are reached through ss, which is ours and flat; ds and es stay the guest's, and are saved for the
 * long way only. Events are masked and whoever wants this CPU's attention interrupts it: nothing is
 * to be looked at on the way out.
 */
#define PUSHED_LATER 16 /* ebx, ecx, edx, esi: esp is so much above guest_regs */
#define HERE(field) (UREGS_##field - PUSHED_LATER)(%esp)
#define ON_GUEST_STACK(label, fixup, insn...) \
        label: insn; EXTABLE(label, fixup)
        .align 16
        .globl int80_entry
int80_entry:
        pushl $(SYSCALL_VECTOR << 16)
        pushl %eax
        pushl %ebp
        pushl %edi
        movw %es, HERE(es)
        movw %ds, HERE(ds)
        cmpb $0, %ss:crossing_hooks + CROSSING_on
        jne int80_long_way
        testb $2, HERE(cs)
        jz int80_long_way
        movl CPUINFO_current - PUSHED_LATER(%esp), %eax
        movl %ss:VCPU_domain(%eax), %ebp
        testl $ARCHITECTURAL_IOPL, %ss:DOMAIN_vm_assist(%ebp)
        jnz int80_long_way
        movl %ss:VCPU_info(%eax), %ebp
        cmpb $0, %ss:VCPUINFO_mask(%ebp)
        jne int80_long_way
        movl %ss:VCPU_kernel_sp(%eax), %edi
        subl $20, %edi
        cmpl $(HYPERVISOR_START - 20), %edi
        ja int80_long_way
        movl HERE(ss), %ebp
        ON_GUEST_STACK(push_ss, int80_long_way, movl %ebp, %ss:16(%edi))
        movl HERE(esp), %ebp
        ON_GUEST_STACK(push_esp, int80_long_way, movl %ebp, %ss:12(%edi))
        movl HERE(eflags), %ebp
        ON_GUEST_STACK(push_eflags, int80_long_way, movl %ebp, %ss:8(%edi))
        movzwl HERE(cs), %ebp
        ON_GUEST_STACK(push_cs, int80_long_way, movl %ebp, %ss:4(%edi))
        movl HERE(eip), %ebp
        ON_GUEST_STACK(push_eip, int80_long_way, movl %ebp, %ss:(%edi))

        movl %ss:VCPU_info(%eax), %ebp
        movb $1, %ss:VCPUINFO_mask(%ebp)
        movl %edi, HERE(esp)
        movl %ss:VCPU_kernel_ss(%eax), %ebp
        movl %ebp, HERE(ss)
        andl $~(EFLAGS_TF | EFLAGS_NT | EFLAGS_RF | EFLAGS_VM), HERE(eflags)
        movzwl %ss:VCPU_int80_cs(%eax), %ebp
        movl %ebp, HERE(cs)
        movl %ss:VCPU_int80_address(%eax), %ebp
        movl %ebp, HERE(eip)
        popl %edi
        popl %ebp
        popl %eax
        addl $4, %esp
int80_to_guest:
        iret
        EXTABLE(int80_to_guest, bad_iret)

int80_long_way:
        pushl %esi
        pushl %edx
        pushl %ecx
        pushl %ebx
        jmp trap_from_guest

        .macro STUB vector
        .align 8
trap_stub_\vector:
        .if \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17
        movw $\vector, 2(%esp)          /* the upper half of the error code's slot is unused */
        .else
        pushl $(\vector << 16)
        .endif
        jmp common_trap
        .pushsection .rodata
        .long trap_stub_\vector
        .popsection
        .endm

        /* One stub and one table entry a vector; arch/i386/desc.c fills the IDT from the table. */
        .pushsection .rodata
        .align 4
        .globl trap_stubs
trap_stubs:
        .popsection
        .altmacro
        .set vector_number, 0
        .rept 256
        STUB %vector_number
        .set vector_number, vector_number + 1
        .endr
        .noaltmacro

/*
 * void panic(const char *fmt, ...): do_panic() in xen/panic.c, with the registers as they are at the
 * call. They are saved as an exception would have left them, eip and then esp being the caller's
 * after the return.
 */
        .globl panic
panic:
        pushfl
        pushl %cs
        pushl 8(%esp)
        pushl $(NO_VECTOR << 16)
        PUSH_REGISTERS
        movl %esp, %eax
        leal UREGS_esp + 4(%esp), %edx
        pushl %edx
        pushl %eax
        CALL_C_AT_BOOT do_panic

/* Forget whatever this CPU's stack holds and go back to the guest that current names. */
        .globl run_current_vcpu
run_current_vcpu:
        andl $~(STACK_SIZE - 1), %esp
        addl $(STACK_SIZE - CPUINFO_SIZE), %esp
        jmp return_to_guest

/*
 * void reset_stack_and_call(void (*fn)(void)): the same, into a function that does not return. eax
 * = fn.
 */
        .globl reset_stack_and_call
reset_stack_and_call:
        andl $~(STACK_SIZE - 1), %esp
        addl $(STACK_SIZE - CPUINFO_SIZE), %esp
        CALL_C *%eax
        ud2

/*
 * Where the task gate of a double fault leads (desc.c), on a stack of its own, with the registers
 * of its TSS. The task switch has set NT.
 */
        .globl double_fault_entry
double_fault_entry:
        CALL_C double_fault
        ud2
