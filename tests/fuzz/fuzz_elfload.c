/* SPDX-License-Identifier: MIT */
/*
 * fuzz_elfload.c - feed anything to xen/elfload.c and hold it to its promises.
 *
 * The sanitizers see reads outside the file; this harness sees the rest: whatever is accepted must
 * satisfy the numbered promises of include/ringlet/elfload.h, because two domain builders copy
 * bytes and write pages by them without looking again. An accepted kernel then goes on to the
 * control domain's builder, which plans a domain for it and writes the page tables.
 *
 * units: xen/elfload.c pv-guest/dom0/layout.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <ringlet/elfload.h>

#include "../../pv-guest/dom0/build.h"

#define CHECK(x) ((x) ? (void)0 : abort())

static int inside(const struct elf_kernel *k, uint32_t va)
{
    return va >= k->kernel_start && va < k->kernel_end;
}

static void check_segments(const struct elf_kernel *k, const uint8_t *data, size_t size)
{
    unsigned n = elf_kernel_segments(k);
    struct elf_segment s, t;

    CHECK(n >= 1 && n <= ELF_MAX_SEGMENTS);
    for (unsigned i = 0; i < n; i++) {
        elf_kernel_segment(k, i, &s);
        CHECK(s.memsz && s.filesz <= s.memsz);
        if (s.data == k->symbol_header) {
            CHECK(s.filesz == sizeof k->symbol_header);
        } else {
            CHECK(s.data >= data && s.data <= data + size);
            CHECK(s.filesz <= (size_t)(data + size - s.data));
        }
        CHECK(inside(k, s.va) && s.memsz <= k->kernel_end - s.va);
        for (unsigned j = 0; j < i; j++) {
            elf_kernel_segment(k, j, &t);
            CHECK(s.va + s.memsz <= t.va || t.va + t.memsz <= s.va);
        }
    }
}

static void check_kernel(const struct elf_kernel *k)
{
    uint32_t page = k->hypercall_page;

    CHECK(k->virt_base % 4096 == 0 && k->virt_base <= k->kernel_start);
    CHECK(k->kernel_start < k->kernel_end && k->kernel_end <= ELF_HV_START);
    CHECK(inside(k, k->entry));
    CHECK(page == ELF_NO_HYPERCALL_PAGE || (page % 4096 == 0 && page < k->kernel_end &&
                                            k->kernel_start - page % 4096 < page + 4096));
    CHECK(k->p2m_base == ELF_NO_P2M_BASE || !inside(k, k->p2m_base));
    CHECK(k->hv_start_low <= ELF_HV_START);
    CHECK(k->pae != ELF_PAE_NONE);
    CHECK(!(k->features_required & ~ELF_FEATURES_ACCEPTED));
    CHECK(memchr(k->guest_os, 0, sizeof k->guest_os));
    CHECK(memchr(k->guest_version, 0, sizeof k->guest_version));
    CHECK(memchr(k->loader, 0, sizeof k->loader));
    CHECK(memchr(k->xen_version, 0, sizeof k->xen_version));
}

/* Plans a domain of mib (1..256) MiB. */
static void check_plan(const struct elf_kernel *k, uint32_t mib)
{
    static uint32_t p2m[256 * 256];
    static uint64_t entries[512];
    uint32_t pages = mib * 256;
    struct layout l;

    if (layout_plan(&l, k->virt_base, k->kernel_end, 5000, pages))
        return;
    CHECK(l.ramdisk >= k->kernel_end && l.p2m > l.ramdisk && l.start_info > l.p2m);
    CHECK(l.store > l.start_info && l.console > l.store && l.tables > l.console);
    CHECK(l.stack == l.tables + l.n_tables * 4096 && l.stack < l.mapped_end);
    CHECK(l.mapped_end <= ELF_HV_START && (l.stack - l.base) / 4096 < pages);
    for (uint32_t i = 0; i < l.n_tables; i++)
        layout_table(&l, i, p2m, pages, entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_kernel k;
    const char *why = elf_kernel_parse(data, size, &k);

    if (why) {
        CHECK(strlen(why) > 0 && strlen(why) < 80);
        return 0;
    }
    check_segments(&k, data, size);
    check_kernel(&k);
    check_plan(&k, 4);
    check_plan(&k, 1 + data[size - 1]);
    return 0;
}
