/* SPDX-License-Identifier: MIT */
/*
 * timerdev.c: the hardware behind time: how fast does the TSC run, and who interrupts when a timer
 * is due?
 *
 * The PC's one clock of known rate is the PIT (8254 timer), 1,193,182 Hz since 1981: its channel 2,
 * which nothing else uses, measures the TSC at boot. The interrupt comes from the local APIC's
 * timer, in one-shot mode: write a count, and when it has run down, one interrupt comes. Its rate
 * is measured against the TSC. Where there is no APIC, PIT channel 0 does the same on IRQ 0, at
 * most 55 ms ahead.
 *
 * Coming early is no harm: the timer softirq finds nothing due and sets the device again. So a
 * deadline beyond what the counter holds is cut short, and a deadline moved into the future is not
 * worth a write to the device.
 *
 * Read next: xen/timer.c (the heap of timers), xen/time.c (the TSC as nanoseconds).
 */
#include <ringlet/apic.h>
#include <ringlet/arch.h>
#include <ringlet/desc.h>
#include <ringlet/irq.h>
#include <ringlet/percpu.h>
#include <ringlet/time.h>

#define PIT_HZ 1193182u
#define PIT_CHANNEL0 0x40
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PIT_CH0_ONESHOT \
    0x30 /* channel 0, low then high byte, mode 0: interrupt on terminal count */
#define PIT_CH2_COUNTDOWN 0xb0 /* channel 2, the same */
#define PIT_CH2_LATCH 0x80
#define PIT_IRQ 0
#define PORT_B 0x61
#define PORT_B_GATE 0x01    /* channel 2 counts */
#define PORT_B_SPEAKER 0x02 /* the speaker listens to it */
#define PORT_B_OUTPUT 0x20  /* its output, to be read */

#define CALIBRATION_TICKS (PIT_HZ / 40) /* 25 ms; the counter's 16 bits hold 55 */
#define APIC_CALIBRATION MILLISECS(10)
#define APIC_DIVIDE_BY_16 0x3

/* Boot constants: device ticks in 2^32 ns, and the longest count the device takes. */
static uint32_t ticks_per_ns_32;
static uint32_t max_ticks;
static bool use_apic;

struct pit_sample {
    uint64_t tsc;
    uint16_t count;
};

/* Latch channel 2's counter, and note the TSC of that moment. */
static struct pit_sample pit_read(void)
{
    struct pit_sample s;

    s.tsc = rdtsc();
    outb(PIT_COMMAND, PIT_CH2_LATCH);
    s.count = inb(PIT_CHANNEL2);
    s.count |= inb(PIT_CHANNEL2) << 8;
    return s;
}

/*
 * A sample taken just after the counter moved, so that it is good for a fraction of a PIT tick (838
 * ns). Where reading takes longer than a tick, or the machine we are emulated on looked away, the
 * smallest step of some tries is taken.
 */
static struct pit_sample pit_sample_at_edge(void)
{
    struct pit_sample best = {0}, last = pit_read();
    uint16_t best_step = 0xffff;

    for (unsigned tries = 0; tries < 16 && best_step > 1;) {
        struct pit_sample s = pit_read();
        uint16_t step = last.count - s.count;

        last = s;
        if (step == 0)
            continue;
        tries++;
        if (step < best_step) {
            best_step = step;
            best = s;
        }
    }
    return best;
}

/*
 * Measure the TSC's frequency in Hz over 25 ms. In mode 0 the channel's output goes high when the
 * counter runs out, after 55 ms, and stays high: then the machine we are emulated on looked away
 * for too long, and the count says nothing. 0 then.
 */
static uint64_t measure_tsc(void)
{
    struct pit_sample start, end;

    outb(PORT_B, (inb(PORT_B) & ~PORT_B_SPEAKER) | PORT_B_GATE);
    outb(PIT_COMMAND, PIT_CH2_COUNTDOWN);
    outb(PIT_CHANNEL2, 0xff);
    outb(PIT_CHANNEL2, 0xff);
    start = pit_sample_at_edge();
    do {
        end = pit_read();
    } while ((uint16_t)(start.count - end.count) < CALIBRATION_TICKS &&
             !(inb(PORT_B) & PORT_B_OUTPUT));
    end = pit_sample_at_edge();
    if (inb(PORT_B) & PORT_B_OUTPUT)
        return 0;
    return (end.tsc - start.tsc) * PIT_HZ / (uint16_t)(start.count - end.count);
}

/* Frequency of the TSC in Hz. */
uint64_t timerdev_calibrate_tsc(void)
{
    for (unsigned tries = 0; tries < 20; tries++) {
        uint64_t hz = measure_tsc();

        if (hz)
            return hz;
    }
    panic("the PIT's channel 2 does not count");
}

/*
 * Ticks of the APIC timer in 2^32 ns. It counts down from the start; each reading is paired with
 * the time.
 */
static uint32_t calibrate_apic_timer(void)
{
    uint64_t start, now;
    uint32_t first, last;

    apic_write(APIC_TIMER_INITIAL, ~0u);
    start = now_ns();
    first = apic_read(APIC_TIMER_CURRENT);
    do {
        now = now_ns();
        last = apic_read(APIC_TIMER_CURRENT);
    } while (now < start + APIC_CALIBRATION);
    apic_write(APIC_TIMER_INITIAL, 0);
    return ((uint64_t)(first - last) << 32) / (now - start);
}

/* The interrupt controller that a module has found in this machine, or the PICs. */
static const struct irq_controller *find_irq_controller(void)
{
    const struct irq_controller_record *r;

    for_each_record(irq_controller, r)
    {
        if (r->controller->init())
            return r->controller;
    }
    return &pic_controller;
}

void timerdev_init(void)
{
    pic_init();
    use_apic = apic_init();
    irq_init(use_apic ? find_irq_controller() : &pic_controller);
    if (use_apic) {
        apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_16);
        ticks_per_ns_32 = calibrate_apic_timer();
        use_apic = ticks_per_ns_32 != 0;
    }
    if (use_apic) {
        max_ticks = ~0u;
    } else {
        ticks_per_ns_32 = ((uint64_t)PIT_HZ << 32) / NS_PER_SEC;
        max_ticks = 0xffff;
        irq_register(PIT_IRQ, timer_interrupt);
    }
    log_message(LOG_INFO, "Timer: %s, %u kHz\n", use_apic ? "local APIC" : "PIT",
                (uint32_t)(((uint64_t)ticks_per_ns_32 * 1000000) >> 32));
    timerdev_init_cpu();
}

/* Has each CPU a timer of its own, and a local APIC with it? Without, one CPU is all we can use. */
bool timerdev_is_local(void)
{
    return use_apic;
}

/* The timer's entry in the local vector table: this vector, one-shot, not masked. */
void timerdev_init_cpu(void)
{
    this_cpu->timer_deadline = ~0ull;
    if (use_apic) {
        apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_16);
        apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
    }
}

static void set_device(uint32_t ticks)
{
    if (use_apic) {
        apic_write(APIC_TIMER_INITIAL, ticks);
    } else {
        outb(PIT_COMMAND, PIT_CH0_ONESHOT);
        outb(PIT_CHANNEL0, ticks & 0xff);
        outb(PIT_CHANNEL0, ticks >> 8);
    }
}

/*
 * Interrupt this CPU at system time `deadline` (ns) or earlier; at once, by a softirq, when that is
 * past.
 */
void timerdev_program(uint64_t deadline)
{
    struct cpu *c = this_cpu;
    uint64_t now = now_ns(), delta = deadline - now;
    uint32_t ticks;

    if (deadline <= now) {
        raise_softirq(SOFTIRQ_TIMER);
        return;
    }
    c->timer_deadline = deadline;
    if (delta > ~0u)
        delta = ~0u;
    ticks = (delta * ticks_per_ns_32) >> 32;
    set_device(ticks < max_ticks ? ticks + 1 : max_ticks);
}

/* The device has run down: whatever is due is dealt with on the way out. Interrupts are off. */
void timer_interrupt(void)
{
    if (use_apic)
        apic_eoi();
    this_cpu->timer_deadline = ~0ull;
    raise_softirq(SOFTIRQ_TIMER);
}
