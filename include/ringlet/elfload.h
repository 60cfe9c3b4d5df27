/* SPDX-License-Identifier: MIT */
/*
 * elfload.h - what a Xen guest kernel's ELF file asks of the domain builder.
 *
 * Two builders use this one reader: the hypervisor's, for the initial domain, and the control
 * domain's (pv-guest/dom0/build.c), for every other. It therefore depends on nothing but the public
 * ABI headers, allocates nothing, and keeps only pointers into the caller's image. The file may be
 * hostile: everything reported here has been checked. Read xen/elfload.c next.
 */
#ifndef RINGLET_ELFLOAD_H
#define RINGLET_ELFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/features.h>

/* Where the hypervisor's hole begins for 32-bit guests (design.md, linear address space). */
#define ELF_HV_START 0xF5800000u

#define ELF_MAX_SEGMENTS 32

/*
 * Features a kernel may require ("!name"): those we have, and those that Xen 4.17 lets a PV kernel
 * require and does not provide either (descriptor tables that can be written, translated memory, HVM
 * callbacks): kernels write them into a list meant for several hypervisors and ask later, by
 * XENVER_get_features. Linux requires writable_page_tables, which for this ABI means that stores to
 * its read-only page tables are emulated (VMASST_TYPE_writable_pagetables).
 */
#define ELF_FEATURES_ACCEPTED                                                           \
    (1u << XENFEAT_writable_page_tables | 1u << XENFEAT_pae_pgdir_above_4gb |           \
     1u << XENFEAT_mmu_pt_update_preserve_ad | 1u << XENFEAT_highmem_assist |           \
     1u << XENFEAT_gnttab_map_avail_bits | 1u << XENFEAT_dom0 |                         \
     1u << XENFEAT_writable_descriptor_tables | 1u << XENFEAT_auto_translated_physmap | \
     1u << XENFEAT_hvm_callback_vector)

#define ELF_NO_HYPERCALL_PAGE 0xFFFFFFFFu /* not page aligned, so never an address */
#define ELF_NO_P2M_BASE 0xFFFFFFFFu

/*
 * What the kernel says about PAE. A kernel that says no, or nothing, is refused. YES ("yes" in the
 * old string) needs its L3 below 4 GiB; EXTENDED ("yes" in a note, XEN_ELFNOTE_PAE_MODE, or
 * "yes[extended-cr3]") and BIMODAL do not and get VMASST_TYPE_pae_extended_cr3. The L3 that a
 * builder makes lies below 4 GiB for all of them: PV-GRUB says "yes" in a note and cannot do
 * without.
 */
enum elf_pae { ELF_PAE_NONE, ELF_PAE_YES, ELF_PAE_EXTENDED, ELF_PAE_BIMODAL };

/* One LOAD segment, with its address already translated. data[0..filesz) lies inside the image. */
struct elf_segment {
    uint32_t va;     /* where it goes, in the guest's address space; any alignment */
    uint32_t filesz; /* bytes to copy */
    uint32_t memsz;  /* bytes to occupy; the builder zeroes [filesz, memsz) */
    const uint8_t *data;
};

/*
 * Promises for an accepted kernel, all addresses being guest virtual:
 *  1. virt_base is page aligned; virt_base <= kernel_start < kernel_end <= ELF_HV_START.
 *  2. Every segment lies inside [kernel_start, kernel_end), has 0 < memsz and filesz <= memsz, has
 *     its bytes inside the image or in symbol_header, and overlaps no other.
 *  3. kernel_start <= entry < kernel_end.
 *  4. hypercall_page is page aligned and its page touches [kernel_start, kernel_end), or it is
 *     ELF_NO_HYPERCALL_PAGE.
 *  5. p2m_base, unless ELF_NO_P2M_BASE, is outside [kernel_start, kernel_end), and any number
 *     otherwise: builders of 32-bit guests ignore it.
 *  6. Strings are terminated. features_required only holds bits of ELF_FEATURES_ACCEPTED.
 * The pseudo-physical address of VA is VA - virt_base: paddr_offset has done its work once the
 * segments are translated, and is reported for information.
 */
struct elf_kernel {
    uint32_t entry;
    uint32_t virt_base;
    uint32_t paddr_offset;
    uint32_t hypercall_page; /* or ELF_NO_HYPERCALL_PAGE */
    uint32_t kernel_start;   /* lowest and one past the highest byte of the segments */
    uint32_t kernel_end;
    uint32_t p2m_base;     /* XEN_ELFNOTE_INIT_P2M, or ELF_NO_P2M_BASE */
    uint32_t hv_start_low; /* XEN_ELFNOTE_HV_START_LOW, 0 where absent; never above ELF_HV_START */
    enum elf_pae pae;
    bool mod_start_pfn;  /* takes a ramdisk outside its first mapping */
    bool suspend_cancel; /* understands a cancelled suspend */
    bool bsd_symtab;     /* would like its symbol table behind its image: three segments more */
    bool l1_mfn_valid;   /* said how to recognise non-present entries that hold frames: */
    uint64_t l1_mfn_mask, l1_mfn_value;
    uint32_t features_supported, features_required; /* bit XENFEAT_x, submap 0 */
    char guest_os[32], guest_version[32], loader[32], xen_version[32];

    /* Private to elfload.c. */
    const uint8_t *image;
    size_t size;
    uint32_t seen; /* bit n: XEN_ELFNOTE n, or its word in the old string, was given */
    unsigned segments;
    struct elf_segment segment[ELF_MAX_SEGMENTS];
    uint8_t symbol_header[176]; /* what add_symbols() puts between the kernel and its symbols */
    char reason[80];
};

/* elfload.c */

/*
 * Read the kernel in image[0..size). Returns NULL and fills *k, or says in words why Ringlet cannot
 * run it ("x86-64 kernel", "not PAE", ...); the words may live in *k, whose other fields then mean
 * nothing. The image and *k must stay in place for as long as *k is used: segments point into them.
 */
const char *elf_kernel_parse(const void *image, size_t size, struct elf_kernel *k);

/*
 * The number of segments that occupy memory, at least 1, and one of them, i below that number.
 */
unsigned elf_kernel_segments(const struct elf_kernel *k);
void elf_kernel_segment(const struct elf_kernel *k, unsigned i, struct elf_segment *seg);

#endif
