/* SPDX-License-Identifier: MIT */
/*
 * What a guest knows when its main() runs, and the ways it ends.
 *
 * start.S receives the processor from the domain's builder, setup.c prepares every service of
 * this library (traps, events, memory, time, console) and calls
 *
 *     int main(int argc, char **argv)
 *
 * with the words of the command line; argv[0] is the guest's name. When main returns, the domain
 * powers off.
 *
 * Next: lib/start.S, lib/setup.c.
 */
#ifndef PV_START_H
#define PV_START_H

#include <stdbool.h>
#include <stdint.h>

#include <pv/hypercall.h>

/* setup.c */

/* The builder's description of this domain, and the page shared with the hypervisor. */
extern struct start_info *start_info;
extern struct shared_info shared_info_page;

static inline volatile struct shared_info *shared(void)
{
    return &shared_info_page;
}

/* This domain has one vcpu; its events, CR2 and time are in the first vcpu_info. */
static inline volatile struct vcpu_info *vcpu(void)
{
    return &shared_info_page.vcpu_info[0];
}

/* True in the domain the hypervisor built itself: console_io, domctl and the machine are its. */
static inline bool is_initial_domain(void)
{
    return start_info->flags & SIF_INITDOMAIN;
}

/* The ramdisk (start_info's module), already in the linear map; *size is 0 where there is none. */
const void *ramdisk(uint32_t *size);

/* Whether the hypervisor offers XENFEAT_* (xen/features.h). */
bool has_feature(unsigned int feature);

/* End this domain for one of SHUTDOWN_poweroff, _reboot, _crash (xen/sched.h). */
void domain_shutdown(unsigned int reason) __attribute__((noreturn));

/* Say what cannot be true or cannot be survived, printf style, and crash this domain. */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* memory.c, trap.c, event.c, time.c, console.c, grant.c: called once by setup.c, in this order */
void memory_init(uint32_t first_free);
void trap_init(void);
void event_init(void);
void console_init(void);
void time_init(void);

#endif
