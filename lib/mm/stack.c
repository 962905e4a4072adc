/* SPDX-License-Identifier: MIT */
/*
 * Mappings that grow down: an access below one extends it, as far as a gap to what lies below it and
 * the limits allow.
 */
#include "mm/internal.h"

pf_va_t pf_vma_start_gap(const struct pf_mm *mm, const struct pf_vma *vma)
{
	const uint64_t gap = (uint64_t)mm->sys->stack_guard_gap << pf_mm_shift(mm);

	if (!(vma->area.flags & PF_VM_GROWSDOWN))
		return vma->area.start;
	return vma->area.start > gap ? vma->area.start - gap : 0;
}

/*
 * Does what lies below leave room? Another stack is no hazard, nor is what nobody may touch: a program
 * that runs over its stack's end is stopped there.
 */
static bool gap_left(const struct pf_mm *mm, const struct pf_vma *vma, pf_va_t start)
{
	const struct pf_vma *prev = pf_vma_tree_prev(mm->vmas, vma);
	const uint64_t gap = (uint64_t)mm->sys->stack_guard_gap << pf_mm_shift(mm);

	return !prev || (prev->area.flags & PF_VM_GROWSDOWN) ||
	       !(prev->area.flags & PF_VM_ACCESS) || start - prev->area.end >= gap;
}

static bool limits_allow(const struct pf_mm *mm, const struct pf_vma *vma, pf_va_t start)
{
	const uint32_t flags = vma->area.flags;
	const uint64_t pages = pf_mm_pages(mm, start, vma->area.start);

	return pages <= vma->area.pgoff && pf_may_expand_vm(mm, flags, pages) &&
	       vma->area.end - start <= mm->limits.stack &&
	       pf_mlock_future_ok(mm, flags, vma->area.start - start);
}

static int expand(struct pf_mm *mm, pf_va_t va)
{
	struct pf_vma *vma = pf_find_vma(mm, va);
	const pf_va_t start = pf_align_down(va, pf_mm_page(mm));
	uint64_t pages;

	/* Another thread may have extended it meanwhile, or unmapped it. */
	if (!vma || vma->area.start <= va || !(vma->area.flags & PF_VM_GROWSDOWN))
		return 0;
	if (start < mm->sys->mmap_min_addr || !gap_left(mm, vma, start) ||
		!limits_allow(mm, vma, start))
		return -PF_EFAULT;
	pages = pf_mm_pages(mm, start, vma->area.start);
	if (pf_anon_prepare(mm, vma))
		return -PF_ENOMEM;
	if (!pf_commit(mm->sys, vma->area.flags, pages))
		return -PF_EFAULT;
	pf_vm_stat(mm, vma->area.flags, (int64_t)pages);
	pf_vma_set_range(mm, vma, start, vma->area.end, vma->area.pgoff - pages);
	return 0;
}

int pf_expand_stack(struct pf_mm *mm, pf_va_t va)
{
	int err;

	pf_mmap_write_lock(mm);
	err = expand(mm, va);
	pf_mmap_write_unlock(mm);
	return err;
}
