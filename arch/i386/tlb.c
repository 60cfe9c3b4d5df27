/* SPDX-License-Identifier: MIT */
/*
 * tlb.c: translations the processor remembers, and when it must forget them.
 *
 * A guest may remove a mapping and not flush; until it does, the TLB still lets it write the page.
 * That is its own affair until the page becomes something else: a page table, or another domain's
 * memory. So whenever a mapping of a domain's frame goes away the domain is stamped with the TLB
 * clock (tlb_stale), every full flush advances the clock and stamps the CPU with it (tlb_flushed),
 * and before a frame changes its type or owner, each CPU whose last flush is not younger than the
 * stamp is flushed. One stamp a domain instead of one a frame: the frame table stays at 16 bytes,
 * and a batch of retyped frames still flushes once.
 *
 * Why this holds with several CPUs. Say A removes a mapping and B may have it in its TLB.
 *  T1  A replaces the entry by a locked instruction and reads the clock after it, so that the stamp
 *      is not older than the moment from which no page walk finds the entry. (A plain store would
 *      wait in A's store buffer while the clock is read, and B's flush could fall between.)
 *  T2  B takes its number from the clock first, then reads the entries that it copies (those of the
 *      L3, of a bare top L2), then flushes, then shows the number: a number above the stamp was
 *      taken after A read the clock, and what B copied and walks is younger still. Not every flush
 *      copies: the last that did is in l3_copied, and whoever changed what is copied goes by that.
 *  T3  Stamps only grow, whoever writes them: the clock is read after the stamp that is replaced.
 *  T4  A CPU without guest_tables runs on the idle page tables, which show no guest: it was flushed
 *      when it came there, and will be when it leaves. It leaves by setting guest_tables, then
 *      loading CR3, which waits until the store is seen. A removes the entry, then reads
 *      guest_tables. So A sees it set, or B's page walks come after A's removal: an idle CPU is
 *      not woken to flush, but for T5.
 *  T5  The clock wraps, in half an hour if a guest wants it to, and is compared by signed difference.
 *      A CPU may run one guest, or sleep, for longer than that. So whoever moves the clock past a
 *      multiple of FLUSH_ALL_EVERY has all CPUs flush and copy: no tlb_flushed or l3_copied is ever
 *      2^31 behind the clock, and a stamp that is has been followed by a flush everywhere.
 *  T6  Only CPUs that may hold a translation are made to flush for it: a domain must not cost others
 *      time. A's mapping stood in a table of domain M, so they run M's vcpus: M's dirty_cpus, read
 *      after the entry was removed. A CPU that left M before has flushed, and one that comes to M
 *      sets its bit by a locked instruction before it walks M's tables. Where M maps its own frames
 *      the dirty_cpus at the time of the flush will do as well. Where M maps another domain's (foreign
 *      and grant maps), M's dirty_cpus of that moment are added to the owner's foreign_cpus, after
 *      the stamp. The CPU that has made them flush takes them out, unless more were added meanwhile.
 *
 * Hypervisor code runs with interrupts off, so a CPU that waits for a lock cannot be interrupted to
 * flush, and the lock's holder may be the one that waits for the flush. So every loop that waits for
 * another CPU looks for requests itself (cpu_relax()), and serving one takes no lock.
 *
 * References: SDM vol. 3, 4.10 (what is cached, what flushes it), 4.10.5 (several processors), 8.2
 * (memory ordering).
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>
#include <ringlet/mm.h>
#include <ringlet/written.h>

uint32_t tlb_clock = 1;

/* T5: half of 2^31. The other half is minutes, for the others to look around and do it. */
#define FLUSH_ALL_EVERY (1u << 30)

static uint32_t read_clock(void)
{
    return *(volatile uint32_t *)&tlb_clock;
}

/* T3. */
void tlb_stamp_anew(struct domain *d)
{
    uint32_t seen = __atomic_load_n(&d->tlb_stale, __ATOMIC_ACQUIRE), now;

    do
        now = read_clock();
    while (now != seen && !__atomic_compare_exchange_n(&d->tlb_stale, &seen, now, false,
                                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

/* foreign_cpus: a CPU mask, and above it how often it was added to. */
#define FOREIGN_MASK ((1u << MAX_CPUS) - 1)
#define FOREIGN_ADDED (1u << MAX_CPUS)

/* A mapping of owner's memory is gone from a table of mapper's, by a locked instruction. T6 */
void tlb_stamp_foreign(struct domain *owner, const struct domain *mapper)
{
    uint32_t seen, cpus = __atomic_load_n(&mapper->dirty_cpus, __ATOMIC_SEQ_CST);

    tlb_stamp(owner);
    seen = __atomic_load_n(&owner->foreign_cpus, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(&owner->foreign_cpus, &seen, (seen | cpus) + FOREIGN_ADDED,
                                        false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

static void request_flush(struct cpu *c)
{
    if (!__atomic_exchange_n(&c->flush_requested, true, __ATOMIC_SEQ_CST))
        send_ipi(c);
}

/* T5. Nobody waits for them. This one serves its request too: the flush at hand may not copy. */
static noinline void flush_all_some_time(void)
{
    for (unsigned i = 0; nr_cpus > 1 && i < nr_cpus; i++)
        request_flush(&cpus[i]);
}

/*
 * Load CR3: everything but global entries, which are ours and do not change, is forgotten (SDM vol.
 * 3, 4.10.4.1). `flush` is the number from tlb_next_flush(); `copied`: what this CPU copies of the
 * tables it copied after that, or there is none. T2
 */
static inline void load_root(maddr_t l3, uint32_t flush, bool copied)
{
    struct cpu *c = this_cpu;

    if (anybody_watched())
        watch_flush();
    write_cr3((uint32_t)l3);
    __atomic_store_n(&c->tlb_flushed, flush, __ATOMIC_RELEASE);
    if (copied)
        __atomic_store_n(&c->l3_copied, flush, __ATOMIC_RELEASE);
    if (unlikely(flush % FLUSH_ALL_EVERY == 0))
        flush_all_some_time();
}

void tlb_switch_root(maddr_t l3, uint32_t flush)
{
    load_root(l3, flush, true);
}

void tlb_flush_local(void)
{
    load_root(read_cr3(), tlb_next_flush(), false);
}

void tlb_flush_one_local(uint32_t va)
{
    if (anybody_watched())
        watch_flush_one(va);
    invlpg(va);
}

/*
 * Do what another CPU waits for. The L3 is read anew: an entry of it may be what was removed
 * (reload_l3_users()), or one of the top L2. Takes no lock: it is called while waiting for one.
 */
void tlb_serve_request(void)
{
    struct cpu *c = this_cpu;

    /* Before the flush: who asks from now on asks for another one. */
    __atomic_store_n(&c->flush_requested, false, __ATOMIC_SEQ_CST);
    if (c->guest_tables)
        reload_l3(current);
    else
        tlb_switch_root(read_cr3(), tlb_next_flush());
}

/* Is a CPU's number, tlb_flushed or l3_copied, not younger than what the clock showed? */
static bool is_older(const uint32_t *number, uint32_t since)
{
    return (int32_t)(__atomic_load_n(number, __ATOMIC_ACQUIRE) - since) <= 0;
}

/* Whom a flush is for. GUESTS and COPIES: not for idle CPUs (T4). COPIES: T2 */
enum flush { ALL, GUESTS, COPIES };

/* Has the CPU not flushed since the clock showed `since`? */
static bool is_stale(const struct cpu *c, uint32_t since, enum flush what)
{
    return (what == ALL || *(const volatile bool *)&c->guest_tables) &&
           is_older(what == COPIES ? &c->l3_copied : &c->tlb_flushed, since);
}

/*
 * Wait until each CPU of the mask (bit n: CPU n) but this one has flushed since the clock showed
 * `since`. Requests may cross: this CPU serves others' meanwhile.
 */
static void flush_others(uint32_t mask, uint32_t since, enum flush what)
{
    struct cpu *c;

    mask &= ((1u << nr_cpus) - 1) & ~(1u << this_cpu->id);
    for (uint32_t m = mask; m; m &= m - 1) {
        c = &cpus[__builtin_ctz(m)];
        if (is_stale(c, since, what))
            request_flush(c);
    }
    for (uint32_t m = mask; m; m &= m - 1) {
        c = &cpus[__builtin_ctz(m)];
        while (is_stale(c, since, what))
            cpu_relax();
    }
}

/* The clock after everything this CPU wrote before is seen by all: what counts is a flush from now. */
static uint32_t clock_now(void)
{
    return __atomic_fetch_add(&tlb_clock, 0, __ATOMIC_SEQ_CST);
}

/* Flush the CPUs in the mask, for guests' translations. */
void tlb_flush_mask(uint32_t mask)
{
    uint32_t others = mask & ~(1u << this_cpu->id);

    if (others)
        flush_others(others, clock_now(), GUESTS);
    if (mask & (1u << this_cpu->id))
        tlb_flush_local();
}

/* What the CPUs in the mask copy of an L3, or of a bare top L2, has changed. Not for this CPU. */
void tlb_flush_copies(uint32_t mask)
{
    flush_others(mask, clock_now(), COPIES);
}

/* The same for one page, as far as this CPU goes: a message that says which would cost more. */
void tlb_flush_one_mask(uint32_t mask, uint32_t va)
{
    tlb_flush_mask(mask & ~(1u << this_cpu->id));
    if (mask & (1u << this_cpu->id))
        tlb_flush_one_local(va);
}

/*
 * Wait until every other CPU has been where it serves requests: in a guest or idle, or waiting for
 * a lock. What it read before, and does not keep across such a place, it uses no more.
 */
void wait_for_cpus(void)
{
    flush_others(~0u, clock_now(), ALL);
}

/* All CPUs, for translations of the hypervisor's own that are not global. */
void tlb_flush_all(void)
{
    flush_others(~0u, clock_now(), ALL);
    tlb_flush_local();
}

/* All CPUs that may hold translations of the domain. */
void tlb_flush_domain(struct domain *d)
{
    tlb_flush_mask(d->dirty_cpus);
}

/*
 * walk 34: What a processor still remembers
 *
 * Claim: A guest that removes a mapping need not flush it, and until it does, the TLB lets it write
 * the page. That is its own affair while the page is its memory. Before the page becomes a page
 * table or another domain's, it is not. A clock counts flushes: a domain is stamped with it when a
 * mapping of its memory goes, a processor when it flushes. Only processors whose last flush is not
 * younger than the stamp, and that may hold the translation at all, are made to flush.
 * Without it: The old owner would write into the new owner's memory, or into its own page table,
 * through a translation that no page table shows.
 * Shown by: tests/host/test_tlb.c::test_a_removed_mapping,
 * tests/host/test_tlb.c::test_only_its_own_cpus, tests/guests/events/smp/main.c::test_storm
 */
/*
 * Flush those CPUs that may still hold a translation which was removed from the domain's memory (T6).
 * Needed before a frame of the domain changes type or owner. The caller has just taken the frame's
 * last reference, or its first, by a locked instruction: what is read here is not older.
 */
void tlb_flush_if_stale(struct domain *d)
{
    uint32_t foreign = __atomic_load_n(&d->foreign_cpus, __ATOMIC_SEQ_CST);
    uint32_t since = __atomic_load_n(&d->tlb_stale, __ATOMIC_ACQUIRE);

    /* Too old to be compared; T5. Without this look, who waits for a younger number waits for ever. */
    if (unlikely((int32_t)(read_clock() - since) < 0))
        return;
    if (is_older(&this_cpu->tlb_flushed, since))
        tlb_flush_local();
    if (nr_cpus == 1)
        return;
    flush_others(__atomic_load_n(&d->dirty_cpus, __ATOMIC_SEQ_CST) | (foreign & FOREIGN_MASK),
                 since, GUESTS);
    if (foreign & FOREIGN_MASK)
        __atomic_compare_exchange_n(&d->foreign_cpus, &foreign, foreign & ~FOREIGN_MASK, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
