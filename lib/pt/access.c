/* SPDX-License-Identifier: MIT */
/*
 * Reading entries, and changing what they say without emptying them: the verbs of pt.h on present
 * runs.
 */
#include "pt/leaf.h"

pf_pte_t pf_ptep_get(const struct pf_pte_map *m, unsigned idx)
{
	struct pf_leaves t = pf_leaves(m);
	pf_hw_t hw = pf_hw_load(&m->base[idx]);

	if (PF_CONT_SHIFT(0) && pf_hw_cont(hw) && !PF_MUTANT("get-no-gather"))
		hw = pf_block_gather(&t, idx, hw);
	return pf_hw_decode(hw, 0, idx);
}

bool pf_ptes_folded(const struct pf_pte_map *m, unsigned idx)
{
	struct pf_leaves t = pf_leaves(m);

	return pf_slot_cont(&t, idx);
}

/* Length of the stretch of empty slots from idx. */
static unsigned none_run(const struct pf_pte_map *m, unsigned idx, unsigned max)
{
	unsigned n = 1;

	while (n < max && pf_hw_none(pf_hw_load(&m->base[idx + n])))
		n++;
	return n;
}

unsigned pf_pte_batch(
	const struct pf_pte_map *m, unsigned idx, unsigned max, unsigned flags, pf_pte_t *first)
{
	const unsigned n = PF_CONT_NR(0);
	struct pf_leaves t = pf_leaves(m);
	pf_hw_t hw = pf_hw_load(&m->base[idx]), word = hw, expected = hw, base_norm = hw;
	bool young = false, dirty = false, write = false;
	unsigned i = idx, end = idx + max;

	if (pf_hw_none(hw)) {
		*first = pf_pte(0);
		return none_run(m, idx, max);
	}
	if (!pf_hw_present(hw, 0)) {
		*first = pf_hw_decode(hw, 0, idx);
		return 1;
	}
	for (;;) {
		unsigned next = i + 1;
		pf_hw_t norm, cur = hw;

		/*
		 * A block's members are uniform while we hold the lock, and its A and D are the OR:
		 * one comparison serves all of it.
		 */
		if (n > 1 && pf_hw_cont(hw)) {
			hw = pf_block_gather(&t, i, hw);
			if (!PF_MUTANT("batch-gathers-each"))
				next = (unsigned)pf_min(pf_block_first(0, i) + n, end);
		}
		norm = pf_hw_norm(hw, 0, i, flags);
		if (i == idx) {
			word = hw;
			base_norm = norm;
		} else if (!pf_hw_same(norm, expected)) {
			break;
		}
		young |= pf_hw_young(hw);
		dirty |= pf_hw_dirty(hw);
		write |= pf_hw_write(hw);
		i = next;
		if (i >= end)
			break;
		hw = pf_hw_load(&m->base[i]);
		/* Most slots continue the one before exactly, and say nothing new. */
		while (n == 1 || !pf_hw_cont(cur)) {
			cur = pf_hw_advance(cur, 0, 1);
			if (!pf_hw_same(hw, cur))
				break;
			if (++i >= end)
				goto out;
			hw = pf_hw_load(&m->base[i]);
		}
		if (!pf_hw_present(hw, 0))
			break;
		expected = pf_hw_advance(base_norm, 0, i - idx);
	}
out:
	*first = pf_hw_decode(word, 0, idx);
	if ((flags & PF_FPB_MERGE_WRITE) && write)
		*first = pf_pte_set(*first, PF_PTE_W);
	if (flags & PF_FPB_MERGE_YOUNG_DIRTY)
		*first = pf_pte_set(*first, (young ? PF_PTE_A : 0) | (dirty ? PF_PTE_D : 0));
	return i - idx;
}

/*
 * Whole blocks are write-protected as they are: until the caller's flush a CPU may use the old or
 * the new permission of any member (RJQQTC: one of the programmed values), after it only the new. A
 * block of which only a part is meant is unfolded first, because there the difference would last.
 */
void pf_wrprotect_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr, struct pf_extent extent)
{
	struct pf_leaves t = pf_leaves(m);

	pf_contpte_unfold_ends(&t, idx, nr);
	for (unsigned i = idx, end = idx + nr; PF_MUTANT("wrprotect-unfolds") && i < end; i++)
		pf_contpte_unfold(&t, i);
	for (unsigned i = idx, end = idx + nr; i < end;) {
		pf_hw_t hw = pf_hw_load(&m->base[i]), w;
		bool write = pf_hw_write(hw);

		if (!write) {
			i++;
			continue;
		}
		w = pf_hw_wrprotect(hw);
		if (!pf_hw_settled(hw, m->pt->features) && !PF_MUTANT("wrprotect-plain")) {
			/* A CPU may be setting A or D in it: hence the compare-and-exchange (G6).
			 * When it was faster, the slot is looked at again. */
			for (pf_hw_t old = hw; pf_hw_cas(&m->base[i], &old, w); old = hw) {
				hw = pf_hw_next(hw, 0);
				w = pf_hw_next(w, 0);
				if (++i == end || !pf_hw_same(pf_hw_load(&m->base[i]), hw))
					break;
			}
			continue;
		}
		do {
			pf_hw_store(&m->base[i++], w);
			hw = pf_hw_next(hw, 0);
			w = pf_hw_next(w, 0);
		} while (i < end && pf_hw_same(pf_hw_load(&m->base[i]), hw));
	}
	pf_leaves_changed(&t, idx, nr, extent);
}

void pf_ptep_set_wrprotect(struct pf_pte_map *m, unsigned idx, struct pf_extent extent)
{
	pf_wrprotect_ptes(m, idx, 1, extent);
}

bool pf_may_fold(const struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	struct pf_leaves t = pf_leaves(m);

	return pf_watch_hit_ends(&t, idx, nr);
}

/* Widen [*idx, *end) to whole blocks where its ends lie in folded ones. */
static void widen(const struct pf_leaves *t, unsigned *idx, unsigned *end)
{
	unsigned n = PF_CONT_NR(0);

	if (pf_slot_cont(t, *idx))
		*idx = pf_block_first(0, *idx);
	if (pf_slot_cont(t, *end - 1))
		*end = pf_block_first(0, *end - 1) + n;
}

bool pf_slot_clear_young(const struct pf_leaves *t, unsigned idx)
{
	pf_hw_t *p = &t->base[idx];
	pf_hw_t hw = pf_hw_load(p);

	if (!pf_hw_present(hw, t->level) || !pf_hw_young(hw))
		return false;
	/* Hardware may set D meanwhile; a plain store would lose it (E4). */
	if (PF_MUTANT("young-plain"))
		pf_hw_store(p, pf_hw_mkold(hw));
	else
		PF_HW_UPDATE(t->pt, p, hw, pf_hw_mkold(hw));
	return true;
}

static bool clear_young(const struct pf_leaves *t, unsigned idx, unsigned end)
{
	bool young = false;

	while (idx < end) {
		unsigned stop = (unsigned)pf_min(pf_block_first(0, idx) + PF_CONT_NR(0), end);
		bool block = false;

		while (idx < stop)
			block |= pf_slot_clear_young(t, idx++);
		if (!block)
			pf_contpte_quiet(t, stop - 1);
		young |= block;
	}
	return young;
}

bool pf_test_and_clear_young_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	struct pf_leaves t = pf_leaves(m);
	unsigned end = idx + nr;

	widen(&t, &idx, &end);
	return clear_young(&t, idx, end);
}

bool pf_ptep_test_and_clear_young(struct pf_pte_map *m, unsigned idx)
{
	return pf_test_and_clear_young_ptes(m, idx, 1);
}

/*
 * The invalidation is issued and not waited for: the worst that an old translation does is to leave
 * A clear a little longer, and the next barrier of any flush on this CPU completes it (DESIGN 4.6).
 */
bool pf_clear_flush_young_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr)
{
	struct pf_leaves t = pf_leaves(m);
	unsigned end = idx + nr;
	struct pf_tlb_req req;

	widen(&t, &idx, &end);
	if (!clear_young(&t, idx, end))
		return false;
	req = (struct pf_tlb_req){
		.va = pf_pte_va(m, idx),
		.nr = end - idx,
		.hint = true,
		.asid = m->pt->asid,
		.global = m->pt->flags & PF_PT_KERNEL,
	};
	pf_hw_tlb_issue(m->pt->features, &req);
	return true;
}

bool pf_ptep_clear_flush_young(struct pf_pte_map *m, unsigned idx)
{
	return pf_clear_flush_young_ptes(m, idx, 1);
}

static pf_hw_t without_ad(pf_hw_t hw, unsigned flags)
{
	if (flags & PF_CYDP_CLEAR_YOUNG)
		hw = pf_hw_mkold(hw);
	if (flags & PF_CYDP_CLEAR_DIRTY)
		hw = pf_hw_mkclean(hw);
	return hw;
}

void pf_clear_young_dirty_ptes(struct pf_pte_map *m, unsigned idx, unsigned nr, unsigned flags)
{
	struct pf_leaves t = pf_leaves(m);
	unsigned end = idx + nr;

	widen(&t, &idx, &end);
	if (PF_MUTANT("cydp-overrun"))
		end = (unsigned)pf_min(end + PF_CONT_NR(0), PF_TABLE_ENTRIES);
	for (unsigned i = idx; i < end; i++) {
		pf_hw_t hw = pf_hw_load(&m->base[i]);

		if (!pf_hw_present(hw, 0) || pf_hw_same(hw, without_ad(hw, flags)))
			continue;
		PF_HW_UPDATE(m->pt, &m->base[i], hw, without_ad(hw, flags));
	}
}

/* Add A, D, W and soft-dirty of pte to one slot; true if its word changed. */
static bool slot_set_access(struct pf_pte_map *m, unsigned idx, pf_pte_t pte)
{
	pf_hw_t *p = &m->base[idx];
	pf_hw_t hw = pf_hw_load(p), w;
	uint64_t add =
		pte.v & ((PF_PTE_SUPPORTED & PF_PTE_SOFT_DIRTY) | PF_PTE_A | PF_PTE_D | PF_PTE_W);
	bool cont = PF_CONT_SHIFT(0) && pf_hw_cont(hw);

	do {
		w = pf_hw_encode(pf_pte_set(pf_hw_decode(hw, 0, idx), add), 0, false);
		if (cont)
			w = pf_hw_set_cont(w, 0, idx, true);
		if (pf_hw_same(hw, w))
			return false;
	} while (!pf_hw_cas(p, &hw, w));
	return true;
}

bool pf_ptep_set_access_flags(
	struct pf_pte_map *m, unsigned idx, pf_pte_t pte, bool flush, struct pf_extent extent)
{
	struct pf_leaves t = pf_leaves(m);
	pf_hw_t hw = pf_hw_load(&m->base[idx]);
	unsigned first = idx, n = 1;
	bool changed = false;

	if (PF_CONT_SHIFT(0) && pf_hw_cont(hw)) {
		if (PF_MUTANT("access-noop-gathered") &&
			!(pte.v & (PF_PTE_A | PF_PTE_D | PF_PTE_W) & ~pf_ptep_get(m, idx).v))
			return false;
		if (pte.v & ~pf_hw_decode(hw, 0, idx).v & PF_PTE_SUPPORTED &
			(PF_PTE_W | PF_PTE_SOFT_DIRTY)) {
			/* W or soft-dirty would differ inside the block for good. */
			pf_contpte_unfold(&t, idx);
		} else {
			/*
			 * Every member gets A and D: a walker that evaluates entries one by one (no
			 * hardware A/D, an SMMU) looks at the addressed one alone (rule 6.1).
			 */
			first = pf_block_first(0, idx);
			n = PF_CONT_NR(0);
		}
	}
	pf_leaves_tell_word(&t, hw, idx, 1, false);
	for (unsigned i = first; i < first + n; i++)
		changed |= slot_set_access(m, i, pte);
	pf_leaves_tell(&t, pf_pte_set(pf_hw_decode(hw, 0, idx), pte.v & PF_PTE_W), 1, true);
	if (changed && flush && !PF_MUTANT("access-no-flush")) {
		/* This CPU only; another that still holds the old entry faults, finds it done, and
		 * drops it. */
		struct pf_tlb_req req = {
			.va = pf_pte_va(m, first),
			.nr = n,
			.hint = true,
			.local = true,
			.asid = m->pt->asid,
			.global = m->pt->flags & PF_PT_KERNEL,
		};

		pf_hw_tlb_issue(m->pt->features, &req);
		pf_hw_tlb_wait(true);
	}
	if (changed && n == 1)
		pf_leaves_changed(&t, idx, 1, extent);
	return changed;
}

void pf_flush_tlb_range(struct pf_pt *pt, pf_va_t va, uint64_t nr)
{
	struct pf_tlb_req req = {
		.va = va,
		.nr = nr,
		.hint = true,
		.asid = pt->asid,
		.global = pt->flags & PF_PT_KERNEL,
	};

	pf_hw_tlb_issue(pt->features, &req);
	pf_hw_tlb_wait(false);
}
