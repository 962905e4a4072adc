/* SPDX-License-Identifier: MIT */
/*
 * mremap's loop: entries move, pages stay.
 */
#include "ops/softleaf.h"

/*
 * A batch that could become blocks where it goes: folio by folio. Single-page folios make none, and
 * share no D.
 */
static void move_folios(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *from,
	struct pf_pte_map *to, unsigned fidx, unsigned tidx, pf_pte_t pte, unsigned nr, bool *flush)
{
	while (nr) {
		struct pf_piece p = {.nr = nr, .extent = pf_special_extent(area)};

		if (!pf_pte_special(pte))
			p = pf_piece(space->phys, pf_pte_pfn(pte), nr);
		if (p.extent.nr)
			pf_move_ptes(from, fidx, to, tidx, p.nr, p.extent);
		else
			p.nr = pf_move_run(from, fidx, to, tidx, p.nr, flush);
		pte = pf_pte_advance(pte, p.nr);
		fidx += p.nr;
		tidx += p.nr;
		nr -= p.nr;
	}
}

/* True if a live translation was moved, so that the old range must be flushed. */
static bool move_table(struct pf_space *space, const struct pf_area *area, struct pf_pte_map *from,
	struct pf_pte_map *to, unsigned fidx, unsigned tidx, unsigned max)
{
	unsigned flags = PF_FPB_RESPECT_SOFT_DIRTY;
	bool flush = false;

	/* The target's entries repeat the first's W: a page that is not exclusive may never get it.
	 */
	if (!PF_MUTANT("mremap-ignore-write"))
		flags |= PF_FPB_RESPECT_WRITE;
	for (unsigned i = 0; i < max;) {
		bool fold = pf_move_may_fold(from, fidx + i, to, tidx + i, max - i);
		unsigned n = 0;
		pf_pte_t pte;

		/* Most often nothing need be known of what moves. */
		if (!fold)
			n = pf_move_run(from, fidx + i, to, tidx + i, max - i, &flush);
		if (!n) {
			n = pf_pte_batch(from, fidx + i, max - i, flags, &pte);
			if (fold) {
				flush |= pf_pte_accessible(pte);
				move_folios(
					space, area, from, to, fidx + i, tidx + i, pte, n, &flush);
			} else if (!pf_pte_none(pte)) {
				pf_clear_not_present_ptes(from, fidx + i, n);
				pf_set_pte_at(to, tidx + i, pf_softleaf_moved(pte), PF_NO_EXTENT);
			}
		}
		i += n;
	}
	return flush;
}

int pf_move_prepare(struct pf_space *space, pf_va_t from, pf_va_t to, uint64_t nr)
{
	for (uint64_t i = 0; i < nr;) {
		pf_va_t f = from + (i << PF_PAGE_SHIFT), t = to + (i << PF_PAGE_SHIFT);
		uint64_t n = pf_pte_hole(&space->pt, f, nr - i);
		int err;

		if (!n) {
			err = pf_pte_alloc(&space->pt, t);
			if (err)
				return err;
			n = pf_min(pf_pages_in_table(f, nr - i), pf_pages_in_table(t, nr - i));
		}
		i += n;
	}
	return 0;
}

void pf_move_range(struct pf_space *space, const struct pf_area *old_area, pf_va_t from,
	const struct pf_area *new_area, pf_va_t to, uint64_t nr)
{
	uint64_t done = 0;

	(void)old_area;
	pf_pt_set_cause(&space->pt, PF_CAUSE_MOVE);
	while (done < nr) {
		pf_va_t f = from + (done << PF_PAGE_SHIFT), t = to + (done << PF_PAGE_SHIFT);
		uint64_t n = pf_pte_hole(&space->pt, f, nr - done);
		struct pf_pte_map fm, tm;

		if (n) {
			done += n;
			continue;
		}
		n = pf_min(pf_pages_in_table(f, nr - done), pf_pages_in_table(t, nr - done));
		if (!pf_pte_offset_map_lock(&space->pt, f, &fm))
			continue;
		if (pf_pte_offset_map_lock_nested(&space->pt, t, &tm, &fm)) {
			bool flush = move_table(space, new_area, &fm, &tm, pf_pte_idx(&fm, f),
				pf_pte_idx(&tm, t), (unsigned)n);

			/*
			 * Before either lock goes: with the old one free, cleaning the page would
			 * find the old entry empty and miss a CPU that still writes through it;
			 * with the new one free, the page could be unmapped and freed under such a
			 * CPU.
			 */
			if (flush && !PF_MUTANT("mremap-no-flush"))
				pf_flush_tlb_range(&space->pt, f, n);
			pf_pte_unmap_unlock(&tm);
			done += n;
		}
		pf_pte_unmap_unlock(&fm);
	}
}
