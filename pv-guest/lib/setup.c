/* SPDX-License-Identifier: MIT */
/*
 * From start.S to main(): every service of the library, prepared in the one order that works.
 *
 * Next: memory.c, then any of the others; each mechanism is one file.
 */
#include <pv/start.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/features.h>
#include <xen/sched.h>
#include <xen/version.h>

#include <pv/console.h>
#include <pv/event.h>
#include <pv/page.h>

#define MAX_ARGUMENTS 32

extern const char guest_name[];
extern char stack_guard[];
extern int main(int argc, char **argv);

void setup(struct start_info *info, uint32_t boot_esp) __attribute__((noreturn));

struct start_info *start_info;

static uint32_t features[XENFEAT_NR_SUBMAPS];

static void read_features(void)
{
    for (unsigned int i = 0; i < XENFEAT_NR_SUBMAPS; i++) {
        struct xen_feature_info info = {.submap_idx = i};

        if (hv_xen_version(XENVER_get_features, &info) == 0)
            features[i] = info.submap;
    }
}

bool has_feature(unsigned int feature)
{
    return feature / 32 < XENFEAT_NR_SUBMAPS && (features[feature / 32] >> feature % 32 & 1);
}

const void *ramdisk(uint32_t *size)
{
    *size = start_info->mod_len;
    return start_info->mod_len ? (const void *)start_info->mod_start : NULL;
}

/* The highest page the builder filled: everything behind it, to the end of the map, is free. */
static uint32_t first_free_address(uint32_t boot_esp)
{
    uint32_t ends[] = {
        boot_esp,
        (uint32_t)(start_info + 1),
        start_info->mfn_list + start_info->nr_pages * sizeof(unsigned long),
        start_info->pt_base + start_info->nr_pt_frames * PAGE_SIZE,
        start_info->mod_start + start_info->mod_len,
    };
    uint32_t highest = 0;

    for (unsigned int i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (ends[i] > highest)
            highest = ends[i];
    return (highest + PAGE_SIZE - 1) & PAGE_MASK;
}

/* Split the command line into words, argv[0] being the guest's name. */
static int parse_command_line(char **argv)
{
    static char line[MAX_GUEST_CMDLINE + 1];
    int argc = 1;

    argv[0] = (char *)guest_name;
    memcpy(line, start_info->cmd_line, MAX_GUEST_CMDLINE);
    for (char *word = strtok(line, " \t"); word && argc < MAX_ARGUMENTS; word = strtok(NULL, " \t"))
        argv[argc++] = word;
    argv[argc] = NULL;
    return argc;
}

void setup(struct start_info *info, uint32_t boot_esp)
{
    char *argv[MAX_ARGUMENTS + 1];

    start_info = info;
    /* shared_info comes as a machine address; until it is mapped, no event and no CR2. */
    if (hv_update_va_mapping(&shared_info_page, info->shared_info | PAGE_KERNEL, UVMF_INVLPG) != 0)
        domain_shutdown(SHUTDOWN_crash);
    trap_init();
    read_features();
    memory_init(first_free_address(boot_esp));
    if (map_page(stack_guard, 0) != 0)
        panic("the stack's guard page cannot be unmapped");
    event_init();
    console_init();
    time_init();
    events_on();
    exit(main(parse_command_line(argv), argv));
}

void domain_shutdown(unsigned int reason)
{
    struct sched_shutdown arg = {.reason = reason};

    for (;;)
        hv_sched_op(SCHEDOP_shutdown, &arg);
}

void panic(const char *format, ...)
{
    static char message[256];
    va_list arguments;
    int length;

    events_off();
    va_start(arguments, format);
    length = snprintf(message, sizeof(message), "\n%s: panic: ", guest_name);
    vsnprintf(message + length, sizeof(message) - length - 1, format, arguments);
    va_end(arguments);
    strcat(message, "\n");
    console_write(message, strlen(message));
    domain_shutdown(SHUTDOWN_crash);
}
