/* SPDX-License-Identifier: MIT */
/*
 * Failsafe: a guest that cannot be returned to.
 *
 * The way out of the hypervisor loads the guest's selectors again, and a descriptor may have gone
 * bad since the guest loaded it: cleared, turned into something else. Then the load, or the IRET,
 * faults in ring 0, and the guest is told by its failsafe callback, with the four data segment
 * selectors as they were below the usual frame, and null in the registers. That is how a kernel
 * learns that a program's segment is gone, without anybody having died.
 *
 * ds and es go bad under a hypercall's return, fs and gs under a switch to another vcpu, and cs, ss
 * and eip in the frame of an iret hypercall, in ring 1 and in ring 3. A callback that cannot be
 * entered either ends the domain; the word `loop` tries it (test_containment.py).
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <string.h>

#include <xen/callback.h>
#include <xen/sched.h>
#include <xen/version.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <pv/trap.h>

#define SLOT(n) ((n) << 3 | 1) /* of our GDT, RPL 1 */
#define DATA 0x00cfb2000000ffffull
#define CODE 0x00cfba000000ffffull

static uint64_t *gdt;

/* What the callback found: the frame's words, and the segment registers and mask on entry. */
struct {
    uint32_t ds, es, fs, gs, eip, cs, eflags, esp, ss;
    uint32_t now_ds, now_es, now_fs, now_gs, mask, count;
} failed;
volatile uint8_t *failed_mask;
uint32_t resume_at, resume_esp; /* where the callback goes on, if resume_at is not 0 */

/*
 * Notes all that, clears the mask, loads flat segments, and returns to the frame's place; or, if
 * that was the trouble, to resume_at.
 */
__asm__(".pushsection .text\n"
        "failsafe_callback:\n"
        "movw %ds, %ss:failed + 36\n"
        "movw %es, %ss:failed + 40\n"
        "movw %fs, %ss:failed + 44\n"
        "movw %gs, %ss:failed + 48\n"
        "pushl %eax\n"
        "movl $0xe021, %eax\n"
        "movl %eax, %ds; movl %eax, %es; movl %eax, %fs; movl %eax, %gs\n"
        "popl %eax\n"
        "popl failed; popl failed + 4; popl failed + 8; popl failed + 12\n"
        "pushl %eax\n"
        "movl 4(%esp), %eax; movl %eax, failed + 16\n"
        "movl 8(%esp), %eax; movl %eax, failed + 20\n"
        "movl 12(%esp), %eax; movl %eax, failed + 24\n"
        "movl 16(%esp), %eax; movl %eax, failed + 28\n"
        "movl 20(%esp), %eax; movl %eax, failed + 32\n"
        "movl failed_mask, %eax\n"
        "pushl %ecx; movzbl (%eax), %ecx; movl %ecx, failed + 52; popl %ecx\n"
        "movb $0, (%eax)\n"
        "incl failed + 56\n"
        "popl %eax\n"
        "cmpl $0, resume_at\n"
        "jne 1f\n"
        "iret\n"
        "1: movl resume_esp, %esp\n"
        "pushl resume_at; movl $0, resume_at\n"
        "ret\n"
        ".popsection");
extern const char failsafe_callback[];

static int set_callback(uint16_t cs, uint16_t flags)
{
    struct callback_register r = {.type = CALLBACKTYPE_failsafe,
                                  .flags = flags,
                                  .address = {cs, (unsigned long)failsafe_callback}};

    return hv_callback_op(CALLBACKOP_register, &r);
}

static bool is_64bit_hypervisor(void)
{
    xen_capabilities_info_t capabilities = "";

    hv_xen_version(XENVER_capabilities, capabilities);
    return strstr(capabilities, "x86_64") != NULL;
}

static int install(unsigned int slot, uint64_t descriptor)
{
    return hv_update_descriptor(((uint64_t)va_to_mfn(gdt) << PAGE_SHIFT) + slot * 8, descriptor);
}

/* --- data segments ---------------------------------------------------------------------------- */

/*
 * Load ds and es with selectors, and clear the descriptor in slot 2: the way out of that hypercall
 * is the one that fails. The arguments are in registers, so ds does not matter.
 */
static long clear_under(uint16_t ds, uint16_t es)
{
    uint64_t at = ((uint64_t)va_to_mfn(gdt) << PAGE_SHIFT) + 2 * 8;
    uint32_t selectors = (uint32_t)es << 16 | ds;
    long result;

    install(2, DATA);
    memset(&failed, 0, sizeof(failed));
    __asm__ volatile("movl %%edi, %%ds; shrl $16, %%edi; movl %%edi, %%es\n\t"
                     "int $0x82\n\t"
                     "movl $0xe021, %%edi; movl %%edi, %%ds; movl %%edi, %%es"
                     : "=a"(result), "+D"(selectors)
                     : "0"(__HYPERVISOR_update_descriptor), "b"((uint32_t)at),
                       "c"((uint32_t)(at >> 32)), "d"(0), "S"(0)
                     : "memory");
    return result;
}

static void test_data_segment(uint16_t ds, uint16_t es, const char *what)
{
    long result = clear_under(ds, es);

    tap_ok(result == 0 && failed.count == 1, "%s gone: the callback, and on behind the hypercall",
           what);
    tap_ok(failed.ds == ds && failed.es == es && failed.fs == FLAT_KERNEL_DS &&
               failed.gs == FLAT_KERNEL_DS && (failed.cs & 0xffff) == FLAT_KERNEL_CS,
           "%s gone: the frame has all four selectors", what);
    if (!is_64bit_hypervisor())
        tap_ok(!failed.now_ds && !failed.now_es && !failed.now_fs && !failed.now_gs,
               "%s gone: they are null in the callback", what);
}

static void test_mask(void)
{
    tap_is(failed.mask, 0, "events are on in the callback");
    set_callback(FLAT_KERNEL_CS, CALLBACKF_mask_events);
    clear_under(SLOT(2), FLAT_KERNEL_DS);
    tap_ok(failed.count == 1 && failed.mask == 1, "CALLBACKF_mask_events: they are off");
    tap_ok(failed.cs >> 16 == 0 && (failed.eflags & EFLAGS_IF), "the frame says they were on");
    set_callback(FLAT_KERNEL_CS, 0);
}

/* An event came too early, and its handler cannot load the selector either: none, and try again. */
static bool lose_selector(struct trap_frame *frame)
{
    *(uint32_t *)frame_esp(frame) = 0;
    frame->fs = frame->fs == SLOT(2) ? 0 : frame->fs;
    frame->gs = frame->gs == SLOT(2) ? 0 : frame->gs;
    return true;
}

/* fs and gs stay in the processor until another vcpu, or nobody, runs. */
static void clear_fs_gs(bool gs, uint32_t *noticed)
{
    events_off();
    install(2, DATA);
    memset(&failed, 0, sizeof(failed));
    if (gs)
        __asm__ volatile("movl %0, %%gs" : : "r"(SLOT(2)));
    else
        __asm__ volatile("movl %0, %%fs" : : "r"(SLOT(2)));
    install(2, 0);
    *noticed = failed.count;
    hv_set_timer_op(time_now() + 50 * NS_PER_MS);
    hv_sched_op(SCHEDOP_block, NULL);
    __asm__ volatile("movl %0, %%fs; movl %0, %%gs" : : "r"(FLAT_KERNEL_DS));
}

static void test_fs_gs(void)
{
    trap_hook(VECTOR_GP, lose_selector);
    for (int gs = 0; gs < 2; gs++) {
        const char *which = gs ? "gs" : "fs";
        uint32_t noticed;

        for (int tries = 0; tries < 20 && (tries == 0 || !failed.count); tries++)
            clear_fs_gs(gs, &noticed);
        if (!is_64bit_hypervisor())
            tap_is(noticed, 0, "%s gone: not noticed by a hypercall", which);
        tap_ok(failed.count == 1 && failed.fs == (gs ? FLAT_KERNEL_DS : SLOT(2)) &&
                   failed.gs == (gs ? SLOT(2) : FLAT_KERNEL_DS) && failed.ds == FLAT_KERNEL_DS,
               "%s gone: the callback after a switch", which);
    }
    trap_hook(VECTOR_GP, NULL);
}

/* --- IRET ------------------------------------------------------------------------------------- */

/*
 * The iret hypercall with this frame. It must come to the callback, which goes on at label 1 with the
 * stack as it was.
 */
static void return_to(uint32_t eip, uint32_t cs, uint32_t esp, uint32_t ss)
{
    memset(&failed, 0, sizeof(failed));
    __asm__ volatile("pushl %%ebp\n\t"
                     "movl $1f, resume_at; movl %%esp, resume_esp\n\t"
                     "pushl %[ss]; pushl %[esp]; pushl $0x202; pushl %[cs]; pushl %[eip]\n\t"
                     "pushl $0x1234\n\t"
                     "movl $23, %%eax; int $0x82\n\t"
                     "ud2\n"
                     "1: popl %%ebp"
                     :
                     : [eip] "b"(eip), [cs] "c"(cs), [esp] "d"(esp), [ss] "S"(ss)
                     : "eax", "edi", "memory", "cc");
}

static void test_return(uint32_t eip, uint32_t cs, uint32_t ss, const char *what)
{
    static uint8_t stack[1024] __attribute__((aligned(16)));
    bool outer = (cs & 3) == 3;

    hv_stack_switch(FLAT_KERNEL_SS, (uint32_t)(stack + sizeof(stack)));
    return_to(eip, cs, 0x1000, ss);
    tap_ok(failed.count == 1 && failed.eip == eip && (failed.cs & 0xffff) == cs &&
               (!outer || ((failed.ss & 0xffff) == ss && failed.esp == 0x1000)),
           "iret to %s: the callback, with that frame", what);
}

static void test_iret(void)
{
    uint32_t word;

    install(2, DATA);
    install(3, CODE);
    install(4, CODE & ~(1ull << 47));
    install(5, DATA & ~(1ull << 47));
    test_return(0x1000, 3, FLAT_USER_SS, "a null cs");
    test_return(0x1000, SLOT(2), 0, "cs: data");
    test_return(0x1000, SLOT(4), 0, "cs: not present");
    test_return(0x1000, SLOT(511), 0, "cs: beyond the table");
    test_return(0x1000, SLOT(3) | 3, FLAT_USER_SS, "ring 3, cs: DPL 1");
    test_return(0x1000, FLAT_USER_CS, 3, "ring 3, a null ss");
    test_return(0x1000, FLAT_USER_CS, FLAT_KERNEL_SS, "ring 3, ss: RPL 1");
    test_return(0x1000, FLAT_USER_CS, FLAT_USER_CS, "ring 3, ss: code");
    test_return(0x1000, FLAT_USER_CS, SLOT(5) | 3, "ring 3, ss: not present");
    if (try_read((void *)LIMIT_END, &word) || is_64bit_hypervisor()) {
        tap_skip("nobody checks limits here", "iret to an eip beyond the segment");
        return;
    }
    test_return(LIMIT_END, FLAT_KERNEL_CS, 0, "ring 1, eip beyond the segment");
    test_return(0xfffffff0, FLAT_USER_CS, FLAT_USER_SS, "ring 3, eip beyond the segment");
}

static void make_gdt(void)
{
    unsigned long mfn;

    gdt = page_alloc();
    mfn = va_to_mfn(gdt);
    if (map_page(gdt, pte_make(mfn, PAGE_KERNEL_RO)) || hv_set_gdt(&mfn, 16))
        panic("no GDT");
}

/* The callback's own segment is the one that is gone. */
static void crash(void)
{
    install(3, CODE);
    set_callback(SLOT(3), 0);
    install(3, 0);
    install(2, DATA);
    clear_under(SLOT(2), FLAT_KERNEL_DS);
}

int main(int argc, char **argv)
{
    failed_mask = &vcpu()->evtchn_upcall_mask;
    make_gdt();
    if (argc > 1 && strcmp(argv[1], "loop") == 0)
        crash();
    tap_is(set_callback(0xe008, 0), -XEN_EINVAL, "a callback in the hypervisor's segment: -EINVAL");
    tap_is(set_callback(FLAT_KERNEL_CS, 0), 0, "a failsafe callback");
    test_data_segment(SLOT(2), FLAT_KERNEL_DS, "ds");
    test_data_segment(FLAT_KERNEL_DS, SLOT(2), "es");
    test_data_segment(SLOT(2), SLOT(2), "both");
    test_mask();
    test_fs_gs();
    test_iret();
    tap_done();
}
