/* SPDX-License-Identifier: MIT */
/*
 * Out-args: what a hypercall leaves in its arguments when it fails.
 *
 * Kernels and tools read more than the error. Linux's xen_remap_pfn() goes on from the number in
 * mmu_update's `done` without a look at the result: where the hypervisor refused the foreign domain
 * and left the number as it was, the kernel ran past its arrays, and the control domain panicked
 * whenever a tool mapped two frames of a domain that had just died.
 *
 * So each row of the tables below presets a hypercall's arguments with patterns, makes one mistake,
 * and says what the arguments hold afterwards: mostly what they held before, sometimes a status or
 * a count. The answers are those of Xen 4.17, which passes this test; where its layer for 32-bit
 * guests loses a status or a count, the case says so. Some depend on whether the caller is the
 * initial domain, as under test_guests.py, or an ordinary one (test_abi.py).
 *
 * Run: qemu
 */
#define __XEN_TOOLS__ 1
#include "../../attack.h"

#include <xen/domctl.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/vcpu.h>

#define NOBODY 999    /* a domain number in nobody's use */
#define PATTERN 0x5ee /* in an argument that is to stay as it was */
#define NOWHERE ((void *)0x1000)
#define BEYOND ((void *)0xFC000000) /* the hypervisor's, here and there */
#define NO_FRAME 0xFFFFFFF0

/* Who makes the call of a row. */
enum caller { ANYBODY, INITIAL, ORDINARY };

static bool called_by(enum caller who)
{
    return who == ANYBODY || (who == INITIAL) == is_initial_domain();
}

/* --- Calls with one structure ------------------------------------------------------------------ */

struct row {
    const char *what;
    enum caller who;
    unsigned int number, cmd;
    const void *in, *out; /* the structure before and after; NULL: as before */
    unsigned int size;
    int result;
};

#define EVENT __HYPERVISOR_event_channel_op
#define GRANT __HYPERVISOR_grant_table_op
#define MEMORY __HYPERVISOR_memory_op
#define PHYSDEV __HYPERVISOR_physdev_op

static xen_pfn_t frames[4] = {PATTERN, PATTERN, PATTERN, PATTERN};

/* clang-format off */
static const struct row rows[] = {
    /* Event channels: a port is told where there is one. */
    {"event: a channel to nobody", ANYBODY, EVENT, EVTCHNOP_bind_interdomain,
     &(struct evtchn_bind_interdomain){.remote_dom = NOBODY, .local_port = PATTERN}, NULL,
     sizeof(struct evtchn_bind_interdomain), -XEN_ESRCH},
    {"event: a channel to a port there is not", ANYBODY, EVENT, EVTCHNOP_bind_interdomain,
     &(struct evtchn_bind_interdomain){.remote_dom = DOMID_SELF, .remote_port = 100000,
                                       .local_port = PATTERN}, NULL,
     sizeof(struct evtchn_bind_interdomain), -XEN_EINVAL},
    {"event: a port of nobody's", ANYBODY, EVENT, EVTCHNOP_alloc_unbound,
     &(struct evtchn_alloc_unbound){.dom = NOBODY, .port = PATTERN}, NULL,
     sizeof(struct evtchn_alloc_unbound), -XEN_ESRCH},
    {"event: a port of another's", ORDINARY, EVENT, EVTCHNOP_alloc_unbound,
     &(struct evtchn_alloc_unbound){.dom = 0, .port = PATTERN}, NULL,
     sizeof(struct evtchn_alloc_unbound), -XEN_EPERM},
    {"event: a VIRQ there is not", ANYBODY, EVENT, EVTCHNOP_bind_virq,
     &(struct evtchn_bind_virq){.virq = 1000, .port = PATTERN}, NULL,
     sizeof(struct evtchn_bind_virq), -XEN_EINVAL},
    {"event: a VIRQ of a vcpu there is not", ANYBODY, EVENT, EVTCHNOP_bind_virq,
     &(struct evtchn_bind_virq){.virq = VIRQ_DEBUG, .vcpu = 1000, .port = PATTERN}, NULL,
     sizeof(struct evtchn_bind_virq), -XEN_ENOENT},
    {"event: an IPI to a vcpu there is not", ANYBODY, EVENT, EVTCHNOP_bind_ipi,
     &(struct evtchn_bind_ipi){.vcpu = 1000, .port = PATTERN}, NULL,
     sizeof(struct evtchn_bind_ipi), -XEN_ENOENT},
    {"event: a PIRQ there is not", ANYBODY, EVENT, EVTCHNOP_bind_pirq,
     &(struct evtchn_bind_pirq){.pirq = 1000000, .port = PATTERN}, NULL,
     sizeof(struct evtchn_bind_pirq), -XEN_EINVAL},
    {"event: status of a port of nobody's", ANYBODY, EVENT, EVTCHNOP_status,
     &(struct evtchn_status){.dom = NOBODY, .status = PATTERN, .vcpu = PATTERN}, NULL,
     sizeof(struct evtchn_status), -XEN_ESRCH},
    {"event: status of a port there is not", ANYBODY, EVENT, EVTCHNOP_status,
     &(struct evtchn_status){.dom = DOMID_SELF, .port = 1000000, .status = PATTERN}, NULL,
     sizeof(struct evtchn_status), -XEN_EINVAL},
    {"event: a control block of a vcpu there is not", ANYBODY, EVENT, EVTCHNOP_init_control,
     &(struct evtchn_init_control){.vcpu = 1000, .link_bits = 77}, NULL,
     sizeof(struct evtchn_init_control), -XEN_ENOENT},

    /* Grants: a status is told, and nothing else. */
    {"grant: map of nobody's", ANYBODY, GRANT, GNTTABOP_map_grant_ref,
     &(struct gnttab_map_grant_ref){.dom = NOBODY, .flags = GNTMAP_host_map, .status = PATTERN,
                                    .handle = PATTERN, .dev_bus_addr = PATTERN},
     &(struct gnttab_map_grant_ref){.dom = NOBODY, .flags = GNTMAP_host_map,
                                    .status = GNTST_bad_domain, .handle = PATTERN,
                                    .dev_bus_addr = PATTERN},
     sizeof(struct gnttab_map_grant_ref), 0},
    {"grant: map in no way", ANYBODY, GRANT, GNTTABOP_map_grant_ref,
     &(struct gnttab_map_grant_ref){.dom = 0, .status = PATTERN, .handle = PATTERN,
                                    .dev_bus_addr = PATTERN},
     &(struct gnttab_map_grant_ref){.dom = 0, .status = GNTST_bad_gntref, .handle = PATTERN,
                                    .dev_bus_addr = PATTERN},
     sizeof(struct gnttab_map_grant_ref), 0},
    {"grant: map of an entry there is not", ANYBODY, GRANT, GNTTABOP_map_grant_ref,
     &(struct gnttab_map_grant_ref){.dom = 0, .ref = 0x40000000, .flags = GNTMAP_host_map,
                                    .status = PATTERN, .handle = PATTERN, .dev_bus_addr = PATTERN},
     &(struct gnttab_map_grant_ref){.dom = 0, .ref = 0x40000000, .flags = GNTMAP_host_map,
                                    .status = GNTST_bad_gntref, .handle = PATTERN,
                                    .dev_bus_addr = PATTERN},
     sizeof(struct gnttab_map_grant_ref), 0},
    {"grant: unmap by no handle", ANYBODY, GRANT, GNTTABOP_unmap_grant_ref,
     &(struct gnttab_unmap_grant_ref){.handle = 0x40000000, .status = PATTERN},
     &(struct gnttab_unmap_grant_ref){.handle = 0x40000000, .status = GNTST_bad_handle},
     sizeof(struct gnttab_unmap_grant_ref), 0},
    {"grant: replace by no handle", ANYBODY, GRANT, GNTTABOP_unmap_and_replace,
     &(struct gnttab_unmap_and_replace){.handle = 0x40000000, .status = PATTERN},
     &(struct gnttab_unmap_and_replace){.handle = 0x40000000, .status = GNTST_bad_handle},
     sizeof(struct gnttab_unmap_and_replace), 0},
    {"grant: set up nobody's table", ANYBODY, GRANT, GNTTABOP_setup_table,
     &(struct gnttab_setup_table){.dom = NOBODY, .nr_frames = 1, .status = PATTERN,
                                  .frame_list.p = frames},
     &(struct gnttab_setup_table){.dom = NOBODY, .nr_frames = 1, .status = GNTST_bad_domain,
                                  .frame_list.p = frames},
     sizeof(struct gnttab_setup_table), 0},
    {"grant: set up another's table", ORDINARY, GRANT, GNTTABOP_setup_table,
     &(struct gnttab_setup_table){.dom = 0, .nr_frames = 1, .status = PATTERN,
                                  .frame_list.p = frames},
     &(struct gnttab_setup_table){.dom = 0, .nr_frames = 1, .status = GNTST_permission_denied,
                                  .frame_list.p = frames},
     sizeof(struct gnttab_setup_table), 0},
    {"grant: a table of too many frames", ANYBODY, GRANT, GNTTABOP_setup_table,
     &(struct gnttab_setup_table){.dom = DOMID_SELF, .nr_frames = 10000, .status = PATTERN,
                                  .frame_list.p = frames},
     &(struct gnttab_setup_table){.dom = DOMID_SELF, .nr_frames = 10000,
                                  .status = GNTST_general_error, .frame_list.p = frames},
     sizeof(struct gnttab_setup_table), 0},
    {"grant: frames of a table told to the hypervisor", ANYBODY, GRANT, GNTTABOP_setup_table,
     &(struct gnttab_setup_table){.dom = DOMID_SELF, .nr_frames = 1, .status = PATTERN,
                                  .frame_list.p = BEYOND}, NULL,
     sizeof(struct gnttab_setup_table), -XEN_EFAULT},
    {"grant: size of nobody's table", ANYBODY, GRANT, GNTTABOP_query_size,
     &(struct gnttab_query_size){.dom = NOBODY, .nr_frames = PATTERN, .max_nr_frames = PATTERN,
                                 .status = PATTERN},
     &(struct gnttab_query_size){.dom = NOBODY, .nr_frames = PATTERN, .max_nr_frames = PATTERN,
                                 .status = GNTST_bad_domain},
     sizeof(struct gnttab_query_size), 0},
    {"grant: size of another's table", ORDINARY, GRANT, GNTTABOP_query_size,
     &(struct gnttab_query_size){.dom = 0, .nr_frames = PATTERN, .max_nr_frames = PATTERN,
                                 .status = PATTERN},
     &(struct gnttab_query_size){.dom = 0, .nr_frames = PATTERN, .max_nr_frames = PATTERN,
                                 .status = GNTST_permission_denied},
     sizeof(struct gnttab_query_size), 0},
    {"grant: a version there is not tells the one in force", ANYBODY, GRANT, GNTTABOP_set_version,
     &(struct gnttab_set_version){.version = 3}, &(struct gnttab_set_version){.version = 1},
     sizeof(struct gnttab_set_version), -XEN_EINVAL},
    {"grant: version of nobody's table", ANYBODY, GRANT, GNTTABOP_get_version,
     &(struct gnttab_get_version){.dom = NOBODY, .version = PATTERN}, NULL,
     sizeof(struct gnttab_get_version), -XEN_ESRCH},
    {"grant: version of another's table", ORDINARY, GRANT, GNTTABOP_get_version,
     &(struct gnttab_get_version){.dom = 0, .version = PATTERN}, NULL,
     sizeof(struct gnttab_get_version), -XEN_EPERM},
    {"grant: status frames of nobody's", ANYBODY, GRANT, GNTTABOP_get_status_frames,
     &(struct gnttab_get_status_frames){.dom = NOBODY, .status = PATTERN},
     &(struct gnttab_get_status_frames){.dom = NOBODY, .status = GNTST_bad_domain},
     sizeof(struct gnttab_get_status_frames), 0},
    {"grant: no status frames of version 1", ANYBODY, GRANT, GNTTABOP_get_status_frames,
     &(struct gnttab_get_status_frames){.dom = DOMID_SELF, .status = PATTERN},
     &(struct gnttab_get_status_frames){.dom = DOMID_SELF, .status = GNTST_okay},
     sizeof(struct gnttab_get_status_frames), 0},
    {"grant: a status frame of version 1", ANYBODY, GRANT, GNTTABOP_get_status_frames,
     &(struct gnttab_get_status_frames){.dom = DOMID_SELF, .nr_frames = 1, .status = PATTERN},
     &(struct gnttab_get_status_frames){.dom = DOMID_SELF, .nr_frames = 1,
                                        .status = GNTST_general_error},
     sizeof(struct gnttab_get_status_frames), 0},
    {"grant: transfer of no frame", ANYBODY, GRANT, GNTTABOP_transfer,
     &(struct gnttab_transfer){.mfn = NO_FRAME, .domid = NOBODY, .status = PATTERN},
     &(struct gnttab_transfer){.mfn = NO_FRAME, .domid = NOBODY, .status = GNTST_bad_page},
     sizeof(struct gnttab_transfer), 0},
    {"grant: copy from another's frame by number", ANYBODY, GRANT, GNTTABOP_copy,
     &(struct gnttab_copy){.source = {.domid = NOBODY}, .dest = {.domid = DOMID_SELF},
                           .status = PATTERN},
     &(struct gnttab_copy){.source = {.domid = NOBODY}, .dest = {.domid = DOMID_SELF},
                           .status = GNTST_permission_denied},
     sizeof(struct gnttab_copy), 0},
    {"grant: copy from nobody, beyond a page", ANYBODY, GRANT, GNTTABOP_copy,
     &(struct gnttab_copy){.source = {.domid = NOBODY}, .dest = {.domid = NOBODY}, .len = 0xffff,
                           .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref, .status = PATTERN},
     &(struct gnttab_copy){.source = {.domid = NOBODY}, .dest = {.domid = NOBODY}, .len = 0xffff,
                           .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref,
                           .status = GNTST_bad_domain},
     sizeof(struct gnttab_copy), 0},
    {"grant: copy from no frame, beyond a page", ANYBODY, GRANT, GNTTABOP_copy,
     &(struct gnttab_copy){.source = {.domid = DOMID_SELF, .u.gmfn = NO_FRAME},
                           .dest = {.domid = DOMID_SELF}, .len = 0xffff, .status = PATTERN},
     &(struct gnttab_copy){.source = {.domid = DOMID_SELF, .u.gmfn = NO_FRAME},
                           .dest = {.domid = DOMID_SELF}, .len = 0xffff,
                           .status = GNTST_bad_page},
     sizeof(struct gnttab_copy), 0},
    {"grant: swap of an entry there is not", ANYBODY, GRANT, GNTTABOP_swap_grant_ref,
     &(struct gnttab_swap_grant_ref){.ref_a = 0x40000000, .status = PATTERN},
     &(struct gnttab_swap_grant_ref){.ref_a = 0x40000000, .status = GNTST_bad_gntref},
     sizeof(struct gnttab_swap_grant_ref), 0},

    /* Memory: a number of extents, whatever the error. */
    {"memory: increase of nobody's", ANYBODY, MEMORY, XENMEM_increase_reservation,
     &(struct xen_memory_reservation){.extent_start.p = frames, .nr_extents = 2, .domid = NOBODY},
     NULL, sizeof(struct xen_memory_reservation), 0},
    {"memory: increase of another's", ORDINARY, MEMORY, XENMEM_increase_reservation,
     &(struct xen_memory_reservation){.extent_start.p = frames, .nr_extents = 2, .domid = 0},
     NULL, sizeof(struct xen_memory_reservation), 0},
    {"memory: populate another's", ORDINARY, MEMORY, XENMEM_populate_physmap,
     &(struct xen_memory_reservation){.extent_start.p = frames, .nr_extents = 2, .domid = 0},
     NULL, sizeof(struct xen_memory_reservation), 0},
    {"memory: extents too large", ANYBODY, MEMORY, XENMEM_increase_reservation,
     &(struct xen_memory_reservation){.extent_start.p = frames, .nr_extents = 2,
                                      .extent_order = 25, .domid = DOMID_SELF},
     NULL, sizeof(struct xen_memory_reservation), 0},
    {"memory: frames told to the hypervisor", ANYBODY, MEMORY, XENMEM_increase_reservation,
     &(struct xen_memory_reservation){.extent_start.p = BEYOND, .nr_extents = 2,
                                      .domid = DOMID_SELF},
     NULL, sizeof(struct xen_memory_reservation), 0},
    {"memory: exchange of nobody's", ANYBODY, MEMORY, XENMEM_exchange,
     &(struct xen_memory_exchange){
         .in = {.extent_start.p = frames, .nr_extents = 2, .domid = NOBODY},
         .out = {.extent_start.p = frames, .nr_extents = 2, .domid = NOBODY}, .nr_exchanged = 1},
     NULL, sizeof(struct xen_memory_exchange), -XEN_ESRCH},
    {"memory: exchange of more than there is", ANYBODY, MEMORY, XENMEM_exchange,
     &(struct xen_memory_exchange){
         .in = {.extent_start.p = frames, .nr_extents = 2, .domid = DOMID_SELF},
         .out = {.extent_start.p = frames, .nr_extents = 2, .domid = DOMID_SELF},
         .nr_exchanged = 3},
     NULL, sizeof(struct xen_memory_exchange), -XEN_EINVAL},
    {"memory: exchange that begins in the middle of an extent", ANYBODY, MEMORY, XENMEM_exchange,
     &(struct xen_memory_exchange){
         .in = {.extent_start.p = frames, .nr_extents = 4, .domid = DOMID_SELF},
         .out = {.extent_start.p = frames, .nr_extents = 1, .extent_order = 2,
                 .domid = DOMID_SELF},
         .nr_exchanged = 1},
     NULL, sizeof(struct xen_memory_exchange), -XEN_EINVAL},
    {"memory: exchange for frames told to the hypervisor", ANYBODY, MEMORY, XENMEM_exchange,
     &(struct xen_memory_exchange){
         .in = {.extent_start.p = frames, .nr_extents = 2, .domid = DOMID_SELF},
         .out = {.extent_start.p = BEYOND, .nr_extents = 2, .domid = DOMID_SELF},
         .nr_exchanged = 1},
     NULL, sizeof(struct xen_memory_exchange), -XEN_EFAULT},
    {"memory: frames of the M2P told to where nothing is", ANYBODY, MEMORY,
     XENMEM_machphys_mfn_list,
     &(struct xen_machphys_mfn_list){.max_extents = 1, .extent_start.p = NOWHERE,
                                     .nr_extents = PATTERN},
     NULL, sizeof(struct xen_machphys_mfn_list), -XEN_EFAULT},
    {"memory: the machine's map for an ordinary domain", ORDINARY, MEMORY,
     XENMEM_machine_memory_map, &(struct xen_memory_map){.nr_entries = PATTERN}, NULL,
     sizeof(struct xen_memory_map), -XEN_EPERM},
    {"memory: the machine's map in too little room", INITIAL, MEMORY, XENMEM_machine_memory_map,
     &(struct xen_memory_map){.nr_entries = 1, .buffer.p = frames}, NULL,
     sizeof(struct xen_memory_map), -XEN_EINVAL},
    {"memory: a map of too many lines", ANYBODY, MEMORY, XENMEM_set_memory_map,
     &(struct xen_foreign_memory_map){.domid = DOMID_SELF,
                                      .map = {.nr_entries = 5000, .buffer.p = frames}},
     NULL, sizeof(struct xen_foreign_memory_map), -XEN_EINVAL},

    /* The machine, processors, the rest. */
    {"physdev: status of an interrupt there is not", ANYBODY, PHYSDEV, PHYSDEVOP_irq_status_query,
     &(struct physdev_irq_status_query){.irq = 1000000, .flags = PATTERN}, NULL,
     sizeof(struct physdev_irq_status_query), -XEN_EINVAL},
    {"physdev: a PIRQ of no kind", INITIAL, PHYSDEV, PHYSDEVOP_map_pirq,
     &(struct physdev_map_pirq){.domid = DOMID_SELF, .type = 77, .index = 3, .pirq = -1}, NULL,
     sizeof(struct physdev_map_pirq), -XEN_EINVAL},
    {"physdev: a PIRQ for an ordinary domain", ORDINARY, PHYSDEV, PHYSDEVOP_map_pirq,
     &(struct physdev_map_pirq){.domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI, .index = 3,
                                .pirq = -1},
     NULL, sizeof(struct physdev_map_pirq), -XEN_EPERM},
    {"physdev: a vector for an ordinary domain", ORDINARY, PHYSDEV, PHYSDEVOP_alloc_irq_vector,
     &(struct physdev_irq){.irq = 3, .vector = PATTERN}, NULL, sizeof(struct physdev_irq),
     -XEN_EPERM},
    {"version: features of a word there is not", ANYBODY, __HYPERVISOR_xen_version,
     XENVER_get_features, &(struct xen_feature_info){.submap_idx = 7, .submap = PATTERN}, NULL,
     sizeof(struct xen_feature_info), -XEN_EINVAL},
};

/* The control domain's: the command is in the structure. */
static const struct row controls[] = {
    {"domctl: by an ordinary domain", ORDINARY, __HYPERVISOR_domctl, 0,
     &(struct xen_domctl){.cmd = XEN_DOMCTL_getdomaininfo,
                          .interface_version = XEN_DOMCTL_INTERFACE_VERSION},
     NULL, sizeof(struct xen_domctl), -XEN_EPERM},
    {"domctl: of another release", ANYBODY, __HYPERVISOR_domctl, 0,
     &(struct xen_domctl){.cmd = XEN_DOMCTL_getdomaininfo, .interface_version = 1}, NULL,
     sizeof(struct xen_domctl), -XEN_EACCES},
    {"domctl: a domain above all others", INITIAL, __HYPERVISOR_domctl, 0,
     &(struct xen_domctl){.cmd = XEN_DOMCTL_getdomaininfo, .domain = NOBODY,
                          .interface_version = XEN_DOMCTL_INTERFACE_VERSION},
     NULL, sizeof(struct xen_domctl), -XEN_ESRCH},
    {"domctl: a domain of no vcpus", INITIAL, __HYPERVISOR_domctl, 0,
     &(struct xen_domctl){.cmd = XEN_DOMCTL_createdomain, .domain = 0,
                          .interface_version = XEN_DOMCTL_INTERFACE_VERSION},
     NULL, sizeof(struct xen_domctl), -XEN_EINVAL},
    {"domctl: a vcpu there is not", INITIAL, __HYPERVISOR_domctl, 0,
     &(struct xen_domctl){.cmd = XEN_DOMCTL_getvcpuinfo, .domain = 0,
                          .interface_version = XEN_DOMCTL_INTERFACE_VERSION,
                          .u.getvcpuinfo = {.vcpu = 1000, .cpu = PATTERN}},
     NULL, sizeof(struct xen_domctl), -XEN_EINVAL},
    {"sysctl: by an ordinary domain", ORDINARY, __HYPERVISOR_sysctl, 0,
     &(struct xen_sysctl){.cmd = XEN_SYSCTL_physinfo,
                          .interface_version = XEN_SYSCTL_INTERFACE_VERSION},
     NULL, sizeof(struct xen_sysctl), -XEN_EPERM},
    {"sysctl: domains told to where nothing is", INITIAL, __HYPERVISOR_sysctl, 0,
     &(struct xen_sysctl){.cmd = XEN_SYSCTL_getdomaininfolist,
                          .interface_version = XEN_SYSCTL_INTERFACE_VERSION,
                          .u.getdomaininfolist = {.max_domains = 1, .buffer.p = NOWHERE,
                                                  .num_domains = PATTERN}},
     NULL, sizeof(struct xen_sysctl), -XEN_EFAULT},
    {"platform: by an ordinary domain", ORDINARY, __HYPERVISOR_platform_op, 0,
     &(struct xen_platform_op){.cmd = XENPF_get_cpuinfo,
                               .interface_version = XENPF_INTERFACE_VERSION},
     NULL, sizeof(struct xen_platform_op), -XEN_EPERM},
};
/* clang-format on */

static void try(const struct row *r, bool control)
{
    union {
        char bytes[256];
        uint64_t align;
    } buffer;
    long rc;

    if (!called_by(r->who))
        return;
    memcpy(buffer.bytes, r->in, r->size);
    rc = control ? hypercall(r->number, HV_ARG(&buffer), 0, 0, 0, 0)
                 : hypercall(r->number, r->cmd, HV_ARG(&buffer), 1, 0, 0);
    tap_is(rc, r->result, "%s", r->what);
    for (unsigned int i = 0; i < r->size; i++) {
        char want = ((const char *)(r->out ? r->out : r->in))[i];

        if (buffer.bytes[i] != want)
            tap_diag("byte %u is %02x, should be %02x", i, buffer.bytes[i] & 0xff, want & 0xff);
    }
    tap_ok(!memcmp(buffer.bytes, r->out ? r->out : r->in, r->size), "... its arguments");
}

/* --- `done` of mmu_update and mmuext_op -------------------------------------------------------- */

#define UNTOLD 5 /* what it is preset to */

static void *memory; /* an ordinary page ... */
static char *edge;   /* ... mapped a second time, before a hole */

/* Two requests, both good, for this foreign domain. */
static void updates(const char *what, uint32_t foreigndom, int error, uint32_t done)
{
    struct mmu_update list[2] = {{.ptr = entry_of(memory, 0)}, {.ptr = entry_of(memory, 1)}};
    unsigned int told = UNTOLD;

    tap_is(hv_mmu_update(list, 2, &told, foreigndom), error, "mmu_update: %s", what);
    tap_is(told, done, "... %u done", (unsigned int)done);
}

/* Two flushes by mmuext_op for this domain. */
static void operations(const char *what, uint32_t foreigndom, int error)
{
    struct mmuext_op list[2] = {{.cmd = MMUEXT_TLB_FLUSH_LOCAL}, {.cmd = MMUEXT_TLB_FLUSH_LOCAL}};
    unsigned int told = UNTOLD;

    tap_is(hv_mmuext_op(list, 2, &told, foreigndom), error, "mmuext_op: %s", what);
    tap_is(told, UNTOLD, "... its count is not told");
}

static void one_operation(const char *what, unsigned int cmd, int error)
{
    struct mmuext_op list[2] = {{.cmd = MMUEXT_TLB_FLUSH_LOCAL}, {.cmd = cmd}};
    unsigned int told = UNTOLD;

    tap_is(hv_mmuext_op(list, 2, &told, DOMID_SELF), error, "mmuext_op: %s", what);
    tap_is(told, error ? 1 : 2, "... %d done", error ? 1 : 2);
}

/* Lists that end before they should. */
static void lists(void)
{
    struct mmu_update *update = (struct mmu_update *)(edge + PAGE_SIZE) - 1;
    struct mmuext_op *op = (struct mmuext_op *)(edge + PAGE_SIZE) - 1;
    unsigned int told = UNTOLD;

    *update = (struct mmu_update){.ptr = entry_of(memory, 0)};
    tap_is(hv_mmu_update(update, 2, &told, DOMID_SELF), -XEN_EFAULT, "mmu_update: half a list");
    tap_is(told, 1, "... one done");
    *op = (struct mmuext_op){.cmd = MMUEXT_TLB_FLUSH_LOCAL};
    told = UNTOLD;
    tap_is(hv_mmuext_op(op, 2, &told, DOMID_SELF), -XEN_EFAULT, "mmuext_op: half a list");
    tap_is(told, 1, "... one done");
    if (is_64bit_hypervisor()) {
        tap_skip("its range check is that of 64-bit guests", "lists in the hypervisor");
        return;
    }
    told = UNTOLD;
    tap_is(hv_mmu_update(BEYOND, 2, &told, DOMID_SELF), -XEN_EFAULT, "mmu_update: a list of ours");
    tap_is(told, UNTOLD, "... its count is not told");
    tap_is(hv_mmuext_op(BEYOND, 2, &told, DOMID_SELF), -XEN_EFAULT, "mmuext_op: a list of ours");
    tap_is(told, UNTOLD, "... its count is not told");
}

static void counts(void)
{
    domid_t own = own_domid();

    updates("frames of nobody", NOBODY, -XEN_ESRCH, 0);
    updates("frames of oneself by number", own, -XEN_ESRCH, 0);
    updates("frames of a domain that cannot be", 0x7FFF, -XEN_ESRCH, 0);
    updates("tables of nobody", (NOBODY + 1) << 16 | DOMID_SELF, -XEN_ESRCH, UNTOLD);
    updates("tables of nobody, frames of nobody", (NOBODY + 1) << 16 | NOBODY, -XEN_ESRCH, UNTOLD);
    updates("tables of oneself by number", (own + 1u) << 16 | DOMID_SELF, 0, 2);
    operations("of nobody", NOBODY, -XEN_ESRCH);
    operations("of oneself by number", own, -XEN_ESRCH);
    if (!is_initial_domain()) {
        updates("frames of another's", 0, -XEN_EPERM, 0);
        updates("tables of another's", 1 << 16 | DOMID_SELF, -XEN_EPERM, 0);
        operations("of another's", 0, -XEN_EPERM);
    }
    one_operation("a command there is not", 1000, -XEN_ENOSYS);
    one_operation("a root of 64-bit guests", MMUEXT_NEW_USER_BASEPTR, -XEN_EINVAL);
    one_operation("flush of caches", MMUEXT_FLUSH_CACHE, is_initial_domain() ? 0 : -XEN_EACCES);
    one_operation("flush of all caches", MMUEXT_FLUSH_CACHE_GLOBAL,
                  is_initial_domain() ? 0 : -XEN_EINVAL);
    lists();
}

/* --- The others -------------------------------------------------------------------------------- */

/* A list of the table's frames that cannot be written is told by the status. */
static void table_nowhere(void)
{
    struct gnttab_setup_table op = {
        .dom = DOMID_SELF, .nr_frames = 1, .status = PATTERN, .frame_list.p = NOWHERE};

    tap_is(hv_grant_table_op(GNTTABOP_setup_table, &op, 1), 0,
           "grant: frames of a table told to where nothing is");
    /* The layer for 32-bit guests of a 64-bit Xen copies the status before it knows. */
    tap_is(op.status, is_64bit_hypervisor() ? GNTST_okay : GNTST_bad_virt_addr, "... its status");
}

/* One frame that can be exchanged, and one that cannot: the first is counted. */
static void exchange(void)
{
    xen_pfn_t in[2] = {0, NO_FRAME}, out[2];
    struct xen_memory_exchange x = {
        .in = {.extent_start.p = in, .nr_extents = 2, .domid = DOMID_SELF},
        .out = {.extent_start.p = out, .nr_extents = 2, .domid = DOMID_SELF}};
    void *page = page_alloc();
    uint32_t pfn = ((uint32_t)page - VIRT_BASE) >> PAGE_SHIFT;

    out[0] = out[1] = pfn;
    in[0] = linear_to_mfn(page);
    if (hv_update_va_mapping(page, 0, UVMF_INVLPG))
        panic("a page cannot be unmapped");
    tap_is(hv_memory_op(XENMEM_exchange, &x), -XEN_EINVAL, "memory: exchange of one, and of none");
    /* The layer for 32-bit guests of a 64-bit Xen loses the number, and the new frame's, on errors. */
    tap_is(x.nr_exchanged, is_64bit_hypervisor() ? 0 : 1, "... how many were");
    tap_ok(is_64bit_hypervisor() || (out[0] != pfn && out[1] == pfn), "... which is told");
}

static void highest_pfn(void)
{
    volatile unsigned long *max_pfn = &shared()->arch.max_pfn;
    unsigned long kept = *max_pfn;
    struct xen_memory_domain self = {.domid = DOMID_SELF};

    *max_pfn = 0;
    tap_is(hv_memory_op(XENMEM_maximum_gpfn, &self), 0, "memory: the highest of no pages");
    *max_pfn = 9;
    tap_is(hv_memory_op(XENMEM_maximum_gpfn, &self), 8, "memory: the highest of nine");
    *max_pfn = kept;
}

/* A processor there is not is no error: a flag says it, and the numbers stay. */
static void processor(void)
{
    struct xen_platform_op op = {.cmd = XENPF_get_cpuinfo,
                                 .interface_version = XENPF_INTERFACE_VERSION};

    if (!is_initial_domain())
        return;
    op.u.pcpu_info = (struct xenpf_pcpuinfo){
        .xen_cpuid = 4000, .flags = PATTERN, .apic_id = PATTERN, .acpi_id = PATTERN};
    tap_is(hv_platform_op(&op), 0, "platform: a processor there is not");
    tap_is(op.u.pcpu_info.flags, XEN_PCPU_FLAGS_INVALID, "... is invalid");
    tap_ok(op.u.pcpu_info.apic_id == PATTERN && op.u.pcpu_info.acpi_id == PATTERN,
           "... its numbers stay");
}

static void runstate(void)
{
    struct vcpu_runstate_info info = {.state = PATTERN}, before = info;

    tap_is(hv_vcpu_op(VCPUOP_get_runstate_info, 1000, &info), -XEN_ENOENT,
           "vcpu_op: a vcpu there is not");
    tap_ok(!memcmp(&info, &before, sizeof(info)), "... its arguments");
}

/* Results of a multicall: each entry's own, up to one that cannot be read. */
static void multicall(void)
{
    struct multicall_entry calls[3] = {
        {.op = __HYPERVISOR_xen_version, .args = {XENVER_version}, .result = PATTERN},
        {.op = 1000, .result = PATTERN},
        {.op = __HYPERVISOR_multicall, .result = PATTERN}};
    struct multicall_entry *last = (struct multicall_entry *)(edge + PAGE_SIZE) - 1;

    tap_is(hv_multicall(calls, 3), 0, "multicall: a good call and two bad ones");
    tap_ok((calls[0].result >> 16) == 4 && (long)calls[1].result == -XEN_ENOSYS &&
               (long)calls[2].result == -XEN_EINVAL,
           "... each result");
    *last = calls[0];
    last->result = PATTERN;
    tap_is(hv_multicall(last, 2), -XEN_EFAULT, "multicall: half a list");
    tap_is(last->result >> 16, 4, "... the first call's result");
}

static void poll(const char *what, evtchn_port_t port, int result)
{
    struct sched_poll op = {.nr_ports = 1, .timeout = 1};

    set_xen_guest_handle(op.ports, &port);
    tap_is(hv_sched_op(SCHEDOP_poll, &op), result, "poll: %s", what);
}

/* SCHEDOP_poll waits for ports in use alone. */
static void polls(void)
{
    struct evtchn_alloc_unbound open = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
    struct evtchn_close close;

    if (hv_event_channel_op(EVTCHNOP_alloc_unbound, &open))
        panic("no event channel");
    close.port = open.port;
    poll("port 0", 0, -XEN_EINVAL);
    poll("a port that was never made", 100000, -XEN_EINVAL);
    poll("an open port", open.port, 0);
    hv_event_channel_op(EVTCHNOP_close, &close);
    poll("the same port when closed", open.port, -XEN_EINVAL);
}

int main(void)
{
    memory = page_alloc();
    edge = window_alloc(2);
    if (map_page(edge, pte_make(linear_to_mfn(memory), PAGE_KERNEL)))
        panic("no page before a hole");
    for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        try(&rows[i], false);
    for (unsigned int i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
        try(&controls[i], true);
    tap_ok(frames[0] == PATTERN && frames[3] == PATTERN, "no list was written");
    counts();
    table_nowhere();
    exchange();
    highest_pfn();
    processor();
    runstate();
    multicall();
    polls();
    tap_is(hypercall(__HYPERVISOR_get_debugreg, 9, 0, 0, 0, 0), -XEN_ENODEV,
           "get_debugreg: a register there is not");
    tap_audit();
    tap_done();
}
