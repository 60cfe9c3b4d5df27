/* SPDX-License-Identifier: MIT */
/*
 * domctl.h: the control operations (xen/domctl.h), for test guests that run as the initial domain.
 *
 * A guest fills ctl.u and calls domctl(); what the hypervisor answers stands in ctl.
 */
#ifndef GUESTS_DOMCTL_H
#define GUESTS_DOMCTL_H

#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1
#endif

#include <stdint.h>

#include <xen/domctl.h>

#include <pv/hypercall.h>

static struct xen_domctl ctl;

/* Command `cmd` on `domain`. 0 or -XEN_Exxx. */
static inline int domctl(uint32_t cmd, domid_t domain)
{
    ctl.cmd = cmd;
    ctl.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    ctl.domain = domain;
    return hv_domctl(&ctl);
}

#endif
