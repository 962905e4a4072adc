/* SPDX-License-Identifier: MIT */
/*
 * A page whose contents are lost: the entry that maps it says so; or it is emptied, where the page can be had again.
 */
#include "ops/internal.h"

static void replace(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, pf_pte_t old, bool again)
{
	/* Before the lock is released: whoever finds the entry may rely on no TLB having the page. */
	const pf_pte_t pte = pf_take_mappings(m, idx, 1, old, !PF_MUTANT("poison-no-flush"));
	const pf_pfn_t pfn = pf_pte_pfn(pte);
	struct pf_folio *folio = pf_page_folio(space->phys, pfn);
	const bool file = pf_folio_is_file(folio);

	/* Nobody stores to it by this entry any more; who has, left D here, or the flag before he got W. */
	if (file && pf_pte_dirty(pte))
		pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
	if (!again ||
		(pf_folio_test_flags(folio, PF_FOLIO_DIRTY) && !PF_MUTANT("poison-drops-dirty")))
		pf_set_pte_at(m, idx, pf_pte_hwpoison(pfn), PF_NO_EXTENT);
	else if (pf_pte_uffd_wp(area, pte))
		pf_set_wp_markers(m, idx, 1);
	pf_rss_add_of(space, area, file, -1);
	/* The caller has a reference. */
	pf_folio_drop_rmap_ptes(space->phys, folio, pfn, 1, space->mm_id);
}

void pf_poison_one(struct pf_space *space, const struct pf_area *area,
	const struct pf_rmap_place *place, bool again)
{
	struct pf_pte_map m;
	unsigned idx;
	pf_pte_t pte;

	if (!pf_pte_offset_map_lock(&space->pt, place->va, &m))
		return;
	idx = pf_pte_idx(&m, place->va);
	pte = pf_ptep_get(&m, idx);
	if (pf_pte_maps(pte) && pf_pte_pfn(pte) == place->pfn) {
		pf_pt_set_cause(&space->pt, PF_CAUSE_OTHER);
		replace(space, area, &m, idx, pte, again);
	}
	pf_pte_unmap_unlock(&m);
}
