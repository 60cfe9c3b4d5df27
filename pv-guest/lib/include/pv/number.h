/* SPDX-License-Identifier: MIT */
/*
 * Numbers that a person types at a prompt.
 *
 * Next: lib/number.c.
 */
#ifndef PV_NUMBER_H
#define PV_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* number.c */

/*
 * Read all of `text` as one number: decimal digits, or hexadecimal ones after "0x"; spaces may
 * follow. False, and *value stays, if it is anything else, or not from `least` to `most`.
 */
bool number_parse(const char *text, uint32_t least, uint32_t most, uint32_t *value);

#endif
