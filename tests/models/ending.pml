/* SPDX-License-Identifier: MIT */
/*
 * ending.pml: a domain's end, told to the control domain exactly when nothing of it runs any more.
 *
 * Two vcpus take themselves down at the same time (down() in xen/vcpu_op.c), or: one of them has
 * suspended the domain, the control domain resumes it (domain_resume() in xen/domain.c), and the
 * other vcpu, still in a hypercall, crashes it (domain_crash(), domain_shutdown()). Statements are
 * single accesses; what is atomic here is a locked instruction there.
 *
 * What must hold, when nothing moves any more
 *  - if no vcpu can run, the domain is shut down;
 *  - a crashed domain is shut down, paused once, with a reason to tell.
 *
 * tests/run models checks it, and that each of these faults is found:
 *   BROKEN=1  a vcpu that goes down looks for others first, and is down afterwards
 *   BROKEN=2  resuming does not look for a crash behind itself
 *   BROKEN=3  resuming forgets the old reason after it has shown the domain as running
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define NONE 0
#define SUSPEND 1
#define CRASH 2
#define POWEROFF 3

bool down[2];
bool shut_down, crashed;
byte pauses, reason;
byte done;

/* domain_shutdown() */
inline shutdown(why)
{
    bool was;
    pauses++;
    atomic { was = shut_down; shut_down = true };
    if
    :: was -> pauses--
    :: else ->
        if
        :: reason == NONE -> reason = why
        :: else
        fi
    fi
}

proctype goes_down(byte self)
{
    bool other_up;
#if BROKEN == 1
    other_up = !down[1 - self];
    if
    :: other_up -> down[self] = true
    :: else -> shutdown(POWEROFF)
    fi;
#else
    down[self] = true;
    other_up = !down[1 - self];
    if
    :: other_up
    :: else -> shutdown(POWEROFF); down[self] = false
    fi;
#endif
    done++
}

proctype crashes()
{
    crashed = true;
    shutdown(CRASH);
    done++
}

/* domain_resume(); one at a time: domctl_lock */
proctype resumes()
{
    if
    :: crashed || !shut_down
    :: else ->
#if BROKEN != 3
        reason = NONE;
#endif
        shut_down = false;
#if BROKEN == 3
        reason = NONE;
#endif
        pauses--;
#if BROKEN != 2
        if
        :: crashed -> shutdown(CRASH)
        :: else
        fi
#endif
    fi;
    done++
}

init {
    if
    :: atomic { run goes_down(0); run goes_down(1) };
       done == 2;
       assert(!(down[0] && down[1]) || shut_down);
       assert(shut_down == (pauses == 1))
    :: shut_down = true;
       pauses = 1;
       reason = SUSPEND;
       atomic { run crashes(); run resumes() };
       done == 2;
       assert(shut_down && pauses == 1 && reason != NONE)
    fi
}
