/* SPDX-License-Identifier: MIT */
/*
 * table.c: the hypercall table, in the order of the ABI's numbers (xen/xen.h), and the page of
 * stubs guests call.
 *
 * entry.S calls hypercall_table[eax] with the six argument registers on the stack. Each hypercall
 * registers itself where it is defined, by HYPERCALL() (module.h): `git grep HYPERCALL` is the list.
 * A number that nobody registered answers -ENOSYS.
 */
#include <ringlet/domain.h>
#include <ringlet/hypercall.h>

/*
 * The table holds functions of many types; all are asmlinkage, take up to six words and return a
 * long.
 */
typedef asmlinkage long (*hypercall_fn)(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);

static asmlinkage long do_ni_hypercall(void)
{
    return -ENOSYS;
}

/*
 * Written at boot only, by hypercalls_init(). The last entry stands for every number that is too
 * large: entry.S has one way into C for all numbers.
 */
extern hypercall_fn hypercall_table[NR_HYPERCALLS + 1];
hypercall_fn hypercall_table[NR_HYPERCALLS + 1];

/*
 * walk 18: The table fills itself
 *
 * Claim: No file lists the hypercalls. Each is registered where it is defined by HYPERCALL(), which
 * puts a record into a section of its own; the linker gathers the records and this loop makes the
 * table of them. A number that nobody registered answers -ENOSYS. Domain control, event, grant and
 * memory operations, console keys and boot steps work in the same way, and so deleting a module's
 * folder takes its operations away without a change elsewhere.
 * Without it: Core files would have to name every module, and the core alone would not link.
 * Shown by: tests/system/test_core.py::test_the_rule_is_checked,
 * tests/system/test_core.py::test_toy
 */
/* Boot: every hole, then what HYPERCALL() registered. */
void __init hypercalls_init(void)
{
    const hypercall_fn hole = (hypercall_fn)(void (*)(void))do_ni_hypercall;
    const struct hypercall_record *r;

    for (unsigned i = 0; i <= NR_HYPERCALLS; i++)
        hypercall_table[i] = hole;
    for_each_record(hypercall, r)
    {
        BUG_ON(r->nr >= NR_HYPERCALLS || hypercall_table[r->nr] != hole);
        hypercall_table[r->nr] = (hypercall_fn)r->fn;
    }
}

/* Carry out one hypercall from C (an entry of a multicall). */
long call_hypercall(unsigned op, const uint32_t args[6])
{
    if (op >= NR_HYPERCALLS)
        return -ENOSYS;
    return hypercall_table[op](args[0], args[1], args[2], args[3], args[4], args[5]);
}

#define STUB_SIZE 32
#define STUBS (PAGE_SIZE / STUB_SIZE)

/*
 * Fill a page with one stub a hypercall, 32 bytes apart: mov $n, %eax; int $0x82; ret. That of iret
 * saves eax first, for the hypercall to restore, and does not return. The rest of each stub is
 * INT3.
 */
void write_hypercall_page(void *page)
{
    uint8_t *stub = page;

    memset(page, 0xcc, PAGE_SIZE);
    for (uint32_t i = 0; i < STUBS; i++, stub += STUB_SIZE) {
        uint8_t *p = stub;

        if (i == __HYPERVISOR_iret)
            *p++ = 0x50; /* push %eax */
        *p++ = 0xb8;     /* mov $i, %eax */
        memcpy(p, &i, sizeof(i));
        p += sizeof(i);
        *p++ = 0xcd; /* int $0x82 */
        *p++ = HYPERCALL_VECTOR;
        if (i != __HYPERVISOR_iret)
            *p = 0xc3; /* ret */
    }
}
