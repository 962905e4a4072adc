/* SPDX-License-Identifier: MIT */
/*
 * What a format offers to user mappings; and asking about single pages.
 */
#include "ops/internal.h"

#include "ops/formats.h"

static void page_info(struct pf_space *space, pf_va_t va, struct pf_page_info *info)
{
	struct pf_pte_map m;
	unsigned idx;

	*info = (struct pf_page_info){.pte = pf_pte(0)};
	if (!pf_pte_offset_map_lock(&space->pt, va, &m))
		return;
	idx = pf_pte_idx(&m, pf_align_down(va, PF_PAGE_SIZE));
	info->pte = pf_ptep_get(&m, idx);
	info->folded = pf_ptes_folded(&m, idx);
	if (pf_pte_maps(info->pte)) {
		pf_pfn_t pfn = pf_pte_pfn(info->pte);
		struct pf_folio *folio = pf_page_folio(space->phys, pfn);

		info->order = (uint8_t)pf_folio_order(folio);
		info->exclusive = pf_folio_ae_test(folio, pf_folio_idx(folio, pfn));
	}
	pf_pte_unmap_unlock(&m);
}

static bool entry_is(pf_pte_t pte, enum pf_run_of what)
{
	if (what == PF_RUN_PRESENT)
		return pf_pte_present(pte);
	if (what == PF_RUN_RESIDENT)
		return !pf_pte_none(pte) && pf_pte_kind(pte) != PF_PTE_SWAP &&
		       pf_pte_kind(pte) != PF_PTE_MARKER;
	return pf_pte_accessible(pte) && (what == PF_RUN_ACCESSIBLE || pf_pte_write(pte));
}

static uint64_t run_of(
	struct pf_space *space, pf_va_t va, uint64_t max, enum pf_run_of what, bool *is)
{
	const unsigned flags = what == PF_RUN_WRITABLE ? PF_FPB_RESPECT_WRITE : 0;
	uint64_t nr = pf_pte_hole(&space->pt, va, max);
	struct pf_pte_map m;

	*is = false;
	while (nr < max) {
		pf_va_t at = va + (nr << PF_PAGE_SHIFT);
		unsigned idx, end;
		bool stop = false;

		if (!pf_pte_offset_map_lock(&space->pt, at, &m)) {
			uint64_t hole = pf_pte_hole(&space->pt, at, max - nr);

			if (*is && hole)
				break;
			nr += hole;
			continue;
		}
		idx = pf_pte_idx(&m, at);
		end = idx + pf_pages_in_table(at, max - nr);
		while (idx < end && !stop) {
			pf_pte_t pte;
			unsigned n = pf_pte_batch(&m, idx, end - idx, flags, &pte);

			if (!nr)
				*is = entry_is(pte, what);
			stop = entry_is(pte, what) != *is;
			if (!stop) {
				nr += n;
				idx += n;
			}
		}
		pf_pte_unmap_unlock(&m);
		if (stop)
			break;
	}
	return nr;
}

/* In the leaf table of va: slots [va, va + n). */
static bool softleaf_in_table(struct pf_pte_map *m, pf_va_t *va, unsigned n, pf_pte_t *pte)
{
	unsigned idx = pf_pte_idx(m, *va), end = idx + n;

	while (idx < end) {
		unsigned run = pf_pte_batch(m, idx, end - idx, 0, pte);

		if (!pf_pte_none(*pte) && !pf_pte_present(*pte)) {
			*va = pf_pte_va(m, idx);
			return true;
		}
		idx += run;
	}
	return false;
}

static bool next_softleaf(struct pf_space *space, pf_va_t *va, uint64_t nr, pf_pte_t *pte)
{
	struct pf_pte_map m;

	*va = pf_align_down(*va, PF_PAGE_SIZE);
	while (pf_next_table(space, va, &nr, &m)) {
		unsigned n = pf_pages_in_table(*va, nr);
		bool found = softleaf_in_table(&m, va, n, pte);

		pf_pte_unmap_unlock(&m);
		if (found)
			return true;
		*va += (pf_va_t)n << PF_PAGE_SHIFT;
		nr -= n;
	}
	return false;
}

const struct pf_format pf_format_this = {
	.pt = &pf_pt_format_this,
	.fault = pf_fault,
	.map_file = pf_map_file,
	.cow_file = pf_cow_file,
	.copy_range = pf_copy_range,
	.change_protection = pf_change_protection,
	.zap_range = pf_zap_range,
	.alloc_tables = pf_alloc_tables,
	.guard_install = pf_guard_install,
	.guard_remove = pf_guard_remove,
	.move_prepare = pf_move_prepare,
	.mkclean_range = pf_mkclean_range,
	.move_range = pf_move_range,
	.free_tables = pf_free_tables,
	.reclaim_tables = pf_reclaim_tables,
	.follow_pages = pf_follow_pages,
	.follow_pages_fast = pf_follow_pages_fast,
	.mapped_one = pf_mapped_one,
	.referenced_one = pf_referenced_one,
	.try_to_migrate_one = pf_try_to_migrate_one,
	.remove_migration_one = pf_remove_migration_one,
	.get_folio = pf_get_folio,
	.age_range = pf_age_range,
	.page_info = page_info,
	.run_of = run_of,
	.next_softleaf = next_softleaf,
	.swap_look = pf_swap_look_at,
	.swap_in = pf_swap_in,
	.unmap = pf_unmap,
	.folio_run = pf_folio_run,
	.free_lazily = pf_free_lazily,
	.make_old = pf_make_old,
	.ksm_protect = pf_ksm_protect,
	.ksm_replace = pf_ksm_replace,
	.poison_one = pf_poison_one,
	.collapse_scan = pf_collapse_scan,
	.collapse_install = pf_collapse_install,
	.uffd_fill = pf_uffd_fill,
	.uffd_poison = pf_uffd_poison_run,
	.uffd_move = pf_uffd_move_run,
	.page_run = pf_get_page_run,
	.protect_run = pf_protect_page_run,
	.clear_refs = pf_clear_refs,
	.clear_soft_dirty = pf_clear_soft_dirty,
	.lock_private = pf_lock_private,
	.make_exclusive = pf_make_exclusive,
	.end_exclusive = pf_end_exclusive,
	.insert_pfns = pf_insert_pfns,
	.put_copy = pf_put_copy,
	.follow_pfn = pf_follow_pfn,
	.follow_pfn_end = pf_follow_pfn_end,
};
