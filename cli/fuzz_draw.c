// SPDX-License-Identifier: MIT
/* Programs that a host may be asked to do. */
#include "cli/fuzz.h"
#include "mm/uffd.h"

#define LOW_END    (UINT64_C(1) << 20) /* below it nothing is ever mapped */
#define TOP_ROOM   (UINT64_C(1) << 16) /* so near to the end of user space neither */
#define FILE_PAGES 20
#define HUGE_FROM  (UINT64_C(1) << 47)

/* An address that is the program's, nobody's, or none at all. */
static bool may_name(const struct fuzz_area *area, uint64_t va)
{
	return (va >= area->low && va < area->high) || va < LOW_END / 2 || va >= HUGE_FROM ||
	       (area->top && va >= area->top - TOP_ROOM);
}

/* A range that lies there as a whole; one that no call accepts, too. */
static bool may_change(const struct fuzz_area *area, uint64_t va, uint64_t len)
{
	uint64_t end = va + len;

	if (!may_name(area, va))
		return false;
	if (!len || va >= HUGE_FROM || len >= HUGE_FROM ||
		(area->top && va >= area->top - TOP_ROOM))
		return true;
	return va < LOW_END / 2 ? end <= LOW_END : end <= area->high;
}

/* As large as x86-64's. */
static bool same_tables(const struct fuzz_area *area)
{
	return area->leaf == UINT64_C(2) << 20;
}

/* The advice itself. */
static bool may_say(const struct fuzz_area *area, uint64_t advice)
{
	switch (advice) {
	case PF_MADV_PAGEOUT:
		return !area->swap;
	case PF_MADV_COLLAPSE:
		return same_tables(area);
	case PF_MADV_MERGEABLE:
	case PF_MADV_UNMERGEABLE:
		return area->ksm;
	default:
		return true;
	}
}

/*
 * Where only MADV_COLLAPSE shall bring huge pages, none may fit into what MADV_HUGEPAGE is asked for: what begins in the
 * heap, in the window or as near to the second piece, and is no longer than the window, never comes to be as large.
 */
static bool may_hint(const struct fuzz_area *area, uint64_t advice, uint64_t len)
{
	return advice != PF_MADV_HUGEPAGE || !area->huge ||
	       (area->hints && len <= FUZZ_PAGES * FUZZ_PAGE);
}

static bool may_advise(const struct fuzz_area *area, const struct op *op)
{
	const uint64_t *a = op->a;

	/* Memory of the host's is not lost: only what is refused everywhere. */
	if ((a[2] == PF_MADV_HWPOISON || a[2] == PF_MADV_SOFT_OFFLINE) && !(a[0] & (FUZZ_PAGE - 1)))
		return false;
	/* It goes on behind holes. */
	return may_say(area, a[2]) && may_hint(area, a[2], a[1]) && may_change(area, a[0], a[1]) &&
	       (a[1] < HUGE_FROM || a[0] + a[1] < a[0] || a[0] >= HUGE_FROM);
}

static bool may_reach(const struct fuzz_area *area, const struct op *op)
{
	const bool vm = op->id != SC_PROCESS_MADVISE;

	if (vm ? !area->peers : op->a[0] != op->pid && !area->others)
		return false;
	if (!vm && (!may_say(area, op->a[3]) || op->a[3] == PF_MADV_HWPOISON ||
			   op->a[3] == PF_MADV_SOFT_OFFLINE))
		return false;
	for (unsigned k = 0; k < (vm ? 2 : 1); k++)
		for (unsigned i = 0; i < op->a[k ? 4 : 2]; i++)
			if (!may_change(area, op->part[k][i].base, op->part[k][i].len) ||
				(!vm && !may_hint(area, op->a[3], op->part[k][i].len)))
				return false;
	return true;
}

static bool may_scan(const struct fuzz_area *area, const struct op *op)
{
	const uint64_t *a = op->a;

	/* Empty slots are `written` where there is a table for them, and that is the kernel's own affair. */
	if ((a[5] | a[6] | a[7] | a[8]) & PF_PAGE_IS_WRITTEN &&
		!(a[6] & ~a[5] & (PF_PAGE_IS_PRESENT | PF_PAGE_IS_SWAPPED)))
		return false;
	return may_change(area, a[0], a[1]) &&
	       (a[1] < HUGE_FROM || a[0] + a[1] < a[0] || a[0] >= HUGE_FROM);
}

bool fuzz_safe(const struct fuzz_area *area, const struct op *op)
{
	const uint64_t *a = op->a;

	if (!fuzz_host_knows(op->id) || !fuzz_uffd_safe(area, op))
		return false;
	switch (op->id) {
	case SC_EXEC:
		return a[0] >= area->low && a[0] < area->high;
	case SC_LOAD:
	case SC_STORE:
	case SC_TOUCH:
	case SC_PKEY_MPROTECT:
	case SC_MPROTECT: /* ends at the first hole, and behind the window there is one */
		return may_name(area, a[0]);
	case SC_MADVISE:
		return may_advise(area, op);
	case SC_PROCESS_VM_READV:
	case SC_PROCESS_VM_WRITEV:
	case SC_PROCESS_MADVISE:
		return may_reach(area, op);
	case SC_PAGEMAP_SCAN:
		return may_scan(area, op);
	case SC_MINCORE: /* there is room for the bytes of the window */
		return may_change(area, a[0], a[1]) &&
		       (a[1] <= FUZZ_PAGES * FUZZ_PAGE || a[1] >= HUGE_FROM);
	case SC_MLOCK:
	case SC_MLOCK2: /* the host has a limit, which comes before what is wrong with a length */
		return may_change(area, a[0], a[1]) && a[1] < HUGE_FROM;
	case SC_MREMAP:
		return may_change(area, a[0], a[1]) && may_change(area, a[0], a[2]) &&
		       (!(a[3] & PF_MREMAP_FIXED) || may_change(area, a[4], a[2]));
	case SC_MMAP:
		return may_change(area, a[0], a[1]) ||
		       !(a[3] & (PF_MAP_FIXED | PF_MAP_FIXED_NOREPLACE));
	case SC_BRK:
	case SC_FORK:
	case SC_EXIT_GROUP:
		return true;
	default: {
		const struct program_arg *const *args = program_call(op->id)->args;

		return !args[0] || args[0]->kind != PROGRAM_ARG_HEX || may_change(area, a[0], a[1]);
	}
	}
}

/* One of them is mapped behind the memory that is there at the start; all that can be asked of it is WP_ASYNC. */
static void begin_files(struct program_drawing *d, struct program *g)
{
	if (source_draw(&d->src, 4))
		g->ops[g->nr - 1].a[1] |= PF_UFFD_FEATURE_WP_ASYNC;
	g->ops[g->nr++] = (struct op){.id = SC_MMAP,
		.pid = 1,
		.a = {g->base + (g->pages / 2) * d->page, FILE_PAGES * d->page,
			PF_PROT_READ | PF_PROT_WRITE,
			PF_MAP_FIXED | (source_draw(&d->src, 2) ? PF_MAP_SHARED : PF_MAP_PRIVATE),
			RUN_FIRST_FD}};
}

/* A descriptor to begin with. What locked memory waits for, and which of two contents is copied, the model cannot know. */
static void begin_uffd(struct program_drawing *d, struct program *g, const struct fuzz_area *area)
{
	struct op *op = &g->ops[g->nr];

	/* A larger folio's pages are not missing. In half of the programs all that is shared can be filled. */
	g->nthp = 0;
	if (!area->has_disk || source_draw(&d->src, 2))
		g->nfiles = 0;
	g->locks = false;
	op[0] = (struct op){.id = SC_USERFAULTFD, .pid = 1, .a = {PF_UFFD_USER_MODE_ONLY}};
	op[1] = (struct op){.id = SC_UFFDIO_API, .pid = 1};
	program_uffd_drawn(d, &op[0]);
	program_draw_uffd_api(d, &op[1]);
	g->nr += 2;
	if (g->nfiles)
		begin_files(d, g);
	op[1].a[1] &= PF_UFFD_FEATURE_MOVE - 1;
	op[1].a[2] = PF_UFFD_API;
}

/* Memory that may become huge pages, private or shared. The window is where it begins. */
static void begin_huge(struct program_drawing *d, struct program *g, const struct fuzz_area *area)
{
	uint64_t *a = g->ops[g->nr - 1].a;

	g->huge = area->leaf;
	g->memory = UINT64_C(64) << 20;
	g->nfiles = g->nthp = 0;
	g->locks = g->seals = false;
	/* Where Linux splits a huge page of shared memory it unmaps it, and whoever waits for its pages waits again. */
	g->shares = g->shares && !g->uffd;
	a[1] = 2 * g->huge;
	if (g->shares && source_draw(&d->src, 2))
		a[3] ^= PF_MAP_PRIVATE ^ PF_MAP_SHARED;
}

bool fuzz_begin(struct program_drawing *d, struct program *g, const struct pf_format *fmt,
	const struct fuzz_area *area, uint64_t seed, unsigned steps)
{
	unsigned nthp = 0;

	program_begin(d, g, fmt, seed, steps + PROGRAM_MAX_PID * FUZZ_MAPS);
	g->memory = UINT64_C(16) << 20;
	g->fail_at = 0;
	/* What Linux swaps out, and when, is its own affair: neither side has where to. */
	g->swap = false;
	g->pages = FUZZ_PAGES;
	g->brk_start = area->heap;
	g->top = area->top;
	/* Over the end of a leaf table, as everywhere. */
	g->base = area->base;
	/* One program in three has folios of several pages, none so large that the window is but one. */
	for (unsigned i = 0; i < g->nthp; i++)
		if (g->thp[i].order <= 5)
			g->thp[nthp++] = g->thp[i];
	g->locks = !source_draw(&d->src, 2);
	g->seals = !source_draw(&d->src, 12);
	g->wide = true;
	g->others = area->others;
	g->ksm = area->ksm;
	g->nthp = source_draw(&d->src, 3) ? 0 : nthp;
	g->frees = source_draw(&d->src, 2);
	g->shares = source_draw(&d->src, 3);
	g->nfiles =
		g->shares ? (unsigned)pf_min(source_draw(&d->src, 5), (uint64_t)PROGRAM_FILES) : 0;
	/* Its last page is not whole. */
	g->file_size = FILE_PAGES * d->page - 100;
	g->ops[g->nr++] = (struct op){.id = SC_MMAP,
		.pid = 1,
		.a = {g->base, (g->pages / 2) * d->page, 3,
			PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_FIXED, UINT64_MAX}};
	g->uffd = area->has_uffd && !source_draw(&d->src, 4) &&
		  fmt->pt->pte_supported & PF_PTE_UFFD_WP;
	if (area->collapses && same_tables(area) && !source_draw(&d->src, g->uffd ? 6 : 16))
		begin_huge(d, g, area);
	if (g->uffd)
		begin_uffd(d, g, area);
	return true;
}

/* Whoever loads from there ends at an exception. */
static bool only_executes(const struct op *op)
{
	return (op->id == SC_MMAP || op->id == SC_MPROTECT) && (op->a[2] & 7) == PF_PROT_EXEC;
}

/* Shared memory has no disk to go to, and Linux unmaps it all the same. */
static bool pages_shared_out(const struct program *g, const struct op *op)
{
	return g->shares && ((op->id == SC_MADVISE && op->a[2] == PF_MADV_PAGEOUT) ||
				    (op->id == SC_PROCESS_MADVISE && op->a[3] == PF_MADV_PAGEOUT));
}

#define CANDIDATES 64

/* Now and then a length that few ranges have: none, no multiple of a page, so much that the range wraps. */
static void bend_length(struct program_drawing *d, struct op *op)
{
	const struct program_arg *arg = program_call(op->id)->args[1];
	const bool access =
		op->id == SC_LOAD || op->id == SC_STORE || op->id == SC_TOUCH || op->id == SC_EXEC;

	if (access || !arg || arg->kind != PROGRAM_ARG_HEX || source_draw(&d->src, 6))
		return;
	switch (source_draw(&d->src, 3)) {
	case 0:
		op->a[1] = 0;
		break;
	case 1:
		op->a[1] += 1 + source_draw(&d->src, d->page - 1);
		break;
	default:
		op->a[1] = -d->page * (1 + source_draw(&d->src, 4));
	}
}

/* Every fourth as it comes, so that there is something to do it on; of the others the one that is wanted most. */
void fuzz_draw(struct fuzz_play *y, struct program_drawing *d, struct op *op)
{
	const unsigned most = source_draw(&d->src, 4) ? CANDIDATES : 1;
	double best = -1;

	for (unsigned k = 0; k < most;) {
		struct program_drawing before = *d;
		struct op one;

		program_draw_op(d, &one);
		if (one.id == SC_FORK || one.id == SC_EXIT_GROUP) {
			if (!k) {
				*op = one;
				return;
			}
			before.src = d->src;
			*d = before;
			continue;
		}
		const enum sc_call_id id = one.id;
		const bool prepares = fuzz_aim(y, d, &one);

		if (most > 1)
			bend_length(d, &one);
		if (!fuzz_safe(&y->area, &one) || pages_shared_out(y->g, &one) ||
			(only_executes(&one) && source_draw(&d->src, 64)))
			continue;
		struct run_process *p = run_process(&y->w, one.pid);
		double worth = 0;

		if (p && most > 1 && y->f->cover && prepares)
			worth = fuzz_cover_lacks(y->f->cover, id);
		else if (p && most > 1 && y->f->cover)
			worth = fuzz_cover_worth(y->f->cover, &one, fuzz_kind(&y->w, p, &one),
				fuzz_outlook(&y->w, p, &one));

		if (worth > best) {
			best = worth;
			*op = one;
		}
		k++;
	}
}
