/* SPDX-License-Identifier: MIT */
/*
 * sched.pml: blocking, polling, waking and switching on two CPUs, in all interleavings.
 *
 * Two CPUs share one run queue, as in xen/sched.c. Vcpu 0 blocks (SCHEDOP_block) or polls a masked
 * port (SCHEDOP_poll) again and again; vcpu 1 sends it events, and may give its CPU away after
 * each. Whichever CPU takes a vcpu runs it: it does what its guest would do next. Statements are
 * single accesses; what is atomic here is a locked instruction or guarded by runq_lock there.
 *
 * What must hold
 *  - no vcpu runs on two CPUs, and none is started before its registers are saved;
 *  - no CPU is idle while a vcpu is queued, when nothing moves any more;
 *  - vcpu 0 does not sleep on an event that has come, when nothing moves any more.
 *
 * tests/run models checks it, and that each of these faults is found:
 *   BROKEN=1  `running` is cleared when the CPU takes another vcpu, before registers are saved
 *   BROKEN=2  sched_context_saved() does not look whether its vcpu was woken meanwhile
 *   BROKEN=3  blocking looks for events first, and says that it blocks afterwards
 *   BROKEN=4  polling looks at the port first, and sets poll_mask afterwards
 *   BROKEN=5  a sender takes WAIT_* back only after it has tried to queue the vcpu
 *   BROKEN=6  a sender takes the vcpu out of poll_mask after WAIT_POLLING: it may be the next poll's
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define SENDS 2
#define IDLE 2

bool lock;               /* runq_lock */
bool queued[2], running[2];
bool saved[2] = true;    /* the registers are in struct vcpu */
byte on_cpu[2];          /* how many CPUs execute the vcpu */
byte runs[2] = IDLE;     /* cpu.runs */
bool softirq[2];         /* SOFTIRQ_SCHEDULE */
bool down[2];            /* vcpu 1, when it has sent everything */
bool blocked, polling;   /* vcpu 0: WAIT_BLOCKED, WAIT_POLLING */
bool poll_mask;          /* domain.poll_mask */
bool port_pending, masked, upcall; /* the port, its mask, evtchn_upcall_pending */
bool sent;               /* an event has come that vcpu 0 has not seen */
byte sends;

#define runnable(v) (!down[v] && !(v == 0 && (blocked || polling)))

inline take_lock() { atomic { !lock -> lock = true } }
inline release() { lock = false }

/* find_cpu(): an idle CPU, else any. */
inline find_cpu()
{
    if
    :: runs[0] == IDLE -> softirq[0] = true
    :: runs[1] == IDLE -> softirq[1] = true
    :: runs[0] != IDLE && runs[1] != IDLE -> softirq[0] = true
    :: runs[0] != IDLE && runs[1] != IDLE -> softirq[1] = true
    fi
}

inline enqueue(v)
{
    assert(!queued[v] && !running[v]);
    queued[v] = true;
    find_cpu()
}

inline vcpu_wake(v)
{
    take_lock();
    d_step {
        if
        :: !running[v] && !queued[v] && runnable(v) -> enqueue(v)
        :: else
        fi
    };
    release()
}

/* vcpu_unblock() of vcpu 0 */
inline vcpu_unblock(was)
{
    if
    :: blocked || polling ->
#if BROKEN == 5
        vcpu_wake(0);
        poll_mask = false;
        atomic { blocked = false; polling = false }
#elif BROKEN == 6
        atomic { was = polling; blocked = false; polling = false };
        if
        :: was -> poll_mask = false
        :: else
        fi;
        vcpu_wake(0)
#else
        poll_mask = false;
        atomic { blocked = false; polling = false };
        vcpu_wake(0)
#endif
    :: else
    fi
}

/* two_level_set_pending(), of a port that is masked while vcpu 0 polls it */
inline send(was)
{
    atomic { was = port_pending; port_pending = true; sent = true };
    if
    :: !was ->
        if
        :: !masked ->
            atomic { was = upcall; upcall = true };
            if
            :: !was -> vcpu_unblock(was)
            :: else
            fi
        :: else
        fi;
        if
        :: poll_mask -> vcpu_unblock(was)
        :: else
        fi
    :: else
    fi
}

/* The guest of vcpu 0 sees what has come. */
inline see()
{
    upcall = false;
    atomic { port_pending = false; sent = false }
}

inline block(c)
{
    masked = false;
    if
    :: port_pending -> upcall = true /* EVTCHNOP_unmask */
    :: else
    fi;
#if BROKEN == 3
    if
    :: upcall
    :: else -> blocked = true; softirq[c] = true
    fi
#else
    blocked = true;
    if
    :: upcall -> blocked = false
    :: else -> softirq[c] = true
    fi
#endif
}

inline poll(c)
{
    masked = true;
#if BROKEN == 4
    polling = true;
    if
    :: port_pending -> polling = false
    :: else -> poll_mask = true; softirq[c] = true
    fi
#else
    polling = true;
    poll_mask = true;
    if
    :: port_pending -> poll_mask = false; polling = false
    :: else -> softirq[c] = true
    fi
#endif
}

/* schedule(), context_switch() and sched_context_saved() on CPU c */
inline schedule(c, prev, next)
{
    take_lock();
    d_step {
        prev = runs[c];
        next = IDLE;
        if
        :: queued[0] -> next = 0
        :: !queued[0] && queued[1] -> next = 1
        :: else
        fi;
        if
        :: prev != IDLE && next == IDLE && runnable(prev) -> next = prev
        :: else
        fi;
        runs[c] = next;
        if
        :: next != prev && next != IDLE ->
            assert(!running[next]);
            queued[next] = false;
            running[next] = true
        :: else
        fi;
#if BROKEN == 1
        if
        :: next != prev && prev != IDLE ->
            running[prev] = false;
            if
            :: runnable(prev) -> enqueue(prev)
            :: else
            fi
        :: else
        fi
#endif
    };
    release();
    if
    :: next != prev && prev != IDLE ->
        atomic { on_cpu[prev]--; saved[prev] = true };
#if BROKEN != 1
        take_lock();
        d_step {
            running[prev] = false;
#if BROKEN != 2
            if
            :: runnable(prev) -> enqueue(prev)
            :: else
            fi
#endif
        };
        release()
#endif
    :: else
    fi;
    if
    :: next != prev && next != IDLE ->
        atomic {
            assert(saved[next] && !on_cpu[next]);
            saved[next] = false;
            on_cpu[next]++
        }
    :: else
    fi
}

/* One step of the guest that runs on CPU c. */
inline guest(c, was)
{
    if
    :: runs[c] == 0 -> see();
        if
        :: block(c)
        :: poll(c)
        fi
    :: runs[c] == 1 && sends < SENDS -> sends++; send(was);
        if
        :: softirq[c] = true /* a yield, or the end of its slice */
        :: skip
        fi
    :: runs[c] == 1 && sends == SENDS -> down[1] = true; softirq[c] = true
    fi
}

proctype Cpu(byte c)
{
    byte prev, next;
    bool was;

    do
    :: softirq[c] -> softirq[c] = false; schedule(c, prev, next)
    :: !softirq[c] && runs[c] != IDLE -> guest(c, was)
    od
}

init {
    atomic {
        queued[0] = true;
        queued[1] = true;
        softirq[0] = true;
        softirq[1] = true;
        run Cpu(0);
        run Cpu(1)
    };
    timeout ->
    assert(!queued[0] && !queued[1]);
    assert(sends == SENDS);
    assert(!sent)
}
