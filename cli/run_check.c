// SPDX-License-Identifier: MIT
/* What holds between statements, and what a call that failed must leave as it was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"
#include "mm/rmap.h"

void *run_resize(void *p, size_t bytes)
{
	p = realloc(p, bytes);
	if (!p)
		abort();
	return p;
}

/* ---- present pages ---- */

typedef bool visit_fn(
	void *ctx, struct run_process *p, uint64_t va, const struct pf_page_info *info);

/* The pages of [va, va + nr pages) whose entries are neither empty nor present. */
static bool each_softleaf(struct run_world *w, struct run_process *p, uint64_t va, uint64_t nr,
	visit_fn *fn, void *ctx)
{
	const uint64_t end = va + nr * w->env.page;
	struct pf_page_info info = {0};

	for (; va < end &&
		w->cfg->fmt->next_softleaf(&p->mm.space, &va, (end - va) / w->env.page, &info.pte);
		va += w->env.page)
		if (!fn(ctx, p, va, &info))
			return false;
	return true;
}

/* Every page of the process's mappings whose entry is not empty, ascending. */
static bool each_page(struct run_world *w, struct run_process *p, visit_fn *fn, void *ctx)
{
	struct pf_vma_info v;

	for (uint64_t at = 0; pf_find_vma_info(&p->mm, at, &v); at = v.area.end) {
		for (uint64_t va = v.area.start; va < v.area.end;) {
			uint64_t max = (v.area.end - va) / w->env.page;
			bool present;
			uint64_t nr = w->cfg->fmt->run_of(
				&p->mm.space, va, max, PF_RUN_PRESENT, &present);

			if (!present && !each_softleaf(w, p, va, nr, fn, ctx))
				return false;
			for (uint64_t i = 0; i < nr && present; i++) {
				struct pf_page_info info;

				pf_page_info(&p->mm, va + i * w->env.page, &info);
				if (!fn(ctx, p, va + i * w->env.page, &info))
					return false;
			}
			va += nr * w->env.page;
		}
		if (v.area.end < v.area.start)
			break;
	}
	return true;
}

static uint64_t word_of(struct run_world *w, pf_pte_t pte)
{
	uint64_t word;

	if (pf_pte_kind(pte) == PF_PTE_SWAP)
		return run_swap_word(w, pte);
	memcpy(&word, pf_port_virt(pf_pte_pfn(pte) * w->env.page), sizeof(word));
	return word;
}

/* ---- after every statement ---- */

bool run_check_machine(struct run_world *w)
{
	const char *rule = machine_violation();

	if (w->table_wrong)
		return run_fail(w,
			"expected entries that agree with what they map, found of frame 0x%llx: %s",
			(unsigned long long)w->table_wrong_pfn, w->table_wrong);
	if (!rule)
		return true;
	run_fail(w, "expected no rule broken, found %s", rule);
	char *text = strdup(machine_violation_text()), *save = NULL;

	if (!text)
		abort();
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		run_detail(w, "%s", l);
	free(text);
	return false;
}

/* Who moves a page gives it its entries back before the call is over: nobody is left who would. */
static bool has_arrived(
	void *ctx, struct run_process *p, uint64_t va, const struct pf_page_info *info)
{
	struct run_world *w = ctx;

	if (pf_pte_kind(info->pte) != PF_PTE_MIGRATION)
		return true;
	run_fail(w,
		"expected no page on its way to another frame, found a migration entry at 0x%llx "
		"of process %u",
		(unsigned long long)va, p->pid);
	run_show_entries(w, p, va);
	return false;
}

bool run_check_arrived(struct run_world *w)
{
	bool ok = true;

	for (struct run_process *p = w->processes; ok && p; p = p->next)
		RUN_UNCOUNTED(ok = each_page(w, p, has_arrived, w));
	return ok;
}

struct page_of {
	pf_pfn_t pfn;
	uint64_t va;
	unsigned pid;
	bool exclusive;
};

struct pages {
	struct run_world *w;
	struct page_of *page;
	size_t nr, room;
};

static bool check_page(
	void *ctx, struct run_process *p, uint64_t va, const struct pf_page_info *info)
{
	struct pages *all = ctx;

	bool present = pf_pte_present(info->pte);

	if (!present && pf_pte_kind(info->pte) != PF_PTE_SWAP)
		return true;
	if (!run_check_value(all->w, p, va, word_of(all->w, info->pte)))
		return false;
	if (!present || pf_pte_special(info->pte))
		return true;
	if (all->nr == all->room) {
		all->room = all->room ? 2 * all->room : 256;
		all->page = realloc(all->page, all->room * sizeof(*all->page));
		if (!all->page)
			abort();
	}
	all->page[all->nr++] = (struct page_of){pf_pte_pfn(info->pte), va, p->pid, info->exclusive};
	return true;
}

static int by_frame(const void *a, const void *b)
{
	const struct page_of *x = a, *y = b;

	return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

/* G2: an exclusive page is mapped once, in one address space. */
static bool check_exclusive(struct pages *all)
{
	qsort(all->page, all->nr, sizeof(*all->page), by_frame);
	for (size_t i = 1; i < all->nr; i++) {
		const struct page_of *a = &all->page[i - 1], *b = &all->page[i];

		if (a->pfn == b->pfn && (a->exclusive || b->exclusive))
			return run_fail(all->w,
				"expected an exclusive page to be mapped once, found frame 0x%llx "
				"at "
				"0x%llx of process %u and at 0x%llx of process %u",
				(unsigned long long)a->pfn, (unsigned long long)a->va, a->pid,
				(unsigned long long)b->va, b->pid);
	}
	return true;
}

static bool check_pages(struct run_world *w)
{
	struct pages all = {.w = w};
	bool ok = true;

	for (struct run_process *p = w->processes; ok && p; p = p->next)
		ok = each_page(w, p, check_page, &all);
	ok = ok && (!all.nr || check_exclusive(&all));
	free(all.page);
	return ok;
}

static bool same_mapping(
	const struct run_process *p, const struct pf_vma_info *v, const struct oracle_map *m)
{
	uint32_t f = v->area.flags;
	unsigned shift = p->mm.sys->fmt->pt->page_shift;

	return v->area.start == m->start && v->area.end == m->end &&
	       (f & (PF_VM_READ | PF_VM_WRITE | PF_VM_EXEC)) == m->prot &&
	       m->hugepage == !!(f & PF_VM_HUGEPAGE) && m->nohugepage == !!(f & PF_VM_NOHUGEPAGE) &&
	       m->dontfork == !!(f & PF_VM_DONTCOPY) && m->wipeonfork == !!(f & PF_VM_WIPEONFORK) &&
	       m->locked == !!(f & PF_VM_LOCKED) && m->shared == !!(f & PF_VM_MAYSHARE) &&
	       m->anonymous == !v->mapping && (m->anonymous || v->area.pgoff << shift == m->offset);
}

/* Mapping by mapping, those of the library and the model's: the first that differs, each NULL if there is none. */
static bool differing_map(struct run_process *p, const struct oracle *o, struct pf_vma_info *v,
	bool *lib, struct oracle_map *m, bool *model)
{
	uint64_t at = 0;

	for (;; at = m->end) {
		*lib = pf_find_vma_info(&p->mm, at, v);
		*model = oracle_find(o, p->pid, at, m);
		if (!*lib && !*model)
			return false;
		if (!*lib || !*model || !same_mapping(p, v, m))
			return true;
	}
}

bool run_maps_agree(struct run_process *p, const struct oracle *o)
{
	struct pf_vma_info v;
	struct oracle_map m;
	bool lib, model;

	return !differing_map(p, o, &v, &lib, &m, &model);
}

static void describe_map(bool is, uint64_t start, uint64_t end, unsigned prot, const char *advice,
	char *text, size_t size)
{
	if (is)
		snprintf(text, size, "%llx-%llx %c%c%c%s", (unsigned long long)start,
			(unsigned long long)end, prot & 1 ? 'r' : '-', prot & 2 ? 'w' : '-',
			prot & 4 ? 'x' : '-', advice);
	else
		snprintf(text, size, "no more mappings");
}

static bool check_maps(struct run_world *w, struct run_process *p)
{
	struct pf_vma_info v = {0};
	struct oracle_map m = {0};
	char want[128], got[128];
	bool lib, model;

	if (!differing_map(p, w->oracle, &v, &lib, &m, &model))
		return true;
	describe_map(model, m.start, m.end, m.prot,
		m.hugepage     ? " hugepage"
		: m.nohugepage ? " nohugepage"
		: m.dontfork   ? " dontfork"
		: m.wipeonfork ? " wipeonfork"
		: m.locked     ? " locked"
			       : "",
		want, sizeof(want));
	describe_map(lib, v.area.start, v.area.end, v.area.flags & 7,
		v.area.flags & PF_VM_HUGEPAGE     ? " hugepage"
		: v.area.flags & PF_VM_NOHUGEPAGE ? " nohugepage"
		: v.area.flags & PF_VM_DONTCOPY   ? " dontfork"
		: v.area.flags & PF_VM_WIPEONFORK ? " wipeonfork"
		: v.area.flags & PF_VM_LOCKED     ? " locked"
						  : "",
		got, sizeof(got));
	return run_fail(
		w, "expected process %u to have, as in Linux, %s, found %s", p->pid, want, got);
}

static bool check_all(struct run_world *w)
{
	for (struct run_process *p = w->processes; p; p = p->next) {
		const char *wrong = pf_mm_check(&p->mm);

		if (wrong)
			return run_fail(
				w, "expected process %u in order, found: %s", p->pid, wrong);
		if (!check_maps(w, p) || !run_uffd_check(w, p))
			return false;
		machine_check_quiescent(p->asid);
	}
	return check_pages(w) && run_check_machine(w);
}

static bool check_rmap(struct run_world *w)
{
	const char *bad = pf_rmap_check(&w->sys);

	return !bad || run_fail(w, "expected every page to be found by its folio, found %s", bad);
}

bool run_check(struct run_world *w)
{
	bool ok;

	RUN_UNCOUNTED(ok = run_check_machine(w) && check_all(w) && check_rmap(w));
	return ok;
}

/* ---- what a failed call must leave ---- */

struct snap_page {
	uint64_t va, pte, word;
	uint8_t order;
	bool exclusive;
	bool shared; /* a mapping's, which other processes may store to */
	bool lazy;   /* freed lazily */
};

struct snap_process {
	unsigned pid;
	int64_t rss;
	uint64_t total_vm, brk;
	struct pf_vma_info *vmas;
	size_t nvmas;
	struct snap_page *pages;
	size_t npages, room;
};

struct run_snapshot {
	struct run_world *w;
	struct snap_process *of; /* the one being filled */
	struct snap_process *processes;
	size_t nr;
	uint64_t swap_reads;
};

static bool snap_page(
	void *ctx, struct run_process *p, uint64_t va, const struct pf_page_info *info)
{
	struct run_snapshot *s = ctx;
	struct snap_process *sp = s->of;
	const struct pf_folio *folio = pf_pte_present(info->pte) && !pf_pte_special(info->pte)
					       ? pf_page_folio(&s->w->phys, pf_pte_pfn(info->pte))
					       : NULL;

	(void)p;
	if (sp->npages == sp->room) {
		sp->room = sp->room ? 2 * sp->room : 64;
		sp->pages = run_resize(sp->pages, sp->room * sizeof(*sp->pages));
	}
	sp->pages[sp->npages++] = (struct snap_page){
		.va = va,
		.pte = pf_pte_present(info->pte) ? info->pte.v & ~(PF_PTE_A | PF_PTE_D)
						 : info->pte.v,
		.word = pf_pte_present(info->pte) || pf_pte_kind(info->pte) == PF_PTE_SWAP
				? word_of(s->w, info->pte)
				: 0,
		.order = info->order,
		.exclusive = info->exclusive,
		.shared = folio && pf_folio_is_file(folio),
		.lazy = folio && pf_folio_test_flags(folio, PF_FOLIO_LAZYFREE),
	};
	return true;
}

static void snap_process(struct run_snapshot *s, struct run_process *p)
{
	struct pf_vma_info v;
	struct snap_process *sp;

	s->processes = run_resize(s->processes, (s->nr + 1) * sizeof(*s->processes));
	sp = &s->processes[s->nr++];
	*sp = (struct snap_process){.pid = p->pid,
		.rss = pf_space_rss(&p->mm.space) + pf_rss(&p->mm.space, PF_RSS_SWAP),
		.total_vm = p->mm.total_vm,
		.brk = p->mm.brk};
	for (uint64_t at = 0; pf_find_vma_info(&p->mm, at, &v); at = v.area.end) {
		sp->vmas = run_resize(sp->vmas, (sp->nvmas + 1) * sizeof(v));
		sp->vmas[sp->nvmas++] = v;
	}
	s->of = sp;
	each_page(s->w, p, snap_page, s);
}

struct run_snapshot *run_snapshot(struct run_world *w)
{
	struct run_snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->w = w;
	s->swap_reads = w->swap_reads;
	RUN_UNCOUNTED(
		for (struct run_process *p = w->processes; p; p = p->next) snap_process(s, p));
	return s;
}

void run_snapshot_free(struct run_snapshot *s)
{
	for (size_t i = 0; s && i < s->nr; i++) {
		free(s->processes[i].vmas);
		free(s->processes[i].pages);
	}
	if (s)
		free(s->processes);
	free(s);
}

static bool same_vmas(
	struct run_world *w, const struct snap_process *a, const struct snap_process *b)
{
	for (size_t i = 0; i < a->nvmas || i < b->nvmas; i++) {
		const struct pf_vma_info *x = i < a->nvmas ? &a->vmas[i] : NULL;
		const struct pf_vma_info *y = i < b->nvmas ? &b->vmas[i] : NULL;

		if (x && y && x->area.start == y->area.start && x->area.end == y->area.end &&
			x->area.flags == y->area.flags && x->area.prot == y->area.prot &&
			x->area.pgoff == y->area.pgoff)
			continue;
		return run_fail(w,
			"expected the failed call to leave mapping %llx-%llx (flags 0x%x), found "
			"%llx-%llx (0x%x)",
			(unsigned long long)(x ? x->area.start : 0),
			(unsigned long long)(x ? x->area.end : 0), x ? x->area.flags : 0,
			(unsigned long long)(y ? y->area.start : 0),
			(unsigned long long)(y ? y->area.end : 0), y ? y->area.flags : 0);
	}
	return true;
}

/*
 * What nobody sees: the page was swapped, and is in memory now, or so that another process knows it, for an access brings it
 * in before it may find that there is no memory for a copy; or the other way round, for who finds no memory reclaims some; or
 * both, one after the other, and the page has another frame: then something was read from swap.
 */
static bool swapped_meanwhile(const struct snap_page *x, const struct snap_page *y, bool read)
{
	const pf_pte_t was = pf_pte(x->pte), is = pf_pte(y->pte);

	if (x->word != y->word)
		return false;
	if (pf_pte_present(was) && pf_pte_present(is))
		return read && !((was.v ^ is.v) & ~PF_PTE_FRAME) && x->exclusive == y->exclusive;
	return (pf_pte_kind(was) == PF_PTE_SWAP && pf_pte_present(is)) ||
	       (pf_pte_kind(is) == PF_PTE_SWAP && pf_pte_present(was));
}

/*
 * The first page of one list that the other has not, or has otherwise; pages of the range aside. stored: a part of a range
 * of stores was done, and shows to whoever shares a page with it. read: something was, from swap. *gone: pages that reclaim took and no entry tells of.
 */
static bool same_pages(struct run_world *w, const struct snap_process *a,
	const struct snap_process *b, uint64_t va, uint64_t nr, bool cow, bool stored, bool read,
	int64_t *gone)
{
	/* Of a page, W; of a swap entry, what stands for AnonExclusive. */
	uint64_t ignore = cow ? PF_PTE_W | PF_PTE_EXCLUSIVE : 0;
	size_t i = 0, j = 0;

	while (i < a->npages || j < b->npages) {
		const struct snap_page *x = i < a->npages ? &a->pages[i] : NULL;
		const struct snap_page *y = j < b->npages ? &b->pages[j] : NULL;

		if (x && y && x->va != y->va) {
			if (x->va < y->va)
				y = NULL;
			else
				x = NULL;
		}
		i += x != NULL;
		j += y != NULL;
		uint64_t at = x ? x->va : y->va;

		/* What was dealt with before brought its neighbours of the same folio. */
		if ((at - va) / w->env.page < nr || (nr && !x))
			continue;
		const bool same_word =
			x && y && (x->word == y->word || (stored && x->shared && y->shared));

		/* A fault that finds no memory splits folios of which a part is mapped: entries stay. */
		if (x && y && !((x->pte ^ y->pte) & ~ignore) && same_word && y->order <= x->order &&
			(cow || x->exclusive == y->exclusive))
			continue;
		if (x && y && swapped_meanwhile(x, y, read))
			continue;
		if (x && !y && (x->shared || x->lazy)) {
			++*gone;
			continue;
		}
		run_fail(w,
			"expected the failed call to leave the entry of 0x%llx as it was: %llx%s, "
			"found "
			"%llx%s",
			(unsigned long long)at, (unsigned long long)(x ? x->pte : 0),
			x && x->exclusive ? " exclusive" : "", (unsigned long long)(y ? y->pte : 0),
			y && y->exclusive ? " exclusive" : "");
		run_show_entries(w, run_process(w, a->pid), at);
		return false;
	}
	return true;
}

bool run_unchanged(struct run_world *w, const struct run_snapshot *before, unsigned but,
	uint64_t va, uint64_t nr, bool cow)
{
	struct run_snapshot *now = run_snapshot(w);
	bool ok = now->nr == before->nr;

	if (!ok)
		run_fail(w, "expected the failed call to leave %zu processes, found %zu",
			before->nr, now->nr);
	for (size_t i = 0; ok && i < now->nr; i++) {
		const struct snap_process *a = &before->processes[i], *b = &now->processes[i];
		bool mine = a->pid == but;
		int64_t gone = 0;

		ok = same_vmas(w, a, b) && same_pages(w, a, b, va, mine ? nr : 0, mine && cow, nr,
						   now->swap_reads > before->swap_reads, &gone);
		if (ok && (a->total_vm != b->total_vm || a->brk != b->brk ||
				  (!(mine && nr) && a->rss - gone != b->rss)))
			ok = run_fail(w,
				"expected the failed call to leave rss %lld, total_vm %llu, brk "
				"0x%llx, found "
				"%lld, %llu, 0x%llx",
				(long long)a->rss, (unsigned long long)a->total_vm,
				(unsigned long long)a->brk, (long long)b->rss,
				(unsigned long long)b->total_vm, (unsigned long long)b->brk);
	}
	run_snapshot_free(now);
	return ok;
}
