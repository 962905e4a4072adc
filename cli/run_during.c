// SPDX-License-Identifier: MIT
/*
 * `during E`: what holds at every step of every thread. The library cannot be asked in the middle of its own calls, so the machine
 * reads the entries, where a getter with the table's lock could: where nobody else has it.
 */
#include <stdio.h>

#include "cli/run.h"
#include "machine/machine.h"

static bool is_asked_here(enum sc_pred_id id)
{
	switch (id) {
	case SC_P_NONE:
	case SC_P_PRESENT:
	case SC_P_FOLDED:
	case SC_P_UNFOLDED:
	case SC_P_READABLE:
	case SC_P_WRITABLE:
	case SC_P_EXECUTABLE:
	case SC_P_YOUNG:
	case SC_P_DIRTY:
	case SC_P_PROTNONE:
	case SC_P_SAME_PAGE:
		return true;
	default:
		return false;
	}
}

static bool holds(const struct machine_entry *e, enum sc_pred_id id)
{
	switch (id) {
	case SC_P_NONE:
		return e->none;
	case SC_P_PRESENT:
		return e->present;
	case SC_P_FOLDED:
		return e->folded;
	case SC_P_UNFOLDED:
		return !e->folded;
	case SC_P_READABLE:
		return e->read;
	case SC_P_WRITABLE:
		return e->write;
	case SC_P_EXECUTABLE:
		return e->exec;
	case SC_P_YOUNG:
		return e->present && e->young;
	case SC_P_DIRTY:
		return e->present && e->dirty;
	case SC_P_PROTNONE:
		return e->protnone;
	default:
		return false;
	}
}

struct asked {
	const struct sc_stmt *s;
	struct run_process *p, *p2;
	uint64_t va, nr, va2;
};

/* True, too, where the entry is somebody's to change at the moment. */
static bool page_holds(const struct asked *a, uint64_t offset, bool *known)
{
	struct machine_entry e, other;

	*known = machine_peek(a->p->mm.space.pt.root, a->va + offset, &e);
	if (!*known || a->s->pred->id != SC_P_SAME_PAGE)
		return *known && holds(&e, a->s->pred->id);
	*known = machine_peek(a->p2->mm.space.pt.root, a->va2 + offset, &other);
	return *known && e.present && other.present && e.pa == other.pa;
}

static bool ask(struct run_world *w, const struct asked *a)
{
	const enum sc_quant quant = a->s->quant;

	for (uint64_t i = 0; i < a->nr; i++) {
		bool known, yes = page_holds(a, i * w->env.page, &known);

		/* Some page that cannot be looked at may be the one. */
		if (quant == SC_SOME && (yes || !known))
			return true;
		if (quant == SC_SOME || !known || yes == (quant != SC_NOT))
			continue;
		w->line = a->s->line;
		return run_fail(w, "expected %s%s during every step, found that of 0x%llx not so",
			quant == SC_NOT ? "not " : "", a->s->pred->name,
			(unsigned long long)(a->va + i * w->env.page));
	}
	w->line = quant == SC_SOME ? a->s->line : w->line;
	return quant != SC_SOME ||
	       run_fail(w, "expected some %s during every step, found none", a->s->pred->name);
}

static bool evaluate(struct run_world *w, const struct sc_stmt *s, struct asked *a)
{
	const struct sc_value *second = s->args->next;
	uint64_t nr2;

	*a = (struct asked){.s = s, .p = run_process(w, s->pid), .p2 = run_process(w, s->pid2)};
	if (!a->p || !a->p2)
		return run_fail(w, "expected process %u, found that it was never made", s->pid);
	if (s->pred->id == SC_P_SAME_PAGE)
		return run_eval_range(w, s->args, NULL, &a->va, &a->nr) &&
		       run_eval_range(w, second, NULL, &a->va2, &nr2);
	return run_eval_range(w, s->args, second, &a->va, &a->nr);
}

bool run_during(struct run_world *w, const struct sc_stmt *block)
{
	struct asked a;

	for (const struct sc_stmt *s = block->next; s; s = s->next)
		if (s->kind == SC_S_DURING && !run_skipped(w, s) &&
			(!evaluate(w, s, &a) || !ask(w, &a)))
			return false;
	return true;
}

bool run_during_prepare(struct run_world *w, const struct sc_stmt *block, bool *any)
{
	struct asked a;

	*any = false;
	for (const struct sc_stmt *s = block->next; s; s = s->next) {
		if (s->kind != SC_S_DURING)
			continue;
		*any = true;
		w->line = s->line;
		if (!is_asked_here(s->pred->id))
			return run_verdict(w, RUN_UNSUPPORTED, "during %s", s->pred->name);
		if (!evaluate(w, s, &a))
			return false;
	}
	return true;
}
