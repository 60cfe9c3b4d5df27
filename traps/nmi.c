/* SPDX-License-Identifier: MIT */
/*
 * nmi.c: NMIs sent to a guest (VCPUOP_send_nmi, DOMCTL_sendtrigger), delivered to the callback it
 * registered.
 *
 * Like a processor's, a guest's NMI ignores the event mask and does not nest: it is masked until
 * the next iret hypercall.
 *
 * An NMI for a vcpu that has registered no callback is lost when the vcpu runs next, as in Xen. Left
 * pending it would never be taken, and keep the vcpu from blocking for good.
 */
#include <ringlet/domain.h>
#include <ringlet/module.h>
#include <ringlet/sched.h>
#include <ringlet/traps.h>

/* Softirq: on the way out to the guest. */
static void nmi_softirq(void)
{
    struct vcpu *v = current;

    if (!v->nmi_pending || v->nmi_masked)
        return;
    v->nmi_pending = false;
    if (!v->nmi_eip)
        return;
    v->nmi_masked = true;
    bounce_nmi();
}

static void __init nmi_init(void)
{
    softirq_register(SOFTIRQ_NMI, nmi_softirq);
}
BOOT_STEP(BOOT_SERVICES, nmi_init);

/* v may have an NMI to take: when it is switched in, and when an iret ends the last one. */
void nmi_recheck(const struct vcpu *v)
{
    if (v->nmi_pending)
        raise_softirq(SOFTIRQ_NMI);
}

void send_guest_trap_nmi(struct vcpu *v)
{
    __atomic_store_n(&v->nmi_pending, true, __ATOMIC_SEQ_CST); /* before its CPU is read */
    vcpu_unblock(v);
    raise_softirq_on(v->processor, SOFTIRQ_NMI);
}
