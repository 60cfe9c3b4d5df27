/* SPDX-License-Identifier: MIT */
/*
 * cpio.c - files in the control domain's ramdisk, a cpio archive of the "newc" kind.
 *
 * An entry is a header of text, "070701" and thirteen numbers of eight hexadecimal digits, the
 * name with its NUL, and the data; name and data are each padded to four bytes. `cpio -o -H newc`
 * makes it, the kernel of Linux reads the same. It is read in place: a file is a pointer into the
 * ramdisk. Forty lines suffice, and they check every length, which is why no library is used.
 *
 * Next: config.c, the files read first.
 */
#include <string.h>

#include "archive.h"

enum { HEADER = 110, FIELDS = 13, MODE = 1, FILESIZE = 6, NAMESIZE = 11 };

#define FILE_TYPE 0170000 /* in a mode: which kind of file, and the regular kind */
#define REGULAR 0100000

/* Number `field` of the header; false for anything but eight hexadecimal digits. */
static bool header_field(const char *header, int field, uint32_t *value)
{
    const char *s = header + 6 + 8 * field;

    *value = 0;
    for (int i = 0; i < 8; i++) {
        char c = s[i];
        uint32_t digit = c >= '0' && c <= '9'   ? c - '0'
                         : c >= 'a' && c <= 'f' ? c - 'a' + 10
                         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                : 16;

        if (digit == 16)
            return false;
        *value = *value << 4 | digit;
    }
    return true;
}

/* Split the entry at `offset`; *next is where the one behind it begins. */
static bool read_entry(const char *archive, size_t size, size_t offset, struct file *f,
                       uint32_t *mode, size_t *next)
{
    const char *header = archive + offset;
    uint32_t filesize, namesize;
    size_t left = size - offset; /* kept at what remains, so that no sum can wrap */

    if (left < HEADER || memcmp(header, "070701", 6) != 0 || !header_field(header, MODE, mode) ||
        !header_field(header, FILESIZE, &filesize) || !header_field(header, NAMESIZE, &namesize))
        return false;
    left -= HEADER;
    size_t pad = -(HEADER + namesize) & 3;
    if (namesize == 0 || namesize > left || header[HEADER + namesize - 1] != 0 ||
        pad > left - namesize)
        return false;
    left -= namesize + pad;
    if (filesize > left)
        return false;
    f->name = header + HEADER;
    f->data = (const uint8_t *)header + HEADER + namesize + pad;
    f->size = filesize;
    left -= filesize;
    pad = -filesize & 3;
    *next = size - (pad < left ? left - pad : 0); /* the last file's padding may be missing */
    return true;
}

int cpio_next(const void *archive, size_t size, size_t *offset, struct file *f)
{
    uint32_t mode;

    for (;;) {
        if (*offset >= size)
            return 0;
        if (!read_entry(archive, size, *offset, f, &mode, offset))
            return -1;
        if (strcmp(f->name, "TRAILER!!!") == 0) {
            *offset = size;
            return 0;
        }
        if (strncmp(f->name, "./", 2) == 0)
            f->name += 2;
        if ((mode & FILE_TYPE) == REGULAR)
            return 1;
    }
}

bool cpio_find(const void *archive, size_t size, const char *name, struct file *f)
{
    size_t offset = 0;

    while (cpio_next(archive, size, &offset, f) > 0)
        if (strcmp(f->name, name) == 0)
            return true;
    return false;
}
