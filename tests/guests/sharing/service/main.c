/* SPDX-License-Identifier: MIT */
/*
 * service - how long the control domain leaves a guest's console alone.
 *
 * A guest that rebooted each second had the control domain build it again each time, in one piece,
 * for up to 2.3 s; meanwhile no console and no xenstore request of any other guest was served. This
 * guest puts a character into its console's ring, sees how long it stays there, waits 2 ms, and so
 * on. Each second it prints the longest wait since it began, which must stay short whatever other
 * guests have the control domain do.
 *
 * Run: none (it has no end of its own; tests/system/test_life.py starts it)
 */
#include <stdint.h>
#include <stdio.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>
#include <xen/io/console.h>

static volatile struct xencons_interface *ring;

static void put(char byte)
{
    ring->out[MASK_XENCONS_IDX(ring->out_prod, ring->out)] = byte;
    __sync_synchronize(); /* the byte before the index that announces it */
    ring->out_prod++;
    event_send(start_info->console.domU.evtchn);
}

/* How long a character stays in the ring, in ns. */
static uint64_t one_wait(void)
{
    uint64_t start = time_now();

    put('.');
    while (ring->out_cons != ring->out_prod)
        sleep_ms(1);
    return time_now() - start;
}

int main(void)
{
    uint64_t longest = 0;

    ring = pfn_to_linear(mfn_to_pfn(start_info->console.domU.mfn));
    for (;;) {
        uint64_t end = time_now() + NS_PER_SEC;

        while (time_now() < end) {
            uint64_t wait = one_wait();

            if (wait > longest)
                longest = wait;
            sleep_ms(2);
        }
        printf("\nservice: longest wait %u ms\n", (unsigned int)(longest / NS_PER_MS));
    }
}
