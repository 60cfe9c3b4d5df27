/* SPDX-License-Identifier: MIT */
/*
 * module.h: how a file makes itself known to the core without being named by it.
 *
 * A file that lies directly in one of the rooms (arch/i386, xen, hypercall, mm, traps, evtchn) is
 * core; a folder inside a room is a module. The core never names a symbol of a module. Instead, a
 * file puts a record into a linker section by one of the macros below, and the code that dispatches
 * walks the section. A module is part of the system by being linked. Without its folder its
 * operations answer -ENOSYS, its boot step and its keys are gone, and nothing else changes:
 * `make core` links the hypervisor without any module.
 *
 *   section module_KIND:   record | record | record ...      from any number of files, in link order
 *                          ^                         ^
 *                          __start_module_KIND       __stop_module_KIND
 *
 * arch/i386/ringlet.lds.S lists the sections. Host tests get the two symbols from the linker, because
 * the sections' names are C identifiers; they are weak, since a test may link no record of a kind.
 *
 * Read next: hypercall/table.c, xen/main.c.
 */
#ifndef RINGLET_MODULE_H
#define RINGLET_MODULE_H

#include <ringlet/types.h>

/* Declare the records of one kind, and where they begin and end. */
#define MODULE_RECORDS(type, kind)                                   \
    extern const type __start_module_##kind[] __attribute__((weak)); \
    extern const type __stop_module_##kind[] __attribute__((weak))

/* Put one record of a kind into its section; the rest of the arguments initialise it. */
#define MODULE_RECORD(type, kind, name, ...) \
    static const type name __used            \
        __attribute__((section("module_" #kind), aligned(__alignof__(type)))) = {__VA_ARGS__}

#define for_each_record(kind, record) \
    for ((record) = __start_module_##kind; (record) < __stop_module_##kind; (record)++)

/*
 * HYPERCALL(name): do_name() serves hypercall __HYPERVISOR_name. It is asmlinkage, takes up to six
 * words in the order of the ABI's registers, and returns 0 or more, or -Exxx. A number has one owner.
 */
struct hypercall_record {
    unsigned nr;
    void (*fn)(void);
};
MODULE_RECORDS(struct hypercall_record, hypercall);
#define HYPERCALL(name)                                                                            \
    MODULE_RECORD(struct hypercall_record, hypercall, hypercall_##name, .nr = __HYPERVISOR_##name, \
                  .fn = (void (*)(void))do_##name)

/*
 * BOOT_STEP(level, fn): fn() runs once, on the boot CPU, when xen/main.c reaches the level. Steps of
 * one level must not depend on each other.
 */
enum boot_level {
    BOOT_KERNEL_FILE,    /* the boot modules are known; nothing else is allocated yet */
    BOOT_SERVICES,       /* memory, time, timers and softirqs work; one CPU, no domain yet */
    BOOT_PROCESSORS,     /* this CPU is complete: others may be started */
    BOOT_INITIAL_DOMAIN, /* the initial domain is built, and does not run yet */
};
struct boot_step {
    enum boot_level level;
    void (*fn)(void);
};
MODULE_RECORDS(struct boot_step, boot_step);
#define BOOT_STEP(at, function) \
    MODULE_RECORD(struct boot_step, boot_step, boot_step_##function, .level = (at), .fn = function)

/*
 * DOMAIN_PART(name, ...): what a module has to do for each domain. Every member may be left out.
 */
struct domain;
struct domain_part {
    /* The initial domain has been created: give it what of the machine is the module's. 0, -ENOMEM. */
    int (*initial)(struct domain *d);
    /*
     * d is dying, its ports are closed, and none of its vcpus runs: let go of its frames. 0, or
     * -ERESTART to be called again. Called again after success, it has nothing to do.
     */
    int (*dying)(struct domain *d);
    /* The last reference to d is gone. */
    void (*free)(struct domain *d);
    /*
     * Call visit() for each reference (general and FT_WRITABLE) that the module holds to a frame of
     * d's. The hypervisor may write to these frames at any time.
     */
    void (*visit_frames)(const struct domain *d, void (*visit)(mfn_t mfn));
};
MODULE_RECORDS(struct domain_part, domain_part);
#define DOMAIN_PART(name, ...) MODULE_RECORD(struct domain_part, domain_part, name, __VA_ARGS__)

/*
 * KEY(key, fn, help): fn() runs when the key is typed to the hypervisor, from a softirq, with no lock
 * held; `help` is its line in the list. A key has one function.
 */
struct key_record {
    char key;
    const char *help;
    void (*fn)(void);
};
MODULE_RECORDS(struct key_record, key);
#define KEY(character, function, text)                                                        \
    MODULE_RECORD(struct key_record, key, key_##function, .key = (character), .help = (text), \
                  .fn = function)

#endif
