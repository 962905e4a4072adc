// SPDX-License-Identifier: MIT
/* What memory a call is about, and which calls are alike. */
#include <stdio.h>
#include <string.h>

#include "cli/fuzz_cover.h"

enum { ONE, SEVERAL, HOLE, SPANS };
enum { NOTHING, FRESH, TOUCHED, NO_ACCESS, SHARED, FILES, LOCKED, ODD, BASES };
PF_STATIC_ASSERT(BASES *SPANS <= FUZZ_KINDS, "kinds");

static const char *const base_names[] = {
	"nothing", "fresh", "touched", "no-access", "shared", "file", "locked", "odd"};
static const char *const span_names[] = {"", "+more", "+hole"};

void fuzz_kind_name(unsigned kind, char *text, size_t size)
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

static bool has_address(const struct program_call *call)
{
	return program_has_parts(call->id) || (call->id != SC_EXIT_GROUP && call->args[0] &&
						      call->args[0]->kind == PROGRAM_ARG_HEX);
}

unsigned fuzz_kind(struct run_world *w, struct run_process *p, const struct op *op)
{
	uint64_t va = op->a[0], end = va + op->a[1];
	struct pf_vma_info v;
	unsigned base = NOTHING, span = ONE;

	/* What is asked of somebody: of where the first part of its memory begins; there may be holes between parts anyway. */
	if (program_has_parts(op->id)) {
		const bool vm = op->id != SC_PROCESS_MADVISE;

		p = run_process(w, (unsigned)op->a[0]);
		if (!p || !op->a[vm ? 4 : 2])
			return NOTHING;
		va = op->part[vm][0].base & -w->env.page;
		end = va + 1;
	} else if (!has_address(program_call(op->id))) {
		return NOTHING;
	}
	if (op->id == SC_BRK)
		return op->a[0] & (FUZZ_PAGE - 1) ? ODD * SPANS : NOTHING;
	if (va & (w->env.page - 1) || end < va || va >= w->sys.task_size || end > w->sys.task_size)
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

/* Of which memory a call can be at all. */
bool fuzz_kind_can_be(const struct program_call *call, unsigned kind)
{
	const unsigned base = kind / SPANS, span = kind % SPANS;

	if (call->id == SC_BRK)
		return span == ONE && (base == NOTHING || base == ODD);
	if (!has_address(call))
		return kind == NOTHING;
	if (base == NOTHING)
		return span != HOLE;
	if (program_has_parts(call->id))
		return base != ODD && span == ONE;
	return base != ODD || span == ONE;
}

/* ---- what cannot come of a call ---- */

#define CALL(id) (UINT64_C(1) << SC_##id)

static const uint64_t walk_ranges = CALL(MADVISE) | CALL(MPROTECT) | CALL(PKEY_MPROTECT) |
				    CALL(MINCORE) | CALL(MUNLOCK) | CALL(MSEAL);

PF_STATIC_ASSERT(SC_PAGEMAP_SCAN < 64, "a bit for each call");

enum where { WHOLE, BROKEN, EMPTY_OR_ODD, EMPTY, BEYOND, INSIDE };

static bool lies(unsigned kind, enum where where)
{
	const unsigned base = kind / SPANS, span = kind % SPANS;

	switch (where) {
	case WHOLE: /* mapped from its beginning to its end */
		return base != NOTHING && base != ODD && span != HOLE;
	case BROKEN: /* something is mapped, and something is not */
		return base == NOTHING ? span == SEVERAL : span == HOLE;
	case EMPTY_OR_ODD:
		return kind == NOTHING || base == ODD;
	case EMPTY:
		return kind == NOTHING;
	case BEYOND:
		return base == ODD;
	default: /* between what is mapped and the end of user space */
		return kind != NOTHING && base != ODD;
	}
}

static const struct {
	uint64_t calls;
	const char *result;
	enum where where;
	const char *why;
} cannot[] = {
	{walk_ranges | CALL(MSYNC) | CALL(MMAP), "ENOMEM", WHOLE,
		"no part of the range is missing, and memory does not run out"},
	{walk_ranges | CALL(MLOCK) | CALL(MLOCK2), "0", BROKEN, "a part of the range is missing"},
	{CALL(MMAP), "EEXIST", EMPTY_OR_ODD, "nothing is in the way"},
	{CALL(PAGEMAP_SCAN), "all", EMPTY, "there is nothing to be told of"},
	{CALL(PAGEMAP_SCAN), "some", EMPTY, "there is nothing to be told of"},
	{CALL(PAGEMAP_SCAN), "EPERM", EMPTY_OR_ODD, "no mapping refuses"},
	{CALL(PAGEMAP_SCAN), "EFAULT", INSIDE, "the range lies in user space"},
};

const char *fuzz_cannot(const struct program_call *call, unsigned kind, const char *result)
{
	for (size_t i = 0; i < PF_ARRAY_SIZE(cannot); i++)
		if (call->id < 64 && cannot[i].calls >> call->id & 1 &&
			!strcmp(cannot[i].result, result) && lies(kind, cannot[i].where))
			return cannot[i].why;
	return NULL;
}

/* ---- calls that are alike ---- */

/* What a number is beside the page and the number before it. */
static unsigned class_of(uint64_t v, uint64_t before)
{
	if (!v)
		return 0;
	if (v >= UINT64_C(1) << 46)
		return 1;
	if (v & (FUZZ_PAGE - 1))
		return 2;
	return v < before ? 3 : v > before ? 4 : 5;
}

static unsigned class_of_parts(const struct oracle_part *part, uint64_t nr)
{
	unsigned is = pf_min((unsigned)nr, 2u);

	for (unsigned i = 0; i < nr; i++) {
		is |= !part[i].len ? 4 : part[i].len >= UINT64_C(1) << 46 ? 8 : 0;
		is |= part[i].base & (FUZZ_PAGE - 1) ? 16 : 0;
	}
	return is;
}

static uint64_t class_of_argument(const struct op *op, const struct program_arg *arg, unsigned i)
{
	const uint64_t v = op->a[i];

	switch (arg->kind) {
	case PROGRAM_ARG_HEX:
		/* The kind of memory says more of the first. */
		return i ? class_of(v, op->a[i - 1]) : v < FUZZ_PAGE;
	case PROGRAM_ARG_PID:
	case PROGRAM_ARG_PIDFD:
		return v == PROGRAM_NOBODY ? 0 : v == op->pid ? 1 : 2;
	case PROGRAM_ARG_PARTS:
		return class_of_parts(op->part[v], op->a[i + 1]);
	case PROGRAM_ARG_NUMBER:
		return pf_min(v, UINT64_C(8));
	default:
		return v;
	}
}

uint64_t fuzz_situation(const struct op *op, unsigned kind, uint64_t outlook)
{
	const struct program_arg *const *args = program_call(op->id)->args;
	uint64_t h = (uint64_t)op->id * FUZZ_KINDS + kind + 1 + (outlook << 12);

	for (unsigned i = 0; i < PROGRAM_ARGS && args[i]; i++)
		h = (h ^ class_of_argument(op, args[i], i)) * UINT64_C(0x9e3779b97f4a7c15) ^
		    h >> 29;
	return h ? h : 1;
}
