/* SPDX-License-Identifier: MIT */
/*
 * test_elfload.c - kernels as they really look, and kernels made to hurt, through xen/elfload.c.
 *
 * Each test draws an ELF file with the small drawing board below and asks the reader what it makes
 * of it. The accepted shapes are those of PV-GRUB, Linux, Mini-OS and the kernels of the time
 * before notes. Run with a directory as argument, the program writes every image it draws there: so
 * the fuzzer's corpus (tests/fuzz/corpus/elfload) was made. Reads on: tests/fuzz/fuzz_elfload.c.
 *
 * units: xen/elfload.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ringlet/elfload.h>
#include <xen/elfnote.h>

/* ---- The drawing board ---------------------------------------------------------------------- */

enum {
    EHDR = 52,
    PHDR = 32,
    SHDR = 40,
    LOAD = 1,
    NOTE = 4,
    SYMTAB = 2,
    SECTION_NOTE = 7,
    BODY = 0x400
};

static uint8_t img[32768];
static size_t size;
static unsigned phnum;
static const char *corpus;
static struct elf_kernel k;

static void put(size_t at, uint32_t value, size_t bytes)
{
    memcpy(img + at, &value, bytes);
    if (at + bytes > size)
        size = at + bytes;
}

static void header(uint32_t entry)
{
    memset(img, 0, sizeof img);
    memcpy(img, "\177ELF\1\1\1", 7);
    size = BODY;
    phnum = 0;
    put(16, 2, 2); /* executable */
    put(18, 3, 2); /* 386 */
    put(20, 1, 4);
    put(24, entry, 4);
    put(28, EHDR, 4);
    put(40, EHDR, 2);
    put(42, PHDR, 2);
    put(46, SHDR, 2);
}

static void segment(uint32_t type, uint32_t off, uint32_t paddr, uint32_t filesz, uint32_t memsz)
{
    size_t at = EHDR + PHDR * phnum++;

    put(at, type, 4);
    put(at + 4, off, 4);
    put(at + 8, paddr, 4);
    put(at + 12, paddr, 4);
    put(at + 16, filesz, 4);
    put(at + 20, memsz, 4);
    put(44, phnum, 2);
}

/* A note of any owner; returns nothing, the next one follows at `size`. */
static void note_of(const char *owner, uint32_t type, const void *desc, uint32_t len)
{
    size_t namesz = strlen(owner) + 1;

    put(size, (uint32_t)namesz, 4);
    put(size, len, 4);
    put(size, type, 4);
    memcpy(img + size, owner, namesz);
    size += (namesz + 3) & ~3u;
    memcpy(img + size, desc, len);
    size += (len + 3) & ~3u;
}

static void note_text(uint32_t type, const char *text)
{
    note_of("Xen", type, text, (uint32_t)strlen(text) + 1);
}

static void note_number(uint32_t type, uint32_t value)
{
    note_of("Xen", type, &value, 4);
}

static void usual_notes(void)
{
    note_text(XEN_ELFNOTE_GUEST_OS, "test");
    note_text(XEN_ELFNOTE_LOADER, "generic");
    note_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
    note_text(XEN_ELFNOTE_PAE_MODE, "yes");
}

/* Sections: the table and the names go to the end; section 1 holds [off, size) of the file. */
static void one_section(const char *name, uint32_t type, uint32_t off, uint32_t len)
{
    static const char names[] = "\0.shstrtab";
    uint32_t at = (uint32_t)size;

    memcpy(img + at, names, sizeof names);
    memcpy(img + at + sizeof names, name, strlen(name) + 1);
    size = (at + sizeof names + strlen(name) + 4) & ~3u;
    put(32, (uint32_t)size, 4);
    put(48, 3, 2); /* null, ours, names */
    put(50, 2, 2);
    size_t table = size;
    size += 3 * SHDR;
    put(table + SHDR, sizeof names, 4);
    put(table + SHDR + 4, type, 4);
    put(table + SHDR + 16, off, 4);
    put(table + SHDR + 20, len, 4);
    put(table + 2 * SHDR, 1, 4);
    put(table + 2 * SHDR + 4, 3, 4);
    put(table + 2 * SHDR + 16, at, 4);
    put(table + 2 * SHDR + 20, (uint32_t)(sizeof names + strlen(name) + 1), 4);
}

/*
 * The image is parsed from a heap copy of exactly its size, and one byte into the block, so that
 * the address sanitizer sees every step beyond it and the undefined behaviour one every alignment
 * that was taken for granted.
 */
static uint8_t *copy;

static const char *parse(void)
{
    static unsigned serial;

    if (corpus) {
        char path[512];
        snprintf(path, sizeof path, "%s/seed-%02u", corpus, serial++);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(img, 1, size, f), size);
        fclose(f);
    }
    free(copy);
    copy = malloc(size + 1);
    memcpy(copy + 1, img, size);
    return elf_kernel_parse(copy + 1, size, &k);
}

/* A plain good kernel with its notes in a segment; tests then spoil it. */
static void good(void)
{
    header(0x1000);
    segment(LOAD, BODY, 0x1000, 0x100, 0x3000);
    size = BODY + 0x100;
    size_t at = size;
    usual_notes();
    segment(NOTE, (uint32_t)at, 0, (uint32_t)(size - at), 0);
}

/* The same, with further notes added by the caller: begin, add, end. */
static size_t notes_at;

static void begin(uint32_t entry, uint32_t paddr, uint32_t filesz, uint32_t memsz)
{
    header(entry);
    segment(LOAD, BODY, paddr, filesz, memsz);
    size = BODY + ((filesz + 3) & ~3u);
    notes_at = size;
    usual_notes();
}

static void end(void)
{
    segment(NOTE, (uint32_t)notes_at, 0, (uint32_t)(size - notes_at), 0);
}

static void refused(const char *reason)
{
    const char *why = parse();

    assert_non_null(why);
    assert_string_equal(why, reason);
}

/* ---- Accepted ------------------------------------------------------------------------------- */

static void plain_kernel(void **state)
{
    struct elf_segment s;

    (void)state;
    good();
    assert_null(parse());
    assert_int_equal(k.entry, 0x1000);
    assert_int_equal(k.virt_base, 0);
    assert_int_equal(k.kernel_start, 0x1000);
    assert_int_equal(k.kernel_end, 0x4000);
    assert_int_equal(k.hypercall_page, ELF_NO_HYPERCALL_PAGE);
    assert_int_equal(k.p2m_base, ELF_NO_P2M_BASE);
    assert_int_equal(k.pae, ELF_PAE_EXTENDED);
    assert_string_equal(k.guest_os, "test");
    assert_int_equal(elf_kernel_segments(&k), 1);
    elf_kernel_segment(&k, 0, &s);
    assert_int_equal(s.va, 0x1000);
    assert_int_equal(s.filesz, 0x100);
    assert_int_equal(s.memsz, 0x3000);
    assert_ptr_equal(s.data, copy + 1 + BODY);
}

/* Debian's grub-i386-xen.bin: entry and base 0, a segment at an odd address, a note cut short. */
static void pv_grub(void **state)
{
    (void)state;
    header(0);
    segment(LOAD, BODY, 0, 0x33, 0x416858);
    segment(0x6474e551, BODY + 0x33, 0, 0, 0);
    segment(LOAD, BODY + 0x33, 0x416858, 0x6C, 0x6C);
    size = notes_at = BODY + 0xA0;
    note_text(XEN_ELFNOTE_GUEST_OS, "GRUB");
    note_text(XEN_ELFNOTE_LOADER, "generic");
    note_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
    note_number(XEN_ELFNOTE_ENTRY, 0);
    note_number(XEN_ELFNOTE_VIRT_BASE, 0);
    size_t last = size;
    note_of("Xen", XEN_ELFNOTE_PAE_MODE, "yes", 4);
    put(last + 4, 12, 4); /* says twelve bytes where four are left */
    end();
    assert_null(parse());
    assert_int_equal(k.entry, 0);
    assert_int_equal(k.pae, ELF_PAE_EXTENDED);
    assert_int_equal(k.kernel_end, 0x4168C4);
    assert_string_equal(k.guest_os, "GRUB");
    assert_int_equal(elf_kernel_segments(&k), 2);
}

/* Linux's vmlinux: physical addresses in the headers, a physical e_entry, virtual ones in notes. */
static void linux_vmlinux(void **state)
{
    const uint64_t valid[2] = {1, 1};

    (void)state;
    header(0x1000000);
    segment(LOAD, BODY, 0x1000000, 0x40, 0x500000);
    size = notes_at = BODY + 0x40;
    note_text(XEN_ELFNOTE_GUEST_OS, "linux");
    note_text(XEN_ELFNOTE_GUEST_VERSION, "2.6");
    note_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
    note_number(XEN_ELFNOTE_VIRT_BASE, 0xC0000000);
    note_number(XEN_ELFNOTE_PADDR_OFFSET, 0);
    note_number(XEN_ELFNOTE_ENTRY, 0xC1000010);
    note_number(XEN_ELFNOTE_HYPERCALL_PAGE, 0xC1001000);
    note_text(XEN_ELFNOTE_FEATURES, "!writable_page_tables|pae_pgdir_above_4gb");
    note_number(XEN_ELFNOTE_SUPPORTED_FEATURES, 0x8801);
    note_text(XEN_ELFNOTE_PAE_MODE, "yes");
    note_of("Xen", XEN_ELFNOTE_L1_MFN_VALID, valid, 16);
    note_of("Xen", XEN_ELFNOTE_MOD_START_PFN, "\1", 1);
    note_number(XEN_ELFNOTE_HV_START_LOW, 0xF5800000);
    note_number(XEN_ELFNOTE_SUSPEND_CANCEL, 1);
    end();
    assert_null(parse());
    assert_int_equal(k.entry, 0xC1000010);
    assert_int_equal(k.kernel_start, 0xC1000000);
    assert_int_equal(k.kernel_end, 0xC1500000);
    assert_int_equal(k.hypercall_page, 0xC1001000);
    assert_int_equal(k.features_required, 1);
    assert_int_equal(k.features_supported, 0x8811);
    assert_true(k.mod_start_pfn && k.suspend_cancel && k.l1_mfn_valid);
    assert_int_equal(k.l1_mfn_mask, 1);
    assert_int_equal(k.hv_start_low, ELF_HV_START);
}

/* Older kernels wrote the virtual address into p_paddr and said so with paddr_offset. */
static void paddr_offset_is_virt_base(void **state)
{
    (void)state;
    begin(0xC0100000, 0xC0100000, 0x40, 0x1000);
    note_number(XEN_ELFNOTE_VIRT_BASE, 0xC0000000);
    note_number(XEN_ELFNOTE_PADDR_OFFSET, 0xC0000000);
    end();
    assert_null(parse());
    assert_int_equal(k.kernel_start, 0xC0100000);
}

static void notes_of_another_owner(void **state)
{
    (void)state;
    begin(0x1000, 0x1000, 0x40, 0x1000);
    note_of("GNU", XEN_ELFNOTE_ENTRY, "\0\0\0\1", 4);
    note_of("Xenx", XEN_ELFNOTE_ENTRY, "\0\0\0\1", 4);
    end();
    assert_null(parse());
    assert_int_equal(k.entry, 0x1000);
}

static void notes_in_a_section(void **state)
{
    (void)state;
    begin(0x1000, 0x1000, 0x40, 0x1000);
    one_section(".note.Xen", SECTION_NOTE, (uint32_t)notes_at, (uint32_t)(size - notes_at));
    assert_null(parse());
    assert_string_equal(k.loader, "generic");
}

static void old_kernel(const char *string)
{
    header(0xC0100000);
    segment(LOAD, BODY, 0xC0100000, 0x40, 0x10000);
    size = notes_at = BODY + 0x40;
    note_of("Someone", XEN_ELFNOTE_ENTRY, "\0\0\0\1", 4);
    end();
    uint32_t at = (uint32_t)size;
    memcpy(img + at, string, strlen(string));
    size = (at + strlen(string) + 3) & ~3u;
    one_section("__xen_guest", 1, at, (uint32_t)strlen(string));
}

/* Notes whose owner is someone else, then the string: the page index stands before its base. */
static void old_string(void **state)
{
    (void)state;
    old_kernel(
        "GUEST_OS=Mini-OS,XEN_VER=xen-3.0,HYPERCALL_PAGE=0x102,VIRT_BASE=0xc0000000,"
        "PAE=yes[extended-cr3],FEATURES=!writable_page_tables|foo,LOADER=generic,BSD_SYMTAB");
    assert_null(parse());
    assert_int_equal(k.virt_base, 0xC0000000);
    assert_int_equal(k.paddr_offset, 0xC0000000);
    assert_int_equal(k.kernel_start, 0xC0100000);
    assert_int_equal(k.hypercall_page, 0xC0102000);
    assert_int_equal(k.pae, ELF_PAE_EXTENDED);
    assert_true(k.bsd_symtab);
    assert_int_equal(k.features_required, 1);
    assert_string_equal(k.guest_os, "Mini-OS");
}

/* A kernel that ends at 0x3ffe, wants its symbols, and has a table of 0x22 bytes. */
static size_t kernel_with_symbols(void)
{
    begin(0x1000, 0x1000, 0x100, 0x2ffe);
    note_text(XEN_ELFNOTE_BSD_SYMTAB, "yes");
    end();
    one_section(".symtab", SYMTAB, BODY, 0x22);
    size_t table = size - 3 * SHDR;
    put(table + SHDR + 24, 2, 4); /* its strings are section 2 */
    return table;
}

static uint32_t word_at(const uint8_t *p)
{
    uint32_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

static void symbols(void **state)
{
    struct elf_segment header, table, strings;

    (void)state;
    kernel_with_symbols();
    assert_null(parse());
    assert_int_equal(elf_kernel_segments(&k), 4);
    elf_kernel_segment(&k, 1, &header);
    elf_kernel_segment(&k, 2, &table);
    elf_kernel_segment(&k, 3, &strings);
    assert_int_equal(header.va, 0x4000); /* the word boundary behind the kernel */
    assert_int_equal(header.memsz, 4 + EHDR + 3 * SHDR);
    assert_int_equal(table.va, header.va + header.memsz);
    assert_int_equal(table.filesz, 0x22);
    assert_ptr_equal(table.data, copy + 1 + BODY);
    assert_int_equal(strings.va, table.va + 0x24);
    assert_int_equal(k.kernel_end, strings.va + strings.memsz);

    /* The file in memory, from 0x4004 on, says where both are in it. */
    assert_int_equal(word_at(header.data), k.kernel_end - 0x4004);
    assert_memory_equal(header.data + 4, "\177ELF", 4);
    assert_int_equal(word_at(header.data + 4 + 32), EHDR);
    assert_int_equal(word_at(header.data + 4 + 48) & 0xffff, 3);
    const uint8_t *section = header.data + 4 + EHDR;
    for (int i = 0; i < SHDR; i++)
        assert_int_equal(section[i], 0);
    assert_int_equal(word_at(section + SHDR + 16), table.va - 0x4004);
    assert_int_equal(word_at(section + SHDR + 24), 2);
    assert_int_equal(word_at(section + 2 * SHDR + 16), strings.va - 0x4004);
}

/* Symbols that cannot be had are left out; the kernel runs without. */
static void no_symbols(void **state)
{
    static const struct {
        size_t field;
        uint32_t value;
    } spoiled[] = {
        {SHDR + 4, 1},               /* there is no symbol table */
        {SHDR + 24, 3},              /* strings in a section that is none */
        {SHDR + 24, 0},              /* in one that holds something else */
        {SHDR + 16, 0x7fffffff},     /* the table is beyond the file */
        {SHDR + 20, 0xffffffff},     /* or ends there */
        {SHDR + 20, 0},              /* or is empty */
        {2 * SHDR + 20, sizeof img}, /* the same for the strings */
        {2 * SHDR + 16, 0xfffffff0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof spoiled / sizeof spoiled[0]; i++) {
        size_t table = kernel_with_symbols();
        put(table + spoiled[i].field, spoiled[i].value, 4);
        assert_null(parse());
        assert_int_equal(elf_kernel_segments(&k), 1);
        assert_int_equal(k.kernel_end, 0x3ffe);
    }
    kernel_with_symbols(); /* no room below the hypervisor */
    put(EHDR + 12, ELF_HV_START - 0x3000, 4);
    put(24, ELF_HV_START - 0x3000, 4);
    assert_null(parse());
    assert_int_equal(elf_kernel_segments(&k), 1);
}

static void pae_words(void **state)
{
    static const struct {
        const char *word;
        enum elf_pae pae;
    } words[] = {{"yes", ELF_PAE_EXTENDED},
                 {"yes,", ELF_PAE_YES},
                 {"yes[extended-cr3]", ELF_PAE_EXTENDED},
                 {"bimodal", ELF_PAE_BIMODAL},
                 {"yes,bimodal", ELF_PAE_BIMODAL},
                 {"no", ELF_PAE_NONE},
                 {"yesterday", ELF_PAE_NONE},
                 {"", ELF_PAE_NONE}};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        begin(0x1000, 0x1000, 0x40, 0x1000);
        note_text(XEN_ELFNOTE_PAE_MODE, words[i].word);
        end();
        const char *why = parse();
        if (words[i].pae == ELF_PAE_NONE)
            assert_string_equal(why, "not PAE");
        else
            assert_null(why);
        assert_int_equal(k.pae, words[i].pae);
    }
    /* In the old string "yes" says less. */
    old_kernel("GUEST_OS=x,XEN_VER=xen-3.0,VIRT_BASE=0xc0000000,PAE=yes,LOADER=generic");
    assert_null(parse());
    assert_int_equal(k.pae, ELF_PAE_YES);
}

/*
 * One note beyond the usual ones, and whether a kernel that has it is taken: as Xen 4.17 takes PV
 * kernels. It ignores INIT_P2M for 32-bit ones, and of the features that a kernel may require it
 * refuses those alone whose names it does not know, and supervisor_mode_kernel. The names it does
 * not know and we have are the exception. SUPPORTED_FEATURES without dom0's bit, for which it
 * refuses the initial domain, is taken: small kernels of others boot so.
 */
static void notes_taken_or_refused(void **state)
{
#define LACK "requires a feature we lack: "
    static const struct {
        uint32_t type;
        const char *text; /* or NULL: a number */
        uint32_t number;
        const char *why; /* refused with this reason; NULL: taken */
        uint32_t required, supported;
    } notes[] = {
        {XEN_ELFNOTE_FEATURES, "!writable_page_tables", 0, NULL, 0x1, 0x1},
        {XEN_ELFNOTE_FEATURES, "!writable_descriptor_tables", 0, NULL, 0x2, 0x2},
        {XEN_ELFNOTE_FEATURES, "!auto_translated_physmap", 0, NULL, 0x4, 0x4},
        {XEN_ELFNOTE_FEATURES, "!supervisor_mode_kernel", 0, LACK "supervisor_mode_kernel", 0, 0},
        {XEN_ELFNOTE_FEATURES, "supervisor_mode_kernel", 0, NULL, 0, 0x8},
        {XEN_ELFNOTE_FEATURES, "!pae_pgdir_above_4gb", 0, NULL, 0x10, 0x10},
        {XEN_ELFNOTE_FEATURES, "!hvm_callback_vector", 0, NULL, 0x100, 0x100},
        {XEN_ELFNOTE_FEATURES, "!dom0", 0, NULL, 0x800, 0x800},
        {XEN_ELFNOTE_FEATURES, "!hvm_pirqs", 0, LACK "hvm_pirqs", 0, 0},
        {XEN_ELFNOTE_FEATURES, "!time_travel", 0, LACK "time_travel", 0, 0},
        {XEN_ELFNOTE_FEATURES, "time_travel|!dom0", 0, NULL, 0x800, 0x800},
        {XEN_ELFNOTE_SUPPORTED_FEATURES, NULL, 0, NULL, 0, 0},
        {XEN_ELFNOTE_SUPPORTED_FEATURES, NULL, 0x801, NULL, 0, 0x801},
        {XEN_ELFNOTE_INIT_P2M, NULL, 0x80000000, NULL, 0, 0},
        {XEN_ELFNOTE_INIT_P2M, NULL, 0x80000123, NULL, 0, 0},
        {XEN_ELFNOTE_INIT_P2M, NULL, 0xF5800000, NULL, 0, 0},
        {XEN_ELFNOTE_INIT_P2M, NULL, 0x1123, "phys-to-machine list inside the kernel", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        begin(0x1000, 0x1000, 0x40, 0x1000);
        if (notes[i].text)
            note_text(notes[i].type, notes[i].text);
        else
            note_number(notes[i].type, notes[i].number);
        end();
        if (notes[i].why) {
            refused(notes[i].why);
            continue;
        }
        assert_null(parse());
        assert_int_equal(k.features_required, notes[i].required);
        assert_int_equal(k.features_supported, notes[i].supported);
        if (notes[i].type == XEN_ELFNOTE_INIT_P2M)
            assert_int_equal(k.p2m_base, notes[i].number);
    }
#undef LACK
}

static void strings_are_cut_and_cleaned(void **state)
{
    (void)state;
    begin(0x1000, 0x1000, 0x40, 0x1000);
    note_text(XEN_ELFNOTE_GUEST_OS, "\033[2Jan operating system with a very long name");
    end();
    assert_null(parse());
    assert_string_equal(k.guest_os, "?[2Jan operating system with a ");
}

/* ---- Refused -------------------------------------------------------------------------------- */

static void wrong_files(void **state)
{
    (void)state;
    good();
    img[0] = 0x1F, img[1] = 0x8B;
    refused("not ELF");
    size = 0;
    refused("not ELF");
    good();
    size = 51;
    refused("truncated ELF header");
    good();
    img[4] = 2, img[18] = 62;
    refused("x86-64 kernel");
    good();
    img[4] = 2;
    refused("not a 32-bit kernel");
    good();
    img[5] = 2;
    refused("not a kernel for IA-32");
    good();
    img[18] = 8;
    refused("not a kernel for IA-32");
    good();
    img[16] = 1;
    refused("not an executable");
}

static void spoiled_headers(void **state)
{
    (void)state;
    good();
    put(44, 0, 2);
    refused("no program headers");
    good();
    put(44, 65, 2);
    refused("too many program headers");
    good();
    put(42, 16, 2);
    refused("program headers of a strange size");
    good();
    put(28, 0xFFFFFFF0, 4);
    refused("truncated program header");
    good();
    put(EHDR + PHDR + 16, 0xFFFFFFFF, 4);
    refused("truncated note segment");
}

static void not_for_us(void **state)
{
    (void)state;
    header(0x1000);
    segment(LOAD, BODY, 0x1000, 0, 0x1000);
    refused("neither Xen notes nor a __xen_guest section: not a Xen kernel");
    put(32, 0xFFFFFF00, 4), put(48, 10, 2);
    refused("truncated section header");
    begin(0x1000, 0x1000, 0x40, 0x1000);
    note_text(XEN_ELFNOTE_XEN_VERSION, "xen-4");
    end();
    refused("not for Xen 3.0 but: xen-4");
    begin(0x1000, 0x1000, 0x40, 0x1000);
    note_text(XEN_ELFNOTE_LOADER, "other");
    end();
    refused("wants another loader: other");
    begin(0x1000, 0x1000, 0x40, 0x1000);
    note_text(XEN_ELFNOTE_FEATURES, "highmem_assist|foo|!time_travel");
    end();
    refused("requires a feature we lack: time_travel");
    begin(0x1000, 0x1000, 0x40, 0x1000);
    note_number(XEN_ELFNOTE_HV_START_LOW, 0xFC000000);
    end();
    refused("wants the hypervisor above 0xf5800000");
}

static void bad_numbers(void **state)
{
    const uint64_t big = 1ull << 32;

    (void)state;
    begin(0x1000, 0x1000, 0x40, 0x1000);
    note_of("Xen", XEN_ELFNOTE_ENTRY, &big, 8);
    end();
    refused("address above 4 GiB: VIRT_ENTRY");
    begin(0x1000, 0x1000, 0x40, 0x1000);
    note_of("Xen", XEN_ELFNOTE_VIRT_BASE, &big, 3);
    end();
    refused("malformed note: VIRT_BASE");
    old_kernel("XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=0xc000000g");
    refused("malformed number in __xen_guest: VIRT_BASE=0xc000000g");
    old_kernel(
        "XEN_VER=xen-3.0,LOADER=generic,PAE=yes,VIRT_BASE=0xc0000000,HYPERCALL_PAGE=0x80000");
    refused("hypercall page beyond the guest's address space");
    old_kernel("XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=99999999999999999999999");
    refused("malformed number in __xen_guest: VIRT_BASE=99999999999999999999999");
}

static void spoiled_segments(void **state)
{
    (void)state;
    begin(0x1000, 0x1000, 0x41, 0x40), end();
    refused("segment larger in the file than in memory");
    begin(0x1000, 0x1000, 0x4000, 0x4000), end();
    size = BODY + 0x3FFF; /* the notes follow the segment: out of the file with both */
    refused("truncated note segment");
    begin(0x1000, 0x1000, 0x40, 0x1000);
    put(EHDR + 4, 0xFFFFFFF0, 4);
    end();
    refused("truncated segment");
    begin(0xF5000000, 0xF5000000, 0x40, 0x800001), end();
    refused("segment beyond the start of the hypervisor, 0xf5800000");
    begin(0x1000, 0xFFFFF000, 0x40, 0x2000), end();
    refused("segment beyond the start of the hypervisor, 0xf5800000");
    begin(0xC0001000, 0x50000000, 0x40, 0x1000);
    note_number(XEN_ELFNOTE_VIRT_BASE, 0xC0000000);
    end();
    refused("segment below virt_base");
    begin(0x1000, 0x1000, 0x40, 0x1000);
    segment(LOAD, BODY, 0x1FFF, 1, 1);
    end();
    refused("overlapping segments");
    header(0x1000);
    for (unsigned i = 0; i < 33; i++)
        segment(LOAD, BODY, 0x1000 + i, 1, 1);
    size = notes_at = BODY + 0x500;
    usual_notes();
    end();
    refused("too many segments");
    header(0x1000);
    size = notes_at = BODY;
    usual_notes();
    end();
    refused("no segments to load");
}

static void impossible_addresses(void **state)
{
    (void)state;
    begin(0x3000, 0x1000, 0x40, 0x2000), end();
    refused("entry point outside the kernel");
    begin(0x1000, 0x1000, 0x40, 0x2000);
    note_number(XEN_ELFNOTE_HYPERCALL_PAGE, 0x1800);
    end();
    refused("hypercall page not page aligned");
    begin(0x1000, 0x1000, 0x40, 0x2000);
    note_number(XEN_ELFNOTE_HYPERCALL_PAGE, 0x3000);
    end();
    refused("hypercall page outside the kernel");
    begin(0x1000, 0x1000, 0x40, 0x2000);
    note_number(XEN_ELFNOTE_VIRT_BASE, 0x10);
    end();
    refused("virt_base not page aligned");
    begin(0x1000, 0x1000, 0x40, 0x2000);
    note_number(XEN_ELFNOTE_INIT_P2M, 0x2000);
    end();
    refused("phys-to-machine list inside the kernel");
}

static void overlapping_notes(void **state)
{
    (void)state;
    good();
    segment(NOTE, (uint32_t)(size - 8), 0, 8, 0);
    refused("overlapping note segments");
    /* Two note sections, each nearly the whole file, neither holding a note of ours. */
    header(0x1000);
    segment(LOAD, BODY, 0x1000, 0x40, 0x1000);
    size = BODY + 0x400;
    one_section(".note", SECTION_NOTE, 0, BODY + 0x400);
    uint32_t table;
    memcpy(&table, img + 32, 4);
    memcpy(img + table, img + table + SHDR, SHDR);
    refused("overlapping note sections");
}

/* Every prefix of a kernel and every single flipped byte: any answer, but no step outside. */
static void every_cut_and_every_flip(void **state)
{
    const char *keep = corpus;

    (void)state;
    corpus = NULL;
    old_kernel("GUEST_OS=x,XEN_VER=xen-3.0,VIRT_BASE=0xc0000000,PAE=yes,LOADER=generic");
    size_t whole = size;
    for (size = 0; size < whole; size++)
        parse();
    size = whole;
    assert_null(parse());
    good();
    whole = size;
    for (size = 0; size < whole; size++)
        parse();
    for (size_t i = 0; i < size; i++) {
        img[i] ^= 0xFF;
        parse();
        img[i] ^= 0xFF;
    }
    assert_null(parse());
    corpus = keep;
}

/* The real one, where the build has fetched it. */
static void debian_pv_grub(void **state)
{
    const char *path = getenv("PVGRUB");
    FILE *f = path ? fopen(path, "rb") : NULL;

    (void)state;
    if (!f)
        skip();
    uint8_t *file = malloc(4 << 20);
    size_t n = fread(file, 1, 4 << 20, f);
    fclose(f);
    assert_null(elf_kernel_parse(file, n, &k));
    assert_string_equal(k.guest_os, "GRUB");
    assert_int_equal(k.pae, ELF_PAE_EXTENDED);
    assert_int_equal(k.entry, 0);
    assert_int_equal(elf_kernel_segments(&k), 2);
    free(file);
}

static int teardown(void **state)
{
    (void)state;
    free(copy);
    copy = NULL;
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_kernel),
        cmocka_unit_test(pv_grub),
        cmocka_unit_test(linux_vmlinux),
        cmocka_unit_test(paddr_offset_is_virt_base),
        cmocka_unit_test(notes_of_another_owner),
        cmocka_unit_test(notes_in_a_section),
        cmocka_unit_test(old_string),
        cmocka_unit_test(symbols),
        cmocka_unit_test(no_symbols),
        cmocka_unit_test(pae_words),
        cmocka_unit_test(notes_taken_or_refused),
        cmocka_unit_test(strings_are_cut_and_cleaned),
        cmocka_unit_test(wrong_files),
        cmocka_unit_test(spoiled_headers),
        cmocka_unit_test(not_for_us),
        cmocka_unit_test(bad_numbers),
        cmocka_unit_test(spoiled_segments),
        cmocka_unit_test(impossible_addresses),
        cmocka_unit_test(overlapping_notes),
        cmocka_unit_test(every_cut_and_every_flip),
        cmocka_unit_test(debian_pv_grub),
    };

    corpus = argc > 1 ? argv[1] : NULL;
    return cmocka_run_group_tests_name("elfload", tests, NULL, teardown);
}
