/* SPDX-License-Identifier: MIT */
/*
 * Whether so much memory is there, and each page of it only once: processes of up to 1,024 MiB write
 * a number of its own into every page, and when all have written, all read.
 *
 *   fill MIB
 *
 * Prints `FILL n MiB right`, or how many processes were not. A page that two page-table entries
 * share, or that something else writes to, has the wrong number.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES_A_MIB 256u
#define WORDS_A_PAGE 1024u
#define MOST 1024u /* MiB for one process */
#define MAX_CHILDREN 64u

/* Writes, stops until the parent lets it go on, reads. The status: 0 if all was right. */
static int write_and_read(uint32_t first, uint32_t n)
{
    volatile uint32_t(*pages)[WORDS_A_PAGE];

    pages = mmap(NULL, n * sizeof(*pages), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        return 1;
    for (uint32_t i = 0; i < n; i++)
        pages[i][i % WORDS_A_PAGE] = first + i;
    raise(SIGSTOP);
    for (uint32_t i = 0; i < n; i++)
        if (pages[i][i % WORDS_A_PAGE] != first + i)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    unsigned mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 1, children = 0, wrong = 0;
    pid_t child[MAX_CHILDREN];
    int status;

    for (unsigned at = 0, part; at < mib && children < MAX_CHILDREN; at += part) {
        part = mib - at < MOST ? mib - at : MOST;
        child[children] = fork();
        if (child[children] == 0)
            _exit(write_and_read(at * PAGES_A_MIB, part * PAGES_A_MIB));
        children++;
    }
    for (unsigned i = 0; i < children; i++)
        waitpid(child[i], &status, WUNTRACED);
    for (unsigned i = 0; i < children; i++) {
        kill(child[i], SIGCONT);
        wrong += waitpid(child[i], &status, 0) != child[i] || status != 0;
    }
    if (wrong)
        printf("FILL %u MiB: %u processes of %u WRONG\n", mib, wrong, children);
    else
        printf("FILL %u MiB right\n", mib);
    return wrong != 0;
}
