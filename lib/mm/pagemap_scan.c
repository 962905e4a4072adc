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
	struct pf_gather *g; /* WP_MATCHING */
	/* Where it is: */
	const struct pf_vma *vma;
	pf_va_t va;
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

/* An empty slot counts as written: nothing protects it. Where there is no table, nobody looks, unless uffd-wp is asked for. */
static uint64_t of_run(const struct scan *s, const struct pf_page_run *run)
{
	const pf_pte_t pte = run->pte;
	const bool looked_at = !run->no_table || (s->vma->area.flags & PF_VM_UFFD_WP);
	uint64_t c = 0;

	switch (pf_pte_kind(pte)) {
	case PF_PTE_NONE:
		return looked_at ? PF_PAGE_IS_WRITTEN : 0;
	case PF_PTE_PAGE:
		c = PF_PAGE_IS_PRESENT;
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
	return c | (run->file ? PF_PAGE_IS_FILE : 0) |
	       (pte.v & PF_PTE_UFFD_WP ? 0 : PF_PAGE_IS_WRITTEN) |
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

/* Of nr wanted pages from s->va on, how many there is room for: at the first that is too many the walk ends. */
static uint64_t tell(struct scan *s, uint64_t nr, uint64_t categories)
{
	uint64_t n = pf_min(nr, s->arg->max_pages - s->found);
	pf_va_t end = s->va + (n << pf_mm_shift(s->mm));

	s->full = n < nr;
	if (n && !push(s, s->va, end, categories & s->arg->return_mask)) {
		s->full = true;
		n = 0;
		end = s->va;
	}
	s->found += n;
	if (s->full)
		s->arg->walk_end = end;
	return n;
}

/* How many pages of a run are told of. Without regions none is, and all are protected, whatever they are. */
static uint64_t tell_run(void *ctx, const struct pf_page_run *run)
{
	struct scan *s = ctx;
	const uint64_t categories = of_vma(s->vma) | of_run(s, run);

	if (!s->vec)
		return run->nr;
	return wanted(s->arg, categories) ? tell(s, run->nr, categories) : 0;
}

/*
 * No table: one is made for what will be protected. If there is no memory for it, what has been told must not be lost: the walk
 * ends there, as if there were no more room.
 */
static int make_table(struct scan *s, struct pf_page_run *run)
{
	const uint64_t in_table = PF_BIT(s->mm->sys->fmt->pt->level_bits);
	int err;

	if (!wanted(s->arg, of_vma(s->vma) | of_run(s, run)))
		return 0;
	run->nr = pf_min(run->nr, in_table - ((s->va >> pf_mm_shift(s->mm)) & (in_table - 1)));
	err = s->mm->sys->fmt->alloc_tables(&s->mm->space, s->va, run->nr);
	if (err && s->nr) {
		s->arg->walk_end = s->va;
		s->full = true;
		err = 0;
	}
	/* Then it is looked at again. */
	run->nr = 0;
	return err;
}

static int scan_run(struct scan *s, uint64_t max, uint64_t *nr)
{
	const struct pf_format *fmt = s->mm->sys->fmt;
	struct pf_page_run run;
	int err = 0;

	if (s->g) {
		fmt->protect_run(s->g, s->va, max, &run, tell_run, s);
		if (run.no_table)
			err = make_table(s, &run);
	} else {
		fmt->page_run(&s->mm->space, s->va, max, &run);
		tell_run(s, &run);
	}
	*nr = run.nr;
	return err;
}

static int scan_vma(struct scan *s, const struct pf_vma *vma, pf_va_t va, pf_va_t end)
{
	const struct pf_pm_scan *arg = s->arg;
	int err = 0;

	if ((arg->flags & PF_PM_SCAN_CHECK_WPASYNC) && !wp_async(vma))
		return -PF_EPERM;
	if ((vma->area.flags & PF_VM_PFNMAP) || (s->g && !wp_async(vma)))
		return 0;
	/* No page of it can be. */
	if (~(of_vma(vma) ^ arg->category_inverted) & arg->category_mask & PF_PAGE_IS_WPALLOWED)
		return 0;
	s->vma = vma;
	for (s->va = va; !err && s->va < end && !s->full;) {
		uint64_t nr;

		err = scan_run(s, pf_mm_pages(s->mm, s->va, end), &nr);
		s->va += nr << pf_mm_shift(s->mm);
	}
	return err;
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
	return 0;
}

int64_t pf_pagemap_scan(struct pf_mm *mm, struct pf_pm_scan *arg, struct pf_page_region *vec)
{
	struct scan s = {.mm = mm, .arg = arg, .vec = arg->vec_len ? vec : NULL};
	int err = check(mm, arg, vec);
	struct pf_mmu_notifier_range range = {0};
	const struct pf_vma *vma;
	struct pf_gather g;

	if (err)
		return err;
	arg->end = pf_mm_align(mm, arg->end);
	arg->walk_end = arg->end;
	if (!arg->max_pages)
		arg->max_pages = UINT64_MAX;
	pf_mmap_read_lock(mm);
	if (arg->flags & PF_PM_SCAN_WP_MATCHING) {
		pf_tlb_gather_mmu(&g, &mm->space);
		s.g = &g;
		if (!PF_MUTANT("notify-scan-forgets"))
			pf_notify_start(&range, &mm->space, PF_MMU_NOTIFY_PROTECTION_VMA,
				arg->start, arg->end);
	}
	/* An empty range meets no mapping, whatever it lies in. */
	vma = arg->start < arg->end ? pf_find_vma(mm, arg->start) : NULL;
	for (; !err && !s.full && vma && vma->area.start < arg->end;
		vma = pf_vma_tree_next(mm->vmas, vma))
		err = scan_vma(&s, vma, pf_max(vma->area.start, arg->start),
			pf_min(vma->area.end, arg->end));
	/* Once for all: whoever reads what was told as written does so afterwards, and any later store faults. */
	pf_notify_end(&range);
	if (s.g)
		pf_tlb_finish_mmu(s.g);
	pf_mmap_read_unlock(mm);
	return err ? err : (int64_t)s.nr;
}
