/* SPDX-License-Identifier: MIT */
/*
 * The toy kernel's commands. Each makes one thing happen and says what the processor did, with
 * values read from the machine. `argument` is the rest of the line, "" when there is none.
 */
#ifndef TOY_H
#define TOY_H

/* segments.c: what ring compression looks like from ring 1 */
void command_rings(const char *argument);
void command_cli(const char *argument);
void command_poke(const char *argument);

/* memory.c: page tables one may read but not write */
void command_fault(const char *argument);
void command_map(const char *argument);

/* user.c: a program in ring 3 */
void command_user(const char *argument);

/* calls.c: the hypervisor as a service */
void command_event(const char *argument);
void command_tick(const char *argument);
void command_hypercall(const char *argument);

/* store.c: what the control domain asks. start_store() watches for it, in a domain that has one. */
void start_store(void);

/* vcpus.c: several vcpus. start_vcpus() brings up what there are, and answers how many run then. */
unsigned int start_vcpus(void);
void command_vcpus(const char *argument);
void command_primes(const char *argument);

#endif
