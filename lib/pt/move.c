/* SPDX-License-Identifier: MIT */
/*
 * mremap's verbs: entries leave one slot and come to another, with all the A and D that hardware
 * gave them. Targets are empty and no TLB holds anything of them, so contiguous words may be written
 * there one by one (rule 6.6). Sources are emptied as pf_clear_ptes() does it, and the caller's flush
 * of their range finishes that.
 */
#include "pt/leaf.h"

/* Soft-dirty on, where the format has it: what moved counts as written (Linux's mremap). */
static pf_hw_t mark_moved(pf_hw_t hw, unsigned fidx)
{
	pf_hw_t w;

	if (!(PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY) || PF_MUTANT("move-no-soft-dirty"))
		return hw;
	w = pf_hw_encode(pf_pte_set(pf_hw_decode(hw, 0, fidx), PF_PTE_SOFT_DIRTY), 0, false);
	return PF_CONT_SHIFT(0) && pf_hw_cont(hw) ? pf_hw_set_cont(w, 0, fidx, true) : w;
}

/* A whole folded block, whose A and D are those of any member, becomes entries of their own. */
static void move_unfolded(const struct pf_leaves *f, unsigned fidx, pf_hw_t *to)
{
	pf_hw_t word = pf_leaves_clear(f, fidx, PF_CONT_NR(0));

	word = mark_moved(pf_hw_set_cont(word, 0, fidx, false), fidx);
	if (!PF_MUTANT("check-forgets-moved"))
		pf_leaves_tell(f, pf_hw_decode(word, 0, fidx), PF_CONT_NR(0), true);
	for (unsigned i = 0; i < PF_CONT_NR(0); i++, word = pf_hw_advance(word, 0, 1))
		pf_hw_store(&to[i], word);
}

/*
 * Slots from fidx, at most max, that continue `hw`, the first of them, exactly, as they are; returns
 * how many. A word that continues a settled one is settled too.
 */
static unsigned move_stretch(
	const struct pf_leaves *f, unsigned fidx, pf_hw_t hw, pf_hw_t *to, unsigned max)
{
	pf_hw_t *p = &f->base[fidx], w;
	unsigned n = 0;

	if (!pf_hw_settled(hw, f->pt->features)) {
		do {
			pf_hw_store(&to[n], mark_moved(pf_hw_take(f->pt, &p[n]), fidx + n));
			hw = pf_hw_next(hw, 0);
		} while (++n < max && pf_hw_same(pf_hw_load(&p[n]), hw));
		return n;
	}
	w = mark_moved(hw, fidx);
	do {
		pf_hw_store(&p[n], pf_hw_empty());
		pf_hw_store(&to[n], w);
		hw = pf_hw_next(hw, 0);
		w = pf_hw_next(w, 0);
	} while (++n < max && pf_hw_same(pf_hw_load(&p[n]), hw));
	return n;
}

/* Are frame and slot congruent, so that a block could be there? */
static bool fits(const struct pf_pt *pt, pf_hw_t hw, unsigned fidx, unsigned tidx)
{
	return PF_CONT_SHIFT(0) && pt->policy != PF_FOLD_OFF &&
	       !((tidx - pf_hw_pfn(hw, 0, fidx)) & (PF_CONT_NR(0) - 1));
}

bool pf_move_may_fold(const struct pf_pte_map *from, unsigned fidx, const struct pf_pte_map *to,
	unsigned tidx, unsigned max)
{
	const unsigned n = PF_CONT_NR(0);
	pf_hw_t hw = pf_hw_load(&from->base[fidx]);

	if (!pf_hw_present(hw, 0) || !fits(from->pt, hw, fidx, tidx))
		return false;
	/* A whole folded block stays one. Part of it becomes entries, which may be what another lacks. */
	if (pf_hw_cont(hw) && !(fidx & (n - 1)) && max >= n)
		return false;
	/* Up to the end of a block, if the source is not folded: one may come whole. */
	if (!pf_hw_cont(hw) && (tidx / n != (tidx + max) / n || PF_MUTANT("fold-any-slot")))
		return true;
	return pf_may_fold(to, tidx, (unsigned)pf_min(max, n - (tidx & (n - 1))));
}

/* Whole folded blocks; returns how many slots. What fits one of them fits all. */
static unsigned move_blocks(
	const struct pf_leaves *f, unsigned fidx, pf_hw_t *to, unsigned max, bool stays)
{
	const unsigned n = PF_CONT_NR(0);
	unsigned done = 0;

	max &= ~(n - 1);
	if (stays) {
		do
			done += move_stretch(f, fidx + done, pf_hw_load(&f->base[fidx + done]),
				to + done, max - done);
		while (done < max && pf_slot_cont(f, fidx + done));
		f->table->live -= done;
		pf_count(&f->pt->stats.fold, done / n);
		return done;
	}
	do {
		move_unfolded(f, fidx + done, to + done);
		done += n;
	} while (done < max && pf_slot_cont(f, fidx + done));
	return done;
}

/* Slots that are not folded, as long as their frames follow one another. */
static unsigned move_pages(
	const struct pf_leaves *f, unsigned fidx, pf_hw_t *to, unsigned max, bool *flush)
{
	pf_hw_t hw = pf_hw_load(&f->base[fidx]);
	pf_pfn_t pfn = pf_hw_pfn(hw, 0, fidx);
	unsigned done = 0;

	do {
		*flush |= pf_hw_valid(hw);
		done += move_stretch(f, fidx + done, hw, to + done, max - done);
		if (done == max)
			break;
		hw = pf_hw_load(&f->base[fidx + done]);
	} while (pf_hw_present(hw, 0) && !(PF_CONT_SHIFT(0) && pf_hw_cont(hw)) &&
		 pf_hw_pfn(hw, 0, fidx + done) == pfn + done);
	f->table->live -= done;
	return done;
}

unsigned pf_move_run(struct pf_pte_map *from, unsigned fidx, struct pf_pte_map *to, unsigned tidx,
	unsigned max, bool *flush)
{
	const unsigned n = PF_CONT_NR(0);
	struct pf_leaves f = pf_leaves(from);
	pf_hw_t *target = &to->base[tidx];
	pf_hw_t hw = pf_hw_load(&f.base[fidx]);
	unsigned done;

	if (!pf_hw_present(hw, 0))
		return 0;
	if (((fidx & (n - 1)) || max < n) && pf_slot_cont(&f, fidx)) {
		/* No further than this block: pf_move_may_fold() has not looked beyond. */
		max = (unsigned)pf_min(max, n - (fidx & (n - 1)));
		pf_contpte_unfold(&f, fidx);
	}
	if (pf_slot_cont(&f, fidx)) {
		*flush = true;
		done = move_blocks(&f, fidx, target, max, fits(f.pt, hw, fidx, tidx));
	} else {
		done = move_pages(&f, fidx, target, max, flush);
	}
	to->table->live += done;
	return done;
}

void pf_move_ptes(struct pf_pte_map *from, unsigned fidx, struct pf_pte_map *to, unsigned tidx,
	unsigned nr, struct pf_extent extent)
{
	pf_pte_t pte = pf_get_and_clear_ptes(from, fidx, nr);

	pf_set_ptes(to, tidx, pf_pte_set(pte, PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY), nr, extent);
}
