/* SPDX-License-Identifier: MIT */
/*
 * Random programs of memory system calls and accesses, as scenarios. A program is drawn whole, before anything is
 * played, from a seed or from given bytes; what it does is text that `pagefold run` accepts; all that is expected
 * of it is what the model (cli/oracle.h) and the machine's rules say.
 *
 *   program.c   drawing, and the scenario's text
 *   play.c      one program through the library on the judging machine
 *   shrink.c    a program that fails, made short
 *   main.c      many programs
 *   fuzz.c      programs drawn from a fuzzer's bytes
 */
#ifndef TESTS_PROPERTY_PROGRAM_H
#define TESTS_PROPERTY_PROGRAM_H

#include "cli/run.h"

#define PROGRAM_MAX_PID 4
#define PROGRAM_CPUS    3

/* Where choices come from: a seed, or bytes while there are any. */
struct source {
	uint64_t rng;
	const uint8_t *bytes;
	size_t nr;
};

/* Below n. */
uint64_t source_draw(struct source *s, uint64_t n);

struct op {
	enum sc_call_id id;
	unsigned pid, cpu;
	unsigned child; /* fork */
	unsigned nargs;
	uint64_t a[5];
};

struct program {
	const struct pf_format *fmt;
	uint64_t seed; /* of the machine */
	bool fold, late_walks;
	const char *feature; /* NULL: the format's newest */
	uint64_t memory;
	uint64_t fail_at; /* the allocation that fails, 0: none */
	struct {
		unsigned order;
		enum sc_thp_mode mode;
	} thp[3];
	unsigned nthp;
	enum sc_thp_mode thp_enabled;

	uint64_t base, pages; /* the window that it works in */
	struct op *ops;
	unsigned nr;
};

/* Free with program_free(). With bytes, they are what the calls are drawn from, until there are none. */
void program_draw(struct program *g, const struct pf_format *fmt, uint64_t seed, unsigned steps,
	const uint8_t *bytes, size_t nbytes);
void program_copy(struct program *to, const struct program *from);
void program_free(struct program *g);

/* The scenario, malloc'd. Statements stand one a line, the first in line *first. */
char *program_text(const struct program *g, unsigned *first);

struct played {
	bool failed;
	unsigned done; /* statements, the failing one included */
	bool exhausted; /* no memory was left for an access, or for a call, which then ended the program */
	bool injected; /* there were as many allocations as fail_at */
	char *why;     /* malloc'd, or NULL */
};

/*
 * Everything is checked after each `every`-th statement, at the end, and after an allocation that failed; the rules
 * after each.
 */
void program_play(const struct program *g, unsigned every, struct played *out);

/* The shortest program found that still fails; *g fails and is replaced. At most `seconds`. */
void program_shrink(struct program *g, unsigned seconds);

#endif
