/* SPDX-License-Identifier: MIT */
/*
 * A mapping's pages taken away, and written back: what finds address spaces by a page.
 */
#include "mm/internal.h"

#include "base/mem.h"

/* ---- from pages to the VMAs that map them ---- */

typedef void visit_fn(struct pf_vma *vma, pf_va_t va, uint64_t nr, void *ctx);

/* Each stretch of addresses that pages [first, last] of the mapping have. */
static void each_vma(
	struct pf_mapping *mapping, uint64_t first, uint64_t last, visit_fn *visit, void *ctx)
{
	struct pf_inode *n;

	pf_port_rw_read_lock(&mapping->i_mmap_lock, PF_LOCK_I_MMAP);
	for (n = pf_itree_first(&mapping->i_mmap, first, last); n;
		n = pf_itree_next(n, first, last)) {
		struct pf_vma *vma = PF_CONTAINER_OF(n, struct pf_vma, i_mmap);
		const uint64_t from = pf_max(first, n->start), to = pf_min(last, n->last);

		visit(vma, vma->area.start + ((from - n->start) << pf_mm_shift(vma->mm)),
			to - from + 1, ctx);
	}
	pf_port_rw_read_unlock(&mapping->i_mmap_lock, PF_LOCK_I_MMAP);
}

static void zap(struct pf_vma *vma, pf_va_t va, uint64_t nr, void *ctx)
{
	const unsigned *flags = ctx;
	struct pf_gather g;

	pf_tlb_gather_mmu(&g, &vma->mm->space);
	vma->mm->sys->fmt->zap_range(&g, &vma->area, va, nr, *flags);
	pf_tlb_finish_mmu(&g);
}

/* Flushed everywhere when it returns. pages_lock for writing, so that nobody maps them again. */
static void unmap(struct pf_mapping *mapping, uint64_t first, uint64_t last, unsigned flags)
{
	each_vma(mapping, first, last, zap, &flags);
}

/* ---- truncation and holes ---- */

/*
 * Bytes [from, to) of what is in memory become zero: of folios that stay because only a part of them goes.
 */
static void zero(struct pf_mapping *mapping, uint64_t from, uint64_t to)
{
	const unsigned shift = mapping->sys->fmt->pt->page_shift;
	struct pf_folio *folio;

	while (from < to && (folio = pf_mapping_find(mapping, from >> shift, (to - 1) >> shift))) {
		const uint64_t at = folio->head.index << shift;
		const uint64_t end = at + ((uint64_t)pf_folio_nr(folio) << shift);
		const pf_pa_t pa = pf_folio_pfn(mapping->sys->phys, folio) << shift;

		from = pf_max(from, at);
		memset((char *)pf_port_virt(pa) + (from - at), 0, pf_min(to, end) - from);
		pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
		from = end;
		pf_folio_put(mapping->sys->phys, folio, 1);
	}
}

void pf_mapping_truncate(struct pf_mapping *mapping, uint64_t size)
{
	const unsigned shift = mapping->sys->fmt->pt->page_shift;

	pf_port_rw_write_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	if (size < mapping->size) {
		uint64_t end;

		mapping->size = size;
		end = pf_mapping_end(mapping);
		unmap(mapping, end, UINT64_MAX >> shift, PF_ZAP_KEEP_GUARDS);
		pf_mapping_drop(mapping, end, UINT64_MAX >> shift);
		/* To the end of the last folio: when the file grows again, zeros are found there. */
		zero(mapping, size, pf_max(size, (end + PF_BIT(PF_MAX_ORDER)) << shift));
	}
	mapping->size = size;
	pf_port_rw_write_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
}

int pf_mapping_punch(struct pf_mapping *mapping, uint64_t offset, uint64_t len)
{
	const unsigned shift = mapping->sys->fmt->pt->page_shift;
	const uint64_t end = offset + len;
	/* Whole pages. */
	const uint64_t first = pf_align_up(offset, PF_BIT(shift)) >> shift, last = end >> shift;
	int err = 0;

	if (mapping->ops && !mapping->ops->punch)
		return -PF_EOPNOTSUPP;
	pf_port_rw_write_lock(&mapping->pages_lock, PF_LOCK_PAGES);
	if (first < last) {
		if (mapping->ops)
			err = mapping->ops->punch(mapping, first, last - first);
		if (!err) {
			unmap(mapping, first, last - 1, PF_ZAP_KEEP_ANON | PF_ZAP_KEEP_GUARDS);
			pf_mapping_drop(mapping, first, last - 1);
		}
	}
	if (!err)
		zero(mapping, offset, end);
	pf_port_rw_write_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	return err;
}

/* ---- writing back ---- */

static void mkclean(struct pf_vma *vma, pf_va_t va, uint64_t nr, void *ctx)
{
	const struct pf_folio *folio = ctx;
	const uint64_t index = vma->area.pgoff + pf_mm_pages(vma->mm, vma->area.start, va);

	/* Private pages are clean as long as they are the file's. */
	if (vma->area.flags & PF_VM_SHARED)
		vma->mm->sys->fmt->mkclean_range(&vma->mm->space, &vma->area, va, nr,
			pf_folio_pfn(vma->mm->sys->phys, folio) + (index - folio->head.index));
}

/*
 * The flag goes first, then the entries' right to write. A CPU that still has it stores before the
 * flush, and the page is read after; one that does not faults, and the fault sets the flag again.
 */
static int write_back(struct pf_mapping *mapping, struct pf_folio *folio)
{
	const uint64_t index = folio->head.index;
	const unsigned nr = pf_folio_nr(folio);
	int err;

	pf_folio_clear_flags(folio, PF_FOLIO_DIRTY);
	each_vma(mapping, index, index + (nr - 1), mkclean, folio);
	err = mapping->ops->write(mapping, index,
		pf_folio_pfn(mapping->sys->phys, folio) << mapping->sys->fmt->pt->page_shift, nr);
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
		if (pf_folio_test_flags(folio, PF_FOLIO_DIRTY))
			err = write_back(mapping, folio);
		if (!result)
			result = err;
		pf_folio_put(mapping->sys->phys, folio, 1);
	}
	pf_port_rw_read_unlock(&mapping->pages_lock, PF_LOCK_PAGES);
	pf_port_rw_write_unlock(&mapping->sync_lock, PF_LOCK_SYNC);
	return result;
}
