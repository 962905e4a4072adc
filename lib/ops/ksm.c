/* SPDX-License-Identifier: MIT */
/*
 * KSM's two changes of an entry: it loses the right to write and its page to be exclusive; and it maps another page, with the
 * same contents. Linux: write_protect_page, replace_page.
 */
#include "ops/internal.h"

int pf_ksm_protect(struct pf_space *space, pf_va_t va, struct pf_folio *folio)
{
	struct pf_pte_map m;
	unsigned idx;
	pf_pte_t pte;
	int err = 0;

	if (!pf_lock_entry_of(space, va, pf_folio_pfn(space->phys, folio), &m, &pte))
		return -PF_EAGAIN;
	pf_pt_set_cause(&space->pt, PF_CAUSE_OTHER);
	idx = pf_pte_idx(&m, va);
	pte = pf_ptep_clear_flush(&m, idx);
	if (pf_pte_dirty(pte))
		pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
	/*
	 * Now that nobody comes by the page any more: the caller's is the only reference beside mappings, or somebody reads
	 * or writes it without an entry; also one that cannot be written: a reference may be older than the fork that took W.
	 */
	/* The emptied entry before the look at references: who has one by it and has not seen it go is seen (coremm 6.2). */
	pf_mb();
	if (pf_folio_extra_ref(folio) != 1 && !PF_MUTANT("ksm-ignores-refs"))
		err = -PF_EBUSY;
	if (!err && pf_folio_ae_test(folio, 0) && !PF_MUTANT("ksm-keeps-exclusive"))
		err = pf_folio_try_share_anon_rmap_pte(folio, pf_pte_pfn(pte));
	if (!err)
		pte = pf_pte_clear(pte, PF_PTE_W);
	pf_set_pte_at(&m, idx, pte, PF_NO_EXTENT);
	pf_pte_unmap_unlock(&m);
	return err;
}

int pf_ksm_replace(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	struct pf_folio *folio, struct pf_folio *by, uint32_t handle)
{
	const pf_pfn_t pfn = pf_folio_pfn(space->phys, folio);
	struct pf_pte_map m;
	unsigned idx;
	pf_pte_t pte;

	if (pf_folio_mapcount(by) >= PF_MAP_LIMIT)
		return -PF_EBUSY;
	if (!pf_lock_entry_of(space, va, pf_folio_pfn(space->phys, folio), &m, &pte))
		return -PF_EAGAIN;
	pf_pt_set_cause(&space->pt, PF_CAUSE_OTHER);
	idx = pf_pte_idx(&m, va);
	/* Before it has a mapping that its anon_vma would not lead to. Release: what the handle stands for. */
	pf_folio_set_flags(by, PF_FOLIO_KSM);
	pf_store_release(&by->head.mapping, handle);
	pf_folio_clear_flags(by, PF_FOLIO_LAZYFREE);
	/* Not written since it was protected: a fault would have copied it, for the caller's reference keeps it from being reused. */
	pte = pf_ptep_clear_flush(&m, idx);
	if (pf_pte_dirty(pte) || pf_folio_test_flags(folio, PF_FOLIO_DIRTY))
		pf_folio_set_flags(by, PF_FOLIO_DIRTY);
	pf_folio_add_anon_rmap_ptes(
		by, pf_folio_pfn(space->phys, by), 1, space->mm_id, PF_MUTANT("ksm-exclusive"));
	pte = pf_pte_mk(pf_folio_pfn(space->phys, by),
		(area->prot & ~PF_PTE_W) |
			(pte.v & (PF_PTE_A | PF_PTE_SOFT_DIRTY | PF_PTE_UFFD_WP)));
	pf_set_pte_at(&m, idx, pte, PF_NO_EXTENT);
	pf_folio_drop_rmap_ptes(space->phys, folio, pfn, 1, space->mm_id);
	pf_pte_unmap_unlock(&m);
	return 0;
}
