/* SPDX-License-Identifier: MIT */
/*
 * Reading entries without the table's lock: for walkers that look again under the lock, and for those that never take
 * it. The argument is in docs/LOCKING.md, "Reading without a lock"; the comments here say which step of it stands where.
 *
 * No barrier is needed among the loads of a block: each word is checked by itself, whatever the order in which they were
 * read. What a table is found by is followed by address dependencies, as in walk.c, or by acquire.
 */
#include "pt/walk.h"

/* How often a reading is begun again. */
#define RESTARTS 4u

/* What makes two members of a block say the same. */
#define RESPECT (PF_FPB_RESPECT_WRITE | PF_FPB_RESPECT_SOFT_DIRTY)

/* A leaf, or what is not present. */
static bool is_block_member(pf_hw_t hw, unsigned level)
{
	return PF_CONT_SHIFT(level) && !pf_hw_none(hw) && !pf_hw_table(hw, level) && pf_hw_cont(hw);
}

/*
 * `hw`, slot idx, says that it belongs to a block: add A and D of the others. Every one that is read, whether it has A and D or
 * not, must be the same entry as hw but for its place, or the slots are not those of one block at one time, and A and D of the one say nothing of
 * the other. Reading hw's own slot again would not show that: it may have become hw again (ABA). Once both are
 * known the rest cannot change the answer.
 */
static bool gather(const pf_hw_t *base, unsigned level, unsigned idx, pf_hw_t *hw)
{
	const unsigned first = pf_block_first(level, idx);
	const unsigned respect =
		PF_MUTANT("lockless-ignores-write") ? PF_FPB_RESPECT_SOFT_DIRTY : RESPECT;
	const pf_hw_t norm = pf_hw_norm(*hw, level, idx, respect);
	bool young = pf_hw_young(*hw), dirty = pf_hw_dirty(*hw);

	for (unsigned i = first; i < first + PF_CONT_NR(level) && !(young && dirty); i++) {
		pf_hw_t w;

		if (i == idx)
			continue;
		if (!pf_hw_load_lockless(&base[i], &w))
			return false;
		/* No mask of A and D means anything in what is not a leaf. */
		if (pf_hw_none(w) || !pf_hw_present(w, level))
			return false;
		if ((!is_block_member(w, level) ||
			    !pf_hw_same(pf_hw_norm(w, level, i, respect),
				    pf_hw_advance(norm, level, (uint64_t)i - idx))) &&
			!PF_MUTANT("lockless-unverified") && !PF_MUTANT("lockless-first-word"))
			return false;
		young |= pf_hw_young(w);
		dirty |= pf_hw_dirty(w);
	}
	if (PF_MUTANT("lockless-first-word") && !pf_hw_same(pf_hw_load(&base[idx]), *hw))
		return false;
	*hw = pf_hw_add_ad(*hw, young, dirty);
	return true;
}

/* Slot idx. False: it changed each time. */
static bool read_slot(const pf_hw_t *base, unsigned level, unsigned idx, pf_hw_t *hw)
{
	for (unsigned i = 0; i <= RESTARTS || PF_MUTANT("lockless-for-ever"); i++) {
		if (!pf_hw_load_lockless(&base[idx], hw))
			continue;
		/* Single-copy atomic, or as good (fake_2w_access.h): all of the answer but A and D is this word's. */
		if (!is_block_member(*hw, level) || gather(base, level, idx, hw))
			return true;
	}
	return false;
}

bool pf_ptep_get_lockless(const struct pf_pte_view *v, unsigned idx, pf_pte_t *pte)
{
	pf_hw_t hw;

	if (!read_slot(v->base, 0, idx, &hw))
		return false;
	*pte = pf_hw_decode(hw, 0, idx);
	return true;
}

unsigned pf_pte_batch_lockless(
	const struct pf_pte_view *v, unsigned idx, unsigned max, pf_pte_t *first)
{
	pf_hw_t expected = pf_hw_empty();
	unsigned n;

	*first = pf_pte(0);
	for (n = 0; n < max; n++) {
		pf_hw_t hw;

		if (!pf_hw_load_lockless(&v->base[idx + n], &hw) || pf_hw_none(hw) ||
			!pf_hw_present(hw, 0))
			break;
		hw = pf_hw_norm(hw, 0, idx + n, RESPECT);
		if (!n) {
			*first = pf_hw_decode(hw, 0, idx);
			expected = hw;
		} else if (!pf_hw_same(hw, expected)) {
			break;
		}
		expected = pf_hw_advance(expected, 0, 1);
	}
	return n;
}

/* ---- tables ---- */

/*
 * The deepest table on the way to va, of level *level, and *link, the entry that it was found through, NULL for the root.
 * False: an entry could not be read.
 */
static bool descend(
	struct pf_pt *pt, pf_va_t va, unsigned *level, pf_pa_t *pa, const pf_hw_t **link)
{
	pf_hw_t hw;

	*pa = pt->root;
	*link = NULL;
	for (*level = PF_LEVELS - 1; *level; --*level) {
		const pf_hw_t *base = pf_port_virt(*pa);
		const pf_hw_t *slot = &base[pf_level_index(va, *level)];

		if (!pf_hw_load_lockless(slot, &hw))
			return false;
		if (pf_hw_none(hw) || !pf_hw_table(hw, *level))
			return true;
		*pa = pf_hw_table_pa(hw);
		*link = slot;
	}
	return true;
}

static bool is_linked(const pf_hw_t *link, unsigned level, pf_pa_t pa)
{
	pf_hw_t hw;

	if (!link || PF_MUTANT("lockless-no-link-recheck"))
		return true;
	return pf_hw_load_lockless(link, &hw) && !pf_hw_none(hw) && pf_hw_table(hw, level + 1) &&
	       pf_hw_table_pa(hw) == pa;
}

bool pf_pte_offset_map(struct pf_pt *pt, pf_va_t va, struct pf_pte_view *v)
{
	unsigned level;

	pf_port_rcu_read_lock();
	if (!descend(pt, va, &level, &v->pa, &v->link) || level) {
		pf_port_rcu_read_unlock();
		return false;
	}
	v->pt = pt;
	v->base = pf_port_virt(v->pa);
	v->va = pf_align_down(va, PF_LEVEL_SIZE(1));
	return true;
}

void pf_pte_unmap(struct pf_pte_view *v)
{
	v->base = NULL;
	pf_port_rcu_read_unlock();
}

bool pf_pte_view_linked(const struct pf_pte_view *v)
{
	return is_linked(v->link, 0, v->pa);
}

static int query(struct pf_pt *pt, pf_va_t va, struct pf_run *run)
{
	unsigned level, idx;
	const pf_hw_t *link;
	uint64_t skip;
	pf_pa_t pa;
	pf_hw_t hw;

	if (!descend(pt, va, &level, &pa, &link))
		return -PF_EAGAIN;
	idx = pf_level_index(va, level);
	if (!read_slot(pf_port_virt(pa), level, idx, &hw))
		return -PF_EAGAIN;
	/* A table has come where there was none; or the one that was read is not this tree's any more. */
	if ((level && !pf_hw_none(hw) && pf_hw_table(hw, level)) || !is_linked(link, level, pa))
		return -PF_EAGAIN;
	skip = (va & (PF_LEVEL_SIZE(level) - 1)) >> PF_PAGE_SHIFT;
	*run = (struct pf_run){
		.va = va,
		.nr = (PF_LEVEL_SIZE(level) >> PF_PAGE_SHIFT) - skip,
		.first = pf_hw_decode(hw, level, idx),
	};
	if (pf_hw_none(hw) || !pf_hw_present(hw, level))
		return 0;
	run->first = pf_pte_advance(run->first, skip);
	run->leaf_size = is_block_member(hw, level) ? PF_CONT_SIZE(level) : PF_LEVEL_SIZE(level);
	return 1;
}

int pf_query_lockless(struct pf_pt *pt, pf_va_t va, struct pf_run *run)
{
	int is;

	pf_port_rcu_read_lock();
	is = query(pt, pf_align_down(va, PF_PAGE_SIZE), run);
	pf_port_rcu_read_unlock();
	return is;
}
