// SPDX-License-Identifier: MIT
/* A program that fails, made short: statements left out, then numbers and settings made simple. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/program.h"

struct shrinking {
	struct program best;
	time_t until;
	program_fails *fails;
	void *ctx;
};

/* Take it if it still fails. */
static bool better(struct shrinking *s, const struct program *g)
{
	struct program copy;
	unsigned done;

	if (time(NULL) >= s->until || !s->fails(s->ctx, g, &done))
		return false;
	program_copy(&copy, g);
	program_free(&s->best);
	s->best = copy;
	if (done < s->best.nr)
		s->best.nr = done;
	return true;
}

/* With fewer statements the allocation that fails is an earlier one. */
static bool better_or_earlier(struct shrinking *s, struct program *g)
{
	uint64_t k = g->fail_at;

	if (better(s, g))
		return true;
	if (!k || g->nr > 24)
		return false;
	while (--g->fail_at) {
		if (better(s, g))
			return true;
	}
	g->fail_at = k;
	return false;
}

static bool without(struct shrinking *s, unsigned from, unsigned nr)
{
	struct program g;
	bool ok;

	program_copy(&g, &s->best);
	memmove(&g.ops[from], &g.ops[from + nr], (g.nr - from - nr) * sizeof(*g.ops));
	g.nr -= nr;
	ok = better_or_earlier(s, &g);
	program_free(&g);
	return ok;
}

/* All that one process does, its fork too. */
static bool without_process(struct shrinking *s, unsigned pid)
{
	struct program g;
	bool ok;

	program_copy(&g, &s->best);
	g.nr = 0;
	for (unsigned i = 0; i < s->best.nr; i++)
		if (s->best.ops[i].pid != pid && s->best.ops[i].child != pid)
			g.ops[g.nr++] = s->best.ops[i];
	ok = g.nr < s->best.nr && better_or_earlier(s, &g);
	program_free(&g);
	return ok;
}

static bool drop_statements(struct shrinking *s)
{
	bool any = false;

	for (unsigned pid = PROGRAM_MAX_PID; pid; pid--)
		any |= without_process(s, pid);
	for (unsigned n = s->best.nr / 2; n; n /= 2)
		for (unsigned at = s->best.nr; at-- > 0;)
			if (at + n <= s->best.nr && without(s, at, n))
				any = true;
	return any;
}

static bool set_arg(struct shrinking *s, unsigned i, unsigned k, uint64_t v)
{
	struct program g;
	bool ok;

	if (s->best.ops[i].a[k] == v)
		return false;
	program_copy(&g, &s->best);
	g.ops[i].a[k] = v;
	ok = better(s, &g);
	program_free(&g);
	return ok;
}

static bool fewer_flags(struct shrinking *s, unsigned i, unsigned k, const struct program_arg *arg)
{
	bool any = false;

	if (arg->kind != PROGRAM_ARG_FLAGS)
		return false;
	for (uint64_t bit = UINT64_C(1) << 31; bit; bit >>= 1)
		if (i < s->best.nr && s->best.ops[i].a[k] & bit)
			any |= set_arg(s, i, k, s->best.ops[i].a[k] & ~bit);
	return any;
}

/* Part k of a vector left out, or half as long. */
static bool simpler_part(
	struct shrinking *s, unsigned i, unsigned which, unsigned count, unsigned k)
{
	const uint64_t page = UINT64_C(1) << s->best.fmt->pt->page_shift;
	struct program g;
	struct oracle_part *part;
	bool ok;

	program_copy(&g, &s->best);
	part = g.ops[i].part[which];
	memmove(&part[k], &part[k + 1], (PROGRAM_PARTS - 1 - k) * sizeof(*part));
	g.ops[i].a[count]--;
	ok = better(s, &g);
	program_free(&g);
	if (ok || i >= s->best.nr || s->best.ops[i].part[which][k].len < 2 * page)
		return ok;
	program_copy(&g, &s->best);
	part = g.ops[i].part[which];
	part[k].len = (part[k].len / 2 + page - 1) & -page;
	ok = better(s, &g);
	program_free(&g);
	return ok;
}

static bool simpler_parts(struct shrinking *s, unsigned i, const struct program_call *call)
{
	bool any = false;

	for (unsigned a = 0; a + 1 < PROGRAM_ARGS && call->args[a]; a++) {
		if (call->args[a]->kind != PROGRAM_ARG_PARTS)
			continue;
		for (unsigned k = PROGRAM_PARTS; k--;)
			while (i < s->best.nr && k < s->best.ops[i].a[a + 1] &&
				simpler_part(s, i, (unsigned)s->best.ops[i].a[a], a + 1, k))
				any = true;
	}
	return any;
}

static bool simpler_range(struct shrinking *s, unsigned i)
{
	const uint64_t page = UINT64_C(1) << s->best.fmt->pt->page_shift;
	bool any = false;

	any |= set_arg(s, i, 0, s->best.ops[i].a[0] & -page);
	any |= set_arg(s, i, 1, page);
	while (i < s->best.nr && s->best.ops[i].a[1] / 2 >= page &&
		set_arg(s, i, 1, (s->best.ops[i].a[1] / 2 + page - 1) & -page))
		any = true;
	while (i < s->best.nr && s->best.ops[i].a[1] > page && s->best.ops[i].a[1] < 64 * page &&
		set_arg(s, i, 1, s->best.ops[i].a[1] - page))
		any = true;
	return any;
}

static bool simpler_statement(struct shrinking *s, unsigned i)
{
	bool any;
	struct program g;

	const struct program_call *call = program_call(s->best.ops[i].id);

	if (!call->args[1])
		return false;
	any = program_has_parts(call->id)              ? simpler_parts(s, i, call)
	      : call->args[0]->kind == PROGRAM_ARG_HEX ? simpler_range(s, i)
						       : false;
	for (unsigned k = 0; i < s->best.nr && k < PROGRAM_ARGS && call->args[k]; k++)
		any |= fewer_flags(s, i, k, call->args[k]);
	if (i < s->best.nr && s->best.ops[i].cpu) {
		program_copy(&g, &s->best);
		g.ops[i].cpu = 0;
		any |= better(s, &g);
		program_free(&g);
	}
	return any;
}

static bool simpler_settings(struct shrinking *s)
{
	bool any = false;
	struct program g;

#define TRY(condition, ...)                                                                        \
	do {                                                                                       \
		program_copy(&g, &s->best);                                                        \
		if (condition) {                                                                   \
			__VA_ARGS__;                                                               \
			any |= better(s, &g);                                                      \
		}                                                                                  \
		program_free(&g);                                                                  \
	} while (0)
	TRY(g.fail_at, g.fail_at = 0);
	TRY(g.feature, g.feature = NULL);
	TRY(g.late_walks, g.late_walks = false);
	TRY(g.memory < UINT64_C(16) << 20, g.memory = UINT64_C(16) << 20);
	for (unsigned n = g.nthp; n; n--)
		TRY(g.nthp >= n, memmove(&g.thp[n - 1], &g.thp[n], (g.nthp - n) * sizeof(g.thp[0]));
			g.nthp--);
	TRY(g.seed != 1, g.seed = 1);
#undef TRY
	return any;
}

void program_shrink(struct program *g, unsigned seconds, program_fails *fails, void *ctx)
{
	struct shrinking s = {.until = time(NULL) + seconds, .fails = fails, .ctx = ctx};
	bool any;

	program_copy(&s.best, g);
	if (better(&s, g)) {
		do {
			any = drop_statements(&s);
			any |= simpler_settings(&s);
			for (unsigned i = 0; i < s.best.nr; i++)
				any |= simpler_statement(&s, i);
		} while (any && time(NULL) < s.until);
	}
	program_free(g);
	*g = s.best;
}
