// SPDX-License-Identifier: MIT
/* A file in one configuration: once, and again with each allocation failing. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"

/* ---- may it be played? ---- */

const struct pf_format *run_find_format(const char *name)
{
	for (const struct pf_format *const *f = pf_formats; *f; f++)
		if (!strcmp((*f)->pt->name, name))
			return *f;
	return NULL;
}

static unsigned needs_met(const struct pf_pt_format *pt)
{
	return (pt->cont_shift[0] ? SC_NEED_CONTIGUOUS : 0) |
	       (pt->leaf_levels & 2 ? SC_NEED_PMD_LEAF : 0) |
	       (pt->leaf_levels & 4 ? SC_NEED_PUD_LEAF : 0) |
	       (pt->cont_shift[1] ? SC_NEED_PMD_CONTIGUOUS : 0) |
	       (pt->pte_supported & PF_PTE_SOFT_DIRTY ? SC_NEED_SOFT_DIRTY : 0) |
	       (pt->pte_supported & PF_PTE_SHSTK ? SC_NEED_SHADOW_STACK : 0) |
	       (pt->ad_features ? SC_NEED_HW_AD : 0) |
	       (pt->pte_supported & PF_PTE_UFFD_WP ? SC_NEED_UFFD_WP : 0) |
	       (pt->pte_supported & PF_PTE_SPECIAL ? SC_NEED_SPECIAL : 0);
}

/* What a predicate asks of a format. */
static unsigned need_of(enum sc_pred_id id)
{
	switch (id) {
	case SC_P_FOLDED:
		return SC_NEED_CONTIGUOUS;
	case SC_P_SOFT_DIRTY:
		return SC_NEED_SOFT_DIRTY;
	case SC_P_UFFD_WP:
		return SC_NEED_UFFD_WP;
	case SC_P_SPECIAL:
		return SC_NEED_SPECIAL;
	default:
		return 0;
	}
}

struct preparation {
	const struct sc_file *file;
	const struct pf_pt_format *pt;
	struct sc_env env;
	struct run_outcome *out;
};

static bool bad(struct preparation *pr, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static bool bad(struct preparation *pr, unsigned line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pr->out->verdict = RUN_BAD_INPUT;
	pr->out->line = line;
	pr->out->text = strdup(text);
	return false;
}

/* Units that this format has not are found before anything is played. */
static bool prepare_values(struct preparation *pr, unsigned line, const struct sc_value *v)
{
	for (; v; v = v->next) {
		uint64_t n;
		const char *why;

		/* What a call gets and what it returns there, if it is no number. */
		const struct sc_value *in = v->kind == SC_V_INOUT ? v->items : v;

		if (in->kind != SC_V_FILE && in->kind != SC_V_STRING && in->kind != SC_V_GROUP &&
			!sc_eval(v, &pr->env, &n, &why))
			return bad(pr, line, "%s (%s), expected a value that it has", why,
				pr->pt->name);
	}
	return true;
}

static bool prepare_stmt(struct preparation *pr, const struct sc_stmt *s)
{
	unsigned need = s->pred ? need_of(s->pred->id) : 0;

	if (need & ~needs_met(pr->pt))
		return bad(pr, s->line, "%s has no %s entries, expected '@needs %s'", pr->pt->name,
			s->pred->name, sc_need_name(need));
	if (!prepare_values(pr, s->line, s->args) || !prepare_values(pr, s->line, s->number))
		return false;
	for (const struct sc_result *r = s->results; r; r = r->next)
		if (r->value && !prepare_values(pr, s->line, r->value))
			return false;
	return true;
}

static bool prepare_thp(struct preparation *pr, const struct sc_thp *t)
{
	uint64_t size, page = pr->env.page;

	if (!t->size)
		return true;
	if (!prepare_values(pr, t->line, t->size))
		return false;
	const char *why;

	sc_eval(t->size, &pr->env, &size, &why);
	if (!pf_is_pow2(size) || size < 4 * page || size > page << pr->pt->level_bits ||
		size / page > 1 << 15)
		return bad(pr, t->line,
			"@thp %lluK, expected a power of two from %lluK to %lluK (%s)",
			(unsigned long long)size >> 10, (unsigned long long)(4 * page) >> 10,
			(unsigned long long)(page << pr->pt->level_bits) >> 10, pr->pt->name);
	return true;
}

static bool prepare_settings(struct preparation *pr)
{
	const struct sc_settings *set = &pr->file->settings;
	uint32_t features;

	for (const struct sc_thp *t = set->thp; t; t = t->next)
		if (!prepare_thp(pr, t))
			return false;
	if (set->memory) {
		uint64_t size;
		const char *why;

		if (!prepare_values(pr, set->memory_line, set->memory))
			return false;
		sc_eval(set->memory, &pr->env, &size, &why);
		if (size < UINT64_C(1) << 20 || size > UINT64_C(64) << 30 || size % pr->env.page)
			return bad(pr, set->memory_line,
				"@memory of %llu bytes, expected 1M to 64G in pages",
				(unsigned long long)size);
	}
	if (set->swap) {
		uint64_t size;
		const char *why;

		if (!prepare_values(pr, set->swap_line, set->swap))
			return false;
		sc_eval(set->swap, &pr->env, &size, &why);
		if (!size || size > UINT64_C(1) << 30 || size % pr->env.page)
			return bad(pr, set->swap_line,
				"@swap of %llu bytes, expected pages, up to 1G",
				(unsigned long long)size);
	}
	if (set->features && !machine_features(pr->pt->name, set->features, &features))
		return bad(pr, set->features_line, "@feature %s, expected features that %s has",
			set->features, pr->pt->name);
	return true;
}

void run_prepare(const struct sc_file *file, const struct pf_format *fmt, struct run_outcome *out)
{
	const struct pf_pt_format *pt = fmt->pt;
	struct preparation pr = {.file = file, .pt = pt, .out = out};
	unsigned missing = file->settings.needs & ~needs_met(pt);
	bool ok;

	*out = (struct run_outcome){.verdict = RUN_OK};
	if (missing) {
		char text[64];

		snprintf(text, sizeof(text), "needs %s", sc_need_name(missing & -missing));
		out->verdict = RUN_SKIP;
		out->text = strdup(text);
		return;
	}
	pr.env.page = UINT64_C(1) << pt->page_shift;
	pr.env.block = pt->cont_shift[0] ? pr.env.page << pt->cont_shift[0] : 0;
	pr.env.pmd = pt->leaf_levels & 2 ? pr.env.page << pt->level_bits : 0;
	pr.env.pud = pt->leaf_levels & 4 ? pr.env.page << 2 * pt->level_bits : 0;
	uint64_t *vars = calloc(file->nvars + 1, sizeof(*vars));

	if (!vars)
		abort();
	pr.env.vars = vars;
	ok = prepare_settings(&pr);
	for (const struct sc_stmt *s = file->stmts; ok && s; s = s->next) {
		ok = prepare_stmt(&pr, s);
		for (const struct sc_stmt *b = s->body; ok && b; b = b->next)
			ok = prepare_stmt(&pr, b);
	}
	if (ok && file->threads && file->settings.fail != SC_FAIL_NONE)
		bad(&pr, file->threads->line,
			"threads with allocations that fail, expected @fail none");
	free(vars);
}

/* ---- playing ---- */

/* How many allocations there had been after each call of the run without a failure. */
struct record {
	uint64_t *after;
	size_t nr, room;
	uint64_t total;
};

static void note_call(struct record *rec)
{
	if (rec->nr == rec->room) {
		rec->room = rec->room ? 2 * rec->room : 64;
		rec->after = realloc(rec->after, rec->room * sizeof(*rec->after));
		if (!rec->after)
			abort();
	}
	rec->after[rec->nr++] = machine_counters.allocs;
}

bool run_skipped(const struct run_world *w, const struct sc_stmt *s)
{
	bool hardware = s->kind == SC_S_EXPECT_COUNTER || (s->pred && s->pred->hardware);

	/* With a failing allocation only results, loads, mappings and invariants are what they were. */
	if (w->fail_at)
		return s->kind != SC_S_EXPECT_MAPS;
	return hardware && w->cfg->fold_both && !w->cfg->fold;
}

static bool play_stmt(
	struct run_world *w, const struct sc_stmt *s, size_t *calls, struct record *rec)
{
	w->line = s->line;
	switch (s->kind) {
	case SC_S_START:
	case SC_S_EXECVE:
		return run_log_process(w, s);
	case SC_S_CALL:
		if (w->cfg->file->log) {
			bool skip;

			if (!run_log_call(w, s, &skip) || skip)
				return !w->failed;
		}
		if (!run_call(w, s, (*calls)++))
			return false;
		if (rec)
			note_call(rec);
		return true;
	case SC_S_RESET:
		run_counters(w, w->base);
		return true;
	default:
		return run_skipped(w, s) || run_expect(w, s);
	}
}

/*
 * One run from start to end. rec: what it is filled with, or NULL; by_call: what an earlier one filled.
 * Returns how many allocations there were.
 */
static uint64_t play(const struct run_config *cfg, uint64_t fail_at, struct record *rec,
	const struct record *by_call, bool *missed, struct run_outcome *out)
{
	/* Not on the stack, which machine/apart.h does not put back. */
	struct run_world *w = run_resize(NULL, sizeof(*w));
	size_t calls = 0;
	uint64_t allocs;
	bool ok;

	*w = (struct run_world){.cfg = cfg,
		.fail_at = fail_at,
		.allocs_after = by_call ? by_call->after : NULL,
		.watch_all = !by_call,
		.out = out};
	ok = run_world_start(w);
	for (const struct sc_stmt *s = cfg->file->stmts; ok && s; s = s->next) {
		/* It plays what follows, too, in every schedule; what is left is the state before them all. */
		if (s->kind == SC_S_THREADS) {
			ok = run_explore(w, s);
			break;
		}
		ok = play_stmt(w, s, &calls, rec);
	}
	allocs = machine_counters.allocs;
	if (ok) {
		run_counters(w, out->counters);
		if (run_world_end(w) && cfg->file->log)
			run_log_report(w);
	}
	if (w->failed && out->verdict == RUN_FAIL && fail_at)
		run_detail(w, "with allocation %llu failing", (unsigned long long)fail_at);
	*missed = w->missed;
	run_world_drop(w);
	free(w);
	if (rec)
		rec->total = allocs;
	return allocs;
}

static void forget(struct run_outcome *out)
{
	free(out->text);
	*out = (struct run_outcome){.verdict = RUN_OK};
}

/* The k-th allocation fails; false if there is no k-th. */
static bool play_failing(
	const struct run_config *cfg, uint64_t k, const struct record *rec, struct run_outcome *out)
{
	bool missed;
	uint64_t allocs = play(cfg, k, NULL, rec, &missed, out);

	/* What walkers set made the library allocate at other points: watch every call. */
	if (missed) {
		forget(out);
		allocs = play(cfg, k, NULL, NULL, &missed, out);
	}
	return allocs >= k;
}

void run_file(const struct run_config *cfg, uint64_t fail, struct run_outcome *out)
{
	struct record rec = {0};
	struct run_outcome again = {.verdict = RUN_OK};
	bool missed;

	*out = (struct run_outcome){.verdict = RUN_OK};
	play(cfg, 0, &rec, NULL, &missed, out);
	if (out->verdict != RUN_OK || fail == SC_FAIL_NONE) {
		free(rec.after);
		return;
	}
	if (fail != SC_FAIL_EACH) {
		if (!play_failing(cfg, fail, &rec, &again) && again.verdict == RUN_OK) {
			char text[128];

			snprintf(text, sizeof(text),
				"expected allocation %llu to fail, found only %llu",
				(unsigned long long)fail, (unsigned long long)rec.total);
			again.verdict = RUN_FAIL;
			again.text = strdup(text);
		}
	} else {
		for (uint64_t k = 1; play_failing(cfg, k, &rec, &again) && again.verdict == RUN_OK;
			k++)
			;
	}
	if (again.verdict != RUN_OK) {
		memcpy(again.counters, out->counters, sizeof(again.counters));
		free(out->text);
		*out = again;
	}
	free(rec.after);
}
