/* SPDX-License-Identifier: MIT */
/*
 * Unmapping: entries go, pages are handed to the gather.
 */
#include "ops/softleaf.h"

/*
 * Empty slots [idx, idx + max) of a locked table. Anonymous pages need nothing of their folios
 * here: A and D die with them, and the gather drops their mappings after the flush. Returns how
 * many slots are done; fewer than max when the gather is full, with the pages that no longer fit in
 * *pfn and *left. guards: markers of guard regions go, too.
 */
static unsigned zap_table(struct pf_gather *g, struct pf_pte_map *m, unsigned idx, unsigned max,
	bool guards, pf_pfn_t *pfn, uint32_t *left)
{
	unsigned done = 0;

	*left = 0;
	while (done < max && !*left) {
		pf_pte_t pte;
		unsigned n = pf_pte_batch(m, idx + done, max - done, 0, &pte);
		pf_va_t va = pf_pte_va(m, idx + done);

		if (pf_pte_present(pte)) {
			pf_clear_ptes(m, idx + done, n);
			pf_tlb_remove_tlb_entries(g, va, n);
			if (!pf_pte_special(pte)) {
				pf_add_relaxed(&g->space->rss_anon, -(int64_t)n);
				*pfn = pf_pte_pfn(pte);
				*left = pf_tlb_remove_pages(g, *pfn, n) ? 0 : n;
			}
		} else if (!pf_pte_none(pte) && (guards || !pf_pte_guard(pte))) {
			n = pf_softleaf_zap(g->space, m, idx + done, pte, max - done);
		}
		done += n;
	}
	return done;
}

static void zap(struct pf_gather *g, pf_va_t va, uint64_t nr, bool guards)
{
	struct pf_pte_map m;

	g->space->pt.cause = PF_CAUSE_ZAP;
	pf_tlb_start_vma(g);
	while (pf_next_table(g->space, &va, &nr, &m)) {
		unsigned n = pf_pages_in_table(va, nr);
		pf_pfn_t pfn;
		uint32_t left;

		n = zap_table(g, &m, pf_pte_idx(&m, va), n, guards, &pfn, &left);
		pf_pte_unmap_unlock(&m);
		if (left) {
			/* Their entries are gone, and covered by the flush that comes, now or
			 * later. */
			if (!pf_tlb_gather_more(g))
				pf_tlb_flush_mmu(g);
			pf_tlb_remove_pages(g, pfn, left);
		}
		va += (pf_va_t)n << PF_PAGE_SHIFT;
		nr -= n;
	}
}

void pf_zap_range(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr)
{
	(void)area;
	zap(g, va, nr, true);
}

void pf_discard_range(struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr)
{
	(void)area;
	zap(g, va, nr, false);
}

static void table_unlinked(void *ctx, struct pf_table *table, pf_va_t va)
{
	pf_tlb_remove_table(ctx, table, va);
}

void pf_free_tables(struct pf_gather *g, pf_va_t va, uint64_t nr, pf_va_t floor, uint64_t floor_nr)
{
	pf_tlb_start_vma(g);
	pf_free_pgtables(&g->space->pt, va, nr, floor, floor_nr, table_unlinked, g);
}
