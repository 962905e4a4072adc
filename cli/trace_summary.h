/* SPDX-License-Identifier: MIT */
/* What `pagefold trace info` says about a stream. */
#ifndef PF_CLI_TRACE_SUMMARY_H
#define PF_CLI_TRACE_SUMMARY_H

#include "trace_format.h"
#include "trace_manifest.h"

#include <stdio.h>

struct json_object;

struct trace_not_captured {
	char *what;
	uint64_t count;
};

struct trace_summary {
	char *error; /* the stream could not be opened, or not be read to its end; the rest counts what was read */
	char *path, *program, *source, *how, *end;
	char *command; /* arguments, quoted for a shell */
	uint32_t machine, page_shift, flags, pid, stream, parent_stream;
	struct trace_totals totals;
	uint64_t accesses, runs, code_runs, kernel_runs, instructions;
	uint64_t data_pages, code_pages; /* distinct */
	uint64_t events[TRACE_EV_LAST];
	struct trace_not_captured *not_captured;
	size_t nr_not_captured;
};

/* Reads the whole stream. progress may be NULL; it is called a few times a second. */
void trace_summarize(struct trace_summary *s, const struct trace_stream_info *info,
	void (*progress)(void *arg, const char *path, double done), void *arg);
void trace_summary_free(struct trace_summary *s);
/* Adds what can be added. */
void trace_summary_add(struct trace_summary *total, const struct trace_summary *s);
struct json_object *trace_summary_json(const struct trace_summary *s);
void trace_summary_print(const struct trace_summary *s, FILE *to);
void trace_summary_print_total(const struct trace_summary *s, FILE *to);

#endif
