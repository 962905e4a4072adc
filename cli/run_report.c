// SPDX-License-Identifier: MIT
/* Results: a line for each, or JSON (docs/JSON.md), and progress on a terminal. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/run_report.h"

static void clear_progress(struct run_results *res)
{
	if (res->shown)
		fputs("\r\033[K", stderr);
	res->shown = false;
}

void run_show_progress(struct run_results *res, const char *path)
{
	res->path = path;
	if (!res->terminal || time(NULL) - res->began < 2)
		return;
	clear_progress(res);
	fprintf(stderr, "%zu/%zu %s", res->at, res->of, path);
	res->shown = true;
}

void run_show_schedules(void *results, uint64_t schedules)
{
	struct run_results *res = results;

	run_show_progress(res, res->path);
	if (res->shown)
		fprintf(stderr, " %llu schedules", (unsigned long long)schedules);
}

static void add_json(struct run_results *res, const struct sc_file *f, const char *format,
	bool fold, const struct run_outcome *out)
{
	struct json_object *r = json_object_new_object(), *c = json_object_new_object();
	char message[8192];

	json_object_object_add(r, "file", json_object_new_string(f->path));
	json_object_object_add(r, "format", json_object_new_string(format));
	json_object_object_add(r, "fold", json_object_new_boolean(fold));
	/* What was skipped did not fail; its message begins with "skip". */
	json_object_object_add(r, "ok", json_object_new_boolean(out->verdict != RUN_FAIL));
	json_object_object_add(r, "line", json_object_new_int64(out->line));
	/* What a log's run adds begins on a line of its own. */
	const char *text = out->text ? out->text : "";

	snprintf(message, sizeof(message), "%s%s", out->verdict == RUN_SKIP ? "skip: " : "",
		text + strspn(text, "\n "));
	json_object_object_add(r, "message", json_object_new_string(message));
	for (int i = 0; i < SC_C_BUILT && out->verdict != RUN_SKIP; i++)
		json_object_object_add(
			c, sc_counter_names[i], json_object_new_uint64(out->counters[i]));
	json_object_object_add(r, "counters", c);
	if (out->explored.any) {
		struct json_object *e = json_object_new_object();

		json_object_object_add(
			e, "schedules", json_object_new_uint64(out->explored.schedules));
		json_object_object_add(e, "states", json_object_new_uint64(out->explored.states));
		json_object_object_add(
			e, "exhausted", json_object_new_boolean(out->explored.exhausted));
		json_object_object_add(r, "explored", e);
	}
	json_object_array_add(res->list, r);
}

static const char *describe_explored(const struct run_explored *e, char *text, size_t size)
{
	if (!e->any)
		return "";
	snprintf(text, size, " %llu schedules, %llu states%s", (unsigned long long)e->schedules,
		(unsigned long long)e->states,
		!e->bounded    ? ""
		: e->exhausted ? ", exhausted"
			       : ", not exhausted");
	return text;
}

void run_report(struct run_results *res, const struct sc_file *f, const struct pf_format *fmt,
	bool fold, const struct run_outcome *out)
{
	const char *how = f->settings.fold == SC_FOLD_ON ? "" : fold ? " fold=on" : " fold=off";
	const char *name = fmt->pt->name;

	clear_progress(res);
	if (out->verdict == RUN_BAD_INPUT || out->verdict == RUN_UNSUPPORTED) {
		char text[512];

		snprintf(text, sizeof(text), "%s%s [%s]",
			out->verdict == RUN_UNSUPPORTED ? "not supported yet: " : "", out->text,
			name);
		run_problem(f->path, out->line, text);
		res->wrong = true;
		return;
	}
	res->passed += out->verdict == RUN_OK;
	res->failed += out->verdict == RUN_FAIL;
	res->skipped += out->verdict == RUN_SKIP;
	if (res->o->json) {
		add_json(res, f, name, fold, out);
	} else if (out->verdict == RUN_OK) {
		char explored[128];

		/* Of a log: what was assumed. */
		printf("ok %s [%s%s]%s%s\n", f->path, name, how,
			describe_explored(&out->explored, explored, sizeof(explored)),
			out->text ? out->text : "");
	} else if (out->verdict == RUN_SKIP) {
		printf("skip %s [%s] %s\n", f->path, name, out->text);
	} else {
		const char *rest = strchr(out->text, '\n');
		int first = rest ? (int)(rest - out->text) : (int)strlen(out->text);

		printf("FAIL %s:%u: %.*s\n    on [%s%s] seed %llu%s\n", f->path, out->line, first,
			out->text, name, how, (unsigned long long)res->o->seed, rest ? rest : "");
	}
	fflush(stdout);
}

void run_report_end(struct run_results *res)
{
	struct json_object *all;

	clear_progress(res);
	if (!res->o->json) {
		printf("%u passed, %u failed, %u skipped\n", res->passed, res->failed,
			res->skipped);
		json_object_put(res->list);
		return;
	}
	all = json_object_new_object();
	json_object_object_add(all, "version", json_object_new_int(1));
	json_object_object_add(all, "results", res->list);
	json_object_object_add(all, "passed", json_object_new_int64(res->passed));
	json_object_object_add(all, "failed", json_object_new_int64(res->failed));
	json_object_object_add(all, "skipped", json_object_new_int64(res->skipped));
	puts(json_object_to_json_string_ext(
		all, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
}

void run_problem(const char *path, unsigned line, const char *text)
{
	if (line)
		fprintf(stderr, "%s:%u: %s\n", path, line, text);
	else
		fprintf(stderr, "%s: %s\n", path, text);
}

void run_report_begin(struct run_results *res)
{
	res->list = json_object_new_array();
	res->began = time(NULL);
	res->terminal = isatty(2);
}
