// SPDX-License-Identifier: MIT
/*
 * What recorded calls do. A call that succeeded when it was recorded is made on the address space of the
 * replay, on what stands there for the addresses it names; one that failed is left out.
 *
 * Where memory goes. layout=recorded: where it was. layout=linux: where Linux would have put it, had the
 * program not run in an emulator, which places mappings upwards and without regard to alignment: what the
 * program left to the kernel goes where the memory manager puts it (top-down, large anonymous maps
 * aligned); what it placed itself inside a mapping keeps its place there; the program, its heap and its
 * stack lie where Linux starts them, without randomisation.
 *
 * A file is as long as it is mapped: what was read behind its end was no mapping's.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cli/replay.h"

#define NO_PAGE UINT64_MAX
/* Lower addresses are those of programs that are not position independent. */
#define FIXED_PROGRAM_MAX (UINT64_C(1) << 30)

static uint64_t pages(uint64_t bytes)
{
	return (bytes >> 12) + !!(bytes & 4095);
}

/* ---- keeping track ---- */

static void track(struct replay_process *p, uint64_t page, uint64_t nr, uint64_t to,
	enum replay_backing backing)
{
	struct replay_segment seg = {
		.start = page, .end = page + nr, .delta = (int64_t)(to - page), .backing = backing};

	replay_layout_add(&p->layout, &seg);
	seg = (struct replay_segment){.start = to, .end = to + nr, .backing = backing};
	replay_layout_add(&p->placed, &seg);
}

static void untrack(struct replay_process *p, uint64_t page, uint64_t nr, uint64_t at)
{
	replay_layout_remove(&p->layout, page, page + nr);
	replay_layout_remove(&p->placed, at, at + nr);
}

/* The first piece of recorded [*page, end) that is mapped: moves *page there. Pages of it, or 0. */
static uint64_t next_piece(
	const struct replay_process *p, uint64_t *page, uint64_t end, struct replay_segment *seg)
{
	const struct replay_segment *s = replay_layout_find(&p->layout, *page);

	if (!s || s->start >= end)
		return 0;
	*seg = *s;
	*page = pf_max(*page, s->start);
	return pf_min(end, s->end) - *page;
}

/* ---- mapping ---- */

static void unmap(struct replay_world *w, struct replay_process *p, uint64_t page, uint64_t nr)
{
	uint64_t end = page + nr, n;
	struct replay_segment seg;

	for (; (n = next_piece(p, &page, end, &seg)); page += n) {
		uint64_t at = page + (uint64_t)seg.delta;

		if (pf_munmap(&p->mm, at << 12, n << 12))
			replay_refused(w, "munmap");
		replay_changed(w, p, at, n);
		untrack(p, page, n, at);
	}
}

/* What is to be mapped. */
struct what {
	unsigned prot, flags; /* of mmap; of the flags, the type and what is `kept` count */
	enum replay_backing backing;
	uint64_t device, inode, offset; /* of a file; bytes */
};

static int64_t do_map(struct replay_world *w, struct replay_process *p, pf_va_t at, uint64_t bytes,
	unsigned fixed, const struct what *what)
{
	const unsigned kept =
		PF_MAP_STACK | PF_MAP_NORESERVE | PF_MAP_POPULATE | PF_MAP_NONBLOCK | PF_MAP_LOCKED;
	const bool shared = what->backing == REPLAY_SHARED ||
			    (what->backing == REPLAY_FILE && (what->flags & PF_MAP_SHARED));
	const unsigned prot = what->prot & (PF_PROT_READ | PF_PROT_WRITE | PF_PROT_EXEC);
	const unsigned flags =
		(what->flags & kept) | fixed | (shared ? PF_MAP_SHARED : PF_MAP_PRIVATE);
	const uint64_t offset = what->offset & ~(PF_BIT(w->cfg->fmt->pt->page_shift) - 1);
	struct pf_file file = {.mode = PF_FILE_READ | PF_FILE_WRITE};

	if (what->backing != REPLAY_FILE)
		return pf_mmap(&p->mm, at, bytes, prot, flags | PF_MAP_ANONYMOUS);
	file.mapping = replay_file(w, what->device, what->inode, offset + bytes);
	if (!file.mapping)
		return -PF_ENOMEM;
	return pf_mmap_file(&p->mm, at, bytes, prot, flags, &file, offset);
}

/*
 * Map nr pages for recorded `page`, at page `to` (NO_PAGE: where the memory manager puts them). What is
 * recorded there has been unmapped.
 */
static bool map(struct replay_world *w, struct replay_process *p, uint64_t page, uint64_t nr,
	uint64_t to, const struct what *what)
{
	const uint64_t bytes = nr << 12;
	int64_t at;

	at = do_map(w, p, to == NO_PAGE ? 0 : to << 12, bytes,
		to == NO_PAGE ? 0 : PF_MAP_FIXED_NOREPLACE, what);
	if (at == -PF_EEXIST || (at < 0 && to != NO_PAGE)) {
		/* Occupied, or beyond what the format's addresses reach. */
		w->result->moved_apart++;
		at = do_map(w, p, 0, bytes, 0, what);
	}
	if (at < 0)
		return replay_fail(w, "mapping %llu pages fails: error %lld",
			(unsigned long long)nr, (long long)-at);
	replay_changed(w, p, (uint64_t)at >> 12, nr);
	track(p, page, nr, (uint64_t)at >> 12, what->backing);
	return true;
}

/* Where something that the program placed itself goes: with what it was placed into, or before. */
static uint64_t place_fixed(struct replay_world *w, const struct replay_process *p, uint64_t page)
{
	const struct replay_segment *s = replay_layout_find(&p->layout, page);

	if (w->cfg->recorded_layout)
		return page;
	if (s && s->start <= page)
		return page + (uint64_t)s->delta;
	/* Right behind a mapping: it may be meant to continue it. */
	s = page ? replay_layout_find(&p->layout, page - 1) : NULL;
	return page + (s && s->start < page ? (uint64_t)s->delta : 0);
}

/* ---- the mappings that a process starts with ---- */

static bool is_stack(const struct trace_event *e)
{
	return (e->args[3] & 15) == TRACE_MAP_STACK;
}

static enum replay_backing backing_at_start(const struct trace_event *e)
{
	if (e->args[3] & TRACE_MAP_SHARED)
		return REPLAY_SHARED;
	return (e->args[3] & 15) == TRACE_MAP_FILE ? REPLAY_FILE : REPLAY_ANON;
}

/* Where a group of nr neighbouring pages goes. */
static uint64_t place_group(
	struct replay_world *w, uint64_t page, uint64_t nr, bool program, bool stack)
{
	const uint64_t top = w->sys.task_size >> 12;

	if (w->cfg->recorded_layout)
		return page;
	/* Linux's ELF_ET_DYN_BASE: two thirds of the addresses. */
	if (program)
		return page << 12 < FIXED_PROGRAM_MAX ? page : top / 3 * 2;
	if (stack)
		return top - 1 - nr;
	return NO_PAGE;
}

/* One group: a place for all of it, then each mapping in it. */
static bool place(struct replay_world *w, struct replay_process *p, const struct replay_step *step,
	size_t n, bool program)
{
	uint64_t page = step[0].event.args[0] >> 12, end, to;
	bool stack = false;

	for (size_t i = 0; i < n; i++)
		stack |= is_stack(&step[i].event);
	end = (step[n - 1].event.args[0] >> 12) + pages(step[n - 1].event.args[1]);
	to = place_group(w, page, end - page, program, stack);
	/* Found by mapping all of it once, so that the parts end up side by side. */
	if (to == NO_PAGE) {
		int64_t at = pf_mmap(&p->mm, 0, (end - page) << 12, PF_PROT_NONE,
			PF_MAP_PRIVATE | PF_MAP_ANONYMOUS | PF_MAP_NORESERVE);

		if (at < 0 || pf_munmap(&p->mm, (pf_va_t)at, (end - page) << 12))
			return replay_fail(w,
				"no place for the %llu pages of a mapping of the start",
				(unsigned long long)(end - page));
		to = (uint64_t)at >> 12;
	}
	for (size_t i = 0; i < n; i++) {
		const struct trace_event *e = &step[i].event;
		uint64_t from = e->args[0] >> 12;
		/* Stacks grow, and get no large folios. */
		const struct what what = {
			.prot = (unsigned)e->args[2],
			.flags = is_stack(e) ? PF_MAP_STACK : 0,
			.backing = backing_at_start(e),
			.offset = e->args[4],
			.device = e->args[5],
			.inode = e->args[6],
		};

		if (!map(w, p, from, pages(e->args[1]), to + (from - page), &what))
			return false;
	}
	return true;
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = ((const struct replay_step *)a)->event.args[0];
	uint64_t y = ((const struct replay_step *)b)->event.args[0];

	return x < y ? -1 : x > y;
}

bool replay_place_initial(struct replay_world *w, struct replay_process *p)
{
	size_t n;

	if (!replay_process_start(w, p))
		return false;
	if (p->nr_initial)
		qsort(p->initial, p->nr_initial, sizeof(*p->initial), by_address);
	for (size_t i = 0; i < p->nr_initial; i += n) {
		const struct replay_step *s = &p->initial[i];
		bool program = s->own_program;

		for (n = 1; i + n < p->nr_initial; n++) {
			const struct trace_event *before = &s[n - 1].event;

			if (before->args[0] + (pages(before->args[1]) << 12) != s[n].event.args[0])
				break;
			/* Neighbours by chance. */
			if (is_stack(before) || is_stack(&s[n].event) ||
				(s[n].own_program && !program))
				break;
		}
		if (!place(w, p, s, n, program))
			return false;
	}
	free(p->initial);
	p->initial = NULL;
	p->nr_initial = p->room_initial = 0;
	return true;
}

static void keep_initial(struct replay_process *p, const struct replay_step *step)
{
	if (p->nr_initial == p->room_initial) {
		p->room_initial = p->room_initial ? 2 * p->room_initial : 32;
		p->initial = realloc(p->initial, p->room_initial * sizeof(*p->initial));
		if (!p->initial)
			abort();
	}
	p->initial[p->nr_initial++] = *step;
}

/* ---- calls ---- */

static bool do_mmap(struct replay_world *w, struct replay_process *p, const struct trace_event *e)
{
	uint64_t page = (uint64_t)e->result >> 12, nr = pages(e->args[1]), flags = e->args[3];
	struct what what = {.prot = (unsigned)e->args[2], .flags = (unsigned)flags};
	uint64_t to = NO_PAGE;

	if (!nr)
		return true;
	if (!(flags & PF_MAP_ANONYMOUS)) {
		what.backing = REPLAY_FILE;
		what.offset = e->args[5];
		what.device = e->nr_args > 7 ? e->args[6] : 0;
		what.inode = e->nr_args > 7 ? e->args[7] : 0;
	} else if ((flags & PF_MAP_TYPE) != PF_MAP_PRIVATE) {
		what.backing = REPLAY_SHARED;
	}
	/* A hint that was followed is a wish. */
	if (w->cfg->recorded_layout || flags & (PF_MAP_FIXED | PF_MAP_FIXED_NOREPLACE) ||
		(e->args[0] && e->args[0] >> 12 == page))
		to = place_fixed(w, p, page);
	unmap(w, p, page, nr);
	return map(w, p, page, nr, to, &what);
}

static bool do_shmat(struct replay_world *w, struct replay_process *p, const struct trace_event *e)
{
	uint64_t page = (uint64_t)e->result >> 12;

	if (e->nr_args < 4) {
		replay_refused(w, "shmat of unknown size");
		return true;
	}
	/* SHM_RDONLY; each attachment is memory of its own, which a child shares. */
	const struct what what = {
		.prot = e->args[2] & 010000 ? PF_PROT_READ : PF_PROT_READ | PF_PROT_WRITE,
		.backing = REPLAY_SHARED};

	unmap(w, p, page, pages(e->args[3]));
	return map(w, p, page, pages(e->args[3]), w->cfg->recorded_layout ? page : NO_PAGE, &what);
}

/* All of the segment that starts there: a detach names no size. */
static void do_shmdt(struct replay_world *w, struct replay_process *p, const struct trace_event *e)
{
	const struct replay_segment *s = replay_layout_find(&p->layout, e->args[0] >> 12);

	if (s && s->start == e->args[0] >> 12 && s->backing == REPLAY_SHARED)
		unmap(w, p, s->start, s->end - s->start);
	else
		replay_refused(w, "shmdt");
}

static void do_mprotect(
	struct replay_world *w, struct replay_process *p, const struct trace_event *e)
{
	uint64_t page = e->args[0] >> 12, end = page + pages(e->args[1]), n;
	struct replay_segment seg;

	for (; (n = next_piece(p, &page, end, &seg)); page += n) {
		uint64_t at = page + (uint64_t)seg.delta;

		if (pf_mprotect(&p->mm, at << 12, n << 12, e->args[2] & 7))
			replay_refused(w, "mprotect");
		replay_changed(w, p, at, n);
	}
}

static void do_madvise(struct replay_world *w, struct replay_process *p, uint64_t addr,
	uint64_t len, uint64_t advice)
{
	uint64_t page = addr >> 12, end = page + pages(len), n;
	struct replay_segment seg;

	for (; (n = next_piece(p, &page, end, &seg)); page += n) {
		uint64_t at = page + (uint64_t)seg.delta;
		char what[32];

		if (pf_madvise(&p->mm, at << 12, n << 12, (int)advice)) {
			snprintf(what, sizeof(what), "madvise %llu", (unsigned long long)advice);
			replay_refused(w, what);
		}
		replay_changed(w, p, at, n);
	}
}

/* From one segment, which keeps its backing. */
static bool do_mremap(struct replay_world *w, struct replay_process *p, const struct trace_event *e)
{
	uint64_t page = e->args[0] >> 12, nr = pages(e->args[1]), new_nr = pages(e->args[2]);
	uint64_t result = (uint64_t)e->result >> 12, from = page, n, at, to = NO_PAGE;
	unsigned flags = (unsigned)e->args[3] & PF_MREMAP_DONTUNMAP;
	struct replay_segment seg;
	int64_t got;

	const struct what writable = {.prot = PF_PROT_READ | PF_PROT_WRITE};

	n = next_piece(p, &from, page + pf_max(nr, 1), &seg);
	if (!n || from != page || n < nr) {
		replay_refused(w, "mremap across mappings");
		unmap(w, p, page, nr);
		if (result != page)
			unmap(w, p, result, new_nr);
		return map(w, p, result, new_nr, NO_PAGE, &writable);
	}
	at = page + (uint64_t)seg.delta;
	if (result != page) {
		if (e->args[3] & PF_MREMAP_FIXED || w->cfg->recorded_layout)
			to = place_fixed(w, p, result);
		unmap(w, p, result, new_nr);
		flags |= PF_MREMAP_MAYMOVE | (to != NO_PAGE ? PF_MREMAP_FIXED : 0);
	} else if (!w->cfg->recorded_layout) {
		/* What could grow where it was may have a neighbour here. */
		flags |= PF_MREMAP_MAYMOVE;
	}
	got = pf_mremap(
		&p->mm, at << 12, nr << 12, new_nr << 12, flags, to == NO_PAGE ? 0 : to << 12);
	replay_changed(w, p, at, nr);
	if (got < 0)
		return replay_fail(w, "an mremap of %llu pages to %llu fails: error %lld",
			(unsigned long long)nr, (unsigned long long)new_nr, (long long)-got);
	/* nr 0: a second mapping of shared memory. */
	if (!(flags & PF_MREMAP_DONTUNMAP) && nr)
		untrack(p, page, nr, at);
	track(p, result, new_nr, (uint64_t)got >> 12, seg.backing);
	return true;
}

/*
 * The heap. Where it starts is known from the first brk(); behind the program, as Linux has it without
 * randomisation, if that is there.
 */
static bool do_brk(struct replay_world *w, struct replay_process *p, const struct trace_event *e)
{
	uint64_t brk = (uint64_t)e->result, old, new_page;
	pf_va_t got;

	if (!p->brk_start) {
		uint64_t page = brk >> 12;
		/* The last mapping below it is the program's end, if it is near. */
		const struct replay_segment *s = NULL;

		for (size_t i = 0;
			i < p->layout.nr && p->layout.seg[i].end <= page + !!(brk & 4095); i++)
			s = &p->layout.seg[i];
		p->brk_start = brk;
		if (s && !w->cfg->recorded_layout && page - s->end < 1 << 20)
			p->brk_delta = s->delta * 4096;
		pf_set_brk_start(&p->mm, brk + (uint64_t)p->brk_delta);
		return true;
	}
	old = p->mm.brk - (uint64_t)p->brk_delta;
	if (brk == old || brk < p->brk_start)
		return true;
	got = pf_brk(&p->mm, brk + (uint64_t)p->brk_delta);
	if (got != brk + (uint64_t)p->brk_delta)
		return replay_fail(
			w, "the heap cannot be moved to 0x%llx", (unsigned long long)brk);
	old = pages(old);
	new_page = pages(brk);
	if (new_page > old) {
		track(p, old, new_page - old, old + (uint64_t)(p->brk_delta >> 12), REPLAY_ANON);
	} else if (new_page < old) {
		uint64_t at = new_page + (uint64_t)(p->brk_delta >> 12);

		replay_changed(w, p, at, old - new_page);
		untrack(p, new_page, old - new_page, at);
	}
	return true;
}

bool replay_event(struct replay_world *w, struct replay_process *p, const struct replay_step *step)
{
	const struct trace_event *e = &step->event;

	if (e->kind == TRACE_EV_MAP) {
		/* Of a child whose parent was played, they are there already. */
		if (!p->have_mm)
			keep_initial(p, step);
		return true;
	}
	if (e->kind < TRACE_EV_MMAP || e->result < 0)
		return true;
	replay_load(w, p);
	switch (e->kind) {
	case TRACE_EV_MMAP:
		return do_mmap(w, p, e);
	case TRACE_EV_MUNMAP:
		unmap(w, p, e->args[0] >> 12, pages(e->args[1]));
		break;
	case TRACE_EV_MREMAP:
		return do_mremap(w, p, e);
	case TRACE_EV_MPROTECT:
	case TRACE_EV_PKEY_MPROTECT:
		do_mprotect(w, p, e);
		break;
	case TRACE_EV_MADVISE:
		do_madvise(w, p, e->args[0], e->args[1], e->args[2]);
		break;
	case TRACE_EV_BRK:
		return do_brk(w, p, e);
	case TRACE_EV_SHMAT:
		return do_shmat(w, p, e);
	case TRACE_EV_SHMDT:
		do_shmdt(w, p, e);
		break;
	case TRACE_EV_MSYNC:
	case TRACE_EV_MINCORE:
	case TRACE_EV_SET_MEMPOLICY:
	case TRACE_EV_PRCTL:
	case TRACE_EV_USERFAULTFD:
		break; /* no change of mappings that is modelled */
	default:
		replay_refused(w, trace_event_name(e->kind));
		break;
	}
	return true;
}
