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
 *
 * kernel and ramdisk name files of the same archive, memory counts MiB; extra is another word for
 * cmdline, as in xl's files, and values may stand in quotes as there. Only kernel must be given.
 * Every mistake is an error with its line: a misspelt key that is passed over costs an evening.
 *
 * Next: domains.c, which keeps the configurations.
 */
#include <stdio.h>
#include <string.h>

#include "archive.h"

enum { DEFAULT_MEMORY = 32, MAX_MEMORY = 4096 };

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

static const char *take_memory(struct span value, uint32_t *to)
{
    *to = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (value.s[i] < '0' || value.s[i] > '9')
            return "memory is a number of MiB";
        *to = *to * 10 + (value.s[i] - '0');
        if (*to > MAX_MEMORY)
            return "a guest may have 4096 MiB at most";
    }
    return *to ? NULL : "memory is a number of MiB";
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
        return take_memory(value, &c->memory);
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

const char *config_parse(const char *file, const char *text, size_t size, struct config *c,
                         unsigned int *line)
{
    size_t end;

    memset(c, 0, sizeof *c);
    c->memory = DEFAULT_MEMORY;
    *line = 0;
    for (size_t at = 0; at < size; at = end + 1) {
        const char *newline = memchr(text + at, '\n', size - at);

        end = newline ? (size_t)(newline - text) : size;
        ++*line;
        const char *why = take_line((struct span){text + at, end - at}, c);
        if (why)
            return why;
    }
    if (!c->kernel[0])
        return "no kernel given";
    return c->name[0] ? NULL : name_from_file(file, c);
}
