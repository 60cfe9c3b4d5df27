/* SPDX-License-Identifier: MIT */
/*
 * The toy: a paravirtual kernel written to be read.
 *
 * It is a whole kernel, and there is little to it: the library in pv-guest/lib receives the
 * processor in ring 1 and prepares traps, memory, events, time and a console; this file is a
 * prompt. It runs as the initial domain, whose console is a hypercall, and as any other domain,
 * whose console is a ring in a shared page; nothing here can tell the difference.
 *
 * Words on the kernel's command line are run as commands before the prompt appears.
 *
 * Read next, in the order of the lesson: segments.c, memory.c, user.c, calls.c, store.c, vcpus.c.
 */
#include <stdio.h>
#include <string.h>

#include <xen/sched.h>

#include <pv/console.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/trap.h>

#include "toy.h"

struct command {
    const char *name;
    void (*run)(const char *argument);
    const char *what;
};

static void command_help(const char *argument);

/* No handler is hooked for #UD: the library prints the frame and ends the domain as crashed. */
static void command_crash(const char *argument)
{
    (void)argument;
    printf("crash: executing ud2, which nobody handles\n");
    __asm__ volatile("ud2");
}

static void command_halt(const char *argument)
{
    (void)argument;
    printf("halt: powering off\n");
    domain_shutdown(SHUTDOWN_poweroff);
}

static void command_reboot(const char *argument)
{
    (void)argument;
    printf("reboot: asking for a restart\n");
    domain_shutdown(SHUTDOWN_reboot);
}

static const struct command commands[] = {
    {"rings", command_rings, "this kernel's selectors and descriptors, decoded"},
    {"fault", command_fault, "a page fault, handled: memory appears under a read"},
    {"user", command_user, "a ring-3 program that uses int $0x80"},
    {"cli", command_cli, "a privileged instruction in ring 1"},
    {"poke", command_poke, "poke ADDR: try to read and write any address, the hypervisor's too"},
    {"map", command_map, "one frame at two addresses, and a map the hypervisor refuses"},
    {"event", command_event, "an event to oneself, held back and let through"},
    {"tick", command_tick, "the clock and the timer, five times 100 ms"},
    {"hypercall", command_hypercall, "who is below, and what a call costs"},
    {"vcpus", command_vcpus, "the vcpus, and what became of their time"},
    {"primes", command_primes, "primes N: N vcpus (or all) count primes together"},
    {"crash", command_crash, "die of an exception nobody handles"},
    {"reboot", command_reboot, "restart this domain"},
    {"halt", command_halt, "power off this domain"},
    {"help", command_help, "this list"},
};

static const int command_count = sizeof(commands) / sizeof(commands[0]);

static void command_help(const char *argument)
{
    (void)argument;
    for (int i = 0; i < command_count; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].what);
}

/* Split off the first word and run it. */
static void run(char *line)
{
    char *name = strtok(line, " \t");
    char *argument = strtok(NULL, "");

    if (!name)
        return;
    for (int i = 0; i < command_count; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            commands[i].run(argument ? argument : "");
            return;
        }
    }
    printf("%s: no such command; `help` lists them\n", name);
}

int main(int argc, char **argv)
{
    unsigned vcpus = start_vcpus();
    char line[80];

    printf("toy: a kernel in ring %u with %u KiB of memory and %u vcpu%s, %s\n", read_cs() & 3,
           pages_total() * (PAGE_SIZE / 1024), vcpus, vcpus == 1 ? "" : "s",
           is_initial_domain() ? "the initial domain" : "an unprivileged domain");
    printf("`help` lists the commands.\n");
    start_store();
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    for (;;) {
        printf("toy> ");
        fflush(stdout);
        console_readline(line, sizeof(line));
        run(line);
    }
}
