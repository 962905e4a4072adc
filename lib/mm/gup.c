/* SPDX-License-Identifier: MIT */
/*
 * get_user_pages and pin_user_pages, and both without a lock: pages of an address space for a driver to keep, faulted in where they must be.
 */
#include "mm/internal.h"

/* Linux's check_vma_flags. */
static bool vma_allows(const struct pf_vma *vma, unsigned foll)
{
	const uint32_t flags = vma->area.flags;

	if ((flags & (PF_VM_IO | PF_VM_PFNMAP)) && !PF_MUTANT("gup-takes-pfnmap"))
		return false;
	if (foll & PF_FOLL_WRITE)
		return (flags & PF_VM_WRITE) || ((foll & PF_FOLL_FORCE) && pf_area_cow(&vma->area));
	return (flags & PF_VM_READ) || PF_MUTANT("gup-ignores-vma") ||
	       ((foll & PF_FOLL_FORCE) && (flags & PF_VM_MAYREAD));
}

static int error_of(enum pf_fault_result result)
{
	switch (result) {
	case PF_FAULT_DONE:
		return 0;
	case PF_FAULT_OOM:
		return -PF_ENOMEM;
	case PF_FAULT_UFFD:
		return -PF_EAGAIN;
	default:
		return -PF_EFAULT;
	}
}

/* 0: look again. */
static int fault_in(struct pf_mm *mm, struct pf_vma *vma, pf_va_t va, unsigned foll, unsigned want)
{
	if (foll & PF_FOLL_NOFAULT)
		return -PF_EFAULT;
	return error_of(pf_vma_fault(mm, vma, va, want | PF_FAULT_FLAG_KERNEL));
}

/*
 * A fault that is done need not have done it: a copy may have lost a race, hardware may have taken a hint back. Each
 * round decides anew, and faults make progress or fail.
 */
int64_t pf_gup_locked(struct pf_mm *mm, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages)
{
	uint64_t done = 0;

	while (done < nr) {
		struct pf_vma *vma = pf_vma_lookup(mm, va);
		unsigned want;
		int64_t n;

		if (!vma || !vma_allows(vma, foll))
			return done ? (int64_t)done : -PF_EFAULT;
		n = mm->sys->fmt->follow_pages(&mm->space, &vma->area, va,
			pf_min(nr - done, pf_mm_pages(mm, va, vma->area.end)), foll, pages + done,
			&want);
		if (!n)
			n = fault_in(mm, vma, va, foll, want);
		if (n < 0)
			return done ? (int64_t)done : n;
		done += (uint64_t)n;
		va += (pf_va_t)n << pf_mm_shift(mm);
	}
	return (int64_t)done;
}

static bool flags_ok(unsigned foll)
{
	if (foll & ~PF_FOLL_ALL)
		return false;
	if (foll & PF_FOLL_PIN)
		return !(foll & PF_FOLL_GET);
	return !(foll & PF_FOLL_LONGTERM);
}

static void note_pins(struct pf_mm *mm)
{
	if (!pf_load_relaxed(&mm->space.has_pinned))
		pf_store_relaxed(&mm->space.has_pinned, 1);
}

int64_t pf_gup(struct pf_mm *mm, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages)
{
	int64_t n;

	if (!flags_ok(foll))
		return -PF_EINVAL;
	pf_mmap_read_lock(mm);
	/* Before the first pin, so that a fork that sees a pin sees this: both take the table lock. */
	if (foll & PF_FOLL_PIN)
		note_pins(mm);
	n = pf_gup_locked(mm, pf_align_down(va, pf_mm_page(mm)), nr, foll, pages);
	pf_mmap_read_unlock(mm);
	return n;
}

int64_t pf_gup_fast_only(struct pf_mm *mm, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages)
{
	if (!flags_ok(foll))
		return -PF_EINVAL;
	va = pf_align_down(va, pf_mm_page(mm));
	if (va >= mm->sys->task_size)
		return 0;
	nr = pf_min(nr, pf_mm_pages(mm, va, mm->sys->task_size));
	if (!nr)
		return 0;
	/* Before the first pin: a fork that sees a pin sees this, by the barrier behind the pin. */
	if (foll & PF_FOLL_PIN)
		note_pins(mm);
	return (int64_t)mm->sys->fmt->follow_pages_fast(&mm->space, va, nr, foll, pages);
}

int64_t pf_gup_fast(struct pf_mm *mm, pf_va_t va, uint64_t nr, unsigned foll, pf_pfn_t *pages)
{
	const int64_t fast = pf_gup_fast_only(mm, va, nr, foll, pages);
	int64_t n;

	if (fast < 0 || (uint64_t)fast == nr)
		return fast;
	n = pf_gup(mm, va + ((pf_va_t)fast << pf_mm_shift(mm)), nr - (uint64_t)fast, foll,
		pages + fast);
	if (n < 0)
		return fast ? fast : n;
	return fast + n;
}

int pf_access_page(struct pf_mm *mm, pf_va_t va, unsigned foll, pf_pfn_t *pfn)
{
	const bool write = foll & PF_FOLL_WRITE;
	int64_t n = pf_gup(mm, va, 1, foll, pfn);
	int err;

	if (n != -PF_EFAULT)
		return n < 0 ? (int)n : 0;
	/* What grows down grows for an access, and for nobody who follows pages. */
	err = error_of(pf_handle_mm_fault(
		mm, va, PF_FAULT_FLAG_KERNEL | (write ? PF_FAULT_FLAG_WRITE : 0)));
	if (err)
		return err;
	/* A load may of what can only be written, too: the fault has said so. */
	n = pf_gup(mm, va, 1, foll | (write ? 0 : PF_FOLL_FORCE), pfn);
	return n < 0 ? (int)n : 0;
}

void pf_unpin_user_pages(struct pf_system *sys, const pf_pfn_t *pages, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++) {
		struct pf_folio *folio = pf_page_folio(sys->phys, pages[i]);

		if (pages[i] != sys->zero_pfn)
			pf_folio_put(sys->phys, folio, pf_folio_unpin_refs(folio, 1));
	}
}

void pf_unpin_user_pages_dirty(struct pf_system *sys, const pf_pfn_t *pages, uint64_t nr)
{
	/* While the pin keeps the folio: what cleans it later writes what was written through the pin. */
	for (uint64_t i = 0; i < nr; i++)
		pf_folio_mark_dirty(pf_page_folio(sys->phys, pages[i]));
	pf_unpin_user_pages(sys, pages, nr);
}

void pf_put_user_pages(struct pf_system *sys, const pf_pfn_t *pages, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++)
		pf_folio_put(sys->phys, pf_page_folio(sys->phys, pages[i]), 1);
}
