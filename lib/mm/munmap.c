/* SPDX-License-Identifier: MIT */
/*
 * munmap.
 */
#include "mm/internal.h"

bool pf_munmap_splits(const struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	const struct pf_vma *vma = pf_vma_lookup(mm, start);

	return vma && vma->area.start < start && vma->area.end > end;
}

int pf_munmap_check(const struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	const struct pf_vma *vma;

	if (pf_munmap_splits(mm, start, end) && mm->map_count >= mm->sys->max_map_count)
		return -PF_ENOMEM;
	for (vma = pf_find_vma(mm, start); vma && vma->area.start < end;
		vma = pf_vma_tree_next(mm->vmas, vma))
		if (vma->area.flags & PF_VM_SEALED)
			return -PF_EPERM;
	return 0;
}

int pf_munmap_reserve(
	struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end, uint64_t nr)
{
	uint64_t links = 0;

	if (pf_munmap_splits(mm, start, end)) {
		nr++;
		links = pf_anon_links(pf_vma_lookup(mm, start));
	}
	return pf_vma_reserve(mm, r, nr, links);
}

/* Take [start, end) out of the tree, and out of what its pages are found by. */
static void cut(
	struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end, bool promised)
{
	struct pf_vma *vma;

	while ((vma = pf_find_vma(mm, start)) && vma->area.start < end) {
		const pf_va_t from = vma->area.start, to = vma->area.end;
		const uint64_t pages = pf_mm_pages(mm, pf_max(from, start), pf_min(to, end));

		pf_vm_stat(mm, vma->area.flags, -(int64_t)pages);
		if (!promised)
			pf_uncommit(mm->sys, vma->area.flags, pages);
		if (from < start) {
			if (to > end)
				pf_vma_split(mm, r, vma, end);
			pf_vma_set_range(mm, vma, from, start, vma->area.pgoff);
		} else if (to > end) {
			pf_vma_set_range(
				mm, vma, end, to, vma->area.pgoff + pf_mm_pages(mm, from, end));
		} else {
			pf_vma_remove(mm, vma);
		}
	}
}

static int unmap(
	struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end, bool promised)
{
	const struct pf_format *fmt = mm->sys->fmt;
	pf_va_t floor = 0, ceiling = mm->sys->task_size;
	struct pf_mmu_notifier_range range;
	struct pf_gather g;
	struct pf_vma *vma;
	int err;

	err = pf_munmap_check(mm, start, end);
	if (err)
		return err;
	vma = pf_find_vma(mm, start);
	if (!vma || vma->area.start >= end)
		return 0;

	pf_tlb_gather_mmu(&g, &mm->space);
	pf_notify_start(&range, &mm->space, PF_MMU_NOTIFY_UNMAP,
		PF_MUTANT("notify-munmap-forgets") ? end : start, end);
	for (; vma && vma->area.start < end; vma = pf_vma_tree_next(mm->vmas, vma)) {
		pf_va_t from = pf_max(vma->area.start, start), to = pf_min(vma->area.end, end);

		/* What is emptied stays so. */
		pf_vma_start_write(vma);
		fmt->zap_range(&g, &vma->area, from, pf_mm_pages(mm, from, to), 0);
	}
	pf_notify_end(&range);
	cut(mm, r, start, end, promised);
	/*
	 * A table goes when nothing mapped is left in its reach: up to the neighbours. After the VMAs, so that
	 * no walker that came by a page is in it (anon_vma.h).
	 */
	vma = pf_vma_tree_find_below(mm->vmas, start);
	if (vma)
		floor = vma->area.end;
	vma = pf_find_vma(mm, end);
	if (vma)
		ceiling = vma->area.start;
	fmt->free_tables(
		&g, start, pf_mm_pages(mm, start, end), floor, pf_mm_pages(mm, floor, ceiling));
	pf_tlb_finish_mmu(&g);
	return 0;
}

int pf_munmap_locked(struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end)
{
	return unmap(mm, r, start, end, false);
}

int pf_munmap_promised(struct pf_mm *mm, struct pf_vma_reserve *r, pf_va_t start, pf_va_t end)
{
	return unmap(mm, r, start, end, true);
}

int pf_munmap(struct pf_mm *mm, pf_va_t addr, uint64_t len)
{
	struct pf_vma_reserve r;
	pf_va_t end;
	int err;

	if (!pf_mm_aligned(mm, addr) || addr > mm->sys->task_size ||
		len > mm->sys->task_size - addr || !len)
		return -PF_EINVAL;
	end = addr + pf_mm_align(mm, len);

	pf_mmap_write_lock(mm);
	err = pf_munmap_reserve(mm, &r, addr, end, 0);
	if (!err)
		err = pf_munmap_locked(mm, &r, addr, end);
	pf_vma_unreserve(mm, &r);
	pf_mmap_write_unlock(mm);
	return err;
}
