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
	pf_leaves_tell_word(&t, old, idx, 1, false);
	m->table->live += !pf_pte_none(pte) - !pf_hw_none(old);
	pf_hw_store(p, pf_pte_none(pte) ? pf_hw_empty() : pf_hw_encode(pte, 0, false));
	pf_leaves_tell(&t, pte, 1, true);
	pf_contpte_try_fold(&t, idx, 1, pte, extent);
}

void pf_set_ptes(
	struct pf_pte_map *m, unsigned idx, pf_pte_t pte, unsigned nr, struct pf_extent extent)
{
	struct pf_leaves t = pf_leaves(m);

	if (nr == 1) {
		pf_set_pte_at(m, idx, pte, extent);
		return;
	}
	pf_leaves_set(&t, idx, pte, nr, extent);
	if (m->table->watch)
		pf_contpte_try_fold_ends(&t, idx, nr, pte, extent);
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
	/* An entry that is PROT_NONE, too: whoever made it so may not have flushed yet. */
	if (pf_pte_present(pte) && !PF_MUTANT("clear-flush-no-flush"))
		pf_flush_tlb_range(m->pt, pf_pte_va(m, idx), 1);
	return pte;
}

void pf_clear_not_present_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	m->table->live -= nr;
	for (unsigned i = idx; i < idx + nr; i++)
		pf_hw_store(&m->base[i], pf_hw_empty());
}
