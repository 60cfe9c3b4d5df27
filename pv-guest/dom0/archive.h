/* SPDX-License-Identifier: MIT */
/*
 * archive.h - what the control domain reads from its ramdisk: files, and guests' configurations.
 *
 * Nothing here knows the hypervisor; the host's tests and fuzzers compile it as it is.
 */
#ifndef DOM0_ARCHIVE_H
#define DOM0_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file of the archive; name and data point into it. */
struct file {
    const char *name;
    const uint8_t *data;
    size_t size;
};

enum { MAX_RANGES = 8 };

/* What of the machine a guest is given: ports, lines, or frames of device memory. */
struct numbers {
    unsigned int n;
    struct {
        uint32_t first, last;
    } range[MAX_RANGES];
};

/* One guest's configuration: the pairs of a .cfg file. */
struct config {
    char name[32];
    char kernel[64];    /* names of files in the archive */
    char ramdisk[64];   /* empty: none */
    char cmdline[1024]; /* start_info has room for MAX_GUEST_CMDLINE, 1024 */
    uint32_t memory;    /* MiB */
    uint32_t vcpus;
    uint16_t domid;       /* the number its domain is to have; 0: any */
    uint32_t weight, cap; /* 0: the hypervisor's default, none */
    struct numbers ioports, irqs, iomem;
    bool autostart;
};

/* cpio.c */

/*
 * The regular file at or behind *offset, which starts at 0 and is moved behind it. 1: *f is
 * filled; 0: the archive ends here; -1: what stands at *offset is no entry of a newc archive.
 */
int cpio_next(const void *archive, size_t size, size_t *offset, struct file *f);

/* The file of that name ("a/b", without a leading "./"). */
bool cpio_find(const void *archive, size_t size, const char *name, struct file *f);

/* config.c */

/*
 * Read text[0..size), which came from the file `file`, into *c. mistake() is called for each
 * mistake, with the number of its line, or 0 where something is missing. Returns whether there was
 * none. A guest without a name= is called after its file, without ".cfg".
 */
bool config_parse(const char *file, const char *text, size_t size, struct config *c,
                  void (*mistake)(const char *file, unsigned int line, const char *why));

#endif
