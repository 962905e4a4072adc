/* SPDX-License-Identifier: MIT */
/*
 * mmu_gather. The one order that everything here serves: unhook the entry, invalidate, then free.
 *
 * A mapping is a reference (phys/folio.h), and the gather keeps both until after the flush: then
 * one atomic per folio drops them together.
 */
#include "tlb/gather.h"

#include "phys/phys.h"
#include "phys/rmap.h"

static void reset_range(struct pf_gather *g)
{
	g->start = ~(pf_va_t)0;
	g->last = 0;
	g->cleared_ptes = false;
	g->freed_tables = false;
}

static void init(struct pf_gather *g, struct pf_space *space, bool fullmm)
{
	g->space = space;
	g->fullmm = fullmm;
	g->dead = fullmm;
	g->forgotten = false;
	g->apart = false;
	g->nr = 0;
	g->first = g->active = NULL;
	g->batches = 0;
	g->tables = NULL;
	reset_range(g);
	/* Before any entry changes, so that who reads it under a table lock after us sees it (7.5).
	 */
	pf_add_return(&space->tlb_flush_pending, 1);
}

void pf_tlb_gather_mmu(struct pf_gather *g, struct pf_space *space)
{
	init(g, space, false);
}

void pf_tlb_gather_mmu_fullmm(struct pf_gather *g, struct pf_space *space)
{
	init(g, space, true);
}

void pf_tlb_start_vma(struct pf_gather *g)
{
	g->apart = true;
}

static void grow(struct pf_gather *g, pf_va_t va, uint64_t nr)
{
	pf_va_t last = va + (nr << g->space->pt.fmt->page_shift) - 1;

	/* Gathered ranges end below 2^64, and none begins at 0: neither sum wraps. */
	if (g->apart && !g->fullmm && (va > g->last + 1 || last + 1 < g->start))
		pf_tlb_flush_mmu_tlbonly(g);
	g->apart = false;
	if (va < g->start)
		g->start = va;
	if (last > g->last)
		g->last = last;
}

void pf_tlb_remove_tlb_entries(struct pf_gather *g, pf_va_t va, uint64_t nr)
{
	grow(g, va, nr);
	g->cleared_ptes = true;
}

void pf_tlb_remove_table(struct pf_gather *g, struct pf_table *table, pf_va_t va)
{
	/* One page's worth of invalidation forgets all table entries above it (rule 6.6). */
	grow(g, va, 1);
	table->next = g->tables;
	g->tables = table;
	g->freed_tables = true;
}

bool pf_tlb_gather_more(struct pf_gather *g)
{
	struct pf_gather_batch *b;

	if (g->batches >= PF_GATHER_MAX_BATCHES)
		return false;
	b = pf_port_meta_alloc(sizeof(*b));
	if (!b)
		return false;
	b->nr = 0;
	b->next = NULL;
	g->batches++;
	/* Full: so the active batch is the last, and full too. */
	if (g->active)
		g->active->next = b;
	else
		g->first = g->active = b;
	return true;
}

static struct pf_gather_item *next_item(struct pf_gather *g)
{
	if (g->nr < PF_GATHER_INLINE)
		return &g->item[g->nr++];
	if (!g->active)
		return NULL;
	if (g->active->nr == PF_GATHER_BATCH) {
		if (!g->active->next)
			return NULL;
		g->active = g->active->next;
	}
	return &g->active->item[g->active->nr++];
}

#define ITEM_NR        PF_MASK(23, 0)
#define ITEM_PFN_SHIFT 24

bool pf_tlb_remove_pages(struct pf_gather *g, pf_pfn_t pfn, uint32_t nr)
{
	struct pf_gather_item *item = next_item(g);

	if (!item)
		return false;
	item->v = pfn << ITEM_PFN_SHIFT | nr;
	return true;
}

/* Folios whose last reference went, freed many at a time: the zone's lock is taken once for them.
 */
struct dying {
	struct pf_phys *phys;
	unsigned nr;
	struct pf_folio *folio[64];
};

static void dying_flush(struct dying *d)
{
	if (d->nr)
		pf_folios_free(d->phys, d->folio, d->nr);
	d->nr = 0;
}

static void drop(struct dying *d, struct pf_folio *folio, pf_pfn_t pfn, uint32_t nr, uint32_t mm_id)
{
	pf_folio_note_partly_mapped(d->phys, folio, nr);
	if (!pf_folio_drop_rmap_testzero(folio, pfn, nr, mm_id))
		return;
	d->folio[d->nr++] = folio;
	if (d->nr == PF_ARRAY_SIZE(d->folio))
		dying_flush(d);
}

static void drop_items(
	struct dying *d, const struct pf_gather_item *item, uint32_t nr, uint32_t mm_id)
{
	for (uint32_t i = 0; i < nr; i++) {
		pf_pfn_t pfn = item[i].v >> ITEM_PFN_SHIFT;
		uint32_t left = (uint32_t)(item[i].v & ITEM_NR);

		while (left) {
			struct pf_folio *folio = pf_page_folio(d->phys, pfn);
			unsigned in_folio = pf_folio_nr(folio) - pf_folio_idx(folio, pfn);
			uint32_t n = (uint32_t)pf_min(left, in_folio);

			drop(d, folio, pfn, n, mm_id);
			pfn += n;
			left -= n;
		}
	}
}

static void free_pages(struct pf_gather *g)
{
	struct dying d = {.phys = g->space->phys};
	uint32_t mm_id = g->space->mm_id;

	drop_items(&d, g->item, g->nr, mm_id);
	g->nr = 0;
	for (struct pf_gather_batch *b = g->first; b; b = b->next) {
		drop_items(&d, b->item, b->nr, mm_id);
		b->nr = 0;
	}
	g->active = g->first;
	dying_flush(&d);
}

static void free_tables(struct pf_gather *g)
{
	while (g->tables) {
		struct pf_table *table = g->tables;

		g->tables = table->next;
		if (PF_MUTANT("table-free-no-rcu"))
			pf_table_free(&g->space->pt, table);
		else
			pf_table_free_rcu(&g->space->pt, table);
	}
}

void pf_tlb_flush_mmu_tlbonly(struct pf_gather *g)
{
	struct pf_pt *pt = &g->space->pt;
	const bool tables = g->freed_tables && !PF_MUTANT("tables-leaf-only");
	struct pf_tlb_req req = {
		.tables = tables,
		.asid = pt->asid,
		/* A hint is a promise that nothing but last-level entries changed. */
		.hint = !tables,
	};

	if (!g->cleared_ptes && !g->freed_tables)
		return;
	if (g->forgotten) {
		reset_range(g);
		return;
	}
	if (g->fullmm) {
		/* One operation forgets all; ranges would cost more. And if no CPU runs in the
		 * space, none can learn anything of it afterwards (rule 6.6: entries have ASIDs). */
		req.whole_asid = true;
		g->forgotten = g->dead;
		pf_count(&pf_space_counters(g->space)->flush_mm, 1);
	} else {
		req.va = g->start;
		req.nr = ((g->last - g->start) >> pt->fmt->page_shift) + 1;
	}
	if (!PF_MUTANT("gather-no-flush")) {
		pt->fmt->tlb_issue(pt, &req);
		pt->fmt->tlb_wait(pt, &req);
	}
	reset_range(g);
}

void pf_tlb_flush_mmu(struct pf_gather *g)
{
	if (PF_MUTANT("gather-free-first"))
		free_pages(g);
	pf_tlb_flush_mmu_tlbonly(g);
	free_pages(g);
	free_tables(g);
}

void pf_tlb_finish_mmu(struct pf_gather *g)
{
	/*
	 * Another gather is in progress: we may have found entries empty (or read-only) that its
	 * owner cleared and has not flushed, and must not return before that is done, for our
	 * caller relies on it. We cannot wait for the other; we flush everything ourselves.
	 *
	 * Relaxed: we have had the table lock after him, so we see him counted until he has flushed. If he
	 * is not counted any more, it is our own subtraction below that comes after his, and acquires
	 * what he did before it: his flush.
	 */
	if (pf_load_relaxed(&g->space->tlb_flush_pending) > 1 && !PF_MUTANT("nested-gather")) {
		g->fullmm = true;
		g->dead = false;
		g->forgotten = false;
		g->freed_tables = true;
		g->cleared_ptes = true;
	}
	pf_tlb_flush_mmu(g);
	while (g->first) {
		struct pf_gather_batch *b = g->first;

		g->first = b->next;
		pf_port_meta_free(b, sizeof(*b));
	}
	pf_sub_return(&g->space->tlb_flush_pending, 1);
}

void pf_tlb_flush_range(struct pf_space *space, pf_va_t va, uint64_t nr)
{
	struct pf_tlb_req req = {
		.va = va, .nr = nr, .asid = space->pt.asid, .hint = true, .whole_asid = !nr};

	if (!nr)
		pf_count(&pf_space_counters(space)->flush_mm, 1);
	space->pt.fmt->tlb_issue(&space->pt, &req);
	space->pt.fmt->tlb_wait(&space->pt, &req);
}
