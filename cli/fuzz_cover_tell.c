// SPDX-License-Identifier: MIT
/* The table of what was done, which of its cells were hit seldom, and which never. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fuzz_cover.h"

#define FLAGS 64 /* of a call, at most */

/* One call and flag, whatever the memory. */
struct row {
	const struct program_call *call;
	const char *flag;
	uint64_t hits[FUZZ_RESULTS]; /* whatever the memory */
	uint64_t all;
};

/* What happens to cells: `hits` times, 0 is never. result NULL: whatever it was. */
typedef void tell_cell(
	void *ctx, const struct row *row, const char *result, unsigned kind, uint64_t hits);

/* ---- rows ---- */

static void look_at_row(const struct fuzz_cover *c, struct row *row)
{
	memset(row->hits, 0, sizeof(row->hits));
	row->all = 0;
	for (unsigned kind = 0; kind < FUZZ_KINDS; kind++) {
		const struct fuzz_place *p = fuzz_cover_place(c, row->call->name, row->flag, kind);

		row->all += p->hits;
		for (unsigned r = 0; r < c->nresults; r++)
			row->hits[r] += fuzz_cover_hits(c, p, r);
	}
}

/* The flags that the call was made with, by name. */
static unsigned flags_of(
	const struct fuzz_cover *c, const struct program_call *call, const char **flags)
{
	unsigned n = 0;

	for (size_t i = 0; i < FUZZ_PLACES; i++) {
		const struct fuzz_place *p = &c->places[i];
		unsigned at = 0;

		if (p->call != call->name || p->flag == fuzz_any)
			continue;
		while (at < n && strcmp(flags[at], p->flag) < 0)
			at++;
		if (at < n && !strcmp(flags[at], p->flag))
			continue;
		if (n == FLAGS)
			abort();
		memmove(&flags[at + 1], &flags[at], (n++ - at) * sizeof(*flags));
		flags[at] = p->flag;
	}
	return n;
}

static void each_row(const struct fuzz_cover *c,
	void (*each)(void *ctx, const struct fuzz_cover *c, const struct row *row), void *ctx)
{
	for (const struct program_call *call = program_calls; call->name; call++) {
		const char *flags[FLAGS];
		const unsigned n = flags_of(c, call, flags);

		for (unsigned i = 0; i < n; i++) {
			struct row row = {.call = call, .flag = flags[i]};

			look_at_row(c, &row);
			each(ctx, c, &row);
		}
	}
}

/*
 * The cells of a row that were hit, and those that were not and might be: memory that the call was never made on with that
 * flag, and results that the flag gave on other memory only.
 */
static void each_cell(const struct fuzz_cover *c, const struct row *row, tell_cell *tell, void *ctx)
{
	for (unsigned r = 0; r < c->nresults; r++) {
		for (unsigned kind = 0; row->hits[r] && kind < FUZZ_KINDS; kind++) {
			const struct fuzz_place *p =
				fuzz_cover_place(c, row->call->name, row->flag, kind);

			const uint64_t hits = fuzz_cover_hits(c, p, r);

			if (hits || (p->hits && !fuzz_cannot(row->call, kind, c->results[r])))
				tell(ctx, row, c->results[r], kind, hits);
		}
	}
	for (unsigned kind = 0; kind < FUZZ_KINDS; kind++)
		if (fuzz_kind_can_be(row->call, kind) &&
			!fuzz_cover_place(c, row->call->name, row->flag, kind)->hits)
			tell(ctx, row, NULL, kind, 0);
}

/* ---- flags that no program has, and why ---- */

static const struct {
	const char *call, *flag, *why;
} not_drawn[] = {
	{"process_madvise", "MADV_HWPOISON", "not for users, and memory of the host's is lost"},
	{"process_madvise", "MADV_SOFT_OFFLINE", "not for users, and memory of the host's is lost"},
	{"PAGEMAP_SCAN", "PAGE_IS_SOFT_DIRTY", "few hosts keep it"},
};

static const char *why_not(const char *call, const char *flag)
{
	for (size_t i = 0; i < PF_ARRAY_SIZE(not_drawn); i++)
		if (!strcmp(not_drawn[i].call, call) && !strcmp(not_drawn[i].flag, flag))
			return not_drawn[i].why;
	return NULL;
}

/* Calls and flags of the table that were never drawn: `tell` for each. */
static void never(const struct fuzz_cover *c, void (*tell)(void *ctx, const char *what), void *ctx)
{
	for (const struct program_call *call = program_calls; call->name; call++) {
		for (unsigned i = 0; i < PROGRAM_ARGS && call->args[i]; i++) {
			const char *const *name = call->args[i]->names;

			/* Alike arguments are one row. */
			if (i && call->args[i] == call->args[i - 1])
				continue;
			for (; fuzz_host_knows(call->id) && name && *name; name++) {
				struct row row = {.call = call, .flag = *name};
				const char *why = why_not(call->name, *name);
				char what[160];

				look_at_row(c, &row);
				snprintf(what, sizeof(what), why ? "%s %s (%s)" : "%s %s",
					call->name, *name, why);
				if (!row.all)
					tell(ctx, what);
			}
		}
	}
}

/* What each call answered, whatever its flags and the memory. */
static void each_result(const struct fuzz_cover *c,
	void (*tell)(void *ctx, const char *call, const char *result, uint64_t hits), void *ctx)
{
	for (const struct program_call *call = program_calls; call->name; call++) {
		const struct fuzz_place *p =
			fuzz_cover_place(c, call->name, fuzz_any, FUZZ_ANY_KIND);

		for (unsigned r = 0; p->call && r < c->nresults; r++)
			if (fuzz_cover_hits(c, p, r))
				tell(ctx, call->name, c->results[r], fuzz_cover_hits(c, p, r));
	}
}

/* ---- as text ---- */

static void print_row(void *ctx, const struct fuzz_cover *c, const struct row *row)
{
	(void)ctx;
	printf("  %-10s  %-22s  %9" PRIu64 " ", row->call->name, row->flag, row->all);
	for (unsigned r = 0; r < c->nresults; r++)
		if (row->hits[r])
			printf(" %s:%" PRIu64, c->results[r], row->hits[r]);
	putchar('\n');
}

/* Cells of one sort: counted, and printed a line for each row and result. */
struct sort {
	bool never, print;
	size_t cells;
	const struct row *row;
	const char *result;
};

static void print_cell(
	void *ctx, const struct row *row, const char *result, unsigned kind, uint64_t hits)
{
	struct sort *s = ctx;
	char name[32];

	if (hits >= FUZZ_ENOUGH || s->never != !hits)
		return;
	s->cells++;
	if (!s->print)
		return;
	if (s->row != row || s->result != result)
		printf("%s  %s %s %s:", s->row ? "\n" : "", row->call->name, row->flag,
			result ? result : "not called");
	s->row = row;
	s->result = result;
	fuzz_kind_name(kind, name, sizeof(name));
	printf(hits ? " %s:%" PRIu64 : " %s", name, hits);
}

static void print_cells(void *ctx, const struct fuzz_cover *c, const struct row *row)
{
	struct sort *s = ctx;

	s->row = NULL;
	each_cell(c, row, print_cell, s);
	if (s->row)
		putchar('\n');
}

/* What cannot be was: the table of what cannot is wrong, or Linux is. */
static void print_wrong_cell(
	void *ctx, const struct row *row, const char *result, unsigned kind, uint64_t hits)
{
	const char *why = hits ? fuzz_cannot(row->call, kind, result) : NULL;
	char name[32];

	(void)ctx;
	fuzz_kind_name(kind, name, sizeof(name));
	if (why)
		printf("impossible, and hit %" PRIu64 " times: %s %s %s %s (%s)\n", hits,
			row->call->name, row->flag, name, result, why);
}

static void print_wrong(void *ctx, const struct fuzz_cover *c, const struct row *row)
{
	each_cell(c, row, print_wrong_cell, ctx);
}

static size_t print_sort(const struct fuzz_cover *c, bool never, bool print)
{
	struct sort s = {.never = never, .print = print};

	each_row(c, print_cells, &s);
	return s.cells;
}

static void print_never(void *ctx, const char *what)
{
	(void)ctx;
	printf("  never: %s\n", what);
}

static void print_rare_result(void *ctx, const char *call, const char *result, uint64_t hits)
{
	(void)ctx;
	if (hits < FUZZ_ENOUGH)
		printf("  %s %s:%" PRIu64 "\n", call, result, hits);
}

void fuzz_cover_print(const struct fuzz_cover *c)
{
	puts("calls by flag, with what they answered:");
	each_row(c, print_row, NULL);
	printf("what calls answered less than %u times, whatever their flags and the memory:\n",
		FUZZ_ENOUGH);
	each_result(c, print_rare_result, NULL);
	printf("%zu cells (call, flag, memory, result) were hit less than %u times:\n",
		print_sort(c, false, false), FUZZ_ENOUGH);
	print_sort(c, false, true);
	printf("%zu cells were not hit, of results that the flag had on other memory, and of "
	       "memory on "
	       "which it was not called:\n",
		print_sort(c, true, false));
	print_sort(c, true, true);
	never(c, print_never, NULL);
	each_row(c, print_wrong, NULL);
}

/* ---- as JSON ---- */

struct lists {
	struct json_object *cells, *rare, *never, *wrong;
};

static void add_cell(
	void *ctx, const struct row *row, const char *result, unsigned kind, uint64_t hits)
{
	struct lists *to = ctx;
	struct json_object *x;
	char memory[32], name[128];

	fuzz_kind_name(kind, memory, sizeof(memory));
	snprintf(name, sizeof(name), "%s %s %s%s%s", row->call->name, row->flag, memory,
		result ? " " : "", result ? result : "");
	if (hits < FUZZ_ENOUGH)
		json_object_array_add(hits ? to->rare : to->never, json_object_new_string(name));
	if (!hits)
		return;
	if (fuzz_cannot(row->call, kind, result))
		json_object_array_add(to->wrong, json_object_new_string(name));
	x = json_object_new_object();
	json_object_object_add(x, "call", json_object_new_string(row->call->name));
	json_object_object_add(x, "flag", json_object_new_string(row->flag));
	json_object_object_add(x, "memory", json_object_new_string(memory));
	json_object_object_add(x, "result", json_object_new_string(result));
	json_object_object_add(x, "hits", json_object_new_int64((int64_t)hits));
	json_object_array_add(to->cells, x);
}

static void add_cells(void *ctx, const struct fuzz_cover *c, const struct row *row)
{
	each_cell(c, row, add_cell, ctx);
}

static void add_never(void *ctx, const char *what)
{
	const struct lists *to = ctx;

	json_object_array_add(to->never, json_object_new_string(what));
}

static void add_result(void *ctx, const char *call, const char *result, uint64_t hits)
{
	struct json_object *x = json_object_new_object();

	json_object_object_add(x, "call", json_object_new_string(call));
	json_object_object_add(x, "result", json_object_new_string(result));
	json_object_object_add(x, "hits", json_object_new_int64((int64_t)hits));
	json_object_array_add(ctx, x);
}

void fuzz_cover_json(const struct fuzz_cover *c, struct json_object *to)
{
	struct lists l = {json_object_new_array(), json_object_new_array(), json_object_new_array(),
		json_object_new_array()};

	struct json_object *results = json_object_new_array();

	each_row(c, add_cells, &l);
	never(c, add_never, &l);
	each_result(c, add_result, results);
	json_object_object_add(to, "results", results);
	json_object_object_add(to, "cells", l.cells);
	json_object_object_add(to, "below_100", l.rare);
	json_object_object_add(to, "never", l.never);
	json_object_object_add(to, "impossible", l.wrong);
}
