/* SPDX-License-Identifier: MIT */
/*
 * build.c - make a domain: the nine steps, in the order libxc takes them.
 *
 * The control domain has no power over memory that the hypervisor does not check. It asks for an
 * empty domain, lets the hypervisor give it pages, maps those pages one batch at a time, writes
 * into them what the kernel will find, page tables included, and then asks the hypervisor to pin
 * the tables: only now are they validated as tables, and from now on nobody writes them directly.
 * A writable map of a page that is a page table cannot exist, so all our maps are gone by then.
 *
 * Whatever fails, the domain is destroyed; with no map left, nothing of it stays.
 *
 * A guest decides when it is built, by rebooting, and others must not stand still meanwhile. So
 * the long steps (unpacking, populating, filling) call between() after each batch.
 *
 * Read layout.c before, domains.c next.
 */
#include "build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/page.h>
#include <ringlet/elfload.h>
#include <ringlet/unpack.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>

#include "domctl.h"

enum {
    PAGES_PER_MIB = 256,
    MAP_BATCH = 64, /* pages mapped at once while filling */
    POPULATE_BATCH = 1024
};

struct build {
    const struct config *config;
    const struct file *ramdisk; /* or NULL */
    void (*between)(void);
    void *unpacked; /* the kernel's ELF file, where it was packed; else NULL */
    struct elf_kernel kernel;
    struct layout l;
    uint16_t domid;
    uint32_t pages;
    uint32_t *p2m; /* frame of each page */
    uint32_t shared_info_mfn;
    uint32_t console_port, store_port;
};

static char reason[160];

/* Put a reason together; every step returns NULL or this. */
static const char *because(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return reason;
}

static const char *failed(const char *what, int error)
{
    return error ? because("%s: error %d", what, error) : NULL;
}

static uint32_t pfn_of(const struct build *b, uint32_t va)
{
    return (va - b->l.base) / PAGE_SIZE;
}

static uint32_t mfn_of(const struct build *b, uint32_t va)
{
    return b->p2m[pfn_of(b, va)];
}

/* ---- Filling pages --------------------------------------------------------------------------- */

/* Write size bytes at address va of the new domain; zeros where data is NULL. */
static const char *fill(struct build *b, uint32_t va, const void *data, uint32_t size)
{
    const char *from = data;

    while (size) {
        uint32_t offset = va % PAGE_SIZE;
        uint32_t piece = MAP_BATCH * PAGE_SIZE - offset;
        if (piece > size)
            piece = size;
        uint32_t count = (offset + piece + PAGE_SIZE - 1) / PAGE_SIZE;
        int error;
        char *map = map_frames(b->domid, b->p2m + pfn_of(b, va), count, true, &error);

        if (!map)
            return failed("cannot map the domain's pages", error);
        if (from)
            memcpy(map + offset, from, piece);
        else
            memset(map + offset, 0, piece);
        unmap_frames(map, count);
        b->between();
        from = from ? from + piece : NULL;
        va += piece;
        size -= piece;
    }
    return NULL;
}

/* ---- The steps ------------------------------------------------------------------------------- */

/* 1. An empty domain: paused, without memory. */
static const char *create(struct build *b)
{
    int error;

    b->domid = b->config->domid;
    error = domctl_create(&b->domid, b->config->vcpus);
    if (error)
        b->domid = 0; /* none that is ours to destroy */
    if (error)
        return failed("no new domain", error);
    error = domctl_max_vcpus(b->domid, b->config->vcpus);
    if (!error)
        error = domctl_32_bit(b->domid);
    if (!error)
        error = domctl_max_mem(b->domid, b->config->memory * 1024);
    return failed("the new domain cannot be configured", error);
}

static int permit(uint16_t domid, const struct numbers *numbers,
                  int (*one)(uint16_t domid, uint32_t first, uint32_t last))
{
    int error = 0;

    for (unsigned int i = 0; i < numbers->n && !error; i++)
        error = one(domid, numbers->range[i].first, numbers->range[i].last);
    return error;
}

static int permit_lines(uint16_t domid, uint32_t first, uint32_t last)
{
    int error = 0;

    for (uint32_t line = first; line <= last && !error; line++)
        error = domctl_permit_line(domid, line);
    return error;
}

/* Parts of the machine, where its configuration names some. */
static const char *give_machine(struct build *b)
{
    int error = permit(b->domid, &b->config->ioports, domctl_permit_ports);

    if (error)
        return failed("no ports", error);
    error = permit(b->domid, &b->config->irqs, permit_lines);
    if (error)
        return failed("no interrupts", error);
    return failed("no device memory", permit(b->domid, &b->config->iomem, domctl_permit_frames));
}

/* Frames for pages [first, end): page numbers on the way in, frame numbers on the way out. */
static const char *populate_range(struct build *b, uint32_t first, uint32_t end, uint32_t flags)
{
    while (first < end) {
        uint32_t n = end - first < POPULATE_BATCH ? end - first : POPULATE_BATCH;
        struct xen_memory_reservation r = {.nr_extents = n, .mem_flags = flags, .domid = b->domid};

        for (uint32_t pfn = first; pfn < first + n; pfn++)
            b->p2m[pfn] = pfn;
        set_xen_guest_handle(r.extent_start, (xen_pfn_t *)(b->p2m + first));
        int done = hv_memory_op(XENMEM_populate_physmap, &r);
        if (done < 0)
            return failed("no memory for the domain", done);
        if ((uint32_t)done != n)
            return because("not enough memory: %u MiB asked, %u MiB short", b->config->memory,
                           (b->pages - first - done) / PAGES_PER_MIB + 1);
        first += n;
        b->between();
    }
    return NULL;
}

/*
 * 2. Memory. The level-3 table must lie below 4 GiB, where CR3's 32 bits reach, for all kernels but
 * those that say otherwise; it is the only page that must, and gets its frame first.
 */
static const char *populate(struct build *b)
{
    uint32_t level3 = pfn_of(b, b->l.tables);
    const char *why;

    _Static_assert(sizeof(xen_pfn_t) == sizeof(uint32_t), "extents are read in place");
    b->p2m = malloc(b->pages * sizeof *b->p2m);
    if (!b->p2m)
        return "the control domain is out of memory";
    why = populate_range(b, level3, level3 + 1, XENMEMF_address_bits(32));
    if (!why)
        why = populate_range(b, 0, level3, 0);
    if (!why)
        why = populate_range(b, level3 + 1, b->pages, 0);
    return why;
}

/* 3. Two ports of the new domain that wait for this one to connect. */
static const char *allocate_ports(struct build *b)
{
    uint32_t *const ports[] = {&b->console_port, &b->store_port};

    for (int i = 0; i < 2; i++) {
        struct evtchn_alloc_unbound op = {.dom = b->domid, .remote_dom = DOMID_SELF};
        int error = hv_event_channel_op(EVTCHNOP_alloc_unbound, &op);

        if (error)
            return failed("no event channel", error);
        *ports[i] = op.port;
    }
    return NULL;
}

static const char *find_shared_info(struct build *b)
{
    struct domain_info info;
    int error = domctl_info(b->domid, &info);

    if (error)
        return failed("the new domain cannot be found", error);
    b->shared_info_mfn = info.shared_info_mfn;
    return b->shared_info_mfn >> 20 ? "its shared_info lies above 4 GiB" : NULL;
}

static const char *fill_kernel(struct build *b)
{
    const char *why = NULL;
    struct elf_segment s;

    for (unsigned int i = 0; i < elf_kernel_segments(&b->kernel) && !why; i++) {
        elf_kernel_segment(&b->kernel, i, &s);
        why = fill(b, s.va, s.data, s.filesz);
        if (!why)
            why = fill(b, s.va + s.filesz, NULL, s.memsz - s.filesz);
    }
    return why;
}

static const char *fill_start_info(struct build *b)
{
    static struct start_info si; /* more than 1 KiB; only the main loop builds */

    memset(&si, 0, sizeof si);
    strcpy(si.magic, "xen-3.0-x86_32p");
    si.nr_pages = b->pages;
    si.shared_info = b->shared_info_mfn << PAGE_SHIFT;
    si.store_mfn = mfn_of(b, b->l.store);
    si.store_evtchn = b->store_port;
    si.console.domU.mfn = mfn_of(b, b->l.console);
    si.console.domU.evtchn = b->console_port;
    si.pt_base = b->l.tables;
    si.nr_pt_frames = b->l.n_tables;
    si.mfn_list = b->l.p2m;
    if (b->ramdisk) {
        si.mod_start = b->l.ramdisk;
        si.mod_len = b->ramdisk->size;
    }
    _Static_assert(sizeof si.cmd_line == sizeof b->config->cmdline, "both end in a NUL");
    memcpy(si.cmd_line, b->config->cmdline, sizeof si.cmd_line);
    const char *why = fill(b, b->l.start_info, NULL, PAGE_SIZE);
    return why ? why : fill(b, b->l.start_info, &si, sizeof si);
}

static const char *fill_tables(struct build *b)
{
    static uint64_t entries[512]; /* a page; only the main loop builds */
    const char *why = NULL;

    for (uint32_t i = 0; i < b->l.n_tables && !why; i++) {
        layout_table(&b->l, i, b->p2m, b->pages, entries);
        why = fill(b, b->l.tables + i * PAGE_SIZE, entries, sizeof entries);
    }
    return why;
}

/* 4. Everything the kernel finds in memory, in the order of the layout. */
static const char *fill_pages(struct build *b)
{
    const char *why = fill_kernel(b);

    if (!why && b->ramdisk)
        why = fill(b, b->l.ramdisk, b->ramdisk->data, b->ramdisk->size);
    if (!why)
        why = fill(b, b->l.p2m, b->p2m, b->pages * sizeof *b->p2m);
    if (!why)
        why = fill_start_info(b);
    if (!why)
        why = fill(b, b->l.store, NULL, PAGE_SIZE);
    if (!why)
        why = fill(b, b->l.console, NULL, PAGE_SIZE);
    if (!why)
        why = fill_tables(b);
    return why ? why : fill(b, b->l.stack, NULL, PAGE_SIZE);
}

/* 5. The hypercall page, if the kernel does not ask for it later by itself. */
static const char *write_hypercall_page(struct build *b)
{
    if (b->kernel.hypercall_page == ELF_NO_HYPERCALL_PAGE)
        return NULL;
    return failed("no hypercall page",
                  domctl_hypercall_page(b->domid, mfn_of(b, b->kernel.hypercall_page)));
}

/* 6. From here on the tables are tables, and kept ones: the guest runs on them. */
static const char *pin_tables(struct build *b)
{
    return failed("its page tables are refused",
                  mmuext_frame(MMUEXT_PIN_L3_TABLE, mfn_of(b, b->l.tables), b->domid));
}

static void grant(struct grant_entry_v1 *table, uint32_t ref, uint32_t mfn)
{
    table[ref].domid = 0; /* the control domain's number, which the initial domain has */
    table[ref].frame = mfn;
    table[ref].flags = GTF_permit_access;
}

/*
 * 7. The domain grants us its two ring pages, in the entries reserved for that. A backend in a
 * domain without our powers could map them by these numbers.
 */
static const char *grant_rings(struct build *b)
{
    xen_pfn_t frame;
    struct gnttab_setup_table op = {.dom = b->domid, .nr_frames = 1};

    set_xen_guest_handle(op.frame_list, &frame);
    int error = hv_grant_table_op(GNTTABOP_setup_table, &op, 1);
    if (error || op.status)
        return failed("no grant table", error ? error : op.status);
    uint32_t mfn = frame;
    struct grant_entry_v1 *table = map_frames(b->domid, &mfn, 1, true, &error);
    if (!table)
        return failed("cannot map its grant table", error);
    grant(table, GNTTAB_RESERVED_CONSOLE, mfn_of(b, b->l.console));
    grant(table, GNTTAB_RESERVED_XENSTORE, mfn_of(b, b->l.store));
    unmap_frames(table, 1);
    return NULL;
}

/* 8. The page shared with the hypervisor: every vcpu, those to come too, starts with events off. */
static const char *mask_events(struct build *b)
{
    int error;
    struct shared_info *s = map_frames(b->domid, &b->shared_info_mfn, 1, true, &error);

    if (!s)
        return failed("cannot map its shared_info", error);
    memset(s, 0, PAGE_SIZE);
    for (int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
        s->vcpu_info[i].evtchn_upcall_mask = 1;
    unmap_frames(s, 1);
    return NULL;
}

/* 9. The vcpu: at the kernel's entry, start_info in ESI, on the stack, on the tables. */
static const char *set_vcpu(struct build *b)
{
    struct start_state state = {
        .eip = b->kernel.entry,
        .esp = b->l.stack + PAGE_SIZE,
        .esi = b->l.start_info,
        .cr3_mfn = mfn_of(b, b->l.tables),
        .extended_cr3 = b->kernel.pae == ELF_PAE_EXTENDED || b->kernel.pae == ELF_PAE_BIMODAL,
    };

    return failed("its first vcpu cannot be set", domctl_start_state(b->domid, &state));
}

static const char *take_steps(struct build *b)
{
    static const char *(*const steps[])(struct build *) = {
        give_machine,         populate,   allocate_ports, find_shared_info, fill_pages,
        write_hypercall_page, pin_tables, grant_rings,    mask_events,      set_vcpu,
    };
    const char *why = NULL;

    for (unsigned int i = 0; i < sizeof steps / sizeof steps[0] && !why; i++)
        why = steps[i](b);
    return why;
}

/* Memory for the decoder: with as large a dictionary as a packer may have used, or as there is. */
static void *decoder_memory(size_t *size)
{
    void *work = NULL;

    for (size_t dictionary = 64u << 20; !work && dictionary; dictionary /= 2) {
        *size = dictionary + UNPACK_WORK;
        work = malloc(*size);
    }
    return work;
}

static const char *unpack(struct build *b, const struct packed_kernel *packed)
{
    size_t size;
    void *work;
    const char *why = "too little memory to unpack it";

    b->unpacked = malloc(packed->unpacked);
    work = decoder_memory(&size);
    if (b->unpacked && work)
        why = packed_kernel_unpack(packed, b->unpacked, work, size, b->between);
    free(work);
    return why;
}

/* The kernel's ELF file, which may be packed in a bzImage. */
static const char *read_kernel(struct build *b, const struct file *kernel)
{
    struct packed_kernel packed;
    const char *why = packed_kernel_find(kernel->data, kernel->size, &packed);

    if (why || !packed.data)
        return why ? why : elf_kernel_parse(kernel->data, kernel->size, &b->kernel);
    why = unpack(b, &packed);
    return why ? why : elf_kernel_parse(b->unpacked, packed.unpacked, &b->kernel);
}

/* What can be known before a domain exists. */
static const char *plan(struct build *b, const struct file *kernel)
{
    const char *why = read_kernel(b, kernel);

    if (why)
        return because("%s: %s", kernel->name, why);
    b->pages = b->config->memory * PAGES_PER_MIB;
    why = layout_plan(&b->l, b->kernel.virt_base, b->kernel.kernel_end,
                      b->ramdisk ? b->ramdisk->size : 0, b->pages);
    return why ? because("%s with %u MiB: %s", kernel->name, b->config->memory, why) : NULL;
}

const char *build_domain(const struct config *config, const struct file *kernel,
                         const struct file *ramdisk, void (*between)(void), struct built *out)
{
    static struct build b; /* the parsed kernel is large; only the main loop builds */
    const char *why;

    memset(&b, 0, sizeof b);
    b.config = config;
    b.ramdisk = ramdisk;
    b.between = between;
    why = plan(&b, kernel);
    if (!why)
        why = create(&b);
    if (!why)
        why = take_steps(&b);
    if (!why)
        *out = (struct built){
            .domid = b.domid,
            .pages = b.pages,
            .console_mfn = mfn_of(&b, b.l.console),
            .store_mfn = mfn_of(&b, b.l.store),
            .console_port = b.console_port,
            .store_port = b.store_port,
        };
    else if (b.domid)
        domctl_destroy(b.domid);
    free(b.p2m);
    free(b.unpacked);
    return why;
}
