/* SPDX-License-Identifier: MIT */
/*
 * clear_refs: what was used, and what was written, from now on.
 */
#include "mm/internal.h"
#include "mm/proc.h"

static uint64_t pages_of(const struct pf_vma *vma)
{
	return pf_mm_pages(vma->mm, vma->area.start, vma->area.end);
}

static void clear_used(struct pf_mm *mm, unsigned what)
{
	struct pf_vma *vma;

	pf_mmap_read_lock(mm);
	for (vma = pf_find_vma(mm, 0); vma; vma = pf_vma_tree_next(mm->vmas, vma)) {
		if ((vma->area.flags & PF_VM_PFNMAP) ||
			(what == PF_CLEAR_REFS_ANON && vma->mapping) ||
			(what == PF_CLEAR_REFS_MAPPED && !vma->mapping))
			continue;
		mm->sys->fmt->clear_refs(&mm->space, vma->area.start, pages_of(vma));
	}
	pf_mmap_read_unlock(mm);
}

/*
 * First what VMAs say, so that nothing gets W by it any more, and then entries. Between an entry's loss and the flush a
 * CPU may still write without a fault: such a write came before the call's end. The gather says meanwhile
 * that flushes are due.
 */
static void clear_written(struct pf_mm *mm)
{
	struct pf_mmu_notifier_range range;
	struct pf_gather g;
	struct pf_vma *vma;

	if (!pf_mm_has_soft_dirty(mm))
		return;
	pf_mmap_write_lock(mm);
	pf_vma_start_write_all(mm);
	pf_tlb_gather_mmu(&g, &mm->space);
	pf_notify_start(&range, &mm->space, PF_MMU_NOTIFY_SOFT_DIRTY, 0,
		PF_MUTANT("notify-soft-dirty-forgets") ? 0 : mm->sys->task_size);
	for (vma = pf_find_vma(mm, 0); vma; vma = pf_vma_tree_next(mm->vmas, vma)) {
		if (vma->area.flags & PF_VM_SOFTDIRTY)
			pf_vma_set_flags(mm, vma, vma->area.flags & ~PF_VM_SOFTDIRTY);
		if (vma->area.flags & PF_VM_PFNMAP)
			continue;
		mm->sys->fmt->clear_soft_dirty(&g, &vma->area, vma->area.start, pages_of(vma));
	}
	pf_notify_end(&range);
	pf_tlb_finish_mmu(&g);
	pf_mmap_write_unlock(mm);
}

int pf_clear_refs(struct pf_mm *mm, unsigned what)
{
	switch (what) {
	case PF_CLEAR_REFS_ALL:
	case PF_CLEAR_REFS_ANON:
	case PF_CLEAR_REFS_MAPPED:
		clear_used(mm, what);
		return 0;
	case PF_CLEAR_REFS_SOFT_DIRTY:
		clear_written(mm);
		return 0;
	case PF_CLEAR_REFS_MM_HIWATER:
		pf_mmap_write_lock(mm);
		pf_store_relaxed(&mm->space.peak_rss, 0);
		pf_mmap_write_unlock(mm);
		return 0;
	default:
		return -PF_EINVAL;
	}
}

uint64_t pf_peak_rss(const struct pf_mm *mm)
{
	return (uint64_t)pf_max(pf_load_relaxed(&mm->space.peak_rss), pf_space_rss(&mm->space));
}
