// SPDX-License-Identifier: MIT
/* `pagefold fuzz`: random system calls on the host's Linux and through the library. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/fuzz.h"
#include "cli/options.h"

static const char usage[] =
	"usage: pagefold fuzz [OPTION]...\n"
	"\n"
	"Play random programs of memory system calls and accesses on the host's Linux and through\n"
	"the library, and compare results, mappings, bytes, signals and pagemap after every call.\n"
	"A difference is made short and printed as a scenario for `pagefold run`.\n"
	"\n"
	"  --seed N        of the programs (default: from the clock, and printed)\n"
	"  --ops N         calls (default 100000, without --time)\n"
	"  --time S        seconds\n"
	"  --format F      one format (default: all in turn)\n"
	"  --steps N       calls of a program (default 160)\n"
	"  --every N       check the library's invariants after every N-th call (default 32)\n"
	"  --shrink S      seconds for making a difference short (default 120)\n"
	"  --self-check    find five planted errors, each within 100000 calls\n"
	"  --json          results as JSON (docs/JSON.md)\n"
	"  --help          this text\n"
	"\n"
	"Exit status: 0 no difference, 1 a difference (or an exception that swallows too much), 2\n"
	"wrong use, or a host that cannot be asked.\n";

struct options {
	uint64_t seed, ops, time, steps, every, shrink;
	const char *format;
	bool json, self_check;
};

static int wrong_usage(const char *what, const char *arg)
{
	fprintf(stderr, "pagefold fuzz: %s%s%s\nTry 'pagefold fuzz --help'.\n", what,
		arg ? ": " : "", arg ? arg : "");
	return 2;
}

static bool number(const char *v, uint64_t least, uint64_t most, uint64_t *n)
{
	return sc_parse_number(v, n) && *n >= least && *n <= most;
}

/* 0, or an exit status + 1. */
static int parse_options(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		const char *v;

		if (!strcmp(argv[i], "--help")) {
			fputs(usage, stdout);
			return 1;
		} else if (!strcmp(argv[i], "--json")) {
			o->json = true;
		} else if (!strcmp(argv[i], "--self-check")) {
			o->self_check = true;
		} else if ((v = option_value(argv, argc, &i, "--format"))) {
			o->format = v;
			if (!run_find_format(v))
				return 1 + wrong_usage("no such format", v);
		} else if ((v = option_value(argv, argc, &i, "--seed"))) {
			if (!number(v, 0, UINT64_MAX, &o->seed))
				return 1 + wrong_usage("--seed is a number, not", v);
		} else if ((v = option_value(argv, argc, &i, "--ops"))) {
			if (!number(v, 1, UINT64_MAX, &o->ops))
				return 1 + wrong_usage("--ops is a number from 1, not", v);
		} else if ((v = option_value(argv, argc, &i, "--time"))) {
			if (!number(v, 1, UINT32_MAX, &o->time))
				return 1 + wrong_usage("--time is seconds from 1, not", v);
		} else if ((v = option_value(argv, argc, &i, "--steps"))) {
			if (!number(v, 2, 100000, &o->steps))
				return 1 + wrong_usage("--steps is from 2 to 100000, not", v);
		} else if ((v = option_value(argv, argc, &i, "--every"))) {
			if (!number(v, 1, 100000, &o->every))
				return 1 + wrong_usage("--every is from 1 to 100000, not", v);
		} else if ((v = option_value(argv, argc, &i, "--shrink"))) {
			if (!number(v, 1, UINT32_MAX, &o->shrink))
				return 1 + wrong_usage("--shrink is seconds from 1, not", v);
		} else {
			return 1 + wrong_usage("unknown option, or one without its value", argv[i]);
		}
	}
	if (!o->ops)
		o->ops = o->time ? UINT64_MAX : 100000;
	return 0;
}

#if PF_JUDGE

struct fuzzing {
	const struct options *o;
	struct fuzz f;
	struct timespec began;
	bool terminal, shown;
	time_t last;
	enum fuzz_verdict verdict;
	char *why, *scenario; /* of the difference */
	unsigned statements;
	const char *format;
};

static double elapsed(const struct fuzzing *z)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - z->began.tv_sec) +
	       (double)(now.tv_nsec - z->began.tv_nsec) / 1e9;
}

static void clear_progress(struct fuzzing *z)
{
	if (z->shown)
		fputs("\r\033[K", stderr);
	z->shown = false;
}

static void show_progress(struct fuzzing *z)
{
	time_t now = time(NULL);

	if (!z->terminal || now == z->last)
		return;
	z->last = now;
	clear_progress(z);
	fprintf(stderr, "%" PRIu64 " calls, %" PRIu64 " programs, %.0f s", z->f.calls,
		z->f.programs, elapsed(z));
	z->shown = true;
}

/* A difference: short, and as text. */
static void keep_difference(struct fuzzing *z, struct fuzz_play *y, struct program *g)
{
	struct fuzz plain = z->f;
	struct fuzz_play again;

	if (y->done < g->nr)
		g->nr = y->done;
	clear_progress(z);
	if (z->terminal)
		fprintf(stderr, "a difference after %" PRIu64 " calls, being made short ...\n",
			z->f.calls);
	z->why = strdup(y->why);
	z->format = g->fmt->pt->name;
	if (!fuzz_shrink(&z->f, g, (unsigned)z->o->shrink)) {
		/* It depends on what came before it: then it is shown as it was. */
		z->scenario = fuzz_scenario(y, &z->f);
		z->statements = g->nr;
		return;
	}
	plain.cover = NULL;
	plain.every = 1;
	fuzz_play(&again, &plain, g, 0, 0, g->fmt);
	if (again.verdict == FUZZ_DIFFERENT) {
		free(z->why);
		z->why = strdup(again.why);
		z->scenario = fuzz_scenario(&again, &z->f);
		z->statements = again.done;
	}
	fuzz_play_free(&again);
}

/* Programs until there have been enough calls, or something is found. */
static void fuzz_until(struct fuzzing *z, uint64_t ops, uint64_t seconds)
{
	unsigned nformats = 0;

	while (pf_formats[nformats])
		nformats++;
	clock_gettime(CLOCK_MONOTONIC, &z->began);
	for (uint64_t i = 0; z->f.calls < ops && (!seconds || elapsed(z) < (double)seconds); i++) {
		const struct pf_format *fmt =
			z->o->format ? run_find_format(z->o->format) : pf_formats[i % nformats];
		struct fuzz_area area;
		struct fuzz_play y;
		struct program g = {0};
		bool stop;

		if (!fuzz_host_area(z->f.host, fmt, &area)) {
			if (z->o->format || i > nformats) {
				z->verdict = FUZZ_BROKEN;
				return;
			}
			continue;
		}
		fuzz_play(&y, &z->f, &g, z->o->seed * UINT64_C(0x100000001) + i,
			(unsigned)z->o->steps, fmt);
		stop = y.verdict == FUZZ_DIFFERENT || y.verdict == FUZZ_BROKEN;
		z->f.not_built += y.verdict == FUZZ_NOT_BUILT;
		if (y.verdict == FUZZ_NOT_BUILT && !*z->f.not_built_what)
			program_op_text(&g.ops[y.done - 1], z->f.not_built_what,
				sizeof(z->f.not_built_what));
		if (y.verdict == FUZZ_DIFFERENT)
			keep_difference(z, &y, &g);
		if (stop)
			z->verdict = y.verdict;
		fuzz_play_free(&y);
		program_free(&g);
		if (stop)
			return;
		show_progress(z);
	}
}

/* No exception may hide more than one call in a thousand. */
static const struct fuzz_exception *too_much(const struct fuzzing *z)
{
	for (const struct fuzz_exception *e = fuzz_exceptions; e->name; e++)
		if (e->swallowed > 20 && e->swallowed * 1000 > z->f.calls)
			return e;
	return NULL;
}

static void report_json(const struct fuzzing *z)
{
	struct json_object *all = json_object_new_object(), *list = json_object_new_array();

	json_object_object_add(all, "version", json_object_new_int(1));
	json_object_object_add(all, "host", json_object_new_string(fuzz_host_name(z->f.host)));
	json_object_object_add(
		all, "soft_dirty", json_object_new_boolean(fuzz_host_soft_dirty(z->f.host)));
	json_object_object_add(all, "disk", json_object_new_boolean(fuzz_host_disk(z->f.host)));
	json_object_object_add(all, "seed", json_object_new_uint64(z->o->seed));
	json_object_object_add(all, "calls", json_object_new_int64((int64_t)z->f.calls));
	json_object_object_add(all, "programs", json_object_new_int64((int64_t)z->f.programs));
	json_object_object_add(all, "not_built", json_object_new_int64((int64_t)z->f.not_built));
	json_object_object_add(all, "seconds", json_object_new_double(elapsed(z)));
	for (const struct fuzz_exception *e = fuzz_exceptions; e->name; e++) {
		struct json_object *x = json_object_new_object();

		json_object_object_add(x, "name", json_object_new_string(e->name));
		json_object_object_add(x, "calls", json_object_new_int64((int64_t)e->swallowed));
		json_object_array_add(list, x);
	}
	json_object_object_add(all, "exceptions", list);
	json_object_object_add(all, "difference", NULL);
	if (z->why) {
		struct json_object *d = json_object_new_object();

		json_object_object_add(d, "format", json_object_new_string(z->format));
		json_object_object_add(d, "what", json_object_new_string(z->why));
		json_object_object_add(
			d, "scenario", json_object_new_string(z->scenario ? z->scenario : ""));
		json_object_object_add(all, "difference", d);
	}
	fuzz_cover_json(z->f.cover, all);
	puts(json_object_to_json_string_ext(
		all, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
}

static void report(const struct fuzzing *z)
{
	fuzz_cover_print(z->f.cover);
	for (const struct fuzz_exception *e = fuzz_exceptions; e->name; e++)
		printf("exception %s: %" PRIu64 " calls\n", e->name, e->swallowed);
	if (!fuzz_host_disk(z->f.host))
		puts("no directory ($TMPDIR, /var/tmp, .) is a disk's: programs with a userfaultfd "
		     "had no files");
	if (z->f.not_built)
		printf("%" PRIu64 " programs ended at what is not built, the first at: %s\n",
			z->f.not_built, z->f.not_built_what);
	if (z->why)
		printf("\non %s: %s\n\n%s\n", z->format, z->why, z->scenario ? z->scenario : "");
	printf("%s, seed %" PRIu64 ": %" PRIu64 " calls in %" PRIu64 " programs, %.0f s: %s\n",
		fuzz_host_name(z->f.host), z->o->seed, z->f.calls, z->f.programs, elapsed(z),
		z->why ? "a difference" : "no difference");
}

static int fuzz_host_broken(const struct fuzzing *z)
{
	fprintf(stderr,
		"pagefold fuzz: after %" PRIu64 " calls the host's processes died, hang, or find "
		"no place for this format's addresses\n",
		z->f.calls);
	return 2;
}

static void add_planted(
	struct json_object *list, const char *where, const struct fuzzing *z, bool found)
{
	struct json_object *x = json_object_new_object();

	json_object_object_add(x, "in", json_object_new_string(where));
	json_object_object_add(x, "found", json_object_new_boolean(found));
	json_object_object_add(x, "calls", json_object_new_int64((int64_t)z->f.calls));
	json_object_object_add(x, "statements", json_object_new_int64(found ? z->statements : 0));
	json_object_object_add(x, "scenario", json_object_new_string(found ? z->scenario : ""));
	json_object_array_add(list, x);
}

/* Errors, each in what another comparison looks at. */
static int self_check(struct fuzzing *z)
{
	struct json_object *all = json_object_new_object(), *list = json_object_new_array();
	static const char *const planted[] = {[FUZZ_PLANT_RESULT] = "result",
		[FUZZ_PLANT_MAPS] = "mappings",
		[FUZZ_PLANT_FLAGS] = "flags",
		[FUZZ_PLANT_BYTES] = "bytes",
		[FUZZ_PLANT_PAGEMAP] = "pagemap"};
	unsigned found = 0;

	for (unsigned k = FUZZ_PLANT_RESULT; k < FUZZ_PLANTS; k++) {
		z->f.planted = k;
		z->f.calls = 0;
		z->verdict = FUZZ_SAME;
		fuzz_until(z, 100000, 0);
		if (z->verdict == FUZZ_BROKEN)
			return fuzz_host_broken(z);
		bool yes = z->verdict == FUZZ_DIFFERENT && z->scenario;

		found += yes;
		add_planted(list, planted[k], z, yes);
		if (!z->o->json && yes)
			printf("planted in %s: found after %" PRIu64 " calls, %u left of them\n",
				planted[k], z->f.calls, z->statements);
		else if (!z->o->json)
			printf("planted in %s: NOT found in %" PRIu64 " calls\n", planted[k],
				z->f.calls);
		free(z->why);
		free(z->scenario);
		z->why = z->scenario = NULL;
	}
	json_object_object_add(all, "version", json_object_new_int(1));
	json_object_object_add(all, "host", json_object_new_string(fuzz_host_name(z->f.host)));
	json_object_object_add(all, "seed", json_object_new_uint64(z->o->seed));
	json_object_object_add(all, "planted", list);
	if (z->o->json)
		puts(json_object_to_json_string_ext(
			all, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		printf("%s, seed %" PRIu64 ": %u of %u planted errors found\n",
			fuzz_host_name(z->f.host), z->o->seed, found, FUZZ_PLANTS - 1);
	json_object_put(all);
	return found == FUZZ_PLANTS - 1 ? 0 : 1;
}

static int fuzz(const struct options *o)
{
	struct fuzzing z = {.o = o, .terminal = isatty(2), .last = time(NULL)};
	const char *why;
	int status = 0;

	z.f.host = fuzz_host_start(&why);
	if (!z.f.host) {
		fprintf(stderr, "pagefold fuzz: %s\n", why);
		return 2;
	}
	z.f.cover = fuzz_cover_new();
	z.f.every = (unsigned)o->every;
	if (!o->json) {
		printf("seed %" PRIu64 "\n", o->seed);
		fflush(stdout);
	}
	if (o->self_check) {
		status = self_check(&z);
	} else {
		fuzz_until(&z, o->ops, o->time);
		clear_progress(&z);
		if (z.verdict == FUZZ_BROKEN) {
			status = fuzz_host_broken(&z);
		} else {
			const struct fuzz_exception *e = too_much(&z);

			(o->json ? report_json : report)(&z);
			if (e)
				fprintf(stderr,
					"pagefold fuzz: exception %s swallowed %" PRIu64
					" of %" PRIu64 " calls, more than one in a thousand\n",
					e->name, e->swallowed, z.f.calls);
			status = z.why || e;
		}
	}
	free(z.why);
	free(z.scenario);
	fuzz_cover_free(z.f.cover);
	fuzz_host_stop(z.f.host);
	return status;
}
#endif

int cmd_fuzz(int argc, char **argv)
{
	struct options o = {.seed = (uint64_t)time(NULL), .steps = 160, .every = 32, .shrink = 120};
	int status;

#if !PF_JUDGE
	status = parse_options(argc, argv, &o);
	return status ? status - 1 : exec_judge(argv);
#else
	status = parse_options(argc, argv, &o);
	return status ? status - 1 : fuzz(&o);
#endif
}
