/* SPDX-License-Identifier: MIT */
/*
 * mprotect's transaction: other rights for a run of present entries, A and D kept.
 */
#include "pt/leaf.h"

struct change {
	uint64_t prot, set, clear;
};

PF_INLINE pf_hw_t changed_word(pf_hw_t hw, unsigned level, unsigned idx, const struct change *c)
{
	pf_hw_t w = pf_hw_modify(hw, level, idx, c->prot);

	if (PF_UNLIKELY(c->set | c->clear)) {
		bool cont = PF_CONT_SHIFT(level) && pf_hw_cont(w);
		pf_pte_t pte = pf_hw_decode(w, level, idx);

		pte = pf_pte_clear(pf_pte_set(pte, c->set), c->clear);
		w = pf_hw_encode(pte, level, false);
		if (cont)
			w = pf_hw_set_cont(w, level, idx, true);
	}
	return w;
}

/*
 * Slots [idx, end), each from its old to its new word. Settled words are overwritten plainly (DESIGN 4.3);
 * others by a compare-and-exchange each, which loses no A and no D: when hardware was faster, the slot
 * is looked at again. Slots that continue one another exactly have new words that do, too, and are as
 * settled.
 */
PF_INLINE bool change_slots(
	const struct pf_leaves *t, unsigned idx, unsigned end, const struct change *c)
{
	bool flush = false;

	while (idx < end) {
		pf_hw_t hw = pf_hw_load(&t->base[idx]);
		pf_hw_t w = changed_word(hw, t->level, idx, c);
		bool must_flush = pf_hw_needs_flush(hw, w);

		if (PF_LIKELY(pf_hw_settled(hw, t->pt->features))) {
			flush |= must_flush;
			do {
				pf_hw_store(&t->base[idx++], w);
				hw = pf_hw_next(hw, t->level);
				w = pf_hw_next(w, t->level);
			} while (idx < end && pf_hw_same(pf_hw_load(&t->base[idx]), hw));
		} else if (pf_hw_same(hw, w)) {
			idx++;
		} else {
			for (pf_hw_t old = hw; pf_hw_cas(&t->base[idx], &old, w); old = hw) {
				flush |= must_flush;
				hw = pf_hw_next(hw, t->level);
				w = pf_hw_next(w, t->level);
				if (++idx == end || !pf_hw_same(pf_hw_load(&t->base[idx]), hw))
					break;
			}
		}
	}
	return flush;
}

bool pf_only_write_differs(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot)
{
	pf_pte_t a = pf_hw_decode(hw, level, idx);
	pf_pte_t b = pf_pte_modify(a, prot);

	return !((a.v ^ b.v) & ~PF_PTE_W);
}

bool pf_retypes(pf_hw_t hw, unsigned level, unsigned idx, uint64_t prot)
{
	pf_pte_t pte = pf_hw_decode(hw, level, idx);

	return (prot & PF_PTE_PERM) && pf_pte_accessible(pte) &&
	       ((pte.v ^ prot) & (PF_PTE_MEM | PF_PTE_KERNEL));
}

/*
 * Another memory type, or global where it was not: break-before-make with an invalidation in between,
 * whatever the level of BBM (RWHZWS; the relaxations are of sizes only). Through PROT_NONE, which keeps
 * frames, A and D; then it is a change from PROT_NONE, of which TLBs hold nothing.
 */
static bool retype(const struct pf_leaves *t, unsigned idx, unsigned nr, const struct change *c,
	struct pf_extent extent)
{
	struct pf_tlb_req req = {
		.va = pf_leaf_va(t, idx),
		.nr = PF_MUTANT("retype-flush-one") ? 1 : nr,
		.level = (uint8_t)t->level,
		.hint = true,
		.asid = t->pt->asid,
		.global = t->pt->flags & PF_PT_KERNEL,
	};

	pf_leaves_modify(t, idx, nr, c->prot & ~PF_PTE_PERM, 0, 0, PF_NO_EXTENT);
	pf_hw_tlb_issue(t->pt->features, &req);
	pf_hw_tlb_wait(false);
	pf_leaves_modify(t, idx, nr, c->prot, c->set, c->clear, extent);
	return false;
}

/*
 * A whole folded block whose members may not differ, not even for a moment, in what changes (only W
 * may, docs/RULES.md): empty all, then write all. Permissions are not among what demands an
 * invalidation in between (RGPPYH asks for one afterwards, the caller's); contiguity and frame stay
 * what they were.
 */
static bool change_block_through_empty(
	const struct pf_leaves *t, unsigned first, const struct change *c)
{
	const unsigned n = PF_CONT_NR(t->level);
	pf_hw_t hw = pf_hw_take(t->pt, &t->base[first]);
	bool young = pf_hw_young(hw), dirty = pf_hw_dirty(hw);
	pf_hw_t word;

	for (unsigned i = first + 1; i < first + n; i++) {
		pf_hw_t w = pf_hw_take(t->pt, &t->base[i]);

		young |= pf_hw_young(w);
		dirty |= pf_hw_dirty(w);
	}
	word = pf_hw_add_ad(pf_hw_set_cont(hw, t->level, first, false), young, dirty);
	word = changed_word(word, t->level, first, c);
	for (unsigned i = 0; i < n; i++) {
		pf_hw_t w = pf_hw_advance(word, t->level, i);

		/* Contiguous and not valid never meet (rule I7): what became PROT_NONE is not
		 * folded. */
		if (pf_hw_valid(w))
			w = pf_hw_set_cont(w, t->level, first + i, true);
		pf_hw_store(&t->base[first + i], w);
	}
	return pf_hw_needs_flush(hw, pf_hw_load(&t->base[first]));
}

/*
 * A whole block of entries that were PROT_NONE becomes accessible: nothing is cached from invalid
 * entries, so this is a batch into slots that are empty as far as hardware knows, and may be
 * contiguous at once. Its members agree in all but A and D (the caller's batch); those become the
 * OR, as folding makes them.
 */
static bool fold_from_protnone(
	const struct pf_leaves *t, unsigned first, const struct change *c, struct pf_extent extent)
{
	const unsigned n = PF_CONT_NR(t->level);
	pf_hw_t hw = pf_hw_load(&t->base[first]);
	bool young = false, dirty = false;
	pf_pte_t pte;

	pte = pf_pte_modify(pf_hw_decode(hw, t->level, first), c->prot);
	if (!pf_block_eligible(t->pt, t->level, pte, extent) || !pf_pte_accessible(pte))
		return false;
	for (unsigned i = first; i < first + n; i++) {
		pf_hw_t w = pf_hw_load(&t->base[i]);

		if (!pf_hw_present(w, t->level) || pf_hw_valid(w))
			return false;
		young |= pf_hw_young(w);
		dirty |= pf_hw_dirty(w);
	}
	hw = changed_word(pf_hw_add_ad(hw, young, dirty), t->level, first, c);
	/* Through empty, because beside a contiguous entry there may be empty slots and nothing else (I1). */
	for (unsigned i = first; i < first + n; i++)
		pf_hw_store(&t->base[i], pf_hw_empty());
	for (unsigned i = 0; i < n; i++)
		pf_hw_store(&t->base[first + i],
			pf_hw_set_cont(pf_hw_advance(hw, t->level, i), t->level, first + i, true));
	pf_count(&t->pt->stats.fold, 1);
	return true;
}

/*
 * Blocks that lie in the run wholly keep their contiguity: going from folded to not, or back, while
 * entries are live would need the whole sequence of pf_contpte_convert(). (Linux's batch here
 * empties the run and refills it by set_ptes, which may fold entries that were live and not folded
 * a moment before, with no invalidation in between. Legal only from BBM level 2 on; we don't.)
 */
PF_INLINE bool modify(const struct pf_leaves *t, unsigned idx, unsigned nr, uint64_t prot,
	uint64_t set, uint64_t clear, struct pf_extent extent)
{
	const unsigned n = PF_CONT_NR(t->level);
	const struct change c = {prot, set, clear};
	unsigned end = idx + nr;
	bool flush = false;
	pf_hw_t hw;

	pf_contpte_unfold_ends(t, idx, nr);
	/* The batch is uniform, so its first entry answers for all: only W changes, or nothing is folded. */
	hw = pf_hw_load(&t->base[idx]);
	if (PF_UNLIKELY(t->pt->check != NULL)) {
		pf_pte_t pte = pf_hw_decode(hw, t->level, idx);

		pf_leaves_tell(t, pte, nr, false);
		pf_leaves_tell(t, pf_pte_modify(pte, prot), nr, true);
	}
	if (pf_hw_valid(hw) && pf_only_write_differs(hw, t->level, idx, prot))
		return change_slots(t, idx, end, &c);
	if (PF_UNLIKELY(pf_retypes(hw, t->level, idx, prot)))
		return retype(t, idx, nr, &c, extent);
	if (n == 1)
		return change_slots(t, idx, end, &c);
	while (idx < end) {
		unsigned stop = (unsigned)pf_min(pf_block_first(t->level, idx) + n, end);

		hw = pf_hw_load(&t->base[idx]);
		if (stop - idx < n) {
			flush |= change_slots(t, idx, stop, &c);
		} else if (pf_hw_cont(hw)) {
			if (t->pt->flags & PF_PT_NOFAULT) {
				pf_contpte_unfold(t, idx);
				flush |= change_slots(t, idx, stop, &c);
			} else {
				flush |= change_block_through_empty(t, idx, &c);
			}
		} else if (pf_hw_valid(hw) || !fold_from_protnone(t, idx, &c, extent)) {
			flush |= change_slots(t, idx, stop, &c);
		}
		idx = stop;
	}
	return flush;
}

bool pf_leaves_modify(const struct pf_leaves *t, unsigned idx, unsigned nr, uint64_t prot,
	uint64_t set, uint64_t clear, struct pf_extent extent)
{
	return modify(t, idx, nr, prot, set, clear, extent);
}

/* The same with the level known, which every shift in the loop depends on. */
bool pf_modify_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr, uint64_t prot, uint64_t set,
	uint64_t clear, struct pf_extent extent)
{
	struct pf_leaves t = pf_leaves(m);
	bool flush = modify(&t, idx, nr, prot, set, clear, extent);

	pf_leaves_changed(&t, idx, nr, extent);
	return flush;
}
