// SPDX-License-Identifier: MIT
/* Counting what was done, and learning what comes of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fuzz_cover.h"

const char fuzz_any[] = "any";

struct fuzz_cover *fuzz_cover_new(void)
{
	struct fuzz_cover *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	return c;
}

void fuzz_cover_free(struct fuzz_cover *c)
{
	free(c);
}

/* ---- cells ---- */

const struct fuzz_place *fuzz_cover_place(
	const struct fuzz_cover *c, const char *call, const char *flag, unsigned kind)
{
	uint64_t h = (uint64_t)call * 31 + (uint64_t)flag;

	h = (h ^ kind) * UINT64_C(0x9e3779b97f4a7c15);
	for (h >>= 20;; h++) {
		const struct fuzz_place *x = &c->places[h % FUZZ_PLACES];

		if (!x->call || (x->call == call && x->flag == flag && x->kind == kind))
			return x;
	}
}

static const struct fuzz_cell *next_cell(const struct fuzz_cover *c, uint32_t at)
{
	return at ? &c->cells[at - 1] : NULL;
}

uint64_t fuzz_cover_hits(
	const struct fuzz_cover *c, const struct fuzz_place *place, unsigned result)
{
	for (const struct fuzz_cell *x = next_cell(c, place->first); x; x = next_cell(c, x->next))
		if (x->result == result)
			return x->hits;
	return 0;
}

static unsigned result_number(struct fuzz_cover *c, const char *result)
{
	unsigned i = 0;

	while (i < c->nresults && strcmp(c->results[i], result))
		i++;
	if (i == FUZZ_RESULTS)
		abort();
	if (i == c->nresults)
		snprintf(c->results[c->nresults++], sizeof(c->results[0]), "%s", result);
	return i;
}

static void hit(struct fuzz_cover *c, struct fuzz_place *place, unsigned result)
{
	uint32_t at = place->first;

	place->hits++;
	while (at && c->cells[at - 1].result != result)
		at = c->cells[at - 1].next;
	if (!at) {
		if (c->ncells == FUZZ_CELLS)
			abort();
		c->cells[c->ncells] = (struct fuzz_cell){place, result, 0, place->first};
		at = place->first = ++c->ncells;
	}
	c->cells[at - 1].hits++;
}

/* `each` is called for every flag of the call; "-" if it has none. */
static void each_flag(
	const struct op *op, void (*each)(void *ctx, const char *call, const char *flag), void *ctx)
{
	const struct program_call *call = program_call(op->id);
	bool any = false;

	for (unsigned i = 0; i < PROGRAM_ARGS && call->args[i]; i++) {
		uint64_t v = op->a[i];
		unsigned at = 0;
		const char *name;

		if (call->args[i]->kind == PROGRAM_ARG_PID ||
			call->args[i]->kind == PROGRAM_ARG_PIDFD) {
			each(ctx, call->name,
				v == PROGRAM_NOBODY ? "of nobody"
				: v == op->pid      ? "of itself"
						    : "of another");
			any = true;
		}
		while ((name = program_flag(call->args[i], &v, &at))) {
			each(ctx, call->name, name);
			any = true;
		}
		if (v && call->args[i]->names) {
			each(ctx, call->name, "other");
			any = true;
		}
	}
	if (!any)
		each(ctx, call->name, "-");
}

/* ---- what comes of calls that are alike ---- */

static struct fuzz_situation *slot_of(const struct fuzz_cover *c, uint64_t name)
{
	return (struct fuzz_situation *)&c->situations[(name >> 24) % FUZZ_SITUATIONS];
}

static void learn(struct fuzz_cover *c, uint64_t name, unsigned result)
{
	struct fuzz_situation *s = slot_of(c, name);
	unsigned i = 0;

	if (s->name != name)
		*s = (struct fuzz_situation){.name = name};
	while (i < FUZZ_KNOWN && s->hits[i] && s->result[i] != result)
		i++;
	s->calls++;
	if (i == FUZZ_KNOWN)
		return;
	s->result[i] = (uint8_t)result;
	s->hits[i]++;
}

struct adding {
	struct fuzz_cover *c;
	unsigned kind, result;
};

static void add_flag(void *ctx, const char *call, const char *flag)
{
	struct adding *a = ctx;
	struct fuzz_place *place = (struct fuzz_place *)fuzz_cover_place(a->c, call, flag, a->kind);

	if (!place->call) {
		if (++a->c->nplaces > FUZZ_PLACES / 2)
			abort();
		*place = (struct fuzz_place){.call = call, .flag = flag, .kind = a->kind};
	}
	hit(a->c, place, a->result);
}

void fuzz_cover_add(struct fuzz_cover *c, const struct op *op, unsigned kind, uint64_t outlook,
	const char *result)
{
	struct adding a = {c, kind, result_number(c, result)};

	each_flag(op, add_flag, &a);
	a.kind = FUZZ_ANY_KIND;
	add_flag(&a, program_call(op->id)->name, fuzz_any);
	learn(c, fuzz_situation(op, kind, outlook), a.result);
}

/* ---- what is wanted ---- */

/*
 * How much one more hit is wanted. Of what a call answers, whatever the flags and the memory, first of all: twice as
 * often, so that no run of that length falls short of it.
 */
static double want(const struct fuzz_place *place, uint64_t hits)
{
	const double enough = place->flag == fuzz_any ? 2 * FUZZ_ENOUGH : FUZZ_ENOUGH;
	const double much = place->flag == fuzz_any ? 8 : 1;

	return (double)hits < enough ? much * (1 - (double)hits / enough) : 0;
}

struct weighing {
	const struct fuzz_cover *c;
	const struct fuzz_situation *s; /* NULL: nothing is known of it */
	unsigned kind;
	double worth;
};

/*
 * What came of calls that are alike says what will come of this; and, as long as there were few of them, what came of any
 * with that flag on that memory, as if it had been one more.
 */
static void weigh_flag(void *ctx, const char *call, const char *flag)
{
	struct weighing *w = ctx;
	const struct fuzz_place *place = fuzz_cover_place(w->c, call, flag, w->kind);
	double any = 0, alike = 0;

	if (!place->call) {
		w->worth += 1;
		return;
	}
	for (const struct fuzz_cell *x = next_cell(w->c, place->first); x;
		x = next_cell(w->c, x->next))
		any += (double)x->hits / (double)place->hits * want(place, x->hits);
	if (!w->s) {
		w->worth += any;
		return;
	}
	for (unsigned i = 0; i < FUZZ_KNOWN && w->s->hits[i]; i++)
		alike += w->s->hits[i] * want(place, fuzz_cover_hits(w->c, place, w->s->result[i]));
	w->worth += (alike + any) / (w->s->calls + 1);
}

double fuzz_cover_worth(
	const struct fuzz_cover *c, const struct op *op, unsigned kind, uint64_t outlook)
{
	const uint64_t name = fuzz_situation(op, kind, outlook);
	const struct fuzz_situation *s = slot_of(c, name);
	struct weighing w = {c, s->name == name ? s : NULL, kind, 0};

	each_flag(op, weigh_flag, &w);
	w.kind = FUZZ_ANY_KIND;
	weigh_flag(&w, program_call(op->id)->name, fuzz_any);
	return w.worth;
}

double fuzz_cover_lacks(const struct fuzz_cover *c, enum sc_call_id id)
{
	static const char *const results[] = {"0", "some"};
	const struct fuzz_place *place =
		fuzz_cover_place(c, program_call(id)->name, fuzz_any, FUZZ_ANY_KIND);
	double lacks = 0;

	for (unsigned i = 0; i < PF_ARRAY_SIZE(results); i++) {
		unsigned r = 0;

		while (r < c->nresults && strcmp(c->results[r], results[i]))
			r++;
		lacks += place->call && r < c->nresults ? want(place, fuzz_cover_hits(c, place, r))
							: 1;
	}
	return lacks / 2;
}
