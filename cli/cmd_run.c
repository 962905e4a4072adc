// SPDX-License-Identifier: MIT
/*
 * `pagefold run`: options, files, results. The measuring executable hands over to the judge beside it;
 * the judge plays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/run_report.h"

static const char usage[] =
	"usage: pagefold run [OPTION]... FILE|DIRECTORY...\n"
	"\n"
	"Play scenarios and check what they expect. A directory means all *.pf below it, sorted.\n"
	"Options override the files' @ lines.\n"
	"\n"
	"  --format F[,F...]|all   the formats to play on\n"
	"  --fold on|off|both      folding\n"
	"  --fail each|N|none      make allocations fail\n"
	"  --seed N                of the machine's choices (default 1)\n"
	"  --schedules N           of each threads block, at most\n"
	"  --preemptions N         in each schedule, at most\n"
	"  --log FILE              log all that is done to the hardware (one file, one "
	"configuration)\n"
	"  --json                  results as JSON (docs/JSON.md)\n"
	"  --strace                the files are logs of strace -f -y\n"
	"  --help                  this text\n"
	"\n"
	"Exit status: 0 all passed, 1 an expectation failed or a rule was broken, 2 the input is "
	"wrong.\n";

/* ---- options ---- */

static int wrong_usage(const char *what, const char *arg)
{
	fprintf(stderr, "pagefold run: %s%s%s\nTry 'pagefold run --help'.\n", what, arg ? ": " : "",
		arg ? arg : "");
	return 2;
}

static bool parse_fold(const char *v, enum sc_fold *fold)
{
	*fold = !strcmp(v, "on") ? SC_FOLD_ON : !strcmp(v, "off") ? SC_FOLD_OFF : SC_FOLD_BOTH;
	return *fold != SC_FOLD_BOTH || !strcmp(v, "both");
}

static bool parse_fail(const char *v, uint64_t *fail)
{
	if (!strcmp(v, "each"))
		*fail = SC_FAIL_EACH;
	else if (!strcmp(v, "none"))
		*fail = SC_FAIL_NONE;
	else
		return sc_parse_number(v, fail) && *fail && *fail != SC_FAIL_EACH;
	return true;
}

/* 0, or an exit status + 1. Paths are left in argv[1...]. */
static int parse_options(int argc, char **argv, struct run_options *o, int *npaths)
{
	bool only_paths = false;

	*npaths = 0;
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *v;

		if (only_paths || *a != '-' || !a[1]) {
			argv[1 + (*npaths)++] = argv[i];
		} else if (!strcmp(a, "--")) {
			only_paths = true;
		} else if (!strcmp(a, "--help")) {
			fputs(usage, stdout);
			return 1;
		} else if (!strcmp(a, "--json")) {
			o->json = true;
		} else if (!strcmp(a, "--strace")) {
			o->strace = true;
		} else if ((v = option_value(argv, argc, &i, "--format"))) {
			o->format = v;
		} else if ((v = option_value(argv, argc, &i, "--log"))) {
			o->log = v;
		} else if ((v = option_value(argv, argc, &i, "--fold"))) {
			o->fold_set = true;
			if (!parse_fold(v, &o->fold))
				return 1 + wrong_usage("--fold is on, off or both, not", v);
		} else if ((v = option_value(argv, argc, &i, "--fail"))) {
			o->fail_set = true;
			if (!parse_fail(v, &o->fail))
				return 1 +
				       wrong_usage(
					       "--fail is each, none, or a number from 1, not", v);
		} else if ((v = option_value(argv, argc, &i, "--seed"))) {
			if (!sc_parse_number(v, &o->seed))
				return 1 + wrong_usage("--seed is a number, not", v);
		} else if ((v = option_value(argv, argc, &i, "--preemptions"))) {
			uint64_t n;

			if (!sc_parse_number(v, &n) || n > SC_MOST_PREEMPTIONS)
				return 1 + wrong_usage("--preemptions is 0 to 7, not", v);
			o->preemptions_set = true;
			o->preemptions = (unsigned)n;
		} else if ((v = option_value(argv, argc, &i, "--schedules"))) {
			if (!sc_parse_number(v, &o->schedules) || !o->schedules)
				return 1 + wrong_usage("--schedules is a number from 1, not", v);
		} else {
			return 1 + wrong_usage("unknown option, or one without its value", a);
		}
	}
	if (!*npaths)
		return 1 + wrong_usage("no scenario given", NULL);
	return 0;
}

int cmd_run(int argc, char **argv)
{
	struct run_options o = {.seed = 1};
	int npaths, status;

#if !PF_JUDGE
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));

	if (!copy)
		return 2;
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	status = parse_options(argc, argv, &o, &npaths);
	if (!status)
		status = exec_judge(copy) + 1;
	free(copy);
	return status - 1;
#else
	status = parse_options(argc, argv, &o, &npaths);
	return status ? status - 1 : run_files(&o, argv + 1, npaths);
#endif
}
