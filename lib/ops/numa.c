/* SPDX-License-Identifier: MIT */
/*
 * NUMA hints: entries of accessible memory that are PROT_NONE, so that the next use of a page is noticed. They come batch by
 * batch and go folio by folio; a block that was folded is one again when it is whole.
 */
#include "ops/internal.h"

/*
 * What is not hinted, for the page would not be moved: KSM's, and of memory that is copied on write what several processes may
 * map or somebody may have pinned; nor what a file system would have to be asked for (Linux: folio_can_map_prot_numa).
 */
static bool may_hint(const struct pf_area *area, const struct pf_folio *folio)
{
	if (pf_folio_test_flags(folio, PF_FOLIO_KSM))
		return false;
	if (pf_area_cow(area) && !PF_MUTANT("numa-hints-shared") &&
		(pf_folio_maybe_pinned(folio) || pf_folio_maybe_mapped_shared(folio)))
		return false;
	return area->backing != PF_BACKED_FILE || !pf_folio_is_file(folio) ||
	       !pf_folio_test_flags(folio, PF_FOLIO_DIRTY);
}

/* Entries of one run, folio by folio. How many became hints. */
static unsigned hint_run(struct pf_gather *g, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, pf_pte_t pte, unsigned nr)
{
	unsigned hinted = 0;

	while (nr) {
		struct pf_piece p = pf_piece_one(g->space->phys, pf_pte_pfn(pte), nr);

		if (may_hint(area, p.folio)) {
			if (pf_modify_ptes(m, idx, p.nr, area->prot & ~PF_PTE_PERM, 0, 0, p.extent))
				pf_tlb_remove_tlb_entries(g, pf_pte_va(m, idx), p.nr);
			hinted += p.nr;
		}
		pte = pf_pte_advance(pte, p.nr);
		idx += p.nr;
		nr -= p.nr;
	}
	return hinted;
}

int64_t pf_hint_range(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr)
{
	struct pf_pte_map m;
	int64_t hinted = 0;

	while (pf_next_table(g->space, &va, &nr, &m)) {
		unsigned max = pf_pages_in_table(va, nr), idx = pf_pte_idx(&m, va), n;

		for (unsigned i = 0; i < max; i += n) {
			pf_pte_t pte;

			n = pf_pte_batch(&m, idx + i, max - i,
				PF_FPB_RESPECT_SOFT_DIRTY | PF_FPB_RESPECT_WRITE, &pte);
			if (pf_pte_accessible(pte) && !pf_pte_special(pte))
				hinted += hint_run(g, area, &m, idx + i, pte, n);
		}
		pf_pte_unmap_unlock(&m);
		va += (pf_va_t)max << PF_PAGE_SHIFT;
		nr -= max;
	}
	return hinted;
}

void pf_fault_hint(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	struct pf_pte_map *m, pf_pte_t pte)
{
	const unsigned at = pf_pte_idx(m, va);
	unsigned before = 0, after = 1, n;
	pf_pfn_t pfn = pf_pte_pfn(pte);

	/* The folio's pages around it that this area and this table have. */
	if (!pf_pte_special(pte)) {
		const struct pf_folio *folio = pf_page_folio(space->phys, pfn);
		const unsigned in_folio = pf_folio_idx(folio, pfn);

		before =
			(unsigned)pf_min(pf_min(in_folio, at), (va - area->start) >> PF_PAGE_SHIFT);
		after = (unsigned)pf_min(
			pf_min(pf_folio_nr(folio) - in_folio, PF_TABLE_ENTRIES - at),
			(area->end - va) >> PF_PAGE_SHIFT);
	}
	if (PF_MUTANT("numa-restores-one"))
		before = 0, after = 1;
	pfn -= before;
	/* The hint's gather may not have flushed yet: TLBs would hold pages of what becomes a block here. */
	pf_forget_zapped(space, va - ((pf_va_t)before << PF_PAGE_SHIFT), before + after);
	for (unsigned i = 0; i < before + after; i += n) {
		n = pf_pte_batch(m, at - before + i, before + after - i,
			PF_FPB_RESPECT_SOFT_DIRTY | PF_FPB_RESPECT_WRITE, &pte);
		if (pf_pte_protnone(pte) && pf_pte_pfn(pte) == pfn + i)
			pf_restore_prot(space, area, m, at - before + i, pte, n);
		else if (pf_pte_present(pte) && pf_pte_pfn(pte) != pfn + i)
			n = 1;
	}
}
