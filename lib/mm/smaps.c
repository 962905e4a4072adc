/* SPDX-License-Identifier: MIT */
/*
 * smaps: what a VMA's pages cost, and whom.
 */
#include "mm/internal.h"
#include "mm/proc.h"

/* Pages of one folio that are alike. A device's, which are not present, Linux takes for shared, it does not know how often. */
static void count_mapped(
	struct pf_smaps *s, const struct pf_vma *vma, const struct pf_page_run *run, uint64_t size)
{
	const bool present = pf_pte_present(run->pte);
	const uint64_t times = run->sole || !present ? 1 : run->average;
	const uint64_t pss = (size << PF_PSS_SHIFT) / times;
	/* Only one mapping that is all the folio has is known to be the only one (Linux's reference count of 1). */
	const bool private = present && (run->sole || !run->shared);
	const bool dirty = pf_pte_dirty(run->pte) || (run->flags & PF_FOLIO_DIRTY);

	if (!run->file) {
		s->anonymous += size;
		s->lazyfree += (run->flags & PF_FOLIO_LAZYFREE) && !dirty ? size : 0;
	}
	s->ksm += run->flags & PF_FOLIO_KSM ? size : 0;
	s->rss += size;
	if (pf_pte_young(run->pte) || (run->flags & (PF_FOLIO_YOUNG | PF_FOLIO_REFERENCED)))
		s->referenced += size;
	s->pss += pss;
	*(!run->file                                   ? &s->pss_anon
		: vma->area.backing == PF_BACKED_SHMEM ? &s->pss_shmem
						       : &s->pss_file) += pss;
	s->pss_locked += vma->area.flags & PF_VM_LOCKED ? pss : 0;
	s->pss_dirty += dirty ? pss : 0;
	*(private       ? dirty ? &s->private_dirty : &s->private_clean
		: dirty ? &s->shared_dirty
			: &s->shared_clean) += size;
}

/*
 * What a mapping without a file has in swap is no entry's. Linux counts it all where it is shared, or private and cannot be
 * written; else, as private pages may be in its place, where there is nothing. It is in no pss.
 */
static bool counts_all(const struct pf_vma *vma)
{
	return (vma->area.flags & PF_VM_SHARED) || !(vma->area.flags & PF_VM_WRITE);
}

static uint64_t swapped(const struct pf_vma *vma, pf_va_t va, uint64_t nr)
{
	const uint64_t first = pf_vma_index(vma, va);

	if (!vma->mapping || vma->mapping->ops)
		return 0;
	return pf_shmem_swapped(vma->mapping, first, first + (nr - 1)) << pf_mm_shift(vma->mm);
}

static void count_vma(struct pf_smaps *s, struct pf_mm *mm, const struct pf_vma *vma)
{
	const pf_va_t end = vma->area.end;
	struct pf_page_run run;

	s->size += end - vma->area.start;
	/* As Linux: nor what has been copied there. */
	if (vma->area.flags & PF_VM_PFNMAP)
		return;
	if (counts_all(vma))
		s->swap += swapped(vma, vma->area.start, pf_mm_pages(mm, vma->area.start, end));
	for (pf_va_t va = vma->area.start; va < end; va += run.nr << pf_mm_shift(mm)) {
		mm->sys->fmt->page_run(&mm->space, va, pf_mm_pages(mm, va, end), &run);
		if (run.folio)
			count_mapped(s, vma, &run, run.nr << pf_mm_shift(mm));
		if (pf_pte_none(run.pte) && !counts_all(vma))
			s->swap += swapped(vma, va, run.nr);
		if (pf_pte_kind(run.pte) != PF_PTE_SWAP)
			continue;
		s->swap += pf_mm_page(mm);
		s->swap_pss += (pf_mm_page(mm) << PF_PSS_SHIFT) / run.average;
	}
}

static bool thp_eligible(const struct pf_system *sys, const struct pf_vma *vma)
{
	if (!vma->mapping)
		return pf_thp_orders(sys, vma->area.flags) & ~1u;
	return vma->area.backing == PF_BACKED_SHMEM &&
	       (pf_shmem_orders(sys, vma->area.flags) & ~1u);
}

bool pf_smaps(struct pf_mm *mm, pf_va_t va, struct pf_smaps *s)
{
	const struct pf_vma *vma;

	*s = (struct pf_smaps){0};
	pf_mmap_read_lock(mm);
	vma = pf_find_vma(mm, va);
	if (vma) {
		s->area = vma->area;
		s->mapping = vma->mapping;
		s->thp_eligible = thp_eligible(mm->sys, vma);
		count_vma(s, mm, vma);
	}
	pf_mmap_read_unlock(mm);
	return vma;
}

void pf_smaps_rollup(struct pf_mm *mm, struct pf_smaps *s)
{
	const struct pf_vma *vma;

	*s = (struct pf_smaps){0};
	pf_mmap_read_lock(mm);
	vma = pf_find_vma(mm, 0);
	if (vma)
		s->area.start = vma->area.start;
	for (; vma; vma = pf_vma_tree_next(mm->vmas, vma)) {
		s->area.end = vma->area.end;
		s->thp_eligible |= thp_eligible(mm->sys, vma);
		count_vma(s, mm, vma);
	}
	pf_mmap_read_unlock(mm);
}
