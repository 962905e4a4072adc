/* SPDX-License-Identifier: MIT */
/*
 * Filling and emptying slots.
 */
#include "pt/leaf.h"

void pf_set_pte_at(struct pf_pte_map *m, unsigned idx, pf_pte_t pte, struct pf_extent extent)
{
	struct pf_leaves t = pf_leaves(m);
	pf_hw_t *p = &m->base[idx];
	pf_hw_t old;

	pf_contpte_unfold(&t, idx);
	old = pf_hw_load(p);
	m->table->live += !pf_pte_none(pte) - !pf_hw_none(old);
	pf_hw_store(p, pf_pte_none(pte) ? pf_hw_empty() : pf_hw_encode(pte, 0, false));
	pf_contpte_try_fold(&t, idx, pte, extent);
}

void pf_set_ptes(
	struct pf_pte_map *m, unsigned idx, pf_pte_t pte, unsigned nr, struct pf_extent extent)
{
	struct pf_leaves t = pf_leaves(m);

	if (nr == 1)
		pf_set_pte_at(m, idx, pte, extent);
	else
		pf_leaves_set(&t, idx, pte, nr, extent);
}

void pf_pte_clear_at(struct pf_pte_map *m, unsigned idx)
{
	pf_clear_ptes(m, idx, 1);
}

/*
 * Whole blocks are emptied member by member, contiguous as they are. A walker may meanwhile
 * re-create the old block from a member not yet emptied; every such translation is older than the
 * caller's flush of the run, which kills it, and the frames are not freed before that.
 */
void pf_clear_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	struct pf_leaves t = pf_leaves(m);

	pf_contpte_unfold_ends(&t, idx, nr);
	for (unsigned i = idx; PF_MUTANT("clear-unfolds") && i < idx + nr; i++)
		pf_contpte_unfold(&t, i);
	pf_leaves_clear(&t, idx, nr);
}

pf_pte_t pf_get_and_clear_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	struct pf_leaves t = pf_leaves(m);

	pf_contpte_unfold_ends(&t, idx, nr);
	return pf_hw_decode(pf_leaves_clear(&t, idx, nr), 0, idx);
}

pf_pte_t pf_ptep_get_and_clear(struct pf_pte_map *m, unsigned idx)
{
	return pf_get_and_clear_ptes(m, idx, 1);
}

pf_pte_t pf_ptep_clear_flush(struct pf_pte_map *m, unsigned idx)
{
	pf_pte_t pte = pf_get_and_clear_ptes(m, idx, 1);

	if (PF_MUTANT("clear-flush-needs-young") && !(pte.v & PF_PTE_A))
		return pte;
	if (pf_pte_accessible(pte) && !PF_MUTANT("clear-flush-no-flush"))
		pf_flush_tlb_range(m->pt, pf_pte_va(m, idx), 1);
	return pte;
}

void pf_clear_not_present_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	m->table->live -= nr;
	for (unsigned i = idx; i < idx + nr; i++)
		pf_hw_store(&m->base[i], pf_hw_empty());
}

/* Soft-dirty on, where the format has it: what moved counts as written (Linux's mremap). */
static pf_hw_t mark_moved(pf_hw_t hw)
{
	if (!(PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY) || PF_MUTANT("move-no-soft-dirty"))
		return hw;
	return pf_hw_encode(pf_pte_set(pf_hw_decode(hw, 0, 0), PF_PTE_SOFT_DIRTY), 0, false);
}

/* A whole folded block, whose A and D are those of any member, becomes entries of their own. */
static void move_block(const struct pf_leaves *f, unsigned fidx, pf_hw_t *to)
{
	const unsigned n = PF_CONT_NR(0);
	bool young = false, dirty = false;
	pf_hw_t word = pf_hw_set_cont(pf_hw_load(&f->base[fidx]), 0, fidx, false);

	for (unsigned i = 0; i < n; i++) {
		pf_hw_t hw = pf_hw_take(f->pt, &f->base[fidx + i]);

		young |= pf_hw_young(hw);
		dirty |= pf_hw_dirty(hw);
	}
	word = mark_moved(pf_hw_add_ad(word, young, dirty));
	for (unsigned i = 0; i < n; i++)
		pf_hw_store(&to[i], pf_hw_advance(word, 0, i));
}

/* Some slots from fidx, at most max, each with its own A and D; returns how many. */
static unsigned move_stretch(const struct pf_leaves *f, unsigned fidx, pf_hw_t *to, unsigned max)
{
	pf_hw_t hw = pf_hw_load(&f->base[fidx]), w;
	unsigned n = 0;

	if (PF_CONT_SHIFT(0) && pf_hw_cont(hw)) {
		/* Whole: the ends of the run were unfolded. */
		move_block(f, fidx, to);
		return PF_CONT_NR(0);
	}
	if (!pf_hw_settled(hw, f->pt->features)) {
		pf_hw_store(to, mark_moved(pf_hw_take(f->pt, &f->base[fidx])));
		return 1;
	}
	w = mark_moved(hw);
	do {
		pf_hw_store(&f->base[fidx + n], pf_hw_empty());
		pf_hw_store(&to[n++], w);
		hw = pf_hw_advance(hw, 0, 1);
		w = pf_hw_advance(w, 0, 1);
	} while (n < max && pf_hw_same(pf_hw_load(&f->base[fidx + n]), hw));
	return n;
}

void pf_move_ptes(struct pf_pte_map *from, unsigned fidx, struct pf_pte_map *to, unsigned tidx,
	unsigned nr, struct pf_extent extent)
{
	struct pf_leaves f = pf_leaves(from);

	pf_contpte_unfold_ends(&f, fidx, nr);
	if (extent.nr) {
		pf_pte_t pte = pf_hw_decode(pf_leaves_clear(&f, fidx, nr), 0, fidx);

		pte = pf_pte_set(pte, PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY);
		pf_set_ptes(to, tidx, pte, nr, extent);
		return;
	}
	from->table->live -= nr;
	to->table->live += nr;
	while (nr) {
		unsigned n = move_stretch(&f, fidx, to->base + tidx, nr);

		fidx += n;
		tidx += n;
		nr -= n;
	}
}
