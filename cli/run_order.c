// SPDX-License-Identifier: MIT
/*
 * Calls that overlapped are judged by the sequential model: is there an order of them, in which each comes after those that
 * had ended before it began, such that the model gives every answer, finds every word, and ends with the memory there is?
 */
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"

struct order {
	struct run_world *w;
	bool played[RUN_MOST_OPS];
	unsigned nr;   /* that were */
	unsigned best; /* of the order that got furthest: how many */
	const struct run_op *stuck;
};

/* ---- one call ---- */

/* May a load find that word there? */
static bool model_finds(struct oracle *o, const struct run_op *op)
{
	uint64_t allowed[ORACLE_MAX_ALLOWED];
	unsigned n = oracle_load(o, op->s->pid, op->a[0], allowed);

	for (unsigned i = 0; i < n; i++) {
		if (allowed[i] == op->word) {
			oracle_saw(o, op->s->pid, op->a[0], op->word);
			return true;
		}
	}
	return false;
}

static bool model_access(struct oracle *o, const struct run_op *op)
{
	const unsigned pid = op->s->pid;
	enum oracle_signal want = oracle_access(o, pid, op->a[0],
		op->id == SC_STORE  ? ORACLE_WRITE
		: op->id == SC_EXEC ? ORACLE_EXEC
				    : ORACLE_READ);

	if (op->result.kind != SC_R_VALUE) {
		if (op->id == SC_STORE && want == ORACLE_BUS)
			oracle_store_found_none(o, pid, op->a[0]);
		return want == ORACLE_EITHER ||
		       (want == ORACLE_SEGV ? op->result.kind == SC_R_SEGV
					    : want == ORACLE_BUS && op->result.kind == SC_R_BUS);
	}
	if (want != ORACLE_OK && want != ORACLE_EITHER)
		return false;
	if (op->id == SC_STORE)
		oracle_store(o, pid, op->a[0], op->word);
	if (op->id != SC_LOAD)
		return true;
	return model_finds(o, op);
}

static bool model_op(struct run_world *w, struct oracle *o, const struct run_op *op)
{
	struct run_process *p = run_process(w, op->s->pid);
	int64_t model;

	if (op->s->call->access)
		return model_access(o, op);
	switch (op->id) {
	case SC_UNPIN:
		return true;
	case SC_GUP:
	case SC_GUP_FAST:
		return run_gup_model(o, p, op->id, op->a, op->lib) == op->lib &&
		       (!op->looked || model_finds(o, op));
	case SC_MIGRATE:
	case SC_SPLIT:
	case SC_COLLAPSE:
	case SC_NUMA_HINT:
		/* Whether the pages are there and somebody else is at them is not in the model, and nothing is changed then. */
		if (op->lib < 0)
			return true;
		/* fallthrough */
	default:
		model = run_syscall_model(w, o, p, op->id, op->a, op->s->child, op->lib);
		return model == op->lib;
	}
}

/* ---- all of them ---- */

/* Has every call ended before it began been played, and what its own thread did before? */
static bool is_next(const struct order *r, unsigned i)
{
	const struct run_ops *all = r->w->ops;

	for (unsigned j = 0; j < all->nr; j++)
		if (!r->played[j] && j != i &&
			(all->op[j].end <= all->op[i].begin ||
				(all->op[j].thread == all->op[i].thread && j < i)))
			return false;
	return !r->played[i];
}

/* What a load would find where the entry is empty: the mapping's page, in memory, in swap or where the file is; else zeros. */
static uint64_t behind_empty(
	struct run_world *w, const struct pf_vma_info *v, uint64_t va, uint64_t index)
{
	struct pf_folio *folio;
	uint64_t word, place;
	unsigned shift;
	pf_pfn_t pfn;

	if (!v->mapping)
		return 0;
	folio = pf_page_tree_load(&v->mapping->tree, index);
	if (folio) {
		pfn = pf_folio_pfn(&w->phys, folio) + (index - pf_folio_index(folio));
		memcpy(&word, pf_port_virt(pfn * w->env.page), sizeof(word));
		return word;
	}
	if (pf_page_tree_swapped(&v->mapping->tree, index, &place, &shift))
		return run_swap_word(w, pf_pte_swap(pf_place_dev(place), pf_place_slot(place), 0));
	return run_kept_word(w, v, va);
}

static bool check_if_empty(
	struct run_world *w, struct run_process *p, const struct pf_vma_info *v, uint64_t va)
{
	const uint64_t index = v->area.pgoff + (va - v->area.start) / w->env.page;
	struct pf_page_info info;

	pf_page_info(&p->mm, va, &info);
	/* Beyond the end of a file there is nothing to be found. */
	if (!pf_pte_none(info.pte) || (v->mapping && index * w->env.page >= v->mapping->size))
		return true;
	return run_check_value(w, p, va, behind_empty(w, v, va, index));
}

static bool check_empty(struct run_world *w)
{
	struct pf_vma_info v;

	for (struct run_process *p = w->processes; p; p = p->next)
		for (uint64_t at = 0; pf_find_vma_info(&p->mm, at, &v); at = v.area.end)
			for (uint64_t va = v.area.start; va < v.area.end; va += w->env.page)
				if (!check_if_empty(w, p, &v, va))
					return false;
	return true;
}

/* What is in memory now is what the model has. */
static bool agrees(struct order *r, struct oracle *o)
{
	struct run_outcome quiet = {0}, *out = r->w->out;
	struct oracle *before = r->w->oracle;
	bool ok;

	r->w->oracle = o;
	r->w->out = &quiet;
	RUN_UNCOUNTED(ok = check_empty(r->w));
	ok = ok && run_check(r->w);
	r->w->failed = false;
	r->w->out = out;
	free(quiet.text);
	r->w->oracle = ok ? o : before;
	return ok;
}

/* The calls that remain, on a model that is theirs to change; true: they are explained, and the world has that model. */
static bool explain(struct order *r, struct oracle *o)
{
	struct run_ops *all = r->w->ops;

	unsigned next = 0;

	if (r->nr == all->nr)
		return agrees(r, o);
	for (unsigned i = 0; i < all->nr; i++)
		next += is_next(r, i);
	for (unsigned i = 0; i < all->nr; i++) {
		struct oracle *copy = o;

		if (!is_next(r, i))
			continue;
		if (next > 1)
			copy = oracle_clone(o);
		r->played[i] = true;
		r->nr++;
		if (model_op(r->w, copy, &all->op[i]) && explain(r, copy))
			return true;
		if (r->nr > r->best) {
			r->best = r->nr;
			r->stuck = &all->op[i];
		}
		r->nr--;
		r->played[i] = false;
		if (copy != o)
			oracle_free(copy);
	}
	return false;
}

bool run_order(struct run_world *w)
{
	struct order r = {.w = w};
	char found[96];

	if (explain(&r, w->oracle))
		return true;
	if (!r.stuck)
		return run_fail(w, "expected calls, found none");
	w->line = r.stuck->s->line;
	if (r.stuck->id == SC_LOAD && r.stuck->result.kind == SC_R_VALUE) {
		run_describe_value(w, r.stuck->word, found, sizeof(found));
		return run_fail(w,
			"expected an order of the calls that explains what they found, found "
			"none: in those that get furthest, 0x%llx does not hold %s",
			(unsigned long long)r.stuck->a[0], found);
	}
	return run_fail(w,
		"expected an order of the calls that explains what they answered and what is in "
		"memory now, found none (this one comes last in those that get furthest)");
}
