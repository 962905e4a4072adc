// SPDX-License-Identifier: MIT
/* A threads block: every schedule within the bounds, and what holds at the end of each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"
#include "machine/apart.h"
#include "machine/explore.h"

#define TEXT           16384
#define MOST_SOMETIMES 64
/* A block that needs more than these is too large to be exhausted: so it is said, and run-tests counts it as a failure. */
#define MOST_SCHEDULES 2000000u

/* What outlives a schedule. */
struct kept {
	bool happened[MOST_SOMETIMES];
	enum run_verdict verdict;
	unsigned line;
	char text[TEXT];
};

struct exploring {
	struct run_world *w;
	const struct sc_stmt *block;
	struct kept *kept;
	unsigned cpus[EXPLORE_MAX_THREADS], nthreads;
};

/* ---- at the end of a schedule ---- */

/* The threads' CPUs are left, as a scheduler leaves them. */
static void join(struct exploring *e)
{
	const unsigned cpu = machine_cpu();

	for (unsigned i = 0; i < e->nthreads; i++) {
		machine_run_on(e->cpus[i]);
		for (struct run_process *p = e->w->processes; p; p = p->next)
			RUN_UNCOUNTED(machine_check_quiescent(p->asid));
		machine_set_cpu(cpu);
	}
}

static bool holds(struct run_world *w, const struct sc_stmt *s)
{
	struct run_outcome quiet = {0}, *out = w->out;
	struct sc_stmt asked = *s;
	bool ok;

	asked.kind = SC_S_EXPECT_PRED;
	w->out = &quiet;
	ok = run_expect(w, &asked);
	w->failed = false;
	w->out = out;
	free(quiet.text);
	return ok;
}

static bool always(struct run_world *w, const struct sc_stmt *s)
{
	struct sc_stmt asked = *s;

	asked.kind = SC_S_EXPECT_PRED;
	return run_expect(w, &asked);
}

static bool about_threads(struct exploring *e)
{
	unsigned nr = 0;

	for (const struct sc_stmt *s = e->block->next; s; s = s->next) {
		e->w->line = s->line;
		if (s->kind == SC_S_ALWAYS && !run_skipped(e->w, s) && !always(e->w, s))
			return false;
		if (s->kind == SC_S_SOMETIMES && (run_skipped(e->w, s) || holds(e->w, s)))
			e->kept->happened[nr] = true;
		nr += s->kind == SC_S_SOMETIMES;
	}
	return true;
}

static bool rest(struct exploring *e)
{
	struct run_world *w = e->w;

	for (const struct sc_stmt *s = e->block->next; s; s = s->next) {
		bool ok = true;

		w->line = s->line;
		switch (s->kind) {
		case SC_S_CALL:
			ok = run_call(w, s, 0);
			break;
		case SC_S_RESET:
			run_counters(w, w->base);
			break;
		case SC_S_EXPECT_PRED:
		case SC_S_EXPECT_COUNTER:
		case SC_S_EXPECT_MAPS:
			ok = run_skipped(w, s) || run_expect(w, s);
			break;
		default:
			break;
		}
		if (!ok)
			return false;
	}
	return run_world_end(w);
}

static bool judge(struct exploring *e, const char *stopped)
{
	struct run_world *w = e->w;

	if (w->failed || !run_check_machine(w))
		return false;
	if (stopped)
		return run_fail(w, "expected the threads to end, found that %s", stopped);
	join(e);
	return run_check_machine(w) && run_check_arrived(w) && run_order(w) && about_threads(e) &&
	       rest(e);
}

static bool during(void *ctx)
{
	struct exploring *e = ctx;

	return run_during(e->w, e->block);
}

static bool after(void *ctx, const char *stopped)
{
	struct exploring *e = ctx;
	struct run_world *w = e->w;

	if (judge(e, stopped))
		return true;
	e->kept->verdict = w->out->verdict;
	e->kept->line = w->out->line;
	snprintf(e->kept->text, TEXT, "%s", w->out->text);
	return false;
}

static void progress(void *ctx, uint64_t schedules)
{
	const struct run_config *cfg = ((struct exploring *)ctx)->w->cfg;

	if (cfg->progress)
		cfg->progress(cfg->progress_ctx, schedules);
}

/* ---- all of them ---- */

static bool check_sometimes(struct exploring *e)
{
	const uint64_t schedules = e->w->out->explored.schedules;
	unsigned nr = 0;

	for (const struct sc_stmt *s = e->block->next; s; s = s->next) {
		if (s->kind != SC_S_SOMETIMES)
			continue;
		e->w->line = s->line;
		if (!e->kept->happened[nr++])
			return run_fail(e->w,
				"expected %s at the end of some schedule, found that of none of "
				"%llu",
				s->pred->name, (unsigned long long)schedules);
	}
	return true;
}

static bool count_sometimes(struct exploring *e)
{
	unsigned nr = 0;

	for (const struct sc_stmt *s = e->block->next; s; s = s->next)
		nr += s->kind == SC_S_SOMETIMES;
	return nr <= MOST_SOMETIMES || run_verdict(e->w, RUN_UNSUPPORTED, "so many sometimes");
}

static bool report(
	struct exploring *e, const struct explore_bounds *b, const struct explore_result *r)
{
	struct run_world *w = e->w;
	const struct run_explored before = w->out->explored;

	/* It is the caller's, and not what apart_run() puts back: what a schedule left in it is no memory of ours. */
	*w->out = (struct run_outcome){.verdict = RUN_OK};
	w->out->explored = (struct run_explored){.any = true,
		.bounded = before.bounded || (!b->random && !b->replay),
		.exhausted = before.exhausted || r->exhausted,
		.schedules = before.schedules + r->schedules,
		.cut = before.cut + r->cut,
		.states = before.states + r->states};
	if (!r->failed)
		return true;
	w->line = e->kept->line;
	run_verdict(w, e->kept->verdict, "%s", e->kept->text);
	run_detail(w, "in schedule %llu, replay=%s", (unsigned long long)r->schedules, r->token);
	return false;
}

/* One search; false, and noted: it failed. */
static bool explore(struct exploring *e, struct explore_plan *plan)
{
	struct explore_result r;
	int err = machine_explore(plan, &r);

	if (err)
		return run_verdict(e->w, RUN_BAD_INPUT, "%s",
			err < 0 ? "a replay token that is none" : strerror(err));
	return report(e, &plan->bounds, &r);
}

/* What is asked for: one schedule, or all within the bounds, or so many drawn, or both. */
static bool explore_as_said(struct exploring *e, struct explore_plan *plan)
{
	const struct run_config *cfg = e->w->cfg;
	const struct sc_explore *x = &cfg->file->explore;
	const uint64_t few = cfg->schedules ? cfg->schedules : EXPLORE_FEW;
	struct explore_bounds *b = &plan->bounds;

	*b = (struct explore_bounds){
		.preemptions = cfg->preemptions_set ? cfg->preemptions : x->preemptions,
		.choices = x->choices,
		.replay = x->replay,
		.most = few ? few : MOST_SCHEDULES};
	if ((x->bounded || !x->random || x->replay) && !explore(e, plan))
		return false;
	b->random = x->random;
	b->seed = x->seed;
	if (x->random && !x->replay && !explore(e, plan))
		return false;
	/* So few schedules say nothing of what is never to be seen. */
	return x->replay || few || check_sometimes(e);
}

bool run_explore(struct run_world *w, const struct sc_stmt *block)
{
	struct exploring e = {.w = w, .block = block};
	struct explore_plan plan = {.ctx = &e, .after = after, .progress = progress};
	bool ok, any_during;

	if (w->cfg->log && !w->cfg->file->explore.replay)
		return run_verdict(w, RUN_BAD_INPUT,
			"a log of many schedules, expected explore replay=TOKEN with --log");
	if (!count_sometimes(&e) || !run_during_prepare(w, block, &any_during) ||
		!run_threads_prepare(w, block, &plan))
		return false;
	plan.during = any_during ? during : NULL;
	e.nthreads = plan.nthreads;
	for (unsigned i = 0; i < plan.nthreads; i++)
		e.cpus[i] = plan.threads[i].cpu;
	e.kept = kept_alloc(sizeof(*e.kept));
	w->ops = calloc(1, sizeof(*w->ops));
	if (!e.kept || !w->ops)
		abort();
	ok = explore_as_said(&e, &plan);
	free(w->ops);
	w->ops = NULL;
	kept_release();
	return ok;
}
