/* SPDX-License-Identifier: MIT */
/*
 * domain.h: a domain (one guest and its memory) and its vcpus.
 *
 * A domain is found by its id: ids are given out so that no two live domains share a slot (domid &
 * 1023), and the slot is what a frame's `owner` field holds. A domain lives as long as something
 * refers to it: `refs` counts one for being in the table, one while it owns any frame, and one for
 * each short-term user (find_domain).
 *
 * Read next: xen/domain.c (life and death), xen/builder.c (the initial domain), xen/sched.c (who
 * runs).
 */
#ifndef RINGLET_DOMAIN_H
#define RINGLET_DOMAIN_H

#include <ringlet/desc.h>
#include <ringlet/evtchn.h>
#include <ringlet/frame.h>
#include <ringlet/grant.h>
#include <ringlet/percpu.h>
#include <ringlet/ranges.h>
#include <ringlet/spinlock.h>
#include <ringlet/time.h>
#include <xen/vcpu.h>
#include <xen/xen.h>

#define NR_DOMAIN_SLOTS 1024
#define MAX_VCPUS XEN_LEGACY_MAX_VCPUS

/* Why a vcpu may not run, besides pauses; bits of vcpu.wait. */
#define WAIT_BLOCKED 0x1 /* SCHEDOP_block: until an event */
#define WAIT_POLLING 0x2 /* SCHEDOP_poll: until one of some ports is pending, or a timeout */
#define WAIT_DOWN 0x4    /* not yet initialised, or taken down */

/*
 * V1  `processor` and `running` change only under runq_lock.
 * V2  while not `running`, `regs` holds the guest's registers; while running, they are in
 *     cpu_info.guest_regs.
 * V3  `l3_frame` holds a general and a type reference to an L3, or is INVALID_MFN (the vcpu cannot
 *     run then).
 */
struct vcpu {
    struct domain *domain;
    unsigned id;
    struct cpu *volatile processor; /* where it runs, or ran last; before `running` */
    struct vcpu_info *info; /* in shared_info, or where the guest registered it: always mapped */
    mfn_t info_mfn;         /* frame holding a registered vcpu_info, else INVALID_MFN */
    bool initialised;       /* has had a context set */

    /* Scheduling; runq_lock, but for wait and pause_count, which are atomic. See xen/sched.c. */
    volatile bool running;
    bool queued;
    struct vcpu *runq_next, *runq_prev;
    volatile uint32_t wait; /* WAIT_* */
    volatile int pause_count;
    struct vcpu_runstate_info runstate;
    uint64_t vtime;                   /* virtual run time, ns */
    void *runstate_guest;             /* registered area, guest address */
    void *time_info_guest;            /* registered vcpu_time_info copy, guest address */
    volatile evtchn_port_t poll_port; /* the one port polled for; 0: several */
    uint32_t affinity;                /* CPUs it may run on */
    uint32_t affinity_saved; /* what it was before SCHEDOP_pin_override; 0: not overridden */

    struct timer poll_timer;
    struct timer singleshot_timer;
    struct timer periodic_timer;
    uint64_t periodic_period; /* ns; 0: stopped. virq_lock */
    uint64_t periodic_last;   /* system time of the last periodic tick. virq_lock */
    /* virq_port: a VIRQ is sent to the port it is bound to, or not at all; the periodic tick */
    spinlock_t virq_lock;
    evtchn_port_t virq_port[NR_VIRQS];
    struct evtchn_fifo_vcpu *fifo;

    /* The guest's processor state. */
    struct cpu_user_regs regs; /* V2 */
    mfn_t l3_frame;            /* V3 */
    /* a table this vcpu let go whose undoing is not finished, under its owner's mm_lock; INVALID_MFN:
     * none */
    mfn_t old_table;
    uint32_t kernel_ss, kernel_sp;
    uint32_t event_cs, event_eip;
    uint32_t failsafe_cs, failsafe_eip;
    bool failsafe_masks_events;
    uint32_t sysenter_cs, sysenter_eip;
    bool sysenter_masks_events;
    uint32_t nmi_cs, nmi_eip;
    bool nmi_pending, nmi_masked;
    uint32_t cr0_ts;            /* virtual CR0.TS: X86 CR0_TS or 0 */
    uint32_t cr0, cr4;          /* what the guest believes */
    uint32_t debugreg[8];       /* DR0-3, 6, 7; 4 and 5 unused */
    unsigned iopl;              /* virtual IOPL of ring 1 and up: 0 to 3 */
    const uint8_t *iobmp_guest; /* guest address of the port permission bitmap */
    unsigned iobmp_ports;
    unsigned gdt_entries;
    /* each holds a FT_SEG reference; the first DIV_ROUND_UP(gdt_entries, 512) */
    mfn_t gdt_frames[GUEST_GDT_PAGES];
    uint32_t ldt_base, ldt_entries;
    mfn_t ldt_frames[GUEST_LDT_PAGES]; /* mapped so far: FT_SEG references; INVALID_MFN: not yet */
    bool fpu_initialised;
    struct trap_info traps[256];
    uint8_t fpu[512] __aligned(16);
};

#define SHUTDOWN_CODE_NONE (~0u)

/* NEW: being made, nobody finds it. DYING is entered with no vcpu on a CPU; mm_lock tells it apart. */
enum domain_state { DOMAIN_ALIVE, DOMAIN_DYING, DOMAIN_DEAD, DOMAIN_NEW };

struct dirty_log;

/*
 * A CLEAN or PEEK of the log (mm/logdirty/domctl_shadow.c) of which parts are still to be done;
 * domctl_lock.
 */
struct log_report {
    unsigned next; /* the leaf to be told next; 0: nothing was begun */
    unsigned op;   /* XEN_DOMCTL_SHADOW_OP_* */
    domid_t domid; /* who asks */
    unsigned vcpu;
    uint32_t fault_count, dirty_count; /* when it began */
};

struct domain {
    domid_t id;
    unsigned slot; /* id & 1023 */
    uint32_t refs; /* atomic */
    bool privileged;
    bool initial;
    bool debugger_attached;
    enum domain_state state;
    bool shut_down;         /* the guest asked for SHUTDOWN_*; its vcpus are paused */
    unsigned shutdown_code; /* SHUTDOWN_*, or SHUTDOWN_CODE_NONE until one is given */
    volatile bool crashed;  /* domain_crash() has been called: no vcpu runs again */
    xen_domain_handle_t handle;
    uint32_t ssidref;

    struct shared_info *shared_info; /* a heap page shared with the guest */
    unsigned max_vcpus;
    struct vcpu *vcpus[MAX_VCPUS];
    volatile int pause_count;   /* atomic: the hypervisor's and the controllers' pauses together */
    int controller_pause_count; /* domctl pauses not yet undone; domctl_lock */

    /*
     * page_lock: the frames. tot_pages counts frames from assign_frames; heap pages shared with it
     * are separate.
     */
    spinlock_t page_lock;
    mfn_t page_list; /* first frame of the list linked by next/prev; 0: none */
    uint32_t tot_pages, max_pages;
    uint32_t heap_pages;  /* heap pages shared with this domain and still referenced */
    uint32_t heap_bytes;  /* of the heap, kept for it and not shared; atomic. H1, mm/xzalloc.c */
    uint32_t global_maps; /* global map slots it holds; globalmap_lock */
    /* what XENMEM_memory_map tells the guest; NULL: it must guess. xfree() it */
    struct e820_entry *memory_map;
    unsigned memory_map_entries;

    /*
     * mm_lock: all page tables of the domain, its descriptor tables, and what its vcpus load from
     * them.
     */
    spinlock_t mm_lock;
    bool l3_above_4g;    /* the kernel said extended-cr3 or bimodal, or asked by vm_assist */
    uint32_t tlb_stale;  /* TLB clock when this domain's memory last lost a mapping; atomic */
    uint32_t dirty_cpus; /* CPUs that run, or switch to, its vcpus; atomic */
    /* CPUs that may have translations from mappings that other domains had of its memory; tlb.c, T6 */
    uint32_t foreign_cpus;
    uint32_t vm_assist;      /* VMASST_TYPE_* bits */
    unsigned teardown_phase; /* mm/teardown.c */
    mfn_t teardown_cursor;
    mfn_t teardown_table;                                  /* being undone; INVALID_MFN: none */
    struct common_l1 common_l1s[L2_FIRST_HYPERVISOR_SLOT]; /* of its top L2s; mm_lock */
    struct dirty_log *dirty_log; /* NULL: it never was in log-dirty mode; dirty_log.h, DL1 */
    struct log_report log_report;

    spinlock_t evtchn_lock; /* everything in `evtchn` but the queues of the FIFO ABI */
    /* the queues of the FIFO ABI: their tails and the links between events */
    spinlock_t fifo_lock;
    struct evtchn_table evtchn;
    volatile uint32_t poll_mask; /* vcpus in SCHEDOP_poll; atomic */
    struct grant_table grant;

    char line[160]; /* what an unprivileged guest wrote by console_io since its last newline */
    unsigned line_length;

    int64_t time_offset; /* seconds added to the wall clock */
    uint8_t *ioports;    /* bitmap of 65536 ports this domain may use, or NULL: none */
    struct pirq *pirqs;  /* evtchn/pirq's; NULL: it has none; irq_lock */
    uint32_t irqs[DIV_ROUND_UP(NR_LINES, 32)]; /* bitmap of the lines it may bind; irq_lock */
    /* the PICs' mask registers as it wrote them, ones and zeros exchanged; traps/ioports.c */
    uint8_t pic_open_lines[2];
    struct ranges iomem; /* frames that are not memory and that it may map; mm_lock */
    uint64_t cpu_time;   /* ns, of vcpus that are gone */

    /* The share of its vcpus; runq_lock, see xen/sched.c. */
    uint16_t weight;
    uint16_t cap;        /* hundredths of one CPU; 0: none */
    bool parked;         /* the budget is used up: no vcpu runs until period_end */
    uint32_t vtime_rate; /* 2^16 * 256 / weight */
    int64_t budget;      /* ns that a capped domain may run until period_end */
    uint64_t period_end; /* system time */
    struct timer cap_timer;

    struct timer watchdog[2];
    bool watchdog_used[2];
    struct domain *next; /* list in order of id; domlist_lock */
    struct domain *next_dead;
};

/* xen/domain.c */
extern struct domain *domain_list;
extern struct domain *domain_slots[NR_DOMAIN_SLOTS];
extern struct domain *initial_domain;
extern spinlock_t domlist_lock;
extern struct domain idle_domain;
extern struct vcpu idle_vcpu; /* the boot CPU's */
void domains_init(void);
struct vcpu *idle_vcpu_create(void);
extern struct domain io_domain; /* DOMID_IO: owns the frames that are no memory */
struct domain *domain_create(domid_t id, bool privileged, unsigned max_vcpus);
struct vcpu *vcpu_create(struct domain *d, unsigned id);
int domain_kill(struct domain *d);
struct domain *find_domain(domid_t id);         /* takes a reference; NULL when there is none */
struct domain *find_domain_or_self(domid_t id); /* the same, where DOMID_SELF means the caller */
void put_domain(struct domain *d);
void domain_pause(struct domain *d);
void domain_pause_sync(struct domain *d);
void domain_unpause(struct domain *d);
int domain_pause_by_controller(struct domain *d);
int domain_unpause_by_controller(struct domain *d);
void domain_shutdown(struct domain *d, unsigned reason);
noreturn void machine_shutdown(unsigned reason);
void domain_resume(struct domain *d);
/*
 * End this domain and say why: registers and stack are printed. Safe anywhere, does not return
 * control to the guest.
 */
void domain_crash(struct domain *d, const char *why, ...) __printf(2, 3);
int vcpu_reset(struct vcpu *v);
void vcpu_unmap_info(struct vcpu *v);
void send_guest_trap_nmi(struct vcpu *v);

static inline void get_domain(struct domain *d)
{
    __atomic_fetch_add(&d->refs, 1, __ATOMIC_SEQ_CST);
}

static inline struct domain *frame_owner(const struct frame *f)
{
    return domain_slots[f->owner];
}

/* A mapping of d's memory is gone; its entry was replaced by a locked instruction. arch/i386/tlb.c */
void tlb_stamp_anew(struct domain *d);
static inline void tlb_stamp(struct domain *d)
{
    if (unlikely(d->tlb_stale != *(volatile uint32_t *)&tlb_clock))
        tlb_stamp_anew(d);
}

/* The same where the mapping stood in a table of another domain's. */
void tlb_stamp_foreign(struct domain *owner, const struct domain *mapper);

/* xen/context.c: the public vcpu_guest_context */
int set_vcpu_context(struct vcpu *v, const struct vcpu_guest_context *c);
void get_vcpu_context(struct vcpu *v, struct vcpu_guest_context *c);
uint32_t sanitise_eflags(uint32_t eflags);

/* xen/builder.c */
struct boot_module {
    const void *start;
    uint32_t size;
    const char *cmdline;
    char name[32]; /* of its file, where the loader says it; else "" */
};
noreturn void refuse_kernel(const struct boot_module *m, const char *reason);
void build_initial_domain(const struct boot_module *kernel, const struct boot_module *ramdisk);

/* arch/i386/switch.c */
noreturn void context_switch(struct vcpu *from, struct vcpu *to);
void fpu_restore(struct vcpu *v);
void fpu_save_owner(void);
void sync_vcpu_regs(struct vcpu *v);
struct cpu_user_regs *vcpu_regs(struct vcpu *v);
noreturn void idle_loop(void);

/* arch/i386/entry.S */
noreturn void run_current_vcpu(void);
noreturn void reset_stack_and_call(void (*fn)(void));

/* arch/i386/selftest.c */
extern bool ring_compression_enforced;
void ring_compression_selftest(void);

#define for_each_vcpu(d, v)                                   \
    for (unsigned i_##v = 0; i_##v < (d)->max_vcpus; i_##v++) \
        if (((v) = (d)->vcpus[i_##v]))

#endif
