/* SPDX-License-Identifier: MIT */
/*
 * console.c: one console for the hypervisor and the initial domain.
 *
 * The hypervisor's own lines go to the devices `console=` names and into a ring in memory, which
 * sysctl readconsole reads (`xl dmesg`). The first moments of boot use the ring too: what is said
 * before the devices are known is shown when they are. These lines carry the prefix "(XEN) ", which
 * is what Xen's users and their scripts look for.
 *
 * The initial domain's output goes to the devices as it is, and not into the ring: a tool in that
 * domain that prints what it reads from the ring would otherwise find its own output there, and
 * never come to an end. `console_to_ring` on the command line puts it there all the same, as in Xen.
 *
 * Devices are polled (serial.c), so a message is out when printk returns, whatever happens next: what
 * Xen calls sync_console is the only way here.
 *
 * Input comes from the serial line. It belongs to the initial domain once that exists, and to the
 * hypervisor's keys (keys.c) before, or after Ctrl-A was typed three times.
 *
 * Read next: cmdline.c, keys.c, console_io.c (the initial domain's side).
 */
#include <ringlet/console.h>
#include <ringlet/domain.h>
#include <ringlet/module.h>

#define PREFIX "(XEN) "
#define SWITCH_KEY 0x01 /* Ctrl-A */

/*
 * Sizes are powers of two; indexes run freely and wrap at 2^32, so producer - consumer is what is
 * in a ring.
 */
#define OUTPUT_RING 16384u
#define INPUT_RING 256u
#define GUEST_INPUT_RING 4096u /* a page of text pasted at once */

/* Guards everything below, and the devices. Taken with nothing else to be locked inside. */
static spinlock_t console_lock = SPINLOCK_INIT(RANK_CONSOLE);

static char output[OUTPUT_RING];
static uint32_t output_start, output_end;
static bool at_line_start = true; /* of the hypervisor's own text */
static char last_serial;
static bool devices_ready;

static char typed[INPUT_RING]; /* from the UART, not yet looked at */
static uint32_t typed_start, typed_end;
static char guest_input[GUEST_INPUT_RING]; /* for the initial domain's CONSOLEIO_read */
static uint32_t guest_input_start, guest_input_end;
static bool input_to_hypervisor;
static unsigned switch_keys; /* how many of the last characters were SWITCH_KEY */

/*
 * The hypervisor is about to stop: a lock held by whoever was interrupted must not keep the reason
 * from being seen.
 */
static bool locks_ignored;

static void lock_console(void)
{
    if (!locks_ignored)
        spin_lock(&console_lock);
}

static void unlock_console(void)
{
    if (!locks_ignored)
        spin_unlock(&console_lock);
}

/* Terminals want a carriage return with each line feed; a guest may already have sent it. */
static void device_putc(char c)
{
    const struct console_device *screen;

    if (options.console_serial) {
        if (c == '\n' && last_serial != '\r')
            serial_putc('\r');
        serial_putc(c);
        last_serial = c;
    }
    for_each_record(console_device, screen)
    {
        screen->putc(c);
    }
}

static void ring_putc(char c)
{
    output[output_end++ % OUTPUT_RING] = c;
    if (output_end - output_start > OUTPUT_RING)
        output_start++;
}

static void output_putc(char c)
{
    ring_putc(c);
    if (devices_ready)
        device_putc(c);
}

static uint32_t nmis; /* not yet told of; atomic */

/* Takes no lock. */
void console_note_nmi(void)
{
    __atomic_fetch_add(&nmis, 1, __ATOMIC_SEQ_CST);
    raise_softirq(SOFTIRQ_CONSOLE);
}

/* The ring holds output that the initial domain has not been told of, by VIRQ_CON_RING; atomic. */
static bool news;

static void announce_output(void)
{
    if (!initial_domain || locks_ignored)
        return;
    __atomic_store_n(&news, true, __ATOMIC_SEQ_CST);
    raise_softirq(SOFTIRQ_CONSOLE);
}

/*
 * Write n characters of the initial domain's, as they are: to the devices, and into the ring only
 * when `console_to_ring` asks for it.
 */
void console_write(const char *s, size_t n)
{
    lock_console();
    for (size_t i = 0; i < n; i++) {
        device_putc(s[i]);
        if (options.console_to_ring)
            ring_putc(s[i]);
    }
    unlock_console();
    if (options.console_to_ring)
        announce_output();
}

/* Write n characters of the hypervisor's own; each line gets the prefix. */
void console_message(const char *s, size_t n)
{
    lock_console();
    for (; n--; s++) {
        if (at_line_start)
            for (const char *p = PREFIX; *p; p++)
                output_putc(*p);
        output_putc(*s);
        at_line_start = *s == '\n';
    }
    unlock_console();
    announce_output();
}

/*
 * Copy up to n characters of past output, from *index on, and move *index behind them. An index
 * that the ring has forgotten, or never had, becomes the oldest one. Returns how many were copied.
 */
size_t console_output_read(uint32_t *index, char *buf, size_t n)
{
    size_t copied = 0;

    lock_console();
    if (*index - output_start > output_end - output_start)
        *index = output_start;
    while (copied < n && *index != output_end)
        buf[copied++] = output[(*index)++ % OUTPUT_RING];
    unlock_console();
    return copied;
}

/* The index of the oldest character kept. */
uint32_t console_output_oldest(void)
{
    return output_start;
}

/* Forget past output up to index, if that is still there. */
void console_output_forget(uint32_t index)
{
    lock_console();
    if (index - output_start <= output_end - output_start)
        output_start = index;
    unlock_console();
}

/*
 * Take what has arrived, as far as there is room: the rest waits in the UART, and its sender with it.
 * console_lock is held.
 */
static void take_input(void)
{
    int c;

    while (typed_end - typed_start < INPUT_RING && (c = serial_getc()) >= 0)
        typed[typed_end++ % INPUT_RING] = (char)c;
}

/* From the UART's interrupt. What to do with the input is decided with nothing interrupted. */
void console_input_interrupt(void)
{
    lock_console();
    take_input();
    unlock_console();
    raise_softirq(SOFTIRQ_CONSOLE);
}

/* A UART that was left with something in it does not interrupt again: it is asked once more. */
static bool next_typed(char *c)
{
    bool any;

    lock_console();
    if (typed_start == typed_end)
        take_input();
    any = typed_start != typed_end;
    if (any)
        *c = typed[typed_start++ % INPUT_RING];
    unlock_console();
    return any;
}

/* Do what a key stands for, or say that it stands for nothing. No lock is held. */
void key_handle(char key)
{
    const struct key_record *k;

    for_each_record(key, k)
    {
        if (k->key == key) {
            k->fn();
            return;
        }
    }
    if (key > ' ' && key <= '~')
        printk("no key '%c'; 'h' lists the keys\n", key);
}

/*
 * Give one character to whoever has the input. The domain's ring loses what does not fit, as a UART
 * would.
 */
static void input_char(char c)
{
    if (input_to_hypervisor || !initial_domain) {
        key_handle(c);
        return;
    }
    lock_console();
    if (guest_input_end - guest_input_start < GUEST_INPUT_RING)
        guest_input[guest_input_end++ % GUEST_INPUT_RING] = c;
    unlock_console();
    send_initial_domain_virq(VIRQ_CONSOLE);
}

static void switch_input(void)
{
    input_to_hypervisor = !input_to_hypervisor;
    printk("Console input goes to %s now (Ctrl-A three times switches)\n",
           input_to_hypervisor ? "the hypervisor" : "the initial domain");
}

/*
 * SOFTIRQ_CONSOLE. Messages may be printed with any lock held, so they are announced from here.
 * Switch keys are held back until it is clear that there will not be three. */
static void console_softirq(void)
{
    uint32_t n = __atomic_exchange_n(&nmis, 0, __ATOMIC_SEQ_CST);
    char c;

    if (n)
        log_message(LOG_WARNING, "NMIs that nobody waited for: %u\n", n);
    if (__atomic_exchange_n(&news, false, __ATOMIC_SEQ_CST))
        send_initial_domain_virq(VIRQ_CON_RING);
    while (next_typed(&c)) {
        if (c == SWITCH_KEY) {
            if (++switch_keys == 3) {
                switch_keys = 0;
                switch_input();
            }
            continue;
        }
        for (; switch_keys; switch_keys--)
            input_char(SWITCH_KEY);
        input_char(c);
    }
}

/* Take up to n characters typed for the initial domain; returns how many there were. */
size_t console_input_read(char *buf, size_t n)
{
    size_t got = 0;

    lock_console();
    while (got < n && guest_input_start != guest_input_end)
        buf[got++] = guest_input[guest_input_start++ % GUEST_INPUT_RING];
    unlock_console();
    return got;
}

/* Boot, after cmdline_parse(): start the devices it names, and show what was said so far. */
void __init console_init_early(void)
{
    const struct console_device *screen;

    if (options.console_serial)
        serial_init(options.com1_port, options.com1_baud);
    for_each_record(console_device, screen)
    {
        screen->init();
    }
    for (uint32_t i = output_start; i != output_end; i++)
        device_putc(output[i % OUTPUT_RING]);
    devices_ready = true;
}

/* Boot, once interrupts and softirqs work: input. */
void __init console_init(void)
{
    softirq_register(SOFTIRQ_CONSOLE, console_softirq);
    if (options.console_serial)
        serial_irq_enable();
}

/* From now on nobody waits for locks here. There is nothing to flush: devices are polled. */
void console_flush_sync(void)
{
    locks_ignored = true;
}
