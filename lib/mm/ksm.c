/* SPDX-License-Identifier: MIT */
/*
 * KSM.
 *
 * Two pages are compared when nobody can change them any more: each is locked and has a reference of ours, and its entry lost
 * the right to write, was flushed, and is not exclusive. From then on a write fault copies, for a page with a reference
 * besides its mappings is not reused; and a pin unshares. So what compares equal stays equal until the second entry maps
 * the first page.
 */
#include "mm/ksm.h"

#include "mm/internal.h"
#include "mm/migrate.h"

PF_STATIC_ASSERT(PF_HANDLE_KSM == PF_MAPPING_KSM, "lib/phys and lib/mm tell KSM's pages alike");

/* One of the two places. */
struct side {
	struct pf_mm *mm;
	pf_va_t va;
	struct pf_folio *folio; /* of one page, with a reference */
};

bool pf_ksm_compatible(const struct pf_vma *vma)
{
	return !(vma->area.flags &
		 (PF_VM_SHARED | PF_VM_MAYSHARE | PF_VM_PFNMAP | PF_VM_DONTEXPAND));
}

static struct pf_vma *find(const struct side *s)
{
	struct pf_vma *vma = pf_vma_lookup(s->mm, s->va);

	return vma && (vma->area.flags & PF_VM_MERGEABLE) ? vma : NULL;
}

static struct pf_folio *look(const struct side *s)
{
	struct pf_folio *folio = NULL;
	pf_pfn_t pfn;

	pf_mmap_read_lock(s->mm);
	if (find(s))
		s->mm->sys->fmt->folio_run(&s->mm->space, s->va, 1, &folio, &pfn);
	pf_mmap_read_unlock(s->mm);
	if (folio && pf_folio_is_file(folio)) {
		pf_folio_put(s->mm->sys->phys, folio, 1);
		folio = NULL;
	}
	return folio;
}

static int get(struct side *s)
{
	struct pf_system *sys = s->mm->sys;
	int err = 0;

	s->va = pf_align_down(s->va, pf_mm_page(s->mm));
	s->folio = s->va < sys->task_size ? look(s) : NULL;
	if (s->folio && pf_folio_order(s->folio)) {
		err = pf_split_folio(sys, s->folio);
		pf_folio_put(sys->phys, s->folio, 1);
		s->folio = err ? NULL : look(s);
		if (!err && s->folio && pf_folio_order(s->folio))
			err = -PF_EAGAIN;
	}
	return err ? err : s->folio ? 0 : -PF_EINVAL;
}

static bool is_busy(const struct side *s)
{
	return pf_folio_test_flags(s->folio, PF_FOLIO_SWAPCACHE | PF_FOLIO_HWPOISON);
}

static int protect(const struct side *s)
{
	int err = -PF_EAGAIN;

	pf_mmap_read_lock(s->mm);
	if (find(s))
		err = s->mm->sys->fmt->ksm_protect(&s->mm->space, s->va, s->folio);
	pf_mmap_read_unlock(s->mm);
	return err;
}

/*
 * Both are locked. Who brings a page in waits for the lock of its folio in the swap cache, with a mmap lock held; so neither is
 * there when we wait for a mmap lock, nor gets there: that takes the folio lock.
 */
static int merge(const struct side *keep, const struct side *gone)
{
	const struct pf_system *sys = keep->mm->sys;
	const unsigned shift = sys->fmt->pt->page_shift;
	struct pf_vma *vma;
	int err;

	if (is_busy(keep) || is_busy(gone))
		return -PF_EBUSY;
	err = protect(keep);
	if (!err)
		err = protect(gone);
	if (err)
		return err;
	if (memcmp(pf_port_virt(pf_folio_pfn(sys->phys, keep->folio) << shift),
		    pf_port_virt(pf_folio_pfn(sys->phys, gone->folio) << shift), PF_BIT(shift)))
		return -PF_EAGAIN;
	pf_mmap_read_lock(gone->mm);
	vma = find(gone);
	err = -PF_EAGAIN;
	if (vma)
		err = sys->fmt->ksm_replace(
			&gone->mm->space, &vma->area, gone->va, gone->folio, keep->folio);
	pf_mmap_read_unlock(gone->mm);
	return err;
}

static int merge_unlocked(const struct side *keep, const struct side *gone)
{
	int err = -PF_EAGAIN;

	if (keep->folio == gone->folio)
		return 0;
	if (pf_folio_trylock(keep->folio)) {
		if (pf_folio_trylock(gone->folio)) {
			err = merge(keep, gone);
			pf_folio_unlock(gone->folio);
		}
		pf_folio_unlock(keep->folio);
	}
	return err;
}

int pf_ksm_merge(struct pf_mm *mm, pf_va_t va, struct pf_mm *other, pf_va_t other_va)
{
	struct side a = {.mm = mm, .va = va}, b = {.mm = other, .va = other_va};
	int err = get(&a);

	if (!err)
		err = get(&b);
	if (!err && pf_folio_test_flags(b.folio, PF_FOLIO_KSM))
		err = merge_unlocked(&b, &a);
	else if (!err)
		err = merge_unlocked(&a, &b);
	if (a.folio)
		pf_folio_put(mm->sys->phys, a.folio, 1);
	if (b.folio)
		pf_folio_put(mm->sys->phys, b.folio, 1);
	return err;
}

int pf_ksm_unmerge(struct pf_mm *mm, struct pf_vma *vma, pf_va_t start, pf_va_t end)
{
	uint64_t nr;

	for (; vma->area.anon && start < end; start += nr << pf_mm_shift(mm)) {
		struct pf_folio *folio;
		pf_pfn_t pfn;
		bool ksm;

		nr = mm->sys->fmt->folio_run(
			&mm->space, start, pf_mm_pages(mm, start, end), &folio, &pfn);
		if (!folio)
			continue;
		ksm = pf_folio_test_flags(folio, PF_FOLIO_KSM);
		pf_folio_put(mm->sys->phys, folio, 1);
		if (!ksm)
			continue;
		/* A copy of its own, and looked at again: the fault may have taken back a hint first. */
		if (pf_vma_fault(mm, vma, start, PF_FAULT_FLAG_UNSHARE) == PF_FAULT_OOM)
			return -PF_ENOMEM;
		nr = 0;
	}
	return 0;
}
