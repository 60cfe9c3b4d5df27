/* SPDX-License-Identifier: MIT */
/*
 * config.c - a guest's configuration, one "key = value" a line.
 *
 *     # toy.cfg
 *     kernel = toy.elf
 *     ramdisk = toy.img
 *     memory = 16
 *     cmdline = "verbose level=3"
 *     name = toy
 *     autostart = yes
 *     vcpus = 2
 *     weight = 512
 *     cap = 50
 *     ioports = 70-71 1f0-1f7
 *     irqs = 8 14
 *     iomem = b8-bf
 *
 * kernel and ramdisk name files of the same archive, memory counts MiB; extra is another word for
 * cmdline, as in xl's files, and values may stand in quotes as there. weight and cap are its share
 * of the processors (as the commands of these names). The last three give it parts of the machine: ports and frames in hexadecimal, lines in decimal. Only kernel must be given.
 * Every mistake is an error with its line: a misspelt key that is passed over costs an evening.
 *
 * Next: domains.c, which keeps the configurations.
 */
#include <stdio.h>
#include <string.h>

#include "archive.h"

enum {
    DEFAULT_MEMORY = 32,
    MAX_MEMORY = 4096,
    MAX_VCPUS = 32,
    MAX_CAP = 3200,
    MAX_PORT = 0xffff,
    MAX_LINE = 255
};

struct span {
    const char *s;
    size_t n;
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span t)
{
    while (t.n && blank(t.s[0]))
        t.s++, t.n--;
    while (t.n && blank(t.s[t.n - 1]))
        t.n--;
    return t;
}

static struct span unquote(struct span t)
{
    if (t.n >= 2 && (t.s[0] == '"' || t.s[0] == '\'') && t.s[t.n - 1] == t.s[0])
        t.s++, t.n -= 2;
    return t;
}

static bool is(struct span t, const char *word)
{
    return t.n == strlen(word) && memcmp(t.s, word, t.n) == 0;
}

static const char *take_string(struct span value, char *to, size_t room)
{
    if (value.n >= room)
        return "value too long";
    if (memchr(value.s, 0, value.n))
        return "a NUL in a value";
    memcpy(to, value.s, value.n);
    to[value.n] = 0;
    return NULL;
}

/* Names are typed at the prompt and printed in lists: letters, digits, '-', '_', '.'. */
static const char *take_name(struct span value, char *to, size_t room)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.s[i], lower = c | 0x20;

        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && !strchr("-_.", c))
            return "a name is made of letters, digits, '-', '_' and '.'";
    }
    if (value.n == 0 || (value.s[0] >= '0' && value.s[0] <= '9'))
        return "a name begins with a letter (numbers are domains)";
    return take_string(value, to, room);
}

/* A number from 0 to most; false: it is none. */
static bool take_digits(struct span value, unsigned int base, uint32_t most, uint32_t *to)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t n = 0;

    for (size_t i = 0; i < value.n; i++) {
        const char *digit = strchr(digits, value.s[i] | 0x20);

        if (value.s[i] < '0' || !digit || !*digit || digit >= digits + base)
            return false;
        n = n * base + (digit - digits);
        if (n > most)
            return false;
    }
    *to = n;
    return value.n != 0;
}

static const char *take_number(struct span value, uint32_t most, const char *why, uint32_t *to)
{
    return take_digits(value, 10, most, to) && *to ? NULL : why;
}

/* "70-71 80": ranges and single numbers, with blanks between. */
static const char *take_numbers(struct span value, unsigned int base, uint32_t most,
                                struct numbers *to)
{
    for (value = trim(value); value.n; value = trim(value)) {
        struct span word = {value.s, 0}, last;

        while (word.n < value.n && !blank(word.s[word.n]))
            word.n++;
        value = (struct span){value.s + word.n, value.n - word.n};
        const char *dash = memchr(word.s, '-', word.n);
        last = dash ? (struct span){dash + 1, word.s + word.n - dash - 1} : word;
        if (dash)
            word.n = dash - word.s;
        if (to->n == MAX_RANGES)
            return "too many ranges";
        if (!take_digits(word, base, most, &to->range[to->n].first) ||
            !take_digits(last, base, most, &to->range[to->n].last) ||
            to->range[to->n].first > to->range[to->n].last)
            return "expected numbers or ranges of them, such as 70-71";
        to->n++;
    }
    return NULL;
}

static const char *take_flag(struct span value, bool *to)
{
    *to = is(value, "yes") || is(value, "1");
    return *to || is(value, "no") || is(value, "0") ? NULL : "say yes or no";
}

static const char *take_pair(struct span key, struct span value, struct config *c)
{
    if (is(key, "kernel"))
        return take_string(value, c->kernel, sizeof c->kernel);
    if (is(key, "ramdisk"))
        return take_string(value, c->ramdisk, sizeof c->ramdisk);
    if (is(key, "cmdline") || is(key, "extra"))
        return take_string(value, c->cmdline, sizeof c->cmdline);
    if (is(key, "name"))
        return take_name(value, c->name, sizeof c->name);
    if (is(key, "memory"))
        return take_number(value, MAX_MEMORY, "memory is 1 to 4096 MiB", &c->memory);
    if (is(key, "vcpus"))
        return take_number(value, MAX_VCPUS, "a guest has 1 to 32 vcpus", &c->vcpus);
    if (is(key, "weight"))
        return take_number(value, UINT16_MAX, "a weight is 1 to 65535", &c->weight);
    if (is(key, "cap"))
        return take_number(value, MAX_CAP, "a cap is 1 to 3200 hundredths", &c->cap);
    if (is(key, "ioports"))
        return take_numbers(value, 16, MAX_PORT, &c->ioports);
    if (is(key, "irqs"))
        return take_numbers(value, 10, MAX_LINE, &c->irqs);
    if (is(key, "iomem"))
        return take_numbers(value, 16, UINT32_MAX, &c->iomem);
    if (is(key, "autostart"))
        return take_flag(value, &c->autostart);
    return "unknown key";
}

static const char *take_line(struct span text, struct config *c)
{
    text = trim(text);
    if (text.n == 0 || text.s[0] == '#')
        return NULL;
    const char *equals = memchr(text.s, '=', text.n);
    if (!equals)
        return "expected key = value";
    struct span key = {text.s, equals - text.s};
    struct span value = {equals + 1, text.n - key.n - 1};
    return take_pair(trim(key), unquote(trim(value)), c);
}

/* "guests/toy.cfg" names its guest "toy". */
static const char *name_from_file(const char *file, struct config *c)
{
    const char *slash = strrchr(file, '/');
    struct span name = {slash ? slash + 1 : file, 0};

    name.n = strlen(name.s);
    if (name.n > 4 && memcmp(name.s + name.n - 4, ".cfg", 4) == 0)
        name.n -= 4;
    return take_name(name, c->name, sizeof c->name);
}

bool config_parse(const char *file, const char *text, size_t size, struct config *c,
                  void (*mistake)(const char *file, unsigned int line, const char *why))
{
    unsigned int line = 0, mistakes = 0;
    size_t end;

    memset(c, 0, sizeof *c);
    c->memory = DEFAULT_MEMORY;
    c->vcpus = 1;
    for (size_t at = 0; at < size; at = end + 1) {
        const char *newline = memchr(text + at, '\n', size - at);

        end = newline ? (size_t)(newline - text) : size;
        line++;
        const char *why = take_line((struct span){text + at, end - at}, c);
        if (why)
            mistake(file, line, why), mistakes++;
    }
    const char *why = c->name[0] ? NULL : name_from_file(file, c);
    if (why)
        mistake(file, 0, why), mistakes++;
    if (!c->kernel[0])
        mistake(file, 0, "no kernel given"), mistakes++;
    return mistakes == 0;
}
