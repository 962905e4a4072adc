/* SPDX-License-Identifier: MIT */
/*
 * Advice that a process gives about pages it will not need soon: MADV_FREE and MADV_COLD; and finding the folios
 * of a range, for MADV_PAGEOUT.
 */
#include "ops/softleaf.h"

struct cold {
	struct pf_gather *g;
	struct pf_pte_map m;
	/* What is done with the pages of one folio: [idx, idx + nr), all of it, and nobody else's. */
	void (*act)(
		struct cold *c, struct pf_folio *folio, unsigned idx, unsigned nr, pf_pte_t pte);
	const struct pf_area *area;
	bool discard_swapped;
};

/*
 * Entries of a run: A and D go, W stays. Reclaim may take the folio from then on; what is written after the
 * gather's flush sets D again. Widening to blocks stays inside, for the run is the whole folio.
 */
static void free_folio(
	struct cold *c, struct pf_folio *folio, unsigned idx, unsigned nr, pf_pte_t pte)
{
	/* Somebody else's entry still names its place in swap: it must not become another page. */
	if (pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE))
		return;
	if (pf_folio_test_flags(folio, PF_FOLIO_DIRTY)) {
		if (!pf_folio_trylock(folio))
			return;
		pf_folio_clear_flags(folio, PF_FOLIO_DIRTY);
		pf_folio_unlock(folio);
	}
	if (pf_pte_young(pte) || pf_pte_dirty(pte)) {
		pf_clear_young_dirty_ptes(
			&c->m, idx, nr, PF_CYDP_CLEAR_YOUNG | PF_CYDP_CLEAR_DIRTY);
		pf_tlb_remove_tlb_entries(c->g, pf_pte_va(&c->m, idx), nr);
	}
	pf_folio_set_flags(folio, PF_FOLIO_LAZYFREE);
}

static void age_folio(
	struct cold *c, struct pf_folio *folio, unsigned idx, unsigned nr, pf_pte_t pte)
{
	(void)folio;
	if (!pf_pte_young(pte))
		return;
	/* A hint: what TLBs hold may keep the page from looking used for a while. */
	pf_clear_young_dirty_ptes(&c->m, idx, nr, PF_CYDP_CLEAR_YOUNG);
	pf_tlb_remove_tlb_entries(c->g, pf_pte_va(&c->m, idx), nr);
}

/*
 * Present entries with consecutive frames: of folios that are all here and mapped nowhere else. How many were looked at:
 * those before a folio that is not all here, and might be if it were smaller.
 */
static unsigned cold_run(struct cold *c, unsigned idx, pf_pte_t pte, unsigned nr)
{
	const struct pf_phys *phys = c->g->space->phys;

	for (unsigned i = 0, n; i < nr; i += n, pte = pf_pte_advance(pte, n)) {
		struct pf_folio *folio = pf_page_folio(phys, pf_pte_pfn(pte));
		const unsigned in_folio = pf_folio_nr(folio) - pf_folio_idx(folio, pf_pte_pfn(pte));

		n = (unsigned)pf_min(nr - i, in_folio);
		if (n < pf_folio_nr(folio)) {
			if (!pf_folio_maybe_mapped_shared(folio) && !PF_MUTANT("cold-skips-part"))
				return i;
		} else if (pf_folio_mapcount(folio) == n) {
			c->act(c, folio, idx + i, n, pte);
		}
	}
	return nr;
}

/* As cold_run. */
static unsigned cold_table(struct cold *c, unsigned idx, unsigned max)
{
	for (unsigned i = 0, n; i < max; i += n) {
		pf_pte_t pte;

		n = pf_pte_batch(&c->m, idx + i, max - i, PF_FPB_MERGE_YOUNG_DIRTY, &pte);
		if (pf_pte_present(pte) && !pf_pte_special(pte)) {
			const unsigned done = cold_run(c, idx + i, pte, n);

			if (done < n)
				return i + done;
		} else if (c->discard_swapped &&
			   (pf_pte_kind(pte) == PF_PTE_SWAP || pf_pte_lost(pte))) {
			n = pf_softleaf_zap(c->g->space, c->area, &c->m, idx + i, pte, max - i);
		}
	}
	return max;
}

static uint64_t cold_range(struct cold *c, pf_va_t va, uint64_t nr)
{
	const uint64_t all = nr;

	pf_pt_set_cause(&c->g->space->pt, PF_CAUSE_ACCESS);
	pf_tlb_start_vma(c->g);
	while (pf_next_table(c->g->space, &va, &nr, &c->m)) {
		const unsigned n = pf_pages_in_table(va, nr);
		const unsigned done = cold_table(c, pf_pte_idx(&c->m, va), n);

		pf_pte_unmap_unlock(&c->m);
		va += (pf_va_t)done << PF_PAGE_SHIFT;
		nr -= done;
		if (done < n)
			return all - nr;
	}
	return all;
}

uint64_t pf_free_lazily(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr)
{
	struct cold c = {.g = g, .area = area, .act = free_folio, .discard_swapped = true};

	return cold_range(&c, va, nr);
}

uint64_t pf_make_old(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr)
{
	struct cold c = {.g = g, .area = area, .act = age_folio};

	return cold_range(&c, va, nr);
}

uint64_t pf_folio_run(
	struct pf_space *space, pf_va_t va, uint64_t max, struct pf_folio **folio, pf_pfn_t *pfn)
{
	uint64_t nr = pf_pte_hole(&space->pt, va, max);
	struct pf_pte_map m;
	pf_pte_t pte;

	*folio = NULL;
	if (nr || !pf_pte_offset_map_lock(&space->pt, va, &m))
		return pf_max(nr, 1);
	nr = pf_folio_pte_batch(
		space->phys, &m, pf_pte_idx(&m, va), pf_pages_in_table(va, max), 0, &pte);
	if (pf_pte_present(pte) && !pf_pte_special(pte)) {
		*pfn = pf_pte_pfn(pte);
		*folio = pf_page_folio(space->phys, *pfn);
		pf_folio_get(*folio, 1);
	}
	pf_pte_unmap_unlock(&m);
	return nr;
}
