/* SPDX-License-Identifier: MIT */
/*
 * Time and vcpus: the clock, every timer, run states, and the answers of vcpu_op, sched_op and
 * vm_assist.
 *
 * A clock is right when it never goes back, when its timers come after their time and soon after,
 * and when the time a vcpu ran, waited, slept and was away adds up to the time that passed. The
 * answers were compared with Xen 4.17's.
 *
 * Run: qemu bochs
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <pv/event.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/tap.h>
#include <pv/time.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#define NOWHERE ((void *)0xfffff000)

/* --- the clock ----------------------------------------------------------------------------- */

static void test_clock(void)
{
    uint64_t last = time_now(), longest = 0, wall = time_wallclock();
    bool forward = true;

    for (unsigned int i = 0; i < 20000; i++) {
        uint64_t now = time_now();

        forward &= now >= last;
        if (now - last > longest)
            longest = now - last;
        last = now;
    }
    tap_ok(forward, "the clock never goes back");
    tap_ok(wall > 1600000000 && wall < 4000000000u, "the date is plausible: %lu",
           (unsigned long)wall);
    tap_ok((vcpu()->time.version & 1) == 0 && vcpu()->time.tsc_to_system_mul >> 31,
           "the clock's numbers are stable and precise");
}

/* --- timers -------------------------------------------------------------------------------- */

static int timer_port_events(void)
{
    return timer_count();
}

/* Sleep in the hypervisor until a timer event has come, or 500 ms have passed. */
static uint64_t sleep_for_event(int before)
{
    uint64_t start = time_now();

    events_off();
    while (timer_port_events() == before && time_now() - start < 500 * NS_PER_MS) {
        events_wait();
        events_off();
    }
    events_on();
    return time_now() - start;
}

static void test_set_timer_op(void)
{
    int before = timer_port_events();
    uint64_t start = time_now(), took;
    long rc = hv_set_timer_op(start + 30 * NS_PER_MS);

    sleep_for_event(before);
    took = time_now() - start;
    tap_is(rc, 0, "set_timer_op, 30 ms ahead");
    tap_ok(took >= 30 * NS_PER_MS && took < 200 * NS_PER_MS, "it came after %lu us",
           (unsigned long)(took / 1000));
    before = timer_port_events();
    hv_set_timer_op(1);
    tap_ok(timer_port_events() == before + 1, "a time that is past comes at once");
    hv_set_timer_op(time_now() + 10 * NS_PER_MS);
    hv_set_timer_op(0);
    for (uint64_t end = time_now() + 30 * NS_PER_MS; time_now() < end;)
        ;
    hv_xen_version(0, NULL);
    tap_ok(timer_port_events() == before + 1, "a timer that was stopped does not");
    hv_set_timer_op(-1ULL);
    took = sleep_for_event(timer_port_events());
    tap_ok(took < 400 * NS_PER_MS, "a time out of this world comes soon: %lu us",
           (unsigned long)(took / 1000));
    hv_set_timer_op(0);
}

/*
 * A guest that asks for a time in the future and is late is told so by -ETIME, or gets its event at
 * once: the public header leaves the choice. Ringlet does the former, Xen 4.17 the latter.
 */
static void test_singleshot(void)
{
    struct vcpu_set_singleshot_timer op = {.timeout_abs_ns = 1, .flags = VCPU_SSHOTTMR_future};
    int before = timer_port_events();
    long rc = hv_vcpu_op(VCPUOP_set_singleshot_timer, 0, &op);

    tap_ok((rc == -XEN_ETIME && timer_port_events() == before) ||
               (rc == 0 && timer_port_events() == before + 1),
           "singleshot: late: %ld", rc);
    before = timer_port_events();
    op.flags = 0;
    tap_is(hv_vcpu_op(VCPUOP_set_singleshot_timer, 0, &op), 0, "singleshot: the past, if allowed");
    tap_is(timer_port_events(), before + 1, "comes at once");
    op = (struct vcpu_set_singleshot_timer){time_now() + 5 * NS_PER_MS, VCPU_SSHOTTMR_future};
    tap_is(hv_vcpu_op(VCPUOP_set_singleshot_timer, 0, &op), 0, "singleshot: ahead");
    tap_ok(sleep_for_event(before + 1) < 200 * NS_PER_MS, "comes in time");
    before = timer_port_events();
    op = (struct vcpu_set_singleshot_timer){-2ULL, 0};
    tap_is(hv_vcpu_op(VCPUOP_set_singleshot_timer, 0, &op), 0, "singleshot: before the beginning");
    tap_is(timer_port_events(), before + 1, "comes at once");
    op.timeout_abs_ns = ~0ULL >> 1;
    tap_is(hv_vcpu_op(VCPUOP_set_singleshot_timer, 0, &op), 0, "singleshot: at the end of time");
    tap_is(timer_port_events(), before + 1, "does not come now");
    tap_is(hv_vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0, "singleshot: stop");
    tap_is(hv_vcpu_op(VCPUOP_set_singleshot_timer, 0, NOWHERE), -XEN_EFAULT,
           "singleshot: bad pointer");
}

/* Five ticks of a periodic timer while we run. */
static void test_periodic(void)
{
    struct vcpu_set_periodic_timer op = {.period_ns = 999999};
    int before, ticks = 0;

    tap_is(hv_vcpu_op(VCPUOP_set_periodic_timer, 0, &op), -XEN_EINVAL,
           "periodic: below a millisecond");
    op.period_ns = 1ULL << 63;
    tap_is(hv_vcpu_op(VCPUOP_set_periodic_timer, 0, &op), -XEN_EINVAL, "periodic: for ever");
    op.period_ns = 10 * NS_PER_MS;
    tap_is(hv_vcpu_op(VCPUOP_set_periodic_timer, 0, &op), 0, "periodic: 10 ms");
    /* Where this machine itself is kept from running for a while, ticks are lost: then once more. */
    for (int again = 0; again < 20 && (ticks < 3 || ticks > 6); again++) {
        before = timer_port_events();
        for (uint64_t end = time_now() + 55 * NS_PER_MS; time_now() < end;)
            ;
        ticks = timer_port_events() - before;
    }
    tap_ok(ticks >= 3 && ticks <= 6, "ticks while we run: %d in 55 ms", ticks);
    tap_is(hv_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0, "periodic: stop");
    before = timer_port_events();
    for (uint64_t end = time_now() + 30 * NS_PER_MS; time_now() < end;)
        ;
    tap_is(timer_port_events(), before, "no tick any more");
}

/* --- run states ---------------------------------------------------------------------------- */

static uint64_t sum(const struct vcpu_runstate_info *r)
{
    return r->time[0] + r->time[1] + r->time[2] + r->time[3];
}

static void test_runstates(void)
{
    static struct vcpu_runstate_info area, a, b;
    struct vcpu_register_runstate_memory_area op = {.addr.v = &area};
    uint64_t start, end, slept;

    tap_is(hv_vcpu_op(VCPUOP_get_runstate_info, 0, &a), 0, "get_runstate_info");
    start = time_now();
    sleep_ms(20);
    hv_vcpu_op(VCPUOP_get_runstate_info, 0, &b);
    end = time_now();
    slept = b.time[RUNSTATE_blocked] - a.time[RUNSTATE_blocked];
    tap_is(b.state, RUNSTATE_running, "running when asked");
    tap_ok(slept >= 19 * NS_PER_MS && slept <= end - start, "slept %lu us",
           (unsigned long)(slept / 1000));
    tap_ok(sum(&b) - sum(&a) >= 20 * NS_PER_MS && sum(&b) - sum(&a) <= end - start + 5 * NS_PER_MS,
           "the states add up to the time that passed");
    tap_is(hv_vcpu_op(VCPUOP_get_runstate_info, 0, NOWHERE), -XEN_EFAULT,
           "get_runstate_info: bad pointer");

    tap_is(hv_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &op), 0, "register a runstate area");
    tap_is(area.state, RUNSTATE_running, "it is filled at once");
    end = area.state_entry_time;
    sleep_ms(5);
    tap_ok(area.state == RUNSTATE_running && area.state_entry_time > end,
           "and whenever we are switched to");
    tap_is(hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0,
           "with the update flag");
    sleep_ms(5);
    tap_ok(!(area.state_entry_time & XEN_RUNSTATE_UPDATE), "which is not left set");
    op.addr.v = NOWHERE;
    tap_is(hv_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &op), -XEN_EFAULT,
           "an area the guest cannot have");
    op.addr.v = NULL;
    hv_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &op);
}

static void test_time_area(void)
{
    static struct vcpu_time_info area;
    struct vcpu_register_time_memory_area op = {.addr.v = &area};

    tap_is(hv_vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &op), 0, "register a time area");
    sleep_ms(5);
    tap_ok(area.version && !(area.version & 1) &&
               area.tsc_to_system_mul == vcpu()->time.tsc_to_system_mul,
           "it holds the clock's numbers");
    op.addr.v = NOWHERE;
    tap_is(hv_vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &op), -XEN_EFAULT,
           "an area the guest cannot have");
    op.addr.v = NULL;
    hv_vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &op);
}

/* --- answers ------------------------------------------------------------------------------- */

static void test_answers(void)
{
    struct vcpu_get_physid physid;
    struct sched_watchdog watchdog = {.id = 0, .timeout = 100};
    struct sched_remote_shutdown remote = {.domain_id = 77};

    tap_is(hv_vcpu_op(99, 0, NULL), -XEN_ENOSYS, "vcpu_op: unknown operation");
    tap_is(hv_vcpu_op(VCPUOP_is_up, 31, NULL), -XEN_ENOENT, "vcpu_op: no such vcpu");
    tap_is(hv_vcpu_op(VCPUOP_is_up, 0, NULL), 1, "vcpu 0 is up");
    tap_is(hv_vcpu_op(VCPUOP_up, 0, NULL), 0, "and can be brought up again");
    tap_is(hv_vcpu_op(VCPUOP_initialise, 0, NOWHERE), -XEN_EFAULT, "initialise: bad pointer");
    tap_is(hv_vcpu_op(VCPUOP_get_physid, 0, &physid),
           hv_vcpu_op(VCPUOP_is_up, 1, NULL) < 0 ? 0 : -XEN_EINVAL,
           "get_physid: told where the machine has one CPU, as many as we have vcpus");
    tap_is(hv_vcpu_op(VCPUOP_send_nmi, 0, &physid), -XEN_EINVAL, "send_nmi takes no argument");

    tap_is(hv_sched_op(99, NULL), -XEN_ENOSYS, "sched_op: unknown operation");
    tap_is(hv_sched_op(SCHEDOP_yield, NULL), 0, "yield");
    tap_is(hv_sched_op(SCHEDOP_shutdown, NOWHERE), -XEN_EFAULT, "shutdown: bad pointer");
    tap_is(hv_sched_op(SCHEDOP_remote_shutdown, &remote), -XEN_ESRCH, "remote_shutdown of nobody");
    tap_is(hv_sched_op(SCHEDOP_watchdog, &watchdog), 1, "a watchdog");
    tap_is(hv_sched_op(SCHEDOP_watchdog, &watchdog), 2, "a second one");
    tap_is(hv_sched_op(SCHEDOP_watchdog, &watchdog), -XEN_ENOSPC, "no third");
    for (watchdog.id = 1; watchdog.id <= 2; watchdog.id++) {
        watchdog.timeout = 0;
        tap_is(hv_sched_op(SCHEDOP_watchdog, &watchdog), 0, "end watchdog %u",
               (unsigned)watchdog.id);
        tap_is(hv_sched_op(SCHEDOP_watchdog, &watchdog), -XEN_EINVAL, "it is gone");
    }
    watchdog.id = 3;
    tap_is(hv_sched_op(SCHEDOP_watchdog, &watchdog), -XEN_EINVAL, "there are two");
    tap_is(hypercall(__HYPERVISOR_sched_op_compat, SCHEDOP_yield, 0, 0, 0, 0), 0,
           "the yield of 2005");
    tap_is(hypercall(__HYPERVISOR_sched_op_compat, SCHEDOP_poll, 0, 0, 0, 0), -XEN_ENOSYS,
           "no poll in 2005");

    tap_is(hv_vm_assist(VMASST_CMD_enable, 31), -XEN_EINVAL, "vm_assist: no such assist");
    tap_is(hv_vm_assist(7, VMASST_TYPE_writable_pagetables), -XEN_ENOSYS,
           "vm_assist: no such command");
    tap_is(hv_vm_assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables), 0,
           "vm_assist: enable");
}

/* Blocking with an event that waits does not block; it turns events on. */
static void test_block(void)
{
    uint64_t start;
    int before;

    events_off();
    before = timer_port_events();
    hv_set_timer_op(1);
    start = time_now();
    tap_is(timer_port_events(), before, "events off: the timer's event waits");
    tap_is(hv_sched_op(SCHEDOP_block, NULL), 0, "block");
    tap_ok(timer_port_events() == before + 1 && time_now() - start < 100 * NS_PER_MS,
           "an event that waits is delivered instead");
    tap_is(vcpu()->evtchn_upcall_mask, 0, "and events are on");
}

/* --- vcpu_info somewhere else: the last test, as it cannot be undone -------------------------- */

static void test_vcpu_info(void)
{
    struct vcpu_info *there = page_alloc();
    struct vcpu_register_vcpu_info op = {.mfn = 0xfffffff};
    struct vcpu_info old;

    events_off();
    tap_is(hv_vcpu_op(VCPUOP_register_vcpu_info, 0, &op), -XEN_EINVAL,
           "vcpu_info in a frame that is not");
    op.mfn = base_mfn();
    tap_is(hv_vcpu_op(VCPUOP_register_vcpu_info, 0, &op), -XEN_EINVAL, "vcpu_info in a page table");
    op.mfn = linear_to_mfn(there);
    op.offset = 4096 - 60;
    tap_is(hv_vcpu_op(VCPUOP_register_vcpu_info, 0, &op), -XEN_ENXIO,
           "vcpu_info across the page's end");
    op.offset = 62;
    tap_is(hv_vcpu_op(VCPUOP_register_vcpu_info, 0, &op), -XEN_ENXIO, "vcpu_info not aligned");
    op.offset = 64;
    there++;
    old = shared_info_page.vcpu_info[0];
    tap_is(hv_vcpu_op(VCPUOP_register_vcpu_info, 0, &op), 0, "vcpu_info in a page of ours");
    tap_is(hv_vcpu_op(VCPUOP_register_vcpu_info, 0, &op), -XEN_EINVAL, "once");
    tap_ok(there->evtchn_upcall_mask == 1 &&
               there->time.tsc_to_system_mul == old.time.tsc_to_system_mul,
           "the mask and the clock have moved along");
    tap_ok(there->evtchn_upcall_pending == 1 && there->evtchn_pending_sel == ~0ul,
           "everything is to be looked at");
    there->evtchn_upcall_pending = 0;
    there->evtchn_pending_sel = 0;
    shared_info_page.vcpu_info[0].evtchn_upcall_pending = 0;
    for (unsigned int i = 0; i < 32; i++)
        shared_info_page.evtchn_pending[i] = 0;
    hv_set_timer_op(1);
    tap_is(there->evtchn_upcall_pending, 1, "events come to the new place");
    tap_is(shared()->vcpu_info[0].evtchn_upcall_pending, 0, "and not to the old one");
}

int main(void)
{
    hv_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL);
    test_clock();
    test_set_timer_op();
    test_singleshot();
    test_periodic();
    test_runstates();
    test_time_area();
    test_answers();
    test_block();
    test_vcpu_info();
    tap_done();
}
