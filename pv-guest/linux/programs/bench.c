/* SPDX-License-Identifier: MIT */
/*
 * What an operation of the kernel costs: medians in ticks of the time-stamp counter.
 *
 *   bench [PART OF A NAME]
 *
 * Under QEMU's -icount shift=0 a tick is one instruction. Run on the same kernel natively and as a
 * guest (tools/bench-linux does) the difference is what paravirtualisation adds. Each line is
 * `BENCH ticks name`. Read next: check.c, which asks whether the same operations are right.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "sha256.h"

#define SAMPLES 41
#define PAGES 64
#define PAGE 4096u

static int to_child[2], to_parent[2];
static char *region;
static uint8_t data[65536];

static uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* The system call alone, through the gate every program may use. */
static void op_getppid(void)
{
    long result = SYS_getppid;

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
}

static void op_pipe(void)
{
    char byte = 0;

    if (write(to_child[1], &byte, 1) != 1 || read(to_parent[0], &byte, 1) != 1)
        abort();
}

static void op_fork(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
}

static void op_exec(void)
{
    pid_t child = fork();

    if (child == 0) {
        execl("/bin/tiny", "tiny", (char *)NULL);
        _exit(127);
    }
    waitpid(child, NULL, 0);
}

static char *map_pages(size_t pages)
{
    char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        abort();
    return at;
}

static void touch(volatile char *at, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        at[i * PAGE] = 1;
}

static void op_mmap(void)
{
    char *at = map_pages(PAGES);

    touch(at, PAGES);
    munmap(at, PAGES * PAGE);
}

/* The next page of a fresh region: start_fault made it large enough for all samples. */
static void op_fault(void)
{
    touch(region, 1);
    region += PAGE;
}

static void op_mprotect(void)
{
    if (mprotect(region, PAGES * PAGE, PROT_READ) ||
        mprotect(region, PAGES * PAGE, PROT_READ | PROT_WRITE))
        abort();
}

static void op_signal(void)
{
    kill(getpid(), SIGUSR1);
}

/* A read of address 0 by an instruction two bytes long, which the handler steps over. */
static void op_segv(void)
{
    uint32_t zero = 0;

    __asm__ volatile("movl (%0), %0" : "+a"(zero));
}

static void op_sha256(void)
{
    uint8_t digest[32];

    sha256(data, sizeof(data), digest);
    data[0] = digest[0];
}

static void on_signal(int number)
{
    (void)number;
}

static void on_segv(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EIP] += 2;
}

/* The other end of the pipes answers each byte until the parent closes its end. */
static void start_pipe(void)
{
    char byte;

    if (pipe(to_child) || pipe(to_parent))
        abort();
    if (fork() == 0) {
        close(to_child[1]);
        while (read(to_child[0], &byte, 1) == 1)
            if (write(to_parent[1], &byte, 1) != 1)
                break;
        _exit(0);
    }
}

static void start_fault(void)
{
    region = map_pages(SAMPLES + 1);
}

static void start_mprotect(void)
{
    region = map_pages(PAGES);
    touch(region, PAGES);
}

static void start_signal(void)
{
    signal(SIGUSR1, on_signal);
}

static void start_segv(void)
{
    struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &action, NULL);
}

static const struct {
    const char *name;
    void (*operation)(void);
    void (*start)(void);
} OPERATIONS[] = {
    {"int80 getppid", op_getppid, NULL},
    {"pipe round trip, two processes", op_pipe, start_pipe},
    {"fork+exit+wait", op_fork, NULL},
    {"fork+exec+wait", op_exec, NULL},
    {"mmap, touch 64 pages, munmap", op_mmap, NULL},
    {"anonymous page fault", op_fault, start_fault},
    {"mprotect 64 pages twice", op_mprotect, start_mprotect},
    {"signal delivery", op_signal, start_signal},
    {"SIGSEGV delivery", op_segv, start_segv},
    {"sha256 of 64 KiB", op_sha256, NULL},
};

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* The first call warms caches, COW pages and the like up, and is not counted. */
static uint32_t median(void (*operation)(void))
{
    uint32_t samples[SAMPLES];

    operation();
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t before = ticks();

        operation();
        samples[i] = ticks() - before;
    }
    qsort(samples, SAMPLES, sizeof(samples[0]), compare);
    return samples[SAMPLES / 2];
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(OPERATIONS) / sizeof(OPERATIONS[0]); i++) {
        if (argc > 1 && !strstr(OPERATIONS[i].name, argv[1]))
            continue;
        if (OPERATIONS[i].start)
            OPERATIONS[i].start();
        printf("BENCH %u %s\n", (unsigned)median(OPERATIONS[i].operation), OPERATIONS[i].name);
        fflush(stdout);
    }
    return 0;
}
