/* SPDX-License-Identifier: MIT */
/*
 * Reclaim's unmapping of a folio, in one area (Linux: try_to_unmap_one).
 *
 * Runs are flushed one by one, before the table's lock is released. So who finds a swap entry, or none, under
 * that lock may rely on no TLB holding the page any more; nobody need ask whether a reclaimer still owes a flush
 * (coremm B15), and nothing is owed when the folio is written out or freed. What Linux saves by deferring is
 * interrupts to other CPUs, which broadcast invalidations do not send; what is left to save is waiting.
 */
#include "ops/softleaf.h"

struct unmap {
	struct pf_space *space;
	const struct pf_area *area;
	struct pf_folio *folio;
	struct pf_pte_map m;
};

/* Put a run back that was emptied and flushed. Uniform but for A and D, of which every entry gets what any had. */
static void restore(struct unmap *u, unsigned idx, pf_pte_t pte, unsigned nr)
{
	pf_set_ptes(&u->m, idx, pte, nr, pf_folio_extent(u->space->phys, u->folio));
}

/* With their references, of which the caller of unmap has one more: none is the last. */
static void drop(struct unmap *u, pf_pfn_t pfn, unsigned nr)
{
	pf_rss_add_of(u->space, u->area, pf_folio_is_file(u->folio), -(int64_t)nr);
	pf_folio_drop_rmap_testzero(u->folio, pfn, nr, u->space->mm_id);
}

/*
 * Lazyfree: gone, unless it was written since, or somebody may still read or write it past its entries. Who pins the
 * folio takes a reference and then reads the entry again; who has written it marks it dirty and then drops the
 * reference. So with the entries emptied and flushed, and the references read before the dirty flag, either the
 * reference is seen or what it did (coremm 11.3, B11).
 */
static bool discard(struct unmap *u, unsigned idx, pf_pte_t pte, unsigned nr)
{
	unsigned refs;

	pf_mb();
	refs = pf_folio_extra_ref(u->folio);
	pf_rmb();
	if (pf_pte_dirty(pte) || pf_folio_test_flags(u->folio, PF_FOLIO_DIRTY)) {
		if (!PF_MUTANT("lazyfree-ignores-dirty")) {
			pf_folio_clear_flags(u->folio, PF_FOLIO_LAZYFREE);
			restore(u, idx, pte, nr);
			return false;
		}
	}
	/* Its pages are in no cache: the caller's reference is the only one there should be. */
	if (refs != 1 && !PF_MUTANT("lazyfree-ignores-refs")) {
		restore(u, idx, pte, nr);
		return false;
	}
	/* The rest may have to stay. */
	pf_folio_note_partly_mapped(u->space->phys, u->folio, nr);
	drop(u, pf_pte_pfn(pte), nr);
	return true;
}

/* Swap entries in place of pages that are all exclusive, or all not. */
static bool to_swap(struct unmap *u, unsigned idx, pf_pte_t pte, unsigned nr, bool exclusive)
{
	struct pf_swap *dev = u->space->swaps->dev[pf_folio_swap_dev(u->folio)];
	uint64_t slot = pf_folio_swap_slot(u->folio) + pf_folio_idx(u->folio, pf_pte_pfn(pte));
	uint64_t bits = pte.v & (PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP);

	if (pf_pte_dirty(pte))
		pf_folio_set_flags(u->folio, PF_FOLIO_DIRTY);
	if (pf_swap_dup(dev, slot, nr)) {
		restore(u, idx, pte, nr);
		return false;
	}
	if (exclusive && pf_folio_try_share_anon_rmap_ptes(u->folio, pf_pte_pfn(pte), nr)) {
		pf_swap_put(dev, slot, nr);
		restore(u, idx, pte, nr);
		return false;
	}
	if (exclusive && !PF_MUTANT("unmap-not-exclusive"))
		bits |= PF_PTE_EXCLUSIVE;
	pf_rss_add(u->space, PF_RSS_SWAP, nr);
	pf_set_swap_ptes(&u->m, idx, pf_pte_swap(dev->id, slot, bits), nr);
	drop(u, pf_pte_pfn(pte), nr);
	return true;
}

/*
 * A mapping's pages: the next fault finds them by their indexes. What was written is the folio's before it is read. That
 * writes must be noticed stays, as of what is zapped.
 */
static bool to_nothing(struct unmap *u, unsigned idx, pf_pte_t pte, unsigned nr)
{
	if (pf_pte_dirty(pte))
		pf_folio_set_flags(u->folio, PF_FOLIO_DIRTY);
	if (pf_pte_uffd_wp(u->area, pte) && !PF_MUTANT("unmap-drops-uffd-wp"))
		pf_set_wp_markers(&u->m, idx, nr);
	drop(u, pf_pte_pfn(pte), nr);
	return true;
}

/* nr entries from idx on, the first of which is `first`; one, if it is a device's. */
static bool unmap_run(struct unmap *u, unsigned idx, pf_pte_t first, unsigned nr)
{
	const bool file = pf_folio_is_file(u->folio);
	const bool lazy = pf_folio_test_flags(u->folio, PF_FOLIO_LAZYFREE) &&
			  !pf_folio_test_flags(u->folio, PF_FOLIO_SWAPCACHE);
	bool ok = true;

	while (nr && ok) {
		bool exclusive = false;
		unsigned n = nr;
		pf_pte_t pte;

		if (!lazy && !file)
			n = pf_folio_ae_run(u->folio, pf_folio_idx(u->folio, pf_pte_pfn(first)), nr,
				&exclusive);
		pte = pf_take_mappings(&u->m, idx, n, first, !PF_MUTANT("unmap-no-flush"));
		ok = file   ? to_nothing(u, idx, pte, n)
		     : lazy ? discard(u, idx, pte, n)
			    : to_swap(u, idx, pte, n, exclusive);
		first = pf_pte_advance(first, n);
		idx += n;
		nr -= n;
	}
	return ok;
}

/*
 * Slots [idx, idx + max) of a locked table. Uniform in W and soft-dirty, for a run that cannot be unmapped is put back
 * with the first entry's (coremm B4; a mapping's page always can); bounded by the table and the area, not by the folio (B6).
 */
static bool unmap_table(struct unmap *u, unsigned idx, unsigned max, pf_pfn_t pfn)
{
	unsigned flags = PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY;

	if (pf_folio_is_file(u->folio) || PF_MUTANT("unmap-merges-write"))
		flags = 0;
	for (unsigned i = 0; i < max;) {
		pf_pte_t pte;
		unsigned n = pf_pte_batch(&u->m, idx + i, max - i, flags, &pte);

		if (pf_pte_maps(pte) && pf_pte_pfn(pte) == pfn + i) {
			if (!unmap_run(u, idx + i, pte, n))
				return false;
		} else if (pf_pte_present(pte)) {
			n = 1;
		}
		i += n;
	}
	return true;
}

bool pf_unmap(struct pf_space *space, const struct pf_area *area, pf_va_t va, uint64_t nr,
	struct pf_folio *folio, pf_pfn_t pfn)
{
	struct unmap u = {.space = space, .area = area, .folio = folio};
	const pf_va_t start = va;

	pf_note_peak(space);
	while (pf_next_table(space, &va, &nr, &u.m)) {
		unsigned n = pf_pages_in_table(va, nr);
		bool ok;

		pf_pt_set_cause(&space->pt, PF_CAUSE_ZAP);
		/*
		 * Who finds the area by its pages does not hold the mmap lock. Who locks it in memory sets the flag and
		 * then brings in what is missing, with the table's lock: he comes before, and the flag is seen, or
		 * after, and finds what is gone. A table may have been skipped.
		 */
		ok = !(pf_load_relaxed(&area->flags) & PF_VM_LOCKED) &&
		     unmap_table(
			     &u, pf_pte_idx(&u.m, va), n, pfn + ((va - start) >> PF_PAGE_SHIFT));
		pf_pte_unmap_unlock(&u.m);
		if (!ok)
			return false;
		va += (pf_va_t)n << PF_PAGE_SHIFT;
		nr -= n;
	}
	return true;
}
