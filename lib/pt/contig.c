/* SPDX-License-Identifier: MIT */
/*
 * Folding and unfolding: N leaves become one contiguous block, or stop being one.
 */
#include "pt/leaf.h"

static void block_flush(const struct pf_leaves *t, unsigned first)
{
	struct pf_tlb_req req = {
		.va = pf_leaf_va(t, first),
		.nr = PF_CONT_NR(t->level),
		.level = (uint8_t)t->level,
		.hint = true,
		.asid = t->pt->asid,
		.global = t->pt->flags & PF_PT_KERNEL,
	};

	pf_hw_tlb_issue(t->pt->features, &req);
	pf_hw_tlb_wait(false);
}

/*
 * A tree that cannot take a fault, on hardware that may have its block size changed under it
 * without a conflict abort (FEAT_BBM level 2, no abort; rule RKHRBC): each member is rewritten in
 * place. Entries of such trees are written with A and, if writable, D set (pf_pt_map), hence
 * settled; there is nothing to harvest and a plain store loses nothing.
 */
static void convert_in_place(const struct pf_leaves *t, unsigned first, bool cont)
{
	for (unsigned i = first; i < first + PF_CONT_NR(t->level); i++)
		pf_hw_store(
			&t->base[i], pf_hw_set_cont(pf_hw_load(&t->base[i]), t->level, i, cont));
}

/*
 * Repaint a block. Break-before-make, because a change of contiguity is a change of block size (Arm
 * ARM RWHZWS): every member is emptied, which also collects A and D that hardware set in any of
 * them; the whole block is invalidated, every page of it, since a TLB may have cached parts; then
 * every member is written with the OR. A walker that read a member before it was emptied may cache
 * the old block until the invalidation completes; one that comes later finds nothing and faults,
 * and its handler waits on the table lock that we hold.
 *
 * With PF_FEAT_BBM2_NOABORT the invalidation may go: a lookup then returns one of the programmed
 * values, which differ in contiguity alone, and the change that made us unfold ends in an
 * invalidation of its own before anyone may rely on it. The members are still emptied first, for A
 * and D.
 */
void pf_contpte_convert(const struct pf_leaves *t, unsigned first, bool cont)
{
	const unsigned n = PF_CONT_NR(t->level);
	pf_hw_t word = pf_hw_set_cont(pf_hw_load(&t->base[first]), t->level, first, false);
	bool young = false, dirty = false;

	if (cont) {
		pf_count(&t->pt->stats.fold, 1);
	} else {
		struct pf_watch *w = pf_watch_of(t, first);

		pf_count(&t->pt->stats.unfold, 1);
		pf_count(&t->pt->stats.unfold_cause[pf_load_relaxed(&t->pt->cause)], 1);
		if (w && !PF_MUTANT("watch-not-told"))
			w->slot = PF_WATCH_ANY;
		if (w && w->unfolds < PF_WATCH_UNFOLDS)
			w->unfolds++;
	}
	if ((t->pt->flags & PF_PT_NOFAULT) && !PF_MUTANT("nofault-as-user")) {
		convert_in_place(t, first, cont);
		return;
	}
	for (unsigned i = first; i < first + n; i++) {
		pf_hw_t old = pf_hw_take(t->pt, &t->base[i]);

		young |= pf_hw_young(old);
		dirty |= pf_hw_dirty(old);
	}
	if (!(t->pt->features & PF_FEAT_BBM2_NOABORT) && !PF_MUTANT("convert-no-tlbi"))
		block_flush(t, first);
	if (!PF_MUTANT("convert-drop-ad"))
		word = pf_hw_add_ad(word, young, dirty);
	for (unsigned i = 0; i < n; i++) {
		pf_hw_t w = pf_hw_advance(word, t->level, i);

		pf_hw_store(&t->base[first + i],
			cont ? pf_hw_set_cont(w, t->level, first + i, true) : w);
	}
}

/*
 * When to look at a block.
 *
 * Policy `linux`: when its last slot has been stored alone. One look costs N - 1 loads, and a block that was
 * filled in another order, or was taken apart, is never looked at again until that slot is stored.
 *
 * Policy `watch` folds at the change that completes the block or restores it, whichever slot that is, and
 * does not look at it before. Call two neighbouring slots, the last one's neighbour being the first, unlike
 * if either could not be part of a block or the second does not continue the first. A block that
 * does not qualify has such a pair, and cannot qualify before one of the two changes. The watch names the
 * second of a pair; a change of neither is not looked at, and a change of either looks from the last slot it
 * wrote around to the first. At a slot that does not continue what was written the watch moves there: that
 * slot and the one before it are unlike. Whoever changes a pair says so with the extent (NULL where the
 * entry can be of no block: then the pair stays unlike). Slot PF_WATCH_ANY, after an unfold or a look that
 * found everything alike, says that no pair is known; the next change looks, whatever it is.
 *
 * What filling costs. Call slots filled in any order, each once. Looks that fail move the watch forward over
 * slots that are filled and stay so, one load a slot and one for the slot where it stops: it cannot pass
 * the empty slot at which it stands, so all of them together take at most N - 1. The one look that succeeds
 * takes N - 1. A change of the slot before the watch, which costs one load, can fall upon a watch only
 * where it stood at first, for it stops only behind slots that are filled. At most 2N - 1 loads.
 *
 * What restoring costs. A repaint takes N exchanges, N stores and a flush, so a block whose program keeps taking it
 * apart must not be put together each time. Unfolds are counted; at PF_WATCH_UNFOLDS nothing is looked at any more,
 * which costs one byte's load a change. Of an endless alternation of change and restoration, `linux` unfolds once;
 * `watch` unfolds twice and repaints once in between: at most 2 repaints and their flushes more, for each time that
 * aging finds the block quiet. Aging that looks at a block costs N loads then, and the entries' own changes.
 *
 * What is compared: all but A and D, so hardware, which changes nothing else, cannot make a look wrong; the
 * table lock keeps software out.
 */
static bool to_be_looked_at(const struct pf_leaves *t, unsigned idx, unsigned nr)
{
	const struct pf_watch *w = pf_watch_of(t, idx);
	const unsigned n = PF_CONT_NR(t->level);

	if (n == 1 || t->pt->policy == PF_FOLD_OFF || (t->pt->flags & PF_PT_NOFAULT))
		return false;
	if (PF_MUTANT("fold-any-slot"))
		return true;
	return w ? pf_watch_hit(w, t->level, idx, nr) : !((idx + 1) & (n - 1));
}

void pf_contpte_try_fold(
	const struct pf_leaves *t, unsigned idx, unsigned nr, pf_pte_t pte, struct pf_extent extent)
{
	const unsigned n = PF_CONT_NR(t->level);
	const unsigned respect = PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY;
	unsigned first = pf_block_first(t->level, idx);
	struct pf_watch *w = pf_watch_of(t, idx);
	pf_hw_t expected;

	if (!to_be_looked_at(t, idx, nr) || !pf_pte_present(pte))
		return;
	pte = pf_pte_advance(pte, -(uint64_t)(idx - first) << (t->level * PF_LEVEL_BITS));
	if (!pf_block_eligible(t->pt, t->level, pte, extent))
		return;
	expected = pf_hw_norm(pf_hw_encode(pte, t->level, false), t->level, first, respect);
	for (unsigned k = nr; k < n; k++) {
		unsigned i = (idx - first + k) & (n - 1);
		pf_hw_t hw = pf_hw_load(&t->base[first + i]);

		pf_count(&t->pt->stats.fold_loads, 1);
		if ((!pf_hw_present(hw, t->level) ||
			    !pf_hw_same(pf_hw_norm(hw, t->level, first + i, respect),
				    pf_hw_advance(expected, t->level, i))) &&
			!PF_MUTANT("fold-unchecked")) {
			pf_count(&t->pt->stats.fold_failed, 1);
			if (w && !PF_MUTANT("watch-stays"))
				w->slot = (uint8_t)i;
			return;
		}
	}
	pf_contpte_convert(t, first, true);
}

void pf_contpte_try_fold_ends(
	const struct pf_leaves *t, unsigned idx, unsigned nr, pf_pte_t pte, struct pf_extent extent)
{
	const unsigned n = PF_CONT_NR(t->level);
	unsigned head = (unsigned)pf_min(nr, n - (idx & (n - 1))), tail = (idx + nr) & (n - 1);

	if (head < n)
		pf_contpte_try_fold(t, idx, head, pte, extent);
	if (head < nr && tail)
		pf_contpte_try_fold(t, idx + nr - tail, tail,
			pf_pte_advance(pte, (uint64_t)(nr - tail) << (t->level * PF_LEVEL_BITS)),
			extent);
}

/* Quiet is the whole block, whatever part of it aging was asked about. */
void pf_contpte_quiet(const struct pf_leaves *t, unsigned idx)
{
	struct pf_watch *w = pf_watch_of(t, idx);
	unsigned first = pf_block_first(t->level, idx);

	if (!w || !w->unfolds || PF_MUTANT("watch-never-quiet"))
		return;
	for (unsigned i = first; i < first + PF_CONT_NR(t->level); i++) {
		pf_hw_t hw = pf_hw_load(&t->base[i]);

		if (pf_hw_present(hw, t->level) && pf_hw_young(hw))
			return;
	}
	w->unfolds = 0;
}
