/* SPDX-License-Identifier: MIT */
/*
 * cmdline.c: the boot command line: words separated by blanks, each NAME or NAME=VALUE, the names
 * being Xen's, so that a boot entry written for Xen works here. Words of Xen that have no meaning
 * here, and words nobody knows, are reported and ignored; so is a value that makes no sense, as a
 * whole: no part of it counts. The loader's own first word (QEMU puts
 * the file name there, GRUB 2 does not) is the caller's affair.
 *
 * Parsed once, at boot, before the console exists: what is said here is shown when it does.
 *
 * Read next: console.c.
 */
#include <ringlet/config.h>
#include <ringlet/console.h>

#ifdef NDEBUG
#define DEFAULT_LOGLVL LOG_WARNING
#else
#define DEFAULT_LOGLVL LOG_DEBUG
#endif

/* Boot only: written by cmdline_parse(), constant afterwards. */
struct boot_options options = {
    .console_serial = true,
    .console_vga = true,
    .loglvl = DEFAULT_LOGLVL,
    .guest_loglvl = DEFAULT_LOGLVL,
    .guest_loglvl_unrationed = LOG_NONE,
    .max_cpus = MAX_CPUS,
    .com1_baud = 115200,
    .com1_port = 0x3f8,
};

/* Does the comma-separated list hold this item? */
static bool list_has(const char *list, const char *item)
{
    size_t n = strlen(item);

    for (const char *s = list; s; s = strchr(s, ',')) {
        s += *s == ',';
        if (!strncmp(s, item, n) && (s[n] == ',' || s[n] == '\0'))
            return true;
    }
    return false;
}

/*
 * console=com1,vga: where output goes; `none`: nowhere. A list in which nothing is known changes
 * nothing: a machine that says nothing at all, not even why, helps nobody.
 */
static bool parse_console(const char *value)
{
    bool serial = list_has(value, "com1"), vga = list_has(value, "vga");

    if (!serial && !vga && strcmp(value, "none"))
        return false;
    options.console_serial = serial;
    options.console_vga = vga;
    return true;
}

/*
 * com1=BAUD[/CLOCK][,DPS[,PORT[,IRQ...]]]. Only 8n1 exists here; `auto` keeps what the default is.
 */
static bool parse_com1(const char *value)
{
    const char *end;
    unsigned long long baud = parse_number(value, &end), port = options.com1_port;

    if (end == value && !strncmp(value, "auto", 4)) {
        baud = options.com1_baud;
        end = value + 4;
    }
    if (baud < 50 || baud > 115200 || (*end && *end != '/' && *end != ','))
        return false;
    value = strchr(value, ',');
    value = value ? strchr(value + 1, ',') : NULL;
    if (value) {
        port = parse_number(value + 1, &end);
        if (end == value + 1 || (*end && *end != ',') || port == 0 || port > 0xfff8)
            return false;
    }
    options.com1_baud = (uint32_t)baud;
    options.com1_port = (uint16_t)port;
    return true;
}

/* One level by Xen's names; *end points behind it, at s if it is none. */
static enum log_level parse_level(const char *s, const char **end)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {{"none", LOG_NONE}, {"error", LOG_ERR},   {"warning", LOG_WARNING},
                 {"info", LOG_INFO}, {"debug", LOG_DEBUG}, {"all", LOG_DEBUG}};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        size_t n = strlen(names[i].name);

        if (!strncmp(s, names[i].name, n) && (s[n] == '\0' || s[n] == '/')) {
            *end = s + n;
            return names[i].level;
        }
    }
    *end = s;
    return LOG_NONE;
}

/* LEVEL[/RATIONED]: messages up to LEVEL always, up to RATIONED only so many a second. */
static bool parse_levels(const char *value, enum log_level *always, enum log_level *rationed)
{
    const char *end, *second;
    enum log_level first = parse_level(value, &end), last = first;

    if (end == value)
        return false;
    if (*end == '/') {
        second = end + 1;
        last = MAX(parse_level(second, &end), first);
        if (end == second)
            return false;
    }
    if (*end)
        return false;
    *always = first;
    *rationed = last;
    return true;
}

static bool parse_loglvl(const char *value)
{
    enum log_level always;

    /* The hypervisor's own messages are never rationed: guests cannot cause them at will. */
    return parse_levels(value, &always, &options.loglvl);
}

static bool parse_guest_loglvl(const char *value)
{
    return parse_levels(value, &options.guest_loglvl_unrationed, &options.guest_loglvl);
}

/* A size that may have a minus sign; *end is s if there is none. */
static int64_t parse_signed_size(const char *s, const char **end)
{
    bool negative = *s == '-';
    unsigned long long size = parse_size(s + negative, end);

    if (*end == s + negative)
        *end = s;
    size = MIN(size, (unsigned long long)INT64_MAX);
    return negative ? -(int64_t)size : (int64_t)size;
}

/*
 * dom0_mem=SIZE, also min:SIZE and max:SIZE, several with commas. builder.c says what they mean
 * together.
 */
static bool parse_dom0_mem(const char *value)
{
    int64_t mem = options.dom0_mem, min = options.dom0_mem_min, max = options.dom0_mem_max;
    const char *end;

    for (;; value = end + 1) {
        int64_t *size = &mem;

        if (!strncmp(value, "min:", 4) || !strncmp(value, "max:", 4)) {
            size = value[1] == 'i' ? &min : &max;
            value += 4;
        }
        *size = parse_signed_size(value, &end);
        if (end == value || (*end != ',' && *end != '\0'))
            return false;
        if (*end == '\0')
            break;
    }
    options.dom0_mem = mem;
    options.dom0_mem_min = min;
    options.dom0_mem_max = max;
    return true;
}

static bool parse_dom0_max_vcpus(const char *value)
{
    const char *end;
    unsigned long long n = parse_number(value, &end);

    if (end == value || *end || n == 0 || n > 1024)
        return false;
    options.dom0_max_vcpus = (unsigned)n;
    return true;
}

/* maxcpus=N: so many processors; 0, like nosmp, means the first alone. */
static bool parse_maxcpus(const char *value)
{
    const char *end;
    unsigned long long n = parse_number(value, &end);

    if (end == value || *end)
        return false;
    options.max_cpus = (unsigned)MIN(n, (unsigned long long)MAX_CPUS);
    return true;
}

/* tbuf_size=PAGES of trace buffer a CPU; tevt_mask=MASK (xen/trace.h) starts the trace at boot. */
static bool parse_tbuf_size(const char *value)
{
    const char *end;
    unsigned long long n = parse_number(value, &end);

    if (end == value || *end || n == 0 || n > 1024)
        return false;
    options.tbuf_size = (unsigned)n;
    return true;
}

static bool parse_tevt_mask(const char *value)
{
    const char *end;
    unsigned long long n = parse_number(value, &end);

    if (end == value || *end || n > 0xffffffff)
        return false;
    options.tevt_mask = (uint32_t)n;
    return true;
}

/* Words without a value. */
static bool parse_nosmp(const char *value)
{
    (void)value;
    options.max_cpus = 0;
    return true;
}

static bool parse_noreboot(const char *value)
{
    (void)value;
    options.noreboot = true;
    return true;
}

static bool parse_sync_console(const char *value)
{
    (void)value;
    options.sync_console = true;
    return true;
}

/* What the initial domain prints goes into the ring of past output too: console.c. */
static bool parse_console_to_ring(const char *value)
{
    (void)value;
    options.console_to_ring = true;
    return true;
}

/* Guests are told that there is NX: traps/cpuid.c. */
static bool parse_guest_nx(const char *value)
{
    (void)value;
    options.guest_nx = true;
    return true;
}

/* Tests alone: any domain may have the frame table audited, while all others stand still. */
static bool parse_guest_audit(const char *value)
{
    (void)value;
    options.guest_audit = true;
    return true;
}

static const struct word {
    const char *name; /* with '=' when a value follows */
    bool (*parse)(const char *value);
} words[] = {
    {"console=", parse_console},
    {"console_to_ring", parse_console_to_ring},
    {"com1=", parse_com1},
    {"loglvl=", parse_loglvl},
    {"guest_loglvl=", parse_guest_loglvl},
    {"sync_console", parse_sync_console},
    {"noreboot", parse_noreboot},
    {"dom0_mem=", parse_dom0_mem},
    {"dom0_max_vcpus=", parse_dom0_max_vcpus},
    {"maxcpus=", parse_maxcpus},
    {"nosmp", parse_nosmp},
    {"guest_nx", parse_guest_nx},
    {"guest_audit", parse_guest_audit},
    {"tbuf_size=", parse_tbuf_size},
    {"tevt_mask=", parse_tevt_mask},
};

/* `text` is one whole word. */
static void parse_word(const char *text)
{
    for (const struct word *w = words; w < words + ARRAY_SIZE(words); w++) {
        size_t n = strlen(w->name);
        bool takes_value = w->name[n - 1] == '=';

        if (strncmp(text, w->name, n) || (!takes_value && text[n]))
            continue;
        if (!w->parse(text + n))
            printk("Command line: bad value in \"%s\"\n", text);
        return;
    }
    printk("Command line: unknown word \"%s\" ignored\n", text);
}

/*
 * Read the whole command line into `options`. It is kept for XENVER_commandline; what does not fit
 * is cut.
 */
void __init cmdline_parse(const char *s)
{
    char word[128];

    if (strlcpy(options.cmdline, s, sizeof(options.cmdline)) >= sizeof(options.cmdline))
        printk("Command line: cut after %zu characters\n", sizeof(options.cmdline) - 1);
    for (s = options.cmdline; *s;) {
        size_t n = 0;

        while (*s == ' ' || *s == '\t')
            s++;
        for (; *s && *s != ' ' && *s != '\t'; s++)
            if (n < sizeof(word) - 1)
                word[n++] = *s;
        word[n] = '\0';
        if (n)
            parse_word(word);
    }
}
