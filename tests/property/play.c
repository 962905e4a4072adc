// SPDX-License-Identifier: MIT
/* One program, through the library on the judging machine beside the model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "play.h"

struct playing {
	struct run_world w;
	const struct program *g;
	unsigned every, since;
	bool exhausted;  /* a call has found no memory */
	bool found_none; /* an access has */
};

/* So few frames left that a call may find none: its state before is kept. Tables, and what is to be populated. */
#define FEW_FRAMES 24

static bool scarce(struct playing *y, const struct op *op)
{
	struct pf_phys_stats s;

	const struct pf_pt_format *pt = y->w.sys.fmt->pt;
	unsigned bits = pt->level_bits + pt->entry_shift;
	unsigned order = bits > pt->page_shift ? bits - pt->page_shift : 0;
	uint64_t fit = 0, free_frames = 0;

	/* A table of several frames needs them in one block: small free ones do not help it. */
	pf_phys_stats(&y->w.phys, &s);
	for (unsigned o = 0; o <= PF_MAX_ORDER; o++) {
		free_frames += s.blocks[o] << o;
		fit += o >= order ? s.blocks[o] << o : 0;
	}
	if (op->id == SC_MADVISE && free_frames < op->a[1] / y->w.env.page + FEW_FRAMES)
		return true;
	return fit < (uint64_t)FEW_FRAMES << order;
}

/*
 * The call did not agree with the model. If there was no memory for it, then everything is as before it; the model,
 * which knows no such end, has gone on, and so the program ends here.
 */
static bool ended_for_memory(
	struct playing *y, const struct op *op, const struct run_snapshot *before)
{
	struct run_world *w = &y->w;
	static const char none[] = "found -1 ENOMEM";
	size_t len = w->out->text ? strlen(w->out->text) : 0;
	bool populate = op->id == SC_MADVISE;
	uint64_t page = w->env.page;

	if (!before || len < sizeof(none) ||
		strcmp(w->out->text + len - (sizeof(none) - 1), none) || machine_violation())
		return false;
	w->failed = false;
	w->out->verdict = RUN_OK;
	free(w->out->text);
	w->out->text = NULL;
	y->exhausted = true;
	if (op->id == SC_MREMAP && op->a[3] & PF_MREMAP_FIXED)
		return true;
	return run_unchanged(w, before, op->pid, op->a[0] & -page,
		populate ? op->a[1] / page + 1 : 0, op->id == SC_FORK);
}

/*
 * A move to a fixed address, which an allocation made fail: what was mapped there is gone by then, and what the move cuts off,
 * as in Linux; of several mappings some may have moved, and then the program ends. Everything else is as before.
 */
static bool check_failed_move(struct playing *y, struct run_process *p, const struct op *op)
{
	struct run_world *w = &y->w;
	const uint64_t *a = op->a;

	if (!run_maps_agree(p, w->oracle))
		oracle_munmap(w->oracle, p->pid, a[4], a[2]);
	if (a[1] > a[2] && !run_maps_agree(p, w->oracle))
		oracle_munmap(w->oracle, p->pid, a[0] + a[2], a[1] - a[2]);
	y->exhausted = a[1] == a[2] && !run_maps_agree(p, w->oracle);
	return y->exhausted || run_check(w);
}

/* Once; again, if that was the allocation that fails. */
static bool do_op(struct playing *y, struct run_process *p, const struct op *op)
{
	struct run_world *w = &y->w;
	uint64_t page = w->env.page, a[6];
	bool access =
		op->id == SC_LOAD || op->id == SC_STORE || op->id == SC_EXEC || op->id == SC_TOUCH;

	memcpy(a, op->a, sizeof(a));
	for (;;) {
		struct run_snapshot *before = machine_counters.allocs < w->fail_at || scarce(y, op)
						      ? run_snapshot(w)
						      : NULL;
		struct run_result r = {0};
		bool ok, again;

		if (access) {
			uint64_t va = a[0] & -page, last = a[0] + (a[1] - 1);

			a[0] = va;
			ok = run_access_pages(w, p, op->id, va, (last - va) / page + 1, &r);
		} else {
			ok = run_syscall(w, p, op->id, a, 6, -1, op->child, &r);
		}
		if (!ok)
			ok = ended_for_memory(y, op, before);
		again = ok && r.injected;
		y->found_none |= ok && access && r.kind == SC_R_NOMEM && !again;
		if (again && op->id == SC_MREMAP && op->a[3] & PF_MREMAP_FIXED)
			ok = check_failed_move(y, p, op);
		else if (again)
			ok = run_check_failed(w, p, op->id, a, before, &r);
		run_snapshot_free(before);
		if (!ok || !again || y->exhausted)
			return ok;
		if (access)
			a[1] = op->a[0] + op->a[1] - a[0];
	}
}

static bool step(struct playing *y, const struct op *op)
{
	struct run_process *p = run_process(&y->w, op->pid);

	if (!p)
		return run_fail(&y->w, "process %u was never made", op->pid);
	p->cpu = op->cpu;
	if (op->id == SC_EXIT_GROUP) {
		oracle_exit(y->w.oracle, op->pid);
		run_exit(&y->w, p);
	} else if (!do_op(y, p, op)) {
		return false;
	}
	if (y->exhausted)
		return run_check_machine(&y->w);
	if (++y->since < y->every)
		return run_check_machine(&y->w);
	y->since = 0;
	return run_check(&y->w);
}

void program_play(const struct program *g, unsigned every, struct played *out)
{
	unsigned first;
	char *text = program_text(g, &first);
	struct sc_error err;
	struct sc_file *file = sc_parse("program", text, strlen(text), &err);
	struct run_outcome end = {.verdict = RUN_OK};
	struct run_config cfg = {.file = file,
		.fmt = g->fmt,
		.fold = g->fold,
		.seed = g->seed,
		.late_walks = g->late_walks};
	struct playing y = {.g = g, .every = every};
	bool ok;

	*out = (struct played){0};
	if (!file || file->unsupported_line) {
		/* Drawn programs are right; one made shorter may have lost what it needs. */
		out->why = strdup(file ? file->unsupported : err.text);
		free(text);
		if (file)
			sc_file_free(file);
		return;
	}
	run_prepare(file, g->fmt, &end);
	y.w = (struct run_world){
		.cfg = &cfg, .out = &end, .watch_all = true, .fail_at = g->fail_at};
	ok = end.verdict == RUN_OK && run_world_start(&y.w);
	for (unsigned i = 0; ok && i < g->nr && !y.exhausted; i++) {
		y.w.line = first + i;
		out->done = i + 1;
		ok = step(&y, &g->ops[i]);
	}
	if (ok && !y.exhausted)
		ok = run_check(&y.w);
	if (ok)
		ok = run_world_end(&y.w);
	out->failed = !ok;
	out->exhausted = y.exhausted || y.found_none;
	out->injected = g->fail_at && machine_counters.allocs >= g->fail_at;
	out->why = end.text;
	run_world_drop(&y.w);
	sc_file_free(file);
	free(text);
}
