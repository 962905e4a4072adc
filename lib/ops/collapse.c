/* SPDX-License-Identifier: MIT */
/*
 * Collapse: what one leaf table maps, counted; and mapped again by one folio.
 */
#include "ops/softleaf.h"

/* Pages of a run of present entries that all map folios. */
static void scan_pages(
	const struct pf_space *space, struct pf_collapse_view *scan, pf_pte_t pte, unsigned nr)
{
	while (nr) {
		struct pf_piece p = pf_piece_one(space->phys, pf_pte_pfn(pte), nr);

		if (pf_folio_is_file(p.folio))
			scan->refused = true;
		if (pf_folio_test_flags(p.folio, PF_FOLIO_LAZYFREE))
			scan->lazyfree = true;
		scan->on_node[pf_phys_node(space->phys, pf_pte_pfn(pte))] += (uint16_t)p.nr;
		if (pf_folio_maybe_mapped_shared(p.folio))
			scan->shared += p.nr;
		pte = pf_pte_advance(pte, p.nr);
		nr -= p.nr;
	}
}

/* To be brought in first, if at all: Linux counts a device's pages with those in swap. */
static bool is_away(pf_pte_t pte)
{
	return pf_pte_kind(pte) == PF_PTE_SWAP || pf_pte_kind(pte) == PF_PTE_DEVICE_EXCLUSIVE ||
	       pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE;
}

bool pf_collapse_scan(struct pf_space *space, pf_va_t va, struct pf_collapse_view *scan)
{
	struct pf_pte_map m;
	unsigned n;

	*scan = (struct pf_collapse_view){0};
	if (!pf_pte_offset_map_lock(&space->pt, va, &m)) {
		scan->no_entry = !pf_pt_has_table(&space->pt, va, 1);
		return false;
	}
	for (unsigned i = 0; i < PF_TABLE_ENTRIES; i += n) {
		pf_pte_t pte;

		n = pf_pte_batch(&m, i, PF_TABLE_ENTRIES - i, 0, &pte);
		if (pf_pte_none(pte)) {
			scan->none += n;
		} else if (is_away(pte)) {
			scan->swap++;
		} else if (pf_pte_kind(pte) == PF_PTE_MIGRATION) {
			scan->busy = true;
		} else if (!pf_pte_present(pte)) {
			scan->refused = true;
		} else if (!pf_pte_special(pte)) {
			scan_pages(space, scan, pte, n);
			for (unsigned k = i; k < i + n; k++)
				scan->young += pf_pte_young(pf_ptep_get(&m, k));
		} else if (pf_pte_pfn(pte) == space->zero_pfn) {
			scan->none += n;
		} else {
			scan->refused = true;
		}
		if ((pf_pte_present(pte) || is_away(pte)) && (pte.v & PF_PTE_UFFD_WP))
			scan->uffd_wp = true;
	}
	pf_pte_unmap_unlock(&m);
	return true;
}

/* Is there what collapse_install expects, and nothing else? *zeros: the page of zeros, accessible, among it. */
static bool is_taken(struct pf_space *space, struct pf_pte_map *m, unsigned taken, bool *zeros)
{
	*zeros = false;
	for (unsigned i = 0, n; i < PF_TABLE_ENTRIES; i += n) {
		pf_pte_t pte;

		n = pf_pte_batch(m, i, PF_TABLE_ENTRIES - i, 0, &pte);
		if (pf_pte_present(pte)) {
			if (!pf_pte_special(pte) || pf_pte_pfn(pte) != space->zero_pfn)
				return false;
			*zeros |= pf_pte_accessible(pte);
		} else if (!pf_pte_none(pte)) {
			if (pf_pte_kind(pte) != PF_PTE_MIGRATION || !taken)
				return false;
			taken--;
		}
	}
	return !taken;
}

bool pf_collapse_install(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	struct pf_folio *folio, unsigned taken)
{
	const pf_pfn_t pfn = pf_folio_pfn(space->phys, folio);
	uint64_t prot = area->prot | PF_PTE_A | pf_sd();
	struct pf_pte_map m;
	bool zeros;

	if (!pf_pte_offset_map_lock(&space->pt, va, &m))
		return false;
	if (!is_taken(space, &m, taken, &zeros)) {
		pf_pte_unmap_unlock(&m);
		return false;
	}
	pf_pt_set_cause(&space->pt, PF_CAUSE_MIGRATE);
	for (unsigned i = 0, n; i < PF_TABLE_ENTRIES; i += n) {
		pf_pte_t pte;

		n = pf_pte_batch(&m, i, PF_TABLE_ENTRIES - i, 0, &pte);
		if (pf_pte_present(pte))
			pf_clear_ptes(&m, i, n);
		else if (!pf_pte_none(pte))
			pf_clear_not_present_ptes(&m, i, n);
	}
	/* No slot goes from one frame to another (G5). The pages taken were flushed; nobody else's gather is open. */
	if (zeros && !PF_MUTANT("collapse-zero-no-flush"))
		pf_flush_tlb_range(&space->pt, va, PF_TABLE_ENTRIES);
	if (pf_folio_test_flags(folio, PF_FOLIO_DIRTY))
		prot |= PF_PTE_D;
	pf_set_anon_mapping(area, folio, va);
	pf_folio_add_new_anon_rmap(folio, pfn, PF_TABLE_ENTRIES, space->mm_id, true);
	pf_rss_add(space, PF_RSS_ANON, (int64_t)PF_TABLE_ENTRIES - taken);
	pf_set_ptes(
		&m, 0, pf_pte_mk(pfn, prot), PF_TABLE_ENTRIES, pf_folio_extent(space->phys, folio));
	pf_pte_unmap_unlock(&m);
	return true;
}
