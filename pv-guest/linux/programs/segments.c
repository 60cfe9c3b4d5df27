/* SPDX-License-Identifier: MIT */
/*
 * Segments that a program may ask its kernel for, and that a hypervisor behind segment limits must
 * not let it have: their addresses reach the hypervisor. The kernel has to answer EINVAL, for the
 * local descriptor table and for thread-local storage alike. Where it takes one natively (or on a
 * hypervisor that hides in another way), the segment must be there. Whatever the answer, the
 * segments that the process had before must still work, in its children too.
 *
 * Each line is `SEGMENT name: table answer`; the last is `SEGMENTS n refused, m accepted, k wrong`.
 * Read next: traps/descriptor.c in Ringlet's tree, which decides.
 */
#include <asm/ldt.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LDT_SELECTOR(entry) ((entry) << 3 | 7)
#define GDT_SELECTOR(entry) ((entry) << 3 | 3)
#define WRITE_LDT 0x11 /* modify_ldt()'s func, with bits that mean what they say */
#define EXPAND_DOWN MODIFY_LDT_CONTENTS_STACK
#define CODE MODIFY_LDT_CONTENTS_CODE

enum { GOOD = 1, BAD = 2, FAR = 1000 }; /* with FAR in use the table takes more than one page */

enum answer { REFUSED, ACCEPTED, WRONG };

static const char *const ANSWERS[] = {"refused", "accepted", "WRONG"};

static const struct {
    const char *name;
    struct user_desc segment;
} SEGMENTS[] = {
    {"a byte past the end", {.base_addr = 0xffffffff, .limit = 0}},
    {"bytes below the end", {.base_addr = 0xfff00000, .limit = 0xfffff}},
    {"bytes into the hypervisor", {.base_addr = 0xf67fffff, .limit = 1}},
    {"code near the end", {.base_addr = 0xffe00000, .limit = 0xfff, .contents = CODE}},
    {"pages near the end", {.base_addr = 0xffff0000, .limit = 0xfffff, .limit_in_pages = 1}},
    {"bytes, downwards", {.base_addr = 0, .limit = 0xfff, .contents = EXPAND_DOWN}},
    {"pages, downwards from above",
     {.base_addr = 0xfe000000, .limit = 0xfff, .limit_in_pages = 1, .contents = EXPAND_DOWN}},
};

static uint32_t word = 0x600df00d;
static sigjmp_buf after_fault;

static void on_fault(int number)
{
    siglongjmp(after_fault, number);
}

static int write_ldt(struct user_desc segment, unsigned entry)
{
    segment.entry_number = entry;
    segment.seg_32bit = 1;
    return syscall(SYS_modify_ldt, WRITE_LDT, &segment, sizeof(segment));
}

/* Can the selector be loaded? On success *value is the segment's first word if it is asked for. */
static int load(uint16_t selector, uint32_t *value)
{
    if (sigsetjmp(after_fault, 1))
        return 0;
    if (value)
        __asm__ volatile("pushl %%fs; movl %1, %%fs; movl %%fs:0, %0; popl %%fs"
                         : "=&r"(*value)
                         : "r"((uint32_t)selector));
    else
        __asm__ volatile("pushl %%fs; movl %0, %%fs; popl %%fs" : : "r"((uint32_t)selector));
    return 1;
}

static int write_good(void)
{
    struct user_desc good = {.base_addr = (uint32_t)&word, .limit = 3};

    return write_ldt(good, GOOD) == 0 && write_ldt(good, FAR) == 0;
}

static int good_ones_work(void)
{
    uint32_t near = 0, far = 0;

    return load(LDT_SELECTOR(GOOD), &near) && load(LDT_SELECTOR(FAR), &far) && near == word &&
           far == word;
}

/* The answer of a call that returned rc and, if it took the segment, gave it this selector. */
static enum answer answer(int rc, uint16_t selector)
{
    if (rc)
        return errno == EINVAL ? REFUSED : WRONG;
    return load(selector, NULL) ? ACCEPTED : WRONG;
}

static enum answer try_ldt(const struct user_desc *segment)
{
    int rc = write_ldt(*segment, BAD);

    return answer(rc, LDT_SELECTOR(BAD));
}

static enum answer try_tls(const struct user_desc *segment)
{
    struct user_desc tls = *segment;
    int rc;

    tls.entry_number = -1;
    tls.seg_32bit = 1;
    rc = syscall(SYS_set_thread_area, &tls);
    return answer(rc, GDT_SELECTOR(tls.entry_number));
}

/* In a process of its own, whose status is the answer. */
static enum answer in_child(enum answer (*try)(const struct user_desc *segment),
                            const struct user_desc *segment)
{
    enum answer got;
    int status;
    pid_t child = fork();

    if (child == 0) {
        got = try(segment);
        if (!good_ones_work())
            _exit(WRONG);
        child = fork();
        if (child == 0)
            _exit(!good_ones_work());
        waitpid(child, &status, 0);
        _exit(status ? WRONG : got);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) < WRONG ? WEXITSTATUS(status) : WRONG;
}

static unsigned counts[3];

static void try_each(const char *table, enum answer (*try)(const struct user_desc *segment))
{
    for (size_t i = 0; i < sizeof(SEGMENTS) / sizeof(SEGMENTS[0]); i++) {
        const struct user_desc *segment = &SEGMENTS[i].segment;
        enum answer got;

        /* Linux itself has no code segments for thread-local storage. */
        if (try == try_tls && segment->contents == CODE)
            continue;
        got = in_child(try, segment);
        counts[got]++;
        printf("SEGMENT %s: %s %s\n", SEGMENTS[i].name, table, ANSWERS[got]);
        fflush(stdout);
    }
}

int main(void)
{
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    if (!write_good() || !good_ones_work())
        counts[WRONG]++;
    try_each("LDT", try_ldt);
    try_each("TLS", try_tls);
    printf("SEGMENTS %u refused, %u accepted, %u wrong\n", counts[REFUSED], counts[ACCEPTED],
           counts[WRONG]);
    return counts[WRONG] != 0;
}
