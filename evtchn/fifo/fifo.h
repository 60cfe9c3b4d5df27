/* SPDX-License-Identifier: MIT */
/*
 * fifo.h: what sets the FIFO ABI up, for the host tests of several CPUs, which make no hypercalls.
 */
#ifndef RINGLET_FIFO_H
#define RINGLET_FIFO_H

#include <ringlet/domain.h>

/* evtchn_lock of the domain is held. Errors: the operations of the same names. */
int fifo_init_control(struct domain *d, struct vcpu *v, uint64_t mfn, uint32_t offset);
int fifo_expand_array(struct domain *d, uint64_t mfn);

#endif
