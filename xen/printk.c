/* SPDX-License-Identifier: MIT */
/*
 * printk.c: formatted messages.
 *
 * Why our own formatter: the printf of a C library wants that library beneath it (locales, floating
 * point, streams), and this one has to work on an 8 KiB stack in ring 0, in the middle of a panic.
 * It knows what the hypervisor prints: %d %i %u %x %X %p %s %c %%, the sizes l, ll and z, a width
 * (or *), '0', '-' and '#', and a precision, which limits strings. An unknown conversion is printed
 * as it stands, so that a slip shows.
 *
 * Messages about the hypervisor itself go through log_message() and obey `loglvl=`; those a guest
 * can cause at will go through guest_log(), obey `guest_loglvl=` and are rationed, or a guest could
 * keep a processor busy writing to a serial line, 87 us a character.
 *
 * Read next: console.c, where the text goes.
 */
#include <ringlet/console.h>
#include <ringlet/time.h>

/* Where formatted text goes: what fits into size - 1 characters is kept, all of it is counted. */
struct text {
    char *buf;
    size_t size;
    size_t len;
};

/* One conversion, as its letters say. */
struct conversion {
    bool left, zero, alternate;
    int width;
    int precision; /* -1: none */
    unsigned size; /* number of l's; z is one */
};

static void put_char(struct text *t, char c)
{
    if (t->len + 1 < t->size)
        t->buf[t->len] = c;
    t->len++;
}

static void put_padding(struct text *t, char c, int n)
{
    while (n-- > 0)
        put_char(t, c);
}

/*
 * `prefix` (a sign or 0x), then the digits or characters, filled up to the width. Zeros go behind
 * the prefix.
 */
static void put_field(struct text *t, const struct conversion *c, const char *prefix, const char *s,
                      size_t n)
{
    int fill = c->width - (int)(strlen(prefix) + n);

    if (!c->left && !c->zero)
        put_padding(t, ' ', fill);
    while (*prefix)
        put_char(t, *prefix++);
    if (!c->left && c->zero)
        put_padding(t, '0', fill);
    while (n--)
        put_char(t, *s++);
    if (c->left)
        put_padding(t, ' ', fill);
}

/*
 * Divide *v by base, which is at most 16, and return the remainder: by hand, sixteen bits at a
 * time, so that each step is a 32-bit division, which the processor has.
 */
static unsigned divide_step(uint64_t *v, unsigned base)
{
    uint64_t quotient = 0;
    uint32_t rest = 0;

    for (int shift = 48; shift >= 0; shift -= 16) {
        rest = rest << 16 | (uint16_t)(*v >> shift);
        quotient = quotient << 16 | rest / base;
        rest %= base;
    }
    *v = quotient;
    return rest;
}

static void put_number(struct text *t, const struct conversion *c, uint64_t v, unsigned base,
                       const char *digits, const char *prefix)
{
    char buf[24];
    size_t at = sizeof(buf);

    do {
        buf[--at] = digits[divide_step(&v, base)];
    } while (v);
    put_field(t, c, prefix, buf + at, sizeof(buf) - at);
}

static void put_string(struct text *t, struct conversion *c, const char *s)
{
    size_t n = 0;

    if (!s)
        s = "(null)";
    while ((c->precision < 0 || n < (size_t)c->precision) && s[n])
        n++;
    c->zero = false;
    put_field(t, c, "", s, n);
}

/*
 * Read a width or precision: digits or '*'. A negative width from '*' means left-aligned, as in C.
 */
static int parse_count(const char **fmt, va_list *args)
{
    int n = 0;

    if (**fmt == '*') {
        (*fmt)++;
        return va_arg(*args, int);
    }
    while (**fmt >= '0' && **fmt <= '9')
        n = n * 10 + (*(*fmt)++ - '0');
    return n;
}

/* Read everything between '%' and the conversion's letter. */
static struct conversion parse_conversion(const char **fmt, va_list *args)
{
    struct conversion c = {.precision = -1};

    for (;; (*fmt)++) {
        if (**fmt == '-')
            c.left = true;
        else if (**fmt == '0')
            c.zero = true;
        else if (**fmt == '#')
            c.alternate = true;
        else
            break;
    }
    c.width = parse_count(fmt, args);
    if (c.width < 0) {
        c.left = true;
        c.width = -c.width;
    }
    if (**fmt == '.') {
        (*fmt)++;
        c.precision = parse_count(fmt, args);
    }
    for (; **fmt == 'l' || **fmt == 'z'; (*fmt)++)
        c.size++;
    return c;
}

static uint64_t unsigned_argument(const struct conversion *c, va_list *args)
{
    if (c->size == 2)
        return va_arg(*args, unsigned long long);
    return c->size == 1 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned int);
}

static int64_t signed_argument(const struct conversion *c, va_list *args)
{
    if (c->size == 2)
        return va_arg(*args, long long);
    return c->size == 1 ? va_arg(*args, long) : va_arg(*args, int);
}

/* Print one argument as *fmt's letter asks; leaves fmt behind the letter. */
static void put_conversion(struct text *t, const char **fmt, va_list *args)
{
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    struct conversion c = parse_conversion(fmt, args);
    int64_t number;
    char letter;

    switch (**fmt) {
    case 'd':
    case 'i':
        number = signed_argument(&c, args);
        put_number(t, &c, number < 0 ? -(uint64_t)number : (uint64_t)number, 10, lower,
                   number < 0 ? "-" : "");
        break;
    case 'u':
        put_number(t, &c, unsigned_argument(&c, args), 10, lower, "");
        break;
    case 'x':
        put_number(t, &c, unsigned_argument(&c, args), 16, lower, c.alternate ? "0x" : "");
        break;
    case 'X':
        put_number(t, &c, unsigned_argument(&c, args), 16, upper, c.alternate ? "0X" : "");
        break;
    case 'p':
        c.zero = true;
        c.width = 2 * sizeof(void *);
        put_number(t, &c, (uintptr_t)va_arg(*args, void *), 16, lower, "");
        break;
    case 's':
        put_string(t, &c, va_arg(*args, const char *));
        break;
    case 'c':
        letter = (char)va_arg(*args, int);
        c.zero = false;
        put_field(t, &c, "", &letter, 1);
        break;
    case '%':
        put_char(t, '%');
        break;
    case '\0':
        return;
    default:
        put_char(t, '%');
        put_char(t, **fmt);
    }
    (*fmt)++;
}

/*
 * Format into buf, which holds `size` characters; the result is always ended (unless size is 0).
 * Returns the length the whole text has, as C's vsnprintf: at least `size` when it was cut.
 */
int vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
    struct text t = {buf, size, 0};
    va_list rest;

    va_copy(rest, args);
    while (*fmt) {
        if (*fmt != '%') {
            put_char(&t, *fmt++);
            continue;
        }
        fmt++;
        put_conversion(&t, &fmt, &rest);
    }
    va_end(rest);
    if (size)
        buf[MIN(t.len, size - 1)] = '\0';
    return (int)t.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(buf, size, fmt, args);
    va_end(args);
    return n;
}

/* Longer messages are cut: the buffer stands on an 8 KiB stack. */
#define MESSAGE_SIZE 256

void vprintk(const char *fmt, va_list args)
{
    char buf[MESSAGE_SIZE];
    int n = vsnprintf(buf, sizeof(buf), fmt, args);

    console_message(buf, MIN((size_t)n, sizeof(buf) - 1));
}

/* Print always, whatever the log levels are. */
void printk(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprintk(fmt, args);
    va_end(args);
}

/* Print a message of the hypervisor's own, if `loglvl=` lets this level through. */
void log_message(enum log_level level, const char *fmt, ...)
{
    va_list args;

    if (level > options.loglvl)
        return;
    va_start(args, fmt);
    vprintk(fmt, args);
    va_end(args);
}

/*
 * The ration of messages guests can cause: up to RATION_BURST at once, then RATION_PER_SEC. One CPU
 * at a time fills it up, and what is left is taken one by one, by atomic operations; the others need
 * not wait for that.
 */
#define RATION_BURST 200
#define RATION_PER_SEC 50

static unsigned ration_left = RATION_BURST;
static bool ration_filling;  /* guards ration_time */
static uint64_t ration_time; /* up to when it has been filled */
static unsigned ration_dropped;

static void fill_ration(uint64_t now)
{
    if (__atomic_exchange_n(&ration_filling, true, __ATOMIC_ACQUIRE))
        return;
    while (ration_left < RATION_BURST && now - ration_time >= NS_PER_SEC / RATION_PER_SEC) {
        ration_time += NS_PER_SEC / RATION_PER_SEC;
        __atomic_fetch_add(&ration_left, 1, __ATOMIC_SEQ_CST);
    }
    if (ration_left >= RATION_BURST)
        ration_time = now;
    __atomic_store_n(&ration_filling, false, __ATOMIC_RELEASE);
}

static bool within_ration(void)
{
    unsigned left, dropped;

    fill_ration(now_ns());
    left = ration_left;
    do {
        if (!left) {
            __atomic_fetch_add(&ration_dropped, 1, __ATOMIC_SEQ_CST);
            return false;
        }
    } while (!__atomic_compare_exchange_n(&ration_left, &left, left - 1, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    dropped = __atomic_exchange_n(&ration_dropped, 0, __ATOMIC_SEQ_CST);
    if (dropped)
        printk("%u messages caused by guests were left out\n", dropped);
    return true;
}

/*
 * Print a message that a guest caused, if `guest_loglvl=` lets this level through; rationed above
 * its first part.
 */
void guest_log(enum log_level level, const char *fmt, ...)
{
    va_list args;

    if (level > options.guest_loglvl)
        return;
    if (level > options.guest_loglvl_unrationed && !within_ration())
        return;
    va_start(args, fmt);
    vprintk(fmt, args);
    va_end(args);
}
