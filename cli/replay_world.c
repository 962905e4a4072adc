// SPDX-License-Identifier: MIT
/* One configuration: machine, physical memory, address spaces, and what the TLB model asks of them. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/replay.h"
#include "machine/machine.h"
#include "pt/pf_pt.h"

/* How often an access may fault before something is wrong. */
#define TRIES 64

bool replay_fail(struct replay_world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->result->error[0])
		return false;
	va_start(ap, fmt);
	vsnprintf(w->result->error, sizeof(w->result->error), fmt, ap);
	va_end(ap);
	return false;
}

void replay_refused(struct replay_world *w, const char *what)
{
	struct replay_result *r = w->result;

	for (unsigned i = 0; i < PF_ARRAY_SIZE(r->refused); i++) {
		if (!r->refused[i].times)
			snprintf(r->refused[i].what, sizeof(r->refused[i].what), "%s", what);
		/* The last place stands for all that found none. */
		if (i + 1 == PF_ARRAY_SIZE(r->refused))
			strcpy(r->refused[i].what, "others");
		if (i + 1 == PF_ARRAY_SIZE(r->refused) || !strcmp(r->refused[i].what, what)) {
			r->refused[i].times++;
			return;
		}
	}
}

/* ---- what the library does to TLBs ---- */

struct replay_before replay_before(void)
{
	return (struct replay_before){
		machine_counters.tlbi, machine_counters.tlbi_pages, machine_counters.table_free};
}

static uint32_t *region_of(struct replay_world *w, uint64_t key)
{
	return &w->region_generation[((key >> 9) * UINT64_C(0x9e3779b97f4a7c15)) >> 52];
}

static uint64_t key_of(const struct replay_process *p, uint64_t page)
{
	return (uint64_t)p->asid << TLB_ASID_SHIFT | page;
}

/*
 * The port counts invalidations and does not pass them on, so their range is the caller's: the pages that
 * the call was about. That forgets nothing that the library's own range would not: a flush lies inside its
 * call's range, and pages of it that the flush leaves out had no translation.
 */
void replay_changed(struct replay_world *w, struct replay_process *p, const struct replay_before *b,
	uint64_t page, uint64_t nr)
{
	bool tables = machine_counters.table_free != b->table_free;

	if (machine_counters.tlbi != b->tlbi)
		tlbmodel_drop(w->tlb, p->asid, page, nr, tables);
	if (nr > 64 * 512) {
		w->generation++;
		return;
	}
	for (uint64_t r = page >> 9; r <= (page + nr - 1) >> 9; r++)
		++*region_of(w, key_of(p, r << 9));
}

void replay_changed_all(
	struct replay_world *w, struct replay_process *p, const struct replay_before *b)
{
	if (machine_counters.tlbi != b->tlbi)
		tlbmodel_drop_asid(w->tlb, p->asid);
	w->generation++;
}

/* ---- address spaces ---- */

void replay_load(struct replay_world *w, struct replay_process *p)
{
	if (w->loaded == p)
		return;
	machine_set_root(0, p->mm.space.pt.root, p->asid);
	w->loaded = p;
}

static struct replay_process *process_of(struct replay_world *w, uint32_t stream)
{
	struct replay_process *p;

	for (p = w->processes; p; p = p->next)
		if (p->stream == stream)
			return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->stream = stream;
	for (p->asid = 1; w->by_asid[p->asid]; p->asid++)
		if (p->asid == UINT16_MAX) {
			free(p);
			replay_fail(w, "more than 65535 processes at once");
			return NULL;
		}
	w->by_asid[p->asid] = p;
	p->next = w->processes;
	w->processes = p;
	return p;
}

bool replay_process_start(struct replay_world *w, struct replay_process *p)
{
	int err = pf_mm_init(&p->mm, &w->sys, p->asid);

	if (err)
		return replay_fail(w, "an address space does not start: error %d", -err);
	p->have_mm = true;
	return true;
}

static void note_peaks(struct replay_world *w)
{
	uint64_t tables = 0, pages = 0;

	for (const struct replay_process *p = w->processes; p; p = p->next)
		if (p->have_mm) {
			tables += p->mm.space.pt.stats.tables;
			pages += (uint64_t)p->mm.space.rss_anon;
		}
	w->result->table_bytes = tables;
	w->result->table_bytes_peak = pf_max(w->result->table_bytes_peak, tables);
	w->result->anon_pages_peak = pf_max(w->result->anon_pages_peak, pages);
}

static void add_stats(struct replay_result *r, const struct pf_mm *mm)
{
	const struct pf_pt_stats *t = &mm->space.pt.stats;
	const struct pf_space_stats *s = &mm->space.stats;

	r->fold += t->fold;
	r->unfold += t->unfold;
	r->fold_failed += t->fold_failed;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(r->unfold_cause); i++)
		r->unfold_cause[i] += t->unfold_cause[i];
	r->spurious += s->spurious_fault;
	r->cow += s->cow;
	for (unsigned i = 0; i < PF_ARRAY_SIZE(r->fault_order); i++)
		r->fault_order[i] += s->fault_order[i];
}

static void process_end(struct replay_world *w, struct replay_process *p)
{
	struct replay_process **at = &w->processes;

	note_peaks(w);
	if (p->have_mm) {
		struct replay_before b = replay_before();

		if (w->loaded == p) {
			machine_set_root(0, 0, 0);
			w->loaded = NULL;
		}
		pf_mm_exit(&p->mm);
		replay_changed_all(w, p, &b);
		machine_retire_asid(p->asid);
		add_stats(w->result, &p->mm);
	}
	/* Whoever gets the ASID next finds nothing of it. */
	tlbmodel_drop_asid(w->tlb, p->asid);
	w->paged_for = NULL;
	w->by_asid[p->asid] = NULL;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	replay_layout_free(&p->layout);
	replay_layout_free(&p->placed);
	free(p->initial);
	free(p);
}

static bool process_fork(struct replay_world *w, struct replay_process *p, uint32_t stream)
{
	struct replay_before b = replay_before();
	struct replay_process *child;
	int err;

	if (!p->have_mm && !replay_place_initial(w, p))
		return false;
	child = process_of(w, stream);
	if (!child)
		return false;
	replay_load(w, p);
	err = pf_fork(&child->mm, &p->mm, child->asid);
	if (err)
		return replay_fail(w, "a fork fails: error %d", -err);
	child->have_mm = child->forked = true;
	child->brk_start = p->brk_start;
	child->brk_delta = p->brk_delta;
	replay_layout_copy(&child->layout, &p->layout);
	replay_layout_copy(&child->placed, &p->placed);
	replay_changed_all(w, p, &b);
	w->result->forks++;
	note_peaks(w);
	return true;
}

/* ---- faults and translations ---- */

static struct machine_fault machine_access(uint64_t va, enum tlb_access access)
{
	uint64_t value;

	if (access == TLB_WRITE)
		return machine_store(va, 0);
	return access == TLB_EXEC ? machine_exec(va) : machine_load(va, &value);
}

/* One fault. False: the access cannot be done. */
static bool fault(struct replay_world *w, struct replay_process *p, uint64_t page,
	enum tlb_access access, enum replay_backing backing)
{
	const struct pf_pt_format *pt = w->cfg->fmt->pt;
	uint64_t block = UINT64_C(1) << (w->walk_shift + pt->cont_shift[0]);
	uint64_t table = UINT64_C(1) << (w->walk_shift + pt->level_bits),
		 nr = 1ull << w->walk_shift;
	struct replay_before b = replay_before();
	uint64_t flushed;

	w->result->faults++;
	w->result->file_faults += backing != REPLAY_ANON;
	switch (pf_handle_mm_fault(&p->mm, page << 12,
		access == TLB_WRITE  ? PF_FAULT_FLAG_WRITE
		: access == TLB_EXEC ? PF_FAULT_FLAG_EXEC
				     : 0)) {
	case PF_FAULT_DONE:
		break;
	case PF_FAULT_OOM:
		w->result->out_of_memory++;
		return replay_fail(w, "%llu bytes of physical memory are not enough (memory=SIZE)",
			(unsigned long long)w->cfg->memory);
	case PF_FAULT_SIGSEGV:
	case PF_FAULT_SIGBUS:
		w->result->signals++;
		return false;
	}
	/* A page was replaced, or a block taken apart, or (of larger leaves) a table's worth. */
	flushed = machine_counters.tlbi_pages - b.tlbi_pages;
	if (flushed > 1)
		nr = flushed <= 2 * PF_BIT(pt->cont_shift[0]) ? block : table;
	replay_changed(w, p, &b, page & ~(nr - 1), nr);
	/* What else changed, a folio's worth at most, held no translation. */
	if (nr < table)
		++*region_of(w, key_of(p, page));
	return true;
}

/*
 * log2 of the bytes of the largest aligned block around the page, up to 2^most leaves, that is mapped by
 * consecutive, aligned frames with equal rights.
 */
static unsigned contiguous(struct replay_process *p, uint64_t va, unsigned leaf, unsigned most)
{
	for (unsigned s = most; s; s--) {
		uint64_t start = va & ~((UINT64_C(1) << (leaf + s)) - 1);
		struct pf_run run;

		if (pf_pt_query(&p->mm.space.pt, start, UINT64_C(1) << s, &run) == 1 &&
			run.nr >= UINT64_C(1) << s &&
			pf_aligned(pf_pte_pfn(run.first), UINT64_C(1) << s))
			return leaf + s;
	}
	return leaf;
}

/* The largest size of one table entry that is not larger than what a TLB may hold for it. */
static unsigned leaf_of(const struct pf_pt_format *pt, unsigned size)
{
	unsigned leaf = pt->page_shift;

	while (leaf + pt->level_bits <= size)
		leaf += pt->level_bits;
	return leaf;
}

static enum replay_backing backing_of(const struct replay_process *p, uint64_t page)
{
	const struct replay_segment *s = replay_layout_find(&p->placed, page);

	return s && s->start <= page ? s->backing : REPLAY_ANON;
}

#define BACKING_SHIFT 28
PF_STATIC_ASSERT(TLB_X_DENY_WRITE < 1 << BACKING_SHIFT, "the backing has bits of its own");

/* Neighbouring pages never share a place. */
static unsigned xlate_slot(uint64_t key)
{
	return (unsigned)(key ^ key >> 17 ^ key >> 34) & (REPLAY_XLATE_CACHE - 1);
}

static __attribute__((noinline)) tlb_xlate_t translate_slow(
	struct replay_world *w, uint64_t page, unsigned asid, enum tlb_access access)
{
	uint64_t key = (uint64_t)asid << TLB_ASID_SHIFT | page;
	const struct pf_pt_format *pt = w->cfg->fmt->pt;
	struct replay_process *p = w->by_asid[asid];
	enum replay_backing backing = backing_of(p, page);
	unsigned leaf, size, slot = xlate_slot(key);
	struct pf_run run;
	tlb_xlate_t x;

	replay_load(w, p);
	for (unsigned tries = 0; machine_access(page << 12, access).fault; tries++) {
		if (tries == TRIES) {
			replay_fail(w, "an access to 0x%llx faults for ever",
				(unsigned long long)page << 12);
			return (tlb_xlate_t){0};
		}
		if (!fault(w, p, page, access, backing))
			return (tlb_xlate_t){0};
	}
	if (pf_pt_query(&p->mm.space.pt, page << 12 & ~(PF_BIT(pt->page_shift) - 1), 1, &run) !=
		1) {
		replay_fail(
			w, "0x%llx was accessed and is not mapped", (unsigned long long)page << 12);
		return (tlb_xlate_t){0};
	}
	size = pf_log2(run.leaf_size);
	leaf = leaf_of(pt, size);
	w->result->file_walks += backing != REPLAY_ANON;
	x = tlb_xlate(leaf, size,
		w->cfg->tlb.l1d.coalesce ? contiguous(p, page << 12, leaf, w->cfg->tlb.l1d.coalesce)
					 : leaf,
		pf_pte_write(run.first) && pf_pte_dirty(run.first));
	/* What may be executed need not be readable. */
	if (access != TLB_EXEC) {
		w->xlated[slot].key = key;
		w->xlated[slot].generation = w->generation + *region_of(w, key);
		w->xlated[slot].x.v = x.v | (uint32_t)backing << BACKING_SHIFT;
	}
	return x;
}

static tlb_xlate_t translate(void *ctx, uint64_t page, unsigned asid, enum tlb_access access)
{
	struct replay_world *w = ctx;
	uint64_t key = (uint64_t)asid << TLB_ASID_SHIFT | page;
	unsigned slot = xlate_slot(key);
	tlb_xlate_t x = w->xlated[slot].x;

	if (w->xlated[slot].key != key || access == TLB_EXEC ||
		w->xlated[slot].generation != w->generation + *region_of(w, key) ||
		(access == TLB_WRITE && (x.v & TLB_X_DENY_WRITE)))
		return translate_slow(w, page, asid, access);
	w->result->file_walks += !!(x.v >> BACKING_SHIFT);
	x.v &= (UINT32_C(1) << BACKING_SHIFT) - 1;
	return x;
}

/* ---- runs ---- */

/* Where a recorded page is; false: the recording does not map it. */
static __attribute__((noinline)) bool find_page(
	struct replay_world *w, const struct replay_process *p, uint64_t page, unsigned slot)
{
	const struct replay_segment *seg = replay_layout_find(&p->layout, page);

	if (!seg || seg->start > page)
		return false;
	w->paged[slot].page = page;
	w->paged[slot].to = (page + (uint64_t)seg->delta) << 2 | seg->backing;
	return true;
}

static void play_piece(struct replay_world *w, const struct replay_process *p,
	const struct trace_run *r, size_t nr)
{
	const uint16_t flags = TLB_RUN_READ | TLB_RUN_WRITE | TLB_RUN_WRITE_FIRST | TLB_RUN_EXEC;
	uint64_t backed = 0;
	size_t n = 0;

	for (const struct trace_run *end = r + nr; r < end; r++) {
		unsigned slot = (unsigned)((r->page * UINT64_C(0x9e3779b97f4a7c15)) >> 55);
		uint64_t to;

		if (PF_UNLIKELY(w->paged[slot].page != r->page) &&
			!find_page(w, p, r->page, slot)) {
			w->result->unknown_accesses += r->count;
			continue;
		}
		to = w->paged[slot].to;
		backed += to & 3 ? r->count : 0;
		w->runs[n++] = (struct tlb_run){.page = to >> 2,
			.count = r->count,
			.flags = (uint16_t)(r->flags & flags),
			.asid = p->asid};
	}
	w->result->file_accesses += backed;
	tlbmodel_run(w->tlb, w->runs, n);
}

static void play_runs(
	struct replay_world *w, const struct replay_process *p, const struct replay_step *step)
{
	if (w->paged_for != p) {
		for (unsigned i = 0; i < REPLAY_PAGE_CACHE; i++)
			w->paged[i].page = UINT64_MAX;
		w->paged_for = p;
	}
	for (size_t at = 0; at < step->nr_runs; at += REPLAY_PIECE)
		play_piece(w, p, step->runs + at, pf_min(step->nr_runs - at, REPLAY_PIECE));
}

PF_STATIC_ASSERT(
	REPLAY_PAGE_CACHE == 1 << 9 && REPLAY_REGIONS == 1 << 12, "the shifts of their hashes");
PF_STATIC_ASSERT(TLB_RUN_READ == TRACE_RUN_READ && TLB_RUN_WRITE == TRACE_RUN_WRITE &&
			 TLB_RUN_WRITE_FIRST == TRACE_RUN_WRITE_FIRST &&
			 TLB_RUN_EXEC == TRACE_RUN_CODE,
	"recordings and the TLB model have the same flags");

/* ---- a configuration from its beginning to its end ---- */

static bool world_start(struct replay_world *w)
{
	const struct replay_config *c = w->cfg;
	struct machine_config mc = {
		.format = c->fmt->pt->name,
		.memory = c->memory,
		.cpus = 1,
		.features = c->features,
		.no_data = true,
	};
	int err;

	w->by_asid = calloc(UINT16_MAX + 1u, sizeof(*w->by_asid));
	w->xlated = calloc(REPLAY_XLATE_CACHE, sizeof(*w->xlated));
	w->region_generation = calloc(REPLAY_REGIONS, sizeof(*w->region_generation));
	w->tlb = tlbmodel_new(&c->tlb, translate, w);
	if (!w->by_asid || !w->xlated || !w->region_generation || !w->tlb)
		return replay_fail(w, "no memory");
	w->generation = 1; /* of nothing that is cached */
	w->walk_shift = c->fmt->pt->page_shift - 12u;
	if (machine_start(&mc))
		return replay_fail(w, "the machine does not start: %s", machine_error());
	err = pf_phys_init(
		&w->phys, MACHINE_RAM_BASE, c->memory, c->fmt->pt->page_shift, PF_MAX_ORDER);
	if (!err)
		err = pf_system_init(&w->sys, c->fmt, &w->phys, c->features, c->policy);
	if (err)
		return replay_fail(w, "physical memory does not start: error %d", -err);
	w->sys.thp = c->thp;
	return true;
}

static bool play_step(struct replay_world *w, const struct replay_step *step)
{
	struct replay_process *p = process_of(w, step->stream);

	if (!p)
		return false;
	/* The mappings of the start are over when they are used or changed. */
	if (!p->have_mm && step->kind != REPLAY_END &&
		!(step->kind == REPLAY_EVENT && step->event.kind < TRACE_EV_MMAP) &&
		!replay_place_initial(w, p))
		return false;
	switch (step->kind) {
	case REPLAY_RUNS:
		play_runs(w, p, step);
		note_peaks(w);
		break;
	case REPLAY_EVENT:
		w->result->events++;
		if (!replay_event(w, p, step))
			return false;
		w->paged_for = NULL;
		note_peaks(w);
		break;
	case REPLAY_FORK:
		w->result->events++;
		return process_fork(w, p, step->child);
	case REPLAY_END:
		process_end(w, p);
		break;
	case REPLAY_DONE:
		break;
	}
	return !w->result->error[0];
}

static void world_end(struct replay_world *w)
{
	struct replay_result *r = w->result;

	while (w->processes)
		process_end(w, w->processes);
	if (w->tlb) {
		for (unsigned side = 0; side < TLB_SIDES; side++)
			r->tlb[side] = *tlbmodel_counters(w->tlb, side);
		r->dropped = tlbmodel_dropped(w->tlb);
	}
	r->tlbi = machine_counters.tlbi;
	r->tlbi_range = machine_counters.tlbi_range;
	r->tlbi_pages = machine_counters.tlbi_pages;
	r->barriers = machine_counters.dsb;
	r->pte_store = machine_counters.pte_store;
	r->pte_xchg = machine_counters.pte_xchg;
	if (w->sys.mm_ids)
		pf_system_exit(&w->sys);
	if (machine_violation())
		replay_fail(w, "rule %s: %s", machine_violation(), machine_violation_text());
	machine_stop();
	tlbmodel_free(w->tlb);
	free(w->by_asid);
	free(w->xlated);
	free(w->region_generation);
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void replay_play(const struct replay_config *cfg, const struct replay_step *(*next)(void *ctx),
	void *ctx, struct replay_result *result)
{
	struct replay_world w = {.cfg = cfg, .result = result};
	double began = seconds_now();
	bool going;

	*result = (struct replay_result){0};
	going = world_start(&w);
	while (going) {
		const struct replay_step *step = next(ctx);

		if (!step || step->kind == REPLAY_DONE)
			break;
		going = play_step(&w, step);
	}
	world_end(&w);
	result->seconds = seconds_now() - began;
	result->ok = !result->error[0];
}
