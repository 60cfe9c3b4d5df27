/* SPDX-License-Identifier: MIT */
/*
 * Debug facilities: what helps those who look into the hypervisor is not for its guests.
 *
 * Hypercall 55 recomputes the counts of all frames with every CPU standing still and interrupts off,
 * a quarter of a second on a machine with 3 GiB, and debug builds, which are the default, served it
 * to any guest: a loop of it left the others no processor time at all. This guest, an ordinary
 * domain, asks for that and for everything else that is there for debugging: the console keys, the
 * ring of past output, trace buffers, performance and lock counters, the watch on another domain's
 * registers, the typed input, the boot command line, and every number the ABI leaves to the
 * architecture. Each must be refused.
 *
 * Words: `allowed`: the command line says guest_audit, and the audit must answer.
 *
 * Run: none
 */
#define __XEN_TOOLS__
#include <stdio.h>
#include <string.h>

#include <xen/domctl.h>
#include <xen/platform.h>
#include <xen/sysctl.h>
#include <xen/version.h>

#include <pv/start.h>
#include <pv/tap.h>

#define AUDIT_HYPERCALL 55 /* __HYPERVISOR_arch_7 */

static char buffer[4096];

static void sysctls(void)
{
    static const struct {
        uint32_t cmd;
        const char *name;
    } commands[] = {
        {XEN_SYSCTL_readconsole, "readconsole"},
        {XEN_SYSCTL_tbuf_op, "tbuf_op"},
        {XEN_SYSCTL_perfc_op, "perfc_op"},
        {XEN_SYSCTL_debug_keys, "debug_keys"},
        {XEN_SYSCTL_lockprof_op, "lockprof_op"},
        {XEN_SYSCTL_getcpuinfo, "getcpuinfo"},
        {XEN_SYSCTL_page_offline_op, "page_offline_op"},
        {XEN_SYSCTL_livepatch_op, "livepatch_op"},
    };

    for (unsigned int i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct xen_sysctl op = {.cmd = commands[i].cmd,
                                .interface_version = XEN_SYSCTL_INTERFACE_VERSION};

        if (op.cmd == XEN_SYSCTL_debug_keys) {
            buffer[0] = 'a';
            set_xen_guest_handle(op.u.debug_keys.keys, buffer);
            op.u.debug_keys.nr_keys = 1;
        }
        tap_is(hv_sysctl(&op), -XEN_EPERM, "sysctl %s", commands[i].name);
    }
}

static void domctls(void)
{
    static const struct {
        uint32_t cmd;
        const char *name;
    } commands[] = {
        {XEN_DOMCTL_getvcpucontext, "getvcpucontext"},
        {XEN_DOMCTL_setdebugging, "setdebugging"},
        {XEN_DOMCTL_getpageframeinfo3, "getpageframeinfo3"},
        {XEN_DOMCTL_debug_op, "debug_op"},
        {XEN_DOMCTL_gdbsx_guestmemio, "gdbsx_guestmemio"},
        {XEN_DOMCTL_shadow_op, "shadow_op"},
    };

    for (unsigned int i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct xen_domctl op = {
            .cmd = commands[i].cmd, .domain = 0, .interface_version = XEN_DOMCTL_INTERFACE_VERSION};
        int rc = hv_domctl(&op);

        tap_ok(rc == -XEN_EPERM || rc == -XEN_ENOSYS, "domctl %s: %d", commands[i].name, rc);
    }
}

int main(int argc, char **argv)
{
    struct xen_platform_op platform = {.cmd = XENPF_get_cpuinfo,
                                       .interface_version = XENPF_INTERFACE_VERSION};
    bool allowed = argc > 1 && strcmp(argv[1], "allowed") == 0;

    for (unsigned int nr = __HYPERVISOR_arch_0; nr <= __HYPERVISOR_arch_7; nr++) {
        long rc = hypercall(nr, 0, 0, 0, 0, 0);

        if (nr == AUDIT_HYPERCALL)
            tap_is(rc, allowed ? 0 : -XEN_EPERM, "the audit, hypercall %u", nr);
        else
            tap_ok(rc == -XEN_EPERM || rc == -XEN_ENOSYS, "hypercall %u: %ld", nr, rc);
    }
    sysctls();
    domctls();
    tap_is(hv_platform_op(&platform), -XEN_EPERM, "platform_op");
    tap_is(hv_console_io(CONSOLEIO_read, sizeof buffer, buffer), -XEN_EPERM, "console input");
    tap_is(hypercall(__HYPERVISOR_xenoprof_op, 0, HV_ARG(buffer), 0, 0, 0), -XEN_ENOSYS,
           "the profiler");
    tap_is(hypercall(__HYPERVISOR_kexec_op, 0, HV_ARG(buffer), 0, 0, 0), -XEN_ENOSYS, "kexec");
    memset(buffer, 'x', sizeof buffer);
    tap_is(hv_xen_version(XENVER_commandline, buffer), 0, "the command line");
    tap_ok(buffer[0] == '\0' || strstr(buffer, "denied"), "it is empty");
    tap_done();
}
