/* SPDX-License-Identifier: MIT */
/*
 * context.c: the public vcpu_guest_context (xen/arch-x86/xen.h) into a vcpu and out of it.
 *
 * One structure holds all a guest's processor has: registers, page tables, descriptor tables, trap
 * table, callbacks. It starts a domain's first vcpu (domctl setvcpucontext, and the initial
 * domain's builder), further ones (VCPUOP_initialise) and serves debuggers. All of it is the
 * caller's invention, so everything is checked before anything is changed; what can fail later
 * (references on page and descriptor tables) is taken first and given back on failure.
 *
 * Read next: mm/baseptr.c, mm/descriptor_tables.c.
 */
#include <ringlet/arch.h>
#include <ringlet/emulate.h>
#include <ringlet/hypercall.h>
#include <ringlet/mm.h>
#include <ringlet/sched.h>
#include <ringlet/traps.h>
#include <xen/vcpu.h>

_Static_assert(sizeof(((struct vcpu *)NULL)->fpu) ==
                   sizeof(((struct vcpu_guest_context *)NULL)->fpu_ctxt),
               "both are one FXSAVE area");

/*
 * FXSAVE area (SDM vol. 1, 10.5.1): MXCSR, and the mask of the bits it has on this processor, which
 * is 0 on processors older than the mask. Loading another bit would fault, in ring 0.
 */
#define FXSAVE_MXCSR 24
#define FXSAVE_MXCSR_MASK 28
#define MXCSR_DEFAULT_MASK 0x0000ffbfu

#define EFLAGS_FIXED 0x00000002u
#define EFLAGS_STATUS 0x000008d5u /* CF, PF, AF, ZF, SF, OF */

/*
 * walk 58: The flags a guest may run with
 *
 * Claim: Flags come from guests in many ways: the iret hypercall, a new vcpu's context. From all of
 * them only harmless ones are kept. IF is set, because it is the machine's and not the guest's.
 * IOPL is zero, or CLI and ports would work in ring 1. VM and NT are clear: a return to
 * virtual-8086 mode would leave the segments that contain the guest, and NT would make the next
 * IRET a task switch.
 * Without it: A guest with IF clear keeps its processor for ever: not even the timer comes through.
 * Shown by: tests/guests/xsa/xsa-7/main.c::bad_flags, tests/guests/life/control/main.c::check_context,
 * tests/guests/rings/rings/main.c::test_popf
 */
/*
 * The flags a guest may run with. Its IOPL is virtual, so the real one stays 0 (or CLI, STI and
 * ports would work); IF stays set, for the hypervisor's interrupts (the guest masks events, not
 * interrupts); no virtual-8086 mode, and no NT, which would make IRET switch tasks.
 */
uint32_t sanitise_eflags(uint32_t eflags)
{
    eflags &= EFLAGS_STATUS | EFLAGS_TF | EFLAGS_DF | EFLAGS_RF | EFLAGS_AC | EFLAGS_ID;
    return eflags | EFLAGS_IF | EFLAGS_FIXED;
}

/*
 * A selector field of the ABI that is 32 bits wide, made one that a guest may have. false: the
 * hypervisor's.
 */
static bool code_selector_ok(uint32_t field, uint16_t *sel)
{
    *sel = (uint16_t)field;
    return fixup_guest_code_selector(sel);
}

static bool trap_table_ok(const struct vcpu_guest_context *c)
{
    uint16_t sel;

    for (unsigned i = 0; i < ARRAY_SIZE(c->trap_ctxt); i++)
        if (!code_selector_ok(c->trap_ctxt[i].cs, &sel))
            return false;
    return true;
}

/*
 * A vcpu that has been started keeps its page and descriptor tables: they belong to what it is
 * doing, and the guest changes them by hypercalls. 0, or -EOPNOTSUPP.
 */
static int check_same_tables(const struct vcpu *v, const struct vcpu_guest_context *c)
{
    bool same = c->ctrlreg[3] == xen_pfn_to_cr3(v->l3_frame) && c->gdt_ents == v->gdt_entries &&
                c->ldt_ents == v->ldt_entries;

    for (unsigned i = 0; same && i < DIV_ROUND_UP(v->gdt_entries, 512); i++)
        same = c->gdt_frames[i] == v->gdt_frames[i];
    if (v->ldt_entries && c->ldt_base != v->ldt_base)
        same = false;
    return same ? 0 : -EOPNOTSUPP;
}

static int check_context(const struct vcpu *v, const struct vcpu_guest_context *c)
{
    uint16_t sel, ss = (uint16_t)c->kernel_ss;

    if (v->domain->state != DOMAIN_ALIVE)
        return -EINVAL;
    if ((c->ldt_base & (PAGE_SIZE - 1)) || c->ldt_ents > 8192)
        return -EINVAL;
    if (c->gdt_ents > GUEST_GDT_PAGES * 512)
        return -EINVAL;
    if (v->id == 0 && (c->vm_assist & ~valid_vm_assists()))
        return -EINVAL;
    if (!fixup_guest_stack_selector(&ss) || !code_selector_ok(c->event_callback_cs, &sel) ||
        !code_selector_ok(c->failsafe_callback_cs, &sel) || !trap_table_ok(c))
        return -EINVAL;
    if (!debugreg_values_ok(c->debugreg))
        return -EINVAL;
    return v->initialised ? check_same_tables(v, c) : 0;
}

/*
 * The domain's assists come with the context of vcpu 0, and one of them decides where an L3 may
 * lie.
 */
static void set_assists(struct domain *d, uint32_t assists)
{
    d->vm_assist = assists;
    d->l3_above_4g = assists & (1u << VMASST_TYPE_pae_extended_cr3);
}

/*
 * Take the references of GDT, LDT and page tables, in this order: what may take long comes last, so
 * that it need never be undone here. On an error none is held, but a bad root may be left to be
 * undone in current->old_table, which is free before. mm_lock is held.
 */
static int take_tables(struct vcpu *v, const struct vcpu_guest_context *c)
{
    mfn_t l3 = xen_cr3_to_pfn(c->ctrlreg[3]), gdt[GUEST_GDT_PAGES];
    int rc;

    for (unsigned i = 0; i < DIV_ROUND_UP(c->gdt_ents, 512); i++)
        gdt[i] = c->gdt_frames[i];
    rc = set_gdt(v, gdt, c->gdt_ents);
    if (rc)
        return rc;
    rc = set_ldt(v, c->ldt_base, c->ldt_ents);
    if (!rc && l3 >= max_frame)
        rc = -EINVAL;
    if (!rc)
        rc = undo_later(current, l3,
                        get_frame_and_type_preemptible(mfn_frame(l3), v->domain, FT_L3));
    if (rc) {
        destroy_gdt(v);
        set_ldt(v, 0, 0);
        return rc;
    }
    v->l3_frame = l3;
    return 0;
}

/* First start: the domain's assists and the vcpu's tables, or an error and nothing. mm_lock is held. */
static int set_up_tables(struct vcpu *v, const struct vcpu_guest_context *c)
{
    struct domain *d = v->domain;
    uint32_t old_assists = d->vm_assist;
    bool old_above_4g = d->l3_above_4g;
    int rc;

    if (v->id == 0)
        set_assists(d, c->vm_assist);
    rc = take_tables(v, c);
    if (rc) {
        d->vm_assist = old_assists;
        d->l3_above_4g = old_above_4g;
    }
    return rc;
}

/*
 * What FXSAVE says of this processor; `area` is overwritten. CR0.TS, which would make it fault, is
 * put back.
 */
static uint32_t mxcsr_mask(uint8_t *area)
{
    uint32_t cr0 = read_cr0(), mask;

    clts();
    __asm__ volatile("fxsave %0" : "=m"(*(uint8_t(*)[512])area));
    write_cr0(cr0);
    memcpy(&mask, area + FXSAVE_MXCSR_MASK, sizeof(mask));
    return mask ? mask : MXCSR_DEFAULT_MASK;
}

static void set_fpu(struct vcpu *v, const struct vcpu_guest_context *c)
{
    uint32_t mxcsr, mask;

    v->fpu_initialised = c->flags & VGCF_I387_VALID;
    if (!v->fpu_initialised)
        return;
    mask = mxcsr_mask(v->fpu);
    memcpy(v->fpu, &c->fpu_ctxt, sizeof(v->fpu));
    memcpy(&mxcsr, v->fpu + FXSAVE_MXCSR, sizeof(mxcsr));
    mxcsr &= mask;
    memcpy(v->fpu + FXSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
}

/*
 * General registers. Of the selectors only cs decides how privileged the guest is, and RPL 0 is
 * never left there; a bad selector makes the IRET into the guest fault, which the guest hears of by
 * its failsafe callback.
 */
static void set_registers(struct vcpu *v, const struct vcpu_guest_context *c)
{
    struct cpu_user_regs *regs = &v->regs;

    *regs = c->user_regs;
    fixup_guest_code_selector(&regs->cs);
    fixup_guest_stack_selector(&regs->ss);
    v->iopl = (regs->eflags & EFLAGS_IOPL) / (EFLAGS_IOPL / 3);
    regs->eflags = sanitise_eflags(regs->eflags);
}

static void set_traps_and_callbacks(struct vcpu *v, const struct vcpu_guest_context *c)
{
    uint16_t sel;

    memcpy(v->traps, c->trap_ctxt, sizeof(v->traps));
    for (unsigned i = 0; i < ARRAY_SIZE(v->traps); i++)
        fixup_guest_code_selector(&v->traps[i].cs);
    code_selector_ok(c->event_callback_cs, &sel);
    v->event_cs = sel;
    v->event_eip = c->event_callback_eip;
    code_selector_ok(c->failsafe_callback_cs, &sel);
    v->failsafe_cs = sel;
    v->failsafe_eip = c->failsafe_callback_eip;
    v->failsafe_masks_events = c->flags & VGCF_failsafe_disables_events;
    sel = (uint16_t)c->kernel_ss;
    fixup_guest_stack_selector(&sel);
    v->kernel_ss = sel;
    v->kernel_sp = c->kernel_sp;
}

/*
 * Control and debug registers. Only TS is the guest's own in CR0; CR4 is what it may believe. Debug
 * registers that debugreg_values_ok() passed are taken one by one, DR7 last, when the addresses it
 * enables stand.
 */
static void set_system_registers(struct vcpu *v, const struct vcpu_guest_context *c)
{
    v->cr0_ts = c->ctrlreg[0] & CR0_TS;
    v->cr4 = guest_cr4_visible(c->ctrlreg[4]);
    set_debugreg(v, 7, 0);
    for (unsigned i = 0; i < 8; i++)
        if (i != 4 && i != 5)
            set_debugreg(v, i, c->debugreg[i]);
}

/* A vcpu that is online runs as soon as nothing else keeps it. */
static void set_online(struct vcpu *v, bool online)
{
    if (online) {
        __atomic_fetch_and(&v->wait, ~WAIT_DOWN, __ATOMIC_SEQ_CST);
        vcpu_wake(v);
    } else {
        __atomic_fetch_or(&v->wait, WAIT_DOWN, __ATOMIC_SEQ_CST);
        vcpu_sleep(v);
    }
}

/*
 * walk 59: Check all, then change
 *
 * Claim: A vcpu's whole state comes in one structure, and every word in it is the caller's
 * invention. Everything that can be wrong is checked before anything is changed; what takes
 * references and can fail, the tables, comes next and is given back on failure; what then follows
 * cannot fail. Selectors with RPL 0 are lifted to 1, so that no entry here leads to ring 0.
 * Without it: A request that fails halfway would leave a vcpu with the new stack and the old page
 * tables.
 * Shown by: tests/guests/life/control/main.c::check_context, tests/guests/xsa/xsa-296/main.c::set_context
 */
/*
 * Give a vcpu a whole new state. It must not be running: not started yet, or its domain paused. Its
 * domain's mm_lock is held: two siblings may want to start it at once. It has no old_table.
 *
 *  1. -EINVAL: a value no vcpu may have (see check_context), page or descriptor tables that are
 *     none, a dying domain.
 *  2. -EOPNOTSUPP: the vcpu has run before, and its page or descriptor tables would change.
 *  3. -ERESTART: validating the page tables takes longer; call again with the same context.
 *  4. On any error nothing has changed, but for validation done so far.
 */
int set_vcpu_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
    int rc = check_context(v, c);

    ASSERT(v != current && !v->running);
    if (!rc && !v->initialised)
        rc = set_up_tables(v, c);
    if (rc)
        return rc;
    set_fpu(v, c);
    set_registers(v, c);
    set_traps_and_callbacks(v, c);
    set_system_registers(v, c);
    if (!v->initialised && v->id == 0)
        update_wallclock(v->domain);
    v->initialised = true;
    set_online(v, c->flags & VGCF_online);
    return 0;
}

static uint32_t context_flags(const struct vcpu *v)
{
    uint32_t flags = 0;

    if (v->fpu_initialised)
        flags |= VGCF_I387_VALID;
    if (regs_ring(&v->regs) == 1)
        flags |= VGCF_in_kernel;
    if (v->failsafe_masks_events)
        flags |= VGCF_failsafe_disables_events;
    if (!(v->wait & WAIT_DOWN))
        flags |= VGCF_online;
    return flags;
}

/* The state of a vcpu that does not run and has been initialised, for a debugger or to be saved. */
void get_vcpu_context(struct vcpu *v, struct vcpu_guest_context *c)
{
    ASSERT(v != current && !v->running && v->initialised);
    memset(c, 0, sizeof(*c));
    c->flags = context_flags(v);
    memcpy(&c->fpu_ctxt, v->fpu, sizeof(v->fpu));
    c->user_regs = v->regs;
    c->user_regs.eflags |= v->iopl * (EFLAGS_IOPL / 3);
    memcpy(c->trap_ctxt, v->traps, sizeof(v->traps));
    c->ldt_base = v->ldt_base;
    c->ldt_ents = v->ldt_entries;
    c->gdt_ents = v->gdt_entries;
    for (unsigned i = 0; i < DIV_ROUND_UP(v->gdt_entries, 512); i++)
        c->gdt_frames[i] = v->gdt_frames[i];
    c->kernel_ss = v->kernel_ss;
    c->kernel_sp = v->kernel_sp;
    c->ctrlreg[0] = v->cr0 | v->cr0_ts;
    c->ctrlreg[3] = xen_pfn_to_cr3(v->l3_frame);
    c->ctrlreg[4] = v->cr4;
    for (unsigned i = 0; i < ARRAY_SIZE(v->debugreg); i++)
        c->debugreg[i] = v->debugreg[i];
    c->event_callback_cs = v->event_cs;
    c->event_callback_eip = v->event_eip;
    c->failsafe_callback_cs = v->failsafe_cs;
    c->failsafe_callback_eip = v->failsafe_eip;
    if (v->id == 0)
        c->vm_assist = v->domain->vm_assist;
}
