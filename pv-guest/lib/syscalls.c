/* SPDX-License-Identifier: MIT */
/*
 * What newlib asks of the system below it: the console as files 0, 1 and 2, memory, and an end.
 * There are no other files, processes or signals.
 *
 * Next: console.c, memory.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <xen/sched.h>

#include <pv/console.h>
#include <pv/page.h>
#include <pv/start.h>
#include <pv/time.h>

int write(int file, const void *data, size_t size)
{
    if (file != STDOUT_FILENO && file != STDERR_FILENO) {
        errno = EBADF;
        return -1;
    }
    console_write(data, size);
    return size;
}

/* A line at a time, as a terminal gives it. */
int read(int file, void *data, size_t size)
{
    size_t length;

    if (file != STDIN_FILENO || size < 2) {
        errno = file == STDIN_FILENO ? EINVAL : EBADF;
        return -1;
    }
    length = console_readline(data, size);
    ((char *)data)[length] = '\n';
    return length + 1;
}

/*
 * The heap grows page by page at its own addresses; it never gives pages back, so it takes none for
 * what it cannot hold.
 */
void *sbrk(ptrdiff_t increment)
{
    static uint32_t end = HEAP_BASE, mapped = HEAP_BASE;
    uint32_t old = end;

    if (increment > (ptrdiff_t)(HEAP_END - end) || increment < (ptrdiff_t)(HEAP_BASE - end))
        goto out_of_memory;
    if (end + increment > mapped && pages_free() < 16 + (end + increment - mapped) / PAGE_SIZE)
        goto out_of_memory;
    for (; mapped < end + increment; mapped += PAGE_SIZE) {
        if (pages_free() < 16 ||
            map_page((void *)mapped, pte_make(linear_to_mfn(page_alloc()), PAGE_KERNEL)) != 0)
            goto out_of_memory;
    }
    end += increment;
    return (void *)old;
out_of_memory:
    errno = ENOMEM;
    return (void *)-1;
}

void _exit(int status)
{
    domain_shutdown(status == 0 ? SHUTDOWN_poweroff : SHUTDOWN_crash);
}

/* A character device: stdio then buffers lines. */
int fstat(int file, struct stat *info)
{
    (void)file;
    *info = (struct stat){.st_mode = S_IFCHR};
    return 0;
}

int isatty(int file)
{
    return file <= STDERR_FILENO;
}

off_t lseek(int file, off_t offset, int whence)
{
    (void)file;
    (void)offset;
    (void)whence;
    errno = ESPIPE;
    return -1;
}

int close(int file)
{
    (void)file;
    errno = EBADF;
    return -1;
}

/* abort() and assert() come through here. */
int kill(pid_t process, int signal)
{
    (void)process;
    panic("abort: signal %d", signal);
}

pid_t getpid(void)
{
    return 1;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    now->tv_sec = time_wallclock();
    now->tv_usec = time_now() % NS_PER_SEC / 1000;
    return 0;
}
