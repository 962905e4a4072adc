/* SPDX-License-Identifier: MIT */
/*
 * What /proc tells of entries, run by run, and what clear_refs takes from them.
 */
#include "ops/softleaf.h"

/* ---- looking ---- */

/* Slots from idx on for which one look is enough: the rest of a folded block, else one. */
static unsigned unit(const struct pf_pte_map *m, unsigned idx, unsigned max)
{
	if (!pf_ptes_folded(m, idx))
		return 1;
	return (unsigned)pf_min(PF_CONT_NR(0) - (idx & (PF_CONT_NR(0) - 1)), max);
}

/* Present slots with ascending frames that say the same, A and D gathered: each block is looked at once. */
static unsigned same_run(const struct pf_pte_map *m, unsigned idx, unsigned max, pf_pte_t first)
{
	unsigned n = unit(m, idx, max);

	while (n < max && pf_pte_same(pf_ptep_get(m, idx + n), pf_pte_advance(first, n)))
		n += unit(m, idx + n, max - n);
	return n;
}

static void look_at_folio(struct pf_page_run *run, const struct pf_folio *folio)
{
	run->folio = true;
	run->file = pf_folio_is_file(folio);
	run->sole = pf_folio_ref(folio) == 1;
	run->shared = pf_folio_maybe_mapped_shared(folio);
	run->order = (uint8_t)pf_folio_order(folio);
	run->flags = pf_load_relaxed(&folio->head.flags);
	run->average = pf_folio_average_mapcount(folio);
}

static unsigned look(const struct pf_space *space, const struct pf_pte_map *m, unsigned idx,
	unsigned max, struct pf_page_run *run)
{
	struct pf_folio *folio;
	unsigned n;

	run->pte = pf_ptep_get(m, idx);
	if (pf_pte_none(run->pte))
		return pf_pte_batch(m, idx, max, 0, &run->pte);
	/* While the entry names it the device is there. */
	if (pf_pte_kind(run->pte) == PF_PTE_SWAP)
		run->average = pf_swap_count(
			pf_pte_swap_device(space, run->pte), pf_pte_swap_offset(run->pte));
	/* While the entry names it the frame stays of one type, by who moves it or for ever. */
	if (pf_pte_kind(run->pte) == PF_PTE_MIGRATION || pf_pte_kind(run->pte) == PF_PTE_HWPOISON)
		run->file = pf_folio_is_file(pf_page_folio(space->phys, pf_pte_pfn(run->pte)));
	if (!pf_pte_maps(run->pte))
		return 1;
	folio = pf_page_folio(space->phys, pf_pte_pfn(run->pte));
	n = (unsigned)pf_min(max, pf_folio_nr(folio) - pf_folio_idx(folio, pf_pte_pfn(run->pte)));
	/* While its entry's lock is held it is this folio's page. */
	look_at_folio(run, folio);
	if (!pf_pte_present(run->pte))
		return 1;
	return same_run(m, idx, n, run->pte);
}

/* Look, and keep the table's lock. False: there is no table, and how far is in the run. */
static bool look_and_lock(struct pf_space *space, pf_va_t va, uint64_t max, struct pf_page_run *run,
	struct pf_pte_map *m)
{
	*run = (struct pf_page_run){.nr = pf_pte_hole(&space->pt, va, max)};
	if (run->nr || !pf_pte_offset_map_lock(&space->pt, va, m)) {
		/* Or it has just gone: there was nothing in it. */
		run->nr = pf_max(run->nr, 1);
		run->no_table = true;
		return false;
	}
	run->nr = look(space, m, pf_pte_idx(m, va), pf_pages_in_table(va, max), run);
	return true;
}

void pf_get_page_run(struct pf_space *space, pf_va_t va, uint64_t max, struct pf_page_run *run)
{
	struct pf_pte_map m;

	if (look_and_lock(space, va, max, run, &m))
		pf_pte_unmap_unlock(&m);
}

/* ---- protecting ---- */

/* Writes to the first nr pages of a run are to be noticed. */
static void protect(struct pf_gather *g, struct pf_pte_map *m, unsigned idx,
	const struct pf_page_run *run, unsigned nr)
{
	const pf_pte_t pte = run->pte;
	struct pf_extent extent = PF_NO_EXTENT;

	if (pf_pte_none(pte)) {
		pf_set_wp_markers(m, idx, nr);
		return;
	}
	if (!pf_pte_present(pte)) {
		pf_softleaf_protect(g->space, m, idx, pte, PF_PTE_UFFD_WP, 0);
		return;
	}
	if (run->folio)
		extent = pf_folio_extent(
			g->space->phys, pf_page_folio(g->space->phys, pf_pte_pfn(pte)));
	if (pf_modify_ptes(
		    m, idx, nr, pte.v & PF_PTE_PROT_BITS & ~PF_PTE_W, PF_PTE_UFFD_WP, 0, extent) &&
		!PF_MUTANT("scan-no-flush"))
		pf_tlb_remove_tlb_entries(g, pf_pte_va(m, idx), nr);
}

void pf_protect_page_run(struct pf_gather *g, pf_va_t va, uint64_t max, struct pf_page_run *run,
	uint64_t (*tell)(void *ctx, const struct pf_page_run *run), void *ctx)
{
	struct pf_space *space = g->space;
	struct pf_pte_map m;
	uint64_t n;

	if (!look_and_lock(space, va, max, run, &m))
		return;
	pf_pt_set_cause(&space->pt, PF_CAUSE_MPROTECT);
	n = tell(ctx, run);
	if (PF_MUTANT("scan-protects-untold"))
		n = run->nr;
	if (n && !(run->pte.v & PF_PTE_UFFD_WP && pf_pte_kind(run->pte) != PF_PTE_MARKER))
		protect(g, &m, pf_pte_idx(&m, va), run, (unsigned)n);
	pf_pte_unmap_unlock(&m);
}

/* ---- clearing ---- */

/* A run of present pages, folio by folio: A may go from a whole block, and says something of one folio. */
static void forget_use(
	struct pf_space *space, struct pf_pte_map *m, unsigned idx, pf_pte_t pte, unsigned nr)
{
	while (nr) {
		const struct pf_piece p = pf_piece_one(space->phys, pf_pte_pfn(pte), nr);

		/* Not flushed: what a TLB still holds looks unused until it is evicted. */
		pf_test_and_clear_young_ptes(m, idx, p.nr);
		if (pf_folio_test_flags(p.folio, PF_FOLIO_YOUNG | PF_FOLIO_REFERENCED))
			pf_folio_clear_flags(p.folio, PF_FOLIO_YOUNG | PF_FOLIO_REFERENCED);
		pte = pf_pte_advance(pte, p.nr);
		idx += p.nr;
		nr -= p.nr;
	}
}

void pf_clear_refs(struct pf_space *space, pf_va_t va, uint64_t nr)
{
	struct pf_pte_map m;

	while (pf_next_table(space, &va, &nr, &m)) {
		const unsigned n = pf_pages_in_table(va, nr), idx = pf_pte_idx(&m, va);

		for (unsigned i = 0, k; i < n; i += k) {
			pf_pte_t pte;

			k = pf_pte_batch(&m, idx + i, n - i, 0, &pte);
			if (pf_pte_present(pte) && !pf_pte_special(pte))
				forget_use(space, &m, idx + i, pte, k);
		}
		pf_pte_unmap_unlock(&m);
		va += (pf_va_t)n << PF_PAGE_SHIFT;
		nr -= n;
	}
}

struct untrack {
	struct pf_gather *g;
	struct pf_pte_map m;
	bool pins; /* pages of the area may be pinned, and must stay writable then */
};

static void untrack_pages(
	struct untrack *u, unsigned idx, unsigned nr, pf_pte_t pte, struct pf_extent extent)
{
	const uint64_t w = PF_MUTANT("soft-dirty-keeps-write") ? 0 : PF_PTE_W;

	if (pf_modify_ptes(
		    &u->m, idx, nr, pte.v & PF_PTE_PROT_BITS & ~w, 0, PF_PTE_SOFT_DIRTY, extent))
		pf_tlb_remove_tlb_entries(u->g, pf_pte_va(&u->m, idx), nr);
}

/* Their owner writes without a fault that could tell: they count as written, now and later. */
static void keep_pinned(
	struct untrack *u, unsigned idx, unsigned nr, pf_pte_t pte, struct pf_extent extent)
{
	if (!(pte.v & PF_PTE_SOFT_DIRTY))
		pf_modify_ptes(
			&u->m, idx, nr, pte.v & PF_PTE_PROT_BITS, PF_PTE_SOFT_DIRTY, 0, extent);
}

/* Present pages, alike in W and soft-dirty. */
static void untrack_run(struct untrack *u, unsigned idx, pf_pte_t pte, unsigned nr)
{
	const struct pf_phys *phys = u->g->space->phys;

	if (!(pte.v & (PF_PTE_W | PF_PTE_SOFT_DIRTY)))
		return;
	if (pf_pte_special(pte) || (!u->pins && !pf_may_fold(&u->m, idx, nr))) {
		untrack_pages(u, idx, nr, pte, PF_NO_EXTENT);
		return;
	}
	while (nr) {
		const struct pf_piece p = pf_piece_one(phys, pf_pte_pfn(pte), nr);

		if (u->pins && pf_folio_maybe_pinned(p.folio) &&
			!PF_MUTANT("soft-dirty-ignores-pins"))
			keep_pinned(u, idx, p.nr, pte, p.extent);
		else
			untrack_pages(u, idx, p.nr, pte, p.extent);
		pte = pf_pte_advance(pte, p.nr);
		idx += p.nr;
		nr -= p.nr;
	}
}

static void untrack_softleaf(struct untrack *u, unsigned idx, pf_pte_t pte)
{
	/* A page on its way comes back without W, too; and somebody may be about to bring it back. */
	if (pf_softleaf_protect(u->g->space, &u->m, idx, pte, 0, 0))
		pte = pf_ptep_get(&u->m, idx);
	if (pf_softleaf_tracked(pte) && (pte.v & PF_PTE_SOFT_DIRTY) &&
		!PF_MUTANT("soft-dirty-keeps-swapped"))
		pf_set_pte_at(&u->m, idx, pf_pte_clear(pte, PF_PTE_SOFT_DIRTY), PF_NO_EXTENT);
}

void pf_clear_soft_dirty(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr)
{
	struct untrack u = {
		.g = g,
		.pins = pf_area_cow(area) && pf_load_relaxed(&g->space->has_pinned),
	};

	if (!pf_sd())
		return;
	pf_pt_set_cause(&g->space->pt, PF_CAUSE_OTHER);
	pf_tlb_start_vma(g);
	while (pf_next_table(g->space, &va, &nr, &u.m)) {
		const unsigned n = pf_pages_in_table(va, nr), idx = pf_pte_idx(&u.m, va);

		for (unsigned i = 0, k; i < n; i += k) {
			pf_pte_t pte;

			k = pf_pte_batch(&u.m, idx + i, n - i,
				PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY, &pte);
			if (pf_pte_present(pte))
				untrack_run(&u, idx + i, pte, k);
			else if (!pf_pte_none(pte))
				untrack_softleaf(&u, idx + i, pte);
		}
		pf_pte_unmap_unlock(&u.m);
		va += (pf_va_t)n << PF_PAGE_SHIFT;
		nr -= n;
	}
}
