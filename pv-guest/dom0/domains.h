/* SPDX-License-Identifier: MIT */
/*
 * domains.h - the guests this control domain knows, and the prompt that commands them.
 */
#ifndef DOM0_DOMAINS_H
#define DOM0_DOMAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "archive.h"
#include "console.h"
#include "domctl.h"
#include "store.h"

/*
 * One configuration and, while it runs, its domain. domid is 0 exactly when it does not run; then
 * ports, pages and store are gone too, and only the console's log remains.
 */
struct guest {
    struct config config;
    bool mistaken; /* its configuration has mistakes, and it is never built */
    uint16_t domid;
    uint32_t console_port, store_port; /* numbers in this domain */
    void *console_page, *store_page;   /* the guest's ring pages, mapped here */
    struct xs_client *store;
    struct console console;
    bool told_of_console, told_of_store; /* that the guest broke their rules */
    uint64_t started;                    /* ns, when its domain was built */
    uint64_t rebuild_at;                 /* ns, when it is built again after a reboot; 0: never */
    uint32_t delay_ms;                   /* before that, the last time */
    uint16_t logged;                     /* the domain whose writes are logged; 0: none (dirty.c) */
    bool suspended;                      /* told so; it waits to be resumed or destroyed */
};

/* domains.c */

/* Read every configuration of the archive and listen for dying domains. */
void domains_init(const void *archive, size_t size);

/* Guest number i, or NULL behind the last. */
struct guest *guest_at(unsigned int i);
/* By name, or by the number of its domain. */
struct guest *guest_find(const char *name);

/* Build its domain and let it run, or end it: NULL, or why not. */
const char *guest_create(struct guest *g);
const char *guest_destroy(struct guest *g);
/* Let go on a guest that has suspended itself. */
const char *guest_resume(struct guest *g);
/* Build it, serve it for RUN_MS, and end it. NULL, or why it could not be built. */
const char *guest_churn(struct guest *g);

/* Serve all guests until then (ns), asleep in between. */
void domains_serve_until(uint64_t end);

/*
 * While this is set, it is told of each guest that ends, instead of the person at the keyboard, and
 * none is built again.
 */
extern void (*domains_watcher)(struct guest *g, unsigned int reason);

/* Build every guest that starts by itself. */
void domains_autostart(void);

/* Carry consoles and xenstore, bury the dead, build what is due. True: call again soon. */
bool domains_serve(void);

/* When domains_serve() must be called although no event comes: ns, or UINT64_MAX. */
uint64_t domains_due(void);

/* Whether an event came since domains_serve began; to be asked with events off. */
bool domains_pending(void);

/* "poweroff", "crash", ... for SHUTDOWN_*. */
const char *shutdown_word(unsigned int reason);

/* dirty.c */

/* What the log of its writes is told to do, by the word typed. */
void dirty_command(struct guest *g, const char *word);

/* soak.c */

/*
 * Build, run, pause, crash and destroy guests of the archive at random until `lives` domains have
 * lived, and report. Those that start by themselves are left alone.
 */
void soak(uint32_t seed, uint32_t lives);

/* lives.c */

/*
 * Build `most` domains of the same guests, with the words seed=SEED, seed=SEED+1 ... behind their
 * own; end each after a second at the latest, and report.
 */
void lives(uint32_t seed, uint32_t most);

/* prompt.c */

void prompt_start(void);
/* A byte from the keyboard. */
void prompt_key(char byte);
/* Show a piece of what an attached guest printed. True: there is more. */
bool prompt_show(void);
/* While a domain is built: show, and take a key if it is typed to a guest. */
void prompt_between(void);
/* A line of news, above what is being typed. */
void notice(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
