/* SPDX-License-Identifier: MIT */
/*
 * XSA-122: xen_version shows bytes of the hypervisor's stack.
 *
 * Xen filled a structure on its stack with strings, each shorter than its field, and copied the whole
 * structure to the guest: behind the strings was what the stack had held before.
 *
 * This guest fills a buffer with a pattern, asks, and asks again with another pattern and after other
 * hypercalls. Each byte must be the guest's own pattern still, or the same both times; within a string's
 * field everything after the string must be zero.
 *
 * Run: qemu
 */
#include "../../attack.h"

#define ROOM 2048

static const struct {
    int command;
    unsigned int field, fields; /* bytes of a string's field, and how many; 0: no strings */
} questions[] = {
    {XENVER_extraversion, sizeof(xen_extraversion_t), 1},
    {XENVER_compile_info, 0, 0},
    {XENVER_capabilities, sizeof(xen_capabilities_info_t), 1},
    {XENVER_changeset, sizeof(xen_changeset_info_t), 1},
    {XENVER_platform_parameters, 0, 0},
    {XENVER_get_features, 0, 0},
    {XENVER_guest_handle, 0, 0},
    {XENVER_commandline, sizeof(xen_commandline_t), 1},
};

static uint8_t first[ROOM], second[ROOM];

/* Leave something else on the hypervisor's stack. */
static void disturb(void)
{
    for (unsigned int i = 0; i < 8; i++) {
        own_domid();
        hv_update_va_mapping(first, pte_read(first, 1), UVMF_INVLPG);
    }
}

/* Bytes that differ by more than the pattern they were asked into. */
static unsigned int changing(void)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < ROOM; i++)
        n += first[i] != second[i] && !(first[i] == 0xa5 && second[i] == 0x5a);
    return n;
}

/* Bytes after a string, within its field, that are not zero. */
static unsigned int tail(const uint8_t *field, unsigned int size)
{
    unsigned int n = 0;

    for (unsigned int i = strnlen((const char *)field, size); i < size; i++)
        n += field[i] != 0;
    return n;
}

static void compile_info_tails(void)
{
    const struct xen_compile_info *info = (const void *)first;

    tap_is(tail((const uint8_t *)info->compiler, sizeof(info->compiler)) +
               tail((const uint8_t *)info->compile_by, sizeof(info->compile_by)) +
               tail((const uint8_t *)info->compile_domain, sizeof(info->compile_domain)) +
               tail((const uint8_t *)info->compile_date, sizeof(info->compile_date)),
           0, "compile_info: zeros after its strings");
}

int main(void)
{
    for (unsigned int i = 0; i < sizeof(questions) / sizeof(*questions); i++) {
        int command = questions[i].command;
        long answer, again;

        memset(first, 0xa5, ROOM);
        memset(second, 0x5a, ROOM);
        answer = hv_xen_version(command, first);
        disturb();
        again = hv_xen_version(command, second);
        tap_ok(answer == again, "question %d: %ld", command, answer);
        tap_is(changing(), 0, "question %d: each byte is what it was, or ours", command);
        if (answer >= 0 && questions[i].fields)
            tap_is(tail(first, questions[i].field), 0, "question %d: zeros after the string",
                   command);
        if (command == XENVER_compile_info)
            compile_info_tails();
    }
    tap_done();
}
