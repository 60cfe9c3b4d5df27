/* SPDX-License-Identifier: MIT */
/*
 * debugreg.c: the debug registers of a vcpu.
 *
 * DR0 to DR3 hold breakpoint addresses, DR7 enables them, DR6 tells which was met (SDM vol. 3,
 * 17.2). They are one set for all rings, so a guest's values are loaded into the processor only as
 * far as they cannot disturb ring 0:
 *
 *   BP1 no address from HYPERVISOR_START up is ever loaded: the hypervisor's own code and data
 *       would trap.
 *   BP2 DR7.GD, which makes MOV DRn itself trap, is refused.
 *   BP3 breakpoints on ports are kept from the processor (they would fire on the hypervisor's
 *       access on the guest's behalf) and looked at by the emulation of IN and OUT instead. They
 *       exist only with the guest's CR4.DE.
 *   BP4 of a vcpu that enabled none, nothing is loaded: DR7 stays 0, and a switch costs a
 *       comparison.
 *   BP5 the processor's DR6 is as a reset leaves it except while a #DB is taken: take_dr6() adds
 *       what it tells to the guest's and clears it. No guest's DR6 is ever loaded, or the next
 *       vcpu on this CPU would find in its own what another has written there.
 *
 * A data breakpoint on the guest's own memory may still fire in ring 0, when the hypervisor copies
 * there: the trap handler ignores a #DB from ring 0 with no breakpoint in it of ours.
 *
 * v->debugreg[7] is the guest's DR7 in full; loaded_dr7() is what of it the processor gets.
 *
 * Read next: traps/ioports.c, arch/i386/switch.c.
 */
#include <ringlet/arch.h>
#include <ringlet/domain.h>
#include <ringlet/emulate.h>
#include <ringlet/hypercall.h>
#include <ringlet/traps.h>

#define DR6_FIXED_ONE 0xffff0ff0u
#define DR6_FIXED_ZERO 0x00001000u
#define DR6_REASONS 0x0000e00fu /* B0 to B3, BD, BS, BT */
#define DR7_FIXED_ONE 0x00000400u
#define DR7_FIXED_ZERO 0x0000d800u
#define DR7_GENERAL_DETECT 0x00002000u
#define DR7_ENABLES 0x000000ffu

/*
 * DR7 has for each breakpoint two enable bits (local, global) below, and four control bits from bit
 * 16 up.
 */
#define DR7_ENABLE(i) (3u << (2 * (i)))
#define DR7_KIND(dr7, i) (((dr7) >> (16 + 4 * (i))) & 3)
#define DR7_LENGTH(dr7, i) (((dr7) >> (18 + 4 * (i))) & 3)
#define KIND_PORT 2
#define LENGTH_8 2 /* undefined outside 64-bit mode */

static inline void write_dr0_3(const uint32_t dr[4])
{
    __asm__ volatile("movl %0, %%db0\n\tmovl %1, %%db1\n\tmovl %2, %%db2\n\tmovl %3, %%db3"
                     :
                     : "r"(dr[0]), "r"(dr[1]), "r"(dr[2]), "r"(dr[3]));
}

static inline void write_dr7(uint32_t value)
{
    __asm__ volatile("movl %0, %%db7" : : "r"(value));
}

/* A #DB was taken: its reasons, as bits of DR6, which is cleared for the next (BP5). */
uint32_t take_dr6(void)
{
    uint32_t value;

    __asm__ volatile("movl %%db6, %0\n\tmovl %1, %%db6" : "=&r"(value) : "r"(DR6_FIXED_ONE));
    return value & DR6_REASONS;
}

/* This CPU's, at its start: whatever the firmware or the loader left. */
void debug_registers_init(void)
{
    write_dr7(0);
    take_dr6();
}

/* DR7 without its port breakpoints (BP3). 0: nothing is enabled. */
static uint32_t loaded_dr7(const struct vcpu *v)
{
    uint32_t dr7 = v->debugreg[7];

    for (unsigned i = 0; i < 4; i++) {
        if (DR7_KIND(dr7, i) == KIND_PORT)
            dr7 &= ~DR7_ENABLE(i) & ~(0xfu << (16 + 4 * i));
    }
    return dr7 & DR7_ENABLES ? dr7 : 0;
}

/*
 * What v enabled, into the processor: for a switch to v (DR7 is 0 then) and after a change while v
 * runs.
 */
void load_debug_registers(const struct vcpu *v)
{
    uint32_t dr7;

    if (likely(!has_breakpoints(v)))
        return;
    dr7 = loaded_dr7(v);
    if (!dr7)
        return;
    write_dr0_3(v->debugreg);
    write_dr7(dr7);
}

bool has_breakpoints(const struct vcpu *v)
{
    return v->debugreg[7] & DR7_ENABLES;
}

/* v stops running: no breakpoint of its own stays behind. */
void unload_debug_registers(const struct vcpu *v)
{
    if (unlikely(has_breakpoints(v)))
        write_dr7(0);
}

static bool dr7_ok(const struct vcpu *v, uint32_t dr7)
{
    if (dr7 & DR7_GENERAL_DETECT)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        if (!(dr7 & DR7_ENABLE(i)))
            continue;
        if (DR7_LENGTH(dr7, i) == LENGTH_8)
            return false;
        if (DR7_KIND(dr7, i) == KIND_PORT && !(v && v->cr4 & CR4_DE))
            return false;
    }
    return true;
}

static uint32_t fixed_dr6(uint32_t value)
{
    return (value | DR6_FIXED_ONE) & ~DR6_FIXED_ZERO;
}

static uint32_t fixed_dr7(uint32_t value)
{
    return (value | DR7_FIXED_ONE) & ~DR7_FIXED_ZERO;
}

/*
 * DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE takes them away. SDM vol. 3, 17.2.2.
 * false: no such register.
 */
static bool resolve_alias(const struct vcpu *v, unsigned *reg)
{
    if (*reg == 4 || *reg == 5) {
        if (v->cr4 & CR4_DE)
            return false;
        *reg += 2;
    }
    return *reg < 8;
}

/*
 * Set a debug register of v, which is current or does not run. Reserved bits are put right;
 * -ENODEV: no such register, -EPERM: BP1, BP2, or a breakpoint the processor does not define.
 */
long set_debugreg(struct vcpu *v, unsigned reg, uint32_t value)
{
    if (!resolve_alias(v, &reg))
        return -ENODEV;
    if (reg < 4 && value >= HYPERVISOR_START)
        return -EPERM;
    if (reg == 7 && !dr7_ok(v, value))
        return -EPERM;
    if (v == current)
        unload_debug_registers(v);
    if (reg == 6)
        value = fixed_dr6(value);
    else if (reg == 7)
        value = fixed_dr7(value);
    v->debugreg[reg] = value;
    if (v == current)
        load_debug_registers(v);
    return 0;
}

/*
 * Read one. -ENODEV: no such register. DR6 has the reasons of every #DB since the guest cleared it
 * (SDM vol. 3, 17.2.3).
 */
long get_debugreg(const struct vcpu *v, unsigned reg, uint32_t *value)
{
    if (!resolve_alias(v, &reg))
        return -ENODEV;
    *value = v->debugreg[reg];
    if (reg == 6)
        *value = fixed_dr6(*value);
    else if (reg == 7)
        *value = fixed_dr7(*value);
    return 0;
}

/*
 * May a vcpu context hold these (xen/arch-x86/xen.h, vcpu_guest_context.debugreg)? A new vcpu has
 * CR4.DE clear.
 */
bool debugreg_values_ok(const unsigned long dr[8])
{
    for (unsigned i = 0; i < 4; i++) {
        if (dr[i] >= HYPERVISOR_START)
            return false;
    }
    return dr7_ok(NULL, dr[7]);
}

/* The DR6 bits of v's port breakpoints that an access of `size` bytes at `port` meets. */
uint32_t io_breakpoint_hits(const struct vcpu *v, unsigned port, unsigned size)
{
    static const uint8_t lengths[4] = {1, 2, 0, 4};
    uint32_t dr7 = v->debugreg[7], hits = 0;

    if (likely(!(dr7 & DR7_ENABLES)) || !(v->cr4 & CR4_DE))
        return 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t start = v->debugreg[i], length = lengths[DR7_LENGTH(dr7, i)];

        if ((dr7 & DR7_ENABLE(i)) && DR7_KIND(dr7, i) == KIND_PORT && start < port + size &&
            port < start + length)
            hits |= 1u << i;
    }
    return hits;
}

/* set_debugreg and get_debugreg hypercalls (xen/xen.h): register number and value; -Exxx above. */
asmlinkage long do_set_debugreg(uint32_t reg, uint32_t value)
{
    return set_debugreg(current, reg, value);
}
HYPERCALL(set_debugreg);

asmlinkage long do_get_debugreg(uint32_t reg)
{
    uint32_t value;
    long rc = get_debugreg(current, reg, &value);

    return rc ? rc : (long)value;
}
HYPERCALL(get_debugreg);
