/* SPDX-License-Identifier: MIT */
/*
 * builder.c: the initial domain: from the boot loader's modules to a vcpu ready to run.
 *
 * The guest finds, from the kernel's virt_base up and all mapped (xen/xen.h, "start-of-day memory
 * layout"; the order is the one that libxc uses too, and that kernels rely on):
 *
 *      kernel image         its LOAD segments, at the addresses its notes ask for
 *      ramdisk              the second module
 *      phys-to-machine list one word a page of the domain
 *      start_info           esi points here; the VGA state behind it
 *      page tables          the L3 first (pt_base), then four L2s, then the L1s; mapped read-only,
 *                           and pinned
 *      boot stack           one page; esp is its end
 *      spare                at least 512 KiB, to the next 4 MiB boundary
 *
 * Pseudo-physical page n is at virt_base + n pages for as long as this mapping reaches. The page
 * tables are then validated like any guest's: no trust in our own arithmetic.
 *
 * Read next: elfload.c (the kernel file), mm/types.c (validation).
 */
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/elfload.h>
#include <ringlet/hypercall.h>
#include <ringlet/module.h>
#include <ringlet/mm.h>
#include <ringlet/multiboot.h>
#include <ringlet/sched.h>

#define SPARE (512u << 10)
#define MAPPING_GRANULE (4u << 20)
/* One page-table page maps this much. */
#define L1_SPAN (1u << SUPERPAGE_SHIFT)

/*
 * Runs of consecutive machine frames, in order of pfn: the domain's memory while its p2m list is
 * not yet written.
 */
struct chunk {
    uint32_t pfn;
    mfn_t mfn;
    uint32_t pages;
};
#define CHUNK_LIST_ORDER 4
#define MAX_CHUNKS ((PAGE_SIZE << CHUNK_LIST_ORDER) / sizeof(struct chunk))

struct build {
    struct domain *d;
    struct elf_kernel kernel;
    const struct boot_module *image, *ramdisk;
    uint32_t base; /* virt_base */
    uint32_t nr_pages;
    /* Addresses in the guest's initial mapping. */
    uint32_t ramdisk_va, p2m_va, start_info_va, tables_va, stack_va, end_va;
    uint32_t nr_tables;
    struct chunk *chunks;
    unsigned nr_chunks;
};

static uint32_t page_up(uint32_t va)
{
    return ROUND_UP(va, PAGE_SIZE);
}

/* A size of dom0_mem= in pages: a negative one is so much less than there is; 0: not given. */
static uint32_t pages_of(int64_t size, uint32_t available, uint32_t not_given)
{
    int64_t pages = size >> PAGE_SHIFT;

    if (!size)
        return not_given;
    return pages < 0 ? MAX(pages + available, 0) : MIN(pages, UINT32_MAX);
}

/*
 * How many pages the domain gets: dom0_mem=, or all that is free less a sixteenth (128 MiB at most)
 * for the rest; not less than its min:, not more than its max:, which also bounds what the domain
 * may ask for later.
 */
static uint32_t choose_size(struct domain *d)
{
    uint32_t available = free_frame_count();
    uint32_t most = available - MIN(available / 16, (128u << 20) >> PAGE_SHIFT);
    uint32_t max = pages_of(options.dom0_mem_max, available, UINT32_MAX);
    uint32_t pages = pages_of(options.dom0_mem, available, most);

    pages = MIN(MAX(pages, pages_of(options.dom0_mem_min, available, 0)), max);
    d->max_pages = max;
    return pages < available ? pages : most;
}

/* Page tables for [base, end): one L3, four L2s, and an L1 for each 2 MiB the mapping touches. */
static uint32_t tables_for(uint32_t base, uint32_t end)
{
    return 1 + L3_ENTRIES + ((end - 1) / L1_SPAN - base / L1_SPAN + 1);
}

static noreturn void no_room(void)
{
    panic("initial domain: kernel, ramdisk and memory list do not fit below %08x",
          HYPERVISOR_START);
}

/*
 * Where everything goes. The page tables' number depends on the end of the mapping, which depends
 * on their number.
 */
static void lay_out(struct build *b)
{
    uint64_t end = (uint64_t)b->kernel.kernel_end + (b->ramdisk ? b->ramdisk->size : 0);

    /* Then the sums below stay below 4 GiB: a list of all frames there can be has 16 MiB. */
    if (end > HYPERVISOR_START)
        no_room();
    b->ramdisk_va = page_up(b->kernel.kernel_end);
    b->p2m_va = page_up(b->ramdisk_va + (b->ramdisk ? b->ramdisk->size : 0));
    b->start_info_va = page_up(b->p2m_va + b->nr_pages * sizeof(uint32_t));
    b->tables_va = b->start_info_va + PAGE_SIZE;
    b->nr_tables = 0;
    do {
        b->nr_tables++;
        b->stack_va = b->tables_va + b->nr_tables * PAGE_SIZE;
        end = ROUND_UP((uint64_t)b->stack_va + PAGE_SIZE + SPARE, MAPPING_GRANULE);
        if (end > HYPERVISOR_START || end < b->base)
            no_room();
        b->end_va = end;
    } while (b->nr_tables < tables_for(b->base, b->end_va));
    if ((b->end_va - b->base) >> PAGE_SHIFT > b->nr_pages)
        panic("initial domain: %u KiB of memory are too little; its start alone needs %u KiB",
              b->nr_pages * 4, (b->end_va - b->base) >> 10);
}

/*
 * 2^order frames for the domain, as page `pfn` of it. The first GiB lies below 4 GiB, where kernels
 * have their page tables and devices reach; the rest comes from above, as far as there is memory.
 */
static mfn_t take_frames(struct build *b, uint32_t pfn, unsigned order)
{
    unsigned bits = pfn < (1u << (30 - PAGE_SHIFT)) ? 32 : 0;
    mfn_t mfn = alloc_frames_uncleared(order, bits);

    if (mfn != INVALID_MFN && assign_frames(b->d, mfn, order))
        panic("initial domain: its memory cannot be given to it");
    return mfn;
}

/* Give the domain its memory, in pieces as large as there are. */
static void allocate(struct build *b)
{
    uint32_t pfn = 0;
    unsigned order = MAX_ORDER;

    b->chunks = heap_alloc_pages(CHUNK_LIST_ORDER);
    if (!b->chunks)
        panic("initial domain: no memory to keep its memory's list");
    while (pfn < b->nr_pages && b->nr_chunks < MAX_CHUNKS) {
        mfn_t mfn;

        while ((1u << order) > b->nr_pages - pfn)
            order--;
        mfn = take_frames(b, pfn, order);
        if (mfn == INVALID_MFN) {
            if (order-- == 0)
                break;
            continue;
        }
        b->chunks[b->nr_chunks++] = (struct chunk){pfn, mfn, 1u << order};
        pfn += 1u << order;
    }
    if (pfn < (b->end_va - b->base) >> PAGE_SHIFT)
        panic("initial domain: only %u KiB of memory to be had", pfn * 4);
    b->nr_pages = pfn;
}

static mfn_t pfn_to_mfn(const struct build *b, uint32_t pfn)
{
    unsigned low = 0, high = b->nr_chunks - 1;

    while (low < high) {
        unsigned mid = (low + high + 1) / 2;

        if (b->chunks[mid].pfn <= pfn)
            low = mid;
        else
            high = mid - 1;
    }
    return b->chunks[low].mfn + (pfn - b->chunks[low].pfn);
}

static mfn_t va_to_mfn(const struct build *b, uint32_t va)
{
    return pfn_to_mfn(b, (va - b->base) >> PAGE_SHIFT);
}

/* Copy to the guest's memory, or clear it (src NULL), page by page through the frames. */
static void write_guest(struct build *b, uint32_t va, const void *src, uint32_t n)
{
    while (n) {
        uint32_t offset = va & (PAGE_SIZE - 1), part = MIN(n, PAGE_SIZE - offset);
        uint8_t *page = map_frame(va_to_mfn(b, va));

        if (src)
            memcpy(page + offset, src, part);
        else
            memset(page + offset, 0, part);
        unmap_frame(page);
        src = src ? (const uint8_t *)src + part : NULL;
        va += part;
        n -= part;
    }
}

static void load_images(struct build *b)
{
    struct elf_segment s;

    for (unsigned i = 0; i < elf_kernel_segments(&b->kernel); i++) {
        elf_kernel_segment(&b->kernel, i, &s);
        write_guest(b, s.va, s.data, s.filesz);
        write_guest(b, s.va + s.filesz, NULL, s.memsz - s.filesz);
    }
    if (b->ramdisk)
        write_guest(b, b->ramdisk_va, b->ramdisk->start, b->ramdisk->size);
    if (b->kernel.hypercall_page != ELF_NO_HYPERCALL_PAGE) {
        void *page = map_frame(va_to_mfn(b, b->kernel.hypercall_page));

        write_hypercall_page(page);
        unmap_frame(page);
    }
}

/* The list of machine frames, and its inverse: one page of the list at a time. */
static void write_p2m(struct build *b)
{
    const uint32_t per_page = PAGE_SIZE / sizeof(uint32_t);

    for (uint32_t pfn = 0; pfn < b->nr_pages; pfn += per_page) {
        uint32_t *list = map_frame(va_to_mfn(b, b->p2m_va + pfn * sizeof(uint32_t)));

        for (uint32_t i = 0; i < per_page && pfn + i < b->nr_pages; i++) {
            list[i] = pfn_to_mfn(b, pfn + i);
            m2p[list[i]] = pfn + i;
        }
        unmap_frame(list);
    }
}

/* The screen as the BIOS left it: 80 x 25 text (struct dom0_vga_console_info). */
static uint32_t write_vga_info(struct build *b, uint32_t va)
{
    struct dom0_vga_console_info vga = {.video_type = XEN_VGATYPE_TEXT_MODE_3};

    vga.u.text_mode_3.font_height = 16;
    vga.u.text_mode_3.rows = 25;
    vga.u.text_mode_3.columns = 80;
    write_guest(b, va, &vga, sizeof(vga));
    return sizeof(vga);
}

static void write_start_info(struct build *b)
{
    struct start_info si = {.magic = "xen-3.0-x86_32p"};

    si.nr_pages = b->nr_pages;
    si.shared_info = direct_maddr(b->d->shared_info);
    si.flags = SIF_PRIVILEGED | SIF_INITDOMAIN;
    si.pt_base = b->tables_va;
    si.nr_pt_frames = b->nr_tables;
    si.mfn_list = b->p2m_va;
    if (b->ramdisk) {
        si.mod_start = b->ramdisk_va;
        si.mod_len = b->ramdisk->size;
    }
    si.console.dom0.info_off = sizeof(si);
    si.console.dom0.info_size = write_vga_info(b, b->start_info_va + sizeof(si));
    strlcpy((char *)si.cmd_line, b->image->cmdline, sizeof(si.cmd_line));
    write_guest(b, b->start_info_va, &si, sizeof(si));
}

static void set_entry(struct build *b, uint32_t table_va, unsigned index, mfn_t mfn, uint64_t flags)
{
    pte_t e = make_pte(mfn, flags);

    write_guest(b, table_va + index * sizeof(e), &e, sizeof(e));
}

/*
 * walk 57: The first page tables
 *
 * Claim: A guest of this ABI begins with paging on. So the builder writes the tables of the initial
 * domain's first address space, from the machine frames it allocated: an L3, four directories, L1s
 * for what lies in the start-of-day map. The pages that hold the tables are mapped read-only, as
 * the type system demands. Nothing here is trusted: the root is validated by the same functions as
 * any guest's.
 * Without it: A kernel cannot turn paging on by itself in ring 1, and one writable entry for a
 * table's page would make the validation refuse the root.
 * Shown by: tests/guests/rings/runtime/main.c::test_start_of_day_tables,
 * tests/guests/rings/runtime/main.c::test_maps
 */
/*
 * Table pages in order: the L3, the four L2s, the L1s. What holds them is mapped read-only. The L2
 * entries let ring 3 in: the processor wants the U bit at every level, so a guest makes one page of
 * its start-of-day map a user page by changing the L1 entry alone, and some do.
 */
static void write_page_tables(struct build *b)
{
    uint32_t l2_va = b->tables_va + PAGE_SIZE, l1_va = l2_va + L3_ENTRIES * PAGE_SIZE;
    uint32_t first = b->base / L1_SPAN, va;

    write_guest(b, b->tables_va, NULL, b->nr_tables * PAGE_SIZE);
    for (unsigned i = 0; i < L3_ENTRIES; i++)
        set_entry(b, b->tables_va, i, va_to_mfn(b, l2_va + i * PAGE_SIZE), PTE_P);
    for (unsigned i = 0; i < b->nr_tables - 1 - L3_ENTRIES; i++)
        set_entry(b, l2_va, first + i, va_to_mfn(b, l1_va + i * PAGE_SIZE),
                  PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D);
    for (va = b->base; va != b->end_va; va += PAGE_SIZE) {
        bool table = va >= b->tables_va && va < b->stack_va;

        set_entry(b, l1_va + (va / L1_SPAN - first) * PAGE_SIZE, l1_index(va), va_to_mfn(b, va),
                  PTE_P | PTE_A | (table ? 0 : PTE_RW | PTE_D));
    }
}

/* Validate the tables, pin them, and make them vcpu 0's; fill in its registers. */
static void start_vcpu(struct build *b)
{
    struct vcpu *v = b->d->vcpus[0];
    struct frame *l3 = mfn_frame(va_to_mfn(b, b->tables_va));
    int rc;

    rc = get_frame_and_type(l3, b->d, FT_L3);
    if (!rc)
        rc = get_frame_and_type(l3, b->d, FT_L3);
    if (rc)
        panic("initial domain: its page tables are not good (%d)", rc);
    __atomic_fetch_or(&l3->type_info, FT_PINNED, __ATOMIC_SEQ_CST);
    v->l3_frame = frame_mfn(l3);
    v->kernel_sp = b->stack_va + PAGE_SIZE;
    v->regs.cs = FLAT_RING1_CS;
    v->regs.ss = v->regs.ds = v->regs.es = v->regs.fs = v->regs.gs = FLAT_RING1_DS;
    v->regs.eip = b->kernel.entry;
    v->regs.esp = v->kernel_sp;
    v->regs.esi = b->start_info_va;
    v->regs.eflags = sanitise_eflags(0);
    v->initialised = true;
    v->wait &= ~WAIT_DOWN;
}

/*
 * The domain itself: privileged, with all ports and device memory but the hypervisor's own. Still
 * paused.
 */
static struct domain *create(const struct elf_kernel *k)
{
    unsigned vcpus = options.dom0_max_vcpus ? options.dom0_max_vcpus : nr_cpus;
    struct domain *d = domain_create(0, true, MIN(vcpus, (unsigned)MAX_VCPUS));
    const struct domain_part *part;

    if (!d)
        panic("initial domain: out of memory");
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        if (!vcpu_create(d, i))
            panic("initial domain: out of memory for vcpu %u", i);
    }
    d->initial = true;
    d->l3_above_4g = k->pae == ELF_PAE_EXTENDED || k->pae == ELF_PAE_BIMODAL;
    d->ioports = xzalloc_bytes(65536 / 8);
    if (!d->ioports || ranges_change(&d->iomem, 0, cpu_features.address_mask >> PAGE_SHIFT, true))
        panic("initial domain: out of memory for its permissions");
    memset(d->ioports, 0xff, 65536 / 8);
    for_each_record(domain_part, part)
    {
        if (part->initial && part->initial(d))
            panic("initial domain: out of memory for its part of the machine");
    }
    initial_domain = d;
    return d;
}

/* The boot ends with the module's name, where the loader said it, and the reason. */
noreturn void refuse_kernel(const struct boot_module *m, const char *reason)
{
    panic("initial domain: the first module%s%s%s is no kernel that can run here: %s",
          m->name[0] ? ", " : "", m->name, m->name[0] ? "," : "", reason);
}

/*
 * Build domain 0 from the first module, its kernel, and the second, its ramdisk (NULL: none). A
 * module that is no kernel this ABI can run ends the boot with its name and the reason.
 */
void build_initial_domain(const struct boot_module *kernel, const struct boot_module *ramdisk)
{
    static struct build b; /* boot only; too large for the stack */
    const char *reason;

    if (!kernel)
        panic("no kernel for the initial domain: the first Multiboot module must be one");
    reason = elf_kernel_parse(kernel->start, kernel->size, &b.kernel);
    if (reason)
        refuse_kernel(kernel, reason);
    b.image = kernel;
    b.ramdisk = ramdisk;
    b.base = b.kernel.virt_base;
    b.d = create(&b.kernel);
    b.nr_pages = choose_size(b.d);
    lay_out(&b);
    allocate(&b);
    load_images(&b);
    write_p2m(&b);
    write_start_info(&b);
    write_page_tables(&b);
    start_vcpu(&b);
    heap_free_pages(b.chunks, CHUNK_LIST_ORDER);
    printk("initial domain: %s%s%s, %u MiB, entry %08x\n", b.kernel.guest_os,
           b.kernel.guest_version[0] ? " " : "", b.kernel.guest_version, b.nr_pages >> 8,
           b.kernel.entry);
}
