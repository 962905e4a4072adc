// SPDX-License-Identifier: MIT
/* One program: a batch of calls on the host, then call by call through the library, compared after each. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fuzz.h"

/* ---- the library's side ---- */

static bool start_world(struct fuzz_play *y)
{
	unsigned first;
	struct sc_error err;
	struct program settings = *y->g;
	char *text;

	settings.nr = 0;
	text = program_text(&settings, &first);
	y->file = sc_parse("program", text, strlen(text), &err);
	free(text);
	if (!y->file)
		return fuzz_differ(y, "the settings are wrong: %s", err.text);
	y->out = (struct run_outcome){.verdict = RUN_OK};
	y->cfg = (struct run_config){.file = y->file,
		.fmt = y->g->fmt,
		.fold = y->g->fold,
		.seed = y->g->seed,
		.late_walks = y->g->late_walks,
		.task_size = y->area.top,
		.min_addr = y->area.min,
		.brk_start = y->area.heap};
	y->w = (struct run_world){.cfg = &y->cfg, .out = &y->out, .loaded = y->seen};
	run_prepare(y->file, y->g->fmt, &y->out);
	return (y->out.verdict == RUN_OK && run_world_start(&y->w)) ||
	       fuzz_differ(y, "it does not start: %s", y->out.text);
}

/* What the library and its model say of themselves, as a verdict of ours. */
static bool own_failure(struct fuzz_play *y)
{
	if (y->out.verdict == RUN_UNSUPPORTED) {
		y->verdict = FUZZ_NOT_BUILT;
		return false;
	}
	return fuzz_differ(y, "%s", y->out.text ? y->out.text : "?");
}

static bool do_access(
	struct fuzz_play *y, struct run_process *p, const struct op *op, struct run_result *r)
{
	uint64_t page = y->w.env.page, va = op->a[0] & -page, last = op->a[0] + (op->a[1] - 1);

	y->w.nloaded = 0;
	return run_access_pages(&y->w, p, op->id, va, (last - va) / page + 1, r);
}

/* Locked memory is faulted in by calls that say nothing of it, wherever it lies by then. */
static void note_stores(struct fuzz_play *y, struct run_process *p, const struct op *op)
{
	const uint64_t pages[][2] = {{y->area.heap, FUZZ_HEAP_PAGES},
		{y->area.base, 2 * FUZZ_PAGES}, {y->area.away, 2 * FUZZ_PAGES}};

	if (!y->g->locks || op->id == SC_FORK)
		return;
	run_switch(&y->w, p);
	for (size_t i = 0; i < PF_ARRAY_SIZE(pages); i++)
		for (uint64_t k = 0; k < pages[i][1]; k++)
			machine_note_store(pages[i][0] + k * FUZZ_PAGE);
}

static bool do_syscall(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a, struct run_result *r)
{
	bool placed = (op->id == SC_MMAP || op->id == SC_MREMAP) && a->result >= 0;
	struct run_result gone;

	note_stores(y, p, op);
	if (!run_syscall(
		    &y->w, p, op->id, op->a, PROGRAM_ARGS, placed ? a->result : -1, op->child, r))
		return false;
	if (!a->away || r->kind != SC_R_VALUE)
		return true;
	const uint64_t where[6] = {r->value, op->id == SC_MMAP ? op->a[1] : op->a[2]};

	return run_syscall(&y->w, p, SC_MUNMAP, where, 2, -1, 0, &gone);
}

/* The files of a disk are all in memory: what Linux reads ahead of a fault is a matter of its own. */
static bool fill_files(struct fuzz_play *y, struct run_process *p, unsigned cpu)
{
	struct op ops[PROGRAM_FILES * FUZZ_FILLS];
	const unsigned nr = fuzz_fills(&y->area, p->pid, cpu, ops);
	struct run_result r;

	for (unsigned i = 0; i < nr; i++)
		if (!run_syscall(&y->w, p, ops[i].id, ops[i].a, PROGRAM_ARGS,
			    ops[i].id == SC_MMAP ? (int64_t)y->area.away : -1, 0, &r))
			return false;
	return true;
}

static bool do_process_call(
	struct fuzz_play *y, struct run_process *p, const struct op *op, struct run_result *r)
{
	const bool vm = op->id != SC_PROCESS_MADVISE;
	const struct run_parts v = {
		.target = run_process(&y->w, (unsigned)op->a[0]),
		.local = op->part[0],
		.nlocal = op->a[2],
		.remote = op->part[1],
		.nremote = vm ? op->a[4] : 0,
		.advice = op->a[3],
		.flags = op->a[vm ? 5 : 4],
	};

	note_stores(y, p, op);
	return run_process_parts(&y->w, p, op->id, &v, r) ||
	       (y->out.verdict == RUN_UNSUPPORTED && fuzz_executes_only(y, p, op));
}

static bool do_scan(
	struct fuzz_play *y, struct run_process *p, const struct op *op, struct run_result *r)
{
	const uint64_t *a = op->a;
	struct pf_page_region vec[PROGRAM_REGIONS] = {0};
	struct pf_pm_scan arg = {.start = a[0],
		.end = a[0] + a[1],
		.flags = a[2],
		.vec_len = a[3],
		.max_pages = a[4],
		.category_inverted = a[5],
		.category_mask = a[6],
		.category_anyof_mask = a[7],
		.return_mask = a[8]};
	uint64_t *to = y->w.loaded;
	int64_t nr;

	run_switch(&y->w, p);
	nr = pf_pagemap_scan(&p->mm, &arg, arg.vec_len ? vec : NULL);
	y->w.nloaded = 0;
	*r = (struct run_result){.kind = SC_R_VALUE, .value = (uint64_t)nr};
	if (y->g->uffd && !run_scanned(&y->w, p, &arg, vec, nr))
		return false;
	if (nr < 0) {
		*r = (struct run_result){.kind = SC_R_ERRNO, .err = (int)-nr};
		return true;
	}
	*to++ = arg.walk_end;
	for (int64_t i = 0; i < nr; i++) {
		*to++ = vec[i].start;
		*to++ = vec[i].end;
		*to++ = vec[i].categories;
	}
	y->w.nloaded = (unsigned)(to - y->w.loaded);
	return true;
}

/* Through the library, which the model watches. */
static bool do_op(struct fuzz_play *y, struct run_process *p, const struct op *op,
	const struct fuzz_answer *a, struct run_result *r)
{
	switch (op->id) {
	case SC_LOAD:
	case SC_STORE:
	case SC_EXEC:
	case SC_TOUCH:
		return do_access(y, p, op, r);
	case SC_PROCESS_VM_READV:
	case SC_PROCESS_VM_WRITEV:
	case SC_PROCESS_MADVISE:
		return do_process_call(y, p, op, r);
	case SC_PAGEMAP_SCAN:
		return do_scan(y, p, op, r);
	default:
		return fuzz_is_uffd(op->id) ? fuzz_uffd_do(y, p, op, r)
					    : do_syscall(y, p, op, a, r);
	}
}

static void plant(const struct fuzz_play *y, const struct op *op, struct run_result *r)
{
	if (y->f->planted == FUZZ_PLANT_RESULT && op->id == SC_MREMAP && r->kind == SC_R_ERRNO &&
		r->err == EFAULT && op->a[3] & PF_MREMAP_FIXED)
		r->err = EINVAL;
}

/* ---- counting ---- */

/* Bytes of its vectors. */
static uint64_t asked_for(const struct op *op)
{
	uint64_t sum[2] = {0};

	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < PROGRAM_PARTS; i++)
			sum[k] += i < op->a[k ? 4 : 2] ? op->part[k][i].len : 0;
	return op->id == SC_PROCESS_MADVISE ? sum[0] : pf_min(sum[0], sum[1]);
}

static void result_name(const struct op *op, const struct fuzz_answer *a, char *text, size_t size)
{
	if (a->signal)
		snprintf(text, size, "%s", a->signal == 11 ? "SIGSEGV" : "SIGBUS");
	else if (program_is_uffdio(op->id) && a->result == -EAGAIN && a->done > 0)
		snprintf(text, size, "some");
	else if (op->id != SC_BRK && a->result < 0 && a->result > -4096)
		snprintf(text, size, "%s", sc_errno_name((int)-a->result));
	else if (op->id == SC_BRK)
		snprintf(text, size, "%s", (uint64_t)a->result == op->a[0] ? "moved" : "stayed");
	else if (program_has_parts(op->id) && a->result)
		snprintf(text, size, "%s", (uint64_t)a->result < asked_for(op) ? "some" : "all");
	else if (op->id == SC_PAGEMAP_SCAN && a->result)
		snprintf(text, size, "%s", a->loaded[0] < op->a[0] + op->a[1] ? "some" : "all");
	else
		snprintf(text, size, "0");
}

/* As the scenario will have it. */
static void keep_result(struct op *op, const struct fuzz_answer *a)
{
	bool access = op->id == SC_LOAD || op->id == SC_STORE || op->id == SC_EXEC;

	op->done = a->done;
	if (op->id == SC_FORK || op->id == SC_EXIT_GROUP || op->id == SC_TOUCH)
		*op->result = 0;
	else if (a->signal)
		snprintf(op->result, sizeof(op->result), "%s at 0x%" PRIx64,
			a->signal == 11 ? "SIGSEGV" : "SIGBUS", a->at);
	else if (!access && a->result < 0 && a->result > -4096)
		snprintf(op->result, sizeof(op->result), "-1 %s", sc_errno_name((int)-a->result));
	else
		snprintf(op->result, sizeof(op->result), a->result > 9 ? "0x%" PRIx64 : "%" PRIu64,
			access ? 0 : (uint64_t)a->result);
}

/* Part of a huge page is cold, may be given up, or goes elsewhere: Linux makes small ones of it. */
static bool splits_folios(const struct op *op)
{
	const uint64_t advice = op->a[op->id == SC_MADVISE ? 2 : 3];

	return op->id == SC_UFFDIO_MOVE ||
	       ((op->id == SC_MADVISE || op->id == SC_PROCESS_MADVISE) &&
		       (advice == PF_MADV_COLD || advice == PF_MADV_PAGEOUT ||
			       advice == PF_MADV_FREE));
}

/* ---- a call ---- */

static bool step(struct fuzz_play *y, struct op *op, const struct fuzz_answer *a)
{
	struct run_process *p = run_process(&y->w, op->pid);
	struct run_result r = {0};
	uint64_t outlook;
	unsigned kind;

	if (!p)
		return fuzz_differ(y, "process %u was never made", op->pid);
	y->w.line = y->done;
	y->uffd_done = 0;
	y->left_wp = false;
	p->cpu = op->cpu;
	keep_result(op, a);
	y->splits |= splits_folios(op);
	kind = y->f->cover ? fuzz_kind(&y->w, p, op) : 0;
	outlook = y->f->cover ? fuzz_outlook(&y->w, p, op) : 0;
	if (op->id == SC_EXIT_GROUP) {
		oracle_exit(y->w.oracle, op->pid);
		run_exit(&y->w, p);
	} else {
		if (!do_op(y, p, op, a, &r))
			return y->verdict != FUZZ_EXCEPTION && own_failure(y);
		if (fuzz_empties_files(&y->area, op) && !fill_files(y, p, op->cpu))
			return own_failure(y);
		plant(y, op, &r);
		if (!fuzz_compare_result(y, p, op, &r, a) || !fuzz_compare_state(y, p, op, a))
			return false;
	}
	if (y->f->cover) {
		char name[16];

		result_name(op, a, name, sizeof(name));
		fuzz_cover_add(y->f->cover, op, kind, outlook, name);
	}
	if (!(y->done % y->f->every ? run_check_machine(&y->w) : run_check(&y->w)))
		return own_failure(y);
	return true;
}

static bool play_batch(struct fuzz_play *y, unsigned from, unsigned nr, bool closely)
{
	const struct fuzz_answer *answers = fuzz_host_do(y->f->host, &y->g->ops[from], nr, closely);

	memset(y->sighted, 0, sizeof(y->sighted));

	if (!answers) {
		y->verdict = FUZZ_BROKEN;
		return false;
	}
	for (unsigned i = 0; i < nr; i++) {
		y->done = from + i + 1;
		y->f->calls++;
		if (!step(y, &y->g->ops[from + i], &answers[i]))
			return false;
	}
	return true;
}

/* ---- a program ---- */

/* In the end each process looks at all that it has. */
static void draw_end(struct fuzz_play *y, const struct program_drawing *d)
{
	for (unsigned pid = 1; pid <= PROGRAM_MAX_PID; pid++) {
		struct run_process *p = d->alive[pid] ? run_process(&y->w, pid) : NULL;
		struct pf_vma_info v;

		for (uint64_t at = y->area.low;
			p && pf_find_vma_info(&p->mm, at, &v) && v.area.start < y->area.high;
			at = v.area.end)
			if (v.area.flags & PF_VM_READ &&
				v.area.end - v.area.start <= FUZZ_PAGES * FUZZ_PAGE)
				y->g->ops[y->g->nr++] = (struct op){.id = SC_LOAD,
					.pid = pid,
					.a = {v.area.start, v.area.end - v.area.start}};
	}
}

static bool play_all(struct fuzz_play *y, struct program_drawing *d, unsigned steps)
{
	const unsigned batch = y->g->uffd ? FUZZ_SHORT_BATCH : FUZZ_BATCH;
	unsigned from = 0;

	if (!steps) {
		for (; from < y->g->nr; from += FUZZ_BATCH)
			if (!play_batch(y, from, pf_min(y->g->nr - from, FUZZ_BATCH), true))
				return false;
		return true;
	}
	while (from < steps) {
		for (; y->g->nr - from < batch && y->g->nr < steps; y->g->nr++) {
			fuzz_draw(y, d, &y->g->ops[y->g->nr]);
			program_uffd_drawn(d, &y->g->ops[y->g->nr]);
		}
		if (!play_batch(y, from, y->g->nr - from,
			    !(y->g->nr % FUZZ_BATCH) || y->g->nr >= steps))
			return false;
		from = y->g->nr;
	}
	for (draw_end(y, d); from < y->g->nr; from += FUZZ_BATCH)
		if (!play_batch(y, from, pf_min(y->g->nr - from, FUZZ_BATCH), true))
			return false;
	return true;
}

static bool begin_files(struct fuzz_play *y)
{
	return !y->area.uffd || fill_files(y, run_process(&y->w, 1), 0) || own_failure(y);
}

void fuzz_play(struct fuzz_play *y, struct fuzz *f, struct program *g, uint64_t seed,
	unsigned steps, const struct pf_format *fmt)
{
	struct program_drawing d;

	*y = (struct fuzz_play){.f = f, .g = g, .verdict = FUZZ_SAME};
	if (!fuzz_host_area(f->host, fmt, &y->area)) {
		y->verdict = FUZZ_BROKEN;
		return;
	}
	if (steps)
		fuzz_begin(&d, g, fmt, &y->area, seed, steps);
	y->area.uffd = g->uffd;
	y->area.shares = g->shares;
	y->area.huge = g->huge;
	y->area.nfiles = g->nfiles;
	y->area.file_size = g->file_size;
	if (!fuzz_host_begin(f->host, &y->area, f->every == 1)) {
		y->verdict = FUZZ_BROKEN;
		return;
	}
	if (start_world(y) && begin_files(y) && play_all(y, &d, steps)) {
		if (!run_check(&y->w) || !run_world_end(&y->w))
			own_failure(y);
	}
	fuzz_host_end(f->host);
	f->programs++;
}

void fuzz_play_free(struct fuzz_play *y)
{
	run_world_drop(&y->w);
	if (y->file)
		sc_file_free(y->file);
	free(y->out.text);
	free(y->why);
	free(y->expect);
}
