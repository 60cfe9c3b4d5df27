/* SPDX-License-Identifier: MIT */
/*
 * FPU: the x87 and SSE registers of two vcpus that take turns on one processor.
 *
 * There is one set of registers, and they are loaded late: a vcpu that does not use them costs
 * nothing, and the first use faults into the hypervisor, unseen. Each vcpu here fills all of them,
 * control words included, with a pattern of its own, gives the processor away, and finds them as
 * they were, a thousand times. A vcpu that has never used them finds what a reset leaves: nothing
 * of anybody else's. And the virtual CR0.TS of one is not that of the other.
 *
 * Run: qemu bochs
 * Machine: mem=256 cmdline=dom0_max_vcpus=2
 */
#include <stdint.h>
#include <string.h>

#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/trap.h>

#define ROUNDS 1000

/* SDM vol. 1, 10.5.1: the FXSAVE area, as far as it holds state of registers. */
struct fxsave {
    uint16_t control, status;
    uint8_t tags, reserved[19];
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16], xmm[8][16];
    uint8_t rest[224];
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct fxsave) == 512, "FXSAVE");

static inline void save(struct fxsave *to)
{
    __asm__ volatile("fxsave %0" : "=m"(*to));
}

static inline void load(const struct fxsave *from)
{
    __asm__ volatile("fxrstor %0" : : "m"(*from));
}

/* A pattern that tells the vcpu, the round and the register; rounding modes differ, too. */
static void fill(struct fxsave *f, uint32_t id, uint32_t round)
{
    memset(f, 0, sizeof(*f));
    f->control = 0x37f ^ (id + 1) << 10;
    f->tags = 0xff;
    f->mxcsr = 0x1f80 | (id + 1) << 13;
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t byte = 0; byte < 16; byte++) {
            f->xmm[i][byte] = 1 + id * 64 + i * 8 + byte + round;
            f->st[i][byte] = byte < 10 ? f->xmm[i][byte] ^ 0x55 : 0;
        }
}

static bool same(const struct fxsave *a, const struct fxsave *b)
{
    if (a->control != b->control || a->tags != b->tags || a->mxcsr != b->mxcsr ||
        memcmp(a->xmm, b->xmm, sizeof(a->xmm)) != 0)
        return false;
    for (int i = 0; i < 8; i++)
        if (memcmp(a->st[i], b->st[i], 10) != 0)
            return false;
    return true;
}

static void yield(void)
{
    hv_sched_op(SCHEDOP_yield, NULL);
}

/* Rounds of a vcpu in which it did not find what it had left. */
static uint32_t keep_turns(uint32_t id)
{
    static struct fxsave mine[2], now[2];
    uint32_t bad = 0;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        fill(&mine[id], id, round);
        load(&mine[id]);
        yield();
        save(&now[id]);
        bad += !same(&mine[id], &now[id]);
    }
    return bad;
}

/* --- the second vcpu --------------------------------------------------------------------------- */

static struct fxsave first_seen;
static volatile uint32_t second_bad, nm_count, stage, first_turns;

/* #NM of the second vcpu. TS is clear again: return, and the instruction works. */
void count_nm(void);
__asm__(".pushsection .text\n"
        "count_nm_stub: pushl %eax; pushl %ecx; pushl %edx\n"
        "call count_nm\n"
        "popl %edx; popl %ecx; popl %eax\n"
        "iret\n"
        ".popsection");
extern const char count_nm_stub[];

void count_nm(void)
{
    nm_count++;
}

static void wait_for(uint32_t wanted)
{
    while (stage < wanted)
        yield();
}

static void __attribute__((noreturn)) second(void)
{
    static struct fxsave scratch;

    save(&first_seen);
    stage = 1;
    wait_for(2);
    second_bad = keep_turns(1);
    hv_fpu_taskswitch(1);
    stage = 3;
    wait_for(4);
    save(&scratch);
    stage = 5;
    for (;;)
        hv_vcpu_op(VCPUOP_down, 1, NULL);
}

static void start_second(void)
{
    static struct vcpu_guest_context context;
    static uint8_t stack[8192] __attribute__((aligned(16)));
    struct cpu_user_regs *regs = &context.user_regs;

    context.flags = VGCF_in_kernel;
    regs->cs = FLAT_KERNEL_CS;
    regs->ss = regs->ds = regs->es = regs->fs = regs->gs = FLAT_KERNEL_DS;
    regs->eip = (unsigned long)second;
    regs->esp = (unsigned long)(stack + sizeof(stack) - 16);
    context.kernel_ss = FLAT_KERNEL_SS;
    context.kernel_sp = regs->esp;
    context.ctrlreg[3] = xen_pfn_to_cr3(base_mfn());
    context.trap_ctxt[VECTOR_NM] = (struct trap_info){
        .vector = VECTOR_NM, .cs = FLAT_KERNEL_CS, .address = (unsigned long)count_nm_stub};
    tap_is(hv_vcpu_op(VCPUOP_initialise, 1, &context), 0, "a second vcpu");
}

static void test_first_use(void)
{
    static struct fxsave mine, now;
    static const struct fxsave clean = {.control = 0x37f, .mxcsr = 0x1f80};
    int up;

    fill(&mine, 0, 7);
    load(&mine);
    up = hv_vcpu_op(VCPUOP_up, 1, NULL);
    wait_for(1);
    save(&now);
    __asm__ volatile("fninit"); /* printf's doubles */
    tap_is(up, 0, "it is up");
    tap_ok(same(&first_seen, &clean), "the second vcpu's first look finds registers at reset");
    tap_ok(same(&mine, &now), "this one's are as they were");
}

static void test_turns(void)
{
    uint32_t bad;

    stage = 2;
    bad = keep_turns(0);
    wait_for(3);
    __asm__ volatile("fninit");
    tap_is(bad, 0, "%d turns: this vcpu's registers are as they were", ROUNDS);
    tap_is(second_bad, 0, "and so are the second's");
}

/* The second has set its TS: using the FPU here must not fault, and must not clear it there. */
static void test_ts(void)
{
    static struct fxsave scratch;

    save(&scratch);
    load(&scratch);
    stage = 4;
    wait_for(5);
    tap_is(nm_count, 1, "the second vcpu's TS is its own: one #NM there, none here");
}

int main(void)
{
    start_second();
    test_first_use();
    test_turns();
    test_ts();
    tap_done();
}
