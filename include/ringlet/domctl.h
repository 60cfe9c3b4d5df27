/* SPDX-License-Identifier: MIT */
/*
 * domctl.h: the control operations on domains, one function each, as xen/domctl.c's table calls
 * them.
 *
 * `d` is the domain named in the request, on which the dispatcher holds a reference; `op` is the
 * hypervisor's copy of the request. 0 or -Exxx; -ERESTART: call again with the same request.
 */
#ifndef RINGLET_DOMCTL_H
#define RINGLET_DOMCTL_H

#include <ringlet/domain.h>
#include <xen/domctl.h>

/* xen/domctl_domain.c: life, death and properties of a domain as a whole */
int domctl_createdomain(struct domain *unused, struct xen_domctl *op);
int domctl_destroydomain(struct domain *d, struct xen_domctl *op);
int domctl_pausedomain(struct domain *d, struct xen_domctl *op);
int domctl_unpausedomain(struct domain *d, struct xen_domctl *op);
int domctl_resumedomain(struct domain *d, struct xen_domctl *op);
int domctl_getdomaininfo(struct domain *d, struct xen_domctl *op);
int domctl_max_mem(struct domain *d, struct xen_domctl *op);
int domctl_setdomainhandle(struct domain *d, struct xen_domctl *op);
int domctl_setdebugging(struct domain *d, struct xen_domctl *op);
int domctl_settimeoffset(struct domain *d, struct xen_domctl *op);
int domctl_set_address_size(struct domain *d, struct xen_domctl *op);
int domctl_get_address_size(struct domain *d, struct xen_domctl *op);
int domctl_settscinfo(struct domain *d, struct xen_domctl *op);
int domctl_gettscinfo(struct domain *d, struct xen_domctl *op);
void get_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);

/* xen/domctl_vcpu.c: single vcpus */
int domctl_max_vcpus(struct domain *d, struct xen_domctl *op);
int domctl_setvcpucontext(struct domain *d, struct xen_domctl *op);
int domctl_getvcpucontext(struct domain *d, struct xen_domctl *op);
int domctl_getvcpuinfo(struct domain *d, struct xen_domctl *op);
int domctl_sendtrigger(struct domain *d, struct xen_domctl *op);

/* xen/domctl_sched.c: shares of the processors, and where vcpus run */
int domctl_setvcpuaffinity(struct domain *d, struct xen_domctl *op);
int domctl_getvcpuaffinity(struct domain *d, struct xen_domctl *op);
int domctl_setnodeaffinity(struct domain *d, struct xen_domctl *op);
int domctl_getnodeaffinity(struct domain *d, struct xen_domctl *op);
int domctl_scheduler_op(struct domain *d, struct xen_domctl *op);

/* xen/domctl_shadow.c: which frames a domain writes */
int domctl_shadow_op(struct domain *d, struct xen_domctl *op);

/* xen/domctl_access.c: frames of a domain, and what of the machine it may touch */
int domctl_hypercall_init(struct domain *d, struct xen_domctl *op);
int domctl_getpageframeinfo3(struct domain *d, struct xen_domctl *op);
int domctl_iomem_permission(struct domain *d, struct xen_domctl *op);
int domctl_ioport_permission(struct domain *d, struct xen_domctl *op);
int domctl_irq_permission(struct domain *d, struct xen_domctl *op);

#endif
