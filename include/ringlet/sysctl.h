/* SPDX-License-Identifier: MIT */
/*
 * sysctl.h: the control operations on the machine, one function each, registered by SYSCTL() and
 * called by the dispatcher in xen/tools/sysctl.c.
 *
 * `op` is the hypervisor's copy of the request, copied back to the caller after success. A function
 * returns 0 or -Exxx.
 */
#ifndef RINGLET_SYSCTL_H
#define RINGLET_SYSCTL_H

#include <ringlet/module.h>
#include <xen/sysctl.h>

/* SYSCTL(name): sysctl_name() carries out XEN_SYSCTL_name. A command has one function. */
struct sysctl_record {
    uint32_t cmd;
    int (*fn)(struct xen_sysctl *op);
};
MODULE_RECORDS(struct sysctl_record, sysctl);
#define SYSCTL(name)                                                                            \
    MODULE_RECORD(struct sysctl_record, sysctl, sysctl_record_##name, .cmd = XEN_SYSCTL_##name, \
                  .fn = sysctl_##name)

#endif
