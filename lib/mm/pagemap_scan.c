/* SPDX-License-Identifier: MIT */
/*
 * PAGEMAP_SCAN: the pages of a range that are as one wants them.
 */
#include "mm/internal.h"
#include "mm/proc.h"

#define FLAGS      (PF_PM_SCAN_WP_MATCHING | PF_PM_SCAN_CHECK_WPASYNC)
#define CATEGORIES PF_MASK(8, 0)

struct scan {
	struct pf_mm *mm;
	struct pf_pm_scan *arg;
	struct pf_page_region *vec;
	uint64_t nr;    /* regions */
	uint64_t found; /* pages */
	bool full;
};

/* Do writes there end the protection of a page, and nothing more? */
static bool wp_async(const struct pf_vma *vma)
{
	const uint32_t both = PF_VM_UFFD_WP | PF_VM_UFFD_ASYNC;

	return (vma->area.flags & both) == both;
}

static uint64_t of_vma(const struct pf_vma *vma)
{
	return (wp_async(vma) ? PF_PAGE_IS_WPALLOWED : 0) |
	       (pf_vma_soft_dirty(vma) ? PF_PAGE_IS_SOFT_DIRTY : 0);
}

/* An empty slot counts as written: nothing protects it. Where there is no table, nobody looks. */
static uint64_t of_run(const struct scan *s, const struct pf_page_run *run)
{
	const pf_pte_t pte = run->pte;
	uint64_t c = 0;

	switch (pf_pte_kind(pte)) {
	case PF_PTE_NONE:
		return run->no_table ? 0 : PF_PAGE_IS_WRITTEN;
	case PF_PTE_PAGE:
		c = PF_PAGE_IS_PRESENT;
		if (run->folio && run->file)
			c |= PF_PAGE_IS_FILE;
		if (pf_pte_pfn(pte) == s->mm->sys->zero_pfn)
			c |= PF_PAGE_IS_PFNZERO;
		break;
	case PF_PTE_MARKER:
		c = PF_PAGE_IS_SWAPPED | (pte.v & PF_MARKER_GUARD ? PF_PAGE_IS_GUARD : 0);
		return c | (pte.v & PF_MARKER_UFFD_WP ? 0 : PF_PAGE_IS_WRITTEN);
	default:
		c = PF_PAGE_IS_SWAPPED;
		break;
	}
	return c | (pte.v & PF_PTE_UFFD_WP ? 0 : PF_PAGE_IS_WRITTEN) |
	       (pte.v & PF_PTE_SOFT_DIRTY ? PF_PAGE_IS_SOFT_DIRTY : 0);
}

static bool wanted(const struct pf_pm_scan *arg, uint64_t categories)
{
	categories ^= arg->category_inverted;
	return (categories & arg->category_mask) == arg->category_mask &&
	       (!arg->category_anyof_mask || (categories & arg->category_anyof_mask));
}

/* What belongs to the region before it joins it. False: there is no room. */
static bool push(struct scan *s, pf_va_t start, pf_va_t end, uint64_t categories)
{
	struct pf_page_region *last = s->nr ? &s->vec[s->nr - 1] : NULL;

	if (last && last->end == start && last->categories == categories) {
		last->end = end;
		return true;
	}
	if (s->nr == s->arg->vec_len)
		return false;
	s->vec[s->nr++] = (struct pf_page_region){start, end, categories};
	return true;
}

/* Pages that are wanted; with the limits reached, the walk ends at the first that is too many. */
static void tell(struct scan *s, pf_va_t start, uint64_t nr, uint64_t categories)
{
	const uint64_t n = pf_min(nr, s->arg->max_pages - s->found);
	pf_va_t end = start + (n << pf_mm_shift(s->mm));

	if (!s->vec)
		return;
	s->full = n < nr;
	if (n && !push(s, start, end, categories & s->arg->return_mask)) {
		s->full = true;
		end = start;
	} else {
		s->found += n;
	}
	if (s->full)
		s->arg->walk_end = end;
}

static int scan_vma(struct scan *s, const struct pf_vma *vma, pf_va_t va, pf_va_t end)
{
	const struct pf_pm_scan *arg = s->arg;
	const uint64_t every = of_vma(vma);

	if ((arg->flags & PF_PM_SCAN_CHECK_WPASYNC) && !wp_async(vma))
		return -PF_EPERM;
	if (vma->area.flags & PF_VM_PFNMAP)
		return 0;
	/* No page of it can be. */
	if (~(every ^ arg->category_inverted) & arg->category_mask & PF_PAGE_IS_WPALLOWED)
		return 0;
	while (va < end && !s->full) {
		struct pf_page_run run;
		uint64_t categories;

		s->mm->sys->fmt->page_run(&s->mm->space, va, pf_mm_pages(s->mm, va, end), &run);
		categories = every | of_run(s, &run);
		if (wanted(arg, categories))
			tell(s, va, run.nr, categories);
		va += run.nr << pf_mm_shift(s->mm);
	}
	return 0;
}

static int check(struct pf_mm *mm, struct pf_pm_scan *arg, const struct pf_page_region *vec)
{
	const uint64_t asked = arg->category_inverted | arg->category_mask |
			       arg->category_anyof_mask | arg->return_mask;
	const uint64_t task_size = mm->sys->task_size;

	if ((arg->flags & ~FLAGS) || (asked & ~CATEGORIES) || !pf_mm_aligned(mm, arg->start))
		return -PF_EINVAL;
	if (arg->end < arg->start || arg->end > task_size)
		return -PF_EFAULT;
	if (!vec && arg->vec_len)
		return -PF_EINVAL;
	return arg->flags & PF_PM_SCAN_WP_MATCHING ? -PF_EOPNOTSUPP : 0;
}

int64_t pf_pagemap_scan(struct pf_mm *mm, struct pf_pm_scan *arg, struct pf_page_region *vec)
{
	struct scan s = {.mm = mm, .arg = arg, .vec = arg->vec_len ? vec : NULL};
	int err = check(mm, arg, vec);
	const struct pf_vma *vma;

	if (err)
		return err;
	arg->end = pf_mm_align(mm, arg->end);
	arg->walk_end = arg->end;
	if (!arg->max_pages)
		arg->max_pages = UINT64_MAX;
	pf_mmap_read_lock(mm);
	vma = pf_find_vma(mm, arg->start);
	for (; !err && !s.full && vma && vma->area.start < arg->end;
		vma = pf_vma_tree_next(mm->vmas, vma))
		err = scan_vma(&s, vma, pf_max(vma->area.start, arg->start),
			pf_min(vma->area.end, arg->end));
	pf_mmap_read_unlock(mm);
	return err ? err : (int64_t)s.nr;
}
