/* SPDX-License-Identifier: MIT */
/*
 * domctl.h - the hypercall only the control domain may make, as plain functions.
 *
 * The public header's structures need __XEN_TOOLS__, which changes other headers too; they stay in
 * domctl.c. Every function answers 0 or a negative number of xen/errno.h.
 */
#ifndef DOM0_DOMCTL_H
#define DOM0_DOMCTL_H

#include <stdbool.h>
#include <stdint.h>

struct domain_info {
    uint16_t domid;
    bool dying, shutdown, paused, blocked, running;
    unsigned int shutdown_reason; /* SHUTDOWN_* of xen/sched.h, when shutdown */
    uint32_t pages;
    uint32_t shared_info_mfn;
    uint32_t vcpus;
    uint64_t cpu_ns;
};

/* How a vcpu starts: addresses in the guest, and the frame of its level-3 table. */
struct start_state {
    uint32_t eip, esp, esi;
    uint32_t cr3_mfn;
    bool extended_cr3; /* the guest takes page tables above 4 GiB */
};

/* domctl.c */

/*
 * A new domain without memory, paused, with so many vcpus to be. *domid is the number it is to have,
 * or 0; and then the one it has.
 */
int domctl_create(uint16_t *domid, unsigned int vcpus);
int domctl_max_vcpus(uint16_t domid, unsigned int vcpus);
int domctl_max_mem(uint16_t domid, uint32_t kib);
/* A domain of 32-bit guests; to be called while it has no memory. */
int domctl_32_bit(uint16_t domid);
/* Parts of the machine that it may use from now on. */
int domctl_permit_ports(uint16_t domid, uint32_t first, uint32_t last);
int domctl_permit_frames(uint16_t domid, uint32_t first, uint32_t last);
/* A line, which it will know by the PIRQ of the same number. */
int domctl_permit_line(uint16_t domid, uint32_t line);
/* Write the hypercall page into a frame of the domain. */
int domctl_hypercall_page(uint16_t domid, uint32_t mfn);
int domctl_start_state(uint16_t domid, const struct start_state *state);
int domctl_pause(uint16_t domid);
int domctl_unpause(uint16_t domid);
/* A domain that suspended itself goes on, told that it was not saved. */
int domctl_resume(uint16_t domid);
/* Have the hypervisor end it, as if it had crashed. */
int domain_crash(uint16_t domid);
/*
 * A domain's weight (0: as it is) and cap (SHARE_AS_IT_IS), by the credit scheduler's parameters;
 * what they are then is returned in them.
 */
#define SHARE_AS_IT_IS UINT16_MAX
int domctl_share(uint16_t domid, unsigned int *weight, unsigned int *cap);
/* A vcpu runs on these processors only, a bit each; those of them that there are are returned. */
int domctl_pin(uint16_t domid, unsigned int vcpu, uint32_t *cpus);
/* What a vcpu does; -XEN_EINVAL or -XEN_ESRCH: there is no such vcpu. */
struct vcpu_state {
    const char *what;
    uint32_t cpu, allowed; /* where it is or was last; where it may be, a bit each */
    uint64_t ran_ns;
};
int domctl_vcpu(uint16_t domid, unsigned int vcpu, struct vcpu_state *state);
/*
 * Which pages a domain writes: LOG_ON and LOG_OFF; LOG_PEEK tells, LOG_CLEAN tells and begins anew.
 * *pages bits of the bitmap are wanted, a bit a pfn, and *pages says how many there are.
 */
enum log_op { LOG_OFF, LOG_ON, LOG_PEEK, LOG_CLEAN };
struct log_counts {
    uint32_t dirty, faults;
};
int domctl_log(uint16_t domid, enum log_op op, uint8_t *bitmap, uint32_t *pages,
               struct log_counts *counts);
/* Each of up to 1024 frame numbers becomes what that frame is: XEN_DOMCTL_PFINFO_*. */
int domctl_frames(uint16_t domid, uint32_t *frames, uint32_t count);
/* Destroy: the domain is dying at once, and gone when nobody maps its frames any more. */
int domctl_destroy(uint16_t domid);
/* The first domain numbered domid or higher; -XEN_ESRCH: there is none. */
int domctl_next(uint16_t domid, struct domain_info *info);
/* Exactly this domain. */
int domctl_info(uint16_t domid, struct domain_info *info);

/* As if the key were typed at the hypervisor's own console. */
void debug_key(char key);

/* How many processors the machine has, by sysctl; 0 when it does not say. */
uint32_t host_processors(void);

/* Frames of the machine that are nobody's, by sysctl; 0 when it does not say. */
uint32_t host_free_pages(void);

#endif
