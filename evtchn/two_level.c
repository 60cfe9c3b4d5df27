/* SPDX-License-Identifier: MIT */
/*
 * two_level.c: the 2-level ABI: how a pending port becomes an upcall. Public header: xen/xen.h,
 * struct shared_info.
 *
 *   shared_info  evtchn_pending[32]     a bit for each of 1024 ports
 *                evtchn_mask[32]        the guest does not want to be told of these
 *   vcpu_info    evtchn_pending_sel     bit n: word n of evtchn_pending has something new for us
 *                evtchn_upcall_pending  some bit of evtchn_pending_sel was set
 *
 * We set bits from the top down, the guest clears them from the bottom up: upcall_pending, then the
 * selector, then the port's bit. So whatever is set while the guest is looking, it either finds or
 * is called for again. Each step goes on to the next only when its bit was clear: a port that is
 * pending already costs one instruction.
 *
 * A domain that has gone back from the FIFO ABI may know ports from 1024 up: they exist, but have no
 * bit here. Those that another vcpu opened while it went back are open, and are never pending.
 *
 * A masked port only becomes pending. Its guest finds it by looking, or asks for the rest with
 * EVTCHNOP_unmask.
 */
#include <ringlet/bitops.h>
#include <ringlet/ports.h>
#include <ringlet/sched.h>

static inline void select_word(struct vcpu *v, evtchn_port_t port)
{
    if (!test_and_set_bit(port / 32, &v->info->evtchn_pending_sel))
        vcpu_mark_events_pending(v);
}

/*
 * walk 45: An event is three bits
 *
 * Claim: An event is a bit in memory that guest and hypervisor share: the port's, above it a bit
 * for its word, above that one for the vcpu. The hypervisor sets them from the port upwards, and
 * goes on only where a bit was clear; the guest clears them in the opposite order, and so finds
 * what came while it looked, or is called again. All are locked instructions: no lock is shared
 * with a guest, which could keep it.
 * Without it: Set in another order, a bit could be set after the guest has looked at its word and
 * before it clears the word's bit: an event that nobody will look for.
 * Shown by: tests/host/test_evtchn.c::pending_is_announced_once,
 * tests/host/test_threads.c::no_event_is_lost, tests/guests/events/events/main.c::test_bits
 */
void two_level_set_pending(struct domain *d, struct vcpu *v, evtchn_port_t port)
{
    struct shared_info *s = d->shared_info;

    if (unlikely(port >= EVTCHN_2L_PORTS) || test_and_set_bit(port, s->evtchn_pending))
        return;
    if (!test_bit(port, s->evtchn_mask))
        select_word(v, port);
    if (unlikely(d->poll_mask))
        vcpu_poll_wake(d, port);
}

static void two_level_clear_pending(struct domain *d, evtchn_port_t port)
{
    if (port < EVTCHN_2L_PORTS)
        test_and_clear_bit(port, d->shared_info->evtchn_pending);
}

static bool two_level_is_pending(const struct domain *d, evtchn_port_t port)
{
    return port < EVTCHN_2L_PORTS && test_bit(port, d->shared_info->evtchn_pending);
}

static bool two_level_is_masked(const struct domain *d, evtchn_port_t port)
{
    return port >= EVTCHN_2L_PORTS || test_bit(port, d->shared_info->evtchn_mask);
}

/*
 * Unmask, then look: an event that came before was not announced, one that comes after announces
 * itself.
 */
static void two_level_unmask(struct domain *d, evtchn_port_t port)
{
    struct vcpu *v = d->vcpus[evtchn_at(d, port)->vcpu];
    struct shared_info *s = d->shared_info;

    if (port < EVTCHN_2L_PORTS && test_and_clear_bit(port, s->evtchn_mask) &&
        test_bit(port, s->evtchn_pending))
        select_word(v, port);
}

/* The operation through struct evtchn_abi; evtchn_set_pending() calls two_level_set_pending() itself. */
static void set_pending(struct domain *d, evtchn_port_t port)
{
    two_level_set_pending(d, d->vcpus[evtchn_at(d, port)->vcpu], port);
}

static bool never_linked(const struct domain *d, evtchn_port_t port)
{
    (void)d;
    (void)port;
    return false;
}

static void nothing_to_leave(struct domain *d)
{
    (void)d;
}

const struct evtchn_abi two_level_abi = {
    .ports = EVTCHN_2L_PORTS,
    .set_pending = set_pending,
    .clear_pending = two_level_clear_pending,
    .is_pending = two_level_is_pending,
    .is_masked = two_level_is_masked,
    .is_linked = never_linked,
    .unmask = two_level_unmask,
    .leave = nothing_to_leave,
};

/*
 * v->info has just been copied to another place: a sender on another CPU may have set bits in the
 * old one meanwhile. Make the guest look at every word.
 */
void evtchn_move_vcpu_info(struct vcpu *v)
{
    __atomic_store_n(&v->info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->info->evtchn_pending_sel, ~0u, __ATOMIC_SEQ_CST);
}
