// SPDX-License-Identifier: MIT
/* Threads of a scenario: their lines, each a call of the library, on CPUs of their own. The model is asked afterwards (run_order.c). */
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"
#include "machine/explore.h"

struct run_thread {
	struct run_world *w;
	const struct sc_stmt *block;
	const char *name;
	unsigned number;
};

/* ---- calls ---- */

static struct run_op *begin(struct run_thread *t, const struct sc_stmt *s, uint64_t va)
{
	struct run_ops *all = t->w->ops;
	struct run_op *op = &all->op[all->nr];

	if (all->nr == RUN_MOST_OPS) {
		t->w->line = s->line;
		run_verdict(t->w, RUN_UNSUPPORTED, "so many accesses of threads");
		return NULL;
	}
	all->nr++;
	machine_explore_mark(false);
	*op = (struct run_op){.s = s,
		.thread = t->number,
		.id = s->call->id,
		.a = {va},
		.begin = machine_explore_now()};
	return op;
}

static void end(struct run_op *op)
{
	machine_explore_mark(true);
	op->end = machine_explore_now();
	op->ended = true;
}

static bool access_one(struct run_thread *t, const struct sc_stmt *s, struct run_process *p,
	uint64_t va, struct run_result *r)
{
	struct run_op *op = begin(t, s, va);
	bool ok;

	if (!op)
		return false;
	t->w->line = s->line;
	if (op->id == SC_STORE)
		op->word = run_new_stamp(t->w, p, va);
	ok = run_access_page(t->w, p, op->id, va, true, &op->word, r);
	op->result = *r;
	end(op);
	return ok;
}

static bool access_pages(
	struct run_thread *t, const struct sc_stmt *s, struct run_process *p, struct run_result *r)
{
	uint64_t va, nr, first;

	if (!run_eval_range(t->w, s->args, s->args->next, &va, &nr))
		return false;
	first = va;
	*r = (struct run_result){.kind = SC_R_VALUE};
	for (; nr && r->kind == SC_R_VALUE; nr--, va += t->w->env.page) {
		if (s->call->id == SC_TOUCH)
			machine_touch(va);
		else if (!access_one(t, s, p, va, r))
			return false;
	}
	r->first = first;
	return true;
}

static struct run_result as_result(int64_t lib)
{
	if (lib < 0 && lib > -4096)
		return (struct run_result){.kind = SC_R_ERRNO, .err = (int)-lib};
	return (struct run_result){.kind = SC_R_VALUE, .value = (uint64_t)lib};
}

static bool call(
	struct run_thread *t, const struct sc_stmt *s, struct run_process *p, struct run_result *r)
{
	struct run_world *w = t->w;
	struct run_op *op = begin(t, s, 0);
	uint64_t handle = 0;
	bool ok;

	if (!op || !run_eval_args(w, s, op->a))
		return false;
	w->line = s->line;
	if (op->id == SC_UNPIN) {
		ok = run_unpin(w, op->a[0], r);
	} else {
		ok = op->id == SC_GUP || op->id == SC_GUP_FAST
			     ? run_gup_library(w, p, op->id, op->a, &handle, &op->lib)
			     : run_syscall_library(w, p, op->id, op->a, s->nargs,
				       run_wanted_address(w, s), s->child, &op->lib);
		*r = as_result(op->lib);
		r->handle = handle;
		/* What the driver finds in the first page is what a load would have. */
		op->looked = handle && op->lib > 0 && run_pinned_word(w, handle, &op->word);
	}
	op->result = *r;
	end(op);
	return ok;
}

static void run_lines(void *arg)
{
	struct run_thread *t = arg;
	struct run_world *w = t->w;

	for (const struct sc_stmt *s = t->block->body; s && !w->failed; s = s->next) {
		struct run_process *p = run_process(w, s->pid);
		struct run_result r = {0};
		bool ok;

		if (s->walker || strcmp(s->thread, t->name))
			continue;
		ok = s->call->access ? access_pages(t, s, p, &r) : call(t, s, p, &r);
		w->line = s->line;
		if (!ok || machine_violation() || !run_check_result(w, s, p, &r))
			return;
		if (s->var >= 0)
			w->vars[s->var] = r.handle               ? r.handle
					  : r.kind == SC_R_ERRNO ? UINT64_MAX
								 : r.value;
	}
}

/* ---- which may be there ---- */

static bool can_be_played(const struct sc_stmt *s)
{
	switch (s->call->id) {
	case SC_USERFAULTFD:
	case SC_IOCTL:
	case SC_CLOSE:
	case SC_PAGEMAP_SCAN:
	case SC_EXIT_GROUP:
	case SC_SWAPOFF:
	case SC_POISON:
	case SC_MINCORE:
		return false;
	default:
		return !run_is_process_call(s->call->id);
	}
}

static bool add_walker(struct run_world *w, const struct sc_stmt *s, struct explore_plan *plan)
{
	struct explore_walker *to = &plan->walkers[plan->nwalkers];

	if (plan->nwalkers == EXPLORE_MAX_WALKERS)
		return run_verdict(w, RUN_UNSUPPORTED, "so many ranges of walkers");
	plan->nwalkers++;
	to->cpu = (unsigned)s->cpu;
	to->page = w->env.page;
	return run_eval_range(w, s->args, s->args->next, &to->va, &to->nr);
}

static bool known(const struct sc_stmt *block, const struct sc_stmt *s)
{
	for (const struct sc_stmt *b = block->body; b != s; b = b->next)
		if (!strcmp(b->thread, s->thread))
			return true;
	return false;
}

/* The CPU runs the process, as if it had been there before. */
static void place(struct run_world *w, const struct sc_stmt *s)
{
	struct run_process *p = run_process(w, s->pid);
	const unsigned cpu = (unsigned)s->cpu;

	if (w->on_cpu[cpu] == p)
		return;
	machine_set_root(cpu, p->mm.space.pt.root, p->asid);
	w->on_cpu[cpu] = p;
}

bool run_threads_prepare(
	struct run_world *w, const struct sc_stmt *block, struct explore_plan *plan)
{
	static struct run_thread threads[EXPLORE_MAX_THREADS];

	for (const struct sc_stmt *s = block->body; s; s = s->next) {
		w->line = s->line;
		if (!can_be_played(s))
			return run_verdict(w, RUN_UNSUPPORTED, "%s in threads", s->name);
		if (!run_process(w, s->pid))
			return run_fail(
				w, "expected process %u, found that it was never made", s->pid);
		if (!known(block, s))
			place(w, s);
		if (s->walker) {
			if (!add_walker(w, s, plan))
				return false;
			continue;
		}
		if (known(block, s))
			continue;
		threads[plan->nthreads] = (struct run_thread){
			.w = w, .block = block, .name = s->thread, .number = plan->nthreads};
		plan->threads[plan->nthreads] = (struct explore_thread){
			.cpu = (unsigned)s->cpu, .run = run_lines, .arg = &threads[plan->nthreads]};
		plan->nthreads++;
	}
	return plan->nthreads || run_verdict(w, RUN_BAD_INPUT, "no thread, expected one at least");
}
