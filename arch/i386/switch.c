/* SPDX-License-Identifier: MIT */
/*
 * switch.c: from one vcpu to another on this CPU.
 *
 * There is one stack a CPU and none a vcpu: what a guest was doing is its registers in
 * cpu_info.guest_regs and nothing else, because hypervisor code never stops halfway. So a switch
 * copies registers out and in, loads what the processor keeps behind our back (page tables,
 * descriptor tables, TSS, fs and gs, debug registers), and leaves by the door.
 *
 * FPU and SSE registers are loaded late: the processor's CR0.TS makes the first FPU instruction
 * fault (#NM), and fpu_restore() then loads the vcpu's. They are saved when a vcpu that used them
 * is switched out, so another CPU never has to ask for them.
 */
#include <ringlet/arch.h>
#include <ringlet/crossings.h>
#include <ringlet/emulate.h>
#include <ringlet/mm.h>
#include <ringlet/sched.h>
#include <ringlet/traps.h>
#include <ringlet/written.h>

struct crossing_hooks crossing_hooks;

/* The registers of a vcpu, wherever they are now. The vcpu must be current or not running. */
struct cpu_user_regs *vcpu_regs(struct vcpu *v)
{
    return v == current ? guest_regs() : &v->regs;
}

/* fs and gs stay loaded while a guest runs; fetch them for a dump or a copy of the context. */
void sync_vcpu_regs(struct vcpu *v)
{
    struct cpu_user_regs *regs = vcpu_regs(v);

    if (v != current)
        return;
    __asm__ volatile("movw %%fs, %0\n\tmovw %%gs, %1" : "=m"(regs->fs), "=m"(regs->gs));
}

/* Save the FPU registers if they hold some vcpu's state, and make the next use fault. */
void fpu_save_owner(void)
{
    struct cpu *c = this_cpu;

    if (c->fpu_owner) {
        clts();
        __asm__ volatile("fxsave %0" : "=m"(c->fpu_owner->fpu));
        c->fpu_owner = NULL;
    }
    stts();
}

/*
 * The registers of a vcpu that has never used them, as a reset leaves them: all of them, since
 * FNINIT would leave it the data registers of whoever came before. SDM vol. 1, table 10-1.
 */
static void fpu_reset(struct vcpu *v)
{
    memset(v->fpu, 0, sizeof(v->fpu));
    *(uint16_t *)v->fpu = 0x37f;         /* FCW */
    *(uint32_t *)(v->fpu + 24) = 0x1f80; /* MXCSR */
    v->fpu_initialised = true;
}

/*
 * walk 54: The FPU is loaded late
 *
 * Claim: Many vcpus never touch the FPU between two switches. CR0.TS is set at each switch, so that
 * the first FPU instruction faults with #NM, and the registers are loaded here. A vcpu that never
 * used them gets what a reset leaves. FNINIT comes first because some processors' FXRSTOR leaves
 * three pointers of the last owner in place.
 * Without it: With 512 bytes moved twice at every switch it would be slow; without the reset a new
 * vcpu would read the numbers its neighbour computed with.
 * Shown by: tests/guests/rings/fpu/main.c::test_first_use, tests/guests/rings/fpu/main.c::test_ts
 */
/*
 * Give the FPU to v, which is current, after it faulted on it. SDM vol. 1, 10.5 (FXSAVE area).
 * FNINIT first, for AMD's processors: where no exception is pending their FXRSTOR leaves the pointers
 * to the last instruction and its operand alone, which are another guest's.
 */
void fpu_restore(struct vcpu *v)
{
    struct cpu *c = this_cpu;

    clts();
    if (c->fpu_owner == v)
        return;
    ASSERT(!c->fpu_owner);
    if (!v->fpu_initialised)
        fpu_reset(v);
    __asm__ volatile("fninit\n\tfxrstor %0" : : "m"(v->fpu));
    c->fpu_owner = v;
}

/*
 * fs and gs of a guest may name anything; a descriptor that has gone bad since makes the load
 * fault. Then the selector becomes null and the guest hears of it by its failsafe callback. true:
 * both loaded.
 */
static bool load_guest_fs_gs(const struct cpu_user_regs *regs)
{
    uint32_t bad = 0;

    __asm__ volatile("1: movl %1, %%fs\n"
                     "2: movl %2, %%gs\n"
                     "3:\n\t"
                     ".pushsection .text.fixup, \"ax\"\n"
                     "4: movl %4, %%fs\n\torl $1, %0\n\tjmp 2b\n"
                     "5: movl %4, %%gs\n\torl $2, %0\n\tjmp 3b\n\t"
                     ".popsection\n\t"
                     ".pushsection .extable, \"a\"\n\t"
                     ".long 1b, 4b, 2b, 5b\n\t"
                     ".popsection"
                     : "+&r"(bad)
                     : "r"((uint32_t)regs->fs), "r"((uint32_t)regs->gs), "m"(*regs), "r"(0));
    return !bad;
}

/*
 * This CPU is on `to`'s page tables and knows nothing of `from` any more. The CPU's bit goes only
 * now: until CR3 was loaded the processor could walk from's tables at any moment.
 */
static void leave(struct vcpu *from, const struct vcpu *to)
{
    if (from->domain != to->domain)
        __atomic_fetch_and(&from->domain->dirty_cpus, ~(1u << this_cpu->id), __ATOMIC_SEQ_CST);
    sched_context_saved(from);
}

/*
 * walk 53: A switch is a copy
 *
 * Claim: There is one stack for each processor and none for a vcpu, because hypervisor code never
 * stops halfway: what a guest was doing is its registers and nothing else. So a switch copies
 * registers and loads what the processor keeps elsewhere: the stack for ring 1 in the TSS,
 * descriptor tables, the gate for system calls, debug registers, page tables. fs and gs come last.
 * They may name descriptors that are gone by now; the load faults then, as expected, and the guest
 * hears of it by its failsafe callback.
 * Without it: Each thing forgotten here is shown to the next guest, or believed of it.
 * Shown by: tests/guests/rings/failsafe/main.c::test_fs_gs, tests/guests/rings/fpu/main.c::test_turns,
 * tests/system/test_trapstate.py::test_trap_states
 */
static void load_guest_state(struct vcpu *v, struct vcpu *from)
{
    struct cpu *c = this_cpu;
    struct cpu_user_regs *regs = guest_regs();

    *regs = v->regs;
    c->tss.ss1 = v->kernel_ss;
    c->tss.esp1 = v->kernel_sp;
    map_gdt_window(v->gdt_frames, DIV_ROUND_UP(v->gdt_entries, 512));
    load_guest_ldt(v);
    set_int80_gate(v);
    load_debug_registers(v);
    load_guest_cr4(v);
    if (anybody_watched())
        watch_switch_to(v->domain);
    c->guest_tables = true;
    __atomic_fetch_or(&v->domain->dirty_cpus, 1u << c->id, __ATOMIC_SEQ_CST);
    reload_l3(v);
    leave(from, v);
    vcpu_switched_in(v);
    nmi_recheck(v);
    if (!load_guest_fs_gs(regs)) {
        uint32_t fs = regs->fs, gs = regs->gs;

        sync_vcpu_regs(v);
        deliver_failsafe(regs->ds, regs->es, fs, gs);
    }
}

static void save_guest_state(struct vcpu *v)
{
    sync_vcpu_regs(v);
    v->regs = *guest_regs();
    fpu_save_owner();
    unmap_ldt_window();
    unload_debug_registers(v);
}

/*
 * Switch this CPU from `from`, which is current, to `to`. Called by the scheduler with no lock
 * held; does not return.
 */
noreturn void context_switch(struct vcpu *from, struct vcpu *to)
{
    if (unlikely(crossing_hooks.on))
        crossing_hooks.switched(from, to);
    if (from != this_cpu->idle)
        save_guest_state(from);
    get_cpu_info()->vcpu = to;
    if (to == this_cpu->idle) {
        __asm__ volatile("movl %0, %%fs\n\tmovl %0, %%gs" : : "r"(0));
        map_gdt_window(NULL, 0);
        install_idle_l3();
        if (anybody_watched())
            watch_switch_to(NULL);
        leave(from, to);
        reset_stack_and_call(idle_loop);
    }
    load_guest_state(to, from);
    run_current_vcpu();
}

/*
 * Nothing to run: wait for an interrupt with the processor halted. STI takes effect after HLT, so
 * no wake-up is lost.
 */
noreturn void idle_loop(void)
{
    for (;;) {
        if (!this_cpu->softirq_pending)
            __asm__ volatile("sti\n\thlt\n\tcli" ::: "memory");
        do_softirq();
    }
}
