/* SPDX-License-Identifier: MIT */
/*
 * Control: the requests of a control domain, right and wrong.
 *
 * domctl and sysctl build and end domains, and whoever makes a mistake there gets an error instead
 * of half a domain. This guest makes the mistakes one at a time: an interface version of another
 * release, domains and vcpus that do not exist, numbers beyond what there is, contexts that no
 * vcpu may have. Then it makes a domain the right way, as far as it goes without running it, looks
 * at it through every window there is, ends it, and counts whether all its memory came back. The
 * smaller hypercalls of the same kind (xen_version, console_io, physdev_op, platform_op) come
 * first.
 *
 * All answers are those of real Xen (4.17), which passes this test as well; only memory does not
 * come back at once there.
 *
 * Run: qemu
 * Machine: mem=256
 */
#define __XEN_TOOLS__ 1
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/features.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>

#include "../../domctl.h"

#define NOWHERE ((void *)0x1000) /* an address with nothing at it */
#define NO_DOMAIN 77
#define NO_COMMAND 999

static struct xen_sysctl sys;
static unsigned int processors; /* as physinfo has it */

/* Real Xen: some of its answers depend on what it has done before. */
static bool on_xen(void)
{
    xen_extraversion_t extra;

    return hv_xen_version(XENVER_extraversion, extra) || strcmp(extra, ".ringlet");
}

/* --- the small hypercalls -------------------------------------------------------------------- */

static void version(void)
{
    static xen_capabilities_info_t capabilities;
    xen_extraversion_t extra;
    struct xen_platform_parameters platform;
    struct xen_feature_info features = {.submap_idx = 0};
    unsigned int wanted = 1u << XENFEAT_dom0 | 1u << XENFEAT_mmu_pt_update_preserve_ad |
                          1u << XENFEAT_highmem_assist | 1u << XENFEAT_gnttab_map_avail_bits;

    tap_is(hv_xen_version(XENVER_version, NULL), 4 << 16 | 17, "version");
    tap_is(hv_xen_version(XENVER_extraversion, extra), 0, "extraversion");
    tap_is(hv_xen_version(XENVER_extraversion, NOWHERE), -XEN_EFAULT, "extraversion, nowhere");
    tap_is(hv_xen_version(XENVER_capabilities, capabilities), 0, "capabilities");
    tap_ok(strstr(capabilities, "xen-3.0-x86_32p") != NULL, "capabilities name this ABI");
    tap_is(hv_xen_version(XENVER_platform_parameters, &platform), 0, "platform parameters");
    tap_is(platform.virt_start, 0xf5800000, "where the hypervisor begins");
    tap_is(hv_xen_version(XENVER_get_features, &features), 0, "features");
    tap_is(features.submap & wanted, wanted, "features of an initial domain");
    features.submap_idx = 1;
    tap_is(hv_xen_version(XENVER_get_features, &features), -XEN_EINVAL, "features, second word");
    tap_is(hv_xen_version(XENVER_pagesize, NULL), 4096, "page size");
    tap_is(hv_xen_version(XENVER_pagesize, extra), -XEN_EINVAL, "page size with an argument");
    tap_is(hv_xen_version(NO_COMMAND, NULL), -XEN_ENOSYS, "version: no such command");
}

/* Whether the field that starts here holds a string that ends in it. */
static bool ends(const char *field, size_t room)
{
    return memchr(field, 0, room) != NULL;
}

/* What the hypervisor was built from and started with, and who asks. */
static void version_texts(void)
{
    static struct xen_compile_info info;
    static xen_changeset_info_t changeset;
    static xen_commandline_t line;
    static struct xen_build_id id;
    xen_domain_handle_t handle;

    memset(&info, '?', sizeof(info));
    tap_is(hv_xen_version(XENVER_compile_info, &info), 0, "compile info");
    tap_ok(ends(info.compiler, sizeof(info.compiler)) &&
               ends(info.compile_by, sizeof(info.compile_by)) &&
               ends(info.compile_domain, sizeof(info.compile_domain)) &&
               ends(info.compile_date, sizeof(info.compile_date)),
           "its strings end");
    tap_ok(strstr(info.compiler, "gcc") != NULL, "compiled by gcc: %s", info.compiler);
    memset(changeset, '?', sizeof(changeset));
    tap_is(hv_xen_version(XENVER_changeset, changeset), 0, "changeset");
    tap_ok(ends(changeset, sizeof(changeset)), "it ends");
    memset(handle, '?', sizeof(handle));
    tap_is(hv_xen_version(XENVER_guest_handle, handle), 0, "handle");
    tap_ok(handle[0] == 0 && memcmp(handle, handle + 1, sizeof(handle) - 1) == 0,
           "the initial domain's is all zero");
    memset(line, '?', sizeof(line));
    tap_is(hv_xen_version(XENVER_commandline, line), 0, "command line");
    tap_ok(ends(line, sizeof(line)) && strstr(line, "console=com1"), "it is the hypervisor's");
    tap_is(hv_xen_version(XENVER_build_id, &id), -XEN_EINVAL, "build id, no room for it");
    for (int command = XENVER_compile_info; command <= XENVER_commandline; command++)
        if (command != XENVER_pagesize)
            tap_is(hv_xen_version(command, NOWHERE), -XEN_EFAULT, "version %d, nowhere", command);
}

static void console(void)
{
    static char buffer[16];

    tap_is(hv_console_io(CONSOLEIO_write, 0, buffer), 0, "console: write nothing");
    tap_is(hv_console_io(CONSOLEIO_write, 5, NOWHERE), -XEN_EFAULT, "console: write from nowhere");
    tap_is(hv_console_io(CONSOLEIO_read, sizeof(buffer), buffer), 0, "console: nothing typed");
    tap_is(hv_console_io(CONSOLEIO_read, 1u << 31, buffer), -XEN_E2BIG, "console: read too much");
    tap_is(hv_console_io(NO_COMMAND, 0, buffer), -XEN_ENOSYS, "console: no such command");
}

static void ports(void)
{
    static uint8_t bitmap[65536 / 8];
    struct physdev_set_iopl iopl = {.iopl = 4};
    struct physdev_set_iobitmap io = {.nr_ports = 65537};

    tap_is(hv_physdev_op(PHYSDEVOP_set_iopl, &iopl), -XEN_EINVAL, "set_iopl 4");
    iopl.iopl = 1;
    tap_is(hv_physdev_op(PHYSDEVOP_set_iopl, &iopl), 0, "set_iopl 1");
    tap_is(hv_physdev_op(PHYSDEVOP_set_iopl, NOWHERE), -XEN_EFAULT, "set_iopl from nowhere");
    set_xen_guest_handle(io.bitmap, bitmap);
    tap_is(hv_physdev_op(PHYSDEVOP_set_iobitmap, &io), -XEN_EINVAL, "set_iobitmap, 65537 ports");
    io.nr_ports = 65536;
    tap_is(hv_physdev_op(PHYSDEVOP_set_iobitmap, &io), 0, "set_iobitmap");
    set_xen_guest_handle(io.bitmap, (uint8_t *)0xf6000000);
    tap_is(hv_physdev_op(PHYSDEVOP_set_iobitmap, &io), -XEN_EINVAL,
           "set_iobitmap in the hypervisor's half");
    tap_is(hv_physdev_op(NO_COMMAND, NULL), -XEN_ENOSYS, "physdev: no such command");
}

static void platform(void)
{
    static struct xen_platform_op op;

    op.cmd = XENPF_settime64;
    op.interface_version = XENPF_INTERFACE_VERSION + 1;
    tap_is(hv_platform_op(&op), -XEN_EACCES, "platform: another release's interface");
    op.interface_version = XENPF_INTERFACE_VERSION;
    op.u.settime64.mbz = 1;
    tap_is(hv_platform_op(&op), -XEN_EINVAL, "settime64: a reserved field is set");
    op.cmd = XENPF_get_cpuinfo;
    op.u.pcpu_info.xen_cpuid = 500;
    tap_is(hv_platform_op(&op), 0, "get_cpuinfo of no processor");
    tap_is(op.u.pcpu_info.flags, XEN_PCPU_FLAGS_INVALID, "which is told by a flag");
    op.cmd = XENPF_enter_acpi_sleep;
    op.u.enter_acpi_sleep = (struct xenpf_enter_acpi_sleep){.sleep_state = 0};
    tap_is(hv_platform_op(&op), -XEN_EINVAL, "enter_acpi_sleep: the working state");
    op.u.enter_acpi_sleep.sleep_state = 6;
    tap_is(hv_platform_op(&op), -XEN_EINVAL, "enter_acpi_sleep: no such state");
    op.u.enter_acpi_sleep.sleep_state = 3;
    if (!on_xen()) /* it would sleep */
        tap_is(hv_platform_op(&op), -XEN_EOPNOTSUPP, "enter_acpi_sleep: S3");
    op.cmd = NO_COMMAND;
    tap_is(hv_platform_op(&op), -XEN_ENOSYS, "platform: no such command");
}

/* --- sysctl ----------------------------------------------------------------------------------- */

static int sysctl(uint32_t cmd)
{
    sys.cmd = cmd;
    sys.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return hv_sysctl(&sys);
}

static uint64_t free_pages(void)
{
    return sysctl(XEN_SYSCTL_physinfo) ? 0 : sys.u.physinfo.free_pages;
}

/*
 * What this domain prints goes to the devices alone: a tool that prints what it reads from the ring
 * of past output would otherwise read its own output, and more of it each time. Asked for on the
 * command line, it goes into the ring too.
 */
static void own_output(void)
{
    static const char line[] = "# a line that the initial domain prints\n";
    static xen_commandline_t words;
    static char text[16384 + 1]; /* as large as the ring, and the string's end */
    bool wanted;

    hv_xen_version(XENVER_commandline, words);
    wanted = strstr(words, "console_to_ring");
    tap_is(hv_console_io(CONSOLEIO_write, strlen(line), line), 0, "a line to the console");
    memset(&sys.u, 0, sizeof(sys.u));
    set_xen_guest_handle(sys.u.readconsole.buffer, text);
    sys.u.readconsole.count = sizeof(text) - 1;
    tap_is(sysctl(XEN_SYSCTL_readconsole), 0, "readconsole of all there is");
    tap_ok(strstr(text, "(XEN)"), "it has the hypervisor's messages");
    tap_is(strstr(text, line) != NULL, wanted,
           "and this domain's line if the command line says console_to_ring, as it does%s",
           wanted ? "" : " not");
}

static void machine(void)
{
    static char text[256];
    static struct xen_domctl_getdomaininfo list[4];

    sys.cmd = XEN_SYSCTL_physinfo;
    sys.interface_version = XEN_SYSCTL_INTERFACE_VERSION + 1;
    tap_is(hv_sysctl(&sys), -XEN_EACCES, "sysctl: another release's interface");
    tap_is(sysctl(NO_COMMAND), -XEN_ENOSYS, "sysctl: no such command");
    tap_is(hv_sysctl(NOWHERE), -XEN_EFAULT, "sysctl from nowhere");
    tap_is(sysctl(XEN_SYSCTL_physinfo), 0, "physinfo");
    processors = sys.u.physinfo.nr_cpus;
    tap_ok(processors >= 1 && sys.u.physinfo.total_pages > 0x8000 &&
               sys.u.physinfo.total_pages <= 0x10000,
           "physinfo: %u processors, 256 MiB", processors);

    memset(&sys.u, 0, sizeof(sys.u));
    set_xen_guest_handle(sys.u.readconsole.buffer, text);
    sys.u.readconsole.count = sizeof(text);
    tap_is(sysctl(XEN_SYSCTL_readconsole), 0, "readconsole");
    tap_ok(sys.u.readconsole.count == sizeof(text) && memchr(text, '\n', sizeof(text)),
           "readconsole: as much as there was room for");
    set_xen_guest_handle(sys.u.readconsole.buffer, NOWHERE);
    tap_is(sysctl(XEN_SYSCTL_readconsole), -XEN_EFAULT, "readconsole to nowhere");

    memset(&sys.u, 0, sizeof(sys.u));
    sys.u.getdomaininfolist.max_domains = 4;
    set_xen_guest_handle(sys.u.getdomaininfolist.buffer, list);
    tap_is(sysctl(XEN_SYSCTL_getdomaininfolist), 0, "getdomaininfolist");
    tap_is(sys.u.getdomaininfolist.num_domains, 1, "there is one domain");
    tap_ok(list[0].domain == 0 && (list[0].flags & XEN_DOMINF_running) &&
               list[0].tot_pages >= pages_total(),
           "this one, and it runs");

    memset(&sys.u, 0, sizeof(sys.u));
    tap_is(sysctl(XEN_SYSCTL_cputopoinfo), 0, "cputopoinfo: how many?");
    tap_is(sys.u.cputopoinfo.num_cpus, processors, "as many as physinfo told");
}

/* --- domctl: mistakes ------------------------------------------------------------------------- */

static void mistakes(void)
{
    ctl.cmd = XEN_DOMCTL_pausedomain;
    ctl.interface_version = XEN_DOMCTL_INTERFACE_VERSION + 1;
    tap_is(hv_domctl(&ctl), -XEN_EACCES, "domctl: another release's interface");
    tap_is(hv_domctl(NOWHERE), -XEN_EFAULT, "domctl from nowhere");
    tap_is(domctl(NO_COMMAND, 0), -XEN_ENOSYS, "domctl: no such command");
    tap_is(domctl(XEN_DOMCTL_pausedomain, NO_DOMAIN), -XEN_ESRCH, "pause no domain");
    tap_is(domctl(XEN_DOMCTL_pausedomain, DOMID_SELF), -XEN_ESRCH, "DOMID_SELF is no name here");
    tap_is(domctl(XEN_DOMCTL_pausedomain, 0), -XEN_EINVAL, "pause oneself");
    tap_is(domctl(XEN_DOMCTL_unpausedomain, 0), -XEN_EINVAL, "unpause what is not paused");
    tap_is(domctl(XEN_DOMCTL_destroydomain, 0), -XEN_EINVAL, "destroy oneself");
    tap_is(domctl(XEN_DOMCTL_getdomaininfo, 0x7ff5), -XEN_EINVAL, "describe a reserved number");
    tap_is(domctl(XEN_DOMCTL_getdomaininfo, 1), -XEN_ESRCH, "describe domains above the last");
}

static int create(domid_t id, uint32_t flags, uint32_t max_vcpus)
{
    struct xen_domctl_createdomain *c = &ctl.u.createdomain;

    memset(c, 0, sizeof(*c));
    c->flags = flags;
    c->max_vcpus = max_vcpus;
    c->max_evtchn_port = 1023;
    c->max_grant_frames = 4;
    c->max_maptrack_frames = 4;
    c->grant_opts = XEN_DOMCTL_GRANT_version(1);
    memset(c->handle, 0x5a, sizeof(c->handle));
    return domctl(XEN_DOMCTL_createdomain, id);
}

static void bad_domains(void)
{
    tap_is(create(0, 1u << 31, 1), -XEN_EINVAL, "create with a flag nobody knows");
    tap_is(create(0, XEN_DOMCTL_CDF_hap, 1), -XEN_EINVAL, "create a PV domain with HAP");
    tap_is(create(0, 0, 0), -XEN_EINVAL, "create without vcpus");
    tap_is(create(0, 0, 100000), -XEN_EINVAL, "create with too many vcpus");
}

/* --- domctl: one domain, from beginning to end ------------------------------------------------ */

/* A Xen for 64-bit guests makes 64-bit domains until told otherwise. */
static domid_t make_domain(void)
{
    domid_t id;

    tap_is(create(0, 0, 2), 0, "create");
    id = ctl.domain;
    tap_ok(id > 0 && id < DOMID_FIRST_RESERVED, "create chooses a number");
    tap_is(create(id, 0, 2), -XEN_EEXIST, "create it again");
    ctl.u.address_size.size = 32;
    tap_is(domctl(XEN_DOMCTL_set_address_size, id), 0, "set_address_size 32");
    ctl.u.address_size.size = 48;
    tap_is(domctl(XEN_DOMCTL_set_address_size, id), -XEN_EINVAL, "set_address_size 48");
    tap_is(domctl(XEN_DOMCTL_get_address_size, id), 0, "get_address_size");
    tap_is(ctl.u.address_size.size, 32, "which is 32");
    return id;
}

static void describe(domid_t id)
{
    struct xen_domctl_getdomaininfo *info = &ctl.u.getdomaininfo;

    tap_is(domctl(XEN_DOMCTL_getdomaininfo, id), 0, "getdomaininfo");
    tap_ok(info->domain == id && ctl.domain == id, "of the right one");
    tap_ok((info->flags & XEN_DOMINF_paused) && !(info->flags & XEN_DOMINF_running),
           "it is paused");
    tap_ok(info->tot_pages == 0 && info->nr_online_vcpus == 0 &&
               info->max_vcpu_id == XEN_INVALID_MAX_VCPU_ID,
           "and empty");
    tap_is(info->handle[7], 0x5a, "with the handle it was given");
    tap_is(domctl(XEN_DOMCTL_getdomaininfo, id + 1), -XEN_ESRCH, "nothing above it");
    memset(ctl.u.setdomainhandle.handle, 0x33, 16);
    tap_is(domctl(XEN_DOMCTL_setdomainhandle, id), 0, "setdomainhandle");
    ctl.u.max_mem.max_memkb = 1024;
    tap_is(domctl(XEN_DOMCTL_max_mem, id), 0, "max_mem 1 MiB");
    domctl(XEN_DOMCTL_getdomaininfo, id);
    tap_ok(info->max_pages == 256 && info->handle[0] == 0x33, "both are seen");
}

static void pausing(domid_t id)
{
    tap_is(domctl(XEN_DOMCTL_unpausedomain, id), 0, "unpause");
    tap_is(domctl(XEN_DOMCTL_unpausedomain, id), -XEN_EINVAL, "unpause once too often");
    tap_is(domctl(XEN_DOMCTL_pausedomain, id), 0, "pause");
    tap_is(domctl(XEN_DOMCTL_pausedomain, id), 0, "pause twice");
    tap_is(domctl(XEN_DOMCTL_unpausedomain, id), 0, "unpause one of them");
}

static void affinity(domid_t id)
{
    static uint8_t map[8];
    struct vcpu_get_physid physid = {.phys_id = ~0ull};
    struct xen_domctl_vcpuaffinity *a = &ctl.u.vcpuaffinity;

    memset(a, 0, sizeof(*a));
    a->flags = XEN_VCPUAFFINITY_HARD;
    set_xen_guest_handle(a->cpumap_hard.bitmap, map);
    a->cpumap_hard.nr_bits = 64;
    tap_is(domctl(XEN_DOMCTL_setvcpuaffinity, id), -XEN_EINVAL, "affinity to no processor");
    map[0] = 0xff;
    tap_is(domctl(XEN_DOMCTL_setvcpuaffinity, id), 0, "affinity to processors 0 to 7");
    tap_is(map[0], (1 << processors) - 1, "leaves those there are");
    memset(map, 0xee, sizeof(map));
    tap_is(domctl(XEN_DOMCTL_getvcpuaffinity, id), 0, "getvcpuaffinity");
    tap_ok((map[0] & 1) && map[7] == 0, "holds it");
    a->vcpu = 0;
    map[0] = 1 << (processors - 1);
    tap_is(domctl(XEN_DOMCTL_setvcpuaffinity, 0), 0, "affinity of one's own vcpu");
    hv_sched_op(SCHEDOP_yield, NULL);
    tap_is(hv_vcpu_op(VCPUOP_get_physid, 0, &physid), 0, "who may run on one processor only");
    tap_is((uint32_t)physid.phys_id, processors - 1, "is told which: there it is");
    ctl.u.getvcpuinfo.vcpu = 0;
    tap_is(domctl(XEN_DOMCTL_getvcpuinfo, 0), 0, "getvcpuinfo of oneself");
    tap_ok(ctl.u.getvcpuinfo.cpu == processors - 1 && ctl.u.getvcpuinfo.running,
           "says the same, and running");
    memset(a, 0, sizeof(*a));
    a->flags = XEN_VCPUAFFINITY_HARD;
    set_xen_guest_handle(a->cpumap_hard.bitmap, map);
    a->cpumap_hard.nr_bits = 64;
    map[0] = 0xff;
    tap_is(domctl(XEN_DOMCTL_setvcpuaffinity, 0), 0, "anywhere again");
    a->vcpu = 9;
    tap_is(domctl(XEN_DOMCTL_getvcpuaffinity, id), -XEN_EINVAL, "affinity of no vcpu");
}

/* Weight and cap, as Xen's credit scheduler has them. */
static void share(domid_t id)
{
    struct xen_domctl_scheduler_op *s = &ctl.u.scheduler_op;

    memset(s, 0, sizeof(*s));
    s->sched_id = XEN_SCHEDULER_CREDIT;
    s->cmd = XEN_DOMCTL_SCHEDOP_getinfo;
    tap_is(domctl(XEN_DOMCTL_scheduler_op, id), 0, "scheduler_op getinfo");
    tap_ok(s->u.credit.weight == 256 && s->u.credit.cap == 0, "weight 256, no cap");
    s->cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    s->u.credit.weight = 1024;
    s->u.credit.cap = 50;
    tap_is(domctl(XEN_DOMCTL_scheduler_op, id), 0, "scheduler_op putinfo");
    s->u.credit.weight = 0;
    s->u.credit.cap = 0xffff;
    tap_is(domctl(XEN_DOMCTL_scheduler_op, id), 0, "putinfo of nothing");
    s->cmd = XEN_DOMCTL_SCHEDOP_getinfo;
    domctl(XEN_DOMCTL_scheduler_op, id);
    tap_ok(s->u.credit.weight == 1024 && s->u.credit.cap == 50, "weight 1024, cap 50");
    s->cmd = XEN_DOMCTL_SCHEDOP_getvcpuinfo;
    tap_is(domctl(XEN_DOMCTL_scheduler_op, id), -XEN_EINVAL, "vcpus have no parameters");
    s->cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    s->sched_id = XEN_SCHEDULER_CREDIT2;
    tap_is(domctl(XEN_DOMCTL_scheduler_op, id), -XEN_EINVAL, "it is not Credit2");
}

static int shadow(domid_t id, uint32_t op, uint32_t mode, uint64_t pages)
{
    ctl.u.shadow_op.op = op;
    ctl.u.shadow_op.mode = mode;
    ctl.u.shadow_op.pages = pages;
    return domctl(XEN_DOMCTL_shadow_op, id);
}

static uint32_t allocation(domid_t id)
{
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION, 0, 0), 0, "shadow get_allocation");
    return ctl.u.shadow_op.mb;
}

/* Log-dirty mode of a domain that has no memory: what may be asked, and how much is told. */
static void logging(domid_t id)
{
    static uint8_t map[16];
    struct xen_domctl_shadow_op *s = &ctl.u.shadow_op;

    memset(s, 0, sizeof(*s));
    tap_is(shadow(0, XEN_DOMCTL_SHADOW_OP_PEEK, 0, 0), -XEN_EINVAL, "log of one's own writes");
    tap_is(shadow(id, 99, 0, 0), -XEN_EINVAL, "shadow_op: no such command");
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_ENABLE, XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE, 0),
           -XEN_EINVAL, "translated shadows");
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_OFF, 0, 0), 0, "off while it is off");
    tap_is(allocation(id), 0, "nothing is allocated");
    s->mb = 4;
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, 0, 0), 0, "shadow set_allocation");
    tap_ok(s->mb >= 1, "gives some");
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_ENABLE, XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY, 0), 0,
           "log-dirty mode");
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0, 0), -XEN_EINVAL, "is on already");
    s->mb = 0;
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, 0, 0), -XEN_EINVAL,
           "takes memory while it is on");
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_PEEK, ~0u, 0), -XEN_EINVAL, "peek in another mode");
    memset(map, 0xee, sizeof(map));
    set_xen_guest_handle(s->dirty_bitmap, map);
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_PEEK, 0, 20), 0, "peek");
    tap_ok(map[0] == 0 && map[1] == 0 && map[2] == 0 && map[3] == 0xee,
           "writes 20 bits as 3 bytes");
    tap_ok(s->pages == 20 && s->stats.dirty_count == 0 && s->stats.fault_count == 0,
           "nothing is dirty");
    set_xen_guest_handle(s->dirty_bitmap, NOWHERE);
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_CLEAN, 0, 20), -XEN_EFAULT, "clean to nowhere");
    set_xen_guest_handle(s->dirty_bitmap, (uint8_t *)NULL);
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_CLEAN, XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL, 20), 0,
           "the last clean, and no bitmap wanted");
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_OFF, 0, 0), 0, "off");
    tap_is(allocation(id), 0, "and nothing is allocated again");
}

static void vcpus(domid_t id)
{
    tap_is(shadow(id, XEN_DOMCTL_SHADOW_OP_PEEK, 0, 0), -XEN_EINVAL, "shadow_op without vcpus");
    ctl.u.max_vcpus.max = 1;
    tap_is(domctl(XEN_DOMCTL_max_vcpus, id), -XEN_EINVAL, "max_vcpus differs from create's");
    ctl.u.getvcpuinfo.vcpu = 0;
    tap_is(domctl(XEN_DOMCTL_getvcpuinfo, id), -XEN_ESRCH, "a vcpu not made yet");
    ctl.u.max_vcpus.max = 2;
    tap_is(domctl(XEN_DOMCTL_max_vcpus, id), 0, "max_vcpus");
    ctl.u.getvcpuinfo.vcpu = 1;
    tap_is(domctl(XEN_DOMCTL_getvcpuinfo, id), 0, "getvcpuinfo");
    tap_ok(!ctl.u.getvcpuinfo.online && !ctl.u.getvcpuinfo.running, "it is down");
    ctl.u.getvcpuinfo.vcpu = 2;
    tap_is(domctl(XEN_DOMCTL_getvcpuinfo, id), -XEN_EINVAL, "a vcpu beyond the last");
    ctl.u.sendtrigger.trigger = XEN_DOMCTL_SENDTRIGGER_NMI;
    ctl.u.sendtrigger.vcpu = 2;
    tap_is(domctl(XEN_DOMCTL_sendtrigger, id), -XEN_ESRCH, "NMI to a vcpu beyond the last");
    ctl.u.scheduler_op.sched_id = 99;
    tap_is(domctl(XEN_DOMCTL_scheduler_op, id), -XEN_EINVAL, "parameters of no scheduler");
    share(id);
    affinity(id);
    logging(id);
}

static struct vcpu_guest_context context;

static int set_context(domid_t id, uint32_t vcpu, void *c)
{
    ctl.u.vcpucontext.vcpu = vcpu;
    set_xen_guest_handle(ctl.u.vcpucontext.ctxt, c);
    return domctl(XEN_DOMCTL_setvcpucontext, id);
}

/* Each line breaks one thing in a context that is good otherwise, but for its page tables. */
static void contexts(domid_t id)
{
    struct vcpu_guest_context *c = &context;

    ctl.u.vcpucontext.vcpu = 0;
    set_xen_guest_handle(ctl.u.vcpucontext.ctxt, c);
    tap_is(domctl(XEN_DOMCTL_getvcpucontext, id), -XEN_ENODATA, "a vcpu without a context");
    tap_is(set_context(id, 2, c), -XEN_EINVAL, "context for no vcpu");
    tap_is(set_context(id, 0, NOWHERE), -XEN_EFAULT, "context from nowhere");
    tap_is(set_context(0, 0, c), -XEN_EINVAL, "context for oneself");
    c->ldt_base = 0x123;
    tap_is(set_context(id, 0, c), -XEN_EINVAL, "context: LDT between pages");
    c->ldt_base = 0;
    c->ldt_ents = 8193;
    tap_is(set_context(id, 0, c), -XEN_EINVAL, "context: LDT too long");
    c->ldt_ents = 0;
    c->gdt_ents = 9000;
    tap_is(set_context(id, 0, c), -XEN_EINVAL, "context: GDT too long");
    c->gdt_ents = 512;
    c->gdt_frames[0] = base_mfn();
    tap_is(set_context(id, 0, c), -XEN_EINVAL, "context: GDT of another domain");
    c->gdt_ents = 0;
    c->vm_assist = 1u << 31;
    tap_is(set_context(id, 0, c), -XEN_EINVAL, "context: an assist nobody knows");
    c->vm_assist = 0;
    c->ctrlreg[3] = xen_pfn_to_cr3(base_mfn());
    tap_is(set_context(id, 0, c), -XEN_EINVAL, "context: page tables of another domain");
    c->ctrlreg[3] = xen_pfn_to_cr3(0xfffff);
    tap_is(set_context(id, 0, c), -XEN_EINVAL, "context: page tables beyond memory");
    tap_is(set_context(id, 0, NULL), 0, "no context: the vcpu is reset");
}

/* Give the domain one page, zeroed. Its machine frame. */
static uint32_t give_page(domid_t id)
{
    xen_pfn_t extent = 0;
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = id};
    struct mmuext_op clear = {.cmd = MMUEXT_CLEAR_PAGE};

    set_xen_guest_handle(r.extent_start, &extent);
    tap_is(hv_memory_op(XENMEM_populate_physmap, &r), 1, "populate_physmap");
    clear.arg1.mfn = extent;
    tap_is(hv_mmuext_op(&clear, 1, NULL, id), 0, "clear the page");
    return extent;
}

static uint32_t frame_type(domid_t id, uint32_t mfn)
{
    static xen_pfn_t list[1];

    list[0] = mfn;
    set_xen_guest_handle(ctl.u.getpageframeinfo3.array, list);
    ctl.u.getpageframeinfo3.num = 1;
    return domctl(XEN_DOMCTL_getpageframeinfo3, id) ? XEN_DOMCTL_PFINFO_XTAB : list[0];
}

/* The least page tables a vcpu can have: an L3 with an L2 in slot 3. The L3's frame. */
static uint32_t make_tables(domid_t id)
{
    uint32_t l2 = give_page(id), l3 = give_page(id);
    int error;
    uint64_t *table = map_frames(id, &l3, 1, true, &error);

    tap_ok(table != NULL, "map the domain's page");
    table[3] = pte_make(l2, PTE_P);
    unmap_frames(table, 1);
    return l3;
}

/* What a careless or hostile control domain writes: ring-0 selectors, I/O privilege, bad MXCSR. */
static void fill_context(struct vcpu_guest_context *c, uint32_t l3, uint32_t gdt)
{
    uint32_t mxcsr = 0xffff1f80;

    memset(c, 0, sizeof(*c));
    c->flags = VGCF_I387_VALID | VGCF_in_kernel;
    memcpy(&c->fpu_ctxt.x[24], &mxcsr, sizeof(mxcsr));
    c->user_regs.cs = 0xe008;
    c->user_regs.ss = 0xe010;
    c->user_regs.eip = 0x12345678;
    c->user_regs.eflags = 0x3000;
    c->trap_ctxt[3].cs = 0x10;
    c->trap_ctxt[3].address = 0x1000;
    c->kernel_ss = 0xe021;
    c->gdt_frames[0] = gdt;
    c->gdt_ents = 512;
    c->ctrlreg[3] = xen_pfn_to_cr3(l3);
}

static void check_context(const struct vcpu_guest_context *c, uint32_t l3)
{
    uint32_t mxcsr;

    memcpy(&mxcsr, &c->fpu_ctxt.x[24], sizeof(mxcsr));
    tap_is(c->user_regs.cs, 0xe009, "cs is lifted out of ring 0");
    tap_is(c->user_regs.ss, 0xe011, "and ss");
    tap_is(c->trap_ctxt[3].cs, 0x11, "and a handler's cs");
    tap_is(c->user_regs.eflags & 0x3200, 0x3200, "IF is set, and IOPL kept for the guest");
    tap_is(c->user_regs.eip, 0x12345678, "eip");
    tap_is(c->ctrlreg[3], xen_pfn_to_cr3(l3), "cr3");
    tap_ok((c->flags & VGCF_in_kernel) && !(c->flags & VGCF_online), "in its kernel, not online");
    tap_ok(on_xen() || mxcsr == 0x1f80, "MXCSR without the bits that would fault");
}

static void whole_context(domid_t id)
{
    struct vcpu_guest_context *c = &context;
    uint32_t l3 = make_tables(id), gdt = give_page(id);

    fill_context(c, l3, gdt);
    tap_is(set_context(id, 0, c), 0, "setvcpucontext");
    memset(c, 0, sizeof(*c));
    tap_is(domctl(XEN_DOMCTL_getvcpucontext, id), 0, "getvcpucontext");
    check_context(c, l3);
    tap_is(frame_type(id, l3), XEN_DOMCTL_PFINFO_L3TAB, "its root is an L3 now");
    ctl.u.hypercall_init.gmfn = l3;
    tap_is(domctl(XEN_DOMCTL_hypercall_init, id), -XEN_EPERM, "where no hypercall page can be");
    tap_is(set_context(id, 0, c), 0, "the same context again");
    c->gdt_ents = 0;
    tap_is(set_context(id, 0, c), -XEN_EOPNOTSUPP, "with another GDT");
    c->gdt_ents = 512;
    c->ctrlreg[3] = xen_pfn_to_cr3(gdt);
    tap_is(set_context(id, 0, c), -XEN_EOPNOTSUPP, "with another root");
    tap_is(set_context(id, 0, NULL), 0, "reset");
    tap_is(frame_type(id, l3), XEN_DOMCTL_PFINFO_NOTAB, "its root is a page again");
    set_xen_guest_handle(ctl.u.vcpucontext.ctxt, c);
    ctl.u.vcpucontext.vcpu = 0;
    tap_is(domctl(XEN_DOMCTL_getvcpucontext, id), -XEN_ENODATA, "and the vcpu has no context");
}

static void frames(domid_t id)
{
    static xen_pfn_t list[2];
    uint32_t mfn = give_page(id);

    ctl.u.hypercall_init.gmfn = base_mfn();
    tap_is(domctl(XEN_DOMCTL_hypercall_init, id), -XEN_EINVAL, "hypercall page in another's frame");
    ctl.u.hypercall_init.gmfn = 1ull << 40;
    tap_is(domctl(XEN_DOMCTL_hypercall_init, id), -XEN_EINVAL, "hypercall page beyond memory");
    ctl.u.hypercall_init.gmfn = mfn;
    tap_is(domctl(XEN_DOMCTL_hypercall_init, id), 0, "hypercall page");
    ctl.u.hypercall_init.gmfn = base_mfn();
    tap_is(domctl(XEN_DOMCTL_hypercall_init, 0), -XEN_EPERM, "hypercall page in a page table");

    list[0] = mfn;
    list[1] = base_mfn();
    set_xen_guest_handle(ctl.u.getpageframeinfo3.array, list);
    ctl.u.getpageframeinfo3.num = 2;
    tap_is(domctl(XEN_DOMCTL_getpageframeinfo3, id), 0, "getpageframeinfo3");
    tap_is(list[0], XEN_DOMCTL_PFINFO_NOTAB, "its page is no table");
    tap_is(list[1], (long)XEN_DOMCTL_PFINFO_XTAB, "another domain's is not told");
    list[0] = base_mfn();
    ctl.u.getpageframeinfo3.num = 1;
    tap_is(domctl(XEN_DOMCTL_getpageframeinfo3, 0), 0, "getpageframeinfo3 of oneself");
    tap_is(list[0] & XEN_DOMCTL_PFINFO_LTABTYPE_MASK, XEN_DOMCTL_PFINFO_L3TAB, "the root is an L3");
    ctl.u.getpageframeinfo3.num = 1025;
    tap_is(domctl(XEN_DOMCTL_getpageframeinfo3, id), -XEN_E2BIG, "getpageframeinfo3 of too many");
}

static void io_ports(domid_t id)
{
    struct xen_domctl_ioport_permission *p = &ctl.u.ioport_permission;

    memset(p, 0, sizeof(*p));
    p->first_port = 0x80;
    p->allow_access = 1;
    tap_is(domctl(XEN_DOMCTL_ioport_permission, id), -XEN_EINVAL, "no ports");
    p->nr_ports = 65536;
    tap_is(domctl(XEN_DOMCTL_ioport_permission, id), -XEN_EINVAL, "ports beyond the last");
    p->nr_ports = 1;
    tap_is(domctl(XEN_DOMCTL_ioport_permission, id), 0, "port 0x80");
    p->allow_access = 0;
    tap_is(domctl(XEN_DOMCTL_ioport_permission, id), 0, "and back");
}

static int io_memory(domid_t id, uint64_t first, uint64_t n, bool allow)
{
    ctl.u.iomem_permission.first_mfn = first;
    ctl.u.iomem_permission.nr_mfns = n;
    ctl.u.iomem_permission.allow_access = allow;
    return domctl(XEN_DOMCTL_iomem_permission, id);
}

static int io_line(domid_t id, uint8_t pirq, bool allow)
{
    ctl.u.irq_permission.pirq = pirq;
    ctl.u.irq_permission.allow_access = allow;
    return domctl(XEN_DOMCTL_irq_permission, id);
}

static void io_devices(domid_t id)
{
    struct physdev_map_pirq map = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI, .index = 5, .pirq = 5};

    tap_is(io_memory(id, 0xb8, 0, true), -XEN_EINVAL, "device memory: no frames");
    tap_is(io_memory(id, ~0ull, 2, true), -XEN_EINVAL, "device memory: around the end");
    tap_is(io_memory(id, 1ull << 50, 1, true), -XEN_EPERM, "device memory: beyond all addresses");
    tap_is(io_memory(id, 0xb8, 8, true), 0, "device memory: the screen");
    tap_is(io_memory(id, 0xba, 1, false), 0, "device memory: without its third frame");
    tap_is(io_line(id, 200, true), -XEN_EPERM, "a PIRQ we do not have");
    tap_is(hv_physdev_op(PHYSDEVOP_map_pirq, &map), 0, "map a line");
    tap_is(io_line(id, 5, true), 0, "a line");
    tap_is(io_line(id, 5, false), 0, "and back");
}

/* What the hypervisor prints is announced. */
static void console_news(void)
{
    static char key = 'h';
    int port = event_bind_virq(VIRQ_CON_RING, NULL, NULL);

    tap_ok(port > 0, "bind the event of the hypervisor's console");
    memset(&sys.u, 0, sizeof(sys.u));
    sys.u.debug_keys.nr_keys = 1;
    set_xen_guest_handle(sys.u.debug_keys.keys, &key);
    tap_is(sysctl(XEN_SYSCTL_debug_keys), 0, "have it print something");
    for (int i = 0; i < 1000 && !event_count(port); i++)
        hv_sched_op(SCHEDOP_yield, NULL);
    tap_ok(event_count(port) > 0, "that is announced");
    event_close(port);
}

/* Gone at once, or when the hypervisor has had time to clean up. */
static bool gone(domid_t id)
{
    for (int i = 0; i < 1000; i++) {
        if (domctl(XEN_DOMCTL_getdomaininfo, id) == -XEN_ESRCH)
            return true;
        hv_sched_op(SCHEDOP_yield, NULL);
    }
    return false;
}

static void check_memory(uint64_t before)
{
    if (on_xen())
        tap_skip("Xen keeps some for later", "all memory is back");
    else
        tap_is((long)(free_pages() - before), 0, "all memory is back");
}

static void one_domain(void)
{
    uint64_t before = free_pages();
    domid_t id = make_domain();

    describe(id);
    pausing(id);
    vcpus(id);
    contexts(id);
    frames(id);
    whole_context(id);
    io_ports(id);
    io_devices(id);
    tap_is(domctl(XEN_DOMCTL_destroydomain, id), 0, "destroy");
    tap_ok(gone(id), "it is gone");
    check_memory(before);
}

/* A number asked for; and that domains do not add up. */
static void many_domains(void)
{
    uint64_t before = free_pages();
    bool ok = true;

    tap_is(create(55, 0, 1), 0, "create number 55");
    tap_is(ctl.domain, 55, "it is 55");
    tap_is(domctl(XEN_DOMCTL_destroydomain, 55), 0, "destroy it");
    tap_ok(gone(55), "it is gone");
    for (int i = 0; i < 50 && ok; i++) {
        ok = !create(0, 0, 1);
        ctl.u.max_vcpus.max = 1;
        domid_t id = ctl.domain;
        ok = ok && !domctl(XEN_DOMCTL_max_vcpus, id) && !domctl(XEN_DOMCTL_destroydomain, id) &&
             gone(id);
    }
    tap_ok(ok, "fifty domains made and ended");
    check_memory(before);
}

/*
 * What is told as free can be had, to the last page: toolstacks count on it before they build a
 * domain. The hypervisor keeps some memory to itself; it is no part of it.
 */
static void all_memory(void)
{
    static struct xen_sysctl_meminfo node;
    uint64_t told = free_pages();
    struct xen_memory_reservation r = {.nr_extents = told + 100, .domid = DOMID_SELF};

    memset(&sys.u, 0, sizeof(sys.u));
    tap_is(sysctl(XEN_SYSCTL_availheap), 0, "availheap");
    tap_is(sys.u.availheap.avail_bytes >> PAGE_SHIFT, told, "it tells what physinfo tells");
    memset(&sys.u, 0, sizeof(sys.u));
    sys.u.numainfo.num_nodes = 1;
    set_xen_guest_handle(sys.u.numainfo.meminfo, &node);
    tap_is(sysctl(XEN_SYSCTL_numainfo), 0, "numainfo");
    tap_is(node.memfree >> PAGE_SHIFT, told, "and so does numainfo");
    if (on_xen()) {
        tap_skip("it keeps some pages on each processor", "all free memory can be had");
        return;
    }
    tap_is(hv_memory_op(XENMEM_increase_reservation, &r), told, "all free memory can be had");
    tap_is(free_pages(), 0, "then nothing is free");
}

int main(void)
{
    version();
    version_texts();
    console();
    ports();
    platform();
    machine();
    own_output();
    console_news();
    mistakes();
    bad_domains();
    one_domain();
    many_domains();
    all_memory();
    tap_done();
}
