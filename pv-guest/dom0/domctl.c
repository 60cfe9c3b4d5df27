/* SPDX-License-Identifier: MIT */
/*
 * domctl.c - the control domain's own hypercall, by the structures of xen/domctl.h.
 *
 * One structure with a union serves every operation: command, interface version (the hypervisor
 * refuses another than its own), the domain, and the operation's arguments. Handles, which are
 * pointers to more, are 64 bits wide whatever the caller, so that one hypervisor can serve tools
 * of both widths.
 *
 * Next: build.c, which calls these in order.
 */
#define __XEN_TOOLS__ 1 /* xen/domctl.h refuses to be read without */

#include <string.h>

#include <pv/hypercall.h>
#include <xen/domctl.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/sysctl.h>

#include "domctl.h"

#define EFLAGS_INTERRUPTS 0x200

static int domctl(struct xen_domctl *op, uint32_t cmd, uint16_t domid)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domid;
    return hv_domctl(op);
}

/* Operations that need no more than the domain. */
static int simple(uint32_t cmd, uint16_t domid)
{
    struct xen_domctl op;

    memset(&op, 0, sizeof op);
    return domctl(&op, cmd, domid);
}

/*
 * flags 0: a PV guest. The limits are libxl's: 1024 event channels, the hypervisor's own for
 * grants, and both versions of the grant table (PV-GRUB asks for the first, Linux for either).
 */
int domctl_create(uint16_t *domid, unsigned int vcpus)
{
    struct xen_domctl op;
    int error;

    memset(&op, 0, sizeof op);
    op.u.createdomain.max_vcpus = vcpus;
    op.u.createdomain.max_evtchn_port = 1023;
    op.u.createdomain.max_grant_frames = -1;
    op.u.createdomain.max_maptrack_frames = -1;
    op.u.createdomain.grant_opts = XEN_DOMCTL_GRANT_version(2);
    error = domctl(&op, XEN_DOMCTL_createdomain, *domid ? *domid : DOMID_INVALID);
    if (!error)
        *domid = op.domain;
    return error;
}

int domctl_max_vcpus(uint16_t domid, unsigned int vcpus)
{
    struct xen_domctl op;

    memset(&op, 0, sizeof op);
    op.u.max_vcpus.max = vcpus;
    return domctl(&op, XEN_DOMCTL_max_vcpus, domid);
}

int domctl_max_mem(uint16_t domid, uint32_t kib)
{
    struct xen_domctl op;

    memset(&op, 0, sizeof op);
    op.u.max_mem.max_memkb = kib;
    return domctl(&op, XEN_DOMCTL_max_mem, domid);
}

/*
 * A 64-bit Xen takes a new domain for a 64-bit one and would read page tables and the vcpu's state
 * as such. A hypervisor that has no other kind than ours may not know the operation.
 */
int domctl_32_bit(uint16_t domid)
{
    struct xen_domctl op;

    memset(&op, 0, sizeof op);
    op.u.address_size.size = 32;
    int error = domctl(&op, XEN_DOMCTL_set_address_size, domid);
    return error == -XEN_ENOSYS ? 0 : error;
}

int domctl_permit_ports(uint16_t domid, uint32_t first, uint32_t last)
{
    struct xen_domctl op;

    memset(&op, 0, sizeof op);
    op.u.ioport_permission.first_port = first;
    op.u.ioport_permission.nr_ports = last - first + 1;
    op.u.ioport_permission.allow_access = 1;
    return domctl(&op, XEN_DOMCTL_ioport_permission, domid);
}

int domctl_permit_frames(uint16_t domid, uint32_t first, uint32_t last)
{
    struct xen_domctl op;

    memset(&op, 0, sizeof op);
    op.u.iomem_permission.first_mfn = first;
    op.u.iomem_permission.nr_mfns = last - first + 1ull;
    op.u.iomem_permission.allow_access = 1;
    return domctl(&op, XEN_DOMCTL_iomem_permission, domid);
}

/* As libxl does it: map the line in both domains, then permit our PIRQ of it. */
int domctl_permit_line(uint16_t domid, uint32_t line)
{
    struct physdev_map_pirq own = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI, .index = line, .pirq = line};
    struct physdev_map_pirq theirs = own;
    struct xen_domctl op;
    int error = hv_physdev_op(PHYSDEVOP_map_pirq, &own);

    theirs.domid = domid;
    if (!error)
        error = hv_physdev_op(PHYSDEVOP_map_pirq, &theirs);
    if (error)
        return error;
    memset(&op, 0, sizeof op);
    op.u.irq_permission.pirq = own.pirq;
    op.u.irq_permission.allow_access = 1;
    return domctl(&op, XEN_DOMCTL_irq_permission, domid);
}

int domctl_hypercall_page(uint16_t domid, uint32_t mfn)
{
    struct xen_domctl op;

    memset(&op, 0, sizeof op);
    op.u.hypercall_init.gmfn = mfn;
    return domctl(&op, XEN_DOMCTL_hypercall_init, domid);
}

/*
 * The first vcpu, ready to run: flat ring-1 segments, ESI at start_info, the interrupt flag set
 * (a PV kernel cannot clear it; its events are masked in shared_info instead). kernel_ss:kernel_sp
 * is where the processor switches to when it comes from ring 3. CR3 is folded: page-frame bits
 * 20 and up, which a 32-bit register has no room for, ride in its low twelve.
 */
int domctl_start_state(uint16_t domid, const struct start_state *state)
{
    static struct vcpu_guest_context c; /* 2.8 KiB; only the main loop builds */
    struct xen_domctl op;

    memset(&c, 0, sizeof c);
    c.flags = VGCF_in_kernel | VGCF_online;
    c.user_regs.cs = FLAT_KERNEL_CS;
    c.user_regs.ss = c.user_regs.ds = c.user_regs.es = FLAT_KERNEL_DS;
    c.user_regs.fs = c.user_regs.gs = FLAT_KERNEL_DS;
    c.user_regs.eip = state->eip;
    c.user_regs.esp = state->esp;
    c.user_regs.esi = state->esi;
    c.user_regs.eflags = EFLAGS_INTERRUPTS;
    c.kernel_ss = FLAT_KERNEL_SS;
    c.kernel_sp = state->esp;
    c.ctrlreg[3] = xen_pfn_to_cr3(state->cr3_mfn);
    if (state->extended_cr3)
        c.vm_assist = 1u << VMASST_TYPE_pae_extended_cr3;
    memset(&op, 0, sizeof op);
    set_xen_guest_handle(op.u.vcpucontext.ctxt, &c);
    return domctl(&op, XEN_DOMCTL_setvcpucontext, domid);
}

int domctl_pause(uint16_t domid)
{
    return simple(XEN_DOMCTL_pausedomain, domid);
}

int domctl_unpause(uint16_t domid)
{
    return simple(XEN_DOMCTL_unpausedomain, domid);
}

/*
 * SCHEDOP_shutdown answers 1 in a guest that goes on in its old domain: the answer is EAX of the
 * vcpu that called, the first.
 */
int domctl_resume(uint16_t domid)
{
    static struct vcpu_guest_context c; /* 2.8 KiB */
    struct xen_domctl op;
    int error;

    memset(&op, 0, sizeof op);
    set_xen_guest_handle(op.u.vcpucontext.ctxt, &c);
    error = domctl(&op, XEN_DOMCTL_getvcpucontext, domid);
    c.user_regs.eax = 1;
    if (!error)
        error = domctl(&op, XEN_DOMCTL_setvcpucontext, domid);
    return error ? error : simple(XEN_DOMCTL_resumedomain, domid);
}

int domain_crash(uint16_t domid)
{
    struct sched_remote_shutdown op = {.domain_id = domid, .reason = SHUTDOWN_crash};

    return hv_sched_op(SCHEDOP_remote_shutdown, &op);
}

int domctl_share(uint16_t domid, unsigned int *weight, unsigned int *cap)
{
    struct xen_domctl op;
    struct xen_domctl_scheduler_op *s = &op.u.scheduler_op;

    if (*weight > UINT16_MAX || *cap > UINT16_MAX)
        return -XEN_EINVAL;
    memset(&op, 0, sizeof op);
    s->sched_id = XEN_SCHEDULER_CREDIT;
    s->cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    s->u.credit.weight = *weight;
    s->u.credit.cap = *cap;
    int error = domctl(&op, XEN_DOMCTL_scheduler_op, domid);
    s->cmd = XEN_DOMCTL_SCHEDOP_getinfo;
    if (!error)
        error = domctl(&op, XEN_DOMCTL_scheduler_op, domid);
    *weight = s->u.credit.weight;
    *cap = s->u.credit.cap;
    return error;
}

/* get- or setvcpuaffinity, of the hard kind: both tell what it is afterwards. */
static int affinity(uint32_t cmd, uint16_t domid, unsigned int vcpu, uint32_t *cpus)
{
    struct xen_domctl op;
    struct xen_domctl_vcpuaffinity *a = &op.u.vcpuaffinity;
    uint8_t map[sizeof *cpus];

    memset(&op, 0, sizeof op);
    memcpy(map, cpus, sizeof map);
    a->vcpu = vcpu;
    a->flags = XEN_VCPUAFFINITY_HARD;
    a->cpumap_hard.nr_bits = 8 * sizeof map;
    set_xen_guest_handle(a->cpumap_hard.bitmap, map);
    int error = domctl(&op, cmd, domid);
    memcpy(cpus, map, sizeof map);
    return error;
}

int domctl_pin(uint16_t domid, unsigned int vcpu, uint32_t *cpus)
{
    return affinity(XEN_DOMCTL_setvcpuaffinity, domid, vcpu, cpus);
}

int domctl_vcpu(uint16_t domid, unsigned int vcpu, struct vcpu_state *state)
{
    struct xen_domctl op;
    const struct xen_domctl_getvcpuinfo *info = &op.u.getvcpuinfo;

    memset(&op, 0, sizeof op);
    op.u.getvcpuinfo.vcpu = vcpu;
    int error = domctl(&op, XEN_DOMCTL_getvcpuinfo, domid);
    if (error)
        return error;
    state->what = !info->online   ? "down"
                  : info->running ? "running"
                  : info->blocked ? "blocked"
                                  : "ready";
    state->cpu = info->cpu;
    state->ran_ns = info->cpu_time;
    return affinity(XEN_DOMCTL_getvcpuaffinity, domid, vcpu, &state->allowed);
}

int domctl_log(uint16_t domid, enum log_op what, uint8_t *bitmap, uint32_t *pages,
               struct log_counts *counts)
{
    static const uint32_t ops[] = {
        [LOG_OFF] = XEN_DOMCTL_SHADOW_OP_OFF,
        [LOG_ON] = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY,
        [LOG_PEEK] = XEN_DOMCTL_SHADOW_OP_PEEK,
        [LOG_CLEAN] = XEN_DOMCTL_SHADOW_OP_CLEAN,
    };
    struct xen_domctl op;
    struct xen_domctl_shadow_op *s = &op.u.shadow_op;

    memset(&op, 0, sizeof op);
    s->op = ops[what];
    s->pages = *pages;
    set_xen_guest_handle(s->dirty_bitmap, bitmap);
    int error = domctl(&op, XEN_DOMCTL_shadow_op, domid);
    *pages = s->pages;
    *counts = (struct log_counts){.dirty = s->stats.dirty_count, .faults = s->stats.fault_count};
    return error;
}

int domctl_frames(uint16_t domid, uint32_t *frames, uint32_t count)
{
    struct xen_domctl op;

    memset(&op, 0, sizeof op);
    op.u.getpageframeinfo3.num = count;
    set_xen_guest_handle(op.u.getpageframeinfo3.array, (xen_pfn_t *)frames);
    return domctl(&op, XEN_DOMCTL_getpageframeinfo3, domid);
}

/* Freeing much memory takes long; a hypervisor that wants to be asked again says EAGAIN. */
int domctl_destroy(uint16_t domid)
{
    int error;

    do
        error = simple(XEN_DOMCTL_destroydomain, domid);
    while (error == -XEN_EAGAIN);
    return error;
}

int domctl_next(uint16_t domid, struct domain_info *info)
{
    struct xen_domctl op;
    const struct xen_domctl_getdomaininfo *i = &op.u.getdomaininfo;

    memset(&op, 0, sizeof op);
    int error = domctl(&op, XEN_DOMCTL_getdomaininfo, domid);
    if (error)
        return error;
    *info = (struct domain_info){
        .domid = i->domain,
        .dying = i->flags & XEN_DOMINF_dying,
        .shutdown = i->flags & XEN_DOMINF_shutdown,
        .paused = i->flags & XEN_DOMINF_paused,
        .blocked = i->flags & XEN_DOMINF_blocked,
        .running = i->flags & XEN_DOMINF_running,
        .shutdown_reason = i->flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask,
        .pages = i->tot_pages,
        .shared_info_mfn = i->shared_info_frame,
        .vcpus = i->nr_online_vcpus,
        .cpu_ns = i->cpu_time,
    };
    return 0;
}

int domctl_info(uint16_t domid, struct domain_info *info)
{
    int error = domctl_next(domid, info);

    return !error && info->domid != domid ? -XEN_ESRCH : error;
}

static int sysctl(struct xen_sysctl *op, uint32_t cmd)
{
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return hv_sysctl(op);
}

void debug_key(char key)
{
    struct xen_sysctl op;

    memset(&op, 0, sizeof op);
    op.u.debug_keys.nr_keys = 1;
    set_xen_guest_handle(op.u.debug_keys.keys, &key);
    sysctl(&op, XEN_SYSCTL_debug_keys);
}

uint32_t host_processors(void)
{
    struct xen_sysctl op;

    memset(&op, 0, sizeof op);
    return sysctl(&op, XEN_SYSCTL_physinfo) ? 0 : op.u.physinfo.nr_cpus;
}

uint32_t host_free_pages(void)
{
    struct xen_sysctl op;

    memset(&op, 0, sizeof op);
    return sysctl(&op, XEN_SYSCTL_physinfo) ? 0 : op.u.physinfo.free_pages;
}
