/* SPDX-License-Identifier: MIT */
/*
 * Random programs (cli/program.h) through the library on the judging machine, next to the model: what comes
 * of it is what the model (cli/oracle.h) and the machine's rules say.
 *
 *   play.c      one program
 *   main.c      many programs
 *   fuzz.c      programs drawn from a fuzzer's bytes
 */
#ifndef TESTS_PROPERTY_PLAY_H
#define TESTS_PROPERTY_PLAY_H

#include "cli/program.h"

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

#endif
