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
		t->pt->stats.fold++;
	} else {
		t->pt->stats.unfold++;
		t->pt->stats.unfold_cause[t->pt->cause]++;
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
 * Policy `linux`: slot idx has just been stored alone. If it is the last of its block, and all N
 * entries map consecutive frames of one extent with equal attributes (A and D aside), fold. All
 * reads are under the lock; hardware can change A and D only, which are not compared.
 */
void pf_contpte_try_fold(
	const struct pf_leaves *t, unsigned idx, pf_pte_t pte, struct pf_extent extent)
{
	const unsigned n = PF_CONT_NR(t->level);
	const unsigned respect = PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY;
	unsigned first = pf_block_first(t->level, idx);
	pf_hw_t expected;

	if (n == 1 || t->pt->policy != PF_FOLD_LINUX || (t->pt->flags & PF_PT_NOFAULT))
		return;
	if ((idx != first + n - 1 && !PF_MUTANT("fold-any-slot")) || !pf_pte_present(pte))
		return;
	pte = pf_pte_advance(pte, -(uint64_t)(idx - first) << (t->level * PF_LEVEL_BITS));
	if (!pf_block_eligible(t->pt, t->level, pte, extent))
		return;
	expected = pf_hw_norm(pf_hw_encode(pte, t->level, false), t->level, first, respect);
	for (unsigned i = 0; i < n; i++) {
		pf_hw_t hw = pf_hw_load(&t->base[first + i]);

		t->pt->stats.fold_loads++;
		if ((!pf_hw_present(hw, t->level) ||
			    !pf_hw_same(pf_hw_norm(hw, t->level, first + i, respect),
				    pf_hw_advance(expected, t->level, i))) &&
			!PF_MUTANT("fold-unchecked")) {
			t->pt->stats.fold_failed++;
			return;
		}
	}
	pf_contpte_convert(t, first, true);
}
