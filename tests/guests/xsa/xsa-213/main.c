/* SPDX-License-Identifier: MIT */
/*
 * XSA-213: what follows an IRET in a multicall.
 *
 * An iret hypercall changes from the guest's kernel to its user. As an entry of a multicall it did
 * so in the middle, and the entries behind it were carried out with the rights of a kernel on the
 * page tables of a user: what was checked for one was done to the other.
 *
 * This guest puts an iret between entries: to itself, and into ring 3. The ones in front must be
 * done, the iret must go where it says with EAX as it says, also where its result cannot be
 * written, and nothing behind it may be done.
 *
 * Run: qemu bochs
 */
#include "../../attack.h"

#define UNTOUCHED 0x5A5A5A5Au

static struct multicall_entry calls[4];
static uint32_t *page;

/* A version, the iret, then an unmapping of the page and a version. */
static void prepare(void)
{
    pte_t none = 0;

    memset(calls, 0, sizeof(calls));
    for (int i = 0; i < 4; i++)
        calls[i].result = UNTOUCHED;
    calls[0].op = __HYPERVISOR_xen_version;
    calls[1].op = __HYPERVISOR_iret;
    calls[2].op = __HYPERVISOR_update_va_mapping;
    calls[2].args[0] = (unsigned long)page;
    calls[2].args[1] = (uint32_t)none;
    calls[2].args[3] = UVMF_INVLPG;
    calls[3].op = __HYPERVISOR_xen_version;
}

static void judge(const char *what)
{
    uint32_t word;

    tap_ok(calls[0].result >> 16 >= 3, "%s: the entry in front is done", what);
    tap_ok(try_read(page, &word), "%s: the page of the next one is still mapped", what);
    tap_is(calls[2].result, (long)UNTOUCHED, "%s: it has no result", what);
    tap_is(calls[3].result, (long)UNTOUCHED, "%s: nor has the last", what);
}

/* The frame of an iret hypercall: EAX to load, EIP, CS, EFLAGS. It returns to label 1. */
static void iret_to_self(const struct multicall_entry *list, uint32_t n, const char *what)
{
    uint32_t eax = __HYPERVISOR_multicall, came_back = 0;

    __asm__ volatile("pushfl\n"
                     "orl $0x200, (%%esp)\n"
                     "pushl %%cs\n"
                     "pushl $1f\n"
                     "pushl $0x1234\n"
                     "int $0x82\n"
                     "addl $16, %%esp\n"
                     "jmp 2f\n"
                     "1: movl $1, %1\n"
                     "2:\n"
                     : "+a"(eax), "+r"(came_back)
                     : "b"(list), "c"(n)
                     : "memory", "cc");
    tap_ok(came_back, "%s: the iret goes where its frame says", what);
    tap_is(eax, 0x1234, "%s: with EAX from its frame", what);
}

/* The iret's entry can be read, but its result not be written: whom would that error be told? */
static void iret_without_result(void)
{
    struct multicall_entry *list = page_alloc();

    *list = calls[1];
    make_readonly(list);
    iret_to_self(list, 1, "no result");
}

/* Ring 3 at USER_BASE, where a system call waits: user_run()'s catcher of it is not in place, so
 * the hook takes the frame and goes back to the kernel. */
static uint32_t resume_eip, resume_esp, user_eax;

static bool from_user(struct trap_frame *frame)
{
    if (!frame_from_user(frame))
        return false;
    user_eax = frame->eax;
    __asm__ volatile("movl %0, %%esp; jmp *%1" : : "r"(resume_esp), "r"(resume_eip));
    return true;
}

static void iret_to_user(void)
{
    uint8_t *code = page_alloc();
    uint32_t arrived;

    map_page((void *)USER_BASE, pte_make(linear_to_mfn(code), PAGE_USER));
    memcpy(code, "\xcd\x80", 2);
    prepare();
    trap_hook(VECTOR_SYSCALL, from_user);
    __asm__ volatile("pushal\n"
                     "movl $1f, %2\n"
                     "leal -4096(%%esp), %%ecx\n" /* the kernel's stack for the system call */
                     "movl %%esp, %1\n"
                     "movl %6, %%ebx\n"
                     "movl %7, %%eax\n"
                     "int $0x82\n"
                     "movl %1, %%esp\n"
                     "pushl %8; pushl $%c9; pushl $0x202; pushl %8\n"
                     "addl $16, %%esp\n"
                     "pushl %8\n"      /* SS */
                     "pushl %5\n"      /* ESP */
                     "pushl $0x202\n"  /* EFLAGS */
                     "pushl $%c10\n"   /* CS */
                     "pushl %4\n"      /* EIP */
                     "pushl $0x4321\n" /* EAX */
                     "movl %3, %%ebx\n"
                     "movl $4, %%ecx\n"
                     "movl %11, %%eax\n"
                     "int $0x82\n"
                     "movl %1, %%esp\n"
                     "1: popal\n"
                     "cld\n"
                     : "=m"(arrived), "=m"(resume_esp), "=m"(resume_eip)
                     : "i"(calls), "i"(USER_BASE), "i"(USER_BASE + 4096), "i"(FLAT_KERNEL_SS),
                       "i"(__HYPERVISOR_stack_switch), "i"(FLAT_USER_DS), "i"(0), "i"(FLAT_USER_CS),
                       "i"(__HYPERVISOR_multicall)
                     : "memory", "cc");
    __asm__ volatile("movw %w0, %%fs; movw %w0, %%gs; movw %w0, %%ds; movw %w0, %%es"
                     :
                     : "r"(FLAT_KERNEL_DS));
    trap_hook(VECTOR_SYSCALL, NULL);
    tap_is(user_eax, 0x4321, "to ring 3: it is reached, with EAX from the frame");
    judge("to ring 3");
    map_page((void *)USER_BASE, 0);
}

int main(void)
{
    page = page_alloc();
    prepare();
    iret_to_self(calls, 4, "to itself");
    judge("to itself");
    iret_without_result();
    iret_to_user();
    tap_audit();
    tap_done();
}
