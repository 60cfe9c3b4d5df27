/* SPDX-License-Identifier: MIT */
/*
 * attack.h: what the guests that attack the hypervisor share: tables made by hand,
 * single entries written, and the audit at the end.
 *
 * The guests that retell security advisories run as the initial domain, where test_guests.py starts
 * them, and as ordinary domains beside a quiet one (test_xsa.py). docs/security-tests.md lists them.
 */
#ifndef GUESTS_ATTACK_H
#define GUESTS_ATTACK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <xen/event_channel.h>
#include <xen/version.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define AUDIT_HYPERCALL 55 /* __HYPERVISOR_arch_7: counts that do not add up, in debug builds */
#define FIRST_HYPERVISOR_SLOT ((HOLE_BASE - VIRT_BASE) >> 21)
#define TABLE_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)
#define TABLE_FLAGS_RO (TABLE_FLAGS & ~PTE_RW)

/* Addresses no table of the guest's library is made for. */
#define QUIET_VA 0xE8000000u

/* Machine address of entry `index` of the table in this page of the linear map. */
static inline uint64_t entry_of(const void *table, uint32_t index)
{
    return ((uint64_t)linear_to_mfn(table) << PAGE_SHIFT) + index * sizeof(pte_t);
}

static inline int write_entry(uint64_t where, pte_t val)
{
    struct mmu_update request = {.ptr = where, .val = val};

    return hv_mmu_update(&request, 1, NULL, DOMID_SELF);
}

/* How a page of the linear map is mapped there. */
static inline int make_readonly(const void *page)
{
    return hv_update_va_mapping(page, pte_make(linear_to_mfn(page), PAGE_KERNEL_RO), UVMF_INVLPG);
}

static inline int make_writable(const void *page)
{
    return hv_update_va_mapping(page, pte_make(linear_to_mfn(page), PAGE_KERNEL), UVMF_INVLPG);
}

static inline int pin(const void *page, unsigned int cmd)
{
    return mmuext_frame(cmd, linear_to_mfn(page), DOMID_SELF);
}

/* The table that covers va in the running tree: level 2's table is the directory. */
static inline pte_t *directory_of(uint32_t va)
{
    return pfn_to_linear(mfn_to_pfn(pte_mfn(pte_read((void *)va, 3))));
}

/* A directory with this one entry, already read-only and not yet anything to the hypervisor. */
static inline pte_t *new_directory(uint32_t slot, pte_t entry)
{
    pte_t *table = page_alloc();

    table[slot] = entry;
    if (make_readonly(table) != 0)
        panic("a page of one's own cannot be mapped read-only");
    return table;
}

static inline bool is_64bit_hypervisor(void)
{
    xen_capabilities_info_t capabilities = "";

    hv_xen_version(XENVER_capabilities, capabilities);
    return strstr(capabilities, "x86_64") != NULL;
}

/* This domain's number: an unbound channel to oneself shows it. */
static inline domid_t own_domid(void)
{
    struct evtchn_alloc_unbound alloc = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
    struct evtchn_status status = {.dom = DOMID_SELF};
    struct evtchn_close close;

    if (hv_event_channel_op(EVTCHNOP_alloc_unbound, &alloc) != 0)
        panic("no event channel");
    status.port = close.port = alloc.port;
    hv_event_channel_op(EVTCHNOP_status, &status);
    hv_event_channel_op(EVTCHNOP_close, &close);
    return status.u.unbound.dom;
}

/* The counts of all frames still add up. */
static inline void tap_audit(void)
{
    long differences = hypercall(AUDIT_HYPERCALL, 0, 0, 0, 0, 0);

    if (differences < 0)
        tap_skip("no audit in this hypervisor", "the audit finds no difference");
    else
        tap_is(differences, 0, "the audit finds no difference");
}

#endif
