/* SPDX-License-Identifier: MIT */
/*
 * A page whose contents are lost: the entry that maps it says so.
 */
#include "ops/internal.h"

void pf_poison_one(struct pf_space *space, const struct pf_rmap_place *place)
{
	struct pf_pte_map m;
	unsigned idx;
	pf_pte_t pte;

	if (!pf_pte_offset_map_lock(&space->pt, place->va, &m))
		return;
	idx = pf_pte_idx(&m, place->va);
	pte = pf_ptep_get(&m, idx);
	if (pf_pte_present(pte) && !pf_pte_special(pte) && pf_pte_pfn(pte) == place->pfn) {
		space->pt.cause = PF_CAUSE_OTHER;
		/* Before the lock is released: whoever finds the entry may rely on no TLB having the page. */
		if (PF_MUTANT("poison-no-flush"))
			pf_ptep_get_and_clear(&m, idx);
		else
			pf_ptep_clear_flush(&m, idx);
		pf_set_pte_at(&m, idx, pf_pte_hwpoison(place->pfn), PF_NO_EXTENT);
		pf_add_relaxed(&space->rss_anon, -1);
		/* The caller has a reference. */
		pf_folio_drop_rmap_ptes(space->phys, pf_page_folio(space->phys, place->pfn),
			place->pfn, 1, space->mm_id);
	}
	pf_pte_unmap_unlock(&m);
}
