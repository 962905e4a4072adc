/* SPDX-License-Identifier: MIT */
/*
 * mincore and msync: which pages are there, and writing back what was changed.
 */
#include "mm/internal.h"

/* Pages that are not mapped here may be in memory all the same. */
static void ask_mapping(const struct pf_vma *vma, pf_va_t addr, uint64_t nr, uint8_t *vec)
{
	const uint64_t index = pf_vma_index(vma, addr);

	for (uint64_t i = 0; i < nr; i++)
		vec[i] = pf_mapping_cached(vma->mapping, index + i);
}

int pf_mincore(struct pf_mm *mm, pf_va_t addr, uint64_t len, uint8_t *vec)
{
	const uint64_t task_size = mm->sys->task_size;
	int err = 0;
	pf_va_t end;

	if (!pf_mm_aligned(mm, addr))
		return -PF_EINVAL;
	if (len > task_size || addr > task_size - len)
		return -PF_ENOMEM;
	end = addr + pf_mm_align(mm, len);

	pf_mmap_read_lock(mm);
	while (addr < end) {
		const struct pf_vma *vma = pf_vma_lookup(mm, addr);
		bool present;
		uint64_t n;

		if (!vma) {
			err = -PF_ENOMEM;
			break;
		}
		n = pf_mm_pages(mm, addr, pf_min(vma->area.end, end));
		present = false;
		/* Linux asks the cache of a device's file, which has nothing. */
		if (!(vma->area.flags & PF_VM_PFNMAP))
			n = mm->sys->fmt->run_of(&mm->space, addr, n, PF_RUN_RESIDENT, &present);
		memset(vec, present, n);
		if (!present && vma->mapping)
			ask_mapping(vma, addr, n, vec);
		vec += n;
		addr += n << pf_mm_shift(mm);
	}
	pf_mmap_read_unlock(mm);
	return err;
}

/* One VMA's part: what shared memory of a file was changed is written before the call returns. */
static int sync_vma(const struct pf_vma *vma, pf_va_t start, pf_va_t end, unsigned flags)
{
	if (!(flags & PF_MS_SYNC) || !vma->mapping || !(vma->area.flags & PF_VM_SHARED))
		return 0;
	return pf_mapping_sync(
		vma->mapping, pf_vma_index(vma, start), pf_mm_pages(vma->mm, start, end));
}

/* The range: every page of it is mapped, and none is locked if caches shall be dropped. */
static int sync_range(const struct pf_mm *mm, pf_va_t start, pf_va_t end, unsigned flags)
{
	int hole = 0, err;

	while (start < end) {
		const struct pf_vma *vma = pf_find_vma(mm, start);

		if (!vma)
			return -PF_ENOMEM;
		if (start < vma->area.start) {
			/* The rest is done all the same, but for who does not wait for it. */
			if (flags == PF_MS_ASYNC)
				return -PF_ENOMEM;
			hole = -PF_ENOMEM;
			if (vma->area.start >= end)
				break;
			start = vma->area.start;
		}
		if ((flags & PF_MS_INVALIDATE) && (vma->area.flags & PF_VM_LOCKED))
			return -PF_EBUSY;
		err = sync_vma(vma, start, pf_min(vma->area.end, end), flags);
		if (err)
			return err;
		start = vma->area.end;
	}
	return hole;
}

int pf_msync(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned flags)
{
	const unsigned both = PF_MS_ASYNC | PF_MS_SYNC;
	pf_va_t end;
	int err;

	if ((flags & ~(both | PF_MS_INVALIDATE)) || !pf_mm_aligned(mm, addr) ||
		(flags & both) == both)
		return -PF_EINVAL;
	/* A length that wraps is 0. */
	end = addr + pf_mm_align(mm, len);
	if (end < addr)
		return -PF_ENOMEM;
	pf_mmap_read_lock(mm);
	err = sync_range(mm, addr, end, flags);
	pf_mmap_read_unlock(mm);
	return err;
}
