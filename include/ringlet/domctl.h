/* SPDX-License-Identifier: MIT */
/*
 * domctl.h: the control operations on domains, one function each, registered by DOMCTL() and called
 * by xen/domctl.c.
 *
 * `d` is the domain named in the request, on which the dispatcher holds a reference; `op` is the
 * hypervisor's copy of the request. A function returns 0 or -Exxx; -ERESTART: call again with the same
 * request.
 */
#ifndef RINGLET_DOMCTL_H
#define RINGLET_DOMCTL_H

#include <ringlet/domain.h>
#include <ringlet/module.h>
#include <xen/domctl.h>

/* What a command wants of the dispatcher. */
#define DOMCTL_ANSWERS 0x1        /* the request is copied back to the caller when it succeeded */
#define DOMCTL_NOT_SELF 0x2       /* pauses its domain: a caller may not name its own: -EINVAL */
#define DOMCTL_NO_DOMAIN 0x4      /* the domain named need not exist; d is NULL then */
#define DOMCTL_ANSWERS_ERRORS 0x8 /* the request is copied back when the command failed, too */

/* DOMCTL(name, flags): domctl_name() carries out XEN_DOMCTL_name. A command has one function. */
struct domctl_record {
    uint32_t cmd;
    unsigned flags;
    int (*fn)(struct domain *d, struct xen_domctl *op);
};
MODULE_RECORDS(struct domctl_record, domctl);
#define DOMCTL(name, wants)                                                                     \
    MODULE_RECORD(struct domctl_record, domctl, domctl_record_##name, .cmd = XEN_DOMCTL_##name, \
                  .flags = (wants), .fn = domctl_##name)

/* xen/domctl_domain.c */
void get_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);

#endif
