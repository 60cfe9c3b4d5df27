/* SPDX-License-Identifier: MIT */
/*
 * crash-upcall: a domain that crashes while its event upcall is delivered must not run on.
 *
 * The upcall is the last thing on the way out to a guest. When its frame finds no stack, the domain
 * is crashed there, and the request to schedule another vcpu, a softirq, was not looked at any
 * more: the crashed vcpu returned from its hypercall and ran until the next interrupt, up to 500 ms
 * with no timer set, and could make hypercalls meanwhile.
 *
 * Here events are masked, one is pending, the stack pointer names an unmapped page, and events are
 * allowed again without a hypercall. The next one is the last thing this domain does; behind it a
 * word for the hypervisor's console would be seen if it ran on.
 *
 * Run: none (tests/system/test_entry.py)
 */
#include <stdio.h>

#include <xen/vcpu.h>

#include <pv/hypercall.h>
#include <pv/start.h>

#define NO_STACK 0x2000

static const char still_here[] = "crash-upcall: runs on after its crash\n";

int main(void)
{
    printf("stop the periodic timer: %d\n", hv_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL));
    vcpu()->evtchn_upcall_mask = 1;
    vcpu()->evtchn_upcall_pending = 1;
    __asm__ volatile("movl %0, %%esp\n\t"
                     "movb $0, %1\n\t"
                     "movl %2, %%eax\n\t"
                     "xorl %%ebx, %%ebx\n\txorl %%ecx, %%ecx\n\t"
                     "int $0x82\n\t"
                     /* Not reached. */
                     "movl %3, %%eax\n\t"
                     "movl %4, %%ebx\n\tmovl %5, %%ecx\n\tmovl %6, %%edx\n\t"
                     "int $0x82\n"
                     "1: jmp 1b"
                     :
                     : "i"(NO_STACK), "m"(vcpu()->evtchn_upcall_mask),
                       "i"(__HYPERVISOR_xen_version), "i"(__HYPERVISOR_console_io),
                       "i"(CONSOLEIO_write), "i"(sizeof(still_here) - 1), "i"(still_here)
                     : "eax", "ebx", "ecx", "edx", "memory");
    return 0;
}
