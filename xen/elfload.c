/* SPDX-License-Identifier: MIT */
/*
 * elfload.c - read a guest kernel's ELF file: what it asks for, and where its bytes go.
 *
 * A Xen guest does not boot like a PC kernel: the builder maps it at an address it names, gives it
 * page tables and jumps. The kernel names its wishes in ELF notes of owner "Xen" (<xen/elfnote.h>),
 * or, before notes existed, in one string of NAME=value pairs in a section called __xen_guest. This
 * file turns either into a struct elf_kernel, and says in words why a file is no kernel for us.
 *
 * The file is hostile: each offset is compared with the image's size before it is followed, in a
 * form that cannot wrap (a <= size && b <= size - a), and no sum is trusted. Nothing is copied but
 * the few header bytes, by memcpy, because nothing in a file need be aligned. Notes are decoded
 * first, all checks stand in the second half, segments last.
 *
 * Shared with the control domain, so no hypervisor headers. Read include/ringlet/elfload.h first;
 * next the callers: the initial domain's builder in xen/ and pv-guest/dom0/build.c.
 */
#include <ringlet/elfload.h>
#include <string.h>
#include <xen/elfnote.h>

/* The parts of the ELF specification (Tool Interface Standard, version 1.2) that we need. */
struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct program_header {
    uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};

struct section_header {
    uint32_t name, type, flags, addr, offset, size, link, info, addralign, entsize;
};

struct note_header {
    uint32_t namesz, descsz, type;
};

enum {
    IDENT_CLASS = 4,
    IDENT_DATA = 5,
    CLASS_32 = 1,
    DATA_LITTLE = 1,
    TYPE_EXEC = 2,
    TYPE_DYN = 3,
    MACHINE_386 = 3,
    MACHINE_X86_64 = 62,
    PT_LOAD = 1,
    PT_NOTE = 4,
    SHT_SYMTAB = 2,
    SHT_STRTAB = 3,
    SHT_NOTE = 7,
    SHT_NOBITS = 8,
    MAX_PROGRAM_HEADERS = 64,
    PAGE = 4096
};

_Static_assert(sizeof(struct elf_header) == 52 && sizeof(struct program_header) == 32 &&
                   sizeof(struct section_header) == 40,
               "ELF32 structures");

/* ---- Small tools ---------------------------------------------------------------------------- */

/* Copy len bytes at offset off of the image; false when they are not all there. */
static bool image_read(const struct elf_kernel *k, uint64_t off, void *to, size_t len)
{
    if (off > k->size || len > k->size - off)
        return false;
    memcpy(to, k->image + off, len);
    return true;
}

static bool image_holds(const struct elf_kernel *k, uint64_t off, uint64_t len)
{
    return off <= k->size && len <= k->size - off;
}

/* Copy text up to a NUL or len; what is not printable becomes '?', for it ends on a console. */
static void copy_text(char *to, size_t room, const uint8_t *from, size_t len)
{
    size_t i;

    for (i = 0; i < len && i + 1 < room && from[i]; i++)
        to[i] = from[i] >= ' ' && from[i] <= '~' ? (char)from[i] : '?';
    to[i] = 0;
}

static size_t text_length(const uint8_t *s, size_t max)
{
    size_t n = 0;

    while (n < max && s[n])
        n++;
    return n;
}

static bool text_is(const uint8_t *s, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(s, word, len) == 0;
}

static bool text_begins(const uint8_t *s, size_t len, const char *word)
{
    return len >= strlen(word) && memcmp(s, word, strlen(word)) == 0;
}

static bool text_contains(const uint8_t *s, size_t len, const char *word)
{
    for (; len; s++, len--)
        if (text_begins(s, len, word))
            return true;
    return false;
}

/* A refusal that carries a name from the file. */
static const char *refuse(struct elf_kernel *k, const char *why, const uint8_t *name, size_t len)
{
    size_t n = strlen(why);

    memcpy(k->reason, why, n);
    copy_text(k->reason + n, sizeof k->reason - n, name, len);
    return k->reason;
}

/* ---- The wishes, from notes or from the old string ------------------------------------------- */

enum wish_kind { WISH_ADDRESS, WISH_FLAG, WISH_TEXT, WISH_PAE, WISH_FEATURES, WISH_SYMTAB };

/* One row a wish: its note type, its name in the old string, and where its value goes. */
static const struct wish {
    uint8_t note, kind;
    uint16_t offset;
    const char *name;
} wishes[] = {
    {XEN_ELFNOTE_ENTRY, WISH_ADDRESS, offsetof(struct elf_kernel, entry), "VIRT_ENTRY"},
    {XEN_ELFNOTE_HYPERCALL_PAGE, WISH_ADDRESS, offsetof(struct elf_kernel, hypercall_page),
     "HYPERCALL_PAGE"},
    {XEN_ELFNOTE_VIRT_BASE, WISH_ADDRESS, offsetof(struct elf_kernel, virt_base), "VIRT_BASE"},
    {XEN_ELFNOTE_PADDR_OFFSET, WISH_ADDRESS, offsetof(struct elf_kernel, paddr_offset),
     "ELF_PADDR_OFFSET"},
    {XEN_ELFNOTE_HV_START_LOW, WISH_ADDRESS, offsetof(struct elf_kernel, hv_start_low),
     "HV_START_LOW"},
    {XEN_ELFNOTE_INIT_P2M, WISH_ADDRESS, offsetof(struct elf_kernel, p2m_base), "INIT_P2M"},
    {XEN_ELFNOTE_MOD_START_PFN, WISH_FLAG, offsetof(struct elf_kernel, mod_start_pfn),
     "MOD_START_PFN"},
    {XEN_ELFNOTE_SUSPEND_CANCEL, WISH_FLAG, offsetof(struct elf_kernel, suspend_cancel),
     "SUSPEND_CANCEL"},
    {XEN_ELFNOTE_GUEST_OS, WISH_TEXT, offsetof(struct elf_kernel, guest_os), "GUEST_OS"},
    {XEN_ELFNOTE_GUEST_VERSION, WISH_TEXT, offsetof(struct elf_kernel, guest_version), "GUEST_VER"},
    {XEN_ELFNOTE_LOADER, WISH_TEXT, offsetof(struct elf_kernel, loader), "LOADER"},
    {XEN_ELFNOTE_XEN_VERSION, WISH_TEXT, offsetof(struct elf_kernel, xen_version), "XEN_VER"},
    {XEN_ELFNOTE_PAE_MODE, WISH_PAE, 0, "PAE"},
    {XEN_ELFNOTE_FEATURES, WISH_FEATURES, 0, "FEATURES"},
    {XEN_ELFNOTE_BSD_SYMTAB, WISH_SYMTAB, 0, "BSD_SYMTAB"},
};

enum { WISHES = sizeof wishes / sizeof wishes[0], TEXT_ROOM = 32 };

_Static_assert(sizeof((struct elf_kernel *)0)->guest_os == TEXT_ROOM &&
                   sizeof((struct elf_kernel *)0)->guest_version == TEXT_ROOM &&
                   sizeof((struct elf_kernel *)0)->loader == TEXT_ROOM &&
                   sizeof((struct elf_kernel *)0)->xen_version == TEXT_ROOM,
               "WISH_TEXT writes TEXT_ROOM bytes");

static bool seen(const struct elf_kernel *k, unsigned note)
{
    return k->seen >> note & 1;
}

/* Names of <xen/features.h>, by bit; unnamed bits are empty. */
static const char *const feature_names[] = {
    [XENFEAT_writable_page_tables] = "writable_page_tables",
    [XENFEAT_writable_descriptor_tables] = "writable_descriptor_tables",
    [XENFEAT_auto_translated_physmap] = "auto_translated_physmap",
    [XENFEAT_supervisor_mode_kernel] = "supervisor_mode_kernel",
    [XENFEAT_pae_pgdir_above_4gb] = "pae_pgdir_above_4gb",
    [XENFEAT_mmu_pt_update_preserve_ad] = "mmu_pt_update_preserve_ad",
    [XENFEAT_highmem_assist] = "highmem_assist",
    [XENFEAT_gnttab_map_avail_bits] = "gnttab_map_avail_bits",
    [XENFEAT_hvm_callback_vector] = "hvm_callback_vector",
    [XENFEAT_hvm_safe_pvclock] = "hvm_safe_pvclock",
    [XENFEAT_hvm_pirqs] = "hvm_pirqs",
    [XENFEAT_dom0] = "dom0",
    [XENFEAT_memory_op_vnode_supported] = "memory_op_vnode_supported",
    [XENFEAT_linux_rsdp_unrestricted] = "linux_rsdp_unrestricted",
};

/* One name of the list, "!" already taken off. An unknown one matters only when it is required. */
static const char *take_feature(struct elf_kernel *k, const uint8_t *name, size_t len,
                                bool required)
{
    uint32_t bit = 0;

    for (unsigned i = 0; i < sizeof feature_names / sizeof feature_names[0]; i++)
        if (feature_names[i] && text_is(name, len, feature_names[i]))
            bit = 1u << i;
    k->features_supported |= bit;
    if (!required)
        return NULL;
    if (!(bit & ELF_FEATURES_ACCEPTED))
        return refuse(k, "requires a feature we lack: ", name, len);
    k->features_required |= bit;
    return NULL;
}

/* "!name|name|name": the separator of the notes is '|', older strings also used blanks. */
static const char *take_features(struct elf_kernel *k, const uint8_t *s, size_t len)
{
    size_t end;

    for (size_t i = 0; i < len; i = end + 1) {
        bool required = s[i] == '!';

        for (end = i; end < len && s[end] != '|' && s[end] != ' '; end++)
            ;
        const char *why = end > i + required
                              ? take_feature(k, s + i + required, end - i - required, required)
                              : NULL;
        if (why)
            return why;
    }
    return NULL;
}

/* "yes", "yes[extended-cr3]", "bimodal", "yes,bimodal", "no". In a note "yes" means more. */
static enum elf_pae pae_mode(const uint8_t *s, size_t len)
{
    if (text_contains(s, len, "bimodal"))
        return ELF_PAE_BIMODAL;
    if (text_begins(s, len, "yes[extended-cr3]"))
        return ELF_PAE_EXTENDED;
    if (text_is(s, len, "yes") || text_begins(s, len, "yes,") || text_begins(s, len, "yes["))
        return ELF_PAE_YES;
    return ELF_PAE_NONE;
}

/* Values that are text, in notes and in the old string alike. */
static const char *take_text(struct elf_kernel *k, const struct wish *w, const uint8_t *s,
                             size_t len)
{
    len = text_length(s, len);
    switch (w->kind) {
    case WISH_TEXT:
        copy_text((char *)k + w->offset, TEXT_ROOM, s, len);
        return NULL;
    case WISH_PAE:
        k->pae = pae_mode(s, len);
        return NULL;
    case WISH_FEATURES:
        return take_features(k, s, len);
    default:
        k->bsd_symtab = !text_is(s, len, "no");
        return NULL;
    }
}

static const char *take_number(struct elf_kernel *k, const struct wish *w, uint64_t value)
{
    uint32_t address = (uint32_t)value;

    if (w->kind == WISH_FLAG) {
        *(bool *)((char *)k + w->offset) = value != 0;
        return NULL;
    }
    if (value != address)
        return refuse(k, "address above 4 GiB: ", (const uint8_t *)w->name, strlen(w->name));
    memcpy((char *)k + w->offset, &address, sizeof address);
    return NULL;
}

static bool is_number(const struct wish *w)
{
    return w->kind == WISH_ADDRESS || w->kind == WISH_FLAG;
}

/* ---- ELF notes ------------------------------------------------------------------------------ */

/* A numeric note's descriptor is 1, 2, 4 or 8 bytes, little endian. */
static bool note_number(const uint8_t *desc, size_t len, uint64_t *value)
{
    *value = 0;
    if (len != 1 && len != 2 && len != 4 && len != 8)
        return false;
    memcpy(value, desc, len);
    return true;
}

/* The first mask and value pair, machine addresses of 8 bytes; a shorter note says nothing. */
static void take_l1_mfn_valid(struct elf_kernel *k, const uint8_t *desc, size_t len)
{
    k->l1_mfn_valid = len >= 16;
    if (k->l1_mfn_valid) {
        memcpy(&k->l1_mfn_mask, desc, 8);
        memcpy(&k->l1_mfn_value, desc + 8, 8);
    }
}

static const char *take_note(struct elf_kernel *k, uint32_t type, const uint8_t *desc, size_t len)
{
    uint64_t value = 0;

    if (type <= XEN_ELFNOTE_MAX)
        k->seen |= 1u << type;
    if (type == XEN_ELFNOTE_L1_MFN_VALID)
        take_l1_mfn_valid(k, desc, len);
    if (type == XEN_ELFNOTE_PAE_MODE && text_is(desc, text_length(desc, len), "yes")) {
        k->pae = ELF_PAE_EXTENDED;
        return NULL;
    }
    if (type == XEN_ELFNOTE_SUPPORTED_FEATURES && note_number(desc, len, &value))
        k->features_supported |= (uint32_t)value;
    for (const struct wish *w = wishes; w < wishes + WISHES; w++) {
        if (w->note != type)
            continue;
        if (!is_number(w))
            return take_text(k, w, desc, len);
        if (!note_number(desc, len, &value))
            return refuse(k, "malformed note: ", (const uint8_t *)w->name, strlen(w->name));
        return take_number(k, w, value);
    }
    return NULL;
}

/*
 * Read the notes in [off, off + len) of the image, which the caller has checked. A note is a
 * header, the owner's name and the descriptor, the latter two padded to 4 bytes. PV-GRUB's last
 * descriptor is longer than its segment: what is there is taken and ends the list, as libelf does.
 * *found tells whether any note was ours.
 */
static const char *read_notes(struct elf_kernel *k, uint32_t off, uint32_t len, bool *found)
{
    const uint8_t *p = k->image + off;
    struct note_header n;

    while (len >= sizeof n) {
        memcpy(&n, p, sizeof n);
        p += sizeof n;
        len -= sizeof n;
        uint64_t name_room = ((uint64_t)n.namesz + 3) & ~3ull;
        uint64_t desc_room = ((uint64_t)n.descsz + 3) & ~3ull;
        if (name_room > len)
            return NULL;
        const uint8_t *desc = p + name_room;
        len -= (uint32_t)name_room;
        uint32_t descsz = n.descsz < len ? n.descsz : len;
        if (text_is(p, text_length(p, n.namesz), "Xen")) {
            const char *why = take_note(k, n.type, desc, descsz);

            *found = true;
            if (why)
                return why;
        }
        if (desc_room >= len)
            return NULL;
        p = desc + desc_room;
        len -= (uint32_t)desc_room;
    }
    return NULL;
}

static bool ranges_meet(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
    return a < b + blen && b < a + alen;
}

static const char *read_note_segments(struct elf_kernel *k, const struct program_header *ph,
                                      unsigned n, bool *found)
{
    for (unsigned i = 0; i < n; i++) {
        if (ph[i].type != PT_NOTE)
            continue;
        if (!image_holds(k, ph[i].offset, ph[i].filesz))
            return "truncated note segment";
        for (unsigned j = 0; j < i; j++)
            if (ph[j].type == PT_NOTE &&
                ranges_meet(ph[j].offset, ph[j].filesz, ph[i].offset, ph[i].filesz))
                return "overlapping note segments";
        const char *why = read_notes(k, ph[i].offset, ph[i].filesz, found);
        if (why)
            return why;
    }
    return NULL;
}

/* ---- Sections: notes where no segment has them, and the old string --------------------------- */

static const char *check_sections(const struct elf_kernel *k, const struct elf_header *eh)
{
    if (eh->shnum && eh->shentsize < sizeof(struct section_header))
        return "section headers too small";
    if (!image_holds(k, eh->shoff, (uint64_t)eh->shnum * eh->shentsize))
        return "truncated section header";
    return NULL;
}

/* The table was checked by check_sections. */
static struct section_header read_section(const struct elf_kernel *k, const struct elf_header *eh,
                                          unsigned i)
{
    struct section_header sh;

    memcpy(&sh, k->image + eh->shoff + (size_t)i * eh->shentsize, sizeof sh);
    return sh;
}

/*
 * There may be 65535 sections, each as long as the file; read them all and a small file costs
 * minutes. Sections that do not overlap cannot together be longer than the file.
 */
static const char *read_note_sections(struct elf_kernel *k, const struct elf_header *eh,
                                      bool *found)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < eh->shnum; i++) {
        struct section_header sh = read_section(k, eh, i);

        if (sh.type != SHT_NOTE)
            continue;
        if (!image_holds(k, sh.offset, sh.size))
            return "truncated note section";
        total += sh.size;
        if (total > k->size)
            return "overlapping note sections";
        const char *why = read_notes(k, sh.offset, sh.size, found);
        if (why)
            return why;
    }
    return NULL;
}

/* An unsigned number as C writes it: 0x..., 0..., or decimal. The whole of s must be the number. */
static bool string_number(const uint8_t *s, size_t len, uint64_t *value)
{
    unsigned base = 10;

    if (len > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        base = 16;
        s += 2;
        len -= 2;
    } else if (len > 1 && s[0] == '0') {
        base = 8;
    }
    *value = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned c = s[i] | 0x20u; /* digits have this bit already */
        unsigned digit = c >= 'a' && c <= 'f' ? c - 'a' + 10 : s[i] - (unsigned)'0';

        if (digit >= base || *value >> 59)
            return false;
        *value = *value * base + digit;
    }
    return len != 0;
}

/* One NAME or NAME=value of the string; names we do not know are passed over. */
static const char *take_pair(struct elf_kernel *k, const uint8_t *s, size_t len)
{
    size_t n = 0;

    while (n < len && s[n] != '=')
        n++;
    size_t at = n < len ? n + 1 : len;
    for (const struct wish *w = wishes; w < wishes + WISHES; w++) {
        uint64_t value;

        if (!text_is(s, n, w->name))
            continue;
        k->seen |= 1u << w->note;
        if (!is_number(w))
            return take_text(k, w, s + at, len - at);
        if (!string_number(s + at, len - at, &value))
            return refuse(k, "malformed number in __xen_guest: ", s, len);
        return take_number(k, w, value);
    }
    return NULL;
}

/* The old string counts the hypercall page in pages from virt_base, wherever in it that stands. */
static const char *read_guest_string(struct elf_kernel *k, const uint8_t *s, size_t len)
{
    size_t end;

    len = text_length(s, len);
    for (size_t i = 0; i < len; i = end + 1) {
        for (end = i; end < len && s[end] != ','; end++)
            ;
        const char *why = take_pair(k, s + i, end - i);
        if (why)
            return why;
    }
    if (seen(k, XEN_ELFNOTE_HYPERCALL_PAGE)) {
        uint64_t va = ((uint64_t)k->hypercall_page << 12) + k->virt_base;

        if (va >= ELF_HV_START)
            return "hypercall page beyond the guest's address space";
        k->hypercall_page = (uint32_t)va;
    }
    if (!seen(k, XEN_ELFNOTE_PADDR_OFFSET))
        k->paddr_offset = k->virt_base; /* elfnote.h: the old default */
    return NULL;
}

static const char *read_guest_section(struct elf_kernel *k, const struct elf_header *eh,
                                      bool *found)
{
    static const char name[] = "__xen_guest"; /* compared with its NUL */

    if (eh->shstrndx >= eh->shnum)
        return NULL;
    struct section_header names = read_section(k, eh, eh->shstrndx);
    if (names.type == SHT_NOBITS || !image_holds(k, names.offset, names.size))
        return "truncated section names";
    for (unsigned i = 0; i < eh->shnum; i++) {
        struct section_header sh = read_section(k, eh, i);

        if (sh.name > names.size || sizeof name > names.size - sh.name ||
            memcmp(k->image + names.offset + sh.name, name, sizeof name) != 0)
            continue;
        if (sh.type == SHT_NOBITS || !image_holds(k, sh.offset, sh.size))
            return "truncated __xen_guest section";
        *found = true;
        return read_guest_string(k, k->image + sh.offset, sh.size);
    }
    return NULL;
}

static const char *read_wishes(struct elf_kernel *k, const struct elf_header *eh,
                               const struct program_header *ph)
{
    bool found = false;
    const char *why = read_note_segments(k, ph, eh->phnum, &found);

    if (why || found)
        return why;
    why = check_sections(k, eh);
    if (!why)
        why = read_note_sections(k, eh, &found);
    if (!why && !found)
        why = read_guest_section(k, eh, &found);
    if (!why && !found)
        why = "neither Xen notes nor a __xen_guest section: not a Xen kernel";
    return why;
}

/* ---- Checks --------------------------------------------------------------------------------- */

/*
 * walk 56: A kernel is a file from outside
 *
 * Claim: The initial domain's kernel is an ELF file with notes that say what it wants: its
 * addresses, its page-table modes, its entry. Each number in it is compared with the file's size,
 * the limits of this loader and the other numbers before it is used, and a refusal is a sentence
 * that says what is wrong.
 * Without it: A damaged file would make the hypervisor read or write beyond it while it boots, with
 * nothing to say why.
 * Shown by: tests/host/test_elfload.c::wrong_files,
 * tests/host/test_elfload.c::every_cut_and_every_flip,
 * tests/system/test_boot.py::test_refused_module
 */
static const char *check_header(const struct elf_kernel *k, struct elf_header *eh)
{
    if (k->size < 4 || memcmp(k->image, "\177ELF", 4) != 0)
        return "not ELF";
    if (!image_read(k, 0, eh, sizeof *eh))
        return "truncated ELF header";
    if (eh->machine == MACHINE_X86_64)
        return "x86-64 kernel";
    if (eh->ident[IDENT_CLASS] != CLASS_32)
        return "not a 32-bit kernel";
    if (eh->ident[IDENT_DATA] != DATA_LITTLE || eh->machine != MACHINE_386)
        return "not a kernel for IA-32";
    if (eh->type != TYPE_EXEC && eh->type != TYPE_DYN)
        return "not an executable";
    if (eh->phnum == 0)
        return "no program headers";
    if (eh->phnum > MAX_PROGRAM_HEADERS)
        return "too many program headers";
    if (eh->phentsize != sizeof(struct program_header))
        return "program headers of a strange size";
    if (!image_holds(k, eh->phoff, eh->phnum * sizeof(struct program_header)))
        return "truncated program header";
    return NULL;
}

/*
 * What libelf asks of the words in the notes: a kernel for Xen 3.0's ABI (there is no other), made
 * for any loader, or a Linux; and PAE page tables, the only kind this ABI has.
 */
static const char *check_words(struct elf_kernel *k)
{
    if (!text_begins((uint8_t *)k->xen_version, sizeof k->xen_version, "xen-3.0"))
        return refuse(k, "not for Xen 3.0 but: ", (uint8_t *)k->xen_version, sizeof k->xen_version);
    if (!text_begins((uint8_t *)k->loader, sizeof k->loader, "generic") &&
        !text_begins((uint8_t *)k->guest_os, sizeof k->guest_os, "linux"))
        return refuse(k, "wants another loader: ", (uint8_t *)k->loader, sizeof k->loader);
    if (k->pae == ELF_PAE_NONE)
        return "not PAE";
    if (seen(k, XEN_ELFNOTE_HV_START_LOW) && k->hv_start_low > ELF_HV_START)
        return "wants the hypervisor above 0xf5800000";
    return NULL;
}

/* Insert one LOAD segment behind those before it. */
static const char *take_segment(struct elf_kernel *k, const struct program_header *ph)
{
    uint32_t va = ph->paddr - k->paddr_offset + k->virt_base; /* libelf's rule, modulo 2^32 */

    if (ph->filesz > ph->memsz)
        return "segment larger in the file than in memory";
    if (!image_holds(k, ph->offset, ph->filesz))
        return "truncated segment";
    if (va < k->virt_base)
        return "segment below virt_base";
    if (va >= ELF_HV_START || ph->memsz > ELF_HV_START - va)
        return "segment beyond the start of the hypervisor, 0xf5800000";
    for (unsigned i = 0; i < k->segments; i++)
        if (ranges_meet(k->segment[i].va, k->segment[i].memsz, va, ph->memsz))
            return "overlapping segments";
    if (k->segments == ELF_MAX_SEGMENTS)
        return "too many segments";
    k->segment[k->segments++] =
        (struct elf_segment){va, ph->filesz, ph->memsz, k->image + ph->offset};
    return NULL;
}

static const char *take_segments(struct elf_kernel *k, const struct program_header *ph, unsigned n)
{
    k->kernel_start = UINT32_MAX;
    for (unsigned i = 0; i < n; i++) {
        if (ph[i].type != PT_LOAD || ph[i].memsz == 0)
            continue;
        const char *why = take_segment(k, &ph[i]);
        if (why)
            return why;
        const struct elf_segment *s = &k->segment[k->segments - 1];
        if (s->va < k->kernel_start)
            k->kernel_start = s->va;
        if (s->va + s->memsz > k->kernel_end)
            k->kernel_end = s->va + s->memsz;
    }
    return k->segments ? NULL : "no segments to load";
}

/* Promises 1, 3, 4 and 5 of elfload.h; take_segment has kept the second. */
static const char *check_addresses(const struct elf_kernel *k)
{
    if (k->entry < k->kernel_start || k->entry >= k->kernel_end)
        return "entry point outside the kernel";
    if (seen(k, XEN_ELFNOTE_HYPERCALL_PAGE)) {
        if (k->hypercall_page % PAGE)
            return "hypercall page not page aligned";
        if (!ranges_meet(k->hypercall_page, PAGE, k->kernel_start, k->kernel_end - k->kernel_start))
            return "hypercall page outside the kernel";
    }
    if (seen(k, XEN_ELFNOTE_INIT_P2M) && k->p2m_base >= k->kernel_start &&
        k->p2m_base < k->kernel_end)
        return "phys-to-machine list inside the kernel";
    return NULL;
}

/* ---- Symbols --------------------------------------------------------------------------------- */

/*
 * What a kernel with XEN_ELFNOTE_BSD_SYMTAB finds on the word boundary behind its image: the length
 * of what follows, then a small ELF file of nothing but its symbol table (section 1) and that
 * one's strings (section 2). Its debugger shows names then.
 */
struct symbol_file {
    uint32_t size;
    struct elf_header eh;
    struct section_header section[3];
};

_Static_assert(sizeof(struct symbol_file) == sizeof(((struct elf_kernel *)0)->symbol_header),
               "elfload.h leaves room for it");

static uint32_t word_up(uint32_t n)
{
    return (n + 3) & ~3u;
}

/* Find the symbol table and its strings. A kernel that was stripped has none. */
static bool find_symbols(const struct elf_kernel *k, const struct elf_header *eh,
                         struct section_header *symbols, struct section_header *strings)
{
    if (check_sections(k, eh))
        return false;
    for (unsigned i = 0; i < eh->shnum; i++) {
        *symbols = read_section(k, eh, i);
        if (symbols->type != SHT_SYMTAB)
            continue;
        if (symbols->link >= eh->shnum)
            return false;
        *strings = read_section(k, eh, symbols->link);
        return strings->type == SHT_STRTAB && symbols->size && strings->size &&
               image_holds(k, symbols->offset, symbols->size) &&
               image_holds(k, strings->offset, strings->size);
    }
    return false;
}

static void add_segment(struct elf_kernel *k, uint32_t va, const uint8_t *data, uint32_t size)
{
    k->segment[k->segments++] = (struct elf_segment){va, size, size, data};
    k->kernel_end = va + size;
}

/* Put the symbols behind the kernel, where it asks for them and they fit: they are a convenience. */
static void add_symbols(struct elf_kernel *k, const struct elf_header *eh)
{
    struct section_header symbols, strings;
    struct symbol_file file = {.eh = *eh};
    uint32_t base = word_up(k->kernel_end), symbols_at, strings_at;
    uint64_t end;

    if (!k->bsd_symtab || k->segments + 3 > ELF_MAX_SEGMENTS ||
        !find_symbols(k, eh, &symbols, &strings))
        return;
    end = (uint64_t)base + sizeof file + symbols.size + 3 + strings.size;
    if (end > ELF_HV_START || (k->p2m_base >= k->kernel_end && k->p2m_base < end))
        return;
    symbols_at = base + sizeof file;
    strings_at = word_up(symbols_at + symbols.size);

    file.size = strings_at + strings.size - base - sizeof file.size;
    file.eh.phoff = file.eh.phentsize = file.eh.phnum = file.eh.shstrndx = 0;
    file.eh.ehsize = sizeof file.eh;
    file.eh.shoff = sizeof file.eh;
    file.eh.shentsize = sizeof file.section[0];
    file.eh.shnum = 3;
    add_segment(k, base, k->symbol_header, sizeof file);
    add_segment(k, symbols_at, k->image + symbols.offset, symbols.size);
    add_segment(k, strings_at, k->image + strings.offset, strings.size);
    file.section[1] = symbols;
    file.section[1].offset = symbols_at - base - sizeof file.size;
    file.section[1].link = 2;
    file.section[2] = strings;
    file.section[2].offset = strings_at - base - sizeof file.size;
    memcpy(k->symbol_header, &file, sizeof file);
}

/* ---- The interface -------------------------------------------------------------------------- */

const char *elf_kernel_parse(const void *image, size_t size, struct elf_kernel *k)
{
    struct elf_header eh;
    struct program_header ph[MAX_PROGRAM_HEADERS];
    const char *why;

    memset(k, 0, sizeof *k);
    k->image = image;
    k->size = size;
    k->hypercall_page = ELF_NO_HYPERCALL_PAGE;
    k->p2m_base = ELF_NO_P2M_BASE;
    why = check_header(k, &eh);
    if (why)
        return why;
    k->entry = eh.entry; /* unless a note says otherwise */
    memcpy(ph, k->image + eh.phoff, eh.phnum * sizeof ph[0]);
    why = read_wishes(k, &eh, ph);
    if (!why)
        why = check_words(k);
    if (!why && k->virt_base % PAGE)
        why = "virt_base not page aligned";
    if (!why)
        why = take_segments(k, ph, eh.phnum);
    if (!why)
        why = check_addresses(k);
    if (!why)
        add_symbols(k, &eh);
    return why;
}

unsigned elf_kernel_segments(const struct elf_kernel *k)
{
    return k->segments;
}

void elf_kernel_segment(const struct elf_kernel *k, unsigned i, struct elf_segment *seg)
{
    *seg = k->segment[i];
}
