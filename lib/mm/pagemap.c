/* SPDX-License-Identifier: MIT */
/*
 * pagemap, of addresses; kpagecount and kpageflags, of frames.
 */
#include "mm/internal.h"
#include "mm/proc.h"

/* ---- pagemap ---- */

/* The numbers of Linux's kinds, with all of them configured. */
static unsigned kind_number(pf_pte_t pte)
{
	if (pf_pte_kind(pte) == PF_PTE_MIGRATION)
		return 25 + pf_pte_mig_kind(pte);
	if (pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE)
		return pf_pte_write(pte) ? 28 : 29;
	return pf_pte_kind(pte) == PF_PTE_DEVICE_EXCLUSIVE ? 30 : 24;
}

static uint64_t entry_flags(const struct pf_page_run *run)
{
	const pf_pte_t pte = run->pte;
	uint64_t e = 0;

	switch (pf_pte_kind(pte)) {
	case PF_PTE_NONE:
		return 0;
	case PF_PTE_PAGE:
		e = PF_PM_PRESENT | (pf_pte_pfn(pte) & PF_PM_FRAME);
		if (run->folio && !run->shared)
			e |= PF_PM_MMAP_EXCLUSIVE;
		break;
	case PF_PTE_SWAP:
		e = PF_PM_SWAP | pf_pte_swap_dev(pte) |
		    (pf_pte_swap_offset(pte) << PF_PM_SWAP_SHIFT & PF_PM_FRAME);
		break;
	case PF_PTE_MARKER:
		return PF_PM_SWAP | (pte.v & PF_MARKER_GUARD ? PF_PM_GUARD_REGION : 0) |
		       (pte.v & PF_MARKER_UFFD_WP ? PF_PM_UFFD_WP : 0);
	default:
		e = PF_PM_SWAP | kind_number(pte) |
		    (pf_pte_pfn(pte) << PF_PM_SWAP_SHIFT & PF_PM_FRAME);
		break;
	}
	return e | (run->file ? PF_PM_FILE : 0) |
	       (pte.v & PF_PTE_SOFT_DIRTY ? PF_PM_SOFT_DIRTY : 0) |
	       (pte.v & PF_PTE_UFFD_WP ? PF_PM_UFFD_WP : 0);
}

static void fill(struct pf_mm *mm, const struct pf_vma *vma, pf_va_t va, uint64_t nr, uint64_t *out)
{
	const uint64_t every = pf_vma_soft_dirty(vma) ? PF_PM_SOFT_DIRTY : 0;

	/* As if nothing were mapped (Linux). */
	for (; nr && (vma->area.flags & PF_VM_PFNMAP); nr--)
		*out++ = every;
	while (nr) {
		struct pf_page_run run;
		uint64_t e;

		mm->sys->fmt->page_run(&mm->space, va, nr, &run);
		e = entry_flags(&run) | every;
		for (uint64_t i = 0; i < run.nr; i++)
			*out++ = e + (run.folio ? i : 0);
		va += run.nr << pf_mm_shift(mm);
		nr -= run.nr;
	}
}

int64_t pf_pagemap(struct pf_mm *mm, pf_va_t va, uint64_t nr, uint64_t *entry)
{
	const uint64_t task_size = mm->sys->task_size;
	uint64_t done = 0;

	if (!pf_mm_aligned(mm, va))
		return -PF_EINVAL;
	nr = va < task_size ? pf_min(nr, pf_mm_pages(mm, va, task_size)) : 0;
	while (done < nr) {
		const pf_va_t at = va + (done << pf_mm_shift(mm));
		const pf_va_t stop = pf_align_down(at, pf_mm_pmd_size(mm)) + pf_mm_pmd_size(mm);
		const uint64_t max = pf_min(nr - done, pf_mm_pages(mm, at, stop));
		const struct pf_vma *vma;
		uint64_t n = max;

		pf_mmap_read_lock(mm);
		vma = pf_find_vma(mm, at);
		if (vma && vma->area.start <= at) {
			n = pf_min(n, pf_mm_pages(mm, at, vma->area.end));
			fill(mm, vma, at, n, entry + done);
		} else {
			if (vma)
				n = pf_min(n, pf_mm_pages(mm, at, vma->area.start));
			memset(entry + done, 0, n * sizeof(*entry));
		}
		pf_mmap_read_unlock(mm);
		done += n;
	}
	return (int64_t)done;
}

/* ---- frames ---- */

void pf_kpagecount(struct pf_system *sys, pf_pfn_t pfn, uint64_t nr, uint64_t *count)
{
	for (uint64_t i = 0; i < nr; i++) {
		struct pf_folio *folio = pf_phys_has(sys->phys, pfn + i)
						 ? pf_folio_try_get_page(sys->phys, pfn + i)
						 : NULL;

		count[i] = folio ? pf_folio_average_mapcount(folio) : 0;
		if (folio)
			pf_folio_put(sys->phys, folio, 1);
	}
}

#define KPF(n) PF_BIT(PF_KPF_##n)

/* Memory without a file has no other place than swap, shared or not. */
static bool is_swapbacked(struct pf_system *sys, const struct pf_folio *folio)
{
	struct pf_mapping *mapping;
	bool is;

	if (!pf_folio_is_file(folio))
		return !pf_folio_test_flags(folio, PF_FOLIO_LAZYFREE);
	mapping = pf_mapping_of(sys, folio);
	is = mapping && !mapping->ops;
	if (mapping)
		pf_mapping_put(mapping);
	return is;
}

static uint64_t folio_flags(struct pf_system *sys, const struct pf_folio *folio, pf_pfn_t pfn)
{
	static const struct {
		uint32_t has;
		uint64_t says;
	} flag[] = {
		{PF_FOLIO_LOCKED, KPF(LOCKED)},
		{PF_FOLIO_DIRTY, KPF(DIRTY)},
		{PF_FOLIO_UPTODATE, KPF(UPTODATE)},
		{PF_FOLIO_WRITEBACK, KPF(WRITEBACK)},
		{PF_FOLIO_SWAPCACHE, KPF(SWAPCACHE)},
		{PF_FOLIO_REFERENCED, KPF(REFERENCED)},
		{PF_FOLIO_IDLE, KPF(IDLE)},
		{PF_FOLIO_KSM, KPF(KSM)},
		{PF_FOLIO_HWPOISON, KPF(HWPOISON)},
	};
	uint64_t says = 0;

	if (pfn == sys->zero_pfn)
		return KPF(ZERO_PAGE);
	for (size_t i = 0; i < PF_ARRAY_SIZE(flag); i++)
		says |= pf_folio_test_flags(folio, flag[i].has) ? flag[i].says : 0;
	if (pf_folio_mapcount(folio))
		says |= KPF(MMAP);
	says |= pf_folio_is_file(folio) ? 0 : KPF(ANON);
	says |= is_swapbacked(sys, folio) ? KPF(SWAPBACKED) : 0;
	if (pf_folio_order(folio))
		says |= KPF(THP) |
			(pf_folio_idx(folio, pfn) ? KPF(COMPOUND_TAIL) : KPF(COMPOUND_HEAD));
	return says;
}

static uint64_t frame_flags(struct pf_system *sys, pf_pfn_t pfn)
{
	struct pf_folio *folio;
	uint64_t count, says;

	if (!pf_phys_has(sys->phys, pfn))
		return KPF(NOPAGE);
	folio = pf_folio_try_get_page(sys->phys, pfn);
	if (folio) {
		says = folio_flags(sys, folio, pfn);
		pf_folio_put(sys->phys, folio, 1);
		return says;
	}
	count = pf_load_relaxed(&pf_phys_frame(sys->phys, pfn)->count.word);
	switch ((enum pf_frame_kind)pf_count_kind(count)) {
	case PF_FRAME_TABLE:
		return KPF(PGTABLE);
	case PF_FRAME_FREE:
		return KPF(BUDDY);
	default:
		/* Inside a free block, or just changing hands. */
		return 0;
	}
}

void pf_kpageflags(struct pf_system *sys, pf_pfn_t pfn, uint64_t nr, uint64_t *flags)
{
	for (uint64_t i = 0; i < nr; i++)
		flags[i] = frame_flags(sys, pfn + i);
}
