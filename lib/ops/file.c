/* SPDX-License-Identifier: MIT */
/*
 * A mapping's folios, mapped; and cleaned, so that a later write is noticed.
 */
#include "ops/internal.h"

struct map {
	struct pf_space *space;
	const struct pf_area *area;
	struct pf_pte_map m;
	pf_va_t va; /* of the page that faulted */
	bool write;
	bool full; /* a folio has as many mappings as it may have */
};

/* nr empty slots from va on, or one with a marker. One stretch is young, and dirty, as a whole or not at all. */
static void map_stretch(
	struct map *f, pf_va_t va, pf_pfn_t pfn, unsigned nr, struct pf_folio *folio, pf_pte_t old)
{
	const bool here = f->va >= va && f->va - va < (pf_va_t)nr << PF_PAGE_SHIFT;
	/* Without hardware that sets A, an old entry would be a fault for nothing. */
	const bool young = here || !(f->space->pt.features & PF_FEAT_HAF);
	uint64_t prot = f->area->prot;
	pf_pte_t pte;

	if (pf_area_cow(f->area))
		prot &= ~PF_PTE_W;
	else if (f->write)
		prot |= PF_PTE_W;
	pte = pf_pte_mk(pfn, prot | (young ? PF_PTE_A : 0));
	if (f->write)
		pte = pf_pte_set(pte, pf_sd());
	pte = pf_pte_take_marker(f->area, pte, old);
	if (here && f->write && pf_pte_write(pte))
		pte = pf_pte_set(pte, PF_PTE_D);
	if (!pf_folio_add_file_rmap_ptes(folio, nr, f->space->mm_id)) {
		f->full = true;
		return;
	}
	pf_rss_add_of(f->space, f->area, true, nr);
	if (!pf_pte_none(old))
		pf_clear_not_present_ptes(&f->m, pf_pte_idx(&f->m, va), 1);
	pf_forget_zapped(f->space, va, nr);
	pf_set_ptes(&f->m, pf_pte_idx(&f->m, va), pte, nr, pf_folio_extent(f->space->phys, folio));
}

/*
 * Whatever else of the folio is mapped already: the slots that are empty are filled, the one that faulted
 * among them if it still is, so that a fault always gets on (bug B41).
 */
static void map_run(struct map *f, const struct pf_file_run *run)
{
	struct pf_folio *folio = pf_page_folio(f->space->phys, run->pfn);
	const unsigned idx = pf_pte_idx(&f->m, run->va);

	if (f->write)
		pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
	for (unsigned i = 0; i < run->nr;) {
		pf_pte_t pte;
		unsigned n = pf_pte_batch(&f->m, idx + i, run->nr - i, 0, &pte);

		if (pf_pte_vacant(pte))
			map_stretch(f, pf_pte_va(&f->m, idx + i), run->pfn + i, n, folio, pte);
		else if (PF_MUTANT("map-file-all-or-none"))
			return;
		i += n;
	}
}

enum pf_fault_result pf_map_file(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	unsigned flags, const struct pf_file_run *run, unsigned nr)
{
	struct map f = {
		.space = space,
		.area = area,
		.va = pf_align_down(va, PF_PAGE_SIZE),
		.write = flags & PF_FAULT_FLAG_WRITE,
	};

	if (pf_pte_alloc_map_lock(&space->pt, f.va, &f.m))
		return PF_FAULT_OOM;
	for (unsigned i = 0; i < nr; i++) {
		map_run(&f, &run[i]);
		/* The page itself is in the first; what does not fit beside it does not matter. */
		if (f.full && !i)
			break;
		f.full = false;
	}
	pf_pte_unmap_unlock(&f.m);
	return f.full ? PF_FAULT_OOM : PF_FAULT_DONE;
}

/*
 * Emptied, flushed, and written back without W and D: no CPU can set D in between, for walkers find
 * nothing, and none has W in its TLB when the entry is back.
 */
static void clean(struct pf_space *space, struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	pf_pte_t pte = pf_get_and_clear_ptes(m, idx, nr);
	struct pf_folio *folio = pf_page_folio(space->phys, pf_pte_pfn(pte));

	if (!PF_MUTANT("mkclean-no-flush"))
		pf_flush_tlb_range(&space->pt, pf_pte_va(m, idx), nr);
	pte = pf_pte_clear(pte, PF_PTE_W | PF_PTE_D);
	pf_set_ptes(m, idx, pte, nr, pf_folio_extent(space->phys, folio));
}

void pf_mkclean_range(
	struct pf_space *space, const struct pf_area *area, pf_va_t va, uint64_t nr, pf_pfn_t pfn)
{
	const unsigned flags =
		PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY | PF_FPB_MERGE_YOUNG_DIRTY;
	const pf_va_t start = va;
	struct pf_pte_map m;

	(void)area;
	while (pf_next_table(space, &va, &nr, &m)) {
		const unsigned pages = pf_pages_in_table(va, nr);
		unsigned idx = pf_pte_idx(&m, va), end = idx + pages;

		while (idx < end) {
			const pf_pfn_t want = pfn + ((pf_pte_va(&m, idx) - start) >> PF_PAGE_SHIFT);
			pf_pte_t pte;
			unsigned n = pf_pte_batch(&m, idx, end - idx, flags, &pte);

			/* A private copy may have taken its place, or another folio. */
			if (pf_pte_present(pte) && pf_pte_pfn(pte) == want &&
				(pf_pte_write(pte) || pf_pte_dirty(pte)))
				clean(space, &m, idx, n);
			idx += n;
		}
		pf_pte_unmap_unlock(&m);
		va += (pf_va_t)pages << PF_PAGE_SHIFT;
		nr -= pages;
	}
}
