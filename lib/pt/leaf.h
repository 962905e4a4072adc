/* SPDX-License-Identifier: MIT */
/*
 * Leaves of one table: the words below the verbs, for any level. Private to lib/pt.
 *
 * Whoever calls these holds the table's lock, or owns a table that is not linked yet.
 */
#ifndef PF_PT_LEAF_H
#define PF_PT_LEAF_H

#include "pt/pt.h"

/* A locked table of some level. */
struct pf_leaves {
	struct pf_pt *pt;
	struct pf_table *table;
	pf_hw_t *base;
	pf_va_t va; /* address that slot 0 maps */
	unsigned level;
};

PF_INLINE struct pf_leaves pf_leaves(const struct pf_pte_map *m)
{
	return (struct pf_leaves){m->pt, m->table, m->base, m->va, 0};
}

PF_INLINE pf_va_t pf_leaf_va(const struct pf_leaves *t, unsigned idx)
{
	return t->va + ((pf_va_t)idx << PF_LEVEL_SHIFT(t->level));
}

/* First slot of the block that holds idx. */
PF_INLINE unsigned pf_block_first(unsigned level, unsigned idx)
{
	return idx & ~(PF_CONT_NR(level) - 1);
}

PF_INLINE bool pf_slot_cont(const struct pf_leaves *t, unsigned idx)
{
	return PF_CONT_SHIFT(t->level) && pf_hw_cont(pf_hw_load(&t->base[idx]));
}

/*
 * Empty one slot and return what was there, with every A and D that hardware had set. Once the word
 * is settled no walker can change it (DESIGN 4.3), so a plain store loses nothing; otherwise only
 * the exchange decides whether a walker's update came before it (and is in the value) or finds the
 * entry invalid (and faults).
 */
PF_INLINE pf_hw_t pf_hw_take(const struct pf_pt *pt, pf_hw_t *p)
{
	pf_hw_t hw = pf_hw_load(p);

	if (pf_hw_settled(hw, pt->features) || PF_MUTANT("take-plain")) {
		pf_hw_store(p, pf_hw_empty());
		return hw;
	}
	return pf_hw_xchg(p, pf_hw_empty());
}

/* `hw` with A and D added where asked. */
PF_INLINE pf_hw_t pf_hw_add_ad(pf_hw_t hw, bool young, bool dirty)
{
	if (young)
		hw = pf_hw_mkyoung(hw);
	if (dirty)
		hw = pf_hw_mkdirty(hw);
	return hw;
}

/* The word that continues `hw` in the next slot exactly: same bits, next frame or next member. */
PF_INLINE pf_hw_t pf_hw_next(pf_hw_t hw, unsigned level)
{
	return PF_CONT_REPEATS && pf_hw_cont(hw) ? hw : pf_hw_advance(hw, level, 1);
}

/*
 * A and D of a contiguous block: hardware may set them in any member, so the block's are the OR.
 * Stops when both are known. The lock keeps the block what it is; A and D may only grow meanwhile,
 * so a value read early is at worst under-reported by what no one could have known yet.
 */
PF_INLINE pf_hw_t pf_block_gather(const struct pf_leaves *t, unsigned idx, pf_hw_t hw)
{
	unsigned first = pf_block_first(t->level, idx);
	bool young = pf_hw_young(hw), dirty = pf_hw_dirty(hw);

	for (unsigned i = first; i < first + PF_CONT_NR(t->level) && !(young && dirty); i++) {
		pf_hw_t w = pf_hw_load(&t->base[i]);

		young |= pf_hw_young(w);
		dirty |= pf_hw_dirty(w);
	}
	return pf_hw_add_ad(hw, young, dirty);
}

/*
 * Tell the tree's check of nr leaves that it maps from now on, or no longer: `pte`, or the word of slot idx, and what
 * continues it. A branch where nobody is told; the entries are not read again.
 */
PF_INLINE void pf_leaves_tell(const struct pf_leaves *t, pf_pte_t pte, unsigned nr, bool set)
{
	struct pf_pt_check *check = t->pt->check;
	const uint64_t pages = (uint64_t)nr << (t->level * PF_LEVEL_BITS);

	if (PF_LIKELY(!check) || (!pf_pte_present(pte) && !PF_MUTANT("check-counts-absent")))
		return;
	if (set)
		check->set(check, pf_pte_pfn(pte), pages, pf_pte_write(pte));
	else
		check->clear(check, pf_pte_pfn(pte), pages);
}

PF_INLINE void pf_leaves_tell_word(
	const struct pf_leaves *t, pf_hw_t hw, unsigned idx, unsigned nr, bool set)
{
	if (PF_UNLIKELY(t->pt->check != NULL))
		pf_leaves_tell(t, pf_hw_decode(hw, t->level, idx), nr, set);
}

/* contig.c */
void pf_contpte_convert(const struct pf_leaves *t, unsigned first, bool cont);
/*
 * Slots [idx, idx + nr), all in one block and not all of it, have been written: pte and what continues it.
 * Fold the block if by the policy it is to be looked at now, and qualifies.
 */
void pf_contpte_try_fold(const struct pf_leaves *t, unsigned idx, unsigned nr, pf_pte_t pte,
	struct pf_extent extent);
/* The same for the blocks that a run of any length covers in part. */
void pf_contpte_try_fold_ends(const struct pf_leaves *t, unsigned idx, unsigned nr, pf_pte_t pte,
	struct pf_extent extent);
/* Aging found A clear in what it saw of the block that holds idx. */
void pf_contpte_quiet(const struct pf_leaves *t, unsigned idx);

/* NULL: there is none for this table. */
PF_INLINE struct pf_watch *pf_watch_of(const struct pf_leaves *t, unsigned idx)
{
	return t->table->watch ? &t->table->watch[idx >> PF_CONT_SHIFT(t->level)] : NULL;
}

/* Is a change of [idx, idx + nr), part of one block, to be looked at? */
PF_INLINE bool pf_watch_hit(const struct pf_watch *w, unsigned level, unsigned idx, unsigned nr)
{
	if (w->unfolds >= PF_WATCH_UNFOLDS && !PF_MUTANT("watch-unbounded"))
		return false;
	if (PF_MUTANT("watch-one-side"))
		nr--;
	return w->slot == PF_WATCH_ANY || ((w->slot - idx) & (PF_CONT_NR(level) - 1)) <= nr;
}

/* Of a run of any length: of the blocks that it covers in part. */
PF_INLINE bool pf_watch_hit_ends(const struct pf_leaves *t, unsigned idx, unsigned nr)
{
	const unsigned n = PF_CONT_NR(t->level);
	unsigned head = (unsigned)pf_min(nr, n - (idx & (n - 1))), tail = (idx + nr) & (n - 1);

	if (!t->table->watch)
		return false;
	return (head < n && pf_watch_hit(pf_watch_of(t, idx), t->level, idx, head)) ||
	       (head < nr && tail &&
		       pf_watch_hit(pf_watch_of(t, idx + nr - tail), t->level, 0, tail));
}

/* modify.c: pf_modify_ptes at any level. */
bool pf_leaves_modify(const struct pf_leaves *t, unsigned idx, unsigned nr, uint64_t prot,
	uint64_t set, uint64_t clear, struct pf_extent extent);

/* Would mprotect to `prot` change nothing of this present entry but W? */
bool pf_only_write_differs(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot);
/* Would it change the memory type of an entry that hardware uses, or make it global or not? */
bool pf_retypes(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot);
/* access.c: clear A of one present slot; true if it was set. */
bool pf_slot_clear_young(const struct pf_leaves *t, unsigned idx);

/* Repaint the block that holds idx, if it is folded, so that one slot of it may differ. */
PF_INLINE void pf_contpte_unfold(const struct pf_leaves *t, unsigned idx)
{
	if (!pf_slot_cont(t, idx) || PF_MUTANT("no-unfold"))
		return;
	pf_contpte_convert(t, pf_block_first(t->level, idx), false);
}

/*
 * Before [idx, idx + nr) changes in a way that its neighbours do not: unfold the blocks that reach
 * over either end. Whole blocks stay. If both ends lie in one block the second test finds it
 * unfolded.
 */
PF_INLINE void pf_contpte_unfold_ends(const struct pf_leaves *t, unsigned idx, unsigned nr)
{
	unsigned n = PF_CONT_NR(t->level);

	if (n == 1)
		return;
	if ((idx & (n - 1)) || nr < n)
		pf_contpte_unfold(t, idx);
	if ((idx + nr) & (n - 1))
		pf_contpte_unfold(t, idx + nr - 1);
}

/*
 * May the block of slots [first, first + N) be written contiguous with pte, the entry of its first
 * slot? Frame congruent, all of it in one extent, and hardware can use it (rule I7). Special entries only where
 * their owner says so, by the extent; and never by policy `linux`, which knows no owner of what has no folio.
 */
PF_INLINE bool pf_block_eligible(
	const struct pf_pt *pt, unsigned level, pf_pte_t pte, struct pf_extent extent)
{
	pf_pfn_t pfn = pf_pte_pfn(pte);
	uint64_t pages = UINT64_C(1) << (PF_CONT_SHIFT(level) + level * PF_LEVEL_BITS);

	if (!PF_CONT_SHIFT(level) || pt->policy == PF_FOLD_OFF)
		return false;
	if (!pf_pte_accessible(pte) && !PF_MUTANT("cont-on-protnone"))
		return false;
	if (pf_pte_special(pte) && pt->policy == PF_FOLD_LINUX)
		return false;
	if (!pf_aligned(pfn, pages) && !PF_MUTANT("fold-unaligned-frame"))
		return false;
	return (pfn >= extent.first && pfn - extent.first + pages <= extent.nr) ||
	       PF_MUTANT("fold-across-folios");
}

/*
 * Write nr leaves into empty slots, blocks contiguous where they qualify. Slots that are empty,
 * with all TLBs knowing it, need no break-before-make: nothing is cached from an invalid descriptor
 * (rule 6.6).
 */
PF_INLINE void pf_leaves_set(
	const struct pf_leaves *t, unsigned idx, pf_pte_t pte, unsigned nr, struct pf_extent extent)
{
	const unsigned n = PF_CONT_NR(t->level), step = t->level * PF_LEVEL_BITS;
	unsigned end = idx + nr;

	t->table->live += nr;
	pf_leaves_tell(t, pte, nr, true);
	while (idx < end) {
		unsigned stop = (unsigned)pf_min(pf_block_first(t->level, idx) + n, end);
		bool cont =
			stop - idx == n && n > 1 && pf_block_eligible(t->pt, t->level, pte, extent);
		pf_hw_t hw = pf_hw_encode(pte, t->level, false);

		if (n == 1)
			stop = end;
		if (cont)
			hw = pf_hw_set_cont(hw, t->level, idx, true);
		pf_count(&t->pt->stats.fold, cont);
		for (unsigned i = idx; i < stop; i++, hw = pf_hw_next(hw, t->level))
			pf_hw_store(&t->base[i], hw);
		pte = pf_pte_advance(pte, (uint64_t)(stop - idx) << step);
		idx = stop;
	}
}

/*
 * Empty nr leaves, whole blocks as they are; the first is returned with A and D of all. A word that
 * continues a settled one exactly is settled too, and says nothing new: most of a run costs a load, a
 * compare and a store.
 */
PF_INLINE pf_hw_t pf_leaves_clear(const struct pf_leaves *t, unsigned idx, unsigned nr)
{
	const pf_hw_t empty = pf_hw_empty();
	unsigned end = idx + nr;
	pf_hw_t first = pf_hw_load(&t->base[idx]), taken;
	bool young = false, dirty = false;
	unsigned at;

	t->table->live -= nr;
	while (idx < end) {
		pf_hw_t hw = pf_hw_load(&t->base[idx]);

		if (PF_UNLIKELY(!pf_hw_settled(hw, t->pt->features))) {
			hw = pf_hw_take(t->pt, &t->base[idx]);
			if (!PF_MUTANT("check-forgets-exchanged"))
				pf_leaves_tell_word(t, hw, idx, 1, false);
			idx++;
			young |= pf_hw_young(hw);
			dirty |= pf_hw_dirty(hw);
			continue;
		}
		young |= pf_hw_young(hw);
		dirty |= pf_hw_dirty(hw);
		at = idx;
		taken = hw;
		do {
			pf_hw_store(&t->base[idx++], empty);
			hw = pf_hw_next(hw, t->level);
		} while (idx < end && pf_hw_same(pf_hw_load(&t->base[idx]), hw));
		pf_leaves_tell_word(t, taken, at, idx - at, false);
	}
	return pf_hw_add_ad(first, young, dirty);
}

/*
 * Policy `watch`: slots [idx, idx + nr) of present entries have changed in place. What they now hold is read back;
 * the caller's changes leave them a run.
 */
PF_INLINE void pf_leaves_changed(
	const struct pf_leaves *t, unsigned idx, unsigned nr, struct pf_extent extent)
{
	if (!extent.nr || !pf_watch_hit_ends(t, idx, nr))
		return;
	pf_count(&t->pt->stats.fold_loads, 1);
	pf_contpte_try_fold_ends(
		t, idx, nr, pf_hw_decode(pf_hw_load(&t->base[idx]), t->level, idx), extent);
}

/* Replace one live word by f(word): plainly if it is settled, else by compare-and-exchange. */
#define PF_HW_UPDATE(pt, p, hw, expr)                                                              \
	do {                                                                                       \
		(hw) = pf_hw_load(p);                                                              \
		if (pf_hw_settled((hw), (pt)->features)) {                                         \
			pf_hw_store((p), (expr));                                                  \
			break;                                                                     \
		}                                                                                  \
		while (!pf_hw_cas((p), &(hw), (expr)))                                             \
			;                                                                          \
	} while (0)

#endif
