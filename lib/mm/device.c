/* SPDX-License-Identifier: MIT */
/*
 * Device-exclusive entries: how one comes to be. What becomes of it: lib/ops/device.c.
 */
#include "mm/device.h"

#include "mm/internal.h"

/* Folio lock. */
static bool make_locked(struct pf_mm *mm, pf_va_t va, void *owner, pf_pfn_t pfn)
{
	struct pf_mmu_notifier_range range;
	bool made;

	pf_mmu_notifier_range_init_owner(&range, PF_MMU_NOTIFY_EXCLUSIVE,
		pf_space_subscriptions(&mm->space), va,
		PF_MUTANT("notify-exclusive-forgets") ? va : va + pf_mm_page(mm), owner);
	pf_mmu_notifier_invalidate_range_start(&range);
	made = mm->sys->fmt->make_exclusive(&mm->space, va, pfn);
	pf_notify_end(&range);
	return made;
}

/*
 * mmap lock. 0; -PF_EAGAIN with *again set: somebody has the folio, or its entry is another by now. Between the look and the
 * folio's lock anybody may have shared, moved or unmapped the page; with it only a zap can, and what is found then is changed
 * under the table's lock.
 */
static int make(struct pf_mm *mm, pf_va_t va, void *owner, struct pf_folio **folio, pf_pfn_t *pfn,
	bool *again)
{
	const int64_t n = pf_gup_locked(mm, va, 1, PF_FOLL_GET | PF_FOLL_WRITE, pfn);
	int err = -PF_EOPNOTSUPP;

	*again = false;
	if (n != 1)
		return (int)n;
	*folio = pf_page_folio(mm->sys->phys, *pfn);
	if (!pf_folio_is_file(*folio)) {
		if (pf_folio_trylock(*folio)) {
			if (make_locked(mm, va, owner, *pfn))
				return 0;
			pf_folio_unlock(*folio);
		}
		err = -PF_EAGAIN;
		*again = true;
	}
	pf_folio_put(mm->sys->phys, *folio, 1);
	return err;
}

int pf_make_device_exclusive(
	struct pf_mm *mm, pf_va_t va, void *owner, struct pf_folio **folio, pf_pfn_t *pfn)
{
	bool again;
	int err;

	va = pf_align_down(va, pf_mm_page(mm));
	do {
		pf_mmap_read_lock(mm);
		err = make(mm, va, owner, folio, pfn, &again);
		pf_mmap_read_unlock(mm);
		if (again)
			pf_port_relax();
	} while (again);
	return err;
}
