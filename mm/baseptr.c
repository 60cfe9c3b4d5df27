/* SPDX-License-Identifier: MIT */
/*
 * baseptr.c: the root of a vcpu's address space.
 */
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>

/*
 * Run on v's tables; v is current, or becoming so. Other CPUs may be writing the L3's entries: who
 * does will have this CPU reload, but a half of an old entry beside a half of a new one must not be
 * run on for a moment.
 */
void reload_l3(struct vcpu *v)
{
    uint32_t flush = tlb_next_flush();
    pte_t *l3 = map_frame(v->l3_frame), copy[L3_ENTRIES];

    for (unsigned i = 0; i < L3_ENTRIES; i++)
        copy[i] = pte_read(&l3[i]);
    install_guest_l3(copy, flush);
    unmap_frame(l3);
}

/*
 * An entry of this L3 of d's changed, or of a top L2 that is walked in copies (INVALID_MFN: any L3):
 * every CPU that runs on it must reload its copy, before what the old entry named is let go. A CPU
 * that is just switching to one of d's vcpus has set its bit in dirty_cpus before it reads the L3.
 */
void reload_l3_users(const struct domain *d, mfn_t l3)
{
    tlb_flush_copies(d->dirty_cpus);
    if (current->domain == d && (l3 == INVALID_MFN || current->l3_frame == l3))
        reload_l3(current);
}

/* The long part of finish_old_table(), mm.h. */
int finish_old_table_now(struct vcpu *v)
{
    int rc = put_frame_and_type_preemptible(mfn_frame(v->old_table));
    if (!rc)
        v->old_table = INVALID_MFN;
    return rc;
}

/*
 * The same with no mm_lock held, whoever owns the table: between hypercalls that may be a domain
 * that v built long ago. 0 or -ERESTART.
 */
int finish_any_old_table(struct vcpu *v)
{
    struct domain *d = v->domain, *owner;
    int rc = 0;

    if (likely(v->old_table == INVALID_MFN))
        return 0;
    spin_lock(&d->mm_lock);
    owner = v->old_table == INVALID_MFN ? d : frame_owner(mfn_frame(v->old_table));
    if (owner == d)
        rc = finish_old_table(v);
    spin_unlock(&d->mm_lock);
    if (owner == d)
        return rc;
    /* The table's frame, which v alone lets go, may be the last thing that keeps its owner. */
    get_domain(owner);
    spin_lock(&owner->mm_lock);
    rc = finish_old_table_now(v);
    spin_unlock(&owner->mm_lock);
    put_domain(owner);
    return rc;
}

/*
 * walk 31: Half undone
 *
 * Claim: Letting the last reference of a directory go means undoing all it names. That may take
 * long, so it gives way in the middle, and the vcpu that does it keeps the table in old_table and
 * goes on at its next hypercall. It may be taken down before. So any vcpu that needs such a table
 * for something else goes on with the work itself instead of waiting for the first.
 * Without it: A guest would hang in a hypercall that is repeated for ever, waiting for a vcpu that
 * is down; Xen's history with half-checked tables is XSA-299.
 * Shown by: tests/guests/paging/half-undone/main.c::one_round, tests/host/test_types.c::test_being_undone,
 * tests/guests/xsa/xsa-299/main.c::build
 */
/*
 * Go on with tables of d's that its vcpus left half undone: whoever waits for one must not wait for a
 * vcpu that may be down or asleep. d's mm_lock is held, so these stay in old_table, and keep their
 * owner. A table of another domain's may leave it, and become d's memory, at any moment: it is not
 * there any more when it is looked for again.
 */
void finish_old_tables_of(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu(d, v)
    {
        mfn_t table = __atomic_load_n(&v->old_table, __ATOMIC_SEQ_CST);

        if (table == INVALID_MFN || frame_owner(mfn_frame(table)) != d)
            continue;
        if (table == __atomic_load_n(&v->old_table, __ATOMIC_SEQ_CST) && finish_old_table_now(v))
            return;
    }
}

/*
 * The end of mmu_update or mmuext_op: `result` (0 for -ERESTART), but not before the table that it
 * let go or found bad is undone, for the guest may reuse the frames at once.
 */
long finish_table_call(unsigned op, long result)
{
    int rc = finish_any_old_table(current);

    if (result == -ERESTART)
        result = 0;
    return rc ? hypercall_continue(op, 2, result, CONTINUED) : result;
}

/*
 * Make `mfn` the root of v's page tables (v is current). -EINVAL: no frame of the domain, or no
 * good L3. -ERESTART: call again. The caller holds the domain's mm_lock and has finished
 * v->old_table.
 */
int new_guest_cr3(struct vcpu *v, mfn_t mfn)
{
    mfn_t old = v->l3_frame;
    int rc;

    ASSERT(v->old_table == INVALID_MFN);
    if (mfn == old) {
        tlb_flush_local();
        return 0;
    }
    if (mfn >= max_frame)
        return -EINVAL;
    /* Mostly both are pinned. */
    if (unlikely(!get_table_fast(mfn_frame(mfn), v->domain, FT_L3))) {
        rc = undo_later(v, mfn, get_frame_and_type_preemptible(mfn_frame(mfn), v->domain, FT_L3));
        if (rc)
            return rc;
    }
    v->l3_frame = mfn;
    /* whole: nobody writes it while mm_lock is held */
    install_guest_l3(glance_frame(mfn), tlb_next_flush());
    if (old != INVALID_MFN && unlikely(!put_table_fast(mfn_frame(old), FT_L3)) &&
        put_frame_and_type_preemptible(mfn_frame(old)))
        v->old_table = old;
    return 0;
}

/*
 * v will not run again: give up its root. 0, or -ERESTART to be called again. Its domain's mm_lock is
 * held, and v has no old_table.
 */
int drop_guest_cr3(struct vcpu *v)
{
    ASSERT(v->old_table == INVALID_MFN);
    if (v->l3_frame == INVALID_MFN)
        return 0;
    v->old_table = v->l3_frame;
    v->l3_frame = INVALID_MFN;
    return finish_old_table(v);
}
