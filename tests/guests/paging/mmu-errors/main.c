/* SPDX-License-Identifier: MIT */
/*
 * The page-table hypercalls' answers when something is wrong: the error, the count of what was done
 * before it, and nothing half changed.
 *
 * A guest that batches its updates learns from `done` where to go on; a wrong count means an entry
 * skipped or written twice. Each case is one bad request, often in the middle of good ones. The
 * expected answers are those of Xen 4.17 for a 32-bit guest, on which this guest passes too; where
 * it answers otherwise the case names both (docs/security-tests.md says why).
 *
 * Run: qemu
 */
#include "../../attack.h"

#define NOBODY 999     /* a domain number in nobody's use */
#define BIG 0x10000000 /* requests of which there is no room for so many */

static void *page;
static uint32_t mfn;
static char *window; /* eight unmapped pages with a page table */
static pte_t good;

static uint64_t slot(int i)
{
    return pte_machine_address(window + i * PAGE_SIZE);
}

/* --- mmu_update ------------------------------------------------------------------------------- */

/* Three requests, the middle one given: error and count, the first done, the third not. */
static void middle(uint64_t ptr, pte_t val, int error, const char *what)
{
    struct mmu_update list[3] = {{slot(0), good}, {ptr, val}, {slot(2), good}};
    unsigned int done = 77;
    int rc = hv_mmu_update(list, 3, &done, DOMID_SELF);

    tap_is(rc, error, "mmu_update: %s", what);
    tap_is(done, 1, "... one was done before it");
    tap_ok((pte_read(window, 1) & PTE_P) && !(pte_read(window + 2 * PAGE_SIZE, 1) & PTE_P),
           "... which stands, and what follows was not");
    map_page(window, 0);
}

static void whole(struct mmu_update *list, unsigned int count, uint32_t domid, int error,
                  const char *what)
{
    tap_is(hv_mmu_update(list, count, NULL, domid), error, "mmu_update: %s", what);
}

static void test_updates(void)
{
    struct mmu_update one = {slot(1), good}, bad = {slot(1), pte_make(base_mfn(), PAGE_KERNEL)};
    unsigned int done = 77;

    middle(slot(1), pte_make(0xFFFFFFF0, PAGE_KERNEL), -XEN_EPERM, "a frame there is not");
    middle(slot(1), pte_make(base_mfn(), PAGE_KERNEL), -XEN_EBUSY, "a page table, writable");
    middle(slot(1), pte_make(0x7F8, PAGE_KERNEL), -XEN_EBUSY, "another's frame");
    if (is_64bit_hypervisor()) {
        tap_skip("there the processor's long mode allows them", "global pages, bits 52 and up");
    } else {
        middle(slot(1), good | PTE_PS << 1, -XEN_EINVAL, "a global page");
        middle(slot(1), good | 1ull << 52, -XEN_EINVAL, "a reserved bit");
    }
    middle(entry_of(directory_of(VIRT_BASE), FIRST_HYPERVISOR_SLOT + 20), 0, -XEN_EPERM,
           "an entry of the hypervisor's");
    middle(entry_of((void *)start_info->pt_base, 3), 0, -XEN_EINVAL, "slot 3 of the root");
    middle((uint64_t)0xFFFFFFF0 << PAGE_SHIFT, good, -XEN_EINVAL, "an entry in no frame");
    middle(0xFFFFFFFF00000008, good, -XEN_EINVAL, "an entry nowhere");
    whole(&(struct mmu_update){0xFFFFFFFF00000008, good}, 1, DOMID_SELF, -XEN_EINVAL,
          "an entry nowhere, alone");

    whole((void *)HOLE_BASE, 0, DOMID_SELF, 0, "nothing to do, from anywhere");
    whole((void *)LIMIT_END, 1, DOMID_SELF, -XEN_EFAULT, "a list out of reach");
    whole((void *)0x1000, 1, DOMID_SELF, -XEN_EFAULT, "a list that is not mapped");
    if (!is_64bit_hypervisor()) /* it goes as far as it can */
        whole(&one, BIG, DOMID_SELF, -XEN_EFAULT, "a list longer than memory");
    one.ptr |= MMU_PT_UPDATE_NO_TRANSLATE;
    whole(&one, 1, DOMID_SELF, 0, "a frame number not to be translated");
    one.ptr = slot(1);
    whole(&one, 1, NOBODY, -XEN_ESRCH, "frames of nobody");
    whole(&one, 1, (NOBODY + 1) << 16 | DOMID_SELF, -XEN_ESRCH, "tables of nobody");
    tap_is(hv_mmu_update(&bad, 1, &done, DOMID_SELF), -XEN_EBUSY, "mmu_update: a bad one alone");
    tap_is(done, 0, "... none was done");
    tap_is(hv_mmu_update(&one, 1, (void *)LIMIT_END, DOMID_SELF), 0,
           "mmu_update: a count that cannot be written is not told");
    map_page(window + PAGE_SIZE, 0);
}

/* --- update_va_mapping ------------------------------------------------------------------------ */

static void va(const void *address, pte_t val, uint32_t flags, int error, const char *what)
{
    tap_is(hv_update_va_mapping(address, val, flags), error, "update_va_mapping: %s", what);
}

static void test_va(void)
{
    va(window, good, UVMF_INVLPG, 0, "as it should be");
    va(window, 0, UVMF_TLB_FLUSH | UVMF_ALL, 0, "and away");
    va((void *)0x90000000, good, UVMF_NONE, -XEN_EINVAL, "where there is no page table");
    va(window, pte_make(base_mfn(), PAGE_KERNEL), UVMF_NONE, -XEN_EBUSY, "a page table, writable");
    va(window, pte_make(0xFFFFFFF0, PAGE_KERNEL), UVMF_NONE, -XEN_EPERM, "a frame there is not");
    va((void *)0xFC000000, good, UVMF_NONE, -XEN_EINVAL, "the hypervisor's address");
    tap_is(hv_update_va_mapping_otherdomain(window, good, UVMF_NONE, NOBODY), -XEN_ESRCH,
           "update_va_mapping: of nobody");
    tap_is(pte_read(window, 1) & PTE_P, 0, "nothing is left mapped");
}

/* --- mmuext_op -------------------------------------------------------------------------------- */

static void ext(unsigned int cmd, uint32_t arg1, uint32_t arg2, int error, const char *what)
{
    struct mmuext_op list[3] = {{.cmd = MMUEXT_TLB_FLUSH_LOCAL},
                                {.cmd = cmd, .arg1.mfn = arg1, .arg2.nr_ents = arg2},
                                {.cmd = MMUEXT_TLB_FLUSH_LOCAL}};
    unsigned int done = 77;

    tap_is(hv_mmuext_op(list, 3, &done, DOMID_SELF), error, "mmuext_op: %s", what);
    tap_is(done, error ? 1 : 3, "... %d done", error ? 1 : 3);
}

static void test_ext(void)
{
    void *table = page_alloc();
    uint32_t table_mfn = linear_to_mfn(table);

    make_readonly(table);
    ext(MMUEXT_PIN_L1_TABLE, 0xFFFFFFF0, 0, -XEN_EINVAL, "pin: a frame there is not");
    ext(MMUEXT_PIN_L1_TABLE, mfn, 0, -XEN_EINVAL, "pin: a page that is writable");
    ext(MMUEXT_PIN_L3_TABLE, table_mfn, 0, -XEN_EINVAL, "pin: a root without slot 3");
    ext(MMUEXT_PIN_L1_TABLE, table_mfn, 0, 0, "pin");
    ext(MMUEXT_PIN_L1_TABLE, table_mfn, 0, -XEN_EINVAL, "pin: a second time");
    ext(MMUEXT_PIN_L2_TABLE, table_mfn, 0, -XEN_EINVAL, "pin: as something else");
    ext(MMUEXT_CLEAR_PAGE, table_mfn, 0, -XEN_EINVAL, "clear: a page table");
    ext(MMUEXT_COPY_PAGE, table_mfn, mfn, -XEN_EINVAL, "copy: onto a page table");
    ext(MMUEXT_COPY_PAGE, mfn, 0xFFFFFFF0, -XEN_EINVAL, "copy: from no frame");
    ext(MMUEXT_UNPIN_TABLE, table_mfn, 0, 0, "unpin");
    ext(MMUEXT_UNPIN_TABLE, table_mfn, 0, -XEN_EINVAL, "unpin: a second time");
    ext(MMUEXT_UNPIN_TABLE, 0xFFFFFFF0, 0, -XEN_EINVAL, "unpin: a frame there is not");
    ext(MMUEXT_NEW_BASEPTR, mfn, 0, -XEN_EINVAL, "root: an ordinary page");
    ext(MMUEXT_NEW_BASEPTR, 0xFFFFFFF0, 0, -XEN_EINVAL, "root: a frame there is not");
    ext(MMUEXT_NEW_BASEPTR, base_mfn(), 0, 0, "root: the one in use");
    ext(MMUEXT_SET_LDT, VIRT_BASE + 8, 1, -XEN_EINVAL, "LDT: not at a page");
    ext(MMUEXT_SET_LDT, VIRT_BASE, 8193, -XEN_EINVAL, "LDT: too many entries");
    ext(MMUEXT_SET_LDT, 0x1234, 8, -XEN_EINVAL, "LDT: eight entries at an odd address");
    if (!is_64bit_hypervisor()) /* its own lies elsewhere */
        ext(MMUEXT_SET_LDT, 0xFC000000, 8, -XEN_EINVAL, "LDT: eight entries of the hypervisor's");
    ext(MMUEXT_SET_LDT, 0, 0, 0, "LDT: none");
    ext(MMUEXT_SET_LDT, 0x1234, 0, 0, "LDT: none, at an odd address");
    ext(MMUEXT_SET_LDT, 0xFC000000, 0, 0, "LDT: none, at an address of the hypervisor's");
    ext(MMUEXT_TLB_FLUSH_MULTI, 0, LIMIT_END, -XEN_EINVAL, "flush: a bitmap out of reach");
    ext(1000, 0, 0, -XEN_ENOSYS, "a command there is not");
    make_writable(table);
    page_free(table);
}

int main(void)
{
    page = page_alloc();
    mfn = linear_to_mfn(page);
    window = window_alloc(8);
    good = pte_make(mfn, PAGE_KERNEL);
    pte_machine_address(window);
    test_updates();
    test_va();
    test_ext();
    tap_audit();
    tap_done();
}
