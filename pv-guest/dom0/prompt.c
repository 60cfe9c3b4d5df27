/* SPDX-License-Identifier: MIT */
/*
 * prompt.c - the commands, typed at "dom0> ", and being attached to a guest's console.
 *
 * The main loop hands over one byte at a time, because guests are served between two keystrokes.
 * News of guests (notice) may come at any moment: the line being typed is drawn again below them.
 *
 * Next: main.c.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pv/console.h>
#include <pv/number.h>
#include <pv/start.h>
#include <pv/time.h>
#include <xen/sched.h>

#include "domains.h"

#define PROMPT "dom0> "
#define CTRL(letter) ((letter)&0x1F)
#define LEAVE CTRL(']')
#define DELETE 0x7F

enum { LINE = 128, WORDS = 5 };

static char line[LINE];
static size_t length;
static struct guest *attached; /* whose console has the keyboard, or NULL */
static bool prompting;         /* the prompt is on the screen */
static char **given;           /* the words of the command being carried out */

/* ---- The screen ------------------------------------------------------------------------------ */

static void draw_prompt(void)
{
    prompting = true;
    printf(PROMPT "%.*s", (int)length, line);
    fflush(stdout);
}

void notice(const char *format, ...)
{
    va_list args;

    if (prompting || attached)
        printf("\r\n");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    if (prompting)
        draw_prompt();
}

static void detach(const char *why)
{
    printf("\r\n[%s: %s]\n", attached->config.name, why);
    attached = NULL;
    draw_prompt();
}

/*
 * A guest chooses how much it prints, and this machine's console may be a slow serial line: so a
 * piece at a time, and other guests are served in between.
 */
bool prompt_show(void)
{
    char piece[512];

    if (!attached)
        return false;
    size_t n = console_take(&attached->console, piece, sizeof piece);
    if (n)
        console_write(piece, n);
    else if (!attached->domid)
        detach("no longer runs");
    return n != 0;
}

/* A command would be carried out in the middle of another: keys for the prompt wait. */
void prompt_between(void)
{
    prompt_show();
    int byte = attached ? console_poll() : -1;
    if (byte >= 0)
        prompt_key(byte);
}

/* ---- Numbers in commands --------------------------------------------------------------------- */

enum { MOST_ROUNDS = 1000000, MOST_WEIGHT = UINT16_MAX, MOST_CAP = 3200 };

/* Read a word of the command as a number; or say what is accepted and return false. */
static bool take_number(const char *word, const char *what, uint32_t least, uint32_t most,
                        uint32_t *value)
{
    if (number_parse(word, least, most, value))
        return true;
    printf("%s: %s is a number from %" PRIu32 " to %" PRIu32 "\n", word, what, least, most);
    return false;
}

/* "0,2-3" as a set of bits, each below `processors`. The text is cut to pieces. */
static bool parse_cpus(char *text, uint32_t processors, uint32_t *set)
{
    char *rest;

    *set = 0;
    for (char *p = strtok_r(text, ",", &rest); p; p = strtok_r(NULL, ",", &rest)) {
        char *dash = strchr(p, '-');
        uint32_t first, last;

        if (dash)
            *dash = 0;
        if (!number_parse(p, 0, processors - 1, &first) ||
            !number_parse(dash ? dash + 1 : p, first, processors - 1, &last))
            return false;
        for (; first <= last; first++)
            *set |= 1u << first;
    }
    return *set != 0;
}

static bool take_cpus(char *word, uint32_t *set)
{
    uint32_t processors = host_processors();

    if (processors > 32)
        processors = 32;
    if (strcmp(word, "all") == 0)
        *set = UINT32_MAX;
    else if (!parse_cpus(word, processors, set)) {
        printf("processors are given as 0,2-3 or all; this machine's are 0 to %" PRIu32 "\n",
               processors - 1);
        return false;
    }
    return true;
}

/* ---- Commands: argv[1] is their guest -------------------------------------------------------- */

static void say(const struct guest *g, const char *why, const char *done)
{
    printf("%s: %s\n", g->config.name, why ? why : done);
}

static void cmd_create(struct guest *g)
{
    const char *why = guest_create(g);

    if (why)
        say(g, why, NULL);
    else
        printf("%s: domain %u, %" PRIu32 " MiB\n", g->config.name, g->domid, g->config.memory);
}

static void cmd_destroy(struct guest *g)
{
    say(g, guest_destroy(g), "destroyed");
}

/*
 * What a domain had must come back when it ends: build and destroy it some times. The first
 * time is not counted, for the hypervisor keeps some of what it allocates on first use.
 */
static void cmd_churn(struct guest *g)
{
    uint32_t rounds, before, done;

    if (!take_number(given[2], "N", 1, MOST_ROUNDS, &rounds))
        return;
    const char *why = guest_churn(g);
    before = host_free_pages();
    for (done = 0; done < rounds && !why; done++)
        why = guest_churn(g);
    printf("%s: %" PRIu32 " rounds%s%s; free before: %" PRIu32 ", after: %" PRIu32 " pages\n",
           g->config.name, done, why ? ", then " : "", why ? why : "", before, host_free_pages());
}

static void cmd_soak(struct guest *unused)
{
    uint32_t seed, lives;

    (void)unused;
    if (take_number(given[1], "SEED", 0, UINT32_MAX, &seed) &&
        take_number(given[2], "N", 1, MOST_ROUNDS, &lives))
        soak(seed, lives);
}

static void cmd_lives(struct guest *unused)
{
    uint32_t seed, most;

    (void)unused;
    if (take_number(given[1], "SEED", 0, UINT32_MAX, &seed) &&
        take_number(given[2], "N", 1, MOST_ROUNDS, &most))
        lives(seed, most);
}

static void attach(struct guest *g, const char *more)
{
    printf("[%s: Ctrl-] leaves%s]\n", g->config.name, more);
    fflush(stdout);
    attached = g;
}

/* A guest that has ended still has its last words to show. */
static void cmd_console(struct guest *g)
{
    bool before = g->console.shown && g->console.shown == g->console.written;

    attach(g, before ? "; nothing new, the command log shows what was printed before" : "");
}

static void cmd_log(struct guest *g)
{
    console_again(&g->console);
    attach(g, "");
}

/* The hypervisor counts pauses; here it takes one `unpause` to go on, whatever was typed before. */
static void cmd_pause(struct guest *g)
{
    struct domain_info info;

    if (!g->domid)
        say(g, "it does not run", NULL);
    else if (domctl_info(g->domid, &info) == 0 && info.paused)
        say(g, "it is paused already", NULL);
    else
        say(g, domctl_pause(g->domid) ? "the hypervisor refuses" : NULL, "paused");
}

static void cmd_unpause(struct guest *g)
{
    if (!g->domid)
        say(g, "it does not run", NULL);
    else
        say(g, domctl_unpause(g->domid) ? "it is not paused" : NULL, "unpaused");
}

static void cmd_resume(struct guest *g)
{
    say(g, guest_resume(g), "resumed");
}

static void cmd_crash(struct guest *g)
{
    if (!g->domid)
        say(g, "it does not run", NULL);
    else
        say(g, domain_crash(g->domid) ? "the hypervisor refuses" : NULL, "crashed");
}

/* Weight, cap and affinity are the domain's, and end with it. */
static void set_share(struct guest *g, unsigned int weight, unsigned int cap)
{
    if (!g->domid)
        say(g, "it does not run", NULL);
    else if (domctl_share(g->domid, &weight, &cap))
        say(g, "the hypervisor refuses", NULL);
    else
        printf("%s: weight %u, cap %u\n", g->config.name, weight, cap);
}

static void cmd_weight(struct guest *g)
{
    uint32_t weight;

    if (take_number(given[2], "a weight", 1, MOST_WEIGHT, &weight))
        set_share(g, weight, SHARE_AS_IT_IS);
}

static void cmd_cap(struct guest *g)
{
    uint32_t cap;

    if (take_number(given[2], "a cap", 0, MOST_CAP, &cap))
        set_share(g, 0, cap);
}

static void cmd_pin(struct guest *g)
{
    uint32_t vcpu, cpus;

    if (!take_number(given[2], "a vcpu of this guest", 0, g->config.vcpus - 1, &vcpu) ||
        !take_cpus(given[3], &cpus))
        return;
    if (!g->domid)
        say(g, "it does not run", NULL);
    else if (domctl_pin(g->domid, vcpu, &cpus))
        say(g, "the hypervisor refuses", NULL);
    else
        printf("%s: vcpu %" PRIu32 " runs on processors %#" PRIx32 "\n", g->config.name, vcpu,
               cpus);
}

static void cmd_vcpus(struct guest *g)
{
    struct vcpu_state s = {0};

    if (!g->domid)
        say(g, "it does not run", NULL);
    for (unsigned int i = 0; g->domid && !domctl_vcpu(g->domid, i, &s); i++)
        printf("  vcpu %u  %-8s on processor %" PRIu32 " of %#" PRIx32 "  ran %" PRIu32 " ms\n", i,
               s.what, s.cpu, s.allowed, (uint32_t)(s.ran_ns / 1000000));
}

static void cmd_logdirty(struct guest *g)
{
    if (!g->domid)
        say(g, "it does not run", NULL);
    else
        dirty_command(g, given[2]);
}

static void list_node(const struct node *n, int depth)
{
    for (; n; n = n->next) {
        printf("%*s%s = \"", 2 * depth, "", n->name);
        for (uint32_t i = 0; i < n->size; i++)
            putchar(n->value[i] >= ' ' && n->value[i] <= '~' ? n->value[i] : '?');
        printf("\" (%u)\n", n->owner);
        list_node(n->children, depth + 1);
    }
}

static void cmd_store(struct guest *g)
{
    if (!g->store) {
        say(g, "it does not run", NULL);
        return;
    }
    printf("/local/domain/%u\n", g->domid);
    list_node(xs_home(g->store)->children, 1);
}

/* Ask a guest through xenstore, as libxl does; it may listen or not. */
static void ask(struct guest *g, const char *what)
{
    if (!g->domid)
        say(g, "it does not run", NULL);
    else
        say(g, xs_set(g->store, "control/shutdown", what, g->domid), "asked");
}

static void cmd_suspend(struct guest *g)
{
    ask(g, "suspend");
}

static void cmd_shutdown(struct guest *g)
{
    if (g)
        ask(g, "poweroff");
    else
        domain_shutdown(SHUTDOWN_poweroff);
}

static void cmd_reboot(struct guest *g)
{
    if (g)
        ask(g, "reboot");
    else
        domain_shutdown(SHUTDOWN_reboot);
}

static const char *state_word(const struct domain_info *i)
{
    return i->dying      ? "dying"
           : i->shutdown ? shutdown_word(i->shutdown_reason)
           : i->paused   ? "paused"
           : i->blocked  ? "blocked"
           : i->running  ? "running"
                         : "ready";
}

static const char *name_of(uint16_t domid)
{
    struct guest *g;

    for (unsigned int i = 0; (g = guest_at(i)); i++)
        if (g->domid == domid)
            return g->config.name;
    return "?";
}

static void cmd_list(struct guest *unused)
{
    struct domain_info info;
    struct guest *g;

    (void)unused;
    printf("  ID  NAME              MiB  STATE        CPU TIME\n");
    for (uint32_t domid = 0; domid < DOMID_FIRST_RESERVED && domctl_next(domid, &info) == 0;
         domid = info.domid + 1u)
        printf("%4u  %-14s %6" PRIu32 "  %-11s %7u.%u s\n", info.domid,
               info.domid ? name_of(info.domid) : "dom0", info.pages / 256, state_word(&info),
               (unsigned int)(info.cpu_ns / NS_PER_SEC),
               (unsigned int)(info.cpu_ns / (NS_PER_SEC / 10) % 10));
    for (unsigned int i = 0; (g = guest_at(i)); i++)
        if (!g->domid)
            printf("   -  %-14s %6" PRIu32 "  %s\n", g->config.name, g->config.memory,
                   g->mistaken     ? "mistakes in its configuration"
                   : g->rebuild_at ? "reboots soon"
                                   : "not running");
}

static void cmd_free(struct guest *unused)
{
    (void)unused;
    printf("%" PRIu32 " pages\n", host_free_pages());
}

static void cmd_help(struct guest *unused);

static const struct command {
    const char *name, *argument, *help;
    void (*run)(struct guest *g);
    enum {
        NO_GUEST,
        NEEDS_GUEST,
        MAY_HAVE_GUEST,
        NEEDS_GUEST_AND_1,
        NEEDS_GUEST_AND_2,
        NEEDS_NUMBERS
    } wants;
} commands[] = {
    {"list", "", "the domains there are, and the guests that could run", cmd_list, NO_GUEST},
    {"create", "NAME", "build a guest's domain and run it", cmd_create, NEEDS_GUEST},
    {"console", "NAME", "see what it prints, from what was not shown yet on, and type to it",
     cmd_console, NEEDS_GUEST},
    {"log", "NAME", "the same from the last 16 KiB on that it has printed", cmd_log, NEEDS_GUEST},
    {"pause", "NAME", "stop running it", cmd_pause, NEEDS_GUEST},
    {"unpause", "NAME", "go on running it", cmd_unpause, NEEDS_GUEST},
    {"suspend", "NAME", "ask it to suspend itself", cmd_suspend, NEEDS_GUEST},
    {"resume", "NAME", "go on running it after it has suspended itself", cmd_resume, NEEDS_GUEST},
    {"crash", "NAME", "end it as if it had crashed", cmd_crash, NEEDS_GUEST},
    {"destroy", "NAME", "end it at once", cmd_destroy, NEEDS_GUEST},
    {"churn", "NAME N", "build and destroy it N times, and see that its memory comes back",
     cmd_churn, NEEDS_GUEST_AND_1},
    {"soak", "SEED N", "N random lives of the guests that do not start by themselves", cmd_soak,
     NEEDS_NUMBERS},
    {"lives", "SEED N",
     "N lives of the same guests, at most a second each, with seeds from SEED on", cmd_lives,
     NEEDS_NUMBERS},
    {"weight", "NAME N", "its vcpus' share of the processors, beside others' 256", cmd_weight,
     NEEDS_GUEST_AND_1},
    {"cap", "NAME N", "at most N hundredths of a processor; 0: no limit", cmd_cap,
     NEEDS_GUEST_AND_1},
    {"pin", "NAME VCPU CPUS", "the processors it may run on: 0,2-3 or all", cmd_pin,
     NEEDS_GUEST_AND_2},
    {"vcpus", "NAME", "what its vcpus do, and on which processors", cmd_vcpus, NEEDS_GUEST},
    {"logdirty", "NAME WHAT",
     "log the pages it writes: on, off, peek, clean, N times all of these, or verify=N",
     cmd_logdirty, NEEDS_GUEST_AND_1},
    {"shutdown", "[NAME]", "ask it to power off; alone: power off this machine", cmd_shutdown,
     MAY_HAVE_GUEST},
    {"reboot", "[NAME]", "ask it to reboot; alone: reboot this machine", cmd_reboot,
     MAY_HAVE_GUEST},
    {"store", "NAME", "its part of xenstore; in brackets whom a node belongs to", cmd_store,
     NEEDS_GUEST},
    {"free", "", "how much of the machine's memory is nobody's", cmd_free, NO_GUEST},
    {"help", "", "this list", cmd_help, NO_GUEST},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void cmd_help(struct guest *unused)
{
    (void)unused;
    for (const struct command *c = commands; c < commands + COMMANDS; c++)
        printf("  %-8s %-14s %s\n", c->name, c->argument, c->help);
    printf("NAME is a guest's name or its domain's number.\n");
}

static int split(char *text, char **words)
{
    int n = 0;

    for (char *rest, *w = strtok_r(text, " ", &rest); w && n < WORDS;
         w = strtok_r(NULL, " ", &rest))
        words[n++] = w;
    return n;
}

static void run(const struct command *c, int argc, char **argv)
{
    static const struct {
        int least, most;
    } words[] = {
        [NO_GUEST] = {1, 1},          [NEEDS_GUEST] = {2, 2},   [MAY_HAVE_GUEST] = {1, 2},
        [NEEDS_GUEST_AND_1] = {3, 3}, [NEEDS_NUMBERS] = {3, 3}, [NEEDS_GUEST_AND_2] = {4, 4},
    };
    struct guest *g = argc > 1 ? guest_find(argv[1]) : NULL;

    given = argv;
    if (argc > words[c->wants].most || argc < words[c->wants].least)
        printf("usage: %s %s\n", c->name, c->argument);
    else if (argc > 1 && !g && c->wants != NEEDS_NUMBERS)
        printf("no guest named %s (list shows them)\n", argv[1]);
    else
        c->run(g);
}

static void run_line(void)
{
    char *argv[WORDS];

    line[length] = 0;
    length = 0;
    int argc = split(line, argv);
    if (argc == 0)
        return;
    for (const struct command *c = commands; c < commands + COMMANDS; c++)
        if (strcmp(c->name, argv[0]) == 0) {
            run(c, argc, argv);
            return;
        }
    printf("no command %s; help lists them\n", argv[0]);
}

/* ---- The keyboard ---------------------------------------------------------------------------- */

static void erase(size_t count)
{
    for (; count && length; count--, length--)
        printf("\b \b");
    fflush(stdout);
}

static void end_line(bool take)
{
    printf("\n");
    prompting = false;
    if (take)
        run_line();
    length = 0;
    if (!attached)
        draw_prompt();
}

/* A guest that does not read its input, so that it is full, is answered for as terminals do. */
static void type(char byte)
{
    if (!console_type(&attached->console, byte))
        console_write("\a", 1);
}

/* Terminals send CR for Enter, and a guest expects what a terminal sends. */
void prompt_key(char byte)
{
    if (attached && byte == LEAVE)
        detach("left");
    else if (attached)
        type(byte);
    else if (byte == '\r' || byte == '\n' || byte == CTRL('C'))
        end_line(byte != CTRL('C'));
    else if (byte == '\b' || byte == DELETE)
        erase(1);
    else if (byte == CTRL('U'))
        erase(length);
    else if (byte >= ' ' && length + 1 < LINE) {
        line[length++] = byte;
        putchar(byte);
        fflush(stdout);
    }
}

void prompt_start(void)
{
    draw_prompt();
}
