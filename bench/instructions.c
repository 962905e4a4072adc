// SPDX-License-Identifier: MIT
/*
 * Rows that are counted, not timed: instructions of reading an entry without a lock (getter.c), which one valgrind counts as the
 * next. A program of its own for each format.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mm/mm.h"

#define CALLS 10000u

/* Instructions of the program with so many calls; 0: could not be counted. */
static uint64_t count(const char *program, const char *state, unsigned calls)
{
	unsigned long long n = 0;
	char command[4600], line[256];
	FILE *f;

	snprintf(command, sizeof(command),
		"valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-fd=1 '%s' '%s' %u "
		"2>&1",
		program, state, calls);
	f = popen(command, "re");
	while (f && fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, "Collected :");

		if (at)
			sscanf(at, "Collected : %llu", &n);
	}
	return f && !pclose(f) ? n : 0;
}

static bool of_format(const char *program, const char *format,
	void (*row)(void *ctx, const char *name, const char *kase, double ours), void *ctx)
{
	char command[4300], state[64], kase[96];
	bool ok = true;
	FILE *f;

	snprintf(command, sizeof(command), "'%s'", program);
	f = popen(command, "re");
	while (f && ok && fgets(state, sizeof(state), f)) {
		uint64_t none, all;

		state[strcspn(state, "\n")] = '\0';
		none = count(program, state, 0);
		all = count(program, state, CALLS);
		ok = none && all > none;
		if (ok) {
			snprintf(kase, sizeof(kase), "%s %s", format, state);
			row(ctx, "getter-lockless", kase, (double)(all - none) / CALLS);
		}
	}
	return f && !pclose(f) && ok;
}

bool instructions_rows(const char *self,
	void (*row)(void *ctx, const char *name, const char *kase, double ours), void *ctx)
{
	char program[4200];

	if (system("valgrind --version >/dev/null 2>&1")) {
		printf("# getter-lockless: not counted: there is no valgrind here\n");
		return true;
	}
	for (const struct pf_format *const *f = pf_formats; *f; f++) {
		const char *name = (*f)->pt->name;

		snprintf(program, sizeof(program), "%.4000s-getter-%s", self, name);
		if (!of_format(program, name, row, ctx)) {
			fprintf(stderr, "pagefold-bench: '%s' was not counted\n", program);
			return false;
		}
	}
	return true;
}
