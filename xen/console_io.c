/* SPDX-License-Identifier: MIT */
/*
 * console_io.c: the console hypercall (xen/xen.h, HYPERVISOR_console_io).
 *
 * The initial domain writes to the machine's console as it is, and reads what is typed there. Other
 * domains have consoles of their own, carried by the control domain; what they write here, usually
 * before that works, is gathered into lines, cleaned of control characters, and printed as log
 * messages of the hypervisor: "(d3) text".
 *
 * Read next: console.c.
 */
#include <ringlet/console.h>
#include <ringlet/domain.h>
#include <ringlet/guest_access.h>
#include <ringlet/hypercall.h>

/* Bytes copied from a guest at a time; between two pieces others may run. */
#define PIECE 128

/* Guards `line` and `line_length` of every domain. */
static spinlock_t line_lock = SPINLOCK_INIT(RANK_LINE);

/*
 * Characters other than these would let a guest forge the hypervisor's lines or drive the terminal.
 */
static bool printable(char c)
{
    return (c >= ' ' && c <= '~') || c == '\t';
}

/*
 * Take the characters of an unprivileged domain up to the end of a line or of the piece; print the
 * line when it is whole or the buffer full. Returns how many characters were taken.
 */
static unsigned gather_line(struct domain *d, const char *s, unsigned n)
{
    unsigned taken = 0;

    spin_lock(&line_lock);
    while (taken < n) {
        char c = s[taken++];

        if (printable(c))
            d->line[d->line_length++] = c;
        if (c != '\n' && d->line_length < sizeof(d->line))
            continue;
        guest_log(LOG_DEBUG, "(d%u) %.*s\n", d->id, (int)d->line_length, d->line);
        d->line_length = 0;
        break;
    }
    spin_unlock(&line_lock);
    return taken;
}

/*
 * CONSOLEIO_write
 *  1. `count` bytes are read from `buffer`; zero is no error. A bad address gives -EFAULT; pieces
 *     before it are out.
 *  2. The call gives way to others between pieces and goes on with the rest.
 */
static long console_io_write(char *buffer, uint32_t count)
{
    struct domain *d = current->domain;
    char piece[PIECE];
    unsigned n = 0;

    for (; count; count -= n, buffer += n) {
        if (n && preempt_needed())
            return hypercall_continue(__HYPERVISOR_console_io, 3, CONSOLEIO_write, count, buffer);
        n = MIN(count, sizeof(piece));
        if (copy_from_guest(piece, buffer, n))
            return -EFAULT;
        if (d->initial)
            console_write(piece, n);
        else
            n = gather_line(d, piece, n);
    }
    return 0;
}

/*
 * CONSOLEIO_read, for the initial domain
 *  1. Returns how many bytes were typed and copied: at most `count`, at once, zero when there are
 *     none.
 *  2. -E2BIG for a count that could not be told from an error. On -EFAULT what was taken so far is
 *     lost.
 */
static long console_io_read(char *buffer, uint32_t count)
{
    char piece[PIECE];
    uint32_t got = 0;
    size_t n;

    if (count > INT32_MAX)
        return -E2BIG;
    while (got < count && (n = console_input_read(piece, MIN(count - got, sizeof(piece))))) {
        if (copy_to_guest(buffer + got, piece, n))
            return -EFAULT;
        got += n;
    }
    return got;
}

asmlinkage long do_console_io(uint32_t cmd, uint32_t count, char *guest_buffer)
{
    if (cmd == CONSOLEIO_write)
        return console_io_write(guest_buffer, count);
    if (!current->domain->initial)
        return -EPERM;
    if (cmd == CONSOLEIO_read)
        return console_io_read(guest_buffer, count);
    return -ENOSYS;
}
HYPERCALL(console_io);
