/* SPDX-License-Identifier: MIT */
/*
 * Runs in words of 32 bits, for whoever plays many of them: a page is named by its place in a table, of
 * which each thread has its own, and it is told by words of their own which page a place stands for.
 *
 *   bits 6..0    place: 0..63 for data, 64..119 for code
 *   bits 11..7   TRACE_RUN_ flags
 *   bits 31..12  accesses, or their lowest 20 bits
 *
 * Two places are none, and what they announce is one with the words that follow:
 *
 *   TRACE_WORD_MORE  bits 31..12 are bits 39..20 of the accesses of the run in the next word
 *   TRACE_WORD_PAGE  bits 31..12 are a place; the next two words are its page from here on, low half first
 */
#ifndef PF_CLI_TRACE_WORD_H
#define PF_CLI_TRACE_WORD_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t trace_word;

#define TRACE_WORD_DATA   0u
#define TRACE_WORD_CODE   64u
#define TRACE_WORD_PLACES 120u
#define TRACE_WORD_MORE   126u
#define TRACE_WORD_PAGE   127u

#define TRACE_WORD_FLAGS 7u  /* shift */
#define TRACE_WORD_COUNT 12u /* shift */
#define TRACE_WORD_LOW   ((1u << (32 - TRACE_WORD_COUNT)) - 1)

static inline unsigned trace_word_place(trace_word w)
{
	return w & 127;
}

static inline uint32_t trace_word_flags(trace_word w)
{
	return w >> TRACE_WORD_FLAGS & 31;
}

static inline uint32_t trace_word_count(trace_word w)
{
	return w >> TRACE_WORD_COUNT;
}

/* How many words a word and what it announces are. */
static inline size_t trace_word_length(trace_word w)
{
	unsigned place = trace_word_place(w);

	return place < TRACE_WORD_PLACES ? 1 : place == TRACE_WORD_MORE ? 2 : 3;
}

/* The accesses of the run that is w[0], or w[0] and w[1]; 0 of what is no run. */
static inline uint64_t trace_word_accesses(const trace_word *w)
{
	if (trace_word_place(*w) < TRACE_WORD_PLACES)
		return trace_word_count(*w);
	return trace_word_place(*w) == TRACE_WORD_MORE
		       ? (uint64_t)trace_word_count(w[0]) << 20 | trace_word_count(w[1])
		       : 0;
}

/* The page of a TRACE_WORD_PAGE. */
static inline uint64_t trace_word_page(const trace_word *w)
{
	return w[1] | (uint64_t)w[2] << 32;
}

#endif
