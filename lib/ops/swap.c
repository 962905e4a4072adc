/* SPDX-License-Identifier: MIT */
/*
 * Bringing pages in from swap: what the entries say, and mapping the folio that has the pages again.
 */
#include "ops/softleaf.h"

/*
 * Do the entries of the 2^order pages around va, which stand at an aligned address of the area and in this table,
 * name consecutive slots from an aligned one on, with the same bits? Then the slot of the first.
 */
static bool whole_range(const struct pf_pte_map *m, const struct pf_area *area, pf_va_t va,
	pf_pte_t pte, unsigned order, uint64_t *slot)
{
	pf_va_t size = PF_PAGE_SIZE << order, start = pf_align_down(va, size);
	uint64_t at = (va - start) >> PF_PAGE_SHIFT;
	pf_pte_t first;

	if (order > PF_LEVEL_BITS || start < area->start || area->end - start < size)
		return false;
	*slot = pf_pte_swap_offset(pte) - at;
	if (pf_pte_swap_offset(pte) < at || !pf_aligned(*slot, PF_BIT(order)))
		return false;
	first = pf_pte(pte.v - (at << PF_SWAP_OFFSET_SHIFT));
	return pf_pte_same(pf_ptep_get(m, pf_pte_idx(m, start)), first) &&
	       pf_swap_pte_batch(m, pf_pte_idx(m, start), 1u << order, first) == 1u << order;
}

bool pf_swap_look_at(struct pf_space *space, const struct pf_area *area, pf_va_t va,
	uint32_t orders, struct pf_swap_look *look)
{
	struct pf_pte_map m;
	bool found;

	va = pf_align_down(va, PF_PAGE_SIZE);
	if (!pf_pte_offset_map_lock(&space->pt, va, &m))
		return false;
	look->pte = pf_ptep_get(&m, pf_pte_idx(&m, va));
	found = pf_pte_kind(look->pte) == PF_PTE_SWAP;
	if (found) {
		look->dev = pf_pte_swap_device(space, look->pte);
		look->order = 0;
		for (orders &= ~1u; orders && !look->order; orders &= ~(1u << pf_log2(orders)))
			if (whole_range(&m, area, va, look->pte, pf_log2(orders), &look->slot))
				look->order = pf_log2(orders);
		if (!look->order)
			look->slot = pf_pte_swap_offset(look->pte);
		/* The entries have counts, and their lock is ours: only too many could be in the way. */
		found = !pf_swap_dup(look->dev, look->slot, UINT64_C(1) << look->order);
	}
	pf_pte_unmap_unlock(&m);
	return found;
}

/* The entry of a page that comes back, from the swap entry that stood for it. */
static pf_pte_t mapped_again(const struct pf_area *area, pf_pte_t swap, pf_pfn_t pfn, bool write)
{
	const uint64_t sd = PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY;
	bool writable = ((swap.v & PF_PTE_EXCLUSIVE) || PF_MUTANT("swap-in-writable")) &&
			(area->flags & PF_VM_WRITE);
	pf_pte_t pte;

	/* A write that must be noticed faults, unless it is being made. */
	if ((swap.v & PF_PTE_UFFD_WP) ||
		(!write && sd && !(area->flags & PF_VM_SOFTDIRTY) && !(swap.v & sd)))
		writable = false;
	pte = pf_pte_mk(pfn, (writable ? area->prot : area->prot & ~PF_PTE_W) | PF_PTE_A);
	pte = pf_pte_set(pte, swap.v & ((PF_PTE_SUPPORTED & PF_PTE_UFFD_WP) | sd));
	if (writable && write)
		pte = pf_pte_set(pte, PF_PTE_D | sd);
	return pte;
}

/*
 * All pages of the folio, if their entries are: then va, idx and slot become those of the first, and the
 * number of pages is returned; else 1.
 */
static unsigned widen(const struct pf_pte_map *m, const struct pf_area *area,
	const struct pf_folio *folio, pf_va_t *va, pf_pte_t *swap)
{
	uint64_t at = pf_pte_swap_offset(*swap) - pf_folio_swap_slot(folio),
		 nr = pf_folio_nr(folio);
	pf_pte_t first = pf_pte(swap->v - (at << PF_SWAP_OFFSET_SHIFT));
	pf_va_t start = *va - (at << PF_PAGE_SHIFT);

	if (nr == 1 || *va < m->va + (at << PF_PAGE_SHIFT) || start < area->start ||
		(area->end - start) >> PF_PAGE_SHIFT < nr ||
		pf_pte_idx(m, start) + nr > PF_TABLE_ENTRIES)
		return 1;
	if (!pf_pte_same(pf_ptep_get(m, pf_pte_idx(m, start)), first) ||
		pf_swap_pte_batch(m, pf_pte_idx(m, start), (unsigned)nr, first) != nr)
		return 1;
	*va = start;
	*swap = first;
	return (unsigned)nr;
}

void pf_swap_in(struct pf_space *space, const struct pf_area *area, pf_va_t va, unsigned flags,
	const struct pf_swap_look *look, struct pf_folio *folio)
{
	struct pf_pte_map m;
	pf_pte_t swap = look->pte;
	unsigned idx, nr;
	pf_pfn_t pfn;
	bool same;

	va = pf_align_down(va, PF_PAGE_SIZE);
	if (!pf_pte_offset_map_lock(&space->pt, va, &m))
		return;
	/* We have a count of the slot, so the same entry is the same page (S1). */
	same = pf_pte_same(pf_ptep_get(&m, pf_pte_idx(&m, va)), swap);
	if (!same) {
		pf_pte_unmap_unlock(&m);
		return;
	}
	pfn = pf_folio_pfn(space->phys, folio);
	nr = 1;
	if (pf_folio_test_flags(folio, PF_FOLIO_SWAPCACHE)) {
		nr = widen(&m, area, folio, &va, &swap);
		pfn += pf_pte_swap_offset(swap) - pf_folio_swap_slot(folio);
	} else {
		/* A copy, of one page: nobody else knows it. */
		swap = pf_pte_set(swap, PF_PTE_EXCLUSIVE);
	}
	idx = pf_pte_idx(&m, va);
	pf_pt_set_cause(&space->pt, PF_CAUSE_OTHER);
	pf_folio_add_anon_rmap_ptes(folio, pfn, nr, space->mm_id, swap.v & PF_PTE_EXCLUSIVE);
	pf_rss_add(space, PF_RSS_ANON, nr);
	pf_rss_add(space, PF_RSS_SWAP, -(int64_t)nr);
	/* Without an entry first: pages that may become a block are put into empty slots. */
	pf_clear_not_present_ptes(&m, idx, nr);
	pf_forget_zapped(space, va, nr);
	pf_set_ptes(&m, idx, mapped_again(area, swap, pfn, flags & PF_FAULT_FLAG_WRITE), nr,
		pf_folio_extent(space->phys, folio));
	/* Only now may the slots go: the page is found in the table. */
	pf_swap_put(look->dev, pf_pte_swap_offset(swap), nr);
	pf_pte_unmap_unlock(&m);
}
