/* SPDX-License-Identifier: MIT */
/*
 * flip.h: the other form of a data segment.
 */
#ifndef SEGMENTS_4GB_FLIP_H
#define SEGMENTS_4GB_FLIP_H

#include <ringlet/desc.h>

bool flip_descriptor(struct desc *d, uint32_t offset);

#endif
