/* SPDX-License-Identifier: MIT */
/*
 * Four vcpus on four processors at once: do they really run together, do their messages arrive, and
 * does what the hypervisor promises of frames hold while another vcpu still has old translations?
 *
 *  1. All spin on one barrier, again and again, and none gives way: they run at the same time.
 *  2. vcpu 0 sends each of the others an IPI and waits for the answer, 500 times.
 *  3. The others write to one address without pause. vcpu 0 has that address show another frame,
 *     does not flush, and makes a page table of the first one at once. From the moment that
 *     succeeds nothing may write it any more, whatever the others' TLBs hold.
 *  4. Each vcpu changes entries of one shared page table, pins and unpins pages that all of them
 *     want, writes through the writable-page-table assist, gives frames back, takes others, sends
 *     events to all. Many of these fail, as they must; at the end the audit finds no difference, and
 *     each page can again be made a table and a page.
 *
 * Run: qemu bochs
 * Machine: smp=4 mem=128 timeout=300
 */
#include <pv/event.h>
#include <pv/time.h>
#include <pv/vcpu.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#include "../../attack.h"

#define VCPUS 4
#define BARRIERS 50
#define MESSAGES 500
#define EXCHANGES 100
#define STORMS 1000
#define SHARED_PAGES 8

static unsigned int vcpus = 1;

/* ---- All at once ----------------------------------------------------------------------------- */

static volatile uint32_t arrived, round_of_barrier, task;

/* Nobody gives way: on fewer processors than vcpus each round takes time slices. */
static void barrier(void)
{
    uint32_t this_round = round_of_barrier;

    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST) == vcpus) {
        arrived = 0;
        __atomic_store_n(&round_of_barrier, this_round + 1, __ATOMIC_SEQ_CST);
    }
    while (round_of_barrier == this_round)
        __asm__ volatile("pause");
}

static void barriers(void)
{
    for (int i = 0; i < BARRIERS; i++)
        barrier();
}

/* ---- Messages -------------------------------------------------------------------------------- */

static evtchn_port_t question[VCPUS], answer;
static volatile uint32_t asked[VCPUS], answered[VCPUS];

static void answer_all(unsigned int self)
{
    while (answered[self] < MESSAGES) {
        vcpu_wait(question[self]);
        if (answered[self] != asked[self]) {
            answered[self] = asked[self];
            event_send(answer);
        }
    }
}

static void ask_all(void)
{
    uint64_t start = time_now();

    for (uint32_t i = 1; i <= MESSAGES; i++) {
        for (unsigned int v = 1; v < vcpus; v++) {
            asked[v] = i;
            event_send(question[v]);
        }
        for (unsigned int v = 1; v < vcpus; v++) {
            for (events_off(); answered[v] != i; events_off())
                events_wait();
            events_on();
        }
    }
    tap_ok(true, "%d questions to each vcpu are answered, in %u us", MESSAGES,
           (uint32_t)((time_now() - start) / 1000));
}

/* ---- Old translations ------------------------------------------------------------------------ */

#define HAMMERED 0xE8000000u
static volatile bool hammering;

/* Even words: as page-table entries they are not present, so a page of them may be a table. */
static void hammer(unsigned int self)
{
    volatile uint32_t *p = (volatile uint32_t *)HAMMERED;

    for (uint32_t i = 0; hammering; i += 2)
        p[(i * 64 + self * 2) % 1024] = i;
}

static int show(uint32_t mfn, uint32_t flush)
{
    return hv_update_va_mapping((void *)HAMMERED, pte_make(mfn, PAGE_KERNEL), flush);
}

/* Nothing changes the page for a while. */
static bool stays(const uint32_t *page)
{
    static uint32_t before[PAGE_SIZE / sizeof(uint32_t)];

    memcpy(before, page, PAGE_SIZE);
    for (int spin = 0; spin < 20000; spin++)
        __asm__ volatile("pause" ::: "memory");
    return memcmp(before, page, PAGE_SIZE) == 0;
}

/* The frame that was shown becomes a page table: true if nobody writes it afterwards. */
static bool retype(uint32_t *page, uint32_t other)
{
    bool quiet;

    if (make_writable(page) || show(linear_to_mfn(page), UVMF_TLB_FLUSH | UVMF_ALL))
        panic("a page of one's own cannot be mapped");
    for (int spin = 0; spin < 2000; spin++)
        __asm__ volatile("pause");
    if (show(other, UVMF_NONE) || make_readonly(page) || pin(page, MMUEXT_PIN_L1_TABLE))
        panic("no table can be made of the page");
    quiet = stays(page);
    if (pin(page, MMUEXT_UNPIN_TABLE))
        panic("no unpin");
    return quiet;
}

static void exchange_while_hammered(void)
{
    uint32_t *page = page_alloc(), *other = page_alloc();
    unsigned int bad = 0;

    for (int i = 0; i < EXCHANGES; i++)
        bad += !retype(page, linear_to_mfn(other));
    hammering = false;
    tap_is(bad, 0, "nobody writes a page once it is a table, %d times", EXCHANGES);
    make_writable(page);
}

/* ---- Storm ----------------------------------------------------------------------------------- */

static pte_t *wanted[SHARED_PAGES], *contended;
static uint32_t done[VCPUS];

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void give_and_take(void)
{
    xen_pfn_t extent = 0;
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &extent);
    if (hv_memory_op(XENMEM_populate_physmap, &r) == 1)
        hv_memory_op(XENMEM_decrease_reservation, &r);
}

static void one_thing(unsigned int self, uint32_t *random)
{
    pte_t *page = wanted[next_random(random) % SHARED_PAGES];
    uint32_t slot = next_random(random) % 64, choice = next_random(random) % 9;
    uint64_t flags = next_random(random) & 1 ? PAGE_KERNEL : PAGE_KERNEL_RO;

    switch (choice) {
    case 0:
    case 1:
        write_entry(entry_of(contended, slot), pte_make(linear_to_mfn(page), flags));
        break;
    case 2:
        write_entry(entry_of(contended, slot), 0);
        break;
    case 3:
        pin(page, MMUEXT_PIN_L1_TABLE + next_random(random) % 2);
        break;
    case 4:
        pin(page, MMUEXT_UNPIN_TABLE);
        break;
    case 5:
        write_entry(entry_of(page, slot), pte_make(linear_to_mfn(contended), PAGE_KERNEL_RO));
        break;
    case 6:
        give_and_take();
        break;
    case 7:
        event_send(question[next_random(random) % (vcpus - 1) + 1]);
        break;
    default:
        hv_update_va_mapping((void *)(HAMMERED + (1 + self) * PAGE_SIZE),
                             pte_make(linear_to_mfn(page), flags), UVMF_TLB_FLUSH | UVMF_ALL);
    }
}

static void storm(unsigned int self)
{
    uint32_t random = self * 12345 + 1;

    for (done[self] = 0; done[self] < STORMS; done[self]++)
        one_thing(self, &random);
}

/* Undo what is left, by one vcpu alone; then each page is free to become a table, and a page. */
static bool clean_up(void)
{
    bool good = true;

    for (unsigned int slot = 0; slot < 64; slot++)
        write_entry(entry_of(contended, slot), 0);
    for (unsigned int v = 0; v < vcpus; v++)
        hv_update_va_mapping((void *)(HAMMERED + (1 + v) * PAGE_SIZE), 0, UVMF_NONE);
    for (unsigned int i = 0; i < SHARED_PAGES; i++) {
        pin(wanted[i], MMUEXT_UNPIN_TABLE);
        good &= make_writable(wanted[i]) == 0;
        memset(wanted[i], 0, PAGE_SIZE);
        good &= make_readonly(wanted[i]) == 0 && pin(wanted[i], MMUEXT_PIN_L2_TABLE) == 0 &&
                pin(wanted[i], MMUEXT_UNPIN_TABLE) == 0;
    }
    return good;
}

/* ---- The tasks, one after the other ---------------------------------------------------------- */

enum { BARRIERS_TASK = 1, ANSWER, HAMMER, STORM };

static void work(void *data)
{
    unsigned int self = (unsigned int)data;

    for (uint32_t now = 0;;) {
        while (task == now)
            hv_sched_op(SCHEDOP_yield, NULL);
        now = task;
        switch (now) {
        case BARRIERS_TASK:
            barriers();
            break;
        case ANSWER:
            answer_all(self);
            break;
        case HAMMER:
            hammer(self);
            break;
        default:
            storm(self);
        }
        barrier();
    }
}

static void start(uint32_t what)
{
    __atomic_store_n(&task, what, __ATOMIC_SEQ_CST);
}

static void start_vcpus(void)
{
    answer = event_bind_ipi(NULL, NULL);
    for (; vcpus < VCPUS; vcpus++) {
        int port = vcpu_bind_ipi(vcpus);

        if (port < 0)
            break; /* there is no such vcpu */
        question[vcpus] = port;
        if (vcpu_start(vcpus, work, (void *)vcpus) != 0)
            panic("vcpu %u does not start", vcpus);
    }
}

static uint64_t running_time(unsigned int v)
{
    struct vcpu_runstate_info info;

    hv_vcpu_op(VCPUOP_get_runstate_info, v, &info);
    return info.time[RUNSTATE_running];
}

static void test_together(void)
{
    start(BARRIERS_TASK);
    barriers();
    barrier();
    for (unsigned int v = 0; v < vcpus; v++)
        tap_ok(running_time(v) > 0, "vcpu %u meets the others %d times", v, BARRIERS);
}

static void test_storm(void)
{
    for (unsigned int i = 0; i < SHARED_PAGES; i++) {
        wanted[i] = page_alloc();
        make_readonly(wanted[i]);
    }
    contended = page_alloc();
    make_readonly(contended);
    tap_is(pin(contended, MMUEXT_PIN_L1_TABLE), 0, "a table for all");
    start(STORM);
    storm(0);
    barrier();
    tap_audit();
    tap_ok(clean_up(), "each page can be a table, and a page");
    tap_is(pin(contended, MMUEXT_UNPIN_TABLE), 0, "the table goes");
    tap_audit();
}

int main(void)
{
    uint32_t *first = page_alloc();

    map_page((void *)HAMMERED, pte_make(linear_to_mfn(first), PAGE_KERNEL));
    start_vcpus();
    tap_ok(vcpus == VCPUS, "there are %d vcpus", VCPUS);
    if (vcpus < 2)
        tap_done();
    test_together();
    start(ANSWER);
    ask_all();
    barrier();
    hammering = true;
    start(HAMMER);
    exchange_while_hammered();
    barrier();
    tap_audit();
    test_storm();
    tap_done();
}
