/* SPDX-License-Identifier: MIT */
/*
 * What a userfaultfd puts into an address space: pages by UFFDIO_COPY and its like.
 */
#include "ops/internal.h"

/* Slots from idx on, at most max, that may be filled. */
static unsigned room(const struct pf_pte_map *m, unsigned idx, unsigned max, unsigned flags)
{
	unsigned n = 0;

	while (n < max) {
		pf_pte_t pte;
		unsigned k = pf_pte_batch(m, idx + n, max - n, 0, &pte);

		if (!pf_pte_none(pte) &&
			(pf_pte_kind(pte) != PF_PTE_MARKER || (flags & PF_FILL_EMPTY)))
			break;
		n += k;
	}
	return n;
}

static void clear_markers(struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	for (unsigned i = 0; i < nr;) {
		pf_pte_t pte;
		unsigned k = pf_pte_batch(m, idx + i, nr - i, 0, &pte);

		if (!pf_pte_none(pte))
			pf_clear_not_present_ptes(m, idx + i, k);
		i += k;
	}
}

/*
 * Rights of the area, though a first write to it may have to be noticed: this is the write. Of a mapping's
 * page in a private area a write makes a copy.
 */
static pf_pte_t filled(
	const struct pf_area *area, pf_pfn_t pfn, bool zero, bool file, unsigned flags)
{
	const bool wp = flags & PF_FILL_WP;
	bool writable = (area->flags & PF_VM_WRITE) && !zero && !(file && pf_area_cow(area)) && !wp;
	pf_pte_t pte = pf_pte_mk(pfn, (area->prot & ~PF_PTE_W) | PF_PTE_A | pf_sd());

	if (zero)
		return pf_pte_set(pte, PF_PTE_SPECIAL);
	if (writable)
		pte = pf_pte_set(pte, PF_PTE_W);
	if (flags & PF_FILL_DIRTY)
		pte = pf_pte_set(pte, PF_PTE_D);
	if (wp)
		pte = pf_pte_set(pte, PF_PTE_UFFD_WP);
	return pte;
}

int pf_uffd_fill(struct pf_space *space, const struct pf_area *area, pf_va_t va, pf_pfn_t pfn,
	unsigned nr, unsigned flags)
{
	struct pf_folio *folio = pf_page_folio(space->phys, pfn);
	const bool zero = pfn == space->zero_pfn;
	const bool file = !zero && pf_folio_is_file(folio);
	struct pf_pte_map m;
	unsigned idx;
	pf_pte_t pte;

	if (pf_pte_alloc_map_lock(&space->pt, va, &m))
		return -PF_ENOMEM;
	idx = pf_pte_idx(&m, va);
	nr = room(&m, idx, (unsigned)pf_min(nr, pf_pages_in_table(va, nr)), flags);
	if (!nr || (file && !pf_folio_add_file_rmap_ptes(folio, nr, space->mm_id))) {
		pf_pte_unmap_unlock(&m);
		return nr ? -PF_ENOMEM : -PF_EEXIST;
	}
	pf_pt_set_cause(&space->pt, PF_CAUSE_OTHER);
	clear_markers(&m, idx, nr);
	pte = filled(area, pfn, zero, file, flags);
	if (file) {
		/* As in a fault: dirty before anybody can write. */
		if (pf_pte_write(pte) || (flags & PF_FILL_DIRTY))
			pf_folio_set_flags(folio, PF_FOLIO_DIRTY);
		pf_rss_add_of(space, area, true, nr);
	} else if (!zero) {
		pf_set_anon_mapping(area, folio, va);
		pf_folio_add_new_anon_rmap(folio, pfn, nr, space->mm_id, true);
		pf_rss_add(space, PF_RSS_ANON, nr);
		/* What found no room beside it. */
		if (nr < pf_folio_nr(folio))
			pf_folio_queue_split(space->phys, folio);
	}
	pf_forget_zapped(space, va, nr);
	pf_set_ptes(&m, idx, pte, nr, zero ? PF_NO_EXTENT : pf_folio_extent(space->phys, folio));
	pf_pte_unmap_unlock(&m);
	return (int)nr;
}

int pf_uffd_poison_run(struct pf_space *space, pf_va_t va, uint64_t nr)
{
	unsigned idx, max = pf_pages_in_table(va, nr), n = 0;
	struct pf_pte_map m;

	if (pf_pte_alloc_map_lock(&space->pt, va, &m))
		return -PF_ENOMEM;
	pf_pt_set_cause(&space->pt, PF_CAUSE_OTHER);
	idx = pf_pte_idx(&m, va);
	n = room(&m, idx, max, PF_MUTANT("poison-over-markers") ? 0 : PF_FILL_EMPTY);
	/* Whatever a TLB still has of them, there is no page that it could contradict. */
	for (unsigned i = 0; i < n; i++)
		pf_set_pte_at(&m, idx + i, pf_pte_marker(PF_MARKER_POISON), PF_NO_EXTENT);
	pf_pte_unmap_unlock(&m);
	return n ? (int)n : -PF_EEXIST;
}
