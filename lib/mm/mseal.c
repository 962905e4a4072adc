/* SPDX-License-Identifier: MIT */
/*
 * mseal: mappings that stay what and where they are, for the life of the address space.
 *
 * Sealed: munmap, mremap, mprotect and a mapping over it are -PF_EPERM (munmap.c, mremap.c,
 * mprotect.c), and so is advice that discards what the program could not have written itself
 * (madvise.c). Faults, locks and other advice go on.
 */
#include "mm/internal.h"

static bool has_hole(const struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	while (start < end) {
		const struct pf_vma *vma = pf_vma_lookup(mm, start);

		if (!vma)
			return true;
		start = vma->area.end;
	}
	return false;
}

static int seal_range(struct pf_mm *mm, pf_va_t start, pf_va_t end)
{
	struct pf_vma_reserve r;
	int err;

	if (has_hole(mm, start, end))
		return -PF_ENOMEM;
	err = pf_vma_reserve_splits(mm, &r, start, end);
	while (!err && start < end) {
		struct pf_vma *vma = pf_vma_lookup(mm, start);
		const pf_va_t to = pf_min(vma->area.end, end);
		const uint32_t flags = vma->area.flags | PF_VM_SEALED;

		if (flags != vma->area.flags && !pf_vma_modify_flags(mm, &r, vma, start, to, flags))
			err = -PF_ENOMEM;
		start = to;
	}
	pf_vma_unreserve(mm, &r);
	return err;
}

int pf_mseal(struct pf_mm *mm, pf_va_t addr, uint64_t len, unsigned flags)
{
	const uint64_t size = pf_mm_align(mm, len);
	int err;

	if (flags || !pf_mm_aligned(mm, addr) || (len && !size) || addr + size < addr)
		return -PF_EINVAL;
	if (!size)
		return 0;
	pf_mmap_write_lock(mm);
	err = seal_range(mm, addr, addr + size);
	pf_mmap_write_unlock(mm);
	return err;
}
