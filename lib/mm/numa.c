/* SPDX-License-Identifier: MIT */
/*
 * NUMA hints: which memory gets them. What a fault on one does is lib/ops' (numa.c): with one node, it takes them back.
 */
#include "mm/numa.h"

#include "mm/internal.h"

/* Inaccessible memory would not be told from a hint; read-only memory of files is shared by many (Linux: task_numa_work). */
static bool hints(const struct pf_vma *vma)
{
	const uint32_t flags = vma->area.flags;

	if ((flags & PF_VM_PFNMAP) || !(flags & PF_VM_ACCESS))
		return false;
	return !vma->mapping || (flags & (PF_VM_READ | PF_VM_WRITE)) != PF_VM_READ;
}

int pf_numa_hint(struct pf_mm *mm, pf_va_t addr, uint64_t len)
{
	const pf_va_t end = addr + pf_mm_align(mm, len);
	struct pf_gather g;
	struct pf_vma *vma;

	if (!pf_mm_aligned(mm, addr) || addr > mm->sys->task_size ||
		len > mm->sys->task_size - addr)
		return -PF_EINVAL;
	pf_mmap_read_lock(mm);
	pf_tlb_gather_mmu(&g, &mm->space);
	for (vma = pf_find_vma(mm, addr); vma && vma->area.start < end;
		vma = pf_vma_tree_next(mm->vmas, vma)) {
		const pf_va_t from = pf_max(vma->area.start, addr);
		const pf_va_t to = pf_min(vma->area.end, end);

		if (hints(vma))
			mm->sys->fmt->change_protection(&g, &vma->area, from,
				pf_mm_pages(mm, from, to), 0, PF_CP_PROT_NUMA);
	}
	pf_tlb_finish_mmu(&g);
	pf_mmap_read_unlock(mm);
	return 0;
}
