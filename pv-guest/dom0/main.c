/* SPDX-License-Identifier: MIT */
/*
 * main.c - the control domain: it builds every domain but itself.
 *
 * The hypervisor starts one domain and gives it the right to make others (domctl), to map their
 * pages, and to use the machine's console. This program is that domain. Its ramdisk is an archive
 * of guest kernels and a short configuration for each; what each file does stands at its top:
 *
 *     cpio.c config.c      what the ramdisk holds
 *     layout.c build.c     a domain is made (domctl.c: the hypercall for it)
 *     domains.c            ... connected, served and buried
 *     console.c            its console
 *     store.c xenstore.c   its part of xenstore
 *     prompt.c             the person at the keyboard
 *
 * One loop does everything: serve what events announced, take a key, sleep. Read build.c first.
 */
#include <stdio.h>

#include <pv/console.h>
#include <pv/event.h>
#include <pv/start.h>
#include <pv/time.h>

#include "domains.h"

/*
 * Sleep unless there is something to do. The questions are asked with events off: an event that
 * comes between the answer and the sleep stays pending, and ends the sleep at once.
 */
static int key_or_sleep(bool more)
{
    events_off();
    int byte = console_poll();
    if (byte < 0 && !more && !domains_pending())
        wait_until(domains_due());
    else
        events_on();
    return byte;
}

int main(int argc, char **argv)
{
    uint32_t size;
    const void *archive = ramdisk(&size);

    (void)argc;
    (void)argv;
    printf("Ringlet's control domain; help lists the commands\n");
    domains_init(archive, size);
    domains_autostart();
    prompt_start();
    for (;;) {
        bool more = domains_serve();
        more |= prompt_show();
        int byte = key_or_sleep(more);
        if (byte >= 0)
            prompt_key(byte);
    }
}
