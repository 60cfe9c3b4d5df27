/* SPDX-License-Identifier: MIT */
/*
 * console.h: the hypervisor's console (16550 serial port, VGA text), its keys, and the command
 * line.
 */
#ifndef RINGLET_CONSOLE_H
#define RINGLET_CONSOLE_H

#include <ringlet/lib.h>
#include <ringlet/module.h>

struct cpu_user_regs;

/* arch/i386/serial.c */
void serial_init(uint16_t port, uint32_t baud);
void serial_putc(char c);
int serial_getc(void); /* -1: nothing there */
void serial_irq_enable(void);

/*
 * CONSOLE_DEVICE(init, putc): a screen beside the serial port. Boot calls init() once the direct map
 * exists; putc() prints one character, and does nothing where the command line wants no such device.
 * The console's lock is held.
 */
struct console_device {
    void (*init)(void);
    void (*putc)(char c);
};
MODULE_RECORDS(struct console_device, console_device);
#define CONSOLE_DEVICE(init_fn, putc_fn)                                           \
    MODULE_RECORD(struct console_device, console_device, console_device_##init_fn, \
                  .init = init_fn, .putc = putc_fn)

/* xen/console.c: output to whatever `console=` names; input to keys or to the initial domain */
void console_init_early(void);
void console_init(void);
void console_write(const char *s, size_t n); /* the initial domain's output, as it is */
/* each line prefixed: the hypervisor's output */
void console_message(const char *s, size_t n);
size_t console_output_read(uint32_t *index, char *buf, size_t n);
uint32_t console_output_oldest(void);
void console_output_forget(uint32_t index);
void key_handle(char key);
size_t console_input_read(char *buf, size_t n);
void console_input_interrupt(void); /* from the UART's interrupt */
void console_note_nmi(void);
void console_flush_sync(void); /* panic: everything out, from now on polled and unlocked */

/* xen/cmdline.c: Xen's words. Parsed once at boot into `options`. */
struct boot_options {
    /* Bytes; negative: so much less than there is; 0: not given. */
    int64_t dom0_mem, dom0_mem_min, dom0_mem_max;
    bool guest_nx;
    bool guest_audit; /* any domain may ask for the audit: xen/debug/audit.c */
    unsigned dom0_max_vcpus;
    unsigned max_cpus;
    bool noreboot;
    bool sync_console;
    bool console_serial, console_vga;
    bool console_to_ring; /* the initial domain's output, too */
    enum log_level loglvl, guest_loglvl;
    /* messages guests cause are rationed above this level */
    enum log_level guest_loglvl_unrationed;
    uint32_t com1_baud;
    uint16_t com1_port;
    unsigned tbuf_size; /* pages; 0: none */
    uint32_t tevt_mask;
    char cmdline[1024];
};
extern struct boot_options options;
void cmdline_parse(const char *s);

/* arch/i386/reboot.c */
noreturn void machine_reboot(void);
noreturn void machine_power_off(void);
noreturn void machine_halt(void);

#endif
