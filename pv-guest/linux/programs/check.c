/* SPDX-License-Identifier: MIT */
/*
 * What a program expects of its kernel, natively and as a guest of a hypervisor alike: processes,
 * threads with variables of their own, shared and private memory, faults as signals, timers.
 *
 *   check [ROUNDS]
 *
 * Each line is `CHECK name ok`, or says what came instead, or that it was skipped; the last is
 * `CHECKS n passed, m failed`.
 * Read next: rings.c, which looks at the differences.
 */
#include <asm/ldt.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096u
#define KERNEL_ADDRESS 0xc1000000u
#define HYPERVISOR_ADDRESS 0xfc000000u
#define EFLAGS_TF 0x100u

#define REVOCATIONS 200
#define PATIENCE 20 /* seconds */
#define SKIPPED (-1)

static __thread sigjmp_buf after_fault;
static volatile sig_atomic_t caught, steps;

static char *map_pages(size_t pages, int flags)
{
    return mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

/* The status a child ends with that runs this function. */
static int in_child(int (*function)(void))
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(function());
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int exits_seven(void)
{
    return 7;
}

static int check_fork(void)
{
    for (int i = 0; i < 40; i++)
        if (in_child(exits_seven) != 7)
            return 0;
    return 1;
}

static int check_exec(void)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        execl("/bin/busybox", "busybox", "false", (char *)NULL);
        _exit(99);
    }
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static char *cow;

static int writes_cow(void)
{
    for (int i = 0; i < 64; i++)
        cow[i * PAGE]++;
    return cow[63 * PAGE];
}

/* A child's writes after fork are its own. */
static int check_cow(void)
{
    cow = map_pages(64, MAP_PRIVATE);
    memset(cow, 5, 64 * PAGE);
    if (in_child(writes_cow) != 6)
        return 0;
    for (int i = 0; i < 64; i++)
        if (cow[i * PAGE] != 5)
            return 0;
    munmap(cow, 64 * PAGE);
    return 1;
}

static int check_shared(void)
{
    int right;

    cow = map_pages(64, MAP_SHARED);
    right = in_child(writes_cow) == 1 && cow[63 * PAGE] == 1;
    munmap(cow, 64 * PAGE);
    return right;
}

static __thread int own = 1;
static int together;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *thread(void *argument)
{
    for (int i = 0; i < 2000; i++) {
        own += (int)(intptr_t)argument;
        pthread_mutex_lock(&lock);
        together++;
        pthread_mutex_unlock(&lock);
        if (i % 100 == 0)
            sched_yield();
    }
    return (void *)(intptr_t)own;
}

/* Each thread's TLS is behind %gs; the mutex is a futex. */
static int check_threads(void)
{
    pthread_t threads[4];
    void *result;
    int right = 1;

    together = 0;
    for (intptr_t i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, thread, (void *)(i + 1)))
            return 0;
    for (intptr_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        right = right && (intptr_t)result == 1 + 2000 * (i + 1);
    }
    return right && together == 8000 && own == 1;
}

/* 64 KiB through a pipe that holds less: both sides block and wake. */
static int check_pipe(void)
{
    static char out[16384], in[16384];
    int ends[2], got = 0, sum = 0;
    pid_t child;

    if (pipe(ends))
        return 0;
    child = fork();
    if (child == 0) {
        memset(out, 3, sizeof(out));
        for (int i = 0; i < 16; i++)
            if (write(ends[1], out, sizeof(out)) != sizeof(out))
                _exit(1);
        _exit(0);
    }
    close(ends[1]);
    for (int n; (n = read(ends[0], in, sizeof(in))) > 0; got += n)
        for (int i = 0; i < n; i++)
            sum += in[i];
    close(ends[0]);
    waitpid(child, NULL, 0);
    return got == 16 * 16384 && sum == 3 * got;
}

static void catch (int number)
{
    caught = number;
}

static int check_signals(void)
{
    struct timespec pause = {0, 1000000};
    pid_t parent = getpid(), child;

    signal(SIGUSR1, catch);
    caught = 0;
    child = fork();
    if (child == 0) {
        kill(parent, SIGUSR1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    for (int i = 0; i < 1000 && caught != SIGUSR1; i++)
        nanosleep(&pause, NULL);
    return caught == SIGUSR1;
}

static void on_fault(int number)
{
    siglongjmp(after_fault, number);
}

/* The signal that an access or instruction raises. */
#define FAULT_OF(code)                                \
    ({                                                \
        int fault_number = sigsetjmp(after_fault, 1); \
                                                      \
        if (fault_number == 0) {                      \
            code;                                     \
        }                                             \
        fault_number;                                 \
    })

static void peek(uint32_t address)
{
    (void)*(volatile char *)address;
}

static void poke(uint32_t address)
{
    *(volatile char *)address = 1;
}

/* Memory that is not a program's: nothing, the kernel's, the hypervisor's. */
static int check_addresses(void)
{
    static const uint32_t addresses[] = {0, KERNEL_ADDRESS, HYPERVISOR_ADDRESS};

    for (volatile int i = 0; i < 3; i++)
        if (FAULT_OF(peek(addresses[i])) != SIGSEGV || FAULT_OF(poke(addresses[i])) != SIGSEGV)
            return 0;
    return 1;
}

static int check_read_only(void)
{
    char *at = map_pages(2, MAP_PRIVATE);
    int right;

    at[0] = 9;
    mprotect(at, PAGE, PROT_READ);
    right = FAULT_OF(poke((uint32_t)at)) == SIGSEGV && at[0] == 9;
    mprotect(at, PAGE, PROT_READ | PROT_WRITE);
    right = right && FAULT_OF(poke((uint32_t)at)) == 0 && at[0] == 1;
    mprotect(at, PAGE, PROT_NONE);
    right = right && FAULT_OF(peek((uint32_t)at)) == SIGSEGV;
    mprotect(at, PAGE, PROT_READ);
    right = right && FAULT_OF(peek((uint32_t)at)) == 0 && at[0] == 1;
    munmap(at, PAGE);
    right = right && FAULT_OF(poke((uint32_t)at)) == SIGSEGV;
    munmap(at + PAGE, PAGE);
    return right;
}

/* Instructions that are the kernel's or nobody's: the processor, or the hypervisor, refuses each. */
static int check_instructions(void)
{
    return FAULT_OF(__asm__ volatile("cli")) == SIGSEGV &&
           FAULT_OF(__asm__ volatile("hlt")) == SIGSEGV &&
           FAULT_OF(__asm__ volatile("movl %%eax, %%cr3"
                                     :
                                     : "a"(0))) == SIGSEGV &&
           FAULT_OF(__asm__ volatile("inb $0x70, %%al"
                                     :
                                     :
                                     : "eax")) == SIGSEGV &&
           FAULT_OF(__asm__ volatile("int $0x82")) == SIGSEGV &&
           FAULT_OF(__asm__ volatile("int $14")) == SIGSEGV &&
           FAULT_OF(__asm__ volatile("ud2")) == SIGILL &&
           FAULT_OF(__asm__ volatile("divl %%ecx"
                                     :
                                     : "a"(1), "d"(0), "c"(0))) == SIGFPE &&
           FAULT_OF(__asm__ volatile("int3")) == SIGTRAP;
}

static void on_step(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    if (++steps == 5)
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~EFLAGS_TF;
}

/* The trap flag: a SIGTRAP behind each instruction until the handler clears it. */
static int check_single_step(void)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO}, before;

    sigaction(SIGTRAP, &action, &before);
    steps = 0;
    __asm__ volatile("pushfl; orl $0x100, (%%esp); popfl; nop; nop; nop; nop; nop; nop; nop; nop"
                     :
                     :
                     : "memory", "cc");
    sigaction(SIGTRAP, &before, NULL);
    return steps == 5;
}

static void on_bad_return(int number, siginfo_t *info, void *context)
{
    (void)info;
    if (number == SIGUSR2)
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_CS] = 0x33;
}

static int returns_badly(void)
{
    struct sigaction action = {.sa_sigaction = on_bad_return, .sa_flags = SA_SIGINFO};

    signal(SIGSEGV, SIG_DFL);
    signal(SIGILL, SIG_DFL);
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
    return 0;
}

/*
 * A signal frame with a code segment that is none: the IRET faults, and only the program dies. A
 * 32-bit kernel calls this an illegal instruction.
 */
static int check_bad_return(void)
{
    return in_child(returns_badly) == -SIGILL;
}

/* A segment of a program's own in the local descriptor table. */
static int check_ldt(void)
{
    static uint32_t word = 0x600df00d;
    struct user_desc segment = {
        .entry_number = 1, .base_addr = (uint32_t)&word, .limit = 3, .seg_32bit = 1, .useable = 1};
    uint32_t seen = 0;

    if (syscall(SYS_modify_ldt, 1, &segment, sizeof(segment)))
        return 0;
    __asm__ volatile("pushl %%fs; movl %1, %%fs; movl %%fs:0, %0; popl %%fs"
                     : "=&r"(seen)
                     : "r"(1 << 3 | 7));
    return seen == word;
}

static double spin(double x, int n)
{
    for (int i = 0; i < n; i++)
        x = sqrt(x * x + 1);
    return x;
}

static int computes(void)
{
    return spin(0, 40000) > 199.99 && spin(0, 40000) < 200.01;
}

/* Floating-point registers of two processes at once: sqrt(n) adds up exactly for neither's sake. */
static int check_floating_point(void)
{
    int status, right = 1;
    pid_t children[3];

    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            for (int round = 0; round < 10; round++)
                if (!computes())
                    _exit(1);
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++)
        right = waitpid(children[i], &status, 0) == children[i] && status == 0 && right;
    return right;
}

static int check_timers(void)
{
    struct itimerval timer = {{0, 10000}, {0, 10000}}, off = {{0, 0}, {0, 0}};
    struct timespec before, after;
    int alarms = 0;

    signal(SIGALRM, catch);
    clock_gettime(CLOCK_MONOTONIC, &before);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < 5; i++) {
        caught = 0;
        pause();
        alarms += caught == SIGALRM;
    }
    setitimer(ITIMER_REAL, &off, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    return alarms == 5 &&
           (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 49;
}

/* A file grows under its mapping; behind its end is SIGBUS. */
static int check_file_map(void)
{
    int file = open("/tmp/check.map", O_RDWR | O_CREAT | O_TRUNC, 0600), right;
    char *at;

    if (file < 0 || ftruncate(file, PAGE))
        return 0;
    at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    at[1] = 4;
    right = FAULT_OF(peek((uint32_t)at + PAGE)) == SIGBUS;
    right = right && pread(file, &at[2], 1, 1) == 1 && at[2] == 4;
    munmap(at, 2 * PAGE);
    close(file);
    unlink("/tmp/check.map");
    return right;
}

/* mremap moves page-table entries from table to table. */
static int check_mremap(void)
{
    char *at = map_pages(300, MAP_PRIVATE), *to;
    int right = 1;

    for (int i = 0; i < 300; i++)
        at[i * PAGE] = i;
    to = mremap(at, 300 * PAGE, 3000 * PAGE, MREMAP_MAYMOVE);
    if (to == MAP_FAILED)
        return 0;
    for (int i = 0; i < 300; i++)
        right = right && to[i * PAGE] == (char)i;
    munmap(to, 3000 * PAGE);
    return right;
}

/* One page of shared memory seen twice: what is taken from `window` can still be read in `view`. */
static volatile uint32_t *window, *view;
static volatile int granted, refused;

static int run_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set);
}

static void write_on(void)
{
    for (;;)
        ++*window;
}

/* A function of its own: nothing of the caller's must change between setjmp and longjmp. */
static int writes_until_fault(void)
{
    return FAULT_OF(write_on());
}

/* On its CPU: writes whenever it may, and says each time it was refused; 1 if always by SIGSEGV. */
static void *writer(void *unused)
{
    intptr_t right = run_on(1) == 0;

    (void)unused;
    for (int round = 1; round <= REVOCATIONS; round++) {
        while (granted < round)
            sched_yield();
        right = writes_until_fault() == SIGSEGV && right;
        refused = round;
    }
    return (void *)right;
}

static int comes_true(int (*condition)(uint32_t), uint32_t argument)
{
    time_t end = time(NULL) + PATIENCE;

    while (!condition(argument))
        if (time(NULL) > end)
            return 0;
    return 1;
}

static int view_differs(uint32_t value)
{
    return *view != value;
}

static int was_refused(uint32_t round)
{
    return refused == (int)round;
}

/*
 * Let the writer write, take the page away by mprotect() or munmap() while it does: once the call is
 * back no write may come any more. Without a flush of the other CPU's TLB it writes on.
 */
static int take_away(int round)
{
    uint32_t last = *view;

    if (mremap((void *)view, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, window) != window)
        return 0;
    granted = round;
    if (!comes_true(view_differs, last) ||
        (round % 2 ? mprotect((void *)window, PAGE, PROT_READ) : munmap((void *)window, PAGE)))
        return 0;
    last = *view;
    return comes_true(was_refused, round) && *view == last;
}

/* What one CPU takes from an address space is gone on the others. A writer not stopped is left alone. */
static int check_other_cpu(void)
{
    cpu_set_t before;
    pthread_t other;
    void *result = NULL;
    int right;

    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return SKIPPED;
    view = (volatile uint32_t *)map_pages(1, MAP_SHARED);
    window = (volatile uint32_t *)map_pages(1, MAP_SHARED);
    granted = refused = 0;
    sched_getaffinity(0, sizeof(before), &before);
    right = run_on(0) == 0 && pthread_create(&other, NULL, writer, NULL) == 0;
    for (int round = 1; right && round <= REVOCATIONS; round++)
        right = take_away(round);
    if (right)
        pthread_join(other, &result);
    sched_setaffinity(0, sizeof(before), &before);
    munmap((void *)view, PAGE);
    return right && result;
}

static const struct {
    const char *name;
    int (*check)(void);
} CHECKS[] = {
    {"fork", check_fork},
    {"exec", check_exec},
    {"copy on write", check_cow},
    {"shared memory", check_shared},
    {"threads", check_threads},
    {"pipe", check_pipe},
    {"signals", check_signals},
    {"addresses of others", check_addresses},
    {"protection", check_read_only},
    {"privileged instructions", check_instructions},
    {"single step", check_single_step},
    {"bad return", check_bad_return},
    {"local descriptors", check_ldt},
    {"floating point", check_floating_point},
    {"timers", check_timers},
    {"file mapping", check_file_map},
    {"mremap", check_mremap},
    {"revoked on another CPU", check_other_cpu},
};

int main(int argc, char **argv)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    int rounds = argc > 1 ? atoi(argv[1]) : 1, passed = 0, failed = 0;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        signal(faults[i], on_fault);
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < sizeof(CHECKS) / sizeof(CHECKS[0]); i++) {
            int right = CHECKS[i].check();

            passed += right > 0;
            failed += !right;
            if (rounds == 1 || !right)
                printf("CHECK %s %s\n", CHECKS[i].name,
                       right == SKIPPED ? "skipped: one CPU"
                       : right          ? "ok"
                                        : "WRONG");
            fflush(stdout);
        }
    }
    printf("CHECKS %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
