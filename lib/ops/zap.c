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
static unsigned zap_table(struct pf_gather *g, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, unsigned max, bool guards, pf_pfn_t *pfn, uint32_t *left)
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
				pf_rss_add(g->space, PF_RSS_ANON, -(int64_t)n);
				*pfn = pf_pte_pfn(pte);
				*left = pf_tlb_remove_pages(g, *pfn, n) ? 0 : n;
			}
		} else if (!pf_pte_none(pte) && (guards || !pf_pte_guard(pte))) {
			/* uffd-wp's markers go, too: an anonymous page is lost with what was said of it. */
			n = pf_softleaf_zap(g->space, area, m, idx + done, pte, max - done);
		}
		done += n;
	}
	return done;
}

/*
 * The same where folios must be looked at: whose D is it, and which sum do its pages count in? One folio
 * at a time.
 */
struct zap {
	struct pf_gather *g;
	const struct pf_area *area;
	unsigned flags;
	bool dirty; /* D was taken from a mapping's page: flush under the lock */
};

/* Does uffd-wp of the entry outlive it? */
static bool stays_wp(const struct zap *z, pf_pte_t pte)
{
	return (z->flags & PF_ZAP_KEEP_WP) && pf_pte_uffd_wp(z->area, pte) &&
	       !PF_MUTANT("zap-drops-uffd-wp");
}

/* False: the gather is full, and the pages are not in it. */
static bool zap_piece(
	struct zap *z, struct pf_pte_map *m, unsigned idx, pf_pte_t pte, const struct pf_piece *p)
{
	const bool file = pf_folio_is_file(p->folio);

	if (!file && (z->flags & PF_ZAP_KEEP_ANON))
		return true;
	if (!file) {
		pf_clear_ptes(m, idx, p->nr);
	} else if (pf_pte_dirty(pf_get_and_clear_ptes(m, idx, p->nr))) {
		pf_folio_set_flags(p->folio, PF_FOLIO_DIRTY);
		z->dirty = true;
	}
	pf_tlb_remove_tlb_entries(z->g, pf_pte_va(m, idx), p->nr);
	pf_rss_add_of(z->g->space, z->area, file, -(int64_t)p->nr);
	/* Before the flush: who fills the slot owes one first, whether there is a marker in it or not (pf_forget_zapped). */
	if (stays_wp(z, pte))
		pf_set_wp_markers(m, idx, p->nr);
	return pf_tlb_remove_pages(z->g, pf_pte_pfn(pte), p->nr);
}

static bool softleaf_goes(const struct zap *z, pf_pte_t pte)
{
	if (pf_pte_guard(pte))
		return !(z->flags & PF_ZAP_KEEP_GUARDS);
	if (pf_pte_marked_wp(pte))
		return !((z->flags & PF_ZAP_KEEP_WP) && (z->area->flags & PF_VM_UFFD_WP));
	if (pf_pte_none(pte))
		return false;
	return !(z->flags & PF_ZAP_KEEP_ANON) || pf_softleaf_is_file(z->g->space, pte);
}

/*
 * A run of pages, folio by folio: how many are done, fewer than nr when the gather is full; then the last piece's pages are not in
 * it. The run is read once, however small its folios are: its table is locked, so hardware alone changes entries meanwhile, and of them
 * A and D, which count as the clearing finds them.
 */
static unsigned zap_run(struct zap *z, struct pf_pte_map *m, unsigned idx, pf_pte_t pte,
	unsigned nr, pf_pfn_t *pfn, uint32_t *left)
{
	unsigned done = 0;

	while (done < nr && !*left) {
		const struct pf_piece p =
			pf_piece_one(z->g->space->phys, pf_pte_pfn(pte), nr - done);

		*pfn = pf_pte_pfn(pte);
		if (!zap_piece(z, m, idx + done, pte, &p))
			*left = p.nr;
		pte = pf_pte_advance(pte, p.nr);
		done += p.nr;
	}
	return done;
}

static unsigned zap_backed(struct zap *z, struct pf_pte_map *m, unsigned idx, unsigned max,
	pf_pfn_t *pfn, uint32_t *left)
{
	unsigned done = 0;

	*left = 0;
	while (done < max && !*left) {
		pf_pte_t pte;
		unsigned n = pf_pte_batch(m, idx + done, max - done, 0, &pte);

		if (pf_pte_present(pte) && !pf_pte_special(pte)) {
			n = zap_run(z, m, idx + done, pte, n, pfn, left);
		} else if (pf_pte_present(pte)) {
			/* The page of zeros, which userfaultfd puts into private areas: no page, yet writes are noticed. */
			pf_clear_ptes(m, idx + done, n);
			pf_tlb_remove_tlb_entries(z->g, pf_pte_va(m, idx + done), n);
			if (stays_wp(z, pte))
				pf_set_wp_markers(m, idx + done, n);
		} else if (softleaf_goes(z, pte)) {
			n = pf_softleaf_zap(z->g->space, z->area, m, idx + done, pte, max - done);
			if (pf_pte_kind(pte) != PF_PTE_MARKER && stays_wp(z, pte))
				pf_set_wp_markers(m, idx + done, n);
		}
		done += n;
	}
	return done;
}

void pf_zap_range(
	struct pf_gather *g, const struct pf_area *area, pf_va_t va, uint64_t nr, unsigned flags)
{
	struct zap z = {.g = g, .area = area, .flags = flags};
	struct pf_pte_map m;

	pf_note_peak(g->space);
	pf_pt_set_cause(&g->space->pt, PF_CAUSE_ZAP);
	pf_tlb_start_vma(g);
	while (pf_next_table(g->space, &va, &nr, &m)) {
		unsigned n = pf_pages_in_table(va, nr);
		pf_pfn_t pfn;
		uint32_t left;

		z.dirty = false;
		if (area->backing == PF_BACKED_ANON)
			n = zap_table(g, area, &m, pf_pte_idx(&m, va), n,
				!(flags & PF_ZAP_KEEP_GUARDS), &pfn, &left);
		else
			n = zap_backed(&z, &m, pf_pte_idx(&m, va), n, &pfn, &left);
		/*
		 * Who cleans the folio finds our entries empty and writes the page; no CPU may store to
		 * it after that through what its TLB still has (coremm 7.4).
		 */
		if (z.dirty && !PF_MUTANT("zap-dirty-late"))
			pf_tlb_flush_mmu_tlbonly(g);
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

static void table_unlinked(void *ctx, struct pf_table *table, pf_va_t va)
{
	pf_tlb_remove_table(ctx, table, va);
}

void pf_free_tables(struct pf_gather *g, pf_va_t va, uint64_t nr, pf_va_t floor, uint64_t floor_nr)
{
	pf_tlb_start_vma(g);
	pf_free_pgtables(&g->space->pt, va, nr, floor, floor_nr, table_unlinked, g);
}

void pf_reclaim_tables(struct pf_gather *g, pf_va_t va, uint64_t nr)
{
	pf_reclaim_pgtables(&g->space->pt, va, nr, table_unlinked, g);
}
