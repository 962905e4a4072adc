/* SPDX-License-Identifier: MIT */
#include "states.h"

unsigned origin;
struct pf_extent run_extent;

unsigned watch_lo(void)
{
	return origin >= N ? origin - N : 0;
}

unsigned watch_hi(void)
{
	return origin + SPAN + N <= E ? origin + SPAN + N : E;
}

static uint64_t rnd_ad(unsigned pattern)
{
	switch (pattern) {
	case 0:
		return PF_PTE_A | PF_PTE_D;
	case 1:
		return 0;
	case 2:
		return PF_PTE_A;
	default:
		return rnd() & rnd() & (PF_PTE_A | PF_PTE_D);
	}
}

void put(unsigned idx, pf_pte_t e, bool cont)
{
	pf_hw_t hw = pf_hw_encode(e, 0, false);

	if (cont)
		hw = pf_hw_set_cont(hw, 0, idx, true);
	model[idx] = (struct slot){.e = e, .cont = cont};
#ifdef PF_A64_DIRTY
	/* D as hardware leaves it */
	if (pf_pte_accessible(e) && pf_pte_write(e) && pf_pte_dirty(e) && one_in(2)) {
		hw.w &= ~PF_A64_DIRTY;
		model[idx].hw_dirty = true;
	}
#endif
	raw_set(idx, hw);
}

pf_pte_t rnd_softleaf(void)
{
	switch (rnd_below(3)) {
	case 0:
		return pf_pte_swap((unsigned)rnd_below(32), rnd_below(UINT64_C(1) << 30), 0);
	case 1:
		return pf_pte_migration(
			rnd_below(1000) + 1, PF_MIG_WRITE, rnd() & (PF_PTE_A | PF_PTE_D));
	default:
		return pf_pte_marker(PF_MARKER_GUARD);
	}
}

/* Present, or not, each for itself. */
pf_pte_t rnd_entry(bool present_only)
{
	if (!present_only && one_in(3))
		return one_in(2) ? pf_pte(0) : rnd_softleaf();
	return pf_pte_mk(rnd_base() + rnd_below(N),
		(one_in(6) ? 0 : rnd_prot()) | (rnd() & (PF_PTE_A | PF_PTE_D)) |
			(one_in(8) ? PF_PTE_SPECIAL & PF_PTE_SUPPORTED : 0));
}

/* One block: folded or not, of one run or of entries that have nothing to do with each other. */
static void fill_block(unsigned first, enum state s, pf_pte_t run)
{
	unsigned pattern = (unsigned)rnd_below(5);
	bool folded = s != PROTNONE && N > 1 && one_in(2);
	pf_pte_t e = run;

	if (s == PRESENT || s == ANY) {
		/* a run of its own if it is folded */
		e = pf_pte_mk(rnd_base(), rnd_prot());
		if (!folded) {
			for (unsigned i = 0; i < N; i++)
				put(first + i, rnd_entry(s == PRESENT), false);
			return;
		}
	}
	for (unsigned i = 0; i < N; i++)
		put(first + i, pf_pte_set(pf_pte_advance(e, i), rnd_ad(pattern)), folded);
}

void set_state(enum state s)
{
	pf_pte_t run = pf_pte_mk(rnd_base(), s == PROTNONE ? 0 : rnd_prot());

	run_extent = (struct pf_extent){pf_pte_pfn(run), SPAN};
	if (one_in(4))
		run_extent.nr -= rnd_below(2 * N); /* the last blocks lie outside it */
	for (unsigned i = watch_lo(); i < watch_hi(); i += N) {
		if (i < origin || i >= origin + SPAN)
			fill_block(i, ANY, run);
		else if (s != EMPTY)
			fill_block(i, s, pf_pte_advance(run, i - origin));
		else
			for (unsigned k = i; k < i + N; k++)
				put(k, pf_pte(0), false);
	}
	tree.m.table->live = (uint16_t)model_live();
}

/* Write [idx, idx + nr) empty, and fill what it leaves of its blocks with single entries. */
void make_room(unsigned idx, unsigned nr)
{
	for (unsigned i = origin; i < origin + SPAN; i++) {
		if (i >= idx && i < idx + nr)
			put(i, pf_pte(0), false);
		else if (model[i].cont)
			put(i, rnd_entry(false), false);
	}
	/* a block that lies wholly outside may stay folded, and was replaced above: fold some again */
	for (unsigned b = origin; b < origin + SPAN; b += N) {
		if ((b + N <= idx || b >= idx + nr) && one_in(2))
			fill_block(b, PRESENT, pf_pte(0));
	}
	tree.m.table->live = (uint16_t)model_live();
}
