/* SPDX-License-Identifier: MIT */
/*
 * uprobes' replacement of a page: a copy on write that somebody else has made. The mmap lock and the VMA's for writing keep faults out, and the folio
 * lock who would move the old page or send it out; truncation alone may empty the entry meanwhile.
 */
#include "mm/replace.h"

#include "base/mem.h"
#include "mm/internal.h"

struct replacement {
	struct pf_mm *mm;
	struct pf_vma *vma;
	pf_va_t va;
	pf_pfn_t old;
	struct pf_folio *by;
};

static int put(const struct replacement *r)
{
	const struct pf_format *fmt = r->mm->sys->fmt;
	struct pf_page_info info;

	fmt->page_info(&r->mm->space, r->va, &info);
	if (!pf_pte_present(info.pte) || pf_pte_special(info.pte) ||
		(pf_pte_pfn(info.pte) != r->old && !PF_MUTANT("replace-any-page")))
		return -PF_EAGAIN;
	/* No entry says so: it is what no place has yet. */
	pf_folio_set_flags(r->by, PF_FOLIO_DIRTY);
	if (fmt->put_copy(&r->mm->space, &r->vma->area, r->va, info.pte, r->by, false))
		return 0;
	pf_folio_clear_flags(r->by, PF_FOLIO_DIRTY);
	return -PF_EAGAIN;
}

/* Of the mapping's page, in memory. It may be written to, or cut off, at any time. */
static bool says_the_same(const struct replacement *r)
{
	const struct pf_system *sys = r->mm->sys;
	const uint64_t index = pf_vma_index(r->vma, r->va);
	struct pf_folio *folio = pf_mapping_find(r->vma->mapping, index, index);
	bool same;

	if (!folio)
		return false;
	same = !pf_folio_test_flags(folio, PF_FOLIO_HWPOISON) &&
	       pf_page_same(sys, pf_folio_pfn(sys->phys, folio) + (index - folio->head.index),
		       pf_folio_pfn(sys->phys, r->by));
	pf_folio_put(sys->phys, folio, 1);
	return same || PF_MUTANT("restore-unchecked");
}

static bool maps_old(const struct replacement *r)
{
	struct pf_page_info info;

	r->mm->sys->fmt->page_info(&r->mm->space, r->va, &info);
	return pf_pte_present(info.pte) && !pf_pte_special(info.pte) &&
	       pf_pte_pfn(info.pte) == r->old;
}

static int restore(const struct replacement *r)
{
	struct pf_system *sys = r->mm->sys;
	const bool own = pf_folio_is_file(pf_page_folio(sys->phys, r->old));
	struct pf_mmu_notifier_range range;
	struct pf_gather g;

	if (!r->vma->mapping || r->vma->uffd || (!own && !says_the_same(r)))
		return put(r);
	if (!maps_old(r))
		return -PF_EAGAIN;
	if (!own) {
		pf_tlb_gather_mmu(&g, &r->mm->space);
		pf_notify_start(&range, &r->mm->space, PF_MMU_NOTIFY_CLEAR, r->va,
			PF_MUTANT("notify-restore-forgets") ? r->va : r->va + pf_mm_page(r->mm));
		sys->fmt->zap_range(&g, &r->vma->area, r->va, 1, 0);
		pf_notify_end(&range);
		pf_tlb_finish_mmu(&g);
	}
	pf_folio_put(sys->phys, r->by, 1);
	return 0;
}

static int replace(struct replacement *r, int (*how)(const struct replacement *r))
{
	struct pf_folio *folio = pf_page_folio(r->mm->sys->phys, r->old);
	int err = -PF_EAGAIN;

	r->vma = pf_vma_lookup(r->mm, r->va);
	if (!r->vma || !pf_area_cow(&r->vma->area) || (r->vma->area.flags & PF_VM_SPECIAL) ||
		pf_folio_order(r->by))
		return -PF_EINVAL;
	pf_vma_start_write(r->vma);
	/* Before there can be a page that is found through it. */
	if (pf_anon_prepare(r->mm, r->vma))
		return -PF_ENOMEM;
	if (pf_folio_trylock(folio)) {
		err = how(r);
		pf_folio_unlock(folio);
	}
	return err;
}

static int with_lock(struct pf_mm *mm, pf_va_t va, pf_pfn_t old, struct pf_folio *by,
	int (*how)(const struct replacement *r))
{
	struct replacement r = {
		.mm = mm, .va = pf_align_down(va, pf_mm_page(mm)), .old = old, .by = by};
	int err;

	pf_mmap_write_lock(mm);
	err = replace(&r, how);
	pf_mmap_write_unlock(mm);
	return err;
}

int pf_replace_page(struct pf_mm *mm, pf_va_t va, pf_pfn_t old, struct pf_folio *by)
{
	return with_lock(mm, va, old, by, put);
}

int pf_restore_page(struct pf_mm *mm, pf_va_t va, pf_pfn_t old, struct pf_folio *by)
{
	return with_lock(mm, va, old, by, restore);
}
