/* SPDX-License-Identifier: MIT */
/*
 * domain.c: the life of a domain: made, paused, shut down, killed, freed.
 *
 *   alive --- domain_kill() ---> dying --- all memory back ---> dead --- last reference gone --->
 *   freed
 *
 * A domain shut down by itself stays alive but paused: its memory can be looked at until the
 * control domain destroys it. A dying one keeps its place in the table, because frames still mapped
 * by others name it as their owner.
 *
 * The initial domain is the machine's: when it powers off or reboots, so does the machine.
 *
 * Read next: sched.c, mm/teardown.c.
 */
#include <stdarg.h>

#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/module.h>
#include <ringlet/sched.h>
#include <xen/sched.h>

/* domlist_lock guards domain_list, each domain's `next`, and domain_slots[]. */
spinlock_t domlist_lock = SPINLOCK_INIT(RANK_DOMLIST);
struct domain *domain_list;
struct domain *domain_slots[NR_DOMAIN_SLOTS];
struct domain *initial_domain;

struct domain idle_domain, io_domain;
struct vcpu idle_vcpu;

/* Where the vcpu_info of a vcpu points when its page is gone: harmless, events masked. */
static struct vcpu_info dead_vcpu_info = {.evtchn_upcall_mask = 1};

static void idle_vcpu_init(struct vcpu *v)
{
    v->domain = &idle_domain;
    v->l3_frame = v->old_table = INVALID_MFN;
    v->info = &dead_vcpu_info;
    sched_init_vcpu(v);
}

/* The idle vcpu of a further CPU. NULL: out of memory. */
struct vcpu *idle_vcpu_create(void)
{
    struct vcpu *v = xzalloc(struct vcpu);

    if (v)
        idle_vcpu_init(v);
    return v;
}

static void free_dead_domains(void);

static void special_domain_init(struct domain *d, domid_t id, unsigned slot)
{
    d->id = id;
    d->slot = slot;
    d->refs = 1;
    spin_lock_init(&d->mm_lock, RANK_MM);
    spin_lock_init(&d->page_lock, RANK_PAGES);
}

/*
 * Boot: the domains that are no guests. Not by initialisers, which would put some 14 KiB, mostly
 * zeros, into the image.
 */
void domains_init(void)
{
    softirq_register(SOFTIRQ_DEAD_DOMAINS, free_dead_domains);
    special_domain_init(&idle_domain, DOMID_IDLE, OWNER_NONE);
    special_domain_init(&io_domain, DOMID_IO, OWNER_IO);
    idle_vcpu_init(&idle_vcpu);
}

/* --- Looking domains up ----------------------------------------------------------------------- */

static void insert_domain(struct domain *d)
{
    struct domain **p = &domain_list;

    spin_lock(&domlist_lock);
    ASSERT(!domain_slots[d->slot]);
    domain_slots[d->slot] = d;
    while (*p && (*p)->id < d->id)
        p = &(*p)->next;
    d->next = *p;
    *p = d;
    spin_unlock(&domlist_lock);
}

static void remove_domain(struct domain *d)
{
    struct domain **p = &domain_list;

    spin_lock(&domlist_lock);
    while (*p != d)
        p = &(*p)->next;
    *p = d->next;
    domain_slots[d->slot] = NULL;
    spin_unlock(&domlist_lock);
}

/*
 * A domain whose last reference is gone waits for domlist_lock to be removed: it must not be
 * revived.
 */
static bool get_domain_unless_freed(struct domain *d)
{
    uint32_t x = d->refs;

    while (x && !__atomic_compare_exchange_n(&d->refs, &x, x + 1, false, __ATOMIC_SEQ_CST,
                                             __ATOMIC_SEQ_CST))
        ;
    return x != 0;
}

/* The domain with this id, with a reference for the caller to put_domain(); NULL: none. */
struct domain *find_domain(domid_t id)
{
    struct domain *d;

    if (id >= DOMID_FIRST_RESERVED)
        return NULL;
    spin_lock(&domlist_lock);
    d = domain_slots[id & (NR_DOMAIN_SLOTS - 1)];
    if (d && (d->id != id || d->state == DOMAIN_NEW || !get_domain_unless_freed(d)))
        d = NULL;
    spin_unlock(&domlist_lock);
    return d;
}

struct domain *find_domain_or_self(domid_t id)
{
    if (id != DOMID_SELF)
        return find_domain(id);
    get_domain(current->domain);
    return current->domain;
}

/* --- Birth ------------------------------------------------------------------------------------ */

/*
 * Every vcpu_info begins with events masked, whether its vcpu exists yet or not: guests rely on it.
 */
static bool make_shared_info(struct domain *d)
{
    d->shared_info = heap_alloc_pages(0);
    if (!d->shared_info)
        return false;
    memset(d->shared_info, 0, PAGE_SIZE);
    for (unsigned i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
        d->shared_info->vcpu_info[i].evtchn_upcall_mask = 1;
    share_heap_page(d, d->shared_info, true);
    return true;
}

static void init_locks(struct domain *d)
{
    spin_lock_init(&d->page_lock, RANK_PAGES);
    spin_lock_init(&d->mm_lock, RANK_MM);
    spin_lock_init(&d->evtchn_lock, RANK_EVTCHN);
}

/*
 * A new domain without memory or vcpus, paused. Its id's slot must be free. NULL: out of memory.
 * The caller owns the creation reference, which domain_kill() drops.
 */
struct domain *domain_create(domid_t id, bool privileged, unsigned max_vcpus)
{
    struct domain *d = xzalloc(struct domain);

    ASSERT(max_vcpus >= 1 && max_vcpus <= MAX_VCPUS);
    if (!d)
        return NULL;
    d->id = id;
    d->slot = id & (NR_DOMAIN_SLOTS - 1);
    d->refs = 1;
    d->privileged = privileged;
    d->max_vcpus = max_vcpus;
    d->shutdown_code = SHUTDOWN_CODE_NONE;
    d->teardown_table = INVALID_MFN;
    d->state = DOMAIN_NEW;
    d->pause_count = d->controller_pause_count = 1;
    init_locks(d);
    watchdogs_init(d);
    sched_init_domain(d);
    insert_domain(d);
    if (!make_shared_info(d))
        goto no_memory;
    if (evtchn_init(d))
        goto no_events;
    if (grant_table_init(d))
        goto no_grants;
    update_wallclock(d);
    __atomic_store_n(&d->state, DOMAIN_ALIVE, __ATOMIC_RELEASE);
    return d;

no_grants:
    evtchn_destroy(d);
no_events:
    unshare_heap_page(d, d->shared_info);
no_memory:
    remove_domain(d);
    xfree(d);
    return NULL;
}

/* A new vcpu of d's, down until a context is set. NULL: out of memory. */
struct vcpu *vcpu_create(struct domain *d, unsigned id)
{
    struct vcpu *v = xzalloc(struct vcpu);

    ASSERT(id < d->max_vcpus && !d->vcpus[id]);
    if (!v)
        return NULL;
    v->domain = d;
    v->id = id;
    v->info = &d->shared_info->vcpu_info[id];
    v->info_mfn = v->l3_frame = v->old_table = INVALID_MFN;
    for (unsigned i = 0; i < GUEST_LDT_PAGES; i++)
        v->ldt_frames[i] = INVALID_MFN;
    v->wait = WAIT_DOWN;
    v->kernel_ss = FLAT_RING1_SS;
    sched_init_vcpu(v);
    __atomic_store_n(&d->vcpus[id], v, __ATOMIC_RELEASE); /* complete before anybody sees it */
    return v;
}

/* --- Pausing and shutting down ---------------------------------------------------------------- */

void domain_pause(struct domain *d)
{
    struct vcpu *v;

    __atomic_fetch_add(&d->pause_count, 1, __ATOMIC_SEQ_CST);
    for_each_vcpu(d, v) vcpu_sleep(v);
}

/*
 * The same, and wait until no vcpu of d's is on a CPU. d is not the caller's own domain. As for
 * vcpu_pause_sync(), the caller holds domctl_lock and no other: so no two CPUs wait for each other
 * here, and whoever is waited for can come to its way out.
 */
void domain_pause_sync(struct domain *d)
{
    struct vcpu *v;

    ASSERT(d != current->domain);
    domain_pause(d);
    for_each_vcpu(d, v) vcpu_sleep_sync(v);
}

void domain_unpause(struct domain *d)
{
    struct vcpu *v;

    ASSERT(d->pause_count > 0);
    if (__atomic_sub_fetch(&d->pause_count, 1, __ATOMIC_SEQ_CST))
        return;
    for_each_vcpu(d, v) vcpu_wake(v);
}

/*
 * The control domain's pauses are counted apart, so that it cannot undo the hypervisor's.
 * domctl_lock is held.
 */
int domain_pause_by_controller(struct domain *d)
{
    d->controller_pause_count++;
    domain_pause_sync(d);
    return 0;
}

int domain_unpause_by_controller(struct domain *d)
{
    if (!d->controller_pause_count)
        return -EINVAL;
    d->controller_pause_count--;
    domain_unpause(d);
    return 0;
}

/* The initial domain's end is the machine's. */
noreturn void machine_shutdown(unsigned reason)
{
    static bool begun; /* atomic: by one CPU */

    if (__atomic_exchange_n(&begun, true, __ATOMIC_SEQ_CST))
        machine_halt();
    stop_other_cpus();
    console_flush_sync(); /* one of them may have held the lock */
    switch (reason) {
    case SHUTDOWN_poweroff:
        printk("initial domain powered off: powering off the machine\n");
        machine_power_off();
    case SHUTDOWN_reboot:
        printk("initial domain rebooted: rebooting the machine\n");
        machine_reboot();
    default:
        printk("initial domain ended (reason %u): %s the machine\n", reason,
               options.noreboot ? "halting" : "rebooting");
        if (options.noreboot)
            machine_halt();
        machine_reboot();
    }
}

/*
 * The guest is done, for SHUTDOWN_*, or for what it said before by SCHEDOP_shutdown_code: its vcpus
 * stop, and the control domain is told.
 */
void domain_shutdown(struct domain *d, unsigned reason)
{
    if (d == initial_domain)
        machine_shutdown(d->shutdown_code == SHUTDOWN_CODE_NONE ? reason : d->shutdown_code);
    domain_pause(d); /* before anybody sees it shut down, and resumes it */
    if (__atomic_exchange_n(&d->shut_down, true, __ATOMIC_SEQ_CST)) {
        domain_unpause(d);
        return;
    }
    if (d->shutdown_code == SHUTDOWN_CODE_NONE)
        d->shutdown_code = reason;
    send_initial_domain_virq(VIRQ_DOM_EXC);
}

/*
 * A domain that was shut down to be saved goes on. domctl_lock is held. It may crash at the same time,
 * by a hypercall that one of its vcpus was in: it found the domain shut down already, perhaps, and
 * left it at that; then it shuts down here (tests/models/ending.pml).
 */
void domain_resume(struct domain *d)
{
    if (d->crashed || !d->shut_down)
        return;
    d->shutdown_code = SHUTDOWN_CODE_NONE;
    __atomic_store_n(&d->shut_down, false, __ATOMIC_SEQ_CST);
    domain_unpause(d);
    if (__atomic_load_n(&d->crashed, __ATOMIC_SEQ_CST))
        domain_shutdown(d, SHUTDOWN_crash);
}

/* The top of the guest's stack, as far as it can be read. */
static void show_guest_stack(const struct cpu_user_regs *regs)
{
    uint32_t w[4];

    printk("guest stack at %08x:\n", regs->esp);
    for (unsigned i = 0; i < 16; i += 4) {
        if (copy_from_guest(w, (const uint32_t *)regs->esp + i, sizeof(w))) {
            printk("   (cannot be read)\n");
            return;
        }
        printk("   %08x %08x %08x %08x\n", w[0], w[1], w[2], w[3]);
    }
}

/*
 * walk 60: A guest's mistake is the guest's end
 *
 * Claim: Some states of a guest cannot be told to it: its stack takes no frame, its handler is
 * missing. Then the domain ends, with a reason on the console, its registers and the top of its
 * stack; and the control domain is told. No other domain is touched. The hypervisor's own faults take
 * another way, panic(), and a guest must not be able to cause one.
 * Without it: A panic that a guest can cause is a denial of service for every other guest.
 * Shown by: tests/system/test_containment.py::test_crashes_are_contained,
 * tests/guests/rings/crash-badstack/main.c::fault_in_ring3
 */
/* End a domain for something its guest did, and say what. It never runs again; others go on. */
void domain_crash(struct domain *d, const char *why, ...)
{
    char text[160];
    va_list ap;

    if (__atomic_exchange_n(&d->crashed, true, __ATOMIC_SEQ_CST))
        return;
    va_start(ap, why);
    vsnprintf(text, sizeof(text), why, ap);
    va_end(ap);
    printk("domain %u crashed: %s\n", d->id, text);
    if (d == current->domain) {
        sync_vcpu_regs(current);
        printk("domain %u vcpu %u:\n", d->id, current->id);
        show_registers(guest_regs());
        show_guest_stack(guest_regs());
    }
    domain_shutdown(d, SHUTDOWN_crash);
}

/* --- Death ------------------------------------------------------------------------------------ */

/*
 * The registered vcpu_info, if any, is unmapped and its frame let go. The vcpu does not run any
 * more; but an event may just be on its way to it, from a CPU that has read `info` already.
 */
void vcpu_unmap_info(struct vcpu *v)
{
    struct vcpu_info *info = v->info;

    if (v->info_mfn == INVALID_MFN)
        return;
    __atomic_store_n(&v->info, &dead_vcpu_info, __ATOMIC_SEQ_CST);
    wait_for_cpus();
    unmap_global(v->domain, info);
    put_frame_and_type(mfn_frame(v->info_mfn));
    v->info_mfn = INVALID_MFN;
}

/*
 * Back to how vcpu_create() left it, for DOMCTL_setvcpucontext without a context. The vcpu is
 * paused, its domain's mm_lock held. 0 or -ERESTART.
 */
int vcpu_reset(struct vcpu *v)
{
    int rc = drop_guest_cr3(v);

    if (rc)
        return rc;
    destroy_gdt(v);
    invalidate_ldt(v);
    v->ldt_entries = v->ldt_base = 0;
    memset(v->traps, 0, sizeof(v->traps));
    v->initialised = false;
    v->fpu_initialised = false;
    __atomic_fetch_or(&v->wait, WAIT_DOWN, __ATOMIC_SEQ_CST);
    return 0;
}

/* Timers and the scheduler know a dying domain's vcpus no more, and its shared pages go. */
static void finish_kill(struct domain *d)
{
    struct shared_info *shared_info = d->shared_info;
    struct vcpu *v;

    for_each_vcpu(d, v)
    {
        sched_destroy_vcpu(v);
        v->info = &dead_vcpu_info;
    }
    sched_destroy_domain(d);
    watchdogs_kill(d);
    evtchn_destroy(d);
    spin_lock(&domlist_lock); /* set_wallclock() */
    d->shared_info = NULL;
    spin_unlock(&domlist_lock);
    wait_for_cpus(); /* senders have seen that the vcpu_infos are gone */
    unshare_heap_page(d, shared_info);
}

/* What modules have done for a dying domain is undone. 0, or -ERESTART: call again. */
static int parts_let_go(struct domain *d)
{
    const struct domain_part *part;
    int rc = 0;

    for_each_record(domain_part, part)
    {
        if (part->dying && !rc)
            rc = part->dying(d);
    }
    return rc;
}

/*
 * walk 61: The end of a domain
 *
 * Claim: A domain is alive, dying, dead, freed. When it begins to die its vcpus have stopped, and
 * from then on no new reference of the kind teardown looks for can be made: ports, pins, grants and
 * frames all ask for the state first. Ports, interrupts, modules, memory go in this order, each
 * giving way when it takes long: the control domain repeats the request until it is done. The
 * structure stays until the last frame that others map is gone.
 * Without it: A port or a pin made after its kind has been taken down would be held for ever, with
 * the domain's memory.
 * Shown by: tests/system/test_life.py::test_endings,
 * tests/host/test_types.c::test_nothing_new_for_the_dying,
 * tests/system/test_hostile.py::test_untidy_deaths
 */
/*
 * End a domain and give back what it holds. 0, -EINVAL for one's own, or -ERESTART to be called
 * again. The structure stays until the last frame that others map is let go.
 */
int domain_kill(struct domain *d)
{
    int rc;

    if (d == current->domain || d == initial_domain)
        return -EINVAL;
    switch (d->state) {
    case DOMAIN_ALIVE:
        domain_pause_sync(d);
        d->state = DOMAIN_DYING;
        /* fall through */
    case DOMAIN_DYING:
        rc = evtchn_close_all(d);
        if (rc)
            return rc;
        rc = parts_let_go(d);
        if (!rc)
            rc = relinquish_memory(d);
        if (rc)
            return rc;
        finish_kill(d);
        d->state = DOMAIN_DEAD;
        send_initial_domain_virq(VIRQ_DOM_EXC);
        put_domain(d);
        return 0;
    default:
        return 0;
    }
}

static void domain_free(struct domain *d)
{
    const struct domain_part *part;

    remove_domain(d);
    for (unsigned i = 0; i < d->max_vcpus; i++)
        xfree(d->vcpus[i]);
    xfree(d->ioports);
    ranges_clear(&d->iomem);
    xfree(d->memory_map);
    for_each_record(domain_part, part)
    {
        if (part->free)
            part->free(d);
    }
    /* not before: entries that others had mapped are pinned until they let go */
    grant_table_destroy(d);
    ASSERT(!d->heap_bytes && !d->global_maps);
    xfree(d);
}

/* Domains whose last reference is gone, linked by next_dead; changes by atomic exchange only. */
static struct domain *dead_domains;

/*
 * Drop a reference; the last one frees the structure. That may be found out deep inside, as when a
 * guest unmaps the last frame of a domain long destroyed, under locks that freeing needs to be
 * without: so it is done on the way out.
 */
void put_domain(struct domain *d)
{
    if (__atomic_sub_fetch(&d->refs, 1, __ATOMIC_SEQ_CST))
        return;
    d->next_dead = dead_domains;
    while (!__atomic_compare_exchange_n(&dead_domains, &d->next_dead, d, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
        ;
    raise_softirq(SOFTIRQ_DEAD_DOMAINS);
}

static void free_dead_domains(void)
{
    struct domain *d = __atomic_exchange_n(&dead_domains, NULL, __ATOMIC_SEQ_CST), *next;

    for (; d; d = next) {
        next = d->next_dead;
        domain_free(d);
    }
}
