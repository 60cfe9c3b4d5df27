/* SPDX-License-Identifier: MIT */
/*
 * events.pml: the 2-level event ABI, from the sender to the guest's handler, in all interleavings.
 *
 * Two senders on CPUs of their own send to two ports of one vcpu, as evtchn/two_level.c does. The
 * guest handles events in its upcall from the bottom up, masks a port and unmasks it by hypercall,
 * and blocks when it has nothing to do. Every statement is one access to shared memory; what is
 * atomic here is one locked instruction there.
 *
 * What must hold: when nothing moves any more, every event that was sent has been handled. An event
 * sent while its port was pending already is handled together with the one before.
 *
 * tests/run models checks it, and that each of these faults is found:
 *   BROKEN=1  the sender sets the selector before the port's bit
 *   BROKEN=2  unmasking does not look whether the port is pending
 *   BROKEN=3  the guest clears evtchn_upcall_pending after it has read the selector
 *   BROKEN=4  blocking looks for events first, and says that it blocks afterwards
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define SENDS 2

bool pending[2], mask[2];           /* shared_info: one word of two ports */
bool selector, upcall, upcall_mask; /* vcpu_info */
bool blocked, woken;
byte fresh[2]; /* sent, and not handled since */

inline wake()
{
    if
    :: blocked -> blocked = false; woken = true
    :: else
    fi
}

/* select_word() and vcpu_mark_events_pending(). `was`: what a locked instruction found. */
inline announce(was)
{
    atomic { was = selector; selector = true }
    if
    :: !was ->
        atomic { was = upcall; upcall = true }
        if
        :: !was -> atomic { wake() }
        :: else
        fi
    :: else
    fi
}

proctype Sender(byte port)
{
    byte n;
    bool was;

    do
    :: n < SENDS ->
        n++;
#if BROKEN == 1
        if
        :: !mask[port] -> announce(was)
        :: else
        fi;
        atomic { pending[port] = true; fresh[port] = 1 }
#else
        atomic { was = pending[port]; pending[port] = true; fresh[port] = 1 }
        if
        :: !was && !mask[port] -> announce(was)
        :: else
        fi
#endif
    :: else -> break
    od
}

inline handle(port)
{
    if
    :: pending[port] && !mask[port] -> atomic { pending[port] = false; fresh[port] = 0 }
    :: else
    fi
}

/* The upcall: the hypervisor has set the mask. It is left when nothing is pending any more. */
inline serve()
{
    do
    :: upcall ->
#if BROKEN == 3
        atomic { word = selector; selector = false }
        upcall = false;
#else
        upcall = false;
        atomic { word = selector; selector = false }
#endif
        if
        :: word -> handle(0); handle(1)
        :: else
        fi
    :: else -> upcall_mask = false;
        if
        :: upcall -> upcall_mask = true
        :: else -> break
        fi
    od
}

/* SCHEDOP_block: unmask, say that we block, look. */
inline block()
{
    upcall_mask = false;
#if BROKEN == 4
    if
    :: upcall
    :: else -> blocked = true; woken -> woken = false
    fi
#else
    blocked = true;
    if
    :: upcall -> atomic { blocked = false; woken = false }
    :: else -> woken -> woken = false
    fi
#endif
}

/* EVTCHNOP_unmask */
inline unmask(port)
{
    atomic { was = mask[port]; mask[port] = false }
#if BROKEN != 2
    if
    :: was && pending[port] -> announce(was)
    :: else
    fi
#endif
}

active proctype Guest()
{
    bool word, was;
    byte masked; /* times port 0 was masked */

    do
    :: upcall -> upcall_mask = true; serve()
    :: !upcall && masked < 2 -> masked++; mask[0] = true; unmask(0)
    :: upcall_mask = true;
        if
        :: upcall -> serve()
        :: else -> block()
        fi
    od
}

active proctype Check()
{
    run Sender(0);
    run Sender(1);
    timeout -> assert(!fresh[0] && !fresh[1])
}
