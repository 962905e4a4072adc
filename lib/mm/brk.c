/* SPDX-License-Identifier: MIT */
/*
 * brk: the heap, a range that grows and shrinks at its end.
 */
#include "mm/internal.h"

/* The caller promises that nothing is mapped there yet. */
void pf_set_brk_start(struct pf_mm *mm, pf_va_t start)
{
	pf_mmap_write_lock(mm);
	mm->start_brk = start;
	mm->brk = start;
	pf_mmap_write_unlock(mm);
}

static int shrink(struct pf_mm *mm, pf_va_t from, pf_va_t to)
{
	struct pf_vma *vma = pf_find_vma(mm, from);
	struct pf_vma_reserve r;
	int err;

	/* Not ours any more: the program unmapped it itself. */
	if (!vma || vma->area.start >= to)
		return -PF_EINVAL;
	err = pf_munmap_reserve(mm, &r, from, to, 0);
	if (!err)
		err = pf_munmap_locked(mm, &r, from, to);
	pf_vma_unreserve(mm, &r);
	return err;
}

static int grow(struct pf_mm *mm, pf_va_t from, pf_va_t to)
{
	const uint32_t flags = PF_VM_READ | PF_VM_WRITE | PF_VM_MAYREAD | PF_VM_MAYWRITE |
			       PF_VM_MAYEXEC | PF_VM_ACCOUNT | PF_VM_SOFTDIRTY | mm->def_flags;
	struct pf_vma_desc d = {
		.start = from,
		.end = to,
		.flags = flags,
		.pgoff = from >> pf_mm_shift(mm),
	};
	const uint64_t pages = pf_mm_pages(mm, from, to);
	const struct pf_vma *next;
	struct pf_vma_reserve r;
	int64_t at = pf_get_unmapped_area(mm, from, to - from, true);
	int err;

	if (at < 0)
		return (int)at;
	if (!pf_mlock_future_ok(mm, flags, to - from))
		return -PF_EAGAIN;
	/* A page stays free between the heap and what follows it, or the gap that that wants. */
	next = pf_find_vma(mm, from);
	if (next && to + pf_mm_page(mm) > pf_vma_start_gap(mm, next))
		return -PF_ENOMEM;
	if (mm->map_count > mm->sys->max_map_count || !pf_may_expand_vm(mm, flags, pages) ||
		!pf_commit(mm->sys, flags, pages))
		return -PF_ENOMEM;
	err = pf_vma_reserve(mm, &r, 1, 0);
	if (!err)
		pf_vma_add(mm, &r, &d);
	else
		pf_uncommit(mm->sys, flags, pages);
	pf_vma_unreserve(mm, &r);
	return err;
}

pf_va_t pf_brk(struct pf_mm *mm, pf_va_t brk)
{
	pf_va_t from, to;
	bool populate;
	int err = 0;

	pf_mmap_write_lock(mm);
	from = pf_mm_align(mm, mm->brk);
	to = pf_mm_align(mm, brk);
	if (brk < mm->start_brk || brk >= mm->sys->task_size ||
		brk - mm->start_brk > mm->limits.data)
		err = -PF_ENOMEM;
	else if (to < from)
		err = shrink(mm, to, from);
	else if (to > from)
		err = grow(mm, from, to);
	populate = !err && to > from && (mm->def_flags & PF_VM_LOCKED);
	if (!err)
		mm->brk = brk;
	brk = mm->brk;
	pf_mmap_write_unlock(mm);
	if (populate) {
		pf_mmap_read_lock(mm);
		pf_populate_vmas(mm, from, to, true);
		pf_mmap_read_unlock(mm);
	}
	return brk;
}
