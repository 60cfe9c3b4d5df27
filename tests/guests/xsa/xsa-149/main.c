/* SPDX-License-Identifier: MIT */
/*
 * XSA-149: what is allocated for a domain's vcpus and never freed.
 *
 * Setting a domain's number of vcpus allocated an array in Xen that stayed when the domain was gone:
 * a guest that reboots for long enough uses up the hypervisor's memory. (XSA-252 and others are the
 * same again, eight bytes for each vcpu.)
 *
 * As a control domain this guest makes domains of every kind of incompleteness, with no vcpu, one and
 * 32 of them, asked for once and again, refused, with memory, grant tables, a context, I/O ports, a
 * memory map and the log-dirty mode, and destroys each. After every round as much memory must be free
 * as before, to the page.
 *
 * Run: qemu
 * Machine: mem=128
 */
#define __XEN_TOOLS__ 1
#include "../../attack.h"
#include "../../domctl.h"

#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sysctl.h>

#define ROUNDS 200
#define MOST_VCPUS 32

static uint64_t free_pages(void)
{
    static struct xen_sysctl sys;

    sys.cmd = XEN_SYSCTL_physinfo;
    sys.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return hv_sysctl(&sys) ? 0 : sys.u.physinfo.free_pages;
}

static domid_t create(uint32_t vcpus)
{
    struct xen_domctl_createdomain *c = &ctl.u.createdomain;

    memset(&ctl, 0, sizeof ctl);
    c->max_vcpus = vcpus;
    c->max_evtchn_port = 1023;
    c->max_grant_frames = 32;
    c->max_maptrack_frames = 64;
    c->grant_opts = XEN_DOMCTL_GRANT_version(2);
    if (domctl(XEN_DOMCTL_createdomain, 0))
        panic("no domain can be made");
    return ctl.domain;
}

static int set_vcpus(domid_t id, uint32_t n)
{
    ctl.u.max_vcpus.max = n;
    return domctl(XEN_DOMCTL_max_vcpus, id);
}

static void give_memory(domid_t id)
{
    static xen_pfn_t extents[16];
    struct xen_memory_reservation r = {.nr_extents = 16, .domid = id};

    ctl.u.max_mem.max_memkb = 1024;
    domctl(XEN_DOMCTL_max_mem, id);
    memset(extents, 0, sizeof extents);
    set_xen_guest_handle(r.extent_start, extents);
    if (hv_memory_op(XENMEM_populate_physmap, &r) != 16)
        panic("the domain gets no memory");
}

/* Things that make the hypervisor keep something for the domain. */
static void burden(domid_t id)
{
    static struct vcpu_guest_context context;
    struct evtchn_alloc_unbound alloc = {.dom = id, .remote_dom = DOMID_SELF};

    give_memory(id);
    for (int i = 0; i < 300; i++)
        hv_event_channel_op(EVTCHNOP_alloc_unbound, &alloc);
    ctl.u.ioport_permission.first_port = 0x80;
    ctl.u.ioport_permission.nr_ports = 1;
    ctl.u.ioport_permission.allow_access = 1;
    domctl(XEN_DOMCTL_ioport_permission, id);
    ctl.u.iomem_permission.first_mfn = 0xb8;
    ctl.u.iomem_permission.nr_mfns = 8;
    ctl.u.iomem_permission.allow_access = 1;
    domctl(XEN_DOMCTL_iomem_permission, id);
    memset(&ctl.u, 0, sizeof ctl.u);
    ctl.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY;
    domctl(XEN_DOMCTL_shadow_op, id);
    memset(&ctl.u, 0, sizeof ctl.u);
    context.ctrlreg[3] = xen_pfn_to_cr3(0xfffff); /* refused, after it was copied */
    set_xen_guest_handle(ctl.u.vcpucontext.ctxt, &context);
    domctl(XEN_DOMCTL_setvcpucontext, id);
}

/* Gone at once, or when the hypervisor has had time to clean up. */
static bool destroy(domid_t id)
{
    if (domctl(XEN_DOMCTL_destroydomain, id))
        return false;
    for (int i = 0; i < 1000; i++) {
        if (domctl(XEN_DOMCTL_getdomaininfo, id) == -XEN_ESRCH)
            return true;
        hv_sched_op(SCHEDOP_yield, NULL);
    }
    return false;
}

static bool life(uint32_t round)
{
    uint32_t vcpus = round % 3 ? MOST_VCPUS : 1;
    domid_t id = create(vcpus);

    if (round % 4) {
        set_vcpus(id, vcpus);
        set_vcpus(id, vcpus);       /* again, */
        set_vcpus(id, MOST_VCPUS);  /* another number, */
        set_vcpus(id, 0);           /* none, */
        set_vcpus(id, 0xffffffffu); /* and too many */
    }
    if (round % 2)
        burden(id);
    return destroy(id);
}

int main(void)
{
    uint32_t ended = 0;
    uint64_t before;

    life(1); /* what is made once and kept is made now */
    before = free_pages();
    for (uint32_t round = 0; round < ROUNDS; round++)
        ended += life(round);
    tap_is(ended, ROUNDS, "%d domains were made and ended", ROUNDS);
    tap_is((long)(free_pages() - before), 0, "as much memory is free as before");
    tap_audit();
    tap_done();
}
