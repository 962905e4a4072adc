// SPDX-License-Identifier: MIT
/*
 * Programs by their seeds: a fixed set, and as many from the clock. The first that fails is printed as a short
 * scenario for `pagefold run`, with the seed that draws it again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "play.h"

static const char usage[] =
	"usage: property [--format F] [--programs N] [--seed S] [--clock N] [--steps N] [--every "
	"N] [--print]\n"
	"\n"
	"  --format F     one format (default: all)\n"
	"  --programs N   programs of the fixed set, seeds 1 to N (default 100)\n"
	"  --seed S       with this seed instead, and the N - 1 after it (default one)\n"
	"  --clock N      N programs more, their first seed from the clock (default 0)\n"
	"  --steps N      statements of a program (default 160)\n"
	"  --every N      check everything after each N-th statement (default 4; the rules after "
	"each)\n"
	"  --print        print the programs, too\n";

struct totals {
	uint64_t programs, steps, exhausted, injected;
};

static bool fails(void *ctx, const struct program *g, unsigned *done)
{
	struct played p;

	(void)ctx;
	program_play(g, 1, &p);
	*done = p.done;
	free(p.why);
	return p.failed;
}

static void report(struct program *g, const struct pf_format *fmt, uint64_t seed, unsigned steps,
	struct played *p)
{
	struct played again;
	unsigned first;
	char *text;

	fprintf(stderr, "FAILED on %s with --seed %" PRIu64 " --steps %u, statement %u of %u: %s\n",
		fmt->pt->name, seed, steps, p->done, g->nr, p->why ? p->why : "?");
	/* Whoever looks for failures on purpose wants no scenario of each. */
	if (getenv("PF_MUTANT"))
		return;
	if (p->done < g->nr)
		g->nr = p->done;
	program_shrink(g, 60, fails, NULL);
	program_play(g, 1, &again);
	text = program_text(g, &first);
	fprintf(stderr, "\n# pagefold run --seed %" PRIu64 "%s\n%s# %s\n\n", g->seed,
		g->late_walks ? ", with walkers that come late" : "", text,
		again.failed ? again.why : "does not fail alone: all is checked more often there");
	free(text);
	free(again.why);
}

static bool play(const struct pf_format *fmt, uint64_t seed, unsigned steps, unsigned every,
	bool print, struct totals *all)
{
	struct program g;
	struct played p;
	unsigned first;
	bool ok;

	program_draw(&g, fmt, seed, steps, NULL, 0);
	if (print) {
		char *text = program_text(&g, &first);

		printf("# %s, seed %" PRIu64 "\n%s", fmt->pt->name, seed, text);
		free(text);
	}
	program_play(&g, every, &p);
	ok = !p.failed && p.done;
	if (!ok)
		report(&g, fmt, seed, steps, &p);
	all->programs++;
	all->steps += p.done;
	all->exhausted += p.exhausted;
	all->injected += p.injected;
	free(p.why);
	program_free(&g);
	return ok;
}

static uint64_t number(const char *text)
{
	uint64_t n;

	if (!text || !sc_parse_number(text, &n)) {
		fprintf(stderr, "property: %s is not a number\n%s", text ? text : "nothing", usage);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	uint64_t programs = 0, from = 0, clock_programs = 0;
	unsigned steps = 160, every = 4;
	const char *format = NULL;
	struct totals all = {0};
	bool print = false, ok = true, found = false;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(a, "--print")) {
			print = true;
			continue;
		}
		i++;
		if (!strcmp(a, "--format") && v) {
			format = v;
		} else if (!strcmp(a, "--programs")) {
			programs = number(v);
		} else if (!strcmp(a, "--seed")) {
			from = number(v);
		} else if (!strcmp(a, "--clock")) {
			clock_programs = number(v);
		} else if (!strcmp(a, "--steps")) {
			steps = (unsigned)number(v);
		} else if (!strcmp(a, "--every")) {
			every = (unsigned)number(v);
		} else {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!programs)
		programs = from ? 1 : 100;
	/* Mutants are compared over the same programs. */
	if (getenv("PF_MUTANT"))
		clock_programs = 0;
	uint64_t now = (uint64_t)time(NULL) * 1000;

	if (clock_programs)
		printf("seeds from the clock: %" PRIu64 " and the %" PRIu64 " after it\n", now,
			clock_programs - 1);
	fflush(stdout);
	for (const struct pf_format *const *f = pf_formats; *f && ok; f++) {
		if (format && strcmp((*f)->pt->name, format))
			continue;
		found = true;
		for (uint64_t i = 0; ok && i < programs; i++)
			ok = play(*f, (from ? from : 1) + i, steps, every, print, &all);
		for (uint64_t i = 0; ok && i < clock_programs; i++)
			ok = play(*f, now + i, steps, every, print, &all);
	}
	if (!found) {
		fprintf(stderr, "property: no format %s\n", format ? format : "at all");
		return 2;
	}
	printf("%" PRIu64 " programs, %" PRIu64 " statements; an allocation failed in %" PRIu64
	       ", memory ended in %" PRIu64 "\n",
		all.programs, all.steps, all.injected, all.exhausted);
	return !ok;
}
