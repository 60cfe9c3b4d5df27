/* SPDX-License-Identifier: MIT */
/*
 * percpu.h: what belongs to one processor, and how code finds its own.
 *
 * Each CPU has one stack of STACK_SIZE bytes, aligned to its size. Its last bytes are a struct
 * cpu_info: the frame in which the guest's registers are saved on every entry from a guest (the
 * TSS's esp0 points into it), and pointers to the vcpu that runs and to this CPU's state. So `esp &
 * ~(STACK_SIZE - 1)` reaches all three without a segment register. Hypervisor code never sleeps: a
 * vcpu that stops leaves its registers in struct vcpu and the stack is reset.
 */
#ifndef RINGLET_PERCPU_H
#define RINGLET_PERCPU_H

#include <ringlet/desc.h>
#include <ringlet/lib.h>
#include <ringlet/spinlock.h>
#include <xen/xen.h>

struct vcpu;
struct timer;
struct shadow;

/*
 * Top of the stack. The processor pushes ss, esp, eflags, cs, eip below guest_regs.es on entry from
 * ring 1 or 3.
 */
struct cpu_info {
    struct cpu_user_regs guest_regs;
    struct vcpu *vcpu; /* the one that runs: `current` */
    struct cpu *cpu;
};

/*
 * Work to be done before the next return to a guest. One bit each in cpu.softirq_pending.
 * xen/softirq.c
 */
enum softirq {
    SOFTIRQ_DEAD_DOMAINS,
    SOFTIRQ_TIMER,
    SOFTIRQ_SCHEDULE,
    SOFTIRQ_CONSOLE,
    SOFTIRQ_NMI,
    SOFTIRQ_REGISTERS,
    SOFTIRQ_GATHER,
    NR_SOFTIRQS
};

struct cpu {
    unsigned id;
    /* bits of enum softirq; set atomically by any CPU, cleared by this one */
    uint32_t softirq_pending;
    struct vcpu *idle;
    struct vcpu *fpu_owner; /* whose FPU state is in the registers; NULL: nobody's */

    /* mapcache.c: slot i shows frame tag[i]; users[i] counts map_frame() calls not yet undone. */
    mfn_t map_tag[MAPCACHE_SLOTS];
    uint8_t map_users[MAPCACHE_SLOTS];
    pte_t *window;         /* the L1 entries of this CPU's window */
    uint32_t window_start; /* its address, WINDOW_START(id) */

    uint32_t tlb_flushed; /* the TLB clock at this CPU's last full flush */
    uint32_t l3_copied;   /* and at the last for which it copied `l3` anew; tlb.c, T2 */
    bool flush_requested; /* another CPU waits for one; atomic */
    bool guest_tables;    /* runs on a guest's page tables, or is about to; tlb.c */
    /*
     * The four L3 entries this CPU runs on: our copy, because the processor reserves bits that
     * guests may set.
     */
    pte_t l3[L3_ENTRIES] __aligned(32);
    /* of a domain in log-dirty mode: what the processor is given instead (mm/logdirty/shadow.c) */
    pte_t shadow_l3[L3_ENTRIES] __aligned(32);
    struct shadow *shadow; /* NULL: the running domain is not in that mode */
    uint32_t guest_root;   /* machine address of the one of the two that CR3 shall have */

    /*
     * hypercall/multicall.c: the entry being carried out, NULL outside; and whether it asked to be
     * continued.
     */
    struct multicall_entry *multicall;
    bool multicall_continued;
    uint32_t iret_eax; /* what the last `iret` hypercall leaves in eax */

    struct desc *gdt; /* the reserved page of the GDT, direct-mapped */
    struct gate *idt;
    struct tss tss;

    /* the next seven: runq_lock; xen/sched.c */
    struct vcpu *runs;          /* the vcpu this CPU runs, or switches to */
    const struct vcpu *offered; /* the one this CPU shall run, if it is first; compared only */
    uint64_t vtime;             /* how far virtual time is here; never goes back */
    uint64_t charged_at;        /* system time up to which `runs` has been charged */
    uint64_t slice_end;         /* when `runs` gives way to a vcpu that waits */
    struct timer *slice_timer;  /* active while one waits; on the heap of any CPU */
    uint64_t idle_ns;

    spinlock_t timer_lock;       /* timers and their links; xen/timer.c */
    struct timer *timer_running; /* whose function is being called; written by this CPU only */
    struct timer *timers;        /* heap by expiry: the one that expires first */
    uint64_t timer_deadline; /* what the timer device is set to; ~0: nothing. Its own CPU only */

    uint32_t locks_held;          /* one bit a lock_rank; debug builds */
    uint8_t lock_depth[RANK_MAX]; /* locks held of that rank */
    uint32_t apic_id;
    int64_t tsc_offset; /* its TSC less the boot CPU's; xen/time.c */
    bool online;        /* set once, by itself: takes part in everything from then on */
};

/* arch/i386/percpu.c */
extern struct cpu cpus[MAX_CPUS];
extern unsigned nr_cpus; /* CPUs 0 to nr_cpus - 1 are online; changes at boot only */
void percpu_init(struct cpu *c, struct cpu_info *info, struct vcpu *idle);

static inline struct cpu_info *get_cpu_info(void)
{
    uintptr_t sp;
    __asm__("movl %%esp, %0" : "=r"(sp));
    return (struct cpu_info *)((sp & ~(uintptr_t)(STACK_SIZE - 1)) + STACK_SIZE -
                               sizeof(struct cpu_info));
}

#ifdef RINGLET_HOST
extern _Thread_local struct cpu *host_cpu; /* a test may play several CPUs at once */
extern _Thread_local struct vcpu *host_vcpu;
#define this_cpu host_cpu
#define current host_vcpu
#else
#define this_cpu (get_cpu_info()->cpu)
#define current (get_cpu_info()->vcpu)
#endif
#define guest_regs() (&get_cpu_info()->guest_regs)

#ifndef RINGLET_HOST
/* The frame's contents at an address of this CPU's, until unmap_frame(). Maps nest. */
static inline void *map_frame(mfn_t mfn)
{
    struct cpu *c = this_cpu;
    unsigned slot = mfn % MAPCACHE_SLOTS;

    if (mfn < DIRECTMAP_SIZE >> PAGE_SHIFT)
        return direct_map((maddr_t)mfn << PAGE_SHIFT);
    if (unlikely(c->map_tag[slot] != mfn))
        return map_frame_slow(mfn);
    c->map_users[slot]++;
    return (void *)(c->window_start + slot * PAGE_SIZE);
}

/* The same for a glance: until this CPU's next map_frame(), and nothing is to be undone. */
static inline const void *glance_frame(mfn_t mfn)
{
    struct cpu *c = this_cpu;
    unsigned slot = mfn % MAPCACHE_SLOTS;

    if (mfn < DIRECTMAP_SIZE >> PAGE_SHIFT)
        return direct_map((maddr_t)mfn << PAGE_SHIFT);
    if (unlikely(c->map_tag[slot] != mfn))
        return glance_frame_slow(mfn);
    return (const void *)(c->window_start + slot * PAGE_SIZE);
}

/* Undo one map_frame(); any address within the page will do. */
static inline void unmap_frame(const void *va)
{
    struct cpu *c = this_cpu;
    uint32_t slot = ((uintptr_t)va - c->window_start) >> PAGE_SHIFT;

    if (slot < MAPCACHE_SLOTS) {
        ASSERT(c->map_users[slot] > 0);
        c->map_users[slot]--;
    }
}
#endif

/* arch/i386/ipi.c: interrupt another CPU, for nothing but to make it look around */
void send_ipi(const struct cpu *c);
void ipi_interrupt(void); /* IPI_VECTOR */
void stop_other_cpus(void);
void stop_if_told(void); /* NMI */

/* arch/i386/tlb.c */
void tlb_serve_request(void);
void wait_for_cpus(void);

static inline void raise_softirq(enum softirq nr)
{
    __atomic_fetch_or(&this_cpu->softirq_pending, 1u << nr, __ATOMIC_SEQ_CST);
}

/*
 * The same for any CPU. Another one is interrupted, so that it leaves its guest, or HLT, and looks;
 * where the bit was set already it has been, or is on its way out.
 */
static inline void raise_softirq_on(struct cpu *c, enum softirq nr)
{
    uint32_t was = __atomic_fetch_or(&c->softirq_pending, 1u << nr, __ATOMIC_SEQ_CST);

    if (unlikely(c != this_cpu) && !(was >> nr & 1))
        send_ipi(c);
}

/*
 * One turn of a loop that waits for another CPU. What that one may be waiting for in its turn, a TLB
 * flush of ours, is done meanwhile: interrupts are off, so this is the only way to hear of it.
 */
static inline void cpu_relax(void)
{
    if (unlikely(*(volatile bool *)&this_cpu->flush_requested))
        tlb_serve_request();
    __builtin_ia32_pause();
}

/*
 * Has something come up that a long operation should give way to? Long loops ask this and continue
 * later.
 */
bool preempt_needed(void); /* xen/softirq.c */
asmlinkage void do_softirq(void);
void softirq_register(enum softirq nr, void (*handler)(void));
void softirq_init(void);
void gather_cpus(void);
void release_cpus(void);
void gather_here(void);

#endif
