/* SPDX-License-Identifier: MIT */
/*
 * Frames that are no memory: entries that map them are special, and nothing else of the library knows them. No folio, no mapping counted,
 * no page in anybody's sums; nobody asks whether they were used or written.
 */
#include "ops/internal.h"

int64_t pf_insert_pfns(
	struct pf_space *space, const struct pf_area *area, pf_va_t va, unsigned nr, pf_pfn_t pfn)
{
	/* Private memory is copied before it is written. */
	const uint64_t prot = pf_area_cow(area) ? area->prot & ~PF_PTE_W : area->prot;
	const pf_pte_t first = pf_pte_mk(pfn, prot | PF_PTE_SPECIAL | PF_PTE_A);
	struct pf_pte_map m;
	int64_t inserted = 0;
	unsigned idx;

	if (pf_pte_alloc_map_lock(&space->pt, va, &m))
		return -PF_ENOMEM;
	pf_pt_set_cause(&space->pt, PF_CAUSE_OTHER);
	idx = pf_pte_idx(&m, va);
	pf_forget_zapped(space, va, nr);
	for (unsigned i = 0, n; i < nr; i += n) {
		pf_pte_t pte;

		n = pf_pte_batch(&m, idx + i, nr - i, 0, &pte);
		if (!pf_pte_none(pte))
			continue;
		pf_set_ptes(&m, idx + i, pf_pte_advance(first, i), n, pf_special_extent(area));
		inserted += n;
	}
	if (PF_MUTANT("pfnmap-counts-rss"))
		pf_rss_add(space, PF_RSS_FILE, inserted);
	pf_pte_unmap_unlock(&m);
	return inserted;
}

struct pf_table *pf_follow_pfn(struct pf_space *space, pf_va_t va, pf_pte_t *pte)
{
	struct pf_pte_map m;

	if (!pf_pte_offset_map_lock(&space->pt, va, &m))
		return NULL;
	*pte = pf_ptep_get(&m, pf_pte_idx(&m, va));
	if (pf_pte_present(*pte))
		return m.table;
	pf_pte_unmap_unlock(&m);
	return NULL;
}

void pf_follow_pfn_end(struct pf_space *space, struct pf_table *table)
{
	struct pf_pte_map m = {.pt = &space->pt, .table = table};

	pf_pte_unmap_unlock(&m);
}
