// SPDX-License-Identifier: MIT
/* Which calls there were, with which flags, on which memory, and what they answered. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fuzz.h"

#define ENOUGH 100
#define SATED  (UINT64_C(1) << 40)
#define CELLS  65536 /* a power of two, far more than there are */

struct cell {
	const char *call, *flag; /* of the tables: equal where they are the same */
	unsigned kind;
	char result[12]; /* empty: whatever it was */
	uint64_t hits;
	unsigned rare; /* whatever it was: so many results were hit less than ENOUGH times */
};

struct fuzz_cover {
	struct cell cells[CELLS];
	unsigned used;
	uint64_t calls;
};

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

/* ---- kinds of memory ---- */

enum { ONE, SEVERAL, HOLE, SPANS };
enum { NOTHING, FRESH, TOUCHED, NO_ACCESS, SHARED, FILES, LOCKED, ODD, BASES };
PF_STATIC_ASSERT(BASES *SPANS <= FUZZ_KINDS, "kinds");

static const char *const base_names[] = {
	"nothing", "fresh", "touched", "no-access", "shared", "file", "locked", "odd"};
static const char *const span_names[] = {"", "+more", "+hole"};

static void kind_name(unsigned kind, char *text, size_t size)
{
	snprintf(text, size, "%s%s", base_names[kind / SPANS], span_names[kind % SPANS]);
}

static unsigned base_of(struct run_process *p, uint64_t va, const struct pf_vma_info *v)
{
	struct pf_page_info page;

	if (v->area.start > va)
		return NOTHING;
	if (v->area.flags & PF_VM_LOCKED)
		return LOCKED;
	if (!(v->area.flags & (PF_VM_READ | PF_VM_WRITE | PF_VM_EXEC)))
		return NO_ACCESS;
	if (v->area.flags & (PF_VM_SHARED | PF_VM_MAYSHARE))
		return SHARED;
	if (v->mapping)
		return FILES;
	RUN_UNCOUNTED(pf_page_info(&p->mm, va, &page));
	return pf_pte_none(page.pte) ? FRESH : TOUCHED;
}

unsigned fuzz_kind(struct run_world *w, struct run_process *p, const struct op *op)
{
	uint64_t va = op->a[0], end = va + op->a[1];
	struct pf_vma_info v;
	unsigned base = NOTHING, span = ONE;

	const struct program_arg *const *args = program_call(op->id)->args;

	/* What is asked of somebody: of where the first part of its memory begins; there may be holes between parts anyway. */
	if (program_has_parts(op->id)) {
		const bool vm = op->id != SC_PROCESS_MADVISE;

		p = run_process(w, (unsigned)op->a[0]);
		if (!p || !op->a[vm ? 4 : 2])
			return NOTHING;
		va = op->part[vm][0].base & -w->env.page;
		end = va + 1;
	} else if (op->id == SC_EXIT_GROUP || !args[0] || args[0]->kind != PROGRAM_ARG_HEX) {
		return NOTHING;
	}
	if (op->id == SC_BRK)
		return op->a[0] & (FUZZ_PAGE - 1) ? ODD * SPANS : NOTHING;
	if (va & (w->env.page - 1) || end < va || va >= w->sys.task_size)
		return ODD * SPANS;
	if (!pf_find_vma_info(&p->mm, va, &v))
		return NOTHING;
	base = base_of(p, va, &v);
	if (base == NOTHING)
		return NOTHING * SPANS + (v.area.start < end ? SEVERAL : ONE);
	while (v.area.end < end && span != HOLE) {
		uint64_t at = v.area.end;

		span = pf_find_vma_info(&p->mm, at, &v) && v.area.start == at ? SEVERAL : HOLE;
	}
	return base * SPANS + span;
}

/* ---- counting ---- */

static struct cell *cell_of(const struct fuzz_cover *c, const char *call, const char *flag,
	unsigned kind, const char *result)
{
	uint64_t h = (uint64_t)call * 31 + (uint64_t)flag;

	h = (h ^ kind) * UINT64_C(0x9e3779b97f4a7c15);
	for (const char *s = result; *s; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(0x100000001b3);
	for (h >>= 20;; h++) {
		const struct cell *x = &c->cells[h % CELLS];

		if (!x->call || (x->call == call && x->flag == flag && x->kind == kind &&
					!strcmp(x->result, result)))
			return (struct cell *)x;
	}
}

static struct cell *hit(
	struct fuzz_cover *c, const char *call, const char *flag, unsigned kind, const char *result)
{
	struct cell *x = cell_of(c, call, flag, kind, result);

	if (!x->call) {
		if (++c->used > CELLS / 2)
			abort();
		x->call = call;
		x->flag = flag;
		x->kind = kind;
		snprintf(x->result, sizeof(x->result), "%s", result);
	}
	x->hits++;
	return x;
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

struct adding {
	struct fuzz_cover *c;
	unsigned kind;
	const char *result;
};

static void add_flag(void *ctx, const char *call, const char *flag)
{
	struct adding *a = ctx;

	struct cell *all = hit(a->c, call, flag, a->kind, "");
	const struct cell *one = hit(a->c, call, flag, a->kind, a->result);

	all->rare += one->hits == 1;
	all->rare -= one->hits == ENOUGH;
}

void fuzz_cover_add(struct fuzz_cover *c, const struct op *op, unsigned kind, const char *result)
{
	struct adding a = {c, kind, result};

	c->calls++;
	each_flag(op, add_flag, &a);
}

struct looking {
	const struct fuzz_cover *c;
	unsigned kind;
	uint64_t least;
};

static void look_flag(void *ctx, const char *call, const char *flag)
{
	struct looking *l = ctx;

	const struct cell *x = cell_of(l->c, call, flag, l->kind, "");

	l->least = pf_min(l->least, x->hits + (x->hits && !x->rare ? SATED : 0));
}

uint64_t fuzz_cover_rank(const struct fuzz_cover *c, const struct op *op, unsigned kind)
{
	struct looking l = {c, kind, UINT64_MAX};

	each_flag(op, look_flag, &l);
	return l.least;
}

/* ---- telling ---- */

static int by_name(const void *a, const void *b)
{
	const struct cell *x = *(const struct cell *const *)a, *y = *(const struct cell *const *)b;
	int d = strcmp(x->call, y->call);

	if (!d)
		d = strcmp(x->flag, y->flag);
	if (!d)
		d = (int)x->kind - (int)y->kind;
	return d ? d : strcmp(x->result, y->result);
}

static size_t sorted(const struct fuzz_cover *c, const struct cell **list)
{
	size_t n = 0;

	for (size_t i = 0; i < CELLS; i++)
		if (c->cells[i].call)
			list[n++] = &c->cells[i];
	qsort(list, n, sizeof(*list), by_name);
	return n;
}

/* A line for each call and flag: hits by result, whatever the memory. */
static void print_rows(const struct cell **list, size_t n)
{
	for (size_t i = 0, end; i < n; i = end) {
		struct {
			const char *result;
			uint64_t hits;
		} sum[64];
		unsigned nsum = 0;
		uint64_t all = 0;

		for (end = i; end < n && list[end]->call == list[i]->call &&
			      !strcmp(list[end]->flag, list[i]->flag);
			end++) {
			unsigned k = 0;

			if (!*list[end]->result) {
				all += list[end]->hits;
				continue;
			}
			while (k < nsum && strcmp(sum[k].result, list[end]->result))
				k++;
			if (k == nsum && nsum < 64) {
				sum[nsum].result = list[end]->result;
				sum[nsum++].hits = 0;
			}
			if (k < nsum)
				sum[k].hits += list[end]->hits;
		}
		printf("  %-10s  %-22s  %9" PRIu64 " ", list[i]->call, list[i]->flag, all);
		for (unsigned k = 0; k < nsum; k++)
			printf(" %s:%" PRIu64, sum[k].result, sum[k].hits);
		putchar('\n');
	}
}

static void print_rare(const struct cell **list, size_t n)
{
	const struct cell *row = NULL;

	for (size_t i = 0; i < n; i++) {
		char kind[32];

		if (!*list[i]->result || list[i]->hits >= ENOUGH)
			continue;
		if (!row || row->call != list[i]->call || strcmp(row->flag, list[i]->flag))
			printf("%s  %s %s:", row ? "\n" : "", list[i]->call, list[i]->flag);
		row = list[i];
		kind_name(list[i]->kind, kind, sizeof(kind));
		printf(" %s=%s:%" PRIu64, kind, list[i]->result, list[i]->hits);
	}
	if (row)
		putchar('\n');
}

/* Flags that no program has, and why. */
static const struct {
	const char *call, *flag, *why;
} not_drawn[] = {
	{"process_madvise", "MADV_COLLAPSE", "the model does not follow it through a vector"},
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
				uint64_t hits = 0;
				const char *why = why_not(call->name, *name);
				char what[160];

				for (unsigned kind = 0; kind < FUZZ_KINDS; kind++)
					hits += cell_of(c, call->name, *name, kind, "")->hits;
				snprintf(what, sizeof(what), why ? "%s %s (%s)" : "%s %s",
					call->name, *name, why);
				if (!hits)
					tell(ctx, what);
			}
		}
	}
}

static void print_never(void *ctx, const char *what)
{
	(void)ctx;
	printf("  never: %s\n", what);
}

static void add_never(void *ctx, const char *what)
{
	json_object_array_add(ctx, json_object_new_string(what));
}

void fuzz_cover_print(const struct fuzz_cover *c, bool all)
{
	const struct cell **list = calloc(CELLS, sizeof(const struct cell *));
	size_t n, rare = 0, cells = 0;

	if (!list)
		abort();
	n = sorted(c, list);
	for (size_t i = 0; i < n; i++) {
		cells += *list[i]->result != 0;
		rare += *list[i]->result && list[i]->hits < ENOUGH;
	}
	if (all) {
		puts("calls by flag, with what they answered:");
		print_rows(list, n);
	}
	printf("%zu cells (call, flag, memory, result) were hit, %zu of them less than %u "
	       "times%s\n",
		cells, rare, ENOUGH, all && rare ? ":" : "");
	if (all)
		print_rare(list, n);
	never(c, print_never, NULL);
	free(list);
}

void fuzz_cover_json(const struct fuzz_cover *c, struct json_object *to)
{
	const struct cell **list = calloc(CELLS, sizeof(const struct cell *));
	struct json_object *cells = json_object_new_array(), *rare = json_object_new_array(),
			   *no = json_object_new_array();
	size_t n;

	if (!list)
		abort();
	n = sorted(c, list);
	for (size_t i = 0; i < n; i++) {
		struct json_object *x;
		char kind[32], name[128];

		if (!*list[i]->result)
			continue;
		kind_name(list[i]->kind, kind, sizeof(kind));
		x = json_object_new_object();
		json_object_object_add(x, "call", json_object_new_string(list[i]->call));
		json_object_object_add(x, "flag", json_object_new_string(list[i]->flag));
		json_object_object_add(x, "memory", json_object_new_string(kind));
		json_object_object_add(x, "result", json_object_new_string(list[i]->result));
		json_object_object_add(x, "hits", json_object_new_int64((int64_t)list[i]->hits));
		json_object_array_add(cells, x);
		if (list[i]->hits >= ENOUGH)
			continue;
		snprintf(name, sizeof(name), "%s %s %s %s", list[i]->call, list[i]->flag, kind,
			list[i]->result);
		json_object_array_add(rare, json_object_new_string(name));
	}
	json_object_object_add(to, "cells", cells);
	json_object_object_add(to, "below_100", rare);
	never(c, add_never, no);
	json_object_object_add(to, "never", no);
	free(list);
}
