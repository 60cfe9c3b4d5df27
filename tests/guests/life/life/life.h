/* SPDX-License-Identifier: MIT */
/*
 * life.h: what the files of this guest share. Next: main.c.
 */
#ifndef LIFE_H
#define LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include <pv/event.h>

/* workers.c: the other vcpus. How many were brought up; then a question to one of them. */
unsigned int workers_start(void);
void worker_ask(unsigned int worker);
/* All vcpus go down at the same moment, this one too; the domain has powered off then. */
void workers_down(void) __attribute__((noreturn));

/* peer.c: the guest at the other end of a channel and a shared page */
void peer_open(uint16_t peer, bool first);
void peer_round(void);
uint64_t peer_measure(uint32_t n);
bool peer_gone(void);
uint32_t peer_events(void);

#endif
