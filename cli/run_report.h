/* SPDX-License-Identifier: MIT */
/* What `pagefold run` was asked, and what it says. */
#ifndef CLI_RUN_REPORT_H
#define CLI_RUN_REPORT_H

#include <time.h>

#include "cli/run.h"

struct run_options {
	const char *format, *log; /* NULL: as the files say */
	bool fold_set, fail_set, preemptions_set, json, strace;
	enum sc_fold fold;
	uint64_t fail, seed;
	uint64_t schedules; /* of each search, at most; 0: all */
	unsigned preemptions;
};

struct run_results {
	const struct run_options *o;
	struct json_object *list;
	unsigned passed, failed, skipped;
	bool wrong;    /* some input was */
	size_t at, of; /* files */
	const char *path;
	time_t began;
	bool terminal, shown;
};

/* Everything of these paths; the exit status. */
int run_files(const struct run_options *o, char **paths, int npaths);

void run_report_begin(struct run_results *res);
void run_show_progress(struct run_results *res, const char *path);
/* And how many schedules of it were played. A struct run_results, on the stack, which they do not put back (machine/apart.h). */
void run_show_schedules(void *results, uint64_t schedules);
void run_report(struct run_results *res, const struct sc_file *f, const struct pf_format *fmt,
	bool fold, const struct run_outcome *out);
/* The last line, or the whole JSON. */
void run_report_end(struct run_results *res);
/* "FILE:LINE: text" on stderr; without the line if it is 0. */
void run_problem(const char *path, unsigned line, const char *text);

#endif
