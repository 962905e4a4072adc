/* SPDX-License-Identifier: MIT */
/*
 * A page that a device has to itself: its entry goes from present to device-exclusive and back, under the folio's lock and its
 * table's (mm/device.h). The entry is the same mapping all the time, so the folio's counts, AnonExclusive and what it is found
 * by stay; whatever takes the mapping away, takes it from either kind of entry.
 */
#include "ops/internal.h"

/*
 * The folio's lock is tried under the table's, for the entry keeps the folio; so who does not get it never has a reference, which
 * would keep the page from whoever moves it.
 */
struct pf_folio *pf_lock_private(struct pf_space *space, pf_va_t va)
{
	struct pf_folio *folio = NULL;
	struct pf_pte_map m;
	pf_pte_t pte;

	if (!pf_pte_offset_map_lock(&space->pt, va, &m))
		return NULL;
	pte = pf_ptep_get(&m, pf_pte_idx(&m, va));
	if (pf_pte_kind(pte) == PF_PTE_DEVICE_PRIVATE) {
		folio = pf_page_folio(space->phys, pf_pte_pfn(pte));
		if (pf_folio_trylock(folio))
			pf_folio_get(folio, 1);
		else
			folio = NULL;
	}
	pf_pte_unmap_unlock(&m);
	return folio;
}

bool pf_make_exclusive(struct pf_space *space, pf_va_t va, pf_pfn_t pfn)
{
	struct pf_pte_map m;
	unsigned idx;
	pf_pte_t pte;
	bool is;

	if (!pf_lock_entry_of(space, va, pfn, &m, &pte))
		return false;
	idx = pf_pte_idx(&m, va);
	/* Writable, so it is exclusive (G1), and no write need be noticed. */
	is = pf_pte_write(pte);
	if (is) {
		pf_pt_set_cause(&space->pt, PF_CAUSE_OTHER);
		pte = pf_ptep_clear_flush(&m, idx);
		/*
		 * What the device stores no entry tells. The flag stays while the entry does: who cleans an anonymous folio has unmapped
		 * it, or (MADV_FREE) found all of it present.
		 */
		if (!PF_MUTANT("device-page-clean"))
			pf_folio_set_flags(pf_page_folio(space->phys, pfn), PF_FOLIO_DIRTY);
		pf_set_pte_at(&m, idx, pf_pte_device_exclusive(pfn, pte.v & PF_PTE_SOFT_DIRTY),
			PF_NO_EXTENT);
	}
	pf_pte_unmap_unlock(&m);
	return is;
}

/*
 * The entry keeps the folio. Its lock is tried, under the table's: who has it may be about to look for this very entry, and is
 * not waited for here.
 */
static void restore(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, pf_pte_t pte)
{
	const pf_pfn_t pfn = pf_pte_pfn(pte);
	struct pf_folio *folio = pf_page_folio(space->phys, pfn);
	pf_pte_t new = pf_pte_mk(
		pfn, (area->prot & ~PF_PTE_W) | (pte.v & (PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP)));

	/* Not young: nobody has used it by this entry. */
	if ((area->flags & PF_VM_WRITE) && pf_folio_ae_test(folio, pf_folio_idx(folio, pfn)) &&
		(pf_pte_unwatched(area, new) || PF_MUTANT("restore-ignores-watch")))
		new = pf_pte_set(new, (area->prot & PF_PTE_W) | PF_PTE_D);
	pf_set_pte_at(m, idx, new, pf_folio_extent(space->phys, folio));
}

bool pf_restore_exclusive(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *m,
	unsigned idx, pf_pte_t pte)
{
	struct pf_folio *folio = pf_page_folio(space->phys, pf_pte_pfn(pte));

	if (!pf_folio_trylock(folio))
		return false;
	restore(space, area, m, idx, pte);
	pf_folio_unlock(folio);
	return true;
}

/* False: the entry is none of a device's, and its table is not locked. */
static bool lock_exclusive(struct pf_space *space, pf_va_t va, struct pf_pte_map *m, pf_pte_t *pte)
{
	if (!pf_pte_offset_map_lock(&space->pt, va, m))
		return false;
	*pte = pf_ptep_get(m, pf_pte_idx(m, va));
	if (pf_pte_kind(*pte) == PF_PTE_DEVICE_EXCLUSIVE)
		return true;
	pf_pte_unmap_unlock(m);
	return false;
}

/*
 * The folio's lock is tried under the table's, for the entry keeps the folio; then a reference does, and the table's lock is
 * given up to tell the device.
 */
bool pf_end_exclusive(struct pf_space *space, const struct pf_area *area, pf_va_t va)
{
	struct pf_mmu_notifier_range range;
	struct pf_folio *folio;
	struct pf_pte_map m;
	pf_pfn_t pfn;
	pf_pte_t pte;
	bool locked;

	va = pf_align_down(va, PF_PAGE_SIZE);
	if (!lock_exclusive(space, va, &m, &pte))
		return true;
	pfn = pf_pte_pfn(pte);
	folio = pf_page_folio(space->phys, pfn);
	locked = pf_folio_trylock(folio);
	if (locked)
		pf_folio_get(folio, 1);
	pf_pte_unmap_unlock(&m);
	if (!locked)
		return false;
	/* The device lets go of the page before CPUs have it. */
	if (!PF_MUTANT("notify-restore-silent"))
		pf_notify_start(&range, space, PF_MMU_NOTIFY_CLEAR, va, va + PF_PAGE_SIZE);
	else
		range.subscriptions = NULL;
	/* With the folio locked the entry is what it was, or it has been zapped. */
	if (lock_exclusive(space, va, &m, &pte)) {
		if (pf_pte_pfn(pte) == pfn)
			restore(space, area, &m, pf_pte_idx(&m, va), pte);
		pf_pte_unmap_unlock(&m);
	}
	pf_notify_end(&range);
	pf_folio_unlock(folio);
	pf_folio_put(space->phys, folio, 1);
	return true;
}
