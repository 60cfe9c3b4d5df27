/* SPDX-License-Identifier: MIT */
/*
 * seeds.c: linked into every fuzzer: keeps what a run finds out of the seeds.
 *
 * libFuzzer writes each new input into the first folder it is given. `make fuzz` gives it one in
 * build/, and the seeds second; a run by hand that names the seeds alone would add hundreds of files
 * to them.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char first[PATH_MAX];
    struct stat s;

    for (int i = 1; i < *argc; i++) {
        if ((*argv)[i][0] == '-')
            continue;
        if (realpath((*argv)[i], first) && stat(first, &s) == 0 && S_ISDIR(s.st_mode) &&
            strstr(first, "/tests/fuzz/corpus")) {
            fprintf(stderr, "%s: seeds are not written to; name a folder for what is found first\n",
                    (*argv)[i]);
            exit(2);
        }
        break;
    }
    return 0;
}
