/* SPDX-License-Identifier: MIT */
/*
 * Sampling of A.
 */
#include "mm/sample.h"

#include "mm/internal.h"

static uint64_t by_address(struct pf_mm *mm, pf_va_t va, uint64_t nr, enum pf_age how)
{
	const pf_va_t end = va + (nr << pf_mm_shift(mm));
	uint64_t young = 0;
	const struct pf_vma *vma;

	pf_mmap_read_lock(mm);
	vma = pf_find_vma(mm, va);
	for (; vma && vma->area.start < end; vma = pf_vma_tree_next(mm->vmas, vma)) {
		const pf_va_t from = pf_max(vma->area.start, va);

		if (vma->area.flags & PF_VM_PFNMAP)
			continue;
		young += mm->sys->fmt->age_range(
			&mm->space, from, pf_mm_pages(mm, from, pf_min(vma->area.end, end)), how);
	}
	pf_mmap_read_unlock(mm);
	return young;
}

void pf_sample_mkold(struct pf_mm *mm, pf_va_t va, uint64_t nr)
{
	by_address(mm, va, nr, PF_AGE_CLEAR);
}

uint64_t pf_sample_young(struct pf_mm *mm, pf_va_t va, uint64_t nr)
{
	return by_address(mm, va, nr, PF_AGE_LOOK);
}

/* ---- by frame ---- */

struct sample {
	enum pf_age how;
	bool young;
};

static bool sample_visit(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	struct sample *s = ctx;

	(void)vma;
	s->young |= mm->sys->fmt->referenced_one(&mm->space, place, s->how);
	/* One is enough to know; all are needed to clear. */
	return s->how != PF_AGE_LOOK || !s->young;
}

void pf_sample_mkold_frame(struct pf_system *sys, pf_pfn_t pfn)
{
	struct sample s = {.how = PF_AGE_CLEAR};
	struct pf_folio *folio =
		pf_phys_has(sys->phys, pfn) ? pf_folio_try_get_page(sys->phys, pfn) : NULL;

	if (!folio)
		return;
	pf_rmap_walk(sys, folio, sample_visit, &s, 0);
	pf_folio_set_flags(folio, PF_FOLIO_IDLE | (s.young ? PF_FOLIO_YOUNG : 0));
	pf_folio_put(sys->phys, folio, 1);
}

bool pf_sample_young_frame(struct pf_system *sys, pf_pfn_t pfn)
{
	struct sample s = {.how = PF_AGE_LOOK};
	struct pf_folio *folio =
		pf_phys_has(sys->phys, pfn) ? pf_folio_try_get_page(sys->phys, pfn) : NULL;

	if (!folio)
		return false;
	pf_rmap_walk(sys, folio, sample_visit, &s, 0);
	pf_folio_put(sys->phys, folio, 1);
	return s.young;
}

/* ---- all ---- */

uint64_t pf_age_all(struct pf_system *sys)
{
	struct pf_phys *phys = sys->phys;
	uint64_t used = 0, step;

	for (pf_pfn_t pfn = phys->first; pfn < phys->first + phys->nr; pfn += step) {
		struct pf_folio *folio = pf_folio_try_get_page(phys, pfn);

		step = 1;
		if (!folio)
			continue;
		/* Not where we may be in the middle of it. */
		step = pf_folio_nr(folio) - pf_folio_idx(folio, pfn);
		used += pf_folio_referenced(sys, folio, NULL) != 0;
		pf_folio_put(phys, folio, 1);
	}
	return used;
}
