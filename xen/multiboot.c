/* SPDX-License-Identifier: MIT */
/*
 * multiboot.c: take over what the loader left: command line, memory map, modules.
 *
 * The structures lie wherever the loader put them, below 4 GiB, and are read through the identity
 * map of the boot. What is needed later is copied, so that their memory can be used.
 *
 * Loaders disagree about strings: GRUB 2 passes a module's arguments alone; QEMU and GRUB 1 put the
 * file's name in front. The loader's own name tells which it was.
 *
 * Read next: memory.c.
 */
#include <ringlet/console.h>
#include <ringlet/mm.h>
#include <ringlet/multiboot.h>

struct e820_entry boot_memory_map[E820_MAX_ENTRIES];
unsigned boot_memory_map_entries;
struct boot_module boot_modules[MAX_BOOT_MODULES];
unsigned nr_boot_modules;

static char module_cmdlines[MAX_BOOT_MODULES][1024];

static const void *physical(uint32_t pa)
{
    return (const void *)(uintptr_t)pa;
}

/* The words behind the file's name, where the loader passes one. */
static const char *skip_file_name(const char *s, bool has_name)
{
    while (has_name && *s && *s != ' ')
        s++;
    while (*s == ' ')
        s++;
    return s;
}

/* The file's name without its folders, cut to what the module keeps of it. */
static void read_file_name(struct boot_module *m, const char *s)
{
    unsigned n = 0;

    for (; *s && *s != ' '; s++) {
        if (*s == '/')
            n = 0;
        else if (n + 1 < sizeof(m->name))
            m->name[n++] = *s;
    }
    m->name[n] = '\0';
}

static void read_memory_map(const struct multiboot_info *mbi)
{
    const uint8_t *p = physical(mbi->mmap_addr), *end = p + mbi->mmap_length;

    if (!(mbi->flags & MULTIBOOT_MEMORY_MAP)) {
        boot_memory_map[0] = (struct e820_entry){0, mbi->mem_lower * 1024ull, E820_RAM};
        boot_memory_map[1] = (struct e820_entry){0x100000, mbi->mem_upper * 1024ull, E820_RAM};
        boot_memory_map_entries = 2;
        return;
    }
    while (p < end && boot_memory_map_entries < E820_MAX_ENTRIES) {
        const struct multiboot_mmap_entry *e = (const void *)p;

        boot_memory_map[boot_memory_map_entries++] =
            (struct e820_entry){e->addr, e->length, e->type};
        p += e->size + sizeof(e->size);
    }
}

static void read_modules(const struct multiboot_info *mbi, bool names)
{
    const struct multiboot_module *m = physical(mbi->mods_addr);

    if (!(mbi->flags & MULTIBOOT_MODULES))
        return;
    for (unsigned i = 0; i < mbi->mods_count && i < MAX_BOOT_MODULES; i++) {
        const char *s = m[i].string ? physical(m[i].string) : "";

        strlcpy(module_cmdlines[i], skip_file_name(s, names), sizeof(module_cmdlines[i]));
        boot_modules[i] = (struct boot_module){physical(m[i].start), m[i].end - m[i].start,
                                               module_cmdlines[i], ""};
        if (names)
            read_file_name(&boot_modules[i], s);
        nr_boot_modules++;
    }
}

/* Boot, first of all: parses the command line too, since it says where to print. */
void multiboot_read(uint32_t magic, const struct multiboot_info *mbi)
{
    const char *loader = "";
    bool names;

    if (magic != MULTIBOOT_LOADER_MAGIC) {
        cmdline_parse("");
        console_init_early();
        panic("not started by a Multiboot loader (magic %08x)", magic);
    }
    if (mbi->flags & MULTIBOOT_LOADER_NAME)
        loader = physical(mbi->loader_name);
    names = strncmp(loader, "GRUB 2", 6) != 0;
    cmdline_parse(mbi->flags & MULTIBOOT_CMDLINE ? skip_file_name(physical(mbi->cmdline), names)
                                                 : "");
    read_memory_map(mbi);
    read_modules(mbi, names);
}
