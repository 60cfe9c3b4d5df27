/* SPDX-License-Identifier: MIT */
/*
 * Shutdown code: a kernel says why it ends before it does.
 *
 * SCHEDOP_shutdown_code records the reason once and for all; a kernel that crashed can then stop by
 * whatever way it still has, and is reported as crashed. That held for ordinary domains alone: the
 * initial domain's power-off was taken for one, and a machine told `noreboot` to keep the last words
 * of a crash on its screen was switched off. Words: `crash` records a crash, `poweroff` a power-off;
 * then `down` ends the domain by its last vcpu, and without it a power-off is asked for.
 *
 * Run: none
 */
#include <stdio.h>
#include <string.h>

#include <xen/sched.h>
#include <xen/vcpu.h>

#include <pv/start.h>

static void record(unsigned int reason)
{
    struct sched_shutdown code = {.reason = reason};

    printf("shutdown_code %u: %d\n", reason, hv_sched_op(SCHEDOP_shutdown_code, &code));
}

int main(void)
{
    const char *words = (const char *)start_info->cmd_line;

    if (strstr(words, "crash"))
        record(SHUTDOWN_crash);
    if (strstr(words, "poweroff"))
        record(SHUTDOWN_poweroff);
    record(SHUTDOWN_suspend); /* too late: the first one stays */
    if (strstr(words, "down"))
        hv_vcpu_op(VCPUOP_down, 0, NULL);
    domain_shutdown(SHUTDOWN_poweroff);
}
