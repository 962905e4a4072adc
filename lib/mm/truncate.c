/* SPDX-License-Identifier: MIT */
/*
 * A mapping's pages taken away, and written back.
 */
#include "mm/internal.h"

#include "base/mem.h"
#include "mm/migrate.h"
#include "mm/rmap.h"

static bool zap(void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	struct pf_mmu_notifier_range range = {0};
	const unsigned *flags = ctx;
	struct pf_gather g;

	pf_tlb_gather_mmu(&g, &mm->space);
	if (!PF_MUTANT("notify-truncate-forgets"))
		pf_notify_place(&range, mm, PF_MMU_NOTIFY_CLEAR, place);
	mm->sys->fmt->zap_range(&g, &vma->area, place->va, place->nr, *flags);
	pf_notify_end(&range);
	pf_tlb_finish_mmu(&g);
	return true;
}

void pf_mapping_unmap(struct pf_mapping *mapping, uint64_t first, uint64_t last, unsigned flags)
{
	/* Whatever frames they are in. */
	const struct pf_rmap pages = {.mapping = mapping, .index = first, .nr = last - first + 1};

	pf_rmap_walk_pages(&pages, zap, &flags, 0);
}

/* ---- truncation and holes ---- */

/*
 * Pages go on one side of `border`. A folio that lies on both is split around page `at`, the one that is at the border, so that
 * what need not go stays as large as it can be. One that cannot be split now (pinned, locked, no memory) stays as a whole.
 * pages_lock for writing: nobody else finds it meanwhile who would keep it.
 */
static void split_around(struct pf_mapping *mapping, uint64_t at, uint64_t border)
{
	struct pf_folio *folio = pf_mapping_find(mapping, at, at);
	uint64_t first;

	if (!folio)
		return;
	first = folio->head.index;
	if (first < border && border < first + pf_folio_nr(folio) && !PF_MUTANT("cut-keeps-folio"))
		pf_split_folio_around(mapping->sys, folio, (unsigned)(at - first));
	pf_folio_put(mapping->sys->phys, folio, 1);
}

/*
 * Bytes from `from` to `last` of what is in memory become zero: of folios that stay because only a part of them goes. What is lost
 * stays lost.
 */
static void zero(struct pf_mapping *mapping, uint64_t from, uint64_t last)
{
	const unsigned shift = mapping->sys->fmt->pt->page_shift;
	struct pf_folio *folio;

	while (from <= last && (folio = pf_mapping_find(mapping, from >> shift, last >> shift))) {
		const uint64_t at = folio->head.index << shift;
		const uint64_t ends = at + (((uint64_t)pf_folio_nr(folio) << shift) - 1);
		const pf_pa_t pa = pf_folio_pfn(mapping->sys->phys, folio) << shift;

		from = pf_max(from, at);
		/* Who moves it has copied it, or will. */
		pf_folio_lock(folio);
		if (!pf_folio_test_flags(folio, PF_FOLIO_HWPOISON)) {
			const uint64_t bytes = pf_min(last, ends) - from + 1;

			memset(pf_port_data(pa + (from - at), bytes, true), 0, bytes);
			pf_folio_mark_dirty(folio);
		}
		pf_folio_unlock(folio);
		pf_folio_put(mapping->sys->phys, folio, 1);
		if (ends >= last)
			return;
		from = ends + 1;
	}
}

int pf_mapping_truncate(struct pf_mapping *mapping, uint64_t size)
{
	const uint64_t last = UINT64_MAX >> mapping->sys->fmt->pt->page_shift;
	int err = 0;

	pf_port_rw_write_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	if (size < mapping->size)
		err = pf_shmem_prepare_cut(mapping, size, UINT64_MAX);
	if (!err && size < mapping->size) {
		uint64_t end;

		mapping->size = size;
		end = pf_mapping_end(mapping);
		split_around(mapping, size >> mapping->sys->fmt->pt->page_shift, end);
		if (end <= last) {
			pf_mapping_unmap(mapping, end, last, PF_ZAP_KEEP_GUARDS | PF_ZAP_KEEP_WP);
			pf_mapping_drop(mapping, end, last);
		}
		/* To the end of the last folio there is now: when the file grows again, zeros are found there. */
		zero(mapping, size, UINT64_MAX);
	}
	if (!err)
		mapping->size = size;
	pf_port_rw_write_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return err;
}

int pf_mapping_punch(struct pf_mapping *mapping, uint64_t offset, uint64_t len)
{
	const unsigned shift = mapping->sys->fmt->pt->page_shift;
	const uint64_t last = offset + (len - 1);
	/* Whole pages, up to `end`. */
	const uint64_t first = (offset >> shift) + !pf_aligned(offset, PF_BIT(shift));
	const uint64_t end = (last >> shift) + pf_aligned(last + 1, PF_BIT(shift));
	int err = 0;

	if (pf_mapping_is_device(mapping))
		return -PF_ENODEV;
	if (mapping->ops && !mapping->ops->punch)
		return -PF_EOPNOTSUPP;
	if (!len)
		return 0;
	if (last < offset)
		return -PF_EINVAL;
	pf_port_rw_write_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	err = pf_shmem_prepare_cut(mapping, offset, last);
	if (!err && first < end) {
		split_around(mapping, offset >> shift, first);
		split_around(mapping, end, end);
		if (mapping->ops)
			err = mapping->ops->punch(mapping, first, end - first);
		if (!err) {
			pf_mapping_unmap(mapping, first, end - 1,
				PF_ZAP_KEEP_ANON | PF_ZAP_KEEP_GUARDS | PF_ZAP_KEEP_WP);
			pf_mapping_drop(mapping, first, end - 1);
		}
	}
	if (!err)
		zero(mapping, offset, last);
	pf_port_rw_write_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return err;
}

/* ---- writing back ---- */

static bool mkclean(
	void *ctx, struct pf_mm *mm, struct pf_vma *vma, const struct pf_rmap_place *place)
{
	struct pf_mmu_notifier_range range = {0};

	(void)ctx;
	/* Private pages are clean as long as they are the file's. */
	if (!(pf_load_relaxed(&vma->area.flags) & PF_VM_SHARED))
		return true;
	if (!PF_MUTANT("notify-mkclean-forgets"))
		pf_notify_place(&range, mm, PF_MMU_NOTIFY_PROTECTION_PAGE, place);
	mm->sys->fmt->mkclean_range(&mm->space, &vma->area, place->va, place->nr, place->pfn);
	pf_notify_end(&range);
	return true;
}

/*
 * The flag goes first, then the entries' right to write. A CPU that still has it stores before the
 * flush, and the page is read after; one that does not faults, and the fault sets the flag again.
 * Folio lock: no entry that can be written is a migration entry, which the walk would pass over.
 */
int pf_mapping_write_folio(struct pf_mapping *mapping, struct pf_folio *folio)
{
	const struct pf_rmap pages = {
		.mapping = mapping,
		.index = folio->head.index,
		.nr = pf_folio_nr(folio),
		.pfn = pf_folio_pfn(mapping->sys->phys, folio),
	};
	int err;

	pf_folio_take_dirty(folio);
	pf_rmap_walk_pages(&pages, mkclean, NULL, 0);
	err = mapping->ops->write(mapping, pages.index,
		pages.pfn << mapping->sys->fmt->pt->page_shift, (unsigned)pages.nr);
	if (err)
		pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
	return err;
}

int pf_mapping_sync(struct pf_mapping *mapping, uint64_t index, uint64_t nr)
{
	const uint64_t last = index + (nr - 1);
	struct pf_folio *folio;
	int result = 0;

	if (!mapping->ops || !mapping->ops->write || !nr)
		return 0;
	pf_port_rw_write_lock(&mapping->sync_lock, PF_LOCK_SYNC);
	pf_port_rw_read_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	while (index <= last && (folio = pf_mapping_find(mapping, index, last))) {
		int err = 0;

		index = folio->head.index + pf_folio_nr(folio);
		/* Also so that what another has begun to write is written. */
		pf_folio_lock(folio);
		if (pf_folio_test_flags(folio, PF_FOLIO_DIRTY))
			err = pf_mapping_write_folio(mapping, folio);
		pf_folio_unlock(folio);
		if (!result)
			result = err;
		pf_folio_put(mapping->sys->phys, folio, 1);
	}
	if (mapping->lost && !result)
		result = -PF_EIO;
	mapping->lost = false;
	pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	pf_port_rw_write_unlock(&mapping->sync_lock, PF_LOCK_SYNC);
	return result;
}
