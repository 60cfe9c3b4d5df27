/* SPDX-License-Identifier: MIT */
/*
 * sysctl.c: the hypercall sysctl (xen/sysctl.h), by which the control domain asks about the machine
 * and the hypervisor as a whole. As with domctl, each command has one function, which registers
 * itself by SYSCTL(); a command that nobody registered is -ENOSYS.
 *
 * Read next: domctl.c.
 */
#include <ringlet/console.h>
#include <ringlet/domctl.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>
#include <ringlet/sysctl.h>

_Static_assert(sizeof(((struct xen_sysctl *)NULL)->u) == 128,
               "the request's layout is part of the ABI");

#define PIECE 128

/*
 * readconsole: past output of the console, from the oldest kept, or from `index` when `incremental`
 * is set (an index that is too old becomes the oldest). The index behind the last character is
 * returned; with `clear`, what was read is forgotten.
 */
static int sysctl_readconsole(struct xen_sysctl *op)
{
    struct xen_sysctl_readconsole *r = &op->u.readconsole;
    uint32_t index = r->incremental ? r->index : console_output_oldest();
    uint32_t done = 0;
    char piece[PIECE];
    size_t n;

    while (done < r->count &&
           (n = console_output_read(&index, piece, MIN(r->count - done, sizeof(piece))))) {
        if (copy_to_guest(r->buffer.p + done, piece, n))
            return -EFAULT;
        done += n;
    }
    if (r->clear)
        console_output_forget(index);
    r->index = index;
    r->count = done;
    return 0;
}
SYSCTL(readconsole);

/* sched_id: the scheduler whose parameters ours has; see domctl_sched.c. */
static int sysctl_sched_id(struct xen_sysctl *op)
{
    op->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT;
    return 0;
}
SYSCTL(sched_id);

/*
 * physinfo: one node, one thread a core, one core a socket: what the scheduler assumes, too. Free
 * pages are those that guests may take.
 */
static int sysctl_physinfo(struct xen_sysctl *op)
{
    struct xen_sysctl_physinfo *p = &op->u.physinfo;

    memset(p, 0, sizeof(*p));
    p->threads_per_core = 1;
    p->cores_per_socket = 1;
    p->nr_cpus = nr_cpus;
    p->max_cpu_id = nr_cpus - 1;
    p->nr_nodes = 1;
    p->cpu_khz = tsc_khz();
    p->capabilities =
        XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2;
    p->total_pages = total_frame_count();
    p->free_pages = free_frame_count_for_guests();
    p->max_mfn = max_frame - 1;
    return 0;
}
SYSCTL(physinfo);

/* getdomaininfolist: up to max_domains descriptions, in order of id, from first_domain on. */
static int sysctl_getdomaininfolist(struct xen_sysctl *op)
{
    struct xen_sysctl_getdomaininfolist *l = &op->u.getdomaininfolist;
    struct xen_domctl_getdomaininfo info;
    uint32_t n = 0;
    int rc = 0;

    spin_lock(&domlist_lock);
    for (struct domain *d = domain_list; d && n < l->max_domains && !rc; d = d->next) {
        if (d->id < l->first_domain)
            continue;
        get_domain_info(d, &info);
        if (copy_to_guest(l->buffer.p + n, &info, sizeof(info)))
            rc = -EFAULT;
        else
            n++;
    }
    spin_unlock(&domlist_lock);
    l->num_domains = n;
    return rc;
}
SYSCTL(getdomaininfolist);

/* getcpuinfo: how long each processor was idle. */
static int sysctl_getcpuinfo(struct xen_sysctl *op)
{
    struct xen_sysctl_getcpuinfo *g = &op->u.getcpuinfo;
    uint32_t n = MIN(g->max_cpus, nr_cpus);

    for (uint32_t i = 0; i < n; i++) {
        struct xen_sysctl_cpuinfo info = {.idletime = cpus[i].idle_ns};

        if (copy_to_guest(g->info.p + i, &info, sizeof(info)))
            return -EFAULT;
    }
    g->nr_cpus = n;
    return 0;
}
SYSCTL(getcpuinfo);

/* availheap: memory that guests may take. Parts of it by address width are not counted: -EINVAL. */
static int sysctl_availheap(struct xen_sysctl *op)
{
    struct xen_sysctl_availheap *a = &op->u.availheap;

    if (a->min_bitwidth || a->max_bitwidth || a->node > 0)
        return -EINVAL;
    a->avail_bytes = (uint64_t)free_frame_count_for_guests() << PAGE_SHIFT;
    return 0;
}
SYSCTL(availheap);

/*
 * cputopoinfo: each processor is a core in a socket of its own. A NULL array asks for their number.
 */
static int sysctl_cputopoinfo(struct xen_sysctl *op)
{
    struct xen_sysctl_cputopoinfo *t = &op->u.cputopoinfo;
    uint32_t n = t->cputopo.p ? MIN(t->num_cpus, nr_cpus) : nr_cpus;

    for (uint32_t i = 0; t->cputopo.p && i < n; i++) {
        struct xen_sysctl_cputopo info = {.core = 0, .socket = i, .node = 0};

        if (copy_to_guest(t->cputopo.p + i, &info, sizeof(info)))
            return -EFAULT;
    }
    t->num_cpus = n;
    return 0;
}
SYSCTL(cputopoinfo);

/*
 * numainfo: all memory is node 0, at distance 10 from itself, as ACPI's SLIT puts it. NULL arrays
 * ask for the number.
 */
static int sysctl_numainfo(struct xen_sysctl *op)
{
    struct xen_sysctl_numainfo *t = &op->u.numainfo;
    struct xen_sysctl_meminfo memory = {
        .memsize = (uint64_t)max_frame << PAGE_SHIFT,
        .memfree = (uint64_t)free_frame_count_for_guests() << PAGE_SHIFT,
    };
    uint32_t distance = 10;
    bool wanted = t->meminfo.p || t->distance.p;

    if (wanted && !t->num_nodes)
        return 0;
    if (t->meminfo.p && copy_to_guest(t->meminfo.p, &memory, sizeof(memory)))
        return -EFAULT;
    if (t->distance.p && copy_to_guest(t->distance.p, &distance, sizeof(distance)))
        return -EFAULT;
    t->num_nodes = 1;
    return 0;
}
SYSCTL(numainfo);

static const struct sysctl_record *find_command(uint32_t cmd)
{
    const struct sysctl_record *r;

    for_each_record(sysctl, r)
    {
        if (r->cmd == cmd)
            return r;
    }
    return NULL;
}

/*
 * Rules for every command: the interface version of our headers (-EACCES), a privileged caller
 * (-EPERM), a command that exists here (-ENOSYS). The request is copied back when it succeeded.
 */
asmlinkage long do_sysctl(void *guest_sysctl)
{
    const struct sysctl_record *r;
    struct xen_sysctl op;
    long rc;

    if (copy_from_guest(&op, guest_sysctl, sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
        return -EACCES;
    if (!current->domain->privileged)
        return -EPERM;
    r = find_command(op.cmd);
    if (!r)
        return -ENOSYS;
    rc = r->fn(&op);
    if (!rc && copy_to_guest(guest_sysctl, &op, sizeof(op)))
        rc = -EFAULT;
    return rc;
}
HYPERCALL(sysctl);
