// SPDX-License-Identifier: MIT
/* One configuration: machine, physical memory, address spaces, and the runs that go through them. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/replay.h"
#include "machine/machine.h"

#define NO_PAGE       UINT64_MAX
#define SEGMENT_SHIFT 56
PF_STATIC_ASSERT(REPLAY_SEGMENTS == 1 << (64 - SEGMENT_SHIFT), "the shift of its hash");

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
			pages += (uint64_t)pf_rss(&p->mm.space, PF_RSS_ANON);
		}
	w->result->file_pages_peak = pf_max(w->result->file_pages_peak, replay_file_pages(w));
	w->result->table_bytes = tables;
	w->result->table_bytes_peak = pf_max(w->result->table_bytes_peak, tables);
	w->result->anon_pages_peak = pf_max(w->result->anon_pages_peak, pages);
}

static void add_stats(struct replay_result *r, const struct pf_mm *mm)
{
	const struct pf_pt_stats *t = &mm->space.pt.stats;
	const struct pf_space_stats sum = pf_space_stats(&mm->space), *s = &sum;

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

		if (w->loaded == p) {
			machine_set_root(0, 0, 0);
			w->loaded = NULL;
		}
		pf_mm_exit(&p->mm);
		replay_changed_all(w, p);
		machine_retire_asid(p->asid);
		add_stats(w->result, &p->mm);
	}
	/* Whoever gets the ASID next finds nothing of it. */
	tlbmodel_drop_asid(w->tlb, p->asid);
	w->segments_of = NULL;
	w->by_asid[p->asid] = NULL;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	replay_layout_free(&p->layout);
	replay_layout_free(&p->placed);
	free(p->initial);
	free(p->thread);
	free(p);
}

static bool process_fork(struct replay_world *w, struct replay_process *p, uint32_t stream)
{
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
	replay_changed_all(w, p);
	w->result->forks++;
	note_peaks(w);
	return true;
}

/* ---- runs ---- */

/* Where a recorded page is, shifted by 2, and what backs it; NO_PAGE: the recording does not map it. */
static uint64_t find_page(struct replay_world *w, const struct replay_process *p, uint64_t page)
{
	unsigned slot = (unsigned)((page * UINT64_C(0x9e3779b97f4a7c15)) >> SEGMENT_SHIFT);
	const struct replay_segment *seg = w->segment[slot];

	/* Of the page that had the slot before, and of many others. */
	if (PF_UNLIKELY(!seg || page < seg->start || page >= seg->end)) {
		seg = replay_layout_find(&p->layout, page);
		if (!seg || seg->start > page)
			return NO_PAGE;
		w->segment[slot] = seg;
	}
	return (page + (uint64_t)seg->delta) << 2 | seg->backing;
}

/* The table of the thread whose words come next. The TLB model learns of its places one by one. */
static struct replay_places *places_of(
	struct replay_world *w, struct replay_process *p, uint32_t thread)
{
	if (thread >= p->nr_threads) {
		p->thread = realloc(p->thread, (thread + 1) * sizeof(*p->thread));
		if (!p->thread)
			abort();
		for (; p->nr_threads <= thread; p->nr_threads++)
			for (unsigned i = 0; i < TRACE_WORD_PLACES; i++)
				p->thread[p->nr_threads].page[i] = NO_PAGE;
	}
	if (w->segments_of != p) {
		memset(w->segment, 0, sizeof(w->segment));
		w->segments_of = p;
		w->placed_for = NULL;
	}
	if (w->placed_for != p || w->placed_thread != thread) {
		tlbmodel_displace_all(w->tlb);
		w->placed_for = p;
		w->placed_thread = thread;
	}
	return &p->thread[thread];
}

/* A run at a place that the TLB model has no page for, or of more accesses than a word holds. */
static void play_new(struct replay_world *w, const struct replay_process *p,
	const struct replay_places *t, const trace_word *word)
{
	trace_word run = trace_word_place(*word) == TRACE_WORD_MORE ? word[1] : *word;
	unsigned place = trace_word_place(run);
	uint64_t to = find_page(w, p, t->page[place]);

	if (to == NO_PAGE) {
		tlbmodel_displace(w->tlb, place);
		w->result->unknown_accesses += trace_word_accesses(word);
		return;
	}
	tlbmodel_place(w->tlb, place, to >> 2, p->asid, to & 3);
	replay_xlate_soon(w, to >> 2, p->asid);
	tlbmodel_run_long(w->tlb, run, trace_word_accesses(word));
}

static void play_runs(
	struct replay_world *w, struct replay_process *p, const struct replay_step *step)
{
	struct replay_places *t = places_of(w, p, step->thread);
	const trace_word *word = step->words, *end = word + step->nr_words;

	while (word < end) {
		if (trace_word_place(*word) == TRACE_WORD_PAGE) {
			unsigned place = trace_word_count(*word);

			t->page[place] = trace_word_page(word);
			word += 3;
			/* Its run comes next, as a rule. */
			if (word == end || trace_word_place(*word) != place) {
				tlbmodel_displace(w->tlb, place);
				continue;
			}
		} else {
			word += tlbmodel_run(w->tlb, word, (size_t)(end - word));
			if (word == end || trace_word_place(*word) == TRACE_WORD_PAGE)
				continue;
		}
		play_new(w, p, t, word);
		word += trace_word_length(*word);
	}
}

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
	w->tlb = tlbmodel_new(&c->tlb, replay_translate, w);
	if (!w->by_asid || !w->tlb || !replay_xlate_start(w))
		return replay_fail(w, "no memory");
	w->walk_shift = c->fmt->pt->page_shift - 12u;
	if (machine_start(&mc))
		return replay_fail(w, "the machine does not start: %s", machine_error());
	machine_watch_tlbi(replay_tlbi, w);
	err = pf_phys_init(
		&w->phys, MACHINE_RAM_BASE, c->memory, c->fmt->pt->page_shift, PF_MAX_ORDER);
	if (!err)
		err = pf_system_init(&w->sys, c->fmt, &w->phys, c->features, c->policy);
	if (err)
		return replay_fail(w, "physical memory does not start: error %d", -err);
	w->sys.thp = c->thp;
	/* What the program was given when it was recorded, it has. */
	w->sys.overcommit = PF_OVERCOMMIT_ALWAYS;
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
		w->segments_of = NULL;
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
	replay_files_end(w);
	if (w->tlb) {
		for (unsigned side = 0; side < TLB_SIDES; side++)
			r->tlb[side] = *tlbmodel_counters(w->tlb, side);
		r->dropped = tlbmodel_dropped(w->tlb);
		r->file_accesses = tlbmodel_tagged(w->tlb);
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
	replay_xlate_end(w);
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
