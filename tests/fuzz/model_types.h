/* SPDX-License-Identifier: MIT */
/*
 * model_types.h: a slow, obviously right model of the page-type machine.
 *
 * model_check() derives every frame's owner, counts and type from scratch: it starts at what refers
 * to frames from outside page tables (allocations, roots, pins, descriptor tables, grants,
 * interrupted work) and follows the contents of the tables it comes to. Then it compares, and ends
 * the program at the first difference. It shares no code with mm/ and believes no count.
 *
 * The may_*() functions say whether an operation would be accepted now, by carrying it out on a
 * copy of the model. They know nothing of preemption: ask them only about operations that are not
 * interrupted.
 */
#ifndef MODEL_TYPES_H
#define MODEL_TYPES_H

#include <ringlet/domain.h>
#include <ringlet/mm.h>

enum { MODEL_FRAMES = 512, MODEL_IO_START = 500 };

/* UNSURE: another operation was interrupted in the middle of a table this one needs. */
enum verdict { NO, YES, UNSURE };

void model_reset(void);
void model_check(void);

/* Pins are made by these alone. */
void model_pin(mfn_t mfn, uint32_t type);
void model_unpin(mfn_t mfn);
bool model_is_pinned(mfn_t mfn);
/* A privileged domain gave d maps of other domains' frames: those need no grant. */
void model_trust(const struct domain *d);

/* Type count and type (FT_TYPE | FT_TOP) of a frame, as of the last model_check(). */
uint32_t model_type_count(mfn_t mfn);
uint32_t model_type(mfn_t mfn);

/* A general and a type reference. */
enum verdict may_get(mfn_t mfn, const struct domain *d, uint32_t type);
/* A general reference alone. */
bool may_reach(uint64_t mfn, const struct domain *d);
/* Another value for the entry at `index` of this frame, whatever it is in use as. */
enum verdict may_write_entry(mfn_t table, unsigned index, pte_t e, const struct domain *table_owner,
                             const struct domain *frame_owner);

#endif
