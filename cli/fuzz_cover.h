/* SPDX-License-Identifier: MIT */
/*
 * What fuzz has done, as cells: a call, one of its flags, the memory it was about, what came of it. Of calls that
 * are alike in their arguments' classes (fuzz_situation) it is learned what comes of them, so that the next call can be
 * one of which something seldom is likely.
 *
 *   fuzz_kind.c        the memory a call is about, and what calls are alike
 *   fuzz_cover.c       counting and learning
 *   fuzz_cover_tell.c  the table, and what is missing from it
 */
#ifndef CLI_FUZZ_COVER_H
#define CLI_FUZZ_COVER_H

#include "cli/fuzz.h"

#define FUZZ_ENOUGH     100
#define FUZZ_PLACES     16384 /* powers of two; far more than there are, but for situations */
#define FUZZ_SITUATIONS 65536
#define FUZZ_CELLS      32768
#define FUZZ_RESULTS    64
#define FUZZ_KNOWN      6 /* results of a situation that are remembered */

/* Of one call, flag and kind of memory: how often, and the cells of what came of it. */
struct fuzz_place {
	const char *call, *flag; /* of the tables: equal where they are the same. call NULL: free */
	unsigned kind;
	uint64_t hits;
	uint32_t first; /* cell + 1, 0: none */
};

struct fuzz_cell {
	const struct fuzz_place *place;
	unsigned result;
	uint64_t hits;
	uint32_t next;
};

/* What came of calls that are alike. A newcomer takes the place of another that falls on the same slot. */
struct fuzz_situation {
	uint64_t name; /* 0: free */
	uint32_t calls;
	uint32_t hits[FUZZ_KNOWN];
	uint8_t result[FUZZ_KNOWN]; /* hits 0: none */
};

struct fuzz_cover {
	struct fuzz_place places[FUZZ_PLACES];
	struct fuzz_cell cells[FUZZ_CELLS];
	struct fuzz_situation situations[FUZZ_SITUATIONS];
	char results[FUZZ_RESULTS][12];
	unsigned nplaces, ncells, nresults;
};

/* The place where a call is counted once, whatever its flags and the memory: of this flag and this kind. */
extern const char fuzz_any[];
#define FUZZ_ANY_KIND FUZZ_KINDS

/* The place, or one that is free: it was never drawn. */
const struct fuzz_place *fuzz_cover_place(
	const struct fuzz_cover *c, const char *call, const char *flag, unsigned kind);
uint64_t fuzz_cover_hits(
	const struct fuzz_cover *c, const struct fuzz_place *place, unsigned result);

void fuzz_kind_name(unsigned kind, char *text, size_t size);
/* Can a call be about such memory at all? */
bool fuzz_kind_can_be(const struct program_call *call, unsigned kind);
/* Why that cannot come of such a call, or NULL: it may. */
const char *fuzz_cannot(const struct program_call *call, unsigned kind, const char *result);
/* The same of calls whose arguments are of the same classes, on the same kind of memory, with the same outlook; never 0. */
uint64_t fuzz_situation(const struct op *op, unsigned kind, uint64_t outlook);

#endif
